// SPDX-License-Identifier: ISC
// How long calls will last: what is said follows from the calls that ended.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "drain.h"

#define MINUTE (60 * USEC_PER_SEC)

static struct drain_history hundred(usec_t from, usec_t step)
{
    struct drain_history history = {0};

    for (unsigned i = 0; i < 100; i++)
        drain_note(&history, from + i * step);
    return history;
}

static void without_calls_it_is_over(void **state)
{
    const struct drain_history none = {0};
    struct drain_estimate e = {1, 1};

    assert_true(drain_estimate(&none, NULL, 0, &e));
    assert_int_equal(e.likely + e.nearly_surely, 0);
}

static void too_few_tell_nothing(void **state)
{
    struct drain_history history = {0};
    const usec_t age = MINUTE;
    struct drain_estimate e;

    for (unsigned i = 0; i < DRAIN_LEAST; i++) {
        assert_false(drain_estimate(&history, &age, 1, &e));
        drain_note(&history, 2 * MINUTE);
    }
    assert_true(drain_estimate(&history, &age, 1, &e));
    assert_in_range(e.likely, MINUTE - 1, MINUTE + USEC_PER_SEC); // all lasted two minutes
    assert_in_range(e.nearly_surely, MINUTE - 1, MINUTE + USEC_PER_SEC);
}

// Calls of 0 to 99 minutes, all as likely.
static void shares_become_times(void **state)
{
    const struct drain_history history = hundred(MINUTE, MINUTE);
    const usec_t young[2] = {0, 0}, old = 50 * MINUTE;
    struct drain_estimate e;

    assert_true(drain_estimate(&history, young, 1, &e));
    assert_in_range(e.likely, 49 * MINUTE, 51 * MINUTE);
    assert_in_range(e.nearly_surely, 89 * MINUTE, 91 * MINUTE);
    assert_true(drain_estimate(&history, young, 2, &e)); // the later of two: sqrt(0.5)
    assert_in_range(e.likely, 70 * MINUTE, 72 * MINUTE);
    assert_true(drain_estimate(&history, &old, 1, &e)); // who has lasted 50 has 0 to 50 left
    assert_in_range(e.likely, 24 * MINUTE, 26 * MINUTE);
}

static void older_than_any_lasts_as_long_again(void **state)
{
    const struct drain_history history = hundred(MINUTE, 0);
    const usec_t old = 30 * MINUTE;
    struct drain_estimate e;

    assert_true(drain_estimate(&history, &old, 1, &e));
    assert_in_range(e.likely, 30 * MINUTE - USEC_PER_SEC, 30 * MINUTE + USEC_PER_SEC);
}

static void old_times_are_forgotten(void **state)
{
    struct drain_history history = hundred(100 * MINUTE, 0);
    const usec_t age = 0;
    struct drain_estimate e;

    for (unsigned i = 0; i < DRAIN_SAMPLES; i++)
        drain_note(&history, MINUTE);
    assert_int_equal(history.count, DRAIN_SAMPLES);
    assert_true(drain_estimate(&history, &age, 1, &e));
    assert_in_range(e.nearly_surely, MINUTE - USEC_PER_SEC, MINUTE + USEC_PER_SEC);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_calls_it_is_over),
        cmocka_unit_test(too_few_tell_nothing),
        cmocka_unit_test(shares_become_times),
        cmocka_unit_test(older_than_any_lasts_as_long_again),
        cmocka_unit_test(old_times_are_forgotten),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
