// SPDX-License-Identifier: ISC
// The sinks of both sides (sink.bpf.c): attached to the callers' ends of the veths, and read.
#pragma once

#include "frame.h"
#include "media.h"
#include "sink.h"

struct meter; // one side's sink

// 'object' is the compiled sink. Leaves the calling thread in the side's namespace. Returns 0 or
// -errno.
int meter_open(const char *object, const struct side_config *side, struct meter **ret_meter);
void meter_close(struct meter *meter); // in the side's namespace; the sink goes away with it

void meter_begin(struct meter *meter, uint32_t run); // counts the packets of that run from now on
uint64_t meter_received(const struct meter *meter);
void meter_add_latencies(const struct meter *meter, struct latencies *latencies);
bool meter_seen(const struct meter *meter, uint32_t flow); // whether it had a packet in this run
