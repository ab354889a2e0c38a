// SPDX-License-Identifier: ISC
// Token buckets: rate and burst hold exactly, over long times, at slow rates and at the ends of
// the number range.
#include "base/bucket.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static unsigned drain(struct bucket *bucket, usec_t now)
{
    unsigned n = 0;
    while (bucket_take(bucket, 1, now))
        n++;
    return n;
}

static void burst_then_rate(void **state)
{
    struct bucket bucket;
    bucket_init(&bucket, 10, 5, 1000);
    assert_int_equal(drain(&bucket, 1000), 5);
    assert_false(bucket_take(&bucket, 1, 1000 + 99999));
    assert_true(bucket_take(&bucket, 1, 1000 + 100000));
    assert_false(bucket_take(&bucket, 1, 1000 + 100000));
    assert_int_equal(drain(&bucket, 1000 + 100 * USEC_PER_SEC), 5); // not more than the burst
}

static void takes_all_or_nothing(void **state)
{
    struct bucket bucket;
    bucket_init(&bucket, 1, 10, 0);
    assert_false(bucket_take(&bucket, 11, 0));
    assert_true(bucket_take(&bucket, 7, 0));
    assert_false(bucket_take(&bucket, 4, 0));
    assert_true(bucket_take(&bucket, 3, 0));
    assert_true(bucket_take(&bucket, 0, 0));
    assert_false(bucket_take(&bucket, 1, 0));
}

// One token a second, asked every microsecond fraction: nothing rounds away.
static void slow_rates_do_not_starve(void **state)
{
    struct bucket bucket;
    bucket_init(&bucket, 1, 1, 0);
    unsigned taken = 0;
    for (usec_t now = 0; now <= 10 * USEC_PER_SEC; now += 7)
        taken += bucket_take(&bucket, 1, now);
    assert_in_range(taken, 10, 11);
}

static void time_may_stand_still_or_go_back(void **state)
{
    struct bucket bucket;
    bucket_init(&bucket, 1000, 1, 5000);
    assert_true(bucket_take(&bucket, 1, 5000));
    assert_false(bucket_take(&bucket, 1, 5000));
    assert_false(bucket_take(&bucket, 1, 0));
    assert_false(bucket_take(&bucket, 1, 5999));
    assert_true(bucket_take(&bucket, 1, 6000));
}

static void zero_rate_is_no_limit(void **state)
{
    struct bucket bucket;
    bucket_init(&bucket, 0, 0, 0);
    assert_true(bucket_take(&bucket, UINT64_MAX, 0));
    assert_true(bucket_take(&bucket, UINT64_MAX, 0));
}

static void does_not_overflow(void **state)
{
    struct bucket bucket;
    bucket_init(&bucket, UINT64_MAX, UINT64_MAX, 0);
    assert_false(bucket_take(&bucket, UINT64_MAX, 0));
    assert_true(bucket_take(&bucket, UINT64_MAX / 1000000, 0));
    assert_false(bucket_take(&bucket, 1, 0));
    assert_true(bucket_take(&bucket, UINT64_MAX / 1000000, USEC_NEVER));

    bucket_init(&bucket, 3, 10, 0);
    assert_int_equal(drain(&bucket, 0), 10);
    assert_int_equal(drain(&bucket, USEC_NEVER), 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(burst_then_rate),
        cmocka_unit_test(takes_all_or_nothing),
        cmocka_unit_test(slow_rates_do_not_starve),
        cmocka_unit_test(time_may_stand_still_or_go_back),
        cmocka_unit_test(zero_rate_is_no_limit),
        cmocka_unit_test(does_not_overflow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
