/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CHQ_LEDGER_DAEMON_CONFIG_H
#define CHQ_LEDGER_DAEMON_CONFIG_H

#include <limits.h>
#include <stdbool.h>

#include "core/base/bytes.h"
#include "core/base/err.h"
#include "core/base/limits.h"

/*
 * ledger.conf in the chain's folder: `key = value` lines; comments start with # or ; at the start of a line. Strict:
 * what is not known, given twice or not allowed is an error that names the line. The command line wins over it.
 */
#define CHQ_LEDGER_CONFIG_FILE "ledger.conf"

struct chq_ledger_config {
    char socket[PATH_MAX]; /* "": ledger.sock in the folder */
    char listen[128]; /* "": no TCP */
    bool verbose;
};

/* Read the file's text. CHQ_MALFORMED: `reason` (512 bytes) says which line and what is allowed. */
CHQ_MUST_CHECK enum chq_err chq_ledger_config_read(
    struct chq_ledger_config *config, struct chq_bytes text, char *reason);

/* The commented file that init writes: every key with its default. */
extern const char chq_ledger_config_template[];

#endif
