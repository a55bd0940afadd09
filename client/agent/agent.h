/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CHQ_CLIENT_AGENT_AGENT_H
#define CHQ_CLIENT_AGENT_AGENT_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/bytes.h"
#include "core/base/err.h"
#include "core/base/limits.h"
#include "core/base/random.h"

/*
 * The client's protocol core: everything that a device does between "the user wrote this" and "frames go to relays",
 * without sockets, files, threads or a clock. One struct, one step function.
 *
 * The shell's contract, step by step:
 *   1. chq_agent_new, then chq_agent_load for every stored record (any order), then the event START once.
 *   2. chq_agent_step with one event; it returns actions.
 *   3. Commit all PERSIST actions of that step in ONE transaction, durable, before any other action of the step is done. Then do
 *      the others in their order. If the commit fails: free the agent, do none of the actions, load again from the store.
 *   4. Call chq_agent_step with TIMEOUT when chq_agent_deadline_us has passed.
 * Actions and all they point to are borrowed from the agent until the next chq_agent_step or chq_agent_free.
 * When a step returns CHQ_NO_MEMORY the agent is not usable any more: do none of its actions, free it, load again.
 *
 * What it promises on top of that contract, whatever the relays and links do: a message given by SEND_TEXT reaches its
 * contact exactly once and in the order of sending, if the contact ever comes; it is encrypted once, and every retry sends
 * the same bytes under the same put id. A token is never released twice for different money. No key, relay address,
 * handle or balance is used that the ledger's validators have not proved.
 */
struct chq_agent;

/*
 * Records: one key-value namespace per table. Values hold secrets (keys, plain text of waiting messages): the shell encrypts
 * them at rest. CHQ_AGENT_MESSAGES and CHQ_AGENT_STATUS are the history: the agent only writes them and never needs them
 * loaded; read their values with chq_agent_message_read and chq_agent_status_read. All others must be loaded whole.
 */
enum chq_agent_table {
    CHQ_AGENT_PROFILE = 1, /* one record, key 0x00: account, device, invitation */
    CHQ_AGENT_LIGHT = 2, /* one record, key 0x00: the light client's trust */
    CHQ_AGENT_BATCH = 3, /* one record, key 0x00: the signed batch that is on its way to the ledger */
    CHQ_AGENT_CHANNELS = 4, /* key: channel id */
    CHQ_AGENT_QUEUES = 5, /* key: queue id; the queues that this device reads */
    CHQ_AGENT_PREKEYS = 6, /* key: prekey id u32 */
    CHQ_AGENT_CONTACTS = 7, /* key: 16 random bytes of this device's choosing */
    CHQ_AGENT_PEERS = 8, /* key: device id: one device of a contact, or of a stranger until it is checked */
    CHQ_AGENT_SESSIONS = 9, /* key: device id, u8 */
    CHQ_AGENT_OUTBOX = 10, /* key: contact key, number u64 */
    CHQ_AGENT_HELD = 11, /* key: device id, order u64: received, not yet shown */
    CHQ_AGENT_SEEN = 12, /* key: session id: begun by others in the last 40 days */
    CHQ_AGENT_RECEIPTS = 13, /* key: contact key, message id: to be acknowledged to the sender */
    CHQ_AGENT_MESSAGES = 14, /* key: account id, number u64: history, both directions, in the order to show */
    CHQ_AGENT_STATUS = 15, /* key: as MESSAGES; only of outgoing messages, the newest state */
    CHQ_AGENT_TABLES_MAX = 16
};

#define CHQ_AGENT_HOST_CHARS   256 /* with terminator */
#define CHQ_AGENT_HANDLE_CHARS 33 /* with terminator */

struct chq_agent_record {
    enum chq_agent_table table;
    struct chq_bytes key; /* 1 to CHQ_AGENT_KEY_BYTES_MAX */
    struct chq_bytes value;
    bool erase; /* delete the record; value is empty. No error if it is not there. */
};

/* What the user asks. Failures come back as a notice of kind ERROR with the same `request`. */
enum chq_agent_command_type {
    CHQ_AGENT_CREATE =
        1, /* text: invitation link; handle: wished handle; secret: 32 bytes of recovery entropy */
    CHQ_AGENT_ADD = 2, /* handle; ends in CONTACT_ADDED, now or when a relay can be reached */
    CHQ_AGENT_SEND_TEXT = 3, /* account, text; answered in the same step by QUEUED with the message id */
    CHQ_AGENT_SEND_CALL = 4, /* account, call_id, data: a call signal (docs/protocol.md section 10) */
    CHQ_AGENT_TURN = 5, /* ends in TURN: credentials of the home relay */
    CHQ_AGENT_TURN_USED =
        6, /* relay, amount: application bytes carried by TURN both ways since the last report */
    CHQ_AGENT_PREKEYS_RENEW = 7, /* publish a fresh bundle and one-time prekeys */
    CHQ_AGENT_TRANSFER = 8, /* handle, amount in microcredit; ends in TRANSFERRED */
    CHQ_AGENT_WALLET = 9, /* ends in WALLET with a freshly proved balance */
    CHQ_AGENT_LEAVE =
        10 /* pay what is owed, drop the links; ends in LEFT. The agent then is quiet until START. */
};

struct chq_agent_command {
    enum chq_agent_command_type type;
    uint64_t request; /* the shell's number, given back in notices; 0 allowed */
    struct chq_bytes text;
    struct chq_bytes handle;
    struct chq_bytes secret;
    struct chq_bytes data;
    uint8_t account[32];
    uint8_t call_id[16];
    uint8_t relay[32];
    uint64_t amount;
};

enum chq_agent_event_type {
    CHQ_AGENT_START = 1,
    CHQ_AGENT_TIMEOUT = 2,
    CHQ_AGENT_LINK_UP =
        3, /* relay: the WebSocket to it is open and its TLS key matched the pin of the LINK action */
    CHQ_AGENT_LINK_DOWN = 4, /* relay, reason: closed, refused, not resolved, wrong TLS key */
    CHQ_AGENT_FRAME = 5, /* relay, frame: one binary message from it */
    CHQ_AGENT_COMMAND = 6
};

struct chq_agent_event {
    enum chq_agent_event_type type;
    uint64_t now_us; /* monotonic */
    uint64_t unix_ms; /* wall clock */
    uint8_t relay[32];
    struct chq_bytes frame;
    struct chq_bytes reason; /* text for the user, may be empty */
    struct chq_agent_command command;
};

/* What the app is told. Fields not named are zero or empty. */
enum chq_agent_notice_kind {
    CHQ_AGENT_NOTE_PROGRESS = 1, /* text: what onboarding is doing, one plain sentence */
    CHQ_AGENT_NOTE_READY = 2, /* account, handle: onboarded, attached to the home relay, front door open */
    CHQ_AGENT_NOTE_CONTACT_ADDED =
        3, /* account, handle; by ADD (request) or because they wrote first (request 0) */
    CHQ_AGENT_NOTE_QUEUED = 4, /* account, message_id, number: in the outbox, durable with this step */
    CHQ_AGENT_NOTE_SENT = 5, /* account, message_id, number, relay: a relay has it on disk */
    CHQ_AGENT_NOTE_DELIVERED = 6, /* account, message_id, number, at_ms: the contact's device has stored it */
    CHQ_AGENT_NOTE_RECEIVED = 7, /* account, handle, message_id, number, at_ms (sent at), text */
    CHQ_AGENT_NOTE_CALL = 8, /* account, handle, call_id, at_ms (sent at), data */
    CHQ_AGENT_NOTE_TURN = 9, /* turn, relay */
    CHQ_AGENT_NOTE_WALLET = 10, /* wallet */
    CHQ_AGENT_NOTE_TRANSFERRED = 11, /* handle, account, amount */
    CHQ_AGENT_NOTE_LEFT = 12,
    CHQ_AGENT_NOTE_LINK = 13, /* relay, up; text: why, when down */
    CHQ_AGENT_NOTE_ERROR =
        14, /* err, text: what happened and what to do; request of the command if it has failed for good */
    CHQ_AGENT_NOTE_SECURITY = 15 /* relay, text: somebody lied or a key changed; what was refused */
};

struct chq_agent_turn {
    char host[CHQ_AGENT_HOST_CHARS];
    uint16_t port;
    char username[65], password[65], realm[65];
    uint64_t valid_s;
};

struct chq_agent_wallet {
    uint64_t balance_micro; /* proved by the ledger */
    uint64_t deposits_micro; /* in open channels of this account and not yet paid out of them */
    uint64_t paid_micro; /* tokens released, all channels that this device remembers */
    uint32_t channels;
};

struct chq_agent_notice {
    enum chq_agent_notice_kind kind;
    uint64_t request;
    uint8_t account[32];
    char handle[CHQ_AGENT_HANDLE_CHARS];
    uint8_t message_id[16];
    uint8_t call_id[16];
    uint8_t relay[32];
    uint64_t number; /* of the message in the history of its contact */
    uint64_t at_ms;
    uint64_t amount;
    enum chq_err err;
    bool up;
    struct chq_bytes text; /* UTF-8, terminated by a zero byte that size does not count */
    struct chq_bytes data;
    struct chq_agent_turn turn;
    struct chq_agent_wallet wallet;
};

enum chq_agent_action_type {
    CHQ_AGENT_DO_PERSIST = 1, /* record; all of a step come before its other actions */
    CHQ_AGENT_DO_LINK = 2, /* open a WebSocket to link; answer with LINK_UP or LINK_DOWN, never both silent */
    CHQ_AGENT_DO_UNLINK = 3, /* close it, flushing what was sent; no LINK_DOWN follows */
    CHQ_AGENT_DO_SEND = 4, /* relay, frame; in order; to be dropped if the link is gone */
    CHQ_AGENT_DO_NOTIFY = 5 /* notice */
};

struct chq_agent_link {
    char host[CHQ_AGENT_HOST_CHARS];
    uint16_t port;
    uint8_t tls_pin[32]; /* SHA-256 of the SubjectPublicKeyInfo */
};

struct chq_agent_action {
    enum chq_agent_action_type type;
    uint8_t relay[32];
    struct chq_agent_record record;
    struct chq_agent_link link;
    struct chq_bytes frame;
    const struct chq_agent_notice *notice;
};

struct chq_agent_actions {
    const struct chq_agent_action *v;
    uint32_t n;
};

/* What an account asks of its relays; 0 = the default. For tests and for people with opinions. */
struct chq_agent_config {
    uint32_t
        channel_tokens; /* length of a new channel; default 256; at most 16 with a relay that is not home */
    uint32_t channel_days; /* until a new channel expires; default 30 */
    uint32_t idle_pay_ms; /* idle time after which the rest of a quantum is paid; default 30,000 */
    uint64_t price_max_micro; /* no relay gets more for one token; default 10,000 */
    uint32_t prekeys; /* one-time prekeys kept at the relay; default 20 */
};

/* Make an agent without account, after chq_crypto_init. `random` is copied and must stay usable. CHQ_NO_MEMORY. */
CHQ_MUST_CHECK enum chq_err chq_agent_new(
    struct chq_agent **out, const struct chq_random *random, const struct chq_agent_config *config);
/* Wipe and free; NULL allowed. */
void chq_agent_free(struct chq_agent *agent);

/* Give back one stored record, before START. CHQ_MALFORMED: no such table or key; CHQ_NO_MEMORY. */
CHQ_MUST_CHECK enum chq_err chq_agent_load(
    struct chq_agent *agent, enum chq_agent_table table, struct chq_bytes key, struct chq_bytes value);

/*
 * Handle one event. A refused command or a relay's bad frame is no error of the step: it becomes a notice. CHQ_NO_MEMORY:
 * see above. CHQ_STATE: an event before START, or after a step failed. CHQ_MALFORMED, of START only: the stored records are
 * damaged; do not go on with them.
 */
CHQ_MUST_CHECK enum chq_err chq_agent_step(
    struct chq_agent *agent, const struct chq_agent_event *event, struct chq_agent_actions *out);

/* When TIMEOUT is due, in the now_us of the events; UINT64_MAX: nothing is waited for. */
uint64_t chq_agent_deadline_us(const struct chq_agent *agent);

/* Who this device is. `ready` as in the notice. CHQ_NOT_FOUND before CREATE. */
struct chq_agent_identity {
    uint8_t account[32];
    uint8_t device[16];
    uint8_t home_relay[32];
    char handle[CHQ_AGENT_HANDLE_CHARS]; /* the wished one until `registered` */
    char chain_id[51];
    bool registered; /* the ledger has given us the handle */
    bool ready;
};
CHQ_MUST_CHECK enum chq_err chq_agent_identity(const struct chq_agent *agent, struct chq_agent_identity *out);

/* The i-th contact, in the order they were added. CHQ_NOT_FOUND past the last. */
struct chq_agent_contact {
    uint8_t account[32]; /* zeros until the ledger has been asked */
    char handle[CHQ_AGENT_HANDLE_CHARS];
    bool known; /* proved by the ledger: messages can be sent */
    uint32_t devices;
    uint32_t waiting; /* messages in the outbox that are not delivered */
};
CHQ_MUST_CHECK enum chq_err chq_agent_contact(
    const struct chq_agent *agent, uint32_t i, struct chq_agent_contact *out);
/*
 * The safety number to compare with that contact: 60 digits and a terminator. CHQ_NOT_FOUND when it is not known.
 */
CHQ_MUST_CHECK enum chq_err chq_agent_safety_number(
    const struct chq_agent *agent, const uint8_t account[32], char out[61]);
/*
 * The SRTP master secret of a call, the same on both sides: the session with that contact, exported under the call id. Take it
 * when the call is set up; the contact's device does the same. CHQ_NOT_FOUND when there is no session.
 */
CHQ_MUST_CHECK enum chq_err chq_agent_call_key(
    struct chq_agent *agent, const uint8_t account[32], const uint8_t call_id[16], uint8_t out[32]);
/* The channels' sums and the last proved balance, without asking anybody. */
void chq_agent_wallet(const struct chq_agent *agent, struct chq_agent_wallet *out);
/* Messages in the outbox that no relay has stored yet, all contacts: 0 means a short-lived program may leave. */
uint32_t chq_agent_unsent(const struct chq_agent *agent);

/*
 * History records. MESSAGES value: {1: message id 16 bytes, 2: direction uint (0 out, 1 in), 3: sent at unix ms, 4: stored here
 * at unix ms, 5: text}. STATUS value: {1: enum chq_agent_status, 2: unix ms}.
 */
enum chq_agent_status { CHQ_AGENT_STATUS_SENT = 1, CHQ_AGENT_STATUS_DELIVERED = 2 };
struct chq_agent_message {
    uint8_t id[16];
    bool incoming;
    uint64_t sent_ms, stored_ms;
    struct chq_bytes text; /* borrowed from the value, not terminated */
};
CHQ_MUST_CHECK enum chq_err chq_agent_message_read(struct chq_bytes value, struct chq_agent_message *out);
CHQ_MUST_CHECK enum chq_err chq_agent_status_read(
    struct chq_bytes value, enum chq_agent_status *status, uint64_t *at_ms);

#endif
