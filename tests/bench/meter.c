// SPDX-License-Identifier: ISC
// Loading, attaching and reading a sink; see meter.h.
#include "meter.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

struct meter {
    struct bpf_object *object;
    struct bpf_tc_hook hook;
    struct sink_figures *figures; // shared with the kernel
    bool attached;
};

static int load(struct meter *meter, const char *path)
{
    struct bpf_map *map;
    void *at;

    meter->object = bpf_object__open_file(path, NULL);
    if (!meter->object)
        return -errno;
    if (bpf_object__load(meter->object) < 0)
        return -errno;
    map = bpf_object__find_map_by_name(meter->object, ".bss");
    if (!map || bpf_map__value_size(map) < sizeof *meter->figures)
        return -ENOENT;
    at =
        mmap(NULL, sizeof *meter->figures, PROT_READ | PROT_WRITE, MAP_SHARED, bpf_map__fd(map), 0);
    if (at == MAP_FAILED)
        return -errno;
    meter->figures = at;
    return 0;
}

static int attach(struct meter *meter, const char *device)
{
    struct bpf_program *program = bpf_object__find_program_by_name(meter->object, "sink");
    struct bpf_tc_opts options = {
        .sz = sizeof options, .handle = 1, .priority = 1, .flags = BPF_TC_F_REPLACE};
    int r;

    if (!program)
        return -ENOENT;
    options.prog_fd = bpf_program__fd(program);
    meter->hook = (struct bpf_tc_hook){.sz = sizeof meter->hook,
                                       .ifindex = (int)if_nametoindex(device),
                                       .attach_point = BPF_TC_INGRESS};
    r = bpf_tc_hook_create(&meter->hook);
    if (r == 0 || r == -EEXIST)
        r = bpf_tc_attach(&meter->hook, &options);
    meter->attached = r == 0;
    return r;
}

int meter_open(const char *object, const struct side_config *side, struct meter **ret_meter)
{
    struct meter *meter = calloc(1, sizeof *meter);
    int r;

    if (!meter)
        return -ENOMEM;
    r = side_enter(side);
    if (r == 0)
        r = load(meter, object);
    if (r == 0)
        r = attach(meter, side->device);
    if (r < 0) {
        meter_close(meter);
        return r;
    }
    *ret_meter = meter;
    return 0;
}

void meter_close(struct meter *meter)
{
    if (!meter)
        return;
    if (meter->attached) {
        struct bpf_tc_opts options = {.sz = sizeof options, .handle = 1, .priority = 1};

        (void)bpf_tc_detach(&meter->hook, &options);
    }
    if (meter->figures)
        munmap(meter->figures, sizeof *meter->figures);
    bpf_object__close(meter->object);
    free(meter);
}

void meter_begin(struct meter *meter, uint32_t run)
{
    memset(meter->figures->cpu, 0, sizeof meter->figures->cpu);
    __atomic_store_n(&meter->figures->run, run, __ATOMIC_RELEASE);
}

uint64_t meter_received(const struct meter *meter)
{
    uint64_t total = 0;

    for (unsigned cpu = 0; cpu < SINK_CPUS; cpu++)
        total += __atomic_load_n(&meter->figures->cpu[cpu].received, __ATOMIC_RELAXED);
    return total;
}

void meter_add_latencies(const struct meter *meter, struct latencies *latencies)
{
    for (unsigned cpu = 0; cpu < SINK_CPUS; cpu++)
        for (unsigned i = 0; i < SINK_STEPS; i++) {
            uint64_t count = meter->figures->cpu[cpu].step[i];

            latencies->step[i] += count;
            latencies->count += count;
        }
}

bool meter_seen(const struct meter *meter, uint32_t flow)
{
    return flow < SINK_FLOWS_MAX && meter->figures->seen[flow] == meter->figures->run;
}
