// SPDX-License-Identifier: ISC
// What the daemon can tell about calls and TURN allocations, as JSON, to whoever asks: the stats
// endpoint, the control socket. The workers have the figures, so that answers come later. Calls
// that are over are kept for a while.
//
// While calls carry something, their figures are looked at every ten seconds, so that who asks late
// sees how it was (track.h); otherwise nothing happens unless somebody asks.
#pragma once

#include "ended.h"
#include "obs/json.h"
#include "signal/signal.h"
#include "track.h"
#include "workers.h"

#include <event2/event.h>

struct inquiry;
struct records;

// All borrowed.
struct inquiry_sources {
    const struct signal *signal;
    struct workers *workers;
    struct clock_offset clock;
    struct event_base *base; // NULL: no history without questions
    struct records *records; // of calls that are over; NULL: none are kept
};

// Takes the reference. NULL: memory is out, or with inquiry_call() there is no such call; 'found'
// tells which.
typedef void (*inquiry_answer)(void *ctx, json_t *json, bool found);

// Returns 0 or -ENOMEM.
int inquiry_new(const struct inquiry_sources *sources, struct inquiry **ret_inquiry);
void inquiry_free(struct inquiry *inquiry); // nobody is answered any more; NULL is fine

// The id of a call as it is shown: up to 16 hexadecimal digits. False: it is none.
bool inquiry_call_id(const char *text, uint64_t *ret_id);

// Each answers once, at once or later.
void inquiry_calls(struct inquiry *inquiry, inquiry_answer answer, void *ctx);
void inquiry_call(struct inquiry *inquiry, uint64_t call, inquiry_answer answer, void *ctx);
void inquiry_allocations(struct inquiry *inquiry, inquiry_answer answer, void *ctx);
// Brings the tracks of all calls up to date and answers with NULL.
void inquiry_look(struct inquiry *inquiry, inquiry_answer answer, void *ctx);

// Borrowed.
const struct tracks *inquiry_tracks(const struct inquiry *inquiry);
const struct ended_calls *inquiry_over(const struct inquiry *inquiry);

// Questions with this answer are forgotten.
void inquiry_cancel(struct inquiry *inquiry, inquiry_answer answer);

// The events that answer its questions (snapshots with a token of its own); false: not for it.
// 'inquiry' may be NULL, here and below.
bool inquiry_event(struct inquiry *inquiry, const struct relay_event *event);
void inquiry_turn(struct inquiry *inquiry, const struct turn_listing *listing);
// Keeps what a call was.
void inquiry_ended(struct inquiry *inquiry, const struct call_report *report, usec_t now);
