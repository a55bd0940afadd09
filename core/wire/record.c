/* SPDX-License-Identifier: Apache-2.0 */
#include "core/wire/record.h"

#include "core/crypto/hash.h"
#include "core/wire/cbor.h"

#define SUPPLY_MAX ((uint64_t)CHQ_MICROCREDIT_SUPPLY_MAX)

void chq_handle_key(uint8_t out[32], struct chq_bytes handle)
{
    chq_hash(out, "chasqui handle v1", &handle, 1);
}

enum chq_err chq_account_record_read(struct chq_bytes value, struct chq_account_record *out)
{
    struct chq_reader r = chq_reader(value);
    struct chq_cbor_map m = chq_cbor_get_map(&r, 8);
    struct chq_account_record a = {0};
    *out = a;
    chq_cbor_need(&r, &m, 1);
    chq_cbor_get_fixed(&r, a.root_key, sizeof a.root_key);
    chq_cbor_need(&r, &m, 2);
    chq_cbor_get_fixed(&r, a.next_key_hash, sizeof a.next_key_hash);
    chq_cbor_need(&r, &m, 3);
    a.nonce = chq_cbor_get_uint(&r);
    chq_cbor_need(&r, &m, 4);
    a.balance_micro = chq_cbor_get_uint_max(&r, SUPPLY_MAX);
    if (chq_cbor_has(&r, &m, 5)) {
        a.handle = chq_cbor_get_text(&r, CHQ_HANDLE_CHARS_MAX);
        if (a.handle.size == 0)
            chq_reader_fail(&r, CHQ_MALFORMED);
    }
    a.has_commit = chq_cbor_has(&r, &m, 6);
    if (a.has_commit) {
        chq_cbor_get_fixed(&r, a.commitment, sizeof a.commitment);
        chq_cbor_need(&r, &m, 7);
        a.commit_height = chq_cbor_get_uint(&r);
        chq_cbor_need(&r, &m, 8);
        a.commit_s = chq_cbor_get_uint(&r);
    }
    chq_cbor_map_end(&r, &m);
    CHQ_TRY(chq_reader_finish(&r));
    *out = a;
    return CHQ_OK;
}

void chq_account_record_put(struct chq_writer *w, const struct chq_account_record *a)
{
    chq_cbor_put_map(w, 4u + (a->handle.size > 0) + (a->has_commit ? 3u : 0u));
    chq_cbor_pair_bytes(w, 1, a->root_key, sizeof a->root_key);
    chq_cbor_pair_bytes(w, 2, a->next_key_hash, sizeof a->next_key_hash);
    chq_cbor_pair_uint(w, 3, a->nonce);
    chq_cbor_pair_uint(w, 4, a->balance_micro);
    if (a->handle.size > 0)
        chq_cbor_pair_text(w, 5, a->handle);
    if (a->has_commit) {
        chq_cbor_pair_bytes(w, 6, a->commitment, sizeof a->commitment);
        chq_cbor_pair_uint(w, 7, a->commit_height);
        chq_cbor_pair_uint(w, 8, a->commit_s);
    }
}

enum chq_err chq_handle_record_read(struct chq_bytes value, struct chq_handle_record *out)
{
    struct chq_reader r = chq_reader(value);
    struct chq_cbor_map m = chq_cbor_get_map(&r, 2);
    struct chq_handle_record h = {0};
    *out = h;
    chq_cbor_need(&r, &m, 1);
    chq_cbor_get_fixed(&r, h.account, sizeof h.account);
    chq_cbor_need(&r, &m, 2);
    h.since_height = chq_cbor_get_uint(&r);
    chq_cbor_map_end(&r, &m);
    CHQ_TRY(chq_reader_finish(&r));
    *out = h;
    return CHQ_OK;
}

void chq_handle_record_put(struct chq_writer *w, const struct chq_handle_record *h)
{
    chq_cbor_put_map(w, 2);
    chq_cbor_pair_bytes(w, 1, h->account, sizeof h->account);
    chq_cbor_pair_uint(w, 2, h->since_height);
}

/* Visible ASCII, so that a stranger's host name can be put into a log, a URL or a resolver as it is. */
static bool host_is_fine(struct chq_bytes host)
{
    for (size_t i = 0; i < host.size; i++)
        if (host.data[i] <= 0x20 || host.data[i] >= 0x7f)
            return false;
    return host.size > 0;
}

enum chq_err chq_relay_record_read(struct chq_bytes value, struct chq_relay_record *out)
{
    struct chq_reader r = chq_reader(value);
    struct chq_cbor_map m = chq_cbor_get_map(&r, 8);
    struct chq_relay_record v = {0};
    *out = v;
    chq_cbor_need(&r, &m, 1);
    chq_cbor_get_fixed(&r, v.relay, sizeof v.relay);
    chq_cbor_need(&r, &m, 2);
    v.host = chq_cbor_get_text(&r, 255);
    chq_cbor_need(&r, &m, 3);
    v.port = (uint16_t)chq_cbor_get_uint_max(&r, UINT16_MAX);
    chq_cbor_need(&r, &m, 4);
    chq_cbor_get_fixed(&r, v.pin, sizeof v.pin);
    chq_cbor_need(&r, &m, 5);
    v.turn_port = (uint16_t)chq_cbor_get_uint_max(&r, UINT16_MAX);
    chq_cbor_need(&r, &m, 6);
    v.price_micro = chq_cbor_get_uint_max(&r, SUPPLY_MAX);
    chq_cbor_need(&r, &m, 7);
    v.quantum_bytes = chq_cbor_get_uint(&r);
    chq_cbor_need(&r, &m, 8);
    v.region = chq_cbor_get_text(&r, 32);
    chq_cbor_map_end(&r, &m);
    CHQ_TRY(chq_reader_finish(&r));
    if (!host_is_fine(v.host) || v.port == 0 || v.quantum_bytes == 0 || v.price_micro == 0)
        return CHQ_MALFORMED;
    *out = v;
    return CHQ_OK;
}

void chq_relay_record_put(struct chq_writer *w, const struct chq_relay_record *v)
{
    chq_cbor_put_map(w, 8);
    chq_cbor_pair_bytes(w, 1, v->relay, sizeof v->relay);
    chq_cbor_pair_text(w, 2, v->host);
    chq_cbor_pair_uint(w, 3, v->port);
    chq_cbor_pair_bytes(w, 4, v->pin, sizeof v->pin);
    chq_cbor_pair_uint(w, 5, v->turn_port);
    chq_cbor_pair_uint(w, 6, v->price_micro);
    chq_cbor_pair_uint(w, 7, v->quantum_bytes);
    chq_cbor_pair_text(w, 8, v->region);
}

static void get_channel_numbers(struct chq_reader *r, struct chq_cbor_map *m, struct chq_channel_record *c)
{
    chq_cbor_need(r, m, 6);
    c->last_index = chq_cbor_get_uint_max(r, CHQ_TOKENS_PER_CHANNEL_MAX);
    chq_cbor_need(r, m, 7);
    c->tokens = chq_cbor_get_uint_max(r, CHQ_TOKENS_PER_CHANNEL_MAX);
    chq_cbor_need(r, m, 8);
    c->price_micro = chq_cbor_get_uint_max(r, SUPPLY_MAX);
    chq_cbor_need(r, m, 9);
    c->quantum_bytes = chq_cbor_get_uint(r);
    chq_cbor_need(r, m, 10);
    c->expiry_s = chq_cbor_get_uint(r);
}

enum chq_err chq_channel_record_read(struct chq_bytes value, struct chq_channel_record *out)
{
    struct chq_reader r = chq_reader(value);
    struct chq_cbor_map m = chq_cbor_get_map(&r, 12);
    struct chq_channel_record c = {0};
    *out = c;
    chq_cbor_need(&r, &m, 1);
    c.number = chq_cbor_get_uint(&r);
    chq_cbor_need(&r, &m, 2);
    chq_cbor_get_fixed(&r, c.payer, sizeof c.payer);
    chq_cbor_need(&r, &m, 3);
    chq_cbor_get_fixed(&r, c.payee, sizeof c.payee);
    chq_cbor_need(&r, &m, 4);
    c.deposit_micro = chq_cbor_get_uint_max(&r, SUPPLY_MAX);
    chq_cbor_need(&r, &m, 5);
    chq_cbor_get_fixed(&r, c.last_token, sizeof c.last_token);
    get_channel_numbers(&r, &m, &c);
    chq_cbor_need(&r, &m, 11);
    chq_cbor_get_fixed(&r, c.attach_key, sizeof c.attach_key);
    chq_cbor_need(&r, &m, 12);
    c.state = (enum chq_channel_state)chq_cbor_get_uint_max(&r, CHQ_CHANNEL_CLOSED);
    chq_cbor_map_end(&r, &m);
    CHQ_TRY(chq_reader_finish(&r));
    /* index * price must fit the deposit, so nobody who multiplies them later can overflow. */
    if (c.state == 0 || c.last_index > c.tokens || c.tokens == 0 || c.price_micro == 0 ||
        c.quantum_bytes == 0 || c.last_index > c.deposit_micro / c.price_micro)
        return CHQ_MALFORMED;
    *out = c;
    return CHQ_OK;
}

void chq_channel_record_put(struct chq_writer *w, const struct chq_channel_record *c)
{
    chq_cbor_put_map(w, 12);
    chq_cbor_pair_uint(w, 1, c->number);
    chq_cbor_pair_bytes(w, 2, c->payer, sizeof c->payer);
    chq_cbor_pair_bytes(w, 3, c->payee, sizeof c->payee);
    chq_cbor_pair_uint(w, 4, c->deposit_micro);
    chq_cbor_pair_bytes(w, 5, c->last_token, sizeof c->last_token);
    chq_cbor_pair_uint(w, 6, c->last_index);
    chq_cbor_pair_uint(w, 7, c->tokens);
    chq_cbor_pair_uint(w, 8, c->price_micro);
    chq_cbor_pair_uint(w, 9, c->quantum_bytes);
    chq_cbor_pair_uint(w, 10, c->expiry_s);
    chq_cbor_pair_bytes(w, 11, c->attach_key, sizeof c->attach_key);
    chq_cbor_pair_uint(w, 12, c->state);
}
