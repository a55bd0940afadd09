/* SPDX-License-Identifier: Apache-2.0 */
#include "core/identity/handle.h"
#include "unit.h"

static void good_handles(void **state)
{
    (void)state;
    static const char *const rows[] = {"bo", "ana", "a1", "ana-maria", "a_b.c-d",
        "x0123456789012345678901234567890", "abcdefghijklmnopqrstuvwxyz012345"};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (!chq_handle_is_valid(chq_bytes_text(rows[i])))
            fail_msg("good handle %zu (%s) was refused", i, rows[i]);
}

static void bad_inputs(void **state)
{
    (void)state;
    static const char *const rows[] = {/* 0 */ "", "a", "1a", "-a", "a-", "a.", "_ab", "a..b", "a-_b", "Ana",
        /* 10 */ "an a", "ana\n", "a\xc3\xb1o", "ana@x", "abcdefghijklmnopqrstuvwxyz0123456", "a/b", "a:b",
        "ana\x7f",
        /* 18 */ "a`b", "a{b"};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (chq_handle_is_valid(chq_bytes_text(rows[i])))
            fail_msg("bad handle %zu (%s) was accepted", i, rows[i]);
    assert_false(chq_handle_is_valid(chq_bytes("a\0b", 3)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(good_handles), cmocka_unit_test(bad_inputs)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
