/* SPDX-License-Identifier: Apache-2.0 */
#include "p2p/path/front.h"
#include "core/base/assert.h"
#include "core/wire/stun.h"
#include "p2p/path/reflexive.h"

static void fill(void *context, uint8_t *out, size_t size)
{
    (void)context;
    for (size_t i = 0; i < size; i++)
        out[i] = 'x';
}

/* What passes from the relay to the ICE agent must be a message that agents survive, and of the very bytes that came. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t allocate[20] = {0, 3, 0, 0, 0x21, 0x12, 0xa4, 0x42};
    const struct chq_random random = {.fill = fill};
    const struct chq_address server = chq_address_ip4(192, 0, 2, 1, 3478);
    struct chq_front front;
    struct chq_front_actions out;
    struct chq_front_event e = {.type = CHQ_FRONT_FROM_AGENT,
        .agent = chq_address_ip4(127, 0, 0, 1, 4000),
        .datagram = chq_bytes(allocate, sizeof allocate)};
    chq_front_init(&front);
    CHQ_ASSERT(chq_front_step(&front, &e, &out) == CHQ_OK);
    e.datagram = chq_bytes(data, size);
    (void)chq_front_step(&front, &e, &out);
    e.type = CHQ_FRONT_FROM_RELAY;
    if (chq_front_step(&front, &e, &out) == CHQ_OK) {
        CHQ_ASSERT(out.to == CHQ_FRONT_TO_AGENT && out.datagram.data == data && out.datagram.size == size);
        if ((data[0] & 0xc0) == 0) {
            struct chq_stun_message m;
            struct chq_stun_attribute a;
            size_t at = CHQ_STUN_HEADER_BYTES;
            CHQ_ASSERT(chq_stun_read(e.datagram, &m) == CHQ_OK && m.class != CHQ_STUN_REQUEST);
            while (chq_stun_next(&m, &at, &a)) {
                CHQ_ASSERT(a.type != 0x8023);
                if (a.type != CHQ_STUN_REALM && a.type != CHQ_STUN_NONCE)
                    continue;
                CHQ_ASSERT(a.value.size > 0);
                for (size_t i = 0; i < a.value.size; i++)
                    CHQ_ASSERT(a.value.data[i] != '"' && a.value.data[i] != 0);
            }
        }
    }
    struct chq_reflexive r;
    struct chq_reflexive_actions asked;
    struct chq_reflexive_event answer = {.type = CHQ_REFLEXIVE_TIMEOUT};
    chq_reflexive_init(&r, &server, &random, 0);
    CHQ_ASSERT(chq_reflexive_step(&r, &answer, &asked) == CHQ_OK);
    answer = (struct chq_reflexive_event){
        .type = CHQ_REFLEXIVE_RECEIVED, .from = server, .datagram = chq_bytes(data, size)};
    if (chq_reflexive_step(&r, &answer, &asked) == CHQ_OK)
        CHQ_ASSERT(r.mapped.family != 0);
    return 0;
}
