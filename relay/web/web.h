/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CHQ_RELAY_WEB_WEB_H
#define CHQ_RELAY_WEB_WEB_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/bytes.h"
#include "core/base/log.h"

/*
 * The relay's event loop and its WebSocket server (libwebsockets over TLS 1.3): connections in, whole frames out to
 * the callbacks, bounded send queues, limits against idle, slow and too many connections. One thread.
 */
struct chq_web;

struct chq_web_callbacks {
    void (*opened)(void *context, uint32_t connection);
    /* One WebSocket message; borrowed for the call. */
    void (*frame)(void *context, uint32_t connection, struct chq_bytes frame);
    /* The number may be used again after this returns. Not called from inside another callback. */
    void (*closed)(void *context, uint32_t connection);
};

struct chq_web_config {
    const char *bind; /* numeric address; NULL or "": every IPv4 address */
    uint16_t port;
    const char *certificate_path, *key_path; /* PEM */
    uint32_t connections_max; /* numbers are below this */
    uint32_t connections_per_address_max;
    uint32_t
        idle_s; /* a connection that has sent no frame for this long is closed unless chq_web_keep was called */
    struct chq_web_callbacks callbacks;
    void *context;
    struct chq_log log;
};

/* Above this many queued bytes a connection is not read and nothing should be delivered to it. */
#define CHQ_WEB_SEND_QUEUE_HIGH_BYTES (256 * 1024)
/* Above this many it is closed: it asks and does not read. */
#define CHQ_WEB_SEND_QUEUE_MAX_BYTES (2 * 1024 * 1024)

/* Listen. CHQ_IO when it cannot (the log says why: port in use, no permission, bad certificate); CHQ_NO_MEMORY. */
CHQ_MUST_CHECK enum chq_err chq_web_new(struct chq_web **out, const struct chq_web_config *config);
/* Close all connections (no closed callback any more) and free. */
void chq_web_free(struct chq_web *web);

/* Wait for something to happen or for the monotonic time `until_ms`, and handle it: one pass of the loop. */
void chq_web_run(struct chq_web *web, uint64_t until_ms);

/* Queue a frame (copied). Nothing happens when the connection is closing. */
void chq_web_send(struct chq_web *web, uint32_t connection, struct chq_bytes frame);
/* Close once what is queued has been sent, at most 5 s later. Frames that still come are dropped. */
void chq_web_close(struct chq_web *web, uint32_t connection);
/* Do not close the connection for being idle (it is pinged all the same). */
void chq_web_keep(struct chq_web *web, uint32_t connection);
/* Return how many bytes may be queued before CHQ_WEB_SEND_QUEUE_HIGH_BYTES. */
size_t chq_web_room(const struct chq_web *web, uint32_t connection);
uint32_t chq_web_connections(const struct chq_web *web);

/* Other descriptors of the same loop: `ready` is called with EPOLL* bits. Watching again changes the wish. */
struct chq_web_watch {
    int fd;
    void (*ready)(void *context, uint32_t epoll_events);
    void *context;
    bool active;
};
/* `watch` is the caller's and stays in its place until chq_web_unwatch. CHQ_IO. */
CHQ_MUST_CHECK enum chq_err chq_web_watch(
    struct chq_web *web, struct chq_web_watch *watch, uint32_t epoll_events);
void chq_web_unwatch(struct chq_web *web, struct chq_web_watch *watch);

/* Return CLOCK_MONOTONIC in milliseconds. */
uint64_t chq_web_now_ms(void);

#endif
