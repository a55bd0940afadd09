/* SPDX-License-Identifier: Apache-2.0 */
#include "core/base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void chq_logf(const struct chq_log *log, enum chq_log_level level, const char *format, ...)
{
    if (log == NULL || log->write == NULL || level > log->max)
        return;
    char line[512];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    for (char *c = line; *c != '\0'; c++) /* what a peer sent may be in the line: one line stays one line */
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            *c = '?';
    log->write(log->context, level, line);
}

static void write_stderr(void *context, enum chq_log_level level, const char *line)
{
    (void)context;
    if (getenv("JOURNAL_STREAM") != NULL)
        fprintf(stderr, "<%d>%s\n", (int)level, line);
    else
        fprintf(stderr, "%s\n", line);
}

struct chq_log chq_log_stderr(enum chq_log_level max)
{
    return (struct chq_log){.write = write_stderr, .max = max};
}
