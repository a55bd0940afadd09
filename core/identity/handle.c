/* SPDX-License-Identifier: Apache-2.0 */
#include "core/identity/handle.h"

#include "core/base/limits.h"

static bool is_letter(uint8_t c)
{
    return c >= 'a' && c <= 'z';
}

static bool is_letter_or_digit(uint8_t c)
{
    return is_letter(c) || (c >= '0' && c <= '9');
}

bool chq_handle_is_valid(struct chq_bytes handle)
{
    if (handle.size < CHQ_HANDLE_CHARS_MIN || handle.size > CHQ_HANDLE_CHARS_MAX)
        return false;
    if (!is_letter(handle.data[0]) || !is_letter_or_digit(handle.data[handle.size - 1]))
        return false;
    for (size_t i = 1; i < handle.size; i++) {
        uint8_t c = handle.data[i];
        bool mark = c == '-' || c == '_' || c == '.';
        if (!mark && !is_letter_or_digit(c))
            return false;
        if (mark && !is_letter_or_digit(handle.data[i - 1]))
            return false;
    }
    return true;
}
