/* SPDX-License-Identifier: Apache-2.0 */
#include "relay/turn/turn.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/assert.h"
#include "core/crypto/random.h"
#include "relay/turn/core.h"

_Static_assert(crypto_shorthash_KEYBYTES == 16 && crypto_shorthash_BYTES == 8, "SipHash-2-4");

uint64_t chq_turn_hash64(const uint8_t key[16], struct chq_bytes in)
{
    uint8_t out[8];
    (void)crypto_shorthash(out, in.data, in.size, key);
    return chq_load_u64(out);
}

static uint64_t hash_address(const struct chq_turn *turn, const struct chq_address *a, uint8_t listener)
{
    uint8_t in[20];
    memcpy(in, a->ip, 16);
    chq_store_u16(in + 16, a->port);
    in[18] = a->family;
    in[19] = listener;
    return chq_turn_hash64(turn->hash_key, chq_bytes(in, sizeof in));
}

static enum chq_err check_config(const struct chq_turn_config *c)
{
    size_t realm_bytes = strlen(c->realm);
    if (realm_bytes == 0 || realm_bytes > CHQ_TURN_REALM_BYTES_MAX || c->port_min == 0 ||
        c->port_min > c->port_max)
        return CHQ_LIMIT;
    if (c->allocations_max == 0 || c->allocations_max > 1u << 20 || c->credentials_max == 0 ||
        c->credentials_max > 1u << 24 || c->allocations_per_credential_max == 0 ||
        c->allocations_per_credential_max >= CHQ_TURN_ACTIONS_MAX / 2 || c->allocations_per_prefix_max == 0 ||
        c->unauthenticated_per_s == 0 || c->unauthenticated_per_s > 1000000)
        return CHQ_LIMIT;
    for (size_t i = 0; i < realm_bytes; i++)
        if (c->realm[i] < 0x20 || c->realm[i] == 0x7F || c->realm[i] == '"' || c->realm[i] == '\\')
            return CHQ_MALFORMED;
    if (c->apps_count > CHQ_TURN_APPS_MAX)
        return CHQ_LIMIT;
    for (uint32_t i = 0; i < c->apps_count; i++)
        if (c->apps[i].secret.size < CHQ_TURN_SECRET_BYTES_MIN ||
            c->apps[i].secret.size > CHQ_TURN_SECRET_BYTES_MAX)
            return CHQ_LIMIT;
    if ((c->relay[0].family != 4 && c->relay[0].family != 0) ||
        (c->relay[1].family != 6 && c->relay[1].family != 0) ||
        (c->relay[0].family == 0 && c->relay[1].family == 0))
        return CHQ_MALFORMED;
    return CHQ_OK;
}

enum chq_err chq_turn_new(const struct chq_turn_config *config, struct chq_turn **out)
{
    *out = NULL;
    CHQ_TRY(check_config(config));
    struct chq_turn *turn = calloc(1, sizeof *turn);
    if (turn == NULL)
        return CHQ_NO_MEMORY;
    turn->config = *config;
    turn->realm_bytes = strlen(config->realm);
    memcpy(turn->realm, config->realm, turn->realm_bytes);
    turn->config.realm = NULL;
    for (uint32_t i = 0; i < config->apps_count; i++) {
        struct chq_bytes secret = config->apps[i].secret;
        CHQ_ASSERT(config->apps[i].gauge != NULL);
        memcpy(turn->app_secrets[i], secret.data, secret.size);
        turn->config.apps[i].secret = chq_bytes(turn->app_secrets[i], secret.size);
    }
    turn->deadline_us = UINT64_MAX;
    chq_random_fill(&config->random, turn->hash_key, sizeof turn->hash_key);
    chq_random_fill(&config->random, turn->nonce_key, sizeof turn->nonce_key);
    chq_random_fill(&config->random, turn->no_key, sizeof turn->no_key);
    turn->allocations = calloc(config->allocations_max, sizeof(struct allocation *));
    turn->credentials = calloc(config->credentials_max, sizeof(struct credential *));
    enum chq_err err = turn->allocations != NULL && turn->credentials != NULL ? CHQ_OK : CHQ_NO_MEMORY;
    for (int i = 0; i < 2 && err == CHQ_OK; i++) {
        turn->owners[i] = calloc((size_t)config->port_max - config->port_min + 1, sizeof *turn->owners[i]);
        err = turn->owners[i] != NULL ? CHQ_OK : CHQ_NO_MEMORY;
    }
    if (err == CHQ_OK)
        err = chq_turn_index_init(&turn->by_client, config->allocations_max);
    if (err == CHQ_OK)
        err = chq_turn_index_init(&turn->by_username, config->credentials_max);
    if (err != CHQ_OK) {
        chq_turn_free(turn);
        return err;
    }
    *out = turn;
    return CHQ_OK;
}

void chq_turn_free(struct chq_turn *turn)
{
    if (turn == NULL)
        return;
    for (uint32_t i = 0; i < turn->allocations_n; i++)
        free(turn->allocations[i]);
    for (uint32_t i = 0; i < turn->credentials_n; i++) {
        sodium_memzero(turn->credentials[i], sizeof *turn->credentials[i]);
        free(turn->credentials[i]);
    }
    free(turn->owners[0]);
    free(turn->owners[1]);
    free(turn->allocations);
    free(turn->credentials);
    chq_turn_index_fini(&turn->by_client);
    chq_turn_index_fini(&turn->by_username);
    sodium_memzero(turn, sizeof *turn);
    free(turn);
}

struct chq_turn_action *chq_turn_push(struct chq_turn *turn, enum chq_turn_action_type type)
{
    CHQ_ASSERT(turn->out->n + 2 <= CHQ_TURN_ACTIONS_MAX);
    struct chq_turn_action *action = &turn->out->v[turn->out->n++];
    memset(action, 0, sizeof *action);
    action->type = type;
    return action;
}

uint32_t chq_turn_find_allocation(struct chq_turn *turn, const struct chq_address *client, uint8_t listener)
{
    uint64_t hash = hash_address(turn, client, listener);
    for (uint32_t cursor = 0;;) {
        uint32_t slot = chq_turn_index_next(&turn->by_client, hash, &cursor);
        if (slot == CHQ_TURN_INDEX_NONE)
            return slot;
        const struct allocation *a = turn->allocations[slot];
        if (a->listener == listener && chq_address_equal(&a->client, client))
            return slot;
    }
}

/* Return a slot that is not used, or CHQ_TURN_INDEX_NONE when a new one is needed. */
static uint32_t free_slot(const struct chq_turn *turn)
{
    if (turn->stats.allocations < turn->allocations_n)
        for (uint32_t i = 0; i < turn->allocations_n; i++)
            if (!turn->allocations[i]->used)
                return i;
    return CHQ_TURN_INDEX_NONE;
}

enum chq_err chq_turn_add_allocation(struct chq_turn *turn, const struct request *request, uint32_t *slot)
{
    uint32_t at = free_slot(turn);
    if (at == CHQ_TURN_INDEX_NONE) {
        if (turn->allocations_n == turn->config.allocations_max)
            return CHQ_LIMIT;
        struct allocation *fresh = malloc(sizeof *fresh);
        if (fresh == NULL)
            return CHQ_NO_MEMORY;
        at = turn->allocations_n++;
        turn->allocations[at] = fresh;
    }
    struct allocation *a = turn->allocations[at];
    memset(a, 0, sizeof *a);
    a->used = true;
    a->client = *request->from;
    a->listener = request->listener;
    a->stream = request->stream;
    a->client_hash = hash_address(turn, &a->client, a->listener);
    a->credential = request->credential;
    chq_turn_index_add(&turn->by_client, a->client_hash, at);
    turn->credentials[a->credential]->allocations++;
    turn->stats.allocations++;
    *slot = at;
    return CHQ_OK;
}

void chq_turn_close_family(struct chq_turn *turn, uint32_t slot, unsigned family)
{
    struct allocation *a = turn->allocations[slot];
    uint8_t number = family == 1 ? 6 : 4;
    if (a->ports[family] == 0)
        return;
    if (a->port_open[family]) {
        struct chq_turn_action *action = chq_turn_push(turn, CHQ_TURN_CLOSE_PORT);
        action->allocation = slot;
        action->address.family = number;
        chq_turn_own_port(turn, family, a->ports[family], 0);
    }
    chq_turn_give_port_back(turn, number, a->ports[family]);
    a->ports[family] = 0;
    a->port_open[family] = false;
    for (uint32_t i = 0; i < a->permissions_n; i++)
        if (a->permissions[i].host.family == number)
            memset(&a->permissions[i], 0, sizeof a->permissions[i]);
    for (uint32_t i = 0; i < a->channels_n; i++)
        if (a->channels[i].peer.family == number)
            memset(&a->channels[i], 0, sizeof a->channels[i]);
}

void chq_turn_remove_allocation(struct chq_turn *turn, uint32_t slot)
{
    struct allocation *a = turn->allocations[slot];
    chq_turn_close_family(turn, slot, 0);
    chq_turn_close_family(turn, slot, 1);
    chq_turn_index_remove(&turn->by_client, a->client_hash, slot);
    turn->credentials[a->credential]->allocations--;
    turn->stats.allocations--;
    a->used = a->open = false;
    chq_turn_release_credential(turn, a->credential);
}

bool chq_turn_is_own_host(const struct chq_turn *turn, const struct chq_address *peer)
{
    return chq_address_same_host(&turn->config.relay[peer->family == 6], peer);
}

uint32_t chq_turn_owner_of_port(const struct chq_turn *turn, const struct chq_address *peer)
{
    if (!chq_turn_is_own_host(turn, peer) || peer->port < turn->config.port_min ||
        peer->port > turn->config.port_max)
        return CHQ_TURN_INDEX_NONE;
    uint32_t slot_plus_1 = turn->owners[peer->family == 6][peer->port - turn->config.port_min];
    return slot_plus_1 != 0 ? slot_plus_1 - 1 : CHQ_TURN_INDEX_NONE;
}

void chq_turn_own_port(struct chq_turn *turn, unsigned family, uint16_t port, uint32_t slot_plus_1)
{
    turn->owners[family][port - turn->config.port_min] = slot_plus_1;
}

/* Expiry is looked at once a second at most; an allocation may live that much longer. */
void chq_turn_note_deadline(struct chq_turn *turn, uint64_t expires_us)
{
    uint64_t second = (expires_us / MICRO + 1) * MICRO;
    if (second < turn->deadline_us)
        turn->deadline_us = second;
}

static uint64_t hash_username(const struct chq_turn *turn, struct chq_bytes username)
{
    return chq_turn_hash64(turn->hash_key, username);
}

uint32_t chq_turn_find_credential(struct chq_turn *turn, struct chq_bytes username, uint8_t app)
{
    uint64_t hash = hash_username(turn, username);
    for (uint32_t cursor = 0;;) {
        uint32_t slot = chq_turn_index_next(&turn->by_username, hash, &cursor);
        if (slot == CHQ_TURN_INDEX_NONE)
            return slot;
        const struct credential *c = turn->credentials[slot];
        if (c->app == app && chq_bytes_equal(chq_bytes(c->username, c->username_bytes), username))
            return slot;
    }
}

static enum chq_err new_credential_slot(struct chq_turn *turn, uint32_t *slot)
{
    for (uint32_t i = 0; i < turn->credentials_n; i++)
        if (!turn->credentials[i]->used) {
            *slot = i;
            return CHQ_OK;
        }
    if (turn->credentials_n == turn->config.credentials_max)
        return CHQ_LIMIT;
    struct credential *fresh = calloc(1, sizeof *fresh);
    if (fresh == NULL)
        return CHQ_NO_MEMORY;
    *slot = turn->credentials_n++;
    turn->credentials[*slot] = fresh;
    return CHQ_OK;
}

enum chq_err chq_turn_insert_credential(
    struct chq_turn *turn, struct chq_bytes username, uint8_t app, const uint8_t key[16], uint32_t *slot)
{
    CHQ_ASSERT(username.size <= CHQ_TURN_USERNAME_BYTES_MAX);
    CHQ_TRY(new_credential_slot(turn, slot));
    struct credential *c = turn->credentials[*slot];
    memset(c, 0, sizeof *c);
    c->used = true;
    memcpy(c->username, username.data, username.size);
    c->username_bytes = (uint32_t)username.size;
    memcpy(c->key, key, sizeof c->key);
    c->app = app;
    c->hash = hash_username(turn, username);
    chq_turn_index_add(&turn->by_username, c->hash, *slot);
    return CHQ_OK;
}

static void forget_credential(struct chq_turn *turn, uint32_t slot)
{
    struct credential *c = turn->credentials[slot];
    chq_turn_index_remove(&turn->by_username, c->hash, slot);
    sodium_memzero(c, sizeof *c);
}

void chq_turn_release_credential(struct chq_turn *turn, uint32_t slot)
{
    const struct credential *c = turn->credentials[slot];
    if (c->app != 0 && c->allocations == 0 && c->holds == 0)
        forget_credential(turn, slot);
}

static enum chq_err add_credential(struct chq_turn *turn, const struct chq_turn_event *in)
{
    struct chq_bytes username = in->credential.username, password = in->credential.password;
    if (username.size == 0 || username.size > CHQ_TURN_USERNAME_BYTES_MAX || password.size == 0 ||
        password.size > CHQ_TURN_PASSWORD_BYTES_MAX)
        return CHQ_LIMIT;
    CHQ_ASSERT(in->credential.gauge != NULL);
    uint8_t key[16];
    CHQ_TRY(chq_stun_long_term_key(
        &turn->config.crypto, username, chq_bytes(turn->realm, turn->realm_bytes), password, key));
    uint32_t slot = chq_turn_find_credential(turn, username, 0);
    if (slot == CHQ_TURN_INDEX_NONE)
        CHQ_TRY(chq_turn_insert_credential(turn, username, 0, key, &slot));
    struct credential *c = turn->credentials[slot];
    memcpy(c->key, key, sizeof key);
    c->gauge = in->credential.gauge;
    c->expires_us = in->credential.expires_us;
    sodium_memzero(key, sizeof key);
    return CHQ_OK;
}

static enum chq_err remove_credential(struct chq_turn *turn, struct chq_bytes username)
{
    uint32_t slot = chq_turn_find_credential(turn, username, 0);
    if (slot == CHQ_TURN_INDEX_NONE)
        return CHQ_NOT_FOUND;
    struct credential *c = turn->credentials[slot];
    for (uint32_t i = 0; i < turn->allocations_n && c->allocations > 0; i++)
        if (turn->allocations[i]->used && turn->allocations[i]->credential == slot)
            chq_turn_remove_allocation(turn, i);
    forget_credential(turn, slot);
    return CHQ_OK;
}

static bool port_is_free(const struct chq_turn *turn, uint8_t family, uint16_t port)
{
    return (turn->ports[family == 6][port / 8] >> port % 8 & 1) == 0;
}

static void mark_port(struct chq_turn *turn, uint8_t family, uint16_t port)
{
    turn->ports[family == 6][port / 8] |= (uint8_t)(1 << port % 8);
}

enum chq_err chq_turn_take_port(struct chq_turn *turn, uint8_t family, bool even, bool pair, uint16_t *port)
{
    uint32_t range = (uint32_t)turn->config.port_max - turn->config.port_min + 1;
    uint32_t at = 0;
    for (uint32_t i = 0; i < range + 32; i++) { /* random tries, then all ports from the last of them on */
        at = i < 32 ? (uint32_t)chq_random_below(&turn->config.random, range) : (at + 1) % range;
        uint16_t p = (uint16_t)(turn->config.port_min + at);
        if (((even || pair) && p % 2 != 0) || !port_is_free(turn, family, p))
            continue;
        if (pair && (p == turn->config.port_max || !port_is_free(turn, family, (uint16_t)(p + 1))))
            continue;
        mark_port(turn, family, p);
        if (pair)
            mark_port(turn, family, (uint16_t)(p + 1));
        *port = p;
        return CHQ_OK;
    }
    return CHQ_LIMIT;
}

void chq_turn_give_port_back(struct chq_turn *turn, uint8_t family, uint16_t port)
{
    turn->ports[family == 6][port / 8] &= (uint8_t) ~(1 << port % 8);
}

static void on_timeout(struct chq_turn *turn)
{
    if (turn->now_us < turn->deadline_us)
        return;
    turn->deadline_us = UINT64_MAX;
    for (uint32_t i = 0; i < turn->allocations_n; i++) {
        struct allocation *a = turn->allocations[i];
        if (!a->used || !a->open)
            continue;
        if (a->expires_us <= turn->now_us && turn->out->n + 2 <= CHQ_TURN_ACTIONS_MAX)
            chq_turn_remove_allocation(turn, i);
        else if (a->expires_us <= turn->now_us)
            turn->deadline_us = turn->now_us; /* more than one step can close: again at once */
        else
            chq_turn_note_deadline(turn, a->expires_us);
    }
}

static void on_client(struct chq_turn *turn, const struct chq_turn_event *in)
{
    struct chq_bytes datagram = in->client.datagram;
    enum chq_stun_kind kind = chq_stun_kind_of(datagram);
    if (kind == CHQ_STUN_KIND_CHANNEL_DATA) {
        chq_turn_on_channel_data(turn, &in->client.from, in->client.listener, datagram);
        return;
    }
    struct chq_stun_message m;
    if (kind == CHQ_STUN_KIND_MESSAGE && chq_stun_read(datagram, &m) == CHQ_OK) {
        if (m.class == CHQ_STUN_REQUEST) {
            struct request request = {.message = &m,
                .from = &in->client.from,
                .listener = in->client.listener,
                .stream = in->client.stream,
                .unix_s = in->client.unix_s};
            chq_turn_on_request(turn, &request);
            return;
        }
        if (m.class == CHQ_STUN_INDICATION && m.method == CHQ_STUN_SEND) {
            chq_turn_on_send(turn, &m, &in->client.from, in->client.listener);
            return;
        }
    }
    turn->stats.dropped_packets++;
}

enum chq_err chq_turn_step(
    struct chq_turn *turn, const struct chq_turn_event *in, struct chq_turn_actions *out)
{
    out->n = 0;
    turn->out = out;
    turn->now_us = in->now_us;
    switch (in->type) {
    case CHQ_TURN_FROM_CLIENT: on_client(turn, in); break;
    case CHQ_TURN_FROM_PEER:
        chq_turn_on_peer(turn, in->peer.allocation, &in->peer.from, in->peer.datagram);
        break;
    case CHQ_TURN_PORT_OPENED: chq_turn_on_port(turn, in->port.allocation, in->port.result); break;
    case CHQ_TURN_CREDENTIAL_ADDED: return add_credential(turn, in);
    case CHQ_TURN_CREDENTIAL_REMOVED: return remove_credential(turn, in->removed.username);
    case CHQ_TURN_CLIENT_GONE: {
        uint32_t slot = chq_turn_find_allocation(turn, &in->gone.from, in->gone.listener);
        if (slot != CHQ_TURN_INDEX_NONE)
            chq_turn_remove_allocation(turn, slot);
        break;
    }
    case CHQ_TURN_TIMEOUT: on_timeout(turn); break;
    }
    return CHQ_OK;
}

uint64_t chq_turn_deadline_us(const struct chq_turn *turn)
{
    return turn->deadline_us;
}

bool chq_turn_serves(struct chq_turn *turn, const struct chq_address *from, uint8_t listener)
{
    return chq_turn_find_allocation(turn, from, listener) != CHQ_TURN_INDEX_NONE;
}

const struct chq_turn_stats *chq_turn_stats(const struct chq_turn *turn)
{
    return &turn->stats;
}
