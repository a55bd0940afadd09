/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CHQ_CORE_STORE_FAULT_H
#define CHQ_CORE_STORE_FAULT_H

#include "core/store/store.h"

/* Inside core/store: every way to fail in a person's words. All return `err`, or the error that fits. */
enum chq_err chq_store_fault_set(struct chq_store_fault *f, enum chq_store_why why, enum chq_err err,
    const char *format, ...) __attribute__((format(printf, 4, 5)));
/* What errno says about a path. */
enum chq_err chq_store_fault_errno(struct chq_store_fault *f, const char *path, int number);
/* `what` is not what was written. */
enum chq_err chq_store_fault_damaged(struct chq_store_fault *f, const char *path, const char *what);

#endif
