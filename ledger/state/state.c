/* SPDX-License-Identifier: Apache-2.0 */
/* The life of a state: rows that can be taken back, blocks, conservation, roots. */
#include "ledger/state/state.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/assert.h"
#include "core/wire/cbor.h"
#include "core/wire/proof.h"
#include "ledger/state/internal.h"

static void *resize_malloc(void *context, void *block, size_t size)
{
    (void)context;
    if (size == 0) {
        free(block);
        return NULL;
    }
    return realloc(block, size);
}

enum chq_err chq_state_new(
    struct chq_state **out, const struct chq_genesis *genesis, const struct chq_memory *memory, uint64_t seed)
{
    static const size_t row_bytes[TABLES] = {0, sizeof(struct account_row), sizeof(struct blob_row),
        sizeof(struct handle_row), sizeof(struct blob_row), sizeof(struct channel_row),
        sizeof(struct commit_row)};
    const struct chq_memory standard = {.resize = resize_malloc};
    *out = NULL;
    if (memory == NULL)
        memory = &standard;
    struct chq_state *state = memory->resize(memory->context, NULL, sizeof *state);
    if (state == NULL)
        return CHQ_NO_MEMORY;
    memset(state, 0, sizeof *state);
    state->memory = *memory;
    state->genesis = *genesis;
    chq_inception_account_id(state->issuer, &genesis->issuer);
    for (unsigned t = 1; t < TABLES; t++)
        chq_table_init(&state->tables[t], &state->memory, row_bytes[t], t != TABLE_COMMITS, seed + t);
    *out = state;
    return CHQ_OK;
}

static void release(const struct chq_state *state, void *block)
{
    if (block != NULL)
        (void)state->memory.resize(state->memory.context, block, 0);
}

static bool has_blobs(unsigned table)
{
    return table == CHQ_RECORD_DEVICES || table == CHQ_RECORD_RELAY;
}

void chq_state_free(struct chq_state *state)
{
    if (state == NULL)
        return;
    if (state->in_block)
        chq_state_rollback(state);
    for (unsigned t = 1; t < TABLES; t++) {
        for (uint32_t slot = 0; has_blobs(t) && slot < state->tables[t].count; slot++)
            release(state, ((struct blob_row *)chq_table_row(&state->tables[t], slot))->data);
        chq_table_fini(&state->tables[t]);
        release(state, state->dirty[t]);
    }
    release(state, state->undo);
    release(state, state->arena);
    struct chq_memory memory = state->memory;
    (void)memory.resize(memory.context, state, 0);
}

/* Put the row's present bytes on the undo list. */
static enum chq_err note(struct chq_state *state, unsigned table, uint32_t slot, bool added)
{
    size_t bytes = added ? 0 : state->tables[table].row_bytes;
    CHQ_TRY(chq_memory_grow(
        &state->memory, (void **)&state->undo, &state->undo_cap, sizeof *state->undo, state->undo_count + 1));
    CHQ_TRY(chq_memory_grow(
        &state->memory, (void **)&state->arena, &state->arena_cap, 1, state->arena_size + bytes));
    state->undo[state->undo_count++] =
        (struct undo){.at = state->arena_size, .slot = slot, .table = (uint8_t)table, .added = added};
    if (bytes > 0)
        memcpy(state->arena + state->arena_size, chq_table_row(&state->tables[table], slot), bytes);
    state->arena_size += bytes;
    return CHQ_OK;
}

/* A stamp that no row has. After 2^32 of them all rows are wiped clean, so that none is taken for a new one. */
static void next_stamp(struct chq_state *state)
{
    if (++state->stamp != 0)
        return;
    for (unsigned t = 1; t < TABLES; t++)
        if (state->tables[t].count > 0)
            memset(state->tables[t].stamps, 0, state->tables[t].count * sizeof *state->tables[t].stamps);
    state->stamp = 1;
}

void *chq_state_touch(struct chq_state *state, unsigned table, uint32_t slot)
{
    struct chq_table *t = &state->tables[table];
    CHQ_ASSERT(slot < t->count);
    if (t->stamps[slot] != state->stamp || has_blobs(table)) {
        if (note(state, table, slot, false) != CHQ_OK)
            return NULL;
        t->stamps[slot] = state->stamp;
    }
    return chq_table_row(t, slot);
}

enum chq_err chq_state_add(
    struct chq_state *state, unsigned table, const uint8_t key[32], uint32_t *slot, void **row)
{
    struct chq_table *t = &state->tables[table];
    CHQ_TRY(chq_table_add(t, key, slot));
    enum chq_err err = note(state, table, *slot, true);
    if (err != CHQ_OK) {
        chq_table_pop(t);
        return err;
    }
    t->stamps[*slot] = has_blobs(table) ? 0 : state->stamp;
    *row = chq_table_row(t, *slot);
    return CHQ_OK;
}

enum chq_err chq_state_set_blob(struct chq_state *state, struct blob_row *row, struct chq_bytes value)
{
    uint8_t *copy = state->memory.resize(state->memory.context, NULL, value.size);
    if (copy == NULL)
        return CHQ_NO_MEMORY;
    memcpy(copy, value.data, value.size);
    *row = (struct blob_row){.data = copy, .size = value.size};
    return CHQ_OK;
}

/* Undo down to `mark`, newest first. */
static void take_back(struct chq_state *state, size_t mark)
{
    while (state->undo_count > mark) {
        const struct undo *u = &state->undo[--state->undo_count];
        struct chq_table *t = &state->tables[u->table];
        struct blob_row *row = chq_table_row(t, u->slot);
        const uint8_t *old = state->arena + u->at;
        if (has_blobs(u->table) && (u->added || memcmp(old, row, sizeof *row) != 0))
            release(state, row->data);
        if (u->added)
            chq_table_pop(t);
        else
            memcpy(row, old, t->row_bytes);
        state->arena_size = u->at;
    }
}

enum chq_err chq_state_add_account(
    struct chq_state *state, const struct chq_inception *inception, uint32_t *slot)
{
    uint8_t id[32];
    void *row;
    chq_inception_account_id(id, inception);
    if (chq_table_find(&state->tables[CHQ_RECORD_ACCOUNT], id) != CHQ_SLOT_NONE)
        return CHQ_EXISTS;
    CHQ_TRY(chq_state_add(state, CHQ_RECORD_ACCOUNT, id, slot, &row));
    struct account_row *account = row;
    memcpy(account->root_key, inception->root_key, 32);
    memcpy(account->next_key_hash, inception->next_key_hash, 32);
    return CHQ_OK;
}

enum chq_err chq_state_start(struct chq_state *state, const struct chq_state_sink *sink)
{
    uint32_t slot;
    CHQ_ASSERT(state->height == 0 && state->tables[CHQ_RECORD_ACCOUNT].count == 0);
    state->in_block = true;
    next_stamp(state);
    enum chq_err err = chq_state_add_account(state, &state->genesis.issuer, &slot);
    if (err == CHQ_OK)
        err = chq_state_seal(state);
    if (err != CHQ_OK) {
        chq_state_rollback(state);
        return err;
    }
    state->block_time_s = state->genesis.time_s;
    chq_state_commit(state, sink);
    return CHQ_OK;
}

enum chq_err chq_state_begin(struct chq_state *state, uint64_t height, uint64_t time_s)
{
    CHQ_ASSERT(!state->in_block);
    if (height != state->height + 1 || time_s < state->time_s)
        return CHQ_STATE;
    state->in_block = true;
    state->sealed = false;
    state->block_height = height;
    state->block_time_s = time_s;
    state->block_issued_micro = 0;
    return CHQ_OK;
}

enum chq_err chq_state_apply(
    struct chq_state *state, const struct chq_state_batch *batch, struct chq_state_result *result)
{
    size_t mark = state->undo_count;
    uint64_t issued = state->block_issued_micro;
    CHQ_ASSERT(state->in_block && !state->sealed);
    *result = (struct chq_state_result){.operation = UINT32_MAX};
    next_stamp(state);
    result->err = chq_state_apply_batch(state, batch, result);
    if (result->err != CHQ_OK) {
        take_back(state, mark);
        state->block_issued_micro = issued;
    }
    return result->err;
}

/* What a row, as it was or is, holds of the credit. */
static void count_row(unsigned table, const void *row, uint64_t *balances, uint64_t *deposits)
{
    if (table == CHQ_RECORD_ACCOUNT) /* unsigned sums: they wrap and come back */
        *balances += ((const struct account_row *)row)->balance_micro;
    else if (table == CHQ_RECORD_CHANNEL)
        *deposits += channel_rest(row);
}

/*
 * List the changed slots and compare what their rows held before the block and hold now. The totals come from the
 * rows, not from what the operations meant to do, so an operation that makes or loses credit is seen.
 */
static enum chq_err count_block(struct chq_state *state)
{
    uint64_t balances_old = 0, deposits_old = 0, balances_new = 0, deposits_new = 0;
    next_stamp(state);
    memset(state->dirty_count, 0, sizeof state->dirty_count);
    for (size_t i = 0; i < state->undo_count; i++) {
        const struct undo *u = &state->undo[i];
        struct chq_table *t = &state->tables[u->table];
        if (t->stamps[u->slot] == state->stamp)
            continue; /* only the oldest copy is what was there before the block */
        t->stamps[u->slot] = state->stamp;
        CHQ_TRY(chq_memory_grow(&state->memory, (void **)&state->dirty[u->table], &state->dirty_cap[u->table],
            sizeof **state->dirty, state->dirty_count[u->table] + 1));
        state->dirty[u->table][state->dirty_count[u->table]++] = u->slot;
        if (!u->added)
            count_row(u->table, state->arena + u->at, &balances_old, &deposits_old);
        count_row(u->table, chq_table_row(t, u->slot), &balances_new, &deposits_new);
    }
    state->block_totals =
        (struct chq_state_totals){.issued_micro = state->totals.issued_micro + state->block_issued_micro,
            .balances_micro = state->totals.balances_micro - balances_old + balances_new,
            .deposits_micro = state->totals.deposits_micro - deposits_old + deposits_new};
    return CHQ_OK;
}

static bool totals_agree(const struct chq_state *state, const struct chq_state_totals *t)
{
    return t->issued_micro <= state->genesis.supply_max_micro && t->balances_micro <= t->issued_micro &&
           t->deposits_micro == t->issued_micro - t->balances_micro;
}

enum chq_err chq_state_seal(struct chq_state *state)
{
    CHQ_ASSERT(state->in_block);
    CHQ_TRY(count_block(state));
    if (!totals_agree(state, &state->block_totals))
        return CHQ_STATE;
    for (unsigned t = 1; t <= CHQ_RECORD_KINDS; t++)
        CHQ_TRY(chq_tree_reserve(&state->tables[t], state->dirty[t], state->dirty_count[t]));
    state->sealed = true;
    return CHQ_OK;
}

static void forget_undo(struct chq_state *state)
{
    state->undo_count = 0;
    state->arena_size = 0;
    state->in_block = false;
    state->sealed = false;
    state->block_issued_micro = 0;
}

static void commit_kind(struct chq_state *state, enum chq_record_kind kind, const struct chq_state_sink *sink)
{
    struct chq_table *t = &state->tables[kind];
    uint8_t storage[CHQ_RECORD_VALUE_BYTES_MAX], hash[32];
    for (size_t i = 0; i < state->dirty_count[kind]; i++) {
        uint32_t slot = state->dirty[kind][i];
        struct chq_writer w = chq_writer_fixed(storage, sizeof storage);
#ifdef CHQ_MUTATION_STALE_ROOT
        if (kind == CHQ_RECORD_ACCOUNT && slot < t->leaves && slot % 64 == 63)
            continue;
#endif
        chq_state_encode(state, kind, slot, &w);
        CHQ_ASSERT(chq_writer_finish(&w) == CHQ_OK);
        chq_sha256(hash, chq_writer_bytes(&w));
        chq_sparse_leaf(t->leaf_hashes[slot], t->keys[slot], hash);
        if (sink != NULL)
            sink->changed(
                sink->context, kind, chq_state_place(state, kind, slot), t->keys[slot], chq_writer_bytes(&w));
    }
    chq_tree_update(t, state->dirty[kind], state->dirty_count[kind]);
}

void chq_state_commit(struct chq_state *state, const struct chq_state_sink *sink)
{
    CHQ_ASSERT(state->in_block && state->sealed);
    for (size_t i = 0; i < state->undo_count; i++) { /* blobs that were replaced */
        const struct undo *u = &state->undo[i];
        struct blob_row old;
        if (!has_blobs(u->table) || u->added)
            continue;
        memcpy(&old, state->arena + u->at, sizeof old);
        release(state, old.data);
    }
    for (unsigned kind = 1; kind <= CHQ_RECORD_KINDS; kind++)
        commit_kind(state, (enum chq_record_kind)kind, sink);
    state->tables[TABLE_COMMITS].leaves = state->tables[TABLE_COMMITS].count;
    state->totals = state->block_totals;
    state->height = state->block_height;
    state->time_s = state->block_time_s;
    forget_undo(state);
    chq_state_compute_root(state);
}

void chq_state_rollback(struct chq_state *state)
{
    CHQ_ASSERT(state->in_block);
    take_back(state, 0);
    forget_undo(state);
}

void chq_state_roots(const struct chq_state *state, uint8_t roots[CHQ_RECORD_KINDS][32],
    struct chq_writer *chain, struct chq_bytes leaves[1 + CHQ_RECORD_KINDS])
{
    chq_cbor_put_map(chain, 5);
    chq_cbor_pair_text(chain, 1, chq_bytes_text(state->genesis.chain_id));
    chq_cbor_pair_bytes(chain, 2, state->issuer, sizeof state->issuer);
    chq_cbor_pair_uint(chain, 3, state->genesis.supply_max_micro);
    chq_cbor_pair_uint(chain, 4, state->genesis.channel_grace_s);
    chq_cbor_pair_uint(chain, 5, state->totals.issued_micro);
    CHQ_ASSERT(chq_writer_finish(chain) == CHQ_OK);
    leaves[0] = chq_writer_bytes(chain);
    for (unsigned kind = 1; kind <= CHQ_RECORD_KINDS; kind++) {
        chq_tree_root(&state->tables[kind], roots[kind - 1]);
        leaves[kind] = chq_bytes(roots[kind - 1], 32);
    }
}

void chq_state_compute_root(struct chq_state *state)
{
    uint8_t storage[256], roots[CHQ_RECORD_KINDS][32];
    struct chq_bytes leaves[CHQ_STATE_LEAVES];
    struct chq_writer chain = chq_writer_fixed(storage, sizeof storage);
    chq_state_roots(state, roots, &chain, leaves);
    chq_merkle_root(state->root, leaves, CHQ_STATE_LEAVES);
}

void chq_state_root(const struct chq_state *state, uint8_t out[32])
{
    memcpy(out, state->root, 32);
}

uint64_t chq_state_height(const struct chq_state *state)
{
    return state->height;
}

uint64_t chq_state_time_s(const struct chq_state *state)
{
    return state->time_s;
}

uint32_t chq_state_count(const struct chq_state *state, enum chq_record_kind kind)
{
    return state->tables[kind].count;
}

struct chq_state_totals chq_state_totals(const struct chq_state *state)
{
    return state->totals;
}

bool chq_state_conserves(const struct chq_state *state)
{
    struct chq_state_totals sum = {.issued_micro = state->totals.issued_micro};
    for (unsigned t = 1; t <= CHQ_RECORD_KINDS; t++)
        for (uint32_t slot = 0; slot < state->tables[t].count; slot++)
            count_row(t, chq_table_row(&state->tables[t], slot), &sum.balances_micro, &sum.deposits_micro);
    return totals_agree(state, &sum) && sum.balances_micro == state->totals.balances_micro &&
           sum.deposits_micro == state->totals.deposits_micro;
}
