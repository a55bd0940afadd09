/* SPDX-License-Identifier: Apache-2.0 */
#include "core/wire/genesis.h"

#include <string.h>

#include "core/wire/cbor.h"

bool chq_chain_id_is_valid(struct chq_bytes text)
{
    for (size_t i = 0; i < text.size; i++) {
        uint8_t c = text.data[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (!letter && !(c >= '0' && c <= '9') && c != '-' && c != '_')
            return false;
    }
    return text.size > 0 && text.size <= CHQ_CHAIN_ID_CHARS_MAX;
}

static void get_chain_id(struct chq_reader *r, char out[CHQ_CHAIN_ID_CHARS_MAX + 1])
{
    struct chq_bytes id = chq_cbor_get_text(r, CHQ_CHAIN_ID_CHARS_MAX);
    if (!chq_chain_id_is_valid(id))
        chq_reader_fail(r, CHQ_MALFORMED);
    if (r->err == CHQ_OK)
        memcpy(out, id.data, id.size);
}

enum chq_err chq_genesis_read(struct chq_bytes in, struct chq_genesis *out)
{
    struct chq_reader r = chq_reader(in);
    struct chq_cbor_map m = chq_cbor_get_map(&r, 7);
    memset(out, 0, sizeof *out);
    chq_cbor_need(&r, &m, 1);
    uint64_t version = chq_cbor_get_uint(&r);
    if (r.err == CHQ_OK && version != 1)
        return CHQ_UNSUPPORTED;
    chq_cbor_need(&r, &m, 2);
    get_chain_id(&r, out->chain_id);
    chq_cbor_need(&r, &m, 3);
    out->time_s = chq_cbor_get_uint_max(&r, INT64_MAX / 2);
    chq_cbor_need(&r, &m, 4);
    struct chq_bytes inception = chq_cbor_get_bytes(&r, CHQ_INCEPTION_BYTES);
    chq_cbor_need(&r, &m, 5);
    out->validators_count = chq_validators_get(&r, out->validators);
    chq_cbor_need(&r, &m, 6);
    out->supply_max_micro = chq_cbor_get_uint_max(&r, (uint64_t)CHQ_MICROCREDIT_SUPPLY_MAX);
    chq_cbor_need(&r, &m, 7);
    out->channel_grace_s = chq_cbor_get_uint_max(&r, CHQ_CHANNEL_GRACE_S_MAX);
    chq_cbor_map_end(&r, &m);
    enum chq_err err = chq_reader_finish(&r);
    if (err == CHQ_OK)
        err = chq_inception_read(&out->issuer, inception);
    if (err != CHQ_OK)
        memset(out, 0, sizeof *out);
    return err;
}

void chq_genesis_put(struct chq_writer *w, const struct chq_genesis *in)
{
    uint8_t storage[CHQ_INCEPTION_BYTES];
    struct chq_writer inception = chq_writer_fixed(storage, sizeof storage);
    chq_inception_write(&inception, &in->issuer);
    chq_cbor_put_map(w, 7);
    chq_cbor_pair_uint(w, 1, 1);
    chq_cbor_pair_text(w, 2, chq_bytes_text(in->chain_id));
    chq_cbor_pair_uint(w, 3, in->time_s);
    chq_cbor_pair_bytes(w, 4, inception.data, inception.size);
    chq_cbor_put_key(w, 5);
    chq_validators_put(w, in->validators, in->validators_count);
    chq_cbor_pair_uint(w, 6, in->supply_max_micro);
    chq_cbor_pair_uint(w, 7, in->channel_grace_s);
}
