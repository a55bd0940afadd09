/* SPDX-License-Identifier: Apache-2.0 */
#include "core/base/limits.h"
#include "relay/daemon/config.h"
#include "unit.h"

#include <stdlib.h>
#include <string.h>

#define KEY  "ab00000000000000000000000000000000000000000000000000000000000012"
#define REST "\n[ledger]\naddress = /l\nchain = c\nvalidator = " KEY ":1\n"

#define SECRET_16    "0123456789abcdef"
#define SECRET_64    SECRET_16 SECRET_16 SECRET_16 SECRET_16
#define LONG_SECRET  SECRET_64 SECRET_64 "0"
#define SECRET_OF(n) "shared_secret = " #n ":" SECRET_16 "\n"
#define NINE_SECRETS                                                                                         \
    SECRET_OF(1)                                                                                             \
    SECRET_OF(2) SECRET_OF(3) SECRET_OF(4) SECRET_OF(5) SECRET_OF(6) SECRET_OF(7) SECRET_OF(8) SECRET_OF(9)

static void defaults_write_and_read_back(void **state)
{
    (void)state;
    static struct chq_relay_config config, again;
    char error[CHQ_CONFIG_ERROR_BYTES];
    chq_relay_config_defaults(&config);
    assert_int_equal(chq_relay_config_set(&config, "ledger", "address", "/run/ledger.sock", error), CHQ_OK);
    assert_int_equal(chq_relay_config_set(&config, "ledger", "chain", "home-1", error), CHQ_OK);
    assert_int_equal(chq_relay_config_set(&config, "ledger", "validator", KEY ":7", error), CHQ_OK);
    assert_int_equal(chq_relay_config_set(&config, "relay", "price", "0.25", error), CHQ_OK);
    assert_int_equal(chq_relay_config_set(&config, "turn", "allow_peer", "10.0.0.0/8", error), CHQ_OK);
    assert_int_equal(chq_relay_config_set(&config, "turn", "allow_peer", "fd00::/8", error), CHQ_OK);
    assert_int_equal(chq_relay_config_set(&config, "turn", "shared_secret", "a:" SECRET_16, error), CHQ_OK);
    assert_int_equal(chq_relay_config_set(&config, "turn", "static_unmetered", "yes", error), CHQ_OK);
    assert_int_equal(chq_relay_config_set(&config, "relay", "region", "two\nlines", error), CHQ_MALFORMED);
    assert_int_equal(chq_relay_config_set(&config, "relay", "nothing", "1", error), CHQ_NOT_FOUND);
    struct chq_writer w = chq_writer_heap(CHQ_CONFIG_BYTES_MAX);
    chq_relay_config_write(&w, &config);
    assert_int_equal(chq_writer_finish(&w), CHQ_OK);
    if (chq_relay_config_read(&again, chq_writer_bytes(&w), error) != CHQ_OK)
        fail_msg("what init writes is refused: %s", error);
    assert_memory_equal(&config, &again, sizeof config);
    assert_int_equal(again.price_micro, 250000);
    assert_int_equal(again.validators[0].power, 7);
    assert_int_equal(again.turn_allow_peer_count, 2);
    chq_writer_free(&w);
}

/* Every row must be refused and the message must name the line and what is allowed; the number is its name. */
static void bad_inputs(void **state)
{
    (void)state;
    static const struct {
        const char *text, *says;
    } rows[] = {
        /* 0 */ {"port = 1" REST, "line 1: put a section"},
        /* 1 */ {"[relay\n", "line 1: a section is written as [relay]"},
        /* 2 */ {"[rely]\n", "line 1: there is no such section; sections are [relay], [ledger] and [turn]"},
        /* 3 */ {"[relay]\nnonsense" REST, "line 2: expected 'key = value'"},
        /* 4 */ {"[relay]\nprot = 1" REST, "line 2: [relay] has no key 'prot'; it takes host port bind"},
        /* 5 */ {"[relay]\nport = 0" REST, "line 2: [relay] port = 0: it takes a number from 1 to 65535"},
        /* 6 */ {"[relay]\nport = 65536" REST, "from 1 to 65535"},
        /* 7 */ {"[relay]\nport = 12x" REST, "from 1 to 65535"},
        /* 8 */ {"[relay]\nport = -1" REST, "from 1 to 65535"},
        /* 9 */ {"[relay]\nport =" REST, "from 1 to 65535"},
        /* 10 */ {"[relay]\nport = 1\n# x\nport = 2" REST, "line 4: given twice: port"},
        /* 11 */ {"[relay]\nprice = 0" REST, "from 0.000001"},
        /* 12 */ {"[relay]\nprice = 0.0000001" REST, "at most 6 places"},
        /* 13 */ {"[relay]\nquantum = 65535" REST, "from 65536 to 4294967295"},
        /* 14 */ {"[relay]\nhost =" REST, "it takes 1 to 255 characters"},
        /* 15 */ {"[relay]\nregion = 123456789012345678901234567890123" REST, "it takes 0 to 32 characters"},
        /* 16 */ {"[turn]\nallow_peer = 10.0.0.0" REST, "it takes a prefix, as 10.0.0.0/8"},
        /* 17 */ {"[turn]\nstatic_unmetered = maybe" REST, "it takes yes or no"},
        /* 18 */ {"[turn]\nstatic_user = name" REST, "it takes name:password"},
        /* 19 */ {"[turn]\nstatic_user = u:p" REST, "static_unmetered = yes"},
        /* 20 */ {"[turn]\nport_min = 50000\nport_max = 49999" REST, "port_min is above port_max"},
        /* 21 */ {"[ledger]\nchain = c\nvalidator = " KEY ":1", "[ledger] address is missing"},
        /* 22 */ {"[ledger]\naddress = /l\nvalidator = " KEY ":1", "[ledger] chain is missing"},
        /* 23 */ {"[ledger]\naddress = /l\nchain = c", "[ledger] validator is missing"},
        /* 24 */ {"[ledger]\nvalidator = " KEY, "64 hexadecimal digits"},
        /* 25 */ {"[ledger]\nvalidator = " KEY ":0", "64 hexadecimal digits"},
        /* 26 */ {"[ledger]\nvalidator = xb" KEY ":1", "64 hexadecimal digits"},
        /* 27 */ {"[ledger]\nvalidator = " KEY ":1\nvalidator = " KEY ":1", "line 3: [ledger] validator"},
        /* 28 */
        {"[ledger]\nchain = 123456789012345678901234567890123456789012345678901", "it takes 1 to 50"},
        /* 29 */ {"[relay]\nhost = \xff" REST, "line 2: not UTF-8"},
        /* 30 */ {"", "[ledger] address is missing"},
        /* 31 */ {"[turn]\nshared_secret = app:0123456789abcdef" REST, "static_unmetered = yes"},
        /* 32 */
        {"[turn]\nshared_secret = app:0123456789abcde" REST,
            "shared_secret = (not shown): it takes name:secret"},
        /* 33 */ {"[turn]\nshared_secret = :0123456789abcdef" REST, "it takes name:secret"},
        /* 34 */ {"[turn]\nshared_secret = 0123456789abcdef" REST, "it takes name:secret"},
        /* 35 */
        {"[turn]\nshared_secret = 123456789012345678901234567890123:0123456789abcdef" REST, "1 to 32 char"},
        /* 36 */
        {"[turn]\nshared_secret = a:0123456789abcdef\nshared_secret = a:fedcba9876543210" REST,
            "line 3: [turn] shared_secret = (not shown): this name"},
        /* 37 */ {"[turn]\nshared_secret = a:" LONG_SECRET REST, "16 to 128"},
        /* 39 */ {"[turn]\ntcp_port = 65536" REST, "from 0 to 65535"},
        /* 40 */ {"[turn]\ntls_port = x" REST, "from 0 to 65535"},
        /* 38 */ {"[turn]\n" NINE_SECRETS REST, "at most 8 apps"},
    };
    static struct chq_relay_config config;
    char error[CHQ_CONFIG_ERROR_BYTES];
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (chq_relay_config_read(&config, chq_bytes_text(rows[i].text), error) == CHQ_OK)
            fail_msg("row %zu was accepted", i);
        if (strstr(error, rows[i].says) == NULL)
            fail_msg("row %zu says '%s', not '%s'", i, error, rows[i].says);
    }
    static char long_line[2000];
    memset(long_line, '#', sizeof long_line);
    assert_int_equal(
        chq_relay_config_read(&config, chq_bytes(long_line, sizeof long_line), error), CHQ_MALFORMED);
    assert_non_null(strstr(error, "line 1: above 1,023 characters"));
    static char big[CHQ_CONFIG_BYTES_MAX + 1];
    assert_int_equal(chq_relay_config_read(&config, chq_bytes(big, sizeof big), error), CHQ_LIMIT);
    assert_int_equal(chq_relay_config_read(&config, chq_bytes("[relay]\0", 8), error), CHQ_MALFORMED);
}

static void good_inputs(void **state)
{
    (void)state;
    static struct chq_relay_config config;
    char error[CHQ_CONFIG_ERROR_BYTES];
    const char *text = "; comment\r\n  [relay]  \r\n\tport\t=\t8443 \r\n\r\n# more\nhost=relay.example" REST
                       "[turn]\nstatic_user = u:p:q\nstatic_unmetered = yes\nport = 0\n"
                       "shared_secret = a:with:colons:in:it\nshared_secret = ab:0123456789abcdef";
    if (chq_relay_config_read(&config, chq_bytes_text(text), error) != CHQ_OK)
        fail_msg("%s", error);
    assert_int_equal(config.port, 8443);
    assert_string_equal(config.host, "relay.example");
    assert_string_equal(config.turn_static_user[0], "u:p:q");
    assert_int_equal(config.turn_shared_secret_count, 2);
    assert_string_equal(config.turn_shared_secret[0], "a:with:colons:in:it");
    assert_int_equal(config.turn_port, 0);
    assert_int_equal(config.quantum_bytes, CHQ_QUANTUM_BYTES_DEFAULT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_write_and_read_back),
        cmocka_unit_test(bad_inputs),
        cmocka_unit_test(good_inputs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
