/* SPDX-License-Identifier: Apache-2.0 */
#include "core/wire/header.h"

#include "core/wire/cbor.h"

#define NS_MAX 999999999u

/* A hash that may be missing (of the first block): 32 bytes or none. */
static struct chq_bytes get_hash(struct chq_reader *r, struct chq_cbor_map *m, uint64_t key)
{
    chq_cbor_need(r, m, key);
    struct chq_bytes b = chq_cbor_get_bytes(r, 32);
    if (b.size != 0 && b.size != 32)
        chq_reader_fail(r, CHQ_MALFORMED);
    return b;
}

static void put_hash(struct chq_writer *w, uint64_t key, struct chq_bytes hash)
{
    chq_cbor_pair_bytes(w, key, hash.data, hash.size);
}

static void get_header(struct chq_reader *r, struct chq_header *h)
{
    struct chq_cbor_map m = chq_cbor_get_map(r, 18);
    chq_cbor_need(r, &m, 1);
    h->version_block = chq_cbor_get_uint(r);
    chq_cbor_need(r, &m, 2);
    h->version_app = chq_cbor_get_uint(r);
    chq_cbor_need(r, &m, 3);
    h->chain_id = chq_cbor_get_text(r, CHQ_CHAIN_ID_CHARS_MAX);
    chq_cbor_need(r, &m, 4);
    h->height = chq_cbor_get_uint_max(r, INT64_MAX);
    chq_cbor_need(r, &m, 5);
    h->time.s = chq_cbor_get_int(r);
    chq_cbor_need(r, &m, 6);
    h->time.ns = (uint32_t)chq_cbor_get_uint_max(r, NS_MAX);
    h->last_block.hash = get_hash(r, &m, 7);
    chq_cbor_need(r, &m, 8);
    h->last_block.parts_total = (uint32_t)chq_cbor_get_uint_max(r, UINT32_MAX);
    h->last_block.parts_hash = get_hash(r, &m, 9);
    h->last_commit_hash = get_hash(r, &m, 10);
    h->data_hash = get_hash(r, &m, 11);
    h->validators_hash = get_hash(r, &m, 12);
    h->next_validators_hash = get_hash(r, &m, 13);
    h->consensus_hash = get_hash(r, &m, 14);
    h->app_hash = get_hash(r, &m, 15);
    h->last_results_hash = get_hash(r, &m, 16);
    h->evidence_hash = get_hash(r, &m, 17);
    chq_cbor_need(r, &m, 18);
    chq_cbor_get_fixed(r, h->proposer, sizeof h->proposer);
    chq_cbor_map_end(r, &m);
    if (h->height == 0)
        chq_reader_fail(r, CHQ_MALFORMED);
}

static void put_header(struct chq_writer *w, const struct chq_header *h)
{
    chq_cbor_put_map(w, 18);
    chq_cbor_pair_uint(w, 1, h->version_block);
    chq_cbor_pair_uint(w, 2, h->version_app);
    chq_cbor_pair_text(w, 3, h->chain_id);
    chq_cbor_pair_uint(w, 4, h->height);
    chq_cbor_pair_int(w, 5, h->time.s);
    chq_cbor_pair_uint(w, 6, h->time.ns);
    put_hash(w, 7, h->last_block.hash);
    chq_cbor_pair_uint(w, 8, h->last_block.parts_total);
    put_hash(w, 9, h->last_block.parts_hash);
    put_hash(w, 10, h->last_commit_hash);
    put_hash(w, 11, h->data_hash);
    put_hash(w, 12, h->validators_hash);
    put_hash(w, 13, h->next_validators_hash);
    put_hash(w, 14, h->consensus_hash);
    put_hash(w, 15, h->app_hash);
    put_hash(w, 16, h->last_results_hash);
    put_hash(w, 17, h->evidence_hash);
    chq_cbor_pair_bytes(w, 18, h->proposer, sizeof h->proposer);
}

static void get_vote(struct chq_reader *r, struct chq_vote *v)
{
    struct chq_cbor_map m = chq_cbor_get_map(r, 4);
    chq_cbor_need(r, &m, 1);
    chq_cbor_get_fixed(r, v->validator, sizeof v->validator);
    chq_cbor_need(r, &m, 2);
    v->time.s = chq_cbor_get_int(r);
    chq_cbor_need(r, &m, 3);
    v->time.ns = (uint32_t)chq_cbor_get_uint_max(r, NS_MAX);
    chq_cbor_need(r, &m, 4);
    chq_cbor_get_fixed(r, v->signature, sizeof v->signature);
    chq_cbor_map_end(r, &m);
}

enum chq_err chq_signed_header_read(struct chq_bytes in, struct chq_signed_header *out)
{
    struct chq_reader r = chq_reader(in);
    struct chq_cbor_map m = chq_cbor_get_map(&r, 5);
    *out = (struct chq_signed_header){0};
    chq_cbor_need(&r, &m, 1);
    get_header(&r, &out->header);
    chq_cbor_need(&r, &m, 2);
    out->round = (uint32_t)chq_cbor_get_uint_max(&r, INT32_MAX);
    chq_cbor_need(&r, &m, 3);
    out->parts_total = (uint32_t)chq_cbor_get_uint_max(&r, UINT32_MAX);
    chq_cbor_need(&r, &m, 4);
    chq_cbor_get_fixed(&r, out->parts_hash, sizeof out->parts_hash);
    chq_cbor_need(&r, &m, 5);
    out->votes_count = chq_cbor_get_array(&r, CHQ_VALIDATORS_MAX);
    for (size_t i = 0; i < out->votes_count && r.err == CHQ_OK; i++)
        get_vote(&r, &out->votes[i]);
    chq_cbor_map_end(&r, &m);
    enum chq_err err = chq_reader_finish(&r);
    if (err != CHQ_OK)
        *out = (struct chq_signed_header){0};
    return err;
}

void chq_signed_header_put(struct chq_writer *w, const struct chq_signed_header *in)
{
    if (in->votes_count > CHQ_VALIDATORS_MAX) {
        chq_writer_fail(w, CHQ_LIMIT);
        return;
    }
    chq_cbor_put_map(w, 5);
    chq_cbor_put_key(w, 1);
    put_header(w, &in->header);
    chq_cbor_pair_uint(w, 2, in->round);
    chq_cbor_pair_uint(w, 3, in->parts_total);
    chq_cbor_pair_bytes(w, 4, in->parts_hash, sizeof in->parts_hash);
    chq_cbor_put_key(w, 5);
    chq_cbor_put_array(w, in->votes_count);
    for (size_t i = 0; i < in->votes_count; i++) {
        const struct chq_vote *v = &in->votes[i];
        chq_cbor_put_map(w, 4);
        chq_cbor_pair_bytes(w, 1, v->validator, sizeof v->validator);
        chq_cbor_pair_int(w, 2, v->time.s);
        chq_cbor_pair_uint(w, 3, v->time.ns);
        chq_cbor_pair_bytes(w, 4, v->signature, sizeof v->signature);
    }
}
