/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CHQ_RELAY_DAEMON_STATE_H
#define CHQ_RELAY_DAEMON_STATE_H

#include "ledger/light/light.h"
#include "relay/daemon/home.h"
#include "relay/daemon/ledger_link.h"
#include "relay/daemon/node.h"
#include "relay/daemon/store.h"
#include "relay/daemon/wallet.h"
#include "relay/mailbox/mailbox.h"
#include "relay/meter/meter.h"
#include "relay/turn/udp.h"
#include "relay/web/web.h"

/* The node's state, shared by node.c (loop), client.c (frames), ledger_calls.c and control.c. */

#define TURN_REALM      "chasqui"
#define TURN_VALID_S    86400
#define TURN_NAME_CHARS 33

struct client {
    bool open, greeted, gone;
    bool ready; /* stands in node->ready */
    uint64_t generation; /* a number is used again: answers for the one before must not reach this one */
    uint8_t challenge[CHQ_ID_BYTES];
    uint64_t ledger_tokens_milli, ledger_filled_ms; /* rate of LEDGER frames */
    uint32_t grants_asked, attaches_waiting;
};

struct turn_login {
    bool active;
    char username[TURN_NAME_CHARS], password[TURN_NAME_CHARS];
};

struct chq_node {
    const struct chq_relay_home *home;
    struct chq_log log;
    struct chq_web *web;
    struct chq_store *store;
    struct chq_mailbox *mailbox;
    struct chq_meter *meter;
    struct chq_light *light;
    struct chq_ledger_link *link;
    struct chq_wallet *wallet;
    struct chq_turn_server *turn;
    struct chq_gauge free_gauge; /* of static TURN users */
    struct chq_gauge app_gauges[CHQ_TURN_APPS_MAX]; /* by [turn] shared_secret */
    struct client *clients; /* by connection number */
    uint64_t generations;
    uint32_t *ready, ready_count; /* connections whose mailbox has something for them */
    uint32_t *gone, gone_count; /* closed in this pass */
    struct turn_login *logins; /* by meter slot */
    struct chq_writer frame; /* the one being sent */
    uint64_t kept_base_s, started_ms, kept_saved_s, flush_all_ms;
    bool stopping, light_changed;
    struct chq_web_watch signals, control;
    size_t forwards, forwards_bytes; /* clients' requests at the ledger */
    uint64_t puts, delivers, started_wall_s; /* since start, for status */
};

/* node.c */
uint64_t node_kept_s(const struct chq_node *node);
uint64_t node_wall_s(void);
void node_send(struct chq_node *node, uint32_t connection, const struct chq_frame *frame);
void node_refuse(struct chq_node *node, uint32_t connection, uint64_t id, enum chq_err code, const char *why);
void node_mailbox(struct chq_node *node, const struct chq_mailbox_actions *actions);
void node_meter(struct chq_node *node, const struct chq_meter_actions *actions);
/* Give an event its clocks and take the step; false when there was no memory. */
bool node_step_mailbox(struct chq_node *node, struct chq_mailbox_event *event);
bool node_step_meter(struct chq_node *node, struct chq_meter_event *event);

/* client.c: callbacks of the web server */
void client_opened(void *context, uint32_t connection);
void client_frame(void *context, uint32_t connection, struct chq_bytes bytes);
void client_closed(void *context, uint32_t connection);

/* ledger_calls.c */
void ledger_forward(struct chq_node *node, uint32_t connection, const struct chq_frame *frame);
void ledger_attach(struct chq_node *node, uint32_t connection, const struct chq_frame *frame);
void ledger_grant(struct chq_node *node, uint32_t connection, const struct chq_frame *frame);
void ledger_refresh(struct chq_node *node, uint32_t slot);
void ledger_settle(struct chq_node *node, const struct chq_meter_settle *records, size_t n);

/* control.c */
CHQ_MUST_CHECK enum chq_err control_start(struct chq_node *node);
void control_stop(struct chq_node *node);

#endif
