/* SPDX-License-Identifier: Apache-2.0 */
#include "ledger/daemon/call.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#define REASON_BYTES 512

enum chq_err chq_call_open(struct chq_call *call, const char *socket_path, char *reason)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const struct timeval timeout = {.tv_sec = CHQ_CALL_TIMEOUT_S};
    *call = (struct chq_call){.fd = -1};
    if (strlen(socket_path) >= sizeof address.sun_path) {
        snprintf(reason, REASON_BYTES, "the socket's path is too long: %.200s", socket_path);
        return CHQ_LIMIT;
    }
    memcpy(address.sun_path, socket_path, strlen(socket_path) + 1);
    call->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (call->fd >= 0 && connect(call->fd, (const struct sockaddr *)&address, sizeof address) == 0) {
        setsockopt(call->fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
        setsockopt(call->fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout);
        return CHQ_OK;
    }
    int error = errno;
    snprintf(reason, REASON_BYTES,
        "no ledger answers at %.200s (%s): start it with 'chasqui-ledger run --dir DIR'", socket_path,
        strerror(error));
    chq_call_close(call);
    return error == ENOENT || error == ECONNREFUSED ? CHQ_NOT_FOUND : CHQ_IO;
}

static bool receive(int fd, uint8_t *out, size_t size)
{
    while (size > 0) {
        ssize_t n = recv(fd, out, size, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n == 0)
            errno = ECONNRESET;
        if (n <= 0)
            return false;
        out += n;
        size -= (size_t)n;
    }
    return true;
}

static bool transmit(int fd, struct chq_bytes in)
{
    while (in.size > 0) {
        ssize_t n = send(fd, in.data, in.size, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        in = chq_bytes(in.data + n, in.size - (size_t)n);
    }
    return true;
}

enum chq_err chq_call_ask(struct chq_call *call, const struct chq_ledger_request *request, char *reason)
{
    uint8_t head[CHQ_LEDGER_FRAME_HEAD_BYTES];
    struct chq_writer w = chq_writer_heap(CHQ_LEDGER_FRAME_BYTES_MAX);
    chq_ledger_request_put(&w, request);
    enum chq_err err = chq_writer_finish(&w);
    free(call->reply);
    call->reply = NULL;
    call->reply_size = 0;
    if (err != CHQ_OK)
        goto out;
    err = CHQ_IO;
    chq_store_u32(head, (uint32_t)w.size);
    errno = 0;
    if (!transmit(call->fd, chq_bytes(head, sizeof head)) || !transmit(call->fd, chq_writer_bytes(&w)) ||
        !receive(call->fd, head, sizeof head))
        goto out;
    call->reply_size = chq_load_u32(head);
    if (call->reply_size > CHQ_LEDGER_FRAME_BYTES_MAX)
        goto out;
    call->reply = malloc(call->reply_size + 1);
    if (call->reply != NULL && receive(call->fd, call->reply, call->reply_size))
        err = CHQ_OK;
out:
    chq_writer_free(&w);
    if (err != CHQ_OK)
        snprintf(reason, REASON_BYTES, "the ledger does not answer: %s",
            errno == EAGAIN ? "it took too long" : strerror(errno));
    return err;
}

void chq_call_close(struct chq_call *call)
{
    if (call->fd >= 0)
        close(call->fd);
    free(call->reply);
    *call = (struct chq_call){.fd = -1};
}
