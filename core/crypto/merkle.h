/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CHQ_CORE_CRYPTO_MERKLE_H
#define CHQ_CORE_CRYPTO_MERKLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/bytes.h"
#include "core/base/err.h"
#include "core/base/limits.h"
#include "core/crypto/hash.h"

/*
 * Merkle trees over SHA-256. The list tree is RFC 6962 section 2.1 (and CometBFT's): leaf = SHA-256(0x00, data),
 * inner = SHA-256(0x01, left, right), split at the largest power of two below n, empty = SHA-256("").
 */

void chq_merkle_leaf(uint8_t out[CHQ_HASH_BYTES], struct chq_bytes data);
void chq_merkle_inner(
    uint8_t out[CHQ_HASH_BYTES], const uint8_t left[CHQ_HASH_BYTES], const uint8_t right[CHQ_HASH_BYTES]);
/* Compute the root over `n` leaf data. */
void chq_merkle_root(uint8_t out[CHQ_HASH_BYTES], const struct chq_bytes *leaves, size_t n);
/* Write the audit path of leaf `index` < n, leaf side first, and return its length (at most CHQ_MERKLE_PATH_MAX). */
size_t chq_merkle_path(
    uint8_t (*path)[CHQ_HASH_BYTES], const struct chq_bytes *leaves, size_t n, size_t index);
/*
 * Compute the root that `data` at `index` of `n` leaves and the path (whole hashes, leaf side first) lead to.
 * CHQ_MALFORMED when the path has not the one right length for (index, n).
 */
CHQ_MUST_CHECK enum chq_err chq_merkle_climb(
    uint8_t out[CHQ_HASH_BYTES], struct chq_bytes data, size_t index, size_t n, struct chq_bytes path);

/*
 * The sparse tree over 256-bit keys: leaf = SHA-256(0x00, key, SHA-256(value)), inner as above, an empty subtree is
 * 32 zero bytes, and a subtree with one leaf is that leaf, so a leaf stands as high as it is alone. Left is bit 0;
 * the first bit is the highest of byte 0.
 */

void chq_sparse_leaf(
    uint8_t out[CHQ_HASH_BYTES], const uint8_t key[32], const uint8_t value_hash[CHQ_HASH_BYTES]);

/* Return bit `depth` of a key: which side it lies on below a node at that depth. */
static inline unsigned chq_sparse_bit(const uint8_t key[32], unsigned depth)
{
    return (unsigned)key[depth / 8] >> (7 - depth % 8) & 1u;
}

/*
 * The way from a key's place to the root. Bit d of the bitmap (highest bit of byte 0 first) says that the sibling at
 * depth d + 1 is not empty; those siblings follow, deepest first.
 */
struct chq_sparse_proof {
    unsigned depth; /* of the place, 0 to CHQ_SPARSE_DEPTH_MAX */
    uint8_t bitmap[CHQ_SPARSE_DEPTH_MAX / 8];
    struct chq_bytes siblings; /* whole hashes, borrowed */
    bool has_other; /* absence: another leaf stands at the place */
    uint8_t other_key[32], other_value_hash[CHQ_HASH_BYTES];
};

/*
 * Compute the root to which the proof leads from `key`; `value_hash` NULL proves that there is no such key.
 * CHQ_MALFORMED: depth, bitmap and siblings do not fit each other, or the other leaf is not one that could stand
 * there (a different key with the same first `depth` bits), or stands beside an inclusion.
 */
CHQ_MUST_CHECK enum chq_err chq_sparse_climb(uint8_t out[CHQ_HASH_BYTES], const uint8_t key[32],
    const uint8_t *value_hash, const struct chq_sparse_proof *proof);

#endif
