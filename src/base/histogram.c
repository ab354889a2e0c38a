// SPDX-License-Identifier: ISC
// Durations by bucket; see base/histogram.h.
#include "base/histogram.h"

const usec_t histogram_bounds[HISTOGRAM_BUCKETS] = {
    50 * USEC_PER_MSEC,   100 * USEC_PER_MSEC,  200 * USEC_PER_MSEC,  300 * USEC_PER_MSEC,
    500 * USEC_PER_MSEC,  750 * USEC_PER_MSEC,  1000 * USEC_PER_MSEC, 1500 * USEC_PER_MSEC,
    2000 * USEC_PER_MSEC, 3000 * USEC_PER_MSEC, 5000 * USEC_PER_MSEC, 10000 * USEC_PER_MSEC,
};

void histogram_add(struct histogram *histogram, usec_t value)
{
    unsigned i = 0;

    while (i < HISTOGRAM_BUCKETS && value > histogram_bounds[i])
        i++;
    histogram->bucket[i]++;
    histogram->count++;
    histogram->sum += value;
}
