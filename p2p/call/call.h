/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CHQ_P2P_CALL_CALL_H
#define CHQ_P2P_CALL_CALL_H

#include <glib.h>

#include "core/base/bytes.h"
#include "core/base/limits.h"
#include "core/base/log.h"
#include "p2p/ice/ice.h"
#include "p2p/media/audio.h"
#include "p2p/media/media.h"
#include "p2p/signal/signal.h"

/*
 * One voice call: signalling, ICE, the TURN front, SRTP and the audio device put together on a GMainContext. Everything
 * here is called from the thread that runs that context, and every callback comes from it.
 *
 * What the peer has to be told comes out of `send_signal`; the owner carries it as encrypted content of kind call
 * (docs/protocol.md sections 4 and 10) with this call's id, in order, and gives what comes back to
 * chq_call_receive_signal. The call does not know how messages travel.
 */
struct chq_call;

/* Where and how to reach the own home relay's TURN server: what TURN_GRANT gave. NULL host: no relay. */
struct chq_call_relay {
    const char *host; /* numeric IPv4 or IPv6 address */
    uint16_t port;
    const char *user, *password;
};

/* A change of path: kept so that users and tests see when the call moved. */
struct chq_call_move {
    uint64_t at_ms; /* since chq_call_new */
    enum chq_path_kind to;
    char local[72], remote[72]; /* "host 192.0.2.1:5000" and the like */
};

struct chq_call_stats {
    enum chq_call_state state;
    enum chq_call_end end;
    enum chq_path_kind path;
    /* Times in ms since chq_call_new; 0: not yet. */
    uint64_t answered_ms, connected_ms, first_speech_ms, ended_ms;
    struct chq_call_move moves[CHQ_CALL_MOVES_MAX]; /* the first ones; moves[0] is the first path */
    unsigned moves_count;
    /* Application bytes through the own relay, as its meter counts them (docs/protocol.md section 7). */
    uint64_t relay_bytes_up, relay_bytes_down;
    uint64_t relay_dropped; /* datagrams of the relay that the front refused: broken or hostile */
    struct chq_media_stats media;
};

struct chq_call_config {
    GMainContext *context; /* NULL: the default one */
    bool caller;
    uint8_t call_id[16];
    uint8_t own_account[32], peer_account[32];
    struct chq_call_relay relay; /* strings are copied */
    bool relay_only; /* never show the peer our addresses */
    bool allow_loopback; /* offer 127.0.0.1 too: both ends on one machine, for tests and the plain demo */
    struct chq_audio_config audio; /* strings are copied */
    struct chq_random random;
    struct chq_log log;
    /* `bytes` is borrowed for the call. */
    void (*send_signal)(void *user, struct chq_bytes bytes);
    /* The state or the path changed. The call may be freed in here only from an idle callback. */
    void (*on_state)(void *user, enum chq_call_state state, enum chq_call_end end, enum chq_path_kind path);
    void *user;
};

/*
 * Make a call. The caller's offer goes out by send_signal within 400 ms; a callee waits for chq_call_receive_signal with
 * the offer. CHQ_IO: no socket, or a file that cannot be opened; CHQ_MALFORMED: relay host is not an address, or
 * not a WAV file; CHQ_UNSUPPORTED, CHQ_LIMIT: not mono 16-bit PCM, too large; CHQ_NO_MEMORY. A sound device is opened when the
 * call is answered; without one the call ends as failed.
 */
CHQ_MUST_CHECK enum chq_err chq_call_new(const struct chq_call_config *config, struct chq_call **out);

/* Give a signal that came for this call id from the peer. On an error the signal is dropped, the call goes on. */
CHQ_MUST_CHECK enum chq_err chq_call_receive_signal(struct chq_call *call, struct chq_bytes bytes);

/* Callee: take the call. CHQ_STATE when it does not ring here. */
CHQ_MUST_CHECK enum chq_err chq_call_accept(struct chq_call *call);

/* End the call, or decline it when it rings here; tells the peer. Again is no error. */
void chq_call_hangup(struct chq_call *call);

void chq_call_stats(const struct chq_call *call, struct chq_call_stats *out);

/* Free; a call that has not ended is hung up first. Not from inside a callback of this call. */
void chq_call_free(struct chq_call *call);

/* Return what `bytes` is. An offer of an unknown call id makes a new call; other signals of unknown ids are dropped. */
CHQ_MUST_CHECK enum chq_err chq_call_peek(struct chq_bytes bytes, enum chq_call_signal *out);

/* Append the signal that refuses an offer while another call is going on (CHQ_CALL_END_BUSY) or at once. */
void chq_call_write_refusal(struct chq_writer *w, enum chq_call_end reason);

#endif
