// SPDX-License-Identifier: ISC
// Questions that wait for the workers, and calls that are over; see inquiry.h.
#include "inquiry.h"

#include "allocation_json.h"
#include "platform/udp.h"
#include "turn_listing.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/queue.h>

#define TOKEN_OWN (1ULL << 63) // marks our snapshots; those that a session asks for have its id

struct question { // waits for the workers
    TAILQ_ENTRY(question) link;
    inquiry_answer answer;
    void *ctx;
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

struct inquiry {
    struct inquiry_sources sources;
    uint64_t last_token;
    TAILQ_HEAD(, question) questions;
    struct ended ended[INQUIRY_ENDED_MAX]; // a ring
    size_t ended_next;
};

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
    const struct inquiry *inquiry;
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
        listing->found = call_to_json(&full, true, listing->inquiry->sources.clock, listing->now);
    else
        json_array_append_new(
            listing->list,
            call_to_json(&full, false, listing->inquiry->sources.clock, listing->now));
}

static json_t *ended_list(const struct inquiry *inquiry)
{
    json_t *list = json_array();

    for (size_t i = 0; i < INQUIRY_ENDED_MAX; i++) { // the latest first
        const struct ended *e =
            &inquiry->ended[(inquiry->ended_next + INQUIRY_ENDED_MAX - 1 - i) % INQUIRY_ENDED_MAX];

        if (e->line)
            json_array_append(list, e->line);
    }
    return list;
}

static json_t *ended_find(const struct inquiry *inquiry, uint64_t id)
{
    for (size_t i = 0; i < INQUIRY_ENDED_MAX; i++) {
        if (inquiry->ended[i].whole && inquiry->ended[i].id == id)
            return json_incref(inquiry->ended[i].whole);
    }
    return NULL;
}

static void question_free(struct inquiry *inquiry, struct question *q)
{
    TAILQ_REMOVE(&inquiry->questions, q, link);
    json_decref(q->allocations);
    free(q->view);
    free(q);
}

static void question_answer(struct inquiry *inquiry, struct question *q)
{
    struct listing listing = {inquiry, q, q->call ? NULL : json_array(), NULL, usec_now()};
    json_t *json;

    if (q->views > 0)
        qsort(q->view, q->views, sizeof *q->view, compare_views);
    signal_each_call(inquiry->sources.signal, list_call, &listing);
    if (!q->call)
        json = json_pack("{s:o, s:o}", "calls", listing.list, "ended", ended_list(inquiry));
    else
        json = listing.found ? listing.found : ended_find(inquiry, q->call);
    q->answer(q->ctx, json, json || !q->call);
    question_free(inquiry, q);
}

// NULL: there was no memory for it, and it is answered.
static struct question *question_new(struct inquiry *inquiry, inquiry_answer answer, void *ctx)
{
    struct question *q = calloc(1, sizeof *q);

    if (!q) {
        answer(ctx, NULL, true);
        return NULL;
    }
    q->answer = answer;
    q->ctx = ctx;
    q->token = TOKEN_OWN | ++inquiry->last_token;
    q->waiting = workers_count(inquiry->sources.workers);
    TAILQ_INSERT_TAIL(&inquiry->questions, q, link);
    return q;
}

static void question_fail(struct inquiry *inquiry, struct question *q)
{
    q->answer(q->ctx, NULL, true);
    question_free(inquiry, q);
}

static void ask(struct inquiry *inquiry, uint64_t call, inquiry_answer answer, void *ctx)
{
    struct question *q = question_new(inquiry, answer, ctx);
    struct order order = {.kind = ORDER_SNAPSHOT, .call = call};

    if (!q)
        return;
    q->call = call;
    order.u.token = q->token;
    if (call)
        q->waiting = 1;
    if (workers_order(inquiry->sources.workers, &order) < 0)
        question_fail(inquiry, q);
}

void inquiry_calls(struct inquiry *inquiry, inquiry_answer answer, void *ctx)
{
    ask(inquiry, 0, answer, ctx);
}

void inquiry_call(struct inquiry *inquiry, uint64_t call, inquiry_answer answer, void *ctx)
{
    if (call)
        ask(inquiry, call, answer, ctx);
    else
        answer(ctx, NULL, false);
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

static struct question *question_find(const struct inquiry *inquiry, uint64_t token)
{
    struct question *q;

    TAILQ_FOREACH (q, &inquiry->questions, link) {
        if (q->token == token)
            break;
    }
    return q;
}

bool inquiry_event(struct inquiry *inquiry, const struct relay_event *event)
{
    struct question *q;

    if ((event->kind != EVENT_SNAPSHOT && event->kind != EVENT_SNAPSHOT_END) ||
        !(event->token & TOKEN_OWN))
        return false;
    if (!inquiry)
        return true;
    q = question_find(inquiry, event->token);
    if (!q)
        return true;
    if (event->kind == EVENT_SNAPSHOT)
        question_add(q, event->u.view);
    else if (--q->waiting == 0)
        question_answer(inquiry, q);
    return true;
}

void inquiry_ended(struct inquiry *inquiry, const struct call_report *report, usec_t now)
{
    struct ended *e;

    if (!inquiry)
        return;
    e = &inquiry->ended[inquiry->ended_next++ % INQUIRY_ENDED_MAX];
    json_decref(e->line);
    json_decref(e->whole);
    e->id = report->id;
    e->line = call_to_json(report, false, inquiry->sources.clock, now);
    e->whole = call_to_json(report, true, inquiry->sources.clock, now);
}

// ---- allocations

void inquiry_allocations(struct inquiry *inquiry, inquiry_answer answer, void *ctx)
{
    struct question *q = question_new(inquiry, answer, ctx);

    if (!q)
        return;
    q->allocations = json_array();
    if (!q->allocations || workers_list_turn(inquiry->sources.workers, q->token) < 0)
        question_fail(inquiry, q);
}

void inquiry_turn(struct inquiry *inquiry, const struct turn_listing *listing)
{
    struct question *q = inquiry ? question_find(inquiry, listing->token) : NULL;
    usec_t now = usec_now();

    if (!q)
        return;
    for (size_t i = 0; i < listing->views; i++)
        json_array_append_new(q->allocations,
                              allocation_to_json(&listing->view[i], inquiry->sources.clock, now));
    if (--q->waiting > 0)
        return;
    q->answer(q->ctx, json_pack("{s:O}", "allocations", q->allocations), true);
    question_free(inquiry, q);
}

void inquiry_cancel(struct inquiry *inquiry, inquiry_answer answer)
{
    struct question *q, *next;

    for (q = TAILQ_FIRST(&inquiry->questions); q; q = next) {
        next = TAILQ_NEXT(q, link);
        if (q->answer == answer)
            question_free(inquiry, q);
    }
}

// ---- life

int inquiry_new(const struct inquiry_sources *sources, struct inquiry **ret_inquiry)
{
    struct inquiry *inquiry = calloc(1, sizeof *inquiry);

    if (!inquiry)
        return -ENOMEM;
    inquiry->sources = *sources;
    TAILQ_INIT(&inquiry->questions);
    *ret_inquiry = inquiry;
    return 0;
}

void inquiry_free(struct inquiry *inquiry)
{
    struct question *q;

    if (!inquiry)
        return;
    while ((q = TAILQ_FIRST(&inquiry->questions)))
        question_free(inquiry, q);
    for (size_t i = 0; i < INQUIRY_ENDED_MAX; i++) {
        json_decref(inquiry->ended[i].line);
        json_decref(inquiry->ended[i].whole);
    }
    free(inquiry);
}
