// SPDX-License-Identifier: ISC
// The stats endpoint: what the daemon shows of itself over HTTP (docs/OPERATING.md). Read-only.
//     /             a summary for people
//     /healthz      200 while the daemon is joined to its server, else 503
//     /metrics      Prometheus
//     /api/capacity  room for more calls, and what bounds it
//     /api/calls    running calls and those that ended lately
//     /api/calls/ID one of them, whole
//     /api/allocations  TURN allocations
#pragma once

#include "admission.h"
#include "base/counter.h"
#include "fast.h"
#include "obs/json.h"
#include "signal/signal.h"
#include "workers.h"

struct stats;

// What it shows; all borrowed.
struct stats_sources {
    const struct signal *signal;
    struct workers *workers;
    struct admission *admission;
    struct counters *counters;       // of the main thread
    const struct fastpath *fastpath; // NULL: none
    struct clock_offset clock;
    usec_t started;
};

// Returns 0 or -errno (what bind said).
int stats_new(struct event_base *base, const struct addr *listen,
              const struct stats_sources *sources, struct stats **ret_stats);
void stats_free(struct stats *stats);
// The events that answer its questions (snapshots with a token of its own); false: not for it.
bool stats_event(struct stats *stats, const struct relay_event *event);
// Answers to its questions about TURN. 'stats' may be NULL.
void stats_turn(struct stats *stats, const struct turn_listing *listing);
// Keeps what a call was, for a while. 'stats' may be NULL.
void stats_ended(struct stats *stats, const struct call_report *report, usec_t now);
