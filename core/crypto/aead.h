/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CHQ_CORE_CRYPTO_AEAD_H
#define CHQ_CORE_CRYPTO_AEAD_H

#include <stddef.h>
#include <stdint.h>

#include "core/base/bytes.h"
#include "core/base/err.h"

#define CHQ_AEAD_KEY_BYTES      32
#define CHQ_AEAD_NONCE_BYTES    24
#define CHQ_AEAD_COMMIT_BYTES   32 /* key commitment, in front of the ciphertext */
#define CHQ_AEAD_TAG_BYTES      16
#define CHQ_AEAD_OVERHEAD_BYTES (CHQ_AEAD_COMMIT_BYTES + CHQ_AEAD_TAG_BYTES)

/*
 * XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha) made key-committing: from `key` and `nonce` HKDF-SHA-256 derives the cipher
 * key and a 32-byte commitment that is sent in front, so that no ciphertext opens under two keys.
 * `out` holds plain.size + CHQ_AEAD_OVERHEAD_BYTES.
 */
void chq_aead_seal(uint8_t *out, const uint8_t key[CHQ_AEAD_KEY_BYTES],
    const uint8_t nonce[CHQ_AEAD_NONCE_BYTES], struct chq_bytes plain, struct chq_bytes associated);

/*
 * Open what chq_aead_seal made; `out` holds sealed.size - CHQ_AEAD_OVERHEAD_BYTES and may be the place after the
 * commitment in `sealed`. CHQ_MALFORMED when too short; CHQ_AUTH when key, nonce or bytes are not the sealed ones.
 */
CHQ_MUST_CHECK enum chq_err chq_aead_open(uint8_t *out, const uint8_t key[CHQ_AEAD_KEY_BYTES],
    const uint8_t nonce[CHQ_AEAD_NONCE_BYTES], struct chq_bytes sealed, struct chq_bytes associated);

#endif
