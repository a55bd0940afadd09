/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A device with one session meets an envelope, an opened seal, a message under good keys and a stored state of the
 * fuzzer's making: no crash, errors leave the session as it was, a state that reads writes back byte for byte.
 */
#include <stdlib.h>
#include <string.h>

#include "core/base/assert.h"
#include "core/crypto/random.h"
#include "core/session/internal.h"

static struct chq_device_keys devices[2];
static uint8_t accounts[2][CHQ_ACCOUNT_ID_BYTES];
static struct chq_prekey_secret secret;
static struct chq_session *sessions[2];
static struct chq_random source;

static enum chq_err find(void *context, uint32_t id, struct chq_prekey_secret *out)
{
    (void)context;
    *out = secret;
    return id == secret.id ? CHQ_OK : CHQ_NOT_FOUND;
}

static struct chq_session_self self(int i)
{
    return (struct chq_session_self){.account_id = accounts[i],
        .device = &devices[i],
        .prekeys = {.find_signed = find, .find_one_time = find}};
}

static void set_up(void)
{
    static struct chq_seeded seeded;
    struct chq_session_offer offer;
    struct chq_session_self us[2];
    struct chq_initial initial;
    struct chq_writer bundle = chq_writer_heap(8192), w = chq_writer_heap(65536),
                      plain = chq_writer_heap(65536);
    CHQ_ASSERT(chq_crypto_init() == CHQ_OK);
    chq_seeded_init(&seeded, 1);
    source = chq_seeded_random(&seeded);
    for (int i = 0; i < 2; i++) {
        memset(accounts[i], i + 1, sizeof accounts[i]);
        chq_device_keys_new(&devices[i], &source);
        us[i] = self(i);
    }
    chq_prekeys_make_bundle(&bundle, &secret, &us[1], 1, 5, &source);
    memcpy(offer.peer.account_id, accounts[1], 32);
    memcpy(offer.peer.signing_key, devices[1].signing.public_key, 32);
    memcpy(offer.peer.identity_key, devices[1].identity.public_key, 32);
    offer.bundle = chq_writer_bytes(&bundle);
    offer.one_time = chq_bytes(NULL, 0);
    CHQ_ASSERT(chq_session_start(&sessions[0], &us[0], &offer, 5, &source) == CHQ_OK);
    CHQ_ASSERT(chq_session_encrypt(sessions[0], chq_bytes_text("x"), 5, &source, &w) == CHQ_OK);
    CHQ_ASSERT(chq_initial_open(&initial, &us[1], chq_writer_bytes(&w)) == CHQ_OK);
    CHQ_ASSERT(chq_session_accept(&sessions[1], &us[1], &initial, 5, &source, &plain) == CHQ_OK);
    chq_initial_close(&initial);
    chq_writer_free(&bundle);
    chq_writer_free(&w);
    chq_writer_free(&plain);
}

static struct chq_writer state_of(const struct chq_session *session)
{
    struct chq_writer w = chq_writer_heap(CHQ_SESSION_STATE_BYTES_MAX);
    chq_session_write(&w, session);
    CHQ_ASSERT(chq_writer_finish(&w) == CHQ_OK);
    return w;
}

/* Receive, and put the session back if it took the message. */
static void receive(struct chq_bytes envelope)
{
    struct chq_writer before = state_of(sessions[1]), plain = chq_writer_heap(CHQ_ENVELOPE_BYTES_MAX);
    enum chq_err err = chq_session_decrypt(sessions[1], envelope, 9, &source, &plain);
    struct chq_writer after = state_of(sessions[1]);
    if (err == CHQ_OK) {
        chq_session_free(sessions[1]);
        CHQ_ASSERT(chq_session_read(&sessions[1], chq_writer_bytes(&before)) == CHQ_OK);
    } else {
        CHQ_ASSERT(plain.size == 0 && chq_bytes_equal(chq_writer_bytes(&before), chq_writer_bytes(&after)));
    }
    chq_writer_free(&before);
    chq_writer_free(&after);
    chq_writer_free(&plain);
}

/* A header and body of the fuzzer's, under the keys that the peer has: the peer itself may be hostile. */
static void receive_from_hostile_peer(const uint8_t *data, size_t size)
{
    static uint8_t e[1024];
    uint8_t message_key[32], associated[CHQ_HASH_BYTES], chain[32];
    struct chq_session *s = sessions[1];
    bool new_chain = data[0] & 1;
    uint8_t *m = e + 2;
    memset(e, 0, sizeof e);
    e[0] = 1;
    e[1] = 2;
    memcpy(m, data + 1, 4);
    chq_aead_seal(m + CHQ_HEADER_AT,
        new_chain ? s->ratchet.receive_next_header_key : s->ratchet.chains[0].header_key, m,
        chq_bytes(data + 5, CHQ_HEADER_BYTES), chq_bytes(s->transcript, sizeof s->transcript));
    memcpy(chain, s->ratchet.receive_chain_key, sizeof chain);
    chq_chain_key_step(chain, message_key);
    size_t body_size = sizeof e - 2 - CHQ_EXTENSION_AT - CHQ_AEAD_OVERHEAD_BYTES;
    uint8_t *body = m + CHQ_EXTENSION_AT;
    memcpy(body + CHQ_AEAD_COMMIT_BYTES, data + 5 + CHQ_HEADER_BYTES,
        size - 5 - CHQ_HEADER_BYTES < body_size ? size - 5 - CHQ_HEADER_BYTES : body_size);
    chq_message_associated(associated, s, m, CHQ_EXTENSION_AT);
    chq_aead_seal(body, message_key, m, chq_bytes(body + CHQ_AEAD_COMMIT_BYTES, body_size),
        chq_bytes(associated, sizeof associated));
    receive(chq_bytes(e, sizeof e));
}

/* An opened seal of the fuzzer's: anybody can seal to a device. */
static void open_sealed(const uint8_t *data, size_t size)
{
    static uint8_t e[4096];
    struct chq_kem_pair kem;
    struct chq_initial initial;
    struct chq_session *session;
    struct chq_session_self us = self(1);
    struct chq_session_peer to;
    struct chq_seal_target target = {.signed_id = 1};
    struct chq_writer plain = chq_writer_heap(CHQ_ENVELOPE_BYTES_MAX);
    size_t block = sizeof e - CHQ_SEAL_OVERHEAD_BYTES;
    memcpy(to.account_id, accounts[1], 32);
    memcpy(to.signing_key, devices[1].signing.public_key, 32);
    memcpy(to.identity_key, devices[1].identity.public_key, 32);
    chq_kem_pair_from_seed(&kem, secret.kem_seed);
    memcpy(target.kem_key, kem.public_key, sizeof target.kem_key);
    memset(e, 0, sizeof e);
    memcpy(e + CHQ_SEAL_PREFIX_BYTES + CHQ_AEAD_COMMIT_BYTES, data, size < block ? size : block);
    CHQ_ASSERT(chq_seal_close(e, block, &to, &target, &source) == CHQ_OK);
    if (chq_initial_open(&initial, &us, chq_bytes(e, sizeof e)) == CHQ_OK) {
        CHQ_ASSERT(chq_session_accept(&session, &us, &initial, 9, &source, &plain) != CHQ_OK);
        CHQ_ASSERT(session == NULL && plain.size == 0);
        (void)!chq_session_decrypt_initial(sessions[1], &initial, 9, &source, &plain);
        chq_initial_close(&initial);
    }
    chq_writer_free(&plain);
}

static void read_state(struct chq_bytes in)
{
    struct chq_session *session;
    if (chq_session_read(&session, in) != CHQ_OK)
        return;
    struct chq_writer w = state_of(session);
    CHQ_ASSERT(chq_bytes_equal(chq_writer_bytes(&w), in));
    chq_writer_free(&w);
    chq_session_free(session);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t envelope[CHQ_ENVELOPE_BYTES_MAX];
    if (sessions[0] == NULL)
        set_up();
    if (size < 1)
        return 0;
    struct chq_bytes rest = chq_bytes(data + 1, size - 1);
    switch (data[0] & 3) {
    case 0: {
        size_t bucket = chq_envelope_bucket(rest.size);
        memset(envelope, 0, sizeof envelope);
        if (bucket > 0)
            memcpy(envelope, rest.data, rest.size);
        if (bucket > 0)
            receive(chq_bytes(envelope, bucket));
        break;
    }
    case 1: open_sealed(rest.data, rest.size); break;
    case 2:
        if (rest.size >= 5 + CHQ_HEADER_BYTES)
            receive_from_hostile_peer(rest.data, rest.size);
        break;
    default: read_state(rest);
    }
    return 0;
}
