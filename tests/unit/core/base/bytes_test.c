/* SPDX-License-Identifier: Apache-2.0 */
#include "core/base/bytes.h"
#include "core/base/text.h"
#include "unit.h"

#include <stdlib.h>
#include <string.h>

static void reader_is_sticky(void **state)
{
    (void)state;
    const uint8_t in[] = {1, 2, 3};
    struct chq_reader r = chq_reader(chq_bytes(in, sizeof in));
    assert_int_equal(chq_read_u16(&r), 0x0102);
    assert_int_equal(chq_read_u32(&r), 0);
    assert_int_equal(chq_read_u8(&r), 0); /* the byte that is left is not given out after a failure */
    assert_int_equal(chq_reader_finish(&r), CHQ_MALFORMED);
    struct chq_reader trailing = chq_reader(chq_bytes(in, sizeof in));
    (void)chq_read_u16(&trailing);
    assert_int_equal(chq_reader_finish(&trailing), CHQ_MALFORMED);
    struct chq_reader empty = chq_reader(chq_bytes(NULL, 0));
    assert_int_equal(chq_reader_finish(&empty), CHQ_OK);
}

static void writer_stops_at_its_limit(void **state)
{
    (void)state;
    uint8_t storage[4];
    struct chq_writer fixed = chq_writer_fixed(storage, sizeof storage);
    chq_write_u32(&fixed, 0xdeadbeef);
    assert_int_equal(chq_writer_finish(&fixed), CHQ_OK);
    chq_write_u8(&fixed, 1);
    assert_int_equal(chq_writer_finish(&fixed), CHQ_LIMIT);
    assert_int_equal(chq_writer_bytes(&fixed).size, 0);

    struct chq_writer heap = chq_writer_heap(1000);
    for (int i = 0; i < 125; i++)
        chq_write_u64(&heap, (uint64_t)i);
    assert_int_equal(chq_writer_bytes(&heap).size, 1000);
    uint8_t *block = NULL;
    size_t size = 0;
    assert_int_equal(chq_writer_take(&heap, &block, &size), CHQ_OK);
    assert_int_equal(size, 1000);
    assert_int_equal(chq_load_u64(block + 992), 124);
    free(block);
    chq_writer_free(&heap);
}

static void text_forms(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool valid;
    } utf8[] = {{"ana", true}, {"你好 مرحبا 👋", true}, {"\xc0\x80", false}, {"\xed\xa0\x80", false},
        {"\xf4\x90\x80\x80", false}, {"\xe2\x82", false}, {"\xff", false}};
    for (size_t i = 0; i < sizeof utf8 / sizeof *utf8; i++)
        assert_int_equal(chq_utf8_valid(chq_bytes_text(utf8[i].text)), utf8[i].valid);

    char text[64];
    uint8_t back[16];
    size_t size;
    chq_base64url_write(chq_bytes("\xfb\xff\xfe\x01", 4), text);
    assert_string_equal(text, "-__-AQ");
    assert_int_equal(chq_base64url_read(chq_bytes_text(text), back, sizeof back, &size), CHQ_OK);
    assert_memory_equal(back, "\xfb\xff\xfe\x01", 4);
    assert_int_equal(chq_base64url_read(chq_bytes_text("-__-AR"), back, sizeof back, &size), CHQ_MALFORMED);
    assert_int_equal(chq_base64url_read(chq_bytes_text("AAAAA"), back, sizeof back, &size), CHQ_MALFORMED);
    assert_int_equal(chq_base64url_read(chq_bytes_text("A=="), back, sizeof back, &size), CHQ_MALFORMED);

    char credit[32];
    int64_t micro;
    chq_credit_write(12500000, credit);
    assert_string_equal(credit, "12.5");
    chq_credit_write(-1, credit);
    assert_string_equal(credit, "-0.000001");
    chq_credit_write(30000000, credit);
    assert_string_equal(credit, "30");
    assert_int_equal(chq_credit_read("0.000001", &micro), CHQ_OK);
    assert_int_equal(micro, 1);
    static const char *const bad[] = {"", ".", "1.", "-1", "1.0000001", "99999999999999999999", "1e3", " 1"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(chq_credit_read(bad[i], &micro), CHQ_MALFORMED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reader_is_sticky),
        cmocka_unit_test(writer_stops_at_its_limit),
        cmocka_unit_test(text_forms),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
