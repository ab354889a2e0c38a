// SPDX-License-Identifier: ISC
// Formats log records and hands them to the sink. What strangers sent may stand in a message, so
// control characters are replaced here, once: a record is one line and cannot steer a terminal.
#include "base/log.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#define LOG_LINE_MAX 2048

// The process has one log, as it has one stderr; set before any thread is started.
static struct log_sink log_sink;
static atomic_int log_max; // of the sink; may change while threads write

void log_set_sink(const struct log_sink *sink)
{
    log_sink = sink ? *sink : (struct log_sink){0};
    log_set_level(log_sink.max);
}

void log_set_level(enum log_level max)
{
    atomic_store_explicit(&log_max, (int)max, memory_order_relaxed);
}

// Replaces C0 controls, DEL, and the C1 controls, which UTF-8 spells C2 80 to C2 9F.
static void make_printable(char *text)
{
    for (unsigned char *p = (unsigned char *)text; *p; p++) {
        if (*p < 0x20 || *p == 0x7f)
            *p = '?';
        else if (p[0] == 0xc2 && p[1] >= 0x80 && p[1] <= 0x9f)
            p[0] = p[1] = '?';
    }
}

// Marks a cut line with "...", and does not cut inside a UTF-8 sequence.
static void mark_cut(char line[LOG_LINE_MAX])
{
    static const char mark[] = "...";
    size_t at = LOG_LINE_MAX - sizeof mark;
    while (at > 0 && ((unsigned char)line[at] & 0xc0) == 0x80)
        at--;
    memcpy(line + at, mark, sizeof mark);
}

bool log_wanted(enum log_level level)
{
    return log_sink.write && (int)level <= atomic_load_explicit(&log_max, memory_order_relaxed);
}

usec_t log_now(void)
{
    return log_sink.now ? log_sink.now() : 0;
}

void log_write(enum log_level level, const struct log_field *field, size_t fields,
               const char *format, ...)
{
    va_list args;

    va_start(args, format);
    log_vwrite(level, field, fields, format, args);
    va_end(args);
}

void log_vwrite(enum log_level level, const struct log_field *field, size_t fields,
                const char *format, va_list args)
{
    char line[LOG_LINE_MAX];

    if (!log_wanted(level))
        return;
    int n = vsnprintf(line, sizeof line, format, args);
    if (n < 0)
        return;
    if ((size_t)n >= sizeof line)
        mark_cut(line);
    make_printable(line);
    log_sink.write(log_sink.ctx, level, line, field, fields);
}
