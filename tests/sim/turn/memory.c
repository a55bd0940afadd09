/* SPDX-License-Identifier: Apache-2.0 */
/* Fail the first, the second, ... allocation of a session, until one runs without a failure. Whatever fails is answered
 * with an error, nothing leaks (the sanitizer looks), and the same step succeeds when it is tried again. */
#include <stdlib.h>

#include "relay/turn/hash.h"
#include "turn_world.h"

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);

static long countdown; /* -1: never fail */
static unsigned failures;

static bool fails_now(void)
{
    if (countdown < 0 || countdown-- > 0)
        return false;
    failures++;
    return true;
}

void *__wrap_malloc(size_t size)
{
    return fails_now() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t n, size_t size)
{
    return fails_now() ? NULL : __real_calloc(n, size);
}

/* Return how many allocations failed on the way to a session that works. */
static unsigned session(const struct chq_stun_crypto *crypto, long fail_at)
{
    static struct world world;
    const struct chq_address client = chq_address_ip4(9, 9, 9, 9, 4000),
                             second = chq_address_ip4(9, 9, 9, 9, 4001);
    const struct chq_address peer = chq_address_ip4(8, 8, 8, 8, 7000);
    unsigned refused = 0;
    world_init(&world, 1, crypto);
    countdown = fail_at;
    failures = 0;
    for (enum chq_err err; (err = chq_turn_new(&world.config, &world.turn)) != CHQ_OK; refused++)
        CHQ_ASSERT(err == CHQ_NO_MEMORY && world.turn == NULL);
    for (enum chq_err err; (err = world_add_user(&world, "ana", "secret")) != CHQ_OK; refused++)
        CHQ_ASSERT(err == CHQ_NO_MEMORY);
    for (int code; (code = world_allocate(&world, &client)) != 0; refused++)
        CHQ_ASSERT(code == 508 && chq_turn_stats(world.turn)->allocations == 0);
    for (int code; (code = world_allocate(&world, &second)) != 0; refused++)
        CHQ_ASSERT(code == 508 && chq_turn_stats(world.turn)->allocations == 1);
    long before_traffic = countdown;
    CHQ_ASSERT(world_bind(&world, &second, 0x4000, &peer) == 0);
    CHQ_ASSERT(
        world_send_channel(&world, &second, 0x4000, "x") && world_send_data(&world, &second, &peer, "x"));
    CHQ_ASSERT(world_peer_sends(&world, world.last_allocation, &peer, "x"));
    CHQ_ASSERT(world_refresh(&world, &second, 0) == 0 && world_remove_user(&world, "ana") == CHQ_OK);
    CHQ_ASSERT(countdown == before_traffic); /* forwarding and closing allocate nothing */
    CHQ_ASSERT(world.opened == 2 && world.closed == 2 && refused == failures);
    chq_turn_free(world.turn);
    return failures;
}

int main(void)
{
    struct chq_turn_hash *hash;
    countdown = -1;
    CHQ_ASSERT(chq_turn_hash_new(&hash) == CHQ_OK);
    const struct chq_stun_crypto crypto = chq_turn_hash_functions(hash);
    long n = 0;
    while (session(&crypto, n) > 0)
        n++;
    countdown = 0;
    struct chq_turn_hash *none;
    CHQ_ASSERT(chq_turn_hash_new(&none) == CHQ_NO_MEMORY && none == NULL);
    countdown = -1;
    chq_turn_hash_free(hash);
    printf("%ld allocations, each failed once\n", n);
    return n >= 8 ? 0 : 1;
}
