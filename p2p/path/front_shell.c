/* SPDX-License-Identifier: Apache-2.0 */
#include "p2p/path/front_shell.h"

#include <errno.h>
#include <glib-unix.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "p2p/path/socket.h"

enum { DATAGRAMS_PER_WAKE_MAX = 64 };

struct upstream {
    struct chq_front_shell *shell;
    int fd;
    unsigned flow;
    GSource *source;
};

struct chq_front_shell {
    struct chq_front core;
    GMainContext *context;
    struct chq_address relay, address;
    struct chq_log log;
    int fd;
    GSource *source;
    struct upstream up[CHQ_FRONT_FLOWS_MAX];
    bool told; /* that the relay sends what it should not: once is enough */
};

static GSource *watch(GMainContext *context, int fd, GUnixFDSourceFunc function, gpointer data)
{
    GSource *source = g_unix_fd_source_new(fd, G_IO_IN);
    g_source_set_callback(source, G_SOURCE_FUNC(function), data, NULL);
    g_source_set_priority(source, G_PRIORITY_HIGH);
    (void)g_source_attach(source, context);
    return source;
}

static void unwatch(GSource **source, int *fd)
{
    if (*source != NULL) {
        g_source_destroy(*source);
        g_source_unref(*source);
        *source = NULL;
    }
    if (*fd >= 0)
        (void)close(*fd);
    *fd = -1;
}

static int open_udp(const struct chq_address *bind_to, const struct chq_address *connect_to)
{
    struct sockaddr_storage storage;
    const struct chq_address *any = bind_to != NULL ? bind_to : connect_to;
    const int fd =
        socket(any->family == 6 ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -1;
    socklen_t size = chq_address_to_sockaddr(any, &storage);
    const int failed = bind_to != NULL ? bind(fd, (struct sockaddr *)&storage, size)
                                       : connect(fd, (struct sockaddr *)&storage, size);
    if (failed != 0) {
        (void)close(fd);
        return -1;
    }
    return fd;
}

static gboolean on_relay(gint fd, GIOCondition condition, gpointer data)
{
    (void)condition;
    struct upstream *up = data;
    struct chq_front_shell *s = up->shell;
    uint8_t buffer[CHQ_FRONT_DATAGRAM_BYTES_MAX];
    for (int i = 0; i < DATAGRAMS_PER_WAKE_MAX; i++) {
        const ssize_t size = recv(fd, buffer, sizeof buffer, MSG_TRUNC);
        if (size < 0) {
            if (errno == EAGAIN || errno == EWOULDBLOCK)
                break;
            continue; /* a refused port shows here once per datagram */
        }
        const struct chq_front_event e = {.type = CHQ_FRONT_FROM_RELAY,
            .flow = up->flow,
            .datagram =
                chq_bytes(buffer, (size_t)size)}; /* more than the buffer holds is refused by its size */
        struct chq_front_actions out;
        if (chq_front_step(&s->core, &e, &out) != CHQ_OK) {
            if (!s->told)
                chq_logf(&s->log, CHQ_LOG_WARNING,
                    "the relay sent a malformed or hostile TURN message; dropped, as will be all like it");
            s->told = true;
            continue;
        }
        struct sockaddr_storage to;
        const socklen_t length = chq_address_to_sockaddr(&out.agent, &to);
        (void)sendto(s->fd, out.datagram.data, out.datagram.size, 0, (struct sockaddr *)&to, length);
    }
    return G_SOURCE_CONTINUE;
}

static bool open_upstream(struct chq_front_shell *s, unsigned flow)
{
    struct upstream *up = &s->up[flow];
    if (up->fd >= 0)
        return true;
    up->fd = open_udp(NULL, &s->relay);
    if (up->fd < 0)
        return false;
    up->source = watch(s->context, up->fd, on_relay, up);
    return true;
}

static gboolean on_agent(gint fd, GIOCondition condition, gpointer data)
{
    (void)condition;
    struct chq_front_shell *s = data;
    uint8_t buffer[CHQ_FRONT_DATAGRAM_BYTES_MAX];
    for (int i = 0; i < DATAGRAMS_PER_WAKE_MAX; i++) {
        struct sockaddr_storage from;
        socklen_t length = sizeof from;
        const ssize_t size =
            recvfrom(fd, buffer, sizeof buffer, MSG_TRUNC, (struct sockaddr *)&from, &length);
        if (size < 0)
            break;
        const struct chq_address agent = chq_address_from_sockaddr((struct sockaddr *)&from);
        if (!chq_address_same_host(&agent, &s->address))
            continue; /* from the network: the kernel lets none in that claims to be from here */
        const struct chq_front_event e = {
            .type = CHQ_FRONT_FROM_AGENT, .agent = agent, .datagram = chq_bytes(buffer, (size_t)size)};
        struct chq_front_actions out;
        if (chq_front_step(&s->core, &e, &out) != CHQ_OK || !open_upstream(s, out.flow))
            continue;
        (void)send(s->up[out.flow].fd, out.datagram.data, out.datagram.size, 0);
    }
    return G_SOURCE_CONTINUE;
}

static bool name_of(int fd, struct chq_address *out)
{
    struct sockaddr_storage storage;
    socklen_t length = sizeof storage;
    if (getsockname(fd, (struct sockaddr *)&storage, &length) != 0)
        return false;
    *out = chq_address_from_sockaddr((struct sockaddr *)&storage);
    return true;
}

/*
 * Open a socket on the own address from which the way to the relay leads. Not on 127.0.0.1: the agent ties each of its
 * sockets to the interface of its address, and from there only that interface's own addresses are on this machine.
 */
static int open_beside(const struct chq_address *relay, struct chq_address *address)
{
    const int probe = open_udp(NULL, relay);
    if (probe < 0)
        return -1;
    const bool known = name_of(probe, address);
    (void)close(probe);
    if (!known)
        return -1;
    address->port = 0;
    const int fd = open_udp(address, NULL);
    if (fd >= 0 && !name_of(fd, address)) {
        (void)close(fd);
        return -1;
    }
    return fd;
}

enum chq_err chq_front_shell_new(GMainContext *context, const struct chq_address *relay,
    const struct chq_log *log, struct chq_front_shell **out)
{
    *out = NULL;
    struct chq_front_shell *s = calloc(1, sizeof *s);
    if (s == NULL)
        return CHQ_NO_MEMORY;
    chq_front_init(&s->core);
    s->context = context != NULL ? g_main_context_ref(context) : NULL;
    s->relay = *relay;
    if (log != NULL)
        s->log = *log;
    for (unsigned i = 0; i < CHQ_FRONT_FLOWS_MAX; i++)
        s->up[i] = (struct upstream){.shell = s, .fd = -1, .flow = i};
    s->fd = open_beside(relay, &s->address);
    if (s->fd < 0) {
        chq_front_shell_free(s);
        return CHQ_IO;
    }
    s->source = watch(context, s->fd, on_agent, s);
    *out = s;
    return CHQ_OK;
}

void chq_front_shell_free(struct chq_front_shell *shell)
{
    if (shell == NULL)
        return;
    unwatch(&shell->source, &shell->fd);
    for (unsigned i = 0; i < CHQ_FRONT_FLOWS_MAX; i++)
        unwatch(&shell->up[i].source, &shell->up[i].fd);
    if (shell->context != NULL)
        g_main_context_unref(shell->context);
    free(shell);
}

struct chq_address chq_front_shell_address(const struct chq_front_shell *shell)
{
    return shell->address;
}

const struct chq_front *chq_front_shell_core(const struct chq_front_shell *shell)
{
    return &shell->core;
}
