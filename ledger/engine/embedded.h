/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CHQ_LEDGER_ENGINE_EMBEDDED_H
#define CHQ_LEDGER_ENGINE_EMBEDDED_H

#include "core/base/log.h"
#include "core/crypto/keys.h"
#include "ledger/engine/engine.h"
#include "ledger/state/state.h"

/*
 * The embedded engine: one process, one key. A block when there is work, holding all that waits; an empty block when
 * a proof is asked for that the newest header cannot carry (its app hash is the state before its block) or when that
 * header is older than CHQ_HEADER_REFRESH_S.
 *
 * A chain's folder: genesis.cbor, validator.key (32-byte seed), issuer.key (the same; may be kept elsewhere), lock,
 * snapshot.sqlite, journal-*.
 */
#define CHQ_HEADER_REFRESH_S 30
#define CHQ_MEMPOOL_BATCHES  4096
#define CHQ_MEMPOOL_BYTES    (32u * 1024 * 1024)
#define CHQ_GENESIS_FILE     "genesis.cbor"
#define CHQ_VALIDATOR_FILE   "validator.key"
#define CHQ_ISSUER_FILE      "issuer.key"

struct chq_embedded_config {
    const char *dir;
    const struct chq_log *log;
    const struct chq_journal_disk *disk; /* NULL: the system's */
    size_t segment_bytes; /* of the journal; 0: the default */
    unsigned snapshot_delay_ms; /* 0: the default */
    uint64_t seed; /* random: see chq_state_new */
    bool check; /* read only, and check every signature of what is read: chasqui-ledger verify */
};

/* What chq_embedded_open found. */
struct chq_embedded_report {
    uint64_t snapshot_height, height, replayed_batches;
};

/*
 * Open a chain's folder and make the newest durable state. CHQ_NOT_FOUND: the folder is missing or holds no chain;
 * CHQ_STATE: another process has it; CHQ_MALFORMED: corrupted; CHQ_IO; `reason` (CHQ_ENGINE_REASON_BYTES) says it for
 * people. `report` may be NULL.
 */
CHQ_MUST_CHECK enum chq_err chq_embedded_open(struct chq_engine **out,
    const struct chq_embedded_config *config, struct chq_embedded_report *report, char *reason);

/* The state of an embedded engine, to look at between calls. */
const struct chq_state *chq_embedded_state(const struct chq_engine *engine);
const struct chq_genesis *chq_embedded_genesis(const struct chq_engine *engine);

/* Read DIR/genesis.cbor. CHQ_NOT_FOUND, CHQ_MALFORMED, CHQ_IO with the reason. */
CHQ_MUST_CHECK enum chq_err chq_genesis_load(const char *dir, struct chq_genesis *out, char *reason);
/* Read a key file of DIR (32 bytes, not readable by others). */
CHQ_MUST_CHECK enum chq_err chq_key_load(
    const char *dir, const char *name, uint8_t seed[CHQ_SEED_BYTES], char *reason);
/* Write a new file of DIR, durable, mode 0600. CHQ_EXISTS. */
CHQ_MUST_CHECK enum chq_err chq_file_make(
    const char *dir, const char *name, struct chq_bytes content, char *reason);

#endif
