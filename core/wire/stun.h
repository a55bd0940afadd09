/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CHQ_CORE_WIRE_STUN_H
#define CHQ_CORE_WIRE_STUN_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/address.h"
#include "core/base/bytes.h"
#include "core/base/err.h"
#include "core/base/limits.h"

/*
 * STUN (RFC 8489) and TURN (RFC 8656) messages, read strictly and written side by side. No allocation, no crypto
 * library: hashes are an input (struct chq_stun_crypto). All integers are big-endian.
 *
 *   0  2  type: two zero bits, then method and class interleaved (RFC 8489 section 5)
 *   2  2  bytes after the header, a multiple of 4
 *   4  4  magic cookie 0x2112A442
 *   8 12  transaction id
 *  20     attributes: type u16, length u16, value, zero to three bytes of padding
 */
#define CHQ_STUN_HEADER_BYTES         20
#define CHQ_STUN_COOKIE               0x2112A442u
#define CHQ_STUN_TRANSACTION_ID_BYTES 12
#define CHQ_CHANNEL_HEADER_BYTES      4
#define CHQ_CHANNEL_FIRST             0x4000 /* RFC 8656 section 12 */
#define CHQ_CHANNEL_LAST              0x4FFF
#define CHQ_CHANNEL_LAST_5766         0x7FFF /* RFC 5766's range, which coturn's client draws from: taken, not used */

enum chq_stun_class {
    CHQ_STUN_REQUEST = 0,
    CHQ_STUN_INDICATION = 1,
    CHQ_STUN_SUCCESS = 2,
    CHQ_STUN_ERROR = 3
};

enum chq_stun_method {
    CHQ_STUN_BINDING = 0x001,
    CHQ_STUN_ALLOCATE = 0x003,
    CHQ_STUN_REFRESH = 0x004,
    CHQ_STUN_SEND = 0x006,
    CHQ_STUN_DATA = 0x007,
    CHQ_STUN_CREATE_PERMISSION = 0x008,
    CHQ_STUN_CHANNEL_BIND = 0x009
};

enum chq_stun_attribute_type {
    CHQ_STUN_MAPPED_ADDRESS = 0x0001,
    CHQ_STUN_USERNAME = 0x0006,
    CHQ_STUN_MESSAGE_INTEGRITY = 0x0008,
    CHQ_STUN_ERROR_CODE = 0x0009,
    CHQ_STUN_UNKNOWN_ATTRIBUTES = 0x000A,
    CHQ_STUN_CHANNEL_NUMBER = 0x000C,
    CHQ_STUN_LIFETIME = 0x000D,
    CHQ_STUN_XOR_PEER_ADDRESS = 0x0012,
    CHQ_STUN_DATA_ATTRIBUTE = 0x0013,
    CHQ_STUN_REALM = 0x0014,
    CHQ_STUN_NONCE = 0x0015,
    CHQ_STUN_XOR_RELAYED_ADDRESS = 0x0016,
    CHQ_STUN_REQUESTED_ADDRESS_FAMILY = 0x0017,
    CHQ_STUN_EVEN_PORT = 0x0018,
    CHQ_STUN_REQUESTED_TRANSPORT = 0x0019,
    CHQ_STUN_DONT_FRAGMENT = 0x001A,
    CHQ_STUN_MESSAGE_INTEGRITY_SHA256 = 0x001C,
    CHQ_STUN_PASSWORD_ALGORITHM = 0x001D,
    CHQ_STUN_USERHASH = 0x001E,
    CHQ_STUN_XOR_MAPPED_ADDRESS = 0x0020,
    CHQ_STUN_RESERVATION_TOKEN = 0x0022,
    CHQ_STUN_ADDITIONAL_ADDRESS_FAMILY = 0x8000,
    CHQ_STUN_ADDRESS_ERROR_CODE = 0x8001,
    CHQ_STUN_PASSWORD_ALGORITHMS = 0x8002,
    CHQ_STUN_SOFTWARE = 0x8022,
    CHQ_STUN_FINGERPRINT = 0x8028
};

/* Which attributes a message has: bits of chq_stun_message.has. */
enum chq_stun_has {
    CHQ_STUN_HAS_USERNAME = 1 << 0,
    CHQ_STUN_HAS_USERHASH = 1 << 1,
    CHQ_STUN_HAS_REALM = 1 << 2,
    CHQ_STUN_HAS_NONCE = 1 << 3,
    CHQ_STUN_HAS_ERROR = 1 << 4,
    CHQ_STUN_HAS_UNKNOWN_ATTRIBUTES = 1 << 5,
    CHQ_STUN_HAS_CHANNEL = 1 << 6,
    CHQ_STUN_HAS_LIFETIME = 1 << 7,
    CHQ_STUN_HAS_DATA = 1 << 8,
    CHQ_STUN_HAS_RELAYED = 1 << 9,
    CHQ_STUN_HAS_FAMILY = 1 << 10,
    CHQ_STUN_HAS_EVEN_PORT = 1 << 11,
    CHQ_STUN_HAS_TRANSPORT = 1 << 12,
    CHQ_STUN_HAS_DONT_FRAGMENT = 1 << 13,
    CHQ_STUN_HAS_PASSWORD_ALGORITHM = 1 << 14,
    CHQ_STUN_HAS_MAPPED = 1 << 15,
    CHQ_STUN_HAS_RESERVATION_TOKEN = 1 << 16,
    CHQ_STUN_HAS_ADDITIONAL_FAMILY = 1 << 17,
    CHQ_STUN_HAS_PASSWORD_ALGORITHMS = 1 << 18,
    CHQ_STUN_HAS_SOFTWARE = 1 << 19,
    CHQ_STUN_HAS_INTEGRITY = 1 << 20,
    CHQ_STUN_HAS_INTEGRITY_SHA256 = 1 << 21,
    CHQ_STUN_HAS_FINGERPRINT = 1 << 22,
    CHQ_STUN_HAS_MAPPED_PLAIN = 1 << 23 /* MAPPED-ADDRESS */
};

#define CHQ_STUN_UNKNOWN_MAX 8 /* unknown comprehension-required attributes that are remembered */

/* A message that was read; views point into the bytes given to chq_stun_read. Fields without their bit are zero. */
struct chq_stun_message {
    struct chq_bytes bytes;
    uint16_t method; /* any 12-bit value: enum chq_stun_method where known */
    enum chq_stun_class class;
    uint8_t transaction_id[CHQ_STUN_TRANSACTION_ID_BYTES];
    uint32_t has; /* enum chq_stun_has */
    struct chq_bytes username, realm, nonce, software; /* well-formed UTF-8; see chq_stun_read */
    struct chq_bytes userhash; /* 32 bytes */
    struct chq_bytes data;
    struct chq_bytes reservation_token; /* 8 bytes */
    struct chq_bytes password_algorithms; /* as on the wire */
    struct chq_bytes unknown_attributes; /* of an error response, as on the wire: u16 each */
    uint16_t password_algorithm; /* 1: MD5, 2: SHA-256 */
    uint16_t error_code; /* 300 to 699 */
    struct chq_bytes error_reason;
    uint16_t channel; /* not range-checked: the answer to a wrong one is 400 */
    uint32_t lifetime_s;
    uint8_t family, additional_family; /* as on the wire: 1 IPv4, 2 IPv6 */
    bool even_port_reserve; /* the R bit of EVEN-PORT */
    uint8_t transport; /* 17: UDP */
    struct chq_address mapped; /* XOR-MAPPED-ADDRESS, or MAPPED-ADDRESS where only that is there */
    struct chq_address relayed;
    struct chq_address peers[CHQ_STUN_PEERS_MAX];
    uint32_t peers_count;
    uint16_t unknown[CHQ_STUN_UNKNOWN_MAX]; /* comprehension-required types this reader does not know */
    uint32_t unknown_count;
    size_t integrity_at, integrity_sha256_at; /* where those attributes start; sha256: with its length */
    size_t integrity_sha256_size; /* of its value: 16 to 32, a multiple of 4 */
};

/* What the first byte says a datagram is (RFC 8489 section 5, RFC 5766 section 11). */
enum chq_stun_kind { CHQ_STUN_KIND_OTHER = 0, CHQ_STUN_KIND_MESSAGE, CHQ_STUN_KIND_CHANNEL_DATA };

/* Return what `datagram` claims to be, from its first byte alone. */
enum chq_stun_kind chq_stun_kind_of(struct chq_bytes datagram);

/*
 * Read one message that fills `datagram` exactly. CHQ_MALFORMED: not 20 bytes and a multiple of 4, another cookie,
 * an attribute past the end or of a wrong size, an address family other than 1 or 2, a FINGERPRINT that is wrong or
 * not last, an error code outside 300 to 699; USERNAME, REALM, NONCE or SOFTWARE that is too long (RFC 8489 section
 * 14) or not UTF-8 without control characters; an empty USERNAME, REALM or NONCE; a REALM or NONCE with a quotation
 * mark (these crash real clients, so repeated ones are looked at too). CHQ_LIMIT: above CHQ_STUN_PEERS_MAX peers. Of
 * a repeated attribute the first counts; what follows an integrity attribute is checked for form, then ignored
 * (sections 14.5, 14.6). Integrity is not checked here. On error `out` is zeroed.
 */
CHQ_MUST_CHECK enum chq_err chq_stun_read(struct chq_bytes datagram, struct chq_stun_message *out);

/* One attribute as it stands in a message. */
struct chq_stun_attribute {
    uint16_t type;
    struct chq_bytes value; /* without padding */
};

/* Read the attribute at *at (start with CHQ_STUN_HEADER_BYTES) of a message that chq_stun_read took, move *at
 * behind it, and return true; false at the end. Shows every attribute, also repeated, ignored and unknown ones. */
bool chq_stun_next(const struct chq_stun_message *message, size_t *at, struct chq_stun_attribute *out);

enum chq_stun_hash { CHQ_STUN_MD5 = 1, CHQ_STUN_SHA1, CHQ_STUN_SHA256 }; /* 16, 20, 32 bytes */

/* Hash functions as an input (OpenSSL in relay/turn, GLib in p2p). Each writes the whole digest to `out` (32 bytes
 * of room) and returns false when the library fails. `hmac` is called for SHA1 and SHA256, `hash` for MD5 and SHA256. */
struct chq_stun_crypto {
    bool (*hmac)(void *context, enum chq_stun_hash hash, struct chq_bytes key, const struct chq_bytes *parts,
        size_t parts_count, uint8_t out[32]);
    bool (*hash)(void *context, enum chq_stun_hash hash, const struct chq_bytes *parts, size_t parts_count,
        uint8_t out[32]);
    void *context;
};

/* Compute the long-term key MD5(username ":" realm ":" password) (RFC 8489 section 9.2.2); texts are taken as
 * already prepared (OpaqueString, RFC 8265). CHQ_IO when the hash function fails. */
CHQ_MUST_CHECK enum chq_err chq_stun_long_term_key(const struct chq_stun_crypto *crypto,
    struct chq_bytes username, struct chq_bytes realm, struct chq_bytes password, uint8_t key[16]);
/* The same with SHA-256 (section 18.5.1.2). */
CHQ_MUST_CHECK enum chq_err chq_stun_long_term_key_sha256(const struct chq_stun_crypto *crypto,
    struct chq_bytes username, struct chq_bytes realm, struct chq_bytes password, uint8_t key[32]);
/* USERHASH = SHA-256(username ":" realm) (section 14.4). */
CHQ_MUST_CHECK enum chq_err chq_stun_userhash(const struct chq_stun_crypto *crypto, struct chq_bytes username,
    struct chq_bytes realm, uint8_t userhash[32]);

/* Check every integrity attribute the message has against `key`, in constant time. CHQ_AUTH when one does not
 * match or none is there, CHQ_IO when the hash function fails. */
CHQ_MUST_CHECK enum chq_err chq_stun_check_integrity(
    const struct chq_stun_message *message, const struct chq_stun_crypto *crypto, struct chq_bytes key);

/* Return the CRC-32 of ISO/IEC 3309 that FINGERPRINT uses, not yet combined with 0x5354554E. */
uint32_t chq_stun_crc32(struct chq_bytes in);

/*
 * Writing: begin on an empty writer, append attributes, then integrity, then fingerprint, then finish. Errors are
 * the writer's sticky ones. The caller keeps the order and the rules of the method.
 */
void chq_stun_begin(struct chq_writer *w, uint16_t method, enum chq_stun_class class,
    const uint8_t transaction_id[CHQ_STUN_TRANSACTION_ID_BYTES]);
void chq_stun_write(struct chq_writer *w, uint16_t type, struct chq_bytes value);
void chq_stun_write_u32(struct chq_writer *w, uint16_t type, uint32_t value);
/* Append an XOR-ed address (any type but MAPPED-ADDRESS, which is written plain). */
void chq_stun_write_address(struct chq_writer *w, uint16_t type, const struct chq_address *address);
/* Append ERROR-CODE with a reason phrase (may be empty: it is only for people, and replies must stay small). */
void chq_stun_write_error(struct chq_writer *w, uint16_t code, struct chq_bytes reason);
/* Append UNKNOWN-ATTRIBUTES. */
void chq_stun_write_unknown(struct chq_writer *w, const uint16_t *types, size_t count);
/* Append ADDRESS-ERROR-CODE (RFC 8656 section 18.12) without a reason phrase; `family` is 4 or 6. */
void chq_stun_write_address_error(struct chq_writer *w, uint8_t family, uint16_t code);
/* Append CHANNEL-NUMBER. */
void chq_stun_write_channel(struct chq_writer *w, uint16_t channel);
/* Append MESSAGE-INTEGRITY (SHA1) or MESSAGE-INTEGRITY-SHA256 (SHA256) over what was written. */
void chq_stun_write_integrity(struct chq_writer *w, const struct chq_stun_crypto *crypto,
    enum chq_stun_hash hash, struct chq_bytes key);
void chq_stun_write_fingerprint(struct chq_writer *w);
/* Fix the header's length. Return the sticky error. */
CHQ_MUST_CHECK enum chq_err chq_stun_finish(struct chq_writer *w);

/* Read ChannelData from a datagram (RFC 8656 section 12.6): up to 3 bytes of padding may follow. CHQ_MALFORMED: not
 * a channel number (0x4000 to 0x7FFF), or the length passes the datagram. The payload is borrowed. */
CHQ_MUST_CHECK enum chq_err chq_channel_data_read(
    struct chq_bytes datagram, uint16_t *channel, struct chq_bytes *payload);
/* Return the bytes of the message or ChannelData that starts with these four on a stream, padding included; 0 when it
 * cannot be either (RFC 8656 section 12.5: over streams ChannelData is padded to a multiple of 4). */
size_t chq_stun_frame_bytes(const uint8_t start[4]);
/* Write the 4-byte header of ChannelData that carries `payload_bytes`; nothing is padded over UDP. */
void chq_channel_data_header(uint8_t out[CHQ_CHANNEL_HEADER_BYTES], uint16_t channel, uint16_t payload_bytes);

#endif
