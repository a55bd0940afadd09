/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "core/wire/cbor.h"
#include "p2p/signal/signal.h"

/* docs/protocol.md section 10 */
enum {
    VERSION = 1,
    KEY_TYPE = 0,
    KEY_VERSION = 1,
    KEY_SENT = 2,
    KEY_RANDOM = 3,
    KEY_UFRAG = 4,
    KEY_PASSWORD = 5,
    KEY_CANDIDATES = 6,
    KEY_REASON = 7,
    UFRAG_MIN = 4,
    PASSWORD_MIN = 22,
    ICE_TEXT_MAX = 64,
    FOUNDATION_MAX = 32
};

static bool ice_chars(struct chq_bytes text)
{
    for (size_t i = 0; i < text.size; i++) {
        const uint8_t c = text.data[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '+' ||
                c == '/'))
            return false;
    }
    return true;
}

static void get_ice_text(struct chq_reader *r, size_t min, size_t max, char *out)
{
    const struct chq_bytes text = chq_cbor_get_text(r, max);
    if (r->err == CHQ_OK && (text.size < min || !ice_chars(text)))
        chq_reader_fail(r, CHQ_MALFORMED);
    if (r->err == CHQ_OK)
        memcpy(out, text.data, text.size); /* the rest of `out` is zero */
}

/* Addresses nobody can be reached at: not worth a probe. Loopback and private ones are the ICE shell's to judge. */
static bool reachable(const struct chq_address *a)
{
    static const uint8_t zero[16];
    const size_t size = a->family == 4 ? 4 : 16;
    if (a->port == 0 || memcmp(a->ip, zero, size) == 0)
        return false;
    return a->family == 4 ? a->ip[0] != 0 && a->ip[0] < 224 : a->ip[0] != 0xff;
}

static void get_candidate(struct chq_reader *r, struct chq_candidate *c)
{
    struct chq_cbor_map m = chq_cbor_get_map(r, 5);
    chq_cbor_need(r, &m, 1);
    c->kind = (enum chq_candidate_kind)chq_cbor_get_uint_max(r, CHQ_CANDIDATE_RELAYED);
    chq_cbor_need(r, &m, 2);
    const struct chq_bytes ip = chq_cbor_get_bytes(r, 16);
    chq_cbor_need(r, &m, 3);
    c->address.port = (uint16_t)chq_cbor_get_uint_max(r, UINT16_MAX);
    chq_cbor_need(r, &m, 4);
    c->priority = (uint32_t)chq_cbor_get_uint_max(r, INT32_MAX); /* RFC 8445 section 5.1.2: below 2^31 */
    chq_cbor_need(r, &m, 5);
    get_ice_text(r, 1, FOUNDATION_MAX, c->foundation);
    chq_cbor_map_end(r, &m);
    if (r->err != CHQ_OK)
        return;
    if (ip.size == 4 || ip.size == 16) {
        c->address.family = ip.size == 4 ? 4 : 6;
        memcpy(c->address.ip, ip.data, ip.size);
    }
    if (c->kind < CHQ_CANDIDATE_HOST || c->address.family == 0 || c->priority == 0 || !reachable(&c->address))
        chq_reader_fail(r, CHQ_MALFORMED);
}

static void get_candidates(struct chq_reader *r, struct chq_signal_message *out)
{
    out->candidates_count = (uint32_t)chq_cbor_get_array(r, CHQ_CALL_CANDIDATES_PER_MESSAGE);
    for (uint32_t i = 0; i < out->candidates_count && r->err == CHQ_OK; i++)
        get_candidate(r, &out->candidates[i]);
}

static void get_description(struct chq_reader *r, struct chq_cbor_map *m, struct chq_signal_message *out)
{
    chq_cbor_need(r, m, KEY_RANDOM);
    chq_cbor_get_fixed(r, out->random, sizeof out->random);
    chq_cbor_need(r, m, KEY_UFRAG);
    get_ice_text(r, UFRAG_MIN, ICE_TEXT_MAX, out->credentials.ufrag);
    chq_cbor_need(r, m, KEY_PASSWORD);
    get_ice_text(r, PASSWORD_MIN, ICE_TEXT_MAX, out->credentials.password);
    chq_cbor_need(r, m, KEY_CANDIDATES);
    get_candidates(r, out);
}

enum chq_err chq_signal_read(struct chq_bytes in, struct chq_signal_message *out)
{
    memset(out, 0, sizeof *out);
    if (in.size > CHQ_CALL_SIGNAL_BYTES_MAX)
        return CHQ_LIMIT;
    struct chq_reader r = chq_reader(in);
    struct chq_cbor_map m = chq_cbor_get_map(&r, 8);
    chq_cbor_need(&r, &m, KEY_TYPE);
    out->type = (enum chq_call_signal)chq_cbor_get_uint_max(&r, CHQ_CALL_SIGNAL_HANGUP);
    switch (out->type) {
    case CHQ_CALL_SIGNAL_OFFER:
        chq_cbor_need(&r, &m, KEY_VERSION);
        if (chq_cbor_get_uint(&r) != VERSION && r.err == CHQ_OK)
            chq_reader_fail(&r, CHQ_UNSUPPORTED);
        chq_cbor_need(&r, &m, KEY_SENT);
        out->sent_ms = chq_cbor_get_uint(&r);
        get_description(&r, &m, out);
        break;
    case CHQ_CALL_SIGNAL_ANSWER: get_description(&r, &m, out); break;
    case CHQ_CALL_SIGNAL_CANDIDATES:
        chq_cbor_need(&r, &m, KEY_CANDIDATES);
        get_candidates(&r, out);
        if (out->candidates_count == 0)
            chq_reader_fail(&r, CHQ_MALFORMED);
        break;
    case CHQ_CALL_SIGNAL_RINGING: break;
    case CHQ_CALL_SIGNAL_HANGUP:
        chq_cbor_need(&r, &m, KEY_REASON);
        out->reason = (enum chq_call_end)chq_cbor_get_uint_max(&r, CHQ_CALL_END_FAILED);
        if (out->reason == CHQ_CALL_END_NONE)
            chq_reader_fail(&r, CHQ_MALFORMED);
        break;
    default: chq_reader_fail(&r, CHQ_MALFORMED);
    }
    chq_cbor_map_end(&r, &m);
    const enum chq_err err = chq_reader_finish(&r);
    if (err != CHQ_OK)
        memset(out, 0, sizeof *out);
    return err;
}

static void put_candidates(struct chq_writer *w, const struct chq_signal_message *message)
{
    chq_cbor_put_key(w, KEY_CANDIDATES);
    chq_cbor_put_array(w, message->candidates_count);
    for (uint32_t i = 0; i < message->candidates_count; i++) {
        const struct chq_candidate *c = &message->candidates[i];
        chq_cbor_put_map(w, 5);
        chq_cbor_pair_uint(w, 1, c->kind);
        chq_cbor_pair_bytes(w, 2, c->address.ip, c->address.family == 4 ? 4 : 16);
        chq_cbor_pair_uint(w, 3, c->address.port);
        chq_cbor_pair_uint(w, 4, c->priority);
        chq_cbor_pair_text(w, 5, chq_bytes_text(c->foundation));
    }
}

static void put_description(struct chq_writer *w, const struct chq_signal_message *message)
{
    chq_cbor_pair_bytes(w, KEY_RANDOM, message->random, sizeof message->random);
    chq_cbor_pair_text(w, KEY_UFRAG, chq_bytes_text(message->credentials.ufrag));
    chq_cbor_pair_text(w, KEY_PASSWORD, chq_bytes_text(message->credentials.password));
    put_candidates(w, message);
}

void chq_signal_write(struct chq_writer *w, const struct chq_signal_message *message)
{
    static const uint8_t pairs[] = {0, 7, 5, 2, 1, 2};
    chq_cbor_put_map(w, pairs[message->type]);
    chq_cbor_pair_uint(w, KEY_TYPE, message->type);
    switch (message->type) {
    case CHQ_CALL_SIGNAL_OFFER:
        chq_cbor_pair_uint(w, KEY_VERSION, VERSION);
        chq_cbor_pair_uint(w, KEY_SENT, message->sent_ms);
        put_description(w, message);
        break;
    case CHQ_CALL_SIGNAL_ANSWER: put_description(w, message); break;
    case CHQ_CALL_SIGNAL_CANDIDATES: put_candidates(w, message); break;
    case CHQ_CALL_SIGNAL_RINGING: break;
    case CHQ_CALL_SIGNAL_HANGUP: chq_cbor_pair_uint(w, KEY_REASON, message->reason); break;
    }
}
