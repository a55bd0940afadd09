/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CHQ_CLIENT_SDK_KEYRING_H
#define CHQ_CLIENT_SDK_KEYRING_H

#include <stdbool.h>
#include <stdint.h>

/*
 * The desktop's keyring (libsecret). Both calls wait at most `timeout_ms`, for a locked keyring may ask its user and never
 * answer. `why` holds 256 characters and says what went wrong.
 */
bool chq_keyring_load(const char *profile, uint32_t timeout_ms, uint8_t key[32], char why[256]);
bool chq_keyring_store(const char *profile, uint32_t timeout_ms, const uint8_t key[32], char why[256]);

#endif
