/* SPDX-License-Identifier: Apache-2.0 */
#include "p2p/path/reflexive_shell.h"

#include <stdlib.h>

#include "core/base/limits.h"
#include "p2p/path/socket.h"

struct chq_reflexive_shell {
    struct chq_reflexive core;
    GSource *source;
    int fd;
    void (*on_mapped)(void *user, const struct chq_address *mapped);
    void *user;
};

/* A GSource that knows its shell. */
struct shell_source {
    GSource base;
    GPollFD poll; /* not g_source_add_unix_fd: that is ready for any datagram, whatever check says */
    struct chq_reflexive_shell *shell;
};

static ssize_t take(
    struct chq_reflexive_shell *s, int flags, uint8_t *buffer, size_t size, struct chq_address *from)
{
    struct sockaddr_storage storage;
    socklen_t length = sizeof storage;
    const ssize_t got =
        recvfrom(s->fd, buffer, size, flags | MSG_DONTWAIT, (struct sockaddr *)&storage, &length);
    if (got >= 0)
        *from = chq_address_from_sockaddr((struct sockaddr *)&storage);
    return got;
}

/* Ready only when the answer stands at the head of the socket: otherwise it is its owner's turn. */
static bool answer_waits(struct chq_reflexive_shell *s)
{
    uint8_t buffer[CHQ_STUN_BYTES_MAX];
    struct chq_address from;
    const ssize_t size = take(s, MSG_PEEK, buffer, sizeof buffer, &from);
    return size >= 0 && chq_reflexive_is_answer(&s->core, &from, chq_bytes(buffer, (size_t)size));
}

static gboolean check(GSource *source)
{
    struct chq_reflexive_shell *s = ((struct shell_source *)source)->shell;
    return (uint64_t)g_get_monotonic_time() >= chq_reflexive_deadline_us(&s->core) || answer_waits(s);
}

static gboolean dispatch(GSource *source, GSourceFunc callback, gpointer data)
{
    (void)callback;
    (void)data;
    struct chq_reflexive_shell *s = ((struct shell_source *)source)->shell;
    uint8_t buffer[CHQ_STUN_BYTES_MAX];
    struct chq_reflexive_event e = {
        .now_us = (uint64_t)g_get_monotonic_time(), .type = CHQ_REFLEXIVE_TIMEOUT};
    struct chq_reflexive_actions out;
    if (answer_waits(s)) {
        const ssize_t size = take(s, 0, buffer, sizeof buffer, &e.from);
        e.type = CHQ_REFLEXIVE_RECEIVED;
        e.datagram = chq_bytes(buffer, size > 0 ? (size_t)size : 0);
    }
    const enum chq_err err = chq_reflexive_step(&s->core, &e, &out);
    if (err == CHQ_OK && out.send.size > 0) {
        struct sockaddr_storage to;
        const socklen_t length = chq_address_to_sockaddr(&s->core.server, &to);
        (void)sendto(s->fd, out.send.data, out.send.size, MSG_DONTWAIT, (struct sockaddr *)&to, length);
    }
    const uint64_t at = chq_reflexive_deadline_us(&s->core);
    g_source_set_ready_time(source, at == UINT64_MAX ? -1 : (gint64)at);
    if (err == CHQ_OK && out.mapped_changed) {
        const struct chq_address mapped = s->core.mapped;
        s->on_mapped(s->user, &mapped);
    }
    return G_SOURCE_CONTINUE;
}

enum chq_err chq_reflexive_shell_new(GMainContext *context, int fd, const struct chq_address *server,
    const struct chq_random *random, void (*on_mapped)(void *user, const struct chq_address *mapped),
    void *user, struct chq_reflexive_shell **out)
{
    static GSourceFuncs functions = {.check = check, .dispatch = dispatch};
    *out = NULL;
    struct chq_reflexive_shell *s = calloc(1, sizeof *s);
    if (s == NULL)
        return CHQ_NO_MEMORY;
    chq_reflexive_init(&s->core, server, random, (uint64_t)g_get_monotonic_time());
    s->fd = fd;
    s->on_mapped = on_mapped;
    s->user = user;
    s->source = g_source_new(&functions, sizeof(struct shell_source));
    struct shell_source *source = (struct shell_source *)s->source;
    source->shell = s;
    source->poll = (GPollFD){.fd = fd, .events = G_IO_IN};
    g_source_set_priority(s->source, G_PRIORITY_HIGH); /* before the socket's owner */
    g_source_add_poll(s->source, &source->poll);
    g_source_set_ready_time(s->source, 0);
    (void)g_source_attach(s->source, context);
    *out = s;
    return CHQ_OK;
}

void chq_reflexive_shell_free(struct chq_reflexive_shell *shell)
{
    if (shell == NULL)
        return;
    g_source_destroy(shell->source);
    g_source_unref(shell->source);
    free(shell);
}
