// SPDX-License-Identifier: ISC
// The daemon under its administrator: what the verbs (verbs.h) do to the parts of the daemon, and
// the control socket through which they are asked for.
#pragma once

#include "admission.h"
#include "config.h"
#include "control.h"
#include "drain.h"
#include "inquiry.h"
#include "reload.h"
#include "signal/signal.h"
#include "workers.h"

#include <event2/event.h>
#include <stdatomic.h>

struct admin;

// The daemon; all borrowed.
struct admin_parts {
    struct event_base *base;
    const struct config *config;
    struct workers *workers;
    struct signal *signal;
    struct inquiry *inquiry;
    struct questions *questions;
    struct reload *reload;
    struct drain_history *history;
    atomic_bool *draining;     // while it is true new TURN allocations are refused
    struct counters *counters; // of the main thread
    void *ctx;
    json_t *(*status)(void *ctx);                 // a new reference; NULL: no memory
    json_t *(*facts)(void *ctx);                  // the same
    void (*changed)(void *ctx);                   // calls were ended: their time is due
    void (*drained)(void *ctx);                   // the last call is over: end
    void (*hand_over)(void *ctx, int connection); // takes the descriptor; NULL: no
};

// A control socket that cannot be opened is no error, but said. Returns 0 or -ENOMEM.
int admin_new(const struct admin_parts *parts, struct admin **ret_admin);
void admin_free(struct admin *admin); // before the inquiry; NULL is fine. Another may be made

// New calls and allocations are refused from now on, and drained() is called when the last is over.
void admin_drain(struct admin *admin);
unsigned admin_allocations(const struct admin *admin); // of TURN, now
// A worker has answered (workers_handler.done).
void admin_done(struct admin *admin, uint64_t token, int result);
