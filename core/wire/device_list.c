/* SPDX-License-Identifier: Apache-2.0 */
#include "core/wire/device_list.h"

#include <string.h>

#include "core/crypto/keys.h"
#include "core/wire/cbor.h"
#include "core/wire/signed.h"

static const uint8_t no_hash[CHQ_HASH_BYTES];

static void write_device(struct chq_writer *w, const struct chq_device *device)
{
    chq_cbor_put_map(w, 5);
    chq_cbor_pair_bytes(w, 1, device->signing_key, sizeof device->signing_key);
    chq_cbor_pair_bytes(w, 2, device->identity_key, sizeof device->identity_key);
    chq_cbor_pair_bytes(w, 3, device->home_relay_id, sizeof device->home_relay_id);
    chq_cbor_pair_bytes(w, 4, device->front_door_id, sizeof device->front_door_id);
    chq_cbor_pair_uint(w, 5, device->added_s);
}

static void read_device(struct chq_reader *r, struct chq_device *device)
{
    struct chq_cbor_map m = chq_cbor_get_map(r, 5);
    chq_cbor_need(r, &m, 1);
    chq_cbor_get_fixed(r, device->signing_key, sizeof device->signing_key);
    chq_cbor_need(r, &m, 2);
    chq_cbor_get_fixed(r, device->identity_key, sizeof device->identity_key);
    chq_cbor_need(r, &m, 3);
    chq_cbor_get_fixed(r, device->home_relay_id, sizeof device->home_relay_id);
    chq_cbor_need(r, &m, 4);
    chq_cbor_get_fixed(r, device->front_door_id, sizeof device->front_door_id);
    chq_cbor_need(r, &m, 5);
    device->added_s = chq_cbor_get_uint(r);
    chq_cbor_map_end(r, &m);
}

void chq_device_list_write(struct chq_writer *w, const struct chq_device_list *list)
{
    if (list->n < 1 || list->n > CHQ_DEVICES_MAX) {
        chq_writer_fail(w, CHQ_LIMIT);
        return;
    }
    chq_cbor_put_map(w, 4);
    chq_cbor_pair_bytes(w, 1, list->account_id, sizeof list->account_id);
    chq_cbor_pair_uint(w, 2, list->version);
    chq_cbor_pair_bytes(w, 3, list->previous_hash, sizeof list->previous_hash);
    chq_cbor_put_key(w, 4);
    chq_cbor_put_array(w, list->n);
    for (size_t i = 0; i < list->n; i++)
        write_device(w, &list->devices[i]);
}

/* What the form alone cannot say: a device stands in the list once, and only version 1 has no previous body. */
static bool is_consistent(const struct chq_device_list *list)
{
    bool first = memcmp(list->previous_hash, no_hash, sizeof no_hash) == 0;
    if (list->n < 1 || list->version < 1 || (list->version == 1) != first)
        return false;
    for (size_t i = 0; i < list->n; i++) {
        for (size_t j = 0; j < i; j++) {
            const struct chq_device *a = &list->devices[i], *b = &list->devices[j];
            if (memcmp(a->signing_key, b->signing_key, sizeof a->signing_key) == 0 ||
                memcmp(a->identity_key, b->identity_key, sizeof a->identity_key) == 0)
                return false;
        }
    }
    return true;
}

enum chq_err chq_device_list_read(struct chq_device_list *out, struct chq_bytes in)
{
    struct chq_reader r = chq_reader(in);
    struct chq_cbor_map m = chq_cbor_get_map(&r, 4);
    memset(out, 0, sizeof *out);
    chq_cbor_need(&r, &m, 1);
    chq_cbor_get_fixed(&r, out->account_id, sizeof out->account_id);
    chq_cbor_need(&r, &m, 2);
    out->version = chq_cbor_get_uint(&r);
    chq_cbor_need(&r, &m, 3);
    chq_cbor_get_fixed(&r, out->previous_hash, sizeof out->previous_hash);
    chq_cbor_need(&r, &m, 4);
    out->n = chq_cbor_get_array(&r, CHQ_DEVICES_MAX);
    for (size_t i = 0; i < out->n; i++)
        read_device(&r, &out->devices[i]);
    chq_cbor_map_end(&r, &m);
    enum chq_err err = chq_reader_finish(&r);
    if (err == CHQ_OK && !is_consistent(out))
        err = CHQ_MALFORMED;
    if (err != CHQ_OK)
        memset(out, 0, sizeof *out);
    return err;
}

void chq_device_list_hash(uint8_t out[CHQ_HASH_BYTES], struct chq_bytes body)
{
    chq_hash(out, CHQ_DEVICE_LIST_DOMAIN, &body, 1);
}

void chq_device_list_sign(
    struct chq_writer *w, const struct chq_sign_pair *root, const struct chq_device_list *list)
{
    uint8_t storage[CHQ_DEVICE_LIST_BYTES_MAX];
    struct chq_writer body = chq_writer_fixed(storage, sizeof storage);
    chq_device_list_write(&body, list);
    if (body.err != CHQ_OK)
        chq_writer_fail(w, body.err);
    else if (!is_consistent(list))
        chq_writer_fail(w, CHQ_MALFORMED);
    else
        chq_signed_write(w, root, CHQ_DEVICE_LIST_DOMAIN, chq_writer_bytes(&body));
}

enum chq_err chq_device_list_open(
    struct chq_device_list *out, struct chq_bytes in, const uint8_t root_key[CHQ_SIGN_PUBLIC_BYTES])
{
    struct chq_bytes body;
    memset(out, 0, sizeof *out);
    if (in.size > CHQ_DEVICE_LIST_BYTES_MAX)
        return CHQ_MALFORMED;
    CHQ_TRY(chq_signed_open(&body, in, CHQ_DEVICE_LIST_BYTES_MAX, root_key, CHQ_DEVICE_LIST_DOMAIN));
    return chq_device_list_read(out, body);
}

enum chq_err chq_device_list_follows(const struct chq_device_list *next, struct chq_bytes previous)
{
    if (previous.size == 0)
        return next->version == 1 ? CHQ_OK : CHQ_STATE;
    struct chq_bytes body;
    struct chq_device_list before;
    uint8_t hash[CHQ_HASH_BYTES];
    CHQ_TRY(chq_signed_peek(&body, previous, CHQ_DEVICE_LIST_BYTES_MAX));
    CHQ_TRY(chq_device_list_read(&before, body));
    chq_device_list_hash(hash, body);
    if (memcmp(next->account_id, before.account_id, sizeof next->account_id) != 0)
        return CHQ_AUTH;
    if (next->version - 1 != before.version || memcmp(next->previous_hash, hash, sizeof hash) != 0)
        return CHQ_STATE;
    return CHQ_OK;
}

const struct chq_device *chq_device_list_find(
    const struct chq_device_list *list, const uint8_t signing_key[CHQ_SIGN_PUBLIC_BYTES])
{
    for (size_t i = 0; i < list->n; i++)
        if (memcmp(list->devices[i].signing_key, signing_key, CHQ_SIGN_PUBLIC_BYTES) == 0)
            return &list->devices[i];
    return NULL;
}
