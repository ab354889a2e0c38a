// SPDX-License-Identifier: ISC
// The forwarding threads: each has its own loop, sockets, core and counters. A call lives on one of
// them. Orders go in and events come out by message, so that no lock is on the packet path.
#pragma once

#include "base/counter.h"
#include "relay/relay.h"

#include <event2/event.h>

struct workers;

struct workers_handler {
    void *ctx;
    void (*event)(void *ctx, const struct relay_event *event); // in the thread of 'base'
};

// 'relay' is the configuration of each core but for its share of the ports. Returns 0 or -errno.
int workers_new(struct event_base *base, const struct relay_config *relay, unsigned count,
                const struct workers_handler *handler, struct workers **ret_workers);
void workers_free(struct workers *workers); // stops the threads; events that wait are dropped

// To the worker that the call lives on; a snapshot of call 0 goes to all of them. Returns 0 or
// -ENOMEM.
int workers_order(struct workers *workers, const struct order *order);
unsigned workers_count(const struct workers *workers);
const struct counters *workers_counters(const struct workers *workers, unsigned worker);
