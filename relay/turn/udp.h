/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CHQ_RELAY_TURN_UDP_H
#define CHQ_RELAY_TURN_UDP_H

#include <stdint.h>

#include "core/base/err.h"
#include "core/base/gauge.h"
#include "core/base/log.h"
#include "core/base/random.h"

/*
 * The TURN server over UDP, and over TCP and TLS where asked for (stream.h), as a thread: sockets, clock and system randomness around the pure core in turn.h. All
 * functions below may be called from any thread; the server never calls back.
 */
struct chq_turn_server;

/* An app whose users log in with time-limited credentials made from `secret` (see turn.h). */
struct chq_turn_server_app {
    const char *secret; /* CHQ_TURN_SECRET_BYTES_MIN to _MAX bytes; borrowed for the call */
    struct chq_gauge *gauge; /* pays for all of them; borrowed until the server has stopped */
};

struct chq_turn_server_config {
    const char
        *listen_address; /* IPv4 or IPv6 text; "0.0.0.0" and "::" listen on every address of that family */
    uint16_t listen_port; /* 0: the system picks one, see chq_turn_server_port */
    const char *relay_address; /* where relayed ports are opened; a wildcard only with advertised_address */
    const char *relay_address_6; /* NULL, or a second one of the other family */
    const char *advertised_address; /* NULL, or what clients are told instead of relay_address (1:1 NAT) */
    uint16_t port_min, port_max; /* relayed ports, both included; 0, 0: 49152 to 65535 */
    const char *realm; /* NULL: "chasqui"; at most CHQ_TURN_REALM_BYTES_MAX bytes, without quotation marks */
    const char *const
        *allow; /* peer prefixes ("10.0.0.0/8", "::1/128") that are allowed though special; may be NULL */
    uint32_t allow_count;
    uint16_t tcp_port, tls_port; /* 0: not offered; on listen_address */
    const char *certificate_file, *key_file; /* PEM, for tls_port; borrowed for the call */
    const struct chq_turn_server_app *apps;
    uint32_t app_count; /* at most CHQ_TURN_APPS_MAX */
    uint32_t allocations_max; /* 0: 4,096 */
    uint32_t allocations_per_credential_max; /* 0: 16 */
    uint32_t allocations_per_prefix_max; /* 0: 512; of clients in one IPv4 /24 or IPv6 /48 */
    uint32_t unauthenticated_per_s; /* 0: 20 unauthenticated replies a second and source (burst: 3 s of it) */
    struct chq_random random; /* required; its context is used by the server's thread until stop */
    struct chq_log log; /* copied; client addresses appear at CHQ_LOG_DEBUG only */
};

/* Counts since start, at most one turn of the event loop old. */
struct chq_turn_server_stats {
    uint64_t allocations; /* open now */
    uint64_t allocations_total;
    uint64_t to_peer_packets, to_peer_bytes; /* forwarded application data */
    uint64_t to_client_packets, to_client_bytes;
    uint64_t dropped_unpaid_packets; /* the gauge was full */
    uint64_t dropped_packets; /* no permission, no channel, malformed, refused peer, socket full */
    uint64_t refused_logins; /* 401 to a request that carried credentials */
    uint64_t rate_limited; /* unauthenticated requests left without an answer */
};

/*
 * Open the listening socket, start the thread, and return the server in *out. `config` is borrowed for the call.
 * CHQ_MALFORMED: an address or prefix is not one; CHQ_LIMIT: the realm is too long, the port range is empty, too many
 * allowed prefixes or apps, a secret is too short or too long; CHQ_IO: the socket cannot be opened or bound (address in use), or certificate and key do not
 * load: one log line says which;
 * CHQ_NO_MEMORY.
 */
CHQ_MUST_CHECK enum chq_err chq_turn_server_start(
    const struct chq_turn_server_config *config, struct chq_turn_server **out);

/*
 * Let clients log in as `username` with `password`, paid from `gauge`. The same username again replaces password,
 * gauge and expiry; allocations made with it stay and use the new gauge. After `lifetime_s` seconds (0: never) new
 * requests are refused with 401, running allocations end with their lifetime. `gauge` is borrowed until
 * chq_turn_server_remove_credential for this name, a replacing add, or chq_turn_server_stop has returned.
 * CHQ_LIMIT: name or password empty or too long (CHQ_TURN_USERNAME_BYTES_MAX, CHQ_TURN_PASSWORD_BYTES_MAX), or table
 * full; CHQ_NO_MEMORY; CHQ_IO.
 */
CHQ_MUST_CHECK enum chq_err chq_turn_server_add_credential(struct chq_turn_server *server,
    const char *username, const char *password, struct chq_gauge *gauge, uint32_t lifetime_s);

/* Forget `username` and close its allocations. When this returns its gauge is not used any more. CHQ_NOT_FOUND. */
CHQ_MUST_CHECK enum chq_err chq_turn_server_remove_credential(
    struct chq_turn_server *server, const char *username);

/* Return the port that is listened on. */
uint16_t chq_turn_server_port(const struct chq_turn_server *server);

void chq_turn_server_read_stats(struct chq_turn_server *server, struct chq_turn_server_stats *out);

/* Stop the thread, close every socket, free; NULL is accepted. Gauges are not used after this returns. */
void chq_turn_server_stop(struct chq_turn_server *server);

#endif
