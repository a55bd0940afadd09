/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CHQ_CORE_BASE_ADDRESS_H
#define CHQ_CORE_BASE_ADDRESS_H

#include <stdbool.h>
#include <stdint.h>

/*
 * A transport address without sockets: what a datagram came from or goes to. Unused bytes of `ip` are zero, so that
 * two equal addresses are equal byte for byte in the fields below.
 */
struct chq_address {
    uint8_t family; /* 4 or 6; 0: no address */
    uint16_t port;
    uint8_t ip[16]; /* network order; the first 4 bytes for family 4 */
};

#define CHQ_ADDRESS_TEXT_MAX 56

/* Return an IPv4 address: a.b.c.d, port. */
struct chq_address chq_address_ip4(uint8_t a, uint8_t b, uint8_t c, uint8_t d, uint16_t port);
/* Return whether both name the same host; ports are not looked at. */
bool chq_address_same_host(const struct chq_address *a, const struct chq_address *b);
/* Return whether both are the same host and port. */
bool chq_address_equal(const struct chq_address *a, const struct chq_address *b);
/* Write "192.0.2.1:3478" or "[2001:db8::1]:3478" (RFC 5952), "-" for no address. For tests and debug logs only. */
void chq_address_write(const struct chq_address *address, char out[CHQ_ADDRESS_TEXT_MAX]);

#endif
