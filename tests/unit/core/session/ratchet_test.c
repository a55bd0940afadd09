/* SPDX-License-Identifier: Apache-2.0 */
/* The ratchet's limits: order, skipped keys, jumps, clones, healing, post-quantum re-keying. */
#include "party.h"

#include "core/session/internal.h"

#include <stdio.h>

static struct party ana, bo;
static struct chq_session *at_ana, *at_bo;
static struct letter l, letters[64];
static char text[CHQ_ENVELOPE_BYTES_MAX];

static int connected(void **state)
{
    (void)state;
    party_init(&ana, 11);
    party_init(&bo, 12);
    connect_parties(&ana, &bo, &at_ana, &at_bo);
    send_text(&l, &bo, at_bo, "hello back");
    expect_text(&ana, at_ana, &l, "hello back");
    return 0;
}

static int disconnected(void **state)
{
    (void)state;
    chq_session_free(at_ana);
    chq_session_free(at_bo);
    return 0;
}

static void any_order_within_a_chain(void **state)
{
    (void)state;
    static const int order[] = {7, 0, 3, 1, 6, 2, 5, 4};
    char word[16];
    for (int i = 0; i < 8; i++) {
        snprintf(word, sizeof word, "message %d", i);
        send_text(&letters[i], &ana, at_ana, word);
    }
    for (int i = 0; i < 8; i++) {
        snprintf(word, sizeof word, "message %d", order[i]);
        expect_text(&bo, at_bo, &letters[order[i]], word);
        assert_int_equal(receive_error(&bo, at_bo, &letters[order[i]]), CHQ_STATE);
    }
    assert_int_equal(at_bo->skipped.n, 0);
}

/* A late message of each of the chains before the current one still opens, up to the limit; one more back does not. */
static void as_many_chains_are_remembered(void **state)
{
    (void)state;
    for (int i = 0; i < CHQ_SESSION_CHAINS_MAX + 1; i++) {
        send_text(&letters[i], &ana, at_ana, "late");
        send_text(&l, &ana, at_ana, "in time");
        expect_text(&bo, at_bo, &l, "in time");
        send_text(&l, &bo, at_bo, "turn");
        expect_text(&ana, at_ana, &l, "turn");
    }
    assert_int_equal(at_bo->ratchet.n_chains, CHQ_SESSION_CHAINS_MAX);
    assert_int_equal(
        at_bo->skipped.n, CHQ_SESSION_CHAINS_MAX); /* the key of the forgotten chain went with it */
    assert_int_equal(receive_error(&bo, at_bo, &letters[0]), CHQ_AUTH);
    for (int i = 1; i < CHQ_SESSION_CHAINS_MAX + 1; i++)
        expect_text(&bo, at_bo, &letters[i], "late");
}

/* Pretend that `n` messages were sent and lost. */
static void lose(struct chq_session *s, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        chq_chain_key_step(s->ratchet.send_chain_key, NULL);
    s->ratchet.send_n += n;
}

static void the_longest_jump_is_taken_and_a_longer_one_refused(void **state)
{
    (void)state;
    lose(at_ana, CHQ_SESSION_FORWARD_JUMP_MAX);
    struct chq_session *farther = clone_session(at_ana);
    lose(farther, 1);
    send_text(&letters[0], &ana, farther, "too far");
    struct chq_session *before = clone_session(at_bo);
    assert_int_equal(receive_error(&bo, at_bo, &letters[0]), CHQ_LIMIT);
    expect_same_state(at_bo, before);
    assert_int_equal(at_bo->skipped.cap, 0); /* refused before anything was allocated */
    send_text(&l, &ana, at_ana, "far");
    expect_text(&bo, at_bo, &l, "far");
    assert_int_equal(at_bo->skipped.n, CHQ_SESSION_SKIPPED_KEYS_MAX);
    assert_int_equal(at_bo->skipped.v[0].n, CHQ_SESSION_FORWARD_JUMP_MAX - CHQ_SESSION_SKIPPED_KEYS_MAX);
    /* A refused flood after it leaves nothing behind. */
    lose(at_ana, 3000);
    send_text(&l, &ana, at_ana, "farther");
    l.data[l.size - 1] ^= 1;
    chq_session_free(before);
    before = clone_session(at_bo);
    assert_int_equal(receive_error(&bo, at_bo, &l), CHQ_AUTH);
    expect_same_state(at_bo, before);
    l.data[l.size - 1] ^= 1;
    expect_text(&bo, at_bo, &l, "farther");
    assert_int_equal(at_bo->skipped.n, CHQ_SESSION_SKIPPED_KEYS_MAX);
    chq_session_free(farther);
    chq_session_free(before);
}

/* The jump counts over both chains of one message, so that its cost has one bound. */
static void a_jump_over_two_chains_counts_as_one(void **state)
{
    (void)state;
    send_text(&l, &ana, at_ana, "one");
    expect_text(&bo, at_bo, &l, "one");
    lose(at_ana, 15000);
    send_text(&l, &bo, at_bo, "turn");
    expect_text(&ana, at_ana, &l, "turn");
    lose(at_ana, 10001);
    send_text(&l, &ana, at_ana, "too far");
    assert_int_equal(receive_error(&bo, at_bo, &l), CHQ_LIMIT);
}

static void skipped_keys_die_after_thirty_days(void **state)
{
    (void)state;
    const uint64_t day = 86400;
    for (int i = 0; i < 3; i++)
        send_text(&letters[i], &ana, at_ana, "late");
    send_text(&l, &ana, at_ana, "in time");
    expect_text(&bo, at_bo, &l, "in time");
    assert_int_equal(at_bo->skipped.n, 3);
    assert_int_equal(receive_at(text, &bo, at_bo, &letters[0], PARTY_NOW + 30 * day), CHQ_OK);
    assert_int_equal(receive_at(text, &bo, at_bo, &letters[1], PARTY_NOW + 30 * day + 1), CHQ_STATE);
    /* A clock that was set back makes nothing older. */
    assert_int_equal(receive_at(text, &bo, at_bo, &letters[1], 5), CHQ_OK);
    send_bytes(&l, &bo, at_bo, chq_bytes_text("x"), PARTY_NOW + 31 * day);
    assert_int_equal(at_bo->skipped.n, 0);
}

/* Two copies of one state: no key and nonce repeats, the second message under a number is seen for what it is. */
static void a_cloned_sender_is_noticed(void **state)
{
    (void)state;
    struct chq_session *clone = clone_session(at_ana);
    send_text(&letters[0], &ana, at_ana, "from the original");
    send_text(&letters[1], &ana, clone, "from the clone");
    assert_memory_not_equal(letters[0].data + 2, letters[1].data + 2, CHQ_AEAD_NONCE_BYTES);
    expect_text(&bo, at_bo, &letters[0], "from the original");
    assert_int_equal(receive_error(&bo, at_bo, &letters[1]), CHQ_EXISTS);
    assert_int_equal(receive_error(&bo, at_bo, &letters[0]), CHQ_STATE); /* a mere replay is told apart */
    letters[0].data[letters[0].size - 1] ^=
        1; /* who cannot open the header cannot make it look like a clone */
    assert_int_equal(receive_error(&bo, at_bo, &letters[0]), CHQ_STATE);
    chq_session_free(clone);
}

/* Even with the same randomness twice, as in a snapshot of a machine, the same bytes at worst: another plaintext
 * under the same number is never accepted. */
static void a_rolled_back_sender_is_noticed(void **state)
{
    (void)state;
    struct chq_session *old = clone_session(at_ana);
    for (int i = 0; i < 3; i++) {
        send_text(&l, &ana, at_ana, "lost with the rollback");
        expect_text(&bo, at_bo, &l, "lost with the rollback");
    }
    send_text(&letters[0], &bo, at_bo, "answer");
    send_text(&l, &ana, old, "again number 0");
    assert_int_equal(receive_error(&bo, at_bo, &l), CHQ_EXISTS);
    expect_text(
        &ana, old, &letters[0], "answer"); /* the ratchet turns: it claims to have sent one, not three */
    send_text(&l, &ana, old, "new chain");
    struct chq_session *before = clone_session(at_bo);
    assert_int_equal(receive_error(&bo, at_bo, &l), CHQ_EXISTS);
    expect_same_state(at_bo, before);
    chq_session_free(before);
    chq_session_free(old);
}

/* Who copied a state is shut out once both sides have turned the ratchet. */
static void a_stolen_state_heals(void **state)
{
    (void)state;
    struct chq_session *stolen = clone_session(at_bo);
    send_text(&l, &ana, at_ana, "read by the thief");
    assert_int_equal(receive_at(text, &bo, stolen, &l, PARTY_NOW), CHQ_OK);
    expect_text(&bo, at_bo, &l, "read by the thief");
    send_text(&l, &bo, at_bo, "turn");
    expect_text(&ana, at_ana, &l, "turn");
    send_text(&l, &ana, at_ana, "secret again");
    assert_int_equal(receive_at(text, &bo, stolen, &l, PARTY_NOW), CHQ_AUTH);
    expect_text(&bo, at_bo, &l, "secret again");
    chq_session_free(stolen);
}

/* One message there, one back; how big the two envelopes were. */
static void turn(uint64_t now_s, size_t *from_ana, size_t *from_bo)
{
    send_bytes(&l, &ana, at_ana, chq_bytes_text("ping"), now_s);
    *from_ana = l.size;
    assert_int_equal(receive_at(text, &bo, at_bo, &l, now_s), CHQ_OK);
    send_bytes(&l, &bo, at_bo, chq_bytes_text("pong"), now_s);
    *from_bo = l.size;
    assert_int_equal(receive_at(text, &ana, at_ana, &l, now_s), CHQ_OK);
}

static void rekeys_after_fifty_messages(void **state)
{
    (void)state;
    unsigned rekeys = 0, big = 0;
    size_t from_ana, from_bo;
    for (int i = 0; i < 80; i++) {
        uint32_t before = at_ana->ratchet.since_rekey;
        turn(PARTY_NOW, &from_ana, &from_bo);
        big += (from_ana > 256 ? 1u : 0u) + (from_bo > 256 ? 1u : 0u);
        if (at_ana->ratchet.since_rekey >= before)
            continue;
        rekeys++;
        assert_in_range(before, CHQ_SESSION_REKEY_MESSAGES - 2, CHQ_SESSION_REKEY_MESSAGES + 2);
    }
    assert_in_range(rekeys, 3, 3); /* 160 messages */
    assert_in_range(big, 2 * rekeys, 2 * rekeys + 1); /* one with the key, one with the ciphertext */
}

static void rekeys_after_seven_days(void **state)
{
    (void)state;
    size_t from_ana, from_bo;
    const uint64_t week = UINT64_C(7) * 86400;
    turn(PARTY_NOW + week - 1, &from_ana, &from_bo);
    assert_false(at_ana->ratchet.offers_kem || at_bo->ratchet.offers_kem);
    turn(PARTY_NOW + week, &from_ana, &from_bo);
    assert_true(at_bo->ratchet.offers_kem); /* bo's chain began in this turn, and carries the key */
    assert_int_equal(from_bo, 4096);
    turn(PARTY_NOW + week, &from_ana, &from_bo);
    assert_int_equal(from_ana, 4096); /* ana's chain carries the ciphertext */
    assert_false(at_bo->ratchet.offers_kem);
    assert_int_equal(at_bo->ratchet.since_rekey, 2);
    turn(PARTY_NOW + week, &from_ana, &from_bo);
    turn(PARTY_NOW + week, &from_ana, &from_bo);
    assert_int_equal(from_ana, 256);
    assert_int_equal(from_bo, 256);
}

/* Who knows all classical secrets, but not X-Wing's, loses the session at the next re-keying. */
static void rekeying_mixes_a_secret_the_curve_does_not_give(void **state)
{
    (void)state;
    size_t from_ana, from_bo;
    turn(PARTY_NOW + UINT64_C(8) * 86400, &from_ana, &from_bo);
    assert_true(at_bo->ratchet.offers_kem);
    struct chq_session *quantum = clone_session(at_bo); /* everything, bo's ratchet key too... */
    memset(quantum->ratchet.kem_seed, 1, sizeof quantum->ratchet.kem_seed); /* ...but not the X-Wing seed */
    send_text(&l, &ana, at_ana, "ciphertext on board");
    send_text(&letters[0], &bo, at_bo, "offer on board");
    expect_text(&ana, at_ana, &letters[0], "offer on board");
    send_text(&letters[1], &ana, at_ana, "after");
    assert_int_equal(receive_at(text, &bo, quantum, &letters[1], PARTY_NOW), CHQ_AUTH);
    expect_text(&bo, at_bo, &letters[1], "after");
    chq_session_free(quantum);
}

/* Nobody can talk a session out of its re-keying: the chain after an offer must carry the answer. */
static void an_offer_must_be_answered(void **state)
{
    (void)state;
    const uint64_t later = PARTY_NOW + UINT64_C(8) * 86400;
    send_bytes(&l, &ana, at_ana, chq_bytes_text("ping"), later);
    assert_int_equal(receive_at(text, &bo, at_bo, &l, later), CHQ_OK);
    assert_true(at_bo->ratchet.offers_kem);
    struct chq_session *silent = clone_session(at_bo);
    silent->ratchet.offers_kem = false; /* the same chain, as if nothing had been offered */
    send_text(&l, &bo, silent, "no key on board");
    expect_text(&ana, at_ana, &l, "no key on board");
    send_text(&l, &ana, at_ana, "not an answer");
    assert_int_equal(receive_error(&bo, at_bo, &l), CHQ_AUTH);
    expect_text(&bo, silent, &l, "not an answer");
    at_ana->ratchet.answers_kem = true; /* and an answer that nobody asked for */
    send_text(&l, &ana, at_ana, "answer to nothing");
    assert_int_equal(receive_error(&bo, silent, &l), CHQ_OK); /* inside a chain it is not read */
    send_text(&l, &bo, silent, "turn");
    expect_text(&ana, at_ana, &l, "turn");
    at_ana->ratchet.answers_kem = true;
    send_text(&l, &ana, at_ana, "answer to nothing");
    assert_int_equal(receive_error(&bo, silent, &l), CHQ_AUTH);
    chq_session_free(silent);
}

/* The first message of a re-keying chain may be lost: each of them carries what is needed. */
static void rekeying_survives_loss(void **state)
{
    (void)state;
    size_t from_ana, from_bo;
    turn(PARTY_NOW + UINT64_C(8) * 86400, &from_ana, &from_bo);
    for (int i = 0; i < 3; i++)
        send_text(&letters[i], &bo, at_bo, "offer");
    expect_text(&ana, at_ana, &letters[2], "offer");
    for (int i = 3; i < 6; i++)
        send_text(&letters[i], &ana, at_ana, "answer");
    expect_text(&bo, at_bo, &letters[5], "answer");
    expect_text(&bo, at_bo, &letters[3], "answer");
    expect_text(&ana, at_ana, &letters[0], "offer");
    turn(PARTY_NOW, &from_ana, &from_bo);
}

/* State read back is the state, at every moment of a conversation with everything in it. */
static void a_state_comes_back_as_it_was(void **state)
{
    (void)state;
    size_t from_ana, from_bo;
    struct chq_session *unanswered = party_start(&ana, &bo, 1);
    struct chq_session *copy = clone_session(unanswered);
    expect_same_state(copy, unanswered);
    chq_session_free(copy);
    chq_session_free(unanswered);
    for (int i = 0; i < 60; i++) {
        send_text(&l, &ana, at_ana, "lost");
        turn(PARTY_NOW, &from_ana, &from_bo);
        copy = clone_session(at_ana);
        expect_same_state(copy, at_ana);
        chq_session_free(at_ana);
        at_ana = copy;
        copy = clone_session(at_bo);
        expect_same_state(copy, at_bo);
        chq_session_free(at_bo);
        at_bo = copy;
    }
}

/* Every row is the stored state with one thing wrong. */
static void bad_states(void **state)
{
    (void)state;
    struct chq_session *session;
    struct chq_writer w = chq_writer_heap(CHQ_SESSION_STATE_BYTES_MAX);
    send_text(&letters[0], &ana, at_ana, "lost");
    send_text(&l, &ana, at_ana, "kept");
    expect_text(&bo, at_bo, &l, "kept");
    chq_session_write(&w, at_bo);
    for (size_t cut = 0; cut < w.size; cut++) /* 0: cut off anywhere */
        assert_int_equal(chq_session_read(&session, chq_bytes(w.data, cut)), CHQ_MALFORMED);
    w.data[2] = 2; /* 1: another version */
    assert_int_equal(chq_session_read(&session, chq_writer_bytes(&w)), CHQ_UNSUPPORTED);
    w.data[2] = 1;
    chq_write_u8(&w, 0); /* 2: something after the end */
    assert_int_equal(chq_session_read(&session, chq_writer_bytes(&w)), CHQ_MALFORMED);
    chq_writer_clear(&w);
    bool *const flags[] = {&at_bo->info.confirmed, &at_bo->ratchet.sending}; /* 3, 4: what cannot be */
    for (size_t i = 0; i < 2; i++) {
        *flags[i] = false;
        chq_session_write(&w, at_bo);
        assert_int_equal(chq_session_read(&session, chq_writer_bytes(&w)), CHQ_MALFORMED);
        chq_writer_clear(&w);
        *flags[i] = true;
    }
    at_bo->ratchet.chains[0].number = 0; /* 5: no chain is number 0 */
    chq_session_write(&w, at_bo);
    assert_int_equal(chq_session_read(&session, chq_writer_bytes(&w)), CHQ_MALFORMED);
    assert_null(session);
    chq_writer_free(&w);
}

#define WITH_SESSION(test) cmocka_unit_test_setup_teardown(test, connected, disconnected)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_SESSION(any_order_within_a_chain),
        WITH_SESSION(as_many_chains_are_remembered),
        WITH_SESSION(the_longest_jump_is_taken_and_a_longer_one_refused),
        WITH_SESSION(a_jump_over_two_chains_counts_as_one),
        WITH_SESSION(skipped_keys_die_after_thirty_days),
        WITH_SESSION(a_cloned_sender_is_noticed),
        WITH_SESSION(a_rolled_back_sender_is_noticed),
        WITH_SESSION(a_stolen_state_heals),
        WITH_SESSION(rekeys_after_fifty_messages),
        WITH_SESSION(rekeys_after_seven_days),
        WITH_SESSION(rekeying_mixes_a_secret_the_curve_does_not_give),
        WITH_SESSION(an_offer_must_be_answered),
        WITH_SESSION(rekeying_survives_loss),
        WITH_SESSION(a_state_comes_back_as_it_was),
        WITH_SESSION(bad_states),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
