/* SPDX-License-Identifier: Apache-2.0 */
#include "p2p/path/reflexive.h"

#include <string.h>

#include "core/base/assert.h"
#include "core/wire/stun.h"

enum {
    RETRY_US = 250000, /* doubled each time (RFC 8489 section 6.2.1) */
    TRIES_MAX = 7,
    REFRESH_US = 15000000 /* below the shortest UDP mappings in the field */
};

void chq_reflexive_init(struct chq_reflexive *reflexive, const struct chq_address *server,
    const struct chq_random *random, uint64_t now_us)
{
    memset(reflexive, 0, sizeof *reflexive);
    reflexive->server = *server;
    reflexive->random = *random;
    reflexive->deadline_us = now_us;
}

uint64_t chq_reflexive_deadline_us(const struct chq_reflexive *reflexive)
{
    return reflexive->deadline_us;
}

bool chq_reflexive_is_answer(
    const struct chq_reflexive *reflexive, const struct chq_address *from, struct chq_bytes datagram)
{
    return reflexive->tries > 0 && datagram.size >= CHQ_STUN_HEADER_BYTES &&
           chq_address_equal(from, &reflexive->server) &&
           memcmp(datagram.data + 8, reflexive->transaction_id, sizeof reflexive->transaction_id) == 0;
}

static void ask(struct chq_reflexive *r, uint64_t now_us, struct chq_reflexive_actions *out)
{
    if (now_us < r->deadline_us)
        return;
    if (r->tries == TRIES_MAX) { /* it does not answer; asking on would only be noise */
        r->deadline_us = UINT64_MAX;
        return;
    }
    if (r->tries == 0)
        chq_random_fill(&r->random, r->transaction_id, sizeof r->transaction_id);
    struct chq_writer w = chq_writer_fixed(r->request, sizeof r->request);
    chq_stun_begin(&w, CHQ_STUN_BINDING, CHQ_STUN_REQUEST, r->transaction_id);
    const enum chq_err err = chq_stun_finish(&w);
    CHQ_ASSERT(err == CHQ_OK);
    out->send = chq_writer_bytes(&w);
    r->deadline_us = now_us + ((uint64_t)RETRY_US << r->tries);
    r->tries++;
}

static enum chq_err receive(
    struct chq_reflexive *r, const struct chq_reflexive_event *in, struct chq_reflexive_actions *out)
{
    struct chq_stun_message message;
    if (!chq_reflexive_is_answer(r, &in->from, in->datagram))
        return CHQ_NOT_FOUND;
    CHQ_TRY(chq_stun_read(in->datagram, &message));
    if (message.method != CHQ_STUN_BINDING || message.class != CHQ_STUN_SUCCESS ||
        message.mapped.family == 0 || message.mapped.port == 0 || message.unknown_count > 0)
        return CHQ_MALFORMED;
    out->mapped_changed = !chq_address_equal(&message.mapped, &r->mapped);
    r->mapped = message.mapped;
    r->tries = 0;
    r->deadline_us = in->now_us + REFRESH_US;
    return CHQ_OK;
}

enum chq_err chq_reflexive_step(
    struct chq_reflexive *reflexive, const struct chq_reflexive_event *in, struct chq_reflexive_actions *out)
{
    *out = (struct chq_reflexive_actions){0};
    if (in->type == CHQ_REFLEXIVE_RECEIVED)
        return receive(reflexive, in, out);
    ask(reflexive, in->now_us, out);
    return CHQ_OK;
}
