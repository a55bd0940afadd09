/* SPDX-License-Identifier: Apache-2.0 */
#include "ledger/engine/embedded.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "core/base/assert.h"
#include "core/crypto/hash.h"
#include "ledger/engine/block.h"
#include "ledger/engine/snapshot.h"
#include "ledger/light/light.h"

struct waiting {
    uint64_t ticket;
    uint8_t *data;
    size_t size;
};

struct embedded {
    struct chq_engine engine; /* first */
    struct chq_genesis genesis;
    struct chq_sign_pair *validator; /* locked memory */
    struct chq_state *state;
    struct chq_journal *journal;
    struct chq_snapshot *snapshot;
    struct chq_light *light; /* check only */
    struct chq_log log;
    int lock_fd;
    bool check;
    bool broken; /* read-only from here on */
    char broken_reason[CHQ_ENGINE_REASON_BYTES];
    struct chq_tip tip;
    struct waiting mempool[CHQ_MEMPOOL_BATCHES];
    size_t mempool_count, mempool_bytes;
    struct chq_bytes block_batches[CHQ_BLOCK_BATCHES_MAX];
    struct chq_state_result results[CHQ_MEMPOOL_BATCHES];
    uint64_t replayed;
};

static struct embedded *of(struct chq_engine *engine)
{
    return (struct embedded *)engine;
}

static void note_change(
    void *context, enum chq_record_kind kind, uint32_t slot, const uint8_t key[32], struct chq_bytes value)
{
    chq_snapshot_put(context, kind, slot, key, value);
}

/* Tell the snapshot that all changes so far lead to the state as it is. */
static void mark_snapshot(struct embedded *e)
{
    struct chq_snapshot_mark mark = {.height = chq_state_height(e->state),
        .time_s = chq_state_time_s(e->state),
        .issued_micro = chq_state_totals(e->state).issued_micro,
        .batches = e->tip.batches,
        .signed_header = chq_bytes(e->tip.signed_header, e->tip.signed_header_size)};
    chq_state_root(e->state, mark.root);
    chq_snapshot_end(e->snapshot, &mark);
}

/* Make the sealed block real, and hand its changes to the snapshot. */
static void commit(struct embedded *e, const struct chq_tip *tip)
{
    const struct chq_state_sink sink = {.changed = note_change, .context = e->snapshot};
    chq_state_commit(e->state, e->check ? NULL : &sink);
    e->tip = *tip;
    if (e->check)
        return;
    mark_snapshot(e);
    if (e->journal != NULL) /* NULL while it is replayed */
        chq_journal_forget(e->journal, chq_snapshot_height(e->snapshot));
}

static void go_read_only(struct embedded *e, const char *why)
{
    e->broken = true;
    snprintf(e->broken_reason, sizeof e->broken_reason, "%s", why);
    chq_logf(&e->log, CHQ_LOG_ERROR, "read-only from here on: %s", why);
}

/*
 * Seal, sign and store the block that is in the state, then commit it. On error the block is rolled back; unless it
 * was only memory that was missing, the engine is read-only.
 */
static enum chq_err finish_block(struct embedded *e, const struct chq_tip *next, size_t count)
{
    char reason[CHQ_ENGINE_REASON_BYTES] = "";
    struct chq_writer w = chq_writer_heap(CHQ_BLOCK_BYTES_MAX + 64 * 1024);
    enum chq_err err = chq_state_seal(e->state);
    if (err == CHQ_STATE)
        go_read_only(
            e, "a block would not have conserved credit, which is a bug of this program; it was refused");
    if (err == CHQ_OK) {
        chq_block_put(&w, chq_bytes(next->signed_header, next->signed_header_size), e->block_batches, count);
        err = chq_writer_finish(&w);
    }
    if (err == CHQ_OK) {
        err = chq_journal_append(e->journal, next->height, chq_writer_bytes(&w), reason);
        if (err == CHQ_IO)
            go_read_only(e, reason);
    }
    chq_writer_free(&w);
    if (err == CHQ_OK)
        commit(e, next);
    else
        chq_state_rollback(e->state);
    return err;
}

/* The header of the block after the tip over what is in block_batches. */
static enum chq_err make_tip(struct embedded *e, struct chq_tip *next, size_t count, struct chq_time time)
{
    uint8_t root[32];
    chq_state_root(e->state, root);
    return chq_tip_make(next, &e->tip, &e->genesis, root, e->block_batches, count, time, e->validator);
}

static enum chq_err seal_empty_block(struct embedded *e, uint64_t now_us)
{
    struct chq_time time = chq_tip_next_time(&e->tip, &e->genesis, now_us);
    struct chq_tip next;
    if (e->broken)
        return CHQ_IO;
    CHQ_TRY(make_tip(e, &next, 0, time));
    CHQ_TRY(chq_state_begin(e->state, next.height, (uint64_t)time.s));
    return finish_block(e, &next, 0);
}

/* ---- calls ---- */

static enum chq_err submit(
    struct chq_engine *engine, uint64_t ticket, struct chq_bytes signed_batch, char *reason)
{
    struct embedded *e = of(engine);
    if (e->broken) {
        snprintf(reason, CHQ_ENGINE_REASON_BYTES, "%s", e->broken_reason);
        return CHQ_IO;
    }
    if (e->mempool_count >= CHQ_MEMPOOL_BATCHES || e->mempool_bytes + signed_batch.size > CHQ_MEMPOOL_BYTES) {
        snprintf(reason, CHQ_ENGINE_REASON_BYTES, "too many batches are waiting: try again later");
        return CHQ_LIMIT;
    }
    uint8_t *copy = malloc(signed_batch.size + 1);
    if (copy == NULL)
        return CHQ_NO_MEMORY;
    if (signed_batch.size > 0)
        memcpy(copy, signed_batch.data, signed_batch.size);
    e->mempool[e->mempool_count++] = (struct waiting){ticket, copy, signed_batch.size};
    e->mempool_bytes += signed_batch.size;
    return CHQ_OK;
}

/* Apply waiting batches until the block is full; return how many were looked at, *count: how many are in it. */
static size_t fill_block(struct embedded *e, size_t *count)
{
    size_t bytes = 0, i;
    *count = 0;
    for (i = 0; i < e->mempool_count; i++) {
        struct chq_state_batch batch = {.signed_batch = chq_bytes(e->mempool[i].data, e->mempool[i].size)};
        if (bytes + batch.signed_batch.size > CHQ_BLOCK_BYTES_MAX)
            break;
        if (chq_state_apply(e->state, &batch, &e->results[i]) != CHQ_OK)
            continue;
        bytes += batch.signed_batch.size + 8;
        e->block_batches[(*count)++] = batch.signed_batch;
    }
    return i;
}

static void tell(struct embedded *e, size_t looked, enum chq_err block_err, uint64_t height,
    const struct chq_engine_outcomes *outcomes)
{
    for (size_t i = 0; i < looked; i++) {
        char text[CHQ_STATE_REASON_BYTES + 64] = "";
        struct chq_engine_outcome outcome = {
            .ticket = e->mempool[i].ticket, .err = e->results[i].err, .reason = text};
        if (outcome.err == CHQ_OK && block_err == CHQ_OK) {
            outcome.height = height;
        } else if (outcome.err == CHQ_OK) {
            outcome.err = block_err;
            outcome.reason = e->broken ? e->broken_reason : "the ledger is out of memory: try again later";
        } else if (e->results[i].operation != UINT32_MAX) {
            snprintf(text, sizeof text, "operation %" PRIu32 ": %s", e->results[i].operation,
                e->results[i].reason);
        } else {
            snprintf(text, sizeof text, "%s", e->results[i].reason);
        }
        outcomes->outcome(outcomes->context, &outcome);
        e->mempool_bytes -= e->mempool[i].size;
        free(e->mempool[i].data);
    }
    memmove(e->mempool, e->mempool + looked, (e->mempool_count - looked) * sizeof *e->mempool);
    e->mempool_count -= looked;
}

static bool tick(struct chq_engine *engine, uint64_t now_us, const struct chq_engine_outcomes *outcomes)
{
    struct embedded *e = of(engine);
    struct chq_tip next = {0};
    size_t count = 0, looked = e->mempool_count;
    enum chq_err err = CHQ_IO;
    if (e->mempool_count == 0)
        return false;
    memset(e->results, 0, e->mempool_count * sizeof *e->results);
    if (!e->broken) {
        struct chq_time time = chq_tip_next_time(&e->tip, &e->genesis, now_us);
        err = chq_state_begin(e->state, chq_state_height(e->state) + 1, (uint64_t)time.s);
        CHQ_ASSERT(err == CHQ_OK);
        looked = fill_block(e, &count);
        err = count > 0 ? make_tip(e, &next, count, time) : CHQ_OK;
        if (count == 0 || err != CHQ_OK)
            chq_state_rollback(e->state);
        else
            err = finish_block(e, &next, count);
    }
    tell(e, looked, err, next.height, outcomes);
    return e->mempool_count > 0;
}

/* Make sure that the newest header can carry a proof of the state, and is fresh. */
static enum chq_err freshen(struct embedded *e, bool for_proof, uint64_t now_us)
{
    uint8_t root[32];
    chq_state_root(e->state, root);
    bool carries = e->tip.height > 0 && memcmp(root, e->tip.app_hash, sizeof root) == 0;
    int64_t age_s = (int64_t)(now_us / 1000000) - e->tip.time.s;
    if (e->tip.height > 0 && (carries || !for_proof) && age_s < CHQ_HEADER_REFRESH_S)
        return CHQ_OK;
    enum chq_err err = seal_empty_block(e, now_us);
    if (err != CHQ_OK && e->broken && (carries || (!for_proof && e->tip.height > 0)))
        return CHQ_OK; /* read-only: the newest header that there is; clients see how old it is */
    return err;
}

static void put_error(
    struct embedded *e, const struct chq_ledger_request *request, enum chq_err err, struct chq_writer *reply)
{
    struct chq_ledger_reply p = {.type = request->type, .err = err};
    p.reason = chq_bytes_text(e->broken ? e->broken_reason : chq_err_string(err));
    if (p.reason.size > CHQ_LEDGER_REASON_BYTES_MAX)
        p.reason.size = CHQ_LEDGER_REASON_BYTES_MAX;
    chq_ledger_reply_put(reply, &p);
}

static void query(struct chq_engine *engine, const struct chq_ledger_request *request, uint64_t now_us,
    struct chq_writer *reply)
{
    static uint8_t value_bytes[CHQ_RECORD_VALUE_BYTES_MAX], proof_bytes[CHQ_PROOF_BYTES_MAX];
    struct embedded *e = of(engine);
    struct chq_writer value = chq_writer_fixed(value_bytes, sizeof value_bytes);
    struct chq_writer proof = chq_writer_fixed(proof_bytes, sizeof proof_bytes);
    struct chq_ledger_reply p = {.type = request->type};
    enum chq_err err = freshen(e, request->type == CHQ_LEDGER_QUERY, now_us);
    if (err != CHQ_OK) {
        put_error(e, request, err, reply);
        return;
    }
    p.signed_header = chq_bytes(e->tip.signed_header, e->tip.signed_header_size);
    if (request->type == CHQ_LEDGER_INFO) {
        struct chq_state_totals totals = chq_state_totals(e->state);
        p.chain_id = chq_bytes_text(e->genesis.chain_id);
        p.height = e->tip.height;
        p.issued_micro = totals.issued_micro;
        p.balances_micro = totals.balances_micro;
        p.deposits_micro = totals.deposits_micro;
        chq_validators_put(&value, e->genesis.validators, e->genesis.validators_count);
        CHQ_ASSERT(chq_writer_finish(&value) == CHQ_OK); /* one validator: start-up checks it */
        p.validators = chq_writer_bytes(&value);
    } else {
        p.present = chq_state_prove(e->state, request->kind, request->key, &value, &proof);
        CHQ_ASSERT(chq_writer_finish(&value) == CHQ_OK && chq_writer_finish(&proof) == CHQ_OK);
        p.value = chq_writer_bytes(&value);
        p.proof = chq_writer_bytes(&proof);
    }
    chq_ledger_reply_put(reply, &p);
}

static void close_embedded(struct chq_engine *engine)
{
    struct embedded *e = of(engine);
    for (size_t i = 0; i < e->mempool_count; i++)
        free(e->mempool[i].data);
    chq_snapshot_close(e->snapshot);
    chq_journal_close(e->journal);
    chq_state_free(e->state);
    chq_light_free(e->light);
    chq_secret_free(e->validator);
    if (e->lock_fd >= 0)
        close(e->lock_fd);
    free(e);
}

static const struct chq_engine_calls embedded_calls = {submit, query, tick, close_embedded};

/* ---- start-up ---- */

static enum chq_err lock_folder(struct embedded *e, const char *dir, char *reason)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/lock", dir);
    e->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (e->lock_fd < 0) {
        snprintf(reason, CHQ_ENGINE_REASON_BYTES, "cannot open %.300s: %s", path, strerror(errno));
        return CHQ_IO;
    }
    if (flock(e->lock_fd, LOCK_EX | LOCK_NB) != 0) {
        snprintf(reason, CHQ_ENGINE_REASON_BYTES, "another chasqui-ledger is running on %.300s", dir);
        return CHQ_STATE;
    }
    return CHQ_OK;
}

static enum chq_err load_keys(struct embedded *e, const char *dir, char *reason)
{
    uint8_t seed[CHQ_SEED_BYTES];
    e->validator = chq_secret_new(sizeof *e->validator);
    if (e->validator == NULL)
        return CHQ_NO_MEMORY;
    enum chq_err err = chq_key_load(dir, CHQ_VALIDATOR_FILE, seed, reason);
    if (err == CHQ_OK)
        chq_sign_pair_from_seed(e->validator, seed);
    chq_wipe(seed, sizeof seed);
    if (err == CHQ_OK && (e->genesis.validators_count != 1 ||
                             memcmp(e->validator->public_key, e->genesis.validators[0].key, 32) != 0)) {
        snprintf(reason, CHQ_ENGINE_REASON_BYTES, "%.200s/%s is not the one validator that the genesis names",
            dir, CHQ_VALIDATOR_FILE);
        err = CHQ_AUTH;
    }
    return err;
}

static enum chq_err load_record(
    void *context, enum chq_record_kind kind, const uint8_t key[32], struct chq_bytes value)
{
    struct embedded *e = context;
    return chq_state_load(e->state, kind, key, value);
}

static enum chq_err load_snapshot(struct embedded *e, char *reason)
{
    const struct chq_snapshot_reader reader = {.record = load_record, .context = e};
    struct chq_snapshot_mark mark;
    uint8_t root[32];
    enum chq_err err = chq_snapshot_read(e->snapshot, &mark, &reader, reason);
    if (err == CHQ_NOT_FOUND) {
        const struct chq_state_sink sink = {.changed = note_change, .context = e->snapshot};
        CHQ_TRY(chq_state_start(e->state, e->check ? NULL : &sink));
        if (!e->check)
            mark_snapshot(e);
        return CHQ_OK;
    }
    if (err == CHQ_OK)
        err = chq_state_load_end(e->state, mark.height, mark.time_s, mark.issued_micro);
    chq_state_root(e->state, root);
    if (err == CHQ_OK && memcmp(root, mark.root, sizeof root) != 0)
        err = CHQ_MALFORMED;
    if (err == CHQ_OK && mark.height > 0)
        err = chq_tip_restore(&e->tip, mark.signed_header, (size_t)mark.batches);
    if (err == CHQ_OK && e->tip.height != mark.height)
        err = CHQ_MALFORMED;
    if (err == CHQ_MALFORMED && reason[0] == '\0')
        snprintf(reason, CHQ_ENGINE_REASON_BYTES,
            "the snapshot is corrupted: its records do not lead to its state root. Restore it from a "
            "backup.");
    return err;
}

static enum chq_err replay_batches(
    struct embedded *e, const struct chq_block *block, uint64_t height, char *reason)
{
    struct chq_reader at = chq_reader(block->batches);
    struct chq_state_batch batch = {.trust = e->check ? CHQ_STATE_CHECK : CHQ_STATE_OWN_JOURNAL};
    struct chq_state_result result;
    while (chq_block_next(&at, &batch.signed_batch)) {
        enum chq_err err = chq_state_apply(e->state, &batch, &result);
        if (err != CHQ_OK) {
            snprintf(reason, CHQ_ENGINE_REASON_BYTES, "block %" PRIu64 " does not replay: %s", height,
                result.reason);
            return err == CHQ_NO_MEMORY ? err : CHQ_MALFORMED;
        }
        e->replayed++;
    }
    return chq_state_seal(e->state);
}

/* With --check the vote is checked as a light client would, at the header's own time. */
static enum chq_err check_vote(struct embedded *e, const struct chq_tip *tip, char *reason)
{
    struct chq_light_answer answer;
    enum chq_err err = chq_light_verify_header(
        e->light, chq_bytes(tip->signed_header, tip->signed_header_size), (uint64_t)tip->time.s, &answer);
    if (err != CHQ_OK)
        snprintf(reason, CHQ_ENGINE_REASON_BYTES, "block %" PRIu64 ": %s", tip->height, answer.reason);
    return err == CHQ_OK ? CHQ_OK : CHQ_MALFORMED;
}

static enum chq_err replay(void *context, uint64_t height, struct chq_bytes payload, char *reason)
{
    struct embedded *e = context;
    struct chq_block block;
    struct chq_tip next;
    uint8_t root[32];
    if (height <= chq_state_height(e->state))
        return CHQ_OK; /* the snapshot has it */
    chq_state_root(e->state, root);
    if (height != chq_state_height(e->state) + 1 || chq_block_read(payload, &block) != CHQ_OK ||
        chq_tip_follow(&next, &e->tip, &e->genesis, root, &block) != CHQ_OK) {
        snprintf(reason, CHQ_ENGINE_REASON_BYTES,
            "block %" PRIu64
            " of the journal does not follow from what was before it (state at height %" PRIu64
            "): files of different chains or times were mixed, or the state differs",
            height, chq_state_height(e->state));
        return CHQ_MALFORMED;
    }
    if (e->check)
        CHQ_TRY(check_vote(e, &next, reason));
    if (chq_state_begin(e->state, height, (uint64_t)next.time.s) != CHQ_OK) {
        snprintf(reason, CHQ_ENGINE_REASON_BYTES, "block %" PRIu64 " goes back in time", height);
        return CHQ_MALFORMED;
    }
    enum chq_err err = replay_batches(e, &block, height, reason);
    if (err != CHQ_OK) {
        chq_state_rollback(e->state);
        if (err == CHQ_STATE)
            snprintf(reason, CHQ_ENGINE_REASON_BYTES, "block %" PRIu64 " does not conserve credit", height);
        return err;
    }
    commit(e, &next);
    return CHQ_OK;
}

static enum chq_err open_parts(struct embedded *e, const struct chq_embedded_config *config, char *reason)
{
    char path[PATH_MAX];
    struct chq_snapshot_config snapshot = {
        .path = path, .log = config->log, .read_only = config->check, .delay_ms = config->snapshot_delay_ms};
    struct chq_journal_config journal = {.dir = config->dir,
        .disk = config->disk,
        .log = config->log,
        .segment_bytes = config->segment_bytes,
        .read_only = config->check,
        .replay = replay,
        .context = e};
    const struct chq_light_trust trust = {.chain_id = chq_bytes_text(e->genesis.chain_id),
        .validators = e->genesis.validators,
        .validators_count = e->genesis.validators_count};
    struct chq_writer w = chq_writer_heap(CHQ_GENESIS_BYTES_MAX);
    snprintf(path, sizeof path, "%s/snapshot.sqlite", config->dir);
    chq_genesis_put(&w, &e->genesis);
    struct chq_bytes genesis = chq_writer_bytes(&w);
    chq_hash(snapshot.genesis_hash, "chasqui genesis v1", &genesis, 1);
    enum chq_err err = chq_writer_finish(&w);
    chq_writer_free(&w);
    if (err == CHQ_OK)
        err = chq_state_new(&e->state, &e->genesis, NULL, config->seed);
    if (err == CHQ_OK && config->check)
        err = chq_light_new(&e->light, &trust);
    if (err == CHQ_OK)
        err = chq_snapshot_open(&e->snapshot, &snapshot, reason);
    if (err == CHQ_OK)
        err = load_snapshot(e, reason);
    if (err != CHQ_OK)
        return err;
    journal.durable_height = chq_state_height(e->state);
    err = chq_journal_open(&e->journal, &journal, reason);
    if (err != CHQ_OK)
        return err;
    uint64_t newest = chq_journal_height(e->journal);
    if (newest != 0 && newest < chq_state_height(e->state)) {
        snprintf(reason, CHQ_ENGINE_REASON_BYTES,
            "the journal ends at height %" PRIu64 ", but the snapshot is of height %" PRIu64
            ": newer journal files are missing",
            newest, chq_state_height(e->state));
        return CHQ_MALFORMED;
    }
    return CHQ_OK;
}

enum chq_err chq_embedded_open(struct chq_engine **out, const struct chq_embedded_config *config,
    struct chq_embedded_report *report, char *reason)
{
    struct embedded *e = calloc(1, sizeof *e);
    *out = NULL;
    reason[0] = '\0';
    if (e == NULL)
        return CHQ_NO_MEMORY;
    e->engine.calls = &embedded_calls;
    e->lock_fd = -1;
    e->check = config->check;
    if (config->log != NULL)
        e->log = *config->log;
    enum chq_err err = chq_genesis_load(config->dir, &e->genesis, reason);
    if (err == CHQ_OK)
        err = lock_folder(e, config->dir, reason);
    if (err == CHQ_OK)
        err = load_keys(e, config->dir, reason);
    if (err == CHQ_OK)
        err = open_parts(e, config, reason);
    if (err != CHQ_OK) {
        if (reason[0] == '\0')
            snprintf(reason, CHQ_ENGINE_REASON_BYTES, "%s", chq_err_string(err));
        close_embedded(&e->engine);
        return err;
    }
    if (report != NULL)
        *report = (struct chq_embedded_report){.snapshot_height = chq_snapshot_height(e->snapshot),
            .height = chq_state_height(e->state),
            .replayed_batches = e->replayed};
    *out = &e->engine;
    return CHQ_OK;
}

const struct chq_state *chq_embedded_state(const struct chq_engine *engine)
{
    return ((const struct embedded *)engine)->state;
}

const struct chq_genesis *chq_embedded_genesis(const struct chq_engine *engine)
{
    return &((const struct embedded *)engine)->genesis;
}
