/* SPDX-License-Identifier: Apache-2.0 */
#include "core/base/text.h"
#include "core/crypto/merkle.h"
#include "unit.h"

#include <string.h>

static void expect(const uint8_t hash[32], const char *hex)
{
    char text[65];
    chq_hex_write(chq_bytes(hash, 32), text);
    assert_string_equal(text, hex);
}

/* tests/vectors/cometbft-signbytes/vectors.json, "rfc6962". */
static void published_vectors(void **state)
{
    (void)state;
    uint8_t out[32];
    chq_merkle_root(out, NULL, 0);
    expect(out, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    chq_merkle_leaf(out, chq_bytes(NULL, 0));
    expect(out, "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d");
    chq_merkle_leaf(out, chq_bytes_text("L123456"));
    expect(out, "395aa064aa4c29f7010acfe3f25db9485bbd4b91897b6ad7ad547639252b4d56");
    chq_sha256(out, chq_bytes_text("\x01N123N456")); /* its children are no hashes, so not chq_merkle_inner */
    expect(out, "aa217fe888e47007fa15edab33c2b492a722cb106c64667fc2b044444de66bbb");
}

/* The definition of RFC 6962 section 2.1, by recursion, beside the iterative one. */
static void slow_root(uint8_t out[32], const struct chq_bytes *leaves, size_t n)
{
    uint8_t left[32], right[32];
    size_t k = 1;
    if (n == 1) {
        chq_merkle_leaf(out, leaves[0]);
        return;
    }
    while (k * 2 < n)
        k *= 2;
    slow_root(left, leaves, k);
    slow_root(right, leaves + k, n - k);
    chq_merkle_inner(out, left, right);
}

static void every_leaf_of_every_size_is_proved(void **state)
{
    (void)state;
    uint8_t data[70], root[32], again[32], path[CHQ_MERKLE_PATH_MAX][32];
    struct chq_bytes leaves[70];
    for (size_t i = 0; i < 70; i++) {
        data[i] = (uint8_t)i;
        leaves[i] = chq_bytes(data + i, 1);
    }
    for (size_t n = 1; n <= 70; n++) {
        chq_merkle_root(root, leaves, n);
        slow_root(again, leaves, n);
        assert_memory_equal(root, again, 32);
        for (size_t i = 0; i < n; i++) {
            size_t length = chq_merkle_path(path, leaves, n, i);
            assert_int_equal(chq_merkle_climb(again, leaves[i], i, n, chq_bytes(path, length * 32)), CHQ_OK);
            assert_memory_equal(root, again, 32);
            assert_int_equal(
                chq_merkle_climb(again, leaves[i], i, n, chq_bytes(path, length * 32 + 1)), CHQ_MALFORMED);
            assert_int_equal(
                chq_merkle_climb(again, leaves[i], n, n, chq_bytes(path, length * 32)), CHQ_MALFORMED);
            if (length == 0)
                continue;
            assert_int_equal(
                chq_merkle_climb(again, leaves[i], i, n, chq_bytes(path, length * 32 - 32)), CHQ_MALFORMED);
            path[length - 1][7] ^= 1;
            assert_int_equal(chq_merkle_climb(again, leaves[i], i, n, chq_bytes(path, length * 32)), CHQ_OK);
            assert_memory_not_equal(root, again, 32);
        }
    }
}

/* Two leaves, 00.. and 40..: they part at the second bit, so the root is inner(inner(a, b), empty). */
static void sparse_proofs(void **state)
{
    (void)state;
    static const uint8_t a[32] = {0x00}, b[32] = {0x40}, c[32] = {0x41}, d[32] = {0x80}, none[32];
    uint8_t va[32], vb[32], la[32], lb[32], root[32], out[32];
    chq_sha256(va, chq_bytes_text("a"));
    chq_sha256(vb, chq_bytes_text("b"));
    chq_sparse_leaf(la, a, va);
    chq_sparse_leaf(lb, b, vb);
    chq_merkle_inner(root, la, lb);
    chq_merkle_inner(root, root, none);

    struct chq_sparse_proof proof = {.depth = 2, .bitmap = {0x40}, .siblings = chq_bytes(lb, 32)};
    assert_int_equal(chq_sparse_climb(out, a, va, &proof), CHQ_OK);
    assert_memory_equal(out, root, 32);
    assert_int_equal(chq_sparse_climb(out, a, vb, &proof), CHQ_OK);
    assert_memory_not_equal(out, root, 32);

    struct chq_sparse_proof other = {
        .depth = 2, .bitmap = {0x40}, .siblings = chq_bytes(la, 32), .has_other = true};
    memcpy(other.other_key, b, 32);
    memcpy(other.other_value_hash, vb, 32);
    assert_int_equal(chq_sparse_climb(out, c, NULL, &other), CHQ_OK); /* c is absent: b stands in its place */
    assert_memory_equal(out, root, 32);
    assert_int_equal(
        chq_sparse_climb(out, b, NULL, &other), CHQ_MALFORMED); /* b cannot be shown absent by b */
    assert_int_equal(
        chq_sparse_climb(out, a, NULL, &other), CHQ_MALFORMED); /* b does not stand in a's place */
    assert_int_equal(chq_sparse_climb(out, b, vb, &other), CHQ_MALFORMED); /* inclusion has no other leaf */

    uint8_t left[32];
    chq_merkle_inner(left, la, lb);
    struct chq_sparse_proof hole = {.depth = 1, .bitmap = {0x80}, .siblings = chq_bytes(left, 32)};
    assert_int_equal(chq_sparse_climb(out, d, NULL, &hole), CHQ_OK); /* d is absent: its side is empty */
    assert_memory_equal(out, root, 32);

    hole.bitmap[0] = 0xc0; /* a sibling below the place */
    assert_int_equal(chq_sparse_climb(out, d, NULL, &hole), CHQ_MALFORMED);
    hole.bitmap[0] = 0x00; /* a hash too many */
    assert_int_equal(chq_sparse_climb(out, d, NULL, &hole), CHQ_MALFORMED);
    hole.bitmap[0] = 0x80;
    hole.siblings.size = 31;
    assert_int_equal(chq_sparse_climb(out, d, NULL, &hole), CHQ_MALFORMED);
    hole.siblings.size = 32;
    hole.depth = 257;
    assert_int_equal(chq_sparse_climb(out, d, NULL, &hole), CHQ_MALFORMED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(published_vectors),
        cmocka_unit_test(every_leaf_of_every_size_is_proved),
        cmocka_unit_test(sparse_proofs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
