/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CHQ_CORE_CRYPTO_HKDF_H
#define CHQ_CORE_CRYPTO_HKDF_H

#include <stddef.h>
#include <stdint.h>

#include "core/base/bytes.h"

/* HKDF-SHA-256 (RFC 5869): extract with `salt`, expand with `info` to `size` bytes, at most 8,160. */
void chq_hkdf(
    uint8_t *out, size_t size, struct chq_bytes salt, struct chq_bytes input, struct chq_bytes info);

#endif
