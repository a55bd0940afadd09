/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "core/base/text.h"
#include "core/wire/cbor.h"
#include "p2p/signal/signal.h"
#include "unit.h"

/* Published vectors (docs/protocol.md section 10). */
static const char offer_hex[] =
    "a700010101021b000001a0c4506c00035820010101010101010101010101010101010101010101010101010101010101"
    "01010464616263640576303132333435363738393031323334353637383930310682a501030244c63364070319c35004"
    "1a00ffffff056133a50101025020010db800000000000000000000000103191388041a780001ff056131";

static struct chq_signal_message example(void)
{
    struct chq_signal_message m = {.type = CHQ_CALL_SIGNAL_OFFER,
        .sent_ms = 1790000000000,
        .credentials = {"abcd", "0123456789012345678901"},
        .candidates_count = 2,
        .candidates = {{CHQ_CANDIDATE_RELAYED, chq_address_ip4(198, 51, 100, 7, 50000), 16777215, "3"},
            {CHQ_CANDIDATE_HOST, {.family = 6, .port = 5000, .ip = {0x20, 0x01, 0x0d, 0xb8, [15] = 1}},
                2013266431, "1"}}};
    memset(m.random, 1, sizeof m.random);
    return m;
}

static void vector_both_ways(void **state)
{
    (void)state;
    uint8_t storage[CHQ_CALL_SIGNAL_BYTES_MAX];
    char hex[2 * CHQ_CALL_SIGNAL_BYTES_MAX + 1];
    struct chq_signal_message m = example(), back;
    struct chq_writer w = chq_writer_fixed(storage, sizeof storage);
    chq_signal_write(&w, &m);
    assert_int_equal(chq_writer_finish(&w), CHQ_OK);
    chq_hex_write(chq_writer_bytes(&w), hex);
    assert_string_equal(hex, offer_hex);
    assert_int_equal(chq_signal_read(chq_writer_bytes(&w), &back), CHQ_OK);
    assert_memory_equal(&back, &m, sizeof m);
}

static void every_type_both_ways(void **state)
{
    (void)state;
    for (int type = CHQ_CALL_SIGNAL_OFFER; type <= CHQ_CALL_SIGNAL_HANGUP; type++) {
        uint8_t storage[CHQ_CALL_SIGNAL_BYTES_MAX];
        struct chq_signal_message m = {.type = (enum chq_call_signal)type}, back;
        const struct chq_signal_message full = example();
        if (type <= CHQ_CALL_SIGNAL_CANDIDATES) {
            m.candidates_count = 2;
            memcpy(m.candidates, full.candidates, sizeof m.candidates);
        }
        if (type <= CHQ_CALL_SIGNAL_ANSWER)
            m.credentials = full.credentials;
        if (type == CHQ_CALL_SIGNAL_HANGUP)
            m.reason = CHQ_CALL_END_BUSY;
        struct chq_writer w = chq_writer_fixed(storage, sizeof storage);
        chq_signal_write(&w, &m);
        assert_int_equal(chq_writer_finish(&w), CHQ_OK);
        assert_int_equal(chq_signal_read(chq_writer_bytes(&w), &back), CHQ_OK);
        assert_memory_equal(&back, &m, sizeof m);
        for (size_t size = 0; size < w.size; size++) /* every shorter form is refused */
            assert_int_equal(chq_signal_read(chq_bytes(storage, size), &back), CHQ_MALFORMED);
        chq_write_u8(&w, 0);
        assert_int_equal(chq_signal_read(chq_writer_bytes(&w), &back), CHQ_MALFORMED);
    }
}

/* Each row spoils the example in one way. */
static void spoil(struct chq_signal_message *m, int number)
{
    switch (number) {
    case 2: m->credentials.ufrag[3] = 0; break;
    case 3: m->credentials.password[21] = 0; break;
    case 4: m->credentials.ufrag[0] = '"'; break;
    case 5: m->credentials.password[0] = ' '; break;
    case 6: m->candidates[0].kind = (enum chq_candidate_kind)0; break;
    case 7: m->candidates[0].address.port = 0; break;
    case 8: m->candidates[0].priority = 0; break;
    case 9: m->candidates[0].priority = 0x80000000u; break;
    case 10: m->candidates[0].foundation[0] = 0; break;
    case 11: m->candidates[0].foundation[0] = '\r'; break;
    case 12: m->candidates[0].address = chq_address_ip4(0, 0, 0, 0, 9); break;
    case 13: m->candidates[0].address = chq_address_ip4(224, 0, 0, 1, 9); break;
    case 14: m->candidates[0].address = chq_address_ip4(255, 255, 255, 255, 9); break;
    case 15: m->candidates[1].address.ip[0] = 0xff; break;
    case 16: memset(m->candidates[1].address.ip, 0, 16); break;
    case 17: m->candidates[0].address = chq_address_ip4(0, 1, 2, 3, 9); break;
    default: fail();
    }
}

static void refuses_bad_fields(void **state)
{
    (void)state;
    struct chq_signal_message back;
    for (int number = 2; number <= 17; number++) {
        uint8_t storage[CHQ_CALL_SIGNAL_BYTES_MAX];
        struct chq_signal_message m = example();
        spoil(&m, number);
        struct chq_writer w = chq_writer_fixed(storage, sizeof storage);
        chq_signal_write(&w, &m);
        assert_int_equal(chq_writer_finish(&w), CHQ_OK);
        if (chq_signal_read(chq_writer_bytes(&w), &back) != CHQ_MALFORMED)
            fail_msg("bad signal %d was taken", number);
    }
    static const struct {
        int number;
        const char *hex;
        enum chq_err err;
    } bad[] = {
        {18, "a0", CHQ_MALFORMED},
        {19, "a10000", CHQ_MALFORMED},
        {20, "a10006", CHQ_MALFORMED},
        {21, "a100050700", CHQ_MALFORMED},
        {22, "a200050700", CHQ_MALFORMED},
        {23, "a200050708", CHQ_MALFORMED},
        {24, "a200030680", CHQ_MALFORMED},
        {25, "a2000307 01", CHQ_MALFORMED},
        {26, "a2000407 01", CHQ_MALFORMED},
        {27, "bf0004ff", CHQ_MALFORMED},
        {28, "a1180004", CHQ_MALFORMED},
        {29, "a200010102", CHQ_UNSUPPORTED},
        {30, "a700010102", CHQ_UNSUPPORTED},
        {31, "a2000306 9bffffffffffffffff", CHQ_MALFORMED},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        uint8_t bytes[64];
        char clean[129];
        size_t n = 0;
        for (const char *c = bad[i].hex; *c != 0; c++)
            if (*c != ' ')
                clean[n++] = *c;
        clean[n] = 0;
        assert_int_equal(chq_hex_read(clean, bytes, n / 2), CHQ_OK);
        const enum chq_err err = chq_signal_read(chq_bytes(bytes, n / 2), &back);
        if (err == CHQ_OK || (bad[i].err == CHQ_MALFORMED && err != CHQ_MALFORMED))
            fail_msg("bad signal %d: %d", bad[i].number, (int)err);
    }
    static uint8_t large[CHQ_CALL_SIGNAL_BYTES_MAX + 1];
    assert_int_equal(chq_signal_read(chq_bytes(large, sizeof large), &back), CHQ_LIMIT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(vector_both_ways),
        cmocka_unit_test(every_type_both_ways),
        cmocka_unit_test(refuses_bad_fields),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
