/* SPDX-License-Identifier: Apache-2.0 */
#include "core/base/gauge.h"
#include "unit.h"

#include <pthread.h>

static void adds_up_to_its_limit_and_no_further(void **state)
{
    (void)state;
    struct chq_gauge gauge;
    chq_gauge_init(&gauge, 10, 100);
    assert_true(chq_gauge_try_add(&gauge, 0));
    assert_true(chq_gauge_try_add(&gauge, 89));
    assert_false(chq_gauge_try_add(&gauge, 2)); /* refused whole, nothing is added in part */
    assert_int_equal(chq_gauge_carried(&gauge), 99);
    assert_true(chq_gauge_try_add(&gauge, 1));
    assert_false(chq_gauge_try_add(&gauge, 1));
    chq_gauge_set_limit(&gauge, 101);
    assert_true(chq_gauge_try_add(&gauge, 1));
    chq_gauge_set_limit(&gauge, 50); /* lowered under what was carried: nothing more, nothing undone */
    assert_false(chq_gauge_try_add(&gauge, 0));
    assert_false(chq_gauge_try_add(&gauge, 1));
    assert_int_equal(chq_gauge_carried(&gauge), 101);
    chq_gauge_set_limit(&gauge, UINT64_MAX);
    assert_false(chq_gauge_try_add(&gauge, UINT64_MAX)); /* would wrap */
    assert_int_equal(chq_gauge_carried(&gauge), 101);
}

#define THREADS 4
#define ADDS    20000

static void *add_many(void *arg)
{
    struct chq_gauge *gauge = arg;
    uintptr_t taken = 0;
    for (int i = 0; i < ADDS; i++)
        taken += chq_gauge_try_add(gauge, 3) ? 1 : 0;
    return (void *)taken;
}

static void threads_never_pass_the_limit(void **state)
{
    (void)state;
    struct chq_gauge gauge;
    chq_gauge_init(&gauge, 0, 3 * THREADS * ADDS / 2);
    pthread_t thread[THREADS];
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, add_many, &gauge), 0);
    uint64_t taken = 0;
    for (int i = 0; i < THREADS; i++) {
        void *count;
        assert_int_equal(pthread_join(thread[i], &count), 0);
        taken += (uintptr_t)count;
    }
    assert_int_equal(taken, THREADS * ADDS / 2);
    assert_int_equal(chq_gauge_carried(&gauge), 3 * taken);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(adds_up_to_its_limit_and_no_further),
        cmocka_unit_test(threads_never_pass_the_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
