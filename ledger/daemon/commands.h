/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CHQ_LEDGER_DAEMON_COMMANDS_H
#define CHQ_LEDGER_DAEMON_COMMANDS_H

#include <stdbool.h>

/* The verbs of chasqui-ledger. Each prints to stdout, explains errors on stderr and returns the exit status. */
struct chq_ledger_options {
    const char *dir; /* the chain's folder */
    const char *socket; /* NULL: DIR/ledger.sock */
    const char *listen;
    const char *chain_id;
    const char *to, *amount; /* issue */
    bool json, verbose;
};

#define CHQ_EXIT_USAGE 2

int chq_ledger_init(const struct chq_ledger_options *options);
int chq_ledger_run(const struct chq_ledger_options *options);
/* what: "info", or "account", "handle", "relay", "channel" with a name. */
int chq_ledger_query(const struct chq_ledger_options *options, const char *what, const char *name);
int chq_ledger_issue(const struct chq_ledger_options *options);
int chq_ledger_verify(const struct chq_ledger_options *options);

#endif
