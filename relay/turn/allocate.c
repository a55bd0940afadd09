/* SPDX-License-Identifier: Apache-2.0 */
/* Allocate and its answer (RFC 8656 section 7): one relayed port or one of each family, even ports, reserved ports. */
#include <sodium.h>
#include <string.h>

#include "core/base/assert.h"
#include "relay/turn/core.h"

#define TRANSPORT_UDP 17

uint32_t chq_turn_granted_lifetime(const struct chq_stun_message *m)
{
    uint32_t asked = m->has & CHQ_STUN_HAS_LIFETIME ? m->lifetime_s : 0;
    if (asked < CHQ_TURN_LIFETIME_DEFAULT_S) /* RFC 8656 section 7.2: not below the default */
        return CHQ_TURN_LIFETIME_DEFAULT_S;
    return asked < CHQ_TURN_LIFETIME_MAX_S ? asked : CHQ_TURN_LIFETIME_MAX_S;
}

static void send_allocated(struct chq_turn *turn, const struct request *request, const struct allocation *a)
{
    struct chq_writer w = chq_turn_begin_reply(turn, request, CHQ_STUN_SUCCESS, 0);
    for (int i = 0; i < 2; i++) {
        struct chq_address relayed = turn->config.relay[i];
        relayed.port = a->ports[i];
        if (a->ports[i] != 0)
            chq_stun_write_address(&w, CHQ_STUN_XOR_RELAYED_ADDRESS, &relayed);
        else if (a->request.errors[i] != 0) /* section 7.2: of two families, why this one is missing */
            chq_stun_write_address_error(&w, i == 1 ? 6 : 4, a->request.errors[i]);
    }
    chq_stun_write_u32(&w, CHQ_STUN_LIFETIME, a->request.lifetime_s);
    if (a->request.reserve)
        chq_stun_write(&w, CHQ_STUN_RESERVATION_TOKEN, chq_bytes(a->request.token, CHQ_TURN_TOKEN_BYTES));
    chq_stun_write_address(&w, CHQ_STUN_XOR_MAPPED_ADDRESS, &a->client);
    chq_turn_send_reply(turn, request, &w);
}

/* The same again (its answer was lost), or 437. */
void chq_turn_on_allocate_again(
    struct chq_turn *turn, const struct request *request, const struct allocation *a)
{
    if (memcmp(a->request.transaction_id, request->message->transaction_id, CHQ_STUN_TRANSACTION_ID_BYTES) !=
            0 ||
        a->credential != request->credential)
        chq_turn_send_error(turn, request, 437);
    else if (a->open)
        send_allocated(turn, request, a);
}

/* Many accounts of one network shall not take all ports. */
static bool prefix_is_full(const struct chq_turn *turn, const struct chq_address *client)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < turn->allocations_n; i++) {
        const struct allocation *a = turn->allocations[i];
        if (a->used && a->client.family == client->family &&
            memcmp(a->client.ip, client->ip, client->family == 4 ? 3 : 6) == 0)
            n++;
    }
    return n >= turn->config.allocations_per_prefix_max;
}

static void expire_reservations(struct chq_turn *turn)
{
    for (uint32_t i = 0; i < CHQ_TURN_RESERVATIONS_MAX; i++) {
        struct reservation *r = &turn->reservations[i];
        if (r->expires_us == 0 || r->expires_us > turn->now_us)
            continue;
        chq_turn_give_port_back(turn, r->family, r->port);
        memset(r, 0, sizeof *r);
    }
}

static bool owns(const struct reservation *r, const struct credential *c)
{
    return r->expires_us != 0 && r->owner == c->hash && r->owner_app == c->app;
}

/* Return the user's reservation with that token, or NULL. */
static struct reservation *find_reservation(
    struct chq_turn *turn, const struct credential *c, struct chq_bytes token)
{
    for (uint32_t i = 0; i < CHQ_TURN_RESERVATIONS_MAX; i++) {
        struct reservation *r = &turn->reservations[i];
        if (owns(r, c) && sodium_memcmp(r->token, token.data, CHQ_TURN_TOKEN_BYTES) == 0)
            return r;
    }
    return NULL;
}

static struct reservation *free_reservation(struct chq_turn *turn)
{
    for (uint32_t i = 0; i < CHQ_TURN_RESERVATIONS_MAX; i++)
        if (turn->reservations[i].expires_us == 0)
            return &turn->reservations[i];
    return NULL;
}

/* A reserved port counts like an allocation, except for the one who comes to claim it. */
static bool user_is_full(const struct chq_turn *turn, const struct credential *c, bool claims)
{
    uint32_t n = c->allocations;
    for (uint32_t i = 0; i < CHQ_TURN_RESERVATIONS_MAX; i++)
        n += owns(&turn->reservations[i], c) ? 1 : 0;
    return n - (claims ? 1 : 0) >= turn->config.allocations_per_credential_max;
}

/* RFC 8656 section 7.2, steps 3 to 10. Return the error code, or 0; `claimed` is the reservation of the token. */
static uint16_t check_allocate(
    struct chq_turn *turn, const struct request *request, struct reservation **claimed)
{
    const struct chq_stun_message *m = request->message;
    const struct credential *c = turn->credentials[request->credential];
    bool reserve = (m->has & CHQ_STUN_HAS_EVEN_PORT) && m->even_port_reserve;
    bool family = m->has & CHQ_STUN_HAS_FAMILY, additional = m->has & CHQ_STUN_HAS_ADDITIONAL_FAMILY;
    if ((m->has & CHQ_STUN_HAS_TRANSPORT) == 0)
        return 400;
    if (m->transport != TRANSPORT_UDP)
        return 442;
    if ((m->has & CHQ_STUN_HAS_RESERVATION_TOKEN) && /* step 5 */
        ((m->has & CHQ_STUN_HAS_EVEN_PORT) || family || additional))
        return 400;
    if (additional && (family || reserve || m->additional_family != 2)) /* steps 6 to 8 */
        return 400;
    if (family && m->family != 1 && m->family != 2)
        return 440;
    *claimed = NULL;
    if (m->has & CHQ_STUN_HAS_RESERVATION_TOKEN) {
        *claimed = find_reservation(turn, c, m->reservation_token);
        if (*claimed == NULL)
            return 508;
    }
    if (user_is_full(turn, c, *claimed != NULL) || prefix_is_full(turn, request->from))
        return 486;
    return reserve && free_reservation(turn) == NULL ? 508 : 0;
}

/* What the answer needs of the request, which may be long gone. */
static struct request stored_request(
    const struct chq_turn *turn, const struct allocation *a, struct chq_stun_message *m)
{
    memset(m, 0, sizeof *m);
    m->method = CHQ_STUN_ALLOCATE;
    m->has = a->request.fingerprint ? CHQ_STUN_HAS_FINGERPRINT : 0;
    memcpy(m->transaction_id, a->request.transaction_id, sizeof m->transaction_id);
    return (struct request){.message = m,
        .from = &a->client,
        .listener = a->listener,
        .stream = a->stream,
        .key = turn->credentials[a->credential]->key,
        .sha256 = a->request.sha256,
        .credential = a->credential};
}

/* All ports are open that can be had: with one at least the allocation lives. */
static void finish(struct chq_turn *turn, uint32_t slot)
{
    struct allocation *a = turn->allocations[slot];
    struct chq_stun_message m;
    struct request request = stored_request(turn, a, &m);
    if (a->ports[0] == 0 && a->ports[1] == 0) {
        chq_turn_send_error(turn, &request, a->request.errors[a->request.wants[0] ? 0 : 1]);
        chq_turn_remove_allocation(turn, slot); /* and with it, maybe, the key of the answer */
        return;
    }
    a->open = true;
    a->expires_us = turn->now_us + a->request.lifetime_s * MICRO;
    chq_turn_note_deadline(turn, a->expires_us);
    turn->stats.allocations_total++;
    send_allocated(turn, &request, a);
}

static void ask_for_port(struct chq_turn *turn, uint32_t slot)
{
    struct allocation *a = turn->allocations[slot];
    struct chq_turn_action *action = chq_turn_push(turn, CHQ_TURN_OPEN_PORT);
    action->allocation = slot;
    action->address = turn->config.relay[a->opening];
    action->address.port = a->ports[a->opening];
}

/* Ask for the next port that is wanted and not there, or answer. */
static void open_next(struct chq_turn *turn, uint32_t slot)
{
    struct allocation *a = turn->allocations[slot];
    for (uint8_t i = 0; i < 2; i++) {
        if (!a->request.wants[i] || a->port_open[i] || a->request.errors[i] != 0)
            continue;
        a->opening = i;
        a->tries = 0;
        if (a->request.claimed || chq_turn_take_port(turn, i == 1 ? 6 : 4, a->request.even_port,
                                      a->request.reserve, &a->ports[i]) == CHQ_OK) {
            ask_for_port(turn, slot);
            return;
        }
        a->request.errors[i] = 508;
    }
    finish(turn, slot);
}

void chq_turn_on_allocate(struct chq_turn *turn, const struct request *request)
{
    const struct chq_stun_message *m = request->message;
    struct reservation *claimed;
    uint32_t slot;
    expire_reservations(turn);
    uint16_t error = check_allocate(turn, request, &claimed);
    if (error == 0 && chq_turn_add_allocation(turn, request, &slot) != CHQ_OK)
        error = 508;
    if (error != 0) {
        chq_turn_send_error(turn, request, error);
        return;
    }
    struct allocation *a = turn->allocations[slot];
    struct allocate_request *r = &a->request;
    memcpy(r->transaction_id, m->transaction_id, sizeof r->transaction_id);
    r->lifetime_s = chq_turn_granted_lifetime(m);
    r->fingerprint = (m->has & CHQ_STUN_HAS_FINGERPRINT) != 0;
    r->sha256 = request->sha256;
    r->even_port = (m->has & CHQ_STUN_HAS_EVEN_PORT) != 0;
    r->reserve = r->even_port && m->even_port_reserve;
    r->wants[0] = (m->has & CHQ_STUN_HAS_FAMILY) == 0 || m->family == 1;
    r->wants[1] = (m->has & CHQ_STUN_HAS_ADDITIONAL_FAMILY) || !r->wants[0];
    if (claimed != NULL) {
        bool six = claimed->family == 6;
        r->claimed = true;
        r->wants[six] = true;
        r->wants[!six] = false;
        a->ports[six] = claimed->port;
        memset(claimed, 0, sizeof *claimed);
    }
    for (int i = 0; i < 2; i++)
        if (r->wants[i] && turn->config.relay[i].family == 0)
            r->errors[i] = 440;
    open_next(turn, slot);
}

/* Keep the port after the even one for whoever comes with the token. */
static void reserve_next(struct chq_turn *turn, struct allocation *a)
{
    const struct credential *c = turn->credentials[a->credential];
    struct reservation *r = free_reservation(turn);
    CHQ_ASSERT(r != NULL); /* looked at just before the port was asked for */
    r->expires_us = turn->now_us + CHQ_TURN_RESERVATION_S * MICRO;
    r->owner = c->hash;
    r->owner_app = c->app;
    r->family = a->opening == 1 ? 6 : 4;
    r->port = (uint16_t)(a->ports[a->opening] + 1);
    chq_random_fill(&turn->config.random, r->token, sizeof r->token); /* nobody else can guess it */
    memcpy(a->request.token, r->token, sizeof r->token);
}

static void give_ports_back(struct chq_turn *turn, const struct allocation *a, uint16_t port)
{
    uint8_t family = a->opening == 1 ? 6 : 4;
    chq_turn_give_port_back(turn, family, port);
    if (a->request.reserve)
        chq_turn_give_port_back(turn, family, (uint16_t)(port + 1));
}

void chq_turn_on_port(struct chq_turn *turn, uint32_t slot, enum chq_turn_port_result result)
{
    CHQ_ASSERT(slot < turn->allocations_n && turn->allocations[slot]->used && !turn->allocations[slot]->open);
    struct allocation *a = turn->allocations[slot];
    uint16_t port = a->ports[a->opening];
    uint8_t family = a->opening == 1 ? 6 : 4;
    if (result == CHQ_TURN_PORT_OK) {
        a->port_open[a->opening] = true;
        chq_turn_own_port(turn, a->opening, port, slot + 1);
        if (a->request.reserve)
            reserve_next(turn, a);
        open_next(turn, slot);
        return;
    }
    a->ports[a->opening] = 0;
    if (result == CHQ_TURN_PORT_TAKEN && !a->request.claimed && ++a->tries < PORT_TRIES_MAX &&
        chq_turn_take_port(turn, family, a->request.even_port, a->request.reserve, &a->ports[a->opening]) ==
            CHQ_OK) {
        give_ports_back(turn, a, port); /* after another was taken, so that it is another */
        ask_for_port(turn, slot);
        return;
    }
    give_ports_back(turn, a, port);
    a->request.errors[a->opening] = 508;
    open_next(turn, slot);
}
