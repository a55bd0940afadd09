/* SPDX-License-Identifier: Apache-2.0 */
#include "relay/turn/peer_filter.h"

#include <string.h>

struct block {
    uint8_t ip[6];
    uint8_t bits;
};

/* https://www.iana.org/assignments/iana-ipv4-special-registry, and multicast */
static const struct block special_ip4[] = {
    {{0}, 8}, /* this network */
    {{10}, 8}, /* private */
    {{100, 64}, 10}, /* carrier-grade NAT */
    {{127}, 8}, /* loopback */
    {{169, 254}, 16}, /* link-local; 169.254.169.254 is cloud metadata */
    {{172, 16}, 12}, /* private */
    {{192, 0, 0}, 24}, /* IETF protocol assignments */
    {{192, 0, 2}, 24}, /* documentation */
    {{192, 31, 196}, 24}, /* AS112 */
    {{192, 52, 193}, 24}, /* AMT */
    {{192, 88, 99}, 24}, /* 6to4 relay anycast */
    {{192, 168}, 16}, /* private */
    {{192, 175, 48}, 24}, /* AS112 */
    {{198, 18}, 15}, /* benchmarking */
    {{198, 51, 100}, 24}, /* documentation */
    {{203, 0, 113}, 24}, /* documentation */
    {{224}, 4}, /* multicast */
    {{240}, 4}, /* reserved, broadcast */
};

/* https://www.iana.org/assignments/iana-ipv6-special-registry within 2000::/3; all outside of it is refused */
static const struct block special_ip6[] = {
    {{0x20, 0x01, 0x00}, 23}, /* IETF protocol assignments: Teredo, ORCHID, benchmarking */
    {{0x20, 0x01, 0x0d, 0xb8}, 32}, /* documentation */
    {{0x20, 0x02}, 16}, /* 6to4: carries an IPv4 address */
    {{0x26, 0x20, 0x00, 0x4f, 0x80, 0x00}, 48}, /* AS112 */
    {{0x3f, 0xfe}, 16}, /* 6bone, returned */
    {{0x3f, 0xff, 0x00}, 20}, /* documentation */
};

static bool same_bits(const uint8_t *a, const uint8_t *b, unsigned bits)
{
    if (memcmp(a, b, bits / 8) != 0)
        return false;
    return bits % 8 == 0 || ((a[bits / 8] ^ b[bits / 8]) >> (8 - bits % 8)) == 0;
}

bool chq_prefix_contains(const struct chq_prefix *prefix, const struct chq_address *address)
{
    return prefix->base.family == address->family && same_bits(prefix->base.ip, address->ip, prefix->bits);
}

/* ISATAP (RFC 5214): an interface identifier 0000:5efe or 0200:5efe before an IPv4 address. */
static bool is_isatap(const uint8_t ip[16])
{
    return (ip[8] & 0xFD) == 0 && ip[9] == 0 && ip[10] == 0x5E && ip[11] == 0xFE;
}

bool chq_address_is_special(const struct chq_address *address)
{
    const uint8_t *ip = address->ip;
    if (address->family == 4) {
        for (size_t i = 0; i < sizeof special_ip4 / sizeof *special_ip4; i++)
            if (same_bits(ip, special_ip4[i].ip, special_ip4[i].bits))
                return true;
        return false;
    }
    if (address->family != 6 || (ip[0] & 0xE0) != 0x20 || is_isatap(ip))
        return true;
    for (size_t i = 0; i < sizeof special_ip6 / sizeof *special_ip6; i++)
        if (same_bits(ip, special_ip6[i].ip, special_ip6[i].bits))
            return true;
    return false;
}

bool chq_peer_filter_allows(const struct chq_peer_filter *filter, const struct chq_address *peer)
{
    for (uint32_t i = 0; i < filter->allow_count; i++)
        if (chq_prefix_contains(&filter->allow[i], peer))
            return true;
    for (uint32_t i = 0; i < filter->own_count; i++)
        if (chq_address_same_host(&filter->own[i], peer))
            return false;
    return !chq_address_is_special(peer);
}
