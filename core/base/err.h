/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CHQ_CORE_BASE_ERR_H
#define CHQ_CORE_BASE_ERR_H

/*
 * Error codes are chosen by what the caller does next, not by where they arose. On error every output is
 * untouched or zeroed, unless a function says otherwise.
 */
enum chq_err {
    CHQ_OK = 0,
    CHQ_AGAIN = 1, /* nothing wrong: wait for an event and call again */
    CHQ_MALFORMED = 2, /* input breaks its format: drop it, it will never be right */
    CHQ_AUTH = 3, /* signature, tag, proof or password does not match: drop it, distrust the sender */
    CHQ_LIMIT = 4, /* a named limit would be passed: refuse, tell the user which */
    CHQ_STATE = 5, /* not possible now: wrong order, already done, replayed */
    CHQ_NOT_FOUND = 6, /* the named thing does not exist */
    CHQ_EXISTS = 7, /* the named thing exists already and differs */
    CHQ_PAYMENT = 8, /* unpaid or not enough credit: pay, then try again */
    CHQ_NO_MEMORY = 9, /* allocation failed: state is unchanged */
    CHQ_IO = 10, /* disk or network failed: nothing was acknowledged */
    CHQ_UNSUPPORTED = 11, /* a version or feature this build does not know */
    CHQ_EXPIRED = 12 /* valid once, too old now: fetch a fresh one */
};

#define CHQ_MUST_CHECK __attribute__((warn_unused_result))

/* Return early with the error of `call`. Only where nothing is owned yet. */
#define CHQ_TRY(call)                                                                                        \
    do {                                                                                                     \
        enum chq_err chq_try_err_ = (call);                                                                  \
        if (chq_try_err_ != CHQ_OK)                                                                          \
            return chq_try_err_;                                                                             \
    } while (0)

/* Return a short, constant, lower-case English phrase for `err`; never NULL. */
const char *chq_err_string(enum chq_err err);

#endif
