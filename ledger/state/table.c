/* SPDX-License-Identifier: Apache-2.0 */
#include "ledger/state/table.h"

#include <string.h>

#include "core/base/assert.h"
#include "core/base/bytes.h"

#define ROWS_AT_FIRST 16

enum chq_err chq_memory_grow(
    const struct chq_memory *memory, void **block, size_t *cap, size_t item_bytes, size_t need)
{
    size_t cap_new = *cap < ROWS_AT_FIRST ? ROWS_AT_FIRST : *cap;
    if (need <= *cap)
        return CHQ_OK;
    while (cap_new < need)
        cap_new *= 2;
    if (cap_new > SIZE_MAX / 2 / item_bytes)
        return CHQ_NO_MEMORY;
    void *grown = memory->resize(memory->context, *block, cap_new * item_bytes);
    if (grown == NULL)
        return CHQ_NO_MEMORY;
    *block = grown;
    *cap = cap_new;
    return CHQ_OK;
}

void chq_table_init(
    struct chq_table *table, const struct chq_memory *memory, size_t row_bytes, bool has_tree, uint64_t seed)
{
    *table = (struct chq_table){.memory = memory, .row_bytes = row_bytes, .has_tree = has_tree, .seed = seed};
}

static void release(const struct chq_table *table, void *block)
{
    if (block != NULL)
        (void)table->memory->resize(table->memory->context, block, 0);
}

void chq_table_fini(struct chq_table *table)
{
    if (table->memory == NULL)
        return;
    release(table, table->keys);
    release(table, table->rows);
    release(table, table->stamps);
    release(table, table->index);
    release(table, table->leaf_hashes);
    release(table, table->nodes);
    release(table, table->visits);
    release(table, table->sorted);
    *table = (struct chq_table){0};
}

static size_t place_of(const struct chq_table *table, const uint8_t key[32])
{
    uint64_t h = (chq_load_u64(key) ^ table->seed) * UINT64_C(0x9e3779b97f4a7c15);
    h = (h ^ h >> 32 ^ chq_load_u64(key + 8)) * UINT64_C(0xd6e8feb86659fd93);
    return (size_t)(h ^ h >> 32) & (table->index_cap - 1);
}

uint32_t chq_table_find(const struct chq_table *table, const uint8_t key[32])
{
    if (table->index_cap == 0)
        return CHQ_SLOT_NONE;
    for (size_t at = place_of(table, key);; at = (at + 1) & (table->index_cap - 1)) {
        uint32_t found = table->index[at];
        if (found == 0)
            return CHQ_SLOT_NONE;
        if (memcmp(table->keys[found - 1], key, 32) == 0)
            return found - 1;
    }
}

static void index_slot(struct chq_table *table, uint32_t slot)
{
    size_t at = place_of(table, table->keys[slot]);
    while (table->index[at] != 0)
        at = (at + 1) & (table->index_cap - 1);
    table->index[at] = slot + 1;
}

/* Keep the index at most 3/4 full. Slots are put in by rising number, so the newest always ends its probe chain. */
static enum chq_err grow_index(struct chq_table *table)
{
    if (((size_t)table->count + 1) * 4 <= table->index_cap * 3)
        return CHQ_OK;
    size_t cap = table->index_cap == 0 ? 2 * ROWS_AT_FIRST : table->index_cap * 2;
    uint32_t *index = table->memory->resize(table->memory->context, NULL, cap * sizeof *index);
    if (index == NULL)
        return CHQ_NO_MEMORY;
    memset(index, 0, cap * sizeof *index);
    release(table, table->index);
    table->index = index;
    table->index_cap = cap;
    for (uint32_t slot = 0; slot < table->count; slot++)
        index_slot(table, slot);
    return CHQ_OK;
}

enum chq_err chq_table_add(struct chq_table *table, const uint8_t key[32], uint32_t *slot)
{
    const struct chq_memory *m = table->memory;
    size_t need = (size_t)table->count + 1;
    if (table->count >= CHQ_SLOTS_MAX)
        return CHQ_LIMIT;
    CHQ_TRY(chq_memory_grow(m, (void **)&table->keys, &table->keys_cap, sizeof *table->keys, need));
    CHQ_TRY(chq_memory_grow(m, (void **)&table->rows, &table->rows_cap, table->row_bytes, need));
    CHQ_TRY(chq_memory_grow(m, (void **)&table->stamps, &table->stamps_cap, sizeof *table->stamps, need));
    if (table->has_tree)
        CHQ_TRY(chq_memory_grow(
            m, (void **)&table->leaf_hashes, &table->hashes_cap, sizeof *table->leaf_hashes, need));
    CHQ_TRY(grow_index(table));
    *slot = table->count++;
    memcpy(table->keys[*slot], key, 32);
    memset(chq_table_row(table, *slot), 0, table->row_bytes);
    table->stamps[*slot] = 0;
    index_slot(table, *slot);
    return CHQ_OK;
}

void chq_table_pop(struct chq_table *table)
{
    CHQ_ASSERT(table->count > 0 && table->leaves < table->count);
    uint32_t slot = table->count - 1;
    size_t at = place_of(table, table->keys[slot]);
    while (table->index[at] != slot + 1)
        at = (at + 1) & (table->index_cap - 1);
    table->index[at] = 0;
    table->count--;
}
