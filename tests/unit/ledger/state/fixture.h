/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CHQ_TESTS_LEDGER_FIXTURE_H
#define CHQ_TESTS_LEDGER_FIXTURE_H

/* Accounts with keys from small numbers, and batches of theirs, for tests of the ledger. */
#include "core/base/assert.h"
#include "core/crypto/chain.h"
#include "core/wire/device_list.h"
#include "core/wire/signed.h"
#include "ledger/state/state.h"

#include <stdlib.h>
#include <string.h>

#define FIXTURE_CHAIN "test-01"
#define FIXTURE_TIME  UINT64_C(1700000000)

struct who {
    struct chq_sign_pair root;
    struct chq_inception inception;
    uint8_t inception_bytes[CHQ_INCEPTION_BYTES];
    uint8_t id[32];
    uint64_t nonce;
};

static inline void who_init(struct who *who, uint32_t number)
{
    uint8_t seed[32] = {0};
    memset(who, 0, sizeof *who);
    chq_store_u32(seed, number);
    chq_sign_pair_from_seed(&who->root, seed);
    memcpy(who->inception.root_key, who->root.public_key, 32);
    struct chq_writer w = chq_writer_fixed(who->inception_bytes, sizeof who->inception_bytes);
    chq_inception_write(&w, &who->inception);
    chq_inception_account_id(who->id, &who->inception);
}

static inline void fixture_genesis(struct chq_genesis *genesis, const struct who *issuer)
{
    memset(genesis, 0, sizeof *genesis);
    memcpy(genesis->chain_id, FIXTURE_CHAIN, sizeof FIXTURE_CHAIN);
    genesis->time_s = FIXTURE_TIME;
    genesis->issuer = issuer->inception;
    genesis->validators_count = 1;
    genesis->validators[0] = (struct chq_validator){.key = {1}, .power = 1};
    genesis->supply_max_micro = 1000000000;
    genesis->channel_grace_s = 120;
}

/* Append a signed batch of `who`'s, with its next nonce. */
static inline void put_batch(
    struct chq_writer *w, const struct who *who, const struct chq_operation *ops, size_t n)
{
    struct chq_writer body = chq_writer_heap(CHQ_BATCH_BYTES_MAX);
    struct chq_batch batch = {.chain_id = chq_bytes_text(FIXTURE_CHAIN), .nonce = who->nonce};
    memcpy(batch.signer, who->id, 32);
    chq_batch_put(&body, &batch, ops, n);
    CHQ_ASSERT(chq_writer_finish(&body) == CHQ_OK);
    chq_signed_write(w, &who->root, CHQ_BATCH_DOMAIN, chq_writer_bytes(&body));
    chq_writer_free(&body);
}

static inline struct chq_operation op_create(const struct who *who)
{
    return (struct chq_operation){.type = CHQ_OPERATION_CREATE,
        .create.inception = chq_bytes(who->inception_bytes, sizeof who->inception_bytes)};
}

static inline struct chq_operation op_pay(enum chq_operation_type type, const uint8_t to[32], uint64_t micro)
{
    struct chq_operation op = {.type = type, .transfer.micro = micro};
    memcpy(op.transfer.to, to, 32);
    return op;
}

#endif
