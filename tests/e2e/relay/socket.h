/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CHQ_TESTS_RELAY_SOCKET_H
#define CHQ_TESTS_RELAY_SOCKET_H

#include <stdbool.h>

#include "core/wire/frame.h"

/* A small WebSocket client over TLS (RFC 6455), for tests: it trusts whoever answers. */
struct test_socket {
    int fd;
    void *tls; /* SSL */
    uint8_t in[256 * 1024];
    size_t in_at, in_size; /* in[in_at .. in_size) is not taken yet */
};

/* Connect and upgrade; false when there is no relay. */
bool test_socket_open(struct test_socket *s, const char *host, unsigned port);
void test_socket_close(struct test_socket *s);
/* Send one binary message; false: the connection is gone. */
bool test_socket_send(struct test_socket *s, struct chq_bytes message);
/*
 * Take the next whole message: 1 and borrowed until the next call, 0 when there is none within `wait_ms`, -1 when
 * the connection is gone.
 */
int test_socket_receive(struct test_socket *s, int wait_ms, struct chq_bytes *message);

#endif
