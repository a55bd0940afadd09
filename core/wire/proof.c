/* SPDX-License-Identifier: Apache-2.0 */
#include "core/wire/proof.h"

#include <string.h>

#include "core/wire/cbor.h"

enum chq_err chq_proof_read(struct chq_bytes in, struct chq_proof *out)
{
    struct chq_reader r = chq_reader(in);
    struct chq_cbor_map m = chq_cbor_get_map(&r, 6);
    struct chq_proof p = {0};
    *out = p;
    chq_cbor_need(&r, &m, 1);
    p.sparse.depth = (unsigned)chq_cbor_get_uint_max(&r, CHQ_SPARSE_DEPTH_MAX);
    chq_cbor_need(&r, &m, 2);
    chq_cbor_get_fixed(&r, p.sparse.bitmap, (p.sparse.depth + 7u) / 8u);
    chq_cbor_need(&r, &m, 3);
    p.sparse.siblings = chq_cbor_get_bytes(&r, (size_t)CHQ_PROOF_SIBLINGS_MAX * CHQ_HASH_BYTES);
    p.sparse.has_other = chq_cbor_has(&r, &m, 4);
    if (p.sparse.has_other) {
        chq_cbor_get_fixed(&r, p.sparse.other_key, sizeof p.sparse.other_key);
        chq_cbor_need(&r, &m, 5);
        chq_cbor_get_fixed(&r, p.sparse.other_value_hash, sizeof p.sparse.other_value_hash);
    }
    chq_cbor_need(&r, &m, 6);
    p.path = chq_cbor_get_bytes(&r, (size_t)CHQ_MERKLE_PATH_MAX * CHQ_HASH_BYTES);
    chq_cbor_map_end(&r, &m);
    CHQ_TRY(chq_reader_finish(&r));
    *out = p;
    return CHQ_OK;
}

void chq_proof_put(struct chq_writer *w, const struct chq_proof *in)
{
    if (in->sparse.depth > CHQ_SPARSE_DEPTH_MAX) {
        chq_writer_fail(w, CHQ_LIMIT);
        return;
    }
    chq_cbor_put_map(w, in->sparse.has_other ? 6 : 4);
    chq_cbor_pair_uint(w, 1, in->sparse.depth);
    chq_cbor_pair_bytes(w, 2, in->sparse.bitmap, (in->sparse.depth + 7u) / 8u);
    chq_cbor_pair_bytes(w, 3, in->sparse.siblings.data, in->sparse.siblings.size);
    if (in->sparse.has_other) {
        chq_cbor_pair_bytes(w, 4, in->sparse.other_key, sizeof in->sparse.other_key);
        chq_cbor_pair_bytes(w, 5, in->sparse.other_value_hash, sizeof in->sparse.other_value_hash);
    }
    chq_cbor_pair_bytes(w, 6, in->path.data, in->path.size);
}

enum chq_err chq_proof_check(const struct chq_proof *proof, const uint8_t root[32], enum chq_record_kind kind,
    const uint8_t key[32], bool present, struct chq_bytes value)
{
    uint8_t value_hash[CHQ_HASH_BYTES], kind_root[CHQ_HASH_BYTES], found[CHQ_HASH_BYTES];
    if (present)
        chq_sha256(value_hash, value);
    CHQ_TRY(chq_sparse_climb(kind_root, key, present ? value_hash : NULL, &proof->sparse));
    CHQ_TRY(chq_merkle_climb(
        found, chq_bytes(kind_root, sizeof kind_root), (size_t)kind, CHQ_STATE_LEAVES, proof->path));
    return memcmp(found, root, sizeof found) == 0 ? CHQ_OK : CHQ_AUTH;
}
