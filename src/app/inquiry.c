// SPDX-License-Identifier: ISC
// Questions that wait for the workers, and calls that are over; see inquiry.h.
#include "inquiry.h"

#include "allocation_json.h"
#include "platform/udp.h"
#include "records.h"
#include "turn_listing.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#define TOKEN_OWN (1ULL << 63) // marks our snapshots; those that a session asks for have its id

// Looks of our own in a row that find nothing moving before they become rare: for longer than the
// relay takes to tell of a silence, after which it tells of the first packet, too. They go on while
// there are calls, so that the history of one on hold has no end.
#define IDLE_LOOKS_MAX 18
#define IDLE_STEP_SEC  60

enum question_kind { ASK_CALLS, ASK_CALL, ASK_LOOK, ASK_ALLOCATIONS };

struct question { // waits for the workers
    TAILQ_ENTRY(question) link;
    enum question_kind kind;
    inquiry_answer answer;
    void *ctx;
    uint64_t token;
    uint64_t call;          // 0: all
    unsigned waiting;       // workers that have not answered
    struct path_view *view; // owned
    size_t views, size;
    json_t *allocations; // owned; NULL: it is about calls
};

struct inquiry {
    struct inquiry_sources sources;
    uint64_t last_token;
    TAILQ_HEAD(, question) questions;
    struct tracks *tracks;
    struct ended_calls *ended;
    struct event *look; // NULL: no history without questions
    unsigned idle_looks;
};

// ---- calls

static int compare_views(const void *a, const void *b)
{
    const struct path_view *va = a, *vb = b;

    if (va->call != vb->call)
        return va->call < vb->call ? -1 : 1;
    return va->path < vb->path ? -1 : va->path > vb->path;
}

// Views are sorted by call: a call's stand together. Returns the first.
static const struct path_view *views_of(const struct question *q, uint64_t call,
                                        unsigned *ret_count)
{
    size_t low = 0, high = q->views;
    unsigned count = 0;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (q->view[middle].call < call)
            low = middle + 1;
        else
            high = middle;
    }
    while (low + count < q->views && q->view[low + count].call == call)
        count++;
    *ret_count = count;
    return count > 0 ? q->view + low : NULL;
}

static bool has_path(const struct path_view *view, unsigned views, uint64_t path)
{
    for (unsigned i = 0; i < views; i++) {
        if (view[i].path == path)
            return true;
    }
    return false;
}

// The workers know the paths that are open; of those that were given back the report has the last
// figures already. Returns what is to be freed afterwards, or NULL.
static struct path_view *add_views(const struct question *q, struct call_report *report)
{
    unsigned count, n = 0;
    const struct path_view *open = views_of(q, report->id, &count);
    struct path_view *both = NULL;

    if (count > 0 && report->views > 0)
        both = malloc((count + report->views) * sizeof *both);
    for (unsigned i = 0; both && i < report->views; i++) {
        if (!has_path(open, count, report->view[i].path))
            both[n++] = report->view[i];
    }
    if (both)
        memcpy(both + n, open, count * sizeof *both);
    if (count > 0) {
        report->view = both ? both : open;
        report->views = n + count;
    }
    return both;
}

struct listing {
    const struct inquiry *inquiry;
    const struct question *question;
    bool moved;    // something has come from a client since the last look
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
    struct path_view *owned = add_views(q, &full);
    listing->moved |= tracks_update(listing->inquiry->tracks, &full, listing->now);
    if (q->kind == ASK_CALL) {
        listing->found = call_to_json(&full, true, listing->inquiry->sources.clock, listing->now);
        tracks_describe(listing->inquiry->tracks, report->id, listing->found);
    } else if (q->kind == ASK_CALLS) {
        json_array_append_new(
            listing->list,
            call_to_json(&full, false, listing->inquiry->sources.clock, listing->now));
    }
    free(owned);
}

static void question_free(struct inquiry *inquiry, struct question *q)
{
    TAILQ_REMOVE(&inquiry->questions, q, link);
    json_decref(q->allocations);
    free(q->view);
    free(q);
}

static void wait_for_look(struct inquiry *inquiry)
{
    bool idle = inquiry->idle_looks >= IDLE_LOOKS_MAX;
    const struct timeval step = {.tv_sec = idle ? IDLE_STEP_SEC : TRACK_STEP / USEC_PER_SEC};

    if (inquiry->look && !evtimer_pending(inquiry->look, NULL))
        evtimer_add(inquiry->look, &step);
}

static void note_motion(struct inquiry *inquiry)
{
    if (inquiry->look && inquiry->idle_looks >= IDLE_LOOKS_MAX)
        evtimer_del(inquiry->look); // the next one would come late
    inquiry->idle_looks = 0;
    wait_for_look(inquiry);
}

static void question_answer(struct inquiry *inquiry, struct question *q)
{
    struct listing listing = {.inquiry = inquiry, .question = q, .now = usec_now()};
    json_t *json = NULL;

    if (q->views > 0)
        qsort(q->view, q->views, sizeof *q->view, compare_views);
    if (q->kind == ASK_CALLS)
        listing.list = json_array();
    signal_each_call(inquiry->sources.signal, list_call, &listing);
    if (q->kind == ASK_CALLS)
        json = json_pack("{s:o, s:o}", "calls", listing.list, "ended",
                         ended_list(inquiry->ended, 0, listing.now));
    else if (q->kind == ASK_CALL)
        json = listing.found ? listing.found : ended_find(inquiry->ended, q->call, listing.now);
    if (listing.moved)
        note_motion(inquiry);
    q->answer(q->ctx, json, json || !q->call);
    question_free(inquiry, q);
}

// NULL: there was no memory for it, and it is answered.
static struct question *question_new(struct inquiry *inquiry, enum question_kind kind,
                                     inquiry_answer answer, void *ctx)
{
    struct question *q = calloc(1, sizeof *q);

    if (!q) {
        answer(ctx, NULL, true);
        return NULL;
    }
    q->kind = kind;
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

static void ask(struct inquiry *inquiry, enum question_kind kind, uint64_t call,
                inquiry_answer answer, void *ctx)
{
    struct question *q = question_new(inquiry, kind, answer, ctx);
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

bool inquiry_call_id(const char *text, uint64_t *ret_id)
{
    size_t len = strlen(text);

    if (len == 0 || len > 16 || strspn(text, "0123456789abcdefABCDEF") != len)
        return false;
    *ret_id = strtoull(text, NULL, 16);
    return true;
}

void inquiry_calls(struct inquiry *inquiry, inquiry_answer answer, void *ctx)
{
    ask(inquiry, ASK_CALLS, 0, answer, ctx);
}

void inquiry_call(struct inquiry *inquiry, uint64_t call, inquiry_answer answer, void *ctx)
{
    if (call)
        ask(inquiry, ASK_CALL, call, answer, ctx);
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

// ---- a look now and again

void inquiry_look(struct inquiry *inquiry, inquiry_answer answer, void *ctx)
{
    ask(inquiry, ASK_LOOK, 0, answer, ctx);
}

static void on_looked(void *ctx, json_t *json, bool found)
{
    struct inquiry *inquiry = ctx;

    (void)found;
    json_decref(json);
    if (signal_calls(inquiry->sources.signal) > 0)
        wait_for_look(inquiry);
}

static void on_look(evutil_socket_t fd, short what, void *arg)
{
    struct inquiry *inquiry = arg;

    (void)fd;
    (void)what;
    if (inquiry->idle_looks < IDLE_LOOKS_MAX)
        inquiry->idle_looks++;
    inquiry_look(inquiry, on_looked, inquiry);
}

// ---- events

bool inquiry_event(struct inquiry *inquiry, const struct relay_event *event)
{
    struct question *q;

    if (inquiry && event->kind == EVENT_MEDIA)
        note_motion(inquiry);
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
    json_t *line, *whole;

    if (!inquiry)
        return;
    (void)tracks_update(inquiry->tracks, report, now);
    line = call_to_json(report, false, inquiry->sources.clock, now);
    whole = call_to_json(report, true, inquiry->sources.clock, now);
    tracks_describe(inquiry->tracks, report->id, whole);
    tracks_forget(inquiry->tracks, report->id);
    records_call(inquiry->sources.records, whole, report->opened, now);
    ended_add(inquiry->ended, report->id, call_health(report, now), line, whole, now);
}

const struct tracks *inquiry_tracks(const struct inquiry *inquiry)
{
    return inquiry->tracks;
}

const struct ended_calls *inquiry_over(const struct inquiry *inquiry)
{
    return inquiry->ended;
}

// ---- allocations

void inquiry_allocations(struct inquiry *inquiry, inquiry_answer answer, void *ctx)
{
    struct question *q = question_new(inquiry, ASK_ALLOCATIONS, answer, ctx);

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
    int r;

    if (!inquiry)
        return -ENOMEM;
    inquiry->sources = *sources;
    TAILQ_INIT(&inquiry->questions);
    r = tracks_new(&inquiry->tracks);
    if (r == 0)
        r = ended_new(&inquiry->ended);
    if (r == 0 && sources->base && !(inquiry->look = evtimer_new(sources->base, on_look, inquiry)))
        r = -ENOMEM;
    if (r < 0) {
        inquiry_free(inquiry);
        return r;
    }
    // Of calls that have come over a restart the relay does not tell again that media pass.
    if (signal_calls(sources->signal) > 0)
        wait_for_look(inquiry);
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
    if (inquiry->look)
        event_free(inquiry->look);
    tracks_free(inquiry->tracks);
    ended_free(inquiry->ended);
    free(inquiry);
}
