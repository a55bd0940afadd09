/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CHQ_CORE_WIRE_CONTENT_H
#define CHQ_CORE_WIRE_CONTENT_H

#include "core/base/bytes.h"
#include "core/base/limits.h"
#include "core/wire/id.h"

/* What an envelope carries, docs/protocol.md section 4: {0: kind, 1: message id, 2: sent at, unix ms, ..., 9: order}.
 */
enum chq_content_kind {
    CHQ_CONTENT_TEXT = 1,
    CHQ_CONTENT_RECEIPT = 2,
    CHQ_CONTENT_HELLO = 3,
    CHQ_CONTENT_CALL = 4
};

struct chq_content {
    enum chq_content_kind kind;
    uint8_t message_id[CHQ_MESSAGE_ID_BYTES];
    uint64_t sent_ms;
    uint64_t order; /* 1 and up: counts what this device sent to that device, over all sessions and queues */
    union {
        struct {
            struct chq_bytes utf8; /* 1 to CHQ_TEXT_BYTES_MAX, borrowed */
        } text;
        struct { /* these were delivered and stored */
            size_t n; /* 1 to CHQ_RECEIPT_IDS_MAX */
            uint8_t ids[CHQ_RECEIPT_IDS_MAX][CHQ_MESSAGE_ID_BYTES];
        } receipt;
        struct { /* who I am, and the queue where you reach me */
            uint8_t account_id[CHQ_ACCOUNT_ID_BYTES];
            struct chq_bytes handle; /* or empty for none; check with chq_handle_is_valid; borrowed */
            uint8_t relay_id[CHQ_RELAY_ID_BYTES];
            uint8_t queue_id[CHQ_QUEUE_ID_BYTES];
        } hello;
        struct {
            uint8_t call_id[CHQ_CALL_ID_BYTES];
            struct chq_bytes signal; /* at most CHQ_CALL_SIGNAL_BYTES_MAX, borrowed; p2p/signal reads it */
        } call;
    };
};

/* Append `content` to `w`; CHQ_LIMIT or CHQ_MALFORMED sticks to the writer when a field is out of its range. */
void chq_content_write(struct chq_writer *w, const struct chq_content *content);

/* Read the content that is all of `in`; views in `out` are borrowed from `in`. CHQ_MALFORMED, or CHQ_UNSUPPORTED for a
 * kind that this version does not know (then kind, id, time and order are set, so that it can be passed over). */
CHQ_MUST_CHECK enum chq_err chq_content_read(struct chq_content *out, struct chq_bytes in);

#endif
