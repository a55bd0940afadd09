/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CHQ_RELAY_TURN_PEER_FILTER_H
#define CHQ_RELAY_TURN_PEER_FILTER_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/address.h"
#include "core/base/err.h"
#include "core/base/limits.h"

/* The addresses whose first `bits` bits are those of `base`. */
struct chq_prefix {
    struct chq_address base;
    uint8_t bits; /* 0 to 32 or 128 */
};

/*
 * Which peers a relay sends to for its clients. A relay is a stranger's foot in the operator's network, so special
 * addresses are refused: loopback, private, link-local (cloud metadata), documentation, multicast, reserved, and every
 * IPv6 form that carries an IPv4 address (IANA special-purpose registries, RFC 6890, RFC 8190); of IPv6 only 2000::/3
 * is open at all. So are the relay's own addresses (no loops), except
 * from one allocation to another (chq_turn_check_peer). `allow` lifts any of this, and is empty by default.
 */
struct chq_peer_filter {
    struct chq_prefix allow[CHQ_TURN_ALLOWED_PREFIXES_MAX];
    uint32_t allow_count;
    struct chq_address own[CHQ_TURN_OWN_ADDRESSES_MAX]; /* hosts; ports are not looked at */
    uint32_t own_count;
};

/* Return whether `address` lies in `prefix`. */
bool chq_prefix_contains(const struct chq_prefix *prefix, const struct chq_address *address);
/* Return whether `address` is in a special-purpose block, or not an address at all. */
bool chq_address_is_special(const struct chq_address *address);
/* Return whether a client may use `peer`. */
bool chq_peer_filter_allows(const struct chq_peer_filter *filter, const struct chq_address *peer);

#endif
