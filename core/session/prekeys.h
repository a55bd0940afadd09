/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CHQ_CORE_SESSION_PREKEYS_H
#define CHQ_CORE_SESSION_PREKEYS_H

#include <stdbool.h>

#include "core/base/random.h"
#include "core/identity/account.h"
#include "core/wire/prekey.h"

/* The secret half of a prekey, as it is stored: keys are made again from their seeds. Wipe after use. */
struct chq_prekey_secret {
    uint32_t id;
    uint8_t dh_seed[CHQ_SEED_BYTES];
    bool has_kem; /* always for a signed prekey */
    uint8_t kem_seed[CHQ_SEED_BYTES];
};

/*
 * Where the session layer finds the device's prekey secrets. CHQ_NOT_FOUND for an unknown id, also for a one-time
 * prekey that was used and deleted. Both are called during chq_initial_open and chq_session_accept only.
 */
struct chq_prekey_source {
    enum chq_err (*find_signed)(void *context, uint32_t id, struct chq_prekey_secret *out);
    enum chq_err (*find_one_time)(void *context, uint32_t id, struct chq_prekey_secret *out);
    void *context;
};

/* Ourselves, for as long as a call lasts; all borrowed. */
struct chq_session_self {
    const uint8_t *account_id; /* CHQ_ACCOUNT_ID_BYTES */
    const struct chq_device_keys *device;
    struct chq_prekey_source prekeys; /* needed only to receive initial envelopes */
};

/*
 * Make a signed prekey: put its secret into `secret` and append the signed bundle for the front door to `w`. Make a
 * new one every week and keep old secrets for CHQ_RETENTION_DAYS, because letters to them may still be under way.
 */
void chq_prekeys_make_bundle(struct chq_writer *w, struct chq_prekey_secret *secret,
    const struct chq_session_self *self, uint32_t id, uint64_t now_s, const struct chq_random *random);

/* Make a one-time prekey with id `id`, with an X-Wing key or without; append its signed form to `w`. */
void chq_prekeys_make_one_time(struct chq_writer *w, struct chq_prekey_secret *secret,
    const struct chq_session_self *self, uint32_t id, bool with_kem, const struct chq_random *random);

#endif
