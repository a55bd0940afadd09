/* SPDX-License-Identifier: Apache-2.0 */
/* Long-term credentials (RFC 8489 section 9.2.4), and the care taken before anybody has shown any. */
#include <string.h>

#include "core/base/assert.h"
#include "core/base/text.h"
#include "relay/turn/core.h"

#define IP_UDP_BYTES 28 /* IPv4 and UDP headers; IPv6 has more, which only makes the quotient smaller */

/* Sources are an IPv4 address or an IPv6 /64. Two that share a bucket by chance share its rate. */
bool chq_turn_may_reply(struct chq_turn *turn, const struct chq_address *source)
{
    uint8_t in[9] = {source->family};
    memcpy(in + 1, source->ip, source->family == 4 ? 4 : 8);
    struct bucket *bucket =
        &turn->buckets[chq_turn_hash64(turn->hash_key, chq_bytes(in, sizeof in)) % BUCKETS];
    uint64_t per_s = turn->config.unauthenticated_per_s, full = 3000 * per_s;
    uint64_t passed_us = turn->now_us - bucket->filled_us;
    if (bucket->filled_us == 0 || passed_us >= 3 * MICRO) {
        bucket->millitokens = (uint32_t)full;
        bucket->filled_us = turn->now_us;
    } else if (passed_us >= 1000) {
        uint64_t ms = passed_us / 1000;
        uint64_t filled = bucket->millitokens + ms * per_s;
        bucket->millitokens = (uint32_t)(filled < full ? filled : full);
        bucket->filled_us += ms * 1000;
    }
    if (bucket->millitokens < 1000) {
        turn->stats.rate_limited++;
        return false;
    }
    bucket->millitokens -= 1000;
    return true;
}

/* Six bytes over time and source: nobody else can make a nonce, and one that was overheard works from there only. */
static void nonce_mac(
    const struct chq_turn *turn, uint32_t seconds, const struct chq_address *from, uint8_t out[6])
{
    uint8_t in[23], mac[8];
    chq_store_u32(in, seconds);
    in[4] = from->family;
    chq_store_u16(in + 5, from->port);
    memcpy(in + 7, from->ip, 16);
    chq_store_u64(mac, chq_turn_hash64(turn->nonce_key, chq_bytes(in, sizeof in)));
    memcpy(out, mac, 6);
}

static void make_nonce(const struct chq_turn *turn, const struct chq_address *from, char out[NONCE_BYTES + 1])
{
    uint32_t seconds = (uint32_t)(turn->now_us / MICRO) & 0xFFFFFF;
    uint8_t raw[9] = {(uint8_t)(seconds >> 16), (uint8_t)(seconds >> 8), (uint8_t)seconds};
    nonce_mac(turn, seconds, from, raw + 3);
    chq_base64url_write(chq_bytes(raw, sizeof raw), out);
}

static bool nonce_is_fresh(
    const struct chq_turn *turn, const struct chq_address *from, struct chq_bytes nonce)
{
    uint8_t raw[9], mac[6];
    size_t size;
    if (nonce.size != NONCE_BYTES || chq_base64url_read(nonce, raw, sizeof raw, &size) != CHQ_OK ||
        size != sizeof raw)
        return false;
    uint32_t seconds = (uint32_t)raw[0] << 16 | (uint32_t)raw[1] << 8 | raw[2];
    uint32_t age_s = ((uint32_t)(turn->now_us / MICRO) - seconds) & 0xFFFFFF;
    nonce_mac(turn, seconds, from, mac);
    uint8_t differ = 0;
    for (size_t i = 0; i < sizeof mac; i++)
        differ |= mac[i] ^ raw[3 + i];
    return differ == 0 && age_s < CHQ_TURN_NONCE_S;
}

/*
 * Answer 401 or 438 with realm and nonce, or 400 with neither where that is all the request asked for. Nobody has
 * proved anything yet, so the source may be forged: the answer is rare (chq_turn_may_reply) and on the wire, headers
 * counted, at most 1.5 times the request; where a challenge would be more, 400 is all there is.
 */
static void refuse(struct chq_turn *turn, const struct request *request, uint16_t error)
{
    if (!chq_turn_may_reply(turn, request->from))
        return;
    size_t allowed = (request->message->bytes.size + IP_UDP_BYTES) * 3 / 2 - IP_UDP_BYTES;
    struct chq_writer w = chq_turn_begin_reply(turn, request, CHQ_STUN_ERROR, error);
    if (error != 400) {
        char nonce[NONCE_BYTES + 1];
        make_nonce(turn, request->from, nonce);
        chq_stun_write(&w, CHQ_STUN_REALM, chq_bytes(turn->realm, turn->realm_bytes));
        chq_stun_write(&w, CHQ_STUN_NONCE, chq_bytes_text(nonce));
        size_t fingerprint = request->message->has & CHQ_STUN_HAS_FINGERPRINT ? 8 : 0;
        if (w.size + fingerprint > allowed)
            w = chq_turn_begin_reply(turn, request, CHQ_STUN_ERROR, 400);
    }
    chq_turn_send_reply(turn, request, &w);
}

bool chq_turn_login(struct chq_turn *turn, struct request *request)
{
    const struct chq_stun_message *m = request->message;
    const uint32_t asked = CHQ_STUN_HAS_USERNAME | CHQ_STUN_HAS_REALM | CHQ_STUN_HAS_NONCE;
    if ((m->has & (CHQ_STUN_HAS_INTEGRITY | CHQ_STUN_HAS_INTEGRITY_SHA256)) == 0) {
        refuse(turn, request, 401);
        return false;
    }
    /* No password algorithms were offered, so any but MD5 is a mistake. */
    if ((m->has & asked) != asked ||
        ((m->has & CHQ_STUN_HAS_PASSWORD_ALGORITHM) && m->password_algorithm != 1)) {
        refuse(turn, request, 400);
        return false;
    }
    if (!nonce_is_fresh(turn, request->from, m->nonce)) {
        refuse(turn, request, 438);
        return false;
    }
    uint32_t slot = chq_turn_find_credential(turn, m->username, 0);
    const struct credential *c = slot != CHQ_TURN_INDEX_NONE ? turn->credentials[slot] : NULL;
    if (c != NULL && c->expires_us <= turn->now_us)
        c = NULL;
    const uint8_t *key = c != NULL ? c->key : turn->no_key;
    enum chq_err err = chq_stun_check_integrity(m, &turn->config.crypto, chq_bytes(key, 16));
    if (c == NULL && turn->config.apps_count > 0) {
        enum chq_turn_timed timed = chq_turn_timed_login(turn, request);
        if (timed != CHQ_TURN_TIMED_NO)
            return timed == CHQ_TURN_TIMED_YES;
    }
    if (c == NULL || err != CHQ_OK) {
        turn->stats.refused_logins++;
        refuse(turn, request, 401);
        return false;
    }
    request->key = key;
    request->sha256 = (m->has & CHQ_STUN_HAS_INTEGRITY_SHA256) != 0;
    request->credential = slot;
    turn->credentials[slot]->holds++;
    return true;
}

void chq_turn_end_login(struct chq_turn *turn, const struct request *request)
{
    turn->credentials[request->credential]->holds--;
    chq_turn_release_credential(turn, request->credential);
}
