// SPDX-License-Identifier: ISC
// The daemon under its administrator: what the verbs (verbs.h) do to the parts of the daemon, and
// the control socket through which they are asked for.
#pragma once

#include "admission.h"
#include "config.h"
#include "control.h"
#include "fast.h"
#include "inquiry.h"
#include "signal/signal.h"
#include "workers.h"

#include <event2/event.h>

struct admin;

// The daemon; all borrowed.
struct admin_parts {
    struct event_base *base;
    struct config *config;
    struct admission *admission;
    struct workers *workers;
    struct signal *signal;
    struct inquiry *inquiry;
    struct counters *counters; // of the main thread
    usec_t started;
    void (*hand_over)(void *ctx, int connection); // takes the descriptor
    void *ctx;
};

// A control socket that cannot be opened is no error, but said. Returns 0 or -ENOMEM.
int admin_new(const struct admin_parts *parts, struct admin **ret_admin);
void admin_free(struct admin *admin); // after the inquiry; NULL is fine
