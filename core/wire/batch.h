/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CHQ_CORE_WIRE_BATCH_H
#define CHQ_CORE_WIRE_BATCH_H

#include "core/wire/operation.h"

/* A batch: operations under one signature, applied whole or not at all (docs/protocol.md section 5). */

#define CHQ_BATCH_DOMAIN "chasqui batch v1"

struct chq_batch {
    struct chq_bytes chain_id;
    uint8_t signer[CHQ_ID_BYTES];
    uint64_t nonce;
    size_t operations_count;
    struct chq_bytes
        operations; /* of a batch that was read: the encoded operations; chq_batch_next reads them */
};

/*
 * Read a batch body (what the Signed container holds), all operations included, so that chq_batch_next cannot fail.
 * CHQ_MALFORMED otherwise. Views are borrowed from `body`.
 */
CHQ_MUST_CHECK enum chq_err chq_batch_read(struct chq_bytes body, struct chq_batch *out);

/* Walk the operations: `at` starts as chq_reader(batch->operations). Return false at the end. */
bool chq_batch_next(struct chq_reader *at, struct chq_operation *out);

/* Append a batch body of `count` operations; batch->operations_count and ->operations are not looked at. */
void chq_batch_put(struct chq_writer *w, const struct chq_batch *batch,
    const struct chq_operation *operations, size_t count);

#endif
