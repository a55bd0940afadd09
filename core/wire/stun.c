/* SPDX-License-Identifier: Apache-2.0 */
#include "core/wire/stun.h"

#include <string.h>

#include "core/base/assert.h"
#include "core/base/text.h"

/* RFC 8489 section 14: 508 bytes of USERNAME; fewer than 128 characters, so 763 bytes, of the others. */
#define USERNAME_BYTES_MAX 508
#define TEXT_BYTES_MAX     763
#define SHA1_BYTES         20
#define SHA256_BYTES       32
#define FINGERPRINT_XOR    0x5354554Eu

enum chq_stun_kind chq_stun_kind_of(struct chq_bytes datagram)
{
    if (datagram.size < CHQ_CHANNEL_HEADER_BYTES)
        return CHQ_STUN_KIND_OTHER;
    if (datagram.data[0] <= 3)
        return CHQ_STUN_KIND_MESSAGE;
    return (datagram.data[0] & 0xC0) == 0x40 ? CHQ_STUN_KIND_CHANNEL_DATA : CHQ_STUN_KIND_OTHER;
}

/* RFC 8489 section 5: the type is M11..M7 C1 M6..M4 C0 M3..M0 below two zero bits. */
static uint16_t type_of(uint16_t method, enum chq_stun_class class)
{
    unsigned m = method, c = (unsigned)class;
    return (uint16_t)((m & 0xF80) << 2 | (c & 2) << 7 | (m & 0x070) << 1 | (c & 1) << 4 | (m & 0x00F));
}

static void split_type(uint16_t type, uint16_t *method, enum chq_stun_class *class)
{
    *method = (uint16_t)((type >> 2 & 0xF80) | (type >> 1 & 0x070) | (type & 0x00F));
    *class = (enum chq_stun_class)((type >> 7 & 2) | (type >> 4 & 1));
}

static bool text_is_clean(struct chq_bytes text, size_t min, size_t max, bool quoted)
{
    if (text.size < min || text.size > max || !chq_utf8_valid(text))
        return false;
    for (size_t i = 0; i < text.size; i++)
        if (text.data[i] < 0x20 || text.data[i] == 0x7F || (quoted && text.data[i] == '"'))
            return false;
    return true;
}

/* RFC 8489 section 14.2: address XOR-ed with the cookie, for IPv6 followed by the transaction id. */
static bool read_address(struct chq_bytes value, const uint8_t *cookie, struct chq_address *out)
{
    static const uint8_t plain[16];
    const uint8_t *mask = cookie != NULL ? cookie : plain;
    memset(out, 0, sizeof *out);
    if (value.size < 4)
        return false;
    size_t ip_bytes = value.data[1] == 1 ? 4 : 16;
    if (value.data[1] < 1 || value.data[1] > 2 || value.size != 4 + ip_bytes)
        return false;
    out->family = value.data[1] == 1 ? 4 : 6;
    out->port = (uint16_t)(chq_load_u16(value.data + 2) ^ chq_load_u16(mask));
    for (size_t i = 0; i < ip_bytes; i++)
        out->ip[i] = value.data[4 + i] ^ mask[i];
    return true;
}

/* What is known of an attribute: its sizes and, for texts, whether quotation marks are refused. */
struct form {
    uint16_t type;
    uint16_t min, max;
    uint32_t has;
    enum { RAW, TEXT, QUOTED } kind;
};

static const struct form forms[] = {
    {CHQ_STUN_MAPPED_ADDRESS, 8, 20, CHQ_STUN_HAS_MAPPED_PLAIN, RAW},
    {CHQ_STUN_USERNAME, 1, USERNAME_BYTES_MAX, CHQ_STUN_HAS_USERNAME, TEXT},
    {CHQ_STUN_MESSAGE_INTEGRITY, SHA1_BYTES, SHA1_BYTES, CHQ_STUN_HAS_INTEGRITY, RAW},
    {CHQ_STUN_ERROR_CODE, 4, 4 + TEXT_BYTES_MAX, CHQ_STUN_HAS_ERROR, RAW},
    {CHQ_STUN_UNKNOWN_ATTRIBUTES, 0, UINT16_MAX, CHQ_STUN_HAS_UNKNOWN_ATTRIBUTES, RAW},
    {CHQ_STUN_CHANNEL_NUMBER, 4, 4, CHQ_STUN_HAS_CHANNEL, RAW},
    {CHQ_STUN_LIFETIME, 4, 4, CHQ_STUN_HAS_LIFETIME, RAW},
    {CHQ_STUN_XOR_PEER_ADDRESS, 8, 20, 0, RAW},
    {CHQ_STUN_DATA_ATTRIBUTE, 0, UINT16_MAX, CHQ_STUN_HAS_DATA, RAW},
    {CHQ_STUN_REALM, 1, TEXT_BYTES_MAX, CHQ_STUN_HAS_REALM, QUOTED},
    {CHQ_STUN_NONCE, 1, TEXT_BYTES_MAX, CHQ_STUN_HAS_NONCE, QUOTED},
    {CHQ_STUN_XOR_RELAYED_ADDRESS, 8, 20, CHQ_STUN_HAS_RELAYED, RAW},
    {CHQ_STUN_REQUESTED_ADDRESS_FAMILY, 4, 4, CHQ_STUN_HAS_FAMILY, RAW},
    {CHQ_STUN_EVEN_PORT, 1, 1, CHQ_STUN_HAS_EVEN_PORT, RAW},
    {CHQ_STUN_REQUESTED_TRANSPORT, 4, 4, CHQ_STUN_HAS_TRANSPORT, RAW},
    {CHQ_STUN_DONT_FRAGMENT, 0, 0, CHQ_STUN_HAS_DONT_FRAGMENT, RAW},
    {CHQ_STUN_MESSAGE_INTEGRITY_SHA256, 16, SHA256_BYTES, CHQ_STUN_HAS_INTEGRITY_SHA256, RAW},
    {CHQ_STUN_PASSWORD_ALGORITHM, 4, UINT16_MAX, CHQ_STUN_HAS_PASSWORD_ALGORITHM, RAW},
    {CHQ_STUN_USERHASH, SHA256_BYTES, SHA256_BYTES, CHQ_STUN_HAS_USERHASH, RAW},
    {CHQ_STUN_XOR_MAPPED_ADDRESS, 8, 20, CHQ_STUN_HAS_MAPPED, RAW},
    {CHQ_STUN_RESERVATION_TOKEN, 8, 8, CHQ_STUN_HAS_RESERVATION_TOKEN, RAW},
    {CHQ_STUN_ADDITIONAL_ADDRESS_FAMILY, 4, 4, CHQ_STUN_HAS_ADDITIONAL_FAMILY, RAW},
    {CHQ_STUN_PASSWORD_ALGORITHMS, 0, UINT16_MAX, CHQ_STUN_HAS_PASSWORD_ALGORITHMS, RAW},
    {CHQ_STUN_SOFTWARE, 0, TEXT_BYTES_MAX, CHQ_STUN_HAS_SOFTWARE, TEXT},
    {CHQ_STUN_FINGERPRINT, 4, 4, CHQ_STUN_HAS_FINGERPRINT, RAW},
};

static const struct form *form_of(uint16_t type)
{
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++)
        if (forms[i].type == type)
            return &forms[i];
    return NULL;
}

static void remember_unknown(struct chq_stun_message *m, uint16_t type)
{
    if (type >= 0x8000) /* comprehension-optional (RFC 8489 section 14) */
        return;
    for (uint32_t i = 0; i < m->unknown_count; i++)
        if (m->unknown[i] == type)
            return;
    if (m->unknown_count < CHQ_STUN_UNKNOWN_MAX)
        m->unknown[m->unknown_count++] = type;
}

/* Attributes that hold an address; XOR-MAPPED-ADDRESS goes before MAPPED-ADDRESS. */
static enum chq_err take_address(
    struct chq_stun_message *m, uint16_t type, struct chq_bytes value, bool counts, bool first)
{
    const uint8_t *mask = type == CHQ_STUN_MAPPED_ADDRESS ? NULL : m->bytes.data + 4;
    struct chq_address address;
    if (!read_address(value, mask, &address))
        return CHQ_MALFORMED;
    if (!counts)
        return CHQ_OK;
    if (type == CHQ_STUN_XOR_PEER_ADDRESS) {
        if (m->peers_count == CHQ_STUN_PEERS_MAX)
            return CHQ_LIMIT;
        m->peers[m->peers_count++] = address;
    } else if (type == CHQ_STUN_XOR_RELAYED_ADDRESS && first) {
        m->relayed = address;
    } else if (first && (type == CHQ_STUN_XOR_MAPPED_ADDRESS || !(m->has & CHQ_STUN_HAS_MAPPED))) {
        m->mapped = address;
    }
    return CHQ_OK;
}

static enum chq_err take_error_code(struct chq_stun_message *m, struct chq_bytes value, bool store)
{
    unsigned hundreds = value.data[2] & 7, rest = value.data[3];
    struct chq_bytes reason = chq_bytes(value.data + 4, value.size - 4);
    if (hundreds < 3 || hundreds > 6 || rest > 99 || !text_is_clean(reason, 0, TEXT_BYTES_MAX, false))
        return CHQ_MALFORMED;
    if (store) {
        m->error_code = (uint16_t)(hundreds * 100 + rest);
        m->error_reason = reason;
    }
    return CHQ_OK;
}

/* Store the first of its kind; form was checked. */
static void store_value(struct chq_stun_message *m, uint16_t type, struct chq_bytes value)
{
    switch (type) {
    case CHQ_STUN_USERNAME: m->username = value; break;
    case CHQ_STUN_REALM: m->realm = value; break;
    case CHQ_STUN_NONCE: m->nonce = value; break;
    case CHQ_STUN_SOFTWARE: m->software = value; break;
    case CHQ_STUN_USERHASH: m->userhash = value; break;
    case CHQ_STUN_DATA_ATTRIBUTE: m->data = value; break;
    case CHQ_STUN_RESERVATION_TOKEN: m->reservation_token = value; break;
    case CHQ_STUN_PASSWORD_ALGORITHMS: m->password_algorithms = value; break;
    case CHQ_STUN_UNKNOWN_ATTRIBUTES: m->unknown_attributes = value; break;
    case CHQ_STUN_PASSWORD_ALGORITHM: m->password_algorithm = chq_load_u16(value.data); break;
    case CHQ_STUN_CHANNEL_NUMBER: m->channel = chq_load_u16(value.data); break;
    case CHQ_STUN_LIFETIME: m->lifetime_s = chq_load_u32(value.data); break;
    case CHQ_STUN_REQUESTED_ADDRESS_FAMILY: m->family = value.data[0]; break;
    case CHQ_STUN_ADDITIONAL_ADDRESS_FAMILY: m->additional_family = value.data[0]; break;
    case CHQ_STUN_EVEN_PORT: m->even_port_reserve = (value.data[0] & 0x80) != 0; break;
    case CHQ_STUN_REQUESTED_TRANSPORT: m->transport = value.data[0]; break;
    default: break;
    }
}

static enum chq_err take_attribute(struct chq_stun_message *m, const struct chq_stun_attribute *a, size_t at)
{
    /* RFC 8489 sections 14.5 to 14.7: only these may follow an integrity attribute and count. */
    bool behind_sha1 = (m->has & CHQ_STUN_HAS_INTEGRITY) != 0;
    bool behind_sha256 = (m->has & CHQ_STUN_HAS_INTEGRITY_SHA256) != 0;
    bool counts = a->type == CHQ_STUN_FINGERPRINT || (!behind_sha1 && !behind_sha256) ||
                  (a->type == CHQ_STUN_MESSAGE_INTEGRITY_SHA256 && !behind_sha256);
    const struct form *form = form_of(a->type);
    if (form == NULL) {
        if (counts)
            remember_unknown(m, a->type);
        return CHQ_OK;
    }
    if (a->value.size < form->min || a->value.size > form->max)
        return CHQ_MALFORMED;
    if (form->kind != RAW && !text_is_clean(a->value, form->min, form->max, form->kind == QUOTED))
        return CHQ_MALFORMED;
    bool first = (m->has & form->has) == 0;
    switch (a->type) {
    case CHQ_STUN_MAPPED_ADDRESS:
    case CHQ_STUN_XOR_MAPPED_ADDRESS:
    case CHQ_STUN_XOR_RELAYED_ADDRESS:
    case CHQ_STUN_XOR_PEER_ADDRESS: CHQ_TRY(take_address(m, a->type, a->value, counts, first)); break;
    case CHQ_STUN_ERROR_CODE: CHQ_TRY(take_error_code(m, a->value, counts && first)); break;
    case CHQ_STUN_UNKNOWN_ATTRIBUTES:
        if (a->value.size % 2 != 0)
            return CHQ_MALFORMED;
        break;
    case CHQ_STUN_MESSAGE_INTEGRITY:
        if (counts)
            m->integrity_at = at;
        break;
    case CHQ_STUN_MESSAGE_INTEGRITY_SHA256:
        if (a->value.size % 4 != 0)
            return CHQ_MALFORMED;
        if (counts) {
            m->integrity_sha256_at = at;
            m->integrity_sha256_size = a->value.size;
        }
        break;
    case CHQ_STUN_FINGERPRINT:
        if (at + 8 != m->bytes.size ||
            chq_load_u32(a->value.data) != (chq_stun_crc32(chq_bytes(m->bytes.data, at)) ^ FINGERPRINT_XOR))
            return CHQ_MALFORMED;
        break;
    default: break;
    }
    if (counts && first)
        store_value(m, a->type, a->value);
    if (counts)
        m->has |= form->has;
    return CHQ_OK;
}

/* Read one attribute without running past the end. */
static enum chq_err next_attribute(struct chq_bytes bytes, size_t *at, struct chq_stun_attribute *out)
{
    size_t left = bytes.size - *at;
    if (left < 4)
        return CHQ_MALFORMED;
    size_t size = chq_load_u16(bytes.data + *at + 2);
    size_t padded = (size + 3) & ~(size_t)3;
    if (padded > left - 4)
        return CHQ_MALFORMED;
    out->type = chq_load_u16(bytes.data + *at);
    out->value = chq_bytes(bytes.data + *at + 4, size);
    *at += 4 + padded;
    return CHQ_OK;
}

static enum chq_err read_message(struct chq_bytes in, struct chq_stun_message *out)
{
    if (in.size < CHQ_STUN_HEADER_BYTES || in.size % 4 != 0 || (in.data[0] & 0xC0) != 0 ||
        chq_load_u16(in.data + 2) != in.size - CHQ_STUN_HEADER_BYTES ||
        chq_load_u32(in.data + 4) != CHQ_STUN_COOKIE)
        return CHQ_MALFORMED;
    out->bytes = in;
    split_type(chq_load_u16(in.data), &out->method, &out->class);
    memcpy(out->transaction_id, in.data + 8, sizeof out->transaction_id);
    for (size_t at = CHQ_STUN_HEADER_BYTES; at < in.size;) {
        struct chq_stun_attribute attribute;
        size_t start = at;
        CHQ_TRY(next_attribute(in, &at, &attribute));
        CHQ_TRY(take_attribute(out, &attribute, start));
    }
    return CHQ_OK;
}

enum chq_err chq_stun_read(struct chq_bytes datagram, struct chq_stun_message *out)
{
    memset(out, 0, sizeof *out);
    enum chq_err err = read_message(datagram, out);
    if (err != CHQ_OK)
        memset(out, 0, sizeof *out);
    return err;
}

bool chq_stun_next(const struct chq_stun_message *message, size_t *at, struct chq_stun_attribute *out)
{
    return *at < message->bytes.size && next_attribute(message->bytes, at, out) == CHQ_OK;
}

static enum chq_err join_hash(const struct chq_stun_crypto *crypto, enum chq_stun_hash hash,
    struct chq_bytes a, struct chq_bytes b, const struct chq_bytes *c, uint8_t *out, size_t size)
{
    const struct chq_bytes colon = chq_bytes(":", 1);
    struct chq_bytes parts[] = {a, colon, b, colon, c != NULL ? *c : chq_bytes(NULL, 0)};
    uint8_t digest[32] = {0};
    bool ok = crypto->hash(crypto->context, hash, parts, c != NULL ? 5 : 3, digest);
    memset(out, 0, size);
    if (ok)
        memcpy(out, digest, size);
    return ok ? CHQ_OK : CHQ_IO;
}

enum chq_err chq_stun_long_term_key(const struct chq_stun_crypto *crypto, struct chq_bytes username,
    struct chq_bytes realm, struct chq_bytes password, uint8_t key[16])
{
    return join_hash(crypto, CHQ_STUN_MD5, username, realm, &password, key, 16);
}

enum chq_err chq_stun_long_term_key_sha256(const struct chq_stun_crypto *crypto, struct chq_bytes username,
    struct chq_bytes realm, struct chq_bytes password, uint8_t key[32])
{
    return join_hash(crypto, CHQ_STUN_SHA256, username, realm, &password, key, 32);
}

enum chq_err chq_stun_userhash(const struct chq_stun_crypto *crypto, struct chq_bytes username,
    struct chq_bytes realm, uint8_t userhash[32])
{
    return join_hash(crypto, CHQ_STUN_SHA256, username, realm, NULL, userhash, 32);
}

/* RFC 8489 section 14.5: the HMAC covers what stands before the attribute, with a header length that ends just
 * behind the attribute. */
static bool integrity_of(struct chq_bytes before, size_t value_size, const struct chq_stun_crypto *crypto,
    enum chq_stun_hash hash, struct chq_bytes key, uint8_t out[32])
{
    uint8_t header[CHQ_STUN_HEADER_BYTES];
    memcpy(header, before.data, sizeof header);
    chq_store_u16(header + 2, (uint16_t)(before.size - sizeof header + 4 + value_size));
    const struct chq_bytes parts[] = {chq_bytes(header, sizeof header),
        chq_bytes(before.data + sizeof header, before.size - sizeof header)};
    memset(out, 0, 32);
    return crypto->hmac(crypto->context, hash, key, parts, 2, out);
}

static bool equal_in_constant_time(const uint8_t *a, const uint8_t *b, size_t size)
{
    volatile uint8_t differ = 0;
    for (size_t i = 0; i < size; i++)
        differ = (uint8_t)(differ | (a[i] ^ b[i]));
    return differ == 0;
}

static enum chq_err check_one(const struct chq_stun_message *m, const struct chq_stun_crypto *crypto,
    enum chq_stun_hash hash, struct chq_bytes key, size_t at, size_t size)
{
    uint8_t expected[32];
    if (!integrity_of(chq_bytes(m->bytes.data, at), size, crypto, hash, key, expected))
        return CHQ_IO;
    return equal_in_constant_time(expected, m->bytes.data + at + 4, size) ? CHQ_OK : CHQ_AUTH;
}

enum chq_err chq_stun_check_integrity(
    const struct chq_stun_message *message, const struct chq_stun_crypto *crypto, struct chq_bytes key)
{
    if ((message->has & (CHQ_STUN_HAS_INTEGRITY | CHQ_STUN_HAS_INTEGRITY_SHA256)) == 0)
        return CHQ_AUTH;
    if (message->has & CHQ_STUN_HAS_INTEGRITY)
        CHQ_TRY(check_one(message, crypto, CHQ_STUN_SHA1, key, message->integrity_at, SHA1_BYTES));
    if (message->has & CHQ_STUN_HAS_INTEGRITY_SHA256)
        CHQ_TRY(check_one(message, crypto, CHQ_STUN_SHA256, key, message->integrity_sha256_at,
            message->integrity_sha256_size));
    return CHQ_OK;
}

uint32_t chq_stun_crc32(struct chq_bytes in)
{
    /* reflected polynomial 0xEDB88320, four bits at a time */
    static const uint32_t step[16] = {0x00000000, 0x1DB71064, 0x3B6E20C8, 0x26D930AC, 0x76DC4190, 0x6B6B51F4,
        0x4DB26158, 0x5005713C, 0xEDB88320, 0xF00F9344, 0xD6D6A3E8, 0xCB61B38C, 0x9B64C2B0, 0x86D3D2D4,
        0xA00AE278, 0xBDBDF21C};
    uint32_t crc = 0xFFFFFFFFu;
    for (size_t i = 0; i < in.size; i++) {
        crc ^= in.data[i];
        crc = (crc >> 4) ^ step[crc & 15];
        crc = (crc >> 4) ^ step[crc & 15];
    }
    return ~crc;
}

static void set_length(struct chq_writer *w, size_t message_bytes)
{
    if (message_bytes - CHQ_STUN_HEADER_BYTES > UINT16_MAX)
        chq_writer_fail(w, CHQ_LIMIT);
    if (w->err == CHQ_OK)
        chq_store_u16(w->data + 2, (uint16_t)(message_bytes - CHQ_STUN_HEADER_BYTES));
}

void chq_stun_begin(struct chq_writer *w, uint16_t method, enum chq_stun_class class,
    const uint8_t transaction_id[CHQ_STUN_TRANSACTION_ID_BYTES])
{
    CHQ_ASSERT(w->size == 0 && method <= 0xFFF);
    chq_write_u16(w, type_of(method, class));
    chq_write_u16(w, 0);
    chq_write_u32(w, CHQ_STUN_COOKIE);
    chq_write_bytes(w, transaction_id, CHQ_STUN_TRANSACTION_ID_BYTES);
}

void chq_stun_write(struct chq_writer *w, uint16_t type, struct chq_bytes value)
{
    if (value.size > UINT16_MAX) {
        chq_writer_fail(w, CHQ_LIMIT);
        return;
    }
    chq_write_u16(w, type);
    chq_write_u16(w, (uint16_t)value.size);
    chq_write_bytes(w, value.data, value.size);
    (void)chq_write_space(w, (4 - value.size % 4) % 4);
}

void chq_stun_write_u32(struct chq_writer *w, uint16_t type, uint32_t value)
{
    uint8_t bytes[4];
    chq_store_u32(bytes, value);
    chq_stun_write(w, type, chq_bytes(bytes, sizeof bytes));
}

void chq_stun_write_address(struct chq_writer *w, uint16_t type, const struct chq_address *address)
{
    CHQ_ASSERT(address->family == 4 || address->family == 6);
    if (w->err != CHQ_OK)
        return;
    static const uint8_t plain[16];
    const uint8_t *mask = type == CHQ_STUN_MAPPED_ADDRESS ? plain : w->data + 4;
    size_t ip_bytes = address->family == 4 ? 4 : 16;
    uint8_t value[20] = {0, address->family == 4 ? 1 : 2};
    chq_store_u16(value + 2, (uint16_t)(address->port ^ chq_load_u16(mask)));
    for (size_t i = 0; i < ip_bytes; i++)
        value[4 + i] = address->ip[i] ^ mask[i];
    chq_stun_write(w, type, chq_bytes(value, 4 + ip_bytes));
}

void chq_stun_write_error(struct chq_writer *w, uint16_t code, struct chq_bytes reason)
{
    CHQ_ASSERT(code >= 300 && code <= 699 && reason.size <= TEXT_BYTES_MAX);
    uint8_t value[4 + TEXT_BYTES_MAX] = {0, 0, (uint8_t)(code / 100), (uint8_t)(code % 100)};
    if (reason.size > 0)
        memcpy(value + 4, reason.data, reason.size);
    chq_stun_write(w, CHQ_STUN_ERROR_CODE, chq_bytes(value, 4 + reason.size));
}

void chq_stun_write_unknown(struct chq_writer *w, const uint16_t *types, size_t count)
{
    CHQ_ASSERT(count <= CHQ_STUN_UNKNOWN_MAX);
    uint8_t value[2 * CHQ_STUN_UNKNOWN_MAX];
    for (size_t i = 0; i < count; i++)
        chq_store_u16(value + 2 * i, types[i]);
    chq_stun_write(w, CHQ_STUN_UNKNOWN_ATTRIBUTES, chq_bytes(value, 2 * count));
}

void chq_stun_write_address_error(struct chq_writer *w, uint8_t family, uint16_t code)
{
    const uint8_t value[4] = {family == 6 ? 2 : 1, 0, (uint8_t)(code / 100), (uint8_t)(code % 100)};
    chq_stun_write(w, CHQ_STUN_ADDRESS_ERROR_CODE, chq_bytes(value, sizeof value));
}

void chq_stun_write_channel(struct chq_writer *w, uint16_t channel)
{
    chq_stun_write_u32(w, CHQ_STUN_CHANNEL_NUMBER, (uint32_t)channel << 16);
}

void chq_stun_write_integrity(
    struct chq_writer *w, const struct chq_stun_crypto *crypto, enum chq_stun_hash hash, struct chq_bytes key)
{
    CHQ_ASSERT(hash == CHQ_STUN_SHA1 || hash == CHQ_STUN_SHA256);
    size_t size = hash == CHQ_STUN_SHA1 ? SHA1_BYTES : SHA256_BYTES;
    uint8_t digest[32];
    if (w->err != CHQ_OK)
        return;
    if (!integrity_of(chq_bytes(w->data, w->size), size, crypto, hash, key, digest)) {
        chq_writer_fail(w, CHQ_IO);
        return;
    }
    uint16_t type = hash == CHQ_STUN_SHA1 ? CHQ_STUN_MESSAGE_INTEGRITY : CHQ_STUN_MESSAGE_INTEGRITY_SHA256;
    chq_stun_write(w, type, chq_bytes(digest, size));
}

void chq_stun_write_fingerprint(struct chq_writer *w)
{
    if (w->err != CHQ_OK)
        return;
    set_length(w, w->size + 8);
    chq_stun_write_u32(
        w, CHQ_STUN_FINGERPRINT, chq_stun_crc32(chq_bytes(w->data, w->size)) ^ FINGERPRINT_XOR);
}

enum chq_err chq_stun_finish(struct chq_writer *w)
{
    if (w->err == CHQ_OK)
        set_length(w, w->size);
    return chq_writer_finish(w);
}

enum chq_err chq_channel_data_read(struct chq_bytes datagram, uint16_t *channel, struct chq_bytes *payload)
{
    *channel = 0;
    *payload = chq_bytes(NULL, 0);
    if (datagram.size < CHQ_CHANNEL_HEADER_BYTES)
        return CHQ_MALFORMED;
    uint16_t number = chq_load_u16(datagram.data);
    size_t size = chq_load_u16(datagram.data + 2), left = datagram.size - CHQ_CHANNEL_HEADER_BYTES;
    if (number < CHQ_CHANNEL_FIRST || number > CHQ_CHANNEL_LAST_5766 || size > left || left - size > 3)
        return CHQ_MALFORMED;
    *channel = number;
    *payload = chq_bytes(datagram.data + CHQ_CHANNEL_HEADER_BYTES, size);
    return CHQ_OK;
}

size_t chq_stun_frame_bytes(const uint8_t start[4])
{
    size_t bytes = chq_load_u16(start + 2);
    switch (chq_stun_kind_of(chq_bytes(start, 4))) {
    case CHQ_STUN_KIND_MESSAGE: return bytes % 4 == 0 ? CHQ_STUN_HEADER_BYTES + bytes : 0;
    case CHQ_STUN_KIND_CHANNEL_DATA: return (CHQ_CHANNEL_HEADER_BYTES + bytes + 3) & ~(size_t)3;
    case CHQ_STUN_KIND_OTHER: break;
    }
    return 0;
}

void chq_channel_data_header(uint8_t out[CHQ_CHANNEL_HEADER_BYTES], uint16_t channel, uint16_t payload_bytes)
{
    chq_store_u16(out, channel);
    chq_store_u16(out + 2, payload_bytes);
}
