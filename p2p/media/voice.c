/* SPDX-License-Identifier: Apache-2.0 */
#include "p2p/media/voice.h"

#include <opus/opus.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/assert.h"

enum { RATE_WHOLE = 32000, RATE_HALF = 16000, CODE_MASK = 3, HALVES = 1, HALVES_PADDED = 2 };

struct chq_voice_encoder {
    OpusEncoder *opus;
    bool copies, previous_known;
    uint8_t previous[CHQ_VOICE_HALF_BYTES];
};

struct chq_voice_decoder {
    OpusDecoder *opus;
};

/* A packet of one frame: count code 0, or 3 where padded (the decoder checks its count byte). */
static bool one_frame(uint8_t toc)
{
    return (toc & CODE_MASK) == 0 || (toc & CODE_MASK) == CODE_MASK;
}

enum chq_err chq_voice_split(
    struct chq_bytes in, uint8_t first[CHQ_VOICE_PAYLOAD_BYTES], struct chq_voice_payload *out)
{
    static const uint8_t none[CHQ_VOICE_HALF_BYTES];
    *out = (struct chq_voice_payload){0};
    if (in.size != CHQ_VOICE_PAYLOAD_BYTES)
        return CHQ_MALFORMED;
    const bool whole = one_frame(in.data[0]);
    const size_t size = whole ? CHQ_VOICE_PAYLOAD_BYTES : CHQ_VOICE_HALF_BYTES;
    const uint8_t *second = in.data + CHQ_VOICE_HALF_BYTES;
    const bool copy = !whole && memcmp(second, none, sizeof none) != 0;
    if (copy && !one_frame(second[0]))
        return CHQ_MALFORMED;
    memcpy(first, in.data, size);
    if (!whole)
        first[0] = (uint8_t)((in.data[0] & ~CODE_MASK) |
                             ((in.data[0] & CODE_MASK) == HALVES_PADDED ? CODE_MASK : 0));
    out->frame = chq_bytes(first, size);
    if (copy)
        out->previous = chq_bytes(second, CHQ_VOICE_HALF_BYTES);
    return CHQ_OK;
}

enum chq_err chq_voice_encoder_new(struct chq_voice_encoder **out)
{
    *out = NULL;
    struct chq_voice_encoder *e = calloc(1, sizeof *e);
    if (e == NULL)
        return CHQ_NO_MEMORY;
    int err = 0;
    e->opus = opus_encoder_create(CHQ_VOICE_RATE, 1, OPUS_APPLICATION_VOIP, &err);
    if (e->opus == NULL) {
        free(e);
        return CHQ_NO_MEMORY;
    }
    /* Constant bit rate and no silence suppression: packet sizes and times say nothing about the speech. */
    if (opus_encoder_ctl(e->opus, OPUS_SET_VBR(0)) != OPUS_OK ||
        opus_encoder_ctl(e->opus, OPUS_SET_DTX(0)) != OPUS_OK ||
        opus_encoder_ctl(e->opus, OPUS_SET_BITRATE(RATE_WHOLE)) != OPUS_OK) {
        chq_voice_encoder_free(e);
        return CHQ_UNSUPPORTED;
    }
    *out = e;
    return CHQ_OK;
}

void chq_voice_encoder_free(struct chq_voice_encoder *encoder)
{
    if (encoder == NULL)
        return;
    opus_encoder_destroy(encoder->opus);
    free(encoder);
}

void chq_voice_encoder_set_copies(struct chq_voice_encoder *encoder, bool copies)
{
    if (encoder->copies == copies)
        return;
    encoder->copies = copies;
    encoder->previous_known = false;
    const int err = opus_encoder_ctl(encoder->opus, OPUS_SET_BITRATE(copies ? RATE_HALF : RATE_WHOLE));
    CHQ_ASSERT(err == OPUS_OK);
}

enum chq_err chq_voice_encode(struct chq_voice_encoder *encoder, const int16_t pcm[CHQ_VOICE_FRAME_SAMPLES],
    uint8_t payload[CHQ_VOICE_PAYLOAD_BYTES])
{
    memset(payload, 0, CHQ_VOICE_PAYLOAD_BYTES);
    const int want = encoder->copies ? CHQ_VOICE_HALF_BYTES : CHQ_VOICE_PAYLOAD_BYTES;
    const int size = opus_encode(encoder->opus, pcm, CHQ_VOICE_FRAME_SAMPLES, payload, want);
    if (size != want || !one_frame(payload[0])) {
        memset(payload, 0, CHQ_VOICE_PAYLOAD_BYTES);
        return CHQ_UNSUPPORTED; /* an encoder that does not keep the constant size must not be used */
    }
    if (!encoder->copies)
        return CHQ_OK;
    uint8_t *second = payload + CHQ_VOICE_HALF_BYTES;
    if (encoder->previous_known)
        memcpy(second, encoder->previous, CHQ_VOICE_HALF_BYTES);
    memcpy(encoder->previous, payload, CHQ_VOICE_HALF_BYTES);
    payload[0] =
        (uint8_t)((payload[0] & ~CODE_MASK) | ((payload[0] & CODE_MASK) == 0 ? HALVES : HALVES_PADDED));
    encoder->previous_known = true;
    return CHQ_OK;
}

enum chq_err chq_voice_decoder_new(struct chq_voice_decoder **out)
{
    *out = NULL;
    struct chq_voice_decoder *d = calloc(1, sizeof *d);
    if (d == NULL)
        return CHQ_NO_MEMORY;
    int err = 0;
    d->opus = opus_decoder_create(CHQ_VOICE_RATE, 1, &err);
    if (d->opus == NULL) {
        free(d);
        return CHQ_NO_MEMORY;
    }
    *out = d;
    return CHQ_OK;
}

void chq_voice_decoder_free(struct chq_voice_decoder *decoder)
{
    if (decoder == NULL)
        return;
    opus_decoder_destroy(decoder->opus);
    free(decoder);
}

enum chq_err chq_voice_decode(
    struct chq_voice_decoder *decoder, struct chq_bytes frame, int16_t pcm[CHQ_VOICE_FRAME_SAMPLES])
{
    enum chq_err err = CHQ_OK;
    int samples = -1;
    /* A frame of another length (the TOC is the peer's to write) would shift everything after it. */
    if (frame.size > 0) {
        if (opus_packet_get_nb_samples(frame.data, (opus_int32)frame.size, CHQ_VOICE_RATE) ==
            CHQ_VOICE_FRAME_SAMPLES)
            samples = opus_decode(
                decoder->opus, frame.data, (opus_int32)frame.size, pcm, CHQ_VOICE_FRAME_SAMPLES, 0);
        if (samples != CHQ_VOICE_FRAME_SAMPLES)
            err = CHQ_MALFORMED;
    }
    if (samples != CHQ_VOICE_FRAME_SAMPLES)
        samples = opus_decode(decoder->opus, NULL, 0, pcm, CHQ_VOICE_FRAME_SAMPLES, 0);
    if (samples != CHQ_VOICE_FRAME_SAMPLES)
        memset(pcm, 0, sizeof *pcm * CHQ_VOICE_FRAME_SAMPLES);
    return err;
}
