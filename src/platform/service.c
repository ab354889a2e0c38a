// SPDX-License-Identifier: ISC
// systemd, or the lack of it: notifications, the watchdog, and where log records go. Every function
// here does nothing, quietly, where nobody listens.
#include "platform/service.h"

#include "base/buf.h"
#include "platform/udp.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#ifdef HAVE_SYSTEMD
#include <systemd/sd-daemon.h>
#include <systemd/sd-journal.h>
#endif

#define IDENTIFIER "jingle-relayd"

static const char *level_name(enum log_level level)
{
    switch (level) {
    case LOG_LEVEL_ERR:
        return "error";
    case LOG_LEVEL_WARNING:
        return "warning";
    case LOG_LEVEL_NOTICE:
        return "notice";
    case LOG_LEVEL_INFO:
        return "info";
    case LOG_LEVEL_DEBUG:
        return "debug";
    }
    return "unknown";
}

// The bytes of the UTF-8 sequence at 'p' (RFC 3629 section 4); 0 when it is not one, or spells a
// control character that a terminal might obey (C0, DEL, C1).
static size_t printable_bytes(const char *p)
{
    const unsigned char *u = (const unsigned char *)p;
    size_t n;
    unsigned char low = 0x80, high = 0xbf; // bounds of the second byte
    if (u[0] < 0x80)
        return u[0] >= 0x20 && u[0] != 0x7f;
    if (u[0] >= 0xc2 && u[0] <= 0xdf) {
        n = 2;
        low = u[0] == 0xc2 ? 0xa0 : low;
    } else if (u[0] >= 0xe0 && u[0] <= 0xef) {
        n = 3;
        low = u[0] == 0xe0 ? 0xa0 : low;
        high = u[0] == 0xed ? 0x9f : high;
    } else if (u[0] >= 0xf0 && u[0] <= 0xf4) {
        n = 4;
        low = u[0] == 0xf0 ? 0x90 : low;
        high = u[0] == 0xf4 ? 0x8f : high;
    } else {
        return 0;
    }
    if (u[1] < low || u[1] > high)
        return 0;
    for (size_t i = 2; i < n; i++)
        if (u[i] < 0x80 || u[i] > 0xbf)
            return 0;
    return n;
}

// Writes text so that it stays on its line; inside quotes, also so that it cannot end them.
static void add_escaped(struct buf *out, const char *text, bool quoted)
{
    while (*text) {
        size_t n = printable_bytes(text);
        if (*text == '\\' || (quoted && *text == '"'))
            buf_printf(out, "\\%c", *text);
        else if (n > 0)
            buf_add(out, text, n);
        else if (*text == '\n')
            buf_puts(out, "\\n");
        else
            buf_printf(out, "\\x%02x", (unsigned char)*text);
        text += n ? n : 1;
    }
}

static void add_field(struct buf *out, const struct log_field *field)
{
    bool quoted = *field->value == '\0' || strpbrk(field->value, " =\"") != NULL;
    buf_printf(out, quoted ? " %s=\"" : " %s=", field->name);
    add_escaped(out, field->value, quoted);
    if (quoted)
        buf_puts(out, "\"");
}

// RFC 3339, in UTC, to the millisecond.
static void add_time(struct buf *out)
{
    struct timespec now;
    struct tm utc;
    char text[32];
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &utc);
    strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &utc);
    buf_printf(out, "%s.%03ldZ", text, now.tv_nsec / 1000000);
}

// One write() per record, so that those of several threads do not mix.
static void write_stderr(void *ctx, enum log_level level, const char *message,
                         const struct log_field *field, size_t fields)
{
    (void)ctx;
    struct buf line = {0};
    add_time(&line);
    buf_printf(&line, " %s ", level_name(level));
    add_escaped(&line, message, false);
    for (size_t i = 0; i < fields; i++)
        if (field[i].value && strcmp(field[i].name, LOG_FIELD_ID) != 0)
            add_field(&line, &field[i]);
    buf_puts(&line, "\n");
    // Nobody is left to be told about an error.
    ssize_t put = line.failed ? 0 : write(STDERR_FILENO, line.data, line.len);
    (void)put;
    buf_free(&line);
}

#ifdef HAVE_SYSTEMD

// systemd.exec(5): JOURNAL_STREAM holds device and inode of the stream that the service manager
// connected; a child whose stderr was redirected inherits the variable but not the stream.
static bool stderr_is_journal(void)
{
    const char *stream = getenv("JOURNAL_STREAM");
    unsigned long long device, inode;
    struct stat st;
    return stream && sscanf(stream, "%llu:%llu", &device, &inode) == 2 &&
           fstat(STDERR_FILENO, &st) == 0 && st.st_dev == device && st.st_ino == inode;
}

static bool journal_is_there(void)
{
    return access("/run/systemd/journal/socket", W_OK) == 0;
}

// The journal's own protocol frames values by length: any byte may stand in them.
static void write_journal(void *ctx, enum log_level level, const char *message,
                          const struct log_field *field, size_t fields)
{
    (void)ctx;
    enum { OWN = 3 };
    struct buf text = {0};
    struct iovec *part = calloc(fields + OWN, sizeof *part);
    int n = 0;
    buf_printf(&text, "MESSAGE=%s%c", message, 0);
    buf_printf(&text, "PRIORITY=%d%c", (int)level, 0);
    buf_printf(&text, "SYSLOG_IDENTIFIER=" IDENTIFIER "%c", 0);
    for (size_t i = 0; i < fields; i++)
        if (field[i].value)
            buf_printf(&text, "%s=%s%c", field[i].name, field[i].value, 0);
    if (part && !text.failed) {
        for (char *p = text.data; p < text.data + text.len; p += part[n++].iov_len + 1)
            part[n] = (struct iovec){.iov_base = p, .iov_len = strlen(p)};
        (void)sd_journal_sendv(part, n);
    }
    free(part);
    buf_free(&text);
}

#endif

void service_log_open(enum log_target target, enum log_level max)
{
    struct log_sink sink = {.max = max, .write = write_stderr, .now = usec_now};
#ifdef HAVE_SYSTEMD
    bool wanted =
        target == LOG_TARGET_JOURNAL || (target == LOG_TARGET_AUTO && stderr_is_journal());
    if (wanted && journal_is_there())
        sink.write = write_journal;
#else
    (void)target;
#endif
    log_set_sink(&sink);
}

#ifdef HAVE_SYSTEMD

// sd_notify(3): one assignment per line. A status must not be able to bring another line. It may
// be NULL.
static void notify(const char *state, const char *status)
{
    struct buf text = {0};
    buf_puts(&text, state);
    if (status) {
        buf_puts(&text, "STATUS=");
        for (; *status; status++)
            buf_add(&text, (unsigned char)*status < 0x20 ? " " : status, 1);
    }
    if (!text.failed)
        (void)sd_notify(0, text.data);
    buf_free(&text);
}

void service_ready(const char *status)
{
    notify("READY=1\n", status);
}

void service_status(const char *status)
{
    notify("", status);
}

// sd_notify(3): Type=notify-reload wants the time at which the reload began.
void service_reloading(void)
{
    struct timespec now;
    char state[80];
    clock_gettime(CLOCK_MONOTONIC, &now);
    snprintf(state, sizeof state, "RELOADING=1\nMONOTONIC_USEC=%lld",
             (long long)now.tv_sec * 1000000 + now.tv_nsec / 1000);
    notify(state, NULL);
}

void service_stopping(void)
{
    notify("STOPPING=1", NULL);
}

void service_alive(void)
{
    notify("WATCHDOG=1", NULL);
}

static void on_watchdog(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    (void)arg;
    service_alive();
}

struct event *service_watchdog(struct event_base *base)
{
    uint64_t usec;
    if (sd_watchdog_enabled(0, &usec) <= 0)
        return NULL;
    uint64_t half = usec / 2;
    struct timeval interval = {.tv_sec = (time_t)(half / 1000000),
                               .tv_usec = (suseconds_t)(half % 1000000)};
    struct event *event = event_new(base, -1, EV_PERSIST, on_watchdog, NULL);
    if (event && event_add(event, &interval) < 0) {
        event_free(event);
        return NULL;
    }
    // What start-up took is not held against the first interval.
    service_alive();
    return event;
}

#else

void service_ready(const char *status)
{
    (void)status;
}

void service_status(const char *status)
{
    (void)status;
}

void service_reloading(void)
{
}

void service_stopping(void)
{
}

void service_alive(void)
{
}

struct event *service_watchdog(struct event_base *base)
{
    (void)base;
    return NULL;
}

#endif
