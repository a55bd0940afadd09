/* SPDX-License-Identifier: Apache-2.0 */
#include "core/crypto/random.h"

#include <sodium.h>
#include <string.h>

#include "core/base/bytes.h"

void chq_seeded_init(struct chq_seeded *seeded, uint64_t seed)
{
    uint8_t in[8];
    chq_store_u64(in, seed);
    crypto_generichash(seeded->key, sizeof seeded->key, in, sizeof in, NULL, 0);
    seeded->block = 0;
}

static void fill(void *context, uint8_t *out, size_t size)
{
    struct chq_seeded *seeded = context;
    uint8_t nonce[crypto_stream_chacha20_NONCEBYTES];
    chq_store_u64(nonce, seeded->block++);
    crypto_stream_chacha20(out, size, nonce, seeded->key);
}

struct chq_random chq_seeded_random(struct chq_seeded *seeded)
{
    return (struct chq_random){.fill = fill, .context = seeded};
}

uint64_t chq_random_below(const struct chq_random *random, uint64_t bound)
{
    uint8_t raw[8];
    chq_random_fill(random, raw, sizeof raw);
    return chq_load_u64(raw) % bound;
}
