/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CHQ_RELAY_DAEMON_LEDGER_INFO_H
#define CHQ_RELAY_DAEMON_LEDGER_INFO_H

#include "core/base/log.h"
#include "relay/daemon/config.h"

/*
 * Ask the ledger at config->ledger_address for its chain id and validators and put them into the configuration: the trust of an
 * operator in the own ledger, taken once when the relay is made. The ledger's newest header must verify under them. Blocks for
 * at most some seconds. CHQ_IO: not reached; CHQ_AUTH, CHQ_MALFORMED, CHQ_UNSUPPORTED: what it says is not right. The log says why.
 */
CHQ_MUST_CHECK enum chq_err chq_ledger_info_fetch(struct chq_relay_config *config, const struct chq_log *log);

#endif
