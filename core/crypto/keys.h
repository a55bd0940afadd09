/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CHQ_CORE_CRYPTO_KEYS_H
#define CHQ_CORE_CRYPTO_KEYS_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/bytes.h"
#include "core/base/err.h"

/*
 * Ed25519 (RFC 8032), X25519 (RFC 7748) and X-Wing (X25519 + ML-KEM-768, draft-connolly-cfrg-xwing-kem), as
 * libsodium does them. Secret keys are made from seeds only, so that the caller's randomness decides.
 */
#define CHQ_SEED_BYTES           32
#define CHQ_SIGN_PUBLIC_BYTES    32
#define CHQ_SIGN_SECRET_BYTES    64
#define CHQ_SIGNATURE_BYTES      64
#define CHQ_DH_BYTES             32
#define CHQ_KEM_PUBLIC_BYTES     1216
#define CHQ_KEM_SECRET_BYTES     32
#define CHQ_KEM_CIPHERTEXT_BYTES 1120
#define CHQ_KEM_SHARED_BYTES     32

struct chq_sign_pair {
    uint8_t public_key[CHQ_SIGN_PUBLIC_BYTES];
    uint8_t secret_key[CHQ_SIGN_SECRET_BYTES];
};
struct chq_dh_pair {
    uint8_t public_key[CHQ_DH_BYTES];
    uint8_t secret_key[CHQ_DH_BYTES];
};
struct chq_kem_pair {
    uint8_t public_key[CHQ_KEM_PUBLIC_BYTES];
    uint8_t secret_key[CHQ_KEM_SECRET_BYTES];
};

/* Start libsodium; call once before anything else. CHQ_IO when the system gives no randomness. */
CHQ_MUST_CHECK enum chq_err chq_crypto_init(void);

void chq_sign_pair_from_seed(struct chq_sign_pair *pair, const uint8_t seed[CHQ_SEED_BYTES]);
/*
 * Sign SHA-256(domain, 0, message); see chq_hash. The hash is what Ed25519 signs, so that no signature made for
 * one purpose verifies for another and big messages need one pass.
 */
void chq_sign(uint8_t out[CHQ_SIGNATURE_BYTES], const struct chq_sign_pair *pair, const char *domain,
    struct chq_bytes message);
/* CHQ_AUTH when the signature is not this key's (libsodium's strict rule: no small order, no malleability). */
CHQ_MUST_CHECK enum chq_err chq_sign_verify(const uint8_t signature[CHQ_SIGNATURE_BYTES],
    const uint8_t public_key[CHQ_SIGN_PUBLIC_BYTES], const char *domain, struct chq_bytes message);

/* Plain Ed25519 over `message` itself, for forms that others defined (CometBFT votes). */
void chq_ed25519_sign(
    uint8_t out[CHQ_SIGNATURE_BYTES], const struct chq_sign_pair *pair, struct chq_bytes message);
CHQ_MUST_CHECK enum chq_err chq_ed25519_verify(const uint8_t signature[CHQ_SIGNATURE_BYTES],
    const uint8_t public_key[CHQ_SIGN_PUBLIC_BYTES], struct chq_bytes message);

void chq_dh_pair_from_seed(struct chq_dh_pair *pair, const uint8_t seed[CHQ_SEED_BYTES]);
/* CHQ_AUTH when the other's key is of small order (all-zero result, RFC 7748 section 6.1). */
CHQ_MUST_CHECK enum chq_err chq_dh(uint8_t shared[CHQ_DH_BYTES], const uint8_t secret_key[CHQ_DH_BYTES],
    const uint8_t public_key[CHQ_DH_BYTES]);

void chq_kem_pair_from_seed(struct chq_kem_pair *pair, const uint8_t seed[CHQ_SEED_BYTES]);
/* Encapsulate with 64 bytes of the caller's randomness. CHQ_AUTH when the public key is not valid. */
CHQ_MUST_CHECK enum chq_err chq_kem_encapsulate(uint8_t ciphertext[CHQ_KEM_CIPHERTEXT_BYTES],
    uint8_t shared[CHQ_KEM_SHARED_BYTES], const uint8_t public_key[CHQ_KEM_PUBLIC_BYTES],
    const uint8_t random[64]);
CHQ_MUST_CHECK enum chq_err chq_kem_decapsulate(uint8_t shared[CHQ_KEM_SHARED_BYTES],
    const uint8_t ciphertext[CHQ_KEM_CIPHERTEXT_BYTES], const uint8_t secret_key[CHQ_KEM_SECRET_BYTES]);

/* Overwrite secrets; the compiler may not leave it out. */
void chq_wipe(void *data, size_t size);
/* Compare secrets in constant time. */
bool chq_secret_equal(const void *a, const void *b, size_t size);
/* Guarded, locked memory for long-lived secrets, zero-filled; NULL when there is none. chq_secret_free wipes. */
void *chq_secret_new(size_t size);
void chq_secret_free(void *secret);

#endif
