/* SPDX-License-Identifier: Apache-2.0 */
/* The seal of initial envelopes: who sent it is hidden from everyone but the recipient's device. */
#include <stdlib.h>
#include <string.h>

#include "core/crypto/hkdf.h"
#include "core/session/internal.h"

static const uint8_t single_use_nonce[CHQ_AEAD_NONCE_BYTES]; /* every seal has a key of its own */

/* The seal's key: the X-Wing secret, bound to the recipient's device, its prekey and the ciphertext. */
static void seal_key(uint8_t out[CHQ_AEAD_KEY_BYTES], const uint8_t shared[CHQ_KEM_SHARED_BYTES],
    const struct chq_session_peer *recipient, const uint8_t *kem_key, struct chq_bytes prefix)
{
    uint8_t info[CHQ_HASH_BYTES];
    const struct chq_bytes parts[] = {chq_bytes(recipient->account_id, sizeof recipient->account_id),
        chq_bytes(recipient->signing_key, sizeof recipient->signing_key),
        chq_bytes(recipient->identity_key, sizeof recipient->identity_key),
        chq_bytes(kem_key, CHQ_KEM_PUBLIC_BYTES), prefix};
    chq_hash(info, "chasqui seal v1", parts, 5);
    chq_hkdf(out, CHQ_AEAD_KEY_BYTES, chq_bytes_text(""), chq_bytes(shared, CHQ_KEM_SHARED_BYTES),
        chq_bytes(info, sizeof info));
}

enum chq_err chq_seal_close(uint8_t *envelope, size_t block_bytes, const struct chq_session_peer *to,
    const struct chq_seal_target *target, const struct chq_random *random)
{
    uint8_t raw[64], shared[CHQ_KEM_SHARED_BYTES], key[CHQ_AEAD_KEY_BYTES];
    envelope[0] = CHQ_ENVELOPE_VERSION;
    envelope[1] = CHQ_ENVELOPE_INITIAL;
    chq_store_u32(envelope + CHQ_ENVELOPE_PREFIX_BYTES, target->signed_id);
    chq_random_fill(random, raw, sizeof raw);
    enum chq_err err =
        chq_kem_encapsulate(envelope + CHQ_ENVELOPE_PREFIX_BYTES + 4, shared, target->kem_key, raw);
    if (err == CHQ_OK) {
        struct chq_bytes prefix = chq_bytes(envelope, CHQ_SEAL_PREFIX_BYTES);
        uint8_t *box = envelope + CHQ_SEAL_PREFIX_BYTES;
        seal_key(key, shared, to, target->kem_key, prefix);
        chq_aead_seal(
            box, key, single_use_nonce, chq_bytes(box + CHQ_AEAD_COMMIT_BYTES, block_bytes), prefix);
    }
    chq_wipe(raw, sizeof raw);
    chq_wipe(shared, sizeof shared);
    chq_wipe(key, sizeof key);
    return err;
}

/* Open the box of `envelope` into `block` with the device's signed prekey. */
static enum chq_err open_box(uint8_t *block, const struct chq_session_self *self,
    const struct chq_prekey_secret *secret, struct chq_bytes envelope)
{
    struct chq_session_peer us;
    struct chq_kem_pair kem;
    uint8_t shared[CHQ_KEM_SHARED_BYTES], key[CHQ_AEAD_KEY_BYTES];
    struct chq_bytes prefix = chq_bytes(envelope.data, CHQ_SEAL_PREFIX_BYTES);
    struct chq_bytes box =
        chq_bytes(envelope.data + CHQ_SEAL_PREFIX_BYTES, envelope.size - CHQ_SEAL_PREFIX_BYTES);
    memcpy(us.account_id, self->account_id, sizeof us.account_id);
    memcpy(us.signing_key, self->device->signing.public_key, sizeof us.signing_key);
    memcpy(us.identity_key, self->device->identity.public_key, sizeof us.identity_key);
    chq_kem_pair_from_seed(&kem, secret->kem_seed);
    enum chq_err err =
        chq_kem_decapsulate(shared, envelope.data + CHQ_ENVELOPE_PREFIX_BYTES + 4, kem.secret_key);
    if (err == CHQ_OK) {
        seal_key(key, shared, &us, kem.public_key, prefix);
        err = chq_aead_open(block, key, single_use_nonce, box, prefix);
    }
    chq_wipe(&kem, sizeof kem);
    chq_wipe(shared, sizeof shared);
    chq_wipe(key, sizeof key);
    return err;
}

/* Read who claims to send, and name the session by all that its handshake says. */
static enum chq_err read_block(struct chq_initial *out, const struct chq_session_self *self)
{
    struct chq_handshake handshake;
    CHQ_TRY(chq_handshake_read(&handshake, out->block));
    memcpy(out->sender.account_id, handshake.account_id, sizeof handshake.account_id);
    memcpy(out->sender.signing_key, handshake.signing_key, sizeof handshake.signing_key);
    memcpy(out->sender.identity_key, handshake.identity_key, sizeof handshake.identity_key);
    out->one_time_prekey_id = handshake.one_time_id;
    out->started_s = handshake.started_s;
    chq_session_name(out->session_id, out->block, self->device->signing.public_key);
    return CHQ_OK;
}

enum chq_err chq_initial_open(
    struct chq_initial *out, const struct chq_session_self *self, struct chq_bytes envelope)
{
    enum chq_envelope_kind kind;
    struct chq_prekey_secret secret;
    memset(out, 0, sizeof *out);
    CHQ_TRY(chq_envelope_kind(&kind, envelope));
    if (kind != CHQ_ENVELOPE_INITIAL)
        return CHQ_MALFORMED;
    out->signed_prekey_id = chq_load_u32(envelope.data + CHQ_ENVELOPE_PREFIX_BYTES);
    CHQ_TRY(self->prekeys.find_signed(self->prekeys.context, out->signed_prekey_id, &secret));
    out->block_bytes = envelope.size - CHQ_SEAL_OVERHEAD_BYTES;
    out->block = malloc(out->block_bytes);
    enum chq_err err = out->block != NULL ? CHQ_OK : CHQ_NO_MEMORY;
    if (err == CHQ_OK)
        err = open_box(out->block, self, &secret, envelope);
    if (err == CHQ_OK)
        err = read_block(out, self);
    if (err != CHQ_OK)
        chq_initial_close(out);
    chq_wipe(&secret, sizeof secret);
    return err;
}

void chq_initial_close(struct chq_initial *initial)
{
    if (initial->block != NULL)
        chq_wipe(initial->block, initial->block_bytes);
    free(initial->block);
    memset(initial, 0, sizeof *initial);
}
