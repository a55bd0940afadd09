/* SPDX-License-Identifier: Apache-2.0 */
/* The text forms have one spelling each: what is read and written again is what came in. */
#include "core/base/text.h"
#include "core/base/assert.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 4096)
        return 0;
    char *text = malloc(size + 1), *back = malloc(2 * size + 64);
    uint8_t *bytes = malloc(size + 1);
    size_t n = 0;
    int64_t micro;
    CHQ_ASSERT(text != NULL && back != NULL && bytes != NULL);
    if (size > 0)
        memcpy(text, data, size);
    text[size] = '\0';
    (void)!chq_utf8_valid(chq_bytes(data, size));
    if (chq_base64url_read(chq_bytes(data, size), bytes, size + 1, &n) == CHQ_OK) {
        chq_base64url_write(chq_bytes(bytes, n), back);
        CHQ_ASSERT(strlen(back) == size && memcmp(back, data, size) == 0);
    }
    if (strlen(text) == size && chq_credit_read(text, &micro) == CHQ_OK) {
        int64_t again = -1;
        chq_credit_write(micro, back);
        CHQ_ASSERT(chq_credit_read(back, &again) == CHQ_OK && again == micro);
    }
    free(text);
    free(back);
    free(bytes);
    return 0;
}
