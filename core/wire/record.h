/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CHQ_CORE_WIRE_RECORD_H
#define CHQ_CORE_WIRE_RECORD_H

#include "core/base/limits.h"
#include "core/wire/operation.h"

/* What the ledger holds and proves, by kind (docs/protocol.md section 5, 'State records'). */

enum chq_record_kind {
    CHQ_RECORD_ACCOUNT = 1, /* key: account id */
    CHQ_RECORD_DEVICES = 2, /* key: account id; value: the Signed device list (core/identity reads it) */
    CHQ_RECORD_HANDLE = 3, /* key: chq_handle_key */
    CHQ_RECORD_RELAY = 4, /* key: relay id */
    CHQ_RECORD_CHANNEL = 5 /* key: channel id */
};
#define CHQ_RECORD_KINDS 5

/* H("chasqui handle v1", handle): the key of a handle record. */
void chq_handle_key(uint8_t out[32], struct chq_bytes handle);

struct chq_account_record {
    uint8_t root_key[32];
    uint8_t next_key_hash[32];
    uint64_t nonce; /* of the next batch */
    uint64_t balance_micro;
    struct chq_bytes handle; /* borrowed; empty: none */
    bool has_commit; /* an open handle commit */
    uint8_t commitment[32];
    uint64_t commit_height, commit_s;
};

struct chq_handle_record {
    uint8_t account[CHQ_ID_BYTES];
    uint64_t since_height;
};

struct chq_relay_record {
    uint8_t relay[CHQ_ID_BYTES];
    struct chq_bytes host; /* name or address, 1 to 255 bytes of printable ASCII without space; borrowed */
    uint16_t port; /* WebSocket over TLS */
    uint8_t pin[32]; /* SHA-256 of the TLS key's SubjectPublicKeyInfo */
    uint16_t turn_port; /* UDP; 0: no TURN here */
    uint64_t price_micro; /* per quantum */
    uint64_t quantum_bytes;
    struct chq_bytes region; /* text of at most 32 bytes; borrowed */
};

enum chq_channel_state { CHQ_CHANNEL_OPEN = 1, CHQ_CHANNEL_CLOSING = 2, CHQ_CHANNEL_CLOSED = 3 };

struct chq_channel_record {
    uint64_t number; /* what settlement records name the channel by */
    uint8_t payer[CHQ_ID_BYTES], payee[CHQ_ID_BYTES];
    uint64_t deposit_micro; /* all that was ever put in */
    uint8_t last_token[32]; /* the chain root at first */
    uint64_t last_index;
    uint64_t tokens;
    uint64_t price_micro;
    uint64_t quantum_bytes;
    uint64_t expiry_s;
    uint8_t attach_key[32];
    enum chq_channel_state state;
};

/* Read a record's value, strictly; CHQ_MALFORMED otherwise. Views are borrowed from `value`. */
CHQ_MUST_CHECK enum chq_err chq_account_record_read(struct chq_bytes value, struct chq_account_record *out);
CHQ_MUST_CHECK enum chq_err chq_handle_record_read(struct chq_bytes value, struct chq_handle_record *out);
CHQ_MUST_CHECK enum chq_err chq_relay_record_read(struct chq_bytes value, struct chq_relay_record *out);
CHQ_MUST_CHECK enum chq_err chq_channel_record_read(struct chq_bytes value, struct chq_channel_record *out);

/* Append a record's value; errors stick to the writer. */
void chq_account_record_put(struct chq_writer *w, const struct chq_account_record *record);
void chq_handle_record_put(struct chq_writer *w, const struct chq_handle_record *record);
void chq_relay_record_put(struct chq_writer *w, const struct chq_relay_record *record);
void chq_channel_record_put(struct chq_writer *w, const struct chq_channel_record *record);

#endif
