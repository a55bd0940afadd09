/* SPDX-License-Identifier: Apache-2.0 */
#include "p2p/media/rtp.h"

#include <string.h>

#include "core/base/limits.h"
#include "unit.h"

static void reads_what_it_writes(void **state)
{
    (void)state;
    uint8_t storage[64];
    const struct chq_rtp in = {.marker = true,
        .payload_type = 96,
        .sequence = 0xfffe,
        .timestamp = 0x01020304,
        .ssrc = 0xdeadbeef,
        .payload = chq_bytes("abc", 3)};
    struct chq_writer w = chq_writer_fixed(storage, sizeof storage);
    chq_rtp_write(&w, &in);
    assert_int_equal(chq_writer_finish(&w), CHQ_OK);
    const uint8_t wire[] = {0x80, 0xe0, 0xff, 0xfe, 1, 2, 3, 4, 0xde, 0xad, 0xbe, 0xef, 'a', 'b', 'c'};
    assert_int_equal(w.size, sizeof wire);
    assert_memory_equal(storage, wire, sizeof wire);
    struct chq_rtp out;
    assert_int_equal(chq_rtp_read(chq_writer_bytes(&w), &out), CHQ_OK);
    assert_true(out.marker && !out.extended);
    assert_int_equal(out.payload_type, 96);
    assert_int_equal(out.sequence, 0xfffe);
    assert_int_equal(out.timestamp, 0x01020304);
    assert_int_equal(out.ssrc, 0xdeadbeef);
    assert_int_equal(out.payload.size, 3);
    assert_memory_equal(out.payload.data, "abc", 3);
}

static void reads_every_optional_part(void **state)
{
    (void)state;
    /* V=2 P=1 X=1 CC=1; one CSRC, an extension of one word, two bytes of payload, two of padding */
    const uint8_t wire[] = {0xb1, 0x60, 0, 7, 0, 0, 0, 9, 0, 0, 0, 5, 0, 0, 0, 6, 0xbe, 0xde, 0, 1, 0x10,
        0xaa, 0, 0, 'h', 'i', 0, 2};
    struct chq_rtp out;
    assert_int_equal(chq_rtp_read(chq_bytes(wire, sizeof wire), &out), CHQ_OK);
    assert_true(out.extended);
    assert_int_equal(out.csrc_count, 1);
    assert_int_equal(out.payload.size, 2);
    assert_memory_equal(out.payload.data, "hi", 2);
}

static void refuses_bad_packets(void **state)
{
    (void)state;
    static const struct {
        int number;
        const char *why;
        uint8_t bytes[24];
        size_t size;
    } bad[] = {
        {1, "empty", {0}, 0},
        {2, "one byte short of a header", {0x80, 96}, 11},
        {3, "version 1", {0x40, 96}, 12},
        {4, "version 3", {0xc0, 96}, 12},
        {5, "RTCP: type 200", {0x80, 200}, 16},
        {6, "RTCP: type 223", {0x80, 223}, 16},
        {7, "CSRC past the end", {0x8f, 96}, 20},
        {8, "extension header past the end", {0x90, 96}, 14},
        {9, "extension body past the end", {0x90, 96, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2}, 20},
        {10, "extension of 65535 words", {0x90, 96, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff}, 24},
        {11, "padding without a byte for it", {0xa0, 96}, 12},
        {12, "padding of 0", {0xa0, 96, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0}, 14},
        {13, "padding beyond the payload", {0xa0, 96, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 3}, 14},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct chq_rtp out;
        if (chq_rtp_read(chq_bytes(bad[i].bytes, bad[i].size), &out) != CHQ_MALFORMED)
            fail_msg("bad packet %d (%s) was taken", bad[i].number, bad[i].why);
        assert_null(out.payload.data);
    }
    static uint8_t huge[CHQ_RTP_BYTES_MAX + 1] = {0x80, 96};
    struct chq_rtp out;
    assert_int_equal(chq_rtp_read(chq_bytes(huge, sizeof huge), &out), CHQ_LIMIT);
}

static void report_keeps_its_form(void **state)
{
    (void)state;
    uint8_t storage[CHQ_REPORT_BYTES];
    const struct chq_report in = {.ssrc = 1,
        .ntp = UINT64_C(0x0102030405060708),
        .rtp_time = 9,
        .packets = 10,
        .octets = 800,
        .about_ssrc = 2,
        .fraction_lost = 128,
        .lost = -3,
        .highest_sequence = 0x00010005,
        .jitter = 77,
        .last_report = 0x03040506,
        .delay_since_last_report = 65536};
    struct chq_writer w = chq_writer_fixed(storage, sizeof storage);
    chq_report_write(&w, &in);
    assert_int_equal(chq_writer_finish(&w), CHQ_OK);
    assert_int_equal(w.size, CHQ_REPORT_BYTES);
    struct chq_report out;
    assert_int_equal(chq_report_read(chq_writer_bytes(&w), &out), CHQ_OK);
    assert_int_equal(out.ntp, in.ntp);
    assert_int_equal(out.lost, -3);
    assert_int_equal(out.fraction_lost, 128);
    assert_int_equal(out.delay_since_last_report, 65536);

    static const struct {
        int number, at;
        uint8_t value;
    } bad[] = {{1, 0, 0x80}, {2, 0, 0x82}, {3, 0, 0xa1}, {4, 0, 0x41}, {5, 1, 201}, {6, 3, 11}, {7, 2, 1}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        uint8_t copy[CHQ_REPORT_BYTES];
        memcpy(copy, storage, sizeof copy);
        copy[bad[i].at] = bad[i].value;
        if (chq_report_read(chq_bytes(copy, sizeof copy), &out) != CHQ_MALFORMED)
            fail_msg("bad report %d was taken", bad[i].number);
    }
    assert_int_equal(chq_report_read(chq_bytes(storage, CHQ_REPORT_BYTES - 1), &out), CHQ_MALFORMED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_what_it_writes),
        cmocka_unit_test(reads_every_optional_part),
        cmocka_unit_test(refuses_bad_packets),
        cmocka_unit_test(report_keeps_its_form),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
