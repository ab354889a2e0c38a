// SPDX-License-Identifier: ISC
// bpf(2) by way of libbpf; see fastpath_kernel.h. What libbpf 1.1 does not know of is said to the
// kernel directly.
#include "fastpath_kernel.h"

#include "fastpath.skel.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { BUSY_TRIES = 100000 }; // more than a processor that is away for some milliseconds needs

#define BPF_TCX_INGRESS_TYPE 46 // Linux 6.6, enum bpf_attach_type

// bpf(BPF_LINK_CREATE) as Linux 6.6 has it for TCX.
struct tcx_link_create {
    uint32_t prog_fd, target_ifindex, attach_type, flags;
    uint32_t relative_fd, unused;
    uint64_t expected_revision;
};

static int quiet(enum libbpf_print_level level, const char *format, va_list args)
{
    (void)level;
    (void)format;
    (void)args;
    return 0;
}

static const char *why_not(int error)
{
    switch (error) {
    case -EPERM:
    case -EACCES:
        return "needs CAP_BPF and CAP_NET_ADMIN";
    case -ENOSYS:
        return "the kernel has no eBPF";
    case -ENOMEM:
        return "out of memory";
    default:
        return "the kernel did not take the program";
    }
}

static int load(struct fast_kernel *kernel, unsigned flows_max)
{
    struct fastpath_bpf *s = fastpath_bpf__open();
    int rc;

    if (!s)
        return -errno;
    kernel->skeleton = s;
    // Flows that were taken back stay for a moment, so there is room for twice as many.
    rc = bpf_map__set_max_entries(s->maps.flows, 2 * flows_max);
    if (rc == 0)
        rc = bpf_map__set_max_entries(s->maps.limits, flows_max);
    if (rc == 0)
        rc = fastpath_bpf__load(s);
    if (rc < 0)
        return rc;
    kernel->flows = bpf_map__fd(s->maps.flows);
    kernel->limits = bpf_map__fd(s->maps.limits);
    kernel->totals = bpf_map__fd(s->maps.totals);
    kernel->passed = bpf_map__fd(s->maps.passed);
    kernel->forward = bpf_program__fd(s->progs.forward);
    kernel->order = bpf_program__fd(s->progs.order);
    rc = libbpf_num_possible_cpus();
    if (rc < 0)
        return rc;
    kernel->processors = (unsigned)rc;
    return 0;
}

int fast_kernel_load(struct fast_kernel *kernel, unsigned flows_max, const char **ret_reason)
{
    libbpf_print_fn_t before = libbpf_set_print(quiet); // the reason is said in another place
    int rc;

    *kernel = (struct fast_kernel){0};
    rc = load(kernel, flows_max);
    (void)libbpf_set_print(before);
    if (rc < 0) {
        fast_kernel_unload(kernel);
        *ret_reason = why_not(rc);
    }
    return rc;
}

void fast_kernel_unload(struct fast_kernel *kernel)
{
    fastpath_bpf__destroy(kernel->skeleton);
    *kernel = (struct fast_kernel){0};
}

int fast_kernel_attach(const struct fast_kernel *kernel, int ifindex)
{
    struct tcx_link_create create = {
        .prog_fd = (uint32_t)kernel->forward,
        .target_ifindex = (uint32_t)ifindex,
        .attach_type = BPF_TCX_INGRESS_TYPE,
    };
    long fd = syscall(SYS_bpf, BPF_LINK_CREATE, &create, sizeof create);

    return fd < 0 ? -errno : (int)fd;
}

int fast_kernel_insert(const struct fast_kernel *kernel, const struct fast_key *key,
                       const struct fast_flow *flow)
{
    int rc = bpf_map_update_elem(kernel->flows, key, flow, BPF_NOEXIST);

    return rc == -E2BIG ? -ENOSPC : rc;
}

// The flow may be another processor's at the moment, for less than a microsecond as a rule.
static int run_order(const struct fast_kernel *kernel, struct fast_order *order)
{
    struct bpf_test_run_opts run = {
        .sz = sizeof run, .data_in = order, .data_size_in = sizeof *order};

    for (int i = 0; i < BUSY_TRIES; i++) {
        int rc = bpf_prog_test_run_opts(kernel->order, &run);
        if (rc < 0)
            return rc;
        if (run.retval != FAST_ORDER_BUSY)
            return run.retval == FAST_ORDER_DONE ? 0 : -ENOENT;
        sched_yield();
    }
    return -EBUSY;
}

int fast_kernel_renew(const struct fast_kernel *kernel, const struct fast_key *key,
                      const struct fast_flow *flow)
{
    struct fast_order order = {
        .key = *key, .anew = 1, .rule = flow->rule, .qualities = flow->qualities};

    memcpy(order.quality, flow->quality, sizeof order.quality);
    return run_order(kernel, &order);
}

int fast_kernel_order(const struct fast_kernel *kernel, const struct fast_key *key,
                      const struct fast_rule *rule)
{
    struct fast_order order = {.key = *key, .rule = *rule};

    return run_order(kernel, &order);
}

// The kernel copies without asking whose turn it is. What was read while a turn lasted from before
// its beginning until after its end is whole.
int fast_kernel_read(const struct fast_kernel *kernel, const struct fast_key *key,
                     struct fast_flow *ret_flow)
{
    struct fast_flow flow[3];
    int rc = 0;

    for (int i = 0; i < 2 && rc == 0; i++)
        rc = bpf_map_lookup_elem(kernel->flows, key, &flow[i]);
    for (int i = 2; i < BUSY_TRIES && rc == 0; i++) {
        rc = bpf_map_lookup_elem(kernel->flows, key, &flow[i % 3]);
        if (rc == 0 && flow[i % 3].turn == flow[(i + 1) % 3].turn && flow[i % 3].turn % 2 == 0) {
            *ret_flow = flow[(i + 2) % 3];
            return 0;
        }
        if (i % 64 == 0)
            sched_yield();
    }
    return rc < 0 ? rc : -EBUSY;
}

int fast_kernel_delete(const struct fast_kernel *kernel, const struct fast_key *key)
{
    return bpf_map_delete_elem(kernel->flows, key);
}

int fast_kernel_limit(const struct fast_kernel *kernel, uint64_t group,
                      const struct fast_limit *limit)
{
    int rc = bpf_map_update_elem(kernel->limits, &group, limit, BPF_ANY);

    return rc == -E2BIG ? -ENOSPC : rc;
}

int fast_kernel_unlimit(const struct fast_kernel *kernel, uint64_t group)
{
    return bpf_map_delete_elem(kernel->limits, &group);
}

int fast_kernel_totals(const struct fast_kernel *kernel, struct fast_totals *ret_totals)
{
    struct fast_totals *each = calloc(kernel->processors, sizeof *each);
    struct fast_totals sum = {0};
    uint32_t zero = 0;
    int rc = each ? bpf_map_lookup_elem(kernel->totals, &zero, each) : -ENOMEM;

    for (unsigned i = 0; rc == 0 && i < kernel->processors; i++) {
        sum.packets += each[i].packets;
        sum.bytes += each[i].bytes;
        sum.limited += each[i].limited;
        sum.packets_of_turn += each[i].packets_of_turn;
    }
    free(each);
    if (rc == 0)
        *ret_totals = sum;
    return rc;
}

int fast_kernel_passed(const struct fast_kernel *kernel, enum fastpath_passed why,
                       uint64_t *ret_count)
{
    uint64_t *each = calloc(kernel->processors, sizeof *each), sum = 0;
    uint32_t key = why;
    int rc = each ? bpf_map_lookup_elem(kernel->passed, &key, each) : -ENOMEM;

    for (unsigned i = 0; rc == 0 && i < kernel->processors; i++)
        sum += each[i];
    free(each);
    if (rc == 0)
        *ret_count = sum;
    return rc;
}
