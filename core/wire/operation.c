/* SPDX-License-Identifier: Apache-2.0 */
#include "core/wire/operation.h"

#include <string.h>

#include "core/crypto/hash.h"
#include "core/wire/cbor.h"

#define SUPPLY_MAX ((uint64_t)CHQ_MICROCREDIT_SUPPLY_MAX)

static void get_transfer(struct chq_reader *r, struct chq_cbor_map *m, uint8_t to[32], uint64_t *micro)
{
    chq_cbor_need(r, m, 1);
    chq_cbor_get_fixed(r, to, 32);
    chq_cbor_need(r, m, 2);
    *micro = chq_cbor_get_uint_max(r, SUPPLY_MAX);
}

static void put_transfer(struct chq_writer *w, const uint8_t to[32], uint64_t micro)
{
    chq_cbor_pair_bytes(w, 1, to, 32);
    chq_cbor_pair_uint(w, 2, micro);
}

static void get_terms(struct chq_reader *r, struct chq_cbor_map *m, struct chq_channel_terms *out)
{
    chq_cbor_need(r, m, 1);
    chq_cbor_get_fixed(r, out->payee, sizeof out->payee);
    chq_cbor_need(r, m, 2);
    out->deposit_micro = chq_cbor_get_uint_max(r, SUPPLY_MAX);
    chq_cbor_need(r, m, 3);
    chq_cbor_get_fixed(r, out->chain_root, sizeof out->chain_root);
    chq_cbor_need(r, m, 4);
    out->tokens = chq_cbor_get_uint_max(r, CHQ_TOKENS_PER_CHANNEL_MAX);
    chq_cbor_need(r, m, 5);
    out->price_micro = chq_cbor_get_uint_max(r, SUPPLY_MAX);
    chq_cbor_need(r, m, 6);
    out->quantum_bytes = chq_cbor_get_uint(r);
    chq_cbor_need(r, m, 7);
    out->expiry_s = chq_cbor_get_uint(r);
    chq_cbor_need(r, m, 8);
    chq_cbor_get_fixed(r, out->attach_key, sizeof out->attach_key);
    if (out->tokens == 0 || out->price_micro == 0 || out->quantum_bytes == 0)
        chq_reader_fail(r, CHQ_MALFORMED);
}

static void put_terms(struct chq_writer *w, const struct chq_channel_terms *in)
{
    chq_cbor_pair_bytes(w, 1, in->payee, sizeof in->payee);
    chq_cbor_pair_uint(w, 2, in->deposit_micro);
    chq_cbor_pair_bytes(w, 3, in->chain_root, sizeof in->chain_root);
    chq_cbor_pair_uint(w, 4, in->tokens);
    chq_cbor_pair_uint(w, 5, in->price_micro);
    chq_cbor_pair_uint(w, 6, in->quantum_bytes);
    chq_cbor_pair_uint(w, 7, in->expiry_s);
    chq_cbor_pair_bytes(w, 8, in->attach_key, sizeof in->attach_key);
}

static struct chq_bytes get_one_bytes(struct chq_reader *r, struct chq_cbor_map *m, size_t max)
{
    chq_cbor_need(r, m, 1);
    struct chq_bytes b = chq_cbor_get_bytes(r, max);
    if (b.size == 0)
        chq_reader_fail(r, CHQ_MALFORMED);
    return b;
}

static void get_fields(struct chq_reader *r, struct chq_cbor_map *m, struct chq_operation *out)
{
    switch (out->type) {
    case CHQ_OPERATION_CREATE: out->create.inception = get_one_bytes(r, m, CHQ_INCEPTION_BYTES_MAX); return;
    case CHQ_OPERATION_DEVICE_LIST:
        out->device_list.signed_list = get_one_bytes(r, m, CHQ_DEVICE_LIST_BYTES_MAX);
        return;
    case CHQ_OPERATION_HANDLE_COMMIT:
        chq_cbor_need(r, m, 1);
        chq_cbor_get_fixed(r, out->handle_commit.commitment, sizeof out->handle_commit.commitment);
        return;
    case CHQ_OPERATION_HANDLE_REVEAL:
        chq_cbor_need(r, m, 1);
        out->handle_reveal.handle = chq_cbor_get_text(r, CHQ_HANDLE_CHARS_MAX);
        chq_cbor_need(r, m, 2);
        chq_cbor_get_fixed(r, out->handle_reveal.salt, sizeof out->handle_reveal.salt);
        return;
    case CHQ_OPERATION_RELAY_SET:
        out->relay_set.record = get_one_bytes(r, m, CHQ_RELAY_RECORD_BYTES_MAX);
        return;
    case CHQ_OPERATION_ISSUE: get_transfer(r, m, out->issue.to, &out->issue.micro); return;
    case CHQ_OPERATION_TRANSFER: get_transfer(r, m, out->transfer.to, &out->transfer.micro); return;
    case CHQ_OPERATION_CHANNEL_OPEN: get_terms(r, m, &out->channel_open); return;
    case CHQ_OPERATION_CHANNEL_TOP_UP:
        get_transfer(r, m, out->channel_top_up.channel, &out->channel_top_up.micro);
        return;
    case CHQ_OPERATION_CHANNEL_SETTLE:
        out->channel_settle.records =
            get_one_bytes(r, m, (size_t)CHQ_SETTLEMENTS_PER_BATCH_MAX * CHQ_SETTLEMENT_BYTES);
        if (out->channel_settle.records.size % CHQ_SETTLEMENT_BYTES != 0)
            chq_reader_fail(r, CHQ_MALFORMED);
        return;
    case CHQ_OPERATION_CHANNEL_CLOSE:
    case CHQ_OPERATION_CHANNEL_EXPIRE:
        chq_cbor_need(r, m, 1);
        chq_cbor_get_fixed(r, out->channel_close.channel, sizeof out->channel_close.channel);
        return;
    }
    chq_reader_fail(r, CHQ_MALFORMED);
}

void chq_operation_get(struct chq_reader *r, struct chq_operation *out)
{
    *out = (struct chq_operation){0};
    struct chq_cbor_map m = chq_cbor_get_map(r, 9);
    chq_cbor_need(r, &m, 0);
    out->type = (enum chq_operation_type)chq_cbor_get_uint_max(r, CHQ_OPERATION_CHANNEL_EXPIRE);
    if (r->err == CHQ_OK)
        get_fields(r, &m, out);
    chq_cbor_map_end(r, &m);
    if (r->err != CHQ_OK)
        *out = (struct chq_operation){0};
}

static void put_one_bytes(struct chq_writer *w, struct chq_bytes v)
{
    chq_cbor_pair_bytes(w, 1, v.data, v.size);
}

void chq_operation_put(struct chq_writer *w, const struct chq_operation *op)
{
    static const uint8_t pairs[] = {0, 2, 2, 2, 3, 2, 3, 3, 9, 3, 2, 2, 2};
    if (op->type < CHQ_OPERATION_CREATE || op->type > CHQ_OPERATION_CHANNEL_EXPIRE) {
        chq_writer_fail(w, CHQ_MALFORMED);
        return;
    }
    chq_cbor_put_map(w, pairs[op->type]);
    chq_cbor_pair_uint(w, 0, op->type);
    switch (op->type) {
    case CHQ_OPERATION_CREATE: put_one_bytes(w, op->create.inception); break;
    case CHQ_OPERATION_DEVICE_LIST: put_one_bytes(w, op->device_list.signed_list); break;
    case CHQ_OPERATION_HANDLE_COMMIT:
        chq_cbor_pair_bytes(w, 1, op->handle_commit.commitment, sizeof op->handle_commit.commitment);
        break;
    case CHQ_OPERATION_HANDLE_REVEAL:
        chq_cbor_pair_text(w, 1, op->handle_reveal.handle);
        chq_cbor_pair_bytes(w, 2, op->handle_reveal.salt, sizeof op->handle_reveal.salt);
        break;
    case CHQ_OPERATION_RELAY_SET: put_one_bytes(w, op->relay_set.record); break;
    case CHQ_OPERATION_ISSUE: put_transfer(w, op->issue.to, op->issue.micro); break;
    case CHQ_OPERATION_TRANSFER: put_transfer(w, op->transfer.to, op->transfer.micro); break;
    case CHQ_OPERATION_CHANNEL_OPEN: put_terms(w, &op->channel_open); break;
    case CHQ_OPERATION_CHANNEL_TOP_UP:
        put_transfer(w, op->channel_top_up.channel, op->channel_top_up.micro);
        break;
    case CHQ_OPERATION_CHANNEL_SETTLE: put_one_bytes(w, op->channel_settle.records); break;
    case CHQ_OPERATION_CHANNEL_CLOSE:
    case CHQ_OPERATION_CHANNEL_EXPIRE:
        chq_cbor_pair_bytes(w, 1, op->channel_close.channel, sizeof op->channel_close.channel);
        break;
    }
}

const char *chq_operation_name(enum chq_operation_type type)
{
    switch (type) {
    case CHQ_OPERATION_CREATE: return "create";
    case CHQ_OPERATION_DEVICE_LIST: return "device list";
    case CHQ_OPERATION_HANDLE_COMMIT: return "handle commit";
    case CHQ_OPERATION_HANDLE_REVEAL: return "handle reveal";
    case CHQ_OPERATION_RELAY_SET: return "relay set";
    case CHQ_OPERATION_ISSUE: return "issue";
    case CHQ_OPERATION_TRANSFER: return "transfer";
    case CHQ_OPERATION_CHANNEL_OPEN: return "channel open";
    case CHQ_OPERATION_CHANNEL_TOP_UP: return "channel top up";
    case CHQ_OPERATION_CHANNEL_SETTLE: return "channel settle";
    case CHQ_OPERATION_CHANNEL_CLOSE: return "channel close";
    case CHQ_OPERATION_CHANNEL_EXPIRE: return "channel expire";
    }
    return "unknown";
}

void chq_settlement_load(struct chq_settlement *out, const uint8_t in[CHQ_SETTLEMENT_BYTES])
{
    out->number = chq_load_u64(in);
    out->index = chq_load_u64(in + 8);
    memcpy(out->token, in + 16, sizeof out->token);
}

void chq_settlement_store(uint8_t out[CHQ_SETTLEMENT_BYTES], const struct chq_settlement *in)
{
    chq_store_u64(out, in->number);
    chq_store_u64(out + 8, in->index);
    memcpy(out + 16, in->token, sizeof in->token);
}

void chq_channel_id(uint8_t out[CHQ_ID_BYTES], struct chq_bytes chain_id, const uint8_t payer[CHQ_ID_BYTES],
    uint64_t nonce, uint32_t index)
{
    uint8_t numbers[12];
    chq_store_u64(numbers, nonce);
    chq_store_u32(numbers + 8, index);
    const struct chq_bytes parts[] = {
        chain_id, chq_bytes(payer, CHQ_ID_BYTES), chq_bytes(numbers, sizeof numbers)};
    chq_hash(out, "chasqui channel v1", parts, 3);
}

void chq_handle_commitment(uint8_t out[32], struct chq_bytes handle, const uint8_t account[CHQ_ID_BYTES],
    const uint8_t salt[CHQ_SALT_BYTES])
{
    const struct chq_bytes parts[] = {
        handle, chq_bytes(account, CHQ_ID_BYTES), chq_bytes(salt, CHQ_SALT_BYTES)};
    chq_hash(out, "chasqui handle commit v1", parts, 3);
}
