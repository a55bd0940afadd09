/* SPDX-License-Identifier: Apache-2.0 */
/* Device lists, inceptions and signed containers: what reads must write back byte for byte. */
#include <string.h>

#include "core/base/assert.h"
#include "core/wire/cbor.h"
#include "core/wire/device_list.h"
#include "core/wire/inception.h"
#include "core/wire/signed.h"

static void expect(struct chq_writer *w, const uint8_t *data, size_t size)
{
    CHQ_ASSERT(chq_writer_finish(w) == CHQ_OK);
    CHQ_ASSERT(w->size == size && memcmp(w->data, data, size) == 0);
    chq_writer_free(w);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct chq_device_list list;
    struct chq_inception inception;
    struct chq_bytes in = chq_bytes(data, size), body;
    struct chq_writer w = chq_writer_heap(size);
    if (chq_device_list_read(&list, in) == CHQ_OK) {
        chq_device_list_write(&w, &list);
        expect(&w, data, size);
    }
    if (chq_inception_read(&inception, in) == CHQ_OK) {
        chq_inception_write(&w, &inception);
        expect(&w, data, size);
    }
    if (chq_signed_peek(&body, in, size) == CHQ_OK) {
        const uint8_t *signature = data + size - CHQ_SIGNATURE_BYTES;
        chq_cbor_put_map(&w, 2);
        chq_cbor_pair_bytes(&w, 1, body.data, body.size);
        chq_cbor_pair_bytes(&w, 2, signature, CHQ_SIGNATURE_BYTES);
        expect(&w, data, size);
        (void)!chq_device_list_follows(&list, in);
    }
    chq_writer_free(&w);
    return 0;
}
