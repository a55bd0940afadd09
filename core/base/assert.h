/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CHQ_CORE_BASE_ASSERT_H
#define CHQ_CORE_BASE_ASSERT_H

#include <stdio.h>
#include <stdlib.h>

/* For our own bugs, never for what a peer sent. Stays on in release. */
#define CHQ_ASSERT(cond)                                                                                     \
    do {                                                                                                     \
        if (!(cond)) {                                                                                       \
            fprintf(stderr, "chasqui bug: %s:%d: %s\n", __FILE__, __LINE__, #cond);                          \
            abort();                                                                                         \
        }                                                                                                    \
    } while (0)

#endif
