/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CHQ_CORE_BASE_GAUGE_H
#define CHQ_CORE_BASE_GAUGE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/*
 * What one payer has been served and may be served: application bytes, headers not counted. The meter owns it and
 * raises the limit as tokens come in; TURN and mailboxes add to it from their own threads. carried_bytes never falls
 * and never passes the limit of its moment, so the payer never owes more than the meter granted.
 */
struct chq_gauge {
    _Atomic uint64_t carried_bytes;
    _Atomic uint64_t limit_bytes;
};

/* Set both counts; before the gauge is shared. */
void chq_gauge_init(struct chq_gauge *gauge, uint64_t carried_bytes, uint64_t limit_bytes);
/* Add `n` bytes and return true if carried + n <= limit; otherwise change nothing and return false. Thread-safe. */
bool chq_gauge_try_add(struct chq_gauge *gauge, uint64_t n);
/* Return the bytes carried so far. Thread-safe. */
uint64_t chq_gauge_carried(const struct chq_gauge *gauge);
/* Let `limit_bytes` be served from now on; below what was carried, nothing more is. Thread-safe. */
void chq_gauge_set_limit(struct chq_gauge *gauge, uint64_t limit_bytes);

#endif
