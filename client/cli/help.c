/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "client/cli/cli.h"

#define COMMON "profile passphrase-file json help"

const struct cli_command cli_commands[] = {
    {"init", "--invite LINK --handle NAME", "make an account and its profile on this machine",
        COMMON " invite handle words-file keyring wait",
        "Makes a new account with a handle that is unique in the network, and shows 24 words, once: whoever "
        "has\n"
        "them has the account, so write them down on paper. The relay that invited you gives a starting "
        "allowance\n"
        "of credit; with it your messages and calls are carried.\n"
        "\n"
        "  --invite LINK      the link that a relay's operator gives out ('chasqui-relay invite' prints it)\n"
        "  --handle NAME      2 to 32 characters a-z 0-9 - _ . ; how others find you\n"
        "  --words-file FILE  bring an account back from its 24 words ('-' reads them from the standard "
        "input); give "
        "its\n"
        "                     own handle. Credit and new messages come back, contacts and old messages do "
        "not\n"
        "  --keyring          keep the profile's key in the desktop's keyring instead of asking for a "
        "passphrase\n"
        "  --wait[=SECONDS]   how long to wait for the ledger (default 30)\n"
        "\n"
        "example: chasqui init --invite chasqui:pgFr... --handle ana\n"
        "         chasqui init --invite chasqui:pgFr... --handle ana --words-file - --profile ~/restored\n",
        0, 0, cli_run_init},
    {"id", "[HANDLE]", "show who you are, and the safety number with a contact", COMMON,
        "Shows your handle, account and device. With a contact's handle it shows the safety number too: 60 "
        "digits\n"
        "that are the same on both sides. Compare them by voice or side by side, then nobody is in between.\n"
        "\n"
        "example: chasqui id bo\n",
        0, 1, cli_run_id},
    {"add", "HANDLE", "find somebody by handle and keep them as a contact", COMMON " wait",
        "Asks the ledger who has the handle. The answer is proved by the ledger's validators; a relay that "
        "lies is\n"
        "refused. Then you can send and call.\n"
        "\n"
        "  --wait[=SECONDS]   how long to wait (default 30)\n"
        "\n"
        "example: chasqui add bo\n",
        1, 1, cli_run_add},
    {"send", "HANDLE TEXT|-", "send a message; '-' reads it from standard input", COMMON " wait",
        "Puts a message of at most 12288 bytes into the outbox on this disk, and waits until a relay has it "
        "(5 s). If\n"
        "no relay can be reached it stays in the outbox and leaves with the next command that reaches one: "
        "it is never\n"
        "lost and never arrives twice.\n"
        "\n"
        "  --wait[=SECONDS]   wait until it is delivered: stored on a device of the contact (default 60)\n"
        "\n"
        "example: chasqui send bo 'see you at eight' --wait\n"
        "         chasqui send bo - < letter.txt\n",
        2, 2, cli_run_send},
    {"listen", "", "receive messages and calls, and take commands from standard input",
        COMMON " answer play record microphone speaker no-sound seconds relay-only",
        "Stays connected and prints what comes. Type commands meanwhile:\n"
        "  send HANDLE TEXT    add HANDLE    call HANDLE    answer    hangup    contacts    wallet    quit\n"
        "\n"
        "  --json             one JSON object a line, for programs\n"
        "  --answer           take every call at once\n"
        "  --play WAV         use this file as microphone (48 kHz, mono, 16 bit), then silence\n"
        "  --record WAV       write what is heard to this file\n"
        "  --microphone NAME  sound source; --speaker NAME  sound sink (default: the system's)\n"
        "  --no-sound         silence in both directions\n"
        "  --seconds N        end after N seconds\n"
        "  --relay-only       in calls, never show the other side your network addresses\n"
        "\n"
        "example: chasqui listen\n",
        0, 0, cli_run_listen},
    {"call", "HANDLE", "call a contact",
        COMMON " play record microphone speaker no-sound seconds relay-only wait",
        "Calls over the relay at once, and moves to the direct path when one is found. Ctrl-C hangs up. At "
        "the end it\n"
        "prints the path, set-up time, loss and delay.\n"
        "\n"
        "  --play WAV         use this file as microphone (48 kHz, mono, 16 bit), then silence\n"
        "  --record WAV       write what is heard to this file\n"
        "  --microphone NAME  sound source; --speaker NAME  sound sink (default: the system's)\n"
        "  --no-sound         silence in both directions\n"
        "  --seconds N        hang up after N seconds of speech\n"
        "  --wait=SECONDS     how long to let it ring (default 60)\n"
        "  --relay-only       never show the other side your network addresses\n"
        "\n"
        "example: chasqui call bo --play hello.wav --record answer.wav --seconds 10\n",
        1, 1, cli_run_call},
    {"contacts", "", "list your contacts", COMMON,
        "Lists each contact with its account, and how many messages wait to be delivered.\n"
        "\n"
        "example: chasqui contacts --json\n",
        0, 0, cli_run_contacts},
    {"history", "HANDLE", "show the conversation with a contact", COMMON " last",
        "Shows the messages in both directions, oldest first, with the state of yours: waiting, sent (a "
        "relay has it)\n"
        "or delivered.\n"
        "\n"
        "  --last N           only the last N\n"
        "\n"
        "example: chasqui history bo --last 20\n",
        1, 1, cli_run_history},
    {"wallet", "", "show your credit and what the relays were paid", COMMON " wait",
        "Asks the ledger for your balance, with proof. Deposits are the part that lies in payment channels "
        "with your\n"
        "relays; what is not used comes back when a channel expires.\n"
        "\n"
        "  --wait[=SECONDS]   how long to wait for the ledger (default 10)\n"
        "\n"
        "example: chasqui wallet\n",
        0, 0, cli_run_wallet},
    {"pay", "HANDLE CREDIT", "give credit to somebody", COMMON " wait",
        "Transfers credit, with at most 6 decimal places, to the account that has the handle.\n"
        "\n"
        "example: chasqui pay bo 1.5\n",
        2, 2, cli_run_pay},
    {"help", "[COMMAND]", "explain a command", COMMON, "Explains a command, or 'exit-codes'.\n", 0, 1,
        cli_run_help},
    {NULL, NULL, NULL, NULL, NULL, 0, 0, NULL},
};

static const char exit_codes[] =
    "exit codes\n"
    "  0  done                      1  it did not work; the message says why\n"
    "  2  wrong usage               3  profile: none there, foreign, damaged, or in use by another program\n"
    "  4  passphrase or keyring     5  relay not reachable; what was to be sent stays in the outbox\n"
    "  6  handle or contact: not found, taken or malformed\n"
    "  7  not enough credit         8  disk full or not writable\n"
    "  9  not in time               10 somebody lied and was refused\n"
    "  130 interrupted\n";

const struct cli_command *cli_command_find(const char *name)
{
    for (const struct cli_command *c = cli_commands; c->name != NULL; c++)
        if (strcmp(c->name, name) == 0)
            return c;
    return NULL;
}

static unsigned least_of(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

/* Levenshtein distance, for words of at most 31 characters. */
static unsigned distance(const char *a, const char *b)
{
    unsigned row[32];
    size_t n = strlen(b);
    if (n > 31 || strlen(a) > 31)
        return 99;
    for (unsigned j = 0; j <= n; j++)
        row[j] = j;
    for (unsigned i = 1; a[i - 1] != 0; i++) {
        unsigned diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= n; j++) {
            unsigned above = row[j], change = diagonal + (a[i - 1] != b[j - 1]);
            row[j] = least_of(least_of(above + 1, row[j - 1] + 1), change);
            diagonal = above;
        }
    }
    return row[n];
}

const char *cli_nearest(const char *name, const char *const *words, size_t count)
{
    const char *best = NULL;
    unsigned least = 99;
    for (size_t i = 0; i < count; i++) {
        unsigned d = distance(name, words[i]);
        if (strlen(name) >= 2 && strncmp(name, words[i], strlen(name)) == 0)
            d = 1;
        if (d < least) {
            least = d;
            best = words[i];
        }
    }
    return least <= 2 || least * 3 <= strlen(name) ? best : NULL;
}

static void overview(FILE *out)
{
    fputs("Chasqui: encrypted messages and calls over paid relays.\n\n"
          "usage: chasqui COMMAND [ARGUMENTS] [--profile DIR] [--json]\n\n",
        out);
    for (const struct cli_command *c = cli_commands; c->name != NULL; c++) {
        char call[64];
        snprintf(call, sizeof call, "%s %s", c->name, c->arguments);
        fprintf(out, "  %-34s %s\n", call, c->summary);
    }
    fputs(
        "\nEverywhere\n"
        "  --profile DIR              where account, keys and messages are (default ~/.local/share/chasqui)\n"
        "  --passphrase-file FILE     its first line unlocks the profile; or set CHASQUI_PASSPHRASE;\n"
        "                             otherwise you are asked\n"
        "  --json                     one JSON object a line\n\n"
        "First steps: chasqui init, chasqui add HANDLE, chasqui send HANDLE TEXT, chasqui listen.\n"
        "'chasqui help COMMAND' explains a command, 'chasqui help exit-codes' the exit codes.\n",
        out);
}

void cli_help(FILE *out, const char *topic)
{
    const struct cli_command *c = topic != NULL ? cli_command_find(topic) : NULL;
    if (topic != NULL && strcmp(topic, "exit-codes") == 0)
        fputs(exit_codes, out);
    else if (c != NULL)
        fprintf(out, "usage: chasqui %s %s\n\n%s", c->name, c->arguments, c->help);
    else
        overview(out);
}

enum cli_exit cli_run_help(struct cli *cli)
{
    const char *topic = cli->count > 0 ? cli->arguments[0] : NULL;
    if (topic != NULL && cli_command_find(topic) == NULL && strcmp(topic, "exit-codes") != 0) {
        fprintf(stderr, "chasqui: there is no command '%s'; 'chasqui help' lists them\n", topic);
        return CLI_USAGE;
    }
    cli_help(stdout, topic);
    return CLI_DONE;
}
