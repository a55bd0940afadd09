/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CHQ_CORE_WIRE_LEDGER_FRAME_H
#define CHQ_CORE_WIRE_LEDGER_FRAME_H

#include <stdbool.h>

#include "core/base/limits.h"
#include "core/wire/header.h"
#include "core/wire/record.h"

/*
 * Requests to a ledger and their replies (docs/protocol.md section 6). On a stream each is a frame: u32 length, at
 * most CHQ_LEDGER_FRAME_BYTES_MAX, then the CBOR that these functions read and write. Replies come in the order of
 * requests.
 */

#define CHQ_LEDGER_FRAME_HEAD_BYTES 4

enum chq_ledger_request_type { CHQ_LEDGER_INFO = 1, CHQ_LEDGER_SUBMIT = 2, CHQ_LEDGER_QUERY = 3 };

struct chq_ledger_request {
    enum chq_ledger_request_type type;
    struct chq_bytes signed_batch; /* SUBMIT */
    enum chq_record_kind kind; /* QUERY */
    uint8_t key[32]; /* QUERY */
};

CHQ_MUST_CHECK enum chq_err chq_ledger_request_read(struct chq_bytes in, struct chq_ledger_request *out);
void chq_ledger_request_put(struct chq_writer *w, const struct chq_ledger_request *in);

struct chq_ledger_reply {
    enum chq_ledger_request_type type;
    enum chq_err err; /* when not CHQ_OK, no field but `reason` is there */
    struct chq_bytes reason; /* human text, may be empty */
    struct chq_bytes chain_id; /* INFO */
    uint64_t height; /* INFO; SUBMIT: the block that holds the batch, durable */
    struct chq_bytes signed_header; /* INFO, QUERY */
    uint64_t issued_micro, balances_micro, deposits_micro; /* INFO */
    struct chq_bytes
        validators; /* INFO: encoded array (validator.h), empty: not told. For an operator who sets up
                                    beside a ledger of their own; clients trust only what their invitation says */
    bool present; /* QUERY: there is such a record, and `value` is it */
    struct chq_bytes value, proof; /* QUERY */
};

CHQ_MUST_CHECK enum chq_err chq_ledger_reply_read(struct chq_bytes in, struct chq_ledger_reply *out);
void chq_ledger_reply_put(struct chq_writer *w, const struct chq_ledger_reply *in);

#endif
