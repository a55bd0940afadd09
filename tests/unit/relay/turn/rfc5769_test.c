/* SPDX-License-Identifier: Apache-2.0 */
/* RFC 5769 sections 2.1 to 2.4 and RFC 8489 appendix B.1: the codec of core/wire with the hashes of this folder. */
#include "core/wire/stun.h"
#include "relay/turn/hash.h"
#include "unit.h"

#include <stdio.h>
#include <string.h>

static const char user[] = "\u30DE\u30C8\u30EA\u30C3\u30AF\u30B9";

struct vector {
    uint8_t bytes[512];
    size_t size;
    struct chq_stun_message message;
};

static void load(const char *name, struct vector *v)
{
    char path[512];
    (void)snprintf(path, sizeof path, "%s/vectors/rfc5769/%s", CHQ_TESTS_DIR, name);
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    v->size = fread(v->bytes, 1, sizeof v->bytes, file);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chq_stun_read(chq_bytes(v->bytes, v->size), &v->message), CHQ_OK);
}

static struct chq_turn_hash *hash;
static struct chq_stun_crypto crypto;

static void short_term(const char *name, struct vector *v)
{
    const struct chq_bytes password = chq_bytes_text("VOkJxbRl1RmTxUk/WvJxBt");
    load(name, v);
    assert_int_equal(chq_stun_check_integrity(&v->message, &crypto, password), CHQ_OK);
    assert_int_equal(chq_stun_check_integrity(&v->message, &crypto, chq_bytes_text("wrong")), CHQ_AUTH);
    assert_true(
        (v->message.has & CHQ_STUN_HAS_FINGERPRINT) != 0); /* and checked, or the reader had refused it */
}

static void sample_request(void **state)
{
    (void)state;
    struct vector v;
    short_term("2.1-request.bin", &v);
    assert_int_equal(v.message.method, CHQ_STUN_BINDING);
    assert_int_equal(v.message.class, CHQ_STUN_REQUEST);
    assert_true(chq_bytes_equal(v.message.software, chq_bytes_text("STUN test client")));
    assert_true(chq_bytes_equal(v.message.username, chq_bytes_text("evtj:h6vY")));
    assert_int_equal(v.message.unknown_count, 1); /* PRIORITY is ICE's, not read here */
    assert_int_equal(v.message.unknown[0], 0x0024);
}

static void sample_responses(void **state)
{
    (void)state;
    struct vector v;
    const struct chq_address four = chq_address_ip4(192, 0, 2, 1, 32853);
    const struct chq_address six = {.family = 6,
        .port = 32853,
        .ip = {
            0x20, 0x01, 0x0d, 0xb8, 0x12, 0x34, 0x56, 0x78, 0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77}};
    short_term("2.2-ipv4-response.bin", &v);
    assert_int_equal(v.message.class, CHQ_STUN_SUCCESS);
    assert_true(chq_bytes_equal(v.message.software, chq_bytes_text("test vector")));
    assert_true(chq_address_equal(&v.message.mapped, &four));
    short_term("2.3-ipv6-response.bin", &v);
    assert_true(chq_address_equal(&v.message.mapped, &six));
}

static void long_term_request(void **state)
{
    (void)state;
    struct vector v;
    uint8_t key[16], again[512];
    load("2.4-longterm-request.bin", &v);
    assert_true(chq_bytes_equal(v.message.username, chq_bytes_text(user)));
    assert_true(chq_bytes_equal(v.message.realm, chq_bytes_text("example.org")));
    assert_true(chq_bytes_equal(v.message.nonce, chq_bytes_text("f//499k954d6OL34oL9FSTvy64sA")));
    assert_int_equal(chq_stun_long_term_key(
                         &crypto, v.message.username, v.message.realm, chq_bytes_text("TheMatrIX"), key),
        CHQ_OK);
    assert_int_equal(chq_stun_check_integrity(&v.message, &crypto, chq_bytes(key, sizeof key)), CHQ_OK);

    /* written by us it is the same, byte for byte */
    struct chq_writer w = chq_writer_fixed(again, sizeof again);
    chq_stun_begin(&w, CHQ_STUN_BINDING, CHQ_STUN_REQUEST, v.message.transaction_id);
    chq_stun_write(&w, CHQ_STUN_USERNAME, v.message.username);
    chq_stun_write(&w, CHQ_STUN_NONCE, v.message.nonce);
    chq_stun_write(&w, CHQ_STUN_REALM, v.message.realm);
    chq_stun_write_integrity(&w, &crypto, CHQ_STUN_SHA1, chq_bytes(key, sizeof key));
    assert_int_equal(chq_stun_finish(&w), CHQ_OK);
    assert_int_equal(w.size, v.size);
    assert_memory_equal(again, v.bytes, v.size);
}

static void long_term_request_sha256(void **state)
{
    (void)state;
    struct vector v;
    uint8_t key[32], userhash[32];
    const struct chq_bytes name = chq_bytes_text(user);
    load("rfc8489-B.1-longterm-sha256-userhash.bin", &v);
    assert_true(chq_bytes_equal(v.message.realm, chq_bytes_text("example.org")));
    assert_int_equal(v.message.password_algorithm, 2);
    assert_int_equal(chq_stun_userhash(&crypto, name, v.message.realm, userhash), CHQ_OK);
    assert_true(chq_bytes_equal(v.message.userhash, chq_bytes(userhash, sizeof userhash)));
    assert_int_equal(
        chq_stun_long_term_key_sha256(&crypto, name, v.message.realm, chq_bytes_text("TheMatrIX"), key),
        CHQ_OK);
    assert_int_equal(chq_stun_check_integrity(&v.message, &crypto, chq_bytes(key, sizeof key)), CHQ_OK);
    key[31] ^= 1;
    assert_int_equal(chq_stun_check_integrity(&v.message, &crypto, chq_bytes(key, sizeof key)), CHQ_AUTH);
}

/* RFC 2202 case 2, RFC 4231 case 2, RFC 1321: the library does what it is asked for, also the second time. */
static void hash_vectors(void **state)
{
    (void)state;
    uint8_t out[32];
    const struct chq_bytes parts[] = {chq_bytes_text("what do ya want "), chq_bytes_text("for nothing?")};
    for (int i = 0; i < 2; i++) {
        assert_true(crypto.hmac(crypto.context, CHQ_STUN_SHA1, chq_bytes_text("Jefe"), parts, 2, out));
        assert_memory_equal(
            out, "\xef\xfc\xdf\x6a\xe5\xeb\x2f\xa2\xd2\x74\x16\xd5\xf1\x84\xdf\x9c\x25\x9a\x7c\x79", 20);
        assert_true(crypto.hmac(crypto.context, CHQ_STUN_SHA256, chq_bytes_text("Jefe"), parts, 2, out));
        assert_memory_equal(out, "\x5b\xdc\xc1\x46\xbf\x60\x75\x4e\x6a\x04\x24\x26\x08\x95\x75\xc7", 16);
        const struct chq_bytes abc = chq_bytes_text("abc");
        assert_true(crypto.hash(crypto.context, CHQ_STUN_MD5, &abc, 1, out));
        assert_memory_equal(out, "\x90\x01\x50\x98\x3c\xd2\x4f\xb0\xd6\x96\x3f\x7d\x28\xe1\x7f\x72", 16);
    }
    assert_false(crypto.hmac(crypto.context, CHQ_STUN_MD5, parts[0], parts, 2, out));
    assert_false(crypto.hash(crypto.context, CHQ_STUN_SHA1, parts, 2, out));
}

static int set_up(void **state)
{
    (void)state;
    if (chq_turn_hash_new(&hash) != CHQ_OK)
        return -1;
    crypto = chq_turn_hash_functions(hash);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    chq_turn_hash_free(hash);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sample_request),
        cmocka_unit_test(sample_responses),
        cmocka_unit_test(long_term_request),
        cmocka_unit_test(long_term_request_sha256),
        cmocka_unit_test(hash_vectors),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
