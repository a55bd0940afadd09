/* SPDX-License-Identifier: Apache-2.0 */
/* Whatever chq_cbor_check accepts must come out of a read and a write byte for byte: there is one form only. */
#include "core/wire/cbor.h"
#include "core/base/assert.h"

#include <string.h>

static void copy_item(struct chq_reader *r, struct chq_writer *w)
{
    switch (*r->at >> 5) {
    case 0: chq_cbor_put_uint(w, chq_cbor_get_uint(r)); break;
    case 1: chq_cbor_put_int(w, chq_cbor_get_int(r)); break;
    case 2: chq_cbor_put_bytes(w, chq_cbor_get_bytes(r, SIZE_MAX)); break;
    case 3: chq_cbor_put_text(w, chq_cbor_get_text(r, SIZE_MAX)); break;
    case 4: {
        size_t n = chq_cbor_get_array(r, SIZE_MAX);
        chq_cbor_put_array(w, n);
        while (n-- > 0)
            copy_item(r, w);
        break;
    }
    default: {
        size_t n = chq_cbor_get_map(r, SIZE_MAX).left;
        chq_cbor_put_map(w, n);
        while (n-- > 0) {
            chq_cbor_put_key(w, chq_cbor_get_uint(r));
            copy_item(r, w);
        }
    }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (chq_cbor_check(chq_bytes(data, size)) != CHQ_OK)
        return 0;
    struct chq_reader r = chq_reader(chq_bytes(data, size));
    struct chq_writer w = chq_writer_heap(size);
    copy_item(&r, &w);
    CHQ_ASSERT(chq_reader_finish(&r) == CHQ_OK);
    CHQ_ASSERT(chq_writer_finish(&w) == CHQ_OK);
    CHQ_ASSERT(w.size == size && memcmp(w.data, data, size) == 0);
    chq_writer_free(&w);
    return 0;
}
