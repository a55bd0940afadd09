/* SPDX-License-Identifier: Apache-2.0 */
#include "relay/turn/hash.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <stdlib.h>

struct chq_turn_hash {
    EVP_MAC_CTX *hmac[2]; /* SHA-1, SHA-256 */
    EVP_MD *digest[2]; /* MD5, SHA-256 */
    EVP_MD_CTX *context;
};

static EVP_MAC_CTX *new_hmac(const char *digest)
{
    EVP_MAC *mac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    EVP_MAC_CTX *context = mac != NULL ? EVP_MAC_CTX_new(mac) : NULL;
    EVP_MAC_free(mac);
    char name[16] = {0};
    for (size_t i = 0; digest[i] != '\0' && i + 1 < sizeof name; i++)
        name[i] = digest[i];
    const OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, name, 0), OSSL_PARAM_construct_end()};
    static const uint8_t key[1];
    if (context != NULL && EVP_MAC_init(context, key, sizeof key, params) != 1) {
        EVP_MAC_CTX_free(context);
        return NULL;
    }
    return context;
}

enum chq_err chq_turn_hash_new(struct chq_turn_hash **out)
{
    *out = NULL;
    struct chq_turn_hash *hash = calloc(1, sizeof *hash);
    if (hash == NULL)
        return CHQ_NO_MEMORY;
    hash->hmac[0] = new_hmac("SHA1");
    hash->hmac[1] = new_hmac("SHA256");
    hash->digest[0] = EVP_MD_fetch(NULL, "MD5", NULL);
    hash->digest[1] = EVP_MD_fetch(NULL, "SHA256", NULL);
    hash->context = EVP_MD_CTX_new();
    if (hash->hmac[0] == NULL || hash->hmac[1] == NULL || hash->digest[0] == NULL ||
        hash->digest[1] == NULL || hash->context == NULL) {
        chq_turn_hash_free(hash);
        return CHQ_IO;
    }
    *out = hash;
    return CHQ_OK;
}

void chq_turn_hash_free(struct chq_turn_hash *hash)
{
    if (hash == NULL)
        return;
    EVP_MAC_CTX_free(hash->hmac[0]);
    EVP_MAC_CTX_free(hash->hmac[1]);
    EVP_MD_free(hash->digest[0]);
    EVP_MD_free(hash->digest[1]);
    EVP_MD_CTX_free(hash->context);
    free(hash);
}

static bool openssl_hmac(void *context, enum chq_stun_hash which, struct chq_bytes key,
    const struct chq_bytes *parts, size_t n, uint8_t out[32])
{
    struct chq_turn_hash *hash = context;
    EVP_MAC_CTX *mac = hash->hmac[which == CHQ_STUN_SHA256];
    if (which == CHQ_STUN_MD5 || EVP_MAC_init(mac, key.data, key.size, NULL) != 1)
        return false;
    for (size_t i = 0; i < n; i++)
        if (EVP_MAC_update(mac, parts[i].data, parts[i].size) != 1)
            return false;
    size_t size;
    return EVP_MAC_final(mac, out, &size, 32) == 1;
}

static bool openssl_hash(
    void *context, enum chq_stun_hash which, const struct chq_bytes *parts, size_t n, uint8_t out[32])
{
    struct chq_turn_hash *hash = context;
    if (which == CHQ_STUN_SHA1 ||
        EVP_DigestInit_ex(hash->context, hash->digest[which == CHQ_STUN_SHA256], NULL) != 1)
        return false;
    for (size_t i = 0; i < n; i++)
        if (EVP_DigestUpdate(hash->context, parts[i].data, parts[i].size) != 1)
            return false;
    unsigned size;
    return EVP_DigestFinal_ex(hash->context, out, &size) == 1;
}

struct chq_stun_crypto chq_turn_hash_functions(struct chq_turn_hash *hash)
{
    return (struct chq_stun_crypto){.hmac = openssl_hmac, .hash = openssl_hash, .context = hash};
}
