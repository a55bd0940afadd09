/* SPDX-License-Identifier: Apache-2.0 */
/* A session at rest (docs/protocol.md section 3.6): written and read side by side. */
#include <stdlib.h>
#include <string.h>

#include "core/session/internal.h"
#include "core/wire/cbor.h"

#define STATE_VERSION 1
#define SKIPPED_BYTES 48 /* chain u32, number u32, stored at u64, key 32 */
#define RECENT_BYTES  12 /* number u32, fingerprint 8 */
#define FIELDS_ALWAYS 23 /* keys 1 to 23; 24 to 26 when there is something */
#define FIELDS_MAX    26

enum { IS_INITIATOR = 1, IS_CONFIRMED = 2, IS_SENDING = 4, OFFERS_KEM = 8, ANSWERS_KEM = 16, ALL_FLAGS = 31 };

static uint64_t pack_flags(const struct chq_session *s)
{
    return (s->info.initiator ? IS_INITIATOR : 0u) | (s->info.confirmed ? IS_CONFIRMED : 0u) |
           (s->ratchet.sending ? IS_SENDING : 0u) | (s->ratchet.offers_kem ? OFFERS_KEM : 0u) |
           (s->ratchet.answers_kem ? ANSWERS_KEM : 0u);
}

static void unpack_flags(struct chq_session *s, uint64_t flags)
{
    s->info.initiator = (flags & IS_INITIATOR) != 0;
    s->info.confirmed = (flags & IS_CONFIRMED) != 0;
    s->ratchet.sending = (flags & IS_SENDING) != 0;
    s->ratchet.offers_kem = (flags & OFFERS_KEM) != 0;
    s->ratchet.answers_kem = (flags & ANSWERS_KEM) != 0;
}

static uint32_t recent_held(const struct chq_receive_chain *chain)
{
    return chain->recent_count < CHQ_SESSION_RECENT_MAX ? chain->recent_count : CHQ_SESSION_RECENT_MAX;
}

static void write_chain(struct chq_writer *w, const struct chq_receive_chain *chain)
{
    uint8_t storage[CHQ_SESSION_RECENT_MAX * RECENT_BYTES];
    struct chq_writer recent = chq_writer_fixed(storage, sizeof storage);
    for (uint32_t i = 0; i < recent_held(chain); i++) {
        chq_write_u32(&recent, chain->recent[i].n);
        chq_write_bytes(&recent, chain->recent[i].fingerprint, CHQ_FINGERPRINT_BYTES);
    }
    chq_cbor_put_map(w, 5);
    chq_cbor_pair_uint(w, 1, chain->number);
    chq_cbor_pair_uint(w, 2, chain->next_n);
    chq_cbor_pair_bytes(w, 3, chain->header_key, sizeof chain->header_key);
    chq_cbor_pair_uint(w, 4, chain->recent_count);
    chq_cbor_pair_bytes(w, 5, recent.data, recent.size);
}

static void read_chain(struct chq_reader *r, struct chq_receive_chain *chain)
{
    struct chq_cbor_map m = chq_cbor_get_map(r, 5);
    chq_cbor_need(r, &m, 1);
    chain->number = (uint32_t)chq_cbor_get_uint_max(r, UINT32_MAX);
    chq_cbor_need(r, &m, 2);
    chain->next_n = (uint32_t)chq_cbor_get_uint_max(r, INT32_MAX);
    chq_cbor_need(r, &m, 3);
    chq_cbor_get_fixed(r, chain->header_key, sizeof chain->header_key);
    chq_cbor_need(r, &m, 4);
    chain->recent_count = (uint32_t)chq_cbor_get_uint_max(r, UINT32_MAX);
    chq_cbor_need(r, &m, 5);
    struct chq_reader recent = chq_reader(chq_cbor_get_bytes(r, CHQ_SESSION_RECENT_MAX * RECENT_BYTES));
    chq_cbor_map_end(r, &m);
    for (uint32_t i = 0; i < recent_held(chain); i++) {
        chain->recent[i].n = chq_read_u32(&recent);
        chq_read_copy(&recent, chain->recent[i].fingerprint, CHQ_FINGERPRINT_BYTES);
    }
    if (chq_reader_finish(&recent) != CHQ_OK || chain->number == 0)
        chq_reader_fail(r, CHQ_MALFORMED);
}

static void write_skipped(struct chq_writer *w, const struct chq_skipped_list *list)
{
    uint8_t record[SKIPPED_BYTES];
    chq_cbor_put_array(w, list->n);
    for (uint32_t i = 0; i < list->n; i++) {
        chq_store_u32(record, list->v[i].chain);
        chq_store_u32(record + 4, list->v[i].n);
        chq_store_u64(record + 8, list->v[i].stored_s);
        memcpy(record + 16, list->v[i].key, CHQ_RATCHET_KEY_BYTES);
        chq_cbor_put_bytes(w, chq_bytes(record, sizeof record));
    }
    chq_wipe(record, sizeof record);
}

static void read_skipped(struct chq_reader *r, struct chq_skipped_list *list)
{
    uint8_t record[SKIPPED_BYTES];
    uint32_t n = (uint32_t)chq_cbor_get_array(r, CHQ_SESSION_SKIPPED_KEYS_MAX);
    if (chq_skipped_reserve(list, n) != CHQ_OK)
        chq_reader_fail(r, CHQ_NO_MEMORY);
    while (r->err == CHQ_OK && list->n < n) {
        struct chq_skipped *key = &list->v[list->n++];
        chq_cbor_get_fixed(r, record, sizeof record);
        key->chain = chq_load_u32(record);
        key->n = chq_load_u32(record + 4);
        key->stored_s = chq_load_u64(record + 8);
        memcpy(key->key, record + 16, CHQ_RATCHET_KEY_BYTES);
    }
    chq_wipe(record, sizeof record);
}

static void write_seal(struct chq_writer *w, const struct chq_seal_target *seal)
{
    chq_cbor_put_map(w, 3);
    chq_cbor_pair_uint(w, 1, seal->signed_id);
    chq_cbor_pair_bytes(w, 2, seal->kem_key, sizeof seal->kem_key);
    chq_cbor_pair_bytes(w, 3, seal->handshake, sizeof seal->handshake);
}

static void read_seal(struct chq_reader *r, struct chq_session *session)
{
    struct chq_handshake ignored;
    struct chq_cbor_map m = chq_cbor_get_map(r, 3);
    session->seal = r->err == CHQ_OK ? calloc(1, sizeof *session->seal) : NULL;
    if (session->seal == NULL) {
        chq_reader_fail(r, CHQ_NO_MEMORY);
        return;
    }
    chq_cbor_need(r, &m, 1);
    session->seal->signed_id = (uint32_t)chq_cbor_get_uint_max(r, UINT32_MAX);
    chq_cbor_need(r, &m, 2);
    chq_cbor_get_fixed(r, session->seal->kem_key, sizeof session->seal->kem_key);
    chq_cbor_need(r, &m, 3);
    chq_cbor_get_fixed(r, session->seal->handshake, sizeof session->seal->handshake);
    chq_cbor_map_end(r, &m);
    if (chq_handshake_read(&ignored, session->seal->handshake) != CHQ_OK)
        chq_reader_fail(r, CHQ_MALFORMED);
}

/* The fields that are 16 or 32 bytes and always there, by key. */
struct fixed_field {
    uint64_t key;
    void *data;
    size_t size;
};
#define FIXED_FIELDS 14
#define FIXED(k, v)                                                                                          \
    {                                                                                                        \
        (k), (v), sizeof(v)                                                                                  \
    }

static void list_fixed(struct fixed_field out[FIXED_FIELDS], struct chq_session *s)
{
    const struct fixed_field all[FIXED_FIELDS] = {FIXED(2, s->info.id), FIXED(3, s->info.peer.account_id),
        FIXED(4, s->info.peer.signing_key), FIXED(5, s->info.peer.identity_key), FIXED(6, s->transcript),
        FIXED(7, s->export_key), FIXED(8, s->ratchet.root_key), FIXED(9, s->ratchet.own.secret_key),
        FIXED(10, s->ratchet.peer_key), FIXED(11, s->ratchet.send_chain_key),
        FIXED(12, s->ratchet.send_header_key), FIXED(13, s->ratchet.send_next_header_key),
        FIXED(14, s->ratchet.receive_chain_key), FIXED(15, s->ratchet.receive_next_header_key)};
    memcpy(out, all, sizeof all);
}

void chq_session_write(struct chq_writer *w, const struct chq_session *session)
{
    const struct chq_ratchet *r = &session->ratchet;
    struct fixed_field fixed[FIXED_FIELDS];
    list_fixed(fixed, (struct chq_session *)session); /* read only here */
    chq_cbor_put_map(w, FIELDS_ALWAYS + (r->offers_kem ? 1u : 0u) + (r->answers_kem ? 1u : 0u) +
                            (session->seal != NULL ? 1u : 0u));
    chq_cbor_pair_uint(w, 1, STATE_VERSION);
    for (size_t i = 0; i < FIXED_FIELDS; i++)
        chq_cbor_pair_bytes(w, fixed[i].key, fixed[i].data, fixed[i].size);
    chq_cbor_pair_uint(w, 16, session->info.started_s);
    chq_cbor_pair_uint(w, 17, pack_flags(session));
    chq_cbor_pair_uint(w, 18, r->send_n);
    chq_cbor_pair_uint(w, 19, r->send_previous_n);
    chq_cbor_pair_uint(w, 20, r->since_rekey);
    chq_cbor_pair_uint(w, 21, r->rekeyed_s);
    chq_cbor_put_key(w, 22);
    chq_cbor_put_array(w, r->n_chains);
    for (uint32_t i = 0; i < r->n_chains; i++)
        write_chain(w, &r->chains[i]);
    chq_cbor_put_key(w, 23);
    write_skipped(w, &session->skipped);
    if (r->offers_kem)
        chq_cbor_pair_bytes(w, 24, r->kem_seed, sizeof r->kem_seed);
    if (r->answers_kem)
        chq_cbor_pair_bytes(w, 25, r->kem_ciphertext, sizeof r->kem_ciphertext);
    if (session->seal != NULL) {
        chq_cbor_put_key(w, 26);
        write_seal(w, session->seal);
    }
}

static void read_numbers(struct chq_reader *r, struct chq_cbor_map *m, struct chq_session *s)
{
    chq_cbor_need(r, m, 16);
    s->info.started_s = chq_cbor_get_uint(r);
    chq_cbor_need(r, m, 17);
    unpack_flags(s, chq_cbor_get_uint_max(r, ALL_FLAGS));
    chq_cbor_need(r, m, 18);
    s->ratchet.send_n = (uint32_t)chq_cbor_get_uint_max(r, INT32_MAX);
    chq_cbor_need(r, m, 19);
    s->ratchet.send_previous_n = (uint32_t)chq_cbor_get_uint_max(r, INT32_MAX);
    chq_cbor_need(r, m, 20);
    s->ratchet.since_rekey = (uint32_t)chq_cbor_get_uint_max(r, UINT32_MAX);
    chq_cbor_need(r, m, 21);
    s->ratchet.rekeyed_s = chq_cbor_get_uint(r);
}

static void read_lists(struct chq_reader *r, struct chq_cbor_map *m, struct chq_session *s)
{
    struct chq_ratchet *ratchet = &s->ratchet;
    chq_cbor_need(r, m, 22);
    ratchet->n_chains = (uint32_t)chq_cbor_get_array(r, CHQ_SESSION_CHAINS_MAX);
    for (uint32_t i = 0; i < ratchet->n_chains; i++) {
        read_chain(r, &ratchet->chains[i]);
        if (i > 0 && ratchet->chains[i].number >= ratchet->chains[i - 1].number)
            chq_reader_fail(r, CHQ_MALFORMED);
    }
    chq_cbor_need(r, m, 23);
    read_skipped(r, &s->skipped);
}

static void read_rekeying(struct chq_reader *r, struct chq_cbor_map *m, struct chq_ratchet *ratchet)
{
    if (ratchet->offers_kem) {
        struct chq_kem_pair pair;
        chq_cbor_need(r, m, 24);
        chq_cbor_get_fixed(r, ratchet->kem_seed, sizeof ratchet->kem_seed);
        chq_kem_pair_from_seed(&pair, ratchet->kem_seed);
        memcpy(ratchet->kem_key, pair.public_key, sizeof ratchet->kem_key);
        chq_wipe(&pair, sizeof pair);
    }
    if (ratchet->answers_kem) {
        chq_cbor_need(r, m, 25);
        chq_cbor_get_fixed(r, ratchet->kem_ciphertext, sizeof ratchet->kem_ciphertext);
    }
}

/* What no session of ours can be: unable to send, or with a seal where there can be none. */
static bool is_consistent(const struct chq_session *s)
{
    bool seal = s->seal != NULL;
    return s->ratchet.sending && seal == !s->info.confirmed && (s->info.initiator || s->info.confirmed) &&
           (s->ratchet.n_chains > 0) == s->info.confirmed;
}

static enum chq_err read_state(struct chq_session *s, struct chq_bytes in)
{
    struct fixed_field fixed[FIXED_FIELDS];
    struct chq_reader r = chq_reader(in);
    struct chq_cbor_map m = chq_cbor_get_map(&r, FIELDS_MAX);
    chq_cbor_need(&r, &m, 1);
    if (chq_cbor_get_uint(&r) != STATE_VERSION)
        chq_reader_fail(&r, CHQ_UNSUPPORTED);
    list_fixed(fixed, s);
    for (size_t i = 0; i < FIXED_FIELDS; i++) {
        chq_cbor_need(&r, &m, fixed[i].key);
        chq_cbor_get_fixed(&r, fixed[i].data, fixed[i].size);
    }
    read_numbers(&r, &m, s);
    read_lists(&r, &m, s);
    read_rekeying(&r, &m, &s->ratchet);
    if (chq_cbor_has(&r, &m, 26))
        read_seal(&r, s);
    chq_cbor_map_end(&r, &m);
    CHQ_TRY(chq_reader_finish(&r));
    if (!is_consistent(s))
        return CHQ_MALFORMED;
    struct chq_dh_pair own;
    chq_dh_pair_from_seed(&own, s->ratchet.own.secret_key);
    s->ratchet.own = own;
    chq_wipe(&own, sizeof own);
    return CHQ_OK;
}

enum chq_err chq_session_read(struct chq_session **out, struct chq_bytes in)
{
    *out = NULL;
    if (in.size > CHQ_SESSION_STATE_BYTES_MAX)
        return CHQ_MALFORMED;
    struct chq_session *session = calloc(1, sizeof *session);
    enum chq_err err = session != NULL ? read_state(session, in) : CHQ_NO_MEMORY;
    if (err == CHQ_OK) {
        *out = session;
        session = NULL;
    }
    chq_session_free(session);
    return err;
}
