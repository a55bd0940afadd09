/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CHQ_LEDGER_ENGINE_SNAPSHOT_H
#define CHQ_LEDGER_ENGINE_SNAPSHOT_H

#include "core/base/log.h"
#include "core/wire/record.h"
#include "ledger/engine/journal.h"

/*
 * The snapshot: the records of one height in SQLite, kept up by a thread of its own, off the block path. Changes of
 * whole blocks are handed over; the thread writes them in one transaction with the height that they lead to, so what
 * is on disk is always the state after some block. A failed write is logged and tried again with the next one: only
 * the journal decides what is durable.
 */
struct chq_snapshot;

/* What a snapshot stands for. */
struct chq_snapshot_mark {
    uint64_t height, time_s, issued_micro;
    uint8_t root[32];
    uint64_t batches; /* in that block */
    struct chq_bytes signed_header; /* of that block; empty at height 0 */
};

struct chq_snapshot_config {
    const char *path;
    const struct chq_log *log;
    uint8_t genesis_hash[32]; /* another chain's snapshot is refused */
    bool read_only; /* no thread, no writes */
    unsigned delay_ms; /* gather changes this long; 0: 1000 */
};

/* Called for every record, kinds rising, slots rising. */
struct chq_snapshot_reader {
    enum chq_err (*record)(
        void *context, enum chq_record_kind kind, const uint8_t key[32], struct chq_bytes value);
    void *context;
};

/*
 * Open or make the database. CHQ_IO, CHQ_MALFORMED (corrupted or not a snapshot), CHQ_AUTH (of another chain), with
 * the reason for people.
 */
CHQ_MUST_CHECK enum chq_err chq_snapshot_open(
    struct chq_snapshot **out, const struct chq_snapshot_config *config, char *reason);
/* Write what is left, then close. NULL is fine. */
void chq_snapshot_close(struct chq_snapshot *snapshot);

/*
 * Read all records and the mark; mark->signed_header stays valid until close. CHQ_NOT_FOUND: it is new. Before the
 * first chq_snapshot_end only.
 */
CHQ_MUST_CHECK enum chq_err chq_snapshot_read(struct chq_snapshot *snapshot, struct chq_snapshot_mark *mark,
    const struct chq_snapshot_reader *reader, char *reason);

/* Hand over one changed record of the block in hand. */
void chq_snapshot_put(struct chq_snapshot *snapshot, enum chq_record_kind kind, uint32_t slot,
    const uint8_t key[32], struct chq_bytes value);
/* End the block: all that was put leads to this mark. May wait for the thread when far too much is pending. */
void chq_snapshot_end(struct chq_snapshot *snapshot, const struct chq_snapshot_mark *mark);
/* The height that is durable in the database. */
uint64_t chq_snapshot_height(struct chq_snapshot *snapshot);
/* Wait until all that was ended is durable. CHQ_IO when it cannot be written. */
CHQ_MUST_CHECK enum chq_err chq_snapshot_flush(struct chq_snapshot *snapshot);

#endif
