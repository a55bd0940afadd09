/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "client/agent/state.h"

static void security(
    struct chq_agent *a, const struct agent_peer *peer, const struct agent_relay *relay, const char *what)
{
    struct chq_agent_notice *note = chq_agent_note(a, CHQ_AGENT_NOTE_SECURITY);
    if (relay != NULL)
        memcpy(note->relay, relay->id, 32);
    note->err = CHQ_AUTH;
    if (peer != NULL && peer->contact != NULL) {
        memcpy(note->account, peer->contact->account, 32);
        memcpy(note->handle, peer->contact->handle, sizeof note->handle);
    }
    chq_agent_note_text(a, note, "%s", what);
}

/* --- contents, in their order --- */

static void take_text(struct chq_agent *a, struct agent_peer *peer, const struct chq_content *content)
{
    struct agent_contact *contact = peer->contact;
    struct agent_receipt *receipt = chq_agent_alloc(a, sizeof *receipt);
    if (receipt == NULL)
        return;
    uint64_t number = ++contact->next_history;
    contact->dirty = true;
    struct chq_agent_message message = {
        .incoming = true, .sent_ms = content->sent_ms, .stored_ms = a->unix_ms, .text = content->text.utf8};
    memcpy(message.id, content->message_id, 16);
    chq_agent_store_message(a, contact, number, &message);
    memcpy(receipt->message_id, content->message_id, 16);
    struct agent_receipt **at = &contact->receipts;
    while (*at != NULL)
        at = &(*at)->next;
    *at = receipt;
    contact->receipts_count++;
    chq_agent_store_receipt(a, contact, content->message_id);
    struct chq_agent_notice *note = chq_agent_note(a, CHQ_AGENT_NOTE_RECEIVED);
    memcpy(note->account, contact->account, 32);
    memcpy(note->handle, contact->handle, sizeof note->handle);
    memcpy(note->message_id, content->message_id, 16);
    note->number = number;
    note->at_ms = content->sent_ms;
    uint8_t *text = chq_agent_scratch(a, content->text.utf8.size + 1);
    if (text != NULL) {
        memcpy(text, content->text.utf8.data, content->text.utf8.size);
        note->text = chq_bytes(text, content->text.utf8.size);
    }
}

static void take_call(struct chq_agent *a, struct agent_peer *peer, const struct chq_content *content)
{
    struct chq_agent_notice *note = chq_agent_note(a, CHQ_AGENT_NOTE_CALL);
    memcpy(note->account, peer->contact->account, 32);
    memcpy(note->handle, peer->contact->handle, sizeof note->handle);
    memcpy(note->call_id, content->call.call_id, 16);
    note->at_ms = content->sent_ms;
    uint8_t *data = chq_agent_scratch(a, content->call.signal.size + 1);
    if (data != NULL && content->call.signal.size > 0) {
        memcpy(data, content->call.signal.data, content->call.signal.size);
        note->data = chq_bytes(data, content->call.signal.size);
    }
}

static void take_hello(struct chq_agent *a, struct agent_peer *peer, const struct chq_content *content)
{
    if (memcmp(content->hello.account_id, peer->account, 32) != 0) {
        security(a, peer, NULL,
            "a device said that it belongs to another account than the one of its keys; ignored");
        return;
    }
    memset(peer->handle, 0, sizeof peer->handle);
    if (content->hello.handle.size < sizeof peer->handle && content->hello.handle.size > 0)
        memcpy(peer->handle, content->hello.handle.data, content->hello.handle.size);
    memcpy(peer->reply_relay, content->hello.relay_id, 32);
    memcpy(peer->reply_queue, content->hello.queue_id, 32);
    peer->has_reply = true;
}

/* Take the content that is next in order. */
static void take(struct chq_agent *a, struct agent_peer *peer, const struct chq_content *content)
{
    peer->in_order = content->order;
    peer->dirty = true;
    a->again = true;
    switch (content->kind) {
    case CHQ_CONTENT_TEXT: take_text(a, peer, content); return;
    case CHQ_CONTENT_RECEIPT: chq_agent_on_receipt(a, peer, content); return;
    case CHQ_CONTENT_HELLO: take_hello(a, peer, content); return;
    case CHQ_CONTENT_CALL: take_call(a, peer, content); return;
    }
}

/* Of a stranger only the hello is looked at; all else waits until the ledger has been asked. */
static bool may_take(const struct agent_peer *peer, const struct chq_content *content)
{
    return content->order == peer->in_order + 1 &&
           (peer->contact != NULL || (content->kind == CHQ_CONTENT_HELLO && content->order == 1));
}

static void hold(
    struct chq_agent *a, struct agent_peer *peer, const struct chq_content *content, struct chq_bytes plain)
{
    struct agent_held **at = &peer->held;
    while (*at != NULL && (*at)->order < content->order)
        at = &(*at)->next;
    if (*at != NULL && (*at)->order == content->order)
        return; /* a duplicate */
    if (peer->contact == NULL && peer->in_order == 0 && peer->held_count >= AGENT_STRANGER_HELD_MAX)
        return;
    if (peer->held_count >= AGENT_HELD_MAX) {
        if (peer->contact == NULL)
            return; /* a stranger gets no more room than this */
        peer->held->arrived_ms = 0; /* wait no longer for what is missing */
    }
    struct agent_held *held = chq_agent_alloc(a, sizeof *held);
    if (held == NULL)
        return;
    held->order = content->order;
    held->arrived_ms = a->unix_ms;
    held->data = chq_agent_copy(a, plain);
    held->size = plain.size;
    held->next = *at;
    *at = held;
    peer->held_count++;
    chq_agent_store_held(a, peer, held);
    a->again = true;
}

static void on_content(struct chq_agent *a, struct agent_peer *peer, struct chq_bytes plain)
{
    struct chq_content *content = chq_agent_scratch(a, sizeof *content);
    if (content == NULL)
        return;
    enum chq_err err = chq_content_read(content, plain);
    if (err == CHQ_MALFORMED || content->order <= peer->in_order)
        return; /* nonsense, or a duplicate */
    if (err == CHQ_OK && may_take(peer, content))
        take(a, peer, content);
    else
        hold(a, peer, content, plain);
}

static void pop_held(struct chq_agent *a, struct agent_peer *peer)
{
    struct agent_held *held = peer->held;
    peer->held = held->next;
    peer->held_count--;
    chq_agent_erase_held(a, peer, held->order);
    if (held->data != NULL)
        chq_wipe(held->data, held->size);
    free(held->data);
    free(held);
    a->again = true;
}

static void advance_held(struct chq_agent *a, struct agent_peer *peer)
{
    struct chq_content *content = chq_agent_scratch(a, sizeof *content);
    while (content != NULL && peer->held != NULL && a->err == CHQ_OK) {
        struct agent_held *held = peer->held;
        if (held->order <= peer->in_order) {
            pop_held(a, peer);
            continue;
        }
        bool in_order = held->order == peer->in_order + 1;
        uint64_t give_up_ms = held->arrived_ms + AGENT_HOLD_MS;
        if (!in_order && peer->contact != NULL && a->unix_ms >= give_up_ms) {
            chq_agent_say_error(a, 0, CHQ_NOT_FOUND,
                "%llu of %s's messages did not arrive although later ones did: a relay has lost them; ask %s "
                "to "
                "send them again",
                (unsigned long long)(held->order - peer->in_order - 1), peer->contact->handle,
                peer->contact->handle);
            peer->in_order = held->order - 1;
            peer->dirty = true;
            continue;
        }
        if (!in_order) {
            if (peer->contact != NULL)
                chq_agent_wake(a, a->now_us + (give_up_ms - a->unix_ms) * 1000);
            return;
        }
        enum chq_err err = chq_content_read(content, chq_bytes(held->data, held->size));
        if (err == CHQ_UNSUPPORTED) { /* of a later version: skip it */
            peer->in_order = held->order;
            peer->dirty = true;
        } else if (err == CHQ_OK && may_take(peer, content)) {
            take(a, peer, content);
        } else if (err == CHQ_OK) {
            return; /* a stranger's */
        }
        pop_held(a, peer);
    }
}

void chq_agent_advance_inbox(struct chq_agent *a)
{
    for (struct agent_peer *p = a->peers; p != NULL && a->err == CHQ_OK; p = p->next)
        if (p->held != NULL)
            advance_held(a, p);
}

/* --- envelopes --- */

static bool is_seen(const struct chq_agent *a, const uint8_t session_id[16])
{
    for (const struct agent_seen *s = a->seen; s != NULL; s = s->next)
        if (memcmp(s->session_id, session_id, 16) == 0)
            return true;
    return false;
}

static void see(struct chq_agent *a, const uint8_t session_id[16])
{
    uint64_t keep_s = (CHQ_RETENTION_DAYS + 10) * UINT64_C(86400);
    for (struct agent_seen **at = &a->seen; *at != NULL;) {
        struct agent_seen *old = *at;
        if (chq_agent_now_s(a) <= old->at_s + keep_s) {
            at = &old->next;
            continue;
        }
        chq_agent_erase(a, CHQ_AGENT_SEEN, chq_bytes(old->session_id, 16));
        *at = old->next;
        free(old);
    }
    struct agent_seen *s = chq_agent_alloc(a, sizeof *s);
    if (s == NULL)
        return;
    memcpy(s->session_id, session_id, 16);
    s->at_s = chq_agent_now_s(a);
    s->next = a->seen;
    a->seen = s;
    chq_agent_store_seen(a, s);
}

/*
 * Make room for one more stranger: the oldest that never said who it is goes, as it would wait for ever. Those that did say it
 * are being looked up and make room by themselves.
 */
static bool admit_stranger(struct chq_agent *a)
{
    struct agent_peer *oldest = NULL;
    uint32_t n = 0;
    for (struct agent_peer *p = a->peers; p != NULL; p = p->next) {
        if (p->contact != NULL)
            continue;
        n++;
        if (p->in_order == 0 && (oldest == NULL || p->seen_us <= oldest->seen_us))
            oldest = p;
    }
    if (n < AGENT_STRANGERS_MAX)
        return true;
    if (oldest != NULL)
        chq_agent_peer_drop(a, oldest);
    return oldest != NULL;
}

/* The device that says it is the sender: known, or a new stranger. NULL: its keys are not the known ones, or memory. */
static struct agent_peer *sender(struct chq_agent *a, const struct chq_session_peer *claimed)
{
    uint8_t device[16];
    chq_device_id(device, claimed->signing_key);
    struct agent_peer *peer = chq_agent_peer(a, device);
    if (peer != NULL) {
        bool same = memcmp(peer->identity_key, claimed->identity_key, 32) == 0 &&
                    memcmp(peer->signing_key, claimed->signing_key, 32) == 0 &&
                    memcmp(peer->account, claimed->account_id, 32) == 0;
        return same && (peer->contact == NULL || peer->active) ? peer : NULL;
    }
    peer = chq_agent_peer_new(a, device);
    if (peer == NULL)
        return NULL;
    memcpy(peer->account, claimed->account_id, 32);
    memcpy(peer->signing_key, claimed->signing_key, 32);
    memcpy(peer->identity_key, claimed->identity_key, 32);
    peer->seen_us = a->now_us;
    peer->seen_s = chq_agent_now_s(a);
    return peer;
}

/* A session that we do not know yet. */
static enum chq_err accept_session(struct chq_agent *a, const struct chq_session_self *self,
    const struct chq_initial *initial, struct chq_writer *plain, struct agent_peer **from)
{
    struct chq_session *session = NULL;
    if (is_seen(a, initial->session_id))
        return CHQ_STATE; /* a replay of one that was given up */
    CHQ_TRY(chq_session_accept(&session, self, initial, chq_agent_now_s(a), &a->random, plain));
    uint8_t device[16];
    chq_device_id(device, initial->sender.signing_key);
    bool room = chq_agent_peer(a, device) != NULL || admit_stranger(a);
    struct agent_peer *peer = room ? sender(a, &initial->sender) : NULL;
    if (peer == NULL) {
        chq_session_free(session);
        return room ? CHQ_AUTH : CHQ_AGAIN;
    }
    (void)chq_agent_keep_session(a, peer, session);
    see(a, initial->session_id);
    if (initial->one_time_prekey_id != 0)
        chq_agent_prekey_used(a, initial->one_time_prekey_id);
    *from = peer;
    return CHQ_OK;
}

static enum chq_err open_initial(
    struct chq_agent *a, struct chq_bytes envelope, struct chq_writer *plain, struct agent_peer **from)
{
    struct chq_session_self self;
    struct chq_initial initial = {0};
    chq_agent_self(a, &self);
    CHQ_TRY(chq_initial_open(&initial, &self, envelope));
    enum chq_err err = CHQ_NOT_FOUND;
    bool known = false;
    for (struct agent_peer *p = a->peers; p != NULL && !known; p = p->next)
        for (size_t i = 0; i < AGENT_SESSIONS_PER_DEVICE && !known; i++) {
            struct agent_session *s = &p->sessions[i];
            if (s->session == NULL || memcmp(chq_session_info(s->session)->id, initial.session_id, 16) != 0)
                continue;
            known = true;
            err = chq_session_decrypt_initial(s->session, &initial, chq_agent_now_s(a), &a->random, plain);
            if (err == CHQ_OK) {
                s->dirty = true;
                *from = p;
            }
        }
    if (!known)
        err = accept_session(a, &self, &initial, plain, from);
    chq_initial_close(&initial);
    return err;
}

static enum chq_err open_normal(struct chq_agent *a, const struct agent_queue *queue,
    struct chq_bytes envelope, struct chq_writer *plain, struct agent_peer **from)
{
    for (struct agent_peer *p = a->peers; p != NULL; p = p->next) {
        /* A contact's queue is known to that contact only; at the front door anybody may knock. */
        if (queue->kind == CHQ_QUEUE_CONTACT &&
            (p->contact == NULL || memcmp(p->contact->key, queue->contact, 16) != 0))
            continue;
        for (size_t i = 0; i < AGENT_SESSIONS_PER_DEVICE; i++) {
            struct agent_session *s = &p->sessions[i];
            if (s->session == NULL)
                continue;
            enum chq_err err =
                chq_session_decrypt(s->session, envelope, chq_agent_now_s(a), &a->random, plain);
            if (err == CHQ_AUTH)
                continue;
            *from = p;
            s->dirty = s->dirty || err == CHQ_OK;
            return err;
        }
    }
    return CHQ_AUTH;
}

/* Open and take one envelope. False: not now, leave it at the relay. */
static bool on_envelope(struct chq_agent *a, struct agent_relay *relay, const struct agent_queue *queue,
    struct chq_bytes envelope)
{
    enum chq_envelope_kind kind;
    struct agent_peer *from = NULL;
    struct chq_writer plain = chq_writer_heap(CHQ_ENVELOPE_BYTES_MAX);
    bool taken = true;
    enum chq_err err = chq_envelope_kind(&kind, envelope);
    if (err == CHQ_OK)
        err = kind == CHQ_ENVELOPE_INITIAL ? open_initial(a, envelope, &plain, &from)
                                           : open_normal(a, queue, envelope, &plain, &from);
    if (err == CHQ_OK && from->contact != NULL && !from->active)
        security(
            a, from, relay, "a message came from a device that its account has removed; it was thrown away");
    else if (err == CHQ_OK)
        on_content(a, from, chq_writer_bytes(&plain));
    else if (err == CHQ_NO_MEMORY)
        chq_agent_fail(a, err);
    else if (err == CHQ_AGAIN)
        taken = false;
    else if (err == CHQ_EXISTS)
        security(a, from, relay,
            "a contact's device is used in two places or was set back to an older state; compare safety "
            "numbers");
    else if (err != CHQ_STATE && queue->kind == CHQ_QUEUE_CONTACT)
        security(
            a, NULL, relay, "a message could not be opened and was thrown away: it was damaged or forged");
    if (plain.data != NULL)
        chq_wipe(plain.data, plain.size);
    chq_writer_free(&plain);
    return taken;
}

static void acknowledge(
    struct chq_agent *a, struct agent_relay *relay, const struct agent_queue *queue, uint64_t sequence)
{
    struct chq_frame frame = {.type = CHQ_FRAME_ACK};
    memcpy(frame.ack.queue_id, queue->id, 32);
    frame.ack.sequence = sequence;
    chq_agent_send(a, relay, &frame);
}

/* A relay skipped some: ask again, some times, then believe that they are gone. Return whether to go on. */
static bool check_gap(
    struct chq_agent *a, struct agent_relay *relay, struct agent_queue *queue, uint64_t sequence)
{
    if (sequence == queue->sequence + 1)
        return true;
    if (queue->gap_asked < AGENT_GAP_ASKED_MAX) {
        queue->gap = true;
        a->again = true;
        return false;
    }
    struct chq_agent_notice *note = chq_agent_note(a, CHQ_AGENT_NOTE_SECURITY);
    memcpy(note->relay, relay->id, 32);
    note->err = CHQ_NOT_FOUND;
    chq_agent_note_text(a, note, "relay %s does not hand out %llu of the messages it has taken for you",
        chq_agent_relay_name(relay), (unsigned long long)(sequence - queue->sequence - 1));
    return true;
}

void chq_agent_on_deliver(struct chq_agent *a, struct agent_relay *relay, const struct chq_frame *in)
{
    struct agent_queue *queue = a->queues;
    while (queue != NULL && memcmp(queue->id, in->deliver.queue_id, 32) != 0)
        queue = queue->next;
    if (queue == NULL || memcmp(queue->relay, relay->id, 32) != 0 || a->leave_wanted || queue->gap)
        return;
    if (in->deliver.sequence <= queue->sequence) {
        /*
         * Taken and counted before, but the acknowledgement was lost. No further than what was delivered on this
         * connection, and ask for the relay's count when it is quiet: it charges now.
         */
        acknowledge(a, relay, queue, in->deliver.sequence);
        relay->claim_stale = true;
        relay->carried_us = a->now_us;
        return;
    }
    if (!check_gap(a, relay, queue, in->deliver.sequence))
        return;
    if (!on_envelope(a, relay, queue, in->deliver.envelope)) {
        /* It comes again with a connection in a while; until then the other queues are read, so that a crowd of strangers
         * at the front door keeps no contact out. */
        chq_agent_backoff(a, &queue->gap_retry);
        queue->gap = a->again = true;
        return;
    }
    queue->sequence = in->deliver.sequence;
    queue->gap = false;
    queue->gap_asked = 0;
    queue->gap_retry = (struct agent_retry){0};
    queue->dirty = true;
    chq_agent_count(a, relay, in->deliver.envelope.size);
    acknowledge(a, relay, queue, queue->sequence);
    a->again = true;
}
