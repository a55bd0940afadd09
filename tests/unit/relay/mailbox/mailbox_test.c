/* SPDX-License-Identifier: Apache-2.0 */
#include "core/crypto/keys.h"
#include "core/crypto/random.h"
#include "relay/mailbox/mailbox.h"
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONNECTIONS 4

/* A client that signs, and the relay it talks to. */
struct bench {
    struct chq_mailbox *box;
    uint8_t relay_id[32], challenge[CONNECTIONS][32];
    struct chq_sign_pair keys[8];
    uint8_t queue_ids[8][32];
    uint64_t kept_s;
    char log[16384];
    size_t log_size;
    struct chq_mailbox_actions actions;
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

static void bench_init(struct bench *b, uint32_t queues_max)
{
    memset(b, 0, sizeof *b);
    assert_int_equal(chq_crypto_init(), CHQ_OK);
    memset(b->relay_id, 0x11, 32);
    b->kept_s = 1000;
    for (unsigned i = 0; i < 8; i++) {
        uint8_t seed[32] = {(uint8_t)(i + 1)};
        chq_sign_pair_from_seed(&b->keys[i], seed);
        chq_queue_id(b->queue_ids[i], b->keys[i].public_key);
    }
    for (unsigned i = 0; i < CONNECTIONS; i++)
        memset(b->challenge[i], (int)(0x20 + i), 32);
    struct chq_mailbox_config config = {
        .connections_max = CONNECTIONS, .queues_max = queues_max, .hash_key = 12345};
    memcpy(config.relay_id, b->relay_id, 32);
    assert_int_equal(chq_mailbox_new(&b->box, &config), CHQ_OK);
}

static const char *record_name(const struct chq_mailbox_record *r)
{
    static const char *const names[] = {"?", "add-queue", "add-message", "delete-to", "forget-puts",
        "set-bundle", "add-prekey", "take-prekeys"};
    return names[r->type];
}

/* Write down what the shell is told to do. */
static void trace(struct bench *b)
{
    for (size_t i = 0; i < b->actions.persist.n; i++) {
        const struct chq_mailbox_record *r = &b->actions.persist.v[i];
        note(b, "  persist %s queue %u seq %llu size %zu\n", record_name(r), r->queue,
            (unsigned long long)r->sequence, r->body.size);
    }
    for (size_t i = 0; i < b->actions.charge.n; i++) {
        const struct chq_mailbox_charge *c = &b->actions.charge.v[i];
        note(b, "  %s c%u %s %llu\n", c->served ? "charge" : "release", c->connection,
            c->put ? "put" : "deliver", (unsigned long long)c->bytes);
    }
    for (size_t i = 0; i < b->actions.send.n; i++) {
        const struct chq_mailbox_send *s = &b->actions.send.v[i];
        note(b, "  send c%u #%llu %s", s->connection, (unsigned long long)s->request_id,
            chq_frame_type_name(s->type));
        if (s->type == CHQ_FRAME_ERROR)
            note(b, " %d", s->error.code);
        if (s->type == CHQ_FRAME_DELIVER)
            note(b, " queue %u seq %llu", s->deliver.queue, (unsigned long long)s->deliver.sequence);
        if (s->type == CHQ_FRAME_PREKEY)
            note(b, " queue %u one-time %d number %llu left %llu", s->prekey.queue, s->prekey.one_time,
                (unsigned long long)s->prekey.number, (unsigned long long)s->prekey.left);
        note(b, "\n");
    }
    for (size_t i = 0; i < b->actions.ready.n; i++)
        note(b, "  ready c%u\n", b->actions.ready.v[i]);
}

static void step(struct bench *b, struct chq_mailbox_event event)
{
    event.kept_s = b->kept_s;
    event.wall_s = 1790000000 + b->kept_s;
    assert_int_equal(chq_mailbox_step(b->box, &event, &b->actions), CHQ_OK);
    trace(b);
}

static void open_connection(struct bench *b, uint32_t c)
{
    struct chq_mailbox_event event = {.type = CHQ_MAILBOX_OPENED, .connection = c};
    memcpy(event.opened.challenge, b->challenge[c], 32);
    step(b, event);
}

static void close_connection(struct bench *b, uint32_t c)
{
    note(b, "close c%u\n", c);
    step(b, (struct chq_mailbox_event){.type = CHQ_MAILBOX_CLOSED, .connection = c});
}

static void give(struct bench *b, uint32_t c, const struct chq_frame *frame, bool known)
{
    note(b, "%s c%u #%llu\n", chq_frame_type_name(frame->type), c, (unsigned long long)frame->id);
    step(b, (struct chq_mailbox_event){
                .type = CHQ_MAILBOX_FRAME, .connection = c, .frame = {.frame = frame, .put_known = known}});
}

static void stored(struct bench *b, enum chq_err err)
{
    note(b, "stored %d\n", err);
    step(b, (struct chq_mailbox_event){.type = CHQ_MAILBOX_STORED, .stored.err = err});
}

static void window(struct bench *b, uint32_t c, uint64_t bytes)
{
    note(b, "window c%u %llu\n", c, (unsigned long long)bytes);
    step(b, (struct chq_mailbox_event){.type = CHQ_MAILBOX_WINDOW, .connection = c, .window.bytes = bytes});
}

static struct chq_frame queue_frame(const struct bench *b, uint32_t c, unsigned k, uint64_t kind, uint64_t id)
{
    struct chq_frame frame = {.type = CHQ_FRAME_QUEUE, .id = id, .queue.kind = kind};
    uint8_t message[65];
    chq_frame_queue_message(message, b->relay_id, b->challenge[c], kind);
    memcpy(frame.queue.queue_key, b->keys[k].public_key, 32);
    chq_sign(frame.queue.signature, &b->keys[k], CHQ_DOMAIN_QUEUE_NEW, chq_bytes(message, sizeof message));
    return frame;
}

static struct chq_frame subscribe_frame(const struct bench *b, uint32_t c, unsigned k, uint64_t id)
{
    struct chq_frame frame = {.type = CHQ_FRAME_SUBSCRIBE, .id = id};
    uint8_t message[96];
    chq_frame_subscribe_message(message, b->relay_id, b->challenge[c], b->queue_ids[k]);
    memcpy(frame.subscribe.queue_key, b->keys[k].public_key, 32);
    chq_sign(
        frame.subscribe.signature, &b->keys[k], CHQ_DOMAIN_SUBSCRIBE, chq_bytes(message, sizeof message));
    return frame;
}

static uint8_t filler[CHQ_ENVELOPE_BYTES_MAX];

static struct chq_frame put_frame(const struct bench *b, unsigned k, unsigned put, size_t size, uint64_t id)
{
    struct chq_frame frame = {.type = CHQ_FRAME_PUT, .id = id, .put.envelope = chq_bytes(filler, size)};
    memcpy(frame.put.queue_id, b->queue_ids[k], 32);
    chq_store_u32(frame.put.put_id, put);
    return frame;
}

static struct chq_frame ack_frame(const struct bench *b, unsigned k, uint64_t sequence, uint64_t id)
{
    struct chq_frame frame = {.type = CHQ_FRAME_ACK, .id = id, .ack.sequence = sequence};
    memcpy(frame.ack.queue_id, b->queue_ids[k], 32);
    return frame;
}

#define GIVE(b, c, ...)                                                                                      \
    do {                                                                                                     \
        struct chq_frame f_ = __VA_ARGS__;                                                                   \
        give(b, c, &f_, false);                                                                              \
    } while (0)

static void golden_trace(void **state)
{
    (void)state;
    struct bench b;
    bench_init(&b, 8);
    open_connection(&b, 0);
    open_connection(&b, 1);
    GIVE(&b, 1, queue_frame(&b, 1, 0, 0, 1));
    stored(&b, CHQ_OK);
    GIVE(&b, 0, put_frame(&b, 0, 1, 256, 2));
    GIVE(&b, 0, put_frame(&b, 0, 1, 256, 3)); /* the same again in the same transaction */
    GIVE(&b, 1, subscribe_frame(&b, 1, 0, 4));
    stored(&b, CHQ_OK);
    GIVE(&b, 0, put_frame(&b, 0, 2, 1024, 5));
    stored(&b, CHQ_IO); /* the disk is full: undone */
    GIVE(&b, 0, put_frame(&b, 0, 2, 1024, 6));
    stored(&b, CHQ_OK);
    window(&b, 1, 1000); /* room for the first only */
    window(&b, 1, 1023);
    window(&b, 1, 1024);
    GIVE(&b, 1, ack_frame(&b, 0, 2, 7));
    stored(&b, CHQ_OK);
    GIVE(&b, 0, put_frame(&b, 0, 3, 256, 8));
    stored(&b, CHQ_OK);
    window(&b, 1, 4096);
    close_connection(&b, 1); /* without ACK: given back, delivered again to the next */
    open_connection(&b, 1);
    GIVE(&b, 1, subscribe_frame(&b, 1, 0, 9));
    stored(&b, CHQ_OK);
    window(&b, 1, 4096);
    GIVE(&b, 1, ack_frame(&b, 0, 3, 10));
    assert_string_equal(b.log, "QUEUE c1 #1\n"
                               "  persist add-queue queue 0 seq 0 size 0\n"
                               "stored 0\n"
                               "  send c1 #1 OK\n"
                               "PUT c0 #2\n"
                               "  persist add-message queue 0 seq 1 size 256\n"
                               "PUT c0 #3\n"
                               "  release c0 put 256\n"
                               "SUBSCRIBE c1 #4\n"
                               "stored 0\n"
                               "  charge c0 put 256\n"
                               "  send c0 #2 STORED\n"
                               "  send c0 #3 STORED\n"
                               "  send c1 #4 OK\n"
                               "  ready c1\n"
                               "PUT c0 #5\n"
                               "  persist add-message queue 0 seq 2 size 1024\n"
                               "stored 10\n"
                               "  release c0 put 1024\n"
                               "  send c0 #5 ERROR 10\n"
                               "PUT c0 #6\n"
                               "  persist add-message queue 0 seq 2 size 1024\n"
                               "stored 0\n"
                               "  charge c0 put 1024\n"
                               "  send c0 #6 STORED\n"
                               "window c1 1000\n"
                               "  send c1 #0 DELIVER queue 0 seq 1\n"
                               "window c1 1023\n"
                               "window c1 1024\n"
                               "  send c1 #0 DELIVER queue 0 seq 2\n"
                               "ACK c1 #7\n"
                               "  persist delete-to queue 0 seq 2 size 0\n"
                               "  charge c1 deliver 1280\n"
                               "stored 0\n"
                               "PUT c0 #8\n"
                               "  persist add-message queue 0 seq 3 size 256\n"
                               "stored 0\n"
                               "  charge c0 put 256\n"
                               "  send c0 #8 STORED\n"
                               "  ready c1\n"
                               "window c1 4096\n"
                               "  send c1 #0 DELIVER queue 0 seq 3\n"
                               "close c1\n"
                               "  release c1 deliver 256\n"
                               "SUBSCRIBE c1 #9\n"
                               "stored 0\n"
                               "  send c1 #9 OK\n"
                               "  ready c1\n"
                               "window c1 4096\n"
                               "  send c1 #0 DELIVER queue 0 seq 3\n"
                               "ACK c1 #10\n"
                               "  persist delete-to queue 0 seq 3 size 0\n"
                               "  charge c1 deliver 256\n");
    chq_mailbox_free(b.box);
}

static enum chq_err last_error(const struct bench *b)
{
    assert_int_equal(b->actions.send.n, 1);
    assert_int_equal(b->actions.send.v[0].type, CHQ_FRAME_ERROR);
    assert_true(strlen(b->actions.send.v[0].error.text) <= CHQ_TEXT_ERROR_BYTES_MAX);
    assert_int_equal(b->actions.persist.n, 0);
    return b->actions.send.v[0].error.code;
}

/* Every row must be refused, change nothing, and say why; the number is its name. */
static void bad_requests(void **state)
{
    (void)state;
    struct bench b;
    bench_init(&b, 2);
    for (uint32_t c = 0; c < CONNECTIONS; c++)
        open_connection(&b, c);
    GIVE(&b, 0, queue_frame(&b, 0, 0, 0, 1));
    GIVE(&b, 0, queue_frame(&b, 0, 1, 1, 1));
    GIVE(&b, 1, subscribe_frame(&b, 1, 0, 2));
    GIVE(&b, 0, put_frame(&b, 0, 1, 100, 3));
    stored(&b, CHQ_OK);
    struct {
        uint32_t connection;
        enum chq_err err;
        struct chq_frame frame;
    } rows[] = {
        /* 0 */ {0, CHQ_NOT_FOUND, put_frame(&b, 5, 1, 10, 9)}, /* no such queue */
        /* 1 */ {0, CHQ_AUTH, queue_frame(&b, 1, 2, 0, 9)}, /* signed for another connection's challenge */
        /* 2 */ {0, CHQ_EXISTS, queue_frame(&b, 0, 0, 1, 9)}, /* the other kind */
        /* 3 */ {0, CHQ_LIMIT, queue_frame(&b, 0, 2, 0, 9)}, /* above queues_max */
        /* 4 */ {2, CHQ_AUTH, subscribe_frame(&b, 0, 0, 9)}, /* replayed from another connection */
        /* 5 */ {2, CHQ_NOT_FOUND, subscribe_frame(&b, 2, 5, 9)},
        /* 6 */ {2, CHQ_STATE, ack_frame(&b, 0, 1, 9)}, /* not the subscriber */
        /* 7 */ {1, CHQ_STATE, ack_frame(&b, 0, 1, 9)}, /* not delivered yet */
        /* 8 */ {1, CHQ_STATE, ack_frame(&b, 5, 1, 9)},
        /* 9 */ {0, CHQ_NOT_FOUND, {.type = CHQ_FRAME_PREKEY_GET}},
        /* 10: a contact queue has no prekeys */ {0, CHQ_AUTH, {.type = CHQ_FRAME_PREKEYS}},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        give(&b, rows[i].connection, &rows[i].frame, false);
        if (last_error(&b) != rows[i].err)
            fail_msg("row %zu: %d", i, last_error(&b));
    }
    chq_mailbox_free(b.box);
}

static void limits(void **state)
{
    (void)state;
    struct bench b;
    bench_init(&b, 2);
    open_connection(&b, 0);
    open_connection(&b, 1);
    GIVE(&b, 0, queue_frame(&b, 0, 0, 0, 1));
    GIVE(&b, 0, queue_frame(&b, 0, 1, 0, 1));
    GIVE(&b, 1, subscribe_frame(&b, 1, 0, 1));
    stored(&b, CHQ_OK);
    unsigned put = 0;
    for (; put < CHQ_QUEUE_MESSAGES_MAX; put++) {
        b.log_size = 0;
        GIVE(&b, 0, put_frame(&b, 0, put, 1, 1));
        assert_int_equal(b.actions.persist.n, 1);
    }
    GIVE(&b, 0, put_frame(&b, 0, put, 1, 1));
    assert_int_equal(last_error(&b), CHQ_LIMIT);
    GIVE(&b, 0, put_frame(&b, 0, 0, 1, 1)); /* a repeated one is welcome all the same */
    assert_int_equal(b.actions.send.n, 0);
    for (put = 0; put < CHQ_QUEUE_BYTES_MAX / CHQ_ENVELOPE_BYTES_MAX; put++) {
        b.log_size = 0;
        GIVE(&b, 0, put_frame(&b, 1, put, CHQ_ENVELOPE_BYTES_MAX, 1));
        assert_int_equal(b.actions.persist.n, 1);
    }
    GIVE(&b, 0, put_frame(&b, 1, put, 1, 1));
    assert_int_equal(last_error(&b), CHQ_LIMIT);
    b.log_size = 0;
    struct chq_mailbox_event done = {.type = CHQ_MAILBOX_STORED, .kept_s = b.kept_s};
    assert_int_equal(chq_mailbox_step(b.box, &done, &b.actions), CHQ_OK);
    window(&b, 1, UINT64_MAX); /* at most 64 unacknowledged */
    assert_int_equal(b.actions.send.n, CHQ_DELIVER_UNACKNOWLEDGED_MAX);
    assert_false(chq_mailbox_is_ready(b.box, 1));
    GIVE(&b, 1, ack_frame(&b, 0, 10, 1));
    assert_true(chq_mailbox_is_ready(b.box, 1));
    b.log_size = 0;
    window(&b, 1, UINT64_MAX);
    assert_int_equal(b.actions.send.n, 10);
    chq_mailbox_free(b.box);
}

static void prekeys_are_given_once(void **state)
{
    (void)state;
    struct bench b;
    static struct chq_frame frame;
    uint8_t message[96];
    bench_init(&b, 2);
    open_connection(&b, 0);
    GIVE(&b, 0, queue_frame(&b, 0, 0, 1, 1));
    stored(&b, CHQ_OK);
    frame = (struct chq_frame){.type = CHQ_FRAME_PREKEYS,
        .id = 2,
        .prekeys = {.bundle = chq_bytes("bundle", 6),
            .one_time_count = 2,
            .one_time = {chq_bytes("one", 3), chq_bytes("two", 3)}}};
    memcpy(frame.prekeys.queue_key, b.keys[0].public_key, 32);
    chq_frame_prekeys_message(message, b.relay_id, b.challenge[0], &frame);
    chq_sign(frame.prekeys.signature, &b.keys[0], CHQ_DOMAIN_PREKEYS, chq_bytes(message, sizeof message));
    b.log_size = 0;
    give(&b, 0, &frame, false);
    stored(&b, CHQ_OK);
    struct chq_frame get = {.type = CHQ_FRAME_PREKEY_GET, .id = 3};
    memcpy(get.prekey_get.queue_id, b.queue_ids[0], 32);
    give(&b, 0, &get, false);
    stored(&b, CHQ_IO); /* not taken from the disk: must not be given */
    give(&b, 0, &get, false);
    give(&b, 0, &get, false);
    stored(&b, CHQ_OK);
    give(&b, 0, &get, false);
    stored(&b, CHQ_OK);
    frame.prekeys.bundle.size--; /* the signature covers the bundle */
    give(&b, 0, &frame, false);
    assert_string_equal(b.log, "PREKEYS c0 #2\n"
                               "  persist set-bundle queue 0 seq 0 size 6\n"
                               "  persist add-prekey queue 0 seq 0 size 3\n"
                               "  persist add-prekey queue 0 seq 1 size 3\n"
                               "stored 0\n"
                               "  send c0 #2 OK\n"
                               "PREKEY_GET c0 #3\n"
                               "  persist take-prekeys queue 0 seq 0 size 0\n"
                               "stored 10\n"
                               "  send c0 #3 ERROR 10\n"
                               "PREKEY_GET c0 #3\n"
                               "  persist take-prekeys queue 0 seq 0 size 0\n"
                               "PREKEY_GET c0 #3\n"
                               "  persist take-prekeys queue 0 seq 1 size 0\n"
                               "stored 0\n"
                               "  send c0 #3 PREKEY queue 0 one-time 1 number 0 left 0\n"
                               "  send c0 #3 PREKEY queue 0 one-time 1 number 1 left 0\n"
                               "PREKEY_GET c0 #3\n"
                               "stored 0\n"
                               "  send c0 #3 PREKEY queue 0 one-time 0 number 0 left 0\n"
                               "PREKEYS c0 #2\n"
                               "  send c0 #2 ERROR 3\n");
    chq_mailbox_free(b.box);
}

static void old_messages_expire(void **state)
{
    (void)state;
    struct bench b;
    bench_init(&b, 2);
    open_connection(&b, 0);
    GIVE(&b, 0, queue_frame(&b, 0, 0, 0, 1));
    GIVE(&b, 0, put_frame(&b, 0, 1, 10, 1));
    stored(&b, CHQ_OK);
    b.kept_s += 24 * 3600;
    GIVE(&b, 0, put_frame(&b, 0, 2, 10, 1));
    stored(&b, CHQ_OK);
    b.kept_s += 29 * 24 * 3600 - 1;
    step(&b, (struct chq_mailbox_event){.type = CHQ_MAILBOX_TIMEOUT});
    for (size_t i = 0; i < b.actions.persist.n; i++)
        assert_int_not_equal(b.actions.persist.v[i].type, CHQ_MAILBOX_DELETE_MESSAGES);
    b.kept_s = chq_mailbox_deadline_s(b.box);
    step(&b, (struct chq_mailbox_event){.type = CHQ_MAILBOX_TIMEOUT});
    assert_int_equal(b.actions.persist.n, 2);
    assert_int_equal(b.actions.persist.v[0].type, CHQ_MAILBOX_DELETE_MESSAGES);
    assert_int_equal(b.actions.persist.v[0].sequence, 1);
    assert_int_equal(b.actions.persist.v[1].type, CHQ_MAILBOX_FORGET_PUTS);
    struct chq_mailbox_totals totals;
    chq_mailbox_totals(b.box, &totals);
    assert_int_equal(totals.messages, 1);
    assert_int_equal(totals.bytes, 10);
    /* What a reader has in its hands is its ACK's to delete. */
    GIVE(&b, 0, subscribe_frame(&b, 0, 0, 1));
    stored(&b, CHQ_OK);
    window(&b, 0, 100);
    assert_int_equal(b.actions.send.n, 1);
    b.kept_s += 60 * 24 * 3600;
    step(&b, (struct chq_mailbox_event){.type = CHQ_MAILBOX_TIMEOUT});
    for (size_t i = 0; i < b.actions.persist.n; i++)
        assert_int_not_equal(b.actions.persist.v[i].type, CHQ_MAILBOX_DELETE_MESSAGES);
    GIVE(&b, 0, ack_frame(&b, 0, 2, 1));
    assert_int_equal(b.actions.persist.n, 1);
    chq_mailbox_free(b.box);
}

static void damaged_rows_are_refused(void **state)
{
    (void)state;
    struct bench b;
    bench_init(&b, 2);
    struct chq_mailbox_queue_row row = {.number = 0, .first_sequence = 5};
    assert_int_equal(chq_mailbox_load_message(b.box, 0, 1, 1, 1), CHQ_MALFORMED);
    assert_int_equal(chq_mailbox_load_queue(b.box, &row), CHQ_OK);
    row.number = 1;
    assert_int_equal(chq_mailbox_load_queue(b.box, &row), CHQ_MALFORMED); /* the same id */
    row.id[0] = 1, row.number = 2;
    assert_int_equal(chq_mailbox_load_queue(b.box, &row), CHQ_MALFORMED); /* a gap */
    row.number = 1, row.kind = 2;
    assert_int_equal(chq_mailbox_load_queue(b.box, &row), CHQ_MALFORMED);
    row.kind = 1, row.prekey_first = 2, row.prekey_next = 1;
    assert_int_equal(chq_mailbox_load_queue(b.box, &row), CHQ_MALFORMED);
    assert_int_equal(chq_mailbox_load_message(b.box, 0, 6, 1, 1), CHQ_MALFORMED); /* 5 is missing */
    assert_int_equal(chq_mailbox_load_message(b.box, 0, 5, CHQ_ENVELOPE_BYTES_MAX + 1, 1), CHQ_MALFORMED);
    assert_int_equal(chq_mailbox_load_message(b.box, 0, 5, 1, 1), CHQ_OK);
    chq_mailbox_free(b.box);
}

/*
 * Property: with commits that fail and crashes at any moment between receiving, committing and sending, whatever was
 * acknowledged is delivered, in order, and as new exactly once.
 */
#define QUEUES 3
#define PUTS   200

struct disk_message {
    uint64_t sequence;
    uint32_t put, bytes;
};
struct disk {
    struct {
        bool exists;
        uint64_t first;
        struct disk_message messages[PUTS];
        size_t count;
        bool seen[PUTS];
    } queues[QUEUES];
};

struct world {
    struct bench b;
    struct disk disk, next; /* durable, and with the open transaction */
    struct chq_random random;
    struct chq_seeded seeded;
    bool acknowledged[QUEUES][PUTS], received[QUEUES][PUTS], open[CONNECTIONS], subscribed[QUEUES];
    uint64_t client_sequence[QUEUES]; /* durable at the reader */
    unsigned new_count[QUEUES][PUTS];
    uint64_t seed;
};

static uint64_t below(struct world *w, uint64_t n)
{
    return chq_random_below(&w->random, n);
}

static void world_persist(struct world *w)
{
    for (size_t i = 0; i < w->b.actions.persist.n; i++) {
        const struct chq_mailbox_record *r = &w->b.actions.persist.v[i];
        uint32_t q = r->queue, put;
        if (r->type == CHQ_MAILBOX_ADD_QUEUE) {
            w->next.queues[q].exists = true;
            w->next.queues[q].first = 1;
        } else if (r->type == CHQ_MAILBOX_ADD_MESSAGE) {
            put = chq_load_u32(r->put_id);
            w->next.queues[q].messages[w->next.queues[q].count++] =
                (struct disk_message){r->sequence, put, (uint32_t)r->body.size};
            assert_false(w->next.queues[q].seen[put]); /* stored once */
            w->next.queues[q].seen[put] = true;
        } else if (r->type == CHQ_MAILBOX_DELETE_MESSAGES) {
            size_t kept = 0;
            for (size_t k = 0; k < w->next.queues[q].count; k++)
                if (w->next.queues[q].messages[k].sequence > r->sequence)
                    w->next.queues[q].messages[kept++] = w->next.queues[q].messages[k];
            w->next.queues[q].count = kept;
            w->next.queues[q].first = r->sequence + 1;
        }
    }
}

/* The client side of what is sent. */
static void world_send(struct world *w)
{
    for (size_t i = 0; i < w->b.actions.send.n; i++) {
        const struct chq_mailbox_send *s = &w->b.actions.send.v[i];
        if (s->type == CHQ_FRAME_STORED)
            w->acknowledged[s->request_id / PUTS][s->request_id % PUTS] = true;
        if (s->type != CHQ_FRAME_DELIVER)
            continue;
        uint32_t q = s->deliver.queue, put = UINT32_MAX;
        for (size_t k = 0; k < w->disk.queues[q].count; k++)
            if (w->disk.queues[q].messages[k].sequence == s->deliver.sequence)
                put = w->disk.queues[q].messages[k].put;
        if (put == UINT32_MAX)
            fail_msg("seed %llu: delivered what is not on disk", (unsigned long long)w->seed);
        if (s->deliver.sequence <= w->client_sequence[q])
            continue; /* the reader knows it */
        if (s->deliver.sequence != w->client_sequence[q] + 1)
            fail_msg("seed %llu: a gap in the sequence", (unsigned long long)w->seed);
        w->client_sequence[q]++;
        w->new_count[q][put]++;
    }
}

static void world_start(struct world *w)
{
    struct chq_mailbox_config config = {
        .connections_max = CONNECTIONS, .queues_max = QUEUES, .hash_key = w->seed};
    memcpy(config.relay_id, w->b.relay_id, 32);
    assert_int_equal(chq_mailbox_new(&w->b.box, &config), CHQ_OK);
    for (uint32_t q = 0; q < QUEUES && w->disk.queues[q].exists; q++) {
        struct chq_mailbox_queue_row row = {.number = q, .first_sequence = w->disk.queues[q].first};
        memcpy(row.id, w->b.queue_ids[q], 32);
        assert_int_equal(chq_mailbox_load_queue(w->b.box, &row), CHQ_OK);
        for (size_t i = 0; i < w->disk.queues[q].count; i++)
            assert_int_equal(chq_mailbox_load_message(w->b.box, q, w->disk.queues[q].messages[i].sequence,
                                 w->disk.queues[q].messages[i].bytes, 1),
                CHQ_OK);
    }
    w->next = w->disk;
    memset(w->open, 0, sizeof w->open);
    memset(w->subscribed, 0, sizeof w->subscribed);
}

static void world_crash(struct world *w)
{
    chq_mailbox_free(w->b.box);
    world_start(w);
}

/* End the pass: commit, or fail to, or crash before or after. */
static void world_commit(struct world *w, bool calm)
{
    uint64_t what = calm ? 9 : below(w, 10);
    if (what == 0) { /* crash before the commit */
        world_crash(w);
        return;
    }
    if (what == 1) { /* disk full */
        w->next = w->disk;
        stored(&w->b, CHQ_IO);
        world_send(w);
        return;
    }
    w->disk = w->next;
    if (what == 2) { /* crash after the commit, before the answers */
        world_crash(w);
        return;
    }
    stored(&w->b, CHQ_OK);
    world_send(w);
}

static void world_act(struct world *w, bool calm)
{
    uint32_t c = (uint32_t)below(w, CONNECTIONS), q = (uint32_t)below(w, QUEUES);
    struct bench *b = &w->b;
    b->log_size = 0;
    if (!w->open[c]) {
        open_connection(b, c);
        w->open[c] = true;
        return;
    }
    if (!calm && below(w, 30) == 0) {
        world_commit(w, true); /* CLOSED comes after STORED */
        close_connection(b, c);
        w->open[c] = false;
        return;
    }
    if (!w->disk.queues[q].exists) {
        for (q = 0; q < QUEUES; q++) { /* in order, so that numbers are known */
            GIVE(b, c, queue_frame(b, c, q, 0, 0));
            world_persist(w);
        }
        return;
    }
    switch (below(w, 4)) {
    case 0: {
        uint32_t put = (uint32_t)below(w, PUTS);
        struct chq_frame frame = put_frame(b, q, put, 1 + put, q * PUTS + put);
        give(b, c, &frame, w->disk.queues[q].seen[put]);
        world_persist(w);
        break;
    }
    case 1: GIVE(b, c, subscribe_frame(b, c, q, 0)); break;
    case 2:
        window(b, c, below(w, 2000));
        if (!calm && below(w, 20) == 0)
            world_crash(w); /* the socket never had it */
        else
            world_send(w);
        break;
    default:
        GIVE(b, c, ack_frame(b, q, w->client_sequence[q] == 0 ? 1 : w->client_sequence[q], 0));
        world_persist(w);
    }
}

static void crashes_lose_and_double_nothing(void **state)
{
    (void)state;
    static struct world w;
    for (uint64_t seed = 1; seed <= 60; seed++) {
        memset(&w, 0, sizeof w);
        bench_init(&w.b, QUEUES);
        chq_mailbox_free(w.b.box);
        w.seed = seed;
        chq_seeded_init(&w.seeded, seed);
        w.random = chq_seeded_random(&w.seeded);
        world_start(&w);
        for (unsigned i = 0; i < 1500; i++) {
            bool calm = i > 1000;
            world_act(&w, calm);
            if (below(&w, 3) == 0)
                world_commit(&w, calm);
        }
        /* A calm end: one reader takes all that is left. */
        world_commit(&w, true);
        if (!w.open[0])
            open_connection(&w.b, 0);
        for (uint32_t q = 0; q < QUEUES; q++)
            GIVE(&w.b, 0, subscribe_frame(&w.b, 0, q, 0));
        world_commit(&w, true);
        for (unsigned i = 0; i < 64; i++) {
            w.b.log_size = 0;
            window(&w.b, 0, UINT64_MAX);
            world_send(&w);
            for (uint32_t q = 0; q < QUEUES; q++)
                if (w.client_sequence[q] > 0) {
                    GIVE(&w.b, 0, ack_frame(&w.b, q, w.client_sequence[q], 0));
                    world_persist(&w);
                }
            world_commit(&w, true);
        }
        for (uint32_t q = 0; q < QUEUES; q++)
            for (uint32_t put = 0; put < PUTS; put++) {
                if (w.new_count[q][put] > 1)
                    fail_msg("seed %llu: put %u delivered as new %u times", (unsigned long long)seed, put,
                        w.new_count[q][put]);
                if (w.acknowledged[q][put] && w.new_count[q][put] != 1)
                    fail_msg("seed %llu: put %u was acknowledged and lost", (unsigned long long)seed, put);
            }
        chq_mailbox_free(w.b.box);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(golden_trace),
        cmocka_unit_test(bad_requests),
        cmocka_unit_test(limits),
        cmocka_unit_test(prekeys_are_given_once),
        cmocka_unit_test(old_messages_expire),
        cmocka_unit_test(damaged_rows_are_refused),
        cmocka_unit_test(crashes_lose_and_double_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
