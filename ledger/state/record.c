/* SPDX-License-Identifier: Apache-2.0 */
/* Rows to records and back: values, proofs, snapshots. */
#include "core/wire/record.h"

#include <string.h>

#include "core/base/assert.h"
#include "core/wire/proof.h"
#include "ledger/state/internal.h"

static void encode_account(const struct chq_state *s, uint32_t slot, struct chq_writer *w)
{
    const struct account_row *row = account_at(s, slot);
    struct chq_account_record record = {.nonce = row->nonce, .balance_micro = row->balance_micro};
    memcpy(record.root_key, row->root_key, 32);
    memcpy(record.next_key_hash, row->next_key_hash, 32);
    if (row->handle != 0) {
        const struct handle_row *handle = chq_table_row(&s->tables[CHQ_RECORD_HANDLE], row->handle - 1);
        record.handle = chq_bytes(handle->text, handle->size);
    }
    if (row->commit != 0) {
        const struct commit_row *commit = chq_table_row(&s->tables[TABLE_COMMITS], row->commit - 1);
        record.has_commit = true;
        memcpy(record.commitment, commit->commitment, 32);
        record.commit_height = commit->height;
        record.commit_s = commit->time_s;
    }
    chq_account_record_put(w, &record);
}

static void encode_handle(const struct chq_state *s, uint32_t slot, struct chq_writer *w)
{
    const struct handle_row *row = chq_table_row(&s->tables[CHQ_RECORD_HANDLE], slot);
    struct chq_handle_record record = {.since_height = row->since_height};
    memcpy(record.account, s->tables[CHQ_RECORD_ACCOUNT].keys[row->account - 1], 32);
    chq_handle_record_put(w, &record);
}

static void encode_channel(const struct chq_state *s, uint32_t slot, struct chq_writer *w)
{
    const struct channel_row *row = channel_at(s, slot);
    struct chq_channel_record record = {.number = slot,
        .deposit_micro = row->deposit_micro,
        .last_index = row->last_index,
        .tokens = row->tokens,
        .price_micro = row->price_micro,
        .quantum_bytes = row->quantum_bytes,
        .expiry_s = row->expiry_s,
        .state = (enum chq_channel_state)row->state};
    memcpy(record.payer, s->tables[CHQ_RECORD_ACCOUNT].keys[row->payer - 1], 32);
    memcpy(record.payee, s->tables[CHQ_RECORD_ACCOUNT].keys[row->payee - 1], 32);
    memcpy(record.last_token, row->last_token, 32);
    memcpy(record.attach_key, row->attach_key, 32);
    chq_channel_record_put(w, &record);
}

void chq_state_encode(
    const struct chq_state *state, enum chq_record_kind kind, uint32_t slot, struct chq_writer *w)
{
    const struct blob_row *blob;
    switch (kind) {
    case CHQ_RECORD_ACCOUNT: encode_account(state, slot, w); return;
    case CHQ_RECORD_HANDLE: encode_handle(state, slot, w); return;
    case CHQ_RECORD_CHANNEL: encode_channel(state, slot, w); return;
    case CHQ_RECORD_DEVICES:
    case CHQ_RECORD_RELAY:
        blob = chq_table_row(&state->tables[kind], slot);
        chq_write_bytes(w, blob->data, blob->size);
        return;
    }
    CHQ_ASSERT(false);
}

uint32_t chq_state_place(const struct chq_state *state, enum chq_record_kind kind, uint32_t slot)
{
    /* A handle's slot changes when a snapshot is loaded; an account has one handle at most and keeps its slot. */
    if (kind == CHQ_RECORD_HANDLE)
        return ((const struct handle_row *)chq_table_row(&state->tables[kind], slot))->account - 1;
    return slot;
}

bool chq_state_get(
    const struct chq_state *state, enum chq_record_kind kind, const uint8_t key[32], struct chq_writer *value)
{
    CHQ_ASSERT(!state->in_block);
    uint32_t slot = chq_table_find(&state->tables[kind], key);
    if (slot != CHQ_SLOT_NONE)
        chq_state_encode(state, kind, slot, value);
    return slot != CHQ_SLOT_NONE;
}

bool chq_state_at(const struct chq_state *state, enum chq_record_kind kind, uint32_t slot, uint8_t key[32],
    struct chq_writer *value)
{
    if (slot >= state->tables[kind].count)
        return false;
    memcpy(key, state->tables[kind].keys[slot], 32);
    chq_state_encode(state, kind, slot, value);
    return true;
}

bool chq_state_prove(const struct chq_state *state, enum chq_record_kind kind, const uint8_t key[32],
    struct chq_writer *value, struct chq_writer *proof)
{
    uint8_t siblings[CHQ_SPARSE_DEPTH_MAX][32], path[CHQ_MERKLE_PATH_MAX][32];
    uint8_t chain_storage[256], roots[CHQ_RECORD_KINDS][32], other_storage[CHQ_RECORD_VALUE_BYTES_MAX];
    struct chq_bytes leaves[CHQ_STATE_LEAVES];
    struct chq_writer chain = chq_writer_fixed(chain_storage, sizeof chain_storage);
    const struct chq_table *table = &state->tables[kind];
    struct chq_proof out;
    CHQ_ASSERT(!state->in_block);
    uint32_t slot = chq_tree_prove(table, key, &out.sparse, siblings);
    bool present = slot != CHQ_SLOT_NONE && memcmp(table->keys[slot], key, 32) == 0;
    if (present) {
        chq_state_encode(state, kind, slot, value);
    } else if (slot != CHQ_SLOT_NONE) {
        struct chq_writer other = chq_writer_fixed(other_storage, sizeof other_storage);
        chq_state_encode(state, kind, slot, &other);
        out.sparse.has_other = true;
        memcpy(out.sparse.other_key, table->keys[slot], 32);
        chq_sha256(out.sparse.other_value_hash, chq_writer_bytes(&other));
    }
    chq_state_roots(state, roots, &chain, leaves);
    size_t length = chq_merkle_path(path, leaves, CHQ_STATE_LEAVES, (size_t)kind);
    out.path = chq_bytes(path, length * 32);
    chq_proof_put(proof, &out);
    return present;
}

static enum chq_err load_account(
    struct chq_state *s, uint32_t slot, const uint8_t key[32], struct chq_bytes value)
{
    struct chq_account_record record;
    struct account_row *row = account_at(s, slot);
    uint8_t handle_key[32];
    uint32_t found;
    CHQ_TRY(chq_account_record_read(value, &record));
    memcpy(row->root_key, record.root_key, 32);
    memcpy(row->next_key_hash, record.next_key_hash, 32);
    row->balance_micro = record.balance_micro;
    row->nonce = record.nonce;
    if (record.handle.size > 0) { /* its row comes now, its record when handles are loaded */
        chq_handle_key(handle_key, record.handle);
        if (chq_table_find(&s->tables[CHQ_RECORD_HANDLE], handle_key) != CHQ_SLOT_NONE)
            return CHQ_MALFORMED;
        CHQ_TRY(chq_table_add(&s->tables[CHQ_RECORD_HANDLE], handle_key, &found));
        struct handle_row *handle = chq_table_row(&s->tables[CHQ_RECORD_HANDLE], found);
        handle->size = (uint8_t)record.handle.size;
        memcpy(handle->text, record.handle.data, record.handle.size);
        row->handle = found + 1;
    }
    if (record.has_commit) {
        CHQ_TRY(chq_table_add(&s->tables[TABLE_COMMITS], key, &found));
        struct commit_row *commit = chq_table_row(&s->tables[TABLE_COMMITS], found);
        memcpy(commit->commitment, record.commitment, 32);
        commit->height = record.commit_height;
        commit->time_s = record.commit_s;
        row->commit = found + 1;
    }
    return CHQ_OK;
}

static enum chq_err load_handle(
    struct chq_state *s, const uint8_t key[32], struct chq_bytes value, uint32_t *slot)
{
    struct chq_handle_record record;
    CHQ_TRY(chq_handle_record_read(value, &record));
    *slot = chq_table_find(&s->tables[CHQ_RECORD_HANDLE], key);
    uint32_t account = chq_table_find(&s->tables[CHQ_RECORD_ACCOUNT], record.account);
    if (*slot == CHQ_SLOT_NONE || account == CHQ_SLOT_NONE || account_at(s, account)->handle != *slot + 1)
        return CHQ_MALFORMED;
    struct handle_row *row = chq_table_row(&s->tables[CHQ_RECORD_HANDLE], *slot);
    if (row->account != 0)
        return CHQ_MALFORMED;
    row->account = account + 1;
    row->since_height = record.since_height;
    return CHQ_OK;
}

static enum chq_err load_channel(struct chq_state *s, uint32_t slot, struct chq_bytes value)
{
    struct chq_channel_record record;
    struct channel_row *row = channel_at(s, slot);
    CHQ_TRY(chq_channel_record_read(value, &record));
    uint32_t payer = chq_table_find(&s->tables[CHQ_RECORD_ACCOUNT], record.payer);
    uint32_t payee = chq_table_find(&s->tables[CHQ_RECORD_ACCOUNT], record.payee);
    if (record.number != slot || payer == CHQ_SLOT_NONE || payee == CHQ_SLOT_NONE)
        return CHQ_MALFORMED;
    *row = (struct channel_row){.deposit_micro = record.deposit_micro,
        .price_micro = record.price_micro,
        .quantum_bytes = record.quantum_bytes,
        .expiry_s = record.expiry_s,
        .last_index = (uint32_t)record.last_index,
        .tokens = (uint32_t)record.tokens,
        .payer = payer + 1,
        .payee = payee + 1,
        .state = (uint8_t)record.state};
    memcpy(row->last_token, record.last_token, 32);
    memcpy(row->attach_key, record.attach_key, 32);
    return CHQ_OK;
}

enum chq_err chq_state_load(
    struct chq_state *state, enum chq_record_kind kind, const uint8_t key[32], struct chq_bytes value)
{
    struct chq_table *t = &state->tables[kind];
    uint8_t hash[32];
    uint32_t slot = 0;
    if (value.size == 0 || value.size > CHQ_RECORD_VALUE_BYTES_MAX)
        return CHQ_MALFORMED;
    if (kind == CHQ_RECORD_HANDLE) {
        CHQ_TRY(load_handle(state, key, value, &slot));
    } else {
        if (chq_table_find(t, key) != CHQ_SLOT_NONE)
            return CHQ_MALFORMED;
        CHQ_TRY(chq_table_add(t, key, &slot));
        if (kind == CHQ_RECORD_ACCOUNT)
            CHQ_TRY(load_account(state, slot, key, value));
        else if (kind == CHQ_RECORD_CHANNEL)
            CHQ_TRY(load_channel(state, slot, value));
        else
            CHQ_TRY(chq_state_set_blob(state, chq_table_row(t, slot), value));
    }
    chq_sha256(hash, value);
    chq_sparse_leaf(t->leaf_hashes[slot], key, hash);
    return CHQ_OK;
}

static enum chq_err load_tree(struct chq_state *state, unsigned kind)
{
    struct chq_table *t = &state->tables[kind];
    CHQ_TRY(chq_memory_grow(&state->memory, (void **)&state->dirty[kind], &state->dirty_cap[kind],
        sizeof **state->dirty, t->count));
    for (uint32_t slot = 0; slot < t->count; slot++)
        state->dirty[kind][slot] = slot;
    CHQ_TRY(chq_tree_reserve(t, state->dirty[kind], t->count));
    chq_tree_update(t, state->dirty[kind], t->count);
    return CHQ_OK;
}

enum chq_err chq_state_load_end(
    struct chq_state *state, uint64_t height, uint64_t time_s, uint64_t issued_micro)
{
    const struct chq_table *handles = &state->tables[CHQ_RECORD_HANDLE];
    for (uint32_t slot = 0; slot < handles->count; slot++)
        if (((const struct handle_row *)chq_table_row(handles, slot))->account == 0)
            return CHQ_MALFORMED;
    if (chq_table_find(&state->tables[CHQ_RECORD_ACCOUNT], state->issuer) == CHQ_SLOT_NONE)
        return CHQ_MALFORMED;
    for (unsigned kind = 1; kind <= CHQ_RECORD_KINDS; kind++)
        CHQ_TRY(load_tree(state, kind));
    state->tables[TABLE_COMMITS].leaves = state->tables[TABLE_COMMITS].count;
    for (uint32_t slot = 0; slot < chq_state_count(state, CHQ_RECORD_ACCOUNT); slot++)
        state->totals.balances_micro += account_at(state, slot)->balance_micro;
    for (uint32_t slot = 0; slot < chq_state_count(state, CHQ_RECORD_CHANNEL); slot++)
        state->totals.deposits_micro += channel_rest(channel_at(state, slot));
    state->totals.issued_micro = issued_micro;
    if (!chq_state_conserves(state))
        return CHQ_MALFORMED;
    state->height = height;
    state->time_s = time_s;
    chq_state_compute_root(state);
    return CHQ_OK;
}
