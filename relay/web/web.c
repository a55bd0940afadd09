/* SPDX-License-Identifier: Apache-2.0 */
#include "relay/web/web.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libwebsockets.h>
#include <netinet/in.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "core/base/assert.h"
#include "core/base/limits.h"

#define HANDSHAKE_S          10
#define PING_AFTER_S         30
#define HANGUP_AFTER_S       45
#define CLOSE_WITHIN_S       5
#define IDLE_LOOK_EVERY_MS   1000
#define READ_BUFFER_BYTES    (16 * 1024)
#define DRAIN_PASSES_MAX     64
#define EPOLL_EVENTS_AT_ONCE 16

struct outgoing {
    struct outgoing *next;
    size_t size;
    uint8_t data[]; /* LWS_PRE bytes of room, then the frame */
};

struct connection {
    struct lws *wsi;
    uint32_t number;
    struct outgoing *first, *last;
    size_t queued_bytes;
    struct chq_writer partial; /* a message that comes in pieces */
    bool closing, kept, flow_stopped;
    uint64_t heard_ms, close_by_ms;
};

/* Whoever has a socket here, also before TLS and WebSocket are through. */
struct guest {
    struct guest *next;
    struct lws *wsi;
    uint8_t address[16];
};

struct chq_web {
    struct chq_web_config config;
    struct lws_context *lws;
    struct connection **connections; /* by number */
    struct guest *guests;
    uint32_t guests_count;
    uint32_t *free_numbers, free_count;
    uint32_t *closed, closed_count; /* to be reported at the end of the pass */
    int epoll, timer;
    struct lws *epoll_wsi;
    uint64_t idle_look_ms;
    uint64_t frames; /* received since start */
    lws_retry_bo_t idle_policy;
};

uint64_t chq_web_now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static bool address_of(int fd, uint8_t out[16])
{
    struct sockaddr_storage at;
    socklen_t size = sizeof at;
    memset(out, 0, 16);
    if (getpeername(fd, (struct sockaddr *)&at, &size) != 0)
        return false;
    if (at.ss_family == AF_INET)
        memcpy(out, &((struct sockaddr_in *)&at)->sin_addr, 4);
    else if (at.ss_family == AF_INET6) /* one household: the first 64 bits */
        memcpy(out, &((struct sockaddr_in6 *)&at)->sin6_addr, 8);
    return true;
}

/* Room for one more from there? Half of those who may connect may be in the middle of it. */
static bool too_many_from(const struct chq_web *web, const uint8_t address[16])
{
    uint32_t count = 0;
    for (const struct guest *guest = web->guests; guest != NULL; guest = guest->next)
        count += memcmp(guest->address, address, 16) == 0;
    return count >= web->config.connections_per_address_max ||
           web->guests_count >= web->config.connections_max + web->config.connections_max / 2 + 1;
}

/* false: no memory, the socket must go. */
static bool come_in(struct chq_web *web, struct lws *wsi)
{
    struct guest *guest = calloc(1, sizeof *guest);
    if (guest == NULL || !address_of(lws_get_socket_fd(wsi), guest->address)) {
        free(guest);
        return false;
    }
    guest->wsi = wsi;
    guest->next = web->guests;
    web->guests = guest;
    web->guests_count++;
    return true;
}

static void go_out(struct chq_web *web, const struct lws *wsi)
{
    for (struct guest **at = &web->guests; *at != NULL; at = &(*at)->next)
        if ((*at)->wsi == wsi) {
            struct guest *guest = *at;
            *at = guest->next;
            free(guest);
            web->guests_count--;
            return;
        }
}

static struct connection *open_connection(struct chq_web *web, struct lws *wsi)
{
    if (web->free_count == 0) {
        chq_logf(&web->config.log, CHQ_LOG_INFO, "connection refused: too many of them");
        return NULL;
    }
    struct connection *connection = calloc(1, sizeof *connection);
    if (connection == NULL)
        return NULL;
    connection->wsi = wsi;
    connection->number = web->free_numbers[--web->free_count];
    connection->heard_ms = chq_web_now_ms();
    web->connections[connection->number] = connection;
    return connection;
}

static void drop_queue(struct connection *connection)
{
    while (connection->first != NULL) {
        struct outgoing *next = connection->first->next;
        free(connection->first);
        connection->first = next;
    }
    connection->last = NULL;
    connection->queued_bytes = 0;
}

static void close_connection(struct chq_web *web, struct connection *connection)
{
    drop_queue(connection);
    chq_writer_free(&connection->partial);
    web->connections[connection->number] = NULL;
    web->closed[web->closed_count++] = connection->number;
    free(connection);
}

/* Take a piece of a message; false: the connection must go. */
static bool receive(struct chq_web *web, struct connection *connection, struct chq_bytes piece)
{
    struct lws *wsi = connection->wsi;
    bool first = lws_is_first_fragment(wsi),
         last = lws_is_final_fragment(wsi) && lws_remaining_packet_payload(wsi) == 0;
    connection->heard_ms = chq_web_now_ms();
    web->frames++;
    if (connection->closing)
        return true;
    if (!lws_frame_is_binary(wsi)) {
        lws_close_reason(wsi, LWS_CLOSE_STATUS_UNACCEPTABLE_OPCODE, NULL, 0);
        return false;
    }
    if (connection->partial.size + piece.size > CHQ_FRAME_BYTES_MAX) {
        lws_close_reason(wsi, LWS_CLOSE_STATUS_MESSAGE_TOO_LARGE, NULL, 0);
        return false;
    }
    if (first && last && connection->partial.size == 0) {
        web->config.callbacks.frame(web->config.context, connection->number, piece);
        return true;
    }
    if (connection->partial.size == 0)
        connection->partial = chq_writer_heap(CHQ_FRAME_BYTES_MAX);
    chq_write_bytes(&connection->partial, piece.data, piece.size);
    if (chq_writer_finish(&connection->partial) != CHQ_OK)
        return false;
    if (last) {
        web->config.callbacks.frame(
            web->config.context, connection->number, chq_writer_bytes(&connection->partial));
        chq_writer_free(&connection->partial);
    }
    return true;
}

static void follow_flow(struct connection *connection)
{
    bool stop = connection->queued_bytes > CHQ_WEB_SEND_QUEUE_HIGH_BYTES;
    if (stop == connection->flow_stopped)
        return;
    connection->flow_stopped = stop;
    lws_rx_flow_control(connection->wsi, !stop);
}

/* Write what the socket takes; false: the connection must go. */
static bool send_queued(struct connection *connection)
{
    while (connection->first != NULL && !lws_send_pipe_choked(connection->wsi)) {
        struct outgoing *out = connection->first;
        if (lws_write(connection->wsi, out->data + LWS_PRE, out->size, LWS_WRITE_BINARY) < (int)out->size)
            return false;
        connection->first = out->next;
        if (connection->first == NULL)
            connection->last = NULL;
        connection->queued_bytes -= out->size;
        free(out);
    }
    follow_flow(connection);
    if (connection->first != NULL)
        lws_callback_on_writable(connection->wsi);
    else if (connection->closing) {
        lws_close_reason(connection->wsi, LWS_CLOSE_STATUS_POLICY_VIOLATION, NULL, 0);
        return false;
    }
    return true;
}

/* Handlers of the wish for an HTTP page, and of a WebSocket that does not name our protocol. */
static int on_http(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t len)
{
    struct chq_web *web = lws_context_user(lws_get_context(wsi));
    switch (reason) {
    case LWS_CALLBACK_OPENSSL_LOAD_EXTRA_SERVER_VERIFY_CERTS:
        return SSL_CTX_set_min_proto_version(user, TLS1_3_VERSION) == 1 ? 0 : 1;
    case LWS_CALLBACK_FILTER_NETWORK_CONNECTION: {
        uint8_t address[16];
        bool known = address_of((int)(intptr_t)in, address);
        return known && (web->free_count == 0 || too_many_from(web, address));
    }
    case LWS_CALLBACK_SERVER_NEW_CLIENT_INSTANTIATED: return come_in(web, wsi) ? 0 : -1;
    case LWS_CALLBACK_WSI_DESTROY: go_out(web, wsi); return 0;
    case LWS_CALLBACK_HTTP:
        if (lws_return_http_status(
                wsi, HTTP_STATUS_NOT_FOUND, "A Chasqui relay: WebSocket, subprotocol chasqui.v1"))
            return -1;
        return lws_http_transaction_completed(wsi) != 0 ? -1 : 0;
    case LWS_CALLBACK_FILTER_PROTOCOL_CONNECTION: return 1;
    default: return lws_callback_http_dummy(wsi, reason, user, in, len);
    }
}

static int on_chasqui(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t len)
{
    struct chq_web *web = lws_context_user(lws_get_context(wsi));
    struct connection **connection = user;
    switch (reason) {
    case LWS_CALLBACK_ESTABLISHED:
        *connection = open_connection(web, wsi);
        if (*connection == NULL)
            return -1;
        web->config.callbacks.opened(web->config.context, (*connection)->number);
        return 0;
    case LWS_CALLBACK_RECEIVE:
        return *connection != NULL && receive(web, *connection, chq_bytes(in, len)) ? 0 : -1;
    case LWS_CALLBACK_SERVER_WRITEABLE: return *connection != NULL && send_queued(*connection) ? 0 : -1;
    case LWS_CALLBACK_CLOSED:
        if (*connection != NULL)
            close_connection(web, *connection);
        *connection = NULL;
        return 0;
    case LWS_CALLBACK_WSI_DESTROY: go_out(web, wsi); return 0;
    default: return 0;
    }
}

/* Our own descriptors hang on one epoll descriptor, and that one on libwebsockets' loop: it never has to know them. */
static int on_epoll(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t len)
{
    struct chq_web *web = lws_context_user(lws_get_context(wsi));
    struct epoll_event events[EPOLL_EVENTS_AT_ONCE];
    (void)user, (void)in, (void)len;
    if (reason != LWS_CALLBACK_RAW_RX_FILE)
        return 0;
    int n = epoll_wait(web->epoll, events, EPOLL_EVENTS_AT_ONCE, 0);
    for (int i = 0; i < n; i++) {
        struct chq_web_watch *watch = events[i].data.ptr;
        uint64_t times;
        if (watch == NULL) {
            ssize_t got = read(web->timer, &times, sizeof times);
            (void)got; /* only to be quiet again */
        } else if (watch->active) {
            watch->ready(watch->context, events[i].events);
        }
    }
    return 0;
}

static const struct lws_protocols protocols[] = {
    {"http", on_http, 0, 0, 0, NULL, 0},
    {"chasqui.v1", on_chasqui, sizeof(struct connection *), 0, 0, NULL, 0},
    {"epoll", on_epoll, 0, 0, 0, NULL, 0},
    {NULL, NULL, 0, 0, 0, NULL, 0},
};

static struct chq_log library_log; /* libwebsockets has one log per process, without context */

static void log_library(int level, const char *line)
{
    char text[256];
    size_t size = strcspn(line, "\r\n");
    size = size < sizeof text ? size : sizeof text - 1;
    memcpy(text, line, size);
    text[size] = 0;
    chq_logf(&library_log, level == LLL_ERR ? CHQ_LOG_WARNING : CHQ_LOG_DEBUG, "libwebsockets: %s", text);
}

/* libwebsockets does not say why it cannot listen, so try first. */
static enum chq_err try_port(const struct chq_web_config *config)
{
    union {
        struct sockaddr_in ip4;
        struct sockaddr_in6 ip6;
    } at = {.ip4 = {.sin_family = AF_INET, .sin_port = htons(config->port)}};
    socklen_t size = sizeof at.ip4;
    const char *bind_to = config->bind != NULL && config->bind[0] != 0 ? config->bind : "0.0.0.0";
    if (inet_pton(AF_INET, bind_to, &at.ip4.sin_addr) != 1) {
        memset(&at, 0, sizeof at);
        at.ip6.sin6_family = AF_INET6;
        at.ip6.sin6_port = htons(config->port);
        size = sizeof at.ip6;
        if (inet_pton(AF_INET6, bind_to, &at.ip6.sin6_addr) != 1) {
            chq_logf(&config->log, CHQ_LOG_ERROR, "bind address '%s' is not a numeric IPv4 or IPv6 address",
                bind_to);
            return CHQ_MALFORMED;
        }
    }
    int one = 1, fd = socket(at.ip4.sin_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool fine = fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) == 0 &&
                bind(fd, (struct sockaddr *)&at, size) == 0 && listen(fd, 1) == 0;
    int why = errno;
    if (fd >= 0)
        close(fd);
    if (fine)
        return CHQ_OK;
    chq_logf(&config->log, CHQ_LOG_ERROR, "cannot listen on %s, TCP port %u: %s%s", bind_to, config->port,
        strerror(why), why == EADDRINUSE ? "; another program has it, choose another with [relay] port" : "");
    return CHQ_IO;
}

static enum chq_err start_loop(struct chq_web *web)
{
    struct lws_context_creation_info info = {0};
    bool anywhere =
        web->config.bind == NULL || web->config.bind[0] == 0 || strcmp(web->config.bind, "0.0.0.0") == 0;
    bool is_ip6 = !anywhere && strchr(web->config.bind, ':') != NULL;
    web->idle_policy =
        (lws_retry_bo_t){.secs_since_valid_ping = PING_AFTER_S, .secs_since_valid_hangup = HANGUP_AFTER_S};
    info.port = web->config.port;
    info.iface = anywhere ? NULL : web->config.bind;
    info.protocols = protocols;
    info.user = web;
    info.gid = -1;
    info.uid = -1;
    info.timeout_secs = HANDSHAKE_S;
    info.keepalive_timeout = HANDSHAKE_S;
    info.pt_serv_buf_size = READ_BUFFER_BYTES;
    info.ssl_cert_filepath = web->config.certificate_path;
    info.ssl_private_key_filepath = web->config.key_path;
    info.retry_and_idle_policy = &web->idle_policy;
    info.options = LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT | (is_ip6 ? 0 : LWS_SERVER_OPTION_DISABLE_IPV6);
    info.server_string = "chasqui-relay";
    library_log = web->config.log;
    lws_set_log_level(LLL_ERR | LLL_WARN, log_library);
    web->lws = lws_create_context(&info);
    if (web->lws == NULL) {
        chq_logf(&web->config.log, CHQ_LOG_ERROR, "cannot start TLS on port %u; are %s and %s readable?",
            web->config.port, web->config.certificate_path, web->config.key_path);
        return CHQ_IO;
    }
    struct lws_vhost *vhost = lws_get_vhost_by_name(web->lws, "default");
    lws_sock_file_fd_type fd = {.filefd = web->epoll};
    web->epoll_wsi =
        vhost == NULL ? NULL : lws_adopt_descriptor_vhost(vhost, LWS_ADOPT_RAW_FILE_DESC, fd, "epoll", NULL);
    if (web->epoll_wsi == NULL)
        return CHQ_IO;
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
    return epoll_ctl(web->epoll, EPOLL_CTL_ADD, web->timer, &event) == 0 ? CHQ_OK : CHQ_IO;
}

enum chq_err chq_web_new(struct chq_web **out, const struct chq_web_config *config)
{
    *out = NULL;
    struct chq_web *web = calloc(1, sizeof *web);
    if (web == NULL)
        return CHQ_NO_MEMORY;
    enum chq_err err = CHQ_NO_MEMORY;
    web->config = *config;
    web->epoll = web->timer = -1;
    web->connections = calloc(config->connections_max, sizeof(struct connection *));
    web->free_numbers = calloc(config->connections_max, sizeof *web->free_numbers);
    web->closed = calloc(config->connections_max, sizeof *web->closed);
    if (web->connections == NULL || web->free_numbers == NULL || web->closed == NULL)
        goto out;
    while (web->free_count < config->connections_max) {
        web->free_numbers[web->free_count] = config->connections_max - 1 - web->free_count;
        web->free_count++;
    }
    err = try_port(config);
    if (err != CHQ_OK)
        goto out;
    err = CHQ_IO;
    web->epoll = epoll_create1(EPOLL_CLOEXEC);
    web->timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    if (web->epoll >= 0 && web->timer >= 0)
        err = start_loop(web);
out:
    if (err != CHQ_OK)
        chq_web_free(web);
    else
        *out = web;
    return err;
}

void chq_web_free(struct chq_web *web)
{
    if (web == NULL)
        return;
    if (web->lws != NULL)
        lws_context_destroy(web->lws); /* closes what it has adopted, the epoll descriptor too */
    else if (web->epoll >= 0)
        close(web->epoll);
    if (web->timer >= 0)
        close(web->timer);
    while (web->guests != NULL)
        go_out(web, web->guests->wsi);
    free(web->connections);
    free(web->free_numbers);
    free(web->closed);
    free(web);
}

/* Ask libwebsockets to let go of connections that say nothing, or that are being closed and do not read. */
static void close_idle(struct chq_web *web, uint64_t now_ms)
{
    if (now_ms < web->idle_look_ms)
        return;
    web->idle_look_ms = now_ms + IDLE_LOOK_EVERY_MS;
    for (uint32_t i = 0; i < web->config.connections_max; i++) {
        struct connection *connection = web->connections[i];
        if (connection == NULL)
            continue;
        bool idle = !connection->kept && now_ms > connection->heard_ms + 1000 * (uint64_t)web->config.idle_s;
        if (idle || (connection->closing && now_ms > connection->close_by_ms))
            lws_set_timeout(connection->wsi, PENDING_TIMEOUT_USER_REASON_BASE, LWS_TO_KILL_ASYNC);
    }
}

void chq_web_run(struct chq_web *web, uint64_t until_ms)
{
    uint64_t idle_ms = web->idle_look_ms;
    bool any = web->free_count < web->config.connections_max;
    uint64_t at = any && idle_ms < until_ms ? idle_ms : until_ms;
    struct itimerspec wake = {
        .it_value = {.tv_sec = (time_t)(at / 1000), .tv_nsec = (long)(at % 1000) * 1000000}};
    if (at == 0)
        wake.it_value.tv_nsec = 1;
    timerfd_settime(web->timer, TFD_TIMER_ABSTIME, &wake, NULL);
    lws_service(web->lws, 0);
    /* libwebsockets reads one TLS record of a connection at a time: take what has come before the caller commits. */
    uint64_t frames = 0;
    for (unsigned i = 0; i < DRAIN_PASSES_MAX && frames != web->frames; i++) {
        frames = web->frames;
        lws_service(web->lws, -1);
    }
    close_idle(web, chq_web_now_ms());
    while (web->closed_count > 0) {
        uint32_t number = web->closed[--web->closed_count];
        web->config.callbacks.closed(web->config.context, number);
        web->free_numbers[web->free_count++] = number;
    }
}

void chq_web_send(struct chq_web *web, uint32_t number, struct chq_bytes frame)
{
    struct connection *connection = web->connections[number];
    if (connection == NULL || connection->closing)
        return;
    struct outgoing *out = malloc(sizeof *out + LWS_PRE + frame.size);
    if (out == NULL || connection->queued_bytes + frame.size > CHQ_WEB_SEND_QUEUE_MAX_BYTES) {
        free(out);
        drop_queue(connection); /* a gap would be worse than an end: the client comes again */
        chq_web_close(web, number);
        return;
    }
    out->next = NULL;
    out->size = frame.size;
    memcpy(out->data + LWS_PRE, frame.data, frame.size);
    if (connection->last != NULL)
        connection->last->next = out;
    else
        connection->first = out;
    connection->last = out;
    connection->queued_bytes += frame.size;
    follow_flow(connection);
    lws_callback_on_writable(connection->wsi);
}

void chq_web_close(struct chq_web *web, uint32_t number)
{
    struct connection *connection = web->connections[number];
    if (connection == NULL || connection->closing)
        return;
    connection->closing = true;
    connection->close_by_ms = chq_web_now_ms() + 1000 * CLOSE_WITHIN_S;
    lws_callback_on_writable(connection->wsi);
}

void chq_web_keep(struct chq_web *web, uint32_t number)
{
    if (web->connections[number] != NULL)
        web->connections[number]->kept = true;
}

size_t chq_web_room(const struct chq_web *web, uint32_t number)
{
    const struct connection *connection = web->connections[number];
    if (connection == NULL || connection->closing || connection->queued_bytes > CHQ_WEB_SEND_QUEUE_HIGH_BYTES)
        return 0;
    return CHQ_WEB_SEND_QUEUE_HIGH_BYTES - connection->queued_bytes;
}

uint32_t chq_web_connections(const struct chq_web *web)
{
    return web->config.connections_max - web->free_count;
}

enum chq_err chq_web_watch(struct chq_web *web, struct chq_web_watch *watch, uint32_t epoll_events)
{
    struct epoll_event event = {.events = epoll_events, .data.ptr = watch};
    if (epoll_ctl(web->epoll, watch->active ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, watch->fd, &event) != 0)
        return CHQ_IO;
    watch->active = true;
    return CHQ_OK;
}

void chq_web_unwatch(struct chq_web *web, struct chq_web_watch *watch)
{
    if (watch->active)
        epoll_ctl(web->epoll, EPOLL_CTL_DEL, watch->fd, NULL);
    watch->active = false;
}
