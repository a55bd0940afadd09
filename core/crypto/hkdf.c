/* SPDX-License-Identifier: Apache-2.0 */
#include "core/crypto/hkdf.h"

#include <sodium.h>

#include "core/base/assert.h"

void chq_hkdf(uint8_t *out, size_t size, struct chq_bytes salt, struct chq_bytes input, struct chq_bytes info)
{
    uint8_t prk[crypto_kdf_hkdf_sha256_KEYBYTES];
    CHQ_ASSERT(size <= crypto_kdf_hkdf_sha256_BYTES_MAX);
    crypto_kdf_hkdf_sha256_extract(prk, salt.data, salt.size, input.data, input.size);
    int failed = crypto_kdf_hkdf_sha256_expand(out, size, (const char *)info.data, info.size, prk);
    sodium_memzero(prk, sizeof prk);
    CHQ_ASSERT(failed == 0);
}
