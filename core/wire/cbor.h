/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CHQ_CORE_WIRE_CBOR_H
#define CHQ_CORE_WIRE_CBOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/bytes.h"
#include "core/base/err.h"

/*
 * Deterministic CBOR (RFC 8949 section 4.2.1), the subset Chasqui signs and sends: integers, byte strings, text
 * strings, arrays, maps with unsigned integer keys in rising order. Definite lengths and shortest forms only; no
 * tags, floats, simple values or indefinite lengths. Whatever else comes in is CHQ_MALFORMED.
 */

/* Writing: append one item to `w`; errors stick to the writer. A map's keys must be written in rising order. */
void chq_cbor_put_uint(struct chq_writer *w, uint64_t v);
void chq_cbor_put_int(struct chq_writer *w, int64_t v);
void chq_cbor_put_bytes(struct chq_writer *w, struct chq_bytes v);
void chq_cbor_put_text(struct chq_writer *w, struct chq_bytes utf8); /* CHQ_MALFORMED when not UTF-8 */
void chq_cbor_put_array(struct chq_writer *w, uint64_t items);
void chq_cbor_put_map(struct chq_writer *w, uint64_t pairs);
/* A map key; the same as an unsigned integer. */
void chq_cbor_put_key(struct chq_writer *w, uint64_t key);
/* Short forms: key and value together. */
void chq_cbor_pair_uint(struct chq_writer *w, uint64_t key, uint64_t v);
void chq_cbor_pair_int(struct chq_writer *w, uint64_t key, int64_t v);
void chq_cbor_pair_bytes(struct chq_writer *w, uint64_t key, const void *data, size_t size);
void chq_cbor_pair_text(struct chq_writer *w, uint64_t key, struct chq_bytes utf8);

/* Reading: the error sticks to the reader; after it, every call returns zero or an empty view. */
uint64_t chq_cbor_get_uint(struct chq_reader *r);
/* An unsigned integer not above `max`; CHQ_MALFORMED otherwise. */
uint64_t chq_cbor_get_uint_max(struct chq_reader *r, uint64_t max);
int64_t chq_cbor_get_int(struct chq_reader *r);
/* A byte string of at most `max` bytes, borrowed. */
struct chq_bytes chq_cbor_get_bytes(struct chq_reader *r, size_t max);
/* A byte string of exactly `size` bytes, copied; zeroed on failure. */
void chq_cbor_get_fixed(struct chq_reader *r, uint8_t *out, size_t size);
/* A valid UTF-8 text string of at most `max` bytes, borrowed, not terminated. */
struct chq_bytes chq_cbor_get_text(struct chq_reader *r, size_t max);
/* The number of items of an array, at most `max`. */
size_t chq_cbor_get_array(struct chq_reader *r, size_t max);

/*
 * A map, read in the order of its keys:
 *   struct chq_cbor_map m = chq_cbor_get_map(&r, 8);
 *   chq_cbor_need(&r, &m, 1); id = chq_cbor_get_uint(&r);
 *   if (chq_cbor_has(&r, &m, 5)) note = chq_cbor_get_text(&r, 64);
 *   chq_cbor_map_end(&r, &m);           unknown keys that are left are CHQ_MALFORMED
 */
struct chq_cbor_map {
    size_t left; /* pairs whose key has not been read */
    uint64_t last_key; /* keys must rise */
    bool any;
};

struct chq_cbor_map chq_cbor_get_map(struct chq_reader *r, size_t pairs_max);
/* Read the next key, which must be `key`. */
void chq_cbor_need(struct chq_reader *r, struct chq_cbor_map *m, uint64_t key);
/* Read the next key if it is `key` and return true; otherwise leave it and return false. */
bool chq_cbor_has(struct chq_reader *r, struct chq_cbor_map *m, uint64_t key);
void chq_cbor_map_end(struct chq_reader *r, struct chq_cbor_map *m);

/* Check that `in` is exactly one well-formed item of the subset, nested at most CHQ_CBOR_DEPTH_MAX deep. */
CHQ_MUST_CHECK enum chq_err chq_cbor_check(struct chq_bytes in);
/* Skip one well-formed item and return its bytes (borrowed). */
struct chq_bytes chq_cbor_get_any(struct chq_reader *r);

#endif
