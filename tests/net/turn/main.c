/* SPDX-License-Identifier: Apache-2.0 */
/* chasqui-test-turn: the TURN server with static, unmetered credentials. Prints "port N" when it listens, ends with
 * standard input or SIGTERM, then prints its counts as one JSON line. */
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "core/base/limits.h"
#include "core/base/text.h"
#include "core/crypto/system.h"
#include "relay/turn/udp.h"

static const char usage[] =
    "usage: chasqui-test-turn [--listen ADDRESS] [--port N] [--relay ADDRESS] [--relay6 ADDRESS]\n"
    "           [--ports MIN-MAX] [--realm R] [--allow PREFIX]... [--user NAME:PASSWORD] [--secret S]\n"
    "           [--tcp PORT] [--tls PORT --certificate FILE --key FILE]\n"
    "           [--limit BYTES]\n"
    "           [--rate UNAUTHENTICATED_PER_S] [--per-user ALLOCATIONS]\n";

struct options {
    struct chq_turn_server_config config;
    const char *allow[CHQ_TURN_ALLOWED_PREFIXES_MAX];
    char *user;
    const char *secret;
    uint64_t limit;
};

static uint64_t number(const char *text, uint64_t max)
{
    uint64_t value;
    if (chq_decimal_read(text, max, &value) != CHQ_OK) {
        fprintf(stderr, "not a number up to %" PRIu64 ": %s\n", max, text);
        exit(2);
    }
    return value;
}

static void read_option(struct options *o, const char *name, char *value)
{
    char *dash = strchr(value, '-');
    if (strcmp(name, "--listen") == 0) {
        o->config.listen_address = value;
    } else if (strcmp(name, "--port") == 0) {
        o->config.listen_port = (uint16_t)number(value, 65535);
    } else if (strcmp(name, "--relay") == 0) {
        o->config.relay_address = value;
    } else if (strcmp(name, "--relay6") == 0) {
        o->config.relay_address_6 = value;
    } else if (strcmp(name, "--ports") == 0 && dash != NULL) {
        *dash = '\0';
        o->config.port_min = (uint16_t)number(value, 65535);
        o->config.port_max = (uint16_t)number(dash + 1, 65535);
    } else if (strcmp(name, "--realm") == 0) {
        o->config.realm = value;
    } else if (strcmp(name, "--allow") == 0 && o->config.allow_count < CHQ_TURN_ALLOWED_PREFIXES_MAX) {
        o->allow[o->config.allow_count++] = value;
    } else if (strcmp(name, "--user") == 0) {
        o->user = value;
    } else if (strcmp(name, "--tcp") == 0) {
        o->config.tcp_port = (uint16_t)number(value, 65535);
    } else if (strcmp(name, "--tls") == 0) {
        o->config.tls_port = (uint16_t)number(value, 65535);
    } else if (strcmp(name, "--certificate") == 0) {
        o->config.certificate_file = value;
    } else if (strcmp(name, "--key") == 0) {
        o->config.key_file = value;
    } else if (strcmp(name, "--secret") == 0) {
        o->secret = value;
    } else if (strcmp(name, "--limit") == 0) {
        o->limit = number(value, UINT64_MAX);
    } else if (strcmp(name, "--rate") == 0) {
        o->config.unauthenticated_per_s = (uint32_t)number(value, 1000000);
    } else if (strcmp(name, "--per-user") == 0) {
        o->config.allocations_per_credential_max = (uint32_t)number(value, 63);
    } else {
        fputs(usage, stderr);
        exit(2);
    }
}

/* Wait for SIGTERM, SIGINT or the end of standard input. */
static void wait_for_end(void)
{
    sigset_t signals;
    (void)sigemptyset(&signals);
    (void)sigaddset(&signals, SIGTERM);
    (void)sigaddset(&signals, SIGINT);
    (void)sigprocmask(SIG_BLOCK, &signals, NULL);
    struct pollfd fds[] = {{.fd = STDIN_FILENO, .events = POLLIN}, {.fd = -1, .events = POLLIN}};
    fds[1].fd = signalfd(-1, &signals, SFD_CLOEXEC);
    for (char byte; poll(fds, 2, -1) >= 0 && fds[1].revents == 0;)
        if (fds[0].revents != 0 && read(STDIN_FILENO, &byte, 1) <= 0)
            break;
}

static int serve(struct options *o)
{
    struct chq_turn_server *server;
    struct chq_gauge gauge;
    chq_gauge_init(&gauge, 0, o->limit);
    const struct chq_turn_server_app app = {o->secret, &gauge};
    o->config.apps = &app;
    o->config.app_count = o->secret != NULL ? 1 : 0;
    enum chq_err err = chq_turn_server_start(&o->config, &server);
    if (err != CHQ_OK) {
        fprintf(stderr, "cannot start: %s\n", chq_err_string(err));
        return 1;
    }
    if (o->user != NULL) {
        char *colon = strchr(o->user, ':');
        if (colon != NULL)
            *colon = '\0';
        err = chq_turn_server_add_credential(server, o->user, colon != NULL ? colon + 1 : "", &gauge, 0);
        if (err != CHQ_OK)
            fprintf(stderr, "cannot add the user: %s\n", chq_err_string(err));
    }
    printf("port %u\n", (unsigned)chq_turn_server_port(server));
    (void)fflush(stdout);
    if (err == CHQ_OK)
        wait_for_end();
    struct chq_turn_server_stats s;
    chq_turn_server_read_stats(server, &s);
    chq_turn_server_stop(server);
    printf("{\"allocations_total\": %" PRIu64 ", \"to_peer_packets\": %" PRIu64
           ", \"to_peer_bytes\": %" PRIu64 ", \"to_client_packets\": %" PRIu64
           ", \"to_client_bytes\": %" PRIu64 ", \"dropped_unpaid_packets\": %" PRIu64
           ", \"dropped_packets\": %" PRIu64 ", \"refused_logins\": %" PRIu64 ", \"rate_limited\": %" PRIu64
           ", \"carried_bytes\": %" PRIu64 "}\n",
        s.allocations_total, s.to_peer_packets, s.to_peer_bytes, s.to_client_packets, s.to_client_bytes,
        s.dropped_unpaid_packets, s.dropped_packets, s.refused_logins, s.rate_limited,
        chq_gauge_carried(&gauge));
    return err == CHQ_OK ? 0 : 1;
}

int main(int argc, char **argv)
{
    struct options o = {
        .limit = UINT64_MAX, .config = {.listen_address = "127.0.0.1", .relay_address = "127.0.0.1"}};
    o.config.random = chq_system_random();
    o.config.log = chq_log_stderr(CHQ_LOG_NOTICE);
    if (argc % 2 == 0) {
        fputs(usage, stderr);
        return 2;
    }
    for (int i = 1; i + 1 < argc; i += 2)
        read_option(&o, argv[i], argv[i + 1]);
    o.config.allow = o.allow;
    return serve(&o);
}
