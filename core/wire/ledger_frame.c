/* SPDX-License-Identifier: Apache-2.0 */
#include "core/wire/ledger_frame.h"

#include "core/wire/cbor.h"
#include "core/wire/validator.h"

#define SIGNED_BATCH_BYTES_MAX (CHQ_BATCH_BYTES_MAX + 128)

enum chq_err chq_ledger_request_read(struct chq_bytes in, struct chq_ledger_request *out)
{
    struct chq_reader r = chq_reader(in);
    struct chq_cbor_map m = chq_cbor_get_map(&r, 3);
    struct chq_ledger_request q = {0};
    *out = q;
    chq_cbor_need(&r, &m, 0);
    q.type = (enum chq_ledger_request_type)chq_cbor_get_uint_max(&r, CHQ_LEDGER_QUERY);
    if (q.type == CHQ_LEDGER_SUBMIT) {
        chq_cbor_need(&r, &m, 1);
        q.signed_batch = chq_cbor_get_bytes(&r, SIGNED_BATCH_BYTES_MAX);
    } else if (q.type == CHQ_LEDGER_QUERY) {
        chq_cbor_need(&r, &m, 1);
        q.kind = (enum chq_record_kind)chq_cbor_get_uint_max(&r, CHQ_RECORD_KINDS);
        chq_cbor_need(&r, &m, 2);
        chq_cbor_get_fixed(&r, q.key, sizeof q.key);
    }
    chq_cbor_map_end(&r, &m);
    CHQ_TRY(chq_reader_finish(&r));
    if (q.type == 0 || (q.type == CHQ_LEDGER_QUERY && q.kind == 0))
        return CHQ_MALFORMED;
    *out = q;
    return CHQ_OK;
}

void chq_ledger_request_put(struct chq_writer *w, const struct chq_ledger_request *in)
{
    chq_cbor_put_map(w, (uint64_t)in->type); /* INFO 1 pair, SUBMIT 2, QUERY 3 */
    chq_cbor_pair_uint(w, 0, in->type);
    switch (in->type) {
    case CHQ_LEDGER_INFO: return;
    case CHQ_LEDGER_SUBMIT: chq_cbor_pair_bytes(w, 1, in->signed_batch.data, in->signed_batch.size); return;
    case CHQ_LEDGER_QUERY:
        chq_cbor_pair_uint(w, 1, in->kind);
        chq_cbor_pair_bytes(w, 2, in->key, sizeof in->key);
        return;
    }
    chq_writer_fail(w, CHQ_MALFORMED);
}

static struct chq_bytes get_signed_header(struct chq_reader *r)
{
    struct chq_bytes b = chq_cbor_get_bytes(r, CHQ_SIGNED_HEADER_BYTES_MAX);
    if (b.size == 0)
        chq_reader_fail(r, CHQ_MALFORMED);
    return b;
}

static void get_info(struct chq_reader *r, struct chq_cbor_map *m, struct chq_ledger_reply *p)
{
    chq_cbor_need(r, m, 3);
    p->chain_id = chq_cbor_get_text(r, CHQ_CHAIN_ID_CHARS_MAX);
    chq_cbor_need(r, m, 4);
    p->height = chq_cbor_get_uint_max(r, INT64_MAX);
    chq_cbor_need(r, m, 5);
    p->signed_header = get_signed_header(r);
    chq_cbor_need(r, m, 6);
    p->issued_micro = chq_cbor_get_uint_max(r, (uint64_t)CHQ_MICROCREDIT_SUPPLY_MAX);
    chq_cbor_need(r, m, 7);
    p->balances_micro = chq_cbor_get_uint_max(r, (uint64_t)CHQ_MICROCREDIT_SUPPLY_MAX);
    chq_cbor_need(r, m, 8);
    p->deposits_micro = chq_cbor_get_uint_max(r, (uint64_t)CHQ_MICROCREDIT_SUPPLY_MAX);
    if (chq_cbor_has(r, m, 9)) {
        struct chq_validator checked[CHQ_VALIDATORS_MAX];
        const uint8_t *start = r->at;
        (void)chq_validators_get(r, checked);
        if (r->err == CHQ_OK)
            p->validators = chq_bytes(start, (size_t)(r->at - start));
    }
}

static void get_answer(struct chq_reader *r, struct chq_cbor_map *m, struct chq_ledger_reply *p)
{
    p->present = chq_cbor_has(r, m, 3);
    if (p->present) {
        p->value = chq_cbor_get_bytes(r, CHQ_RECORD_VALUE_BYTES_MAX);
        if (p->value.size == 0)
            chq_reader_fail(r, CHQ_MALFORMED);
    }
    chq_cbor_need(r, m, 4);
    p->proof = chq_cbor_get_bytes(r, CHQ_PROOF_BYTES_MAX);
    chq_cbor_need(r, m, 5);
    p->signed_header = get_signed_header(r);
}

enum chq_err chq_ledger_reply_read(struct chq_bytes in, struct chq_ledger_reply *out)
{
    struct chq_reader r = chq_reader(in);
    struct chq_cbor_map m = chq_cbor_get_map(&r, 10);
    struct chq_ledger_reply p = {0};
    *out = p;
    chq_cbor_need(&r, &m, 0);
    p.type = (enum chq_ledger_request_type)chq_cbor_get_uint_max(&r, CHQ_LEDGER_QUERY);
    chq_cbor_need(&r, &m, 1);
    p.err = (enum chq_err)chq_cbor_get_uint_max(&r, CHQ_EXPIRED);
    if (chq_cbor_has(&r, &m, 2)) {
        p.reason = chq_cbor_get_text(&r, CHQ_LEDGER_REASON_BYTES_MAX);
        if (p.reason.size == 0)
            chq_reader_fail(&r, CHQ_MALFORMED); /* one form only: an empty reason is left out */
    }
    if (p.err == CHQ_OK && p.type == CHQ_LEDGER_INFO) {
        get_info(&r, &m, &p);
    } else if (p.err == CHQ_OK && p.type == CHQ_LEDGER_SUBMIT) {
        chq_cbor_need(&r, &m, 3);
        p.height = chq_cbor_get_uint_max(&r, INT64_MAX);
    } else if (p.err == CHQ_OK && p.type == CHQ_LEDGER_QUERY) {
        get_answer(&r, &m, &p);
    }
    chq_cbor_map_end(&r, &m);
    CHQ_TRY(chq_reader_finish(&r));
    if (p.type == 0 && p.err == CHQ_OK)
        return CHQ_MALFORMED;
    *out = p;
    return CHQ_OK;
}

void chq_ledger_reply_put(struct chq_writer *w, const struct chq_ledger_reply *in)
{
    uint64_t pairs = 2u + (in->reason.size > 0);
    if (in->err == CHQ_OK && in->type == CHQ_LEDGER_INFO)
        pairs += 6u + (in->validators.size > 0);
    else if (in->err == CHQ_OK && in->type == CHQ_LEDGER_SUBMIT)
        pairs += 1;
    else if (in->err == CHQ_OK && in->type == CHQ_LEDGER_QUERY)
        pairs += 2u + in->present;
    chq_cbor_put_map(w, pairs);
    chq_cbor_pair_uint(w, 0, in->type);
    chq_cbor_pair_uint(w, 1, in->err);
    if (in->reason.size > 0)
        chq_cbor_pair_text(w, 2, in->reason);
    if (in->err != CHQ_OK)
        return;
    switch (in->type) {
    case CHQ_LEDGER_INFO:
        chq_cbor_pair_text(w, 3, in->chain_id);
        chq_cbor_pair_uint(w, 4, in->height);
        chq_cbor_pair_bytes(w, 5, in->signed_header.data, in->signed_header.size);
        chq_cbor_pair_uint(w, 6, in->issued_micro);
        chq_cbor_pair_uint(w, 7, in->balances_micro);
        chq_cbor_pair_uint(w, 8, in->deposits_micro);
        if (in->validators.size > 0) {
            chq_cbor_put_key(w, 9);
            chq_write_bytes(w, in->validators.data, in->validators.size);
        }
        break;
    case CHQ_LEDGER_SUBMIT: chq_cbor_pair_uint(w, 3, in->height); break;
    case CHQ_LEDGER_QUERY:
        if (in->present)
            chq_cbor_pair_bytes(w, 3, in->value.data, in->value.size);
        chq_cbor_pair_bytes(w, 4, in->proof.data, in->proof.size);
        chq_cbor_pair_bytes(w, 5, in->signed_header.data, in->signed_header.size);
        break;
    }
}
