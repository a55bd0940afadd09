/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CHQ_CORE_WIRE_GENESIS_H
#define CHQ_CORE_WIRE_GENESIS_H

#include "core/base/limits.h"
#include "core/wire/inception.h"
#include "core/wire/validator.h"

/*
 * What a chain begins with (docs/protocol.md section 5, 'Genesis'). Every node of a chain has the same bytes:
 *   {1: version uint (1), 2: chain id text(50), 3: time unix s, 4: issuer's inception bytes, 5: validators,
 *    6: supply cap micro, 7: channel grace s}
 */
#define CHQ_CHANNEL_GRACE_S_DEFAULT 120

struct chq_genesis {
    char chain_id[CHQ_CHAIN_ID_CHARS_MAX + 1]; /* letters, digits, - and _ */
    uint64_t time_s;
    struct chq_inception issuer;
    size_t validators_count;
    struct chq_validator validators[CHQ_VALIDATORS_MAX];
    uint64_t supply_max_micro;
    uint64_t channel_grace_s;
};

/* Return whether `text` may name a chain: 1 to 50 letters, digits, - and _. */
bool chq_chain_id_is_valid(struct chq_bytes text);
/* Read a genesis that is all of `in`. CHQ_MALFORMED; CHQ_UNSUPPORTED for another version. */
CHQ_MUST_CHECK enum chq_err chq_genesis_read(struct chq_bytes in, struct chq_genesis *out);
void chq_genesis_put(struct chq_writer *w, const struct chq_genesis *in);

#endif
