/* SPDX-License-Identifier: Apache-2.0 */
#include "core/crypto/keys.h"

#include <sodium.h>
#include <string.h>

#include "core/base/assert.h"
#include "core/crypto/hash.h"

_Static_assert(CHQ_KEM_PUBLIC_BYTES == crypto_kem_xwing_PUBLICKEYBYTES, "X-Wing public key");
_Static_assert(CHQ_KEM_SECRET_BYTES == crypto_kem_xwing_SECRETKEYBYTES, "X-Wing secret key");
_Static_assert(CHQ_KEM_CIPHERTEXT_BYTES == crypto_kem_xwing_CIPHERTEXTBYTES, "X-Wing ciphertext");
_Static_assert(CHQ_SIGN_SECRET_BYTES == crypto_sign_ed25519_SECRETKEYBYTES, "Ed25519 secret key");

enum chq_err chq_crypto_init(void)
{
    return sodium_init() >= 0 ? CHQ_OK : CHQ_IO;
}

void chq_sign_pair_from_seed(struct chq_sign_pair *pair, const uint8_t seed[CHQ_SEED_BYTES])
{
    crypto_sign_ed25519_seed_keypair(pair->public_key, pair->secret_key, seed);
}

void chq_sign(uint8_t out[CHQ_SIGNATURE_BYTES], const struct chq_sign_pair *pair, const char *domain,
    struct chq_bytes message)
{
    uint8_t digest[CHQ_HASH_BYTES];
    chq_hash(digest, domain, &message, 1);
    crypto_sign_ed25519_detached(out, NULL, digest, sizeof digest, pair->secret_key);
}

enum chq_err chq_sign_verify(const uint8_t signature[CHQ_SIGNATURE_BYTES],
    const uint8_t public_key[CHQ_SIGN_PUBLIC_BYTES], const char *domain, struct chq_bytes message)
{
    uint8_t digest[CHQ_HASH_BYTES];
    chq_hash(digest, domain, &message, 1);
    return crypto_sign_ed25519_verify_detached(signature, digest, sizeof digest, public_key) == 0 ? CHQ_OK
                                                                                                  : CHQ_AUTH;
}

void chq_ed25519_sign(
    uint8_t out[CHQ_SIGNATURE_BYTES], const struct chq_sign_pair *pair, struct chq_bytes message)
{
    crypto_sign_ed25519_detached(out, NULL, message.data, message.size, pair->secret_key);
}

enum chq_err chq_ed25519_verify(const uint8_t signature[CHQ_SIGNATURE_BYTES],
    const uint8_t public_key[CHQ_SIGN_PUBLIC_BYTES], struct chq_bytes message)
{
    return crypto_sign_ed25519_verify_detached(signature, message.data, message.size, public_key) == 0
               ? CHQ_OK
               : CHQ_AUTH;
}

void chq_dh_pair_from_seed(struct chq_dh_pair *pair, const uint8_t seed[CHQ_SEED_BYTES])
{
    memcpy(pair->secret_key, seed, sizeof pair->secret_key);
    crypto_scalarmult_curve25519_base(pair->public_key, pair->secret_key);
}

enum chq_err chq_dh(uint8_t shared[CHQ_DH_BYTES], const uint8_t secret_key[CHQ_DH_BYTES],
    const uint8_t public_key[CHQ_DH_BYTES])
{
    if (crypto_scalarmult_curve25519(shared, secret_key, public_key) == 0)
        return CHQ_OK;
    sodium_memzero(shared, CHQ_DH_BYTES);
    return CHQ_AUTH;
}

void chq_kem_pair_from_seed(struct chq_kem_pair *pair, const uint8_t seed[CHQ_SEED_BYTES])
{
    int failed = crypto_kem_xwing_seed_keypair(pair->public_key, pair->secret_key, seed);
    CHQ_ASSERT(failed == 0);
}

enum chq_err chq_kem_encapsulate(uint8_t ciphertext[CHQ_KEM_CIPHERTEXT_BYTES],
    uint8_t shared[CHQ_KEM_SHARED_BYTES], const uint8_t public_key[CHQ_KEM_PUBLIC_BYTES],
    const uint8_t random[64])
{
    if (crypto_kem_xwing_enc_deterministic(ciphertext, shared, public_key, random) == 0)
        return CHQ_OK;
    sodium_memzero(shared, CHQ_KEM_SHARED_BYTES);
    memset(ciphertext, 0, CHQ_KEM_CIPHERTEXT_BYTES);
    return CHQ_AUTH;
}

enum chq_err chq_kem_decapsulate(uint8_t shared[CHQ_KEM_SHARED_BYTES],
    const uint8_t ciphertext[CHQ_KEM_CIPHERTEXT_BYTES], const uint8_t secret_key[CHQ_KEM_SECRET_BYTES])
{
    if (crypto_kem_xwing_dec(shared, ciphertext, secret_key) == 0)
        return CHQ_OK;
    sodium_memzero(shared, CHQ_KEM_SHARED_BYTES);
    return CHQ_AUTH;
}

void chq_wipe(void *data, size_t size)
{
    sodium_memzero(data, size);
}

bool chq_secret_equal(const void *a, const void *b, size_t size)
{
    return sodium_memcmp(a, b, size) == 0;
}

void *chq_secret_new(size_t size)
{
    void *secret = sodium_malloc(size);
    if (secret != NULL)
        memset(secret, 0, size);
    return secret;
}

void chq_secret_free(void *secret)
{
    sodium_free(secret);
}
