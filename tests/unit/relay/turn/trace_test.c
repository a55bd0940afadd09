/* SPDX-License-Identifier: Apache-2.0 */
/* One whole session from seed 7, as it should read. */
#include "relay/turn/hash.h"
#include "turn_world.h"
#include "unit.h"

static const struct chq_address client = {.family = 4, .port = 4000, .ip = {9, 9, 9, 9}};
static const struct chq_address other = {.family = 4, .port = 4001, .ip = {9, 9, 9, 9}};
static const struct chq_address peer = {.family = 4, .port = 7000, .ip = {8, 8, 8, 8}};
static const struct chq_address metadata = {.family = 4, .port = 80, .ip = {169, 254, 169, 254}};

static void session(struct world *world)
{
    world_note(world, "ana asks without a name\n");
    (void)world_challenge(world, &client);
    world_note(world, "ana allocates; the first port is taken\n");
    world->port_results[world->port_results_n++] = CHQ_TURN_PORT_TAKEN;
    (void)world_allocate(world, &client);
    uint32_t allocation = world->last_allocation;
    world_note(world, "data before a permission\n");
    (void)world_send_data(world, &client, &peer, "early");
    (void)world_peer_sends(world, allocation, &peer, "early");
    world_note(world, "permission for cloud metadata, then for the peer\n");
    (void)world_permit(world, &client, &metadata);
    (void)world_permit(world, &client, &peer);
    (void)world_send_data(world, &client, &peer, "one");
    (void)world_peer_sends(world, allocation, &peer, "two");
    world_note(world, "channel\n");
    (void)world_bind(world, &client, 0x4000, &peer);
    (void)world_send_channel(world, &client, 0x4000, "three");
    (void)world_peer_sends(world, allocation, &peer, "four");
    world_note(world, "the money runs out after 3 bytes more\n");
    chq_gauge_set_limit(&world->gauge, chq_gauge_carried(&world->gauge) + 3);
    (void)world_send_channel(world, &client, 0x4000, "five");
    (void)world_peer_sends(world, allocation, &peer, "six");
    (void)world_peer_sends(world, allocation, &peer, "7");
    chq_gauge_set_limit(&world->gauge, UINT64_MAX);
    world_note(world, "a second allocation finds no descriptor\n");
    world->port_results[world->port_results_n++] = CHQ_TURN_PORT_NONE;
    (void)world_allocate(world, &other);
    world_note(world, "301 s later\n");
    world_pass(world, 301);
    (void)world_peer_sends(world, allocation, &peer, "no permission");
    (void)world_send_channel(world, &client, 0x4000, "eight");
    world_note(world, "301 s later\n");
    world_pass(world, 301);
    (void)world_send_channel(world, &client, 0x4000, "gone");
    (void)world_refresh(world, &client, 600);
    (void)world_refresh(world, &client, 600);
    world_note(world, "carried %llu\n", (unsigned long long)chq_gauge_carried(&world->gauge));
}

static const char expected[] =
    "ana asks without a name\n"
    "  to client 9.9.9.9:4000: error 3 401 nonce\n"
    "ana allocates; the first port is taken\n"
    "  to client 9.9.9.9:4000: error 3 401 nonce\n"
    "  open port 50007: 1\n"
    "  open port 50009: 0\n"
    "  to client 9.9.9.9:4000: success 3 relayed 198.51.100.1:50009 mapped 9.9.9.9:4000 lifetime 600 signed\n"
    "data before a permission\n"
    "permission for cloud metadata, then for the peer\n"
    "  to client 9.9.9.9:4000: error 8 403 signed\n"
    "  to client 9.9.9.9:4000: success 8 signed\n"
    "  to peer 8.8.8.8:7000: 'one'\n"
    "  to client 9.9.9.9:4000: indication 7 peer 8.8.8.8:7000 data 'two'\n"
    "channel\n"
    "  to client 9.9.9.9:4000: success 9 signed\n"
    "  to peer 8.8.8.8:7000: 'three'\n"
    "  to client 9.9.9.9:4000: channel 4000 'four'\n"
    "the money runs out after 3 bytes more\n"
    "  to client 9.9.9.9:4000: channel 4000 'six'\n"
    "a second allocation finds no descriptor\n"
    "  to client 9.9.9.9:4001: error 3 401 nonce\n"
    "  open port 50000: 2\n"
    "  to client 9.9.9.9:4001: error 3 508 signed\n"
    "301 s later\n"
    "  to peer 8.8.8.8:7000: 'eight'\n"
    "301 s later\n"
    "  close port of 0\n"
    "  to client 9.9.9.9:4000: error 4 438 nonce\n"
    "  to client 9.9.9.9:4000: error 4 437 signed\n"
    "carried 23\n";

static void a_session_reads_as_expected(void **state)
{
    (void)state;
    static struct world world[2];
    struct chq_turn_hash *hash;
    assert_int_equal(chq_turn_hash_new(&hash), CHQ_OK);
    const struct chq_stun_crypto crypto = chq_turn_hash_functions(hash);
    for (int i = 0; i < 2; i++) {
        world_init(&world[i], 7, &crypto);
        world[i].logging = true;
        assert_int_equal(chq_turn_new(&world[i].config, &world[i].turn), CHQ_OK);
        assert_int_equal(world_add_user(&world[i], "ana", "secret"), CHQ_OK);
        session(&world[i]);
        chq_turn_free(world[i].turn);
    }
    chq_turn_hash_free(hash);
    assert_string_equal(world[0].log, world[1].log);
    assert_memory_equal(world[0].sent, world[1].sent, sizeof world[0].sent); /* same seed, same bytes */
    if (strcmp(world[0].log, expected) != 0)
        (void)fputs(world[0].log, stderr);
    assert_string_equal(world[0].log, expected);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_session_reads_as_expected)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
