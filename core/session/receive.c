/* SPDX-License-Identifier: Apache-2.0 */
/* RatchetDecryptHE: find the key of a message, open it, and only then change the session. */
#include <stdlib.h>
#include <string.h>

#include "core/base/assert.h"
#include "core/session/internal.h"

/* One message on its way in. The session itself is not touched before `commit`. */
struct receipt {
    const uint8_t *message;
    size_t size;
    struct chq_ratchet_header header;
    struct chq_ratchet next; /* the ratchet as it will be */
    uint8_t key[CHQ_RATCHET_KEY_BYTES]; /* the message key */
    uint8_t fingerprint[CHQ_FINGERPRINT_BYTES]; /* of header and nonce */
    uint32_t new_skipped; /* keys written behind the list's end, counted in by `commit` */
    int64_t used_skipped; /* index of the skipped key that opens it, or -1 */
    uint8_t extension[CHQ_KEM_PUBLIC_BYTES + CHQ_KEM_CIPHERTEXT_BYTES];
};

static struct chq_bytes session_associated(const struct chq_session *session)
{
    return chq_bytes(session->transcript, sizeof session->transcript);
}

/* Try to open the header with `key`. CHQ_AUTH when it is under another key. */
static enum chq_err open_header(
    struct receipt *in, const struct chq_session *session, const uint8_t key[CHQ_RATCHET_KEY_BYTES])
{
    uint8_t header[CHQ_HEADER_BYTES];
    CHQ_TRY(chq_aead_open(header, key, in->message,
        chq_bytes(in->message + CHQ_HEADER_AT, CHQ_HEADER_BOX_BYTES), session_associated(session)));
    CHQ_TRY(chq_header_read(&in->header, header));
    if (in->size < CHQ_MESSAGE_BYTES_MIN + chq_extension_box_bytes(in->header.flags))
        return CHQ_MALFORMED;
    return CHQ_OK;
}

static enum chq_err open_extension(
    struct receipt *in, const struct chq_session *session, const uint8_t key[CHQ_RATCHET_KEY_BYTES])
{
    uint8_t nonce[CHQ_AEAD_NONCE_BYTES];
    size_t size = chq_extension_box_bytes(in->header.flags);
    if (size == 0)
        return CHQ_OK;
    memcpy(nonce, in->message, sizeof nonce);
    nonce[sizeof nonce - 1] ^= 1;
    return chq_aead_open(in->extension, key, nonce, chq_bytes(in->message + CHQ_EXTENSION_AT, size),
        session_associated(session));
}

/* Name the message, so that a second one under the same number can be told from the same one again. */
static void fingerprint(struct receipt *in)
{
    uint8_t hash[CHQ_HASH_BYTES];
    struct chq_bytes part =
        chq_bytes(in->message, CHQ_EXTENSION_AT); /* what the header key has authenticated */
    chq_hash(hash, "chasqui fingerprint v1", &part, 1);
    memcpy(in->fingerprint, hash, sizeof in->fingerprint);
}

static void remember(struct chq_receive_chain *chain, uint32_t n, const uint8_t *print)
{
    struct chq_recent *slot = &chain->recent[chain->recent_count % CHQ_SESSION_RECENT_MAX];
    slot->n = n;
    memcpy(slot->fingerprint, print, sizeof slot->fingerprint);
    chain->recent_count++;
}

/* The number was used: say whether by this very message (CHQ_STATE) or by another (CHQ_EXISTS). */
static enum chq_err used_number(const struct receipt *in, const struct chq_receive_chain *chain)
{
    uint32_t held =
        chain->recent_count < CHQ_SESSION_RECENT_MAX ? chain->recent_count : CHQ_SESSION_RECENT_MAX;
    for (uint32_t i = 0; i < held; i++)
        if (chain->recent[i].n == in->header.n)
            return memcmp(chain->recent[i].fingerprint, in->fingerprint, sizeof in->fingerprint) == 0
                       ? CHQ_STATE
                       : CHQ_EXISTS;
    return CHQ_STATE;
}

/* Step `chain_key` from number `from` to `to`; keep the keys after the first `drop` behind the skipped list's end. */
static void skip(struct receipt *in, struct chq_session *session, uint8_t *chain_key, uint32_t chain,
    uint32_t from, uint32_t to, uint32_t *drop, uint64_t now_s)
{
    struct chq_skipped_list *list = &session->skipped;
    for (uint32_t n = from; n < to; n++) {
        if (*drop > 0) {
            (*drop)--;
            chq_chain_key_step(chain_key, NULL);
            continue;
        }
        CHQ_ASSERT(list->n + in->new_skipped < list->cap);
        struct chq_skipped *slot = &list->v[list->n + in->new_skipped++];
        *slot = (struct chq_skipped){.chain = chain, .n = n, .stored_s = now_s};
        chq_chain_key_step(chain_key, slot->key);
    }
}

/* Refuse a jump that is too long, and make room for the keys of one that is not, before any work is done. */
static enum chq_err prepare_skip(struct chq_session *session, uint64_t jump, uint32_t *drop)
{
    if (jump > CHQ_SESSION_FORWARD_JUMP_MAX)
        return CHQ_LIMIT;
    uint32_t kept = jump < CHQ_SESSION_SKIPPED_KEYS_MAX ? (uint32_t)jump : CHQ_SESSION_SKIPPED_KEYS_MAX;
    *drop = (uint32_t)jump - kept;
    return chq_skipped_reserve(&session->skipped, kept);
}

/* The header opened under the key of a chain that is known. */
static enum chq_err find_key_in_chain(
    struct receipt *in, struct chq_session *session, uint32_t index, uint64_t now_s)
{
    struct chq_receive_chain *chain = &in->next.chains[index];
    uint32_t n = in->header.n, drop = 0;
    fingerprint(in);
    if (n >= INT32_MAX)
        return CHQ_LIMIT;
    if (n < chain->next_n) {
        in->used_skipped = chq_skipped_find(&session->skipped, chain->number, n, now_s);
        if (in->used_skipped < 0)
            return used_number(in, chain);
        memcpy(in->key, session->skipped.v[in->used_skipped].key, sizeof in->key);
    } else if (index > 0) {
        return CHQ_EXISTS; /* the chain was closed at a lower number: somebody went on with an old copy */
    } else {
        CHQ_TRY(prepare_skip(session, (uint64_t)n - chain->next_n, &drop));
        skip(in, session, in->next.receive_chain_key, chain->number, chain->next_n, n, &drop, now_s);
        chq_chain_key_step(in->next.receive_chain_key, in->key);
        chain->next_n = n + 1;
    }
    remember(chain, n, in->fingerprint);
    return CHQ_OK;
}

/* The header opened under the next header key: the peer began a new chain. */
static enum chq_err find_key_in_new_chain(
    struct receipt *in, struct chq_session *session, uint64_t now_s, const struct chq_random *random)
{
    struct chq_ratchet *r = &in->next;
    uint32_t open_n = r->n_chains > 0 ? r->chains[0].next_n : 0, drop = 0;
    fingerprint(in);
    if (r->n_chains > 0 && in->header.previous_n < open_n)
        return CHQ_EXISTS; /* it sent fewer than we received: it forgot some */
    if (r->n_chains == 0 && in->header.previous_n != 0)
        return CHQ_AUTH;
    if (in->header.n >= INT32_MAX || in->header.previous_n > INT32_MAX)
        return CHQ_LIMIT;
    CHQ_TRY(prepare_skip(session, (uint64_t)in->header.previous_n - open_n + in->header.n, &drop));
    CHQ_TRY(open_extension(in, session, r->receive_next_header_key));
    if (r->n_chains > 0) {
        skip(in, session, r->receive_chain_key, r->chains[0].number, open_n, in->header.previous_n, &drop,
            now_s);
        r->chains[0].next_n = in->header.previous_n;
    }
    CHQ_TRY(chq_ratchet_step(r, &in->header, in->extension, now_s, random));
    skip(in, session, r->receive_chain_key, r->chains[0].number, 0, in->header.n, &drop, now_s);
    chq_chain_key_step(r->receive_chain_key, in->key);
    r->chains[0].next_n = in->header.n + 1;
    remember(&r->chains[0], in->header.n, in->fingerprint);
    return CHQ_OK;
}

/* Find whose the message is by trying the header keys, the current chain's first. */
static enum chq_err find_key(
    struct receipt *in, struct chq_session *session, uint64_t now_s, const struct chq_random *random)
{
    for (uint32_t i = 0; i < in->next.n_chains; i++) {
        enum chq_err err = open_header(in, session, in->next.chains[i].header_key);
        if (err == CHQ_OK)
            return find_key_in_chain(in, session, i, now_s);
        if (err != CHQ_AUTH)
            return err;
    }
    CHQ_TRY(open_header(in, session, in->next.receive_next_header_key));
    return find_key_in_new_chain(in, session, now_s, random);
}

/* Open the body and append its content to `plain`; whatever was appended is complete and authentic. */
static enum chq_err open_body(
    const struct receipt *in, const struct chq_session *session, struct chq_writer *plain)
{
    size_t body_at = CHQ_EXTENSION_AT + chq_extension_box_bytes(in->header.flags);
    size_t size = in->size - body_at - CHQ_AEAD_OVERHEAD_BYTES;
    uint8_t associated[CHQ_HASH_BYTES];
    struct chq_bytes content;
    uint8_t *body = malloc(size);
    if (body == NULL)
        return CHQ_NO_MEMORY;
    chq_message_associated(associated, session, in->message, body_at);
    enum chq_err err = chq_aead_open(body, in->key, in->message,
        chq_bytes(in->message + body_at, in->size - body_at), chq_bytes(associated, sizeof associated));
    if (err == CHQ_OK)
        err = chq_body_read(&content, chq_bytes(body, size));
    if (err == CHQ_OK) {
        chq_write_bytes(plain, content.data, content.size);
        err = chq_writer_finish(plain);
    }
    chq_wipe(body, size);
    free(body);
    return err;
}

/* Nothing can fail from here on. */
static void commit(struct chq_session *session, struct receipt *in, uint64_t now_s)
{
    in->next.since_rekey++;
    session->ratchet = in->next;
    session->skipped.n += in->new_skipped;
    if (in->used_skipped >= 0)
        chq_skipped_remove(&session->skipped, (uint32_t)in->used_skipped);
    const struct chq_ratchet *r = &session->ratchet;
    chq_skipped_prune(&session->skipped, r->chains[r->n_chains - 1].number, now_s);
    session->info.confirmed = true;
    if (session->seal != NULL)
        chq_wipe(session->seal, sizeof *session->seal);
    free(session->seal);
    session->seal = NULL;
}

static enum chq_err decrypt_message(struct chq_session *session, struct chq_bytes message, uint64_t now_s,
    const struct chq_random *random, struct chq_writer *plain)
{
    struct receipt in = {
        .message = message.data, .size = message.size, .next = session->ratchet, .used_skipped = -1};
    if (message.size < CHQ_MESSAGE_BYTES_MIN)
        return CHQ_MALFORMED;
    enum chq_err err = find_key(&in, session, now_s, random);
    if (err == CHQ_OK)
        err = open_body(&in, session, plain);
    if (err == CHQ_OK)
        commit(session, &in, now_s);
    else if (in.new_skipped > 0)
        chq_wipe(session->skipped.v + session->skipped.n, in.new_skipped * sizeof *session->skipped.v);
    chq_wipe(&in, sizeof in);
    return err;
}

enum chq_err chq_session_decrypt(struct chq_session *session, struct chq_bytes envelope, uint64_t now_s,
    const struct chq_random *random, struct chq_writer *plain)
{
    enum chq_envelope_kind kind;
    CHQ_TRY(chq_envelope_kind(&kind, envelope));
    if (kind != CHQ_ENVELOPE_NORMAL)
        return CHQ_MALFORMED;
    return decrypt_message(session,
        chq_bytes(envelope.data + CHQ_ENVELOPE_PREFIX_BYTES, envelope.size - CHQ_ENVELOPE_PREFIX_BYTES),
        now_s, random, plain);
}

enum chq_err chq_session_decrypt_initial(struct chq_session *session, const struct chq_initial *initial,
    uint64_t now_s, const struct chq_random *random, struct chq_writer *plain)
{
    if (memcmp(session->info.id, initial->session_id, sizeof session->info.id) != 0)
        return CHQ_AUTH;
    return decrypt_message(session,
        chq_bytes(initial->block + CHQ_HANDSHAKE_BYTES, initial->block_bytes - CHQ_HANDSHAKE_BYTES), now_s,
        random, plain);
}
