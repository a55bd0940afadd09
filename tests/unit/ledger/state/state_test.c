/* SPDX-License-Identifier: Apache-2.0 */
/* Every operation's rules: what it does, and each way it must be refused without a trace. */
#include "core/base/text.h"
#include "core/wire/proof.h"
#include "ledger/state/state.h"
#include "unit.h"

#include "fixture.h"

#include <stdarg.h>
#include <stdio.h>

static struct who issuer, ana, bo, relay, stranger;
static struct chq_state *state;
static struct chq_state_result result;
static uint64_t now_s;

static void start(void)
{
    struct chq_genesis genesis;
    struct who *all[] = {&issuer, &ana, &bo, &relay, &stranger};
    for (uint32_t i = 0; i < 5; i++)
        who_init(all[i], i + 1);
    fixture_genesis(&genesis, &issuer);
    assert_int_equal(chq_state_new(&state, &genesis, NULL, 7), CHQ_OK);
    assert_int_equal(chq_state_start(state, NULL), CHQ_OK);
    now_s = FIXTURE_TIME;
}

static void end(void)
{
    assert_true(chq_state_conserves(state));
    chq_state_free(state);
    state = NULL;
}

/* One batch in one block. The root and the totals may only move when the batch is taken. */
static enum chq_err run_bytes(struct chq_bytes signed_batch)
{
    uint8_t before[32], after[32];
    struct chq_state_batch batch = {.signed_batch = signed_batch};
    chq_state_root(state, before);
    struct chq_state_totals totals = chq_state_totals(state);
    assert_int_equal(chq_state_begin(state, chq_state_height(state) + 1, now_s), CHQ_OK);
    enum chq_err err = chq_state_apply(state, &batch, &result);
    assert_int_equal(err, result.err);
    assert_int_equal(chq_state_seal(state), CHQ_OK);
    chq_state_commit(state, NULL);
    chq_state_root(state, after);
    assert_true(chq_state_conserves(state));
    if (err == CHQ_OK) {
        assert_memory_not_equal(before, after, 32);
        assert_string_equal(result.reason, "");
    } else {
        struct chq_state_totals same = chq_state_totals(state);
        assert_memory_equal(before, after, 32);
        assert_memory_equal(&totals, &same, sizeof same);
        assert_true(result.reason[0] != '\0');
    }
    return err;
}

static enum chq_err run(struct who *who, const struct chq_operation *ops, size_t n)
{
    struct chq_writer w = chq_writer_heap(CHQ_BATCH_BYTES_MAX + 128);
    put_batch(&w, who, ops, n);
    enum chq_err err = run_bytes(chq_writer_bytes(&w));
    chq_writer_free(&w);
    if (err == CHQ_OK)
        who->nonce++;
    return err;
}

static enum chq_err run1(struct who *who, struct chq_operation op)
{
    return run(who, &op, 1);
}

static void create(struct who *who)
{
    assert_int_equal(run1(who, op_create(who)), CHQ_OK);
}

static struct chq_account_record account_of(const struct who *who)
{
    static uint8_t storage[512];
    struct chq_account_record record = {0};
    struct chq_writer w = chq_writer_fixed(storage, sizeof storage);
    assert_true(chq_state_get(state, CHQ_RECORD_ACCOUNT, who->id, &w));
    assert_int_equal(chq_account_record_read(chq_writer_bytes(&w), &record), CHQ_OK);
    return record;
}

static void expect_balance(const struct who *who, uint64_t micro)
{
    assert_int_equal(account_of(who).balance_micro, micro);
}

static void expect_refused(enum chq_err got, enum chq_err want, const char *word)
{
    if (got != want || strstr(result.reason, word) == NULL)
        fail_msg("got %d '%s', wanted %d with '%s'", got, result.reason, want, word);
}

static void batches(void **unused)
{
    (void)unused;
    struct chq_writer w = chq_writer_heap(4096);
    start();
    create(&ana);
    assert_int_equal(account_of(&ana).nonce, 1);
    expect_refused(run1(&ana, op_create(&ana)), CHQ_EXISTS, "exists");
    expect_refused(run1(&bo, op_pay(CHQ_OPERATION_TRANSFER, ana.id, 1)), CHQ_NOT_FOUND, "no account");
    bo.nonce = 1;
    expect_refused(run1(&bo, op_create(&bo)), CHQ_STATE, "next nonce is 0");
    bo.nonce = 0;
    struct chq_operation foreign = op_create(&ana); /* an inception that is not the signer's */
    expect_refused(run1(&bo, foreign), CHQ_AUTH, "inception");
    struct who thief = bo; /* the right id, another's key */
    thief.root = ana.root;
    expect_refused(run1(&thief, op_create(&bo)), CHQ_AUTH, "signature");
    struct chq_operation second[] = {op_pay(CHQ_OPERATION_TRANSFER, ana.id, 0), op_create(&bo)};
    create(&bo);
    expect_refused(run(&bo, second, 2), CHQ_MALFORMED, "0 moves nothing");
    assert_int_equal(result.operation, 0);
    second[0] = (struct chq_operation){.type = CHQ_OPERATION_HANDLE_COMMIT};
    expect_refused(run(&bo, second, 2), CHQ_STATE, "first operation");

    /* replay, gap, wrong chain, wrong key, broken bytes */
    put_batch(&w, &ana, &(struct chq_operation){.type = CHQ_OPERATION_HANDLE_COMMIT}, 1);
    assert_int_equal(run_bytes(chq_writer_bytes(&w)), CHQ_OK);
    expect_refused(run_bytes(chq_writer_bytes(&w)), CHQ_STATE, "used before");
    ana.nonce = 9;
    expect_refused(
        run1(&ana, (struct chq_operation){.type = CHQ_OPERATION_HANDLE_COMMIT}), CHQ_STATE, "is ahead");
    ana.nonce = 2;
    thief = ana;
    thief.root = bo.root;
    expect_refused(
        run1(&thief, (struct chq_operation){.type = CHQ_OPERATION_HANDLE_COMMIT}), CHQ_AUTH, "signature");
    chq_writer_clear(&w);
    put_batch(&w, &ana, &(struct chq_operation){.type = CHQ_OPERATION_HANDLE_COMMIT}, 1);
    uint8_t *chain = memmem(w.data, w.size, FIXTURE_CHAIN, 7);
    assert_non_null(chain);
    chain[6] = '2';
    expect_refused(run_bytes(chq_writer_bytes(&w)), CHQ_AUTH, "another chain");
    chain[6] = '1';
    for (size_t cut = 0; cut < w.size; cut += 7)
        expect_refused(run_bytes(chq_bytes(w.data, cut)), CHQ_MALFORMED, "malformed");
    w.data[w.size - 1] ^= 1;
    expect_refused(run_bytes(chq_writer_bytes(&w)), CHQ_AUTH, "signature");

    /* One operation too many, and one byte too many. */
    static struct chq_operation many[CHQ_BATCH_OPERATIONS_MAX];
    static uint8_t records[CHQ_SETTLEMENTS_PER_BATCH_MAX * CHQ_SETTLEMENT_BYTES];
    struct chq_writer big = chq_writer_heap(2 * CHQ_BATCH_BYTES_MAX);
    for (size_t i = 0; i < CHQ_BATCH_OPERATIONS_MAX; i++)
        many[i].type = CHQ_OPERATION_HANDLE_COMMIT;
    assert_int_equal(run(&ana, many, CHQ_BATCH_OPERATIONS_MAX), CHQ_OK);
    for (size_t i = 0; i < 2; i++)
        many[i] = (struct chq_operation){.type = CHQ_OPERATION_CHANNEL_SETTLE,
            .channel_settle.records = chq_bytes(records, sizeof records)};
    expect_refused(run(&ana, many, 1), CHQ_NOT_FOUND, "no channel 0");
    struct chq_batch batch = {.chain_id = chq_bytes_text(FIXTURE_CHAIN), .nonce = ana.nonce};
    struct chq_writer body = chq_writer_heap(2 * CHQ_BATCH_BYTES_MAX);
    memcpy(batch.signer, ana.id, 32);
    chq_batch_put(&body, &batch, many, 2);
    chq_signed_write(&big, &ana.root, CHQ_BATCH_DOMAIN, chq_writer_bytes(&body));
    assert_int_equal(chq_writer_finish(&big), CHQ_OK);
    expect_refused(run_bytes(chq_writer_bytes(&big)), CHQ_MALFORMED, "malformed");
    chq_writer_free(&body);
    chq_writer_free(&big);
    chq_writer_free(&w);
    end();
}

static void trust_is_bound_to_the_key(void **unused)
{
    (void)unused;
    struct chq_writer w = chq_writer_heap(4096);
    start();
    create(&ana);
    put_batch(&w, &ana, &(struct chq_operation){.type = CHQ_OPERATION_HANDLE_COMMIT}, 1);
    struct chq_state_batch batch = {.signed_batch = chq_writer_bytes(&w), .trust = CHQ_STATE_CHECKED_WITH};
    assert_int_equal(chq_state_begin(state, 2, now_s), CHQ_OK);
    memcpy(batch.key, bo.root.public_key, 32);
    expect_refused(chq_state_apply(state, &batch, &result), CHQ_AUTH, "signature");
    memcpy(batch.key, ana.root.public_key, 32);
    assert_int_equal(chq_state_apply(state, &batch, &result), CHQ_OK);
    chq_state_rollback(state);
    assert_int_equal(account_of(&ana).nonce, 1);
    chq_writer_free(&w);
    end();
}

static void credit(void **unused)
{
    (void)unused;
    start();
    create(&ana);
    create(&bo);
    assert_int_equal(run1(&issuer, op_pay(CHQ_OPERATION_ISSUE, ana.id, 1000)), CHQ_OK);
    expect_refused(run1(&ana, op_pay(CHQ_OPERATION_ISSUE, ana.id, 1)), CHQ_AUTH, "issuer");
    expect_refused(run1(&issuer, op_pay(CHQ_OPERATION_ISSUE, ana.id, 0)), CHQ_MALFORMED, "0");
    expect_refused(run1(&issuer, op_pay(CHQ_OPERATION_ISSUE, stranger.id, 5)), CHQ_NOT_FOUND, "receiver");
    expect_refused(
        run1(&issuer, op_pay(CHQ_OPERATION_ISSUE, ana.id, 1000000000 - 999)), CHQ_LIMIT, "999999000");
    expect_refused(run1(&issuer, op_pay(CHQ_OPERATION_ISSUE, ana.id, (uint64_t)CHQ_MICROCREDIT_SUPPLY_MAX)),
        CHQ_LIMIT, "cap");
    assert_int_equal(run1(&issuer, op_pay(CHQ_OPERATION_ISSUE, ana.id, 1000000000 - 1000)), CHQ_OK);
    expect_refused(run1(&issuer, op_pay(CHQ_OPERATION_ISSUE, ana.id, 1)), CHQ_LIMIT, "0 microcredit may");
    assert_int_equal(run1(&ana, op_pay(CHQ_OPERATION_TRANSFER, bo.id, 400)), CHQ_OK);
    assert_int_equal(run1(&ana, op_pay(CHQ_OPERATION_TRANSFER, ana.id, 400)), CHQ_OK); /* to oneself */
    expect_balance(&ana, 1000000000 - 400);
    expect_balance(&bo, 400);
    expect_refused(run1(&bo, op_pay(CHQ_OPERATION_TRANSFER, ana.id, 401)), CHQ_PAYMENT, "balance is 400");
    expect_refused(run1(&bo, op_pay(CHQ_OPERATION_TRANSFER, stranger.id, 1)), CHQ_NOT_FOUND, "receiver");
    /* A batch that fails in the middle leaves no trace of what went before. */
    struct chq_operation three[] = {op_pay(CHQ_OPERATION_TRANSFER, ana.id, 300),
        (struct chq_operation){.type = CHQ_OPERATION_HANDLE_COMMIT},
        op_pay(CHQ_OPERATION_TRANSFER, ana.id, 300)};
    expect_refused(run(&bo, three, 3), CHQ_PAYMENT, "balance is 100");
    assert_int_equal(result.operation, 2);
    expect_balance(&bo, 400);
    assert_false(account_of(&bo).has_commit);
    assert_int_equal(chq_state_totals(state).issued_micro, 1000000000);
    end();
}

static struct chq_operation op_commit(const struct who *who, const char *handle, uint8_t salt)
{
    struct chq_operation op = {.type = CHQ_OPERATION_HANDLE_COMMIT};
    uint8_t salts[32] = {salt};
    chq_handle_commitment(op.handle_commit.commitment, chq_bytes_text(handle), who->id, salts);
    return op;
}

static struct chq_operation op_reveal(const char *handle, uint8_t salt)
{
    return (struct chq_operation){.type = CHQ_OPERATION_HANDLE_REVEAL,
        .handle_reveal = {.handle = chq_bytes_text(handle), .salt = {salt}}};
}

static void handles(void **unused)
{
    (void)unused;
    uint8_t key[32], storage[256];
    start();
    create(&ana);
    create(&bo);
    expect_refused(run1(&ana, op_reveal("ana", 1)), CHQ_STATE, "no handle commit");
    struct chq_operation at_once[] = {op_commit(&ana, "ana", 1), op_reveal("ana", 1)};
    expect_refused(run(&ana, at_once, 2), CHQ_AGAIN, "next one");
    assert_int_equal(run1(&ana, op_commit(&ana, "ana", 1)), CHQ_OK);
    expect_refused(run1(&ana, op_reveal("ana", 2)), CHQ_AUTH, "salt");
    expect_refused(run1(&ana, op_reveal("anna", 1)), CHQ_AUTH, "salt");
    expect_refused(run1(&bo, op_reveal("ana", 1)), CHQ_STATE, "no handle commit");
    now_s += CHQ_HANDLE_COMMIT_MAX_S + 1;
    expect_refused(run1(&ana, op_reveal("ana", 1)), CHQ_EXPIRED, "24 hours");
    assert_int_equal(run1(&ana, op_commit(&ana, "ana", 3)), CHQ_OK);
    now_s += CHQ_HANDLE_COMMIT_MAX_S;
    assert_int_equal(run1(&ana, op_reveal("ana", 3)), CHQ_OK);
    struct chq_account_record account = account_of(&ana);
    assert_true(chq_bytes_equal(account.handle, chq_bytes_text("ana")));
    assert_false(account.has_commit);
    chq_handle_key(key, chq_bytes_text("ana"));
    struct chq_writer w = chq_writer_fixed(storage, sizeof storage);
    struct chq_handle_record record;
    assert_true(chq_state_get(state, CHQ_RECORD_HANDLE, key, &w));
    assert_int_equal(chq_handle_record_read(chq_writer_bytes(&w), &record), CHQ_OK);
    assert_memory_equal(record.account, ana.id, 32);
    assert_int_equal(record.since_height, chq_state_height(state));
    assert_int_equal(run1(&bo, op_commit(&bo, "ana", 1)), CHQ_OK);
    expect_refused(run1(&bo, op_reveal("ana", 1)), CHQ_EXISTS, "taken");
    assert_int_equal(run1(&bo, op_commit(&bo, "Bo!", 1)), CHQ_OK);
    expect_refused(run1(&bo, op_reveal("Bo!", 1)), CHQ_MALFORMED, "rules");
    assert_int_equal(run1(&ana, op_commit(&ana, "ana2", 1)), CHQ_OK);
    expect_refused(run1(&ana, op_reveal("ana2", 1)), CHQ_EXISTS, "already");
    end();
}

static size_t sign_list(uint8_t *out, size_t cap, const struct who *who, const struct who *about,
    uint64_t version, struct chq_bytes previous_body)
{
    struct chq_device_list list = {.version = version, .n = 1};
    struct chq_writer w = chq_writer_fixed(out, cap);
    memcpy(list.account_id, about->id, 32);
    list.devices[0].signing_key[0] = (uint8_t)version;
    if (version > 1)
        chq_device_list_hash(list.previous_hash, previous_body);
    chq_device_list_sign(&w, &who->root, &list);
    assert_int_equal(chq_writer_finish(&w), CHQ_OK);
    return w.size;
}

static struct chq_operation op_list(const uint8_t *data, size_t size)
{
    return (struct chq_operation){
        .type = CHQ_OPERATION_DEVICE_LIST, .device_list.signed_list = chq_bytes(data, size)};
}

static void device_lists(void **unused)
{
    (void)unused;
    uint8_t one[600], two[600], bad[600], stored[600];
    struct chq_bytes body;
    start();
    create(&ana);
    create(&bo);
    size_t one_size = sign_list(one, sizeof one, &ana, &ana, 1, chq_bytes(NULL, 0));
    assert_int_equal(chq_signed_peek(&body, chq_bytes(one, one_size), sizeof one), CHQ_OK);
    size_t two_size = sign_list(two, sizeof two, &ana, &ana, 2, body);
    expect_refused(run1(&ana, op_list(two, two_size)), CHQ_STATE, "version 2");
    assert_int_equal(run1(&ana, op_list(one, one_size)), CHQ_OK);
    expect_refused(run1(&ana, op_list(one, one_size)), CHQ_STATE, "version 1");
    size_t size = sign_list(bad, sizeof bad, &ana, &ana, 2, chq_bytes("x", 1)); /* another history */
    expect_refused(run1(&ana, op_list(bad, size)), CHQ_STATE, "does not follow");
    size = sign_list(bad, sizeof bad, &bo, &ana, 2, body); /* another's signature */
    expect_refused(run1(&ana, op_list(bad, size)), CHQ_AUTH, "root key");
    size = sign_list(bad, sizeof bad, &ana, &bo, 1, body); /* another's list */
    expect_refused(run1(&ana, op_list(bad, size)), CHQ_AUTH, "another account");
    expect_refused(run1(&ana, op_list(two, two_size - 1)), CHQ_MALFORMED, "malformed");
    assert_int_equal(run1(&ana, op_list(two, two_size)), CHQ_OK);
    struct chq_writer w = chq_writer_fixed(stored, sizeof stored);
    assert_true(chq_state_get(state, CHQ_RECORD_DEVICES, ana.id, &w));
    assert_true(chq_bytes_equal(chq_writer_bytes(&w), chq_bytes(two, two_size)));
    end();
}

static void relay_records(void **unused)
{
    (void)unused;
    uint8_t storage[512], stored[512];
    struct chq_writer w = chq_writer_fixed(storage, sizeof storage);
    struct chq_relay_record record = {
        .host = chq_bytes_text("192.0.2.1"), .port = 443, .price_micro = 100, .quantum_bytes = 65536};
    start();
    create(&relay);
    memcpy(record.relay, relay.id, 32);
    chq_relay_record_put(&w, &record);
    struct chq_operation op = {.type = CHQ_OPERATION_RELAY_SET, .relay_set.record = chq_writer_bytes(&w)};
    assert_int_equal(run1(&relay, op), CHQ_OK);
    create(&ana);
    expect_refused(run1(&ana, op), CHQ_AUTH, "another relay");
    op.relay_set.record.size--;
    expect_refused(run1(&relay, op), CHQ_MALFORMED, "malformed");
    chq_writer_clear(&w);
    record.port = 444;
    chq_relay_record_put(&w, &record);
    op.relay_set.record = chq_writer_bytes(&w);
    struct chq_operation twice[] = {op, op};
    assert_int_equal(run(&relay, twice, 2), CHQ_OK);
    struct chq_operation failing[] = {op, op_pay(CHQ_OPERATION_TRANSFER, ana.id, 1)};
    expect_refused(run(&relay, failing, 2), CHQ_PAYMENT, "balance");
    struct chq_writer got = chq_writer_fixed(stored, sizeof stored);
    assert_true(chq_state_get(state, CHQ_RECORD_RELAY, relay.id, &got));
    assert_true(chq_bytes_equal(chq_writer_bytes(&got), chq_writer_bytes(&w)));
    end();
}

/* A channel of `tokens` tokens with a known end. */
struct test_channel {
    uint8_t id[32], end[32], root[32];
    uint64_t number, tokens;
};

static enum chq_err open_channel(struct test_channel *c, struct who *payer, const struct who *payee,
    uint64_t deposit, uint64_t price, uint64_t tokens, uint64_t expiry_s)
{
    struct chq_operation op = {.type = CHQ_OPERATION_CHANNEL_OPEN,
        .channel_open = {.deposit_micro = deposit,
            .tokens = tokens,
            .price_micro = price,
            .quantum_bytes = 65536,
            .expiry_s = expiry_s}};
    memset(c, 0, sizeof *c);
    c->tokens = tokens;
    c->number = chq_state_count(state, CHQ_RECORD_CHANNEL);
    chq_channel_id(c->id, chq_bytes_text(FIXTURE_CHAIN), payer->id, payer->nonce, 0);
    memset(c->end, 0x5a, 32);
    chq_chain_token(c->root, c->end, c->id, tokens, 0);
    memcpy(op.channel_open.payee, payee->id, 32);
    memcpy(op.channel_open.chain_root, c->root, 32);
    return run1(payer, op);
}

static void put_settlement(uint8_t out[CHQ_SETTLEMENT_BYTES], const struct test_channel *c, uint64_t index)
{
    struct chq_settlement s = {.number = c->number, .index = index};
    if (index <= c->tokens)
        chq_chain_token(s.token, c->end, c->id, c->tokens, index);
    chq_settlement_store(out, &s);
}

static enum chq_err settle(struct who *who, const struct test_channel *c, uint64_t index)
{
    uint8_t record[CHQ_SETTLEMENT_BYTES];
    put_settlement(record, c, index);
    return run1(who, (struct chq_operation){.type = CHQ_OPERATION_CHANNEL_SETTLE,
                         .channel_settle.records = chq_bytes(record, sizeof record)});
}

static struct chq_operation op_channel(enum chq_operation_type type, const struct test_channel *c)
{
    struct chq_operation op = {.type = type};
    memcpy(op.channel_close.channel, c->id, 32);
    return op;
}

static void fund(void)
{
    create(&ana);
    create(&relay);
    create(&stranger);
    assert_int_equal(run1(&issuer, op_pay(CHQ_OPERATION_ISSUE, ana.id, 100000)), CHQ_OK);
}

static void channels_open(void **unused)
{
    (void)unused;
    struct test_channel c;
    start();
    fund();
    expect_refused(open_channel(&c, &ana, &bo, 1000, 10, 100, now_s + 9), CHQ_NOT_FOUND, "payee");
    expect_refused(open_channel(&c, &ana, &relay, 0, 10, 100, now_s + 9), CHQ_MALFORMED, "deposit");
    expect_refused(open_channel(&c, &ana, &relay, 1000, 10, 100, now_s), CHQ_EXPIRED, "passed");
    expect_refused(
        open_channel(&c, &ana, &relay, 1000, 10, 100, now_s + CHQ_CHANNEL_LIFE_MAX_S + 1), CHQ_LIMIT, "366");
    expect_refused(open_channel(&c, &ana, &relay, 1000, 10, 100, UINT64_MAX), CHQ_LIMIT, "366");
    expect_refused(open_channel(&c, &ana, &relay, 100001, 10, 100, now_s + 9), CHQ_PAYMENT, "100001");
    assert_int_equal(open_channel(&c, &ana, &relay, 1000, 10, 100, now_s + CHQ_CHANNEL_LIFE_MAX_S), CHQ_OK);
    expect_balance(&ana, 99000);
    assert_int_equal(chq_state_totals(state).deposits_micro, 1000);
    struct chq_operation top_up = op_pay(CHQ_OPERATION_CHANNEL_TOP_UP, c.id, 500);
    assert_int_equal(run1(&ana, top_up), CHQ_OK);
    expect_balance(&ana, 98500);
    expect_refused(run1(&relay, top_up), CHQ_AUTH, "payer");
    top_up.channel_top_up.micro = 0;
    expect_refused(run1(&ana, top_up), CHQ_MALFORMED, "0");
    top_up.channel_top_up.micro = 98501;
    expect_refused(run1(&ana, top_up), CHQ_PAYMENT, "98500");
    top_up.channel_top_up.micro = (uint64_t)CHQ_MICROCREDIT_SUPPLY_MAX;
    expect_refused(run1(&ana, top_up), CHQ_LIMIT, "largest");
    expect_refused(
        run1(&ana, op_pay(CHQ_OPERATION_CHANNEL_TOP_UP, ana.id, 5)), CHQ_NOT_FOUND, "no such channel");
    now_s += CHQ_CHANNEL_LIFE_MAX_S + 1;
    top_up.channel_top_up.micro = 1;
    expect_refused(run1(&ana, top_up), CHQ_EXPIRED, "expired");
    end();
}

static void channels_settle(void **unused)
{
    (void)unused;
    struct test_channel c, d;
    uint8_t records[3 * CHQ_SETTLEMENT_BYTES];
    start();
    fund();
    assert_int_equal(open_channel(&c, &ana, &relay, 20000, 10, 3000, now_s + 1000), CHQ_OK);
    assert_int_equal(open_channel(&d, &ana, &relay, 100, 10, 100, now_s + 1000), CHQ_OK);
    assert_int_equal(settle(&relay, &c, 1), CHQ_OK);
    expect_balance(&relay, 10);
    assert_int_equal(settle(&stranger, &c, 1025), CHQ_OK); /* whoever brings it, the payee gets it */
    expect_balance(&relay, 10250);
    expect_balance(&stranger, 0);
    expect_refused(settle(&relay, &c, 1025), CHQ_STATE, "settled before");
    expect_refused(settle(&relay, &c, 3), CHQ_STATE, "settled before");
    expect_refused(settle(&relay, &c, 1025 + 1025), CHQ_LIMIT, "1024 steps");
    expect_refused(settle(&relay, &c, 2001), CHQ_PAYMENT, "deposit");
    expect_refused(settle(&relay, &c, UINT64_MAX), CHQ_LIMIT, "steps");
    assert_int_equal(settle(&relay, &c, 2000), CHQ_OK); /* the deposit to the last microcredit */
    expect_balance(&relay, 20000);
    expect_refused(settle(&relay, &d, 101), CHQ_LIMIT, "only 100 tokens");
    c.number = 7;
    expect_refused(settle(&relay, &c, 5), CHQ_NOT_FOUND, "no channel 7");
    c.number = 1; /* a token of another chain */
    expect_refused(settle(&relay, &c, 5), CHQ_AUTH, "not on the chain");
    /* Three records, the last one wrong: none counts. Then twice the same channel in one operation. */
    put_settlement(records, &d, 1);
    put_settlement(records + 48, &d, 2);
    put_settlement(records + 96, &d, 2);
    struct chq_operation op = {
        .type = CHQ_OPERATION_CHANNEL_SETTLE, .channel_settle.records = chq_bytes(records, 144)};
    expect_refused(run1(&relay, op), CHQ_STATE, "record 2");
    expect_balance(&relay, 20000);
    op.channel_settle.records.size = 96;
    assert_int_equal(run1(&relay, op), CHQ_OK);
    expect_balance(&relay, 20020);
    end();
}

static void channels_end(void **unused)
{
    (void)unused;
    struct test_channel c, d, e;
    start();
    fund();
    assert_int_equal(open_channel(&c, &ana, &relay, 1000, 10, 100, now_s + 1000), CHQ_OK);
    assert_int_equal(open_channel(&d, &ana, &relay, 1000, 10, 100, now_s + 1000), CHQ_OK);
    assert_int_equal(open_channel(&e, &ana, &relay, 1000, 10, 100, now_s + 1000), CHQ_OK);
    assert_int_equal(settle(&relay, &c, 30), CHQ_OK);
    expect_refused(run1(&stranger, op_channel(CHQ_OPERATION_CHANNEL_CLOSE, &c)), CHQ_AUTH, "payer and payee");
    assert_int_equal(run1(&relay, op_channel(CHQ_OPERATION_CHANNEL_CLOSE, &c)), CHQ_OK);
    expect_balance(&ana, 97000 + 700);
    expect_refused(run1(&relay, op_channel(CHQ_OPERATION_CHANNEL_CLOSE, &c)), CHQ_STATE, "closed");
    expect_refused(settle(&relay, &c, 31), CHQ_STATE, "closed");
    expect_refused(run1(&ana, op_pay(CHQ_OPERATION_CHANNEL_TOP_UP, c.id, 1)), CHQ_STATE, "closed");

    /* The payer closes: the payee keeps twice the grace to settle. */
    assert_int_equal(run1(&ana, op_channel(CHQ_OPERATION_CHANNEL_CLOSE, &d)), CHQ_OK);
    expect_refused(run1(&ana, op_channel(CHQ_OPERATION_CHANNEL_CLOSE, &d)), CHQ_STATE, "already");
    expect_refused(run1(&ana, op_pay(CHQ_OPERATION_CHANNEL_TOP_UP, d.id, 1)), CHQ_STATE, "closing");
    now_s += 240;
    expect_refused(run1(&ana, op_channel(CHQ_OPERATION_CHANNEL_EXPIRE, &d)), CHQ_AGAIN, "expired after");
    assert_int_equal(settle(&relay, &d, 50), CHQ_OK);
    now_s += 1;
    assert_int_equal(run1(&stranger, op_channel(CHQ_OPERATION_CHANNEL_EXPIRE, &d)), CHQ_OK);
    expect_balance(&ana, 97000 + 700 + 500);
    expect_balance(&relay, 300 + 500);
    expect_refused(run1(&stranger, op_channel(CHQ_OPERATION_CHANNEL_EXPIRE, &d)), CHQ_STATE, "closed");

    now_s = FIXTURE_TIME + 1120;
    expect_refused(run1(&ana, op_channel(CHQ_OPERATION_CHANNEL_EXPIRE, &e)), CHQ_AGAIN, "expired after");
    assert_int_equal(settle(&relay, &e, 1), CHQ_OK); /* late, but nobody has closed it */
    now_s++;
    assert_int_equal(run1(&ana, op_channel(CHQ_OPERATION_CHANNEL_EXPIRE, &e)), CHQ_OK);
    assert_int_equal(chq_state_totals(state).deposits_micro, 0);
    expect_refused(run1(&ana, op_channel(CHQ_OPERATION_CHANNEL_EXPIRE, &(struct test_channel){0})),
        CHQ_NOT_FOUND, "no such channel");
    end();
}

static void blocks_come_in_order(void **unused)
{
    (void)unused;
    start();
    assert_int_equal(chq_state_begin(state, 2, now_s), CHQ_STATE);
    assert_int_equal(chq_state_begin(state, 0, now_s), CHQ_STATE);
    assert_int_equal(chq_state_begin(state, 1, now_s - 1), CHQ_STATE);
    assert_int_equal(chq_state_begin(state, 1, now_s), CHQ_OK);
    chq_state_rollback(state);
    assert_int_equal(chq_state_height(state), 0);
    end();
}

/* The root of a fixed run: the same for every compiler, optimisation and byte order. A change here is a hard fork. */
static void golden_root(void **unused)
{
    (void)unused;
    struct test_channel c;
    uint8_t root[32], list[600];
    char text[65];
    start();
    fund();
    size_t size = sign_list(list, sizeof list, &ana, &ana, 1, chq_bytes(NULL, 0));
    assert_int_equal(run1(&ana, op_list(list, size)), CHQ_OK);
    assert_int_equal(run1(&ana, op_commit(&ana, "ana", 1)), CHQ_OK);
    assert_int_equal(run1(&ana, op_reveal("ana", 1)), CHQ_OK);
    assert_int_equal(open_channel(&c, &ana, &relay, 1000, 10, 100, now_s + 1000), CHQ_OK);
    assert_int_equal(settle(&relay, &c, 30), CHQ_OK);
    chq_state_root(state, root);
    chq_hex_write(chq_bytes(root, 32), text);
    assert_string_equal(text, "6c6a20b58e5296ad3f0ab896f05a8f2ca0469b00647f9255d61918ed539e7140");
    end();
}

/* ---- golden trace: one chain's story, block by block, as text ---- */

static char trace[8192];
static size_t trace_size;

__attribute__((format(printf, 1, 2))) static void tell(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    trace_size += (size_t)vsnprintf(trace + trace_size, sizeof trace - trace_size, format, args);
    va_end(args);
    assert_true(trace_size < sizeof trace);
}

static void tell_block(const char *what, enum chq_err err)
{
    struct chq_state_totals t = chq_state_totals(state);
    uint8_t root[32];
    char text[65];
    chq_state_root(state, root);
    chq_hex_write(chq_bytes(root, 4), text);
    tell("%llu %s: %s%s%s; issued %llu balances %llu deposits %llu root %s\n",
        (unsigned long long)chq_state_height(state), what, chq_err_string(err), err == CHQ_OK ? "" : ", ",
        result.reason, (unsigned long long)t.issued_micro, (unsigned long long)t.balances_micro,
        (unsigned long long)t.deposits_micro, text);
}

static void golden_trace(void **unused)
{
    (void)unused;
    static const char expected[] =
        "0 genesis: ok; issued 0 balances 0 deposits 0 root 686f2a47\n"
        "1 ana is created: ok; issued 0 balances 0 deposits 0 root 6f1ca1da\n"
        "2 relay is created: ok; issued 0 balances 0 deposits 0 root cb78c826\n"
        "3 ana gets credit: ok; issued 5000 balances 5000 deposits 0 root 9716916f\n"
        "4 ana commits to a handle: ok; issued 5000 balances 5000 deposits 0 root e602ac8e\n"
        "5 relay reveals it first: not possible in this state, there is no handle commit to reveal; issued "
        "5000 balances 5000 deposits 0 root e602ac8e\n"
        "6 ana reveals it: ok; issued 5000 balances 5000 deposits 0 root 9db3b3f3\n"
        "7 ana opens a channel: ok; issued 5000 balances 4000 deposits 1000 root f36b9adb\n"
        "8 relay settles 30: ok; issued 5000 balances 4300 deposits 700 root 4c2bce85\n"
        "9 relay settles 30 again: not possible in this state, record 0: token 30 of channel 0 was settled "
        "before (newest: 30); issued 5000 balances 4300 deposits 700 root 4c2bce85\n"
        "10 relay settles 101: limit exceeded, record 0: channel 0 has only 100 tokens; issued 5000 balances "
        "4300 deposits 700 root 4c2bce85\n"
        "11 ana expires it too early: not yet, try again, the channel may be expired after 1700000180 (Unix "
        "seconds), now it is 1700000000; issued 5000 balances 4300 deposits 700 root 4c2bce85\n"
        "12 ana expires it: ok; issued 5000 balances 5000 deposits 0 root f32f18ec\n"
        "13 relay settles 31: not possible in this state, record 0: channel 0 is closed; issued 5000 "
        "balances 5000 deposits 0 root f32f18ec\n";
    struct test_channel c;
    start();
    tell_block("genesis", CHQ_OK);
    tell_block("ana is created", run1(&ana, op_create(&ana)));
    tell_block("relay is created", run1(&relay, op_create(&relay)));
    tell_block("ana gets credit", run1(&issuer, op_pay(CHQ_OPERATION_ISSUE, ana.id, 5000)));
    tell_block("ana commits to a handle", run1(&ana, op_commit(&ana, "ana", 1)));
    tell_block("relay reveals it first", run1(&relay, op_reveal("ana", 1)));
    tell_block("ana reveals it", run1(&ana, op_reveal("ana", 1)));
    tell_block("ana opens a channel", open_channel(&c, &ana, &relay, 1000, 10, 100, now_s + 60));
    tell_block("relay settles 30", settle(&relay, &c, 30));
    tell_block("relay settles 30 again", settle(&relay, &c, 30));
    tell_block("relay settles 101", settle(&relay, &c, 101));
    tell_block("ana expires it too early", run1(&ana, op_channel(CHQ_OPERATION_CHANNEL_EXPIRE, &c)));
    now_s += 181;
    tell_block("ana expires it", run1(&ana, op_channel(CHQ_OPERATION_CHANNEL_EXPIRE, &c)));
    tell_block("relay settles 31", settle(&relay, &c, 31));
    if (strcmp(trace, expected) != 0)
        fputs(trace, stderr); /* all of it: cmocka shows the beginning only */
    assert_string_equal(trace, expected);
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(batches),
        cmocka_unit_test(trust_is_bound_to_the_key),
        cmocka_unit_test(credit),
        cmocka_unit_test(handles),
        cmocka_unit_test(device_lists),
        cmocka_unit_test(relay_records),
        cmocka_unit_test(channels_open),
        cmocka_unit_test(channels_settle),
        cmocka_unit_test(channels_end),
        cmocka_unit_test(blocks_come_in_order),
        cmocka_unit_test(golden_root),
        cmocka_unit_test(golden_trace),
    };
    if (chq_crypto_init() != CHQ_OK)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
