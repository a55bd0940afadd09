/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CHQ_LEDGER_DAEMON_CALL_H
#define CHQ_LEDGER_DAEMON_CALL_H

#include "core/wire/ledger_frame.h"

/* One request to a running ledger at a time, blocking: for the command line. */
#define CHQ_CALL_TIMEOUT_S 20

struct chq_call {
    int fd;
    uint8_t *reply; /* the last one */
    size_t reply_size;
};

/* Connect to a ledger's Unix socket. CHQ_NOT_FOUND: nobody is there; CHQ_IO. `reason`: 512 bytes. */
CHQ_MUST_CHECK enum chq_err chq_call_open(struct chq_call *call, const char *socket_path, char *reason);
/* Send a request and wait for its reply: call->reply. CHQ_IO. */
CHQ_MUST_CHECK enum chq_err chq_call_ask(
    struct chq_call *call, const struct chq_ledger_request *request, char *reason);
void chq_call_close(struct chq_call *call);

#endif
