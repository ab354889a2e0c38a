// SPDX-License-Identifier: ISC
// HTTP answers out of the daemon's state; see stats.h. Questions that need the workers' figures are
// answered when these have come.
#include "stats.h"

#include "allocation_json.h"
#include "base/buf.h"
#include "obs/metrics.h"
#include "platform/http.h"
#include "platform/udp.h"
#include "turn_listing.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#define ENDED_MAX   200          // calls kept after their end
#define TOKEN_OWN   (1ULL << 63) // marks our snapshots; those that a session asks for have its id
#define WORKERS_MAX 256

struct question { // an HTTP request that waits for the workers
    TAILQ_ENTRY(question) link;
    struct http_request *request;
    uint64_t token;
    uint64_t call;          // 0: all
    unsigned waiting;       // workers that have not answered
    struct path_view *view; // owned
    size_t views, size;
    json_t *allocations; // owned; NULL: it is about calls
};

struct ended { // a call that is over
    uint64_t id;
    json_t *line, *whole; // owned
};

struct stats {
    struct stats_sources sources;
    struct http *http;
    uint64_t last_token;
    TAILQ_HEAD(, question) questions;
    struct ended ended[ENDED_MAX]; // a ring
    size_t ended_next;
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
               "/api/calls    running calls and the last %d that ended\n"
               "/api/calls/ID one of them, whole\n"
               "/api/allocations  what TURN clients have\n",
               component_up(stats) ? "connected" : "NOT CONNECTED to the XMPP server",
               counter_get(counters, COUNTER_CALLS_SETUP),
               counter_get(counters, COUNTER_CALLS_RINGING),
               counter_get(counters, COUNTER_CALLS_ACTIVE), room->least,
               bound ? ", bound by the " : "", bound ? capacity_resource_name(room->bound) : "",
               100 * view.load, view.bandwidth * 8 / 1e6, ENDED_MAX);
    answer_text(request, 200, out.failed ? "out of memory\n" : out.data);
    buf_free(&out);
}

static json_t *room_to_json(const struct capacity_room *room)
{
    json_t *json = json_pack("{s:i, s:s}", "room", (int)room->least, "bound",
                             capacity_resource_name(room->bound));

    for (int r = 0; json && r < CAPACITY_RESOURCES; r++)
        json_object_set_new(json, capacity_resource_name((enum capacity_resource)r),
                            json_integer(room->of[r]));
    return json;
}

static void get_capacity(struct stats *stats, struct http_request *request)
{
    const struct admission_view view = admission_view(stats->sources.admission, usec_now());

    answer_json(request, 200,
                json_pack("{s:f, s:f, s:f, s:o, s:o}", "load", view.load, "load_limit",
                          view.ceiling, "bits_per_second", 8 * view.bandwidth, "calls",
                          room_to_json(&view.room[CAPACITY_CALL]), "allocations",
                          room_to_json(&view.room[CAPACITY_ALLOCATION])));
}

// ---- calls

static int compare_views(const void *a, const void *b)
{
    const struct path_view *va = a, *vb = b;

    if (va->call != vb->call)
        return va->call < vb->call ? -1 : 1;
    return va->path < vb->path ? -1 : va->path > vb->path;
}

// Views are sorted by call: a call's stand together.
static void find_views(const struct question *q, struct call_report *report)
{
    size_t low = 0, high = q->views;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (q->view[middle].call < report->id)
            low = middle + 1;
        else
            high = middle;
    }
    report->view = q->view + low;
    report->views = 0;
    while (low + report->views < q->views && report->view[report->views].call == report->id)
        report->views++;
}

struct listing {
    const struct stats *stats;
    const struct question *question;
    json_t *list;  // all calls, or
    json_t *found; // the one that was asked for
    usec_t now;
};

static void list_call(void *ctx, const struct call_report *report)
{
    struct listing *listing = ctx;
    const struct question *q = listing->question;
    struct call_report full = *report;

    if (q->call && q->call != report->id)
        return;
    find_views(q, &full);
    if (q->call)
        listing->found = call_to_json(&full, true, listing->stats->sources.clock, listing->now);
    else
        json_array_append_new(
            listing->list, call_to_json(&full, false, listing->stats->sources.clock, listing->now));
}

static json_t *ended_list(const struct stats *stats)
{
    json_t *list = json_array();

    for (size_t i = 0; i < ENDED_MAX; i++) { // the latest first
        const struct ended *e = &stats->ended[(stats->ended_next + ENDED_MAX - 1 - i) % ENDED_MAX];

        if (e->line)
            json_array_append(list, e->line);
    }
    return list;
}

static json_t *ended_find(const struct stats *stats, uint64_t id)
{
    for (size_t i = 0; i < ENDED_MAX; i++) {
        if (stats->ended[i].whole && stats->ended[i].id == id)
            return json_incref(stats->ended[i].whole);
    }
    return NULL;
}

static void question_free(struct stats *stats, struct question *q)
{
    TAILQ_REMOVE(&stats->questions, q, link);
    json_decref(q->allocations);
    free(q->view);
    free(q);
}

static void question_answer(struct stats *stats, struct question *q)
{
    struct listing listing = {stats, q, q->call ? NULL : json_array(), NULL, usec_now()};

    if (q->views > 0)
        qsort(q->view, q->views, sizeof *q->view, compare_views);
    signal_each_call(stats->sources.signal, list_call, &listing);
    if (!q->call) {
        answer_json(q->request, 200,
                    json_pack("{s:o, s:o}", "calls", listing.list, "ended", ended_list(stats)));
    } else {
        json_t *whole = listing.found ? listing.found : ended_find(stats, q->call);

        answer_json(q->request, whole ? 200 : 404,
                    whole ? whole : json_pack("{s:s}", "error", "no such call"));
    }
    question_free(stats, q);
}

// NULL: there was no memory for it, and the request is answered.
static struct question *question_new(struct stats *stats, struct http_request *request)
{
    struct question *q = calloc(1, sizeof *q);

    if (!q) {
        answer_text(request, 500, "out of memory\n");
        return NULL;
    }
    q->request = request;
    q->token = TOKEN_OWN | ++stats->last_token;
    q->waiting = workers_count(stats->sources.workers);
    TAILQ_INSERT_TAIL(&stats->questions, q, link);
    return q;
}

static void question_fail(struct stats *stats, struct question *q)
{
    answer_text(q->request, 500, "out of memory\n");
    question_free(stats, q);
}

static void ask(struct stats *stats, struct http_request *request, uint64_t call)
{
    struct question *q = question_new(stats, request);
    struct order order = {.kind = ORDER_SNAPSHOT, .call = call};

    if (!q)
        return;
    q->call = call;
    order.u.token = q->token;
    if (call)
        q->waiting = 1;
    if (workers_order(stats->sources.workers, &order) < 0)
        question_fail(stats, q);
}

static void question_add(struct question *q, const struct path_view *view)
{
    if (q->views == q->size) {
        size_t size = q->size ? 2 * q->size : 16;
        struct path_view *grown = realloc(q->view, size * sizeof *grown);

        if (!grown)
            return; // the answer then lacks a path
        q->view = grown;
        q->size = size;
    }
    q->view[q->views++] = *view;
}

static struct question *question_find(const struct stats *stats, uint64_t token)
{
    struct question *q;

    TAILQ_FOREACH (q, &stats->questions, link) {
        if (q->token == token)
            break;
    }
    return q;
}

bool stats_event(struct stats *stats, const struct relay_event *event)
{
    struct question *q;

    if ((event->kind != EVENT_SNAPSHOT && event->kind != EVENT_SNAPSHOT_END) ||
        !(event->token & TOKEN_OWN))
        return false;
    if (!stats)
        return true;
    q = question_find(stats, event->token);
    if (!q)
        return true;
    if (event->kind == EVENT_SNAPSHOT)
        question_add(q, event->u.view);
    else if (--q->waiting == 0)
        question_answer(stats, q);
    return true;
}

void stats_ended(struct stats *stats, const struct call_report *report, usec_t now)
{
    struct ended *e;

    if (!stats)
        return;
    e = &stats->ended[stats->ended_next++ % ENDED_MAX];
    json_decref(e->line);
    json_decref(e->whole);
    e->id = report->id;
    e->line = call_to_json(report, false, stats->sources.clock, now);
    e->whole = call_to_json(report, true, stats->sources.clock, now);
}

// ---- allocations

static void ask_turn(struct stats *stats, struct http_request *request)
{
    struct question *q = question_new(stats, request);

    if (!q)
        return;
    q->allocations = json_array();
    if (!q->allocations || workers_list_turn(stats->sources.workers, q->token) < 0)
        question_fail(stats, q);
}

void stats_turn(struct stats *stats, const struct turn_listing *listing)
{
    struct question *q = stats ? question_find(stats, listing->token) : NULL;
    usec_t now = usec_now();

    if (!q)
        return;
    for (size_t i = 0; i < listing->views; i++)
        json_array_append_new(q->allocations,
                              allocation_to_json(&listing->view[i], stats->sources.clock, now));
    if (--q->waiting > 0)
        return;
    answer_json(q->request, 200, json_pack("{s:O}", "allocations", q->allocations));
    question_free(stats, q);
}

// ---- requests

static void on_get(void *ctx, const char *path, struct http_request *request)
{
    static const char calls[] = "/api/calls";
    struct stats *stats = ctx;
    char *end;

    if (strcmp(path, "/") == 0) {
        get_summary(stats, request);
    } else if (strcmp(path, "/healthz") == 0) {
        get_health(stats, request);
    } else if (strcmp(path, "/metrics") == 0) {
        get_metrics(stats, request);
    } else if (strcmp(path, "/api/capacity") == 0) {
        get_capacity(stats, request);
    } else if (strcmp(path, "/api/allocations") == 0) {
        ask_turn(stats, request);
    } else if (strcmp(path, calls) == 0) {
        ask(stats, request, 0);
    } else if (strncmp(path, "/api/calls/", sizeof calls) == 0) {
        uint64_t id = strtoull(path + sizeof calls, &end, 16);

        if (id && !*end)
            ask(stats, request, id);
        else
            answer_json(request, 404, json_pack("{s:s}", "error", "no such call"));
    } else {
        answer_text(request, 404, "no such page; see /\n");
    }
}

int stats_new(struct event_base *base, const struct addr *listen,
              const struct stats_sources *sources, struct stats **ret_stats)
{
    struct stats *stats = calloc(1, sizeof *stats);
    const struct http_handler handler = {stats, on_get};
    int r;

    if (!stats)
        return -ENOMEM;
    stats->sources = *sources;
    TAILQ_INIT(&stats->questions);
    r = http_new(base, listen, &handler, &stats->http);
    if (r < 0) {
        free(stats);
        return r;
    }
    *ret_stats = stats;
    return 0;
}

void stats_free(struct stats *stats)
{
    struct question *q;

    if (!stats)
        return;
    http_free(stats->http);
    while ((q = TAILQ_FIRST(&stats->questions)))
        question_free(stats, q);
    for (size_t i = 0; i < ENDED_MAX; i++) {
        json_decref(stats->ended[i].line);
        json_decref(stats->ended[i].whole);
    }
    free(stats);
}
