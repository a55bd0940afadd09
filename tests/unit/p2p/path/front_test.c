/* SPDX-License-Identifier: Apache-2.0 */
#include "p2p/path/front.h"

#include <string.h>

#include "core/wire/stun.h"
#include "unit.h"

static const uint8_t id[12] = "transaction";
static const struct chq_address agent = {.family = 4, .port = 4000, .ip = {127, 0, 0, 1}};

static enum chq_err up(struct chq_front *f, const struct chq_address *from, struct chq_bytes datagram,
    struct chq_front_actions *out)
{
    const struct chq_front_event e = {.type = CHQ_FRONT_FROM_AGENT, .agent = *from, .datagram = datagram};
    return chq_front_step(f, &e, out);
}

static enum chq_err down(struct chq_front *f, struct chq_bytes datagram, struct chq_front_actions *out)
{
    const struct chq_front_event e = {.type = CHQ_FRONT_FROM_RELAY, .flow = 0, .datagram = datagram};
    return chq_front_step(f, &e, out);
}

static struct chq_bytes request(struct chq_writer *w, uint16_t method)
{
    chq_writer_clear(w);
    chq_stun_begin(w, method, CHQ_STUN_REQUEST, id);
    assert_int_equal(chq_stun_finish(w), CHQ_OK);
    return chq_writer_bytes(w);
}

static void passes_turn_and_counts_payload(void **state)
{
    (void)state;
    struct chq_front f;
    struct chq_front_actions out;
    uint8_t storage[1500];
    struct chq_writer w = chq_writer_fixed(storage, sizeof storage);
    chq_front_init(&f);
    assert_int_equal(up(&f, &agent, request(&w, CHQ_STUN_ALLOCATE), &out), CHQ_OK);
    assert_int_equal(out.to, CHQ_FRONT_TO_RELAY);
    assert_int_equal(out.flow, 0);
    assert_int_equal(out.datagram.size, 20);

    chq_writer_clear(&w);
    chq_stun_begin(&w, CHQ_STUN_ALLOCATE, CHQ_STUN_ERROR, id);
    chq_stun_write_error(&w, 401, chq_bytes(NULL, 0));
    chq_stun_write(&w, CHQ_STUN_REALM, chq_bytes_text("chasqui"));
    chq_stun_write(&w, CHQ_STUN_NONCE, chq_bytes_text("abc"));
    assert_int_equal(chq_stun_finish(&w), CHQ_OK);
    assert_int_equal(down(&f, chq_writer_bytes(&w), &out), CHQ_OK);
    assert_int_equal(out.to, CHQ_FRONT_TO_AGENT);
    assert_true(chq_address_equal(&out.agent, &agent));

    const struct chq_address peer = chq_address_ip4(192, 0, 2, 1, 9);
    chq_writer_clear(&w);
    chq_stun_begin(&w, CHQ_STUN_SEND, CHQ_STUN_INDICATION, id);
    chq_stun_write_address(&w, CHQ_STUN_XOR_PEER_ADDRESS, &peer);
    chq_stun_write(&w, CHQ_STUN_DATA_ATTRIBUTE, chq_bytes_text("hello"));
    assert_int_equal(chq_stun_finish(&w), CHQ_OK);
    assert_int_equal(up(&f, &agent, chq_writer_bytes(&w), &out), CHQ_OK);
    assert_int_equal(f.stats.bytes_up, 5);

    chq_writer_clear(&w);
    chq_stun_begin(&w, CHQ_STUN_DATA, CHQ_STUN_INDICATION, id);
    chq_stun_write_address(&w, CHQ_STUN_XOR_PEER_ADDRESS, &peer);
    chq_stun_write(&w, CHQ_STUN_DATA_ATTRIBUTE, chq_bytes_text("hello you"));
    assert_int_equal(chq_stun_finish(&w), CHQ_OK);
    assert_int_equal(down(&f, chq_writer_bytes(&w), &out), CHQ_OK);
    assert_int_equal(f.stats.bytes_down, 9);

    const uint8_t channel[] = {0x40, 0x00, 0, 3, 'a', 'b', 'c', 0}; /* padded by one byte */
    assert_int_equal(up(&f, &agent, chq_bytes(channel, 8), &out), CHQ_OK);
    assert_int_equal(down(&f, chq_bytes(channel, 7), &out), CHQ_OK);
    assert_int_equal(f.stats.bytes_up, 8);
    assert_int_equal(f.stats.bytes_down, 12);
    assert_int_equal(f.stats.malformed + f.stats.refused + f.stats.agent_dropped, 0);
}

static void keeps_flows_apart(void **state)
{
    (void)state;
    struct chq_front f;
    struct chq_front_actions out;
    uint8_t storage[64];
    struct chq_writer w = chq_writer_fixed(storage, sizeof storage);
    chq_front_init(&f);
    for (unsigned i = 0; i < CHQ_FRONT_FLOWS_MAX + 1; i++) {
        struct chq_address from = agent;
        from.port = (uint16_t)(4000 + i);
        const enum chq_err err = up(&f, &from, request(&w, CHQ_STUN_ALLOCATE), &out);
        assert_int_equal(err, i < CHQ_FRONT_FLOWS_MAX ? CHQ_OK : CHQ_LIMIT);
        if (err == CHQ_OK)
            assert_int_equal(out.flow, i);
    }
    assert_int_equal(f.stats.agent_dropped, 1);
}

/* Build message `number` of what a relay may not say; return false after the last. */
static bool hostile(struct chq_writer *w, int number, const char **why)
{
    static const uint8_t quotes[2] = {'"', '"'};
    chq_writer_clear(w);
    const bool indication = number == 9 || number == 10;
    chq_stun_begin(w,
        number == 8   ? 0x00A
        : number == 9 ? CHQ_STUN_SEND
                      : CHQ_STUN_ALLOCATE,
        number == 7    ? CHQ_STUN_REQUEST
        : indication   ? CHQ_STUN_INDICATION
        : number == 12 ? CHQ_STUN_SUCCESS
                       : CHQ_STUN_ERROR,
        id);
    if (number != 7 && !indication && number != 12)
        chq_stun_write_error(w, number == 11 ? 300 : 401, chq_bytes(NULL, 0));
    switch (number) {
    case 1:
        *why = "a realm of two quotation marks";
        chq_stun_write(w, CHQ_STUN_REALM, chq_bytes(quotes, 2));
        break;
    case 2:
        *why = "an empty realm";
        chq_stun_write(w, CHQ_STUN_REALM, chq_bytes("", 0));
        break;
    case 3:
        *why = "a realm with NUL";
        chq_stun_write(w, CHQ_STUN_REALM, chq_bytes("a\0b", 3));
        break;
    case 4:
        *why = "one quotation mark";
        chq_stun_write(w, CHQ_STUN_REALM, chq_bytes(quotes, 1));
        break;
    case 5:
        *why = "an empty nonce";
        chq_stun_write(w, CHQ_STUN_NONCE, chq_bytes("", 0));
        break;
    case 6:
        *why = "a second realm of quotation marks";
        chq_stun_write(w, CHQ_STUN_REALM, chq_bytes_text("chasqui"));
        chq_stun_write(w, CHQ_STUN_REALM, chq_bytes(quotes, 2));
        break;
    case 7: *why = "a request"; break;
    case 8: *why = "an unknown method"; break;
    case 9: *why = "a Send indication"; break;
    case 10: *why = "an Allocate indication"; break;
    case 11: *why = "300: go to another server"; break;
    case 12:
        *why = "ALTERNATE-SERVER";
        chq_stun_write(w, 0x8023, chq_bytes("\0\1\x0d\x96\x7f\0\0\1", 8));
        break;
    default: return false;
    }
    return chq_stun_finish(w) == CHQ_OK;
}

static void drops_what_a_relay_may_not_say(void **state)
{
    (void)state;
    struct chq_front f;
    struct chq_front_actions out;
    uint8_t storage[256];
    struct chq_writer w = chq_writer_fixed(storage, sizeof storage);
    const char *why = "";
    chq_front_init(&f);
    assert_int_equal(up(&f, &agent, request(&w, CHQ_STUN_ALLOCATE), &out), CHQ_OK);
    int number = 1;
    for (; hostile(&w, number, &why); number++) {
        if (down(&f, chq_writer_bytes(&w), &out) == CHQ_OK || out.to != CHQ_FRONT_NOWHERE)
            fail_msg("%d passed: %s", number, why);
    }
    assert_int_equal(number, 13);
    static const struct {
        int number;
        uint8_t bytes[24];
        size_t size;
    } raw[] = {
        {13, {0}, 0},
        {14, {0x01, 0x13}, 2},
        {15, {0x01, 0x13, 0, 4, 0x21, 0x12, 0xA4, 0x42}, 20},
        {16, {0x01, 0x13, 0, 0, 0x21, 0x12, 0xA4, 0x43}, 20},
        {17, {0x40, 0, 0, 9, 1}, 5},
        {18, {0x80, 96, 0, 1}, 20},
        {19, {0x16, 0xfe, 0xfd}, 20},
        {20, {0x01, 0x13, 0, 1, 0x21, 0x12, 0xA4, 0x42}, 21},
    };
    for (size_t i = 0; i < sizeof raw / sizeof *raw; i++)
        if (down(&f, chq_bytes(raw[i].bytes, raw[i].size), &out) == CHQ_OK)
            fail_msg("%d passed", raw[i].number);
    static uint8_t large[CHQ_STUN_BYTES_MAX + 1] = {0x40, 0};
    assert_int_equal(down(&f, chq_bytes(large, sizeof large), &out), CHQ_LIMIT);
    assert_int_equal(f.stats.malformed + f.stats.refused, 12 + 8 + 1);
    assert_int_equal(f.stats.datagrams_down, 0);
}

static void lets_only_turn_out(void **state)
{
    (void)state;
    struct chq_front f;
    struct chq_front_actions out;
    chq_front_init(&f);
    const uint8_t rtp[20] = {0x80, 96};
    assert_int_equal(up(&f, &agent, chq_bytes(rtp, sizeof rtp), &out), CHQ_MALFORMED);
    uint8_t storage[64];
    struct chq_writer w = chq_writer_fixed(storage, sizeof storage);
    chq_stun_begin(&w, CHQ_STUN_BINDING, CHQ_STUN_SUCCESS, id);
    assert_int_equal(chq_stun_finish(&w), CHQ_OK);
    assert_int_equal(up(&f, &agent, chq_writer_bytes(&w), &out), CHQ_AUTH);
    assert_int_equal(f.stats.agent_dropped, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(passes_turn_and_counts_payload),
        cmocka_unit_test(keeps_flows_apart),
        cmocka_unit_test(drops_what_a_relay_may_not_say),
        cmocka_unit_test(lets_only_turn_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
