/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/agent/state.h"
#include "core/base/assert.h"
#include "core/base/text.h"

struct agent_relay *chq_agent_relay(struct chq_agent *a, const uint8_t id[32])
{
    for (struct agent_relay *r = a->relays; r != NULL; r = r->next)
        if (memcmp(r->id, id, 32) == 0)
            return r;
    struct agent_relay *r = chq_agent_alloc(a, sizeof *r);
    if (r == NULL)
        return NULL;
    memcpy(r->id, id, 32);
    r->next = a->relays;
    a->relays = r;
    return r;
}

struct agent_relay *chq_agent_home(struct chq_agent *a)
{
    struct agent_relay *r = chq_agent_relay(a, a->invitation->relay);
    if (r != NULL && !r->addressed) {
        memcpy(r->address.host, a->invitation->host, sizeof r->address.host);
        r->address.port = a->invitation->port;
        memcpy(r->address.tls_pin, a->invitation->pin, 32);
        r->addressed = true;
    }
    return r;
}

const char *chq_agent_relay_name(const struct agent_relay *relay)
{
    static _Thread_local char name[CHQ_AGENT_HOST_CHARS + 32];
    if (relay->addressed) {
        snprintf(name, sizeof name, "%s:%u", relay->address.host, relay->address.port);
    } else {
        char hex[17];
        chq_hex_write(chq_bytes(relay->id, 8), hex);
        snprintf(name, sizeof name, "%s...", hex);
    }
    return name;
}

void chq_agent_send(struct chq_agent *a, struct agent_relay *relay, const struct chq_frame *frame)
{
    struct chq_writer w = chq_writer_heap(CHQ_FRAME_BYTES_MAX);
    enum chq_err err = chq_frame_write(&w, frame);
    if (err == CHQ_NO_MEMORY)
        chq_agent_fail(a, err);
    CHQ_ASSERT(err == CHQ_OK || err == CHQ_NO_MEMORY);
    uint8_t *copy = err == CHQ_OK ? chq_agent_scratch(a, w.size) : NULL;
    if (copy != NULL) {
        memcpy(copy, w.data, w.size);
        struct chq_agent_action *action = chq_agent_act(a, CHQ_AGENT_DO_SEND);
        memcpy(action->relay, relay->id, 32);
        action->frame = chq_bytes(copy, w.size);
    }
    chq_writer_free(&w);
}

struct agent_request *chq_agent_ask(struct chq_agent *a, struct agent_relay *relay, struct chq_frame *frame,
    enum agent_request_kind kind, void *object)
{
    if (relay->state != AGENT_LINK_READY && kind != AGENT_ASK_HELLO)
        return NULL;
    struct agent_request *request = chq_agent_alloc(a, sizeof *request);
    if (request == NULL)
        return NULL;
    frame->id = ++relay->next_request;
    request->id = frame->id;
    request->kind = kind;
    request->object = object;
    request->deadline_us = a->now_us + AGENT_REQUEST_TIMEOUT_US;
    request->next = relay->requests;
    relay->requests = request;
    chq_agent_send(a, relay, frame);
    a->again = true;
    return request;
}

void chq_agent_forget(struct chq_agent *a, const void *object)
{
    for (struct agent_relay *r = a->relays; r != NULL; r = r->next)
        for (struct agent_request *q = r->requests; q != NULL; q = q->next)
            if (q->object == object)
                q->object = NULL;
}

/* The question of `request` is open again. */
static void unask(struct chq_agent *a, struct agent_relay *relay, struct agent_request *request)
{
    switch (request->kind) {
    case AGENT_ASK_PUT:
        if (request->object != NULL)
            ((struct agent_delivery *)request->object)->in_flight = false;
        return;
    case AGENT_ASK_QUEUE:
    case AGENT_ASK_SUBSCRIBE: ((struct agent_queue *)request->object)->asking = false; return;
    case AGENT_ASK_LOOKUP: ((struct agent_lookup *)request->object)->asking = false; return;
    case AGENT_ASK_PREKEY_GET:
        if (request->object != NULL)
            ((struct agent_peer *)request->object)->asking = false;
        return;
    case AGENT_ASK_SUBMIT: a->batch.asking = false; return;
    case AGENT_ASK_PREKEYS: a->publishing = false; return;
    case AGENT_ASK_GRANT: a->granting = false; return;
    case AGENT_ASK_ATTACH: relay->attaching = NULL; return;
    case AGENT_ASK_TURN:
    case AGENT_ASK_HELLO:
    case AGENT_ASK_TOKEN: return;
    }
}

static void drop_requests(struct chq_agent *a, struct agent_relay *relay)
{
    while (relay->requests != NULL) {
        struct agent_request *request = relay->requests;
        relay->requests = request->next;
        unask(a, relay, request);
        if (request->kind == AGENT_ASK_TURN)
            chq_agent_say_error(a, request->command, CHQ_IO,
                "the connection to relay %s broke before it gave call credentials; try again",
                chq_agent_relay_name(relay));
        free(request);
    }
    for (struct agent_queue *q = a->queues; q != NULL; q = q->next)
        if (memcmp(q->relay, relay->id, 32) == 0)
            q->subscribed = q->asking = q->gap = false;
    relay->attached = relay->attaching = NULL;
    relay->checked = false;
    relay->puts = 0;
    relay->puts_bytes = 0;
}

static void say_link(struct chq_agent *a, struct agent_relay *relay, bool up, const char *why)
{
    struct chq_agent_notice *note = chq_agent_note(a, CHQ_AGENT_NOTE_LINK);
    memcpy(note->relay, relay->id, 32);
    note->up = up;
    chq_agent_note_text(a, note, "%s", why);
}

void chq_agent_unlink(struct chq_agent *a, struct agent_relay *relay)
{
    if (relay->state == AGENT_LINK_NONE)
        return;
    memcpy(chq_agent_act(a, CHQ_AGENT_DO_UNLINK)->relay, relay->id, 32);
    relay->state = AGENT_LINK_NONE;
    drop_requests(a, relay);
    a->again = true;
}

void chq_agent_link_up(struct chq_agent *a, struct agent_relay *relay)
{
    if (relay->state != AGENT_LINK_OPENING)
        return;
    relay->state = AGENT_LINK_GREETING;
    relay->next_request = 0;
    struct chq_frame hello = {.type = CHQ_FRAME_HELLO};
    hello.hello.version = CHQ_RELAY_PROTOCOL_VERSION;
    hello.hello.chain_id = chq_bytes_text(a->invitation->chain_id);
    (void)chq_agent_ask(a, relay, &hello, AGENT_ASK_HELLO, NULL);
}

void chq_agent_link_down(struct chq_agent *a, struct agent_relay *relay, struct chq_bytes reason)
{
    bool was_ready = relay->state == AGENT_LINK_READY;
    relay->state = AGENT_LINK_NONE;
    drop_requests(a, relay);
    chq_agent_backoff(a, &relay->retry);
    if (!was_ready) { /* the address may have changed; our own home's is in the invitation, too */
        relay->proved = false;
        relay->record_since_us = a->now_us;
    }
    if (was_ready || !relay->said_down) {
        char why[200];
        snprintf(why, sizeof why, "relay %s cannot be reached (%.*s); trying again in %u s, nothing is lost",
            chq_agent_relay_name(relay), (int)(reason.size < 100 ? reason.size : 100),
            reason.size > 0 ? (const char *)reason.data : "", relay->retry.wait_ms / 1000);
        say_link(a, relay, false, why);
        relay->said_down = true;
    }
}

void chq_agent_distrust(struct chq_agent *a, struct agent_relay *relay, const char *format, ...)
{
    char what[300];
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    relay->distrust_ms = relay->distrust_ms == 0 ? AGENT_DISTRUST_MS : relay->distrust_ms * 2;
    if (relay->distrust_ms > AGENT_DISTRUST_MAX_MS)
        relay->distrust_ms = AGENT_DISTRUST_MAX_MS;
    struct chq_agent_notice *note = chq_agent_note(a, CHQ_AGENT_NOTE_SECURITY);
    memcpy(note->relay, relay->id, 32);
    note->err = CHQ_AUTH;
    chq_agent_note_text(a, note, "relay %s %s. It was not believed and is left alone for %u s.",
        chq_agent_relay_name(relay), what, relay->distrust_ms / 1000);
    chq_agent_unlink(a, relay);
    relay->distrusted_us = a->now_us;
    relay->retry.at_us = a->now_us + (uint64_t)relay->distrust_ms * 1000;
    relay->retry.wait_ms = AGENT_RETRY_MIN_MS;
}

static void on_welcome(struct chq_agent *a, struct agent_relay *relay, const struct chq_frame *in)
{
    if (in->welcome.version != CHQ_RELAY_PROTOCOL_VERSION) {
        chq_agent_say_error(a, 0, CHQ_UNSUPPORTED,
            "relay %s speaks version %u of the protocol, this program version %d; update the older one",
            chq_agent_relay_name(relay), (unsigned)in->welcome.version, CHQ_RELAY_PROTOCOL_VERSION);
        chq_agent_unlink(a, relay);
        chq_agent_backoff(a, &relay->retry);
        return;
    }
    if (memcmp(in->welcome.relay_id, relay->id, 32) != 0) {
        chq_agent_distrust(a, relay, "says that it is another relay than the one that was called");
        return;
    }
    memcpy(relay->challenge, in->welcome.challenge, 32);
    relay->welcome_price = in->welcome.price_micro;
    relay->welcome_quantum = in->welcome.quantum_bytes;
    relay->grant_micro = in->welcome.grant_micro;
    relay->state = AGENT_LINK_READY;
    relay->retry = (struct agent_retry){0};
    relay->attach_retry = (struct agent_retry){0};
    relay->said_down = false;
    relay->used_us = a->now_us;
    relay->checked = false;
    say_link(a, relay, true, "");
}

static void on_turn_grant(
    struct chq_agent *a, struct agent_relay *relay, uint64_t request, const struct chq_frame *in)
{
    struct chq_agent_notice *note = chq_agent_note(a, CHQ_AGENT_NOTE_TURN);
    struct chq_bytes host = in->turn_grant.host;
    if (host.size == 0)
        host = chq_bytes_text(relay->address.host);
    note->request = request;
    memcpy(note->relay, relay->id, 32);
    if (host.size > 0 && host.size < CHQ_AGENT_HOST_CHARS)
        memcpy(note->turn.host, host.data, host.size);
    note->turn.port = (uint16_t)in->turn_grant.port;
    memcpy(note->turn.username, in->turn_grant.username.data, in->turn_grant.username.size);
    memcpy(note->turn.password, in->turn_grant.password.data, in->turn_grant.password.size);
    memcpy(note->turn.realm, in->turn_grant.realm.data, in->turn_grant.realm.size);
    note->turn.valid_s = in->turn_grant.valid_s;
    relay->used_us = a->now_us;
}

static void on_attach_error(
    struct chq_agent *a, struct agent_relay *relay, struct agent_channel *channel, const struct chq_frame *in)
{
    if (channel != NULL && in->error.code != CHQ_AGAIN && in->error.code != CHQ_IO)
        channel->suspect_us = a->now_us;
    relay->attaching = NULL;
    relay->attached = NULL;
    chq_agent_backoff(a, &relay->attach_retry);
    if (in->error.code != CHQ_NOT_FOUND || relay->attach_retry.wait_ms > 8000)
        chq_agent_say_error(a, 0, (enum chq_err)in->error.code,
            "relay %s does not take the payment channel: %.*s; trying again", chq_agent_relay_name(relay),
            (int)in->error.text.size, (const char *)in->error.text.data);
}

static void on_error(
    struct chq_agent *a, struct agent_relay *relay, struct agent_request *request, const struct chq_frame *in)
{
    const char *text = (const char *)in->error.text.data;
    int size = (int)in->error.text.size;
    switch (request->kind) {
    case AGENT_ASK_HELLO:
        chq_agent_say_error(a, 0, (enum chq_err)in->error.code,
            "relay %s does not take us: %.*s; check that the invitation is of the same network",
            chq_agent_relay_name(relay), size, text);
        chq_agent_unlink(a, relay);
        chq_agent_backoff(a, &relay->retry);
        return;
    case AGENT_ASK_ATTACH:
    case AGENT_ASK_TOKEN: on_attach_error(a, relay, request->object, in); return;
    case AGENT_ASK_PUT:
        if (request->object != NULL)
            chq_agent_on_put(a, relay, request->object, in);
        return;
    case AGENT_ASK_QUEUE:
    case AGENT_ASK_SUBSCRIBE:
        ((struct agent_queue *)request->object)->asking = false;
        if (in->error.code == CHQ_NOT_FOUND)
            ((struct agent_queue *)request->object)->made = false;
        chq_agent_backoff(a, &((struct agent_queue *)request->object)->retry);
        return;
    case AGENT_ASK_LOOKUP:
        ((struct agent_lookup *)request->object)->asking = false;
        chq_agent_backoff(a, &((struct agent_lookup *)request->object)->retry);
        return;
    case AGENT_ASK_SUBMIT:
        a->batch.asking = false;
        chq_agent_backoff(a, &a->batch.retry);
        return;
    case AGENT_ASK_TURN:
        chq_agent_say_error(a, request->command, (enum chq_err)in->error.code,
            "relay %s gives no call credentials: %.*s", chq_agent_relay_name(relay), size, text);
        return;
    case AGENT_ASK_PREKEYS: chq_agent_on_prekeys(a, false); return;
    case AGENT_ASK_PREKEY_GET:
        if (request->object != NULL) {
            ((struct agent_peer *)request->object)->asking = false;
            chq_agent_backoff(a, &((struct agent_peer *)request->object)->retry);
        }
        return;
    case AGENT_ASK_GRANT: chq_agent_on_grant(a, in); return;
    }
}

/* A reply of the right type to `request`; false when the type is wrong. */
static bool on_reply(
    struct chq_agent *a, struct agent_relay *relay, struct agent_request *request, const struct chq_frame *in)
{
    static const enum chq_frame_type expected[] = {[AGENT_ASK_HELLO] = CHQ_FRAME_WELCOME,
        [AGENT_ASK_ATTACH] = CHQ_FRAME_ATTACHED,
        [AGENT_ASK_TOKEN] = CHQ_FRAME_CREDIT,
        [AGENT_ASK_PUT] = CHQ_FRAME_STORED,
        [AGENT_ASK_QUEUE] = CHQ_FRAME_OK,
        [AGENT_ASK_SUBSCRIBE] = CHQ_FRAME_OK,
        [AGENT_ASK_LOOKUP] = CHQ_FRAME_LEDGER_REPLY,
        [AGENT_ASK_SUBMIT] = CHQ_FRAME_LEDGER_REPLY,
        [AGENT_ASK_TURN] = CHQ_FRAME_TURN_GRANT,
        [AGENT_ASK_PREKEYS] = CHQ_FRAME_OK,
        [AGENT_ASK_PREKEY_GET] = CHQ_FRAME_PREKEY,
        [AGENT_ASK_GRANT] = CHQ_FRAME_OK};
    if (in->type != expected[request->kind])
        return false;
    switch (request->kind) {
    case AGENT_ASK_HELLO: on_welcome(a, relay, in); break;
    case AGENT_ASK_ATTACH: chq_agent_on_attached(a, relay, request->object, in); break;
    case AGENT_ASK_TOKEN: chq_agent_on_credit(a, relay, in); break;
    case AGENT_ASK_PUT:
        if (request->object != NULL)
            chq_agent_on_put(a, relay, request->object, in);
        break;
    case AGENT_ASK_QUEUE:
        ((struct agent_queue *)request->object)->asking = false;
        ((struct agent_queue *)request->object)->made = true;
        ((struct agent_queue *)request->object)->dirty = true;
        break;
    case AGENT_ASK_SUBSCRIBE:
        ((struct agent_queue *)request->object)->asking = false;
        ((struct agent_queue *)request->object)->subscribed = true;
        ((struct agent_queue *)request->object)->retry = (struct agent_retry){0};
        break;
    case AGENT_ASK_LOOKUP: chq_agent_on_lookup(a, relay, request->object, in->ledger_reply.reply); break;
    case AGENT_ASK_SUBMIT: chq_agent_on_submit(a, relay, in->ledger_reply.reply); break;
    case AGENT_ASK_TURN: on_turn_grant(a, relay, request->command, in); break;
    case AGENT_ASK_PREKEYS: chq_agent_on_prekeys(a, true); break;
    case AGENT_ASK_PREKEY_GET:
        if (request->object != NULL)
            chq_agent_on_prekey(a, relay, request->object, in);
        break;
    case AGENT_ASK_GRANT: chq_agent_on_grant(a, in); break;
    }
    return true;
}

static struct agent_request *take_request(struct agent_relay *relay, uint64_t id)
{
    for (struct agent_request **at = &relay->requests; *at != NULL; at = &(*at)->next)
        if ((*at)->id == id) {
            struct agent_request *request = *at;
            *at = request->next;
            return request;
        }
    return NULL;
}

static void unsolicited(struct chq_agent *a, struct agent_relay *relay, const struct chq_frame *in)
{
    if (in->type == CHQ_FRAME_DELIVER)
        chq_agent_on_deliver(a, relay, in);
    else if (in->type == CHQ_FRAME_CREDIT)
        chq_agent_on_credit(a, relay, in);
    else if (in->type == CHQ_FRAME_ERROR)
        chq_agent_say_error(a, 0, (enum chq_err)in->error.code, "relay %s: %.*s", chq_agent_relay_name(relay),
            (int)in->error.text.size, (const char *)in->error.text.data);
}

void chq_agent_frame(struct chq_agent *a, struct agent_relay *relay, struct chq_bytes frame)
{
    if (relay->state < AGENT_LINK_GREETING)
        return;
    struct chq_frame *in = chq_agent_scratch(a, sizeof *in);
    if (in == NULL)
        return;
    enum chq_err err = chq_frame_read(frame, in);
    if (err == CHQ_UNSUPPORTED)
        return; /* of a later version; a request of ours that it answered runs into its time limit */
    if (err != CHQ_OK) {
        chq_agent_distrust(a, relay, "sent bytes that are no message of the protocol");
        return;
    }
    if (in->id == 0) {
        if (relay->state == AGENT_LINK_READY || in->type == CHQ_FRAME_ERROR)
            unsolicited(a, relay, in);
        return;
    }
    struct agent_request *request = take_request(relay, in->id);
    if (request == NULL)
        return; /* of an object that is gone */
    if (request->kind == AGENT_ASK_PUT) {
        relay->puts--;
        relay->puts_bytes -= request->bytes;
    }
    if (in->type == CHQ_FRAME_ERROR) {
        on_error(a, relay, request, in);
    } else if (!on_reply(a, relay, request, in)) {
        unask(a, relay, request);
        chq_agent_distrust(a, relay, "answered %s where that is no answer", chq_frame_type_name(in->type));
    }
    free(request);
    a->again = true;
}

/* Take the address and terms that the ledger proved. False when there is no such relay. */
static bool take_record(struct chq_agent *a, struct agent_relay *relay, const struct agent_lookup *lookup)
{
    struct chq_relay_record record;
    if (!lookup->present || chq_relay_record_read(chq_bytes(lookup->value, lookup->size), &record) != CHQ_OK)
        return false;
    if (relay->addressed && memcmp(relay->address.tls_pin, record.pin, 32) != 0 &&
        relay->state != AGENT_LINK_NONE) {
        struct chq_agent_notice *note = chq_agent_note(a, CHQ_AGENT_NOTE_SECURITY);
        memcpy(note->relay, relay->id, 32);
        chq_agent_note_text(a, note,
            "the TLS key of relay %s in the invitation is not the one the ledger names; calling again with "
            "the "
            "ledger's",
            chq_agent_relay_name(relay));
        chq_agent_unlink(a, relay);
    }
    memset(relay->address.host, 0, sizeof relay->address.host);
    memcpy(relay->address.host, record.host.data, record.host.size);
    relay->address.port = record.port;
    memcpy(relay->address.tls_pin, record.pin, 32);
    relay->price_micro = record.price_micro;
    relay->quantum_bytes = record.quantum_bytes;
    relay->addressed = relay->proved = true;
    return true;
}

static void advance_unlinked(struct chq_agent *a, struct agent_relay *relay, bool home)
{
    if (!relay->wanted || a->leaving || !chq_agent_due(a, &relay->retry))
        return;
    if (!relay->proved && !home) {
        struct agent_lookup *lookup = chq_agent_look(a, CHQ_RECORD_RELAY, relay->id, relay->record_since_us);
        if (lookup == NULL)
            return;
        if (!take_record(a, relay, lookup)) {
            chq_agent_say_error(a, 0, CHQ_NOT_FOUND, "relay %s is not registered on the ledger (any more)",
                chq_agent_relay_name(relay));
            relay->record_since_us = a->now_us + 1;
            chq_agent_backoff(a, &relay->retry);
            return;
        }
    }
    struct chq_agent_action *action = chq_agent_act(a, CHQ_AGENT_DO_LINK);
    memcpy(action->relay, relay->id, 32);
    action->link = relay->address;
    relay->state = AGENT_LINK_OPENING;
    relay->used_us = a->now_us;
}

/* Its record will not do: look at it again in a while, perhaps it has changed. */
static void leave_alone(struct chq_agent *a, struct agent_relay *relay)
{
    relay->record_since_us = a->now_us + 1;
    chq_agent_unlink(a, relay);
    relay->retry =
        (struct agent_retry){.at_us = a->now_us + AGENT_RETRY_MAX_MS * 1000, .wait_ms = AGENT_RETRY_MAX_MS};
}

/* Is this relay what the ledger says? Nothing is paid or asked of it before. */
static bool check_terms(struct chq_agent *a, struct agent_relay *relay)
{
    if (relay->checked)
        return true;
    struct agent_lookup *lookup = chq_agent_look(a, CHQ_RECORD_RELAY, relay->id, relay->record_since_us);
    if (lookup == NULL)
        return false;
    if (!take_record(a, relay, lookup)) {
        chq_agent_say_error(a, 0, CHQ_NOT_FOUND,
            "relay %s is not registered on the ledger; its operator must do that",
            chq_agent_relay_name(relay));
        leave_alone(a, relay);
        return false;
    }
    if (relay->state != AGENT_LINK_READY)
        return false;
    if (relay->welcome_price != relay->price_micro || relay->welcome_quantum != relay->quantum_bytes) {
        relay->record_since_us = a->now_us + 1; /* perhaps it has just changed them */
        chq_agent_distrust(a, relay, "asks another price than the one it has on the ledger");
        return false;
    }
    if (relay->quantum_bytes < AGENT_QUANTUM_BYTES_MIN) {
        chq_agent_distrust(a, relay, "wants payment per %u bytes; at least %u are needed to pay after use",
            (unsigned)relay->quantum_bytes, AGENT_QUANTUM_BYTES_MIN);
        return false;
    }
    /* Contacts choose their relays: a stranger could name one of its own and take our balance for one token. */
    if (relay->price_micro > a->config.price_max_micro) {
        chq_agent_say_error(a, 0, CHQ_PAYMENT,
            "relay %s asks %llu microcredit a token, more than this program pays to any; it is not used",
            chq_agent_relay_name(relay), (unsigned long long)relay->price_micro);
        leave_alone(a, relay);
        return false;
    }
    relay->checked = true;
    a->again = true;
    return true;
}

static void advance_queues(struct chq_agent *a, struct agent_relay *relay)
{
    for (struct agent_queue *q = a->queues; q != NULL; q = q->next) {
        if (memcmp(q->relay, relay->id, 32) == 0 && q->gap && chq_agent_due(a, &q->gap_retry)) {
            q->gap_asked++;
            chq_agent_backoff(a, &q->gap_retry);
            chq_agent_unlink(a, relay); /* a new connection begins with the first that is not acknowledged */
            return;
        }
        if (memcmp(q->relay, relay->id, 32) != 0 || q->asking || (q->made && q->subscribed) ||
            !chq_agent_due(a, &q->retry))
            continue;
        struct chq_frame frame = {0};
        if (!q->made) {
            uint8_t message[65];
            frame.type = CHQ_FRAME_QUEUE;
            memcpy(frame.queue.queue_key, q->key.public_key, 32);
            frame.queue.kind = q->kind;
            chq_frame_queue_message(message, relay->id, relay->challenge, q->kind);
            chq_sign(
                frame.queue.signature, &q->key, CHQ_DOMAIN_QUEUE_NEW, chq_bytes(message, sizeof message));
            q->asking = chq_agent_ask(a, relay, &frame, AGENT_ASK_QUEUE, q) != NULL;
        } else {
            uint8_t message[96];
            frame.type = CHQ_FRAME_SUBSCRIBE;
            memcpy(frame.subscribe.queue_key, q->key.public_key, 32);
            chq_frame_subscribe_message(message, relay->id, relay->challenge, q->id);
            chq_sign(
                frame.subscribe.signature, &q->key, CHQ_DOMAIN_SUBSCRIBE, chq_bytes(message, sizeof message));
            q->asking = chq_agent_ask(a, relay, &frame, AGENT_ASK_SUBSCRIBE, q) != NULL;
        }
    }
}

static void advance_turn(struct chq_agent *a, struct agent_relay *relay)
{
    while (a->turn_wanted > 0) {
        struct chq_frame frame = {.type = CHQ_FRAME_TURN};
        struct agent_request *request = chq_agent_ask(a, relay, &frame, AGENT_ASK_TURN, NULL);
        if (request == NULL)
            return;
        request->command = a->turn_requests[--a->turn_wanted];
    }
}

static void advance_ready(struct chq_agent *a, struct agent_relay *relay, bool home)
{
    for (struct agent_request *q = relay->requests; q != NULL; q = q->next) {
        if (q->deadline_us <= a->now_us) {
            chq_agent_unlink(a, relay);
            chq_agent_backoff(a, &relay->retry);
            say_link(a, relay, false, "the relay does not answer; calling it again");
            return;
        }
        chq_agent_wake(a, q->deadline_us);
    }
    if (relay->state != AGENT_LINK_READY || !check_terms(a, relay))
        return;
    chq_agent_advance_pay(a, relay);
    if (relay->state != AGENT_LINK_READY)
        return;
    if (home && relay->attached != NULL && !a->leaving) {
        advance_queues(a, relay);
        advance_turn(a, relay);
    }
    if (relay->wanted)
        relay->used_us = a->now_us;
    if (relay->wanted || relay->requests != NULL)
        return;
    if (a->now_us < relay->used_us + AGENT_RELAY_IDLE_US)
        chq_agent_wake(a, relay->used_us + AGENT_RELAY_IDLE_US);
    else if (chq_agent_paid_up(relay))
        chq_agent_unlink(a, relay);
}

static void advance_leave(struct chq_agent *a)
{
    bool waiting = false;
    for (struct agent_relay *r = a->relays; r != NULL; r = r->next)
        waiting = waiting || (r->state == AGENT_LINK_READY && (r->puts > 0 || !chq_agent_paid_up(r)));
    if (waiting && a->now_us < a->leave_until_us) {
        chq_agent_wake(a, a->leave_until_us);
        return;
    }
    for (struct agent_relay *r = a->relays; r != NULL; r = r->next)
        chq_agent_unlink(a, r);
    chq_agent_note(a, CHQ_AGENT_NOTE_LEFT)->request = a->leave_request;
    a->left = true;
}

void chq_agent_advance_relays(struct chq_agent *a)
{
    struct agent_relay *home = a->created ? chq_agent_home(a) : NULL;
    if (home != NULL)
        home->wanted = true;
    for (struct agent_relay *r = a->relays; r != NULL && a->err == CHQ_OK; r = r->next) {
        if (r->state == AGENT_LINK_NONE)
            advance_unlinked(a, r, r == home);
        else
            advance_ready(a, r, r == home);
    }
    if (a->leaving && a->err == CHQ_OK)
        advance_leave(a);
}
