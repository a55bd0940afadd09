/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CHQ_CORE_STORE_STORE_H
#define CHQ_CORE_STORE_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/bytes.h"
#include "core/base/err.h"
#include "core/base/limits.h"
#include "core/base/random.h"

/*
 * A profile on disk: tables of key and value in one SQLite file, encrypted at rest. The one part of core that touches
 * files. A committed batch survives kill -9 and power loss (WAL, synchronous FULL).
 *
 *   DIR/profile.db   application_id 0x43485150 "CHQP", user_version = format
 *     unlock  one row: how the data key is wrapped (1 passphrase by Argon2id, 2 key of a keyring), its salt and
 *             parameters, nonce, the wrapped data key, and a BLAKE2b-256 sum of these, so that damage is told apart
 *             from a wrong passphrase
 *     item    t table number, k keyed BLAKE2b-256 of (t, key), v = nonce 24 | sealed(u16 key size | key | value),
 *             associated data = t | k
 *     sum     one row: XOR of keyed BLAKE2b-256 of every item, checked when the profile is opened: a row that vanished,
 *             moved or changed is noticed
 *   DIR/lock         held by flock while a process uses the profile; holds its pid
 *
 * Not thread-safe: one thread at a time.
 */
struct chq_store;

#define CHQ_STORE_KEY_BYTES      32
#define CHQ_STORE_FAULT_TEXT_MAX 512

/* What opens a profile: a passphrase (key NULL) or a key of CHQ_STORE_KEY_BYTES that a keyring keeps. */
struct chq_store_secret {
    struct chq_bytes passphrase;
    const uint8_t *key;
    uint32_t memory_bytes, passes; /* for chq_store_create with a passphrase; 0: the default */
};

/* Why a call failed, for people. `text` is a whole sentence that names the file and says what to do. */
enum chq_store_why {
    CHQ_STORE_FINE = 0,
    CHQ_STORE_MISSING, /* there is no profile there */
    CHQ_STORE_THERE, /* create: there is one already */
    CHQ_STORE_IN_USE, /* another process has it open; pid says which, 0 when it cannot be read */
    CHQ_STORE_WRONG_SECRET, /* wrong passphrase or keyring key */
    CHQ_STORE_OTHER_SECRET, /* a passphrase was given, a key is wanted, or the other way round */
    CHQ_STORE_FOREIGN, /* a file, but no profile of Chasqui */
    CHQ_STORE_NEWER, /* written by a newer version */
    CHQ_STORE_DAMAGED, /* some bytes are not what was written */
    CHQ_STORE_FULL, /* no room on the disk */
    CHQ_STORE_READ_ONLY, /* no right to write there */
    CHQ_STORE_FAILED /* the disk failed otherwise, or no memory */
};

struct chq_store_fault {
    enum chq_store_why why;
    long pid;
    char text[CHQ_STORE_FAULT_TEXT_MAX];
};

/*
 * Make directory `dir` (0700, with its parents) and a profile in it, and open it. `fault` says why when it fails; the
 * error is CHQ_EXISTS, CHQ_STATE (in use), CHQ_IO, CHQ_LIMIT or CHQ_NO_MEMORY. A call that died half-way leaves nothing
 * that a second call takes for a profile.
 */
CHQ_MUST_CHECK enum chq_err chq_store_create(const char *dir, const struct chq_store_secret *secret,
    const struct chq_random *random, struct chq_store **out, struct chq_store_fault *fault);

/*
 * Open the profile in `dir`, check its structure, bring it to this version's format. Errors: CHQ_NOT_FOUND, CHQ_STATE (in
 * use, other kind of secret), CHQ_AUTH (wrong secret), CHQ_MALFORMED (foreign, damaged), CHQ_UNSUPPORTED (newer), CHQ_IO.
 */
CHQ_MUST_CHECK enum chq_err chq_store_open(const char *dir, const struct chq_store_secret *secret,
    const struct chq_random *random, struct chq_store **out, struct chq_store_fault *fault);

/* Say what opens the profile in `dir` without opening it: true in `by_key` for a keyring's key. CHQ_NOT_FOUND, CHQ_MALFORMED. */
CHQ_MUST_CHECK enum chq_err chq_store_peek(const char *dir, bool *by_key, struct chq_store_fault *fault);

/* Roll back what is not committed, close, give up the lock, wipe the keys. NULL is allowed. */
void chq_store_close(struct chq_store *store);

/* The last failure of this store; valid until the next call. */
const struct chq_store_fault *chq_store_last_fault(const struct chq_store *store);

/*
 * Batches: begin, puts and deletes, commit. Commit returns CHQ_OK only when the batch is on disk, whole. When any call
 * of a batch fails, the batch is rolled back at commit (or by rollback), which then returns the first error. Keys are 1
 * to CHQ_STORE_ITEM_KEY_MAX bytes, values at most CHQ_STORE_ITEM_VALUE_MAX (CHQ_LIMIT).
 */
CHQ_MUST_CHECK enum chq_err chq_store_begin(struct chq_store *store);
void chq_store_put(struct chq_store *store, uint8_t table, struct chq_bytes key, struct chq_bytes value);
/* Remove an item; none with that key is no error. */
void chq_store_delete(struct chq_store *store, uint8_t table, struct chq_bytes key);
CHQ_MUST_CHECK enum chq_err chq_store_commit(struct chq_store *store);
void chq_store_rollback(struct chq_store *store);

/*
 * Append the value of an item to `out`. CHQ_NOT_FOUND; CHQ_MALFORMED when its bytes are damaged (fault says which table).
 * Sees the open batch's own changes.
 */
CHQ_MUST_CHECK enum chq_err chq_store_get(
    struct chq_store *store, uint8_t table, struct chq_bytes key, struct chq_writer *out);

/*
 * Call `visit` for every item of a table, in no particular order; key and value are borrowed for the call, and wiped after
 * it. Stops at the first error of `visit` or at a damaged item (CHQ_MALFORMED) and returns it. `visit` must not write.
 */
CHQ_MUST_CHECK enum chq_err chq_store_each(struct chq_store *store, uint8_t table,
    enum chq_err (*visit)(void *context, struct chq_bytes key, struct chq_bytes value), void *context);

/* The number of items of a table. */
CHQ_MUST_CHECK enum chq_err chq_store_count(struct chq_store *store, uint8_t table, uint64_t *items);

#endif
