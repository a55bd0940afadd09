/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CHQ_RELAY_MAILBOX_MAILBOX_H
#define CHQ_RELAY_MAILBOX_MAILBOX_H

#include "core/base/limits.h"
#include "core/wire/frame.h"

/*
 * The mailboxes of a relay: queues, messages, prekeys (docs/protocol.md section 7), without I/O. The shell gives one
 * event to chq_mailbox_step and then does the actions, in this order: persist, charge, send. What was persisted since the
 * last STORED event is one transaction; only the STORED event that follows it brings the replies that promise
 * something, so nothing is acknowledged that is not on disk. A transaction that failed is undone here as well.
 *
 * RAM holds per queue about 200 bytes and per stored message 8; envelopes stay on disk and are fetched by the shell
 * when it does a send action.
 *
 * Two clocks: kept_s counts the seconds the relay has been running, over restarts, and decides how long things are
 * kept (a wall clock that jumps ten years deletes no mail); wall_s is what clients are told.
 */
struct chq_mailbox;

struct chq_mailbox_config {
    uint8_t relay_id[CHQ_ID_BYTES];
    uint32_t connections_max; /* connection numbers are below this */
    uint32_t queues_max;
    uint64_t hash_key; /* random: keeps strangers from choosing ids that collide in the index */
};

/* What the database holds, given back at start before the first step. */
struct chq_mailbox_queue_row {
    uint8_t id[CHQ_ID_BYTES];
    uint32_t number; /* 0, 1, 2 ... without gaps */
    uint8_t kind; /* enum chq_queue_kind */
    uint64_t first_sequence; /* the lowest not deleted; at least 1 */
    uint64_t prekey_first, prekey_next; /* one-time prekeys first <= n < next are not given away yet */
    bool has_bundle;
};

enum chq_mailbox_event_type {
    CHQ_MAILBOX_OPENED = 1, /* connection: came, with this challenge */
    CHQ_MAILBOX_CLOSED, /* connection: went; not between a frame of it and the STORED event */
    CHQ_MAILBOX_FRAME, /* PUT, QUEUE, SUBSCRIBE, ACK, PREKEYS or PREKEY_GET came */
    CHQ_MAILBOX_STORED, /* all persist actions since the last STORED are durable (CHQ_OK), or none is */
    CHQ_MAILBOX_WINDOW, /* deliver to connection, at most `bytes` of envelopes */
    CHQ_MAILBOX_TIMEOUT /* the deadline has come */
};

struct chq_mailbox_event {
    enum chq_mailbox_event_type type;
    uint64_t kept_s, wall_s;
    uint32_t connection;
    union {
        struct {
            uint8_t challenge[CHQ_ID_BYTES];
        } opened;
        struct {
            const struct chq_frame *frame; /* borrowed for the call, as are its views */
            bool put_known; /* PUT: the database remembers this put id for this queue */
        } frame;
        struct {
            enum chq_err err;
        } stored;
        struct {
            uint64_t bytes;
        } window;
    };
};

/* One change of the database. Views are borrowed from the event's frame. */
struct chq_mailbox_record {
    enum chq_mailbox_record_type {
        CHQ_MAILBOX_ADD_QUEUE = 1, /* queue, id, kind */
        CHQ_MAILBOX_ADD_MESSAGE, /* queue, sequence, put_id, body, kept_s, wall_s; the put id is remembered too */
        CHQ_MAILBOX_DELETE_MESSAGES, /* queue: all up to sequence; first_sequence becomes one more */
        CHQ_MAILBOX_FORGET_PUTS, /* put ids of before kept_s */
        CHQ_MAILBOX_SET_BUNDLE, /* queue, body */
        CHQ_MAILBOX_ADD_PREKEY, /* queue, sequence (its number), body; prekey_next becomes one more */
        CHQ_MAILBOX_TAKE_PREKEYS /* queue: prekey_first becomes sequence + 1; prekeys below `sequence` can be deleted,
                                    number `sequence` itself may still have to be sent */
    } type;
    uint32_t queue;
    uint8_t kind;
    uint64_t sequence, kept_s, wall_s;
    uint8_t id[CHQ_ID_BYTES];
    uint8_t put_id[CHQ_PUT_ID_BYTES];
    struct chq_bytes body;
};

/* What a served or refused item means for the payer of the connection. */
struct chq_mailbox_charge {
    uint32_t connection;
    bool put; /* a PUT the shell had reserved for; false: DELIVERs it had reserved for */
    bool served; /* charge; false: only give the reservation back */
    uint64_t bytes;
};

struct chq_mailbox_send {
    uint32_t connection;
    uint64_t request_id;
    enum chq_frame_type type; /* STORED, OK, ERROR, DELIVER or PREKEY */
    union {
        uint8_t put_id[CHQ_PUT_ID_BYTES]; /* STORED */
        struct {
            enum chq_err code;
            const char *text; /* constant */
        } error;
        struct {
            uint32_t queue;
            uint64_t sequence;
            uint32_t bytes; /* of the envelope; the shell fetches it and the rest */
            uint8_t queue_id[CHQ_ID_BYTES];
        } deliver;
        struct {
            uint32_t queue;
            bool one_time; /* fetch one-time prekey `number` too */
            uint64_t number, left;
        } prekey;
    };
};

struct chq_mailbox_actions { /* valid until the next step */
    struct {
        const struct chq_mailbox_record *v;
        size_t n;
    } persist;
    struct {
        const struct chq_mailbox_charge *v;
        size_t n;
    } charge;
    struct {
        const struct chq_mailbox_send *v;
        size_t n;
    } send;
    struct {
        const uint32_t
            *v; /* connections that now have something for a WINDOW event; one may stand here twice */
        size_t n;
    } ready;
};

/* Make an empty mailbox. CHQ_NO_MEMORY. */
CHQ_MUST_CHECK enum chq_err chq_mailbox_new(
    struct chq_mailbox **out, const struct chq_mailbox_config *config);
void chq_mailbox_free(struct chq_mailbox *box);

/* Give back what the database holds: queues in the order of their numbers, then messages in the order of queue and
 * sequence. CHQ_MALFORMED: the rows contradict each other (a damaged database); CHQ_LIMIT; CHQ_NO_MEMORY. */
CHQ_MUST_CHECK enum chq_err chq_mailbox_load_queue(
    struct chq_mailbox *box, const struct chq_mailbox_queue_row *row);
CHQ_MUST_CHECK enum chq_err chq_mailbox_load_message(
    struct chq_mailbox *box, uint32_t queue, uint64_t sequence, uint32_t bytes, uint64_t kept_s);

/* Take one event. CHQ_NO_MEMORY: nothing changed, no actions (a frame is then refused by the shell). */
CHQ_MUST_CHECK enum chq_err chq_mailbox_step(
    struct chq_mailbox *box, const struct chq_mailbox_event *in, struct chq_mailbox_actions *out);

/* Find a queue's number; false when there is no such queue. */
bool chq_mailbox_find(const struct chq_mailbox *box, const uint8_t queue_id[CHQ_ID_BYTES], uint32_t *number);
/* Return whether the connection has messages that wait for a WINDOW event. */
bool chq_mailbox_is_ready(const struct chq_mailbox *box, uint32_t connection);
/* Return at which kept_s to send a TIMEOUT event. */
uint64_t chq_mailbox_deadline_s(const struct chq_mailbox *box);

struct chq_mailbox_totals {
    uint64_t queues, messages, bytes;
};
void chq_mailbox_totals(const struct chq_mailbox *box, struct chq_mailbox_totals *out);

#endif
