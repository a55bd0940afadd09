/* SPDX-License-Identifier: Apache-2.0 */
#include "p2p/call/call.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "p2p/path/front_shell.h"
#include "p2p/path/socket.h"

enum { AUDIO_TICK_US = 5000, FRAMES_PER_TICK_MAX = 8 };

#define SECOND_US UINT64_C(1000000)

struct chq_call {
    struct chq_call_config
        config; /* strings point into `capture` and `playback`; relay strings are not kept */
    char *capture, *playback;
    GMainContext *context;
    struct chq_signal signal;
    struct chq_front_shell *front;
    struct chq_ice *ice;
    struct chq_media *media;
    const struct chq_audio_device *device;
    struct chq_audio *audio;
    GSource *signal_timer, *audio_timer;
    uint64_t started_us;
    uint64_t heard_us; /* when the last good packet came */
    struct chq_ice_pair pair;
    struct chq_call_stats stats; /* what is not read from the parts */
};

static uint64_t now_us(void)
{
    return (uint64_t)g_get_monotonic_time();
}

static uint64_t elapsed_ms(const struct chq_call *c)
{
    const uint64_t ms = (now_us() - c->started_us) / 1000;
    return ms > 0 ? ms : 1; /* 0 says 'not yet' */
}

/* A source that is ready at its ready time and at nothing else. */
static gboolean timer_dispatch(GSource *source, GSourceFunc callback, gpointer data)
{
    g_source_set_ready_time(source, -1);
    return callback(data);
}

static GSource *timer_new(struct chq_call *c, GSourceFunc callback, gint priority)
{
    static GSourceFuncs functions = {.dispatch = timer_dispatch};
    GSource *source = g_source_new(&functions, sizeof *source);
    g_source_set_callback(source, callback, c, NULL);
    g_source_set_priority(source, priority);
    (void)g_source_attach(source, c->context);
    return source;
}

static void timer_free(GSource **source)
{
    if (*source == NULL)
        return;
    g_source_destroy(*source);
    g_source_unref(*source);
    *source = NULL;
}

static void keep_front_stats(struct chq_call *c)
{
    if (c->front == NULL)
        return;
    const struct chq_front_stats *s = &chq_front_shell_core(c->front)->stats;
    c->stats.relay_bytes_up = s->bytes_up;
    c->stats.relay_bytes_down = s->bytes_down;
    c->stats.relay_dropped = s->malformed + s->refused;
}

static void on_ice_closed(void *user)
{
    chq_front_shell_free(user);
}

/* Let go of path and device. The agent gives its allocation back through the front, so the front lives as long. */
static void release(struct chq_call *c)
{
    timer_free(&c->audio_timer);
    keep_front_stats(c);
    if (c->ice != NULL)
        chq_ice_close(c->ice, on_ice_closed, c->front);
    else
        chq_front_shell_free(c->front);
    c->ice = NULL;
    c->front = NULL;
    if (c->audio != NULL)
        c->device->close(c->audio);
    c->audio = NULL;
}

static void perform(struct chq_call *c, const struct chq_signal_actions *out);

static enum chq_err signal_step(struct chq_call *c, struct chq_signal_event *e)
{
    struct chq_signal_actions out;
    e->now_us = now_us();
    e->wall_ms = (uint64_t)g_get_real_time() / 1000;
    const enum chq_err err = chq_signal_step(&c->signal, e, &out);
    perform(c, &out);
    return err;
}

static void give_up(struct chq_call *c, const char *why, enum chq_err err)
{
    struct chq_signal_event e = {.type = CHQ_SIGNAL_HANGUP, .reason = CHQ_CALL_END_FAILED};
    chq_logf(&c->config.log, CHQ_LOG_ERROR, "call failed: %s: %s", why, chq_err_string(err));
    (void)signal_step(c, &e);
}

static void send_media(struct chq_call *c, const struct chq_media_actions *out)
{
    if (out->send.size > 0 && c->ice != NULL)
        (void)chq_ice_send(c->ice, out->send); /* lost like any other datagram when there is no path */
}

static enum chq_err media_step(struct chq_call *c, struct chq_media_event *e, struct chq_media_actions *out)
{
    e->now_us = now_us();
    e->wall_us = (uint64_t)g_get_real_time();
    const enum chq_err err = chq_media_step(c->media, e, out);
    send_media(c, out);
    return err;
}

static enum chq_err capture_frames(struct chq_call *c)
{
    int16_t pcm[CHQ_VOICE_FRAME_SAMPLES];
    enum chq_err err = CHQ_OK;
    for (int i = 0; i < FRAMES_PER_TICK_MAX && err == CHQ_OK; i++) {
        err = c->device->read(c->audio, now_us(), pcm);
        if (err != CHQ_OK)
            break;
        struct chq_media_event e = {.type = CHQ_MEDIA_CAPTURED, .pcm = pcm};
        struct chq_media_actions out;
        err = media_step(c, &e, &out);
    }
    sodium_memzero(pcm, sizeof pcm);
    return err == CHQ_AGAIN ? CHQ_OK : err;
}

static enum chq_err play_frames(struct chq_call *c)
{
    for (int i = 0; i < FRAMES_PER_TICK_MAX; i++) {
        if (c->device->latency(c->audio, now_us()) >= CHQ_AUDIO_PLAYOUT_US)
            return CHQ_OK;
        struct chq_media_event e = {.type = CHQ_MEDIA_PLAY};
        struct chq_media_actions out;
        CHQ_TRY(media_step(c, &e, &out));
        CHQ_TRY(c->device->write(c->audio, now_us(), out.play));
    }
    return CHQ_OK;
}

/* The peer sends all the time. Its silence tells sooner than the consent of the path runs out (RFC 7675: 30 s). */
static void watch_peer(struct chq_call *c)
{
    struct chq_signal_event e = {.type = CHQ_SIGNAL_PATH_DOWN};
    if (c->signal.state == CHQ_CALL_CONNECTED && now_us() - c->heard_us > CHQ_CALL_SILENT_SECONDS * SECOND_US)
        (void)signal_step(c, &e);
}

static gboolean on_audio(gpointer data)
{
    struct chq_call *c = data;
    enum chq_err err = capture_frames(c);
    if (err == CHQ_OK)
        err = play_frames(c);
    if (err == CHQ_OK && now_us() >= chq_media_deadline_us(c->media)) {
        struct chq_media_event e = {.type = CHQ_MEDIA_TIMEOUT};
        struct chq_media_actions out;
        err = media_step(c, &e, &out);
    }
    watch_peer(c);
    if (err != CHQ_OK)
        give_up(c, "audio device", err);
    else if (c->signal.state != CHQ_CALL_ENDED)
        g_source_set_ready_time(c->audio_timer, (gint64)now_us() + AUDIO_TICK_US);
    return G_SOURCE_CONTINUE;
}

static void start_media(struct chq_call *c)
{
    struct chq_media_keys keys;
    chq_media_keys_derive(c->signal.secret, c->config.caller, &keys);
    const enum chq_err err = chq_media_new(&keys, &c->config.random, &c->media);
    sodium_memzero(&keys, sizeof keys);
    sodium_memzero(c->signal.secret, sizeof c->signal.secret);
    if (err != CHQ_OK)
        give_up(c, "media", err);
}

static enum chq_err open_audio(struct chq_call *c)
{
    return c->audio == NULL ? c->device->open(&c->config.audio, now_us(), &c->audio) : CHQ_OK;
}

static void start_audio(struct chq_call *c)
{
    if (c->audio == NULL || c->audio_timer != NULL)
        return;
    c->audio_timer = timer_new(c, on_audio, G_PRIORITY_HIGH);
    g_source_set_ready_time(c->audio_timer, 0);
}

static void tell_state(struct chq_call *c)
{
    c->config.on_state(c->config.user, c->signal.state, c->signal.end, c->pair.kind);
}

static void enter_state(struct chq_call *c)
{
    enum chq_err err = CHQ_OK;
    switch (c->signal.state) {
    case CHQ_CALL_CONNECTING:
        c->stats.answered_ms = elapsed_ms(c);
        err = open_audio(c); /* not before: a call that is not answered has no microphone */
        break;
    case CHQ_CALL_CONNECTED:
        if (c->stats.connected_ms == 0)
            c->stats.connected_ms = elapsed_ms(c);
        c->heard_us = now_us();
        start_audio(c);
        break;
    case CHQ_CALL_ENDED: c->stats.ended_ms = elapsed_ms(c); break;
    default: break;
    }
    if (err != CHQ_OK)
        give_up(c, "cannot open the audio device", err);
}

static void set_signal_timer(struct chq_call *c)
{
    const uint64_t at = chq_signal_deadline_us(&c->signal);
    if (c->signal.state == CHQ_CALL_ENDED)
        g_source_set_ready_time(c->signal_timer, c->ice != NULL || c->front != NULL ? 0 : -1);
    else
        g_source_set_ready_time(c->signal_timer, at == UINT64_MAX ? -1 : (gint64)at);
}

/* Do what the signal machine asks. Its storage is copied first: a callback may lead to another step. */
static void perform(struct chq_call *c, const struct chq_signal_actions *out)
{
    uint8_t copies[2][CHQ_CALL_SIGNAL_BYTES_MAX];
    size_t sizes[2];
    const bool changed = out->state_changed;
    const enum chq_call_state state = c->signal.state;
    for (int i = 0; i < 2; i++) {
        sizes[i] = out->send[i].size;
        if (sizes[i] > 0)
            memcpy(copies[i], out->send[i].data, sizes[i]);
    }
    if (c->ice != NULL) {
        enum chq_err err = CHQ_OK;
        if (out->remote_credentials != NULL)
            err = chq_ice_set_remote(c->ice, out->remote_credentials);
        if (err == CHQ_OK && out->remote_count > 0)
            err = chq_ice_add_remote(c->ice, out->remote, out->remote_count);
        if (err != CHQ_OK)
            chq_logf(&c->config.log, CHQ_LOG_WARNING, "the peer's candidates were not usable");
    }
    if (c->signal.secret_known && c->media == NULL && c->signal.state != CHQ_CALL_ENDED)
        start_media(c);
    if (changed && c->signal.state == state)
        enter_state(c);
    for (int i = 0; i < 2; i++)
        if (sizes[i] > 0)
            c->config.send_signal(c->config.user, chq_bytes(copies[i], sizes[i]));
    sodium_memzero(copies, sizeof copies);
    set_signal_timer(c);
    if (changed && c->signal.state == state)
        tell_state(c);
}

static gboolean on_signal_timer(gpointer data)
{
    struct chq_call *c = data;
    if (c->signal.state == CHQ_CALL_ENDED) {
        release(c);
        return G_SOURCE_CONTINUE;
    }
    struct chq_signal_event e = {.type = CHQ_SIGNAL_TIMEOUT};
    (void)signal_step(c, &e);
    return G_SOURCE_CONTINUE;
}

static void on_candidate(void *user, const struct chq_candidate *candidate)
{
    struct chq_call *c = user;
    struct chq_signal_event e = {.type = CHQ_SIGNAL_CANDIDATE, .candidate = *candidate};
    if (signal_step(c, &e) == CHQ_LIMIT)
        chq_logf(&c->config.log, CHQ_LOG_NOTICE, "too many local addresses; some are not offered");
}

static void note_move(struct chq_call *c, const struct chq_ice_pair *pair)
{
    if (c->stats.moves_count == CHQ_CALL_MOVES_MAX)
        return;
    struct chq_call_move *m = &c->stats.moves[c->stats.moves_count++];
    m->at_ms = elapsed_ms(c);
    m->to = pair->kind;
    (void)g_strlcpy(m->local, pair->local, sizeof m->local);
    (void)g_strlcpy(m->remote, pair->remote, sizeof m->remote);
}

static void on_path(void *user, const struct chq_ice_pair *pair)
{
    struct chq_call *c = user;
    const bool kind_changed = pair->kind != c->pair.kind;
    const enum chq_call_state before = c->signal.state;
    c->pair = *pair;
    note_move(c, pair);
    struct chq_signal_event e = {
        .type = pair->kind == CHQ_PATH_NONE ? CHQ_SIGNAL_PATH_DOWN : CHQ_SIGNAL_PATH_UP};
    (void)signal_step(c, &e);
    if (kind_changed && c->signal.state == before && before == CHQ_CALL_CONNECTED)
        tell_state(c);
}

static void on_datagram(void *user, struct chq_bytes datagram)
{
    struct chq_call *c = user;
    if (c->media == NULL || c->signal.state == CHQ_CALL_ENDED)
        return;
    struct chq_media_event e = {.type = CHQ_MEDIA_RECEIVED, .datagram = datagram};
    struct chq_media_actions out;
    if (media_step(c, &e, &out) != CHQ_OK)
        return;
    c->heard_us = now_us();
    if (c->stats.first_speech_ms == 0)
        c->stats.first_speech_ms = elapsed_ms(c);
    struct chq_signal_event back = {.type = CHQ_SIGNAL_PATH_UP};
    if (c->signal.state == CHQ_CALL_LOST && c->pair.kind != CHQ_PATH_NONE)
        (void)signal_step(c, &back);
}

static enum chq_err open_path(struct chq_call *c, const struct chq_call_config *config)
{
    struct chq_ice_config ice = {.context = c->context,
        .controlling = config->caller,
        .turn_user = config->relay.user,
        .turn_password = config->relay.password,
        .relay_only = config->relay_only,
        .allow_loopback = config->allow_loopback,
        .random = config->random,
        .log = config->log,
        .on_candidate = on_candidate,
        .on_path = on_path,
        .on_datagram = on_datagram,
        .user = c};
    if (config->relay.host != NULL) {
        CHQ_TRY(chq_address_parse(config->relay.host, config->relay.port, &ice.stun));
        CHQ_TRY(chq_front_shell_new(c->context, &ice.stun, &config->log, &c->front));
        ice.turn = chq_front_shell_address(c->front);
    }
    CHQ_TRY(chq_ice_new(&ice, &c->ice));
    struct chq_ice_credentials credentials;
    CHQ_TRY(chq_ice_credentials(c->ice, &credentials));
    chq_signal_set_credentials(&c->signal, &credentials);
    sodium_memzero(&credentials, sizeof credentials);
    return CHQ_OK;
}

/* Copy what must outlive chq_call_new. */
static enum chq_err copy_config(struct chq_call *c, const struct chq_call_config *config)
{
    c->config = *config;
    memset(&c->config.relay, 0, sizeof c->config.relay);
    c->capture = g_strdup(config->audio.capture);
    c->playback = g_strdup(config->audio.playback);
    c->config.audio.capture = c->capture;
    c->config.audio.playback = c->playback;
    c->device = chq_audio_device(config->audio.kind);
    /* A wrong file is better told now, and reading it must not hold up an answered call. */
    return config->audio.kind == CHQ_AUDIO_PULSE ? CHQ_OK : open_audio(c);
}

enum chq_err chq_call_new(const struct chq_call_config *config, struct chq_call **out)
{
    *out = NULL;
    struct chq_call *c = calloc(1, sizeof *c);
    if (c == NULL)
        return CHQ_NO_MEMORY;
    c->context = g_main_context_ref(config->context != NULL ? config->context : g_main_context_default());
    c->started_us = now_us();
    c->signal_timer = timer_new(c, on_signal_timer, G_PRIORITY_DEFAULT);
    struct chq_signal_config signal = {
        .caller = config->caller, .relay_expected = config->relay.host != NULL};
    memcpy(signal.call_id, config->call_id, sizeof signal.call_id);
    memcpy(signal.own_account, config->own_account, sizeof signal.own_account);
    memcpy(signal.peer_account, config->peer_account, sizeof signal.peer_account);
    chq_random_fill(&config->random, signal.random, sizeof signal.random);
    chq_signal_init(&c->signal, &signal);
    sodium_memzero(&signal, sizeof signal);
    enum chq_err err = copy_config(c, config);
    if (err == CHQ_OK)
        err = open_path(c, config);
    if (err == CHQ_OK && config->caller) {
        struct chq_signal_event e = {.type = CHQ_SIGNAL_START};
        err = signal_step(c, &e);
    }
    if (err != CHQ_OK) {
        c->signal.state = CHQ_CALL_ENDED; /* nobody is told of a call that never was */
        chq_call_free(c);
        return err;
    }
    *out = c;
    return CHQ_OK;
}

enum chq_err chq_call_receive_signal(struct chq_call *call, struct chq_bytes bytes)
{
    struct chq_signal_event e = {.type = CHQ_SIGNAL_RECEIVED, .message = bytes};
    return signal_step(call, &e);
}

enum chq_err chq_call_accept(struct chq_call *call)
{
    struct chq_signal_event e = {.type = CHQ_SIGNAL_ACCEPT};
    return signal_step(call, &e);
}

void chq_call_hangup(struct chq_call *call)
{
    struct chq_signal_event e = {.type = CHQ_SIGNAL_HANGUP};
    if (call->signal.state != CHQ_CALL_ENDED)
        (void)signal_step(call, &e);
}

void chq_call_stats(const struct chq_call *call, struct chq_call_stats *out)
{
    *out = call->stats;
    out->state = call->signal.state;
    out->end = call->signal.end;
    out->path = call->pair.kind;
    if (call->front != NULL) {
        const struct chq_front_stats *s = &chq_front_shell_core(call->front)->stats;
        out->relay_bytes_up = s->bytes_up;
        out->relay_bytes_down = s->bytes_down;
        out->relay_dropped = s->malformed + s->refused;
    }
    if (call->media != NULL)
        chq_media_stats(call->media, &out->media);
}

void chq_call_free(struct chq_call *call)
{
    if (call == NULL)
        return;
    chq_call_hangup(call);
    release(call);
    timer_free(&call->signal_timer);
    chq_media_free(call->media);
    chq_signal_fini(&call->signal);
    g_free(call->capture);
    g_free(call->playback);
    g_main_context_unref(call->context);
    free(call);
}

enum chq_err chq_call_peek(struct chq_bytes bytes, enum chq_call_signal *out)
{
    struct chq_signal_message message;
    const enum chq_err err = chq_signal_read(bytes, &message);
    *out = message.type;
    sodium_memzero(&message, sizeof message);
    return err;
}

void chq_call_write_refusal(struct chq_writer *w, enum chq_call_end reason)
{
    const struct chq_signal_message message = {.type = CHQ_CALL_SIGNAL_HANGUP, .reason = reason};
    chq_signal_write(w, &message);
}
