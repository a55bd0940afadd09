/* SPDX-License-Identifier: Apache-2.0 */
#include "core/session/ratchet.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/assert.h"
#include "core/crypto/hkdf.h"

#define DAY_S 86400u

/* One mixing into the root key: whose keys made the secrets, and the secrets. */
struct mix {
    const uint8_t *sender_key, *receiver_key; /* X25519, public */
    const uint8_t *kem_key, *kem_ciphertext; /* NULL: no X-Wing secret in this one */
    uint8_t dh[CHQ_DH_BYTES];
    uint8_t kem[CHQ_KEM_SHARED_BYTES];
};

/* KDF_RK_HE: new root, chain and next header key. Every public key stands in the derivation, tagged by its place. */
static void mix_root(
    struct chq_ratchet *r, const struct mix *mix, uint8_t *chain_key, uint8_t *next_header_key)
{
    uint8_t input[CHQ_DH_BYTES + CHQ_KEM_SHARED_BYTES], out[3 * CHQ_RATCHET_KEY_BYTES], info[CHQ_HASH_BYTES];
    const struct chq_bytes parts[] = {chq_bytes(mix->sender_key, CHQ_DH_BYTES),
        chq_bytes(mix->receiver_key, CHQ_DH_BYTES), chq_bytes(mix->kem_key, CHQ_KEM_PUBLIC_BYTES),
        chq_bytes(mix->kem_ciphertext, CHQ_KEM_CIPHERTEXT_BYTES)};
    bool kem = mix->kem_key != NULL;
    chq_hash(
        info, kem ? "chasqui root step X25519+X-Wing v1" : "chasqui root step X25519 v1", parts, kem ? 4 : 2);
    memcpy(input, mix->dh, sizeof mix->dh);
    memcpy(input + sizeof mix->dh, mix->kem, sizeof mix->kem);
    chq_hkdf(out, sizeof out, chq_bytes(r->root_key, sizeof r->root_key),
        chq_bytes(input, kem ? sizeof input : sizeof mix->dh), chq_bytes(info, sizeof info));
    memcpy(r->root_key, out, CHQ_RATCHET_KEY_BYTES);
    memcpy(chain_key, out + CHQ_RATCHET_KEY_BYTES, CHQ_RATCHET_KEY_BYTES);
    memcpy(next_header_key, out + 2 * CHQ_RATCHET_KEY_BYTES, CHQ_RATCHET_KEY_BYTES);
    chq_wipe(input, sizeof input);
    chq_wipe(out, sizeof out);
}

static void new_own_key(struct chq_ratchet *r, const struct chq_random *random)
{
    uint8_t seed[CHQ_SEED_BYTES];
    chq_random_fill(random, seed, sizeof seed);
    chq_dh_pair_from_seed(&r->own, seed);
    chq_wipe(seed, sizeof seed);
}

enum chq_err chq_ratchet_init_initiator(struct chq_ratchet *r, const struct chq_ratchet_secrets *secrets,
    const uint8_t signed_prekey[CHQ_DH_BYTES], uint64_t now_s, const struct chq_random *random)
{
    memset(r, 0, sizeof *r);
    memcpy(r->root_key, secrets->root_key, sizeof r->root_key);
    memcpy(r->peer_key, signed_prekey, sizeof r->peer_key);
    memcpy(r->send_header_key, secrets->initiator_header_key, sizeof r->send_header_key);
    memcpy(r->receive_next_header_key, secrets->responder_header_key, sizeof r->receive_next_header_key);
    r->rekeyed_s = now_s;
    r->sending = true;
    new_own_key(r, random);
    struct mix mix = {.sender_key = r->own.public_key, .receiver_key = r->peer_key};
    enum chq_err err = chq_dh(mix.dh, r->own.secret_key, r->peer_key);
    if (err == CHQ_OK)
        mix_root(r, &mix, r->send_chain_key, r->send_next_header_key);
    else
        chq_wipe(r, sizeof *r);
    chq_wipe(&mix, sizeof mix);
    return err;
}

void chq_ratchet_init_responder(struct chq_ratchet *r, const struct chq_ratchet_secrets *secrets,
    const struct chq_dh_pair *signed_prekey, uint64_t now_s)
{
    memset(r, 0, sizeof *r);
    memcpy(r->root_key, secrets->root_key, sizeof r->root_key);
    r->own = *signed_prekey;
    memcpy(r->send_next_header_key, secrets->responder_header_key, sizeof r->send_next_header_key);
    memcpy(r->receive_next_header_key, secrets->initiator_header_key, sizeof r->receive_next_header_key);
    r->rekeyed_s = now_s;
}

void chq_chain_key_step(uint8_t chain_key[CHQ_RATCHET_KEY_BYTES], uint8_t *message_key)
{
    /* KDF_CK. One SHA-256 block each, so that the longest jump takes under 5 ms. */
    uint8_t next[CHQ_HASH_BYTES];
    struct chq_bytes part = chq_bytes(chain_key, CHQ_RATCHET_KEY_BYTES);
    if (message_key != NULL)
        chq_hash(message_key, "chasqui key v1", &part, 1);
    chq_hash(next, "chasqui chain v1", &part, 1);
    memcpy(chain_key, next, sizeof next);
    chq_wipe(next, sizeof next);
}

/* The receiving half: the peer's new chain, under the key we sent last and the X-Wing key we offered, if we did. */
static enum chq_err receive_half(
    struct chq_ratchet *r, const struct chq_ratchet_header *header, const uint8_t *ciphertext, uint64_t now_s)
{
    struct mix mix = {.sender_key = header->key, .receiver_key = r->own.public_key};
    if ((ciphertext != NULL) != r->offers_kem)
        return CHQ_AUTH; /* who offered must be answered in the very next chain, and nobody else */
    enum chq_err err = chq_dh(mix.dh, r->own.secret_key, header->key);
    if (err == CHQ_OK && ciphertext != NULL) {
        mix.kem_key = r->kem_key;
        mix.kem_ciphertext = ciphertext;
        err = chq_kem_decapsulate(mix.kem, ciphertext, r->kem_seed);
    }
    if (err == CHQ_OK) {
        uint32_t kept = r->n_chains < CHQ_SESSION_CHAINS_MAX ? r->n_chains : CHQ_SESSION_CHAINS_MAX - 1;
        uint32_t number = r->n_chains > 0 ? r->chains[0].number + 1 : 1;
        memmove(r->chains + 1, r->chains, kept * sizeof *r->chains);
        memset(r->chains, 0, sizeof *r->chains);
        r->n_chains = kept + 1;
        r->chains[0].number = number;
        memcpy(r->chains[0].header_key, r->receive_next_header_key, CHQ_RATCHET_KEY_BYTES);
        memcpy(r->peer_key, header->key, sizeof r->peer_key);
        mix_root(r, &mix, r->receive_chain_key, r->receive_next_header_key);
    }
    if (err == CHQ_OK && ciphertext != NULL) {
        r->since_rekey = 0;
        r->rekeyed_s = now_s;
    }
    r->offers_kem = false;
    chq_wipe(r->kem_seed, sizeof r->kem_seed);
    chq_wipe(&mix, sizeof mix);
    return err;
}

/* Encapsulate to the key the peer offered; every message of the new chain carries the ciphertext. */
static enum chq_err answer_kem(struct chq_ratchet *r, struct mix *mix, const uint8_t *offered, uint64_t now_s,
    const struct chq_random *random)
{
    uint8_t raw[64];
    chq_random_fill(random, raw, sizeof raw);
    enum chq_err err = chq_kem_encapsulate(r->kem_ciphertext, mix->kem, offered, raw);
    mix->kem_key = offered;
    mix->kem_ciphertext = r->kem_ciphertext;
    r->answers_kem = true;
    r->since_rekey = 0;
    r->rekeyed_s = now_s;
    chq_wipe(raw, sizeof raw);
    return err;
}

static bool rekey_is_due(const struct chq_ratchet *r, uint64_t now_s)
{
    return r->since_rekey >= CHQ_SESSION_REKEY_MESSAGES ||
           (now_s > r->rekeyed_s && now_s - r->rekeyed_s >= (uint64_t)CHQ_SESSION_REKEY_DAYS * DAY_S);
}

/* The sending half: a new own key, the answer to an offer, an own offer when it is time. */
static enum chq_err send_half(
    struct chq_ratchet *r, const uint8_t *offered, uint64_t now_s, const struct chq_random *random)
{
    struct mix mix = {.sender_key = r->own.public_key, .receiver_key = r->peer_key};
    r->send_previous_n = r->send_n;
    r->send_n = 0;
    memcpy(r->send_header_key, r->send_next_header_key, sizeof r->send_header_key);
    new_own_key(r, random);
    enum chq_err err = chq_dh(mix.dh, r->own.secret_key, r->peer_key);
    r->answers_kem = false;
    if (err == CHQ_OK && offered != NULL)
        err = answer_kem(r, &mix, offered, now_s, random);
    if (err == CHQ_OK) {
        mix_root(r, &mix, r->send_chain_key, r->send_next_header_key);
        r->sending = true;
        r->offers_kem = rekey_is_due(r, now_s);
    }
    if (err == CHQ_OK && r->offers_kem) {
        struct chq_kem_pair pair;
        chq_random_fill(random, r->kem_seed, sizeof r->kem_seed);
        chq_kem_pair_from_seed(&pair, r->kem_seed);
        memcpy(r->kem_key, pair.public_key, sizeof r->kem_key);
        chq_wipe(&pair, sizeof pair);
    }
    chq_wipe(&mix, sizeof mix);
    return err;
}

enum chq_err chq_ratchet_step(struct chq_ratchet *r, const struct chq_ratchet_header *header,
    const uint8_t *extension, uint64_t now_s, const struct chq_random *random)
{
    const uint8_t *offered = header->flags & CHQ_HEADER_HAS_KEM_KEY ? extension : NULL;
    const uint8_t *ciphertext = NULL;
    if (header->flags & CHQ_HEADER_HAS_KEM_CIPHERTEXT)
        ciphertext = extension + (offered != NULL ? CHQ_KEM_PUBLIC_BYTES : 0);
    CHQ_TRY(receive_half(r, header, ciphertext, now_s));
    return send_half(r, offered, now_s, random);
}

enum chq_err chq_skipped_reserve(struct chq_skipped_list *list, uint32_t more)
{
    CHQ_ASSERT(list->n <= CHQ_SESSION_SKIPPED_KEYS_MAX && more <= CHQ_SESSION_SKIPPED_KEYS_MAX);
    if (more <= list->cap - list->n)
        return CHQ_OK;
    uint32_t cap = list->n + more < 8 ? 8 : (list->n + more) * 5 / 4;
    struct chq_skipped_list bigger = {.v = malloc(cap * sizeof *list->v), .n = list->n, .cap = cap};
    if (bigger.v == NULL)
        return CHQ_NO_MEMORY;
    if (list->n > 0)
        memcpy(bigger.v, list->v, list->n * sizeof *list->v);
    chq_skipped_fini(list); /* not realloc: the old block holds keys */
    *list = bigger;
    return CHQ_OK;
}

static bool is_too_old(const struct chq_skipped *key, uint64_t now_s)
{
    return now_s > key->stored_s && now_s - key->stored_s > (uint64_t)CHQ_SESSION_SKIPPED_DAYS * DAY_S;
}

int64_t chq_skipped_find(const struct chq_skipped_list *list, uint32_t chain, uint32_t n, uint64_t now_s)
{
    for (uint32_t i = 0; i < list->n; i++)
        if (list->v[i].chain == chain && list->v[i].n == n)
            return is_too_old(&list->v[i], now_s) ? -1 : (int64_t)i;
    return -1;
}

void chq_skipped_remove(struct chq_skipped_list *list, uint32_t index)
{
    CHQ_ASSERT(index < list->n);
    memmove(list->v + index, list->v + index + 1, (list->n - index - 1) * sizeof *list->v);
    list->n--;
    chq_wipe(list->v + list->n, sizeof *list->v);
}

void chq_skipped_prune(struct chq_skipped_list *list, uint32_t oldest_chain, uint64_t now_s)
{
    uint32_t kept = 0, before = list->n;
    uint32_t surplus = before > CHQ_SESSION_SKIPPED_KEYS_MAX ? before - CHQ_SESSION_SKIPPED_KEYS_MAX : 0;
    for (uint32_t i = surplus; i < before; i++)
        if (list->v[i].chain >= oldest_chain && !is_too_old(&list->v[i], now_s))
            list->v[kept++] = list->v[i];
    list->n = kept;
    if (before > kept)
        chq_wipe(list->v + kept, (before - kept) * sizeof *list->v);
}

void chq_skipped_fini(struct chq_skipped_list *list)
{
    if (list->v != NULL)
        chq_wipe(list->v, list->cap * sizeof *list->v);
    free(list->v);
    *list = (struct chq_skipped_list){0};
}
