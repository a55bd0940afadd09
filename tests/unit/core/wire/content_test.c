/* SPDX-License-Identifier: Apache-2.0 */
#include "core/base/text.h"
#include "core/wire/cbor.h"
#include "core/wire/content.h"
#include "unit.h"

#include <string.h>

static uint8_t storage[16384];

static struct chq_content make(enum chq_content_kind kind)
{
    struct chq_content c = {.kind = kind, .sent_ms = 1800000000123, .order = 7};
    memset(c.message_id, 0xaa, sizeof c.message_id);
    return c;
}

static struct chq_bytes written(const struct chq_content *c)
{
    struct chq_writer w = chq_writer_fixed(storage, sizeof storage);
    chq_content_write(&w, c);
    assert_int_equal(chq_writer_finish(&w), CHQ_OK);
    return chq_writer_bytes(&w);
}

#define HEAD    "0150aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa021b000001a3185c507b"
#define ID_BB   "50bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define B32(xx) "5820" xx xx xx xx
#define EIGHT_1 "1111111111111111"
#define EIGHT_2 "2222222222222222"
#define EIGHT_3 "3333333333333333"

/* The published form of each kind. */
static void vectors(void **state)
{
    (void)state;
    char hex[1024];
    struct chq_content c = make(CHQ_CONTENT_TEXT);
    c.text.utf8 = chq_bytes_text("hola");
    chq_hex_write(written(&c), hex);
    assert_string_equal(hex, "a50001" HEAD "0364686f6c610907");
    c = make(CHQ_CONTENT_RECEIPT);
    c.receipt.n = 1;
    memset(c.receipt.ids[0], 0xbb, sizeof c.receipt.ids[0]);
    chq_hex_write(written(&c), hex);
    assert_string_equal(hex, "a50002" HEAD "0381" ID_BB "0907");
    c = make(CHQ_CONTENT_HELLO);
    memset(c.hello.account_id, 0x11, 32);
    c.hello.handle = chq_bytes_text("ana");
    memset(c.hello.relay_id, 0x22, 32);
    memset(c.hello.queue_id, 0x33, 32);
    chq_hex_write(written(&c), hex);
    assert_string_equal(hex, "a80003" HEAD "03" B32(EIGHT_1) "0463616e61"
                                                             "05" B32(EIGHT_2) "06" B32(EIGHT_3) "0907");
    c = make(CHQ_CONTENT_CALL);
    memset(c.call.call_id, 0xbb, sizeof c.call.call_id);
    c.call.signal = chq_bytes("\1\2", 2);
    chq_hex_write(written(&c), hex);
    assert_string_equal(hex, "a60004" HEAD "03" ID_BB "0442"
                             "01020907");
}

static void reads_what_it_wrote(void **state)
{
    (void)state;
    static char big[CHQ_TEXT_BYTES_MAX];
    struct chq_content c = make(CHQ_CONTENT_TEXT), back;
    memset(big, 'x', sizeof big);
    c.text.utf8 = chq_bytes(big, sizeof big);
    assert_int_equal(chq_content_read(&back, written(&c)), CHQ_OK);
    assert_true(chq_bytes_equal(back.text.utf8, c.text.utf8));
    assert_memory_equal(back.message_id, c.message_id, sizeof c.message_id);
    assert_true(back.sent_ms == c.sent_ms && back.order == c.order);
    c = make(CHQ_CONTENT_RECEIPT);
    c.receipt.n = CHQ_RECEIPT_IDS_MAX;
    memset(c.receipt.ids, 5, sizeof c.receipt.ids);
    assert_int_equal(chq_content_read(&back, written(&c)), CHQ_OK);
    assert_int_equal(back.receipt.n, CHQ_RECEIPT_IDS_MAX);
    assert_memory_equal(back.receipt.ids, c.receipt.ids, sizeof c.receipt.ids);
    c = make(CHQ_CONTENT_HELLO);
    assert_int_equal(chq_content_read(&back, written(&c)), CHQ_OK);
    assert_int_equal(back.hello.handle.size, 0);
}

static void refuses_to_write_what_nobody_would_read(void **state)
{
    (void)state;
    static char big[CHQ_TEXT_BYTES_MAX + 1];
    struct chq_content rows[7];
    static const enum chq_err expected[] = {
        CHQ_LIMIT, CHQ_MALFORMED, CHQ_MALFORMED, CHQ_LIMIT, CHQ_LIMIT, CHQ_UNSUPPORTED, CHQ_MALFORMED};
    memset(big, 'x', sizeof big);
    for (size_t i = 0; i < 7; i++)
        rows[i] = make(CHQ_CONTENT_TEXT);
    rows[0].text.utf8 = chq_bytes(big, sizeof big);
    rows[1].text.utf8 = chq_bytes("\xff", 1);
    rows[2].text.utf8 = chq_bytes(big, 0);
    rows[3].kind = CHQ_CONTENT_RECEIPT;
    rows[3].receipt.n = CHQ_RECEIPT_IDS_MAX + 1;
    rows[4].kind = CHQ_CONTENT_CALL;
    rows[4].call.signal = chq_bytes(big, CHQ_CALL_SIGNAL_BYTES_MAX + 1);
    rows[5].kind = (enum chq_content_kind)9;
    rows[6].text.utf8 = chq_bytes_text("no order");
    rows[6].order = 0;
    for (size_t i = 0; i < 7; i++) {
        struct chq_writer w = chq_writer_fixed(storage, sizeof storage);
        chq_content_write(&w, &rows[i]);
        if (chq_writer_finish(&w) != expected[i])
            fail_msg("row %zu: %d", i, (int)w.err);
    }
}

/* Every row must be refused; the number is its name. */
static void bad_inputs(void **state)
{
    (void)state;
    static const char *const rows[] = {
        /* 0 */ "",
        /* 1: no order */ "a40001" HEAD "0364686f6c61",
        /* 2: order 0 */ "a50001" HEAD "0364686f6c610900",
        /* 3: empty text */ "a50001" HEAD "03600907",
        /* 4: text as bytes */ "a50001" HEAD "0344686f6c610907",
        /* 5: not UTF-8 */ "a50001" HEAD "0361ff0907",
        /* 6: an extra field */ "a60001" HEAD "0364686f6c6104000907",
        /* 7: keys not rising */ "a50001" HEAD "09070364686f6c61",
        /* 8: trailing byte */ "a50001" HEAD "0364686f6c61090700",
        /* 9: empty receipt */ "a50002" HEAD "03800907",
        /* 10: short id in a receipt */ "a50002" HEAD "038141bb0907",
        /* 11: 65 ids announced */ "a50002" HEAD "039841",
        /* 12: empty signal */ "a60004" HEAD "03" ID_BB "04400907",
        /* 13: negative kind */ "a50020" HEAD "0364686f6c610907",
        /* 14: kind beyond 16 bits */ "a5001a00010000" HEAD "0364686f6c610907",
        /* 15: kind as text */ "a5006161" HEAD "0364686f6c610907",
        /* 16: handle of 33 characters */
        "a80003" HEAD
        "03" B32(EIGHT_1) "047821616161616161616161616161616161616161616161616161616161616161616161"
                          "05" B32(EIGHT_2) "06" B32(EIGHT_3) "0907",
        /* 17: a later kind, cut off */ "a50009" HEAD "0364686f6c6109",
        /* 18: a later kind without order */ "a40009" HEAD "0364686f6c61",
        /* 19: an array */ "8501020304",
        /* 20: the kind missing */
        "a401"
        "50aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa021b000001a3185c507b03600907",
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct chq_content c;
        size_t size = strlen(rows[i]) / 2;
        assert_int_equal(chq_hex_read(rows[i], storage, size), CHQ_OK);
        if (chq_content_read(&c, chq_bytes(storage, size)) != CHQ_MALFORMED)
            fail_msg("bad input %zu was accepted", i);
        assert_int_equal(c.kind, 0);
    }
}

static void a_later_kind_can_be_passed_over(void **state)
{
    (void)state;
    static const char *const rows[] = {
        "a50009" HEAD "0364686f6c610907", "a40009" HEAD "0907", "a70009" HEAD "038102050006a101800907"};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct chq_content c;
        size_t size = strlen(rows[i]) / 2;
        assert_int_equal(chq_hex_read(rows[i], storage, size), CHQ_OK);
        assert_int_equal(chq_content_read(&c, chq_bytes(storage, size)), CHQ_UNSUPPORTED);
        assert_int_equal(c.order, 7);
        assert_int_equal(c.message_id[3], 0xaa);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(vectors),
        cmocka_unit_test(reads_what_it_wrote),
        cmocka_unit_test(refuses_to_write_what_nobody_would_read),
        cmocka_unit_test(bad_inputs),
        cmocka_unit_test(a_later_kind_can_be_passed_over),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
