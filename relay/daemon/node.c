/* SPDX-License-Identifier: Apache-2.0 */
#include "relay/daemon/node.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "core/base/assert.h"
#include "core/crypto/system.h"
#include "relay/daemon/state.h"

#define FLUSH_ALL_EVERY_MS 1000 /* what TURN carried is on disk at most this late */
#define SAVE_CLOCK_EVERY_S 60
#define SETTLE_WITHIN_MS   10000 /* when shutting down */

uint64_t node_wall_s(void)
{
    return (uint64_t)time(NULL);
}

uint64_t node_kept_s(const struct chq_node *node)
{
    return node->kept_base_s + (chq_web_now_ms() - node->started_ms) / 1000;
}

void node_send(struct chq_node *node, uint32_t connection, const struct chq_frame *frame)
{
    chq_writer_clear(&node->frame);
    if (chq_frame_write(&node->frame, frame) == CHQ_OK) {
        chq_web_send(node->web, connection, chq_writer_bytes(&node->frame));
        return;
    }
    chq_logf(&node->log, CHQ_LOG_ERROR, "a %s could not be written", chq_frame_type_name(frame->type));
    chq_writer_free(&node->frame);
    node->frame = chq_writer_heap(CHQ_FRAME_BYTES_MAX);
    chq_web_close(node->web, connection);
}

void node_refuse(struct chq_node *node, uint32_t connection, uint64_t id, enum chq_err code, const char *why)
{
    struct chq_frame frame = {
        .type = CHQ_FRAME_ERROR, .id = id, .error = {.code = (uint64_t)code, .text = chq_bytes_text(why)}};
    node_send(node, connection, &frame);
}

/* The bytes a send action names are on disk. */
static void send_deliver(struct chq_node *node, const struct chq_mailbox_send *send)
{
    struct chq_frame frame = {.type = CHQ_FRAME_DELIVER, .deliver.sequence = send->deliver.sequence};
    memcpy(frame.deliver.queue_id, send->deliver.queue_id, CHQ_ID_BYTES);
    if (chq_store_get_message(node->store, send->deliver.queue, send->deliver.sequence, frame.deliver.put_id,
            &frame.deliver.stored_at_s, &frame.deliver.envelope) != CHQ_OK) {
        chq_logf(&node->log, CHQ_LOG_ERROR, "a stored message cannot be read back");
        node_refuse(node, send->connection, 0, CHQ_IO, "the relay cannot read a stored message");
        chq_web_close(node->web, send->connection);
        return;
    }
    node->delivers++;
    node_send(node, send->connection, &frame);
}

static void send_prekey(struct chq_node *node, const struct chq_mailbox_send *send)
{
    struct chq_frame frame = {
        .type = CHQ_FRAME_PREKEY, .id = send->request_id, .prekey.left = send->prekey.left};
    enum chq_err err = chq_store_get_bundle(node->store, send->prekey.queue, &frame.prekey.bundle);
    if (err == CHQ_OK && send->prekey.one_time)
        err = chq_store_get_prekey(
            node->store, send->prekey.queue, send->prekey.number, &frame.prekey.one_time);
    if (err == CHQ_OK)
        node_send(node, send->connection, &frame);
    else
        node_refuse(node, send->connection, send->request_id, CHQ_IO, "the relay cannot read its prekeys");
}

static void send_reply(struct chq_node *node, const struct chq_mailbox_send *send)
{
    struct chq_frame frame = {.type = send->type, .id = send->request_id};
    switch (send->type) {
    case CHQ_FRAME_DELIVER: send_deliver(node, send); return;
    case CHQ_FRAME_PREKEY: send_prekey(node, send); return;
    case CHQ_FRAME_ERROR:
        node_refuse(node, send->connection, send->request_id, send->error.code, send->error.text);
        return;
    case CHQ_FRAME_STORED: memcpy(frame.stored.put_id, send->put_id, CHQ_PUT_ID_BYTES); break;
    default: break;
    }
    node_send(node, send->connection, &frame);
}

static void note_ready(struct chq_node *node, uint32_t connection)
{
    struct client *client = &node->clients[connection];
    if (client->ready || !client->open || !chq_mailbox_is_ready(node->mailbox, connection))
        return;
    client->ready = true;
    node->ready[node->ready_count++] = connection;
}

void node_mailbox(struct chq_node *node, const struct chq_mailbox_actions *actions)
{
    for (size_t i = 0; i < actions->persist.n; i++)
        chq_store_apply_mailbox(node->store, &actions->persist.v[i]);
    for (size_t i = 0; i < actions->charge.n; i++) {
        const struct chq_mailbox_charge *c = &actions->charge.v[i];
        chq_meter_settle_reservation(node->meter, c->connection, c->put, c->served, c->bytes);
    }
    for (size_t i = 0; i < actions->send.n; i++)
        send_reply(node, &actions->send.v[i]);
    for (size_t i = 0; i < actions->ready.n; i++)
        note_ready(node, actions->ready.v[i]);
}

bool node_step_mailbox(struct chq_node *node, struct chq_mailbox_event *event)
{
    struct chq_mailbox_actions actions;
    event->kept_s = node_kept_s(node);
    event->wall_s = node_wall_s();
    if (chq_mailbox_step(node->mailbox, event, &actions) != CHQ_OK)
        return false;
    node_mailbox(node, &actions);
    return true;
}

static void forget_login(struct chq_node *node, uint32_t slot)
{
    struct turn_login *login = &node->logins[slot];
    if (login->active && node->turn != NULL &&
        chq_turn_server_remove_credential(node->turn, login->username) != CHQ_OK)
        chq_logf(&node->log, CHQ_LOG_DEBUG, "a TURN login was gone already");
    memset(login, 0, sizeof *login);
}

void node_meter(struct chq_node *node, const struct chq_meter_actions *actions)
{
    for (size_t i = 0; i < actions->persist.n; i++)
        chq_store_apply_meter(node->store, &actions->persist.v[i]);
    for (size_t i = 0; i < actions->forget.n; i++)
        forget_login(node, actions->forget.v[i]);
    for (size_t i = 0; i < actions->send.n; i++) {
        const struct chq_meter_send *send = &actions->send.v[i];
        if (send->frame.type == CHQ_FRAME_ATTACHED)
            chq_web_keep(node->web, send->connection);
        node_send(node, send->connection, &send->frame);
    }
    if (actions->settle.n > 0)
        ledger_settle(node, actions->settle.v, actions->settle.n);
    for (size_t i = 0; i < actions->refresh.n; i++)
        ledger_refresh(node, actions->refresh.v[i]);
}

bool node_step_meter(struct chq_node *node, struct chq_meter_event *event)
{
    struct chq_meter_actions actions;
    event->now_s = node_wall_s();
    event->now_ms = chq_web_now_ms();
    if (chq_meter_step(node->meter, event, &actions) != CHQ_OK)
        return false;
    node_meter(node, &actions);
    return true;
}

/* Steps that must not fail: what they need was set aside when the requests came, or they come again. */
static void must(struct chq_node *node, bool done)
{
    if (!done) {
        chq_logf(&node->log, CHQ_LOG_ERROR, "out of memory; ending, nothing acknowledged is lost");
        abort();
    }
}

static void save_clock(struct chq_node *node)
{
    uint64_t now = node_kept_s(node);
    if (now < node->kept_saved_s + SAVE_CLOCK_EVERY_S)
        return;
    node->kept_saved_s = now;
    chq_store_set_number(node->store, "kept_s", now);
    chq_store_set_number(node->store, "ledger_height", chq_light_newest_height(node->light));
}

/* Make all of this pass durable at once, then send what it promises: group commit. */
static void commit(struct chq_node *node)
{
    uint64_t now = chq_web_now_ms();
    bool all = now >= node->flush_all_ms;
    if (all)
        node->flush_all_ms = now + FLUSH_ALL_EVERY_MS;
    must(node, node_step_meter(node, &(struct chq_meter_event){.type = CHQ_METER_FLUSH, .flush.all = all}));
    enum chq_err err = chq_store_commit(node->store);
    must(node,
        node_step_mailbox(node, &(struct chq_mailbox_event){.type = CHQ_MAILBOX_STORED, .stored.err = err}));
    must(node, node_step_meter(node, &(struct chq_meter_event){.type = CHQ_METER_STORED, .stored.err = err}));
}

static void bury_gone(struct chq_node *node)
{
    for (uint32_t i = 0; i < node->gone_count; i++) {
        uint32_t connection = node->gone[i];
        must(node, node_step_mailbox(node,
                       &(struct chq_mailbox_event){.type = CHQ_MAILBOX_CLOSED, .connection = connection}));
        must(node, node_step_meter(
                       node, &(struct chq_meter_event){.type = CHQ_METER_CLOSED, .connection = connection}));
        node->clients[connection].open = false;
    }
    node->gone_count = 0;
}

/* Hand out messages to those who have room, in what they have paid for and in their send queue. */
static void deliver(struct chq_node *node)
{
    uint32_t still = 0;
    for (uint32_t i = 0; i < node->ready_count; i++) {
        uint32_t connection = node->ready[i];
        struct client *client = &node->clients[connection];
        uint64_t window = chq_meter_window(node->meter, connection);
        size_t room = chq_web_room(node->web, connection);
        window = window < room ? window : room;
        if (client->open && !client->gone && window > 0) {
            struct chq_mailbox_event event = {
                .type = CHQ_MAILBOX_WINDOW, .connection = connection, .window.bytes = window};
            struct chq_mailbox_actions actions;
            event.kept_s = node_kept_s(node);
            event.wall_s = node_wall_s();
            uint64_t bytes = 0;
            if (chq_mailbox_step(node->mailbox, &event, &actions) == CHQ_OK) {
                for (size_t k = 0; k < actions.send.n; k++)
                    bytes += actions.send.v[k].deliver.bytes;
                if (bytes > 0)
                    chq_meter_reserve_deliver(node->meter, connection, bytes);
                node_mailbox(node, &actions);
            }
        }
        client->ready = client->open && !client->gone && chq_mailbox_is_ready(node->mailbox, connection);
        if (client->ready)
            node->ready[still++] = connection;
    }
    node->ready_count = still;
}

static void timeouts(struct chq_node *node)
{
    if (node_kept_s(node) >= chq_mailbox_deadline_s(node->mailbox))
        (void)node_step_mailbox(node, &(struct chq_mailbox_event){.type = CHQ_MAILBOX_TIMEOUT});
    if (chq_web_now_ms() >= chq_meter_deadline_ms(node->meter))
        (void)node_step_meter(node, &(struct chq_meter_event){.type = CHQ_METER_TIMEOUT});
    save_clock(node);
}

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* One pass: wait, read, decide, commit, answer. */
static void pass(struct chq_node *node)
{
    uint64_t until = least(chq_meter_deadline_ms(node->meter), node->flush_all_ms);
    until = least(until, chq_ledger_link_deadline_ms(node->link));
    until = least(until, chq_wallet_deadline_ms(node->wallet));
    if (chq_store_is_dirty(node->store))
        until = 0;
    chq_web_run(node->web, until);
    chq_ledger_link_tick(node->link, chq_web_now_ms());
    timeouts(node);
    commit(node);
    bury_gone(node);
    deliver(node);
    chq_wallet_tick(node->wallet, chq_web_now_ms());
    chq_ledger_link_tick(
        node->link, chq_web_now_ms()); /* what the wallet asked goes out now, not after the next wait */
}

static void on_signal(void *context, uint32_t events)
{
    struct chq_node *node = context;
    struct signalfd_siginfo info;
    (void)events;
    if (read(node->signals.fd, &info, sizeof info) == (ssize_t)sizeof info)
        node->stopping = true;
}

static bool all_settled(const struct chq_node *node)
{
    struct chq_meter_totals totals;
    chq_meter_totals(node->meter, &totals);
    return totals.settled_micro >= totals.earned_micro;
}

/* Stop serving, put the last tokens on the ledger, write down what was carried. */
static enum chq_err shut_down(struct chq_node *node)
{
    uint64_t give_up = chq_web_now_ms() + SETTLE_WITHIN_MS;
    chq_logf(&node->log, CHQ_LOG_NOTICE, "stopping: settling what is owed");
    chq_turn_server_stop(node->turn);
    node->turn = NULL;
    node->flush_all_ms = 0;
    must(node, node_step_meter(node, &(struct chq_meter_event){.type = CHQ_METER_SHUTDOWN}));
    pass(node);
    while (!all_settled(node) && chq_web_now_ms() < give_up)
        pass(node);
    node->flush_all_ms = 0;
    chq_store_set_number(node->store, "kept_s", node_kept_s(node));
    commit(node);
    bool settled = all_settled(node);
    chq_logf(&node->log, settled ? CHQ_LOG_NOTICE : CHQ_LOG_WARNING,
        settled ? "stopped; everything is settled"
                : "stopped; tokens that the ledger did not take are kept and settled after the next start");
    return settled ? CHQ_OK : CHQ_IO;
}

enum chq_err chq_node_run(struct chq_node *node)
{
    while (!node->stopping && !chq_store_is_broken(node->store))
        pass(node);
    if (chq_store_is_broken(node->store) && !node->stopping)
        while (
            !node->stopping) /* serve what can be read, refuse the rest, until somebody looks at the disk */
            pass(node);
    return shut_down(node);
}

static enum chq_err start_cores(struct chq_node *node)
{
    const struct chq_relay_config *config = &node->home->config;
    struct chq_random random = chq_system_random();
    char path[CHQ_HOME_PATH_BYTES];
    struct chq_mailbox_config mailbox = {
        .connections_max = (uint32_t)config->connections_max, .queues_max = (uint32_t)config->queues_max};
    struct chq_meter_config meter = {.price_micro = config->price_micro,
        .quantum_bytes = config->quantum_bytes,
        .settle_after_s = config->settle_after_s,
        .connections_max = (uint32_t)config->connections_max,
        .channels_max = (uint32_t)config->channels_max};
    struct chq_light_trust trust = {.chain_id = chq_bytes_text(config->chain_id),
        .validators = config->validators,
        .validators_count = config->validators_count};
    memcpy(mailbox.relay_id, node->home->account->id, CHQ_ID_BYTES);
    memcpy(meter.relay_id, node->home->account->id, CHQ_ID_BYTES);
    chq_random_fill(&random, (uint8_t *)&mailbox.hash_key, sizeof mailbox.hash_key);
    chq_relay_home_path(path, node->home->dir, "relay.db");
    CHQ_TRY(chq_mailbox_new(&node->mailbox, &mailbox));
    CHQ_TRY(chq_meter_new(&node->meter, &meter));
    CHQ_TRY(chq_light_new(&node->light, &trust));
    CHQ_TRY(chq_store_open(&node->store, path, &node->log));
    enum chq_err err = chq_store_load(node->store, node->mailbox, node->meter);
    if (err == CHQ_MALFORMED)
        chq_logf(&node->log, CHQ_LOG_ERROR,
            "%s is damaged: its rows contradict each other; put back a copy, or move it away to start empty",
            path);
    if (err == CHQ_LIMIT)
        chq_logf(&node->log, CHQ_LOG_ERROR, "%s holds more than [relay] queues or channels allow; raise them",
            path);
    node->kept_base_s = chq_store_get_number(node->store, "kept_s") + 1;
    chq_light_raise_floor(node->light, chq_store_get_number(node->store, "ledger_height"));
    return err;
}

/* Whether relayed ports can be opened at the address: it must be one of this machine. */
static bool is_own_address(const char *text)
{
    struct sockaddr_in ip4 = {.sin_family = AF_INET};
    struct sockaddr_in6 ip6 = {.sin6_family = AF_INET6};
    bool is_ip4 = inet_pton(AF_INET, text, &ip4.sin_addr) == 1;
    if (!is_ip4 && inet_pton(AF_INET6, text, &ip6.sin6_addr) != 1)
        return false;
    int fd = socket(is_ip4 ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    bool own = fd >= 0 && (is_ip4 ? bind(fd, (struct sockaddr *)&ip4, sizeof ip4)
                                  : bind(fd, (struct sockaddr *)&ip6, sizeof ip6)) == 0;
    if (fd >= 0)
        close(fd);
    return own;
}

static enum chq_err start_turn(struct chq_node *node)
{
    const struct chq_relay_config *config = &node->home->config;
    const char *allow[CHQ_CONFIG_PEERS_MAX];
    if (config->turn_port == 0)
        return CHQ_OK;
    if (!is_own_address(config->turn_relay_address)) {
        chq_logf(&node->log, CHQ_LOG_ERROR,
            "[turn] relay_address = %s is not a numeric address of this machine; behind a NAT that maps one "
            "to one, put"
            " the outside address into advertised_address",
            config->turn_relay_address);
        return CHQ_IO;
    }
    for (uint32_t i = 0; i < config->turn_allow_peer_count; i++)
        allow[i] = config->turn_allow_peer[i];
    char certificate[CHQ_HOME_PATH_BYTES], key[CHQ_HOME_PATH_BYTES];
    chq_relay_home_path(certificate, node->home->dir, "tls.crt");
    chq_relay_home_path(key, node->home->dir, "tls.key");
    struct chq_turn_server_app apps[CHQ_TURN_APPS_MAX];
    for (uint32_t i = 0; i < config->turn_shared_secret_count; i++) {
        const char *entry = config->turn_shared_secret[i], *colon = strchr(entry, ':');
        chq_gauge_init(&node->app_gauges[i], 0, UINT64_MAX);
        apps[i] = (struct chq_turn_server_app){colon + 1, &node->app_gauges[i]};
        chq_logf(&node->log, CHQ_LOG_WARNING, "TURN users of the app '%.*s' are served without payment",
            (int)(colon - entry), entry);
    }
    struct chq_turn_server_config turn = {.listen_address = config->turn_listen,
        .listen_port = (uint16_t)config->turn_port,
        .tcp_port = (uint16_t)config->turn_tcp_port,
        .tls_port = (uint16_t)config->turn_tls_port,
        .certificate_file = certificate,
        .key_file = key,
        .relay_address = config->turn_relay_address,
        .advertised_address = config->turn_advertised[0] != 0 ? config->turn_advertised : NULL,
        .port_min = (uint16_t)config->turn_port_min,
        .port_max = (uint16_t)config->turn_port_max,
        .realm = TURN_REALM,
        .allow = allow,
        .allow_count = config->turn_allow_peer_count,
        .apps = apps,
        .app_count = config->turn_shared_secret_count,
        .random = chq_system_random(),
        .log = node->log};
    enum chq_err err = chq_turn_server_start(&turn, &node->turn);
    if (err != CHQ_OK) {
        chq_logf(&node->log, CHQ_LOG_ERROR,
            "TURN on UDP port %u does not start (%s): see [turn] in relay.conf", (unsigned)config->turn_port,
            chq_err_string(err));
        return err;
    }
    chq_gauge_init(&node->free_gauge, 0, UINT64_MAX);
    for (uint32_t i = 0; i < config->turn_static_user_count && err == CHQ_OK; i++) {
        char name[CHQ_CONFIG_TEXT_BYTES];
        snprintf(name, sizeof name, "%s", config->turn_static_user[i]);
        char *password = strchr(name, ':');
        *password++ = 0;
        err = chq_turn_server_add_credential(node->turn, name, password, &node->free_gauge, 0);
        chq_logf(&node->log, CHQ_LOG_WARNING, "TURN user '%s' is served without payment", name);
    }
    return err;
}

static enum chq_err start_signals(struct chq_node *node)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    if (sigprocmask(SIG_BLOCK, &set, NULL) != 0)
        return CHQ_IO;
    int fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    if (fd < 0)
        return CHQ_IO;
    node->signals = (struct chq_web_watch){.fd = fd, .ready = on_signal, .context = node};
    return chq_web_watch(node->web, &node->signals, EPOLLIN);
}

static enum chq_err start_shells(struct chq_node *node)
{
    const struct chq_relay_config *config = &node->home->config;
    char certificate[CHQ_HOME_PATH_BYTES], key[CHQ_HOME_PATH_BYTES];
    chq_relay_home_path(certificate, node->home->dir, "tls.crt");
    chq_relay_home_path(key, node->home->dir, "tls.key");
    struct chq_web_config web = {.bind = config->bind,
        .port = (uint16_t)config->port,
        .certificate_path = certificate,
        .key_path = key,
        .connections_max = (uint32_t)config->connections_max,
        .connections_per_address_max = (uint32_t)config->connections_per_address_max,
        .idle_s = (uint32_t)config->idle_s,
        .callbacks = {client_opened, client_frame, client_closed},
        .context = node,
        .log = node->log};
    CHQ_TRY(chq_web_new(&node->web, &web));
    CHQ_TRY(chq_ledger_link_new(&node->link, node->web, config->ledger_address, &node->log));
    struct chq_wallet_config wallet = {.account = node->home->account,
        .config = config,
        .link = node->link,
        .light = node->light,
        .store = node->store,
        .log = node->log};
    memcpy(wallet.pin, node->home->pin, sizeof wallet.pin);
    CHQ_TRY(chq_wallet_new(&node->wallet, &wallet));
    CHQ_TRY(start_signals(node));
    CHQ_TRY(start_turn(node));
    return control_start(node);
}

enum chq_err chq_node_new(struct chq_node **out, const struct chq_relay_home *home, const struct chq_log *log)
{
    *out = NULL;
    struct chq_node *node = calloc(1, sizeof *node);
    if (node == NULL)
        return CHQ_NO_MEMORY;
    size_t connections = (size_t)home->config.connections_max;
    node->home = home;
    node->log = *log;
    node->signals.fd = node->control.fd = -1;
    node->started_ms = chq_web_now_ms();
    node->started_wall_s = node_wall_s();
    node->frame = chq_writer_heap(CHQ_FRAME_BYTES_MAX);
    node->clients = calloc(connections, sizeof *node->clients);
    node->ready = calloc(connections, sizeof *node->ready);
    node->gone = calloc(connections, sizeof *node->gone);
    node->logins = calloc((size_t)home->config.channels_max, sizeof *node->logins);
    enum chq_err err = CHQ_NO_MEMORY;
    if (node->clients != NULL && node->ready != NULL && node->gone != NULL && node->logins != NULL)
        err = start_cores(node);
    if (err == CHQ_OK)
        err = start_shells(node);
    if (err != CHQ_OK)
        chq_node_free(node);
    else
        *out = node;
    return err;
}

void chq_node_free(struct chq_node *node)
{
    if (node == NULL)
        return;
    chq_turn_server_stop(node->turn); /* before the gauges go */
    control_stop(node);
    chq_wallet_free(node->wallet);
    chq_ledger_link_free(node->link);
    if (node->web != NULL)
        chq_web_unwatch(node->web, &node->signals);
    if (node->signals.fd >= 0)
        close(node->signals.fd);
    chq_web_free(node->web);
    chq_store_close(node->store);
    chq_light_free(node->light);
    chq_mailbox_free(node->mailbox);
    chq_meter_free(node->meter);
    chq_writer_free(&node->frame);
    free(node->clients);
    free(node->ready);
    free(node->gone);
    free(node->logins);
    free(node);
}
