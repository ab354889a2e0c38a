// SPDX-License-Identifier: ISC
// A copy of one worker's TURN allocations, on its way to the main thread.
#pragma once

#include "turn_worker.h"

struct turn_listing {
    uint64_t token;         // of the question
    struct turn_view *view; // owned, with its texts
    size_t views, size;
};

// 'worker' may be NULL: no allocations. Without memory for all it is shorter. Returns NULL without
// memory.
struct turn_listing *turn_listing_new(const struct turn_worker *worker, uint64_t token, usec_t now);
void turn_listing_free(struct turn_listing *listing); // NULL is fine
