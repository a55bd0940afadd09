/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/base/text.h"
#include "relay/daemon/state.h"

/* The control socket: whoever may open it (the relay's own user) gets the state as one JSON object. */

#define CHANNELS_SHOWN_MAX 100

static json_t *credit(uint64_t micro)
{
    char text[32];
    chq_credit_write((int64_t)micro, text);
    return json_string(text);
}

static json_t *hex(const uint8_t id[CHQ_ID_BYTES])
{
    char text[2 * CHQ_ID_BYTES + 1];
    chq_hex_write(chq_bytes(id, CHQ_ID_BYTES), text);
    return json_string(text);
}

static json_t *number(uint64_t value)
{
    return json_integer((json_int_t)value);
}

static json_t *channels(const struct chq_node *node)
{
    json_t *list = json_array();
    struct chq_meter_row row;
    for (uint32_t i = 0; i < chq_meter_slots(node->meter) && json_array_size(list) < CHANNELS_SHOWN_MAX;
         i++) {
        if (!chq_meter_row(node->meter, i, &row))
            continue;
        json_array_append_new(
            list, json_pack("{s:o,s:o,s:o,s:o,s:o,s:o,s:o}", "id", hex(row.id), "carried_bytes",
                      number(row.carried_bytes), "tokens", number(row.index), "settled",
                      number(row.record.last_index), "deposit", credit(row.record.deposit_micro), "price",
                      credit(row.record.price_micro), "expiry", number(row.record.expiry_s)));
    }
    return list;
}

/* What went through for each app of [turn] shared_secret. */
static json_t *turn_apps(const struct chq_node *node)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < node->home->config.turn_shared_secret_count; i++) {
        const char *entry = node->home->config.turn_shared_secret[i];
        json_array_append_new(list, json_pack("{s:s%,s:o}", "name", entry, strcspn(entry, ":"),
                                        "carried_bytes", number(chq_gauge_carried(&node->app_gauges[i]))));
    }
    return list;
}

static json_t *turn_state(const struct chq_node *node)
{
    struct chq_turn_server_stats stats = {0};
    if (node->turn == NULL)
        return json_null();
    chq_turn_server_read_stats(node->turn, &stats);
    return json_pack("{s:o,s:o,s:o,s:o,s:o,s:o,s:o}", "port", number(chq_turn_server_port(node->turn)),
        "allocations", number(stats.allocations), "to_peer_bytes", number(stats.to_peer_bytes),
        "to_client_bytes", number(stats.to_client_bytes), "dropped_unpaid_packets",
        number(stats.dropped_unpaid_packets), "dropped_packets", number(stats.dropped_packets), "apps",
        turn_apps(node));
}

static char *describe(const struct chq_node *node)
{
    struct chq_meter_totals meter;
    struct chq_mailbox_totals box;
    struct chq_wallet_state wallet;
    chq_meter_totals(node->meter, &meter);
    chq_mailbox_totals(node->mailbox, &box);
    chq_wallet_state(node->wallet, &wallet);
    json_t *state = json_pack(
        "{s:o,s:s,s:o,s:b,s:b,s:o,s:b,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o}", "account",
        hex(node->home->account->id), "host", node->home->config.host, "port",
        number(node->home->config.port), "ledger_reached", (int)chq_ledger_link_is_up(node->link),
        "registered", (int)wallet.registered, "balance",
        wallet.known ? credit(wallet.balance_micro) : json_null(), "disk_broken",
        (int)chq_store_is_broken(node->store), "connections", number(chq_web_connections(node->web)),
        "queues", number(box.queues), "messages", number(box.messages), "message_bytes", number(box.bytes),
        "puts", number(node->puts), "delivers", number(node->delivers), "channels", number(meter.channels),
        "channels_attached", number(meter.attached), "carried_bytes", number(meter.carried_bytes), "earned",
        credit(meter.earned_micro), "settled", credit(meter.settled_micro), "grants",
        number(wallet.grants_done), "turn", turn_state(node), "channel_list", channels(node));
    char *text = state == NULL ? NULL : json_dumps(state, JSON_COMPACT);
    json_decref(state);
    return text;
}

static void on_connection(void *context, uint32_t events)
{
    struct chq_node *node = context;
    (void)events;
    int fd = accept4(node->control.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0)
        return;
    int room = 256 * 1024;
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
    char *text = describe(node);
    if (text != NULL && send(fd, text, strlen(text), MSG_NOSIGNAL) != (ssize_t)strlen(text))
        chq_logf(&node->log, CHQ_LOG_INFO, "the control socket's reader was too slow");
    free(text);
    close(fd);
}

enum chq_err control_start(struct chq_node *node)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    char path[CHQ_HOME_PATH_BYTES];
    chq_relay_home_path(path, node->home->dir, "control");
    if (strlen(path) >= sizeof at.sun_path) {
        chq_logf(&node->log, CHQ_LOG_WARNING,
            "%s is too long for a socket: 'chasqui-relay status' will not work", path);
        return CHQ_OK;
    }
    memcpy(at.sun_path, path, strlen(path) + 1);
    unlink(path); /* of a run before: the database's lock says that none is running now */
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    mode_t before = umask(077);
    bool fine = fd >= 0 && bind(fd, (struct sockaddr *)&at, sizeof at) == 0 && listen(fd, 8) == 0;
    umask(before);
    node->control = (struct chq_web_watch){.fd = fd, .ready = on_connection, .context = node};
    if (!fine || chq_web_watch(node->web, &node->control, EPOLLIN) != CHQ_OK) {
        chq_logf(&node->log, CHQ_LOG_ERROR, "cannot open %s: %s", path, strerror(errno));
        return CHQ_IO;
    }
    return CHQ_OK;
}

void control_stop(struct chq_node *node)
{
    char path[CHQ_HOME_PATH_BYTES];
    if (node->control.fd < 0)
        return;
    if (node->web != NULL)
        chq_web_unwatch(node->web, &node->control);
    close(node->control.fd);
    node->control.fd = -1;
    chq_relay_home_path(path, node->home->dir, "control");
    unlink(path);
}
