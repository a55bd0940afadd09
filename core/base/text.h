/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CHQ_CORE_BASE_TEXT_H
#define CHQ_CORE_BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/bytes.h"
#include "core/base/err.h"

/* Return whether `text` is well-formed UTF-8 (RFC 3629: no surrogates, no overlong forms, no NUL). */
bool chq_utf8_valid(struct chq_bytes text);

/* Write `in` as lower-case hexadecimal with a terminator; `out` holds 2 * in.size + 1 characters. */
void chq_hex_write(struct chq_bytes in, char *out);
/* Read exactly `size` bytes from 2 * size hexadecimal digits, either case. CHQ_MALFORMED otherwise. */
CHQ_MUST_CHECK enum chq_err chq_hex_read(const char *text, uint8_t *out, size_t size);

/* Write base64url without padding (RFC 4648 section 5); `out` holds (in.size * 4 + 2) / 3 + 1 characters. */
void chq_base64url_write(struct chq_bytes in, char *out);
/* Read base64url without padding, strict (no white space, zero spare bits). CHQ_LIMIT when above `cap` bytes. */
CHQ_MUST_CHECK enum chq_err chq_base64url_read(struct chq_bytes text, uint8_t *out, size_t cap, size_t *size);

/* Read an unsigned decimal number that fills `text` to its end; CHQ_MALFORMED otherwise or above `max`. */
CHQ_MUST_CHECK enum chq_err chq_decimal_read(const char *text, uint64_t max, uint64_t *out);

/* Write `microcredit` as decimal credit, as "12.5" or "0.000001"; `out` holds 32 characters. */
void chq_credit_write(int64_t microcredit, char out[32]);
/* Read decimal credit with at most 6 places, not negative. CHQ_MALFORMED otherwise. */
CHQ_MUST_CHECK enum chq_err chq_credit_read(const char *text, int64_t *microcredit);

#endif
