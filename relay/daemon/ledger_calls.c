/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "core/base/text.h"
#include "core/wire/batch.h"
#include "core/wire/ledger_frame.h"
#include "core/wire/signed.h"
#include "relay/daemon/state.h"

/* What the node asks its ledger: clients' requests passed on, channel look-ups, settlements, allowances. */

#define LEDGER_BURST          40
#define LEDGER_PER_S          10
#define FORWARDS_MAX          512 /* of all clients together; our own questions have the rest of the link */
#define FORWARDS_BYTES_MAX    (2u * 1024 * 1024)
#define GRANTS_PER_CONNECTION 4
#define ATTACHES_WAITING_MAX  4

/* Who asked. A connection may be gone when the answer comes: the generation tells. */
struct call {
    struct chq_node *node;
    uint32_t connection, slot;
    uint64_t generation, request_id;
    uint8_t channel_id[CHQ_ID_BYTES];
    size_t forwarded_bytes;
    struct chq_frame frame; /* ATTACH */
};

static struct call *new_call(struct chq_node *node, uint32_t connection, const struct chq_frame *frame)
{
    struct call *call = calloc(1, sizeof *call);
    if (call == NULL) {
        node_refuse(node, connection, frame->id, CHQ_NO_MEMORY, "the relay is out of memory");
        return NULL;
    }
    call->node = node;
    call->connection = connection;
    call->generation = node->clients[connection].generation;
    call->request_id = frame->id;
    return call;
}

static bool is_there(const struct call *call)
{
    const struct client *client = &call->node->clients[call->connection];
    return client->open && !client->gone && client->generation == call->generation;
}

static void on_forwarded(void *context, enum chq_err err, struct chq_bytes reply)
{
    struct call *call = context;
    struct chq_frame frame = {
        .type = CHQ_FRAME_LEDGER_REPLY, .id = call->request_id, .ledger_reply.reply = reply};
    call->node->forwards--;
    call->node->forwards_bytes -= call->forwarded_bytes;
    if (is_there(call)) {
        if (err != CHQ_OK)
            node_refuse(
                call->node, call->connection, call->request_id, CHQ_IO, "the relay cannot reach its ledger");
        else if (reply.size < 1 || reply.size > CHQ_FRAME_LEDGER_BYTES_MAX)
            node_refuse(call->node, call->connection, call->request_id, CHQ_LIMIT,
                "the ledger's reply does not fit into a frame");
        else
            node_send(call->node, call->connection, &frame);
    }
    free(call);
}

/* A bucket of requests that fills with time. */
static bool may_ask(struct client *client)
{
    uint64_t now = chq_web_now_ms();
    client->ledger_tokens_milli += (now - client->ledger_filled_ms) * LEDGER_PER_S;
    if (client->ledger_filled_ms == 0 || client->ledger_tokens_milli > 1000 * LEDGER_BURST)
        client->ledger_tokens_milli = 1000 * LEDGER_BURST;
    client->ledger_filled_ms = now;
    if (client->ledger_tokens_milli < 1000)
        return false;
    client->ledger_tokens_milli -= 1000;
    return true;
}

/*
 * Whether a batch may be passed on. A settlement is a million hashes in 64 KiB, free when its last record is wrong; payers have
 * none to send, and payees have a ledger of their own.
 */
static enum chq_err check_batch(struct chq_bytes signed_batch)
{
    struct chq_bytes body;
    struct chq_batch batch;
    struct chq_operation op;
    CHQ_TRY(chq_signed_peek(&body, signed_batch, CHQ_BATCH_BYTES_MAX));
    CHQ_TRY(chq_batch_read(body, &batch));
    struct chq_reader at = chq_reader(batch.operations);
    while (chq_batch_next(&at, &op))
        if (op.type == CHQ_OPERATION_CHANNEL_SETTLE)
            return CHQ_UNSUPPORTED;
    return CHQ_OK;
}

void ledger_forward(struct chq_node *node, uint32_t connection, const struct chq_frame *frame)
{
    struct chq_ledger_request request;
    if (chq_ledger_request_read(frame->ledger.request, &request) != CHQ_OK) {
        node_refuse(
            node, connection, frame->id, CHQ_MALFORMED, "not a ledger request: INFO, SUBMIT or QUERY");
        return;
    }
    if (!may_ask(&node->clients[connection])) {
        node_refuse(
            node, connection, frame->id, CHQ_AGAIN, "at most 10 ledger requests a second; ask again later");
        return;
    }
    size_t bytes = frame->ledger.request.size;
    enum chq_err err = request.type == CHQ_LEDGER_SUBMIT ? check_batch(request.signed_batch) : CHQ_OK;
    if (err != CHQ_OK) {
        node_refuse(node, connection, frame->id, err,
            err == CHQ_UNSUPPORTED ? "settlements are not passed on; submit them to a ledger of your own"
                                   : "the batch is malformed");
        return;
    }
    if (node->forwards >= FORWARDS_MAX || node->forwards_bytes + bytes > FORWARDS_BYTES_MAX) {
        node_refuse(node, connection, frame->id, CHQ_AGAIN, "the ledger is busy; ask again later");
        return;
    }
    struct call *call = new_call(node, connection, frame);
    if (call == NULL)
        return;
    call->forwarded_bytes = bytes;
    node->forwards++;
    node->forwards_bytes += bytes;
    chq_ledger_link_ask(
        node->link, frame->ledger.request, (struct chq_ledger_done){on_forwarded, call, free});
}

static void ask_channel(struct call *call, void (*done)(void *, enum chq_err, struct chq_bytes))
{
    uint8_t storage[64];
    struct chq_writer w = chq_writer_fixed(storage, sizeof storage);
    struct chq_ledger_request request = {.type = CHQ_LEDGER_QUERY, .kind = CHQ_RECORD_CHANNEL};
    memcpy(request.key, call->channel_id, sizeof request.key);
    chq_ledger_request_put(&w, &request);
    chq_ledger_link_ask(call->node->link, chq_writer_bytes(&w), (struct chq_ledger_done){done, call, free});
}

/* Read the proved channel record out of a reply; *found says whether there is one. */
static enum chq_err proved_channel(struct call *call, enum chq_err err, struct chq_bytes reply,
    struct chq_channel_record *record, bool *found)
{
    struct chq_light_answer answer = {0};
    *found = false;
    CHQ_TRY(err);
    err = chq_light_verify_query(
        call->node->light, CHQ_RECORD_CHANNEL, call->channel_id, reply, node_wall_s(), &answer);
    if (err != CHQ_OK) {
        chq_logf(&call->node->log, CHQ_LOG_WARNING, "the ledger's answer about a channel is refused: %s",
            answer.reason);
        return err;
    }
    *found = answer.present;
    return answer.present ? chq_channel_record_read(answer.value, record) : CHQ_OK;
}

static void on_attach_record(void *context, enum chq_err err, struct chq_bytes reply)
{
    struct call *call = context;
    struct chq_channel_record record;
    bool found;
    if (is_there(call)) {
        struct client *client = &call->node->clients[call->connection];
        client->attaches_waiting--;
        err = proved_channel(call, err, reply, &record, &found);
        struct chq_meter_event event = {.type = CHQ_METER_ATTACH,
            .connection = call->connection,
            .attach = {.frame = &call->frame,
                .challenge = client->challenge,
                .err = err,
                .record = found && err == CHQ_OK ? &record : NULL}};
        if (!node_step_meter(call->node, &event))
            node_refuse(
                call->node, call->connection, call->request_id, CHQ_NO_MEMORY, "the relay is out of memory");
    }
    free(call);
}

void ledger_attach(struct chq_node *node, uint32_t connection, const struct chq_frame *frame)
{
    struct client *client = &node->clients[connection];
    if (client->attaches_waiting >= ATTACHES_WAITING_MAX) {
        node_refuse(node, connection, frame->id, CHQ_AGAIN, "four channels are being attached already");
        return;
    }
    struct call *call = new_call(node, connection, frame);
    if (call == NULL)
        return;
    client->attaches_waiting++;
    call->frame = *frame; /* ATTACH has no views */
    memcpy(call->channel_id, frame->attach.channel_id, sizeof call->channel_id);
    ask_channel(call, on_attach_record);
}

static void on_refreshed(void *context, enum chq_err err, struct chq_bytes reply)
{
    struct call *call = context;
    struct chq_channel_record record;
    bool found;
    err = proved_channel(call, err, reply, &record, &found);
    struct chq_meter_event event = {.type = CHQ_METER_RECORD,
        .record = {.slot = call->slot,
            .channel_id = call->channel_id,
            .err = err,
            .record = found && err == CHQ_OK ? &record : NULL}};
    if (!node_step_meter(call->node, &event))
        chq_logf(&call->node->log, CHQ_LOG_WARNING, "out of memory: a channel was not looked at again");
    free(call);
}

void ledger_refresh(struct chq_node *node, uint32_t slot)
{
    struct call *call = calloc(1, sizeof *call);
    if (call == NULL)
        return;
    call->node = node;
    call->slot = slot;
    memcpy(call->channel_id, chq_meter_channel_id(node->meter, slot), sizeof call->channel_id);
    ask_channel(call, on_refreshed);
}

static void on_settled(void *context, uint64_t tag, enum chq_err err, const char *reason)
{
    struct chq_node *node = context;
    struct chq_meter_event event = {.type = CHQ_METER_SETTLED, .settled.err = err};
    if (err == CHQ_OK)
        chq_logf(&node->log, CHQ_LOG_INFO, "settled %llu channels", (unsigned long long)tag);
    else
        chq_logf(&node->log, CHQ_LOG_WARNING, "settling %llu channels: %s", (unsigned long long)tag, reason);
    if (!node_step_meter(node, &event))
        chq_logf(&node->log, CHQ_LOG_ERROR, "out of memory: a settlement was not noted");
}

void ledger_settle(struct chq_node *node, const struct chq_meter_settle *records, size_t n)
{
    struct chq_writer w = chq_writer_heap(CHQ_SETTLEMENTS_PER_BATCH_MAX * CHQ_SETTLEMENT_BYTES);
    for (size_t i = 0; i < n; i++) {
        struct chq_settlement settlement = {.number = records[i].number, .index = records[i].index};
        uint8_t bytes[CHQ_SETTLEMENT_BYTES];
        memcpy(settlement.token, records[i].token, sizeof settlement.token);
        chq_settlement_store(bytes, &settlement);
        chq_write_bytes(&w, bytes, sizeof bytes);
    }
    enum chq_err err = chq_writer_finish(&w);
    if (err == CHQ_OK)
        err = chq_wallet_settle(
            node->wallet, chq_writer_bytes(&w), (struct chq_wallet_done){on_settled, node, n, NULL});
    chq_writer_free(&w);
    if (err != CHQ_OK)
        on_settled(node, n, CHQ_AGAIN, "the relay is out of memory");
}

static void on_granted(void *context, uint64_t tag, enum chq_err err, const char *reason)
{
    struct call *call = context;
    struct chq_frame ok = {.type = CHQ_FRAME_OK, .id = call->request_id};
    (void)tag;
    if (is_there(call)) {
        if (err == CHQ_OK)
            node_send(call->node, call->connection, &ok);
        else
            node_refuse(call->node, call->connection, call->request_id, err, reason);
    }
    free(call);
}

void ledger_grant(struct chq_node *node, uint32_t connection, const struct chq_frame *frame)
{
    struct client *client = &node->clients[connection];
    if (node->home->config.grant_micro == 0) {
        node_refuse(node, connection, frame->id, CHQ_UNSUPPORTED, "this relay gives no starting allowance");
        return;
    }
    if (client->grants_asked >= GRANTS_PER_CONNECTION) {
        node_refuse(
            node, connection, frame->id, CHQ_LIMIT, "at most four starting allowances on one connection");
        return;
    }
    struct call *call = new_call(node, connection, frame);
    if (call == NULL)
        return;
    client->grants_asked++;
    enum chq_err err = chq_wallet_grant(
        node->wallet, frame->grant.account_id, (struct chq_wallet_done){on_granted, call, 0, free});
    if (err != CHQ_OK)
        on_granted(call, 0, err, "too many starting allowances are waiting; try again later");
}
