// SPDX-License-Identifier: ISC
// The flows that were asked for, as the loader remembers them beside the kernel's map: where each
// was to go, so that its way out can be found anew; and those taken back, whose places in the map
// are given up only when no packet can hold on to them. Private to the fast path; the caller locks.
#pragma once

#include "fastpath_kernel.h"
#include "fastpath_net.h"

#include "base/map.h"

#include <sys/queue.h>

struct flow_group {
    struct map_node node;
    uint64_t id;     // the core's
    uint64_t number; // the kernel's
    uint64_t rate;
    unsigned flows;
};

struct flow {
    struct map_node node;
    TAILQ_ENTRY(flow) entry; // of live or of dead
    struct fast_key key;
    struct fast_rule rule;
    struct addr leave, to;
    struct flow_group *group; // borrowed; counted in its 'flows'
    unsigned resolved;        // the generation in which its way out was found
    bool live;
    usec_t taken; // when it was taken back; 0: never, or live again
};

TAILQ_HEAD(flow_list, flow);

struct flow_table {
    const struct fast_kernel *kernel; // borrowed
    struct map flows, groups;         // own them
    struct flow_list live, dead;
    unsigned max, count; // live ones
    uint64_t next_group;
    unsigned generation; // of ways out
    struct net_links links;
    int ask; // descriptor; owned
};

// Returns 0 or -errno. 'kernel' is borrowed until flow_table_free().
int flow_table_init(struct flow_table *table, const struct fast_kernel *kernel, unsigned max);
void flow_table_free(struct flow_table *table);

// As in struct offload_io.
int flow_put(struct flow_table *table, const struct offload_flow *wanted,
             const struct rtp_quality *quality, unsigned qualities, usec_t now);
int flow_take(struct flow_table *table, const struct offload_flow *wanted,
              struct offload_report *ret_report, usec_t now);
int flow_read(const struct fast_kernel *kernel, const struct offload_flow *wanted,
              struct offload_report *ret_report);

// Something has changed: interfaces are read anew and all ways out are old. Returns 0 or -errno.
int flow_ways_changed(struct flow_table *table);
// Finds up to 'most' old ways anew. Returns false when there are no more.
bool flow_ways_renew(struct flow_table *table, unsigned most);
// Gives up the places of flows that were taken back a while ago.
void flow_bury(struct flow_table *table, usec_t now);
