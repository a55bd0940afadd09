/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CHQ_CORE_WIRE_VALIDATOR_H
#define CHQ_CORE_WIRE_VALIDATOR_H

#include <stddef.h>
#include <stdint.h>

#include "core/base/bytes.h"
#include "core/base/limits.h"

/* One member of a validator set: `{1: key b32, 2: power uint}`. Power is 1 and up; a set's total is below 2^60. */
struct chq_validator {
    uint8_t key[32]; /* Ed25519 */
    uint64_t power;
};

/* Read an array of 1 to CHQ_VALIDATORS_MAX validators, each key once; CHQ_MALFORMED sticks to the reader. */
size_t chq_validators_get(struct chq_reader *r, struct chq_validator out[CHQ_VALIDATORS_MAX]);
void chq_validators_put(struct chq_writer *w, const struct chq_validator *validators, size_t count);

#endif
