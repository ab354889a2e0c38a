// SPDX-License-Identifier: ISC
// Figures of running calls over time, and calls that are over: what lists are told and when, what
// is kept and what goes first.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ended.h"
#include "track.h"

#include <string.h>

#define SECOND USEC_PER_SEC

struct fixture {
    struct tracks *tracks;
    struct path_view view;
    struct call_report report;
};

static int setup(void **state)
{
    static struct fixture f;

    memset(&f, 0, sizeof f);
    assert_int_equal(tracks_new(&f.tracks), 0);
    f.report = (struct call_report){.id = 7,
                                    .state = CALL_ACTIVE,
                                    .opened = 100 * SECOND,
                                    .accepted = 101 * SECOND,
                                    .first_media = 102 * SECOND,
                                    .view = &f.view,
                                    .views = 1};
    for (int side = 0; side < SIDE_COUNT; side++) {
        f.view.leg[side].sources = 1;
        f.view.leg[side].qualities = 1;
        f.view.leg[side].quality[0].clock_rate = 48000;
    }
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    tracks_free(f->tracks);
    return 0;
}

// A stretch of media from the initiator: 50 packets a second of 160 bytes, of which some are lost.
static void send_media(struct fixture *f, unsigned seconds, unsigned lost)
{
    struct leg_view *leg = &f->view.leg[SIDE_INITIATOR];

    leg->bytes_in += 50 * 160 * (uint64_t)seconds;
    leg->media_in += 50 * (uint64_t)seconds - lost;
    leg->quality[0].received += 50 * (uint64_t)seconds - lost;
    leg->quality[0].lost += lost;
}

static struct track_leg shown(const struct fixture *f, uint64_t since)
{
    struct track_view view;

    assert_true(tracks_changed(f->tracks, 7, since, &view));
    return view.figures.leg[SIDE_INITIATOR];
}

static void figures_are_of_the_time_since_the_last_look(void **state)
{
    struct fixture *f = *state;

    send_media(f, 8, 0);
    f->view.leg[SIDE_INITIATOR].rtt = 20 * USEC_PER_MSEC;
    f->view.leg[SIDE_RESPONDER].rtt = 30 * USEC_PER_MSEC;
    assert_true(tracks_update(f->tracks, &f->report, 110 * SECOND));
    assert_int_equal(shown(f, 0).kbit, 64);
    assert_int_equal(shown(f, 0).loss, 0);
    assert_int_equal(shown(f, 0).rtt, 200);
    assert_true(shown(f, 0).mos > 80); // over 4.0
    // Half of what comes now is lost, whatever was before.
    send_media(f, 1, 25);
    assert_true(tracks_update(f->tracks, &f->report, 111 * SECOND));
    assert_int_equal(shown(f, 0).loss, 5000);
    assert_true(shown(f, 0).mos < 40);
    // And then nothing.
    assert_false(tracks_update(f->tracks, &f->report, 112 * SECOND));
    assert_int_equal(shown(f, 0).kbit, 0);
    assert_int_equal(shown(f, 0).mos, 0);
    // Two looks at once say nothing new, and divide by nothing.
    assert_false(tracks_update(f->tracks, &f->report, 112 * SECOND));
}

static void totals_that_fall_harm_nothing(void **state)
{
    struct fixture *f = *state;

    send_media(f, 8, 3);
    (void)tracks_update(f->tracks, &f->report, 110 * SECOND);
    memset(&f->view, 0, sizeof f->view); // its paths were given back
    assert_false(tracks_update(f->tracks, &f->report, 120 * SECOND));
    assert_int_equal(shown(f, 0).kbit, 0);
    assert_int_equal(shown(f, 0).loss, 0);
}

static void lists_are_told_what_has_changed(void **state)
{
    struct fixture *f = *state;
    struct track_view view;
    uint64_t seen;

    send_media(f, 8, 0);
    (void)tracks_update(f->tracks, &f->report, 110 * SECOND);
    assert_true(tracks_changed(f->tracks, 7, 0, &view));
    assert_true(view.fresh);
    assert_int_equal(view.verdict, VERDICT_CALL_NO_MEDIA_RESPONDER);
    assert_int_equal(view.health, HEALTH_BAD);
    seen = tracks_serial(f->tracks);
    assert_false(tracks_changed(f->tracks, 7, seen, &view));
    send_media(f, 1, 0); // as before
    (void)tracks_update(f->tracks, &f->report, 111 * SECOND);
    assert_false(tracks_changed(f->tracks, 7, seen, &view));
    send_media(f, 4, 0); // more
    (void)tracks_update(f->tracks, &f->report, 112 * SECOND);
    assert_true(tracks_changed(f->tracks, 7, seen, &view));
    assert_false(view.fresh);
    // Who has heard nothing since the beginning is told that it is new.
    assert_true(tracks_changed(f->tracks, 7, 0, &view));
    assert_true(view.fresh);
    // Another state is told whole, too.
    seen = tracks_serial(f->tracks);
    f->report.state = CALL_ENDED;
    (void)tracks_update(f->tracks, &f->report, 113 * SECOND);
    assert_true(tracks_changed(f->tracks, 7, seen, &view));
    assert_true(view.fresh);
    tracks_forget(f->tracks, 7);
    assert_false(tracks_changed(f->tracks, 7, 0, &view));
}

static void the_history_is_bounded(void **state)
{
    struct fixture *f = *state;
    json_t *json = json_object(), *history;

    for (unsigned second = 110; second < 110 + 3 * TRACK_SAMPLES_MAX * 10; second++) {
        send_media(f, 1, 0);
        (void)tracks_update(f->tracks, &f->report, second * SECOND);
    }
    tracks_describe(f->tracks, 7, json);
    history = json_object_get(json, "history");
    assert_int_equal(json_array_size(history), TRACK_SAMPLES_MAX);
    for (size_t i = 1; i < TRACK_SAMPLES_MAX; i++) {
        json_t *before = json_array_get(json_array_get(history, i - 1), 0);
        json_t *row = json_array_get(history, i);
        json_int_t step = json_integer_value(json_array_get(row, 0)) - json_integer_value(before);

        assert_int_equal(step, 10);
        assert_int_equal(json_array_size(row), 11);
        assert_int_equal(json_integer_value(json_array_get(row, 1)), 64);
    }
    assert_int_equal(json_array_size(json_object_get(json, "lately")), 10);
    json_decref(json);
    json = json_object();
    tracks_describe(f->tracks, 8, json); // not known
    assert_true(json_is_null(json_object_get(json, "lately")));
    json_decref(json);
}

static void calls_beyond_the_limit_are_not_followed(void **state)
{
    struct fixture *f = *state;
    struct track_view view;

    for (uint64_t id = 1; id <= TRACKS_MAX + 1; id++) {
        f->report.id = id;
        (void)tracks_update(f->tracks, &f->report, 110 * SECOND);
    }
    assert_true(tracks_changed(f->tracks, TRACKS_MAX, 0, &view));
    assert_false(tracks_changed(f->tracks, TRACKS_MAX + 1, 0, &view));
}

// ---- calls that are over

static void add(struct ended_calls *ended, uint64_t id, enum call_health health, usec_t now)
{
    ended_add(ended, id, health, json_pack("{s:I}", "id", (json_int_t)id),
              json_pack("{s:I, s:b}", "id", (json_int_t)id, "whole", true), now);
}

static bool knows(const struct ended_calls *ended, uint64_t id, usec_t now)
{
    json_t *json = ended_find(ended, id, now);
    bool found = json != NULL;

    json_decref(json);
    return found;
}

static size_t listed(const struct ended_calls *ended, uint64_t after, usec_t now)
{
    json_t *list = ended_list(ended, after, now);
    size_t size = json_array_size(list);

    json_decref(list);
    return size;
}

static void ended_calls_stay_for_an_hour(void **state)
{
    struct ended_calls *ended;

    assert_int_equal(ended_new(&ended), 0);
    add(ended, 1, HEALTH_BAD, SECOND);
    add(ended, 2, HEALTH_GOOD, 10 * SECOND);
    assert_true(knows(ended, 1, SECOND + ENDED_TIME));
    assert_false(knows(ended, 1, 2 * SECOND + ENDED_TIME));
    assert_true(knows(ended, 2, 2 * SECOND + ENDED_TIME));
    assert_int_equal(listed(ended, 0, 20 * SECOND), 2);
    assert_int_equal(listed(ended, 1, 20 * SECOND), 1);
    assert_int_equal(listed(ended, ended_serial(ended), 20 * SECOND), 0);
    assert_int_equal(listed(ended, 0, 2 * SECOND + ENDED_TIME), 1);
    ended_add(ended, 3, HEALTH_GOOD, NULL, json_object(), 0); // no memory
    assert_false(knows(ended, 3, 0));
    ended_free(ended);
    ended_free(NULL);
}

static void failed_calls_go_last(void **state)
{
    struct ended_calls *ended;

    assert_int_equal(ended_new(&ended), 0);
    add(ended, 1, HEALTH_BAD, SECOND);
    for (uint64_t id = 2; id < 2 + 2 * ENDED_MAX; id++)
        add(ended, id, HEALTH_GOOD, id * SECOND / 1000);
    assert_int_equal(listed(ended, 0, 10 * SECOND), ENDED_MAX);
    assert_true(knows(ended, 1, 10 * SECOND));
    assert_false(knows(ended, 2, 10 * SECOND));
    assert_true(knows(ended, 1 + 2 * ENDED_MAX, 10 * SECOND));
    // Where all have failed, the oldest goes.
    for (uint64_t id = 5000; id < 5000 + ENDED_MAX; id++)
        add(ended, id, HEALTH_BAD, 20 * SECOND);
    assert_false(knows(ended, 1, 20 * SECOND));
    assert_true(knows(ended, 5000, 20 * SECOND));
    assert_int_equal(listed(ended, 0, 20 * SECOND), ENDED_MAX);
    ended_free(ended);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(figures_are_of_the_time_since_the_last_look),
        TEST(totals_that_fall_harm_nothing),
        TEST(lists_are_told_what_has_changed),
        TEST(the_history_is_bounded),
        TEST(calls_beyond_the_limit_are_not_followed),
        cmocka_unit_test(ended_calls_stay_for_an_hour),
        cmocka_unit_test(failed_calls_go_last),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
