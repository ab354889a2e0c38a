// SPDX-License-Identifier: ISC
// The token bucket. A rate in tokens per second is also one in millionths of a token per
// microsecond, so the arithmetic is exact; it saturates instead of wrapping.
#include "base/bucket.h"

#define MICRO 1000000u

static uint64_t bucket_capacity(const struct bucket *bucket)
{
    return bucket->burst > UINT64_MAX / MICRO ? UINT64_MAX : bucket->burst * MICRO;
}

void bucket_init(struct bucket *bucket, uint64_t rate, uint64_t burst, usec_t now)
{
    *bucket = (struct bucket){.rate = rate, .burst = burst, .last = now};
    bucket->tokens = bucket_capacity(bucket);
}

static void bucket_refill(struct bucket *bucket, usec_t now)
{
    if (now <= bucket->last)
        return;
    uint64_t capacity = bucket_capacity(bucket);
    uint64_t missing = capacity - bucket->tokens;
    usec_t elapsed = now - bucket->last;
    if (elapsed > missing / bucket->rate)
        bucket->tokens = capacity;
    else
        bucket->tokens += elapsed * bucket->rate;
    bucket->last = now;
}

bool bucket_take(struct bucket *bucket, uint64_t n, usec_t now)
{
    if (bucket->rate == 0)
        return true;
    bucket_refill(bucket, now);
    if (n > bucket->tokens / MICRO)
        return false;
    bucket->tokens -= n * MICRO;
    return true;
}
