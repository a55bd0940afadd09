/* SPDX-License-Identifier: Apache-2.0 */
#include "core/wire/inception.h"

#include <string.h>

#include "core/base/assert.h"
#include "core/wire/cbor.h"

void chq_inception_write(struct chq_writer *w, const struct chq_inception *inception)
{
    chq_cbor_put_map(w, 3);
    chq_cbor_pair_uint(w, 1, 1);
    chq_cbor_pair_bytes(w, 2, inception->root_key, sizeof inception->root_key);
    chq_cbor_pair_bytes(w, 3, inception->next_key_hash, sizeof inception->next_key_hash);
}

enum chq_err chq_inception_read(struct chq_inception *out, struct chq_bytes in)
{
    struct chq_reader r = chq_reader(in);
    struct chq_cbor_map m = chq_cbor_get_map(&r, 16);
    chq_cbor_need(&r, &m, 1);
    if (chq_cbor_get_uint(&r) != 1)
        chq_reader_fail(&r, CHQ_UNSUPPORTED);
    chq_cbor_need(&r, &m, 2);
    chq_cbor_get_fixed(&r, out->root_key, sizeof out->root_key);
    chq_cbor_need(&r, &m, 3);
    chq_cbor_get_fixed(&r, out->next_key_hash, sizeof out->next_key_hash);
    chq_cbor_map_end(&r, &m);
    enum chq_err err = chq_reader_finish(&r);
    if (err != CHQ_OK)
        memset(out, 0, sizeof *out);
    return err;
}

void chq_inception_account_id(uint8_t out[CHQ_ACCOUNT_ID_BYTES], const struct chq_inception *inception)
{
    uint8_t storage[CHQ_INCEPTION_BYTES];
    struct chq_writer w = chq_writer_fixed(storage, sizeof storage);
    chq_inception_write(&w, inception);
    CHQ_ASSERT(chq_writer_finish(&w) == CHQ_OK && w.size == CHQ_INCEPTION_BYTES);
    struct chq_bytes part = chq_writer_bytes(&w);
    chq_hash(out, "chasqui account v1", &part, 1);
}

void chq_next_key_hash(uint8_t out[CHQ_HASH_BYTES], const uint8_t next_key[CHQ_SIGN_PUBLIC_BYTES])
{
    struct chq_bytes part = chq_bytes(next_key, CHQ_SIGN_PUBLIC_BYTES);
    chq_hash(out, "chasqui next key v1", &part, 1);
}
