/* SPDX-License-Identifier: Apache-2.0 */
#include "p2p/path/socket.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

socklen_t chq_address_to_sockaddr(const struct chq_address *address, struct sockaddr_storage *out)
{
    memset(out, 0, sizeof *out);
    if (address->family == 4) {
        struct sockaddr_in *in = (struct sockaddr_in *)out;
        in->sin_family = AF_INET;
        in->sin_port = htons(address->port);
        memcpy(&in->sin_addr, address->ip, 4);
        return sizeof *in;
    }
    if (address->family == 6) {
        struct sockaddr_in6 *in = (struct sockaddr_in6 *)out;
        in->sin6_family = AF_INET6;
        in->sin6_port = htons(address->port);
        memcpy(&in->sin6_addr, address->ip, 16);
        return sizeof *in;
    }
    return 0;
}

struct chq_address chq_address_from_sockaddr(const struct sockaddr *in)
{
    struct chq_address a = {0};
    if (in->sa_family == AF_INET) {
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)(const void *)in;
        a.family = 4;
        a.port = ntohs(v4->sin_port);
        memcpy(a.ip, &v4->sin_addr, 4);
    } else if (in->sa_family == AF_INET6) {
        const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)(const void *)in;
        const bool mapped = IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr);
        a.family = mapped ? 4 : 6;
        a.port = ntohs(v6->sin6_port);
        memcpy(a.ip, v6->sin6_addr.s6_addr + (mapped ? 12 : 0), mapped ? 4 : 16);
    }
    return a;
}

enum chq_err chq_address_parse(const char *host, uint16_t port, struct chq_address *out)
{
    *out = (struct chq_address){0};
    uint8_t ip[16] = {0};
    const bool v4 = inet_pton(AF_INET, host, ip) == 1;
    if (!v4 && inet_pton(AF_INET6, host, ip) != 1)
        return CHQ_MALFORMED;
    out->family = v4 ? 4 : 6;
    out->port = port;
    memcpy(out->ip, ip, v4 ? 4 : 16);
    return CHQ_OK;
}
