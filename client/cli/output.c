/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <jansson.h>
#include <string.h>
#include <time.h>

#include "client/cli/cli.h"

void cli_hex(const uint8_t *bytes, size_t size, char *out)
{
    for (size_t i = 0; i < size; i++)
        snprintf(out + 2 * i, 3, "%02x", bytes[i]);
}

void cli_time(uint64_t unix_ms, char out[32])
{
    time_t s = (time_t)(unix_ms / 1000);
    struct tm tm;
    localtime_r(&s, &tm);
    strftime(out, 32, "%Y-%m-%d %H:%M:%S", &tm);
}

void cli_credit(uint64_t micro, char out[32])
{
    char places[8];
    snprintf(places, sizeof places, "%06u", (unsigned)(micro % 1000000));
    for (size_t n = 6; n > 0 && places[n - 1] == '0'; n--)
        places[n - 1] = 0;
    snprintf(out, 32, "%" PRIu64 "%s%s", micro / 1000000, places[0] != 0 ? "." : "", places);
}

/* C0 but newline and tab, DEL, C1 and the controls of text direction are shown as <U+....>. */
void cli_print_safe(FILE *out, const char *text, size_t size)
{
    const unsigned char *p = (const unsigned char *)text;
    for (size_t i = 0; i < size; i++) {
        unsigned code = 0;
        if ((p[i] < 0x20 && p[i] != '\n' && p[i] != '\t') || p[i] == 0x7f)
            code = p[i];
        else if (p[i] == 0xc2 && i + 1 < size && p[i + 1] < 0xa0)
            code = p[++i];
        else if (p[i] == 0xe2 && i + 2 < size && p[i + 1] == 0x80 && p[i + 2] >= 0xaa && p[i + 2] <= 0xae)
            code = 0x2000u + (p[i + 2] & 0x3fu), i += 2;
        else if (p[i] == 0xe2 && i + 2 < size && p[i + 1] == 0x81 && p[i + 2] >= 0xa6 && p[i + 2] <= 0xa9)
            code = 0x2040u + (p[i + 2] & 0x3fu), i += 2;
        else {
            fputc(p[i], out);
            continue;
        }
        fprintf(out, "<U+%04X>", code);
    }
}

/* ---- JSON: one object a line */

static void emit(json_t *object)
{
    json_dumpf(object, stdout, JSON_COMPACT | JSON_PRESERVE_ORDER);
    fputc('\n', stdout);
    fflush(stdout);
    json_decref(object);
}

static void set_hex(json_t *o, const char *name, const uint8_t *bytes, size_t size)
{
    static const uint8_t zero[32];
    char text[65];
    if (memcmp(bytes, zero, size) == 0)
        return;
    cli_hex(bytes, size, text);
    json_object_set_new(o, name, json_string(text));
}

static void set_text(json_t *o, const char *name, const char *text)
{
    if (text[0] != 0)
        json_object_set_new(o, name, json_string(text));
}

static void set_number(json_t *o, const char *name, uint64_t n)
{
    json_object_set_new(o, name, json_integer((json_int_t)n));
}

static void set_credit(json_t *o, const char *name, uint64_t micro)
{
    char text[32];
    snprintf(text, sizeof text, "%" PRIu64, micro);
    json_object_set_new(o, name, json_string(text)); /* a decimal string of microcredit */
}

static const char *event_name(enum chq_event_kind kind)
{
    static const char *const names[] = {"?", "progress", "ready", "contact", "sent", "delivered", "received",
        "link", "wallet", "transferred", "error", "security", "call_incoming", "call_state", "call_ended",
        "stopped"};
    return (unsigned)kind < sizeof names / sizeof names[0] ? names[kind] : "?";
}

static const char *way_name(enum chq_call_way way)
{
    return way == CHQ_WAY_DIRECT ? "direct" : way == CHQ_WAY_RELAY ? "relay" : "none";
}

static const char *phase_name(enum chq_call_phase phase)
{
    static const char *const names[] = {"none", "ringing", "connecting", "connected", "lost", "ended"};
    return (unsigned)phase < sizeof names / sizeof names[0] ? names[phase] : "?";
}

static void set_call(json_t *o, const struct chq_call_report *c)
{
    set_text(o, "phase", phase_name(c->phase));
    set_text(o, "way", way_name(c->way));
    json_object_set_new(o, "incoming", json_boolean(c->incoming));
    set_number(o, "answered_ms", c->answered_ms);
    set_number(o, "connected_ms", c->connected_ms);
    set_number(o, "first_speech_ms", c->first_speech_ms);
    set_number(o, "direct_ms", c->direct_ms);
    set_number(o, "duration_ms", c->duration_ms);
    set_number(o, "moves", c->moves);
    set_text(o, "local", c->local);
    set_text(o, "remote", c->remote);
    set_text(o, "end", c->end);
    set_number(o, "packets_sent", c->packets_sent);
    set_number(o, "packets_received", c->packets_received);
    set_number(o, "packets_lost", c->packets_lost);
    set_number(o, "packets_recovered", c->packets_recovered);
    set_number(o, "packets_concealed", c->packets_concealed);
    set_number(o, "jitter_us", c->jitter_us);
    set_number(o, "buffer_us", c->buffer_us);
    set_number(o, "round_trip_us", c->round_trip_us);
    set_number(o, "one_way_us", c->one_way_us);
    set_number(o, "longest_gap_us", c->longest_gap_us);
    set_number(o, "peer_loss_permille", c->peer_loss_permille);
    set_number(o, "relay_bytes", c->relay_bytes);
}

static void json_wallet(json_t *o, const struct chq_wallet *w)
{
    set_credit(o, "balance_micro", w->balance_micro);
    set_credit(o, "deposits_micro", w->deposits_micro);
    set_credit(o, "paid_micro", w->paid_micro);
    set_number(o, "channels", w->channels);
}

static void json_event(const struct chq_event *e)
{
    json_t *o = json_object();
    json_object_set_new(o, "event", json_string(event_name(e->kind)));
    if (e->request != 0)
        set_number(o, "request", e->request);
    set_hex(o, "account", e->account, 32);
    set_text(o, "handle", e->handle);
    set_hex(o, "message_id", e->message_id, 16);
    set_hex(o, "call_id", e->call_id, 16);
    set_hex(o, "relay", e->relay, 32);
    set_text(o, "host", e->host);
    if (e->number != 0)
        set_number(o, "number", e->number);
    if (e->sent_ms != 0)
        set_number(o, "sent_ms", e->sent_ms);
    if (e->at_ms != 0)
        set_number(o, "at_ms", e->at_ms);
    if (e->kind == CHQ_EVENT_TRANSFERRED)
        set_credit(o, "amount_micro", e->amount_micro);
    if (e->kind == CHQ_EVENT_LINK)
        json_object_set_new(o, "up", json_boolean(e->up));
    if (e->error != CHQ_ERROR_NONE)
        set_number(o, "error", e->error);
    if (e->text_size > 0)
        json_object_set_new(o, "text", json_stringn(e->text, e->text_size));
    if (e->kind == CHQ_EVENT_WALLET)
        json_wallet(o, &e->wallet);
    if (e->kind >= CHQ_EVENT_CALL_INCOMING && e->kind <= CHQ_EVENT_CALL_ENDED)
        set_call(o, &e->call);
    emit(o);
}

/* ---- for people */

void cli_print_call(const struct cli *cli, const struct chq_event *event)
{
    const struct chq_call_report *c = &event->call;
    if (cli->options.json) {
        json_event(event);
        return;
    }
    uint64_t expected = c->packets_received + c->packets_lost;
    printf("call with %s ended: %s\n", event->handle, event->text_size > 0 ? event->text : c->end);
    if (event->error != CHQ_ERROR_NONE)
        fprintf(stderr, "chasqui: %s\n", chq_error_text(event->error));
    if (c->connected_ms == 0)
        return;
    printf("  path      %s (%s to %s)", way_name(c->way), c->local, c->remote);
    if (c->direct_ms != 0)
        printf(", direct %u ms after the start", c->direct_ms);
    printf("\n  set-up    answered after %u ms, connected after %u ms, first speech after %u ms\n",
        c->answered_ms, c->connected_ms, c->first_speech_ms);
    printf("  duration  %.1f s\n", c->duration_ms / 1000.0);
    printf("  loss      %" PRIu64 " of %" PRIu64 " packets here (%.1f %%), %.1f %% there\n", c->packets_lost,
        expected, expected > 0 ? 100.0 * (double)c->packets_lost / (double)expected : 0.0,
        c->peer_loss_permille / 10.0);
    printf("  delay     %.1f ms round trip, %.1f ms jitter, %.1f ms in the buffer", c->round_trip_us / 1000.0,
        c->jitter_us / 1000.0, c->buffer_us / 1000.0);
    if (c->one_way_us != 0)
        printf(", %.1f ms one way", c->one_way_us / 1000.0);
    printf("\n  relay     %" PRIu64 " bytes through ours\n", c->relay_bytes);
}

static void print_state(const struct chq_event *e)
{
    if (e->call.phase == CHQ_PHASE_CONNECTED)
        printf("* call with %s: connected, path %s\n", e->handle, way_name(e->call.way));
    else
        printf("* call with %s: %s\n", e->handle, phase_name(e->call.phase));
}

void cli_print_event(const struct cli *cli, const struct chq_event *e)
{
    char when[32], credit[32];
    if (cli->options.json) {
        json_event(e);
        return;
    }
    cli_time(e->sent_ms != 0 ? e->sent_ms : e->at_ms, when);
    switch (e->kind) {
    case CHQ_EVENT_PROGRESS: printf("* %s\n", e->text); break;
    case CHQ_EVENT_READY: printf("* connected as %s\n", e->handle); break;
    case CHQ_EVENT_CONTACT: printf("* %s is a contact now\n", e->handle); break;
    case CHQ_EVENT_SENT: printf("* message %" PRIu64 " to %s: sent\n", e->number, e->handle); break;
    case CHQ_EVENT_DELIVERED: printf("* message %" PRIu64 " to %s: delivered\n", e->number, e->handle); break;
    case CHQ_EVENT_RECEIVED:
        printf("%s %s: ", when, e->handle[0] != 0 ? e->handle : "?");
        cli_print_safe(stdout, e->text, e->text_size);
        printf("\n");
        break;
    case CHQ_EVENT_LINK:
        if (e->up)
            printf("* relay %s: connected\n", e->host);
        else
            printf("* %s\n", e->text);
        break;
    case CHQ_EVENT_WALLET: cli_print_wallet(cli, &e->wallet); break;
    case CHQ_EVENT_TRANSFERRED:
        cli_credit(e->amount_micro, credit);
        printf("* paid %s credit to %s\n", credit, e->handle);
        break;
    case CHQ_EVENT_CALL_INCOMING: printf("* %s is calling: type 'answer' or 'hangup'\n", e->handle); break;
    case CHQ_EVENT_CALL_STATE: print_state(e); break;
    case CHQ_EVENT_CALL_ENDED: cli_print_call(cli, e); break;
    case CHQ_EVENT_ERROR:
    case CHQ_EVENT_SECURITY:
    case CHQ_EVENT_STOPPED:
    default:
        fputs(e->kind == CHQ_EVENT_SECURITY ? "chasqui: warning: " : "chasqui: ", stderr);
        cli_print_safe(stderr, e->text, e->text_size);
        fputc('\n', stderr);
        break;
    }
    fflush(stdout);
}

void cli_print_wallet(const struct cli *cli, const struct chq_wallet *wallet)
{
    char balance[32], deposits[32], paid[32];
    if (cli->options.json) {
        json_t *o = json_object();
        json_wallet(o, wallet);
        emit(o);
        return;
    }
    cli_credit(wallet->balance_micro, balance);
    cli_credit(wallet->deposits_micro, deposits);
    cli_credit(wallet->paid_micro, paid);
    printf("balance   %s credit\ndeposits  %s credit in %u channel%s with relays\npaid      %s credit to "
           "relays so far\n",
        balance, deposits, wallet->channels, wallet->channels == 1 ? "" : "s", paid);
}

void cli_print_message(const struct cli *cli, const char *handle, const struct chq_message *m)
{
    static const char *const states[] = {"waiting", "sent", "delivered", "received"};
    const char *state = (unsigned)m->state < 4 ? states[m->state] : "?";
    char when[32];
    if (cli->options.json) {
        json_t *o = json_object();
        set_text(o, "handle", handle);
        set_number(o, "number", m->number);
        set_hex(o, "message_id", m->id, 16);
        set_text(o, "state", state);
        set_number(o, "sent_ms", m->sent_ms);
        set_number(o, "stored_ms", m->stored_ms);
        set_number(o, "state_ms", m->state_ms);
        json_object_set_new(o, "text", json_stringn(m->text, m->text_size));
        emit(o);
        return;
    }
    cli_time(m->sent_ms, when);
    printf("%s %s: ", when, m->state == CHQ_MESSAGE_RECEIVED ? handle : "me");
    cli_print_safe(stdout, m->text, m->text_size);
    if (m->state != CHQ_MESSAGE_RECEIVED)
        printf("  [%s]", state);
    printf("\n");
}

void cli_print_contact(const struct cli *cli, const struct chq_contact *c)
{
    char account[65];
    cli_hex(c->account, 32, account);
    if (cli->options.json) {
        json_t *o = json_object();
        set_text(o, "handle", c->handle);
        set_hex(o, "account", c->account, 32);
        json_object_set_new(o, "known", json_boolean(c->known));
        set_number(o, "devices", c->devices);
        set_number(o, "waiting", c->waiting);
        emit(o);
        return;
    }
    if (!c->known)
        printf("%-16s (the ledger was not asked yet)\n", c->handle);
    else
        printf("%-16s account %.16s..., %u device%s, %u waiting\n", c->handle, account, c->devices,
            c->devices == 1 ? "" : "s", c->waiting);
}

void cli_print_queued(const struct cli *cli, const char *handle, const uint8_t id[16])
{
    if (!cli->options.json)
        return;
    json_t *o = json_object();
    set_text(o, "event", "queued");
    set_text(o, "handle", handle);
    set_hex(o, "message_id", id, 16);
    emit(o);
}

void cli_print_failure(const struct cli *cli, enum chq_error error, const char *why)
{
    if (!cli->options.json) {
        cli_fail(error, why);
        return;
    }
    const char *text = why != NULL && why[0] != 0 ? why : chq_error_text(error);
    json_t *o = json_object();
    set_text(o, "event", "error");
    set_number(o, "error", error);
    set_text(o, "text", text);
    emit(o);
}
