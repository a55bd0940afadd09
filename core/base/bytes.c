/* SPDX-License-Identifier: Apache-2.0 */
#include "core/base/bytes.h"

#include <stdlib.h>
#include <string.h>

struct chq_bytes chq_bytes_text(const char *text)
{
    return chq_bytes(text, strlen(text));
}

bool chq_bytes_equal(struct chq_bytes a, struct chq_bytes b)
{
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

struct chq_reader chq_reader(struct chq_bytes in)
{
    static const uint8_t none[1];
    const uint8_t *at = in.size > 0 ? in.data : none;
    return (struct chq_reader){.at = at, .end = at + in.size, .err = CHQ_OK};
}

size_t chq_reader_left(const struct chq_reader *r)
{
    return r->err == CHQ_OK ? (size_t)(r->end - r->at) : 0;
}

void chq_reader_fail(struct chq_reader *r, enum chq_err err)
{
    if (r->err == CHQ_OK)
        r->err = err;
}

struct chq_bytes chq_read_bytes(struct chq_reader *r, size_t size)
{
    if (r->err != CHQ_OK || size > (size_t)(r->end - r->at)) {
        chq_reader_fail(r, CHQ_MALFORMED);
        return chq_bytes(NULL, 0);
    }
    struct chq_bytes out = chq_bytes(r->at, size);
    r->at += size;
    return out;
}

void chq_read_copy(struct chq_reader *r, uint8_t *out, size_t size)
{
    struct chq_bytes in = chq_read_bytes(r, size);
    if (r->err != CHQ_OK)
        memset(out, 0, size);
    else if (size > 0)
        memcpy(out, in.data, size);
}

uint8_t chq_read_u8(struct chq_reader *r)
{
    struct chq_bytes b = chq_read_bytes(r, 1);
    return b.size == 1 ? b.data[0] : 0;
}

uint16_t chq_read_u16(struct chq_reader *r)
{
    struct chq_bytes b = chq_read_bytes(r, 2);
    return b.size == 2 ? chq_load_u16(b.data) : 0;
}

uint32_t chq_read_u32(struct chq_reader *r)
{
    struct chq_bytes b = chq_read_bytes(r, 4);
    return b.size == 4 ? chq_load_u32(b.data) : 0;
}

uint64_t chq_read_u64(struct chq_reader *r)
{
    struct chq_bytes b = chq_read_bytes(r, 8);
    return b.size == 8 ? chq_load_u64(b.data) : 0;
}

enum chq_err chq_reader_finish(const struct chq_reader *r)
{
    if (r->err != CHQ_OK)
        return r->err;
    return r->at == r->end ? CHQ_OK : CHQ_MALFORMED;
}

struct chq_writer chq_writer_fixed(uint8_t *storage, size_t cap)
{
    return (struct chq_writer){.data = storage, .cap = cap, .limit = cap};
}

struct chq_writer chq_writer_heap(size_t limit)
{
    return (struct chq_writer){.limit = limit, .heap = true};
}

/* Writers carry plaintext and keys, so what they held is wiped. memset through volatile: no libsodium in base. */
static void wipe(uint8_t *data, size_t size)
{
    volatile uint8_t *p = data;
    while (size-- > 0)
        *p++ = 0;
}

void chq_writer_free(struct chq_writer *w)
{
    if (w->heap && w->data != NULL) {
        wipe(w->data, w->size);
        free(w->data);
        w->data = NULL;
        w->cap = 0;
    }
    w->size = 0;
    w->err = CHQ_OK;
}

void chq_writer_clear(struct chq_writer *w)
{
    w->size = 0;
    w->err = CHQ_OK;
}

void chq_writer_fail(struct chq_writer *w, enum chq_err err)
{
    if (w->err == CHQ_OK)
        w->err = err;
}

static bool reserve(struct chq_writer *w, size_t more)
{
    if (w->err != CHQ_OK)
        return false;
    if (more > w->limit - w->size) {
        w->err = CHQ_LIMIT;
        return false;
    }
    size_t need = w->size + more;
    if (need <= w->cap)
        return true;
    size_t cap = w->cap < 64 ? 64 : w->cap;
    while (cap < need)
        cap = cap > w->limit / 2 ? w->limit : cap * 2;
    if (cap > w->limit)
        cap = w->limit;
    uint8_t *data = malloc(cap);
    if (data == NULL) {
        w->err = CHQ_NO_MEMORY;
        return false;
    }
    if (w->data != NULL) { /* not realloc: the old block may hold secrets */
        memcpy(data, w->data, w->size);
        wipe(w->data, w->size);
        free(w->data);
    }
    w->data = data;
    w->cap = cap;
    return true;
}

void chq_write_bytes(struct chq_writer *w, const void *data, size_t size)
{
    if (!reserve(w, size))
        return;
    if (size > 0)
        memcpy(w->data + w->size, data, size);
    w->size += size;
}

uint8_t *chq_write_space(struct chq_writer *w, size_t size)
{
    if (!reserve(w, size) || w->data == NULL)
        return NULL;
    uint8_t *at = w->data + w->size;
    memset(at, 0, size);
    w->size += size;
    return at;
}

void chq_write_u8(struct chq_writer *w, uint8_t v)
{
    chq_write_bytes(w, &v, 1);
}

void chq_write_u16(struct chq_writer *w, uint16_t v)
{
    uint8_t b[2];
    chq_store_u16(b, v);
    chq_write_bytes(w, b, sizeof b);
}

void chq_write_u32(struct chq_writer *w, uint32_t v)
{
    uint8_t b[4];
    chq_store_u32(b, v);
    chq_write_bytes(w, b, sizeof b);
}

void chq_write_u64(struct chq_writer *w, uint64_t v)
{
    uint8_t b[8];
    chq_store_u64(b, v);
    chq_write_bytes(w, b, sizeof b);
}

struct chq_bytes chq_writer_bytes(const struct chq_writer *w)
{
    return chq_bytes(w->data, w->err == CHQ_OK ? w->size : 0);
}

enum chq_err chq_writer_finish(const struct chq_writer *w)
{
    return w->err;
}

enum chq_err chq_writer_take(struct chq_writer *w, uint8_t **data, size_t *size)
{
    if (w->err != CHQ_OK || !w->heap)
        return w->err != CHQ_OK ? w->err : CHQ_STATE;
    *data = w->data;
    *size = w->size;
    *w = chq_writer_heap(w->limit);
    return CHQ_OK;
}
