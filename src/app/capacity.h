// SPDX-License-Identifier: ISC
// How many more calls there is room for, and what bounds it. A pure decision: measurements come in,
// and what is in use now; time is an argument.
//
// A call's cost is the mean of those that run, each resource by itself. What is measured (load,
// bandwidth) lags behind: calls of which nothing has been measured yet count with the mean, and
// before there is one with a guess. What was full counts as full until a tenth is free again, so
// that the answer does not swing with each call that ends.
//
// Load is believed at once when it rises, and slowly when it falls: a pause of those who talk is
// not room. Of the room that is left, half may be taken by calls that are not measured yet; the
// rest has to wait until they are. So a burst of calls stops short of the limit whatever they turn
// out to cost.
//
// TURN allocations are counted apart: a client makes many of which it uses one.
#pragma once

#include "base/usec.h"

#include <stdbool.h>
#include <stdint.h>

enum capacity_kind { CAPACITY_CALL, CAPACITY_ALLOCATION, CAPACITY_KINDS };

enum capacity_resource {
    CAPACITY_NUMBER,      // limits.calls, limits.allocations
    CAPACITY_LOAD,        // of the busiest worker or core, against limits.load
    CAPACITY_BANDWIDTH,   // what is sent, against limits.bandwidth
    CAPACITY_PORTS,       // of relay.ports
    CAPACITY_DESCRIPTORS, // RLIMIT_NOFILE
    CAPACITY_RESOURCES,   // "none": nothing bounds it
};

#define CAPACITY_UNBOUNDED 1000000 // room that nothing bounds

struct capacity_limits {
    unsigned number[CAPACITY_KINDS]; // 0: no limit
    double load;                     // share of a worker's time; 0: no limit
    double bandwidth;                // bytes per second; 0: no limit
    uint64_t descriptors;
    unsigned workers;
    unsigned ports_per_call; // a guess, for as long as no call runs
};

// What was measured since the last time.
struct capacity_sample {
    usec_t span;
    double load;              // share of the time in which the busiest one was not idle
    uint64_t bytes;           // sent
    uint64_t packets, missed; // received; lost before, in the kernel's queues or the sockets'
    uint64_t packets_of_turn; // of 'packets'
};

// What is in use now.
struct capacity_use {
    unsigned running[CAPACITY_KINDS];
    unsigned measured[CAPACITY_KINDS]; // of them: they carry what they will, or never will
    uint64_t ports_used, ports_free;
    uint64_t descriptors;
};

struct capacity_level { // smoothed
    double used;
    double measured[CAPACITY_KINDS]; // those that it was used by: smoothed alike
};

struct capacity {
    struct capacity_limits limits;
    struct capacity_level load, bandwidth;
    bool begun;             // something has been measured
    double background;      // of the load: what is there without calls, as far as known
    double packets, packet; // per second, smoothed as the load is; what one per second costs
    unsigned measured[CAPACITY_KINDS]; // at the end of a sample
    double throughout[CAPACITY_KINDS]; // in the middle of it
    double share[CAPACITY_KINDS];      // of the packets
    double ceiling;                    // of the load: lower than limits.load after losses
    bool full[CAPACITY_RESOURCES];     // of what is measured: until a tenth is free
};

struct capacity_room {
    unsigned of[CAPACITY_RESOURCES]; // CAPACITY_UNBOUNDED at most
    unsigned least;
    unsigned now;                 // of them: before it has been measured what these take
    enum capacity_resource bound; // CAPACITY_RESOURCES: nothing
};

void capacity_init(struct capacity *capacity, const struct capacity_limits *limits);
// Other limits, but for 'descriptors', which stay; and so does what was measured.
void capacity_set_limits(struct capacity *capacity, const struct capacity_limits *limits);
void capacity_measured(struct capacity *capacity, const struct capacity_sample *sample,
                       const struct capacity_use *use);
struct capacity_room capacity_room(struct capacity *capacity, enum capacity_kind kind,
                                   const struct capacity_use *use);
const char *
capacity_resource_name(enum capacity_resource resource); // as the metrics' labels have it
