// SPDX-License-Identifier: ISC
// See drain.h.
#include "drain.h"

#include <stdint.h>
#include <string.h>

void drain_note(struct drain_history *history, usec_t duration)
{
    history->duration[history->next] = duration;
    history->next = (history->next + 1) % DRAIN_SAMPLES;
    if (history->count < DRAIN_SAMPLES)
        history->count++;
}

// How many of the calls that lasted longer than 'age' were over after 'more'; of how many.
static double share_over(const struct drain_history *history, usec_t age, usec_t more)
{
    size_t longer = 0, over = 0;

    for (size_t i = 0; i < history->count; i++) {
        longer += history->duration[i] > age;
        over += history->duration[i] > age && history->duration[i] <= age + more;
    }
    if (longer == 0)
        return more >= age ? 1 : 0;
    return (double)over / (double)longer;
}

// That all of them are over after 'more'; they end independently of each other.
static double all_over(const struct drain_history *history, const usec_t *age, size_t calls,
                       usec_t more)
{
    double share = 1;

    for (size_t i = 0; i < calls && share > 0; i++)
        share *= share_over(history, age[i], more);
    return share;
}

static usec_t longest(const struct drain_history *history, const usec_t *age, size_t calls)
{
    usec_t most = 0;

    for (size_t i = 0; i < history->count; i++)
        most = history->duration[i] > most ? history->duration[i] : most;
    for (size_t i = 0; i < calls; i++)
        most = age[i] > most ? age[i] : most;
    return most;
}

// The shortest time after which the share is reached, to a second: it grows with time.
static usec_t time_of(const struct drain_history *history, const usec_t *age, size_t calls,
                      double share)
{
    usec_t low = 0, high = longest(history, age, calls);

    while (high - low > USEC_PER_SEC) {
        usec_t middle = low + (high - low) / 2;

        if (all_over(history, age, calls, middle) >= share)
            high = middle;
        else
            low = middle;
    }
    return high;
}

bool drain_estimate(const struct drain_history *history, const usec_t *age, size_t calls,
                    struct drain_estimate *ret_estimate)
{
    if (calls == 0) {
        *ret_estimate = (struct drain_estimate){0};
        return true;
    }
    if (history->count < DRAIN_LEAST)
        return false;
    ret_estimate->likely = time_of(history, age, calls, 0.5);
    ret_estimate->nearly_surely = time_of(history, age, calls, 0.9);
    return true;
}
