// SPDX-License-Identifier: ISC
// RLIMIT_NOFILE; see descriptors.h.
#include "descriptors.h"

#include "base/log_kind.h"

#include <stdint.h>
#include <sys/resource.h>

void descriptors_allow(unsigned long wanted)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur >= wanted)
        return;
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_max < wanted)
        log_kind(LOG_NO_DESCRIPTORS,
                 "at most %ju descriptors are allowed, relay.ports and limits.connections may need "
                 "%ju: raise LimitNOFILE",
                 (uintmax_t)limit.rlim_max, (uintmax_t)wanted);
}
