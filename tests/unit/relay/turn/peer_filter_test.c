/* SPDX-License-Identifier: Apache-2.0 */
#include "relay/turn/peer_filter.h"
#include "relay/turn/sockaddr.h"
#include "unit.h"

#include <string.h>

static struct chq_address host(const char *text)
{
    struct chq_address address;
    if (chq_address_read_host(text, 9, &address) != CHQ_OK)
        fail_msg("%s", text);
    return address;
}

/* Peers that a relay must not be talked into reaching; coturn 4.6.1 as packaged takes 35 of the first 41. */
static const char *const refused[] = {"0.0.0.0", "0.255.255.255", "10.0.0.1", "10.255.255.255", "100.64.0.1",
    "100.127.255.255", "127.0.0.1", "127.255.255.254", "169.254.0.1", "169.254.169.254", "172.16.0.1",
    "172.31.255.255", "192.0.0.1", "192.0.2.1", "192.88.99.1", "192.168.0.1", "192.168.255.255", "198.18.0.1",
    "198.19.255.255", "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.255", "240.0.0.1",
    "255.255.255.255", "::", "::1", "::ffff:127.0.0.1", "::127.0.0.1", "64:ff9b::7f00:1", "64:ff9b:1::7f00:1",
    "2002:7f00:1::1", "2001:0:7f00:1::1", "100::1", "2001:db8::1", "fc00::1", "fd00:ec2::254", "fe80::1",
    "fec0::1", "ff02::1", "::ffff:0:127.0.0.1",
    /* beyond: the rest of the registries, blocks' ends, public addresses carried in IPv6 forms */
    "192.31.196.1", "192.52.193.1", "192.175.48.1", "::ffff:8.8.8.8", "64:ff9b::808:808", "2002:808:808::1",
    "2001:1ff:ffff::1", "2001:10::1", "2001:20::1", "2620:4f:8000::1", "3ffe::1", "3fff::1", "3fff:fff::1",
    "5f00::1", "4000::1", "1fff:ffff::1", "2a00:1450::5efe:127.0.0.1", "2a00:1450::200:5efe:10.0.0.1",
    "febf::1", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"};

static const char *const allowed[] = {"1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.0", "100.63.255.255",
    "100.128.0.0", "126.255.255.255", "128.0.0.0", "169.253.255.255", "169.255.0.0", "172.15.255.255",
    "172.32.0.0", "192.0.1.0", "192.0.3.0", "192.167.255.255", "192.169.0.0", "198.17.255.255", "198.20.0.0",
    "223.255.255.255", "2000::1", "2001:200::1", "2001:4860:4860::8888", "2003::1",
    "2a00:1450:4001:800::2004", "2606:4700::1111"};

static void special_addresses_are_refused(void **state)
{
    (void)state;
    static const struct chq_peer_filter filter;
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        struct chq_address peer = host(refused[i]);
        if (chq_peer_filter_allows(&filter, &peer))
            fail_msg("row %zu: %s was allowed", i + 1, refused[i]);
    }
    for (size_t i = 0; i < sizeof allowed / sizeof *allowed; i++) {
        struct chq_address peer = host(allowed[i]);
        if (!chq_peer_filter_allows(&filter, &peer))
            fail_msg("row %zu: %s was refused", i + 1, allowed[i]);
    }
    static const struct chq_address none;
    assert_false(chq_peer_filter_allows(&filter, &none));
}

static void own_addresses_need_to_be_listed(void **state)
{
    (void)state;
    struct chq_peer_filter filter = {.own = {host("8.8.8.8"), host("2a00::1")}, .own_count = 2};
    struct chq_address own = host("8.8.8.8"), own6 = host("2a00::1"), other = host("8.8.8.9");
    own.port = 1; /* whatever the port */
    assert_false(chq_peer_filter_allows(&filter, &own));
    assert_false(chq_peer_filter_allows(&filter, &own6));
    assert_true(chq_peer_filter_allows(&filter, &other));
    assert_int_equal(chq_prefix_read("8.8.8.8", &filter.allow[0]), CHQ_OK);
    filter.allow_count = 1;
    assert_true(chq_peer_filter_allows(&filter, &own));
    assert_false(chq_peer_filter_allows(&filter, &own6));
}

static void prefixes_lift_exactly_themselves(void **state)
{
    (void)state;
    struct chq_peer_filter filter = {.allow_count = 2};
    assert_int_equal(chq_prefix_read("10.1.2.0/23", &filter.allow[0]), CHQ_OK);
    assert_int_equal(chq_prefix_read("fd00:1::/33", &filter.allow[1]), CHQ_OK);
    static const struct {
        const char *text;
        bool allowed;
    } rows[] = {{"10.1.2.0", true}, {"10.1.3.255", true}, {"10.1.1.255", false}, {"10.1.4.0", false},
        {"fd00:1:7fff::1", true}, {"fd00:1:8000::", false}, {"::ffff:10.1.2.1", false}, {"127.0.0.1", false}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct chq_address peer = host(rows[i].text);
        assert_int_equal(chq_peer_filter_allows(&filter, &peer), rows[i].allowed);
    }
}

static void bad_prefixes_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"", "/", "/8", "10.0.0.0/", "10.0.0.0/33", "::/129", "10.0.0.1/8",
        "10.0.0/8", "10.0.0.0/-1", "10.0.0.0/8 ", "fd00::1/64", "example.org", "10.0.0.0/8/8", "::1%lo",
        "1111:2222:3333:4444:5555:6666:7777:8888:9999:0000:1111:2222:3333/8"};
    struct chq_prefix prefix;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (chq_prefix_read(bad[i], &prefix) != CHQ_MALFORMED)
            fail_msg("row %zu: %s", i + 1, bad[i]);
    assert_int_equal(chq_prefix_read("0.0.0.0/0", &prefix), CHQ_OK);
    assert_int_equal(prefix.bits, 0);
    assert_int_equal(chq_prefix_read("::1", &prefix), CHQ_OK);
    assert_int_equal(prefix.bits, 128);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(special_addresses_are_refused),
        cmocka_unit_test(own_addresses_need_to_be_listed),
        cmocka_unit_test(prefixes_lift_exactly_themselves),
        cmocka_unit_test(bad_prefixes_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
