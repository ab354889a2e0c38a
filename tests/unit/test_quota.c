// SPDX-License-Identifier: ISC
// Quotas of TURN: per identity and in all, from any thread.
#include "quota.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void each_identity_has_its_own(void **state)
{
    struct quota *quota;

    (void)state;
    assert_int_equal(quota_new(2, 0, &quota), 0);
    assert_int_equal(quota_charge(quota, "romeo@example.org"), TURN_GRANTED);
    assert_int_equal(quota_charge(quota, "romeo@example.org"), TURN_GRANTED);
    assert_int_equal(quota_charge(quota, "romeo@example.org"), TURN_REFUSED_USER);
    assert_int_equal(quota_charge(quota, "juliet@example.org"), TURN_GRANTED);
    quota_release(quota, "romeo@example.org");
    assert_int_equal(quota_charge(quota, "romeo@example.org"), TURN_GRANTED);
    assert_int_equal(quota_charge(quota, "romeo@example.org"), TURN_REFUSED_USER);
    quota_free(quota);
}

static void the_total_counts_all(void **state)
{
    struct quota *quota;

    (void)state;
    assert_int_equal(quota_new(0, 3, &quota), 0);
    assert_int_equal(quota_charge(quota, "a"), TURN_GRANTED);
    assert_int_equal(quota_charge(quota, "a"), TURN_GRANTED);
    assert_int_equal(quota_charge(quota, "b"), TURN_GRANTED);
    assert_int_equal(quota_charge(quota, "c"), TURN_REFUSED_TOTAL);
    assert_int_equal(quota_charge(quota, "a"), TURN_REFUSED_TOTAL);
    quota_release(quota, "b");
    assert_int_equal(quota_charge(quota, "c"), TURN_GRANTED);
    quota_release(quota, "nobody"); // was never charged
    assert_int_equal(quota_charge(quota, "d"), TURN_REFUSED_TOTAL);
    quota_free(quota);
}

static void zero_is_no_limit(void **state)
{
    struct quota *quota;

    (void)state;
    assert_int_equal(quota_new(0, 0, &quota), 0);
    for (int i = 0; i < 10000; i++)
        assert_int_equal(quota_charge(quota, "a"), TURN_GRANTED);
    quota_free(quota);
}

enum { THREADS = 4, ROUNDS = 2000, LIMIT = 50 };

static void *charge_and_release(void *arg)
{
    for (int i = 0; i < ROUNDS; i++) {
        if (quota_charge(arg, "a") == TURN_GRANTED)
            quota_release(arg, "a");
        if (quota_charge(arg, "b") == TURN_GRANTED && i >= LIMIT / THREADS)
            quota_release(arg, "b");
    }
    return NULL;
}

static void threads_agree(void **state)
{
    struct quota *quota;
    pthread_t thread[THREADS];

    (void)state;
    assert_int_equal(quota_new(0, LIMIT + THREADS * 2, &quota), 0);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, charge_and_release, quota), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(thread[i], NULL);
    // What was not given back is THREADS * (LIMIT / THREADS) charges of b.
    for (int i = 0; i < LIMIT + THREADS * 2 - THREADS * (LIMIT / THREADS); i++)
        assert_int_equal(quota_charge(quota, "c"), TURN_GRANTED);
    assert_int_equal(quota_charge(quota, "c"), TURN_REFUSED_TOTAL);
    quota_free(quota);
}

static bool room(void *ctx)
{
    return *(bool *)ctx;
}

static void the_machine_is_asked(void **state)
{
    struct quota *quota;
    bool has_room = false;

    (void)state;
    assert_int_equal(quota_new(0, 0, &quota), 0);
    quota_ask(quota, room, &has_room);
    assert_int_equal(quota_charge(quota, "a"), TURN_REFUSED_TOTAL);
    has_room = true;
    assert_int_equal(quota_charge(quota, "a"), TURN_GRANTED);
    quota_free(quota);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_identity_has_its_own), cmocka_unit_test(the_total_counts_all),
        cmocka_unit_test(zero_is_no_limit),          cmocka_unit_test(threads_agree),
        cmocka_unit_test(the_machine_is_asked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
