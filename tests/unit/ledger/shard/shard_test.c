/* SPDX-License-Identifier: Apache-2.0 */
#include "ledger/shard/shard.h"
#include "unit.h"

/* BLAKE2b-256 of 32 zero bytes begins 89eb0d6a. */
static void top_bits_of_the_hash(void **state)
{
    (void)state;
    const uint8_t account[32] = {0};
    assert_int_equal(chq_shard_of_account(account, 0), 0);
    assert_int_equal(chq_shard_of_account(account, 1), 1);
    assert_int_equal(chq_shard_of_account(account, 8), 0x89);
    assert_int_equal(chq_shard_of_account(account, 16), 0x89eb);
}

static void twice_the_shards_split_each_in_two_of_like_size(void **state)
{
    (void)state;
    unsigned counts[8] = {0};
    for (uint32_t i = 0; i < 8000; i++) {
        const uint8_t account[32] = {(uint8_t)i, (uint8_t)(i >> 8)};
        uint32_t of_four = chq_shard_of_account(account, 2), of_eight = chq_shard_of_account(account, 3);
        assert_int_equal(of_eight >> 1, of_four);
        counts[of_eight]++;
    }
    for (unsigned i = 0; i < 8; i++)
        assert_in_range(counts[i], 850, 1150);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(top_bits_of_the_hash),
        cmocka_unit_test(twice_the_shards_split_each_in_two_of_like_size),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
