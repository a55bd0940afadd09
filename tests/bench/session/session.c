/* SPDX-License-Identifier: Apache-2.0 */
/* How fast sessions start and messages go, one thread; each figure is the median of five runs. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/base/assert.h"
#include "core/crypto/random.h"
#include "core/session/internal.h"

#define RUNS 5
#define NOW  UINT64_C(1800000000)

struct device {
    uint8_t account_id[CHQ_ACCOUNT_ID_BYTES];
    struct chq_device_keys keys;
    struct chq_session_self self;
    struct chq_prekey_secret signed_secret, one_time_secret;
    struct chq_writer bundle, one_time;
};

static struct device ana, bo;
static struct chq_seeded seeded;
static struct chq_random source;
static struct chq_session *at_ana, *at_bo;

static enum chq_err find_signed(void *context, uint32_t id, struct chq_prekey_secret *out)
{
    *out = ((struct device *)context)->signed_secret;
    return out->id == id ? CHQ_OK : CHQ_NOT_FOUND;
}

static enum chq_err find_one_time(void *context, uint32_t id, struct chq_prekey_secret *out)
{
    *out = ((struct device *)context)->one_time_secret;
    return out->id == id ? CHQ_OK : CHQ_NOT_FOUND;
}

static void new_device(struct device *d, int fill)
{
    memset(d->account_id, fill, sizeof d->account_id);
    chq_device_keys_new(&d->keys, &source);
    d->self = (struct chq_session_self){.account_id = d->account_id,
        .device = &d->keys,
        .prekeys = {.find_signed = find_signed, .find_one_time = find_one_time, .context = d}};
    d->bundle = chq_writer_heap(CHQ_PREKEY_BUNDLE_BYTES_MAX);
    d->one_time = chq_writer_heap(CHQ_ONE_TIME_PREKEY_BYTES_MAX);
    chq_prekeys_make_bundle(&d->bundle, &d->signed_secret, &d->self, 1, NOW, &source);
    chq_prekeys_make_one_time(&d->one_time, &d->one_time_secret, &d->self, 2, true, &source);
}

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static int rising(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void say(const char *name, double runs[RUNS], const char *unit)
{
    qsort(runs, RUNS, sizeof *runs, rising);
    printf("{\"name\": \"%s\", \"value\": %.6g, \"unit\": \"%s\", \"runs\": %d}\n", name, runs[RUNS / 2],
        unit, RUNS);
}

/* Bo's side of a start: open the seal, derive, decrypt. */
static struct chq_session *accept_first(struct chq_bytes envelope)
{
    struct chq_session *session;
    struct chq_initial initial;
    struct chq_writer plain = chq_writer_heap(CHQ_ENVELOPE_BYTES_MAX);
    CHQ_ASSERT(chq_initial_open(&initial, &bo.self, envelope) == CHQ_OK);
    CHQ_ASSERT(chq_session_accept(&session, &bo.self, &initial, NOW, &source, &plain) == CHQ_OK);
    chq_initial_close(&initial);
    chq_writer_free(&plain);
    return session;
}

static void start_one(void)
{
    struct chq_session_offer offer = {
        .bundle = chq_writer_bytes(&bo.bundle), .one_time = chq_writer_bytes(&bo.one_time)};
    struct chq_writer w = chq_writer_heap(CHQ_ENVELOPE_BYTES_MAX);
    memcpy(offer.peer.account_id, bo.account_id, sizeof offer.peer.account_id);
    memcpy(offer.peer.signing_key, bo.keys.signing.public_key, sizeof offer.peer.signing_key);
    memcpy(offer.peer.identity_key, bo.keys.identity.public_key, sizeof offer.peer.identity_key);
    chq_session_free(at_ana);
    chq_session_free(at_bo);
    CHQ_ASSERT(chq_session_start(&at_ana, &ana.self, &offer, NOW, &source) == CHQ_OK);
    CHQ_ASSERT(chq_session_encrypt(at_ana, chq_bytes_text("hello"), NOW, &source, &w) == CHQ_OK);
    at_bo = accept_first(chq_writer_bytes(&w));
    chq_writer_free(&w);
}

static void pass(struct chq_session *from, struct chq_session *to, struct chq_bytes text)
{
    struct chq_writer w = chq_writer_heap(CHQ_ENVELOPE_BYTES_MAX),
                      plain = chq_writer_heap(CHQ_ENVELOPE_BYTES_MAX);
    CHQ_ASSERT(chq_session_encrypt(from, text, NOW, &source, &w) == CHQ_OK);
    CHQ_ASSERT(chq_session_decrypt(to, chq_writer_bytes(&w), NOW, &source, &plain) == CHQ_OK);
    CHQ_ASSERT(plain.size == text.size);
    chq_writer_free(&w);
    chq_writer_free(&plain);
}

/* Messages a second, encrypted and decrypted: `turns` of them change the direction, and with it the ratchet keys. */
static double messages(unsigned n, bool turns, struct chq_bytes text)
{
    double begin = now_s();
    for (unsigned i = 0; i < n; i++) {
        bool from_bo = turns && i % 2 == 0;
        pass(from_bo ? at_bo : at_ana, from_bo ? at_ana : at_bo, text);
    }
    return n / (now_s() - begin);
}

/* Milliseconds that a message costs whose sender claims that the 25,000 before it were lost. */
static double longest_jump(void)
{
    struct chq_writer w = chq_writer_heap(CHQ_ENVELOPE_BYTES_MAX),
                      plain = chq_writer_heap(CHQ_ENVELOPE_BYTES_MAX);
    for (unsigned i = 0; i < CHQ_SESSION_FORWARD_JUMP_MAX; i++)
        chq_chain_key_step(at_ana->ratchet.send_chain_key, NULL);
    at_ana->ratchet.send_n += CHQ_SESSION_FORWARD_JUMP_MAX;
    CHQ_ASSERT(chq_session_encrypt(at_ana, chq_bytes_text("far"), NOW, &source, &w) == CHQ_OK);
    double begin = now_s();
    CHQ_ASSERT(chq_session_decrypt(at_bo, chq_writer_bytes(&w), NOW, &source, &plain) == CHQ_OK);
    double ms = (now_s() - begin) * 1e3;
    chq_writer_free(&w);
    chq_writer_free(&plain);
    return ms;
}

int main(void)
{
    static uint8_t text[10240];
    double starts[RUNS], one_way[RUNS], turns[RUNS], long_text[RUNS], jump[RUNS], state[RUNS];
    if (chq_crypto_init() != CHQ_OK)
        return 1;
    chq_seeded_init(&seeded, 1);
    source = chq_seeded_random(&seeded);
    new_device(&ana, 1);
    new_device(&bo, 2);
    memset(text, 'x', sizeof text);
    for (int i = 0; i < RUNS; i++) {
        double begin = now_s();
        for (int k = 0; k < 200; k++)
            start_one();
        starts[i] = 200 / (now_s() - begin);
        pass(at_bo, at_ana, chq_bytes_text("hello back"));
        one_way[i] = messages(5000, false, chq_bytes(text, 60));
        turns[i] = messages(2000, true, chq_bytes(text, 60));
        long_text[i] = messages(1000, false, chq_bytes(text, sizeof text));
        jump[i] = longest_jump();
        struct chq_writer w = chq_writer_heap(CHQ_SESSION_STATE_BYTES_MAX);
        chq_session_write(&w, at_ana);
        state[i] = (double)w.size;
        chq_writer_free(&w);
    }
    say("session start and accept", starts, "1/s");
    say("session encrypt+decrypt, 60 B, one way", one_way, "1/s");
    say("session encrypt+decrypt, 60 B, each a new ratchet key", turns, "1/s");
    say("session encrypt+decrypt, 10 KiB", long_text, "1/s");
    say("session longest jump (25,000 lost)", jump, "ms");
    say("session state at rest, nothing skipped", state, "B");
    chq_session_free(at_ana);
    chq_session_free(at_bo);
    return 0;
}
