/* SPDX-License-Identifier: Apache-2.0 */
/* The less common ways to allocate (RFC 8656 section 7.2): both address families at once, an even port with the next one
 * reserved, and data that must not be fragmented. */
#include "relay/turn/hash.h"
#include "relay/turn/turn.h"
#include "turn_world.h"
#include "unit.h"

static struct chq_turn_hash *hash;
static const struct chq_address client = {.family = 4, .port = 4000, .ip = {9, 9, 9, 9}};
static const struct chq_address other = {.family = 4, .port = 4001, .ip = {9, 9, 9, 9}};
static const struct chq_address peer = {.family = 4, .port = 7000, .ip = {8, 8, 8, 8}};
static const struct chq_address peer6 = {.family = 6, .port = 7000, .ip = {0x2a, [15] = 1}};

static int fresh_world(void **state)
{
    static struct world world;
    const struct chq_stun_crypto crypto = chq_turn_hash_functions(hash);
    world_init(&world, 1, &crypto);
    world.config.can_set_dont_fragment = true;
    if (chq_turn_new(&world.config, &world.turn) != CHQ_OK ||
        world_add_user(&world, "ana", "secret") != CHQ_OK || world_add_user(&world, "bo", "secret") != CHQ_OK)
        return -1;
    *state = &world;
    return 0;
}

static int end_world(void **state)
{
    struct world *world = *state;
    chq_turn_free(world->turn);
    return 0;
}

/* An Allocate with one more attribute, or two; type 0: none. */
static int allocate_as(struct world *world, const char *user, const struct chq_address *from, uint16_t type,
    struct chq_bytes value, uint16_t type2, struct chq_bytes value2)
{
    if (world_challenge(world, from) != 401)
        return -1;
    world_begin(world, CHQ_STUN_ALLOCATE, CHQ_STUN_REQUEST);
    chq_stun_write_u32(&world->w, CHQ_STUN_REQUESTED_TRANSPORT, 17u << 24);
    if (type != 0)
        chq_stun_write(&world->w, type, value);
    if (type2 != 0)
        chq_stun_write(&world->w, type2, value2);
    world_sign(world, user, "secret");
    return world_send(world, from);
}

static int allocate(
    struct world *world, const struct chq_address *from, uint16_t type, const void *value, size_t size)
{
    return allocate_as(world, "ana", from, type, chq_bytes(value, size), 0, chq_bytes(NULL, 0));
}

/* Return the n-th attribute of that type in the last reply; size 0 where there is none. */
static struct chq_bytes attribute(const struct world *world, uint16_t type, unsigned n)
{
    struct chq_stun_attribute a;
    for (size_t at = CHQ_STUN_HEADER_BYTES; chq_stun_next(&world->reply, &at, &a);)
        if (a.type == type && n-- == 0)
            return a.value;
    return chq_bytes(NULL, 0);
}

static void both_families_at_once(void **state)
{
    struct world *world = *state;
    assert_int_equal(allocate(world, &client, CHQ_STUN_ADDITIONAL_ADDRESS_FAMILY, "\2\0\0\0", 4), 0);
    assert_int_equal(world->opened, 2);
    assert_int_equal(attribute(world, CHQ_STUN_XOR_RELAYED_ADDRESS, 0).size, 8);
    assert_int_equal(attribute(world, CHQ_STUN_XOR_RELAYED_ADDRESS, 1).size, 20);
    assert_int_equal(attribute(world, CHQ_STUN_ADDRESS_ERROR_CODE, 0).size, 0);
    assert_int_equal(chq_turn_stats(world->turn)->allocations, 1);
    uint32_t slot = world->last_allocation;
    assert_int_equal(world_permit(world, &client, &peer), 0);
    assert_int_equal(world_bind(world, &client, 0x4001, &peer6), 0);
    assert_true(world_send_data(world, &client, &peer, "four"));
    assert_true(world_send_channel(world, &client, 0x4001, "six"));
    assert_int_equal(world->sent_to.family, 6);
    assert_true(world_peer_sends(world, slot, &peer, "four"));
    assert_true(world_peer_sends(world, slot, &peer6, "six"));
    /* of two, one can be given back (section 8.2) */
    world_begin(world, CHQ_STUN_REFRESH, CHQ_STUN_REQUEST);
    chq_stun_write_u32(&world->w, CHQ_STUN_LIFETIME, 0);
    chq_stun_write_u32(&world->w, CHQ_STUN_REQUESTED_ADDRESS_FAMILY, 2u << 24);
    world_sign(world, "ana", "secret");
    assert_int_equal(world_send(world, &client), 0);
    assert_int_equal(world->closed, 1);
    assert_false(world_send_channel(world, &client, 0x4001, "six"));
    assert_int_equal(world_bind(world, &client, 0x4001, &peer6), 443);
    assert_true(world_send_data(world, &client, &peer, "four"));
    assert_int_equal(world_refresh(world, &client, 0), 0);
    assert_int_equal(world->closed, 2);
    assert_int_equal(chq_turn_stats(world->turn)->allocations, 0);
    assert_int_equal(chq_gauge_carried(&world->gauge), 4 + 3 + 4 + 3 + 4);
}

/* Of two families one is enough; the answer says why the other is missing. */
static void one_of_two_is_enough(void **state)
{
    struct world *world = *state;
    for (unsigned missing = 0; missing < 2; missing++) {
        world->port_results[0] = missing == 0 ? CHQ_TURN_PORT_NONE : CHQ_TURN_PORT_OK;
        world->port_results[1] = missing == 1 ? CHQ_TURN_PORT_NONE : CHQ_TURN_PORT_OK;
        world->port_results_n = 2;
        world->port_results_at = 0;
        assert_int_equal(allocate(world, &client, CHQ_STUN_ADDITIONAL_ADDRESS_FAMILY, "\2\0\0\0", 4), 0);
        assert_int_equal(world->reply.relayed.family, missing == 0 ? 6 : 4);
        assert_int_equal(attribute(world, CHQ_STUN_XOR_RELAYED_ADDRESS, 1).size, 0);
        struct chq_bytes error = attribute(world, CHQ_STUN_ADDRESS_ERROR_CODE, 0);
        assert_true(
            chq_bytes_equal(error, chq_bytes(missing == 0 ? (const void *)"\1\0\5\10" : "\2\0\5\10", 4)));
        assert_int_equal(world_refresh(world, &client, 0), 0);
    }
    world->port_results[0] = world->port_results[1] = CHQ_TURN_PORT_NONE;
    world->port_results_at = 0;
    assert_int_equal(allocate(world, &client, CHQ_STUN_ADDITIONAL_ADDRESS_FAMILY, "\2\0\0\0", 4), 508);
    assert_int_equal(world->opened, world->closed);
    world->config.relay[1].family = 0; /* a relay without IPv6 */
    chq_turn_free(world->turn);
    assert_int_equal(chq_turn_new(&world->config, &world->turn), CHQ_OK);
    assert_int_equal(world_add_user(world, "ana", "secret"), CHQ_OK);
    assert_int_equal(allocate(world, &client, CHQ_STUN_ADDITIONAL_ADDRESS_FAMILY, "\2\0\0\0", 4), 0);
    assert_true(chq_bytes_equal(attribute(world, CHQ_STUN_ADDRESS_ERROR_CODE, 0), chq_bytes("\2\0\4\50", 4)));
}

static void a_reserved_port_waits_for_its_token(void **state)
{
    struct world *world = *state;
    uint8_t token[8], wrong[8];
    const struct chq_bytes none = chq_bytes(NULL, 0);
    assert_int_equal(allocate(world, &client, CHQ_STUN_EVEN_PORT, "\200", 1), 0);
    uint16_t port = world->reply.relayed.port;
    assert_int_equal(port % 2, 0);
    assert_int_equal(world->reply.reservation_token.size, 8);
    memcpy(token, world->reply.reservation_token.data, 8);
    memcpy(wrong, token, 8);
    wrong[7] ^= 1;
    assert_int_equal(world->opened, 1);
    assert_int_equal(allocate(world, &other, CHQ_STUN_RESERVATION_TOKEN, wrong, 8), 508);
    assert_int_equal(
        allocate_as(world, "bo", &other, CHQ_STUN_RESERVATION_TOKEN, chq_bytes(token, 8), 0, none), 508);
    assert_int_equal(allocate(world, &other, CHQ_STUN_RESERVATION_TOKEN, token, 8), 0);
    assert_int_equal(world->reply.relayed.port, port + 1);
    assert_int_equal(world_refresh(world, &other, 0), 0);
    assert_int_equal(allocate(world, &other, CHQ_STUN_RESERVATION_TOKEN, token, 8), 508); /* used up */

    world_challenge(world, &client);
    assert_int_equal(world_refresh(world, &client, 0), 0);
    assert_int_equal(allocate(world, &client, CHQ_STUN_EVEN_PORT, "\200", 1), 0);
    memcpy(token, world->reply.reservation_token.data, 8);
    world_pass(world, 29);
    world->port_results[0] = CHQ_TURN_PORT_TAKEN; /* by another program meanwhile: there is no other choice */
    world->port_results_n = 1;
    world->port_results_at = 0;
    assert_int_equal(allocate(world, &other, CHQ_STUN_RESERVATION_TOKEN, token, 8), 508);
    world_challenge(world, &client);
    assert_int_equal(world_refresh(world, &client, 0), 0);
    assert_int_equal(allocate(world, &client, CHQ_STUN_EVEN_PORT, "\200", 1), 0);
    memcpy(token, world->reply.reservation_token.data, 8);
    world_pass(world, 30);
    assert_int_equal(allocate(world, &other, CHQ_STUN_RESERVATION_TOKEN, token, 8), 508); /* too late */
}

/* Ten ports are five pairs; whatever fails on the way, all of them come back. */
static void pairs_come_back(void **state)
{
    struct world *world = *state;
    struct chq_address from = client;
    for (int round = 0; round < 12; round++) {
        world->port_results[0] = round % 3 == 1 ? CHQ_TURN_PORT_TAKEN : CHQ_TURN_PORT_OK;
        world->port_results[0] = round % 3 == 2 ? CHQ_TURN_PORT_NONE : world->port_results[0];
        world->port_results_n = 1;
        world->port_results_at = 0;
        assert_int_equal(allocate(world, &from, CHQ_STUN_EVEN_PORT, "\200", 1), round % 3 == 2 ? 508 : 0);
        assert_int_equal(allocate(world, &other, CHQ_STUN_EVEN_PORT, "\200", 1), 0);
        assert_int_equal(allocate_as(world, "ana", &(struct chq_address){.family = 4, .port = 5},
                             CHQ_STUN_EVEN_PORT, chq_bytes("\200", 1), 0, chq_bytes(NULL, 0)),
            round % 3 == 2 ? 0 : 486); /* four a user, reserved ones counted */
        if (round % 3 == 2) {
            world_challenge(world, &(struct chq_address){.family = 4, .port = 5});
            assert_int_equal(world_refresh(world, &(struct chq_address){.family = 4, .port = 5}, 0), 0);
        } else {
            world_challenge(world, &from);
            assert_int_equal(world_refresh(world, &from, 0), 0);
        }
        world_challenge(world, &other);
        assert_int_equal(world_refresh(world, &other, 0), 0);
        world_pass(world, 31);
    }
    assert_int_equal(world->opened, world->closed);
    for (uint16_t i = 0; i < 4; i++) {
        from.port = (uint16_t)(6000 + i);
        assert_int_equal(allocate(world, &from, CHQ_STUN_EVEN_PORT, "\0", 1), 0);
    }
}

static void contradictions_are_bad_requests(void **state)
{
    struct world *world = *state;
    static const struct {
        int number;
        uint16_t type, type2;
        const char *value, *value2;
        size_t size, size2;
        int code;
    } rows[] = {
        {1, CHQ_STUN_RESERVATION_TOKEN, CHQ_STUN_EVEN_PORT, "12345678", "\0", 8, 1, 400},
        {2, CHQ_STUN_RESERVATION_TOKEN, CHQ_STUN_REQUESTED_ADDRESS_FAMILY, "12345678", "\1\0\0\0", 8, 4, 400},
        {3, CHQ_STUN_RESERVATION_TOKEN, CHQ_STUN_ADDITIONAL_ADDRESS_FAMILY, "12345678", "\2\0\0\0", 8, 4,
            400},
        {4, CHQ_STUN_REQUESTED_ADDRESS_FAMILY, CHQ_STUN_ADDITIONAL_ADDRESS_FAMILY, "\1\0\0\0", "\2\0\0\0", 4,
            4, 400},
        {5, CHQ_STUN_EVEN_PORT, CHQ_STUN_ADDITIONAL_ADDRESS_FAMILY, "\200", "\2\0\0\0", 1, 4, 400},
        {6, CHQ_STUN_ADDITIONAL_ADDRESS_FAMILY, 0, "\1\0\0\0", NULL, 4, 0, 400}, /* IPv4 is no addition */
        {7, CHQ_STUN_ADDITIONAL_ADDRESS_FAMILY, 0, "\3\0\0\0", NULL, 4, 0, 400},
        {8, CHQ_STUN_RESERVATION_TOKEN, 0, "\0\0\0\0\0\0\0\0", NULL, 8, 0,
            508}, /* no empty slot is a match */
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        int code = allocate_as(world, "ana", &client, rows[i].type, chq_bytes(rows[i].value, rows[i].size),
            rows[i].type2, chq_bytes(rows[i].value2, rows[i].size2));
        if (code != rows[i].code)
            fail_msg("row %d: %d", rows[i].number, code);
    }
    assert_int_equal(world->opened, 0);
}

static void a_retransmission_gets_the_same_token(void **state)
{
    struct world *world = *state;
    uint8_t request[256], reply[256];
    assert_int_equal(allocate(world, &client, CHQ_STUN_EVEN_PORT, "\200", 1), 0);
    size_t request_bytes = world->w.size, reply_bytes = world->sent_bytes;
    memcpy(request, world->storage, request_bytes);
    memcpy(reply, world->sent, reply_bytes);
    world_from_client(world, &client, chq_bytes(request, request_bytes));
    assert_int_equal(world->sent_bytes, reply_bytes);
    assert_memory_equal(world->sent, reply, reply_bytes);
}

/* Section 15: the server is asked at Allocate whether it can, and told with each Send. */
static void data_may_ask_not_to_be_fragmented(void **state)
{
    struct world *world = *state;
    assert_int_equal(allocate(world, &client, CHQ_STUN_DONT_FRAGMENT, NULL, 0), 0);
    assert_int_equal(world_permit(world, &client, &peer), 0);
    for (int dont = 0; dont < 2; dont++) {
        world_begin(world, CHQ_STUN_SEND, CHQ_STUN_INDICATION);
        chq_stun_write_address(&world->w, CHQ_STUN_XOR_PEER_ADDRESS, &peer);
        if (dont)
            chq_stun_write(&world->w, CHQ_STUN_DONT_FRAGMENT, chq_bytes(NULL, 0));
        chq_stun_write(&world->w, CHQ_STUN_DATA_ATTRIBUTE, chq_bytes_text("x"));
        (void)world_send(world, &client);
        assert_int_equal(world->sent_n, 1);
        assert_int_equal(world->actions.v[0].dont_fragment, dont);
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
        WORLD_TEST(both_families_at_once),
        WORLD_TEST(one_of_two_is_enough),
        WORLD_TEST(a_reserved_port_waits_for_its_token),
        WORLD_TEST(pairs_come_back),
        WORLD_TEST(contradictions_are_bad_requests),
        WORLD_TEST(a_retransmission_gets_the_same_token),
        WORLD_TEST(data_may_ask_not_to_be_fragmented),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
