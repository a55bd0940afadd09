/* SPDX-License-Identifier: Apache-2.0 */
/* CometBFT's own vectors: tests/vectors/cometbft-signbytes/vectors.json. */
#include "core/base/text.h"
#include "ledger/light/canonical.h"
#include "unit.h"

#include <string.h>

static void vote_sign_bytes(void **state)
{
    (void)state;
    static const struct {
        const char *chain_id;
        uint64_t height, round;
        unsigned type;
        const char *hex;
    } rows[] = {{"", 0, 0, 0, "0d2a0b088092b8c398feffffff01"},
        {"", 1, 1, 2, "2108021101000000000000001901000000000000002a0b088092b8c398feffffff01"},
        {"", 1, 1, 1, "2108011101000000000000001901000000000000002a0b088092b8c398feffffff01"},
        {"", 1, 1, 0, "1f1101000000000000001901000000000000002a0b088092b8c398feffffff01"},
        {"test_chain_id", 1, 1, 0,
            "2e1101000000000000001901000000000000002a0b088092b8c398feffffff01320d746573745f636861696e5f696"
            "4"}};
    const struct chq_block_id nil = {0};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        uint8_t storage[CHQ_VOTE_SIGN_BYTES_MAX];
        char text[2 * sizeof storage + 1];
        struct chq_writer w = chq_writer_fixed(storage, sizeof storage);
        chq_vote_sign_bytes_put(&w, rows[i].type, rows[i].height, rows[i].round, &nil,
            (struct chq_time){.s = -62135596800}, chq_bytes_text(rows[i].chain_id));
        assert_int_equal(chq_writer_finish(&w), CHQ_OK);
        chq_hex_write(chq_writer_bytes(&w), text);
        assert_string_equal(text, rows[i].hex);
    }
}

static uint8_t hashes[10][32];

static struct chq_bytes hash_of(size_t i, const char *hex)
{
    assert_int_equal(chq_hex_read(hex, hashes[i], 32), CHQ_OK);
    return chq_bytes(hashes[i], 32);
}

static void header_hash(void **state)
{
    (void)state;
    static const uint8_t zeros[32];
    uint8_t hash[32];
    char text[65];
    struct chq_header h = {.version_block = 1,
        .version_app = 2,
        .chain_id = chq_bytes_text("chainId"),
        .height = 3,
        .time = {.s = 1570983284}, /* 2019-10-13T16:14:44Z */
        .last_block = {chq_bytes(zeros, 32), 6, chq_bytes(zeros, 32)},
        .last_commit_hash = hash_of(0, "e7aad01a1af897b05bcf78c7563b5d1adc2939d543dac949a5c8712156d19bf8"),
        .data_hash = hash_of(1, "6d6e28b8b98b5327042ea50a57dd46e6cc851c72e528bdeaa6efdeeefe66a0b8"),
        .validators_hash = hash_of(2, "db5d0767f57d844ba68132eaf74f6b8b83df6c03810a6a4378c2a6b2caf93e8d"),
        .next_validators_hash =
            hash_of(3, "1eef9748a3c48ff996033757d73200886e7b2b4e9d9df07b19a34a44bae3e2c8"),
        .consensus_hash = hash_of(4, "e5e566c41ed57e3ff8cc10f184178788b8faa602b07cf1f425217bd8179f1f24"),
        .app_hash = hash_of(5, "41cafae31cc70f5801fa1016a2dd54a9bcb8201b5b389919fe9976762532c516"),
        .last_results_hash = hash_of(6, "092e058630247ed6009863a12eee117d26cd9d08b5adcaab37f2ab35db475a37"),
        .evidence_hash = hash_of(7, "73865db08f49d58428905d389ab4ca4b96e45a3206c7a69d43a5dc7372e60714")};
    assert_int_equal(chq_hex_read("27834082c131975497cdebfbdce6c8e5196a1354", h.proposer, 20), CHQ_OK);
    chq_header_hash(hash, &h);
    chq_hex_write(chq_bytes(hash, 32), text);
    assert_string_equal(text, "f740121f553b5418c3efbd343c2dbfe9e007bb67b0d020a0741374bab65242a4");
    h.height = 4;
    chq_header_hash(hash, &h);
    chq_hex_write(chq_bytes(hash, 32), text);
    assert_string_not_equal(text, "f740121f553b5418c3efbd343c2dbfe9e007bb67b0d020a0741374bab65242a4");
}

static void validators_stand_in_one_order(void **state)
{
    (void)state;
    struct chq_validator set[3] = {
        {.key = {1}, .power = 5}, {.key = {2}, .power = 7}, {.key = {3}, .power = 5}};
    struct chq_validator turned[3] = {set[2], set[0], set[1]};
    uint8_t a[32], b[32], first[20], second[20];
    assert_int_equal(chq_validators_sort(set, 3), 17);
    assert_int_equal(chq_validators_sort(turned, 3), 17);
    assert_int_equal(set[0].power, 7);
    chq_validator_address(first, set[1].key);
    chq_validator_address(second, set[2].key);
    assert_true(memcmp(first, second, sizeof first) < 0);
    chq_validators_hash(a, set, 3);
    chq_validators_hash(b, turned, 3);
    assert_memory_equal(a, b, 32);
    turned[0].power = 8;
    chq_validators_hash(b, turned, 3);
    assert_memory_not_equal(a, b, 32);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(vote_sign_bytes),
        cmocka_unit_test(header_hash),
        cmocka_unit_test(validators_stand_in_one_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
