/* SPDX-License-Identifier: Apache-2.0 */
#include "core/base/text.h"
#include "core/identity/recovery.h"
#include "unit.h"

#include <string.h>

/* BIP 39's published test vectors (trezor/python-mnemonic vectors.json), those of 256 bits. */
static const struct {
    const char *entropy, *words;
} vectors[] = {
    {"0000000000000000000000000000000000000000000000000000000000000000",
        "abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon "
        "abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon art"},
    {"7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f",
        "legal winner thank year wave sausage worth useful legal winner thank year wave sausage worth useful "
        "legal winner thank year wave sausage worth title"},
    {"8080808080808080808080808080808080808080808080808080808080808080",
        "letter advice cage absurd amount doctor acoustic avoid letter advice cage absurd amount doctor "
        "acoustic "
        "avoid letter advice cage absurd amount doctor acoustic bless"},
    {"ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
        "zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo vote"},
    {"f585c11aec520db57dd353c69554b21a89b20fb0650966fa0a9d6f74fd989d8f",
        "void come effort suffer camp survey warrior heavy shoot primary clutch crush open amazing screen "
        "patrol group space point ten exist slush involve unfold"},
};

static void published_vectors(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++) {
        uint8_t entropy[CHQ_RECOVERY_ENTROPY_BYTES], back[CHQ_RECOVERY_ENTROPY_BYTES];
        char words[CHQ_RECOVERY_TEXT_BYTES];
        unsigned wrong;
        assert_int_equal(chq_hex_read(vectors[i].entropy, entropy, sizeof entropy), CHQ_OK);
        chq_recovery_write(words, entropy);
        assert_string_equal(words, vectors[i].words);
        assert_int_equal(chq_recovery_read(back, words, &wrong), CHQ_OK);
        assert_memory_equal(back, entropy, sizeof back);
    }
}

static void reading_forgives_case_space_and_short_words(void **state)
{
    (void)state;
    uint8_t entropy[CHQ_RECOVERY_ENTROPY_BYTES];
    unsigned wrong;
    assert_int_equal(
        chq_recovery_read(entropy,
            "  ZOO zoo\tzoo zoo zoo zoo zoo zoo\nzoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo "
            "zoo zoo zoo Vote\r\n",
            &wrong),
        CHQ_OK);
    assert_int_equal(chq_recovery_read(entropy,
                         "lega winn than year wave saus wort usef lega winn than year wave saus wort usef "
                         "legal winner thank year wave sausage worth titl",
                         &wrong),
        CHQ_OK);
    assert_int_equal(entropy[0], 0x7f);
}

#define ZOO_22 "zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo "

/* Every row must be refused, with this code and this word number. */
static void bad_inputs(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum chq_err err;
        unsigned wrong;
    } rows[] = {
        /* 0 */ {"", CHQ_LIMIT, 0},
        /* 1 */ {ZOO_22 "zoo", CHQ_LIMIT, 23},
        /* 2 */ {ZOO_22 "zoo vote zoo", CHQ_LIMIT, 25},
        /* 3 */ {ZOO_22 "zoo zoo", CHQ_AUTH, 0},
        /* 4 */ {ZOO_22 "vote zoo", CHQ_AUTH, 0},
        /* 5 */ {"zpo " ZOO_22 "vote", CHQ_MALFORMED, 1},
        /* 6 */ {ZOO_22 "zoo votes", CHQ_MALFORMED, 24},
        /* 7 */ {ZOO_22 "zoo vot", CHQ_MALFORMED, 24},
        /* 8 */ {ZOO_22 "abandonment vote", CHQ_MALFORMED, 23},
        /* 9 */ {ZOO_22 "abandonx vote", CHQ_MALFORMED, 23},
        /* 10 */ {ZOO_22 "zoo \xc3\xa1rbol", CHQ_MALFORMED, 24},
        /* 11 */ {ZOO_22 "zoo,vote", CHQ_MALFORMED, 23},
        /* 12 */ {"zoo 7 " ZOO_22, CHQ_MALFORMED, 2},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        uint8_t entropy[CHQ_RECOVERY_ENTROPY_BYTES], zeros[CHQ_RECOVERY_ENTROPY_BYTES] = {0};
        unsigned wrong = 99;
        memset(entropy, 1, sizeof entropy);
        enum chq_err err = chq_recovery_read(entropy, rows[i].text, &wrong);
        if (err != rows[i].err || wrong != rows[i].wrong)
            fail_msg("row %zu: %d, word %u", i, err, wrong);
        assert_memory_equal(entropy, zeros, sizeof zeros);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(published_vectors),
        cmocka_unit_test(reading_forgives_case_space_and_short_words),
        cmocka_unit_test(bad_inputs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
