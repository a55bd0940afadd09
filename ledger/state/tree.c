/* SPDX-License-Identifier: Apache-2.0 */
/* The sparse Merkle tree of a table (core/crypto/merkle.h has its definition). */
#include <stdlib.h>
#include <string.h>

#include "core/base/assert.h"
#include "ledger/state/table.h"

static bool is_leaf(uint32_t child)
{
    return (child & CHQ_TREE_LEAF) != 0;
}

static const uint8_t *hash_of(const struct chq_table *t, uint32_t child)
{
    static const uint8_t empty[CHQ_HASH_BYTES];
    if (child == 0)
        return empty;
    return is_leaf(child) ? t->leaf_hashes[child & ~CHQ_TREE_LEAF] : t->nodes[child - 1].hash;
}

/* The number of leading bits that two keys share. */
static unsigned common_bits(const uint8_t a[32], const uint8_t b[32])
{
    unsigned i = 0, bits = 0;
    while (i < 32 && a[i] == b[i])
        i++;
    if (i == 32)
        return CHQ_SPARSE_DEPTH_MAX;
    while (((a[i] ^ b[i]) & (0x80 >> bits)) == 0)
        bits++;
    return i * 8 + bits;
}

static int compare_keys(const void *a, const void *b)
{
    return memcmp(*(const uint8_t *const *)a, *(const uint8_t *const *)b, 32);
}

/* A stamp that no node has; see next_stamp in state.c. */
static void next_stamp(struct chq_table *t)
{
    if (++t->stamp != 0)
        return;
    for (size_t i = 0; i < t->nodes_count; i++)
        t->nodes[i].stamp = 0;
    t->stamp = 1;
}

/* Walk to where `key` ends in the tree as it is; count the nodes that no walk of this stamp has passed. */
static uint32_t walk(struct chq_table *t, const uint8_t key[32], unsigned *depth, size_t *fresh)
{
    uint32_t at = t->root;
    for (*depth = 0; at != 0 && !is_leaf(at); (*depth)++) {
        struct chq_tree_node *node = &t->nodes[at - 1];
        if (node->stamp != t->stamp)
            (*fresh)++;
        node->stamp = t->stamp;
        at = node->child[chq_sparse_bit(key, *depth)];
    }
    return at;
}

enum chq_err chq_tree_reserve(struct chq_table *t, const uint32_t *dirty, size_t n)
{
    size_t fresh = 0, added = 0, sorted = 0;
    unsigned depth;
    next_stamp(t);
    CHQ_TRY(chq_memory_grow(t->memory, (void **)&t->sorted, &t->sorted_cap, sizeof *t->sorted, n));
    for (size_t i = 0; i < n; i++) {
        if (dirty[i] < t->leaves)
            (void)walk(t, t->keys[dirty[i]], &depth, &fresh);
        else
            t->sorted[sorted++] = t->keys[dirty[i]];
    }
    if (sorted > 1)
        qsort(t->sorted, sorted, sizeof *t->sorted, compare_keys);
    /* A new leaf's nodes reach down to where it parts from its nearest neighbour, old or new. */
    for (size_t i = 0; i < sorted; i++) {
        const uint8_t *key = t->sorted[i];
        unsigned near = 0, d;
        bool alone = true;
        uint32_t end = walk(t, key, &depth, &fresh);
        const uint8_t *const neighbours[] = {is_leaf(end) ? t->keys[end & ~CHQ_TREE_LEAF] : NULL,
            i > 0 ? t->sorted[i - 1] : NULL, i + 1 < sorted ? t->sorted[i + 1] : NULL};
        for (size_t k = 0; k < 3; k++) {
            if (neighbours[k] == NULL)
                continue;
            d = common_bits(key, neighbours[k]);
            near = alone || d > near ? d : near;
            alone = false;
        }
        if (!alone && near + 1 > depth)
            added += near + 1 - depth;
    }
    if (t->nodes_count + added >= CHQ_TREE_LEAF)
        return CHQ_LIMIT;
    CHQ_TRY(chq_memory_grow(
        t->memory, (void **)&t->nodes, &t->nodes_cap, sizeof *t->nodes, t->nodes_count + added));
    return chq_memory_grow(t->memory, (void **)&t->visits, &t->visits_cap, sizeof *t->visits, fresh + added);
}

struct update {
    uint32_t heads[CHQ_SPARSE_DEPTH_MAX]; /* visit + 1 */
    uint32_t visits;
};

static void visit(struct chq_table *t, struct update *u, uint32_t child, unsigned depth)
{
    struct chq_tree_node *node = &t->nodes[child - 1];
    if (node->stamp == t->stamp)
        return;
    node->stamp = t->stamp;
    CHQ_ASSERT(u->visits < t->visits_cap && depth < CHQ_SPARSE_DEPTH_MAX);
    t->visits[u->visits] = (struct chq_tree_visit){.node = child - 1, .next = u->heads[depth]};
    u->heads[depth] = ++u->visits;
}

/* Walk to the leaf of `slot`, putting it in where it is missing, and list the nodes on the way. */
static void place(struct chq_table *t, struct update *u, uint32_t slot)
{
    const uint8_t *key = t->keys[slot];
    uint32_t mine = CHQ_TREE_LEAF | slot;
    uint32_t parent = 0; /* the child that is the way so far; 0: the root */
    uint32_t at = t->root;
    for (unsigned depth = 0;; depth++) {
        if (at == 0 || at == mine) {
            at = mine;
        } else if (is_leaf(at)) { /* another leaf: an inner node takes both, or the one side and we go on */
            uint32_t other = at;
            CHQ_ASSERT(t->nodes_count < t->nodes_cap);
            at = (uint32_t)++t->nodes_count;
            t->nodes[at - 1] = (struct chq_tree_node){.stamp = t->stamp - 1};
            t->nodes[at - 1].child[chq_sparse_bit(t->keys[other & ~CHQ_TREE_LEAF], depth)] = other;
        }
        if (parent == 0)
            t->root = at;
        else
            t->nodes[parent - 1].child[chq_sparse_bit(key, depth - 1)] = at;
        if (at == mine)
            return;
        visit(t, u, at, depth);
        parent = at;
        at = t->nodes[at - 1].child[chq_sparse_bit(key, depth)];
    }
}

void chq_tree_update(struct chq_table *t, const uint32_t *dirty, size_t n)
{
    struct update u = {0};
    next_stamp(t);
    for (size_t i = 0; i < n; i++)
        place(t, &u, dirty[i]);
    t->leaves = t->count;
    for (unsigned depth = CHQ_SPARSE_DEPTH_MAX; depth-- > 0;) {
        for (uint32_t v = u.heads[depth]; v != 0; v = t->visits[v - 1].next) {
            struct chq_tree_node *node = &t->nodes[t->visits[v - 1].node];
            chq_merkle_inner(node->hash, hash_of(t, node->child[0]), hash_of(t, node->child[1]));
        }
    }
}

void chq_tree_root(const struct chq_table *t, uint8_t out[CHQ_HASH_BYTES])
{
    memcpy(out, hash_of(t, t->root), CHQ_HASH_BYTES);
}

uint32_t chq_tree_prove(const struct chq_table *t, const uint8_t key[32], struct chq_sparse_proof *proof,
    uint8_t (*siblings)[CHQ_HASH_BYTES])
{
    size_t count = 0;
    uint32_t at = t->root;
    unsigned depth = 0;
    *proof = (struct chq_sparse_proof){0};
    for (; at != 0 && !is_leaf(at); depth++) {
        const struct chq_tree_node *node = &t->nodes[at - 1];
        unsigned side = chq_sparse_bit(key, depth);
        if (node->child[1 - side] != 0) {
            proof->bitmap[depth / 8] |= (uint8_t)(0x80u >> depth % 8);
            memcpy(siblings[count++], hash_of(t, node->child[1 - side]), CHQ_HASH_BYTES);
        }
        at = node->child[side];
    }
    proof->depth = depth;
    for (size_t i = 0; i < count / 2; i++) { /* deepest first */
        uint8_t swap[CHQ_HASH_BYTES];
        memcpy(swap, siblings[i], sizeof swap);
        memcpy(siblings[i], siblings[count - 1 - i], sizeof swap);
        memcpy(siblings[count - 1 - i], swap, sizeof swap);
    }
    proof->siblings = chq_bytes(siblings, count * CHQ_HASH_BYTES);
    return at == 0 ? CHQ_SLOT_NONE : at & ~CHQ_TREE_LEAF;
}
