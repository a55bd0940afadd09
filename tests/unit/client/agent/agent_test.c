/* SPDX-License-Identifier: Apache-2.0 */
/* The agent from outside, through its header alone: refused commands, bad frames, damaged records, patience. What it does when all
 * goes well, and what it does under fire, is in tests/sim/chasqui. */
#include "client/agent/agent.h"
#include "core/crypto/random.h"
#include "core/wire/frame.h"
#include "core/wire/invitation.h"
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define START_MS UINT64_C(1800000000000)
#define ROWS_MAX 32

struct row {
    enum chq_agent_table table;
    uint8_t key[CHQ_AGENT_KEY_BYTES_MAX], value[8192];
    size_t key_size, value_size;
};

struct bench {
    struct chq_agent *agent;
    struct chq_seeded seeded;
    struct chq_random random;
    struct row rows[ROWS_MAX];
    size_t rows_n;
    uint64_t now_us;
    char link[2048];
    size_t link_size;
    uint8_t relay[32];
    /* of the last step */
    unsigned links, unlinks, sends, security, errors;
    enum chq_err err;
    uint64_t request;
    struct chq_frame sent;
    uint8_t sent_bytes[CHQ_FRAME_BYTES_MAX];
    struct chq_agent_link link_to;
};

static const uint8_t entropy[32] = {9, 9, 9};

static void keep(struct bench *b, const struct chq_agent_record *record)
{
    size_t i = 0;
    while (i < b->rows_n && (b->rows[i].table != record->table || b->rows[i].key_size != record->key.size ||
                                memcmp(b->rows[i].key, record->key.data, record->key.size) != 0))
        i++;
    assert_true(i < ROWS_MAX && record->value.size <= sizeof b->rows[i].value);
    b->rows_n += i == b->rows_n;
    b->rows[i].table = record->table;
    b->rows[i].key_size = record->key.size;
    b->rows[i].value_size = record->value.size;
    memcpy(b->rows[i].key, record->key.data, record->key.size);
    if (record->value.size > 0)
        memcpy(b->rows[i].value, record->value.data, record->value.size);
}

static void look_at(struct bench *b, const struct chq_agent_action *action)
{
    switch (action->type) {
    case CHQ_AGENT_DO_PERSIST:
        assert_int_equal(b->links + b->unlinks + b->sends, 0); /* all of them come first */
        keep(b, &action->record);
        return;
    case CHQ_AGENT_DO_LINK:
        b->links++;
        b->link_to = action->link;
        memcpy(b->relay, action->relay, 32);
        return;
    case CHQ_AGENT_DO_UNLINK: b->unlinks++; return;
    case CHQ_AGENT_DO_SEND:
        b->sends++;
        memcpy(b->sent_bytes, action->frame.data, action->frame.size);
        assert_int_equal(chq_frame_read(chq_bytes(b->sent_bytes, action->frame.size), &b->sent), CHQ_OK);
        return;
    case CHQ_AGENT_DO_NOTIFY:
        b->security += action->notice->kind == CHQ_AGENT_NOTE_SECURITY;
        if (action->notice->kind == CHQ_AGENT_NOTE_ERROR) {
            b->errors++;
            b->err = action->notice->err;
            b->request = action->notice->request;
            assert_true(action->notice->text.size > 10); /* every error says something */
        }
        return;
    }
}

static enum chq_err step(struct bench *b, struct chq_agent_event event)
{
    struct chq_agent_actions actions;
    event.now_us = b->now_us;
    event.unix_ms = START_MS + b->now_us / 1000;
    memcpy(event.relay, b->relay, 32);
    b->links = b->unlinks = b->sends = b->security = b->errors = 0;
    b->err = CHQ_OK;
    enum chq_err err = chq_agent_step(b->agent, &event, &actions);
    for (uint32_t i = 0; i < actions.n; i++)
        look_at(b, &actions.v[i]);
    return err;
}

static void step_ok(struct bench *b, struct chq_agent_event event)
{
    assert_int_equal(step(b, event), CHQ_OK);
}

static void start(struct bench *b)
{
    chq_agent_free(b->agent);
    assert_int_equal(chq_agent_new(&b->agent, &b->random, NULL), CHQ_OK);
    for (size_t i = 0; i < b->rows_n; i++)
        assert_int_equal(
            chq_agent_load(b->agent, b->rows[i].table, chq_bytes(b->rows[i].key, b->rows[i].key_size),
                chq_bytes(b->rows[i].value, b->rows[i].value_size)),
            CHQ_OK);
}

static struct chq_agent_event create(const struct bench *b, const char *handle)
{
    return (struct chq_agent_event){.type = CHQ_AGENT_COMMAND,
        .command = {.type = CHQ_AGENT_CREATE,
            .request = 77,
            .text = chq_bytes(b->link, b->link_size),
            .handle = chq_bytes_text(handle),
            .secret = chq_bytes(entropy, sizeof entropy)}};
}

static void bench_init(struct bench *b)
{
    struct chq_invitation *in = calloc(1, sizeof *in);
    struct chq_writer w = chq_writer_fixed((uint8_t *)b->link, sizeof b->link);
    memset(b, 0, sizeof *b);
    assert_int_equal(chq_crypto_init(), CHQ_OK);
    assert_non_null(in);
    memcpy(in->chain_id, "test-1", 7);
    in->validators_count = 1;
    in->validators[0] = (struct chq_validator){.key = {5}, .power = 1};
    memset(in->relay, 7, 32);
    memcpy(in->host, "relay.example", 14);
    in->port = 443;
    memset(in->pin, 8, 32);
    chq_invitation_put(&w, in);
    assert_int_equal(w.err, CHQ_OK);
    b->link_size = w.size;
    free(in);
    chq_seeded_init(&b->seeded, 3);
    b->random = chq_seeded_random(&b->seeded);
    start(b);
    step_ok(b, (struct chq_agent_event){.type = CHQ_AGENT_START});
}

/* An account, and the link to the invitation's relay up to WELCOME. */
static void bench_linked(struct bench *b)
{
    bench_init(b);
    step_ok(b, create(b, "ana"));
    assert_int_equal(b->links, 1);
    step_ok(b, (struct chq_agent_event){.type = CHQ_AGENT_LINK_UP});
    assert_int_equal(b->sends, 1);
    assert_int_equal(b->sent.type, CHQ_FRAME_HELLO);
}

static struct chq_bytes frame_bytes(struct chq_writer *w, const struct chq_frame *frame)
{
    chq_writer_clear(w);
    assert_int_equal(chq_frame_write(w, frame), CHQ_OK);
    return chq_writer_bytes(w);
}

static struct chq_frame welcome(const struct bench *b)
{
    struct chq_frame frame = {.type = CHQ_FRAME_WELCOME, .id = 1};
    frame.welcome.version = CHQ_RELAY_PROTOCOL_VERSION;
    memcpy(frame.welcome.relay_id, b->relay, 32);
    frame.welcome.quantum_bytes = 65536;
    frame.welcome.price_micro = 100;
    return frame;
}

/* --- tests --- */

static void nothing_before_start(void **state)
{
    (void)state;
    static struct bench b;
    struct chq_agent_identity id;
    memset(&b, 0, sizeof b);
    assert_int_equal(chq_crypto_init(), CHQ_OK);
    b.random = chq_seeded_random(&b.seeded);
    start(&b);
    assert_int_equal(step(&b, (struct chq_agent_event){.type = CHQ_AGENT_TIMEOUT}), CHQ_STATE);
    assert_int_equal(chq_agent_identity(b.agent, &id), CHQ_NOT_FOUND);
    assert_true(chq_agent_deadline_us(b.agent) == UINT64_MAX);
    chq_agent_free(b.agent);
}

static void refused_commands(void **state)
{
    (void)state;
    static struct bench b;
    static char long_text[CHQ_TEXT_BYTES_MAX + 2];
    memset(long_text, 'x', sizeof long_text - 1);
    const struct {
        int number;
        bool created;
        struct chq_agent_command command;
        enum chq_err err;
    } table[] = {
        {1, false, {.type = CHQ_AGENT_ADD, .handle = chq_bytes_text("bo")}, CHQ_STATE},
        {2, false, {.type = CHQ_AGENT_SEND_TEXT, .text = chq_bytes_text("x")}, CHQ_STATE},
        {3, false,
            {.type = CHQ_AGENT_CREATE,
                .text = chq_bytes_text("chasqui:AAAA"),
                .handle = chq_bytes_text("ana"),
                .secret = chq_bytes(entropy, 32)},
            CHQ_MALFORMED},
        {4, false,
            {.type = CHQ_AGENT_CREATE,
                .text = chq_bytes_text(""),
                .handle = chq_bytes_text("Ana"),
                .secret = chq_bytes(entropy, 32)},
            CHQ_MALFORMED},
        {5, false,
            {.type = CHQ_AGENT_CREATE,
                .text = chq_bytes_text("x"),
                .handle = chq_bytes_text("ana"),
                .secret = chq_bytes(entropy, 31)},
            CHQ_MALFORMED},
        {6, true, {.type = CHQ_AGENT_ADD, .handle = chq_bytes_text("not a handle")}, CHQ_MALFORMED},
        {7, true, {.type = CHQ_AGENT_ADD, .handle = chq_bytes_text("ana")}, CHQ_STATE},
        {8, true, {.type = CHQ_AGENT_SEND_TEXT, .account = {1}, .text = chq_bytes_text("x")}, CHQ_NOT_FOUND},
        {9, true, {.type = CHQ_AGENT_SEND_TEXT, .account = {1}, .text = chq_bytes_text("")}, CHQ_MALFORMED},
        {10, true, {.type = CHQ_AGENT_SEND_TEXT, .text = chq_bytes_text("\xff")}, CHQ_MALFORMED},
        {11, true, {.type = CHQ_AGENT_SEND_TEXT, .text = chq_bytes(long_text, CHQ_TEXT_BYTES_MAX + 1)},
            CHQ_LIMIT},
        {12, true, {.type = CHQ_AGENT_SEND_CALL, .data = chq_bytes(long_text, CHQ_CALL_SIGNAL_BYTES_MAX + 1)},
            CHQ_LIMIT},
        {13, true, {.type = CHQ_AGENT_SEND_CALL, .account = {1}, .data = chq_bytes_text("x")}, CHQ_NOT_FOUND},
        {14, true, {.type = CHQ_AGENT_TRANSFER, .handle = chq_bytes_text("bo"), .amount = 0}, CHQ_MALFORMED},
        {15, true, {.type = CHQ_AGENT_TRANSFER, .handle = chq_bytes_text("-"), .amount = 5}, CHQ_MALFORMED},
        {16, true, {.type = (enum chq_agent_command_type)99}, CHQ_UNSUPPORTED},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct chq_agent_event event = {.type = CHQ_AGENT_COMMAND, .command = table[i].command};
        bench_init(&b);
        if (table[i].created)
            step_ok(&b, create(&b, "ana"));
        event.command.request = 1000 + i;
        step_ok(&b, event);
        if (b.errors != 1 || b.err != table[i].err || b.request != 1000 + i)
            fail_msg("row %d: %u errors, %s", table[i].number, b.errors, chq_err_string(b.err));
        chq_agent_free(b.agent);
        b.agent = NULL;
    }
}

/* The address and the key of the invitation are what is called; the handle may be changed until it is registered. */
static void creates_and_calls(void **state)
{
    (void)state;
    static struct bench b;
    struct chq_agent_identity id, again;
    bench_init(&b);
    step_ok(&b, create(&b, "ana"));
    assert_int_equal(b.links, 1);
    assert_string_equal(b.link_to.host, "relay.example");
    assert_int_equal(b.link_to.port, 443);
    assert_int_equal(b.link_to.tls_pin[0], 8);
    assert_int_equal(chq_agent_identity(b.agent, &id), CHQ_OK);
    assert_string_equal(id.handle, "ana");
    assert_false(id.registered);
    step_ok(&b, create(&b, "anita"));
    start(&b); /* a crash: all of it is in the records */
    step_ok(&b, (struct chq_agent_event){.type = CHQ_AGENT_START});
    assert_int_equal(chq_agent_identity(b.agent, &again), CHQ_OK);
    assert_string_equal(again.handle, "anita");
    assert_memory_equal(again.account, id.account, 32);
    assert_memory_equal(again.device, id.device, 16);
    assert_int_equal(b.links, 1);
    chq_agent_free(b.agent);
}

/* 1 s, doubling to 60 s; never sooner, and the user is told once. */
static void patience(void **state)
{
    (void)state;
    static struct bench b;
    bench_init(&b);
    step_ok(&b, create(&b, "ana"));
    for (uint64_t wait_s = 1, n = 0; n < 9; n++, wait_s = wait_s * 2 < 60 ? wait_s * 2 : 60) {
        step_ok(
            &b, (struct chq_agent_event){.type = CHQ_AGENT_LINK_DOWN, .reason = chq_bytes_text("refused")});
        assert_int_equal(b.links, 0);
        uint64_t due = chq_agent_deadline_us(b.agent);
        assert_in_range(due - b.now_us, wait_s * 1000000, wait_s * 1000000 + 100);
        b.now_us = due - 1000;
        step_ok(&b, (struct chq_agent_event){.type = CHQ_AGENT_TIMEOUT});
        assert_int_equal(b.links, 0);
        b.now_us = due;
        step_ok(&b, (struct chq_agent_event){.type = CHQ_AGENT_TIMEOUT});
        assert_int_equal(b.links, 1);
    }
    chq_agent_free(b.agent);
}

/* A relay that is silent is called again. */
static void silence(void **state)
{
    (void)state;
    static struct bench b;
    struct chq_writer w = chq_writer_heap(CHQ_FRAME_BYTES_MAX);
    bench_linked(&b);
    struct chq_frame frame = welcome(&b);
    step_ok(&b, (struct chq_agent_event){.type = CHQ_AGENT_FRAME, .frame = frame_bytes(&w, &frame)});
    assert_int_equal(b.sends, 2); /* the relay's record and the account: is it what the ledger says? */
    assert_int_equal(b.sent.type, CHQ_FRAME_LEDGER);
    assert_in_range(chq_agent_deadline_us(b.agent) - b.now_us, 30000000, 30000100);
    b.now_us = chq_agent_deadline_us(b.agent);
    step_ok(&b, (struct chq_agent_event){.type = CHQ_AGENT_TIMEOUT});
    assert_int_equal(b.unlinks, 1);
    chq_writer_free(&w);
    chq_agent_free(b.agent);
}

enum what { IGNORED, LEFT_ALONE, REFUSED };

static void bad_frames(void **state)
{
    (void)state;
    static struct bench b;
    struct chq_writer w = chq_writer_heap(CHQ_FRAME_BYTES_MAX);
    static struct chq_frame frame;
    for (int number = 1; number <= 12; number++) {
        enum what what = LEFT_ALONE;
        bench_linked(&b);
        frame = welcome(&b);
        bool raw = false;
        switch (number) {
        case 1: frame.welcome.relay_id[0] ^= 1; break; /* another relay */
        case 2: frame.welcome.version = 2, what = REFUSED; break;
        case 3: frame = (struct chq_frame){.type = CHQ_FRAME_OK, .id = 1}; break; /* no answer to HELLO */
        case 4:
            frame = (struct chq_frame){.type = CHQ_FRAME_OK, .id = 9}, what = IGNORED;
            break; /* to nothing */
        case 5:
            frame = (struct chq_frame){.type = CHQ_FRAME_ERROR, .id = 1, .error.code = 11}, what = REFUSED;
            break;
        case 6:
            frame = (struct chq_frame){
                .type = CHQ_FRAME_DELIVER, .deliver = {.sequence = 1, .envelope = chq_bytes("x", 1)}};
            what = IGNORED; /* before WELCOME */
            break;
        case 7: frame = (struct chq_frame){.type = CHQ_FRAME_CREDIT}, what = IGNORED; break;
        case 8:
            frame =
                (struct chq_frame){.type = CHQ_FRAME_HELLO, .id = 1, .hello = {1, chq_bytes_text("test-1")}};
            break;
        case 9: frame = (struct chq_frame){.type = CHQ_FRAME_ERROR, .error.code = 3}, what = REFUSED; break;
        default: raw = true; break;
        }
        struct chq_bytes bytes = raw ? (struct chq_bytes){0} : frame_bytes(&w, &frame);
        if (number == 10)
            bytes = chq_bytes("", 0);
        if (number == 11)
            bytes = chq_bytes("\xa2\x00\x02\x01\x01", 5); /* WELCOME without its fields */
        if (number == 12)
            bytes = chq_bytes("\xa2\x00\x18\x63\x01\x01", 6), what = IGNORED; /* a frame type of later */
        step_ok(&b, (struct chq_agent_event){.type = CHQ_AGENT_FRAME, .frame = bytes});
        bool as_expected = what == IGNORED      ? b.unlinks + b.security + b.errors == 0
                           : what == LEFT_ALONE ? b.unlinks == 1 && b.security == 1
                                                : b.errors == 1 && b.security == 0;
        if (!as_expected)
            fail_msg("row %d: %u unlinks, %u warnings, %u errors", number, b.unlinks, b.security, b.errors);
        chq_agent_free(b.agent);
        b.agent = NULL;
    }
    chq_writer_free(&w);
}

/* Every record cut short at every place, and with every byte changed: refused or harmless, never a crash. */
static void damaged_records(void **state)
{
    (void)state;
    static struct bench b, c;
    bench_init(&b);
    step_ok(&b, create(&b, "ana"));
    assert_true(b.rows_n >= 2);
    for (size_t i = 0; i < b.rows_n; i++)
        for (size_t at = 0; at < b.rows[i].value_size; at++)
            for (int cut = 0; cut < 2; cut++) {
                c = b;
                c.agent = NULL;
                c.rows[i].value[at] ^= 0x41;
                if (cut)
                    c.rows[i].value_size = at;
                start(&c);
                enum chq_err err = step(&c, (struct chq_agent_event){.type = CHQ_AGENT_START});
                if (cut)
                    assert_int_not_equal(err, CHQ_OK);
                assert_true(err == CHQ_OK || err == CHQ_MALFORMED || err == CHQ_UNSUPPORTED);
                chq_agent_free(c.agent);
            }
    struct chq_agent *agent = NULL;
    assert_int_equal(chq_agent_new(&agent, &b.random, NULL), CHQ_OK);
    assert_int_equal(chq_agent_load(agent, 0, chq_bytes("", 1), chq_bytes("", 0)), CHQ_MALFORMED);
    assert_int_equal(
        chq_agent_load(agent, CHQ_AGENT_TABLES_MAX, chq_bytes("", 1), chq_bytes("", 0)), CHQ_MALFORMED);
    assert_int_equal(
        chq_agent_load(agent, CHQ_AGENT_SEEN, chq_bytes("", 0), chq_bytes("", 0)), CHQ_MALFORMED);
    assert_int_equal(chq_agent_load(agent, CHQ_AGENT_OUTBOX, chq_bytes("x", 1), chq_bytes("x", 1)), CHQ_OK);
    struct chq_agent_actions actions;
    struct chq_agent_event event = {.type = CHQ_AGENT_START};
    assert_int_equal(
        chq_agent_step(agent, &event, &actions), CHQ_MALFORMED); /* an outbox without an account */
    assert_int_equal(chq_agent_step(agent, &event, &actions), CHQ_STATE);
    chq_agent_free(agent);
    chq_agent_free(b.agent);
}

/* A restart must not be a way to show an old state: what was seen stays seen, over any number of starts. */
static void the_floor_never_sinks(void **state)
{
    (void)state;
    static struct bench b;
    static const uint8_t height_50[] = {0xa2, 0x01, 0x01, 0x02, 0x18, 0x32};
    const struct chq_agent_record record = {
        .table = CHQ_AGENT_LIGHT, .key = chq_bytes("", 1), .value = chq_bytes(height_50, sizeof height_50)};
    bench_init(&b);
    step_ok(&b, create(&b, "ana"));
    keep(&b, &record);
    for (int i = 0; i < 3; i++) {
        start(&b);
        step_ok(&b, (struct chq_agent_event){.type = CHQ_AGENT_START});
        step_ok(&b, (struct chq_agent_event){.type = CHQ_AGENT_LINK_UP});
    }
    for (size_t i = 0; i < b.rows_n; i++)
        if (b.rows[i].table == CHQ_AGENT_LIGHT)
            assert_memory_equal(b.rows[i].value, height_50, sizeof height_50);
    chq_agent_free(b.agent);
}

static void history_records(void **state)
{
    (void)state;
    struct chq_agent_message m;
    enum chq_agent_status status;
    uint64_t at;
    static const uint8_t sent[] = {0xa2, 0x01, 0x01, 0x02, 0x18, 0x64},
                         unknown[] = {0xa2, 0x01, 0x03, 0x02, 0x00}, none[] = {0xa2, 0x01, 0x00, 0x02, 0x00};
    assert_int_equal(chq_agent_status_read(chq_bytes(sent, sizeof sent), &status, &at), CHQ_OK);
    assert_int_equal(status, CHQ_AGENT_STATUS_SENT);
    assert_int_equal(at, 100);
    assert_int_equal(chq_agent_status_read(chq_bytes(unknown, sizeof unknown), &status, &at), CHQ_MALFORMED);
    assert_int_equal(chq_agent_status_read(chq_bytes(none, sizeof none), &status, &at), CHQ_MALFORMED);
    assert_int_equal(chq_agent_message_read(chq_bytes(sent, sizeof sent), &m), CHQ_MALFORMED);
    assert_int_equal(chq_agent_message_read(chq_bytes("", 0), &m), CHQ_MALFORMED);
}

/* LEAVE ends in LEFT at once when nothing is owed, and the agent is quiet then. */
static void leaves(void **state)
{
    (void)state;
    static struct bench b;
    bench_linked(&b);
    step_ok(&b, (struct chq_agent_event){.type = CHQ_AGENT_COMMAND, .command.type = CHQ_AGENT_LEAVE});
    assert_int_equal(b.unlinks, 1);
    assert_true(chq_agent_deadline_us(b.agent) == UINT64_MAX);
    b.now_us += 3600000000;
    step_ok(&b, (struct chq_agent_event){.type = CHQ_AGENT_TIMEOUT});
    assert_int_equal(b.links, 0);
    step_ok(&b, (struct chq_agent_event){.type = CHQ_AGENT_START});
    assert_int_equal(b.links, 1);
    chq_agent_free(b.agent);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_before_start),
        cmocka_unit_test(refused_commands),
        cmocka_unit_test(creates_and_calls),
        cmocka_unit_test(patience),
        cmocka_unit_test(silence),
        cmocka_unit_test(bad_frames),
        cmocka_unit_test(damaged_records),
        cmocka_unit_test(the_floor_never_sinks),
        cmocka_unit_test(history_records),
        cmocka_unit_test(leaves),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
