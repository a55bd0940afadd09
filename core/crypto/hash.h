/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CHQ_CORE_CRYPTO_HASH_H
#define CHQ_CORE_CRYPTO_HASH_H

#include <stddef.h>
#include <stdint.h>

#include "core/base/bytes.h"

#define CHQ_HASH_BYTES 32

/*
 * SHA-256 of `domain` (its characters and one zero byte) followed by the parts. Everything that is named, signed
 * or proved by a hash says what it is by its domain, so that no hash can be taken for another.
 */
void chq_hash(uint8_t out[CHQ_HASH_BYTES], const char *domain, const struct chq_bytes *parts, size_t n);

/* Plain SHA-256 (FIPS 180-4), for forms that others defined. */
void chq_sha256(uint8_t out[CHQ_HASH_BYTES], struct chq_bytes in);

/* BLAKE2b-256 (RFC 7693), `key` empty or up to 64 bytes. */
void chq_blake2b(uint8_t out[CHQ_HASH_BYTES], struct chq_bytes key, struct chq_bytes in);

#endif
