/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CHQ_LEDGER_ENGINE_CLOCK_H
#define CHQ_LEDGER_ENGINE_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

/*
 * The time that goes into blocks. Block times only rise, so a wall clock that jumps ten years ahead for a moment would end the
 * chain: every channel expired, every header from the future, for good. So a jump of more than a year, against a
 * clock that only counts, is not followed while the program runs: an operator who meant it starts the ledger again. A
 * machine that starts without knowing the time, before 2026, is let find it.
 */
#define CHQ_CLOCK_JUMP_MAX_US (366 * UINT64_C(86400) * 1000000)
#define CHQ_CLOCK_KNOWN_US    (UINT64_C(1767225600) * 1000000) /* 1 January 2026 */

struct chq_block_clock {
    bool started;
    bool doubtful; /* the wall clock is more than a jump away just now */
    uint64_t wall_us, steady_us; /* when they last agreed */
};

/* Return the time for now from a wall clock (Unix) and one that counts on through everything, both in microseconds. */
uint64_t chq_block_clock_read(struct chq_block_clock *clock, uint64_t wall_us, uint64_t steady_us);

#endif
