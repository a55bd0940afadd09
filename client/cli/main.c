/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <limits.h>
#include <locale.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "client/cli/cli.h"

struct option {
    const char *name;
    enum { FLAG, TEXT, NUMBER, MAYBE_NUMBER } kind;
    size_t at, number_at; /* offsets in struct cli_options */
};

#define AT(field) offsetof(struct cli_options, field)
static const struct option known[] = {
    {"profile", TEXT, AT(profile), 0},
    {"passphrase-file", TEXT, AT(passphrase_file), 0},
    {"invite", TEXT, AT(invite), 0},
    {"handle", TEXT, AT(handle), 0},
    {"words-file", TEXT, AT(words_file), 0},
    {"play", TEXT, AT(play), 0},
    {"record", TEXT, AT(record), 0},
    {"microphone", TEXT, AT(microphone), 0},
    {"speaker", TEXT, AT(speaker), 0},
    {"json", FLAG, AT(json), 0},
    {"keyring", FLAG, AT(keyring), 0},
    {"answer", FLAG, AT(answer), 0},
    {"help", FLAG, AT(help), 0},
    {"relay-only", FLAG, AT(relay_only), 0},
    {"no-sound", FLAG, AT(no_sound), 0},
    {"seconds", NUMBER, AT(seconds), 0},
    {"last", NUMBER, AT(last), 0},
    {"wait", MAYBE_NUMBER, AT(wait), AT(wait_s)},
};
#define KNOWN (sizeof known / sizeof known[0])

volatile sig_atomic_t cli_interrupted;

static void on_signal(int number)
{
    (void)number;
    cli_interrupted = 1;
}

static enum cli_exit usage_error(const char *before, const char *what, const char *after, const char *near)
{
    fprintf(stderr, "chasqui: %s%.80s%s", before, what, after);
    if (near != NULL)
        fprintf(stderr, "; did you mean '%s'?", near);
    fprintf(stderr, "\n");
    return CLI_USAGE;
}

static bool read_number(const char *text, uint32_t *out)
{
    char *end = NULL;
    errno = 0;
    unsigned long n = strtoul(text, &end, 10);
    if (errno != 0 || end == text || *end != 0 || text[0] == '-' || n > 1000000)
        return false;
    *out = (uint32_t)n;
    return true;
}

static bool takes(const struct cli_command *command, const char *name)
{
    size_t n = strlen(name);
    for (const char *at = command->options; (at = strstr(at, name)) != NULL; at += n)
        if ((at == command->options || at[-1] == ' ') && (at[n] == 0 || at[n] == ' '))
            return true;
    return false;
}

static enum cli_exit unknown_option(const struct cli_command *command, const char *name)
{
    const char *names[KNOWN];
    size_t n = 0;
    char text[80], near_text[40];
    for (size_t i = 0; i < KNOWN; i++)
        if (takes(command, known[i].name))
            names[n++] = known[i].name;
    const char *near = cli_nearest(name, names, n);
    snprintf(text, sizeof text, "%s' does not take '--%.40s", command->name, name);
    if (near != NULL)
        snprintf(near_text, sizeof near_text, "--%.30s", near);
    return usage_error("'", text, "'", near != NULL ? near_text : NULL);
}

/* Take one option at argv[*i]; moves on over its value. */
static enum cli_exit take_option(
    struct cli *cli, const struct cli_command *command, char **argv, int argc, int *i)
{
    char name[48];
    const char *value = strchr(argv[*i], '=');
    size_t length = value != NULL ? (size_t)(value - argv[*i]) - 2 : strlen(argv[*i]) - 2;
    const struct option *option = NULL;
    char *base = (char *)&cli->options;
    snprintf(name, sizeof name, "%.*s", (int)(length < 47 ? length : 47), argv[*i] + 2);
    value = value != NULL ? value + 1 : NULL;
    for (size_t k = 0; k < KNOWN; k++)
        if (strcmp(known[k].name, name) == 0)
            option = &known[k];
    if (option == NULL || !takes(command, name))
        return unknown_option(command, name);
    if (option->kind == FLAG || option->kind == MAYBE_NUMBER) {
        *(bool *)(base + option->at) = true;
        if (option->kind == FLAG && value != NULL)
            return usage_error("'--", name, "' takes no value", NULL);
        if (value != NULL && !read_number(value, (uint32_t *)(base + option->number_at)))
            return usage_error("'--", name, "=' needs a number of seconds", NULL);
        return CLI_DONE;
    }
    if (value == NULL) {
        if (*i + 1 >= argc)
            return usage_error("'--", name, "' needs a value", NULL);
        value = argv[++*i];
    }
    if (option->kind == NUMBER)
        return read_number(value, (uint32_t *)(base + option->at))
                   ? CLI_DONE
                   : usage_error("'--", name, "' needs a number", NULL);
    *(const char **)(base + option->at) = value;
    return CLI_DONE;
}

static enum cli_exit unknown_command(const char *name)
{
    const char *names[32];
    size_t n = 0;
    for (const struct cli_command *c = cli_commands; c->name != NULL; c++)
        names[n++] = c->name;
    usage_error("there is no command '", name, "'", cli_nearest(name, names, n));
    fprintf(stderr, "'chasqui help' lists the commands.\n");
    return CLI_USAGE;
}

static enum cli_exit check_count(const struct cli_command *command, unsigned count)
{
    if (count >= command->least && count <= command->most)
        return CLI_DONE;
    fprintf(stderr,
        "chasqui: '%s' takes %s, %u given\nusage: chasqui %s %s\n'chasqui help %s' explains it.\n",
        command->name, command->arguments[0] != 0 ? command->arguments : "no arguments", count, command->name,
        command->arguments, command->name);
    return CLI_USAGE;
}

/* Find the command: the first word; options before it are kept for it. */
static int command_at(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (argv[i][0] != '-')
            return i;
        for (size_t k = 0; k < KNOWN; k++)
            if (known[k].kind == TEXT && strncmp(argv[i], "--", 2) == 0 &&
                strcmp(argv[i] + 2, known[k].name) == 0)
                i++;
    }
    return 0;
}

static enum cli_exit parse(struct cli *cli, int argc, char **argv, const struct cli_command **out,
    const char **positional, unsigned positional_max)
{
    int at = command_at(argc, argv);
    bool only_words = false;
    if (at == 0 || at >= argc) {
        bool asked = argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0);
        bool version = argc > 1 && strcmp(argv[1], "--version") == 0;
        if (version)
            printf("chasqui %s\n", CHQ_VERSION);
        else
            cli_help(asked ? stdout : stderr, NULL);
        *out = NULL;
        return asked || version ? CLI_DONE : CLI_USAGE;
    }
    *out = cli_command_find(argv[at]);
    if (*out == NULL)
        return unknown_command(argv[at]);
    for (int i = 1; i < argc; i++) {
        enum cli_exit exit = CLI_DONE;
        if (i == at)
            continue;
        if (!only_words && strcmp(argv[i], "--") == 0)
            only_words = true;
        else if (!only_words && strcmp(argv[i], "-h") == 0)
            cli->options.help = true;
        else if (!only_words && strncmp(argv[i], "--", 2) == 0)
            exit = take_option(cli, *out, argv, argc, &i);
        else if (!only_words && argv[i][0] == '-' && argv[i][1] != 0 && i < at)
            exit = usage_error("there is no option '", argv[i], "'", NULL);
        else if (cli->count < positional_max)
            positional[cli->count++] = argv[i];
        if (exit != CLI_DONE)
            return exit;
    }
    cli->arguments = positional;
    return CLI_DONE;
}

int main(int argc, char **argv)
{
    static struct cli cli;
    const char *positional[8];
    const struct cli_command *command = NULL;
    setlocale(LC_ALL, "");
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* a limit on file sizes is told like a full disk */
    setvbuf(stdout, NULL, _IOLBF, 0);
    (void)setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0}); /* keys are in memory: no core files, */
    (void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0); /* no core pipes, no other process of this user looking in */
    enum cli_exit exit = parse(&cli, argc, argv, &command, positional, 8);
    if (exit != CLI_DONE || command == NULL)
        return (int)exit;
    if (cli.options.help) {
        cli_help(stdout, command->name);
        return CLI_DONE;
    }
    exit = check_count(command, cli.count);
    if (exit != CLI_DONE)
        return (int)exit;
    exit = command->run(&cli);
    chq_client_close(cli.client);
    return (int)exit;
}
