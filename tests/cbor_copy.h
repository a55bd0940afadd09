/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CHQ_TESTS_CBOR_COPY_H
#define CHQ_TESTS_CBOR_COPY_H

#include "core/wire/cbor.h"

/* Read one checked item and write it again: there is one form only, so both must be the same bytes. */
static inline void chq_cbor_copy_item(struct chq_reader *r, struct chq_writer *w)
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
            chq_cbor_copy_item(r, w);
        break;
    }
    default: {
        size_t n = chq_cbor_get_map(r, SIZE_MAX).left;
        chq_cbor_put_map(w, n);
        while (n-- > 0) {
            chq_cbor_put_key(w, chq_cbor_get_uint(r));
            chq_cbor_copy_item(r, w);
        }
    }
    }
}

#endif
