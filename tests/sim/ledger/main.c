/* SPDX-License-Identifier: Apache-2.0 */
/*
 * usage: sim_ledger [--ops N] [--seed N] [--must-fail] [--root HEX]
 * Random batches, honest and hostile, into ledger/state and into the model of oracle.c: each must be taken or refused
 * as the model says, credit must be conserved in every block, balances, records, proofs and reloaded snapshots must
 * agree. Prints what it did; a disagreement prints the seed and the block, and replays from there.
 * Most signatures are taken as checked outside (CHQ_STATE_CHECKED_WITH: the state then only compares the key); one
 * batch in 64 carries a real one and is checked, good or bad.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/text.h"
#include "core/crypto/random.h"
#include "core/wire/cbor.h"
#include "core/wire/proof.h"
#include "oracle.h"
#include "unit/ledger/state/fixture.h"

#define OPS_MAX 5

struct sim {
    struct chq_state *state;
    struct chq_genesis genesis;
    struct model *model;
    struct who who[PEOPLE];
    uint8_t list_hash[PEOPLE][32]; /* of the newest device list's body */
    struct chq_seeded seeded;
    struct chq_random random;
    uint64_t seed, ops, taken, refused, blocks;
    uint64_t by_code[16];
    struct chq_writer batch, replay; /* Signed containers: the one in hand, and one that was taken */
    uint8_t storage[OPS_MAX][CHQ_DEVICE_LIST_BYTES_MAX];
    bool must_fail;
    const char *root; /* what the state root must be at the end */
};

static uint64_t below(struct sim *s, uint64_t bound)
{
    return chq_random_below(&s->random, bound);
}

__attribute__((format(printf, 2, 3), noreturn)) static void violation(
    const struct sim *s, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    printf("%s at seed %llu, block %llu, after %llu operations: ", s->must_fail ? "caught" : "VIOLATION",
        (unsigned long long)s->seed, (unsigned long long)s->blocks, (unsigned long long)s->ops);
    vprintf(format, args);
    printf("\n");
    exit(s->must_fail ? 0 : 1);
}

#define HANDLE_TEXT 16

static void handle_text(int handle, char out[HANDLE_TEXT])
{
    snprintf(out, HANDLE_TEXT, "h%d", handle);
}

/* ---- one random operation, for the state and for the model ---- */

struct draft {
    struct chq_operation ops[OPS_MAX];
    struct model *model;
    uint32_t wrong; /* of the first operation that must fail */
    size_t n;
    int signer;
};

static uint64_t some_amount(struct sim *s, uint64_t around)
{
    switch (below(s, 60)) {
    case 0: return 0;
    case 1: return around;
    case 2: return around + 1;
    case 3: return (uint64_t)CHQ_MICROCREDIT_SUPPLY_MAX;
    default: return 1 + below(s, around / 8 + 1);
    }
}

/* Nearly always somebody who has an account. */
static int draw_receiver(struct sim *s)
{
    int to = (int)below(s, PEOPLE);
    for (int i = 0; i < 20 && !s->model->people[to].exists && below(s, 50) != 0; i++)
        to = (int)below(s, PEOPLE);
    return to;
}

static uint32_t draw_channel(struct sim *s, const struct model *m)
{
    /* mostly recent ones: the old are closed */
    uint32_t n = m->channels_count;
    if (n == 0 || below(s, 50) == 0)
        return n + (uint32_t)below(s, 3);
    return below(s, 4) == 0 ? (uint32_t)below(s, n) : n - 1 - (uint32_t)below(s, n < 200 ? n : 200);
}

/* Nearly always a channel that the signer has a say in and that is not closed, where there is one. */
static uint32_t draw_own_channel(struct sim *s, const struct model *m, int signer)
{
    uint32_t channel = draw_channel(s, m);
    if (below(s, 12) == 0)
        return channel;
    for (int i = 0; i < 60; i++, channel = draw_channel(s, m))
        if (channel < m->channels_count && m->channels[channel].state != 3 &&
            (m->channels[channel].payer == signer || (m->channels[channel].payee == signer && i > 30)))
            break;
    return channel;
}

static void channel_id_of(const struct model *m, uint32_t channel, uint8_t out[32])
{
    memset(out, 0xee, 32);
    if (channel < m->channels_count)
        memcpy(out, m->channels[channel].id, 32);
}

static uint32_t draft_open(struct sim *s, struct draft *d, struct chq_operation *op)
{
    struct model *m = d->model;
    int payee = draw_receiver(s);
    uint64_t price = 1 + below(s, 20), tokens = below(s, 30) == 0 ? 3000 : 1 + below(s, 64);
    uint64_t deposit =
        below(s, 4) == 0 ? some_amount(s, m->people[d->signer].balance) : price * (1 + below(s, tokens));
    uint64_t expiry_s = below(s, 20) == 0 ? m->now_s : m->now_s + 1 + below(s, 2000);
    uint8_t end[32], id[32];
    if (below(s, 60) == 0)
        expiry_s = m->now_s + 367ull * 86400;
    if (m->channels_count >= CHANNELS_MAX)
        return MAY(CHQ_OK); /* not drafted; see draft_one */
    chq_random_fill(&s->random, end, sizeof end);
    *op = (struct chq_operation){.type = CHQ_OPERATION_CHANNEL_OPEN,
        .channel_open = {.deposit_micro = deposit,
            .tokens = tokens,
            .price_micro = price,
            .quantum_bytes = 65536,
            .expiry_s = expiry_s}};
    memcpy(op->channel_open.payee, s->who[payee].id, 32);
    uint64_t nonce = m->people[d->signer].nonce;
    chq_channel_id(id, chq_bytes_text(FIXTURE_CHAIN), s->who[d->signer].id, nonce, (uint32_t)d->n);
    chq_chain_token(op->channel_open.chain_root, end, id, tokens, 0);
    uint32_t wrong = model_open(m, d->signer, payee, deposit, price, tokens, expiry_s);
    if (wrong == 0) {
        memcpy(m->channels[m->channels_count - 1].id, id, 32);
        memcpy(m->channels[m->channels_count - 1].end, end, 32);
    }
    return wrong;
}

static uint32_t draft_settle(struct sim *s, struct draft *d, struct chq_operation *op)
{
    struct model *m = d->model;
    uint8_t *out = s->storage[d->n];
    size_t records = below(s, 2) == 0 ? 1 : 1 + below(s, 4);
    uint32_t wrong = 0;
    *op = (struct chq_operation){.type = CHQ_OPERATION_CHANNEL_SETTLE,
        .channel_settle.records = chq_bytes(out, records * CHQ_SETTLEMENT_BYTES)};
    for (size_t i = 0; i < records; i++) {
        uint32_t channel = draw_channel(s, m);
        struct chq_settlement in = {.number = channel, .index = 1};
        bool good = false;
        if (channel < m->channels_count) {
            for (int tries = 0; tries < 8 && below(s, 20) != 0; tries++) {
                if (m->channels[channel].state != 3 &&
                    m->channels[channel].settled < m->channels[channel].tokens)
                    break;
                channel = m->channels_count - 1 -
                          (uint32_t)below(s, m->channels_count < 200 ? m->channels_count : 200);
            }
            in.number = channel;
            const struct model_channel *c = &m->channels[channel];
            in.index = c->settled + 1 + below(s, below(s, 60) == 0 ? 1100 : 4);
            uint64_t covered = c->deposit / c->price < c->tokens ? c->deposit / c->price : c->tokens;
            if (in.index > covered && c->settled < covered && below(s, 20) != 0)
                in.index = covered;
            if (below(s, 60) == 0)
                in.index = c->settled;
            good = in.index >= 1 && in.index <= c->tokens && in.index > c->settled;
            if (good)
                chq_chain_token(in.token, c->end, c->id, c->tokens, in.index);
            if (good && below(s, 60) == 0) {
                in.token[below(s, 32)] ^= 1;
                good = false;
            }
        }
        chq_settlement_store(out + i * CHQ_SETTLEMENT_BYTES, &in);
        if (wrong == 0)
            wrong = model_settle(m, channel, in.index, good);
    }
    return wrong;
}

static uint32_t draft_list(struct sim *s, struct draft *d, struct chq_operation *op)
{
    const struct who *who = &s->who[d->signer];
    struct person *p = &d->model->people[d->signer];
    struct chq_device_list list = {.version = p->list_version + 1, .n = 1};
    struct chq_writer w = chq_writer_fixed(s->storage[d->n], sizeof s->storage[d->n]);
    struct chq_bytes body;
    if (below(s, 5) == 0)
        list.version++;
    memcpy(list.account_id, who->id, 32);
    chq_random_fill(&s->random, list.devices[0].signing_key, 32);
    if (list.version > 1)
        memcpy(list.previous_hash, s->list_hash[d->signer], 32);
    if (list.version == 2 && p->list_version == 0)
        list.previous_hash[0] = 1; /* names a first list that there never was */
    chq_device_list_sign(&w, &who->root, &list);
    *op = (struct chq_operation){
        .type = CHQ_OPERATION_DEVICE_LIST, .device_list.signed_list = chq_writer_bytes(&w)};
    uint32_t wrong = model_list(d->model, d->signer, (uint32_t)list.version);
    CHQ_ASSERT(chq_signed_peek(&body, chq_writer_bytes(&w), sizeof s->storage[0]) == CHQ_OK);
    if (wrong == 0)
        chq_device_list_hash(s->list_hash[d->signer], body);
    return wrong;
}

static uint32_t draft_handle(struct sim *s, struct draft *d, struct chq_operation *op)
{
    const struct person *p = &d->model->people[d->signer];
    int handle = (int)below(s, HANDLES);
    uint8_t salt = (uint8_t)below(s, 3);
    static char text[OPS_MAX][HANDLE_TEXT];
    if (p->has_commit && below(s, 4) != 0) {
        if (below(s, 4) != 0) {
            handle = p->commit_handle;
            salt = p->commit_salt;
        }
        handle_text(handle, text[d->n]);
        *op = (struct chq_operation){.type = CHQ_OPERATION_HANDLE_REVEAL,
            .handle_reveal = {.handle = chq_bytes_text(text[d->n]), .salt = {salt}}};
        return model_reveal(d->model, d->signer, handle, salt);
    }
    const uint8_t salts[32] = {salt};
    handle_text(handle, text[d->n]);
    *op = (struct chq_operation){.type = CHQ_OPERATION_HANDLE_COMMIT};
    chq_handle_commitment(
        op->handle_commit.commitment, chq_bytes_text(text[d->n]), s->who[d->signer].id, salts);
    return model_commit(d->model, d->signer, handle, salt);
}

static uint32_t draft_one(struct sim *s, struct draft *d, struct chq_operation *op)
{
    struct model *m = d->model;
    int to = draw_receiver(s);
    uint64_t balance = m->people[d->signer].balance;
    uint32_t channel;
    uint64_t dice = below(s, 1000);
    if (dice < 4)
        return draft_list(s, d, op);
    if (dice < 60)
        return draft_handle(s, d, op);
    if (dice < 65 || (d->signer == 0 && dice < 700)) {
        uint64_t micro = some_amount(s, 40000);
        *op = op_pay(CHQ_OPERATION_ISSUE, s->who[to].id, micro);
        return model_issue(m, d->signer, to, micro);
    }
    if (dice < 250 && m->channels_count < CHANNELS_MAX)
        return draft_open(s, d, op);
    if (dice < 600)
        return draft_settle(s, d, op);
    if (dice < 650) {
        uint64_t micro = some_amount(s, balance / 8);
        channel = draw_own_channel(s, m, d->signer);
        *op = (struct chq_operation){.type = CHQ_OPERATION_CHANNEL_TOP_UP, .channel_top_up.micro = micro};
        channel_id_of(m, channel, op->channel_top_up.channel);
        return model_top_up(m, d->signer, channel, micro);
    }
    if (dice < 720) {
        channel = dice < 710 ? draw_own_channel(s, m, d->signer) : draw_channel(s, m);
        *op = (struct chq_operation){
            .type = dice < 710 ? CHQ_OPERATION_CHANNEL_CLOSE : CHQ_OPERATION_CHANNEL_EXPIRE};
        channel_id_of(m, channel, op->channel_close.channel);
        return dice < 710 ? model_close(m, d->signer, channel) : model_expire(m, channel);
    }
    uint64_t micro = some_amount(s, balance);
    *op = op_pay(CHQ_OPERATION_TRANSFER, s->who[to].id, micro);
    return model_transfer(m, d->signer, to, micro);
}

/* A signer who can do something: of a channel's ends every second time. */
static int draw_signer(struct sim *s)
{
    const struct model *m = s->model;
    if (below(s, 12) == 0)
        return 0;
    if (m->channels_count > 0 && below(s, 2) == 0) {
        const struct model_channel *c =
            &m->channels[m->channels_count - 1 - below(s, m->channels_count < 200 ? m->channels_count : 200)];
        return below(s, 2) == 0 ? c->payer : c->payee;
    }
    return (int)below(s, PEOPLE);
}

/* ---- batches ---- */

/* What is wrong with the batch itself, beside its operations. */
enum harm { NONE, BAD_NONCE, BAD_KEY, BAD_CHAIN, CUT, REPLAY, HARMS };

static void write_batch(struct sim *s, const struct draft *d, enum harm harm, bool really_sign)
{
    const struct who *who = &s->who[d->signer];
    static const uint8_t unsigned_yet[64];
    struct chq_writer body = chq_writer_heap(CHQ_BATCH_BYTES_MAX);
    struct chq_batch batch = {.chain_id = chq_bytes_text(harm == BAD_CHAIN ? "test-02" : FIXTURE_CHAIN),
        .nonce = s->model->people[d->signer].nonce};
    if (harm == BAD_NONCE)
        batch.nonce += below(s, 2) == 0 || batch.nonce == 0 ? 1 : UINT64_MAX;
    memcpy(batch.signer, who->id, 32);
    chq_batch_put(&body, &batch, d->ops, d->n);
    chq_writer_clear(&s->batch);
    if (really_sign) {
        const struct who *signer = harm == BAD_KEY ? &s->who[(d->signer + 1) % PEOPLE] : who;
        chq_signed_write(&s->batch, &signer->root, CHQ_BATCH_DOMAIN, chq_writer_bytes(&body));
    } else {
        chq_cbor_put_map(&s->batch, 2);
        chq_cbor_pair_bytes(&s->batch, 1, body.data, body.size);
        chq_cbor_pair_bytes(&s->batch, 2, unsigned_yet, sizeof unsigned_yet);
    }
    CHQ_ASSERT(chq_writer_finish(&s->batch) == CHQ_OK);
    chq_writer_free(&body);
}

/* Apply the bytes and hold the answer against what may come. */
static void apply(struct sim *s, struct chq_bytes bytes, const struct who *key, bool check, uint32_t may)
{
    struct chq_state_batch batch = {
        .signed_batch = bytes, .trust = check ? CHQ_STATE_CHECK : CHQ_STATE_CHECKED_WITH};
    struct chq_state_result result;
    memcpy(batch.key, key->root.public_key, 32);
    enum chq_err err = chq_state_apply(s->state, &batch, &result);
    if (may == 0 && err != CHQ_OK)
        violation(s, "a good batch was refused: operation %u, %s", result.operation, result.reason);
    if (may != 0 && err == CHQ_OK)
        violation(s, "a bad batch was taken (codes %x)", may);
    if (may != 0 && (may & MAY(err)) == 0)
        violation(s, "a bad batch was refused with code %d '%s' (may: %x)", err, result.reason, may);
    s->by_code[err]++;
    if (err == CHQ_OK)
        s->taken++;
    else
        s->refused++;
}

static void random_batch(struct sim *s)
{
    struct draft d = {.model = s->model, .signer = draw_signer(s)};
    const struct person *p = &s->model->people[d.signer];
    enum harm harm = below(s, 25) == 0 ? (enum harm)(1 + below(s, HARMS - 1)) : NONE;
    bool really_sign = below(s, 64) == 0;
    uint8_t hash_before[32];
    memcpy(hash_before, s->list_hash[d.signer], 32);
    model_begin(s->model);
    size_t want = below(s, 2) == 0 ? 1 : 1 + below(s, OPS_MAX);
    if (!p->exists) {
        d.ops[d.n++] = op_create(&s->who[d.signer]);
        model_person(s->model, d.signer)->exists = true;
        if (below(s, 4) != 0)
            want = 1;
    } else if (below(s, 100) == 0) {
        d.ops[d.n++] = op_create(&s->who[d.signer]);
        d.wrong = MAY(CHQ_EXISTS);
    }
    for (; d.n < want; d.n++) {
        uint32_t wrong = draft_one(s, &d, &d.ops[d.n]);
        if (d.wrong == 0)
            d.wrong = wrong;
    }
    s->ops += d.n;
    write_batch(s, &d, harm, really_sign || harm == BAD_KEY);
    uint32_t may = d.wrong;
    struct chq_bytes bytes = chq_writer_bytes(&s->batch);
    const struct who *key = &s->who[d.signer];
    switch (harm) {
    case BAD_NONCE: may |= MAY(CHQ_STATE); break;
    case BAD_CHAIN: may |= MAY(CHQ_AUTH); break;
    case BAD_KEY:
        may |= MAY(CHQ_AUTH);
        key = &s->who[(d.signer + 1) % PEOPLE];
        break;
    case CUT:
        may |= MAY(CHQ_MALFORMED);
        bytes.size = below(s, bytes.size);
        break;
    case REPLAY:
        if (s->replay.size > 0) {
            bytes = chq_writer_bytes(&s->replay);
            may = MAY(CHQ_STATE) | MAY(CHQ_EXISTS);
            really_sign = false;
        }
        break;
    default: break;
    }
    apply(s, bytes, key, really_sign, may);
    if (may == 0) {
        s->model->people[d.signer].nonce++;
        if (!really_sign && below(s, 10) == 0) {
            chq_writer_clear(&s->replay);
            chq_write_bytes(&s->replay, s->batch.data, s->batch.size);
        }
    } else {
        model_take_back(s->model);
        memcpy(s->list_hash[d.signer], hash_before, 32);
    }
}

/* ---- checks ---- */

static void check_totals(struct sim *s)
{
    uint64_t balances, deposits;
    struct chq_state_totals t = chq_state_totals(s->state);
    if (!model_conserves(s->model, &balances, &deposits))
        violation(s, "the model itself does not conserve: a bug of the simulation");
    if (t.issued_micro != s->model->issued || t.balances_micro != balances || t.deposits_micro != deposits)
        violation(s, "totals differ: issued %llu, balances %llu, deposits %llu",
            (unsigned long long)t.issued_micro, (unsigned long long)t.balances_micro,
            (unsigned long long)t.deposits_micro);
    if (t.issued_micro != t.balances_micro + t.deposits_micro)
        violation(s, "credit is not conserved");
}

/* One account, by proof against the root, field by field. */
static void check_person(struct sim *s, int i)
{
    uint8_t value_bytes[512], proof_bytes[8192], root[32];
    struct chq_writer value = chq_writer_fixed(value_bytes, sizeof value_bytes);
    struct chq_writer written = chq_writer_fixed(proof_bytes, sizeof proof_bytes);
    const struct person *p = &s->model->people[i];
    struct chq_account_record record;
    struct chq_proof proof;
    char handle[HANDLE_TEXT] = "";
    chq_state_root(s->state, root);
    bool present = chq_state_prove(s->state, CHQ_RECORD_ACCOUNT, s->who[i].id, &value, &written);
    if (present != p->exists)
        violation(s, "person %d exists or not", i);
    if (chq_proof_read(chq_writer_bytes(&written), &proof) != CHQ_OK ||
        chq_proof_check(&proof, root, CHQ_RECORD_ACCOUNT, s->who[i].id, present, chq_writer_bytes(&value)) !=
            CHQ_OK)
        violation(s, "person %d is not proved under the state root", i);
    if (!present)
        return;
    if (chq_account_record_read(chq_writer_bytes(&value), &record) != CHQ_OK)
        violation(s, "the record of person %d does not read", i);
    if (p->handle >= 0)
        handle_text(p->handle, handle);
    if (record.balance_micro != p->balance || record.nonce != p->nonce ||
        record.has_commit != p->has_commit || !chq_bytes_equal(record.handle, chq_bytes_text(handle)))
        violation(s, "person %d: balance %llu, the model has %llu; nonce %llu, %llu", i,
            (unsigned long long)record.balance_micro, (unsigned long long)p->balance,
            (unsigned long long)record.nonce, (unsigned long long)p->nonce);
}

static void check_channel(struct sim *s, uint32_t i)
{
    uint8_t storage[1024];
    struct chq_writer w = chq_writer_fixed(storage, sizeof storage);
    const struct model_channel *c = &s->model->channels[i];
    struct chq_channel_record r;
    if (!chq_state_get(s->state, CHQ_RECORD_CHANNEL, c->id, &w) ||
        chq_channel_record_read(chq_writer_bytes(&w), &r) != CHQ_OK)
        violation(s, "channel %u is not there", i);
    if (r.number != i || r.deposit_micro != c->deposit || r.last_index != c->settled ||
        (int)r.state != c->state || r.expiry_s != c->expiry_s)
        violation(s, "channel %u differs from the model", i);
}

/* Write the state out record by record, read it into a new one, and go on with that. */
static void reload(struct sim *s)
{
    static uint8_t storage[CHQ_RECORD_VALUE_BYTES_MAX];
    uint8_t key[32], before[32], after[32];
    struct chq_state *next = NULL;
    struct chq_state_totals t = chq_state_totals(s->state);
    if (chq_state_new(&next, &s->genesis, NULL, s->blocks) != CHQ_OK)
        violation(s, "no memory");
    for (unsigned kind = 1; kind <= CHQ_RECORD_KINDS; kind++) {
        for (uint32_t slot = 0;; slot++) {
            struct chq_writer w = chq_writer_fixed(storage, sizeof storage);
            if (!chq_state_at(s->state, (enum chq_record_kind)kind, slot, key, &w))
                break;
            if (chq_state_load(next, (enum chq_record_kind)kind, key, chq_writer_bytes(&w)) != CHQ_OK)
                violation(s, "a record of kind %u does not load", kind);
        }
    }
    if (chq_state_load_end(next, chq_state_height(s->state), chq_state_time_s(s->state), t.issued_micro) !=
        CHQ_OK)
        violation(s, "the snapshot does not load");
    chq_state_root(s->state, before);
    chq_state_root(next, after);
    if (memcmp(before, after, 32) != 0)
        violation(s, "a reloaded state has another root");
    chq_state_free(s->state);
    s->state = next;
}

static void random_block(struct sim *s)
{
    struct model *m = s->model;
    m->height = chq_state_height(s->state) + 1;
    m->now_s += below(s, 8) == 0 ? below(s, 400) : below(s, 3);
    if (below(s, 400) == 0)
        m->now_s += 25 * 3600;
    if (chq_state_begin(s->state, m->height, m->now_s) != CHQ_OK)
        violation(s, "the block does not begin");
    for (uint64_t n = 1 + below(s, 120); n > 0; n--)
        random_batch(s);
    enum chq_err err = chq_state_seal(s->state);
    if (err != CHQ_OK)
        violation(s, "the block's own check of conservation refused it (code %d)", err);
    chq_state_commit(s->state, NULL);
    s->blocks++;
    check_totals(s);
    for (int i = 0; i < 4; i++)
        check_person(s, (int)below(s, PEOPLE));
    if (s->model->channels_count > 0)
        check_channel(s, (uint32_t)below(s, s->model->channels_count));
}

static void check_all(struct sim *s)
{
    if (!chq_state_conserves(s->state))
        violation(s, "the sum over all records is not what was issued");
    for (int i = 0; i < PEOPLE; i++)
        check_person(s, i);
    for (uint32_t i = 0; i < s->model->channels_count; i++)
        check_channel(s, i);
}

static void start(struct sim *s)
{
    s->model = calloc(1, sizeof *s->model);
    CHQ_ASSERT(s->model != NULL);
    for (uint32_t i = 0; i < PEOPLE; i++) {
        who_init(&s->who[i], i + 1);
        s->model->people[i].handle = -1;
    }
    for (int i = 0; i < HANDLES; i++)
        s->model->handle_owner[i] = -1;
    s->model->people[0].exists = true;
    s->model->now_s = FIXTURE_TIME;
    fixture_genesis(&s->genesis, &s->who[0]);
    s->genesis.supply_max_micro = SUPPLY_MAX;
    s->genesis.channel_grace_s = GRACE_S;
    chq_seeded_init(&s->seeded, s->seed);
    s->random = chq_seeded_random(&s->seeded);
    s->batch = chq_writer_heap(CHQ_BATCH_BYTES_MAX + 128);
    s->replay = chq_writer_heap(CHQ_BATCH_BYTES_MAX + 128);
    if (chq_state_new(&s->state, &s->genesis, NULL, s->seed) != CHQ_OK ||
        chq_state_start(s->state, NULL) != CHQ_OK)
        violation(s, "the state does not start");
}

static void finish(struct sim *s)
{
    uint8_t root[32];
    char text[65];
    check_all(s);
    chq_state_root(s->state, root);
    chq_hex_write(chq_bytes(root, 32), text);
    printf("seed %llu: %llu operations in %llu blocks; %llu batches taken, %llu refused (",
        (unsigned long long)s->seed, (unsigned long long)s->ops, (unsigned long long)s->blocks,
        (unsigned long long)s->taken, (unsigned long long)s->refused);
    for (unsigned code = 1; code < 16; code++)
        if (s->by_code[code] > 0)
            printf("%s %llu ", chq_err_string((enum chq_err)code), (unsigned long long)s->by_code[code]);
    printf("); %u channels; conserved in every block; state root %s\n", s->model->channels_count, text);
    if (s->root != NULL && strcmp(s->root, text) != 0)
        violation(s, "the state root is not %s: this build computes something else", s->root);
    chq_state_free(s->state);
    chq_writer_free(&s->batch);
    chq_writer_free(&s->replay);
    free(s->model);
}

int main(int argc, char **argv)
{
    static struct sim s;
    uint64_t ops = 1000000, reloads = 0;
    s.seed = 1;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--must-fail") == 0)
            s.must_fail = true;
        else if (strcmp(argv[i], "--ops") == 0 && i + 1 < argc)
            ops = strtoull(argv[++i], NULL, 10);
        else if (strcmp(argv[i], "--seed") == 0 && i + 1 < argc)
            s.seed = strtoull(argv[++i], NULL, 10);
        else if (strcmp(argv[i], "--root") == 0 && i + 1 < argc)
            s.root = argv[++i];
        else
            return fprintf(stderr, "usage: sim_ledger [--ops N] [--seed N] [--must-fail] [--root HEX]\n"), 2;
    }
    if (chq_crypto_init() != CHQ_OK)
        return 2;
    start(&s);
    while (s.ops < ops) {
        random_block(&s);
        if (s.ops > (reloads + 1) * (ops / 6)) {
            reloads++;
            check_all(&s);
            reload(&s);
        }
    }
    finish(&s);
    if (s.must_fail)
        printf("nothing was caught, but a rule is broken\n");
    return s.must_fail ? 1 : 0;
}
