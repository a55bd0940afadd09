/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CHASQUI_H
#define CHASQUI_H

/*
 * libchasqui: end-to-end encrypted messages and calls over paid relays, for apps.
 *
 * One handle, `struct chq_client`, is one device of one account with its profile on disk. Commands return at once
 * (what takes a relay ends in an event); events are pulled from one queue, whose descriptor can be polled:
 *
 *     struct chq_client *client;
 *     char why[CHQ_WHY_CHARS];
 *     struct chq_client_options options = {.size = sizeof options, .profile = dir, .passphrase = text};
 *     if (chq_client_open(&options, &client, why) != CHQ_ERROR_NONE) { puts(why); return; }
 *     struct pollfd p = {.fd = chq_client_fd(client), .events = POLLIN};
 *     for (;;) {
 *         poll(&p, 1, -1);
 *         const struct chq_event *event;
 *         while ((event = chq_client_next_event(client)) != NULL)
 *             ...
 *     }
 *
 * Threads: any thread may call, one at a time for each client. The library runs one thread of its own for all clients of
 * the process and never calls back into the app. Texts are UTF-8. Nothing here blocks on the network but chq_client_close.
 *
 * The ABI grows at the end only: structs that the app fills begin with their size, event kinds and errors may be added.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define CHQ_API_VERSION       1
#define CHQ_HANDLE_CHARS      33 /* with terminator */
#define CHQ_WORDS_CHARS       240 /* 24 words, with terminator */
#define CHQ_SAFETY_CHARS      61 /* 60 digits and a terminator */
#define CHQ_WHY_CHARS         512
#define CHQ_MESSAGE_BYTES_MAX 12288 /* one text message */

/* What went wrong, chosen by what the user has to do. chq_error_text has the words for each. */
enum chq_error {
    CHQ_ERROR_NONE = 0,
    CHQ_ERROR_ARGUMENT = 1, /* the app passed something impossible */
    CHQ_ERROR_NO_PROFILE = 2,
    CHQ_ERROR_PROFILE_EXISTS = 3,
    CHQ_ERROR_PROFILE_IN_USE = 4,
    CHQ_ERROR_PASSPHRASE = 5, /* wrong, or one is needed and none was given */
    CHQ_ERROR_PROFILE_FOREIGN = 6, /* not a profile of Chasqui */
    CHQ_ERROR_PROFILE_NEWER = 7, /* written by a newer version */
    CHQ_ERROR_PROFILE_DAMAGED = 8,
    CHQ_ERROR_DISK_FULL = 9,
    CHQ_ERROR_DISK = 10, /* cannot be read or written */
    CHQ_ERROR_KEYRING = 11, /* no keyring, or it stayed locked: use a passphrase */
    CHQ_ERROR_INVITATION = 12, /* not an invitation link */
    CHQ_ERROR_HANDLE = 13, /* malformed */
    CHQ_ERROR_HANDLE_TAKEN = 14,
    CHQ_ERROR_NOT_FOUND = 15, /* nobody has that handle, no such message, no such call */
    CHQ_ERROR_TOO_LONG = 16, /* a message above CHQ_MESSAGE_BYTES_MAX */
    CHQ_ERROR_NOT_TEXT = 17, /* empty, or not UTF-8 */
    CHQ_ERROR_RELAY = 18, /* a relay cannot be reached; what waits is kept */
    CHQ_ERROR_CREDIT = 19, /* not enough credit */
    CHQ_ERROR_DECEIVED = 20, /* a relay or a contact showed something that the ledger does not prove */
    CHQ_ERROR_BUSY = 21, /* a call is going on */
    CHQ_ERROR_SOUND = 22, /* sound device or file */
    CHQ_ERROR_CLOSED = 23, /* the client stopped after a fatal error; close it */
    CHQ_ERROR_MEMORY = 24,
    CHQ_ERROR_FAILED = 25 /* anything else; the text of the event or `why` has the details */
};

/* Return one plain English sentence, without full stop, for `error`; never NULL. */
const char *chq_error_text(enum chq_error error);

/* ---- opening and closing */

struct chq_client;

struct chq_client_options {
    uint32_t size; /* sizeof(struct chq_client_options) */
    const char *profile; /* directory; made by chq_client_create when it is not there */
    const char *passphrase; /* unlocks the profile; NULL: a key kept in the desktop's keyring */
    uint32_t keyring_timeout_ms; /* how long to wait for the keyring (it may ask its user); 0: 10,000 */
    bool relay_only; /* in calls, never show the other side our network addresses */
};

/*
 * Make a new account with its first device in a new profile, and open it. `invitation` is a link from a relay's
 * operator, `handle` the wished name. `words` receives the 24 words that restore the account: show them once, to be
 * written down; they are not kept. The account goes to the ledger in the background: CHQ_EVENT_PROGRESS, then
 * CHQ_EVENT_READY, or CHQ_EVENT_ERROR (CHQ_ERROR_HANDLE_TAKEN: close, remove the profile, try another). Continues where
 * it stopped when the program ends in between. On error `*out` is NULL, `words` is empty, and `why` (may be NULL) has a
 * sentence with the details. Errors: ARGUMENT, PROFILE_*, PASSPHRASE, DISK*, KEYRING, INVITATION, HANDLE, MEMORY.
 */
enum chq_error chq_client_create(const struct chq_client_options *options, const char *invitation,
    const char *handle, char words[CHQ_WORDS_CHARS], struct chq_client **out, char why[CHQ_WHY_CHARS]);

/*
 * Bring an account back from its 24 `words`, as a further device of it in a new profile; otherwise as chq_client_create.
 * `handle` counts only where the ledger does not know the account (then it is made anew; CHQ_ERROR_HANDLE_TAKEN as an event
 * if it is another's). Credit, handle and new messages come back; contacts and old messages do not, they are on the
 * devices only. ARGUMENT when the words are not 24 of the list in their order, `why` says which is wrong.
 */
enum chq_error chq_client_restore(const struct chq_client_options *options, const char *invitation,
    const char *handle, const char *words, struct chq_client **out, char why[CHQ_WHY_CHARS]);

/*
 * Open a profile and begin to work: connect to the home relays, receive, send what waits. Errors: ARGUMENT, NO_PROFILE,
 * PROFILE_*, PASSPHRASE, DISK*, KEYRING, MEMORY.
 */
enum chq_error chq_client_open(
    const struct chq_client_options *options, struct chq_client **out, char why[CHQ_WHY_CHARS]);

/* Whether the profile in `directory` is unlocked by the keyring and not by a passphrase. NO_PROFILE, PROFILE_*, DISK. */
enum chq_error chq_profile_by_keyring(const char *directory, bool *by_keyring, char why[CHQ_WHY_CHARS]);

/*
 * End a call that is going on, pay what is owed to the relays, close the links and the profile, free everything. Takes at
 * most 3 seconds more than the relays need. NULL is allowed. Messages that wait stay in the profile.
 */
void chq_client_close(struct chq_client *client);

/*
 * Close and remove the profile from the disk with everything in it. For a new account whose handle was taken; the 24
 * words still restore what the ledger has. No channel is waited for.
 */
void chq_client_discard(struct chq_client *client);

/* Details of the last call of this client that failed, one sentence; valid until the next call. */
const char *chq_client_why(struct chq_client *client);

/* ---- events */

enum chq_event_kind {
    CHQ_EVENT_PROGRESS = 1, /* text: what is being done for a new account */
    CHQ_EVENT_READY = 2, /* account, handle: registered and connected to the home relay */
    CHQ_EVENT_CONTACT =
        3, /* account, handle, request: a contact was added, by us or because they wrote first */
    CHQ_EVENT_SENT =
        4, /* account, handle, message_id, number, relay, at_ms: a relay has it on disk; left out when the
                            contact's receipt was quicker */
    CHQ_EVENT_DELIVERED =
        5, /* account, handle, message_id, number, at_ms: the contact's device has stored it */
    CHQ_EVENT_RECEIVED =
        6, /* account, handle, message_id, number, sent_ms, at_ms, text. Comes again after a restart until
                               chq_client_mark_shown was called for it */
    CHQ_EVENT_LINK =
        7, /* relay, host, up; when down: error, text (which relay and why). Nothing is lost: it is tried again */
    CHQ_EVENT_WALLET = 8, /* request, wallet */
    CHQ_EVENT_TRANSFERRED = 9, /* request, account, handle, amount_micro */
    CHQ_EVENT_ERROR =
        10, /* error, text, request: a command failed for good (request not 0), or something the user must see */
    CHQ_EVENT_SECURITY = 11, /* text, relay: somebody lied or a key changed; what was refused */
    CHQ_EVENT_CALL_INCOMING = 12, /* call_id, account, handle: it rings; answer or hang up */
    CHQ_EVENT_CALL_STATE = 13, /* call_id, account, handle, call */
    CHQ_EVENT_CALL_ENDED = 14, /* call_id, account, handle, call: the last word; text: why */
    CHQ_EVENT_STOPPED = 15 /* error, text: the client cannot go on (disk); close it */
};

enum chq_call_phase {
    CHQ_PHASE_RINGING = 1,
    CHQ_PHASE_CONNECTING = 2,
    CHQ_PHASE_CONNECTED = 3,
    CHQ_PHASE_LOST = 4, /* the path is gone, another is looked for */
    CHQ_PHASE_ENDED = 5
};

enum chq_call_way { CHQ_WAY_NONE = 0, CHQ_WAY_RELAY = 1, CHQ_WAY_DIRECT = 2 };

/* What is known of a call so far. Times in milliseconds since it began here; 0: not yet, or not known. */
struct chq_call_report {
    enum chq_call_phase phase;
    enum chq_call_way way;
    bool incoming;
    uint32_t answered_ms, connected_ms, first_speech_ms, direct_ms, duration_ms;
    uint32_t moves; /* how often the path changed after the first */
    char end[32]; /* why it ended, for people */
    char local[72], remote[72]; /* both ends of the path now, or last */
    uint64_t packets_sent, packets_received, packets_lost, packets_recovered, packets_concealed;
    uint32_t jitter_us, buffer_us, round_trip_us, longest_gap_us;
    uint32_t one_way_us; /* capture there to arrival here; right only where both clocks agree */
    uint32_t peer_loss_permille; /* what the other side lost of ours */
    uint64_t relay_bytes; /* through our relay, both ways */
};

struct chq_wallet {
    uint64_t balance_micro; /* proved by the ledger; 1 credit = 1,000,000 */
    uint64_t deposits_micro; /* in open channels, not paid out */
    uint64_t paid_micro; /* to relays, ever */
    uint32_t channels;
};

/* Fields that the kind does not name are zero or "". Valid until the next chq_client_next_event of this client. */
struct chq_event {
    enum chq_event_kind kind;
    enum chq_error error;
    uint64_t request;
    uint8_t account[32];
    char handle[CHQ_HANDLE_CHARS];
    uint8_t message_id[16];
    uint8_t call_id[16];
    uint8_t relay[32];
    char host[64]; /* of the relay, with port */
    uint64_t number; /* of the message in the conversation */
    uint64_t sent_ms, at_ms; /* unix time */
    uint64_t amount_micro;
    bool up;
    const char *text; /* terminated; never NULL */
    size_t text_size;
    struct chq_call_report call;
    struct chq_wallet wallet;
};

/* Return a descriptor that is readable while events wait. Poll it; do not read or close it. */
int chq_client_fd(struct chq_client *client);
/* Return the next event, or NULL when there is none. Never blocks. */
const struct chq_event *chq_client_next_event(struct chq_client *client);

/* ---- people */

struct chq_identity {
    uint8_t account[32], device[16], home_relay[32];
    char handle[CHQ_HANDLE_CHARS];
    char chain[52];
    bool registered; /* the ledger has given us the handle */
    bool ready; /* and the home relay is connected */
};
enum chq_error chq_client_identity(struct chq_client *client, struct chq_identity *out);

/* Look `handle` up on the ledger and keep it as a contact. Ends in CHQ_EVENT_CONTACT or CHQ_EVENT_ERROR with `*request`. */
enum chq_error chq_client_add(struct chq_client *client, const char *handle, uint64_t *request);

struct chq_contact {
    uint8_t account[32];
    char handle[CHQ_HANDLE_CHARS];
    bool known; /* proved by the ledger */
    uint32_t devices;
    uint32_t waiting; /* messages not delivered yet */
};
/* The i-th contact (from 0) in the order they came. CHQ_ERROR_NOT_FOUND past the last. */
enum chq_error chq_client_contact(struct chq_client *client, uint32_t i, struct chq_contact *out);
/* The 60 digits that both sides compare to know that nobody is in between. CHQ_ERROR_NOT_FOUND. */
enum chq_error chq_client_safety_number(
    struct chq_client *client, const char *handle, char digits[CHQ_SAFETY_CHARS]);

/* ---- messages */

/*
 * Send `text` to a contact. When this returns CHQ_ERROR_NONE the message is in the outbox on disk and will arrive exactly
 * once and in order, whatever is killed or away; `message_id` (may be NULL) names it in CHQ_EVENT_SENT and _DELIVERED.
 * Errors: NOT_FOUND (no such contact), TOO_LONG, NOT_TEXT, CREDIT, DISK_FULL, DISK, CLOSED.
 */
enum chq_error chq_client_send(
    struct chq_client *client, const char *handle, const char *text, size_t size, uint8_t message_id[16]);
/* Messages that no relay has stored yet. */
enum chq_error chq_client_unsent(struct chq_client *client, uint32_t *out);
/* Say that the received message was shown, so that its event does not come again after a restart. */
enum chq_error chq_client_mark_shown(struct chq_client *client, const uint8_t account[32], uint64_t number);

enum chq_message_state {
    CHQ_MESSAGE_WAITING = 0,
    CHQ_MESSAGE_SENT = 1,
    CHQ_MESSAGE_DELIVERED = 2,
    CHQ_MESSAGE_RECEIVED = 3
};
struct chq_message {
    uint8_t id[16];
    enum chq_message_state state;
    uint64_t number, sent_ms, stored_ms, state_ms; /* unix time; state_ms: when it became `state` */
    const char *text; /* terminated; valid until the next call with this client */
    size_t text_size;
};
/* Message `number` (from 1) of the conversation with a contact. CHQ_ERROR_NOT_FOUND past the last. */
enum chq_error chq_client_message(
    struct chq_client *client, const char *handle, uint64_t number, struct chq_message *out);

/* ---- credit */

/* What is known without asking anybody. */
enum chq_error chq_client_wallet(struct chq_client *client, struct chq_wallet *out);
/* Ask the ledger for a proved balance: ends in CHQ_EVENT_WALLET or CHQ_EVENT_ERROR. */
enum chq_error chq_client_wallet_refresh(struct chq_client *client, uint64_t *request);
/* Give credit to `handle`: ends in CHQ_EVENT_TRANSFERRED or CHQ_EVENT_ERROR (CHQ_ERROR_CREDIT). */
enum chq_error chq_client_transfer(
    struct chq_client *client, const char *handle, uint64_t amount_micro, uint64_t *request);

/* ---- calls: one at a time */

enum chq_sound_kind { CHQ_SOUND_SYSTEM = 0, CHQ_SOUND_FILES = 1, CHQ_SOUND_NONE = 2 };
struct chq_sound {
    uint32_t size; /* sizeof(struct chq_sound) */
    enum chq_sound_kind kind;
    const char *
        microphone; /* SYSTEM: source name or NULL; FILES: WAV file, 48 kHz mono 16 bit, or NULL for silence */
    const char *speaker; /* SYSTEM: sink name or NULL; FILES: WAV file to write, or NULL */
};
/* Choose where sound comes from and goes to, for calls that begin or ring after this. Default: the system's. */
enum chq_error chq_client_sound(struct chq_client *client, const struct chq_sound *sound);

/* Call a contact: CHQ_EVENT_CALL_STATE follow, CHQ_EVENT_CALL_ENDED is the last. NOT_FOUND, BUSY, SOUND, CLOSED. */
enum chq_error chq_client_call(struct chq_client *client, const char *handle, uint8_t call_id[16]);
/* Take the call that rings. NOT_FOUND when it does not ring any more. */
enum chq_error chq_client_answer(struct chq_client *client, const uint8_t call_id[16]);
/* End or refuse a call. NOT_FOUND when it has ended. */
enum chq_error chq_client_hangup(struct chq_client *client, const uint8_t call_id[16]);
/* What is known of the call that is going on, or of the last one. NOT_FOUND. */
enum chq_error chq_client_call_report(struct chq_client *client, struct chq_call_report *out);

#ifdef __cplusplus
}
#endif

#endif
