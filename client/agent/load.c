/* SPDX-License-Identifier: Apache-2.0 */
/* Reads what store.c wrote. A record that does not fit is damage: the agent does not start on it. */
#include <stdlib.h>
#include <string.h>

#include "client/agent/state.h"
#include "core/wire/cbor.h"

#define MAP_PAIRS_MAX 16

struct record {
    struct chq_bytes key;
    struct chq_reader r;
    struct chq_cbor_map m;
};

static struct record open_record(const struct agent_loaded *l)
{
    struct record rec = {.key = chq_bytes(l->bytes, l->key_size)};
    rec.r = chq_reader(chq_bytes(l->bytes + l->key_size, l->value_size));
    rec.m = chq_cbor_get_map(&rec.r, MAP_PAIRS_MAX);
    chq_cbor_need(&rec.r, &rec.m, 1);
    if (chq_cbor_get_uint(&rec.r) != AGENT_RECORD_VERSION)
        chq_reader_fail(&rec.r, CHQ_UNSUPPORTED);
    return rec;
}

static enum chq_err close_record(struct record *rec)
{
    chq_cbor_map_end(&rec->r, &rec->m);
    return chq_reader_finish(&rec->r);
}

static uint64_t number(struct record *rec, uint64_t key)
{
    chq_cbor_need(&rec->r, &rec->m, key);
    return chq_cbor_get_uint(&rec->r);
}

static void fixed(struct record *rec, uint64_t key, uint8_t *out, size_t size)
{
    chq_cbor_need(&rec->r, &rec->m, key);
    chq_cbor_get_fixed(&rec->r, out, size);
}

static struct chq_bytes bytes(struct record *rec, uint64_t key)
{
    chq_cbor_need(&rec->r, &rec->m, key);
    return chq_cbor_get_bytes(&rec->r, SIZE_MAX / 2);
}

static void handle(struct record *rec, uint64_t key, char out[CHQ_AGENT_HANDLE_CHARS])
{
    chq_cbor_need(&rec->r, &rec->m, key);
    struct chq_bytes text = chq_cbor_get_text(&rec->r, CHQ_AGENT_HANDLE_CHARS - 1);
    memset(out, 0, CHQ_AGENT_HANDLE_CHARS);
    if (text.size > 0)
        memcpy(out, text.data, text.size);
}

static enum chq_err load_profile(struct chq_agent *a, struct record *rec)
{
    uint8_t signing[CHQ_SEED_BYTES], identity[CHQ_SEED_BYTES];
    fixed(rec, 2, a->secrets->entropy, sizeof a->secrets->entropy);
    fixed(rec, 3, signing, sizeof signing);
    fixed(rec, 4, identity, sizeof identity);
    handle(rec, 5, a->handle);
    fixed(rec, 6, a->salt, sizeof a->salt);
    fixed(rec, 7, a->front_door, sizeof a->front_door);
    a->created_s = number(rec, 8);
    a->next_prekey = (uint32_t)number(rec, 9);
    a->bundle_s = number(rec, 10);
    uint64_t flags = number(rec, 11);
    a->registered = flags & 1;
    a->device_listed = flags & 2;
    chq_cbor_need(&rec->r, &rec->m, 12);
    struct chq_bytes link = chq_cbor_get_text(&rec->r, CHQ_INVITATION_CHARACTERS_MAX);
    CHQ_TRY(close_record(rec));
    a->invitation = chq_agent_alloc(a, sizeof *a->invitation);
    if (a->invitation == NULL)
        return CHQ_NO_MEMORY;
    CHQ_TRY(chq_invitation_read(link, a->invitation));
    CHQ_TRY(chq_agent_trust(a));
    chq_account_from_entropy(&a->secrets->account, a->secrets->entropy);
    chq_device_keys_from_seeds(&a->secrets->device, signing, identity);
    chq_wipe(signing, sizeof signing);
    chq_wipe(identity, sizeof identity);
    a->created = true;
    return CHQ_OK;
}

static enum chq_err load_light(struct chq_agent *a, struct record *rec)
{
    a->light_stored = number(rec, 2);
    CHQ_TRY(close_record(rec));
    chq_light_raise_floor(a->light, a->light_stored);
    return CHQ_OK;
}

static enum chq_err load_batch(struct chq_agent *a, struct record *rec)
{
    a->batch.kind = (enum agent_batch_kind)number(rec, 2);
    a->batch.nonce = number(rec, 3);
    fixed(rec, 4, a->batch.subject, sizeof a->batch.subject);
    a->batch.amount = number(rec, 5);
    struct chq_bytes data = bytes(rec, 6);
    a->batch.request = number(rec, 7);
    a->batch.data = chq_agent_copy(a, data);
    a->batch.size = data.size;
    CHQ_TRY(close_record(rec));
    return a->batch.kind < AGENT_BATCH_CREATE || a->batch.kind > AGENT_BATCH_EXPIRE ? CHQ_MALFORMED : CHQ_OK;
}

static enum chq_err load_channel(struct chq_agent *a, struct record *rec)
{
    struct agent_channel *c = chq_agent_alloc(a, sizeof *c);
    if (c == NULL)
        return CHQ_NO_MEMORY;
    c->next = a->channels;
    a->channels = c;
    if (rec->key.size != 32)
        return CHQ_MALFORMED;
    memcpy(c->id, rec->key.data, 32);
    fixed(rec, 2, c->relay, 32);
    fixed(rec, 3, c->end, 32);
    fixed(rec, 4, c->attach_seed, 32);
    c->state = (enum agent_channel_state)number(rec, 5);
    c->tokens = number(rec, 6);
    c->price_micro = number(rec, 7);
    c->quantum_bytes = number(rec, 8);
    c->expiry_s = number(rec, 9);
    c->released = number(rec, 10);
    c->own_bytes = number(rec, 11);
    c->settled_bytes = number(rec, 12);
    c->disputed = number(rec, 13) != 0;
    CHQ_TRY(close_record(rec));
    bool sane = c->state >= AGENT_CHANNEL_OPENING && c->state <= AGENT_CHANNEL_DONE && c->tokens > 0 &&
                c->tokens <= CHQ_TOKENS_PER_CHANNEL_MAX && c->released <= c->tokens && c->quantum_bytes > 0;
    return sane ? CHQ_OK : CHQ_MALFORMED;
}

static enum chq_err load_queue(struct chq_agent *a, struct record *rec)
{
    struct agent_queue *q = chq_agent_alloc(a, sizeof *q);
    if (q == NULL)
        return CHQ_NO_MEMORY;
    q->next = a->queues;
    a->queues = q;
    if (rec->key.size != 32)
        return CHQ_MALFORMED;
    memcpy(q->id, rec->key.data, 32);
    fixed(rec, 2, q->relay, 32);
    fixed(rec, 3, q->seed, 32);
    q->kind = number(rec, 4);
    fixed(rec, 5, q->contact, 16);
    q->sequence = number(rec, 6);
    q->made = number(rec, 7) != 0;
    chq_sign_pair_from_seed(&q->key, q->seed);
    return close_record(rec);
}

static enum chq_err load_prekey(struct chq_agent *a, struct record *rec)
{
    struct agent_prekey *p = chq_agent_alloc(a, sizeof *p);
    if (p == NULL)
        return CHQ_NO_MEMORY;
    p->next = a->prekeys;
    a->prekeys = p;
    if (rec->key.size != 4)
        return CHQ_MALFORMED;
    p->secret.id = chq_load_u32(rec->key.data);
    fixed(rec, 2, p->secret.dh_seed, CHQ_SEED_BYTES);
    p->secret.has_kem = number(rec, 3) != 0;
    fixed(rec, 4, p->secret.kem_seed, CHQ_SEED_BYTES);
    p->signed_one = number(rec, 5) != 0;
    p->made_s = number(rec, 6);
    return close_record(rec);
}

static enum chq_err load_contact(struct chq_agent *a, struct record *rec)
{
    struct agent_contact *c = chq_agent_alloc(a, sizeof *c);
    if (c == NULL)
        return CHQ_NO_MEMORY;
    struct agent_contact **at = &a->contacts;
    bool sane = rec->key.size == 16;
    if (sane)
        memcpy(c->key, rec->key.data, 16);
    handle(rec, 2, c->handle);
    fixed(rec, 3, c->account, 32);
    fixed(rec, 4, c->root_key, 32);
    c->list_version = number(rec, 5);
    c->next_history = number(rec, 6);
    c->next_item = number(rec, 7);
    uint64_t flags = number(rec, 8);
    c->has_account = flags & 1;
    c->known = flags & 2;
    c->refused = flags & 4;
    c->added_ms = number(rec, 9);
    while (*at != NULL && (*at)->added_ms <= c->added_ms)
        at = &(*at)->next;
    c->next = *at;
    *at = c;
    CHQ_TRY(close_record(rec));
    return sane ? CHQ_OK : CHQ_MALFORMED;
}

static enum chq_err load_peer(struct chq_agent *a, struct record *rec)
{
    if (rec->key.size != 16)
        return CHQ_MALFORMED;
    struct agent_peer *p = chq_agent_peer_new(a, rec->key.data);
    if (p == NULL)
        return CHQ_NO_MEMORY;
    p->dirty = false;
    struct chq_bytes contact = bytes(rec, 2);
    fixed(rec, 3, p->account, 32);
    fixed(rec, 4, p->signing_key, 32);
    fixed(rec, 5, p->identity_key, 32);
    fixed(rec, 6, p->home_relay, 32);
    fixed(rec, 7, p->front_door, 32);
    fixed(rec, 8, p->reply_relay, 32);
    fixed(rec, 9, p->reply_queue, 32);
    uint64_t flags = number(rec, 10);
    p->has_reply = flags & 1;
    p->active = flags & 2;
    p->greeted = flags & 4;
    handle(rec, 11, p->handle);
    p->out_order = number(rec, 12);
    p->in_order = number(rec, 13);
    p->seen_us = a->now_us;
    p->seen_s = chq_agent_now_s(a);
    CHQ_TRY(close_record(rec));
    if (contact.size == 16)
        p->contact = chq_agent_contact_by_key(a, contact.data);
    return contact.size == 0 || p->contact != NULL ? CHQ_OK : CHQ_MALFORMED;
}

static enum chq_err load_session(struct chq_agent *a, struct record *rec)
{
    uint64_t broken = number(rec, 2);
    struct chq_bytes state = bytes(rec, 3);
    CHQ_TRY(close_record(rec));
    struct agent_peer *peer = rec->key.size == 17 ? chq_agent_peer(a, rec->key.data) : NULL;
    if (peer == NULL || rec->key.data[16] >= AGENT_SESSIONS_PER_DEVICE)
        return CHQ_MALFORMED;
    struct agent_session *s = &peer->sessions[rec->key.data[16]];
    if (s->session != NULL)
        return CHQ_MALFORMED;
    CHQ_TRY(chq_session_read(&s->session, state));
    s->broken = broken != 0;
    return CHQ_OK;
}

static enum chq_err load_delivery(struct chq_agent *a, struct record *rec, struct agent_item *item)
{
    uint8_t device[16];
    struct agent_delivery *d = chq_agent_alloc(a, sizeof *d);
    if (d == NULL)
        return CHQ_NO_MEMORY;
    d->next = item->deliveries;
    item->deliveries = d;
    d->item = item;
    struct chq_cbor_map m = chq_cbor_get_map(&rec->r, 5);
    chq_cbor_need(&rec->r, &m, 1);
    chq_cbor_get_fixed(&rec->r, device, sizeof device);
    chq_cbor_need(&rec->r, &m, 2);
    chq_cbor_get_fixed(&rec->r, d->put_id, 16);
    chq_cbor_need(&rec->r, &m, 3);
    chq_cbor_get_fixed(&rec->r, d->relay, 32);
    chq_cbor_need(&rec->r, &m, 4);
    chq_cbor_get_fixed(&rec->r, d->queue, 32);
    chq_cbor_need(&rec->r, &m, 5);
    struct chq_bytes envelope = chq_cbor_get_bytes(&rec->r, CHQ_ENVELOPE_BYTES_MAX);
    chq_cbor_map_end(&rec->r, &m);
    d->envelope = chq_agent_copy(a, envelope);
    d->size = envelope.size;
    d->stored = envelope.size == 0;
    d->peer = chq_agent_peer(a, device);
    return d->peer != NULL ? CHQ_OK : CHQ_MALFORMED;
}

static enum chq_err load_item(struct chq_agent *a, struct record *rec)
{
    struct agent_contact *contact = rec->key.size == 24 ? chq_agent_contact_by_key(a, rec->key.data) : NULL;
    if (contact == NULL)
        return CHQ_MALFORMED;
    struct agent_item *i = chq_agent_alloc(a, sizeof *i);
    if (i == NULL)
        return CHQ_NO_MEMORY;
    i->contact = contact;
    i->number = chq_load_u64(rec->key.data + 16);
    struct agent_item **at = &a->items; /* per contact in the order of their numbers */
    while (*at != NULL && ((*at)->contact != contact || (*at)->number < i->number))
        at = &(*at)->next;
    i->next = *at;
    *at = i;
    if (i->next == NULL)
        a->items_tail = &i->next;
    i->kind = (enum chq_content_kind)number(rec, 2);
    fixed(rec, 3, i->message_id, 16);
    fixed(rec, 4, i->call_id, 16);
    i->history = number(rec, 5);
    i->sent_ms = number(rec, 6);
    struct chq_bytes data = bytes(rec, 7), only = bytes(rec, 8);
    uint64_t flags = number(rec, 9);
    i->noted = flags & 1;
    i->delivered = flags & 2;
    i->data = chq_agent_copy(a, data);
    i->size = data.size;
    if (only.size > 0)
        i->only = only.size == 16 ? chq_agent_peer(a, only.data) : NULL;
    if (i->kind < CHQ_CONTENT_TEXT || i->kind > CHQ_CONTENT_CALL || (only.size > 0 && i->only == NULL) ||
        (i->kind == CHQ_CONTENT_RECEIPT && i->size > CHQ_RECEIPT_IDS_MAX * 16))
        return CHQ_MALFORMED;
    chq_cbor_need(&rec->r, &rec->m, 10);
    size_t n = chq_cbor_get_array(&rec->r, 256);
    for (size_t k = 0; k < n; k++)
        CHQ_TRY(load_delivery(a, rec, i));
    return close_record(rec);
}

static enum chq_err load_held(struct chq_agent *a, struct record *rec)
{
    struct agent_peer *peer = rec->key.size == 24 ? chq_agent_peer(a, rec->key.data) : NULL;
    if (peer == NULL)
        return CHQ_MALFORMED;
    struct agent_held *h = chq_agent_alloc(a, sizeof *h);
    if (h == NULL)
        return CHQ_NO_MEMORY;
    h->order = chq_load_u64(rec->key.data + 16);
    struct agent_held **at = &peer->held;
    while (*at != NULL && (*at)->order < h->order)
        at = &(*at)->next;
    h->next = *at;
    *at = h;
    peer->held_count++;
    h->arrived_ms = number(rec, 2);
    struct chq_bytes data = bytes(rec, 3);
    h->data = chq_agent_copy(a, data);
    h->size = data.size;
    return close_record(rec);
}

static enum chq_err load_seen(struct chq_agent *a, struct record *rec)
{
    struct agent_seen *s = chq_agent_alloc(a, sizeof *s);
    if (s == NULL)
        return CHQ_NO_MEMORY;
    s->next = a->seen;
    a->seen = s;
    if (rec->key.size != 16)
        return CHQ_MALFORMED;
    memcpy(s->session_id, rec->key.data, 16);
    s->at_s = number(rec, 2);
    return close_record(rec);
}

static enum chq_err load_receipt(struct chq_agent *a, struct record *rec)
{
    struct agent_contact *contact = rec->key.size == 32 ? chq_agent_contact_by_key(a, rec->key.data) : NULL;
    if (contact == NULL)
        return CHQ_MALFORMED;
    struct agent_receipt *receipt = chq_agent_alloc(a, sizeof *receipt);
    if (receipt == NULL)
        return CHQ_NO_MEMORY;
    memcpy(receipt->message_id, rec->key.data + 16, 16);
    receipt->next = contact->receipts;
    contact->receipts = receipt;
    contact->receipts_count++;
    return close_record(rec);
}

void chq_agent_loaded_free(struct chq_agent *a)
{
    while (a->loaded != NULL) {
        struct agent_loaded *l = a->loaded;
        a->loaded = l->next;
        chq_wipe(l, sizeof *l + l->key_size + l->value_size);
        free(l);
    }
}

enum chq_err chq_agent_resume(struct chq_agent *a)
{
    static enum chq_err (*const readers[CHQ_AGENT_TABLES_MAX])(struct chq_agent *, struct record *) = {
        [CHQ_AGENT_PROFILE] = load_profile,
        [CHQ_AGENT_LIGHT] = load_light,
        [CHQ_AGENT_BATCH] = load_batch,
        [CHQ_AGENT_CHANNELS] = load_channel,
        [CHQ_AGENT_QUEUES] = load_queue,
        [CHQ_AGENT_PREKEYS] = load_prekey,
        [CHQ_AGENT_CONTACTS] = load_contact,
        [CHQ_AGENT_PEERS] = load_peer,
        [CHQ_AGENT_SESSIONS] = load_session,
        [CHQ_AGENT_OUTBOX] = load_item,
        [CHQ_AGENT_HELD] = load_held,
        [CHQ_AGENT_SEEN] = load_seen,
        [CHQ_AGENT_RECEIPTS] = load_receipt,
    };
    enum chq_err err = CHQ_OK;
    /* Tables in the order in which their records refer to each other. */
    for (unsigned table = CHQ_AGENT_PROFILE; table < CHQ_AGENT_TABLES_MAX && err == CHQ_OK; table++)
        for (const struct agent_loaded *l = a->loaded; l != NULL && err == CHQ_OK; l = l->next) {
            if (l->table != table || readers[table] == NULL)
                continue;
            if (table != CHQ_AGENT_PROFILE && !a->created)
                return CHQ_MALFORMED; /* records without an account */
            struct record rec = open_record(l);
            err = readers[table](a, &rec);
        }
    chq_agent_loaded_free(a);
    return a->err != CHQ_OK ? a->err : err;
}
