/* SPDX-License-Identifier: Apache-2.0 */
#include "relay/daemon/config.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "core/base/limits.h"
#include "core/base/text.h"
#include "relay/meter/meter.h"

enum kind { NUMBER, CREDIT, TEXT, YES_NO, VALIDATOR, PEER, STATIC_USER, SHARED_SECRET };

struct setting {
    const char *section, *key;
    enum kind kind;
    size_t at;
    uint64_t min, max; /* of numbers; of texts: length */
    const char *comment; /* NULL: not written by init unless it is set */
};

#define AT(member) offsetof(struct chq_relay_config, member)

static const struct setting settings[] = {
    {"relay", "host", TEXT, AT(host), 1, 255,
        "Name or address that clients connect to; it goes into the ledger's relay record."},
    {"relay", "port", NUMBER, AT(port), 1, 65535, "TCP port of the WebSocket (TLS 1.3)."},
    {"relay", "bind", TEXT, AT(bind), 1, 64, "Numeric address to listen on; 0.0.0.0 is every IPv4 address."},
    {"relay", "region", TEXT, AT(region), 0, 32,
        "Free text for clients that choose a relay near them, as 'sa-west'."},
    {"relay", "price", CREDIT, AT(price_micro), 1, CHQ_MICROCREDIT_SUPPLY_MAX,
        "Credit per quantum of carried bytes."},
    {"relay", "quantum", NUMBER, AT(quantum_bytes), CHQ_METER_QUANTUM_BYTES_MIN, CHQ_METER_QUANTUM_BYTES_MAX,
        "Bytes that one token pays for: the most that can be lost to a payer who stops paying."},
    {"relay", "grant", CREDIT, AT(grant_micro), 0, CHQ_MICROCREDIT_SUPPLY_MAX,
        "Credit given once to each new account that asks, from this relay's own balance; 0 gives none."},
    {"relay", "grants_per_day", NUMBER, AT(grants_per_day), 0, 1000000,
        "At most so many of these in 24 hours."},
    {"relay", "settle_after", NUMBER, AT(settle_after_s), 1, 86400,
        "Seconds until unsettled tokens are put on the ledger."},
    {"relay", "connections", NUMBER, AT(connections_max), 1, 65536, "Connections at the same time."},
    {"relay", "connections_per_address", NUMBER, AT(connections_per_address_max), 1, 65536,
        "The same from one address."},
    {"relay", "queues", NUMBER, AT(queues_max), 1, 100000000, "Mailbox queues that are kept."},
    {"relay", "channels", NUMBER, AT(channels_max), 1, 1000000, "Payment channels that are kept."},
    {"relay", "idle", NUMBER, AT(idle_s), 10, 86400,
        "Seconds after which a connection without a payment channel that says nothing is closed."},
    {"ledger", "address", TEXT, AT(ledger_address), 1, 107,
        "The ledger: path of its socket, or numeric address and port."},
    {"ledger", "chain", TEXT, AT(chain_id), 1, CHQ_CHAIN_ID_CHARS_MAX, "Its chain id."},
    {"ledger", "validator", VALIDATOR, 0, 1, CHQ_VALIDATORS_MAX,
        "Whose signatures are believed: public key in hexadecimal, colon, power. One line each."},
    {"turn", "port", NUMBER, AT(turn_port), 0, 65535, "UDP port for calls (TURN); 0 switches it off."},
    {"turn", "tcp_port", NUMBER, AT(turn_tcp_port), 0, 65535,
        "TCP port for calls of clients whose network lets no UDP out; 0 switches it off."},
    {"turn", "tls_port", NUMBER, AT(turn_tls_port), 0, 65535,
        "The same over TLS, with tls.crt and tls.key; 0 switches it off."},
    {"turn", "listen", TEXT, AT(turn_listen), 1, 64, "Numeric address to listen on."},
    {"turn", "relay_address", TEXT, AT(turn_relay_address), 1, 64,
        "Numeric address where relayed ports are opened; not 0.0.0.0."},
    {"turn", "advertised_address", TEXT, AT(turn_advertised), 1, 64,
        "What clients are told instead of it, where a NAT maps one to one."},
    {"turn", "port_min", NUMBER, AT(turn_port_min), 1024, 65535, "First and last relayed port."},
    {"turn", "port_max", NUMBER, AT(turn_port_max), 1024, 65535, NULL},
    {"turn", "allow_peer", PEER, 0, 0, CHQ_CONFIG_PEERS_MAX,
        "Private and other special networks that may be relayed to although they are; one prefix a line, "
        "none by default."},
    {"turn", "static_user", STATIC_USER, 0, 0, CHQ_CONFIG_STATIC_USERS_MAX,
        "A TURN login that nobody pays for, as name:password; for tests only."},
    {"turn", "shared_secret", SHARED_SECRET, 0, 0, CHQ_TURN_APPS_MAX,
        "An app whose server makes time-limited TURN credentials, as name:secret; one app a line."},
    {"turn", "static_unmetered", YES_NO, AT(turn_static_unmetered), 0, 0,
        "Must be yes where there is a static_user or a shared_secret: nobody pays for what they relay."},
};
#define SETTINGS (sizeof settings / sizeof *settings)

void chq_relay_config_defaults(struct chq_relay_config *config)
{
    memset(config, 0, sizeof *config);
    snprintf(config->host, sizeof config->host, "127.0.0.1");
    snprintf(config->bind, sizeof config->bind, "0.0.0.0");
    snprintf(config->turn_listen, sizeof config->turn_listen, "0.0.0.0");
    snprintf(config->turn_relay_address, sizeof config->turn_relay_address, "127.0.0.1");
    config->port = 7443;
    config->price_micro = 100;
    config->quantum_bytes = CHQ_QUANTUM_BYTES_DEFAULT;
    config->grant_micro = 1000000;
    config->grants_per_day = 1000;
    config->settle_after_s = 60;
    config->connections_max = 4096;
    config->connections_per_address_max = 100;
    config->queues_max = 100000;
    config->channels_max = 10000;
    config->idle_s = 120;
    config->turn_port = 3478;
    config->turn_port_min = 49152;
    config->turn_port_max = 65535;
}

struct parser {
    struct chq_relay_config *config;
    char *error;
    unsigned line;
    char section[32];
    bool seen[SETTINGS];
};

static enum chq_err wrong(struct parser *p, const char *what, const char *detail)
{
    snprintf(p->error, CHQ_CONFIG_ERROR_BYTES, "line %u: %s%s", p->line, what, detail);
    return CHQ_MALFORMED;
}

static enum chq_err wrong_value(
    struct parser *p, const struct setting *s, const char *value, const char *allowed)
{
    if (p->line == 0) /* not from a file */
        snprintf(p->error, CHQ_CONFIG_ERROR_BYTES, "%s", allowed);
    else
        snprintf(p->error, CHQ_CONFIG_ERROR_BYTES, "line %u: [%s] %s = %.80s: %s", p->line, s->section,
            s->key, value, allowed);
    return CHQ_MALFORMED;
}

static enum chq_err set_validator(struct parser *p, const struct setting *s, char *value)
{
    struct chq_relay_config *config = p->config;
    static const char allowed[] =
        "it takes 64 hexadecimal digits, a colon and a power from 1, as 'ab...12:1'";
    char *colon = strchr(value, ':');
    struct chq_validator *validator = &config->validators[config->validators_count];
    if (config->validators_count == CHQ_VALIDATORS_MAX)
        return wrong_value(p, s, value, "at most 150 validators");
    if (colon == NULL || colon - value != 64)
        return wrong_value(p, s, value, allowed);
    *colon = 0;
    bool fine = chq_hex_read(value, validator->key, 32) == CHQ_OK &&
                chq_decimal_read(colon + 1, CHQ_VALIDATOR_POWER_MAX - 1, &validator->power) == CHQ_OK &&
                validator->power > 0;
    *colon = ':';
    if (!fine)
        return wrong_value(p, s, value, allowed);
    for (uint32_t i = 0; i < config->validators_count; i++)
        if (memcmp(config->validators[i].key, validator->key, 32) == 0)
            return wrong_value(p, s, value, "this validator stands here twice");
    config->validators_count++;
    return CHQ_OK;
}

/* The secret is never part of a message: messages end up in logs. */
static enum chq_err set_shared_secret(struct parser *p, const struct setting *s, const char *value)
{
    struct chq_relay_config *config = p->config;
    size_t name = strcspn(value, ":"), size = strlen(value);
    if (config->turn_shared_secret_count == CHQ_TURN_APPS_MAX)
        return wrong_value(p, s, "(not shown)", "at most 8 apps");
    if (value[name] == 0 || name == 0 || name > CHQ_CONFIG_SECRET_NAME_MAX ||
        size - name - 1 < CHQ_TURN_SECRET_BYTES_MIN || size - name - 1 > CHQ_TURN_SECRET_BYTES_MAX)
        return wrong_value(p, s, "(not shown)",
            "it takes name:secret, a name of 1 to 32 characters and a secret of 16 to 128");
    for (uint32_t i = 0; i < config->turn_shared_secret_count; i++)
        if (strncmp(config->turn_shared_secret[i], value, name + 1) == 0)
            return wrong_value(p, s, "(not shown)", "this name stands here twice");
    memcpy(config->turn_shared_secret[config->turn_shared_secret_count++], value, size + 1);
    return CHQ_OK;
}

static enum chq_err set_list(struct parser *p, const struct setting *s, char *value)
{
    struct chq_relay_config *config = p->config;
    size_t size = strlen(value);
    if (s->kind == PEER) {
        if (config->turn_allow_peer_count == CHQ_CONFIG_PEERS_MAX)
            return wrong_value(p, s, value, "at most 32 prefixes");
        if (size == 0 || size >= sizeof config->turn_allow_peer[0] || strchr(value, '/') == NULL)
            return wrong_value(p, s, value, "it takes a prefix, as 10.0.0.0/8 or fd00::/8");
        memcpy(config->turn_allow_peer[config->turn_allow_peer_count++], value, size + 1);
        return CHQ_OK;
    }
    if (s->kind == SHARED_SECRET)
        return set_shared_secret(p, s, value);
    const char *colon = strchr(value, ':');
    if (config->turn_static_user_count == CHQ_CONFIG_STATIC_USERS_MAX)
        return wrong_value(p, s, value, "at most 8 static users");
    if (colon == NULL || colon == value || colon[1] == 0 || size >= CHQ_TURN_USERNAME_BYTES_MAX)
        return wrong_value(p, s, "(not shown)", "it takes name:password, together at most 127 characters");
    memcpy(config->turn_static_user[config->turn_static_user_count++], value, size + 1);
    return CHQ_OK;
}

static enum chq_err set(struct parser *p, const struct setting *s, char *value)
{
    uint8_t *at = (uint8_t *)p->config + s->at;
    char allowed[160];
    uint64_t number = 0;
    int64_t credit = 0;
    switch (s->kind) {
    case NUMBER:
        snprintf(allowed, sizeof allowed, "it takes a number from %llu to %llu", (unsigned long long)s->min,
            (unsigned long long)s->max);
        if (chq_decimal_read(value, s->max, &number) != CHQ_OK || number < s->min)
            return wrong_value(p, s, value, allowed);
        memcpy(at, &number, sizeof number);
        return CHQ_OK;
    case CREDIT:
        if (chq_credit_read(value, &credit) != CHQ_OK || (uint64_t)credit < s->min ||
            (uint64_t)credit > s->max)
            return wrong_value(p, s, value,
                s->min > 0 ? "it takes credit with at most 6 places, from 0.000001, as 0.25"
                           : "it takes credit with at most 6 places, as 1 or 0.25");
        number = (uint64_t)credit;
        memcpy(at, &number, sizeof number);
        return CHQ_OK;
    case TEXT:
        snprintf(allowed, sizeof allowed, "it takes %llu to %llu characters", (unsigned long long)s->min,
            (unsigned long long)s->max);
        if (strlen(value) < s->min || strlen(value) > s->max)
            return wrong_value(p, s, value, allowed);
        memcpy(at, value, strlen(value) + 1);
        return CHQ_OK;
    case YES_NO:
        if (strcmp(value, "yes") != 0 && strcmp(value, "no") != 0)
            return wrong_value(p, s, value, "it takes yes or no");
        *(bool *)(void *)at = value[0] == 'y';
        return CHQ_OK;
    case VALIDATOR: return set_validator(p, s, value);
    case PEER:
    case SHARED_SECRET:
    case STATIC_USER: return set_list(p, s, value);
    }
    return CHQ_MALFORMED;
}

static char *trim(char *text)
{
    while (*text == ' ' || *text == '\t')
        text++;
    size_t size = strlen(text);
    while (size > 0 && (text[size - 1] == ' ' || text[size - 1] == '\t' || text[size - 1] == '\r'))
        text[--size] = 0;
    return text;
}

static bool section_exists(const char *name)
{
    for (size_t i = 0; i < SETTINGS; i++)
        if (strcmp(settings[i].section, name) == 0)
            return true;
    return false;
}

static enum chq_err unknown_key(struct parser *p, const char *key)
{
    size_t n = (size_t)snprintf(p->error, CHQ_CONFIG_ERROR_BYTES,
        "line %u: [%s] has no key '%.40s'; it takes", p->line, p->section, key);
    for (size_t i = 0; i < SETTINGS; i++)
        if (strcmp(settings[i].section, p->section) == 0 && n < CHQ_CONFIG_ERROR_BYTES)
            n += (size_t)snprintf(p->error + n, CHQ_CONFIG_ERROR_BYTES - n, " %s", settings[i].key);
    return CHQ_MALFORMED;
}

static enum chq_err read_line(struct parser *p, char *line)
{
    line = trim(line);
    if (*line == 0 || *line == '#' || *line == ';')
        return CHQ_OK;
    size_t size = strlen(line);
    if (*line == '[') {
        if (line[size - 1] != ']' || size - 2 >= sizeof p->section)
            return wrong(p, "a section is written as [relay]", "");
        line[size - 1] = 0;
        if (!section_exists(line + 1))
            return wrong(p, "there is no such section; sections are [relay], [ledger] and [turn]", "");
        snprintf(p->section, sizeof p->section, "%s", line + 1);
        return CHQ_OK;
    }
    char *equals = strchr(line, '=');
    if (equals == NULL)
        return wrong(p, "expected 'key = value', [section] or a comment that starts with #", "");
    if (p->section[0] == 0)
        return wrong(p, "put a section, [relay], [ledger] or [turn], before the first key", "");
    *equals = 0;
    char *key = trim(line), *value = trim(equals + 1);
    for (size_t i = 0; i < SETTINGS; i++) {
        const struct setting *s = &settings[i];
        if (strcmp(s->section, p->section) != 0 || strcmp(s->key, key) != 0)
            continue;
        bool repeats =
            s->kind == VALIDATOR || s->kind == PEER || s->kind == STATIC_USER || s->kind == SHARED_SECRET;
        if (p->seen[i] && !repeats)
            return wrong(p, "given twice: ", key);
        p->seen[i] = true;
        return set(p, s, value);
    }
    return unknown_key(p, key);
}

static enum chq_err check_whole(struct parser *p)
{
    const struct chq_relay_config *config = p->config;
    const char *why = NULL;
    if (config->ledger_address[0] == 0)
        why = "[ledger] address is missing: the path of the ledger's socket";
    else if (config->chain_id[0] == 0)
        why = "[ledger] chain is missing";
    else if (config->validators_count == 0)
        why = "[ledger] validator is missing: without one no answer of the ledger can be believed";
    else if (config->turn_port_min > config->turn_port_max)
        why = "[turn] port_min is above port_max";
    else if (config->turn_static_user_count > 0 && !config->turn_static_unmetered)
        why = "[turn] static_user relays without payment; add 'static_unmetered = yes' if that is meant, or "
              "take it out";
    else if (config->turn_shared_secret_count > 0 && !config->turn_static_unmetered)
        why =
            "[turn] shared_secret relays without payment; add 'static_unmetered = yes' if that is meant, or "
            "take it out";
    else
        return CHQ_OK;
    snprintf(p->error, CHQ_CONFIG_ERROR_BYTES, "%s", why);
    return CHQ_MALFORMED;
}

enum chq_err chq_relay_config_read(
    struct chq_relay_config *config, struct chq_bytes text, char error[CHQ_CONFIG_ERROR_BYTES])
{
    struct parser p = {.config = config, .error = error};
    char line[1024];
    chq_relay_config_defaults(config);
    error[0] = 0;
    if (text.size > CHQ_CONFIG_BYTES_MAX) {
        snprintf(error, CHQ_CONFIG_ERROR_BYTES, "the file is above 64 KiB");
        return CHQ_LIMIT;
    }
    const char *at = (const char *)text.data, *end = at + text.size;
    while (at < end) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        size_t size = (size_t)((stop == NULL ? end : stop) - at);
        p.line++;
        if (size >= sizeof line)
            return wrong(&p, "above 1,023 characters", "");
        if (!chq_utf8_valid(chq_bytes(at, size)))
            return wrong(&p, "not UTF-8 text", "");
        memcpy(line, at, size);
        line[size] = 0;
        CHQ_TRY(read_line(&p, line));
        at = stop == NULL ? end : stop + 1;
    }
    return check_whole(&p);
}

enum chq_err chq_relay_config_set(struct chq_relay_config *config, const char *section, const char *key,
    const char *value, char error[CHQ_CONFIG_ERROR_BYTES])
{
    struct parser p = {.config = config, .error = error};
    char copy[1024];
    if (snprintf(copy, sizeof copy, "%s", value) >= (int)sizeof copy ||
        !chq_utf8_valid(chq_bytes_text(copy)) || strpbrk(copy, "\r\n") != NULL) {
        snprintf(error, CHQ_CONFIG_ERROR_BYTES, "it takes one short line of UTF-8 text");
        return CHQ_MALFORMED;
    }
    for (size_t i = 0; i < SETTINGS; i++)
        if (strcmp(settings[i].section, section) == 0 && strcmp(settings[i].key, key) == 0)
            return set(&p, &settings[i], copy);
    snprintf(error, CHQ_CONFIG_ERROR_BYTES, "there is no such setting");
    return CHQ_NOT_FOUND;
}

static void put(struct chq_writer *w, const char *text)
{
    chq_write_bytes(w, text, strlen(text));
}

/* `key = value` lines of one setting; a comment sign in front of one that is not set. */
static void write_setting(
    struct chq_writer *w, const struct setting *s, const struct chq_relay_config *config)
{
    const uint8_t *at = (const uint8_t *)config + s->at;
    char line[512], value[CHQ_CONFIG_TEXT_BYTES] = "";
    uint64_t number = 0;
    uint32_t count = 1;
    if (s->kind == NUMBER || s->kind == CREDIT)
        memcpy(&number, at, sizeof number);
    if (s->kind == VALIDATOR)
        count = config->validators_count;
    else if (s->kind == PEER)
        count = config->turn_allow_peer_count;
    else if (s->kind == STATIC_USER)
        count = config->turn_static_user_count;
    else if (s->kind == SHARED_SECRET)
        count = config->turn_shared_secret_count;
    for (uint32_t i = 0; i < count; i++) {
        char hex[65];
        switch (s->kind) {
        case NUMBER: snprintf(value, sizeof value, "%llu", (unsigned long long)number); break;
        case CREDIT: chq_credit_write((int64_t)number, value); break;
        case TEXT: snprintf(value, sizeof value, "%s", (const char *)at); break;
        case YES_NO:
            snprintf(value, sizeof value, "%s", *(const bool *)(const void *)at ? "yes" : "no");
            break;
        case VALIDATOR:
            chq_hex_write(chq_bytes(config->validators[i].key, 32), hex);
            snprintf(value, sizeof value, "%s:%llu", hex, (unsigned long long)config->validators[i].power);
            break;
        case PEER: snprintf(value, sizeof value, "%s", config->turn_allow_peer[i]); break;
        case STATIC_USER: snprintf(value, sizeof value, "%s", config->turn_static_user[i]); break;
        case SHARED_SECRET: snprintf(value, sizeof value, "%s", config->turn_shared_secret[i]); break;
        }
        bool unset = s->kind == TEXT && value[0] == 0 && s->min > 0;
        snprintf(line, sizeof line, "%s%s = %s\n", unset ? "# " : "", s->key, value);
        put(w, line);
    }
    if (count == 0) {
        snprintf(line, sizeof line, "# %s =\n", s->key);
        put(w, line);
    }
}

void chq_relay_config_write(struct chq_writer *w, const struct chq_relay_config *config)
{
    const char *section = "";
    put(w, "# The configuration of chasqui-relay. It is read when the relay starts.\n");
    for (size_t i = 0; i < SETTINGS; i++) {
        const struct setting *s = &settings[i];
        if (strcmp(section, s->section) != 0) {
            section = s->section;
            put(w, "\n[");
            put(w, section);
            put(w, "]\n");
        }
        if (s->comment != NULL) {
            put(w, "# ");
            put(w, s->comment);
            put(w, "\n");
        }
        write_setting(w, s, config);
    }
}
