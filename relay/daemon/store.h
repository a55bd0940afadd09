/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CHQ_RELAY_DAEMON_STORE_H
#define CHQ_RELAY_DAEMON_STORE_H

#include "core/base/log.h"
#include "relay/mailbox/mailbox.h"
#include "relay/meter/meter.h"

/*
 * The relay's database (SQLite, WAL, synchronous=FULL): mailboxes, channels, the relay's own small facts. Changes go into one open
 * transaction; chq_store_commit makes all of them durable or none. After an input or output error nothing more is
 * written until the process starts again: an fsync that failed once cannot be trusted when it is repeated.
 */
struct chq_store;

/* Open or create. CHQ_IO: cannot (the log says why); CHQ_MALFORMED: damaged, or not a relay's database;
 * CHQ_UNSUPPORTED: of a newer version. */
CHQ_MUST_CHECK enum chq_err chq_store_open(
    struct chq_store **out, const char *path, const struct chq_log *log);
void chq_store_close(struct chq_store *store);

/* Give all rows to the cores. CHQ_MALFORMED when they contradict each other. */
CHQ_MUST_CHECK enum chq_err chq_store_load(
    struct chq_store *store, struct chq_mailbox *mailbox, struct chq_meter *meter);

/* Add changes to the open transaction. An error sticks until chq_store_commit, which then returns it. */
void chq_store_apply_mailbox(struct chq_store *store, const struct chq_mailbox_record *record);
void chq_store_apply_meter(struct chq_store *store, const struct chq_meter_record *record);
/* Whether anything was added since the last commit. */
bool chq_store_is_dirty(const struct chq_store *store);
/* Make the open transaction durable. On CHQ_IO (disk full, input or output error) all of it is undone. */
CHQ_MUST_CHECK enum chq_err chq_store_commit(struct chq_store *store);
/* Return whether an input or output error has made the database read-only for good. */
bool chq_store_is_broken(const struct chq_store *store);

/* Return whether the put id is remembered for the queue. */
bool chq_store_has_put(struct chq_store *store, uint32_t queue, const uint8_t put_id[CHQ_PUT_ID_BYTES]);
/* Fetch what a send action needs; views are borrowed until the next call on the store. CHQ_NOT_FOUND, CHQ_IO. */
CHQ_MUST_CHECK enum chq_err chq_store_get_message(struct chq_store *store, uint32_t queue, uint64_t sequence,
    uint8_t put_id[CHQ_PUT_ID_BYTES], uint64_t *wall_s, struct chq_bytes *body);
CHQ_MUST_CHECK enum chq_err chq_store_get_bundle(
    struct chq_store *store, uint32_t queue, struct chq_bytes *body);
CHQ_MUST_CHECK enum chq_err chq_store_get_prekey(
    struct chq_store *store, uint32_t queue, uint64_t number, struct chq_bytes *body);

/* Small numbers by name; 0 when there is none. */
uint64_t chq_store_get_number(struct chq_store *store, const char *name);
void chq_store_set_number(struct chq_store *store, const char *name, uint64_t value);

/* Starting allowances: given once per account. The nonce is that of the batch that pays it. */
struct chq_store_grant {
    uint8_t account[CHQ_ID_BYTES];
    uint64_t nonce;
    bool done;
};
CHQ_MUST_CHECK enum chq_err chq_store_get_grant(
    struct chq_store *store, const uint8_t account[CHQ_ID_BYTES], struct chq_store_grant *out);
/* The one that is under way, if any: CHQ_NOT_FOUND otherwise. */
CHQ_MUST_CHECK enum chq_err chq_store_get_open_grant(struct chq_store *store, struct chq_store_grant *out);
void chq_store_set_grant(struct chq_store *store, const struct chq_store_grant *grant);
void chq_store_delete_grant(struct chq_store *store, const uint8_t account[CHQ_ID_BYTES]);

#endif
