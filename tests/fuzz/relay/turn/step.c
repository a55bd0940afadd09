/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A TURN core under any sequence of datagrams, port results and time. The input is a list of records: kind u8, size u8,
 * that many bytes. Integrity always matches (the hash is a constant), so the fuzzer gets behind the login. What is
 * checked: no port opens or closes twice, nothing goes to a refused peer, the gauge never passes its limit, and what
 * was forwarded is what was charged.
 */
#include <stdlib.h>

#include "relay/turn/core.h"
#include "turn_world.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool constant_hmac(void *context, enum chq_stun_hash hash, struct chq_bytes key,
    const struct chq_bytes *parts, size_t n, uint8_t out[32])
{
    (void)context, (void)hash, (void)key, (void)parts, (void)n;
    memset(out, 0, 32);
    return true;
}

static bool constant_hash(
    void *context, enum chq_stun_hash hash, const struct chq_bytes *parts, size_t n, uint8_t out[32])
{
    return constant_hmac(context, hash, chq_bytes(NULL, 0), parts, n, out);
}

static void check(const struct world *world)
{
    const struct chq_turn_stats *s = chq_turn_stats(world->turn);
    CHQ_ASSERT(chq_gauge_carried(&world->gauge) <= 3000);
    CHQ_ASSERT(s->to_peer_bytes + s->to_client_bytes == chq_gauge_carried(&world->gauge));
    unsigned open = 0;
    for (uint32_t i = 0; i < world->turn->allocations_n; i++)
        open += world->turn->allocations[i]->port_open[0] + world->turn->allocations[i]->port_open[1];
    CHQ_ASSERT(world->opened - world->closed == open && open >= s->allocations);
    if (world->sent_n > 0 && world->sent_type == CHQ_TURN_TO_PEER)
        CHQ_ASSERT(chq_peer_filter_allows(&world->config.filter, &world->sent_to));
}

/* A request with the attributes of the input and a login before the integrity. */
static void request(struct world *world, const struct chq_address *client, struct chq_bytes in)
{
    uint16_t user = client->port;
    static const uint16_t methods[] = {CHQ_STUN_ALLOCATE, CHQ_STUN_REFRESH, CHQ_STUN_CREATE_PERMISSION,
        CHQ_STUN_CHANNEL_BIND, CHQ_STUN_SEND, CHQ_STUN_BINDING};
    struct chq_reader r = chq_reader(in);
    uint16_t method = methods[chq_read_u8(&r) % 6];
    world_begin(world, method, method == CHQ_STUN_SEND ? CHQ_STUN_INDICATION : CHQ_STUN_REQUEST);
    while (chq_reader_left(&r) >= 2) {
        uint8_t type = chq_read_u8(&r), bytes = chq_read_u8(&r) % 24;
        struct chq_bytes value = chq_read_bytes(&r, bytes);
        uint8_t port = value.size > 0 ? value.data[0] : 0;
        struct chq_address peer = chq_address_ip4(8, 8, 8, port % 4, (uint16_t)(7000 + port / 64));
        if (port % 8 == 7) { /* another allocation, itself, or nobody */
            peer = world->config.relay[0];
            peer.port = (uint16_t)(50000 + port / 8 % 10);
        }
        if (type == CHQ_STUN_XOR_PEER_ADDRESS && value.size < 8)
            chq_stun_write_address(&world->w, type, &peer);
        else
            chq_stun_write(&world->w, type, value);
    }
    if (method != CHQ_STUN_SEND && method != CHQ_STUN_BINDING)
        world_sign(world, user % 4 == 3 ? "1700000600:bo" : "ana", "secret");
    (void)world_send(world, client);
}

static void record(struct world *world, uint8_t kind, struct chq_bytes in)
{
    struct chq_address client = chq_address_ip4(9, 9, 9, 9, (uint16_t)(4000 + kind / 64));
    uint8_t first = in.size > 0 ? in.data[0] : 0;
    switch (kind % 8) {
    case 0: world_from_client(world, &client, in); break;
    case 1:
    case 2: request(world, &client, in); break;
    case 3: {
        const struct chq_address peer = chq_address_ip4(8, 8, 8, first % 4, (uint16_t)(7000 + first / 64));
        if (world->allocations_seen > 0)
            world_from_peer(world, kind / 64 % world->allocations_seen, &peer, in);
        break;
    }
    case 4: world_pass(world, first); break;
    case 5:
        if (first == 255)
            (void)!world_step(
                world, (struct chq_turn_event){.type = CHQ_TURN_CLIENT_GONE, .gone = {client, 0}});
        (void)world_allocate(world, &client);
        break;
    case 6:
        world->port_results_n = world->port_results_at + 1 < 16 ? world->port_results_at + 1 : 0;
        if (world->port_results_n > 0)
            world->port_results[world->port_results_at] = (enum chq_turn_port_result)(first % 3);
        break;
    default:
        if (first % 16 == 0)
            (void)!world_remove_user(world, "ana");
        (void)!world_add_user(world, "ana", "secret");
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct world world;
    const struct chq_stun_crypto crypto = {.hmac = constant_hmac, .hash = constant_hash};
    world_init(&world, 1, &crypto);
    world.config.unauthenticated_per_s = 20;
    chq_gauge_set_limit(&world.gauge, 3000);
    world.config.apps[0] = (struct chq_turn_app){chq_bytes_text("0123456789abcdef"), &world.gauge};
    world.config.apps_count = 1;
    world.config.can_set_dont_fragment = true;
    CHQ_ASSERT(chq_turn_new(&world.config, &world.turn) == CHQ_OK);
    CHQ_ASSERT(world_add_user(&world, "ana", "secret") == CHQ_OK);
    struct chq_reader r = chq_reader(chq_bytes(data, size));
    while (chq_reader_left(&r) >= 2) {
        uint8_t kind = chq_read_u8(&r), bytes = chq_read_u8(&r);
        size_t left = chq_reader_left(&r);
        record(&world, kind, chq_read_bytes(&r, bytes < left ? bytes : left));
        check(&world);
    }
    chq_turn_free(world.turn);
    return 0;
}
