/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CHQ_CORE_WIRE_INVITATION_H
#define CHQ_CORE_WIRE_INVITATION_H

#include "core/base/bytes.h"
#include "core/base/err.h"
#include "core/base/limits.h"
#include "core/wire/validator.h"

/* An invitation link: all that a new client needs to trust a chain and reach a relay (docs/protocol.md section 8). */

#define CHQ_INVITATION_PREFIX "chasqui:"

struct chq_invitation {
    char chain_id[CHQ_CHAIN_ID_CHARS_MAX + 1];
    size_t validators_count; /* 1 and up */
    struct chq_validator validators[CHQ_VALIDATORS_MAX];
    uint8_t relay[32];
    char host[256];
    uint16_t port;
    uint8_t pin[32];
};

/* Read a link; white space around it is taken off. CHQ_MALFORMED when it is not one. */
CHQ_MUST_CHECK enum chq_err chq_invitation_read(struct chq_bytes link, struct chq_invitation *out);
/* Append the link's characters (no terminator); errors stick to the writer. */
void chq_invitation_put(struct chq_writer *w, const struct chq_invitation *in);

#endif
