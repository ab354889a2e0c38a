// SPDX-License-Identifier: ISC
// bpf(2) by way of libbpf; see fastpath_kernel.h. What libbpf 1.1 does not know of is said to the
// kernel directly.
#include "fastpath_kernel.h"

#include "fastpath.skel.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

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

int fast_kernel_renew(const struct fast_kernel *kernel, const struct fast_key *key,
                      const struct fast_flow *flow)
{
    return bpf_map_update_elem(kernel->flows, key, flow, BPF_EXIST | BPF_F_LOCK);
}

int fast_kernel_order(const struct fast_kernel *kernel, const struct fast_key *key,
                      const struct fast_rule *rule)
{
    struct fast_order order = {.key = *key, .rule = *rule};
    struct bpf_test_run_opts run = {
        .sz = sizeof run, .data_in = &order, .data_size_in = sizeof order};
    int rc = bpf_prog_test_run_opts(kernel->order, &run);

    if (rc < 0)
        return rc;
    return run.retval == 1 ? 0 : -ENOENT;
}

int fast_kernel_read(const struct fast_kernel *kernel, const struct fast_key *key,
                     struct fast_flow *ret_flow)
{
    return bpf_map_lookup_elem_flags(kernel->flows, key, ret_flow, BPF_F_LOCK);
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
