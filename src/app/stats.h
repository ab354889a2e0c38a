// SPDX-License-Identifier: ISC
// The stats endpoint: what the daemon shows of itself over HTTP (docs/OPERATING.md). Read-only.
//     /             the live page; src/app/page has its parts
//     /summary      the same in a few lines of text
//     /healthz      200 while the daemon is joined to its server, else 503
//     /metrics      Prometheus
//     /api/capacity  room for more calls, and what bounds it
//     /api/status   the daemon as a whole
//     /api/events   the same once a second, and calls as they change, while somebody reads
//     /api/calls    running calls and those that ended lately
//     /api/calls/ID one of them, whole
//     /api/allocations  TURN allocations
#pragma once

#include "admission.h"
#include "base/counter.h"
#include "fast.h"
#include "inquiry.h"
#include "signal/signal.h"
#include "workers.h"

struct stats;

// What it shows; all borrowed.
struct stats_sources {
    const struct signal *signal;
    const struct workers *workers;
    struct inquiry *inquiry;
    struct admission *admission;
    struct counters *counters;       // of the main thread
    const struct fastpath *fastpath; // NULL: none
    usec_t started;
    struct clock_offset clock;
    // What the daemon's test of itself has found, a new reference; NULL: there is none yet.
    json_t *(*selftest)(void *ctx);
    void *selftest_ctx;
    struct handover
        *handover; // its listener may have been left there; NULL: none. Until stats_new()
};

// Returns 0 or -errno (what bind said).
int stats_new(struct event_base *base, const struct addr *listen,
              const struct stats_sources *sources, struct stats **ret_stats);
// Leaves the listener for a successor. Returns 0 or -errno. NULL is fine, here and below.
int stats_leave(const struct stats *stats, struct handover *handover);
void stats_free(struct stats *stats);
