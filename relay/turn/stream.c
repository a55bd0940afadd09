/* SPDX-License-Identifier: Apache-2.0 */
#include "relay/turn/stream.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "core/base/assert.h"
#include "core/base/limits.h"
#include "core/wire/stun.h"
#include "relay/turn/sockaddr.h"

#define IN_BYTES      4096 /* above any message with its padding, see chq_turn_streams_new */
#define OUT_BYTES_MAX (64 * 1024)
#define READS_MAX     32 /* in one turn, so that one connection does not keep the others waiting */
#define ACCEPTS_MAX   64
#define SWEEP_US      UINT64_C(1000000)

struct connection {
    int fd; /* -1: slot not used */
    SSL *ssl; /* NULL: TCP */
    bool handshaking, broken, wants_write;
    uint8_t listener;
    struct chq_address from;
    uint64_t served_us; /* when it was accepted or last seen with an allocation; 0: at the next sweep */
    uint8_t *in, *out; /* out: NULL while nothing waits */
    size_t in_bytes, out_bytes;
};

struct chq_turn_streams {
    int epoll_fd, listen_fds[2]; /* TCP, TLS; -1: none */
    uint64_t first_key; /* listeners first, then connections */
    uint32_t message_bytes_max;
    SSL_CTX *tls;
    struct chq_turn_streams_user user;
    bool paused; /* out of descriptors: accepting goes on at the next sweep */
    bool some_broken;
    uint64_t swept_us;
    uint32_t open;
    struct connection connections[CHQ_TURN_STREAMS_MAX];
};

/* PEM files as the relay has them for its WebSocket. */
static SSL_CTX *new_tls(const char *certificate_file, const char *key_file)
{
    SSL_CTX *tls = SSL_CTX_new(TLS_server_method());
    if (tls == NULL)
        return NULL;
    (void)SSL_CTX_set_options(tls, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_TICKET | SSL_OP_NO_COMPRESSION);
    (void)SSL_CTX_set_mode(
        tls, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
    (void)SSL_CTX_set_session_cache_mode(tls, SSL_SESS_CACHE_OFF);
    if (SSL_CTX_set_min_proto_version(tls, TLS1_2_VERSION) != 1 ||
        SSL_CTX_use_certificate_chain_file(tls, certificate_file) != 1 ||
        SSL_CTX_use_PrivateKey_file(tls, key_file, SSL_FILETYPE_PEM) != 1) {
        SSL_CTX_free(tls);
        return NULL;
    }
    return tls;
}

static int listen_on(struct chq_turn_streams *streams, struct chq_address address, uint16_t port, int which)
{
    union chq_sockaddr name;
    const int on = 1;
    address.port = port;
    socklen_t size = chq_address_to_sockaddr(&address, &name);
    struct epoll_event interest = {.events = EPOLLIN, .data.u64 = streams->first_key + (uint64_t)which};
    int fd = socket(name.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if ((address.family == 6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on) != 0) ||
        bind(fd, &name.any, size) != 0 || listen(fd, 128) != 0 ||
        epoll_ctl(streams->epoll_fd, EPOLL_CTL_ADD, fd, &interest) != 0) {
        int error = errno;
        (void)close(fd);
        errno = error;
        return -1;
    }
    return fd;
}

enum chq_err chq_turn_streams_new(const struct chq_turn_streams_config *config, struct chq_turn_streams **out)
{
    CHQ_ASSERT(config->message_bytes_max + 4 <= IN_BYTES);
    const uint16_t ports[2] = {config->tcp_port, config->tls_port};
    *out = NULL;
    struct chq_turn_streams *streams = calloc(1, sizeof *streams);
    if (streams == NULL)
        return CHQ_NO_MEMORY;
    streams->epoll_fd = config->epoll_fd;
    streams->first_key = config->first_key;
    streams->message_bytes_max = config->message_bytes_max;
    streams->user = config->user;
    streams->listen_fds[0] = streams->listen_fds[1] = -1;
    for (uint32_t i = 0; i < CHQ_TURN_STREAMS_MAX; i++)
        streams->connections[i].fd = -1;
    bool fine = true;
    if (config->tls_port != 0) {
        errno = 0;
        streams->tls = new_tls(config->certificate_file, config->key_file);
        fine = streams->tls != NULL;
        errno = fine ? errno : 0;
    }
    for (int i = 0; i < 2 && fine; i++)
        if (ports[i] != 0) {
            streams->listen_fds[i] = listen_on(streams, config->listen, ports[i], i);
            fine = streams->listen_fds[i] >= 0;
        }
    if (!fine) {
        int error = errno;
        chq_turn_streams_free(streams);
        errno = error;
        return CHQ_IO;
    }
    *out = streams;
    return CHQ_OK;
}

static void close_connection(struct chq_turn_streams *streams, struct connection *c)
{
    SSL_free(c->ssl);
    (void)close(c->fd);
    free(c->in);
    free(c->out);
    memset(c, 0, sizeof *c);
    c->fd = -1;
    streams->open--;
}

void chq_turn_streams_free(struct chq_turn_streams *streams)
{
    if (streams == NULL)
        return;
    for (uint32_t i = 0; i < CHQ_TURN_STREAMS_MAX; i++)
        if (streams->connections[i].fd >= 0)
            close_connection(streams, &streams->connections[i]);
    for (int i = 0; i < 2; i++)
        if (streams->listen_fds[i] >= 0)
            (void)close(streams->listen_fds[i]);
    SSL_CTX_free(streams->tls);
    free(streams);
}

static void mark_broken(struct chq_turn_streams *streams, struct connection *c)
{
    c->broken = true;
    streams->some_broken = true;
}

static void watch(struct chq_turn_streams *streams, struct connection *c, bool write)
{
    struct epoll_event interest = {.events = EPOLLIN | (write ? (uint32_t)EPOLLOUT : 0),
        .data.u64 = streams->first_key + 2 + (uint64_t)(c - streams->connections)};
    if (c->wants_write == write)
        return;
    c->wants_write = write;
    if (epoll_ctl(streams->epoll_fd, EPOLL_CTL_MOD, c->fd, &interest) != 0)
        mark_broken(streams, c);
}

/* Return whether one more connection from there is welcome, and the slot for it. Two with the same address and port
 * (they came to different addresses of ours) would be one client to the core. */
static struct connection *slot_for(
    struct chq_turn_streams *streams, const struct chq_address *from, uint8_t listener)
{
    struct connection *empty = NULL;
    uint32_t same = 0;
    for (uint32_t i = 0; i < CHQ_TURN_STREAMS_MAX; i++) {
        struct connection *c = &streams->connections[i];
        if (c->fd < 0) {
            empty = empty != NULL ? empty : c;
            continue;
        }
        if (c->listener == listener && chq_address_equal(&c->from, from))
            return NULL;
        same += c->from.family == from->family && memcmp(c->from.ip, from->ip, from->family == 4 ? 4 : 8) == 0
                    ? 1
                    : 0;
    }
    return same < CHQ_TURN_STREAMS_PER_ADDRESS_MAX ? empty : NULL;
}

static bool open_connection(
    struct chq_turn_streams *streams, int fd, const struct chq_address *from, uint8_t listener)
{
    const int on = 1;
    struct connection *c = slot_for(streams, from, listener);
    if (c == NULL)
        return false;
    struct epoll_event interest = {
        .events = EPOLLIN, .data.u64 = streams->first_key + 2 + (uint64_t)(c - streams->connections)};
    bool tls = listener == CHQ_TURN_LISTENER_TLS;
    uint8_t *in = malloc(IN_BYTES);
    SSL *ssl = tls ? SSL_new(streams->tls) : NULL;
    if (in == NULL || (tls && (ssl == NULL || SSL_set_fd(ssl, fd) != 1)) ||
        epoll_ctl(streams->epoll_fd, EPOLL_CTL_ADD, fd, &interest) != 0) {
        free(in);
        SSL_free(ssl);
        return false;
    }
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    *c = (struct connection){
        .fd = fd, .ssl = ssl, .handshaking = tls, .listener = listener, .from = *from, .in = in};
    streams->open++;
    return true;
}

static void pause_accepting(struct chq_turn_streams *streams, bool pause)
{
    streams->paused = pause;
    for (int i = 0; i < 2; i++) {
        struct epoll_event interest = {
            .events = pause ? 0 : EPOLLIN, .data.u64 = streams->first_key + (uint64_t)i};
        if (streams->listen_fds[i] >= 0)
            (void)epoll_ctl(streams->epoll_fd, EPOLL_CTL_MOD, streams->listen_fds[i], &interest);
    }
}

static void accept_some(struct chq_turn_streams *streams, int which)
{
    for (int i = 0; i < ACCEPTS_MAX; i++) {
        union chq_sockaddr name;
        socklen_t size = sizeof name;
        int fd = accept4(streams->listen_fds[which], &name.any, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) {
            if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
                pause_accepting(streams, true); /* no spinning: the next sweep tries again */
            return;
        }
        const struct chq_address from = chq_address_from_sockaddr(&name);
        if (from.family == 0 ||
            !open_connection(streams, fd, &from, which == 1 ? CHQ_TURN_LISTENER_TLS : CHQ_TURN_LISTENER_TCP))
            (void)close(fd);
    }
}

/* Return the bytes moved, 0: not now, -1: the connection is over. */
static ssize_t tls_result(SSL *ssl, int n)
{
    if (n > 0)
        return n;
    int error = SSL_get_error(ssl, n);
    ERR_clear_error();
    return error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE ? 0 : -1;
}

static ssize_t read_some(struct connection *c, uint8_t *data, size_t size)
{
    if (c->ssl != NULL)
        return tls_result(c->ssl, SSL_read(c->ssl, data, (int)size));
    ssize_t n = recv(c->fd, data, size, 0);
    if (n > 0)
        return n;
    return n < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : -1;
}

static ssize_t write_some(struct connection *c, const uint8_t *data, size_t size)
{
    if (c->ssl != NULL)
        return tls_result(c->ssl, SSL_write(c->ssl, data, (int)size));
    ssize_t n = send(c->fd, data, size, MSG_NOSIGNAL);
    if (n >= 0)
        return n;
    return errno == EAGAIN || errno == EINTR ? 0 : -1;
}

static void flush_out(struct chq_turn_streams *streams, struct connection *c)
{
    while (c->out_bytes > 0) {
        ssize_t n = write_some(c, c->out, c->out_bytes);
        if (n < 0)
            mark_broken(streams, c);
        if (n <= 0)
            return;
        c->out_bytes -= (size_t)n;
        memmove(c->out, c->out + n, c->out_bytes);
    }
    free(c->out);
    c->out = NULL;
    watch(streams, c, false);
}

bool chq_turn_streams_send(struct chq_turn_streams *streams, uint32_t stream, struct chq_bytes message)
{
    CHQ_ASSERT(stream > 0 && stream <= CHQ_TURN_STREAMS_MAX && message.size % 4 == 0);
    struct connection *c = &streams->connections[stream - 1];
    if (c->fd < 0 || c->broken || c->out_bytes + message.size > OUT_BYTES_MAX)
        return false; /* as on any full link */
    ssize_t n = c->out_bytes == 0 ? write_some(c, message.data, message.size) : 0;
    if (n == (ssize_t)message.size)
        return true;
    if (c->out == NULL && n >= 0)
        c->out = malloc(OUT_BYTES_MAX);
    if (n < 0 || c->out == NULL) {
        mark_broken(streams, c);
        return false;
    }
    memcpy(c->out + c->out_bytes, message.data + n, message.size - (size_t)n);
    c->out_bytes += message.size - (size_t)n;
    watch(streams, c, true);
    return true;
}

/* Hand on every whole message. Return false when what is there can never become one. */
static bool take_messages(struct chq_turn_streams *streams, struct connection *c)
{
    size_t at = 0;
    uint32_t stream = (uint32_t)(c - streams->connections) + 1;
    while (c->in_bytes - at >= 4 && !c->broken) {
        size_t need = chq_stun_frame_bytes(c->in + at);
        if (need == 0 || need > streams->message_bytes_max + 3)
            return false;
        if (c->in_bytes - at < need)
            break;
        streams->user.message(
            streams->user.context, stream, &c->from, c->listener, chq_bytes(c->in + at, need));
        at += need;
    }
    c->in_bytes -= at;
    memmove(c->in, c->in + at, c->in_bytes);
    return true;
}

static void read_messages(struct chq_turn_streams *streams, struct connection *c)
{
    for (int i = 0; !c->broken && (i < READS_MAX || (c->ssl != NULL && SSL_pending(c->ssl) > 0)); i++) {
        ssize_t n = read_some(c, c->in + c->in_bytes, IN_BYTES - c->in_bytes);
        if (n == 0)
            return;
        if (n < 0) {
            mark_broken(streams, c);
            return;
        }
        c->in_bytes += (size_t)n;
        if (!take_messages(streams, c))
            mark_broken(streams, c);
    }
}

static void shake_hands(struct chq_turn_streams *streams, struct connection *c)
{
    int n = SSL_accept(c->ssl);
    if (n == 1) {
        c->handshaking = false;
        c->served_us = 0;
        watch(streams, c, false);
        return;
    }
    int error = SSL_get_error(c->ssl, n);
    ERR_clear_error();
    if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE)
        mark_broken(streams, c);
    else
        watch(streams, c, error == SSL_ERROR_WANT_WRITE);
}

void chq_turn_streams_ready(struct chq_turn_streams *streams, uint64_t key, uint32_t events)
{
    uint64_t at = key - streams->first_key;
    if (at < 2) {
        accept_some(streams, (int)at);
        return;
    }
    CHQ_ASSERT(at - 2 < CHQ_TURN_STREAMS_MAX);
    struct connection *c = &streams->connections[at - 2];
    if (c->fd < 0 || c->broken)
        return;
    if (c->handshaking)
        shake_hands(streams, c);
    if (!c->handshaking && (events & EPOLLOUT) && c->out_bytes > 0)
        flush_out(streams, c);
    if (!c->handshaking)
        read_messages(streams, c);
}

static bool is_due(const struct chq_turn_streams *streams, struct connection *c, uint64_t now_us)
{
    bool served = !c->handshaking && streams->user.is_served(streams->user.context, &c->from, c->listener);
    if (served || c->served_us == 0)
        c->served_us = now_us;
    uint64_t limit_s = c->handshaking ? CHQ_TURN_STREAM_HANDSHAKE_S : CHQ_TURN_STREAM_IDLE_S;
    return now_us - c->served_us >= limit_s * 1000000;
}

void chq_turn_streams_sweep(struct chq_turn_streams *streams, uint64_t now_us)
{
    bool due = now_us - streams->swept_us >= SWEEP_US;
    if (!due && !streams->some_broken)
        return;
    if (due) {
        streams->swept_us = now_us;
        if (streams->paused)
            pause_accepting(streams, false);
    }
    streams->some_broken = false;
    for (uint32_t i = 0; i < CHQ_TURN_STREAMS_MAX && streams->open > 0; i++) {
        struct connection *c = &streams->connections[i];
        if (c->fd < 0 || (!c->broken && !(due && is_due(streams, c, now_us))))
            continue;
        const struct chq_address from = c->from;
        uint8_t listener = c->listener;
        close_connection(streams, c);
        streams->user.gone(streams->user.context, &from, listener);
    }
}

uint32_t chq_turn_streams_open(const struct chq_turn_streams *streams)
{
    return streams->open;
}

bool chq_turn_streams_need_sweep(const struct chq_turn_streams *streams)
{
    return streams->open > 0 || streams->paused;
}
