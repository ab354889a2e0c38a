// SPDX-License-Identifier: ISC
// Deadlines on virtual time: a binary heap of intrusive timers. The owner arms them, asks for the
// earliest deadline, and fires what is due; nothing here reads a clock.
#pragma once

#include "base/usec.h"

#include <stdbool.h>
#include <stddef.h>

struct timer {
    usec_t at;
    size_t place; // heap index + 1; 0 while not armed. Zeroed memory is a timer that is not armed.
    void (*fire)(struct timer *timer, void *ctx, usec_t now);
};

struct timers {
    struct timer **heap;
    size_t count;
    size_t size;
};

void timers_free(struct timers *timers);
// Makes room so that 'count' armed timers can never fail. Returns 0 or -ENOMEM.
int timers_reserve(struct timers *timers, size_t count);
// Arms or moves. Returns 0 or -ENOMEM (never for a timer that is already armed).
int timer_arm(struct timers *timers, struct timer *timer, usec_t at);
void timer_cancel(struct timers *timers, struct timer *timer); // harmless if not armed
bool timer_armed(const struct timer *timer);
// Fires every timer due at 'now', each disarmed before its call, with 'ctx'. Returns the next
// deadline or USEC_NEVER.
usec_t timers_run(struct timers *timers, void *ctx, usec_t now);
usec_t timers_next(const struct timers *timers);
