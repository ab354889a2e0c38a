// SPDX-License-Identifier: ISC
// The kernel's side of the fast path: the program, its maps, its links. All of it hangs on
// descriptors of this process and goes with them. Private to the fast path.
#pragma once

#include "bpf/fastpath_map.h"

#include <stdbool.h>

struct fastpath_bpf;

struct fast_kernel {                                   // any thread may use what has been loaded
    struct fastpath_bpf *skeleton;                     // owned
    int flows, limits, totals, passed, forward, order; // descriptors
    unsigned processors;
};

// Returns 0 or -errno, and then why in a few words.
int fast_kernel_load(struct fast_kernel *kernel, unsigned flows_max, const char **ret_reason);
void fast_kernel_unload(struct fast_kernel *kernel);

// Returns a descriptor, which is the link, or -errno: -EINVAL before Linux 6.6.
int fast_kernel_attach(const struct fast_kernel *kernel, int ifindex);

// All return 0 or -errno. A new flow has the figures that are given; replaced by 'renew', too.
int fast_kernel_insert(const struct fast_kernel *kernel, const struct fast_key *key,
                       const struct fast_flow *flow);
int fast_kernel_renew(const struct fast_kernel *kernel, const struct fast_key *key,
                      const struct fast_flow *flow);
// Another rule for a flow, whose figures stay.
int fast_kernel_order(const struct fast_kernel *kernel, const struct fast_key *key,
                      const struct fast_rule *rule);
int fast_kernel_read(const struct fast_kernel *kernel, const struct fast_key *key,
                     struct fast_flow *ret_flow);
// Only when no packet can have found it any more: its memory is used again at once.
int fast_kernel_delete(const struct fast_kernel *kernel, const struct fast_key *key);

int fast_kernel_limit(const struct fast_kernel *kernel, uint64_t group,
                      const struct fast_limit *limit);
int fast_kernel_unlimit(const struct fast_kernel *kernel, uint64_t group);
int fast_kernel_totals(const struct fast_kernel *kernel, struct fast_totals *ret_totals);
int fast_kernel_passed(const struct fast_kernel *kernel, enum fastpath_passed why,
                       uint64_t *ret_count);
