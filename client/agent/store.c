/* SPDX-License-Identifier: Apache-2.0 */
/* The records that a restart needs, as deterministic CBOR maps; load.c reads them. Key 1 is always the version. */
#include <string.h>

#include "client/agent/state.h"
#include "core/wire/cbor.h"

#define RECORD_BYTES_MAX (512 * 1024)

static struct chq_writer begin(uint64_t pairs)
{
    struct chq_writer w = chq_writer_heap(RECORD_BYTES_MAX);
    chq_cbor_put_map(&w, pairs);
    chq_cbor_pair_uint(&w, 1, AGENT_RECORD_VERSION);
    return w;
}

static void end(
    struct chq_agent *a, enum chq_agent_table table, const void *key, size_t key_size, struct chq_writer *w)
{
    if (w->err != CHQ_OK)
        chq_agent_fail(a, w->err);
    else
        chq_agent_persist(a, table, chq_bytes(key, key_size), chq_writer_bytes(w));
    chq_writer_free(w);
}

static void store_profile(struct chq_agent *a)
{
    uint8_t signing[CHQ_SEED_BYTES], identity[CHQ_SEED_BYTES];
    struct chq_writer link = chq_writer_heap(CHQ_INVITATION_CHARACTERS_MAX), w = begin(12);
    chq_device_keys_seeds(&a->secrets->device, signing, identity);
    chq_invitation_put(&link, a->invitation);
    if (link.err != CHQ_OK)
        chq_writer_fail(&w, link.err);
    chq_cbor_pair_bytes(&w, 2, a->secrets->entropy, sizeof a->secrets->entropy);
    chq_cbor_pair_bytes(&w, 3, signing, sizeof signing);
    chq_cbor_pair_bytes(&w, 4, identity, sizeof identity);
    chq_cbor_pair_text(&w, 5, chq_bytes_text(a->handle));
    chq_cbor_pair_bytes(&w, 6, a->salt, sizeof a->salt);
    chq_cbor_pair_bytes(&w, 7, a->front_door, sizeof a->front_door);
    chq_cbor_pair_uint(&w, 8, a->created_s);
    chq_cbor_pair_uint(&w, 9, a->next_prekey);
    chq_cbor_pair_uint(&w, 10, a->bundle_s);
    chq_cbor_pair_uint(&w, 11, (a->registered ? 1u : 0u) | (a->device_listed ? 2u : 0u));
    chq_cbor_pair_text(&w, 12, chq_writer_bytes(&link));
    end(a, CHQ_AGENT_PROFILE, "", 1, &w);
    chq_writer_free(&link);
    chq_wipe(signing, sizeof signing);
    chq_wipe(identity, sizeof identity);
}

void chq_agent_store_batch(struct chq_agent *a)
{
    struct chq_writer w = begin(7);
    chq_cbor_pair_uint(&w, 2, a->batch.kind);
    chq_cbor_pair_uint(&w, 3, a->batch.nonce);
    chq_cbor_pair_bytes(&w, 4, a->batch.subject, sizeof a->batch.subject);
    chq_cbor_pair_uint(&w, 5, a->batch.amount);
    chq_cbor_pair_bytes(&w, 6, a->batch.data, a->batch.size);
    chq_cbor_pair_uint(&w, 7, a->batch.request);
    end(a, CHQ_AGENT_BATCH, "", 1, &w);
}

static void store_channel(struct chq_agent *a, const struct agent_channel *c)
{
    struct chq_writer w = begin(13);
    chq_cbor_pair_bytes(&w, 2, c->relay, 32);
    chq_cbor_pair_bytes(&w, 3, c->end, 32);
    chq_cbor_pair_bytes(&w, 4, c->attach_seed, 32);
    chq_cbor_pair_uint(&w, 5, c->state);
    chq_cbor_pair_uint(&w, 6, c->tokens);
    chq_cbor_pair_uint(&w, 7, c->price_micro);
    chq_cbor_pair_uint(&w, 8, c->quantum_bytes);
    chq_cbor_pair_uint(&w, 9, c->expiry_s);
    chq_cbor_pair_uint(&w, 10, c->released);
    chq_cbor_pair_uint(&w, 11, c->own_bytes);
    chq_cbor_pair_uint(&w, 12, c->settled_bytes);
    chq_cbor_pair_uint(&w, 13, c->disputed ? 1 : 0);
    end(a, CHQ_AGENT_CHANNELS, c->id, 32, &w);
}

static void store_queue(struct chq_agent *a, const struct agent_queue *q)
{
    struct chq_writer w = begin(7);
    chq_cbor_pair_bytes(&w, 2, q->relay, 32);
    chq_cbor_pair_bytes(&w, 3, q->seed, 32);
    chq_cbor_pair_uint(&w, 4, q->kind);
    chq_cbor_pair_bytes(&w, 5, q->contact, 16);
    chq_cbor_pair_uint(&w, 6, q->sequence);
    chq_cbor_pair_uint(&w, 7, q->made ? 1 : 0);
    end(a, CHQ_AGENT_QUEUES, q->id, 32, &w);
}

void chq_agent_store_prekey(struct chq_agent *a, const struct agent_prekey *p)
{
    uint8_t key[4];
    struct chq_writer w = begin(6);
    chq_store_u32(key, p->secret.id);
    chq_cbor_pair_bytes(&w, 2, p->secret.dh_seed, CHQ_SEED_BYTES);
    chq_cbor_pair_uint(&w, 3, p->secret.has_kem ? 1 : 0);
    chq_cbor_pair_bytes(&w, 4, p->secret.kem_seed, CHQ_SEED_BYTES);
    chq_cbor_pair_uint(&w, 5, p->signed_one ? 1 : 0);
    chq_cbor_pair_uint(&w, 6, p->made_s);
    end(a, CHQ_AGENT_PREKEYS, key, sizeof key, &w);
}

static void store_contact(struct chq_agent *a, const struct agent_contact *c)
{
    struct chq_writer w = begin(9);
    chq_cbor_pair_text(&w, 2, chq_bytes_text(c->handle));
    chq_cbor_pair_bytes(&w, 3, c->account, 32);
    chq_cbor_pair_bytes(&w, 4, c->root_key, 32);
    chq_cbor_pair_uint(&w, 5, c->list_version);
    chq_cbor_pair_uint(&w, 6, c->next_history);
    chq_cbor_pair_uint(&w, 7, c->next_item);
    chq_cbor_pair_uint(
        &w, 8, (c->has_account ? 1u : 0u) | (c->known ? 2u : 0u) | (c->refused && c->known ? 4u : 0u));
    chq_cbor_pair_uint(&w, 9, c->added_ms);
    end(a, CHQ_AGENT_CONTACTS, c->key, 16, &w);
}

static void store_peer(struct chq_agent *a, const struct agent_peer *p)
{
    struct chq_writer w = begin(13);
    chq_cbor_pair_bytes(&w, 2, p->contact != NULL ? p->contact->key : NULL, p->contact != NULL ? 16 : 0);
    chq_cbor_pair_bytes(&w, 3, p->account, 32);
    chq_cbor_pair_bytes(&w, 4, p->signing_key, 32);
    chq_cbor_pair_bytes(&w, 5, p->identity_key, 32);
    chq_cbor_pair_bytes(&w, 6, p->home_relay, 32);
    chq_cbor_pair_bytes(&w, 7, p->front_door, 32);
    chq_cbor_pair_bytes(&w, 8, p->reply_relay, 32);
    chq_cbor_pair_bytes(&w, 9, p->reply_queue, 32);
    chq_cbor_pair_uint(&w, 10, (p->has_reply ? 1u : 0u) | (p->active ? 2u : 0u) | (p->greeted ? 4u : 0u));
    chq_cbor_pair_text(&w, 11, chq_bytes_text(p->handle));
    chq_cbor_pair_uint(&w, 12, p->out_order);
    chq_cbor_pair_uint(&w, 13, p->in_order);
    end(a, CHQ_AGENT_PEERS, p->device, 16, &w);
}

static void store_sessions(struct chq_agent *a, struct agent_peer *p)
{
    for (uint8_t i = 0; i < AGENT_SESSIONS_PER_DEVICE; i++) {
        struct agent_session *s = &p->sessions[i];
        if (!s->dirty || s->session == NULL)
            continue;
        uint8_t key[17];
        memcpy(key, p->device, 16);
        key[16] = i;
        struct chq_writer state = chq_writer_heap(CHQ_SESSION_STATE_BYTES_MAX), w = begin(3);
        chq_session_write(&state, s->session);
        if (state.err != CHQ_OK)
            chq_writer_fail(&w, state.err);
        chq_cbor_pair_uint(&w, 2, s->broken ? 1 : 0);
        chq_cbor_pair_bytes(&w, 3, state.data, state.size);
        end(a, CHQ_AGENT_SESSIONS, key, sizeof key, &w);
        chq_writer_free(&state);
        s->dirty = false;
    }
}

void chq_agent_item_key(const struct agent_item *item, uint8_t out[24])
{
    memcpy(out, item->contact->key, 16);
    chq_store_u64(out + 16, item->number);
}

static void store_item(struct chq_agent *a, const struct agent_item *i)
{
    uint8_t key[24];
    uint64_t n = 0;
    for (const struct agent_delivery *d = i->deliveries; d != NULL; d = d->next)
        n++;
    struct chq_writer w = begin(10);
    chq_cbor_pair_uint(&w, 2, i->kind);
    chq_cbor_pair_bytes(&w, 3, i->message_id, 16);
    chq_cbor_pair_bytes(&w, 4, i->call_id, 16);
    chq_cbor_pair_uint(&w, 5, i->history);
    chq_cbor_pair_uint(&w, 6, i->sent_ms);
    chq_cbor_pair_bytes(&w, 7, i->data, i->size);
    chq_cbor_pair_bytes(&w, 8, i->only != NULL ? i->only->device : NULL, i->only != NULL ? 16 : 0);
    chq_cbor_pair_uint(&w, 9, (i->noted ? 1u : 0u) | (i->delivered ? 2u : 0u));
    chq_cbor_put_key(&w, 10);
    chq_cbor_put_array(&w, n);
    for (const struct agent_delivery *d = i->deliveries; d != NULL; d = d->next) {
        chq_cbor_put_map(&w, 5);
        chq_cbor_pair_bytes(&w, 1, d->peer->device, 16);
        chq_cbor_pair_bytes(&w, 2, d->put_id, 16);
        chq_cbor_pair_bytes(&w, 3, d->relay, 32);
        chq_cbor_pair_bytes(&w, 4, d->queue, 32);
        chq_cbor_pair_bytes(&w, 5, d->envelope, d->envelope != NULL ? d->size : 0);
    }
    chq_agent_item_key(i, key);
    end(a, CHQ_AGENT_OUTBOX, key, sizeof key, &w);
}

static void held_key(const struct agent_peer *peer, uint64_t order, uint8_t out[24])
{
    memcpy(out, peer->device, 16);
    chq_store_u64(out + 16, order);
}

void chq_agent_store_held(struct chq_agent *a, const struct agent_peer *peer, const struct agent_held *held)
{
    uint8_t key[24];
    held_key(peer, held->order, key);
    struct chq_writer w = begin(3);
    chq_cbor_pair_uint(&w, 2, held->arrived_ms);
    chq_cbor_pair_bytes(&w, 3, held->data, held->size);
    end(a, CHQ_AGENT_HELD, key, sizeof key, &w);
}

void chq_agent_erase_held(struct chq_agent *a, const struct agent_peer *peer, uint64_t order)
{
    uint8_t key[24];
    held_key(peer, order, key);
    chq_agent_erase(a, CHQ_AGENT_HELD, chq_bytes(key, sizeof key));
}

static void receipt_key(const struct agent_contact *contact, const uint8_t id[16], uint8_t out[32])
{
    memcpy(out, contact->key, 16);
    memcpy(out + 16, id, 16);
}

void chq_agent_store_receipt(struct chq_agent *a, const struct agent_contact *contact, const uint8_t id[16])
{
    uint8_t key[32];
    receipt_key(contact, id, key);
    struct chq_writer w = begin(1);
    end(a, CHQ_AGENT_RECEIPTS, key, sizeof key, &w);
}

void chq_agent_erase_receipt(struct chq_agent *a, const struct agent_contact *contact, const uint8_t id[16])
{
    uint8_t key[32];
    receipt_key(contact, id, key);
    chq_agent_erase(a, CHQ_AGENT_RECEIPTS, chq_bytes(key, sizeof key));
}

void chq_agent_store_seen(struct chq_agent *a, const struct agent_seen *seen)
{
    struct chq_writer w = begin(2);
    chq_cbor_pair_uint(&w, 2, seen->at_s);
    end(a, CHQ_AGENT_SEEN, seen->session_id, 16, &w);
}

static void history_key(const struct agent_contact *contact, uint64_t number, uint8_t out[40])
{
    memcpy(out, contact->account, 32);
    chq_store_u64(out + 32, number);
}

void chq_agent_store_message(struct chq_agent *a, const struct agent_contact *contact, uint64_t number,
    const struct chq_agent_message *message)
{
    uint8_t key[40];
    history_key(contact, number, key);
    struct chq_writer w = chq_writer_heap(RECORD_BYTES_MAX);
    chq_cbor_put_map(&w, 5);
    chq_cbor_pair_bytes(&w, 1, message->id, 16);
    chq_cbor_pair_uint(&w, 2, message->incoming ? 1 : 0);
    chq_cbor_pair_uint(&w, 3, message->sent_ms);
    chq_cbor_pair_uint(&w, 4, message->stored_ms);
    chq_cbor_pair_text(&w, 5, message->text);
    end(a, CHQ_AGENT_MESSAGES, key, sizeof key, &w);
}

void chq_agent_store_status(
    struct chq_agent *a, const struct agent_contact *contact, uint64_t number, enum chq_agent_status status)
{
    uint8_t key[40];
    history_key(contact, number, key);
    struct chq_writer w = chq_writer_heap(RECORD_BYTES_MAX);
    chq_cbor_put_map(&w, 2);
    chq_cbor_pair_uint(&w, 1, status);
    chq_cbor_pair_uint(&w, 2, a->unix_ms);
    end(a, CHQ_AGENT_STATUS, key, sizeof key, &w);
}

static void store_light(struct chq_agent *a)
{
    uint64_t height = chq_light_newest_height(a->light);
    if (height <=
        a->light_stored) /* after a start the light client knows nothing but the floor it was given */
        return;
    struct chq_writer w = begin(2);
    chq_cbor_pair_uint(&w, 2, height);
    end(a, CHQ_AGENT_LIGHT, "", 1, &w);
    a->light_stored = height;
}

#define FLUSH(type, head, store)                                                                             \
    for (struct type *at = (head); at != NULL; at = at->next)                                                \
        if (at->dirty) {                                                                                     \
            at->dirty = false;                                                                               \
            store(a, at);                                                                                    \
        }

void chq_agent_flush(struct chq_agent *a)
{
    if (!a->created)
        return;
    if (a->profile_dirty)
        store_profile(a);
    a->profile_dirty = false;
    store_light(a);
    if (a->batch.kind != 0 && a->batch.dirty)
        chq_agent_store_batch(a);
    a->batch.dirty = false;
    FLUSH(agent_channel, a->channels, store_channel);
    FLUSH(agent_queue, a->queues, store_queue);
    FLUSH(agent_contact, a->contacts, store_contact);
    FLUSH(agent_peer, a->peers, store_peer);
    for (struct agent_peer *p = a->peers; p != NULL; p = p->next)
        store_sessions(a, p);
    FLUSH(agent_item, a->items, store_item);
}
