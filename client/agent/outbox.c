/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "client/agent/state.h"
#include "core/base/text.h"

#define PUT_AGAIN_US 100000u

struct agent_item *chq_agent_item_new(
    struct chq_agent *a, struct agent_contact *contact, enum chq_content_kind kind, struct chq_bytes data)
{
    struct agent_item *item = chq_agent_alloc(a, sizeof *item);
    if (item == NULL)
        return NULL;
    item->contact = contact;
    item->number = ++contact->next_item;
    item->kind = kind;
    item->sent_ms = a->unix_ms;
    chq_random_fill(&a->random, item->message_id, sizeof item->message_id);
    item->data = chq_agent_copy(a, data);
    item->size = data.size;
    item->dirty = contact->dirty = true;
    *a->items_tail = item;
    a->items_tail = &item->next;
    a->again = true;
    return item;
}

static void delivery_free(struct chq_agent *a, struct agent_delivery *delivery)
{
    chq_agent_forget(a, delivery);
    free(delivery->envelope);
    free(delivery);
}

void chq_agent_item_free(struct chq_agent *a, struct agent_item *item)
{
    uint8_t key[24];
    chq_agent_item_key(item, key);
    chq_agent_erase(a, CHQ_AGENT_OUTBOX, chq_bytes(key, sizeof key));
    for (struct agent_item **at = &a->items; *at != NULL; at = &(*at)->next)
        if (*at == item) {
            *at = item->next;
            if (a->items_tail == &item->next)
                a->items_tail = at;
            break;
        }
    while (item->deliveries != NULL) {
        struct agent_delivery *d = item->deliveries;
        item->deliveries = d->next;
        delivery_free(a, d);
    }
    if (item->data != NULL)
        chq_wipe(item->data, item->size);
    free(item->data);
    free(item);
    a->again = true;
}

/* The known contact with that account, or an error to the user. */
static struct agent_contact *known_contact(struct chq_agent *a, const struct chq_agent_command *command)
{
    struct agent_contact *contact = chq_agent_contact_of(a, command->account);
    if (contact != NULL && contact->known && !contact->refused)
        return contact;
    chq_agent_say_error(a, command->request, CHQ_NOT_FOUND,
        "this account is not among the contacts; add it by its handle first");
    return NULL;
}

void chq_agent_send_text(struct chq_agent *a, const struct chq_agent_command *command)
{
    if (command->text.size == 0 || command->text.size > CHQ_TEXT_BYTES_MAX ||
        !chq_utf8_valid(command->text)) {
        chq_agent_say_error(a, command->request,
            command->text.size > CHQ_TEXT_BYTES_MAX ? CHQ_LIMIT : CHQ_MALFORMED,
            "a message has 1 to %d bytes of UTF-8 text", CHQ_TEXT_BYTES_MAX);
        return;
    }
    struct agent_contact *contact = known_contact(a, command);
    struct agent_item *item =
        contact != NULL ? chq_agent_item_new(a, contact, CHQ_CONTENT_TEXT, command->text) : NULL;
    if (item == NULL)
        return;
    item->history = ++contact->next_history;
    struct chq_agent_message message = {
        .sent_ms = a->unix_ms, .stored_ms = a->unix_ms, .text = command->text};
    memcpy(message.id, item->message_id, sizeof message.id);
    chq_agent_store_message(a, contact, item->history, &message);
    struct chq_agent_notice *note = chq_agent_note(a, CHQ_AGENT_NOTE_QUEUED);
    note->request = command->request;
    note->number = item->history;
    memcpy(note->account, contact->account, 32);
    memcpy(note->message_id, item->message_id, 16);
}

void chq_agent_send_call(struct chq_agent *a, const struct chq_agent_command *command)
{
    if (command->data.size > CHQ_CALL_SIGNAL_BYTES_MAX) {
        chq_agent_say_error(
            a, command->request, CHQ_LIMIT, "a call signal has at most %d bytes", CHQ_CALL_SIGNAL_BYTES_MAX);
        return;
    }
    struct agent_contact *contact = known_contact(a, command);
    struct agent_item *item =
        contact != NULL ? chq_agent_item_new(a, contact, CHQ_CONTENT_CALL, command->data) : NULL;
    if (item != NULL)
        memcpy(item->call_id, command->call_id, sizeof item->call_id);
}

/* --- encrypting --- */

static void fill_content(const struct chq_agent *a, const struct agent_item *item,
    const struct agent_peer *peer, const struct agent_queue *queue, struct chq_content *out)
{
    out->kind = item->kind;
    out->sent_ms = item->sent_ms;
    out->order = peer->out_order + 1;
    memcpy(out->message_id, item->message_id, sizeof out->message_id);
    switch (item->kind) {
    case CHQ_CONTENT_TEXT: out->text.utf8 = chq_bytes(item->data, item->size); return;
    case CHQ_CONTENT_RECEIPT:
        out->receipt.n = item->size / 16;
        memcpy(out->receipt.ids, item->data, item->size);
        return;
    case CHQ_CONTENT_HELLO:
        memcpy(out->hello.account_id, a->secrets->account.id, 32);
        out->hello.handle = chq_bytes_text(a->registered ? a->handle : "");
        memcpy(out->hello.relay_id, queue->relay, 32);
        memcpy(out->hello.queue_id, queue->id, 32);
        return;
    case CHQ_CONTENT_CALL:
        memcpy(out->call.call_id, item->call_id, sizeof out->call.call_id);
        out->call.signal = chq_bytes(item->data, item->size);
        return;
    }
}

/* Encrypt `item` for `peer`, once; what comes out is stored and sent again and again until a relay has it. */
static bool encrypt(struct chq_agent *a, struct agent_item *item, struct agent_peer *peer)
{
    struct agent_session *s = chq_agent_best_session(peer);
    const struct agent_queue *queue = chq_agent_queue_of(a, item->contact);
    struct chq_content *content = chq_agent_scratch(a, sizeof *content);
    struct agent_delivery *d = chq_agent_alloc(a, sizeof *d);
    struct chq_writer plain = chq_writer_heap(CHQ_ENVELOPE_BYTES_MAX);
    struct chq_writer envelope = chq_writer_heap(CHQ_ENVELOPE_BYTES_MAX);
    bool ok = false;
    if (content == NULL || d == NULL)
        goto out;
    fill_content(a, item, peer, queue, content);
    chq_content_write(&plain, content);
    enum chq_err err = plain.err;
    if (err == CHQ_OK)
        err = chq_session_encrypt(
            s->session, chq_writer_bytes(&plain), chq_agent_now_s(a), &a->random, &envelope);
    if (err == CHQ_OK)
        err = chq_writer_take(&envelope, &d->envelope, &d->size);
    if (err == CHQ_NO_MEMORY) {
        chq_agent_fail(a, err);
        goto out;
    }
    if (err != CHQ_OK) { /* the chain's numbers are used up: start anew */
        s->broken = s->dirty = true;
        a->again = true;
        goto out;
    }
    d->item = item;
    d->peer = peer;
    chq_random_fill(&a->random, d->put_id, sizeof d->put_id);
    memcpy(d->relay, peer->has_reply ? peer->reply_relay : peer->home_relay, 32);
    memcpy(d->queue, peer->has_reply ? peer->reply_queue : peer->front_door, 32);
    peer->out_order++;
    peer->dirty = s->dirty = item->dirty = true;
    d->next = item->deliveries;
    item->deliveries = d;
    d = NULL;
    a->again = ok = true;
out:
    free(d);
    chq_writer_free(&plain);
    chq_writer_free(&envelope);
    return ok;
}

static struct agent_delivery *delivery_to(const struct agent_item *item, const struct agent_peer *peer)
{
    for (struct agent_delivery *d = item->deliveries; d != NULL; d = d->next)
        if (d->peer == peer)
            return d;
    return NULL;
}

/* Who I am and where you reach me: the first content to every device. */
static void greet(struct chq_agent *a, struct agent_peer *peer)
{
    const struct agent_queue *queue = chq_agent_queue_of(a, peer->contact);
    if (queue == NULL || !queue->made || !a->registered)
        return;
    struct agent_item *hello = chq_agent_item_new(a, peer->contact, CHQ_CONTENT_HELLO, (struct chq_bytes){0});
    if (hello == NULL)
        return;
    hello->only = peer;
    peer->greeted = peer->dirty = encrypt(a, hello, peer);
    if (!peer->greeted)
        chq_agent_item_free(a, hello);
}

static bool can_encrypt(struct chq_agent *a, struct agent_peer *peer)
{
    struct agent_contact *c = peer->contact;
    return c != NULL && peer->active && !c->refused && c->checked_us != 0 &&
           a->now_us < c->checked_us + AGENT_LIST_FRESH_US && chq_agent_best_session(peer) != NULL;
}

static void encrypt_all(struct chq_agent *a)
{
    for (struct agent_peer *p = a->peers; p != NULL && a->err == CHQ_OK; p = p->next) {
        if (!can_encrypt(a, p))
            continue;
        if (!p->greeted)
            greet(a, p);
        if (!p->greeted)
            continue;
        for (struct agent_item *i = a->items; i != NULL && a->err == CHQ_OK; i = i->next)
            if (i->contact == p->contact && (i->only == NULL || i->only == p) && !i->noted && !i->delivered &&
                delivery_to(i, p) == NULL && !encrypt(a, i, p))
                break;
    }
}

/* --- putting --- */

static bool is_done(const struct chq_agent *a, const struct agent_item *item)
{
    if (item->kind == CHQ_CONTENT_TEXT && !item->delivered)
        return false;
    for (const struct agent_delivery *d = item->deliveries; d != NULL; d = d->next)
        if (!d->stored && d->peer->active)
            return false;
    if (item->deliveries != NULL)
        return true;
    for (const struct agent_peer *p = a->peers; p != NULL; p = p->next)
        if (p == item->only && p->active)
            return false;
    return item->only != NULL;
}

void chq_agent_stored(struct chq_agent *a, struct agent_delivery *d)
{
    struct agent_item *item = d->item;
    struct agent_relay *relay = chq_agent_relay(a, d->relay);
    if (d->stored || relay == NULL)
        return;
    chq_agent_count(a, relay, d->size);
    d->stored = item->dirty = true;
    free(d->envelope);
    d->envelope = NULL;
    chq_agent_forget(a, d);
    d->in_flight = false;
    a->again = true;
    if (item->kind != CHQ_CONTENT_TEXT || item->noted || item->delivered)
        return;
    item->noted = true;
    chq_agent_store_status(a, item->contact, item->history, CHQ_AGENT_STATUS_SENT);
    struct chq_agent_notice *note = chq_agent_note(a, CHQ_AGENT_NOTE_SENT);
    memcpy(note->account, item->contact->account, 32);
    memcpy(note->message_id, item->message_id, 16);
    memcpy(note->relay, d->relay, 32);
    note->number = item->history;
}

void chq_agent_on_put(
    struct chq_agent *a, struct agent_relay *relay, struct agent_delivery *d, const struct chq_frame *in)
{
    d->in_flight = false;
    if (in->type == CHQ_FRAME_STORED) {
        if (memcmp(in->stored.put_id, d->put_id, 16) == 0)
            chq_agent_stored(a, d);
        else
            chq_agent_distrust(a, relay, "acknowledged another message than the one it was given");
        return;
    }
    bool first = d->retry.wait_ms == 0;
    chq_agent_backoff(a, &d->retry);
    if (in->error.code == CHQ_AGAIN) { /* what is under way to us takes the room: soon */
        d->retry = (struct agent_retry){.at_us = a->now_us + PUT_AGAIN_US};
        return;
    }
    if (in->error.code == CHQ_PAYMENT || in->error.code == CHQ_STATE) {
        relay->attached = NULL; /* attach again: the answer says what the relay counts */
    } else if (in->error.code == CHQ_NOT_FOUND && d->peer->contact != NULL) {
        d->peer->contact->checked_us = 0; /* moved? */
        d->peer->contact->since_us = a->now_us;
    }
    if (first && in->error.code != CHQ_PAYMENT && in->error.code != CHQ_STATE)
        chq_agent_say_error(a, 0, (enum chq_err)in->error.code,
            "relay %s does not take a message for %s now: %.*s; it waits here and is tried again",
            chq_agent_relay_name(relay), d->item->contact->handle, (int)in->error.text.size,
            (const char *)in->error.text.data);
}

/* A device that moved (or answered for the first time) is written to where it reads now. */
static void readdress(struct agent_delivery *d)
{
    const struct agent_peer *p = d->peer;
    if (p->has_reply || d->in_flight || memcmp(d->relay, p->home_relay, 32) == 0)
        return;
    memcpy(d->relay, p->home_relay, 32);
    memcpy(d->queue, p->front_door, 32);
    d->item->dirty = true;
}

static void put(struct chq_agent *a, struct agent_delivery *d)
{
    if (d->stored || d->in_flight || !d->peer->active)
        return;
    if (d->peer->hello_waits && d->item->kind != CHQ_CONTENT_HELLO)
        return;
    readdress(d);
    struct agent_relay *relay = chq_agent_relay(a, d->relay);
    if (relay == NULL)
        return;
    relay->wanted = true;
    if (relay->state != AGENT_LINK_READY || !relay->checked || a->leaving || !chq_agent_due(a, &d->retry) ||
        !chq_agent_has_room(a, relay, d->size))
        return;
    struct chq_frame frame = {.type = CHQ_FRAME_PUT};
    memcpy(frame.put.queue_id, d->queue, 32);
    memcpy(frame.put.put_id, d->put_id, 16);
    frame.put.envelope = chq_bytes(d->envelope, d->size);
    struct agent_request *request = chq_agent_ask(a, relay, &frame, AGENT_ASK_PUT, d);
    if (request == NULL)
        return;
    d->in_flight = true;
    request->bytes = d->size;
    relay->puts++;
    relay->puts_bytes += d->size;
    relay->carried_us = a->now_us;
}

/* --- receipts --- */

void chq_agent_on_receipt(struct chq_agent *a, struct agent_peer *peer, const struct chq_content *content)
{
    for (size_t k = 0; k < content->receipt.n; k++)
        for (struct agent_item *i = a->items; i != NULL; i = i->next) {
            if (i->contact != peer->contact || i->kind != CHQ_CONTENT_TEXT ||
                memcmp(i->message_id, content->receipt.ids[k], 16) != 0)
                continue;
            struct agent_delivery *d = delivery_to(i, peer);
            bool news = !i->delivered;
            i->delivered = i->dirty = true;
            if (d != NULL)
                chq_agent_stored(a, d);
            if (!news)
                break;
            chq_agent_store_status(a, i->contact, i->history, CHQ_AGENT_STATUS_DELIVERED);
            struct chq_agent_notice *note = chq_agent_note(a, CHQ_AGENT_NOTE_DELIVERED);
            memcpy(note->account, i->contact->account, 32);
            memcpy(note->message_id, i->message_id, 16);
            note->number = i->history;
            note->at_ms = content->sent_ms;
            break;
        }
}

/*
 * One receipt for all that came since the last receipt was stored: no delay when there is little to do, few envelopes
 * when there is much.
 */
static void make_receipts(struct chq_agent *a, struct agent_contact *contact)
{
    if (contact->receipts_count == 0 || !contact->known || contact->refused)
        return;
    for (const struct agent_item *i = a->items; i != NULL; i = i->next)
        if (i->contact == contact && i->kind == CHQ_CONTENT_RECEIPT)
            return;
    uint8_t ids[CHQ_RECEIPT_IDS_MAX * 16];
    size_t n = 0;
    while (contact->receipts != NULL && n < CHQ_RECEIPT_IDS_MAX) {
        struct agent_receipt *receipt = contact->receipts;
        contact->receipts = receipt->next;
        contact->receipts_count--;
        memcpy(ids + 16 * n++, receipt->message_id, 16);
        chq_agent_erase_receipt(a, contact, receipt->message_id);
        free(receipt);
    }
    (void)chq_agent_item_new(a, contact, CHQ_CONTENT_RECEIPT, chq_bytes(ids, 16 * n));
}

/*
 * Who has not heard our hello holds only a few messages of a stranger: nothing else goes out before a relay has the hello,
 * so that it comes out of the queue first.
 */
static void note_hellos(struct chq_agent *a)
{
    for (struct agent_peer *p = a->peers; p != NULL; p = p->next)
        p->hello_waits = false;
    for (const struct agent_item *i = a->items; i != NULL; i = i->next)
        for (const struct agent_delivery *d = i->deliveries; d != NULL; d = d->next)
            d->peer->hello_waits |= i->kind == CHQ_CONTENT_HELLO && !d->stored;
}

void chq_agent_advance_outbox(struct chq_agent *a)
{
    for (struct agent_item *i = a->items, *next; i != NULL; i = next) {
        next = i->next;
        if (is_done(a, i))
            chq_agent_item_free(a, i);
    }
    for (struct agent_contact *c = a->contacts; c != NULL && a->err == CHQ_OK; c = c->next)
        make_receipts(a, c);
    encrypt_all(a);
    note_hellos(a);
    for (struct agent_item *i = a->items; i != NULL && a->err == CHQ_OK; i = i->next)
        for (struct agent_delivery *d = i->deliveries; d != NULL && a->err == CHQ_OK; d = d->next)
            put(a, d);
}

bool chq_agent_outbox_busy(struct chq_agent *a)
{
    for (const struct agent_contact *c = a->contacts; c != NULL; c = c->next)
        if (c->receipts_count > 0 && c->known && !c->refused)
            return true;
    for (const struct agent_item *i = a->items; i != NULL; i = i->next)
        for (struct agent_peer *p = a->peers; p != NULL; p = p->next) {
            if (p->contact != i->contact || !p->active || (i->only != NULL && i->only != p) || i->noted ||
                i->delivered)
                continue;
            const struct agent_delivery *d = delivery_to(i, p);
            if (d != NULL ? !d->stored : chq_agent_best_session(p) != NULL)
                return true;
        }
    return false;
}

uint32_t chq_agent_unsent(const struct chq_agent *a)
{
    uint32_t n = 0;
    for (const struct agent_item *i = a->items; i != NULL; i = i->next) {
        bool stored = i->delivered;
        for (const struct agent_delivery *d = i->deliveries; d != NULL; d = d->next)
            stored = stored || d->stored;
        n += !stored;
    }
    return n;
}
