/* SPDX-License-Identifier: Apache-2.0 */
#include "core/session/prekeys.h"

#include <string.h>

static void new_secret(
    struct chq_prekey_secret *out, uint32_t id, bool with_kem, const struct chq_random *random)
{
    memset(out, 0, sizeof *out);
    out->id = id;
    out->has_kem = with_kem;
    chq_random_fill(random, out->dh_seed, sizeof out->dh_seed);
    if (with_kem)
        chq_random_fill(random, out->kem_seed, sizeof out->kem_seed);
}

static void public_keys(const struct chq_prekey_secret *secret, uint8_t *dh_key, uint8_t *kem_key)
{
    struct chq_dh_pair dh;
    struct chq_kem_pair kem;
    chq_dh_pair_from_seed(&dh, secret->dh_seed);
    memcpy(dh_key, dh.public_key, sizeof dh.public_key);
    if (secret->has_kem) {
        chq_kem_pair_from_seed(&kem, secret->kem_seed);
        memcpy(kem_key, kem.public_key, sizeof kem.public_key);
        chq_wipe(&kem, sizeof kem);
    }
    chq_wipe(&dh, sizeof dh);
}

void chq_prekeys_make_bundle(struct chq_writer *w, struct chq_prekey_secret *secret,
    const struct chq_session_self *self, uint32_t id, uint64_t now_s, const struct chq_random *random)
{
    struct chq_prekey_bundle bundle = {.made_s = now_s, .signed_id = id};
    new_secret(secret, id, true, random);
    memcpy(bundle.account_id, self->account_id, sizeof bundle.account_id);
    memcpy(bundle.device_id, self->device->device_id, sizeof bundle.device_id);
    public_keys(secret, bundle.signed_key, bundle.kem_key);
    chq_prekey_bundle_sign(w, &self->device->signing, &bundle);
}

void chq_prekeys_make_one_time(struct chq_writer *w, struct chq_prekey_secret *secret,
    const struct chq_session_self *self, uint32_t id, bool with_kem, const struct chq_random *random)
{
    struct chq_one_time_prekey prekey = {.id = id, .has_kem = with_kem};
    new_secret(secret, id, with_kem, random);
    memcpy(prekey.device_id, self->device->device_id, sizeof prekey.device_id);
    public_keys(secret, prekey.key, prekey.kem_key);
    chq_one_time_prekey_sign(w, &self->device->signing, &prekey);
}
