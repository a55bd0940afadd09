/* SPDX-License-Identifier: Apache-2.0 */
#include "core/store/store.h"

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/assert.h"
#include "core/base/text.h"
#include "core/crypto/aead.h"
#include "core/crypto/hash.h"
#include "core/crypto/hkdf.h"
#include "core/crypto/keys.h"
#include "core/crypto/password.h"
#include "core/store/fault.h"

#define APPLICATION_ID 0x43485150
#define FORMAT         1
#define PATH_MAX_BYTES 1024
#define WRAPPED_BYTES  (CHQ_STORE_KEY_BYTES + CHQ_AEAD_OVERHEAD_BYTES)
#define INDEX_BYTES    CHQ_HASH_BYTES

enum { BY_PASSPHRASE = 1, BY_KEY = 2 };

struct keys {
    uint8_t value[CHQ_AEAD_KEY_BYTES];
    uint8_t index[32];
    uint8_t sum[32];
};

struct chq_store {
    sqlite3 *db;
    sqlite3_stmt *put, *del, *get, *each, *count, *set_sum;
    struct keys *keys; /* in locked memory */
    uint8_t sum[CHQ_HASH_BYTES], committed_sum[CHQ_HASH_BYTES]; /* of all items, see sum_toggle */
    struct chq_random random;
    struct chq_store_fault fault;
    struct chq_writer scratch;
    enum chq_err batch_err;
    bool in_batch;
    int lock_fd;
    char path[PATH_MAX_BYTES];
};

/* The row of table unlock, as bytes. */
struct unlock {
    uint8_t kind;
    uint32_t passes, memory_bytes;
    uint8_t salt[CHQ_PASSWORD_SALT_BYTES], nonce[CHQ_AEAD_NONCE_BYTES], wrapped[WRAPPED_BYTES];
    uint8_t sum[CHQ_HASH_BYTES];
};

/* ---- faults: every way to fail in a person's words */

/* Say what an SQLite error means. */
static enum chq_err fault_sqlite(struct chq_store *s, int rc)
{
    int number = sqlite3_system_errno(s->db);
    switch (rc & 0xff) {
    case SQLITE_FULL: return chq_store_fault_errno(&s->fault, s->path, ENOSPC);
    case SQLITE_NOTADB:
        return chq_store_fault_set(&s->fault, CHQ_STORE_FOREIGN, CHQ_MALFORMED,
            "%s is not a profile of Chasqui; choose another directory with --profile", s->path);
    case SQLITE_CORRUPT: return chq_store_fault_damaged(&s->fault, s->path, sqlite3_errmsg(s->db));
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_AUTH: return chq_store_fault_errno(&s->fault, s->path, EACCES);
    case SQLITE_NOMEM:
        return chq_store_fault_set(&s->fault, CHQ_STORE_FAILED, CHQ_NO_MEMORY, "%s: out of memory", s->path);
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return chq_store_fault_set(&s->fault, CHQ_STORE_IN_USE, CHQ_STATE,
            "%s is in use by another program; close that first", s->path);
    case SQLITE_CANTOPEN:
    case SQLITE_IOERR:
        if (rc == SQLITE_IOERR_WRITE && number == 0)
            number = ENOSPC; /* SQLite keeps no errno when a write of the log stops half-way */
        if (number != 0)
            return chq_store_fault_errno(&s->fault, s->path, number);
        break;
    default: break;
    }
    return chq_store_fault_set(&s->fault, CHQ_STORE_FAILED, CHQ_IO, "%s: %s", s->path, sqlite3_errmsg(s->db));
}

const struct chq_store_fault *chq_store_last_fault(const struct chq_store *store)
{
    return &store->fault;
}

/* ---- files */

/* mkdir -p, the last one 0700. */
static enum chq_err make_dirs(const char *dir, struct chq_store_fault *f)
{
    char path[PATH_MAX_BYTES];
    size_t n = strlen(dir);
    if (n == 0 || n > PATH_MAX_BYTES - 32)
        return chq_store_fault_set(f, CHQ_STORE_FAILED, CHQ_LIMIT, "the profile's path is empty or too long");
    memcpy(path, dir, n + 1);
    for (size_t i = 1; i <= n; i++) {
        if (path[i] != '/' && path[i] != 0)
            continue;
        path[i] = 0;
        if (mkdir(path, 0700) != 0 && errno != EEXIST)
            return chq_store_fault_errno(f, path, errno);
        path[i] = i == n ? 0 : '/';
    }
    return CHQ_OK;
}

static enum chq_err take_lock(struct chq_store *s, const char *dir)
{
    char path[PATH_MAX_BYTES + 8], text[32] = "";
    snprintf(path, sizeof path, "%s/lock", dir);
    s->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (s->lock_fd < 0)
        return chq_store_fault_errno(&s->fault, path, errno);
    if (flock(s->lock_fd, LOCK_EX | LOCK_NB) != 0) {
        ssize_t n = read(s->lock_fd, text, sizeof text - 1);
        long pid = n > 0 ? strtol(text, NULL, 10) : 0;
        enum chq_err err = chq_store_fault_set(&s->fault, CHQ_STORE_IN_USE, CHQ_STATE,
            "profile in use by pid %ld (%s); close that program first, or use another profile with --profile",
            pid, dir);
        s->fault.pid = pid;
        return err;
    }
    int n = snprintf(text, sizeof text, "%ld\n", (long)getpid());
    if (ftruncate(s->lock_fd, 0) != 0 || pwrite(s->lock_fd, text, (size_t)n, 0) != n)
        return chq_store_fault_errno(&s->fault, path, errno == 0 ? ENOSPC : errno);
    return CHQ_OK;
}

static bool file_exists(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0;
}

/* ---- SQLite */

static enum chq_err run(struct chq_store *s, const char *sql)
{
    int rc = sqlite3_exec(s->db, sql, NULL, NULL, NULL);
    return rc == SQLITE_OK ? CHQ_OK : fault_sqlite(s, rc);
}

static enum chq_err prepare(struct chq_store *s, const char *sql, sqlite3_stmt **out)
{
    int rc = sqlite3_prepare_v3(s->db, sql, -1, SQLITE_PREPARE_PERSISTENT, out, NULL);
    return rc == SQLITE_OK ? CHQ_OK : fault_sqlite(s, rc);
}

static enum chq_err read_number(struct chq_store *s, const char *sql, int64_t *out)
{
    sqlite3_stmt *stmt = NULL;
    int rc = sqlite3_prepare_v2(s->db, sql, -1, &stmt, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(stmt);
    if (rc == SQLITE_ROW)
        *out = sqlite3_column_int64(stmt, 0);
    sqlite3_finalize(stmt);
    return rc == SQLITE_ROW ? CHQ_OK : fault_sqlite(s, rc);
}

static enum chq_err open_file(struct chq_store *s, const char *path, int flags)
{
    snprintf(s->path, sizeof s->path, "%s", path);
    int rc = sqlite3_open_v2(path, &s->db, flags | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE, NULL);
    if (rc != SQLITE_OK)
        return fault_sqlite(s, rc);
    sqlite3_extended_result_codes(s->db, 1);
    sqlite3_db_config(s->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    sqlite3_db_config(s->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    return CHQ_OK;
}

/* The structure of the whole file; cheap for the sizes that profiles have. */
static enum chq_err check_structure(struct chq_store *s)
{
    sqlite3_stmt *stmt = NULL;
    enum chq_err err = CHQ_OK;
    int rc = sqlite3_prepare_v2(s->db, "PRAGMA quick_check(1)", -1, &stmt, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(stmt);
    if (rc != SQLITE_ROW) {
        err = fault_sqlite(s, rc);
    } else {
        const unsigned char *text = sqlite3_column_text(stmt, 0);
        if (text == NULL || strcmp((const char *)text, "ok") != 0)
            err =
                chq_store_fault_damaged(&s->fault, s->path, text == NULL ? "no answer" : (const char *)text);
    }
    sqlite3_finalize(stmt);
    return err;
}

static enum chq_err check_identity(struct chq_store *s)
{
    int64_t id = 0, format = 0;
    CHQ_TRY(read_number(s, "PRAGMA application_id", &id));
    CHQ_TRY(read_number(s, "PRAGMA user_version", &format));
    if (id != APPLICATION_ID || format < 1)
        return chq_store_fault_set(&s->fault, CHQ_STORE_FOREIGN, CHQ_MALFORMED,
            "%s is not a profile of Chasqui; choose another directory with --profile", s->path);
    if (format > FORMAT)
        return chq_store_fault_set(&s->fault, CHQ_STORE_NEWER, CHQ_UNSUPPORTED,
            "%s was written by a newer version of Chasqui (format %lld, this one knows %d); install the "
            "newer version",
            s->path, (long long)format, FORMAT);
    return CHQ_OK; /* format 1 is the first: nothing to bring forward yet */
}

/* ---- unlocking */

static void unlock_sum(const struct unlock *u, uint8_t out[CHQ_HASH_BYTES])
{
    uint8_t head[9];
    uint8_t all[sizeof head + sizeof u->salt + sizeof u->nonce + sizeof u->wrapped];
    struct chq_writer w = chq_writer_fixed(all, sizeof all);
    chq_write_u8(&w, u->kind);
    chq_write_u32(&w, u->passes);
    chq_write_u32(&w, u->memory_bytes);
    chq_write_bytes(&w, u->salt, sizeof u->salt);
    chq_write_bytes(&w, u->nonce, sizeof u->nonce);
    chq_write_bytes(&w, u->wrapped, sizeof u->wrapped);
    CHQ_ASSERT(chq_writer_finish(&w) == CHQ_OK);
    chq_blake2b(out, chq_bytes(NULL, 0), chq_writer_bytes(&w));
}

static enum chq_err wrapping_key(struct chq_store *s, const struct unlock *u,
    const struct chq_store_secret *secret, uint8_t out[CHQ_AEAD_KEY_BYTES])
{
    if (u->kind == BY_KEY) {
        memcpy(out, secret->key, CHQ_AEAD_KEY_BYTES);
        return CHQ_OK;
    }
    enum chq_err err = chq_password_key(out, secret->passphrase, u->salt, u->passes, u->memory_bytes);
    if (err == CHQ_NO_MEMORY)
        return chq_store_fault_set(&s->fault, CHQ_STORE_FAILED, err,
            "not enough memory to unlock %s: it takes %u MiB", s->path, u->memory_bytes >> 20);
    if (err != CHQ_OK)
        return chq_store_fault_damaged(&s->fault, s->path, "impossible passphrase parameters");
    return CHQ_OK;
}

static void derive_keys(struct keys *keys, const uint8_t data_key[CHQ_STORE_KEY_BYTES])
{
    struct chq_bytes input = chq_bytes(data_key, CHQ_STORE_KEY_BYTES), none = chq_bytes(NULL, 0);
    chq_hkdf(keys->value, sizeof keys->value, none, input, chq_bytes_text("chasqui store value v1"));
    chq_hkdf(keys->index, sizeof keys->index, none, input, chq_bytes_text("chasqui store index v1"));
    chq_hkdf(keys->sum, sizeof keys->sum, none, input, chq_bytes_text("chasqui store sum v1"));
}

static enum chq_err make_unlock(struct chq_store *s, const struct chq_store_secret *secret, struct unlock *u)
{
    uint8_t wrap[CHQ_AEAD_KEY_BYTES], data_key[CHQ_STORE_KEY_BYTES];
    enum chq_err err;
    memset(u, 0, sizeof *u);
    u->kind = secret->key != NULL ? BY_KEY : BY_PASSPHRASE;
    u->passes = secret->passes != 0 ? secret->passes : CHQ_PASSWORD_PASSES_DEFAULT;
    u->memory_bytes = secret->memory_bytes != 0 ? secret->memory_bytes : CHQ_PASSWORD_BYTES_DEFAULT;
    chq_random_fill(&s->random, u->salt, sizeof u->salt);
    chq_random_fill(&s->random, u->nonce, sizeof u->nonce);
    err = wrapping_key(s, u, secret, wrap);
    if (err != CHQ_OK)
        goto out;
    chq_random_fill(&s->random, data_key, sizeof data_key);
    chq_aead_seal(u->wrapped, wrap, u->nonce, chq_bytes(data_key, sizeof data_key),
        chq_bytes_text("chasqui store unlock v1"));
    unlock_sum(u, u->sum);
out:
    chq_wipe(wrap, sizeof wrap);
    chq_wipe(data_key, sizeof data_key);
    return err;
}

static bool column_copy(sqlite3_stmt *stmt, int column, void *out, size_t size)
{
    const void *blob = sqlite3_column_blob(stmt, column);
    if (blob == NULL || sqlite3_column_bytes(stmt, column) != (int)size)
        return false;
    memcpy(out, blob, size);
    return true;
}

static struct chq_bytes column_bytes(sqlite3_stmt *stmt, int column)
{
    const void *blob = sqlite3_column_blob(stmt, column);
    return chq_bytes(blob, blob == NULL ? 0 : (size_t)sqlite3_column_bytes(stmt, column));
}

static enum chq_err read_unlock(struct chq_store *s, struct unlock *u)
{
    sqlite3_stmt *stmt = NULL;
    uint8_t sum[CHQ_HASH_BYTES];
    enum chq_err err = CHQ_OK;
    memset(u, 0, sizeof *u);
    int rc = sqlite3_prepare_v2(s->db,
        "SELECT kind, passes, memory_bytes, salt, nonce, wrapped, sum FROM unlock WHERE id = 1", -1, &stmt,
        NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(stmt);
    if (rc == SQLITE_ROW) {
        u->kind = (uint8_t)sqlite3_column_int(stmt, 0);
        u->passes = (uint32_t)sqlite3_column_int64(stmt, 1);
        u->memory_bytes = (uint32_t)sqlite3_column_int64(stmt, 2);
        bool whole = column_copy(stmt, 3, u->salt, sizeof u->salt) &&
                     column_copy(stmt, 4, u->nonce, sizeof u->nonce) &&
                     column_copy(stmt, 5, u->wrapped, sizeof u->wrapped) &&
                     column_copy(stmt, 6, u->sum, sizeof u->sum);
        unlock_sum(u, sum);
        if (!whole || memcmp(sum, u->sum, sizeof sum) != 0 || (u->kind != BY_KEY && u->kind != BY_PASSPHRASE))
            err = chq_store_fault_damaged(&s->fault, s->path, "the record that unlocks it");
    } else if (rc == SQLITE_DONE || (rc & 0xff) == SQLITE_ERROR) {
        err = chq_store_fault_damaged(&s->fault, s->path, "the record that unlocks it is missing");
    } else {
        err = fault_sqlite(s, rc);
    }
    sqlite3_finalize(stmt);
    return err;
}

static enum chq_err open_unlock(
    struct chq_store *s, const struct chq_store_secret *secret, const struct unlock *u)
{
    uint8_t wrap[CHQ_AEAD_KEY_BYTES], data_key[CHQ_STORE_KEY_BYTES] = {0};
    enum chq_err err = CHQ_OK;
    if ((u->kind == BY_KEY) != (secret->key != NULL))
        return chq_store_fault_set(&s->fault, CHQ_STORE_OTHER_SECRET, CHQ_STATE,
            u->kind == BY_KEY
                ? "%s is unlocked by the keyring, not by a passphrase; unlock the keyring and try again"
                : "%s is unlocked by a passphrase; give it with --passphrase-file or when asked",
            s->path);
    err = wrapping_key(s, u, secret, wrap);
    if (err != CHQ_OK)
        goto out;
    err = chq_aead_open(data_key, wrap, u->nonce, chq_bytes(u->wrapped, sizeof u->wrapped),
        chq_bytes_text("chasqui store unlock v1"));
    if (err != CHQ_OK) {
        err = chq_store_fault_set(&s->fault, CHQ_STORE_WRONG_SECRET, CHQ_AUTH,
            u->kind == BY_KEY
                ? "the keyring's key does not open %s; was the profile copied from another machine?"
                : "wrong passphrase for %s; try again. Without it the profile cannot be read; the 24 words "
                  "restore the account",
            s->path);
        goto out;
    }
    s->keys = chq_secret_new(sizeof *s->keys);
    if (s->keys == NULL) {
        err = chq_store_fault_set(&s->fault, CHQ_STORE_FAILED, CHQ_NO_MEMORY, "%s: out of memory", s->path);
        goto out;
    }
    derive_keys(s->keys, data_key);
out:
    chq_wipe(wrap, sizeof wrap);
    chq_wipe(data_key, sizeof data_key);
    return err;
}

/* ---- the sum of all items: SQLite does not notice a flipped bit that moves or hides a row */

/* Add an item to the sum, or take it out again: XOR of keyed BLAKE2b of (table, index, value). */
static void sum_toggle(struct chq_store *s, uint8_t table, struct chq_bytes index, struct chq_bytes v)
{
    uint8_t whole[1 + INDEX_BYTES + CHQ_HASH_BYTES], hash[CHQ_HASH_BYTES];
    struct chq_bytes key = chq_bytes(s->keys->sum, sizeof s->keys->sum);
    struct chq_writer w = chq_writer_fixed(whole, sizeof whole);
    chq_blake2b(hash, key, v);
    chq_write_u8(&w, table);
    chq_write_bytes(&w, index.data, index.size < INDEX_BYTES ? index.size : INDEX_BYTES);
    chq_write_bytes(&w, hash, sizeof hash);
    chq_blake2b(hash, key, chq_writer_bytes(&w));
    for (size_t i = 0; i < sizeof hash; i++)
        s->sum[i] ^= hash[i];
}

/* Take the item that is now under (table, index) out of the sum, if there is one. */
static enum chq_err sum_forget(struct chq_store *s, uint8_t table, const uint8_t index[INDEX_BYTES])
{
    enum chq_err err = CHQ_OK;
    sqlite3_bind_int(s->get, 1, table);
    sqlite3_bind_blob(s->get, 2, index, INDEX_BYTES, SQLITE_STATIC);
    int rc = sqlite3_step(s->get);
    if (rc == SQLITE_ROW)
        sum_toggle(s, table, chq_bytes(index, INDEX_BYTES), column_bytes(s->get, 0));
    else if (rc != SQLITE_DONE)
        err = fault_sqlite(s, rc);
    sqlite3_reset(s->get);
    sqlite3_clear_bindings(s->get);
    return err;
}

/* Compare the stored sum with what the items add up to. */
static enum chq_err check_items(struct chq_store *s)
{
    sqlite3_stmt *stmt = NULL;
    uint8_t stored[CHQ_HASH_BYTES] = {0};
    bool found = false;
    int rc = sqlite3_prepare_v2(s->db, "SELECT items FROM sum WHERE id = 1", -1, &stmt, NULL);
    if (rc == SQLITE_OK && (rc = sqlite3_step(stmt)) == SQLITE_ROW)
        found = column_copy(stmt, 0, stored, sizeof stored);
    sqlite3_finalize(stmt);
    stmt = NULL;
    if (found) {
        rc = sqlite3_prepare_v2(s->db, "SELECT t, k, v FROM item", -1, &stmt, NULL);
        while (rc == SQLITE_OK && (rc = sqlite3_step(stmt)) == SQLITE_ROW) {
            sum_toggle(s, (uint8_t)sqlite3_column_int(stmt, 0), column_bytes(stmt, 1), column_bytes(stmt, 2));
            rc = SQLITE_OK;
        }
        sqlite3_finalize(stmt);
        if (rc != SQLITE_DONE)
            return fault_sqlite(s, rc);
    }
    if (!found || memcmp(stored, s->sum, sizeof stored) != 0)
        return chq_store_fault_damaged(&s->fault, s->path, "its entries are not the ones that were written");
    memcpy(s->committed_sum, s->sum, sizeof s->sum);
    return CHQ_OK;
}

/* ---- create, open, close */

static struct chq_store *store_new(const struct chq_random *random)
{
    struct chq_store *s = calloc(1, sizeof *s);
    if (s == NULL)
        return NULL;
    s->lock_fd = -1;
    s->random = *random;
    s->scratch = chq_writer_heap(CHQ_STORE_ITEM_VALUE_MAX + 1024);
    return s;
}

static void close_file(struct chq_store *s)
{
    sqlite3_stmt **all[] = {&s->put, &s->del, &s->get, &s->each, &s->count, &s->set_sum};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        sqlite3_finalize(*all[i]);
        *all[i] = NULL;
    }
    sqlite3_close(s->db);
    s->db = NULL;
}

void chq_store_close(struct chq_store *store)
{
    if (store == NULL)
        return;
    if (store->in_batch)
        chq_store_rollback(store);
    close_file(store);
    chq_writer_free(&store->scratch);
    chq_secret_free(store->keys);
    if (store->lock_fd >= 0)
        close(store->lock_fd);
    free(store);
}

/* The schema and the unlock row, in one transaction of the old journal kind, so that the file is whole or empty. */
static enum chq_err write_new(struct chq_store *s, const struct unlock *u)
{
    sqlite3_stmt *stmt = NULL;
    int rc;
    CHQ_TRY(run(s,
        "PRAGMA synchronous = FULL; BEGIN IMMEDIATE;"
        "CREATE TABLE unlock (id INTEGER PRIMARY KEY CHECK (id = 1), kind INTEGER NOT NULL, passes INTEGER "
        "NOT NULL,"
        " memory_bytes INTEGER NOT NULL, salt BLOB NOT NULL, nonce BLOB NOT NULL, wrapped BLOB NOT NULL,"
        " sum BLOB NOT NULL) STRICT;"
        "CREATE TABLE item (t INTEGER NOT NULL, k BLOB NOT NULL, v BLOB NOT NULL, PRIMARY KEY (t, k))"
        " STRICT, WITHOUT ROWID;"
        "CREATE TABLE sum (id INTEGER PRIMARY KEY CHECK (id = 1), items BLOB NOT NULL) STRICT;"
        "INSERT INTO sum VALUES (1, zeroblob(32));"
        "PRAGMA application_id = 0x43485150; PRAGMA user_version = 1;"));
    rc = sqlite3_prepare_v2(
        s->db, "INSERT INTO unlock VALUES (1, ?1, ?2, ?3, ?4, ?5, ?6, ?7)", -1, &stmt, NULL);
    if (rc == SQLITE_OK) {
        sqlite3_bind_int(stmt, 1, u->kind);
        sqlite3_bind_int64(stmt, 2, u->passes);
        sqlite3_bind_int64(stmt, 3, u->memory_bytes);
        sqlite3_bind_blob(stmt, 4, u->salt, sizeof u->salt, SQLITE_STATIC);
        sqlite3_bind_blob(stmt, 5, u->nonce, sizeof u->nonce, SQLITE_STATIC);
        sqlite3_bind_blob(stmt, 6, u->wrapped, sizeof u->wrapped, SQLITE_STATIC);
        sqlite3_bind_blob(stmt, 7, u->sum, sizeof u->sum, SQLITE_STATIC);
        rc = sqlite3_step(stmt);
    }
    enum chq_err err = rc == SQLITE_DONE ? CHQ_OK : fault_sqlite(s, rc);
    sqlite3_finalize(stmt);
    CHQ_TRY(err);
    return run(s, "COMMIT");
}

/* Make the file's name durable. */
static enum chq_err sync_dir(struct chq_store *s, const char *dir)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int rc = fd < 0 ? -1 : fsync(fd);
    int number = errno;
    if (fd >= 0)
        close(fd);
    return rc == 0 ? CHQ_OK : chq_store_fault_errno(&s->fault, dir, number);
}

static enum chq_err open_profile(struct chq_store *s, const char *path, const struct chq_store_secret *secret)
{
    struct unlock u;
    CHQ_TRY(open_file(s, path, SQLITE_OPEN_READWRITE));
    CHQ_TRY(run(s, "PRAGMA locking_mode = EXCLUSIVE"));
    CHQ_TRY(check_identity(s));
    if (access(path, W_OK) != 0)
        return chq_store_fault_errno(&s->fault, path, errno);
    CHQ_TRY(run(s, "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA cell_size_check = ON; "
                   "PRAGMA secure_delete = ON;"));
    CHQ_TRY(check_structure(s));
    CHQ_TRY(read_unlock(s, &u));
    CHQ_TRY(open_unlock(s, secret, &u));
    CHQ_TRY(prepare(s, "INSERT OR REPLACE INTO item VALUES (?1, ?2, ?3)", &s->put));
    CHQ_TRY(prepare(s, "DELETE FROM item WHERE t = ?1 AND k = ?2", &s->del));
    CHQ_TRY(prepare(s, "SELECT v FROM item WHERE t = ?1 AND k = ?2", &s->get));
    CHQ_TRY(prepare(s, "SELECT k, v FROM item WHERE t = ?1", &s->each));
    CHQ_TRY(prepare(s, "SELECT count(*) FROM item WHERE t = ?1", &s->count));
    CHQ_TRY(prepare(s, "UPDATE sum SET items = ?1 WHERE id = 1", &s->set_sum));
    return check_items(s);
}

/* Give the store to the caller, or say why not and free it. */
static enum chq_err hand_over(
    struct chq_store *s, enum chq_err err, struct chq_store **out, struct chq_store_fault *fault)
{
    if (err == CHQ_OK) {
        *out = s;
        return CHQ_OK;
    }
    *fault = s->fault;
    chq_store_close(s);
    return err;
}

static enum chq_err begin_open(
    const char *dir, const struct chq_random *random, struct chq_store **s, struct chq_store_fault *fault)
{
    memset(fault, 0, sizeof *fault);
    if (strlen(dir) == 0 || strlen(dir) > PATH_MAX_BYTES - 32)
        return chq_store_fault_set(
            fault, CHQ_STORE_FAILED, CHQ_LIMIT, "the profile's path is empty or too long");
    *s = store_new(random);
    return *s != NULL ? CHQ_OK : chq_store_fault_set(fault, CHQ_STORE_FAILED, CHQ_NO_MEMORY, "out of memory");
}

enum chq_err chq_store_create(const char *dir, const struct chq_store_secret *secret,
    const struct chq_random *random, struct chq_store **out, struct chq_store_fault *fault)
{
    struct chq_store *s = NULL;
    char path[PATH_MAX_BYTES], fresh[PATH_MAX_BYTES];
    struct unlock u;
    *out = NULL;
    CHQ_TRY(begin_open(dir, random, &s, fault));
    snprintf(path, sizeof path, "%s/profile.db", dir);
    snprintf(fresh, sizeof fresh, "%s/profile.new", dir);
    enum chq_err err = make_dirs(dir, &s->fault);
    if (err == CHQ_OK)
        err = take_lock(s, dir);
    if (err == CHQ_OK && file_exists(path))
        err = chq_store_fault_set(&s->fault, CHQ_STORE_THERE, CHQ_EXISTS,
            "there is a profile in %s already; use it, or choose another directory with --profile", dir);
    if (err != CHQ_OK)
        goto out;
    unlink(fresh); /* what a killed call left behind */
    err = open_file(s, fresh, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE);
    if (err == CHQ_OK)
        err = make_unlock(s, secret, &u);
    if (err == CHQ_OK)
        err = write_new(s, &u);
    close_file(s);
    if (err == CHQ_OK && (chmod(fresh, 0600) != 0 || rename(fresh, path) != 0))
        err = chq_store_fault_errno(&s->fault, path, errno);
    if (err == CHQ_OK)
        err = sync_dir(s, dir);
    if (err == CHQ_OK)
        err = open_profile(s, path, secret);
    if (err != CHQ_OK)
        unlink(fresh);
out:
    chq_wipe(&u, sizeof u);
    return hand_over(s, err, out, fault);
}

/* CHQ_NOT_FOUND with a helpful text when there is no profile in `dir`. */
static enum chq_err check_there(const char *dir, const char *path, struct chq_store_fault *fault)
{
    struct stat st;
    if (stat(path, &st) == 0)
        return S_ISREG(st.st_mode) ? CHQ_OK
                                   : chq_store_fault_set(fault, CHQ_STORE_FOREIGN, CHQ_MALFORMED,
                                         "%s is not a file, so it is no profile of Chasqui", path);
    if (errno == EACCES)
        return chq_store_fault_set(
            fault, CHQ_STORE_READ_ONLY, CHQ_IO, "%s cannot be read: %s", dir, strerror(errno));
    return chq_store_fault_set(fault, CHQ_STORE_MISSING, CHQ_NOT_FOUND,
        "there is no profile in %s; make one with 'chasqui init', or name another directory with --profile",
        dir);
}

enum chq_err chq_store_open(const char *dir, const struct chq_store_secret *secret,
    const struct chq_random *random, struct chq_store **out, struct chq_store_fault *fault)
{
    struct chq_store *s = NULL;
    char path[PATH_MAX_BYTES];
    *out = NULL;
    CHQ_TRY(begin_open(dir, random, &s, fault));
    snprintf(path, sizeof path, "%s/profile.db", dir);
    enum chq_err err = check_there(dir, path, &s->fault);
    if (err == CHQ_OK)
        err = take_lock(s, dir);
    if (err == CHQ_OK)
        err = open_profile(s, path, secret);
    return hand_over(s, err, out, fault);
}

enum chq_err chq_store_peek(const char *dir, bool *by_key, struct chq_store_fault *fault)
{
    struct chq_store *s = NULL;
    struct unlock u;
    struct chq_random none = {0};
    char path[PATH_MAX_BYTES];
    *by_key = false;
    CHQ_TRY(begin_open(dir, &none, &s, fault));
    snprintf(path, sizeof path, "%s/profile.db", dir);
    enum chq_err err = check_there(dir, path, &s->fault);
    if (err == CHQ_OK)
        err = take_lock(s, dir);
    if (err == CHQ_OK)
        err = open_file(s, path, SQLITE_OPEN_READWRITE);
    if (err == CHQ_OK)
        err = run(s, "PRAGMA locking_mode = EXCLUSIVE");
    if (err == CHQ_OK)
        err = check_identity(s);
    if (err == CHQ_OK)
        err = read_unlock(s, &u);
    if (err == CHQ_OK)
        *by_key = u.kind == BY_KEY;
    else
        *fault = s->fault;
    chq_store_close(s);
    return err;
}

/* ---- items */

static void item_index(
    const struct chq_store *s, uint8_t table, struct chq_bytes key, uint8_t out[INDEX_BYTES])
{
    uint8_t in[1 + CHQ_STORE_ITEM_KEY_MAX];
    in[0] = table;
    memcpy(in + 1, key.data, key.size);
    chq_blake2b(out, chq_bytes(s->keys->index, sizeof s->keys->index), chq_bytes(in, 1 + key.size));
}

static void item_associated(uint8_t table, const uint8_t index[INDEX_BYTES], uint8_t out[1 + INDEX_BYTES])
{
    out[0] = table;
    memcpy(out + 1, index, INDEX_BYTES);
}

static bool key_fits(struct chq_bytes key)
{
    return key.size >= 1 && key.size <= CHQ_STORE_ITEM_KEY_MAX;
}

static void batch_fail(struct chq_store *s, enum chq_err err)
{
    if (s->batch_err == CHQ_OK && err != CHQ_OK)
        s->batch_err = err;
}

enum chq_err chq_store_begin(struct chq_store *store)
{
    CHQ_ASSERT(!store->in_batch);
    CHQ_TRY(run(store, "BEGIN IMMEDIATE"));
    store->in_batch = true;
    store->batch_err = CHQ_OK;
    return CHQ_OK;
}

/* Run a bound writing statement and reset it. */
static void batch_step(struct chq_store *s, sqlite3_stmt *stmt)
{
    int rc = sqlite3_step(stmt);
    if (rc != SQLITE_DONE)
        batch_fail(s, fault_sqlite(s, rc));
    sqlite3_reset(stmt);
    sqlite3_clear_bindings(stmt);
}

void chq_store_put(struct chq_store *store, uint8_t table, struct chq_bytes key, struct chq_bytes value)
{
    uint8_t index[INDEX_BYTES], associated[1 + INDEX_BYTES], *plain = NULL;
    size_t plain_size = 2 + key.size + value.size;
    struct chq_writer *w = &store->scratch;
    CHQ_ASSERT(store->in_batch);
    if (store->batch_err != CHQ_OK)
        return;
    if (!key_fits(key) || value.size > CHQ_STORE_ITEM_VALUE_MAX) {
        batch_fail(store, chq_store_fault_set(&store->fault, CHQ_STORE_FAILED, CHQ_LIMIT,
                              "an item of %zu + %zu bytes is too big for the profile", key.size, value.size));
        return;
    }
    item_index(store, table, key, index);
    item_associated(table, index, associated);
    chq_writer_clear(w);
    uint8_t *sealed = chq_write_space(w, CHQ_AEAD_NONCE_BYTES + plain_size + CHQ_AEAD_OVERHEAD_BYTES);
    plain = malloc(plain_size);
    if (sealed == NULL || plain == NULL) {
        batch_fail(store, chq_store_fault_set(&store->fault, CHQ_STORE_FAILED, CHQ_NO_MEMORY,
                              "%s: out of memory", store->path));
        goto out;
    }
    chq_store_u16(plain, (uint16_t)key.size);
    memcpy(plain + 2, key.data, key.size);
    if (value.size > 0)
        memcpy(plain + 2 + key.size, value.data, value.size);
    chq_random_fill(&store->random, sealed, CHQ_AEAD_NONCE_BYTES);
    chq_aead_seal(sealed + CHQ_AEAD_NONCE_BYTES, store->keys->value, sealed, chq_bytes(plain, plain_size),
        chq_bytes(associated, sizeof associated));
    batch_fail(store, sum_forget(store, table, index));
    sum_toggle(store, table, chq_bytes(index, sizeof index), chq_writer_bytes(w));
    sqlite3_bind_int(store->put, 1, table);
    sqlite3_bind_blob(store->put, 2, index, sizeof index, SQLITE_STATIC);
    sqlite3_bind_blob64(store->put, 3, w->data, w->size, SQLITE_STATIC);
    batch_step(store, store->put);
out:
    if (plain != NULL)
        chq_wipe(plain, plain_size);
    free(plain);
    chq_writer_clear(w);
}

void chq_store_delete(struct chq_store *store, uint8_t table, struct chq_bytes key)
{
    uint8_t index[INDEX_BYTES];
    CHQ_ASSERT(store->in_batch);
    if (store->batch_err != CHQ_OK)
        return;
    if (!key_fits(key)) {
        batch_fail(store, CHQ_LIMIT);
        return;
    }
    item_index(store, table, key, index);
    batch_fail(store, sum_forget(store, table, index));
    sqlite3_bind_int(store->del, 1, table);
    sqlite3_bind_blob(store->del, 2, index, sizeof index, SQLITE_STATIC);
    batch_step(store, store->del);
}

void chq_store_rollback(struct chq_store *store)
{
    if (!store->in_batch)
        return;
    store->in_batch = false;
    memcpy(store->sum, store->committed_sum, sizeof store->sum);
    sqlite3_exec(store->db, "ROLLBACK", NULL, NULL, NULL); /* fails only when SQLite has done it already */
}

enum chq_err chq_store_commit(struct chq_store *store)
{
    CHQ_ASSERT(store->in_batch);
    if (store->batch_err == CHQ_OK) {
        sqlite3_bind_blob(store->set_sum, 1, store->sum, sizeof store->sum, SQLITE_STATIC);
        batch_step(store, store->set_sum);
    }
    enum chq_err err = store->batch_err;
    if (err == CHQ_OK)
        err = run(store, "COMMIT");
    if (err != CHQ_OK) {
        chq_store_rollback(store);
        return err;
    }
    memcpy(store->committed_sum, store->sum, sizeof store->sum);
    store->in_batch = false;
    return CHQ_OK;
}

/* Open one sealed item into the scratch writer; key and value are views of it. */
static enum chq_err item_open(struct chq_store *s, uint8_t table, struct chq_bytes index, struct chq_bytes v,
    struct chq_bytes *key, struct chq_bytes *value)
{
    uint8_t associated[1 + INDEX_BYTES], expected[INDEX_BYTES];
    char what[64];
    snprintf(what, sizeof what, "an entry of table %u", table);
    if (index.size != INDEX_BYTES || v.size < CHQ_AEAD_NONCE_BYTES + CHQ_AEAD_OVERHEAD_BYTES + 2)
        return chq_store_fault_damaged(&s->fault, s->path, what);
    item_associated(table, index.data, associated);
    size_t plain_size = v.size - CHQ_AEAD_NONCE_BYTES - CHQ_AEAD_OVERHEAD_BYTES;
    chq_writer_clear(&s->scratch);
    uint8_t *plain = chq_write_space(&s->scratch, plain_size);
    if (plain == NULL)
        return chq_store_fault_set(&s->fault, CHQ_STORE_FAILED, CHQ_NO_MEMORY, "%s: out of memory", s->path);
    if (chq_aead_open(plain, s->keys->value, v.data,
            chq_bytes(v.data + CHQ_AEAD_NONCE_BYTES, v.size - CHQ_AEAD_NONCE_BYTES),
            chq_bytes(associated, sizeof associated)) != CHQ_OK)
        return chq_store_fault_damaged(&s->fault, s->path, what);
    struct chq_reader r = chq_reader(chq_bytes(plain, plain_size));
    *key = chq_read_bytes(&r, chq_read_u16(&r));
    *value = chq_read_bytes(&r, chq_reader_left(&r));
    if (chq_reader_finish(&r) != CHQ_OK || !key_fits(*key))
        return chq_store_fault_damaged(&s->fault, s->path, what);
    item_index(s, table, *key, expected);
    return memcmp(expected, index.data, INDEX_BYTES) == 0 ? CHQ_OK
                                                          : chq_store_fault_damaged(&s->fault, s->path, what);
}

static void scratch_wipe(struct chq_store *s)
{
    if (s->scratch.size > 0)
        chq_wipe(s->scratch.data, s->scratch.size);
    chq_writer_clear(&s->scratch);
}

enum chq_err chq_store_get(
    struct chq_store *store, uint8_t table, struct chq_bytes key, struct chq_writer *out)
{
    uint8_t index[INDEX_BYTES];
    struct chq_bytes found, value;
    enum chq_err err;
    if (!key_fits(key))
        return CHQ_LIMIT;
    item_index(store, table, key, index);
    sqlite3_bind_int(store->get, 1, table);
    sqlite3_bind_blob(store->get, 2, index, sizeof index, SQLITE_STATIC);
    int rc = sqlite3_step(store->get);
    if (rc == SQLITE_ROW) {
        err = item_open(
            store, table, chq_bytes(index, sizeof index), column_bytes(store->get, 0), &found, &value);
        if (err == CHQ_OK) {
            chq_write_bytes(out, value.data, value.size);
            err = chq_writer_finish(out);
        }
        scratch_wipe(store);
    } else {
        err = rc == SQLITE_DONE ? CHQ_NOT_FOUND : fault_sqlite(store, rc);
    }
    sqlite3_reset(store->get);
    sqlite3_clear_bindings(store->get);
    return err;
}

enum chq_err chq_store_each(struct chq_store *store, uint8_t table,
    enum chq_err (*visit)(void *context, struct chq_bytes key, struct chq_bytes value), void *context)
{
    struct chq_bytes key, value;
    enum chq_err err = CHQ_OK;
    int rc;
    sqlite3_bind_int(store->each, 1, table);
    while ((rc = sqlite3_step(store->each)) == SQLITE_ROW) {
        err =
            item_open(store, table, column_bytes(store->each, 0), column_bytes(store->each, 1), &key, &value);
        if (err == CHQ_OK)
            err = visit(context, key, value);
        scratch_wipe(store);
        if (err != CHQ_OK)
            break;
    }
    if (err == CHQ_OK && rc != SQLITE_DONE)
        err = fault_sqlite(store, rc);
    sqlite3_reset(store->each);
    return err;
}

enum chq_err chq_store_count(struct chq_store *store, uint8_t table, uint64_t *items)
{
    enum chq_err err = CHQ_OK;
    *items = 0;
    sqlite3_bind_int(store->count, 1, table);
    int rc = sqlite3_step(store->count);
    if (rc == SQLITE_ROW)
        *items = (uint64_t)sqlite3_column_int64(store->count, 0);
    else
        err = fault_sqlite(store, rc);
    sqlite3_reset(store->count);
    return err;
}
