/* SPDX-License-Identifier: Apache-2.0 */
/* A relay that sends anything: the agent never crashes, and never asks for a step that cannot be done. */
#include "client/agent/agent.h"
#include "core/base/assert.h"
#include "core/crypto/random.h"
#include "core/wire/frame.h"
#include "core/wire/invitation.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct chq_agent *agent;
static uint64_t now_us;

static void step(struct chq_agent_event event)
{
    struct chq_agent_actions actions;
    event.now_us = now_us += 1000;
    event.unix_ms = UINT64_C(1800000000000) + now_us / 1000;
    memset(event.relay, 7, 32);
    enum chq_err err = chq_agent_step(agent, &event, &actions);
    CHQ_ASSERT(err == CHQ_OK);
    for (uint32_t i = 0; i < actions.n; i++)
        CHQ_ASSERT(actions.v[i].type >= CHQ_AGENT_DO_PERSIST && actions.v[i].type <= CHQ_AGENT_DO_NOTIFY);
}

static void begin(void)
{
    static struct chq_invitation in = {.chain_id = "test", .validators_count = 1, .host = "relay", .port = 1};
    static struct chq_seeded seeded;
    static const uint8_t entropy[32] = {1};
    struct chq_writer w = chq_writer_heap(CHQ_INVITATION_CHARACTERS_MAX),
                      f = chq_writer_heap(CHQ_FRAME_BYTES_MAX);
    chq_seeded_init(&seeded, 1);
    struct chq_random random = chq_seeded_random(&seeded);
    enum chq_err err = chq_crypto_init();
    CHQ_ASSERT(err == CHQ_OK);
    err = chq_agent_new(&agent, &random, NULL);
    CHQ_ASSERT(err == CHQ_OK);
    in.validators[0] = (struct chq_validator){.key = {5}, .power = 1};
    memset(in.relay, 7, 32);
    chq_invitation_put(&w, &in);
    step((struct chq_agent_event){.type = CHQ_AGENT_START});
    step((struct chq_agent_event){.type = CHQ_AGENT_COMMAND,
        .command = {.type = CHQ_AGENT_CREATE,
            .text = chq_writer_bytes(&w),
            .handle = chq_bytes_text("ana"),
            .secret = chq_bytes(entropy, sizeof entropy)}});
    step((struct chq_agent_event){.type = CHQ_AGENT_LINK_UP});
    struct chq_frame welcome = {.type = CHQ_FRAME_WELCOME, .id = 1};
    welcome.welcome.version = CHQ_RELAY_PROTOCOL_VERSION;
    memset(welcome.welcome.relay_id, 7, 32);
    welcome.welcome.quantum_bytes = 65536;
    welcome.welcome.price_micro = 1;
    err = chq_frame_write(&f, &welcome);
    CHQ_ASSERT(err == CHQ_OK);
    if (now_us % 2000 == 0)
        step((struct chq_agent_event){.type = CHQ_AGENT_FRAME, .frame = chq_writer_bytes(&f)});
    chq_writer_free(&w);
    chq_writer_free(&f);
}

/* The input is frames: u16 size and bytes, one after another. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    now_us = size > 0 && data[0] % 2 == 0 ? 0 : 1000;
    begin();
    struct chq_reader r = chq_reader(chq_bytes(data, size));
    while (chq_reader_left(&r) >= 2) {
        size_t want = chq_read_u16(&r), left = chq_reader_left(&r);
        step((struct chq_agent_event){
            .type = CHQ_AGENT_FRAME, .frame = chq_read_bytes(&r, want < left ? want : left)});
        step((struct chq_agent_event){.type = CHQ_AGENT_TIMEOUT});
    }
    chq_agent_free(agent);
    return 0;
}
