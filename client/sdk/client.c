/* SPDX-License-Identifier: Apache-2.0 */
#include <glib.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/sdk/error.h"
#include "client/sdk/events.h"
#include "client/sdk/include/chasqui.h"
#include "client/sdk/keyring.h"
#include "client/sdk/network.h"
#include "client/sdk/talk.h"
#include "client/sdk/worker.h"
#include "core/base/text.h"
#include "core/crypto/keys.h"
#include "core/crypto/system.h"
#include "core/identity/handle.h"
#include "core/identity/recovery.h"
#include "core/wire/invitation.h"

#define LEAVE_MS            3000
#define FLUSH_MS            500
#define KEYRING_MS_DEFAULT  10000
#define HISTORY_VALUE_BYTES 65536

struct chq_client {
    bool started;
    struct chq_worker worker;
    struct chq_events events;
    struct chq_writer message; /* what chq_client_message returned last */
    char *message_text;
    char *profile;
    char why[CHQ_WHY_CHARS];
};

/* ---- jobs: run a function in the library's thread and wait for it */

struct job {
    void (*run)(struct chq_client *client, void *data);
    struct chq_client *client;
    void *data;
    GMutex mutex;
    GCond cond;
    bool done;
};

static gboolean job_run(gpointer data)
{
    struct job *job = data;
    job->run(job->client, job->data);
    g_mutex_lock(&job->mutex);
    job->done = true;
    g_cond_signal(&job->cond);
    g_mutex_unlock(&job->mutex);
    return G_SOURCE_REMOVE;
}

static void run_job(struct chq_client *client, void (*run)(struct chq_client *client, void *data), void *data)
{
    struct job job = {.run = run, .client = client, .data = data};
    GSource *source = g_idle_source_new();
    g_mutex_init(&job.mutex);
    g_cond_init(&job.cond);
    g_source_set_priority(source, G_PRIORITY_DEFAULT);
    g_source_set_callback(source, job_run, &job, NULL);
    g_source_attach(source, client->worker.context);
    g_source_unref(source);
    g_mutex_lock(&job.mutex);
    while (!job.done)
        g_cond_wait(&job.cond, &job.mutex);
    g_mutex_unlock(&job.mutex);
    g_mutex_clear(&job.mutex);
    g_cond_clear(&job.cond);
}

/* ---- making and freeing */

static enum chq_error say(char *why, enum chq_error error, const char *text)
{
    if (why != NULL)
        g_strlcpy(why, text, CHQ_WHY_CHARS);
    return error;
}

static struct chq_client *client_new(const struct chq_client_options *options)
{
    struct chq_client *c = g_new0(struct chq_client, 1);
    if (!chq_events_init(&c->events)) {
        chq_events_fini(&c->events);
        g_free(c);
        return NULL;
    }
    c->profile = g_strdup(options->profile);
    c->message = chq_writer_heap(HISTORY_VALUE_BYTES);
    struct chq_network network = chq_network_acquire();
    c->worker.context = network.context;
    c->worker.loop = network.loop;
    c->worker.events = &c->events;
    c->worker.random = chq_system_random();
    c->worker.relay_only = options->relay_only;
    g_queue_init(&c->worker.posted);
    return c;
}

static void job_stop(struct chq_client *c, void *data)
{
    (void)data;
    chq_worker_stop(&c->worker);
}

static void client_free(struct chq_client *c)
{
    if (c->started)
        run_job(c, job_stop, NULL);
    chq_store_close(c->worker.store);
    chq_network_release();
    chq_events_fini(&c->events);
    chq_writer_free(&c->message);
    g_free(c->message_text);
    g_free(c->profile);
    g_free(c);
}

struct start {
    enum chq_error error;
    char *why;
};

static void job_start(struct chq_client *c, void *data)
{
    struct start *start = data;
    start->error = chq_worker_start(&c->worker, start->why);
}

static enum chq_error client_start(struct chq_client *c, char why[CHQ_WHY_CHARS])
{
    struct start start = {.why = why};
    c->started = true;
    run_job(c, job_start, &start);
    return start.error;
}

/* ---- what unlocks the profile */

static const char *profile_name(const struct chq_client_options *options, char *real)
{
    return realpath(options->profile, real) != NULL ? real : options->profile;
}

static enum chq_error secret_of(const struct chq_client_options *options, bool fresh, uint8_t key[32],
    struct chq_store_secret *secret, char why[CHQ_WHY_CHARS])
{
    char text[256] = "", real[PATH_MAX];
    uint32_t timeout_ms = options->keyring_timeout_ms != 0 ? options->keyring_timeout_ms : KEYRING_MS_DEFAULT;
    memset(secret, 0, sizeof *secret);
    if (options->passphrase != NULL) {
        secret->passphrase = chq_bytes_text(options->passphrase);
        if (secret->passphrase.size == 0)
            return say(why, CHQ_ERROR_PASSPHRASE, "an empty passphrase protects nothing; choose one");
        return CHQ_ERROR_NONE;
    }
    secret->key = key;
    if (fresh) {
        struct chq_random random = chq_system_random();
        g_mkdir_with_parents(options->profile, 0700);
        chq_random_fill(&random, key, 32);
        if (!chq_keyring_store(profile_name(options, real), timeout_ms, key, text))
            return say(why, CHQ_ERROR_KEYRING, text);
        return CHQ_ERROR_NONE;
    }
    if (!chq_keyring_load(profile_name(options, real), timeout_ms, key, text))
        return say(why, CHQ_ERROR_KEYRING, text);
    return CHQ_ERROR_NONE;
}

static bool options_fit(const struct chq_client_options *options)
{
    return options != NULL && options->size == sizeof *options && options->profile != NULL &&
           options->profile[0] != 0;
}

enum chq_error chq_profile_by_keyring(const char *directory, bool *by_keyring, char why[CHQ_WHY_CHARS])
{
    struct chq_store_fault fault;
    if (chq_store_peek(directory, by_keyring, &fault) == CHQ_OK)
        return CHQ_ERROR_NONE;
    return say(why, chq_error_of_store(&fault), fault.text);
}

/* ---- open */

enum chq_error chq_client_open(
    const struct chq_client_options *options, struct chq_client **out, char why[CHQ_WHY_CHARS])
{
    char text[CHQ_WHY_CHARS] = "";
    struct chq_store_secret secret;
    struct chq_store_fault fault;
    struct chq_agent_identity id;
    uint8_t key[32] = {0};
    bool by_key;
    *out = NULL;
    if (!options_fit(options))
        return say(why, CHQ_ERROR_ARGUMENT, "options are incomplete, or of another version of the library");
    if (chq_crypto_init() != CHQ_OK)
        return say(why, CHQ_ERROR_FAILED, "the system gives no randomness");
    if (chq_store_peek(options->profile, &by_key, &fault) != CHQ_OK)
        return say(why, chq_error_of_store(&fault), fault.text);
    if (!by_key && options->passphrase == NULL)
        return say(why, CHQ_ERROR_PASSPHRASE, "the profile is unlocked by a passphrase; give it");
    enum chq_error error = secret_of(options, false, key, &secret, text);
    if (error != CHQ_ERROR_NONE)
        return say(why, error, text);
    struct chq_client *c = client_new(options);
    if (c == NULL)
        return say(why, CHQ_ERROR_FAILED, "no file descriptors left");
    if (chq_store_open(options->profile, &secret, &c->worker.random, &c->worker.store, &fault) != CHQ_OK)
        error = say(text, chq_error_of_store(&fault), fault.text);
    else
        error = client_start(c, text);
    if (error == CHQ_ERROR_NONE && chq_agent_identity(c->worker.agent, &id) == CHQ_NOT_FOUND)
        error = say(text, CHQ_ERROR_NO_PROFILE,
            "making the account in this profile was interrupted; run 'chasqui init' again, it goes on");
    chq_wipe(key, sizeof key);
    if (error != CHQ_ERROR_NONE) {
        client_free(c);
        return say(why, error, text);
    }
    *out = c;
    return CHQ_ERROR_NONE;
}

/* ---- create */

struct create {
    const char *invitation, *handle;
    uint8_t entropy[32];
    enum chq_error error;
    char *why;
};

static void job_create(struct chq_client *c, void *data)
{
    struct create *create = data;
    struct chq_agent_command command = {.type = CHQ_AGENT_CREATE,
        .text = chq_bytes_text(create->invitation),
        .handle = chq_bytes_text(create->handle),
        .secret = chq_bytes(create->entropy, sizeof create->entropy)};
    create->error = chq_worker_command(&c->worker, &command);
    if (create->error != CHQ_ERROR_NONE)
        g_strlcpy(create->why, c->worker.outcome_text, CHQ_WHY_CHARS);
}

static enum chq_error check_wishes(
    const struct chq_client_options *options, const char *invitation, const char *handle, char *why)
{
    struct chq_invitation *link = g_new0(struct chq_invitation, 1);
    enum chq_error error = CHQ_ERROR_NONE;
    if (!options_fit(options) || invitation == NULL || handle == NULL)
        error = say(why, CHQ_ERROR_ARGUMENT, "options are incomplete, or of another version of the library");
    else if (!chq_handle_is_valid(chq_bytes_text(handle)))
        error = say(why, CHQ_ERROR_HANDLE, chq_error_text(CHQ_ERROR_HANDLE));
    else if (chq_invitation_read(chq_bytes_text(invitation), link) != CHQ_OK)
        error = say(why, CHQ_ERROR_INVITATION, chq_error_text(CHQ_ERROR_INVITATION));
    else if (chq_crypto_init() != CHQ_OK)
        error = say(why, CHQ_ERROR_FAILED, "the system gives no randomness");
    g_free(link);
    return error;
}

/* A new store; or the one that an interrupted call made, as long as it has no account. */
static enum chq_error create_store(struct chq_client *c, const struct chq_client_options *options, char *why)
{
    struct chq_store_secret secret;
    struct chq_store_fault fault;
    uint8_t key[32] = {0};
    uint64_t accounts = 1;
    bool by_key = false;
    bool there = chq_store_peek(options->profile, &by_key, &fault) == CHQ_OK;
    if (!there && fault.why != CHQ_STORE_MISSING)
        return say(why, chq_error_of_store(&fault), fault.text);
    enum chq_error error = secret_of(options, !there, key, &secret, why);
    if (error != CHQ_ERROR_NONE)
        return error;
    enum chq_err err =
        there ? chq_store_open(options->profile, &secret, &c->worker.random, &c->worker.store, &fault)
              : chq_store_create(options->profile, &secret, &c->worker.random, &c->worker.store, &fault);
    chq_wipe(key, sizeof key);
    if (err != CHQ_OK)
        return say(why, chq_error_of_store(&fault), fault.text);
    if (there && (chq_store_count(c->worker.store, CHQ_AGENT_PROFILE, &accounts) != CHQ_OK || accounts > 0)) {
        char text[CHQ_WHY_CHARS];
        g_snprintf(text, sizeof text,
            "there is an account in %.300s already; use it, or choose another directory with --profile",
            options->profile);
        return say(why, CHQ_ERROR_PROFILE_EXISTS, text);
    }
    return CHQ_ERROR_NONE;
}

/* What create and restore have in common, once the entropy is there. */
static enum chq_error make_client(
    const struct chq_client_options *options, struct create *create, struct chq_client **out, char *why)
{
    char text[CHQ_WHY_CHARS] = "";
    struct chq_client *c = client_new(options);
    if (c == NULL)
        return say(why, CHQ_ERROR_FAILED, "no file descriptors left");
    create->why = text;
    enum chq_error error = create_store(c, options, text);
    if (error == CHQ_ERROR_NONE)
        error = client_start(c, text);
    if (error == CHQ_ERROR_NONE) {
        run_job(c, job_create, create);
        error = create->error;
    }
    if (error == CHQ_ERROR_NONE) {
        *out = c;
    } else {
        client_free(c);
        say(why, error, text);
    }
    return error;
}

enum chq_error chq_client_create(const struct chq_client_options *options, const char *invitation,
    const char *handle, char words[CHQ_WORDS_CHARS], struct chq_client **out, char why[CHQ_WHY_CHARS])
{
    struct create create = {.invitation = invitation, .handle = handle};
    struct chq_random random = chq_system_random();
    *out = NULL;
    memset(words, 0, CHQ_WORDS_CHARS);
    enum chq_error error = check_wishes(options, invitation, handle, why);
    if (error != CHQ_ERROR_NONE)
        return error;
    chq_random_fill(&random, create.entropy, sizeof create.entropy);
    error = make_client(options, &create, out, why);
    if (error == CHQ_ERROR_NONE)
        chq_recovery_write(words, create.entropy);
    chq_wipe(&create.entropy, sizeof create.entropy);
    return error;
}

static enum chq_error read_words(const char *words, uint8_t entropy[32], char *why)
{
    char text[CHQ_WHY_CHARS];
    unsigned wrong = 0;
    switch (chq_recovery_read(entropy, words, &wrong)) {
    case CHQ_OK: return CHQ_ERROR_NONE;
    case CHQ_MALFORMED:
        g_snprintf(text, sizeof text, "word %u is not one of the list; look at its spelling", wrong);
        break;
    case CHQ_LIMIT: g_snprintf(text, sizeof text, "there are %u words, but an account has 24", wrong); break;
    default:
        g_strlcpy(text, "the words do not belong together: one is wrong, or two are swapped", sizeof text);
    }
    return say(why, CHQ_ERROR_ARGUMENT, text);
}

enum chq_error chq_client_restore(const struct chq_client_options *options, const char *invitation,
    const char *handle, const char *words, struct chq_client **out, char why[CHQ_WHY_CHARS])
{
    struct create create = {.invitation = invitation, .handle = handle};
    *out = NULL;
    enum chq_error error = check_wishes(options, invitation, handle, why);
    if (error == CHQ_ERROR_NONE && words == NULL)
        error = say(why, CHQ_ERROR_ARGUMENT, "the 24 words are missing");
    if (error == CHQ_ERROR_NONE)
        error = read_words(words, create.entropy, why);
    if (error == CHQ_ERROR_NONE)
        error = make_client(options, &create, out, why);
    chq_wipe(&create.entropy, sizeof create.entropy);
    return error;
}

/* ---- close */

static void job_leave(struct chq_client *c, void *data)
{
    struct chq_agent_command command = {.type = CHQ_AGENT_LEAVE};
    (void)data;
    chq_talk_hangup(c->worker.talk, NULL);
    if (chq_worker_command(&c->worker, &command) != CHQ_ERROR_NONE)
        c->worker.left = true;
}

struct left {
    bool left, flushed;
};

static void job_left(struct chq_client *c, void *data)
{
    struct left *left = data;
    left->left = c->worker.left || c->worker.agent == NULL;
    left->flushed = c->worker.links == NULL || !chq_links_any(c->worker.links);
}

static void wait_until_left(struct chq_client *c)
{
    struct left left = {0};
    gint64 now = g_get_monotonic_time(), end = now + LEAVE_MS * 1000;
    for (; now < end; now = g_get_monotonic_time()) {
        bool before = left.left;
        run_job(c, job_left, &left);
        if (left.left && left.flushed)
            break;
        if (left.left && !before)
            end = now + FLUSH_MS * 1000;
        g_usleep(2000);
    }
}

void chq_client_close(struct chq_client *client)
{
    if (client == NULL)
        return;
    run_job(client, job_leave, NULL);
    wait_until_left(client);
    client_free(client);
}

void chq_client_discard(struct chq_client *client)
{
    static const char *const names[] = {"profile.db", "profile.db-wal", "profile.db-shm", "lock"};
    char *profile = g_strdup(client->profile);
    chq_client_close(client);
    for (size_t i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autofree char *path = g_build_filename(profile, names[i], NULL);
        unlink(path);
    }
    rmdir(profile);
    g_free(profile);
}

/* ---- events */

const char *chq_client_why(struct chq_client *client)
{
    return client->why;
}

int chq_client_fd(struct chq_client *client)
{
    return client->events.fd;
}

const struct chq_event *chq_client_next_event(struct chq_client *client)
{
    return chq_events_next(&client->events);
}

/* ---- commands: one argument block, one job for each */

struct ask {
    const char *handle, *text;
    const uint8_t *id;
    uint8_t *out_id;
    uint64_t number, *request;
    size_t size;
    void *out;
    enum chq_error error;
    const char *why; /* static words; NULL: those of the worker's outcome */
};

static enum chq_error ask(struct chq_client *c, void (*job)(struct chq_client *, void *), struct ask *a)
{
    c->why[0] = 0;
    run_job(c, job, a);
    if (a->error != CHQ_ERROR_NONE)
        say(c->why, a->error,
            a->why != NULL                   ? a->why
            : c->worker.outcome_text[0] != 0 ? c->worker.outcome_text
                                             : chq_error_text(a->error));
    return a->error;
}

static bool contact_of(struct chq_client *c, struct ask *a, uint8_t account[32])
{
    c->worker.outcome_text[0] = 0;
    if (chq_worker_account(&c->worker, a->handle, account))
        return true;
    struct chq_agent_contact contact;
    a->error = CHQ_ERROR_NOT_FOUND;
    g_snprintf(c->worker.outcome_text, sizeof c->worker.outcome_text,
        "there is no contact %.40s; add it first with 'chasqui add %.40s'", a->handle, a->handle);
    for (uint32_t i = 0; c->worker.agent != NULL && chq_agent_contact(c->worker.agent, i, &contact) == CHQ_OK;
         i++)
        if (strcmp(contact.handle, a->handle) == 0) {
            a->error = CHQ_ERROR_RELAY;
            g_snprintf(c->worker.outcome_text, sizeof c->worker.outcome_text,
                "the ledger could not be asked about %.40s yet; try again when a relay can be reached",
                a->handle);
        }
    return false;
}

static void job_identity(struct chq_client *c, void *data)
{
    struct ask *a = data;
    struct chq_identity *out = a->out;
    struct chq_agent_identity id;
    a->error = CHQ_ERROR_CLOSED;
    if (c->worker.agent == NULL || chq_agent_identity(c->worker.agent, &id) != CHQ_OK)
        return;
    memset(out, 0, sizeof *out);
    memcpy(out->account, id.account, sizeof out->account);
    memcpy(out->device, id.device, sizeof out->device);
    memcpy(out->home_relay, id.home_relay, sizeof out->home_relay);
    g_strlcpy(out->handle, id.handle, sizeof out->handle);
    g_strlcpy(out->chain, id.chain_id, sizeof out->chain);
    out->registered = id.registered;
    out->ready = id.ready;
    a->error = CHQ_ERROR_NONE;
}

enum chq_error chq_client_identity(struct chq_client *client, struct chq_identity *out)
{
    struct ask a = {.out = out};
    return ask(client, job_identity, &a);
}

static void job_add(struct chq_client *c, void *data)
{
    struct ask *a = data;
    struct chq_agent_command command = {.type = CHQ_AGENT_ADD, .handle = chq_bytes_text(a->handle)};
    a->error = chq_worker_command(&c->worker, &command);
    if (a->request != NULL)
        *a->request = command.request;
}

enum chq_error chq_client_add(struct chq_client *client, const char *handle, uint64_t *request)
{
    struct ask a = {.handle = handle, .request = request};
    if (!chq_handle_is_valid(chq_bytes_text(handle)))
        return say(client->why, CHQ_ERROR_HANDLE, chq_error_text(CHQ_ERROR_HANDLE));
    return ask(client, job_add, &a);
}

static void job_contact(struct chq_client *c, void *data)
{
    struct ask *a = data;
    struct chq_contact *out = a->out;
    struct chq_agent_contact contact;
    a->error = CHQ_ERROR_NOT_FOUND;
    if (c->worker.agent == NULL ||
        chq_agent_contact(c->worker.agent, (uint32_t)a->number, &contact) != CHQ_OK)
        return;
    memset(out, 0, sizeof *out);
    memcpy(out->account, contact.account, sizeof out->account);
    g_strlcpy(out->handle, contact.handle, sizeof out->handle);
    out->known = contact.known;
    out->devices = contact.devices;
    out->waiting = contact.waiting;
    a->error = CHQ_ERROR_NONE;
}

enum chq_error chq_client_contact(struct chq_client *client, uint32_t i, struct chq_contact *out)
{
    struct ask a = {.number = i, .out = out};
    return ask(client, job_contact, &a);
}

static void job_safety(struct chq_client *c, void *data)
{
    struct ask *a = data;
    uint8_t account[32];
    if (!contact_of(c, a, account))
        return;
    a->error = chq_agent_safety_number(c->worker.agent, account, a->out) == CHQ_OK ? CHQ_ERROR_NONE
                                                                                   : CHQ_ERROR_NOT_FOUND;
}

enum chq_error chq_client_safety_number(
    struct chq_client *client, const char *handle, char digits[CHQ_SAFETY_CHARS])
{
    struct ask a = {.handle = handle, .out = digits};
    return ask(client, job_safety, &a);
}

/* ---- messages */

static void job_send(struct chq_client *c, void *data)
{
    struct ask *a = data;
    struct chq_agent_command command = {.type = CHQ_AGENT_SEND_TEXT, .text = chq_bytes(a->text, a->size)};
    if (c->worker.broken != CHQ_ERROR_NONE) {
        a->error = c->worker.broken;
        a->why = c->worker.broken_text;
        return;
    }
    if (!contact_of(c, a, command.account))
        return;
    a->error = chq_worker_command(&c->worker, &command);
    if (a->error == CHQ_ERROR_NONE && a->out_id != NULL)
        memcpy(a->out_id, c->worker.outcome_id, 16);
}

enum chq_error chq_client_send(
    struct chq_client *client, const char *handle, const char *text, size_t size, uint8_t message_id[16])
{
    struct ask a = {.handle = handle, .text = text, .size = size, .out_id = message_id};
    char why[CHQ_WHY_CHARS];
    if (size > CHQ_MESSAGE_BYTES_MAX) {
        g_snprintf(why, sizeof why, "the message has %zu bytes, at most %d fit; send it in parts", size,
            CHQ_MESSAGE_BYTES_MAX);
        return say(client->why, CHQ_ERROR_TOO_LONG, why);
    }
    if (size == 0 || !chq_utf8_valid(chq_bytes(text, size)))
        return say(client->why, CHQ_ERROR_NOT_TEXT, chq_error_text(CHQ_ERROR_NOT_TEXT));
    return ask(client, job_send, &a);
}

static void job_unsent(struct chq_client *c, void *data)
{
    struct ask *a = data;
    uint32_t *out = a->out;
    a->error = c->worker.agent == NULL ? CHQ_ERROR_CLOSED : CHQ_ERROR_NONE;
    *out = c->worker.agent == NULL ? 0 : chq_agent_unsent(c->worker.agent);
}

enum chq_error chq_client_unsent(struct chq_client *client, uint32_t *out)
{
    struct ask a = {.out = out};
    return ask(client, job_unsent, &a);
}

static void job_shown(struct chq_client *c, void *data)
{
    struct ask *a = data;
    a->error = chq_worker_mark_shown(&c->worker, a->id, a->number);
}

enum chq_error chq_client_mark_shown(struct chq_client *client, const uint8_t account[32], uint64_t number)
{
    struct ask a = {.id = account, .number = number};
    return ask(client, job_shown, &a);
}

/* The newest state of one of our messages; without a record it waits. */
static void message_state(
    struct chq_client *c, const uint8_t account[32], uint64_t number, struct chq_message *out)
{
    uint8_t key[40];
    enum chq_agent_status status;
    uint64_t at_ms;
    struct chq_writer value = chq_writer_heap(1024);
    memcpy(key, account, 32);
    chq_store_u64(key + 32, number);
    out->state = CHQ_MESSAGE_WAITING;
    out->state_ms = out->stored_ms;
    if (chq_store_get(c->worker.store, CHQ_AGENT_STATUS, chq_bytes(key, sizeof key), &value) == CHQ_OK &&
        chq_agent_status_read(chq_writer_bytes(&value), &status, &at_ms) == CHQ_OK) {
        out->state = status == CHQ_AGENT_STATUS_DELIVERED ? CHQ_MESSAGE_DELIVERED : CHQ_MESSAGE_SENT;
        out->state_ms = at_ms;
    }
    chq_writer_free(&value);
}

static void job_message(struct chq_client *c, void *data)
{
    struct ask *a = data;
    struct chq_message *out = a->out;
    struct chq_agent_message m;
    uint8_t account[32];
    if (!contact_of(c, a, account))
        return;
    chq_writer_clear(&c->message);
    enum chq_err err = chq_worker_message(&c->worker, account, a->number, &c->message, &m);
    if (err != CHQ_OK) {
        a->error = err == CHQ_NOT_FOUND ? CHQ_ERROR_NOT_FOUND : CHQ_ERROR_PROFILE_DAMAGED;
        return;
    }
    memset(out, 0, sizeof *out);
    memcpy(out->id, m.id, sizeof out->id);
    out->number = a->number;
    out->sent_ms = m.sent_ms;
    out->stored_ms = m.stored_ms;
    g_free(c->message_text);
    c->message_text = g_strndup((const char *)m.text.data, m.text.size);
    out->text = c->message_text;
    out->text_size = m.text.size;
    if (m.incoming) {
        out->state = CHQ_MESSAGE_RECEIVED;
        out->state_ms = m.stored_ms;
    } else {
        message_state(c, account, a->number, out);
    }
}

enum chq_error chq_client_message(
    struct chq_client *client, const char *handle, uint64_t number, struct chq_message *out)
{
    struct ask a = {.handle = handle, .number = number, .out = out};
    return ask(client, job_message, &a);
}

/* ---- credit */

static void job_wallet(struct chq_client *c, void *data)
{
    struct ask *a = data;
    struct chq_wallet *out = a->out;
    struct chq_agent_wallet wallet = {0};
    a->error = c->worker.agent == NULL ? CHQ_ERROR_CLOSED : CHQ_ERROR_NONE;
    if (c->worker.agent != NULL)
        chq_agent_wallet(c->worker.agent, &wallet);
    out->balance_micro = wallet.balance_micro;
    out->deposits_micro = wallet.deposits_micro;
    out->paid_micro = wallet.paid_micro;
    out->channels = wallet.channels;
}

enum chq_error chq_client_wallet(struct chq_client *client, struct chq_wallet *out)
{
    struct ask a = {.out = out};
    return ask(client, job_wallet, &a);
}

static void job_refresh(struct chq_client *c, void *data)
{
    struct ask *a = data;
    struct chq_agent_command command = {.type = CHQ_AGENT_WALLET};
    a->error = chq_worker_command(&c->worker, &command);
    if (a->request != NULL)
        *a->request = command.request;
}

enum chq_error chq_client_wallet_refresh(struct chq_client *client, uint64_t *request)
{
    struct ask a = {.request = request};
    return ask(client, job_refresh, &a);
}

static void job_transfer(struct chq_client *c, void *data)
{
    struct ask *a = data;
    struct chq_agent_command command = {
        .type = CHQ_AGENT_TRANSFER, .handle = chq_bytes_text(a->handle), .amount = a->number};
    a->error = chq_worker_command(&c->worker, &command);
    if (a->request != NULL)
        *a->request = command.request;
}

enum chq_error chq_client_transfer(
    struct chq_client *client, const char *handle, uint64_t amount_micro, uint64_t *request)
{
    struct ask a = {.handle = handle, .number = amount_micro, .request = request};
    return ask(client, job_transfer, &a);
}

/* ---- calls */

static void job_sound(struct chq_client *c, void *data)
{
    struct ask *a = data;
    c->worker.outcome_text[0] = 0;
    a->error = chq_talk_sound(c->worker.talk, a->out);
}

enum chq_error chq_client_sound(struct chq_client *client, const struct chq_sound *sound)
{
    struct ask a = {.out = (void *)sound};
    if (sound->size != sizeof *sound)
        return say(client->why, CHQ_ERROR_ARGUMENT, chq_error_text(CHQ_ERROR_ARGUMENT));
    return ask(client, job_sound, &a);
}

static void job_call(struct chq_client *c, void *data)
{
    struct ask *a = data;
    uint8_t account[32];
    if (contact_of(c, a, account))
        a->error = chq_talk_call(c->worker.talk, account, a->handle, a->out_id);
}

enum chq_error chq_client_call(struct chq_client *client, const char *handle, uint8_t call_id[16])
{
    struct ask a = {.handle = handle, .out_id = call_id};
    return ask(client, job_call, &a);
}

static void job_answer(struct chq_client *c, void *data)
{
    struct ask *a = data;
    c->worker.outcome_text[0] = 0;
    a->error = chq_talk_answer(c->worker.talk, a->id);
}

enum chq_error chq_client_answer(struct chq_client *client, const uint8_t call_id[16])
{
    struct ask a = {.id = call_id};
    return ask(client, job_answer, &a);
}

static void job_hangup(struct chq_client *c, void *data)
{
    struct ask *a = data;
    c->worker.outcome_text[0] = 0;
    a->error = chq_talk_hangup(c->worker.talk, a->id);
}

enum chq_error chq_client_hangup(struct chq_client *client, const uint8_t call_id[16])
{
    struct ask a = {.id = call_id};
    return ask(client, job_hangup, &a);
}

static void job_report(struct chq_client *c, void *data)
{
    struct ask *a = data;
    c->worker.outcome_text[0] = 0;
    a->error = chq_talk_report(c->worker.talk, a->out);
}

enum chq_error chq_client_call_report(struct chq_client *client, struct chq_call_report *out)
{
    struct ask a = {.out = out};
    return ask(client, job_report, &a);
}
