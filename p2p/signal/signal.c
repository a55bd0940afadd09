/* SPDX-License-Identifier: Apache-2.0 */
#include "p2p/signal/signal.h"

#include <sodium.h>
#include <string.h>

#include "core/base/assert.h"
#include "core/crypto/hkdf.h"

enum {
    HOLD_US = 400000, /* relay first: how long the others wait for a relayed candidate */
    RELAY_UP_US = 2000000, /* and then for a path by it: several round trips of a slow network */
    SETTLE_US = 60000, /* how long the pair by the relay has to itself */
    GATHER_US = 30000 /* candidates found within this time travel together */
};

#define SECOND_US UINT64_C(1000000)

const char *chq_call_state_string(enum chq_call_state state)
{
    switch (state) {
    case CHQ_CALL_NEW: return "new";
    case CHQ_CALL_RINGING: return "ringing";
    case CHQ_CALL_CONNECTING: return "connecting";
    case CHQ_CALL_CONNECTED: return "connected";
    case CHQ_CALL_LOST: return "connection lost";
    case CHQ_CALL_ENDED: return "ended";
    }
    return "unknown";
}

const char *chq_call_end_string(enum chq_call_end end)
{
    switch (end) {
    case CHQ_CALL_END_NONE: return "not ended";
    case CHQ_CALL_END_HANGUP: return "hung up";
    case CHQ_CALL_END_DECLINED: return "declined";
    case CHQ_CALL_END_BUSY: return "busy";
    case CHQ_CALL_END_NO_ANSWER: return "no answer";
    case CHQ_CALL_END_NO_PATH: return "no connection";
    case CHQ_CALL_END_MISSED: return "missed";
    case CHQ_CALL_END_FAILED: return "failed";
    }
    return "unknown";
}

void chq_signal_init(struct chq_signal *signal, const struct chq_signal_config *config)
{
    memset(signal, 0, sizeof *signal);
    signal->config = *config;
    signal->deadline_us = signal->flush_us = UINT64_MAX;
    signal->hold_until_us = config->relay_expected ? UINT64_MAX : 0;
}

void chq_signal_set_credentials(struct chq_signal *signal, const struct chq_ice_credentials *credentials)
{
    CHQ_ASSERT(signal->state == CHQ_CALL_NEW);
    signal->config.credentials = *credentials;
}

void chq_signal_fini(struct chq_signal *signal)
{
    sodium_memzero(signal, sizeof *signal);
}

uint64_t chq_signal_deadline_us(const struct chq_signal *signal)
{
    return signal->deadline_us < signal->flush_us ? signal->deadline_us : signal->flush_us;
}

static void enter(
    struct chq_signal *s, enum chq_call_state state, uint64_t deadline_us, struct chq_signal_actions *out)
{
    s->state = state;
    s->deadline_us = deadline_us;
    out->state_changed = true;
}

static void finish(struct chq_signal *s, enum chq_call_end end, struct chq_signal_actions *out)
{
    s->end = end;
    s->flush_us = UINT64_MAX;
    enter(s, CHQ_CALL_ENDED, UINT64_MAX, out);
}

static void send(
    struct chq_signal *s, const struct chq_signal_message *message, struct chq_signal_actions *out)
{
    const int at = out->send[0].size == 0 ? 0 : 1;
    CHQ_ASSERT(out->send[at].size == 0);
    struct chq_writer w = chq_writer_fixed(s->storage[at], sizeof s->storage[at]);
    chq_signal_write(&w, message);
    CHQ_ASSERT(w.err == CHQ_OK);
    out->send[at] = chq_writer_bytes(&w);
}

static void send_hangup(struct chq_signal *s, enum chq_call_end reason, struct chq_signal_actions *out)
{
    const struct chq_signal_message message = {.type = CHQ_CALL_SIGNAL_HANGUP, .reason = reason};
    send(s, &message, out);
}

/* Both halves, the call and both accounts (docs/protocol.md section 10). */
static void agree(struct chq_signal *s, const uint8_t caller_random[32], const uint8_t callee_random[32])
{
    static const char name[] = "chasqui call v1";
    uint8_t input[64], info[sizeof name - 1 + 64];
    const bool caller = s->config.caller;
    memcpy(input, caller_random, 32);
    memcpy(input + 32, callee_random, 32);
    memcpy(info, name, sizeof name - 1);
    memcpy(info + sizeof name - 1, caller ? s->config.own_account : s->config.peer_account, 32);
    memcpy(info + sizeof name - 1 + 32, caller ? s->config.peer_account : s->config.own_account, 32);
    chq_hkdf(s->secret, sizeof s->secret, chq_bytes(s->config.call_id, sizeof s->config.call_id),
        chq_bytes(input, sizeof input), chq_bytes(info, sizeof info));
    s->secret_known = true;
    sodium_memzero(input, sizeof input);
    sodium_memzero(s->config.random, sizeof s->config.random);
}

/* Relay first: what is not relayed leaves when the call is up on the relay, or does not come up in time. */
static bool may_leave(const struct chq_signal *s, uint32_t i, uint64_t now_us)
{
    if ((s->local_sent >> i & 1) != 0)
        return false;
    return s->local[i].kind == CHQ_CANDIDATE_RELAYED || now_us >= s->hold_until_us;
}

static void hold_until(struct chq_signal *s, uint64_t at_us)
{
    s->hold_until_us = s->config.relay_expected ? at_us : 0;
}

/* Take the next candidates that may leave, relayed ones first. */
static void take_candidates(struct chq_signal *s, uint64_t now_us, struct chq_signal_message *message)
{
    for (int relayed = 1; relayed >= 0; relayed--)
        for (uint32_t i = 0; i < s->local_count; i++) {
            if (message->candidates_count == CHQ_CALL_CANDIDATES_PER_MESSAGE)
                return;
            if ((s->local[i].kind == CHQ_CANDIDATE_RELAYED) == (relayed == 1) && may_leave(s, i, now_us)) {
                message->candidates[message->candidates_count++] = s->local[i];
                s->local_sent |= UINT32_C(1) << i;
            }
        }
}

/* Send what is due: our description once, then candidates. */
static void flush(struct chq_signal *s, const struct chq_signal_event *in, struct chq_signal_actions *out)
{
    if (in->now_us < s->flush_us)
        return;
    s->flush_us = UINT64_MAX;
    struct chq_signal_message message = {.type = CHQ_CALL_SIGNAL_CANDIDATES};
    take_candidates(s, in->now_us, &message);
    if (!s->described) {
        message.type = s->config.caller ? CHQ_CALL_SIGNAL_OFFER : CHQ_CALL_SIGNAL_ANSWER;
        message.sent_ms = in->wall_ms;
        message.credentials = s->config.credentials;
        memcpy(message.random, s->config.random, sizeof message.random);
        s->described = true;
        if (!s->config.caller)
            agree(s, s->offer_random, message.random);
        send(s, &message, out);
        sodium_memzero(message.random, sizeof message.random);
    } else if (message.candidates_count > 0) {
        send(s, &message, out);
    }
    uint64_t next_us = UINT64_MAX;
    for (uint32_t i = 0; i < s->local_count; i++)
        if (may_leave(s, i, in->now_us))
            next_us = in->now_us; /* more than one message holds */
        else if ((s->local_sent >> i & 1) == 0 && next_us > s->hold_until_us)
            next_us = s->hold_until_us;
    s->flush_us = next_us;
}

/*
 * Give the agent what it may use. Addresses of the peer are held like ours: libnice forgets pairs that it has not begun
 * to check when another one is nominated, so the pair by the relay must be through before better ones are named.
 */
static void give_remote(struct chq_signal *s, uint64_t now_us, struct chq_signal_actions *out)
{
    bool held = false;
    out->remote = s->give;
    for (uint32_t i = 0; i < s->remote_count; i++) {
        if ((s->remote_given >> i & 1) != 0)
            continue;
        if (s->remote[i].kind == CHQ_CANDIDATE_RELAYED || now_us >= s->hold_until_us) {
            s->give[out->remote_count++] = s->remote[i];
            s->remote_given |= UINT32_C(1) << i;
        } else {
            held = true;
        }
    }
    if (held && s->hold_until_us < s->flush_us)
        s->flush_us = s->hold_until_us;
}

static void flush_by(struct chq_signal *s, uint64_t at_us)
{
    if (at_us < s->flush_us)
        s->flush_us = at_us;
}

/* Whether our description may be made: the caller from the start, the callee once the user took the call. */
static bool may_describe(const struct chq_signal *s)
{
    return s->state != CHQ_CALL_NEW && s->state != CHQ_CALL_ENDED &&
           (s->config.caller || s->state != CHQ_CALL_RINGING);
}

static enum chq_err add_local(struct chq_signal *s, const struct chq_signal_event *in)
{
    if (s->state == CHQ_CALL_ENDED)
        return CHQ_STATE;
    if (s->local_count == CHQ_CALL_CANDIDATES_MAX)
        return CHQ_LIMIT;
    s->local[s->local_count++] = in->candidate;
    const bool relayed = in->candidate.kind == CHQ_CANDIDATE_RELAYED;
    if (relayed && !s->relayed_known && s->state <= CHQ_CALL_RINGING)
        hold_until(s, UINT64_MAX); /* the relay works: addresses can wait for the answer */
    s->relayed_known = s->relayed_known || relayed;
    if (!may_describe(s))
        return CHQ_OK;
    if (relayed)
        flush_by(s, in->now_us);
    else
        flush_by(s, s->hold_until_us > in->now_us ? s->hold_until_us : in->now_us + GATHER_US);
    return CHQ_OK;
}

static enum chq_err add_remote(struct chq_signal *s, const struct chq_signal_message *message)
{
    for (uint32_t i = 0; i < message->candidates_count; i++) {
        if (s->remote_count == CHQ_CALL_CANDIDATES_MAX)
            return CHQ_LIMIT;
        s->remote[s->remote_count++] = message->candidates[i];
    }
    return CHQ_OK;
}

/* Answered: from now on, candidates that are held back wait for the path, at most so long. */
static void connect_by_relay(struct chq_signal *s, uint64_t now_us)
{
    if (s->relayed_known)
        hold_until(s, now_us + RELAY_UP_US);
    if (s->described)
        flush_by(s, s->hold_until_us > now_us ? s->hold_until_us : now_us);
}

/* The call is up: once the first pair has settled, better ones are looked for. */
static void open_up(struct chq_signal *s, uint64_t now_us)
{
    if (s->hold_until_us <= now_us)
        return;
    hold_until(s, now_us + SETTLE_US);
    s->flush_us = s->hold_until_us;
}

static enum chq_err on_offer(struct chq_signal *s, const struct chq_signal_event *in,
    const struct chq_signal_message *message, struct chq_signal_actions *out)
{
    if (s->config.caller || s->state != CHQ_CALL_NEW)
        return CHQ_STATE;
    if (in->wall_ms > message->sent_ms &&
        in->wall_ms - message->sent_ms > CHQ_CALL_OFFER_AGE_SECONDS * UINT64_C(1000)) {
        finish(s, CHQ_CALL_END_MISSED, out);
        return CHQ_OK;
    }
    memcpy(s->offer_random, message->random, sizeof s->offer_random);
    s->remote_credentials = message->credentials;
    (void)add_remote(s, message); /* the first message always fits */
    if (!s->relayed_known)
        hold_until(s, in->now_us + HOLD_US);
    const struct chq_signal_message ringing = {.type = CHQ_CALL_SIGNAL_RINGING};
    send(s, &ringing, out);
    enter(s, CHQ_CALL_RINGING, in->now_us + CHQ_CALL_RING_SECONDS * SECOND_US, out);
    return CHQ_OK;
}

static enum chq_err on_answer(struct chq_signal *s, const struct chq_signal_event *in,
    const struct chq_signal_message *message, struct chq_signal_actions *out)
{
    if (!s->config.caller || s->state != CHQ_CALL_RINGING || !s->described)
        return CHQ_STATE;
    agree(s, s->config.random, message->random);
    s->remote_credentials = message->credentials;
    const enum chq_err err = add_remote(s, message);
    out->remote_credentials = &s->remote_credentials;
    connect_by_relay(s, in->now_us);
    enter(s, CHQ_CALL_CONNECTING, in->now_us + CHQ_CALL_CONNECT_SECONDS * SECOND_US, out);
    return err;
}

static enum chq_err on_candidates(struct chq_signal *s, const struct chq_signal_message *message)
{
    if (s->state == CHQ_CALL_NEW || s->state == CHQ_CALL_ENDED)
        return CHQ_STATE;
    return add_remote(s, message);
}

static enum chq_err on_hangup(
    struct chq_signal *s, const struct chq_signal_message *message, struct chq_signal_actions *out)
{
    if (s->state == CHQ_CALL_ENDED)
        return CHQ_STATE;
    const bool missed = !s->config.caller && (s->state == CHQ_CALL_RINGING || s->state == CHQ_CALL_NEW);
    finish(s, missed ? CHQ_CALL_END_MISSED : message->reason, out);
    return CHQ_OK;
}

static enum chq_err on_message(
    struct chq_signal *s, const struct chq_signal_event *in, struct chq_signal_actions *out)
{
    struct chq_signal_message message;
    enum chq_err err = chq_signal_read(in->message, &message);
    if (err == CHQ_OK)
        switch (message.type) {
        case CHQ_CALL_SIGNAL_OFFER: err = on_offer(s, in, &message, out); break;
        case CHQ_CALL_SIGNAL_ANSWER: err = on_answer(s, in, &message, out); break;
        case CHQ_CALL_SIGNAL_CANDIDATES: err = on_candidates(s, &message); break;
        case CHQ_CALL_SIGNAL_RINGING:
            err = s->config.caller && s->state == CHQ_CALL_RINGING ? CHQ_OK : CHQ_STATE;
            s->rings_there = s->rings_there || err == CHQ_OK;
            break;
        case CHQ_CALL_SIGNAL_HANGUP: err = on_hangup(s, &message, out); break;
        }
    sodium_memzero(&message, sizeof message);
    return err;
}

static enum chq_err on_start(struct chq_signal *s, uint64_t now_us, struct chq_signal_actions *out)
{
    if (!s->config.caller || s->state != CHQ_CALL_NEW)
        return CHQ_STATE;
    s->hold_until_us = s->config.relay_expected ? now_us + HOLD_US : now_us;
    s->flush_us =
        s->config.relay_expected ? (s->relayed_known ? now_us : s->hold_until_us) : now_us + GATHER_US;
    enter(s, CHQ_CALL_RINGING, now_us + CHQ_CALL_RING_SECONDS * SECOND_US, out);
    return CHQ_OK;
}

static enum chq_err on_accept(struct chq_signal *s, uint64_t now_us, struct chq_signal_actions *out)
{
    if (s->config.caller || s->state != CHQ_CALL_RINGING)
        return CHQ_STATE;
    flush_by(s, s->relayed_known || s->hold_until_us < now_us ? now_us : s->hold_until_us);
    connect_by_relay(s, now_us);
    out->remote_credentials = &s->remote_credentials;
    enter(s, CHQ_CALL_CONNECTING, now_us + CHQ_CALL_CONNECT_SECONDS * SECOND_US, out);
    return CHQ_OK;
}

static void hang_up(struct chq_signal *s, enum chq_call_end reason, struct chq_signal_actions *out)
{
    const bool rings_here = !s->config.caller && s->state == CHQ_CALL_RINGING;
    if (s->state == CHQ_CALL_ENDED)
        return;
    if (reason == CHQ_CALL_END_NONE)
        reason = rings_here ? CHQ_CALL_END_DECLINED : CHQ_CALL_END_HANGUP;
    if (rings_here || s->described || s->state >= CHQ_CALL_CONNECTING)
        send_hangup(s, reason, out);
    finish(s, reason, out);
}

static void on_timeout(struct chq_signal *s, uint64_t now_us, struct chq_signal_actions *out)
{
    if (now_us < s->deadline_us)
        return;
    if (s->state != CHQ_CALL_RINGING)
        hang_up(s, CHQ_CALL_END_NO_PATH, out);
    else if (s->config.caller)
        hang_up(s, CHQ_CALL_END_NO_ANSWER, out);
    else
        finish(s, CHQ_CALL_END_MISSED, out);
}

enum chq_err chq_signal_step(
    struct chq_signal *signal, const struct chq_signal_event *in, struct chq_signal_actions *out)
{
    struct chq_signal *s = signal;
    enum chq_err err = CHQ_OK;
    *out = (struct chq_signal_actions){0};
    switch (in->type) {
    case CHQ_SIGNAL_START: err = on_start(s, in->now_us, out); break;
    case CHQ_SIGNAL_RECEIVED: err = on_message(s, in, out); break;
    case CHQ_SIGNAL_ACCEPT: err = on_accept(s, in->now_us, out); break;
    case CHQ_SIGNAL_CANDIDATE: err = add_local(s, in); break;
    case CHQ_SIGNAL_PATH_UP:
        if (s->state == CHQ_CALL_CONNECTING)
            open_up(s, in->now_us);
        if (s->state == CHQ_CALL_CONNECTING || s->state == CHQ_CALL_LOST)
            enter(s, CHQ_CALL_CONNECTED, UINT64_MAX, out);
        break;
    case CHQ_SIGNAL_PATH_DOWN:
        if (s->state == CHQ_CALL_CONNECTED)
            enter(s, CHQ_CALL_LOST, in->now_us + CHQ_CALL_LOST_SECONDS * SECOND_US, out);
        break;
    case CHQ_SIGNAL_HANGUP: hang_up(s, in->reason, out); break;
    case CHQ_SIGNAL_TIMEOUT: on_timeout(s, in->now_us, out); break;
    }
    if (may_describe(s))
        flush(s, in, out);
    /* Not before the answer: nothing is probed before the user took the call. */
    if (s->state >= CHQ_CALL_CONNECTING && s->state != CHQ_CALL_ENDED)
        give_remote(s, in->now_us, out);
    return err;
}
