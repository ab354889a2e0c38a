// SPDX-License-Identifier: ISC
// How each running call is doing: what came from either side lately, and a short history. Whoever
// has the workers' figures of a call brings its track up to date; nothing here asks for them.
#pragma once

#include "obs/json.h"

#define TRACK_SAMPLES_MAX 120 // of the history
#define TRACK_STEP        (10 * USEC_PER_SEC)
#define TRACKS_MAX        4096 // calls that are followed

struct track_leg {   // what came from one side, over a stretch of time
    uint16_t loss;   // of 10,000 packets
    uint16_t jitter; // in tenths of a millisecond, as the next
    uint16_t rtt;    // relay to client and back; 0: not known
    uint16_t kbit;   // per second
    uint8_t mos;     // in twentieths; 0: nothing was heard
};

struct track_figures {
    struct track_leg leg[SIDE_COUNT];
};

struct tracks;

// What a list shows of a call, when it has changed since the serial number 'since'.
struct track_view {
    uint64_t id;
    bool fresh; // it is new since then, or in another state, or judged otherwise
    enum call_verdict verdict;
    enum call_health health;
    struct track_figures figures;
};

// Returns 0 or -ENOMEM.
int tracks_new(struct tracks **ret_tracks);
void tracks_free(struct tracks *tracks); // NULL is fine

// With the workers' figures. Returns whether anything has come from its clients since the last
// time. Without memory, and beyond TRACKS_MAX, the call is not followed.
bool tracks_update(struct tracks *tracks, const struct call_report *report, usec_t now);
void tracks_forget(struct tracks *tracks, uint64_t call);

// Numbers of what has changed: what changes later has a higher one.
uint64_t tracks_serial(const struct tracks *tracks);
// False: nothing a list shows of this call has changed.
bool tracks_changed(const struct tracks *tracks, uint64_t call, uint64_t since,
                    struct track_view *ret_view);
// Figures of a list, a new reference: [kbit/s, kbit/s, loss %, loss %, jitter ms, jitter ms, round
// trip ms, round trip ms, MOS, MOS], the initiator's first.
json_t *track_figures_to_json(const struct track_figures *figures);
// Adds "lately" and "history" to a call.
void tracks_describe(const struct tracks *tracks, uint64_t call, json_t *json);
