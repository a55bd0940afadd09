/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CHQ_CORE_IDENTITY_HANDLE_H
#define CHQ_CORE_IDENTITY_HANDLE_H

#include <stdbool.h>

#include "core/base/bytes.h"

/*
 * Return whether `handle` is one: 2 to 32 characters a-z 0-9 - _ . , starts with a letter, ends with a letter or
 * digit, no two marks in a row.
 */
bool chq_handle_is_valid(struct chq_bytes handle);

#endif
