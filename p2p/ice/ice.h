/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CHQ_P2P_ICE_ICE_H
#define CHQ_P2P_ICE_ICE_H

#include <glib.h>

#include "core/base/bytes.h"
#include "core/base/log.h"
#include "core/base/random.h"
#include "p2p/signal/signal.h"

/*
 * Connectivity between two devices (ICE, RFC 8445, trickle 8838, consent 7675) by libnice, which only ice.c includes.
 * libnice is shown one TURN server only: our own front on this machine (p2p/path). It nominates aggressively, so the first
 * pair that works carries the media and better pairs replace it as they are found.
 */
enum chq_path_kind {
    CHQ_PATH_NONE = 0,
    CHQ_PATH_RELAY = 1, /* one or two relays in the way */
    CHQ_PATH_DIRECT = 2
};

const char *chq_path_kind_string(enum chq_path_kind kind);

/* What the agent has selected; texts are "relayed 192.0.2.1:5000" and the like. */
struct chq_ice_pair {
    enum chq_path_kind kind;
    char local[72], remote[72];
};

struct chq_ice_config {
    GMainContext *context;
    bool controlling; /* the caller */
    struct chq_address turn; /* the front's address; family 0: no relay */
    const char *turn_user, *turn_password; /* copied */
    struct chq_address stun; /* who tells us our reflexive address; family 0: nobody */
    struct chq_random random;
    bool relay_only;
    bool allow_loopback; /* offer 127.0.0.1 as host candidate, and nothing else */
    struct chq_log log;
    /* All from the context's thread; pointers are borrowed. */
    void (*on_candidate)(void *user, const struct chq_candidate *candidate);
    void (*on_path)(void *user, const struct chq_ice_pair *pair); /* selected or changed; kind NONE: gone */
    void (*on_datagram)(void *user, struct chq_bytes datagram);
    void *user;
};

struct chq_ice;

/* Make an agent and begin to gather. CHQ_IO when libnice cannot, CHQ_NO_MEMORY. */
CHQ_MUST_CHECK enum chq_err chq_ice_new(const struct chq_ice_config *config, struct chq_ice **out);

/*
 * Stop at once (no callback comes any more) and give the relay's allocation back, which takes a while; then free `ice`
 * and call `closed`, from the context's thread. `closed` may be NULL. What the agent needs for that (the front) must
 * live until then.
 */
void chq_ice_close(struct chq_ice *ice, void (*closed)(void *user), void *user);

/* Return this side's user fragment and password. */
CHQ_MUST_CHECK enum chq_err chq_ice_credentials(struct chq_ice *ice, struct chq_ice_credentials *out);
CHQ_MUST_CHECK enum chq_err chq_ice_set_remote(struct chq_ice *ice, const struct chq_ice_credentials *remote);
/* Add candidates of the peer, after chq_ice_set_remote. Loopback and link-local ones are dropped unless allow_loopback. */
CHQ_MUST_CHECK enum chq_err chq_ice_add_remote(
    struct chq_ice *ice, const struct chq_candidate *candidates, uint32_t count);
/* Send one datagram on the selected path. CHQ_AGAIN: there is none now, or the socket is full; it is dropped. */
enum chq_err chq_ice_send(struct chq_ice *ice, struct chq_bytes datagram);

#endif
