/* SPDX-License-Identifier: Apache-2.0 */
/* A frame that reads must write back byte for byte, and read again. */
#include "core/wire/frame.h"
#include "core/base/assert.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct chq_frame frame, again;
    if (chq_frame_read(chq_bytes(data, size), &frame) != CHQ_OK)
        return 0;
    struct chq_writer w = chq_writer_heap(CHQ_FRAME_BYTES_MAX);
    CHQ_ASSERT(chq_frame_write(&w, &frame) == CHQ_OK);
    CHQ_ASSERT(w.size == size && memcmp(w.data, data, size) == 0);
    CHQ_ASSERT(chq_frame_read(chq_writer_bytes(&w), &again) == CHQ_OK);
    CHQ_ASSERT(again.type == frame.type && again.id == frame.id);
    chq_writer_free(&w);
    return 0;
}
