/* SPDX-License-Identifier: Apache-2.0 */
#include "core/base/text.h"
#include "core/wire/stun.h"
#include "unit.h"

#include <stdio.h>
#include <string.h>

static const uint8_t transaction_id[12] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};

/* Not a hash: a checksum that changes with every byte and the key, to see what the codec covers. */
static bool mix(const struct chq_bytes *parts, size_t n, uint32_t seed, uint8_t out[32])
{
    uint32_t state = seed;
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < parts[i].size; j++)
            state = (state ^ parts[i].data[j]) * 16777619u;
    for (size_t i = 0; i < 32; i++) {
        state = (state ^ (uint32_t)i) * 16777619u;
        out[i] = (uint8_t)(state >> 24);
    }
    return true;
}

static bool mix_hmac(void *context, enum chq_stun_hash hash, struct chq_bytes key,
    const struct chq_bytes *parts, size_t n, uint8_t out[32])
{
    const bool *broken = context;
    uint8_t inner[32];
    (void)mix(&key, 1, (uint32_t)hash, inner);
    return !*broken && mix(parts, n, chq_load_u32(inner), out);
}

static bool mix_hash(
    void *context, enum chq_stun_hash hash, const struct chq_bytes *parts, size_t n, uint8_t out[32])
{
    const bool *broken = context;
    return !*broken && mix(parts, n, (uint32_t)hash, out);
}

static size_t from_hex(const char *hex, uint8_t *out, size_t cap)
{
    char compact[4096];
    size_t n = 0;
    for (; *hex != '\0'; hex++)
        if (*hex != ' ')
            compact[n++] = *hex;
    compact[n] = '\0';
    assert_true(n % 2 == 0 && n / 2 <= cap);
    assert_int_equal(chq_hex_read(compact, out, n / 2), CHQ_OK);
    return n / 2;
}

#define HEAD(len) "0001" len "2112a442 0102030405060708090a0b0c "

/* Each row is one way to be wrong; the number is what a failure prints. */
static const struct {
    int number;
    const char *hex;
    enum chq_err err;
    const char *why;
} bad[] = {
    {1, "", CHQ_MALFORMED, "nothing"},
    {2, "0001", CHQ_MALFORMED, "half a header"},
    {3, "0001 0000 2112a442 0102030405060708090a0b", CHQ_MALFORMED, "header one byte short"},
    {4, "0001 0000 2112a443 0102030405060708090a0b0c", CHQ_MALFORMED, "wrong cookie (RFC 3489 client)"},
    {5, "4001 0000 2112a442 0102030405060708090a0b0c", CHQ_MALFORMED, "top bits not zero"},
    {6, "8001 0000 2112a442 0102030405060708090a0b0c", CHQ_MALFORMED, "top bits not zero"},
    {7, HEAD("0004"), CHQ_MALFORMED, "length says more than there is"},
    {8, HEAD("0000") "00060000", CHQ_MALFORMED, "trailing bytes"},
    {9, HEAD("0002") "0006", CHQ_MALFORMED, "length not a multiple of 4"},
    {10, HEAD("ffff"), CHQ_MALFORMED, "length of 64 KiB"},
    {11, HEAD("0004") "00060001", CHQ_MALFORMED, "attribute value missing"},
    {12, HEAD("0008") "0006ffff 61616161", CHQ_MALFORMED, "attribute past the end"},
    {13, HEAD("0008") "00060005 61616161", CHQ_MALFORMED, "padding past the end"},
    {14, HEAD("0004") "00060000", CHQ_MALFORMED, "empty USERNAME"},
    {15, HEAD("0004") "00140000", CHQ_MALFORMED, "empty REALM: crashes libnice"},
    {16, HEAD("0004") "00150000", CHQ_MALFORMED, "empty NONCE"},
    {17, HEAD("0008") "00140003 61226200", CHQ_MALFORMED, "quotation mark in REALM"},
    {18, HEAD("0008") "00140003 61006200", CHQ_MALFORMED, "NUL in REALM"},
    {19, HEAD("0008") "00150001 22000000", CHQ_MALFORMED, "quotation mark in NONCE"},
    {20, HEAD("0008") "00060002 c3280000", CHQ_MALFORMED, "USERNAME not UTF-8"},
    {21, HEAD("0008") "00060001 0a000000", CHQ_MALFORMED, "control character in USERNAME"},
    {22, HEAD("0008") "80220001 7f000000", CHQ_MALFORMED, "control character in SOFTWARE"},
    {23, HEAD("0010") "00140001 61000000 00140001 22000000", CHQ_MALFORMED, "second REALM is bad"},
    {24, HEAD("0008") "00080004 00000000", CHQ_MALFORMED, "MESSAGE-INTEGRITY of 4 bytes"},
    {25, HEAD("0010") "001c000c 000000000000000000000000", CHQ_MALFORMED, "MESSAGE-INTEGRITY-SHA256 of 12"},
    {26, HEAD("0018") "001c0012 0000000000000000000000000000000000000000", CHQ_MALFORMED, "... of 18"},
    {27, HEAD("0008") "80280004 00000000", CHQ_MALFORMED, "wrong FINGERPRINT"},
    {28, HEAD("000c") "80280004 00000000 80220000", CHQ_MALFORMED, "FINGERPRINT not last"},
    {29, HEAD("0008") "00090003 00000400", CHQ_MALFORMED, "ERROR-CODE of 3 bytes"},
    {30, HEAD("0008") "00090004 00000200", CHQ_MALFORMED, "error 200"},
    {31, HEAD("0008") "00090004 00000700", CHQ_MALFORMED, "error 700"},
    {32, HEAD("0008") "00090004 00000464", CHQ_MALFORMED, "error 4 and 100"},
    {33, HEAD("000c") "00090005 00000401 00000000", CHQ_MALFORMED, "NUL in a reason phrase"},
    {34, HEAD("000c") "00120008 00030000 00000000", CHQ_MALFORMED, "address family 3"},
    {35, HEAD("000c") "00120008 00020000 00000000", CHQ_MALFORMED, "IPv6 of 4 bytes"},
    {36, HEAD("0018") "00120014 00010000 00000000 00000000 00000000 00000000", CHQ_MALFORMED,
        "IPv4 of 16 bytes"},
    {37, HEAD("0008") "00120004 00010000", CHQ_MALFORMED, "address without address"},
    {38, HEAD("0008") "000c0002 40000000", CHQ_MALFORMED, "CHANNEL-NUMBER of 2 bytes"},
    {39, HEAD("000c") "000d0008 00000000 00000000", CHQ_MALFORMED, "LIFETIME of 8 bytes"},
    {40, HEAD("0008") "00190001 11000000", CHQ_MALFORMED, "REQUESTED-TRANSPORT of 1 byte"},
    {41, HEAD("0004") "00180000", CHQ_MALFORMED, "empty EVEN-PORT"},
    {42, HEAD("0008") "001a0004 00000000", CHQ_MALFORMED, "DONT-FRAGMENT with a value"},
    {43, HEAD("0008") "00220004 00000000", CHQ_MALFORMED, "RESERVATION-TOKEN of 4 bytes"},
    {44, HEAD("0008") "001e0004 00000000", CHQ_MALFORMED, "USERHASH of 4 bytes"},
    {45, HEAD("0008") "000a0003 00010000", CHQ_MALFORMED, "UNKNOWN-ATTRIBUTES of 3 bytes"},
    {46, HEAD("0004") "00170000", CHQ_MALFORMED, "empty REQUESTED-ADDRESS-FAMILY"},
    {47, HEAD("0004") "001d0000", CHQ_MALFORMED, "empty PASSWORD-ALGORITHM"},
};

static void bad_input_is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        uint8_t bytes[256];
        struct chq_stun_message m;
        static const struct chq_stun_message zero;
        size_t n = from_hex(bad[i].hex, bytes, sizeof bytes);
        enum chq_err err = chq_stun_read(chq_bytes(bytes, n), &m);
        if (err != bad[i].err)
            fail_msg("row %d (%s): error %d", bad[i].number, bad[i].why, (int)err);
        assert_memory_equal(&m, &zero, sizeof m);
    }
}

static void long_texts_and_many_peers_are_refused(void **state)
{
    (void)state;
    static const struct {
        uint16_t type;
        size_t max;
    } rows[] = {
        {CHQ_STUN_USERNAME, 508}, {CHQ_STUN_REALM, 763}, {CHQ_STUN_NONCE, 763}, {CHQ_STUN_SOFTWARE, 763}};
    uint8_t storage[1500], text[764];
    struct chq_stun_message m;
    memset(text, 'a', sizeof text);
    for (size_t i = 0; i < 2 * sizeof rows / sizeof *rows; i++) {
        struct chq_writer w = chq_writer_fixed(storage, sizeof storage);
        chq_stun_begin(&w, CHQ_STUN_BINDING, CHQ_STUN_REQUEST, transaction_id);
        chq_stun_write(&w, rows[i / 2].type, chq_bytes(text, rows[i / 2].max + i % 2));
        assert_int_equal(chq_stun_finish(&w), CHQ_OK);
        assert_int_equal(chq_stun_read(chq_writer_bytes(&w), &m), i % 2 ? CHQ_MALFORMED : CHQ_OK);
    }
    for (uint32_t peers = CHQ_STUN_PEERS_MAX; peers <= CHQ_STUN_PEERS_MAX + 1; peers++) {
        struct chq_writer w = chq_writer_fixed(storage, sizeof storage);
        chq_stun_begin(&w, CHQ_STUN_CREATE_PERMISSION, CHQ_STUN_REQUEST, transaction_id);
        struct chq_address peer = chq_address_ip4(192, 0, 2, 1, 1);
        for (uint32_t i = 0; i < peers; i++, peer.port++)
            chq_stun_write_address(&w, CHQ_STUN_XOR_PEER_ADDRESS, &peer);
        assert_int_equal(chq_stun_finish(&w), CHQ_OK);
        enum chq_err err = chq_stun_read(chq_writer_bytes(&w), &m);
        assert_int_equal(err, peers == CHQ_STUN_PEERS_MAX ? CHQ_OK : CHQ_LIMIT);
        if (err == CHQ_OK)
            assert_int_equal(m.peers[15].port, 16);
    }
}

static void every_method_and_class_survives(void **state)
{
    (void)state;
    for (unsigned method = 0; method <= 0xFFF; method++)
        for (unsigned class = 0; class < 4; class ++) {
            uint8_t storage[20];
            struct chq_stun_message m;
            struct chq_writer w = chq_writer_fixed(storage, sizeof storage);
            chq_stun_begin(&w, (uint16_t)method, (enum chq_stun_class) class, transaction_id);
            assert_int_equal(chq_stun_finish(&w), CHQ_OK);
            assert_int_equal(storage[0] & 0xC0, 0);
            assert_int_equal(chq_stun_read(chq_writer_bytes(&w), &m), CHQ_OK);
            assert_int_equal(m.method, method);
            assert_int_equal(m.class, class);
            assert_memory_equal(m.transaction_id, transaction_id, 12);
        }
    /* RFC 8489 section 5: Binding request 0x0001, success response 0x0101; RFC 8656 section 17: 0x003, ... */
    uint8_t storage[20];
    struct chq_writer w = chq_writer_fixed(storage, sizeof storage);
    chq_stun_begin(&w, CHQ_STUN_ALLOCATE, CHQ_STUN_ERROR, transaction_id);
    assert_int_equal(chq_load_u16(storage), 0x0113);
}

static void what_is_written_is_read(void **state)
{
    (void)state;
    bool broken = false;
    const struct chq_stun_crypto crypto = {mix_hmac, mix_hash, &broken};
    const struct chq_address six = {.family = 6, .port = 0x2112, .ip = {0x20, 0x01, 0x0d, 0xb8, [15] = 9}};
    const struct chq_address four = chq_address_ip4(192, 0, 2, 33, 32853),
                             plain = chq_address_ip4(10, 0, 0, 1, 7);
    uint8_t storage[512];
    struct chq_writer w = chq_writer_fixed(storage, sizeof storage);
    chq_stun_begin(&w, CHQ_STUN_ALLOCATE, CHQ_STUN_SUCCESS, transaction_id);
    chq_stun_write_address(&w, CHQ_STUN_XOR_MAPPED_ADDRESS, &four);
    chq_stun_write_address(&w, CHQ_STUN_MAPPED_ADDRESS, &plain); /* does not replace the XOR-ed one */
    chq_stun_write_address(&w, CHQ_STUN_XOR_MAPPED_ADDRESS, &plain); /* nor does a second one */
    chq_stun_write_address(&w, CHQ_STUN_XOR_RELAYED_ADDRESS, &six);
    chq_stun_write_address(&w, CHQ_STUN_XOR_PEER_ADDRESS, &six);
    chq_stun_write_address(&w, CHQ_STUN_XOR_PEER_ADDRESS, &four);
    chq_stun_write_u32(&w, CHQ_STUN_LIFETIME, 600);
    chq_stun_write_channel(&w, 0x4FFF);
    chq_stun_write_error(&w, 438, chq_bytes_text("Stale Nonce"));
    chq_stun_write_unknown(&w, (const uint16_t[]){0x7FFF, 2}, 2);
    chq_stun_write(&w, CHQ_STUN_USERNAME, chq_bytes_text("anä"));
    chq_stun_write(&w, CHQ_STUN_USERNAME, chq_bytes_text("second"));
    chq_stun_write(&w, CHQ_STUN_DATA_ATTRIBUTE, chq_bytes("\0\1", 2));
    chq_stun_write(&w, 0x7FFE, chq_bytes("x", 1)); /* unknown, required */
    chq_stun_write(&w, 0x7FFE, chq_bytes("x", 1));
    chq_stun_write(&w, 0x8FFE, chq_bytes("x", 1)); /* unknown, optional */
    chq_stun_write_integrity(&w, &crypto, CHQ_STUN_SHA1, chq_bytes_text("key"));
    chq_stun_write(&w, CHQ_STUN_REALM, chq_bytes_text("ignored"));
    chq_stun_write(&w, 0x7FFD, chq_bytes("x", 1));
    chq_stun_write_integrity(&w, &crypto, CHQ_STUN_SHA256, chq_bytes_text("key"));
    chq_stun_write_fingerprint(&w);
    assert_int_equal(chq_stun_finish(&w), CHQ_OK);

    struct chq_stun_message m;
    assert_int_equal(chq_stun_read(chq_writer_bytes(&w), &m), CHQ_OK);
    assert_true(chq_address_equal(&m.mapped, &four));
    assert_true(chq_address_equal(&m.relayed, &six));
    assert_int_equal(m.peers_count, 2);
    assert_true(chq_address_equal(&m.peers[0], &six) && chq_address_equal(&m.peers[1], &four));
    assert_int_equal(m.lifetime_s, 600);
    assert_int_equal(m.channel, 0x4FFF);
    assert_int_equal(m.error_code, 438);
    assert_true(chq_bytes_equal(m.error_reason, chq_bytes_text("Stale Nonce")));
    assert_true(chq_bytes_equal(m.unknown_attributes, chq_bytes("\x7f\xff\0\2", 4)));
    assert_true(chq_bytes_equal(m.username, chq_bytes_text("anä")));
    assert_true(chq_bytes_equal(m.data, chq_bytes("\0\1", 2)));
    assert_int_equal(m.unknown_count, 1);
    assert_int_equal(m.unknown[0], 0x7FFE);
    assert_int_equal(m.has & CHQ_STUN_HAS_REALM, 0);
    assert_int_equal(chq_stun_check_integrity(&m, &crypto, chq_bytes_text("key")), CHQ_OK);
    assert_int_equal(chq_stun_check_integrity(&m, &crypto, chq_bytes_text("kez")), CHQ_AUTH);
    broken = true;
    assert_int_equal(chq_stun_check_integrity(&m, &crypto, chq_bytes_text("key")), CHQ_IO);
    uint8_t key[32], zero[32] = {0};
    assert_int_equal(chq_stun_userhash(&crypto, m.username, m.username, key), CHQ_IO);
    assert_memory_equal(key, zero, 32);

    struct chq_stun_attribute a;
    int seen = 0;
    for (size_t at = CHQ_STUN_HEADER_BYTES; chq_stun_next(&m, &at, &a); seen++)
        if (seen == 17)
            assert_int_equal(a.type, CHQ_STUN_REALM);
    assert_int_equal(seen, 21);
}

static void every_changed_bit_is_noticed(void **state)
{
    (void)state;
    bool broken = false;
    const struct chq_stun_crypto crypto = {mix_hmac, mix_hash, &broken};
    uint8_t storage[128];
    struct chq_writer w = chq_writer_fixed(storage, sizeof storage);
    chq_stun_begin(&w, CHQ_STUN_REFRESH, CHQ_STUN_REQUEST, transaction_id);
    chq_stun_write(&w, CHQ_STUN_USERNAME, chq_bytes_text("anna"));
    chq_stun_write_integrity(&w, &crypto, CHQ_STUN_SHA1, chq_bytes_text("key"));
    assert_int_equal(chq_stun_finish(&w), CHQ_OK);
    struct chq_stun_message m;
    for (size_t bit = 0; bit < 8 * w.size; bit++) {
        storage[bit / 8] ^= (uint8_t)(1 << bit % 8);
        enum chq_err err = chq_stun_read(chq_writer_bytes(&w), &m);
        if (err == CHQ_OK)
            err = chq_stun_check_integrity(&m, &crypto, chq_bytes_text("key"));
        assert_int_not_equal(err, CHQ_OK);
        storage[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    assert_int_equal(chq_stun_read(chq_writer_bytes(&w), &m), CHQ_OK);
    assert_int_equal(chq_stun_check_integrity(&m, &crypto, chq_bytes_text("key")), CHQ_OK);
}

static void a_full_writer_says_so(void **state)
{
    (void)state;
    bool broken = true;
    const struct chq_stun_crypto crypto = {mix_hmac, mix_hash, &broken};
    const struct chq_address four = chq_address_ip4(1, 2, 3, 4, 5);
    uint8_t storage[80];
    for (size_t cap = 0; cap < sizeof storage; cap++) {
        struct chq_writer w = chq_writer_fixed(storage, cap);
        broken = false;
        chq_stun_begin(&w, CHQ_STUN_BINDING, CHQ_STUN_SUCCESS, transaction_id);
        chq_stun_write_address(&w, CHQ_STUN_XOR_MAPPED_ADDRESS, &four);
        chq_stun_write_error(&w, 400, chq_bytes(NULL, 0));
        chq_stun_write_integrity(&w, &crypto, CHQ_STUN_SHA1, chq_bytes_text("key"));
        chq_stun_write_fingerprint(&w);
        assert_int_equal(chq_stun_finish(&w), cap < 72 ? CHQ_LIMIT : CHQ_OK);
    }
    struct chq_writer w = chq_writer_fixed(storage, sizeof storage);
    broken = true;
    chq_stun_begin(&w, CHQ_STUN_BINDING, CHQ_STUN_SUCCESS, transaction_id);
    chq_stun_write_integrity(&w, &crypto, CHQ_STUN_SHA1, chq_bytes_text("key"));
    assert_int_equal(chq_stun_finish(&w), CHQ_IO);
}

static void crc_is_the_common_one(void **state)
{
    (void)state;
    assert_int_equal(chq_stun_crc32(chq_bytes_text("123456789")), 0xCBF43926); /* the check value of CRC-32 */
}

static void channel_data_is_bounded(void **state)
{
    (void)state;
    static const struct {
        int number;
        const char *hex;
        enum chq_err err;
        size_t payload;
    } rows[] = {{1, "40000000", CHQ_OK, 0}, {2, "4fff0001 61", CHQ_OK, 1},
        {3, "40000001 61000000", CHQ_OK, 1}, {4, "40000001 6100000000", CHQ_MALFORMED, 0},
        {5, "40000002 61", CHQ_MALFORMED, 0}, {6, "400000", CHQ_MALFORMED, 0}, {7, "", CHQ_MALFORMED, 0},
        {8, "80000000", CHQ_MALFORMED, 0}, {9, "3fff0000", CHQ_MALFORMED, 0}, {11, "7fff0000", CHQ_OK, 0},
        {10, "4000ffff 61", CHQ_MALFORMED, 0}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        uint8_t bytes[16];
        uint16_t channel;
        struct chq_bytes payload;
        size_t n = from_hex(rows[i].hex, bytes, sizeof bytes);
        if (chq_channel_data_read(chq_bytes(bytes, n), &channel, &payload) != rows[i].err)
            fail_msg("row %d", rows[i].number);
        assert_int_equal(payload.size, rows[i].payload);
    }
    uint8_t header[4];
    chq_channel_data_header(header, 0x4001, 0x0203);
    assert_memory_equal(header, "\x40\x01\x02\x03", 4);
}

static void first_byte_tells_the_kind(void **state)
{
    (void)state;
    for (unsigned first = 0; first < 256; first++) {
        const uint8_t bytes[4] = {(uint8_t)first};
        enum chq_stun_kind want = first <= 3                       ? CHQ_STUN_KIND_MESSAGE
                                  : first >= 0x40 && first <= 0x7F ? CHQ_STUN_KIND_CHANNEL_DATA
                                                                   : CHQ_STUN_KIND_OTHER;
        assert_int_equal(chq_stun_kind_of(chq_bytes(bytes, sizeof bytes)), want);
        assert_int_equal(chq_stun_kind_of(chq_bytes(bytes, 3)), CHQ_STUN_KIND_OTHER);
    }
}

static void frames_of_a_stream(void **state)
{
    (void)state;
    static const struct {
        int number;
        uint8_t start[4];
        size_t bytes;
    } rows[] = {{1, {0, 1, 0, 0}, 20}, {2, {0, 1, 0, 8}, 28}, {3, {0, 1, 0, 9}, 0}, {4, {0x40, 0, 0, 0}, 4},
        {5, {0x40, 0, 0, 1}, 8}, {6, {0x7F, 0xFF, 0, 4}, 8}, {7, {0x40, 0, 0xFF, 0xFF}, 65540},
        {8, {0x80, 0, 0, 0}, 0}, {9, {0xFF, 0, 0, 0}, 0}, {10, {0x03, 0xFF, 0xFF, 0xFC}, 65552},
        {11, {0x04, 0, 0, 0}, 0}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (chq_stun_frame_bytes(rows[i].start) != rows[i].bytes)
            fail_msg("row %d: %zu", rows[i].number, chq_stun_frame_bytes(rows[i].start));
}

static void address_errors_are_written(void **state)
{
    (void)state;
    uint8_t storage[64];
    static const uint8_t id[CHQ_STUN_TRANSACTION_ID_BYTES];
    struct chq_writer w = chq_writer_fixed(storage, sizeof storage);
    chq_stun_begin(&w, CHQ_STUN_ALLOCATE, CHQ_STUN_SUCCESS, id);
    chq_stun_write_address_error(&w, 6, 440);
    assert_int_equal(chq_stun_finish(&w), CHQ_OK);
    assert_memory_equal(storage + 20, "\x80\1\0\4\2\0\4\50", 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frames_of_a_stream),
        cmocka_unit_test(address_errors_are_written),
        cmocka_unit_test(bad_input_is_refused),
        cmocka_unit_test(long_texts_and_many_peers_are_refused),
        cmocka_unit_test(every_method_and_class_survives),
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(every_changed_bit_is_noticed),
        cmocka_unit_test(a_full_writer_says_so),
        cmocka_unit_test(crc_is_the_common_one),
        cmocka_unit_test(channel_data_is_bounded),
        cmocka_unit_test(first_byte_tells_the_kind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
