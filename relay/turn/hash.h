/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CHQ_RELAY_TURN_HASH_H
#define CHQ_RELAY_TURN_HASH_H

#include "core/base/err.h"
#include "core/wire/stun.h"

/* The hash functions of STUN from OpenSSL, with contexts made once (a one-shot HMAC costs seven times as much). For
 * one thread at a time. Part of the shell: the TURN core knows only struct chq_stun_crypto. */
struct chq_turn_hash;

/* Create; CHQ_IO when this OpenSSL lacks MD5, SHA-1 or SHA-256 (FIPS mode), CHQ_NO_MEMORY. */
CHQ_MUST_CHECK enum chq_err chq_turn_hash_new(struct chq_turn_hash **out);
void chq_turn_hash_free(struct chq_turn_hash *hash);
/* Return the functions; they stay valid as long as `hash`. */
struct chq_stun_crypto chq_turn_hash_functions(struct chq_turn_hash *hash);

#endif
