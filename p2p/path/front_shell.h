/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CHQ_P2P_PATH_FRONT_SHELL_H
#define CHQ_P2P_PATH_FRONT_SHELL_H

#include <glib.h>

#include "core/base/log.h"
#include "p2p/path/front.h"

/* The front's sockets on a GMainContext: one for the agent, on an own address and
 * deaf to everybody else, and one towards the relay for each flow. */
struct chq_front_shell;

/* Open the front for the TURN server at `relay`. CHQ_IO: no socket; CHQ_NO_MEMORY. */
CHQ_MUST_CHECK enum chq_err chq_front_shell_new(GMainContext *context, const struct chq_address *relay,
    const struct chq_log *log, struct chq_front_shell **out);
void chq_front_shell_free(struct chq_front_shell *shell);

/* Return where the agent finds its TURN server. */
struct chq_address chq_front_shell_address(const struct chq_front_shell *shell);
/* Return the core, for its statistics; borrowed. */
const struct chq_front *chq_front_shell_core(const struct chq_front_shell *shell);

#endif
