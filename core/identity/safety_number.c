/* SPDX-License-Identifier: Apache-2.0 */
#include "core/identity/safety_number.h"

#include <string.h>

#include "core/crypto/hash.h"

#define HALF_DIGITS (CHQ_SAFETY_NUMBER_DIGITS / 2)
#define GROUP       5 /* digits, and the bytes each group is made of */

/* Thirty digits of one account: the shape of Signal's numeric fingerprint, 5,200 rounds, 5 bytes for 5 digits. */
static void half(char out[HALF_DIGITS], const uint8_t *account_id, const uint8_t *root_key)
{
    uint8_t hash[CHQ_HASH_BYTES] = {0};
    const struct chq_bytes parts[] = {chq_bytes(hash, sizeof hash),
        chq_bytes(account_id, CHQ_ACCOUNT_ID_BYTES), chq_bytes(root_key, CHQ_SIGN_PUBLIC_BYTES)};
    for (unsigned i = 0; i < CHQ_SAFETY_NUMBER_ITERATIONS; i++) {
        uint8_t next[CHQ_HASH_BYTES];
        chq_hash(next, "chasqui safety number v1", parts, 3);
        memcpy(hash, next, sizeof hash);
    }
    for (size_t group = 0; group < HALF_DIGITS / GROUP; group++) {
        const uint8_t *b = hash + group * GROUP;
        uint64_t v = (uint64_t)b[0] << 32 | chq_load_u32(b + 1);
        for (size_t digit = GROUP; digit-- > 0; v /= 10)
            out[group * GROUP + digit] = (char)('0' + v % 10);
    }
}

void chq_safety_number(char out[CHQ_SAFETY_NUMBER_DIGITS + 1], const uint8_t account_a[CHQ_ACCOUNT_ID_BYTES],
    const uint8_t root_key_a[CHQ_SIGN_PUBLIC_BYTES], const uint8_t account_b[CHQ_ACCOUNT_ID_BYTES],
    const uint8_t root_key_b[CHQ_SIGN_PUBLIC_BYTES])
{
    char a[HALF_DIGITS], b[HALF_DIGITS];
    half(a, account_a, root_key_a);
    half(b, account_b, root_key_b);
    int a_first = memcmp(a, b, sizeof a) <= 0;
    memcpy(out, a_first ? a : b, HALF_DIGITS);
    memcpy(out + HALF_DIGITS, a_first ? b : a, HALF_DIGITS);
    out[CHQ_SAFETY_NUMBER_DIGITS] = '\0';
}
