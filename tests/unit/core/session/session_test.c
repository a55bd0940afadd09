/* SPDX-License-Identifier: Apache-2.0 */
/* What a session promises to who uses it: start, answer, sizes, secrecy of the sender, refusals. */
#include "party.h"

#include "core/session/internal.h"

static struct party ana, bo, eva;
static struct letter l, l2;

static int fresh_parties(void **state)
{
    (void)state;
    party_init(&ana, 1);
    party_init(&bo, 2);
    party_init(&eva, 3);
    return 0;
}

static void starts_with_every_kind_of_offer(void **state)
{
    (void)state;
    for (int one_time = -1; one_time < 2; one_time++) {
        struct chq_session *at_ana = party_start(&ana, &bo, one_time);
        send_text(&l, &ana, at_ana, "first");
        assert_false(chq_session_info(at_ana)->confirmed);
        struct chq_session *at_bo = accept_text(&bo, &l, "first");
        const struct chq_session_info *x = chq_session_info(at_ana), *y = chq_session_info(at_bo);
        assert_memory_equal(x->id, y->id, sizeof x->id);
        assert_memory_equal(y->peer.account_id, ana.account.id, sizeof y->peer.account_id);
        assert_memory_equal(y->peer.signing_key, ana.device.signing.public_key, sizeof y->peer.signing_key);
        assert_memory_equal(
            y->peer.identity_key, ana.device.identity.public_key, sizeof y->peer.identity_key);
        assert_int_equal(y->started_s, PARTY_NOW);
        send_text(&l, &bo, at_bo, "answer");
        expect_text(&ana, at_ana, &l, "answer");
        assert_true(x->confirmed);
        send_text(&l, &ana, at_ana, "third");
        expect_text(&bo, at_bo, &l, "third");
        chq_session_free(at_ana);
        chq_session_free(at_bo);
    }
}

static void envelopes_repeat_the_start_until_answered(void **state)
{
    (void)state;
    static struct letter letters[3];
    static char text[CHQ_ENVELOPE_BYTES_MAX];
    static const char *const words[] = {"one", "two", "three"};
    struct chq_session *at_ana = party_start(&ana, &bo, 0);
    for (size_t i = 0; i < 3; i++)
        send_text(&letters[i], &ana, at_ana, words[i]);
    struct chq_session *at_bo = accept_text(&bo, &letters[2], "three"); /* the first two are late */
    for (size_t i = 0; i < 2; i++) {
        struct chq_initial initial;
        assert_int_equal(chq_initial_open(&initial, &bo.self, letter_bytes(&letters[i])), CHQ_OK);
        assert_memory_equal(initial.session_id, chq_session_info(at_bo)->id, sizeof initial.session_id);
        struct chq_writer w = chq_writer_fixed((uint8_t *)text, sizeof text);
        assert_int_equal(chq_session_decrypt_initial(at_bo, &initial, PARTY_NOW, &bo.random, &w), CHQ_OK);
        assert_memory_equal(text, words[i], strlen(words[i]));
        assert_int_equal(chq_session_decrypt_initial(at_bo, &initial, PARTY_NOW, &bo.random, &w), CHQ_STATE);
        chq_initial_close(&initial);
    }
    enum chq_envelope_kind kind;
    send_text(&l, &bo, at_bo, "answer");
    expect_text(&ana, at_ana, &l, "answer");
    send_text(&l, &ana, at_ana, "four");
    assert_int_equal(chq_envelope_kind(&kind, letter_bytes(&l)), CHQ_OK);
    assert_int_equal(kind, CHQ_ENVELOPE_NORMAL);
    chq_session_free(at_ana);
    chq_session_free(at_bo);
}

static void every_envelope_has_one_of_four_sizes(void **state)
{
    (void)state;
    static uint8_t plain[CHQ_ENVELOPE_BYTES_MAX];
    static char text[CHQ_ENVELOPE_BYTES_MAX];
    static const struct {
        size_t plain, envelope;
    } rows[] = {{0, 256}, {91, 256}, {92, 1024}, {859, 1024}, {860, 4096}, {3931, 4096}, {3932, 16384},
        {12288, 16384}, {CHQ_SESSION_PLAIN_BYTES_MAX, 16384}};
    struct chq_session *at_ana, *at_bo;
    memset(plain, 'x', sizeof plain);
    connect_parties(&ana, &bo, &at_ana, &at_bo);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        send_bytes(&l, &bo, at_bo, chq_bytes(plain, rows[i].plain), PARTY_NOW);
        assert_int_equal(l.size, rows[i].envelope);
        assert_int_equal(receive_at(text, &ana, at_ana, &l, PARTY_NOW), CHQ_OK);
        assert_int_equal(strlen(text), rows[i].plain);
    }
    struct chq_session *unanswered = party_start(&ana, &bo, -1);
    send_text(&l, &ana, unanswered, "");
    assert_int_equal(l.size, 4096);
    send_bytes(&l, &ana, unanswered, chq_bytes(plain, CHQ_SESSION_PLAIN_BYTES_MAX), PARTY_NOW);
    assert_int_equal(l.size, 16384);
    struct chq_session *before = clone_session(at_bo);
    struct chq_writer w = chq_writer_heap(SIZE_MAX);
    assert_int_equal(
        chq_session_encrypt(at_bo, chq_bytes(plain, sizeof plain), PARTY_NOW, &bo.random, &w), CHQ_LIMIT);
    assert_int_equal(w.size, 0);
    w = chq_writer_fixed(l.data, 255);
    assert_int_equal(chq_session_encrypt(at_bo, chq_bytes(plain, 1), PARTY_NOW, &bo.random, &w), CHQ_LIMIT);
    expect_same_state(at_bo, before);
    chq_session_free(before);
    chq_session_free(unanswered);
    chq_session_free(at_ana);
    chq_session_free(at_bo);
}

static bool contains(const struct letter *in, const void *what, size_t size)
{
    return memmem(in->data, in->size, what, size) != NULL;
}

/* A relay sees nothing of the sender, and no two initial envelopes share more than version, kind and prekey id. */
static void an_initial_envelope_hides_its_sender(void **state)
{
    (void)state;
    struct chq_session *at_ana = party_start(&ana, &bo, 0);
    send_text(&l, &ana, at_ana, "one");
    send_text(&l2, &ana, at_ana, "two");
    assert_int_equal(l.size, l2.size);
    for (size_t at = 6; at + 8 <= l.size; at++)
        if (memmem(l2.data, l2.size, l.data + at, 8) != NULL)
            fail_msg("eight bytes at %zu repeat", at);
    assert_false(contains(&l, ana.account.id, 8));
    assert_false(contains(&l, ana.device.signing.public_key, 8));
    assert_false(contains(&l, ana.device.identity.public_key, 8));
    struct chq_initial initial;
    assert_int_equal(chq_initial_open(&initial, &eva.self, letter_bytes(&l)), CHQ_AUTH);
    assert_null(initial.block);
    chq_session_free(at_ana);
}

static void a_replay_is_refused(void **state)
{
    (void)state;
    static char text[CHQ_ENVELOPE_BYTES_MAX];
    static struct letter first;
    struct chq_session *again, *at_ana = party_start(&ana, &bo, 0);
    send_text(&first, &ana, at_ana, "pay 5");
    struct chq_session *at_bo = accept_text(&bo, &first, "pay 5");
    /* The one-time prekey is gone, so even a device that forgot the session refuses. */
    assert_int_equal(accept_error(&bo, &again, &first, text), CHQ_NOT_FOUND);
    assert_null(again);
    send_text(&l, &bo, at_bo, "paid");
    expect_text(&ana, at_ana, &l, "paid");
    assert_int_equal(receive_error(&ana, at_ana, &l), CHQ_STATE);
    struct chq_session *restarted = clone_session(at_ana);
    assert_int_equal(receive_error(&ana, restarted, &l), CHQ_STATE);
    assert_int_equal(receive_error(&bo, at_bo, &l), CHQ_AUTH); /* reflected to its sender */
    chq_session_free(restarted);
    chq_session_free(at_ana);
    chq_session_free(at_bo);
}

/* Key compromise impersonation: who has bo's long-term keys still cannot be taken for ana by bo. */
static void bos_keys_do_not_make_anyone_ana(void **state)
{
    (void)state;
    static char text[CHQ_ENVELOPE_BYTES_MAX];
    struct chq_session *accepted;
    struct chq_device_keys forged = eva.device;
    forged.identity =
        bo.device.identity; /* the stolen key: DH(bo's secret, anything public) can be computed */
    memcpy(forged.signing.public_key, ana.device.signing.public_key, sizeof forged.signing.public_key);
    memcpy(forged.identity.public_key, ana.device.identity.public_key, sizeof forged.identity.public_key);
    struct chq_session_self as_ana = {.account_id = ana.account.id, .device = &forged};
    for (int one_time = -1; one_time < 2; one_time++) {
        struct chq_session *forgery;
        struct chq_session_offer offer = party_offer(&bo, one_time);
        assert_int_equal(chq_session_start(&forgery, &as_ana, &offer, PARTY_NOW, &eva.random), CHQ_OK);
        send_text(&l, &eva, forgery, "I am ana");
        assert_int_equal(accept_error(&bo, &accepted, &l, text), CHQ_AUTH);
        assert_null(accepted);
        chq_session_free(forgery);
    }
}

/* Claims to be another account's device make another key: the transcript holds all of them. */
static void a_claimed_identity_is_bound(void **state)
{
    (void)state;
    static char text[CHQ_ENVELOPE_BYTES_MAX];
    struct chq_session *accepted;
    struct party other = bo; /* the same device keys and prekeys, in another account */
    other.self.account_id = eva.account.id;
    other.self.device = &other.device;
    other.self.prekeys.context = &other;
    struct chq_session *at_ana = party_start(&ana, &bo, -1);
    send_text(&l, &ana, at_ana, "for bo");
    assert_int_equal(accept_error(&other, &accepted, &l, text), CHQ_AUTH);
    chq_session_free(at_ana);
}

/* Nothing in the handshake can be changed: not the sender, not a key, not its kind, not the ciphertext. */
static void every_byte_of_the_handshake_is_bound(void **state)
{
    (void)state;
    static char text[CHQ_ENVELOPE_BYTES_MAX];
    struct chq_session *accepted, *at_ana = party_start(&ana, &bo, 0);
    const struct chq_session_peer to = party_public(&bo);
    size_t block_bytes = 4096 - CHQ_SEAL_OVERHEAD_BYTES;
    struct chq_initial initial;
    send_text(&l, &ana, at_ana, "bound");
    assert_int_equal(chq_initial_open(&initial, &bo.self, letter_bytes(&l)), CHQ_OK);
    for (size_t at = 0; at < CHQ_HANDSHAKE_BYTES; at += at < 144 ? 1 : 13) {
        uint8_t *block = l.data + CHQ_SEAL_PREFIX_BYTES + CHQ_AEAD_COMMIT_BYTES;
        memcpy(block, initial.block, block_bytes);
        block[at] ^= at == 140 ? 3 : 1; /* byte 140: one kind of KEM key taken for the other */
        assert_int_equal(chq_seal_close(l.data, block_bytes, &to, at_ana->seal, &eva.random), CHQ_OK);
        enum chq_err err = accept_error(&bo, &accepted, &l, text);
        if (err != CHQ_AUTH && err != CHQ_NOT_FOUND)
            fail_msg("byte %zu: %d", at, err);
    }
    chq_initial_close(&initial);
    chq_session_free(at_ana);
}

/* Who holds a KEM key of bo's cannot pass a start on: the same secret under another key's ciphertext is refused. */
static void a_secret_encapsulated_again_is_refused(void **state)
{
    (void)state;
    static char text[CHQ_ENVELOPE_BYTES_MAX];
    struct chq_session *accepted, *at_ana = party_start(&ana, &bo, 0);
    const struct chq_session_peer to = party_public(&bo);
    struct chq_kem_pair signed_pair;
    uint8_t shared[CHQ_KEM_SHARED_BYTES], raw[64] = {9};
    struct chq_initial initial;
    send_text(&l, &ana, at_ana, "for the one-time key");
    assert_int_equal(chq_initial_open(&initial, &bo.self, letter_bytes(&l)), CHQ_OK);
    uint8_t *block = l.data + CHQ_SEAL_PREFIX_BYTES + CHQ_AEAD_COMMIT_BYTES;
    size_t block_bytes = initial.block_bytes;
    memcpy(block, initial.block, block_bytes);
    chq_kem_pair_from_seed(&signed_pair, bo.signed_secret.kem_seed);
    block[140] = CHQ_KEM_FROM_SIGNED; /* and another, valid ciphertext, to the signed key */
    assert_int_equal(chq_kem_encapsulate(block + 141, shared, signed_pair.public_key, raw), CHQ_OK);
    assert_int_equal(chq_seal_close(l.data, block_bytes, &to, at_ana->seal, &eva.random), CHQ_OK);
    assert_int_equal(accept_error(&bo, &accepted, &l, text), CHQ_AUTH);
    chq_initial_close(&initial);
    chq_session_free(at_ana);
}

static enum chq_err start_error(struct chq_session_offer offer)
{
    struct chq_session *session = (struct chq_session *)&offer;
    enum chq_err err = chq_session_start(&session, &ana.self, &offer, PARTY_NOW, &ana.random);
    assert_null(session);
    return err;
}

/* Every row is an offer that must be refused. */
static void bad_offers(void **state)
{
    (void)state;
    struct chq_session_offer offer = party_offer(&bo, 0);
    offer.bundle = chq_bytes(eva.bundle, eva.bundle_size); /* 0: another device's bundle */
    assert_int_equal(start_error(offer), CHQ_AUTH);
    offer = party_offer(&bo, 0); /* 1: another device's one-time prekey */
    offer.one_time = chq_bytes(eva.one_time[0], eva.one_time_size[0]);
    assert_int_equal(start_error(offer), CHQ_AUTH);
    offer = party_offer(&bo, 0); /* 2, 3: one in the place of the other */
    offer.one_time = offer.bundle;
    assert_int_equal(start_error(offer), CHQ_AUTH);
    offer = party_offer(&bo, 0);
    offer.bundle = offer.one_time;
    assert_int_equal(start_error(offer), CHQ_AUTH);
    offer = party_offer(&bo, 0); /* 4: the same device said to be in another account */
    memcpy(offer.peer.account_id, eva.account.id, sizeof offer.peer.account_id);
    assert_int_equal(start_error(offer), CHQ_AUTH);
    offer = party_offer(&ana, 0); /* 5: ourselves */
    assert_int_equal(start_error(offer), CHQ_STATE);
    offer = party_offer(&bo, 0); /* 6: cut off */
    offer.bundle.size--;
    assert_int_equal(start_error(offer), CHQ_MALFORMED);
    offer = party_offer(&bo, 0); /* 7: no bundle */
    offer.bundle.size = 0;
    assert_int_equal(start_error(offer), CHQ_MALFORMED);
    offer = party_offer(&bo, 0); /* 8: a low-order identity key */
    memset(offer.peer.identity_key, 0, sizeof offer.peer.identity_key);
    assert_int_equal(start_error(offer), CHQ_AUTH);
    for (size_t i = 0; i < bo.bundle_size; i += 37) { /* 9: any changed byte */
        struct party changed = bo;
        changed.bundle[i] ^= 0x20;
        assert_int_not_equal(start_error(party_offer(&changed, 0)), CHQ_OK);
    }
}

/* The seven u coordinates of small order (RFC 7748 and cr.yp.to/ecdh.html), and non-canonical forms of them. */
static const char *const low_order[] = {
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000000",
    "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
    "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
};

static void hex(const char *text, uint8_t *out, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        char two[3] = {text[2 * i], text[2 * i + 1], 0};
        out[i] = (uint8_t)strtoul(two, NULL, 16);
    }
}

static void low_order_keys_are_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof low_order / sizeof *low_order; i++) {
        struct chq_prekey_bundle bundle;
        struct chq_one_time_prekey one_time;
        static uint8_t storage[CHQ_PREKEY_BUNDLE_BYTES_MAX], storage2[CHQ_ONE_TIME_PREKEY_BYTES_MAX];
        struct chq_session_offer offer = party_offer(&bo, 1);
        const uint8_t *bos_key = bo.device.signing.public_key;
        assert_int_equal(chq_prekey_bundle_open(&bundle, offer.bundle, bos_key), CHQ_OK);
        assert_int_equal(chq_one_time_prekey_open(&one_time, offer.one_time, bos_key), CHQ_OK);
        hex(low_order[i], bundle.signed_key, 32);
        hex(low_order[i], one_time.key, 32);
        struct chq_writer w = chq_writer_fixed(storage, sizeof storage);
        chq_prekey_bundle_sign(&w, &bo.device.signing, &bundle);
        struct chq_writer w2 = chq_writer_fixed(storage2, sizeof storage2);
        chq_one_time_prekey_sign(&w2, &bo.device.signing, &one_time);
        offer.bundle = chq_writer_bytes(&w);
        assert_int_equal(start_error(offer), CHQ_AUTH);
        offer = party_offer(&bo, -1);
        offer.one_time = chq_writer_bytes(&w2);
        assert_int_equal(start_error(offer), CHQ_AUTH);
        offer = party_offer(&bo, -1);
        hex(low_order[i], offer.peer.identity_key, 32);
        assert_int_equal(start_error(offer), CHQ_AUTH);
    }
}

/* Every row is an envelope that must be refused, by chq_envelope_kind already. */
static void bad_envelopes(void **state)
{
    (void)state;
    static const struct {
        size_t size;
        uint8_t version, kind;
        enum chq_err err;
    } rows[] = {
        /* 0 */ {0, 1, 1, CHQ_MALFORMED},
        /* 1 */ {1, 1, 1, CHQ_MALFORMED},
        /* 2 */ {255, 1, 2, CHQ_MALFORMED},
        /* 3 */ {257, 1, 2, CHQ_MALFORMED},
        /* 4 */ {256, 1, 1, CHQ_MALFORMED},
        /* 5 */ {1024, 1, 1, CHQ_MALFORMED},
        /* 6 */ {4096, 0, 1, CHQ_UNSUPPORTED},
        /* 7 */ {4096, 2, 1, CHQ_UNSUPPORTED},
        /* 8 */ {256, 2, 2, CHQ_UNSUPPORTED},
        /* 9 */ {4096, 1, 0, CHQ_MALFORMED},
        /* 10 */ {4096, 1, 3, CHQ_MALFORMED},
        /* 11 */ {4096, 1, 255, CHQ_MALFORMED},
        /* 12 */ {16383, 1, 2, CHQ_MALFORMED},
        /* 13 */ {2048, 1, 2, CHQ_MALFORMED},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        enum chq_envelope_kind kind;
        memset(&l, 0, sizeof l);
        l.size = rows[i].size;
        l.data[0] = rows[i].version;
        l.data[1] = rows[i].kind;
        if (chq_envelope_kind(&kind, letter_bytes(&l)) != rows[i].err)
            fail_msg("row %zu", i);
    }
}

/* Any changed byte anywhere: refused, and the session is as it was. */
static void a_changed_byte_is_refused_and_changes_nothing(void **state)
{
    (void)state;
    static char text[CHQ_ENVELOPE_BYTES_MAX];
    struct chq_session *at_ana, *at_bo, *accepted;
    connect_parties(&ana, &bo, &at_ana, &at_bo);
    send_text(&l, &bo, at_bo, "untouched");
    struct chq_session *before = clone_session(at_ana);
    for (size_t i = 0; i < l.size; i++) {
        l2 = l;
        l2.data[i] ^= 0x40;
        assert_int_not_equal(receive_error(&ana, at_ana, &l2), CHQ_OK);
    }
    expect_same_state(at_ana, before);
    expect_text(&ana, at_ana, &l, "untouched");
    struct chq_session *start = party_start(&ana, &bo, -1);
    send_text(&l, &ana, start, "untouched");
    for (size_t i = 0; i < l.size; i += i < 1200 ? 61 : 127) {
        l2 = l;
        l2.data[i] ^= 0x40;
        assert_int_not_equal(accept_error(&bo, &accepted, &l2, text), CHQ_OK);
    }
    chq_session_free(start);
    chq_session_free(before);
    chq_session_free(at_ana);
    chq_session_free(at_bo);
}

/* Both write first at the same moment: both sessions live, and both sides settle on the same one. */
static void simultaneous_starts_converge(void **state)
{
    (void)state;
    static struct letter from_ana, from_bo;
    struct chq_session *mine[2], *theirs[2];
    mine[0] = party_start(&ana, &bo, 0);
    theirs[1] = party_start(&bo, &ana, 0);
    send_text(&from_ana, &ana, mine[0], "hi bo");
    send_text(&from_bo, &bo, theirs[1], "hi ana");
    theirs[0] = accept_text(&bo, &from_ana, "hi bo");
    mine[1] = accept_text(&ana, &from_bo, "hi ana");
    for (int round = 0; round < 3; round++) {
        int a = chq_session_is_better(mine[0], mine[1]) ? 0 : 1;
        int b = chq_session_is_better(theirs[0], theirs[1]) ? 0 : 1;
        assert_true(chq_session_is_better(mine[a], mine[1 - a]));
        assert_false(chq_session_is_better(mine[1 - a], mine[a]));
        send_text(&from_ana, &ana, mine[a], "cross");
        send_text(&from_bo, &bo, theirs[b], "cross");
        expect_text(&bo, theirs[a], &from_ana, "cross");
        expect_text(&ana, mine[b], &from_bo, "cross");
        if (round > 0)
            assert_int_equal(a, b);
    }
    for (int i = 0; i < 2; i++) {
        chq_session_free(mine[i]);
        chq_session_free(theirs[i]);
    }
}

/* Confirmed before unconfirmed, later before earlier, then the lower id: in this order, and never both ways. */
static void the_better_session_is_the_same_for_both(void **state)
{
    (void)state;
    static const struct {
        bool confirmed;
        uint64_t started_s;
        uint8_t id;
    } rising[] = {{false, 8, 1}, {false, 9, 2}, {false, 9, 1}, {true, 4, 9}, {true, 5, 3}, {true, 5, 2}};
    struct chq_session *a = party_start(&ana, &bo, -1), *b = party_start(&ana, &bo, -1);
    for (size_t i = 0; i < 6; i++)
        for (size_t k = 0; k < 6; k++) {
            a->info.confirmed = rising[i].confirmed;
            a->info.started_s = rising[i].started_s;
            a->info.id[0] = rising[i].id;
            b->info.confirmed = rising[k].confirmed;
            b->info.started_s = rising[k].started_s;
            memcpy(b->info.id, a->info.id, sizeof b->info.id);
            b->info.id[0] = rising[k].id;
            assert_int_equal(chq_session_is_better(a, b), i > k);
        }
    chq_session_free(a);
    chq_session_free(b);
}

static void exported_keys_agree_and_differ_by_label(void **state)
{
    (void)state;
    uint8_t a[32], b[32], c[32];
    struct chq_session *at_ana, *at_bo;
    connect_parties(&ana, &bo, &at_ana, &at_bo);
    chq_session_export(at_ana, chq_bytes_text("call 1"), a);
    chq_session_export(at_bo, chq_bytes_text("call 1"), b);
    chq_session_export(at_bo, chq_bytes_text("call 2"), c);
    assert_memory_equal(a, b, sizeof a);
    assert_memory_not_equal(a, c, sizeof a);
    chq_session_free(at_ana);
    chq_session_free(at_bo);
}

#define FRESH(test) cmocka_unit_test_setup(test, fresh_parties)

int main(void)
{
    const struct CMUnitTest tests[] = {
        FRESH(starts_with_every_kind_of_offer),
        FRESH(envelopes_repeat_the_start_until_answered),
        FRESH(every_envelope_has_one_of_four_sizes),
        FRESH(an_initial_envelope_hides_its_sender),
        FRESH(a_replay_is_refused),
        FRESH(bos_keys_do_not_make_anyone_ana),
        FRESH(a_claimed_identity_is_bound),
        FRESH(every_byte_of_the_handshake_is_bound),
        FRESH(a_secret_encapsulated_again_is_refused),
        FRESH(bad_offers),
        FRESH(low_order_keys_are_refused),
        FRESH(bad_envelopes),
        FRESH(a_changed_byte_is_refused_and_changes_nothing),
        FRESH(simultaneous_starts_converge),
        FRESH(the_better_session_is_the_same_for_both),
        FRESH(exported_keys_agree_and_differ_by_label),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
