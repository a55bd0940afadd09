/* SPDX-License-Identifier: Apache-2.0 */
#include "core/base/text.h"
#include "core/wire/frame.h"
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct chq_bytes text(const char *t)
{
    return chq_bytes_text(t);
}

static const uint8_t ledger_info[] = {0xa1, 0x00, 0x01}, ledger_answer[] = {0xa2, 0x00, 0x01, 0x01, 0x00};

#define B32(c)                                                                                               \
    {                                                                                                        \
        c, c, c, c, c, c, c, c, c, c, c, c, c, c, c, c, c, c, c, c, c, c, c, c, c, c, c, c, c, c, c, c       \
    }
#define B16(c)                                                                                               \
    {                                                                                                        \
        c, c, c, c, c, c, c, c, c, c, c, c, c, c, c, c                                                       \
    }

/* The frames of tests/vectors/frame/frames.txt, in its order. */
static size_t make_frames(struct chq_frame out[32])
{
    size_t n = 0;
    out[n++] = (struct chq_frame){CHQ_FRAME_HELLO, 1, .hello = {1, text("chasqui-test-1")}};
    out[n++] = (struct chq_frame){
        CHQ_FRAME_WELCOME, 1, .welcome = {1, B32(0xa1), B32(0xa2), 65536, 250, 1790000000, 1000000}};
    out[n++] = (struct chq_frame){CHQ_FRAME_ATTACH, 2, .attach = {.channel_id = B32(0xa3)}};
    memset(out[n - 1].attach.signature, 0xa4, 64);
    out[n++] = (struct chq_frame){CHQ_FRAME_ATTACHED, 2, .attached = {B32(0xa3), 123456789012, 77}};
    out[n++] = (struct chq_frame){CHQ_FRAME_TOKEN, 3, .token = {B32(0xa3), 78, B32(0xa5)}};
    out[n++] = (struct chq_frame){CHQ_FRAME_CREDIT, 0, .credit = {B32(0xa3), 78, 5000000}};
    out[n++] = (struct chq_frame){CHQ_FRAME_PUT, 4, .put = {B32(0xa6), B16(0xa7), text("envelope")}};
    out[n++] = (struct chq_frame){CHQ_FRAME_STORED, 4, .stored = {B16(0xa7)}};
    out[n++] = (struct chq_frame){CHQ_FRAME_QUEUE, 5, .queue = {.queue_key = B32(0xa8), .kind = 1}};
    memset(out[n - 1].queue.signature, 0xa9, 64);
    out[n++] = (struct chq_frame){CHQ_FRAME_SUBSCRIBE, 6, .subscribe = {.queue_key = B32(0xa8)}};
    memset(out[n - 1].subscribe.signature, 0xaa, 64);
    out[n++] = (struct chq_frame){
        CHQ_FRAME_DELIVER, 0, .deliver = {B32(0xa6), 1, B16(0xa7), text("envelope"), 1790000001}};
    out[n++] = (struct chq_frame){CHQ_FRAME_ACK, 7, .ack = {B32(0xa6), 1}};
    out[n++] =
        (struct chq_frame){CHQ_FRAME_LEDGER, 8, .ledger = {chq_bytes(ledger_info, sizeof ledger_info)}};
    out[n++] = (struct chq_frame){
        CHQ_FRAME_LEDGER_REPLY, 8, .ledger_reply = {chq_bytes(ledger_answer, sizeof ledger_answer)}};
    out[n++] = (struct chq_frame){CHQ_FRAME_TURN, 9, .ack = {{0}, 0}};
    out[n++] = (struct chq_frame){CHQ_FRAME_TURN_GRANT, 9,
        .turn_grant = {text("u1"), text("secret"), text("chasqui"), 86400, text(""), 3478}};
    out[n++] = (struct chq_frame){CHQ_FRAME_PREKEYS, 10,
        .prekeys = {.queue_key = B32(0xa8),
            .bundle = text("bundle"),
            .one_time_count = 2,
            .one_time = {text("one"), text("two")}}};
    memset(out[n - 1].prekeys.signature, 0xab, 64);
    out[n++] = (struct chq_frame){CHQ_FRAME_PREKEY_GET, 11, .prekey_get = {B32(0xa6)}};
    out[n++] = (struct chq_frame){CHQ_FRAME_PREKEY, 11, .prekey = {text("bundle"), text("one"), 1}};
    out[n++] = (struct chq_frame){CHQ_FRAME_PREKEY, UINT64_MAX, .prekey = {text("bundle"), {NULL, 0}, 0}};
    out[n++] = (struct chq_frame){CHQ_FRAME_GRANT, 12, .grant = {B32(0xac)}};
    out[n++] = (struct chq_frame){CHQ_FRAME_OK, 12, .ack = {{0}, 0}};
    out[n++] =
        (struct chq_frame){CHQ_FRAME_ERROR, 13, .error = {CHQ_PAYMENT, text("pay first: ni\xc3\xb1o")}};
    out[n++] = (struct chq_frame){CHQ_FRAME_PING, 14, .ack = {{0}, 0}};
    return n;
}

static void expect_hex(struct chq_bytes got, const char *name, const char *hex)
{
    char *written = malloc(2 * got.size + 1);
    assert_non_null(written);
    chq_hex_write(got, written);
    if (strcmp(written, hex) != 0)
        fail_msg("%s:\n  got  %s\n  want %s", name, written, hex);
    free(written);
}

static void expect_frame(const struct chq_frame *frame, const char *name, const char *hex)
{
    struct chq_writer w = chq_writer_heap(CHQ_FRAME_BYTES_MAX), again = chq_writer_heap(CHQ_FRAME_BYTES_MAX);
    struct chq_frame read;
    assert_int_equal(chq_frame_write(&w, frame), CHQ_OK);
    expect_hex(chq_writer_bytes(&w), name, hex);
    assert_int_equal(chq_frame_read(chq_writer_bytes(&w), &read), CHQ_OK);
    assert_int_equal(read.type, frame->type);
    assert_true(read.id == frame->id);
    assert_int_equal(chq_frame_write(&again, &read), CHQ_OK);
    expect_hex(chq_writer_bytes(&again), name, hex);
    if (strncmp(name, "PREKEY", 6) != 0) /* those two names differ from the type's */
        assert_string_equal(chq_frame_type_name(frame->type), name);
    chq_writer_free(&w);
    chq_writer_free(&again);
}

static void vectors(void **state)
{
    (void)state;
    static struct chq_frame frames[32];
    size_t count = make_frames(frames), at = 0;
    char line[2048], name[32], hex[2000];
    uint8_t relay_id[32], challenge[32], key[32], id[32], message[96];
    memset(relay_id, 0xa1, 32), memset(challenge, 0xa2, 32), memset(key, 0xa8, 32);
    FILE *file = fopen(CHQ_TESTS_DIR "/vectors/frame/frames.txt", "r");
    assert_non_null(file);
    while (fgets(line, sizeof line, file) != NULL) {
        if (line[0] == '#')
            continue;
        assert_int_equal(sscanf(line, "%31s %1999s", name, hex), 2);
        if (strcmp(name, "QUEUE_ID_OF_A8") == 0) {
            chq_queue_id(id, key);
            expect_hex(chq_bytes(id, 32), name, hex);
        } else if (strcmp(name, "PREKEYS_MESSAGE") == 0) {
            chq_frame_prekeys_message(message, relay_id, challenge, &frames[16]);
            expect_hex(chq_bytes(message, 96), name, hex);
        } else {
            assert_true(at < count);
            expect_frame(&frames[at++], name, hex);
        }
    }
    fclose(file);
    assert_int_equal(at, count);
}

/* Every row must be refused; the number is its name. `%` stands for 32 bytes, `#` for 64, `^` for 16, as byte
 * strings. */
static void bad_inputs(void **state)
{
    (void)state;
    static const struct {
        const char *hex;
        enum chq_err err;
    } rows[] = {
        /* 0 */ {"", CHQ_MALFORMED},
        {"a0", CHQ_MALFORMED},
        {"80", CHQ_MALFORMED},
        {"a10015", CHQ_MALFORMED},
        /* 4: id missing, keys not rising, type as text, negative id */
        {"a200150201", CHQ_MALFORMED},
        {"a201010015", CHQ_MALFORMED},
        {"a20061150101", CHQ_MALFORMED},
        {"a200150120", CHQ_MALFORMED},
        /* 8: OK with a field too many, with a byte too many, cut short, key twice */
        {"a30015010102f6", CHQ_MALFORMED},
        {"a30015010102", CHQ_MALFORMED},
        {"a20015010100", CHQ_MALFORMED},
        {"a2001501", CHQ_MALFORMED},
        {"a300150101010100", CHQ_MALFORMED},
        /* 13: unknown types: 0, 24, 2^64-1; and an unknown one that is not CBOR to its end */
        {"a200000105", CHQ_UNSUPPORTED},
        {"a20018180105", CHQ_UNSUPPORTED},
        {"a2001bffffffffffffffff0105", CHQ_UNSUPPORTED},
        {"a3001818010502", CHQ_MALFORMED},
        /* 17: type in long form, id in long form */
        {"a20018150101", CHQ_MALFORMED},
        {"a20015011801", CHQ_MALFORMED},
        /* 19: HELLO without chain, with an empty one, with one as bytes, not UTF-8, 51 characters */
        {"a3000101010201", CHQ_MALFORMED},
        {"a40001010102010360", CHQ_MALFORMED},
        {"a4000101010201034161", CHQ_MALFORMED},
        {"a40001010102010361ff", CHQ_MALFORMED},
        {"a40001010102010378336161616161616161616161616161616161616161616161616161616161616161616161616161616"
         "1"
         "616161616161",
            CHQ_MALFORMED},
        /* 24: PING with a field; ACK with sequence 0, with a queue id of 16 bytes, with one more field */
        {"a30017010102%", CHQ_MALFORMED},
        {"a4000c010102%0300", CHQ_MALFORMED},
        {"a4000c010102^0301", CHQ_MALFORMED},
        {"a5000c010102%03010401", CHQ_MALFORMED},
        /* 28: TOKEN index 0, index above 2^20, token of 16 bytes, order of keys */
        {"a50005010102%030004%", CHQ_MALFORMED},
        {"a50005010102%031a0010000104%", CHQ_MALFORMED},
        {"a50005010102%030104^", CHQ_MALFORMED},
        {"a50005010102%04%0301", CHQ_MALFORMED},
        /* 32: PUT with an empty envelope, put id of 32 bytes, envelope as text, length past the end */
        {"a50007010102%03^0440", CHQ_MALFORMED},
        {"a50007010102%03%044101", CHQ_MALFORMED},
        {"a50007010102%03^046161", CHQ_MALFORMED},
        {"a50007010102%03^045affffffff", CHQ_MALFORMED},
        {"a50007010102%03^0459400100", CHQ_MALFORMED},
        /* 37: QUEUE of kind 2, signature of 32 bytes, without signature */
        {"a50009010102%030204#", CHQ_MALFORMED},
        {"a50009010102%030004%", CHQ_MALFORMED},
        {"a40009010102%0300", CHQ_MALFORMED},
        /* 40: WELCOME with quantum 0 and with a price above all credit */
        {"a900020101020103%04%05000600070008"
         "00",
            CHQ_MALFORMED},
        {"a900020101020103%04%0501061b7fffffffffffffff07000800", CHQ_MALFORMED},
        /* 42: ERROR of code 0, of code 256; TURN_GRANT to port 0 and to 65536, with an empty name */
        {"a40016010102000360", CHQ_MALFORMED},
        {"a400160101021901000360", CHQ_MALFORMED},
        {"a80010010102616103616104616105010660"
         "0700",
            CHQ_MALFORMED},
        {"a800100101026161036161046161050106600"
         "71a00010000",
            CHQ_MALFORMED},
        {"a8001001010260036161046161050106600701", CHQ_MALFORMED},
        /* 47: PREKEYS with an empty one-time prekey, with 101, with an array that claims 2^32 */
        {"a60011010102%03#0441010581"
         "40",
            CHQ_MALFORMED},
        {"a60011010102%03#044101059865", CHQ_MALFORMED},
        {"a60011010102%03#044101059b0000000100000000", CHQ_MALFORMED},
        /* 50: PREKEY with an empty one-time prekey (must be left out), with 101 left */
        {"a5001301010241010340"
         "0400",
            CHQ_MALFORMED},
        {"a4001301010241010"
         "41865",
            CHQ_MALFORMED},
        /* 52: a map that claims 2^64-1 pairs; indefinite map; tag */
        {"bbffffffffffffffff", CHQ_MALFORMED},
        {"bf00150101ff", CHQ_MALFORMED},
        {"c0a200150101", CHQ_MALFORMED},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char hex[1024] = "";
        size_t n = 0;
        for (const char *c = rows[i].hex; *c != 0; c++) {
            size_t fill = *c == '%' ? 32 : *c == '#' ? 64 : *c == '^' ? 16 : 0;
            if (fill == 0) {
                hex[n++] = *c;
                continue;
            }
            n += (size_t)snprintf(hex + n, sizeof hex - n, fill == 16 ? "50" : "58%02zx", fill);
            memset(hex + n, '7', 2 * fill);
            n += 2 * fill;
        }
        uint8_t in[512];
        struct chq_frame out;
        assert_int_equal(chq_hex_read(hex, in, n / 2), CHQ_OK);
        assert_int_equal(n % 2, 0);
        enum chq_err err = chq_frame_read(chq_bytes(in, n / 2), &out);
        if (err != rows[i].err)
            fail_msg("bad input %zu (%s): got %d, want %d", i, rows[i].hex, err, rows[i].err);
        assert_int_equal(out.type, 0);
        assert_true(out.id == (err == CHQ_UNSUPPORTED ? 5 : 0));
    }
}

static void limits_hold_in_both_directions(void **state)
{
    (void)state;
    static uint8_t big[CHQ_FRAME_BYTES_MAX + 1];
    static struct chq_frame frame, read;
    struct chq_writer w = chq_writer_heap(2 * CHQ_FRAME_BYTES_MAX);
    assert_int_equal(chq_frame_read(chq_bytes(big, sizeof big), &read), CHQ_LIMIT);

    frame = (struct chq_frame){CHQ_FRAME_PUT, 1, .put = {.envelope = {big, CHQ_ENVELOPE_BYTES_MAX}}};
    assert_int_equal(chq_frame_write(&w, &frame), CHQ_OK);
    assert_int_equal(chq_frame_read(chq_writer_bytes(&w), &read), CHQ_OK);
    assert_int_equal(read.put.envelope.size, CHQ_ENVELOPE_BYTES_MAX);
    chq_writer_clear(&w);
    frame.put.envelope.size++;
    assert_int_equal(chq_frame_write(&w, &frame), CHQ_MALFORMED);
    chq_writer_free(&w);

    w = chq_writer_heap(2 * CHQ_FRAME_BYTES_MAX);
    frame = (struct chq_frame){CHQ_FRAME_LEDGER, UINT64_MAX, .ledger = {{big, CHQ_FRAME_LEDGER_BYTES_MAX}}};
    assert_int_equal(chq_frame_write(&w, &frame), CHQ_OK);
    assert_true(w.size <= CHQ_FRAME_BYTES_MAX);
    chq_writer_free(&w);

    /* 100 one-time prekeys of 2 KiB are each within limits, together above a frame. */
    w = chq_writer_heap(8 * CHQ_FRAME_BYTES_MAX);
    memset(&frame, 0, sizeof frame);
    frame.type = CHQ_FRAME_PREKEYS;
    frame.prekeys.bundle = chq_bytes(big, 1);
    frame.prekeys.one_time_count = CHQ_ONE_TIME_PREKEYS_MAX;
    for (size_t i = 0; i < CHQ_ONE_TIME_PREKEYS_MAX; i++)
        frame.prekeys.one_time[i] = chq_bytes(big, CHQ_ONE_TIME_PREKEY_BYTES_MAX);
    assert_int_equal(chq_frame_write(&w, &frame), CHQ_LIMIT);
    chq_writer_free(&w);
    assert_string_equal(chq_frame_type_name((enum chq_frame_type)0), "?");
    assert_string_equal(chq_frame_type_name((enum chq_frame_type)24), "?");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(vectors),
        cmocka_unit_test(bad_inputs),
        cmocka_unit_test(limits_hold_in_both_directions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
