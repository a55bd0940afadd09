/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CHQ_TESTS_SESSION_PARTY_H
#define CHQ_TESTS_SESSION_PARTY_H

/* One device with its account, prekeys and front door, all from a seed. Shared by the session tests. */
#include "core/crypto/random.h"
#include "core/session/session.h"
#include "unit.h"

#include <stdlib.h>
#include <string.h>

#define PARTY_ONE_TIME 4
#define PARTY_NOW      UINT64_C(1800000000)

struct party {
    struct chq_seeded seeded;
    struct chq_random random;
    struct chq_account account;
    struct chq_device_keys device;
    struct chq_session_self self;
    struct chq_prekey_secret signed_secret, one_time_secret[PARTY_ONE_TIME];
    uint8_t bundle[CHQ_PREKEY_BUNDLE_BYTES_MAX], one_time[PARTY_ONE_TIME][CHQ_ONE_TIME_PREKEY_BYTES_MAX];
    size_t bundle_size, one_time_size[PARTY_ONE_TIME];
};

static inline enum chq_err party_find_signed(void *context, uint32_t id, struct chq_prekey_secret *out)
{
    struct party *p = context;
    if (p->signed_secret.id != id)
        return CHQ_NOT_FOUND;
    *out = p->signed_secret;
    return CHQ_OK;
}

static inline enum chq_err party_find_one_time(void *context, uint32_t id, struct chq_prekey_secret *out)
{
    struct party *p = context;
    for (size_t i = 0; i < PARTY_ONE_TIME; i++) {
        if (p->one_time_secret[i].id == id && id != 0) {
            *out = p->one_time_secret[i];
            return CHQ_OK;
        }
    }
    return CHQ_NOT_FOUND;
}

/* Delete a one-time prekey, as the agent does when it stores the session. */
static inline void party_use_one_time(struct party *p, uint32_t id)
{
    for (size_t i = 0; i < PARTY_ONE_TIME; i++)
        if (p->one_time_secret[i].id == id)
            memset(&p->one_time_secret[i], 0, sizeof p->one_time_secret[i]);
}

static inline void party_init(struct party *p, uint64_t seed)
{
    uint8_t entropy[CHQ_RECOVERY_ENTROPY_BYTES];
    memset(p, 0, sizeof *p);
    assert_int_equal(chq_crypto_init(), CHQ_OK);
    chq_seeded_init(&p->seeded, seed);
    p->random = chq_seeded_random(&p->seeded);
    chq_random_fill(&p->random, entropy, sizeof entropy);
    chq_account_from_entropy(&p->account, entropy);
    chq_device_keys_new(&p->device, &p->random);
    p->self = (struct chq_session_self){.account_id = p->account.id,
        .device = &p->device,
        .prekeys = {.find_signed = party_find_signed, .find_one_time = party_find_one_time, .context = p}};
    struct chq_writer w = chq_writer_fixed(p->bundle, sizeof p->bundle);
    chq_prekeys_make_bundle(&w, &p->signed_secret, &p->self, 7, PARTY_NOW, &p->random);
    assert_int_equal(chq_writer_finish(&w), CHQ_OK);
    p->bundle_size = w.size;
    for (uint32_t i = 0; i < PARTY_ONE_TIME; i++) { /* even ones with an X-Wing key of their own */
        w = chq_writer_fixed(p->one_time[i], sizeof p->one_time[i]);
        chq_prekeys_make_one_time(&w, &p->one_time_secret[i], &p->self, 100 + i, i % 2 == 0, &p->random);
        assert_int_equal(chq_writer_finish(&w), CHQ_OK);
        p->one_time_size[i] = w.size;
    }
}

static inline struct chq_session_peer party_public(const struct party *p)
{
    struct chq_session_peer peer;
    memcpy(peer.account_id, p->account.id, sizeof peer.account_id);
    memcpy(peer.signing_key, p->device.signing.public_key, sizeof peer.signing_key);
    memcpy(peer.identity_key, p->device.identity.public_key, sizeof peer.identity_key);
    return peer;
}

/* What lies at the front door of `p`; one_time < 0 when none is left. */
static inline struct chq_session_offer party_offer(const struct party *p, int one_time)
{
    struct chq_session_offer offer = {
        .peer = party_public(p), .bundle = chq_bytes(p->bundle, p->bundle_size)};
    if (one_time >= 0)
        offer.one_time = chq_bytes(p->one_time[one_time], p->one_time_size[one_time]);
    return offer;
}

static inline struct chq_session *party_start(struct party *from, const struct party *to, int one_time)
{
    struct chq_session *session;
    struct chq_session_offer offer = party_offer(to, one_time);
    assert_int_equal(chq_session_start(&session, &from->self, &offer, PARTY_NOW, &from->random), CHQ_OK);
    return session;
}

/* An envelope or a plaintext of its own storage. */
struct letter {
    uint8_t data[CHQ_ENVELOPE_BYTES_MAX];
    size_t size;
};

static inline struct chq_bytes letter_bytes(const struct letter *l)
{
    return chq_bytes(l->data, l->size);
}

static inline void send_bytes(
    struct letter *out, struct party *from, struct chq_session *s, struct chq_bytes plain, uint64_t now_s)
{
    struct chq_writer w = chq_writer_fixed(out->data, sizeof out->data);
    assert_int_equal(chq_session_encrypt(s, plain, now_s, &from->random, &w), CHQ_OK);
    out->size = w.size;
}

static inline void send_text(struct letter *out, struct party *from, struct chq_session *s, const char *text)
{
    send_bytes(out, from, s, chq_bytes_text(text), PARTY_NOW);
}

/* Decrypt, give the plaintext with a terminator. */
static inline enum chq_err receive_at(char text[CHQ_ENVELOPE_BYTES_MAX], struct party *p,
    struct chq_session *s, const struct letter *l, uint64_t now_s)
{
    struct chq_writer w = chq_writer_fixed((uint8_t *)text, CHQ_ENVELOPE_BYTES_MAX - 1);
    enum chq_err err = chq_session_decrypt(s, letter_bytes(l), now_s, &p->random, &w);
    text[w.size] = '\0';
    return err;
}

static inline void expect_text(
    struct party *p, struct chq_session *s, const struct letter *l, const char *expected)
{
    static char text[CHQ_ENVELOPE_BYTES_MAX];
    assert_int_equal(receive_at(text, p, s, l, PARTY_NOW), CHQ_OK);
    assert_string_equal(text, expected);
}

static inline enum chq_err receive_error(struct party *p, struct chq_session *s, const struct letter *l)
{
    static char text[CHQ_ENVELOPE_BYTES_MAX];
    enum chq_err err = receive_at(text, p, s, l, PARTY_NOW);
    if (err != CHQ_OK)
        assert_int_equal(text[0], 0);
    return err;
}

/* Open the seal and accept. */
static inline enum chq_err accept_error(
    struct party *p, struct chq_session **out, const struct letter *l, char text[CHQ_ENVELOPE_BYTES_MAX])
{
    struct chq_initial initial;
    *out = NULL;
    enum chq_err err = chq_initial_open(&initial, &p->self, letter_bytes(l));
    if (err != CHQ_OK)
        return err;
    struct chq_writer w = chq_writer_fixed((uint8_t *)text, CHQ_ENVELOPE_BYTES_MAX - 1);
    err = chq_session_accept(out, &p->self, &initial, PARTY_NOW, &p->random, &w);
    text[w.size] = '\0';
    if (err == CHQ_OK && initial.one_time_prekey_id != 0)
        party_use_one_time(p, initial.one_time_prekey_id);
    chq_initial_close(&initial);
    return err;
}

static inline struct chq_session *accept_text(struct party *p, const struct letter *l, const char *expected)
{
    static char text[CHQ_ENVELOPE_BYTES_MAX];
    struct chq_session *session;
    assert_int_equal(accept_error(p, &session, l, text), CHQ_OK);
    assert_string_equal(text, expected);
    return session;
}

/* A copy of the state, as after a restore from an old backup. */
static inline struct chq_session *clone_session(const struct chq_session *s)
{
    struct chq_session *copy;
    struct chq_writer w = chq_writer_heap(CHQ_SESSION_STATE_BYTES_MAX);
    chq_session_write(&w, s);
    assert_int_equal(chq_writer_finish(&w), CHQ_OK);
    assert_int_equal(chq_session_read(&copy, chq_writer_bytes(&w)), CHQ_OK);
    chq_writer_free(&w);
    return copy;
}

/* Whether two states are the same byte for byte. */
static inline void expect_same_state(const struct chq_session *a, const struct chq_session *b)
{
    struct chq_writer x = chq_writer_heap(CHQ_SESSION_STATE_BYTES_MAX);
    struct chq_writer y = chq_writer_heap(CHQ_SESSION_STATE_BYTES_MAX);
    chq_session_write(&x, a);
    chq_session_write(&y, b);
    assert_true(chq_bytes_equal(chq_writer_bytes(&x), chq_writer_bytes(&y)));
    chq_writer_free(&x);
    chq_writer_free(&y);
}

/* A session that both have: `a` wrote "hello", `b` accepted, nothing came back yet. */
static inline void connect_parties(
    struct party *a, struct party *b, struct chq_session **at_a, struct chq_session **at_b)
{
    static struct letter l;
    *at_a = party_start(a, b, 0);
    send_text(&l, a, *at_a, "hello");
    *at_b = accept_text(b, &l, "hello");
}

#endif
