/* SPDX-License-Identifier: Apache-2.0 */
#include "relay/mailbox/queue.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/assert.h"

/* Ids are hashes, but whoever makes keys can choose among them: an odd secret factor keeps buckets unforeseeable. */
static uint32_t slot_of(const struct queue_table *table, const uint8_t id[CHQ_ID_BYTES])
{
    uint64_t mixed = (chq_load_u64(id) ^ table->hash_key) * (table->hash_key | 1);
    mixed ^= chq_load_u64(id + 8) * ((table->hash_key >> 32 | table->hash_key << 32) | 1);
    return (uint32_t)(mixed >> 32) & (table->slots_cap - 1);
}

struct queue *queue_find(const struct queue_table *table, const uint8_t id[CHQ_ID_BYTES])
{
    if (table->slots_cap == 0)
        return NULL;
    for (uint32_t at = slot_of(table, id); table->slots[at] != 0; at = (at + 1) & (table->slots_cap - 1)) {
        struct queue *queue = table->v[table->slots[at] - 1];
        if (memcmp(queue->id, id, CHQ_ID_BYTES) == 0)
            return queue;
    }
    return NULL;
}

static void place(struct queue_table *table, const struct queue *queue)
{
    uint32_t at = slot_of(table, queue->id);
    while (table->slots[at] != 0)
        at = (at + 1) & (table->slots_cap - 1);
    table->slots[at] = queue->number + 1;
}

static bool grow(struct queue_table *table)
{
    if (table->n == table->cap) {
        uint32_t cap = table->cap == 0 ? 64 : 2 * table->cap;
        struct queue **v = realloc(table->v, cap * sizeof *v);
        if (v == NULL)
            return false;
        table->v = v;
        table->cap = cap;
    }
    if (2 * (table->n + 1) > table->slots_cap) {
        uint32_t cap = table->slots_cap == 0 ? 256 : 2 * table->slots_cap;
        uint32_t *slots = calloc(cap, sizeof *slots);
        if (slots == NULL)
            return false;
        free(table->slots);
        table->slots = slots;
        table->slots_cap = cap;
        for (uint32_t i = 0; i < table->n; i++)
            place(table, table->v[i]);
    }
    return true;
}

struct queue *queue_add(struct queue_table *table, const uint8_t id[CHQ_ID_BYTES], uint8_t kind)
{
    CHQ_ASSERT(table->n < table->max);
    struct queue *queue = calloc(1, sizeof *queue);
    if (queue == NULL || !grow(table)) {
        free(queue);
        return NULL;
    }
    memcpy(queue->id, id, CHQ_ID_BYTES);
    queue->number = table->n;
    queue->kind = kind;
    queue->first = queue->stored_end = queue->end = 1;
    queue->subscriber = QUEUE_NO_CONNECTION;
    table->v[table->n++] = queue;
    place(table, queue);
    return queue;
}

void queue_remove_last(struct queue_table *table)
{
    struct queue *queue = table->v[--table->n];
    free(queue->ring);
    free(queue);
    memset(
        table->slots, 0, table->slots_cap * sizeof *table->slots); /* only after a disk error: may be slow */
    for (uint32_t i = 0; i < table->n; i++)
        place(table, table->v[i]);
}

void queue_table_free(struct queue_table *table)
{
    for (uint32_t i = 0; i < table->n; i++) {
        free(table->v[i]->ring);
        free(table->v[i]);
    }
    free(table->v);
    free(table->slots);
    memset(table, 0, sizeof *table);
}

bool queue_reserve(struct queue *queue)
{
    if (queue_count(queue) < queue->cap)
        return true;
    uint32_t cap = queue->cap == 0 ? 4 : 2 * queue->cap;
    struct queue_message *ring = malloc(cap * sizeof *ring);
    if (ring == NULL)
        return false;
    for (uint64_t s = queue->first; s < queue->end; s++)
        ring[s & (cap - 1)] = *queue_at(queue, s);
    free(queue->ring);
    queue->ring = ring;
    queue->cap = cap;
    return true;
}

void queue_push(struct queue *queue, struct queue_message message)
{
    CHQ_ASSERT(queue_count(queue) < queue->cap);
    *queue_at(queue, queue->end++) = message;
    queue->bytes += message.bytes;
}

void queue_pop(struct queue *queue)
{
    CHQ_ASSERT(queue->end > queue->stored_end);
    queue->bytes -= queue_at(queue, --queue->end)->bytes;
}

void queue_drop(struct queue *queue, uint64_t sequence)
{
    CHQ_ASSERT(sequence < queue->stored_end);
    for (; queue->first <= sequence; queue->first++)
        queue->bytes -= queue_at(queue, queue->first)->bytes;
    if (queue->delivered + 1 < queue->first)
        queue->delivered = queue->first - 1;
    if (queue_count(queue) == 0) {
        free(queue->ring);
        queue->ring = NULL;
        queue->cap = 0;
    }
}
