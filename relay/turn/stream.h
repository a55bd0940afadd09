/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CHQ_RELAY_TURN_STREAM_H
#define CHQ_RELAY_TURN_STREAM_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/address.h"
#include "core/base/bytes.h"
#include "core/base/err.h"

/*
 * Clients over TCP and TLS: connections with bounded buffers and deadlines around the TURN core. Whole messages come
 * out, framed as RFC 8656 section 12.5 says (ChannelData padded to a multiple of 4). Part of the shell; for the server's
 * thread alone.
 *
 * A connection is closed when the TLS handshake is not done after CHQ_TURN_STREAM_HANDSHAKE_S, when it had no
 * allocation for CHQ_TURN_STREAM_IDLE_S, when what comes is not STUN or ChannelData or longer than `message_bytes_max`,
 * and on any error. Connections above CHQ_TURN_STREAMS_MAX, or above CHQ_TURN_STREAMS_PER_ADDRESS_MAX of one IPv4
 * address or IPv6 /64, are closed at once.
 */
struct chq_turn_streams;

/* Listener numbers of the core: none that locals.h gives out. */
#define CHQ_TURN_LISTENER_TCP 254
#define CHQ_TURN_LISTENER_TLS 255

/* Who the messages go to; called from chq_turn_streams_ready and _sweep only. `stream` counts from 1. */
struct chq_turn_streams_user {
    void (*message)(void *context, uint32_t stream, const struct chq_address *from, uint8_t listener,
        struct chq_bytes message); /* borrowed for the call */
    void (*gone)(void *context, const struct chq_address *from, uint8_t listener); /* it was closed */
    bool (*is_served)(
        void *context, const struct chq_address *from, uint8_t listener); /* has an allocation */
    void *context;
};

struct chq_turn_streams_config {
    int epoll_fd; /* events get keys from `first_key` on, chq_turn_streams_keys() of them */
    uint64_t first_key;
    struct chq_address listen; /* the port is not looked at */
    uint16_t tcp_port, tls_port; /* 0: not offered */
    const char *certificate_file, *key_file; /* PEM; only for TLS; borrowed for the call */
    uint32_t message_bytes_max;
    struct chq_turn_streams_user user;
};

/* Listen. CHQ_IO: a port cannot be bound (errno says why) or certificate and key do not load (errno 0); CHQ_NO_MEMORY. */
CHQ_MUST_CHECK enum chq_err chq_turn_streams_new(
    const struct chq_turn_streams_config *config, struct chq_turn_streams **out);
/* Close everything without telling the user; NULL is accepted. */
void chq_turn_streams_free(struct chq_turn_streams *streams);
/* Handle an epoll event of key `key`. */
void chq_turn_streams_ready(struct chq_turn_streams *streams, uint64_t key, uint32_t events);
/* Send one message, padded already. A connection that takes nothing keeps a bounded amount; then messages are dropped,
 * which false says. */
bool chq_turn_streams_send(struct chq_turn_streams *streams, uint32_t stream, struct chq_bytes message);
/* Close what is broken or due at `now_us`; call after each round of events, and once a second while any is open. */
void chq_turn_streams_sweep(struct chq_turn_streams *streams, uint64_t now_us);
/* Return how many connections are open. */
uint32_t chq_turn_streams_open(const struct chq_turn_streams *streams);
/* Return whether a sweep is needed from time to time. */
bool chq_turn_streams_need_sweep(const struct chq_turn_streams *streams);

#endif
