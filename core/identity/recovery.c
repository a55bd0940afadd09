/* SPDX-License-Identifier: Apache-2.0 */
#include "core/identity/recovery.h"

#include <stdbool.h>
#include <string.h>

#include "core/base/limits.h"
#include "core/crypto/hash.h"
#include "core/crypto/keys.h"
#include "core/identity/words.h"

#define ENOUGH_LETTERS 4
#define BITS_PER_WORD  11

_Static_assert(
    CHQ_RECOVERY_WORDS *BITS_PER_WORD == CHQ_RECOVERY_ENTROPY_BYTES * 8 + 8, "24 words hold 264 bits");

/* The entropy and its checksum, the first 8 bits of SHA-256 (BIP 39, "Generating the mnemonic"). */
static void with_checksum(uint8_t out[CHQ_RECOVERY_ENTROPY_BYTES + 1], const uint8_t *entropy)
{
    uint8_t hash[CHQ_HASH_BYTES];
    chq_sha256(hash, chq_bytes(entropy, CHQ_RECOVERY_ENTROPY_BYTES));
    memcpy(out, entropy, CHQ_RECOVERY_ENTROPY_BYTES);
    out[CHQ_RECOVERY_ENTROPY_BYTES] = hash[0];
    chq_wipe(hash, sizeof hash);
}

void chq_recovery_write(char out[CHQ_RECOVERY_TEXT_BYTES], const uint8_t entropy[CHQ_RECOVERY_ENTROPY_BYTES])
{
    uint8_t bits[CHQ_RECOVERY_ENTROPY_BYTES + 1];
    size_t at = 0;
    with_checksum(bits, entropy);
    for (size_t i = 0; i < CHQ_RECOVERY_WORDS; i++) {
        unsigned index = 0;
        for (size_t bit = i * BITS_PER_WORD; bit < (i + 1) * BITS_PER_WORD; bit++)
            index = index << 1 | ((unsigned)bits[bit / 8] >> (7 - bit % 8) & 1u);
        size_t length = strlen(chq_words[index]);
        if (i > 0)
            out[at++] = ' ';
        memcpy(out + at, chq_words[index], length);
        at += length;
    }
    out[at] = '\0';
    chq_wipe(bits, sizeof bits);
}

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* Find the word that `word` is or, from four letters on, begins; -1 when there is none. */
static int find_word(const char *word, size_t length)
{
    for (int i = 0; i < CHQ_WORDS; i++)
        if (strncmp(chq_words[i], word, length) == 0 &&
            (length >= ENOUGH_LETTERS || chq_words[i][length] == '\0'))
            return i;
    return -1;
}

/* Copy the next word of `*at` in lower case; its length, 0 at the end, more than a word can have if it is longer. */
static size_t next_word(const char **at, char word[CHQ_WORD_CHARS_MAX + 1])
{
    size_t length = 0;
    while (is_space(**at))
        (*at)++;
    for (; **at != '\0' && !is_space(**at); (*at)++) {
        char c = **at;
        if (length < CHQ_WORD_CHARS_MAX)
            word[length] = c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
        length++;
    }
    word[length < CHQ_WORD_CHARS_MAX ? length : CHQ_WORD_CHARS_MAX] = '\0';
    return length;
}

enum chq_err chq_recovery_read(
    uint8_t entropy[CHQ_RECOVERY_ENTROPY_BYTES], const char *text, unsigned *wrong_word)
{
    uint8_t bits[CHQ_RECOVERY_ENTROPY_BYTES + 1] = {0}, check[CHQ_RECOVERY_ENTROPY_BYTES + 1];
    char word[CHQ_WORD_CHARS_MAX + 1];
    unsigned n = 0;
    size_t length;
    enum chq_err err = CHQ_OK;
    *wrong_word = 0;
    while ((length = next_word(&text, word)) > 0) {
        n++;
        int index = length <= CHQ_WORD_CHARS_MAX ? find_word(word, length) : -1;
        if (index < 0 && err == CHQ_OK) {
            *wrong_word = n;
            err = CHQ_MALFORMED;
        }
        if (err != CHQ_OK || n > CHQ_RECOVERY_WORDS)
            continue;
        for (size_t i = 0; i < BITS_PER_WORD; i++) {
            size_t bit = (n - 1) * BITS_PER_WORD + i;
            unsigned one = (unsigned)index >> (BITS_PER_WORD - 1 - i) & 1u;
            bits[bit / 8] = (uint8_t)(bits[bit / 8] | one << (7 - bit % 8));
        }
    }
    if (err == CHQ_OK && n != CHQ_RECOVERY_WORDS) {
        *wrong_word = n;
        err = CHQ_LIMIT;
    }
    with_checksum(check, bits);
    if (err == CHQ_OK && bits[CHQ_RECOVERY_ENTROPY_BYTES] != check[CHQ_RECOVERY_ENTROPY_BYTES])
        err = CHQ_AUTH;
    memset(entropy, 0, CHQ_RECOVERY_ENTROPY_BYTES);
    if (err == CHQ_OK)
        memcpy(entropy, bits, CHQ_RECOVERY_ENTROPY_BYTES);
    chq_wipe(bits, sizeof bits);
    chq_wipe(check, sizeof check);
    chq_wipe(word, sizeof word);
    return err;
}
