/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CHQ_LEDGER_STATE_INTERNAL_H
#define CHQ_LEDGER_STATE_INTERNAL_H

#include "ledger/state/state.h"

/* Rows as they lie in the tables. References to other rows are slots + 1, 0 for none. */
struct account_row {
    uint8_t root_key[32], next_key_hash[32];
    uint64_t balance_micro, nonce;
    uint32_t handle; /* in handles */
    uint32_t commit; /* in commits */
};

struct handle_row {
    uint64_t since_height;
    uint32_t account; /* 0 only while a snapshot loads */
    uint8_t size;
    char text[CHQ_HANDLE_CHARS_MAX];
};

/* Values kept as their bytes: device lists and relay records. */
struct blob_row {
    uint8_t *data;
    size_t size;
};

struct channel_row {
    uint64_t deposit_micro, price_micro, quantum_bytes, expiry_s;
    uint8_t last_token[32], attach_key[32];
    uint32_t last_index, tokens;
    uint32_t payer, payee; /* in accounts */
    uint8_t state; /* enum chq_channel_state */
};

/* An open handle commit, by account id; proved as part of the account's record. */
struct commit_row {
    uint8_t commitment[32];
    uint64_t height, time_s;
};

/* Tables: the record kinds by number, and the commits, which have no tree of their own. */
enum { TABLE_COMMITS = CHQ_RECORD_KINDS + 1, TABLES };

/* A row as it was before it was touched; lies in the undo arena. */
struct undo {
    size_t at; /* of the copy, in the arena */
    uint32_t slot;
    uint8_t table;
    bool added; /* there was no such row: pop it */
};

struct chq_state {
    struct chq_memory memory;
    struct chq_genesis genesis;
    uint8_t issuer[32];
    struct chq_table tables[TABLES]; /* [0] is not used */
    struct chq_state_totals totals; /* as of the last commit */
    uint64_t height, time_s;
    uint8_t root[32];

    bool in_block, sealed;
    uint64_t block_height, block_time_s;
    uint64_t block_issued_micro; /* by this block's batches */
    struct chq_state_totals block_totals; /* set by seal */
    uint32_t stamp; /* of the batch: rows with it are in the undo list already */
    struct undo *undo;
    size_t undo_count, undo_cap;
    uint8_t *arena;
    size_t arena_size, arena_cap;
    uint32_t *dirty[TABLES]; /* slots that changed, set by seal */
    size_t dirty_count[TABLES], dirty_cap[TABLES];
};

/* What every operation gets. */
struct apply {
    struct chq_state *state;
    const struct chq_batch *batch;
    uint32_t signer; /* account slot */
    uint32_t index; /* of the operation */
    struct chq_state_result *result;
};

/* Note an error with a reason for people and return it. */
__attribute__((format(printf, 3, 4))) enum chq_err chq_state_refuse(
    struct apply *a, enum chq_err err, const char *format, ...);

/* Save a row for rollback, once a batch, and return it for change; NULL when there is no memory. */
void *chq_state_touch(struct chq_state *state, unsigned table, uint32_t slot);
/* Add a row and return it for change; it holds until the next add to the table. */
CHQ_MUST_CHECK enum chq_err chq_state_add(
    struct chq_state *state, unsigned table, const uint8_t key[32], uint32_t *slot, void **row);
/* Put a copy of `value` into a blob row that was touched or added; the old bytes live on in the undo list. */
CHQ_MUST_CHECK enum chq_err chq_state_set_blob(
    struct chq_state *state, struct blob_row *row, struct chq_bytes value);

static inline struct account_row *account_at(const struct chq_state *state, uint32_t slot)
{
    return chq_table_row(&state->tables[CHQ_RECORD_ACCOUNT], slot);
}

static inline struct channel_row *channel_at(const struct chq_state *state, uint32_t slot)
{
    return chq_table_row(&state->tables[CHQ_RECORD_CHANNEL], slot);
}

/* What a channel still holds: deposit less what was settled, 0 when closed. */
static inline uint64_t channel_rest(const struct channel_row *c)
{
    return c->state == CHQ_CHANNEL_CLOSED ? 0 : c->deposit_micro - c->last_index * c->price_micro;
}

/* Append the value of the record in a slot. */
void chq_state_encode(
    const struct chq_state *state, enum chq_record_kind kind, uint32_t slot, struct chq_writer *w);
/* Where the record of a slot stands in a snapshot: with its account for handles, in its slot otherwise. */
uint32_t chq_state_place(const struct chq_state *state, enum chq_record_kind kind, uint32_t slot);
/* Make the account of an inception. CHQ_EXISTS, CHQ_NO_MEMORY, CHQ_LIMIT. */
CHQ_MUST_CHECK enum chq_err chq_state_add_account(
    struct chq_state *state, const struct chq_inception *inception, uint32_t *slot);
/* Apply one operation (not create). */
CHQ_MUST_CHECK enum chq_err chq_state_operate(struct apply *a, const struct chq_operation *op);
/* Check and apply a whole batch; on error the caller takes back what was done. */
CHQ_MUST_CHECK enum chq_err chq_state_apply_batch(
    struct chq_state *state, const struct chq_state_batch *batch, struct chq_state_result *result);
CHQ_MUST_CHECK enum chq_err chq_state_operate_channel(struct apply *a, const struct chq_operation *op);
/* Compute the root over the chain record and the kinds' trees. */
void chq_state_compute_root(struct chq_state *state);
void chq_state_roots(const struct chq_state *state, uint8_t roots[CHQ_RECORD_KINDS][32],
    struct chq_writer *chain, struct chq_bytes leaves[1 + CHQ_RECORD_KINDS]);

#endif
