/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One end of a call, for tests: signals go over an inherited descriptor (one end of a SOCK_SEQPACKET pair), whatever
 * network the ends are in. The callee answers at once. Prints one line of JSON at the end.
 */
#include <errno.h>
#include <glib-unix.h>
#include <glib.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/base/text.h"
#include "core/crypto/system.h"
#include "p2p/call/call.h"

struct peer {
    GMainLoop *loop;
    struct chq_call *call;
    struct chq_call_config config;
    int signal_fd;
    guint talk_ms, limit_ms;
    gint64 began_us;
};

static void send_signal(void *user, struct chq_bytes bytes)
{
    const struct peer *p = user;
    if (send(p->signal_fd, bytes.data, bytes.size, MSG_NOSIGNAL) < 0)
        fprintf(stderr, "signal not sent: %s\n", g_strerror(errno));
}

static gboolean hang_up(gpointer data)
{
    struct peer *p = data;
    if (p->call != NULL)
        chq_call_hangup(p->call);
    return G_SOURCE_REMOVE;
}

static gboolean quit(gpointer data)
{
    struct peer *p = data;
    g_main_loop_quit(p->loop);
    return G_SOURCE_REMOVE;
}

static void on_state(void *user, enum chq_call_state state, enum chq_call_end end, enum chq_path_kind path)
{
    struct peer *p = user;
    fprintf(stderr, "%7.1f ms %s %s %s\n", (double)(g_get_monotonic_time() - p->began_us) / 1000,
        chq_call_state_string(state), chq_path_kind_string(path),
        state == CHQ_CALL_ENDED ? chq_call_end_string(end) : "");
    if (state == CHQ_CALL_CONNECTED && p->talk_ms > 0 && p->config.caller) {
        (void)g_timeout_add(p->talk_ms, hang_up, p);
        p->talk_ms = 0;
    }
    if (state == CHQ_CALL_ENDED)
        (void)g_timeout_add(300, quit, p); /* time to give the allocation back */
}

static gboolean on_signal(gint fd, GIOCondition condition, gpointer data)
{
    (void)condition;
    struct peer *p = data;
    uint8_t buffer[CHQ_CALL_SIGNAL_BYTES_MAX + 1];
    enum chq_call_signal type;
    const ssize_t size = recv(fd, buffer, sizeof buffer, 0);
    if (size <= 0) {
        hang_up(p);
        return G_SOURCE_REMOVE;
    }
    const struct chq_bytes bytes = chq_bytes(buffer, (size_t)size);
    const enum chq_err err = chq_call_receive_signal(p->call, bytes);
    if (err != CHQ_OK)
        fprintf(stderr, "signal: %s\n", chq_err_string(err));
    if (err == CHQ_OK && chq_call_peek(bytes, &type) == CHQ_OK && type == CHQ_CALL_SIGNAL_OFFER &&
        chq_call_accept(p->call) != CHQ_OK)
        fprintf(stderr, "not accepted\n");
    return G_SOURCE_CONTINUE;
}

static gboolean on_limit(gpointer data)
{
    struct peer *p = data;
    fprintf(stderr, "time limit\n");
    hang_up(p);
    return G_SOURCE_REMOVE;
}

static void report(const struct peer *p)
{
    struct chq_call_stats s;
    chq_call_stats(p->call, &s);
    const struct chq_media_stats *m = &s.media;
    printf("{\"end\":\"%s\",\"path\":\"%s\",\"answered_ms\":%" PRIu64 ",\"connected_ms\":%" PRIu64
           ",\"first_speech_ms\":%" PRIu64 ",\"sent\":%" PRIu64 ",\"received\":%" PRIu64 ",\"lost\":%" PRIu64
           ",\"recovered\":%" PRIu64 ",\"late\":%" PRIu64 ",\"concealed\":%" PRIu64 ",\"held\":%" PRIu64
           ",\"merged\":%" PRIu64 ",\"refused\":%" PRIu64,
        chq_call_end_string(s.end),
        s.moves_count > 0 ? chq_path_kind_string(s.moves[s.moves_count - 1].to) : "none", s.answered_ms,
        s.connected_ms, s.first_speech_ms, m->sent, m->received, m->lost, m->recovered, m->late, m->concealed,
        m->held, m->merged, m->refused);
    printf(",\"longest_gap_ms\":%.1f,\"jitter_ms\":%.2f,\"buffer_ms\":%.1f,\"round_trip_ms\":%.1f,\"one_way_"
           "ms\":%.1f"
           ",\"copies\":%s,\"relay_bytes_up\":%" PRIu64 ",\"relay_bytes_down\":%" PRIu64
           ",\"relay_dropped\":%" PRIu64 ",\"moves\":[",
        m->longest_gap_us / 1000.0, m->jitter_us / 1000.0, m->buffer_us / 1000.0, m->round_trip_us / 1000.0,
        m->one_way_known ? (double)m->one_way_us / 1000.0 : -1.0, m->copies ? "true" : "false",
        s.relay_bytes_up, s.relay_bytes_down, s.relay_dropped);
    for (unsigned i = 0; i < s.moves_count; i++)
        printf("%s{\"at_ms\":%" PRIu64 ",\"to\":\"%s\",\"local\":\"%s\",\"remote\":\"%s\"}", i > 0 ? "," : "",
            s.moves[i].at_ms, chq_path_kind_string(s.moves[i].to), s.moves[i].local, s.moves[i].remote);
    printf("]}\n");
}

static gboolean read_options(struct peer *p, int *argc, char ***argv)
{
    static gchar *relay, *user, *password, *play, *record;
    static gboolean caller, relay_only, loopback, pulse, debug;
    static gint signal_fd = -1, port = 3478, talk_ms, limit_ms = 30000;
    const GOptionEntry entries[] = {
        {"signal-fd", 0, 0, G_OPTION_ARG_INT, &signal_fd, "Descriptor for signals", "NUMBER"},
        {"caller", 0, 0, G_OPTION_ARG_NONE, &caller, "Call (default: be called)", NULL},
        {"relay", 0, 0, G_OPTION_ARG_STRING, &relay, "TURN server", "ADDRESS"},
        {"port", 0, 0, G_OPTION_ARG_INT, &port, "its UDP port", "PORT"},
        {"user", 0, 0, G_OPTION_ARG_STRING, &user, "its user name", "NAME"},
        {"password", 0, 0, G_OPTION_ARG_STRING, &password, "its password", "WORD"},
        {"play", 0, 0, G_OPTION_ARG_FILENAME, &play, "WAV file that speaks", "FILE"},
        {"record", 0, 0, G_OPTION_ARG_FILENAME, &record, "WAV file that listens", "FILE"},
        {"talk-ms", 0, 0, G_OPTION_ARG_INT, &talk_ms, "The caller hangs up after", "MS"},
        {"limit-ms", 0, 0, G_OPTION_ARG_INT, &limit_ms, "Give up after", "MS"},
        {"relay-only", 0, 0, G_OPTION_ARG_NONE, &relay_only, "Use the relay only", NULL},
        {"loopback", 0, 0, G_OPTION_ARG_NONE, &loopback, "Offer 127.0.0.1", NULL},
        {"pulse", 0, 0, G_OPTION_ARG_NONE, &pulse, "Use PulseAudio", NULL},
        {"debug", 0, 0, G_OPTION_ARG_NONE, &debug, "Log more", NULL},
        {NULL, 0, 0, G_OPTION_ARG_NONE, NULL, NULL, NULL},
    };
    g_autoptr(GError) error = NULL;
    g_autoptr(GOptionContext) context = g_option_context_new("- one end of a call");
    g_option_context_add_main_entries(context, entries, NULL);
    if (!g_option_context_parse(context, argc, argv, &error) || signal_fd < 0) {
        fprintf(stderr, "%s\n", error != NULL ? error->message : "--signal-fd NUMBER is needed");
        return FALSE;
    }
    p->signal_fd = signal_fd;
    p->talk_ms = (guint)talk_ms;
    p->limit_ms = (guint)limit_ms;
    p->config = (struct chq_call_config){.caller = caller,
        .call_id = "a call in a test",
        .own_account = {caller ? 1 : 2},
        .peer_account = {caller ? 2 : 1},
        .relay = {.host = relay, .port = (uint16_t)port, .user = user, .password = password},
        .relay_only = relay_only,
        .allow_loopback = loopback,
        .audio = {.kind = pulse ? CHQ_AUDIO_PULSE : CHQ_AUDIO_FILE, .capture = play, .playback = record},
        .random = chq_system_random(),
        .log = chq_log_stderr(debug ? CHQ_LOG_DEBUG : CHQ_LOG_NOTICE),
        .send_signal = send_signal,
        .on_state = on_state,
        .user = p};
    return TRUE;
}

int main(int argc, char **argv)
{
    struct peer p = {.signal_fd = -1};
    if (!read_options(&p, &argc, &argv))
        return 2;
    p.loop = g_main_loop_new(NULL, FALSE);
    p.began_us = g_get_monotonic_time();
    (void)g_unix_fd_add(p.signal_fd, G_IO_IN, on_signal, &p);
    (void)g_timeout_add(p.limit_ms, on_limit, &p);
    const enum chq_err err = chq_call_new(&p.config, &p.call);
    if (err != CHQ_OK) {
        fprintf(stderr, "no call: %s\n", chq_err_string(err));
        return 1;
    }
    g_main_loop_run(p.loop);
    report(&p);
    chq_call_free(g_steal_pointer(&p.call));
    while (g_main_context_iteration(NULL, FALSE)) {}
    g_main_loop_unref(p.loop);
    (void)close(p.signal_fd);
    return 0;
}
