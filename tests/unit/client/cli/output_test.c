/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "client/cli/cli.h"
#include "unit.h"

volatile sig_atomic_t cli_interrupted;

static void safe(const char *in, const char *expected)
{
    char *out = NULL;
    size_t size = 0;
    FILE *f = open_memstream(&out, &size);
    assert_non_null(f);
    cli_print_safe(f, in, strlen(in));
    fclose(f);
    assert_string_equal(out, expected);
    free(out);
}

/* 1 to 9: what a stranger's text may not do to a terminal */
static void text_of_strangers_cannot_steer_the_terminal(void **state)
{
    (void)state;
    safe("plain text, 汉字 عربى 😀\n\tindented", "plain text, 汉字 عربى 😀\n\tindented");
    safe("\x1b[2Jgone", "<U+001B>[2Jgone");
    safe("\x1b]0;title\x07", "<U+001B>]0;title<U+0007>");
    safe("back\b\bspace", "back<U+0008><U+0008>space");
    safe("return\rover", "return<U+000D>over");
    safe("\x7f", "<U+007F>");
    safe("\xc2\x9b"
         "2J",
        "<U+009B>2J");
    safe("\xe2\x80\xaegnp.exe", "<U+202E>gnp.exe");
    safe("\xe2\x81\xa6x\xe2\x81\xa9", "<U+2066>x<U+2069>");
    safe("cut off \xe2\x80", "cut off \xe2\x80");
}

static void credit_is_decimal(void **state)
{
    char out[32];
    (void)state;
    static const struct {
        uint64_t micro;
        const char *text;
    } rows[] = {{0, "0"}, {1, "0.000001"}, {1000000, "1"}, {1500000, "1.5"}, {123456789, "123.456789"},
        {4000000000000000000, "4000000000000"}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        cli_credit(rows[i].micro, out);
        assert_string_equal(out, rows[i].text);
    }
}

static void near_words_are_suggested(void **state)
{
    static const char *const words[] = {"init", "id", "add", "send", "listen", "call", "contacts", "wallet"};
    const size_t n = sizeof words / sizeof words[0];
    (void)state;
    assert_string_equal(cli_nearest("sned", words, n), "send");
    assert_string_equal(cli_nearest("lsiten", words, n), "listen");
    assert_string_equal(cli_nearest("contact", words, n), "contacts");
    assert_string_equal(cli_nearest("con", words, n), "contacts");
    assert_null(cli_nearest("frobnicate", words, n));
    assert_null(cli_nearest("a-word-that-is-much-longer-than-any-command", words, n));
}

static void every_command_is_explained(void **state)
{
    (void)state;
    for (const struct cli_command *c = cli_commands; c->name != NULL; c++) {
        char *out = NULL;
        size_t size = 0;
        FILE *f = open_memstream(&out, &size);
        assert_non_null(f);
        cli_help(f, c->name);
        fclose(f);
        assert_non_null(strstr(out, c->name));
        assert_true(strlen(c->help) > 20);
        assert_true(strcmp(c->name, "help") == 0 || strstr(out, "example: chasqui") != NULL);
        free(out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_of_strangers_cannot_steer_the_terminal),
        cmocka_unit_test(credit_is_decimal),
        cmocka_unit_test(near_words_are_suggested),
        cmocka_unit_test(every_command_is_explained),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
