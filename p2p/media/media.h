/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CHQ_P2P_MEDIA_MEDIA_H
#define CHQ_P2P_MEDIA_MEDIA_H

#include "core/base/bytes.h"
#include "core/base/random.h"
#include "p2p/media/srtp.h"
#include "p2p/media/voice.h"

/* Sizes on the wire: SRTP 12 + 80 + 16, SRTCP 52 + 16 + 4. Nothing else is ever sent. */
#define CHQ_MEDIA_PACKET_BYTES 108
#define CHQ_MEDIA_REPORT_BYTES 72
#define CHQ_MEDIA_REPORT_US    1000000

/* Everything a user or a test wants to know of one call's audio. Times in microseconds. */
struct chq_media_stats {
    uint64_t sent, received; /* voice packets */
    uint64_t lost; /* RFC 3550 A.3: expected less received */
    uint64_t recovered, late, duplicate, concealed, held, merged;
    uint64_t refused; /* not authentic, replayed or malformed */
    uint32_t longest_gap_us; /* longest time between two arrivals */
    uint32_t jitter_us; /* RFC 3550 section 6.4.1 */
    uint32_t buffer_us; /* waiting time in the jitter buffer */
    uint32_t round_trip_us; /* from reports; 0: not known yet */
    int64_t
        one_way_us; /* capture to arrival, median of the last 64; right only where both clocks are the same */
    bool one_way_known;
    uint32_t peer_loss_permille; /* what the other side lost of ours, smoothed */
    bool copies; /* sending 16 kbit/s frames with copies */
    uint64_t bytes_sent, bytes_received; /* UDP payload */
};

/*
 * The audio of one call: frames of 20 ms in, packets out, and the reverse. No I/O, clock or device.
 *
 * Ownership: `pcm` and `datagram` of an event are borrowed for the call; what the actions point to is valid until the
 * next step.
 */
struct chq_media_event {
    uint64_t now_us; /* monotonic */
    uint64_t wall_us; /* since 1970 */
    enum {
        CHQ_MEDIA_CAPTURED = 1, /* one frame from the microphone -> send */
        CHQ_MEDIA_RECEIVED, /* one datagram from the path */
        CHQ_MEDIA_PLAY, /* the device wants one frame -> play */
        CHQ_MEDIA_TIMEOUT /* the deadline has come -> send */
    } type;
    union {
        const int16_t *pcm; /* CAPTURED: CHQ_VOICE_FRAME_SAMPLES samples */
        struct chq_bytes datagram;
    };
};

struct chq_media_actions {
    struct chq_bytes send; /* empty: nothing */
    const int16_t *play; /* after PLAY: CHQ_VOICE_FRAME_SAMPLES samples; otherwise NULL */
};

struct chq_media;

/* Make a side of a call. `random` chooses the first sequence number and timestamp. CHQ_NO_MEMORY, CHQ_IO. */
CHQ_MUST_CHECK enum chq_err chq_media_new(
    const struct chq_media_keys *keys, const struct chq_random *random, struct chq_media **out);
void chq_media_free(struct chq_media *media);

/*
 * RECEIVED: CHQ_AUTH, CHQ_STATE (replayed), CHQ_MALFORMED: dropped and counted, go on. CAPTURED: CHQ_EXPIRED after 2^48
 * packets, CHQ_UNSUPPORTED when the encoder does not keep its size.
 */
CHQ_MUST_CHECK enum chq_err chq_media_step(
    struct chq_media *media, const struct chq_media_event *in, struct chq_media_actions *out);

/* When to step TIMEOUT, on the clock of now_us; UINT64_MAX before the first captured frame. */
uint64_t chq_media_deadline_us(const struct chq_media *media);

void chq_media_stats(const struct chq_media *media, struct chq_media_stats *out);

#endif
