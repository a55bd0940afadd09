/* SPDX-License-Identifier: Apache-2.0 */
#include "core/wire/frame.h"

#include <stddef.h>
#include <string.h>

#include "core/base/assert.h"
#include "core/crypto/hash.h"
#include "core/wire/cbor.h"

/*
 * One table describes every frame and drives both directions, so that reading and writing cannot drift apart. Keys
 * count up from 2 in the order of the rows.
 */
enum field_kind {
    FIELD_END = 0,
    FIELD_UINT, /* uint64_t, min to max */
    FIELD_FIXED, /* uint8_t[max] */
    FIELD_BYTES, /* struct chq_bytes, min to max bytes */
    FIELD_OPTIONAL, /* the same, left out when empty */
    FIELD_TEXT, /* the same, UTF-8 */
    FIELD_ONE_TIME /* the array of one-time prekeys */
};

struct field {
    enum field_kind kind;
    size_t at;
    uint64_t min, max;
};

#define AT(member) offsetof(struct chq_frame, member)
#define UINT(member, most)                                                                                   \
    {                                                                                                        \
        FIELD_UINT, AT(member), 0, most                                                                      \
    }
#define FIXED(member)                                                                                        \
    {                                                                                                        \
        FIELD_FIXED, AT(member), 0, sizeof((struct chq_frame *)0)->member                                    \
    }
#define FIELDS_MAX 7

static const struct {
    const char *name;
    struct field fields[FIELDS_MAX + 1];
} forms[] = {
    [CHQ_FRAME_HELLO] = {"HELLO",
        {UINT(hello.version, UINT64_MAX), {FIELD_TEXT, AT(hello.chain_id), 1, CHQ_CHAIN_ID_CHARS_MAX}}},
    [CHQ_FRAME_WELCOME] = {"WELCOME",
        {UINT(welcome.version, UINT64_MAX), FIXED(welcome.relay_id), FIXED(welcome.challenge),
            {FIELD_UINT, AT(welcome.quantum_bytes), 1, UINT32_MAX},
            UINT(welcome.price_micro, CHQ_MICROCREDIT_SUPPLY_MAX), UINT(welcome.time_s, UINT64_MAX),
            UINT(welcome.grant_micro, CHQ_MICROCREDIT_SUPPLY_MAX)}},
    [CHQ_FRAME_ATTACH] = {"ATTACH", {FIXED(attach.channel_id), FIXED(attach.signature)}},
    [CHQ_FRAME_ATTACHED] = {"ATTACHED", {FIXED(attached.channel_id), UINT(attached.carried_bytes, UINT64_MAX),
                                            UINT(attached.index, CHQ_TOKENS_PER_CHANNEL_MAX)}},
    [CHQ_FRAME_TOKEN] = {"TOKEN",
        {FIXED(token.channel_id), {FIELD_UINT, AT(token.index), 1, CHQ_TOKENS_PER_CHANNEL_MAX},
            FIXED(token.token)}},
    [CHQ_FRAME_CREDIT] = {"CREDIT", {FIXED(credit.channel_id), UINT(credit.index, CHQ_TOKENS_PER_CHANNEL_MAX),
                                        UINT(credit.carried_bytes, UINT64_MAX)}},
    [CHQ_FRAME_PUT] = {"PUT",
        {FIXED(put.queue_id), FIXED(put.put_id), {FIELD_BYTES, AT(put.envelope), 1, CHQ_ENVELOPE_BYTES_MAX}}},
    [CHQ_FRAME_STORED] = {"STORED", {FIXED(stored.put_id)}},
    [CHQ_FRAME_QUEUE] = {"QUEUE",
        {FIXED(queue.queue_key), UINT(queue.kind, CHQ_QUEUE_FRONT_DOOR), FIXED(queue.signature)}},
    [CHQ_FRAME_SUBSCRIBE] = {"SUBSCRIBE", {FIXED(subscribe.queue_key), FIXED(subscribe.signature)}},
    [CHQ_FRAME_DELIVER] = {"DELIVER",
        {FIXED(deliver.queue_id), {FIELD_UINT, AT(deliver.sequence), 1, UINT64_MAX}, FIXED(deliver.put_id),
            {FIELD_BYTES, AT(deliver.envelope), 1, CHQ_ENVELOPE_BYTES_MAX},
            UINT(deliver.stored_at_s, UINT64_MAX)}},
    [CHQ_FRAME_ACK] = {"ACK", {FIXED(ack.queue_id), {FIELD_UINT, AT(ack.sequence), 1, UINT64_MAX}}},
    [CHQ_FRAME_LEDGER] = {"LEDGER", {{FIELD_BYTES, AT(ledger.request), 1, CHQ_FRAME_LEDGER_BYTES_MAX}}},
    [CHQ_FRAME_LEDGER_REPLY] = {"LEDGER_REPLY",
        {{FIELD_BYTES, AT(ledger_reply.reply), 1, CHQ_FRAME_LEDGER_BYTES_MAX}}},
    [CHQ_FRAME_TURN] = {"TURN", {{FIELD_END, 0, 0, 0}}},
    [CHQ_FRAME_TURN_GRANT] = {"TURN_GRANT",
        {{FIELD_TEXT, AT(turn_grant.username), 1, 64}, {FIELD_TEXT, AT(turn_grant.password), 1, 64},
            {FIELD_TEXT, AT(turn_grant.realm), 1, 64}, UINT(turn_grant.valid_s, UINT32_MAX),
            {FIELD_TEXT, AT(turn_grant.host), 0, 255}, {FIELD_UINT, AT(turn_grant.port), 1, 65535}}},
    [CHQ_FRAME_PREKEYS] = {"PREKEYS",
        {FIXED(prekeys.queue_key), FIXED(prekeys.signature),
            {FIELD_BYTES, AT(prekeys.bundle), 1, CHQ_PREKEY_BUNDLE_BYTES_MAX}, {FIELD_ONE_TIME, 0, 0, 0}}},
    [CHQ_FRAME_PREKEY_GET] = {"PREKEY_GET", {FIXED(prekey_get.queue_id)}},
    [CHQ_FRAME_PREKEY] = {"PREKEY",
        {{FIELD_BYTES, AT(prekey.bundle), 1, CHQ_PREKEY_BUNDLE_BYTES_MAX},
            {FIELD_OPTIONAL, AT(prekey.one_time), 1, CHQ_ONE_TIME_PREKEY_BYTES_MAX},
            UINT(prekey.left, CHQ_ONE_TIME_PREKEYS_MAX)}},
    [CHQ_FRAME_GRANT] = {"GRANT", {FIXED(grant.account_id)}},
    [CHQ_FRAME_OK] = {"OK", {{FIELD_END, 0, 0, 0}}},
    [CHQ_FRAME_ERROR] = {"ERROR", {{FIELD_UINT, AT(error.code), 1, UINT8_MAX},
                                      {FIELD_TEXT, AT(error.text), 0, CHQ_TEXT_ERROR_BYTES_MAX}}},
    [CHQ_FRAME_PING] = {"PING", {{FIELD_END, 0, 0, 0}}},
};

#define TYPES (sizeof forms / sizeof *forms)

const char *chq_frame_type_name(enum chq_frame_type type)
{
    return (unsigned)type > 0 && (unsigned)type < TYPES ? forms[type].name : "?";
}

static void write_one_time(struct chq_writer *w, const struct chq_frame *frame)
{
    if (frame->prekeys.one_time_count > CHQ_ONE_TIME_PREKEYS_MAX) {
        chq_writer_fail(w, CHQ_MALFORMED);
        return;
    }
    chq_cbor_put_array(w, frame->prekeys.one_time_count);
    for (uint32_t i = 0; i < frame->prekeys.one_time_count; i++) {
        struct chq_bytes one = frame->prekeys.one_time[i];
        if (one.size < 1 || one.size > CHQ_ONE_TIME_PREKEY_BYTES_MAX)
            chq_writer_fail(w, CHQ_MALFORMED);
        chq_cbor_put_bytes(w, one);
    }
}

static bool is_left_out(const struct field *field, const struct chq_frame *frame)
{
    struct chq_bytes view;
    if (field->kind != FIELD_OPTIONAL)
        return false;
    memcpy(&view, (const uint8_t *)frame + field->at, sizeof view);
    return view.size == 0;
}

static void write_field(struct chq_writer *w, const struct field *field, const struct chq_frame *frame)
{
    const uint8_t *at = (const uint8_t *)frame + field->at;
    struct chq_bytes view;
    uint64_t number;
    switch (field->kind) {
    case FIELD_UINT:
        memcpy(&number, at, sizeof number);
        if (number < field->min || number > field->max)
            chq_writer_fail(w, CHQ_MALFORMED);
        chq_cbor_put_uint(w, number);
        return;
    case FIELD_FIXED: chq_cbor_put_bytes(w, chq_bytes(at, (size_t)field->max)); return;
    case FIELD_BYTES:
    case FIELD_OPTIONAL:
    case FIELD_TEXT:
        memcpy(&view, at, sizeof view);
        if (view.size < field->min || view.size > field->max)
            chq_writer_fail(w, CHQ_MALFORMED);
        else if (field->kind == FIELD_TEXT)
            chq_cbor_put_text(w, view);
        else
            chq_cbor_put_bytes(w, view);
        return;
    case FIELD_ONE_TIME: write_one_time(w, frame); return;
    case FIELD_END: return;
    }
}

enum chq_err chq_frame_write(struct chq_writer *w, const struct chq_frame *frame)
{
    size_t start = w->size;
    if ((unsigned)frame->type < 1 || (unsigned)frame->type >= TYPES) {
        chq_writer_fail(w, CHQ_MALFORMED);
        return chq_writer_finish(w);
    }
    const struct field *fields = forms[frame->type].fields;
    uint64_t pairs = 2;
    for (const struct field *f = fields; f->kind != FIELD_END; f++)
        pairs += is_left_out(f, frame) ? 0 : 1;
    chq_cbor_put_map(w, pairs);
    chq_cbor_pair_uint(w, 0, (uint64_t)frame->type);
    chq_cbor_pair_uint(w, 1, frame->id);
    for (uint64_t i = 0; fields[i].kind != FIELD_END; i++) {
        if (is_left_out(&fields[i], frame))
            continue;
        chq_cbor_put_key(w, i + 2);
        write_field(w, &fields[i], frame);
    }
    if (w->size - start > CHQ_FRAME_BYTES_MAX)
        chq_writer_fail(w, CHQ_LIMIT);
    return chq_writer_finish(w);
}

static void read_one_time(struct chq_reader *r, struct chq_frame *out)
{
    size_t count = chq_cbor_get_array(r, CHQ_ONE_TIME_PREKEYS_MAX);
    for (size_t i = 0; i < count; i++) {
        out->prekeys.one_time[i] = chq_cbor_get_bytes(r, CHQ_ONE_TIME_PREKEY_BYTES_MAX);
        if (out->prekeys.one_time[i].size < 1)
            chq_reader_fail(r, CHQ_MALFORMED);
    }
    out->prekeys.one_time_count = (uint32_t)count;
}

static void read_field(struct chq_reader *r, const struct field *field, struct chq_frame *out)
{
    uint8_t *at = (uint8_t *)out + field->at;
    struct chq_bytes view;
    uint64_t number;
    switch (field->kind) {
    case FIELD_UINT:
        number = chq_cbor_get_uint_max(r, field->max);
        if (number < field->min)
            chq_reader_fail(r, CHQ_MALFORMED);
        memcpy(at, &number, sizeof number);
        return;
    case FIELD_FIXED: chq_cbor_get_fixed(r, at, (size_t)field->max); return;
    case FIELD_BYTES:
    case FIELD_OPTIONAL:
    case FIELD_TEXT:
        view = field->kind == FIELD_TEXT ? chq_cbor_get_text(r, (size_t)field->max)
                                         : chq_cbor_get_bytes(r, (size_t)field->max);
        if (view.size < field->min)
            chq_reader_fail(r, CHQ_MALFORMED);
        memcpy(at, &view, sizeof view);
        return;
    case FIELD_ONE_TIME: read_one_time(r, out); return;
    case FIELD_END: return;
    }
}

/* Everything after the head of a known type. */
static void read_fields(struct chq_reader *r, struct chq_cbor_map *map, struct chq_frame *out)
{
    const struct field *fields = forms[out->type].fields;
    for (uint64_t i = 0; fields[i].kind != FIELD_END; i++) {
        if (fields[i].kind == FIELD_OPTIONAL) {
            if (!chq_cbor_has(r, map, i + 2))
                continue;
        } else {
            chq_cbor_need(r, map, i + 2);
        }
        read_field(r, &fields[i], out);
    }
    chq_cbor_map_end(r, map);
}

enum chq_err chq_frame_read(struct chq_bytes in, struct chq_frame *out)
{
    memset(out, 0, sizeof *out);
    if (in.size > CHQ_FRAME_BYTES_MAX)
        return CHQ_LIMIT;
    struct chq_reader r = chq_reader(in);
    struct chq_cbor_map map = chq_cbor_get_map(&r, SIZE_MAX / 2);
    chq_cbor_need(&r, &map, 0);
    uint64_t type = chq_cbor_get_uint(&r);
    chq_cbor_need(&r, &map, 1);
    uint64_t id = chq_cbor_get_uint(&r);
    if (r.err != CHQ_OK)
        return r.err;
    if (type < 1 || type >= TYPES) {
        CHQ_TRY(chq_cbor_check(in));
        out->id = id;
        return CHQ_UNSUPPORTED;
    }
    out->type = (enum chq_frame_type)type;
    out->id = id;
    read_fields(&r, &map, out);
    enum chq_err err = chq_reader_finish(&r);
    if (err != CHQ_OK)
        memset(out, 0, sizeof *out);
    return err;
}

static void message_of_three(uint8_t out[96], const uint8_t relay_id[CHQ_ID_BYTES],
    const uint8_t challenge[CHQ_ID_BYTES], const uint8_t last[CHQ_ID_BYTES])
{
    memcpy(out, relay_id, CHQ_ID_BYTES);
    memcpy(out + 32, challenge, CHQ_ID_BYTES);
    memcpy(out + 64, last, CHQ_ID_BYTES);
}

void chq_frame_attach_message(uint8_t out[96], const uint8_t relay_id[CHQ_ID_BYTES],
    const uint8_t challenge[CHQ_ID_BYTES], const uint8_t channel_id[CHQ_ID_BYTES])
{
    message_of_three(out, relay_id, challenge, channel_id);
}

void chq_frame_queue_message(uint8_t out[65], const uint8_t relay_id[CHQ_ID_BYTES],
    const uint8_t challenge[CHQ_ID_BYTES], uint64_t kind)
{
    memcpy(out, relay_id, CHQ_ID_BYTES);
    memcpy(out + 32, challenge, CHQ_ID_BYTES);
    out[64] = (uint8_t)kind;
}

void chq_frame_subscribe_message(uint8_t out[96], const uint8_t relay_id[CHQ_ID_BYTES],
    const uint8_t challenge[CHQ_ID_BYTES], const uint8_t queue_id[CHQ_ID_BYTES])
{
    message_of_three(out, relay_id, challenge, queue_id);
}

void chq_frame_prekeys_message(uint8_t out[96], const uint8_t relay_id[CHQ_ID_BYTES],
    const uint8_t challenge[CHQ_ID_BYTES], const struct chq_frame *frame)
{
    struct chq_bytes parts[2 * (CHQ_ONE_TIME_PREKEYS_MAX + 1)];
    uint8_t sizes[CHQ_ONE_TIME_PREKEYS_MAX + 1][4], hash[CHQ_HASH_BYTES];
    uint32_t count = frame->prekeys.one_time_count;
    CHQ_ASSERT(count <= CHQ_ONE_TIME_PREKEYS_MAX);
    for (uint32_t i = 0; i <= count; i++) {
        struct chq_bytes part = i == 0 ? frame->prekeys.bundle : frame->prekeys.one_time[i - 1];
        chq_store_u32(sizes[i], (uint32_t)part.size);
        parts[2 * i] = chq_bytes(sizes[i], 4);
        parts[2 * i + 1] = part;
    }
    chq_hash(hash, CHQ_DOMAIN_PREKEYS, parts, 2 * ((size_t)count + 1));
    message_of_three(out, relay_id, challenge, hash);
}
