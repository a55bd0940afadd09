/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CHQ_RELAY_DAEMON_LEDGER_LINK_H
#define CHQ_RELAY_DAEMON_LEDGER_LINK_H

#include <sys/socket.h>

#include "core/base/log.h"
#include "relay/web/web.h"

/*
 * The relay's one connection to its ledger (docs/protocol.md section 6): frames out, replies back in order, many under way
 * at once, reconnecting by itself. It carries bytes and believes nothing.
 */
struct chq_ledger_link;

/* `reply` is borrowed for the call; err is CHQ_IO (and the reply empty) when the ledger was not reached or went. */
struct chq_ledger_done {
    void (*call)(void *context, enum chq_err err, struct chq_bytes reply);
    void *context;
    void (*drop)(
        void *context); /* may be NULL: called instead when the link is freed before there is an answer */
};

/* Read an address as [ledger] address takes it; CHQ_MALFORMED (the log says what is allowed). */
CHQ_MUST_CHECK enum chq_err chq_ledger_address_read(
    const char *text, struct sockaddr_storage *out, socklen_t *size, const struct chq_log *log);

/* `address`: a path (starts with / or .) or "numeric address:port". Connects when the first request comes.
 * CHQ_MALFORMED when the address is neither. */
CHQ_MUST_CHECK enum chq_err chq_ledger_link_new(
    struct chq_ledger_link **out, struct chq_web *web, const char *address, const struct chq_log *log);
/* Free; requests under way are not answered any more. */
void chq_ledger_link_free(struct chq_ledger_link *link);

/* Send one request (copied). `done` is called exactly once, from chq_ledger_link_tick or the loop, never from here. */
void chq_ledger_link_ask(struct chq_ledger_link *link, struct chq_bytes request, struct chq_ledger_done done);
/* Fail what cannot be sent, give up what takes too long, connect again. Call after each pass of the loop. */
void chq_ledger_link_tick(struct chq_ledger_link *link, uint64_t now_ms);
/* When to call it at the latest. */
uint64_t chq_ledger_link_deadline_ms(const struct chq_ledger_link *link);
bool chq_ledger_link_is_up(const struct chq_ledger_link *link);

#endif
