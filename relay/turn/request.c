/* SPDX-License-Identifier: Apache-2.0 */
/* Requests and their answers (RFC 8656 sections 7 to 12). */
#include <string.h>

#include "core/base/assert.h"
#include "relay/turn/core.h"

struct chq_writer chq_turn_begin_reply(
    struct chq_turn *turn, const struct request *request, enum chq_stun_class class, uint16_t error)
{
    struct chq_writer w = chq_writer_fixed(turn->reply, sizeof turn->reply);
    chq_stun_begin(&w, request->message->method, class, request->message->transaction_id);
    if (error != 0) /* without a reason phrase: only people read it, and answers stay small */
        chq_stun_write_error(&w, error, chq_bytes(NULL, 0));
    return w;
}

void chq_turn_send_reply(struct chq_turn *turn, const struct request *request, struct chq_writer *w)
{
    if (request->key != NULL)
        chq_stun_write_integrity(w, &turn->config.crypto, request->sha256 ? CHQ_STUN_SHA256 : CHQ_STUN_SHA1,
            chq_bytes(request->key, 16));
    if (request->message->has & CHQ_STUN_HAS_FINGERPRINT)
        chq_stun_write_fingerprint(w);
    if (chq_stun_finish(w) != CHQ_OK) { /* the hash function failed: silence, the client asks again */
        turn->stats.dropped_packets++;
        return;
    }
    struct chq_turn_action *action = chq_turn_push(turn, CHQ_TURN_TO_CLIENT);
    action->listener = request->listener;
    action->stream = request->stream;
    action->address = *request->from;
    action->head = chq_writer_bytes(w);
}

void chq_turn_send_error(struct chq_turn *turn, const struct request *request, uint16_t error)
{
    struct chq_writer w = chq_turn_begin_reply(turn, request, CHQ_STUN_ERROR, error);
    chq_turn_send_reply(turn, request, &w);
}

static void send_success(struct chq_turn *turn, const struct request *request)
{
    struct chq_writer w = chq_turn_begin_reply(turn, request, CHQ_STUN_SUCCESS, 0);
    chq_turn_send_reply(turn, request, &w);
}

static void send_unknown(
    struct chq_turn *turn, const struct request *request, const uint16_t *types, size_t n)
{
    struct chq_writer w = chq_turn_begin_reply(turn, request, CHQ_STUN_ERROR, 420);
    chq_stun_write_unknown(&w, types, n);
    chq_turn_send_reply(turn, request, &w);
}

/* RFC 8489 section 6.3.1. Nobody is asked for credentials; the answer is 1.25 times the request on the wire. */
static void on_binding(struct chq_turn *turn, const struct request *request)
{
    if (!chq_turn_may_reply(turn, request->from))
        return;
    if (request->message->unknown_count > 0) {
        send_unknown(turn, request, request->message->unknown, request->message->unknown_count);
        return;
    }
    struct chq_writer w = chq_turn_begin_reply(turn, request, CHQ_STUN_SUCCESS, 0);
    chq_stun_write_address(&w, CHQ_STUN_XOR_MAPPED_ADDRESS, request->from);
    chq_turn_send_reply(turn, request, &w);
}

/* RFC 8656 section 8.2. */
static void on_refresh(struct chq_turn *turn, const struct request *request, uint32_t slot)
{
    const struct chq_stun_message *m = request->message;
    struct allocation *a = turn->allocations[slot];
    bool one = (m->has & CHQ_STUN_HAS_FAMILY) != 0;
    unsigned family = m->family == 2 ? 1 : 0;
    if (one && ((m->family != 1 && m->family != 2) || a->ports[family] == 0)) {
        chq_turn_send_error(turn, request, 443);
        return;
    }
    uint32_t lifetime_s =
        (m->has & CHQ_STUN_HAS_LIFETIME) && m->lifetime_s == 0 ? 0 : chq_turn_granted_lifetime(m);
    struct chq_writer w = chq_turn_begin_reply(turn, request, CHQ_STUN_SUCCESS, 0);
    chq_stun_write_u32(&w, CHQ_STUN_LIFETIME, lifetime_s);
    if (lifetime_s == 0 && one && a->ports[!family] != 0) {
        chq_turn_close_family(turn, slot, family); /* of two, the other one goes on */
    } else if (lifetime_s == 0) {
        chq_turn_remove_allocation(turn, slot);
    } else {
        a->expires_us = turn->now_us + lifetime_s * MICRO;
        chq_turn_note_deadline(turn, a->expires_us);
    }
    chq_turn_send_reply(turn, request, &w);
}

/* Return the slot for this host: its own, an unused or an expired one; NULL when all are taken. */
static struct permission *permission_slot(
    const struct chq_turn *turn, struct allocation *a, const struct chq_address *host)
{
    struct permission *empty = NULL;
    for (uint32_t i = 0; i < a->permissions_n; i++) {
        if (chq_address_same_host(&a->permissions[i].host, host))
            return &a->permissions[i];
        if (empty == NULL && a->permissions[i].expires_us <= turn->now_us)
            empty = &a->permissions[i];
    }
    if (empty == NULL && a->permissions_n < CHQ_TURN_PERMISSIONS_MAX)
        empty = &a->permissions[a->permissions_n++];
    return empty;
}

static bool permit(const struct chq_turn *turn, struct allocation *a, const struct chq_address *host)
{
    struct permission *p = permission_slot(turn, a, host);
    if (p == NULL)
        return false;
    p->host = *host;
    p->host.port = 0;
    p->expires_us = turn->now_us + CHQ_TURN_PERMISSION_S * MICRO;
    return true;
}

/* Return whether all these hosts fit; hosts that are named twice count twice, which only errs to the safe side. */
static bool permissions_fit(
    const struct chq_turn *turn, const struct allocation *a, const struct chq_stun_message *m)
{
    uint32_t need = 0, open = CHQ_TURN_PERMISSIONS_MAX - a->permissions_n;
    for (uint32_t i = 0; i < a->permissions_n; i++)
        open += a->permissions[i].expires_us <= turn->now_us ? 1 : 0;
    for (uint32_t i = 0; i < m->peers_count; i++)
        need += chq_turn_has_permission(turn, a, &m->peers[i]) ? 0 : 1;
    return need <= open;
}

/* RFC 8656 section 10.2: all or nothing. */
static void on_create_permission(struct chq_turn *turn, const struct request *request, uint32_t slot)
{
    struct allocation *a = turn->allocations[slot];
    const struct chq_stun_message *m = request->message;
    uint16_t error = m->peers_count == 0 ? 400 : 0;
    for (uint32_t i = 0; i < m->peers_count && error == 0; i++)
        error = chq_turn_check_peer(turn, slot, &m->peers[i]);
    if (error == 0 && !permissions_fit(turn, a, m))
        error = 508;
    if (error != 0) {
        chq_turn_send_error(turn, request, error);
        return;
    }
    for (uint32_t i = 0; i < m->peers_count; i++)
        CHQ_ASSERT(permit(turn, a, &m->peers[i]));
    send_success(turn, request);
}

/* RFC 8656 section 12.2: a number and a peer belong together, and stay so for 5 minutes after the binding expired. Find
 * the slot to (re)bind. Return 400 for a conflict, 508 when all slots are taken. */
static uint16_t channel_slot(const struct chq_turn *turn, struct allocation *a, uint16_t number,
    const struct chq_address *peer, struct channel **out)
{
    struct channel *empty = NULL;
    for (uint32_t i = 0; i < a->channels_n; i++) {
        struct channel *c = &a->channels[i];
        if (turn->now_us >= c->expires_us + CHQ_TURN_CHANNEL_GRACE_S * MICRO)
            memset(c, 0, sizeof *c); /* matches nothing any more */
        bool same_number = c->number == number, same_peer = chq_address_equal(&c->peer, peer);
        if (same_number && same_peer) {
            *out = c;
            return 0;
        }
        if (same_number || same_peer)
            return 400;
        if (c->number == 0 && empty == NULL)
            empty = c;
    }
    if (empty == NULL && a->channels_n < CHQ_TURN_CHANNELS_MAX)
        empty = &a->channels[a->channels_n++];
    *out = empty;
    return empty != NULL ? 0 : 508;
}

static void on_channel_bind(struct chq_turn *turn, const struct request *request, uint32_t slot)
{
    struct allocation *a = turn->allocations[slot];
    const struct chq_stun_message *m = request->message;
    struct channel *c = NULL;
    uint16_t error = 0;
    if ((m->has & CHQ_STUN_HAS_CHANNEL) == 0 || m->peers_count != 1 || m->channel < CHQ_CHANNEL_FIRST ||
        m->channel > CHQ_CHANNEL_LAST_5766 || m->peers[0].port == 0)
        error = 400;
    if (error == 0)
        error = chq_turn_check_peer(turn, slot, &m->peers[0]);
    if (error == 0 && !permissions_fit(turn, a, m))
        error = 508;
    if (error == 0)
        error = channel_slot(turn, a, m->channel, &m->peers[0], &c);
    if (error != 0) {
        chq_turn_send_error(turn, request, error);
        return;
    }
    CHQ_ASSERT(permit(turn, a, &m->peers[0]));
    c->peer = m->peers[0];
    c->number = m->channel;
    c->own_host = chq_turn_is_own_host(turn, &c->peer);
    c->expires_us = turn->now_us + CHQ_TURN_CHANNEL_S * MICRO;
    send_success(turn, request);
}

static void on_authenticated(struct chq_turn *turn, const struct request *request)
{
    static const uint16_t dont_fragment = CHQ_STUN_DONT_FRAGMENT;
    const struct chq_stun_message *m = request->message;
    uint32_t slot = chq_turn_find_allocation(turn, request->from, request->listener);
    struct allocation *a = slot != CHQ_TURN_INDEX_NONE ? turn->allocations[slot] : NULL;
    if (a != NULL && a->open && a->expires_us <= turn->now_us) {
        chq_turn_remove_allocation(turn, slot); /* the timer would, within a second */
        a = NULL;
    }
    if (m->unknown_count > 0)
        send_unknown(turn, request, m->unknown, m->unknown_count);
    else if ((m->has & CHQ_STUN_HAS_DONT_FRAGMENT) && !turn->config.can_set_dont_fragment)
        send_unknown(turn, request, &dont_fragment, 1);
    else if (m->method == CHQ_STUN_ALLOCATE && a != NULL)
        chq_turn_on_allocate_again(turn, request, a);
    else if (m->method == CHQ_STUN_ALLOCATE)
        chq_turn_on_allocate(turn, request);
    else if (a == NULL || !a->open)
        chq_turn_send_error(turn, request, 437);
    else if (a->credential != request->credential)
        chq_turn_send_error(turn, request, 441);
    else if (m->method == CHQ_STUN_REFRESH)
        on_refresh(turn, request, slot);
    else if (m->method == CHQ_STUN_CREATE_PERMISSION)
        on_create_permission(turn, request, slot);
    else
        on_channel_bind(turn, request, slot);
}

void chq_turn_on_request(struct chq_turn *turn, struct request *request)
{
    switch (request->message->method) {
    case CHQ_STUN_BINDING: on_binding(turn, request); break;
    case CHQ_STUN_ALLOCATE:
    case CHQ_STUN_REFRESH:
    case CHQ_STUN_CREATE_PERMISSION:
    case CHQ_STUN_CHANNEL_BIND:
        if (chq_turn_login(turn, request)) {
            on_authenticated(turn, request);
            chq_turn_end_login(turn, request);
        }
        break;
    default: turn->stats.dropped_packets++; break; /* RFC 8489 section 6.3: an unknown method is left alone */
    }
}
