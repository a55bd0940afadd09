/* SPDX-License-Identifier: Apache-2.0 */
/* A relay's shell around the real mailbox and meter: group commit, crashes, and lies when it is told to lie. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/assert.h"
#include "core/wire/ledger_frame.h"
#include "core/wire/operation.h"
#include "tests/sim/chasqui/sim.h"

#define COMMIT_US 2000

static void on_mailbox(struct sim *s, uint32_t r, const struct chq_mailbox_actions *actions);
static void on_meter(struct sim *s, uint32_t r, const struct chq_meter_actions *actions);

static bool lying(struct sim *s, uint32_t r, uint64_t one_in)
{
    return s->relays[r].lies && sim_faulty(s) && sim_below(s, one_in) == 0;
}

static void send_frame(
    struct sim *s, uint32_t r, uint32_t connection, const struct chq_frame *frame, bool lie)
{
    struct relay_connection *c = &s->relays[r].connections[connection];
    if (!c->open)
        return;
    struct chq_writer w = chq_writer_heap(CHQ_FRAME_BYTES_MAX);
    enum chq_err err = chq_frame_write(&w, frame);
    CHQ_ASSERT(err == CHQ_OK);
    sim_send(s, c->link, true, chq_writer_bytes(&w), lie);
    chq_writer_free(&w);
}

static void refuse(
    struct sim *s, uint32_t r, uint32_t connection, uint64_t id, enum chq_err code, const char *why)
{
    struct chq_frame frame = {.type = CHQ_FRAME_ERROR, .id = id};
    frame.error.code = code;
    frame.error.text = chq_bytes_text(why);
    send_frame(s, r, connection, &frame, false);
}

static void step_mailbox(struct sim *s, uint32_t r, struct chq_mailbox_event *event)
{
    struct chq_mailbox_actions actions;
    event->kept_s = s->now_us / 1000000;
    event->wall_s = sim_unix_ms(s) / 1000;
    enum chq_err err = chq_mailbox_step(s->relays[r].mailbox, event, &actions);
    CHQ_ASSERT(err == CHQ_OK);
    on_mailbox(s, r, &actions);
}

static void step_meter(struct sim *s, uint32_t r, struct chq_meter_event *event)
{
    struct chq_meter_actions actions;
    event->now_s = sim_unix_ms(s) / 1000;
    event->now_ms = s->now_us / 1000;
    enum chq_err err = chq_meter_step(s->relays[r].meter, event, &actions);
    CHQ_ASSERT(err == CHQ_OK);
    on_meter(s, r, &actions);
}

static void commit_later(struct sim *s, uint32_t r)
{
    struct sim_relay *relay = &s->relays[r];
    if (relay->commit_due)
        return;
    relay->commit_due = true;
    sim_at(s, sim_below(s, COMMIT_US) + 1, EVENT_RELAY_COMMIT, r, 0)->epoch = relay->epoch;
}

static void send_deliver(struct sim *s, uint32_t r, const struct chq_mailbox_send *send)
{
    const struct sim_message *m = disk_message(&s->relays[r], send->deliver.queue, send->deliver.sequence);
    CHQ_ASSERT(m != NULL);
    struct chq_frame frame = {.type = CHQ_FRAME_DELIVER};
    memcpy(frame.deliver.queue_id, send->deliver.queue_id, 32);
    memcpy(frame.deliver.put_id, m->put_id, 16);
    frame.deliver.sequence = m->sequence;
    frame.deliver.envelope = chq_bytes(m->body, m->size);
    frame.deliver.stored_at_s = m->wall_s;
    if (lying(s, r, 4)) {
        s->lies++;
        return; /* withheld */
    }
    send_frame(s, r, send->connection, &frame, false);
    if (lying(s, r, 4)) {
        s->lies++;
        send_frame(s, r, send->connection, &frame, false);
    }
}

static void send_prekey(struct sim *s, uint32_t r, const struct chq_mailbox_send *send)
{
    struct sim_relay *relay = &s->relays[r];
    const struct sim_queue *q = &relay->disk.queues[send->prekey.queue];
    struct chq_frame frame = {
        .type = CHQ_FRAME_PREKEY, .id = send->request_id, .prekey.left = send->prekey.left};
    if (lying(s, r, 2)) /* somebody else's key */
        for (uint32_t i = 0; i < relay->disk.queues_n; i++)
            if (relay->disk.queues[i].has_bundle && i != send->prekey.queue) {
                q = &relay->disk.queues[i];
                s->lies++;
            }
    if (!q->has_bundle) { /* only a relay that answers too early gets here */
        refuse(s, r, send->connection, send->request_id, CHQ_NOT_FOUND, "no prekeys");
        return;
    }
    frame.prekey.bundle = chq_bytes(q->bundle, q->bundle_size);
    if (send->prekey.one_time) {
        const struct sim_prekey *p = disk_prekey(relay, send->prekey.queue, send->prekey.number);
        CHQ_ASSERT(p != NULL);
        frame.prekey.one_time = chq_bytes(p->body, p->size);
    }
    send_frame(s, r, send->connection, &frame, false);
}

static void send_reply(struct sim *s, uint32_t r, const struct chq_mailbox_send *send)
{
    struct chq_frame frame = {.type = send->type, .id = send->request_id};
    switch (send->type) {
    case CHQ_FRAME_DELIVER: send_deliver(s, r, send); return;
    case CHQ_FRAME_PREKEY: send_prekey(s, r, send); return;
    case CHQ_FRAME_ERROR:
        refuse(s, r, send->connection, send->request_id, send->error.code, send->error.text);
        return;
    case CHQ_FRAME_STORED: memcpy(frame.stored.put_id, send->put_id, CHQ_PUT_ID_BYTES); break;
    default: break;
    }
    send_frame(s, r, send->connection, &frame, false);
}

static void on_mailbox(struct sim *s, uint32_t r, const struct chq_mailbox_actions *actions)
{
    struct sim_relay *relay = &s->relays[r];
    for (size_t i = 0; i < actions->persist.n; i++)
        disk_mailbox(relay, &actions->persist.v[i]);
    if (actions->persist.n > 0)
        commit_later(s, r);
    for (size_t i = 0; i < actions->charge.n; i++) {
        const struct chq_mailbox_charge *c = &actions->charge.v[i];
        chq_meter_settle_reservation(relay->meter, c->connection, c->put, c->served, c->bytes);
    }
    for (size_t i = 0; i < actions->send.n; i++)
        send_reply(s, r, &actions->send.v[i]);
}

static void settle(struct sim *s, uint32_t r, const struct chq_meter_actions *actions)
{
    struct event *e = sim_at(s, 1000 + sim_below(s, 50000), EVENT_SETTLE, r, 0);
    e->epoch = s->relays[r].epoch;
    e->size = actions->settle.n * CHQ_SETTLEMENT_BYTES;
    e->data = sim_alloc(e->size);
    for (size_t i = 0; i < actions->settle.n; i++) {
        const struct chq_meter_settle *m = &actions->settle.v[i];
        struct chq_settlement record = {.number = m->number, .index = m->index};
        memcpy(record.token, m->token, 32);
        chq_settlement_store(e->data + i * CHQ_SETTLEMENT_BYTES, &record);
    }
}

static void refresh(struct sim *s, uint32_t r, uint32_t slot)
{
    uint8_t id[32];
    struct chq_channel_record record;
    memcpy(id, chq_meter_channel_id(s->relays[r].meter, slot), 32);
    bool there = s->chain.up && chain_channel(s, id, &record);
    struct chq_meter_event event = {.type = CHQ_METER_RECORD,
        .record = {.slot = slot,
            .channel_id = id,
            .err = s->chain.up ? CHQ_OK : CHQ_IO,
            .record = there ? &record : NULL}};
    step_meter(s, r, &event);
}

static void on_meter(struct sim *s, uint32_t r, const struct chq_meter_actions *actions)
{
    struct sim_relay *relay = &s->relays[r];
    uint32_t slots[16], slots_n = 0;
    for (size_t i = 0; i < actions->persist.n; i++)
        disk_meter(relay, &actions->persist.v[i]);
    if (actions->persist.n > 0)
        commit_later(s, r);
    for (size_t i = 0; i < actions->send.n; i++) {
        struct chq_frame frame = actions->send.v[i].frame;
        bool over = (frame.type == CHQ_FRAME_CREDIT || frame.type == CHQ_FRAME_ATTACHED) && lying(s, r, 6);
        if (over) {
            s->lies++;
            uint64_t *carried =
                frame.type == CHQ_FRAME_CREDIT ? &frame.credit.carried_bytes : &frame.attached.carried_bytes;
            *carried += sim_below(s, 2) == 0 ? SIM_QUANTUM / 2 : 20 * SIM_QUANTUM;
        }
        send_frame(s, r, actions->send.v[i].connection, &frame, false);
    }
    if (actions->settle.n > 0)
        settle(s, r, actions);
    for (size_t i = 0; i < actions->refresh.n && slots_n < 16; i++)
        slots[slots_n++] = actions->refresh.v[i];
    for (uint32_t i = 0; i < slots_n; i++)
        refresh(s, r, slots[i]);
}

/* --- life --- */

void relay_init(struct sim *s, uint32_t r)
{
    struct sim_relay *relay = &s->relays[r];
    uint8_t entropy[32];
    char reason[160], host[32];
    chq_random_fill(&s->random, entropy, sizeof entropy);
    chq_account_from_entropy(&relay->account, entropy);
    snprintf(host, sizeof host, "relay-%u.example", r);
    struct chq_relay_record record = {.host = chq_bytes_text(host),
        .port = 443,
        .turn_port = 3478,
        .price_micro = SIM_PRICE,
        .quantum_bytes = SIM_QUANTUM,
        .region = chq_bytes_text("")};
    memcpy(record.relay, relay->account.id, 32);
    memset(record.pin, (int)r + 1, 32);
    struct chq_writer inception = chq_writer_heap(CHQ_INCEPTION_BYTES_MAX), w = chq_writer_heap(1024);
    chq_inception_write(&inception, &relay->account.inception);
    chq_relay_record_put(&w, &record);
    struct chq_operation ops[2] = {{.type = CHQ_OPERATION_CREATE}, {.type = CHQ_OPERATION_RELAY_SET}};
    ops[0].create.inception = chq_writer_bytes(&inception);
    ops[1].relay_set.record = chq_writer_bytes(&w);
    enum chq_err err = chain_batch(s, &relay->account, ops, 2, reason);
    CHQ_ASSERT(err == CHQ_OK);
    struct chq_operation issue = {.type = CHQ_OPERATION_ISSUE};
    memcpy(issue.issue.to, relay->account.id, 32);
    issue.issue.micro = SIM_FUNDS;
    err = chain_batch(s, &s->chain.issuer, &issue, 1, reason);
    CHQ_ASSERT(err == CHQ_OK);
    chq_writer_free(&inception);
    chq_writer_free(&w);
    relay_start(s, r);
}

void relay_start(struct sim *s, uint32_t r)
{
    struct sim_relay *relay = &s->relays[r];
    if (relay->up)
        return;
    struct chq_mailbox_config box = {
        .connections_max = CONNECTIONS_MAX, .queues_max = 256, .hash_key = s->seed};
    struct chq_meter_config meter = {.price_micro = SIM_PRICE,
        .quantum_bytes = SIM_QUANTUM,
        .settle_after_s = 60,
        .connections_max = CONNECTIONS_MAX,
        .channels_max = 256};
    memcpy(box.relay_id, relay->account.id, 32);
    memcpy(meter.relay_id, relay->account.id, 32);
    enum chq_err err = chq_mailbox_new(&relay->mailbox, &box);
    CHQ_ASSERT(err == CHQ_OK);
    err = chq_meter_new(&relay->meter, &meter);
    CHQ_ASSERT(err == CHQ_OK);
    disk_load(relay);
    relay->up = true;
    sim_at(s, 100000, EVENT_RELAY_TIMER, r, 0)->epoch = relay->epoch;
    sim_log(s, "relay %u is up", r);
}

/* What the meter counted and the disk does not know yet is lost to the relay. */
static void forget(struct sim_relay *relay)
{
    for (uint32_t slot = 0; slot < chq_meter_slots(relay->meter); slot++) {
        struct chq_meter_row row;
        if (!chq_meter_row(relay->meter, slot, &row))
            continue;
        uint64_t known = 0;
        for (uint32_t i = 0; i < relay->disk.channels_n; i++)
            if (memcmp(relay->disk.channels[i].id, row.id, 32) == 0)
                known = relay->disk.channels[i].carried_bytes;
        relay->forgotten_bytes += row.carried_bytes > known ? row.carried_bytes - known : 0;
    }
}

void relay_crash(struct sim *s, uint32_t r)
{
    struct sim_relay *relay = &s->relays[r];
    if (!relay->up)
        return;
    sim_log(s, "relay %u crashes", r);
    s->crashes++;
    relay->up = false;
    relay->epoch++;
    relay->commit_due = false;
    forget(relay);
    disk_rollback(relay);
    for (uint32_t c = 0; c < CONNECTIONS_MAX; c++)
        if (relay->connections[c].open) {
            sim_link_crash(s, relay->connections[c].link, false);
            relay->connections[c].open = false;
        }
    chq_mailbox_free(relay->mailbox);
    chq_meter_free(relay->meter);
    relay->mailbox = NULL;
    relay->meter = NULL;
    sim_at(s, 500000 + sim_below(s, 5000000), EVENT_RELAY_START, r, 0);
}

void relay_free(struct sim *s, uint32_t r)
{
    struct sim_relay *relay = &s->relays[r];
    chq_mailbox_free(relay->mailbox);
    chq_meter_free(relay->meter);
    disk_free(relay);
    for (uint32_t i = 0; i < relay->tales_n; i++) {
        free((void *)(uintptr_t)relay->tales[i].request.data);
        free((void *)(uintptr_t)relay->tales[i].reply.data);
    }
}

void relay_on_open(struct sim *s, uint32_t link)
{
    struct sim_link *l = &s->links[link];
    struct sim_relay *relay = &s->relays[l->relay];
    uint32_t c = 0;
    while (c < CONNECTIONS_MAX && relay->connections[c].open)
        c++;
    CHQ_ASSERT(c < CONNECTIONS_MAX);
    struct relay_connection *connection = &relay->connections[c];
    *connection = (struct relay_connection){.open = true, .link = link};
    l->relay_open = true;
    l->relay_epoch = relay->epoch;
    l->connection = c;
    struct chq_mailbox_event event = {.type = CHQ_MAILBOX_OPENED, .connection = c};
    chq_random_fill(&s->random, connection->challenge, 32);
    memcpy(event.opened.challenge, connection->challenge, 32);
    step_mailbox(s, l->relay, &event);
    sim_at(s, 500 + sim_below(s, 20000), EVENT_LINK_UP, link, 0);
}

void relay_on_gone(struct sim *s, uint32_t link)
{
    struct sim_link *l = &s->links[link];
    struct relay_connection *c = &s->relays[l->relay].connections[l->connection];
    if (!s->relays[l->relay].up || !c->open || c->link != link)
        return;
    if (s->relays[l->relay].commit_due)
        relay_on_commit(s, l->relay); /* what came on it is finished first */
    if (!s->relays[l->relay].up)
        return;
    struct chq_mailbox_event box = {.type = CHQ_MAILBOX_CLOSED, .connection = l->connection};
    struct chq_meter_event meter = {.type = CHQ_METER_CLOSED, .connection = l->connection};
    step_mailbox(s, l->relay, &box);
    step_meter(s, l->relay, &meter);
    c->open = false;
}

/* --- committing --- */

static void deliver(struct sim *s, uint32_t r, uint32_t c)
{
    struct sim_relay *relay = &s->relays[r];
    uint64_t window = chq_meter_window(relay->meter, c), bytes = 0;
    if (window == 0 || !chq_mailbox_is_ready(relay->mailbox, c))
        return;
    struct chq_mailbox_event event = {.type = CHQ_MAILBOX_WINDOW,
        .connection = c,
        .kept_s = s->now_us / 1000000,
        .wall_s = sim_unix_ms(s) / 1000,
        .window.bytes = window};
    struct chq_mailbox_actions actions;
    enum chq_err err = chq_mailbox_step(relay->mailbox, &event, &actions);
    CHQ_ASSERT(err == CHQ_OK);
    for (size_t i = 0; i < actions.send.n; i++)
        bytes += actions.send.v[i].deliver.bytes;
    if (bytes > 0)
        chq_meter_reserve_deliver(relay->meter, c, bytes);
    on_mailbox(s, r, &actions);
}

static void pump(struct sim *s, uint32_t r)
{
    for (uint32_t c = 0; c < CONNECTIONS_MAX; c++)
        if (s->relays[r].connections[c].open)
            deliver(s, r, c);
}

void relay_on_commit(struct sim *s, uint32_t r)
{
    struct sim_relay *relay = &s->relays[r];
    bool early = s->options.mutation == MUTATION_RELAY_EARLY_ACK;
    struct chq_mailbox_event box = {.type = CHQ_MAILBOX_STORED, .stored.err = CHQ_OK};
    struct chq_meter_event meter = {.type = CHQ_METER_STORED, .stored.err = CHQ_OK};
    struct chq_meter_event flush = {.type = CHQ_METER_FLUSH, .flush.all = s->now_us >= relay->flush_all_us};
    if (flush.flush.all)
        relay->flush_all_us = s->now_us + 1000000;
    step_meter(s, r, &flush);
    if (early) { /* a broken relay: answers at once, writes afterwards */
        step_mailbox(s, r, &box);
        step_meter(s, r, &meter);
    }
    if (sim_chance(s, s->options.tear)) {
        relay_crash(s, r);
        return;
    }
    disk_commit(relay, s->options.mutation == MUTATION_RELAY_FORGETS_TOKENS);
    relay->commit_due = false;
    oracle_channels(s);
    if (sim_chance(s, s->options.tear)) {
        relay_crash(s, r);
        return;
    }
    if (!early) {
        step_mailbox(s, r, &box);
        step_meter(s, r, &meter);
    }
    pump(s, r);
}

void relay_on_timer(struct sim *s, uint32_t r)
{
    struct sim_relay *relay = &s->relays[r];
    if (s->now_us / 1000000 >= chq_mailbox_deadline_s(relay->mailbox)) {
        struct chq_mailbox_event event = {.type = CHQ_MAILBOX_TIMEOUT};
        step_mailbox(s, r, &event);
    }
    if (s->now_us / 1000 >= chq_meter_deadline_ms(relay->meter)) {
        struct chq_meter_event event = {.type = CHQ_METER_TIMEOUT};
        step_meter(s, r, &event);
    }
    pump(s, r);
    if (s->now_us >= relay->flush_all_us)
        commit_later(s, r);
    sim_at(s, 250000, EVENT_RELAY_TIMER, r, 0)->epoch = relay->epoch;
}

void relay_on_settle(struct sim *s, const struct event *e)
{
    struct sim_relay *relay = &s->relays[e->a];
    char reason[160];
    struct chq_operation op = {.type = CHQ_OPERATION_CHANNEL_SETTLE};
    op.channel_settle.records = chq_bytes(e->data, e->size);
    enum chq_err err = chain_batch(s, &relay->account, &op, 1, reason);
    if (s->options.mutation == MUTATION_LEDGER_MINTS && err == CHQ_OK) {
        struct chq_operation issue = {.type = CHQ_OPERATION_ISSUE};
        memcpy(issue.issue.to, relay->account.id, 32);
        issue.issue.micro = SIM_PRICE;
        (void)chain_batch(s, &s->chain.issuer, &issue, 1, reason);
    }
    if (!relay->up || relay->epoch != e->epoch)
        return;
    bool lost = sim_chance(s, 100); /* the answer is lost, not the batch */
    struct chq_meter_event event = {.type = CHQ_METER_SETTLED, .settled.err = lost ? CHQ_IO : err};
    step_meter(s, e->a, &event);
}

/* --- frames --- */

static bool needs_channel(enum chq_frame_type type)
{
    return type == CHQ_FRAME_PUT || type == CHQ_FRAME_QUEUE || type == CHQ_FRAME_SUBSCRIBE ||
           type == CHQ_FRAME_TURN || type == CHQ_FRAME_PREKEYS || type == CHQ_FRAME_PREKEY_GET;
}

static void welcome(struct sim *s, uint32_t r, uint32_t c, const struct chq_frame *in)
{
    struct chq_frame frame = {.type = CHQ_FRAME_WELCOME, .id = in->id};
    frame.welcome.version = CHQ_RELAY_PROTOCOL_VERSION;
    memcpy(frame.welcome.relay_id, s->relays[r].account.id, 32);
    memcpy(frame.welcome.challenge, s->relays[r].connections[c].challenge, 32);
    frame.welcome.quantum_bytes = SIM_QUANTUM;
    frame.welcome.price_micro = SIM_PRICE;
    frame.welcome.time_s = sim_unix_ms(s) / 1000;
    frame.welcome.grant_micro = SIM_GRANT;
    send_frame(s, r, c, &frame, false);
}

static void grant(struct sim *s, uint32_t r, uint32_t c, const struct chq_frame *in)
{
    struct sim_disk *disk = &s->relays[r].disk;
    struct chq_frame ok = {.type = CHQ_FRAME_OK, .id = in->id};
    char reason[160];
    for (uint32_t i = 0; i < disk->granted_n; i++)
        if (memcmp(disk->granted[i], in->grant.account_id, 32) == 0) {
            send_frame(s, r, c, &ok, false);
            return;
        }
    struct chq_operation op = {.type = CHQ_OPERATION_TRANSFER};
    memcpy(op.transfer.to, in->grant.account_id, 32);
    op.transfer.micro = SIM_GRANT;
    enum chq_err err = chain_batch(s, &s->relays[r].account, &op, 1, reason);
    if (err != CHQ_OK) {
        refuse(s, r, c, in->id, err, "not now");
        return;
    }
    memcpy(disk->granted[disk->granted_n++], in->grant.account_id, 32);
    send_frame(s, r, c, &ok, false);
}

static void ask_ledger(struct sim *s, uint32_t link, const struct chq_frame *in)
{
    struct event *e = sim_at(s, 500 + sim_below(s, 5000), EVENT_RELAY_ASK, link, 0);
    e->data = sim_copy(in->ledger.request);
    e->size = in->ledger.request.size;
    e->number = in->id;
    e->epoch = s->relays[s->links[link].relay].epoch;
}

static void dispatch(struct sim *s, uint32_t link, const struct chq_frame *in)
{
    uint32_t r = s->links[link].relay, c = s->links[link].connection;
    struct sim_relay *relay = &s->relays[r];
    struct chq_channel_record record;
    if (needs_channel(in->type) && chq_meter_channel_of(relay->meter, c) == CHQ_METER_NONE) {
        refuse(s, r, c, in->id, CHQ_STATE, "attach a payment channel first");
        return;
    }
    if (in->type == CHQ_FRAME_PUT) {
        enum chq_err err = chq_meter_reserve_put(relay->meter, c, in->put.envelope.size);
        if (err != CHQ_OK) {
            refuse(s, r, c, in->id, err, "not paid for");
            return;
        }
    }
    struct chq_mailbox_event box = {.type = CHQ_MAILBOX_FRAME, .connection = c, .frame.frame = in};
    struct chq_meter_event meter = {.connection = c};
    switch (in->type) {
    case CHQ_FRAME_HELLO: welcome(s, r, c, in); return;
    case CHQ_FRAME_ATTACH:
        meter.type = CHQ_METER_ATTACH;
        meter.attach.frame = in;
        meter.attach.challenge = relay->connections[c].challenge;
        meter.attach.err = s->chain.up ? CHQ_OK : CHQ_IO;
        meter.attach.record =
            s->chain.up && chain_channel(s, in->attach.channel_id, &record) ? &record : NULL;
        step_meter(s, r, &meter);
        commit_later(s, r);
        return;
    case CHQ_FRAME_TOKEN:
        meter.type = CHQ_METER_TOKEN;
        meter.token.frame = in;
        step_meter(s, r, &meter);
        commit_later(s, r);
        return;
    case CHQ_FRAME_PUT:
        box.frame.put_known = disk_has_put(relay, in->put.queue_id, in->put.put_id);
        /* fall through */
    case CHQ_FRAME_QUEUE:
    case CHQ_FRAME_SUBSCRIBE:
    case CHQ_FRAME_ACK:
    case CHQ_FRAME_PREKEYS:
    case CHQ_FRAME_PREKEY_GET:
        step_mailbox(s, r, &box);
        commit_later(s, r);
        return;
    case CHQ_FRAME_LEDGER: ask_ledger(s, link, in); return;
    case CHQ_FRAME_GRANT: grant(s, r, c, in); return;
    default: refuse(s, r, c, in->id, CHQ_UNSUPPORTED, "not here"); return;
    }
}

void relay_on_frame(struct sim *s, uint32_t link, struct chq_bytes bytes)
{
    struct chq_frame *frame = sim_alloc(sizeof *frame);
    enum chq_err err = chq_frame_read(bytes, frame);
    CHQ_ASSERT(err == CHQ_OK); /* the agent writes no malformed frames */
    s->frames++;
    sim_log(s, "client %u -> relay %u %s #%llu", s->links[link].client, s->links[link].relay,
        chq_frame_type_name(frame->type), (unsigned long long)frame->id);
    dispatch(s, link, frame);
    free(frame);
}

/* --- the ledger behind it --- */

static void answer(struct sim *s, const struct event *e, struct chq_bytes reply, bool lie)
{
    struct sim_link *l = &s->links[e->a];
    struct chq_frame frame = {.type = CHQ_FRAME_LEDGER_REPLY, .id = e->number};
    if (!l->relay_open || l->relay_epoch != e->epoch || s->relays[l->relay].epoch != e->epoch)
        return;
    frame.ledger_reply.reply = reply;
    send_frame(s, l->relay, l->connection, &frame, lie);
}

static void remember(struct sim *s, struct sim_relay *relay, struct chq_bytes request, struct chq_bytes reply)
{
    if (relay->tales_n == sizeof relay->tales / sizeof relay->tales[0] || sim_below(s, 4) != 0)
        return;
    relay->tales[relay->tales_n].request = chq_bytes(sim_copy(request), request.size);
    relay->tales[relay->tales_n++].reply = chq_bytes(sim_copy(reply), reply.size);
}

/* Change the answer. Return whether the client must notice whatever it knows already. */
static bool falsify(
    struct sim *s, struct sim_relay *relay, struct chq_bytes request, uint8_t **reply, size_t *size)
{
    struct chq_ledger_reply read;
    s->lies++;
    if (sim_below(s, 2) == 0)
        for (uint32_t i = 0; i < relay->tales_n; i++)
            if (chq_bytes_equal(relay->tales[i].request, request)) { /* an old answer, well signed */
                free(*reply);
                *reply = sim_copy(relay->tales[i].reply);
                *size = relay->tales[i].reply.size;
                return false;
            }
    bool readable = chq_ledger_reply_read(chq_bytes(*reply, *size), &read) == CHQ_OK;
    CHQ_ASSERT(readable);
    struct chq_bytes target = read.present && sim_below(s, 2) == 0 ? read.value : read.proof;
    bool is_value = read.present && target.data == read.value.data && target.size > 0;
    if (target.size > 0)
        (*reply)[(size_t)(target.data - *reply) + (size_t)sim_below(s, target.size)] ^=
            (uint8_t)(1 + sim_below(s, 255));
    return is_value;
}

void relay_on_ask(struct sim *s, const struct event *e)
{
    struct sim_relay *relay = &s->relays[s->links[e->a].relay];
    struct chq_bytes request = chq_bytes(e->data, e->size);
    struct chq_ledger_request read;
    size_t size;
    enum chq_err err = chq_ledger_request_read(request, &read);
    CHQ_ASSERT(err == CHQ_OK);
    if (!s->chain.up) { /* the relay cannot ask: the client is told to come again */
        struct sim_link *l = &s->links[e->a];
        if (l->relay_open && l->relay_epoch == e->epoch && relay->epoch == e->epoch)
            refuse(s, l->relay, l->connection, e->number, CHQ_AGAIN, "the ledger cannot be reached");
        return;
    }
    if (read.type == CHQ_LEDGER_SUBMIT &&
        lying(s, s->links[e->a].relay, 4)) { /* pretends to have passed it on */
        struct chq_ledger_reply lie = {.type = CHQ_LEDGER_SUBMIT, .height = 7};
        struct chq_writer w = chq_writer_heap(1024);
        lie.err = sim_below(s, 2) == 0 ? CHQ_OK : CHQ_STATE;
        chq_ledger_reply_put(&w, &lie);
        s->lies++;
        answer(s, e, chq_writer_bytes(&w), false);
        chq_writer_free(&w);
        return;
    }
    uint8_t *reply = chain_answer(s, request, &size);
    bool lie = false;
    if (read.type == CHQ_LEDGER_QUERY) {
        remember(s, relay, request, chq_bytes(reply, size));
        if (lying(s, s->links[e->a].relay, 4))
            lie = falsify(s, relay, request, &reply, &size);
    }
    bool crashed = sim_chance(s, s->options.tear);
    if (crashed)
        chain_crash(s); /* the block is durable, the answer is lost */
    else
        answer(s, e, chq_bytes(reply, size), lie);
    free(reply);
}
