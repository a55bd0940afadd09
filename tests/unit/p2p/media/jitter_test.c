/* SPDX-License-Identifier: Apache-2.0 */
#include "p2p/media/jitter.h"

#include <stdio.h>
#include <string.h>

#include "unit.h"

#define FRAME_US UINT64_C(20000)
#define FIRST    UINT64_C(1000)

/* A log of one letter a frame: what the listener gets. Frames are shown by the last digit of their number. */
struct listener {
    struct chq_jitter jitter;
    char log[512];
    size_t length;
    bool loud; /* somebody speaks all the time */
};

static void put(struct listener *l, uint64_t number, bool copy, uint64_t now_us)
{
    const uint8_t frame[2] = {(uint8_t)(number % 10), 1};
    (void)chq_jitter_put(&l->jitter, number, copy, chq_bytes(frame, sizeof frame), now_us);
}

static void get(struct listener *l, uint64_t now_us)
{
    const struct chq_jitter_out out = chq_jitter_get(&l->jitter, now_us, !l->loud);
    char *at = l->log + l->length;
    const size_t room = sizeof l->log - l->length;
    assert_true(room > 8);
    switch (out.play) {
    case CHQ_JITTER_WAIT: l->length += (size_t)snprintf(at, room, "."); break;
    case CHQ_JITTER_FRAME: l->length += (size_t)snprintf(at, room, "%u", out.frame[0].data[0]); break;
    case CHQ_JITTER_CONCEAL: l->length += (size_t)snprintf(at, room, "c"); break;
    case CHQ_JITTER_HOLD: l->length += (size_t)snprintf(at, room, "h"); break;
    case CHQ_JITTER_MERGE:
        l->length += (size_t)snprintf(at, room, "(%u%u)", out.frame[0].data[0], out.frame[1].data[0]);
        break;
    }
}

/* One packet of a scripted trace: which number arrives how long after it was sent. */
struct arrival {
    unsigned number;
    unsigned delay_us;
};

static void run(
    struct listener *l, const struct arrival *arrivals, size_t count, bool copies, unsigned frames)
{
    chq_jitter_init(&l->jitter);
    for (uint64_t now = 0; now < frames * FRAME_US; now += 1000) {
        for (size_t i = 0; i < count; i++)
            if (arrivals[i].number * FRAME_US + arrivals[i].delay_us == now) {
                put(l, FIRST + arrivals[i].number, false, now);
                if (copies)
                    put(l, FIRST + arrivals[i].number - 1, true, now);
            }
        if (now % FRAME_US == 5000)
            get(l, now);
    }
}

static void golden_clean(void **state)
{
    (void)state;
    struct listener l = {0};
    struct arrival a[20];
    for (unsigned i = 0; i < 20; i++)
        a[i] = (struct arrival){i, 30000};
    run(&l, a, 20, false, 22);
    assert_string_equal(l.log, "...0123456789012345678");
}

/* 3 is lost, 5 and 6 change places, 8 comes twice, 11 is 70 ms late and so too late. */
static void golden_loss_reorder_duplicate(void **state)
{
    (void)state;
    struct listener l = {0};
    const struct arrival a[] = {{0, 30000}, {1, 30000}, {2, 30000}, {4, 30000}, {5, 45000}, {6, 20000},
        {7, 30000}, {8, 30000}, {8, 31000}, {9, 30000}, {10, 30000}, {11, 100000}, {12, 30000}, {13, 30000},
        {14, 30000}};
    run(&l, a, sizeof a / sizeof *a, false, 18);
    assert_string_equal(l.log, "...012c4567890c234");
    assert_int_equal(l.jitter.stats.duplicate, 1);
    assert_int_equal(l.jitter.stats.late, 1);
}

/* With copies every single loss is filled, and the delay grows by one frame, once. */
static void golden_copies(void **state)
{
    (void)state;
    struct listener l = {0};
    struct arrival a[40];
    size_t n = 0;
    for (unsigned i = 0; i < 40; i++)
        if (i % 10 != 7)
            a[n++] = (struct arrival){i, 30000};
    run(&l, a, n, true, 42);
    assert_string_equal(l.log, "...0123456h7890123456789012345678901234567");
    assert_true(l.jitter.stats.recovered >= 2);
    assert_int_equal(l.jitter.stats.concealed, 0);
}

/* The path becomes 60 ms shorter (relay to direct): nothing is lost, the delay comes down by merging. */
static void golden_shorter_path(void **state)
{
    (void)state;
    static struct listener l;
    static struct arrival a[400];
    for (unsigned i = 0; i < 400; i++)
        a[i] = (struct arrival){i, i < 100 ? 90000 : 30000};
    memset(&l, 0, sizeof l);
    chq_jitter_init(&l.jitter);
    run(&l, a, 400, false, 400);
    assert_int_equal(l.jitter.stats.concealed, 0);
    assert_int_equal(l.jitter.stats.late, 0);
    assert_true(l.jitter.stats.merged >= 2);
    assert_true(chq_jitter_delay_us(&l.jitter) < 20000);
}

/* The same in the middle of speech: nothing is cut out of it for 60 ms. */
static void golden_loud(void **state)
{
    (void)state;
    static struct listener l;
    static struct arrival a[400];
    for (unsigned i = 0; i < 400; i++)
        a[i] = (struct arrival){i, i < 100 ? 90000 : 30000};
    memset(&l, 0, sizeof l);
    l.loud = true;
    run(&l, a, 400, false, 400);
    assert_int_equal(l.jitter.stats.merged + l.jitter.stats.held + l.jitter.stats.concealed, 0);
}

/* The path becomes 60 ms longer: the buffer grows within half a second and then plays without a gap. */
static void longer_path_recovers(void **state)
{
    (void)state;
    static struct listener l;
    static struct arrival a[400];
    for (unsigned i = 0; i < 400; i++)
        a[i] = (struct arrival){i, i < 200 ? 30000 : 90000};
    memset(&l, 0, sizeof l);
    run(&l, a, 400, false, 400);
    assert_true(l.jitter.stats.concealed < 20);
    assert_int_equal(strspn(l.log + 220, "0123456789"), strlen(l.log + 220));
}

/* The sender stops for 3 s and goes on with the next number: the listener is not left in silence. */
static void sender_pause_resyncs(void **state)
{
    (void)state;
    static struct listener l;
    static struct arrival a[200];
    for (unsigned i = 0; i < 200; i++)
        a[i] = (struct arrival){i, i < 100 ? 30000 : 3030000};
    memset(&l, 0, sizeof l);
    run(&l, a, 200, false, 340);
    assert_true(l.jitter.stats.resynced >= 1);
    assert_int_equal(strspn(l.log + 270, "0123456789"), strlen(l.log + 270));
}

static void refuses_bad_frames(void **state)
{
    (void)state;
    struct chq_jitter j;
    uint8_t frame[CHQ_JITTER_FRAME_BYTES + 1] = {0};
    chq_jitter_init(&j);
    assert_int_equal(chq_jitter_put(&j, FIRST, false, chq_bytes(frame, 0), 0), CHQ_LIMIT);
    assert_int_equal(chq_jitter_put(&j, FIRST, false, chq_bytes(frame, sizeof frame), 0), CHQ_LIMIT);
    assert_int_equal(chq_jitter_put(&j, FIRST, false, chq_bytes(frame, 80), 0), CHQ_OK);
    assert_int_equal(chq_jitter_put(&j, FIRST, false, chq_bytes(frame, 80), 0), CHQ_STATE);
    /* far ahead: starts anew instead of filling memory */
    assert_int_equal(chq_jitter_put(&j, FIRST + 1000000, false, chq_bytes(frame, 80), 0), CHQ_OK);
    assert_int_equal(j.stats.resynced, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(golden_clean),
        cmocka_unit_test(golden_loss_reorder_duplicate),
        cmocka_unit_test(golden_copies),
        cmocka_unit_test(golden_shorter_path),
        cmocka_unit_test(golden_loud),
        cmocka_unit_test(longer_path_recovers),
        cmocka_unit_test(sender_pause_resyncs),
        cmocka_unit_test(refuses_bad_frames),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
