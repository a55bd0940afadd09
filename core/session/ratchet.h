/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CHQ_CORE_SESSION_RATCHET_H
#define CHQ_CORE_SESSION_RATCHET_H

#include <stdbool.h>

#include "core/base/bytes.h"
#include "core/base/limits.h"
#include "core/base/random.h"
#include "core/crypto/hash.h"
#include "core/crypto/keys.h"
#include "core/session/envelope.h"

/*
 * The Double Ratchet with header encryption (Signal, "The Double Ratchet Algorithm", section 4), with an X-Wing
 * secret mixed into the root key from time to time. Private to core/session; names in comments are Signal's.
 */
#define CHQ_RATCHET_KEY_BYTES 32
#define CHQ_FINGERPRINT_BYTES 8

/* Which message came under a number, so that another one under the same number is seen. */
struct chq_recent {
    uint32_t n;
    uint8_t fingerprint[CHQ_FINGERPRINT_BYTES];
};

/* One chain of the peer's messages. The current one is chains[0]. */
struct chq_receive_chain {
    uint32_t number; /* counts the peer's chains from 1; skipped keys point to it */
    uint32_t next_n; /* Nr: all below were received or skipped */
    uint8_t header_key[CHQ_RATCHET_KEY_BYTES]; /* HKr */
    uint32_t recent_count; /* ever; the ring holds the last CHQ_SESSION_RECENT_MAX */
    struct chq_recent recent[CHQ_SESSION_RECENT_MAX];
};

/* All of fixed size, so that a step works on a copy and is put back whole. */
struct chq_ratchet {
    uint8_t root_key[CHQ_RATCHET_KEY_BYTES]; /* RK */
    struct chq_dh_pair own; /* DHs */
    uint8_t peer_key[CHQ_DH_BYTES]; /* DHr, once receiving or when we started */

    bool sending; /* there is a sending chain */
    uint32_t send_n, send_previous_n; /* Ns, PN */
    uint8_t send_chain_key[CHQ_RATCHET_KEY_BYTES]; /* CKs */
    uint8_t send_header_key[CHQ_RATCHET_KEY_BYTES]; /* HKs */
    uint8_t send_next_header_key[CHQ_RATCHET_KEY_BYTES]; /* NHKs */

    uint32_t n_chains; /* 0 until something was received */
    uint8_t receive_chain_key[CHQ_RATCHET_KEY_BYTES]; /* CKr, of chains[0] */
    uint8_t receive_next_header_key[CHQ_RATCHET_KEY_BYTES]; /* NHKr */
    struct chq_receive_chain chains[CHQ_SESSION_CHAINS_MAX];

    /* Post-quantum re-keying: what every message of the current sending chain carries. */
    bool offers_kem, answers_kem;
    uint32_t since_rekey; /* messages either way since the last X-Wing secret was mixed in */
    uint64_t rekeyed_s;
    uint8_t kem_seed[CHQ_SEED_BYTES]; /* of the offered key */
    uint8_t kem_key[CHQ_KEM_PUBLIC_BYTES];
    uint8_t kem_ciphertext[CHQ_KEM_CIPHERTEXT_BYTES];
};

/* The key of a message that was jumped over. */
struct chq_skipped {
    uint32_t chain, n;
    uint64_t stored_s;
    uint8_t key[CHQ_RATCHET_KEY_BYTES];
};

/* Skipped keys in the order they were stored. */
struct chq_skipped_list {
    struct chq_skipped *v;
    uint32_t n, cap;
};

/* The secrets that the handshake gives, named by who sends with them. */
struct chq_ratchet_secrets {
    uint8_t root_key[CHQ_RATCHET_KEY_BYTES];
    uint8_t initiator_header_key[CHQ_RATCHET_KEY_BYTES]; /* shared_hka */
    uint8_t responder_header_key[CHQ_RATCHET_KEY_BYTES]; /* shared_nhkb */
};

/* RatchetInitAliceHE: the first sending chain, against the peer's signed prekey. CHQ_AUTH for a low-order key. */
CHQ_MUST_CHECK enum chq_err chq_ratchet_init_initiator(struct chq_ratchet *r,
    const struct chq_ratchet_secrets *secrets, const uint8_t signed_prekey[CHQ_DH_BYTES], uint64_t now_s,
    const struct chq_random *random);
/* RatchetInitBobHE: waits for the first message. */
void chq_ratchet_init_responder(struct chq_ratchet *r, const struct chq_ratchet_secrets *secrets,
    const struct chq_dh_pair *signed_prekey, uint64_t now_s);

/* Advance a chain key; write the message key of the number it stood at when `message_key` is not NULL. */
void chq_chain_key_step(uint8_t chain_key[CHQ_RATCHET_KEY_BYTES], uint8_t *message_key);

/*
 * DHRatchetHE: take up the chain that `header` begins, and begin an own one. `extension` holds what the flags
 * announce, already opened. CHQ_AUTH for a low-order or invalid key and for a re-keying that we did not offer.
 */
CHQ_MUST_CHECK enum chq_err chq_ratchet_step(struct chq_ratchet *r, const struct chq_ratchet_header *header,
    const uint8_t *extension, uint64_t now_s, const struct chq_random *random);

/* Make room for `more` keys behind the present ones; nothing else changes. CHQ_NO_MEMORY. */
CHQ_MUST_CHECK enum chq_err chq_skipped_reserve(struct chq_skipped_list *list, uint32_t more);
/* Find the key of message `n` of `chain`; its index, or -1 when there is none or it is too old. */
int64_t chq_skipped_find(const struct chq_skipped_list *list, uint32_t chain, uint32_t n, uint64_t now_s);
void chq_skipped_remove(struct chq_skipped_list *list, uint32_t index);
/* Wipe the keys that are too old, those of chains below `oldest_chain`, and the oldest above the limit. */
void chq_skipped_prune(struct chq_skipped_list *list, uint32_t oldest_chain, uint64_t now_s);
void chq_skipped_fini(struct chq_skipped_list *list);

#endif
