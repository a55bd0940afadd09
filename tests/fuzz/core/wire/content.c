/* SPDX-License-Identifier: Apache-2.0 */
/* Content that reads must write back byte for byte, or be of a kind that a later version made. */
#include <string.h>

#include "core/base/assert.h"
#include "core/wire/content.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct chq_content content;
    if (chq_content_read(&content, chq_bytes(data, size)) != CHQ_OK)
        return 0;
    struct chq_writer w = chq_writer_heap(size);
    chq_content_write(&w, &content);
    CHQ_ASSERT(chq_writer_finish(&w) == CHQ_OK);
    CHQ_ASSERT(w.size == size && memcmp(w.data, data, size) == 0);
    chq_writer_free(&w);
    return 0;
}
