/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The start of a session, of the shape of Signal's PQXDH (revision 3): X25519 between identities, signed and one-time
 * prekeys, one X-Wing encapsulation, and one derivation over all of them that also holds who talks to whom under which
 * version and every public key with a tag that says what it is.
 */
#include <stdlib.h>
#include <string.h>

#include "core/base/assert.h"
#include "core/crypto/hkdf.h"
#include "core/session/internal.h"

/* One side, public. */
struct party {
    const uint8_t *account_id, *signing_key, *identity_key;
};

/* Everything public that both sides must agree on. */
struct start {
    struct party initiator, responder;
    const uint8_t *ephemeral_key;
    uint32_t signed_id, one_time_id;
    const uint8_t *signed_key, *one_time_key; /* one_time_key NULL: none */
    enum chq_kem_source kem_source;
    const uint8_t *kem_key, *kem_ciphertext;
    uint64_t started_s;
};

/* Type tags of the transcript; never reuse a number. */
enum tag {
    TAG_SUITE = 1,
    TAG_INITIATOR_ACCOUNT = 2,
    TAG_INITIATOR_DEVICE = 3,
    TAG_INITIATOR_SIGNING = 4,
    TAG_INITIATOR_IDENTITY = 5,
    TAG_RESPONDER_ACCOUNT = 6,
    TAG_RESPONDER_DEVICE = 7,
    TAG_RESPONDER_SIGNING = 8,
    TAG_RESPONDER_IDENTITY = 9,
    TAG_EPHEMERAL = 10,
    TAG_SIGNED_PREKEY = 11,
    TAG_ONE_TIME_PREKEY = 12,
    TAG_SIGNED_KEM = 13,
    TAG_ONE_TIME_KEM = 14,
    TAG_KEM_CIPHERTEXT = 15,
    TAG_STARTED = 16,
    TAG_SECRETS = 17
};

#define TRANSCRIPT_BYTES_MAX 4096
#define SECRETS_BYTES_MAX    (32 + 5 * 33)

static void put_tagged(struct chq_writer *w, enum tag tag, const void *data, size_t size)
{
    chq_write_u8(w, (uint8_t)tag);
    chq_write_u32(w, (uint32_t)size);
    chq_write_bytes(w, data, size);
}

static void put_prekey(struct chq_writer *w, enum tag tag, uint32_t id, const uint8_t *key, size_t size)
{
    chq_write_u8(w, (uint8_t)tag);
    chq_write_u32(w, (uint32_t)(4 + size));
    chq_write_u32(w, id);
    chq_write_bytes(w, key, size);
}

static void put_party(struct chq_writer *w, enum tag first, const struct party *party)
{
    uint8_t device_id[CHQ_DEVICE_ID_BYTES];
    chq_device_id(device_id, party->signing_key);
    put_tagged(w, first, party->account_id, CHQ_ACCOUNT_ID_BYTES);
    put_tagged(w, first + 1, device_id, sizeof device_id);
    put_tagged(w, first + 2, party->signing_key, CHQ_SIGN_PUBLIC_BYTES);
    put_tagged(w, first + 3, party->identity_key, CHQ_DH_BYTES);
}

static void hash_transcript(uint8_t out[CHQ_HASH_BYTES], const struct start *s)
{
    static const char suite[] = "chasqui/1 X25519 X-Wing Ed25519 SHA-256 HKDF XChaCha20-Poly1305-commit";
    uint8_t storage[TRANSCRIPT_BYTES_MAX], started[8];
    struct chq_writer w = chq_writer_fixed(storage, sizeof storage);
    chq_store_u64(started, s->started_s);
    put_tagged(&w, TAG_SUITE, suite, sizeof suite - 1);
    put_party(&w, TAG_INITIATOR_ACCOUNT, &s->initiator);
    put_party(&w, TAG_RESPONDER_ACCOUNT, &s->responder);
    put_tagged(&w, TAG_EPHEMERAL, s->ephemeral_key, CHQ_DH_BYTES);
    put_prekey(&w, TAG_SIGNED_PREKEY, s->signed_id, s->signed_key, CHQ_DH_BYTES);
    if (s->one_time_key != NULL)
        put_prekey(&w, TAG_ONE_TIME_PREKEY, s->one_time_id, s->one_time_key, CHQ_DH_BYTES);
    bool kem_signed = s->kem_source == CHQ_KEM_FROM_SIGNED;
    put_prekey(&w, kem_signed ? TAG_SIGNED_KEM : TAG_ONE_TIME_KEM, kem_signed ? s->signed_id : s->one_time_id,
        s->kem_key, CHQ_KEM_PUBLIC_BYTES);
    put_tagged(&w, TAG_KEM_CIPHERTEXT, s->kem_ciphertext, CHQ_KEM_CIPHERTEXT_BYTES);
    put_tagged(&w, TAG_STARTED, started, sizeof started);
    CHQ_ASSERT(w.err == CHQ_OK);
    struct chq_bytes part = chq_writer_bytes(&w);
    chq_hash(out, "chasqui handshake v1", &part, 1);
}

/* The secrets of a start, in PQXDH's order: DH1 to DH4, then the KEM's. */
struct secrets {
    uint8_t dh[4][CHQ_DH_BYTES];
    uint8_t kem[CHQ_KEM_SHARED_BYTES];
};

/* Derive everything the session begins with. */
static void derive(struct chq_session *session, struct chq_ratchet_secrets *out, const struct start *start,
    const struct secrets *secrets)
{
    uint8_t storage[SECRETS_BYTES_MAX], okm[4 * CHQ_RATCHET_KEY_BYTES];
    struct chq_writer w = chq_writer_fixed(storage, sizeof storage);
    size_t dhs = start->one_time_key != NULL ? 4 : 3;
    memset(chq_write_space(&w, 32), 0xff, 32); /* X3DH's F: no encoding of a key begins so */
    for (size_t i = 0; i < dhs; i++) {
        chq_write_u8(&w, (uint8_t)(i + 1));
        chq_write_bytes(&w, secrets->dh[i], sizeof secrets->dh[i]);
    }
    chq_write_u8(&w, 5);
    chq_write_bytes(&w, secrets->kem, sizeof secrets->kem);
    CHQ_ASSERT(w.err == CHQ_OK);
    hash_transcript(session->transcript, start);
    chq_hkdf(okm, sizeof okm, chq_bytes(session->transcript, sizeof session->transcript),
        chq_writer_bytes(&w), chq_bytes_text("chasqui session v1"));
    memcpy(out->root_key, okm, 32);
    memcpy(out->initiator_header_key, okm + 32, 32);
    memcpy(out->responder_header_key, okm + 64, 32);
    memcpy(session->export_key, okm + 96, 32);
    chq_wipe(storage, sizeof storage);
    chq_wipe(okm, sizeof okm);
}

void chq_session_name(uint8_t out[CHQ_SESSION_ID_BYTES], const uint8_t handshake[CHQ_HANDSHAKE_BYTES],
    const uint8_t responder_signing_key[CHQ_SIGN_PUBLIC_BYTES])
{
    uint8_t hash[CHQ_HASH_BYTES];
    const struct chq_bytes parts[] = {
        chq_bytes(handshake, CHQ_HANDSHAKE_BYTES), chq_bytes(responder_signing_key, CHQ_SIGN_PUBLIC_BYTES)};
    chq_hash(hash, "chasqui session id v1", parts, 2);
    memcpy(out, hash, CHQ_SESSION_ID_BYTES);
}

static struct party party_self(const struct chq_session_self *self)
{
    return (struct party){.account_id = self->account_id,
        .signing_key = self->device->signing.public_key,
        .identity_key = self->device->identity.public_key};
}

static struct party party_peer(const struct chq_session_peer *peer)
{
    return (struct party){
        .account_id = peer->account_id, .signing_key = peer->signing_key, .identity_key = peer->identity_key};
}

/* Read and check what lay at the front door. */
static enum chq_err open_offer(struct chq_prekey_bundle *bundle, struct chq_one_time_prekey *one_time,
    const struct chq_session_self *self, const struct chq_session_offer *offer)
{
    if (memcmp(offer->peer.signing_key, self->device->signing.public_key, CHQ_SIGN_PUBLIC_BYTES) == 0)
        return CHQ_STATE;
    CHQ_TRY(chq_prekey_bundle_open(bundle, offer->bundle, offer->peer.signing_key));
    if (memcmp(bundle->account_id, offer->peer.account_id, sizeof bundle->account_id) != 0)
        return CHQ_AUTH;
    memset(one_time, 0, sizeof *one_time);
    if (offer->one_time.size > 0)
        CHQ_TRY(chq_one_time_prekey_open(one_time, offer->one_time, offer->peer.signing_key));
    return CHQ_OK;
}

/* The initiator's Diffie-Hellmans (PQXDH section 3.3). */
static enum chq_err initiator_dhs(struct secrets *out, const struct chq_session_self *self,
    const struct chq_dh_pair *ephemeral, const struct chq_session_peer *peer,
    const struct chq_prekey_bundle *bundle, const struct chq_one_time_prekey *one_time)
{
    CHQ_TRY(chq_dh(out->dh[0], self->device->identity.secret_key, bundle->signed_key));
    CHQ_TRY(chq_dh(out->dh[1], ephemeral->secret_key, peer->identity_key));
    CHQ_TRY(chq_dh(out->dh[2], ephemeral->secret_key, bundle->signed_key));
    if (one_time->id != 0)
        CHQ_TRY(chq_dh(out->dh[3], ephemeral->secret_key, one_time->key));
    return CHQ_OK;
}

/* Everything an initiator holds while it starts; wiped as one. */
struct initiation {
    struct chq_prekey_bundle bundle;
    struct chq_one_time_prekey one_time;
    struct chq_handshake handshake;
    struct chq_dh_pair ephemeral;
    struct secrets secrets;
    struct chq_ratchet_secrets keys;
    uint8_t raw[64];
};

/* Fill in the handshake: fresh ephemeral key, encapsulation to the one-time X-Wing key or the signed one. */
static enum chq_err initiate(struct initiation *in, const struct chq_session_self *self,
    const struct chq_session_offer *offer, uint64_t now_s, const struct chq_random *random)
{
    struct chq_handshake *h = &in->handshake;
    CHQ_TRY(open_offer(&in->bundle, &in->one_time, self, offer));
    chq_random_fill(random, in->raw, CHQ_SEED_BYTES);
    chq_dh_pair_from_seed(&in->ephemeral, in->raw);
    CHQ_TRY(initiator_dhs(&in->secrets, self, &in->ephemeral, &offer->peer, &in->bundle, &in->one_time));
    memcpy(h->account_id, self->account_id, sizeof h->account_id);
    memcpy(h->signing_key, self->device->signing.public_key, sizeof h->signing_key);
    memcpy(h->identity_key, self->device->identity.public_key, sizeof h->identity_key);
    memcpy(h->ephemeral_key, in->ephemeral.public_key, sizeof h->ephemeral_key);
    h->started_s = now_s;
    h->one_time_id = in->one_time.id;
    h->kem_source = in->one_time.has_kem ? CHQ_KEM_FROM_ONE_TIME : CHQ_KEM_FROM_SIGNED;
    chq_random_fill(random, in->raw, sizeof in->raw);
    return chq_kem_encapsulate(h->kem_ciphertext, in->secrets.kem,
        in->one_time.has_kem ? in->one_time.kem_key : in->bundle.kem_key, in->raw);
}

/* Set the session up from what `initiate` made. */
static enum chq_err begin(struct chq_session *session, struct initiation *in,
    const struct chq_session_self *self, const struct chq_session_offer *offer,
    const struct chq_random *random)
{
    const struct chq_handshake *h = &in->handshake;
    bool one_time_kem = in->one_time.has_kem;
    const struct start start = {.initiator = party_self(self),
        .responder = party_peer(&offer->peer),
        .ephemeral_key = h->ephemeral_key,
        .signed_id = in->bundle.signed_id,
        .one_time_id = h->one_time_id,
        .signed_key = in->bundle.signed_key,
        .one_time_key = h->one_time_id != 0 ? in->one_time.key : NULL,
        .kem_source = (enum chq_kem_source)h->kem_source,
        .kem_key = one_time_kem ? in->one_time.kem_key : in->bundle.kem_key,
        .kem_ciphertext = h->kem_ciphertext,
        .started_s = h->started_s};
    session->info.peer = offer->peer;
    session->info.started_s = h->started_s;
    session->info.initiator = true;
    session->seal->signed_id = in->bundle.signed_id;
    memcpy(session->seal->kem_key, in->bundle.kem_key, sizeof session->seal->kem_key);
    chq_handshake_write(session->seal->handshake, h);
    chq_session_name(session->info.id, session->seal->handshake, offer->peer.signing_key);
    derive(session, &in->keys, &start, &in->secrets);
    return chq_ratchet_init_initiator(
        &session->ratchet, &in->keys, in->bundle.signed_key, h->started_s, random);
}

enum chq_err chq_session_start(struct chq_session **out, const struct chq_session_self *self,
    const struct chq_session_offer *offer, uint64_t now_s, const struct chq_random *random)
{
    struct initiation in = {0};
    struct chq_session *session = NULL;
    *out = NULL;
    enum chq_err err = initiate(&in, self, offer, now_s, random);
    if (err != CHQ_OK)
        goto out;
    err = CHQ_NO_MEMORY;
    session = calloc(1, sizeof *session);
    if (session == NULL || (session->seal = calloc(1, sizeof *session->seal)) == NULL)
        goto out;
    err = begin(session, &in, self, offer, random);
    if (err != CHQ_OK)
        goto out;
    *out = session;
    session = NULL;
out:
    chq_session_free(session);
    chq_wipe(&in, sizeof in);
    return err;
}

/* Everything a responder holds while it accepts; wiped as one. */
struct acceptance {
    struct chq_handshake handshake;
    struct chq_prekey_secret signed_secret, one_time_secret;
    struct chq_dh_pair signed_pair, one_time_pair;
    struct chq_kem_pair kem_pair;
    struct secrets secrets;
    struct chq_ratchet_secrets keys;
};

/* Find the prekeys that the handshake names and make their keys. */
static enum chq_err find_prekeys(
    struct acceptance *a, const struct chq_session_self *self, const struct chq_initial *initial)
{
    const struct chq_prekey_source *from = &self->prekeys;
    CHQ_TRY(from->find_signed(from->context, initial->signed_prekey_id, &a->signed_secret));
    chq_dh_pair_from_seed(&a->signed_pair, a->signed_secret.dh_seed);
    const uint8_t *kem_seed = a->signed_secret.kem_seed;
    if (a->handshake.one_time_id != 0) {
        CHQ_TRY(from->find_one_time(from->context, a->handshake.one_time_id, &a->one_time_secret));
        chq_dh_pair_from_seed(&a->one_time_pair, a->one_time_secret.dh_seed);
        if (a->handshake.kem_source == CHQ_KEM_FROM_ONE_TIME)
            kem_seed = a->one_time_secret.kem_seed;
        if (a->handshake.kem_source == CHQ_KEM_FROM_ONE_TIME && !a->one_time_secret.has_kem)
            return CHQ_AUTH;
    }
    chq_kem_pair_from_seed(&a->kem_pair, kem_seed);
    return CHQ_OK;
}

/* The responder's side of the same secrets. */
static enum chq_err responder_secrets(struct acceptance *a, const struct chq_session_self *self)
{
    const struct chq_handshake *h = &a->handshake;
    CHQ_TRY(chq_dh(a->secrets.dh[0], a->signed_pair.secret_key, h->identity_key));
    CHQ_TRY(chq_dh(a->secrets.dh[1], self->device->identity.secret_key, h->ephemeral_key));
    CHQ_TRY(chq_dh(a->secrets.dh[2], a->signed_pair.secret_key, h->ephemeral_key));
    if (h->one_time_id != 0)
        CHQ_TRY(chq_dh(a->secrets.dh[3], a->one_time_pair.secret_key, h->ephemeral_key));
    return chq_kem_decapsulate(a->secrets.kem, h->kem_ciphertext, a->kem_pair.secret_key);
}

static enum chq_err respond(struct chq_session *session, struct acceptance *a,
    const struct chq_session_self *self, const struct chq_initial *initial, uint64_t now_s)
{
    const struct chq_handshake *h = &a->handshake;
    CHQ_TRY(chq_handshake_read(&a->handshake, initial->block));
    if (memcmp(h->signing_key, self->device->signing.public_key, sizeof h->signing_key) == 0)
        return CHQ_AUTH; /* our own words sent back to us */
    CHQ_TRY(find_prekeys(a, self, initial));
    CHQ_TRY(responder_secrets(a, self));
    session->info.peer = initial->sender;
    session->info.started_s = h->started_s;
    session->info.confirmed = true;
    memcpy(session->info.id, initial->session_id, sizeof session->info.id);
    const struct start start = {.initiator = party_peer(&session->info.peer),
        .responder = party_self(self),
        .ephemeral_key = h->ephemeral_key,
        .signed_id = initial->signed_prekey_id,
        .one_time_id = h->one_time_id,
        .signed_key = a->signed_pair.public_key,
        .one_time_key = h->one_time_id != 0 ? a->one_time_pair.public_key : NULL,
        .kem_source = (enum chq_kem_source)h->kem_source,
        .kem_key = a->kem_pair.public_key,
        .kem_ciphertext = h->kem_ciphertext,
        .started_s = h->started_s};
    derive(session, &a->keys, &start, &a->secrets);
    chq_ratchet_init_responder(&session->ratchet, &a->keys, &a->signed_pair, now_s);
    return CHQ_OK;
}

enum chq_err chq_session_accept(struct chq_session **out, const struct chq_session_self *self,
    const struct chq_initial *initial, uint64_t now_s, const struct chq_random *random,
    struct chq_writer *plain)
{
    struct acceptance a = {0};
    *out = NULL;
    struct chq_session *session = calloc(1, sizeof *session);
    enum chq_err err = session != NULL ? respond(session, &a, self, initial, now_s) : CHQ_NO_MEMORY;
    if (err == CHQ_OK)
        err = chq_session_decrypt_initial(session, initial, now_s, random, plain);
    if (err == CHQ_OK) {
        *out = session;
        session = NULL;
    }
    chq_session_free(session);
    chq_wipe(&a, sizeof a);
    return err;
}
