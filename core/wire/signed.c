/* SPDX-License-Identifier: Apache-2.0 */
#include "core/wire/signed.h"

#include "core/wire/cbor.h"

void chq_signed_write(
    struct chq_writer *w, const struct chq_sign_pair *pair, const char *domain, struct chq_bytes body)
{
    uint8_t signature[CHQ_SIGNATURE_BYTES];
    chq_sign(signature, pair, domain, body);
    chq_cbor_put_map(w, 2);
    chq_cbor_pair_bytes(w, 1, body.data, body.size);
    chq_cbor_pair_bytes(w, 2, signature, sizeof signature);
}

static enum chq_err read_container(struct chq_bytes *body, uint8_t signature[CHQ_SIGNATURE_BYTES],
    struct chq_bytes in, size_t body_bytes_max)
{
    struct chq_reader r = chq_reader(in);
    struct chq_cbor_map m = chq_cbor_get_map(&r, 2);
    chq_cbor_need(&r, &m, 1);
    *body = chq_cbor_get_bytes(&r, body_bytes_max);
    chq_cbor_need(&r, &m, 2);
    chq_cbor_get_fixed(&r, signature, CHQ_SIGNATURE_BYTES);
    chq_cbor_map_end(&r, &m);
    return chq_reader_finish(&r);
}

enum chq_err chq_signed_open(struct chq_bytes *body, struct chq_bytes in, size_t body_bytes_max,
    const uint8_t public_key[CHQ_SIGN_PUBLIC_BYTES], const char *domain)
{
    uint8_t signature[CHQ_SIGNATURE_BYTES];
    enum chq_err err = read_container(body, signature, in, body_bytes_max);
    if (err == CHQ_OK)
        err = chq_sign_verify(signature, public_key, domain, *body);
    if (err != CHQ_OK)
        *body = chq_bytes(NULL, 0);
    return err;
}

enum chq_err chq_signed_peek(struct chq_bytes *body, struct chq_bytes in, size_t body_bytes_max)
{
    uint8_t signature[CHQ_SIGNATURE_BYTES];
    enum chq_err err = read_container(body, signature, in, body_bytes_max);
    if (err != CHQ_OK)
        *body = chq_bytes(NULL, 0);
    return err;
}
