// SPDX-License-Identifier: ISC
// The timer heap against a sorted model, by random operations, and what may happen inside a
// timer that fires.
#include "base/timer.h"
#include "random.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#define TIMERS 200

struct item {
    struct timer timer;
    usec_t model; // when it is due, USEC_NEVER while not armed
    unsigned fired;
};

struct world {
    struct timers timers;
    struct item item[TIMERS];
    usec_t last; // deadline of the timer that fired last
};

static void item_fire(struct timer *timer, void *ctx, usec_t now)
{
    struct world *world = ctx;
    struct item *item = (struct item *)(void *)timer;
    assert_false(timer_armed(timer));
    assert_true(timer->at <= now);
    assert_true(timer->at >= world->last); // in order
    assert_true(item->model == timer->at);
    world->last = timer->at;
    item->model = USEC_NEVER;
    item->fired++;
}

static void check_heap(const struct world *world)
{
    usec_t first = USEC_NEVER;
    size_t count = 0;
    for (size_t i = 0; i < TIMERS; i++) {
        const struct item *item = &world->item[i];
        assert_int_equal(timer_armed(&item->timer), item->model != USEC_NEVER);
        count += item->model != USEC_NEVER;
        if (item->model < first)
            first = item->model;
    }
    assert_int_equal(world->timers.count, count);
    assert_true(timers_next(&world->timers) == first);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(world->timers.heap[i]->place, i + 1);
        assert_true(i == 0 || world->timers.heap[(i - 1) / 2]->at <= world->timers.heap[i]->at);
    }
}

static void behaves_like_the_model(void **state)
{
    struct world *world = calloc(1, sizeof *world);
    uint64_t seed = 3;
    usec_t now = 1000;
    unsigned fired = 0;
    for (size_t i = 0; i < TIMERS; i++) {
        world->item[i].timer.fire = item_fire;
        world->item[i].model = USEC_NEVER;
    }
    for (int step = 0; step < 10000; step++) {
        struct item *item = &world->item[random_below(&seed, TIMERS)];
        switch (random_below(&seed, 8)) {
        case 0:
            timer_cancel(&world->timers, &item->timer);
            item->model = USEC_NEVER;
            break;
        case 1:
            now += random_below(&seed, 300);
            world->last = 0;
            assert_true(timers_run(&world->timers, world, now) > now);
            break;
        default: // coarse deadlines, so that many are equal
            item->model = now + random_below(&seed, 50) * 100;
            assert_int_equal(timer_arm(&world->timers, &item->timer, item->model), 0);
        }
        check_heap(world);
    }
    for (size_t i = 0; i < TIMERS; i++)
        fired += world->item[i].fired;
    assert_in_range(fired, 1000, 10000);
    timers_free(&world->timers);
    for (size_t i = 0; i < TIMERS; i++)
        assert_false(timer_armed(&world->item[i].timer));
    free(world);
}

struct pair {
    struct timers *timers;
    struct timer *other;
    unsigned fired;
};

static void cancels_other(struct timer *timer, void *ctx, usec_t now)
{
    struct pair *pair = ctx;
    pair->fired++;
    timer_cancel(pair->timers, pair->other);
}

static void must_not_fire(struct timer *timer, void *ctx, usec_t now)
{
    fail_msg("a cancelled timer fired");
}

static void cancels_a_due_timer(void **state)
{
    struct timers timers = {0};
    struct timer first = {.fire = cancels_other}, second = {.fire = must_not_fire};
    struct pair pair = {.timers = &timers, .other = &second};
    assert_int_equal(timer_arm(&timers, &first, 10), 0);
    assert_int_equal(timer_arm(&timers, &second, 11), 0);
    assert_true(timers_run(&timers, &pair, 20) == USEC_NEVER);
    assert_int_equal(pair.fired, 1);
    timers_free(&timers);
}

static void arms_itself(struct timer *timer, void *ctx, usec_t now)
{
    struct pair *pair = ctx;
    pair->fired++;
    assert_int_equal(timer_arm(pair->timers, timer, timer->at + 10), 0);
}

static void arms_itself_again(void **state)
{
    struct timers timers = {0};
    struct timer timer = {.fire = arms_itself};
    struct pair pair = {.timers = &timers};
    assert_int_equal(timer_arm(&timers, &timer, 10), 0);
    assert_true(timers_run(&timers, &pair, 9) == 10);
    assert_int_equal(pair.fired, 0);
    assert_true(timers_run(&timers, &pair, 45) == 50); // 10, 20, 30, 40
    assert_int_equal(pair.fired, 4);
    timers_free(&timers);
    assert_true(timers_next(&timers) == USEC_NEVER);
}

static void reserves(void **state)
{
    struct timers timers = {0};
    struct timer timer[100] = {0};
    assert_int_equal(timers_reserve(&timers, 100), 0);
    struct timer **heap = timers.heap;
    for (size_t i = 0; i < 100; i++)
        assert_int_equal(timer_arm(&timers, &timer[i], 100 - i), 0);
    assert_ptr_equal(timers.heap, heap); // nothing was allocated
    assert_int_equal(timers_reserve(&timers, 5), 0);
    assert_int_equal(timers.size, 100);
    assert_true(timers_next(&timers) == 1);
    timer_cancel(&timers, &timer[99]);
    timer_cancel(&timers, &timer[99]);
    assert_true(timers_next(&timers) == 2);
    timers_free(&timers);
    timers_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(behaves_like_the_model),
        cmocka_unit_test(cancels_a_due_timer),
        cmocka_unit_test(arms_itself_again),
        cmocka_unit_test(reserves),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
