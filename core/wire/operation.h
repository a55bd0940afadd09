/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CHQ_CORE_WIRE_OPERATION_H
#define CHQ_CORE_WIRE_OPERATION_H

#include <stddef.h>
#include <stdint.h>

#include "core/base/bytes.h"
#include "core/base/err.h"
#include "core/base/limits.h"

/* One ledger instruction (docs/protocol.md section 5). Form is checked here, rules in ledger/state. */

#define CHQ_ID_BYTES         32 /* account, relay, channel and queue ids */
#define CHQ_SALT_BYTES       32
#define CHQ_SETTLEMENT_BYTES 48

enum chq_operation_type {
    CHQ_OPERATION_CREATE = 1,
    CHQ_OPERATION_DEVICE_LIST = 2,
    CHQ_OPERATION_HANDLE_COMMIT = 3,
    CHQ_OPERATION_HANDLE_REVEAL = 4,
    CHQ_OPERATION_RELAY_SET = 5,
    CHQ_OPERATION_ISSUE = 6,
    CHQ_OPERATION_TRANSFER = 7,
    CHQ_OPERATION_CHANNEL_OPEN = 8,
    CHQ_OPERATION_CHANNEL_TOP_UP = 9,
    CHQ_OPERATION_CHANNEL_SETTLE = 10,
    CHQ_OPERATION_CHANNEL_CLOSE = 11,
    CHQ_OPERATION_CHANNEL_EXPIRE = 12
};

struct chq_channel_terms {
    uint8_t payee[CHQ_ID_BYTES];
    uint64_t deposit_micro;
    uint8_t chain_root[32]; /* token 0 of the hash chain */
    uint64_t tokens; /* in the chain: 1 to CHQ_TOKENS_PER_CHANNEL_MAX */
    uint64_t price_micro; /* of one token, at least 1 */
    uint64_t quantum_bytes; /* what one token pays for, at least 1 */
    uint64_t expiry_s;
    uint8_t attach_key[32]; /* Ed25519 key that attaches the channel to a connection */
};

/* Views are borrowed from the bytes that were read, or from the caller who writes. */
struct chq_operation {
    enum chq_operation_type type;
    union {
        struct {
            struct chq_bytes inception; /* the inception map; its H is the account id */
        } create;
        struct {
            struct chq_bytes signed_list; /* Signed device list, section 2 */
        } device_list;
        struct {
            uint8_t commitment[32]; /* chq_handle_commitment */
        } handle_commit;
        struct {
            struct chq_bytes handle;
            uint8_t salt[CHQ_SALT_BYTES];
        } handle_reveal;
        struct {
            struct chq_bytes record; /* core/wire/record.h: chq_relay_record */
        } relay_set;
        struct {
            uint8_t to[CHQ_ID_BYTES];
            uint64_t micro;
        } issue, transfer;
        struct chq_channel_terms channel_open;
        struct {
            uint8_t channel[CHQ_ID_BYTES];
            uint64_t micro;
        } channel_top_up;
        struct {
            struct chq_bytes records; /* whole settlement records, one after another */
        } channel_settle;
        struct {
            uint8_t channel[CHQ_ID_BYTES];
        } channel_close, channel_expire;
    };
};

/*
 * Read one operation at the cursor. CHQ_MALFORMED sticks to the reader: unknown type or field, wrong size, amount
 * above CHQ_MICROCREDIT_SUPPLY_MAX, settlement bytes that are not 1 to CHQ_SETTLEMENTS_PER_BATCH_MAX whole records.
 */
void chq_operation_get(struct chq_reader *r, struct chq_operation *out);

/* Append one operation; errors stick to the writer. */
void chq_operation_put(struct chq_writer *w, const struct chq_operation *op);

/* Return the lower-case English name of a type ("channel open"), or "unknown". */
const char *chq_operation_name(enum chq_operation_type type);

/*
 * A settlement record, 48 bytes:
 *   0  8  channel number (record field 1)
 *   8  8  index of the token
 *  16 32  token
 */
struct chq_settlement {
    uint64_t number, index;
    uint8_t token[32];
};

void chq_settlement_load(struct chq_settlement *out, const uint8_t in[CHQ_SETTLEMENT_BYTES]);
void chq_settlement_store(uint8_t out[CHQ_SETTLEMENT_BYTES], const struct chq_settlement *in);

/* Compute the id of the channel that operation `index` of the batch (payer, nonce) opens (section 1). */
void chq_channel_id(uint8_t out[CHQ_ID_BYTES], struct chq_bytes chain_id, const uint8_t payer[CHQ_ID_BYTES],
    uint64_t nonce, uint32_t index);

/* Compute what a handle commit holds: H("chasqui handle commit v1", handle, account id, salt). */
void chq_handle_commitment(uint8_t out[32], struct chq_bytes handle, const uint8_t account[CHQ_ID_BYTES],
    const uint8_t salt[CHQ_SALT_BYTES]);

#endif
