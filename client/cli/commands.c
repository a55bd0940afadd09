/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/cli/cli.h"

#define WAIT_READY_S   30
#define WAIT_SENT_S    5
#define WAIT_DELIVER_S 60
#define WAIT_WALLET_S  10

static uint64_t deadline(const struct cli *cli, uint32_t seconds)
{
    if (cli->options.wait && cli->options.wait_s != 0)
        seconds = cli->options.wait_s;
    return cli_now_ms() + (uint64_t)seconds * 1000;
}

/* The time is over: say which relay it was, where one is known. */
static enum cli_exit too_late(const struct cli *cli, const char *what)
{
    if (cli_interrupted)
        return CLI_INTERRUPTED;
    if (cli->link_text[0] != 0) {
        fprintf(stderr, "chasqui: %s: %s\n", what, cli->link_text);
        return CLI_RELAY;
    }
    fprintf(stderr, "chasqui: %s: no answer in time; try again, or wait longer with --wait=SECONDS\n", what);
    return CLI_TIME;
}

/* ---- init */

static void show_words(const struct cli *cli, const char *words)
{
    if (cli->options.json) {
        printf("{\"event\":\"words\",\"words\":\"%s\"}\n", words);
        return;
    }
    printf("These 24 words are your account. Write them down on paper now; they are shown only this once.\n"
           "Whoever has them has the account, and without them a lost profile cannot be restored.\n\n");
    unsigned number = 1;
    for (const char *at = words; *at != 0; number++) {
        size_t n = strcspn(at, " ");
        printf("  %2u %-10.*s%s", number, (int)n, at, number % 6 == 0 ? "\n" : "");
        at += n + (at[n] == ' ');
    }
    printf("\n");
    fflush(stdout);
}

static bool fatal_for_init(enum chq_error error)
{
    return error == CHQ_ERROR_HANDLE_TAKEN || error == CHQ_ERROR_HANDLE || error == CHQ_ERROR_CREDIT ||
           error == CHQ_ERROR_DISK_FULL || error == CHQ_ERROR_DISK;
}

static enum cli_exit wait_ready(struct cli *cli)
{
    uint64_t end = deadline(cli, WAIT_READY_S);
    const struct chq_event *e;
    while ((e = cli_wait(cli, end)) != NULL) {
        if (e->kind == CHQ_EVENT_PROGRESS || e->kind == CHQ_EVENT_SECURITY)
            cli_print_event(cli, e);
        if (e->kind == CHQ_EVENT_READY) {
            cli_print_event(cli, e);
            if (!cli->options.json)
                printf("Your handle is %s. Next: chasqui add HANDLE\n", e->handle);
            return CLI_DONE;
        }
        if (e->kind == CHQ_EVENT_ERROR && fatal_for_init(e->error)) {
            bool taken = e->error == CHQ_ERROR_HANDLE_TAKEN;
            enum cli_exit exit = cli_fail(e->error, e->text);
            if (taken) {
                fprintf(stderr, cli->options.words_file != NULL
                                    ? "The ledger knows no account of these words, and the handle is "
                                      "another's; the new profile was removed.\n"
                                    : "The new profile was removed and the words above are void; choose "
                                      "another handle.\n");
                chq_client_discard(cli->client);
                cli->client = NULL;
            }
            return exit;
        }
    }
    return too_late(cli,
        "the account is made on this machine, but the ledger does not know it yet (any later command goes "
        "on with that)");
}

/* Read the words that the user wrote down; false: said why not. */
static bool read_words_file(const char *path, char words[CHQ_WORDS_CHARS + 256])
{
    FILE *f = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
    if (f == NULL) {
        fprintf(stderr, "chasqui: the words file %s cannot be read: %s\n", path, strerror(errno));
        return false;
    }
    size_t n = fread(words, 1, CHQ_WORDS_CHARS + 255, f);
    words[n] = '\0';
    if (f != stdin)
        fclose(f);
    return true;
}

static enum chq_error make_account(
    struct cli *cli, const struct chq_client_options *options, char why[CHQ_WHY_CHARS])
{
    char words[CHQ_WORDS_CHARS + 256];
    enum chq_error error;
    if (cli->options.words_file == NULL) {
        error =
            chq_client_create(options, cli->options.invite, cli->options.handle, words, &cli->client, why);
        if (error == CHQ_ERROR_NONE)
            show_words(cli, words);
    } else if (read_words_file(cli->options.words_file, words)) {
        error =
            chq_client_restore(options, cli->options.invite, cli->options.handle, words, &cli->client, why);
    } else {
        error = CHQ_ERROR_ARGUMENT;
        snprintf(why, CHQ_WHY_CHARS, "give the file that holds the 24 words");
    }
    explicit_bzero(words, sizeof words);
    return error;
}

enum cli_exit cli_run_init(struct cli *cli)
{
    char profile[1024], why[CHQ_WHY_CHARS] = "", *passphrase = NULL;
    enum cli_exit exit = CLI_DONE;
    if (cli->options.invite == NULL || cli->options.handle == NULL) {
        fprintf(stderr, "chasqui: init needs --invite LINK and --handle NAME\n"
                        "A relay's operator gives out links ('chasqui-relay invite'). 'chasqui help init' "
                        "explains it.\n");
        return CLI_USAGE;
    }
    cli_profile(&cli->options, profile, sizeof profile);
    if (!cli->options.keyring && !cli_passphrase(&cli->options, true, &passphrase, &exit))
        return exit;
    struct chq_client_options options = {
        .size = sizeof options, .profile = profile, .passphrase = passphrase};
    enum chq_error error = make_account(cli, &options, why);
    cli_forget(passphrase);
    return error != CHQ_ERROR_NONE ? cli_fail(error, why) : wait_ready(cli);
}

/* ---- id */

static void print_digits(const char *digits)
{
    for (unsigned i = 0; i < 60; i++)
        printf("%c%s", digits[i], i % 5 == 4 && i != 59 ? " " : "");
}

enum cli_exit cli_run_id(struct cli *cli)
{
    struct chq_identity id;
    char digits[CHQ_SAFETY_CHARS], account[65], device[33], relay[65];
    const char *contact = cli->count > 0 ? cli->arguments[0] : NULL;
    enum cli_exit exit = cli_open(cli);
    if (exit != CLI_DONE)
        return exit;
    enum chq_error error = chq_client_identity(cli->client, &id);
    if (error == CHQ_ERROR_NONE && contact != NULL)
        error = chq_client_safety_number(cli->client, contact, digits);
    if (error != CHQ_ERROR_NONE)
        return cli_fail(error, chq_client_why(cli->client));
    cli_hex(id.account, 32, account);
    cli_hex(id.device, 16, device);
    cli_hex(id.home_relay, 32, relay);
    if (cli->options.json) {
        printf(
            "{\"handle\":\"%s\",\"registered\":%s,\"account\":\"%s\",\"device\":\"%s\",\"home_relay\":\"%s\","
            "\"chain\":\"%s\"",
            id.handle, id.registered ? "true" : "false", account, device, relay, id.chain);
        if (contact != NULL)
            printf(",\"contact\":\"%s\",\"safety_number\":\"%s\"", contact, digits);
        printf("}\n");
        return CLI_DONE;
    }
    printf("handle      %s%s\naccount     %s\ndevice      %s\nhome relay  %s\nchain       %s\n", id.handle,
        id.registered ? "" : " (not registered yet)", account, device, relay, id.chain);
    if (contact != NULL) {
        printf("safety number with %s: ", contact);
        print_digits(digits);
        printf("\nIt must be the same on both sides; compare it by voice.\n");
    }
    return CLI_DONE;
}

/* ---- add */

enum cli_exit cli_run_add(struct cli *cli)
{
    uint64_t request = 0, end = deadline(cli, WAIT_READY_S);
    const struct chq_event *e;
    enum cli_exit exit = cli_open(cli);
    if (exit != CLI_DONE)
        return exit;
    enum chq_error error = chq_client_add(cli->client, cli->arguments[0], &request);
    if (error != CHQ_ERROR_NONE)
        return cli_fail(error, chq_client_why(cli->client));
    while ((e = cli_wait(cli, end)) != NULL) {
        if (e->kind == CHQ_EVENT_CONTACT && strcmp(e->handle, cli->arguments[0]) == 0) {
            cli_print_event(cli, e);
            return CLI_DONE;
        }
        if (e->kind == CHQ_EVENT_ERROR && e->request == request)
            return cli_fail(e->error, e->text);
        if (e->kind == CHQ_EVENT_SECURITY)
            cli_print_event(cli, e);
    }
    return too_late(cli, "the contact is not added yet");
}

/* ---- send */

/* Standard input up to one byte more than a message may have. */
static char *read_all(size_t *size)
{
    char *text = malloc(CHQ_MESSAGE_BYTES_MAX + 2);
    *size = 0;
    if (text == NULL)
        return NULL;
    while (*size <= CHQ_MESSAGE_BYTES_MAX) {
        ssize_t n = read(STDIN_FILENO, text + *size, CHQ_MESSAGE_BYTES_MAX + 1 - *size);
        if (n <= 0)
            break;
        *size += (size_t)n;
    }
    return text;
}

static enum cli_exit wait_sent(struct cli *cli, const uint8_t id[16])
{
    bool deliver = cli->options.wait, sent = false;
    uint64_t end = deadline(cli, deliver ? WAIT_DELIVER_S : WAIT_SENT_S);
    const struct chq_event *e;
    while ((e = cli_wait(cli, end)) != NULL) {
        bool ours = memcmp(e->message_id, id, 16) == 0;
        if (e->kind == CHQ_EVENT_SECURITY || (e->kind == CHQ_EVENT_ERROR && e->error == CHQ_ERROR_CREDIT)) {
            cli_print_event(cli, e);
            if (e->error == CHQ_ERROR_CREDIT)
                return CLI_CREDIT;
        }
        if (!ours || (e->kind != CHQ_EVENT_SENT && e->kind != CHQ_EVENT_DELIVERED))
            continue;
        cli_print_event(cli, e);
        sent = true;
        if (!deliver || e->kind == CHQ_EVENT_DELIVERED)
            return CLI_DONE;
    }
    if (sent && !cli_interrupted) {
        fprintf(stderr, "chasqui: sent, but not delivered yet; the relay keeps it for 30 days\n");
        return CLI_TIME;
    }
    return too_late(
        cli, "the message is in the outbox and leaves with the next command that reaches a relay");
}

enum cli_exit cli_run_send(struct cli *cli)
{
    const char *handle = cli->arguments[0], *text = cli->arguments[1];
    size_t size = strlen(text);
    char *read_text = NULL;
    uint8_t id[16];
    if (strcmp(text, "-") == 0) {
        read_text = read_all(&size);
        if (read_text == NULL)
            return cli_fail(CHQ_ERROR_MEMORY, NULL);
        if (size > CHQ_MESSAGE_BYTES_MAX) {
            free(read_text);
            fprintf(stderr,
                "chasqui: the message on standard input has more than %d bytes; send it in parts\n",
                CHQ_MESSAGE_BYTES_MAX);
            return CLI_USAGE;
        }
        text = read_text;
    }
    enum cli_exit exit = cli_open(cli);
    if (exit == CLI_DONE) {
        enum chq_error error = chq_client_send(cli->client, handle, text, size, id);
        if (error != CHQ_ERROR_NONE) {
            exit = cli_fail(error, chq_client_why(cli->client));
        } else {
            cli_print_queued(cli, handle, id);
            exit = wait_sent(cli, id);
        }
    }
    free(read_text);
    return exit;
}

/* ---- contacts, history */

enum cli_exit cli_run_contacts(struct cli *cli)
{
    struct chq_contact c;
    enum cli_exit exit = cli_open(cli);
    if (exit != CLI_DONE)
        return exit;
    uint32_t n = 0;
    for (; chq_client_contact(cli->client, n, &c) == CHQ_ERROR_NONE; n++)
        cli_print_contact(cli, &c);
    if (n == 0 && !cli->options.json)
        printf("no contacts yet; 'chasqui add HANDLE' adds one\n");
    return CLI_DONE;
}

enum cli_exit cli_run_history(struct cli *cli)
{
    struct chq_message m;
    uint64_t count = 0, step = 1;
    enum chq_error error = CHQ_ERROR_NONE;
    enum cli_exit exit = cli_open(cli);
    if (exit != CLI_DONE)
        return exit;
    /* the last number, by doubling and halving */
    while (chq_client_message(cli->client, cli->arguments[0], count + step, &m) == CHQ_ERROR_NONE) {
        count += step;
        step *= 2;
    }
    for (; step > 0; step /= 2)
        if (chq_client_message(cli->client, cli->arguments[0], count + step, &m) == CHQ_ERROR_NONE)
            count += step;
    uint64_t first = cli->options.last != 0 && cli->options.last < count ? count - cli->options.last + 1 : 1;
    for (uint64_t n = first; n == 1 || n <= count; n++) {
        error = chq_client_message(cli->client, cli->arguments[0], n, &m);
        if (error != CHQ_ERROR_NONE)
            break;
        cli_print_message(cli, cli->arguments[0], &m);
    }
    if (error == CHQ_ERROR_NONE ||
        (error == CHQ_ERROR_NOT_FOUND && count == 0 && chq_client_why(cli->client)[0] == 0))
        return CLI_DONE;
    return error == CHQ_ERROR_NOT_FOUND && strstr(chq_client_why(cli->client), "no contact") == NULL
               ? CLI_DONE
               : cli_fail(error, chq_client_why(cli->client));
}

/* ---- credit */

enum cli_exit cli_run_wallet(struct cli *cli)
{
    uint64_t request = 0, end = deadline(cli, WAIT_WALLET_S);
    struct chq_wallet wallet;
    const struct chq_event *e;
    enum cli_exit exit = cli_open(cli);
    if (exit != CLI_DONE)
        return exit;
    if (chq_client_wallet_refresh(cli->client, &request) == CHQ_ERROR_NONE) {
        while ((e = cli_wait(cli, end)) != NULL) {
            if (e->kind == CHQ_EVENT_WALLET) {
                cli_print_wallet(cli, &e->wallet);
                return CLI_DONE;
            }
            if (e->kind == CHQ_EVENT_ERROR && e->request == request)
                return cli_fail(e->error, e->text);
        }
    }
    enum chq_error error = chq_client_wallet(cli->client, &wallet);
    if (error != CHQ_ERROR_NONE)
        return cli_fail(error, chq_client_why(cli->client));
    cli_print_wallet(cli, &wallet);
    return too_late(cli, "these are the last figures that were proved");
}

/* Decimal credit with at most 6 places. */
static bool read_credit(const char *text, uint64_t *micro)
{
    uint64_t whole = 0, part = 0, places = 0;
    const char *p = text;
    for (; *p >= '0' && *p <= '9' && whole < 4000000000000; p++)
        whole = whole * 10 + (uint64_t)(*p - '0');
    if (p == text)
        return false;
    if (*p == '.')
        for (p++; *p >= '0' && *p <= '9' && places < 6; p++, places++)
            part = part * 10 + (uint64_t)(*p - '0');
    for (; places < 6; places++)
        part *= 10;
    *micro = whole * 1000000 + part;
    return *p == 0 && whole < 4000000000000 && *micro > 0;
}

enum cli_exit cli_run_pay(struct cli *cli)
{
    uint64_t micro = 0, request = 0, end = deadline(cli, WAIT_READY_S);
    const struct chq_event *e;
    if (!read_credit(cli->arguments[1], &micro)) {
        fprintf(stderr, "chasqui: '%s' is no amount; write credit like 12 or 0.25, at most 6 places\n",
            cli->arguments[1]);
        return CLI_USAGE;
    }
    enum cli_exit exit = cli_open(cli);
    if (exit != CLI_DONE)
        return exit;
    enum chq_error error = chq_client_transfer(cli->client, cli->arguments[0], micro, &request);
    if (error != CHQ_ERROR_NONE)
        return cli_fail(error, chq_client_why(cli->client));
    while ((e = cli_wait(cli, end)) != NULL) {
        if (e->kind == CHQ_EVENT_TRANSFERRED) {
            cli_print_event(cli, e);
            return CLI_DONE;
        }
        if (e->kind == CHQ_EVENT_ERROR && e->request == request)
            return cli_fail(e->error, e->text);
    }
    return too_late(cli, "it is not known yet whether the payment is on the ledger; see 'chasqui wallet'");
}
