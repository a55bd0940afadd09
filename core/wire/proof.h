/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CHQ_CORE_WIRE_PROOF_H
#define CHQ_CORE_WIRE_PROOF_H

#include "core/crypto/merkle.h"
#include "core/wire/record.h"

/*
 * A proof from one record to the state root (docs/protocol.md section 5, 'Proofs'). The state root is the list tree
 * over CHQ_STATE_LEAVES data: 0 the chain record, then the root of each record kind's sparse tree, at its number.
 */
#define CHQ_STATE_LEAVES (1 + CHQ_RECORD_KINDS)

struct chq_proof {
    struct chq_sparse_proof sparse;
    struct chq_bytes
        path; /* from the kind's root to the state root: whole hashes, leaf side first; borrowed */
};

CHQ_MUST_CHECK enum chq_err chq_proof_read(struct chq_bytes in, struct chq_proof *out);
void chq_proof_put(struct chq_writer *w, const struct chq_proof *in);

/*
 * Check that the state under `root` has `value` at (kind, key), or, with `present` false, nothing. CHQ_MALFORMED for a
 * proof that fits no tree, CHQ_AUTH for one that leads elsewhere.
 */
CHQ_MUST_CHECK enum chq_err chq_proof_check(const struct chq_proof *proof, const uint8_t root[32],
    enum chq_record_kind kind, const uint8_t key[32], bool present, struct chq_bytes value);

#endif
