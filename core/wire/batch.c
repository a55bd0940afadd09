/* SPDX-License-Identifier: Apache-2.0 */
#include "core/wire/batch.h"

#include "core/base/assert.h"
#include "core/wire/cbor.h"

enum chq_err chq_batch_read(struct chq_bytes body, struct chq_batch *out)
{
    struct chq_reader r = chq_reader(body);
    struct chq_operation op;
    *out = (struct chq_batch){0};
    struct chq_batch b = {0};
    if (body.size > CHQ_BATCH_BYTES_MAX)
        return CHQ_MALFORMED;
    struct chq_cbor_map m = chq_cbor_get_map(&r, 4);
    chq_cbor_need(&r, &m, 1);
    b.chain_id = chq_cbor_get_text(&r, CHQ_CHAIN_ID_CHARS_MAX);
    chq_cbor_need(&r, &m, 2);
    chq_cbor_get_fixed(&r, b.signer, sizeof b.signer);
    chq_cbor_need(&r, &m, 3);
    b.nonce = chq_cbor_get_uint(&r);
    chq_cbor_need(&r, &m, 4);
    b.operations_count = chq_cbor_get_array(&r, CHQ_BATCH_OPERATIONS_MAX);
    const uint8_t *start = r.at;
    for (size_t i = 0; i < b.operations_count && r.err == CHQ_OK; i++)
        chq_operation_get(&r, &op);
    chq_cbor_map_end(&r, &m);
    CHQ_TRY(chq_reader_finish(&r));
    if (b.operations_count == 0 || b.chain_id.size == 0)
        return CHQ_MALFORMED;
    b.operations = chq_bytes(start, (size_t)(r.at - start));
    *out = b;
    return CHQ_OK;
}

bool chq_batch_next(struct chq_reader *at, struct chq_operation *out)
{
    if (chq_reader_left(at) == 0)
        return false;
    chq_operation_get(at, out);
    CHQ_ASSERT(at->err == CHQ_OK); /* chq_batch_read has read it before */
    return true;
}

void chq_batch_put(
    struct chq_writer *w, const struct chq_batch *batch, const struct chq_operation *operations, size_t count)
{
    if (count == 0 || count > CHQ_BATCH_OPERATIONS_MAX)
        chq_writer_fail(w, CHQ_LIMIT);
    chq_cbor_put_map(w, 4);
    chq_cbor_pair_text(w, 1, batch->chain_id);
    chq_cbor_pair_bytes(w, 2, batch->signer, sizeof batch->signer);
    chq_cbor_pair_uint(w, 3, batch->nonce);
    chq_cbor_put_key(w, 4);
    chq_cbor_put_array(w, count);
    for (size_t i = 0; i < count; i++)
        chq_operation_put(w, &operations[i]);
}
