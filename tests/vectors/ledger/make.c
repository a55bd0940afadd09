/* SPDX-License-Identifier: Apache-2.0 */
/* Print the vectors of chain.txt: 'name hexadecimal...' lines about a small chain with fixed keys. */
#include <stdio.h>

#include "core/base/text.h"
#include "ledger/engine/block.h"
#include "ledger/light/canonical.h"
#include "unit/ledger/state/fixture.h"

static struct who issuer, people[6];
static struct chq_state *state;

static void print(const char *name, struct chq_bytes a)
{
    static char text[2 * 65536];
    chq_hex_write(a, text);
    printf("%s %s\n", name, text);
}

static void run(struct who *who, const struct chq_operation *ops, size_t n)
{
    struct chq_writer w = chq_writer_heap(CHQ_BATCH_BYTES_MAX);
    struct chq_state_result result;
    put_batch(&w, who, ops, n);
    const struct chq_state_batch batch = {.signed_batch = chq_writer_bytes(&w)};
    CHQ_ASSERT(chq_state_begin(state, chq_state_height(state) + 1, FIXTURE_TIME) == CHQ_OK);
    CHQ_ASSERT(chq_state_apply(state, &batch, &result) == CHQ_OK && chq_state_seal(state) == CHQ_OK);
    chq_state_commit(state, NULL);
    who->nonce++;
    print("batch", chq_writer_bytes(&w));
    chq_writer_free(&w);
}

static void print_records(void)
{
    static uint8_t storage[8192];
    uint8_t key[32];
    for (unsigned kind = 1; kind <= CHQ_RECORD_KINDS; kind++) {
        for (uint32_t slot = 0;; slot++) {
            struct chq_writer w = chq_writer_fixed(storage, sizeof storage);
            char name[32], text[65];
            if (!chq_state_at(state, (enum chq_record_kind)kind, slot, key, &w))
                break;
            chq_hex_write(chq_bytes(key, 32), text);
            snprintf(name, sizeof name, "record %u", kind);
            printf("%s %s ", name, text);
            print("", chq_writer_bytes(&w));
        }
    }
}

static void print_proof(enum chq_record_kind kind, const uint8_t key[32])
{
    uint8_t value_storage[4096], proof_storage[16384];
    struct chq_writer value = chq_writer_fixed(value_storage, sizeof value_storage);
    struct chq_writer proof = chq_writer_fixed(proof_storage, sizeof proof_storage);
    char text[65];
    bool present = chq_state_prove(state, kind, key, &value, &proof);
    chq_hex_write(chq_bytes(key, 32), text);
    printf("proof %d %s %d", (int)kind, text, present);
    print("", chq_writer_bytes(&proof));
}

static void print_header(struct chq_genesis *genesis)
{
    const uint8_t seed[32] = {77};
    struct chq_sign_pair validator;
    struct chq_tip first = {0}, tip = {0}, next = {0};
    uint8_t root[32];
    const struct chq_bytes batches[] = {chq_bytes("one", 3), chq_bytes("three", 5)};
    chq_state_root(state, root);
    chq_sign_pair_from_seed(&validator, seed);
    memcpy(genesis->validators[0].key, validator.public_key, 32);
    CHQ_ASSERT(chq_tip_make(&tip, &first, genesis, root, batches, 2,
                   (struct chq_time){.s = (int64_t)FIXTURE_TIME, .ns = 5000}, &validator) == CHQ_OK);
    CHQ_ASSERT(chq_tip_make(&next, &tip, genesis, root, NULL, 0,
                   (struct chq_time){.s = (int64_t)FIXTURE_TIME + 1}, &validator) == CHQ_OK);
    print("validator", chq_bytes(validator.public_key, 32));
    print("header", chq_bytes(tip.signed_header, tip.signed_header_size));
    print("header_hash", chq_bytes(tip.hash, 32));
    print("header", chq_bytes(next.signed_header, next.signed_header_size));
    print("header_hash", chq_bytes(next.hash, 32));
}

int main(void)
{
    struct chq_genesis genesis;
    struct chq_operation ops[3];
    struct chq_writer w = chq_writer_heap(CHQ_GENESIS_BYTES_MAX);
    uint8_t root[32], absent[32] = {0x80};
    CHQ_ASSERT(chq_crypto_init() == CHQ_OK);
    who_init(&issuer, 1000);
    fixture_genesis(&genesis, &issuer);
    chq_genesis_put(&w, &genesis);
    print("genesis", chq_writer_bytes(&w));
    CHQ_ASSERT(chq_state_new(&state, &genesis, NULL, 1) == CHQ_OK && chq_state_start(state, NULL) == CHQ_OK);
    for (uint32_t i = 0; i < 6; i++) {
        who_init(&people[i], i + 1);
        ops[0] = op_create(&people[i]);
        run(&people[i], ops, 1);
    }
    ops[0] = op_pay(CHQ_OPERATION_ISSUE, people[0].id, 5000);
    run(&issuer, ops, 1);
    for (size_t i = 0; i < 3; i++) {
        ops[i] = (struct chq_operation){.type = CHQ_OPERATION_CHANNEL_OPEN,
            .channel_open = {.deposit_micro = 100 + i,
                .tokens = 10,
                .price_micro = 3,
                .quantum_bytes = 65536,
                .expiry_s = FIXTURE_TIME + 1000}};
        memcpy(ops[i].channel_open.payee, people[1].id, 32);
    }
    run(&people[0], ops, 3);
    const uint8_t salt[32] = {1};
    ops[0] = (struct chq_operation){.type = CHQ_OPERATION_HANDLE_COMMIT};
    chq_handle_commitment(ops[0].handle_commit.commitment, chq_bytes_text("ana"), people[0].id, salt);
    run(&people[0], ops, 1);
    ops[0] = (struct chq_operation){
        .type = CHQ_OPERATION_HANDLE_REVEAL, .handle_reveal = {.handle = chq_bytes_text("ana"), .salt = {1}}};
    run(&people[0], ops, 1);
    print_records();
    printf("totals %llu\n", (unsigned long long)chq_state_totals(state).issued_micro);
    chq_state_root(state, root);
    print("root", chq_bytes(root, 32));
    print_proof(CHQ_RECORD_ACCOUNT, people[3].id);
    print_proof(CHQ_RECORD_ACCOUNT, absent);
    print_proof(CHQ_RECORD_RELAY, people[3].id);
    print_proof(CHQ_RECORD_HANDLE, absent);
    print_header(&genesis);
    chq_state_free(state);
    chq_writer_free(&w);
    return 0;
}
