// SPDX-License-Identifier: ISC
// How long running calls will last, judged by those that ended. A pure computation.
#pragma once

#include "base/usec.h"

#include <stdbool.h>
#include <stddef.h>

enum { DRAIN_SAMPLES = 512, DRAIN_LEAST = 10 };

struct drain_history { // of the last calls; zeroed memory is an empty one
    usec_t duration[DRAIN_SAMPLES];
    size_t next, count;
};

void drain_note(struct drain_history *history, usec_t duration);

struct drain_estimate {
    usec_t likely;        // until the last is over, in half of the cases
    usec_t nearly_surely; // in nine of ten
};

// 'age' of each running call. Calls that are as old as any that ended are taken to last as long
// again. False: fewer than DRAIN_LEAST have ended.
bool drain_estimate(const struct drain_history *history, const usec_t *age, size_t calls,
                    struct drain_estimate *ret_estimate);
