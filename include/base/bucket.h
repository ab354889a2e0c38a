// SPDX-License-Identifier: ISC
// A token bucket: 'rate' tokens a second, at most 'burst' saved up. A rate of 0 means no limit.
#pragma once

#include "base/usec.h"

#include <stdbool.h>

struct bucket {
    uint64_t rate;   // tokens per second
    uint64_t burst;  // tokens
    uint64_t tokens; // in millionths of a token, so that slow rates do not round to nothing
    usec_t last;
};

void bucket_init(struct bucket *bucket, uint64_t rate, uint64_t burst, usec_t now);
// Takes n tokens if they are there; otherwise takes none and returns false.
bool bucket_take(struct bucket *bucket, uint64_t n, usec_t now);
