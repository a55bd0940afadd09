/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "core/crypto/chain.h"
#include "relay/meter/channel.h"

/*
 * Settlement decisions. One settle operation is under way at a time. It takes every channel with unsettled tokens as soon
 * as one of them is due; when the ledger refuses it, its channels are tried one by one, so that a single bad one
 * cannot hold up the rest.
 */
#define RETRY_UNREACHABLE_MS 5000
#define RETRY_REFUSED_MS     60000
#define TOKENS_WAIT_AFTER_MS 40000 /* after a look was due */

static bool is_due(const struct chq_meter *meter, const struct channel *channel)
{
    return meter->shutting_down || channel->stopped ||
           meter->now_ms >= channel->unsettled_since_ms + 1000 * meter->config.settle_after_s;
}

static bool may_settle(const struct chq_meter *meter, const struct channel *channel)
{
    return channel != NULL && channel_is_unsettled(channel) && meter->now_ms >= channel->retry_at_ms;
}

static void settle(struct chq_meter *meter, struct channel *channel)
{
    const struct chq_meter_row *row = &channel->row;
    uint64_t index = row->record.last_index + CHQ_TOKEN_STEPS_PER_SETTLEMENT_MAX;
    if (!RESERVE(meter->settle, 1))
        return;
    memcpy(channel->settling_token, row->token, sizeof row->token);
    if (index < row->index) /* too far for one operation: an earlier token of the chain */
        chq_chain_step(channel->settling_token, row->id, row->index - index);
    else
        index = row->index;
    channel->settling = true;
    channel->settling_index = index;
    struct chq_meter_settle *out = &meter->settle.v[meter->settle.n++];
    out->number = row->record.number;
    out->index = index;
    memcpy(out->token, channel->settling_token, sizeof out->token);
}

void meter_on_settle_time(struct chq_meter *meter)
{
    struct channel *alone = NULL;
    bool due = false;
    if (meter->settle_in_flight)
        return;
    for (uint32_t i = 0; i < meter->slots; i++) {
        struct channel *channel = meter->channels[i];
        if (!may_settle(meter, channel) || !is_due(meter, channel))
            continue;
        if (channel->alone)
            alone = channel;
        else
            due = true;
    }
    if (!due && alone != NULL)
        settle(meter, alone);
    for (uint32_t i = 0; due && i < meter->slots && meter->settle.n < CHQ_SETTLEMENTS_PER_BATCH_MAX; i++)
        if (may_settle(meter, meter->channels[i]) && !meter->channels[i]->alone)
            settle(meter, meter->channels[i]);
    meter->settle_in_flight = meter->settle.n > 0;
}

static void refresh(struct chq_meter *meter, uint32_t slot)
{
    if (meter->channels[slot]->refreshing || !RESERVE(meter->refresh, 1))
        return;
    meter->channels[slot]->refreshing = true;
    meter->refresh.v[meter->refresh.n++] = slot;
}

/*
 * A payer may close its channel while it is idle, take the deposit back, and then use it: its tokens would be worth
 * nothing. So a channel that is used, or has tokens to settle, is looked up again when the ledger's last word on it is
 * old, and only then: idle ones cost nothing.
 */
void meter_on_look_time(struct chq_meter *meter)
{
    for (uint32_t i = 0; i < meter->slots; i++) {
        const struct channel *channel = meter->channels[i];
        if (channel != NULL && !channel->stopped && !channel->settling &&
            meter->now_ms >= channel->look_at_ms &&
            (channel_is_unsettled(channel) || chq_gauge_carried(&channel->gauge) != channel->looked_bytes))
            refresh(meter, i);
    }
}

/*
 * A payer who closes leaves us grace (120 s) before its deposit can go back. So a token that comes more than 100 s
 * after the ledger's last word is kept and acknowledged, but serves nobody before the ledger has been asked.
 */
void meter_judge_token(struct chq_meter *meter, uint32_t slot)
{
    struct channel *channel = meter->channels[slot];
    if (channel->stale || meter->now_ms < channel->look_at_ms + TOKENS_WAIT_AFTER_MS)
        return;
    channel->stale = true;
    channel->stale_index = channel->row.index;
    refresh(meter, slot);
}

static void settled_one(struct chq_meter *meter, uint32_t slot, enum chq_err err, bool was_alone)
{
    struct channel *channel = meter->channels[slot];
    struct chq_channel_record *record = &channel->row.record;
    bool full = channel->settling_index >= record->last_index + CHQ_TOKEN_STEPS_PER_SETTLEMENT_MAX;
    channel->settling = false;
    switch (err) {
    case CHQ_OK:
        if (channel->settling_index > record->last_index) {
            record->last_index = channel->settling_index;
            memcpy(record->last_token, channel->settling_token, sizeof record->last_token);
        }
        channel->alone = false;
        channel->unsettled_since_ms = channel_is_unsettled(channel) ? meter->now_ms : 0;
        if (channel_is_unsettled(channel) && (channel->stopped || full))
            channel->unsettled_since_ms = 1; /* there is more than one operation takes: go on at once */
        if (RESERVE(meter->persist, 1))
            meter_persist(meter, CHQ_METER_SAVE, channel);
        refresh(meter, slot); /* has the payer closed or topped up meanwhile? */
        return;
    case CHQ_IO:
    case CHQ_AGAIN:
    case CHQ_NO_MEMORY: channel->retry_at_ms = meter->now_ms + RETRY_UNREACHABLE_MS; return;
    default:
        channel->alone = true;
        refresh(meter, slot);
        if (was_alone)
            channel->retry_at_ms = meter->now_ms + RETRY_REFUSED_MS;
    }
}

void meter_on_settled(struct chq_meter *meter, enum chq_err err)
{
    uint32_t count = 0;
    meter->settle_in_flight = false;
    for (uint32_t i = 0; i < meter->slots; i++)
        count += meter->channels[i] != NULL && meter->channels[i]->settling;
    for (uint32_t i = 0; i < meter->slots; i++)
        if (meter->channels[i] != NULL && meter->channels[i]->settling)
            settled_one(meter, i, err, count == 1);
    meter->deadline_ms = meter->now_ms;
}

void meter_on_record(struct chq_meter *meter, const struct chq_meter_event *in)
{
    uint32_t slot = in->record.slot;
    struct channel *channel = slot < meter->slots ? meter->channels[slot] : NULL;
    if (channel == NULL || memcmp(channel->row.id, in->record.channel_id, CHQ_ID_BYTES) != 0)
        return;
    channel->refreshing = false;
    channel->look_at_ms = meter->now_ms + RETRY_UNREACHABLE_MS;
    if (in->record.err != CHQ_OK)
        return;
    channel_was_looked_up(channel, meter->now_ms);
    if (in->record.record == NULL) {
        meter_stop(meter, slot);
        return;
    }
    channel_take_record(channel, in->record.record);
    if (!channel_is_unsettled(channel))
        channel->unsettled_since_ms = 0;
    meter_persist(meter, CHQ_METER_SAVE, channel);
    if (channel->row.record.state != CHQ_CHANNEL_OPEN ||
        channel->row.record.expiry_s <= meter->now_s + CHQ_METER_EXPIRY_MARGIN_S)
        meter_stop(meter, slot);
}
