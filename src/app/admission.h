// SPDX-License-Identifier: ISC
// Whether the daemon takes one more call, or one more TURN allocation: measures, asks capacity.h,
// says in the log when it begins and ceases to refuse, and shows the room that there is.
//
// It measures when it is asked, at most four times a second, and by a timer while there are calls
// or allocations: once a second under load, seldom without, so that silent calls wake nobody up.
#pragma once

#include "base/counter.h"
#include "capacity.h"
#include "workers.h"

#include <event2/event.h>

struct admission;

// Until admission_watch() everything is admitted. Returns 0 or -ENOMEM.
int admission_new(struct event_base *base, const struct capacity_limits *limits,
                  struct admission **ret_admission);
// Whom to measure; borrowed. Once everything that is open without a call is open. 'counters' are
// the main thread's.
void admission_watch(struct admission *admission, struct workers *workers,
                     struct counters *counters, usec_t now);
struct admission_totals { // since the beginning
    uint64_t packets;
    uint64_t packets_of_turn; // of 'packets'
    uint64_t bytes;           // of payload
};

// What is forwarded without the workers. Before admission_watch(); called from any thread.
typedef void (*admission_forwarded)(void *ctx, struct admission_totals *ret_totals);
void admission_count(struct admission *admission, admission_forwarded forwarded, void *ctx);
// Other limits from now on; what was measured stays. In the main thread.
void admission_set_limits(struct admission *admission, const struct capacity_limits *limits);
void admission_free(struct admission *admission); // after the workers; NULL is fine

// CAPACITY_RESOURCES: there is room for one; else what there is too little of. Any thread may ask.
enum capacity_resource admission_ask(struct admission *admission, enum capacity_kind kind,
                                     usec_t now);

struct admission_view {
    struct capacity_room room[CAPACITY_KINDS];
    double load, ceiling; // of a worker's time
    double bandwidth;     // bytes per second
};

// What is shown; the gauges are written as well. In the main thread.
struct admission_view admission_view(struct admission *admission, usec_t now);
