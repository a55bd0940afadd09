/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CHQ_RELAY_METER_METER_H
#define CHQ_RELAY_METER_METER_H

#include "core/base/gauge.h"
#include "core/base/limits.h"
#include "core/wire/frame.h"
#include "core/wire/record.h"

/*
 * What each channel was served, has paid and may still be served (docs/protocol.md section 7, 'Payment rule'), without
 * I/O. Per channel: full limit = (t + 1) * Q for t tokens held, never above what chain and deposit can pay; the gauge
 * that TURN adds to gets that limit less what is reserved for messages under way. A message is reserved before it is
 * stored or delivered and charged when it is acknowledged, so carried + reserved never passes the full limit.
 *
 * The shell does the actions in this order: persist, forget, send, settle, refresh. As in the mailbox, what promises
 * something is sent only after the STORED event.
 */
struct chq_meter;

struct chq_meter_config {
    uint8_t relay_id[CHQ_ID_BYTES];
    uint64_t price_micro, quantum_bytes; /* my price list; quantum >= CHQ_METER_QUANTUM_BYTES_MIN */
    uint64_t settle_after_s;
    uint32_t connections_max, channels_max;
};

#define CHQ_METER_EXPIRY_MARGIN_S 120 /* no service this near to a channel's expiry */
#define CHQ_METER_NONE            UINT32_MAX

/* A channel as the database keeps it. */
struct chq_meter_row {
    uint8_t id[CHQ_ID_BYTES];
    struct chq_channel_record record; /* as last proved; last_index and last_token are what is settled */
    uint64_t index; /* newest token held */
    uint8_t token[32];
    uint64_t carried_bytes;
};

enum chq_meter_event_type {
    CHQ_METER_ATTACH = 1, /* ATTACH came and the channel was looked up */
    CHQ_METER_TOKEN, /* TOKEN came */
    CHQ_METER_CLOSED, /* the connection went; not between a frame of it and the STORED event */
    CHQ_METER_STORED, /* all persist actions since the last STORED are durable, or none is */
    CHQ_METER_FLUSH, /* about to commit: write down what was carried */
    CHQ_METER_TIMEOUT, /* the deadline has come */
    CHQ_METER_SETTLED, /* the answer to the settle actions of one step */
    CHQ_METER_RECORD, /* the answer to a refresh action */
    CHQ_METER_SHUTDOWN /* settle everything now, serve nothing more */
};

struct chq_meter_event {
    enum chq_meter_event_type type;
    uint64_t now_s; /* wall clock: expiries are on it */
    uint64_t now_ms; /* monotonic */
    uint32_t connection;
    union {
        struct {
            const struct chq_frame *frame;
            const uint8_t *challenge; /* 32 bytes */
            enum chq_err err; /* of the look-up; CHQ_OK: proved */
            const struct chq_channel_record *record; /* NULL: proved absent */
        } attach;
        struct {
            const struct chq_frame *frame;
        } token;
        struct {
            enum chq_err err;
        } stored;
        struct {
            bool all; /* look at every channel, not only at those that messages moved (TURN adds unseen) */
        } flush;
        struct {
            enum chq_err
                err; /* CHQ_OK: in a durable block; CHQ_IO, CHQ_AGAIN: not known or not now; else refused */
        } settled;
        struct {
            uint32_t slot;
            const uint8_t *channel_id; /* of the slot when it was asked for */
            enum chq_err err;
            const struct chq_channel_record *record;
        } record;
    };
};

struct chq_meter_record {
    enum chq_meter_record_type {
        CHQ_METER_SAVE = 1, /* the whole row */
        CHQ_METER_SAVE_CARRIED, /* row.id, row.carried_bytes */
        CHQ_METER_DELETE /* row.id */
    } type;
    struct chq_meter_row row;
};

struct chq_meter_send {
    uint32_t connection;
    struct chq_frame frame; /* ATTACHED, CREDIT or ERROR; texts are constant */
};

struct chq_meter_settle {
    uint64_t number, index;
    uint8_t token[32];
};

struct chq_meter_actions { /* valid until the next step */
    struct {
        const struct chq_meter_record *v;
        size_t n;
    } persist;
    struct {
        const uint32_t
            *v; /* slots: withdraw their TURN credentials now, their gauges go with the next step */
        size_t n;
    } forget;
    struct {
        const struct chq_meter_send *v;
        size_t n;
    } send;
    struct {
        const struct chq_meter_settle *v; /* one channel settle operation; answer with SETTLED */
        size_t n;
    } settle;
    struct {
        const uint32_t *v; /* slots: look their channels up; answer with RECORD */
        size_t n;
    } refresh;
};

CHQ_MUST_CHECK enum chq_err chq_meter_new(struct chq_meter **out, const struct chq_meter_config *config);
void chq_meter_free(struct chq_meter *meter);
/* Give back a row of the database, before the first step. CHQ_MALFORMED, CHQ_LIMIT, CHQ_NO_MEMORY. */
CHQ_MUST_CHECK enum chq_err chq_meter_load(struct chq_meter *meter, const struct chq_meter_row *row);

/* Take one event. CHQ_NO_MEMORY: nothing changed, no actions. */
CHQ_MUST_CHECK enum chq_err chq_meter_step(
    struct chq_meter *meter, const struct chq_meter_event *in, struct chq_meter_actions *out);
/* Return at which now_ms to send a TIMEOUT event. */
uint64_t chq_meter_deadline_ms(const struct chq_meter *meter);

/* Return the slot of the channel that pays for the connection, CHQ_METER_NONE when none is attached. */
uint32_t chq_meter_channel_of(const struct chq_meter *meter, uint32_t connection);
/* Return the slot's gauge: it stays in its place until after a forget action for the slot. */
struct chq_gauge *chq_meter_gauge(struct chq_meter *meter, uint32_t slot);
const uint8_t *chq_meter_channel_id(const struct chq_meter *meter, uint32_t slot);

/*
 * Reserve an envelope that the connection PUTs. CHQ_STATE: no channel attached, or it is closing; CHQ_PAYMENT: the
 * unpaid bytes with this one pass the quantum; CHQ_AGAIN: they would if what is under way were acknowledged.
 */
CHQ_MUST_CHECK enum chq_err chq_meter_reserve_put(
    struct chq_meter *meter, uint32_t connection, uint64_t bytes);
/* Return how many bytes may be delivered to the connection now; room for one PUT is left aside. */
uint64_t chq_meter_window(const struct chq_meter *meter, uint32_t connection);
/* Reserve `bytes` within what chq_meter_window just returned. */
void chq_meter_reserve_deliver(struct chq_meter *meter, uint32_t connection, uint64_t bytes);
/* Give a reservation back and, when it was served, charge it. */
void chq_meter_settle_reservation(
    struct chq_meter *meter, uint32_t connection, bool put, bool served, uint64_t bytes);

struct chq_meter_totals {
    uint64_t channels, attached;
    uint64_t carried_bytes; /* of all channels known here */
    uint64_t earned_micro, settled_micro; /* tokens held, tokens settled */
};
void chq_meter_totals(const struct chq_meter *meter, struct chq_meter_totals *out);
/* Copy the row of a slot that is in use and return true; slots are below the number that chq_meter_slots returns. */
bool chq_meter_row(const struct chq_meter *meter, uint32_t slot, struct chq_meter_row *out);
uint32_t chq_meter_slots(const struct chq_meter *meter);

#endif
