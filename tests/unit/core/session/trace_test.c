/* SPDX-License-Identifier: Apache-2.0 */
/* A golden trace: one conversation with loss, reordering, replay, a restart and a re-keying, line by line. */
#include "party.h"

#include "core/session/internal.h"

#include <stdarg.h>
#include <stdio.h>

static struct party parties[2];
static struct chq_session *sessions[2];
static struct letter letters[26];
static uint64_t now_s;
static char log_text[16384];
static size_t log_size;

static void line(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int n = vsnprintf(log_text + log_size, sizeof log_text - log_size, format, args);
    va_end(args);
    assert_true(n > 0 && (size_t)n < sizeof log_text - log_size);
    log_size += (size_t)n;
}

static const char *const names[] = {"ana", "bo"};

static void state_line(int who)
{
    const struct chq_session *s = sessions[who];
    const struct chq_ratchet *r = &s->ratchet;
    line("%s sends %u after %u, knows %u chains, next %u, skipped %u%s%s%s\n", names[who], r->send_n,
        r->send_previous_n, r->n_chains, r->n_chains > 0 ? r->chains[0].next_n : 0, s->skipped.n,
        r->offers_kem ? ", offers" : "", r->answers_kem ? ", answers" : "",
        s->info.confirmed ? "" : ", unconfirmed");
}

static void send_letter(int who, char name, size_t size)
{
    static uint8_t plain[CHQ_SESSION_PLAIN_BYTES_MAX];
    struct letter *l = &letters[name - 'A'];
    memset(plain, name, sizeof plain);
    send_bytes(l, &parties[who], sessions[who], chq_bytes(plain, size), now_s);
    line("%s -> %c %s %zu\n", names[who], name, l->data[1] == CHQ_ENVELOPE_INITIAL ? "initial" : "normal",
        l->size);
}

static enum chq_err take_initial(int who, const struct letter *l, struct chq_writer *w)
{
    struct party *p = &parties[who];
    struct chq_initial initial;
    enum chq_err err = chq_initial_open(&initial, &p->self, letter_bytes(l));
    if (err != CHQ_OK)
        return err;
    if (sessions[who] != NULL) {
        err = chq_session_decrypt_initial(sessions[who], &initial, now_s, &p->random, w);
    } else {
        err = chq_session_accept(&sessions[who], &p->self, &initial, now_s, &p->random, w);
        line("%s accepts\n", names[who]);
    }
    chq_initial_close(&initial);
    return err;
}

static void receive_letter(int who, char name)
{
    static uint8_t storage[CHQ_ENVELOPE_BYTES_MAX];
    const struct letter *l = &letters[name - 'A'];
    struct chq_writer w = chq_writer_fixed(storage, sizeof storage);
    enum chq_err err =
        l->data[1] == CHQ_ENVELOPE_INITIAL
            ? take_initial(who, l, &w)
            : chq_session_decrypt(sessions[who], letter_bytes(l), now_s, &parties[who].random, &w);
    if (err == CHQ_OK)
        line("%s <- %c ok %zu %c\n", names[who], name, w.size, w.size > 0 ? storage[0] : '-');
    else
        line("%s <- %c %s\n", names[who], name, chq_err_string(err));
    state_line(who);
}

static void restart(int who)
{
    struct chq_session *copy = clone_session(sessions[who]);
    chq_session_free(sessions[who]);
    sessions[who] = copy;
    line("%s restarts\n", names[who]);
}

static const char expected[] = "ana sends 0 after 0, knows 0 chains, next 0, skipped 0, unconfirmed\n"
                               "ana -> A initial 4096\n"
                               "ana -> B initial 16384\n"
                               "ana -> C initial 4096\n"
                               "bo accepts\n"
                               "bo <- B ok 10240 B\n"
                               "bo sends 0 after 0, knows 1 chains, next 2, skipped 1\n"
                               "bo -> D normal 256\n"
                               "bo -> E normal 256\n"
                               "ana <- E ok 40 E\n"
                               "ana sends 0 after 3, knows 1 chains, next 2, skipped 1\n"
                               "ana <- E not possible in this state\n"
                               "ana sends 0 after 3, knows 1 chains, next 2, skipped 1\n"
                               "ana restarts\n"
                               "ana <- E not possible in this state\n"
                               "ana sends 0 after 3, knows 1 chains, next 2, skipped 1\n"
                               "ana -> F normal 256\n"
                               "ana -> G normal 256\n"
                               "bo <- G ok 40 G\n"
                               "bo sends 0 after 2, knows 2 chains, next 2, skipped 3\n"
                               "bo <- C ok 20 C\n"
                               "bo sends 0 after 2, knows 2 chains, next 2, skipped 2\n"
                               "bo <- A ok 100 A\n"
                               "bo sends 0 after 2, knows 2 chains, next 2, skipped 1\n"
                               "bo <- A not possible in this state\n"
                               "bo sends 0 after 2, knows 2 chains, next 2, skipped 1\n"
                               "ana <- D ok 40 D\n"
                               "ana sends 2 after 3, knows 1 chains, next 2, skipped 0\n"
                               "bo restarts\n"
                               "bo -> H normal 256\n"
                               "ana <- H ok 40 H\n"
                               "ana sends 0 after 2, knows 2 chains, next 1, skipped 0, offers\n"
                               "ana -> I normal 4096\n"
                               "ana -> J normal 4096\n"
                               "bo <- J ok 40 J\n"
                               "bo sends 0 after 1, knows 3 chains, next 2, skipped 2, answers\n"
                               "bo <- I ok 40 I\n"
                               "bo sends 0 after 1, knows 3 chains, next 2, skipped 1, answers\n"
                               "bo -> K normal 4096\n"
                               "ana <- K ok 40 K\n"
                               "ana sends 0 after 2, knows 3 chains, next 1, skipped 0\n"
                               "ana -> L normal 256\n"
                               "bo <- L ok 40 L\n"
                               "bo sends 0 after 1, knows 4 chains, next 1, skipped 1\n"
                               "bo <- F not possible in this state\n"
                               "bo sends 0 after 1, knows 4 chains, next 1, skipped 1\n"
                               "bo -> M normal 256\n"
                               "ana <- M ok 0 -\n"
                               "ana sends 0 after 1, knows 4 chains, next 1, skipped 0, offers\n";

static void one_conversation(void **state)
{
    (void)state;
    enum { ANA, BO };
    party_init(&parties[ANA], 21);
    party_init(&parties[BO], 22);
    now_s = PARTY_NOW;
    sessions[ANA] = party_start(&parties[ANA], &parties[BO], 0);
    state_line(ANA);
    send_letter(ANA, 'A', 100);
    send_letter(ANA, 'B', 10240);
    send_letter(ANA, 'C', 20);
    receive_letter(BO, 'B'); /* C is late, A is lost for now */
    send_letter(BO, 'D', 40);
    send_letter(BO, 'E', 40);
    receive_letter(ANA, 'E');
    receive_letter(ANA, 'E'); /* the relay sends it twice */
    restart(ANA);
    receive_letter(ANA, 'E');
    send_letter(ANA, 'F', 40);
    send_letter(ANA, 'G', 40);
    receive_letter(BO, 'G'); /* F is lost */
    receive_letter(BO, 'C');
    receive_letter(BO, 'A');
    receive_letter(BO, 'A');
    receive_letter(ANA, 'D');
    restart(BO);
    now_s += UINT64_C(8) * 86400;
    send_letter(BO, 'H', 40);
    receive_letter(ANA, 'H'); /* ana's new chain offers an X-Wing key */
    send_letter(ANA, 'I', 40);
    send_letter(ANA, 'J', 40);
    receive_letter(BO, 'J'); /* I comes later; bo's new chain answers */
    receive_letter(BO, 'I');
    send_letter(BO, 'K', 40);
    receive_letter(ANA, 'K');
    send_letter(ANA, 'L', 40);
    receive_letter(BO, 'L');
    now_s += UINT64_C(23) * 86400;
    receive_letter(BO, 'F'); /* 31 days late: its key is dead */
    send_letter(BO, 'M', 0);
    receive_letter(ANA, 'M');
    for (int i = 0; i < 2; i++)
        chq_session_free(sessions[i]);
    if (strcmp(log_text, expected) != 0) {
        fprintf(stderr, "%s", log_text);
        fail_msg("the trace changed; it is now as above");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(one_conversation)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
