/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random conversations from a seed: any order, duplicates, losses, restarts, long pauses. Every message opens at
 * most once, and every one that arrives while its chain is remembered does open. What must open is decided
 * here by counting turns, not by asking the session.
 */
#include "party.h"

#include <stdio.h>

#define SEEDS      200
#define STEPS      240
#define FLYING_MAX 24

struct flying {
    struct letter letter;
    int from;
    int turn; /* the sender's turn when it was sent */
    unsigned number;
    bool opened; /* some copy was */
};

struct side {
    struct party party;
    struct chq_session *session;
    int turn; /* grows with each turn of the other that is seen */
    int seen; /* the other's highest turn received, -1 none */
    unsigned sent;
};

static struct side sides[2];
static struct flying flying[FLYING_MAX];
static size_t n_flying;
static bool opened[2][STEPS];
static uint64_t now_s;
static struct chq_random dice;
static struct chq_seeded dice_seed;
static unsigned opened_count, refused_late;

static void say(int from)
{
    static uint8_t plain[CHQ_SESSION_PLAIN_BYTES_MAX];
    struct side *s = &sides[from];
    if (s->session == NULL || n_flying == FLYING_MAX)
        return;
    struct flying *f = &flying[n_flying++];
    f->from = from;
    f->turn = s->turn;
    f->number = s->sent++;
    size_t size = (size_t)chq_random_below(&dice, chq_random_below(&dice, 8) == 0 ? sizeof plain - 4 : 80);
    memset(plain, 0x5a, sizeof plain);
    chq_store_u32(plain, f->number);
    send_bytes(&f->letter, &s->party, s->session, chq_bytes(plain, size + 4), now_s);
}

static enum chq_err take(struct side *to, const struct letter *l, struct chq_writer *w)
{
    enum chq_envelope_kind kind;
    struct chq_initial initial;
    assert_int_equal(chq_envelope_kind(&kind, letter_bytes(l)), CHQ_OK);
    if (kind == CHQ_ENVELOPE_NORMAL)
        return to->session != NULL
                   ? chq_session_decrypt(to->session, letter_bytes(l), now_s, &to->party.random, w)
                   : CHQ_AUTH;
    assert_int_equal(chq_initial_open(&initial, &to->party.self, letter_bytes(l)), CHQ_OK);
    enum chq_err err;
    if (to->session == NULL) {
        err = chq_session_accept(&to->session, &to->party.self, &initial, now_s, &to->party.random, w);
        party_use_one_time(&to->party, initial.one_time_prekey_id);
    } else {
        err = chq_session_decrypt_initial(to->session, &initial, now_s, &to->party.random, w);
    }
    chq_initial_close(&initial);
    return err;
}

static void deliver(size_t index, bool keep_copy, uint64_t seed)
{
    static uint8_t storage[CHQ_ENVELOPE_BYTES_MAX];
    struct flying *f = &flying[index];
    struct side *to = &sides[1 - f->from];
    struct chq_writer w = chq_writer_fixed(storage, sizeof storage);
    enum chq_err err = take(to, &f->letter, &w);
    bool remembered = f->turn > to->seen - CHQ_SESSION_CHAINS_MAX;
    bool must_open = remembered && !opened[f->from][f->number];
    if ((err == CHQ_OK) != must_open)
        fail_msg("seed %llu: message %u of %d: error %d, must open %d", (unsigned long long)seed, f->number,
            f->from, err, must_open);
    if (err == CHQ_OK) {
        assert_int_equal(chq_load_u32(storage), f->number);
        opened[f->from][f->number] = true;
        opened_count++;
        if (f->turn > to->seen) {
            to->seen = f->turn;
            to->turn++;
        }
    } else {
        assert_int_equal(w.size, 0);
        refused_late += !remembered && !opened[f->from][f->number];
    }
    if (!keep_copy) {
        n_flying--;
        memmove(f, f + 1, (n_flying - index) * sizeof *f);
    }
}

static void restart(struct side *s)
{
    if (s->session == NULL)
        return;
    struct chq_session *copy = clone_session(s->session);
    chq_session_free(s->session);
    s->session = copy;
}

static void converse(uint64_t seed)
{
    chq_seeded_init(&dice_seed, seed);
    dice = chq_seeded_random(&dice_seed);
    memset(opened, 0, sizeof opened);
    n_flying = 0;
    now_s = PARTY_NOW;
    for (int i = 0; i < 2; i++) {
        party_init(&sides[i].party, 1000 * seed + (uint64_t)i);
        sides[i].turn = 0;
        sides[i].sent = 0;
        sides[i].seen = -1;
    }
    sides[0].session = party_start(&sides[0].party, &sides[1].party, (int)chq_random_below(&dice, 3) - 1);
    sides[1].session = NULL;
    size_t patience = (size_t)chq_random_below(&dice, 10) + 2; /* how long messages stay in flight */
    for (int step = 0; step < STEPS; step++) {
        uint64_t what = chq_random_below(&dice, 20);
        if (what < 9)
            say((int)chq_random_below(&dice, 2));
        if (what == 18)
            restart(&sides[chq_random_below(&dice, 2)]);
        if (what == 19 && now_s < PARTY_NOW + 25 * UINT64_C(86400))
            now_s += chq_random_below(&dice, 2 * 86400);
        if (n_flying == 0 || (what < 9 && n_flying < patience))
            continue;
        size_t index = (size_t)chq_random_below(&dice, n_flying);
        if (seed % 2 == 0 &&
            chq_random_below(&dice, 10) > 0) /* old ones linger until long after their turn */
            index = n_flying - 1 - (size_t)chq_random_below(&dice, n_flying < 3 ? n_flying : 3);
        uint64_t fate = chq_random_below(&dice, 10);
        if (fate == 0 && sides[1].session != NULL) { /* lost */
            n_flying--;
            memmove(&flying[index], &flying[index + 1], (n_flying - index) * sizeof *flying);
        } else {
            deliver(index, fate < 3 && n_flying < FLYING_MAX, seed);
        }
    }
    for (int i = 0; i < 2; i++) {
        chq_session_free(sides[i].session);
        sides[i].session = NULL;
    }
}

static void every_message_opens_once_at_most(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++)
        converse(seed);
    /* The generator must have reached what the test is about; what comes too late is ratchet_test's. */
    print_message("%u opened, %u refused as too late\n", opened_count, refused_late);
    assert_true(opened_count > SEEDS * 50);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_message_opens_once_at_most)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
