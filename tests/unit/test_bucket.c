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

// Whoever borrows passes 15/16; when the loan is over all is as if there had been none.
static void a_loan_changes_nothing_in_total(void **state)
{
    for (uint64_t rate = 1; rate < 200000; rate = rate * 3 + 1) {
        struct bucket whole, lent;
        struct bucket_loan loan;
        usec_t now = 1000;

        bucket_init(&whole, rate, rate, now);
        bucket_init(&lent, rate, rate, now);
        assert_true(bucket_take(&whole, rate / 2, now) && bucket_take(&lent, rate / 2, now));
        bucket_lend(&lent, &loan, now);
        assert_true(loan.rate + lent.rate == rate);
        assert_true(loan.rate == rate - (rate < 16 ? 1 : rate / 16));
        now += USEC_PER_SEC / 4;
        uint64_t used = rate / 2, kept = drain(&lent, now);
        if (!bucket_take(&whole, used + kept, now))
            used = 0; // parts of a token
        bucket_join(&lent, &loan, used, now);
        assert_true(lent.rate == rate && lent.burst == rate);
        uint64_t left = drain(&whole, now);
        assert_in_range(drain(&lent, now) + 2, left, left + 4);
        now += 100 * USEC_PER_SEC;
        assert_int_equal(drain(&lent, now), rate);
    }
}

static void a_loan_at_the_ends(void **state)
{
    struct bucket bucket;
    struct bucket_loan loan;

    bucket_init(&bucket, 0, 0, 5);
    bucket_lend(&bucket, &loan, 5);
    assert_true(loan.rate == 0 && bucket_take(&bucket, 1000000, 6));
    bucket_join(&bucket, &loan, 1000000, 7);
    assert_true(bucket_take(&bucket, 1000000, 8));

    bucket_init(&bucket, 1600, 1600, 0);
    bucket_lend(&bucket, &loan, 0);
    bucket_join(&bucket, &loan, 1000000, USEC_PER_SEC); // more than was his
    assert_int_equal(drain(&bucket, USEC_PER_SEC), 0);
    bucket_lend(&bucket, &loan, USEC_PER_SEC);
    bucket_join(&bucket, &loan, 0, 0); // as at the end of a relay
    bucket_lend(&bucket, &loan, 2 * USEC_PER_SEC);
    bucket_join(&bucket, &loan, 7, 1000000 * USEC_PER_SEC);
    assert_int_equal(drain(&bucket, 1000000 * USEC_PER_SEC), 1600);
}

static void what_is_taken_too_much_is_owed(void **state)
{
    struct bucket bucket;
    struct bucket_loan loan;
    usec_t now = USEC_PER_SEC;

    bucket_init(&bucket, 1000, 1000, 0);
    bucket_lend(&bucket, &loan, 0);
    bucket_join(&bucket, &loan, 5000, now); // 2000 were there
    assert_int_equal(drain(&bucket, now + 2999999), 0);
    bucket_lend(&bucket, &loan, now + 2999999); // not forgotten
    bucket_join(&bucket, &loan, 0, now + 2999999);
    assert_int_equal(drain(&bucket, now + 3000000), 0);
    assert_int_equal(drain(&bucket, now + 3010000), 10);
    assert_int_equal(drain(&bucket, now + 100 * USEC_PER_SEC), 1000);
    bucket_lend(&bucket, &loan, now);
    bucket_join(&bucket, &loan, UINT64_MAX, now);
    assert_int_equal(drain(&bucket, 1000000 * USEC_PER_SEC), 0);
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
        cmocka_unit_test(a_loan_changes_nothing_in_total),
        cmocka_unit_test(a_loan_at_the_ends),
        cmocka_unit_test(what_is_taken_too_much_is_owed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
