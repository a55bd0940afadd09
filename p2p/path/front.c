/* SPDX-License-Identifier: Apache-2.0 */
#include "p2p/path/front.h"

#include <string.h>

#include "core/base/assert.h"
#include "core/wire/stun.h"

enum { ALTERNATE_SERVER = 0x8023, ALTERNATE_DOMAIN = 0x8003, CODE_TRY_ALTERNATE_LAST = 399 };

void chq_front_init(struct chq_front *front)
{
    memset(front, 0, sizeof *front);
}

static bool find_flow(struct chq_front *f, const struct chq_address *agent, unsigned *out)
{
    for (unsigned i = 0; i < CHQ_FRONT_FLOWS_MAX; i++) {
        if (f->flows[i].agent.family == 0)
            f->flows[i].agent = *agent; /* flows are taken in order and never given back */
        if (chq_address_equal(&f->flows[i].agent, agent)) {
            *out = i;
            return true;
        }
    }
    return false;
}

/* The agent is our own, but others on this machine can reach the front too: only TURN goes out. */
static enum chq_err from_agent(
    struct chq_front *f, const struct chq_front_event *in, struct chq_front_actions *out, size_t *carried)
{
    uint16_t channel;
    struct chq_bytes payload;
    struct chq_stun_message message;
    switch (chq_stun_kind_of(in->datagram)) {
    case CHQ_STUN_KIND_CHANNEL_DATA:
        CHQ_TRY(chq_channel_data_read(in->datagram, &channel, &payload));
        *carried = payload.size;
        break;
    case CHQ_STUN_KIND_MESSAGE:
        CHQ_TRY(chq_stun_read(in->datagram, &message));
        if (message.class == CHQ_STUN_INDICATION && message.method == CHQ_STUN_SEND)
            *carried = message.data.size;
        else if (message.class != CHQ_STUN_REQUEST)
            return CHQ_AUTH;
        break;
    default: return CHQ_MALFORMED;
    }
    if (!find_flow(f, &in->agent, &out->flow))
        return CHQ_LIMIT;
    out->to = CHQ_FRONT_TO_RELAY;
    return CHQ_OK;
}

/* A relay may answer requests and deliver data. It may not send the agent to another server, which would not pass here. */
static enum chq_err check_relay_message(const struct chq_stun_message *m)
{
    const bool answer = m->class == CHQ_STUN_SUCCESS || m->class == CHQ_STUN_ERROR;
    const bool data = m->class == CHQ_STUN_INDICATION && m->method == CHQ_STUN_DATA;
    if (!answer && !data)
        return CHQ_AUTH;
    switch (m->method) {
    case CHQ_STUN_BINDING:
    case CHQ_STUN_ALLOCATE:
    case CHQ_STUN_REFRESH:
    case CHQ_STUN_CREATE_PERMISSION:
    case CHQ_STUN_CHANNEL_BIND:
    case CHQ_STUN_DATA: break;
    default: return CHQ_AUTH;
    }
    if (m->class == CHQ_STUN_ERROR && m->error_code <= CODE_TRY_ALTERNATE_LAST)
        return CHQ_AUTH;
    size_t at = CHQ_STUN_HEADER_BYTES;
    struct chq_stun_attribute attribute;
    while (chq_stun_next(m, &at, &attribute))
        if (attribute.type == ALTERNATE_SERVER || attribute.type == ALTERNATE_DOMAIN)
            return CHQ_AUTH;
    return CHQ_OK;
}

static enum chq_err from_relay(
    struct chq_front *f, const struct chq_front_event *in, struct chq_front_actions *out, size_t *carried)
{
    uint16_t channel;
    struct chq_bytes payload;
    struct chq_stun_message message;
    struct chq_front_flow *flow = &f->flows[in->flow];
    switch (chq_stun_kind_of(in->datagram)) {
    case CHQ_STUN_KIND_CHANNEL_DATA:
        CHQ_TRY(chq_channel_data_read(in->datagram, &channel, &payload));
        *carried = payload.size;
        break;
    case CHQ_STUN_KIND_MESSAGE:
        CHQ_TRY(chq_stun_read(in->datagram, &message));
        CHQ_TRY(check_relay_message(&message));
        if (message.method == CHQ_STUN_DATA)
            *carried = message.data.size;
        break;
    default: return CHQ_MALFORMED;
    }
    out->to = CHQ_FRONT_TO_AGENT;
    out->flow = in->flow;
    out->agent = flow->agent;
    return CHQ_OK;
}

enum chq_err chq_front_step(
    struct chq_front *front, const struct chq_front_event *in, struct chq_front_actions *out)
{
    struct chq_front *f = front;
    const bool up = in->type == CHQ_FRONT_FROM_AGENT;
    size_t carried = 0;
    enum chq_err err = CHQ_LIMIT;
    *out = (struct chq_front_actions){0};
    CHQ_ASSERT(up || (in->flow < CHQ_FRONT_FLOWS_MAX && f->flows[in->flow].agent.family != 0));
    if (in->datagram.size <= CHQ_STUN_BYTES_MAX)
        err = up ? from_agent(f, in, out, &carried) : from_relay(f, in, out, &carried);
    if (err != CHQ_OK) {
        *out = (struct chq_front_actions){0};
        if (up)
            f->stats.agent_dropped++;
        else if (err == CHQ_AUTH)
            f->stats.refused++;
        else
            f->stats.malformed++;
        return err;
    }
    out->datagram = in->datagram;
    if (up) {
        f->stats.datagrams_up++;
        f->stats.bytes_up += carried;
    } else {
        f->stats.datagrams_down++;
        f->stats.bytes_down += carried;
    }
    return CHQ_OK;
}
