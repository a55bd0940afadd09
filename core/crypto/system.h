/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CHQ_CORE_CRYPTO_SYSTEM_H
#define CHQ_CORE_CRYPTO_SYSTEM_H

#include "core/base/random.h"

/* The system's generator, for shells to pass in; no protocol core may call this. */
struct chq_random chq_system_random(void);

#endif
