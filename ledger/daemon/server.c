/* SPDX-License-Identifier: Apache-2.0 */
#include "ledger/daemon/server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "core/base/assert.h"
#include "core/base/text.h"
#include "ledger/engine/clock.h"

#define FRAME_MAX (CHQ_LEDGER_FRAME_HEAD_BYTES + CHQ_LEDGER_FRAME_BYTES_MAX)
#define READ_STEP (64 * 1024)

struct client {
    int fd; /* -1: free */
    uint32_t generation; /* so that an outcome for a client that left reaches nobody else */
    unsigned pending; /* batches in the engine */
    bool closing; /* send what is left, then close */
    uint8_t *in;
    size_t in_size, in_cap;
    struct chq_writer out;
    size_t out_sent;
};

enum { FD_SIGNAL, FD_UNIX, FD_TCP, FDS_FIXED };

struct server {
    struct chq_engine *engine;
    const struct chq_log *log;
    struct client clients[CHQ_LEDGER_CLIENTS_MAX];
    struct pollfd fds[FDS_FIXED + CHQ_LEDGER_CLIENTS_MAX];
    int fixed[FDS_FIXED];
    uint32_t generations;
    struct chq_block_clock clock;
};

static uint64_t read_clock_us(clockid_t id)
{
    struct timespec t;
    clock_gettime(id, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static uint64_t now_us(struct server *s)
{
    bool doubtful = s->clock.doubtful;
    uint64_t now =
        chq_block_clock_read(&s->clock, read_clock_us(CLOCK_REALTIME), read_clock_us(CLOCK_BOOTTIME));
    if (s->clock.doubtful && !doubtful)
        chq_logf(s->log, CHQ_LOG_ERROR,
            "the system's clock has jumped more than a year; blocks go on with the time before. Set it "
            "right, or "
            "start the ledger again if it is right now");
    return now;
}

static void drop(struct client *c)
{
    if (c->fd >= 0)
        close(c->fd);
    free(c->in);
    chq_writer_free(&c->out);
    *c = (struct client){.fd = -1};
}

static void put_frame(struct client *c, struct chq_bytes reply)
{
    if (c->out_sent == c->out.size) {
        chq_writer_clear(&c->out);
        c->out_sent = 0;
    }
    chq_write_u32(&c->out, (uint32_t)reply.size);
    chq_write_bytes(&c->out, reply.data, reply.size);
    if (chq_writer_finish(&c->out) != CHQ_OK)
        c->closing = true; /* no memory, or it does not read: it will have to ask again */
}

static void put_reply(struct client *c, const struct chq_ledger_reply *reply)
{
    struct chq_writer w = chq_writer_heap(CHQ_LEDGER_FRAME_BYTES_MAX);
    chq_ledger_reply_put(&w, reply);
    if (chq_writer_finish(&w) == CHQ_OK)
        put_frame(c, chq_writer_bytes(&w));
    else
        c->closing = true;
    chq_writer_free(&w);
}

static void put_error(struct client *c, enum chq_ledger_request_type type, enum chq_err err, const char *why)
{
    struct chq_ledger_reply reply = {.type = type, .err = err, .reason = chq_bytes_text(why)};
    if (reply.reason.size > CHQ_LEDGER_REASON_BYTES_MAX)
        reply.reason.size = CHQ_LEDGER_REASON_BYTES_MAX;
    if (!chq_utf8_valid(reply.reason))
        reply.reason = chq_bytes_text(chq_err_string(err));
    put_reply(c, &reply);
}

/*
 * Answer one request. Replies keep the order of requests: batches queue up behind each other, everything else waits
 * until they are done. Return false when it has to wait.
 */
static bool answer(struct server *s, struct client *c, struct chq_bytes frame)
{
    struct chq_ledger_request request;
    char reason[CHQ_ENGINE_REASON_BYTES] = "";
    enum chq_err err = chq_ledger_request_read(frame, &request);
    if (c->pending > 0 && (err != CHQ_OK || request.type != CHQ_LEDGER_SUBMIT))
        return false;
    if (err != CHQ_OK) {
        put_error(c, (enum chq_ledger_request_type)0, err, "the request is malformed");
        return true;
    }
    if (request.type == CHQ_LEDGER_SUBMIT) {
        uint64_t ticket = (uint64_t)c->generation << 32 | (uint64_t)(c - s->clients);
        if (c->pending >= CHQ_LEDGER_PIPELINE_MAX)
            return false;
        err = chq_engine_submit(s->engine, ticket, request.signed_batch, reason);
        if (err == CHQ_OK)
            c->pending++;
        else if (c->pending > 0)
            return false;
        else
            put_error(c, request.type, err, reason[0] != '\0' ? reason : chq_err_string(err));
        return true;
    }
    struct chq_writer w = chq_writer_heap(CHQ_LEDGER_FRAME_BYTES_MAX);
    chq_engine_query(s->engine, &request, now_us(s), &w);
    if (chq_writer_finish(&w) == CHQ_OK)
        put_frame(c, chq_writer_bytes(&w));
    else
        put_error(c, request.type, chq_writer_finish(&w), "the answer cannot be written");
    chq_writer_free(&w);
    return true;
}

static void take_frames(struct server *s, struct client *c)
{
    size_t at = 0;
    while (!c->closing && c->in_size - at >= CHQ_LEDGER_FRAME_HEAD_BYTES &&
           c->out.size - c->out_sent < CHQ_LEDGER_CLIENT_OUT_BYTES) {
        size_t size = chq_load_u32(c->in + at);
        if (size > CHQ_LEDGER_FRAME_BYTES_MAX) {
            if (c->pending == 0) {
                put_error(c, (enum chq_ledger_request_type)0, CHQ_LIMIT, "a frame may have 1 MiB at most");
                c->closing = true;
            }
            break;
        }
        if (c->in_size - at - CHQ_LEDGER_FRAME_HEAD_BYTES < size)
            break;
        if (!answer(s, c, chq_bytes(c->in + at + CHQ_LEDGER_FRAME_HEAD_BYTES, size)))
            break;
        at += CHQ_LEDGER_FRAME_HEAD_BYTES + size;
    }
    if (at > 0)
        memmove(c->in, c->in + at, c->in_size - at);
    c->in_size -= at;
}

static bool has_room(const struct client *c)
{
    return !c->closing && c->in_size < FRAME_MAX && c->out.size - c->out_sent < CHQ_LEDGER_CLIENT_OUT_BYTES;
}

static void receive(struct client *c)
{
    size_t want = c->in_size + READ_STEP > FRAME_MAX ? FRAME_MAX : c->in_size + READ_STEP;
    if (want > c->in_cap) {
        uint8_t *grown = realloc(c->in, want);
        if (grown == NULL) {
            drop(c);
            return;
        }
        c->in = grown;
        c->in_cap = want;
    }
    ssize_t n = recv(c->fd, c->in + c->in_size, c->in_cap - c->in_size, MSG_DONTWAIT);
    if (n > 0)
        c->in_size += (size_t)n;
    else if (n == 0 || (errno != EAGAIN && errno != EINTR))
        drop(c);
}

static void transmit(struct client *c)
{
    while (c->out_sent < c->out.size) {
        ssize_t n =
            send(c->fd, c->out.data + c->out_sent, c->out.size - c->out_sent, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN) { /* close up, or who is never quite done would run into the limit */
            c->out.size -= c->out_sent;
            memmove(c->out.data, c->out.data + c->out_sent, c->out.size);
            c->out_sent = 0;
            return;
        }
        if (n <= 0) {
            drop(c);
            return;
        }
        c->out_sent += (size_t)n;
    }
    if (c->closing)
        drop(c);
}

static void tell_client(void *context, const struct chq_engine_outcome *outcome)
{
    struct server *s = context;
    struct client *c = &s->clients[outcome->ticket & 0xffffffff];
    if (c->fd < 0 || c->generation != outcome->ticket >> 32)
        return;
    CHQ_ASSERT(c->pending > 0);
    c->pending--;
    if (outcome->err == CHQ_OK)
        put_reply(c, &(struct chq_ledger_reply){.type = CHQ_LEDGER_SUBMIT, .height = outcome->height});
    else
        put_error(c, CHQ_LEDGER_SUBMIT, outcome->err, outcome->reason);
}

/* A free place, or that of a client that has left and was not noticed yet; NULL when all are taken. */
static struct client *find_place(struct server *s)
{
    uint8_t byte;
    for (size_t i = 0; i < CHQ_LEDGER_CLIENTS_MAX; i++)
        if (s->clients[i].fd < 0)
            return &s->clients[i];
    for (size_t i = 0; i < CHQ_LEDGER_CLIENTS_MAX; i++) {
        if (recv(s->clients[i].fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) != 0)
            continue;
        drop(&s->clients[i]);
        return &s->clients[i];
    }
    return NULL;
}

static bool greet(struct server *s, int listener)
{
    int one = 1;
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0)
        return false;
    struct client *c = find_place(s);
    if (c == NULL) {
        chq_logf(s->log, CHQ_LOG_WARNING, "%d clients are connected: one more was turned away",
            CHQ_LEDGER_CLIENTS_MAX);
        close(fd);
        return true;
    }
    *c = (struct client){.fd = fd, .generation = ++s->generations};
    c->out = chq_writer_heap(CHQ_LEDGER_CLIENT_OUT_BYTES + 4 * CHQ_LEDGER_FRAME_BYTES_MAX);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one); /* no matter on a Unix socket */
    return true;
}

/* ---- sockets ---- */

static enum chq_err fail(const char *what, const char *where, char *reason)
{
    snprintf(reason, CHQ_ENGINE_REASON_BYTES, "cannot %s %.300s: %s", what, where, strerror(errno));
    return CHQ_IO;
}

static enum chq_err listen_unix(struct server *s, const char *path, char *reason)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path) {
        snprintf(reason, CHQ_ENGINE_REASON_BYTES,
            "the socket's path is too long (%zu characters, at most %zu): choose another with --socket",
            strlen(path), sizeof address.sun_path - 1);
        return CHQ_LIMIT;
    }
    memcpy(address.sun_path, path, strlen(path) + 1);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return fail("make the socket", path, reason);
    s->fixed[FD_UNIX] = fd;
    if (connect(fd, (const struct sockaddr *)&address, sizeof address) == 0) {
        snprintf(
            reason, CHQ_ENGINE_REASON_BYTES, "the socket %.300s is in use: a ledger is running there", path);
        return CHQ_EXISTS;
    }
    if (errno == ECONNREFUSED && unlink(path) != 0) /* a ledger that was killed left it */
        return fail("remove the old socket", path, reason);
    mode_t mask = umask(0177);
    int rc = bind(fd, (const struct sockaddr *)&address, sizeof address);
    umask(mask);
    if (rc != 0 || listen(fd, 64) != 0)
        return fail("listen at", path, reason);
    return CHQ_OK;
}

/* Read "127.0.0.1:PORT" or "[::1]:PORT"; anything that others could reach is refused. */
static bool read_loopback(const char *text, struct sockaddr_storage *out, socklen_t *size)
{
    struct sockaddr_in *v4 = (struct sockaddr_in *)out;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)out;
    const char *colon = strrchr(text, ':');
    char host[64];
    uint64_t port;
    memset(out, 0, sizeof *out);
    if (colon == NULL || (size_t)(colon - text) >= sizeof host ||
        chq_decimal_read(colon + 1, UINT16_MAX, &port) != CHQ_OK || port == 0)
        return false;
    snprintf(host, sizeof host, "%.*s", (int)(colon - text), text);
    if (strcmp(host, "[::1]") == 0) {
        *v6 = (struct sockaddr_in6){
            .sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port), .sin6_addr = IN6ADDR_LOOPBACK_INIT};
        *size = sizeof *v6;
        return true;
    }
    v4->sin_family = AF_INET;
    v4->sin_port = htons((uint16_t)port);
    *size = sizeof *v4;
    return inet_pton(AF_INET, host, &v4->sin_addr) == 1 && ntohl(v4->sin_addr.s_addr) >> 24 == 127;
}

static enum chq_err listen_tcp(struct server *s, const char *text, char *reason)
{
    struct sockaddr_storage address;
    socklen_t size = 0;
    int one = 1;
    if (!read_loopback(text, &address, &size)) {
        snprintf(reason, CHQ_ENGINE_REASON_BYTES,
            "--listen takes a loopback address, as 127.0.0.1:7400 or [::1]:7400, not '%.100s': the ledger's "
            "socket has "
            "no encryption; relays carry it to others",
            text);
        return CHQ_MALFORMED;
    }
    int fd = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return fail("make the socket", text, reason);
    s->fixed[FD_TCP] = fd;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(fd, (const struct sockaddr *)&address, size) != 0 || listen(fd, 64) != 0)
        return fail("listen at", text, reason);
    return CHQ_OK;
}

static enum chq_err open_signals(struct server *s, char *reason)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigprocmask(SIG_BLOCK, &set, NULL);
    s->fixed[FD_SIGNAL] = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return s->fixed[FD_SIGNAL] >= 0 ? CHQ_OK : fail("wait for", "signals", reason);
}

/* ---- loop ---- */

static void fill_poll(struct server *s)
{
    for (size_t i = 0; i < FDS_FIXED; i++)
        s->fds[i] = (struct pollfd){.fd = s->fixed[i], .events = POLLIN};
    for (size_t i = 0; i < CHQ_LEDGER_CLIENTS_MAX; i++) {
        const struct client *c = &s->clients[i];
        short events = (short)((has_room(c) ? POLLIN : 0) | (c->out_sent < c->out.size ? POLLOUT : 0));
        s->fds[FDS_FIXED + i] = (struct pollfd){.fd = c->fd, .events = events};
    }
}

static void serve_once(struct server *s)
{
    const struct chq_engine_outcomes outcomes = {.outcome = tell_client, .context = s};
    for (size_t i = 0; i < CHQ_LEDGER_CLIENTS_MAX; i++) {
        struct client *c = &s->clients[i];
        short got = s->fds[FDS_FIXED + i].revents;
        if (c->fd >= 0 && (got & (POLLERR | POLLNVAL)) != 0)
            drop(c);
        if (c->fd >= 0 && (got & (POLLIN | POLLHUP)) != 0)
            has_room(c) ? receive(c) : (got & POLLHUP) != 0 ? drop(c) : (void)0;
        if (c->fd >= 0)
            take_frames(s, c);
    }
    /* All that came in this round goes into one block. */
    while (chq_engine_tick(s->engine, now_us(s), &outcomes))
        ;
    for (size_t i = 0; i < CHQ_LEDGER_CLIENTS_MAX; i++) {
        struct client *c = &s->clients[i];
        if (c->fd >= 0)
            take_frames(s, c); /* what had to wait for the block */
        if (c->fd >= 0 && (c->out_sent < c->out.size || c->closing))
            transmit(c);
    }
    for (size_t i = FD_UNIX; i <= FD_TCP; i++)
        if (s->fixed[i] >= 0 && (s->fds[i].revents & POLLIN) != 0)
            while (greet(s, s->fixed[i]))
                ;
}

/* Whether a client has whole requests that wait for the engine only. */
static bool has_work(const struct server *s)
{
    for (size_t i = 0; i < CHQ_LEDGER_CLIENTS_MAX; i++)
        if (s->clients[i].pending > 0)
            return true;
    return false;
}

static enum chq_err loop(struct server *s, char *reason)
{
    for (;;) {
        fill_poll(s);
        if (poll(s->fds, FDS_FIXED + CHQ_LEDGER_CLIENTS_MAX, has_work(s) ? 0 : -1) < 0) {
            if (errno == EINTR)
                continue;
            return fail("wait for", "events", reason);
        }
        if (s->fds[FD_SIGNAL].revents != 0)
            return CHQ_OK;
        serve_once(s);
    }
}

enum chq_err chq_server_run(struct chq_engine *engine, const struct chq_server_config *config, char *reason)
{
    struct server *s = calloc(1, sizeof *s);
    if (s == NULL)
        return CHQ_NO_MEMORY;
    s->engine = engine;
    s->log = config->log;
    for (size_t i = 0; i < CHQ_LEDGER_CLIENTS_MAX; i++)
        s->clients[i].fd = -1;
    for (size_t i = 0; i < FDS_FIXED; i++)
        s->fixed[i] = -1;
    bool has_socket = false;
    enum chq_err err = open_signals(s, reason);
    if (err == CHQ_OK) {
        err = listen_unix(s, config->socket_path, reason);
        has_socket = err == CHQ_OK;
    }
    if (err == CHQ_OK && config->listen != NULL)
        err = listen_tcp(s, config->listen, reason);
    if (err == CHQ_OK) {
        if (config->ready != NULL)
            config->ready(config->context);
        err = loop(s, reason);
    }
    for (size_t i = 0; i < CHQ_LEDGER_CLIENTS_MAX; i++)
        drop(&s->clients[i]);
    for (size_t i = 0; i < FDS_FIXED; i++)
        if (s->fixed[i] >= 0)
            close(s->fixed[i]);
    if (has_socket)
        unlink(config->socket_path);
    free(s);
    return err;
}
