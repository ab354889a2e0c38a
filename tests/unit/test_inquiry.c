// SPDX-License-Identifier: ISC
// When the daemon looks at its calls by itself, so that who asks late sees how they were: while
// they carry something, whoever else asks meanwhile, and not for ever. The worker and the
// signalling are stood in for here; time can be skipped.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "inquiry.h"

#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { CALL = 7, LOOKS_OF_A_MINUTE = 6, IDLE_MAX = 600 };

static struct fixture {
    struct event_base *base;
    struct inquiry *inquiry;
    struct path_view view;
    unsigned calls, looks;
    bool given_back; // the call has no path any more, or
    bool again;      // it has another one since
    bool moving;     // something comes between two looks
} world;

// libevent's clock is this one, because an executable's symbols come before libc's.
static time_t skipped_seconds;

int clock_gettime(clockid_t id, struct timespec *t)
{
    long error = syscall(SYS_clock_gettime, id, t);
    t->tv_sec += skipped_seconds;
    return (int)error;
}

// ---- the worker and the signalling

unsigned workers_count(const struct workers *workers)
{
    return 1;
}

int workers_order(struct workers *workers, const struct order *order)
{
    struct relay_event event = {
        .kind = EVENT_SNAPSHOT, .call = CALL, .token = order->u.token, .u.view = &world.view};

    world.looks++;
    if (world.moving)
        world.view.leg[SIDE_INITIATOR].bytes_in += 160;
    if (world.calls > 0 && !world.given_back)
        assert_true(inquiry_event(world.inquiry, &event));
    event.kind = EVENT_SNAPSHOT_END;
    assert_true(inquiry_event(world.inquiry, &event));
    return 0;
}

int workers_list_turn(struct workers *workers, uint64_t token)
{
    return 0;
}

unsigned signal_calls(const struct signal *signal)
{
    return world.calls;
}

void signal_each_call(const struct signal *signal,
                      void (*each)(void *ctx, const struct call_report *report), void *ctx)
{
    struct path_view kept = {.call = CALL, .path = 1, .leg[SIDE_INITIATOR].bytes_in = 100000};
    struct call_report report = {.id = CALL,
                                 .sid = "s",
                                 .door = "addressed",
                                 .jid = {"a@a.test/a", "b@b.test/b"},
                                 .proxy = {"p@a.test/p", "q@b.test/q"},
                                 .state = CALL_ACTIVE,
                                 .opened = 1};

    if (world.given_back || world.again) {
        report.view = &kept;
        report.views = 1;
    }

    if (world.calls > 0)
        each(ctx, &report);
}

// ---- the test's side

static void open_inquiry(unsigned calls)
{
    const struct inquiry_sources sources = {.base = world.base};

    world.calls = calls;
    assert_int_equal(inquiry_new(&sources, &world.inquiry), 0);
}

static int start(void **state)
{
    memset(&world, 0, sizeof world);
    world.view.call = CALL;
    world.base = event_base_new();
    return world.base ? 0 : -1;
}

static int stop(void **state)
{
    inquiry_free(world.inquiry);
    event_base_free(world.base);
    return 0;
}

static void tell_media(void)
{
    const struct relay_event event = {.kind = EVENT_MEDIA, .call = CALL};

    assert_false(inquiry_event(world.inquiry, &event)); // others want to know it, too
}

static void on_answer(void *ctx, json_t *json, bool found)
{
    json_decref(json);
}

// Returns how often the daemon has looked by itself. 'watched': a page looks every second.
static unsigned pass(unsigned seconds, bool watched)
{
    unsigned before = world.looks, asked = 0;

    for (unsigned i = 0; i < seconds; i++) {
        skipped_seconds++;
        event_base_loop(world.base, EVLOOP_NONBLOCK);
        if (watched) {
            inquiry_look(world.inquiry, on_answer, NULL);
            asked++;
        }
    }
    return world.looks - before - asked;
}

static void looks_begin_with_media_and_cease_with_the_calls(void **state)
{
    open_inquiry(0);
    assert_int_equal(pass(60, false), 0);
    world.calls = 1;
    world.moving = true;
    tell_media();
    assert_in_range(pass(60, false), LOOKS_OF_A_MINUTE - 1, LOOKS_OF_A_MINUTE);
    world.moving = false;
    (void)pass(IDLE_MAX, false); // on hold: once a minute
    assert_in_range(pass(IDLE_MAX, false), IDLE_MAX / 60 - 1, IDLE_MAX / 60);
    tell_media();
    world.moving = true;
    assert_in_range(pass(60, false), LOOKS_OF_A_MINUTE - 1, LOOKS_OF_A_MINUTE);
    world.calls = 0;
    (void)pass(70, false);
    assert_int_equal(pass(IDLE_MAX, false), 0);
}

static void who_watches_a_pause_does_not_end_the_history(void **state)
{
    open_inquiry(1);
    world.moving = true;
    tell_media();
    (void)pass(30, true);
    world.moving = false; // too short for the relay to tell of it
    (void)pass(25, true);
    world.moving = true;
    assert_in_range(pass(60, false), LOOKS_OF_A_MINUTE - 1, LOOKS_OF_A_MINUTE);
}

static void calls_of_the_daemon_before_are_looked_at(void **state)
{
    open_inquiry(1);
    world.moving = true; // and nobody tells of the first packet
    assert_in_range(pass(60, false), LOOKS_OF_A_MINUTE - 1, LOOKS_OF_A_MINUTE);
}

static void on_call(void *ctx, json_t *json, bool found)
{
    assert_true(found);
    *(json_t **)ctx = json;
}

// What the session has kept of paths that were given back stays, beside what is open.
static void paths_that_were_given_back_are_told(void **state)
{
    json_t *call = NULL;

    open_inquiry(1);
    world.given_back = true;
    inquiry_call(world.inquiry, CALL, on_call, &call);
    assert_int_equal(json_array_size(json_object_get(call, "paths")), 1);
    json_decref(call);
    world.given_back = false;
    world.again = true;
    world.view.path = 2;
    inquiry_call(world.inquiry, CALL, on_call, &call);
    assert_int_equal(json_array_size(json_object_get(call, "paths")), 2);
    json_decref(call);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(looks_begin_with_media_and_cease_with_the_calls),
        TEST(who_watches_a_pause_does_not_end_the_history),
        TEST(calls_of_the_daemon_before_are_looked_at),
        TEST(paths_that_were_given_back_are_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
