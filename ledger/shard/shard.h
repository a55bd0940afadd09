/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CHQ_LEDGER_SHARD_SHARD_H
#define CHQ_LEDGER_SHARD_SHARD_H

#include <stdint.h>

#include "core/base/limits.h"

/*
 * The shard of an account where there are 2^bits of them: the top `bits` (0 to CHQ_SHARD_BITS_MAX) of BLAKE2b-256 of
 * the account id. Growing from N to 2N shards splits each in two: shard s becomes 2s and 2s + 1.
 */
uint32_t chq_shard_of_account(const uint8_t account[32], unsigned bits);

#endif
