/* SPDX-License-Identifier: Apache-2.0 */
/* The light client against honest answers and every lie a relay could tell. */
#include "core/crypto/keys.h"
#include "core/wire/ledger_frame.h"
#include "core/wire/proof.h"
#include "ledger/light/canonical.h"
#include "ledger/light/light.h"
#include "unit.h"

#include <string.h>

#define NOW    UINT64_C(1700000000)
#define CHAIN  "test-01"
#define VOTERS 4

static struct chq_sign_pair keys[VOTERS];
static struct chq_validator set[VOTERS];
static uint8_t account[32] = {0xa0}, missing[32] = {0x20}, other_place[32] = {0xa1};
static uint8_t value[256], reply_bytes[8192];
static size_t value_size;

/* What a test bends before the reply is made. */
struct bend {
    const char *chain_id;
    uint64_t height;
    int64_t time_s;
    size_t votes;
    bool same_voter, wrong_validators, forged_root, foreign_signature;
};

static const struct bend honest = {.chain_id = CHAIN, .height = 10, .time_s = (int64_t)NOW - 5, .votes = 3};

static void sign_header(struct chq_signed_header *sh, const struct bend *bend)
{
    uint8_t hash[32];
    chq_header_hash(hash, &sh->header);
    sh->parts_total = 1;
    sh->votes_count = bend->votes;
    for (size_t i = 0; i < bend->votes; i++) {
        uint8_t storage[CHQ_VOTE_SIGN_BYTES_MAX];
        struct chq_writer w = chq_writer_fixed(storage, sizeof storage);
        const struct chq_block_id id = {chq_bytes(hash, 32), 1, chq_bytes(sh->parts_hash, 32)};
        size_t voter = bend->same_voter ? 0 : i;
        chq_validator_address(sh->votes[i].validator, keys[voter].public_key);
        sh->votes[i].time = sh->header.time;
        chq_vote_sign_bytes_put(
            &w, CHQ_PRECOMMIT, sh->header.height, 0, &id, sh->votes[i].time, sh->header.chain_id);
        chq_ed25519_sign(sh->votes[i].signature, &keys[bend->foreign_signature ? VOTERS - 1 : voter],
            chq_writer_bytes(&w));
    }
}

/* A state with one account; its tree is that leaf alone. */
static struct chq_bytes make_reply(const struct bend *bend, bool present, bool other)
{
    static struct chq_signed_header sh;
    static uint8_t header_bytes[4096], proof_bytes[1024];
    uint8_t value_hash[32], roots[CHQ_STATE_LEAVES][32] = {{0}}, root[32], path[CHQ_MERKLE_PATH_MAX][32],
                            vh[32];
    struct chq_bytes leaves[CHQ_STATE_LEAVES];
    struct chq_validator sorted[VOTERS];
    chq_sha256(value_hash, chq_bytes(value, value_size));
    chq_sparse_leaf(roots[CHQ_RECORD_ACCOUNT], account, value_hash);
    for (size_t i = 0; i < CHQ_STATE_LEAVES; i++)
        leaves[i] = chq_bytes(roots[i], 32);
    chq_merkle_root(root, leaves, CHQ_STATE_LEAVES);
    struct chq_proof proof = {.sparse.has_other = other};
    memcpy(proof.sparse.other_key, account, 32);
    memcpy(proof.sparse.other_value_hash, value_hash, 32);
    proof.path = chq_bytes(path, 32 * chq_merkle_path(path, leaves, CHQ_STATE_LEAVES, CHQ_RECORD_ACCOUNT));
    memcpy(sorted, set, sizeof set);
    chq_validators_sort(sorted, VOTERS);
    chq_validators_hash(vh, sorted, bend->wrong_validators ? VOTERS - 1 : VOTERS);
    if (bend->forged_root)
        root[0] ^= 1;
    sh = (struct chq_signed_header){.header = {.chain_id = chq_bytes_text(bend->chain_id),
                                        .height = bend->height,
                                        .time = {.s = bend->time_s},
                                        .validators_hash = chq_bytes(vh, 32),
                                        .app_hash = chq_bytes(root, 32)}};
    sign_header(&sh, bend);
    struct chq_writer hw = chq_writer_fixed(header_bytes, sizeof header_bytes);
    struct chq_writer pw = chq_writer_fixed(proof_bytes, sizeof proof_bytes);
    struct chq_writer w = chq_writer_fixed(reply_bytes, sizeof reply_bytes);
    chq_signed_header_put(&hw, &sh);
    chq_proof_put(&pw, &proof);
    struct chq_ledger_reply reply = {.type = CHQ_LEDGER_QUERY,
        .present = present,
        .value = chq_bytes(value, value_size),
        .proof = chq_writer_bytes(&pw),
        .signed_header = chq_writer_bytes(&hw)};
    chq_ledger_reply_put(&w, &reply);
    assert_int_equal(chq_writer_finish(&w), CHQ_OK);
    return chq_writer_bytes(&w);
}

static struct chq_light *make_light(void)
{
    struct chq_light *light = NULL;
    const struct chq_light_trust trust = {
        .chain_id = chq_bytes_text(CHAIN), .validators = set, .validators_count = VOTERS};
    assert_int_equal(chq_light_new(&light, &trust), CHQ_OK);
    return light;
}

static int set_up(void **state)
{
    (void)state;
    uint8_t seed[32] = {0};
    struct chq_account_record record = {.balance_micro = 5};
    struct chq_writer w = chq_writer_fixed(value, sizeof value);
    if (chq_crypto_init() != CHQ_OK)
        return -1;
    for (size_t i = 0; i < VOTERS; i++) {
        seed[0] = (uint8_t)(i + 1);
        chq_sign_pair_from_seed(&keys[i], seed);
        memcpy(set[i].key, keys[i].public_key, 32);
        set[i].power = 10;
    }
    chq_account_record_put(&w, &record);
    value_size = w.size;
    return 0;
}

static void expect_fault(const struct bend *bend, bool present, bool other, const uint8_t key[32],
    enum chq_err err, enum chq_light_fault fault, const char *word)
{
    struct chq_light *light = make_light();
    struct chq_light_answer a;
    assert_int_equal(
        chq_light_verify_query(light, CHQ_RECORD_ACCOUNT, key, make_reply(bend, present, other), NOW, &a),
        err);
    assert_int_equal(a.fault, fault);
    if (strstr(a.reason, word) == NULL)
        fail_msg("'%s' does not say '%s'", a.reason, word);
    assert_false(a.present);
    assert_int_equal(a.value.size, 0);
    chq_light_free(light);
}

static void honest_answers_are_taken(void **state)
{
    (void)state;
    struct chq_light *light = make_light();
    struct chq_light_answer a;
    assert_int_equal(
        chq_light_verify_query(light, CHQ_RECORD_ACCOUNT, account, make_reply(&honest, true, false), NOW, &a),
        CHQ_OK);
    assert_true(a.present);
    assert_int_equal(a.height, 9); /* the header's app hash is the state after the height before it */
    assert_true(chq_bytes_equal(a.value, chq_bytes(value, value_size)));
    assert_string_equal(a.reason, "");
    assert_int_equal(
        chq_light_verify_query(light, CHQ_RECORD_ACCOUNT, missing, make_reply(&honest, false, true), NOW, &a),
        CHQ_OK);
    assert_false(a.present);
    assert_int_equal(chq_light_newest_height(light), 9);
    chq_light_free(light);
}

static void lies_are_refused_with_the_reason(void **state)
{
    (void)state;
    struct bend b = honest;
    b.chain_id = "evil\x01";
    expect_fault(&b, true, false, account, CHQ_AUTH, CHQ_LIGHT_WRONG_CHAIN, "'evil?'");
    b = honest, b.wrong_validators = true;
    expect_fault(&b, true, false, account, CHQ_AUTH, CHQ_LIGHT_WRONG_VALIDATORS, "validators");
    b = honest, b.votes = 2; /* 20 of 40 */
    expect_fault(&b, true, false, account, CHQ_AUTH, CHQ_LIGHT_BAD_SIGNATURE, "20 of 40");
    b = honest, b.same_voter = true; /* one vote, three times */
    expect_fault(&b, true, false, account, CHQ_AUTH, CHQ_LIGHT_BAD_SIGNATURE, "10 of 40");
    b = honest, b.foreign_signature = true;
    expect_fault(&b, true, false, account, CHQ_AUTH, CHQ_LIGHT_BAD_SIGNATURE, "0 of 40");
    b = honest, b.time_s = (int64_t)NOW - CHQ_LIGHT_MAX_AGE_S_DEFAULT - 1;
    expect_fault(&b, true, false, account, CHQ_EXPIRED, CHQ_LIGHT_STALE, "too old");
    b = honest, b.time_s = (int64_t)NOW + CHQ_LIGHT_MAX_AHEAD_S + 1;
    expect_fault(&b, true, false, account, CHQ_EXPIRED, CHQ_LIGHT_FROM_THE_FUTURE, "clock");
    b = honest, b.forged_root = true;
    expect_fault(&b, true, false, account, CHQ_AUTH, CHQ_LIGHT_BAD_PROOF, "forged");
    expect_fault(
        &honest, false, false, account, CHQ_AUTH, CHQ_LIGHT_BAD_PROOF, "no such record"); /* hiding it */
    expect_fault(&honest, false, true, account, CHQ_AUTH, CHQ_LIGHT_BAD_PROOF, "no such record");
    expect_fault(
        &honest, true, false, other_place, CHQ_AUTH, CHQ_LIGHT_BAD_PROOF, "forged"); /* another's value */
}

static void a_changed_byte_is_never_taken(void **state)
{
    (void)state;
    static uint8_t copy[sizeof reply_bytes];
    struct chq_light_answer a;
    struct chq_bytes reply = make_reply(&honest, true, false);
    memcpy(copy, reply.data, reply.size);
    for (size_t i = 0; i < reply.size; i++) {
        struct chq_light *light = make_light();
        copy[i] ^= 0x01;
        enum chq_err err =
            chq_light_verify_query(light, CHQ_RECORD_ACCOUNT, account, chq_bytes(copy, reply.size), NOW, &a);
        /* Only the fourth, unneeded vote is free to differ; there are three here, all needed. */
        if (err == CHQ_OK)
            fail_msg("byte %zu may be changed", i);
        assert_int_not_equal(a.fault, CHQ_LIGHT_FINE);
        assert_true(a.reason[0] != '\0');
        copy[i] ^= 0x01;
        if (i % 16 == 0)
            assert_int_not_equal(
                chq_light_verify_query(light, CHQ_RECORD_ACCOUNT, account, chq_bytes(copy, i), NOW, &a),
                CHQ_OK);
        chq_light_free(light);
    }
}

static void old_answers_are_refused(void **state)
{
    (void)state;
    struct chq_light *light = make_light();
    struct chq_light_answer a;
    struct bend b = honest;
    assert_int_equal(
        chq_light_verify_query(light, CHQ_RECORD_ACCOUNT, account, make_reply(&b, true, false), NOW, &a),
        CHQ_OK);
    b.height = 9;
    assert_int_equal(
        chq_light_verify_query(light, CHQ_RECORD_ACCOUNT, account, make_reply(&b, true, false), NOW, &a),
        CHQ_EXPIRED);
    assert_int_equal(a.fault, CHQ_LIGHT_OLD_ANSWER);
    assert_non_null(strstr(a.reason, "an old answer"));
    /* Another record may still be answered from there, until the floor is raised. */
    assert_int_equal(
        chq_light_verify_query(light, CHQ_RECORD_ACCOUNT, missing, make_reply(&b, false, true), NOW, &a),
        CHQ_OK);
    chq_light_raise_floor(light, 20);
    uint8_t third[32] = {0x11};
    assert_int_equal(
        chq_light_verify_query(light, CHQ_RECORD_ACCOUNT, third, make_reply(&b, false, true), NOW, &a),
        CHQ_EXPIRED);
    chq_light_free(light);
}

/* However many records are asked for, no answer older than one that was taken comes back for the same record. */
static void bounded_memory_forgets_safely(void **state)
{
    (void)state;
    struct chq_light *light = make_light();
    struct chq_light_answer a;
    struct bend b = honest;
    uint8_t key[32] = {0x10};
    for (unsigned i = 0; i < 1100; i++) {
        key[1] = (uint8_t)(i >> 8);
        key[2] = (uint8_t)i;
        b.height = 100 + i / 100;
        assert_int_equal(
            chq_light_verify_query(light, CHQ_RECORD_ACCOUNT, key, make_reply(&b, false, true), NOW, &a),
            CHQ_OK);
    }
    b.height = 99;
    for (unsigned i = 0; i < 1100; i += 50) {
        key[1] = (uint8_t)(i >> 8);
        key[2] = (uint8_t)i;
        assert_int_equal(
            chq_light_verify_query(light, CHQ_RECORD_ACCOUNT, key, make_reply(&b, false, true), NOW, &a),
            CHQ_EXPIRED);
    }
    chq_light_free(light);
}

static void refusals_of_the_ledger_are_told(void **state)
{
    (void)state;
    struct chq_light *light = make_light();
    struct chq_light_answer a;
    struct chq_writer w = chq_writer_fixed(reply_bytes, sizeof reply_bytes);
    struct chq_ledger_reply reply = {
        .type = CHQ_LEDGER_QUERY, .err = CHQ_IO, .reason = chq_bytes_text("the disk is full")};
    chq_ledger_reply_put(&w, &reply);
    assert_int_equal(
        chq_light_verify_query(light, CHQ_RECORD_ACCOUNT, account, chq_writer_bytes(&w), NOW, &a), CHQ_IO);
    assert_string_equal(a.reason, "the ledger refused: the disk is full");
    assert_int_equal(
        chq_light_verify_query(light, CHQ_RECORD_ACCOUNT, account, chq_bytes("", 0), NOW, &a), CHQ_MALFORMED);
    struct chq_light *none = NULL;
    assert_int_equal(
        chq_light_new(&none, &(struct chq_light_trust){.chain_id = chq_bytes_text(CHAIN)}), CHQ_MALFORMED);
    chq_light_free(light);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(honest_answers_are_taken),
        cmocka_unit_test(lies_are_refused_with_the_reason),
        cmocka_unit_test(a_changed_byte_is_never_taken),
        cmocka_unit_test(old_answers_are_refused),
        cmocka_unit_test(bounded_memory_forgets_safely),
        cmocka_unit_test(refusals_of_the_ledger_are_told),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
