/* SPDX-License-Identifier: Apache-2.0 */
/* The TURN server's shell with real sockets on loopback: bad configurations, data both ways to the byte, no
 * descriptors left, credentials that come and go from several threads, nothing left open at the end. */
#include <dirent.h>
#include <net/if.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "core/crypto/system.h"
#include "relay/turn/hash.h"
#include "relay/turn/udp.h"
#include "turn_client.h"

static struct chq_stun_crypto crypto;
static const char *const allow[] = {"127.0.0.1"};

static struct chq_turn_server_config good_config(void)
{
    return (struct chq_turn_server_config){.listen_address = "127.0.0.1",
        .relay_address = "127.0.0.1",
        .allow = allow,
        .allow_count = 1,
        .unauthenticated_per_s = 100000,
        .random = chq_system_random()};
}

static unsigned open_descriptors(void)
{
    unsigned n = 0;
    DIR *dir = opendir("/proc/self/fd");
    CHQ_ASSERT(dir != NULL);
    while (readdir(dir) != NULL)
        n++;
    (void)closedir(dir);
    return n;
}

static void bad_configurations(uint16_t taken_port)
{
    static const char *const bad_allow[] = {"10.0.0.0/8", "10.0.0.1/8"};
    struct chq_turn_server_config c[12];
    const enum chq_err want[12] = {CHQ_MALFORMED, CHQ_MALFORMED, CHQ_MALFORMED, CHQ_MALFORMED, CHQ_MALFORMED,
        CHQ_LIMIT, CHQ_MALFORMED, CHQ_LIMIT, CHQ_IO, CHQ_IO, CHQ_LIMIT, CHQ_MALFORMED};
    for (size_t i = 0; i < 12; i++)
        c[i] = good_config();
    c[0].listen_address = "localhost";
    c[1].relay_address = NULL;
    c[2].relay_address = "0.0.0.0";
    c[3].relay_address_6 = "127.0.0.2"; /* two of one family */
    c[4].allow = bad_allow, c[4].allow_count = 2;
    c[5].realm = "too long a realm";
    c[6].realm = "a\"b";
    c[7].port_min = 50001, c[7].port_max = 50000;
    c[8].listen_port = taken_port;
    c[9].listen_address = "192.0.2.1"; /* not ours */
    c[10].allow_count = 1000;
    c[11].advertised_address = "::1"; /* no relay address of that family */
    for (size_t i = 0; i < 12; i++) {
        struct chq_turn_server *server;
        enum chq_err err = chq_turn_server_start(&c[i], &server);
        if (err != want[i] || server != NULL) {
            fprintf(stderr, "configuration %zu: %s\n", i, chq_err_string(err));
            exit(1);
        }
    }
}

static bool arrives(int fd, const void *data, size_t size)
{
    uint8_t in[4096];
    struct pollfd readable = {.fd = fd, .events = POLLIN};
    if (poll(&readable, 1, 2000) != 1)
        return false;
    ssize_t n = recv(fd, in, sizeof in, 0);
    return n >= 0 && (size_t)n == size && memcmp(in, data, size) == 0;
}

static void send_to(int fd, const struct chq_address *to, const void *data, size_t size)
{
    union chq_sockaddr name;
    socklen_t name_size = chq_address_to_sockaddr(to, &name);
    CHQ_ASSERT(sendto(fd, data, size, 0, &name.any, name_size) == (ssize_t)size);
}

struct client {
    int fd, peer;
    struct chq_address own, peer_address, relayed;
    struct turn_user user;
};

static struct client new_client(
    const struct chq_stun_crypto *hashes, uint16_t port, const char *name, const char *password)
{
    struct client c = {.user = {.crypto = hashes, .name = name, .password = password}};
    const struct chq_address server = chq_address_ip4(127, 0, 0, 1, port);
    c.fd = udp_socket(&server, &c.own);
    c.peer = udp_socket(NULL, &c.peer_address);
    return c;
}

static void end_client(const struct client *c)
{
    (void)close(c->fd);
    (void)close(c->peer);
}

static void data_to_the_byte(struct chq_turn_server *server)
{
    static uint8_t big[3000] = {0x40, 0, 5, 0};
    struct chq_gauge gauge;
    struct chq_turn_server_stats stats;
    chq_gauge_init(&gauge, 0, 1400);
    CHQ_ASSERT(chq_turn_server_add_credential(server, "ana", "secret", &gauge, 0) == CHQ_OK);
    struct client c = new_client(&crypto, chq_turn_server_port(server), "ana", "secret");
    CHQ_ASSERT(turn_allocate(c.fd, &c.user, &c.relayed) == 0);
    CHQ_ASSERT(turn_bind(c.fd, &c.user, &c.peer_address) == 0);
    CHQ_ASSERT(send(c.fd, "\x40\0\0\5hello", 9, 0) == 9);
    CHQ_ASSERT(arrives(c.peer, "hello", 5));
    send_to(c.peer, &c.relayed, "back", 4);
    CHQ_ASSERT(arrives(c.fd,
        "\x40\0\0\4"
        "back",
        8));
    CHQ_ASSERT(send(c.fd, big, sizeof big, 0) == sizeof big); /* too long: dropped, nothing else happens */
    CHQ_ASSERT(send(c.fd, big, 1284, 0) == 1284);
    CHQ_ASSERT(arrives(c.peer, big + 4, 1280));
    CHQ_ASSERT(chq_gauge_carried(&gauge) == 1289);
    CHQ_ASSERT(send(c.fd, big, 1284, 0) == 1284); /* over the limit */
    CHQ_ASSERT(send(c.fd, "\x40\0\0\1x", 5, 0) == 5);
    CHQ_ASSERT(arrives(c.peer, "x", 1));
    CHQ_ASSERT(chq_gauge_carried(&gauge) == 1290);
    CHQ_ASSERT(turn_close(c.fd, &c.user) == 0);
    CHQ_ASSERT(turn_bind(c.fd, &c.user, &c.peer_address) == 437);
    chq_turn_server_read_stats(server, &stats);
    CHQ_ASSERT(
        stats.to_peer_bytes == 1286 && stats.to_client_bytes == 4 && stats.dropped_unpaid_packets == 1);
    CHQ_ASSERT(stats.dropped_packets == 1);
    CHQ_ASSERT(chq_turn_server_remove_credential(server, "ana") == CHQ_OK);
    CHQ_ASSERT(chq_turn_server_remove_credential(server, "ana") == CHQ_NOT_FOUND);
    end_client(&c);
}

static unsigned loopback_mtu(void)
{
    struct ifreq request = {.ifr_name = "lo"};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    CHQ_ASSERT(fd >= 0 && ioctl(fd, SIOCGIFMTU, &request) == 0);
    (void)close(fd);
    return (unsigned)request.ifr_mtu;
}

static void send_indication(
    int fd, const struct chq_address *peer, bool dont_fragment, const uint8_t *data, size_t size)
{
    uint8_t storage[2048];
    static const uint8_t id[CHQ_STUN_TRANSACTION_ID_BYTES];
    struct chq_writer w = chq_writer_fixed(storage, sizeof storage);
    chq_stun_begin(&w, CHQ_STUN_SEND, CHQ_STUN_INDICATION, id);
    chq_stun_write_address(&w, CHQ_STUN_XOR_PEER_ADDRESS, peer);
    if (dont_fragment)
        chq_stun_write(&w, CHQ_STUN_DONT_FRAGMENT, chq_bytes(NULL, 0));
    chq_stun_write(&w, CHQ_STUN_DATA_ATTRIBUTE, chq_bytes(data, size));
    CHQ_ASSERT(chq_stun_finish(&w) == CHQ_OK && send(fd, w.data, w.size, 0) == (ssize_t)w.size);
}

/* What must not be fragmented and does not fit is dropped; what stands around it is not touched. */
static void dont_fragment_is_kept(struct chq_turn_server *server)
{
    static uint8_t data[1000];
    struct chq_gauge gauge;
    chq_gauge_init(&gauge, 0, UINT64_MAX);
    CHQ_ASSERT(chq_turn_server_add_credential(server, "df", "secret", &gauge, 0) == CHQ_OK);
    struct client c = new_client(&crypto, chq_turn_server_port(server), "df", "secret");
    CHQ_ASSERT(turn_allocate(c.fd, &c.user, &c.relayed) == 0);
    CHQ_ASSERT(turn_bind(c.fd, &c.user, &c.peer_address) == 0);
    for (uint8_t round = 1; round <= 3; round++) {
        memset(data, round, sizeof data);
        send_indication(c.fd, &c.peer_address, false, data, sizeof data);
        CHQ_ASSERT(arrives(c.peer, data, sizeof data)); /* in fragments where it must be */
        memset(data, 100 + round, sizeof data);
        send_indication(c.fd, &c.peer_address, true, data, sizeof data);
        if (loopback_mtu() > 1100)
            CHQ_ASSERT(arrives(c.peer, data, sizeof data));
        send_indication(c.fd, &c.peer_address, true, data, 400);
        CHQ_ASSERT(arrives(c.peer, data, 400));
    }
    end_client(&c);
    CHQ_ASSERT(chq_turn_server_remove_credential(server, "df") == CHQ_OK);
}

/* Two clients who have nothing but the relay, which allows no special address at all. */
static void neighbours_meet(void)
{
    struct chq_turn_server_config config = good_config();
    struct chq_turn_server *server;
    struct chq_gauge gauges[2];
    struct client c[2];
    config.allow_count = 0;
    CHQ_ASSERT(chq_turn_server_start(&config, &server) == CHQ_OK);
    for (int i = 0; i < 2; i++) {
        const char *name = i == 0 ? "ana" : "bo";
        chq_gauge_init(&gauges[i], 0, UINT64_MAX);
        CHQ_ASSERT(chq_turn_server_add_credential(server, name, "secret", &gauges[i], 0) == CHQ_OK);
        c[i] = new_client(&crypto, chq_turn_server_port(server), name, "secret");
        CHQ_ASSERT(turn_allocate(c[i].fd, &c[i].user, &c[i].relayed) == 0);
    }
    CHQ_ASSERT(turn_bind(c[0].fd, &c[0].user, &c[0].relayed) == 403); /* itself */
    CHQ_ASSERT(turn_bind(c[0].fd, &c[0].user, &c[0].peer_address) == 403);
    CHQ_ASSERT(turn_bind(c[0].fd, &c[0].user, &c[1].relayed) == 0);
    CHQ_ASSERT(turn_bind(c[1].fd, &c[1].user, &c[0].relayed) == 0);
    CHQ_ASSERT(send(c[0].fd, "\x40\0\0\5hello", 9, 0) == 9);
    CHQ_ASSERT(arrives(c[1].fd, "\x40\0\0\5hello", 9));
    send_indication(c[1].fd, &c[0].relayed, false, (const uint8_t *)"hi", 2);
    CHQ_ASSERT(arrives(c[0].fd, "\x40\0\0\2hi", 6));
    for (int round = 0; round < 2; round++) { /* both ways at once, in bursts */
        static uint8_t packet[1204] = {0x40, 0, 1200 / 256, 1200 % 256};
        for (uint8_t i = 0; i < 40; i++) {
            memset(packet + 4, i, 1200);
            for (int who = 0; who < 2; who++)
                CHQ_ASSERT(send(c[who].fd, packet, sizeof packet, 0) == sizeof packet);
        }
        for (uint8_t i = 0; i < 40; i++) {
            memset(packet + 4, i, 1200);
            CHQ_ASSERT(arrives(c[0].fd, packet, sizeof packet) && arrives(c[1].fd, packet, sizeof packet));
        }
    }
    const uint64_t each = 5 + 2 + 2 * 2 * 40 * 1200;
    CHQ_ASSERT(chq_gauge_carried(&gauges[0]) == each && chq_gauge_carried(&gauges[1]) == each);
    end_client(&c[0]);
    end_client(&c[1]);
    chq_turn_server_stop(server);
}

/* No descriptor for a relayed port: 508, and what is open goes on. */
static void out_of_descriptors(struct chq_turn_server *server)
{
    struct chq_gauge gauge;
    struct chq_address relayed;
    struct rlimit before, tight;
    chq_gauge_init(&gauge, 0, UINT64_MAX);
    CHQ_ASSERT(chq_turn_server_add_credential(server, "bo", "secret", &gauge, 60) == CHQ_OK);
    struct client c = new_client(&crypto, chq_turn_server_port(server), "bo", "secret");
    struct client second = new_client(&crypto, chq_turn_server_port(server), "bo", "secret");
    CHQ_ASSERT(turn_allocate(c.fd, &c.user, &c.relayed) == 0);
    CHQ_ASSERT(turn_bind(c.fd, &c.user, &c.peer_address) == 0);
    int lowest_free = dup(0);
    (void)close(lowest_free);
    CHQ_ASSERT(getrlimit(RLIMIT_NOFILE, &before) == 0);
    tight = before;
    tight.rlim_cur = (rlim_t)lowest_free;
    CHQ_ASSERT(setrlimit(RLIMIT_NOFILE, &tight) == 0);
    CHQ_ASSERT(turn_allocate(second.fd, &second.user, &relayed) == 508);
    CHQ_ASSERT(turn_allocate(second.fd, &second.user, &relayed) == 508);
    CHQ_ASSERT(send(c.fd, "\x40\0\0\2on", 6, 0) == 6);
    CHQ_ASSERT(arrives(c.peer, "on", 2));
    CHQ_ASSERT(setrlimit(RLIMIT_NOFILE, &before) == 0);
    CHQ_ASSERT(turn_allocate(second.fd, &second.user, &relayed) == 0);
    end_client(&c);
    end_client(&second); /* its allocation stays open: stop has to close it */
    CHQ_ASSERT(chq_turn_server_add_credential(server, "", "secret", &gauge, 0) == CHQ_LIMIT);
    CHQ_ASSERT(chq_turn_server_remove_credential(server, "bo") == CHQ_OK);
}

/* A server that listens everywhere answers from the address that was asked. */
static void answers_from_where_it_was_asked(void)
{
    struct chq_turn_server_config config = good_config();
    struct chq_turn_server *server;
    struct chq_gauge gauge;
    chq_gauge_init(&gauge, 0, UINT64_MAX);
    config.listen_address = "0.0.0.0";
    CHQ_ASSERT(chq_turn_server_start(&config, &server) == CHQ_OK);
    CHQ_ASSERT(chq_turn_server_add_credential(server, "ana", "secret", &gauge, 0) == CHQ_OK);
    for (uint8_t host = 1; host <= 3; host++) { /* 127.0.0.1 to 3; a connected socket hears that one only */
        const struct chq_address address = chq_address_ip4(127, 0, 0, host, chq_turn_server_port(server));
        struct client c = {.user = {.crypto = &crypto, .name = "ana", .password = "secret"}};
        c.fd = udp_socket(&address, &c.own);
        c.peer = udp_socket(NULL, &c.peer_address);
        CHQ_ASSERT(turn_allocate(c.fd, &c.user, &c.relayed) == 0);
        CHQ_ASSERT(turn_bind(c.fd, &c.user, &c.peer_address) == 0);
        send_to(c.peer, &c.relayed, "back", 4);
        CHQ_ASSERT(arrives(c.fd,
            "\x40\0\0\4"
            "back",
            8));
        end_client(&c);
    }
    chq_turn_server_stop(server);
}

/* Bursts keep their order and every byte, whatever is sent together; `host` is where the server is asked. */
static void bursts_stay_whole(const char *listen, uint8_t host)
{
    static const unsigned sizes[] = {100, 100, 100, 100, 40, 100, 100, 0, 1000, 1000, 1000, 999, 1000, 1, 1,
        1, 1390, 1390, 1390, 1404, 1404, 172, 172, 172, 172, 172, 172, 172, 171, 172};
    enum { BURST = sizeof sizes / sizeof *sizes };
    static uint8_t packets[BURST][1500];
    struct chq_turn_server_config config = good_config();
    struct chq_turn_server *server;
    struct chq_gauge gauge;
    chq_gauge_init(&gauge, 0, UINT64_MAX);
    config.listen_address = listen;
    CHQ_ASSERT(chq_turn_server_start(&config, &server) == CHQ_OK);
    CHQ_ASSERT(chq_turn_server_add_credential(server, "ana", "secret", &gauge, 0) == CHQ_OK);
    const struct chq_address address = chq_address_ip4(127, 0, 0, host, chq_turn_server_port(server));
    struct client c = new_client(&crypto, address.port, "ana", "secret");
    (void)close(c.fd);
    c.fd = udp_socket(&address, &c.own);
    CHQ_ASSERT(turn_allocate(c.fd, &c.user, &c.relayed) == 0);
    CHQ_ASSERT(turn_bind(c.fd, &c.user, &c.peer_address) == 0);
    for (unsigned i = 0; i < BURST; i++) {
        memset(packets[i] + 4, (int)(i + 1), sizes[i]);
        chq_channel_data_header(packets[i], TURN_CLIENT_CHANNEL, (uint16_t)sizes[i]);
    }
    for (int round = 0; round < 20; round++) {
        struct mmsghdr out[BURST] = {0};
        struct iovec parts[BURST];
        union chq_sockaddr name;
        bool down = round % 2;
        socklen_t name_size = chq_address_to_sockaddr(&c.relayed, &name);
        for (unsigned i = 0; i < BURST; i++) {
            parts[i] = (struct iovec){packets[i] + (down ? 4 : 0), sizes[i] + (down ? 0 : 4)};
            out[i].msg_hdr = (struct msghdr){.msg_name = down ? &name : NULL,
                .msg_namelen = down ? name_size : 0,
                .msg_iov = &parts[i],
                .msg_iovlen = 1};
        }
        CHQ_ASSERT(sendmmsg(down ? c.peer : c.fd, out, BURST, 0) == BURST);
        for (unsigned i = 0; i < BURST; i++)
            CHQ_ASSERT(arrives(down ? c.fd : c.peer, packets[i] + (down ? 0 : 4), sizes[i] + (down ? 4 : 0)));
    }
    end_client(&c);
    chq_turn_server_stop(server);
}

struct churn {
    struct chq_turn_server *server;
    unsigned number, rounds;
};

/* Add a credential, use it, remove it, free its gauge at once: the sanitizer tells when the server still looks at it. */
static void *churn(void *arg)
{
    const struct churn *job = arg;
    char name[32];
    struct chq_turn_hash *hash; /* is for one thread */
    CHQ_ASSERT(chq_turn_hash_new(&hash) == CHQ_OK);
    const struct chq_stun_crypto own = chq_turn_hash_functions(hash);
    (void)snprintf(name, sizeof name, "user%u", job->number);
    for (unsigned i = 0; i < job->rounds; i++) {
        struct chq_gauge *gauge = malloc(sizeof *gauge);
        CHQ_ASSERT(gauge != NULL);
        chq_gauge_init(gauge, 0, 100);
        CHQ_ASSERT(chq_turn_server_add_credential(job->server, name, "password", gauge, 60) == CHQ_OK);
        struct client c = new_client(&own, chq_turn_server_port(job->server), name, "password");
        CHQ_ASSERT(turn_allocate(c.fd, &c.user, &c.relayed) == 0);
        CHQ_ASSERT(turn_bind(c.fd, &c.user, &c.peer_address) == 0);
        CHQ_ASSERT(send(c.fd, "\x40\0\0\1x", 5, 0) == 5 && arrives(c.peer, "x", 1));
        CHQ_ASSERT(send(c.fd, "\x40\0\0\1y", 5, 0) == 5); /* may come before or after the removal */
        CHQ_ASSERT(chq_turn_server_remove_credential(job->server, name) == CHQ_OK);
        CHQ_ASSERT(chq_gauge_carried(gauge) <= 2);
        free(gauge);
        struct chq_address relayed;
        c.user.nonce[0] = c.user.realm[0] = '\0';
        CHQ_ASSERT(turn_allocate(c.fd, &c.user, &relayed) == 401);
        end_client(&c);
    }
    chq_turn_hash_free(hash);
    return NULL;
}

int main(void)
{
    struct chq_turn_server *server;
    struct chq_turn_hash *hash;
    CHQ_ASSERT(chq_turn_hash_new(&hash) == CHQ_OK);
    crypto = chq_turn_hash_functions(hash);
    unsigned before = open_descriptors();
    const struct chq_turn_server_config config = good_config();
    CHQ_ASSERT(chq_turn_server_start(&config, &server) == CHQ_OK);
    bad_configurations(chq_turn_server_port(server));
    printf("bad configurations refused: ok\n");
    data_to_the_byte(server);
    printf("data both ways, metered to the byte: ok\n");
    out_of_descriptors(server);
    printf("out of descriptors: 508, and back: ok\n");
    neighbours_meet();
    printf("two clients of one relay meet there, and both pay: ok\n");
    dont_fragment_is_kept(server);
    printf("what must not be fragmented is not (MTU %u): ok\n", loopback_mtu());
    chq_turn_server_stop(server);
    chq_turn_server_stop(NULL);
    CHQ_ASSERT(chq_turn_server_start(&config, &server) == CHQ_OK);
    answers_from_where_it_was_asked();
    printf("answers come from the address that was asked: ok\n");
    bursts_stay_whole("127.0.0.1", 1);
    bursts_stay_whole("0.0.0.0", 2);
    printf("bursts keep order and bytes: ok\n");
    enum { THREADS = 4 };
    pthread_t threads[THREADS];
    struct churn jobs[THREADS];
    for (unsigned i = 0; i < THREADS; i++) {
        jobs[i] = (struct churn){.server = server, .number = i, .rounds = 25};
        CHQ_ASSERT(pthread_create(&threads[i], NULL, churn, &jobs[i]) == 0);
    }
    for (unsigned i = 0; i < THREADS; i++)
        CHQ_ASSERT(pthread_join(threads[i], NULL) == 0);
    printf("credentials come and go: ok\n");
    chq_turn_server_stop(server);
    CHQ_ASSERT(open_descriptors() == before);
    printf("nothing left open: ok\n");
    chq_turn_hash_free(hash);
    return 0;
}
