// SPDX-License-Identifier: ISC
// Admission, states and timeouts of calls: every limit is met, from both sides of its edge.
#include "relay/calls.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define SEC USEC_PER_SEC

struct office {
    struct calls calls;
    struct counters counters;
    usec_t now;
    struct call *expired;
    enum call_timeout timeout;
    unsigned count;
    bool ends; // what expires is ended
};

static void on_expired(void *ctx, struct call *call, enum call_timeout timeout, usec_t now)
{
    struct office *o = ctx;

    assert_int_equal(now, o->now);
    o->expired = call;
    o->timeout = timeout;
    o->count++;
    if (o->ends)
        call_ended(&o->calls, call);
}

static void office_open(struct office *o, const struct calls_limits *limits)
{
    static const uint8_t key[16] = {1};

    memset(o, 0, sizeof *o);
    o->now = 5 * SEC;
    o->ends = true;
    calls_init(&o->calls, limits, &o->counters, key);
    o->calls.ctx = o;
    o->calls.expired = on_expired;
}

static void pass(struct office *o, usec_t time)
{
    usec_t end = o->now + time, next;

    while ((next = calls_tick(&o->calls, o->now)) <= end)
        o->now = next;
    o->now = end;
    calls_tick(&o->calls, o->now);
}

static enum call_refusal call(struct office *o, struct call *call, const char *user)
{
    struct call_opening opening = {.id = 7, .user = user};

    return calls_open(&o->calls, call, &opening, o->now);
}

static enum call_refusal paid_call(struct office *o, struct call *call, const char *user)
{
    struct call_opening opening = {.id = 1, .user = user, .paid = true};

    return calls_open(&o->calls, call, &opening, o->now);
}

static uint64_t gauge(const struct office *o, enum counter id)
{
    return counter_get(&o->counters, id);
}

static void states_are_counted(void **state)
{
    const struct calls_limits limits = {0};
    struct call c;
    struct office o;

    office_open(&o, &limits);
    assert_int_equal(call(&o, &c, "a@x"), CALL_ADMITTED);
    assert_int_equal(c.state, CALL_SETUP);
    assert_int_equal(c.opened, o.now);
    assert_int_equal(gauge(&o, COUNTER_CALLS_SETUP), 1);
    call_ringing(&o.calls, &c, o.now);
    assert_int_equal(gauge(&o, COUNTER_CALLS_SETUP), 0);
    assert_int_equal(gauge(&o, COUNTER_CALLS_RINGING), 1);
    call_accepted(&o.calls, &c, o.now + 1);
    assert_int_equal(c.accepted, o.now + 1);
    assert_int_equal(gauge(&o, COUNTER_CALLS_RINGING), 0);
    assert_int_equal(gauge(&o, COUNTER_CALLS_ACTIVE), 1);
    call_ended(&o.calls, &c);
    call_ended(&o.calls, &c); // harmless
    assert_int_equal(c.state, CALL_ENDED);
    assert_int_equal(gauge(&o, COUNTER_CALLS_ACTIVE), 0);
    assert_int_equal(gauge(&o, COUNTER_CALLS_OPENED), 1);
    assert_int_equal(o.calls.count, 0);
    assert_string_equal(call_state_name(CALL_RINGING), "ringing");
    calls_free(&o.calls);
}

static void calls_in_all_are_limited(void **state)
{
    const struct calls_limits limits = {.calls = 2};
    struct call c[3];
    struct office o;

    office_open(&o, &limits);
    assert_int_equal(call(&o, &c[0], "a@x"), CALL_ADMITTED);
    assert_int_equal(call(&o, &c[1], "b@x"), CALL_ADMITTED);
    assert_int_equal(call(&o, &c[2], "c@x"), CALL_REFUSED_TOTAL);
    assert_int_equal(gauge(&o, COUNTER_CALLS_REFUSED_TOTAL), 1);
    call_ended(&o.calls, &c[0]);
    assert_int_equal(call(&o, &c[2], "c@x"), CALL_ADMITTED);
    call_ended(&o.calls, &c[1]);
    call_ended(&o.calls, &c[2]);
    calls_free(&o.calls);
}

static void calls_per_user_are_limited(void **state)
{
    const struct calls_limits limits = {.calls_per_user = 1};
    struct call c[3];
    struct office o;

    office_open(&o, &limits);
    assert_int_equal(call(&o, &c[0], "a@x"), CALL_ADMITTED);
    assert_int_equal(call(&o, &c[1], "a@x"), CALL_REFUSED_PER_USER);
    assert_int_equal(call(&o, &c[1], "a@xx"), CALL_ADMITTED);
    call_ended(&o.calls, &c[0]);
    assert_int_equal(call(&o, &c[0], "a@x"), CALL_ADMITTED);
    assert_int_equal(gauge(&o, COUNTER_CALLS_REFUSED_PER_JID), 1);
    call_ended(&o.calls, &c[0]);
    call_ended(&o.calls, &c[1]);
    calls_free(&o.calls);
}

static void new_calls_are_limited_by_the_minute(void **state)
{
    const struct calls_limits limits = {.new_calls_per_minute = 2};
    struct call c;
    struct office o;

    office_open(&o, &limits);
    assert_int_equal(calls_take_turn(&o.calls, "a@x", o.now), CALL_ADMITTED);
    assert_int_equal(call(&o, &c, "a@x"), CALL_ADMITTED);
    call_ended(&o.calls, &c);
    assert_int_equal(call(&o, &c, "a@x"), CALL_REFUSED_RATE);
    assert_int_equal(calls_take_turn(&o.calls, "a@x", o.now), CALL_REFUSED_RATE);
    assert_int_equal(gauge(&o, COUNTER_CALLS_REFUSED_RATE), 2);
    assert_int_equal(calls_take_turn(&o.calls, "b@x", o.now), CALL_ADMITTED);
    pass(&o, 29 * SEC);
    assert_int_equal(calls_take_turn(&o.calls, "a@x", o.now), CALL_REFUSED_RATE);
    pass(&o, SEC); // one turn in thirty seconds
    assert_int_equal(calls_take_turn(&o.calls, "a@x", o.now), CALL_ADMITTED);
    assert_int_equal(calls_take_turn(&o.calls, "a@x", o.now), CALL_REFUSED_RATE);
    calls_free(&o.calls);
}

static void a_paid_call_takes_no_turn(void **state)
{
    const struct calls_limits limits = {.new_calls_per_minute = 1};
    struct call c;
    struct office o;

    office_open(&o, &limits);
    assert_int_equal(calls_take_turn(&o.calls, "a@x", o.now), CALL_ADMITTED);
    assert_int_equal(paid_call(&o, &c, "a@x"), CALL_ADMITTED);
    call_ended(&o.calls, &c);
    calls_free(&o.calls);
}

// A user is forgotten when nothing can be remembered of it, and not before: neither does the
// memory grow, nor is the allowance renewed by ending a long call.
static void users_are_forgotten_in_time(void **state)
{
    const struct calls_limits limits = {.new_calls_per_minute = 2};
    struct call c;
    struct office o;

    office_open(&o, &limits);
    assert_int_equal(call(&o, &c, "a@x"), CALL_ADMITTED);
    pass(&o, 3600 * SEC);
    assert_int_equal(o.calls.users.count, 1);
    assert_int_equal(calls_take_turn(&o.calls, "a@x", o.now), CALL_ADMITTED);
    assert_int_equal(calls_take_turn(&o.calls, "a@x", o.now), CALL_ADMITTED);
    call_ended(&o.calls, &c);
    pass(&o, SEC);
    assert_int_equal(calls_take_turn(&o.calls, "a@x", o.now), CALL_REFUSED_RATE);
    pass(&o, 121 * SEC);
    assert_int_equal(o.calls.users.count, 0);
    calls_free(&o.calls);
}

static void draining_admits_nothing(void **state)
{
    const struct calls_limits limits = {0};
    struct call c;
    struct office o;

    office_open(&o, &limits);
    assert_int_equal(calls_take_turn(&o.calls, "a@x", o.now), CALL_ADMITTED);
    o.calls.draining = true;
    assert_int_equal(calls_take_turn(&o.calls, "a@x", o.now), CALL_REFUSED_DRAIN);
    assert_int_equal(paid_call(&o, &c, "a@x"), CALL_REFUSED_DRAIN);
    assert_int_equal(gauge(&o, COUNTER_CALLS_REFUSED_DRAIN), 2);
    for (int r = CALL_ADMITTED; r <= CALL_REFUSED_DESCRIPTORS; r++)
        assert_true(strlen(call_refusal_text((enum call_refusal)r)) > 0);
    calls_count_refusal(&o.calls, CALL_REFUSED_PORTS);
    assert_int_equal(gauge(&o, COUNTER_CALLS_REFUSED_PORTS), 1);
    calls_free(&o.calls);
}

static enum call_refusal busy(void *ctx, usec_t now)
{
    return CALL_REFUSED_LOAD;
}

static void the_daemon_has_no_room(void **state)
{
    const struct calls_limits limits = {.new_calls_per_minute = 1};
    struct office o;
    struct call c;

    office_open(&o, &limits);
    o.calls.room = busy;
    assert_int_equal(calls_take_turn(&o.calls, "a@x", o.now), CALL_REFUSED_LOAD);
    assert_int_equal(call(&o, &c, "a@x"), CALL_REFUSED_LOAD);
    assert_int_equal(paid_call(&o, &c, "a@x"), CALL_REFUSED_LOAD);
    assert_int_equal(gauge(&o, COUNTER_CALLS_REFUSED_LOAD), 3);
    o.calls.draining = true;
    assert_int_equal(call(&o, &c, "a@x"), CALL_REFUSED_DRAIN);
    o.calls.draining = false;
    o.calls.room = NULL;
    assert_int_equal(call(&o, &c, "a@x"), CALL_ADMITTED); // the turn was not taken
    call_ended(&o.calls, &c);
    assert_true(call_refusal_is_common(CALL_REFUSED_LOAD));
    assert_true(call_refusal_is_common(CALL_REFUSED_TOTAL));
    assert_false(call_refusal_is_common(CALL_REFUSED_PER_USER));
    assert_false(call_refusal_is_common(CALL_REFUSED_RATE));
    calls_free(&o.calls);
}

// A call is measured from its first packet on, or when it has shown that there will be none.
static void measured_calls_are_counted(void **state)
{
    const struct calls_limits limits = {0};
    struct call c[3];
    struct office o;

    office_open(&o, &limits);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(call(&o, &c[i], "a@x"), CALL_ADMITTED);
        call_ringing(&o.calls, &c[i], o.now);
        call_accepted(&o.calls, &c[i], o.now);
    }
    assert_int_equal(gauge(&o, COUNTER_CALLS_MEASURED), 0);
    call_media_seen(&o.calls, &c[0], o.now);
    call_silent(&o.calls, &c[0], o.now);
    call_media_seen(&o.calls, &c[0], o.now);
    assert_int_equal(gauge(&o, COUNTER_CALLS_MEASURED), 1);
    call_silent(&o.calls, &c[1], o.now);
    assert_int_equal(gauge(&o, COUNTER_CALLS_MEASURED), 2);
    for (int i = 0; i < 3; i++)
        call_ended(&o.calls, &c[i]);
    assert_int_equal(gauge(&o, COUNTER_CALLS_MEASURED), 0);
    calls_free(&o.calls);
}

static const struct calls_limits timed = {.setup_timeout = 10 * SEC,
                                          .ring_timeout = 60 * SEC,
                                          .media_timeout = 30 * SEC,
                                          .idle_timeout = 300 * SEC};

static void setup_and_ring_time_out(void **state)
{
    struct call c;
    struct office o;

    office_open(&o, &timed);
    call(&o, &c, "a@x");
    pass(&o, 10 * SEC - 1);
    assert_int_equal(o.count, 0);
    pass(&o, 1);
    assert_ptr_equal(o.expired, &c);
    assert_int_equal(o.timeout, CALL_TIMEOUT_SETUP);

    call(&o, &c, "a@x");
    call_ringing(&o.calls, &c, o.now);
    pass(&o, 60 * SEC - 1);
    assert_int_equal(o.count, 1);
    pass(&o, 1);
    assert_int_equal(o.count, 2);
    assert_int_equal(o.timeout, CALL_TIMEOUT_RING);
    calls_free(&o.calls);
}

static void open_active(struct office *o, struct call *c)
{
    call(o, c, "a@x");
    call_ringing(&o->calls, c, o->now);
    call_accepted(&o->calls, c, o->now);
}

static void an_active_call_lives_as_long_as_anything_passes(void **state)
{
    struct call c;
    struct office o;

    office_open(&o, &timed);
    open_active(&o, &c);
    pass(&o, 10000 * SEC);
    assert_int_equal(o.count, 0); // the relay has not called it silent
    call_media_seen(&o.calls, &c, o.now);
    call_silent(&o.calls, &c, o.now);
    pass(&o, 29 * SEC);
    call_media_seen(&o.calls, &c, o.now);
    pass(&o, 10000 * SEC);
    assert_int_equal(o.count, 0);
    assert_int_equal(c.silent_since, 0);
    call_silent(&o.calls, &c, o.now);
    call_silent(&o.calls, &c, o.now + 20 * SEC); // does not begin anew
    pass(&o, 30 * SEC);
    assert_int_equal(o.count, 1);
    assert_int_equal(o.timeout, CALL_TIMEOUT_MEDIA);
    calls_free(&o.calls);
}

static void a_call_that_never_was_carried_is_idle(void **state)
{
    struct call c;
    struct office o;

    office_open(&o, &timed);
    o.ends = false;
    call(&o, &c, "a@x");
    call_ringing(&o.calls, &c, o.now);
    call_silent(&o.calls, &c, o.now); // it rings: no media are expected
    pass(&o, 30 * SEC);
    call_accepted(&o.calls, &c, o.now);
    call_silent(&o.calls, &c, o.now);
    pass(&o, 300 * SEC);
    assert_int_equal(o.count, 1);
    assert_int_equal(o.timeout, CALL_TIMEOUT_IDLE);
    pass(&o, 1000 * SEC);
    assert_int_equal(o.count, 1);
    call_silent(&o.calls, &c, o.now); // the same wait again
    pass(&o, 300 * SEC);
    assert_int_equal(o.count, 2);
    call_ended(&o.calls, &c);
    pass(&o, 1000 * SEC);
    assert_int_equal(o.count, 2);
    calls_free(&o.calls);
}

static void early_media_count(void **state)
{
    struct call c;
    struct office o;

    office_open(&o, &timed);
    call(&o, &c, "a@x");
    call_ringing(&o.calls, &c, o.now);
    o.now += SEC;
    call_media_seen(&o.calls, &c, o.now);
    assert_int_equal(c.first_media, o.now);
    assert_int_equal(o.calls.setup.count, 1);
    assert_int_equal(o.calls.setup.sum, SEC);
    pass(&o, 59 * SEC); // the ring timeout still holds
    assert_int_equal(o.timeout, CALL_TIMEOUT_RING);
    assert_int_equal(o.count, 1);
    calls_free(&o.calls);
}

static void the_duration_is_limited(void **state)
{
    const struct calls_limits limits = {.duration = 100 * SEC};
    struct call c;
    struct office o;

    office_open(&o, &limits);
    open_active(&o, &c);
    pass(&o, 100 * SEC - 1);
    assert_int_equal(o.count, 0);
    pass(&o, 1);
    assert_int_equal(o.timeout, CALL_TIMEOUT_DURATION);
    assert_int_equal(o.count, 1);
    calls_free(&o.calls);
}

static void zero_is_no_limit(void **state)
{
    const struct calls_limits limits = {0};
    struct call c[50];
    struct office o;

    office_open(&o, &limits);
    for (int i = 0; i < 50; i++)
        assert_int_equal(call(&o, &c[i], "a@x"), CALL_ADMITTED);
    pass(&o, 100000 * SEC);
    assert_int_equal(o.count, 0);
    for (int i = 0; i < 50; i++)
        call_ended(&o.calls, &c[i]);
    calls_free(&o.calls);
}

// Limits that change hold for what comes; an allowance of another rate begins anew.
static void limits_may_change(void **state)
{
    struct calls_limits limits = {.calls = 1, .new_calls_per_minute = 1, .ring_timeout = 60 * SEC};
    struct office o;
    struct call first = {0}, second = {0};

    (void)state;
    office_open(&o, &limits);
    assert_int_equal(call(&o, &first, "alice@example.org"), CALL_ADMITTED);
    assert_int_equal(call(&o, &second, "bob@example.org"), CALL_REFUSED_TOTAL);
    limits.calls = 2;
    calls_set_limits(&o.calls, &limits, o.now);
    assert_int_equal(call(&o, &second, "alice@example.org"), CALL_REFUSED_RATE);
    limits.new_calls_per_minute = 2;
    limits.ring_timeout = 5 * SEC;
    calls_set_limits(&o.calls, &limits, o.now);
    assert_int_equal(call(&o, &second, "alice@example.org"), CALL_ADMITTED);
    call_ringing(&o.calls, &second, o.now);
    pass(&o, 5 * SEC);
    assert_ptr_equal(o.expired, &second);
    call_ended(&o.calls, &first);
    calls_free(&o.calls);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(limits_may_change),
        cmocka_unit_test(states_are_counted),
        cmocka_unit_test(calls_in_all_are_limited),
        cmocka_unit_test(calls_per_user_are_limited),
        cmocka_unit_test(new_calls_are_limited_by_the_minute),
        cmocka_unit_test(a_paid_call_takes_no_turn),
        cmocka_unit_test(users_are_forgotten_in_time),
        cmocka_unit_test(draining_admits_nothing),
        cmocka_unit_test(the_daemon_has_no_room),
        cmocka_unit_test(measured_calls_are_counted),
        cmocka_unit_test(setup_and_ring_time_out),
        cmocka_unit_test(an_active_call_lives_as_long_as_anything_passes),
        cmocka_unit_test(a_call_that_never_was_carried_is_idle),
        cmocka_unit_test(early_media_count),
        cmocka_unit_test(the_duration_is_limited),
        cmocka_unit_test(zero_is_no_limit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
