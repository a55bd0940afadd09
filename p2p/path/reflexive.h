/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CHQ_P2P_PATH_REFLEXIVE_H
#define CHQ_P2P_PATH_REFLEXIVE_H

#include "core/base/address.h"
#include "core/base/bytes.h"
#include "core/base/random.h"

#define CHQ_REFLEXIVE_REQUEST_BYTES 20

/*
 * Ask a STUN server under which address it sees one of our sockets (RFC 8489 Binding), and keep asking, so that the
 * NAT's mapping stays open until the call has its path. We ask ourselves instead of the ICE library: the server is a
 * stranger, its answer is read strictly here. No sockets and no clock.
 */
struct chq_reflexive {
    struct chq_address server;
    struct chq_random random;
    struct chq_address mapped; /* family 0: not known */
    uint8_t transaction_id[12];
    uint8_t request[CHQ_REFLEXIVE_REQUEST_BYTES];
    unsigned tries; /* since the last answer */
    uint64_t deadline_us;
};

struct chq_reflexive_event {
    uint64_t now_us;
    enum { CHQ_REFLEXIVE_TIMEOUT = 1, CHQ_REFLEXIVE_RECEIVED } type;
    struct chq_address from; /* RECEIVED */
    struct chq_bytes datagram; /* RECEIVED; borrowed for the call */
};

struct chq_reflexive_actions {
    struct chq_bytes send; /* to the server; empty: nothing; valid until the next step */
    bool mapped_changed;
};

/* Begin: the first deadline is `now_us`. */
void chq_reflexive_init(struct chq_reflexive *reflexive, const struct chq_address *server,
    const struct chq_random *random, uint64_t now_us);

/* RECEIVED: CHQ_NOT_FOUND when this is not the answer to our request (then it is somebody else's); CHQ_MALFORMED when it
 * claims to be, and is broken or has no address. */
CHQ_MUST_CHECK enum chq_err chq_reflexive_step(
    struct chq_reflexive *reflexive, const struct chq_reflexive_event *in, struct chq_reflexive_actions *out);

/* Return whether `datagram` claims to answer our request: worth taking from a shared socket. */
bool chq_reflexive_is_answer(
    const struct chq_reflexive *reflexive, const struct chq_address *from, struct chq_bytes datagram);

uint64_t chq_reflexive_deadline_us(const struct chq_reflexive *reflexive);

#endif
