/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CHQ_RELAY_TURN_INDEX_H
#define CHQ_RELAY_TURN_INDEX_H

#include <stdint.h>

#include "core/base/err.h"

/* From a keyed 64-bit hash to slots of a table: open addressing, fixed size, never more than half full. */
struct chq_turn_index {
    struct chq_turn_index_entry {
        uint64_t hash;
        uint32_t slot_plus_1; /* 0: empty */
    } * entries;
    uint32_t mask;
};

#define CHQ_TURN_INDEX_NONE UINT32_MAX

/* Make room for `slots_max` entries (up to 2^30). CHQ_NO_MEMORY. */
CHQ_MUST_CHECK enum chq_err chq_turn_index_init(struct chq_turn_index *index, uint32_t slots_max);
void chq_turn_index_fini(struct chq_turn_index *index);
/* Return the next slot under `hash`, or CHQ_TURN_INDEX_NONE. Start with *cursor = 0; the caller compares full keys. */
uint32_t chq_turn_index_next(const struct chq_turn_index *index, uint64_t hash, uint32_t *cursor);
/* Add an entry; the caller keeps to slots_max. */
void chq_turn_index_add(struct chq_turn_index *index, uint64_t hash, uint32_t slot);
/* Remove the entry, which must be there. */
void chq_turn_index_remove(struct chq_turn_index *index, uint64_t hash, uint32_t slot);

#endif
