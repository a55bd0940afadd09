/* SPDX-License-Identifier: Apache-2.0 */
#include "p2p/media/wav.h"

#include <string.h>

enum { FORMAT_PCM = 1, RATE_MIN = 8000, RATE_MAX = 48000 };

static uint32_t little32(struct chq_reader *r)
{
    return __builtin_bswap32(chq_read_u32(r));
}

static uint16_t little16(struct chq_reader *r)
{
    return __builtin_bswap16(chq_read_u16(r));
}

static bool is_tag(struct chq_bytes tag, const char *name)
{
    return tag.size == 4 && memcmp(tag.data, name, 4) == 0;
}

static enum chq_err read_format(struct chq_bytes chunk, struct chq_wav *out)
{
    struct chq_reader r = chq_reader(chunk);
    const uint16_t format = little16(&r);
    const uint16_t channels = little16(&r);
    const uint32_t rate = little32(&r);
    (void)little32(&r);
    const uint16_t align = little16(&r);
    const uint16_t bits = little16(&r);
    if (r.err != CHQ_OK)
        return CHQ_MALFORMED;
    if (format != FORMAT_PCM || channels != 1 || bits != 16 || align != 2 || rate < RATE_MIN ||
        rate > RATE_MAX)
        return CHQ_UNSUPPORTED;
    out->rate = rate;
    return CHQ_OK;
}

enum chq_err chq_wav_read(struct chq_bytes in, struct chq_wav *out)
{
    struct chq_wav wav = {0};
    *out = wav;
    struct chq_reader r = chq_reader(in);
    const struct chq_bytes riff = chq_read_bytes(&r, 4);
    (void)little32(&r);
    const struct chq_bytes wave = chq_read_bytes(&r, 4);
    if (!is_tag(riff, "RIFF") || !is_tag(wave, "WAVE"))
        return CHQ_MALFORMED;
    while (r.err == CHQ_OK) {
        const struct chq_bytes tag = chq_read_bytes(&r, 4);
        size_t size = little32(&r);
        if (r.err != CHQ_OK)
            break;
        if (is_tag(tag, "data")) {
            if (wav.rate == 0)
                break;
            if (size > chq_reader_left(&r))
                size = chq_reader_left(&r);
            wav.samples = chq_read_bytes(&r, size & ~(size_t)1);
            *out = wav;
            return CHQ_OK;
        }
        const struct chq_bytes chunk = chq_read_bytes(&r, size);
        if (size % 2 != 0)
            (void)chq_read_u8(&r);
        if (r.err == CHQ_OK && is_tag(tag, "fmt "))
            CHQ_TRY(read_format(chunk, &wav));
    }
    return CHQ_MALFORMED;
}

static void put32(uint8_t *at, uint32_t v)
{
    chq_store_u32(at, __builtin_bswap32(v));
}

void chq_wav_header(uint8_t out[CHQ_WAV_HEADER_BYTES], uint32_t rate, uint32_t samples)
{
    memcpy(out, "RIFF....WAVEfmt ....", 20);
    put32(out + 4, CHQ_WAV_HEADER_BYTES - 8 + samples * 2);
    put32(out + 16, 16);
    put32(out + 20, 1u << 16 | FORMAT_PCM); /* PCM, one channel */
    put32(out + 24, rate);
    put32(out + 28, rate * 2);
    put32(out + 32, 16u << 16 | 2); /* 2 bytes a sample, 16 bits */
    memcpy(out + 36, "data", 4);
    put32(out + 40, samples * 2);
}
