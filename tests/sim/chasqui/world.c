/* SPDX-License-Identifier: Apache-2.0 */
/* The clock, the connections between clients and relays, and what goes wrong with them. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/assert.h"
#include "core/wire/ledger_frame.h"
#include "tests/sim/chasqui/sim.h"

#define QUIET_US                                                                                             \
    (40 * 60 * UINT64_C(1000000)) /* after the faults, everything must be well within this time */
#define CALM_US (120 * UINT64_C(1000000)) /* and stay so for this time: idle payments, settlements */

void sim_log(struct sim *s, const char *format, ...)
{
    if (!s->options.verbose)
        return;
    va_list args;
    va_start(args, format);
    printf("%10.6f ", (double)s->now_us / 1e6);
    vprintf(format, args);
    printf("\n");
    va_end(args);
}

void sim_trace(struct sim *s, const char *format, ...)
{
    if (s->options.trace == NULL)
        return;
    va_list args;
    va_start(args, format);
    vfprintf(s->options.trace, format, args);
    fputc('\n', s->options.trace);
    va_end(args);
}

void sim_fail(struct sim *s, const char *format, ...)
{
    if (s->failed)
        return;
    s->failed = true;
    va_list args;
    va_start(args, format);
    vsnprintf(s->why, sizeof s->why, format, args);
    va_end(args);
    sim_log(s, "VIOLATION: %s", s->why);
}

void *sim_alloc(size_t size)
{
    void *p = calloc(1, size > 0 ? size : 1);
    CHQ_ASSERT(p != NULL);
    return p;
}

uint8_t *sim_copy(struct chq_bytes in)
{
    uint8_t *p = sim_alloc(in.size);
    if (in.size > 0)
        memcpy(p, in.data, in.size);
    return p;
}

uint64_t sim_below(struct sim *s, uint64_t bound)
{
    return chq_random_below(&s->random, bound);
}

bool sim_faulty(const struct sim *s)
{
    return s->now_us >= s->options.faults_from_us && s->now_us < s->options.faults_until_us;
}

bool sim_chance(struct sim *s, double per_thousand)
{
    return sim_faulty(s) && (double)sim_below(s, 1000000) < per_thousand * 1000;
}

uint64_t sim_unix_ms(const struct sim *s)
{
    return SIM_START_S * 1000 + s->now_us / 1000;
}

/* --- the heap of events, by time and then by the order in which they were made --- */

static bool before(const struct event *x, const struct event *y)
{
    return x->at_us != y->at_us ? x->at_us < y->at_us : x->order < y->order;
}

struct event *sim_at(struct sim *s, uint64_t delay_us, enum event_type type, uint32_t a, uint32_t b)
{
    if (s->heap_n == s->heap_cap) {
        s->heap_cap = s->heap_cap * 2 + 256;
        s->heap = realloc(s->heap, s->heap_cap * sizeof *s->heap);
        CHQ_ASSERT(s->heap != NULL);
    }
    struct event e = {.at_us = s->now_us + delay_us, .order = s->order++, .type = type, .a = a, .b = b};
    uint32_t i = s->heap_n++;
    while (i > 0 && before(&e, &s->heap[(i - 1) / 2])) {
        s->heap[i] = s->heap[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    s->heap[i] = e;
    return &s->heap[i]; /* valid until the next call */
}

static struct event pop(struct sim *s)
{
    struct event top = s->heap[0], last = s->heap[--s->heap_n];
    uint32_t i = 0;
    for (;;) {
        uint32_t child = 2 * i + 1;
        if (child >= s->heap_n)
            break;
        if (child + 1 < s->heap_n && before(&s->heap[child + 1], &s->heap[child]))
            child++;
        if (!before(&s->heap[child], &last))
            break;
        s->heap[i] = s->heap[child];
        i = child;
    }
    s->heap[i] = last;
    return top;
}

/* --- connections --- */

static uint64_t latency(struct sim *s)
{
    uint64_t d = 500 + sim_below(s, 20000);
    if (sim_faulty(s) && sim_below(s, 10) == 0)
        d += sim_below(s, 2000000);
    return d;
}

uint32_t sim_link_new(struct sim *s, uint32_t client, uint32_t relay)
{
    if (s->links_n == s->links_cap) {
        s->links_cap = s->links_cap * 2 + 64;
        s->links = realloc(s->links, s->links_cap * sizeof *s->links);
        CHQ_ASSERT(s->links != NULL);
    }
    s->links[s->links_n] = (struct sim_link){.client = client,
        .relay = relay,
        .client_epoch = s->clients[client].epoch,
        .relay_epoch = s->relays[relay].epoch,
        .client_open = true};
    sim_at(s, latency(s), EVENT_LINK_OPEN, s->links_n, 0);
    return s->links_n++;
}

void sim_link_cut(struct sim *s, uint32_t link)
{
    struct sim_link *l = &s->links[link];
    if (l->client_open)
        sim_at(s, 1000 + sim_below(s, 5000000), EVENT_LINK_GONE_CLIENT, link, 0);
    if (l->relay_open)
        sim_at(s, 1000 + sim_below(s, 5000000), EVENT_LINK_GONE_RELAY, link, 0);
    l->cut = true; /* frames on the way find nobody */
}

void sim_link_close(struct sim *s, uint32_t link, bool by_client)
{
    struct sim_link *l = &s->links[link];
    uint64_t after = by_client ? l->to_relay_us : l->to_client_us;
    uint64_t delay = (after > s->now_us ? after - s->now_us : 0) + latency(s);
    if (by_client) {
        l->client_open = false;
        sim_at(s, delay, EVENT_LINK_GONE_RELAY, link, 0);
    } else {
        l->relay_open = false;
        sim_at(s, delay, EVENT_LINK_GONE_CLIENT, link, 0);
    }
}

void sim_link_crash(struct sim *s, uint32_t link, bool of_client)
{
    if (!s->links[link].cut && sim_below(s, 2) == 0)
        sim_link_close(s, link, of_client);
    else
        sim_link_cut(s, link);
}

void sim_send(struct sim *s, uint32_t link, bool to_client, struct chq_bytes frame, bool lie)
{
    struct sim_link *l = &s->links[link];
    uint64_t *last = to_client ? &l->to_client_us : &l->to_relay_us;
    uint64_t at = s->now_us + latency(s);
    if (at <= *last)
        at = *last + 1;
    *last = at;
    struct event *e = sim_at(s, at - s->now_us, to_client ? EVENT_TO_CLIENT : EVENT_TO_RELAY, link, 0);
    e->data = sim_copy(frame);
    e->size = frame.size;
    e->lie = lie;
}

/* --- dispatch --- */

/* Name the frame as it arrives; an ERROR with what it says. */
static void trace_frame(struct sim *s, const char *from, const char *to, struct chq_bytes bytes)
{
    if (s->options.trace == NULL)
        return;
    static const char *const requests[] = {"", "INFO", "SUBMIT", "QUERY"};
    static const char *const kinds[] = {"", "account", "devices", "handle", "relay", "channel"};
    struct chq_ledger_request request;
    struct chq_frame *frame = sim_alloc(sizeof *frame);
    if (chq_frame_read(bytes, frame) != CHQ_OK)
        sim_trace(s, "%s -> %s ?", from, to);
    else if (frame->type == CHQ_FRAME_ERROR)
        sim_trace(s, "%s -> %s ERROR %d %.*s", from, to, (int)frame->error.code, (int)frame->error.text.size,
            (const char *)frame->error.text.data);
    else if (frame->type == CHQ_FRAME_PUT)
        sim_trace(s, "%s -> %s PUT of %u bytes", from, to, (unsigned)frame->put.envelope.size);
    else if (frame->type == CHQ_FRAME_DELIVER)
        sim_trace(s, "%s -> %s DELIVER %u of %u bytes", from, to, (unsigned)frame->deliver.sequence,
            (unsigned)frame->deliver.envelope.size);
    else if (frame->type == CHQ_FRAME_CREDIT)
        sim_trace(s, "%s -> %s CREDIT token %u, carried %u", from, to, (unsigned)frame->credit.index,
            (unsigned)frame->credit.carried_bytes);
    else if (frame->type == CHQ_FRAME_LEDGER &&
             chq_ledger_request_read(frame->ledger.request, &request) == CHQ_OK)
        sim_trace(s, "%s -> %s LEDGER %s %s", from, to, requests[request.type], kinds[request.kind]);
    else
        sim_trace(s, "%s -> %s %s", from, to, chq_frame_type_name(frame->type));
    free(frame);
}

static void client_link_event(struct sim *s, const struct event *e, enum chq_agent_event_type type)
{
    struct sim_link *l = &s->links[e->a];
    struct chq_agent_event event = {.type = type, .frame = chq_bytes(e->data, e->size)};
    if (type == CHQ_AGENT_FRAME)
        trace_frame(s, l->relay == 0 ? "north" : "south", s->clients[l->client].handle, event.frame);
    event.reason = chq_bytes_text("the connection broke");
    memcpy(event.relay, s->relays[l->relay].account.id, 32);
    client_event(s, l->client, &event, e->lie);
}

static bool is_current(const struct sim *s, const struct sim_link *l)
{
    return l->client_open && l->client_epoch == s->clients[l->client].epoch &&
           s->clients[l->client].agent != NULL;
}

static void on_link_event(struct sim *s, const struct event *e)
{
    struct sim_link *l = &s->links[e->a];
    switch (e->type) {
    case EVENT_LINK_OPEN:
        if (l->client_open && s->relays[l->relay].up && !l->cut)
            relay_on_open(s, e->a);
        else if (l->client_open && !l->cut)
            sim_link_close(s, e->a, false);
        return;
    case EVENT_LINK_UP:
        if (is_current(s, l) && !l->cut)
            client_link_event(s, e, CHQ_AGENT_LINK_UP);
        return;
    case EVENT_TO_CLIENT:
        if (is_current(s, l) && !l->cut)
            client_link_event(s, e, CHQ_AGENT_FRAME);
        return;
    case EVENT_TO_RELAY:
        if (l->relay_open && !l->cut && l->relay_epoch == s->relays[l->relay].epoch) {
            trace_frame(s, s->clients[l->client].handle, l->relay == 0 ? "north" : "south",
                chq_bytes(e->data, e->size));
            relay_on_frame(s, e->a, chq_bytes(e->data, e->size));
        }
        return;
    case EVENT_LINK_GONE_CLIENT:
        if (is_current(s, l)) {
            l->client_open = false;
            client_link_event(s, e, CHQ_AGENT_LINK_DOWN);
        }
        s->links[e->a].client_open = false;
        return;
    case EVENT_LINK_GONE_RELAY:
        if (l->relay_open && l->relay_epoch == s->relays[l->relay].epoch)
            relay_on_gone(s, e->a);
        s->links[e->a].relay_open = false;
        return;
    default: return;
    }
}

static void cut_some(struct sim *s, bool all)
{
    for (uint32_t i = 0; i < s->links_n; i++)
        if ((s->links[i].client_open || s->links[i].relay_open) && !s->links[i].cut &&
            (all || sim_below(s, 3) == 0)) {
            sim_link_cut(s, i);
            s->cuts++;
        }
}

/* Every second or so something may break; when the faults end, everybody connects anew and is honest. */
static void on_fault(struct sim *s)
{
    if (s->now_us >= s->options.faults_until_us) {
        sim_log(s, "faults end");
        for (uint32_t r = 0; r < s->options.relays; r++)
            s->relays[r].lies = false;
        cut_some(s, true);
        return;
    }
    if (sim_chance(s, s->options.loss))
        cut_some(s, false);
    for (uint32_t r = 0; r < s->options.relays; r++) {
        if (sim_chance(s, s->options.crash))
            relay_crash(s, r);
        if (sim_chance(s, s->options.lie))
            s->relays[r].lies = !s->relays[r].lies;
    }
    for (uint32_t c = 0; c < s->options.clients; c++)
        if (sim_chance(s, s->options.crash))
            client_crash(s, c);
    if (sim_chance(s, s->options.crash / 2))
        chain_crash(s);
    uint64_t left = s->options.faults_until_us - s->now_us, step = 200000 + sim_below(s, 1000000);
    sim_at(s, step < left ? step : left, EVENT_FAULT, 0, 0);
}

static void dispatch(struct sim *s, const struct event *e)
{
    switch (e->type) {
    case EVENT_LINK_OPEN:
    case EVENT_LINK_UP:
    case EVENT_TO_CLIENT:
    case EVENT_TO_RELAY:
    case EVENT_LINK_GONE_CLIENT:
    case EVENT_LINK_GONE_RELAY: on_link_event(s, e); return;
    case EVENT_CLIENT_TIMER:
        if (e->epoch == s->clients[e->a].epoch)
            client_on_timer(s, e->a, e->number);
        return;
    case EVENT_CLIENT_START: client_start(s, e->a); return;
    case EVENT_RELAY_COMMIT:
        if (e->epoch == s->relays[e->a].epoch && s->relays[e->a].up)
            relay_on_commit(s, e->a);
        return;
    case EVENT_RELAY_TIMER:
        if (e->epoch == s->relays[e->a].epoch && s->relays[e->a].up)
            relay_on_timer(s, e->a);
        return;
    case EVENT_RELAY_START: relay_start(s, e->a); return;
    case EVENT_RELAY_ASK:
        relay_on_ask(s, e);
        return;
        return;
    case EVENT_SETTLE: relay_on_settle(s, e); return;
    case EVENT_CHAIN_START: chain_start(s); return;
    case EVENT_FAULT: on_fault(s); return;
    case EVENT_APP: client_app(s, e->a); return;
    case EVENT_CALL: client_call(s, e->a); return;
    case EVENT_STORY: story_go_on(s, e->number); return;
    case EVENT_DEVICE: client_device(s, e->a); return;
    }
}

static void begin(struct sim *s)
{
    chain_init(s);
    for (uint32_t r = 0; r < s->options.relays; r++)
        relay_init(s, r);
    for (uint32_t c = 0; c < s->options.clients; c++)
        client_init(s, c);
    if (s->options.calm)
        story_begin(s);
    else
        sim_at(s, 1000000, EVENT_FAULT, 0, 0);
}

static void run(struct sim *s)
{
    uint64_t end = s->options.faults_until_us + QUIET_US, calm = 0;
    while (s->heap_n > 0 && !s->failed) {
        struct event e = pop(s);
        s->now_us = e.at_us;
        s->steps++;
        dispatch(s, &e);
        free(e.data);
        if (s->now_us >= s->options.faults_until_us && calm == 0 && oracle_done(s))
            calm = s->now_us + CALM_US;
        if ((calm != 0 && s->now_us > calm) || s->now_us > end)
            break;
    }
    if (!s->failed)
        oracle_end(s);
}

bool sim_run(const struct sim_options *options, uint64_t seed, char why[512], struct sim *totals)
{
    struct sim *s = sim_alloc(sizeof *s);
    s->options = *options;
    s->seed = seed;
    chq_seeded_init(&s->seeded, seed);
    s->random = chq_seeded_random(&s->seeded);
    begin(s);
    run(s);
    bool ok = !s->failed;
    memcpy(why, s->why, sizeof s->why);
    for (uint32_t c = 0; c < CLIENTS_MAX; c++)
        client_free(s, c);
    for (uint32_t r = 0; r < options->relays; r++)
        relay_free(s, r);
    chain_free(s);
    for (uint32_t i = 0; i < s->heap_n; i++)
        free(s->heap[i].data);
    free(s->heap);
    free(s->links);
    totals->frames += s->frames;
    totals->crashes += s->crashes;
    totals->cuts += s->cuts;
    totals->lies += s->lies;
    totals->lies_noticed += s->lies_noticed;
    totals->delivered += s->delivered;
    totals->steps += s->steps;
    totals->now_us += s->now_us;
    free(s);
    return ok;
}
