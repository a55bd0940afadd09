/* SPDX-License-Identifier: Apache-2.0 */
/* What RFC 8656 and the relay's own rules promise: allocations, permissions, channels, data. */
#include "relay/turn/hash.h"
#include "relay/turn/turn.h"
#include "turn_world.h"
#include "unit.h"

static struct chq_turn_hash *hash;
static const struct chq_address client = {.family = 4, .port = 4000, .ip = {9, 9, 9, 9}};
static const struct chq_address other = {.family = 4, .port = 4001, .ip = {9, 9, 9, 9}};
static const struct chq_address peer = {.family = 4, .port = 7000, .ip = {8, 8, 8, 8}};
static const struct chq_address peer2 = {.family = 4, .port = 7001, .ip = {8, 8, 8, 8}};
static const struct chq_address stranger = {.family = 4, .port = 7000, .ip = {8, 8, 8, 9}};
static const struct chq_address peer6 = {.family = 6, .port = 7000, .ip = {0x2a, [15] = 1}};

static int fresh_world(void **state)
{
    static struct world world;
    const struct chq_stun_crypto crypto = chq_turn_hash_functions(hash);
    world_init(&world, 1, &crypto);
    if (chq_turn_new(&world.config, &world.turn) != CHQ_OK ||
        world_add_user(&world, "ana", "secret") != CHQ_OK)
        return -1;
    *state = &world;
    return 0;
}

static int end_world(void **state)
{
    struct world *world = *state;
    chq_turn_free(world->turn);
    world->turn = NULL;
    return 0;
}

static void allocates_a_relayed_address(void **state)
{
    struct world *world = *state;
    assert_int_equal(world_allocate(world, &client), 0);
    const struct chq_stun_message *m = &world->reply;
    assert_true(chq_address_same_host(&m->relayed, &world->config.relay[0]));
    assert_in_range(m->relayed.port, 50000, 50009);
    assert_true(chq_address_equal(&m->mapped, &client));
    assert_int_equal(m->lifetime_s, 600);
    uint8_t key[16];
    assert_int_equal(chq_stun_long_term_key(&world->config.crypto, chq_bytes_text("ana"),
                         chq_bytes_text("chasqui"), chq_bytes_text("secret"), key),
        CHQ_OK);
    assert_int_equal(chq_stun_check_integrity(m, &world->config.crypto, chq_bytes(key, 16)), CHQ_OK);
    assert_int_equal(m->has & (CHQ_STUN_HAS_SOFTWARE | CHQ_STUN_HAS_FINGERPRINT), 0);
    assert_int_equal(chq_turn_stats(world->turn)->allocations, 1);
}

static void answers_a_retransmitted_allocate_the_same(void **state)
{
    struct world *world = *state;
    uint8_t request[256], reply[256];
    assert_int_equal(world_allocate(world, &client), 0);
    size_t request_bytes = world->w.size, reply_bytes = world->sent_bytes;
    memcpy(request, world->storage, request_bytes);
    memcpy(reply, world->sent, reply_bytes);
    world->now_us += 500000;
    world_from_client(world, &client, chq_bytes(request, request_bytes));
    assert_int_equal(world->sent_bytes, reply_bytes);
    assert_memory_equal(world->sent, reply, reply_bytes);
    assert_int_equal(world->opened, 1);
    assert_int_equal(world_allocate(world, &client), 437); /* another request: mismatch */
}

static void refuses_what_it_cannot_allocate(void **state)
{
    struct world *world = *state;
    static const struct {
        int number;
        uint32_t transport; /* 0: none */
        uint16_t type; /* 0: none */
        uint8_t value[8];
        size_t bytes;
        int code;
    } rows[] = {
        {1, 0, 0, {0}, 0, 400},
        {2, 6, 0, {0}, 0, 442}, /* TCP */
        {3, 17, CHQ_STUN_DONT_FRAGMENT, {0}, 0, 420},
        {4, 17, 0x7FFF, {0}, 4, 420},
        {5, 17, CHQ_STUN_RESERVATION_TOKEN, {1, 2, 3, 4, 5, 6, 7, 8}, 8, 508},
        {6, 17, CHQ_STUN_ADDITIONAL_ADDRESS_FAMILY, {1}, 4, 400},
        {7, 17, CHQ_STUN_REQUESTED_ADDRESS_FAMILY, {3}, 4, 440},
        {8, 17, CHQ_STUN_REQUESTED_ADDRESS_FAMILY, {0}, 4, 440},
        {9, 17, CHQ_STUN_PASSWORD_ALGORITHM, {0, 2, 0, 0}, 4, 400},
    };
    assert_int_equal(world_challenge(world, &client), 401);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        world_begin(world, CHQ_STUN_ALLOCATE, CHQ_STUN_REQUEST);
        if (rows[i].transport > 0)
            chq_stun_write_u32(&world->w, CHQ_STUN_REQUESTED_TRANSPORT, rows[i].transport << 24);
        if (rows[i].type > 0)
            chq_stun_write(&world->w, rows[i].type, chq_bytes(rows[i].value, rows[i].bytes));
        world_sign(world, "ana", "secret");
        int code = world_send(world, &client);
        if (code != rows[i].code)
            fail_msg("row %d: %d", rows[i].number, code);
        if (code == 420)
            assert_int_equal(chq_load_u16(world->reply.unknown_attributes.data), rows[i].type);
    }
    assert_int_equal(world->opened, 0);
    assert_int_equal(chq_turn_stats(world->turn)->allocations, 0);
}

static void offers_even_ports_and_ipv6(void **state)
{
    struct world *world = *state;
    for (uint16_t i = 0; i < 4; i++) {
        struct chq_address from = client;
        from.port = (uint16_t)(4100 + i);
        assert_int_equal(world_challenge(world, &from), 401);
        world_begin(world, CHQ_STUN_ALLOCATE, CHQ_STUN_REQUEST);
        chq_stun_write_u32(&world->w, CHQ_STUN_REQUESTED_TRANSPORT, 17u << 24);
        if (i == 3)
            chq_stun_write_u32(&world->w, CHQ_STUN_REQUESTED_ADDRESS_FAMILY, 2u << 24);
        else
            chq_stun_write(&world->w, CHQ_STUN_EVEN_PORT, chq_bytes("\0", 1));
        world_sign(world, "ana", "secret");
        assert_int_equal(world_send(world, &from), 0);
        assert_int_equal(world->reply.relayed.family, i == 3 ? 6 : 4);
        if (i < 3)
            assert_int_equal(world->reply.relayed.port % 2, 0);
        else {
            assert_int_equal(world_permit(world, &from, &peer), 443); /* IPv4 peer of an IPv6 allocation */
            assert_int_equal(world_permit(world, &from, &peer6), 0);
        }
    }
    world->config.relay[1].family = 0; /* a relay without IPv6 */
    chq_turn_free(world->turn);
    assert_int_equal(chq_turn_new(&world->config, &world->turn), CHQ_OK);
    assert_int_equal(world_add_user(world, "ana", "secret"), CHQ_OK);
    assert_int_equal(world_challenge(world, &client), 401);
    world_begin(world, CHQ_STUN_ALLOCATE, CHQ_STUN_REQUEST);
    chq_stun_write_u32(&world->w, CHQ_STUN_REQUESTED_TRANSPORT, 17u << 24);
    chq_stun_write_u32(&world->w, CHQ_STUN_REQUESTED_ADDRESS_FAMILY, 2u << 24);
    world_sign(world, "ana", "secret");
    assert_int_equal(world_send(world, &client), 440);
}

static void keeps_to_its_quotas(void **state)
{
    struct world *world = *state;
    struct chq_address from = client;
    for (int i = 0; i < 4; i++, from.port++)
        assert_int_equal(world_allocate(world, &from), 0);
    assert_int_equal(world_allocate(world, &from), 486); /* four per credential */
    from.port = client.port;
    assert_int_equal(world_challenge(world, &from), 401);
    assert_int_equal(world_refresh(world, &from, 0), 0);
    from.port = 5000;
    assert_int_equal(world_allocate(world, &from), 0); /* one was given back */

    world->config.allocations_per_prefix_max = 2;
    chq_turn_free(world->turn);
    assert_int_equal(chq_turn_new(&world->config, &world->turn), CHQ_OK);
    assert_int_equal(world_add_user(world, "ana", "secret"), CHQ_OK);
    const struct chq_address neighbour = chq_address_ip4(9, 9, 9, 200, 1),
                             afar = chq_address_ip4(9, 9, 8, 9, 1);
    assert_int_equal(world_allocate(world, &client), 0);
    assert_int_equal(world_allocate(world, &neighbour), 0);
    assert_int_equal(world_allocate(world, &other), 486); /* two in this /24 */
    assert_int_equal(world_allocate(world, &afar), 0);
    world->config.allocations_per_prefix_max = 1000;

    world->config.port_max = 50001; /* two ports for all */
    chq_turn_free(world->turn);
    assert_int_equal(chq_turn_new(&world->config, &world->turn), CHQ_OK);
    assert_int_equal(world_add_user(world, "ana", "secret"), CHQ_OK);
    assert_int_equal(world_allocate(world, &client), 0);
    uint16_t first = world->last_port;
    assert_int_equal(world_allocate(world, &other), 0);
    assert_int_not_equal(first, world->last_port);
    assert_int_equal(world_allocate(world, &from), 508);
}

static void tries_other_ports_and_gives_up_cleanly(void **state)
{
    struct world *world = *state;
    world->port_results[0] = world->port_results[1] = CHQ_TURN_PORT_TAKEN;
    world->port_results_n = 2;
    assert_int_equal(world_allocate(world, &client), 0);
    assert_int_equal(world->reply.relayed.port, world->last_port);
    for (unsigned i = 0; i < 16; i++)
        world->port_results[i] = i < 8 ? CHQ_TURN_PORT_TAKEN : CHQ_TURN_PORT_NONE;
    world->port_results_n = 9;
    world->port_results_at = 0;
    assert_int_equal(world_allocate(world, &other), 508); /* after eight tries */
    assert_int_equal(world->port_results_at, 8);
    assert_int_equal(world_allocate(world, &other), 508); /* out of descriptors */
    assert_int_equal(chq_turn_stats(world->turn)->allocations, 1);
    assert_int_equal(world->closed, 0);
    assert_int_equal(world_allocate(world, &other), 0); /* and nothing was lost by it */
}

static void refresh_moves_the_end(void **state)
{
    struct world *world = *state;
    static const struct {
        uint32_t asked, granted;
    } rows[] = {{1, 600}, {600, 600}, {1200, 1200}, {3600, 3600}, {100000, 3600}};
    assert_int_equal(world_allocate(world, &client), 0);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_int_equal(world_refresh(world, &client, rows[i].asked), 0);
        assert_int_equal(world->reply.lifetime_s, rows[i].granted);
    }
    world_pass(world, 3599);
    assert_int_equal(world->closed, 0);
    world_pass(world, 3);
    assert_int_equal(world->closed, 1);
    assert_true(chq_turn_deadline_us(world->turn) == UINT64_MAX);
    assert_int_equal(world_challenge(world, &client), 401);
    assert_int_equal(world_refresh(world, &client, 600), 437);

    assert_int_equal(world_allocate(world, &client), 0);
    assert_int_equal(world_refresh(world, &client, 0), 0);
    assert_int_equal(world->reply.lifetime_s, 0);
    assert_int_equal(world->closed, 2);
    assert_int_equal(world_refresh(world, &client, 0), 437);
    assert_int_equal(world_allocate(world, &client), 0);
    world_begin(world, CHQ_STUN_REFRESH, CHQ_STUN_REQUEST);
    chq_stun_write_u32(&world->w, CHQ_STUN_REQUESTED_ADDRESS_FAMILY, 2u << 24);
    world_sign(world, "ana", "secret");
    assert_int_equal(world_send(world, &client), 443);
}

/* A connection that closes takes its allocation with it, and only its own. */
static void a_closed_connection_ends_its_allocation(void **state)
{
    struct world *world = *state;
    assert_int_equal(world_allocate(world, &client), 0);
    for (uint8_t listener = 0; listener < 2;
         listener++) { /* the same address on another listener is another */
        struct chq_turn_event gone = {
            .type = CHQ_TURN_CLIENT_GONE, .gone = {.from = client, .listener = (uint8_t)(1 - listener)}};
        assert_true(chq_turn_serves(world->turn, &client, 0));
        assert_false(chq_turn_serves(world->turn, &client, 1));
        assert_int_equal(world_step(world, gone), CHQ_OK);
        assert_int_equal(world->closed, listener);
    }
    assert_false(chq_turn_serves(world->turn, &client, 0));
    assert_int_equal(
        world_step(world, (struct chq_turn_event){.type = CHQ_TURN_CLIENT_GONE, .gone = {.from = client}}),
        CHQ_OK);
    assert_int_equal(world->closed, 1);
}

static void ports_come_back(void **state)
{
    struct world *world = *state;
    for (int i = 0; i < 25; i++) { /* of ten */
        assert_int_equal(world_allocate(world, &client), 0);
        if (i % 2)
            world_pass(world, 602);
        else
            assert_int_equal(world_refresh(world, &client, 0), 0);
    }
    assert_int_equal(world->closed, 25);
}

/* More than one step can close at once. */
static void many_allocations_end_together(void **state)
{
    struct world *world = *state;
    char name[16];
    world->config.allocations_max = 200;
    world->config.credentials_max = 50;
    world->config.port_max = 50199;
    chq_turn_free(world->turn);
    assert_int_equal(chq_turn_new(&world->config, &world->turn), CHQ_OK);
    struct chq_address from = client;
    for (int i = 0; i < 50; i++) {
        (void)snprintf(name, sizeof name, "user%d", i);
        assert_int_equal(world_add_user(world, name, "secret"), CHQ_OK);
        for (int j = 0; j < 3; j++, from.port++) {
            assert_int_equal(world_challenge(world, &from), 401);
            world_begin(world, CHQ_STUN_ALLOCATE, CHQ_STUN_REQUEST);
            chq_stun_write_u32(&world->w, CHQ_STUN_REQUESTED_TRANSPORT, 17u << 24);
            world_sign(world, name, "secret");
            assert_int_equal(world_send(world, &from), 0);
        }
    }
    assert_int_equal(world->opened, 150);
    world_pass(world, 602);
    assert_int_equal(world->closed, 150);
    assert_int_equal(chq_turn_stats(world->turn)->allocations, 0);
    for (int i = 0; i < 50; i++) {
        (void)snprintf(name, sizeof name, "user%d", i);
        assert_int_equal(world_remove_user(world, name), CHQ_OK);
    }
}

static void an_allocation_belongs_to_its_user(void **state)
{
    struct world *world = *state;
    assert_int_equal(world_add_user(world, "bo", "other"), CHQ_OK);
    assert_int_equal(world_allocate(world, &client), 0);
    world_begin(world, CHQ_STUN_REFRESH, CHQ_STUN_REQUEST);
    world_sign(world, "bo", "other");
    assert_int_equal(world_send(world, &client), 441);
    world_begin(world, CHQ_STUN_CREATE_PERMISSION, CHQ_STUN_REQUEST);
    chq_stun_write_address(&world->w, CHQ_STUN_XOR_PEER_ADDRESS, &peer);
    world_sign(world, "bo", "other");
    assert_int_equal(world_send(world, &client), 441);
    assert_int_equal(world_permit(world, &other, &peer), 438); /* the nonce is the other address's */
    assert_int_equal(world_permit(world, &other, &peer), 437); /* with its own: no allocation there */
}

static void permissions_open_and_close(void **state)
{
    struct world *world = *state;
    assert_int_equal(world_allocate(world, &client), 0);
    uint32_t allocation = world->last_allocation;
    assert_false(world_send_data(world, &client, &peer, "early"));
    assert_false(world_peer_sends(world, allocation, &peer, "early"));
    assert_int_equal(world_permit(world, &client, &peer), 0);
    assert_true(world_send_data(world, &client, &peer, "now"));
    assert_true(world_send_data(world, &client, &peer2, "any port of that host"));
    assert_false(world_send_data(world, &client, &stranger, "no"));
    assert_false(world_peer_sends(world, allocation, &stranger, "no"));
    assert_true(world_peer_sends(world, allocation, &peer2, "yes"));
    assert_int_equal(world->reply.method, CHQ_STUN_DATA);
    assert_true(chq_address_equal(&world->reply.peers[0], &peer2));
    assert_true(chq_bytes_equal(world->reply.data, chq_bytes_text("yes")));
    world_pass(world, 299);
    assert_true(world_send_data(world, &client, &peer, "still"));
    world_pass(world, 1);
    assert_false(world_send_data(world, &client, &peer, "too late"));
    assert_false(world_peer_sends(world, allocation, &peer, "too late"));
    assert_int_equal(world_permit(world, &client, &peer), 0);
    assert_true(world_send_data(world, &client, &peer, "again"));
}

static void permissions_are_all_or_nothing(void **state)
{
    struct world *world = *state;
    const struct chq_address bad[] = {chq_address_ip4(127, 0, 0, 1, 80),
        chq_address_ip4(169, 254, 169, 254, 80), chq_address_ip4(198, 51, 100, 1, 50001),
        chq_address_ip4(8, 8, 4, 4, 80)};
    assert_int_equal(world_allocate(world, &client), 0);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        world_begin(world, CHQ_STUN_CREATE_PERMISSION, CHQ_STUN_REQUEST);
        chq_stun_write_address(&world->w, CHQ_STUN_XOR_PEER_ADDRESS, &peer);
        chq_stun_write_address(&world->w, CHQ_STUN_XOR_PEER_ADDRESS, &bad[i]);
        world_sign(world, "ana", "secret");
        assert_int_equal(world_send(world, &client), 403);
        assert_int_equal(world_bind(world, &client, 0x4000, &bad[i]), 403);
        assert_false(world_send_data(world, &client, &bad[i], "no"));
    }
    assert_false(world_send_data(world, &client, &peer, "not even the good one"));
    world_begin(world, CHQ_STUN_CREATE_PERMISSION, CHQ_STUN_REQUEST);
    world_sign(world, "ana", "secret");
    assert_int_equal(world_send(world, &client), 400);
    assert_int_equal(world_permit(world, &client, &peer6), 443);

    struct chq_address host = chq_address_ip4(8, 8, 9, 0, 1);
    for (unsigned i = 0; i < 64; i++, host.ip[3]++)
        assert_int_equal(world_permit(world, &client, &host), 0);
    assert_int_equal(world_permit(world, &client, &host), 508);
    assert_int_equal(world_bind(world, &client, 0x4000, &host), 508);
    host.ip[3]--;
    assert_int_equal(world_permit(world, &client, &host), 0); /* a refresh needs no room */
    world_pass(world, 300);
    assert_int_equal(world_permit(world, &client, &peer), 0); /* expired ones make room */
}

static void channels_carry_both_ways(void **state)
{
    struct world *world = *state;
    assert_int_equal(world_allocate(world, &client), 0);
    uint32_t allocation = world->last_allocation;
    assert_false(world_send_channel(world, &client, 0x4000, "early"));
    assert_int_equal(world_bind(world, &client, 0x4000, &peer), 0);
    assert_true(world_send_channel(world, &client, 0x4000, "over"));
    assert_true(chq_address_equal(&world->sent_to, &peer));
    assert_true(world_peer_sends(world, allocation, &peer, "back"));
    assert_memory_equal(world->sent,
        "\x40\x00\x00\x04"
        "back",
        8);
    assert_true(world_peer_sends(world, allocation, &peer2, "other port"));
    assert_int_equal(world->reply.method, CHQ_STUN_DATA); /* no channel to that port */
    assert_int_equal(world->sent_bytes % 4, 0);
    assert_false(world_send_channel(world, &client, 0x4001, "no such channel"));
    assert_false(world_send_channel(world, &other, 0x4000, "another client's"));
    assert_int_equal(world_bind(world, &client, 0x4001, &peer2), 0);
    for (int i = 0; i < 3; i++) {
        assert_true(world_send_channel(world, &client, 0x4001, "b"));
        assert_int_equal(world->sent_to.port, peer2.port);
        assert_true(world_send_channel(world, &client, 0x4000, "a"));
        assert_int_equal(world->sent_to.port, peer.port);
        assert_true(world_peer_sends(world, allocation, &peer2, "2"));
        assert_int_equal(chq_load_u16(world->sent), 0x4001);
    }
    assert_true(world_send_channel(world, &client, 0x4000, "")); /* empty datagrams are datagrams */
    assert_true(world_peer_sends(world, allocation, &peer, ""));
    assert_int_equal(world->sent_bytes, 4);
}

static void channel_bind_refuses_conflicts(void **state)
{
    struct world *world = *state;
    static const uint16_t bad[] = {0, 0x3FFF, 0x8000, 0xFFFF};
    assert_int_equal(world_allocate(world, &client), 0);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(world_bind(world, &client, bad[i], &peer), 400);
    struct chq_address no_port = peer;
    no_port.port = 0;
    assert_int_equal(world_bind(world, &client, 0x4000, &no_port), 400);
    assert_int_equal(world_bind(world, &client, 0x4000, &peer6), 443);
    assert_int_equal(world_bind(world, &client, 0x4000, &peer), 0);
    assert_int_equal(world_bind(world, &client, 0x4000, &peer), 0);
    assert_int_equal(world_bind(world, &client, 0x4000, &peer2), 400);
    assert_int_equal(world_bind(world, &client, 0x4001, &peer), 400);
    assert_int_equal(world_bind(world, &client, 0x7FFF, &peer2), 0); /* RFC 5766's range */
    for (uint16_t i = 0; i < 62; i++) {
        struct chq_address more = peer;
        more.port = (uint16_t)(8000 + i);
        assert_int_equal(world_bind(world, &client, (uint16_t)(0x4100 + i), &more), 0);
    }
    struct chq_address more = peer;
    more.port = 9000;
    assert_int_equal(world_bind(world, &client, 0x4200, &more), 508);
    world_begin(world, CHQ_STUN_CHANNEL_BIND, CHQ_STUN_REQUEST);
    chq_stun_write_channel(&world->w, 0x4000);
    world_sign(world, "ana", "secret");
    assert_int_equal(world_send(world, &client), 400);
}

static void channels_expire_and_rest(void **state)
{
    struct world *world = *state;
    assert_int_equal(world_allocate(world, &client), 0);
    assert_int_equal(world_refresh(world, &client, 3600), 0);
    assert_int_equal(world_bind(world, &client, 0x4000, &peer), 0);
    world_pass(world, 300); /* the permission ended, the channel did not */
    assert_true(world_send_channel(world, &client, 0x4000, "x"));
    assert_false(world_peer_sends(world, world->last_allocation, &peer, "x"));
    assert_int_equal(world_permit(world, &client, &peer), 0);
    world_pass(world, 299);
    assert_true(world_peer_sends(world, world->last_allocation, &peer, "x"));
    assert_int_equal(chq_load_u16(world->sent), 0x4000);
    world_pass(world, 1); /* 600 s */
    assert_false(world_send_channel(world, &client, 0x4000, "x"));
    assert_int_equal(world_challenge(world, &client), 401);
    assert_int_equal(world_permit(world, &client, &peer), 0);
    assert_true(world_peer_sends(world, world->last_allocation, &peer, "x"));
    assert_int_equal(world->reply.method, CHQ_STUN_DATA);
    assert_int_equal(world_bind(world, &client, 0x4000, &peer2), 400); /* for five minutes to nobody else */
    assert_int_equal(world_bind(world, &client, 0x4001, &peer), 400);
    world_pass(world, 299);
    assert_int_equal(world_bind(world, &client, 0x4000, &peer2), 400);
    world_pass(world, 1);
    assert_int_equal(world_bind(world, &client, 0x4000, &peer2), 0);
    assert_int_equal(world_bind(world, &client, 0x4001, &peer), 0);
    world_pass(world, 590);
    assert_int_equal(world_challenge(world, &client), 401);
    assert_int_equal(world_bind(world, &client, 0x4000, &peer2), 0); /* refreshed in time */
    world_pass(world, 20);
    assert_true(world_send_channel(world, &client, 0x4000, "x"));
    assert_false(world_send_channel(world, &client, 0x4001, "x"));
    assert_int_equal(world_bind(world, &client, 0x4001, &peer), 0); /* the same pair may come back at once */
    assert_true(world_send_channel(world, &client, 0x4001, "x"));
}

static void carries_what_is_paid_and_no_byte_more(void **state)
{
    struct world *world = *state;
    assert_int_equal(world_allocate(world, &client), 0);
    uint32_t allocation = world->last_allocation;
    assert_int_equal(world_bind(world, &client, 0x4000, &peer), 0);
    assert_int_equal(chq_gauge_carried(&world->gauge), 0); /* only data counts */
    chq_gauge_set_limit(&world->gauge, 20);
    assert_true(world_send_channel(world, &client, 0x4000, "12345"));
    assert_true(world_send_data(world, &client, &peer, "12345"));
    assert_true(world_peer_sends(world, allocation, &peer, "123456"));
    assert_int_equal(chq_gauge_carried(&world->gauge), 16);
    assert_false(world_send_channel(world, &client, 0x4000, "12345"));
    assert_false(world_send_data(world, &client, &peer, "12345"));
    assert_false(world_peer_sends(world, allocation, &peer, "12345"));
    assert_int_equal(chq_gauge_carried(&world->gauge), 16);
    assert_true(world_peer_sends(world, allocation, &peer2, "1234"));
    assert_int_equal(chq_gauge_carried(&world->gauge), 20);
    assert_int_equal(chq_turn_stats(world->turn)->dropped_unpaid_packets, 3);
    assert_false(world_peer_sends(world, allocation, &stranger, "1")); /* refused, so not charged either */
    chq_gauge_set_limit(&world->gauge, 25);
    assert_true(world_send_channel(world, &client, 0x4000, "12345"));
    assert_int_equal(world_refresh(world, &client, 600), 0); /* control messages are free */
    const struct chq_turn_stats *stats = chq_turn_stats(world->turn);
    assert_int_equal(stats->to_peer_bytes + stats->to_client_bytes, chq_gauge_carried(&world->gauge));
}

static void a_removed_credential_takes_its_allocations(void **state)
{
    struct world *world = *state;
    struct chq_gauge second;
    chq_gauge_init(&second, 0, 100);
    assert_int_equal(world_allocate(world, &client), 0);
    assert_int_equal(world_bind(world, &client, 0x4000, &peer), 0);
    assert_int_equal(world_add_user_with(world, "ana", "fresh", &second, UINT64_MAX), CHQ_OK); /* replaced */
    assert_true(world_send_channel(world, &client, 0x4000, "12345"));
    assert_int_equal(chq_gauge_carried(&world->gauge), 0);
    assert_int_equal(chq_gauge_carried(&second), 5);
    assert_int_equal(world_refresh(world, &client, 600), 401); /* the old password */
    assert_int_equal(world_remove_user(world, "ana"), CHQ_OK);
    assert_int_equal(world->closed, 1);
    assert_false(world_send_channel(world, &client, 0x4000, "12345"));
    assert_int_equal(world_remove_user(world, "ana"), CHQ_NOT_FOUND);
    assert_int_equal(chq_turn_stats(world->turn)->allocations, 0);
}

static void credentials_are_bounded(void **state)
{
    struct world *world = *state;
    char text[CHQ_TURN_USERNAME_BYTES_MAX + 2];
    memset(text, 'a', sizeof text);
    text[sizeof text - 1] = '\0';
    assert_int_equal(world_add_user(world, text, "x"), CHQ_LIMIT);
    assert_int_equal(world_add_user(world, "x", text), CHQ_LIMIT);
    assert_int_equal(world_add_user(world, "", "x"), CHQ_LIMIT);
    assert_int_equal(world_add_user(world, "x", ""), CHQ_LIMIT);
    assert_int_equal(world_add_user(world, text + 1, text + 1), CHQ_OK);
    assert_int_equal(world_add_user(world, "c", "x"), CHQ_OK);
    assert_int_equal(world_add_user(world, "d", "x"), CHQ_OK);
    assert_int_equal(world_add_user(world, "e", "x"), CHQ_LIMIT);
    assert_int_equal(world_remove_user(world, "c"), CHQ_OK);
    assert_int_equal(world_add_user(world, "e", "x"), CHQ_OK);
    assert_int_equal(world_allocate(world, &client), 0);
}

static void bad_configurations_are_refused(void **state)
{
    struct world *world = *state;
    struct chq_turn *turn;
    const struct chq_turn_config good = world->config;
    struct chq_turn_config c[12];
    for (size_t i = 0; i < 12; i++)
        c[i] = good;
    c[0].realm = "";
    c[1].realm = "ninechars";
    c[2].realm = "a\"b";
    c[3].port_min = 50010;
    c[4].relay[0].family = c[4].relay[1].family = 0;
    c[5].allocations_max = 0;
    c[6].allocations_per_credential_max = CHQ_TURN_ACTIONS_MAX;
    c[7].unauthenticated_per_s = 0;
    c[8].port_min = 0;
    c[9].credentials_max = 0;
    c[10].realm = "a\nb";
    c[11].allocations_per_prefix_max = 0;
    for (size_t i = 0; i < 12; i++) {
        enum chq_err want = i == 2 || i == 4 || i == 10 ? CHQ_MALFORMED : CHQ_LIMIT;
        if (chq_turn_new(&c[i], &turn) != want || turn != NULL)
            fail_msg("row %zu", i);
    }
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

#define WORLD_TEST(name) cmocka_unit_test_setup_teardown(name, fresh_world, end_world)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WORLD_TEST(allocates_a_relayed_address),
        WORLD_TEST(answers_a_retransmitted_allocate_the_same),
        WORLD_TEST(refuses_what_it_cannot_allocate),
        WORLD_TEST(offers_even_ports_and_ipv6),
        WORLD_TEST(keeps_to_its_quotas),
        WORLD_TEST(tries_other_ports_and_gives_up_cleanly),
        WORLD_TEST(refresh_moves_the_end),
        WORLD_TEST(a_closed_connection_ends_its_allocation),
        WORLD_TEST(ports_come_back),
        WORLD_TEST(many_allocations_end_together),
        WORLD_TEST(an_allocation_belongs_to_its_user),
        WORLD_TEST(permissions_open_and_close),
        WORLD_TEST(permissions_are_all_or_nothing),
        WORLD_TEST(channels_carry_both_ways),
        WORLD_TEST(channel_bind_refuses_conflicts),
        WORLD_TEST(channels_expire_and_rest),
        WORLD_TEST(carries_what_is_paid_and_no_byte_more),
        WORLD_TEST(a_removed_credential_takes_its_allocations),
        WORLD_TEST(credentials_are_bounded),
        WORLD_TEST(bad_configurations_are_refused),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
