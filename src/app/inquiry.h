// SPDX-License-Identifier: ISC
// What the daemon can tell about calls and TURN allocations, as JSON, to whoever asks: the stats
// endpoint, the control socket. The workers have the figures, so that answers come later. Calls
// that are over are kept for a while.
#pragma once

#include "obs/json.h"
#include "signal/signal.h"
#include "workers.h"

struct inquiry;

// All borrowed.
struct inquiry_sources {
    const struct signal *signal;
    struct workers *workers;
    struct clock_offset clock;
};

#define INQUIRY_ENDED_MAX 200 // calls kept after their end

// Takes the reference. NULL: memory is out, or with inquiry_call() there is no such call; 'found'
// tells which.
typedef void (*inquiry_answer)(void *ctx, json_t *json, bool found);

// Returns 0 or -ENOMEM.
int inquiry_new(const struct inquiry_sources *sources, struct inquiry **ret_inquiry);
void inquiry_free(struct inquiry *inquiry); // nobody is answered any more; NULL is fine

// Each answers once, at once or later.
void inquiry_calls(struct inquiry *inquiry, inquiry_answer answer, void *ctx);
void inquiry_call(struct inquiry *inquiry, uint64_t call, inquiry_answer answer, void *ctx);
void inquiry_allocations(struct inquiry *inquiry, inquiry_answer answer, void *ctx);

// Questions with this answer are forgotten.
void inquiry_cancel(struct inquiry *inquiry, inquiry_answer answer);

// The events that answer its questions (snapshots with a token of its own); false: not for it.
// 'inquiry' may be NULL, here and below.
bool inquiry_event(struct inquiry *inquiry, const struct relay_event *event);
void inquiry_turn(struct inquiry *inquiry, const struct turn_listing *listing);
// Keeps what a call was.
void inquiry_ended(struct inquiry *inquiry, const struct call_report *report, usec_t now);
