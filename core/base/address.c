/* SPDX-License-Identifier: Apache-2.0 */
#include "core/base/address.h"

#include <stdio.h>
#include <string.h>

#include "core/base/bytes.h"

struct chq_address chq_address_ip4(uint8_t a, uint8_t b, uint8_t c, uint8_t d, uint16_t port)
{
    return (struct chq_address){.family = 4, .port = port, .ip = {a, b, c, d}};
}

bool chq_address_same_host(const struct chq_address *a, const struct chq_address *b)
{
    return a->family == b->family && memcmp(a->ip, b->ip, sizeof a->ip) == 0;
}

bool chq_address_equal(const struct chq_address *a, const struct chq_address *b)
{
    return a->port == b->port && chq_address_same_host(a, b);
}

/* RFC 5952 section 4.2.3: the longest run of two or more zero groups is written "::", the first of equals. */
static int longest_zero_run(const uint8_t ip[16], int *length)
{
    int best = -1, best_length = 1;
    for (int i = 0; i < 8; i++) {
        int n = 0;
        while (i + n < 8 && chq_load_u16(ip + 2 * (i + n)) == 0)
            n++;
        if (n > best_length) {
            best = i;
            best_length = n;
        }
    }
    *length = best_length;
    return best;
}

static void write_ip6(const struct chq_address *address, char out[CHQ_ADDRESS_TEXT_MAX])
{
    int run_length;
    int run = longest_zero_run(address->ip, &run_length);
    size_t at = 0;
    out[at++] = '[';
    for (int i = 0; i < 8;) {
        if (i == run) {
            at += (size_t)snprintf(out + at, CHQ_ADDRESS_TEXT_MAX - at, "::");
            i += run_length;
            continue;
        }
        const char *colon = i > 0 && i != run + run_length ? ":" : "";
        unsigned group = chq_load_u16(address->ip + 2 * i);
        at += (size_t)snprintf(out + at, CHQ_ADDRESS_TEXT_MAX - at, "%s%x", colon, group);
        i++;
    }
    (void)snprintf(out + at, CHQ_ADDRESS_TEXT_MAX - at, "]:%u", (unsigned)address->port);
}

void chq_address_write(const struct chq_address *address, char out[CHQ_ADDRESS_TEXT_MAX])
{
    const uint8_t *ip = address->ip;
    if (address->family == 6)
        write_ip6(address, out);
    else if (address->family == 4)
        (void)snprintf(
            out, CHQ_ADDRESS_TEXT_MAX, "%u.%u.%u.%u:%u", ip[0], ip[1], ip[2], ip[3], (unsigned)address->port);
    else
        (void)snprintf(out, CHQ_ADDRESS_TEXT_MAX, "-");
}
