/* SPDX-License-Identifier: Apache-2.0 */
#include "p2p/signal/signal.h"

#include <stdio.h>
#include <string.h>

#include "unit.h"

#define WALL_MS UINT64_C(1790000000000)

/* Both sides of a call on one virtual clock; messages arrive 10 ms after they were sent, in order. */
struct pair {
    struct chq_signal side[2]; /* 0: caller */
    uint64_t now_us;
    struct {
        int to;
        uint64_t at_us;
        size_t size;
        uint8_t bytes[CHQ_CALL_SIGNAL_BYTES_MAX];
    } line[32];
    unsigned line_head, line_tail;
    char log[4096];
    size_t length;
    bool mute; /* nothing arrives */
};

static void note(struct pair *p, int side, const char *format, ...) __attribute__((format(printf, 3, 4)));
static void note(struct pair *p, int side, const char *format, ...)
{
    va_list args;
    p->length += (size_t)snprintf(p->log + p->length, sizeof p->log - p->length, "%5u %s ",
        (unsigned)(p->now_us / 1000), side == 0 ? "ana" : "bo ");
    va_start(args, format);
    p->length += (size_t)vsnprintf(p->log + p->length, sizeof p->log - p->length, format, args);
    va_end(args);
    p->length += (size_t)snprintf(p->log + p->length, sizeof p->log - p->length, "\n");
    assert_true(p->length + 100 < sizeof p->log);
}

static void note_sent(struct pair *p, int side, struct chq_bytes bytes)
{
    static const char *const names[] = {"", "offer", "answer", "candidates", "ringing", "hangup"};
    static const char kinds[] = " hsr";
    struct chq_signal_message m;
    char list[16] = "";
    assert_int_equal(chq_signal_read(bytes, &m), CHQ_OK);
    for (uint32_t i = 0; i < m.candidates_count; i++)
        list[i] = kinds[m.candidates[i].kind];
    if (m.type == CHQ_CALL_SIGNAL_HANGUP)
        note(p, side, "sends hangup (%s)", chq_call_end_string(m.reason));
    else
        note(p, side, "sends %s%s%s", names[m.type], list[0] ? " " : "", list);
}

static enum chq_err step(struct pair *p, int side, struct chq_signal_event e)
{
    struct chq_signal_actions out;
    e.now_us = p->now_us;
    e.wall_ms = WALL_MS + p->now_us / 1000;
    const enum chq_err err = chq_signal_step(&p->side[side], &e, &out);
    for (int i = 0; i < 2; i++) {
        if (out.send[i].size == 0)
            continue;
        note_sent(p, side, out.send[i]);
        assert_true(p->line_tail < 32);
        p->line[p->line_tail].to = 1 - side;
        p->line[p->line_tail].at_us = p->now_us + 10000;
        p->line[p->line_tail].size = out.send[i].size;
        memcpy(p->line[p->line_tail++].bytes, out.send[i].data, out.send[i].size);
    }
    if (out.remote_credentials != NULL)
        note(p, side, "learns credentials %s", out.remote_credentials->ufrag);
    if (out.remote_count > 0)
        note(p, side, "learns %u candidates", out.remote_count);
    if (out.state_changed)
        note(p, side, "is %s%s%s", chq_call_state_string(p->side[side].state),
            p->side[side].end != CHQ_CALL_END_NONE ? ": " : "",
            p->side[side].end != CHQ_CALL_END_NONE ? chq_call_end_string(p->side[side].end) : "");
    return err;
}

/* Move the clock to `to_ms`, delivering and timing out on the way. */
static void until(struct pair *p, uint64_t to_ms)
{
    for (;;) {
        uint64_t at = to_ms * 1000;
        int what = -1;
        for (int i = 0; i < 2; i++)
            if (chq_signal_deadline_us(&p->side[i]) <= at) {
                at = chq_signal_deadline_us(&p->side[i]);
                what = i;
            }
        if (!p->mute && p->line_head < p->line_tail && p->line[p->line_head].at_us <= at) {
            at = p->line[p->line_head].at_us;
            what = 2;
        }
        if (at > p->now_us)
            p->now_us = at;
        if (what < 0)
            return;
        struct chq_signal_event e = {.type = CHQ_SIGNAL_TIMEOUT};
        if (what == 2) {
            const unsigned k = p->line_head++;
            e.type = CHQ_SIGNAL_RECEIVED;
            e.message = chq_bytes(p->line[k].bytes, p->line[k].size);
            what = p->line[k].to;
        }
        (void)step(p, what, e);
    }
}

static void pair_init(struct pair *p, bool relay)
{
    memset(p, 0, sizeof *p);
    for (int i = 0; i < 2; i++) {
        struct chq_signal_config c = {.caller = i == 0,
            .relay_expected = relay,
            .call_id = "one call's id.",
            .own_account = {(uint8_t)(i + 1)},
            .peer_account = {(uint8_t)(2 - i)},
            .random = {(uint8_t)(i + 10)},
            .credentials = {"anaU", "0123456789012345678901"}};
        if (i == 1)
            memcpy(c.credentials.ufrag, "boU0", 4);
        chq_signal_init(&p->side[i], &c);
    }
}

static void candidate(struct pair *p, int side, enum chq_candidate_kind kind)
{
    const struct chq_signal_event e = {.type = CHQ_SIGNAL_CANDIDATE,
        .candidate = {kind, chq_address_ip4(203, 0, 113, 5, (uint16_t)(1000 + (int)kind)), 1000, "1"}};
    assert_int_equal(step(p, side, e), CHQ_OK);
}

static void act(struct pair *p, int side, int type)
{
    const struct chq_signal_event e = {.type = (__typeof__(e.type))type};
    assert_int_equal(step(p, side, e), CHQ_OK);
}

static void golden_call(void **state)
{
    (void)state;
    static struct pair p;
    pair_init(&p, true);
    act(&p, 0, CHQ_SIGNAL_START);
    candidate(&p, 0, CHQ_CANDIDATE_HOST);
    until(&p, 20);
    candidate(&p, 0, CHQ_CANDIDATE_REFLEXIVE);
    until(&p, 50);
    candidate(&p, 0, CHQ_CANDIDATE_RELAYED); /* the offer leaves with it, and with no other */
    until(&p, 70);
    candidate(&p, 1, CHQ_CANDIDATE_HOST);
    candidate(&p, 1, CHQ_CANDIDATE_RELAYED);
    until(&p, 3000);
    act(&p, 1, CHQ_SIGNAL_ACCEPT);
    until(&p, 3015);
    candidate(&p, 1, CHQ_CANDIDATE_REFLEXIVE);
    until(&p, 3100);
    act(&p, 0, CHQ_SIGNAL_PATH_UP);
    act(&p, 1, CHQ_SIGNAL_PATH_UP);
    assert_true(p.side[0].secret_known && p.side[1].secret_known);
    assert_memory_equal(p.side[0].secret, p.side[1].secret, 32);
    act(&p, 0, CHQ_SIGNAL_PATH_DOWN);
    until(&p, 5000);
    act(&p, 0, CHQ_SIGNAL_PATH_UP);
    until(&p, 9000);
    act(&p, 1, CHQ_SIGNAL_HANGUP);
    until(&p, 9100);
    assert_string_equal(p.log, "    0 ana is ringing\n"
                               "   50 ana sends offer r\n"
                               "   60 bo  sends ringing\n"
                               "   60 bo  is ringing\n"
                               " 3000 bo  sends answer r\n"
                               " 3000 bo  learns credentials anaU\n"
                               " 3000 bo  learns 1 candidates\n"
                               " 3000 bo  is connecting\n"
                               " 3010 ana learns credentials boU0\n"
                               " 3010 ana learns 1 candidates\n"
                               " 3010 ana is connecting\n"
                               " 3100 ana is connected\n"
                               " 3100 bo  is connected\n"
                               " 3100 ana is connection lost\n"
                               " 3160 bo  sends candidates hs\n"
                               " 3160 ana sends candidates hs\n"
                               " 3170 ana learns 2 candidates\n"
                               " 3170 bo  learns 2 candidates\n"
                               " 5000 ana is connected\n"
                               " 9000 bo  sends hangup (hung up)\n"
                               " 9000 bo  is ended: hung up\n"
                               " 9010 ana is ended: hung up\n");
}

/* Both have a relay and it does not carry: the other candidates leave 2 s after the answer. */
static void golden_relay_does_not_carry(void **state)
{
    (void)state;
    static struct pair p;
    pair_init(&p, true);
    act(&p, 0, CHQ_SIGNAL_START);
    for (int i = 0; i < 2; i++) {
        candidate(&p, i, CHQ_CANDIDATE_HOST);
        candidate(&p, i, CHQ_CANDIDATE_RELAYED);
    }
    until(&p, 1000);
    act(&p, 1, CHQ_SIGNAL_ACCEPT);
    until(&p, 4000);
    act(&p, 0, CHQ_SIGNAL_PATH_UP);
    assert_string_equal(p.log, "    0 ana is ringing\n"
                               "    0 ana sends offer r\n"
                               "   10 bo  sends ringing\n"
                               "   10 bo  is ringing\n"
                               " 1000 bo  sends answer r\n"
                               " 1000 bo  learns credentials anaU\n"
                               " 1000 bo  learns 1 candidates\n"
                               " 1000 bo  is connecting\n"
                               " 1010 ana learns credentials boU0\n"
                               " 1010 ana learns 1 candidates\n"
                               " 1010 ana is connecting\n"
                               " 3000 bo  sends candidates h\n"
                               " 3010 ana sends candidates h\n"
                               " 3010 ana learns 1 candidates\n"
                               " 3020 bo  learns 1 candidates\n"
                               " 4000 ana is connected\n");
}

static void golden_relay_silent(void **state)
{
    (void)state;
    static struct pair p;
    pair_init(&p, true);
    act(&p, 0, CHQ_SIGNAL_START);
    candidate(&p, 0, CHQ_CANDIDATE_HOST);
    until(&p, 500);
    act(&p, 1, CHQ_SIGNAL_HANGUP);
    until(&p, 600);
    assert_string_equal(p.log, "    0 ana is ringing\n"
                               "  400 ana sends offer h\n"
                               "  410 bo  sends ringing\n"
                               "  410 bo  is ringing\n"
                               "  500 bo  sends hangup (declined)\n"
                               "  500 bo  is ended: declined\n"
                               "  510 ana is ended: declined\n");
}

static void golden_nobody_answers(void **state)
{
    (void)state;
    static struct pair p;
    pair_init(&p, false);
    act(&p, 0, CHQ_SIGNAL_START);
    until(&p, 70000);
    assert_string_equal(p.log, "    0 ana is ringing\n"
                               "   30 ana sends offer\n"
                               "   40 bo  sends ringing\n"
                               "   40 bo  is ringing\n"
                               "60000 ana sends hangup (no answer)\n"
                               "60000 ana is ended: no answer\n"
                               "60010 bo  is ended: missed\n");
}

/* The offer waited in a mailbox: a missed call, not a ringing one. And an answered call without a path ends. */
static void golden_late_and_unconnected(void **state)
{
    (void)state;
    static struct pair p;
    pair_init(&p, false);
    p.mute = true;
    act(&p, 0, CHQ_SIGNAL_START);
    until(&p, 59000);
    act(&p, 0, CHQ_SIGNAL_HANGUP);
    until(&p, 120000);
    p.mute = false;
    until(&p, 120001);
    assert_string_equal(p.log, "    0 ana is ringing\n"
                               "   30 ana sends offer\n"
                               "59000 ana sends hangup (hung up)\n"
                               "59000 ana is ended: hung up\n"
                               "120000 bo  is ended: missed\n");

    pair_init(&p, false);
    act(&p, 0, CHQ_SIGNAL_START);
    until(&p, 1000);
    act(&p, 1, CHQ_SIGNAL_ACCEPT);
    until(&p, 30000);
    assert_int_equal(p.side[0].end, CHQ_CALL_END_NO_PATH);
    assert_int_equal(p.side[1].end, CHQ_CALL_END_NO_PATH);
}

static void refuses_wrong_moments(void **state)
{
    (void)state;
    static struct pair p;
    uint8_t storage[CHQ_CALL_SIGNAL_BYTES_MAX];
    struct chq_signal_message m = {
        .type = CHQ_CALL_SIGNAL_ANSWER, .credentials = {"bobU", "0123456789012345678901"}};
    struct chq_signal_event e = {.type = CHQ_SIGNAL_RECEIVED};
    pair_init(&p, false);
    for (int type = CHQ_CALL_SIGNAL_ANSWER; type <= CHQ_CALL_SIGNAL_RINGING; type++) {
        struct chq_writer w = chq_writer_fixed(storage, sizeof storage);
        m.type = (enum chq_call_signal)type;
        m.candidates_count = type == CHQ_CALL_SIGNAL_CANDIDATES ? 1 : 0;
        m.candidates[0] =
            (struct chq_candidate){CHQ_CANDIDATE_HOST, chq_address_ip4(192, 0, 2, 1, 9), 1, "a"};
        chq_signal_write(&w, &m);
        e.message = chq_writer_bytes(&w);
        assert_int_equal(step(&p, 0, e), CHQ_STATE); /* before the offer */
        assert_int_equal(step(&p, 1, e), CHQ_STATE);
    }
    e.type = CHQ_SIGNAL_ACCEPT;
    assert_int_equal(step(&p, 0, e), CHQ_STATE);
    assert_int_equal(step(&p, 1, e), CHQ_STATE);
    e.type = CHQ_SIGNAL_START;
    assert_int_equal(step(&p, 1, e), CHQ_STATE);
    act(&p, 0, CHQ_SIGNAL_START);
    assert_int_equal(step(&p, 0, e), CHQ_STATE);
    for (int i = 0; i < CHQ_CALL_CANDIDATES_MAX; i++)
        candidate(&p, 0, CHQ_CANDIDATE_HOST);
    e.type = CHQ_SIGNAL_CANDIDATE;
    assert_int_equal(step(&p, 0, e), CHQ_LIMIT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(golden_call),
        cmocka_unit_test(golden_relay_does_not_carry),
        cmocka_unit_test(golden_relay_silent),
        cmocka_unit_test(golden_nobody_answers),
        cmocka_unit_test(golden_late_and_unconnected),
        cmocka_unit_test(refuses_wrong_moments),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
