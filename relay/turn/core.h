/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CHQ_RELAY_TURN_CORE_H
#define CHQ_RELAY_TURN_CORE_H

/* The inside of struct chq_turn, shared by turn.c (tables, time), login.c, timed.c, allocate.c,
 * request.c and data.c only. */

#include "core/base/limits.h"
#include "relay/turn/index.h"
#include "relay/turn/turn.h"

#define BUCKETS        4096 /* sources share a bucket by keyed hash */
#define REPLY_BYTES    1024
#define NONCE_BYTES    12 /* base64url of 3 bytes of seconds and 6 bytes of MAC */
#define PORT_TRIES_MAX 8

#define CHQ_TURN_TOKEN_BYTES 8
#define MICRO                UINT64_C(1000000)

struct credential {
    uint8_t username[CHQ_TURN_USERNAME_BYTES_MAX];
    uint32_t username_bytes;
    bool used;
    uint8_t key[16];
    struct chq_gauge *gauge;
    uint64_t expires_us;
    uint64_t hash;
    uint32_t allocations;
    uint32_t holds; /* by requests that are being answered */
    uint8_t
        app; /* 0: added by the shell; else 1 + the app that made it, and it goes with its last allocation */
};

struct permission {
    struct chq_address host; /* port not used */
    uint64_t expires_us; /* 0: slot never used */
};

struct channel {
    struct chq_address peer;
    uint16_t number; /* 0: slot never used */
    bool own_host; /* the peer is at the relay's own address: see chq_turn_owner_of_port */
    uint64_t expires_us;
};

/* What Allocate asked for and its answer needs, also when the request comes again. Arrays: IPv4, IPv6. */
struct allocate_request {
    uint8_t transaction_id[CHQ_STUN_TRANSACTION_ID_BYTES];
    uint32_t lifetime_s;
    bool fingerprint, sha256;
    bool even_port, reserve; /* EVEN-PORT, and its R bit */
    bool claimed; /* the port was reserved before: there is no other choice */
    bool wants[2];
    uint16_t errors[2]; /* why that family could not be had; 0: it could, or was not asked for */
    uint8_t token[CHQ_TURN_TOKEN_BYTES]; /* with `reserve`: of the next port */
};

/* A port kept for a while for the user who has its token (RFC 8656 section 7.2). */
struct reservation {
    uint64_t expires_us; /* 0: not used */
    uint64_t owner; /* hash of the user's name */
    uint8_t owner_app, family;
    uint16_t port;
    uint8_t token[CHQ_TURN_TOKEN_BYTES];
};

struct allocation {
    bool used, open; /* not open: waiting for the shell to open a port */
    uint8_t listener;
    uint8_t tries;
    uint8_t opening; /* which of `ports` the shell was asked for */
    uint16_t ports[2]; /* relayed, IPv4 and IPv6; 0: none */
    bool port_open[2];
    uint32_t credential;
    uint32_t stream;
    struct chq_address client;
    uint64_t client_hash;
    uint64_t expires_us;
    struct allocate_request request;
    uint32_t permissions_n, channels_n; /* slots in use or used before */
    uint32_t last_channel; /* where the last lookup ended: traffic mostly stays on one */
    struct permission permissions[CHQ_TURN_PERMISSIONS_MAX];
    struct channel channels[CHQ_TURN_CHANNELS_MAX];
};

struct bucket {
    uint64_t filled_us;
    uint32_t millitokens;
};

struct chq_turn {
    struct chq_turn_config config;
    uint8_t realm[CHQ_TURN_REALM_BYTES_MAX];
    size_t realm_bytes;
    uint8_t hash_key[16], nonce_key[16]; /* SipHash: tables, nonces */
    uint8_t app_secrets[CHQ_TURN_APPS_MAX][CHQ_TURN_SECRET_BYTES_MAX]; /* config.apps point here */
    uint8_t no_key[16]; /* for unknown names, so that they cost as much as known ones */
    struct allocation **allocations; /* by slot; allocated when first used, then kept */
    uint32_t allocations_n; /* slots ever used */
    struct credential **credentials;
    uint32_t credentials_n;
    struct chq_turn_index by_client, by_username;
    uint8_t ports[2][65536 / 8]; /* taken relayed ports, by family */
    uint32_t *owners
        [2]; /* by relayed port from port_min on: 1 + the slot of the allocation that has it open; 0: none */
    struct reservation reservations[CHQ_TURN_RESERVATIONS_MAX];
    struct bucket buckets[BUCKETS];
    uint64_t now_us, deadline_us;
    uint64_t indications; /* transaction ids of Data indications are a keyed hash of this */
    uint8_t reply[REPLY_BYTES];
    struct chq_turn_actions *out;
    struct chq_turn_stats stats;
};

/* A request that is being answered. */
struct request {
    const struct chq_stun_message *message;
    const struct chq_address *from;
    uint8_t listener;
    uint32_t stream;
    uint64_t unix_s;
    const uint8_t *key; /* NULL: not authenticated */
    bool sha256; /* it used MESSAGE-INTEGRITY-SHA256, so the answer does */
    uint32_t credential;
};

/* turn.c */
uint64_t chq_turn_hash64(const uint8_t key[16], struct chq_bytes in);
struct chq_turn_action *chq_turn_push(struct chq_turn *turn, enum chq_turn_action_type type);
/* Return the slot of the client's allocation, or CHQ_TURN_INDEX_NONE. */
uint32_t chq_turn_find_allocation(struct chq_turn *turn, const struct chq_address *client, uint8_t listener);
/* Take a free slot, filled with client and credential and entered in the index. CHQ_LIMIT, CHQ_NO_MEMORY. */
CHQ_MUST_CHECK enum chq_err chq_turn_add_allocation(
    struct chq_turn *turn, const struct request *request, uint32_t *slot);
void chq_turn_remove_allocation(struct chq_turn *turn, uint32_t slot);
/* Close the allocation's relayed port of that family (0: IPv4, 1: IPv6) and forget the peers that go with it. */
void chq_turn_close_family(struct chq_turn *turn, uint32_t slot, unsigned family);
void chq_turn_note_deadline(struct chq_turn *turn, uint64_t expires_us);
/* Return the slot of the credential of that name and app, or CHQ_TURN_INDEX_NONE. */
uint32_t chq_turn_find_credential(struct chq_turn *turn, struct chq_bytes username, uint8_t app);
/* Take a free slot and enter name, app and key in it; the caller fills in the rest. CHQ_LIMIT, CHQ_NO_MEMORY. */
CHQ_MUST_CHECK enum chq_err chq_turn_insert_credential(
    struct chq_turn *turn, struct chq_bytes username, uint8_t app, const uint8_t key[16], uint32_t *slot);
/* Forget the credential if an app made it and nothing uses it any more. */
void chq_turn_release_credential(struct chq_turn *turn, uint32_t slot);
/* Choose a free port at random and mark it taken; `pair`: it is even, and the next one is marked too. CHQ_LIMIT: none
 * is left. */
CHQ_MUST_CHECK enum chq_err chq_turn_take_port(
    struct chq_turn *turn, uint8_t family, bool even, bool pair, uint16_t *port);
void chq_turn_give_port_back(struct chq_turn *turn, uint8_t family, uint16_t port);

/* Return whether `peer` is at the address that clients of this relay are reached at. */
bool chq_turn_is_own_host(const struct chq_turn *turn, const struct chq_address *peer);
/* Return the slot of the allocation whose open relayed address `peer` is, or CHQ_TURN_INDEX_NONE. */
uint32_t chq_turn_owner_of_port(const struct chq_turn *turn, const struct chq_address *peer);
void chq_turn_own_port(struct chq_turn *turn, unsigned family, uint16_t port, uint32_t slot_plus_1);

/* login.c */
/* Return whether this source may have one more unauthenticated reply now. */
bool chq_turn_may_reply(struct chq_turn *turn, const struct chq_address *source);
/* Check the credentials of a request; true: request->key and ->credential are set, and the credential is held until
 * chq_turn_end_login. False: it was answered or dropped. */
bool chq_turn_login(struct chq_turn *turn, struct request *request);

void chq_turn_end_login(struct chq_turn *turn, const struct request *request);

/* timed.c */
enum chq_turn_timed { CHQ_TURN_TIMED_NO = 0, CHQ_TURN_TIMED_YES, CHQ_TURN_TIMED_ANSWERED };
/* Check the request against the apps' secrets. YES: request->key and ->credential are set; NO: no valid credential. */
enum chq_turn_timed chq_turn_timed_login(struct chq_turn *turn, struct request *request);

/* allocate.c */
uint32_t chq_turn_granted_lifetime(const struct chq_stun_message *m);
void chq_turn_on_allocate(struct chq_turn *turn, const struct request *request);
/* An Allocate from a client that has allocation `a`. */
void chq_turn_on_allocate_again(
    struct chq_turn *turn, const struct request *request, const struct allocation *a);
void chq_turn_on_port(struct chq_turn *turn, uint32_t slot, enum chq_turn_port_result result);

/* request.c */
void chq_turn_on_request(struct chq_turn *turn, struct request *request);
/* Start an answer in turn->reply; then add attributes; then send. */
struct chq_writer chq_turn_begin_reply(
    struct chq_turn *turn, const struct request *request, enum chq_stun_class class, uint16_t error);
void chq_turn_send_reply(struct chq_turn *turn, const struct request *request, struct chq_writer *w);
void chq_turn_send_error(struct chq_turn *turn, const struct request *request, uint16_t error);

/* data.c */
void chq_turn_on_channel_data(
    struct chq_turn *turn, const struct chq_address *from, uint8_t listener, struct chq_bytes datagram);
void chq_turn_on_send(struct chq_turn *turn, const struct chq_stun_message *m, const struct chq_address *from,
    uint8_t listener);
void chq_turn_on_peer(
    struct chq_turn *turn, uint32_t slot, const struct chq_address *from, struct chq_bytes datagram);
/*
 * Return 0 when the allocation may use `peer`, or the error code (403, 443). Clients of one relay reach each other at its
 * own address: that is allowed where the port is another allocation's, and what is sent there goes to that
 * allocation's client without leaving the process. Nothing else at an own address can be reached, so nothing loops.
 */
uint16_t chq_turn_check_peer(const struct chq_turn *turn, uint32_t slot, const struct chq_address *peer);
bool chq_turn_has_permission(
    const struct chq_turn *turn, const struct allocation *a, const struct chq_address *peer);

#endif
