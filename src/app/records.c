// SPDX-License-Identifier: ISC
// See records.h. The lock is held for as long as it takes to put a line into the queue, or to take
// the queue out; never while something is written.
#include "records.h"

#include "allocation_json.h"
#include "base/log_kind.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/stat.h>
#include <unistd.h>

struct line {
    STAILQ_ENTRY(line) link;
    size_t len;
    char text[];
};

STAILQ_HEAD(lines, line);

struct records {
    struct clock_offset clock;
    pthread_t thread;
    bool started;
    pthread_mutex_t lock; // of what follows
    pthread_cond_t wake;
    struct lines lines; // owned
    size_t waiting;     // bytes
    char *path;         // owned; NULL: nothing is written
    bool on;            // lines are wanted
    bool reopen, ends;
    atomic_uint_least64_t written, lost;
};

struct writer { // the thread's own
    struct records *records;
    char *path; // owned
    int fd;
    bool failing; // which is said once
    bool torn;    // the file ends within a line
};

// ---- the thread

static void fail(struct writer *w, const char *what, int error)
{
    if (!w->failing)
        log_kind(LOG_RECORDS_LOST, "log.records = %s: %s: %s", w->path, what, strerror(error));
    w->failing = true;
}

static void writer_close(struct writer *w)
{
    if (w->fd >= 0)
        (void)close(w->fd);
    w->fd = -1;
}

static void writer_open(struct writer *w)
{
    struct stat st;

    // A FIFO without a reader must not hold up the end of the daemon.
    w->fd = open(w->path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0640);
    if (w->fd < 0)
        fail(w, "cannot be opened", errno);
    else if (fstat(w->fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size == 0)
        w->torn = false; // another file, after a rotation
}

static bool write_all(struct writer *w, const char *text, size_t len)
{
    while (len > 0) {
        ssize_t n = write(w->fd, text, len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            fail(w, "cannot be written", n < 0 ? errno : EIO);
            return false;
        }
        w->torn = true;
        text += n;
        len -= (size_t)n;
    }
    w->torn = false;
    return true;
}

static void write_line(struct writer *w, const struct line *line)
{
    if (w->path && w->fd < 0)
        writer_open(w);
    if (w->fd >= 0 && (!w->torn || write_all(w, "\n", 1)) && write_all(w, line->text, line->len)) {
        w->failing = false;
        atomic_fetch_add_explicit(&w->records->written, 1, memory_order_relaxed);
    } else {
        atomic_fetch_add_explicit(&w->records->lost, 1, memory_order_relaxed);
    }
}

// Waits for something to do, and takes it. False: it is time to end.
static bool take(struct writer *w, struct lines *ret_lines)
{
    struct records *r = w->records;
    bool ends;

    pthread_mutex_lock(&r->lock);
    while (STAILQ_EMPTY(&r->lines) && !r->reopen && !r->ends)
        pthread_cond_wait(&r->wake, &r->lock);
    STAILQ_INIT(ret_lines);
    STAILQ_CONCAT(ret_lines, &r->lines);
    r->waiting = 0;
    ends = r->ends && STAILQ_EMPTY(ret_lines) && !r->reopen;
    if (r->reopen) {
        writer_close(w);
        free(w->path);
        w->path = r->path;
        r->path = NULL;
        w->failing = false;
    }
    bool opens = r->reopen && w->path;
    r->reopen = false;
    pthread_mutex_unlock(&r->lock);
    if (opens)
        writer_open(w);
    return !ends;
}

static void *run(void *arg)
{
    struct writer w = {.records = arg, .fd = -1};
    struct lines lines;

    while (take(&w, &lines)) {
        struct line *line;

        while ((line = STAILQ_FIRST(&lines))) {
            STAILQ_REMOVE_HEAD(&lines, link);
            write_line(&w, line);
            free(line);
        }
    }
    writer_close(&w);
    free(w.path);
    return NULL;
}

// ---- records

static bool wanted(struct records *r)
{
    bool is;

    if (!r)
        return false;
    pthread_mutex_lock(&r->lock);
    is = r->on;
    pthread_mutex_unlock(&r->lock);
    return is;
}

static void put(struct records *r, struct line *line)
{
    pthread_mutex_lock(&r->lock);
    if (r->waiting + line->len <= RECORDS_WAITING_MAX) {
        STAILQ_INSERT_TAIL(&r->lines, line, link);
        r->waiting += line->len;
        line = NULL;
        pthread_cond_signal(&r->wake);
    }
    pthread_mutex_unlock(&r->lock);
    if (line)
        atomic_fetch_add_explicit(&r->lost, 1, memory_order_relaxed);
    free(line);
}

// Takes the reference. NULL: memory is out.
static void put_record(struct records *r, const char *kind, json_t *record)
{
    json_t *named = json_pack("{s:s}", "record", kind);
    char *text = NULL;
    struct line *line = NULL;
    size_t len;

    if (named && record && json_object_update(named, record) == 0)
        text = json_dumps(named, JSON_COMPACT);
    len = text ? strlen(text) : 0;
    if (len > 0 && len < RECORDS_LONGEST)
        line = malloc(sizeof *line + len + 1);
    if (line) {
        memcpy(line->text, text, len);
        line->text[len] = '\n';
        line->len = len + 1;
        put(r, line);
    } else {
        atomic_fetch_add_explicit(&r->lost, 1, memory_order_relaxed);
    }
    free(text);
    json_decref(named);
    json_decref(record);
}

// ---- times

struct base { // of times that are told as a distance
    usec_t opened, now;
    struct clock_offset clock;
};

static json_t *absolute(const json_t *value, const struct base *base, bool ago)
{
    double distance = json_number_value(value) * (double)USEC_PER_MSEC;
    usec_t usec = distance > 0 ? (usec_t)distance : 0;

    if (!json_is_number(value))
        return json_null();
    if (ago)
        return json_time(usec < base->now ? base->now - usec : 0, base->clock);
    return json_time(base->opened + usec, base->clock);
}

static json_t *rewritten(const json_t *json, const struct base *base);

// "last_seen_ms_ago" becomes "last_seen", and "at_ms" (since the beginning) "at".
static int put_member(json_t *object, const char *name, const json_t *value,
                      const struct base *base)
{
    static const char suffix[] = "_ms_ago";
    size_t len = strlen(name), tail = sizeof suffix - 1;
    char key[64];

    if (len > tail && len < sizeof key && strcmp(name + len - tail, suffix) == 0) {
        memcpy(key, name, len - tail);
        key[len - tail] = '\0';
        return json_object_set_new(object, key, absolute(value, base, true));
    }
    if (strcmp(name, "at_ms") == 0)
        return json_object_set_new(object, "at", absolute(value, base, false));
    return json_object_set_new(object, name, rewritten(value, base));
}

// A new reference, or NULL without memory.
static json_t *rewritten(const json_t *json, const struct base *base)
{
    union { // jansson iterates over what it may change
        const json_t *borrowed;
        json_t *json;
    } from = {json};
    json_t *copy, *member;
    const char *name;
    size_t i;
    int r = 0;

    if (!json_is_object(json) && !json_is_array(json))
        return json_deep_copy(json);
    copy = json_is_object(json) ? json_object() : json_array();
    json_object_foreach(from.json, name, member) r |= put_member(copy, name, member, base);
    json_array_foreach(from.json, i, member) r |=
        json_array_append_new(copy, rewritten(member, base));
    if (r == 0)
        return copy;
    json_decref(copy);
    return NULL;
}

void records_call(struct records *records, const json_t *whole, usec_t opened, usec_t now)
{
    if (wanted(records)) {
        const struct base base = {opened, now, records->clock};

        put_record(records, "call", whole ? rewritten(whole, &base) : NULL);
    }
}

void records_allocation(struct records *records, const struct turn_view *view, const char *reason,
                        usec_t now)
{
    json_t *json;

    if (!wanted(records))
        return;
    json = allocation_to_json(view, records->clock, now);
    if (json && (json_object_set_new(json, "ended", json_time(now, records->clock)) < 0 ||
                 json_object_set_new(json, "end_reason", json_string(reason)) < 0)) {
        json_decref(json);
        json = NULL;
    }
    // These say how it stands, not how it was.
    for (int i = 0; json && i < 4; i++) {
        static const char *const now_only[] = {"expires_s", "permissions", "channels", "in_kernel"};

        json_object_del(json, now_only[i]);
    }
    put_record(records, "allocation", json);
}

// ---- life

// With the lock. Signals are the main thread's.
static int start(struct records *r)
{
    sigset_t all, before;
    int error;

    if (r->started)
        return 0;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    error = pthread_create(&r->thread, NULL, run, r);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    r->started = error == 0;
    return -error;
}

int records_open(struct records *records, const char *path)
{
    bool none = strcmp(path, "none") == 0;
    char *copy = none ? NULL : strdup(path);
    int r = 0;

    if (!none && !copy)
        return -ENOMEM;
    pthread_mutex_lock(&records->lock);
    free(records->path);
    records->path = copy;
    records->reopen = true;
    if (!none)
        r = start(records);
    records->on = !none && r == 0;
    pthread_cond_signal(&records->wake);
    pthread_mutex_unlock(&records->lock);
    return r;
}

int records_new(const char *path, struct clock_offset clock, struct records **ret_records)
{
    struct records *records = calloc(1, sizeof *records);
    int r;

    if (!records)
        return -ENOMEM;
    records->clock = clock;
    STAILQ_INIT(&records->lines);
    pthread_mutex_init(&records->lock, NULL);
    pthread_cond_init(&records->wake, NULL);
    r = records_open(records, path);
    if (r < 0) {
        records_free(records);
        return r;
    }
    *ret_records = records;
    return 0;
}

void records_free(struct records *records)
{
    if (!records)
        return;
    if (records->started) {
        pthread_mutex_lock(&records->lock);
        records->ends = true;
        pthread_cond_signal(&records->wake);
        pthread_mutex_unlock(&records->lock);
        pthread_join(records->thread, NULL);
    }
    pthread_mutex_destroy(&records->lock);
    pthread_cond_destroy(&records->wake);
    free(records->path);
    free(records);
}

uint64_t records_written(const struct records *records)
{
    return atomic_load_explicit(&records->written, memory_order_relaxed);
}

uint64_t records_lost(const struct records *records)
{
    return atomic_load_explicit(&records->lost, memory_order_relaxed);
}
