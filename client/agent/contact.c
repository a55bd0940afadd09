/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "client/agent/state.h"
#include "core/identity/handle.h"

struct agent_contact *chq_agent_contact_of(struct chq_agent *a, const uint8_t account[32])
{
    for (struct agent_contact *c = a->contacts; c != NULL; c = c->next)
        if (c->has_account && memcmp(c->account, account, 32) == 0)
            return c;
    return NULL;
}

struct agent_contact *chq_agent_contact_by_key(struct chq_agent *a, const uint8_t key[16])
{
    for (struct agent_contact *c = a->contacts; c != NULL; c = c->next)
        if (memcmp(c->key, key, 16) == 0)
            return c;
    return NULL;
}

struct agent_peer *chq_agent_peer(struct chq_agent *a, const uint8_t device[16])
{
    for (struct agent_peer *p = a->peers; p != NULL; p = p->next)
        if (memcmp(p->device, device, 16) == 0)
            return p;
    return NULL;
}

struct agent_peer *chq_agent_peer_new(struct chq_agent *a, const uint8_t device[16])
{
    struct agent_peer *p = chq_agent_alloc(a, sizeof *p);
    if (p == NULL)
        return NULL;
    memcpy(p->device, device, 16);
    p->dirty = true;
    p->next = a->peers;
    a->peers = p;
    return p;
}

void chq_agent_peer_drop(struct chq_agent *a, struct agent_peer *peer)
{
    for (uint8_t i = 0; i < AGENT_SESSIONS_PER_DEVICE; i++) {
        uint8_t key[17];
        memcpy(key, peer->device, 16);
        key[16] = i;
        if (peer->sessions[i].session != NULL)
            chq_agent_erase(a, CHQ_AGENT_SESSIONS, chq_bytes(key, sizeof key));
        chq_session_free(peer->sessions[i].session);
    }
    while (peer->held != NULL) {
        struct agent_held *held = peer->held;
        peer->held = held->next;
        chq_agent_erase_held(a, peer, held->order);
        free(held->data);
        free(held);
    }
    chq_agent_erase(a, CHQ_AGENT_PEERS, chq_bytes(peer->device, 16));
    chq_agent_forget(a, peer);
    for (struct agent_peer **at = &a->peers; *at != NULL; at = &(*at)->next)
        if (*at == peer) {
            *at = peer->next;
            break;
        }
    chq_wipe(peer, sizeof *peer);
    free(peer);
    a->again = true;
}

static struct agent_contact *contact_new(struct chq_agent *a, const char *handle)
{
    struct agent_contact *c = chq_agent_alloc(a, sizeof *c);
    if (c == NULL)
        return NULL;
    chq_random_fill(&a->random, c->key, sizeof c->key);
    memcpy(c->handle, handle, sizeof c->handle);
    c->since_us = a->now_us;
    c->added_ms = a->unix_ms;
    c->dirty = true;
    struct agent_contact **at = &a->contacts;
    while (*at != NULL)
        at = &(*at)->next;
    *at = c;
    return c;
}

static void contact_drop(struct chq_agent *a, struct agent_contact *contact)
{
    for (struct agent_contact **at = &a->contacts; *at != NULL; at = &(*at)->next)
        if (*at == contact) {
            *at = contact->next;
            break;
        }
    chq_agent_erase(a, CHQ_AGENT_CONTACTS, chq_bytes(contact->key, 16));
    free(contact);
    a->again = true;
}

static void say_added(struct chq_agent *a, const struct agent_contact *contact, uint64_t request)
{
    struct chq_agent_notice *note = chq_agent_note(a, CHQ_AGENT_NOTE_CONTACT_ADDED);
    note->request = request;
    memcpy(note->account, contact->account, 32);
    memcpy(note->handle, contact->handle, sizeof note->handle);
}

void chq_agent_add(struct chq_agent *a, const struct chq_agent_command *command)
{
    char handle[CHQ_AGENT_HANDLE_CHARS] = {0};
    if (!chq_handle_is_valid(command->handle)) {
        chq_agent_say_error(a, command->request, CHQ_MALFORMED,
            "this is not a handle: it has 2 to 32 of the characters a-z 0-9 - _ . and starts with a letter");
        return;
    }
    memcpy(handle, command->handle.data, command->handle.size);
    if (strcmp(handle, a->handle) == 0) {
        chq_agent_say_error(a, command->request, CHQ_STATE, "%s is your own handle", handle);
        return;
    }
    for (struct agent_contact *c = a->contacts; c != NULL; c = c->next)
        if (strcmp(c->handle, handle) == 0) {
            c->request = command->request;
            if (c->known)
                say_added(a, c, command->request);
            return;
        }
    struct agent_contact *contact = contact_new(a, handle);
    if (contact != NULL)
        contact->request = command->request;
}

struct agent_queue *chq_agent_queue_of(struct chq_agent *a, const struct agent_contact *contact)
{
    for (struct agent_queue *q = a->queues; q != NULL; q = q->next)
        if (q->kind == CHQ_QUEUE_CONTACT && memcmp(q->contact, contact->key, 16) == 0)
            return q;
    return NULL;
}

struct agent_queue *chq_agent_queue_new(
    struct chq_agent *a, const uint8_t relay[32], uint64_t kind, const uint8_t contact[16])
{
    struct agent_queue *q = chq_agent_alloc(a, sizeof *q);
    if (q == NULL)
        return NULL;
    chq_random_fill(&a->random, q->seed, sizeof q->seed);
    chq_sign_pair_from_seed(&q->key, q->seed);
    chq_queue_id(q->id, q->key.public_key);
    memcpy(q->relay, relay, 32);
    memcpy(q->contact, contact, 16);
    q->kind = kind;
    q->dirty = true;
    q->next = a->queues;
    a->queues = q;
    return q;
}

/* --- sessions --- */

struct agent_session *chq_agent_best_session(struct agent_peer *peer)
{
    struct agent_session *best = NULL;
    for (size_t i = 0; i < AGENT_SESSIONS_PER_DEVICE; i++) {
        struct agent_session *s = &peer->sessions[i];
        if (s->session != NULL && !s->broken &&
            (best == NULL || chq_session_is_better(s->session, best->session)))
            best = s;
    }
    return best;
}

struct agent_session *chq_agent_keep_session(
    struct chq_agent *a, struct agent_peer *peer, struct chq_session *session)
{
    struct agent_session *place = NULL;
    for (size_t i = 0; i < AGENT_SESSIONS_PER_DEVICE; i++) {
        struct agent_session *s = &peer->sessions[i];
        if (place == NULL || (place->session != NULL &&
                                 (s->session == NULL || s->broken ||
                                     (!place->broken && chq_session_is_better(place->session, s->session)))))
            place = s;
    }
    chq_session_free(place->session);
    *place = (struct agent_session){.session = session, .dirty = true};
    a->again = true;
    return place;
}

void chq_agent_on_prekey(
    struct chq_agent *a, struct agent_relay *relay, struct agent_peer *peer, const struct chq_frame *in)
{
    struct chq_session *session = NULL;
    struct chq_session_self self;
    struct chq_session_offer offer = {.bundle = in->prekey.bundle, .one_time = in->prekey.one_time};
    peer->asking = false;
    if (chq_agent_best_session(peer) != NULL)
        return; /* they wrote meanwhile */
    memcpy(offer.peer.account_id, peer->account, 32);
    memcpy(offer.peer.signing_key, peer->signing_key, 32);
    memcpy(offer.peer.identity_key, peer->identity_key, 32);
    chq_agent_self(a, &self);
    enum chq_err err = chq_session_start(&session, &self, &offer, chq_agent_now_s(a), &a->random);
    if (err == CHQ_OK) {
        (void)chq_agent_keep_session(a, peer, session);
        peer->retry = (struct agent_retry){0};
        return;
    }
    chq_agent_backoff(a, &peer->retry);
    if (err == CHQ_NO_MEMORY)
        chq_agent_fail(a, err);
    else if (err == CHQ_AUTH || err == CHQ_MALFORMED)
        chq_agent_distrust(a, relay, "gave keys for %s that are not signed by the device the ledger names",
            peer->contact != NULL ? peer->contact->handle : "a contact");
    else
        chq_agent_say_error(a, 0, err, "cannot start a session with %s: %s; trying again",
            peer->contact != NULL ? peer->contact->handle : "a contact", chq_err_string(err));
}

/* --- proved facts about others --- */

struct proved {
    uint64_t time_s; /* the older of the two headers */
    struct chq_account_record account;
    struct chq_device_list list;
};

enum proof { PROOF_WAIT, PROOF_NONE, PROOF_FINE };

/* The root key and device list of an account, both proved and not older than `since_us`. */
static enum proof prove(struct chq_agent *a, const uint8_t account[32], uint64_t since_us, struct proved *out)
{
    struct agent_lookup *la = chq_agent_look(a, CHQ_RECORD_ACCOUNT, account, since_us);
    struct agent_lookup *ld = chq_agent_look(a, CHQ_RECORD_DEVICES, account, since_us);
    if (la == NULL || ld == NULL)
        return PROOF_WAIT;
    out->time_s = la->time_s < ld->time_s ? la->time_s : ld->time_s;
    if (!la->present || !ld->present ||
        chq_account_record_read(chq_bytes(la->value, la->size), &out->account) != CHQ_OK ||
        chq_device_list_open(&out->list, chq_bytes(ld->value, ld->size), out->account.root_key) != CHQ_OK ||
        memcmp(out->list.account_id, account, 32) != 0)
        return PROOF_NONE;
    return PROOF_FINE;
}

static void take_device(struct chq_agent *a, struct agent_contact *contact, const struct chq_device *device)
{
    uint8_t id[16];
    chq_device_id(id, device->signing_key);
    struct agent_peer *peer = chq_agent_peer(a, id);
    if (peer != NULL && peer->contact == NULL && memcmp(peer->identity_key, device->identity_key, 32) != 0) {
        chq_agent_peer_drop(a, peer); /* a stranger that used the name of this device */
        peer = NULL;
    }
    if (peer == NULL) {
        peer = chq_agent_peer_new(a, id);
        if (peer == NULL)
            return;
        memcpy(peer->signing_key, device->signing_key, 32);
        memcpy(peer->identity_key, device->identity_key, 32);
    }
    if (peer->contact != NULL && peer->contact != contact)
        return;
    peer->contact = contact;
    memcpy(peer->account, contact->account, 32);
    memcpy(peer->home_relay, device->home_relay_id, 32);
    memcpy(peer->front_door, device->front_door_id, 32);
    peer->active = peer->dirty = true;
}

static void security(struct chq_agent *a, const struct agent_contact *contact, const char *what)
{
    struct chq_agent_notice *note = chq_agent_note(a, CHQ_AGENT_NOTE_SECURITY);
    memcpy(note->account, contact->account, 32);
    memcpy(note->handle, contact->handle, sizeof note->handle);
    note->err = CHQ_AUTH;
    chq_agent_note_text(a, note, "%s: %s", contact->handle, what);
}

static void take_list(struct chq_agent *a, struct agent_contact *contact, const struct proved *proved)
{
    if (contact->known && memcmp(contact->root_key, proved->account.root_key, 32) != 0) {
        security(a, contact,
            "the account's root key is another one than before; nothing is sent. Compare safety "
            "numbers over another way, then add the contact anew");
        contact->refused = true;
        return;
    }
    if (proved->list.version < contact->list_version) {
        security(a, contact, "an older device list than the one known was shown; it was not used");
        contact->since_us = a->now_us;
        chq_agent_backoff(a, &contact->retry);
        return;
    }
    contact->checked_us = a->now_us;
    contact->retry = (struct agent_retry){0};
    if (contact->known && proved->list.version == contact->list_version)
        return;
    memcpy(contact->root_key, proved->account.root_key, 32);
    contact->list_version = proved->list.version;
    contact->known = contact->dirty = true;
    for (struct agent_peer *p = a->peers; p != NULL; p = p->next)
        if (p->contact == contact && chq_device_list_find(&proved->list, p->signing_key) == NULL) {
            p->active = false;
            p->dirty = true;
        }
    for (size_t i = 0; i < proved->list.n; i++)
        take_device(a, contact, &proved->list.devices[i]);
    if (chq_agent_queue_of(a, contact) == NULL)
        (void)chq_agent_queue_new(a, a->invitation->relay, CHQ_QUEUE_CONTACT, contact->key);
    a->again = true;
}

/* Handle -> account. Return false when the contact is gone. */
static bool advance_handle(struct chq_agent *a, struct agent_contact *contact)
{
    uint8_t key[32];
    struct chq_handle_record record;
    chq_handle_key(key, chq_bytes_text(contact->handle));
    struct agent_lookup *l = chq_agent_look(a, CHQ_RECORD_HANDLE, key, contact->since_us);
    if (l == NULL)
        return true;
    if (!l->present || chq_handle_record_read(chq_bytes(l->value, l->size), &record) != CHQ_OK) {
        chq_agent_say_error(a, contact->request, CHQ_NOT_FOUND,
            "there is nobody with the handle %s on this network; check the spelling", contact->handle);
        contact_drop(a, contact);
        return false;
    }
    struct agent_contact *same = chq_agent_contact_of(a, record.account);
    if (same != NULL) { /* they wrote meanwhile */
        if (same->known)
            say_added(a, same, contact->request);
        else
            same->request = contact->request;
        contact_drop(a, contact);
        return false;
    }
    memcpy(contact->account, record.account, 32);
    contact->has_account = contact->dirty = true;
    a->again = true;
    return true;
}

static void advance_devices(struct chq_agent *a, struct agent_contact *contact)
{
    uint64_t since = contact->since_us;
    if (contact->known && contact->checked_us == 0 && !chq_agent_due(a, &contact->retry))
        return; /* an older list was shown a moment ago */
    if (contact->checked_us != 0) {
        if (a->now_us < contact->checked_us + AGENT_LIST_FRESH_US)
            return; /* looked at again when something is to be sent later */
        since = contact->checked_us + 1;
    }
    struct proved *proved = chq_agent_scratch(a, sizeof *proved);
    if (proved == NULL)
        return;
    switch (prove(a, contact->account, since, proved)) {
    case PROOF_WAIT: return;
    case PROOF_NONE:
        if (chq_agent_due(a, &contact->retry)) { /* look again; perhaps they are just registering */
            chq_agent_backoff(a, &contact->retry);
            contact->since_us = a->now_us;
            a->again = true;
        }
        if (contact->told)
            return;
        contact->told = true;
        chq_agent_say_error(a, contact->request, CHQ_NOT_FOUND,
            "%s has an account but no valid device list yet; it is added when they have started their app",
            contact->handle);
        return;
    case PROOF_FINE: break;
    }
    bool was_known = contact->known;
    take_list(a, contact, proved);
    if (contact->known && (!was_known || contact->request != 0)) {
        say_added(a, contact, contact->request);
        contact->request = 0;
    }
}

/*
 * A stranger's account and device are checked against the ledger before anything of it is shown. Return whether the list
 * of peers may have changed.
 */
static bool advance_stranger(struct chq_agent *a, struct agent_peer *peer)
{
    struct proved *proved = chq_agent_scratch(a, sizeof *proved);
    if (proved == NULL)
        return false;
    enum proof proof = prove(a, peer->account, peer->seen_us, proved);
    if (proof == PROOF_WAIT)
        return false;
    const struct chq_device *device =
        proof == PROOF_FINE ? chq_device_list_find(&proved->list, peer->signing_key) : NULL;
    struct chq_bytes claimed = chq_bytes_text(peer->handle);
    if (device == NULL || memcmp(device->identity_key, peer->identity_key, 32) != 0 ||
        (claimed.size > 0 && !chq_bytes_equal(claimed, proved->account.handle))) {
        if (proved->time_s < peer->seen_s) { /* the answer may be from before they registered: look again */
            if (chq_agent_due(a, &peer->retry)) {
                chq_agent_backoff(a, &peer->retry);
                peer->seen_us = a->now_us;
                a->again = true;
            }
            return false;
        }
        struct chq_agent_notice *note = chq_agent_note(a, CHQ_AGENT_NOTE_SECURITY);
        memcpy(note->account, peer->account, 32);
        note->err = CHQ_AUTH;
        chq_agent_note_text(a, note,
            "somebody wrote in the name of %s, but the ledger does not know that device as theirs; it was "
            "thrown away",
            peer->handle[0] != 0 ? peer->handle : "an account");
        chq_agent_peer_drop(a, peer);
        return true;
    }
    struct agent_contact *contact = chq_agent_contact_of(a, peer->account);
    if (contact == NULL) {
        char handle[CHQ_AGENT_HANDLE_CHARS] = {0};
        memcpy(handle, proved->account.handle.data, proved->account.handle.size);
        contact = contact_new(a, handle);
        if (contact == NULL)
            return true;
        memcpy(contact->account, peer->account, 32);
        contact->has_account = true;
    }
    bool was_known = contact->known;
    take_list(a, contact, proved);
    if (!contact->known || peer->contact != contact) {
        chq_agent_peer_drop(a, peer);
        return true;
    }
    if (!was_known) {
        say_added(a, contact, contact->request);
        contact->request = 0;
    }
    a->again = true;
    return true;
}

static bool has_work(const struct chq_agent *a, const struct agent_peer *peer)
{
    if (!peer->greeted)
        return true;
    for (const struct agent_item *i = a->items; i != NULL; i = i->next)
        if (i->contact == peer->contact && !i->delivered)
            return true;
    return false;
}

/* Nothing to write with yet: fetch what lies at the device's front door. */
static void advance_start(struct chq_agent *a, struct agent_peer *peer)
{
    if (chq_agent_best_session(peer) != NULL || !has_work(a, peer))
        return;
    struct agent_relay *relay = chq_agent_relay(a, peer->home_relay);
    if (relay == NULL)
        return;
    relay->wanted = true;
    if (relay->state != AGENT_LINK_READY || relay->attached == NULL || peer->asking || a->leaving ||
        !chq_agent_due(a, &peer->retry))
        return;
    struct chq_frame frame = {.type = CHQ_FRAME_PREKEY_GET};
    memcpy(frame.prekey_get.queue_id, peer->front_door, 32);
    peer->asking = chq_agent_ask(a, relay, &frame, AGENT_ASK_PREKEY_GET, peer) != NULL;
}

void chq_agent_advance_contacts(struct chq_agent *a)
{
    for (struct agent_contact *c = a->contacts, *next; c != NULL && a->err == CHQ_OK; c = next) {
        next = c->next;
        if (c->refused || (!c->has_account && !advance_handle(a, c)))
            continue;
        if (c->has_account)
            advance_devices(a, c);
    }
    for (struct agent_peer *p = a->peers; p != NULL && a->err == CHQ_OK; p = p->next) {
        if (p->contact == NULL) {
            if (p->in_order > 0 && advance_stranger(a, p)) {
                a->again = true;
                return;
            }
        } else if (p->active && !p->contact->refused) {
            advance_start(a, p);
        }
    }
}
