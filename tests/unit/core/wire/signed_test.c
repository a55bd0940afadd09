/* SPDX-License-Identifier: Apache-2.0 */
#include "core/base/text.h"
#include "core/wire/inception.h"
#include "core/wire/signed.h"
#include "unit.h"

#include <string.h>

/* Made by another implementation (Python, cryptography). */
static const char signed_vector[] =
    "a20144626f6479025840fd8b93e40821d5b404e13c8514d48582d50c5996f591bcf73739a4ce0bf90da382026ec57ce0"
    "8b2dfeeeaa19f553bb5d4a8665fbc230eb8ca4701ca21a2b6907";
static const char inception_vector[] =
    "a30101025820cecc1507dc1ddd7295951c290888f095adb9044d1b73d696e6df065d683bd4fc035820ffcea6e5284be9"
    "1ebe2b26f18e374cb91f769512dbde3c634e0ca103f40840aa";
static const char account_id_vector[] = "d24ea6d4eefb1ac212e08d5e55c2f725e23a37b8e33f3554900c2d729c9b3492";

static struct chq_sign_pair pair, other;

static int keys(void **state)
{
    (void)state;
    uint8_t seed[CHQ_SEED_BYTES] = {1};
    assert_int_equal(chq_crypto_init(), CHQ_OK);
    chq_sign_pair_from_seed(&pair, seed);
    seed[0] = 2;
    chq_sign_pair_from_seed(&other, seed);
    return 0;
}

static void vectors(void **state)
{
    (void)state;
    uint8_t storage[128];
    char hex[257];
    struct chq_bytes body;
    struct chq_writer w = chq_writer_fixed(storage, sizeof storage);
    chq_signed_write(&w, &pair, "chasqui test v1", chq_bytes_text("body"));
    assert_int_equal(chq_writer_finish(&w), CHQ_OK);
    chq_hex_write(chq_writer_bytes(&w), hex);
    assert_string_equal(hex, signed_vector);
    assert_int_equal(
        chq_signed_open(&body, chq_writer_bytes(&w), 4, pair.public_key, "chasqui test v1"), CHQ_OK);
    assert_true(chq_bytes_equal(body, chq_bytes_text("body")));
    assert_int_equal(chq_signed_peek(&body, chq_writer_bytes(&w), 4), CHQ_OK);
    assert_true(chq_bytes_equal(body, chq_bytes_text("body")));
}

static void another_key_domain_or_body_is_refused(void **state)
{
    (void)state;
    uint8_t storage[128];
    struct chq_bytes body;
    struct chq_writer w = chq_writer_fixed(storage, sizeof storage);
    chq_signed_write(&w, &pair, "chasqui test v1", chq_bytes_text("body"));
    struct chq_bytes in = chq_writer_bytes(&w);
    assert_int_equal(chq_signed_open(&body, in, 64, other.public_key, "chasqui test v1"), CHQ_AUTH);
    assert_int_equal(body.size, 0);
    assert_int_equal(chq_signed_open(&body, in, 64, pair.public_key, "chasqui test v2"), CHQ_AUTH);
    assert_int_equal(chq_signed_open(&body, in, 3, pair.public_key, "chasqui test v1"), CHQ_MALFORMED);
    for (size_t i = 0; i < in.size; i++) {
        storage[i] ^= 1;
        assert_int_not_equal(chq_signed_open(&body, in, 64, pair.public_key, "chasqui test v1"), CHQ_OK);
        storage[i] ^= 1;
    }
    for (size_t cut = 0; cut < in.size; cut++)
        assert_int_equal(
            chq_signed_open(&body, chq_bytes(in.data, cut), 64, pair.public_key, "chasqui test v1"),
            CHQ_MALFORMED);
}

/* RFC 8032 section 5.1.7: S must be below the order L, and a key of small order signs nothing. */
static void malleable_signatures_are_refused(void **state)
{
    (void)state;
    static const uint8_t order[32] = {0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2,
        0xde, 0xf9, 0xde, 0x14, [31] = 0x10};
    uint8_t storage[128];
    struct chq_bytes body;
    struct chq_writer w = chq_writer_fixed(storage, sizeof storage);
    chq_signed_write(&w, &pair, "chasqui test v1", chq_bytes_text("body"));
    uint8_t *s = storage + w.size - 32;
    unsigned carry = 0;
    for (size_t i = 0; i < 32; i++) { /* S + L is the same number for the equation, another for the bytes */
        carry += (unsigned)s[i] + order[i];
        s[i] = (uint8_t)carry;
        carry >>= 8;
    }
    assert_int_equal(
        chq_signed_open(&body, chq_writer_bytes(&w), 64, pair.public_key, "chasqui test v1"), CHQ_AUTH);
    const uint8_t neutral[32] = {
        1}; /* R = A = the neutral element, S = 0 fulfils the equation for any message */
    memset(storage + w.size - 64, 0, 64);
    storage[w.size - 64] = 1;
    assert_int_equal(chq_signed_open(&body, chq_writer_bytes(&w), 64, neutral, "chasqui test v1"), CHQ_AUTH);
}

/* Every row must be refused; the number is its name. */
static void bad_inputs(void **state)
{
    (void)state;
    static const char *const rows[] = {/* 0 */ "", "a0", "a10140", "a1025840", "a201400241aa",
        /* 5: text for bytes */ "a201600240", "a202400140", "a301400240", "8240", "a2014002583f",
        /* 10 */ "a201400340", "f6", "a2", "a201"};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        uint8_t in[32];
        struct chq_bytes body;
        size_t size = strlen(rows[i]) / 2;
        assert_int_equal(chq_hex_read(rows[i], in, size), CHQ_OK);
        if (chq_signed_peek(&body, chq_bytes(in, size), 64) != CHQ_MALFORMED)
            fail_msg("bad input %zu was accepted", i);
        assert_int_equal(chq_signed_open(&body, chq_bytes(in, size), 64, pair.public_key, "chasqui test v1"),
            CHQ_MALFORMED);
    }
}

static void an_inception_names_its_account(void **state)
{
    (void)state;
    uint8_t storage[CHQ_INCEPTION_BYTES + 1], id[CHQ_ACCOUNT_ID_BYTES];
    char hex[2 * sizeof storage + 1];
    struct chq_inception inception, back;
    memcpy(inception.root_key, pair.public_key, sizeof inception.root_key);
    chq_next_key_hash(inception.next_key_hash, other.public_key);
    struct chq_writer w = chq_writer_fixed(storage, CHQ_INCEPTION_BYTES);
    chq_inception_write(&w, &inception);
    assert_int_equal(chq_writer_finish(&w), CHQ_OK);
    assert_int_equal(w.size, CHQ_INCEPTION_BYTES);
    chq_hex_write(chq_writer_bytes(&w), hex);
    assert_string_equal(hex, inception_vector);
    chq_inception_account_id(id, &inception);
    chq_hex_write(chq_bytes(id, sizeof id), hex);
    assert_string_equal(hex, account_id_vector);
    assert_int_equal(chq_inception_read(&back, chq_writer_bytes(&w)), CHQ_OK);
    assert_memory_equal(&back, &inception, sizeof back);
    for (size_t cut = 0; cut < w.size; cut++) /* 0 to 72: cut off */
        assert_int_equal(chq_inception_read(&back, chq_bytes(storage, cut)), CHQ_MALFORMED);
    storage[CHQ_INCEPTION_BYTES] = 0; /* 73: trailing byte */
    assert_int_equal(chq_inception_read(&back, chq_bytes(storage, sizeof storage)), CHQ_MALFORMED);
    storage[2] = 2; /* 74: another version */
    assert_int_equal(chq_inception_read(&back, chq_bytes(storage, CHQ_INCEPTION_BYTES)), CHQ_UNSUPPORTED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(vectors),
        cmocka_unit_test(another_key_domain_or_body_is_refused),
        cmocka_unit_test(malleable_signatures_are_refused),
        cmocka_unit_test(bad_inputs),
        cmocka_unit_test(an_inception_names_its_account),
    };
    return cmocka_run_group_tests(tests, keys, NULL);
}
