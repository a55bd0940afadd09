/* SPDX-License-Identifier: Apache-2.0 */
/* Batches and every operation that is not about channels. docs/protocol.md section 5 stands beside each rule. */
#include "core/wire/batch.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/base/assert.h"
#include "core/base/text.h"
#include "core/identity/handle.h"
#include "core/wire/device_list.h"
#include "core/wire/signed.h"
#include "ledger/state/internal.h"

enum chq_err chq_state_refuse(struct apply *a, enum chq_err err, const char *format, ...)
{
    va_list args;
    a->result->operation = a->index;
    va_start(args, format);
    vsnprintf(a->result->reason, sizeof a->result->reason, format, args);
    va_end(args);
    return err;
}

static enum chq_err no_memory(struct apply *a)
{
    return chq_state_refuse(a, CHQ_NO_MEMORY, "the ledger is out of memory: try again later");
}

/* Operation 1 is read before the rest, because it brings the key that the batch is signed with. */
static enum chq_err apply_create(struct apply *a, const struct chq_operation *op)
{
    struct chq_inception inception;
    uint8_t id[32];
    if (chq_inception_read(&inception, op->create.inception) != CHQ_OK)
        return chq_state_refuse(a, CHQ_MALFORMED, "the inception is malformed");
    chq_inception_account_id(id, &inception);
    if (memcmp(id, a->batch->signer, sizeof id) != 0)
        return chq_state_refuse(a, CHQ_AUTH, "the signer is not the account of this inception");
    enum chq_err err = chq_state_add_account(a->state, &inception, &a->signer);
    if (err == CHQ_EXISTS)
        return chq_state_refuse(a, err, "the account exists already");
    return err == CHQ_OK ? CHQ_OK : no_memory(a);
}

static enum chq_err check_signature(struct apply *a, const struct chq_state_batch *in)
{
    const uint8_t *key = account_at(a->state, a->signer)->root_key;
    struct chq_bytes body;
    switch (in->trust) {
    case CHQ_STATE_OWN_JOURNAL: return CHQ_OK;
    case CHQ_STATE_CHECKED_WITH:
        if (memcmp(in->key, key, sizeof in->key) == 0)
            return CHQ_OK;
        break;
    case CHQ_STATE_CHECK:
        if (chq_signed_open(&body, in->signed_batch, CHQ_BATCH_BYTES_MAX, key, CHQ_BATCH_DOMAIN) == CHQ_OK)
            return CHQ_OK;
        break;
    }
    return chq_state_refuse(a, CHQ_AUTH, "the signature is not by the signer's current root key");
}

static enum chq_err take_nonce(struct apply *a)
{
    const struct account_row *now = account_at(a->state, a->signer);
#ifndef CHQ_MUTATION_NO_NONCE
    if (a->batch->nonce != now->nonce)
        return chq_state_refuse(a, CHQ_STATE, "nonce %llu %s: the signer's next nonce is %llu",
            (unsigned long long)a->batch->nonce,
            a->batch->nonce < now->nonce ? "was used before" : "is ahead", (unsigned long long)now->nonce);
#endif
    if (now->nonce == UINT64_MAX)
        return chq_state_refuse(a, CHQ_LIMIT, "the account has no nonces left");
    struct account_row *row = chq_state_touch(a->state, CHQ_RECORD_ACCOUNT, a->signer);
    if (row == NULL)
        return no_memory(a);
    row->nonce++;
    return CHQ_OK;
}

enum chq_err chq_state_apply_batch(
    struct chq_state *state, const struct chq_state_batch *in, struct chq_state_result *result)
{
    struct chq_batch batch;
    struct chq_bytes body;
    struct chq_operation op;
    struct apply a = {.state = state, .batch = &batch, .index = UINT32_MAX, .result = result};
    if (chq_signed_peek(&body, in->signed_batch, CHQ_BATCH_BYTES_MAX) != CHQ_OK ||
        chq_batch_read(body, &batch) != CHQ_OK)
        return chq_state_refuse(&a, CHQ_MALFORMED, "the batch is malformed");
    if (!chq_bytes_equal(batch.chain_id, chq_bytes_text(state->genesis.chain_id)))
        return chq_state_refuse(
            &a, CHQ_AUTH, "the batch is for another chain; this is '%s'", state->genesis.chain_id);
    struct chq_reader at = chq_reader(batch.operations);
    (void)chq_batch_next(&at, &op);
    bool creates = op.type == CHQ_OPERATION_CREATE;
    a.signer = chq_table_find(&state->tables[CHQ_RECORD_ACCOUNT], batch.signer);
    if (creates) {
        a.index = 0;
        CHQ_TRY(apply_create(&a, &op));
        a.index = UINT32_MAX;
    } else if (a.signer == CHQ_SLOT_NONE) {
        return chq_state_refuse(&a, CHQ_NOT_FOUND, "the signer has no account: create it first");
    }
    CHQ_TRY(take_nonce(&a));
    CHQ_TRY(check_signature(&a, in));
    at = chq_reader(batch.operations);
    for (a.index = 0; chq_batch_next(&at, &op); a.index++)
        if (!(creates && a.index == 0))
            CHQ_TRY(chq_state_operate(&a, &op));
    return CHQ_OK;
}

/* Operation 2. */
static enum chq_err apply_device_list(struct apply *a, const struct chq_operation *op)
{
    struct chq_table *devices = &a->state->tables[CHQ_RECORD_DEVICES];
    struct chq_device_list list;
    uint32_t slot = chq_table_find(devices, a->batch->signer);
    struct blob_row *row = slot == CHQ_SLOT_NONE ? NULL : chq_table_row(devices, slot);
    enum chq_err err =
        chq_device_list_open(&list, op->device_list.signed_list, account_at(a->state, a->signer)->root_key);
    if (err != CHQ_OK)
        return chq_state_refuse(a, err,
            err == CHQ_AUTH ? "the device list is not signed by the account's root key"
                            : "the device list is malformed");
    if (memcmp(list.account_id, a->batch->signer, 32) != 0)
        return chq_state_refuse(a, CHQ_AUTH, "the device list is another account's");
    err = chq_device_list_follows(&list, row == NULL ? chq_bytes(NULL, 0) : chq_bytes(row->data, row->size));
    if (err != CHQ_OK)
        return chq_state_refuse(a, err,
            "the device list, version %llu, does not follow the one that is known",
            (unsigned long long)list.version);
    if (slot == CHQ_SLOT_NONE) {
        void *added;
        if (chq_state_add(a->state, CHQ_RECORD_DEVICES, a->batch->signer, &slot, &added) != CHQ_OK)
            return no_memory(a);
        row = added;
    } else {
        row = chq_state_touch(a->state, CHQ_RECORD_DEVICES, slot);
    }
    if (row == NULL || chq_state_set_blob(a->state, row, op->device_list.signed_list) != CHQ_OK)
        return no_memory(a);
    return CHQ_OK;
}

/* Operation 3. */
static enum chq_err apply_handle_commit(struct apply *a, const struct chq_operation *op)
{
    struct chq_table *commits = &a->state->tables[TABLE_COMMITS];
    struct commit_row *commit = NULL;
    uint32_t slot = chq_table_find(commits, a->batch->signer);
    if (slot == CHQ_SLOT_NONE) {
        void *added;
        if (chq_state_add(a->state, TABLE_COMMITS, a->batch->signer, &slot, &added) != CHQ_OK)
            return no_memory(a);
        commit = added;
    } else {
        commit = chq_state_touch(a->state, TABLE_COMMITS, slot);
    }
    struct account_row *account = chq_state_touch(a->state, CHQ_RECORD_ACCOUNT, a->signer);
    if (commit == NULL || account == NULL)
        return no_memory(a);
    memcpy(commit->commitment, op->handle_commit.commitment, 32);
    commit->height = a->state->block_height;
    commit->time_s = a->state->block_time_s;
    account->commit = slot + 1;
    return CHQ_OK;
}

static enum chq_err check_reveal(struct apply *a, const struct chq_operation *op)
{
    const struct account_row *account = account_at(a->state, a->signer);
    const struct commit_row *commit;
    uint8_t expected[32];
    if (!chq_handle_is_valid(op->handle_reveal.handle))
        return chq_state_refuse(
            a, CHQ_MALFORMED, "the handle breaks the rules: 2 to 32 characters a-z 0-9 - _ .");
    if (account->handle != 0)
        return chq_state_refuse(a, CHQ_EXISTS, "the account has a handle already");
    if (account->commit == 0)
        return chq_state_refuse(a, CHQ_STATE, "there is no handle commit to reveal");
    commit = chq_table_row(&a->state->tables[TABLE_COMMITS], account->commit - 1);
    chq_handle_commitment(expected, op->handle_reveal.handle, a->batch->signer, op->handle_reveal.salt);
    if (memcmp(expected, commit->commitment, sizeof expected) != 0)
        return chq_state_refuse(a, CHQ_AUTH, "handle and salt are not what the commit holds");
    if (a->state->block_height <= commit->height)
        return chq_state_refuse(a, CHQ_AGAIN, "the commit is in this very block: reveal it in the next one");
    if (a->state->block_time_s - commit->time_s > CHQ_HANDLE_COMMIT_MAX_S)
        return chq_state_refuse(a, CHQ_EXPIRED, "the handle commit is older than 24 hours: commit again");
    return CHQ_OK;
}

/* Operation 4. */
static enum chq_err apply_handle_reveal(struct apply *a, const struct chq_operation *op)
{
    uint8_t key[32];
    uint32_t slot;
    void *row;
    CHQ_TRY(check_reveal(a, op));
    chq_handle_key(key, op->handle_reveal.handle);
    if (chq_table_find(&a->state->tables[CHQ_RECORD_HANDLE], key) != CHQ_SLOT_NONE)
        return chq_state_refuse(a, CHQ_EXISTS, "the handle '%.*s' is taken",
            (int)op->handle_reveal.handle.size, (const char *)op->handle_reveal.handle.data);
    if (chq_state_add(a->state, CHQ_RECORD_HANDLE, key, &slot, &row) != CHQ_OK)
        return no_memory(a);
    struct account_row *account = chq_state_touch(a->state, CHQ_RECORD_ACCOUNT, a->signer);
    if (account == NULL)
        return no_memory(a);
    struct handle_row *handle = row;
    handle->since_height = a->state->block_height;
    handle->account = a->signer + 1;
    handle->size = (uint8_t)op->handle_reveal.handle.size;
    memcpy(handle->text, op->handle_reveal.handle.data, op->handle_reveal.handle.size);
    account->handle = slot + 1;
    account->commit = 0;
    return CHQ_OK;
}

/* Operation 5. */
static enum chq_err apply_relay_set(struct apply *a, const struct chq_operation *op)
{
    struct chq_relay_record record;
    struct blob_row *row;
    uint32_t slot = chq_table_find(&a->state->tables[CHQ_RECORD_RELAY], a->batch->signer);
    if (chq_relay_record_read(op->relay_set.record, &record) != CHQ_OK)
        return chq_state_refuse(a, CHQ_MALFORMED, "the relay record is malformed");
    if (memcmp(record.relay, a->batch->signer, 32) != 0)
        return chq_state_refuse(a, CHQ_AUTH, "the relay record is another relay's");
    if (slot == CHQ_SLOT_NONE) {
        void *added;
        if (chq_state_add(a->state, CHQ_RECORD_RELAY, a->batch->signer, &slot, &added) != CHQ_OK)
            return no_memory(a);
        row = added;
    } else {
        row = chq_state_touch(a->state, CHQ_RECORD_RELAY, slot);
    }
    if (row == NULL || chq_state_set_blob(a->state, row, op->relay_set.record) != CHQ_OK)
        return no_memory(a);
    return CHQ_OK;
}

static enum chq_err find_receiver(struct apply *a, const uint8_t to[32], uint64_t micro, uint32_t *slot)
{
    if (micro == 0)
        return chq_state_refuse(a, CHQ_MALFORMED, "an amount of 0 moves nothing");
    *slot = chq_table_find(&a->state->tables[CHQ_RECORD_ACCOUNT], to);
    if (*slot == CHQ_SLOT_NONE)
        return chq_state_refuse(a, CHQ_NOT_FOUND, "there is no such receiver");
    return CHQ_OK;
}

/* Operation 6. */
static enum chq_err apply_issue(struct apply *a, const struct chq_operation *op)
{
    struct chq_state *s = a->state;
    uint64_t issued = s->totals.issued_micro + s->block_issued_micro;
    uint32_t slot;
    if (memcmp(a->batch->signer, s->issuer, 32) != 0)
        return chq_state_refuse(a, CHQ_AUTH, "the signer is not the issuer of this chain");
    CHQ_TRY(find_receiver(a, op->issue.to, op->issue.micro, &slot));
    if (op->issue.micro > s->genesis.supply_max_micro - issued)
        return chq_state_refuse(a, CHQ_LIMIT,
            "the supply cap would be passed: %llu microcredit may still be issued",
            (unsigned long long)(s->genesis.supply_max_micro - issued));
    struct account_row *to = chq_state_touch(s, CHQ_RECORD_ACCOUNT, slot);
    if (to == NULL)
        return no_memory(a);
    to->balance_micro += op->issue.micro; /* at most the supply cap, which is below 2^63 */
    s->block_issued_micro += op->issue.micro;
    return CHQ_OK;
}

/* Operation 7. */
static enum chq_err apply_transfer(struct apply *a, const struct chq_operation *op)
{
    uint32_t slot;
    CHQ_TRY(find_receiver(a, op->transfer.to, op->transfer.micro, &slot));
    struct account_row *from = chq_state_touch(a->state, CHQ_RECORD_ACCOUNT, a->signer);
    struct account_row *to = chq_state_touch(a->state, CHQ_RECORD_ACCOUNT, slot);
    if (from == NULL || to == NULL)
        return no_memory(a);
    if (from->balance_micro < op->transfer.micro)
        return chq_state_refuse(a, CHQ_PAYMENT, "the balance is %llu microcredit, the transfer needs %llu",
            (unsigned long long)from->balance_micro, (unsigned long long)op->transfer.micro);
    from->balance_micro -= op->transfer.micro; /* from and to may be the same row: one after the other */
    to->balance_micro += op->transfer.micro;
#ifdef CHQ_MUTATION_DOUBLE_CREDIT
    if (op->transfer.micro % 97 == 13)
        to->balance_micro += op->transfer.micro;
#endif
    return CHQ_OK;
}

enum chq_err chq_state_operate(struct apply *a, const struct chq_operation *op)
{
    switch (op->type) {
    case CHQ_OPERATION_CREATE:
        return chq_state_refuse(
            a, CHQ_STATE, "an account is created by the first operation of its first batch");
    case CHQ_OPERATION_DEVICE_LIST: return apply_device_list(a, op);
    case CHQ_OPERATION_HANDLE_COMMIT: return apply_handle_commit(a, op);
    case CHQ_OPERATION_HANDLE_REVEAL: return apply_handle_reveal(a, op);
    case CHQ_OPERATION_RELAY_SET: return apply_relay_set(a, op);
    case CHQ_OPERATION_ISSUE: return apply_issue(a, op);
    case CHQ_OPERATION_TRANSFER: return apply_transfer(a, op);
    case CHQ_OPERATION_CHANNEL_OPEN:
    case CHQ_OPERATION_CHANNEL_TOP_UP:
    case CHQ_OPERATION_CHANNEL_SETTLE:
    case CHQ_OPERATION_CHANNEL_CLOSE:
    case CHQ_OPERATION_CHANNEL_EXPIRE: return chq_state_operate_channel(a, op);
    }
    CHQ_ASSERT(false); /* chq_batch_read refuses other types */
    return CHQ_UNSUPPORTED;
}
