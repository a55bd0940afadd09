/* SPDX-License-Identifier: Apache-2.0 */
#include "ledger/engine/clock.h"
#include "unit.h"

#define S    UINT64_C(1000000)
#define WALL (1800000000 * S)
#define YEAR (365 * 86400 * S)

static void a_jump_is_not_followed(void **state)
{
    (void)state;
    struct chq_block_clock clock = {0};
    assert_int_equal(chq_block_clock_read(&clock, WALL, 5 * S), WALL);
    assert_int_equal(chq_block_clock_read(&clock, WALL + 10 * YEAR, 6 * S), WALL + S);
    assert_true(clock.doubtful);
    assert_int_equal(chq_block_clock_read(&clock, WALL - 10 * YEAR, 7 * S), WALL + 2 * S);
    assert_true(clock.doubtful);
    assert_int_equal(chq_block_clock_read(&clock, WALL + 3 * S, 8 * S), WALL + 3 * S); /* right again */
    assert_false(clock.doubtful);
}

static void what_time_servers_do_is_followed(void **state)
{
    (void)state;
    struct chq_block_clock clock = {0};
    assert_int_equal(chq_block_clock_read(&clock, WALL, 0), WALL);
    assert_int_equal(chq_block_clock_read(&clock, WALL + 3600 * S, S), WALL + 3600 * S);
    assert_int_equal(chq_block_clock_read(&clock, WALL, 2 * S), WALL);
    assert_int_equal(chq_block_clock_read(&clock, WALL + 90 * 86400 * S, 3 * S), WALL + 90 * 86400 * S);
    assert_int_equal(
        chq_block_clock_read(&clock, WALL + 4 * YEAR, 4 * YEAR), WALL + 4 * YEAR); /* they passed */
    assert_false(clock.doubtful);
    assert_int_equal(chq_block_clock_read(&clock, WALL, S), WALL + 4 * YEAR); /* a counter that fell back */
    assert_true(clock.doubtful);
}

static void who_does_not_know_the_time_may_find_it(void **state)
{
    (void)state;
    struct chq_block_clock clock = {0};
    assert_int_equal(chq_block_clock_read(&clock, 7 * S, 5 * S), 7 * S); /* 1970 */
    assert_int_equal(chq_block_clock_read(&clock, WALL, 6 * S), WALL);
    assert_false(clock.doubtful);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_jump_is_not_followed),
        cmocka_unit_test(what_time_servers_do_is_followed),
        cmocka_unit_test(who_does_not_know_the_time_may_find_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
