/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CHQ_LEDGER_STATE_STATE_H
#define CHQ_LEDGER_STATE_STATE_H

#include "core/wire/batch.h"
#include "core/wire/genesis.h"
#include "core/wire/record.h"
#include "ledger/state/table.h"

/*
 * The ledger's deterministic machine (docs/protocol.md section 5): blocks of batches in, results and a state root out.
 * Integers only, no I/O, no clock. One block at a time:
 *
 *   begin -> apply, apply, ... -> seal -> (the engine makes the block durable) -> commit
 *
 * or rollback at any point before commit. A batch that fails leaves no trace. Not thread-safe.
 */
struct chq_state;

#define CHQ_STATE_REASON_BYTES  160
#define CHQ_HANDLE_COMMIT_MAX_S (24 * 3600)
#define CHQ_CHANNEL_LIFE_MAX_S  (366ull * 24 * 3600)

/* How a batch's signature stands. */
enum chq_state_trust {
    CHQ_STATE_CHECK = 0, /* check it now */
    CHQ_STATE_CHECKED_WITH, /* it was checked outside with `key`: look only whether that is the signer's key now */
    CHQ_STATE_OWN_JOURNAL /* this state took the batch before: it is read back from a checksummed journal */
};

struct chq_state_batch {
    struct chq_bytes signed_batch; /* Signed container */
    enum chq_state_trust trust;
    uint8_t key[32];
};

struct chq_state_result {
    enum chq_err err;
    uint32_t operation; /* which one failed, from 0; UINT32_MAX: the batch itself */
    char reason
        [CHQ_STATE_REASON_BYTES]; /* for people: what is wrong and what would be right; empty when fine */
};

struct chq_state_totals {
    uint64_t issued_micro, balances_micro, deposits_micro;
};

/* Called by commit for every record that changed, once, in the order of kinds; `value` is borrowed. */
struct chq_state_sink {
    void (*changed)(void *context, enum chq_record_kind kind, uint32_t slot, const uint8_t key[32],
        struct chq_bytes value);
    void *context;
};

/*
 * Make an empty state of a chain. `memory` NULL: malloc. `seed` is a random number that protects the tables against
 * chosen keys; it changes no result. The genesis is copied. Then either chq_state_start, or chq_state_load of every
 * record and chq_state_load_end.
 */
CHQ_MUST_CHECK enum chq_err chq_state_new(struct chq_state **out, const struct chq_genesis *genesis,
    const struct chq_memory *memory, uint64_t seed);
void chq_state_free(struct chq_state *state); /* NULL is fine */

/* Make the state at height 0: the issuer's account. `sink` may be NULL; it is told of that record. */
CHQ_MUST_CHECK enum chq_err chq_state_start(struct chq_state *state, const struct chq_state_sink *sink);

/*
 * Put one record of a snapshot back: kinds rising, slots of a kind rising from 0. CHQ_MALFORMED when it cannot
 * belong to a state.
 */
CHQ_MUST_CHECK enum chq_err chq_state_load(
    struct chq_state *state, enum chq_record_kind kind, const uint8_t key[32], struct chq_bytes value);
/* End loading at `height`. CHQ_MALFORMED when credit is not conserved or records do not fit each other. */
CHQ_MUST_CHECK enum chq_err chq_state_load_end(
    struct chq_state *state, uint64_t height, uint64_t time_s, uint64_t issued_micro);

/* Start a block. CHQ_STATE: not the next height, or a time before the last block's. */
CHQ_MUST_CHECK enum chq_err chq_state_begin(struct chq_state *state, uint64_t height, uint64_t time_s);
/* Apply one batch; returns result->err. */
CHQ_MUST_CHECK enum chq_err chq_state_apply(
    struct chq_state *state, const struct chq_state_batch *batch, struct chq_state_result *result);
/*
 * Check conservation over the block and get all memory that commit needs. CHQ_STATE: credit is not conserved, which
 * is a bug of ours; the block must not become real. CHQ_NO_MEMORY. On error only rollback is left.
 */
CHQ_MUST_CHECK enum chq_err chq_state_seal(struct chq_state *state);
/* Make the sealed block real and compute the root. Cannot fail. `sink` may be NULL. */
void chq_state_commit(struct chq_state *state, const struct chq_state_sink *sink);
/* Forget the block. */
void chq_state_rollback(struct chq_state *state);

/* The state root after the last committed block. */
void chq_state_root(const struct chq_state *state, uint8_t out[32]);
uint64_t chq_state_height(const struct chq_state *state);
uint64_t chq_state_time_s(const struct chq_state *state);
uint32_t chq_state_count(const struct chq_state *state, enum chq_record_kind kind);
struct chq_state_totals chq_state_totals(const struct chq_state *state);

/* Sum everything anew, in O(records), and return whether issued = balances + deposits and the totals are these. */
bool chq_state_conserves(const struct chq_state *state);

/* Append a record's value and return true; false: there is none. Between blocks only. */
bool chq_state_get(const struct chq_state *state, enum chq_record_kind kind, const uint8_t key[32],
    struct chq_writer *value);
/* Like chq_state_get, and append the proof (core/wire/proof.h) of presence or absence. */
bool chq_state_prove(const struct chq_state *state, enum chq_record_kind kind, const uint8_t key[32],
    struct chq_writer *value, struct chq_writer *proof);
/* Append the value of the record in a slot, and give its key; false: no such slot. For snapshots and checks. */
bool chq_state_at(const struct chq_state *state, enum chq_record_kind kind, uint32_t slot, uint8_t key[32],
    struct chq_writer *value);

#endif
