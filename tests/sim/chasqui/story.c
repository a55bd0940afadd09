/* SPDX-License-Identifier: Apache-2.0 */
/* The calm day that the trace tells: after ana and bo have written to each other, what people do once in a while. */
#include <string.h>

#include "tests/sim/chasqui/sim.h"

#define ANA    0
#define BO     1
#define CHASKA 2 /* a guest: the oracle does not wait for messages of hers */

enum chapter { CALLS, PAYS, GUEST, OTHER_HANDLE, LOSES_DEVICE, ADDS_AGAIN, WRITES_AGAIN, ANSWERS, CHAPTERS };

static const uint64_t times_us[CHAPTERS] = {[CALLS] = 30000000,
    [PAYS] = 35000000,
    [GUEST] = 40000000,
    [OTHER_HANDLE] = 50000000,
    [LOSES_DEVICE] = 60000000,
    [ADDS_AGAIN] = 80000000,
    [WRITES_AGAIN] = 85000000,
    [ANSWERS] = 90000000};

void story_begin(struct sim *s)
{
    for (uint64_t i = 0; i < CHAPTERS; i++)
        sim_at(s, times_us[i], EVENT_STORY, 0, 0)->number = i;
}

static void call(struct sim *s)
{
    struct chq_agent_event event = {.type = CHQ_AGENT_COMMAND};
    sim_trace(s, "(ana calls bo)");
    event.command.type = CHQ_AGENT_SEND_CALL;
    event.command.data = chq_bytes_text("ring");
    memcpy(event.command.account, s->clients[BO].truth.id, 32);
    client_event(s, ANA, &event, false);
}

static void pay(struct sim *s)
{
    struct chq_agent_event transfer = {.type = CHQ_AGENT_COMMAND}, wallet = {.type = CHQ_AGENT_COMMAND};
    sim_trace(s, "(ana gives bo 1000 microcredit, nobody 1, and more than there is)");
    transfer.command.type = CHQ_AGENT_TRANSFER;
    transfer.command.handle = chq_bytes_text("bo");
    transfer.command.amount = 1000;
    client_event(s, ANA, &transfer, false);
    transfer.command.handle = chq_bytes_text("nobody");
    client_event(s, ANA, &transfer, false);
    transfer.command.handle = chq_bytes_text("bo");
    transfer.command.amount = UINT64_C(1000000000000);
    client_event(s, ANA, &transfer, false);
    wallet.command.type = CHQ_AGENT_WALLET;
    client_event(s, ANA, &wallet, false);
}

/* The last message of `c`; when the program has just died over it (chq_sim --memory), once more. */
static void write_last(struct sim *s, uint32_t c, uint32_t other, uint64_t chapter)
{
    struct sim_client *client = &s->clients[c];
    if (client->agent != NULL && client->ready && client_knows(client, s->clients[other].truth.id))
        client_write(s, c, other);
    else if (client->agent != NULL && client->ready)
        client_add(s, c, other);
    if (client->sent_to[other] < s->options.messages && !s->failed)
        sim_at(s, 3000000, EVENT_STORY, 0, 0)->number = chapter;
}

void story_go_on(struct sim *s, uint64_t chapter)
{
    switch ((enum chapter)chapter) {
    case CALLS: call(s); return;
    case PAYS: pay(s); return;
    case GUEST:
        sim_trace(s, "(somebody new wishes to be called ana)");
        client_init(s, CHASKA);
        s->clients[CHASKA].wish = "ana";
        return;
    case OTHER_HANDLE:
        sim_trace(s, "(then chaska)");
        client_create(s, CHASKA, "chaska");
        return;
    case LOSES_DEVICE:
        sim_trace(s, "(bo loses the device and gets the account back from the words)");
        client_lose(s, BO);
        return;
    case ADDS_AGAIN: client_add(s, BO, ANA); return;
    case WRITES_AGAIN: write_last(s, BO, ANA, chapter); return;
    case ANSWERS: write_last(s, ANA, BO, chapter); return;
    case CHAPTERS: return;
    }
}
