/* SPDX-License-Identifier: Apache-2.0 */
/* A relay's database: what it writes waits in a transaction until the commit. */
#include <stdlib.h>
#include <string.h>

#include "core/base/assert.h"
#include "tests/sim/chasqui/sim.h"

struct sim_pending {
    struct sim_pending *next;
    bool of_meter;
    struct chq_mailbox_record mailbox;
    uint8_t *body;
    struct chq_meter_record meter;
};

static struct sim_pending *add(struct sim_relay *relay)
{
    struct sim_pending *p = sim_alloc(sizeof *p);
    if (relay->pending == NULL)
        relay->pending_tail = &relay->pending;
    *relay->pending_tail = p;
    relay->pending_tail = &p->next;
    return p;
}

void disk_mailbox(struct sim_relay *relay, const struct chq_mailbox_record *record)
{
    struct sim_pending *p = add(relay);
    p->mailbox = *record;
    p->body = sim_copy(record->body);
    p->mailbox.body = chq_bytes(p->body, record->body.size);
}

void disk_meter(struct sim_relay *relay, const struct chq_meter_record *record)
{
    struct sim_pending *p = add(relay);
    p->of_meter = true;
    p->meter = *record;
}

static struct sim_queue *add_queue(struct sim_disk *disk)
{
    if (disk->queues_n == disk->queues_cap) {
        disk->queues_cap = disk->queues_cap * 2 + 16;
        disk->queues = realloc(disk->queues, disk->queues_cap * sizeof *disk->queues);
        CHQ_ASSERT(disk->queues != NULL);
    }
    struct sim_queue *q = &disk->queues[disk->queues_n++];
    *q = (struct sim_queue){.first_sequence = 1};
    return q;
}

static void add_message(struct sim_disk *disk, const struct chq_mailbox_record *r)
{
    struct sim_message *m = sim_alloc(sizeof *m);
    struct sim_put *put = sim_alloc(sizeof *put);
    m->queue = put->queue = r->queue;
    m->sequence = r->sequence;
    m->kept_s = r->kept_s;
    m->wall_s = r->wall_s;
    memcpy(m->put_id, r->put_id, 16);
    memcpy(put->put_id, r->put_id, 16);
    m->body = sim_copy(r->body);
    m->size = r->body.size;
    struct sim_message **at = &disk->messages; /* by queue and sequence, as they are loaded */
    while (*at != NULL &&
           ((*at)->queue < m->queue || ((*at)->queue == m->queue && (*at)->sequence < m->sequence)))
        at = &(*at)->next;
    m->next = *at;
    *at = m;
    put->next = disk->puts;
    disk->puts = put;
}

static void delete_messages(struct sim_disk *disk, uint32_t queue, uint64_t sequence)
{
    for (struct sim_message **at = &disk->messages; *at != NULL;) {
        struct sim_message *m = *at;
        if (m->queue != queue || m->sequence > sequence) {
            at = &m->next;
            continue;
        }
        *at = m->next;
        free(m->body);
        free(m);
    }
    disk->queues[queue].first_sequence = sequence + 1;
}

static void apply_mailbox(struct sim_disk *disk, const struct chq_mailbox_record *r)
{
    struct sim_queue *q = r->queue < disk->queues_n ? &disk->queues[r->queue] : NULL;
    switch (r->type) {
    case CHQ_MAILBOX_ADD_QUEUE:
        CHQ_ASSERT(r->queue == disk->queues_n);
        q = add_queue(disk);
        memcpy(q->id, r->id, 32);
        q->kind = r->kind;
        return;
    case CHQ_MAILBOX_ADD_MESSAGE: add_message(disk, r); return;
    case CHQ_MAILBOX_DELETE_MESSAGES: delete_messages(disk, r->queue, r->sequence); return;
    case CHQ_MAILBOX_SET_BUNDLE:
        free(q->bundle);
        q->bundle = sim_copy(r->body);
        q->bundle_size = r->body.size;
        q->has_bundle = true;
        return;
    case CHQ_MAILBOX_ADD_PREKEY: {
        struct sim_prekey *p = sim_alloc(sizeof *p);
        p->queue = r->queue;
        p->number = r->sequence;
        p->body = sim_copy(r->body);
        p->size = r->body.size;
        p->next = disk->prekeys;
        disk->prekeys = p;
        q->prekey_next = r->sequence + 1;
        return;
    }
    case CHQ_MAILBOX_TAKE_PREKEYS: q->prekey_first = r->sequence + 1; return;
    case CHQ_MAILBOX_FORGET_PUTS: return; /* a simulated run is shorter than the retention */
    }
}

static void apply_meter(struct sim_relay *relay, const struct chq_meter_record *r, bool forgets)
{
    struct sim_disk *disk = &relay->disk;
    uint32_t i = 0;
    while (i < disk->channels_n && memcmp(disk->channels[i].id, r->row.id, 32) != 0)
        i++;
    if (r->type == CHQ_METER_DELETE) {
        if (i < disk->channels_n)
            disk->channels[i] = disk->channels[--disk->channels_n];
        return;
    }
    if (r->type == CHQ_METER_SAVE_CARRIED) {
        CHQ_ASSERT(i < disk->channels_n);
        disk->channels[i].carried_bytes = r->row.carried_bytes;
        return;
    }
    if (i < disk->channels_n && forgets)
        return;
    if (i == disk->channels_cap) {
        disk->channels_cap = disk->channels_cap * 2 + 8;
        disk->channels = realloc(disk->channels, disk->channels_cap * sizeof *disk->channels);
        CHQ_ASSERT(disk->channels != NULL);
    }
    disk->channels[i] = r->row;
    if (i == disk->channels_n)
        disk->channels_n++;
}

static void clear(struct sim_relay *relay, bool apply, bool forgets)
{
    while (relay->pending != NULL) {
        struct sim_pending *p = relay->pending;
        relay->pending = p->next;
        if (apply && p->of_meter)
            apply_meter(relay, &p->meter, forgets);
        else if (apply)
            apply_mailbox(&relay->disk, &p->mailbox);
        free(p->body);
        free(p);
    }
    relay->pending_tail = &relay->pending;
}

void disk_commit(struct sim_relay *relay, bool forgets_tokens)
{
    clear(relay, true, forgets_tokens);
}

void disk_rollback(struct sim_relay *relay)
{
    clear(relay, false, false);
}

void disk_load(struct sim_relay *relay)
{
    struct sim_disk *disk = &relay->disk;
    enum chq_err err;
    for (uint32_t i = 0; i < disk->queues_n; i++) {
        const struct sim_queue *q = &disk->queues[i];
        struct chq_mailbox_queue_row row = {.number = i,
            .kind = q->kind,
            .first_sequence = q->first_sequence,
            .prekey_first = q->prekey_first,
            .prekey_next = q->prekey_next,
            .has_bundle = q->has_bundle};
        memcpy(row.id, q->id, 32);
        err = chq_mailbox_load_queue(relay->mailbox, &row);
        CHQ_ASSERT(err == CHQ_OK);
    }
    for (const struct sim_message *m = disk->messages; m != NULL; m = m->next) {
        err = chq_mailbox_load_message(relay->mailbox, m->queue, m->sequence, (uint32_t)m->size, m->kept_s);
        CHQ_ASSERT(err == CHQ_OK);
    }
    for (uint32_t i = 0; i < disk->channels_n; i++) {
        err = chq_meter_load(relay->meter, &disk->channels[i]);
        CHQ_ASSERT(err == CHQ_OK);
    }
}

void disk_free(struct sim_relay *relay)
{
    struct sim_disk *disk = &relay->disk;
    disk_rollback(relay);
    for (uint32_t i = 0; i < disk->queues_n; i++)
        free(disk->queues[i].bundle);
    while (disk->messages != NULL) {
        struct sim_message *m = disk->messages;
        disk->messages = m->next;
        free(m->body);
        free(m);
    }
    while (disk->puts != NULL) {
        struct sim_put *p = disk->puts;
        disk->puts = p->next;
        free(p);
    }
    while (disk->prekeys != NULL) {
        struct sim_prekey *p = disk->prekeys;
        disk->prekeys = p->next;
        free(p->body);
        free(p);
    }
    free(disk->queues);
    free(disk->channels);
}

static uint32_t queue_number(const struct sim_relay *relay, const uint8_t id[32])
{
    for (uint32_t i = 0; i < relay->disk.queues_n; i++)
        if (memcmp(relay->disk.queues[i].id, id, 32) == 0)
            return i;
    for (const struct sim_pending *p = relay->pending; p != NULL; p = p->next)
        if (!p->of_meter && p->mailbox.type == CHQ_MAILBOX_ADD_QUEUE && memcmp(p->mailbox.id, id, 32) == 0)
            return p->mailbox.queue;
    return UINT32_MAX;
}

bool disk_has_put(const struct sim_relay *relay, const uint8_t queue_id[32], const uint8_t put_id[16])
{
    uint32_t queue = queue_number(relay, queue_id);
    for (const struct sim_put *p = relay->disk.puts; p != NULL; p = p->next)
        if (p->queue == queue && memcmp(p->put_id, put_id, 16) == 0)
            return true;
    for (const struct sim_pending *p = relay->pending; p != NULL; p = p->next)
        if (!p->of_meter && p->mailbox.type == CHQ_MAILBOX_ADD_MESSAGE && p->mailbox.queue == queue &&
            memcmp(p->mailbox.put_id, put_id, 16) == 0)
            return true;
    return false;
}

const struct sim_message *disk_message(const struct sim_relay *relay, uint32_t queue, uint64_t sequence)
{
    for (const struct sim_message *m = relay->disk.messages; m != NULL; m = m->next)
        if (m->queue == queue && m->sequence == sequence)
            return m;
    return NULL;
}

const struct sim_prekey *disk_prekey(const struct sim_relay *relay, uint32_t queue, uint64_t number)
{
    for (const struct sim_prekey *p = relay->disk.prekeys; p != NULL; p = p->next)
        if (p->queue == queue && p->number == number)
            return p;
    return NULL;
}
