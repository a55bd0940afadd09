/* SPDX-License-Identifier: Apache-2.0 */
#include "core/base/text.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Return the length of the well-formed sequence at `p` (RFC 3629 section 4), or 0. */
static size_t utf8_sequence(const uint8_t *p, size_t left)
{
    if (p[0] < 0x80)
        return p[0] != 0 ? 1 : 0;
    uint8_t low = 0x80, high = 0xbf;
    size_t n;
    if (p[0] >= 0xc2 && p[0] <= 0xdf) {
        n = 2;
    } else if (p[0] >= 0xe0 && p[0] <= 0xef) {
        n = 3;
        low = p[0] == 0xe0 ? 0xa0 : 0x80;
        high = p[0] == 0xed ? 0x9f : 0xbf;
    } else if (p[0] >= 0xf0 && p[0] <= 0xf4) {
        n = 4;
        low = p[0] == 0xf0 ? 0x90 : 0x80;
        high = p[0] == 0xf4 ? 0x8f : 0xbf;
    } else {
        return 0;
    }
    if (n > left || p[1] < low || p[1] > high)
        return 0;
    for (size_t i = 2; i < n; i++)
        if (p[i] < 0x80 || p[i] > 0xbf)
            return 0;
    return n;
}

bool chq_utf8_valid(struct chq_bytes text)
{
    for (size_t i = 0; i < text.size;) {
        size_t n = utf8_sequence(text.data + i, text.size - i);
        if (n == 0)
            return false;
        i += n;
    }
    return true;
}

void chq_hex_write(struct chq_bytes in, char *out)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < in.size; i++) {
        *out++ = digits[in.data[i] >> 4];
        *out++ = digits[in.data[i] & 15];
    }
    *out = '\0';
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

enum chq_err chq_hex_read(const char *text, uint8_t *out, size_t size)
{
    if (strlen(text) != 2 * size) {
        memset(out, 0, size);
        return CHQ_MALFORMED;
    }
    for (size_t i = 0; i < size; i++) {
        int high = hex_digit(text[2 * i]), low = hex_digit(text[2 * i + 1]);
        if (high < 0 || low < 0) {
            memset(out, 0, size);
            return CHQ_MALFORMED;
        }
        out[i] = (uint8_t)(high << 4 | low);
    }
    return CHQ_OK;
}

static const char base64url_alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

void chq_base64url_write(struct chq_bytes in, char *out)
{
    uint32_t bits = 0;
    unsigned held = 0;
    for (size_t i = 0; i < in.size; i++) {
        bits = bits << 8 | in.data[i];
        held += 8;
        while (held >= 6) {
            held -= 6;
            *out++ = base64url_alphabet[bits >> held & 63];
        }
    }
    if (held > 0)
        *out++ = base64url_alphabet[bits << (6 - held) & 63];
    *out = '\0';
}

enum chq_err chq_base64url_read(struct chq_bytes text, uint8_t *out, size_t cap, size_t *size)
{
    if (text.size % 4 == 1)
        return CHQ_MALFORMED;
    if (text.size / 4 * 3 + (text.size % 4 * 6) / 8 > cap)
        return CHQ_LIMIT;
    uint32_t bits = 0;
    unsigned held = 0;
    size_t n = 0;
    for (size_t i = 0; i < text.size; i++) {
        const char *at = text.data[i] != 0 ? strchr(base64url_alphabet, text.data[i]) : NULL;
        if (at == NULL)
            return CHQ_MALFORMED;
        bits = bits << 6 | (uint32_t)(at - base64url_alphabet);
        held += 6;
        if (held >= 8) {
            held -= 8;
            out[n++] = (uint8_t)(bits >> held);
        }
    }
    if ((bits & ((1u << held) - 1)) != 0)
        return CHQ_MALFORMED;
    *size = n;
    return CHQ_OK;
}

enum chq_err chq_decimal_read(const char *text, uint64_t max, uint64_t *out)
{
    uint64_t v = 0;
    if (*text == '\0')
        return CHQ_MALFORMED;
    for (; *text != '\0'; text++) {
        if (*text < '0' || *text > '9')
            return CHQ_MALFORMED;
        uint64_t digit = (uint64_t)(*text - '0');
        if (v > (UINT64_MAX - digit) / 10)
            return CHQ_MALFORMED;
        v = v * 10 + digit;
    }
    if (v > max)
        return CHQ_MALFORMED;
    *out = v;
    return CHQ_OK;
}

void chq_credit_write(int64_t microcredit, char out[32])
{
    const char *sign = microcredit < 0 ? "-" : "";
    uint64_t v = microcredit < 0 ? 0 - (uint64_t)microcredit : (uint64_t)microcredit;
    int n = snprintf(out, 32, "%s%" PRIu64 ".%06" PRIu64, sign, v / 1000000, v % 1000000);
    while (n > 0 && out[n - 1] == '0')
        out[--n] = '\0';
    if (n > 0 && out[n - 1] == '.')
        out[n - 1] = '\0';
}

enum chq_err chq_credit_read(const char *text, int64_t *microcredit)
{
    uint64_t whole = 0, part = 0;
    char digits[24];
    const char *dot = strchr(text, '.');
    size_t n = dot != NULL ? (size_t)(dot - text) : strlen(text);
    if (n == 0 || n >= sizeof digits)
        return CHQ_MALFORMED;
    memcpy(digits, text, n);
    digits[n] = '\0';
    CHQ_TRY(chq_decimal_read(digits, (uint64_t)INT64_MAX / 1000000 - 1, &whole));
    if (dot != NULL) {
        size_t places = strlen(dot + 1);
        if (places == 0 || places > 6)
            return CHQ_MALFORMED;
        CHQ_TRY(chq_decimal_read(dot + 1, 999999, &part));
        for (size_t i = places; i < 6; i++)
            part *= 10;
    }
    *microcredit = (int64_t)(whole * 1000000 + part);
    return CHQ_OK;
}
