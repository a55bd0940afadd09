/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CHQ_RELAY_TURN_OUTBOX_H
#define CHQ_RELAY_TURN_OUTBOX_H

#include <stdint.h>
#include <sys/socket.h>

#include "relay/turn/locals.h"
#include "relay/turn/sockaddr.h"

#define CHQ_TURN_BATCH 64 /* datagrams read or written at a time */

/*
 * Datagrams on their way out. They leave in order, in as few system calls as can be: one for each run with the same
 * socket, and one trip through the network stack for each run of equal length to the same address (UDP_SEGMENT).
 */
struct chq_turn_outbox {
    struct mmsghdr messages[CHQ_TURN_BATCH];
    struct iovec parts[CHQ_TURN_BATCH];
    union chq_sockaddr to[CHQ_TURN_BATCH];
    socklen_t to_size[CHQ_TURN_BATCH];
    union chq_turn_control control[CHQ_TURN_BATCH];
    int fds[CHQ_TURN_BATCH];
    int message_fds[CHQ_TURN_BATCH];
    uint8_t locals[CHQ_TURN_BATCH];
    unsigned n;
    bool no_segments; /* this system does not take them */
    uint64_t unsent_packets; /* that the system did not take */
};

/* Queue `size` bytes at `data`, which stay where they are until flushed, to go from `fd`, from the local address
 * `local` of `locals`. Flushes first when full. */
void chq_turn_outbox_add(struct chq_turn_outbox *box, int fd, const struct chq_address *to,
    const struct chq_turn_locals *locals, uint8_t local, uint8_t *data, size_t size);
/* Send all that is queued. A datagram that the system does not take is dropped and counted, as on any full link. */
void chq_turn_outbox_flush(struct chq_turn_outbox *box, const struct chq_turn_locals *locals);

#endif
