// SPDX-License-Identifier: ISC
// In place of the fast path where it could not be built: without clang, bpftool or libbpf.
#include "platform/fastpath.h"

#include <errno.h>
#include <string.h>

int fastpath_new(struct event_base *base, const struct fastpath_config *config,
                 struct fastpath **ret_fastpath, const char **ret_reason)
{
    (void)base;
    (void)config;
    (void)ret_fastpath;
    *ret_reason = "built without it";
    return -EOPNOTSUPP;
}

void fastpath_free(struct fastpath *fastpath)
{
    (void)fastpath;
}

struct offload_io fastpath_io(struct fastpath *fastpath)
{
    return (struct offload_io){.ctx = fastpath};
}

unsigned fastpath_interfaces(const struct fastpath *fastpath)
{
    (void)fastpath;
    return 0;
}

void fastpath_totals(const struct fastpath *fastpath, struct fastpath_totals *ret_totals)
{
    (void)fastpath;
    memset(ret_totals, 0, sizeof *ret_totals);
}
