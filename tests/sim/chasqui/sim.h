/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CHQ_TESTS_SIM_CHASQUI_SIM_H
#define CHQ_TESTS_SIM_CHASQUI_SIM_H

/*
 * Clients, relays and a ledger in one process on a virtual clock, all from one seed. The parts under test are the real
 * protocol cores: client/agent, relay/mailbox, relay/meter, ledger/state, ledger/light. Here are their shells, made to fail:
 *   world.c   clock, connections, faults; client.c, relay.c, chain.c  the shells; oracle.c  what must hold, from outside;
 *   main.c    seeds.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "client/agent/agent.h"
#include "core/crypto/random.h"
#include "core/identity/account.h"
#include "core/wire/frame.h"
#include "core/wire/invitation.h"
#include "ledger/state/state.h"
#include "relay/mailbox/mailbox.h"
#include "relay/meter/meter.h"

#define CLIENTS_MAX     4
#define RELAYS_MAX      3
#define CONNECTIONS_MAX 64 /* of one relay */
#define SIM_START_S     UINT64_C(1760000000)
#define SIM_CHAIN       "sim-1"
#define SIM_PRICE       UINT64_C(100)
#define SIM_QUANTUM     UINT64_C(65536)
#define SIM_FUNDS       UINT64_C(1000000000)
#define SIM_GRANT       UINT64_C(200000)

/* Deliberate faults of a shell or core, to prove that the oracle sees them. */
enum mutation {
    MUTATION_NONE = 0,
    MUTATION_RELAY_EARLY_ACK, /* the relay answers before its disk has it */
    MUTATION_CLIENT_EARLY_ACK, /* the client sends before its disk has it */
    MUTATION_LEDGER_FORGETS, /* the ledger answers before its journal has the block */
    MUTATION_LEDGER_MINTS, /* a settlement is credited twice */
    MUTATION_RELAY_FORGETS_TOKENS, /* the relay does not store tokens */
    MUTATION_AGENT_RELEASES_TWICE, /* the client forgets which tokens it has given out */
    MUTATIONS
};

/* Key-value rows that survive a crash. */
struct row {
    struct row *next;
    uint8_t table;
    size_t key_size, value_size;
    uint8_t *value;
    uint8_t key[64];
};

struct sim_client {
    char handle[CHQ_AGENT_HANDLE_CHARS];
    const char *wish; /* the handle first asked for */
    uint8_t entropy[32];
    struct chq_account truth; /* the oracle's knowledge of this account */
    uint32_t home;
    struct chq_agent *agent; /* NULL: crashed */
    struct chq_seeded seeded;
    uint32_t epoch; /* counts starts */
    struct row *rows;
    uint64_t timer_us;
    bool ready;
    uint32_t added[CLIENTS_MAX]; /* asked to add that client */
    uint32_t link_to[RELAYS_MAX]; /* index of the link + 1 */
    uint32_t sent_to[CLIENTS_MAX]; /* texts whose QUEUED was durable */
    uint32_t delivered_to[CLIENTS_MAX]; /* durable DELIVERED status */
    uint32_t stored_to[CLIENTS_MAX];
    uint32_t got_from[CLIENTS_MAX]; /* durable received texts */
    uint32_t security; /* notices */
    uint32_t errors;
    uint64_t call_bytes, call_bytes_wanted;
};

struct sim_queue {
    uint8_t id[32];
    uint8_t kind;
    uint64_t first_sequence, prekey_first, prekey_next;
    uint8_t *bundle;
    size_t bundle_size;
    bool has_bundle;
};

struct sim_message {
    struct sim_message *next;
    uint32_t queue;
    uint64_t sequence, kept_s, wall_s;
    uint8_t put_id[16];
    size_t size;
    uint8_t *body;
};

struct sim_put {
    struct sim_put *next;
    uint32_t queue;
    uint8_t put_id[16];
};

struct sim_prekey {
    struct sim_prekey *next;
    uint32_t queue;
    uint64_t number;
    size_t size;
    uint8_t *body;
};

/* One relay's disk. Written by transactions: a journal of undone records is applied at commit. */
struct sim_disk {
    struct sim_queue *queues;
    uint32_t queues_n, queues_cap;
    struct sim_message *messages;
    struct sim_put *puts;
    struct sim_prekey *prekeys;
    struct chq_meter_row *channels;
    uint32_t channels_n, channels_cap;
    uint8_t granted[CLIENTS_MAX][32];
    uint32_t granted_n;
};

struct sim_pending; /* a record of the open transaction */

struct relay_connection {
    bool open;
    uint32_t link; /* index of the world's link */
    uint8_t challenge[32];
    bool greeted;
};

struct sim_relay {
    struct chq_account account;
    struct chq_mailbox *mailbox;
    struct chq_meter *meter;
    struct chq_seeded seeded;
    uint32_t epoch;
    bool up;
    struct sim_disk disk;
    struct sim_pending *pending, **pending_tail;
    bool commit_due;
    struct relay_connection connections[CONNECTIONS_MAX];
    bool settling; /* a settlement is under way */
    bool lies;
    struct {
        struct chq_bytes request, reply;
    } tales[64]; /* earlier ledger replies, to be told again */
    uint32_t tales_n;
    uint64_t forgotten_bytes; /* carried for calls, but not written down before a crash */
    uint64_t flush_all_us;
};

struct sim_chain {
    struct chq_genesis genesis;
    struct chq_account issuer;
    struct chq_sign_pair validator;
    struct chq_state *state;
    struct chq_bytes *journal; /* one batch each; empty: an empty block */
    uint64_t *journal_times;
    uint32_t journal_n, journal_cap, durable_n;
    uint8_t *header;
    size_t header_size;
    uint64_t header_height, header_s;
    bool up;
    uint32_t epoch;
};

struct sim_link { /* one connection of a client to a relay, ever */
    uint32_t client, relay, client_epoch, relay_epoch, connection;
    bool client_open, relay_open, cut;
    uint64_t to_client_us, to_relay_us; /* when the last frame arrives: one connection keeps its order */
};

enum event_type {
    EVENT_LINK_OPEN = 1, /* reaches the relay */
    EVENT_LINK_UP, /* reaches the client */
    EVENT_TO_RELAY,
    EVENT_TO_CLIENT,
    EVENT_LINK_GONE_RELAY,
    EVENT_LINK_GONE_CLIENT,
    EVENT_CLIENT_TIMER,
    EVENT_CLIENT_START,
    EVENT_RELAY_COMMIT,
    EVENT_RELAY_TIMER,
    EVENT_RELAY_START,
    EVENT_RELAY_ASK, /* a ledger request arrives at the ledger */
    EVENT_CHAIN_START,
    EVENT_SETTLE,
    EVENT_FAULT,
    EVENT_APP,
    EVENT_CALL,
    EVENT_STORY,
    EVENT_DEVICE
};

struct event {
    uint64_t at_us, order;
    enum event_type type;
    uint32_t a, b, epoch;
    uint64_t number;
    uint8_t *data;
    size_t size;
    bool lie; /* the client must notice */
};

struct sim_options {
    uint32_t clients, relays, messages; /* of each client */
    uint64_t faults_from_us, faults_until_us;
    double crash, loss,
        lie; /* per thousand, about every second: a process dies, connections break, a relay turns */
    double tear; /* per thousand writes: a process dies just before or just after */
    bool verbose;
    FILE *trace; /* what the apps see and which frames go, without times */
    bool calm; /* two people, nobody calls, no further devices */
    enum mutation mutation;
};

struct sim {
    struct sim_options options;
    uint64_t seed, now_us, steps;
    struct chq_seeded seeded;
    struct chq_random random;
    struct event *heap;
    uint32_t heap_n, heap_cap;
    uint64_t order;
    struct sim_link *links;
    uint32_t links_n, links_cap;
    struct sim_client clients[CLIENTS_MAX];
    struct sim_relay relays[RELAYS_MAX];
    struct sim_chain chain;
    bool failed;
    char why[512];
    uint64_t frames, crashes, cuts, lies, lies_noticed, delivered;
};

/* memory.c: while armed, the n-th allocation from now fails; 0: none does. */
extern long memory_fail_in;
extern bool memory_armed;
extern unsigned long memory_allocations;

/* world.c */
void sim_trace(struct sim *s, const char *format, ...) __attribute__((format(printf, 2, 3)));
void sim_log(struct sim *s, const char *format, ...) __attribute__((format(printf, 2, 3)));
void sim_fail(struct sim *s, const char *format, ...) __attribute__((format(printf, 2, 3)));
uint64_t sim_below(struct sim *s, uint64_t bound);
bool sim_chance(struct sim *s, double per_thousand); /* only while faults are on */
bool sim_faulty(const struct sim *s);
uint64_t sim_unix_ms(const struct sim *s);
struct event *sim_at(struct sim *s, uint64_t delay_us, enum event_type type, uint32_t a, uint32_t b);
void *sim_alloc(size_t size);
uint8_t *sim_copy(struct chq_bytes in);
uint32_t sim_link_new(struct sim *s, uint32_t client, uint32_t relay);
void sim_link_cut(struct sim *s, uint32_t link); /* both ends learn later; what is on the way is lost */
void sim_link_close(struct sim *s, uint32_t link, bool by_client); /* what was sent before still arrives */
void sim_link_crash(struct sim *s, uint32_t link, bool of_client); /* the one or the other */
void sim_send(struct sim *s, uint32_t link, bool to_client, struct chq_bytes frame, bool lie);
bool sim_run(const struct sim_options *options, uint64_t seed, char why[512], struct sim *totals);

/* chain.c */
void chain_init(struct sim *s);
void chain_free(struct sim *s);
void chain_crash(struct sim *s);
void chain_start(struct sim *s);
/* Apply one batch as a block; as a ledger's answer to SUBMIT. */
enum chq_err chain_submit(struct sim *s, struct chq_bytes signed_batch, char reason[160]);
/* Answer a request; the bytes are the caller's to free. */
uint8_t *chain_answer(struct sim *s, struct chq_bytes request, size_t *size);
enum chq_err chain_batch(struct sim *s, const struct chq_account *signer,
    const struct chq_operation *operations, size_t count, char reason[160]);
bool chain_account(struct sim *s, const uint8_t id[32], struct chq_account_record *out);
bool chain_channel(struct sim *s, const uint8_t id[32], struct chq_channel_record *out);

/* relay.c */
void relay_init(struct sim *s, uint32_t r);
void relay_start(struct sim *s, uint32_t r);
void relay_crash(struct sim *s, uint32_t r);
void relay_free(struct sim *s, uint32_t r);
void relay_on_open(struct sim *s, uint32_t link);
void relay_on_gone(struct sim *s, uint32_t link);
void relay_on_frame(struct sim *s, uint32_t link, struct chq_bytes frame);
void relay_on_commit(struct sim *s, uint32_t r);
void relay_on_timer(struct sim *s, uint32_t r);
void relay_on_ask(struct sim *s, const struct event *e);
void relay_on_settle(struct sim *s, const struct event *e);

/* disk.c: a relay's database */

void disk_mailbox(struct sim_relay *relay, const struct chq_mailbox_record *record);
void disk_meter(struct sim_relay *relay, const struct chq_meter_record *record);
void disk_commit(struct sim_relay *relay, bool forgets_tokens);
void disk_rollback(struct sim_relay *relay);
void disk_load(struct sim_relay *relay);
void disk_free(struct sim_relay *relay);
bool disk_has_put(const struct sim_relay *relay, const uint8_t queue_id[32], const uint8_t put_id[16]);
const struct sim_message *disk_message(const struct sim_relay *relay, uint32_t queue, uint64_t sequence);
const struct sim_prekey *disk_prekey(const struct sim_relay *relay, uint32_t queue, uint64_t number);

/* client.c */
void client_init(struct sim *s, uint32_t c);
void client_start(struct sim *s, uint32_t c);
void client_crash(struct sim *s, uint32_t c);
void client_free(struct sim *s, uint32_t c);
void client_event(struct sim *s, uint32_t c, const struct chq_agent_event *event, bool lie);
void client_on_timer(struct sim *s, uint32_t c, uint64_t armed_us);
void client_app(struct sim *s, uint32_t c);
void client_call(struct sim *s, uint32_t c);
void story_begin(struct sim *s);
void story_go_on(struct sim *s, uint64_t chapter);
void client_create(struct sim *s, uint32_t c, const char *handle);
void client_add(struct sim *s, uint32_t c, uint32_t other);
bool client_knows(const struct sim_client *client, const uint8_t account[32]);
void client_write(struct sim *s, uint32_t c, uint32_t other);
void client_lose(struct sim *s, uint32_t c); /* the device, with all that was on it */
void client_device(struct sim *s, uint32_t c);

/* oracle.c */
void oracle_received(
    struct sim *s, uint32_t c, const uint8_t from[32], uint64_t number, struct chq_bytes text);
void oracle_channels(struct sim *s);
void oracle_block(struct sim *s);
bool oracle_done(struct sim *s);
void oracle_end(struct sim *s);

#endif
