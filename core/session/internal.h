/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CHQ_CORE_SESSION_INTERNAL_H
#define CHQ_CORE_SESSION_INTERNAL_H

#include "core/session/envelope.h"
#include "core/session/ratchet.h"
#include "core/session/session.h"

/* Private to core/session. */

/* What an initiator needs until the peer has answered: every envelope repeats the handshake under a new seal. */
struct chq_seal_target {
    uint32_t signed_id;
    uint8_t kem_key[CHQ_KEM_PUBLIC_BYTES]; /* the bundle's */
    uint8_t handshake[CHQ_HANDSHAKE_BYTES];
};

struct chq_session {
    struct chq_session_info info;
    uint8_t transcript[CHQ_HASH_BYTES]; /* bound into every message */
    uint8_t export_key[CHQ_RATCHET_KEY_BYTES];
    struct chq_ratchet ratchet;
    struct chq_skipped_list skipped;
    struct chq_seal_target *seal; /* NULL once confirmed, and at the responder */
};

/* Name the session that `handshake` starts at the device that signs with `responder_signing_key`. */
void chq_session_name(uint8_t out[CHQ_SESSION_ID_BYTES], const uint8_t handshake[CHQ_HANDSHAKE_BYTES],
    const uint8_t responder_signing_key[CHQ_SIGN_PUBLIC_BYTES]);

/* Hash what the body's tag covers beside the body: the session and the `bytes_before_body` bytes of the message. */
void chq_message_associated(uint8_t out[CHQ_HASH_BYTES], const struct chq_session *session,
    const uint8_t *message, size_t bytes_before_body);

/* Seal block_bytes bytes that stand at `envelope` + CHQ_SEAL_PREFIX_BYTES + CHQ_AEAD_COMMIT_BYTES, in place. */
CHQ_MUST_CHECK enum chq_err chq_seal_close(uint8_t *envelope, size_t block_bytes,
    const struct chq_session_peer *to, const struct chq_seal_target *target, const struct chq_random *random);

#endif
