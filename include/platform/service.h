// SPDX-License-Identifier: ISC
// The operating system's service manager and log: systemd when it is there, plain stderr when it
// is not. Built without libsystemd the calls are harmless.
#pragma once

#include "base/log.h"

#include <event2/event.h>
#include <stdbool.h>

enum log_target { LOG_TARGET_AUTO, LOG_TARGET_JOURNAL, LOG_TARGET_STDERR };

// Installs the log sink: the journal, with fields, when stderr is connected to it (or when asked
// for); else stderr, one line per record: level, message, FIELD=value pairs, values escaped so that
// no record can fake another line.
void service_log_open(enum log_target target, enum log_level max);
void service_ready(const char *status); // READY=1
void service_status(const char *status);
void service_reloading(void);
void service_stopping(void);
// Told to end: is it the first half of a restart, with a manager that keeps descriptors for the
// second ($FDSTORE)? One that cannot be asked is taken to be restarting. May block for a second.
bool service_restarting(void);
// Feeds the watchdog from the loop at half its interval, when systemd asks for it (WATCHDOG_USEC).
// Returns NULL when it does not.
struct event *service_watchdog(struct event_base *base);
// Feeds it once, before something that keeps the loop for up to half of its interval.
void service_alive(void);
