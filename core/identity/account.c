/* SPDX-License-Identifier: Apache-2.0 */
#include "core/identity/account.h"

#include <string.h>

#include "core/crypto/hkdf.h"
#include "core/wire/signed.h"

static void derive_pair(struct chq_sign_pair *out, const uint8_t *entropy, const char *use)
{
    uint8_t seed[CHQ_SEED_BYTES];
    chq_hkdf(seed, sizeof seed, chq_bytes_text(""), chq_bytes(entropy, CHQ_RECOVERY_ENTROPY_BYTES),
        chq_bytes_text(use));
    chq_sign_pair_from_seed(out, seed);
    chq_wipe(seed, sizeof seed);
}

void chq_account_from_entropy(struct chq_account *out, const uint8_t entropy[CHQ_RECOVERY_ENTROPY_BYTES])
{
    derive_pair(&out->root, entropy, "chasqui root key v1");
    derive_pair(&out->next, entropy, "chasqui next key v1");
    memcpy(out->inception.root_key, out->root.public_key, sizeof out->inception.root_key);
    chq_next_key_hash(out->inception.next_key_hash, out->next.public_key);
    chq_inception_account_id(out->id, &out->inception);
}

void chq_account_fini(struct chq_account *account)
{
    chq_wipe(account, sizeof *account);
}

void chq_device_keys_from_seeds(struct chq_device_keys *out, const uint8_t signing_seed[CHQ_SEED_BYTES],
    const uint8_t identity_seed[CHQ_SEED_BYTES])
{
    chq_sign_pair_from_seed(&out->signing, signing_seed);
    chq_dh_pair_from_seed(&out->identity, identity_seed);
    chq_device_id(out->device_id, out->signing.public_key);
}

void chq_device_keys_new(struct chq_device_keys *out, const struct chq_random *random)
{
    uint8_t seeds[2][CHQ_SEED_BYTES];
    chq_random_fill(random, seeds[0], sizeof seeds[0]);
    chq_random_fill(random, seeds[1], sizeof seeds[1]);
    chq_device_keys_from_seeds(out, seeds[0], seeds[1]);
    chq_wipe(seeds, sizeof seeds);
}

void chq_device_keys_seeds(const struct chq_device_keys *keys, uint8_t signing_seed[CHQ_SEED_BYTES],
    uint8_t identity_seed[CHQ_SEED_BYTES])
{
    /* An Ed25519 secret key begins with its seed (RFC 8032 section 5.1.5 as libsodium lays it out). */
    memcpy(signing_seed, keys->signing.secret_key, CHQ_SEED_BYTES);
    memcpy(identity_seed, keys->identity.secret_key, CHQ_SEED_BYTES);
}

void chq_device_keys_fini(struct chq_device_keys *keys)
{
    chq_wipe(keys, sizeof *keys);
}

void chq_device_record(struct chq_device *out, const struct chq_device_keys *keys,
    const uint8_t home_relay_id[CHQ_RELAY_ID_BYTES], const uint8_t front_door_id[CHQ_QUEUE_ID_BYTES],
    uint64_t added_s)
{
    memcpy(out->signing_key, keys->signing.public_key, sizeof out->signing_key);
    memcpy(out->identity_key, keys->identity.public_key, sizeof out->identity_key);
    memcpy(out->home_relay_id, home_relay_id, sizeof out->home_relay_id);
    memcpy(out->front_door_id, front_door_id, sizeof out->front_door_id);
    out->added_s = added_s;
}

/* Learn version and hash that the next list must carry from the one before, which must be our own. */
static enum chq_err continue_from(
    struct chq_device_list *list, const struct chq_account *account, struct chq_bytes previous)
{
    struct chq_device_list before;
    struct chq_bytes body;
    CHQ_TRY(chq_device_list_open(&before, previous, account->root.public_key));
    CHQ_TRY(chq_signed_peek(&body, previous, CHQ_DEVICE_LIST_BYTES_MAX));
    if (memcmp(before.account_id, account->id, sizeof before.account_id) != 0)
        return CHQ_AUTH;
    list->version = before.version + 1;
    chq_device_list_hash(list->previous_hash, body);
    return CHQ_OK;
}

enum chq_err chq_account_sign_devices(struct chq_writer *w, const struct chq_account *account,
    struct chq_bytes previous, const struct chq_device *devices, size_t n)
{
    struct chq_device_list list = {.version = 1, .n = n};
    if (n < 1 || n > CHQ_DEVICES_MAX)
        return CHQ_LIMIT;
    memcpy(list.account_id, account->id, sizeof list.account_id);
    memcpy(list.devices, devices, n * sizeof *devices);
    if (previous.size > 0)
        CHQ_TRY(continue_from(&list, account, previous));
    chq_device_list_sign(w, &account->root, &list);
    return chq_writer_finish(w);
}
