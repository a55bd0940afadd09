/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CHQ_CORE_WIRE_FRAME_H
#define CHQ_CORE_WIRE_FRAME_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/bytes.h"
#include "core/base/limits.h"
#include "core/wire/id.h"

/*
 * The frames between a client and a relay (docs/protocol.md section 7): one WebSocket binary message each, the map
 * {0: type, 1: request id, 2...: fields}. Numbers are those of the wire.
 */
enum chq_frame_type {
    CHQ_FRAME_HELLO = 1,
    CHQ_FRAME_WELCOME = 2,
    CHQ_FRAME_ATTACH = 3,
    CHQ_FRAME_ATTACHED = 4,
    CHQ_FRAME_TOKEN = 5,
    CHQ_FRAME_CREDIT = 6,
    CHQ_FRAME_PUT = 7,
    CHQ_FRAME_STORED = 8,
    CHQ_FRAME_QUEUE = 9,
    CHQ_FRAME_SUBSCRIBE = 10,
    CHQ_FRAME_DELIVER = 11,
    CHQ_FRAME_ACK = 12,
    CHQ_FRAME_LEDGER = 13,
    CHQ_FRAME_LEDGER_REPLY = 14,
    CHQ_FRAME_TURN = 15,
    CHQ_FRAME_TURN_GRANT = 16,
    CHQ_FRAME_PREKEYS = 17,
    CHQ_FRAME_PREKEY_GET = 18,
    CHQ_FRAME_PREKEY = 19,
    CHQ_FRAME_GRANT = 20,
    CHQ_FRAME_OK = 21,
    CHQ_FRAME_ERROR = 22,
    CHQ_FRAME_PING = 23
};

#define CHQ_RELAY_PROTOCOL_VERSION 1
#define CHQ_ID_BYTES               32 /* relay, queue, channel and account ids, queue keys, challenges */
#define CHQ_PUT_ID_BYTES           16

enum chq_queue_kind { CHQ_QUEUE_CONTACT = 0, CHQ_QUEUE_FRONT_DOOR = 1 };

/*
 * One frame. Byte arrays are copies, views (struct chq_bytes) are borrowed: after chq_frame_read from the bytes
 * that were read, for chq_frame_write from the caller. Which member of the union counts is said by `type`;
 * OK, PING and TURN have none.
 */
struct chq_frame {
    enum chq_frame_type type;
    uint64_t id; /* request id; 0 in what the relay sends on its own */
    union {
        struct {
            uint64_t version;
            struct chq_bytes chain_id; /* text */
        } hello;
        struct {
            uint64_t version;
            uint8_t relay_id[CHQ_ID_BYTES];
            uint8_t challenge[CHQ_ID_BYTES];
            uint64_t quantum_bytes;
            uint64_t price_micro;
            uint64_t time_s;
            uint64_t grant_micro;
        } welcome;
        struct {
            uint8_t channel_id[CHQ_ID_BYTES];
            uint8_t signature[64]; /* of chq_frame_attach_message */
        } attach;
        struct {
            uint8_t channel_id[CHQ_ID_BYTES];
            uint64_t carried_bytes;
            uint64_t index;
        } attached;
        struct {
            uint8_t channel_id[CHQ_ID_BYTES];
            uint64_t index;
            uint8_t token[32];
        } token;
        struct {
            uint8_t channel_id[CHQ_ID_BYTES];
            uint64_t index;
            uint64_t carried_bytes;
        } credit;
        struct {
            uint8_t queue_id[CHQ_ID_BYTES];
            uint8_t put_id[CHQ_PUT_ID_BYTES];
            struct chq_bytes envelope; /* 1 to CHQ_ENVELOPE_BYTES_MAX */
        } put;
        struct {
            uint8_t put_id[CHQ_PUT_ID_BYTES];
        } stored;
        struct {
            uint8_t queue_key[CHQ_ID_BYTES];
            uint64_t kind; /* enum chq_queue_kind */
            uint8_t signature[64]; /* of chq_frame_queue_message */
        } queue;
        struct {
            uint8_t queue_key[CHQ_ID_BYTES];
            uint8_t signature[64]; /* of chq_frame_subscribe_message */
        } subscribe;
        struct {
            uint8_t queue_id[CHQ_ID_BYTES];
            uint64_t sequence;
            uint8_t put_id[CHQ_PUT_ID_BYTES];
            struct chq_bytes envelope; /* 1 to CHQ_ENVELOPE_BYTES_MAX */
            uint64_t stored_at_s;
        } deliver;
        struct {
            uint8_t queue_id[CHQ_ID_BYTES];
            uint64_t sequence;
        } ack;
        struct {
            struct chq_bytes request; /* 1 to CHQ_FRAME_LEDGER_BYTES_MAX */
        } ledger;
        struct {
            struct chq_bytes reply; /* 1 to CHQ_FRAME_LEDGER_BYTES_MAX */
        } ledger_reply;
        struct {
            struct chq_bytes username, password, realm; /* text, 1 to 64 bytes each */
            uint64_t valid_s;
            struct chq_bytes host; /* text; empty: the host of this connection */
            uint64_t port;
        } turn_grant;
        struct {
            uint8_t queue_key[CHQ_ID_BYTES];
            uint8_t signature[64]; /* of chq_frame_prekeys_message */
            struct chq_bytes bundle; /* 1 to CHQ_PREKEY_BUNDLE_BYTES_MAX */
            uint32_t one_time_count;
            struct chq_bytes one_time[CHQ_ONE_TIME_PREKEYS_MAX]; /* 1 to CHQ_ONE_TIME_PREKEY_BYTES_MAX each */
        } prekeys;
        struct {
            uint8_t queue_id[CHQ_ID_BYTES];
        } prekey_get;
        struct {
            struct chq_bytes bundle;
            struct chq_bytes one_time; /* size 0: there is none left */
            uint64_t left;
        } prekey;
        struct {
            uint8_t account_id[CHQ_ID_BYTES];
        } grant;
        struct {
            uint64_t code; /* enum chq_err; a code this build does not know reads as it is */
            struct chq_bytes text; /* at most CHQ_TEXT_ERROR_BYTES_MAX, may be empty */
        } error;
    };
};

/*
 * Append `frame` to `w`. Return the writer's sticky error; CHQ_MALFORMED when a field is outside its limits, a text
 * is not UTF-8 or the type is unknown; CHQ_LIMIT when the frame would pass CHQ_FRAME_BYTES_MAX.
 */
CHQ_MUST_CHECK enum chq_err chq_frame_write(struct chq_writer *w, const struct chq_frame *frame);

/*
 * Read one frame that fills `in` exactly. CHQ_LIMIT above CHQ_FRAME_BYTES_MAX; CHQ_UNSUPPORTED for well-formed CBOR of
 * an unknown type (then out->id is set and all else zero); CHQ_MALFORMED for all else that is wrong. On error `out`
 * is zeroed but for that id.
 */
CHQ_MUST_CHECK enum chq_err chq_frame_read(struct chq_bytes in, struct chq_frame *out);

/* Return the type's name as in the specification ("PUT"), "?" when unknown. For logs and traces. */
const char *chq_frame_type_name(enum chq_frame_type type);

/* What is signed, with the domain that belongs to it; both sides build it here. */
#define CHQ_DOMAIN_ATTACH    "chasqui attach v1"
#define CHQ_DOMAIN_QUEUE_NEW "chasqui queue new v1"
#define CHQ_DOMAIN_SUBSCRIBE "chasqui subscribe v1"
#define CHQ_DOMAIN_PREKEYS   "chasqui prekeys v1"

/* relay id, challenge, channel id */
void chq_frame_attach_message(uint8_t out[96], const uint8_t relay_id[CHQ_ID_BYTES],
    const uint8_t challenge[CHQ_ID_BYTES], const uint8_t channel_id[CHQ_ID_BYTES]);
/* relay id, challenge, kind u8 */
void chq_frame_queue_message(uint8_t out[65], const uint8_t relay_id[CHQ_ID_BYTES],
    const uint8_t challenge[CHQ_ID_BYTES], uint64_t kind);
/* relay id, challenge, queue id */
void chq_frame_subscribe_message(uint8_t out[96], const uint8_t relay_id[CHQ_ID_BYTES],
    const uint8_t challenge[CHQ_ID_BYTES], const uint8_t queue_id[CHQ_ID_BYTES]);
/* relay id, challenge, H("chasqui prekeys v1", size u32 and bytes of the bundle and of each one-time prekey in
 * turn): the sizes keep the parts apart. Reads only the bundle and the one-time prekeys of `frame`, a PREKEYS. */
void chq_frame_prekeys_message(uint8_t out[96], const uint8_t relay_id[CHQ_ID_BYTES],
    const uint8_t challenge[CHQ_ID_BYTES], const struct chq_frame *frame);

#endif
