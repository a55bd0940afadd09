/* SPDX-License-Identifier: Apache-2.0 */
#include "relay/daemon/ledger_link.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/base/assert.h"
#include "core/base/limits.h"
#include "core/base/text.h"

#define REPLY_WITHIN_MS   15000
#define CONNECT_AGAIN_MS  500
#define REQUESTS_MAX      4096
#define WAITING_BYTES_MAX (8u * 1024 * 1024)
#define READ_BYTES        (64 * 1024)

struct request {
    struct request *next;
    struct chq_ledger_done done;
    uint64_t give_up_ms;
};

struct chq_ledger_link {
    struct chq_web *web;
    struct chq_log log;
    struct sockaddr_storage address;
    socklen_t address_size;
    struct chq_web_watch watch;
    bool connected, connecting, said_down;
    bool overfull; /* a request found no room: replies would not match any more */
    uint64_t connect_at_ms;
    struct request *first, *last; /* in the order of their replies */
    uint32_t count;
    struct chq_writer out; /* not sent yet, from out_at on */
    size_t out_at;
    uint8_t *in;
    size_t in_size;
};

static bool read_address(const char *text, struct sockaddr_storage *out, socklen_t *size)
{
    struct sockaddr_un path = {.sun_family = AF_UNIX};
    struct sockaddr_in ip4 = {.sin_family = AF_INET};
    char host[64];
    uint64_t port;
    memset(out, 0, sizeof *out);
    if (text[0] == '/' || text[0] == '.') {
        if (strlen(text) >= sizeof path.sun_path)
            return false;
        memcpy(path.sun_path, text, strlen(text) + 1);
        memcpy(out, &path, sizeof path);
        *size = sizeof path;
        return true;
    }
    const char *colon = strrchr(text, ':');
    if (colon == NULL || (size_t)(colon - text) >= sizeof host ||
        chq_decimal_read(colon + 1, 65535, &port) != CHQ_OK)
        return false;
    memcpy(host, text, (size_t)(colon - text));
    host[colon - text] = 0;
    ip4.sin_port = htons((uint16_t)port);
    if (inet_pton(AF_INET, strcmp(host, "localhost") == 0 ? "127.0.0.1" : host, &ip4.sin_addr) != 1)
        return false;
    memcpy(out, &ip4, sizeof ip4);
    *size = sizeof ip4;
    return true;
}

enum chq_err chq_ledger_address_read(
    const char *text, struct sockaddr_storage *out, socklen_t *size, const struct chq_log *log)
{
    if (read_address(text, out, size))
        return CHQ_OK;
    chq_logf(log, CHQ_LOG_ERROR,
        "ledger address '%s': it takes the path of a socket (from / or ., at most 107 characters) or a "
        "numeric IPv4"
        " address, colon, port",
        text);
    return CHQ_MALFORMED;
}

enum chq_err chq_ledger_link_new(
    struct chq_ledger_link **out, struct chq_web *web, const char *address, const struct chq_log *log)
{
    *out = NULL;
    struct chq_ledger_link *link = calloc(1, sizeof *link);
    if (link == NULL)
        return CHQ_NO_MEMORY;
    link->in = malloc(CHQ_LEDGER_FRAME_BYTES_MAX + 4);
    enum chq_err err = link->in == NULL ? CHQ_NO_MEMORY : CHQ_OK;
    if (err == CHQ_OK)
        err = chq_ledger_address_read(address, &link->address, &link->address_size, log);
    if (err != CHQ_OK) {
        free(link->in);
        free(link);
        return err;
    }
    link->web = web;
    link->log = *log;
    link->watch.fd = -1;
    link->out = chq_writer_heap(WAITING_BYTES_MAX);
    *out = link;
    return CHQ_OK;
}

static void hang_up(struct chq_ledger_link *link)
{
    if (link->watch.fd >= 0) {
        chq_web_unwatch(link->web, &link->watch);
        close(link->watch.fd);
    }
    link->watch.fd = -1;
    link->connected = link->connecting = false;
    link->in_size = 0;
    link->out_at = 0;
    chq_writer_clear(&link->out);
}

void chq_ledger_link_free(struct chq_ledger_link *link)
{
    if (link == NULL)
        return;
    hang_up(link);
    while (link->first != NULL) {
        struct request *next = link->first->next;
        if (link->first->done.drop != NULL)
            link->first->done.drop(link->first->done.context);
        free(link->first);
        link->first = next;
    }
    chq_writer_free(&link->out);
    free(link->in);
    free(link);
}

static void answer_first(struct chq_ledger_link *link, enum chq_err err, struct chq_bytes reply)
{
    struct request *request = link->first;
    link->first = request->next;
    if (link->first == NULL)
        link->last = NULL;
    link->count--;
    struct chq_ledger_done done = request->done;
    free(request);
    done.call(done.context, err, reply);
}

/* Fail what has been asked so far, not what the answers ask anew. */
static void fail_all(struct chq_ledger_link *link)
{
    for (uint32_t count = link->count; count > 0; count--)
        answer_first(link, CHQ_IO, chq_bytes(NULL, 0));
}

/* The connection is gone: whatever was asked on it may or may not have happened. */
static void lost(struct chq_ledger_link *link, const char *why)
{
    hang_up(link);
    link->connect_at_ms = chq_web_now_ms() + CONNECT_AGAIN_MS;
    if (!link->said_down)
        chq_logf(&link->log, CHQ_LOG_WARNING, "ledger not reachable (%s); trying again", why);
    link->said_down = true;
    fail_all(link);
}

static void wish(struct chq_ledger_link *link)
{
    uint32_t events = EPOLLIN | (link->connecting || link->out_at < link->out.size ? EPOLLOUT : 0);
    if (chq_web_watch(link->web, &link->watch, events) != CHQ_OK)
        lost(link, "out of file descriptors");
}

static bool send_waiting(struct chq_ledger_link *link)
{
    while (link->out_at < link->out.size) {
        ssize_t n =
            send(link->watch.fd, link->out.data + link->out_at, link->out.size - link->out_at, MSG_NOSIGNAL);
        if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
            link->out.size -= link->out_at;
            memmove(link->out.data, link->out.data + link->out_at, link->out.size);
            link->out_at = 0;
            return true;
        }
        if (n < 0)
            return false;
        link->out_at += (size_t)n;
    }
    link->out_at = 0;
    chq_writer_clear(&link->out);
    return true;
}

/* Take whole frames out of what was read. */
static bool take_replies(struct chq_ledger_link *link)
{
    size_t at = 0;
    while (link->in_size - at >= 4) {
        size_t size = chq_load_u32(link->in + at);
        if (size > CHQ_LEDGER_FRAME_BYTES_MAX || link->first == NULL)
            return false;
        if (link->in_size - at - 4 < size)
            break;
        answer_first(link, CHQ_OK, chq_bytes(link->in + at + 4, size));
        at += 4 + size;
    }
    memmove(link->in, link->in + at, link->in_size - at);
    link->in_size -= at;
    return true;
}

static bool read_replies(struct chq_ledger_link *link)
{
    for (;;) {
        size_t room = CHQ_LEDGER_FRAME_BYTES_MAX + 4 - link->in_size;
        ssize_t n = recv(link->watch.fd, link->in + link->in_size, room < READ_BYTES ? room : READ_BYTES, 0);
        if (n < 0)
            return errno == EAGAIN || errno == EINTR;
        if (n == 0)
            return false;
        link->in_size += (size_t)n;
        if (!take_replies(link))
            return false;
    }
}

static void on_ready(void *context, uint32_t events)
{
    struct chq_ledger_link *link = context;
    int error = 0;
    socklen_t size = sizeof error;
    if (link->connecting) {
        if (getsockopt(link->watch.fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0 || error != 0) {
            lost(link, strerror(error));
            return;
        }
        link->connecting = false;
        link->connected = true;
        if (link->said_down)
            chq_logf(&link->log, CHQ_LOG_NOTICE, "ledger reached again");
        link->said_down = false;
    }
    if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0 && !read_replies(link)) {
        lost(link, "it closed the connection or sent what is no reply");
        return;
    }
    if (!send_waiting(link))
        lost(link, strerror(errno));
    else
        wish(link);
}

static void start_connecting(struct chq_ledger_link *link)
{
    int one = 1, fd = socket(link->address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    link->watch = (struct chq_web_watch){.fd = fd, .ready = on_ready, .context = link};
    if (fd < 0) {
        lost(link, strerror(errno));
        return;
    }
    if (link->address.ss_family == AF_INET)
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (connect(fd, (struct sockaddr *)&link->address, link->address_size) != 0 && errno != EINPROGRESS) {
        lost(link, strerror(errno));
        return;
    }
    link->connecting = true;
    wish(link);
}

void chq_ledger_link_ask(struct chq_ledger_link *link, struct chq_bytes request, struct chq_ledger_done done)
{
    struct request *entry = calloc(1, sizeof *entry);
    if (entry == NULL)
        abort(); /* a request that can never be answered would hold up a client for ever */
    *entry = (struct request){.done = done, .give_up_ms = chq_web_now_ms() + REPLY_WITHIN_MS};
    size_t before = link->out.size;
    bool room = link->count < REQUESTS_MAX && request.size <= CHQ_LEDGER_FRAME_BYTES_MAX &&
                before + request.size + 4 <= WAITING_BYTES_MAX;
    if (room) {
        chq_write_u32(&link->out, (uint32_t)request.size);
        chq_write_bytes(&link->out, request.data, request.size);
        room = chq_writer_finish(&link->out) == CHQ_OK;
    }
    if (link->last != NULL)
        link->last->next = entry;
    else
        link->first = entry;
    link->last = entry;
    link->count++;
    link->overfull = link->overfull || !room;
}

void chq_ledger_link_tick(struct chq_ledger_link *link, uint64_t now_ms)
{
    if (link->overfull) {
        link->overfull = false;
        lost(link, "too much is waiting for it");
        return;
    }
    if (link->first != NULL && now_ms >= link->first->give_up_ms) {
        lost(link, "it does not answer");
        return;
    }
    if (link->first == NULL && link->watch.fd >= 0)
        return;
    if (link->watch.fd < 0) {
        if (now_ms >= link->connect_at_ms)
            start_connecting(link);
        else if (link->said_down && link->first != NULL)
            fail_all(link);
    } else if (link->connected && link->out_at < link->out.size) {
        if (!send_waiting(link))
            lost(link, strerror(errno));
        else
            wish(link);
    }
}

uint64_t chq_ledger_link_deadline_ms(const struct chq_ledger_link *link)
{
    if (link->watch.fd < 0)
        return link->connect_at_ms;
    return link->first != NULL ? link->first->give_up_ms : UINT64_MAX;
}

bool chq_ledger_link_is_up(const struct chq_ledger_link *link)
{
    return link->connected;
}
