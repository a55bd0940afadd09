/* SPDX-License-Identifier: Apache-2.0 */
#include "core/wire/prekey.h"

#include <string.h>

#include "core/wire/cbor.h"
#include "core/wire/signed.h"

#define BUNDLE_DOMAIN   "chasqui prekey bundle v1"
#define ONE_TIME_DOMAIN "chasqui one-time prekey v1"
#define VERSION         1

static uint32_t get_id(struct chq_reader *r)
{
    uint64_t id = chq_cbor_get_uint_max(r, UINT32_MAX);
    if (id == 0)
        chq_reader_fail(r, CHQ_MALFORMED);
    return (uint32_t)id;
}

static void get_version(struct chq_reader *r, struct chq_cbor_map *m)
{
    chq_cbor_need(r, m, 1);
    if (chq_cbor_get_uint(r) != VERSION)
        chq_reader_fail(r, CHQ_UNSUPPORTED);
}

/* A device vouches for itself only: the id in the body must be that of the key that signed. */
static enum chq_err check_device(const uint8_t *device_id, const uint8_t *signing_key)
{
    uint8_t expected[CHQ_DEVICE_ID_BYTES];
    chq_device_id(expected, signing_key);
    return memcmp(device_id, expected, sizeof expected) == 0 ? CHQ_OK : CHQ_AUTH;
}

static void sign_body(struct chq_writer *w, const struct chq_sign_pair *device, const char *domain,
    const struct chq_writer *body)
{
    if (body->err != CHQ_OK)
        chq_writer_fail(w, body->err);
    else
        chq_signed_write(w, device, domain, chq_writer_bytes(body));
}

void chq_prekey_bundle_sign(
    struct chq_writer *w, const struct chq_sign_pair *device, const struct chq_prekey_bundle *bundle)
{
    uint8_t storage[CHQ_PREKEY_BUNDLE_BYTES_MAX];
    struct chq_writer body = chq_writer_fixed(storage, sizeof storage);
    chq_cbor_put_map(&body, 7);
    chq_cbor_pair_uint(&body, 1, VERSION);
    chq_cbor_pair_bytes(&body, 2, bundle->account_id, sizeof bundle->account_id);
    chq_cbor_pair_bytes(&body, 3, bundle->device_id, sizeof bundle->device_id);
    chq_cbor_pair_uint(&body, 4, bundle->made_s);
    chq_cbor_pair_uint(&body, 5, bundle->signed_id);
    chq_cbor_pair_bytes(&body, 6, bundle->signed_key, sizeof bundle->signed_key);
    chq_cbor_pair_bytes(&body, 7, bundle->kem_key, sizeof bundle->kem_key);
    sign_body(w, device, BUNDLE_DOMAIN, &body);
}

static void read_bundle(struct chq_prekey_bundle *out, struct chq_reader *r)
{
    struct chq_cbor_map m = chq_cbor_get_map(r, 16);
    get_version(r, &m);
    chq_cbor_need(r, &m, 2);
    chq_cbor_get_fixed(r, out->account_id, sizeof out->account_id);
    chq_cbor_need(r, &m, 3);
    chq_cbor_get_fixed(r, out->device_id, sizeof out->device_id);
    chq_cbor_need(r, &m, 4);
    out->made_s = chq_cbor_get_uint(r);
    chq_cbor_need(r, &m, 5);
    out->signed_id = get_id(r);
    chq_cbor_need(r, &m, 6);
    chq_cbor_get_fixed(r, out->signed_key, sizeof out->signed_key);
    chq_cbor_need(r, &m, 7);
    chq_cbor_get_fixed(r, out->kem_key, sizeof out->kem_key);
    chq_cbor_map_end(r, &m);
}

enum chq_err chq_prekey_bundle_open(
    struct chq_prekey_bundle *out, struct chq_bytes in, const uint8_t signing_key[CHQ_SIGN_PUBLIC_BYTES])
{
    struct chq_bytes body;
    memset(out, 0, sizeof *out);
    if (in.size > CHQ_PREKEY_BUNDLE_BYTES_MAX)
        return CHQ_MALFORMED;
    CHQ_TRY(chq_signed_open(&body, in, CHQ_PREKEY_BUNDLE_BYTES_MAX, signing_key, BUNDLE_DOMAIN));
    struct chq_reader r = chq_reader(body);
    read_bundle(out, &r);
    enum chq_err err = chq_reader_finish(&r);
    if (err == CHQ_OK)
        err = check_device(out->device_id, signing_key);
    if (err != CHQ_OK)
        memset(out, 0, sizeof *out);
    return err;
}

void chq_one_time_prekey_sign(
    struct chq_writer *w, const struct chq_sign_pair *device, const struct chq_one_time_prekey *prekey)
{
    uint8_t storage[CHQ_ONE_TIME_PREKEY_BYTES_MAX];
    struct chq_writer body = chq_writer_fixed(storage, sizeof storage);
    chq_cbor_put_map(&body, prekey->has_kem ? 5 : 4);
    chq_cbor_pair_uint(&body, 1, VERSION);
    chq_cbor_pair_bytes(&body, 2, prekey->device_id, sizeof prekey->device_id);
    chq_cbor_pair_uint(&body, 3, prekey->id);
    chq_cbor_pair_bytes(&body, 4, prekey->key, sizeof prekey->key);
    if (prekey->has_kem)
        chq_cbor_pair_bytes(&body, 5, prekey->kem_key, sizeof prekey->kem_key);
    sign_body(w, device, ONE_TIME_DOMAIN, &body);
}

static void read_one_time(struct chq_one_time_prekey *out, struct chq_reader *r)
{
    struct chq_cbor_map m = chq_cbor_get_map(r, 16);
    get_version(r, &m);
    chq_cbor_need(r, &m, 2);
    chq_cbor_get_fixed(r, out->device_id, sizeof out->device_id);
    chq_cbor_need(r, &m, 3);
    out->id = get_id(r);
    chq_cbor_need(r, &m, 4);
    chq_cbor_get_fixed(r, out->key, sizeof out->key);
    out->has_kem = chq_cbor_has(r, &m, 5);
    if (out->has_kem)
        chq_cbor_get_fixed(r, out->kem_key, sizeof out->kem_key);
    chq_cbor_map_end(r, &m);
}

enum chq_err chq_one_time_prekey_open(
    struct chq_one_time_prekey *out, struct chq_bytes in, const uint8_t signing_key[CHQ_SIGN_PUBLIC_BYTES])
{
    struct chq_bytes body;
    memset(out, 0, sizeof *out);
    if (in.size > CHQ_ONE_TIME_PREKEY_BYTES_MAX)
        return CHQ_MALFORMED;
    CHQ_TRY(chq_signed_open(&body, in, CHQ_ONE_TIME_PREKEY_BYTES_MAX, signing_key, ONE_TIME_DOMAIN));
    struct chq_reader r = chq_reader(body);
    read_one_time(out, &r);
    enum chq_err err = chq_reader_finish(&r);
    if (err == CHQ_OK)
        err = check_device(out->device_id, signing_key);
    if (err != CHQ_OK)
        memset(out, 0, sizeof *out);
    return err;
}
