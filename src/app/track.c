// SPDX-License-Identifier: ISC
// Figures of running calls over time; see track.h. A track has two stretches that are not over: one
// since the last look, of which the newest figures come, and one since the last sample that was
// kept.
#include "track.h"

#include "base/map.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define LOOK_LEAST    (USEC_PER_SEC / 2) // a shorter stretch says nothing
#define SAMPLES_FIRST 2
#define MOS_UNIT      20

struct mark { // totals at some time
    usec_t at;
    uint64_t bytes[SIDE_COUNT];
    uint32_t heard[SIDE_COUNT], lost[SIDE_COUNT]; // as many as fit
};

struct sample {
    uint32_t second; // since the call was opened
    struct track_figures figures;
};

struct track {
    struct map_node node; // in tracks.calls
    uint64_t id;
    enum call_state state;
    enum call_verdict verdict;
    enum call_health health;
    usec_t opened;
    struct mark look, kept;      // where the two stretches began
    struct track_figures newest; // of the last look
    struct track_figures shown;  // rounded, as lists have it
    uint64_t fresh, changed;     // serial numbers
    struct sample *sample;       // owned; the oldest is at 'first' once it is full
    unsigned first, samples, size;
};

struct tracks {
    struct map calls;
    uint64_t serial;
};

int tracks_new(struct tracks **ret_tracks)
{
    struct tracks *tracks = calloc(1, sizeof *tracks);
    uint8_t key[16];

    if (!tracks)
        return -ENOMEM;
    if (getrandom(key, sizeof key, 0) != (ssize_t)sizeof key)
        abort(); // never short up to 256 bytes
    map_init(&tracks->calls, key);
    *ret_tracks = tracks;
    return 0;
}

static void track_free(struct tracks *tracks, struct track *track)
{
    map_remove(&tracks->calls, &track->node);
    free(track->sample);
    free(track);
}

void tracks_free(struct tracks *tracks)
{
    struct map_node *node;

    if (!tracks)
        return;
    while ((node = map_each(&tracks->calls, NULL)))
        track_free(tracks, container_of(node, struct track, node));
    map_free(&tracks->calls);
    free(tracks);
}

static struct track *track_find(const struct tracks *tracks, uint64_t call)
{
    struct map_node *n = map_first(&tracks->calls, map_hash(&tracks->calls, &call, sizeof call));

    for (; n; n = map_next(n)) {
        struct track *track = container_of(n, struct track, node);

        if (track->id == call)
            return track;
    }
    return NULL;
}

void tracks_forget(struct tracks *tracks, uint64_t call)
{
    struct track *track = track_find(tracks, call);

    if (track)
        track_free(tracks, track);
}

uint64_t tracks_serial(const struct tracks *tracks)
{
    return tracks->serial;
}

// ---- from totals to figures

static uint32_t fit(uint64_t value)
{
    return value > UINT32_MAX ? UINT32_MAX : (uint32_t)value;
}

static struct mark mark_of(const struct call_report *report, usec_t now)
{
    struct mark mark = {.at = now};

    for (int side = 0; side < SIDE_COUNT; side++) {
        const struct call_quality quality = call_quality_of(report, (enum side)side);

        mark.heard[side] = fit(quality.heard);
        mark.lost[side] = fit(quality.lost);
        for (unsigned i = 0; i < report->views; i++)
            mark.bytes[side] += report->view[i].leg[side].bytes_in;
    }
    return mark;
}

static uint16_t clamp(uint64_t value)
{
    return value > UINT16_MAX ? UINT16_MAX : (uint16_t)value;
}

// Totals may fall when paths are given back, or a stream shows to be video.
static uint64_t step(uint64_t from, uint64_t to)
{
    return to > from ? to - from : 0;
}

static usec_t rtt_of(const struct call_report *report, int side)
{
    usec_t rtt = 0;

    for (unsigned i = 0; i < report->views; i++) {
        if (report->view[i].leg[side].rtt > rtt)
            rtt = report->view[i].leg[side].rtt;
    }
    return rtt;
}

static struct track_figures figures_between(const struct mark *from, const struct mark *to,
                                            const struct call_report *report)
{
    struct track_figures figures;
    usec_t span = to->at - from->at;

    memset(&figures, 0, sizeof figures);
    for (int side = 0; side < SIDE_COUNT && span > 0; side++) {
        struct track_leg *leg = &figures.leg[side];
        struct call_quality lately = call_quality_of(report, (enum side)side);
        uint64_t bits = 8 * step(from->bytes[side], to->bytes[side]);

        lately.heard = step(from->heard[side], to->heard[side]);
        lately.lost = step(from->lost[side], to->lost[side]);
        leg->kbit = clamp((bits * 1000 + span / 2) / span);
        leg->rtt = clamp((rtt_of(report, side) + 50) / 100);
        if (lately.heard == 0)
            continue;
        leg->loss = clamp(10000 * lately.lost / (lately.heard + lately.lost));
        leg->jitter = clamp((lately.jitter + 50) / 100);
        leg->mos = (uint8_t)(call_mos(&lately) * MOS_UNIT + 0.5);
    }
    return figures;
}

// ---- the history

static struct sample *sample_new(struct track *track)
{
    unsigned size = track->size ? 2 * track->size : SAMPLES_FIRST;
    struct sample *grown;

    if (track->samples == TRACK_SAMPLES_MAX) {
        struct sample *oldest = &track->sample[track->first];

        track->first = (track->first + 1) % TRACK_SAMPLES_MAX;
        return oldest;
    }
    if (track->samples == track->size) {
        if (size > TRACK_SAMPLES_MAX)
            size = TRACK_SAMPLES_MAX;
        grown = realloc(track->sample, size * sizeof *grown);
        if (!grown)
            return NULL;
        track->sample = grown;
        track->size = size;
    }
    return &track->sample[track->samples++];
}

static void keep(struct track *track, const struct mark *mark, const struct call_report *report)
{
    struct track_figures figures = figures_between(&track->kept, mark, report);
    struct sample *sample = sample_new(track);

    track->kept = *mark;
    if (!sample)
        return;
    sample->second = (uint32_t)((mark->at - track->opened) / USEC_PER_SEC);
    sample->figures = figures;
}

// ---- what lists show

// To two digits, so that a steady call does not change with every look.
static uint16_t round_two(uint16_t value)
{
    unsigned unit = value < 100 ? 2 : value < 1000 ? 10 : value < 10000 ? 100 : 1000;

    return clamp((value + unit / 2) / unit * unit);
}

// Whole milliseconds, from 10 ms on four of them; what is known stays known.
static uint16_t round_rtt(uint16_t rtt)
{
    unsigned unit = rtt < 100 ? 10 : 40;

    return rtt > 0 && rtt < unit ? (uint16_t)unit : clamp((rtt + unit / 2) / unit * unit);
}

static struct track_figures rounded(const struct track_figures *figures)
{
    struct track_figures shown;

    memset(&shown, 0, sizeof shown); // it is compared whole
    for (int side = 0; side < SIDE_COUNT; side++) {
        const struct track_leg *from = &figures->leg[side];
        struct track_leg *to = &shown.leg[side];

        to->loss = clamp((from->loss + 5u) / 10 * 10);
        to->jitter = clamp((from->jitter + 10u) / 20 * 20);
        to->rtt = round_rtt(from->rtt);
        to->kbit = round_two(from->kbit);
        to->mos = (uint8_t)((from->mos + 1) / 2 * 2);
    }
    return shown;
}

static bool same(const struct track_figures *a, const struct track_figures *b)
{
    for (unsigned s = 0; s < SIDE_COUNT; s++) {
        const struct track_leg *x = &a->leg[s], *y = &b->leg[s];
        if (x->loss != y->loss || x->jitter != y->jitter || x->rtt != y->rtt ||
            x->kbit != y->kbit || x->mos != y->mos)
            return false;
    }
    return true;
}

static void show(struct tracks *tracks, struct track *track, const struct call_report *report,
                 usec_t now)
{
    struct track_figures shown = rounded(&track->newest);
    enum call_verdict verdict = call_verdict(report, now);
    enum call_health health = call_health(report, now);
    bool fresh = track->fresh == 0 || track->state != report->state || track->verdict != verdict ||
                 track->health != health;

    if (!fresh && same(&shown, &track->shown))
        return;
    track->state = report->state;
    track->verdict = verdict;
    track->health = health;
    track->shown = shown;
    track->changed = ++tracks->serial;
    if (fresh)
        track->fresh = track->changed;
}

// The first stretch begins with the first packet.
static struct track *track_new(struct tracks *tracks, const struct call_report *report, usec_t now)
{
    uint64_t hash = map_hash(&tracks->calls, &report->id, sizeof report->id);
    struct track *track = tracks->calls.count < TRACKS_MAX ? calloc(1, sizeof *track) : NULL;

    if (!track)
        return NULL;
    track->id = report->id;
    track->opened = report->opened;
    track->look.at = track->kept.at = report->first_media ? report->first_media : now;
    if (map_insert(&tracks->calls, &track->node, hash) < 0) {
        free(track);
        return NULL;
    }
    return track;
}

bool tracks_update(struct tracks *tracks, const struct call_report *report, usec_t now)
{
    struct track *track = track_find(tracks, report->id);
    bool moved = false;

    if (!track)
        track = track_new(tracks, report, now);
    if (!track)
        return false;
    if (now >= track->look.at + LOOK_LEAST) {
        struct mark mark = mark_of(report, now);

        moved = mark.bytes[0] > track->look.bytes[0] || mark.bytes[1] > track->look.bytes[1];
        track->newest = figures_between(&track->look, &mark, report);
        track->look = mark;
        // Looks do not come by the clock: a little early is on time.
        if (now + LOOK_LEAST >= track->kept.at + TRACK_STEP)
            keep(track, &mark, report);
    }
    show(tracks, track, report, now);
    return moved;
}

bool tracks_changed(const struct tracks *tracks, uint64_t call, uint64_t since,
                    struct track_view *ret_view)
{
    const struct track *track = track_find(tracks, call);

    if (!track || track->changed <= since)
        return false;
    *ret_view = (struct track_view){call, track->fresh > since, track->verdict, track->health,
                                    track->shown};
    return true;
}

// ---- as JSON

// Numbers with one digit behind the point, without the seventeen that a binary fraction has.
static json_t *tenths(unsigned value)
{
    return value % 10 ? json_real(value / 10.0) : json_integer(value / 10);
}

static json_t *mos(uint8_t value)
{
    return value ? json_real((double)value / MOS_UNIT) : json_null();
}

json_t *track_figures_to_json(const struct track_figures *figures)
{
    const struct track_leg *i = &figures->leg[SIDE_INITIATOR], *r = &figures->leg[SIDE_RESPONDER];

    return json_pack("[i, i, o, o, o, o, o, o, o, o]", (int)i->kbit, (int)r->kbit,
                     tenths(i->loss / 10u), tenths(r->loss / 10u), tenths(i->jitter),
                     tenths(r->jitter), tenths(i->rtt), tenths(r->rtt), mos(i->mos), mos(r->mos));
}

void tracks_describe(const struct tracks *tracks, uint64_t call, json_t *json)
{
    const struct track *track = track_find(tracks, call);
    json_t *history = json_array();

    for (unsigned i = 0; track && i < track->samples; i++) {
        const struct sample *s = &track->sample[(track->first + i) % TRACK_SAMPLES_MAX];
        json_t *row = track_figures_to_json(&s->figures);

        json_array_insert_new(row, 0, json_integer(s->second));
        json_array_append_new(history, row);
    }
    json_object_set_new(json, "lately",
                        track ? track_figures_to_json(&track->newest) : json_null());
    json_object_set_new(json, "history", history);
}
