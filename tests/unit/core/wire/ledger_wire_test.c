/* SPDX-License-Identifier: Apache-2.0 */
/* Operations, batches, records, headers, ledger frames, invitations: bytes that must not change, and bad input. */
#include "core/base/text.h"
#include "core/wire/batch.h"
#include "core/wire/cbor.h"
#include "core/wire/header.h"
#include "core/wire/invitation.h"
#include "core/wire/ledger_frame.h"
#include "core/wire/record.h"
#include "unit.h"

#include <stdio.h>
#include <string.h>

#define A32                                                                                                  \
    "5820"                                                                                                   \
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define B32                                                                                                  \
    "5820"                                                                                                   \
    "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define C32                                                                                                  \
    "5820"                                                                                                   \
    "cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc"

static uint8_t storage[4096], scratch[4096];

static struct chq_bytes from_hex(const char *hex)
{
    size_t size = strlen(hex) / 2;
    assert_true(size <= sizeof scratch);
    assert_int_equal(chq_hex_read(hex, scratch, size), CHQ_OK);
    return chq_bytes(scratch, size);
}

static void expect_hex(struct chq_writer *w, const char *hex)
{
    static char text[2 * sizeof storage + 1];
    assert_int_equal(chq_writer_finish(w), CHQ_OK);
    chq_hex_write(chq_writer_bytes(w), text);
    assert_string_equal(text, hex);
}

/* One vector per operation type; the row is its type - 1. */
static const char *const operation_vectors[] = {
    "a2"
    "0001"
    "0143"
    "010203",
    "a2"
    "0002"
    "0142"
    "0405",
    "a2"
    "0003"
    "01" A32,
    "a3"
    "0004"
    "0163"
    "616e61"
    "02" B32,
    "a2"
    "0005"
    "0141"
    "07",
    "a3"
    "0006"
    "01" A32 "021a000f4240",
    "a3"
    "0007"
    "01" B32 "021b3782dace9d900000",
    "a9"
    "0008"
    "01" A32 "021903e8"
    "03" B32 "041a00100000"
    "0501"
    "061a00010000"
    "071a69216580"
    "08" C32,
    "a3"
    "0009"
    "01" A32 "0205",
    "a2"
    "000a"
    "015830"
    "0000000000000001"
    "0000000000000002"
    "dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd",
    "a2"
    "000b"
    "01" A32,
    "a2"
    "000c"
    "01" B32,
};

static void operation_bytes(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof operation_vectors / sizeof *operation_vectors; i++) {
        struct chq_operation op;
        struct chq_writer w = chq_writer_fixed(storage, sizeof storage);
        struct chq_reader r = chq_reader(from_hex(operation_vectors[i]));
        chq_operation_get(&r, &op);
        assert_int_equal(chq_reader_finish(&r), CHQ_OK);
        assert_int_equal(op.type, i + 1);
        chq_operation_put(&w, &op);
        expect_hex(&w, operation_vectors[i]);
        assert_string_not_equal(chq_operation_name(op.type), "unknown");
        /* Every byte string that ends early or goes on is refused. */
        size_t size = strlen(operation_vectors[i]) / 2;
        for (size_t cut = 0; cut < size; cut++) {
            r = chq_reader(chq_bytes(from_hex(operation_vectors[i]).data, cut));
            chq_operation_get(&r, &op);
            assert_int_equal(chq_reader_finish(&r), CHQ_MALFORMED);
            assert_int_equal(op.type, 0);
        }
    }
}

static void bad_operations(void **state)
{
    (void)state;
    static const char *const rows[] = {/* 0 */ "a0", "a10000", "a1000d",
        "a20000"
        "0143010203",
        /* 4: no, empty, foreign, doubled field */ "a10001", "a200010140",
        "a2000101"
        "01",
        "a30001"
        "0141aa"
        "0200",
        /* 8: short id, micro above the supply */
        "a20003"
        "0141aa",
        "a30007"
        "01" A32 "021b3782dace9d900001",
        /* 10: negative micro, text for bytes */
        "a30007"
        "01" A32 "0220",
        "a20001"
        "01616f",
        /* 12: half a settlement record, none */
        "a2000a"
        "0141aa",
        "a2000a"
        "0140",
        /* 14: no tokens, free tokens, tokens of nothing */
        "a9"
        "0008"
        "01" A32 "021903e8"
        "03" B32 "0400"
        "0501"
        "061a00010000"
        "071a69216580"
        "08" C32,
        "a9"
        "0008"
        "01" A32 "021903e8"
        "03" B32 "0401"
        "0500"
        "061a00010000"
        "071a69216580"
        "08" C32,
        "a9"
        "0008"
        "01" A32 "021903e8"
        "03" B32 "0401"
        "0501"
        "0600"
        "071a69216580"
        "08" C32,
        /* 17: too many tokens */
        "a9"
        "0008"
        "01" A32 "021903e8"
        "03" B32 "041a00100001"
        "0501"
        "0601"
        "071a69216580"
        "08" C32,
        /* 18: handle too long, not UTF-8 */
        "a3"
        "0004"
        "017821"
        "616161616161616161616161616161616161616161616161616161616161616161"
        "02" B32,
        "a3"
        "0004"
        "0162c328"
        "02" B32};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct chq_operation op;
        struct chq_reader r = chq_reader(from_hex(rows[i]));
        chq_operation_get(&r, &op);
        if (chq_reader_finish(&r) != CHQ_MALFORMED)
            fail_msg("bad operation %zu was accepted", i);
    }
}

static void batch_bytes(void **state)
{
    (void)state;
    static const char expected[] = "a4"
                                   "0167"
                                   "74657374"
                                   "2d3031"
                                   "02" A32 "0307"
                                   "0482"
                                   "a2000b01" B32 "a2000c01" C32;
    struct chq_operation ops[2] = {
        {.type = CHQ_OPERATION_CHANNEL_CLOSE}, {.type = CHQ_OPERATION_CHANNEL_EXPIRE}};
    struct chq_batch batch = {.chain_id = chq_bytes_text("test-01"), .nonce = 7}, back;
    struct chq_writer w = chq_writer_fixed(storage, sizeof storage);
    memset(batch.signer, 0xaa, 32);
    memset(ops[0].channel_close.channel, 0xbb, 32);
    memset(ops[1].channel_expire.channel, 0xcc, 32);
    chq_batch_put(&w, &batch, ops, 2);
    expect_hex(&w, expected);
    assert_int_equal(chq_batch_read(chq_writer_bytes(&w), &back), CHQ_OK);
    assert_int_equal(back.nonce, 7);
    assert_int_equal(back.operations_count, 2);
    struct chq_reader at = chq_reader(back.operations);
    struct chq_operation op;
    assert_true(chq_batch_next(&at, &op) && op.type == CHQ_OPERATION_CHANNEL_CLOSE);
    assert_true(chq_batch_next(&at, &op) && op.channel_expire.channel[31] == 0xcc);
    assert_false(chq_batch_next(&at, &op));
    static const char *const bad[] = {/* 0: no operations */ "a4016174"
                                                             "02" A32 "0300"
                                                             "0480",
        "a4016174"
        "02" A32 "0300"
        "0481a0",
        /* 2: no chain */
        "a40160"
        "02" A32 "0300"
        "0481a2000b01" B32,
        "a4016174"
        "02" A32 "0300"
        "0482a2000b01" B32,
        "a4016174"
        "02" A32 "0320"
        "0481a2000b01" B32,
        /* 5: trailing byte, extra field */
        "a4016174"
        "02" A32 "0300"
        "0481a2000b01" B32 "00",
        "a5016174"
        "02" A32 "0300"
        "0481a2000b01" B32 "0500"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (chq_batch_read(from_hex(bad[i]), &back) != CHQ_MALFORMED)
            fail_msg("bad batch %zu was accepted", i);
    chq_batch_put(&w, &batch, ops, 0);
    assert_int_equal(chq_writer_finish(&w), CHQ_LIMIT);
}

static const char *const record_vectors[] = {
    /* 0: accounts */ "a4"
                      "01" A32 "02" B32 "0301"
                      "0400",
    "a5"
    "01" A32 "02" B32 "0305"
    "041a000f4240"
    "0563"
    "616e61",
    "a8"
    "01" A32 "02" B32 "0305"
    "0400"
    "0563"
    "616e61"
    "06" C32 "0707"
    "081a69216580",
    /* 3: handle */
    "a2"
    "01" A32 "0209",
    /* 4: relay */
    "a8"
    "01" A32 "0269"
    "6c6f63616c686f7374"
    "031901bb"
    "04" B32 "05190d96"
    "0618c8"
    "071a00010000"
    "0862"
    "6575",
    /* 5: channel */
    "ac"
    "0103"
    "02" A32 "03" B32 "041903e8"
    "05" C32 "0602"
    "071903e8"
    "080a"
    "091a00010000"
    "0a1a69216580"
    "0b" A32 "0c01",
};

static enum chq_err rewrite_record(size_t row, struct chq_bytes value, struct chq_writer *w)
{
    struct chq_account_record account;
    struct chq_handle_record handle;
    struct chq_relay_record relay;
    struct chq_channel_record channel;
    if (row <= 2) {
        CHQ_TRY(chq_account_record_read(value, &account));
        chq_account_record_put(w, &account);
    } else if (row == 3) {
        CHQ_TRY(chq_handle_record_read(value, &handle));
        chq_handle_record_put(w, &handle);
    } else if (row == 4) {
        CHQ_TRY(chq_relay_record_read(value, &relay));
        chq_relay_record_put(w, &relay);
    } else {
        CHQ_TRY(chq_channel_record_read(value, &channel));
        chq_channel_record_put(w, &channel);
    }
    return CHQ_OK;
}

static void record_bytes(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof record_vectors / sizeof *record_vectors; i++) {
        struct chq_writer w = chq_writer_fixed(storage, sizeof storage);
        assert_int_equal(rewrite_record(i, from_hex(record_vectors[i]), &w), CHQ_OK);
        expect_hex(&w, record_vectors[i]);
        for (size_t cut = 0; cut < strlen(record_vectors[i]) / 2; cut++)
            assert_int_equal(
                rewrite_record(i, chq_bytes(from_hex(record_vectors[i]).data, cut), &w), CHQ_MALFORMED);
    }
    static const struct {
        size_t kind;
        const char *hex;
    } bad[] = {/* 0: empty handle */ {0, "a5"
                                         "01" A32 "02" B32 "0305"
                                         "0400"
                                         "0560"},
        /* 1: commit without height */
        {0, "a5"
            "01" A32 "02" B32 "0305"
            "0400"
            "06" C32},
        /* 2: port 0, 65536; host with a space, empty */
        {4, "a8"
            "01" A32 "0261"
            "6c"
            "0300"
            "04" B32 "0500"
            "0600"
            "0701"
            "0860"},
        {4, "a8"
            "01" A32 "0261"
            "6c"
            "031a00010000"
            "04" B32 "0500"
            "0600"
            "0701"
            "0860"},
        {4, "a8"
            "01" A32 "0263"
            "612062"
            "0301"
            "04" B32 "0500"
            "0600"
            "0701"
            "0860"},
        {4, "a8"
            "01" A32 "0260"
            "0301"
            "04" B32 "0500"
            "0600"
            "0701"
            "0860"},
        /* 6: quantum 0 */
        {4, "a8"
            "01" A32 "0261"
            "6c"
            "0301"
            "04" B32 "0500"
            "0600"
            "0700"
            "0860"},
        /* 7: state 0, 4; index above tokens; index * price above the deposit */
        {5, "ac"
            "0103"
            "02" A32 "03" B32 "041903e8"
            "05" C32 "0602"
            "071903e8"
            "080a"
            "0901"
            "0a01"
            "0b" A32 "0c00"},
        {5, "ac"
            "0103"
            "02" A32 "03" B32 "041903e8"
            "05" C32 "0602"
            "071903e8"
            "080a"
            "0901"
            "0a01"
            "0b" A32 "0c04"},
        {5, "ac"
            "0103"
            "02" A32 "03" B32 "041903e8"
            "05" C32 "0602"
            "0701"
            "080a"
            "0901"
            "0a01"
            "0b" A32 "0c01"},
        {5, "ac"
            "0103"
            "02" A32 "03" B32 "0413"
            "05" C32 "0602"
            "0709"
            "080a"
            "0901"
            "0a01"
            "0b" A32 "0c01"}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct chq_writer w = chq_writer_fixed(storage, sizeof storage);
        if (rewrite_record(bad[i].kind, from_hex(bad[i].hex), &w) != CHQ_MALFORMED)
            fail_msg("bad record %zu was accepted", i);
    }
}

static void frame_bytes(void **state)
{
    (void)state;
    static const char *const requests[] = {"a10001", "a2000201420102", "a30003010502" A32};
    static const char *const bad_requests[] = {"a10000", "a10004", "a100", "a10002", "a30003010002" A32,
        "a30003010602" A32, "a200030105",
        "a2000101"
        "00",
        "a1000100"};
    static const char *const replies[] = {/* error replies */ "a3"
                                                              "0001"
                                                              "0102"
                                                              "0262"
                                                              "6e6f",
        "a200000102",
        /* INFO */
        "a8"
        "0001"
        "0100"
        "036174"
        "0405"
        "0541aa"
        "060a"
        "0707"
        "0803",
        /* INFO that names the validators */
        "a9000101000361740405"
        "0541aa060a0707"
        "08030981a201" A32 "0201",
        /* SUBMIT */
        "a3"
        "0002"
        "0100"
        "0307",
        /* QUERY, there and not */
        "a5"
        "0003"
        "0100"
        "0341bb"
        "0441cc"
        "0541dd",
        "a4"
        "0003"
        "0100"
        "0440"
        "0541dd"};
    static const char *const bad_replies[] = {"a200000100",
        "a2000101"
        "0d",
        "a3"
        "0001"
        "0102"
        "0260",
        "a3"
        "0002"
        "0102"
        "0307",
        "a2"
        "0002"
        "0100",
        "a5"
        "0003"
        "0100"
        "0340"
        "0441cc"
        "0541dd",
        "a4"
        "0003"
        "0100"
        "0441cc"
        "0540"};
    struct chq_ledger_request q;
    struct chq_ledger_reply p;
    for (size_t i = 0; i < sizeof requests / sizeof *requests; i++) {
        struct chq_writer w = chq_writer_fixed(storage, sizeof storage);
        assert_int_equal(chq_ledger_request_read(from_hex(requests[i]), &q), CHQ_OK);
        chq_ledger_request_put(&w, &q);
        expect_hex(&w, requests[i]);
    }
    for (size_t i = 0; i < sizeof bad_requests / sizeof *bad_requests; i++)
        if (chq_ledger_request_read(from_hex(bad_requests[i]), &q) != CHQ_MALFORMED)
            fail_msg("bad request %zu was accepted", i);
    for (size_t i = 0; i < sizeof replies / sizeof *replies; i++) {
        struct chq_writer w = chq_writer_fixed(storage, sizeof storage);
        if (chq_ledger_reply_read(from_hex(replies[i]), &p) != CHQ_OK)
            fail_msg("reply %zu was refused", i);
        chq_ledger_reply_put(&w, &p);
        expect_hex(&w, replies[i]);
    }
    for (size_t i = 0; i < sizeof bad_replies / sizeof *bad_replies; i++)
        if (chq_ledger_reply_read(from_hex(bad_replies[i]), &p) != CHQ_MALFORMED)
            fail_msg("bad reply %zu was accepted", i);
}

static void signed_header_survives_a_round_trip(void **state)
{
    (void)state;
    uint8_t hash[32];
    memset(hash, 0x11, sizeof hash);
    struct chq_bytes h = chq_bytes(hash, 32);
    static struct chq_signed_header in, out;
    in = (struct chq_signed_header){.header = {.version_block = 11,
                                        .chain_id = chq_bytes_text("test-01"),
                                        .height = 5,
                                        .time = {.s = -62135596800, .ns = 999999999},
                                        .last_block = {h, 1, h},
                                        .data_hash = h,
                                        .app_hash = h},
        .round = 2,
        .parts_total = 1,
        .votes_count = 2};
    memset(in.votes[1].signature, 0x77, 64);
    struct chq_writer w = chq_writer_fixed(storage, sizeof storage);
    chq_signed_header_put(&w, &in);
    assert_int_equal(chq_writer_finish(&w), CHQ_OK);
    assert_int_equal(chq_signed_header_read(chq_writer_bytes(&w), &out), CHQ_OK);
    assert_int_equal(out.header.time.s, -62135596800);
    assert_int_equal(out.header.last_commit_hash.size, 0);
    assert_true(chq_bytes_equal(out.header.app_hash, h));
    assert_int_equal(out.votes_count, 2);
    assert_memory_equal(out.votes[1].signature, in.votes[1].signature, 64);
    for (size_t cut = 0; cut < w.size; cut++)
        assert_int_equal(chq_signed_header_read(chq_bytes(storage, cut), &out), CHQ_MALFORMED);
    in.header.height = 0;
    chq_writer_clear(&w);
    chq_signed_header_put(&w, &in);
    assert_int_equal(chq_signed_header_read(chq_writer_bytes(&w), &out), CHQ_MALFORMED);
    in.header.height = 1;
    in.header.time.ns = 1000000000;
    chq_writer_clear(&w);
    chq_signed_header_put(&w, &in);
    assert_int_equal(chq_signed_header_read(chq_writer_bytes(&w), &out), CHQ_MALFORMED);
}

static void invitation_links(void **state)
{
    (void)state;
    static struct chq_invitation in, out;
    in = (struct chq_invitation){.chain_id = "test-01",
        .validators_count = 1,
        .validators = {{.power = 10}},
        .host = "203.0.113.5",
        .port = 443};
    memset(in.relay, 0xaa, 32);
    memset(in.pin, 0xbb, 32);
    memset(in.validators[0].key, 0xcc, 32);
    struct chq_writer w = chq_writer_fixed(storage, sizeof storage);
    chq_write_bytes(&w, " \n", 2);
    chq_invitation_put(&w, &in);
    assert_int_equal(chq_writer_finish(&w), CHQ_OK);
    chq_write_u8(&w, '\n');
    assert_memory_equal(storage + 2, "chasqui:pgFndGVzdC0wMQKBogFYIMzMzMzMzMzM", 40);
    assert_int_equal(chq_invitation_read(chq_writer_bytes(&w), &out), CHQ_OK);
    assert_memory_equal(&in, &out, sizeof in);
    for (size_t cut = 3; cut < w.size - 1; cut++)
        assert_int_equal(chq_invitation_read(chq_bytes(storage + 2, cut - 2), &out), CHQ_MALFORMED);
    static const char *const bad[] = {
        "", "chasqui:", "chasqui:pg", "chasquy:oA", "http://example.org", "chasqui:oA=="};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (chq_invitation_read(chq_bytes_text(bad[i]), &out) != CHQ_MALFORMED)
            fail_msg("bad link %zu was accepted", i);
    in.validators_count = 2; /* the same key twice, then no power */
    in.validators[1] = in.validators[0];
    chq_writer_clear(&w);
    chq_invitation_put(&w, &in);
    assert_int_equal(chq_invitation_read(chq_writer_bytes(&w), &out), CHQ_MALFORMED);
    in.validators_count = 1;
    in.validators[0].power = 0;
    chq_writer_clear(&w);
    chq_invitation_put(&w, &in);
    assert_int_equal(chq_invitation_read(chq_writer_bytes(&w), &out), CHQ_MALFORMED);
}

static void names_have_vectors(void **state)
{
    (void)state;
    uint8_t id[32], key[32] = {0}, salt[32] = {0};
    char text[65];
    chq_channel_id(id, chq_bytes_text("test-01"), key, 1, 2);
    chq_hex_write(chq_bytes(id, 32), text);
    assert_string_equal(text, "f49119ccf6ecbdff45070e521b85c8613365879922059e5242445cfe9cdc8264");
    chq_handle_commitment(id, chq_bytes_text("ana"), key, salt);
    chq_hex_write(chq_bytes(id, 32), text);
    assert_string_equal(text, "3dc93a9b966da30f3078538dd73c9f54ff86eb0f36e2be8595d317917cd6769f");
    chq_handle_key(id, chq_bytes_text("ana"));
    chq_hex_write(chq_bytes(id, 32), text);
    assert_string_equal(text, "18d7c9014cc0a32014e18ade9578a142df18c57bb14b24ad9ad80c6fa9a5d9d6");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(operation_bytes),
        cmocka_unit_test(bad_operations),
        cmocka_unit_test(batch_bytes),
        cmocka_unit_test(record_bytes),
        cmocka_unit_test(frame_bytes),
        cmocka_unit_test(signed_header_survives_a_round_trip),
        cmocka_unit_test(invitation_links),
        cmocka_unit_test(names_have_vectors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
