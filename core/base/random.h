/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CHQ_CORE_BASE_RANDOM_H
#define CHQ_CORE_BASE_RANDOM_H

#include <stddef.h>
#include <stdint.h>

/*
 * Randomness is an input: daemons pass the system's generator (core/crypto/random.h), simulations and tests a
 * seeded one, so that the same code runs again byte for byte.
 */
struct chq_random {
    void (*fill)(void *context, uint8_t *out, size_t size);
    void *context;
};

static inline void chq_random_fill(const struct chq_random *random, uint8_t *out, size_t size)
{
    random->fill(random->context, out, size);
}

#endif
