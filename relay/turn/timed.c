/* SPDX-License-Identifier: Apache-2.0 */
/* Time-limited credentials as WebRTC apps use them (draft-uberti-behave-turn-rest-00 section 2.2; coturn's use-auth-secret):
 * the app's own server makes them from a secret that it shares with the relay, so nobody is entered here beforehand. */
#include <sodium.h>
#include <string.h>

#include "core/base/text.h"
#include "relay/turn/core.h"

#define SHA1_BYTES     20
#define PASSWORD_CHARS 28 /* base64 of 20 bytes, with its one '=' */
#define EXPIRY_DIGITS  15

/* The name is Unix seconds, alone or before a colon and whatever the app likes. */
static bool read_expiry(struct chq_bytes username, uint64_t *expiry_s)
{
    size_t i = 0;
    *expiry_s = 0;
    for (; i < username.size && username.data[i] >= '0' && username.data[i] <= '9'; i++) {
        if (i == EXPIRY_DIGITS)
            return false;
        *expiry_s = 10 * *expiry_s + (uint64_t)(username.data[i] - '0');
    }
    return i > 0 && (i == username.size || username.data[i] == ':');
}

/* In the alphabet of RFC 4648 section 4, padded, which is what apps compute. */
static void write_password(const uint8_t mac[SHA1_BYTES], char out[PASSWORD_CHARS + 1])
{
    chq_base64url_write(chq_bytes(mac, SHA1_BYTES), out);
    for (char *c = out; *c != '\0'; c++)
        *c = *c == '-' ? '+' : *c == '_' ? '/' : *c;
    out[PASSWORD_CHARS - 1] = '=';
    out[PASSWORD_CHARS] = '\0';
}

static enum chq_err derive_key(
    const struct chq_turn *turn, struct chq_bytes secret, struct chq_bytes username, uint8_t key[16])
{
    const struct chq_stun_crypto *crypto = &turn->config.crypto;
    uint8_t mac[32];
    char password[PASSWORD_CHARS + 1];
    if (!crypto->hmac(crypto->context, CHQ_STUN_SHA1, secret, &username, 1, mac))
        return CHQ_IO;
    write_password(mac, password);
    enum chq_err err = chq_stun_long_term_key(
        crypto, username, chq_bytes(turn->realm, turn->realm_bytes), chq_bytes_text(password), key);
    sodium_memzero(mac, sizeof mac);
    sodium_memzero(password, sizeof password);
    return err;
}

/* The secret matched: find or make the credential's slot. After its time a credential opens no allocation, but those it
 * has go on: calls outlast credentials, and browsers refresh with what they were given. */
static enum chq_turn_timed enter(
    struct chq_turn *turn, struct request *request, uint32_t app, bool expired, const uint8_t key[16])
{
    const struct chq_stun_message *m = request->message;
    uint32_t slot = chq_turn_find_credential(turn, m->username, (uint8_t)(app + 1));
    if (expired && (slot == CHQ_TURN_INDEX_NONE || m->method == CHQ_STUN_ALLOCATE))
        return CHQ_TURN_TIMED_NO;
    request->sha256 = (m->has & CHQ_STUN_HAS_INTEGRITY_SHA256) != 0;
    if (slot == CHQ_TURN_INDEX_NONE &&
        chq_turn_insert_credential(turn, m->username, (uint8_t)(app + 1), key, &slot) != CHQ_OK) {
        request->key = key;
        chq_turn_send_error(turn, request, 508);
        request->key = NULL;
        return CHQ_TURN_TIMED_ANSWERED;
    }
    struct credential *c = turn->credentials[slot];
    c->gauge = turn->config.apps[app].gauge;
    c->expires_us = UINT64_MAX;
    c->holds++;
    request->key = c->key;
    request->credential = slot;
    return CHQ_TURN_TIMED_YES;
}

enum chq_turn_timed chq_turn_timed_login(struct chq_turn *turn, struct request *request)
{
    const struct chq_stun_message *m = request->message;
    uint64_t expiry_s;
    if (m->username.size > CHQ_TURN_USERNAME_BYTES_MAX || !read_expiry(m->username, &expiry_s))
        return CHQ_TURN_TIMED_NO;
    enum chq_turn_timed result = CHQ_TURN_TIMED_NO;
    uint8_t key[16];
    for (uint32_t app = 0; app < turn->config.apps_count && result == CHQ_TURN_TIMED_NO; app++)
        if (derive_key(turn, turn->config.apps[app].secret, m->username, key) == CHQ_OK &&
            chq_stun_check_integrity(m, &turn->config.crypto, chq_bytes(key, sizeof key)) == CHQ_OK)
            result = enter(turn, request, app, expiry_s <= request->unix_s, key);
    sodium_memzero(key, sizeof key);
    return result;
}
