/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CHQ_TESTS_TURN_CLIENT_H
#define CHQ_TESTS_TURN_CLIENT_H

/* A small TURN client over real sockets on loopback, for network tests and load. What must not fail, ends the program. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "core/base/assert.h"
#include "core/wire/stun.h"
#include "relay/turn/sockaddr.h"

#define TURN_CLIENT_CHANNEL 0x4000

static inline void die(const char *what)
{
    fprintf(stderr, "%s: %s\n", what, strerror(errno));
    exit(1);
}

struct turn_user {
    const struct chq_stun_crypto *crypto;
    const char *name, *password;
    char realm[128], nonce[128]; /* as the server last gave them */
};

static inline int udp_socket(const struct chq_address *peer, struct chq_address *own)
{
    const int buffer = 4 * 1024 * 1024;
    union chq_sockaddr name;
    struct chq_address any = chq_address_ip4(127, 0, 0, 1, 0);
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    socklen_t size = chq_address_to_sockaddr(&any, &name);
    if (fd < 0 || bind(fd, &name.any, size) != 0 || getsockname(fd, &name.any, &size) != 0)
        die("socket");
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &buffer, sizeof buffer);
    *own = chq_address_from_sockaddr(&name);
    size = peer != NULL ? chq_address_to_sockaddr(peer, &name) : 0;
    if (peer != NULL && connect(fd, &name.any, size) != 0)
        die("connect");
    return fd;
}

/* Send the request in `w`, wait for its answer, return the code (0: success); the message stays in `in`. */
static inline int ask(int fd, const struct chq_writer *w, uint8_t in[2048], struct chq_stun_message *reply)
{
    for (int tries = 0; tries < 5; tries++) {
        struct pollfd readable = {.fd = fd, .events = POLLIN};
        if (send(fd, w->data, w->size, 0) < 0)
            die("send");
        if (poll(&readable, 1, 500) <= 0)
            continue;
        ssize_t n = recv(fd, in, 2048, 0);
        if (n > 0 && chq_stun_read(chq_bytes(in, (size_t)n), reply) == CHQ_OK)
            return reply->class == CHQ_STUN_SUCCESS ? 0 : reply->error_code;
    }
    die("no answer from the server");
    return -1;
}

static inline int ask_signed(
    int fd, struct turn_user *user, struct chq_writer *w, struct chq_stun_message *reply)
{
    uint8_t in[2048];
    uint8_t key[16];
    struct chq_bytes realm = chq_bytes_text(user->realm);
    if (realm.size > 0) {
        CHQ_ASSERT(chq_stun_long_term_key(user->crypto, chq_bytes_text(user->name), realm,
                       chq_bytes_text(user->password), key) == CHQ_OK);
        chq_stun_write(w, CHQ_STUN_USERNAME, chq_bytes_text(user->name));
        chq_stun_write(w, CHQ_STUN_REALM, realm);
        chq_stun_write(w, CHQ_STUN_NONCE, chq_bytes_text(user->nonce));
        chq_stun_write_integrity(w, user->crypto, CHQ_STUN_SHA1, chq_bytes(key, sizeof key));
    }
    CHQ_ASSERT(chq_stun_finish(w) == CHQ_OK);
    int code = ask(fd, w, in, reply);
    if (reply->has & CHQ_STUN_HAS_NONCE) {
        (void)snprintf(
            user->realm, sizeof user->realm, "%.*s", (int)reply->realm.size, (const char *)reply->realm.data);
        (void)snprintf(
            user->nonce, sizeof user->nonce, "%.*s", (int)reply->nonce.size, (const char *)reply->nonce.data);
    }
    return code;
}

static inline void begin(struct chq_writer *w, uint8_t *storage, uint16_t method)
{
    uint8_t id[CHQ_STUN_TRANSACTION_ID_BYTES];
    (void)!getrandom(id, sizeof id, 0);
    *w = chq_writer_fixed(storage, 1024);
    chq_stun_begin(w, method, CHQ_STUN_REQUEST, id);
}

/* Allocate on `fd`. Return 0 or the error code; the relayed address on success. */
static inline int turn_allocate(int fd, struct turn_user *user, struct chq_address *relayed)
{
    uint8_t storage[1024];
    struct chq_writer w;
    struct chq_stun_message reply;
    int code = 401;
    for (int tries = 0; tries < 3 && (code == 401 || code == 438); tries++) {
        begin(&w, storage, CHQ_STUN_ALLOCATE);
        chq_stun_write_u32(&w, CHQ_STUN_REQUESTED_TRANSPORT, 17u << 24);
        code = ask_signed(fd, user, &w, &reply);
    }
    *relayed = reply.relayed;
    return code;
}

/* Bind TURN_CLIENT_CHANNEL to `peer`. Return 0 or the error code. */
static inline int turn_bind(int fd, struct turn_user *user, const struct chq_address *peer)
{
    uint8_t storage[1024];
    struct chq_writer w;
    struct chq_stun_message reply;
    begin(&w, storage, CHQ_STUN_CHANNEL_BIND);
    chq_stun_write_channel(&w, TURN_CLIENT_CHANNEL);
    chq_stun_write_address(&w, CHQ_STUN_XOR_PEER_ADDRESS, peer);
    return ask_signed(fd, user, &w, &reply);
}

/* Give the allocation back. Return 0 or the error code. */
static inline int turn_close(int fd, struct turn_user *user)
{
    uint8_t storage[1024];
    struct chq_writer w;
    struct chq_stun_message reply;
    int code = 401;
    for (int tries = 0; tries < 2 && (code == 401 || code == 438); tries++) {
        begin(&w, storage, CHQ_STUN_REFRESH);
        chq_stun_write_u32(&w, CHQ_STUN_LIFETIME, 0);
        code = ask_signed(fd, user, &w, &reply);
    }
    return code;
}

#endif
