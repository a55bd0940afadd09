/* SPDX-License-Identifier: Apache-2.0 */
#include "ledger/engine/journal.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/crypto/hash.h"
#include "core/crypto/keys.h"
#include "unit.h"

static char dir[] = "/tmp/chq-journal-XXXXXX";

static enum chq_err ignore(void *context, uint64_t height, struct chq_bytes payload, char *reason)
{
    (void)context, (void)height, (void)payload, (void)reason;
    return CHQ_OK;
}

static enum chq_err open_it(struct chq_journal **journal)
{
    const struct chq_journal_config config = {.dir = dir, .segment_bytes = 65536, .replay = ignore};
    char reason[CHQ_ENGINE_REASON_BYTES];
    return chq_journal_open(journal, &config, reason);
}

/* An entry without payload, as a stranger could write it into a batch. */
static void fake_entry(uint8_t out[CHQ_JOURNAL_ENTRY_HEAD], uint64_t height)
{
    memcpy(out, "CHQJ", 4);
    chq_store_u32(out + 4, 0);
    chq_store_u64(out + 8, height);
    const struct chq_bytes parts[] = {chq_bytes(out, 16), chq_bytes(NULL, 0)};
    chq_hash(out + 16, "chasqui journal v1", parts, 2);
}

/* Two blocks, the second torn at its end; in front of that, something like an entry of that height. */
static enum chq_err torn_around(uint64_t height, uint64_t *newest)
{
    struct chq_journal *journal;
    char reason[CHQ_ENGINE_REASON_BYTES], path[128];
    uint8_t payload[256] = {1};
    memset(payload + 200, 7, 56);
    fake_entry(payload + 48, height);
    assert_int_equal(open_it(&journal), CHQ_OK);
    assert_int_equal(chq_journal_append(journal, 1, chq_bytes(payload, 16), reason), CHQ_OK);
    assert_int_equal(chq_journal_append(journal, 2, chq_bytes(payload, sizeof payload), reason), CHQ_OK);
    chq_journal_close(journal);
    snprintf(path, sizeof path, "%s/journal-%020d", dir, 1);
    int fd = open(path, O_RDWR);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, "torn", 4, 64 + 48 + 240), 4);
    close(fd);
    enum chq_err err = open_it(&journal);
    *newest = err == CHQ_OK ? chq_journal_height(journal) : 0;
    chq_journal_close(err == CHQ_OK ? journal : NULL);
    unlink(path);
    return err;
}

static void a_strangers_bytes_do_not_make_a_torn_block_corruption(void **state)
{
    (void)state;
    uint64_t newest;
    assert_int_equal(torn_around(UINT64_C(0xa200030158200000), &newest), CHQ_OK);
    assert_int_equal(newest, 1);
    assert_int_equal(torn_around(3, &newest), CHQ_MALFORMED); /* so it is when a real one follows */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_strangers_bytes_do_not_make_a_torn_block_corruption),
    };
    if (mkdtemp(dir) == NULL || chq_crypto_init() != CHQ_OK)
        return 1;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    rmdir(dir);
    return failed;
}
