/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CHQ_RELAY_TURN_SOCKADDR_H
#define CHQ_RELAY_TURN_SOCKADDR_H

#include <netinet/in.h>
#include <sys/socket.h>

#include "core/base/address.h"
#include "core/base/err.h"
#include "relay/turn/peer_filter.h"

union chq_sockaddr {
    struct sockaddr any;
    struct sockaddr_in ip4;
    struct sockaddr_in6 ip6;
};

/* Return the address a socket function gave; family 0 for what is neither IPv4 nor IPv6. */
struct chq_address chq_address_from_sockaddr(const union chq_sockaddr *in);
/* Write the address for a socket function; return its size. */
socklen_t chq_address_to_sockaddr(const struct chq_address *address, union chq_sockaddr *out);
/* Read "192.0.2.1" or "2001:db8::1". CHQ_MALFORMED. */
CHQ_MUST_CHECK enum chq_err chq_address_read_host(const char *text, uint16_t port, struct chq_address *out);
/* Read "10.0.0.0/8", or an address alone for the whole of it; bits behind the prefix must be zero. CHQ_MALFORMED. */
CHQ_MUST_CHECK enum chq_err chq_prefix_read(const char *text, struct chq_prefix *out);

#endif
