/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "core/base/text.h"
#include "core/crypto/system.h"
#include "relay/daemon/state.h"

/* What a client sends, frame by frame. */

void client_opened(void *context, uint32_t connection)
{
    struct chq_node *node = context;
    struct client *client = &node->clients[connection];
    struct chq_random random = chq_system_random();
    memset(client, 0, sizeof *client);
    client->open = true;
    client->generation = ++node->generations;
    chq_random_fill(&random, client->challenge, sizeof client->challenge);
    struct chq_mailbox_event event = {.type = CHQ_MAILBOX_OPENED, .connection = connection};
    memcpy(event.opened.challenge, client->challenge, sizeof client->challenge);
    if (!node_step_mailbox(node, &event)) {
        client->open = false;
        chq_web_close(node->web, connection);
    }
}

void client_closed(void *context, uint32_t connection)
{
    struct chq_node *node = context;
    struct client *client = &node->clients[connection];
    if (!client->open)
        return;
    client->gone = true; /* its requests of this pass are still to be committed and charged */
    node->gone[node->gone_count++] = connection;
}

static void end(struct chq_node *node, uint32_t connection, uint64_t id, enum chq_err code, const char *why)
{
    node_refuse(node, connection, id, code, why);
    chq_web_close(node->web, connection);
}

static void on_hello(struct chq_node *node, uint32_t connection, const struct chq_frame *frame)
{
    const struct chq_relay_config *config = &node->home->config;
    struct client *client = &node->clients[connection];
    if (client->greeted) {
        node_refuse(node, connection, frame->id, CHQ_STATE, "HELLO comes once");
        return;
    }
    if (frame->hello.version != CHQ_RELAY_PROTOCOL_VERSION) {
        end(node, connection, frame->id, CHQ_UNSUPPORTED, "this relay speaks version 1 of the protocol");
        return;
    }
    if (!chq_bytes_equal(frame->hello.chain_id, chq_bytes_text(config->chain_id))) {
        end(node, connection, frame->id, CHQ_UNSUPPORTED, "this relay is on another chain");
        return;
    }
    client->greeted = true;
    struct chq_frame welcome = {.type = CHQ_FRAME_WELCOME,
        .id = frame->id,
        .welcome = {.version = CHQ_RELAY_PROTOCOL_VERSION,
            .quantum_bytes = config->quantum_bytes,
            .price_micro = config->price_micro,
            .time_s = node_wall_s(),
            .grant_micro = config->grant_micro}};
    memcpy(welcome.welcome.relay_id, node->home->account->id, CHQ_ID_BYTES);
    memcpy(welcome.welcome.challenge, client->challenge, CHQ_ID_BYTES);
    node_send(node, connection, &welcome);
}

static void to_mailbox(
    struct chq_node *node, uint32_t connection, const struct chq_frame *frame, bool put_known)
{
    struct chq_mailbox_event event = {.type = CHQ_MAILBOX_FRAME,
        .connection = connection,
        .frame = {.frame = frame, .put_known = put_known}};
    if (node_step_mailbox(node, &event))
        return;
    if (frame->type == CHQ_FRAME_PUT)
        chq_meter_settle_reservation(node->meter, connection, true, false, frame->put.envelope.size);
    node_refuse(node, connection, frame->id, CHQ_NO_MEMORY, "the relay is out of memory");
}

static void on_put(struct chq_node *node, uint32_t connection, const struct chq_frame *frame)
{
    uint32_t queue;
    bool known = chq_mailbox_find(node->mailbox, frame->put.queue_id, &queue) &&
                 chq_store_has_put(node->store, queue, frame->put.put_id);
    switch (chq_meter_reserve_put(node->meter, connection, frame->put.envelope.size)) {
    case CHQ_OK:
        node->puts++;
        to_mailbox(node, connection, frame, known);
        return;
    case CHQ_AGAIN:
        node_refuse(node, connection, frame->id, CHQ_AGAIN,
            "what is under way uses up what is paid for; put again when it is acknowledged");
        return;
    case CHQ_STATE:
        node_refuse(
            node, connection, frame->id, CHQ_STATE, "the channel is closing; open and attach another");
        return;
    default:
        node_refuse(
            node, connection, frame->id, CHQ_PAYMENT, "one quantum is unpaid; send the next token first");
    }
}

static void on_turn(struct chq_node *node, uint32_t connection, const struct chq_frame *frame)
{
    uint32_t slot = chq_meter_channel_of(node->meter, connection);
    struct turn_login *login = &node->logins[slot];
    struct chq_random random = chq_system_random();
    uint8_t secret[24];
    if (node->turn == NULL) {
        node_refuse(node, connection, frame->id, CHQ_UNSUPPORTED, "this relay does not carry calls");
        return;
    }
    if (!login->active) {
        chq_random_fill(&random, secret, sizeof secret);
        chq_hex_write(chq_bytes(secret, 8), login->username);
        chq_hex_write(chq_bytes(secret + 8, 16), login->password);
    }
    /* Again is welcome: several devices share the channel's login, and it lives on. */
    if (chq_turn_server_add_credential(node->turn, login->username, login->password,
            chq_meter_gauge(node->meter, slot), TURN_VALID_S) != CHQ_OK) {
        node_refuse(node, connection, frame->id, CHQ_LIMIT, "this relay has all the callers it can carry");
        return;
    }
    login->active = true;
    struct chq_frame grant = {.type = CHQ_FRAME_TURN_GRANT,
        .id = frame->id,
        .turn_grant = {.username = chq_bytes_text(login->username),
            .password = chq_bytes_text(login->password),
            .realm = chq_bytes_text(TURN_REALM),
            .valid_s = TURN_VALID_S,
            .host = chq_bytes_text(""),
            .port = chq_turn_server_port(node->turn)}};
    node_send(node, connection, &grant);
}

static void on_token(struct chq_node *node, uint32_t connection, const struct chq_frame *frame)
{
    struct chq_meter_event event = {.type = CHQ_METER_TOKEN, .connection = connection, .token.frame = frame};
    if (!node_step_meter(node, &event))
        node_refuse(node, connection, frame->id, CHQ_NO_MEMORY, "the relay is out of memory");
}

static bool needs_channel(enum chq_frame_type type)
{
    return type == CHQ_FRAME_PUT || type == CHQ_FRAME_QUEUE || type == CHQ_FRAME_SUBSCRIBE ||
           type == CHQ_FRAME_TURN || type == CHQ_FRAME_PREKEYS || type == CHQ_FRAME_PREKEY_GET;
}

static void dispatch(struct chq_node *node, uint32_t connection, const struct chq_frame *frame)
{
    struct chq_frame ok = {.type = CHQ_FRAME_OK, .id = frame->id};
    if (needs_channel(frame->type) && chq_meter_channel_of(node->meter, connection) == CHQ_METER_NONE) {
        node_refuse(
            node, connection, frame->id, CHQ_STATE, "attach a payment channel on this connection first");
        return;
    }
    switch (frame->type) {
    case CHQ_FRAME_HELLO: on_hello(node, connection, frame); break;
    case CHQ_FRAME_ATTACH: ledger_attach(node, connection, frame); break;
    case CHQ_FRAME_TOKEN: on_token(node, connection, frame); break;
    case CHQ_FRAME_PUT: on_put(node, connection, frame); break;
    case CHQ_FRAME_QUEUE:
    case CHQ_FRAME_SUBSCRIBE:
    case CHQ_FRAME_ACK:
    case CHQ_FRAME_PREKEYS:
    case CHQ_FRAME_PREKEY_GET: to_mailbox(node, connection, frame, false); break;
    case CHQ_FRAME_LEDGER: ledger_forward(node, connection, frame); break;
    case CHQ_FRAME_TURN: on_turn(node, connection, frame); break;
    case CHQ_FRAME_GRANT: ledger_grant(node, connection, frame); break;
    case CHQ_FRAME_PING: node_send(node, connection, &ok); break;
    default: end(node, connection, frame->id, CHQ_MALFORMED, "only a relay sends such a frame");
    }
}

void client_frame(void *context, uint32_t connection, struct chq_bytes bytes)
{
    struct chq_node *node = context;
    const struct client *client = &node->clients[connection];
    static struct chq_frame frame; /* 2 KiB, and this is the only thread that reads frames */
    if (!client->open || client->gone)
        return;
    enum chq_err err = chq_frame_read(bytes, &frame);
    if (err != CHQ_OK)
        end(node, connection, frame.id, err,
            err == CHQ_UNSUPPORTED ? "this relay does not know that type of frame"
                                   : "not a well-formed frame");
    else if (!client->greeted && frame.type != CHQ_FRAME_HELLO)
        end(node, connection, frame.id, CHQ_STATE, "the first frame is HELLO");
    else
        dispatch(node, connection, &frame);
}
