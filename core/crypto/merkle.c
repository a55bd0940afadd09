/* SPDX-License-Identifier: Apache-2.0 */
#include "core/crypto/merkle.h"

#include <sodium.h>
#include <string.h>

#include "core/base/assert.h"

void chq_merkle_leaf(uint8_t out[CHQ_HASH_BYTES], struct chq_bytes data)
{
    static const uint8_t prefix[1] = {0};
    crypto_hash_sha256_state state;
    crypto_hash_sha256_init(&state);
    crypto_hash_sha256_update(&state, prefix, 1);
    if (data.size > 0)
        crypto_hash_sha256_update(&state, data.data, data.size);
    crypto_hash_sha256_final(&state, out);
}

void chq_merkle_inner(
    uint8_t out[CHQ_HASH_BYTES], const uint8_t left[CHQ_HASH_BYTES], const uint8_t right[CHQ_HASH_BYTES])
{
    uint8_t block[1 + 2 * CHQ_HASH_BYTES];
    block[0] = 1;
    memcpy(block + 1, left, CHQ_HASH_BYTES);
    memcpy(block + 1 + CHQ_HASH_BYTES, right, CHQ_HASH_BYTES);
    crypto_hash_sha256(out, block, sizeof block);
}

/* RFC 6962 section 2.1: k, the largest power of two smaller than n. */
static size_t split(size_t n)
{
    size_t k = 1;
    while (k * 2 < n)
        k *= 2;
    return k;
}

void chq_merkle_root(uint8_t out[CHQ_HASH_BYTES], const struct chq_bytes *leaves, size_t n)
{
    /* Complete subtrees, biggest first, as the bits of the leaves seen so far: no recursion, no allocation. */
    uint8_t stack[CHQ_MERKLE_PATH_MAX][CHQ_HASH_BYTES];
    size_t used = 0;
    CHQ_ASSERT(n <= UINT32_MAX);
    if (n == 0) {
        chq_sha256(out, chq_bytes(NULL, 0));
        return;
    }
    for (size_t i = 0; i < n; i++) {
        chq_merkle_leaf(stack[used++], leaves[i]);
        for (size_t seen = i + 1; seen % 2 == 0; seen /= 2) {
            chq_merkle_inner(stack[used - 2], stack[used - 2], stack[used - 1]);
            used--;
        }
    }
    while (used > 1) {
        chq_merkle_inner(stack[used - 2], stack[used - 2], stack[used - 1]);
        used--;
    }
    memcpy(out, stack[0], CHQ_HASH_BYTES);
}

size_t chq_merkle_path(
    uint8_t (*path)[CHQ_HASH_BYTES], const struct chq_bytes *leaves, size_t n, size_t index)
{
    size_t length = 0;
    CHQ_ASSERT(index < n);
    while (n > 1) { /* from the root down; turned round below */
        size_t k = split(n);
        CHQ_ASSERT(length < CHQ_MERKLE_PATH_MAX);
        if (index < k) {
            chq_merkle_root(path[length++], leaves + k, n - k);
            n = k;
        } else {
            chq_merkle_root(path[length++], leaves, k);
            leaves += k;
            index -= k;
            n -= k;
        }
    }
    for (size_t i = 0; i < length / 2; i++) {
        uint8_t swap[CHQ_HASH_BYTES];
        memcpy(swap, path[i], sizeof swap);
        memcpy(path[i], path[length - 1 - i], sizeof swap);
        memcpy(path[length - 1 - i], swap, sizeof swap);
    }
    return length;
}

enum chq_err chq_merkle_climb(
    uint8_t out[CHQ_HASH_BYTES], struct chq_bytes data, size_t index, size_t n, struct chq_bytes path)
{
    bool right[CHQ_MERKLE_PATH_MAX]; /* we are the right child at this depth */
    size_t depth = 0;
    if (index >= n || n > UINT32_MAX)
        return CHQ_MALFORMED;
    for (size_t at = index, left = n; left > 1; depth++) {
        size_t k = split(left);
        right[depth] = at >= k;
        at = right[depth] ? at - k : at;
        left = right[depth] ? left - k : k;
    }
    if (path.size != depth * CHQ_HASH_BYTES)
        return CHQ_MALFORMED;
    chq_merkle_leaf(out, data);
    for (size_t i = 0; i < depth; i++) {
        const uint8_t *sibling = path.data + i * CHQ_HASH_BYTES;
        if (right[depth - 1 - i])
            chq_merkle_inner(out, sibling, out);
        else
            chq_merkle_inner(out, out, sibling);
    }
    return CHQ_OK;
}

void chq_sparse_leaf(
    uint8_t out[CHQ_HASH_BYTES], const uint8_t key[32], const uint8_t value_hash[CHQ_HASH_BYTES])
{
    uint8_t block[1 + 32 + CHQ_HASH_BYTES];
    block[0] = 0;
    memcpy(block + 1, key, 32);
    memcpy(block + 33, value_hash, CHQ_HASH_BYTES);
    crypto_hash_sha256(out, block, sizeof block);
}

static bool same_prefix(const uint8_t a[32], const uint8_t b[32], unsigned bits)
{
    for (unsigned d = 0; d < bits; d++)
        if (chq_sparse_bit(a, d) != chq_sparse_bit(b, d))
            return false;
    return true;
}

static enum chq_err check_shape(const uint8_t key[32], bool included, const struct chq_sparse_proof *proof)
{
    size_t siblings = 0;
    if (proof->depth > CHQ_SPARSE_DEPTH_MAX || proof->siblings.size % CHQ_HASH_BYTES != 0)
        return CHQ_MALFORMED;
    for (unsigned d = 0; d < CHQ_SPARSE_DEPTH_MAX; d++) {
        if (chq_sparse_bit(proof->bitmap, d) == 0)
            continue;
        if (d >= proof->depth)
            return CHQ_MALFORMED;
        siblings++;
    }
    if (siblings != proof->siblings.size / CHQ_HASH_BYTES)
        return CHQ_MALFORMED;
    if (proof->has_other && (included || memcmp(proof->other_key, key, 32) == 0 ||
                                !same_prefix(proof->other_key, key, proof->depth)))
        return CHQ_MALFORMED;
    return CHQ_OK;
}

enum chq_err chq_sparse_climb(uint8_t out[CHQ_HASH_BYTES], const uint8_t key[32], const uint8_t *value_hash,
    const struct chq_sparse_proof *proof)
{
    static const uint8_t empty[CHQ_HASH_BYTES];
    const uint8_t *next = proof->siblings.data;
    CHQ_TRY(check_shape(key, value_hash != NULL, proof));
    if (value_hash != NULL)
        chq_sparse_leaf(out, key, value_hash);
    else if (proof->has_other)
        chq_sparse_leaf(out, proof->other_key, proof->other_value_hash);
    else
        memset(out, 0, CHQ_HASH_BYTES);
    for (unsigned d = proof->depth; d-- > 0;) {
        const uint8_t *sibling = empty;
        if (chq_sparse_bit(proof->bitmap, d) != 0) {
            sibling = next;
            next += CHQ_HASH_BYTES;
        }
        if (chq_sparse_bit(key, d) != 0)
            chq_merkle_inner(out, sibling, out);
        else
            chq_merkle_inner(out, out, sibling);
    }
    return CHQ_OK;
}
