/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CHQ_CORE_WIRE_HEADER_H
#define CHQ_CORE_WIRE_HEADER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/bytes.h"
#include "core/base/err.h"
#include "core/base/limits.h"

/*
 * A ledger header with its validators' votes. The header has the fields of a CometBFT v0.38 header, so that its hash
 * and the votes' sign bytes are CometBFT's own (ledger/light); on our wires it is deterministic CBOR
 * (docs/protocol.md section 5, 'Headers').
 */

#define CHQ_VALIDATOR_ADDRESS_BYTES 20

struct chq_time {
    int64_t s; /* since 1970 */
    uint32_t ns; /* below 10^9 */
};

struct chq_block_id {
    struct chq_bytes hash; /* 32 bytes, or empty: there is none */
    uint32_t parts_total;
    struct chq_bytes parts_hash; /* 32 bytes, or empty */
};

struct chq_header {
    uint64_t version_block, version_app;
    struct chq_bytes chain_id;
    uint64_t height; /* 1 and up, at most 2^63 - 1 */
    struct chq_time time;
    struct chq_block_id last_block;
    struct chq_bytes last_commit_hash, data_hash, validators_hash, next_validators_hash, consensus_hash;
    struct chq_bytes app_hash; /* state root after height - 1 */
    struct chq_bytes last_results_hash, evidence_hash;
    uint8_t proposer[CHQ_VALIDATOR_ADDRESS_BYTES];
};

struct chq_vote {
    uint8_t validator[CHQ_VALIDATOR_ADDRESS_BYTES];
    struct chq_time time;
    uint8_t signature[64];
};

struct chq_signed_header {
    struct chq_header header;
    uint32_t round;
    uint32_t parts_total; /* of the block that is voted for */
    uint8_t parts_hash[32];
    size_t votes_count; /* votes for this block only: nil and absent ones are left out */
    struct chq_vote votes[CHQ_VALIDATORS_MAX];
};

/* Read; CHQ_MALFORMED otherwise. Views are borrowed from `in`. */
CHQ_MUST_CHECK enum chq_err chq_signed_header_read(struct chq_bytes in, struct chq_signed_header *out);
/* Append; errors stick to the writer. */
void chq_signed_header_put(struct chq_writer *w, const struct chq_signed_header *in);

#endif
