/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CHQ_P2P_PATH_FRONT_H
#define CHQ_P2P_PATH_FRONT_H

#include "core/base/address.h"
#include "core/base/bytes.h"
#include "core/base/limits.h"

/*
 * The local TURN front: our own end, on this machine, that the ICE agent takes for its TURN server. Relays are strangers, and
 * a hostile one can crash an ICE library before it has authenticated anything; so every datagram from the relay is read
 * strictly here and dropped when it is not plain TURN. The front also counts what the relay's meter counts, so that
 * who pays can check the bill. No sockets and no clock.
 *
 * A flow is one socket of the agent, and has one socket towards the relay: both see one 5-tuple each.
 */
struct chq_front_flow {
    struct chq_address agent; /* family 0: free */
};

struct chq_front_stats {
    uint64_t bytes_up,
        bytes_down; /* application bytes: ChannelData payload and DATA (docs/protocol.md section 7) */
    uint64_t datagrams_up, datagrams_down; /* passed on */
    uint64_t malformed; /* from the relay: not a strict STUN message or ChannelData, or oversize */
    uint64_t refused; /* from the relay: well formed, but nothing it may say */
    uint64_t agent_dropped; /* from the agent: no flow left, or not TURN */
};

struct chq_front {
    struct chq_front_flow flows[CHQ_FRONT_FLOWS_MAX];
    struct chq_front_stats stats;
};

struct chq_front_event {
    enum { CHQ_FRONT_FROM_AGENT = 1, CHQ_FRONT_FROM_RELAY } type;
    struct chq_address agent; /* FROM_AGENT: where it came from */
    unsigned flow; /* FROM_RELAY: which socket it came to */
    struct chq_bytes datagram; /* borrowed for the call */
};

/* Pass `datagram` (the event's own) on to `to`; empty: drop it. */
struct chq_front_actions {
    enum { CHQ_FRONT_NOWHERE = 0, CHQ_FRONT_TO_RELAY, CHQ_FRONT_TO_AGENT } to;
    unsigned flow;
    struct chq_address agent; /* TO_AGENT */
    struct chq_bytes datagram;
};

void chq_front_init(struct chq_front *front);

/* CHQ_MALFORMED, CHQ_LIMIT (oversize, or no flow left), CHQ_AUTH (the relay may not say this): dropped and counted. */
CHQ_MUST_CHECK enum chq_err chq_front_step(
    struct chq_front *front, const struct chq_front_event *in, struct chq_front_actions *out);

#endif
