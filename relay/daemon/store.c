/* SPDX-License-Identifier: Apache-2.0 */
#include "relay/daemon/store.h"

#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "core/base/assert.h"

#define STORE_VERSION     1
#define STORE_APPLICATION 0x43685152 /* "ChQR" */

/* A row of a queue is found by queue * 2^32 + sequence, so that it lies beside its neighbours. */
static const char schema[] =
    "CREATE TABLE numbers(name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE queues(number INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, kind INTEGER NOT NULL,"
    " first INTEGER NOT NULL DEFAULT 1, prekey_first INTEGER NOT NULL DEFAULT 0,"
    " prekey_next INTEGER NOT NULL DEFAULT 0, bundle BLOB);"
    "CREATE TABLE messages(key INTEGER PRIMARY KEY, put_id BLOB NOT NULL, kept INTEGER NOT NULL,"
    " wall INTEGER NOT NULL, body BLOB NOT NULL);"
    "CREATE TABLE puts(queue INTEGER NOT NULL, put_id BLOB NOT NULL, kept INTEGER NOT NULL,"
    " PRIMARY KEY(queue, put_id)) WITHOUT ROWID;"
    "CREATE INDEX puts_by_age ON puts(kept);"
    "CREATE TABLE prekeys(key INTEGER PRIMARY KEY, body BLOB NOT NULL);"
    "CREATE TABLE channels(id BLOB PRIMARY KEY, number INTEGER NOT NULL, payer BLOB NOT NULL, payee BLOB NOT "
    "NULL,"
    " deposit INTEGER NOT NULL, settled_token BLOB NOT NULL, settled_index INTEGER NOT NULL, tokens INTEGER "
    "NOT NULL,"
    " price INTEGER NOT NULL, quantum INTEGER NOT NULL, expiry INTEGER NOT NULL, attach_key BLOB NOT NULL,"
    " state INTEGER NOT NULL, token_index INTEGER NOT NULL, token BLOB NOT NULL, carried INTEGER NOT NULL)"
    " WITHOUT ROWID;"
    "CREATE TABLE grants(account BLOB PRIMARY KEY, nonce INTEGER NOT NULL, done INTEGER NOT NULL) WITHOUT "
    "ROWID;"
    "CREATE INDEX grants_open ON grants(done) WHERE done = 0;";

enum statement {
    BEGIN,
    COMMIT,
    ROLLBACK,
    ADD_QUEUE,
    ADD_MESSAGE,
    ADD_PUT,
    DELETE_MESSAGES,
    SET_FIRST,
    FORGET_PUTS,
    SET_BUNDLE,
    ADD_PREKEY,
    SET_PREKEY_NEXT,
    SET_PREKEY_FIRST,
    DELETE_PREKEYS,
    SAVE_CHANNEL,
    SAVE_CARRIED,
    DELETE_CHANNEL,
    HAS_PUT,
    GET_MESSAGE,
    GET_BUNDLE,
    GET_PREKEY,
    GET_NUMBER,
    SET_NUMBER,
    GET_GRANT,
    GET_OPEN_GRANT,
    SET_GRANT,
    DELETE_GRANT,
    ALL_QUEUES,
    ALL_MESSAGES,
    ALL_CHANNELS,
    STATEMENTS
};

static const char *const texts[STATEMENTS] = {
    [BEGIN] = "BEGIN IMMEDIATE",
    [COMMIT] = "COMMIT",
    [ROLLBACK] = "ROLLBACK",
    [ADD_QUEUE] = "INSERT INTO queues(number, id, kind) VALUES(?1, ?2, ?3)",
    [ADD_MESSAGE] = "INSERT INTO messages(key, put_id, kept, wall, body) VALUES(?1, ?2, ?3, ?4, ?5)",
    [ADD_PUT] = "INSERT INTO puts(queue, put_id, kept) VALUES(?1, ?2, ?3)",
    [DELETE_MESSAGES] = "DELETE FROM messages WHERE key BETWEEN ?1 AND ?2",
    [SET_FIRST] = "UPDATE queues SET first = ?2 WHERE number = ?1",
    [FORGET_PUTS] = "DELETE FROM puts WHERE kept < ?1",
    [SET_BUNDLE] = "UPDATE queues SET bundle = ?2 WHERE number = ?1",
    [ADD_PREKEY] = "INSERT INTO prekeys(key, body) VALUES(?1, ?2)",
    [SET_PREKEY_NEXT] = "UPDATE queues SET prekey_next = ?2 WHERE number = ?1",
    [SET_PREKEY_FIRST] = "UPDATE queues SET prekey_first = ?2 WHERE number = ?1",
    [DELETE_PREKEYS] = "DELETE FROM prekeys WHERE key >= ?1 AND key < ?2",
    [SAVE_CHANNEL] =
        "INSERT OR REPLACE INTO channels VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13,"
        " ?14, ?15, ?16)",
    [SAVE_CARRIED] = "UPDATE channels SET carried = ?2 WHERE id = ?1",
    [DELETE_CHANNEL] = "DELETE FROM channels WHERE id = ?1",
    [HAS_PUT] = "SELECT 1 FROM puts WHERE queue = ?1 AND put_id = ?2",
    [GET_MESSAGE] = "SELECT put_id, wall, body FROM messages WHERE key = ?1",
    [GET_BUNDLE] = "SELECT bundle FROM queues WHERE number = ?1 AND bundle IS NOT NULL",
    [GET_PREKEY] = "SELECT body FROM prekeys WHERE key = ?1",
    [GET_NUMBER] = "SELECT value FROM numbers WHERE name = ?1",
    [SET_NUMBER] = "INSERT OR REPLACE INTO numbers VALUES(?1, ?2)",
    [GET_GRANT] = "SELECT account, nonce, done FROM grants WHERE account = ?1",
    [GET_OPEN_GRANT] = "SELECT account, nonce, done FROM grants WHERE done = 0",
    [SET_GRANT] = "INSERT OR REPLACE INTO grants VALUES(?1, ?2, ?3)",
    [DELETE_GRANT] = "DELETE FROM grants WHERE account = ?1",
    [ALL_QUEUES] = "SELECT number, id, kind, first, prekey_first, prekey_next, bundle IS NOT NULL FROM queues"
                   " ORDER BY number",
    [ALL_MESSAGES] = "SELECT key, length(body), kept FROM messages ORDER BY key",
    [ALL_CHANNELS] = "SELECT * FROM channels",
};

struct chq_store {
    sqlite3 *db;
    struct chq_log log;
    sqlite3_stmt *statements[STATEMENTS];
    bool in_transaction, broken;
    bool said; /* that it fails: once, until it works again */
    enum chq_err err; /* of the open transaction */
};

static int64_t key_of(uint32_t queue, uint64_t sequence)
{
    return (int64_t)((uint64_t)queue << 32 | (sequence & UINT32_MAX));
}

/* Note why SQLite failed; the disk's own errors are for good. */
static void failed(struct chq_store *store, int rc)
{
    int kind = rc & 0xff;
    store->err = CHQ_IO;
    if (kind == SQLITE_IOERR || kind == SQLITE_CORRUPT || kind == SQLITE_NOTADB || kind == SQLITE_CANTOPEN)
        store->broken = true;
    if (store->said)
        return;
    store->said = true;
    chq_logf(&store->log, CHQ_LOG_ERROR, "database: %s%s", sqlite3_errmsg(store->db),
        store->broken ? "; nothing more is accepted until the relay is started again: check the disk"
                      : "; requests are refused until there is room");
}

static sqlite3_stmt *use(struct chq_store *store, enum statement which)
{
    sqlite3_stmt *statement = store->statements[which];
    sqlite3_reset(statement);
    return statement;
}

static void bind_blob(sqlite3_stmt *statement, int at, const void *data, size_t size)
{
    sqlite3_bind_blob(statement, at, data, (int)size, SQLITE_STATIC);
}

static void bind_number(sqlite3_stmt *statement, int at, uint64_t value)
{
    sqlite3_bind_int64(statement, at, (int64_t)value);
}

/* Run a statement that returns no rows. */
static void run(struct chq_store *store, sqlite3_stmt *statement)
{
    int rc = store->err == CHQ_OK ? sqlite3_step(statement) : SQLITE_DONE;
    if (rc != SQLITE_DONE)
        failed(store, rc);
    sqlite3_reset(statement);
    sqlite3_clear_bindings(statement);
}

static void begin(struct chq_store *store)
{
    if (store->in_transaction)
        return;
    store->in_transaction = true;
    store->err = store->broken ? CHQ_IO : CHQ_OK;
    run(store, use(store, BEGIN));
}

static enum chq_err check_version(struct chq_store *store, const char *path)
{
    sqlite3_stmt *statement;
    int version = 0, application = 0, tables = 0;
    if (sqlite3_prepare_v2(store->db,
            "SELECT (SELECT user_version FROM pragma_user_version), (SELECT application_id FROM"
            " pragma_application_id), (SELECT count(*) FROM sqlite_master)",
            -1, &statement, NULL) != SQLITE_OK ||
        sqlite3_step(statement) != SQLITE_ROW) {
        chq_logf(&store->log, CHQ_LOG_ERROR, "%s is damaged or not a database: %s", path,
            sqlite3_errmsg(store->db));
        sqlite3_finalize(statement);
        return CHQ_MALFORMED;
    }
    version = sqlite3_column_int(statement, 0);
    application = sqlite3_column_int(statement, 1);
    tables = sqlite3_column_int(statement, 2);
    sqlite3_finalize(statement);
    if (tables == 0)
        return CHQ_NOT_FOUND;
    if (application != STORE_APPLICATION) {
        chq_logf(&store->log, CHQ_LOG_ERROR, "%s is not a relay's database", path);
        return CHQ_MALFORMED;
    }
    if (version != STORE_VERSION) {
        chq_logf(&store->log, CHQ_LOG_ERROR,
            "%s is of version %d, this program knows %d; use a newer chasqui-relay", path, version,
            STORE_VERSION);
        return CHQ_UNSUPPORTED;
    }
    return CHQ_OK;
}

static int keep_first_row(void *context, int n, char **values, char **names)
{
    (void)names;
    char *first = context;
    if (n > 0 && values[0] != NULL && first[0] == 0)
        sqlite3_snprintf(128, first, "%s", values[0]);
    return 0;
}

static enum chq_err prepare(struct chq_store *store, const char *path)
{
    char found[128] = "", pragmas[128];
    sqlite3_busy_timeout(store->db, 2000);
    if (sqlite3_exec(store->db,
            "PRAGMA locking_mode=EXCLUSIVE; PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"
            "PRAGMA trusted_schema=OFF; PRAGMA cache_size=-4096; PRAGMA wal_autocheckpoint=2000;",
            NULL, NULL, NULL) != SQLITE_OK) {
        int code = sqlite3_errcode(store->db);
        chq_logf(&store->log, CHQ_LOG_ERROR, "%s: %s%s", path, sqlite3_errmsg(store->db),
            code == SQLITE_BUSY     ? "; is this relay running already?"
            : code == SQLITE_NOTADB ? "; put back a copy of it, or move it away to start empty"
                                    : "");
        return code == SQLITE_NOTADB || code == SQLITE_CORRUPT ? CHQ_MALFORMED : CHQ_IO;
    }
    enum chq_err err = check_version(store, path);
    if (err == CHQ_NOT_FOUND) {
        sqlite3_snprintf(sizeof pragmas, pragmas, "PRAGMA application_id=%d; PRAGMA user_version=%d; COMMIT;",
            STORE_APPLICATION, STORE_VERSION);
        if (sqlite3_exec(store->db, "BEGIN EXCLUSIVE", NULL, NULL, NULL) != SQLITE_OK ||
            sqlite3_exec(store->db, schema, NULL, NULL, NULL) != SQLITE_OK ||
            sqlite3_exec(store->db, pragmas, NULL, NULL, NULL) != SQLITE_OK) {
            chq_logf(&store->log, CHQ_LOG_ERROR, "%s: %s", path, sqlite3_errmsg(store->db));
            return CHQ_IO;
        }
    } else if (err != CHQ_OK) {
        return err;
    }
    if (sqlite3_exec(store->db, "PRAGMA quick_check(1)", keep_first_row, found, NULL) != SQLITE_OK ||
        strcmp(found, "ok") != 0) {
        chq_logf(&store->log, CHQ_LOG_ERROR,
            "%s is damaged (%s); put back a copy of it, or move it away to start empty", path,
            found[0] != 0 ? found : sqlite3_errmsg(store->db));
        return CHQ_MALFORMED;
    }
    for (int i = 0; i < STATEMENTS; i++)
        if (sqlite3_prepare_v3(store->db, texts[i], -1, SQLITE_PREPARE_PERSISTENT, &store->statements[i],
                NULL) != SQLITE_OK) {
            chq_logf(&store->log, CHQ_LOG_ERROR, "%s: %s", path, sqlite3_errmsg(store->db));
            return CHQ_MALFORMED;
        }
    return CHQ_OK;
}

enum chq_err chq_store_open(struct chq_store **out, const char *path, const struct chq_log *log)
{
    struct chq_store *store = calloc(1, sizeof *store);
    *out = NULL;
    if (store == NULL)
        return CHQ_NO_MEMORY;
    store->log = *log;
    enum chq_err err = CHQ_IO;
    mode_t before = umask(077);
    int rc = sqlite3_open_v2(
        path, &store->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL);
    if (rc != SQLITE_OK)
        chq_logf(log, CHQ_LOG_ERROR, "cannot open %s: %s", path, sqlite3_errmsg(store->db));
    else
        err = prepare(store, path);
    umask(before);
    if (err != CHQ_OK)
        chq_store_close(store);
    else
        *out = store;
    return err;
}

void chq_store_close(struct chq_store *store)
{
    if (store == NULL)
        return;
    for (int i = 0; i < STATEMENTS; i++)
        sqlite3_finalize(store->statements[i]);
    sqlite3_close(store->db);
    free(store);
}

/* Copy a blob column that must be exactly `size` bytes. */
static bool column_blob(sqlite3_stmt *statement, int at, uint8_t *out, int size)
{
    const void *blob = sqlite3_column_blob(statement, at);
    if (blob == NULL || sqlite3_column_bytes(statement, at) != size)
        return false;
    memcpy(out, blob, (size_t)size);
    return true;
}

static uint64_t column_number(sqlite3_stmt *statement, int at)
{
    return (uint64_t)sqlite3_column_int64(statement, at);
}

static enum chq_err load_queues(struct chq_store *store, struct chq_mailbox *mailbox)
{
    sqlite3_stmt *s = use(store, ALL_QUEUES);
    int rc;
    while ((rc = sqlite3_step(s)) == SQLITE_ROW) {
        struct chq_mailbox_queue_row row = {.number = (uint32_t)column_number(s, 0),
            .kind = (uint8_t)column_number(s, 2),
            .first_sequence = column_number(s, 3),
            .prekey_first = column_number(s, 4),
            .prekey_next = column_number(s, 5),
            .has_bundle = sqlite3_column_int(s, 6) != 0};
        if (!column_blob(s, 1, row.id, CHQ_ID_BYTES))
            return CHQ_MALFORMED;
        CHQ_TRY(chq_mailbox_load_queue(mailbox, &row));
    }
    if (rc != SQLITE_DONE)
        return CHQ_IO;
    s = use(store, ALL_MESSAGES);
    while ((rc = sqlite3_step(s)) == SQLITE_ROW) {
        uint64_t key = column_number(s, 0);
        CHQ_TRY(chq_mailbox_load_message(mailbox, (uint32_t)(key >> 32), key & UINT32_MAX,
            (uint32_t)sqlite3_column_int(s, 1), column_number(s, 2)));
    }
    return rc == SQLITE_DONE ? CHQ_OK : CHQ_IO;
}

static enum chq_err load_channels(struct chq_store *store, struct chq_meter *meter)
{
    sqlite3_stmt *s = use(store, ALL_CHANNELS);
    int rc;
    while ((rc = sqlite3_step(s)) == SQLITE_ROW) {
        struct chq_meter_row row = {.record = {.number = column_number(s, 1),
                                        .deposit_micro = column_number(s, 4),
                                        .last_index = column_number(s, 6),
                                        .tokens = column_number(s, 7),
                                        .price_micro = column_number(s, 8),
                                        .quantum_bytes = column_number(s, 9),
                                        .expiry_s = column_number(s, 10),
                                        .state = (enum chq_channel_state)sqlite3_column_int(s, 12)},
            .index = column_number(s, 13),
            .carried_bytes = column_number(s, 15)};
        if (!column_blob(s, 0, row.id, 32) || !column_blob(s, 2, row.record.payer, 32) ||
            !column_blob(s, 3, row.record.payee, 32) || !column_blob(s, 5, row.record.last_token, 32) ||
            !column_blob(s, 11, row.record.attach_key, 32) || !column_blob(s, 14, row.token, 32))
            return CHQ_MALFORMED;
        CHQ_TRY(chq_meter_load(meter, &row));
    }
    return rc == SQLITE_DONE ? CHQ_OK : CHQ_IO;
}

enum chq_err chq_store_load(struct chq_store *store, struct chq_mailbox *mailbox, struct chq_meter *meter)
{
    enum chq_err err = load_queues(store, mailbox);
    if (err == CHQ_OK)
        err = load_channels(store, meter);
    for (int i = ALL_QUEUES; i < STATEMENTS; i++)
        sqlite3_reset(store->statements[i]);
    return err;
}

static void add_message(struct chq_store *store, const struct chq_mailbox_record *record)
{
    sqlite3_stmt *s = use(store, ADD_MESSAGE);
    sqlite3_bind_int64(s, 1, key_of(record->queue, record->sequence));
    bind_blob(s, 2, record->put_id, CHQ_PUT_ID_BYTES);
    bind_number(s, 3, record->kept_s);
    bind_number(s, 4, record->wall_s);
    bind_blob(s, 5, record->body.data, record->body.size);
    run(store, s);
    s = use(store, ADD_PUT);
    bind_number(s, 1, record->queue);
    bind_blob(s, 2, record->put_id, CHQ_PUT_ID_BYTES);
    bind_number(s, 3, record->kept_s);
    run(store, s);
}

/* A statement with the queue's number and one number more. */
static void run_on_queue(struct chq_store *store, enum statement which, uint32_t queue, uint64_t value)
{
    sqlite3_stmt *s = use(store, which);
    bind_number(s, 1, queue);
    bind_number(s, 2, value);
    run(store, s);
}

static void run_on_range(struct chq_store *store, enum statement which, uint32_t queue, uint64_t to)
{
    sqlite3_stmt *s = use(store, which);
    sqlite3_bind_int64(s, 1, key_of(queue, 0));
    sqlite3_bind_int64(s, 2, key_of(queue, to));
    run(store, s);
}

void chq_store_apply_mailbox(struct chq_store *store, const struct chq_mailbox_record *record)
{
    sqlite3_stmt *s;
    begin(store);
    switch (record->type) {
    case CHQ_MAILBOX_ADD_QUEUE:
        s = use(store, ADD_QUEUE);
        bind_number(s, 1, record->queue);
        bind_blob(s, 2, record->id, CHQ_ID_BYTES);
        bind_number(s, 3, record->kind);
        run(store, s);
        break;
    case CHQ_MAILBOX_ADD_MESSAGE: add_message(store, record); break;
    case CHQ_MAILBOX_DELETE_MESSAGES:
        run_on_range(store, DELETE_MESSAGES, record->queue, record->sequence);
        run_on_queue(store, SET_FIRST, record->queue, record->sequence + 1);
        break;
    case CHQ_MAILBOX_FORGET_PUTS:
        s = use(store, FORGET_PUTS);
        bind_number(s, 1, record->kept_s);
        run(store, s);
        break;
    case CHQ_MAILBOX_SET_BUNDLE:
        s = use(store, SET_BUNDLE);
        bind_number(s, 1, record->queue);
        bind_blob(s, 2, record->body.data, record->body.size);
        run(store, s);
        break;
    case CHQ_MAILBOX_ADD_PREKEY:
        s = use(store, ADD_PREKEY);
        sqlite3_bind_int64(s, 1, key_of(record->queue, record->sequence));
        bind_blob(s, 2, record->body.data, record->body.size);
        run(store, s);
        run_on_queue(store, SET_PREKEY_NEXT, record->queue, record->sequence + 1);
        break;
    case CHQ_MAILBOX_TAKE_PREKEYS:
        run_on_queue(store, SET_PREKEY_FIRST, record->queue, record->sequence + 1);
        run_on_range(store, DELETE_PREKEYS, record->queue, record->sequence);
        break;
    }
}

void chq_store_apply_meter(struct chq_store *store, const struct chq_meter_record *record)
{
    const struct chq_meter_row *row = &record->row;
    begin(store);
    sqlite3_stmt *s = use(store, record->type == CHQ_METER_SAVE           ? SAVE_CHANNEL
                                 : record->type == CHQ_METER_SAVE_CARRIED ? SAVE_CARRIED
                                                                          : DELETE_CHANNEL);
    bind_blob(s, 1, row->id, CHQ_ID_BYTES);
    if (record->type == CHQ_METER_SAVE_CARRIED) {
        bind_number(s, 2, row->carried_bytes);
    } else if (record->type == CHQ_METER_SAVE) {
        bind_number(s, 2, row->record.number);
        bind_blob(s, 3, row->record.payer, 32);
        bind_blob(s, 4, row->record.payee, 32);
        bind_number(s, 5, row->record.deposit_micro);
        bind_blob(s, 6, row->record.last_token, 32);
        bind_number(s, 7, row->record.last_index);
        bind_number(s, 8, row->record.tokens);
        bind_number(s, 9, row->record.price_micro);
        bind_number(s, 10, row->record.quantum_bytes);
        bind_number(s, 11, row->record.expiry_s);
        bind_blob(s, 12, row->record.attach_key, 32);
        bind_number(s, 13, (uint64_t)row->record.state);
        bind_number(s, 14, row->index);
        bind_blob(s, 15, row->token, 32);
        bind_number(s, 16, row->carried_bytes);
    }
    run(store, s);
}

bool chq_store_is_dirty(const struct chq_store *store)
{
    return store->in_transaction;
}

bool chq_store_is_broken(const struct chq_store *store)
{
    return store->broken;
}

enum chq_err chq_store_commit(struct chq_store *store)
{
    if (!store->in_transaction)
        return CHQ_OK;
    run(store, use(store, COMMIT));
    enum chq_err err = store->err;
    if (err != CHQ_OK && !sqlite3_get_autocommit(store->db)) {
        sqlite3_step(use(store, ROLLBACK)); /* may fail because SQLite rolled back itself */
        sqlite3_reset(store->statements[ROLLBACK]);
    }
    if (err == CHQ_OK && store->said) {
        store->said = false;
        chq_logf(&store->log, CHQ_LOG_NOTICE, "database: writes again");
    }
    store->in_transaction = false;
    store->err = CHQ_OK;
    return err;
}

bool chq_store_has_put(struct chq_store *store, uint32_t queue, const uint8_t put_id[CHQ_PUT_ID_BYTES])
{
    sqlite3_stmt *s = use(store, HAS_PUT);
    bind_number(s, 1, queue);
    bind_blob(s, 2, put_id, CHQ_PUT_ID_BYTES);
    int rc = sqlite3_step(s);
    sqlite3_reset(s);
    return rc == SQLITE_ROW;
}

/* Step to the one row; the statement stays open for its views, the next use resets it. */
static enum chq_err get_row(struct chq_store *store, sqlite3_stmt *s)
{
    int rc = sqlite3_step(s);
    if (rc == SQLITE_ROW)
        return CHQ_OK;
    if (rc != SQLITE_DONE)
        chq_logf(&store->log, CHQ_LOG_ERROR, "database: %s", sqlite3_errmsg(store->db));
    sqlite3_reset(s);
    return rc == SQLITE_DONE ? CHQ_NOT_FOUND : CHQ_IO;
}

static struct chq_bytes column_view(sqlite3_stmt *s, int at)
{
    const void *blob = sqlite3_column_blob(s, at);
    return chq_bytes(blob, (size_t)sqlite3_column_bytes(s, at));
}

enum chq_err chq_store_get_message(struct chq_store *store, uint32_t queue, uint64_t sequence,
    uint8_t put_id[CHQ_PUT_ID_BYTES], uint64_t *wall_s, struct chq_bytes *body)
{
    sqlite3_stmt *s = use(store, GET_MESSAGE);
    sqlite3_bind_int64(s, 1, key_of(queue, sequence));
    CHQ_TRY(get_row(store, s));
    if (!column_blob(s, 0, put_id, CHQ_PUT_ID_BYTES))
        return CHQ_MALFORMED;
    *wall_s = column_number(s, 1);
    *body = column_view(s, 2);
    return CHQ_OK;
}

enum chq_err chq_store_get_bundle(struct chq_store *store, uint32_t queue, struct chq_bytes *body)
{
    sqlite3_stmt *s = use(store, GET_BUNDLE);
    bind_number(s, 1, queue);
    CHQ_TRY(get_row(store, s));
    *body = column_view(s, 0);
    return CHQ_OK;
}

enum chq_err chq_store_get_prekey(
    struct chq_store *store, uint32_t queue, uint64_t number, struct chq_bytes *body)
{
    sqlite3_stmt *s = use(store, GET_PREKEY);
    sqlite3_bind_int64(s, 1, key_of(queue, number));
    CHQ_TRY(get_row(store, s));
    *body = column_view(s, 0);
    return CHQ_OK;
}

uint64_t chq_store_get_number(struct chq_store *store, const char *name)
{
    sqlite3_stmt *s = use(store, GET_NUMBER);
    sqlite3_bind_text(s, 1, name, -1, SQLITE_STATIC);
    uint64_t value = get_row(store, s) == CHQ_OK ? column_number(s, 0) : 0;
    sqlite3_reset(s);
    return value;
}

void chq_store_set_number(struct chq_store *store, const char *name, uint64_t value)
{
    begin(store);
    sqlite3_stmt *s = use(store, SET_NUMBER);
    sqlite3_bind_text(s, 1, name, -1, SQLITE_STATIC);
    bind_number(s, 2, value);
    run(store, s);
}

static enum chq_err read_grant(struct chq_store *store, sqlite3_stmt *s, struct chq_store_grant *out)
{
    enum chq_err err = get_row(store, s);
    if (err == CHQ_OK && !column_blob(s, 0, out->account, CHQ_ID_BYTES))
        err = CHQ_MALFORMED;
    if (err == CHQ_OK) {
        out->nonce = column_number(s, 1);
        out->done = sqlite3_column_int(s, 2) != 0;
    }
    sqlite3_reset(s);
    return err;
}

enum chq_err chq_store_get_grant(
    struct chq_store *store, const uint8_t account[CHQ_ID_BYTES], struct chq_store_grant *out)
{
    sqlite3_stmt *s = use(store, GET_GRANT);
    bind_blob(s, 1, account, CHQ_ID_BYTES);
    return read_grant(store, s, out);
}

enum chq_err chq_store_get_open_grant(struct chq_store *store, struct chq_store_grant *out)
{
    return read_grant(store, use(store, GET_OPEN_GRANT), out);
}

void chq_store_set_grant(struct chq_store *store, const struct chq_store_grant *grant)
{
    begin(store);
    sqlite3_stmt *s = use(store, SET_GRANT);
    bind_blob(s, 1, grant->account, CHQ_ID_BYTES);
    bind_number(s, 2, grant->nonce);
    bind_number(s, 3, grant->done);
    run(store, s);
}

void chq_store_delete_grant(struct chq_store *store, const uint8_t account[CHQ_ID_BYTES])
{
    begin(store);
    sqlite3_stmt *s = use(store, DELETE_GRANT);
    bind_blob(s, 1, account, CHQ_ID_BYTES);
    run(store, s);
}
