/* SPDX-License-Identifier: Apache-2.0 */
#include "ledger/shard/shard.h"

#include "core/base/assert.h"
#include "core/base/bytes.h"
#include "core/crypto/hash.h"

uint32_t chq_shard_of_account(const uint8_t account[32], unsigned bits)
{
    uint8_t hash[CHQ_HASH_BYTES];
    CHQ_ASSERT(bits <= CHQ_SHARD_BITS_MAX);
    if (bits == 0)
        return 0;
    chq_blake2b(hash, chq_bytes(NULL, 0), chq_bytes(account, 32));
    return chq_load_u32(hash) >> (32 - bits);
}
