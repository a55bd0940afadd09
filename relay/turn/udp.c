/* SPDX-License-Identifier: Apache-2.0 */
#include "relay/turn/udp.h"

#include <errno.h>
#include <ifaddrs.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "core/base/assert.h"
#include "core/base/limits.h"
#include "relay/turn/hash.h"
#include "relay/turn/locals.h"
#include "relay/turn/outbox.h"
#include "relay/turn/sockaddr.h"
#include "relay/turn/stream.h"
#include "relay/turn/turn.h"

#define DATAGRAM_BYTES_MAX                                                                                   \
    2048 /* longer ones are dropped: more than any path's MTU with room for jumbo payloads */
#define TAIL_BYTES    4
#define LISTEN_KEY    UINT64_MAX
#define WAKE_KEY      (UINT64_MAX - 1)
#define STREAM_KEY    (UINT64_C(1) << 32) /* and above; below: port_key */
#define SOCKET_BUFFER (4 * 1024 * 1024)
/* Each wake-up costs several packets' worth of work, so a busy server lets some gather first. Off below
 * BUSY_PER_MS, and where calls bring FULL_CALL packets by themselves. */
#define GATHER_NS      250000
#define BUSY_PER_MS    4
#define FULL_CALL      32
#define RATE_WINDOW_US 2000

/* One received datagram, with room to put a TURN header before it and padding behind it. */
struct slot {
    uint8_t head[CHQ_TURN_HEAD_BYTES_MAX];
    uint8_t data[DATAGRAM_BYTES_MAX + TAIL_BYTES];
};

/* A call from another thread; lives on that thread's stack until done. */
struct command {
    const struct chq_turn_event *event;
    uint32_t lifetime_s; /* of a credential that is added */
    enum chq_err result;
    bool done;
    struct command *next;
};

struct chq_turn_server {
    struct chq_turn *turn;
    struct chq_turn_hash *hash;
    struct chq_log log;
    struct chq_address bind[2]; /* where relayed ports are opened: IPv4, IPv6 */
    uint16_t port;
    int listen_fd, epoll_fd, wake_fd;
    int *port_fds; /* by port_key; -1: closed */
    uint32_t port_fds_n;
    bool thread_runs;
    pthread_t thread;

    pthread_mutex_t lock; /* guards the four below */
    pthread_cond_t done;
    struct command *commands;
    bool stopping;
    struct chq_turn_stats stats;

    /* of the thread alone */
    uint64_t too_long_packets;
    bool told_no_port;
    bool busy; /* in the last window packets came fast, and few at a time */
    uint64_t window_us; /* when the window began */
    uint64_t window_packets, window_calls;
    struct chq_turn_actions actions;
    struct mmsghdr in[CHQ_TURN_BATCH];
    struct iovec in_parts[CHQ_TURN_BATCH];
    union chq_sockaddr in_from[CHQ_TURN_BATCH];
    union chq_turn_control in_control[CHQ_TURN_BATCH];
    struct chq_turn_outbox outbox;
    struct chq_turn_streams *streams; /* NULL: neither TCP nor TLS */
    unsigned stream_slot; /* where the next message of a stream goes */
    uint64_t unsent_messages;
    bool any_address; /* the listening socket takes every address, so answers say which they come from */
    struct chq_turn_locals locals;
    unsigned in_used; /* how many of `in` have to be made ready again */
    struct slot slots[CHQ_TURN_BATCH];
};

static uint64_t monotonic_us(void)
{
    struct timespec now;
    CHQ_ASSERT(clock_gettime(CLOCK_MONOTONIC, &now) == 0);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static uint64_t unix_s(void)
{
    struct timespec now;
    CHQ_ASSERT(clock_gettime(CLOCK_REALTIME_COARSE, &now) == 0);
    return now.tv_sec > 0 ? (uint64_t)now.tv_sec : 0;
}

static int bound_socket(const struct chq_address *address)
{
    union chq_sockaddr name;
    socklen_t size = chq_address_to_sockaddr(address, &name);
    const int on = 1;
    int fd = socket(name.any.sa_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    if ((address->family == 6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on) != 0) ||
        bind(fd, &name.any, size) != 0) {
        int error = errno;
        (void)close(fd);
        errno = error;
        return -1;
    }
    return fd;
}

/* An allocation has a relayed port in one family or in both. */
static uint32_t port_key(uint32_t allocation, uint8_t family)
{
    return 2 * allocation + (family == 6 ? 1 : 0);
}

static enum chq_turn_port_result open_port(struct chq_turn_server *s, const struct chq_turn_action *action)
{
    struct chq_address address = s->bind[action->address.family == 6];
    address.port = action->address.port;
    int fd = bound_socket(&address);
    if (fd < 0 && errno == EADDRINUSE)
        return CHQ_TURN_PORT_TAKEN;
    struct epoll_event interest = {
        .events = EPOLLIN, .data.u64 = port_key(action->allocation, address.family)};
    if (fd < 0 || epoll_ctl(s->epoll_fd, EPOLL_CTL_ADD, fd, &interest) != 0) {
        int error = errno;
        if (fd >= 0)
            (void)close(fd);
        if (!s->told_no_port) /* once: a flood of requests must not become a flood of log lines */
            chq_logf(&s->log, CHQ_LOG_WARNING, "turn: cannot open a relayed port (%s); answering 508",
                strerrordesc_np(error));
        s->told_no_port = true;
        return CHQ_TURN_PORT_NONE;
    }
    s->told_no_port = false;
    s->port_fds[interest.data.u64] = fd;
    return CHQ_TURN_PORT_OK;
}

static void close_port(struct chq_turn_server *s, uint32_t key)
{
    chq_turn_outbox_flush(&s->outbox, &s->locals);
    (void)close(s->port_fds[key]);
    s->port_fds[key] = -1;
}

/* Let `fd` send in fragments, as sockets do at first, or not at all what does not fit. */
static bool set_dont_fragment(int fd, uint8_t family, bool on)
{
    const int value = family == 6 ? (on ? 1 : 0) : on ? IP_PMTUDISC_PROBE : IP_PMTUDISC_WANT;
    return (family == 6 ? setsockopt(fd, IPPROTO_IPV6, IPV6_DONTFRAG, &value, sizeof value)
                        : setsockopt(fd, IPPROTO_IP, IP_MTU_DISCOVER, &value, sizeof value)) == 0;
}

static void send_to_peer(struct chq_turn_server *s, const struct chq_turn_action *action)
{
    int fd = s->port_fds[port_key(action->allocation, action->address.family)];
    if (action->dont_fragment) { /* alone: the socket's option holds for all that it sends */
        chq_turn_outbox_flush(&s->outbox, &s->locals);
        (void)set_dont_fragment(fd, action->address.family, true);
    }
    /* the payload lies in the slot */
    chq_turn_outbox_add(&s->outbox, fd, &action->address, &s->locals, 0,
        (uint8_t *)(uintptr_t)action->payload.data, action->payload.size);
    if (action->dont_fragment) {
        chq_turn_outbox_flush(&s->outbox, &s->locals);
        (void)set_dont_fragment(fd, action->address.family, false);
    }
}

/* `data` is head, payload and tail in one piece, in a slot. */
static void send_to_client(struct chq_turn_server *s, const struct chq_turn_action *action, uint8_t *data)
{
    size_t size = action->head.size + action->payload.size + action->tail.size;
    if (action->stream == 0) {
        chq_turn_outbox_add(
            &s->outbox, s->listen_fd, &action->address, &s->locals, action->listener, data, size);
        return;
    }
    for (; size % 4 != 0; size++) /* RFC 8656 section 12.5: over streams ChannelData is padded */
        data[size] = 0;
    if (!chq_turn_streams_send(s->streams, action->stream, chq_bytes(data, size)))
        s->unsent_messages++;
}

/* Do what the core asked for; `slot` is where the datagram it speaks of lies. A port that is opened leads to a step of
 * its own, which is why this goes round until nothing is asked any more. */
static void carry_out(struct chq_turn_server *s, uint64_t now_us, struct slot *slot)
{
    for (bool again = true; again;) {
        again = false;
        struct chq_turn_event opened = {.now_us = now_us, .type = CHQ_TURN_PORT_OPENED};
        for (uint32_t i = 0; i < s->actions.n; i++) {
            const struct chq_turn_action *action = &s->actions.v[i];
            uint8_t *data;
            switch (action->type) {
            case CHQ_TURN_TO_PEER: send_to_peer(s, action); break;
            case CHQ_TURN_TO_CLIENT:
                data = slot->data;
                if (action->payload.data != NULL) { /* it lies in the slot, which has room around it */
                    data = (uint8_t *)(uintptr_t)action->payload.data;
                    if (action->tail.size > 0)
                        memcpy(data + action->payload.size, action->tail.data, action->tail.size);
                    data -= action->head.size;
                }
                memcpy(data, action->head.data, action->head.size);
                send_to_client(s, action, data);
                break;
            case CHQ_TURN_OPEN_PORT:
                opened.port.allocation = action->allocation;
                opened.port.result = open_port(s, action);
                again = true;
                break;
            case CHQ_TURN_CLOSE_PORT:
                close_port(s, port_key(action->allocation, action->address.family));
                break;
            }
        }
        if (again)
            CHQ_ASSERT(chq_turn_step(s->turn, &opened, &s->actions) == CHQ_OK);
    }
}

/* Take one batch from a socket through the core and out. */
static void relay_batch(struct chq_turn_server *s, int fd, const struct chq_turn_event *kind)
{
    size_t control_bytes = kind->type == CHQ_TURN_FROM_CLIENT && s->any_address ? sizeof s->in_control[0] : 0;
    for (unsigned i = 0; i < s->in_used; i++) { /* recvmmsg shortened these */
        s->in[i].msg_hdr.msg_namelen = sizeof s->in_from[i];
        s->in[i].msg_hdr.msg_controllen = 0;
    }
    for (unsigned i = 0; i < CHQ_TURN_BATCH && control_bytes > 0; i++)
        s->in[i].msg_hdr.msg_controllen = control_bytes;
    int n = recvmmsg(fd, s->in, CHQ_TURN_BATCH, MSG_DONTWAIT, NULL);
    s->in_used = control_bytes > 0 ? CHQ_TURN_BATCH : n > 0 ? (unsigned)n : 0;
    s->window_packets += n > 0 ? (unsigned)n : 0;
    s->window_calls++;
    struct chq_turn_event event = *kind;
    event.now_us = monotonic_us();
    if (event.type == CHQ_TURN_FROM_CLIENT)
        event.client.unix_s = unix_s();
    for (int i = 0; i < n; i++) {
        struct chq_bytes datagram = chq_bytes(s->slots[i].data, s->in[i].msg_len);
        struct chq_address from = chq_address_from_sockaddr(&s->in_from[i]);
        if ((s->in[i].msg_hdr.msg_flags & MSG_TRUNC) != 0 || from.family == 0) {
            s->too_long_packets++;
            continue;
        }
        if (event.type == CHQ_TURN_FROM_CLIENT) {
            event.client.listener = chq_turn_locals_number(&s->locals, &s->in[i].msg_hdr);
            event.client.from = from;
            event.client.datagram = datagram;
        } else {
            event.peer.from = from;
            event.peer.datagram = datagram;
        }
        CHQ_ASSERT(chq_turn_step(s->turn, &event, &s->actions) == CHQ_OK);
        carry_out(s, event.now_us, &s->slots[i]);
    }
    chq_turn_outbox_flush(&s->outbox, &s->locals);
}

static void on_stream_message(void *context, uint32_t stream, const struct chq_address *from,
    uint8_t listener, struct chq_bytes message)
{
    struct chq_turn_server *s = context;
    struct slot *slot = &s->slots[s->stream_slot];
    CHQ_ASSERT(message.size <= sizeof slot->data);
    if (s->stream_slot == 0)
        chq_turn_outbox_flush(&s->outbox, &s->locals); /* before slots are used again */
    s->stream_slot = (s->stream_slot + 1) % CHQ_TURN_BATCH;
    memcpy(slot->data, message.data, message.size);
    const struct chq_turn_event event = {.now_us = monotonic_us(),
        .type = CHQ_TURN_FROM_CLIENT,
        .client = {.from = *from,
            .listener = listener,
            .stream = stream,
            .unix_s = unix_s(),
            .datagram = chq_bytes(slot->data, message.size)}};
    CHQ_ASSERT(chq_turn_step(s->turn, &event, &s->actions) == CHQ_OK);
    carry_out(s, event.now_us, slot);
}

static void on_stream_gone(void *context, const struct chq_address *from, uint8_t listener)
{
    struct chq_turn_server *s = context;
    const struct chq_turn_event event = {.now_us = monotonic_us(),
        .type = CHQ_TURN_CLIENT_GONE,
        .gone = {.from = *from, .listener = listener}};
    CHQ_ASSERT(chq_turn_step(s->turn, &event, &s->actions) == CHQ_OK);
    carry_out(s, event.now_us, &s->slots[0]);
}

static bool is_stream_served(void *context, const struct chq_address *from, uint8_t listener)
{
    const struct chq_turn_server *s = context;
    return chq_turn_serves(s->turn, from, listener);
}

/* Run what other threads asked for; return false when it is time to stop. */
static bool run_commands(struct chq_turn_server *s)
{
    uint64_t count;
    (void)!read(s->wake_fd, &count, sizeof count);
    CHQ_ASSERT(pthread_mutex_lock(&s->lock) == 0);
    struct command *list = s->commands;
    bool go_on = !s->stopping;
    s->commands = NULL;
    CHQ_ASSERT(pthread_mutex_unlock(&s->lock) == 0);
    for (struct command *c = list; c != NULL; c = c->next) {
        struct chq_turn_event event = *c->event;
        event.now_us = monotonic_us();
        if (event.type == CHQ_TURN_CREDENTIAL_ADDED)
            event.credential.expires_us =
                c->lifetime_s > 0 ? event.now_us + (uint64_t)c->lifetime_s * 1000000 : UINT64_MAX;
        c->result = chq_turn_step(s->turn, &event, &s->actions);
        carry_out(s, event.now_us, &s->slots[0]);
    }
    CHQ_ASSERT(pthread_mutex_lock(&s->lock) == 0);
    for (struct command *c = list, *next; c != NULL; c = next) {
        next = c->next; /* read before the caller may go on */
        c->done = true;
    }
    CHQ_ASSERT(pthread_cond_broadcast(&s->done) == 0);
    CHQ_ASSERT(pthread_mutex_unlock(&s->lock) == 0);
    return go_on;
}

static void publish_stats(struct chq_turn_server *s)
{
    struct chq_turn_stats stats = *chq_turn_stats(s->turn);
    stats.dropped_packets += s->too_long_packets + s->outbox.unsent_packets + s->unsent_messages;
    CHQ_ASSERT(pthread_mutex_lock(&s->lock) == 0);
    s->stats = stats;
    CHQ_ASSERT(pthread_mutex_unlock(&s->lock) == 0);
}

static int wait_ms(const struct chq_turn_server *s)
{
    uint64_t deadline_us = chq_turn_deadline_us(s->turn), now_us = monotonic_us();
    if (s->streams != NULL && chq_turn_streams_need_sweep(s->streams) && deadline_us > now_us + 1000000)
        deadline_us = now_us + 1000000;
    if (deadline_us == UINT64_MAX)
        return -1;
    if (deadline_us <= now_us)
        return 0;
    uint64_t ms = (deadline_us - now_us) / 1000 + 1;
    return ms < 60000 ? (int)ms : 60000;
}

/* Under load, wait a moment so that the next round finds more than one packet; a command ends the wait. */
static void gather(const struct chq_turn_server *s)
{
    struct pollfd waking = {.fd = s->wake_fd, .events = POLLIN};
    const struct timespec moment = {.tv_nsec = GATHER_NS};
    (void)ppoll(&waking, 1, &moment, NULL);
}

static void measure_rate(struct chq_turn_server *s)
{
    uint64_t now_us = monotonic_us(), passed_us = now_us - s->window_us;
    if (passed_us < RATE_WINDOW_US)
        return;
    s->busy = s->window_packets * 1000 >= passed_us * BUSY_PER_MS &&
              s->window_packets < s->window_calls * FULL_CALL;
    s->window_us = now_us;
    s->window_packets = s->window_calls = 0;
}

static void prepare_batch(struct chq_turn_server *s)
{
    for (unsigned i = 0; i < CHQ_TURN_BATCH; i++) {
        s->in_parts[i] = (struct iovec){.iov_base = s->slots[i].data, .iov_len = DATAGRAM_BYTES_MAX};
        s->in[i] = (struct mmsghdr){.msg_hdr = {.msg_name = &s->in_from[i],
                                        .msg_namelen = sizeof s->in_from[i],
                                        .msg_iov = &s->in_parts[i],
                                        .msg_iovlen = 1,
                                        .msg_control = s->in_control[i].bytes}};
    }
}

static void *run(void *arg)
{
    struct chq_turn_server *s = arg;
    const struct chq_turn_event from_client = {.type = CHQ_TURN_FROM_CLIENT};
    prepare_batch(s);
    (void)prctl(PR_SET_TIMERSLACK, 1000); /* the kernel's 50 us would blur the wait of gather() */
    for (bool go_on = true; go_on;) {
        struct epoll_event ready[CHQ_TURN_BATCH];
        if (s->busy)
            gather(s);
        int n = epoll_wait(s->epoll_fd, ready, CHQ_TURN_BATCH, wait_ms(s));
        for (int i = 0; i < n; i++) {
            uint64_t key = ready[i].data.u64;
            if (key == WAKE_KEY) {
                go_on = run_commands(s);
            } else if (key == LISTEN_KEY) {
                relay_batch(s, s->listen_fd, &from_client);
            } else if (key >= STREAM_KEY) {
                chq_turn_streams_ready(s->streams, key, ready[i].events);
                chq_turn_outbox_flush(&s->outbox, &s->locals);
            } else if (s->port_fds[key] >= 0) { /* not closed earlier in this round */
                struct chq_turn_event from_peer = {
                    .type = CHQ_TURN_FROM_PEER, .peer = {.allocation = (uint32_t)(key / 2)}};
                relay_batch(s, s->port_fds[key], &from_peer);
            }
        }
        if (s->streams != NULL)
            chq_turn_streams_sweep(s->streams, monotonic_us());
        if (chq_turn_deadline_us(s->turn) <= monotonic_us()) {
            struct chq_turn_event timeout = {.now_us = monotonic_us(), .type = CHQ_TURN_TIMEOUT};
            CHQ_ASSERT(chq_turn_step(s->turn, &timeout, &s->actions) == CHQ_OK);
            carry_out(s, timeout.now_us, &s->slots[0]);
        }
        measure_rate(s);
        publish_stats(s);
    }
    return NULL;
}

/* Refuse all of this machine's addresses as peers, so that no client reaches services that only listen inside. */
static void collect_own_addresses(struct chq_peer_filter *filter)
{
    struct ifaddrs *list;
    if (getifaddrs(&list) != 0)
        return;
    for (const struct ifaddrs *i = list; i != NULL && filter->own_count < CHQ_TURN_OWN_ADDRESSES_MAX;
         i = i->ifa_next) {
        union chq_sockaddr name;
        if (i->ifa_addr == NULL || (i->ifa_addr->sa_family != AF_INET && i->ifa_addr->sa_family != AF_INET6))
            continue;
        memcpy(&name, i->ifa_addr, i->ifa_addr->sa_family == AF_INET ? sizeof name.ip4 : sizeof name.ip6);
        filter->own[filter->own_count++] = chq_address_from_sockaddr(&name);
    }
    freeifaddrs(list);
}

static enum chq_err read_relay_address(
    struct chq_turn_server *s, struct chq_turn_config *core, const char *text)
{
    struct chq_address address;
    if (text == NULL)
        return CHQ_OK;
    CHQ_TRY(chq_address_read_host(text, 0, &address));
    if (s->bind[address.family == 6].family != 0)
        return CHQ_MALFORMED; /* two of one family */
    s->bind[address.family == 6] = core->relay[address.family == 6] = address;
    return CHQ_OK;
}

static bool is_wildcard(const struct chq_address *address)
{
    static const uint8_t any[16];
    return memcmp(address->ip, any, sizeof any) == 0;
}

static enum chq_err read_addresses(
    struct chq_turn_server *s, const struct chq_turn_server_config *config, struct chq_turn_config *core)
{
    struct chq_address advertised;
    if (config->relay_address == NULL || config->allow_count > CHQ_TURN_ALLOWED_PREFIXES_MAX)
        return config->relay_address == NULL ? CHQ_MALFORMED : CHQ_LIMIT;
    CHQ_TRY(read_relay_address(s, core, config->relay_address));
    CHQ_TRY(read_relay_address(s, core, config->relay_address_6));
    if (config->advertised_address != NULL) {
        CHQ_TRY(chq_address_read_host(config->advertised_address, 0, &advertised));
        if (s->bind[advertised.family == 6].family == 0)
            return CHQ_MALFORMED;
        core->relay[advertised.family == 6] = advertised;
    }
    for (int i = 0; i < 2; i++) {
        if (core->relay[i].family != 0 && is_wildcard(&core->relay[i]))
            return CHQ_MALFORMED;
        if (core->relay[i].family != 0)
            core->filter.own[core->filter.own_count++] = core->relay[i];
    }
    collect_own_addresses(&core->filter);
    for (uint32_t i = 0; i < config->allow_count; i++)
        CHQ_TRY(chq_prefix_read(config->allow[i], &core->filter.allow[i]));
    core->filter.allow_count = config->allow_count;
    return CHQ_OK;
}

static bool can_set_dont_fragment(const struct chq_turn_config *core)
{
    bool can = true;
    for (int i = 0; i < 2; i++) {
        if (core->relay[i].family == 0)
            continue;
        int fd = socket(i == 1 ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        can = can && fd >= 0 && set_dont_fragment(fd, core->relay[i].family, true);
        if (fd >= 0)
            (void)close(fd);
    }
    return can;
}

static enum chq_err make_core(struct chq_turn_server *s, const struct chq_turn_server_config *config)
{
    struct chq_turn_config core = {
        .port_min = config->port_min > 0 || config->port_max > 0 ? config->port_min : 49152,
        .port_max = config->port_min > 0 || config->port_max > 0 ? config->port_max : 65535,
        .realm = config->realm != NULL ? config->realm : "chasqui",
        .allocations_max = config->allocations_max > 0 ? config->allocations_max : 4096,
        .credentials_max = 65536,
        .allocations_per_credential_max =
            config->allocations_per_credential_max > 0 ? config->allocations_per_credential_max : 16,
        .allocations_per_prefix_max =
            config->allocations_per_prefix_max > 0 ? config->allocations_per_prefix_max : 512,
        .unauthenticated_per_s = config->unauthenticated_per_s > 0 ? config->unauthenticated_per_s : 20,
        .random = config->random,
    };
    if (config->app_count > CHQ_TURN_APPS_MAX)
        return CHQ_LIMIT;
    for (uint32_t i = 0; i < config->app_count; i++)
        core.apps[i] = (struct chq_turn_app){chq_bytes_text(config->apps[i].secret), config->apps[i].gauge};
    core.apps_count = config->app_count;
    CHQ_TRY(read_addresses(s, config, &core));
    core.can_set_dont_fragment = can_set_dont_fragment(&core);
    CHQ_TRY(chq_turn_hash_new(&s->hash));
    core.crypto = chq_turn_hash_functions(s->hash);
    s->port_fds_n = 2 * core.allocations_max;
    s->port_fds = malloc(s->port_fds_n * sizeof *s->port_fds);
    if (s->port_fds == NULL)
        return CHQ_NO_MEMORY;
    for (uint32_t i = 0; i < s->port_fds_n; i++)
        s->port_fds[i] = -1;
    return chq_turn_new(&core, &s->turn);
}

static enum chq_err open_sockets(struct chq_turn_server *s, const struct chq_turn_server_config *config)
{
    struct chq_address listen;
    union chq_sockaddr name;
    socklen_t size = sizeof name;
    const int buffer = SOCKET_BUFFER;
    CHQ_TRY(chq_address_read_host(config->listen_address, config->listen_port, &listen));
    s->listen_fd = bound_socket(&listen);
    if (s->listen_fd < 0) {
        chq_logf(&s->log, CHQ_LOG_ERROR, "turn: cannot listen on %s port %u: %s", config->listen_address,
            (unsigned)config->listen_port, strerrordesc_np(errno));
        return CHQ_IO;
    }
    s->any_address = is_wildcard(&listen) && chq_turn_locals_enable(s->listen_fd, listen.family);
    (void)setsockopt(s->listen_fd, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof buffer);
    (void)setsockopt(s->listen_fd, SOL_SOCKET, SO_SNDBUF, &buffer, sizeof buffer);
    s->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    s->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    struct epoll_event listening = {.events = EPOLLIN, .data.u64 = LISTEN_KEY};
    struct epoll_event waking = {.events = EPOLLIN, .data.u64 = WAKE_KEY};
    if (s->epoll_fd < 0 || s->wake_fd < 0 || getsockname(s->listen_fd, &name.any, &size) != 0 ||
        epoll_ctl(s->epoll_fd, EPOLL_CTL_ADD, s->listen_fd, &listening) != 0 ||
        epoll_ctl(s->epoll_fd, EPOLL_CTL_ADD, s->wake_fd, &waking) != 0) {
        chq_logf(&s->log, CHQ_LOG_ERROR, "turn: cannot set up the event loop: %s", strerrordesc_np(errno));
        return CHQ_IO;
    }
    s->port = chq_address_from_sockaddr(&name).port;
    return CHQ_OK;
}

static enum chq_err open_streams(struct chq_turn_server *s, const struct chq_turn_server_config *config)
{
    struct chq_turn_streams_config streams = {.epoll_fd = s->epoll_fd,
        .first_key = STREAM_KEY,
        .tcp_port = config->tcp_port,
        .tls_port = config->tls_port,
        .certificate_file = config->certificate_file,
        .key_file = config->key_file,
        .message_bytes_max = DATAGRAM_BYTES_MAX,
        .user = {on_stream_message, on_stream_gone, is_stream_served, s}};
    if (config->tcp_port == 0 && config->tls_port == 0)
        return CHQ_OK;
    CHQ_TRY(chq_address_read_host(config->listen_address, 0, &streams.listen));
    enum chq_err err = chq_turn_streams_new(&streams, &s->streams);
    if (err == CHQ_IO)
        chq_logf(&s->log, CHQ_LOG_ERROR, "turn: cannot serve TCP port %u and TLS port %u on %s: %s",
            (unsigned)config->tcp_port, (unsigned)config->tls_port, config->listen_address,
            errno != 0 ? strerrordesc_np(errno) : "certificate and key do not load");
    return err;
}

/* Signals are the main thread's. */
static enum chq_err start_thread(struct chq_turn_server *s)
{
    sigset_t all, before;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    s->thread_runs = pthread_create(&s->thread, NULL, run, s) == 0;
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (!s->thread_runs)
        return CHQ_NO_MEMORY;
    (void)pthread_setname_np(s->thread, "turn");
    return CHQ_OK;
}

enum chq_err chq_turn_server_start(const struct chq_turn_server_config *config, struct chq_turn_server **out)
{
    CHQ_ASSERT(config->random.fill != NULL);
    *out = NULL;
    struct chq_turn_server *s = calloc(1, sizeof *s);
    if (s == NULL)
        return CHQ_NO_MEMORY;
    s->log = config->log;
    s->listen_fd = s->epoll_fd = s->wake_fd = -1;
    CHQ_ASSERT(pthread_mutex_init(&s->lock, NULL) == 0 && pthread_cond_init(&s->done, NULL) == 0);
    enum chq_err err = make_core(s, config);
    if (err == CHQ_OK)
        err = open_sockets(s, config);
    if (err == CHQ_OK)
        err = open_streams(s, config);
    if (err == CHQ_OK)
        err = start_thread(s);
    if (err != CHQ_OK) {
        chq_turn_server_stop(s);
        return err;
    }
    *out = s;
    return CHQ_OK;
}

static void wake(const struct chq_turn_server *s)
{
    const uint64_t one = 1;
    (void)!write(s->wake_fd, &one, sizeof one); /* full means that it will wake anyway */
}

/* Hand the event to the thread and wait for its result. */
static enum chq_err call(struct chq_turn_server *s, const struct chq_turn_event *event, uint32_t lifetime_s)
{
    struct command command = {.event = event, .lifetime_s = lifetime_s};
    CHQ_ASSERT(pthread_mutex_lock(&s->lock) == 0);
    struct command **end = &s->commands;
    while (*end != NULL)
        end = &(*end)->next;
    *end = &command;
    wake(s);
    while (!command.done)
        CHQ_ASSERT(pthread_cond_wait(&s->done, &s->lock) == 0);
    CHQ_ASSERT(pthread_mutex_unlock(&s->lock) == 0);
    return command.result;
}

enum chq_err chq_turn_server_add_credential(struct chq_turn_server *server, const char *username,
    const char *password, struct chq_gauge *gauge, uint32_t lifetime_s)
{
    struct chq_turn_event event = {.type = CHQ_TURN_CREDENTIAL_ADDED,
        .credential = {
            .username = chq_bytes_text(username), .password = chq_bytes_text(password), .gauge = gauge}};
    return call(server, &event, lifetime_s);
}

enum chq_err chq_turn_server_remove_credential(struct chq_turn_server *server, const char *username)
{
    struct chq_turn_event event = {
        .type = CHQ_TURN_CREDENTIAL_REMOVED, .removed = {.username = chq_bytes_text(username)}};
    return call(server, &event, 0);
}

uint16_t chq_turn_server_port(const struct chq_turn_server *server)
{
    return server->port;
}

void chq_turn_server_read_stats(struct chq_turn_server *server, struct chq_turn_server_stats *out)
{
    CHQ_ASSERT(pthread_mutex_lock(&server->lock) == 0);
    struct chq_turn_stats now = server->stats;
    CHQ_ASSERT(pthread_mutex_unlock(&server->lock) == 0);
    *out = (struct chq_turn_server_stats){.allocations = now.allocations,
        .allocations_total = now.allocations_total,
        .to_peer_packets = now.to_peer_packets,
        .to_peer_bytes = now.to_peer_bytes,
        .to_client_packets = now.to_client_packets,
        .to_client_bytes = now.to_client_bytes,
        .dropped_unpaid_packets = now.dropped_unpaid_packets,
        .dropped_packets = now.dropped_packets,
        .refused_logins = now.refused_logins,
        .rate_limited = now.rate_limited};
}

void chq_turn_server_stop(struct chq_turn_server *server)
{
    if (server == NULL)
        return;
    if (server->thread_runs) {
        CHQ_ASSERT(pthread_mutex_lock(&server->lock) == 0);
        server->stopping = true;
        CHQ_ASSERT(pthread_mutex_unlock(&server->lock) == 0);
        wake(server);
        CHQ_ASSERT(pthread_join(server->thread, NULL) == 0);
    }
    chq_turn_streams_free(server->streams);
    for (uint32_t i = 0; server->port_fds != NULL && i < server->port_fds_n; i++)
        if (server->port_fds[i] >= 0)
            (void)close(server->port_fds[i]);
    const int fds[] = {server->listen_fd, server->epoll_fd, server->wake_fd};
    for (size_t i = 0; i < sizeof fds / sizeof *fds; i++)
        if (fds[i] >= 0)
            (void)close(fds[i]);
    chq_turn_free(server->turn);
    chq_turn_hash_free(server->hash);
    (void)pthread_cond_destroy(&server->done);
    (void)pthread_mutex_destroy(&server->lock);
    free(server->port_fds);
    free(server);
}
