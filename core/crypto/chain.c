/* SPDX-License-Identifier: Apache-2.0 */
#include "core/crypto/chain.h"

#include <sodium.h>
#include <string.h>

#include "core/base/assert.h"

void chq_chain_step(uint8_t token[CHQ_TOKEN_BYTES], const uint8_t salt[CHQ_CHAIN_SALT_BYTES], uint64_t steps)
{
    uint8_t block[CHQ_TOKEN_BYTES + CHQ_CHAIN_SALT_BYTES];
    memcpy(block, token, CHQ_TOKEN_BYTES);
    memcpy(block + CHQ_TOKEN_BYTES, salt, CHQ_CHAIN_SALT_BYTES);
    while (steps-- > 0)
        crypto_hash_sha256(block, block, sizeof block);
    memcpy(token, block, CHQ_TOKEN_BYTES);
}

enum chq_err chq_chain_verify(const uint8_t token[CHQ_TOKEN_BYTES], const uint8_t last[CHQ_TOKEN_BYTES],
    const uint8_t salt[CHQ_CHAIN_SALT_BYTES], uint64_t steps, uint64_t steps_max)
{
    uint8_t walked[CHQ_TOKEN_BYTES];
    if (steps == 0 || steps > steps_max)
        return CHQ_LIMIT;
    memcpy(walked, token, sizeof walked);
    chq_chain_step(walked, salt, steps);
    return sodium_memcmp(walked, last, sizeof walked) == 0 ? CHQ_OK : CHQ_AUTH;
}

void chq_chain_token(uint8_t out[CHQ_TOKEN_BYTES], const uint8_t end[CHQ_TOKEN_BYTES],
    const uint8_t salt[CHQ_CHAIN_SALT_BYTES], uint64_t length, uint64_t index)
{
    CHQ_ASSERT(index <= length);
    memmove(out, end, CHQ_TOKEN_BYTES);
    chq_chain_step(out, salt, length - index);
}
