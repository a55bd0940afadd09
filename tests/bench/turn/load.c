/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Load for any TURN server on loopback: allocates one relayed address per flow, binds a channel to its own sink, sends
 * packets through, and divides the CPU time that the server's threads took by the packets that arrived.
 * usage: bench-turn-load SERVER_PORT SERVER_PID USER PASSWORD up|down FLOWS RUN_LENGTH PACKETS_PER_S|0 PACKETS BYTES
 * up: client to peer; down: peer to client. RUN_LENGTH packets of one flow follow each other. 0 packets a second: as
 * fast as they arrive. Prints one JSON line.
 */
#include <dirent.h>
#include <inttypes.h>
#include <time.h>
#include <unistd.h>

#include "core/base/text.h"
#include "relay/turn/hash.h"
#include "turn_client.h"

#define FLOWS_MAX  64
#define IN_FLIGHT  192
#define RUN_MAX    64
#define STALL_US   300000
#define PACKET_MAX 1500

struct load {
    struct chq_stun_crypto crypto;
    struct chq_address server;
    const char *user, *password;
    int sink;
    struct chq_address sink_address;
    int flows[FLOWS_MAX];
    struct turn_user users[FLOWS_MAX];
    struct chq_address relayed[FLOWS_MAX];
    unsigned flows_n, run, bytes;
    bool down;
    uint64_t arrived;
};

static uint64_t now_us(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

/* The CPU time of all threads of a process, ns: first field of schedstat. */
static uint64_t cpu_ns(const char *pid)
{
    char path[600];
    uint64_t sum = 0;
    (void)snprintf(path, sizeof path, "/proc/%s/task", pid);
    DIR *dir = opendir(path);
    if (dir == NULL)
        die(path);
    for (struct dirent *e; (e = readdir(dir)) != NULL;) {
        uint64_t ns;
        (void)snprintf(path, sizeof path, "/proc/%s/task/%s/schedstat", pid, e->d_name);
        FILE *file = e->d_name[0] != '.' ? fopen(path, "r") : NULL;
        if (file != NULL) {
            sum += fscanf(file, "%" SCNu64, &ns) == 1 ? ns : 0;
            (void)fclose(file);
        }
    }
    (void)closedir(dir);
    return sum;
}

static void open_flow(struct load *load, unsigned i)
{
    struct chq_address own;
    load->users[i] =
        (struct turn_user){.crypto = &load->crypto, .name = load->user, .password = load->password};
    load->flows[i] = udp_socket(&load->server, &own);
    if (turn_allocate(load->flows[i], &load->users[i], &load->relayed[i]) != 0)
        die("allocate refused");
    if (turn_bind(load->flows[i], &load->users[i], &load->sink_address) != 0)
        die("channel bind refused");
}

static void take_arrived(struct load *load)
{
    static uint8_t bytes[64][PACKET_MAX + 64];
    static struct mmsghdr in[64];
    static struct iovec parts[64];
    const size_t want = load->bytes + (load->down ? 4 : 0);
    for (unsigned f = 0; f < (load->down ? load->flows_n : 1); f++) {
        for (unsigned i = 0; i < 64; i++) {
            parts[i] = (struct iovec){bytes[i], sizeof bytes[i]};
            in[i] = (struct mmsghdr){.msg_hdr = {.msg_iov = &parts[i], .msg_iovlen = 1}};
        }
        int n = recvmmsg(load->down ? load->flows[f] : load->sink, in, 64, MSG_DONTWAIT, NULL);
        for (int i = 0; i < n; i++)
            load->arrived += in[i].msg_len == want ? 1 : 0;
        if (n == 64)
            f--;
    }
}

static void send_run(struct load *load, unsigned flow)
{
    static uint8_t packet[PACKET_MAX + 64];
    static struct mmsghdr out[RUN_MAX];
    struct iovec part = {packet, load->bytes};
    union chq_sockaddr name;
    socklen_t size = load->down ? chq_address_to_sockaddr(&load->relayed[flow], &name) : 0;
    if (!load->down) {
        chq_channel_data_header(packet, TURN_CLIENT_CHANNEL, (uint16_t)load->bytes);
        part.iov_len += 4;
    }
    for (unsigned i = 0; i < load->run; i++)
        out[i] = (struct mmsghdr){.msg_hdr = {.msg_name = load->down ? &name : NULL,
                                      .msg_namelen = size,
                                      .msg_iov = &part,
                                      .msg_iovlen = 1}};
    if (sendmmsg(load->down ? load->sink : load->flows[flow], out, load->run, 0) != (int)load->run)
        die("sendmmsg");
}

/* Send `packets`, at `per_s` or as fast as they come back; return when all arrived or nothing comes any more. */
static uint64_t drive(struct load *load, uint64_t packets, uint64_t per_s)
{
    uint64_t sent = 0, start_us = now_us(), last_us = start_us, seen = 0;
    for (unsigned flow = 0; load->arrived < packets;) {
        uint64_t us = now_us();
        bool due = per_s > 0 ? (us - start_us) * per_s / 1000000 >= sent : sent - load->arrived < IN_FLIGHT;
        if (sent < packets && due) {
            send_run(load, flow);
            flow = (flow + 1) % load->flows_n;
            sent += load->run;
        }
        take_arrived(load);
        if (load->arrived > seen) {
            seen = load->arrived;
            last_us = us;
        } else if (us - last_us > STALL_US) {
            break; /* the rest was lost */
        }
    }
    return sent;
}

int main(int argc, char **argv)
{
    uint64_t n[6];
    static struct load load;
    if (argc != 11) {
        fputs(
            "usage: bench-turn-load PORT PID USER PASSWORD up|down FLOWS RUN PER_S PACKETS BYTES\n", stderr);
        return 2;
    }
    static const int at[] = {1, 6, 7, 8, 9, 10};
    static const uint64_t max[] = {65535, FLOWS_MAX, RUN_MAX, 10000000, 100000000, PACKET_MAX};
    for (int i = 0; i < 6; i++)
        if (chq_decimal_read(argv[at[i]], max[i], &n[i]) != CHQ_OK)
            die("bad number");
    struct chq_turn_hash *hash;
    if (chq_turn_hash_new(&hash) != CHQ_OK)
        die("hash");
    load.crypto = chq_turn_hash_functions(hash);
    load.server = chq_address_ip4(127, 0, 0, 1, (uint16_t)n[0]);
    load.user = argv[3];
    load.password = argv[4];
    load.down = strcmp(argv[5], "down") == 0;
    load.flows_n = (unsigned)n[1];
    load.run = (unsigned)n[2];
    load.bytes = (unsigned)n[5];
    load.sink = udp_socket(NULL, &load.sink_address);
    for (unsigned i = 0; i < load.flows_n; i++)
        open_flow(&load, i);
    (void)drive(&load, n[4] / 10, n[3]); /* warm up */
    load.arrived = 0;
    uint64_t cpu = cpu_ns(argv[2]), start_us = now_us();
    uint64_t sent = drive(&load, n[4], n[3]);
    uint64_t took_us = now_us() - start_us;
    cpu = cpu_ns(argv[2]) - cpu;
    printf("{\"sent\": %" PRIu64 ", \"arrived\": %" PRIu64 ", \"cpu_ns\": %.0f, \"packets_per_s\": %.0f}\n",
        sent, load.arrived, (double)cpu / (double)(load.arrived > 0 ? load.arrived : 1),
        (double)load.arrived * 1e6 / (double)took_us);
    for (unsigned i = 0; i < load.flows_n; i++)
        (void)(turn_close(load.flows[i], &load.users[i]) + close(load.flows[i]));
    chq_turn_hash_free(hash);
    return load.arrived > 0 ? 0 : 1;
}
