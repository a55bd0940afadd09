/* SPDX-License-Identifier: Apache-2.0 */
/* Trees and proofs against a slow model, snapshots that lead to the same root, and memory that runs out anywhere. */
#include "core/crypto/random.h"
#include "core/wire/proof.h"
#include "ledger/state/internal.h"
#include "unit.h"

#include "fixture.h"

#define PEOPLE 60

static struct who issuer, people[PEOPLE];

static struct chq_state *new_state(const struct chq_memory *memory, uint64_t seed)
{
    struct chq_state *state = NULL;
    struct chq_genesis genesis;
    who_init(&issuer, 1000);
    fixture_genesis(&genesis, &issuer);
    if (chq_state_new(&state, &genesis, memory, seed) == CHQ_OK && chq_state_start(state, NULL) != CHQ_OK) {
        chq_state_free(state);
        state = NULL;
    }
    return state;
}

/* The sparse tree by its definition: split the keys by their next bit until at most one is left. */
static void slow_tree(uint8_t out[32], const uint8_t (*keys)[32], const uint8_t (*leaves)[32],
    const size_t *which, size_t n, unsigned depth)
{
    size_t sides[2][PEOPLE + 1], counts[2] = {0, 0};
    uint8_t hashes[2][32];
    memset(out, 0, 32);
    if (n == 1)
        memcpy(out, leaves[which[0]], 32);
    if (n <= 1)
        return;
    for (size_t i = 0; i < n; i++) {
        unsigned side = chq_sparse_bit(keys[which[i]], depth);
        sides[side][counts[side]++] = which[i];
    }
    for (size_t side = 0; side < 2; side++)
        slow_tree(hashes[side], keys, leaves, sides[side], counts[side], depth + 1);
    chq_merkle_inner(out, hashes[0], hashes[1]);
}

/* Keys that share long prefixes, put in and changed in random groups, reserve always enough: the model agrees. */
static void trees_agree_with_their_definition(void **unused)
{
    (void)unused;
    static uint8_t keys[PEOPLE][32];
    struct chq_state *state = new_state(NULL, 1); /* for its memory only */
    assert_non_null(state);
    for (uint64_t seed = 0; seed < 60; seed++) {
        struct chq_seeded seeded;
        struct chq_table table;
        uint32_t dirty[PEOPLE], slot;
        size_t which[PEOPLE];
        uint8_t root[32], model[32];
        chq_seeded_init(&seeded, seed);
        struct chq_random random = chq_seeded_random(&seeded);
        chq_table_init(&table, &state->memory, 8, true, seed);
        while (table.count < PEOPLE) {
            size_t n = 0, fresh = 1 + chq_random_below(&random, 7);
            for (uint32_t old = 0; old < table.count; old++)
                if (chq_random_below(&random, 4) == 0)
                    dirty[n++] = old;
            for (size_t i = 0; i < fresh && table.count < PEOPLE; i++) {
                uint8_t *key = keys[table.count];
                chq_random_fill(&random, key, 32);
                if (table.count > 0 && chq_random_below(&random, 2) == 0) { /* differs in one late bit only */
                    unsigned bit = (unsigned)chq_random_below(&random, 256);
                    memcpy(key, keys[chq_random_below(&random, table.count)], 32);
                    key[bit / 8] ^= (uint8_t)(0x80 >> bit % 8);
                    if (chq_table_find(&table, key) != CHQ_SLOT_NONE)
                        continue;
                }
                assert_int_equal(chq_table_add(&table, key, &slot), CHQ_OK);
                dirty[n++] = slot;
            }
            for (size_t i = 0; i < n; i++)
                chq_random_fill(&random, table.leaf_hashes[dirty[i]], 32);
            assert_int_equal(chq_tree_reserve(&table, dirty, n), CHQ_OK);
            chq_tree_update(&table, dirty, n);
            for (size_t i = 0; i < table.count; i++)
                which[i] = i;
            chq_tree_root(&table, root);
            slow_tree(model, (const uint8_t(*)[32])table.keys, (const uint8_t(*)[32])table.leaf_hashes, which,
                table.count, 0);
            assert_memory_equal(root, model, 32);
        }
        chq_table_fini(&table);
    }
    chq_state_free(state);
}

/* Blocks of creates, issues and transfers. Return the first error that is not the expected one. */
static enum chq_err run_blocks(struct chq_state *state, uint64_t seed, unsigned blocks)
{
    struct chq_seeded seeded;
    struct chq_state_result result;
    enum chq_err err = CHQ_OK;
    chq_seeded_init(&seeded, seed);
    struct chq_random random = chq_seeded_random(&seeded);
    for (uint32_t i = 0; i < PEOPLE; i++)
        who_init(&people[i], i + 1);
    who_init(&issuer, 1000);
    for (unsigned b = 0; b < blocks && err == CHQ_OK; b++) {
        err = chq_state_begin(state, chq_state_height(state) + 1, FIXTURE_TIME + b);
        for (unsigned i = 0; i < 6 && err == CHQ_OK; i++) {
            struct who *who = &people[chq_random_below(&random, PEOPLE)];
            struct who *other = &people[chq_random_below(&random, PEOPLE)];
            struct chq_operation op =
                op_pay(CHQ_OPERATION_TRANSFER, other->id, 1 + chq_random_below(&random, 50));
            if (who->nonce == 0)
                op = op_create(who);
            else if (chq_random_below(&random, 3) == 0)
                who = &issuer, op.type = CHQ_OPERATION_ISSUE;
            struct chq_writer w = chq_writer_heap(4096);
            put_batch(&w, who, &op, 1);
            struct chq_state_batch batch = {
                .signed_batch = chq_writer_bytes(&w), .trust = CHQ_STATE_OWN_JOURNAL};
            err = chq_state_apply(state, &batch, &result);
            chq_writer_free(&w);
            if (err == CHQ_OK)
                who->nonce++;
            else if (err == CHQ_NOT_FOUND || err == CHQ_PAYMENT)
                err = CHQ_OK; /* a receiver that is not there, or no money */
        }
        if (err == CHQ_OK)
            err = chq_state_seal(state);
        if (err == CHQ_OK)
            chq_state_commit(state, NULL);
        else
            chq_state_rollback(state);
    }
    return err;
}

static bool proves(const struct chq_state *state, const uint8_t key[32], bool *present)
{
    uint8_t value_bytes[512], proof_bytes[CHQ_SPARSE_DEPTH_MAX * 32], root[32];
    struct chq_writer value = chq_writer_fixed(value_bytes, sizeof value_bytes);
    struct chq_writer written = chq_writer_fixed(proof_bytes, sizeof proof_bytes);
    struct chq_proof proof;
    chq_state_root(state, root);
    *present = chq_state_prove(state, CHQ_RECORD_ACCOUNT, key, &value, &written);
    assert_int_equal(chq_proof_read(chq_writer_bytes(&written), &proof), CHQ_OK);
    struct chq_bytes v = chq_writer_bytes(&value);
    if (chq_proof_check(&proof, root, CHQ_RECORD_ACCOUNT, key, *present, v) != CHQ_OK)
        return false;
    /* The opposite, another kind, another key, another value must not be proved by it. */
    uint8_t other[32];
    memcpy(other, key, 32);
    other[31] ^= 1;
    assert_int_not_equal(chq_proof_check(&proof, root, CHQ_RECORD_ACCOUNT, key, !*present, v), CHQ_OK);
    assert_int_not_equal(chq_proof_check(&proof, root, CHQ_RECORD_CHANNEL, key, *present, v), CHQ_OK);
    if (*present)
        assert_int_not_equal(chq_proof_check(&proof, root, CHQ_RECORD_ACCOUNT, other, true, v), CHQ_OK);
    if (*present)
        assert_int_not_equal(
            chq_proof_check(&proof, root, CHQ_RECORD_ACCOUNT, key, true, chq_bytes(v.data, v.size - 1)),
            CHQ_OK);
    return true;
}

static void every_account_and_every_gap_is_proved(void **unused)
{
    (void)unused;
    struct chq_state *state = new_state(NULL, 3);
    bool present;
    assert_non_null(state);
    assert_int_equal(run_blocks(state, 5, 40), CHQ_OK);
    for (size_t i = 0; i < PEOPLE; i++) {
        assert_true(proves(state, people[i].id, &present));
        assert_int_equal(present, people[i].nonce > 0);
    }
    chq_state_free(state);
}

static void a_snapshot_leads_to_the_same_root(void **unused)
{
    (void)unused;
    struct chq_state *state = new_state(NULL, 3), *copy = NULL;
    struct chq_genesis genesis;
    uint8_t root[32], again[32], key[32], storage[512];
    assert_non_null(state);
    assert_int_equal(run_blocks(state, 6, 40), CHQ_OK);
    fixture_genesis(&genesis, &issuer);
    assert_int_equal(chq_state_new(&copy, &genesis, NULL, 99), CHQ_OK);
    for (unsigned kind = 1; kind <= CHQ_RECORD_KINDS; kind++) {
        for (uint32_t slot = 0;; slot++) {
            struct chq_writer w = chq_writer_fixed(storage, sizeof storage);
            if (!chq_state_at(state, (enum chq_record_kind)kind, slot, key, &w))
                break;
            assert_int_equal(
                chq_state_load(copy, (enum chq_record_kind)kind, key, chq_writer_bytes(&w)), CHQ_OK);
            assert_int_equal(/* no record twice */
                chq_state_load(copy, (enum chq_record_kind)kind, key, chq_writer_bytes(&w)), CHQ_MALFORMED);
        }
    }
    assert_int_equal(chq_state_load_end(copy, chq_state_height(state), chq_state_time_s(state),
                         chq_state_totals(state).issued_micro),
        CHQ_OK);
    chq_state_root(state, root);
    chq_state_root(copy, again);
    assert_memory_equal(root, again, 32);
    /* A microcredit too many is seen. */
    chq_state_free(copy);
    assert_int_equal(chq_state_new(&copy, &genesis, NULL, 99), CHQ_OK);
    for (uint32_t slot = 0;; slot++) {
        struct chq_writer w = chq_writer_fixed(storage, sizeof storage);
        struct chq_account_record record;
        if (!chq_state_at(state, CHQ_RECORD_ACCOUNT, slot, key, &w))
            break;
        assert_int_equal(chq_account_record_read(chq_writer_bytes(&w), &record), CHQ_OK);
        record.balance_micro += slot == 1;
        chq_writer_clear(&w);
        chq_account_record_put(&w, &record);
        assert_int_equal(chq_state_load(copy, CHQ_RECORD_ACCOUNT, key, chq_writer_bytes(&w)), CHQ_OK);
    }
    assert_int_equal(chq_state_load_end(copy, 1, 1, chq_state_totals(state).issued_micro), CHQ_MALFORMED);
    chq_state_free(copy);
    chq_state_free(state);
}

/* Memory that refuses the n-th request and all after it. */
struct budget {
    size_t left;
};

static void *resize_budget(void *context, void *block, size_t size)
{
    struct budget *budget = context;
    if (size == 0) {
        free(block);
        return NULL;
    }
    if (budget->left == 0)
        return NULL;
    budget->left--;
    return realloc(block, size);
}

static void out_of_memory_changes_nothing(void **unused)
{
    (void)unused;
    uint8_t want[32], before[32], after[32];
    struct chq_state *state = new_state(NULL, 3);
    unsigned failed = 0;
    assert_non_null(state);
    assert_int_equal(run_blocks(state, 7, 30), CHQ_OK);
    chq_state_root(state, want);
    chq_state_free(state);
    for (size_t n = 0;; n++) {
        struct budget budget = {.left = n};
        const struct chq_memory memory = {.resize = resize_budget, .context = &budget};
        state = new_state(&memory, 3);
        if (state == NULL)
            continue;
        enum chq_err err = run_blocks(state, 7, 30);
        assert_true(chq_state_conserves(state));
        chq_state_root(state, before);
        if (err == CHQ_OK) {
            assert_memory_equal(before, want, 32);
            chq_state_free(state);
            break;
        }
        assert_int_equal(err, CHQ_NO_MEMORY);
        failed++;
        budget.left = SIZE_MAX; /* memory is back: an empty block must not change anything */
        assert_int_equal(chq_state_begin(state, chq_state_height(state) + 1, FIXTURE_TIME + 100), CHQ_OK);
        assert_int_equal(chq_state_seal(state), CHQ_OK);
        chq_state_commit(state, NULL);
        chq_state_root(state, after);
        assert_memory_equal(before, after, 32);
        chq_state_free(state);
    }
    assert_true(failed >= 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(trees_agree_with_their_definition),
        cmocka_unit_test(every_account_and_every_gap_is_proved),
        cmocka_unit_test(a_snapshot_leads_to_the_same_root),
        cmocka_unit_test(out_of_memory_changes_nothing),
    };
    if (chq_crypto_init() != CHQ_OK)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
