/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CHQ_P2P_PATH_SOCKET_H
#define CHQ_P2P_PATH_SOCKET_H

#include <sys/socket.h>

#include "core/base/address.h"
#include "core/base/err.h"

/* Between the wire's addresses and the system's. Return the length of `out`, 0 for no address. */
socklen_t chq_address_to_sockaddr(const struct chq_address *address, struct sockaddr_storage *out);
/* Return family 0 for what is neither IPv4 nor IPv6. IPv4-mapped IPv6 becomes IPv4. */
struct chq_address chq_address_from_sockaddr(const struct sockaddr *in);
/* Read a numeric IPv4 or IPv6 address; CHQ_MALFORMED for names and anything else. */
CHQ_MUST_CHECK enum chq_err chq_address_parse(const char *host, uint16_t port, struct chq_address *out);

#endif
