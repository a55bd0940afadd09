/* SPDX-License-Identifier: Apache-2.0 */
#include "client/sdk/worker.h"

#include <stdio.h>
#include <string.h>

#include "client/sdk/error.h"
#include "client/sdk/talk.h"
#include "core/base/assert.h"

#define RETRY_SECONDS 5
#define MESSAGE_KEY   40

struct posted {
    struct chq_agent_event event;
    GByteArray *data;
};

static void step(struct chq_worker *w, struct chq_agent_event *event);

/* ---- sources of this thread's context */

static GSource *attach(struct chq_worker *w, GSource *source, GSourceFunc f)
{
    g_source_set_callback(source, f, w, NULL);
    g_source_attach(source, w->context);
    return source;
}

static void drop_source(GSource **source)
{
    if (*source == NULL)
        return;
    g_source_destroy(*source);
    g_source_unref(*source);
    *source = NULL;
}

/* A source that fires at its ready time, a g_get_monotonic_time. */
static gboolean deadline_dispatch(GSource *source, GSourceFunc f, gpointer data)
{
    g_source_set_ready_time(source, -1);
    return f(data);
}

static GSourceFuncs deadline_funcs = {.dispatch = deadline_dispatch};

static gboolean on_deadline(gpointer data)
{
    struct chq_agent_event event = {.type = CHQ_AGENT_TIMEOUT};
    step(data, &event);
    return G_SOURCE_CONTINUE;
}

static void arm_deadline(struct chq_worker *w)
{
    uint64_t at = w->agent != NULL ? chq_agent_deadline_us(w->agent) : UINT64_MAX;
    g_source_set_ready_time(w->deadline, at >= G_MAXINT64 ? -1 : (gint64)at);
}

/* ---- names */

const struct chq_worker_relay *chq_worker_relay(const struct chq_worker *w, const uint8_t relay[32])
{
    for (size_t i = 0; i < CHQ_WORKER_RELAYS_MAX; i++)
        if (w->relays[i].used && memcmp(w->relays[i].relay, relay, 32) == 0)
            return &w->relays[i];
    return NULL;
}

static void remember_relay(struct chq_worker *w, const uint8_t relay[32], const struct chq_agent_link *link)
{
    struct chq_worker_relay *entry = (struct chq_worker_relay *)chq_worker_relay(w, relay);
    for (size_t i = 0; entry == NULL && i < CHQ_WORKER_RELAYS_MAX; i++)
        if (!w->relays[i].used)
            entry = &w->relays[i];
    if (entry == NULL)
        entry = &w->relays[0];
    entry->used = true;
    memcpy(entry->relay, relay, 32);
    g_strlcpy(entry->name, link->host, sizeof entry->name);
    g_snprintf(entry->host, sizeof entry->host, "%.50s:%u", link->host, link->port);
}

bool chq_worker_account(struct chq_worker *w, const char *handle, uint8_t account[32])
{
    struct chq_agent_contact c;
    for (uint32_t i = 0; w->agent != NULL && chq_agent_contact(w->agent, i, &c) == CHQ_OK; i++) {
        if (strcmp(c.handle, handle) == 0 && c.known) {
            memcpy(account, c.account, 32);
            return true;
        }
    }
    return false;
}

void chq_worker_handle(struct chq_worker *w, const uint8_t account[32], char handle[CHQ_HANDLE_CHARS])
{
    struct chq_agent_contact c;
    handle[0] = 0;
    for (uint32_t i = 0; w->agent != NULL && chq_agent_contact(w->agent, i, &c) == CHQ_OK; i++)
        if (c.known && memcmp(c.account, account, 32) == 0)
            g_strlcpy(handle, c.handle, CHQ_HANDLE_CHARS);
}

/* ---- notices become events */

static bool registered(struct chq_worker *w)
{
    struct chq_agent_identity id;
    return chq_agent_identity(w->agent, &id) == CHQ_OK && id.registered;
}

static void wallet_of(struct chq_wallet *out, const struct chq_agent_wallet *in)
{
    out->balance_micro = in->balance_micro;
    out->deposits_micro = in->deposits_micro;
    out->paid_micro = in->paid_micro;
    out->channels = in->channels;
}

static enum chq_event_kind event_kind(enum chq_agent_notice_kind kind)
{
    switch (kind) {
    case CHQ_AGENT_NOTE_PROGRESS: return CHQ_EVENT_PROGRESS;
    case CHQ_AGENT_NOTE_READY: return CHQ_EVENT_READY;
    case CHQ_AGENT_NOTE_CONTACT_ADDED: return CHQ_EVENT_CONTACT;
    case CHQ_AGENT_NOTE_SENT: return CHQ_EVENT_SENT;
    case CHQ_AGENT_NOTE_DELIVERED: return CHQ_EVENT_DELIVERED;
    case CHQ_AGENT_NOTE_RECEIVED: return CHQ_EVENT_RECEIVED;
    case CHQ_AGENT_NOTE_WALLET: return CHQ_EVENT_WALLET;
    case CHQ_AGENT_NOTE_TRANSFERRED: return CHQ_EVENT_TRANSFERRED;
    case CHQ_AGENT_NOTE_LINK: return CHQ_EVENT_LINK;
    case CHQ_AGENT_NOTE_ERROR: return CHQ_EVENT_ERROR;
    case CHQ_AGENT_NOTE_SECURITY: return CHQ_EVENT_SECURITY;
    case CHQ_AGENT_NOTE_QUEUED:
    case CHQ_AGENT_NOTE_CALL:
    case CHQ_AGENT_NOTE_TURN:
    case CHQ_AGENT_NOTE_LEFT:
    default: return 0;
    }
}

/* Keep what became of the command that somebody waits for; return whether that is all there is to tell. */
static bool note_outcome(struct chq_worker *w, const struct chq_agent_notice *n)
{
    if (n->request == 0 || n->request != w->waiting)
        return false;
    if (n->kind == CHQ_AGENT_NOTE_QUEUED) {
        memcpy(w->outcome_id, n->message_id, sizeof w->outcome_id);
        return true;
    }
    if (n->kind != CHQ_AGENT_NOTE_ERROR)
        return false;
    w->outcome = chq_error_of_notice(n->err, !registered(w));
    g_snprintf(w->outcome_text, sizeof w->outcome_text, "%s",
        n->text.size > 0 ? (const char *)n->text.data : chq_error_text(w->outcome));
    return true;
}

static void notice_event(struct chq_worker *w, const struct chq_agent_notice *n)
{
    struct chq_event e = {.kind = event_kind(n->kind), .request = n->request, .number = n->number};
    const struct chq_worker_relay *relay = chq_worker_relay(w, n->relay);
    if (e.kind == 0)
        return;
    memcpy(e.account, n->account, sizeof e.account);
    memcpy(e.message_id, n->message_id, sizeof e.message_id);
    memcpy(e.relay, n->relay, sizeof e.relay);
    g_strlcpy(e.handle, n->handle, sizeof e.handle);
    if (e.handle[0] == 0)
        chq_worker_handle(w, n->account, e.handle);
    if (relay != NULL)
        g_strlcpy(e.host, relay->host, sizeof e.host);
    e.at_ms = n->at_ms != 0 ? n->at_ms : (uint64_t)g_get_real_time() / 1000;
    if (n->kind == CHQ_AGENT_NOTE_RECEIVED) {
        e.sent_ms = n->at_ms;
        e.at_ms = (uint64_t)g_get_real_time() / 1000;
    }
    e.amount_micro = n->amount;
    e.up = n->up;
    e.text = (const char *)n->text.data;
    e.text_size = n->text.size;
    wallet_of(&e.wallet, &n->wallet);
    if (n->kind == CHQ_AGENT_NOTE_ERROR)
        e.error = chq_error_of_notice(n->err, !registered(w));
    if (n->kind == CHQ_AGENT_NOTE_LINK && !n->up)
        e.error = CHQ_ERROR_RELAY;
    chq_events_push(w->events, &e);
}

static void notice(struct chq_worker *w, const struct chq_agent_notice *n)
{
    if (note_outcome(w, n))
        return;
    switch (n->kind) {
    case CHQ_AGENT_NOTE_CALL: chq_talk_signal(w->talk, n); break;
    case CHQ_AGENT_NOTE_TURN: (void)chq_talk_turn(w->talk, n); break;
    case CHQ_AGENT_NOTE_ERROR:
        if (!chq_talk_turn(w->talk, n))
            notice_event(w, n);
        break;
    case CHQ_AGENT_NOTE_LEFT: w->left = true; break;
    default: notice_event(w, n); break;
    }
}

/* ---- a step: persist, then do */

static void message_key(uint8_t key[MESSAGE_KEY], const uint8_t account[32], uint64_t number)
{
    memcpy(key, account, 32);
    chq_store_u64(key + 32, number);
}

static enum chq_err persist(struct chq_worker *w, const struct chq_agent_actions *acts)
{
    uint32_t writes = 0;
    uint8_t key[MESSAGE_KEY];
    for (uint32_t i = 0; i < acts->n; i++)
        writes += acts->v[i].type == CHQ_AGENT_DO_PERSIST;
    if (writes == 0)
        return CHQ_OK;
    CHQ_TRY(chq_store_begin(w->store));
    for (uint32_t i = 0; i < acts->n; i++) {
        const struct chq_agent_action *a = &acts->v[i];
        if (a->type == CHQ_AGENT_DO_PERSIST && a->record.erase)
            chq_store_delete(w->store, (uint8_t)a->record.table, a->record.key);
        else if (a->type == CHQ_AGENT_DO_PERSIST)
            chq_store_put(w->store, (uint8_t)a->record.table, a->record.key, a->record.value);
        else if (a->type == CHQ_AGENT_DO_NOTIFY && a->notice->kind == CHQ_AGENT_NOTE_RECEIVED) {
            message_key(key, a->notice->account, a->notice->number);
            chq_store_put(w->store, CHQ_WORKER_UNSHOWN, chq_bytes(key, sizeof key), chq_bytes(NULL, 0));
        }
    }
    return chq_store_commit(w->store);
}

static void act(struct chq_worker *w, const struct chq_agent_action *a)
{
    switch (a->type) {
    case CHQ_AGENT_DO_PERSIST: break;
    case CHQ_AGENT_DO_LINK:
        remember_relay(w, a->relay, &a->link);
        chq_links_open(w->links, a->relay, a->link.host, a->link.port, a->link.tls_pin);
        break;
    case CHQ_AGENT_DO_UNLINK: chq_links_close(w->links, a->relay); break;
    case CHQ_AGENT_DO_SEND: chq_links_send(w->links, a->relay, a->frame); break;
    case CHQ_AGENT_DO_NOTIFY: notice(w, a->notice); break;
    default: CHQ_ASSERT(false);
    }
}

static gboolean on_retry(gpointer data)
{
    struct chq_worker *w = data;
    char why[CHQ_WHY_CHARS];
    drop_source(&w->retry);
    enum chq_error error = chq_worker_start(w, why);
    if (error == CHQ_ERROR_NONE) {
        w->broken = CHQ_ERROR_NONE;
        return G_SOURCE_REMOVE;
    }
    struct chq_event e = {.kind = CHQ_EVENT_STOPPED, .error = error, .text = why, .text_size = strlen(why)};
    chq_events_push(w->events, &e);
    return G_SOURCE_REMOVE;
}

/* Nothing of the step was done: forget the agent, tell the app, begin again from what is on disk. */
static void fail_step(struct chq_worker *w, enum chq_error error, const char *text)
{
    w->broken = error;
    g_strlcpy(w->broken_text, text, sizeof w->broken_text);
    w->outcome = error;
    g_strlcpy(w->outcome_text, text, sizeof w->outcome_text);
    chq_agent_free(w->agent);
    w->agent = NULL;
    chq_links_drop_all(w->links);
    struct chq_event e = {.kind = CHQ_EVENT_ERROR, .error = error, .text = text, .text_size = strlen(text)};
    chq_events_push(w->events, &e);
    drop_source(&w->retry);
    w->retry = attach(w, g_timeout_source_new_seconds(RETRY_SECONDS), on_retry);
}

static void step(struct chq_worker *w, struct chq_agent_event *event)
{
    struct chq_agent_actions acts = {0};
    if (w->agent == NULL)
        return;
    CHQ_ASSERT(!w->in_step);
    w->in_step = true;
    event->now_us = (uint64_t)g_get_monotonic_time();
    event->unix_ms = (uint64_t)g_get_real_time() / 1000;
    enum chq_err err = chq_agent_step(w->agent, event, &acts);
    if (err != CHQ_OK) {
        fail_step(w, err == CHQ_NO_MEMORY ? CHQ_ERROR_MEMORY : CHQ_ERROR_FAILED, chq_err_string(err));
    } else if (persist(w, &acts) != CHQ_OK) {
        const struct chq_store_fault *fault = chq_store_last_fault(w->store);
        fail_step(w, chq_error_of_store(fault), fault->text);
    } else {
        for (uint32_t i = 0; i < acts.n; i++)
            act(w, &acts.v[i]);
    }
    w->in_step = false;
    arm_deadline(w);
}

/* ---- events of other parts */

static void posted_free(struct posted *p)
{
    g_clear_pointer(&p->data, g_byte_array_unref);
    g_free(p);
}

static gboolean on_pump(gpointer data)
{
    struct chq_worker *w = data;
    struct posted *p;
    drop_source(&w->pump);
    while ((p = g_queue_pop_head(&w->posted)) != NULL) {
        if (p->data != NULL)
            p->event.command.data = chq_bytes(p->data->data, p->data->len);
        step(w, &p->event);
        posted_free(p);
    }
    return G_SOURCE_REMOVE;
}

uint64_t chq_worker_post(struct chq_worker *w, const struct chq_agent_command *command)
{
    struct posted *p = g_new0(struct posted, 1);
    p->event.type = CHQ_AGENT_COMMAND;
    p->event.command = *command;
    p->event.command.request = ++w->next_request;
    p->event.command.text = p->event.command.handle = p->event.command.secret = chq_bytes(NULL, 0);
    p->data = g_byte_array_new();
    if (command->data.size > 0)
        g_byte_array_append(p->data, command->data.data, (guint)command->data.size);
    g_queue_push_tail(&w->posted, p);
    if (w->pump == NULL) {
        GSource *source = g_idle_source_new();
        g_source_set_priority(source, G_PRIORITY_DEFAULT);
        w->pump = attach(w, source, on_pump);
    }
    return w->next_request;
}

enum chq_error chq_worker_command(struct chq_worker *w, struct chq_agent_command *command)
{
    struct chq_agent_event event = {.type = CHQ_AGENT_COMMAND};
    if (w->agent == NULL) {
        g_strlcpy(w->outcome_text, w->broken_text, sizeof w->outcome_text);
        return w->broken != CHQ_ERROR_NONE ? w->broken : CHQ_ERROR_CLOSED;
    }
    command->request = ++w->next_request;
    w->waiting = command->request;
    w->outcome = CHQ_ERROR_NONE;
    w->outcome_text[0] = 0;
    event.command = *command;
    step(w, &event);
    w->waiting = 0;
    return w->outcome;
}

static void on_link_change(void *user, const uint8_t relay[32], bool up, const char *reason)
{
    struct chq_agent_event event = {.type = up ? CHQ_AGENT_LINK_UP : CHQ_AGENT_LINK_DOWN};
    memcpy(event.relay, relay, 32);
    event.reason = chq_bytes_text(reason);
    step(user, &event);
}

static void on_link_frame(void *user, const uint8_t relay[32], struct chq_bytes frame)
{
    struct chq_agent_event event = {.type = CHQ_AGENT_FRAME, .frame = frame};
    memcpy(event.relay, relay, 32);
    step(user, &event);
}

/* ---- start and stop */

struct loading {
    struct chq_agent *agent;
    enum chq_agent_table table;
};

static enum chq_err load_one(void *context, struct chq_bytes key, struct chq_bytes value)
{
    struct loading *loading = context;
    return chq_agent_load(loading->agent, loading->table, key, value);
}

static enum chq_error store_error(struct chq_worker *w, enum chq_err err, char why[CHQ_WHY_CHARS])
{
    const struct chq_store_fault *fault = chq_store_last_fault(w->store);
    if (fault->why != CHQ_STORE_FINE) {
        g_strlcpy(why, fault->text, CHQ_WHY_CHARS);
        return chq_error_of_store(fault);
    }
    g_snprintf(why, CHQ_WHY_CHARS,
        "the profile is damaged: an entry is not what was written (%s); put back a copy, or restore the "
        "account from its 24 words",
        chq_err_string(err));
    return err == CHQ_NO_MEMORY ? CHQ_ERROR_MEMORY : CHQ_ERROR_PROFILE_DAMAGED;
}

/* Messages that were received but never marked as shown: tell them again, oldest first. */
static enum chq_err collect_key(void *context, struct chq_bytes key, struct chq_bytes value)
{
    (void)value;
    if (key.size == MESSAGE_KEY)
        g_byte_array_append(context, key.data, MESSAGE_KEY);
    return CHQ_OK;
}

static int by_key(const void *a, const void *b)
{
    return memcmp(a, b, MESSAGE_KEY);
}

static void tell_unshown(struct chq_worker *w)
{
    GByteArray *keys = g_byte_array_new();
    if (chq_store_each(w->store, CHQ_WORKER_UNSHOWN, collect_key, keys) == CHQ_OK) {
        if (keys->len > 0)
            qsort(keys->data, keys->len / MESSAGE_KEY, MESSAGE_KEY, by_key);
        for (guint at = 0; at + MESSAGE_KEY <= keys->len; at += MESSAGE_KEY) {
            const uint8_t *key = keys->data + at;
            struct chq_writer value = chq_writer_heap(65536);
            struct chq_agent_message m;
            struct chq_event e = {.kind = CHQ_EVENT_RECEIVED, .number = chq_load_u64(key + 32)};
            if (chq_worker_message(w, key, e.number, &value, &m) == CHQ_OK) {
                memcpy(e.account, key, 32);
                memcpy(e.message_id, m.id, 16);
                chq_worker_handle(w, key, e.handle);
                e.sent_ms = m.sent_ms;
                e.at_ms = m.stored_ms;
                e.text = (const char *)m.text.data;
                e.text_size = m.text.size;
                chq_events_push(w->events, &e);
            }
            chq_writer_free(&value);
        }
    }
    g_byte_array_unref(keys);
}

static enum chq_error start_links(struct chq_worker *w, char why[CHQ_WHY_CHARS])
{
    struct chq_links_config config = {
        .loop = w->loop, .on_change = on_link_change, .on_frame = on_link_frame, .user = w};
    if (w->links != NULL)
        return CHQ_ERROR_NONE;
    if (chq_links_new(&config, &w->links) == CHQ_OK)
        return CHQ_ERROR_NONE;
    g_strlcpy(why, "libwebsockets cannot use GLib's loop; install the package libwebsockets-evlib-glib",
        CHQ_WHY_CHARS);
    return CHQ_ERROR_FAILED;
}

enum chq_error chq_worker_start(struct chq_worker *w, char why[CHQ_WHY_CHARS])
{
    struct chq_agent_event start = {.type = CHQ_AGENT_START};
    struct loading loading = {0};
    enum chq_err err = CHQ_OK;
    why[0] = 0;
    bool again = w->links != NULL;
    enum chq_error error = start_links(w, why);
    if (error != CHQ_ERROR_NONE)
        return error;
    if (w->deadline == NULL)
        w->deadline = attach(w, g_source_new(&deadline_funcs, sizeof(GSource)), on_deadline);
    if (w->talk == NULL)
        w->talk = chq_talk_new(w);
    err = chq_agent_new(&loading.agent, &w->random, NULL);
    for (unsigned t = 1; err == CHQ_OK && t < CHQ_AGENT_TABLES_MAX; t++) {
        if (t == CHQ_AGENT_MESSAGES || t == CHQ_AGENT_STATUS)
            continue;
        loading.table = (enum chq_agent_table)t;
        err = chq_store_each(w->store, (uint8_t)t, load_one, &loading);
    }
    if (err != CHQ_OK) {
        chq_agent_free(loading.agent);
        return store_error(w, err, why);
    }
    w->agent = loading.agent;
    w->left = false;
    if (!again)
        tell_unshown(w);
    step(w, &start);
    return CHQ_ERROR_NONE;
}

void chq_worker_stop(struct chq_worker *w)
{
    chq_talk_free(w->talk);
    w->talk = NULL;
    chq_links_free(w->links);
    w->links = NULL;
    drop_source(&w->deadline);
    drop_source(&w->pump);
    drop_source(&w->retry);
    g_queue_clear_full(&w->posted, (GDestroyNotify)posted_free);
    chq_agent_free(w->agent);
    w->agent = NULL;
}

/* ---- history */

enum chq_err chq_worker_message(struct chq_worker *w, const uint8_t account[32], uint64_t number,
    struct chq_writer *value, struct chq_agent_message *out)
{
    uint8_t key[MESSAGE_KEY];
    message_key(key, account, number);
    CHQ_TRY(chq_store_get(w->store, CHQ_AGENT_MESSAGES, chq_bytes(key, sizeof key), value));
    return chq_agent_message_read(chq_writer_bytes(value), out);
}

enum chq_error chq_worker_mark_shown(struct chq_worker *w, const uint8_t account[32], uint64_t number)
{
    uint8_t key[MESSAGE_KEY];
    message_key(key, account, number);
    enum chq_err err = chq_store_begin(w->store);
    if (err == CHQ_OK) {
        chq_store_delete(w->store, CHQ_WORKER_UNSHOWN, chq_bytes(key, sizeof key));
        err = chq_store_commit(w->store);
    }
    if (err == CHQ_OK)
        return CHQ_ERROR_NONE;
    g_strlcpy(w->outcome_text, chq_store_last_fault(w->store)->text, sizeof w->outcome_text);
    return chq_error_of_store(chq_store_last_fault(w->store));
}
