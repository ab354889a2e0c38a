// SPDX-License-Identifier: ISC
// Calls over a restart: states, deadlines, gauges, and what is left of a user's allowance.
#include "relay/calls.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define SEC USEC_PER_SEC

static enum call_timeout expired_last;
static unsigned expiries;

static void on_expired(void *ctx, struct call *call, enum call_timeout timeout, usec_t now)
{
    expired_last = timeout;
    expiries++;
    call_ended(ctx, call);
}

static const struct calls_limits limits = {.calls = 3,
                                           .new_calls_per_minute = 2,
                                           .setup_timeout = 10 * SEC,
                                           .ring_timeout = 120 * SEC,
                                           .media_timeout = 30 * SEC,
                                           .duration = 1000 * SEC};

static void begin(struct calls *calls, struct counters *counters)
{
    static const uint8_t key[16] = "sixteen bytes...";

    memset(counters, 0, sizeof *counters);
    calls_init(calls, &limits, counters, key);
    calls->ctx = calls;
    calls->expired = on_expired;
    expiries = 0;
}

static void open_call(struct calls *calls, struct call *call, uint64_t id, usec_t now)
{
    const struct call_opening opening = {.id = id, .door = DOOR_DIVERTED, .user = "a@example.org"};

    assert_int_equal(calls_open(calls, call, &opening, now), CALL_ADMITTED);
}

static json_t *saved(const struct calls *calls, const struct call *call)
{
    json_t *state = state_new(), *object = state_new();

    calls_save(calls, state);
    call_save(call, object);
    state_put(state, "call", object);
    assert_true(state_complete(state));
    return state;
}

static int restored(struct calls *calls, struct call *call, const json_t *state, usec_t pause)
{
    struct state_reader reader = state_read(state);
    struct state_reader one = state_read(json_object_get(state, "call"));

    assert_int_equal(calls_restore(calls, &reader), 0);
    return call_restore(calls, call, &one, pause);
}

static void a_call_goes_on(void **unused)
{
    struct counters counters;
    struct call call, again = {0};
    struct calls calls;
    json_t *state;

    begin(&calls, &counters);
    open_call(&calls, &call, 7, 100 * SEC);
    call_ringing(&calls, &call, 101 * SEC);
    call_accepted(&calls, &call, 102 * SEC);
    call_media_seen(&calls, &call, 103 * SEC);
    call_silent(&calls, &call, 110 * SEC);
    state = saved(&calls, &call);
    call_ended(&calls, &call);
    calls_free(&calls);

    begin(&calls, &counters);
    assert_int_equal(restored(&calls, &again, state, 5 * SEC), 0);
    json_decref(state);
    assert_int_equal(again.state, CALL_ACTIVE);
    assert_int_equal(again.door, DOOR_DIVERTED);
    assert_true(again.id == 7 && again.opened == 100 * SEC && again.accepted == 102 * SEC);
    assert_true(again.first_media == 103 * SEC && again.silent_since == 110 * SEC);
    assert_int_equal(calls.count, 1);
    assert_int_equal(counter_get(&counters, COUNTER_DIVERTED_ACTIVE), 1);
    assert_int_equal(counter_get(&counters, COUNTER_CALLS_MEASURED), 1);
    assert_int_equal(calls_tick(&calls, 144 * SEC), 145 * SEC); // 30 s of silence, 5 s of nobody
    calls_tick(&calls, 145 * SEC);
    assert_int_equal(expiries, 1);
    assert_int_equal(expired_last, CALL_TIMEOUT_MEDIA);
    assert_int_equal(counter_get(&counters, COUNTER_DIVERTED_ACTIVE), 0);
    assert_int_equal(counter_get(&counters, COUNTER_CALLS_MEASURED), 0);
    calls_free(&calls);
}

static void the_longest_call_is_no_longer(void **unused)
{
    struct counters counters;
    struct call call, again = {0};
    struct calls calls;
    json_t *state;

    begin(&calls, &counters);
    open_call(&calls, &call, 7, 100 * SEC);
    call_ringing(&calls, &call, 100 * SEC);
    call_accepted(&calls, &call, 100 * SEC);
    state = saved(&calls, &call);
    call_ended(&calls, &call);
    calls_free(&calls);

    begin(&calls, &counters);
    assert_int_equal(restored(&calls, &again, state, 50 * SEC), 0);
    json_decref(state);
    calls_tick(&calls, 1100 * SEC);
    assert_int_equal(expired_last, CALL_TIMEOUT_DURATION);
    calls_free(&calls);
}

static void allowances_are_not_new(void **unused)
{
    struct counters counters;
    struct call call, again = {0}, third = {0};
    struct calls calls;
    json_t *state;

    begin(&calls, &counters);
    open_call(&calls, &call, 7, 100 * SEC);
    assert_int_equal(calls_take_turn(&calls, "a@example.org", 100 * SEC), CALL_ADMITTED);
    state = saved(&calls, &call);
    call_ended(&calls, &call);
    calls_free(&calls);

    begin(&calls, &counters);
    assert_int_equal(restored(&calls, &again, state, 0), 0);
    json_decref(state);
    assert_int_equal(calls_take_turn(&calls, "a@example.org", 101 * SEC), CALL_REFUSED_RATE);
    assert_int_equal(calls_take_turn(&calls, "b@example.org", 101 * SEC), CALL_ADMITTED);
    open_call(&calls, &third, 8, 131 * SEC); // half a minute later there is one more
    assert_int_equal(calls.count, 2);
    call_ended(&calls, &again);
    call_ended(&calls, &third);
    assert_int_equal(calls_tick(&calls, 1000 * SEC), USEC_NEVER); // and the users are forgotten
    assert_int_equal(calls.users.count, 0);
    calls_free(&calls);
}

static void nonsense_is_no_call(void **unused)
{
    static const struct {
        const char *key, *value;
    } wrong[] = {
        {"id", "0"},         {"id", "\"x\""},  {"door", "\"back\""}, {"state", "\"ended\""},
        {"state", "5"},      {"user", "\"\""}, {"user", "{}"},       {"due", "\"soon\""},
        {"measured", "\"\""}};
    struct counters counters;
    struct call call, again = {0};
    struct calls calls, next;
    json_t *state;

    begin(&calls, &counters);
    open_call(&calls, &call, 7, 100 * SEC);
    state = saved(&calls, &call);
    call_ended(&calls, &call);
    calls_free(&calls);
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        json_t *copy = json_deep_copy(state);

        json_object_set_new(json_object_get(copy, "call"), wrong[i].key,
                            json_loads(wrong[i].value, JSON_DECODE_ANY, NULL));
        begin(&next, &counters);
        assert_int_equal(restored(&next, &again, copy, 0), -EBADMSG);
        assert_int_equal(next.count, 0);
        assert_int_equal(counter_get(&counters, COUNTER_DIVERTED_SETUP), 0);
        calls_free(&next);
        json_decref(copy);
    }
    json_decref(state);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_call_goes_on),
        cmocka_unit_test(the_longest_call_is_no_longer),
        cmocka_unit_test(allowances_are_not_new),
        cmocka_unit_test(nonsense_is_no_call),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
