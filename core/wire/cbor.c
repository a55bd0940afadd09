/* SPDX-License-Identifier: Apache-2.0 */
#include "core/wire/cbor.h"

#include <string.h>

#include "core/base/limits.h"
#include "core/base/text.h"

/* Major types, RFC 8949 section 3.1. */
enum { MAJOR_UINT = 0, MAJOR_NEGATIVE = 1, MAJOR_BYTES = 2, MAJOR_TEXT = 3, MAJOR_ARRAY = 4, MAJOR_MAP = 5 };

static void put_head(struct chq_writer *w, unsigned major, uint64_t v)
{
    uint8_t type = (uint8_t)(major << 5);
    if (v < 24) {
        chq_write_u8(w, (uint8_t)(type | v));
    } else if (v <= UINT8_MAX) {
        chq_write_u8(w, type | 24);
        chq_write_u8(w, (uint8_t)v);
    } else if (v <= UINT16_MAX) {
        chq_write_u8(w, type | 25);
        chq_write_u16(w, (uint16_t)v);
    } else if (v <= UINT32_MAX) {
        chq_write_u8(w, type | 26);
        chq_write_u32(w, (uint32_t)v);
    } else {
        chq_write_u8(w, type | 27);
        chq_write_u64(w, v);
    }
}

void chq_cbor_put_uint(struct chq_writer *w, uint64_t v)
{
    put_head(w, MAJOR_UINT, v);
}

void chq_cbor_put_int(struct chq_writer *w, int64_t v)
{
    if (v >= 0)
        put_head(w, MAJOR_UINT, (uint64_t)v);
    else
        put_head(w, MAJOR_NEGATIVE, (uint64_t)(-1 - v));
}

void chq_cbor_put_bytes(struct chq_writer *w, struct chq_bytes v)
{
    put_head(w, MAJOR_BYTES, v.size);
    chq_write_bytes(w, v.data, v.size);
}

void chq_cbor_put_text(struct chq_writer *w, struct chq_bytes utf8)
{
    if (!chq_utf8_valid(utf8)) {
        chq_writer_fail(w, CHQ_MALFORMED);
        return;
    }
    put_head(w, MAJOR_TEXT, utf8.size);
    chq_write_bytes(w, utf8.data, utf8.size);
}

void chq_cbor_put_array(struct chq_writer *w, uint64_t items)
{
    put_head(w, MAJOR_ARRAY, items);
}

void chq_cbor_put_map(struct chq_writer *w, uint64_t pairs)
{
    put_head(w, MAJOR_MAP, pairs);
}

void chq_cbor_put_key(struct chq_writer *w, uint64_t key)
{
    put_head(w, MAJOR_UINT, key);
}

void chq_cbor_pair_uint(struct chq_writer *w, uint64_t key, uint64_t v)
{
    chq_cbor_put_key(w, key);
    chq_cbor_put_uint(w, v);
}

void chq_cbor_pair_int(struct chq_writer *w, uint64_t key, int64_t v)
{
    chq_cbor_put_key(w, key);
    chq_cbor_put_int(w, v);
}

void chq_cbor_pair_bytes(struct chq_writer *w, uint64_t key, const void *data, size_t size)
{
    chq_cbor_put_key(w, key);
    chq_cbor_put_bytes(w, chq_bytes(data, size));
}

void chq_cbor_pair_text(struct chq_writer *w, uint64_t key, struct chq_bytes utf8)
{
    chq_cbor_put_key(w, key);
    chq_cbor_put_text(w, utf8);
}

/* Read a head of major type `major`, refusing every form but the shortest (RFC 8949 section 4.2.1). */
static uint64_t get_head(struct chq_reader *r, unsigned major)
{
    uint8_t first = chq_read_u8(r);
    unsigned info = first & 31;
    uint64_t v = info, least = 0;
    if (r->err != CHQ_OK)
        return 0;
    if (first >> 5 != major) {
        chq_reader_fail(r, CHQ_MALFORMED);
        return 0;
    }
    switch (info) {
    case 24: v = chq_read_u8(r), least = 24; break;
    case 25: v = chq_read_u16(r), least = (uint64_t)UINT8_MAX + 1; break;
    case 26: v = chq_read_u32(r), least = (uint64_t)UINT16_MAX + 1; break;
    case 27: v = chq_read_u64(r), least = (uint64_t)UINT32_MAX + 1; break;
    default:
        if (info > 27)
            chq_reader_fail(r, CHQ_MALFORMED);
    }
    if (v < least)
        chq_reader_fail(r, CHQ_MALFORMED);
    return r->err == CHQ_OK ? v : 0;
}

uint64_t chq_cbor_get_uint(struct chq_reader *r)
{
    return get_head(r, MAJOR_UINT);
}

uint64_t chq_cbor_get_uint_max(struct chq_reader *r, uint64_t max)
{
    uint64_t v = get_head(r, MAJOR_UINT);
    if (v > max) {
        chq_reader_fail(r, CHQ_MALFORMED);
        return 0;
    }
    return v;
}

int64_t chq_cbor_get_int(struct chq_reader *r)
{
    bool negative = chq_reader_left(r) > 0 && *r->at >> 5 == MAJOR_NEGATIVE;
    uint64_t v = get_head(r, negative ? MAJOR_NEGATIVE : MAJOR_UINT);
    if (v > INT64_MAX) {
        chq_reader_fail(r, CHQ_MALFORMED);
        return 0;
    }
    return negative && r->err == CHQ_OK ? -1 - (int64_t)v : (int64_t)v;
}

static struct chq_bytes get_string(struct chq_reader *r, unsigned major, size_t max)
{
    uint64_t size = get_head(r, major);
    if (size > max || size > chq_reader_left(r)) {
        chq_reader_fail(r, CHQ_MALFORMED);
        return chq_bytes(NULL, 0);
    }
    return chq_read_bytes(r, (size_t)size);
}

struct chq_bytes chq_cbor_get_bytes(struct chq_reader *r, size_t max)
{
    return get_string(r, MAJOR_BYTES, max);
}

void chq_cbor_get_fixed(struct chq_reader *r, uint8_t *out, size_t size)
{
    struct chq_bytes b = get_string(r, MAJOR_BYTES, size);
    if (r->err == CHQ_OK && b.size != size)
        chq_reader_fail(r, CHQ_MALFORMED);
    if (r->err != CHQ_OK)
        memset(out, 0, size);
    else if (size > 0)
        memcpy(out, b.data, size);
}

struct chq_bytes chq_cbor_get_text(struct chq_reader *r, size_t max)
{
    struct chq_bytes b = get_string(r, MAJOR_TEXT, max);
    if (!chq_utf8_valid(b)) {
        chq_reader_fail(r, CHQ_MALFORMED);
        return chq_bytes(NULL, 0);
    }
    return b;
}

size_t chq_cbor_get_array(struct chq_reader *r, size_t max)
{
    uint64_t n = get_head(r, MAJOR_ARRAY);
    if (n > max || n > chq_reader_left(r)) { /* every item takes a byte at least */
        chq_reader_fail(r, CHQ_MALFORMED);
        return 0;
    }
    return (size_t)n;
}

struct chq_cbor_map chq_cbor_get_map(struct chq_reader *r, size_t pairs_max)
{
    uint64_t n = get_head(r, MAJOR_MAP);
    if (n > pairs_max || n > chq_reader_left(r) / 2) {
        chq_reader_fail(r, CHQ_MALFORMED);
        n = 0;
    }
    return (struct chq_cbor_map){.left = (size_t)n};
}

bool chq_cbor_has(struct chq_reader *r, struct chq_cbor_map *m, uint64_t key)
{
    if (r->err != CHQ_OK || m->left == 0)
        return false;
    struct chq_reader ahead = *r;
    uint64_t found = get_head(&ahead, MAJOR_UINT);
    if (ahead.err != CHQ_OK || (m->any && found <= m->last_key)) {
        chq_reader_fail(r, CHQ_MALFORMED);
        return false;
    }
    if (found != key)
        return false;
    *r = ahead;
    m->left--;
    m->last_key = key;
    m->any = true;
    return true;
}

void chq_cbor_need(struct chq_reader *r, struct chq_cbor_map *m, uint64_t key)
{
    if (!chq_cbor_has(r, m, key))
        chq_reader_fail(r, CHQ_MALFORMED);
}

void chq_cbor_map_end(struct chq_reader *r, struct chq_cbor_map *m)
{
    if (m->left != 0)
        chq_reader_fail(r, CHQ_MALFORMED);
}

/* Walk one item without recursion: `pending[d]` counts the items still to read at depth d. */
struct walk_level {
    uint64_t pending;
    bool map;
    bool key_next;
    bool any_key;
    uint64_t last_key;
};

static void walk_item(struct chq_reader *r, struct walk_level *levels, unsigned *depth)
{
    unsigned major = chq_reader_left(r) > 0 ? *r->at >> 5 : 7;
    switch (major) {
    case MAJOR_UINT: (void)chq_cbor_get_uint(r); return;
    case MAJOR_NEGATIVE: (void)chq_cbor_get_int(r); return;
    case MAJOR_BYTES: (void)chq_cbor_get_bytes(r, SIZE_MAX); return;
    case MAJOR_TEXT: (void)chq_cbor_get_text(r, SIZE_MAX); return;
    case MAJOR_ARRAY:
    case MAJOR_MAP:
        if (*depth + 1 >= CHQ_CBOR_DEPTH_MAX) {
            chq_reader_fail(r, CHQ_MALFORMED);
            return;
        }
        uint64_t n =
            major == MAJOR_MAP ? 2 * chq_cbor_get_map(r, SIZE_MAX / 2).left : chq_cbor_get_array(r, SIZE_MAX);
        levels[++*depth] = (struct walk_level){.pending = n, .map = major == MAJOR_MAP, .key_next = true};
        return;
    default: chq_reader_fail(r, CHQ_MALFORMED);
    }
}

static void walk_key(struct chq_reader *r, struct walk_level *level)
{
    uint64_t key = chq_cbor_get_uint(r);
    if (level->any_key && key <= level->last_key)
        chq_reader_fail(r, CHQ_MALFORMED);
    level->any_key = true;
    level->last_key = key;
}

struct chq_bytes chq_cbor_get_any(struct chq_reader *r)
{
    struct walk_level levels[CHQ_CBOR_DEPTH_MAX] = {{.pending = 1}};
    unsigned depth = 0;
    const uint8_t *start = r->at;
    while (r->err == CHQ_OK) {
        struct walk_level *level = &levels[depth];
        if (level->pending == 0) {
            if (depth == 0)
                break;
            depth--;
            continue;
        }
        level->pending--;
        if (level->map && level->key_next) {
            level->key_next = false;
            walk_key(r, level);
        } else {
            level->key_next = true;
            walk_item(r, levels, &depth);
        }
    }
    return r->err == CHQ_OK ? chq_bytes(start, (size_t)(r->at - start)) : chq_bytes(NULL, 0);
}

enum chq_err chq_cbor_check(struct chq_bytes in)
{
    struct chq_reader r = chq_reader(in);
    (void)chq_cbor_get_any(&r);
    return chq_reader_finish(&r);
}
