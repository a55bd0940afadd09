/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CHQ_CLIENT_AGENT_STATE_H
#define CHQ_CLIENT_AGENT_STATE_H

/*
 * Private to client/agent: the agent's whole state and what its files give each other.
 *   agent.c     events, commands, advance; output.c  actions, arena
 *   relay.c     links, requests, frames; pay.c  channels and tokens; lookup.c  proved lookups
 *   account.c   onboarding, batches; prekeys.c; contact.c  contacts and their devices
 *   outbox.c  encrypt and put; inbox.c  deliver, decrypt, order, receipts
 *   store.c     records out; load.c  records in; view.c  the read-only calls
 *
 * How it works: events change facts, then chq_agent_advance looks at every goal and issues what is missing for it, so that no goal
 * depends on which event came last. A goal that waits for time calls chq_agent_wake.
 */
#include "client/agent/agent.h"
#include "core/crypto/chain.h"
#include "core/identity/account.h"
#include "core/session/session.h"
#include "core/wire/batch.h"
#include "core/wire/content.h"
#include "core/wire/frame.h"
#include "core/wire/invitation.h"
#include "core/wire/ledger_frame.h"
#include "core/wire/signed.h"
#include "ledger/light/light.h"

#define AGENT_REQUEST_TIMEOUT_US (30 * UINT64_C(1000000))
#define AGENT_RETRY_MIN_MS       1000u
#define AGENT_RETRY_MAX_MS       60000u
#define AGENT_DISTRUST_MS        10000u /* first time; doubles */
#define AGENT_DISTRUST_MAX_MS    600000u
#define AGENT_PUTS_IN_FLIGHT_MAX 32u
#define AGENT_GAP_ASKED_MAX      8u /* what a relay skips is asked for so often, for about 3 minutes */
#define AGENT_HOLD_MS            300000u /* a gap in a conversation older than this is given up */
#define AGENT_RELAY_IDLE_US      (60 * UINT64_C(1000000)) /* a link to another's relay is kept this long unused */
#define AGENT_LEAVE_US           (5 * UINT64_C(1000000))
#define AGENT_LIST_FRESH_US                                                                                  \
    (3600 * UINT64_C(1000000)) /* a contact's device list is asked for again after this */
#define AGENT_QUANTUM_BYTES_MIN                                                                              \
    (2u * CHQ_ENVELOPE_BYTES_MAX) /* else a single message could not be paid after use */
#define AGENT_SESSIONS_PER_DEVICE 3u
#define AGENT_GUEST_TOKENS                                                                                   \
    16u /* a channel with a contact's relay, which a stranger can name: 1 MiB at 64 KiB each */
#define AGENT_HELD_MAX          1024u /* per device */
#define AGENT_STRANGERS_MAX     64u /* unchecked at a time; more wait at the relay */
#define AGENT_STRANGER_HELD_MAX 16u /* of one that has not said who it is */
#define AGENT_LOOKUPS_MAX       512u /* more are forgotten when nobody has asked for them for a minute */
#define AGENT_BUNDLES_KEPT      6u /* the newest bundles' secrets are kept, however old they seem to be */
#define AGENT_DOUBTS_MAX        3u /* claims too high, in a row, before a channel is given up */
#define AGENT_DISPUTES_MAX      3u /* channels given up so, before a relay gets no further one */
#define AGENT_RECORD_VERSION    1u

/* When to try again: doubles from AGENT_RETRY_MIN_MS. */
struct agent_retry {
    uint64_t at_us;
    uint32_t wait_ms;
};

enum agent_request_kind {
    AGENT_ASK_HELLO = 1,
    AGENT_ASK_ATTACH, /* object: channel */
    AGENT_ASK_TOKEN, /* object: channel */
    AGENT_ASK_PUT, /* object: delivery */
    AGENT_ASK_QUEUE, /* object: queue */
    AGENT_ASK_SUBSCRIBE, /* object: queue */
    AGENT_ASK_LOOKUP, /* object: lookup */
    AGENT_ASK_SUBMIT,
    AGENT_ASK_TURN,
    AGENT_ASK_PREKEYS,
    AGENT_ASK_PREKEY_GET, /* object: peer */
    AGENT_ASK_GRANT
};

struct agent_request {
    struct agent_request *next;
    uint64_t id, deadline_us;
    enum agent_request_kind kind;
    void *object; /* NULL when it is gone: the reply is dropped */
    uint64_t command; /* the shell's number, TURN */
    uint64_t bytes; /* PUT */
};

enum agent_link_state { AGENT_LINK_NONE, AGENT_LINK_OPENING, AGENT_LINK_GREETING, AGENT_LINK_READY };

struct agent_relay {
    struct agent_relay *next;
    uint8_t id[32];
    struct chq_agent_link address;
    uint64_t price_micro, quantum_bytes;
    bool addressed; /* address is known, from the invitation or a record */
    bool proved; /* address, price and quantum are the ledger's */
    bool wanted;
    enum agent_link_state state;
    struct agent_retry retry, attach_retry;
    uint32_t distrust_ms;
    uint32_t behind; /* answers in a row that were older than what we had seen */
    uint64_t distrusted_us;
    uint64_t record_since_us; /* a record older than this is not good enough: the address did not work */
    bool checked; /* WELCOME agrees with the proved record, on this connection */
    bool said_down;
    uint8_t challenge[32];
    uint64_t welcome_price, welcome_quantum, grant_micro;
    uint64_t next_request;
    struct agent_request *requests;
    struct agent_channel *attached, *attaching;
    bool claim_stale; /* something was carried since the last ATTACHED or CREDIT */
    uint32_t puts;
    uint64_t puts_bytes; /* of PUTs under way */
    uint64_t since_claim_bytes; /* counted here since the relay last said what it counts */
    uint64_t used_us; /* a goal last needed the link */
    uint64_t carried_us; /* something was last carried that costs */
};

enum agent_channel_state { AGENT_CHANNEL_OPENING = 1, AGENT_CHANNEL_OPEN = 2, AGENT_CHANNEL_DONE = 3 };

struct agent_channel {
    struct agent_channel *next;
    uint8_t id[32], relay[32], end[32], attach_seed[32];
    enum agent_channel_state state;
    uint64_t tokens, price_micro, quantum_bytes, expiry_s;
    uint64_t released; /* index of the newest token that may have left this device */
    uint64_t own_bytes; /* what this device counted */
    uint64_t settled_bytes; /* of own_bytes: how far it was known to be paid up */
    uint64_t acked, claimed_bytes; /* the relay's word; not stored */
    uint32_t doubts; /* times in a row that the relay claimed too much for it */
    bool disputed; /* given up for that; then it is DONE as well */
    uint64_t expire_us; /* not asked to expire before; not stored */
    uint64_t suspect_us; /* the relay refused it: what does the ledger say? 0: nothing wrong */
    bool dirty;
};

struct agent_queue {
    struct agent_queue *next;
    uint8_t id[32], relay[32], seed[32];
    struct chq_sign_pair key;
    uint64_t kind; /* enum chq_queue_kind */
    uint8_t contact[16]; /* contact key; zeros for the front door */
    uint64_t sequence; /* newest taken */
    bool made; /* the relay has it */
    bool subscribed, asking; /* on this connection */
    bool gap; /* the relay skipped some, on this connection; ask again when gap_retry is due */
    uint32_t gap_asked;
    struct agent_retry gap_retry;
    struct agent_retry retry;
    bool dirty;
};

struct agent_lookup {
    struct agent_lookup *next;
    enum chq_record_kind kind;
    uint8_t key[32];
    bool wanted, asking, done, present;
    uint8_t *value;
    size_t size;
    uint64_t asked_us, fetched_us, used_us;
    uint64_t asked_height; /* newest height that was known then: an answer below it is an old one */
    uint64_t time_s; /* of the ledger's header */
    struct agent_retry retry;
};

struct agent_prekey {
    struct agent_prekey *next;
    struct chq_prekey_secret secret;
    bool signed_one; /* the bundle's; else one-time */
    uint64_t made_s;
};

struct agent_held {
    struct agent_held *next;
    uint64_t order, arrived_ms;
    uint8_t *data;
    size_t size;
};

struct agent_session {
    struct chq_session *session; /* NULL: free place */
    bool dirty;
    bool broken; /* do not send on it */
};

struct agent_peer {
    struct agent_peer *next;
    struct agent_contact *contact; /* NULL: a stranger that is being checked */
    uint8_t device[16], account[32], signing_key[32], identity_key[32];
    uint8_t home_relay[32], front_door[32]; /* of the device list; zeros until it is known */
    uint8_t reply_relay[32], reply_queue[32];
    bool has_reply;
    bool active; /* in the newest proved device list */
    bool greeted; /* our hello is in the outbox or gone */
    bool hello_waits; /* no relay has our hello yet; found anew in each step, not stored */
    char handle[CHQ_AGENT_HANDLE_CHARS]; /* as its hello said */
    uint64_t out_order; /* newest given out */
    uint64_t in_order; /* newest taken */
    struct agent_session sessions[AGENT_SESSIONS_PER_DEVICE];
    struct agent_held *held; /* by order */
    uint32_t held_count;
    uint64_t seen_us; /* of a stranger: lookups must be newer */
    uint64_t seen_s; /* and to refuse it, the ledger's header as well: it may have registered just before */
    bool asking;
    struct agent_retry retry;
    bool dirty;
};

struct agent_delivery {
    struct agent_delivery *next;
    struct agent_item *item;
    struct agent_peer *peer;
    uint8_t put_id[16], relay[32], queue[32];
    uint8_t *envelope; /* NULL when stored */
    size_t size;
    bool stored, in_flight;
    struct agent_retry retry;
};

struct agent_item {
    struct agent_item *next;
    struct agent_contact *contact;
    uint64_t number; /* in the contact's outbox */
    enum chq_content_kind kind;
    uint8_t message_id[16], call_id[16];
    uint64_t history; /* number of a text in the history */
    uint64_t sent_ms;
    uint8_t *data; /* text, signal, or receipt ids; none for a hello */
    size_t size;
    struct agent_peer *only; /* of a hello: this device and no other */
    bool noted; /* SENT was said */
    bool delivered;
    struct agent_delivery *deliveries;
    bool dirty;
};

struct agent_receipt {
    struct agent_receipt *next;
    uint8_t message_id[16];
};

struct agent_contact {
    struct agent_contact *next;
    uint8_t key[16];
    char handle[CHQ_AGENT_HANDLE_CHARS];
    uint8_t account[32], root_key[32];
    bool has_account, known;
    uint64_t list_version;
    uint64_t next_history, next_item;
    uint64_t added_ms;
    struct agent_receipt *receipts;
    uint32_t receipts_count;
    uint64_t request; /* ADD's; not stored */
    uint64_t since_us; /* lookups must be newer than this */
    uint64_t checked_us; /* when the device list was last held against the ledger, this run; 0: not yet */
    bool refused; /* its keys changed: nothing is sent */
    bool told; /* that it cannot be added yet */
    struct agent_retry retry;
    bool dirty;
};

enum agent_batch_kind {
    AGENT_BATCH_CREATE = 1,
    AGENT_BATCH_COMMIT = 2,
    AGENT_BATCH_REVEAL = 3,
    AGENT_BATCH_CHANNEL = 4,
    AGENT_BATCH_TRANSFER = 5,
    AGENT_BATCH_DEVICES = 6,
    AGENT_BATCH_EXPIRE = 7
};

struct agent_batch {
    enum agent_batch_kind kind; /* 0: none */
    uint64_t nonce;
    uint8_t subject[32]; /* channel id; receiver of a transfer */
    uint64_t amount, request;
    uint8_t *data; /* Signed batch */
    size_t size;
    bool asking, answered, dirty;
    enum chq_err answer;
    char reason[CHQ_LEDGER_REASON_BYTES_MAX + 1];
    uint64_t answered_us;
    uint32_t refusals;
    struct agent_retry retry;
};

struct agent_transfer {
    struct agent_transfer *next;
    char handle[CHQ_AGENT_HANDLE_CHARS];
    uint64_t amount, request, since_us;
};

/* Secrets of the account; in locked memory. */
struct agent_secrets {
    uint8_t entropy[CHQ_RECOVERY_ENTROPY_BYTES];
    struct chq_account account;
    struct chq_device_keys device;
};

struct agent_seen {
    struct agent_seen *next;
    uint8_t session_id[16];
    uint64_t at_s;
};

struct agent_block;
struct agent_loaded {
    struct agent_loaded *next;
    enum chq_agent_table table;
    size_t key_size, value_size;
    uint8_t bytes[];
};

struct chq_agent {
    struct chq_random random;
    struct chq_agent_config config;
    bool started, broken;
    uint64_t now_us, unix_ms, deadline_us;
    struct agent_loaded *loaded;

    /* output of the step */
    enum chq_err err;
    struct agent_block *blocks;
    struct chq_agent_action *persists, *others;
    uint32_t persists_n, persists_cap, others_n, others_cap;
    bool again;

    /* profile */
    bool created;
    struct agent_secrets *secrets;
    struct chq_invitation *invitation;
    char handle[CHQ_AGENT_HANDLE_CHARS];
    uint8_t salt[32], front_door[32];
    uint64_t created_s;
    uint32_t next_prekey;
    uint64_t bundle_s; /* when the newest bundle was published; 0: never */
    bool registered; /* the ledger has our handle */
    bool handle_taken;
    bool profile_dirty;
    bool ready_said;
    uint64_t create_request;

    struct chq_light *light;
    uint64_t light_stored;

    /* account as last proved */
    bool account_known, account_present;
    uint64_t nonce, balance_micro;
    uint64_t account_since_us; /* facts older than this do not count */
    bool account_has_handle, account_has_our_commit;
    bool device_listed; /* our device is in the ledger's list; stored */
    bool granting, granted;
    struct agent_retry grant_retry;
    bool broke_said; /* told that there is not enough credit */
    uint64_t wallet_request;
    bool wallet_wanted;
    struct agent_retry wallet_retry; /* look whether credit has come */

    struct agent_batch batch;
    struct agent_transfer *transfers;
    bool publish, publishing; /* prekeys */
    struct agent_retry publish_retry;
    bool leave_wanted; /* first what waits in the outbox is sent, as far as it can be */
    bool leaving; /* then what is owed is paid, and nothing else */
    bool left;
    uint64_t leave_until_us, leave_request;
    uint64_t turn_wanted; /* number of TURN requests waiting */
    uint64_t turn_requests[8];

    struct agent_relay *relays;
    struct agent_channel *channels;
    struct agent_queue *queues;
    struct agent_prekey *prekeys;
    struct agent_contact *contacts;
    struct agent_peer *peers;
    struct agent_item *items, **items_tail;
    struct agent_lookup *lookups;
    struct agent_seen *seen;
};

/* output.c: all of these note CHQ_NO_MEMORY in a->err when memory is short. */
void *chq_agent_scratch(struct chq_agent *a, size_t size); /* zeroed, until the next step; NULL */
void *chq_agent_alloc(struct chq_agent *a, size_t size); /* zeroed, caller's; NULL */
uint8_t *chq_agent_copy(struct chq_agent *a, struct chq_bytes in); /* caller's; NULL also for no bytes */
void chq_agent_fail(struct chq_agent *a, enum chq_err err);
void chq_agent_output_clear(struct chq_agent *a);
void chq_agent_output_free(struct chq_agent *a);
void chq_agent_output_take(struct chq_agent *a, struct chq_agent_actions *out);
void chq_agent_persist(
    struct chq_agent *a, enum chq_agent_table table, struct chq_bytes key, struct chq_bytes value);
void chq_agent_erase(struct chq_agent *a, enum chq_agent_table table, struct chq_bytes key);
struct chq_agent_action *chq_agent_act(struct chq_agent *a, enum chq_agent_action_type type);
/* A notice of this step to fill in; never NULL (a dummy when memory is short). */
struct chq_agent_notice *chq_agent_note(struct chq_agent *a, enum chq_agent_notice_kind kind);
void chq_agent_note_text(struct chq_agent *a, struct chq_agent_notice *note, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void chq_agent_say_error(struct chq_agent *a, uint64_t request, enum chq_err err, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
void chq_agent_say_progress(struct chq_agent *a, const char *text);

/* agent.c */
void chq_agent_wake(struct chq_agent *a, uint64_t at_us);
/* Whether `retry` is due; arranges to be woken when not. */
bool chq_agent_due(struct chq_agent *a, const struct agent_retry *retry);
void chq_agent_backoff(struct chq_agent *a, struct agent_retry *retry);
static inline uint64_t chq_agent_now_s(const struct chq_agent *a)
{
    return a->unix_ms / 1000;
}
void chq_agent_self(const struct chq_agent *a, struct chq_session_self *self);

/* relay.c */
struct agent_relay *chq_agent_relay(
    struct chq_agent *a, const uint8_t id[32]); /* found or made; NULL: memory */
struct agent_relay *chq_agent_home(struct chq_agent *a);
/* Send a request; NULL when the link is not ready. */
struct agent_request *chq_agent_ask(struct chq_agent *a, struct agent_relay *relay, struct chq_frame *frame,
    enum agent_request_kind kind, void *object);
void chq_agent_send(struct chq_agent *a, struct agent_relay *relay, const struct chq_frame *frame);
void chq_agent_forget(struct chq_agent *a, const void *object); /* nobody may answer to it any more */
void chq_agent_link_up(struct chq_agent *a, struct agent_relay *relay);
void chq_agent_link_down(struct chq_agent *a, struct agent_relay *relay, struct chq_bytes reason);
void chq_agent_unlink(struct chq_agent *a, struct agent_relay *relay);
/* Say what a relay did wrong, drop the link and stay away for a while. */
void chq_agent_distrust(struct chq_agent *a, struct agent_relay *relay, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void chq_agent_frame(struct chq_agent *a, struct agent_relay *relay, struct chq_bytes frame);
void chq_agent_advance_relays(struct chq_agent *a);
const char *chq_agent_relay_name(const struct agent_relay *relay); /* host:port for texts; static storage */

/* pay.c */
struct agent_channel *chq_agent_channel_find(struct chq_agent *a, const uint8_t id[32]);
struct agent_channel *chq_agent_channel_usable(struct chq_agent *a, const struct agent_relay *relay);
void chq_agent_channel_free(struct chq_agent *a, struct agent_channel *channel);
bool chq_agent_channel_wanted(struct chq_agent *a, const struct agent_relay *relay);
void chq_agent_on_attached(struct chq_agent *a, struct agent_relay *relay, struct agent_channel *channel,
    const struct chq_frame *in);
void chq_agent_on_credit(struct chq_agent *a, struct agent_relay *relay, const struct chq_frame *in);
void chq_agent_advance_debts(struct chq_agent *a);
void chq_agent_advance_pay(struct chq_agent *a, struct agent_relay *relay);
void chq_agent_count(struct chq_agent *a, struct agent_relay *relay, uint64_t bytes);
/* Whether the relay will take a PUT of `bytes` now, as far as this side can tell; else it is not worth sending. */
bool chq_agent_has_room(struct chq_agent *a, struct agent_relay *relay, uint64_t bytes);
bool chq_agent_paid_up(const struct agent_relay *relay);

/* lookup.c */
/* The proved record, if it is known and not older than since_us; else NULL, and it is asked for. */
struct agent_lookup *chq_agent_look(
    struct chq_agent *a, enum chq_record_kind kind, const uint8_t key[32], uint64_t since_us);
void chq_agent_on_lookup(
    struct chq_agent *a, struct agent_relay *relay, struct agent_lookup *lookup, struct chq_bytes reply);
void chq_agent_advance_lookups(struct chq_agent *a);
struct agent_relay *chq_agent_any_ready(struct chq_agent *a);

/* account.c */
void chq_agent_create(struct chq_agent *a, const struct chq_agent_command *command);
enum chq_err chq_agent_trust(struct chq_agent *a); /* make the light client from the invitation */
void chq_agent_advance_account(struct chq_agent *a);
void chq_agent_on_submit(struct chq_agent *a, struct agent_relay *relay, struct chq_bytes reply);
void chq_agent_on_grant(struct chq_agent *a, const struct chq_frame *in);
void chq_agent_batch_clear(struct chq_agent *a);
void chq_agent_transfer(struct chq_agent *a, const struct chq_agent_command *command);

/* prekeys.c */
void chq_agent_advance_prekeys(struct chq_agent *a);
void chq_agent_on_prekeys(struct chq_agent *a, bool ok);
void chq_agent_prekey_used(struct chq_agent *a, uint32_t id);

/* contact.c */
struct agent_contact *chq_agent_contact_of(struct chq_agent *a, const uint8_t account[32]);
struct agent_contact *chq_agent_contact_by_key(struct chq_agent *a, const uint8_t key[16]);
struct agent_peer *chq_agent_peer(struct chq_agent *a, const uint8_t device[16]);
struct agent_peer *chq_agent_peer_new(struct chq_agent *a, const uint8_t device[16]);
void chq_agent_peer_drop(struct chq_agent *a, struct agent_peer *peer); /* and all its records */
void chq_agent_add(struct chq_agent *a, const struct chq_agent_command *command);
void chq_agent_advance_contacts(struct chq_agent *a);
void chq_agent_on_prekey(
    struct chq_agent *a, struct agent_relay *relay, struct agent_peer *peer, const struct chq_frame *in);
struct agent_queue *chq_agent_queue_of(struct chq_agent *a, const struct agent_contact *contact);
struct agent_queue *chq_agent_queue_new(
    struct chq_agent *a, const uint8_t relay[32], uint64_t kind, const uint8_t contact[16]);
/* The session to send on; NULL when there is none. */
struct agent_session *chq_agent_best_session(struct agent_peer *peer);
/* Keep a session, in the place of the worst if there is no room. Takes it. */
struct agent_session *chq_agent_keep_session(
    struct chq_agent *a, struct agent_peer *peer, struct chq_session *session);

/* outbox.c */
struct agent_item *chq_agent_item_new(
    struct chq_agent *a, struct agent_contact *contact, enum chq_content_kind kind, struct chq_bytes data);
void chq_agent_item_free(struct chq_agent *a, struct agent_item *item);
void chq_agent_send_text(struct chq_agent *a, const struct chq_agent_command *command);
void chq_agent_send_call(struct chq_agent *a, const struct chq_agent_command *command);
void chq_agent_advance_outbox(struct chq_agent *a);
/* Whether something can still be sent soon: a session is there, but a relay has not stored all. */
bool chq_agent_outbox_busy(struct chq_agent *a);
void chq_agent_on_put(struct chq_agent *a, struct agent_relay *relay, struct agent_delivery *delivery,
    const struct chq_frame *in);
void chq_agent_stored(struct chq_agent *a, struct agent_delivery *delivery);
void chq_agent_on_receipt(struct chq_agent *a, struct agent_peer *peer, const struct chq_content *content);

/* inbox.c */
void chq_agent_on_deliver(struct chq_agent *a, struct agent_relay *relay, const struct chq_frame *in);
void chq_agent_advance_inbox(struct chq_agent *a);

/* store.c: write what changed; called once at the end of a step. */
void chq_agent_flush(struct chq_agent *a);
void chq_agent_item_key(const struct agent_item *item, uint8_t out[24]);
void chq_agent_store_held(struct chq_agent *a, const struct agent_peer *peer, const struct agent_held *held);
void chq_agent_erase_held(struct chq_agent *a, const struct agent_peer *peer, uint64_t order);
void chq_agent_store_batch(struct chq_agent *a);
void chq_agent_store_prekey(struct chq_agent *a, const struct agent_prekey *prekey);
void chq_agent_store_receipt(struct chq_agent *a, const struct agent_contact *contact, const uint8_t id[16]);
void chq_agent_erase_receipt(struct chq_agent *a, const struct agent_contact *contact, const uint8_t id[16]);
void chq_agent_store_seen(struct chq_agent *a, const struct agent_seen *seen);
void chq_agent_store_message(struct chq_agent *a, const struct agent_contact *contact, uint64_t number,
    const struct chq_agent_message *message);
void chq_agent_store_status(
    struct chq_agent *a, const struct agent_contact *contact, uint64_t number, enum chq_agent_status status);

/* load.c */
CHQ_MUST_CHECK enum chq_err chq_agent_resume(struct chq_agent *a); /* at START, from a->loaded */
void chq_agent_loaded_free(struct chq_agent *a);

#endif
