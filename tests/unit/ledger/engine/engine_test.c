/* SPDX-License-Identifier: Apache-2.0 */
/* The embedded engine on a real folder: what it answered is there after any end, and damage is seen. */
#include "ledger/engine/embedded.h"
#include "ledger/light/light.h"
#include "unit.h"

#include "../state/fixture.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define NOW_US (FIXTURE_TIME * 1000000 + 5)

static struct who issuer, ana;
static struct chq_genesis genesis;
static char dir[32], reason[CHQ_ENGINE_REASON_BYTES];

static void remove_folder(void)
{
    char path[PATH_MAX];
    DIR *d = opendir(dir);
    const struct dirent *entry;
    while (d != NULL && (entry = readdir(d)) != NULL) {
        snprintf(path, sizeof path, "%s/%s", dir, entry->d_name);
        unlink(path);
    }
    if (d != NULL)
        closedir(d);
    rmdir(dir);
}

static int make_folder(void **state)
{
    (void)state;
    uint8_t seed[32] = {77};
    struct chq_sign_pair validator;
    struct chq_writer w = chq_writer_heap(CHQ_GENESIS_BYTES_MAX);
    snprintf(dir, sizeof dir, "/tmp/chq-engine-XXXXXX");
    if (mkdtemp(dir) == NULL)
        return -1;
    who_init(&issuer, 1000);
    who_init(&ana, 1);
    fixture_genesis(&genesis, &issuer);
    chq_sign_pair_from_seed(&validator, seed);
    memcpy(genesis.validators[0].key, validator.public_key, 32);
    chq_genesis_put(&w, &genesis);
    int failed = chq_file_make(dir, CHQ_GENESIS_FILE, chq_writer_bytes(&w), reason) != CHQ_OK ||
                 chq_file_make(dir, CHQ_VALIDATOR_FILE, chq_bytes(seed, 32), reason) != CHQ_OK;
    chq_writer_free(&w);
    return failed ? -1 : 0;
}

static int drop_folder(void **state)
{
    (void)state;
    remove_folder();
    return 0;
}

static enum chq_err open_engine(struct chq_engine **engine, const struct chq_journal_disk *disk)
{
    const struct chq_embedded_config config = {
        .dir = dir, .disk = disk, .segment_bytes = 64 * 1024, .snapshot_delay_ms = 60000};
    return chq_embedded_open(engine, &config, NULL, reason);
}

static struct chq_engine *must_open(void)
{
    struct chq_engine *engine = NULL;
    enum chq_err err = open_engine(&engine, NULL);
    if (err != CHQ_OK)
        fail_msg("open: %d %s", err, reason);
    return engine;
}

/* End without the snapshot being written: as after kill -9, for all the files can tell. */
static void copy_away_and_close(struct chq_engine *engine)
{
    char command[512];
    snprintf(command, sizeof command, "%s.save", dir);
    mkdir(command, 0700);
    snprintf(command, sizeof command, "cp %s/* %s.save/ && rm -f %s/*", dir, dir, dir);
    assert_int_equal(system(command), 0);
    chq_engine_close(engine);
    snprintf(command, sizeof command, "rm -f %s/* && cp %s.save/* %s/ && rm -r %s.save", dir, dir, dir, dir);
    assert_int_equal(system(command), 0);
}

struct outcomes {
    enum chq_err last;
    unsigned count;
    char reason[256];
};

static void note(void *context, const struct chq_engine_outcome *outcome)
{
    struct outcomes *o = context;
    o->last = outcome->err;
    o->count++;
    snprintf(o->reason, sizeof o->reason, "%s", outcome->reason);
    assert_true((outcome->height > 0) == (outcome->err == CHQ_OK));
}

static enum chq_err submit(
    struct chq_engine *engine, struct who *who, struct chq_operation op, struct outcomes *o)
{
    const struct chq_engine_outcomes outcomes = {.outcome = note, .context = o};
    struct chq_writer w = chq_writer_heap(4096);
    *o = (struct outcomes){0};
    put_batch(&w, who, &op, 1);
    enum chq_err err = chq_engine_submit(engine, 5, chq_writer_bytes(&w), reason);
    chq_writer_free(&w);
    if (err != CHQ_OK)
        return err;
    assert_false(chq_engine_tick(engine, NOW_US, &outcomes));
    assert_int_equal(o->count, 1);
    if (o->last == CHQ_OK)
        who->nonce++;
    return o->last;
}

static uint64_t proved_balance(struct chq_engine *engine, const uint8_t id[32], uint64_t now_us)
{
    static uint8_t bytes[64 * 1024];
    struct chq_writer w = chq_writer_fixed(bytes, sizeof bytes);
    struct chq_ledger_request request = {.type = CHQ_LEDGER_QUERY, .kind = CHQ_RECORD_ACCOUNT};
    struct chq_light_answer answer;
    struct chq_account_record record;
    struct chq_light *light = NULL;
    const struct chq_light_trust trust = {.chain_id = chq_bytes_text(genesis.chain_id),
        .validators = genesis.validators,
        .validators_count = genesis.validators_count};
    memcpy(request.key, id, 32);
    assert_int_equal(chq_light_new(&light, &trust), CHQ_OK);
    chq_engine_query(engine, &request, now_us, &w);
    assert_int_equal(chq_writer_finish(&w), CHQ_OK);
    enum chq_err err = chq_light_verify_query(
        light, CHQ_RECORD_ACCOUNT, id, chq_writer_bytes(&w), now_us / 1000000, &answer);
    if (err != CHQ_OK)
        fail_msg("the light client refuses: %s", answer.reason);
    chq_light_free(light);
    if (!answer.present)
        return UINT64_MAX;
    assert_int_equal(chq_account_record_read(answer.value, &record), CHQ_OK);
    return record.balance_micro;
}

static void answers_survive_any_end(void **state)
{
    (void)state;
    struct outcomes o;
    struct chq_engine *engine = must_open(), *second = NULL;
    assert_int_equal(open_engine(&second, NULL), CHQ_STATE); /* one process at a time */
    assert_non_null(strstr(reason, "another chasqui-ledger"));
    assert_true(proved_balance(engine, ana.id, NOW_US) == UINT64_MAX); /* proved absent */
    assert_int_equal(submit(engine, &ana, op_create(&ana), &o), CHQ_OK);
    for (uint64_t i = 1; i <= 100; i++)
        assert_int_equal(submit(engine, &issuer, op_pay(CHQ_OPERATION_ISSUE, ana.id, i), &o), CHQ_OK);
    assert_int_equal(submit(engine, &ana, op_pay(CHQ_OPERATION_TRANSFER, issuer.id, 9999), &o), CHQ_PAYMENT);
    assert_string_equal(o.reason, "operation 0: the balance is 5050 microcredit, the transfer needs 9999");
    assert_int_equal(proved_balance(engine, ana.id, NOW_US), 5050);
    copy_away_and_close(engine); /* killed */
    engine = must_open();
    assert_int_equal(proved_balance(engine, ana.id, NOW_US), 5050);
    assert_int_equal(submit(engine, &ana, op_pay(CHQ_OPERATION_TRANSFER, issuer.id, 50), &o), CHQ_OK);
    chq_engine_close(engine); /* in order */
    engine = must_open();
    assert_int_equal(proved_balance(engine, ana.id, NOW_US), 5000);
    assert_int_equal(proved_balance(engine, ana.id, NOW_US + 3600ull * 1000000), 5000); /* a fresh header */
    chq_engine_close(engine);
    const struct chq_embedded_config check = {.dir = dir, .check = true};
    assert_int_equal(chq_embedded_open(&engine, &check, NULL, reason), CHQ_OK);
    chq_engine_close(engine);
}

/* Fill a journal with `blocks` blocks, no snapshot, and give the path of its newest segment. */
static void make_journal(unsigned blocks, char path[PATH_MAX])
{
    struct outcomes o;
    struct chq_engine *engine = must_open();
    assert_int_equal(submit(engine, &ana, op_create(&ana), &o), CHQ_OK);
    for (unsigned i = 1; i < blocks; i++)
        assert_int_equal(submit(engine, &issuer, op_pay(CHQ_OPERATION_ISSUE, ana.id, 1), &o), CHQ_OK);
    copy_away_and_close(engine);
    snprintf(path, PATH_MAX, "%s/journal-%020d", dir, 1);
}

/* Where the used part of a journal file ends. */
static size_t used_bytes(const char *path)
{
    static uint8_t bytes[64 * 1024];
    int fd = open(path, O_RDONLY);
    ssize_t n = read(fd, bytes, sizeof bytes);
    assert_true(n > 0);
    close(fd);
    while (n > 0 && bytes[n - 1] == 0)
        n--;
    return (size_t)n;
}

static void flip(const char *path, size_t at)
{
    uint8_t byte;
    int fd = open(path, O_RDWR);
    assert_int_equal(pread(fd, &byte, 1, (off_t)at), 1);
    byte ^= 0x40;
    assert_int_equal(pwrite(fd, &byte, 1, (off_t)at), 1);
    close(fd);
}

static void a_torn_end_is_cut_off_and_damage_is_refused(void **state)
{
    (void)state;
    char path[PATH_MAX];
    struct chq_engine *engine = NULL;
    struct outcomes o;
    make_journal(10, path);
    size_t used = used_bytes(path);
    flip(path, used / 2); /* in the middle: refused, again and again */
    for (int i = 0; i < 2; i++) {
        assert_int_equal(open_engine(&engine, NULL), CHQ_MALFORMED);
        assert_non_null(strstr(reason, "corrupted at byte"));
    }
    flip(path, used / 2);
    flip(path, used - 3); /* the last block, half written when the power went */
    engine = must_open();
    assert_int_equal(proved_balance(engine, ana.id, NOW_US), 8);
    issuer.nonce--;
    assert_int_equal(submit(engine, &issuer, op_pay(CHQ_OPERATION_ISSUE, ana.id, 7), &o), CHQ_OK);
    chq_engine_close(engine);
    engine = must_open();
    assert_int_equal(proved_balance(engine, ana.id, NOW_US), 15);
    chq_engine_close(engine);
    /* Now the snapshot knows that these blocks were durable, so a bad one is never taken for a torn end. */
    flip(path, used / 3);
    assert_int_equal(open_engine(&engine, NULL), CHQ_MALFORMED);
}

/* Wherever a crash cut the last block, and whatever the disk kept of it, the blocks before it are there. */
static void every_torn_write_is_survived(void **state)
{
    (void)state;
    static uint8_t whole[64 * 1024], torn[64 * 1024];
    char path[PATH_MAX], snapshot[PATH_MAX];
    make_journal(10, path);
    size_t used = used_bytes(path), begin = used - 700; /* the last block is about that long */
    int fd = open(path, O_RDWR);
    assert_int_equal(pread(fd, whole, sizeof whole, 0), sizeof whole);
    for (size_t cut = begin; cut < used; cut += 41) {
        for (int kept = 0; kept < 2; kept++) { /* zeros from there on, or only a hole of one sector */
            memcpy(torn, whole, sizeof whole);
            memset(torn + cut, 0, kept != 0 && used - cut > 512 ? 512 : used - cut);
            assert_int_equal(pwrite(fd, torn, sizeof torn, 0), sizeof torn);
            for (const char *const *suffix = (const char *const[]){"", "-wal", "-shm", NULL}; *suffix != NULL;
                 suffix++) {
                snprintf(snapshot, sizeof snapshot, "%s/snapshot.sqlite%s", dir, *suffix);
                unlink(snapshot);
            }
            struct chq_engine *engine = must_open();
            uint64_t balance = proved_balance(engine, ana.id, NOW_US);
            assert_int_equal(balance, 8);
            chq_engine_close(engine);
        }
    }
    close(fd);
}

static void foreign_files_are_refused(void **state)
{
    (void)state;
    char path[PATH_MAX], snapshot[PATH_MAX];
    struct chq_engine *engine = NULL;
    make_journal(3, path);
    snprintf(snapshot, sizeof snapshot, "%s/snapshot.sqlite-wal", dir);
    unlink(snapshot); /* a database's log alone would bring it back */
    snprintf(snapshot, sizeof snapshot, "%s/snapshot.sqlite", dir);
    unlink(snapshot);
    int fd = open(snapshot, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_int_equal(write(fd, "this is no database, it is a text", 33), 33);
    close(fd);
    assert_int_equal(open_engine(&engine, NULL), CHQ_MALFORMED);
    unlink(snapshot);
    engine = must_open(); /* without a snapshot the journal is enough */
    assert_int_equal(proved_balance(engine, ana.id, NOW_US), 2);
    chq_engine_close(engine);
    /* Another chain's genesis in front of this chain's snapshot. */
    char genesis_path[PATH_MAX];
    snprintf(genesis_path, sizeof genesis_path, "%s/%s", dir, CHQ_GENESIS_FILE);
    unlink(genesis_path);
    struct chq_genesis other = genesis;
    other.supply_max_micro++;
    struct chq_writer w = chq_writer_heap(CHQ_GENESIS_BYTES_MAX);
    chq_genesis_put(&w, &other);
    assert_int_equal(chq_file_make(dir, CHQ_GENESIS_FILE, chq_writer_bytes(&w), reason), CHQ_OK);
    assert_int_equal(open_engine(&engine, NULL), CHQ_AUTH);
    assert_non_null(strstr(reason, "another chain"));
    unlink(genesis_path);
    assert_int_equal(open_engine(&engine, NULL), CHQ_NOT_FOUND);
    assert_non_null(strstr(reason, "not a Chasqui ledger"));
    assert_int_equal(chq_file_make(dir, CHQ_GENESIS_FILE, chq_bytes("\xa0", 1), reason), CHQ_OK);
    assert_int_equal(open_engine(&engine, NULL), CHQ_MALFORMED);
    chq_writer_free(&w);
    char key[PATH_MAX];
    snprintf(key, sizeof key, "%s/%s", dir, CHQ_VALIDATOR_FILE);
    assert_int_equal(chmod(key, 0644), 0);
    uint8_t seed[32];
    assert_int_equal(chq_key_load(dir, CHQ_VALIDATOR_FILE, seed, reason), CHQ_AUTH);
    assert_non_null(strstr(reason, "chmod 600"));
}

static int failing_calls;

static int failing_sync(int fd)
{
    (void)fd;
    failing_calls++;
    errno = EIO;
    return -1;
}

static ssize_t full_disk(int fd, const void *data, size_t size, off_t at)
{
    failing_calls++;
    if (failing_calls == 1)
        return pwrite(fd, data, size / 2, at); /* the half that still fits */
    errno = ENOSPC;
    return -1;
}

static int full_allocate(int fd, off_t at, off_t size)
{
    (void)fd, (void)at, (void)size;
    failing_calls++;
    return ENOSPC;
}

/* After a failed write, sync or allocation nothing more is acknowledged, nothing is tried again, reading goes on. */
static void disk_errors_stop_the_acknowledging(void **state)
{
    (void)state;
    static const struct {
        struct chq_journal_disk disk;
        const char *word;
    } rows[] = {{{.fdatasync = failing_sync}, "sync"}, {{.pwrite = full_disk}, "No space left"},
        {{.allocate = full_allocate}, "No space left"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct outcomes o;
        struct chq_engine *engine = NULL;
        remove_folder();
        assert_int_equal(make_folder(NULL), 0);
        engine = must_open();
        assert_int_equal(submit(engine, &ana, op_create(&ana), &o), CHQ_OK);
        assert_int_equal(proved_balance(engine, ana.id, NOW_US), 0);
        chq_engine_close(engine);
        if (rows[i].disk.allocate != NULL) { /* make it need a new file */
            char path[PATH_MAX];
            snprintf(path, sizeof path, "%s/journal-%020d", dir, 1);
            unlink(path);
        }
        failing_calls = 0;
        assert_int_equal(open_engine(&engine, &rows[i].disk), CHQ_OK);
        assert_int_equal(submit(engine, &issuer, op_pay(CHQ_OPERATION_ISSUE, ana.id, 5), &o), CHQ_IO);
        assert_non_null(strstr(o.reason, rows[i].word));
        int calls = failing_calls;
        assert_int_equal(submit(engine, &issuer, op_pay(CHQ_OPERATION_ISSUE, ana.id, 5), &o), CHQ_IO);
        assert_int_equal(failing_calls, calls); /* never tried again */
        assert_int_equal(proved_balance(engine, ana.id, NOW_US), 0); /* what was acknowledged before */
        chq_engine_close(engine);
        engine = must_open(); /* repaired; a block that was never acknowledged may be there or not */
        uint64_t balance = proved_balance(engine, ana.id, NOW_US);
        assert_true(balance == 0 || balance == 5);
        chq_engine_close(engine);
    }
}

/* Many small segments and a fast snapshot: old files go, and the start finds everything. */
static void old_journal_files_are_deleted(void **state)
{
    (void)state;
    struct outcomes o;
    struct chq_engine *engine = NULL;
    const struct chq_embedded_config config = {.dir = dir, .segment_bytes = 4096, .snapshot_delay_ms = 1};
    assert_int_equal(chq_embedded_open(&engine, &config, NULL, reason), CHQ_OK);
    assert_int_equal(submit(engine, &ana, op_create(&ana), &o), CHQ_OK);
    for (int round = 0; round < 4; round++) {
        for (int i = 0; i < 50; i++)
            assert_int_equal(submit(engine, &issuer, op_pay(CHQ_OPERATION_ISSUE, ana.id, 1), &o), CHQ_OK);
        chq_engine_close(engine);
        assert_int_equal(chq_embedded_open(&engine, &config, NULL, reason), CHQ_OK);
    }
    assert_int_equal(submit(engine, &issuer, op_pay(CHQ_OPERATION_ISSUE, ana.id, 1), &o), CHQ_OK);
    assert_int_equal(proved_balance(engine, ana.id, NOW_US), 201);
    chq_engine_close(engine);
    DIR *d = opendir(dir);
    const struct dirent *entry;
    unsigned files = 0;
    while ((entry = readdir(d)) != NULL)
        files += strncmp(entry->d_name, "journal-", 8) == 0;
    closedir(d);
    assert_true(files < 20); /* of about 60 */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(answers_survive_any_end, make_folder, drop_folder),
        cmocka_unit_test_setup_teardown(
            a_torn_end_is_cut_off_and_damage_is_refused, make_folder, drop_folder),
        cmocka_unit_test_setup_teardown(every_torn_write_is_survived, make_folder, drop_folder),
        cmocka_unit_test_setup_teardown(foreign_files_are_refused, make_folder, drop_folder),
        cmocka_unit_test_setup_teardown(disk_errors_stop_the_acknowledging, make_folder, drop_folder),
        cmocka_unit_test_setup_teardown(old_journal_files_are_deleted, make_folder, drop_folder),
    };
    if (chq_crypto_init() != CHQ_OK)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
