/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CHQ_LEDGER_STATE_TABLE_H
#define CHQ_LEDGER_STATE_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/err.h"
#include "core/crypto/merkle.h"

/* Where memory comes from: realloc's rules, size 0 frees and gives NULL. Tests let it fail. */
struct chq_memory {
    void *(*resize)(void *context, void *block, size_t size);
    void *context;
};

/* Grow `*block` of `*cap` items of `item_bytes` to hold `need`; CHQ_NO_MEMORY leaves all as it was. */
CHQ_MUST_CHECK enum chq_err chq_memory_grow(
    const struct chq_memory *memory, void **block, size_t *cap, size_t item_bytes, size_t need);

/* An inner node of the sparse tree. A child is empty (0), a node (index + 1) or a leaf (CHQ_TREE_LEAF | slot). */
struct chq_tree_node {
    uint8_t hash[CHQ_HASH_BYTES];
    uint32_t child[2];
    uint32_t stamp; /* of the last update that came by */
};
#define CHQ_TREE_LEAF 0x80000000u

/*
 * Rows of one size in dense slots, found by 32-byte key through an open-addressing index, and (has_tree) the sparse
 * Merkle tree over them. Slots are given in rising order and only ever taken back from the end. Row addresses hold
 * until the next add.
 */
struct chq_table {
    const struct chq_memory *memory;
    size_t row_bytes;
    uint64_t seed; /* of the index, so that nobody can choose keys that collide in it */
    uint32_t count;
    size_t keys_cap, rows_cap, stamps_cap, hashes_cap;
    uint8_t (*keys)[32];
    uint8_t *rows;
    uint32_t *stamps; /* for the owner: when a row was last noted */
    uint32_t *index; /* slot + 1, or 0; linear probing */
    size_t index_cap; /* a power of two */

    bool has_tree;
    uint8_t (*leaf_hashes)[CHQ_HASH_BYTES];
    uint32_t leaves; /* slots below are in the tree */
    uint32_t root; /* as a child */
    struct chq_tree_node *nodes;
    size_t nodes_count, nodes_cap;
    uint32_t stamp;
    struct chq_tree_visit {
        uint32_t node, next;
    } * visits; /* scratch of an update: its nodes, listed by depth */
    size_t visits_cap;
    const uint8_t **sorted; /* scratch of reserve: keys of new leaves */
    size_t sorted_cap;
};

#define CHQ_SLOT_NONE 0xffffffffu
#define CHQ_SLOTS_MAX 0x7fffffffu

void chq_table_init(
    struct chq_table *table, const struct chq_memory *memory, size_t row_bytes, bool has_tree, uint64_t seed);
void chq_table_fini(struct chq_table *table);
/* Return the slot of `key` or CHQ_SLOT_NONE. */
uint32_t chq_table_find(const struct chq_table *table, const uint8_t key[32]);
/* Add a zeroed row under a key that is not there. CHQ_NO_MEMORY, CHQ_LIMIT: nothing happened. */
CHQ_MUST_CHECK enum chq_err chq_table_add(struct chq_table *table, const uint8_t key[32], uint32_t *slot);
/* Take back the newest row; it must not be in the tree. */
void chq_table_pop(struct chq_table *table);

static inline void *chq_table_row(const struct chq_table *table, uint32_t slot)
{
    return table->rows + (size_t)slot * table->row_bytes;
}

/*
 * Get all the memory that chq_tree_update of these slots will need: `dirty` in any order without doubles, new rows
 * included. CHQ_NO_MEMORY: nothing happened.
 */
CHQ_MUST_CHECK enum chq_err chq_tree_reserve(struct chq_table *table, const uint32_t *dirty, size_t n);
/* Put new leaves in and hash all that changed, deepest level first. leaf_hashes of `dirty` are already set. */
void chq_tree_update(struct chq_table *table, const uint32_t *dirty, size_t n);
void chq_tree_root(const struct chq_table *table, uint8_t out[CHQ_HASH_BYTES]);
/*
 * Walk to the place of `key`: fill proof (siblings go to `siblings`, which it borrows) and return the slot that
 * stands there, which may be another key's, or CHQ_SLOT_NONE.
 */
uint32_t chq_tree_prove(const struct chq_table *table, const uint8_t key[32], struct chq_sparse_proof *proof,
    uint8_t (*siblings)[CHQ_HASH_BYTES]);

#endif
