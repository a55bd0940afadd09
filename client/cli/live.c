/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/cli/cli.h"

#define RING_S       60
#define READY_S      15
#define HANGUP_MS    5000
#define LINE_MAX_LEN (CHQ_MESSAGE_BYTES_MAX + 256)

static enum chq_error set_sound(struct cli *cli)
{
    const struct cli_options *o = &cli->options;
    struct chq_sound sound = {.size = sizeof sound, .kind = CHQ_SOUND_SYSTEM};
    sound.microphone = o->microphone;
    sound.speaker = o->speaker;
    if (o->play != NULL || o->record != NULL) {
        sound.kind = CHQ_SOUND_FILES;
        sound.microphone = o->play;
        sound.speaker = o->record;
    } else if (o->no_sound) {
        sound.kind = CHQ_SOUND_NONE;
    }
    return chq_client_sound(cli->client, &sound);
}

/* ---- listen */

struct listening {
    struct cli *cli;
    char line[LINE_MAX_LEN + 1];
    size_t filled;
    bool input, quit, call_known, too_long;
    uint8_t call_id[16];
    enum cli_exit exit;
};

static void complain(struct listening *l, enum chq_error error)
{
    if (error != CHQ_ERROR_NONE)
        cli_print_failure(l->cli, error, chq_client_why(l->cli->client));
}

static void list_contacts(struct listening *l)
{
    struct chq_contact c;
    for (uint32_t i = 0; chq_client_contact(l->cli->client, i, &c) == CHQ_ERROR_NONE; i++)
        cli_print_contact(l->cli, &c);
}

static void call_by(struct listening *l, const char *handle)
{
    enum chq_error error = chq_client_call(l->cli->client, handle, l->call_id);
    l->call_known = error == CHQ_ERROR_NONE;
    complain(l, error);
}

/* One line of the user. */
static void obey(struct listening *l, char *line)
{
    static const char *const words[] = {
        "send", "add", "call", "answer", "hangup", "contacts", "wallet", "quit", "help"};
    struct chq_client *client = l->cli->client;
    char *word = line, *rest = line + strcspn(line, " ");
    uint8_t id[16];
    if (*rest != 0)
        *rest++ = 0;
    if (word[0] == 0)
        return;
    if (strcmp(word, "send") == 0) {
        char *text = rest + strcspn(rest, " ");
        if (*text != 0)
            *text++ = 0;
        enum chq_error error = chq_client_send(client, rest, text, strlen(text), id);
        if (error == CHQ_ERROR_NONE)
            cli_print_queued(l->cli, rest, id);
        complain(l, error);
    } else if (strcmp(word, "add") == 0) {
        complain(l, chq_client_add(client, rest, NULL));
    } else if (strcmp(word, "call") == 0) {
        call_by(l, rest);
    } else if (strcmp(word, "answer") == 0 || strcmp(word, "hangup") == 0) {
        enum chq_error error = !l->call_known   ? CHQ_ERROR_NOT_FOUND
                               : word[0] == 'a' ? chq_client_answer(client, l->call_id)
                                                : chq_client_hangup(client, l->call_id);
        if (error != CHQ_ERROR_NONE)
            cli_print_failure(l->cli, error, "there is no call");
    } else if (strcmp(word, "contacts") == 0) {
        list_contacts(l);
    } else if (strcmp(word, "wallet") == 0) {
        complain(l, chq_client_wallet_refresh(client, NULL));
    } else if (strcmp(word, "quit") == 0) {
        l->quit = true;
    } else if (strcmp(word, "help") == 0) {
        cli_help(stdout, "listen");
    } else {
        char text[160];
        const char *near = cli_nearest(word, words, sizeof words / sizeof words[0]);
        snprintf(text, sizeof text, "there is no command '%.40s'%s%s%s; type help", word,
            near != NULL ? "; did you mean '" : "", near != NULL ? near : "", near != NULL ? "'" : "");
        cli_print_failure(l->cli, CHQ_ERROR_ARGUMENT, text);
    }
}

static void end_line(struct listening *l)
{
    if (l->too_long)
        cli_print_failure(
            l->cli, CHQ_ERROR_TOO_LONG, "that line is too long: a message has at most 12288 bytes");
    l->line[l->filled] = 0;
    if (l->filled > 0 && l->line[l->filled - 1] == '\r')
        l->line[l->filled - 1] = 0;
    if (!l->too_long && strlen(l->line) + 1 >= l->filled)
        obey(l, l->line);
    l->filled = 0;
    l->too_long = false;
}

static void read_input(struct listening *l)
{
    char buffer[4096];
    ssize_t n = read(STDIN_FILENO, buffer, sizeof buffer);
    if (n <= 0) {
        l->input = n < 0 && (errno == EINTR || errno == EAGAIN);
        return;
    }
    for (ssize_t i = 0; i < n && !l->quit; i++) {
        if (buffer[i] == '\n')
            end_line(l);
        else if (l->filled < LINE_MAX_LEN)
            l->line[l->filled++] = buffer[i];
        else
            l->too_long = true;
    }
}

static void show(struct listening *l, const struct chq_event *e)
{
    struct chq_client *client = l->cli->client;
    cli_print_event(l->cli, e);
    if (e->kind == CHQ_EVENT_RECEIVED) {
        fflush(stdout);
        complain(l, chq_client_mark_shown(client, e->account, e->number));
    } else if (e->kind == CHQ_EVENT_CALL_INCOMING) {
        memcpy(l->call_id, e->call_id, sizeof l->call_id);
        l->call_known = true;
        if (l->cli->options.answer)
            complain(l, chq_client_answer(client, l->call_id));
    } else if (e->kind == CHQ_EVENT_CALL_ENDED) {
        l->call_known = false;
    } else if (e->kind == CHQ_EVENT_STOPPED) {
        l->quit = true;
        l->exit = cli_exit_of(e->error);
    }
}

enum cli_exit cli_run_listen(struct cli *cli)
{
    static struct listening l;
    l = (struct listening){.cli = cli, .input = true};
    enum cli_exit exit = cli_open(cli);
    if (exit != CLI_DONE)
        return exit;
    enum chq_error error = set_sound(cli);
    if (error != CHQ_ERROR_NONE)
        return cli_fail(error, chq_client_why(cli->client));
    uint64_t end = cli->options.seconds != 0 ? cli_now_ms() + cli->options.seconds * 1000ull : UINT64_MAX;
    while (!l.quit && !cli_interrupted && cli_now_ms() < end) {
        bool input = false;
        const struct chq_event *e = cli_wait_fd(cli, end, l.input ? STDIN_FILENO : -1, &input);
        if (e != NULL)
            show(&l, e);
        else if (input)
            read_input(&l);
    }
    return l.exit;
}

/* ---- call */

static enum cli_exit wait_connected_relay(struct cli *cli)
{
    uint64_t end = cli_now_ms() + READY_S * 1000;
    while (!cli->ready && cli_wait(cli, end) != NULL) {}
    if (cli->ready)
        return CLI_DONE;
    if (cli_interrupted)
        return CLI_INTERRUPTED;
    fprintf(stderr, "chasqui: no call without a relay: %s\n",
        cli->link_text[0] != 0 ? cli->link_text : "no answer in 15 s");
    return CLI_RELAY;
}

struct calling {
    struct cli *cli;
    uint8_t id[16];
    uint64_t end;
    bool connected, hung_up, interrupted, over;
    enum cli_exit exit;
};

static void follow(struct calling *c, const struct chq_event *e)
{
    if (memcmp(e->call_id, c->id, sizeof c->id) != 0) {
        if (e->kind == CHQ_EVENT_ERROR || e->kind == CHQ_EVENT_SECURITY || e->kind == CHQ_EVENT_STOPPED)
            cli_print_event(c->cli, e);
        return;
    }
    cli_print_event(c->cli, e);
    if (e->kind == CHQ_EVENT_CALL_STATE && e->call.phase == CHQ_PHASE_CONNECTED && !c->connected) {
        c->connected = true;
        c->end = c->cli->options.seconds != 0 ? cli_now_ms() + c->cli->options.seconds * 1000ull : UINT64_MAX;
    }
    if (e->kind == CHQ_EVENT_CALL_ENDED) {
        c->over = true;
        c->exit = e->call.connected_ms != 0    ? CLI_DONE
                  : e->error != CHQ_ERROR_NONE ? cli_exit_of(e->error)
                                               : CLI_FAILED;
    }
}

enum cli_exit cli_run_call(struct cli *cli)
{
    struct calling c = {.cli = cli};
    const struct chq_event *e;
    enum cli_exit exit = cli_open(cli);
    if (exit != CLI_DONE)
        return exit;
    enum chq_error error = set_sound(cli);
    if (error != CHQ_ERROR_NONE)
        return cli_fail(error, chq_client_why(cli->client));
    exit = wait_connected_relay(cli);
    if (exit != CLI_DONE)
        return exit;
    error = chq_client_call(cli->client, cli->arguments[0], c.id);
    if (error != CHQ_ERROR_NONE)
        return cli_fail(error, chq_client_why(cli->client));
    c.end = cli_now_ms() + (cli->options.wait_s != 0 ? cli->options.wait_s : RING_S) * 1000ull;
    while (!c.over) {
        while (!c.over && (e = cli_wait(cli, c.end)) != NULL)
            follow(&c, e);
        if (c.over || c.hung_up)
            break;
        c.hung_up = true;
        c.interrupted = cli_interrupted != 0;
        cli_interrupted = 0;
        c.end = cli_now_ms() + HANGUP_MS;
        error = chq_client_hangup(cli->client, c.id);
        if (error != CHQ_ERROR_NONE)
            break;
    }
    if (c.connected)
        return c.over ? c.exit : CLI_DONE;
    if (c.hung_up && !c.interrupted) {
        fprintf(stderr, "chasqui: no answer from %s; they see a missed call\n", cli->arguments[0]);
        return CLI_TIME;
    }
    return c.interrupted ? CLI_INTERRUPTED : c.exit;
}
