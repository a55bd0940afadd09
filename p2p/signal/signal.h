/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CHQ_P2P_SIGNAL_SIGNAL_H
#define CHQ_P2P_SIGNAL_SIGNAL_H

#include "core/base/address.h"
#include "core/base/bytes.h"
#include "core/base/limits.h"

/*
 * Call signalling (docs/protocol.md section 10): the messages two devices exchange, end-to-end encrypted, to agree on
 * one call, and the state machine of one side. No I/O and no clock.
 */

enum chq_call_state {
    CHQ_CALL_NEW = 0, /* nothing sent or received yet */
    CHQ_CALL_RINGING = 1, /* offer sent, or received and not answered */
    CHQ_CALL_CONNECTING = 2, /* answered; looking for a path */
    CHQ_CALL_CONNECTED = 3, /* speech flows */
    CHQ_CALL_LOST = 4, /* was connected, the path is gone; may come back */
    CHQ_CALL_ENDED = 5 /* for good; see enum chq_call_end */
};

/* Why a call ended; the numbers are those of the hang-up message. */
enum chq_call_end {
    CHQ_CALL_END_NONE = 0,
    CHQ_CALL_END_HANGUP = 1,
    CHQ_CALL_END_DECLINED = 2,
    CHQ_CALL_END_BUSY = 3,
    CHQ_CALL_END_NO_ANSWER = 4,
    CHQ_CALL_END_NO_PATH = 5, /* answered, but no way through was found, or it was lost */
    CHQ_CALL_END_MISSED = 6, /* the offer came too late */
    CHQ_CALL_END_FAILED = 7 /* an error here or a broken message from there */
};

/* Short lower-case English words for people; never NULL. */
const char *chq_call_state_string(enum chq_call_state state);
const char *chq_call_end_string(enum chq_call_end end);

enum chq_call_signal {
    CHQ_CALL_SIGNAL_OFFER = 1,
    CHQ_CALL_SIGNAL_ANSWER = 2,
    CHQ_CALL_SIGNAL_CANDIDATES = 3,
    CHQ_CALL_SIGNAL_RINGING = 4,
    CHQ_CALL_SIGNAL_HANGUP = 5
};

enum chq_candidate_kind { CHQ_CANDIDATE_HOST = 1, CHQ_CANDIDATE_REFLEXIVE = 2, CHQ_CANDIDATE_RELAYED = 3 };

/* An ICE candidate (RFC 8445) over UDP, component 1. */
struct chq_candidate {
    enum chq_candidate_kind kind;
    struct chq_address address;
    uint32_t priority;
    char foundation[33]; /* 1 to 32 ice-chars (RFC 8839 section 5.1) */
};

/* RFC 8839 section 5.4: ufrag 4 to 256 ice-chars, password 22 to 256. We allow no more than 64. */
struct chq_ice_credentials {
    char ufrag[65], password[65];
};

struct chq_signal_message {
    enum chq_call_signal type;
    uint64_t sent_ms; /* OFFER: unix time */
    uint8_t random[32]; /* OFFER, ANSWER */
    struct chq_ice_credentials credentials; /* OFFER, ANSWER */
    enum chq_call_end reason; /* HANGUP */
    uint32_t candidates_count; /* OFFER, ANSWER, CANDIDATES */
    struct chq_candidate candidates[CHQ_CALL_CANDIDATES_PER_MESSAGE];
};

/* Read one message that fills `in`. CHQ_MALFORMED, CHQ_LIMIT (above CHQ_CALL_SIGNAL_BYTES_MAX), CHQ_UNSUPPORTED (an
 * offer of another version). On error `out` is zeroed. */
CHQ_MUST_CHECK enum chq_err chq_signal_read(struct chq_bytes in, struct chq_signal_message *out);
void chq_signal_write(struct chq_writer *w, const struct chq_signal_message *message);

struct chq_signal_config {
    bool caller;
    bool relay_expected; /* relay first: hold other candidates back until the call is up on the relay */
    uint8_t call_id[16];
    uint8_t own_account[32], peer_account[32];
    uint8_t random[32]; /* fresh from the generator: this side's half of the call secret */
    struct chq_ice_credentials credentials; /* this side's, from the ICE agent */
};

/*
 * One side of one call. Fields are the machine's own; read `state`, `end` and `secret`.
 */
struct chq_signal {
    struct chq_signal_config config;
    enum chq_call_state state;
    enum chq_call_end end;
    bool described; /* our offer or answer is out */
    bool secret_known;
    uint8_t secret[32]; /* of the call; for chq_media_keys_derive */
    uint8_t offer_random[32]; /* callee: the caller's half, until we answer */
    uint64_t deadline_us; /* of the state; UINT64_MAX: none */
    uint64_t
        flush_us; /* when queued candidates go out, and held ones to the agent; UINT64_MAX: none queued */
    uint64_t hold_until_us; /* host and reflexive candidates, ours and the peer's, wait until then */
    bool relayed_known, rings_there;
    uint32_t local_count, local_sent; /* sent: one bit each */
    struct chq_candidate local[CHQ_CALL_CANDIDATES_MAX];
    uint32_t remote_count, remote_given; /* given: one bit each */
    struct chq_candidate remote[CHQ_CALL_CANDIDATES_MAX], give[CHQ_CALL_CANDIDATES_MAX];
    struct chq_ice_credentials remote_credentials;
    uint8_t storage[2][CHQ_CALL_SIGNAL_BYTES_MAX];
};

struct chq_signal_event {
    uint64_t now_us; /* monotonic */
    uint64_t wall_ms; /* unix time */
    enum {
        CHQ_SIGNAL_START = 1, /* caller: begin */
        CHQ_SIGNAL_RECEIVED, /* a message of the peer */
        CHQ_SIGNAL_ACCEPT, /* callee: the user takes the call */
        CHQ_SIGNAL_CANDIDATE, /* the ICE agent found one of ours */
        CHQ_SIGNAL_PATH_UP, /* the ICE agent can send */
        CHQ_SIGNAL_PATH_DOWN, /* it cannot any more, or never could */
        CHQ_SIGNAL_HANGUP, /* the user ends or declines it, or the shell gives up (`reason`) */
        CHQ_SIGNAL_TIMEOUT /* the deadline has come */
    } type;
    union {
        struct chq_bytes message; /* RECEIVED; borrowed for the call */
        struct chq_candidate candidate; /* CANDIDATE */
        enum chq_call_end reason; /* HANGUP; NONE: what fits the state */
    };
};

/* Everything is valid until the next step. The shell does it in this order. */
struct chq_signal_actions {
    struct chq_bytes send[2]; /* messages for the peer, in order; empty: none */
    const struct chq_ice_credentials *remote_credentials; /* give them to the ICE agent; NULL: nothing new */
    const struct chq_candidate *remote; /* then these candidates */
    uint32_t remote_count;
    bool state_changed;
};

void chq_signal_init(struct chq_signal *signal, const struct chq_signal_config *config);
/* Set this side's credentials before START or RECEIVED, where the agent has them only after init. */
void chq_signal_set_credentials(struct chq_signal *signal, const struct chq_ice_credentials *credentials);
/* Wipe. */
void chq_signal_fini(struct chq_signal *signal);

/* RECEIVED: CHQ_MALFORMED, CHQ_LIMIT, CHQ_UNSUPPORTED, CHQ_STATE (not expected now): dropped, go on. ACCEPT, START:
 * CHQ_STATE when it does not ring, or was started. CANDIDATE: CHQ_LIMIT above CHQ_CALL_CANDIDATES_MAX. */
CHQ_MUST_CHECK enum chq_err chq_signal_step(
    struct chq_signal *signal, const struct chq_signal_event *in, struct chq_signal_actions *out);

/* When to step TIMEOUT, on the clock of now_us. */
uint64_t chq_signal_deadline_us(const struct chq_signal *signal);

#endif
