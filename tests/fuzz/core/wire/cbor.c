/* SPDX-License-Identifier: Apache-2.0 */
/* Whatever chq_cbor_check accepts must come out of a read and a write byte for byte: there is one form only. */
#include "core/wire/cbor.h"
#include "cbor_copy.h"
#include "core/base/assert.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (chq_cbor_check(chq_bytes(data, size)) != CHQ_OK)
        return 0;
    struct chq_reader r = chq_reader(chq_bytes(data, size));
    struct chq_writer w = chq_writer_heap(size);
    chq_cbor_copy_item(&r, &w);
    CHQ_ASSERT(chq_reader_finish(&r) == CHQ_OK);
    CHQ_ASSERT(chq_writer_finish(&w) == CHQ_OK);
    CHQ_ASSERT(w.size == size && memcmp(w.data, data, size) == 0);
    chq_writer_free(&w);
    return 0;
}
