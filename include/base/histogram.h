// SPDX-License-Identifier: ISC
// How long things took, in the buckets that Prometheus draws.
#pragma once

#include "base/usec.h"

#define HISTOGRAM_BUCKETS 12

struct histogram {
    uint64_t bucket[HISTOGRAM_BUCKETS + 1]; // not cumulative; the last is "longer"
    uint64_t count;
    usec_t sum;
};

extern const usec_t histogram_bounds[HISTOGRAM_BUCKETS]; // upper bounds, ascending

void histogram_add(struct histogram *histogram, usec_t value);
