/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CHQ_CORE_WIRE_PREKEY_H
#define CHQ_CORE_WIRE_PREKEY_H

#include <stdbool.h>

#include "core/base/bytes.h"
#include "core/base/limits.h"
#include "core/wire/id.h"

/* Prekey ids are chosen by the device, 1 to 2^32 - 1, never used again for another key of the same kind. */

/* What lies at the front door for whoever wants to write first, docs/protocol.md section 3.1. */
struct chq_prekey_bundle {
    uint8_t account_id[CHQ_ACCOUNT_ID_BYTES];
    uint8_t device_id[CHQ_DEVICE_ID_BYTES];
    uint64_t made_s; /* Unix seconds */
    uint32_t signed_id; /* of both keys below */
    uint8_t signed_key[CHQ_DH_BYTES];
    uint8_t kem_key[CHQ_KEM_PUBLIC_BYTES];
};

/* A prekey that is given out once; with an X-Wing key of its own or without. */
struct chq_one_time_prekey {
    uint8_t device_id[CHQ_DEVICE_ID_BYTES];
    uint32_t id;
    uint8_t key[CHQ_DH_BYTES];
    bool has_kem;
    uint8_t kem_key[CHQ_KEM_PUBLIC_BYTES];
};

/* Append the bundle, signed by the device's signing key, to `w`. */
void chq_prekey_bundle_sign(
    struct chq_writer *w, const struct chq_sign_pair *device, const struct chq_prekey_bundle *bundle);

/*
 * Read a bundle and check that `signing_key` signed it and that the device id is this key's. CHQ_MALFORMED,
 * CHQ_AUTH, CHQ_UNSUPPORTED for another version.
 */
CHQ_MUST_CHECK enum chq_err chq_prekey_bundle_open(
    struct chq_prekey_bundle *out, struct chq_bytes in, const uint8_t signing_key[CHQ_SIGN_PUBLIC_BYTES]);

/* The same for a one-time prekey. */
void chq_one_time_prekey_sign(
    struct chq_writer *w, const struct chq_sign_pair *device, const struct chq_one_time_prekey *prekey);
CHQ_MUST_CHECK enum chq_err chq_one_time_prekey_open(
    struct chq_one_time_prekey *out, struct chq_bytes in, const uint8_t signing_key[CHQ_SIGN_PUBLIC_BYTES]);

#endif
