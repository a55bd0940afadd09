/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CHQ_CORE_IDENTITY_SAFETY_NUMBER_H
#define CHQ_CORE_IDENTITY_SAFETY_NUMBER_H

#include "core/wire/id.h"

#define CHQ_SAFETY_NUMBER_DIGITS     60
#define CHQ_SAFETY_NUMBER_ITERATIONS 5200

/*
 * Write the safety number of two accounts: 60 decimal digits and a terminator, the same whichever is first.
 * Each account gives 30 digits from 5,200 rounds of hashing its id and current root key, the smaller half first.
 */
void chq_safety_number(char out[CHQ_SAFETY_NUMBER_DIGITS + 1], const uint8_t account_a[CHQ_ACCOUNT_ID_BYTES],
    const uint8_t root_key_a[CHQ_SIGN_PUBLIC_BYTES], const uint8_t account_b[CHQ_ACCOUNT_ID_BYTES],
    const uint8_t root_key_b[CHQ_SIGN_PUBLIC_BYTES]);

#endif
