/* SPDX-License-Identifier: Apache-2.0 */
/* Two clients of one relay who see nothing of each other but their relayed addresses, and what an allocation must not
 * reach at the relay's own address. */
#include "relay/turn/hash.h"
#include "relay/turn/turn.h"
#include "turn_world.h"
#include "unit.h"

static struct chq_turn_hash *hash;
static struct chq_gauge gauges[2];
static const struct chq_address ana = {.family = 4, .port = 4000, .ip = {9, 9, 9, 9}};
static const struct chq_address bo = {.family = 4, .port = 4000, .ip = {7, 7, 7, 7}};

struct pair {
    struct world world;
    char nonces[2][64];
    struct chq_address relayed[2];
    uint32_t slots[2];
};

static const struct chq_address *const clients[] = {&ana, &bo};
static const char *const names[] = {"ana", "bo"};

/* One request with one attribute more, as client `who`. */
static int ask(
    struct pair *pair, int who, uint16_t method, const struct chq_address *peer, uint32_t lifetime_s)
{
    struct world *world = &pair->world;
    memcpy(world->nonce, pair->nonces[who], sizeof world->nonce);
    world_begin(world, method, CHQ_STUN_REQUEST);
    if (method == CHQ_STUN_ALLOCATE)
        chq_stun_write_u32(&world->w, CHQ_STUN_REQUESTED_TRANSPORT, 17u << 24);
    if (method == CHQ_STUN_REFRESH)
        chq_stun_write_u32(&world->w, CHQ_STUN_LIFETIME, lifetime_s);
    if (method == CHQ_STUN_CHANNEL_BIND)
        chq_stun_write_channel(&world->w, 0x4000);
    if (peer != NULL)
        chq_stun_write_address(&world->w, CHQ_STUN_XOR_PEER_ADDRESS, peer);
    world_sign(world, names[who], "secret");
    return world_send(world, clients[who]);
}

static int allocate(struct pair *pair, int who)
{
    struct world *world = &pair->world;
    if (world_challenge(world, clients[who]) != 401)
        return -1;
    memcpy(pair->nonces[who], world->nonce, sizeof world->nonce);
    int code = ask(pair, who, CHQ_STUN_ALLOCATE, NULL, 0);
    pair->relayed[who] = world->reply.relayed;
    pair->slots[who] = world->last_allocation;
    return code;
}

static int start(struct pair *pair)
{
    struct world *world = &pair->world;
    if (chq_turn_new(&world->config, &world->turn) != CHQ_OK)
        return -1;
    for (int i = 0; i < 2; i++) {
        chq_gauge_init(&gauges[i], 0, UINT64_MAX);
        if (world_add_user_with(world, names[i], "secret", &gauges[i], UINT64_MAX) != CHQ_OK ||
            allocate(pair, i) != 0)
            return -1;
    }
    return 0;
}

static int fresh_pair(void **state)
{
    static struct pair pair;
    const struct chq_stun_crypto crypto = chq_turn_hash_functions(hash);
    world_init(&pair.world, 1, &crypto);
    pair.world.config.filter.own[1] = pair.world.config.relay[0]; /* as the shell fills it in */
    pair.world.config.filter.own_count = 2;
    *state = &pair;
    return start(&pair);
}

static int end_pair(void **state)
{
    struct pair *pair = *state;
    chq_turn_free(pair->world.turn);
    return 0;
}

static void channels_meet(void **state)
{
    struct pair *pair = *state;
    struct world *world = &pair->world;
    assert_int_equal(ask(pair, 0, CHQ_STUN_CHANNEL_BIND, &pair->relayed[1], 0), 0);
    assert_false(world_send_channel(world, &ana, 0x4000, "early")); /* bo has no permission for it */
    assert_int_equal(world->sent_n, 0);
    assert_int_equal(ask(pair, 1, CHQ_STUN_CHANNEL_BIND, &pair->relayed[0], 0), 0);
    (void)world_send_channel(world, &ana, 0x4000, "to bo");
    assert_int_equal(world->sent_n, 1);
    assert_int_equal(world->sent_type, CHQ_TURN_TO_CLIENT); /* never through a socket */
    assert_true(chq_address_equal(&world->sent_to, &bo));
    assert_int_equal(world->sent_bytes, 9);
    assert_memory_equal(world->sent, "\x40\0\0\5to bo", 9);
    (void)world_send_channel(world, &bo, 0x4000, "back");
    assert_true(chq_address_equal(&world->sent_to, &ana));
    /* both pay: as sent and as received; what bo did not let in, ana paid alone */
    assert_int_equal(chq_gauge_carried(&gauges[0]), 5 + 5 + 4);
    assert_int_equal(chq_gauge_carried(&gauges[1]), 5 + 4);
    const struct chq_turn_stats *s = chq_turn_stats(world->turn);
    assert_int_equal(s->to_peer_bytes, 14);
    assert_int_equal(s->to_client_bytes, 9);
    chq_gauge_set_limit(&gauges[1], 9); /* bo's money is gone */
    (void)world_send_channel(world, &ana, 0x4000, "more");
    assert_int_equal(world->sent_n, 0);
    chq_gauge_set_limit(&gauges[0], 14 + 4);
    chq_gauge_set_limit(&gauges[1], UINT64_MAX);
    (void)world_send_channel(world, &ana, 0x4000, "more");
    assert_int_equal(world->sent_n, 0);
    assert_int_equal(chq_gauge_carried(&gauges[1]), 9);
}

static void indications_meet(void **state)
{
    struct pair *pair = *state;
    struct world *world = &pair->world;
    assert_int_equal(ask(pair, 0, CHQ_STUN_CREATE_PERMISSION, &pair->relayed[1], 0), 0);
    assert_int_equal(ask(pair, 1, CHQ_STUN_CREATE_PERMISSION, &pair->relayed[0], 0), 0);
    (void)world_send_data(world, &ana, &pair->relayed[1], "hello");
    assert_int_equal(world->sent_n, 1);
    assert_true(world->has_reply && chq_address_equal(&world->sent_to, &bo));
    assert_int_equal(world->reply.method, CHQ_STUN_DATA);
    assert_true(chq_address_equal(&world->reply.peers[0], &pair->relayed[0]));
    assert_true(chq_bytes_equal(world->reply.data, chq_bytes_text("hello")));
    /* one with a channel, one without */
    assert_int_equal(ask(pair, 1, CHQ_STUN_CHANNEL_BIND, &pair->relayed[0], 0), 0);
    (void)world_send_data(world, &ana, &pair->relayed[1], "again");
    assert_memory_equal(world->sent, "\x40\0\0\5again", 9);
    (void)world_send_channel(world, &bo, 0x4000, "reply");
    assert_int_equal(world->reply.method, CHQ_STUN_DATA);
}

/* Whoever comes from the network at bo's port is bo's peer only if it is ana's allocation or permitted. */
static void nothing_else_at_the_relay_is_reached(void **state)
{
    struct pair *pair = *state;
    struct world *world = &pair->world;
    struct chq_address own = world->config.relay[0];
    assert_int_equal(
        ask(pair, 0, CHQ_STUN_CREATE_PERMISSION, &pair->relayed[1], 0), 0); /* the host, so to say */
    for (uint32_t port = 1; port <= 65535; port += port == 1 ? 78 : port < 49990 || port > 50020 ? 331 : 1) {
        own.port = (uint16_t)port;
        if (own.port == pair->relayed[1].port)
            continue;
        int permit = ask(pair, 0, CHQ_STUN_CREATE_PERMISSION, &own, 0);
        int bind = ask(pair, 0, CHQ_STUN_CHANNEL_BIND, &own, 0);
        if (permit != 403 || bind != 403)
            fail_msg("port %u: %d %d", (unsigned)port, permit, bind); /* its own port is among them */
        (void)world_send_data(world, &ana, &own, "no");
        assert_int_equal(world->sent_n, 0);
    }
    own = world->config.filter.own[0]; /* another address of the machine, with a relayed port's number */
    own.port = pair->relayed[1].port;
    assert_int_equal(ask(pair, 0, CHQ_STUN_CREATE_PERMISSION, &own, 0), 403);
    assert_int_equal(chq_gauge_carried(&gauges[0]), 0);
}

static void it_ends_with_the_other_allocation(void **state)
{
    struct pair *pair = *state;
    struct world *world = &pair->world;
    assert_int_equal(ask(pair, 0, CHQ_STUN_CHANNEL_BIND, &pair->relayed[1], 0), 0);
    assert_int_equal(ask(pair, 1, CHQ_STUN_CHANNEL_BIND, &pair->relayed[0], 0), 0);
    assert_int_equal(ask(pair, 1, CHQ_STUN_REFRESH, NULL, 0), 0);
    (void)world_send_channel(world, &ana, 0x4000, "gone");
    (void)world_send_data(world, &ana, &pair->relayed[1], "gone");
    assert_int_equal(world->sent_n, 0);
    assert_int_equal(chq_gauge_carried(&gauges[0]), 0);
    assert_int_equal(ask(pair, 0, CHQ_STUN_CHANNEL_BIND, &pair->relayed[1], 0), 403);
    /* the operator's allow list is as before: such an address is a peer like any other */
    chq_turn_free(world->turn);
    world->config.filter.allow[0] = (struct chq_prefix){world->config.relay[0], 32};
    world->config.filter.allow_count = 1;
    assert_int_equal(start(pair), 0);
    struct chq_address service = world->config.relay[0];
    service.port = 80;
    assert_int_equal(ask(pair, 0, CHQ_STUN_CHANNEL_BIND, &service, 0), 0);
    assert_true(world_send_channel(world, &ana, 0x4000, "to the service"));
    assert_int_equal(
        ask(pair, 0, CHQ_STUN_CREATE_PERMISSION, &pair->relayed[0], 0), 403); /* but not itself */
}

static int set_up(void **state)
{
    (void)state;
    return chq_turn_hash_new(&hash) == CHQ_OK ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    chq_turn_hash_free(hash);
    return 0;
}

#define PAIR_TEST(name) cmocka_unit_test_setup_teardown(name, fresh_pair, end_pair)

int main(void)
{
    const struct CMUnitTest tests[] = {
        PAIR_TEST(channels_meet),
        PAIR_TEST(indications_meet),
        PAIR_TEST(nothing_else_at_the_relay_is_reached),
        PAIR_TEST(it_ends_with_the_other_allocation),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
