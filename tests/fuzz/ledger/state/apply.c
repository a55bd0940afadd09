/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The input is a row of encoded operations, each after a byte that picks its signer; each goes into a batch of its own.
 * Whatever they are, credit is conserved and a refused batch leaves the root as it was.
 */
#include "core/base/assert.h"
#include "core/wire/cbor.h"
#include "unit/ledger/state/fixture.h"

#define WHO 3

static struct who who[WHO];

static struct chq_state *make_state(void)
{
    struct chq_genesis genesis;
    struct chq_state *state = NULL;
    for (uint32_t i = 0; i < WHO; i++)
        who_init(&who[i], i + 1);
    fixture_genesis(&genesis, &who[0]);
    CHQ_ASSERT(chq_state_new(&state, &genesis, NULL, 1) == CHQ_OK && chq_state_start(state, NULL) == CHQ_OK);
    return state;
}

static enum chq_err run(struct chq_state *state, unsigned signer, const struct chq_operation *op)
{
    struct chq_writer body = chq_writer_heap(CHQ_BATCH_BYTES_MAX),
                      w = chq_writer_heap(CHQ_BATCH_BYTES_MAX + 128);
    struct chq_batch batch = {.chain_id = chq_bytes_text(FIXTURE_CHAIN), .nonce = who[signer].nonce};
    const uint8_t signature[64] = {0};
    struct chq_state_result result;
    memcpy(batch.signer, who[signer].id, 32);
    chq_batch_put(&body, &batch, op, 1);
    chq_cbor_put_map(&w, 2);
    chq_cbor_pair_bytes(&w, 1, body.data, body.size);
    chq_cbor_pair_bytes(&w, 2, signature, sizeof signature);
    CHQ_ASSERT(chq_writer_finish(&w) == CHQ_OK);
    const struct chq_state_batch in = {.signed_batch = chq_writer_bytes(&w), .trust = CHQ_STATE_OWN_JOURNAL};
    uint64_t time_s = chq_state_time_s(state) + 1;
    CHQ_ASSERT(chq_state_begin(state, chq_state_height(state) + 1, time_s) == CHQ_OK);
    enum chq_err err = chq_state_apply(state, &in, &result);
    CHQ_ASSERT((err == CHQ_OK) == (result.reason[0] == '\0'));
    CHQ_ASSERT(chq_state_seal(state) == CHQ_OK);
    chq_state_commit(state, NULL);
    if (err == CHQ_OK)
        who[signer].nonce++;
    chq_writer_free(&body);
    chq_writer_free(&w);
    return err;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct chq_reader r = chq_reader(chq_bytes(data, size));
    struct chq_state *state = make_state();
    const struct chq_operation create = op_create(&who[1]);
    struct chq_operation op = op_pay(CHQ_OPERATION_ISSUE, who[1].id, 1000);
    uint8_t before[32], after[32];
    CHQ_ASSERT(run(state, 1, &create) == CHQ_OK && run(state, 0, &op) == CHQ_OK);
    for (unsigned i = 0; i < 32 && chq_reader_left(&r) > 0; i++) {
        unsigned signer = chq_read_u8(&r) % WHO;
        chq_operation_get(&r, &op);
        if (r.err != CHQ_OK)
            break;
        /* The fuzzer cannot guess ids: a first byte below WHO stands for one of ours. */
        uint8_t *id = op.type == CHQ_OPERATION_CHANNEL_OPEN ? op.channel_open.payee : op.transfer.to;
        bool names_someone = op.type == CHQ_OPERATION_ISSUE || op.type == CHQ_OPERATION_TRANSFER ||
                             op.type == CHQ_OPERATION_CHANNEL_OPEN;
        if (names_someone && id[0] < WHO)
            memcpy(id, who[id[0]].id, 32);
        chq_state_root(state, before);
        enum chq_err err = run(state, signer, &op);
        chq_state_root(state, after);
        CHQ_ASSERT((err == CHQ_OK) == (memcmp(before, after, 32) != 0));
        CHQ_ASSERT(chq_state_conserves(state));
    }
    chq_state_free(state);
    return 0;
}
