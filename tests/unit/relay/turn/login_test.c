/* SPDX-License-Identifier: Apache-2.0 */
/* Credentials, and what somebody without any can make the server do. */
#include "relay/turn/hash.h"
#include "relay/turn/index.h"
#include "relay/turn/turn.h"
#include "turn_world.h"
#include "unit.h"

#define IP_UDP 28

static struct chq_turn_hash *hash;
static const struct chq_address client = {.family = 4, .port = 4000, .ip = {9, 9, 9, 9}};
static const struct chq_address client6 = {.family = 6, .port = 4000, .ip = {0x2a, [15] = 9}};
static const struct chq_address other = {.family = 4, .port = 4000, .ip = {9, 9, 9, 10}};
static const struct chq_address peer = {.family = 4, .port = 7000, .ip = {8, 8, 8, 8}};

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
    return 0;
}

static void binding_tells_the_address(void **state)
{
    struct world *world = *state;
    for (int fingerprint = 0; fingerprint < 2; fingerprint++)
        for (int six = 0; six < 2; six++) {
            const struct chq_address *from = six ? &client6 : &client;
            world_begin(world, CHQ_STUN_BINDING, CHQ_STUN_REQUEST);
            if (fingerprint)
                chq_stun_write_fingerprint(&world->w);
            assert_int_equal(world_send(world, from), 0);
            assert_true(chq_address_equal(&world->reply.mapped, from));
            assert_int_equal(world->reply.has,
                CHQ_STUN_HAS_MAPPED | (fingerprint ? (unsigned)CHQ_STUN_HAS_FINGERPRINT : 0));
            size_t headers = six ? 48 : IP_UDP;
            assert_true(2 * (world->sent_bytes + headers) <= 3 * (world->w.size + headers));
        }
    world_begin(world, CHQ_STUN_BINDING, CHQ_STUN_REQUEST);
    chq_stun_write(&world->w, 0x7F01, chq_bytes("", 0));
    chq_stun_write(&world->w, 0xFF01, chq_bytes("", 0)); /* optional: no complaint */
    chq_stun_write(&world->w, 0x7F02, chq_bytes("", 0));
    assert_int_equal(world_send(world, &client), 420);
    assert_true(chq_bytes_equal(world->reply.unknown_attributes, chq_bytes("\x7f\x01\x7f\x02", 4)));
}

/* Whoever forges a victim's address gains at most half as much again, however the request looks. */
static void no_answer_is_an_amplifier(void **state)
{
    struct world *world = *state;
    static const uint16_t methods[] = {CHQ_STUN_ALLOCATE, CHQ_STUN_REFRESH, CHQ_STUN_CREATE_PERMISSION,
        CHQ_STUN_CHANNEL_BIND, CHQ_STUN_BINDING};
    unsigned challenges = 0;
    for (size_t method = 0; method < sizeof methods / sizeof *methods; method++)
        for (unsigned mask = 0; mask < 128; mask++) {
            world_begin(world, methods[method], CHQ_STUN_REQUEST);
            if (mask & 1)
                chq_stun_write_u32(&world->w, CHQ_STUN_REQUESTED_TRANSPORT, 17u << 24);
            if (mask & 2)
                chq_stun_write(&world->w, CHQ_STUN_USERNAME, chq_bytes_text("a"));
            if (mask & 4)
                chq_stun_write(&world->w, CHQ_STUN_REALM, chq_bytes_text("a"));
            if (mask & 8)
                chq_stun_write(&world->w, CHQ_STUN_NONCE, chq_bytes_text("a"));
            if (mask & 16)
                chq_stun_write(&world->w, 0x7F00, chq_bytes("", 0));
            if (mask & 32)
                chq_stun_write_integrity(
                    &world->w, &world->config.crypto, CHQ_STUN_SHA1, chq_bytes_text("a"));
            if (mask & 64)
                chq_stun_write_fingerprint(&world->w);
            int code = world_send(world, &client);
            assert_true(2 * (world->sent_bytes + IP_UDP) <= 3 * (world->w.size + IP_UDP));
            challenges += code == 401 ? 1 : 0;
        }
    assert_in_range(challenges, 100, 5 * 128);
    assert_int_equal(
        world_challenge(world, &client), 401); /* the shortest Allocate there is gets its challenge */
    assert_int_equal(world->w.size, 28);
    assert_int_equal(world->sent_bytes, 56);
    world_begin(world, CHQ_STUN_ALLOCATE, CHQ_STUN_REQUEST);
    assert_int_equal(world_send(world, &client), 400); /* one that asks for nothing does not */
    assert_int_equal(world->sent_bytes, 28);
}

static void forged_logins_are_refused(void **state)
{
    struct world *world = *state;
    static const struct {
        int number;
        const char *name, *password;
        int code;
    } rows[] = {{1, "ana", "Secret", 401}, {2, "ana", "secret ", 401}, {3, "bo", "secret", 401},
        {4, "an", "asecret", 401}, {5, "ana", "secret", 0}};
    assert_int_equal(world_challenge(world, &client), 401);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        world_begin(world, CHQ_STUN_ALLOCATE, CHQ_STUN_REQUEST);
        chq_stun_write_u32(&world->w, CHQ_STUN_REQUESTED_TRANSPORT, 17u << 24);
        world_sign(world, rows[i].name, rows[i].password);
        int code = world_send(world, &client);
        if (code != rows[i].code)
            fail_msg("row %d: %d", rows[i].number, code);
        assert_int_equal(
            (world->reply.has & CHQ_STUN_HAS_INTEGRITY) != 0, code == 0); /* nothing to learn a key from */
        assert_int_equal((world->reply.has & CHQ_STUN_HAS_NONCE) != 0, code != 0);
    }
    assert_int_equal(chq_turn_stats(world->turn)->refused_logins, 4);
}

static void incomplete_logins_are_bad_requests(void **state)
{
    struct world *world = *state;
    assert_int_equal(world_challenge(world, &client), 401);
    for (unsigned mask = 0; mask < 7; mask++) {
        world_begin(world, CHQ_STUN_ALLOCATE, CHQ_STUN_REQUEST);
        chq_stun_write_u32(&world->w, CHQ_STUN_REQUESTED_TRANSPORT, 17u << 24);
        if (mask & 1)
            chq_stun_write(&world->w, CHQ_STUN_USERNAME, chq_bytes_text("ana"));
        if (mask & 2)
            chq_stun_write(&world->w, CHQ_STUN_REALM, chq_bytes_text("chasqui"));
        if (mask & 4)
            chq_stun_write(&world->w, CHQ_STUN_NONCE, chq_bytes_text(world->nonce));
        chq_stun_write_integrity(&world->w, &world->config.crypto, CHQ_STUN_SHA1, chq_bytes_text("key"));
        assert_int_equal(world_send(world, &client), 400);
    }
}

static void nonces_age_and_stay_where_they_were_given(void **state)
{
    struct world *world = *state;
    assert_int_equal(world_allocate(world, &client), 0);
    assert_int_equal(world_refresh(world, &client, 3600), 0);
    world_pass(world, 599);
    assert_int_equal(world_permit(world, &client, &peer), 0);
    world_pass(world, 1);
    assert_int_equal(world_permit(world, &client, &peer), 438);
    assert_int_equal(world->reply.has & CHQ_STUN_HAS_NONCE, CHQ_STUN_HAS_NONCE);
    assert_int_equal(world_permit(world, &client, &peer), 0); /* with the nonce of that answer */
    char good[64];
    memcpy(good, world->nonce, sizeof good);
    assert_int_equal(world_permit(world, &other, &peer), 438); /* overheard elsewhere */
    struct chq_address same_host = client;
    same_host.port++;
    memcpy(world->nonce, good, sizeof good);
    assert_int_equal(world_permit(world, &same_host, &peer), 438);
    for (size_t i = 0; i < strlen(good); i++) {
        memcpy(world->nonce, good, sizeof good);
        world->nonce[i] = world->nonce[i] == 'A' ? 'B' : 'A';
        assert_int_equal(world_permit(world, &client, &peer), 438); /* made up */
    }
    static const char *const odd[] = {"x", "AAAAAAAAAAA", "AAAAAAAAAAAAA", "AAAAAAAAAAA="};
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
        (void)snprintf(world->nonce, sizeof world->nonce, "%s", odd[i]);
        assert_int_equal(world_permit(world, &client, &peer), 438);
    }
    assert_int_equal(chq_turn_stats(world->turn)->refused_logins, 0); /* none of this is a failed login */
}

static void sha256_is_answered_with_sha256(void **state)
{
    struct world *world = *state;
    assert_int_equal(world_challenge(world, &client), 401);
    world_begin(world, CHQ_STUN_ALLOCATE, CHQ_STUN_REQUEST);
    chq_stun_write_u32(&world->w, CHQ_STUN_REQUESTED_TRANSPORT, 17u << 24);
    world_sign_with(world, "ana", "secret", CHQ_STUN_SHA256);
    assert_int_equal(world_send(world, &client), 0);
    assert_int_equal(world->reply.has & (CHQ_STUN_HAS_INTEGRITY | CHQ_STUN_HAS_INTEGRITY_SHA256),
        CHQ_STUN_HAS_INTEGRITY_SHA256);
}

static void credentials_expire(void **state)
{
    struct world *world = *state;
    assert_int_equal(
        world_add_user_with(world, "ana", "secret", &world->gauge, world->now_us + 100 * UINT64_C(1000000)),
        CHQ_OK);
    assert_int_equal(world_allocate(world, &client), 0);
    assert_int_equal(world_bind(world, &client, 0x4000, &peer), 0);
    world_pass(world, 100);
    assert_int_equal(world_refresh(world, &client, 600), 401);
    assert_true(world_send_channel(world, &client, 0x4000, "until the allocation ends"));
}

static void unauthenticated_replies_are_rationed(void **state)
{
    struct world *world = *state;
    chq_turn_free(world->turn);
    world->config.unauthenticated_per_s = 5;
    assert_int_equal(chq_turn_new(&world->config, &world->turn), CHQ_OK);
    assert_int_equal(world_add_user(world, "ana", "secret"), CHQ_OK);
    unsigned answered = 0;
    for (int i = 0; i < 100; i++) {
        world_begin(world, CHQ_STUN_BINDING, CHQ_STUN_REQUEST);
        answered += world_send(world, &client) == 0 ? 1 : 0;
    }
    assert_int_equal(answered, 15); /* three seconds' worth at once */
    assert_int_equal(chq_turn_stats(world->turn)->rate_limited, 85);
    assert_int_equal(world_challenge(world, &client), -1);
    assert_int_equal(world_challenge(world, &other), 401); /* others are not held up */
    for (int i = 0; i < 40; i++) { /* ten seconds of 4 a second */
        world->now_us += 250000;
        answered += world_challenge(world, &client) == 401 ? 1 : 0;
    }
    assert_int_equal(answered, 15 + 40);
    for (int i = 0; i < 100; i++) { /* ten seconds of 10 a second */
        world->now_us += 100000;
        answered += world_challenge(world, &client) == 401 ? 1 : 0;
    }
    assert_in_range(answered, 15 + 40 + 50, 15 + 40 + 50 + 15);
    world_pass(world, 10);
    assert_int_equal(world_allocate(world, &client), 0);
    for (int i = 0; i < 100; i++) /* who has logged in is not rationed */
        assert_int_equal(world_permit(world, &client, &peer), 0);
}

/* Every prefix and every flipped bit of a good request: no crash, no answer that says success. */
static void broken_requests_do_nothing(void **state)
{
    struct world *world = *state;
    assert_int_equal(world_allocate(world, &client), 0);
    world_begin(world, CHQ_STUN_CREATE_PERMISSION, CHQ_STUN_REQUEST);
    chq_stun_write_address(&world->w, CHQ_STUN_XOR_PEER_ADDRESS, &peer);
    world_sign(world, "ana", "secret");
    assert_int_equal(chq_stun_finish(&world->w), CHQ_OK);
    uint8_t good[256], bad[256];
    size_t size = world->w.size;
    memcpy(good, world->storage, size);
    for (size_t i = 0; i < size; i++) {
        world_from_client(world, &client, chq_bytes(good, i));
        assert_int_equal(world->sent_n, 0);
    }
    for (size_t bit = 0; bit < 8 * size; bit++) {
        memcpy(bad, good, size);
        bad[bit / 8] ^= (uint8_t)(1 << bit % 8);
        world_from_client(world, &client, chq_bytes(bad, size));
        if (world->sent_n > 0 && world->reply.class == CHQ_STUN_SUCCESS)
            assert_int_equal(world->reply.method, CHQ_STUN_BINDING); /* needs no login */
        world->now_us += 1000;
    }
    assert_false(world_send_data(world, &client, &peer, "no permission came of it"));
    static const uint8_t noise[][8] = {
        {0}, {0x16, 0xfe, 0xfd}, {0x80, 1, 2, 3}, {0x40, 0, 0, 9}, {0xFF, 0xFF}};
    for (size_t i = 0; i < sizeof noise / sizeof *noise; i++)
        world_from_client(world, &client, chq_bytes(noise[i], sizeof noise[i]));
    world_from_client(world, &client, chq_bytes(NULL, 0));
    for (uint16_t method = 0; method < 16; method++) /* indications and answers are not requests */
        for (unsigned class = 1; class < 4; class ++) {
            world_begin(world, method, (enum chq_stun_class) class);
            (void)world_send(world, &client);
            assert_int_equal(world->sent_n, 0);
        }
}

static void indications_need_to_be_whole(void **state)
{
    struct world *world = *state;
    assert_int_equal(world_allocate(world, &client), 0);
    assert_int_equal(world_permit(world, &client, &peer), 0);
    for (unsigned mask = 0; mask < 32; mask++) {
        world_begin(world, CHQ_STUN_SEND, CHQ_STUN_INDICATION);
        if (mask & 1)
            chq_stun_write_address(&world->w, CHQ_STUN_XOR_PEER_ADDRESS, &peer);
        if (mask & 2)
            chq_stun_write(&world->w, CHQ_STUN_DATA_ATTRIBUTE, chq_bytes_text("x"));
        if (mask & 4)
            chq_stun_write(&world->w, CHQ_STUN_DONT_FRAGMENT, chq_bytes(NULL, 0));
        if (mask & 8)
            chq_stun_write(&world->w, 0x7FFF, chq_bytes(NULL, 0));
        if (mask & 16)
            chq_stun_write_address(&world->w, CHQ_STUN_XOR_PEER_ADDRESS, &peer);
        (void)world_send(world, &client);
        assert_int_equal(world->sent_n, (mask & 2) && !(mask & 12) && ((mask & 1) != (mask >> 4)) ? 1 : 0);
    }
}

/* Random adding and removing against a plain list. */
static void the_index_loses_nothing(void **state)
{
    (void)state;
    struct chq_turn_index index;
    struct chq_seeded seeded;
    chq_seeded_init(&seeded, 7);
    const struct chq_random random = chq_seeded_random(&seeded);
    uint64_t hashes[64];
    bool in[64] = {false};
    assert_int_equal(chq_turn_index_init(&index, 64), CHQ_OK);
    for (uint32_t i = 0; i < 64; i++)
        hashes[i] = chq_random_below(&random, 24) + (chq_random_below(&random, 2) << 32); /* many collide */
    for (int round = 0; round < 5000; round++) {
        uint32_t slot = (uint32_t)chq_random_below(&random, 64);
        if (in[slot])
            chq_turn_index_remove(&index, hashes[slot], slot);
        else
            chq_turn_index_add(&index, hashes[slot], slot);
        in[slot] = !in[slot];
        slot = (uint32_t)chq_random_below(&random, 64);
        bool found = false;
        uint32_t at;
        for (uint32_t cursor = 0;
             (at = chq_turn_index_next(&index, hashes[slot], &cursor)) != CHQ_TURN_INDEX_NONE;) {
            assert_true(in[at] && hashes[at] == hashes[slot]);
            found = found || at == slot;
        }
        assert_int_equal(found, in[slot]);
    }
    chq_turn_index_fini(&index);
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
        WORLD_TEST(binding_tells_the_address),
        WORLD_TEST(no_answer_is_an_amplifier),
        WORLD_TEST(forged_logins_are_refused),
        WORLD_TEST(incomplete_logins_are_bad_requests),
        WORLD_TEST(nonces_age_and_stay_where_they_were_given),
        WORLD_TEST(sha256_is_answered_with_sha256),
        WORLD_TEST(credentials_expire),
        WORLD_TEST(unauthenticated_replies_are_rationed),
        WORLD_TEST(broken_requests_do_nothing),
        WORLD_TEST(indications_need_to_be_whole),
        cmocka_unit_test(the_index_loses_nothing),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
