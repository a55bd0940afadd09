/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CHQ_RELAY_DAEMON_HOME_H
#define CHQ_RELAY_DAEMON_HOME_H

#include "core/base/log.h"
#include "core/identity/account.h"
#include "relay/daemon/config.h"

/*
 * A relay's directory (mode 0700):
 *   relay.conf    the configuration
 *   account.key   the recovery phrase of the relay's account (mode 0600)
 *   tls.key       private key of the WebSocket (mode 0600)   tls.crt   its certificate, self-signed
 *   relay.db      mailboxes and channels                     control   socket for 'chasqui-relay status'
 */
#define CHQ_HOME_PATH_BYTES 4096

struct chq_relay_home {
    char dir[CHQ_HOME_PATH_BYTES];
    struct chq_relay_config config;
    struct chq_account *account; /* chq_secret_new memory */
    uint8_t pin[32]; /* SHA-256 of the TLS key's SubjectPublicKeyInfo */
};

/* Write "dir/name" to `out`; the directory was checked to be short enough. */
void chq_relay_home_path(char out[CHQ_HOME_PATH_BYTES], const char *dir, const char *name);

/* Read directory, configuration and keys. The log says what is wrong and what to do. CHQ_NOT_FOUND: there is no such
 * directory or no relay in it; CHQ_MALFORMED; CHQ_AUTH: a key file that others can read; CHQ_IO; CHQ_NO_MEMORY. */
CHQ_MUST_CHECK enum chq_err chq_relay_home_open(
    struct chq_relay_home *home, const char *dir, const struct chq_log *log);
void chq_relay_home_close(struct chq_relay_home *home);

/* Make the directory with these settings and new keys. CHQ_EXISTS when there is a relay in it already. */
CHQ_MUST_CHECK enum chq_err chq_relay_home_create(
    const char *dir, const struct chq_relay_config *config, const struct chq_log *log);

#endif
