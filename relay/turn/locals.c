/* SPDX-License-Identifier: Apache-2.0 */
#include "relay/turn/locals.h"

#include <netinet/in.h>
#include <string.h>

_Static_assert(
    CMSG_SPACE(sizeof(struct in6_pktinfo)) <= sizeof(union chq_turn_control), "the larger of the two fits");

bool chq_turn_locals_enable(int fd, uint8_t family)
{
    const int on = 1;
    if (family == 4)
        return setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &on, sizeof on) == 0;
    return setsockopt(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof on) == 0;
}

static struct chq_address local_address(const struct msghdr *header)
{
    struct chq_address out = {0};
    struct msghdr h = *header; /* the macros want it writable */
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&h); c != NULL; c = CMSG_NXTHDR(&h, c)) {
        if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
            struct in_pktinfo info;
            memcpy(&info, CMSG_DATA(c), sizeof info);
            out.family = 4;
            memcpy(out.ip, &info.ipi_spec_dst, 4);
        } else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
            struct in6_pktinfo info;
            memcpy(&info, CMSG_DATA(c), sizeof info);
            out.family = 6;
            memcpy(out.ip, &info.ipi6_addr, 16);
        }
    }
    return out;
}

uint8_t chq_turn_locals_number(struct chq_turn_locals *locals, const struct msghdr *header)
{
    struct chq_address local = local_address(header);
    if (local.family == 0)
        return 0;
    for (uint8_t i = 0; i < locals->n; i++)
        if (chq_address_same_host(&locals->v[i], &local))
            return (uint8_t)(i + 1);
    if (locals->n == CHQ_TURN_LOCALS_MAX)
        return 0;
    locals->v[locals->n++] = local;
    return locals->n;
}

void chq_turn_locals_use(const struct chq_turn_locals *locals, uint8_t number,
    union chq_turn_control *control, struct msghdr *header)
{
    if (number == 0)
        return;
    const struct chq_address *local = &locals->v[number - 1];
    size_t size = local->family == 4 ? sizeof(struct in_pktinfo) : sizeof(struct in6_pktinfo);
    memset(control, 0, sizeof *control);
    header->msg_control = control->bytes;
    header->msg_controllen = CMSG_SPACE(size);
    struct cmsghdr *c = CMSG_FIRSTHDR(header);
    c->cmsg_len = CMSG_LEN(size);
    c->cmsg_level = local->family == 4 ? IPPROTO_IP : IPPROTO_IPV6;
    c->cmsg_type = local->family == 4 ? IP_PKTINFO : IPV6_PKTINFO;
    if (local->family == 4) {
        struct in_pktinfo info = {0};
        memcpy(&info.ipi_spec_dst, local->ip, 4);
        memcpy(CMSG_DATA(c), &info, sizeof info);
    } else {
        struct in6_pktinfo info = {0};
        memcpy(&info.ipi6_addr, local->ip, 16);
        memcpy(CMSG_DATA(c), &info, sizeof info);
    }
}
