/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CHQ_P2P_PATH_REFLEXIVE_SHELL_H
#define CHQ_P2P_PATH_REFLEXIVE_SHELL_H

#include <glib.h>

#include "p2p/path/reflexive.h"

/*
 * Ask through a socket that somebody else reads: answers to us are taken from its head, everything else is left there.
 * Where the owner is faster, the answer is lost and asked for again.
 */
struct chq_reflexive_shell;

/* Begin on `context`. `fd` must stay open until free. CHQ_NO_MEMORY. */
CHQ_MUST_CHECK enum chq_err chq_reflexive_shell_new(GMainContext *context, int fd,
    const struct chq_address *server, const struct chq_random *random,
    void (*on_mapped)(void *user, const struct chq_address *mapped), void *user,
    struct chq_reflexive_shell **out);
void chq_reflexive_shell_free(struct chq_reflexive_shell *shell);

#endif
