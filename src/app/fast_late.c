// SPDX-License-Identifier: ISC
// See fast_late.h. Workers see the fast path as soon as it is there, and it stays as long as they.
#include "fast_late.h"

#include <errno.h>

static int put(void *ctx, const struct offload_flow *flow, const struct rtp_quality *quality,
               unsigned qualities)
{
    struct fastpath *target = atomic_load(&((struct fast_late *)ctx)->target);
    const struct offload_io io = target ? fastpath_io(target) : (struct offload_io){0};

    return target ? io.put(io.ctx, flow, quality, qualities) : -EOPNOTSUPP;
}

static int read_flow(void *ctx, const struct offload_flow *flow, struct offload_report *ret_report)
{
    struct fastpath *target = atomic_load(&((struct fast_late *)ctx)->target);
    const struct offload_io io = target ? fastpath_io(target) : (struct offload_io){0};

    return target ? io.read(io.ctx, flow, ret_report) : -ENOENT;
}

static int take(void *ctx, const struct offload_flow *flow, struct offload_report *ret_report)
{
    struct fastpath *target = atomic_load(&((struct fast_late *)ctx)->target);
    const struct offload_io io = target ? fastpath_io(target) : (struct offload_io){0};

    return target ? io.take(io.ctx, flow, ret_report) : -ENOENT;
}

struct offload_io fast_late_io(struct fast_late *late)
{
    return (struct offload_io){.ctx = late, .put = put, .read = read_flow, .take = take};
}

void fast_late_bind(struct fast_late *late, struct fastpath *fastpath)
{
    atomic_store(&late->target, fastpath);
}

void fast_late_forwarded(void *late, struct admission_totals *ret_totals)
{
    struct fastpath *target = atomic_load(&((struct fast_late *)late)->target);
    struct fastpath_totals totals = {0};

    if (target)
        fastpath_totals(target, &totals);
    *ret_totals = (struct admission_totals){.packets = totals.packets,
                                            .packets_of_turn = totals.packets_of_turn,
                                            .bytes = totals.bytes};
}
