/* SPDX-License-Identifier: Apache-2.0 */
#include "ledger/engine/clock.h"

uint64_t chq_block_clock_read(struct chq_block_clock *clock, uint64_t wall_us, uint64_t steady_us)
{
    uint64_t passed_us = steady_us > clock->steady_us ? steady_us - clock->steady_us : 0;
    uint64_t expected_us = clock->wall_us + passed_us;
    uint64_t apart_us = wall_us > expected_us ? wall_us - expected_us : expected_us - wall_us;
    clock->doubtful = clock->started && apart_us > CHQ_CLOCK_JUMP_MAX_US && expected_us >= CHQ_CLOCK_KNOWN_US;
    if (clock->doubtful)
        return expected_us;
    *clock = (struct chq_block_clock){.started = true, .wall_us = wall_us, .steady_us = steady_us};
    return wall_us;
}
