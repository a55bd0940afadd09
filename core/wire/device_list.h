/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CHQ_CORE_WIRE_DEVICE_LIST_H
#define CHQ_CORE_WIRE_DEVICE_LIST_H

#include "core/base/limits.h"
#include "core/crypto/hash.h"
#include "core/wire/id.h"

#define CHQ_DEVICE_LIST_DOMAIN "chasqui device list v1"

/* One device: {1: signing key b32, 2: identity key b32 (X25519), 3: home relay b32, 4: front door b32, 5: uint}. */
struct chq_device {
    uint8_t signing_key[CHQ_SIGN_PUBLIC_BYTES];
    uint8_t identity_key[CHQ_DH_BYTES];
    uint8_t home_relay_id[CHQ_RELAY_ID_BYTES];
    uint8_t front_door_id[CHQ_QUEUE_ID_BYTES];
    uint64_t added_s; /* Unix seconds */
};

/* The body of a device list, docs/protocol.md section 2. */
struct chq_device_list {
    uint8_t account_id[CHQ_ACCOUNT_ID_BYTES];
    uint64_t version; /* 1, and then always one more */
    uint8_t previous_hash[CHQ_HASH_BYTES]; /* of the previous body; zeros for version 1 */
    size_t n; /* 1 to CHQ_DEVICES_MAX */
    struct chq_device devices[CHQ_DEVICES_MAX];
};

/* Append the body of `list` to `w`; CHQ_LIMIT sticks to the writer when `n` is out of range. */
void chq_device_list_write(struct chq_writer *w, const struct chq_device_list *list);

/*
 * Read the body that is all of `in`. CHQ_MALFORMED also for a device that stands in it twice, for version 0 and for
 * a previous hash that does not fit version 1.
 */
CHQ_MUST_CHECK enum chq_err chq_device_list_read(struct chq_device_list *out, struct chq_bytes in);

/* Write the hash by which the next version names this body. */
void chq_device_list_hash(uint8_t out[CHQ_HASH_BYTES], struct chq_bytes body);

/* Append the Signed device list, signed by the account's root key, to `w`. */
void chq_device_list_sign(
    struct chq_writer *w, const struct chq_sign_pair *root, const struct chq_device_list *list);

/*
 * Read a Signed device list (at most CHQ_DEVICE_LIST_BYTES_MAX) and check that `root_key` signed it.
 * CHQ_MALFORMED, CHQ_AUTH. Who calls checks the account id, and version and hash with chq_device_list_follows.
 */
CHQ_MUST_CHECK enum chq_err chq_device_list_open(
    struct chq_device_list *out, struct chq_bytes in, const uint8_t root_key[CHQ_SIGN_PUBLIC_BYTES]);

/*
 * Check that `next` may come after the Signed list `previous` (empty: `next` must be version 1): same account, one
 * version more, and it names the hash of the previous body. CHQ_STATE when it does not, CHQ_AUTH for another
 * account, CHQ_MALFORMED when `previous` is not a list.
 */
CHQ_MUST_CHECK enum chq_err chq_device_list_follows(
    const struct chq_device_list *next, struct chq_bytes previous);

/* Find the device that signs with `signing_key`; NULL when it is not in the list. */
const struct chq_device *chq_device_list_find(
    const struct chq_device_list *list, const uint8_t signing_key[CHQ_SIGN_PUBLIC_BYTES]);

#endif
