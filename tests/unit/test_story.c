// SPDX-License-Identifier: ISC
// What is told of a call beside its figures: its steps, how well it was probably heard, whether
// somebody should look at it, and what to do then.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "obs/json.h"

#include <string.h>

#define SECOND USEC_PER_SEC

static struct call_step stanza(enum side side, enum jingle_action action, usec_t at)
{
    return (struct call_step){
        .at = at, .kind = STEP_STANZA, .side = (uint8_t)side, .action = (uint8_t)action};
}

static void the_same_in_a_row_is_one_step(void **state)
{
    struct call_steps steps = {0};

    for (unsigned i = 0; i < 100; i++) { // both sides trickle
        struct call_step step = stanza(i % 2, JINGLE_TRANSPORT_INFO, i * SECOND);

        call_steps_add(&steps, &step);
    }
    assert_int_equal(steps.count, 2);
    assert_int_equal(steps.item[0].times, 50);
    assert_int_equal(steps.item[1].at, SECOND);
    assert_int_equal(steps.left_out, 0);
    call_steps_free(&steps);
    assert_int_equal(steps.count, 0);
}

static void steps_are_bounded_and_the_end_has_room(void **state)
{
    struct call_steps steps = {0};
    struct call_step end = {.kind = STEP_ENDED, .side = SIDE_COUNT};

    for (unsigned i = 0; i < 1000; i++) {
        struct call_step step = {.kind = STEP_MOVED, .side = SIDE_INITIATOR, .path = i + 1};

        call_steps_add(&steps, &step);
    }
    assert_int_equal(steps.count, CALL_STEPS_MAX - 1);
    assert_int_equal(steps.left_out, 1000 - (CALL_STEPS_MAX - 1));
    call_steps_add(&steps, &end);
    assert_int_equal(steps.count, CALL_STEPS_MAX);
    assert_int_equal(steps.item[CALL_STEPS_MAX - 1].kind, STEP_ENDED);
    call_steps_free(&steps);
}

static void every_step_has_a_name(void **state)
{
    for (int kind = 0; kind < STEP_KINDS; kind++) {
        for (int other = 0; other < kind; other++)
            assert_string_not_equal(call_step_name((enum call_step_kind)kind),
                                    call_step_name((enum call_step_kind)other));
    }
}

static double mos(uint64_t heard, uint64_t lost, usec_t jitter_ms, usec_t way_ms)
{
    const struct call_quality quality = {heard, lost, jitter_ms * USEC_PER_MSEC,
                                         way_ms * USEC_PER_MSEC};

    return call_mos(&quality);
}

static void the_score_falls_with_what_disturbs(void **state)
{
    assert_true(mos(0, 0, 0, 0) == 0.0);
    assert_true(mos(1000, 0, 0, 20) > 4.3);
    assert_true(mos(1000, 0, 0, 20) <= 4.5);
    for (uint64_t lost = 0; lost < 900; lost += 100)
        assert_true(mos(1000 - lost, lost, 0, 20) > mos(900 - lost, lost + 100, 0, 20) ||
                    mos(900 - lost, lost + 100, 0, 20) == 1.0);
    assert_true(mos(1000, 0, 50, 20) < mos(1000, 0, 0, 20));
    assert_true(mos(1000, 0, 0, 800) < 3.6); // 400 ms one way
    assert_true(mos(1000, 0, 0, 800) < mos(1000, 0, 0, 300));
    assert_true(mos(1, 1000000, 5000, 60000) == 1.0);
}

static void audio_is_told_from_video(void **state)
{
    struct path_view view = {.leg = {{.qualities = 2, .rtt = 1000}, {.rtt = 2000}}};
    struct quality_view *q = view.leg[SIDE_INITIATOR].quality;
    const struct call_report report = {.view = &view, .views = 1};
    struct call_quality quality;

    q[0] = (struct quality_view){.clock_rate = 90000, .received = 900, .lost = 100, .jitter = 9};
    q[1] = (struct quality_view){.clock_rate = 48000, .received = 50, .lost = 1, .jitter = 3};
    quality = call_quality_of(&report, SIDE_INITIATOR);
    assert_int_equal(quality.heard, 50);
    assert_int_equal(quality.lost, 1);
    assert_int_equal(quality.jitter, 3);
    assert_int_equal(quality.way, 3000);
    view.leg[SIDE_INITIATOR].qualities = 1; // video alone counts then
    assert_int_equal(call_quality_of(&report, SIDE_INITIATOR).heard, 900);
    assert_int_equal(call_quality_of(&report, SIDE_RESPONDER).heard, 0);
}

static void somebody_should_look_at_what_failed(void **state)
{
    struct path_view view = {.call = 1};
    struct call_report r = {.view = &view, .views = 1, .opened = SECOND};

    assert_int_equal(call_health(&r, 2 * SECOND), HEALTH_WAITING);
    r.ended = 3 * SECOND;
    r.end_reason = "decline";
    assert_int_equal(call_health(&r, 3 * SECOND), HEALTH_GOOD);
    r.end_reason = "connectivity-error";
    assert_int_equal(call_health(&r, 3 * SECOND), HEALTH_BAD);
    r.end_reason = "refused"; // by the relay
    assert_int_equal(call_health(&r, 3 * SECOND), HEALTH_BAD);
    r.accepted = 2 * SECOND;
    assert_int_equal(call_health(&r, 3 * SECOND), HEALTH_BAD);
    r.end_reason = "success";
    assert_int_equal(call_health(&r, 3 * SECOND), HEALTH_UNSURE);
    r.ended = 0;
    assert_int_equal(call_health(&r, 3 * SECOND), HEALTH_WAITING);
    assert_int_equal(call_health(&r, 9 * SECOND), HEALTH_UNSURE);
    view.leg[SIDE_INITIATOR].media_in = 9; // one-way
    view.leg[SIDE_INITIATOR].last_media = 9 * SECOND;
    assert_int_equal(call_health(&r, 3 * SECOND), HEALTH_WAITING);
    assert_int_equal(call_health(&r, 9 * SECOND), HEALTH_BAD);
    view.leg[SIDE_RESPONDER] = view.leg[SIDE_INITIATOR];
    assert_int_equal(call_health(&r, 9 * SECOND), HEALTH_GOOD);
}

static void every_verdict_has_advice(void **state)
{
    for (int v = 0; v < VERDICT_CALL_COUNT; v++) {
        for (int h = HEALTH_WAITING; h <= HEALTH_BAD; h++)
            assert_true(strlen(call_verdict_advice((enum call_verdict)v, (enum call_health)h)) >
                        20);
    }
}

static void steps_are_told_with_their_call(void **state)
{
    struct call_steps steps = {0};
    struct call_step step = stanza(SIDE_INITIATOR, JINGLE_SESSION_INITIATE, 1500 * USEC_PER_MSEC);
    struct call_report r = {.id = 1,
                            .sid = "s",
                            .door = "addressed",
                            .jid = {"a@example.org/<b>", "b@example.org"},
                            .proxy = {"", ""},
                            .opened = SECOND,
                            .steps = &steps};
    json_t *json, *list;

    call_steps_add(&steps, &step);
    step = (struct call_step){.at = 2 * SECOND, .kind = STEP_SELECTED, .side = SIDE_RESPONDER};
    assert_int_equal(addr_parse_ip("192.0.2.1", 5, &step.addr), 0);
    call_steps_add(&steps, &step);
    json = call_to_json(&r, true, (struct clock_offset){0}, 3 * SECOND);
    list = json_object_get(json, "steps");
    assert_int_equal(json_array_size(list), 2);
    json_t *first = json_array_get(list, 0), *second = json_array_get(list, 1);

    assert_string_equal(json_string_value(json_object_get(first, "action")), "session-initiate");
    assert_true(json_real_value(json_object_get(first, "at_ms")) == 500.0);
    assert_string_equal(json_string_value(json_object_get(second, "by")), "responder");
    assert_string_equal(json_string_value(json_object_get(second, "address")), "192.0.2.1:5");
    assert_string_equal(json_string_value(json_object_get(json, "health")), "waiting");
    json_decref(json);
    call_steps_free(&steps);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_same_in_a_row_is_one_step),
        cmocka_unit_test(steps_are_bounded_and_the_end_has_room),
        cmocka_unit_test(every_step_has_a_name),
        cmocka_unit_test(the_score_falls_with_what_disturbs),
        cmocka_unit_test(audio_is_told_from_video),
        cmocka_unit_test(somebody_should_look_at_what_failed),
        cmocka_unit_test(every_verdict_has_advice),
        cmocka_unit_test(steps_are_told_with_their_call),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
