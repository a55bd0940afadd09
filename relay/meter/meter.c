/* SPDX-License-Identifier: Apache-2.0 */
#include "relay/meter/meter.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/assert.h"
#include "core/crypto/chain.h"
#include "core/crypto/keys.h"
#include "relay/meter/channel.h"

#define NOTICE_EVERY_MS     1000
#define LOOK_ATTACHED_MS    250
#define LOOK_UNATTACHED_MS  1000
#define KEEP_AFTER_EXPIRY_S (24 * 3600)

bool meter_reserve(void *list_v, size_t *cap, size_t need, size_t item)
{
    void *old;
    if (need <= *cap)
        return true;
    size_t grown = *cap == 0 ? 16 : *cap;
    while (grown < need)
        grown *= 2;
    memcpy(&old, list_v, sizeof old);
    void *p = realloc(old, grown * item);
    if (p == NULL)
        return false;
    memcpy(list_v, &p, sizeof p);
    *cap = grown;
    return true;
}

enum chq_err chq_meter_new(struct chq_meter **out, const struct chq_meter_config *config)
{
    *out = NULL;
    CHQ_ASSERT(config->quantum_bytes >= CHQ_METER_QUANTUM_BYTES_MIN &&
               config->quantum_bytes <= CHQ_METER_QUANTUM_BYTES_MAX && config->price_micro >= 1);
    struct chq_meter *meter = calloc(1, sizeof *meter);
    if (meter == NULL)
        return CHQ_NO_MEMORY;
    meter->config = *config;
    meter->connections = calloc(config->connections_max, sizeof *meter->connections);
    if (meter->connections == NULL) {
        free(meter);
        return CHQ_NO_MEMORY;
    }
    *out = meter;
    return CHQ_OK;
}

static void free_buried(struct chq_meter *meter)
{
    while (meter->buried.n > 0)
        free(meter->buried.v[--meter->buried.n]);
}

void chq_meter_free(struct chq_meter *meter)
{
    if (meter == NULL)
        return;
    free_buried(meter);
    for (uint32_t i = 0; i < meter->slots; i++)
        free(meter->channels[i]);
    free(meter->channels);
    free(meter->connections);
    free(meter->pending.v);
    free(meter->touched.v);
    free(meter->buried.v);
    free(meter->persist.v);
    free(meter->forget.v);
    free(meter->send.v);
    free(meter->settle.v);
    free(meter->refresh.v);
    free(meter);
}

static uint32_t find(const struct chq_meter *meter, const uint8_t id[CHQ_ID_BYTES])
{
    for (uint32_t i = 0; i < meter->slots; i++)
        if (meter->channels[i] != NULL && memcmp(meter->channels[i]->row.id, id, CHQ_ID_BYTES) == 0)
            return i;
    return CHQ_METER_NONE;
}

/* Put a channel into a free slot; CHQ_METER_NONE when all are taken or there is no memory (*err says which). */
static uint32_t add(struct chq_meter *meter, const struct chq_meter_row *row, enum chq_err *err)
{
    uint32_t slot = 0;
    while (slot < meter->slots && meter->channels[slot] != NULL)
        slot++;
    *err = CHQ_LIMIT;
    if (slot >= meter->config.channels_max)
        return CHQ_METER_NONE;
    *err = CHQ_NO_MEMORY;
    if (slot == meter->slots_cap) {
        uint32_t cap = slot == 0 ? 16 : 2 * slot;
        struct channel **grown = realloc(meter->channels, cap * sizeof(struct channel *));
        if (grown == NULL)
            return CHQ_METER_NONE;
        meter->channels = grown;
        meter->slots_cap = cap;
    }
    struct channel *channel = calloc(1, sizeof *channel);
    if (channel == NULL)
        return CHQ_METER_NONE;
    channel->row = *row;
    channel->pending_index = row->index;
    memcpy(channel->pending_token, row->token, sizeof row->token);
    chq_gauge_init(&channel->gauge, row->carried_bytes, 0);
    channel->saved_carried_bytes = channel->looked_bytes = row->carried_bytes;
    channel->notice_index = UINT64_MAX;
    channel_update_limit(channel);
    meter->channels[slot] = channel;
    if (slot == meter->slots)
        meter->slots++;
    *err = CHQ_OK;
    return slot;
}

enum chq_err chq_meter_load(struct chq_meter *meter, const struct chq_meter_row *row)
{
    enum chq_err err;
    if (row->record.quantum_bytes == 0 || row->record.price_micro == 0 ||
        row->index < row->record.last_index || row->record.quantum_bytes > CHQ_METER_QUANTUM_BYTES_MAX ||
        row->index > CHQ_TOKENS_PER_CHANNEL_MAX || find(meter, row->id) != CHQ_METER_NONE)
        return CHQ_MALFORMED;
    uint32_t slot = add(meter, row, &err);
    if (err == CHQ_OK && channel_is_unsettled(meter->channels[slot]))
        meter->channels[slot]->unsettled_since_ms = 1;
    return err;
}

struct chq_meter_record *meter_persist(
    struct chq_meter *meter, enum chq_meter_record_type type, struct channel *channel)
{
    struct chq_meter_record *record = &meter->persist.v[meter->persist.n++];
    record->type = type;
    record->row = channel->row;
    /* A token of this same transaction counts: an ATTACH behind it must not write the older one over it. */
    record->row.index = channel->pending_index;
    memcpy(record->row.token, channel->pending_token, sizeof record->row.token);
    record->row.carried_bytes = channel->saved_carried_bytes = channel_carried_to_save(channel);
    return record;
}

static struct chq_meter_send *send_to(
    struct chq_meter *meter, uint32_t connection, enum chq_frame_type type, uint64_t request_id)
{
    struct chq_meter_send *send = &meter->send.v[meter->send.n++];
    memset(send, 0, sizeof *send);
    send->connection = connection;
    send->frame.type = type;
    send->frame.id = request_id;
    return send;
}

static void refuse(
    struct chq_meter *meter, uint32_t connection, uint64_t request_id, enum chq_err code, const char *why)
{
    struct chq_frame *frame = &send_to(meter, connection, CHQ_FRAME_ERROR, request_id)->frame;
    frame->error.code = (uint64_t)code;
    frame->error.text = chq_bytes_text(why);
}

static void send_credit(
    struct chq_meter *meter, uint32_t connection, uint64_t request_id, struct channel *channel)
{
    struct chq_frame *frame = &send_to(meter, connection, CHQ_FRAME_CREDIT, request_id)->frame;
    memcpy(frame->credit.channel_id, channel->row.id, CHQ_ID_BYTES);
    frame->credit.index = channel->row.index;
    frame->credit.carried_bytes = chq_gauge_carried(&channel->gauge);
}

/* Tell who is attached that it is time to pay: when half a quantum is unpaid, then every second while it grows. */
static void notice(struct chq_meter *meter, struct channel *channel)
{
    uint64_t carried = chq_gauge_carried(&channel->gauge), quantum = channel->row.record.quantum_bytes;
    uint64_t paid = channel->row.index * quantum;
    if (carried <= paid || (carried - paid) <= quantum / 2 || carried == channel->notice_bytes)
        return;
    if (channel->notice_index == channel->row.index && meter->now_ms < channel->notice_ms + NOTICE_EVERY_MS)
        return;
    if (channel->attached_count == 0 || !RESERVE(meter->send, channel->attached_count))
        return;
    channel->notice_bytes = carried;
    channel->notice_index = channel->row.index;
    channel->notice_ms = meter->now_ms;
    for (uint32_t i = 0; i < channel->attached_count; i++)
        send_credit(meter, channel->attached[i], 0, channel);
}

uint32_t chq_meter_channel_of(const struct chq_meter *meter, uint32_t connection)
{
    const struct meter_connection *c = &meter->connections[connection];
    return c->slots_count == 0 ? CHQ_METER_NONE : c->slots[c->slots_count - 1];
}

/* Why a proved channel cannot be attached; CHQ_OK when it can. */
static enum chq_err judge(
    const struct chq_meter *meter, const struct chq_meter_event *in, bool known, const char **why)
{
    const struct chq_channel_record *record = in->attach.record;
    uint8_t message[96];
    *why = "the ledger could not be asked about the channel; try again";
    if (in->attach.err != CHQ_OK)
        return in->attach.err;
    *why = "the ledger has no such channel";
    if (record == NULL)
        return CHQ_NOT_FOUND;
    chq_frame_attach_message(
        message, meter->config.relay_id, in->attach.challenge, in->attach.frame->attach.channel_id);
    *why = "the signature is not by the channel's attach key over this connection's challenge";
    if (chq_sign_verify(in->attach.frame->attach.signature, record->attach_key, CHQ_DOMAIN_ATTACH,
            chq_bytes(message, sizeof message)) != CHQ_OK)
        return CHQ_AUTH;
    *why = "the channel pays another relay";
    if (memcmp(record->payee, meter->config.relay_id, CHQ_ID_BYTES) != 0)
        return CHQ_STATE;
    *why = "the channel is not open any more";
    if (record->state != CHQ_CHANNEL_OPEN)
        return CHQ_STATE;
    *why = "the channel is too near its expiry; open another";
    if (record->expiry_s <= in->now_s + CHQ_METER_EXPIRY_MARGIN_S)
        return CHQ_EXPIRED;
    *why = "the channel's price and quantum are not those that WELCOME asked";
    if (!known && (record->quantum_bytes != meter->config.quantum_bytes ||
                      record->price_micro < meter->config.price_micro))
        return CHQ_PAYMENT;
    *why = "the relay is shutting down";
    return meter->shutting_down ? CHQ_STATE : CHQ_OK;
}

/* Whether nobody uses the channel and nothing about it is under way. */
static bool is_quiet(const struct chq_meter *meter, uint32_t slot)
{
    const struct channel *channel = meter->channels[slot];
    if (channel->attached_count > 0 || channel->settling || channel->refreshing ||
        channel->reserved_bytes > channel->debt_bytes)
        return false;
    for (size_t i = 0; i < meter->pending.n; i++)
        if (meter->pending.v[i].slot == slot)
            return false;
    return true;
}

/* Forget a quiet channel, on disk too; false when there is no memory. */
static bool drop(struct chq_meter *meter, uint32_t slot)
{
    struct channel *channel = meter->channels[slot];
    if (!RESERVE(meter->persist, 2) || !RESERVE(meter->forget, 1) || !RESERVE(meter->buried, 1))
        return false;
    meter_persist(meter, CHQ_METER_DELETE, channel);
    meter->forget.v[meter->forget.n++] = slot;
    meter->buried.v[meter->buried.n++] = channel;
    meter->channels[slot] = NULL;
    return true;
}

/*
 * All slots are taken: drop a channel that is as the ledger alone would give it back, settled and owing nothing. Anybody can
 * open ten thousand of a microcredit each, and they would keep new payers out for a year.
 */
static void make_room(struct chq_meter *meter)
{
    for (uint32_t i = 0; i < meter->slots; i++)
        if (meter->channels[i] == NULL)
            return;
    for (uint32_t i = 0; meter->slots >= meter->config.channels_max && i < meter->slots; i++) {
        const struct chq_meter_row *row = &meter->channels[i]->row;
        uint64_t paid_bytes = row->record.last_index * row->record.quantum_bytes;
        if (is_quiet(meter, i) && meter->channels[i]->reserved_bytes == 0 &&
            row->index == row->record.last_index &&
            chq_gauge_carried(&meter->channels[i]->gauge) <= paid_bytes && drop(meter, i))
            return;
    }
}

static enum chq_err on_attach(struct chq_meter *meter, const struct chq_meter_event *in)
{
    const struct chq_frame *frame = in->attach.frame;
    uint32_t slot = find(meter, frame->attach.channel_id);
    const char *why;
    enum chq_err err = judge(meter, in, slot != CHQ_METER_NONE, &why);
    bool fresh = slot == CHQ_METER_NONE;
    if (err == CHQ_OK && fresh) {
        /* A channel we hold nothing of but the ledger: what was settled counts as used up. */
        struct chq_meter_row row = {.record = *in->attach.record,
            .index = in->attach.record->last_index,
            .carried_bytes = in->attach.record->last_index * in->attach.record->quantum_bytes};
        memcpy(row.id, frame->attach.channel_id, sizeof row.id);
        memcpy(row.token, in->attach.record->last_token, sizeof row.token);
        make_room(meter);
        slot = add(meter, &row, &err);
        if (err == CHQ_NO_MEMORY)
            return err;
        why = "this relay keeps all the channels it can";
    }
    if (err != CHQ_OK) {
        refuse(meter, in->connection, frame->id, err, why);
        return CHQ_OK;
    }
    struct channel *channel = meter->channels[slot];
    channel->stopped = false;
    channel_take_record(channel, in->attach.record);
    channel_was_looked_up(channel, meter->now_ms);
    meter_persist(meter, CHQ_METER_SAVE, channel);
    meter->pending.v[meter->pending.n++] = (struct meter_pending){.type = CHQ_FRAME_ATTACH,
        .connection = in->connection,
        .slot = slot,
        .request_id = frame->id,
        .fresh = fresh};
    return CHQ_OK;
}

static void on_token(struct chq_meter *meter, const struct chq_meter_event *in)
{
    const struct chq_frame *frame = in->token.frame;
    const struct meter_connection *connection = &meter->connections[in->connection];
    struct channel *channel = NULL;
    uint32_t slot = 0;
    for (uint32_t i = 0; i < connection->slots_count && channel == NULL; i++) {
        slot = connection->slots[i];
        if (memcmp(meter->channels[slot]->row.id, frame->token.channel_id, CHQ_ID_BYTES) == 0)
            channel = meter->channels[slot];
    }
    if (channel == NULL) {
        refuse(meter, in->connection, frame->id, CHQ_STATE, "attach the channel on this connection first");
        return;
    }
    if (frame->token.index > channel_max_index(channel)) {
        refuse(meter, in->connection, frame->id, CHQ_PAYMENT,
            "the deposit or the chain does not cover this token; top up and attach again, or open another "
            "channel");
        return;
    }
    uint64_t held = channel->pending_index;
    if (frame->token.index > held) {
        enum chq_err err = chq_chain_verify(frame->token.token, channel->pending_token, channel->row.id,
            frame->token.index - held, CHQ_TOKEN_STEPS_PER_SETTLEMENT_MAX);
        if (err != CHQ_OK) {
            refuse(meter, in->connection, frame->id, err,
                err == CHQ_AUTH ? "the token is not the chain's" : "at most 1,024 tokens at once");
            return;
        }
        channel->pending_index = frame->token.index;
        memcpy(channel->pending_token, frame->token.token, 32);
        struct chq_meter_record *record = meter_persist(meter, CHQ_METER_SAVE, channel);
        record->row.index = channel->pending_index;
        memcpy(record->row.token, channel->pending_token, 32);
    }
    struct meter_pending *pending = &meter->pending.v[meter->pending.n++];
    *pending = (struct meter_pending){.type = CHQ_FRAME_TOKEN,
        .connection = in->connection,
        .slot = slot,
        .request_id = frame->id,
        .index = channel->pending_index};
    memcpy(pending->token, channel->pending_token, 32);
}

static void detach(struct chq_meter *meter, uint32_t number, uint32_t at)
{
    struct meter_connection *connection = &meter->connections[number];
    struct channel *channel = meter->channels[connection->slots[at]];
    for (uint32_t i = 0; i < channel->attached_count; i++)
        if (channel->attached[i] == number) {
            channel->attached[i] = channel->attached[--channel->attached_count];
            break;
        }
    connection->slots_count--;
    memmove(&connection->slots[at], &connection->slots[at + 1],
        (connection->slots_count - at) * sizeof connection->slots[0]);
    meter->attached_total--;
}

/* Let `slot` pay for the connection from now on; deliveries under way move along. */
static void attach(struct chq_meter *meter, uint32_t number, uint32_t slot)
{
    struct meter_connection *connection = &meter->connections[number];
    struct channel *channel = meter->channels[slot];
    uint32_t before = chq_meter_channel_of(meter, number);
    uint64_t moving = connection->deliver_reserved_bytes;
    CHQ_ASSERT(connection->put_reserved_bytes == 0);
    if (before != CHQ_METER_NONE && before != slot) {
        meter->channels[before]->reserved_bytes -= moving;
        channel_update_limit(meter->channels[before]);
        channel->reserved_bytes += moving;
        channel_update_limit(channel);
    }
    for (uint32_t i = 0; i < connection->slots_count; i++)
        if (connection->slots[i] == slot) {
            detach(meter, number, i);
            break;
        }
    if (connection->slots_count == CHQ_METER_CHANNELS_ATTACHED_MAX)
        detach(meter, number, 0);
    connection->slots[connection->slots_count++] = slot;
    channel->attached[channel->attached_count++] = number;
    meter->attached_total++;
}

static void complete(struct chq_meter *meter, const struct meter_pending *p)
{
    struct channel *channel = meter->channels[p->slot];
    if (p->type == CHQ_FRAME_TOKEN) {
        if (p->index > channel->row.index) {
            meter_judge_token(meter, p->slot);
            channel->row.index = p->index;
            memcpy(channel->row.token, p->token, sizeof p->token);
            channel_update_limit(channel);
            if (channel->unsettled_since_ms == 0)
                channel->unsettled_since_ms = meter->now_ms;
        }
        send_credit(meter, p->connection, p->request_id, channel);
        return;
    }
    if (channel->attached_count >= CONNECTIONS_PER_CHANNEL_MAX) {
        refuse(meter, p->connection, p->request_id, CHQ_LIMIT,
            "the channel is attached to 64 connections already");
        return;
    }
    attach(meter, p->connection, p->slot);
    struct chq_frame *frame = &send_to(meter, p->connection, CHQ_FRAME_ATTACHED, p->request_id)->frame;
    memcpy(frame->attached.channel_id, channel->row.id, CHQ_ID_BYTES);
    frame->attached.carried_bytes = chq_gauge_carried(&channel->gauge);
    frame->attached.index = channel->row.index;
}

/* The transaction failed: the tokens and channels of it were never taken. Called newest first. */
static void undo(struct chq_meter *meter, const struct meter_pending *p)
{
    struct channel *channel = meter->channels[p->slot];
    refuse(meter, p->connection, p->request_id, CHQ_IO,
        "the relay could not write to its disk; nothing was taken");
    if (p->type == CHQ_FRAME_TOKEN) {
        channel->pending_index = channel->row.index;
        memcpy(channel->pending_token, channel->row.token, 32);
    } else if (p->fresh) {
        meter->buried.v[meter->buried.n++] = channel; /* RESERVE in reserve_actions */
        meter->channels[p->slot] = NULL;
    }
}

static void on_stored(struct chq_meter *meter, enum chq_err err)
{
    for (size_t i = 0; err == CHQ_OK && i < meter->pending.n; i++)
        complete(meter, &meter->pending.v[i]);
    for (size_t i = meter->pending.n; err != CHQ_OK && i > 0; i--)
        undo(meter, &meter->pending.v[i - 1]);
    meter->pending.n = 0;
    for (uint32_t i = 0; err != CHQ_OK && i < meter->slots; i++)
        if (meter->channels[i] != NULL)
            meter->channels[i]->saved_carried_bytes = UINT64_MAX; /* not known: write it again */
    for (size_t i = 0; i < meter->touched.n; i++) {
        struct channel *channel = meter->channels[meter->touched.v[i]];
        if (channel == NULL)
            continue;
        channel->touched = false;
        notice(meter, channel);
    }
    meter->touched.n = 0;
}

static void flush(struct chq_meter *meter, struct channel *channel)
{
    if (channel == NULL || channel->saved_carried_bytes == channel_carried_to_save(channel))
        return;
    if (RESERVE(meter->persist, 1))
        meter_persist(meter, CHQ_METER_SAVE_CARRIED, channel);
}

static void on_flush(struct chq_meter *meter, bool all)
{
    for (uint32_t i = 0; all && i < meter->slots; i++)
        flush(meter, meter->channels[i]);
    for (size_t i = 0; !all && i < meter->touched.n; i++)
        flush(meter, meter->channels[meter->touched.v[i]]);
}

void meter_stop(struct chq_meter *meter, uint32_t slot)
{
    struct channel *channel = meter->channels[slot];
    if (channel->stopped)
        return;
    channel_stop(channel);
    if (RESERVE(meter->send, channel->attached_count))
        for (uint32_t i = 0; i < channel->attached_count; i++)
            refuse(meter, channel->attached[i], 0, CHQ_EXPIRED,
                "the channel is closing or near its expiry; open and attach another");
}

/* Forget channels that can never be attached again and owe nothing: a wall clock that jumps costs no token. */
static void bury(struct chq_meter *meter, uint32_t slot)
{
    struct channel *channel = meter->channels[slot];
    const struct chq_channel_record *record = &channel->row.record;
    bool over = record->state == CHQ_CHANNEL_CLOSED || meter->now_s > record->expiry_s + KEEP_AFTER_EXPIRY_S;
    if (over && !channel_is_unsettled(channel) && is_quiet(meter, slot))
        (void)drop(meter, slot);
}

static void on_timeout(struct chq_meter *meter)
{
    for (uint32_t i = 0; i < meter->slots; i++) {
        struct channel *channel = meter->channels[i];
        if (channel == NULL)
            continue;
        if (channel->row.record.expiry_s <= meter->now_s + CHQ_METER_EXPIRY_MARGIN_S)
            meter_stop(meter, i);
        notice(meter, channel);
        bury(meter, i);
    }
    meter_on_settle_time(meter);
    meter_on_look_time(meter);
    meter->deadline_ms = meter->now_ms + (meter->attached_total > 0 ? LOOK_ATTACHED_MS : LOOK_UNATTACHED_MS);
}

static void on_closed(struct chq_meter *meter, uint32_t number)
{
    struct meter_connection *connection = &meter->connections[number];
    CHQ_ASSERT(connection->put_reserved_bytes == 0 && connection->deliver_reserved_bytes == 0);
    while (connection->slots_count > 0)
        detach(meter, number, connection->slots_count - 1);
}

static void on_shutdown(struct chq_meter *meter)
{
    meter->shutting_down = true;
    for (uint32_t i = 0; i < meter->slots; i++)
        if (meter->channels[i] != NULL)
            channel_stop(meter->channels[i]);
    meter->deadline_ms = meter->now_ms;
}

static bool reserve_actions(struct chq_meter *meter)
{
    return RESERVE(meter->persist, 1) && RESERVE(meter->send, meter->pending.n + 1) &&
           RESERVE(meter->pending, 1) && RESERVE(meter->buried, meter->pending.n + 1);
}

enum chq_err chq_meter_step(
    struct chq_meter *meter, const struct chq_meter_event *in, struct chq_meter_actions *out)
{
    enum chq_err err = CHQ_OK;
    memset(out, 0, sizeof *out);
    free_buried(meter);
    meter->persist.n = meter->forget.n = meter->send.n = meter->settle.n = meter->refresh.n = 0;
    if (!reserve_actions(meter))
        return CHQ_NO_MEMORY;
    meter->now_s = in->now_s;
    meter->now_ms = in->now_ms;
    switch (in->type) {
    case CHQ_METER_ATTACH: err = on_attach(meter, in); break;
    case CHQ_METER_TOKEN: on_token(meter, in); break;
    case CHQ_METER_CLOSED: on_closed(meter, in->connection); break;
    case CHQ_METER_STORED: on_stored(meter, in->stored.err); break;
    case CHQ_METER_FLUSH: on_flush(meter, in->flush.all); break;
    case CHQ_METER_TIMEOUT: on_timeout(meter); break;
    case CHQ_METER_SETTLED: meter_on_settled(meter, in->settled.err); break;
    case CHQ_METER_RECORD: meter_on_record(meter, in); break;
    case CHQ_METER_SHUTDOWN: on_shutdown(meter); break;
    }
    if (err != CHQ_OK)
        return err;
    out->persist.v = meter->persist.v, out->persist.n = meter->persist.n;
    out->forget.v = meter->forget.v, out->forget.n = meter->forget.n;
    out->send.v = meter->send.v, out->send.n = meter->send.n;
    out->settle.v = meter->settle.v, out->settle.n = meter->settle.n;
    out->refresh.v = meter->refresh.v, out->refresh.n = meter->refresh.n;
    return CHQ_OK;
}

uint64_t chq_meter_deadline_ms(const struct chq_meter *meter)
{
    return meter->deadline_ms;
}

struct chq_gauge *chq_meter_gauge(struct chq_meter *meter, uint32_t slot)
{
    return &meter->channels[slot]->gauge;
}

const uint8_t *chq_meter_channel_id(const struct chq_meter *meter, uint32_t slot)
{
    return meter->channels[slot]->row.id;
}

uint32_t chq_meter_slots(const struct chq_meter *meter)
{
    return meter->slots;
}

bool chq_meter_row(const struct chq_meter *meter, uint32_t slot, struct chq_meter_row *out)
{
    const struct channel *channel = slot < meter->slots ? meter->channels[slot] : NULL;
    if (channel == NULL)
        return false;
    *out = channel->row;
    out->carried_bytes = chq_gauge_carried(&channel->gauge);
    return true;
}

void chq_meter_totals(const struct chq_meter *meter, struct chq_meter_totals *out)
{
    memset(out, 0, sizeof *out);
    for (uint32_t i = 0; i < meter->slots; i++) {
        const struct channel *channel = meter->channels[i];
        if (channel == NULL)
            continue;
        out->channels++;
        out->attached += channel->attached_count > 0;
        out->carried_bytes += chq_gauge_carried(&channel->gauge);
        out->earned_micro += channel->row.index * channel->row.record.price_micro;
        out->settled_micro += channel->row.record.last_index * channel->row.record.price_micro;
    }
}
