/* SPDX-License-Identifier: Apache-2.0 */
#include "core/wire/validator.h"

#include <string.h>

#include "core/wire/cbor.h"

size_t chq_validators_get(struct chq_reader *r, struct chq_validator out[CHQ_VALIDATORS_MAX])
{
    size_t count = chq_cbor_get_array(r, CHQ_VALIDATORS_MAX);
    uint64_t total = 0;
    for (size_t i = 0; i < count && r->err == CHQ_OK; i++) {
        struct chq_cbor_map m = chq_cbor_get_map(r, 2);
        chq_cbor_need(r, &m, 1);
        chq_cbor_get_fixed(r, out[i].key, sizeof out[i].key);
        chq_cbor_need(r, &m, 2);
        out[i].power = chq_cbor_get_uint_max(r, CHQ_VALIDATOR_POWER_MAX - 1);
        chq_cbor_map_end(r, &m);
        total += out[i].power;
        if (out[i].power == 0 || total >= CHQ_VALIDATOR_POWER_MAX)
            chq_reader_fail(r, CHQ_MALFORMED);
        for (size_t j = 0; j < i; j++)
            if (memcmp(out[i].key, out[j].key, sizeof out[i].key) == 0)
                chq_reader_fail(r, CHQ_MALFORMED);
    }
    if (count == 0)
        chq_reader_fail(r, CHQ_MALFORMED);
    return r->err == CHQ_OK ? count : 0;
}

void chq_validators_put(struct chq_writer *w, const struct chq_validator *validators, size_t count)
{
    if (count == 0 || count > CHQ_VALIDATORS_MAX)
        chq_writer_fail(w, CHQ_LIMIT);
    chq_cbor_put_array(w, count);
    for (size_t i = 0; i < count; i++) {
        chq_cbor_put_map(w, 2);
        chq_cbor_pair_bytes(w, 1, validators[i].key, sizeof validators[i].key);
        chq_cbor_pair_uint(w, 2, validators[i].power);
    }
}
