// SPDX-License-Identifier: ISC
// HTTP answers out of the daemon's state; see stats.h. What the workers know comes from inquiry.h,
// later.
#include "stats.h"

#include "base/buf.h"
#include "obs/metrics.h"
#include "page_files.h"
#include "platform/http.h"
#include "platform/udp.h"
#include "status.h"
#include "watch.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WORKERS_MAX 256

struct stats {
    struct stats_sources sources;
    struct http *http;
    struct watch *watch;
};

static const struct {
    const char *path, *content_type;
    const unsigned char *data;
    size_t len;
} page_row[] = {
    {"/", "text/html; charset=utf-8", page_index_html, sizeof page_index_html},
    {"/page.css", "text/css; charset=utf-8", page_page_css, sizeof page_page_css},
    {"/page.js", "text/javascript; charset=utf-8", page_page_js, sizeof page_page_js},
    {"/draw.js", "text/javascript; charset=utf-8", page_draw_js, sizeof page_draw_js},
    {"/call.js", "text/javascript; charset=utf-8", page_call_js, sizeof page_call_js},
};

static void answer_json(struct http_request *request, int status, json_t *json)
{
    char *text = json ? json_dumps(json, JSON_INDENT(1)) : NULL;

    if (text)
        http_answer(request, status, "application/json", text, strlen(text));
    else
        http_answer(request, 500, "text/plain; charset=utf-8", "out of memory\n", 14);
    free(text);
    json_decref(json);
}

static void answer_text(struct http_request *request, int status, const char *text)
{
    http_answer(request, status, "text/plain; charset=utf-8", text, strlen(text));
}

// ---- what needs no worker

static bool component_up(const struct stats *stats)
{
    return counter_get(stats->sources.counters, COUNTER_COMPONENT_UP) != 0;
}

static void get_health(struct stats *stats, struct http_request *request)
{
    if (component_up(stats))
        answer_text(request, 200, "ok\n");
    else
        answer_text(request, 503, "not connected to the XMPP server\n");
}

static void get_metrics(struct stats *stats, struct http_request *request)
{
    const struct stats_sources *sources = &stats->sources;
    const struct counters *slab[WORKERS_MAX + 1];
    struct metrics metrics = {.slab = slab, .worker = slab + 1};
    struct buf out = {0};

    (void)admission_view(sources->admission, usec_now()); // writes its gauges
    fast_count(sources->fastpath, sources->counters);
    slab[0] = sources->counters;
    metrics.workers = workers_count(sources->workers);
    for (unsigned i = 0; i < metrics.workers; i++)
        slab[i + 1] = workers_counters(sources->workers, i);
    metrics.slabs = metrics.workers + 1;
    metrics.setup = signal_setup_times(sources->signal);
    metrics.divert = signal_divert_times(sources->signal);
    metrics.uptime = usec_now() - sources->started;
    metrics_write(&metrics, &out);
    if (out.failed)
        answer_text(request, 500, "out of memory\n");
    else
        http_answer(request, 200, METRICS_CONTENT_TYPE, out.data, out.len);
    buf_free(&out);
}

// In one of the states, whichever door they came through. Setup, ringing and active stand together
// for each door (include/base/counter.h).
static uint64_t calls_in(const struct counters *counters, unsigned state)
{
    static const enum counter door[] = {COUNTER_CALLS_SETUP, COUNTER_CHANNELS_SETUP,
                                        COUNTER_DIVERTED_SETUP};
    uint64_t sum = 0;

    for (size_t i = 0; i < sizeof door / sizeof door[0]; i++)
        sum += counter_get(counters, (enum counter)((unsigned)door[i] + state));
    return sum;
}

static void get_summary(struct stats *stats, struct http_request *request)
{
    const struct counters *counters = stats->sources.counters;
    const struct admission_view view = admission_view(stats->sources.admission, usec_now());
    const struct capacity_room *room = &view.room[CAPACITY_CALL];
    bool bound = room->bound != CAPACITY_RESOURCES;
    struct buf out = {0};

    buf_printf(&out,
               "jingle-relayd " RELAYD_VERSION ": %s\n\n"
               "calls: %" PRIu64 " being set up, %" PRIu64 " ringing, %" PRIu64 " active\n\n"
               "room for %u more calls%s%s; load %.0f %%, %.1f Mbit/s\n\n"
               "/healthz      200 while connected to the XMPP server\n"
               "/metrics      Prometheus\n"
               "/api/capacity room for more, by what bounds it\n"
               "/api/status   the daemon as a whole\n"
               "/api/calls    running calls and those that ended within the hour\n"
               "/api/calls/ID one of them, whole\n"
               "/api/allocations  what TURN clients have\n",
               component_up(stats) ? "connected" : "NOT CONNECTED to the XMPP server",
               calls_in(counters, 0), calls_in(counters, 1), calls_in(counters, 2), room->least,
               bound ? ", bound by the " : "", bound ? capacity_resource_name(room->bound) : "",
               100 * view.load, view.bandwidth * 8 / 1e6);
    answer_text(request, 200, out.failed ? "out of memory\n" : out.data);
    buf_free(&out);
}

// ---- what the workers know

static void answer_inquiry(void *ctx, json_t *json, bool found)
{
    struct http_request *request = ctx;

    if (found)
        answer_json(request, 200, json);
    else
        answer_json(request, 404, json_pack("{s:s}", "error", "no such call"));
}

// ---- requests

static void get_events(struct stats *stats, struct http_request *request)
{
    static const char call[] = "call=";
    const char *query = http_query(request);
    bool one = strncmp(query, call, sizeof call - 1) == 0;
    uint64_t id = 0;

    if (one && (!inquiry_call_id(query + sizeof call - 1, &id) || id == 0))
        answer_json(request, 404, json_pack("{s:s}", "error", "no such call"));
    else
        watch_add(stats->watch, request, id);
}

static bool get_page(const char *path, struct http_request *request)
{
    for (size_t i = 0; i < sizeof page_row / sizeof page_row[0]; i++) {
        if (strcmp(path, page_row[i].path) == 0) {
            http_answer(request, 200, page_row[i].content_type, (const char *)page_row[i].data,
                        page_row[i].len);
            return true;
        }
    }
    return false;
}

static void on_get(void *ctx, const char *path, struct http_request *request)
{
    static const char calls[] = "/api/calls";
    struct stats *stats = ctx;
    struct inquiry *inquiry = stats->sources.inquiry;

    if (get_page(path, request))
        return;
    if (strcmp(path, "/summary") == 0) {
        get_summary(stats, request);
    } else if (strcmp(path, "/healthz") == 0) {
        get_health(stats, request);
    } else if (strcmp(path, "/metrics") == 0) {
        get_metrics(stats, request);
    } else if (strcmp(path, "/api/capacity") == 0) {
        answer_json(request, 200, status_capacity(stats->sources.admission));
    } else if (strcmp(path, "/api/status") == 0) {
        answer_json(request, 200, status_to_json(&stats->sources));
    } else if (strcmp(path, "/api/events") == 0) {
        get_events(stats, request);
    } else if (strcmp(path, "/api/allocations") == 0) {
        inquiry_allocations(inquiry, answer_inquiry, request);
    } else if (strcmp(path, calls) == 0) {
        inquiry_calls(inquiry, answer_inquiry, request);
    } else if (strncmp(path, "/api/calls/", sizeof calls) == 0) {
        uint64_t id;

        if (inquiry_call_id(path + sizeof calls, &id))
            inquiry_call(inquiry, id, answer_inquiry, request);
        else
            answer_json(request, 404, json_pack("{s:s}", "error", "no such call"));
    } else {
        answer_text(request, 404, "no such page; see /\n");
    }
}

// Where a daemon before this one has listened, its listener goes on: nobody is refused in between.
static int open_http(struct stats *stats, struct event_base *base, const struct addr *listen,
                     struct handover *handover)
{
    const struct http_handler handler = {stats, on_get};
    int fd = handover_take(handover, HANDOVER_TCP_LISTENER, listen);

    return fd >= 0 ? http_new_on(base, fd, &handler, &stats->http)
                   : http_new(base, listen, &handler, &stats->http);
}

int stats_new(struct event_base *base, const struct addr *listen,
              const struct stats_sources *sources, struct stats **ret_stats)
{
    struct stats *stats = calloc(1, sizeof *stats);
    int r;

    if (!stats)
        return -ENOMEM;
    stats->sources = *sources;
    stats->sources.handover = NULL;
    r = watch_new(base, &stats->sources, &stats->watch);
    if (r == 0)
        r = open_http(stats, base, listen, sources->handover);
    if (r < 0) {
        stats_free(stats);
        return r;
    }
    *ret_stats = stats;
    return 0;
}

int stats_leave(const struct stats *stats, struct handover *handover)
{
    return stats ? http_leave(stats->http, handover) : 0;
}

void stats_free(struct stats *stats)
{
    if (!stats)
        return;
    http_free(stats->http); // who watches leaves by it
    watch_free(stats->watch);
    free(stats);
}
