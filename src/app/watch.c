// SPDX-License-Identifier: ISC
// Server-sent events for pages; see watch.h. Once a second all calls are looked at, whoever
// watches, and then everybody gets what is new since what he has: a slow reader misses nothing but
// the time between.
#include "watch.h"

#include "platform/udp.h"
#include "status.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

struct watcher {
    LIST_ENTRY(watcher) link;
    struct watch *watch;
    struct http_stream *stream;
    uint64_t call;        // 0: all of them
    uint64_t seen, ended; // serial numbers: what it was told of calls, and of their ends
    bool told;            // the past of its call, or the end of it
    bool over;
};

LIST_HEAD(watcher_list, watcher);

struct watched_call { // the answer about it is awaited
    LIST_ENTRY(watched_call) link;
    struct watch *watch;
    uint64_t id;
};

struct watch {
    struct event_base *base;
    const struct stats_sources *sources;
    struct event *tick;
    struct watcher_list watchers;
    unsigned count;
    bool looking; // the workers' answer is awaited
    LIST_HEAD(, watched_call) asked;
};

static void arm(struct watch *watch, time_t seconds)
{
    struct timeval time = {.tv_sec = seconds};

    evtimer_add(watch->tick, &time);
}

// ---- telling

// An event as it is sent; NULL without memory. Takes the reference.
static char *make_message(const char *event, json_t *json)
{
    char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;
    char *message = NULL;

    if (text && asprintf(&message, "event: %s\ndata: %s\n\n", event, text) < 0)
        message = NULL;
    free(text);
    json_decref(json);
    return message;
}

// Takes the reference. Returns 0 or -errno.
static int tell(struct watcher *watcher, const char *event, json_t *json)
{
    char *message = make_message(event, json);
    int r = message ? http_stream_write(watcher->stream, message, strlen(message)) : -ENOMEM;

    free(message);
    return r;
}

// The same for everybody, and made once.
static void tell_status(const struct watch *watch)
{
    json_t *json = status_to_json(watch->sources);
    const struct watcher *w;
    char *message;

    json_object_set_new(json, "watchers", json_integer(watch->count));
    message = make_message("status", json);
    LIST_FOREACH (w, &watch->watchers, link) {
        if (message)
            (void)http_stream_write(w->stream, message, strlen(message));
    }
    free(message);
}

// ---- all calls

struct changes {
    const struct watcher *watcher;
    const struct tracks *tracks;
    struct clock_offset clock;
    json_t *fresh, *changed;
};

// Without the workers' figures: what follows from these is in the track.
static void list_change(void *ctx, const struct call_report *report)
{
    const struct changes *c = ctx;
    struct track_view view;
    json_t *figures;
    char id[20];

    if (!tracks_changed(c->tracks, report->id, c->watcher->seen, &view))
        return;
    snprintf(id, sizeof id, "%016" PRIx64, report->id);
    figures = track_figures_to_json(&view.figures);
    if (!view.fresh) {
        json_array_insert_new(figures, 0, json_string(id));
        json_array_append_new(c->changed, figures);
        return;
    }
    json_array_append_new(c->fresh,
                          json_pack("{s:s, s:s, s:s, s:s, s:s, s:o, s:o, s:o, s:o, s:o}", "id", id,
                                    "door", report->door, "state", call_state_name(report->state),
                                    "verdict", call_verdict_text(view.verdict), "health",
                                    call_health_name(view.health), "initiator",
                                    json_jid(report->jid[SIDE_INITIATOR]), "responder",
                                    json_jid(report->jid[SIDE_RESPONDER]), "opened",
                                    json_time(report->opened, c->clock), "accepted",
                                    json_time(report->accepted, c->clock), "lately", figures));
}

// The first time everything is told, with 'all'.
static void tell_calls(struct watcher *watcher, usec_t now)
{
    const struct stats_sources *sources = watcher->watch->sources;
    const struct ended_calls *over = inquiry_over(sources->inquiry);
    struct changes c = {.watcher = watcher,
                        .tracks = inquiry_tracks(sources->inquiry),
                        .clock = sources->clock,
                        .fresh = json_array(),
                        .changed = json_array()};
    json_t *ended = ended_list(over, watcher->ended, now);
    bool all = !watcher->told;

    signal_each_call(sources->signal, list_change, &c);
    if (!all && json_array_size(c.fresh) == 0 && json_array_size(c.changed) == 0 &&
        json_array_size(ended) == 0) {
        json_decref(c.fresh);
        json_decref(c.changed);
        json_decref(ended);
        return;
    }
    if (tell(watcher, "calls",
             json_pack("{s:b, s:o, s:o, s:o, s:o}", "all", all, "running",
                       json_integer(signal_calls(sources->signal)), "fresh", c.fresh, "changed",
                       c.changed, "ended", ended)) < 0)
        return; // it is told later
    watcher->told = true;
    watcher->seen = tracks_serial(c.tracks);
    watcher->ended = ended_serial(over);
}

// ---- one call

static void tell_call(struct watcher *watcher, const json_t *whole)
{
    json_t *json = json_copy((json_t *)(uintptr_t)whole); // as deep as it is changed
    bool over = !json_is_null(json_object_get(whole, "ended"));

    if (watcher->told && !over)
        json_object_del(json, "history");
    if (tell(watcher, "call", json) < 0)
        return;
    watcher->told = true;
    watcher->over = over;
}

static void on_call(void *ctx, json_t *json, bool found)
{
    struct watched_call *call = ctx;
    struct watcher *w;

    if (!found)
        json = json_pack("{s:b, s:s}", "missing", true, "ended", "");
    LIST_FOREACH (w, &call->watch->watchers, link) {
        if (w->call == call->id && !w->over && json)
            tell_call(w, json);
    }
    json_decref(json);
    LIST_REMOVE(call, link);
    free(call);
}

static bool is_asked(const struct watch *watch, uint64_t id)
{
    const struct watched_call *call;

    LIST_FOREACH (call, &watch->asked, link) {
        if (call->id == id)
            return true;
    }
    return false;
}

static void ask_call(struct watch *watch, uint64_t id)
{
    struct watched_call *call = is_asked(watch, id) ? NULL : calloc(1, sizeof *call);

    if (!call)
        return;
    call->watch = watch;
    call->id = id;
    LIST_INSERT_HEAD(&watch->asked, call, link);
    inquiry_call(watch->sources->inquiry, id, on_call, call);
}

// ---- once a second

static void on_looked(void *ctx, json_t *json, bool found)
{
    struct watch *watch = ctx;
    usec_t now = usec_now();
    struct watcher *w;

    (void)found;
    json_decref(json);
    watch->looking = false;
    LIST_FOREACH (w, &watch->watchers, link) {
        if (!w->call)
            tell_calls(w, now);
    }
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
    struct watch *watch = arg;
    const struct watcher *w;
    bool all = false;

    (void)fd;
    (void)what;
    arm(watch, 1);
    tell_status(watch);
    LIST_FOREACH (w, &watch->watchers, link) {
        all |= !w->call;
        if (w->call && !w->over)
            ask_call(watch, w->call);
    }
    if (all && !watch->looking) {
        watch->looking = true;
        inquiry_look(watch->sources->inquiry, on_looked, watch);
    }
}

// ---- coming and going

static void on_gone(void *ctx)
{
    struct watcher *watcher = ctx;
    struct watch *watch = watcher->watch;

    LIST_REMOVE(watcher, link);
    free(watcher);
    if (--watch->count == 0)
        evtimer_del(watch->tick);
    counter_set(watch->sources->counters, COUNTER_WATCHERS, watch->count);
}

void watch_add(struct watch *watch, struct http_request *request, uint64_t call)
{
    static const char full[] = "too many pages are watching\n";
    struct watcher *watcher = watch->count < WATCHERS_MAX ? calloc(1, sizeof *watcher) : NULL;
    const struct http_stream_handler handler = {watcher, on_gone};

    if (!watcher) {
        counter_add(watch->sources->counters, COUNTER_WATCHERS_REFUSED, 1);
        http_answer(request, 503, "text/plain; charset=utf-8", full, sizeof full - 1);
        return;
    }
    watcher->watch = watch;
    watcher->call = call;
    if (http_stream(request, "text/event-stream", &handler, &watcher->stream) < 0) {
        free(watcher);
        return;
    }
    LIST_INSERT_HEAD(&watch->watchers, watcher, link);
    watch->count++;
    counter_set(watch->sources->counters, COUNTER_WATCHERS, watch->count);
    arm(watch, 0);
}

int watch_new(struct event_base *base, const struct stats_sources *sources,
              struct watch **ret_watch)
{
    struct watch *watch = calloc(1, sizeof *watch);

    if (!watch)
        return -ENOMEM;
    watch->base = base;
    watch->sources = sources;
    LIST_INIT(&watch->watchers);
    LIST_INIT(&watch->asked);
    watch->tick = evtimer_new(base, on_tick, watch);
    if (!watch->tick) {
        free(watch);
        return -ENOMEM;
    }
    *ret_watch = watch;
    return 0;
}

void watch_free(struct watch *watch)
{
    struct watched_call *call;

    if (!watch)
        return;
    while ((call = LIST_FIRST(&watch->asked))) { // nobody answers any more
        LIST_REMOVE(call, link);
        free(call);
    }
    event_free(watch->tick);
    free(watch);
}
