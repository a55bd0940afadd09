/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CHQ_CORE_WIRE_SIGNED_H
#define CHQ_CORE_WIRE_SIGNED_H

#include "core/base/bytes.h"
#include "core/crypto/keys.h"

/*
 * The container of everything signed (docs/protocol.md section 1):
 *   {1: body bytes, 2: signature bytes of 64}, Ed25519 over H(domain, body).
 */
#define CHQ_SIGNED_OVERHEAD_BYTES_MAX 74 /* what the container adds to its body */

/* Sign `body` with `pair` under `domain` and append the container to `w`; errors stick to the writer. */
void chq_signed_write(
    struct chq_writer *w, const struct chq_sign_pair *pair, const char *domain, struct chq_bytes body);

/*
 * Read the container that is all of `in`, check its signature and give its body (borrowed from `in`, at most
 * `body_bytes_max`). CHQ_MALFORMED for the form, CHQ_AUTH for the signature; then `body` is empty.
 */
CHQ_MUST_CHECK enum chq_err chq_signed_open(struct chq_bytes *body, struct chq_bytes in,
    size_t body_bytes_max, const uint8_t public_key[CHQ_SIGN_PUBLIC_BYTES], const char *domain);

/*
 * Give the body of the container `in` WITHOUT checking the signature: only to learn which key to check it with,
 * or for a copy whose signature was checked when it was stored. CHQ_MALFORMED.
 */
CHQ_MUST_CHECK enum chq_err chq_signed_peek(
    struct chq_bytes *body, struct chq_bytes in, size_t body_bytes_max);

#endif
