/* SPDX-License-Identifier: Apache-2.0 */
#include "relay/daemon/cli.h"

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "core/base/limits.h"
#include "core/base/text.h"
#include "core/crypto/keys.h"
#include "core/wire/invitation.h"
#include "relay/daemon/ledger_info.h"
#include "relay/daemon/node.h"

static const char help[] =
    "chasqui-relay: keeps mailboxes and carries calls for others, and is paid for it.\n"
    "\n"
    "usage: chasqui-relay VERB [OPTIONS]\n"
    "\n"
    "  init     make a relay: its directory, its account, its TLS key, its commented configuration\n"
    "  run      serve until SIGTERM or Ctrl-C, then settle what is owed\n"
    "  status   say what the running relay carries and has earned (--json for programs)\n"
    "  invite   print the link with which a new client starts at this relay\n"
    "\n"
    "options of all:\n"
    "  --dir DIR          the relay's directory (default ~/.local/share/chasqui-relay)\n"
    "options of init; each is a line in DIR/relay.conf afterwards:\n"
    "  --ledger ADDRESS   socket of the ledger, or numeric address:port (must be running; needed)\n"
    "  --host NAME        name or address that clients connect to (default 127.0.0.1)\n"
    "  --port N           TCP port for clients (default 7443)\n"
    "  --bind ADDRESS     numeric address to listen on (default every IPv4 address)\n"
    "  --turn-port N      UDP port for calls (default 3478; 0 for none)\n"
    "  --turn-address A   numeric address that relays calls (default: --bind, or --host where it is "
    "numeric)\n"
    "  --price CREDIT     for each quantum carried (default 0.0001)\n"
    "  --quantum BYTES    what one token pays for (default 65536)\n"
    "  --grant CREDIT     starting allowance for a new account (default 1; 0 for none)\n"
    "  --settle-after S   seconds until tokens go to the ledger (default 60)\n"
    "  --region TEXT      where the relay is, for clients that choose\n"
    "  --allow-peer NET   let calls reach a private network, as 10.0.0.0/8; may be repeated\n"
    "options of run:\n"
    "  --verbose          log more\n"
    "\n"
    "A first relay, beside a ledger that runs already:\n"
    "  chasqui-relay init --dir r1 --ledger ledger/ledger.sock\n"
    "  (send some credit to the account it prints, so that it can give starting allowances)\n"
    "  chasqui-relay run --dir r1 &\n"
    "  chasqui-relay invite --dir r1\n";

#define TURN_SOCKETS 4096 /* relayed addresses at the same time */

struct options {
    char dir[CHQ_HOME_PATH_BYTES];
    bool json, verbose, turn_address_given, bind_given;
    struct chq_relay_config config;
};

enum option_code {
    OPTION_DIR = 256,
    OPTION_LEDGER,
    OPTION_HOST,
    OPTION_PORT,
    OPTION_BIND,
    OPTION_TURN_PORT,
    OPTION_TURN_ADDRESS,
    OPTION_PRICE,
    OPTION_QUANTUM,
    OPTION_GRANT,
    OPTION_SETTLE_AFTER,
    OPTION_REGION,
    OPTION_ALLOW_PEER,
    OPTION_JSON,
    OPTION_VERBOSE
};

static const struct option long_options[] = {
    {"dir", required_argument, NULL, OPTION_DIR},
    {"ledger", required_argument, NULL, OPTION_LEDGER},
    {"host", required_argument, NULL, OPTION_HOST},
    {"port", required_argument, NULL, OPTION_PORT},
    {"bind", required_argument, NULL, OPTION_BIND},
    {"turn-port", required_argument, NULL, OPTION_TURN_PORT},
    {"turn-address", required_argument, NULL, OPTION_TURN_ADDRESS},
    {"price", required_argument, NULL, OPTION_PRICE},
    {"quantum", required_argument, NULL, OPTION_QUANTUM},
    {"grant", required_argument, NULL, OPTION_GRANT},
    {"settle-after", required_argument, NULL, OPTION_SETTLE_AFTER},
    {"region", required_argument, NULL, OPTION_REGION},
    {"allow-peer", required_argument, NULL, OPTION_ALLOW_PEER},
    {"json", no_argument, NULL, OPTION_JSON},
    {"verbose", no_argument, NULL, OPTION_VERBOSE},
    {NULL, 0, NULL, 0},
};

/* The file's own reader checks what the command line says, so that both allow the same. */
static bool set(
    struct options *options, const char *section, const char *key, const char *value, const char *name)
{
    char error[CHQ_CONFIG_ERROR_BYTES];
    if (chq_relay_config_set(&options->config, section, key, value, error) == CHQ_OK)
        return true;
    fprintf(stderr, "chasqui-relay: --%s %s: %s\n", name, value, error);
    return false;
}

static bool set_option(struct options *options, int option, const char *value)
{
    switch (option) {
    case OPTION_DIR:
        if (strlen(value) == 0 || strlen(value) + 32 > sizeof options->dir) {
            fprintf(stderr, "chasqui-relay: --dir takes a path of at most %d characters\n",
                CHQ_HOME_PATH_BYTES - 32);
            return false;
        }
        snprintf(options->dir, sizeof options->dir, "%s", value);
        return true;
    case OPTION_LEDGER: return set(options, "ledger", "address", value, "ledger");
    case OPTION_HOST: return set(options, "relay", "host", value, "host");
    case OPTION_PORT: return set(options, "relay", "port", value, "port");
    case OPTION_BIND:
        options->bind_given = true;
        return set(options, "relay", "bind", value, "bind") && set(options, "turn", "listen", value, "bind");
    case OPTION_TURN_PORT: return set(options, "turn", "port", value, "turn-port");
    case OPTION_TURN_ADDRESS:
        options->turn_address_given = true;
        return set(options, "turn", "relay_address", value, "turn-address");
    case OPTION_PRICE: return set(options, "relay", "price", value, "price");
    case OPTION_QUANTUM: return set(options, "relay", "quantum", value, "quantum");
    case OPTION_GRANT: return set(options, "relay", "grant", value, "grant");
    case OPTION_SETTLE_AFTER: return set(options, "relay", "settle_after", value, "settle-after");
    case OPTION_REGION: return set(options, "relay", "region", value, "region");
    case OPTION_ALLOW_PEER: return set(options, "turn", "allow_peer", value, "allow-peer");
    case OPTION_JSON: options->json = true; return true;
    case OPTION_VERBOSE: options->verbose = true; return true;
    default: return false;
    }
}

static bool default_dir(struct options *options)
{
    const char *data = getenv("XDG_DATA_HOME"), *home = getenv("HOME");
    size_t n = 0;
    if (data != NULL && data[0] == '/')
        n = (size_t)snprintf(options->dir, sizeof options->dir, "%s/chasqui-relay", data);
    else if (home != NULL && home[0] == '/')
        n = (size_t)snprintf(options->dir, sizeof options->dir, "%s/.local/share/chasqui-relay", home);
    if (n > 0 && n + 32 < sizeof options->dir)
        return true;
    fprintf(stderr, "chasqui-relay: there is no home directory; say where with --dir DIR\n");
    return false;
}

/* The address that relays calls, where it was not given: it must be one of this machine, not a wildcard. */
static void choose_turn_address(struct options *options)
{
    struct in_addr any;
    struct chq_relay_config *config = &options->config;
    if (options->turn_address_given)
        return;
    if (options->bind_given && strcmp(config->bind, "0.0.0.0") != 0 && strcmp(config->bind, "::") != 0)
        snprintf(config->turn_relay_address, sizeof config->turn_relay_address, "%s", config->bind);
    else if (inet_pton(AF_INET, config->host, &any) == 1)
        snprintf(config->turn_relay_address, sizeof config->turn_relay_address, "%s", config->host);
}

static void print_account(const struct chq_relay_home *home)
{
    char id[65];
    chq_hex_write(chq_bytes(home->account->id, 32), id);
    printf("account %s\n", id);
}

static int run_init(struct options *options, const struct chq_log *log)
{
    struct chq_relay_home home;
    if (options->config.ledger_address[0] == 0) {
        fprintf(stderr, "chasqui-relay: say which ledger: --ledger SOCKET (see chasqui-relay --help)\n");
        return 2;
    }
    /* The relay may be run from another directory than it is made in. */
    if (options->config.ledger_address[0] != '/' && strchr(options->config.ledger_address, ':') == NULL) {
        char *whole = realpath(options->config.ledger_address, NULL);
        if (whole == NULL || strlen(whole) > 107) {
            fprintf(stderr, "chasqui-relay: --ledger %s: %s; is the ledger running (chasqui-ledger run)?\n",
                options->config.ledger_address,
                whole == NULL ? strerror(errno) : "path above 107 characters");
            free(whole);
            return 1;
        }
        snprintf(options->config.ledger_address, sizeof options->config.ledger_address, "%s", whole);
        free(whole);
    }
    choose_turn_address(options);
    if (chq_ledger_info_fetch(&options->config, log) != CHQ_OK ||
        chq_relay_home_create(options->dir, &options->config, log) != CHQ_OK ||
        chq_relay_home_open(&home, options->dir, log) != CHQ_OK)
        return 1;
    print_account(&home);
    fprintf(stderr,
        "made a relay in %s, on chain %s\n"
        "  its account is above: send credit to it if it shall give starting allowances\n"
        "  start it:     chasqui-relay run --dir %s\n"
        "  its settings: %s/relay.conf\n",
        options->dir, options->config.chain_id, options->dir, options->dir);
    chq_relay_home_close(&home);
    return 0;
}

static int run_run(struct options *options, const struct chq_log *log)
{
    struct chq_relay_home home;
    struct chq_node *node = NULL;
    struct rlimit files;
    if (chq_relay_home_open(&home, options->dir, log) != CHQ_OK)
        return 1;
    /* As many descriptors as we may use, and no more: libwebsockets makes tables for all that are allowed. */
    rlim_t need = (rlim_t)(2 * home.config.connections_max + TURN_SOCKETS + 256);
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = need < files.rlim_max ? need : files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
        if (need > files.rlim_max)
            chq_logf(log, CHQ_LOG_WARNING, "this user may open %llu files; [relay] connections wants %llu",
                (unsigned long long)files.rlim_max, (unsigned long long)need);
    }
    int status = 1;
    if (chq_node_new(&node, &home, log) == CHQ_OK) {
        chq_logf(log, CHQ_LOG_NOTICE, "serving on %s, TCP port %u%s", home.config.bind,
            (unsigned)home.config.port, home.config.turn_port != 0 ? ", and calls over UDP" : "");
        sd_notify(0, "READY=1");
        status = chq_node_run(node) == CHQ_OK ? 0 : 1;
        sd_notify(0, "STOPPING=1");
        chq_node_free(node);
    }
    chq_relay_home_close(&home);
    return status;
}

static int connect_control(const char *dir, const struct chq_log *log)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    char path[CHQ_HOME_PATH_BYTES];
    chq_relay_home_path(path, dir, "control");
    if (strlen(path) >= sizeof at.sun_path) {
        chq_logf(log, CHQ_LOG_ERROR, "%s is too long for a socket; use a shorter --dir", path);
        return -1;
    }
    memcpy(at.sun_path, path, strlen(path) + 1);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct timeval patience = {.tv_sec = 5};
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) != 0 ||
        connect(fd, (struct sockaddr *)&at, sizeof at) != 0) {
        chq_logf(log, CHQ_LOG_ERROR, "no relay runs in %s (%s); start it with: chasqui-relay run --dir %s",
            dir, strerror(errno), dir);
        if (fd >= 0)
            close(fd);
        return -1;
    }
    return fd;
}

static const char *text_of(const json_t *state, const char *key)
{
    const char *text = json_string_value(json_object_get(state, key));
    return text == NULL ? "not known yet" : text;
}

static long long number_of(const json_t *state, const char *key)
{
    return (long long)json_integer_value(json_object_get(state, key));
}

static void print_status(const json_t *state)
{
    const json_t *turn = json_object_get(state, "turn");
    printf("account    %s\n", text_of(state, "account"));
    printf("address    %s, TCP port %lld\n", text_of(state, "host"), number_of(state, "port"));
    printf("ledger     %s, %s\n",
        json_is_true(json_object_get(state, "ledger_reached")) ? "reached" : "NOT reached",
        json_is_true(json_object_get(state, "registered")) ? "registered" : "NOT registered yet");
    printf("balance    %s credit, %lld starting allowances given\n", text_of(state, "balance"),
        number_of(state, "grants"));
    printf("earned     %s credit, %s settled\n", text_of(state, "earned"), text_of(state, "settled"));
    printf("carried    %lld bytes on %lld channels (%lld attached now)\n", number_of(state, "carried_bytes"),
        number_of(state, "channels"), number_of(state, "channels_attached"));
    printf("mailboxes  %lld messages (%lld bytes) in %lld queues, %lld connections\n",
        number_of(state, "messages"), number_of(state, "message_bytes"), number_of(state, "queues"),
        number_of(state, "connections"));
    if (json_is_object(turn))
        printf("calls      UDP port %lld, %lld allocations, %lld bytes to peers, %lld to clients\n",
            number_of(turn, "port"), number_of(turn, "allocations"), number_of(turn, "to_peer_bytes"),
            number_of(turn, "to_client_bytes"));
    if (json_is_true(json_object_get(state, "disk_broken")))
        printf("DISK       failed: nothing more is stored until the relay is started again\n");
}

static int run_status(struct options *options, const struct chq_log *log)
{
    struct chq_writer text = chq_writer_heap(1024 * 1024);
    uint8_t piece[16384];
    ssize_t n;
    json_error_t error;
    int fd = connect_control(options->dir, log);
    if (fd < 0)
        return 1;
    while ((n = read(fd, piece, sizeof piece)) > 0)
        chq_write_bytes(&text, piece, (size_t)n);
    close(fd);
    json_t *state = json_loadb((const char *)text.data, text.size, 0, &error);
    if (state == NULL)
        chq_logf(log, CHQ_LOG_ERROR, "the relay in %s does not answer", options->dir);
    else if (options->json)
        printf("%.*s\n", (int)text.size, (const char *)text.data);
    else
        print_status(state);
    chq_writer_free(&text);
    int status = state == NULL ? 1 : 0;
    json_decref(state);
    return status;
}

static int run_invite(struct options *options, const struct chq_log *log)
{
    static struct chq_invitation invitation;
    struct chq_relay_home home;
    if (chq_relay_home_open(&home, options->dir, log) != CHQ_OK)
        return 1;
    snprintf(invitation.chain_id, sizeof invitation.chain_id, "%s", home.config.chain_id);
    invitation.validators_count = home.config.validators_count;
    memcpy(invitation.validators, home.config.validators, sizeof home.config.validators);
    memcpy(invitation.relay, home.account->id, sizeof invitation.relay);
    snprintf(invitation.host, sizeof invitation.host, "%.255s", home.config.host);
    invitation.port = (uint16_t)home.config.port;
    memcpy(invitation.pin, home.pin, sizeof invitation.pin);
    struct chq_writer w = chq_writer_heap(CHQ_INVITATION_CHARACTERS_MAX + 1);
    chq_invitation_put(&w, &invitation);
    int status = chq_writer_finish(&w) == CHQ_OK ? 0 : 1;
    if (status == 0)
        printf("%.*s\n", (int)w.size, (const char *)w.data);
    chq_writer_free(&w);
    chq_relay_home_close(&home);
    return status;
}

int chq_relay_cli(int argc, char **argv)
{
    static struct options options;
    static const struct {
        const char *name;
        int (*run)(struct options *, const struct chq_log *);
    } verbs[] = {{"init", run_init}, {"run", run_run}, {"status", run_status}, {"invite", run_invite}};
    const char *verb = argc > 1 ? argv[1] : "";
    if (strcmp(verb, "") == 0 || strcmp(verb, "help") == 0 || strcmp(verb, "--help") == 0 ||
        strcmp(verb, "-h") == 0) {
        fputs(help, verb[0] == 0 ? stderr : stdout);
        return verb[0] == 0 ? 2 : 0;
    }
    chq_relay_config_defaults(&options.config);
    int option;
    optind = 2;
    while ((option = getopt_long(argc, argv, "", long_options, NULL)) != -1)
        if (!set_option(&options, option, optarg)) {
            if (option == '?')
                fprintf(stderr, "see: chasqui-relay --help\n");
            return 2;
        }
    if (optind < argc) {
        fprintf(stderr, "chasqui-relay: '%s' is too much; see: chasqui-relay --help\n", argv[optind]);
        return 2;
    }
    if (options.dir[0] == 0 && !default_dir(&options))
        return 2;
    struct chq_log log = chq_log_stderr(options.verbose ? CHQ_LOG_DEBUG : CHQ_LOG_NOTICE);
    if (chq_crypto_init() != CHQ_OK) {
        chq_logf(&log, CHQ_LOG_ERROR, "the system gives no randomness");
        return 1;
    }
    prctl(PR_SET_DUMPABLE, 0); /* keys are in memory: no core files, no debugger of the same user */
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++)
        if (strcmp(verb, verbs[i].name) == 0)
            return verbs[i].run(&options, &log);
    fprintf(stderr, "chasqui-relay: there is no verb '%s'; see: chasqui-relay --help\n", verb);
    return 2;
}
