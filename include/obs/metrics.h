// SPDX-License-Identifier: ISC
// The counters as Prometheus text (exposition format 0.0.4). Labels are fixed: no user, no address
// and no call ever becomes one.
#pragma once

#include "base/buf.h"
#include "base/counter.h"
#include "base/histogram.h"

struct metrics {                        // all borrowed
    const struct counters *const *slab; // summed up
    size_t slabs;
    const struct histogram *setup;        // from the offer to the first packet carried
    const struct histogram *divert;       // from a server's request to its answer
    const struct counters *const *worker; // one per worker, shown apart for its load
    size_t workers;
    usec_t uptime;
};

#define METRICS_CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"

// The error is the buffer's.
void metrics_write(const struct metrics *metrics, struct buf *out);
