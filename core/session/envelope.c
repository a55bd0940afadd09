/* SPDX-License-Identifier: Apache-2.0 */
#include "core/session/envelope.h"

#include <string.h>

#include "core/base/assert.h"
#include "core/session/session.h"

static const size_t buckets[] = {256, 1024, 4096, CHQ_ENVELOPE_BYTES_MAX};

size_t chq_envelope_bucket(size_t bytes)
{
    for (size_t i = 0; i < sizeof buckets / sizeof *buckets; i++)
        if (bytes <= buckets[i])
            return buckets[i];
    return 0;
}

bool chq_envelope_is_bucket(size_t bytes)
{
    return chq_envelope_bucket(bytes) == bytes && bytes > 0;
}

enum chq_err chq_envelope_kind(enum chq_envelope_kind *kind, struct chq_bytes envelope)
{
    if (!chq_envelope_is_bucket(envelope.size))
        return CHQ_MALFORMED;
    if (envelope.data[0] != CHQ_ENVELOPE_VERSION)
        return CHQ_UNSUPPORTED;
    if (envelope.data[1] != CHQ_ENVELOPE_INITIAL && envelope.data[1] != CHQ_ENVELOPE_NORMAL)
        return CHQ_MALFORMED;
    if (envelope.data[1] == CHQ_ENVELOPE_INITIAL &&
        envelope.size < CHQ_SEAL_OVERHEAD_BYTES + CHQ_HANDSHAKE_BYTES + CHQ_MESSAGE_BYTES_MIN)
        return CHQ_MALFORMED;
    *kind = (enum chq_envelope_kind)envelope.data[1];
    return CHQ_OK;
}

void chq_header_write(uint8_t out[CHQ_HEADER_BYTES], const struct chq_ratchet_header *header)
{
    struct chq_writer w = chq_writer_fixed(out, CHQ_HEADER_BYTES);
    chq_write_u8(&w, header->flags);
    chq_write_bytes(&w, header->key, sizeof header->key);
    chq_write_u32(&w, header->previous_n);
    chq_write_u32(&w, header->n);
    CHQ_ASSERT(w.err == CHQ_OK && w.size == CHQ_HEADER_BYTES);
}

enum chq_err chq_header_read(struct chq_ratchet_header *out, const uint8_t in[CHQ_HEADER_BYTES])
{
    struct chq_reader r = chq_reader(chq_bytes(in, CHQ_HEADER_BYTES));
    out->flags = chq_read_u8(&r);
    chq_read_copy(&r, out->key, sizeof out->key);
    out->previous_n = chq_read_u32(&r);
    out->n = chq_read_u32(&r);
    if (out->flags & ~(CHQ_HEADER_HAS_KEM_KEY | CHQ_HEADER_HAS_KEM_CIPHERTEXT))
        chq_reader_fail(&r, CHQ_MALFORMED);
    return chq_reader_finish(&r);
}

size_t chq_extension_box_bytes(uint8_t flags)
{
    size_t bytes = 0;
    if (flags & CHQ_HEADER_HAS_KEM_KEY)
        bytes += CHQ_KEM_PUBLIC_BYTES;
    if (flags & CHQ_HEADER_HAS_KEM_CIPHERTEXT)
        bytes += CHQ_KEM_CIPHERTEXT_BYTES;
    return bytes > 0 ? bytes + CHQ_AEAD_OVERHEAD_BYTES : 0;
}

void chq_handshake_write(uint8_t out[CHQ_HANDSHAKE_BYTES], const struct chq_handshake *handshake)
{
    struct chq_writer w = chq_writer_fixed(out, CHQ_HANDSHAKE_BYTES);
    chq_write_bytes(&w, handshake->account_id, sizeof handshake->account_id);
    chq_write_bytes(&w, handshake->signing_key, sizeof handshake->signing_key);
    chq_write_bytes(&w, handshake->identity_key, sizeof handshake->identity_key);
    chq_write_bytes(&w, handshake->ephemeral_key, sizeof handshake->ephemeral_key);
    chq_write_u64(&w, handshake->started_s);
    chq_write_u32(&w, handshake->one_time_id);
    chq_write_u8(&w, handshake->kem_source);
    chq_write_bytes(&w, handshake->kem_ciphertext, sizeof handshake->kem_ciphertext);
    CHQ_ASSERT(w.err == CHQ_OK && w.size == CHQ_HANDSHAKE_BYTES);
}

enum chq_err chq_handshake_read(struct chq_handshake *out, const uint8_t in[CHQ_HANDSHAKE_BYTES])
{
    struct chq_reader r = chq_reader(chq_bytes(in, CHQ_HANDSHAKE_BYTES));
    chq_read_copy(&r, out->account_id, sizeof out->account_id);
    chq_read_copy(&r, out->signing_key, sizeof out->signing_key);
    chq_read_copy(&r, out->identity_key, sizeof out->identity_key);
    chq_read_copy(&r, out->ephemeral_key, sizeof out->ephemeral_key);
    out->started_s = chq_read_u64(&r);
    out->one_time_id = chq_read_u32(&r);
    out->kem_source = chq_read_u8(&r);
    chq_read_copy(&r, out->kem_ciphertext, sizeof out->kem_ciphertext);
    if (out->kem_source != CHQ_KEM_FROM_SIGNED && out->kem_source != CHQ_KEM_FROM_ONE_TIME)
        chq_reader_fail(&r, CHQ_MALFORMED);
    if (out->kem_source == CHQ_KEM_FROM_ONE_TIME && out->one_time_id == 0)
        chq_reader_fail(&r, CHQ_MALFORMED);
    return chq_reader_finish(&r);
}

void chq_body_write(uint8_t *body, size_t size, struct chq_bytes content)
{
    CHQ_ASSERT(content.size <= UINT16_MAX && content.size + CHQ_BODY_LENGTH_BYTES <= size);
    chq_store_u16(body, (uint16_t)content.size);
    if (content.size > 0)
        memcpy(body + CHQ_BODY_LENGTH_BYTES, content.data, content.size);
    size_t used = CHQ_BODY_LENGTH_BYTES + content.size;
    memset(body + used, 0, size - used);
}

enum chq_err chq_body_read(struct chq_bytes *content, struct chq_bytes body)
{
    struct chq_reader r = chq_reader(body);
    *content = chq_read_bytes(&r, chq_read_u16(&r));
    uint8_t padding = 0;
    while (chq_reader_left(&r) > 0)
        padding |= chq_read_u8(&r);
    if (padding != 0)
        chq_reader_fail(&r, CHQ_MALFORMED);
    return chq_reader_finish(&r);
}
