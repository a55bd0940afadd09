/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CHQ_RELAY_TURN_TURN_H
#define CHQ_RELAY_TURN_TURN_H

#include <stdint.h>

#include "core/base/address.h"
#include "core/base/bytes.h"
#include "core/base/err.h"
#include "core/base/gauge.h"
#include "core/base/limits.h"
#include "core/base/random.h"
#include "core/wire/stun.h"
#include "relay/turn/peer_filter.h"

/*
 * A TURN server (RFC 8656) as a protocol core: events in, actions out; no socket, clock or randomness of its
 * own. The shell (udp.h) owns sockets: it opens and closes the relayed ports the core asks for and reports back.
 *
 * Long-term credentials only (RFC 8489 section 9.2), stateless nonce, key by MD5, MESSAGE-INTEGRITY or
 * MESSAGE-INTEGRITY-SHA256 as the client chose. Time-limited ones, made by an app that shares a secret with the server,
 * are taken too: user name "EXPIRY" or "EXPIRY:ANYTHING" (Unix seconds), password base64(HMAC-SHA1(secret, user name)). Not
 * offered, and answered as such: relayed TCP (442).
 */
struct chq_turn;

/* An app whose server makes time-limited credentials for its users; `gauge` pays for all of them. */
struct chq_turn_app {
    struct chq_bytes secret; /* CHQ_TURN_SECRET_BYTES_MIN to _MAX; copied */
    struct chq_gauge *gauge; /* borrowed until the core is freed */
};

struct chq_turn_config {
    struct chq_address relay[2]; /* what clients are told: IPv4, IPv6; family 0: not offered; no ports */
    uint16_t port_min, port_max; /* relayed ports, both included */
    const char *realm; /* 1 to CHQ_TURN_REALM_BYTES_MAX bytes; borrowed for the call */
    struct chq_peer_filter filter; /* copied */
    struct chq_turn_app apps[CHQ_TURN_APPS_MAX];
    uint32_t apps_count;
    uint32_t allocations_max, credentials_max;
    uint32_t allocations_per_credential_max; /* at most CHQ_TURN_ACTIONS_MAX / 2 - 1 */
    uint32_t allocations_per_prefix_max; /* of clients in one IPv4 /24 or IPv6 /48 */
    bool can_set_dont_fragment; /* the shell can; otherwise DONT-FRAGMENT is answered with 420 */
    uint32_t unauthenticated_per_s; /* replies a second and source; the burst is three times that */
    struct chq_random random; /* context borrowed for the core's life, as is the crypto's */
    struct chq_stun_crypto crypto;
};

enum chq_turn_event_type {
    CHQ_TURN_FROM_CLIENT = 1, /* a datagram came in on a listening socket */
    CHQ_TURN_FROM_PEER, /* a datagram came in on a relayed port */
    CHQ_TURN_PORT_OPENED, /* answers CHQ_TURN_OPEN_PORT, before any other event */
    CHQ_TURN_CREDENTIAL_ADDED, /* or replaced */
    CHQ_TURN_CREDENTIAL_REMOVED, /* closes its allocations */
    CHQ_TURN_CLIENT_GONE, /* its connection was closed: so is its allocation */
    CHQ_TURN_TIMEOUT /* chq_turn_deadline_us has come */
};

enum chq_turn_port_result {
    CHQ_TURN_PORT_OK = 0,
    CHQ_TURN_PORT_TAKEN, /* another program has it: the core tries others */
    CHQ_TURN_PORT_NONE /* out of descriptors or memory: 508 */
};

/* One input. Everything it points to is borrowed for the call. */
struct chq_turn_event {
    uint64_t now_us; /* never falls */
    enum chq_turn_event_type type;
    union {
        struct {
            struct chq_address from;
            uint8_t listener; /* which listening socket: part of the 5-tuple */
            uint32_t stream; /* the shell's own number of the connection; 0: a datagram */
            uint64_t unix_s; /* the time of day; time-limited credentials alone are held against it */
            struct chq_bytes datagram;
        } client;
        struct {
            struct chq_address from;
            uint8_t listener;
        } gone;
        struct {
            uint32_t allocation;
            struct chq_address from;
            struct chq_bytes datagram;
        } peer;
        struct {
            uint32_t allocation;
            enum chq_turn_port_result result;
        } port;
        struct {
            struct chq_bytes username, password;
            struct chq_gauge
                *gauge; /* borrowed until the credential is removed or replaced, or the core freed */
            uint64_t expires_us; /* UINT64_MAX: never */
        } credential;
        struct {
            struct chq_bytes username;
        } removed;
    };
};

enum chq_turn_action_type {
    CHQ_TURN_TO_CLIENT = 1, /* send head + payload + tail to `address` from listening socket `listener` */
    CHQ_TURN_TO_PEER, /* send payload to `address` from the relayed port of `allocation` in `address.family` */
    CHQ_TURN_OPEN_PORT, /* open `address.port` for `allocation` in `address.family`, then report PORT_OPENED */
    CHQ_TURN_CLOSE_PORT /* close the relayed port of `allocation` in `address.family`; its number may be used again from now on */
};

/* One output; done in order. head and tail point into the core and are valid until the next step, payload points into
 * the event's datagram. */
struct chq_turn_action {
    enum chq_turn_action_type type;
    uint32_t allocation;
    uint8_t listener;
    uint32_t stream; /* TO_CLIENT: as the client's messages came with */
    bool dont_fragment; /* TO_PEER: drop the payload rather than send it in fragments */
    struct chq_address address;
    struct chq_bytes head, payload, tail;
};

#define CHQ_TURN_HEAD_BYTES_MAX                                                                              \
    64 /* of `head` before a payload; a message of its own (no payload) may be longer */

struct chq_turn_actions {
    struct chq_turn_action v[CHQ_TURN_ACTIONS_MAX];
    uint32_t n;
};

struct chq_turn_stats {
    uint64_t allocations; /* open now */
    uint64_t allocations_total;
    uint64_t to_peer_packets, to_peer_bytes;
    uint64_t to_client_packets, to_client_bytes;
    uint64_t dropped_unpaid_packets, dropped_packets;
    uint64_t refused_logins, rate_limited;
};

/* Create. CHQ_LIMIT: realm, port range, an app's secret or a maximum out of bounds; CHQ_MALFORMED: quotation mark or control character
 * in the realm, no relay address; CHQ_NO_MEMORY. */
CHQ_MUST_CHECK enum chq_err chq_turn_new(const struct chq_turn_config *config, struct chq_turn **out);
/* Wipe keys and free; NULL is accepted. Open ports are the shell's to close. */
void chq_turn_free(struct chq_turn *turn);

/*
 * Take one event, write what to do to `out` (out->n is reset). Whatever a datagram holds, the result is CHQ_OK and the
 * answer is an action or none. CREDENTIAL_ADDED: CHQ_LIMIT for an empty or long name or password or a full table,
 * CHQ_NO_MEMORY, CHQ_IO (hash failed). CREDENTIAL_REMOVED: CHQ_NOT_FOUND. On error nothing changed and out->n is 0.
 */
CHQ_MUST_CHECK enum chq_err chq_turn_step(
    struct chq_turn *turn, const struct chq_turn_event *in, struct chq_turn_actions *out);

/* Return when to call CHQ_TURN_TIMEOUT; UINT64_MAX: never. */
uint64_t chq_turn_deadline_us(const struct chq_turn *turn);

/* Return whether the client at `from` has an allocation. */
bool chq_turn_serves(struct chq_turn *turn, const struct chq_address *from, uint8_t listener);

/* Return the counts (borrowed). */
const struct chq_turn_stats *chq_turn_stats(const struct chq_turn *turn);

#endif
