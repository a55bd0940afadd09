/* SPDX-License-Identifier: Apache-2.0 */
#include "ledger/daemon/config.h"

#include <stdio.h>
#include <string.h>

#define REASON_BYTES 512

const char chq_ledger_config_template[] =
    "# Settings of 'chasqui-ledger run' for this chain. Options of the command line win over them.\n"
    "\n"
    "# Where the Unix socket is; for your user only. Default: ledger.sock in this folder.\n"
    "#socket = /run/chasqui/ledger.sock\n"
    "\n"
    "# A loopback TCP address to listen on as well, as 127.0.0.1:7400 or [::1]:7400. Default: none.\n"
    "#listen = 127.0.0.1:7400\n"
    "\n"
    "# How much to log: notice, or info for more.\n"
    "#log = notice\n";

static struct chq_bytes trimmed(struct chq_bytes t)
{
    while (t.size > 0 && (t.data[0] == ' ' || t.data[0] == '\t'))
        t = chq_bytes(t.data + 1, t.size - 1);
    while (
        t.size > 0 && (t.data[t.size - 1] == ' ' || t.data[t.size - 1] == '\t' || t.data[t.size - 1] == '\r'))
        t.size--;
    return t;
}

static bool is_text(struct chq_bytes t, const char *text)
{
    return chq_bytes_equal(t, chq_bytes_text(text));
}

static bool copy_once(char *out, size_t cap, struct chq_bytes value)
{
    if (out[0] != '\0' || value.size == 0 || value.size >= cap || memchr(value.data, 0, value.size) != NULL)
        return false;
    memcpy(out, value.data, value.size);
    out[value.size] = '\0';
    return true;
}

static bool set(struct chq_ledger_config *config, struct chq_bytes key, struct chq_bytes value, char log[16])
{
    if (is_text(key, "socket"))
        return copy_once(config->socket, sizeof config->socket, value);
    if (is_text(key, "listen"))
        return copy_once(config->listen, sizeof config->listen, value);
    if (!is_text(key, "log") || !copy_once(log, 16, value))
        return false;
    config->verbose = strcmp(log, "info") == 0;
    return config->verbose || strcmp(log, "notice") == 0;
}

enum chq_err chq_ledger_config_read(struct chq_ledger_config *config, struct chq_bytes text, char *reason)
{
    char log[16] = "";
    *config = (struct chq_ledger_config){0};
    for (unsigned number = 1; text.size > 0; number++) {
        const uint8_t *end = memchr(text.data, '\n', text.size);
        struct chq_bytes line = chq_bytes(text.data, end != NULL ? (size_t)(end - text.data) : text.size);
        size_t used = line.size + (end != NULL);
        text = chq_bytes(text.data + used, text.size - used);
        line = trimmed(line);
        if (line.size == 0 || line.data[0] == '#' || line.data[0] == ';')
            continue;
        const uint8_t *equals = memchr(line.data, '=', line.size);
        struct chq_bytes key =
            trimmed(chq_bytes(line.data, equals != NULL ? (size_t)(equals - line.data) : 0));
        struct chq_bytes value = chq_bytes(NULL, 0);
        if (equals != NULL)
            value = trimmed(chq_bytes(equals + 1, line.size - (size_t)(equals - line.data) - 1));
        if (key.size == 0 || !set(config, key, value, log)) {
            snprintf(reason, REASON_BYTES,
                "ledger.conf, line %u: a line is 'socket = PATH', 'listen = ADDRESS' or 'log = notice|info', "
                "each at "
                "most once",
                number);
            return CHQ_MALFORMED;
        }
    }
    return CHQ_OK;
}
