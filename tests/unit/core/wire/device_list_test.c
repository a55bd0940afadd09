/* SPDX-License-Identifier: Apache-2.0 */
#include "core/base/text.h"
#include "core/wire/cbor.h"
#include "core/wire/device_list.h"
#include "core/wire/signed.h"
#include "unit.h"

#include <string.h>

static struct chq_sign_pair root, other;
static uint8_t storage[2][CHQ_DEVICE_LIST_BYTES_MAX];

static int keys(void **state)
{
    (void)state;
    uint8_t seed[CHQ_SEED_BYTES] = {1};
    assert_int_equal(chq_crypto_init(), CHQ_OK);
    chq_sign_pair_from_seed(&root, seed);
    seed[0] = 2;
    chq_sign_pair_from_seed(&other, seed);
    return 0;
}

static struct chq_device_list make(size_t n)
{
    struct chq_device_list list = {.version = 1, .n = n};
    memset(list.account_id, 0x11, sizeof list.account_id);
    for (size_t i = 0; i < n && i < CHQ_DEVICES_MAX; i++) {
        memset(list.devices[i].signing_key, (int)(0x20 + i), 32);
        memset(list.devices[i].identity_key, (int)(0x40 + i), 32);
        memset(list.devices[i].home_relay_id, 0x60, 32);
        memset(list.devices[i].front_door_id, (int)(0x80 + i), 32);
        list.devices[i].added_s = 1800000000 + i;
    }
    return list;
}

static struct chq_bytes signed_form(
    int slot, const struct chq_device_list *list, const struct chq_sign_pair *key)
{
    struct chq_writer w = chq_writer_fixed(storage[slot], sizeof storage[slot]);
    chq_device_list_sign(&w, key, list);
    assert_int_equal(chq_writer_finish(&w), CHQ_OK);
    return chq_writer_bytes(&w);
}

static void body_vector(void **state)
{
    (void)state;
    struct chq_device_list list = make(1), back;
    char hex[1024], expected[1024];
    struct chq_writer w = chq_writer_fixed(storage[0], sizeof storage[0]);
    chq_device_list_write(&w, &list);
    assert_int_equal(chq_writer_finish(&w), CHQ_OK);
    chq_hex_write(chq_writer_bytes(&w), hex);
    uint8_t by_hand[512];
    size_t at = 0;
    static const struct {
        const char *head;
        uint8_t fill;
    } parts[] = {{"a4015820", 0x11}, {"0201035820", 0}, {"0481a5015820", 0x20}, {"025820", 0x40},
        {"035820", 0x60}, {"045820", 0x80}};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        assert_int_equal(chq_hex_read(parts[i].head, by_hand + at, strlen(parts[i].head) / 2), CHQ_OK);
        at += strlen(parts[i].head) / 2;
        memset(by_hand + at, parts[i].fill, 32);
        at += 32;
    }
    assert_int_equal(chq_hex_read("051a6b49d200", by_hand + at, 6), CHQ_OK);
    chq_hex_write(chq_bytes(by_hand, at + 6), expected);
    assert_string_equal(hex, expected);
    assert_int_equal(chq_device_list_read(&back, chq_writer_bytes(&w)), CHQ_OK);
    assert_memory_equal(&back, &list, sizeof back);
}

static void ten_devices_fit_and_eleven_do_not(void **state)
{
    (void)state;
    struct chq_device_list list = make(CHQ_DEVICES_MAX), back;
    struct chq_bytes in = signed_form(0, &list, &root);
    assert_int_equal(chq_device_list_open(&back, in, root.public_key), CHQ_OK);
    assert_memory_equal(&back, &list, sizeof back);
    assert_ptr_equal(chq_device_list_find(&back, list.devices[9].signing_key), &back.devices[9]);
    assert_null(chq_device_list_find(&back, list.devices[9].identity_key));
    struct chq_writer w = chq_writer_fixed(storage[1], sizeof storage[1]);
    list.n = CHQ_DEVICES_MAX + 1;
    chq_device_list_write(&w, &list);
    assert_int_equal(chq_writer_finish(&w), CHQ_LIMIT);
    list.n = 0;
    w = chq_writer_fixed(storage[1], sizeof storage[1]);
    chq_device_list_sign(&w, &root, &list);
    assert_int_equal(chq_writer_finish(&w), CHQ_LIMIT);
}

static void only_the_root_key_signs(void **state)
{
    (void)state;
    struct chq_device_list list = make(2), back, zero = {0};
    assert_int_equal(chq_device_list_open(&back, signed_form(0, &list, &other), root.public_key), CHQ_AUTH);
    assert_memory_equal(&back, &zero, sizeof back);
    struct chq_writer w = chq_writer_fixed(storage[1], sizeof storage[1]), body = chq_writer_heap(4096);
    chq_device_list_write(&body, &list); /* signed, but for something else */
    chq_signed_write(&w, &root, "chasqui batch v1", chq_writer_bytes(&body));
    assert_int_equal(chq_device_list_open(&back, chq_writer_bytes(&w), root.public_key), CHQ_AUTH);
    chq_writer_free(&body);
}

static void versions_form_a_chain(void **state)
{
    (void)state;
    struct chq_device_list first = make(1), second = make(2);
    struct chq_bytes previous = signed_form(0, &first, &root), body;
    assert_int_equal(chq_device_list_follows(&first, chq_bytes(NULL, 0)), CHQ_OK);
    second.version = 2;
    assert_int_equal(chq_signed_peek(&body, previous, 4096), CHQ_OK);
    chq_device_list_hash(second.previous_hash, body);
    assert_int_equal(chq_device_list_follows(&second, previous), CHQ_OK);
    assert_int_equal(chq_device_list_follows(&second, chq_bytes(NULL, 0)), CHQ_STATE);
    assert_int_equal(chq_device_list_follows(&first, previous), CHQ_STATE); /* rolled back */
    second.version = 3;
    assert_int_equal(chq_device_list_follows(&second, previous), CHQ_STATE); /* one left out */
    second.version = 2;
    second.previous_hash[0] ^= 1;
    assert_int_equal(chq_device_list_follows(&second, previous), CHQ_STATE); /* a fork */
    second.previous_hash[0] ^= 1;
    second.account_id[0] ^= 1;
    assert_int_equal(chq_device_list_follows(&second, previous), CHQ_AUTH);
    second.account_id[0] ^= 1;
    assert_int_equal(chq_device_list_follows(&second, chq_bytes("x", 1)), CHQ_MALFORMED);
}

static enum chq_err read_changed(struct chq_device_list list)
{
    struct chq_device_list back;
    struct chq_writer w = chq_writer_fixed(storage[0], sizeof storage[0]);
    chq_device_list_write(&w, &list);
    assert_int_equal(chq_writer_finish(&w), CHQ_OK);
    return chq_device_list_read(&back, chq_writer_bytes(&w));
}

/* Every row must be refused; the number is its name. */
static void bad_inputs(void **state)
{
    (void)state;
    struct chq_device_list list = make(3), back;
    list.devices[2] = list.devices[0]; /* 0: a device twice */
    assert_int_equal(read_changed(list), CHQ_MALFORMED);
    list = make(3);
    memcpy(list.devices[2].identity_key, list.devices[0].identity_key, 32); /* 1: an identity key twice */
    assert_int_equal(read_changed(list), CHQ_MALFORMED);
    list = make(3);
    list.version = 0; /* 2 */
    assert_int_equal(read_changed(list), CHQ_MALFORMED);
    list.version = 2; /* 3: no previous hash */
    assert_int_equal(read_changed(list), CHQ_MALFORMED);
    list.version = 1;
    list.previous_hash[5] = 1; /* 4: a previous hash in the first one */
    assert_int_equal(read_changed(list), CHQ_MALFORMED);
    struct chq_writer w = chq_writer_fixed(storage[0], sizeof storage[0]);
    list = make(2);
    chq_device_list_write(&w, &list);
    for (size_t cut = 0; cut < w.size; cut++) /* 5: cut off anywhere */
        assert_int_equal(chq_device_list_read(&back, chq_bytes(w.data, cut)), CHQ_MALFORMED);
    chq_write_u8(&w, 0); /* 6: trailing byte */
    assert_int_equal(chq_device_list_read(&back, chq_writer_bytes(&w)), CHQ_MALFORMED);
    w = chq_writer_fixed(storage[0], sizeof storage[0]); /* 7: no devices */
    chq_cbor_put_map(&w, 4);
    chq_cbor_pair_bytes(&w, 1, list.account_id, 32);
    chq_cbor_pair_uint(&w, 2, 1);
    chq_cbor_pair_bytes(&w, 3, list.previous_hash, 32);
    chq_cbor_put_key(&w, 4);
    chq_cbor_put_array(&w, 0);
    assert_int_equal(chq_device_list_read(&back, chq_writer_bytes(&w)), CHQ_MALFORMED);
    w.data[w.size - 1] = 0x8b; /* 8: eleven devices announced */
    assert_int_equal(chq_device_list_read(&back, chq_writer_bytes(&w)), CHQ_MALFORMED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(body_vector),
        cmocka_unit_test(ten_devices_fit_and_eleven_do_not),
        cmocka_unit_test(only_the_root_key_signs),
        cmocka_unit_test(versions_form_a_chain),
        cmocka_unit_test(bad_inputs),
    };
    return cmocka_run_group_tests(tests, keys, NULL);
}
