/* SPDX-License-Identifier: Apache-2.0 */
#include "core/wire/cbor.h"
#include "core/wire/prekey.h"
#include "core/wire/signed.h"
#include "unit.h"

#include <string.h>

static struct chq_sign_pair device, other;
static struct chq_prekey_bundle bundle;
static struct chq_one_time_prekey one_time;
static uint8_t storage[CHQ_PREKEY_BUNDLE_BYTES_MAX], by_hand[CHQ_PREKEY_BUNDLE_BYTES_MAX];

static int keys(void **state)
{
    (void)state;
    uint8_t seed[CHQ_SEED_BYTES] = {1};
    assert_int_equal(chq_crypto_init(), CHQ_OK);
    chq_sign_pair_from_seed(&device, seed);
    seed[0] = 2;
    chq_sign_pair_from_seed(&other, seed);
    memset(&bundle, 0x33, sizeof bundle);
    bundle.made_s = 1800000000;
    bundle.signed_id = 9;
    chq_device_id(bundle.device_id, device.public_key);
    memset(&one_time, 0, sizeof one_time);
    memset(one_time.key, 0x44, sizeof one_time.key);
    memset(one_time.kem_key, 0x55, sizeof one_time.kem_key);
    one_time.id = UINT32_MAX;
    one_time.has_kem = true;
    chq_device_id(one_time.device_id, device.public_key);
    return 0;
}

static struct chq_bytes signed_bundle(const struct chq_sign_pair *key)
{
    struct chq_writer w = chq_writer_fixed(storage, sizeof storage);
    chq_prekey_bundle_sign(&w, key, &bundle);
    assert_int_equal(chq_writer_finish(&w), CHQ_OK);
    return chq_writer_bytes(&w);
}

static struct chq_bytes signed_one_time(const struct chq_sign_pair *key)
{
    struct chq_writer w = chq_writer_fixed(storage, sizeof storage);
    chq_one_time_prekey_sign(&w, key, &one_time);
    assert_int_equal(chq_writer_finish(&w), CHQ_OK);
    return chq_writer_bytes(&w);
}

/* The body as the specification's table lays it out, written item by item. */
static void bodies_are_as_specified(void **state)
{
    (void)state;
    struct chq_bytes body;
    struct chq_writer w = chq_writer_fixed(by_hand, sizeof by_hand);
    chq_cbor_put_map(&w, 7);
    chq_cbor_pair_uint(&w, 1, 1);
    chq_cbor_pair_bytes(&w, 2, bundle.account_id, 32);
    chq_cbor_pair_bytes(&w, 3, bundle.device_id, 16);
    chq_cbor_pair_uint(&w, 4, 1800000000);
    chq_cbor_pair_uint(&w, 5, 9);
    chq_cbor_pair_bytes(&w, 6, bundle.signed_key, 32);
    chq_cbor_pair_bytes(&w, 7, bundle.kem_key, 1216);
    assert_int_equal(
        chq_signed_open(&body, signed_bundle(&device), 4096, device.public_key, "chasqui prekey bundle v1"),
        CHQ_OK);
    assert_true(chq_bytes_equal(body, chq_writer_bytes(&w)));
    w = chq_writer_fixed(by_hand, sizeof by_hand);
    chq_cbor_put_map(&w, 5);
    chq_cbor_pair_uint(&w, 1, 1);
    chq_cbor_pair_bytes(&w, 2, one_time.device_id, 16);
    chq_cbor_pair_uint(&w, 3, UINT32_MAX);
    chq_cbor_pair_bytes(&w, 4, one_time.key, 32);
    chq_cbor_pair_bytes(&w, 5, one_time.kem_key, 1216);
    assert_int_equal(chq_signed_open(&body, signed_one_time(&device), 4096, device.public_key,
                         "chasqui one-time prekey v1"),
        CHQ_OK);
    assert_true(chq_bytes_equal(body, chq_writer_bytes(&w)));
}

static void reads_what_it_wrote(void **state)
{
    (void)state;
    struct chq_prekey_bundle b;
    struct chq_one_time_prekey o;
    assert_int_equal(chq_prekey_bundle_open(&b, signed_bundle(&device), device.public_key), CHQ_OK);
    assert_memory_equal(b.kem_key, bundle.kem_key, sizeof b.kem_key);
    assert_memory_equal(b.signed_key, bundle.signed_key, sizeof b.signed_key);
    assert_memory_equal(b.account_id, bundle.account_id, sizeof b.account_id);
    assert_int_equal(b.signed_id, 9);
    assert_int_equal(b.made_s, 1800000000);
    assert_int_equal(chq_one_time_prekey_open(&o, signed_one_time(&device), device.public_key), CHQ_OK);
    assert_true(o.has_kem && o.id == UINT32_MAX);
    one_time.has_kem = false;
    assert_int_equal(chq_one_time_prekey_open(&o, signed_one_time(&device), device.public_key), CHQ_OK);
    assert_false(o.has_kem);
    one_time.has_kem = true;
}

static enum chq_err open_body(const char *domain, struct chq_bytes body)
{
    struct chq_prekey_bundle b;
    struct chq_writer w = chq_writer_fixed(storage, sizeof storage);
    chq_signed_write(&w, &device, domain, body);
    return chq_prekey_bundle_open(&b, chq_writer_bytes(&w), device.public_key);
}

/* Every row must be refused; the number is its name. */
static void bad_inputs(void **state)
{
    (void)state;
    struct chq_prekey_bundle b;
    struct chq_one_time_prekey o;
    struct chq_bytes in = signed_bundle(&other); /* 0: signed by another, for this device id */
    assert_int_equal(chq_prekey_bundle_open(&b, in, other.public_key), CHQ_AUTH);
    assert_int_equal(chq_prekey_bundle_open(&b, in, device.public_key), CHQ_AUTH);
    assert_int_equal(b.signed_id, 0);
    in = signed_one_time(&other); /* 1 */
    assert_int_equal(chq_one_time_prekey_open(&o, in, other.public_key), CHQ_AUTH);
    in = signed_bundle(&device); /* 2: one kind read as the other */
    assert_int_equal(chq_one_time_prekey_open(&o, in, device.public_key), CHQ_AUTH);
    in = signed_one_time(&device); /* 3 */
    assert_int_equal(chq_prekey_bundle_open(&b, in, device.public_key), CHQ_AUTH);
    in = signed_bundle(&device); /* 4: cut off anywhere */
    for (size_t cut = 0; cut < in.size; cut++)
        assert_int_equal(
            chq_prekey_bundle_open(&b, chq_bytes(in.data, cut), device.public_key), CHQ_MALFORMED);
    bundle.signed_id = 0; /* 5: id 0 */
    assert_int_equal(chq_prekey_bundle_open(&b, signed_bundle(&device), device.public_key), CHQ_MALFORMED);
    bundle.signed_id = 9;
    one_time.id = 0; /* 6 */
    assert_int_equal(
        chq_one_time_prekey_open(&o, signed_one_time(&device), device.public_key), CHQ_MALFORMED);
    one_time.id = 1;
    assert_int_equal(open_body("chasqui prekey bundle v1", chq_bytes("\xa0", 1)), CHQ_MALFORMED); /* 7 */
    assert_int_equal(
        open_body("chasqui prekey bundle v1", chq_bytes("\xa1\x01\x02", 3)), CHQ_UNSUPPORTED); /* 8 */
    assert_int_equal(open_body("chasqui prekey bundle v2", chq_bytes("\xa0", 1)), CHQ_AUTH); /* 9 */
    static uint8_t large[CHQ_PREKEY_BUNDLE_BYTES_MAX + 1]; /* 10: too large */
    assert_int_equal(
        chq_prekey_bundle_open(&b, chq_bytes(large, sizeof large), device.public_key), CHQ_MALFORMED);
    assert_int_equal(
        chq_one_time_prekey_open(&o, chq_bytes(large, CHQ_ONE_TIME_PREKEY_BYTES_MAX + 1), device.public_key),
        CHQ_MALFORMED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bodies_are_as_specified),
        cmocka_unit_test(reads_what_it_wrote),
        cmocka_unit_test(bad_inputs),
    };
    return cmocka_run_group_tests(tests, keys, NULL);
}
