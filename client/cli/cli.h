/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CHQ_CLIENT_CLI_CLI_H
#define CHQ_CLIENT_CLI_CLI_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "client/sdk/include/chasqui.h"

/* What the shell sees; 'chasqui help exit-codes' lists them. */
enum cli_exit {
    CLI_DONE = 0,
    CLI_FAILED = 1,
    CLI_USAGE = 2,
    CLI_PROFILE = 3, /* none there, foreign, damaged, newer, in use */
    CLI_PASSPHRASE = 4, /* wrong, none given, keyring locked */
    CLI_RELAY = 5, /* not reachable; what was to be sent stays in the outbox */
    CLI_NOT_FOUND = 6, /* nobody has that handle, or it is taken or malformed */
    CLI_CREDIT = 7,
    CLI_DISK = 8, /* full, or not writable */
    CLI_TIME = 9, /* what was waited for did not happen in time */
    CLI_DECEIVED = 10, /* somebody lied; it was refused */
    CLI_INTERRUPTED = 130
};

struct cli_options {
    const char *profile, *passphrase_file, *invite, *handle, *words_file, *play, *record, *microphone,
        *speaker;
    bool json, keyring, answer, help, wait, relay_only, no_sound;
    uint32_t wait_s, seconds, last;
};

struct cli {
    struct cli_options options;
    struct chq_client *client;
    const char *const *arguments; /* positional, after the command's name */
    unsigned count;
    bool ready; /* CHQ_EVENT_READY was seen */
    char
        link_text[CHQ_WHY_CHARS]; /* the last word about a relay that cannot be reached; "" when all are up */
};

struct cli_command {
    const char *name, *arguments, *summary;
    const char *options; /* names of the options that it takes, separated by spaces */
    const char *help;
    unsigned least, most; /* positional arguments */
    enum cli_exit (*run)(struct cli *cli);
};

extern const struct cli_command cli_commands[];
const struct cli_command *cli_command_find(const char *name);
/* The known word nearest to `name`, or NULL when none is near. */
const char *cli_nearest(const char *name, const char *const *words, size_t count);
void cli_help(FILE *out, const char *topic);

/* Set by SIGINT and SIGTERM. */
extern volatile sig_atomic_t cli_interrupted;

/* Say on stderr what went wrong, and return the exit code for it. */
enum cli_exit cli_fail(enum chq_error error, const char *why);
enum cli_exit cli_exit_of(enum chq_error error);

/* Read the passphrase by file, environment or terminal. False: it was told; `*exit` says how to end. Free it by cli_forget. */
bool cli_passphrase(const struct cli_options *options, bool fresh, char **out, enum cli_exit *exit);
void cli_forget(char *secret);
enum cli_exit cli_open(struct cli *cli);
void cli_profile(const struct cli_options *options, char *out, size_t size);

/* Milliseconds of a clock that only goes forward. */
uint64_t cli_now_ms(void);
/* The next event, waiting until `deadline_ms`; NULL: the time is over, or a signal came. Keeps cli->ready and link_text. */
const struct chq_event *cli_wait(struct cli *cli, uint64_t deadline_ms);
/* The same, but returns NULL also when `fd` is readable (`*fd_ready` says so); fd < 0: none. */
const struct chq_event *cli_wait_fd(struct cli *cli, uint64_t deadline_ms, int fd, bool *fd_ready);

/* Write an event as a line for people, or as one JSON object. */
void cli_print_event(const struct cli *cli, const struct chq_event *event);
void cli_print_call(const struct cli *cli, const struct chq_event *event);
void cli_print_wallet(const struct cli *cli, const struct chq_wallet *wallet);
void cli_print_message(const struct cli *cli, const char *handle, const struct chq_message *message);
void cli_print_contact(const struct cli *cli, const struct chq_contact *contact);
void cli_print_queued(const struct cli *cli, const char *handle, const uint8_t id[16]);
/* A failed command while others go on: on stderr, or as an event. */
void cli_print_failure(const struct cli *cli, enum chq_error error, const char *why);
/* Write text of strangers so that it cannot steer the terminal. */
void cli_print_safe(FILE *out, const char *text, size_t size);
void cli_hex(const uint8_t *bytes, size_t size, char *out);
void cli_time(uint64_t unix_ms, char out[32]);
void cli_credit(uint64_t micro, char out[32]);

enum cli_exit cli_run_init(struct cli *cli);
enum cli_exit cli_run_id(struct cli *cli);
enum cli_exit cli_run_add(struct cli *cli);
enum cli_exit cli_run_send(struct cli *cli);
enum cli_exit cli_run_listen(struct cli *cli);
enum cli_exit cli_run_call(struct cli *cli);
enum cli_exit cli_run_contacts(struct cli *cli);
enum cli_exit cli_run_history(struct cli *cli);
enum cli_exit cli_run_wallet(struct cli *cli);
enum cli_exit cli_run_pay(struct cli *cli);
enum cli_exit cli_run_help(struct cli *cli);

#endif
