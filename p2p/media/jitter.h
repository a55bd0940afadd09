/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CHQ_P2P_MEDIA_JITTER_H
#define CHQ_P2P_MEDIA_JITTER_H

#include "core/base/bytes.h"

#define CHQ_JITTER_SLOTS       64 /* 1.28 s of frames; a power of two */
#define CHQ_JITTER_TRANSITS    200 /* arrivals the target delay is taken from: 4 s */
#define CHQ_JITTER_FRAME_BYTES 80

/*
 * An adaptive jitter buffer for frames of 20 ms with consecutive numbers. No clock and no allocation of its own.
 *
 * The transit of a frame is its arrival minus 20 ms times its number: equal for all frames if nothing jitters. The
 * buffer plays frame n at `target + 20 ms * n`, where `target` is the 96th percentile of the transits of the last
 * CHQ_JITTER_TRANSITS arrivals. A frame that was lost and came as the copy inside the next packet is a late frame:
 * while such are needed, the target is one frame (never more) later. Where the play time is off by more than a
 * tolerance, one frame is held (concealed without moving on) or two are merged into one.
 */
struct chq_jitter_slot {
    uint64_t number;
    uint8_t size; /* 0: empty */
    uint8_t frame[CHQ_JITTER_FRAME_BYTES];
};

struct chq_jitter_stats {
    uint64_t played, concealed, held, merged;
    uint64_t late, duplicate, recovered, resynced; /* recovered: filled by a copy and in time */
};

struct chq_jitter {
    struct chq_jitter_slot slots[CHQ_JITTER_SLOTS];
    int64_t transits[CHQ_JITTER_TRANSITS];
    unsigned transit_count, transit_at;
    bool started, playing;
    uint64_t next; /* the next number to play */
    uint64_t highest; /* the highest number put */
    uint64_t copy_until; /* play one frame later until this number */
    unsigned unmerged; /* frames since the last merge */
    int64_t target_us;
    struct chq_jitter_stats stats;
};

enum chq_jitter_play {
    CHQ_JITTER_WAIT = 1, /* not playing yet: silence */
    CHQ_JITTER_FRAME, /* play frame[0] */
    CHQ_JITTER_CONCEAL, /* a frame is missing: conceal it */
    CHQ_JITTER_HOLD, /* too early: conceal, nothing is lost */
    CHQ_JITTER_MERGE /* too late: blend frame[0] into frame[1] */
};

struct chq_jitter_out {
    enum chq_jitter_play play;
    struct chq_bytes frame[2]; /* valid until the next call */
};

void chq_jitter_init(struct chq_jitter *jitter);

/*
 * Put the frame `number` that arrived at `now_us`; `copy` when it is the redundant one inside the packet of number + 1.
 * Numbers are unwrapped by the caller and start above CHQ_JITTER_SLOTS. CHQ_STATE: here already, or its play time is
 * past (it still counts for the target). CHQ_LIMIT: frame too large.
 */
enum chq_err chq_jitter_put(
    struct chq_jitter *jitter, uint64_t number, bool copy, struct chq_bytes frame, uint64_t now_us);

/*
 * Return what to play for the 20 ms that begin at `now_us`. Call once per 20 ms of playback. `quiet`: what is being
 * played is silence or near to it, so that holding or merging is not heard; while it is loud, the play time is
 * corrected only where it must be.
 */
struct chq_jitter_out chq_jitter_get(struct chq_jitter *jitter, uint64_t now_us, bool quiet);

/* Return how long a frame that arrives without jitter now waits here, in microseconds; 0 before playing. */
uint64_t chq_jitter_delay_us(const struct chq_jitter *jitter);

#endif
