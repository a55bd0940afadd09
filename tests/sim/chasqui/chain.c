/* SPDX-License-Identifier: Apache-2.0 */
/* A ledger of one validator over ledger/state: every batch is a block; the journal is its disk. */
#include <stdlib.h>
#include <string.h>

#include "core/base/assert.h"
#include "core/wire/ledger_frame.h"
#include "core/wire/signed.h"
#include "ledger/light/canonical.h"
#include "tests/sim/chasqui/sim.h"

#define HEADER_FRESH_S 30

static void journal_add(struct sim *s, struct chq_bytes batch)
{
    struct sim_chain *chain = &s->chain;
    if (chain->journal_n == chain->journal_cap) {
        chain->journal_cap = chain->journal_cap * 2 + 64;
        chain->journal = realloc(chain->journal, chain->journal_cap * sizeof *chain->journal);
        chain->journal_times =
            realloc(chain->journal_times, chain->journal_cap * sizeof *chain->journal_times);
        CHQ_ASSERT(chain->journal != NULL && chain->journal_times != NULL);
    }
    chain->journal_times[chain->journal_n] = chq_state_time_s(chain->state);
    chain->journal[chain->journal_n++] = chq_bytes(sim_copy(batch), batch.size);
}

/* Apply one block of one batch (none when empty). Nothing changes when it is refused. */
static enum chq_err block(
    struct sim *s, struct chq_bytes batch, uint64_t time_s, bool replay, char reason[160])
{
    struct chq_state *state = s->chain.state;
    struct chq_state_result result = {0};
    if (time_s < chq_state_time_s(state))
        time_s = chq_state_time_s(state);
    enum chq_err err = chq_state_begin(state, chq_state_height(state) + 1, time_s);
    CHQ_ASSERT(err == CHQ_OK);
    if (batch.size > 0) {
        struct chq_state_batch in = {
            .signed_batch = batch, .trust = replay ? CHQ_STATE_OWN_JOURNAL : CHQ_STATE_CHECK};
        err = chq_state_apply(state, &in, &result);
    }
    if (reason != NULL)
        memcpy(reason, result.reason, sizeof result.reason);
    if (err != CHQ_OK) {
        chq_state_rollback(state);
        return err;
    }
    err = chq_state_seal(state);
    CHQ_ASSERT(err == CHQ_OK);
    chq_state_commit(state, NULL);
    if (!replay) {
        journal_add(s, batch);
        oracle_block(s);
    }
    return CHQ_OK;
}

static void new_state(struct sim *s)
{
    enum chq_err err = chq_state_new(&s->chain.state, &s->chain.genesis, NULL, 1);
    CHQ_ASSERT(err == CHQ_OK);
    err = chq_state_start(s->chain.state, NULL);
    CHQ_ASSERT(err == CHQ_OK);
}

void chain_init(struct sim *s)
{
    struct sim_chain *chain = &s->chain;
    uint8_t entropy[32], seed[32];
    chq_random_fill(&s->random, entropy, sizeof entropy);
    chq_random_fill(&s->random, seed, sizeof seed);
    chq_account_from_entropy(&chain->issuer, entropy);
    chq_sign_pair_from_seed(&chain->validator, seed);
    chain->genesis = (struct chq_genesis){.chain_id = SIM_CHAIN,
        .time_s = SIM_START_S,
        .issuer = chain->issuer.inception,
        .validators_count = 1,
        .supply_max_micro = UINT64_C(1000000000000),
        .channel_grace_s = CHQ_CHANNEL_GRACE_S_DEFAULT};
    memcpy(chain->genesis.validators[0].key, chain->validator.public_key, 32);
    chain->genesis.validators[0].power = 1;
    new_state(s);
    chain->up = true;
}

void chain_free(struct sim *s)
{
    for (uint32_t i = 0; i < s->chain.journal_n; i++)
        free((void *)(uintptr_t)s->chain.journal[i].data);
    free(s->chain.journal);
    free(s->chain.journal_times);
    free(s->chain.header);
    chq_state_free(s->chain.state);
}

void chain_crash(struct sim *s)
{
    struct sim_chain *chain = &s->chain;
    if (!chain->up)
        return;
    sim_log(s, "ledger crashes at height %llu", (unsigned long long)chq_state_height(chain->state));
    chain->up = false;
    chain->epoch++;
    if (s->options.mutation == MUTATION_LEDGER_FORGETS && chain->journal_n > 0) {
        chain->journal_n--;
        free((void *)(uintptr_t)chain->journal[chain->journal_n].data);
    }
    sim_at(s, 1000000 + sim_below(s, 3000000), EVENT_CHAIN_START, 0, 0);
}

void chain_start(struct sim *s)
{
    struct sim_chain *chain = &s->chain;
    chq_state_free(chain->state);
    new_state(s);
    chain->header_height = 0;
    for (uint32_t i = 0; i < chain->journal_n; i++) {
        enum chq_err err = block(s, chain->journal[i], chain->journal_times[i], true, NULL);
        CHQ_ASSERT(err == CHQ_OK);
    }
    chain->up = true;
    sim_log(s, "ledger is back at height %llu", (unsigned long long)chq_state_height(chain->state));
    oracle_block(s);
}

enum chq_err chain_submit(struct sim *s, struct chq_bytes signed_batch, char reason[160])
{
    reason[0] = 0;
    return s->chain.up ? block(s, signed_batch, sim_unix_ms(s) / 1000, false, reason) : CHQ_IO;
}

enum chq_err chain_batch(struct sim *s, const struct chq_account *signer,
    const struct chq_operation *operations, size_t count, char reason[160])
{
    struct chq_account_record record = {0};
    struct chq_batch batch = {.chain_id = chq_bytes_text(SIM_CHAIN)};
    (void)chain_account(s, signer->id, &record);
    batch.nonce = record.nonce;
    memcpy(batch.signer, signer->id, 32);
    struct chq_writer body = chq_writer_heap(CHQ_BATCH_BYTES_MAX), w = chq_writer_heap(CHQ_BATCH_BYTES_MAX);
    chq_batch_put(&body, &batch, operations, count);
    chq_signed_write(&w, &signer->root, CHQ_BATCH_DOMAIN, chq_writer_bytes(&body));
    CHQ_ASSERT(w.err == CHQ_OK);
    enum chq_err err = chain_submit(s, chq_writer_bytes(&w), reason);
    chq_writer_free(&body);
    chq_writer_free(&w);
    return err;
}

bool chain_account(struct sim *s, const uint8_t id[32], struct chq_account_record *out)
{
    uint8_t storage[CHQ_RECORD_VALUE_BYTES_MAX];
    struct chq_writer w = chq_writer_fixed(storage, sizeof storage);
    bool there = chq_state_get(s->chain.state, CHQ_RECORD_ACCOUNT, id, &w) &&
                 chq_account_record_read(chq_writer_bytes(&w), out) == CHQ_OK;
    out->handle = (struct chq_bytes){0};
    return there;
}

bool chain_channel(struct sim *s, const uint8_t id[32], struct chq_channel_record *out)
{
    uint8_t storage[CHQ_RECORD_VALUE_BYTES_MAX];
    struct chq_writer w = chq_writer_fixed(storage, sizeof storage);
    return chq_state_get(s->chain.state, CHQ_RECORD_CHANNEL, id, &w) &&
           chq_channel_record_read(chq_writer_bytes(&w), out) == CHQ_OK;
}

static void make_header(struct sim *s)
{
    struct sim_chain *chain = &s->chain;
    uint64_t now_s = sim_unix_ms(s) / 1000;
    bool old = chain->header_s + HEADER_FRESH_S < now_s;
    if (!old && chain->header_height == chq_state_height(chain->state) + 1)
        return;
    if (old)
        (void)block(s, (struct chq_bytes){0}, now_s, false, NULL);
    uint8_t root[32], set_hash[32], hash[32], storage[CHQ_VOTE_SIGN_BYTES_MAX];
    struct chq_validator set[1];
    memcpy(set, chain->genesis.validators, sizeof set);
    chq_validators_sort(set, 1);
    chq_validators_hash(set_hash, set, 1);
    chq_state_root(chain->state, root);
    struct chq_signed_header *sh = sim_alloc(sizeof *sh);
    sh->header = (struct chq_header){.chain_id = chq_bytes_text(SIM_CHAIN),
        .height = chq_state_height(chain->state) + 1,
        .time = {.s = (int64_t)now_s},
        .validators_hash = chq_bytes(set_hash, 32),
        .app_hash = chq_bytes(root, 32)};
    chq_header_hash(hash, &sh->header);
    sh->parts_total = 1;
    sh->votes_count = 1;
    chq_validator_address(sh->votes[0].validator, chain->validator.public_key);
    sh->votes[0].time = sh->header.time;
    struct chq_writer sign = chq_writer_fixed(storage, sizeof storage), w = chq_writer_heap(65536);
    const struct chq_block_id id = {chq_bytes(hash, 32), 1, chq_bytes(sh->parts_hash, 32)};
    chq_vote_sign_bytes_put(
        &sign, CHQ_PRECOMMIT, sh->header.height, 0, &id, sh->votes[0].time, sh->header.chain_id);
    chq_ed25519_sign(sh->votes[0].signature, &chain->validator, chq_writer_bytes(&sign));
    chq_signed_header_put(&w, sh);
    CHQ_ASSERT(w.err == CHQ_OK);
    free(chain->header);
    chain->header = sim_copy(chq_writer_bytes(&w));
    chain->header_size = w.size;
    chain->header_height = sh->header.height;
    chain->header_s = now_s;
    chq_writer_free(&w);
    free(sh);
}

uint8_t *chain_answer(struct sim *s, struct chq_bytes bytes, size_t *size)
{
    struct chq_ledger_request request;
    struct chq_ledger_reply reply = {0};
    struct chq_writer value = chq_writer_heap(65536), proof = chq_writer_heap(65536);
    struct chq_writer w = chq_writer_heap(CHQ_LEDGER_FRAME_BYTES_MAX);
    char reason[160] = "";
    enum chq_err err = chq_ledger_request_read(bytes, &request);
    CHQ_ASSERT(err == CHQ_OK && s->chain.up);
    reply.type = request.type;
    if (request.type == CHQ_LEDGER_SUBMIT) {
        reply.err = chain_submit(s, request.signed_batch, reason);
        reply.reason = chq_bytes_text(reason);
        reply.height = chq_state_height(s->chain.state);
    } else {
        make_header(s);
        reply.present = chq_state_prove(s->chain.state, request.kind, request.key, &value, &proof);
        reply.value = chq_writer_bytes(&value);
        reply.proof = chq_writer_bytes(&proof);
        reply.signed_header = chq_bytes(s->chain.header, s->chain.header_size);
    }
    chq_ledger_reply_put(&w, &reply);
    CHQ_ASSERT(w.err == CHQ_OK);
    uint8_t *out = sim_copy(chq_writer_bytes(&w));
    *size = w.size;
    chq_writer_free(&value);
    chq_writer_free(&proof);
    chq_writer_free(&w);
    return out;
}
