/* SPDX-License-Identifier: Apache-2.0 */
#include "client/sdk/talk.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <string.h>
#include <sys/socket.h>

#include "client/sdk/worker.h"
#include "p2p/call/call.h"

#define TURN_WAIT_MS 3000
#define USAGE_MS     1000

struct chq_talk {
    struct chq_worker *worker;
    struct chq_audio_config sound; /* its strings are owned */
    struct chq_call *call; /* NULL while TURN credentials are fetched */
    bool active, incoming, told, relayed;
    uint8_t id[16], account[32], relay[32];
    char handle[CHQ_HANDLE_CHARS];
    GQueue held; /* GBytes: signals that came before the call object was there */
    uint64_t turn_request, used_bytes;
    GSource *turn_wait, *usage, *finish;
    bool last_known;
    struct chq_call_report last;
};

static void begin_call(struct chq_talk *talk, const struct chq_agent_turn *turn, const uint8_t *relay);

/* ---- helpers */

static void drop_source(GSource **source)
{
    if (*source == NULL)
        return;
    g_source_destroy(*source);
    g_source_unref(*source);
    *source = NULL;
}

static void attach(struct chq_talk *talk, GSource **slot, GSource *source, GSourceFunc f)
{
    drop_source(slot);
    g_source_set_callback(source, f, talk, NULL);
    g_source_attach(source, talk->worker->context);
    *slot = source;
}

struct chq_talk *chq_talk_new(struct chq_worker *worker)
{
    struct chq_talk *talk = g_new0(struct chq_talk, 1);
    talk->worker = worker;
    talk->sound.kind = CHQ_AUDIO_PULSE;
    talk->sound.echo_cancel = true;
    g_queue_init(&talk->held);
    return talk;
}

static enum chq_call_phase phase_of(enum chq_call_state state)
{
    switch (state) {
    case CHQ_CALL_NEW:
    case CHQ_CALL_RINGING: return CHQ_PHASE_RINGING;
    case CHQ_CALL_CONNECTING: return CHQ_PHASE_CONNECTING;
    case CHQ_CALL_CONNECTED: return CHQ_PHASE_CONNECTED;
    case CHQ_CALL_LOST: return CHQ_PHASE_LOST;
    case CHQ_CALL_ENDED:
    default: return CHQ_PHASE_ENDED;
    }
}

static enum chq_call_way way_of(enum chq_path_kind kind)
{
    return kind == CHQ_PATH_DIRECT ? CHQ_WAY_DIRECT : kind == CHQ_PATH_RELAY ? CHQ_WAY_RELAY : CHQ_WAY_NONE;
}

static void report_moves(struct chq_call_report *r, const struct chq_call_stats *s)
{
    r->moves = s->moves_count > 0 ? s->moves_count - 1 : 0;
    for (unsigned i = 0; i < s->moves_count && i < CHQ_CALL_MOVES_MAX; i++) {
        if (s->moves[i].to == CHQ_PATH_NONE)
            continue;
        g_strlcpy(r->local, s->moves[i].local, sizeof r->local);
        g_strlcpy(r->remote, s->moves[i].remote, sizeof r->remote);
        if (r->way == CHQ_WAY_NONE && s->state == CHQ_CALL_ENDED)
            r->way = way_of(s->moves[i].to);
        if (s->moves[i].to == CHQ_PATH_DIRECT && r->direct_ms == 0)
            r->direct_ms = (uint32_t)s->moves[i].at_ms;
    }
}

/* Read the call's state into `last`. */
static void take_report(struct chq_talk *talk)
{
    struct chq_call_stats s;
    struct chq_call_report *r = &talk->last;
    chq_call_stats(talk->call, &s);
    enum chq_call_way way_before = talk->last_known ? r->way : CHQ_WAY_NONE;
    memset(r, 0, sizeof *r);
    talk->last_known = true;
    r->phase = phase_of(s.state);
    r->incoming = talk->incoming;
    r->way = way_of(s.path);
    if (r->way == CHQ_WAY_NONE && s.state == CHQ_CALL_ENDED)
        r->way = way_before;
    r->answered_ms = (uint32_t)s.answered_ms;
    r->connected_ms = (uint32_t)s.connected_ms;
    r->first_speech_ms = (uint32_t)s.first_speech_ms;
    if (s.connected_ms != 0 && s.ended_ms > s.connected_ms)
        r->duration_ms = (uint32_t)(s.ended_ms - s.connected_ms);
    if (s.state == CHQ_CALL_ENDED)
        g_strlcpy(r->end, chq_call_end_string(s.end), sizeof r->end);
    report_moves(r, &s);
    r->packets_sent = s.media.sent;
    r->packets_received = s.media.received;
    r->packets_lost = s.media.lost;
    r->packets_recovered = s.media.recovered;
    r->packets_concealed = s.media.concealed;
    r->jitter_us = s.media.jitter_us;
    r->buffer_us = s.media.buffer_us;
    r->round_trip_us = s.media.round_trip_us;
    r->longest_gap_us = s.media.longest_gap_us;
    r->one_way_us = s.media.one_way_known && s.media.one_way_us > 0 ? (uint32_t)s.media.one_way_us : 0;
    r->peer_loss_permille = s.media.peer_loss_permille;
    r->relay_bytes = s.relay_bytes_up + s.relay_bytes_down;
}

static void tell(struct chq_talk *talk, enum chq_event_kind kind, enum chq_error error, const char *text)
{
    struct chq_event e = {.kind = kind, .error = error, .text = text, .text_size = strlen(text)};
    memcpy(e.call_id, talk->id, sizeof e.call_id);
    memcpy(e.account, talk->account, sizeof e.account);
    g_strlcpy(e.handle, talk->handle, sizeof e.handle);
    e.at_ms = (uint64_t)g_get_real_time() / 1000;
    e.call = talk->last;
    chq_events_push(talk->worker->events, &e);
}

/* ---- payment of what TURN carried: the agent compares it with the relay's count */

static void report_usage(struct chq_talk *talk)
{
    struct chq_call_stats s;
    struct chq_agent_command command = {.type = CHQ_AGENT_TURN_USED};
    if (talk->call == NULL || !talk->relayed)
        return;
    chq_call_stats(talk->call, &s);
    uint64_t all = s.relay_bytes_up + s.relay_bytes_down;
    if (all <= talk->used_bytes)
        return;
    command.amount = all - talk->used_bytes;
    talk->used_bytes = all;
    memcpy(command.relay, talk->relay, sizeof command.relay);
    chq_worker_post(talk->worker, &command);
}

static gboolean on_usage(gpointer data)
{
    report_usage(data);
    return G_SOURCE_CONTINUE;
}

/* ---- the end */

static void end_call(struct chq_talk *talk, enum chq_error error, const char *text)
{
    if (!talk->active)
        return;
    if (talk->call != NULL) {
        take_report(talk);
        report_usage(talk);
    }
    drop_source(&talk->turn_wait);
    drop_source(&talk->usage);
    drop_source(&talk->finish);
    chq_call_free(talk->call);
    talk->call = NULL;
    g_queue_clear_full(&talk->held, (GDestroyNotify)g_bytes_unref);
    talk->active = false;
    talk->turn_request = 0;
    if (talk->told || !talk->incoming)
        tell(talk, CHQ_EVENT_CALL_ENDED, error, text);
}

static gboolean on_finish(gpointer data)
{
    struct chq_talk *talk = data;
    take_report(talk);
    end_call(talk, CHQ_ERROR_NONE, talk->last.end);
    return G_SOURCE_REMOVE;
}

void chq_talk_free(struct chq_talk *talk)
{
    if (talk == NULL)
        return;
    if (talk->call != NULL)
        chq_call_hangup(talk->call);
    end_call(talk, CHQ_ERROR_NONE, "closed");
    g_free((char *)talk->sound.capture);
    g_free((char *)talk->sound.playback);
    g_free(talk);
}

/* ---- callbacks of the call object */

static void on_send_signal(void *user, struct chq_bytes bytes)
{
    struct chq_talk *talk = user;
    struct chq_agent_command command = {.type = CHQ_AGENT_SEND_CALL, .data = bytes};
    memcpy(command.account, talk->account, sizeof command.account);
    memcpy(command.call_id, talk->id, sizeof command.call_id);
    chq_worker_post(talk->worker, &command);
}

static void on_state(void *user, enum chq_call_state state, enum chq_call_end end, enum chq_path_kind path)
{
    struct chq_talk *talk = user;
    (void)end;
    (void)path;
    if (talk->call == NULL) /* while chq_call_new runs */
        return;
    take_report(talk);
    if (state == CHQ_CALL_ENDED) {
        if (talk->finish == NULL) {
            GSource *source = g_idle_source_new();
            g_source_set_priority(source, G_PRIORITY_DEFAULT);
            attach(talk, &talk->finish, source, on_finish);
        }
        return;
    }
    if (talk->incoming && !talk->told) {
        talk->told = true;
        tell(talk, CHQ_EVENT_CALL_INCOMING, CHQ_ERROR_NONE, "");
        return;
    }
    tell(talk, CHQ_EVENT_CALL_STATE, CHQ_ERROR_NONE, chq_path_kind_string(path));
}

/* ---- begin: fetch TURN credentials, then make the call object */

static gboolean on_turn_wait(gpointer data)
{
    struct chq_talk *talk = data;
    drop_source(&talk->turn_wait);
    talk->turn_request = 0;
    begin_call(talk, NULL, NULL);
    return G_SOURCE_REMOVE;
}

static void begin(
    struct chq_talk *talk, bool incoming, const uint8_t account[32], const char *handle, const uint8_t id[16])
{
    struct chq_agent_command command = {.type = CHQ_AGENT_TURN};
    talk->active = true;
    talk->incoming = incoming;
    talk->told = talk->relayed = false;
    talk->used_bytes = 0;
    talk->last_known = false;
    memset(&talk->last, 0, sizeof talk->last);
    memcpy(talk->account, account, sizeof talk->account);
    memcpy(talk->id, id, sizeof talk->id);
    g_strlcpy(talk->handle, handle, sizeof talk->handle);
    talk->turn_request = chq_worker_post(talk->worker, &command);
    attach(talk, &talk->turn_wait, g_timeout_source_new(TURN_WAIT_MS), on_turn_wait);
}

/* The relay's TURN address in numbers: its own host, mostly the one that we are connected to. */
static bool numeric_host(struct chq_talk *talk, const char *host, const uint8_t relay[32], char out[64])
{
    struct in6_addr any;
    struct addrinfo hints = {.ai_socktype = SOCK_DGRAM}, *found = NULL;
    const struct chq_worker_relay *known = chq_worker_relay(talk->worker, relay);
    out[0] = 0;
    if (host[0] == 0 || (known != NULL && strcmp(host, known->name) == 0))
        chq_links_address(talk->worker->links, relay, out);
    if (out[0] != 0)
        return true;
    if (host[0] == 0)
        return false;
    if (inet_pton(AF_INET, host, &any) == 1 || inet_pton(AF_INET6, host, &any) == 1) {
        g_strlcpy(out, host, 64);
        return true;
    }
    bool ok = getaddrinfo(host, NULL, &hints, &found) == 0 &&
              getnameinfo(found->ai_addr, found->ai_addrlen, out, 64, NULL, 0, NI_NUMERICHOST) == 0;
    if (found != NULL)
        freeaddrinfo(found);
    return ok;
}

static void begin_call(struct chq_talk *talk, const struct chq_agent_turn *turn, const uint8_t *relay)
{
    struct chq_worker *w = talk->worker;
    struct chq_agent_identity id;
    char host[64] = "";
    struct chq_call_config config = {.context = w->context,
        .caller = !talk->incoming,
        .relay_only = w->relay_only,
        .audio = talk->sound,
        .random = w->random,
        .log = chq_log_stderr(g_getenv("CHASQUI_DEBUG") != NULL ? CHQ_LOG_DEBUG : CHQ_LOG_ERROR),
        .send_signal = on_send_signal,
        .on_state = on_state,
        .user = talk};
    if (!talk->active || talk->call != NULL || w->agent == NULL ||
        chq_agent_identity(w->agent, &id) != CHQ_OK)
        return;
    memcpy(config.call_id, talk->id, sizeof config.call_id);
    memcpy(config.own_account, id.account, sizeof config.own_account);
    memcpy(config.peer_account, talk->account, sizeof config.peer_account);
    if (turn != NULL && numeric_host(talk, turn->host, relay, host)) {
        config.relay = (struct chq_call_relay){
            .host = host, .port = turn->port, .user = turn->username, .password = turn->password};
        config.allow_loopback = g_str_has_prefix(host, "127.") || strcmp(host, "::1") == 0;
        memcpy(talk->relay, relay, sizeof talk->relay);
        talk->relayed = true;
    }
    enum chq_err err = chq_call_new(&config, &talk->call);
    if (err != CHQ_OK) {
        talk->told = true;
        end_call(talk, err == CHQ_IO || err == CHQ_MALFORMED ? CHQ_ERROR_SOUND : CHQ_ERROR_FAILED,
            "the call could not begin: is there a sound device, or is the WAV file 48 kHz mono 16 bit?");
        return;
    }
    attach(talk, &talk->usage, g_timeout_source_new(USAGE_MS), on_usage);
    if (!talk->incoming) {
        take_report(talk);
        tell(talk, CHQ_EVENT_CALL_STATE, CHQ_ERROR_NONE, "");
    }
    GBytes *held;
    while (talk->call != NULL && (held = g_queue_pop_head(&talk->held)) != NULL) {
        gsize size;
        const void *data = g_bytes_get_data(held, &size);
        enum chq_err dropped = chq_call_receive_signal(talk->call, chq_bytes(data, size));
        (void)dropped; /* a broken signal is dropped, the call goes on */
        g_bytes_unref(held);
    }
}

bool chq_talk_turn(struct chq_talk *talk, const struct chq_agent_notice *notice)
{
    if (notice->request == 0 || notice->request != talk->turn_request)
        return false;
    talk->turn_request = 0;
    drop_source(&talk->turn_wait);
    if (notice->kind == CHQ_AGENT_NOTE_TURN)
        begin_call(talk, &notice->turn, notice->relay);
    else
        begin_call(talk, NULL, NULL);
    return true;
}

static void refuse(struct chq_talk *talk, const struct chq_agent_notice *notice)
{
    struct chq_writer w = chq_writer_heap(1024);
    struct chq_agent_command command = {.type = CHQ_AGENT_SEND_CALL};
    chq_call_write_refusal(&w, CHQ_CALL_END_BUSY);
    command.data = chq_writer_bytes(&w);
    memcpy(command.account, notice->account, sizeof command.account);
    memcpy(command.call_id, notice->call_id, sizeof command.call_id);
    chq_worker_post(talk->worker, &command);
    chq_writer_free(&w);
}

void chq_talk_signal(struct chq_talk *talk, const struct chq_agent_notice *notice)
{
    enum chq_call_signal kind;
    bool ours = talk->active && memcmp(talk->id, notice->call_id, 16) == 0 &&
                memcmp(talk->account, notice->account, 32) == 0;
    if (!ours) {
        char handle[CHQ_HANDLE_CHARS];
        if (chq_call_peek(notice->data, &kind) != CHQ_OK || kind != CHQ_CALL_SIGNAL_OFFER)
            return; /* of a call that has ended here */
        if (talk->active) {
            refuse(talk, notice);
            return;
        }
        chq_worker_handle(talk->worker, notice->account, handle);
        begin(talk, true, notice->account, handle, notice->call_id);
    }
    if (talk->call == NULL) {
        g_queue_push_tail(&talk->held, g_bytes_new(notice->data.data, notice->data.size));
        return;
    }
    enum chq_err dropped = chq_call_receive_signal(talk->call, notice->data);
    (void)dropped;
}

/* ---- what the app asks */

/* Try the files now, not when somebody has answered. The one to record to is made empty. */
static bool files_fit(struct chq_worker *w, const struct chq_sound *sound)
{
    const struct chq_audio_device *device = chq_audio_device(CHQ_AUDIO_FILE);
    struct chq_audio_config config = {.kind = CHQ_AUDIO_FILE, .capture = sound->microphone};
    struct chq_audio *audio = NULL;
    w->outcome_text[0] = 0;
    enum chq_err err = device->open(&config, 0, &audio);
    if (err != CHQ_OK) {
        g_snprintf(w->outcome_text, sizeof w->outcome_text,
            err == CHQ_IO ? "%.300s cannot be read" : "%.300s is not a WAV file of 48 kHz mono 16 bit",
            sound->microphone);
        return false;
    }
    device->close(audio);
    config = (struct chq_audio_config){.kind = CHQ_AUDIO_FILE, .playback = sound->speaker};
    err = device->open(&config, 0, &audio);
    if (err != CHQ_OK) {
        g_snprintf(w->outcome_text, sizeof w->outcome_text, "%.300s cannot be written", sound->speaker);
        return false;
    }
    device->close(audio);
    return true;
}

enum chq_error chq_talk_sound(struct chq_talk *talk, const struct chq_sound *sound)
{
    static const enum chq_audio_kind kinds[] = {CHQ_AUDIO_PULSE, CHQ_AUDIO_FILE, CHQ_AUDIO_NULL};
    if ((unsigned)sound->kind >= G_N_ELEMENTS(kinds))
        return CHQ_ERROR_ARGUMENT;
    if (sound->kind == CHQ_SOUND_FILES && !files_fit(talk->worker, sound))
        return CHQ_ERROR_SOUND;
    g_free((char *)talk->sound.capture);
    g_free((char *)talk->sound.playback);
    talk->sound = (struct chq_audio_config){.kind = kinds[sound->kind],
        .capture = g_strdup(sound->microphone),
        .playback = g_strdup(sound->speaker),
        .echo_cancel = sound->kind == CHQ_SOUND_SYSTEM};
    return CHQ_ERROR_NONE;
}

enum chq_error chq_talk_call(
    struct chq_talk *talk, const uint8_t account[32], const char *handle, uint8_t call_id[16])
{
    uint8_t id[16];
    if (talk->active)
        return CHQ_ERROR_BUSY;
    chq_random_fill(&talk->worker->random, id, sizeof id);
    begin(talk, false, account, handle, id);
    if (call_id != NULL)
        memcpy(call_id, id, sizeof id);
    return CHQ_ERROR_NONE;
}

enum chq_error chq_talk_answer(struct chq_talk *talk, const uint8_t call_id[16])
{
    if (!talk->active || talk->call == NULL || memcmp(talk->id, call_id, 16) != 0 ||
        chq_call_accept(talk->call) != CHQ_OK)
        return CHQ_ERROR_NOT_FOUND;
    return CHQ_ERROR_NONE;
}

enum chq_error chq_talk_hangup(struct chq_talk *talk, const uint8_t *call_id)
{
    if (talk == NULL || !talk->active || (call_id != NULL && memcmp(talk->id, call_id, 16) != 0))
        return CHQ_ERROR_NOT_FOUND;
    if (talk->call != NULL)
        chq_call_hangup(talk->call);
    else
        end_call(talk, CHQ_ERROR_NONE, "hung up");
    return CHQ_ERROR_NONE;
}

enum chq_error chq_talk_report(struct chq_talk *talk, struct chq_call_report *out)
{
    if (talk->call != NULL)
        take_report(talk);
    if (!talk->last_known)
        return CHQ_ERROR_NOT_FOUND;
    *out = talk->last;
    return CHQ_ERROR_NONE;
}
