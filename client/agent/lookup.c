/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "client/agent/state.h"

#define BEHIND_MAX 3u /* a copy of the ledger may lag a moment; not longer */

struct agent_lookup *chq_agent_look(
    struct chq_agent *a, enum chq_record_kind kind, const uint8_t key[32], uint64_t since_us)
{
    struct agent_lookup *l = a->lookups;
    while (l != NULL && (l->kind != kind || memcmp(l->key, key, 32) != 0))
        l = l->next;
    if (l == NULL) {
        l = chq_agent_alloc(a, sizeof *l);
        if (l == NULL)
            return NULL;
        l->kind = kind;
        memcpy(l->key, key, 32);
        l->next = a->lookups;
        a->lookups = l;
    }
    l->used_us = a->now_us;
    if (l->done && l->fetched_us >= since_us)
        return l;
    l->wanted = true;
    return NULL;
}

struct agent_relay *chq_agent_any_ready(struct chq_agent *a)
{
    struct agent_relay *home = chq_agent_home(a);
    if (home != NULL && home->state == AGENT_LINK_READY)
        return home;
    for (struct agent_relay *r = a->relays; r != NULL; r = r->next)
        if (r->state == AGENT_LINK_READY)
            return r;
    return NULL;
}

/* Strangers make us look up accounts that nobody asks for again: do not collect them. */
static void forget_unused(struct chq_agent *a)
{
    uint32_t n = 0;
    for (const struct agent_lookup *l = a->lookups; l != NULL; l = l->next)
        n++;
    for (struct agent_lookup **at = &a->lookups; *at != NULL && n > AGENT_LOOKUPS_MAX;) {
        struct agent_lookup *l = *at;
        if (l->wanted || l->asking || a->now_us < l->used_us + 60 * UINT64_C(1000000)) {
            at = &l->next;
            continue;
        }
        *at = l->next;
        free(l->value);
        free(l);
        n--;
    }
}

void chq_agent_advance_lookups(struct chq_agent *a)
{
    struct agent_relay *relay = chq_agent_any_ready(a);
    forget_unused(a);
    if (relay == NULL || a->leaving)
        return;
    for (struct agent_lookup *l = a->lookups; l != NULL; l = l->next) {
        if (!l->wanted || l->asking || !chq_agent_due(a, &l->retry))
            continue;
        struct chq_ledger_request query = {.type = CHQ_LEDGER_QUERY, .kind = l->kind};
        memcpy(query.key, l->key, 32);
        uint8_t storage[64];
        struct chq_writer w = chq_writer_fixed(storage, sizeof storage);
        chq_ledger_request_put(&w, &query);
        struct chq_frame frame = {.type = CHQ_FRAME_LEDGER};
        frame.ledger.request = chq_writer_bytes(&w);
        l->asking = chq_agent_ask(a, relay, &frame, AGENT_ASK_LOOKUP, l) != NULL;
        l->asked_us = a->now_us;
        l->asked_height = chq_light_newest_height(a->light);
        if (l->asked_height < a->light_stored)
            l->asked_height = a->light_stored;
    }
}

static const char *kind_name(enum chq_record_kind kind)
{
    switch (kind) {
    case CHQ_RECORD_ACCOUNT: return "an account's keys";
    case CHQ_RECORD_DEVICES: return "an account's devices";
    case CHQ_RECORD_HANDLE: return "a handle";
    case CHQ_RECORD_RELAY: return "a relay's address";
    case CHQ_RECORD_CHANNEL: return "a payment channel";
    }
    return "a record";
}

void chq_agent_on_lookup(
    struct chq_agent *a, struct agent_relay *relay, struct agent_lookup *l, struct chq_bytes reply)
{
    struct chq_light_answer *answer = chq_agent_scratch(a, sizeof *answer);
    l->asking = false;
    if (answer == NULL)
        return;
    enum chq_err err = chq_light_verify_query(a->light, l->kind, l->key, reply, chq_agent_now_s(a), answer);
    if (err == CHQ_OK && answer->height < l->asked_height) {
        chq_agent_backoff(a, &l->retry);
        if (++relay->behind >= BEHIND_MAX)
            chq_agent_distrust(a, relay, "shows an older state of the ledger than was seen before");
        return;
    }
    if (err == CHQ_OK) {
        relay->behind = 0;
        l->time_s = answer->time_s > 0 ? (uint64_t)answer->time_s : 0;
        l->present = answer->present;
        free(l->value);
        l->size = answer->value.size;
        l->value = chq_agent_copy(a, answer->value);
        l->done = true;
        l->wanted = false;
        l->fetched_us = l->asked_us; /* what happened after the question may not be in the answer */
        l->retry = (struct agent_retry){0};
        if (a->now_us > relay->distrusted_us + (uint64_t)relay->distrust_ms * 10000)
            relay->distrust_ms = 0; /* good again for long enough */
        return;
    }
    chq_agent_backoff(a, &l->retry);
    if (err == CHQ_NO_MEMORY) {
        chq_agent_fail(a, err);
    } else if (answer->fault == CHQ_LIGHT_REFUSED) {
        chq_agent_say_error(a, 0, err, "the ledger behind relay %s refuses to answer: %s; trying again",
            chq_agent_relay_name(relay), answer->reason);
    } else if (answer->fault == CHQ_LIGHT_FROM_THE_FUTURE) {
        chq_agent_say_error(a, 0, err, "relay %s: %s; is this computer's clock right?",
            chq_agent_relay_name(relay), answer->reason);
    } else {
        chq_agent_distrust(
            a, relay, "gave a false answer when it was asked for %s: %s", kind_name(l->kind), answer->reason);
    }
}
