/* SPDX-License-Identifier: Apache-2.0 */
/* The hot path: application data through the relay (RFC 8656 sections 11, 12.5 to 12.7). Nothing is allocated. */
#include <string.h>

#include "core/base/assert.h"
#include "relay/turn/core.h"

#define PAYLOAD_BYTES_MAX 65000 /* with any header it still fits a UDP datagram and a 16-bit length */

bool chq_turn_has_permission(
    const struct chq_turn *turn, const struct allocation *a, const struct chq_address *peer)
{
    for (uint32_t i = 0; i < a->permissions_n; i++)
        if (chq_address_same_host(&a->permissions[i].host, peer))
            return a->permissions[i].expires_us > turn->now_us;
    return false;
}

static struct channel *channel_of_number(struct allocation *a, uint16_t number)
{
    if (a->last_channel < a->channels_n && a->channels[a->last_channel].number == number)
        return &a->channels[a->last_channel];
    for (uint32_t i = 0; i < a->channels_n; i++)
        if (a->channels[i].number == number) {
            a->last_channel = i;
            return &a->channels[i];
        }
    return NULL;
}

static struct channel *channel_of_peer(struct allocation *a, const struct chq_address *peer)
{
    if (a->last_channel < a->channels_n && chq_address_equal(&a->channels[a->last_channel].peer, peer))
        return &a->channels[a->last_channel];
    for (uint32_t i = 0; i < a->channels_n; i++)
        if (chq_address_equal(&a->channels[i].peer, peer)) {
            a->last_channel = i;
            return &a->channels[i];
        }
    return NULL;
}

/* Charge the payer; false: the packet is not paid for and goes no further. */
static bool charge(struct chq_turn *turn, const struct allocation *a, size_t payload_bytes)
{
    if (chq_gauge_try_add(turn->credentials[a->credential]->gauge, payload_bytes))
        return true;
    turn->stats.dropped_unpaid_packets++;
    return false;
}

/* Return the action, or NULL when nobody pays for it. */
static struct chq_turn_action *send_to_peer(
    struct chq_turn *turn, uint32_t slot, const struct chq_address *peer, struct chq_bytes payload)
{
    if (!charge(turn, turn->allocations[slot], payload.size))
        return NULL;
    struct chq_turn_action *action = chq_turn_push(turn, CHQ_TURN_TO_PEER);
    action->allocation = slot;
    action->address = *peer;
    action->payload = payload;
    turn->stats.to_peer_packets++;
    turn->stats.to_peer_bytes += payload.size;
    return action;
}

uint16_t chq_turn_check_peer(const struct chq_turn *turn, uint32_t slot, const struct chq_address *peer)
{
    if (turn->allocations[slot]->ports[peer->family == 6] == 0)
        return 443;
    uint32_t owner = chq_turn_owner_of_port(turn, peer);
    if (owner != CHQ_TURN_INDEX_NONE)
        return owner != slot ? 0 : 403; /* not itself: that would be a loop */
    return chq_peer_filter_allows(&turn->config.filter, peer) ? 0 : 403;
}

/* From one client of this relay to another: out of one allocation and into the other, both pay. Return whether `peer`
 * is an allocation's address at all. */
static bool send_to_neighbour(
    struct chq_turn *turn, uint32_t slot, const struct chq_address *peer, struct chq_bytes payload)
{
    uint32_t owner = chq_turn_owner_of_port(turn, peer);
    if (owner == CHQ_TURN_INDEX_NONE)
        return false;
    struct chq_address source = turn->config.relay[peer->family == 6];
    source.port = turn->allocations[slot]->ports[peer->family == 6];
    if (!charge(turn, turn->allocations[slot], payload.size))
        return true;
    turn->stats.to_peer_packets++;
    turn->stats.to_peer_bytes += payload.size;
    chq_turn_on_peer(turn, owner, &source, payload);
    return true;
}

static struct allocation *live_allocation(
    struct chq_turn *turn, const struct chq_address *from, uint8_t listener, uint32_t *slot)
{
    *slot = chq_turn_find_allocation(turn, from, listener);
    struct allocation *a = *slot != CHQ_TURN_INDEX_NONE ? turn->allocations[*slot] : NULL;
    return a != NULL && a->open && a->expires_us > turn->now_us ? a : NULL;
}

void chq_turn_on_channel_data(
    struct chq_turn *turn, const struct chq_address *from, uint8_t listener, struct chq_bytes datagram)
{
    uint16_t number;
    uint32_t slot;
    struct chq_bytes payload;
    struct allocation *a = live_allocation(turn, from, listener, &slot);
    struct channel *c = NULL;
    if (a != NULL && chq_channel_data_read(datagram, &number, &payload) == CHQ_OK)
        c = channel_of_number(a, number);
    if (c == NULL || c->expires_us <= turn->now_us) {
        turn->stats.dropped_packets++;
        return;
    }
    if (c->own_host && chq_turn_check_peer(turn, slot, &c->peer) != 0)
        turn->stats.dropped_packets++; /* that allocation is gone */
    else if (!c->own_host || !send_to_neighbour(turn, slot, &c->peer, payload))
        (void)send_to_peer(turn, slot, &c->peer, payload);
}

void chq_turn_on_send(
    struct chq_turn *turn, const struct chq_stun_message *m, const struct chq_address *from, uint8_t listener)
{
    uint32_t slot;
    struct allocation *a = live_allocation(turn, from, listener, &slot);
    bool fine = a != NULL && m->unknown_count == 0 &&
                ((m->has & CHQ_STUN_HAS_DONT_FRAGMENT) == 0 || turn->config.can_set_dont_fragment) &&
                (m->has & CHQ_STUN_HAS_DATA) != 0 && m->peers_count == 1 && m->peers[0].port != 0 &&
                chq_turn_has_permission(turn, a, &m->peers[0]) &&
                chq_turn_check_peer(turn, slot, &m->peers[0]) == 0;
    if (!fine) {
        turn->stats.dropped_packets++;
        return;
    }
    if (send_to_neighbour(turn, slot, &m->peers[0], m->data))
        return;
    struct chq_turn_action *action = send_to_peer(turn, slot, &m->peers[0], m->data);
    if (action != NULL)
        action->dont_fragment = (m->has & CHQ_STUN_HAS_DONT_FRAGMENT) != 0; /* RFC 8656 section 15 */
}

/* Everything of a Data indication that stands before the data itself. */
static struct chq_bytes data_indication_head(
    struct chq_turn *turn, const struct chq_address *peer, size_t payload_bytes)
{
    uint8_t transaction_id[CHQ_STUN_TRANSACTION_ID_BYTES], counter[8];
    chq_store_u64(counter, ++turn->indications);
    chq_store_u64(transaction_id, chq_turn_hash64(turn->nonce_key, chq_bytes(counter, sizeof counter)));
    chq_store_u32(transaction_id + 8, (uint32_t)turn->indications);
    struct chq_writer w = chq_writer_fixed(turn->reply, CHQ_TURN_HEAD_BYTES_MAX);
    chq_stun_begin(&w, CHQ_STUN_DATA, CHQ_STUN_INDICATION, transaction_id);
    chq_stun_write_address(&w, CHQ_STUN_XOR_PEER_ADDRESS, peer);
    chq_write_u16(&w, CHQ_STUN_DATA_ATTRIBUTE);
    chq_write_u16(&w, (uint16_t)payload_bytes);
    CHQ_ASSERT(chq_writer_finish(&w) == CHQ_OK);
    size_t padded = (payload_bytes + 3) & ~(size_t)3;
    chq_store_u16(turn->reply + 2, (uint16_t)(w.size - CHQ_STUN_HEADER_BYTES + padded));
    return chq_writer_bytes(&w);
}

void chq_turn_on_peer(
    struct chq_turn *turn, uint32_t slot, const struct chq_address *from, struct chq_bytes datagram)
{
    static const uint8_t padding[3];
    CHQ_ASSERT(slot < turn->allocations_n);
    struct allocation *a = turn->allocations[slot];
    if (!a->open || a->expires_us <= turn->now_us || datagram.size > PAYLOAD_BYTES_MAX ||
        !chq_turn_has_permission(turn, a, from)) {
        turn->stats.dropped_packets++;
        return;
    }
    if (!charge(turn, a, datagram.size))
        return;
    const struct channel *c = channel_of_peer(a, from);
    struct chq_turn_action *action = chq_turn_push(turn, CHQ_TURN_TO_CLIENT);
    action->allocation = slot;
    action->listener = a->listener;
    action->stream = a->stream;
    action->address = a->client;
    action->payload = datagram;
    if (c != NULL && c->expires_us > turn->now_us) {
        chq_channel_data_header(turn->reply, c->number, (uint16_t)datagram.size);
        action->head = chq_bytes(turn->reply, CHQ_CHANNEL_HEADER_BYTES);
    } else {
        action->head = data_indication_head(turn, from, datagram.size);
        action->tail = chq_bytes(padding, (4 - datagram.size % 4) % 4);
    }
    turn->stats.to_client_packets++;
    turn->stats.to_client_bytes += datagram.size;
}
