/* SPDX-License-Identifier: Apache-2.0 */
#include "core/crypto/chain.h"
#include "core/crypto/keys.h"
#include "core/crypto/random.h"
#include "relay/meter/meter.h"
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define Q           65536
#define CONNECTIONS 4

/* A payer with one channel, and the relay's meter. */
struct bench {
    struct chq_meter *meter;
    struct chq_meter_config config;
    struct chq_sign_pair key;
    uint8_t challenge[32], channel_id[32], end[32];
    struct chq_channel_record record;
    uint64_t now_s, now_ms;
    char log[16384];
    size_t log_size;
    struct chq_meter_actions actions;
    struct chq_meter_row saved; /* what the database holds */
};

static void note(struct bench *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void note(struct bench *b, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int n = vsnprintf(b->log + b->log_size, sizeof b->log - b->log_size, format, args);
    va_end(args);
    assert_true(n >= 0 && (size_t)n < sizeof b->log - b->log_size);
    b->log_size += (size_t)n;
}

static void token_of(const struct bench *b, uint64_t index, uint8_t out[32])
{
    chq_chain_token(out, b->end, b->channel_id, b->record.tokens, index);
}

static void start(struct bench *b, const struct chq_meter_row *row)
{
    assert_int_equal(chq_meter_new(&b->meter, &b->config), CHQ_OK);
    if (row != NULL)
        assert_int_equal(chq_meter_load(b->meter, row), CHQ_OK);
}

static void bench_init(struct bench *b, uint64_t tokens, uint64_t deposit)
{
    uint8_t seed[32] = {7};
    memset(b, 0, sizeof *b);
    assert_int_equal(chq_crypto_init(), CHQ_OK);
    chq_sign_pair_from_seed(&b->key, seed);
    b->now_s = 1790000000;
    b->now_ms = 1000000;
    memset(b->challenge, 0x22, 32);
    memset(b->channel_id, 0x33, 32);
    memset(b->end, 0x44, 32);
    b->config = (struct chq_meter_config){.price_micro = 100,
        .quantum_bytes = Q,
        .settle_after_s = 60,
        .connections_max = CONNECTIONS,
        .channels_max = 2};
    memset(b->config.relay_id, 0x11, 32);
    b->record = (struct chq_channel_record){.number = 5,
        .deposit_micro = deposit,
        .tokens = tokens,
        .price_micro = 100,
        .quantum_bytes = Q,
        .expiry_s = b->now_s + 86400,
        .state = CHQ_CHANNEL_OPEN};
    memset(b->record.payee, 0x11, 32);
    memcpy(b->record.attach_key, b->key.public_key, 32);
    token_of(b, 0, b->record.last_token);
    start(b, NULL);
}

static void trace_send(struct bench *b, const struct chq_meter_send *s)
{
    const struct chq_frame *f = &s->frame;
    note(b, "  send c%u #%llu %s", s->connection, (unsigned long long)f->id, chq_frame_type_name(f->type));
    if (f->type == CHQ_FRAME_ERROR)
        note(b, " %llu", (unsigned long long)f->error.code);
    if (f->type == CHQ_FRAME_CREDIT)
        note(b, " tokens %llu carried %llu", (unsigned long long)f->credit.index,
            (unsigned long long)f->credit.carried_bytes);
    if (f->type == CHQ_FRAME_ATTACHED)
        note(b, " tokens %llu carried %llu", (unsigned long long)f->attached.index,
            (unsigned long long)f->attached.carried_bytes);
    note(b, "\n");
}

static void step(struct bench *b, struct chq_meter_event event)
{
    event.now_s = b->now_s;
    event.now_ms = b->now_ms;
    assert_int_equal(chq_meter_step(b->meter, &event, &b->actions), CHQ_OK);
    for (size_t i = 0; i < b->actions.persist.n; i++) {
        const struct chq_meter_record *r = &b->actions.persist.v[i];
        static const char *const names[] = {"?", "save", "save-carried", "delete"};
        note(b, "  persist %s tokens %llu settled %llu carried %llu\n", names[r->type],
            (unsigned long long)r->row.index, (unsigned long long)r->row.record.last_index,
            (unsigned long long)r->row.carried_bytes);
        if (r->type == CHQ_METER_SAVE)
            b->saved = r->row;
        else if (r->type == CHQ_METER_SAVE_CARRIED)
            b->saved.carried_bytes = r->row.carried_bytes;
    }
    for (size_t i = 0; i < b->actions.forget.n; i++)
        note(b, "  forget %u\n", b->actions.forget.v[i]);
    for (size_t i = 0; i < b->actions.send.n; i++)
        trace_send(b, &b->actions.send.v[i]);
    for (size_t i = 0; i < b->actions.settle.n; i++)
        note(b, "  settle channel %llu at %llu\n", (unsigned long long)b->actions.settle.v[i].number,
            (unsigned long long)b->actions.settle.v[i].index);
    for (size_t i = 0; i < b->actions.refresh.n; i++)
        note(b, "  refresh %u\n", b->actions.refresh.v[i]);
}

static struct chq_frame attach_frame(const struct bench *b)
{
    struct chq_frame frame = {.type = CHQ_FRAME_ATTACH, .id = 1};
    uint8_t message[96];
    memcpy(frame.attach.channel_id, b->channel_id, 32);
    chq_frame_attach_message(message, b->config.relay_id, b->challenge, b->channel_id);
    chq_sign(frame.attach.signature, &b->key, CHQ_DOMAIN_ATTACH, chq_bytes(message, 96));
    return frame;
}

static void stored(struct bench *b, enum chq_err err)
{
    step(b, (struct chq_meter_event){.type = CHQ_METER_STORED, .stored.err = err});
}

static void give_attach(struct bench *b, uint32_t c, const struct chq_channel_record *record)
{
    struct chq_frame frame = attach_frame(b);
    step(b, (struct chq_meter_event){.type = CHQ_METER_ATTACH,
                .connection = c,
                .attach = {.frame = &frame, .challenge = b->challenge, .err = CHQ_OK, .record = record}});
}

static void attach(struct bench *b, uint32_t c)
{
    note(b, "attach c%u\n", c);
    give_attach(b, c, &b->record);
    stored(b, CHQ_OK);
}

static void give_token(struct bench *b, uint32_t c, uint64_t index)
{
    struct chq_frame frame = {.type = CHQ_FRAME_TOKEN, .id = index, .token.index = index};
    note(b, "token c%u %llu\n", c, (unsigned long long)index);
    memcpy(frame.token.channel_id, b->channel_id, 32);
    token_of(b, index, frame.token.token);
    step(b, (struct chq_meter_event){.type = CHQ_METER_TOKEN, .connection = c, .token.frame = &frame});
}

static void token(struct bench *b, uint32_t c, uint64_t index)
{
    give_token(b, c, index);
    stored(b, CHQ_OK);
}

static void timeout(struct bench *b, uint64_t after_ms)
{
    note(b, "after %llu ms\n", (unsigned long long)after_ms);
    b->now_ms += after_ms;
    b->now_s += after_ms / 1000;
    step(b, (struct chq_meter_event){.type = CHQ_METER_TIMEOUT});
}

/* A PUT from reservation to acknowledgement, with its transaction. */
static enum chq_err put(struct bench *b, uint32_t c, uint64_t bytes)
{
    enum chq_err err = chq_meter_reserve_put(b->meter, c, bytes);
    note(b, "put c%u %llu: %d\n", c, (unsigned long long)bytes, err);
    if (err != CHQ_OK)
        return err;
    step(b, (struct chq_meter_event){.type = CHQ_METER_FLUSH});
    chq_meter_settle_reservation(b->meter, c, true, true, bytes);
    stored(b, CHQ_OK);
    return CHQ_OK;
}

static void golden_trace(void **state)
{
    (void)state;
    struct bench b;
    bench_init(&b, 1000, 100 * 1000);
    attach(&b, 0);
    (void)put(&b, 0, 16384);
    (void)put(&b, 0, 16384); /* half a quantum: not yet above it */
    (void)put(&b, 0, 16384); /* now a notice */
    (void)put(&b, 0, 8192); /* within the second: none */
    (void)put(&b, 0, 8193); /* would pass one quantum */
    (void)put(&b, 0, 8192);
    (void)put(&b, 0, 1);
    timeout(&b, 1000); /* the unpaid bytes have grown since the notice */
    timeout(&b, 1000);
    token(&b, 0, 1);
    token(&b, 0, 1); /* again */
    timeout(&b, 60000); /* settle */
    step(&b, (struct chq_meter_event){.type = CHQ_METER_SETTLED, .settled.err = CHQ_OK});
    struct chq_channel_record now = b.record;
    now.last_index = 1;
    now.state = CHQ_CHANNEL_CLOSING; /* the payer has begun to close */
    token_of(&b, 1, now.last_token);
    step(&b, (struct chq_meter_event){.type = CHQ_METER_RECORD, .record = {0, b.channel_id, CHQ_OK, &now}});
    (void)put(&b, 0, 1);
    assert_string_equal(b.log, "attach c0\n"
                               "  persist save tokens 0 settled 0 carried 0\n"
                               "  send c0 #1 ATTACHED tokens 0 carried 0\n"
                               "put c0 16384: 0\n"
                               "  persist save-carried tokens 0 settled 0 carried 16384\n"
                               "put c0 16384: 0\n"
                               "  persist save-carried tokens 0 settled 0 carried 32768\n"
                               "put c0 16384: 0\n"
                               "  persist save-carried tokens 0 settled 0 carried 49152\n"
                               "  send c0 #0 CREDIT tokens 0 carried 49152\n"
                               "put c0 8192: 0\n"
                               "  persist save-carried tokens 0 settled 0 carried 57344\n"
                               "put c0 8193: 8\n"
                               "put c0 8192: 0\n"
                               "  persist save-carried tokens 0 settled 0 carried 65536\n"
                               "put c0 1: 8\n"
                               "after 1000 ms\n"
                               "  send c0 #0 CREDIT tokens 0 carried 65536\n"
                               "after 1000 ms\n"
                               "token c0 1\n"
                               "  persist save tokens 1 settled 0 carried 65536\n"
                               "  send c0 #1 CREDIT tokens 1 carried 65536\n"
                               "token c0 1\n"
                               "  send c0 #1 CREDIT tokens 1 carried 65536\n"
                               "after 60000 ms\n"
                               "  settle channel 5 at 1\n"
                               "  persist save tokens 1 settled 1 carried 65536\n"
                               "  refresh 0\n"
                               "  persist save tokens 1 settled 1 carried 65536\n"
                               "  send c0 #0 ERROR 12\n"
                               "put c0 1: 5\n");
    chq_meter_free(b.meter);
}

/* Whatever is served, by mailbox or TURN, on one connection or two: never above (t + 1) quanta, nor the deposit. */
static void who_stops_paying_is_stopped_within_one_quantum(void **state)
{
    (void)state;
    struct bench b;
    bench_init(&b, 1000, 300); /* the deposit pays three tokens */
    attach(&b, 0);
    attach(&b, 1);
    uint32_t slot = chq_meter_channel_of(b.meter, 0);
    assert_int_equal(slot, chq_meter_channel_of(b.meter, 1));
    struct chq_gauge *gauge = chq_meter_gauge(b.meter, slot);
    for (uint64_t paid = 0; paid <= 3; paid++) {
        if (paid > 0)
            token(&b, paid % 2 == 0, paid);
        for (unsigned i = 0; i < 1000; i++) {
            b.log_size = 0;
            (void)put(&b, i % 2, 1 + i);
            (void)chq_gauge_try_add(gauge, 1 + i % 1200);
        }
        while (chq_gauge_try_add(gauge, 1))
            ;
        uint64_t may = paid < 3 ? paid + 1 : 3;
        assert_int_equal(chq_gauge_carried(gauge), may * Q);
        assert_int_equal(put(&b, 0, 1), CHQ_PAYMENT);
    }
    give_token(&b, 0, 4); /* the deposit does not cover it */
    assert_int_equal(b.actions.send.v[0].frame.error.code, CHQ_PAYMENT);
    assert_int_equal(b.actions.persist.n, 0);
    chq_meter_free(b.meter);
}

static void deliveries_are_reserved_and_charged_once(void **state)
{
    (void)state;
    struct bench b;
    bench_init(&b, 10, 1000);
    attach(&b, 0);
    struct chq_gauge *gauge = chq_meter_gauge(b.meter, 0);
    assert_int_equal(chq_meter_window(b.meter, 0), Q - CHQ_ENVELOPE_BYTES_MAX); /* room for one PUT stays */
    chq_meter_reserve_deliver(b.meter, 0, 40000);
    assert_int_equal(put(&b, 0, 16384), CHQ_OK);
    assert_int_equal(put(&b, 0, 16384), CHQ_AGAIN); /* only what is under way is in its way */
    assert_false(chq_gauge_try_add(gauge, Q - 40000 - 16384 + 1)); /* TURN may not take what is reserved */
    assert_int_equal(chq_gauge_carried(gauge), 16384);
    chq_meter_settle_reservation(b.meter, 0, false, true, 30000);
    assert_int_equal(chq_gauge_carried(gauge), 46384);
    chq_meter_settle_reservation(b.meter, 0, false, false, 10000);
    assert_int_equal(chq_gauge_carried(gauge), 46384);
    assert_true(chq_gauge_try_add(gauge, Q - 46384));
    assert_false(chq_gauge_try_add(gauge, 1));
    step(&b, (struct chq_meter_event){.type = CHQ_METER_CLOSED, .connection = 0});
    assert_int_equal(chq_meter_channel_of(b.meter, 0), CHQ_METER_NONE);
    assert_int_equal(chq_meter_reserve_put(b.meter, 0, 1), CHQ_STATE);
    chq_meter_free(b.meter);
}

/* Every row must be refused; the number is its name. */
static void bad_attaches(void **state)
{
    (void)state;
    struct bench b;
    bench_init(&b, 10, 1000);
    for (unsigned row = 0; row < 10; row++) {
        static const enum chq_err want[] = {CHQ_NOT_FOUND, CHQ_AUTH, CHQ_STATE, CHQ_STATE, CHQ_STATE,
            CHQ_EXPIRED, CHQ_PAYMENT, CHQ_PAYMENT, CHQ_IO, CHQ_AUTH};
        struct chq_channel_record record = b.record;
        struct chq_frame frame = attach_frame(&b);
        struct chq_meter_event event = {.type = CHQ_METER_ATTACH,
            .attach = {.frame = &frame, .challenge = b.challenge, .err = CHQ_OK, .record = &record}};
        uint8_t other[32] = {9};
        switch (row) {
        case 0: event.attach.record = NULL; break;
        case 1: event.attach.challenge = other; break; /* replayed from another connection */
        case 2: record.payee[0] ^= 1; break;
        case 3: record.state = CHQ_CHANNEL_CLOSED; break;
        case 4: record.state = CHQ_CHANNEL_CLOSING; break;
        case 5: record.expiry_s = b.now_s + CHQ_METER_EXPIRY_MARGIN_S; break;
        case 6: record.price_micro--; break;
        case 7: record.quantum_bytes *= 2; break;
        case 8: event.attach.err = CHQ_IO; break;
        default: record.attach_key[3] ^= 1;
        }
        step(&b, event);
        assert_int_equal(b.actions.persist.n, 0);
        assert_int_equal(b.actions.send.n, 1);
        if (b.actions.send.v[0].frame.error.code != (uint64_t)want[row])
            fail_msg("row %u: %llu", row, (unsigned long long)b.actions.send.v[0].frame.error.code);
    }
    chq_meter_free(b.meter);
}

static void bad_tokens(void **state)
{
    (void)state;
    struct bench b;
    bench_init(&b, 5000, 500000);
    give_token(&b, 0, 1); /* not attached on this connection */
    assert_int_equal(b.actions.send.v[0].frame.error.code, CHQ_STATE);
    attach(&b, 0);
    give_token(&b, 1, 1); /* attached on another */
    assert_int_equal(b.actions.send.v[0].frame.error.code, CHQ_STATE);
    give_token(&b, 0, 1025); /* more work than a token may make */
    assert_int_equal(b.actions.send.v[0].frame.error.code, CHQ_LIMIT);
    struct chq_frame frame = {.type = CHQ_FRAME_TOKEN, .token.index = 2};
    memcpy(frame.token.channel_id, b.channel_id, 32);
    token_of(
        &b, 1, frame.token.token); /* the token of 1 as if it were that of 2: an over-claim by the client */
    step(&b, (struct chq_meter_event){.type = CHQ_METER_TOKEN, .connection = 0, .token.frame = &frame});
    assert_int_equal(b.actions.send.v[0].frame.error.code, CHQ_AUTH);
    assert_int_equal(b.actions.persist.n, 0);
    give_token(&b, 0, 3);
    give_token(&b, 0, 5); /* two in one transaction */
    stored(&b, CHQ_IO); /* that fails: neither was taken */
    assert_int_equal(b.actions.send.n, 2);
    assert_int_equal(b.actions.send.v[0].frame.error.code, CHQ_IO);
    struct chq_meter_row row;
    assert_true(chq_meter_row(b.meter, 0, &row));
    assert_int_equal(row.index, 0);
    memset(&b.saved, 0, sizeof b.saved);
    token(&b, 0, 5);
    assert_int_equal(b.saved.index, 5); /* and is written anew */
    assert_true(chq_meter_row(b.meter, 0, &row));
    assert_int_equal(row.index, 5);
    chq_meter_free(b.meter);
}

static void a_restart_goes_on_exactly(void **state)
{
    (void)state;
    struct bench b;
    bench_init(&b, 100, 10000);
    attach(&b, 0);
    (void)put(&b, 0, 10000);
    token(&b, 0, 1);
    assert_true(chq_gauge_try_add(chq_meter_gauge(b.meter, 0), 777)); /* TURN */
    step(&b, (struct chq_meter_event){.type = CHQ_METER_FLUSH, .flush.all = true});
    stored(&b, CHQ_OK);
    chq_meter_free(b.meter); /* kill -9 */
    start(&b, &b.saved);
    b.log_size = 0;
    attach(&b, 0);
    assert_string_equal(b.log, "attach c0\n"
                               "  persist save tokens 1 settled 0 carried 10777\n"
                               "  send c0 #1 ATTACHED tokens 1 carried 10777\n");
    timeout(&b, 61000);
    assert_int_equal(b.actions.settle.n, 1); /* what was not settled before is now */
    chq_meter_free(b.meter);
    /* A relay that lost its database learns from the ledger what was settled, and counts that as used. */
    start(&b, NULL);
    b.record.last_index = 7;
    token_of(&b, 7, b.record.last_token);
    b.log_size = 0;
    attach(&b, 0);
    assert_non_null(strstr(b.log, "ATTACHED tokens 7 carried 458752"));
    chq_meter_free(b.meter);
}

static void settlement(void **state)
{
    (void)state;
    struct bench b;
    bench_init(&b, 5000, 500000);
    attach(&b, 0);
    token(&b, 0, 1024);
    token(&b, 0, 1500);
    timeout(&b, 59999);
    assert_int_equal(b.actions.settle.n, 0);
    timeout(&b, 1); /* more than 1,024 steps: an earlier token of the chain first */
    assert_int_equal(b.actions.settle.n, 1);
    assert_int_equal(b.actions.settle.v[0].index, 1024);
    uint8_t expected[32];
    token_of(&b, 1024, expected);
    assert_memory_equal(b.actions.settle.v[0].token, expected, 32);
    timeout(&b, 1000);
    assert_int_equal(b.actions.settle.n, 0); /* one at a time */
    step(&b, (struct chq_meter_event){.type = CHQ_METER_SETTLED, .settled.err = CHQ_IO}); /* not reached */
    timeout(&b, 4000);
    assert_int_equal(b.actions.settle.n, 0);
    assert_int_equal(b.actions.refresh.n, 1); /* what is unsettled is looked after meanwhile */
    step(&b,
        (struct chq_meter_event){.type = CHQ_METER_RECORD, .record = {0, b.channel_id, CHQ_OK, &b.record}});
    timeout(&b, 1000);
    assert_int_equal(b.actions.settle.n, 1);
    step(&b, (struct chq_meter_event){.type = CHQ_METER_SETTLED, .settled.err = CHQ_OK});
    assert_int_equal(b.actions.refresh.n, 1);
    b.record.last_index = 1024;
    memcpy(b.record.last_token, expected, 32);
    step(&b,
        (struct chq_meter_event){.type = CHQ_METER_RECORD, .record = {0, b.channel_id, CHQ_OK, &b.record}});
    step(&b, (struct chq_meter_event){.type = CHQ_METER_SHUTDOWN}); /* the rest at once */
    assert_int_equal(chq_meter_reserve_put(b.meter, 0, 1), CHQ_STATE);
    timeout(&b, 0);
    assert_int_equal(b.actions.settle.n, 1);
    assert_int_equal(b.actions.settle.v[0].index, 1500);
    step(&b, (struct chq_meter_event){.type = CHQ_METER_SETTLED, .settled.err = CHQ_OK});
    struct chq_meter_totals totals;
    chq_meter_totals(b.meter, &totals);
    assert_int_equal(totals.earned_micro, 150000);
    assert_int_equal(totals.settled_micro, 150000);
    chq_meter_free(b.meter);
}

static void one_bad_channel_does_not_hold_up_the_rest(void **state)
{
    (void)state;
    struct bench b;
    bench_init(&b, 100, 10000);
    attach(&b, 0);
    token(&b, 0, 1);
    memset(b.channel_id, 0x34, 32);
    b.record.number = 6;
    token_of(&b, 0, b.record.last_token);
    attach(&b, 0);
    token(&b, 0, 2);
    b.log_size = 0;
    timeout(&b, 60000);
    step(&b, (struct chq_meter_event){
                 .type = CHQ_METER_SETTLED, .settled.err = CHQ_AUTH}); /* the ledger refuses both */
    timeout(&b, 250);
    step(&b,
        (struct chq_meter_event){.type = CHQ_METER_SETTLED, .settled.err = CHQ_AUTH}); /* 6 is the bad one */
    timeout(&b, 250);
    step(&b, (struct chq_meter_event){.type = CHQ_METER_SETTLED, .settled.err = CHQ_OK});
    timeout(&b, 250);
    assert_string_equal(b.log, "after 60000 ms\n"
                               "  settle channel 5 at 1\n"
                               "  settle channel 6 at 2\n"
                               "  refresh 0\n"
                               "  refresh 1\n"
                               "after 250 ms\n"
                               "  settle channel 6 at 2\n"
                               "after 250 ms\n"
                               "  settle channel 5 at 1\n"
                               "  persist save tokens 1 settled 1 carried 0\n"
                               "after 250 ms\n");
    chq_meter_free(b.meter);
}

/* A payer who closed while nothing was used gets no more than a quantum for worthless tokens. */
static void tokens_after_a_pause_wait_for_the_ledger(void **state)
{
    (void)state;
    struct bench b;
    bench_init(&b, 100, 10000);
    attach(&b, 0);
    timeout(&b, 200000);
    assert_int_equal(b.actions.refresh.n, 0); /* not used: no look */
    assert_int_equal(put(&b, 0, 40000), CHQ_OK);
    give_token(&b, 0, 1);
    stored(&b, CHQ_OK); /* held and acknowledged, but it serves nobody before the look */
    assert_int_equal(b.actions.send.v[0].frame.type, CHQ_FRAME_CREDIT);
    assert_int_equal(b.actions.refresh.n, 1);
    assert_int_equal(put(&b, 0, 40000), CHQ_PAYMENT);
    step(&b,
        (struct chq_meter_event){.type = CHQ_METER_RECORD, .record = {0, b.channel_id, CHQ_OK, &b.record}});
    assert_int_equal(put(&b, 0, 40000), CHQ_OK);
    b.now_ms += 99000;
    give_token(&b, 0, 2);
    stored(&b, CHQ_OK); /* the look is young enough */
    assert_int_equal(put(&b, 0, 60000), CHQ_OK);
    timeout(&b, 250); /* settles, and looks again after it */
    assert_int_equal(b.actions.settle.n, 1);
    step(&b, (struct chq_meter_event){.type = CHQ_METER_SETTLED, .settled.err = CHQ_OK});
    assert_int_equal(b.actions.refresh.n, 1);
    /* The answer to a question of before the settlement does not undo it. */
    step(&b,
        (struct chq_meter_event){.type = CHQ_METER_RECORD, .record = {0, b.channel_id, CHQ_OK, &b.record}});
    struct chq_meter_row row;
    assert_true(chq_meter_row(b.meter, 0, &row));
    assert_int_equal(row.record.last_index, 2);
    chq_meter_free(b.meter);
}

static void channels_end(void **state)
{
    (void)state;
    struct bench b;
    bench_init(&b, 100, 10000);
    attach(&b, 0);
    b.now_s = b.record.expiry_s - CHQ_METER_EXPIRY_MARGIN_S;
    timeout(&b, 0);
    assert_int_equal(put(&b, 0, 1), CHQ_STATE);
    assert_false(chq_gauge_try_add(chq_meter_gauge(b.meter, 0), 1));
    step(&b, (struct chq_meter_event){.type = CHQ_METER_CLOSED, .connection = 0});
    b.now_s += 2 * 86400;
    b.log_size = 0;
    timeout(&b, 0);
    assert_string_equal(b.log, "after 0 ms\n"
                               "  persist delete tokens 0 settled 0 carried 0\n"
                               "  forget 0\n");
    chq_meter_free(b.meter);
}

/* A payer closes its channel while it is idle, waits until the deposit is back, then uses it: it is found out with its first use. */
static void a_channel_closed_while_idle_is_found_out(void **state)
{
    (void)state;
    struct bench b;
    bench_init(&b, 100, 10000);
    attach(&b, 0);
    assert_int_equal(put(&b, 0, 100), CHQ_OK);
    timeout(&b, 250);
    assert_int_equal(b.actions.refresh.n, 0); /* the ledger's word is fresh */
    timeout(&b, 60000);
    assert_int_equal(b.actions.refresh.n, 1);
    timeout(&b, 250);
    assert_int_equal(b.actions.refresh.n, 0); /* one question at a time */
    step(&b, (struct chq_meter_event){.type = CHQ_METER_RECORD, .record = {0, b.channel_id, CHQ_IO, NULL}});
    timeout(&b, 250);
    assert_int_equal(b.actions.refresh.n, 0);
    timeout(&b, 5000);
    assert_int_equal(b.actions.refresh.n, 1); /* the ledger could not be asked: again */
    step(&b,
        (struct chq_meter_event){.type = CHQ_METER_RECORD, .record = {0, b.channel_id, CHQ_OK, &b.record}});
    timeout(&b, 600000);
    assert_int_equal(b.actions.refresh.n, 0); /* idle: no questions */
    assert_true(chq_gauge_try_add(chq_meter_gauge(b.meter, 0), 100)); /* by TURN */
    timeout(&b, 250);
    assert_int_equal(b.actions.refresh.n, 1);
    b.record.state = CHQ_CHANNEL_CLOSED;
    step(&b,
        (struct chq_meter_event){.type = CHQ_METER_RECORD, .record = {0, b.channel_id, CHQ_OK, &b.record}});
    assert_int_equal(put(&b, 0, 1), CHQ_STATE);
    assert_false(chq_gauge_try_add(chq_meter_gauge(b.meter, 0), 1));
    chq_meter_free(b.meter);
}

/* The wall clock jumps ten years: tokens that are not settled yet are settled, not forgotten. */
static void a_clock_jump_costs_no_token(void **state)
{
    (void)state;
    struct bench b;
    bench_init(&b, 100, 10000);
    attach(&b, 0);
    token(&b, 0, 3);
    step(&b, (struct chq_meter_event){.type = CHQ_METER_CLOSED, .connection = 0});
    b.now_s += 10 * UINT64_C(365) * 86400;
    b.log_size = 0;
    timeout(&b, 0);
    assert_string_equal(b.log, "after 0 ms\n"
                               "  settle channel 5 at 3\n");
    step(&b, (struct chq_meter_event){.type = CHQ_METER_SETTLED, .settled.err = CHQ_OK});
    b.record.last_index = 3;
    token_of(&b, 3, b.record.last_token);
    step(&b,
        (struct chq_meter_event){.type = CHQ_METER_RECORD, .record = {0, b.channel_id, CHQ_OK, &b.record}});
    timeout(&b, 0);
    assert_int_equal(b.actions.forget.n, 1);
    chq_meter_free(b.meter);
}

/* Attach a channel of that number on connection 0; whether it pays now. */
static bool attach_new(struct bench *b, uint8_t id, uint64_t number)
{
    struct chq_meter_row row;
    memset(b->channel_id, id, 32);
    b->record.number = number;
    token_of(b, 0, b->record.last_token);
    attach(b, 0);
    return chq_meter_row(b->meter, chq_meter_channel_of(b->meter, 0), &row) && row.record.number == number;
}

/* Channels that owe nothing and that nobody uses make room for new ones; those that are owed for or used stay. */
static void idle_channels_make_room(void **state)
{
    (void)state;
    struct bench b;
    bench_init(&b, 100, 10000); /* it keeps two */
    assert_true(attach_new(&b, 0x41, 1));
    assert_true(attach_new(&b, 0x42, 2));
    assert_int_equal(put(&b, 0, 100), CHQ_OK); /* the second owes */
    assert_false(attach_new(&b, 0x43, 3)); /* the first is still attached */
    step(&b, (struct chq_meter_event){.type = CHQ_METER_CLOSED, .connection = 0});
    assert_true(attach_new(&b, 0x43, 3));
    struct chq_meter_row row;
    assert_true(chq_meter_row(b.meter, 0, &row));
    assert_int_equal(row.record.number, 3);
    assert_true(chq_meter_row(b.meter, 1, &row));
    assert_int_equal(row.record.number, 2);
    token(&b, 0, 1);
    step(&b, (struct chq_meter_event){.type = CHQ_METER_CLOSED, .connection = 0});
    assert_false(attach_new(&b, 0x44, 4)); /* the third is not settled yet, the second owes */
    chq_meter_free(b.meter);
}

/* What is left after 1,024 steps goes with the next block, not after another settle_after. */
static void a_long_settlement_goes_on_at_once(void **state)
{
    (void)state;
    struct bench b;
    bench_init(&b, 5000, 500000);
    attach(&b, 0);
    token(&b, 0, 1024);
    token(&b, 0, 1500);
    timeout(&b, 60000);
    step(&b, (struct chq_meter_event){.type = CHQ_METER_SETTLED, .settled.err = CHQ_OK});
    timeout(&b, 0);
    assert_int_equal(b.actions.settle.n, 1);
    assert_int_equal(b.actions.settle.v[0].index, 1500);
    chq_meter_free(b.meter);
}

/* Random PUTs, deliveries, TURN bytes, tokens, failing commits and restarts: the count is exact and never unpaid by more than one
 * quantum. */
static void counts_are_exact(void **state)
{
    (void)state;
    struct bench b;
    for (uint64_t seed = 1; seed <= 40; seed++) {
        bench_init(&b, 500, 30000);
        struct chq_seeded seeded;
        chq_seeded_init(&seeded, seed);
        struct chq_random random = chq_seeded_random(&seeded);
        uint64_t mine = 0, in_flight = 0, paid = 0;
        attach(&b, 0);
        for (unsigned i = 0; i < 2000; i++) {
            struct chq_gauge *gauge = chq_meter_gauge(b.meter, 0);
            uint64_t n = 1 + chq_random_below(&random, 3000), what = chq_random_below(&random, 8), window;
            bool fine = chq_random_below(&random, 10) > 0;
            b.log_size = 0;
            switch (what) {
            case 0:
            case 1:
                if (chq_meter_reserve_put(b.meter, 0, n) != CHQ_OK)
                    break;
                step(&b, (struct chq_meter_event){.type = CHQ_METER_FLUSH});
                chq_meter_settle_reservation(b.meter, 0, true, fine, n);
                stored(&b, fine ? CHQ_OK : CHQ_IO);
                mine += fine ? n : 0;
                break;
            case 2: mine += chq_gauge_try_add(gauge, n) ? n : 0; break;
            case 3:
                window = chq_meter_window(b.meter, 0);
                n = n < window ? n : window;
                chq_meter_reserve_deliver(b.meter, 0, n);
                in_flight += n;
                break;
            case 4:
                n = n < in_flight ? n : in_flight;
                chq_meter_settle_reservation(b.meter, 0, false, fine, n);
                in_flight -= n;
                mine += fine ? n : 0;
                break;
            case 5:
                if (mine <= paid * Q + Q / 2 || paid == 300)
                    break;
                give_token(&b, 0, paid + 1);
                stored(&b, fine ? CHQ_OK : CHQ_IO);
                paid += fine;
                break;
            default:
                if (chq_random_below(&random, 100) > 0 || in_flight > 0)
                    break;
                step(&b, (struct chq_meter_event){.type = CHQ_METER_FLUSH, .flush.all = true});
                chq_meter_free(b.meter);
                start(&b, &b.saved);
                attach(&b, 0);
                gauge = chq_meter_gauge(b.meter, 0);
            }
            if (chq_gauge_carried(gauge) != mine)
                fail_msg("seed %llu step %u: carried %llu, served %llu", (unsigned long long)seed, i,
                    (unsigned long long)chq_gauge_carried(gauge), (unsigned long long)mine);
            if (mine + in_flight > (paid + 1) * Q)
                fail_msg("seed %llu step %u: above one quantum unpaid", (unsigned long long)seed, i);
        }
        chq_meter_settle_reservation(b.meter, 0, false, false, in_flight);
        chq_meter_free(b.meter);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(golden_trace),
        cmocka_unit_test(who_stops_paying_is_stopped_within_one_quantum),
        cmocka_unit_test(deliveries_are_reserved_and_charged_once),
        cmocka_unit_test(bad_attaches),
        cmocka_unit_test(bad_tokens),
        cmocka_unit_test(a_restart_goes_on_exactly),
        cmocka_unit_test(settlement),
        cmocka_unit_test(one_bad_channel_does_not_hold_up_the_rest),
        cmocka_unit_test(tokens_after_a_pause_wait_for_the_ledger),
        cmocka_unit_test(channels_end),
        cmocka_unit_test(a_channel_closed_while_idle_is_found_out),
        cmocka_unit_test(a_clock_jump_costs_no_token),
        cmocka_unit_test(a_long_settlement_goes_on_at_once),
        cmocka_unit_test(idle_channels_make_room),
        cmocka_unit_test(counts_are_exact),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
