// SPDX-License-Identifier: ISC
// The timer heap: a binary min-heap by deadline in which every timer knows its place, so that
// moving and cancelling cost as little as firing.
#include "base/timer.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>

#define TIMERS_FIRST_SIZE 16

void timers_free(struct timers *timers)
{
    if (!timers)
        return;
    for (size_t i = 0; i < timers->count; i++)
        timers->heap[i]->place = 0;
    free(timers->heap);
    *timers = (struct timers){0};
}

int timers_reserve(struct timers *timers, size_t count)
{
    if (count <= timers->size)
        return 0;
    struct timer **heap = reallocarray(timers->heap, count, sizeof(struct timer *));
    if (!heap)
        return -ENOMEM;
    timers->heap = heap;
    timers->size = count;
    return 0;
}

static void put(struct timers *timers, size_t i, struct timer *timer)
{
    timers->heap[i] = timer;
    timer->place = i + 1;
}

// Moves the hole at i upwards until 'timer' fits into it.
static void sift_up(struct timers *timers, size_t i, struct timer *timer)
{
    while (i > 0) {
        size_t parent = (i - 1) / 2;
        if (timers->heap[parent]->at <= timer->at)
            break;
        put(timers, i, timers->heap[parent]);
        i = parent;
    }
    put(timers, i, timer);
}

static void sift_down(struct timers *timers, size_t i, struct timer *timer)
{
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= timers->count)
            break;
        if (child + 1 < timers->count && timers->heap[child + 1]->at < timers->heap[child]->at)
            child++;
        if (timer->at <= timers->heap[child]->at)
            break;
        put(timers, i, timers->heap[child]);
        i = child;
    }
    put(timers, i, timer);
}

// 'timer' goes to place i, where its neighbours may be earlier or later.
static void sift(struct timers *timers, size_t i, struct timer *timer)
{
    if (i > 0 && timer->at < timers->heap[(i - 1) / 2]->at)
        sift_up(timers, i, timer);
    else
        sift_down(timers, i, timer);
}

int timer_arm(struct timers *timers, struct timer *timer, usec_t at)
{
    if (!timer->place) {
        if (timers->count == timers->size) {
            size_t more = timers->size ? timers->size * 2 : TIMERS_FIRST_SIZE;
            int rc = timers_reserve(timers, more);
            if (rc < 0)
                return rc;
        }
        timer->at = at;
        sift_up(timers, timers->count++, timer);
        return 0;
    }
    timer->at = at;
    sift(timers, timer->place - 1, timer);
    return 0;
}

void timer_cancel(struct timers *timers, struct timer *timer)
{
    if (!timer->place)
        return;
    size_t hole = timer->place - 1;
    timer->place = 0;
    struct timer *last = timers->heap[--timers->count];
    if (last != timer)
        sift(timers, hole, last);
}

bool timer_armed(const struct timer *timer)
{
    return timer->place != 0;
}

usec_t timers_run(struct timers *timers, void *ctx, usec_t now)
{
    while (timers->count > 0 && timers->heap[0]->at <= now) {
        struct timer *due = timers->heap[0];
        timer_cancel(timers, due);
        due->fire(due, ctx, now);
    }
    return timers_next(timers);
}

usec_t timers_next(const struct timers *timers)
{
    return timers->count > 0 ? timers->heap[0]->at : USEC_NEVER;
}
