/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CHQ_CORE_BASE_LOG_H
#define CHQ_CORE_BASE_LOG_H

/*
 * The log sink is an input too. A NULL sink drops everything. Never log secrets; user addresses only at
 * CHQ_LOG_DEBUG, which is off by default.
 */
enum chq_log_level {
    CHQ_LOG_ERROR = 3,
    CHQ_LOG_WARNING = 4,
    CHQ_LOG_NOTICE = 5,
    CHQ_LOG_INFO = 6,
    CHQ_LOG_DEBUG = 7
};

struct chq_log {
    void (*write)(void *context, enum chq_log_level level, const char *line); /* line without newline */
    void *context;
    enum chq_log_level max; /* lines above this level are not formatted */
};

void chq_logf(const struct chq_log *log, enum chq_log_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Return a sink that writes `<N>line` to stderr, the form that the systemd journal reads levels from. */
struct chq_log chq_log_stderr(enum chq_log_level max);

#endif
