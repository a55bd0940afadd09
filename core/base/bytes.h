/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CHQ_CORE_BASE_BYTES_H
#define CHQ_CORE_BASE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/err.h"

/* Borrowed, read-only bytes. */
struct chq_bytes {
    const uint8_t *data;
    size_t size;
};

/* Return a view of `size` bytes at `data`. */
static inline struct chq_bytes chq_bytes(const void *data, size_t size)
{
    return (struct chq_bytes){.data = data, .size = size};
}

/* Return a view of the characters of the C string `text`, without its terminator. */
struct chq_bytes chq_bytes_text(const char *text);

/* Return whether both hold the same bytes. Not constant time: for public values only. */
bool chq_bytes_equal(struct chq_bytes a, struct chq_bytes b);

/*
 * Reading cursor over hostile bytes. The error is sticky: after the first failure every read returns zero or an
 * empty view, so a parser reads straight on and asks once at the end.
 */
struct chq_reader {
    const uint8_t *at, *end;
    enum chq_err err;
};

struct chq_reader chq_reader(struct chq_bytes in);
size_t chq_reader_left(const struct chq_reader *r);
/* Note the first error; later ones are ignored. */
void chq_reader_fail(struct chq_reader *r, enum chq_err err);
uint8_t chq_read_u8(struct chq_reader *r);
uint16_t chq_read_u16(struct chq_reader *r); /* big-endian, as are all below */
uint32_t chq_read_u32(struct chq_reader *r);
uint64_t chq_read_u64(struct chq_reader *r);
/* Return a borrowed view of the next `size` bytes, or an empty view and CHQ_MALFORMED noted. */
struct chq_bytes chq_read_bytes(struct chq_reader *r, size_t size);
/* Copy the next `size` bytes to `out`; on failure zero `out`. */
void chq_read_copy(struct chq_reader *r, uint8_t *out, size_t size);
/* Return CHQ_OK if nothing failed and nothing is left over; CHQ_MALFORMED for trailing bytes. */
CHQ_MUST_CHECK enum chq_err chq_reader_finish(const struct chq_reader *r);

/*
 * Writing cursor, over the caller's fixed storage (chq_writer_fixed) or over a heap block that grows up to a
 * limit (chq_writer_heap). The error is sticky: CHQ_LIMIT when full, CHQ_NO_MEMORY when the heap is. A fixed
 * writer over no storage and a cap of 0 counts nothing and fails on the first byte.
 */
struct chq_writer {
    uint8_t *data;
    size_t size, cap, limit;
    enum chq_err err;
    bool heap;
};

struct chq_writer chq_writer_fixed(uint8_t *storage, size_t cap);
struct chq_writer chq_writer_heap(size_t limit);
/* Wipe and free what a heap writer owns, and reset the writer; for a fixed writer only reset it. */
void chq_writer_free(struct chq_writer *w);
/* Forget what was written but keep the storage (and wipe nothing). */
void chq_writer_clear(struct chq_writer *w);
void chq_writer_fail(struct chq_writer *w, enum chq_err err);
void chq_write_u8(struct chq_writer *w, uint8_t v);
void chq_write_u16(struct chq_writer *w, uint16_t v);
void chq_write_u32(struct chq_writer *w, uint32_t v);
void chq_write_u64(struct chq_writer *w, uint64_t v);
void chq_write_bytes(struct chq_writer *w, const void *data, size_t size);
/* Append `size` zero bytes and return where they start, or NULL when the error is set. */
uint8_t *chq_write_space(struct chq_writer *w, size_t size);
/* Return the written bytes (borrowed until the next write). */
struct chq_bytes chq_writer_bytes(const struct chq_writer *w);
/* Return the sticky error. */
CHQ_MUST_CHECK enum chq_err chq_writer_finish(const struct chq_writer *w);
/* Hand over the heap block of a heap writer (caller frees with free()) and reset the writer. */
CHQ_MUST_CHECK enum chq_err chq_writer_take(struct chq_writer *w, uint8_t **data, size_t *size);

/* Big-endian loads and stores at an address the caller has checked. */
static inline uint16_t chq_load_u16(const uint8_t *p)
{
    return (uint16_t)((unsigned)p[0] << 8 | p[1]);
}
static inline uint32_t chq_load_u32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}
static inline uint64_t chq_load_u64(const uint8_t *p)
{
    return (uint64_t)chq_load_u32(p) << 32 | chq_load_u32(p + 4);
}
static inline void chq_store_u16(uint8_t *p, uint16_t v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}
static inline void chq_store_u32(uint8_t *p, uint32_t v)
{
    chq_store_u16(p, (uint16_t)(v >> 16));
    chq_store_u16(p + 2, (uint16_t)v);
}
static inline void chq_store_u64(uint8_t *p, uint64_t v)
{
    chq_store_u32(p, (uint32_t)(v >> 32));
    chq_store_u32(p + 4, (uint32_t)v);
}

#endif
