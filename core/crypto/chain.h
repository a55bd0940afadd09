/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CHQ_CORE_CRYPTO_CHAIN_H
#define CHQ_CORE_CRYPTO_CHAIN_H

#include <stdint.h>

#include "core/base/err.h"

#define CHQ_TOKEN_BYTES      32
#define CHQ_CHAIN_SALT_BYTES 20

/*
 * The hash chain of a payment channel (PayWord, Rivest and Shamir 1996). Token 0 is the root, which the ledger
 * holds; token i is the preimage of token i - 1 under step(t) = SHA-256(t, salt): 52 bytes, one SHA-256 block. The
 * salt is the first 20 bytes of the channel id, so that no work on one channel helps against another.
 */
void chq_chain_step(uint8_t token[CHQ_TOKEN_BYTES], const uint8_t salt[CHQ_CHAIN_SALT_BYTES], uint64_t steps);

/*
 * Check that `token` lies exactly `steps` (1 to `steps_max`) after `last`: step^steps(token) == last.
 * CHQ_LIMIT when out of range, CHQ_AUTH when it does not.
 */
CHQ_MUST_CHECK enum chq_err chq_chain_verify(const uint8_t token[CHQ_TOKEN_BYTES],
    const uint8_t last[CHQ_TOKEN_BYTES], const uint8_t salt[CHQ_CHAIN_SALT_BYTES], uint64_t steps,
    uint64_t steps_max);

/* Compute token `index` of a chain of `length` tokens from its secret end (token `length`). */
void chq_chain_token(uint8_t out[CHQ_TOKEN_BYTES], const uint8_t end[CHQ_TOKEN_BYTES],
    const uint8_t salt[CHQ_CHAIN_SALT_BYTES], uint64_t length, uint64_t index);

#endif
