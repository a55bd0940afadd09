/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CHQ_TESTS_TURN_WORLD_H
#define CHQ_TESTS_TURN_WORLD_H

/* A TURN core with a shell made of memory: ports open at once (or as the test says), time is a number, everything that
 * happens can be written down as text. Used by the unit tests, the allocation-failure sweep and the fuzz target. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/base/assert.h"
#include "core/crypto/random.h"
#include "relay/turn/turn.h"

#define WORLD_LOG_BYTES 16384

struct world {
    struct chq_turn *turn;
    struct chq_seeded seeded;
    struct chq_turn_config config;
    struct chq_gauge gauge;
    uint64_t now_us, unix_s;
    struct chq_turn_actions actions;
    enum chq_turn_port_result port_results[16]; /* for the next OPEN_PORTs; then OK */
    unsigned port_results_n, port_results_at;
    unsigned opened, closed; /* ports */
    uint16_t last_port;
    uint32_t last_allocation, allocations_seen; /* slots 0 to seen - 1 have been used */
    /* the last datagram that went out, and where to */
    unsigned sent_n; /* by the last step */
    enum chq_turn_action_type sent_type;
    struct chq_address sent_to;
    uint8_t sent[2048];
    size_t sent_bytes;
    struct chq_stun_message reply; /* the last one, if it is a STUN message */
    bool has_reply;
    /* the request that is being made */
    uint8_t storage[2048];
    struct chq_writer w;
    uint32_t transaction;
    char nonce[64];
    bool logging;
    char log[WORLD_LOG_BYTES];
    size_t log_bytes;
};

static inline void world_note(struct world *world, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static inline void world_note(struct world *world, const char *format, ...)
{
    if (!world->logging)
        return;
    va_list args;
    va_start(args, format);
    int n = vsnprintf(world->log + world->log_bytes, WORLD_LOG_BYTES - world->log_bytes, format, args);
    va_end(args);
    world->log_bytes += n > 0 ? (size_t)n : 0;
    CHQ_ASSERT(world->log_bytes < WORLD_LOG_BYTES);
}

/* Fill in a small server at 198.51.100.1 (and 2001:db8::1), ports 50000 to 50009, without starting it. */
static inline void world_init(struct world *world, uint64_t seed, const struct chq_stun_crypto *crypto)
{
    memset(world, 0, sizeof *world);
    chq_seeded_init(&world->seeded, seed);
    chq_gauge_init(&world->gauge, 0, UINT64_MAX);
    world->now_us = 1000 * UINT64_C(1000000);
    world->unix_s = 1700000000;
    world->config = (struct chq_turn_config){
        .relay = {chq_address_ip4(198, 51, 100, 1, 0),
            {.family = 6, .ip = {0x20, 0x01, 0x0d, 0xb8, [15] = 1}}},
        .port_min = 50000,
        .port_max = 50009,
        .realm = "chasqui",
        .allocations_max = 20,
        .credentials_max = 4,
        .allocations_per_credential_max = 4,
        .allocations_per_prefix_max = 1000,
        .unauthenticated_per_s = 1000,
        .random = chq_seeded_random(&world->seeded),
        .crypto = *crypto,
    };
    world->config.filter.own[0] = chq_address_ip4(8, 8, 4, 4, 0);
    world->config.filter.own_count = 1;
}

static inline void world_log_reply(struct world *world)
{
    static const char *const classes[] = {"request", "indication", "success", "error"};
    char text[CHQ_ADDRESS_TEXT_MAX];
    const struct chq_stun_message *m = &world->reply;
    world_note(world, " %s %x", classes[m->class], m->method);
    if (m->has & CHQ_STUN_HAS_ERROR)
        world_note(world, " %u", m->error_code);
    if (m->has & CHQ_STUN_HAS_RELAYED) {
        chq_address_write(&m->relayed, text);
        world_note(world, " relayed %s", text);
    }
    if (m->has & CHQ_STUN_HAS_MAPPED) {
        chq_address_write(&m->mapped, text);
        world_note(world, " mapped %s", text);
    }
    if (m->has & CHQ_STUN_HAS_LIFETIME)
        world_note(world, " lifetime %u", m->lifetime_s);
    for (uint32_t i = 0; i < m->peers_count; i++) {
        chq_address_write(&m->peers[i], text);
        world_note(world, " peer %s", text);
    }
    if (m->has & CHQ_STUN_HAS_DATA)
        world_note(world, " data '%.*s'", (int)m->data.size, (const char *)m->data.data);
    if (m->has & CHQ_STUN_HAS_NONCE)
        world_note(world, " nonce");
    if (m->has & CHQ_STUN_HAS_INTEGRITY)
        world_note(world, " signed");
}

static inline void world_log_sent(struct world *world)
{
    char text[CHQ_ADDRESS_TEXT_MAX];
    chq_address_write(&world->sent_to, text);
    world_note(world, "  to %s %s:", world->sent_type == CHQ_TURN_TO_PEER ? "peer" : "client", text);
    if (world->has_reply)
        world_log_reply(world);
    else if (world->sent_type == CHQ_TURN_TO_CLIENT)
        world_note(world, " channel %x '%.*s'", chq_load_u16(world->sent), (int)world->sent_bytes - 4,
            (const char *)world->sent + 4);
    else
        world_note(world, " '%.*s'", (int)world->sent_bytes, (const char *)world->sent);
    world_note(world, "\n");
}

static inline void world_take_sent(struct world *world, const struct chq_turn_action *action)
{
    const struct chq_bytes parts[] = {action->head, action->payload, action->tail};
    CHQ_ASSERT(action->type == CHQ_TURN_TO_CLIENT || (action->head.size == 0 && action->tail.size == 0));
    CHQ_ASSERT(action->payload.data == NULL || action->head.size <= CHQ_TURN_HEAD_BYTES_MAX);
    world->sent_bytes = 0;
    for (size_t i = 0; i < 3; i++) {
        CHQ_ASSERT(parts[i].size <= sizeof world->sent - world->sent_bytes);
        if (parts[i].size > 0)
            memcpy(world->sent + world->sent_bytes, parts[i].data, parts[i].size);
        world->sent_bytes += parts[i].size;
    }
    struct chq_bytes sent = chq_bytes(world->sent, world->sent_bytes);
    world->sent_n++;
    world->sent_type = action->type;
    world->sent_to = action->address;
    world->has_reply = action->type == CHQ_TURN_TO_CLIENT && chq_stun_kind_of(sent) == CHQ_STUN_KIND_MESSAGE;
    if (world->has_reply)
        CHQ_ASSERT(chq_stun_read(sent, &world->reply) == CHQ_OK); /* we only send what we would take */
    world_log_sent(world);
    if (world->has_reply && (world->reply.has & CHQ_STUN_HAS_NONCE)) {
        CHQ_ASSERT(world->reply.nonce.size < sizeof world->nonce);
        memset(world->nonce, 0, sizeof world->nonce);
        memcpy(world->nonce, world->reply.nonce.data, world->reply.nonce.size);
    }
}

/* Step, and do what is asked until nothing is. */
static inline enum chq_err world_step(struct world *world, struct chq_turn_event event)
{
    event.now_us = world->now_us;
    world->sent_n = 0;
    world->has_reply = false;
    enum chq_err err = chq_turn_step(world->turn, &event, &world->actions);
    for (bool again = true; again;) {
        again = false;
        struct chq_turn_event opened = {.now_us = world->now_us, .type = CHQ_TURN_PORT_OPENED};
        for (uint32_t i = 0; i < world->actions.n; i++) {
            const struct chq_turn_action *action = &world->actions.v[i];
            if (action->type == CHQ_TURN_OPEN_PORT) {
                opened.port.allocation = world->last_allocation = action->allocation;
                if (world->allocations_seen <= action->allocation)
                    world->allocations_seen = action->allocation + 1;
                opened.port.result = world->port_results_at < world->port_results_n
                                         ? world->port_results[world->port_results_at++]
                                         : CHQ_TURN_PORT_OK;
                world->last_port = action->address.port;
                world->opened += opened.port.result == CHQ_TURN_PORT_OK ? 1 : 0;
                world_note(world, "  open port %u: %u\n", action->address.port, opened.port.result);
                again = true;
            } else if (action->type == CHQ_TURN_CLOSE_PORT) {
                world->closed++;
                world_note(world, "  close port of %u\n", action->allocation);
            } else {
                world_take_sent(world, action);
            }
        }
        if (again)
            CHQ_ASSERT(chq_turn_step(world->turn, &opened, &world->actions) == CHQ_OK);
    }
    return err;
}

static inline enum chq_err world_add_user_with(
    struct world *world, const char *name, const char *password, struct chq_gauge *gauge, uint64_t expires_us)
{
    return world_step(
        world, (struct chq_turn_event){.type = CHQ_TURN_CREDENTIAL_ADDED,
                   .credential = {chq_bytes_text(name), chq_bytes_text(password), gauge, expires_us}});
}

static inline enum chq_err world_add_user(struct world *world, const char *name, const char *password)
{
    return world_add_user_with(world, name, password, &world->gauge, UINT64_MAX);
}

static inline enum chq_err world_remove_user(struct world *world, const char *name)
{
    return world_step(world,
        (struct chq_turn_event){.type = CHQ_TURN_CREDENTIAL_REMOVED, .removed = {chq_bytes_text(name)}});
}

static inline void world_from_client(
    struct world *world, const struct chq_address *from, struct chq_bytes datagram)
{
    CHQ_ASSERT(world_step(world,
                   (struct chq_turn_event){.type = CHQ_TURN_FROM_CLIENT,
                       .client = {.from = *from, .unix_s = world->unix_s, .datagram = datagram}}) == CHQ_OK);
}

static inline void world_from_peer(
    struct world *world, uint32_t allocation, const struct chq_address *from, struct chq_bytes datagram)
{
    CHQ_ASSERT(world_step(world,
                   (struct chq_turn_event){.type = CHQ_TURN_FROM_PEER,
                       .peer = {.allocation = allocation, .from = *from, .datagram = datagram}}) == CHQ_OK);
}

/* Let `s` seconds pass; due timers run. */
static inline void world_pass(struct world *world, uint64_t s)
{
    world->now_us += s * 1000000;
    world->unix_s += s;
    while (chq_turn_deadline_us(world->turn) <= world->now_us)
        CHQ_ASSERT(world_step(world, (struct chq_turn_event){.type = CHQ_TURN_TIMEOUT}) == CHQ_OK);
}

/* Start a request or indication in world->w; the test adds attributes. */
static inline void world_begin(struct world *world, uint16_t method, enum chq_stun_class class)
{
    uint8_t id[CHQ_STUN_TRANSACTION_ID_BYTES] = {0};
    chq_store_u32(id, ++world->transaction);
    world->w = chq_writer_fixed(world->storage, sizeof world->storage);
    chq_stun_begin(&world->w, method, class, id);
}

/* Add user name, realm, the nonce last seen and integrity. */
static inline void world_sign_with(
    struct world *world, const char *name, const char *password, enum chq_stun_hash hash)
{
    uint8_t key[16];
    CHQ_ASSERT(chq_stun_long_term_key(&world->config.crypto, chq_bytes_text(name), chq_bytes_text("chasqui"),
                   chq_bytes_text(password), key) == CHQ_OK);
    chq_stun_write(&world->w, CHQ_STUN_USERNAME, chq_bytes_text(name));
    chq_stun_write(&world->w, CHQ_STUN_REALM, chq_bytes_text("chasqui"));
    chq_stun_write(&world->w, CHQ_STUN_NONCE, chq_bytes_text(world->nonce));
    chq_stun_write_integrity(&world->w, &world->config.crypto, hash, chq_bytes(key, sizeof key));
}

static inline void world_sign(struct world *world, const char *name, const char *password)
{
    world_sign_with(world, name, password, CHQ_STUN_SHA1);
}

/* Send what was begun from `from`. Return 0 for a success response, its code for an error response, -1 for none. */
static inline int world_send(struct world *world, const struct chq_address *from)
{
    CHQ_ASSERT(chq_stun_finish(&world->w) == CHQ_OK);
    world_from_client(world, from, chq_writer_bytes(&world->w));
    if (world->sent_n != 1 || !world->has_reply || !chq_address_equal(&world->sent_to, from))
        return -1;
    CHQ_ASSERT(memcmp(world->reply.transaction_id, world->storage + 8, CHQ_STUN_TRANSACTION_ID_BYTES) == 0);
    return world->reply.class == CHQ_STUN_SUCCESS ? 0 : world->reply.error_code;
}

/* Ask for a nonce as a client does: an Allocate without credentials. */
static inline int world_challenge(struct world *world, const struct chq_address *from)
{
    world_begin(world, CHQ_STUN_ALLOCATE, CHQ_STUN_REQUEST);
    chq_stun_write_u32(&world->w, CHQ_STUN_REQUESTED_TRANSPORT, 17u << 24);
    return world_send(world, from);
}

/* Allocate as `ana`, challenge first. Return as world_send. */
static inline int world_allocate(struct world *world, const struct chq_address *from)
{
    int code = world_challenge(world, from);
    if (code != 401)
        return code;
    world_begin(world, CHQ_STUN_ALLOCATE, CHQ_STUN_REQUEST);
    chq_stun_write_u32(&world->w, CHQ_STUN_REQUESTED_TRANSPORT, 17u << 24);
    world_sign(world, "ana", "secret");
    return world_send(world, from);
}

static inline int world_permit(
    struct world *world, const struct chq_address *from, const struct chq_address *peer)
{
    world_begin(world, CHQ_STUN_CREATE_PERMISSION, CHQ_STUN_REQUEST);
    chq_stun_write_address(&world->w, CHQ_STUN_XOR_PEER_ADDRESS, peer);
    world_sign(world, "ana", "secret");
    return world_send(world, from);
}

static inline int world_bind(
    struct world *world, const struct chq_address *from, uint16_t channel, const struct chq_address *peer)
{
    world_begin(world, CHQ_STUN_CHANNEL_BIND, CHQ_STUN_REQUEST);
    chq_stun_write_channel(&world->w, channel);
    chq_stun_write_address(&world->w, CHQ_STUN_XOR_PEER_ADDRESS, peer);
    world_sign(world, "ana", "secret");
    return world_send(world, from);
}

static inline int world_refresh(struct world *world, const struct chq_address *from, uint32_t lifetime_s)
{
    world_begin(world, CHQ_STUN_REFRESH, CHQ_STUN_REQUEST);
    chq_stun_write_u32(&world->w, CHQ_STUN_LIFETIME, lifetime_s);
    world_sign(world, "ana", "secret");
    return world_send(world, from);
}

/* Send `text` in a Send indication; return whether it went to the peer. */
static inline bool world_send_data(
    struct world *world, const struct chq_address *from, const struct chq_address *peer, const char *text)
{
    world_begin(world, CHQ_STUN_SEND, CHQ_STUN_INDICATION);
    chq_stun_write_address(&world->w, CHQ_STUN_XOR_PEER_ADDRESS, peer);
    chq_stun_write(&world->w, CHQ_STUN_DATA_ATTRIBUTE, chq_bytes_text(text));
    (void)world_send(world, from);
    return world->sent_n == 1 && world->sent_type == CHQ_TURN_TO_PEER &&
           chq_address_equal(&world->sent_to, peer) &&
           chq_bytes_equal(chq_bytes(world->sent, world->sent_bytes), chq_bytes_text(text));
}

/* Send `text` on a channel; return whether it went to a peer. */
static inline bool world_send_channel(
    struct world *world, const struct chq_address *from, uint16_t channel, const char *text)
{
    uint8_t bytes[512];
    size_t size = strlen(text);
    chq_channel_data_header(bytes, channel, (uint16_t)size);
    memcpy(bytes + 4, text, size);
    world_from_client(world, from, chq_bytes(bytes, 4 + size));
    return world->sent_n == 1 && world->sent_type == CHQ_TURN_TO_PEER &&
           chq_bytes_equal(chq_bytes(world->sent, world->sent_bytes), chq_bytes_text(text));
}

/* A peer sends `text` to the allocation; return whether something went to the client. */
static inline bool world_peer_sends(
    struct world *world, uint32_t allocation, const struct chq_address *peer, const char *text)
{
    world_from_peer(world, allocation, peer, chq_bytes_text(text));
    return world->sent_n == 1 && world->sent_type == CHQ_TURN_TO_CLIENT;
}

#endif
