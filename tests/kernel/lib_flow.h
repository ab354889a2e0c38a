// SPDX-License-Identifier: ISC
// The fast path in the lab, and flows from A to B to try it with.
#pragma once

#include "lib_lab.h"
#include "platform/fastpath.h"

struct bench {
    struct lab lab;
    struct event_base *base;
    struct fastpath *fastpath;
    struct offload_io io;
};

// Group fixtures; the state is a struct bench.
int open_bench(void **state);
int close_bench(void **state);
// Lets the loop do what is due, for so long.
void bench_run(struct bench *bench, int msec);

// From A to B; of Jingle media, unless it takes or puts on the header of a channel. Neither end is
// there.
struct offload_flow flow_of(enum family from, enum family to, uint16_t channel_in,
                            uint16_t channel_out);
struct offload_flow flow_v4(void);

struct datagram packet_of(const struct offload_flow *flow, const void *payload, size_t len);
// A payload of 'len', in ChannelData or RTP if the flow wants it.
struct datagram packet_for(const struct offload_flow *flow, size_t len);
// What leaves is what came in, as the flow changes it.
void expect(const struct offload_flow *flow, const struct datagram *in, const struct datagram *out);
// Sends a packet of the flow from A, that is forwarded to B.
void forwards(struct bench *bench, const struct offload_flow *flow);

void put(struct bench *bench, const struct offload_flow *flow);
struct offload_report take(struct bench *bench, const struct offload_flow *flow);

// Sends a frame from A that must not be forwarded, and says for which of the reasons it was not;
// FASTPATH_PASSED_COUNT: it was of no flow.
enum fastpath_passed passed(struct bench *bench, const uint8_t *frame, size_t len);
enum fastpath_passed passed_datagram(struct bench *bench, const struct datagram *d);
