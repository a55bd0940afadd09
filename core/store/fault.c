/* SPDX-License-Identifier: Apache-2.0 */
#include "core/store/fault.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum chq_err chq_store_fault_set(
    struct chq_store_fault *f, enum chq_store_why why, enum chq_err err, const char *format, ...)
{
    va_list args;
    f->why = why;
    f->pid = 0;
    va_start(args, format);
    vsnprintf(f->text, sizeof f->text, format, args);
    va_end(args);
    return err;
}

enum chq_err chq_store_fault_errno(struct chq_store_fault *f, const char *path, int number)
{
    if (number == ENOSPC || number == EDQUOT || number == EFBIG)
        return chq_store_fault_set(f, CHQ_STORE_FULL, CHQ_IO,
            "the disk that holds %s is full; nothing was lost. Make room and try again", path);
    if (number == EACCES || number == EPERM || number == EROFS)
        return chq_store_fault_set(f, CHQ_STORE_READ_ONLY, CHQ_IO,
            "%s cannot be written (%s); give yourself the right to write there or choose another directory",
            path, strerror(number));
    return chq_store_fault_set(f, CHQ_STORE_FAILED, CHQ_IO, "%s: %s; choose another directory with --profile",
        path, strerror(number));
}

enum chq_err chq_store_fault_damaged(struct chq_store_fault *f, const char *path, const char *what)
{
    return chq_store_fault_set(f, CHQ_STORE_DAMAGED, CHQ_MALFORMED,
        "%s is damaged (%s); put back a copy of it, or set it aside and restore the account from its 24 "
        "words",
        path, what);
}
