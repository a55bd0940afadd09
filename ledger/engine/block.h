/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CHQ_LEDGER_ENGINE_BLOCK_H
#define CHQ_LEDGER_ENGINE_BLOCK_H

#include "core/base/limits.h"
#include "core/crypto/keys.h"
#include "core/wire/genesis.h"
#include "core/wire/header.h"

/* Blocks of the embedded engine: the header a CometBFT chain of one validator would have, and its one vote. */

/* The newest block; height 0: there is none. */
struct chq_tip {
    uint64_t height;
    struct chq_time time;
    size_t batches; /* in it */
    uint8_t hash[32]; /* of its header */
    uint8_t app_hash[32]; /* in its header: the state before it */
    uint8_t signed_header[1024];
    size_t signed_header_size;
};

/* What a block is stored as: `{1: signed header, 2: array of Signed batches}`. */
struct chq_block {
    struct chq_bytes signed_header;
    size_t batches_count;
    struct chq_bytes batches; /* of a block that was read: chq_block_next walks them */
};

/*
 * Make, sign and store the header of the block after `tip` into `next`: `batches` are Signed containers, `app_hash`
 * the state root before the block.
 */
CHQ_MUST_CHECK enum chq_err chq_tip_make(struct chq_tip *next, const struct chq_tip *tip,
    const struct chq_genesis *genesis, const uint8_t app_hash[32], const struct chq_bytes *batches,
    size_t count, struct chq_time time, const struct chq_sign_pair *validator);

/* The time of the block after `tip`: `now_us`, or just after the tip's when the clock stands behind it. */
struct chq_time chq_tip_next_time(
    const struct chq_tip *tip, const struct chq_genesis *genesis, uint64_t now_us);

/*
 * Take a stored signed header as the block after `tip` with these batches: check that it is what chq_tip_make would
 * have made but for time and vote. CHQ_MALFORMED, CHQ_AUTH (another chain or another past). The vote is not checked.
 */
CHQ_MUST_CHECK enum chq_err chq_tip_follow(struct chq_tip *next, const struct chq_tip *tip,
    const struct chq_genesis *genesis, const uint8_t app_hash[32], const struct chq_block *block);

/* Take a stored signed header as the tip, without a past. CHQ_MALFORMED. */
CHQ_MUST_CHECK enum chq_err chq_tip_restore(
    struct chq_tip *tip, struct chq_bytes signed_header, size_t batches);

void chq_block_put(
    struct chq_writer *w, struct chq_bytes signed_header, const struct chq_bytes *batches, size_t count);
/* Read a block. CHQ_MALFORMED. */
CHQ_MUST_CHECK enum chq_err chq_block_read(struct chq_bytes in, struct chq_block *out);
/* Walk the batches: `at` starts as chq_reader(block->batches). */
bool chq_block_next(struct chq_reader *at, struct chq_bytes *signed_batch);

#endif
