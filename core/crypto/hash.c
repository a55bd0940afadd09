/* SPDX-License-Identifier: Apache-2.0 */
#include "core/crypto/hash.h"

#include <sodium.h>
#include <string.h>

void chq_hash(uint8_t out[CHQ_HASH_BYTES], const char *domain, const struct chq_bytes *parts, size_t n)
{
    crypto_hash_sha256_state state;
    crypto_hash_sha256_init(&state);
    crypto_hash_sha256_update(&state, (const uint8_t *)domain, strlen(domain) + 1);
    for (size_t i = 0; i < n; i++)
        if (parts[i].size > 0)
            crypto_hash_sha256_update(&state, parts[i].data, parts[i].size);
    crypto_hash_sha256_final(&state, out);
    sodium_memzero(&state, sizeof state);
}

void chq_sha256(uint8_t out[CHQ_HASH_BYTES], struct chq_bytes in)
{
    static const uint8_t none[1];
    crypto_hash_sha256(out, in.size > 0 ? in.data : none, in.size);
}

void chq_blake2b(uint8_t out[CHQ_HASH_BYTES], struct chq_bytes key, struct chq_bytes in)
{
    crypto_generichash(out, CHQ_HASH_BYTES, in.data, in.size, key.size > 0 ? key.data : NULL, key.size);
}
