/* SPDX-License-Identifier: Apache-2.0 */
/* A phrase that reads must be the one that its entropy writes, up to case, space and shortened words. */
#include <stdlib.h>
#include <string.h>

#include "core/base/assert.h"
#include "core/base/limits.h"
#include "core/identity/handle.h"
#include "core/identity/recovery.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t entropy[CHQ_RECOVERY_ENTROPY_BYTES], again[CHQ_RECOVERY_ENTROPY_BYTES];
    char words[CHQ_RECOVERY_TEXT_BYTES], *text = malloc(size + 1);
    unsigned wrong;
    CHQ_ASSERT(text != NULL);
    memcpy(text, data, size);
    text[size] = '\0';
    enum chq_err err = chq_recovery_read(entropy, text, &wrong);
    CHQ_ASSERT(err != CHQ_MALFORMED || wrong > 0);
    if (err == CHQ_OK) {
        chq_recovery_write(words, entropy);
        CHQ_ASSERT(chq_recovery_read(again, words, &wrong) == CHQ_OK);
        CHQ_ASSERT(memcmp(again, entropy, sizeof again) == 0);
    }
    if (size >= sizeof entropy) { /* and whatever entropy there is, its words bring it back */
        chq_recovery_write(words, data);
        CHQ_ASSERT(chq_recovery_read(again, words, &wrong) == CHQ_OK);
        CHQ_ASSERT(memcmp(again, data, sizeof again) == 0);
    }
    (void)chq_handle_is_valid(chq_bytes(data, size));
    free(text);
    return 0;
}
