/* SPDX-License-Identifier: Apache-2.0 */
#include "core/base/address.h"
#include "unit.h"

static void text_follows_rfc_5952(void **state)
{
    (void)state;
    static const struct {
        struct chq_address address;
        const char *text;
    } rows[] = {
        {{.family = 4, .port = 3478, .ip = {192, 0, 2, 1}}, "192.0.2.1:3478"},
        {{.family = 6, .port = 1, .ip = {0}}, "[::]:1"},
        {{.family = 6, .port = 1, .ip = {[15] = 1}}, "[::1]:1"},
        {{.family = 6, .port = 65535, .ip = {0x20, 0x01, 0x0d, 0xb8, [15] = 1}}, "[2001:db8::1]:65535"},
        {{.family = 6, .port = 0, .ip = {0xfe, 0x80}}, "[fe80::]:0"},
        {{.family = 6, .ip = {0x20, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1}}, "[2001:0:0:1::1]:0"},
        {{.family = 6, .ip = {0x20, 1, 0x0d, 0xb8, 0, 0, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1}},
            "[2001:db8:0:1:1:1:1:1]:0"},
        {{0}, "-"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char text[CHQ_ADDRESS_TEXT_MAX];
        chq_address_write(&rows[i].address, text);
        assert_string_equal(text, rows[i].text);
    }
}

static void hosts_and_ports_compare(void **state)
{
    (void)state;
    struct chq_address a = chq_address_ip4(192, 0, 2, 1, 1), b = a, six = a;
    b.port = 2;
    six.family = 6;
    assert_true(chq_address_same_host(&a, &b));
    assert_false(chq_address_equal(&a, &b));
    assert_false(chq_address_same_host(&a, &six));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_follows_rfc_5952),
        cmocka_unit_test(hosts_and_ports_compare),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
