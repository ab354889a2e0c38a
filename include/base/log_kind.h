// SPDX-License-Identifier: ISC
// The kinds of log records that an operator may look up: each has an id for the journal
// (MESSAGE_ID), a level, and words for "journalctl -x" (systemd/jingle-relayd.catalog is written
// from this table, and so is docs/LOGS.md). What has no kind explains itself, or is for debugging.
#pragma once

#include "base/log.h"

enum log_kind {
    LOG_STARTED,
    LOG_CANNOT_START,
    LOG_STOPPING,
    LOG_DRAINING,
    LOG_RESTARTED,
    LOG_NOT_RESTORED,
    LOG_JOINED,
    LOG_NOT_JOINED,
    LOG_SERVER_LOST,
    LOG_STANZA_LOST,
    LOG_CALL_ENDED,
    LOG_CALL_REFUSED,
    LOG_ALLOCATION_ENDED,
    LOG_OVERLOAD,
    LOG_OVERLOAD_OVER,
    LOG_FASTPATH_ON,
    LOG_FASTPATH_OFF,
    LOG_LISTENING,
    LOG_NOT_LISTENING,
    LOG_CERTIFICATE,
    LOG_CERTIFICATE_BAD,
    LOG_RELOADED,
    LOG_RELOAD_FAILED,
    LOG_NEEDS_RESTART,
    LOG_SECRET_CHANGED,
    LOG_CALLS_KICKED,
    LOG_SELFTEST,
    LOG_RECORDS_LOST,
    LOG_NO_MEMORY,
    LOG_NO_DESCRIPTORS,
    LOG_KIND_COUNT,
};

struct log_kind_row {
    const char *name; // for documents
    const char *id;   // 128 bits in hexadecimal, for ever the same
    enum log_level level;
    // So many at once, and so many a minute afterwards; what is more is counted, and told by the
    // next that is written. 0: each is written.
    unsigned burst;
    const char *subject; // a line
    const char *help;    // what it means and what to do
};

const struct log_kind_row *log_kind_row(enum log_kind kind);

// A record of this kind, with its level.
void log_kind_write(enum log_kind kind, const struct log_field *field, size_t fields,
                    const char *format, ...) __attribute__((format(printf, 4, 5)));
#define log_kind(kind, ...) log_kind_write(kind, NULL, 0, __VA_ARGS__)
// The same at another level; for what is said again and again while it lasts.
void log_kind_write_at(enum log_kind kind, enum log_level level, const struct log_field *field,
                       size_t fields, const char *format, ...)
    __attribute__((format(printf, 5, 6)));

unsigned long log_suppressed(void); // records not written for their number, in all
