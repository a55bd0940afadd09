/* SPDX-License-Identifier: Apache-2.0 */
#include "socket.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static SSL_CTX *context;

static bool wait_for(int fd, short what, int ms)
{
    struct pollfd p = {.fd = fd, .events = what};
    return poll(&p, 1, ms) > 0;
}

static bool write_all(struct test_socket *s, const void *data, size_t size)
{
    const uint8_t *at = data;
    while (size > 0) {
        int n = SSL_write(s->tls, at, (int)size);
        if (n > 0) {
            at += n;
            size -= (size_t)n;
            continue;
        }
        int why = SSL_get_error(s->tls, n);
        if (why != SSL_ERROR_WANT_READ && why != SSL_ERROR_WANT_WRITE)
            return false;
        if (!wait_for(s->fd, why == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT, 5000))
            return false;
    }
    return true;
}

/* Read what is there; false: gone. */
static bool read_more(struct test_socket *s, int wait_ms)
{
    if (SSL_pending(s->tls) == 0 && !wait_for(s->fd, POLLIN, wait_ms))
        return true;
    memmove(s->in, s->in + s->in_at, s->in_size - s->in_at);
    s->in_size -= s->in_at;
    s->in_at = 0;
    int n = SSL_read(s->tls, s->in + s->in_size, (int)(sizeof s->in - s->in_size));
    if (n > 0) {
        s->in_size += (size_t)n;
        return true;
    }
    int why = SSL_get_error(s->tls, n);
    return why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE;
}

static bool upgrade(struct test_socket *s, const char *host)
{
    char request[512];
    int n = snprintf(request, sizeof request,
        "GET / HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Protocol: chasqui.v1\r\n\r\n",
        host);
    if (!write_all(s, request, (size_t)n))
        return false;
    for (int i = 0; i < 100; i++) {
        const uint8_t *end = memmem(s->in, s->in_size, "\r\n\r\n", 4);
        if (end != NULL) {
            bool fine = s->in_size > 12 && memcmp(s->in, "HTTP/1.1 101", 12) == 0;
            size_t head = (size_t)(end - s->in) + 4;
            s->in_at = head;
            return fine;
        }
        if (!read_more(s, 100))
            return false;
    }
    return false;
}

static bool handshake(struct test_socket *s)
{
    for (;;) {
        int n = SSL_connect(s->tls);
        if (n == 1)
            return true;
        int why = SSL_get_error(s->tls, n);
        if (why != SSL_ERROR_WANT_READ && why != SSL_ERROR_WANT_WRITE)
            return false;
        if (!wait_for(s->fd, why == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT, 5000))
            return false;
    }
}

bool test_socket_open(struct test_socket *s, const char *host, unsigned port)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    int one = 1;
    if (context == NULL)
        context = SSL_CTX_new(TLS_client_method());
    s->tls = NULL;
    s->in_at = s->in_size = 0;
    s->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (inet_pton(AF_INET, host, &at.sin_addr) != 1 || s->fd < 0 ||
        connect(s->fd, (struct sockaddr *)&at, sizeof at) != 0)
        goto out;
    setsockopt(s->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (fcntl(s->fd, F_SETFL, O_NONBLOCK) != 0)
        goto out;
    s->tls = SSL_new(context);
    if (s->tls == NULL || SSL_set_fd(s->tls, s->fd) != 1 || !handshake(s) || !upgrade(s, host))
        goto out;
    return true;
out:
    test_socket_close(s);
    return false;
}

void test_socket_close(struct test_socket *s)
{
    SSL_free(s->tls);
    s->tls = NULL;
    if (s->fd >= 0)
        close(s->fd);
    s->fd = -1;
}

/* A client masks (section 5.3); with zeros, which is as good as any mask for a test. */
static bool send_message(struct test_socket *s, uint8_t opcode, struct chq_bytes message)
{
    static uint8_t out[CHQ_FRAME_BYTES_MAX + 16];
    size_t n = 0;
    out[n++] = (uint8_t)(0x80 | opcode);
    if (message.size < 126) {
        out[n++] = (uint8_t)(0x80 | message.size);
    } else if (message.size <= UINT16_MAX) {
        out[n++] = 0x80 | 126;
        chq_store_u16(out + n, (uint16_t)message.size);
        n += 2;
    } else {
        out[n++] = 0x80 | 127;
        chq_store_u64(out + n, message.size);
        n += 8;
    }
    memset(out + n, 0, 4);
    n += 4;
    if (message.size > 0)
        memcpy(out + n, message.data, message.size);
    return write_all(s, out, n + message.size);
}

bool test_socket_send(struct test_socket *s, struct chq_bytes message)
{
    return send_message(s, 2, message);
}

/* The first whole frame in the buffer: its size with head, 0 when there is none yet. */
static size_t whole_frame(const struct test_socket *s, uint8_t *opcode, size_t *head, size_t *size)
{
    const uint8_t *in = s->in + s->in_at;
    size_t left = s->in_size - s->in_at;
    if (left < 2)
        return 0;
    *opcode = in[0] & 15;
    *size = in[1] & 127;
    *head = 2;
    if (*size == 126) {
        *head = 4;
        *size = left < 4 ? 0 : chq_load_u16(in + 2);
    } else if (*size == 127) {
        *head = 10;
        *size = left < 10 ? 0 : (size_t)chq_load_u64(in + 2);
    }
    return left >= *head && left - *head >= *size ? *head + *size : 0;
}

int test_socket_receive(struct test_socket *s, int wait_ms, struct chq_bytes *message)
{
    static uint8_t taken[CHQ_FRAME_BYTES_MAX];
    for (bool waited = false;;) {
        uint8_t opcode = 0;
        size_t head = 0, size = 0, whole = whole_frame(s, &opcode, &head, &size);
        if (whole == 0) {
            if (waited)
                return 0;
            waited = true;
            if (!read_more(s, wait_ms))
                return -1;
            continue;
        }
        if (size > sizeof taken || opcode == 8)
            return -1;
        memcpy(taken, s->in + s->in_at + head, size);
        s->in_at += whole;
        if (opcode == 9 && !send_message(s, 10, chq_bytes(taken, size)))
            return -1;
        if (opcode == 2) {
            *message = chq_bytes(taken, size);
            return 1;
        }
    }
}
