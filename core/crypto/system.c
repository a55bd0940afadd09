/* SPDX-License-Identifier: Apache-2.0 */
#include "core/crypto/system.h"

#include <sodium.h>

static void fill(void *context, uint8_t *out, size_t size)
{
    (void)context;
    randombytes_buf(out, size);
}

struct chq_random chq_system_random(void)
{
    return (struct chq_random){.fill = fill};
}
