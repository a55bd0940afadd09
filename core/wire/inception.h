/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CHQ_CORE_WIRE_INCEPTION_H
#define CHQ_CORE_WIRE_INCEPTION_H

#include "core/crypto/hash.h"
#include "core/wire/id.h"

#define CHQ_INCEPTION_BYTES 73 /* there is one length only */

/*
 * The first words of an account; its hash is the account id (docs/protocol.md section 1):
 *   {1: version uint (1), 2: root key b32, 3: next key hash b32}
 */
struct chq_inception {
    uint8_t root_key[CHQ_SIGN_PUBLIC_BYTES];
    uint8_t next_key_hash[CHQ_HASH_BYTES]; /* H("chasqui next key v1", next key) */
};

/* Append the inception to `w`. */
void chq_inception_write(struct chq_writer *w, const struct chq_inception *inception);

/* Read the inception that is all of `in`. CHQ_MALFORMED; CHQ_UNSUPPORTED for another version. */
CHQ_MUST_CHECK enum chq_err chq_inception_read(struct chq_inception *out, struct chq_bytes in);

/* Write the account id: H("chasqui account v1", the inception's bytes). */
void chq_inception_account_id(uint8_t out[CHQ_ACCOUNT_ID_BYTES], const struct chq_inception *inception);

/* Write H("chasqui next key v1", `next_key`). */
void chq_next_key_hash(uint8_t out[CHQ_HASH_BYTES], const uint8_t next_key[CHQ_SIGN_PUBLIC_BYTES]);

#endif
