/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CHQ_CLIENT_SDK_WORKER_H
#define CHQ_CLIENT_SDK_WORKER_H

#include <glib.h>

#include "client/agent/agent.h"
#include "client/sdk/events.h"
#include "client/sdk/include/chasqui.h"
#include "client/sdk/link.h"
#include "core/base/limits.h"
#include "core/store/store.h"

/*
 * The shell around the agent: gives it events, commits what it wants kept in one transaction, then does the rest, and
 * turns its notices into the app's events. Everything here runs in the thread of `context`.
 */
struct chq_talk;

/* Beside the agent's tables (below 32): received messages that the app has not marked as shown; key as MESSAGES, no value. */
#define CHQ_WORKER_UNSHOWN 32

struct chq_worker_relay {
    uint8_t relay[32];
    char host[64]; /* host:port, for people */
    char name[CHQ_AGENT_HOST_CHARS];
    bool used;
};

struct chq_worker {
    GMainContext *context;
    GMainLoop *loop;
    struct chq_store *store; /* owned */
    struct chq_agent *agent;
    struct chq_links *links;
    struct chq_events *events;
    struct chq_talk *talk;
    struct chq_random random;
    bool relay_only;
    struct chq_worker_relay relays[CHQ_WORKER_RELAYS_MAX];
    uint64_t next_request;
    uint64_t waiting; /* request whose outcome in the same step is kept in the fields below */
    enum chq_error outcome;
    char outcome_text[CHQ_WHY_CHARS];
    uint8_t outcome_id[16];
    bool in_step, left;
    enum chq_error broken; /* the store failed: commands are refused with this until it works again */
    char broken_text[CHQ_WHY_CHARS];
    GSource *deadline, *pump, *retry;
    GQueue posted; /* of struct posted: events for the agent that came up during a step */
};

/* Load the agent from the store and start it. False: `why` and the result say what is wrong with the profile. */
enum chq_error chq_worker_start(struct chq_worker *w, char why[CHQ_WHY_CHARS]);
/* Free the agent, the links and what is queued; not the store. */
void chq_worker_stop(struct chq_worker *w);

/*
 * Give the agent a command and return what came of it in that step: NONE, or the error of its notice with
 * `outcome_text`. `command->request` is filled in. Not from inside a step.
 */
enum chq_error chq_worker_command(struct chq_worker *w, struct chq_agent_command *command);
/* The same later, from anywhere in the thread, without an outcome; `data` is copied, no other text is. Return the request. */
uint64_t chq_worker_post(struct chq_worker *w, const struct chq_agent_command *command);

/* The account of a contact's handle; false: there is none. */
bool chq_worker_account(struct chq_worker *w, const char *handle, uint8_t account[32]);
/* The handle of a contact, or "". */
void chq_worker_handle(struct chq_worker *w, const uint8_t account[32], char handle[CHQ_HANDLE_CHARS]);
/* The entry of a relay that was linked to; NULL: never. */
const struct chq_worker_relay *chq_worker_relay(const struct chq_worker *w, const uint8_t relay[32]);

/* Message `number` of a conversation; `value` receives the record, which `out` points into. CHQ_NOT_FOUND, CHQ_MALFORMED. */
enum chq_err chq_worker_message(struct chq_worker *w, const uint8_t account[32], uint64_t number,
    struct chq_writer *value, struct chq_agent_message *out);
/* Forget that the message is to be shown again. */
enum chq_error chq_worker_mark_shown(struct chq_worker *w, const uint8_t account[32], uint64_t number);

#endif
