/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CHQ_RELAY_TURN_LOCALS_H
#define CHQ_RELAY_TURN_LOCALS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "core/base/address.h"
#include "core/base/limits.h"

/*
 * A socket that listens on every address must answer from the one that was asked, or clients behind NAT never see the
 * answer. So each local address becomes a listener number of the TURN core when it is first seen; 0 stands for "the
 * system chooses": sockets with one address, and when the table is full.
 */
struct chq_turn_locals {
    struct chq_address v[CHQ_TURN_LOCALS_MAX];
    uint8_t n;
};

/* Room for the one control message that carries a local address. */
union chq_turn_control {
    struct cmsghdr align;
    uint8_t bytes[64];
};

/* Ask the system to tell local addresses on `fd`, a socket of `family` (4, 6). */
bool chq_turn_locals_enable(int fd, uint8_t family);
/* Return the listener number of the local address that the received `header` tells. */
uint8_t chq_turn_locals_number(struct chq_turn_locals *locals, const struct msghdr *header);
/* Make `header` go out from that local address; `control` must live until it was sent. */
void chq_turn_locals_use(const struct chq_turn_locals *locals, uint8_t number,
    union chq_turn_control *control, struct msghdr *header);

#endif
