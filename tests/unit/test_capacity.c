// SPDX-License-Identifier: ISC
// Room for calls, on virtual time: what bounds it, before it is measured and afterwards, at every
// limit; and that nothing flaps. test_capacity_machine.c has whole machines.
#include "capacity.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define SECOND USEC_PER_SEC

static const struct capacity_limits plenty = {
    .number = {0, 0}, .load = 0.8, .descriptors = 1000000, .workers = 1, .ports_per_call = 2};

// What is in use, with so many ports free that they bound nothing.
static struct capacity_use use_of(unsigned calls, unsigned measured)
{
    return (struct capacity_use){.running = {calls, 0},
                                 .measured = {measured, 0},
                                 .ports_used = 2u * calls,
                                 .ports_free = 10 * CAPACITY_UNBOUNDED};
}

// A while in which nothing changes.
static void settle(struct capacity *c, double load, uint64_t bytes_per_second,
                   const struct capacity_use *use)
{
    const struct capacity_sample sample = {
        .span = SECOND, .load = load, .bytes = bytes_per_second, .packets = use->running[0] * 100u};

    for (int i = 0; i < 30; i++)
        capacity_measured(c, &sample, use);
}

static struct capacity_room room(struct capacity *c, const struct capacity_use *use)
{
    return capacity_room(c, CAPACITY_CALL, use);
}

static void an_idle_daemon_guesses(void **state)
{
    struct capacity_limits limits = plenty;
    struct capacity_use use = use_of(0, 0);
    struct capacity c;

    capacity_init(&c, &limits);
    assert_int_equal(room(&c, &use).bound, CAPACITY_LOAD);
    assert_in_range(room(&c, &use).least, 1000, 2000);
    limits.workers = 4;
    capacity_init(&c, &limits);
    assert_in_range(room(&c, &use).least, 4000, 8000);
    limits.load = 0;
    limits.bandwidth = 1e6;
    capacity_init(&c, &limits);
    assert_int_equal(room(&c, &use).bound, CAPACITY_BANDWIDTH);
    assert_in_range(room(&c, &use).least, 20, 100);
}

static void nothing_bounds_what_has_no_limit(void **state)
{
    struct capacity_limits limits = plenty;
    struct capacity_use use = use_of(100, 100);
    struct capacity_room found;
    struct capacity c;

    limits.load = 0;
    limits.descriptors = UINT32_MAX;
    capacity_init(&c, &limits);
    settle(&c, 1, UINT32_MAX, &use);
    found = room(&c, &use);
    assert_int_equal(found.bound, CAPACITY_RESOURCES);
    assert_int_equal(found.least, CAPACITY_UNBOUNDED);
    assert_string_equal(capacity_resource_name(found.bound), "none");
}

// 100 calls at 0.4: 100 more fit into 0.8, not counting the weight of the guess.
static void the_mean_of_those_that_run(void **state)
{
    struct capacity_use use = use_of(100, 100);
    struct capacity_limits limits = plenty;
    struct capacity c;

    limits.bandwidth = 10e6;
    capacity_init(&c, &limits);
    settle(&c, 0.4, 1000000, &use);
    assert_int_equal(room(&c, &use).bound, CAPACITY_LOAD);
    assert_in_range(room(&c, &use).least, 95, 110);
    assert_in_range(room(&c, &use).of[CAPACITY_BANDWIDTH], 800, 1000);
}

// Those that were admitted and do not send yet take their share of the room at once.
static void calls_that_do_not_send_yet(void **state)
{
    struct capacity_use use = use_of(100, 100);
    struct capacity c;
    unsigned admitted = 0;

    capacity_init(&c, &plenty);
    settle(&c, 0.4, 0, &use);
    while (room(&c, &use).least > 0) {
        use.running[CAPACITY_CALL]++;
        admitted++;
    }
    assert_in_range(admitted, 95, 110);
    // They go away again before they have sent anything.
    use.running[CAPACITY_CALL] = 100;
    assert_in_range(room(&c, &use).least, 95, 110);
}

static void every_exact_limit(void **state)
{
    struct capacity_limits limits = plenty;
    struct capacity_use use = use_of(10, 10);
    struct capacity c;

    limits.number[CAPACITY_CALL] = 11;
    capacity_init(&c, &limits);
    assert_int_equal(room(&c, &use).bound, CAPACITY_NUMBER);
    assert_int_equal(room(&c, &use).least, 1);
    use.running[CAPACITY_CALL] = 11;
    assert_int_equal(room(&c, &use).least, 0);
    use.running[CAPACITY_CALL] = 12; // never below
    assert_int_equal(room(&c, &use).least, 0);

    capacity_init(&c, &plenty);
    use = use_of(100, 100);
    use.ports_used = 400; // video apart: 4 ports each
    use.ports_free = 39;
    assert_int_equal(room(&c, &use).bound, CAPACITY_PORTS);
    assert_in_range(room(&c, &use).least, 9, 11);
    use.ports_free = 3;
    assert_int_equal(room(&c, &use).least, 0);
    assert_int_equal(capacity_room(&c, CAPACITY_ALLOCATION, &use).of[CAPACITY_PORTS], 3);

    use = use_of(100, 100);
    use.descriptors = 1000000 - 64 - 4;
    assert_int_equal(room(&c, &use).bound, CAPACITY_DESCRIPTORS);
    assert_int_equal(room(&c, &use).least, 2);
    use.descriptors = 1000000 - 64 - 1;
    assert_int_equal(room(&c, &use).least, 0);
    use.descriptors = 2000000;
    assert_int_equal(room(&c, &use).least, 0);
}

static void calls_without_ports_of_their_own(void **state)
{
    struct capacity_use use = use_of(1000, 1000);
    struct capacity c;

    capacity_init(&c, &plenty);
    use.ports_used = 1; // shared by all
    use.ports_free = 999;
    settle(&c, 0.1, 0, &use);
    assert_true(room(&c, &use).of[CAPACITY_PORTS] > 10000);
}

static void full_until_a_tenth_is_free(void **state)
{
    struct capacity_use use = use_of(100, 100);
    struct capacity c;

    capacity_init(&c, &plenty);
    settle(&c, 0.81, 0, &use);
    assert_int_equal(room(&c, &use).least, 0);
    assert_int_equal(room(&c, &use).bound, CAPACITY_LOAD);
    for (double load = 0.80; load > 0.73; load -= 0.01) {
        settle(&c, load, 0, &use);
        assert_int_equal(room(&c, &use).least, 0);
    }
    settle(&c, 0.71, 0, &use);
    assert_true(room(&c, &use).least > 5);
    settle(&c, 0.79, 0, &use); // and taken until it is full
    assert_true(room(&c, &use).least > 0);
}

static void bandwidth_is_refused_alike(void **state)
{
    struct capacity_use use = use_of(100, 100);
    struct capacity_limits limits = plenty;
    struct capacity c;

    limits.bandwidth = 1e6;
    capacity_init(&c, &limits);
    settle(&c, 0.1, 1010000, &use);
    assert_int_equal(room(&c, &use).bound, CAPACITY_BANDWIDTH);
    assert_int_equal(room(&c, &use).least, 0);
    settle(&c, 0.1, 950000, &use);
    assert_int_equal(room(&c, &use).least, 0);
    settle(&c, 0.1, 850000, &use);
    assert_in_range(room(&c, &use).least, 10, 20);
}

static void losses_lower_the_ceiling_for_a_while(void **state)
{
    struct capacity_use use = use_of(100, 100);
    struct capacity_sample lossy = {.span = SECOND, .load = 0.6, .packets = 10000, .missed = 11};
    struct capacity c;

    capacity_init(&c, &plenty);
    settle(&c, 0.6, 0, &use);
    assert_true(room(&c, &use).least > 20);
    capacity_measured(&c, &lossy, &use);
    assert_true(c.ceiling < 0.55);
    assert_int_equal(room(&c, &use).least, 0);
    settle(&c, 0.6, 0, &use); // half a minute
    assert_int_equal(room(&c, &use).least, 0);
    for (int i = 0; i < 10; i++)
        settle(&c, 0.6, 0, &use);
    assert_true(c.ceiling == 0.8);
    assert_true(room(&c, &use).least > 20);
}

// What was measured stays, and so does what losses have taught.
static void limits_may_change(void **state)
{
    struct capacity_use use = use_of(100, 100);
    struct capacity_limits other = plenty;
    struct capacity_sample lossy = {.span = SECOND, .load = 0.6, .packets = 10000, .missed = 11};
    struct capacity c;

    capacity_init(&c, &plenty);
    settle(&c, 0.6, 0, &use);
    other.number[CAPACITY_CALL] = 101;
    capacity_set_limits(&c, &other);
    assert_int_equal(room(&c, &use).least, 1);
    other.number[CAPACITY_CALL] = 0;
    other.load = 0.5;
    capacity_set_limits(&c, &other);
    assert_int_equal(room(&c, &use).least, 0); // it is at 0.6
    capacity_set_limits(&c, &plenty);
    assert_true(room(&c, &use).least > 20);
    assert_true(c.limits.descriptors == plenty.descriptors);
    capacity_measured(&c, &lossy, &use);
    double ceiling = c.ceiling;
    other.load = 0.4; // half of it
    capacity_set_limits(&c, &other);
    assert_true(c.ceiling > ceiling / 2 - 0.01 && c.ceiling < ceiling / 2 + 0.01);
    other.load = 0;
    capacity_set_limits(&c, &other);
    assert_int_equal(room(&c, &use).of[CAPACITY_LOAD], CAPACITY_UNBOUNDED);
}

// Somebody floods one socket of a daemon that has little to do.
static void losses_at_little_load_mean_nothing(void **state)
{
    struct capacity_use use = use_of(10, 10);
    struct capacity_sample lossy = {.span = SECOND, .load = 0.1, .packets = 1000, .missed = 5000};
    struct capacity c;

    capacity_init(&c, &plenty);
    for (int i = 0; i < 100; i++)
        capacity_measured(&c, &lossy, &use);
    assert_true(room(&c, &use).least > 50);
}

// 90 % of the packets are of 1,000 allocations, the rest of 10 calls.
static void turn_has_its_share(void **state)
{
    struct capacity_use use = {
        .running = {10, 1000}, .measured = {10, 1000}, .ports_used = 1020, .ports_free = 100000};
    const struct capacity_sample sample = {
        .span = SECOND, .load = 0.4, .packets = 10000, .packets_of_turn = 9000};
    struct capacity_limits limits = plenty;
    struct capacity c;

    limits.number[CAPACITY_ALLOCATION] = 1500;
    capacity_init(&c, &limits);
    for (int i = 0; i < 60; i++)
        capacity_measured(&c, &sample, &use);
    assert_in_range(room(&c, &use).of[CAPACITY_LOAD], 90, 210);
    assert_in_range(room(&c, &use).of[CAPACITY_PORTS], 45000, 55000);
    assert_in_range(capacity_room(&c, CAPACITY_ALLOCATION, &use).of[CAPACITY_LOAD], 1000, 1200);
    assert_int_equal(capacity_room(&c, CAPACITY_ALLOCATION, &use).bound, CAPACITY_NUMBER);
    assert_int_equal(capacity_room(&c, CAPACITY_ALLOCATION, &use).least, 500);
}

static void a_sample_without_time_changes_nothing(void **state)
{
    struct capacity_use use = use_of(1, 1);
    const struct capacity_sample sample = {.load = 1, .bytes = UINT64_MAX};
    struct capacity c;

    capacity_init(&c, &plenty);
    capacity_measured(&c, &sample, &use);
    assert_true(c.load.used == 0 && c.bandwidth.used == 0);
}

// Those that talk are silent for some seconds: that is no room for others.
static void a_pause_is_no_room(void **state)
{
    struct capacity_use use = use_of(100, 100);
    const struct capacity_sample silence = {.span = SECOND, .load = 0.05};
    struct capacity c;

    capacity_init(&c, &plenty);
    settle(&c, 0.75, 0, &use);
    for (int i = 0; i < 2; i++)
        capacity_measured(&c, &silence, &use);
    assert_true(room(&c, &use).least < 40);
    for (int i = 0; i < 60; i++)
        capacity_measured(&c, &silence, &use);
    assert_true(room(&c, &use).least > 500);
}

static void a_rise_is_believed_at_once(void **state)
{
    struct capacity_use use = use_of(100, 100);
    const struct capacity_sample busy = {.span = SECOND / 2, .load = 0.79};
    struct capacity c;

    capacity_init(&c, &plenty);
    settle(&c, 0.1, 0, &use);
    for (int i = 0; i < 4; i++)
        capacity_measured(&c, &busy, &use);
    assert_true(room(&c, &use).least < 25);
}

// Half of what is left, then the rest waits for what these cost.
static void those_not_measured_yet_have_half_of_the_room(void **state)
{
    struct capacity_use use = use_of(400, 400);
    struct capacity c;
    unsigned admitted = 0;

    capacity_init(&c, &plenty);
    settle(&c, 0.4, 0, &use); // room for 400
    for (; room(&c, &use).now > 0; admitted++)
        use.running[CAPACITY_CALL]++;
    assert_in_range(admitted, 190, 215);
    assert_true(room(&c, &use).least > 150);
    assert_int_equal(room(&c, &use).bound, CAPACITY_LOAD);
    // They turn out to cost three times as much: no room is left, and the limit was kept.
    use.measured[CAPACITY_CALL] = use.running[CAPACITY_CALL];
    settle(&c, 0.4 + 0.0019 * admitted, 0, &use);
    assert_true(c.load.used < 0.8);
    assert_true(room(&c, &use).now < 10);
}

// As many as may be ring, and their number is reached: it is that which will not go away.
static void what_is_full_is_named_before_what_has_to_wait(void **state)
{
    struct capacity_limits limits = plenty;
    struct capacity_use use = use_of(256, 0);
    struct capacity c;

    limits.number[CAPACITY_CALL] = 300;
    capacity_init(&c, &limits);
    assert_int_equal(room(&c, &use).now, 0);
    assert_int_equal(room(&c, &use).bound, CAPACITY_LOAD);
    c.limits.number[CAPACITY_CALL] = 256;
    assert_int_equal(room(&c, &use).now, 0);
    assert_int_equal(room(&c, &use).bound, CAPACITY_NUMBER);
}

// A minute of set-ups, a hundred each second, while those that were let in only ring: their places
// stay reserved, whatever is measured meanwhile, and when all answer at once the limit is kept.
static void a_burst_of_set_ups_whose_media_begins_later(void **state)
{
    static const double dearer[] = {1, 1.9};

    for (size_t i = 0; i < sizeof dearer / sizeof dearer[0]; i++) {
        struct capacity_use use = use_of(400, 400);
        struct capacity c;
        unsigned rings, refused = 0;

        capacity_init(&c, &plenty);
        settle(&c, 0.4, 0, &use);
        for (int second = 0; second < 60; second++) {
            double swing = second % 2 ? 0.02 : -0.02; // and a pause now and then
            const struct capacity_sample sample = {
                .span = SECOND, .load = (second % 10 ? 0.4 : 0.3) + swing, .packets = 40000};
            for (int k = 0; k < 100; k++) {
                bool admitted = room(&c, &use).now > 0;
                use.running[CAPACITY_CALL] += admitted;
                refused += !admitted;
            }
            capacity_measured(&c, &sample, &use);
        }
        rings = use.running[CAPACITY_CALL] - 400;
        assert_in_range(rings, 150, 260);
        assert_int_equal(refused, 6000 - rings);
        use.measured[CAPACITY_CALL] = use.running[CAPACITY_CALL];
        settle(&c, 0.4 + 0.001 * dearer[i] * rings, 0, &use);
        assert_true(c.load.used < 0.85);
    }
}

// Of calls nobody knows yet what they cost here.
static void the_first_ones_are_a_try(void **state)
{
    struct capacity_use use = use_of(0, 0);
    const struct capacity_sample sample = {.span = SECOND / 4, .load = 0.05, .packets = 2500};
    const struct capacity_sample nothing = {.span = SECOND / 4};
    struct capacity c;

    capacity_init(&c, &plenty);
    capacity_measured(&c, &nothing, &use);
    while (room(&c, &use).now > 0)
        use.running[CAPACITY_CALL]++;
    assert_int_equal(use.running[CAPACITY_CALL], 256);
    use.measured[CAPACITY_CALL] = 100; // 156 ring
    assert_int_equal(room(&c, &use).now, 0);
    capacity_measured(&c, &sample, &use); // they began in the middle of it
    assert_int_equal(room(&c, &use).now, 100);
    capacity_measured(&c, &sample, &use);
    assert_int_equal(room(&c, &use).now, 200);
    // A client's allocations are many, and cost little.
    assert_true(capacity_room(&c, CAPACITY_ALLOCATION, &use).now > 1000);
}

// A thousand silent ones, of the daemon before this one.
static void calls_from_before_a_restart(void **state)
{
    struct capacity_use use = use_of(1000, 1000);
    const struct capacity_sample sample = {.span = SECOND / 4, .load = 0.02};
    struct capacity c;

    capacity_init(&c, &plenty);
    capacity_measured(&c, &sample, &use);
    assert_true(room(&c, &use).now > 500);
}

// A web server beside it: the load is there before any call.
static void what_others_do_is_no_calls_cost(void **state)
{
    struct capacity_use none = use_of(0, 0), some = use_of(10, 10);
    struct capacity c;

    capacity_init(&c, &plenty);
    settle(&c, 0.3, 0, &none);
    assert_in_range(room(&c, &none).least, 900, 1100);
    settle(&c, 0.32, 0, &some); // 0.002 each, the guess outweighed by half
    assert_in_range(room(&c, &some).least, 250, 600);
    // The others stop, and more calls come: what is measured is theirs.
    some = use_of(200, 200);
    for (int i = 0; i < 10; i++)
        settle(&c, 0.02, 0, &some);
    assert_true(c.background < 0.021);
    for (int i = 0; i < 10; i++)
        settle(&c, 0.4, 0, &some);
    assert_in_range(room(&c, &some).least, 180, 230);
}

// The others stop while calls run: 100 of them have cost 0.4 all the time, and 100 more fit in.
static void what_others_cease_to_do_is_no_discount(void **state)
{
    struct capacity_use none = use_of(0, 0), some = use_of(100, 100);
    struct capacity c;

    capacity_init(&c, &plenty);
    settle(&c, 0.3, 0, &none);
    for (unsigned calls = 10; calls <= 100; calls += 10) {
        some = use_of(calls, calls);
        settle(&c, 0.3 + 0.004 * calls, 0, &some);
    }
    settle(&c, 0.7, 0, &some);
    assert_in_range(room(&c, &some).least, 15, 30);
    for (int i = 0; i < 20; i++) {
        const struct capacity_sample sample = {
            .span = SECOND / 4, .load = 0.4, .packets = 100 * 100 / 4};
        capacity_measured(&c, &sample, &some);
        assert_true(room(&c, &some).least < 120);
    }
    settle(&c, 0.4, 0, &some);
    assert_in_range(room(&c, &some).least, 90, 120);
    assert_true(c.background < 0.05);
}

static void a_pause_leaves_the_background(void **state)
{
    struct capacity_use none = use_of(0, 0), some = use_of(100, 100);
    const struct capacity_sample silence = {.span = SECOND, .load = 0.3};
    struct capacity c;

    capacity_init(&c, &plenty);
    settle(&c, 0.3, 0, &none);
    settle(&c, 0.7, 0, &some);
    double before = c.background;
    for (int i = 0; i < 10; i++)
        capacity_measured(&c, &silence, &some);
    assert_true(c.background > before - 0.02);
}

// Nobody asked for ten seconds, and in the last one 250 calls began to send: the load of the ten is
// a tenth of theirs, and they are no cheaper for it.
static void those_that_begin_within_a_sample_are_not_cheap(void **state)
{
    struct capacity_use none = use_of(0, 0), some = use_of(256, 256);
    const struct capacity_sample ten = {.span = 10 * SECOND, .load = 0.05, .packets = 256 * 100},
                                 next = {.span = SECOND, .load = 0.5, .packets = 256 * 100};
    struct capacity c;

    capacity_init(&c, &plenty);
    settle(&c, 0, 0, &none);
    capacity_measured(&c, &ten, &some);
    assert_in_range(room(&c, &some).now, 1, 256); // for as long as that is all that is known
    assert_true(room(&c, &some).least < 2000);
    for (int i = 0; i < 5; i++)
        capacity_measured(&c, &next, &some);
    assert_in_range(room(&c, &some).least, 120, 180);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_idle_daemon_guesses),
        cmocka_unit_test(limits_may_change),
        cmocka_unit_test(nothing_bounds_what_has_no_limit),
        cmocka_unit_test(the_mean_of_those_that_run),
        cmocka_unit_test(calls_that_do_not_send_yet),
        cmocka_unit_test(every_exact_limit),
        cmocka_unit_test(calls_without_ports_of_their_own),
        cmocka_unit_test(full_until_a_tenth_is_free),
        cmocka_unit_test(bandwidth_is_refused_alike),
        cmocka_unit_test(losses_lower_the_ceiling_for_a_while),
        cmocka_unit_test(losses_at_little_load_mean_nothing),
        cmocka_unit_test(turn_has_its_share),
        cmocka_unit_test(a_sample_without_time_changes_nothing),
        cmocka_unit_test(a_pause_is_no_room),
        cmocka_unit_test(a_rise_is_believed_at_once),
        cmocka_unit_test(those_not_measured_yet_have_half_of_the_room),
        cmocka_unit_test(a_burst_of_set_ups_whose_media_begins_later),
        cmocka_unit_test(what_is_full_is_named_before_what_has_to_wait),
        cmocka_unit_test(the_first_ones_are_a_try),
        cmocka_unit_test(calls_from_before_a_restart),
        cmocka_unit_test(what_others_do_is_no_calls_cost),
        cmocka_unit_test(what_others_cease_to_do_is_no_discount),
        cmocka_unit_test(a_pause_leaves_the_background),
        cmocka_unit_test(those_that_begin_within_a_sample_are_not_cheap),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
