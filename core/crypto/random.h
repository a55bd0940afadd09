/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CHQ_CORE_CRYPTO_RANDOM_H
#define CHQ_CORE_CRYPTO_RANDOM_H

#include <stdint.h>

#include "core/base/random.h"

/* A generator that is the same on every machine for the same seed: for simulations and tests only. */
struct chq_seeded {
    uint8_t key[32];
    uint64_t block;
};

void chq_seeded_init(struct chq_seeded *seeded, uint64_t seed);
struct chq_random chq_seeded_random(struct chq_seeded *seeded);
/* A number below `bound` (> 0), without bias worth the name (64-bit draw, remainder). */
uint64_t chq_random_below(const struct chq_random *random, uint64_t bound);

#endif
