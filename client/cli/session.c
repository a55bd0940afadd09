/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "client/cli/cli.h"

#define PASSPHRASE_MAX 1024

enum cli_exit cli_exit_of(enum chq_error error)
{
    switch (error) {
    case CHQ_ERROR_NONE: return CLI_DONE;
    case CHQ_ERROR_NO_PROFILE:
    case CHQ_ERROR_PROFILE_EXISTS:
    case CHQ_ERROR_PROFILE_IN_USE:
    case CHQ_ERROR_PROFILE_FOREIGN:
    case CHQ_ERROR_PROFILE_NEWER:
    case CHQ_ERROR_PROFILE_DAMAGED: return CLI_PROFILE;
    case CHQ_ERROR_PASSPHRASE:
    case CHQ_ERROR_KEYRING: return CLI_PASSPHRASE;
    case CHQ_ERROR_DISK_FULL:
    case CHQ_ERROR_DISK: return CLI_DISK;
    case CHQ_ERROR_INVITATION:
    case CHQ_ERROR_ARGUMENT:
    case CHQ_ERROR_TOO_LONG:
    case CHQ_ERROR_NOT_TEXT: return CLI_USAGE;
    case CHQ_ERROR_HANDLE:
    case CHQ_ERROR_HANDLE_TAKEN:
    case CHQ_ERROR_NOT_FOUND: return CLI_NOT_FOUND;
    case CHQ_ERROR_RELAY: return CLI_RELAY;
    case CHQ_ERROR_CREDIT: return CLI_CREDIT;
    case CHQ_ERROR_DECEIVED: return CLI_DECEIVED;
    case CHQ_ERROR_BUSY:
    case CHQ_ERROR_SOUND:
    case CHQ_ERROR_CLOSED:
    case CHQ_ERROR_MEMORY:
    case CHQ_ERROR_FAILED:
    default: return CLI_FAILED;
    }
}

enum cli_exit cli_fail(enum chq_error error, const char *why)
{
    const char *text = why != NULL && why[0] != 0 ? why : chq_error_text(error);
    fputs("chasqui: ", stderr);
    cli_print_safe(stderr, text, strlen(text));
    fputc('\n', stderr);
    return cli_exit_of(error);
}

/* ---- passphrase */

static void wipe(char *text, size_t size)
{
    explicit_bzero(text, size);
}

void cli_forget(char *secret)
{
    if (secret != NULL)
        wipe(secret, strlen(secret));
    free(secret);
}

static bool refused(enum cli_exit *exit, const char *text)
{
    fprintf(stderr, "chasqui: %s\n", text);
    *exit = CLI_PASSPHRASE;
    return false;
}

static void cut_line(char *text)
{
    text[strcspn(text, "\r\n")] = 0;
}

static bool from_file(const char *path, char *text, enum cli_exit *exit)
{
    FILE *f = fopen(path, "re");
    if (f == NULL) {
        fprintf(stderr, "chasqui: the passphrase file %s cannot be read: %s\n", path, strerror(errno));
        *exit = CLI_PASSPHRASE;
        return false;
    }
    bool ok = fgets(text, PASSPHRASE_MAX, f) != NULL;
    fclose(f);
    cut_line(text);
    return ok && text[0] != 0 ? true : refused(exit, "the first line of the passphrase file is empty");
}

/* Ask on the terminal, without echo. */
static bool ask(FILE *terminal, const char *question, char *text)
{
    struct termios before, quiet;
    int fd = fileno(terminal);
    if (tcgetattr(fd, &before) != 0)
        return false;
    quiet = before;
    quiet.c_lflag &= ~(tcflag_t)ECHO;
    tcsetattr(fd, TCSAFLUSH, &quiet); /* before the question: what is typed after it counts */
    fputs(question, terminal);
    fflush(terminal);
    bool ok = fgets(text, PASSPHRASE_MAX, terminal) != NULL && !cli_interrupted;
    tcsetattr(fd, TCSAFLUSH, &before);
    fputc('\n', terminal);
    cut_line(text);
    return ok;
}

static bool from_terminal(bool fresh, char *text, enum cli_exit *exit)
{
    char again[PASSPHRASE_MAX] = "";
    bool ok = false;
    FILE *terminal = fopen("/dev/tty", "r+e");
    if (terminal == NULL)
        return refused(exit,
            "a passphrase is needed and there is no terminal to ask on: give --passphrase-file FILE "
            "or set CHASQUI_PASSPHRASE");
    if (!ask(terminal, fresh ? "Passphrase for the new profile: " : "Passphrase: ", text))
        refused(exit, "no passphrase was given");
    else if (text[0] == 0)
        refused(exit, "an empty passphrase protects nothing; choose one, or use --keyring");
    else if (fresh && (!ask(terminal, "The same again: ", again) || strcmp(text, again) != 0))
        refused(exit, "the two passphrases differ; nothing was made, try again");
    else
        ok = true;
    wipe(again, sizeof again);
    fclose(terminal);
    return ok;
}

bool cli_passphrase(const struct cli_options *options, bool fresh, char **out, enum cli_exit *exit)
{
    char text[PASSPHRASE_MAX] = "";
    const char *environment = getenv("CHASQUI_PASSPHRASE");
    bool ok = true;
    *out = NULL;
    if (options->passphrase_file != NULL)
        ok = from_file(options->passphrase_file, text, exit);
    else if (environment != NULL)
        snprintf(text, sizeof text, "%s", environment);
    else
        ok = from_terminal(fresh, text, exit);
    if (ok && text[0] == 0)
        ok = refused(exit, "an empty passphrase protects nothing; choose one");
    if (ok)
        *out = strdup(text);
    wipe(text, sizeof text);
    return ok && *out != NULL;
}

/* ---- profile */

void cli_profile(const struct cli_options *options, char *out, size_t size)
{
    const char *data = getenv("XDG_DATA_HOME"), *home = getenv("HOME");
    if (options->profile != NULL)
        snprintf(out, size, "%s", options->profile);
    else if (data != NULL && data[0] == '/')
        snprintf(out, size, "%s/chasqui", data);
    else
        snprintf(out, size, "%s/.local/share/chasqui", home != NULL ? home : ".");
}

enum cli_exit cli_open(struct cli *cli)
{
    char profile[1024], why[CHQ_WHY_CHARS] = "", *passphrase = NULL;
    bool by_keyring = false;
    enum cli_exit exit = CLI_DONE;
    cli_profile(&cli->options, profile, sizeof profile);
    enum chq_error error = chq_profile_by_keyring(profile, &by_keyring, why);
    if (error != CHQ_ERROR_NONE)
        return cli_fail(error, why);
    if (!by_keyring && !cli_passphrase(&cli->options, false, &passphrase, &exit))
        return exit;
    struct chq_client_options options = {.size = sizeof options,
        .profile = profile,
        .passphrase = passphrase,
        .relay_only = cli->options.relay_only};
    error = chq_client_open(&options, &cli->client, why);
    cli_forget(passphrase);
    return error == CHQ_ERROR_NONE ? CLI_DONE : cli_fail(error, why);
}

/* ---- waiting */

uint64_t cli_now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static void notice_state(struct cli *cli, const struct chq_event *event)
{
    if (event->kind == CHQ_EVENT_READY)
        cli->ready = true;
    if (event->kind == CHQ_EVENT_LINK)
        snprintf(cli->link_text, sizeof cli->link_text, "%s", event->up ? "" : event->text);
}

/* A job in the background that reads the terminal would be stopped. */
static bool may_read(int fd)
{
    return fd >= 0 && (!isatty(fd) || tcgetpgrp(fd) == getpgrp());
}

const struct chq_event *cli_wait_fd(struct cli *cli, uint64_t deadline_ms, int fd, bool *fd_ready)
{
    if (fd_ready != NULL)
        *fd_ready = false;
    for (;;) {
        const struct chq_event *event = chq_client_next_event(cli->client);
        if (event != NULL) {
            notice_state(cli, event);
            return event;
        }
        uint64_t now = cli_now_ms();
        if (cli_interrupted || now >= deadline_ms)
            return NULL;
        struct pollfd fds[2] = {
            {.fd = chq_client_fd(cli->client), .events = POLLIN}, {.fd = fd, .events = POLLIN}};
        uint64_t left = deadline_ms - now;
        bool reading = may_read(fd);
        int rc = poll(fds, reading ? 2 : 1, left > 1000 ? 1000 : (int)left);
        if (rc > 0 && reading && (fds[1].revents & (POLLIN | POLLHUP | POLLERR)) != 0 &&
            fds[0].revents == 0) {
            *fd_ready = true;
            return NULL;
        }
    }
}

const struct chq_event *cli_wait(struct cli *cli, uint64_t deadline_ms)
{
    return cli_wait_fd(cli, deadline_ms, -1, NULL);
}
