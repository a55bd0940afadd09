/* SPDX-License-Identifier: Apache-2.0 */
#include "relay/turn/outbox.h"

#include <errno.h>
#include <netinet/udp.h>
#include <string.h>

#define SEGMENT_BYTES_MAX                                                                                    \
    1400 /* longer ones may not fit the path's MTU, and then the system refuses the run */
#define RUN_BYTES_MAX 60000
#define SEGMENT_SPACE CMSG_SPACE(sizeof(uint16_t))

_Static_assert(CMSG_SPACE(sizeof(struct in6_pktinfo)) + SEGMENT_SPACE <= sizeof(union chq_turn_control),
    "a local address and a segment length fit");

/* Return how many datagrams from `at` on may leave as one: all of one length but the last, which may be shorter. */
static unsigned run_length(const struct chq_turn_outbox *box, unsigned at)
{
    size_t size = box->parts[at].iov_len, total = size;
    unsigned end = at + 1;
    if (box->no_segments || size == 0 || size > SEGMENT_BYTES_MAX)
        return 1;
    for (; end < box->n; end++) {
        size_t next = box->parts[end].iov_len;
        total += next;
        if (box->fds[end] != box->fds[at] || box->locals[end] != box->locals[at] || next == 0 ||
            next > size || total > RUN_BYTES_MAX ||
            memcmp(&box->to[end], &box->to[at], sizeof box->to[at]) != 0)
            break;
        if (next < size)
            return end + 1 - at;
    }
    return end - at;
}

static void add_segment_length(union chq_turn_control *control, struct msghdr *header, uint16_t size)
{
    size_t used = header->msg_control != NULL ? header->msg_controllen : 0;
    struct cmsghdr segment = {
        .cmsg_len = CMSG_LEN(sizeof size), .cmsg_level = IPPROTO_UDP, .cmsg_type = UDP_SEGMENT};
    memset(control->bytes + used, 0, SEGMENT_SPACE);
    memcpy(control->bytes + used, &segment, sizeof segment);
    memcpy(control->bytes + used + CMSG_LEN(0), &size, sizeof size);
    header->msg_control = control->bytes;
    header->msg_controllen = used + SEGMENT_SPACE;
}

/* Turn the queued datagrams into messages, a run into one. Return how many messages. */
static unsigned make_messages(struct chq_turn_outbox *box, const struct chq_turn_locals *locals)
{
    unsigned n = 0;
    for (unsigned at = 0, run; at < box->n; at += run, n++) {
        run = run_length(box, at);
        struct msghdr *header = &box->messages[n].msg_hdr;
        box->messages[n] = (struct mmsghdr){.msg_hdr = {.msg_name = &box->to[at],
                                                .msg_namelen = box->to_size[at],
                                                .msg_iov = &box->parts[at],
                                                .msg_iovlen = run}};
        box->message_fds[n] = box->fds[at];
        chq_turn_locals_use(locals, box->locals[at], &box->control[at], header);
        if (run > 1)
            add_segment_length(&box->control[at], header, (uint16_t)box->parts[at].iov_len);
    }
    return n;
}

/* The system refused a message. A single datagram is lost; a run is tried again one by one. */
static void handle_refused(struct chq_turn_outbox *box, int fd, const struct msghdr *header, int error)
{
    if (header->msg_iovlen == 1 || error == EAGAIN || error == ENOBUFS) {
        box->unsent_packets += header->msg_iovlen;
        return;
    }
    if (error == EIO || error == EOPNOTSUPP || error == ENOPROTOOPT)
        box->no_segments = true; /* a device without checksum offload, or an old kernel */
    for (size_t i = 0; i < header->msg_iovlen; i++) {
        struct msghdr one = *header;
        one.msg_iov = &header->msg_iov[i];
        one.msg_iovlen = 1;
        one.msg_controllen -= SEGMENT_SPACE;
        if (one.msg_controllen == 0)
            one.msg_control = NULL;
        if (sendmsg(fd, &one, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
            box->unsent_packets++;
    }
}

void chq_turn_outbox_flush(struct chq_turn_outbox *box, const struct chq_turn_locals *locals)
{
    unsigned n = make_messages(box, locals);
    for (unsigned at = 0; at < n;) {
        unsigned end = at + 1;
        while (end < n && box->message_fds[end] == box->message_fds[at])
            end++;
        int sent = sendmmsg(box->message_fds[at], box->messages + at, end - at, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent > 0) {
            at += (unsigned)sent;
        } else if (errno != EINTR) {
            handle_refused(box, box->message_fds[at], &box->messages[at].msg_hdr, errno);
            at++;
        }
    }
    box->n = 0;
}

void chq_turn_outbox_add(struct chq_turn_outbox *box, int fd, const struct chq_address *to,
    const struct chq_turn_locals *locals, uint8_t local, uint8_t *data, size_t size)
{
    if (box->n == CHQ_TURN_BATCH)
        chq_turn_outbox_flush(box, locals);
    unsigned i = box->n++;
    box->fds[i] = fd;
    box->locals[i] = local;
    box->parts[i] = (struct iovec){.iov_base = data, .iov_len = size};
    box->to_size[i] = chq_address_to_sockaddr(to, &box->to[i]);
}
