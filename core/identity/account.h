/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CHQ_CORE_IDENTITY_ACCOUNT_H
#define CHQ_CORE_IDENTITY_ACCOUNT_H

#include "core/base/random.h"
#include "core/identity/recovery.h"
#include "core/wire/device_list.h"
#include "core/wire/id.h"
#include "core/wire/inception.h"

/* An account with its secret keys. Keep it in chq_secret_new memory and wipe it with chq_account_fini. */
struct chq_account {
    uint8_t id[CHQ_ACCOUNT_ID_BYTES];
    struct chq_sign_pair root; /* signs device lists and batches */
    struct chq_sign_pair next; /* replaces the root key; only its hash is public until then */
    struct chq_inception inception;
};

/* Make the account that `entropy` stands for: the same entropy gives the same account id, always. */
void chq_account_from_entropy(struct chq_account *out, const uint8_t entropy[CHQ_RECOVERY_ENTROPY_BYTES]);
void chq_account_fini(struct chq_account *account);

/* The secret keys of this device. Keep them in chq_secret_new memory and wipe them with chq_device_keys_fini. */
struct chq_device_keys {
    uint8_t device_id[CHQ_DEVICE_ID_BYTES];
    struct chq_sign_pair signing;
    struct chq_dh_pair identity;
};

/* Make new keys for a device: signing and identity key from their own 32 random bytes each. */
void chq_device_keys_new(struct chq_device_keys *out, const struct chq_random *random);
/* Make the keys again from the two stored seeds. */
void chq_device_keys_from_seeds(struct chq_device_keys *out, const uint8_t signing_seed[CHQ_SEED_BYTES],
    const uint8_t identity_seed[CHQ_SEED_BYTES]);
/* Give the two seeds to store. */
void chq_device_keys_seeds(const struct chq_device_keys *keys, uint8_t signing_seed[CHQ_SEED_BYTES],
    uint8_t identity_seed[CHQ_SEED_BYTES]);
void chq_device_keys_fini(struct chq_device_keys *keys);

/* Fill in the public record of a device, to be put into a device list. */
void chq_device_record(struct chq_device *out, const struct chq_device_keys *keys,
    const uint8_t home_relay_id[CHQ_RELAY_ID_BYTES], const uint8_t front_door_id[CHQ_QUEUE_ID_BYTES],
    uint64_t added_s);

/*
 * Sign the device list that comes after the Signed list `previous` (empty: the first one) and append it to `w`.
 * CHQ_LIMIT for too many devices, CHQ_AUTH when `previous` is not signed by this account, CHQ_MALFORMED when a
 * device stands in it twice or `previous` is no list.
 */
CHQ_MUST_CHECK enum chq_err chq_account_sign_devices(struct chq_writer *w, const struct chq_account *account,
    struct chq_bytes previous, const struct chq_device *devices, size_t n);

#endif
