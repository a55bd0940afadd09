/* SPDX-License-Identifier: Apache-2.0 */
#include "p2p/media/wav.h"

#include "core/base/assert.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct chq_wav wav;
    if (chq_wav_read(chq_bytes(data, size), &wav) == CHQ_OK) {
        CHQ_ASSERT(wav.rate >= 8000 && wav.rate <= 48000 && wav.samples.size % 2 == 0);
        CHQ_ASSERT(wav.samples.size == 0 ||
                   (wav.samples.data > data && wav.samples.data + wav.samples.size <= data + size));
    }
    return 0;
}
