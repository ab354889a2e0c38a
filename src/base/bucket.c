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

static uint64_t bucket_sum(uint64_t a, uint64_t b)
{
    return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

static void bucket_refill(struct bucket *bucket, usec_t now)
{
    if (now <= bucket->last)
        return;
    uint64_t capacity = bucket_capacity(bucket);
    uint64_t missing = bucket_sum(capacity - bucket->tokens, bucket->debt);
    usec_t elapsed = now - bucket->last;
    uint64_t earned = elapsed > missing / bucket->rate ? missing : elapsed * bucket->rate;
    uint64_t paid = earned < bucket->debt ? earned : bucket->debt;
    bucket->debt -= paid;
    bucket->tokens += earned - paid;
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

void bucket_lend(struct bucket *bucket, struct bucket_loan *ret_loan, usec_t now)
{
    uint64_t kept = bucket->rate / 16;

    *ret_loan = (struct bucket_loan){.full = bucket->rate, .since = now};
    if (bucket->rate == 0)
        return;
    bucket_refill(bucket, now);
    kept += kept == 0;
    ret_loan->rate = bucket->rate - kept;
    bucket->rate = kept; // the burst stays: what it does not need now it will have then
    if (bucket->tokens / MICRO > kept) {
        ret_loan->owed = bucket->tokens / MICRO - kept;
        bucket->tokens -= ret_loan->owed * MICRO;
    }
}

// What a rate allows in 'elapsed'; at most what fits a few bursts, which is as good as endless.
static uint64_t bucket_earned(uint64_t rate, usec_t elapsed)
{
    uint64_t seconds = elapsed / MICRO, rest = elapsed % MICRO;

    if (seconds > 1 && rate > UINT64_MAX / 4 / seconds)
        return UINT64_MAX / 4;
    return rate * seconds + rate / MICRO * rest + rate % MICRO * rest / MICRO;
}

void bucket_join(struct bucket *bucket, const struct bucket_loan *loan, uint64_t used, usec_t now)
{
    if (loan->full == 0)
        return;
    bucket_refill(bucket, now);
    usec_t elapsed = now > loan->since ? now - loan->since : 0;
    uint64_t sum = bucket->tokens / MICRO + loan->owed + bucket_earned(loan->rate, elapsed);
    uint64_t taken = bucket_sum(used, bucket->debt / MICRO);
    uint64_t debt = taken > sum ? taken - sum : 0;

    bucket->rate = bucket->burst = loan->full;
    sum = sum > taken ? sum - taken : 0;
    bucket->tokens = sum >= bucket->burst ? bucket_capacity(bucket) : sum * MICRO;
    bucket->debt = debt > UINT64_MAX / MICRO ? UINT64_MAX : debt * MICRO;
}
