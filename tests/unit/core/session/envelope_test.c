/* SPDX-License-Identifier: Apache-2.0 */
/* The inner forms of an envelope, which only an authentic peer can get wrong: they are checked all the same. */
#include "core/session/envelope.h"
#include "unit.h"

#include <string.h>

static void headers(void **state)
{
    (void)state;
    uint8_t bytes[CHQ_HEADER_BYTES];
    struct chq_ratchet_header header = {.flags = 3, .previous_n = 0x01020304, .n = 0xfffefdfc}, back;
    memset(header.key, 0x77, sizeof header.key);
    chq_header_write(bytes, &header);
    assert_int_equal(bytes[0], 3);
    assert_int_equal(bytes[1], 0x77);
    assert_memory_equal(bytes + 33, "\1\2\3\4\xff\xfe\xfd\xfc", 8);
    assert_int_equal(chq_header_read(&back, bytes), CHQ_OK);
    assert_memory_equal(&back, &header, sizeof back);
    for (unsigned flags = 4; flags < 256; flags++) { /* 4 to 255: flags of no version so far */
        bytes[0] = (uint8_t)flags;
        assert_int_equal(chq_header_read(&back, bytes), CHQ_MALFORMED);
    }
    static const size_t sizes[] = {0, 1264, 1168, 2384};
    for (uint8_t flags = 0; flags < 4; flags++)
        assert_int_equal(chq_extension_box_bytes(flags), sizes[flags]);
}

static void handshakes(void **state)
{
    (void)state;
    static uint8_t bytes[CHQ_HANDSHAKE_BYTES];
    struct chq_handshake handshake, back;
    memset(&handshake, 0x55, sizeof handshake);
    handshake.kem_source = CHQ_KEM_FROM_ONE_TIME;
    chq_handshake_write(bytes, &handshake);
    assert_int_equal(chq_handshake_read(&back, bytes), CHQ_OK);
    assert_memory_equal(back.kem_ciphertext, handshake.kem_ciphertext, sizeof back.kem_ciphertext);
    assert_true(back.started_s == handshake.started_s && back.one_time_id == handshake.one_time_id);
    static const struct {
        uint32_t one_time_id;
        uint8_t kem_source;
        enum chq_err err;
    } rows[] = {
        /* 0 */ {1, 0, CHQ_MALFORMED},
        /* 1 */ {1, 3, CHQ_MALFORMED},
        /* 2 */ {1, 255, CHQ_MALFORMED},
        /* 3: a one-time KEM key without a one-time prekey */ {0, 2, CHQ_MALFORMED},
        /* 4 */ {0, 1, CHQ_OK},
        /* 5 */ {1, 1, CHQ_OK},
        /* 6 */ {UINT32_MAX, 2, CHQ_OK},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        handshake.one_time_id = rows[i].one_time_id;
        handshake.kem_source = rows[i].kem_source;
        chq_handshake_write(bytes, &handshake);
        if (chq_handshake_read(&back, bytes) != rows[i].err)
            fail_msg("row %zu", i);
    }
}

static void bodies(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t size;
        enum chq_err err;
    } rows[] = {
        /* 0 */ {"", 0, CHQ_MALFORMED},
        /* 1 */ {"\0", 1, CHQ_MALFORMED},
        /* 2: longer than what follows */ {"\0\3ab", 4, CHQ_MALFORMED},
        /* 3 */
        {"\xff\xff"
         "ab",
            4, CHQ_MALFORMED},
        /* 4: padding that is not zero */ {"\0\1ab", 4, CHQ_MALFORMED},
        /* 5 */ {"\0\1a\0\0\0\0\1", 8, CHQ_MALFORMED},
        /* 6 */ {"\0\0\0\0\1\0", 6, CHQ_MALFORMED},
        /* 7 */ {"\0\0", 2, CHQ_OK},
        /* 8 */ {"\0\2ab", 4, CHQ_OK},
        /* 9 */ {"\0\2ab\0\0", 6, CHQ_OK},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct chq_bytes content;
        if (chq_body_read(&content, chq_bytes(rows[i].bytes, rows[i].size)) != rows[i].err)
            fail_msg("row %zu", i);
    }
    uint8_t body[16];
    struct chq_bytes content;
    memset(body, 0xff, sizeof body);
    chq_body_write(body, sizeof body, chq_bytes_text("hola"));
    assert_memory_equal(body, "\0\4hola\0\0\0\0\0\0\0\0\0\0", 16);
    assert_int_equal(chq_body_read(&content, chq_bytes(body, sizeof body)), CHQ_OK);
    assert_true(chq_bytes_equal(content, chq_bytes_text("hola")));
}

static void buckets(void **state)
{
    (void)state;
    static const struct {
        size_t bytes, bucket;
    } rows[] = {{0, 256}, {1, 256}, {256, 256}, {257, 1024}, {1024, 1024}, {1025, 4096}, {4096, 4096},
        {4097, 16384}, {16384, 16384}, {16385, 0}, {SIZE_MAX, 0}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_int_equal(chq_envelope_bucket(rows[i].bytes), rows[i].bucket);
        assert_int_equal(
            chq_envelope_is_bucket(rows[i].bytes), rows[i].bytes == rows[i].bucket && rows[i].bytes > 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(headers),
        cmocka_unit_test(handshakes),
        cmocka_unit_test(bodies),
        cmocka_unit_test(buckets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
