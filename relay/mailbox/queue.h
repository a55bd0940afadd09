/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CHQ_RELAY_MAILBOX_QUEUE_H
#define CHQ_RELAY_MAILBOX_QUEUE_H

#include <stdbool.h>
#include <stdint.h>

#include "core/wire/frame.h"

/* One mailbox queue and the table of all, private to relay/mailbox. */

#define QUEUE_NO_CONNECTION UINT32_MAX

struct queue_message {
    uint32_t bytes, kept_s;
};

struct queue {
    uint8_t id[CHQ_ID_BYTES];
    uint32_t number;
    uint8_t kind;
    bool has_bundle;
    /* first <= delivered + 1 <= stored_end <= end: messages first to end - 1 exist, those below stored_end on disk,
     * those up to delivered are with the subscriber. */
    uint64_t first, delivered, stored_end, end;
    uint64_t bytes; /* of first to end - 1 */
    struct queue_message *ring; /* of sequence s: ring[s % cap] */
    uint32_t cap; /* power of two or 0 */
    uint64_t prekey_first, prekey_next;
    uint32_t subscriber; /* connection or QUEUE_NO_CONNECTION */
    struct queue *ready_next, *ready_prev; /* in the subscriber's list of queues with something to deliver */
    struct queue *subscribed_next, *subscribed_prev;
    bool is_ready;
};

struct queue_table {
    struct queue **v; /* by number */
    uint32_t n, cap, max;
    uint32_t *slots; /* number + 1, 0: empty; open addressing */
    uint32_t slots_cap; /* power of two, at least twice n */
    uint64_t hash_key;
};

struct queue *queue_find(const struct queue_table *table, const uint8_t id[CHQ_ID_BYTES]);
/* Add an empty queue under the next number; NULL when there is no memory (the caller checks table->max). */
struct queue *queue_add(struct queue_table *table, const uint8_t id[CHQ_ID_BYTES], uint8_t kind);
/* Remove the queue that was added last. */
void queue_remove_last(struct queue_table *table);
void queue_table_free(struct queue_table *table);

/* Make room for one more message. false: no memory, nothing changed. */
bool queue_reserve(struct queue *queue);
/* Append (there is room), drop the newest, drop all up to `sequence`. */
void queue_push(struct queue *queue, struct queue_message message);
void queue_pop(struct queue *queue);
void queue_drop(struct queue *queue, uint64_t sequence);
static inline struct queue_message *queue_at(const struct queue *queue, uint64_t sequence)
{
    return &queue->ring[sequence & (queue->cap - 1)];
}
static inline uint64_t queue_count(const struct queue *queue)
{
    return queue->end - queue->first;
}

#endif
