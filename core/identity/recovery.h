/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CHQ_CORE_IDENTITY_RECOVERY_H
#define CHQ_CORE_IDENTITY_RECOVERY_H

#include <stddef.h>
#include <stdint.h>

#include "core/base/err.h"

#define CHQ_RECOVERY_ENTROPY_BYTES 32
#define CHQ_RECOVERY_TEXT_BYTES    240 /* 24 words of at most 8 letters, spaces, terminator */

/*
 * The recovery phrase: 256 bits and their 8-bit checksum as 24 words of BIP 39's English list. BIP 39's
 * key stretching is not used: the words stand for the entropy itself.
 */
void chq_recovery_write(char out[CHQ_RECOVERY_TEXT_BYTES], const uint8_t entropy[CHQ_RECOVERY_ENTROPY_BYTES]);

/*
 * Read a phrase: any case, any white space between words, four or more letters of a word are enough. CHQ_OK, or
 * CHQ_MALFORMED with `*wrong_word` = number of the first word that is not in the list (1 to 24);
 * CHQ_LIMIT with the number of words found when it is not 24; CHQ_AUTH and 0 when all words are known but the
 * checksum says that one is wrong or two are swapped. On error `entropy` is zeroed.
 */
CHQ_MUST_CHECK enum chq_err chq_recovery_read(
    uint8_t entropy[CHQ_RECOVERY_ENTROPY_BYTES], const char *text, unsigned *wrong_word);

#endif
