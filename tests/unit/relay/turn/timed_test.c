/* SPDX-License-Identifier: Apache-2.0 */
/* Time-limited credentials: what an app's server makes from a shared secret opens the relay until its time is over. The
 * passwords were made with "openssl dgst -sha1 -hmac SECRET -binary | base64". */
#include "relay/turn/core.h"
#include "relay/turn/hash.h"
#include "turn_world.h"
#include "unit.h"

#define SECRET_A "0123456789abcdef"
#define SECRET_B "fedcba9876543210"
#define ANA      "1700000600:ana" /* ten minutes after the world's beginning */
#define ANA_A    "KoVJUJqSNE+6VzIRbsRGcAVHvtg="
#define ANA_B    "dumXT6wy+ihWPosvEZvaVMIlWxw="
#define BARE     "1700000600"
#define BARE_A   "QUfE/0i14BBZlk8WFFGv85zYWv8="
#define SIGNS    "1700000600:u12" /* whose password has both signs that base64url writes otherwise */
#define SIGNS_A  "C2A9/o/A3x+x+Ofz070d+t7i/ZQ="

static struct chq_turn_hash *hash;
static struct chq_gauge gauges[2];
static const struct chq_address client = {.family = 4, .port = 4000, .ip = {9, 9, 9, 9}};
static const struct chq_address other = {.family = 4, .port = 4001, .ip = {9, 9, 9, 9}};
static const struct chq_address peer = {.family = 4, .port = 7000, .ip = {8, 8, 8, 8}};

static int fresh_world(void **state)
{
    static struct world world;
    const struct chq_stun_crypto crypto = chq_turn_hash_functions(hash);
    world_init(&world, 1, &crypto);
    world.config.apps[0] = (struct chq_turn_app){chq_bytes_text(SECRET_A), &gauges[0]};
    world.config.apps[1] = (struct chq_turn_app){chq_bytes_text(SECRET_B), &gauges[1]};
    world.config.apps_count = 2;
    for (int i = 0; i < 2; i++)
        chq_gauge_init(&gauges[i], 0, 1000);
    if (chq_turn_new(&world.config, &world.turn) != CHQ_OK)
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

static int ask(struct world *world, const struct chq_address *from, uint16_t method, const char *name,
    const char *password)
{
    world_begin(world, method, CHQ_STUN_REQUEST);
    if (method == CHQ_STUN_ALLOCATE)
        chq_stun_write_u32(&world->w, CHQ_STUN_REQUESTED_TRANSPORT, 17u << 24);
    if (method == CHQ_STUN_CHANNEL_BIND)
        chq_stun_write_channel(&world->w, 0x4000);
    if (method == CHQ_STUN_CHANNEL_BIND || method == CHQ_STUN_CREATE_PERMISSION)
        chq_stun_write_address(&world->w, CHQ_STUN_XOR_PEER_ADDRESS, &peer);
    world_sign(world, name, password);
    return world_send(world, from);
}

static int close_allocation(
    struct world *world, const struct chq_address *from, const char *name, const char *password)
{
    world_begin(world, CHQ_STUN_REFRESH, CHQ_STUN_REQUEST);
    chq_stun_write_u32(&world->w, CHQ_STUN_LIFETIME, 0);
    world_sign(world, name, password);
    return world_send(world, from);
}

static unsigned credentials_used(const struct world *world)
{
    unsigned n = 0;
    for (uint32_t i = 0; i < world->turn->credentials_n; i++)
        n += world->turn->credentials[i]->used ? 1 : 0;
    return n;
}

static void what_an_app_makes_is_taken(void **state)
{
    struct world *world = *state;
    static const char *const rows[][2] = {{ANA, ANA_A}, {BARE, BARE_A}, {SIGNS, SIGNS_A}, {ANA, ANA_B}};
    assert_int_equal(world_challenge(world, &client), 401);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (ask(world, &client, CHQ_STUN_ALLOCATE, rows[i][0], rows[i][1]) != 0)
            fail_msg("row %zu", i);
        assert_int_equal(world->reply.has & CHQ_STUN_HAS_INTEGRITY, CHQ_STUN_HAS_INTEGRITY);
        assert_int_equal(ask(world, &client, CHQ_STUN_CHANNEL_BIND, rows[i][0], rows[i][1]), 0);
        assert_true(world_send_channel(world, &client, 0x4000, "seven b"));
        assert_int_equal(credentials_used(world), 1);
        assert_int_equal(close_allocation(world, &client, rows[i][0], rows[i][1]), 0);
        assert_int_equal(credentials_used(world), 0); /* nothing stays behind */
    }
    assert_int_equal(chq_gauge_carried(&gauges[0]), 21); /* each app's own gauge */
    assert_int_equal(chq_gauge_carried(&gauges[1]), 7);
    assert_int_equal(chq_turn_stats(world->turn)->refused_logins, 0);
}

static void anything_else_is_refused(void **state)
{
    struct world *world = *state;
    static const struct {
        int number;
        const char *name, *password;
    } rows[] = {
        {1, "1700000600:bo", ANA_A}, /* another's password */
        {2, "1800000600:ana", ANA_A}, /* a later expiry */
        {3, ANA, BARE_A},
        {4, "1699999999:ana", "gffRjp+XchQCJ5s7Q5toBJ/3bw8="}, /* right, and over */
        {5, "1700000000:ana", "bt8/WQPIUdvHocjqb/62m65WjS0="}, /* over this second */
        {6, "ana", "/ITkKWo/02zXiZkxqPCGYCKk90A="}, /* no time in the name */
        {7, "ana:1700000600", "LdhCd9YFEyeXNRjc8EHddDmEMZY="},
        {8, ":ana", "fms+Wwco9xOjNTNfEcpKNv1il2w="},
        {9, "-1700000600:ana", "+seJUH5zzZ6IhweffCcfujiZKr0="},
        {10, "1700000600x:ana", "m+ih/2Zq+5pwDk2BVMJp6mjnrz8="},
        {11, "1700000600000000:ana", "F1ueDjR4lX2upxy+5PipO51bY00="}, /* above 15 digits */
        {12, "99999999999999999999999:ana", "16fjNfVVD9AoEYm5Z5OHShvhBw0="},
        {13, ANA, "76e1lhRCzbFT2F6Nx/IsH8D/wK4="},
        {14, ANA, ""},
    };
    assert_int_equal(world_challenge(world, &client), 401);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        int code = ask(world, &client, CHQ_STUN_ALLOCATE, rows[i].name, rows[i].password);
        if (code != 401)
            fail_msg("row %d: %d", rows[i].number, code);
    }
    assert_int_equal(world->opened, 0);
    assert_int_equal(credentials_used(world), 0);
    assert_int_equal(chq_turn_stats(world->turn)->refused_logins, sizeof rows / sizeof *rows);
    char long_name[200];
    memset(long_name, '1', sizeof long_name - 1);
    long_name[sizeof long_name - 1] = '\0';
    assert_int_equal(ask(world, &client, CHQ_STUN_ALLOCATE, long_name, "x"), 401);
    world->config.apps_count = 0; /* without a secret none is valid */
    chq_turn_free(world->turn);
    assert_int_equal(chq_turn_new(&world->config, &world->turn), CHQ_OK);
    assert_int_equal(world_challenge(world, &client), 401);
    assert_int_equal(ask(world, &client, CHQ_STUN_ALLOCATE, ANA, ANA_A), 401);
}

/* A call that is going on outlasts its credential, as with coturn; a new one does not start. */
static void time_ends_new_allocations_only(void **state)
{
    struct world *world = *state;
    assert_int_equal(world_challenge(world, &client), 401);
    assert_int_equal(ask(world, &client, CHQ_STUN_ALLOCATE, ANA, ANA_A), 0);
    world_pass(world, 599);
    assert_int_equal(ask(world, &client, CHQ_STUN_REFRESH, ANA, ANA_A), 0);
    world_pass(world, 2);
    assert_int_equal(ask(world, &client, CHQ_STUN_REFRESH, ANA, ANA_A), 438); /* the nonce is old */
    assert_int_equal(ask(world, &client, CHQ_STUN_REFRESH, ANA, ANA_A), 0);
    assert_int_equal(ask(world, &client, CHQ_STUN_CHANNEL_BIND, ANA, ANA_A), 0);
    assert_int_equal(ask(world, &client, CHQ_STUN_ALLOCATE, ANA, ANA_A), 401);
    assert_int_equal(world_challenge(world, &other), 401);
    assert_int_equal(ask(world, &other, CHQ_STUN_ALLOCATE, ANA, ANA_A), 401);
    world_pass(world, 602); /* the allocation ends, and the credential with it */
    assert_int_equal(world->closed, 1);
    assert_int_equal(credentials_used(world), 0);
    assert_int_equal(world_challenge(world, &client), 401);
    assert_int_equal(ask(world, &client, CHQ_STUN_REFRESH, ANA, ANA_A), 401);
}

/* Two apps may give out the same name; they are two users. */
static void apps_do_not_share_users(void **state)
{
    struct world *world = *state;
    assert_int_equal(world_challenge(world, &client), 401);
    assert_int_equal(ask(world, &client, CHQ_STUN_ALLOCATE, ANA, ANA_A), 0);
    assert_int_equal(ask(world, &client, CHQ_STUN_REFRESH, ANA, ANA_B), 441);
    assert_int_equal(world_challenge(world, &other), 401);
    assert_int_equal(ask(world, &other, CHQ_STUN_REFRESH, ANA, ANA_B), 437); /* known, but nothing there */
    assert_int_equal(ask(world, &other, CHQ_STUN_ALLOCATE, ANA, ANA_B), 0);
    assert_int_equal(credentials_used(world), 2);
    /* what the shell adds under such a name comes first, and is not an app's */
    assert_int_equal(world_add_user(world, ANA, "own"), CHQ_OK);
    assert_int_equal(ask(world, &other, CHQ_STUN_REFRESH, ANA, ANA_B), 401);
    assert_int_equal(world_remove_user(world, ANA), CHQ_OK);
    assert_int_equal(world->closed, 0);
    assert_int_equal(ask(world, &other, CHQ_STUN_REFRESH, ANA, ANA_B), 0);
    assert_int_equal(world_remove_user(world, ANA), CHQ_NOT_FOUND);
}

/* Quotas are per user name, and failures leave nothing in the table. */
static void the_table_is_bounded(void **state)
{
    struct world *world = *state;
    struct chq_address from = client;
    for (int i = 0; i < 5; i++, from.port++) {
        assert_int_equal(world_challenge(world, &from), 401);
        assert_int_equal(ask(world, &from, CHQ_STUN_ALLOCATE, ANA, ANA_A), i < 4 ? 0 : 486);
    }
    assert_int_equal(ask(world, &client, CHQ_STUN_ALLOCATE, ANA, ANA_A), 438);
    world->port_results[0] = CHQ_TURN_PORT_NONE;
    world->port_results_n = 1;
    world->port_results_at = 0;
    from.port = 5000;
    assert_int_equal(world_challenge(world, &from), 401);
    assert_int_equal(ask(world, &from, CHQ_STUN_ALLOCATE, BARE, BARE_A), 508);
    assert_int_equal(world->reply.has & CHQ_STUN_HAS_INTEGRITY, CHQ_STUN_HAS_INTEGRITY);
    assert_int_equal(credentials_used(world), 1);
    for (int i = 0; i < 3; i++) {
        char name[8];
        (void)snprintf(name, sizeof name, "u%d", i);
        assert_int_equal(world_add_user(world, name, "secret"), CHQ_OK);
    }
    assert_int_equal(ask(world, &from, CHQ_STUN_ALLOCATE, BARE, BARE_A), 508); /* four credentials at most */
    assert_int_equal(world_remove_user(world, "u0"), CHQ_OK);
    assert_int_equal(ask(world, &from, CHQ_STUN_ALLOCATE, BARE, BARE_A), 0);
}

static void bad_secrets_are_refused(void **state)
{
    struct world *world = *state;
    static uint8_t bytes[CHQ_TURN_SECRET_BYTES_MAX + 1];
    struct chq_turn *turn;
    world->config.apps[1].secret = chq_bytes(bytes, CHQ_TURN_SECRET_BYTES_MIN - 1);
    assert_int_equal(chq_turn_new(&world->config, &turn), CHQ_LIMIT);
    world->config.apps[1].secret = chq_bytes(bytes, CHQ_TURN_SECRET_BYTES_MAX + 1);
    assert_int_equal(chq_turn_new(&world->config, &turn), CHQ_LIMIT);
    world->config.apps[1].secret = chq_bytes(bytes, CHQ_TURN_SECRET_BYTES_MAX);
    world->config.apps_count = CHQ_TURN_APPS_MAX + 1;
    assert_int_equal(chq_turn_new(&world->config, &turn), CHQ_LIMIT);
    assert_null(turn);
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
        WORLD_TEST(what_an_app_makes_is_taken),
        WORLD_TEST(anything_else_is_refused),
        WORLD_TEST(time_ends_new_allocations_only),
        WORLD_TEST(apps_do_not_share_users),
        WORLD_TEST(the_table_is_bounded),
        WORLD_TEST(bad_secrets_are_refused),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
