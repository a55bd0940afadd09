/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The published session vectors (tests/vectors/session): runs from a seed, with every input, every random draw, the
 * secrets on the way and every envelope. This test makes them again and compares byte for byte; check.py derives the same
 * from the specification alone. With CHQ_VECTORS_OUT=DIRECTORY it writes them there instead.
 */
#include "party.h"

#include "core/base/text.h"
#include "core/session/internal.h"

#include <stdio.h>

static struct chq_writer out;

static void put_text(const char *name, const char *value)
{
    chq_write_bytes(&out, name, strlen(name));
    chq_write_bytes(&out, " = ", 3);
    chq_write_bytes(&out, value, strlen(value));
    chq_write_u8(&out, '\n');
}

static void put_hex(const char *name, const void *data, size_t size)
{
    static char hex[2 * CHQ_ENVELOPE_BYTES_MAX + 1];
    chq_hex_write(chq_bytes(data, size), hex);
    put_text(name, hex);
}

static void put_number(const char *name, uint64_t value)
{
    char text[32];
    snprintf(text, sizeof text, "%llu", (unsigned long long)value);
    put_text(name, text);
}

/* A generator that writes every draw into the vectors. */
static void recorded_fill(void *context, uint8_t *bytes, size_t size)
{
    struct party *p = context;
    struct chq_random seeded = chq_seeded_random(&p->seeded);
    chq_random_fill(&seeded, bytes, size);
    put_hex("random", bytes, size);
}

static void describe(const char *who, const struct party *p)
{
    uint8_t seeds[2][CHQ_SEED_BYTES];
    char name[64];
    chq_device_keys_seeds(&p->device, seeds[0], seeds[1]);
    put_text("party", who);
    put_hex("account_id", p->account.id, sizeof p->account.id);
    put_hex("signing_seed", seeds[0], sizeof seeds[0]);
    put_hex("signing_key", p->device.signing.public_key, 32);
    put_hex("identity_seed", seeds[1], sizeof seeds[1]);
    snprintf(name, sizeof name, "%u", p->signed_secret.id);
    put_text("signed_prekey_id", name);
    put_hex("signed_prekey_seed", p->signed_secret.dh_seed, 32);
    put_hex("kem_prekey_seed", p->signed_secret.kem_seed, 32);
    put_hex("bundle", p->bundle, p->bundle_size);
}

static struct party ana, bo;
static struct chq_session *at_ana, *at_bo;
static uint64_t now_s;

/* What the seal and the handshake hold, for who has no X-Wing at hand. */
static void describe_initial(const struct letter *l)
{
    struct chq_kem_pair kem;
    uint8_t secret[CHQ_KEM_SHARED_BYTES];
    struct chq_initial initial;
    chq_kem_pair_from_seed(&kem, bo.signed_secret.kem_seed);
    assert_int_equal(chq_kem_decapsulate(secret, l->data + 6, kem.secret_key), CHQ_OK);
    put_hex("kem_prekey", kem.public_key, sizeof kem.public_key);
    put_hex("seal_kem_secret", secret, sizeof secret);
    assert_int_equal(chq_initial_open(&initial, &bo.self, letter_bytes(l)), CHQ_OK);
    put_hex("handshake", initial.block, CHQ_HANDSHAKE_BYTES);
    put_hex("session_id", initial.session_id, sizeof initial.session_id);
    const uint8_t *ciphertext = initial.block + CHQ_HANDSHAKE_BYTES - CHQ_KEM_CIPHERTEXT_BYTES;
    if (initial.block[140] == CHQ_KEM_FROM_ONE_TIME)
        chq_kem_pair_from_seed(&kem, bo.one_time_secret[0].kem_seed);
    assert_int_equal(chq_kem_decapsulate(secret, ciphertext, kem.secret_key), CHQ_OK);
    put_hex("handshake_kem_key", kem.public_key, sizeof kem.public_key);
    put_hex("handshake_kem_secret", secret, sizeof secret);
    chq_initial_close(&initial);
}

static void deliver_letter(struct party *to, struct chq_session **at, const struct letter *l)
{
    static char text[CHQ_ENVELOPE_BYTES_MAX];
    if (*at == NULL) {
        assert_int_equal(accept_error(to, at, l, text), CHQ_OK);
        return;
    }
    bool offered = (*at)->ratchet.offers_kem;
    uint8_t seed[CHQ_SEED_BYTES], key[CHQ_KEM_PUBLIC_BYTES], secret[CHQ_KEM_SHARED_BYTES];
    memcpy(seed, (*at)->ratchet.kem_seed, sizeof seed);
    memcpy(key, (*at)->ratchet.kem_key, sizeof key);
    assert_int_equal(receive_at(text, to, *at, l, now_s), CHQ_OK);
    if (!offered || (*at)->ratchet.chains[0].next_n != 1)
        return;
    const struct chq_session *sender = at == &at_ana ? at_bo : at_ana;
    assert_int_equal(chq_kem_decapsulate(secret, sender->ratchet.kem_ciphertext, seed), CHQ_OK);
    put_hex("rekey_kem_secret", secret, sizeof secret); /* of the answer that was just received */
}

static void message(const char *from, const char *text, bool lost)
{
    static struct letter l;
    bool ana_writes = strcmp(from, "initiator") == 0;
    struct party *writer = ana_writes ? &ana : &bo, *reader = ana_writes ? &bo : &ana;
    struct chq_session **at_reader = ana_writes ? &at_bo : &at_ana;
    put_text("message_from", from);
    put_number("now_s", now_s);
    put_text("plaintext", text);
    send_bytes(&l, writer, ana_writes ? at_ana : at_bo, chq_bytes_text(text), now_s);
    put_hex("envelope", l.data, l.size);
    if (at_bo == NULL)
        describe_initial(&l);
    put_text("delivered", lost ? "no" : "yes");
    if (!lost)
        deliver_letter(reader, at_reader, &l);
}

static void begin(uint64_t seed, int one_time)
{
    out = chq_writer_heap(1024 * 1024);
    party_init(&ana, seed);
    party_init(&bo, seed + 1);
    describe("initiator", &ana);
    describe("responder", &bo);
    if (one_time >= 0) {
        const struct chq_prekey_secret *secret = &bo.one_time_secret[one_time];
        put_number("one_time_prekey_id", secret->id);
        put_hex("one_time_prekey_seed", secret->dh_seed, 32);
        if (secret->has_kem)
            put_hex("one_time_kem_seed", secret->kem_seed, 32);
        put_hex("one_time_prekey", bo.one_time[one_time], bo.one_time_size[one_time]);
    }
    ana.random = (struct chq_random){.fill = recorded_fill, .context = &ana};
    bo.random = (struct chq_random){.fill = recorded_fill, .context = &bo};
    now_s = PARTY_NOW;
    put_number("start_s", now_s);
    at_bo = NULL;
    at_ana = party_start(&ana, &bo, one_time);
    put_hex("transcript", at_ana->transcript, sizeof at_ana->transcript);
}

static void finish(const char *name)
{
    char path[512];
    uint8_t key[32];
    struct chq_writer held = chq_writer_heap(1024 * 1024);
    chq_session_export(at_ana, chq_bytes_text("chasqui test"), key);
    put_text("export_label", "chasqui test");
    put_hex("export", key, sizeof key);
    chq_session_free(at_ana);
    chq_session_free(at_bo);
    const char *directory = getenv("CHQ_VECTORS_OUT");
    snprintf(
        path, sizeof path, "%s/%s", directory != NULL ? directory : CHQ_TESTS_DIR "/vectors/session", name);
    FILE *f = fopen(path, directory != NULL ? "wb" : "rb");
    assert_non_null(f);
    if (directory != NULL) {
        assert_int_equal(fwrite(out.data, 1, out.size, f), out.size);
    } else {
        uint8_t *space = chq_write_space(&held, out.size + 1);
        assert_non_null(space);
        assert_int_equal(fread(space, 1, out.size + 1, f), out.size);
        assert_memory_equal(space, out.data, out.size);
    }
    fclose(f);
    chq_writer_free(&held);
    chq_writer_free(&out);
}

static void one_time_prekey_with_kem(void **state)
{
    (void)state;
    begin(41, 0);
    message("initiator", "first", false);
    message("responder", "answer", false);
    finish("one-time-kem.txt");
}

static void one_time_prekey_without_kem(void **state)
{
    (void)state;
    begin(43, 1);
    message("initiator", "lost", true);
    message("initiator", "second", false);
    finish("one-time.txt");
}

static void no_one_time_prekey_and_a_rekeying(void **state)
{
    (void)state;
    begin(45, -1);
    message("initiator", "one", false);
    message("responder", "two", false);
    message("initiator", "lost", true);
    message("initiator", "three", false);
    now_s += UINT64_C(7) * 86400;
    message("responder", "four", false); /* the initiator's next chain offers a key */
    message("initiator", "five", false);
    message("responder", "six", false); /* answers it */
    message("initiator", "seven", false);
    finish("rekeying.txt");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_time_prekey_with_kem),
        cmocka_unit_test(one_time_prekey_without_kem),
        cmocka_unit_test(no_one_time_prekey_and_a_rekeying),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
