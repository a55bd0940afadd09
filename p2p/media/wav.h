/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CHQ_P2P_MEDIA_WAV_H
#define CHQ_P2P_MEDIA_WAV_H

#include "core/base/bytes.h"
#include "core/base/limits.h"

#define CHQ_WAV_HEADER_BYTES 44

/* The samples of a RIFF WAVE file: 16-bit little-endian PCM. */
struct chq_wav {
    uint32_t rate;
    struct chq_bytes samples; /* borrowed, whole samples */
};

/*
 * Find format and samples. CHQ_MALFORMED: not RIFF WAVE, chunks past the end, no format before the data.
 * CHQ_UNSUPPORTED: not 16-bit PCM, not mono, a rate outside 8,000 to 48,000. A data chunk that claims more than the file
 * has (a recorder that was killed, a pipe) ends with the file.
 */
CHQ_MUST_CHECK enum chq_err chq_wav_read(struct chq_bytes in, struct chq_wav *out);

/* Write the header of a mono 16-bit file of `rate` with `samples` samples. */
void chq_wav_header(uint8_t out[CHQ_WAV_HEADER_BYTES], uint32_t rate, uint32_t samples);

#endif
