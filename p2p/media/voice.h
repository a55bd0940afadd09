/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CHQ_P2P_MEDIA_VOICE_H
#define CHQ_P2P_MEDIA_VOICE_H

#include "core/base/bytes.h"

#define CHQ_VOICE_RATE          48000
#define CHQ_VOICE_FRAME_SAMPLES 960 /* 20 ms mono */
#define CHQ_VOICE_FRAME_US      20000
#define CHQ_VOICE_PAYLOAD_BYTES 80 /* of every packet, whatever is inside (RFC 6562: constant size) */
#define CHQ_VOICE_HALF_BYTES    40

/*
 * The payload: 80 bytes, told apart by the two low bits of its first byte. In an Opus packet these are the frame count
 * code (RFC 6716 section 3.1); a packet of one frame has 0, or 3 where it is padded to its constant size.
 *
 *   code 0, 3  one frame at 32 kbit/s, 80 bytes
 *   code 1, 2  one frame at 16 kbit/s, 40 bytes, whose own code is 0 or 3, then the frame before it, 40 bytes, or zeros
 *              where that frame was not of this size
 *
 * Inside SRTP, so an observer cannot tell loss from no loss.
 */
struct chq_voice_payload {
    struct chq_bytes frame, previous; /* `previous` is empty where there is none */
};

/* Split `in`; `first[]` receives the first frame's bytes with their own code, and `out->frame` points to it. */
CHQ_MUST_CHECK enum chq_err chq_voice_split(
    struct chq_bytes in, uint8_t first[CHQ_VOICE_PAYLOAD_BYTES], struct chq_voice_payload *out);

struct chq_voice_encoder;
struct chq_voice_decoder;

CHQ_MUST_CHECK enum chq_err chq_voice_encoder_new(struct chq_voice_encoder **out);
void chq_voice_encoder_free(struct chq_voice_encoder *encoder);
/* Choose what later payloads hold: two halves (a frame and a copy), or one whole frame. */
void chq_voice_encoder_set_copies(struct chq_voice_encoder *encoder, bool copies);
CHQ_MUST_CHECK enum chq_err chq_voice_encode(struct chq_voice_encoder *encoder,
    const int16_t pcm[CHQ_VOICE_FRAME_SAMPLES], uint8_t payload[CHQ_VOICE_PAYLOAD_BYTES]);

CHQ_MUST_CHECK enum chq_err chq_voice_decoder_new(struct chq_voice_decoder **out);
void chq_voice_decoder_free(struct chq_voice_decoder *decoder);
/* Decode one Opus frame of 20 ms, or conceal a missing one when `frame` is empty. CHQ_MALFORMED: concealed instead. */
enum chq_err chq_voice_decode(
    struct chq_voice_decoder *decoder, struct chq_bytes frame, int16_t pcm[CHQ_VOICE_FRAME_SAMPLES]);

#endif
