/* SPDX-License-Identifier: Apache-2.0 */
#include "core/crypto/aead.h"

#include <sodium.h>
#include <string.h>

#include "core/crypto/hkdf.h"

struct derived {
    uint8_t key[crypto_aead_xchacha20poly1305_ietf_KEYBYTES];
    uint8_t commit[CHQ_AEAD_COMMIT_BYTES];
};

static void derive(struct derived *d, const uint8_t *key, const uint8_t *nonce)
{
    chq_hkdf((uint8_t *)d, sizeof *d, chq_bytes(nonce, CHQ_AEAD_NONCE_BYTES),
        chq_bytes(key, CHQ_AEAD_KEY_BYTES), chq_bytes_text("chasqui aead v1"));
}

void chq_aead_seal(uint8_t *out, const uint8_t key[CHQ_AEAD_KEY_BYTES],
    const uint8_t nonce[CHQ_AEAD_NONCE_BYTES], struct chq_bytes plain, struct chq_bytes associated)
{
    struct derived d;
    derive(&d, key, nonce);
    crypto_aead_xchacha20poly1305_ietf_encrypt(out + CHQ_AEAD_COMMIT_BYTES, NULL, plain.data, plain.size,
        associated.data, associated.size, NULL, nonce, d.key);
    memcpy(out, d.commit, sizeof d.commit);
    sodium_memzero(&d, sizeof d);
}

enum chq_err chq_aead_open(uint8_t *out, const uint8_t key[CHQ_AEAD_KEY_BYTES],
    const uint8_t nonce[CHQ_AEAD_NONCE_BYTES], struct chq_bytes sealed, struct chq_bytes associated)
{
    struct derived d;
    if (sealed.size < CHQ_AEAD_OVERHEAD_BYTES)
        return CHQ_MALFORMED;
    derive(&d, key, nonce);
    int bad = sodium_memcmp(sealed.data, d.commit, sizeof d.commit);
    if (bad == 0)
        bad = crypto_aead_xchacha20poly1305_ietf_decrypt(out, NULL, NULL, sealed.data + CHQ_AEAD_COMMIT_BYTES,
            sealed.size - CHQ_AEAD_COMMIT_BYTES, associated.data, associated.size, nonce, d.key);
    sodium_memzero(&d, sizeof d);
    return bad == 0 ? CHQ_OK : CHQ_AUTH;
}
