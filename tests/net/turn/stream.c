/* SPDX-License-Identifier: Apache-2.0 */
/* TURN over TCP with real sockets on loopback: messages in pieces and in heaps, what is not a message, connections that
 * stay half open or idle, too many of them, one that reads nothing. (TLS: turn_uclient.sh.) */
#include <unistd.h>

#include "core/crypto/system.h"
#include "relay/turn/hash.h"
#include "relay/turn/udp.h"
#include "turn_client.h"

static const char *const allow[] = {"127.0.0.1"};
static struct chq_stun_crypto crypto;
static uint16_t tcp_port, tls_port;

static struct chq_turn_server *start(struct chq_gauge *gauge, const char *certificate, const char *key)
{
    struct chq_turn_server *server;
    struct chq_turn_server_config config = {.listen_address = "127.0.0.1",
        .relay_address = "127.0.0.1",
        .allow = allow,
        .allow_count = 1,
        .allocations_per_credential_max = 63,
        .unauthenticated_per_s = 100000,
        .certificate_file = certificate,
        .key_file = key,
        .random = chq_system_random()};
    chq_gauge_init(gauge, 0, UINT64_MAX);
    for (int tries = 0; tries < 20; tries++) {
        uint16_t random;
        (void)!getrandom(&random, sizeof random, 0);
        config.tcp_port = tcp_port = (uint16_t)(20000 + random % 10000);
        config.tls_port = tls_port = (uint16_t)(tcp_port + 1);
        if (chq_turn_server_start(&config, &server) == CHQ_OK) {
            CHQ_ASSERT(chq_turn_server_add_credential(server, "ana", "secret", gauge, 0) == CHQ_OK);
            return server;
        }
    }
    die("no TCP port");
    return NULL;
}

static int socket_to(uint16_t port)
{
    const struct chq_address to = chq_address_ip4(127, 0, 0, 1, port);
    union chq_sockaddr name;
    socklen_t size = chq_address_to_sockaddr(&to, &name);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, &name.any, size) != 0)
        die("connect");
    return fd;
}

static int tcp_socket(void)
{
    return socket_to(tcp_port);
}

/* Read exactly `size` bytes, 3 s at most. */
static bool reads(int fd, uint8_t *data, size_t size)
{
    for (size_t have = 0; have < size;) {
        struct pollfd readable = {.fd = fd, .events = POLLIN};
        ssize_t n = poll(&readable, 1, 3000) == 1 ? recv(fd, data + have, size - have, 0) : -1;
        if (n <= 0)
            return false;
        have += (size_t)n;
    }
    return true;
}

static bool is_closed_within(int fd, int ms)
{
    uint8_t data[4096];
    struct pollfd readable = {.fd = fd, .events = POLLIN};
    while (poll(&readable, 1, ms) == 1)
        if (recv(fd, data, sizeof data, 0) <= 0)
            return true;
    return false;
}

static void sends(int fd, const void *data, size_t size)
{
    CHQ_ASSERT(send(fd, data, size, MSG_NOSIGNAL) == (ssize_t)size);
}

static uint64_t allocations(struct chq_turn_server *server)
{
    struct chq_turn_server_stats stats;
    chq_turn_server_read_stats(server, &stats);
    return stats.allocations;
}

struct client {
    int fd, peer;
    struct chq_address peer_address, relayed;
    struct turn_user user;
};

/* A client with channel TURN_CLIENT_CHANNEL to a peer of its own. */
static struct client new_client(void)
{
    struct client c = {.user = {.crypto = &crypto, .name = "ana", .password = "secret"}};
    c.fd = tcp_socket();
    c.peer = udp_socket(NULL, &c.peer_address);
    CHQ_ASSERT(turn_allocate(c.fd, &c.user, &c.relayed) == 0);
    CHQ_ASSERT(turn_bind(c.fd, &c.user, &c.peer_address) == 0);
    return c;
}

static void peer_sends(const struct client *c, const void *data, size_t size)
{
    union chq_sockaddr name;
    socklen_t name_size = chq_address_to_sockaddr(&c->relayed, &name);
    CHQ_ASSERT(sendto(c->peer, data, size, 0, &name.any, name_size) == (ssize_t)size);
}

static bool peer_reads(const struct client *c, const void *data, size_t size)
{
    uint8_t in[2048];
    struct pollfd readable = {.fd = c->peer, .events = POLLIN};
    ssize_t n = poll(&readable, 1, 3000) == 1 ? recv(c->peer, in, sizeof in, 0) : -1;
    return n == (ssize_t)size && memcmp(in, data, size) == 0;
}

static void pieces_and_heaps(struct chq_turn_server *server, const struct chq_gauge *gauge)
{
    static const uint8_t heap[] = "\x40\0\0\5first\0\0\0\x40\0\0\4next\x40\0\0\1x\0\0\0\x40\0\0\0";
    uint8_t in[64];
    struct client c = new_client();
    sends(c.fd, heap, sizeof heap - 1); /* with its padding; all at once */
    CHQ_ASSERT(peer_reads(&c, "first", 5) && peer_reads(&c, "next", 4) && peer_reads(&c, "x", 1));
    CHQ_ASSERT(peer_reads(&c, "", 0));
    for (size_t i = 0; i + 1 < sizeof heap; i++) /* byte by byte */
        sends(c.fd, heap + i, 1);
    CHQ_ASSERT(peer_reads(&c, "first", 5) && peer_reads(&c, "next", 4) && peer_reads(&c, "x", 1));
    CHQ_ASSERT(peer_reads(&c, "", 0));
    peer_sends(&c, "seven b", 7);
    peer_sends(&c, "four", 4);
    CHQ_ASSERT(reads(c.fd, in, 12 + 8));
    CHQ_ASSERT(memcmp(in, "\x40\0\0\7seven b\0\x40\0\0\4four", 20) == 0);
    CHQ_ASSERT(chq_gauge_carried(gauge) == 2 * 10 + 11); /* padding is not charged */
    CHQ_ASSERT(allocations(server) == 1);
    uint16_t port = c.relayed.port;
    (void)close(c.fd); /* and the allocation goes with it */
    for (int i = 0; i < 200 && allocations(server) > 0; i++)
        (void)poll(NULL, 0, 10);
    CHQ_ASSERT(allocations(server) == 0 && port != 0);
    (void)close(c.peer);
}

static void what_is_no_message_ends_the_connection(void)
{
    static const struct {
        int number;
        uint8_t bytes[8];
        size_t size;
    } rows[] = {
        {1, {0x80, 0, 0, 0}, 4}, /* neither of the two */
        {2, {0x16, 3, 1, 0}, 4}, /* TLS */
        {3, {0, 1, 0, 3}, 4}, /* a length that is no multiple of 4 */
        {4, {0, 1, 0xFF, 0xFC}, 4}, /* longer than any message here */
        {5, {0x40, 0, 0xFF, 0xFF}, 4}, {6, {0x40, 0, 8, 1}, 4}, /* 2,049 bytes */
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        int fd = tcp_socket();
        sends(fd, rows[i].bytes, rows[i].size);
        if (!is_closed_within(fd, 3000)) {
            fprintf(stderr, "row %d stays open\n", rows[i].number);
            exit(1);
        }
        (void)close(fd);
    }
}

static void too_many_from_one_address(void)
{
    int fds[CHQ_TURN_STREAMS_PER_ADDRESS_MAX + 1];
    uint8_t storage[1024], in[2048];
    struct chq_writer w;
    struct chq_stun_message reply;
    for (int i = 0; i < CHQ_TURN_STREAMS_PER_ADDRESS_MAX + 1; i++)
        fds[i] = tcp_socket();
    CHQ_ASSERT(is_closed_within(fds[CHQ_TURN_STREAMS_PER_ADDRESS_MAX], 3000));
    begin(&w, storage, CHQ_STUN_BINDING);
    CHQ_ASSERT(chq_stun_finish(&w) == CHQ_OK);
    CHQ_ASSERT(ask(fds[CHQ_TURN_STREAMS_PER_ADDRESS_MAX - 1], &w, in, &reply) == 0);
    for (int i = 0; i < CHQ_TURN_STREAMS_PER_ADDRESS_MAX + 1; i++)
        (void)close(fds[i]);
}

/* It reads nothing: what does not fit is dropped, the server goes on, and later the stream is whole. */
static void one_that_reads_nothing(struct chq_turn_server *server)
{
    static uint8_t big[1200], in[1204];
    struct client slow = new_client(), quick = new_client();
    struct chq_turn_server_stats stats = {0};
    for (int i = 0; i < 20000 && stats.dropped_packets < 100; i++) {
        peer_sends(&slow, big, sizeof big);
        if (i % 50 == 49) {
            peer_sends(&quick, "alive", 5);
            CHQ_ASSERT(reads(quick.fd, in, 12) && memcmp(in, "\x40\0\0\5alive", 9) == 0);
            chq_turn_server_read_stats(server, &stats);
        }
    }
    CHQ_ASSERT(stats.dropped_packets >= 100);
    unsigned whole = 0;
    for (struct pollfd readable = {.fd = slow.fd, .events = POLLIN}; poll(&readable, 1, 500) == 1; whole++)
        CHQ_ASSERT(reads(slow.fd, in, sizeof in) && in[0] == 0x40 && in[2] == 1200 / 256);
    CHQ_ASSERT(whole > 50);
    (void)close(slow.fd);
    (void)close(slow.peer);
    (void)close(quick.fd);
    (void)close(quick.peer);
}

/* Certificates that do not load, ports that are taken. */
static void bad_configurations(const char *certificate, const char *key)
{
    struct chq_turn_server *server;
    for (int i = 0; i < 4; i++) {
        struct chq_turn_server_config config = {.listen_address = "127.0.0.1",
            .relay_address = "127.0.0.1",
            .tcp_port = i == 0 ? tcp_port : 0,
            .tls_port = i == 0 ? 0 : (uint16_t)(tls_port + 1),
            .certificate_file = i == 1   ? "/nowhere"
                                : i == 2 ? key
                                         : certificate,
            .key_file = i == 3 ? certificate : key,
            .random = chq_system_random()};
        CHQ_ASSERT(chq_turn_server_start(&config, &server) == CHQ_IO && server == NULL);
    }
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: net-turn-stream CERTIFICATE KEY\n");
        return 2;
    }
    struct chq_gauge gauge;
    struct chq_turn_hash *hash;
    CHQ_ASSERT(chq_turn_hash_new(&hash) == CHQ_OK);
    crypto = chq_turn_hash_functions(hash);
    struct chq_turn_server *server = start(&gauge, argv[1], argv[2]);
    bad_configurations(argv[1], argv[2]);
    printf("bad configurations refused: ok\n");
    int silent = socket_to(tls_port), slow = socket_to(tls_port), rude = socket_to(tls_port);
    sends(slow, "\x16\x03\x01\x02", 4); /* the beginning of a TLS hello */
    sends(rude, "\0\1\0\0\x21\x12\xa4\x42", 8); /* no TLS at all */
    CHQ_ASSERT(is_closed_within(rude, 3000));
    CHQ_ASSERT(is_closed_within(silent, 11000) && is_closed_within(slow, 3000));
    (void)close(silent);
    (void)close(slow);
    (void)close(rude);
    printf("half-open TLS is closed: ok\n");
    int idle = tcp_socket(); /* looked at in the end */
    pieces_and_heaps(server, &gauge);
    printf("messages in pieces and heaps, padded, metered to the byte; closing ends the allocation: ok\n");
    what_is_no_message_ends_the_connection();
    printf("what is no message ends the connection: ok\n");
    one_that_reads_nothing(server);
    printf("a client that reads nothing holds up nobody: ok\n");
    CHQ_ASSERT(is_closed_within(idle, 1000 * (CHQ_TURN_STREAM_IDLE_S + 5)));
    printf("a connection without an allocation is closed: ok\n");
    (void)close(idle);
    too_many_from_one_address();
    printf("connections of one address are bounded: ok\n");
    chq_turn_server_stop(server);
    chq_turn_hash_free(hash);
    return 0;
}
