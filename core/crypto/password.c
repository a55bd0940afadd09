/* SPDX-License-Identifier: Apache-2.0 */
#include "core/crypto/password.h"

#include <sodium.h>
#include <string.h>

_Static_assert(CHQ_PASSWORD_SALT_BYTES == crypto_pwhash_argon2id_SALTBYTES, "Argon2id salt");

enum chq_err chq_password_key(uint8_t key[CHQ_PASSWORD_KEY_BYTES], struct chq_bytes passphrase,
    const uint8_t salt[CHQ_PASSWORD_SALT_BYTES], uint32_t passes, uint32_t memory_bytes)
{
    memset(key, 0, CHQ_PASSWORD_KEY_BYTES);
    if (passes < 1 || passes > CHQ_PASSWORD_PASSES_MAX || memory_bytes < 8192 ||
        memory_bytes > CHQ_PASSWORD_BYTES_MAX)
        return CHQ_LIMIT;
    if (crypto_pwhash_argon2id(key, CHQ_PASSWORD_KEY_BYTES, (const char *)passphrase.data, passphrase.size,
            salt, passes, memory_bytes, crypto_pwhash_argon2id_ALG_ARGON2ID13) != 0) {
        sodium_memzero(key, CHQ_PASSWORD_KEY_BYTES);
        return CHQ_NO_MEMORY;
    }
    return CHQ_OK;
}
