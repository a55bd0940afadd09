/* SPDX-License-Identifier: Apache-2.0 */
/* The payer's side of docs/protocol.md section 7, 'Payment rule'. */
#include <stdlib.h>
#include <string.h>

#include "client/agent/state.h"

#define EXPIRY_MARGIN_S 3600u

struct agent_channel *chq_agent_channel_find(struct chq_agent *a, const uint8_t id[32])
{
    for (struct agent_channel *c = a->channels; c != NULL; c = c->next)
        if (memcmp(c->id, id, 32) == 0)
            return c;
    return NULL;
}

void chq_agent_channel_free(struct chq_agent *a, struct agent_channel *channel)
{
    for (struct agent_relay *r = a->relays; r != NULL; r = r->next) {
        if (r->attached == channel)
            r->attached = NULL;
        if (r->attaching == channel)
            r->attaching = NULL;
    }
    chq_agent_forget(a, channel);
    for (struct agent_channel **at = &a->channels; *at != NULL; at = &(*at)->next)
        if (*at == channel) {
            *at = channel->next;
            break;
        }
    chq_agent_erase(a, CHQ_AGENT_CHANNELS, chq_bytes(channel->id, 32));
    chq_wipe(channel, sizeof *channel);
    free(channel);
}

/* Tokens that are kept back to go on with while the next channel is being opened. */
static uint64_t spare_tokens(const struct agent_channel *c)
{
    return c->tokens >= 32 ? c->tokens / 16 : c->tokens >= 4 ? 1 : 0;
}

static bool is_fresh(const struct chq_agent *a, const struct agent_channel *c)
{
    return c->tokens - c->released > spare_tokens(c) && c->expiry_s > chq_agent_now_s(a) + EXPIRY_MARGIN_S;
}

static bool is_of(const struct agent_channel *c, const struct agent_relay *relay)
{
    return memcmp(c->relay, relay->id, 32) == 0 && c->state == AGENT_CHANNEL_OPEN;
}

struct agent_channel *chq_agent_channel_usable(struct chq_agent *a, const struct agent_relay *relay)
{
    for (struct agent_channel *c = a->channels; c != NULL; c = c->next)
        if (is_of(c, relay) && is_fresh(a, c) && c->price_micro == relay->price_micro &&
            c->quantum_bytes == relay->quantum_bytes)
            return c;
    return NULL;
}

/* A channel at its end that may still owe something. */
static struct agent_channel *ending(struct chq_agent *a, const struct agent_relay *relay)
{
    for (struct agent_channel *c = a->channels; c != NULL; c = c->next)
        if (is_of(c, relay) && !(is_fresh(a, c) && c->price_micro == relay->price_micro &&
                                   c->quantum_bytes == relay->quantum_bytes))
            return c;
    return NULL;
}

bool chq_agent_channel_wanted(struct chq_agent *a, const struct agent_relay *relay)
{
    uint32_t disputes = 0;
    if (relay->state != AGENT_LINK_READY || !relay->checked || !relay->wanted || a->leaving)
        return false;
    for (struct agent_channel *c = a->channels; c != NULL; c = c->next) {
        if (memcmp(c->relay, relay->id, 32) == 0 && c->state == AGENT_CHANNEL_OPENING)
            return false;
        disputes += memcmp(c->relay, relay->id, 32) == 0 && c->disputed;
    }
    if (disputes >= AGENT_DISPUTES_MAX)
        return false;
    return chq_agent_channel_usable(a, relay) == NULL;
}

void chq_agent_count(struct chq_agent *a, struct agent_relay *relay, uint64_t bytes)
{
    struct agent_channel *c = relay->attached != NULL ? relay->attached : chq_agent_channel_usable(a, relay);
    relay->carried_us = a->now_us;
    relay->claim_stale = true;
    if (c == NULL || bytes > UINT64_MAX / 4 - c->own_bytes)
        return;
    c->own_bytes += bytes;
    relay->since_claim_bytes += bytes;
    c->dirty = true;
}

static void attach(struct chq_agent *a, struct agent_relay *relay, struct agent_channel *c)
{
    if (!chq_agent_due(a, &relay->attach_retry))
        return;
    struct chq_sign_pair key;
    uint8_t message[96];
    struct chq_frame frame = {.type = CHQ_FRAME_ATTACH};
    memcpy(frame.attach.channel_id, c->id, 32);
    chq_frame_attach_message(message, relay->id, relay->challenge, c->id);
    chq_sign_pair_from_seed(&key, c->attach_seed);
    chq_sign(frame.attach.signature, &key, CHQ_DOMAIN_ATTACH, chq_bytes(message, sizeof message));
    chq_wipe(&key, sizeof key);
    relay->attached = NULL;
    if (chq_agent_ask(a, relay, &frame, AGENT_ASK_ATTACH, c) == NULL)
        return;
    relay->attaching = c;
    relay->claim_stale =
        false; /* the answer has all that went before it; what is counted from now on makes it stale */
    relay->since_claim_bytes = 0;
}

void chq_agent_on_attached(
    struct chq_agent *a, struct agent_relay *relay, struct agent_channel *channel, const struct chq_frame *in)
{
    relay->attaching = NULL;
    if (channel == NULL || memcmp(in->attached.channel_id, channel->id, 32) != 0)
        return;
    if (in->attached.index > channel->released) {
        chq_agent_distrust(a, relay, "claims to hold a token that was never given out");
        return;
    }
    relay->attached = channel;
    relay->attach_retry = (struct agent_retry){0};
    channel->acked = in->attached.index;
    channel->claimed_bytes = in->attached.carried_bytes;
}

bool chq_agent_has_room(struct chq_agent *a, struct agent_relay *relay, uint64_t bytes)
{
    const struct agent_channel *c = relay->attached;
    if (c == NULL || relay->puts >= AGENT_PUTS_IN_FLIGHT_MAX)
        return false;
    uint64_t limit = (c->acked + 1) * c->quantum_bytes;
    uint64_t used = c->claimed_bytes + relay->since_claim_bytes + relay->puts_bytes;
    if (used + bytes <= limit)
        return true;
    /* Our estimate may be too high (a message charged before was counted again): ask the relay. */
    if (relay->puts == 0 && c->acked == c->released && relay->since_claim_bytes > 0)
        attach(a, relay, relay->attached);
    return false;
}

static bool token_in_flight(const struct agent_relay *relay, const struct agent_channel *c)
{
    for (const struct agent_request *q = relay->requests; q != NULL; q = q->next)
        if (q->kind == AGENT_ASK_TOKEN && q->object == c)
            return true;
    return false;
}

/* Whoever is owed something is called again for it. */
void chq_agent_advance_debts(struct chq_agent *a)
{
    for (struct agent_channel *c = a->channels; c != NULL && !a->leaving; c = c->next) {
        if (c->state != AGENT_CHANNEL_OPEN || c->own_bytes == c->settled_bytes ||
            c->expiry_s <= chq_agent_now_s(a))
            continue;
        struct agent_relay *relay = chq_agent_relay(a, c->relay);
        if (relay != NULL)
            relay->wanted = true;
    }
}

/*
 * The relay claims more than we can account for. It gets nothing for that. Perhaps it is our own count that a crash has
 * set back: then the claim stays, and after some times the channel is given up for a new one, with both counts at 0.
 */
static void dispute(struct chq_agent *a, struct agent_relay *relay, struct agent_channel *c)
{
    uint64_t claimed = c->claimed_bytes;
    if (++c->doubts >= AGENT_DOUBTS_MAX) {
        c->state = AGENT_CHANNEL_DONE;
        c->disputed = c->dirty = true;
    }
    c->claimed_bytes = 0;
    chq_agent_distrust(a, relay,
        "claims to have carried %llu bytes where this device counts %llu; it gets no token for that. Choose "
        "another "
        "relay if it goes on",
        (unsigned long long)claimed, (unsigned long long)c->own_bytes);
}

/* Release what is due of a channel: all of it when `rest`. */
static void release(struct chq_agent *a, struct agent_relay *relay, struct agent_channel *c, bool rest)
{
    uint64_t q = c->quantum_bytes;
    if (c->claimed_bytes > c->own_bytes + c->own_bytes / 100 * 11 + q) {
        dispute(a, relay, c);
        return;
    }
    c->doubts = 0;
    uint64_t owed = rest ? c->claimed_bytes : c->claimed_bytes > q / 2 ? c->claimed_bytes - q / 2 : 0;
    uint64_t due = owed / q + (owed % q != 0);
    if (due > c->tokens)
        due = c->tokens;
    if (due > c->released) {
        c->released = due;
        c->dirty = true;
    }
    if (c->acked >= c->released || token_in_flight(relay, c))
        return;
    struct chq_frame frame = {.type = CHQ_FRAME_TOKEN};
    memcpy(frame.token.channel_id, c->id, 32);
    frame.token.index = c->released;
    chq_chain_token(frame.token.token, c->end, c->id, c->tokens, c->released);
    (void)chq_agent_ask(a, relay, &frame, AGENT_ASK_TOKEN, c);
}

void chq_agent_on_credit(struct chq_agent *a, struct agent_relay *relay, const struct chq_frame *in)
{
    struct agent_channel *c = chq_agent_channel_find(a, in->credit.channel_id);
    if (c == NULL || memcmp(c->relay, relay->id, 32) != 0)
        return;
    if (in->credit.index > c->released) {
        chq_agent_distrust(a, relay, "claims to hold a token that was never given out");
        return;
    }
    if (in->credit.index > c->acked)
        c->acked = in->credit.index;
    if (in->credit.carried_bytes > c->claimed_bytes) {
        c->claimed_bytes = in->credit.carried_bytes;
        relay->carried_us = a->now_us;
    }
    a->again = true;
    if (c == relay->attached)
        relay->since_claim_bytes = 0;
    else if (c != relay->attaching)
        release(a, relay, c, true); /* the last bytes of a channel that was left for the next */
}

static bool is_paid_up(const struct agent_channel *c)
{
    return c->acked == c->released &&
           (c->released == c->tokens || c->claimed_bytes <= c->released * c->quantum_bytes);
}

bool chq_agent_paid_up(const struct agent_relay *relay)
{
    if (relay->attaching != NULL)
        return false;
    const struct agent_channel *c = relay->attached;
    return c == NULL || (!relay->claim_stale && is_paid_up(c));
}

/* Idle or leaving: ask the relay for its count if it may have grown, then pay the rest. */
static void settle_up(struct chq_agent *a, struct agent_relay *relay)
{
    if (relay->claim_stale)
        attach(a, relay, relay->attached);
    else
        release(a, relay, relay->attached, true);
}

/* The relay refused a channel: it is over only if the ledger says so. False: not known yet. */
static bool clear_suspect(struct chq_agent *a, const struct agent_relay *relay)
{
    for (struct agent_channel *c = a->channels; c != NULL; c = c->next) {
        if (!is_of(c, relay) || c->suspect_us == 0)
            continue;
        struct chq_channel_record record;
        struct agent_lookup *l = chq_agent_look(a, CHQ_RECORD_CHANNEL, c->id, c->suspect_us);
        if (l == NULL)
            return false;
        if (!l->present || chq_channel_record_read(chq_bytes(l->value, l->size), &record) != CHQ_OK ||
            record.state != CHQ_CHANNEL_OPEN) {
            c->state = AGENT_CHANNEL_DONE;
            c->dirty = true;
        }
        c->suspect_us = 0;
        a->again = true;
    }
    return true;
}

void chq_agent_advance_pay(struct chq_agent *a, struct agent_relay *relay)
{
    if (relay->attaching != NULL || !clear_suspect(a, relay))
        return;
    struct agent_channel *next = chq_agent_channel_usable(a, relay), *old = ending(a, relay);
    struct agent_channel *now = relay->attached;
    if (old != NULL && old->expiry_s <= chq_agent_now_s(a)) {
        old->state = AGENT_CHANNEL_DONE;
        old->dirty = true;
        relay->attached = now == old ? NULL : now;
        a->again = true;
        return;
    }
    if (now == NULL) {
        if (old != NULL || next != NULL)
            attach(a, relay, old != NULL ? old : next);
        return;
    }
    if (relay->puts == 0 && chq_agent_paid_up(relay) && now->settled_bytes != now->own_bytes) {
        now->settled_bytes = now->own_bytes;
        now->dirty = true;
    }
    bool idle = relay->puts == 0 && !chq_agent_paid_up(relay) &&
                a->now_us >= relay->carried_us + (uint64_t)a->config.idle_pay_ms * 1000;
    bool change = now == old && next != NULL;
    if (change && chq_agent_paid_up(relay) && relay->puts == 0) {
        now->state = AGENT_CHANNEL_DONE;
        now->dirty = true;
        attach(a, relay, next);
        return;
    }
    if ((idle || a->leaving || change) && relay->puts == 0) {
        settle_up(a, relay);
        return;
    }
    release(a, relay, now, false);
    if (relay->state == AGENT_LINK_READY && relay->puts == 0 && !idle && !chq_agent_paid_up(relay))
        chq_agent_wake(a, relay->carried_us + (uint64_t)a->config.idle_pay_ms * 1000);
}
