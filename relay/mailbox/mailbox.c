/* SPDX-License-Identifier: Apache-2.0 */
#include "relay/mailbox/mailbox.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/assert.h"
#include "core/crypto/keys.h"
#include "relay/mailbox/queue.h"

#define RETENTION_S           ((uint64_t)CHQ_RETENTION_DAYS * 24 * 3600)
#define EXPIRY_EVERY_S        3600
#define EXPIRY_QUEUES_AT_ONCE 256

struct connection {
    bool open;
    uint8_t challenge[CHQ_ID_BYTES];
    uint32_t queues_made, subscriptions;
    struct queue *ready, *subscribed; /* list heads */
};

/* A request that was accepted and waits for its transaction. */
struct pending {
    enum chq_frame_type type;
    uint32_t connection;
    uint64_t request_id;
    struct queue *queue;
    uint8_t put_id[CHQ_PUT_ID_BYTES];
    uint32_t put_bytes;
    bool added; /* PUT: a new message; QUEUE: a new queue */
    uint64_t taken; /* PREKEY_GET: the one-time prekey's number */
    bool had_bundle; /* before, for undo */
    uint64_t prekey_first, prekey_next;
};

/* Growing arrays, sized before anything changes. */
#define LIST(type)                                                                                           \
    struct {                                                                                                 \
        type *v;                                                                                             \
        size_t n, cap;                                                                                       \
    }

struct chq_mailbox {
    struct chq_mailbox_config config;
    struct connection *connections;
    struct queue_table queues;
    LIST(struct pending) pending;
    LIST(struct chq_mailbox_record) persist;
    LIST(struct chq_mailbox_charge) charge;
    LIST(struct chq_mailbox_send) send;
    LIST(uint32_t) ready;
    uint64_t expire_at_s;
    uint32_t expire_next; /* queue number where the running sweep goes on; 0: none runs */
    uint64_t kept_s, wall_s; /* of the event being handled */
    uint64_t messages, bytes;
};

static bool reserve(void **v, size_t *cap, size_t need, size_t item)
{
    if (need <= *cap)
        return true;
    size_t grown = *cap == 0 ? 16 : *cap;
    while (grown < need)
        grown *= 2;
    void *p = realloc(*v, grown * item);
    if (p == NULL)
        return false;
    *v = p;
    *cap = grown;
    return true;
}
#define RESERVE(list, more) reserve((void **)&(list).v, &(list).cap, (list).n + (more), sizeof *(list).v)

enum chq_err chq_mailbox_new(struct chq_mailbox **out, const struct chq_mailbox_config *config)
{
    struct chq_mailbox *box = calloc(1, sizeof *box);
    *out = NULL;
    if (box == NULL)
        return CHQ_NO_MEMORY;
    box->config = *config;
    box->connections = calloc(config->connections_max, sizeof *box->connections);
    if (box->connections == NULL) {
        free(box);
        return CHQ_NO_MEMORY;
    }
    box->queues.max = config->queues_max;
    box->queues.hash_key = config->hash_key;
    *out = box;
    return CHQ_OK;
}

void chq_mailbox_free(struct chq_mailbox *box)
{
    if (box == NULL)
        return;
    queue_table_free(&box->queues);
    free(box->connections);
    free(box->pending.v);
    free(box->persist.v);
    free(box->charge.v);
    free(box->send.v);
    free(box->ready.v);
    free(box);
}

enum chq_err chq_mailbox_load_queue(struct chq_mailbox *box, const struct chq_mailbox_queue_row *row)
{
    if (row->number != box->queues.n || row->kind > CHQ_QUEUE_FRONT_DOOR || row->first_sequence < 1 ||
        row->prekey_first > row->prekey_next || queue_find(&box->queues, row->id) != NULL)
        return CHQ_MALFORMED;
    if (box->queues.n >= box->queues.max)
        return CHQ_LIMIT;
    struct queue *queue = queue_add(&box->queues, row->id, row->kind);
    if (queue == NULL)
        return CHQ_NO_MEMORY;
    queue->first = queue->stored_end = queue->end = row->first_sequence;
    queue->delivered = queue->first - 1;
    queue->prekey_first = row->prekey_first;
    queue->prekey_next = row->prekey_next;
    queue->has_bundle = row->has_bundle;
    return CHQ_OK;
}

enum chq_err chq_mailbox_load_message(
    struct chq_mailbox *box, uint32_t number, uint64_t sequence, uint32_t bytes, uint64_t kept_s)
{
    if (number >= box->queues.n || kept_s > UINT32_MAX || bytes > CHQ_ENVELOPE_BYTES_MAX)
        return CHQ_MALFORMED;
    struct queue *queue = box->queues.v[number];
    if (sequence != queue->end)
        return CHQ_MALFORMED;
    if (!queue_reserve(queue))
        return CHQ_NO_MEMORY;
    queue_push(queue, (struct queue_message){bytes, (uint32_t)kept_s});
    queue->stored_end = queue->end;
    box->messages++;
    box->bytes += bytes;
    return CHQ_OK;
}

/* Ready lists, circular: a queue is in its subscriber's exactly while it has something that may be delivered. */
static bool has_deliverable(const struct queue *queue)
{
    return queue->subscriber != QUEUE_NO_CONNECTION && queue->delivered + 1 < queue->stored_end &&
           queue->delivered + 1 - queue->first < CHQ_DELIVER_UNACKNOWLEDGED_MAX;
}

static void update_ready(struct chq_mailbox *box, struct queue *queue)
{
    bool ready = has_deliverable(queue);
    if (ready == queue->is_ready)
        return;
    queue->is_ready = ready;
    struct queue **head = &box->connections[queue->subscriber].ready;
    if (!ready) {
        queue->ready_next->ready_prev = queue->ready_prev;
        queue->ready_prev->ready_next = queue->ready_next;
        if (*head == queue)
            *head = queue->ready_next == queue ? NULL : queue->ready_next;
    } else if (*head == NULL) {
        *head = queue->ready_next = queue->ready_prev = queue;
        box->ready.v[box->ready.n++] = queue->subscriber;
    } else { /* at the tail */
        queue->ready_next = *head;
        queue->ready_prev = (*head)->ready_prev;
        queue->ready_prev->ready_next = queue->ready_next->ready_prev = queue;
    }
}

static void charge(struct chq_mailbox *box, uint32_t connection, bool put, bool served, uint64_t bytes)
{
    if (bytes > 0)
        box->charge.v[box->charge.n++] = (struct chq_mailbox_charge){connection, put, served, bytes};
}

static struct chq_mailbox_send *reply(
    struct chq_mailbox *box, uint32_t connection, uint64_t request_id, enum chq_frame_type type)
{
    struct chq_mailbox_send *send = &box->send.v[box->send.n++];
    *send = (struct chq_mailbox_send){.connection = connection, .request_id = request_id, .type = type};
    return send;
}

static void refuse(struct chq_mailbox *box, uint32_t connection, const struct chq_frame *frame,
    enum chq_err code, const char *why)
{
    struct chq_mailbox_send *send = reply(box, connection, frame->id, CHQ_FRAME_ERROR);
    send->error.code = code;
    send->error.text = why;
    if (frame->type == CHQ_FRAME_PUT)
        charge(box, connection, true, false, frame->put.envelope.size);
}

static struct chq_mailbox_record *persist(
    struct chq_mailbox *box, enum chq_mailbox_record_type type, const struct queue *queue)
{
    struct chq_mailbox_record *record = &box->persist.v[box->persist.n++];
    memset(record, 0, sizeof *record);
    record->type = type;
    record->queue = queue == NULL ? 0 : queue->number;
    return record;
}

static struct pending *pend(
    struct chq_mailbox *box, uint32_t connection, const struct chq_frame *frame, struct queue *queue)
{
    struct pending *pending = &box->pending.v[box->pending.n++];
    *pending = (struct pending){
        .type = frame->type, .connection = connection, .request_id = frame->id, .queue = queue};
    if (queue != NULL) {
        pending->had_bundle = queue->has_bundle;
        pending->prekey_first = queue->prekey_first;
        pending->prekey_next = queue->prekey_next;
    }
    return pending;
}

/* The subscriber goes; what it did not acknowledge is not charged and waits for the next one. */
static void unsubscribe(struct chq_mailbox *box, struct queue *queue)
{
    struct connection *connection = &box->connections[queue->subscriber];
    uint64_t in_flight = 0;
    for (uint64_t s = queue->first; s <= queue->delivered; s++)
        in_flight += queue_at(queue, s)->bytes;
    charge(box, queue->subscriber, false, false, in_flight);
    queue->delivered = queue->stored_end - 1; /* out of the ready list */
    update_ready(box, queue);
    queue->delivered = queue->first - 1;
    if (queue->subscribed_next != NULL)
        queue->subscribed_next->subscribed_prev = queue->subscribed_prev;
    if (queue->subscribed_prev != NULL)
        queue->subscribed_prev->subscribed_next = queue->subscribed_next;
    else
        connection->subscribed = queue->subscribed_next;
    connection->subscriptions--;
    queue->subscriber = QUEUE_NO_CONNECTION;
}

static void subscribe(struct chq_mailbox *box, struct queue *queue, uint32_t number)
{
    struct connection *connection = &box->connections[number];
    if (queue->subscriber != QUEUE_NO_CONNECTION)
        unsubscribe(box, queue);
    queue->subscriber = number;
    queue->subscribed_prev = NULL;
    queue->subscribed_next = connection->subscribed;
    if (connection->subscribed != NULL)
        connection->subscribed->subscribed_prev = queue;
    connection->subscribed = queue;
    connection->subscriptions++;
    update_ready(box, queue);
}

/* The same put id may come twice before the first one is on disk. */
static bool put_is_pending(const struct chq_mailbox *box, const struct queue *queue, const uint8_t *put_id)
{
    for (size_t i = 0; i < box->pending.n; i++) {
        const struct pending *p = &box->pending.v[i];
        if (p->type == CHQ_FRAME_PUT && p->queue == queue && memcmp(p->put_id, put_id, CHQ_PUT_ID_BYTES) == 0)
            return true;
    }
    return false;
}

static enum chq_err on_put(
    struct chq_mailbox *box, uint32_t connection, const struct chq_frame *frame, bool known)
{
    struct queue *queue = queue_find(&box->queues, frame->put.queue_id);
    size_t bytes = frame->put.envelope.size;
    if (queue == NULL) {
        refuse(box, connection, frame, CHQ_NOT_FOUND, "this relay has no such queue");
        return CHQ_OK;
    }
    known = known || put_is_pending(box, queue, frame->put.put_id);
    if (!known &&
        (queue_count(queue) >= CHQ_QUEUE_MESSAGES_MAX || queue->bytes + bytes > CHQ_QUEUE_BYTES_MAX)) {
        refuse(box, connection, frame, CHQ_LIMIT,
            "the queue is full (4096 messages or 16 MiB); it empties when its reader comes");
        return CHQ_OK;
    }
    if (!known && !queue_reserve(queue))
        return CHQ_NO_MEMORY;
    struct pending *pending = pend(box, connection, frame, queue);
    memcpy(pending->put_id, frame->put.put_id, CHQ_PUT_ID_BYTES);
    pending->put_bytes = (uint32_t)bytes;
    pending->added = !known;
    if (known) { /* now, not when it is answered: what is reserved at the commit is written down as carried */
        charge(box, connection, true, false, bytes);
        return CHQ_OK;
    }
    struct chq_mailbox_record *record = persist(box, CHQ_MAILBOX_ADD_MESSAGE, queue);
    record->sequence = queue->end;
    record->kept_s = box->kept_s;
    record->wall_s = box->wall_s;
    record->body = frame->put.envelope;
    memcpy(record->put_id, frame->put.put_id, CHQ_PUT_ID_BYTES);
    queue_push(queue, (struct queue_message){(uint32_t)bytes, (uint32_t)box->kept_s});
    box->messages++;
    box->bytes += bytes;
    return CHQ_OK;
}

static enum chq_err on_queue(struct chq_mailbox *box, uint32_t number, const struct chq_frame *frame)
{
    struct connection *connection = &box->connections[number];
    uint8_t id[CHQ_ID_BYTES], message[65];
    chq_frame_queue_message(message, box->config.relay_id, connection->challenge, frame->queue.kind);
    if (chq_sign_verify(frame->queue.signature, frame->queue.queue_key, CHQ_DOMAIN_QUEUE_NEW,
            chq_bytes(message, sizeof message)) != CHQ_OK) {
        refuse(box, number, frame, CHQ_AUTH,
            "the signature is not by the queue key over this connection's challenge");
        return CHQ_OK;
    }
    chq_queue_id(id, frame->queue.queue_key);
    struct queue *queue = queue_find(&box->queues, id);
    if (queue != NULL && queue->kind != frame->queue.kind) {
        refuse(box, number, frame, CHQ_EXISTS, "the queue exists with the other kind");
        return CHQ_OK;
    }
    if (queue != NULL) {
        pend(box, number, frame, queue);
        return CHQ_OK;
    }
    if (box->queues.n >= box->queues.max || connection->queues_made >= CHQ_QUEUES_PER_CONNECTION_MAX) {
        refuse(box, number, frame, CHQ_LIMIT,
            box->queues.n >= box->queues.max ? "this relay has all the queues it can keep"
                                             : "at most 4096 new queues on one connection");
        return CHQ_OK;
    }
    queue = queue_add(&box->queues, id, (uint8_t)frame->queue.kind);
    if (queue == NULL)
        return CHQ_NO_MEMORY;
    connection->queues_made++;
    pend(box, number, frame, queue)->added = true;
    struct chq_mailbox_record *record = persist(box, CHQ_MAILBOX_ADD_QUEUE, queue);
    record->kind = queue->kind;
    memcpy(record->id, id, CHQ_ID_BYTES);
    return CHQ_OK;
}

static void on_subscribe(struct chq_mailbox *box, uint32_t number, const struct chq_frame *frame)
{
    struct connection *connection = &box->connections[number];
    uint8_t id[CHQ_ID_BYTES], message[96];
    chq_queue_id(id, frame->subscribe.queue_key);
    chq_frame_subscribe_message(message, box->config.relay_id, connection->challenge, id);
    struct queue *queue = queue_find(&box->queues, id);
    if (chq_sign_verify(frame->subscribe.signature, frame->subscribe.queue_key, CHQ_DOMAIN_SUBSCRIBE,
            chq_bytes(message, sizeof message)) != CHQ_OK)
        refuse(box, number, frame, CHQ_AUTH,
            "the signature is not by the queue key over this connection's challenge");
    else if (queue == NULL)
        refuse(box, number, frame, CHQ_NOT_FOUND, "this relay has no such queue; make it with QUEUE");
    else if (connection->subscriptions >= CHQ_QUEUES_PER_CONNECTION_MAX)
        refuse(box, number, frame, CHQ_LIMIT, "at most 4096 queues on one connection");
    else
        pend(box, number, frame, queue);
}

static void on_ack(struct chq_mailbox *box, uint32_t number, const struct chq_frame *frame)
{
    struct queue *queue = queue_find(&box->queues, frame->ack.queue_id);
    uint64_t bytes = 0;
    if (queue == NULL || queue->subscriber != number) {
        refuse(box, number, frame, CHQ_STATE, "this connection is not subscribed to that queue");
        return;
    }
    if (frame->ack.sequence > queue->delivered) {
        refuse(box, number, frame, CHQ_STATE, "that message was not delivered on this connection");
        return;
    }
    if (frame->ack.sequence < queue->first)
        return;
    for (uint64_t s = queue->first; s <= frame->ack.sequence; s++)
        bytes += queue_at(queue, s)->bytes;
    box->messages -= frame->ack.sequence + 1 - queue->first;
    box->bytes -= bytes;
    charge(box, number, false, true, bytes);
    persist(box, CHQ_MAILBOX_DELETE_MESSAGES, queue)->sequence = frame->ack.sequence;
    queue_drop(queue, frame->ack.sequence);
    update_ready(box, queue);
}

static void on_prekeys(struct chq_mailbox *box, uint32_t number, const struct chq_frame *frame)
{
    uint8_t id[CHQ_ID_BYTES], message[96];
    chq_queue_id(id, frame->prekeys.queue_key);
    chq_frame_prekeys_message(message, box->config.relay_id, box->connections[number].challenge, frame);
    struct queue *queue = queue_find(&box->queues, id);
    if (chq_sign_verify(frame->prekeys.signature, frame->prekeys.queue_key, CHQ_DOMAIN_PREKEYS,
            chq_bytes(message, sizeof message)) != CHQ_OK) {
        refuse(box, number, frame, CHQ_AUTH,
            "the signature is not by the queue key over this connection's challenge");
        return;
    }
    if (queue == NULL || queue->kind != CHQ_QUEUE_FRONT_DOOR) {
        refuse(box, number, frame, CHQ_NOT_FOUND,
            "this relay has no such front door; make it with QUEUE, kind 1");
        return;
    }
    pend(box, number, frame, queue);
    persist(box, CHQ_MAILBOX_SET_BUNDLE, queue)->body = frame->prekeys.bundle;
    queue->has_bundle = true;
    for (uint32_t i = 0; i < frame->prekeys.one_time_count; i++) {
        struct chq_mailbox_record *record = persist(box, CHQ_MAILBOX_ADD_PREKEY, queue);
        record->sequence = queue->prekey_next++;
        record->body = frame->prekeys.one_time[i];
    }
    if (queue->prekey_next - queue->prekey_first > CHQ_ONE_TIME_PREKEYS_MAX) {
        queue->prekey_first = queue->prekey_next - CHQ_ONE_TIME_PREKEYS_MAX;
        persist(box, CHQ_MAILBOX_TAKE_PREKEYS, queue)->sequence = queue->prekey_first - 1;
    }
}

static void on_prekey_get(struct chq_mailbox *box, uint32_t number, const struct chq_frame *frame)
{
    struct queue *queue = queue_find(&box->queues, frame->prekey_get.queue_id);
    if (queue == NULL || !queue->has_bundle) {
        refuse(box, number, frame, CHQ_NOT_FOUND, "there are no prekeys for that front door here");
        return;
    }
    struct pending *pending = pend(box, number, frame, queue);
    if (queue->prekey_first == queue->prekey_next)
        return;
    pending->added = true;
    pending->taken = queue->prekey_first++;
    persist(box, CHQ_MAILBOX_TAKE_PREKEYS, queue)->sequence = pending->taken;
}

static enum chq_err on_frame(struct chq_mailbox *box, const struct chq_mailbox_event *in)
{
    const struct chq_frame *frame = in->frame.frame;
    CHQ_ASSERT(in->connection < box->config.connections_max && box->connections[in->connection].open);
    switch (frame->type) {
    case CHQ_FRAME_PUT: return on_put(box, in->connection, frame, in->frame.put_known);
    case CHQ_FRAME_QUEUE: return on_queue(box, in->connection, frame);
    case CHQ_FRAME_SUBSCRIBE: on_subscribe(box, in->connection, frame); break;
    case CHQ_FRAME_ACK: on_ack(box, in->connection, frame); break;
    case CHQ_FRAME_PREKEYS: on_prekeys(box, in->connection, frame); break;
    case CHQ_FRAME_PREKEY_GET: on_prekey_get(box, in->connection, frame); break;
    default: CHQ_ASSERT(false);
    }
    return CHQ_OK;
}

static void complete(struct chq_mailbox *box, const struct pending *p)
{
    struct queue *queue = p->queue;
    struct chq_mailbox_send *send;
    switch (p->type) {
    case CHQ_FRAME_PUT:
        send = reply(box, p->connection, p->request_id, CHQ_FRAME_STORED);
        memcpy(send->put_id, p->put_id, CHQ_PUT_ID_BYTES);
        if (p->added) {
            charge(box, p->connection, true, true, p->put_bytes);
            queue->stored_end++;
            update_ready(box, queue);
        }
        break;
    case CHQ_FRAME_SUBSCRIBE:
        subscribe(box, queue, p->connection);
        reply(box, p->connection, p->request_id, CHQ_FRAME_OK);
        break;
    case CHQ_FRAME_PREKEY_GET:
        send = reply(box, p->connection, p->request_id, CHQ_FRAME_PREKEY);
        send->prekey.queue = queue->number;
        send->prekey.one_time = p->added;
        send->prekey.number = p->taken;
        send->prekey.left = queue->prekey_next - queue->prekey_first;
        break;
    default: reply(box, p->connection, p->request_id, CHQ_FRAME_OK);
    }
}

/* The transaction failed: as if the request had never come. Called newest first. */
static void undo(struct chq_mailbox *box, const struct pending *p)
{
    struct chq_mailbox_send *send = reply(box, p->connection, p->request_id, CHQ_FRAME_ERROR);
    send->error.code = CHQ_IO;
    send->error.text = "the relay could not write to its disk; nothing was stored";
    if (p->type == CHQ_FRAME_PUT && p->added) {
        charge(box, p->connection, true, false, p->put_bytes);
        queue_pop(p->queue);
        box->messages--;
        box->bytes -= p->put_bytes;
    } else if (p->type == CHQ_FRAME_QUEUE && p->added) {
        box->connections[p->connection].queues_made--;
        CHQ_ASSERT(p->queue->number == box->queues.n - 1);
        queue_remove_last(&box->queues);
    } else if (p->type == CHQ_FRAME_PREKEYS || p->type == CHQ_FRAME_PREKEY_GET) {
        p->queue->has_bundle = p->had_bundle;
        p->queue->prekey_first = p->prekey_first;
        p->queue->prekey_next = p->prekey_next;
    }
}

static void on_stored(struct chq_mailbox *box, enum chq_err err)
{
    for (size_t i = 0; err == CHQ_OK && i < box->pending.n; i++)
        complete(box, &box->pending.v[i]);
    for (size_t i = box->pending.n; err != CHQ_OK && i > 0; i--)
        undo(box, &box->pending.v[i - 1]);
    box->pending.n = 0;
}

/* Deliver one message from each ready queue in turn, so that a full one does not hold up the others. */
static enum chq_err on_window(struct chq_mailbox *box, uint32_t number, uint64_t bytes)
{
    struct connection *connection = &box->connections[number];
    while (connection->ready != NULL) {
        struct queue *queue = connection->ready;
        uint64_t sequence = queue->delivered + 1;
        uint32_t size = queue_at(queue, sequence)->bytes;
        if (size > bytes)
            break;
        if (!RESERVE(box->send, 1))
            return box->send.n == 0 ? CHQ_NO_MEMORY : CHQ_OK;
        struct chq_mailbox_send *send = reply(box, number, 0, CHQ_FRAME_DELIVER);
        send->deliver.queue = queue->number;
        send->deliver.sequence = sequence;
        send->deliver.bytes = size;
        memcpy(send->deliver.queue_id, queue->id, CHQ_ID_BYTES);
        bytes -= size;
        queue->delivered = sequence;
        connection->ready = queue->ready_next;
        update_ready(box, queue);
    }
    return CHQ_OK;
}

static void expire_queue(struct chq_mailbox *box, struct queue *queue)
{
    uint64_t last = 0, bytes = 0;
    bool in_flight = queue->subscriber != QUEUE_NO_CONNECTION && queue->delivered >= queue->first;
    if (in_flight) /* with a reader just now: its ACK will delete them */
        return;
    for (uint64_t s = queue->first; s < queue->stored_end; s++) {
        const struct queue_message *message = queue_at(queue, s);
        if (message->kept_s + RETENTION_S > box->kept_s)
            break;
        bytes += message->bytes;
        last = s;
    }
    if (last == 0)
        return;
    box->messages -= last + 1 - queue->first;
    box->bytes -= bytes;
    persist(box, CHQ_MAILBOX_DELETE_MESSAGES, queue)->sequence = last;
    queue_drop(queue, last);
    update_ready(box, queue);
}

static void on_timeout(struct chq_mailbox *box)
{
    if (box->kept_s < box->expire_at_s)
        return;
    for (uint32_t i = 0; i < EXPIRY_QUEUES_AT_ONCE && box->expire_next < box->queues.n; i++)
        expire_queue(box, box->queues.v[box->expire_next++]);
    if (box->expire_next < box->queues.n)
        return; /* the deadline stays in the past: the sweep goes on with the next TIMEOUT */
    box->expire_next = 0;
    box->expire_at_s = box->kept_s + EXPIRY_EVERY_S;
    if (box->kept_s > RETENTION_S)
        persist(box, CHQ_MAILBOX_FORGET_PUTS, NULL)->kept_s = box->kept_s - RETENTION_S;
}

static void on_closed(struct chq_mailbox *box, uint32_t number)
{
    struct connection *connection = &box->connections[number];
    for (size_t i = 0; i < box->pending.n; i++)
        CHQ_ASSERT(box->pending.v[i].connection != number);
    while (connection->subscribed != NULL)
        unsubscribe(box, connection->subscribed);
    connection->open = false;
}

static void on_opened(struct chq_mailbox *box, const struct chq_mailbox_event *in)
{
    struct connection *connection = &box->connections[in->connection];
    CHQ_ASSERT(!connection->open);
    memset(connection, 0, sizeof *connection);
    connection->open = true;
    memcpy(connection->challenge, in->opened.challenge, CHQ_ID_BYTES);
}

/* Sizes that no event but WINDOW (which sees to it itself) can exceed. */
static bool reserve_actions(struct chq_mailbox *box, const struct chq_mailbox_event *in)
{
    size_t charges = 1, sends = 1, records = 1;
    switch (in->type) {
    case CHQ_MAILBOX_FRAME: records = CHQ_ONE_TIME_PREKEYS_MAX + 2; break;
    case CHQ_MAILBOX_STORED:
        charges = 2 * box->pending.n; /* a subscription taken over gives back what was in flight */
        sends = box->pending.n;
        break;
    case CHQ_MAILBOX_CLOSED: charges = box->connections[in->connection].subscriptions; break;
    case CHQ_MAILBOX_TIMEOUT: records = EXPIRY_QUEUES_AT_ONCE + 1; break;
    default: break;
    }
    return RESERVE(box->persist, records) && RESERVE(box->charge, charges) && RESERVE(box->send, sends) &&
           RESERVE(box->ready, 2 * sends) && RESERVE(box->pending, 1);
}

enum chq_err chq_mailbox_step(
    struct chq_mailbox *box, const struct chq_mailbox_event *in, struct chq_mailbox_actions *out)
{
    enum chq_err err = CHQ_OK;
    memset(out, 0, sizeof *out);
    box->persist.n = box->charge.n = box->send.n = box->ready.n = 0;
    if (!reserve_actions(box, in))
        return CHQ_NO_MEMORY;
    box->kept_s = in->kept_s > UINT32_MAX ? UINT32_MAX : in->kept_s;
    box->wall_s = in->wall_s;
    switch (in->type) {
    case CHQ_MAILBOX_OPENED: on_opened(box, in); break;
    case CHQ_MAILBOX_CLOSED: on_closed(box, in->connection); break;
    case CHQ_MAILBOX_FRAME: err = on_frame(box, in); break;
    case CHQ_MAILBOX_STORED: on_stored(box, in->stored.err); break;
    case CHQ_MAILBOX_WINDOW: err = on_window(box, in->connection, in->window.bytes); break;
    case CHQ_MAILBOX_TIMEOUT: on_timeout(box); break;
    }
    if (err != CHQ_OK)
        return err;
    out->persist.v = box->persist.v, out->persist.n = box->persist.n;
    out->charge.v = box->charge.v, out->charge.n = box->charge.n;
    out->send.v = box->send.v, out->send.n = box->send.n;
    out->ready.v = box->ready.v, out->ready.n = box->ready.n;
    return CHQ_OK;
}

bool chq_mailbox_find(const struct chq_mailbox *box, const uint8_t queue_id[CHQ_ID_BYTES], uint32_t *number)
{
    const struct queue *queue = queue_find(&box->queues, queue_id);
    if (queue != NULL)
        *number = queue->number;
    return queue != NULL;
}

bool chq_mailbox_is_ready(const struct chq_mailbox *box, uint32_t connection)
{
    return box->connections[connection].ready != NULL;
}

uint64_t chq_mailbox_deadline_s(const struct chq_mailbox *box)
{
    return box->expire_at_s;
}

void chq_mailbox_totals(const struct chq_mailbox *box, struct chq_mailbox_totals *out)
{
    *out = (struct chq_mailbox_totals){box->queues.n, box->messages, box->bytes};
}
