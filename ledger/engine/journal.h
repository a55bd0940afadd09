/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CHQ_LEDGER_ENGINE_JOURNAL_H
#define CHQ_LEDGER_ENGINE_JOURNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "core/base/bytes.h"
#include "core/base/err.h"
#include "core/base/log.h"

/*
 * The journal: one entry a block, durable before anybody is answered. Segment files "journal-<first height>",
 * preallocated with zeros, so that an append changes no file size and costs one fdatasync. An entry, at a multiple
 * of 8 bytes:
 *
 *   0   4  "CHQJ"
 *   4   4  payload bytes
 *   8   8  height
 *  16  32  H("chasqui journal v1", the 16 bytes above, payload)
 *  48      payload, zeros to a multiple of 8
 *
 * What a crash left half written at the end is cut off. A bad entry that something good follows, or that must have
 * been good (its height was durable), is corruption and refused. After a failed write or fdatasync nothing more is
 * written: the kernel may have dropped the pages, so trying again could acknowledge what is not there.
 */
struct chq_journal;

#define CHQ_ENGINE_REASON_BYTES   512
#define CHQ_JOURNAL_SEGMENT_BYTES (16u * 1024 * 1024)
#define CHQ_JOURNAL_ENTRY_HEAD    48

/* What the journal asks of the system; NULL members stand for the system's own. Tests let them fail. */
struct chq_journal_disk {
    ssize_t (*pwrite)(int fd, const void *data, size_t size, off_t at);
    int (*fdatasync)(int fd);
    int (*allocate)(int fd, off_t at, off_t size); /* posix_fallocate: returns the error number */
};

struct chq_journal_config {
    const char *dir;
    const struct chq_journal_disk *disk; /* NULL: the system's */
    const struct chq_log *log; /* NULL: none */
    size_t segment_bytes; /* 0: CHQ_JOURNAL_SEGMENT_BYTES */
    uint64_t durable_height; /* up to here every entry that is found must be good */
    bool read_only; /* look only: a torn tail stays as it is */
    /* Called for every entry, heights rising by one. An error stops and comes back from chq_journal_open. */
    enum chq_err (*replay)(void *context, uint64_t height, struct chq_bytes payload, char *reason);
    void *context;
};

/*
 * Open the journal of a folder, which may be empty, and replay it. CHQ_IO: cannot be read or written; CHQ_MALFORMED:
 * corrupted; `reason` (CHQ_ENGINE_REASON_BYTES) tells which file and where.
 */
CHQ_MUST_CHECK enum chq_err chq_journal_open(
    struct chq_journal **out, const struct chq_journal_config *config, char *reason);
void chq_journal_close(struct chq_journal *journal); /* NULL is fine */

/*
 * Append an entry; CHQ_OK means that it is durable. CHQ_IO: it may or may not be; the journal takes nothing more.
 * CHQ_LIMIT: too big, nothing happened.
 */
CHQ_MUST_CHECK enum chq_err chq_journal_append(
    struct chq_journal *journal, uint64_t height, struct chq_bytes payload, char *reason);

/* Delete segments all of whose entries are at or below `height`, but never the newest. */
void chq_journal_forget(struct chq_journal *journal, uint64_t height);

/* The height of the newest entry, 0 when there is none. */
uint64_t chq_journal_height(const struct chq_journal *journal);

#endif
