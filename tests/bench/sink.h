// SPDX-License-Identifier: ISC
// What the load generator and its sink in the kernel agree upon: the mark in each packet, and the
// figures of what arrived. Compiled for both.
#pragma once

#include <linux/types.h>

#define SINK_MAGIC 0x6a72626bu

enum {
    SINK_FLOWS_MAX = 16384,
    SINK_CPUS = 8,     // a power of two
    SINK_STEPS = 1024, // of latency, as in media.h: logarithmic, 32 per octave
    SINK_RTP_HEADER = 12,
};

// What stands behind the RTP header.
struct sink_mark {
    __u64 sent_at; // CLOCK_MONOTONIC, ns
    __u32 run;
    __u32 magic;
    __u32 flow;
} __attribute__((packed));

// Of one side; each core that receives has figures of its own.
struct sink_figures {
    __u32 run;                  // packets of other runs are dropped uncounted
    __u32 seen[SINK_FLOWS_MAX]; // the last run in which the flow had a packet
    struct {
        __u64 received;
        __u64 step[SINK_STEPS];
    } cpu[SINK_CPUS];
};
