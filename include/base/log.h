// SPDX-License-Identifier: ISC
// Log records with fields. The edges (signal, turn, app) write them; base, codec and relay return
// errors and count. Where a record goes is decided by the sink that app installs.
#pragma once

#include "base/usec.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

// The numbers are syslog's (RFC 5424 section 6.2.1).
enum log_level {
    LOG_LEVEL_ERR = 3,
    LOG_LEVEL_WARNING = 4,
    LOG_LEVEL_NOTICE = 5,
    LOG_LEVEL_INFO = 6,
    LOG_LEVEL_DEBUG = 7
};

// The field that names the kind of a record (log_kind.h); sinks for people leave it out.
#define LOG_FIELD_ID "MESSAGE_ID"

// Field names are journald's spelling: upper case, digits, underscore.
struct log_field {
    const char *name;
    const char *value; // NULL: the field is left out
};

struct log_sink {
    void *ctx;
    enum log_level max; // records above (less important than) this are not formatted at all
    // Called from any thread. 'message' is one line of printable text.
    void (*write)(void *ctx, enum log_level level, const char *message,
                  const struct log_field *field, size_t fields);
    usec_t (*now)(void); // any thread; NULL: floods are not cut
};

// Before any thread is started. Without a sink records are dropped.
void log_set_sink(const struct log_sink *sink);
void log_set_level(enum log_level max); // of the sink; at any time
void log_write(enum log_level level, const struct log_field *field, size_t fields,
               const char *format, ...) __attribute__((format(printf, 4, 5)));
void log_vwrite(enum log_level level, const struct log_field *field, size_t fields,
                const char *format, va_list args) __attribute__((format(printf, 4, 0)));
bool log_wanted(enum log_level level); // whether a record of this level goes anywhere
usec_t log_now(void);                  // the sink's clock; 0: it has none

#define log_err(...)     log_write(LOG_LEVEL_ERR, NULL, 0, __VA_ARGS__)
#define log_warning(...) log_write(LOG_LEVEL_WARNING, NULL, 0, __VA_ARGS__)
#define log_notice(...)  log_write(LOG_LEVEL_NOTICE, NULL, 0, __VA_ARGS__)
#define log_info(...)    log_write(LOG_LEVEL_INFO, NULL, 0, __VA_ARGS__)
#define log_debug(...)   log_write(LOG_LEVEL_DEBUG, NULL, 0, __VA_ARGS__)
