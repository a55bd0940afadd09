/* SPDX-License-Identifier: Apache-2.0 */
#include "ledger/engine/journal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/assert.h"
#include "core/crypto/hash.h"

#define MAGIC        "CHQJ"
#define SEGMENTS_MAX 4096
#define PAYLOAD_MAX  (1u << 30)
#define NAME_FORMAT  "%s/journal-%020" PRIu64
#define PATH_BYTES   (PATH_MAX + 64)

struct chq_journal {
    char dir[PATH_MAX];
    struct chq_journal_disk disk;
    const struct chq_log *log;
    size_t segment_bytes;
    bool read_only, failed;
    uint64_t segments[SEGMENTS_MAX]; /* first heights, rising */
    size_t segments_count;
    int fd; /* of the newest segment, -1: none */
    size_t at; /* where the next entry goes */
    size_t allocated; /* bytes of the newest segment */
    uint64_t height;
    uint8_t *buffer; /* an entry is written in one piece */
    size_t buffer_cap;
};

static size_t padded(size_t size)
{
    return (size + 7) & ~(size_t)7;
}

static void segment_path(const struct chq_journal *j, uint64_t first, char out[PATH_BYTES])
{
    snprintf(out, PATH_BYTES, NAME_FORMAT, j->dir, first);
}

static void entry_hash(uint8_t out[32], const uint8_t head[16], struct chq_bytes payload)
{
    const struct chq_bytes parts[] = {chq_bytes(head, 16), payload};
    chq_hash(out, "chasqui journal v1", parts, 2);
}

/* Return the size of the good entry at `at` of a segment, or 0. */
static size_t entry_at(struct chq_bytes segment, size_t at, uint64_t *height, struct chq_bytes *payload)
{
    uint8_t hash[32];
    if (segment.size < CHQ_JOURNAL_ENTRY_HEAD || at > segment.size - CHQ_JOURNAL_ENTRY_HEAD)
        return 0;
    const uint8_t *head = segment.data + at;
    size_t size = chq_load_u32(head + 4);
    if (memcmp(head, MAGIC, 4) != 0 || size > segment.size - at - CHQ_JOURNAL_ENTRY_HEAD)
        return 0;
    *payload = chq_bytes(head + CHQ_JOURNAL_ENTRY_HEAD, size);
    entry_hash(hash, head, *payload);
    if (memcmp(hash, head + 16, sizeof hash) != 0)
        return 0;
    *height = chq_load_u64(head + 8);
    return padded(CHQ_JOURNAL_ENTRY_HEAD + size);
}

/*
 * Whether any good entry starts behind `at`, of a height that can come soon after `newest`: whoever sends batches can put bytes
 * that look like an entry into one, and must not make a torn block look like corruption that stops the start.
 */
static bool good_entry_follows(struct chq_bytes segment, size_t at, uint64_t newest)
{
    struct chq_bytes payload;
    uint64_t height;
    for (at += 8; at + CHQ_JOURNAL_ENTRY_HEAD <= segment.size; at += 8)
        if (entry_at(segment, at, &height, &payload) > 0 && height > newest &&
            height - newest <= segment.size / CHQ_JOURNAL_ENTRY_HEAD)
            return true;
    return false;
}

/* Where the last byte that is not zero ends. */
static size_t used_size(struct chq_bytes segment)
{
    size_t size = segment.size;
    while (size > 0 && segment.data[size - 1] == 0)
        size--;
    return size;
}

static int compare_heights(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static enum chq_err list_segments(struct chq_journal *j, char *reason)
{
    DIR *dir = opendir(j->dir);
    const struct dirent *entry;
    if (dir == NULL) {
        snprintf(
            reason, CHQ_ENGINE_REASON_BYTES, "cannot read the folder %.200s: %s", j->dir, strerror(errno));
        return CHQ_IO;
    }
    while ((entry = readdir(dir)) != NULL && j->segments_count < SEGMENTS_MAX) {
        uint64_t first;
        char again[64];
        if (sscanf(entry->d_name, "journal-%" SCNu64, &first) != 1)
            continue;
        snprintf(again, sizeof again, "journal-%020" PRIu64, first);
        if (strcmp(again, entry->d_name) == 0)
            j->segments[j->segments_count++] = first;
    }
    closedir(dir);
    qsort(j->segments, j->segments_count, sizeof *j->segments, compare_heights);
    return CHQ_OK;
}

static enum chq_err corrupted(
    const struct chq_journal *j, uint64_t first, size_t at, const char *why, char *reason)
{
    char path[PATH_BYTES];
    segment_path(j, first, path);
    snprintf(reason, CHQ_ENGINE_REASON_BYTES,
        "%.200s is corrupted at byte %zu: %s. Nothing was changed; restore it from a backup.", path, at, why);
    return CHQ_MALFORMED;
}

/* Zero what a crash left behind `at`, so that it can never be read as part of a later entry. */
static enum chq_err cut_tail(struct chq_journal *j, size_t at, size_t end, char *reason)
{
    static const uint8_t zeros[4096];
    while (at < end) {
        size_t n = end - at < sizeof zeros ? end - at : sizeof zeros;
        if (j->disk.pwrite(j->fd, zeros, n, (off_t)at) != (ssize_t)n) {
            snprintf(reason, CHQ_ENGINE_REASON_BYTES, "cannot write the journal: %s", strerror(errno));
            return CHQ_IO;
        }
        at += n;
    }
    if (j->disk.fdatasync(j->fd) != 0) {
        snprintf(reason, CHQ_ENGINE_REASON_BYTES, "cannot sync the journal: %s", strerror(errno));
        return CHQ_IO;
    }
    return CHQ_OK;
}

static enum chq_err replay_segment(struct chq_journal *j, const struct chq_journal_config *config,
    size_t index, struct chq_bytes segment, char *reason)
{
    bool newest = index + 1 == j->segments_count;
    uint64_t first = j->segments[index], height = 0;
    struct chq_bytes payload;
    size_t at = 0, size;
    while ((size = entry_at(segment, at, &height, &payload)) > 0) {
        bool in_order = at == 0 ? height == first : height == j->height + 1;
        if (!in_order || (at == 0 && j->height != 0 && height != j->height + 1))
            return corrupted(j, first, at, "a block is missing before it", reason);
        CHQ_TRY(config->replay(config->context, height, payload, reason));
        j->height = height;
        at += size;
    }
    size_t used = used_size(segment);
    if (used > at || !newest) {
        if (!newest && used <= at)
            goto done;
        if (!newest || good_entry_follows(segment, at, j->height))
            return corrupted(j, first, at, "its checksum does not fit, and it is not the end", reason);
        if (j->height < config->durable_height)
            return corrupted(j, first, at, "a block that was durable does not read back", reason);
        chq_logf(j->log, CHQ_LOG_WARNING,
            "journal: %zu bytes of a block that a crash cut off were dropped after height %" PRIu64,
            used - at, j->height);
    }
done:
    if (newest) {
        j->at = at;
        j->allocated = segment.size;
        if (used > at && !j->read_only)
            return cut_tail(j, at, used, reason);
    }
    return CHQ_OK;
}

static enum chq_err open_segment(
    struct chq_journal *j, const struct chq_journal_config *config, size_t index, char *reason)
{
    char path[PATH_BYTES];
    struct stat st;
    void *map = NULL;
    segment_path(j, j->segments[index], path);
    int fd = open(path, (j->read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) != 0) {
        snprintf(reason, CHQ_ENGINE_REASON_BYTES, "cannot open %.200s: %s", path, strerror(errno));
        if (fd >= 0)
            close(fd);
        return CHQ_IO;
    }
    if (j->fd >= 0)
        close(j->fd);
    j->fd = fd;
    j->at = 0;
    j->allocated = (size_t)st.st_size;
    if (st.st_size == 0)
        return CHQ_OK; /* killed between making the file and filling it */
    map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (map == MAP_FAILED) {
        snprintf(reason, CHQ_ENGINE_REASON_BYTES, "cannot map %.200s: %s", path, strerror(errno));
        return CHQ_IO;
    }
    enum chq_err err = replay_segment(j, config, index, chq_bytes(map, (size_t)st.st_size), reason);
    munmap(map, (size_t)st.st_size);
    return err;
}

enum chq_err chq_journal_open(struct chq_journal **out, const struct chq_journal_config *config, char *reason)
{
    static const struct chq_journal_disk system = {pwrite, fdatasync, posix_fallocate};
    struct chq_journal *j = calloc(1, sizeof *j);
    *out = NULL;
    if (j == NULL)
        return CHQ_NO_MEMORY;
    j->fd = -1;
    j->disk = system;
    if (config->disk != NULL) {
        j->disk.pwrite = config->disk->pwrite != NULL ? config->disk->pwrite : pwrite;
        j->disk.fdatasync = config->disk->fdatasync != NULL ? config->disk->fdatasync : fdatasync;
        j->disk.allocate = config->disk->allocate != NULL ? config->disk->allocate : posix_fallocate;
    }
    j->log = config->log;
    j->segment_bytes = config->segment_bytes > 0 ? config->segment_bytes : CHQ_JOURNAL_SEGMENT_BYTES;
    j->read_only = config->read_only;
    snprintf(j->dir, sizeof j->dir, "%s", config->dir);
    enum chq_err err = list_segments(j, reason);
    for (size_t i = 0; i < j->segments_count && err == CHQ_OK; i++)
        err = open_segment(j, config, i, reason);
    if (err != CHQ_OK) {
        chq_journal_close(j);
        return err;
    }
    *out = j;
    return CHQ_OK;
}

void chq_journal_close(struct chq_journal *j)
{
    if (j == NULL)
        return;
    if (j->fd >= 0)
        close(j->fd);
    free(j->buffer);
    free(j);
}

static int sync_dir(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int failed = fd < 0 || fsync(fd) != 0;
    if (fd >= 0)
        close(fd);
    return failed ? -1 : 0;
}

/* Start a segment whose first entry is `height`, with room for `bytes` at least. */
static int start_segment(struct chq_journal *j, uint64_t height, size_t bytes)
{
    char path[PATH_BYTES];
    size_t size = bytes > j->segment_bytes ? bytes : j->segment_bytes;
    segment_path(j, height, path);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return -1;
    int error = j->disk.allocate(fd, 0, (off_t)size);
    if (error != 0 || fsync(fd) != 0 || sync_dir(j->dir) != 0) {
        if (error != 0)
            errno = error;
        error = errno;
        close(fd);
        unlink(path);
        errno = error;
        return -1;
    }
    if (j->fd >= 0)
        close(j->fd);
    j->fd = fd;
    j->at = 0;
    j->allocated = size;
    if (j->segments_count == 0 || j->segments[j->segments_count - 1] != height)
        j->segments[j->segments_count++] = height;
    return 0;
}

static enum chq_err fail(struct chq_journal *j, const char *what, char *reason)
{
    j->failed = true;
    snprintf(reason, CHQ_ENGINE_REASON_BYTES,
        "cannot %s in %.200s: %s. Nothing more is taken; free space or repair the disk, then restart.", what,
        j->dir, strerror(errno));
    return CHQ_IO;
}

static enum chq_err make_entry(struct chq_journal *j, uint64_t height, struct chq_bytes payload, size_t size)
{
    if (size > j->buffer_cap) {
        uint8_t *grown = realloc(j->buffer, size);
        if (grown == NULL)
            return CHQ_NO_MEMORY;
        j->buffer = grown;
        j->buffer_cap = size;
    }
    memcpy(j->buffer, MAGIC, 4);
    chq_store_u32(j->buffer + 4, (uint32_t)payload.size);
    chq_store_u64(j->buffer + 8, height);
    entry_hash(j->buffer + 16, j->buffer, payload);
    memcpy(j->buffer + CHQ_JOURNAL_ENTRY_HEAD, payload.data, payload.size);
    memset(
        j->buffer + CHQ_JOURNAL_ENTRY_HEAD + payload.size, 0, size - CHQ_JOURNAL_ENTRY_HEAD - payload.size);
    return CHQ_OK;
}

enum chq_err chq_journal_append(
    struct chq_journal *j, uint64_t height, struct chq_bytes payload, char *reason)
{
    size_t size = padded(CHQ_JOURNAL_ENTRY_HEAD + payload.size), done = 0;
    CHQ_ASSERT(!j->read_only && (j->height == 0 || height == j->height + 1));
    if (j->failed) {
        snprintf(reason, CHQ_ENGINE_REASON_BYTES,
            "the journal failed before: the ledger is read-only until a restart");
        return CHQ_IO;
    }
    if (payload.size > PAYLOAD_MAX || j->segments_count >= SEGMENTS_MAX) {
        snprintf(
            reason, CHQ_ENGINE_REASON_BYTES, "the block is too big, or there are too many journal files");
        return CHQ_LIMIT;
    }
    CHQ_TRY(make_entry(j, height, payload, size));
    if ((j->fd < 0 || size > j->allocated - j->at) && start_segment(j, height, size) != 0)
        return fail(j, "make a journal file", reason);
    while (done < size) {
        ssize_t n = j->disk.pwrite(j->fd, j->buffer + done, size - done, (off_t)(j->at + done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return fail(j, "write the journal", reason);
        done += (size_t)n;
    }
    if (j->disk.fdatasync(j->fd) != 0)
        return fail(j, "sync the journal", reason);
    j->at += size;
    j->height = height;
    return CHQ_OK;
}

void chq_journal_forget(struct chq_journal *j, uint64_t height)
{
    char path[PATH_BYTES];
    size_t gone = 0;
    while (!j->read_only && gone + 1 < j->segments_count && j->segments[gone + 1] <= height + 1) {
        segment_path(j, j->segments[gone], path);
        if (unlink(path) != 0)
            break;
        gone++;
    }
    memmove(j->segments, j->segments + gone, (j->segments_count - gone) * sizeof *j->segments);
    j->segments_count -= gone;
}

uint64_t chq_journal_height(const struct chq_journal *j)
{
    return j->height;
}
