/* SPDX-License-Identifier: Apache-2.0 */
/* A stored block that is read comes out of a write byte for byte, and follows no chain but its own. */
#include "ledger/engine/block.h"
#include "core/base/assert.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct chq_bytes batches[CHQ_BLOCK_BATCHES_MAX];
    static struct chq_genesis genesis = {
        .chain_id = "t", .validators_count = 1, .validators = {{.power = 1}}};
    struct chq_tip tip = {0}, next;
    struct chq_block block;
    const uint8_t root[32] = {0};
    size_t n = 0;
    if (chq_block_read(chq_bytes(data, size), &block) != CHQ_OK)
        return 0;
    struct chq_reader at = chq_reader(block.batches);
    while (chq_block_next(&at, &batches[n]))
        n++;
    CHQ_ASSERT(n == block.batches_count);
    struct chq_writer w = chq_writer_heap(size);
    chq_block_put(&w, block.signed_header, batches, n);
    CHQ_ASSERT(chq_writer_finish(&w) == CHQ_OK);
    CHQ_ASSERT(chq_bytes_equal(chq_writer_bytes(&w), chq_bytes(data, size)));
    (void)chq_tip_follow(&next, &tip, &genesis, root, &block);
    (void)chq_tip_restore(&tip, block.signed_header, n);
    chq_writer_free(&w);
    return 0;
}
