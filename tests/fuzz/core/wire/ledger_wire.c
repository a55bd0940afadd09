/* SPDX-License-Identifier: Apache-2.0 */
/* The first byte picks a reader; whatever it accepts must be written back byte for byte. */
#include "core/base/assert.h"
#include "core/wire/batch.h"
#include "core/wire/genesis.h"
#include "core/wire/header.h"
#include "core/wire/invitation.h"
#include "core/wire/ledger_frame.h"
#include "core/wire/proof.h"
#include "core/wire/record.h"

#include <string.h>

static void expect_same(struct chq_writer *w, struct chq_bytes in)
{
    CHQ_ASSERT(chq_writer_finish(w) == CHQ_OK);
    CHQ_ASSERT(chq_bytes_equal(chq_writer_bytes(w), in));
}

static void try_batch(struct chq_bytes in, struct chq_writer *w)
{
    static struct chq_operation ops[CHQ_BATCH_OPERATIONS_MAX];
    struct chq_batch batch;
    size_t n = 0;
    if (chq_batch_read(in, &batch) != CHQ_OK)
        return;
    struct chq_reader at = chq_reader(batch.operations);
    while (chq_batch_next(&at, &ops[n]))
        n++;
    CHQ_ASSERT(n == batch.operations_count);
    chq_batch_put(w, &batch, ops, n);
    expect_same(w, in);
}

static void try_record(unsigned kind, struct chq_bytes in, struct chq_writer *w)
{
    struct chq_account_record account;
    struct chq_handle_record handle;
    struct chq_relay_record relay;
    struct chq_channel_record channel;
    if (kind == 0 && chq_account_record_read(in, &account) == CHQ_OK)
        chq_account_record_put(w, &account);
    else if (kind == 1 && chq_handle_record_read(in, &handle) == CHQ_OK)
        chq_handle_record_put(w, &handle);
    else if (kind == 2 && chq_relay_record_read(in, &relay) == CHQ_OK)
        chq_relay_record_put(w, &relay);
    else if (kind == 3 && chq_channel_record_read(in, &channel) == CHQ_OK)
        chq_channel_record_put(w, &channel);
    else
        return;
    expect_same(w, in);
}

static void try_frame(unsigned kind, struct chq_bytes in, struct chq_writer *w)
{
    static struct chq_signed_header header;
    static struct chq_invitation link, again;
    struct chq_ledger_request request;
    struct chq_ledger_reply reply;
    if (kind == 0 && chq_ledger_request_read(in, &request) == CHQ_OK) {
        chq_ledger_request_put(w, &request);
        expect_same(w, in);
    } else if (kind == 1 && chq_ledger_reply_read(in, &reply) == CHQ_OK) {
        chq_ledger_reply_put(w, &reply);
        expect_same(w, in);
    } else if (kind == 2 && chq_signed_header_read(in, &header) == CHQ_OK) {
        chq_signed_header_put(w, &header);
        expect_same(w, in);
    } else if (kind == 3 && chq_invitation_read(in, &link) == CHQ_OK) {
        chq_invitation_put(w, &link); /* white space around a link may go */
        CHQ_ASSERT(chq_writer_finish(w) == CHQ_OK);
        CHQ_ASSERT(chq_invitation_read(chq_writer_bytes(w), &again) == CHQ_OK);
        CHQ_ASSERT(memcmp(&link, &again, sizeof link) == 0);
    }
}

static void try_proof_or_genesis(unsigned kind, struct chq_bytes in, struct chq_writer *w)
{
    static struct chq_genesis genesis;
    struct chq_proof proof;
    const uint8_t key[32] = {0};
    if (kind == 0 && chq_proof_read(in, &proof) == CHQ_OK) {
        chq_proof_put(w, &proof);
        expect_same(w, in);
        CHQ_ASSERT(chq_proof_check(&proof, key, CHQ_RECORD_ACCOUNT, key, false, in) != CHQ_OK);
        CHQ_ASSERT(chq_proof_check(&proof, key, CHQ_RECORD_CHANNEL, key, true, in) != CHQ_OK);
    } else if (kind == 1 && chq_genesis_read(in, &genesis) == CHQ_OK) {
        chq_genesis_put(w, &genesis);
        expect_same(w, in);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    struct chq_writer w = chq_writer_heap(size + 64);
    struct chq_bytes in = chq_bytes(data + 1, size - 1);
    unsigned pick = data[0] % 11;
    if (pick == 0)
        try_batch(in, &w);
    else if (pick <= 4)
        try_record(pick - 1, in, &w);
    else if (pick <= 8)
        try_frame(pick - 5, in, &w);
    else
        try_proof_or_genesis(pick - 9, in, &w);
    chq_writer_free(&w);
    return 0;
}
