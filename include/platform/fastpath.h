// SPDX-License-Identifier: ISC
// The kernel's fast path: a TC eBPF program (TCX links, Linux 6.6) on the interfaces that carry the
// relay's addresses, and its map of flows. Links and maps belong to this process: when it ends, by
// whatever signal, nothing of them stays. One struct fastpath for all workers; put, read and take
// of its offload_io may be called from any thread.
#pragma once

#include "base/addr.h"
#include "base/counter.h"
#include "platform/fastpath_passed.h"
#include "relay/offload.h"

#include <event2/event.h>
#include <stdbool.h>

struct fastpath;

struct fastpath_config {
    unsigned flows_max;       // two per path; memory is taken as they come
    const struct addr *local; // addresses whose interfaces are served; borrowed during the call
    unsigned locals;
};

struct fastpath_totals {      // since it was started
    uint64_t packets, bytes;  // forwarded
    uint64_t packets_of_turn; // of 'packets'
    uint64_t limited;         // dropped for a limit's sake
    // Of known flows, left to the core.
    uint64_t passed[FASTPATH_PASSED_COUNT];
};

// Watches routes and interfaces on 'base'. Returns 0 or -errno, and then ret_reason says in a few
// words, static, why this machine has no fast path: "built without it", "needs CAP_BPF and
// CAP_NET_ADMIN", "needs Linux 6.6", ...
int fastpath_new(struct event_base *base, const struct fastpath_config *config,
                 struct fastpath **ret_fastpath, const char **ret_reason);
void fastpath_free(struct fastpath *fastpath);
struct offload_io fastpath_io(struct fastpath *fastpath);
unsigned fastpath_interfaces(const struct fastpath *fastpath); // served at present
void fastpath_totals(const struct fastpath *fastpath, struct fastpath_totals *ret_totals);
