/* SPDX-License-Identifier: Apache-2.0 */
#include "core/base/text.h"
#include "core/crypto/random.h"
#include "core/identity/account.h"
#include "core/identity/safety_number.h"
#include "unit.h"

#include <string.h>

/* Made by another implementation (Python, cryptography), entropy 32 times 01 and 32 times 02. */
static const char root_key[] = "239544f25ebe4f37be6518c0cb8e59866cbcf167163ce5590e38240855bf44a5";
static const char next_key[] = "c0f1d750f52099b1bc67085babf92758a89faff3a61619f1068f13ae7d36f481";
static const char account_id[] = "0f63cdfa89cbe7761ee0d51b57aae0b0718aa653b7499d572d302e4d8e422fc3";
static const char safety_number[] = "233779591665487079131010935072460094500753220748880036151624";

static struct chq_account ana, bo;

static int accounts(void **state)
{
    (void)state;
    uint8_t entropy[CHQ_RECOVERY_ENTROPY_BYTES];
    assert_int_equal(chq_crypto_init(), CHQ_OK);
    memset(entropy, 1, sizeof entropy);
    chq_account_from_entropy(&ana, entropy);
    memset(entropy, 2, sizeof entropy);
    chq_account_from_entropy(&bo, entropy);
    return 0;
}

static void expect_hex(const uint8_t *data, size_t size, const char *expected)
{
    char hex[129];
    chq_hex_write(chq_bytes(data, size), hex);
    assert_string_equal(hex, expected);
}

static void words_alone_bring_the_account_back(void **state)
{
    (void)state;
    char words[CHQ_RECOVERY_TEXT_BYTES];
    uint8_t entropy[CHQ_RECOVERY_ENTROPY_BYTES];
    unsigned wrong;
    struct chq_account again;
    expect_hex(ana.root.public_key, 32, root_key);
    expect_hex(ana.next.public_key, 32, next_key);
    expect_hex(ana.id, 32, account_id);
    memset(entropy, 1, sizeof entropy);
    chq_recovery_write(words, entropy);
    assert_int_equal(chq_recovery_read(entropy, words, &wrong), CHQ_OK);
    chq_account_from_entropy(&again, entropy);
    assert_memory_equal(&again, &ana, sizeof again);
    struct chq_account zero = {0};
    chq_account_fini(&again);
    assert_memory_equal(&again, &zero, sizeof zero);
}

static void devices_come_back_from_their_seeds(void **state)
{
    (void)state;
    struct chq_seeded seeded;
    struct chq_device_keys keys, again;
    uint8_t seeds[2][CHQ_SEED_BYTES], id[CHQ_DEVICE_ID_BYTES];
    chq_seeded_init(&seeded, 5);
    struct chq_random random = chq_seeded_random(&seeded);
    chq_device_keys_new(&keys, &random);
    chq_device_keys_seeds(&keys, seeds[0], seeds[1]);
    chq_device_keys_from_seeds(&again, seeds[0], seeds[1]);
    assert_memory_equal(&again, &keys, sizeof keys);
    chq_device_id(id, keys.signing.public_key);
    assert_memory_equal(id, keys.device_id, sizeof id);
    chq_device_keys_new(&again, &random);
    assert_memory_not_equal(&again, &keys, sizeof keys);
}

static void device_lists_are_signed_one_after_the_other(void **state)
{
    (void)state;
    uint8_t storage[3][CHQ_DEVICE_LIST_BYTES_MAX], relay[32] = {1}, door[32] = {2};
    struct chq_seeded seeded;
    struct chq_device devices[CHQ_DEVICES_MAX + 1];
    struct chq_device_list list;
    chq_seeded_init(&seeded, 6);
    struct chq_random random = chq_seeded_random(&seeded);
    for (size_t i = 0; i <= CHQ_DEVICES_MAX; i++) {
        struct chq_device_keys keys;
        chq_device_keys_new(&keys, &random);
        chq_device_record(&devices[i], &keys, relay, door, 1800000000);
    }
    struct chq_bytes previous = chq_bytes(NULL, 0);
    for (size_t version = 1; version <= 3; version++) {
        struct chq_writer w = chq_writer_fixed(storage[version - 1], sizeof storage[0]);
        assert_int_equal(chq_account_sign_devices(&w, &ana, previous, devices, version), CHQ_OK);
        assert_int_equal(chq_device_list_open(&list, chq_writer_bytes(&w), ana.root.public_key), CHQ_OK);
        assert_int_equal(list.version, version);
        assert_int_equal(list.n, version);
        assert_memory_equal(list.account_id, ana.id, sizeof ana.id);
        assert_int_equal(chq_device_list_follows(&list, previous), CHQ_OK);
        previous = chq_writer_bytes(&w);
    }
    struct chq_writer w = chq_writer_heap(CHQ_DEVICE_LIST_BYTES_MAX);
    assert_int_equal(chq_account_sign_devices(&w, &bo, previous, devices, 1), CHQ_AUTH);
    assert_int_equal(chq_account_sign_devices(&w, &ana, previous, devices, 0), CHQ_LIMIT);
    assert_int_equal(chq_account_sign_devices(&w, &ana, previous, devices, CHQ_DEVICES_MAX + 1), CHQ_LIMIT);
    assert_int_equal(chq_account_sign_devices(&w, &ana, chq_bytes("x", 1), devices, 1), CHQ_MALFORMED);
    assert_int_equal(w.size, 0);
    devices[1] = devices[0];
    assert_int_equal(chq_account_sign_devices(&w, &ana, previous, devices, 2), CHQ_MALFORMED);
    chq_writer_free(&w);
}

static void safety_numbers_are_symmetric_and_change_with_the_key(void **state)
{
    (void)state;
    char x[CHQ_SAFETY_NUMBER_DIGITS + 1], y[CHQ_SAFETY_NUMBER_DIGITS + 1];
    chq_safety_number(x, ana.id, ana.root.public_key, bo.id, bo.root.public_key);
    chq_safety_number(y, bo.id, bo.root.public_key, ana.id, ana.root.public_key);
    assert_string_equal(x, safety_number);
    assert_string_equal(x, y);
    chq_safety_number(y, ana.id, ana.next.public_key, bo.id, bo.root.public_key);
    assert_string_not_equal(x, y);
    chq_safety_number(y, ana.id, ana.root.public_key, ana.id, ana.root.public_key);
    assert_memory_equal(y, y + 30, 30);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_alone_bring_the_account_back),
        cmocka_unit_test(devices_come_back_from_their_seeds),
        cmocka_unit_test(device_lists_are_signed_one_after_the_other),
        cmocka_unit_test(safety_numbers_are_symmetric_and_change_with_the_key),
    };
    return cmocka_run_group_tests(tests, accounts, NULL);
}
