/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CHQ_CORE_CRYPTO_PASSWORD_H
#define CHQ_CORE_CRYPTO_PASSWORD_H

#include <stdint.h>

#include "core/base/bytes.h"
#include "core/base/err.h"
#include "core/base/limits.h"

#define CHQ_PASSWORD_SALT_BYTES 16
#define CHQ_PASSWORD_KEY_BYTES  32
/* What new profiles use (RFC 9106 section 4 second choice has 64 MiB too), and the most that a stored one may ask for. */
#define CHQ_PASSWORD_PASSES_DEFAULT 3
#define CHQ_PASSWORD_BYTES_DEFAULT  (64u * 1024 * 1024)

/*
 * Make a key of `passphrase` by Argon2id v1.3 (RFC 9106), one lane. CHQ_LIMIT when `passes` is not 1 to
 * CHQ_PASSWORD_PASSES_MAX or `memory_bytes` not 8 KiB to CHQ_PASSWORD_BYTES_MAX; CHQ_NO_MEMORY when the memory
 * cannot be had. `key` is zeroed on error.
 */
CHQ_MUST_CHECK enum chq_err chq_password_key(uint8_t key[CHQ_PASSWORD_KEY_BYTES], struct chq_bytes passphrase,
    const uint8_t salt[CHQ_PASSWORD_SALT_BYTES], uint32_t passes, uint32_t memory_bytes);

#endif
