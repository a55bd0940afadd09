/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CHQ_LEDGER_DAEMON_SERVER_H
#define CHQ_LEDGER_DAEMON_SERVER_H

#include "core/base/limits.h"
#include "core/base/log.h"
#include "ledger/engine/engine.h"

/* The shell around an engine: sockets, frames, one poll loop. docs/protocol.md section 6. */

#define CHQ_LEDGER_CLIENT_OUT_BYTES (2 * 1024 * 1024) /* unread replies: no more requests are taken */
#define CHQ_LEDGER_SOCKET_FILE      "ledger.sock"

struct chq_server_config {
    const char *socket_path;
    const char *listen; /* "127.0.0.1:PORT", "[::1]:PORT" or NULL: loopback only */
    const struct chq_log *log;
    void (*ready)(void *context); /* the sockets are open; may be NULL */
    void *context;
};

/* Serve until SIGTERM or SIGINT. CHQ_EXISTS: the socket is in use; CHQ_MALFORMED: not a loopback address; CHQ_IO. */
CHQ_MUST_CHECK enum chq_err chq_server_run(
    struct chq_engine *engine, const struct chq_server_config *config, char *reason);

#endif
