// SPDX-License-Identifier: ISC
// A token bucket: 'rate' tokens a second, at most 'burst' saved up. A rate of 0 means no limit.
#pragma once

#include "base/usec.h"

#include <stdbool.h>

struct bucket {
    uint64_t rate;   // tokens per second
    uint64_t burst;  // tokens
    uint64_t tokens; // in millionths of a token, so that slow rates do not round to nothing
    uint64_t debt;   // as well: taken too much by somebody else, and paid before any are saved up
    usec_t last;
};

void bucket_init(struct bucket *bucket, uint64_t rate, uint64_t burst, usec_t now);
// Takes n tokens if they are there; otherwise takes none and returns false.
bool bucket_take(struct bucket *bucket, uint64_t n, usec_t now);

// For a while somebody else passes most of what a bucket allows whose burst is its rate, and says
// afterwards how much it was: 15/16 of the rate are his, the bucket keeps the rest.
struct bucket_loan {
    uint64_t rate; // his; 0: no limit
    uint64_t owed; // tokens that were saved up when he began
    uint64_t full; // what the bucket's rate and burst were
    usec_t since;
};

void bucket_lend(struct bucket *bucket, struct bucket_loan *ret_loan, usec_t now);
// The bucket is whole again, and has what it would have had without him; what he has passed beyond
// that it owes.
void bucket_join(struct bucket *bucket, const struct bucket_loan *loan, uint64_t used, usec_t now);
