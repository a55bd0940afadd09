/* SPDX-License-Identifier: Apache-2.0 */
#include "relay/turn/sockaddr.h"

#include <arpa/inet.h>
#include <string.h>

#include "core/base/text.h"

struct chq_address chq_address_from_sockaddr(const union chq_sockaddr *in)
{
    struct chq_address out = {0};
    if (in->any.sa_family == AF_INET) {
        out.family = 4;
        out.port = ntohs(in->ip4.sin_port);
        memcpy(out.ip, &in->ip4.sin_addr, 4);
    } else if (in->any.sa_family == AF_INET6) {
        out.family = 6;
        out.port = ntohs(in->ip6.sin6_port);
        memcpy(out.ip, &in->ip6.sin6_addr, 16);
    }
    return out;
}

socklen_t chq_address_to_sockaddr(const struct chq_address *address, union chq_sockaddr *out)
{
    memset(out, 0, sizeof *out);
    if (address->family == 4) {
        out->ip4.sin_family = AF_INET;
        out->ip4.sin_port = htons(address->port);
        memcpy(&out->ip4.sin_addr, address->ip, 4);
        return sizeof out->ip4;
    }
    out->ip6.sin6_family = AF_INET6;
    out->ip6.sin6_port = htons(address->port);
    memcpy(&out->ip6.sin6_addr, address->ip, 16);
    return sizeof out->ip6;
}

enum chq_err chq_address_read_host(const char *text, uint16_t port, struct chq_address *out)
{
    memset(out, 0, sizeof *out);
    if (inet_pton(AF_INET, text, out->ip) == 1)
        out->family = 4;
    else if (inet_pton(AF_INET6, text, out->ip) == 1)
        out->family = 6;
    else
        return CHQ_MALFORMED;
    out->port = port;
    return CHQ_OK;
}

enum chq_err chq_prefix_read(const char *text, struct chq_prefix *out)
{
    char host[64];
    memset(out, 0, sizeof *out);
    size_t host_bytes = strcspn(text, "/");
    if (host_bytes >= sizeof host)
        return CHQ_MALFORMED;
    memcpy(host, text, host_bytes);
    host[host_bytes] = '\0';
    struct chq_prefix prefix = {0};
    CHQ_TRY(chq_address_read_host(host, 0, &prefix.base));
    unsigned max = prefix.base.family == 4 ? 32 : 128;
    uint64_t bits = max;
    if (text[host_bytes] == '/')
        CHQ_TRY(chq_decimal_read(text + host_bytes + 1, max, &bits));
    for (unsigned i = (unsigned)bits; i < max; i++)
        if (prefix.base.ip[i / 8] >> (7 - i % 8) & 1)
            return CHQ_MALFORMED;
    prefix.bits = (uint8_t)bits;
    *out = prefix;
    return CHQ_OK;
}
