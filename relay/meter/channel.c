/* SPDX-License-Identifier: Apache-2.0 */
#include "relay/meter/channel.h"

#include <string.h>

#include "core/base/assert.h"

#define LOOK_UP_EVERY_MS 60000

uint64_t channel_max_index(const struct channel *channel)
{
    const struct chq_channel_record *record = &channel->row.record;
    uint64_t paid_for = record->price_micro == 0 ? 0 : record->deposit_micro / record->price_micro;
    return paid_for < record->tokens ? paid_for : record->tokens;
}

uint64_t channel_full_limit(const struct channel *channel)
{
    uint64_t held = channel->stale ? channel->stale_index : channel->row.index;
    uint64_t index = held + 1, max = channel_max_index(channel);
    return (index < max ? index : max) * channel->row.record.quantum_bytes;
}

uint64_t channel_carried_to_save(const struct channel *channel)
{
    return chq_gauge_carried(&channel->gauge) + channel->put_reserved_bytes + channel->debt_bytes;
}

void channel_update_limit(struct channel *channel)
{
    uint64_t full = channel_full_limit(channel);
    if (channel->stopped) {
        chq_gauge_set_limit(&channel->gauge, 0);
        return;
    }
    if (channel->debt_bytes > 0) {
        uint64_t others = channel->reserved_bytes - channel->debt_bytes;
        chq_gauge_set_limit(&channel->gauge, full > others ? full - others : 0);
        if (chq_gauge_try_add(&channel->gauge, channel->debt_bytes)) {
            channel->reserved_bytes -= channel->debt_bytes;
            channel->debt_bytes = 0;
        }
    }
    chq_gauge_set_limit(&channel->gauge, full > channel->reserved_bytes ? full - channel->reserved_bytes : 0);
}

void channel_stop(struct channel *channel)
{
    channel->stopped = true;
    channel_update_limit(channel);
}

void channel_take_record(struct channel *channel, const struct chq_channel_record *record)
{
    struct chq_meter_row *row = &channel->row;
    struct chq_channel_record before = row->record;
    row->record = *record;
    if (before.last_index > record->last_index && before.number == record->number) {
        row->record.last_index = before.last_index; /* asked before our settlement was in a block */
        memcpy(row->record.last_token, before.last_token, sizeof before.last_token);
    }
    if (record->last_index > row->index) { /* settled further than we remember: a database of before */
        row->index = record->last_index;
        memcpy(row->token, record->last_token, sizeof row->token);
    }
    if (row->index > channel->pending_index) {
        channel->pending_index = row->index;
        memcpy(channel->pending_token, row->token, sizeof row->token);
    }
    channel_update_limit(channel);
}

bool channel_is_unsettled(const struct channel *channel)
{
    return channel->row.index > channel->row.record.last_index &&
           channel->row.record.state != CHQ_CHANNEL_CLOSED;
}

void channel_was_looked_up(struct channel *channel, uint64_t now_ms)
{
    channel->look_at_ms = now_ms + LOOK_UP_EVERY_MS;
    channel->looked_bytes = chq_gauge_carried(&channel->gauge);
    channel->stale = false;
    channel_update_limit(channel);
}

static struct channel *paying(const struct chq_meter *meter, uint32_t connection)
{
    uint32_t slot = chq_meter_channel_of(meter, connection);
    return slot == CHQ_METER_NONE ? NULL : meter->channels[slot];
}

/* No memory for the list: the flush of the second finds the channel. */
static void touch(struct chq_meter *meter, uint32_t connection, struct channel *channel)
{
    if (channel->touched || !RESERVE(meter->touched, 1))
        return;
    channel->touched = true;
    meter->touched.v[meter->touched.n++] = chq_meter_channel_of(meter, connection);
}

enum chq_err chq_meter_reserve_put(struct chq_meter *meter, uint32_t connection, uint64_t bytes)
{
    struct channel *channel = paying(meter, connection);
    if (channel == NULL || channel->stopped)
        return CHQ_STATE;
    uint64_t full = channel_full_limit(channel), carried = chq_gauge_carried(&channel->gauge);
    if (carried > full || bytes > full - carried)
        return CHQ_PAYMENT;
    if (channel->reserved_bytes > full - carried - bytes)
        return CHQ_AGAIN;
    channel->reserved_bytes += bytes;
    channel_update_limit(channel);
    if (chq_gauge_carried(&channel->gauge) + channel->reserved_bytes > full) { /* TURN was quicker */
        channel->reserved_bytes -= bytes;
        channel_update_limit(channel);
        return CHQ_PAYMENT;
    }
    channel->put_reserved_bytes += bytes;
    meter->connections[connection].put_reserved_bytes += bytes;
    touch(meter, connection, channel);
    return CHQ_OK;
}

uint64_t chq_meter_window(const struct chq_meter *meter, uint32_t connection)
{
    const struct channel *channel = paying(meter, connection);
    if (channel == NULL || channel->stopped)
        return 0;
    uint64_t used = chq_gauge_carried(&channel->gauge) + channel->reserved_bytes + CHQ_ENVELOPE_BYTES_MAX;
    uint64_t full = channel_full_limit(channel);
    /* The last quantum that deposit and chain pay for is already paid: nothing is kept back of it. */
    if (channel->row.index >= channel_max_index(channel))
        used -= CHQ_ENVELOPE_BYTES_MAX;
    return used < full ? full - used : 0;
}

void chq_meter_reserve_deliver(struct chq_meter *meter, uint32_t connection, uint64_t bytes)
{
    struct channel *channel = paying(meter, connection);
    CHQ_ASSERT(channel != NULL);
    channel->reserved_bytes += bytes;
    meter->connections[connection].deliver_reserved_bytes += bytes;
    channel_update_limit(channel);
}

void chq_meter_settle_reservation(
    struct chq_meter *meter, uint32_t number, bool put, bool served, uint64_t bytes)
{
    struct meter_connection *connection = &meter->connections[number];
    struct channel *channel = paying(meter, number);
    uint64_t *mine = put ? &connection->put_reserved_bytes : &connection->deliver_reserved_bytes;
    CHQ_ASSERT(channel != NULL && *mine >= bytes && channel->reserved_bytes >= bytes);
    *mine -= bytes;
    if (put)
        channel->put_reserved_bytes -= bytes;
    if (served)
        channel->debt_bytes += bytes; /* reserved still; update_limit turns it into carried bytes */
    else
        channel->reserved_bytes -= bytes;
    if (served && channel->stopped) { /* what was under way when service stopped is owed all the same */
        chq_gauge_set_limit(&channel->gauge, UINT64_MAX);
        if (chq_gauge_try_add(&channel->gauge, channel->debt_bytes)) {
            channel->reserved_bytes -= channel->debt_bytes;
            channel->debt_bytes = 0;
        }
    }
    channel_update_limit(channel);
    touch(meter, number, channel);
}
