/* SPDX-License-Identifier: Apache-2.0 */
#include "relay/turn/index.h"

#include <stdlib.h>

#include "core/base/assert.h"

enum chq_err chq_turn_index_init(struct chq_turn_index *index, uint32_t slots_max)
{
    CHQ_ASSERT(slots_max <= 1u << 30);
    uint32_t size = 4;
    while (size < 2 * slots_max)
        size *= 2;
    index->entries = calloc(size, sizeof *index->entries);
    index->mask = size - 1;
    return index->entries != NULL ? CHQ_OK : CHQ_NO_MEMORY;
}

void chq_turn_index_fini(struct chq_turn_index *index)
{
    free(index->entries);
    index->entries = NULL;
}

uint32_t chq_turn_index_next(const struct chq_turn_index *index, uint64_t hash, uint32_t *cursor)
{
    for (;; ++*cursor) {
        const struct chq_turn_index_entry *e = &index->entries[((uint32_t)hash + *cursor) & index->mask];
        if (e->slot_plus_1 == 0)
            return CHQ_TURN_INDEX_NONE;
        if (e->hash == hash) {
            ++*cursor;
            return e->slot_plus_1 - 1;
        }
    }
}

void chq_turn_index_add(struct chq_turn_index *index, uint64_t hash, uint32_t slot)
{
    uint32_t at = (uint32_t)hash & index->mask;
    while (index->entries[at].slot_plus_1 != 0)
        at = (at + 1) & index->mask;
    index->entries[at].hash = hash;
    index->entries[at].slot_plus_1 = slot + 1;
}

void chq_turn_index_remove(struct chq_turn_index *index, uint64_t hash, uint32_t slot)
{
    uint32_t hole = (uint32_t)hash & index->mask;
    while (index->entries[hole].slot_plus_1 != slot + 1 || index->entries[hole].hash != hash) {
        CHQ_ASSERT(index->entries[hole].slot_plus_1 != 0);
        hole = (hole + 1) & index->mask;
    }
    /* close the gap, so that no chain is cut (Knuth, volume 3, algorithm 6.4R) */
    for (uint32_t at = (hole + 1) & index->mask; index->entries[at].slot_plus_1 != 0;
         at = (at + 1) & index->mask) {
        uint32_t home = (uint32_t)index->entries[at].hash & index->mask;
        if (((at - home) & index->mask) >= ((at - hole) & index->mask)) {
            index->entries[hole] = index->entries[at];
            hole = at;
        }
    }
    index->entries[hole].slot_plus_1 = 0;
}
