/* SPDX-License-Identifier: Apache-2.0 */
/* malloc, calloc and realloc are wrapped at link time, so that one allocation of an agent's step can fail. */
#include <stdlib.h>

#include "tests/sim/chasqui/sim.h"

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *block, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *block, size_t size);

long memory_fail_in;
bool memory_armed;
unsigned long memory_allocations;

static bool fails_now(void)
{
    if (!memory_armed)
        return false;
    memory_allocations++;
    return memory_fail_in > 0 && --memory_fail_in == 0;
}

void *__wrap_malloc(size_t size)
{
    return fails_now() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t n, size_t size)
{
    return fails_now() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *block, size_t size)
{
    return fails_now() ? NULL : __real_realloc(block, size);
}
