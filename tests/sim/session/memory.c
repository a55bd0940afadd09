/* SPDX-License-Identifier: Apache-2.0 */
/* No freed block holds a secret. Every allocation of start, accept, encrypt, decrypt and read fails once: a clean error, nothing leaked, the state
 * as it was, and the same call succeeds afterwards. */
#include "party.h"

#include "core/session/internal.h"

#include <malloc.h>

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void __real_free(void *block);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void __wrap_free(void *block);

static long fail_in; /* 0: never */

static bool fails_now(void)
{
    return fail_in > 0 && --fail_in == 0;
}

void *__wrap_malloc(size_t size)
{
    return fails_now() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t n, size_t size)
{
    return fails_now() ? NULL : __real_calloc(n, size);
}

/* Secrets that no freed block may hold. */
static uint8_t watched[16][32];
static size_t n_watched;
static unsigned leaked;

static void watch(const uint8_t secret[32])
{
    assert_true(n_watched < sizeof watched / sizeof *watched);
    memcpy(watched[n_watched++], secret, 32);
}

void __wrap_free(void *block)
{
    for (size_t i = 0; block != NULL && i < n_watched; i++)
        if (memmem(block, malloc_usable_size(block), watched[i], 32) != NULL)
            leaked++;
    __real_free(block);
}

static struct party ana, bo;
static struct chq_session *at_ana, *at_bo;
static struct letter l;

/* Run `attempt` with the first, second, ... allocation failing until none is left to fail; count them. */
static unsigned sweep(enum chq_err (*attempt)(void))
{
    for (unsigned n = 1; n < 100; n++) {
        fail_in = (long)n;
        enum chq_err err = attempt();
        bool failed = fail_in == 0;
        fail_in = 0;
        if (!failed) {
            assert_int_equal(err, CHQ_OK);
            return n - 1;
        }
        assert_int_equal(err, CHQ_NO_MEMORY);
    }
    fail_msg("it never stopped allocating");
    return 0;
}

static enum chq_err try_start(void)
{
    struct chq_session_offer offer = party_offer(&bo, 0);
    enum chq_err err = chq_session_start(&at_ana, &ana.self, &offer, PARTY_NOW, &ana.random);
    assert_true((at_ana == NULL) == (err != CHQ_OK));
    return err;
}

static enum chq_err try_encrypt(void)
{
    struct chq_ratchet before = at_ana->ratchet;
    struct chq_writer w = chq_writer_heap(CHQ_ENVELOPE_BYTES_MAX);
    enum chq_err err = chq_session_encrypt(at_ana, chq_bytes_text("hello"), PARTY_NOW, &ana.random, &w);
    if (err != CHQ_OK)
        assert_memory_equal(&before, &at_ana->ratchet, sizeof before);
    else
        memcpy(l.data, w.data, l.size = w.size);
    chq_writer_free(&w);
    return err;
}

static enum chq_err try_accept(void)
{
    struct chq_initial initial;
    struct chq_writer w = chq_writer_heap(CHQ_ENVELOPE_BYTES_MAX);
    enum chq_err err = chq_initial_open(&initial, &bo.self, letter_bytes(&l));
    if (err == CHQ_OK) {
        err = chq_session_accept(&at_bo, &bo.self, &initial, PARTY_NOW, &bo.random, &w);
        assert_true((at_bo == NULL) == (err != CHQ_OK));
        chq_initial_close(&initial);
    }
    chq_writer_free(&w);
    return err;
}

static enum chq_err try_decrypt(void)
{
    long later = fail_in;
    fail_in = 0;
    struct chq_session *s = clone_session(at_bo); /* so that no attempt finds room that an earlier one made */
    struct chq_writer w = chq_writer_heap(CHQ_ENVELOPE_BYTES_MAX);
    fail_in = later;
    enum chq_err err = chq_session_decrypt(s, letter_bytes(&l), PARTY_NOW, &bo.random, &w);
    later = fail_in;
    fail_in = 0;
    if (err != CHQ_OK) {
        expect_same_state(s, at_bo);
        assert_int_equal(w.size, 0);
        chq_session_free(s);
    } else {
        chq_session_free(at_bo);
        at_bo = s;
    }
    chq_writer_free(&w);
    fail_in = later;
    return err;
}

static enum chq_err try_write_and_read(void)
{
    struct chq_session *copy = NULL;
    struct chq_writer w = chq_writer_heap(CHQ_SESSION_STATE_BYTES_MAX);
    chq_session_write(&w, at_bo);
    enum chq_err err = chq_writer_finish(&w);
    if (err == CHQ_OK)
        err = chq_session_read(&copy, chq_writer_bytes(&w));
    assert_true((copy == NULL) == (err != CHQ_OK));
    chq_session_free(copy);
    chq_writer_free(&w);
    return err;
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    party_init(&ana, 31);
    party_init(&bo, 32);
    assert_int_equal(sweep(try_start), 2);
    assert_int_equal(sweep(try_encrypt), 1);
    assert_true(sweep(try_accept) >= 4);
    struct letter answer;
    send_text(&answer, &bo, at_bo, "answer");
    expect_text(&ana, at_ana, &answer, "answer");
    for (int i = 0; i < 20; i++)
        send_text(&l, &ana, at_ana, "lost"); /* so that keys must be kept when the next one comes */
    assert_int_equal(sweep(try_encrypt), 1);
    assert_int_equal(sweep(try_decrypt), 3);
    assert_int_equal(at_bo->skipped.n, 20);
    assert_true(sweep(try_write_and_read) >= 3);
    chq_session_free(at_ana);
    chq_session_free(at_bo);
}

static void watch_session(const struct chq_session *s)
{
    watch(s->export_key);
    watch(s->ratchet.root_key);
    watch(s->ratchet.own.secret_key);
    watch(s->ratchet.send_chain_key);
    watch(s->ratchet.send_header_key);
}

static void what_is_freed_was_wiped(void **state)
{
    (void)state;
    static const char plaintext[] = "a plaintext that is longer than 32 bytes, to be searched for";
    static const uint8_t *const text = (const uint8_t *)plaintext;
    party_init(&ana, 33);
    party_init(&bo, 34);
    at_ana = party_start(&ana, &bo, 0);
    watch(text);
    watch_session(at_ana);
    send_text(&l, &ana, at_ana, plaintext);
    at_bo = accept_text(&bo, &l, plaintext);
    watch_session(at_bo);
    struct letter answer;
    send_text(&answer, &bo, at_bo, plaintext);
    expect_text(&ana, at_ana, &answer, plaintext);
    for (int i = 0; i < 3; i++) { /* skipped keys, in a list that grows */
        for (int k = 0; k < 20; k++)
            send_text(&l, &ana, at_ana, plaintext);
        expect_text(&bo, at_bo, &l, plaintext);
    }
    watch(at_bo->skipped.v[0].key);
    watch(at_bo->skipped.v[at_bo->skipped.n - 1].key);
    chq_session_free(clone_session(at_bo));
    chq_session_free(at_bo);
    chq_session_free(at_ana);
    assert_int_equal(leaked, 0);
    uint8_t *block = __real_malloc(64); /* and the search does find what is there */
    memset(block, 0, 64);
    memcpy(block + 7, text, 32);
    void (*volatile release)(void *) = free; /* volatile: or the compiler leaves out what nobody reads */
    release(block);
    assert_int_equal(leaked, 1);
    n_watched = 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_allocation_may_fail),
        cmocka_unit_test(what_is_freed_was_wiped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
