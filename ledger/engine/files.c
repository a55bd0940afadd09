/* SPDX-License-Identifier: Apache-2.0 */
/* The small files of a chain's folder. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ledger/engine/embedded.h"

static enum chq_err read_file(
    const char *dir, const char *name, uint8_t *out, size_t cap, size_t *size, struct stat *st, char *reason)
{
    char path[PATH_MAX];
    ssize_t n;
    *size = 0;
    snprintf(path, sizeof path, "%s/%s", dir, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        snprintf(reason, CHQ_ENGINE_REASON_BYTES, "cannot open %.300s: %s", path, strerror(errno));
        return errno == ENOENT || errno == ENOTDIR ? CHQ_NOT_FOUND : CHQ_IO;
    }
    while (*size < cap && (n = read(fd, out + *size, cap - *size)) > 0)
        *size += (size_t)n;
    bool failed = fstat(fd, st) != 0 || (size_t)st->st_size != *size;
    close(fd);
    if (failed)
        snprintf(reason, CHQ_ENGINE_REASON_BYTES, "%.300s does not read back or is too long", path);
    return failed ? CHQ_IO : CHQ_OK;
}

enum chq_err chq_genesis_load(const char *dir, struct chq_genesis *out, char *reason)
{
    static uint8_t bytes[CHQ_GENESIS_BYTES_MAX];
    struct stat st;
    size_t size;
    if (stat(dir, &st) != 0) {
        snprintf(reason, CHQ_ENGINE_REASON_BYTES,
            "there is no folder %.200s: make a chain with 'chasqui-ledger init --dir %.200s --chain-id NAME'",
            dir, dir);
        return CHQ_NOT_FOUND;
    }
    enum chq_err err = read_file(dir, CHQ_GENESIS_FILE, bytes, sizeof bytes, &size, &st, reason);
    if (err == CHQ_NOT_FOUND)
        snprintf(reason, CHQ_ENGINE_REASON_BYTES,
            "%.200s is not a Chasqui ledger: it has no %s. Make one with 'chasqui-ledger init --dir %.200s "
            "--chain-id NAME'",
            dir, CHQ_GENESIS_FILE, dir);
    if (err != CHQ_OK)
        return err;
    err = chq_genesis_read(chq_bytes(bytes, size), out);
    if (err != CHQ_OK)
        snprintf(reason, CHQ_ENGINE_REASON_BYTES, "%.200s/%s is %s", dir, CHQ_GENESIS_FILE,
            err == CHQ_UNSUPPORTED ? "of a version that this program does not know" : "corrupted");
    return err;
}

enum chq_err chq_key_load(const char *dir, const char *name, uint8_t seed[CHQ_SEED_BYTES], char *reason)
{
    uint8_t bytes[CHQ_SEED_BYTES + 1];
    struct stat st;
    size_t size;
    enum chq_err err = read_file(dir, name, bytes, sizeof bytes, &size, &st, reason);
    if (err == CHQ_OK && size != CHQ_SEED_BYTES) {
        snprintf(reason, CHQ_ENGINE_REASON_BYTES, "%.200s/%s is not a key: it must have 32 bytes", dir, name);
        err = CHQ_MALFORMED;
    }
    if (err == CHQ_OK && (st.st_mode & 077) != 0) {
        snprintf(reason, CHQ_ENGINE_REASON_BYTES,
            "others may read %.200s/%s: make it yours alone with 'chmod 600', if they have not read it yet",
            dir, name);
        err = CHQ_AUTH;
    }
    if (err == CHQ_OK)
        memcpy(seed, bytes, CHQ_SEED_BYTES);
    chq_wipe(bytes, sizeof bytes);
    return err;
}

enum chq_err chq_file_make(const char *dir, const char *name, struct chq_bytes content, char *reason)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0) {
        snprintf(reason, CHQ_ENGINE_REASON_BYTES, "cannot make %.300s: %s", path, strerror(errno));
        return errno == EEXIST ? CHQ_EXISTS : CHQ_IO;
    }
    bool failed = write(fd, content.data, content.size) != (ssize_t)content.size || fsync(fd) != 0;
    if (close(fd) != 0 || failed) {
        snprintf(reason, CHQ_ENGINE_REASON_BYTES, "cannot write %.300s: %s", path, strerror(errno));
        return CHQ_IO;
    }
    return CHQ_OK;
}
