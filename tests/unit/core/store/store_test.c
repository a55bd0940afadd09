/* SPDX-License-Identifier: Apache-2.0 */
#include "core/store/store.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/text.h"
#include "core/crypto/keys.h"
#include "core/crypto/random.h"
#include "unit.h"

/* Weak parameters, so that the tests spend their time on the store. */
static const struct chq_store_secret right = {
    .passphrase = {(const uint8_t *)"correct horse", 13}, .memory_bytes = 8192, .passes = 1};
static const struct chq_store_secret wrong = {.passphrase = {(const uint8_t *)"correct house", 13}};

struct place {
    char top[64], dir[96], db[112];
    struct chq_seeded seeded;
    struct chq_random random;
    struct chq_store_fault fault;
};

static int setup(void **state)
{
    struct place *p = calloc(1, sizeof *p);
    assert_non_null(p);
    snprintf(p->top, sizeof p->top, "/tmp/chq-store-XXXXXX");
    assert_non_null(mkdtemp(p->top));
    snprintf(p->dir, sizeof p->dir, "%s/a/profile", p->top);
    snprintf(p->db, sizeof p->db, "%s/profile.db", p->dir);
    chq_seeded_init(&p->seeded, 7);
    p->random = chq_seeded_random(&p->seeded);
    *state = p;
    return 0;
}

static int teardown(void **state)
{
    struct place *p = *state;
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", p->top);
    int rc = system(command);
    free(p);
    return rc;
}

static struct chq_store *made(struct place *p)
{
    struct chq_store *s = NULL;
    assert_int_equal(chq_store_create(p->dir, &right, &p->random, &s, &p->fault), CHQ_OK);
    return s;
}

static struct chq_store *opened(struct place *p)
{
    struct chq_store *s = NULL;
    enum chq_err err = chq_store_open(p->dir, &right, &p->random, &s, &p->fault);
    if (err != CHQ_OK)
        print_message("%s\n", p->fault.text);
    assert_int_equal(err, CHQ_OK);
    return s;
}

static void put_text(struct chq_store *s, uint8_t table, const char *key, const char *value)
{
    chq_store_put(s, table, chq_bytes_text(key), chq_bytes_text(value));
}

static void expect_text(struct chq_store *s, uint8_t table, const char *key, const char *value)
{
    struct chq_writer w = chq_writer_heap(4096);
    assert_int_equal(chq_store_get(s, table, chq_bytes_text(key), &w), CHQ_OK);
    assert_true(chq_bytes_equal(chq_writer_bytes(&w), chq_bytes_text(value)));
    chq_writer_free(&w);
}

static void expect_nothing(struct chq_store *s, uint8_t table, const char *key)
{
    struct chq_writer w = chq_writer_heap(4096);
    assert_int_equal(chq_store_get(s, table, chq_bytes_text(key), &w), CHQ_NOT_FOUND);
    chq_writer_free(&w);
}

static void keeps_committed_batches_only(void **state)
{
    struct place *p = *state;
    struct chq_store *s = made(p);
    uint64_t n = 0;
    assert_int_equal(chq_store_begin(s), CHQ_OK);
    put_text(s, 1, "one", "eins");
    put_text(s, 1, "two", "zwei");
    put_text(s, 2, "one", "uno");
    put_text(s, 1, "empty", "");
    assert_int_equal(chq_store_commit(s), CHQ_OK);
    assert_int_equal(chq_store_begin(s), CHQ_OK);
    put_text(s, 1, "one", "ein");
    chq_store_delete(s, 1, chq_bytes_text("two"));
    chq_store_delete(s, 1, chq_bytes_text("never there"));
    expect_text(s, 1, "one", "ein");
    chq_store_rollback(s);
    expect_text(s, 1, "one", "eins");
    chq_store_close(s);

    s = opened(p);
    expect_text(s, 1, "one", "eins");
    expect_text(s, 1, "two", "zwei");
    expect_text(s, 2, "one", "uno");
    expect_text(s, 1, "empty", "");
    assert_int_equal(chq_store_begin(s), CHQ_OK);
    put_text(s, 1, "one", "one");
    chq_store_delete(s, 1, chq_bytes_text("two"));
    assert_int_equal(chq_store_commit(s), CHQ_OK);
    assert_int_equal(chq_store_begin(s), CHQ_OK);
    put_text(s, 1, "open", "lost");
    chq_store_close(s); /* an open batch is dropped */
    s = opened(p);
    expect_text(s, 1, "one", "one");
    expect_nothing(s, 1, "two");
    expect_nothing(s, 1, "open");
    assert_int_equal(chq_store_count(s, 1, &n), CHQ_OK);
    assert_int_equal(n, 2);
    chq_store_close(s);
}

static void refuses_what_is_too_big_and_the_whole_batch(void **state)
{
    struct place *p = *state;
    struct chq_store *s = made(p);
    uint8_t key[CHQ_STORE_ITEM_KEY_MAX + 1] = {1};
    assert_int_equal(chq_store_begin(s), CHQ_OK);
    put_text(s, 1, "fits", "yes");
    chq_store_put(s, 1, chq_bytes(key, sizeof key), chq_bytes_text("no"));
    put_text(s, 1, "after", "no");
    assert_int_equal(chq_store_commit(s), CHQ_LIMIT);
    expect_nothing(s, 1, "fits");
    expect_nothing(s, 1, "after");
    assert_int_equal(chq_store_begin(s), CHQ_OK);
    chq_store_put(s, 1, chq_bytes(key, CHQ_STORE_ITEM_KEY_MAX), chq_bytes_text("longest"));
    assert_int_equal(chq_store_commit(s), CHQ_OK);
    chq_store_close(s);
}

static void nothing_readable_on_disk(void **state)
{
    struct place *p = *state;
    struct chq_store *s = made(p);
    char command[256];
    assert_int_equal(chq_store_begin(s), CHQ_OK);
    put_text(s, 1, "SECRETKEYNAME", "SECRETVALUETEXT");
    assert_int_equal(chq_store_commit(s), CHQ_OK);
    snprintf(command, sizeof command, "grep -raqE 'SECRETKEYNAME|SECRETVALUETEXT' %s", p->dir);
    assert_int_not_equal(system(command), 0);
    chq_store_close(s);
    assert_int_not_equal(system(command), 0);
}

/* ---- every way to fail says what to do */

static enum chq_store_why why_of(
    struct place *p, const struct chq_store_secret *secret, enum chq_err err, const char *says)
{
    struct chq_store *s = NULL;
    memset(&p->fault, 0, sizeof p->fault);
    assert_int_equal(chq_store_open(p->dir, secret, &p->random, &s, &p->fault), err);
    assert_null(s);
    print_message("    %s\n", p->fault.text);
    assert_non_null(strstr(p->fault.text, says));
    return p->fault.why;
}

static void write_file(const char *path, const void *data, size_t size)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, size, f), size);
    assert_int_equal(fclose(f), 0);
}

static void wrong_passphrase_and_key(void **state)
{
    struct place *p = *state;
    uint8_t key[CHQ_STORE_KEY_BYTES] = {9};
    struct chq_store_secret by_key = {.key = key};
    bool is_key = true;
    chq_store_close(made(p));
    assert_int_equal(why_of(p, &wrong, CHQ_AUTH, "wrong passphrase"), CHQ_STORE_WRONG_SECRET);
    assert_int_equal(why_of(p, &by_key, CHQ_STATE, "--passphrase-file"), CHQ_STORE_OTHER_SECRET);
    assert_int_equal(chq_store_peek(p->dir, &is_key, &p->fault), CHQ_OK);
    assert_false(is_key);
    chq_store_close(opened(p)); /* still fine with the right one */

    struct chq_store *s = NULL;
    snprintf(p->dir, sizeof p->dir, "%s/k", p->top);
    assert_int_equal(chq_store_create(p->dir, &by_key, &p->random, &s, &p->fault), CHQ_OK);
    chq_store_close(s);
    assert_int_equal(chq_store_peek(p->dir, &is_key, &p->fault), CHQ_OK);
    assert_true(is_key);
    assert_int_equal(why_of(p, &right, CHQ_STATE, "keyring"), CHQ_STORE_OTHER_SECRET);
    key[0]++;
    assert_int_equal(why_of(p, &by_key, CHQ_AUTH, "keyring"), CHQ_STORE_WRONG_SECRET);
}

static void missing_there_and_in_use(void **state)
{
    struct place *p = *state;
    struct chq_store *s = NULL, *t = NULL;
    char pid[32];
    assert_int_equal(why_of(p, &right, CHQ_NOT_FOUND, "chasqui init"), CHQ_STORE_MISSING);
    s = made(p);
    snprintf(pid, sizeof pid, "in use by pid %d", (int)getpid());
    assert_int_equal(why_of(p, &right, CHQ_STATE, pid), CHQ_STORE_IN_USE);
    assert_int_equal(p->fault.pid, getpid());
    chq_store_close(s);
    assert_int_equal(chq_store_create(p->dir, &right, &p->random, &t, &p->fault), CHQ_EXISTS);
    assert_int_equal(p->fault.why, CHQ_STORE_THERE);
    chq_store_close(opened(p));
}

static void foreign_newer_and_truncated(void **state)
{
    struct place *p = *state;
    static const char text[] =
        "this is a shopping list, and long enough to be looked at as a file of its own kind; "
        "bread, milk, eggs, flour, salt, oil, and a page more so that it is over 100 bytes";
    char command[512];
    chq_store_close(made(p));
    snprintf(command, sizeof command, "cp %s %s.good", p->db, p->db);
    assert_int_equal(system(command), 0);

    write_file(p->db, text, sizeof text);
    assert_int_equal(why_of(p, &right, CHQ_MALFORMED, "not a profile"), CHQ_STORE_FOREIGN);
    write_file(p->db, "", 0);
    assert_int_equal(why_of(p, &right, CHQ_MALFORMED, "not a profile"), CHQ_STORE_FOREIGN);

    /* user_version is at offset 60, application_id at 68 of an SQLite file */
    snprintf(command, sizeof command,
        "cp %s.good %s && printf '\\0\\0\\0\\2' | dd of=%s bs=1 seek=60 conv=notrunc 2>/dev/null", p->db,
        p->db, p->db);
    assert_int_equal(system(command), 0);
    assert_int_equal(why_of(p, &right, CHQ_UNSUPPORTED, "newer version"), CHQ_STORE_NEWER);
    snprintf(command, sizeof command,
        "cp %s.good %s && printf '\\0\\0\\0\\2' | dd of=%s bs=1 seek=68 conv=notrunc 2>/dev/null", p->db,
        p->db, p->db);
    assert_int_equal(system(command), 0);
    assert_int_equal(why_of(p, &right, CHQ_MALFORMED, "not a profile"), CHQ_STORE_FOREIGN);
    snprintf(command, sizeof command, "head -c 5000 %s.good > %s", p->db, p->db);
    assert_int_equal(system(command), 0);
    assert_int_equal(why_of(p, &right, CHQ_MALFORMED, "damaged"), CHQ_STORE_DAMAGED);
    snprintf(command, sizeof command, "rm %s && mkdir %s", p->db, p->db);
    assert_int_equal(system(command), 0);
    assert_int_equal(why_of(p, &right, CHQ_MALFORMED, "not a file"), CHQ_STORE_FOREIGN);
}

/* Run `body` in a child and return its exit status. */
static int in_child(void (*body)(struct place *), struct place *p)
{
    int status = 0;
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        body(p);
        _exit(99);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 100;
}

static void open_as_nobody(struct place *p)
{
    struct chq_store *s = NULL;
    if (setgid(65534) != 0 || setuid(65534) != 0)
        _exit(77);
    enum chq_err err = chq_store_open(p->dir, &right, &p->random, &s, &p->fault);
    _exit(err == CHQ_IO && p->fault.why == CHQ_STORE_READ_ONLY ? 0 : 1);
}

static void create_as_nobody(struct place *p)
{
    struct chq_store *s = NULL;
    if (setgid(65534) != 0 || setuid(65534) != 0)
        _exit(77);
    enum chq_err err = chq_store_create(p->dir, &right, &p->random, &s, &p->fault);
    _exit(err == CHQ_IO && p->fault.why == CHQ_STORE_READ_ONLY ? 0 : 1);
}

static void read_only_directory(void **state)
{
    struct place *p = *state;
    if (getuid() != 0)
        skip();
    assert_int_equal(chmod(p->top, 0755), 0);
    assert_int_equal(in_child(create_as_nobody, p), 0);
    chq_store_close(made(p));
    char command[512];
    snprintf(command, sizeof command, "chmod 755 %s/a %s && chmod 644 %s/*", p->top, p->dir, p->dir);
    assert_int_equal(system(command), 0);
    assert_int_equal(in_child(open_as_nobody, p), 0);
}

/* A limit on the size of files stands for the full disk: the write fails in the same place. */
static void fill_up(struct place *p)
{
    struct rlimit limit = {.rlim_cur = 256 * 1024, .rlim_max = 256 * 1024};
    uint8_t big[20000] = {0};
    enum chq_err err = CHQ_OK;
    signal(SIGXFSZ, SIG_IGN);
    if (setrlimit(RLIMIT_FSIZE, &limit) != 0)
        _exit(77);
    struct chq_store *s = NULL;
    if (chq_store_open(p->dir, &right, &p->random, &s, &p->fault) != CHQ_OK)
        _exit(2);
    uint32_t n = 0;
    for (; n < 100 && err == CHQ_OK; n++) {
        uint8_t key[4];
        chq_store_u32(key, n);
        if (chq_store_begin(s) != CHQ_OK)
            _exit(3);
        chq_store_put(s, 5, chq_bytes(key, 4), chq_bytes(big, sizeof big));
        err = chq_store_commit(s);
    }
    bool says =
        chq_store_last_fault(s)->why == CHQ_STORE_FULL && strstr(chq_store_last_fault(s)->text, "Make room");
    printf("    %s\n", chq_store_last_fault(s)->text);
    fflush(stdout);
    uint64_t kept = 0;
    if (chq_store_count(s, 5, &kept) != CHQ_OK || kept != n - 1)
        _exit(4);
    chq_store_close(s);
    _exit(err == CHQ_IO && says ? 0 : 1);
}

static void full_disk_loses_nothing(void **state)
{
    struct place *p = *state;
    uint64_t n = 0;
    chq_store_close(made(p));
    assert_int_equal(in_child(fill_up, p), 0);
    struct chq_store *s = opened(p);
    assert_int_equal(chq_store_count(s, 5, &n), CHQ_OK);
    assert_true(n > 3);
    assert_int_equal(chq_store_begin(s), CHQ_OK);
    put_text(s, 1, "after", "works");
    assert_int_equal(chq_store_commit(s), CHQ_OK);
    chq_store_close(s);
}

/* ---- damage: whatever bit is flipped, either the store says so or the content is the written one */

struct seen {
    uint32_t items;
    bool all_right;
};

static enum chq_err check_item(void *context, struct chq_bytes key, struct chq_bytes value)
{
    struct seen *seen = context;
    char expected[64];
    seen->items++;
    snprintf(expected, sizeof expected, "value of %.*s", (int)key.size, (const char *)key.data);
    if (!chq_bytes_equal(value, chq_bytes_text(expected)))
        seen->all_right = false;
    return CHQ_OK;
}

static void bit_flips_are_seen(void **state)
{
    struct place *p = *state;
    enum { ITEMS = 60, FLIPS = 400 };
    struct chq_store *s = made(p);
    char key[32], value[64];
    assert_int_equal(chq_store_begin(s), CHQ_OK);
    for (int i = 0; i < ITEMS; i++) {
        snprintf(key, sizeof key, "key %d", i);
        snprintf(value, sizeof value, "value of %s", key);
        put_text(s, 3, key, value);
    }
    assert_int_equal(chq_store_commit(s), CHQ_OK);
    chq_store_close(s);

    FILE *f = fopen(p->db, "rb");
    assert_non_null(f);
    static uint8_t good[1 << 18], bad[1 << 18];
    size_t size = fread(good, 1, sizeof good, f);
    fclose(f);
    assert_true(size > 4096 && size < sizeof good);
    uint32_t refused = 0, harmless = 0, lost = 0;
    for (int i = 0; i < FLIPS; i++) {
        uint64_t at = chq_random_below(&p->random, size * 8);
        memcpy(bad, good, size);
        bad[at / 8] = (uint8_t)(bad[at / 8] ^ 1u << at % 8);
        write_file(p->db, bad, size);
        struct seen seen = {.all_right = true};
        s = NULL;
        enum chq_err err = chq_store_open(p->dir, &right, &p->random, &s, &p->fault);
        if (err == CHQ_OK)
            err = chq_store_each(s, 3, check_item, &seen);
        assert_true(seen.all_right);
        if (err != CHQ_OK)
            refused++;
        else if (seen.items == ITEMS)
            harmless++;
        else
            lost++;
        chq_store_close(s);
    }
    print_message("    %u flips refused, %u in unused bytes, %u hid an item\n", refused, harmless, lost);
    assert_int_equal(lost, 0);
    assert_true(refused > FLIPS / 4);
}

/* ---- kill -9 at any moment: acknowledged batches are there, whole */

static void write_until_killed(struct place *p, int ack)
{
    struct chq_store *s = NULL;
    uint8_t counter[4] = {0};
    struct chq_writer w = chq_writer_heap(64);
    if (chq_store_open(p->dir, &right, &p->random, &s, &p->fault) != CHQ_OK)
        _exit(2);
    if (chq_store_get(s, 2, chq_bytes_text("counter"), &w) == CHQ_OK)
        memcpy(counter, w.data, 4);
    for (uint32_t i = chq_load_u32(counter) + 1;; i++) {
        uint8_t key[4], pay[700];
        chq_store_u32(key, i);
        memset(pay, (int)(i & 0xff), sizeof pay);
        if (chq_store_begin(s) != CHQ_OK)
            _exit(3);
        chq_store_put(s, 1, chq_bytes(key, 4), chq_bytes(pay, sizeof pay));
        chq_store_put(s, 2, chq_bytes_text("counter"), chq_bytes(key, 4));
        if (chq_store_commit(s) != CHQ_OK || write(ack, key, 4) != 4)
            _exit(4);
    }
}

static void survives_kill_9(void **state)
{
    struct place *p = *state;
    uint32_t acked = 0;
    chq_store_close(made(p));
    for (int round = 0; round < 20; round++) {
        int fds[2];
        uint64_t stop = 1 + chq_random_below(&p->random, 25);
        assert_int_equal(pipe(fds), 0);
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
            close(fds[0]);
            write_until_killed(p, fds[1]);
        }
        close(fds[1]);
        uint8_t got[4];
        for (uint64_t i = 0; i < stop; i++) {
            assert_int_equal(read(fds[0], got, 4), 4);
            acked = chq_load_u32(got);
        }
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
        while (read(fds[0], got, 4) == 4)
            acked = chq_load_u32(got);
        close(fds[0]);

        struct chq_store *s = opened(p);
        struct chq_writer w = chq_writer_heap(64);
        uint64_t n = 0;
        assert_int_equal(chq_store_get(s, 2, chq_bytes_text("counter"), &w), CHQ_OK);
        uint32_t counter = chq_load_u32(w.data);
        assert_true(counter == acked || counter == acked + 1);
        assert_int_equal(chq_store_count(s, 1, &n), CHQ_OK);
        assert_int_equal(n, counter);
        chq_writer_free(&w);
        chq_store_close(s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(keeps_committed_batches_only, setup, teardown),
        cmocka_unit_test_setup_teardown(refuses_what_is_too_big_and_the_whole_batch, setup, teardown),
        cmocka_unit_test_setup_teardown(nothing_readable_on_disk, setup, teardown),
        cmocka_unit_test_setup_teardown(wrong_passphrase_and_key, setup, teardown),
        cmocka_unit_test_setup_teardown(missing_there_and_in_use, setup, teardown),
        cmocka_unit_test_setup_teardown(foreign_newer_and_truncated, setup, teardown),
        cmocka_unit_test_setup_teardown(read_only_directory, setup, teardown),
        cmocka_unit_test_setup_teardown(full_disk_loses_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(bit_flips_are_seen, setup, teardown),
        cmocka_unit_test_setup_teardown(survives_kill_9, setup, teardown),
    };
    if (chq_crypto_init() != CHQ_OK)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
