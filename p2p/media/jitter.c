/* SPDX-License-Identifier: Apache-2.0 */
#include "p2p/media/jitter.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/assert.h"

enum {
    FRAME_US = 20000,
    PERCENTILE = 96,
    START_MARGIN_US = 20000, /* before anything is known about the jitter */
    KNOWN_TRANSITS = 50, /* from here on the percentile stands without the margin */
    LATE_US =
        40000, /* merge when later than the target by more than this; hold when earlier at all. Wider than one step */
    LATE_LOUD_US = 120000, /* the same in the middle of speech */
    MERGE_EVERY = 5, /* at most one merge in so many frames: 20 % faster than real time */
    JUMP_US = 400000, /* later than this: jump, do not merge for seconds */
    COPY_HOLD_FRAMES = 200 /* play one frame later for so long after a copy was needed */
};

void chq_jitter_init(struct chq_jitter *jitter)
{
    memset(jitter, 0, sizeof *jitter);
}

static struct chq_jitter_slot *slot_of(struct chq_jitter *j, uint64_t number)
{
    return &j->slots[number & (CHQ_JITTER_SLOTS - 1)];
}

static bool holds(struct chq_jitter *j, uint64_t number)
{
    const struct chq_jitter_slot *s = slot_of(j, number);
    return s->size > 0 && s->number == number;
}

static int compare_times(const void *a, const void *b)
{
    const int64_t x = *(const int64_t *)a;
    const int64_t y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static void update_target(struct chq_jitter *j)
{
    int64_t sorted[CHQ_JITTER_TRANSITS];
    const unsigned n = j->transit_count;
    memcpy(sorted, j->transits, n * sizeof *sorted);
    qsort(sorted, n, sizeof *sorted, compare_times);
    j->target_us = sorted[(n - 1) * PERCENTILE / 100];
    if (n < KNOWN_TRANSITS)
        j->target_us += START_MARGIN_US;
    if (j->highest < j->copy_until)
        j->target_us += FRAME_US;
}

static void note_transit(struct chq_jitter *j, uint64_t number, uint64_t now_us)
{
    j->transits[j->transit_at] = (int64_t)now_us - (int64_t)(number * FRAME_US);
    j->transit_at = (j->transit_at + 1) % CHQ_JITTER_TRANSITS;
    if (j->transit_count < CHQ_JITTER_TRANSITS)
        j->transit_count++;
    update_target(j);
}

/* The sender's numbers jumped (it was suspended, or restarted): what was learnt is worth nothing. */
static void resync(struct chq_jitter *j, uint64_t number)
{
    memset(j->slots, 0, sizeof j->slots);
    j->transit_count = j->transit_at = 0;
    j->playing = false;
    j->next = j->highest = number;
    j->copy_until = 0;
    j->stats.resynced++;
}

enum chq_err chq_jitter_put(
    struct chq_jitter *jitter, uint64_t number, bool copy, struct chq_bytes frame, uint64_t now_us)
{
    struct chq_jitter *j = jitter;
    if (frame.size == 0 || frame.size > CHQ_JITTER_FRAME_BYTES)
        return CHQ_LIMIT;
    CHQ_ASSERT(number > CHQ_JITTER_SLOTS);
    if (!j->started) {
        j->started = true;
        j->next = j->highest = number;
    } else if (number >= j->next + CHQ_JITTER_SLOTS) {
        resync(j, number);
    }
    if (!j->playing && copy && number < j->next)
        return CHQ_STATE; /* from before we came in */
    if (!j->playing && number < j->next && j->highest - number < CHQ_JITTER_SLOTS)
        j->next = number; /* reordered before anything was played */
    if (number > j->highest)
        j->highest = number;
    if (holds(j, number)) {
        if (!copy)
            j->stats.duplicate++;
        return CHQ_STATE;
    }
    if (!copy)
        note_transit(j, number, now_us);
    if (number < j->next) {
        if (!copy)
            j->stats.late++;
        else /* too late to help: the buffer is one frame too short */
            j->copy_until = j->highest + COPY_HOLD_FRAMES;
        return CHQ_STATE;
    }
    if (copy) {
        j->stats.recovered++;
        j->copy_until = j->highest + COPY_HOLD_FRAMES;
        update_target(j);
    }
    struct chq_jitter_slot *s = slot_of(j, number);
    s->number = number;
    s->size = (uint8_t)frame.size;
    memcpy(s->frame, frame.data, frame.size);
    return CHQ_OK;
}

static struct chq_bytes frame_of(struct chq_jitter *j, uint64_t number)
{
    const struct chq_jitter_slot *s = slot_of(j, number);
    return chq_bytes(s->frame, s->size);
}

/* How much later than the target the frame `number` would be played at `now_us`. */
static int64_t lag_us(const struct chq_jitter *j, uint64_t number, uint64_t now_us)
{
    return (int64_t)now_us - (int64_t)(number * FRAME_US) - j->target_us;
}

struct chq_jitter_out chq_jitter_get(struct chq_jitter *jitter, uint64_t now_us, bool quiet)
{
    struct chq_jitter *j = jitter;
    struct chq_jitter_out out = {.play = CHQ_JITTER_WAIT};
    if (!j->started || j->transit_count == 0)
        return out;
    int64_t lag = lag_us(j, j->next, now_us);
    if (!j->playing) {
        if (lag < 0)
            return out;
        j->playing = true;
    }
    j->unmerged++;
    if (lag > JUMP_US && j->highest > j->next) {
        /* Nobody asked for audio for long (device stopped): go on where the target is now. */
        const uint64_t behind = (uint64_t)lag / FRAME_US;
        j->next = j->next + behind < j->highest ? j->next + behind : j->highest;
        j->stats.resynced++;
        lag = lag_us(j, j->next, now_us);
    }
    if (lag < -JUMP_US) {
        resync(j, j->highest); /* the sender paused and went on with the next number */
        return out;
    }
    const bool here = holds(j, j->next);
    if (lag < 0 && (quiet || !here)) {
        j->stats.held++;
        out.play = CHQ_JITTER_HOLD;
        return out;
    }
    if (!here) {
        j->stats.concealed++;
        out.play = CHQ_JITTER_CONCEAL;
    } else if (lag > (quiet ? LATE_US : LATE_LOUD_US) && j->unmerged >= MERGE_EVERY &&
               holds(j, j->next + 1)) {
        out.play = CHQ_JITTER_MERGE;
        out.frame[0] = frame_of(j, j->next++);
        out.frame[1] = frame_of(j, j->next);
        j->unmerged = 0;
        j->stats.merged++;
    } else {
        out.play = CHQ_JITTER_FRAME;
        out.frame[0] = frame_of(j, j->next);
        j->stats.played++;
    }
    j->next++;
    return out;
}

uint64_t chq_jitter_delay_us(const struct chq_jitter *jitter)
{
    if (!jitter->playing || jitter->transit_count == 0)
        return 0;
    int64_t least = jitter->transits[0];
    for (unsigned i = 1; i < jitter->transit_count; i++)
        if (jitter->transits[i] < least)
            least = jitter->transits[i];
    return jitter->target_us > least ? (uint64_t)(jitter->target_us - least) : 0;
}
