/* SPDX-License-Identifier: Apache-2.0 */
#include "client/agent/agent.h"

#include <stdlib.h>
#include <string.h>

#include "client/agent/state.h"
#include "core/base/assert.h"

#define PASSES_MAX 64 /* of advance in one step; more would be a loop of ours */

static const struct chq_agent_config defaults = {
    .channel_tokens = 256, .channel_days = 30, .idle_pay_ms = 30000, .price_max_micro = 10000, .prekeys = 20};

enum chq_err chq_agent_new(
    struct chq_agent **out, const struct chq_random *random, const struct chq_agent_config *config)
{
    *out = NULL;
    struct chq_agent *a = calloc(1, sizeof *a);
    if (a == NULL)
        return CHQ_NO_MEMORY;
    a->secrets = chq_secret_new(sizeof *a->secrets);
    if (a->secrets == NULL) {
        free(a);
        return CHQ_NO_MEMORY;
    }
    a->random = *random;
    a->config = defaults;
    if (config != NULL) {
        if (config->channel_tokens != 0)
            a->config.channel_tokens = config->channel_tokens;
        if (config->channel_days != 0)
            a->config.channel_days = config->channel_days;
        if (config->idle_pay_ms != 0)
            a->config.idle_pay_ms = config->idle_pay_ms;
        if (config->price_max_micro != 0 && config->price_max_micro <= UINT32_MAX)
            a->config.price_max_micro = config->price_max_micro;
        if (config->prekeys != 0 && config->prekeys <= CHQ_ONE_TIME_PREKEYS_MAX)
            a->config.prekeys = config->prekeys;
    }
    a->items_tail = &a->items;
    a->deadline_us = UINT64_MAX;
    *out = a;
    return CHQ_OK;
}

#define FREE_LIST(type, head, release)                                                                       \
    for (struct type *at = (head), *next; at != NULL; at = next) {                                           \
        next = at->next;                                                                                     \
        release;                                                                                             \
        chq_wipe(at, sizeof *at);                                                                            \
        free(at);                                                                                            \
    }

static void free_item(struct agent_item *item)
{
    FREE_LIST(agent_delivery, item->deliveries, free(at->envelope));
    if (item->data != NULL)
        chq_wipe(item->data, item->size);
    free(item->data);
}

static void free_peer(struct agent_peer *peer)
{
    for (size_t i = 0; i < AGENT_SESSIONS_PER_DEVICE; i++)
        chq_session_free(peer->sessions[i].session);
    FREE_LIST(agent_held, peer->held, free(at->data));
}

static void free_requests(struct agent_relay *relay)
{
    FREE_LIST(agent_request, relay->requests, (void)0);
}

static void free_receipts(struct agent_contact *contact)
{
    FREE_LIST(agent_receipt, contact->receipts, (void)0);
}

void chq_agent_free(struct chq_agent *a)
{
    if (a == NULL)
        return;
    chq_agent_loaded_free(a);
    chq_agent_output_free(a);
    FREE_LIST(agent_relay, a->relays, free_requests(at));
    FREE_LIST(agent_channel, a->channels, (void)0);
    FREE_LIST(agent_queue, a->queues, (void)0);
    FREE_LIST(agent_prekey, a->prekeys, (void)0);
    FREE_LIST(agent_item, a->items, free_item(at));
    FREE_LIST(agent_contact, a->contacts, free_receipts(at));
    FREE_LIST(agent_peer, a->peers, free_peer(at));
    FREE_LIST(agent_lookup, a->lookups, free(at->value));
    FREE_LIST(agent_seen, a->seen, (void)0);
    FREE_LIST(agent_transfer, a->transfers, (void)0);
    free(a->batch.data);
    free(a->invitation);
    chq_light_free(a->light);
    chq_secret_free(a->secrets);
    chq_wipe(a, sizeof *a);
    free(a);
}

enum chq_err chq_agent_load(
    struct chq_agent *a, enum chq_agent_table table, struct chq_bytes key, struct chq_bytes value)
{
    if (a->started)
        return CHQ_STATE;
    if (table < CHQ_AGENT_PROFILE || table >= CHQ_AGENT_TABLES_MAX || key.size == 0 ||
        key.size > CHQ_AGENT_KEY_BYTES_MAX)
        return CHQ_MALFORMED;
    if (table == CHQ_AGENT_MESSAGES || table == CHQ_AGENT_STATUS)
        return CHQ_OK;
    struct agent_loaded *l = malloc(sizeof *l + key.size + value.size);
    if (l == NULL)
        return CHQ_NO_MEMORY;
    l->table = table;
    l->key_size = key.size;
    l->value_size = value.size;
    memcpy(l->bytes, key.data, key.size);
    if (value.size > 0)
        memcpy(l->bytes + key.size, value.data, value.size);
    l->next = a->loaded;
    a->loaded = l;
    return CHQ_OK;
}

void chq_agent_wake(struct chq_agent *a, uint64_t at_us)
{
    if (at_us < a->deadline_us)
        a->deadline_us = at_us;
}

bool chq_agent_due(struct chq_agent *a, const struct agent_retry *retry)
{
    if (retry->at_us <= a->now_us)
        return true;
    chq_agent_wake(a, retry->at_us);
    return false;
}

void chq_agent_backoff(struct chq_agent *a, struct agent_retry *retry)
{
    retry->wait_ms = retry->wait_ms == 0 ? AGENT_RETRY_MIN_MS : retry->wait_ms * 2;
    if (retry->wait_ms > AGENT_RETRY_MAX_MS)
        retry->wait_ms = AGENT_RETRY_MAX_MS;
    retry->at_us = a->now_us + (uint64_t)retry->wait_ms * 1000;
}

static enum chq_err find_prekey(void *context, uint32_t id, bool signed_one, struct chq_prekey_secret *out)
{
    const struct chq_agent *a = context;
    for (const struct agent_prekey *p = a->prekeys; p != NULL; p = p->next)
        if (p->secret.id == id && p->signed_one == signed_one) {
            *out = p->secret;
            return CHQ_OK;
        }
    return CHQ_NOT_FOUND;
}

static enum chq_err find_signed(void *context, uint32_t id, struct chq_prekey_secret *out)
{
    return find_prekey(context, id, true, out);
}

static enum chq_err find_one_time(void *context, uint32_t id, struct chq_prekey_secret *out)
{
    return find_prekey(context, id, false, out);
}

void chq_agent_self(const struct chq_agent *a, struct chq_session_self *self)
{
    *self = (struct chq_session_self){.account_id = a->secrets->account.id,
        .device = &a->secrets->device,
        .prekeys = {
            .find_signed = find_signed, .find_one_time = find_one_time, .context = (void *)(uintptr_t)a}};
}

static void wallet_command(struct chq_agent *a, const struct chq_agent_command *command)
{
    a->wallet_wanted = true;
    a->wallet_request = command->request;
    a->account_since_us = a->now_us;
    a->account_known = false;
}

static void leave_command(struct chq_agent *a, const struct chq_agent_command *command)
{
    a->leave_wanted = true;
    a->leave_request = command->request;
    a->leave_until_us = a->now_us + AGENT_LEAVE_US;
}

static void turn_command(struct chq_agent *a, const struct chq_agent_command *command)
{
    if (a->turn_wanted == sizeof a->turn_requests / sizeof a->turn_requests[0]) {
        chq_agent_say_error(a, command->request, CHQ_LIMIT,
            "too many requests for call credentials are waiting; try again when the relay answers");
        return;
    }
    a->turn_requests[a->turn_wanted++] = command->request;
}

static void turn_used_command(struct chq_agent *a, const struct chq_agent_command *command)
{
    for (struct agent_relay *r = a->relays; r != NULL; r = r->next)
        if (memcmp(r->id, command->relay, 32) == 0)
            chq_agent_count(a, r, command->amount);
}

static void command(struct chq_agent *a, const struct chq_agent_command *c)
{
    if (!a->created && c->type != CHQ_AGENT_CREATE && c->type != CHQ_AGENT_LEAVE) {
        chq_agent_say_error(
            a, c->request, CHQ_STATE, "there is no account yet: make one with an invitation link");
        return;
    }
    switch (c->type) {
    case CHQ_AGENT_CREATE: chq_agent_create(a, c); return;
    case CHQ_AGENT_ADD: chq_agent_add(a, c); return;
    case CHQ_AGENT_SEND_TEXT: chq_agent_send_text(a, c); return;
    case CHQ_AGENT_SEND_CALL: chq_agent_send_call(a, c); return;
    case CHQ_AGENT_TURN: turn_command(a, c); return;
    case CHQ_AGENT_TURN_USED: turn_used_command(a, c); return;
    case CHQ_AGENT_PREKEYS_RENEW: a->publish = true; return;
    case CHQ_AGENT_TRANSFER: chq_agent_transfer(a, c); return;
    case CHQ_AGENT_WALLET: wallet_command(a, c); return;
    case CHQ_AGENT_LEAVE: leave_command(a, c); return;
    }
    chq_agent_say_error(a, c->request, CHQ_UNSUPPORTED, "unknown command %d", (int)c->type);
}

static void advance(struct chq_agent *a)
{
    for (int pass = 0; pass < PASSES_MAX; pass++) {
        a->again = false;
        a->deadline_us = UINT64_MAX;
        if (a->left || (!a->created && !a->leave_wanted))
            return;
        for (struct agent_relay *r = a->relays; r != NULL; r = r->next)
            r->wanted = false;
        /* What is wanted first, then what is done for it. */
        chq_agent_advance_contacts(a);
        chq_agent_advance_inbox(a);
        chq_agent_advance_outbox(a);
        chq_agent_advance_debts(a);
        chq_agent_advance_account(a);
        chq_agent_advance_prekeys(a);
        if (a->leave_wanted && !a->leaving) {
            if (a->now_us < a->leave_until_us && chq_agent_outbox_busy(a)) {
                chq_agent_wake(a, a->leave_until_us);
            } else {
                a->leaving = a->again = true;
                a->leave_until_us = a->now_us + AGENT_LEAVE_US;
            }
        }
        chq_agent_advance_relays(a);
        chq_agent_advance_lookups(a);
        if (!a->again || a->err != CHQ_OK)
            return;
    }
    chq_agent_wake(a, a->now_us + AGENT_RETRY_MIN_MS * 1000);
}

static void relay_event(struct chq_agent *a, const struct chq_agent_event *event)
{
    struct agent_relay *relay = a->relays;
    while (relay != NULL && memcmp(relay->id, event->relay, 32) != 0)
        relay = relay->next;
    if (relay == NULL || relay->state == AGENT_LINK_NONE)
        return; /* a link that was given up in the meantime */
    if (event->type == CHQ_AGENT_LINK_UP)
        chq_agent_link_up(a, relay);
    else if (event->type == CHQ_AGENT_LINK_DOWN)
        chq_agent_link_down(a, relay, event->reason);
    else
        chq_agent_frame(a, relay, event->frame);
}

enum chq_err chq_agent_step(
    struct chq_agent *a, const struct chq_agent_event *event, struct chq_agent_actions *out)
{
    *out = (struct chq_agent_actions){0};
    if (a->broken || (event->type != CHQ_AGENT_START && !a->started))
        return CHQ_STATE;
    chq_agent_output_clear(a);
    /* Every step has its own time, so that 'asked after it' can be told from 'asked before it'. */
    a->now_us = event->now_us > a->now_us ? event->now_us : a->now_us + 1;
    a->unix_ms = event->unix_ms;
    switch (event->type) {
    case CHQ_AGENT_START:
        if (!a->started) {
            a->started = true;
            chq_agent_fail(a, chq_agent_resume(a));
        }
        a->leave_wanted = a->leaving = a->left = false;
        break;
    case CHQ_AGENT_TIMEOUT: break;
    case CHQ_AGENT_LINK_UP:
    case CHQ_AGENT_LINK_DOWN:
    case CHQ_AGENT_FRAME: relay_event(a, event); break;
    case CHQ_AGENT_COMMAND: command(a, &event->command); break;
    }
    if (a->err == CHQ_OK)
        advance(a);
    if (a->err == CHQ_OK)
        chq_agent_flush(a);
    if (a->err == CHQ_OK)
        chq_agent_output_take(a, out);
    if (a->err != CHQ_OK) {
        a->broken = true;
        *out = (struct chq_agent_actions){0};
    }
    return a->err;
}

uint64_t chq_agent_deadline_us(const struct chq_agent *a)
{
    return a->started && !a->broken ? a->deadline_us : UINT64_MAX;
}
