/* SPDX-License-Identifier: Apache-2.0 */
#include "ledger/engine/snapshot.h"

#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <sqlite3.h>

#include "core/base/assert.h"

#define ENTRY_HEAD     41 /* kind u8, slot u32, key, value bytes u32 */
#define HURRY_BYTES    (4u * 1024 * 1024) /* pending: write now */
#define PENDING_BYTES  (256u * 1024 * 1024) /* pending: the block path waits */
#define HEADER_BYTES   (32 * 1024)
#define DELAY_MS       1000
#define FORMAT_VERSION 1

/* The changes of whole blocks, and where they lead. */
struct changes {
    struct chq_writer entries;
    struct chq_snapshot_mark mark;
    uint8_t header[HEADER_BYTES];
};

struct chq_snapshot {
    sqlite3 *db;
    sqlite3_stmt *put, *set;
    struct chq_log log;
    unsigned delay_ms;
    bool read_only, has_thread;
    uint8_t header[HEADER_BYTES]; /* what chq_snapshot_read gave out */
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t work, done;
    /* Under the lock: */
    struct changes *pending; /* ended blocks */
    bool has_pending, hurry, stop, failed;
    bool given_up; /* changes were lost for want of memory: what is on disk stays as it is */
    uint64_t durable_height;
    /* The thread's own: */
    struct changes *writing;
    /* The block path's own: */
    struct chq_writer block;
};

static const char schema[] =
    "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA cell_size_check=ON;"
    "CREATE TABLE IF NOT EXISTS meta(name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS record(kind INTEGER NOT NULL, slot INTEGER NOT NULL, key BLOB NOT NULL,"
    " value BLOB NOT NULL, PRIMARY KEY(kind, slot)) WITHOUT ROWID;";

static enum chq_err refuse(const struct chq_snapshot *s, const char *what, char *reason)
{
    int code = sqlite3_errcode(s->db);
    snprintf(reason, CHQ_ENGINE_REASON_BYTES, "%s (%s). Nothing was changed.", what, sqlite3_errmsg(s->db));
    return code == SQLITE_NOTADB || code == SQLITE_CORRUPT ? CHQ_MALFORMED : CHQ_IO;
}

static bool put_meta(struct chq_snapshot *s, const char *name, const void *data, size_t size)
{
    sqlite3_bind_text(s->set, 1, name, -1, SQLITE_STATIC);
    sqlite3_bind_blob(s->set, 2, size > 0 ? data : "", (int)size, SQLITE_STATIC);
    int rc = sqlite3_step(s->set);
    sqlite3_reset(s->set);
    return rc == SQLITE_DONE;
}

static bool put_meta_u64(struct chq_snapshot *s, const char *name, uint64_t v)
{
    uint8_t bytes[8];
    chq_store_u64(bytes, v);
    return put_meta(s, name, bytes, sizeof bytes);
}

/* Read a meta value of `cap` bytes at most; return its size, or SIZE_MAX. */
static size_t get_meta(struct chq_snapshot *s, const char *name, void *out, size_t cap)
{
    sqlite3_stmt *get = NULL;
    size_t size = SIZE_MAX;
    if (sqlite3_prepare_v2(s->db, "SELECT value FROM meta WHERE name = ?1", -1, &get, NULL) != SQLITE_OK)
        return SIZE_MAX;
    sqlite3_bind_text(get, 1, name, -1, SQLITE_STATIC);
    if (sqlite3_step(get) == SQLITE_ROW && (size_t)sqlite3_column_bytes(get, 0) <= cap) {
        size = (size_t)sqlite3_column_bytes(get, 0);
        if (size > 0)
            memcpy(out, sqlite3_column_blob(get, 0), size);
    }
    sqlite3_finalize(get);
    return size;
}

static bool get_meta_u64(struct chq_snapshot *s, const char *name, uint64_t *out)
{
    uint8_t bytes[8];
    if (get_meta(s, name, bytes, sizeof bytes) != sizeof bytes)
        return false;
    *out = chq_load_u64(bytes);
    return true;
}

static bool write_entries(struct chq_snapshot *s, struct chq_bytes entries)
{
    struct chq_reader r = chq_reader(entries);
    while (chq_reader_left(&r) > 0) {
        uint8_t kind = chq_read_u8(&r);
        uint32_t slot = chq_read_u32(&r);
        struct chq_bytes key = chq_read_bytes(&r, 32);
        struct chq_bytes value = chq_read_bytes(&r, chq_read_u32(&r));
        CHQ_ASSERT(r.err == CHQ_OK);
        sqlite3_bind_int(s->put, 1, kind);
        sqlite3_bind_int64(s->put, 2, slot);
        sqlite3_bind_blob(s->put, 3, key.data, (int)key.size, SQLITE_STATIC);
        sqlite3_bind_blob(s->put, 4, value.data, (int)value.size, SQLITE_STATIC);
        int rc = sqlite3_step(s->put);
        sqlite3_reset(s->put);
        if (rc != SQLITE_DONE)
            return false;
    }
    return true;
}

/* One transaction: the records and the mark they lead to. */
static bool write_changes(struct chq_snapshot *s, const struct changes *c)
{
    const struct chq_snapshot_mark *m = &c->mark;
    if (sqlite3_exec(s->db, "BEGIN IMMEDIATE", NULL, NULL, NULL) != SQLITE_OK)
        return false;
    bool fine = write_entries(s, chq_writer_bytes(&c->entries)) && put_meta_u64(s, "height", m->height) &&
                put_meta_u64(s, "time", m->time_s) && put_meta_u64(s, "issued", m->issued_micro) &&
                put_meta(s, "root", m->root, 32) && put_meta_u64(s, "batches", m->batches) &&
                put_meta(s, "header", m->signed_header.data, m->signed_header.size);
    if (fine && sqlite3_exec(s->db, "COMMIT", NULL, NULL, NULL) == SQLITE_OK)
        return true;
    chq_logf(&s->log, CHQ_LOG_WARNING, "snapshot: not written, will try again: %s", sqlite3_errmsg(s->db));
    sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
    return false;
}

static void wait_a_little(struct chq_snapshot *s)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += s->delay_ms / 1000;
    until.tv_nsec += (long)(s->delay_ms % 1000) * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_nsec -= 1000000000;
        until.tv_sec++;
    }
    while (!s->hurry && !s->stop && pthread_cond_timedwait(&s->work, &s->lock, &until) == 0)
        ;
}

static void *write_on(void *context)
{
    struct chq_snapshot *s = context;
    pthread_mutex_lock(&s->lock);
    for (;;) {
        while (!s->has_pending && !s->stop)
            pthread_cond_wait(&s->work, &s->lock);
        if (!s->has_pending)
            break;
        wait_a_little(s);
        if (s->writing->entries.size == 0) { /* else: what failed the last time comes first */
            struct changes *swap = s->writing;
            s->writing = s->pending;
            s->pending = swap;
            s->has_pending = false;
            s->hurry = false;
        }
        pthread_mutex_unlock(&s->lock);
        bool fine = write_changes(s, s->writing);
        pthread_mutex_lock(&s->lock);
        s->failed = !fine;
        s->hurry = s->hurry && fine;
        if (fine) {
            s->durable_height = s->writing->mark.height;
            chq_writer_clear(&s->writing->entries);
        } else if (s->stop) {
            break;
        }
        pthread_cond_broadcast(&s->done);
    }
    pthread_cond_broadcast(&s->done);
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

static enum chq_err check_identity(
    struct chq_snapshot *s, const struct chq_snapshot_config *config, char *reason)
{
    uint8_t hash[32];
    uint64_t version;
    if (get_meta(s, "genesis", hash, sizeof hash) == SIZE_MAX) {
        if (config->read_only)
            return CHQ_OK;
        if (put_meta(s, "genesis", config->genesis_hash, 32) && put_meta_u64(s, "version", FORMAT_VERSION))
            return CHQ_OK;
        return refuse(s, "the snapshot cannot be written", reason);
    }
    if (!get_meta_u64(s, "version", &version) || version != FORMAT_VERSION) {
        snprintf(
            reason, CHQ_ENGINE_REASON_BYTES, "the snapshot is of a version that this program does not know");
        return CHQ_UNSUPPORTED;
    }
    if (memcmp(hash, config->genesis_hash, 32) != 0) {
        snprintf(reason, CHQ_ENGINE_REASON_BYTES, "the snapshot belongs to another chain");
        return CHQ_AUTH;
    }
    return CHQ_OK;
}

static enum chq_err open_database(
    struct chq_snapshot *s, const struct chq_snapshot_config *config, char *reason)
{
    int flags = config->read_only ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;
    if (sqlite3_open_v2(config->path, &s->db, flags | SQLITE_OPEN_NOMUTEX, NULL) != SQLITE_OK)
        return refuse(s, "the snapshot cannot be opened", reason);
    sqlite3_busy_timeout(s->db, 5000);
    if (!config->read_only && sqlite3_exec(s->db, schema, NULL, NULL, NULL) != SQLITE_OK)
        return refuse(s, "the snapshot cannot be opened", reason);
    if (!config->read_only &&
        (sqlite3_prepare_v2(
             s->db, "INSERT OR REPLACE INTO record VALUES(?1, ?2, ?3, ?4)", -1, &s->put, NULL) != SQLITE_OK ||
            sqlite3_prepare_v2(s->db, "INSERT OR REPLACE INTO meta VALUES(?1, ?2)", -1, &s->set, NULL) !=
                SQLITE_OK))
        return refuse(s, "the snapshot cannot be read", reason);
    return check_identity(s, config, reason);
}

static enum chq_err start_thread(struct chq_snapshot *s)
{
    pthread_condattr_t attr;
    s->pending = calloc(1, sizeof *s->pending);
    s->writing = calloc(1, sizeof *s->writing);
    if (s->pending == NULL || s->writing == NULL)
        return CHQ_NO_MEMORY;
    s->pending->entries = chq_writer_heap(2 * (size_t)PENDING_BYTES);
    s->writing->entries = chq_writer_heap(2 * (size_t)PENDING_BYTES);
    s->block = chq_writer_heap(PENDING_BYTES);
    pthread_mutex_init(&s->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&s->work, &attr);
    pthread_cond_init(&s->done, &attr);
    pthread_condattr_destroy(&attr);
    sigset_t all, before; /* signals are the main thread's */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    s->has_thread = pthread_create(&s->thread, NULL, write_on, s) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return s->has_thread ? CHQ_OK : CHQ_NO_MEMORY;
}

enum chq_err chq_snapshot_open(
    struct chq_snapshot **out, const struct chq_snapshot_config *config, char *reason)
{
    struct chq_snapshot *s = calloc(1, sizeof *s);
    *out = NULL;
    if (s == NULL)
        return CHQ_NO_MEMORY;
    if (config->log != NULL)
        s->log = *config->log;
    s->read_only = config->read_only;
    s->delay_ms = config->delay_ms > 0 ? config->delay_ms : DELAY_MS;
    enum chq_err err = open_database(s, config, reason);
    if (err == CHQ_OK && !s->read_only)
        err = start_thread(s);
    if (err != CHQ_OK) {
        chq_snapshot_close(s);
        return err;
    }
    *out = s;
    return CHQ_OK;
}

void chq_snapshot_close(struct chq_snapshot *s)
{
    if (s == NULL)
        return;
    if (s->has_thread) {
        pthread_mutex_lock(&s->lock);
        s->stop = true;
        pthread_cond_broadcast(&s->work);
        pthread_mutex_unlock(&s->lock);
        pthread_join(s->thread, NULL);
        pthread_mutex_destroy(&s->lock);
        pthread_cond_destroy(&s->work);
        pthread_cond_destroy(&s->done);
    }
    if (s->pending != NULL)
        chq_writer_free(&s->pending->entries);
    if (s->writing != NULL)
        chq_writer_free(&s->writing->entries);
    if (!s->read_only)
        chq_writer_free(&s->block);
    free(s->pending);
    free(s->writing);
    sqlite3_finalize(s->put);
    sqlite3_finalize(s->set);
    sqlite3_close(s->db);
    free(s);
}

static enum chq_err read_records(
    struct chq_snapshot *s, const struct chq_snapshot_reader *reader, char *reason)
{
    sqlite3_stmt *all = NULL;
    enum chq_err err = CHQ_OK;
    int rc = sqlite3_prepare_v2(
        s->db, "SELECT kind, slot, key, value FROM record ORDER BY kind, slot", -1, &all, NULL);
    if (rc != SQLITE_OK)
        return refuse(s, "the snapshot cannot be read", reason);
    while (err == CHQ_OK && (rc = sqlite3_step(all)) == SQLITE_ROW) {
        int kind = sqlite3_column_int(all, 0);
        struct chq_bytes value = chq_bytes(sqlite3_column_blob(all, 3), (size_t)sqlite3_column_bytes(all, 3));
        if (kind < 1 || kind > CHQ_RECORD_KINDS || sqlite3_column_bytes(all, 2) != 32)
            err = CHQ_MALFORMED;
        else
            err = reader->record(
                reader->context, (enum chq_record_kind)kind, sqlite3_column_blob(all, 2), value);
    }
    sqlite3_finalize(all);
    if (err == CHQ_MALFORMED)
        snprintf(
            reason, CHQ_ENGINE_REASON_BYTES, "the snapshot is corrupted: a record cannot be what it says");
    if (err == CHQ_OK && rc != SQLITE_DONE)
        return refuse(s, "the snapshot cannot be read", reason);
    return err;
}

enum chq_err chq_snapshot_read(struct chq_snapshot *s, struct chq_snapshot_mark *mark,
    const struct chq_snapshot_reader *reader, char *reason)
{
    *mark = (struct chq_snapshot_mark){0};
    if (get_meta(s, "root", mark->root, 32) == SIZE_MAX)
        return CHQ_NOT_FOUND;
    size_t header = get_meta(s, "header", s->header, sizeof s->header);
    if (header == SIZE_MAX || !get_meta_u64(s, "height", &mark->height) ||
        !get_meta_u64(s, "time", &mark->time_s) || !get_meta_u64(s, "issued", &mark->issued_micro) ||
        !get_meta_u64(s, "batches", &mark->batches)) {
        snprintf(
            reason, CHQ_ENGINE_REASON_BYTES, "the snapshot is corrupted: it does not say what it stands for");
        return CHQ_MALFORMED;
    }
    mark->signed_header = chq_bytes(s->header, header);
    s->durable_height = mark->height;
    return read_records(s, reader, reason);
}

void chq_snapshot_put(struct chq_snapshot *s, enum chq_record_kind kind, uint32_t slot, const uint8_t key[32],
    struct chq_bytes value)
{
    chq_write_u8(&s->block, (uint8_t)kind);
    chq_write_u32(&s->block, slot);
    chq_write_bytes(&s->block, key, 32);
    chq_write_u32(&s->block, (uint32_t)value.size);
    chq_write_bytes(&s->block, value.data, value.size);
}

/* The journal keeps every block from here on, so the next start loses nothing but time. */
static void give_up(struct chq_snapshot *s)
{
    if (!s->given_up)
        chq_logf(&s->log, CHQ_LOG_ERROR, "snapshot: out of memory, no more snapshots until a restart");
    s->given_up = true;
    s->has_pending = false;
    chq_writer_clear(&s->pending->entries);
}

void chq_snapshot_end(struct chq_snapshot *s, const struct chq_snapshot_mark *mark)
{
    pthread_mutex_lock(&s->lock);
    while (s->pending->entries.size > PENDING_BYTES && !s->failed)
        pthread_cond_wait(&s->done, &s->lock);
    struct changes *c = s->pending;
    chq_write_bytes(&c->entries, s->block.data, s->block.size);
    if (chq_writer_finish(&s->block) != CHQ_OK || chq_writer_finish(&c->entries) != CHQ_OK)
        give_up(s);
    if (s->given_up)
        goto out;
    c->mark = *mark;
    CHQ_ASSERT(mark->signed_header.size <= sizeof c->header);
    if (mark->signed_header.size > 0)
        memcpy(c->header, mark->signed_header.data, mark->signed_header.size);
    c->mark.signed_header = chq_bytes(c->header, mark->signed_header.size);
    s->has_pending = true;
    if (c->entries.size > HURRY_BYTES)
        s->hurry = true;
    pthread_cond_signal(&s->work);
out:
    pthread_mutex_unlock(&s->lock);
    chq_writer_clear(&s->block);
}

uint64_t chq_snapshot_height(struct chq_snapshot *s)
{
    if (!s->has_thread)
        return s->durable_height;
    pthread_mutex_lock(&s->lock);
    uint64_t height = s->durable_height;
    pthread_mutex_unlock(&s->lock);
    return height;
}

enum chq_err chq_snapshot_flush(struct chq_snapshot *s)
{
    pthread_mutex_lock(&s->lock);
    bool failed = false;
    while ((s->has_pending || s->writing->entries.size > 0) && !failed) {
        s->hurry = true;
        pthread_cond_signal(&s->work);
        pthread_cond_wait(&s->done, &s->lock);
        failed = s->failed;
    }
    pthread_mutex_unlock(&s->lock);
    return failed ? CHQ_IO : CHQ_OK;
}
