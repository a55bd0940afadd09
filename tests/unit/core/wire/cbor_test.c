/* SPDX-License-Identifier: Apache-2.0 */
#include "cbor_copy.h"
#include "core/base/text.h"
#include "core/wire/cbor.h"
#include "unit.h"

#include <stdio.h>
#include <string.h>

static void expect_hex(struct chq_writer *w, const char *hex)
{
    char text[256];
    assert_int_equal(chq_writer_finish(w), CHQ_OK);
    chq_hex_write(chq_writer_bytes(w), text);
    assert_string_equal(text, hex);
    assert_int_equal(chq_cbor_check(chq_writer_bytes(w)), CHQ_OK);
    chq_writer_clear(w);
}

/* RFC 8949 appendix A, the rows inside our subset. */
static void published_vectors(void **state)
{
    (void)state;
    uint8_t storage[64];
    struct chq_writer w = chq_writer_fixed(storage, sizeof storage);
    static const struct {
        uint64_t v;
        const char *hex;
    } unsigned_rows[] = {{0, "00"}, {1, "01"}, {10, "0a"}, {23, "17"}, {24, "1818"}, {25, "1819"},
        {100, "1864"}, {1000, "1903e8"}, {1000000, "1a000f4240"}, {1000000000000, "1b000000e8d4a51000"},
        {UINT64_MAX, "1bffffffffffffffff"}};
    for (size_t i = 0; i < sizeof unsigned_rows / sizeof *unsigned_rows; i++) {
        chq_cbor_put_uint(&w, unsigned_rows[i].v);
        struct chq_reader r = chq_reader(chq_writer_bytes(&w));
        assert_true(chq_cbor_get_uint(&r) == unsigned_rows[i].v);
        assert_int_equal(chq_reader_finish(&r), CHQ_OK);
        expect_hex(&w, unsigned_rows[i].hex);
    }
    static const struct {
        int64_t v;
        const char *hex;
    } signed_rows[] = {
        {-1, "20"}, {-10, "29"}, {-100, "3863"}, {-1000, "3903e7"}, {INT64_MIN, "3b7fffffffffffffff"}};
    for (size_t i = 0; i < sizeof signed_rows / sizeof *signed_rows; i++) {
        chq_cbor_put_int(&w, signed_rows[i].v);
        struct chq_reader r = chq_reader(chq_writer_bytes(&w));
        assert_true(chq_cbor_get_int(&r) == signed_rows[i].v);
        assert_int_equal(chq_reader_finish(&r), CHQ_OK);
        expect_hex(&w, signed_rows[i].hex);
    }
    chq_cbor_put_bytes(&w, chq_bytes("\1\2\3\4", 4));
    expect_hex(&w, "4401020304");
    chq_cbor_put_text(&w, chq_bytes_text("\xe6\xb0\xb4"));
    expect_hex(&w, "63e6b0b4");
    chq_cbor_put_map(&w, 2);
    chq_cbor_pair_uint(&w, 1, 2);
    chq_cbor_put_key(&w, 3);
    chq_cbor_put_array(&w, 0);
    expect_hex(&w, "a201020380");
}

/* Another implementation's deterministic encodings: accepted, and the same after reading and writing. */
static void agrees_with_cborg(void **state)
{
    (void)state;
    FILE *file = fopen(CHQ_TESTS_DIR "/vectors/cbor/cborg.txt", "r");
    assert_non_null(file);
    char line[1024];
    size_t rows = 0;
    while (fgets(line, sizeof line, file) != NULL) {
        uint8_t in[512], out[512];
        line[strcspn(line, "\n")] = '\0';
        size_t size = strlen(line) / 2;
        if (line[0] == '#')
            continue;
        assert_int_equal(chq_hex_read(line, in, size), CHQ_OK);
        assert_int_equal(chq_cbor_check(chq_bytes(in, size)), CHQ_OK);
        struct chq_reader r = chq_reader(chq_bytes(in, size));
        struct chq_writer w = chq_writer_fixed(out, sizeof out);
        chq_cbor_copy_item(&r, &w);
        assert_int_equal(chq_reader_finish(&r), CHQ_OK);
        assert_int_equal(chq_writer_finish(&w), CHQ_OK);
        assert_int_equal(w.size, size);
        assert_memory_equal(out, in, size);
        for (size_t cut = 0; cut < size; cut++)
            assert_int_equal(chq_cbor_check(chq_bytes(in, cut)), CHQ_MALFORMED);
        rows++;
    }
    fclose(file);
    assert_int_equal(rows, 400);
}

/* Every row must be refused; the number is its name. */
static void bad_inputs(void **state)
{
    (void)state;
    static const char *const rows[] = {/* 0 */ "", "1800", "1817", "190018", "1900ff", "1a0000ffff",
        "1b00000000ffffffff", "18",
        /* 8 */ "1c", "1f", "5f", "7f", "9f", "bf", "ff", "3bffffffffffffffff",
        /* 16 */ "41", "5affffffff", "61ff", "62c328", "63eda080", "81", "820001ff", "a1",
        /* 24 */ "a10001ff", "a201010101", "a202010101",
        "a16161"
        "01",
        "a12001", "c000", "f4", "f6",
        /* 32 */ "f90000", "fa00000000", "0000", "9bffffffffffffffff", "bbffffffffffffffff",
        "5bffffffffffffffff",
        /* 38 */ "818181818181818181818181818181818180"};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        uint8_t in[64];
        size_t size = strlen(rows[i]) / 2;
        assert_int_equal(chq_hex_read(rows[i], in, size), CHQ_OK);
        if (chq_cbor_check(chq_bytes(in, size)) != CHQ_MALFORMED)
            fail_msg("bad input %zu (%s) was accepted", i, rows[i]);
    }
}

static void map_reading_refuses_surprises(void **state)
{
    (void)state;
    static const uint8_t in[] = {0xa3, 1, 10, 2, 20, 4, 22}; /* {1: 10, 2: 20, 4: 22} */
    struct chq_reader r = chq_reader(chq_bytes(in, sizeof in));
    struct chq_cbor_map m = chq_cbor_get_map(&r, 3);
    chq_cbor_need(&r, &m, 1);
    assert_int_equal(chq_cbor_get_uint(&r), 10);
    assert_true(chq_cbor_has(&r, &m, 2));
    assert_int_equal(chq_cbor_get_uint(&r), 20);
    assert_false(chq_cbor_has(&r, &m, 3));
    struct chq_reader unknown_left = r;
    chq_cbor_map_end(&unknown_left, &m);
    assert_int_equal(chq_reader_finish(&unknown_left), CHQ_MALFORMED);
    assert_true(chq_cbor_has(&r, &m, 4));
    assert_int_equal(chq_cbor_get_uint(&r), 22);
    chq_cbor_map_end(&r, &m);
    assert_int_equal(chq_reader_finish(&r), CHQ_OK);

    struct chq_reader missing = chq_reader(chq_bytes(in, sizeof in));
    m = chq_cbor_get_map(&missing, 3);
    chq_cbor_need(&missing, &m, 2);
    assert_int_equal(missing.err, CHQ_MALFORMED);
    struct chq_reader crowded = chq_reader(chq_bytes(in, sizeof in));
    (void)chq_cbor_get_map(&crowded, 2);
    assert_int_equal(crowded.err, CHQ_MALFORMED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(published_vectors),
        cmocka_unit_test(agrees_with_cborg),
        cmocka_unit_test(bad_inputs),
        cmocka_unit_test(map_reading_refuses_surprises),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
