/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CHQ_RELAY_DAEMON_NODE_H
#define CHQ_RELAY_DAEMON_NODE_H

#include "core/base/log.h"
#include "relay/daemon/home.h"

/* The running relay: mailbox, meter, wallet, TURN and the sockets put together. */
struct chq_node;

/* Open everything the relay's directory names and listen. The log says what is wrong; the code is enough for the caller. */
CHQ_MUST_CHECK enum chq_err chq_node_new(
    struct chq_node **out, const struct chq_relay_home *home, const struct chq_log *log);
/* Serve until SIGTERM or SIGINT, then settle and say good-bye. CHQ_IO when the relay could not settle everything. */
CHQ_MUST_CHECK enum chq_err chq_node_run(struct chq_node *node);
void chq_node_free(struct chq_node *node);

#endif
