/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CHQ_CORE_SESSION_ENVELOPE_H
#define CHQ_CORE_SESSION_ENVELOPE_H

#include <stdbool.h>

#include "core/base/bytes.h"
#include "core/base/limits.h"
#include "core/crypto/aead.h"
#include "core/crypto/keys.h"
#include "core/wire/id.h"

/*
 * The bytes of an envelope (docs/protocol.md section 3.2). Its size is one of four, so all lengths inside follow from
 * it. Private to core/session.
 *
 * Normal:   0 version 1 | 1 kind 2 | 2 message
 * Initial:  0 version 1 | 1 kind 1 | 2 signed prekey id u32 | 6 X-Wing ciphertext 1120 | 1126 sealed block
 * Block:    0 handshake 1261 | 1261 message
 * Message:  0 nonce 24 | 24 header box 89 | 113 extension box 0, 1168, 1264 or 2384 | body box
 * Body:     0 length of content u16 | 2 content | zeros to the end
 */
#define CHQ_ENVELOPE_VERSION      1
#define CHQ_ENVELOPE_PREFIX_BYTES 2

#define CHQ_SEAL_PREFIX_BYTES   (CHQ_ENVELOPE_PREFIX_BYTES + 4 + CHQ_KEM_CIPHERTEXT_BYTES)
#define CHQ_SEAL_OVERHEAD_BYTES (CHQ_SEAL_PREFIX_BYTES + CHQ_AEAD_OVERHEAD_BYTES)

/* Header flags: what the extension holds, in this order. */
#define CHQ_HEADER_HAS_KEM_KEY        1u
#define CHQ_HEADER_HAS_KEM_CIPHERTEXT 2u

/* The ratchet header before encryption: flags u8 | ratchet key 32 | length of the previous chain u32 | number u32. */
struct chq_ratchet_header {
    uint8_t flags;
    uint8_t key[CHQ_DH_BYTES];
    uint32_t previous_n;
    uint32_t n;
};
#define CHQ_HEADER_BYTES      41
#define CHQ_HEADER_BOX_BYTES  (CHQ_HEADER_BYTES + CHQ_AEAD_OVERHEAD_BYTES)
#define CHQ_HEADER_AT         CHQ_AEAD_NONCE_BYTES
#define CHQ_EXTENSION_AT      (CHQ_HEADER_AT + CHQ_HEADER_BOX_BYTES)
#define CHQ_BODY_LENGTH_BYTES 2
#define CHQ_MESSAGE_BYTES_MIN (CHQ_EXTENSION_AT + CHQ_AEAD_OVERHEAD_BYTES + CHQ_BODY_LENGTH_BYTES)

/* The handshake inside a seal: what the receiver needs to derive the session, and who claims to be the sender. */
struct chq_handshake {
    uint8_t account_id[CHQ_ACCOUNT_ID_BYTES];
    uint8_t signing_key[CHQ_SIGN_PUBLIC_BYTES];
    uint8_t identity_key[CHQ_DH_BYTES];
    uint8_t ephemeral_key[CHQ_DH_BYTES];
    uint64_t started_s;
    uint32_t one_time_id; /* 0: none */
    uint8_t kem_source; /* enum chq_kem_source */
    uint8_t kem_ciphertext[CHQ_KEM_CIPHERTEXT_BYTES];
};
enum chq_kem_source { CHQ_KEM_FROM_SIGNED = 1, CHQ_KEM_FROM_ONE_TIME = 2 };
#define CHQ_HANDSHAKE_BYTES (4 * 32 + 8 + 4 + 1 + CHQ_KEM_CIPHERTEXT_BYTES)

/* Return the smallest of the four sizes that holds `bytes`, or 0 when none does. */
size_t chq_envelope_bucket(size_t bytes);
bool chq_envelope_is_bucket(size_t bytes);

void chq_header_write(uint8_t out[CHQ_HEADER_BYTES], const struct chq_ratchet_header *header);
/* CHQ_MALFORMED for flags that this version does not know. */
CHQ_MUST_CHECK enum chq_err chq_header_read(
    struct chq_ratchet_header *out, const uint8_t in[CHQ_HEADER_BYTES]);
/* Return the size of the extension box that `flags` announce. */
size_t chq_extension_box_bytes(uint8_t flags);

void chq_handshake_write(uint8_t out[CHQ_HANDSHAKE_BYTES], const struct chq_handshake *handshake);
/* CHQ_MALFORMED for an unknown source of the KEM key, or a one-time KEM key without a one-time prekey. */
CHQ_MUST_CHECK enum chq_err chq_handshake_read(
    struct chq_handshake *out, const uint8_t in[CHQ_HANDSHAKE_BYTES]);

/* Write length, content and zeros over all of `body` (size >= content.size + 2). */
void chq_body_write(uint8_t *body, size_t size, struct chq_bytes content);
/* Give the content inside `body` (borrowed). CHQ_MALFORMED when the length is too big or the padding is not zero. */
CHQ_MUST_CHECK enum chq_err chq_body_read(struct chq_bytes *content, struct chq_bytes body);

#endif
