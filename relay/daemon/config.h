/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CHQ_RELAY_DAEMON_CONFIG_H
#define CHQ_RELAY_DAEMON_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/bytes.h"
#include "core/base/limits.h"
#include "core/wire/validator.h"

/*
 * relay.conf: sections, `key = value` lines, comments from # or ; at the start of a line. Strict: what is not known, given
 * twice or out of range is an error that names the line and what is allowed.
 */
#define CHQ_CONFIG_TEXT_BYTES  256
#define CHQ_CONFIG_ERROR_BYTES 512

struct chq_relay_config {
    char host[CHQ_CONFIG_TEXT_BYTES], bind[CHQ_CONFIG_TEXT_BYTES], region[33];
    uint64_t port, price_micro, quantum_bytes, grant_micro, grants_per_day, settle_after_s;
    uint64_t connections_max, connections_per_address_max, queues_max, channels_max, idle_s;
    char ledger_address[CHQ_CONFIG_TEXT_BYTES], chain_id[CHQ_CHAIN_ID_CHARS_MAX + 1];
    struct chq_validator validators[CHQ_VALIDATORS_MAX];
    uint32_t validators_count;
    uint64_t turn_port, turn_tcp_port, turn_tls_port, turn_port_min, turn_port_max;
    char turn_listen[CHQ_CONFIG_TEXT_BYTES], turn_relay_address[CHQ_CONFIG_TEXT_BYTES],
        turn_advertised[CHQ_CONFIG_TEXT_BYTES];
    char turn_allow_peer[CHQ_CONFIG_PEERS_MAX][64];
    uint32_t turn_allow_peer_count;
    char turn_static_user[CHQ_CONFIG_STATIC_USERS_MAX][CHQ_CONFIG_TEXT_BYTES];
    uint32_t turn_static_user_count;
    char turn_shared_secret[CHQ_TURN_APPS_MAX][CHQ_CONFIG_TEXT_BYTES]; /* NAME:SECRET */
    uint32_t turn_shared_secret_count;
    bool turn_static_unmetered;
};

/* Fill in what holds where the file says nothing. */
void chq_relay_config_defaults(struct chq_relay_config *config);
/*
 * Read the file's text over the defaults. CHQ_MALFORMED or CHQ_LIMIT: `error` says in one line which line is wrong and what is
 * allowed; `config` is then not to be used.
 */
CHQ_MUST_CHECK enum chq_err chq_relay_config_read(
    struct chq_relay_config *config, struct chq_bytes text, char error[CHQ_CONFIG_ERROR_BYTES]);
/* Set one key as a line of the file would. CHQ_MALFORMED: `error` says what is allowed. */
CHQ_MUST_CHECK enum chq_err chq_relay_config_set(struct chq_relay_config *config, const char *section,
    const char *key, const char *value, char error[CHQ_CONFIG_ERROR_BYTES]);
/* Append the commented file that says what `config` says. */
void chq_relay_config_write(struct chq_writer *w, const struct chq_relay_config *config);

#endif
