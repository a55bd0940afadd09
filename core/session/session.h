/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CHQ_CORE_SESSION_SESSION_H
#define CHQ_CORE_SESSION_SESSION_H

#include <stdbool.h>

#include "core/base/bytes.h"
#include "core/base/limits.h"
#include "core/base/random.h"
#include "core/session/prekeys.h"
#include "core/wire/id.h"

/*
 * The end-to-end session of two devices (docs/protocol.md section 3): a PQXDH-shaped start and the Double Ratchet with
 * header encryption (Signal's specifications, revisions of 2016 to 2024), re-keyed with X-Wing from time to time.
 * No I/O, no clock: time and randomness are arguments. Every function that changes a session changes it wholly or,
 * when it returns an error, not at all.
 *
 * Persist before you act: store the session (chq_session_write) together with the envelope before the envelope is
 * sent, and together with the plaintext before the envelope is acknowledged. A session read back from an older
 * copy makes message numbers repeat; nothing leaks (nonces are random) but the peer refuses those messages.
 *
 * How a device receives:
 *   front door queue, chq_envelope_kind INITIAL: chq_initial_open; if a session with initial->session_id is known,
 *     chq_session_decrypt_initial with it, else chq_session_accept. Check that initial->sender is in the sender
 *     account's proved device list before anything is shown.
 *   contact queue, kind NORMAL: chq_session_decrypt with each session of that contact, until one does not return
 *     CHQ_AUTH.
 * How it sends: with the session that chq_session_is_better picks among those with the peer's device. Until the
 * peer has answered, envelopes are of kind INITIAL and go to the front door.
 */
struct chq_session;

/* The other device. Take it from the account's proved device list. */
struct chq_session_peer {
    uint8_t account_id[CHQ_ACCOUNT_ID_BYTES];
    uint8_t signing_key[CHQ_SIGN_PUBLIC_BYTES]; /* its hash is the device id */
    uint8_t identity_key[CHQ_DH_BYTES];
};

struct chq_session_info {
    uint8_t id[CHQ_SESSION_ID_BYTES];
    struct chq_session_peer peer;
    uint64_t started_s; /* by the clock of the side that started; both sides hold the same number */
    bool initiator; /* we started it */
    bool confirmed; /* the peer is known to have it: we accepted it, or a message came back on it */
};

enum chq_envelope_kind { CHQ_ENVELOPE_INITIAL = 1, CHQ_ENVELOPE_NORMAL = 2 };

/*
 * Tell what `envelope` is from its first bytes. CHQ_MALFORMED when it is no envelope (size not one of 256, 1,024,
 * 4,096, 16,384; unknown kind), CHQ_UNSUPPORTED for another version.
 */
CHQ_MUST_CHECK enum chq_err chq_envelope_kind(enum chq_envelope_kind *kind, struct chq_bytes envelope);

/* What is needed to write first: whom to, and what lay at the front door (signed forms, as received). */
struct chq_session_offer {
    struct chq_session_peer peer;
    struct chq_bytes bundle;
    struct chq_bytes one_time; /* empty when there was none left */
};

/*
 * Start a session. CHQ_AUTH when bundle or one-time prekey are not signed by the peer's signing key, belong to another
 * account or device, or hold a low-order or invalid key; CHQ_MALFORMED, CHQ_UNSUPPORTED, CHQ_NO_MEMORY; CHQ_STATE
 * when the peer's device is our own.
 */
CHQ_MUST_CHECK enum chq_err chq_session_start(struct chq_session **out, const struct chq_session_self *self,
    const struct chq_session_offer *offer, uint64_t now_s, const struct chq_random *random);

/* An initial envelope whose seal has been opened. The sender is only claimed until a decryption succeeds. */
struct chq_initial {
    uint8_t session_id[CHQ_SESSION_ID_BYTES];
    struct chq_session_peer sender;
    uint32_t signed_prekey_id;
    uint32_t one_time_prekey_id; /* 0 for none; delete its secret when the session is stored */
    uint64_t started_s;
    /* private to core/session */
    uint8_t *block; /* the opened seal: handshake and message */
    size_t block_bytes;
};

/*
 * Open the seal of an initial envelope to this device. CHQ_MALFORMED, CHQ_UNSUPPORTED, CHQ_NOT_FOUND when the signed
 * prekey is gone, CHQ_AUTH when it was not sealed to us, CHQ_NO_MEMORY. On CHQ_OK release with chq_initial_close.
 */
CHQ_MUST_CHECK enum chq_err chq_initial_open(
    struct chq_initial *out, const struct chq_session_self *self, struct chq_bytes envelope);
void chq_initial_close(struct chq_initial *initial);

/*
 * Accept the session that `initial` starts and append its first plaintext to `plain`. CHQ_NOT_FOUND when a prekey is gone
 * (one-time: used before, perhaps a replay), CHQ_AUTH when the sender does not have the keys it claims, CHQ_NO_MEMORY.
 * Without a one-time prekey a replay cannot be told by keys: remember session ids as long as the signed prekey lives.
 */
CHQ_MUST_CHECK enum chq_err chq_session_accept(struct chq_session **out, const struct chq_session_self *self,
    const struct chq_initial *initial, uint64_t now_s, const struct chq_random *random,
    struct chq_writer *plain);

/*
 * Encrypt `plain` into one envelope and append it to `out`. CHQ_LIMIT when it does not fit the largest envelope, or the
 * chain's numbers are used up; CHQ_NO_MEMORY. CHQ_SESSION_PLAIN_BYTES_MAX always fits.
 */
CHQ_MUST_CHECK enum chq_err chq_session_encrypt(struct chq_session *session, struct chq_bytes plain,
    uint64_t now_s, const struct chq_random *random, struct chq_writer *out);

/*
 * Decrypt a normal envelope and append the plaintext to `plain`.
 *   CHQ_AUTH    not for this session, or forged: try the next session
 *   CHQ_STATE   received before, or too old to have a key still: drop it
 *   CHQ_EXISTS  another message came under this number before: the peer's state was cloned or rolled back; start anew
 *   CHQ_LIMIT   more than 25,000 numbers ahead
 *   CHQ_MALFORMED, CHQ_UNSUPPORTED, CHQ_NO_MEMORY
 */
CHQ_MUST_CHECK enum chq_err chq_session_decrypt(struct chq_session *session, struct chq_bytes envelope,
    uint64_t now_s, const struct chq_random *random, struct chq_writer *plain);

/* The same for an initial envelope that belongs to a session already accepted. CHQ_AUTH for another session's. */
CHQ_MUST_CHECK enum chq_err chq_session_decrypt_initial(struct chq_session *session,
    const struct chq_initial *initial, uint64_t now_s, const struct chq_random *random,
    struct chq_writer *plain);

/* Borrowed until the session changes. */
const struct chq_session_info *chq_session_info(const struct chq_session *session);

/*
 * Return whether `a` is to be preferred to `b` for sending, both with the same device. When both sides start at once
 * both sessions are kept, and this makes both sides choose the same one as soon as each has heard the other: a
 * confirmed one before an unconfirmed one, then the one started later, then the lower id. When you start anew because
 * a session is broken, stop offering the broken one here.
 */
bool chq_session_is_better(const struct chq_session *a, const struct chq_session *b);

/* Write a key for another use that both sides derive alike, bound to `label` (SRTP: the call id). */
void chq_session_export(const struct chq_session *session, struct chq_bytes label, uint8_t out[32]);

/* Append the whole secret state, deterministic CBOR of at most CHQ_SESSION_STATE_BYTES_MAX, to `w`. */
void chq_session_write(struct chq_writer *w, const struct chq_session *session);
/* Read what chq_session_write wrote. CHQ_MALFORMED, CHQ_UNSUPPORTED, CHQ_NO_MEMORY. */
CHQ_MUST_CHECK enum chq_err chq_session_read(struct chq_session **out, struct chq_bytes in);

/* Wipe and free; accepts NULL. */
void chq_session_free(struct chq_session *session);

#endif
