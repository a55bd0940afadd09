/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CHQ_LEDGER_LIGHT_LIGHT_H
#define CHQ_LEDGER_LIGHT_LIGHT_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/bytes.h"
#include "core/base/err.h"
#include "core/wire/header.h"
#include "core/wire/record.h"
#include "core/wire/validator.h"

/*
 * The light client: believes a ledger's answer only with the proof and the validators' signatures. No I/O, no clock:
 * the caller carries bytes and gives the time. One per chain; not thread-safe.
 */

#define CHQ_LIGHT_REASON_BYTES      128
#define CHQ_LIGHT_MAX_AGE_S_DEFAULT 300 /* an honest ledger refreshes its header at 30 s */
#define CHQ_LIGHT_MAX_AHEAD_S       10 /* clock drift that is tolerated */

struct chq_light;

struct chq_light_trust {
    struct chq_bytes chain_id;
    const struct chq_validator *validators;
    size_t validators_count;
    uint64_t max_age_s; /* refuse headers older than this; 0: CHQ_LIGHT_MAX_AGE_S_DEFAULT */
};

/* What was wrong with an answer, finer than enum chq_err. */
enum chq_light_fault {
    CHQ_LIGHT_FINE = 0,
    CHQ_LIGHT_BAD_FORM, /* CHQ_MALFORMED: not a reply, or not to this request */
    CHQ_LIGHT_REFUSED, /* the error that the ledger sent */
    CHQ_LIGHT_WRONG_CHAIN, /* CHQ_AUTH */
    CHQ_LIGHT_WRONG_VALIDATORS, /* CHQ_AUTH: the header names another validator set */
    CHQ_LIGHT_BAD_SIGNATURE, /* CHQ_AUTH: two thirds of the power did not sign */
    CHQ_LIGHT_STALE, /* CHQ_EXPIRED: header older than max_age_s */
    CHQ_LIGHT_FROM_THE_FUTURE, /* CHQ_EXPIRED: header ahead of our clock */
    CHQ_LIGHT_OLD_ANSWER, /* CHQ_EXPIRED: a newer answer for this record was seen */
    CHQ_LIGHT_BAD_PROOF, /* CHQ_AUTH: the proof does not lead to the signed state */
    CHQ_LIGHT_WRONG_RECORD /* CHQ_AUTH: the value is not of this kind or names another key */
};

struct chq_light_answer {
    bool present; /* false: proved absent */
    struct chq_bytes value; /* borrowed from the reply */
    uint64_t height; /* the state after this height is what was proved */
    int64_t time_s; /* of the header */
    enum chq_light_fault fault; /* set on error too */
    char reason[CHQ_LIGHT_REASON_BYTES]; /* for people; empty when fine */
};

/* Make a light client. Copies the trust. CHQ_MALFORMED: no or too many validators, or a chain id that is none. */
CHQ_MUST_CHECK enum chq_err chq_light_new(struct chq_light **out, const struct chq_light_trust *trust);
void chq_light_free(struct chq_light *light); /* NULL is fine */

/*
 * Check the reply to QUERY (kind, key) at time `now_s`. CHQ_OK: answer->present says whether there is a record, and
 * ->value is its value. Otherwise the value is empty, and ->fault and ->reason say why; see enum chq_light_fault for
 * which code comes back. Remembers the height of each record's newest answer and refuses older ones; its memory is
 * bounded, and where a record fell out of it, no answer older than any forgotten one is taken.
 */
CHQ_MUST_CHECK enum chq_err chq_light_verify_query(struct chq_light *light, enum chq_record_kind kind,
    const uint8_t key[32], struct chq_bytes reply, uint64_t now_s, struct chq_light_answer *answer);

/* Check one signed header (of an INFO reply) the same way; the answer has height (the header's), time and fault. */
CHQ_MUST_CHECK enum chq_err chq_light_verify_header(
    struct chq_light *light, struct chq_bytes signed_header, uint64_t now_s, struct chq_light_answer *answer);

/*
 * The oldest height whose answers are taken; a client stores it (with what it knew) and gives it back at the next
 * start, so that a restart cannot be used to show it an old state.
 */
uint64_t chq_light_newest_height(const struct chq_light *light);
void chq_light_raise_floor(struct chq_light *light, uint64_t height);

#endif
