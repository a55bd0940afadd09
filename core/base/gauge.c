/* SPDX-License-Identifier: Apache-2.0 */
#include "core/base/gauge.h"

void chq_gauge_init(struct chq_gauge *gauge, uint64_t carried_bytes, uint64_t limit_bytes)
{
    atomic_init(&gauge->carried_bytes, carried_bytes);
    atomic_init(&gauge->limit_bytes, limit_bytes);
}

bool chq_gauge_try_add(struct chq_gauge *gauge, uint64_t n)
{
    uint64_t carried = atomic_load_explicit(&gauge->carried_bytes, memory_order_relaxed);
    do {
        uint64_t limit = atomic_load_explicit(&gauge->limit_bytes, memory_order_relaxed);
        if (carried > limit || n > limit - carried)
            return false;
    } while (!atomic_compare_exchange_weak_explicit(
        &gauge->carried_bytes, &carried, carried + n, memory_order_relaxed, memory_order_relaxed));
    return true;
}

uint64_t chq_gauge_carried(const struct chq_gauge *gauge)
{
    return atomic_load_explicit(&gauge->carried_bytes, memory_order_relaxed);
}

void chq_gauge_set_limit(struct chq_gauge *gauge, uint64_t limit_bytes)
{
    atomic_store_explicit(&gauge->limit_bytes, limit_bytes, memory_order_relaxed);
}
