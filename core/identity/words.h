/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CHQ_CORE_IDENTITY_WORDS_H
#define CHQ_CORE_IDENTITY_WORDS_H

#define CHQ_WORDS          2048
#define CHQ_WORD_CHARS_MAX 8

/* BIP 39's English list, in alphabetical order: a word's place is its 11 bits; four letters tell any two apart. */
extern const char chq_words[CHQ_WORDS][CHQ_WORD_CHARS_MAX + 1];

#endif
