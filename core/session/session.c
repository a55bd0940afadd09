/* SPDX-License-Identifier: Apache-2.0 */
#include "core/session/session.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/assert.h"
#include "core/crypto/hkdf.h"
#include "core/session/internal.h"

#define HANDSHAKE_OVERHEAD_BYTES (CHQ_SEAL_OVERHEAD_BYTES + CHQ_HANDSHAKE_BYTES)
#define EXTENSION_BYTES_MAX      (CHQ_KEM_PUBLIC_BYTES + CHQ_KEM_CIPHERTEXT_BYTES)

/* The promise of session.h: whatever else an envelope carries, this much fits. */
_Static_assert(
    CHQ_SESSION_PLAIN_BYTES_MAX + HANDSHAKE_OVERHEAD_BYTES + CHQ_MESSAGE_BYTES_MIN <= CHQ_ENVELOPE_BYTES_MAX,
    "an initial envelope holds the largest plaintext");
_Static_assert(CHQ_SESSION_PLAIN_BYTES_MAX + CHQ_ENVELOPE_PREFIX_BYTES + CHQ_MESSAGE_BYTES_MIN +
                       EXTENSION_BYTES_MAX + CHQ_AEAD_OVERHEAD_BYTES <=
                   CHQ_ENVELOPE_BYTES_MAX,
    "a re-keying envelope holds the largest plaintext");
_Static_assert(CHQ_TEXT_BYTES_MAX + 64 <= CHQ_SESSION_PLAIN_BYTES_MAX, "a whole text fits one envelope");

/* The extension goes under the header key too, with a nonce of its own. */
static void extension_nonce(uint8_t out[CHQ_AEAD_NONCE_BYTES], const uint8_t nonce[CHQ_AEAD_NONCE_BYTES])
{
    memcpy(out, nonce, CHQ_AEAD_NONCE_BYTES);
    out[CHQ_AEAD_NONCE_BYTES - 1] ^= 1;
}

static struct chq_bytes session_associated(const struct chq_session *session)
{
    return chq_bytes(session->transcript, sizeof session->transcript);
}

void chq_message_associated(uint8_t out[CHQ_HASH_BYTES], const struct chq_session *session,
    const uint8_t *message, size_t bytes_before_body)
{
    const struct chq_bytes parts[] = {session_associated(session), chq_bytes(message, bytes_before_body)};
    chq_hash(out, "chasqui message v1", parts, 2);
}

static uint8_t sending_flags(const struct chq_ratchet *r)
{
    return (uint8_t)((r->offers_kem ? CHQ_HEADER_HAS_KEM_KEY : 0u) |
                     (r->answers_kem ? CHQ_HEADER_HAS_KEM_CIPHERTEXT : 0u));
}

/* Lay what re-keying needs behind the commitment of the extension box, where it is sealed in place. */
static void write_extension(uint8_t *at, const struct chq_ratchet *r)
{
    if (r->offers_kem) {
        memcpy(at, r->kem_key, sizeof r->kem_key);
        at += sizeof r->kem_key;
    }
    if (r->answers_kem)
        memcpy(at, r->kem_ciphertext, sizeof r->kem_ciphertext);
}

/* RatchetEncryptHE: fill `message` of `size` bytes, and advance `r`. */
static void encrypt_message(uint8_t *message, size_t size, const struct chq_session *session,
    struct chq_ratchet *r, struct chq_bytes plain, const struct chq_random *random)
{
    uint8_t *nonce = message, second_nonce[CHQ_AEAD_NONCE_BYTES];
    uint8_t header_bytes[CHQ_HEADER_BYTES], key[CHQ_RATCHET_KEY_BYTES], associated[CHQ_HASH_BYTES];
    struct chq_ratchet_header header = {
        .flags = sending_flags(r), .previous_n = r->send_previous_n, .n = r->send_n};
    size_t extension_size = chq_extension_box_bytes(header.flags);
    uint8_t *extension = message + CHQ_EXTENSION_AT, *body = extension + extension_size;
    chq_random_fill(random, nonce, CHQ_AEAD_NONCE_BYTES);
    memcpy(header.key, r->own.public_key, sizeof header.key);
    chq_header_write(header_bytes, &header);
    chq_aead_seal(message + CHQ_HEADER_AT, r->send_header_key, nonce,
        chq_bytes(header_bytes, sizeof header_bytes), session_associated(session));
    if (extension_size > 0) {
        extension_nonce(second_nonce, nonce);
        write_extension(extension + CHQ_AEAD_COMMIT_BYTES, r);
        chq_aead_seal(extension, r->send_header_key, second_nonce,
            chq_bytes(extension + CHQ_AEAD_COMMIT_BYTES, extension_size - CHQ_AEAD_OVERHEAD_BYTES),
            session_associated(session));
    }
    size_t body_size = size - (size_t)(body - message) - CHQ_AEAD_OVERHEAD_BYTES;
    chq_body_write(body + CHQ_AEAD_COMMIT_BYTES, body_size, plain);
    chq_chain_key_step(r->send_chain_key, key);
    chq_message_associated(associated, session, message, (size_t)(body - message));
    chq_aead_seal(body, key, nonce, chq_bytes(body + CHQ_AEAD_COMMIT_BYTES, body_size),
        chq_bytes(associated, sizeof associated));
    r->send_n++;
    r->since_rekey++;
    chq_wipe(key, sizeof key);
}

/* Take back `size` bytes that were appended to `w`, and leave none of them readable. */
static void take_back(struct chq_writer *w, uint8_t *at, size_t size)
{
    chq_wipe(at, size);
    w->size -= size;
}

enum chq_err chq_session_encrypt(struct chq_session *session, struct chq_bytes plain, uint64_t now_s,
    const struct chq_random *random, struct chq_writer *out)
{
    struct chq_ratchet next = session->ratchet;
    const struct chq_seal_target *seal = session->seal;
    size_t overhead = CHQ_MESSAGE_BYTES_MIN + chq_extension_box_bytes(sending_flags(&next));
    size_t before = seal != NULL ? HANDSHAKE_OVERHEAD_BYTES : CHQ_ENVELOPE_PREFIX_BYTES;
    size_t size =
        plain.size < CHQ_ENVELOPE_BYTES_MAX ? chq_envelope_bucket(before + overhead + plain.size) : 0;
    enum chq_err err = CHQ_OK;
    if (!next.sending)
        err = CHQ_STATE;
    else if (size == 0 || next.send_n == INT32_MAX)
        err = CHQ_LIMIT;
    uint8_t *envelope = err == CHQ_OK ? chq_write_space(out, size) : NULL;
    if (err == CHQ_OK && envelope == NULL)
        err = out->err != CHQ_OK ? out->err : CHQ_LIMIT;
    if (err != CHQ_OK)
        goto out;
    if (seal == NULL) {
        envelope[0] = CHQ_ENVELOPE_VERSION;
        envelope[1] = CHQ_ENVELOPE_NORMAL;
        encrypt_message(envelope + before, size - before, session, &next, plain, random);
    } else {
        uint8_t *block = envelope + CHQ_SEAL_PREFIX_BYTES + CHQ_AEAD_COMMIT_BYTES;
        memcpy(block, seal->handshake, sizeof seal->handshake);
        encrypt_message(block + sizeof seal->handshake, size - before, session, &next, plain, random);
        err = chq_seal_close(envelope, size - CHQ_SEAL_OVERHEAD_BYTES, &session->info.peer, seal, random);
        if (err != CHQ_OK) {
            take_back(out, envelope, size);
            goto out;
        }
    }
    session->ratchet = next;
    chq_skipped_prune(&session->skipped, 0, now_s);
out:
    chq_wipe(&next, sizeof next);
    return err;
}

const struct chq_session_info *chq_session_info(const struct chq_session *session)
{
    return &session->info;
}

bool chq_session_is_better(const struct chq_session *a, const struct chq_session *b)
{
    const struct chq_session_info *x = &a->info, *y = &b->info;
    if (x->confirmed != y->confirmed)
        return x->confirmed;
    if (x->started_s != y->started_s)
        return x->started_s > y->started_s;
    return memcmp(x->id, y->id, sizeof x->id) < 0;
}

void chq_session_export(const struct chq_session *session, struct chq_bytes label, uint8_t out[32])
{
    uint8_t info[CHQ_HASH_BYTES];
    chq_hash(info, "chasqui export v1", &label, 1);
    chq_hkdf(out, 32, chq_bytes_text(""), chq_bytes(session->export_key, sizeof session->export_key),
        chq_bytes(info, sizeof info));
}

void chq_session_free(struct chq_session *session)
{
    if (session == NULL)
        return;
    chq_skipped_fini(&session->skipped);
    if (session->seal != NULL)
        chq_wipe(session->seal, sizeof *session->seal);
    free(session->seal);
    chq_wipe(session, sizeof *session);
    free(session);
}
