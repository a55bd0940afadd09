/* SPDX-License-Identifier: Apache-2.0 */
#include "p2p/path/reflexive.h"

#include <string.h>

#include "core/crypto/random.h"
#include "core/wire/stun.h"
#include "unit.h"

static const struct chq_address server = {.family = 4, .port = 3478, .ip = {192, 0, 2, 9}};
static const struct chq_address seen = {.family = 4, .port = 4711, .ip = {198, 51, 100, 7}};

static struct chq_bytes answer(struct chq_writer *w, const struct chq_reflexive *r, enum chq_stun_class class)
{
    chq_writer_clear(w);
    chq_stun_begin(w, CHQ_STUN_BINDING, class, r->transaction_id);
    if (class == CHQ_STUN_SUCCESS)
        chq_stun_write_address(w, CHQ_STUN_XOR_MAPPED_ADDRESS, &seen);
    else
        chq_stun_write_error(w, 500, chq_bytes(NULL, 0));
    assert_int_equal(chq_stun_finish(w), CHQ_OK);
    return chq_writer_bytes(w);
}

static void asks_until_answered_then_keeps_the_mapping(void **state)
{
    (void)state;
    struct chq_seeded seeded;
    chq_seeded_init(&seeded, 1);
    const struct chq_random random = chq_seeded_random(&seeded);
    struct chq_reflexive r;
    struct chq_reflexive_actions out;
    struct chq_reflexive_event e = {.now_us = 1000, .type = CHQ_REFLEXIVE_TIMEOUT};
    chq_reflexive_init(&r, &server, &random, 1000);
    assert_int_equal(chq_reflexive_step(&r, &e, &out), CHQ_OK);
    assert_int_equal(out.send.size, CHQ_REFLEXIVE_REQUEST_BYTES);
    const uint8_t head[8] = {0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42};
    assert_memory_equal(out.send.data, head, 8);
    assert_int_equal(chq_reflexive_deadline_us(&r), 251000);
    e.now_us = 251000;
    assert_int_equal(chq_reflexive_step(&r, &e, &out), CHQ_OK);
    assert_int_equal(out.send.size, CHQ_REFLEXIVE_REQUEST_BYTES);
    assert_int_equal(chq_reflexive_deadline_us(&r), 751000);

    uint8_t storage[64];
    struct chq_writer w = chq_writer_fixed(storage, sizeof storage);
    e = (struct chq_reflexive_event){.now_us = 300000,
        .type = CHQ_REFLEXIVE_RECEIVED,
        .from = server,
        .datagram = answer(&w, &r, CHQ_STUN_SUCCESS)};
    assert_int_equal(chq_reflexive_step(&r, &e, &out), CHQ_OK);
    assert_true(out.mapped_changed);
    assert_true(chq_address_equal(&r.mapped, &seen));
    assert_int_equal(chq_reflexive_deadline_us(&r), 15300000);
    assert_int_equal(chq_reflexive_step(&r, &e, &out), CHQ_NOT_FOUND); /* nothing is asked now */

    e.now_us = 15300000;
    e.type = CHQ_REFLEXIVE_TIMEOUT;
    assert_int_equal(chq_reflexive_step(&r, &e, &out), CHQ_OK);
    assert_int_equal(out.send.size, CHQ_REFLEXIVE_REQUEST_BYTES);
    e.type = CHQ_REFLEXIVE_RECEIVED;
    e.datagram = answer(&w, &r, CHQ_STUN_SUCCESS);
    assert_int_equal(chq_reflexive_step(&r, &e, &out), CHQ_OK);
    assert_false(out.mapped_changed);
}

static void gives_up_on_a_silent_server(void **state)
{
    (void)state;
    struct chq_seeded seeded;
    chq_seeded_init(&seeded, 1);
    const struct chq_random random = chq_seeded_random(&seeded);
    struct chq_reflexive r;
    struct chq_reflexive_actions out;
    unsigned sent = 0;
    chq_reflexive_init(&r, &server, &random, 0);
    while (chq_reflexive_deadline_us(&r) != UINT64_MAX) {
        const struct chq_reflexive_event e = {
            .now_us = chq_reflexive_deadline_us(&r), .type = CHQ_REFLEXIVE_TIMEOUT};
        assert_int_equal(chq_reflexive_step(&r, &e, &out), CHQ_OK);
        sent += out.send.size > 0;
    }
    assert_int_equal(sent, 7);
}

static void believes_only_its_server(void **state)
{
    (void)state;
    struct chq_seeded seeded;
    chq_seeded_init(&seeded, 1);
    const struct chq_random random = chq_seeded_random(&seeded);
    struct chq_reflexive r;
    struct chq_reflexive_actions out;
    struct chq_reflexive_event e = {.type = CHQ_REFLEXIVE_TIMEOUT};
    uint8_t storage[64];
    struct chq_writer w = chq_writer_fixed(storage, sizeof storage);
    chq_reflexive_init(&r, &server, &random, 0);
    assert_int_equal(chq_reflexive_step(&r, &e, &out), CHQ_OK);
    e.type = CHQ_REFLEXIVE_RECEIVED;
    e.from = server;
    e.datagram = answer(&w, &r, CHQ_STUN_SUCCESS);
    e.from.port++; /* 1: another sender */
    assert_int_equal(chq_reflexive_step(&r, &e, &out), CHQ_NOT_FOUND);
    e.from = server;
    storage[8] ^= 1; /* 2: another transaction */
    assert_int_equal(chq_reflexive_step(&r, &e, &out), CHQ_NOT_FOUND);
    e.datagram = answer(&w, &r, CHQ_STUN_ERROR); /* 3: an error */
    assert_int_equal(chq_reflexive_step(&r, &e, &out), CHQ_MALFORMED);
    e.datagram = answer(&w, &r, CHQ_STUN_SUCCESS);
    e.datagram.size--; /* 4: cut short */
    assert_int_equal(chq_reflexive_step(&r, &e, &out), CHQ_MALFORMED);
    chq_writer_clear(&w); /* 5: no address */
    chq_stun_begin(&w, CHQ_STUN_BINDING, CHQ_STUN_SUCCESS, r.transaction_id);
    assert_int_equal(chq_stun_finish(&w), CHQ_OK);
    e.datagram = chq_writer_bytes(&w);
    assert_int_equal(chq_reflexive_step(&r, &e, &out), CHQ_MALFORMED);
    assert_int_equal(r.mapped.family, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(asks_until_answered_then_keeps_the_mapping),
        cmocka_unit_test(gives_up_on_a_silent_server),
        cmocka_unit_test(believes_only_its_server),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
