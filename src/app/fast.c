// SPDX-License-Identifier: ISC
// See fast.h.
#include "fast.h"

#include "base/log_kind.h"

#include <string.h>

#define FLOWS_MAX (1u << 18)

static void say_missing(const struct config *config, const char *reason, int error)
{
    enum log_level level =
        config->relay.fastpath == CONFIG_FASTPATH_ON ? LOG_LEVEL_WARNING : LOG_LEVEL_INFO;

    log_kind_write_at(LOG_FASTPATH_OFF, level, NULL, 0, "the kernel forwards nothing: %s (%s)",
                      reason, strerror(-error));
}

struct fastpath *fast_start(struct event_base *base, const struct config *config)
{
    struct addr local[2];
    struct fastpath_config own = {.flows_max = FLOWS_MAX, .local = local};
    struct fastpath *fastpath;
    const char *reason = "out of memory";
    int r;

    if (config->relay.fastpath == CONFIG_FASTPATH_OFF)
        return NULL;
    for (unsigned f = 0; f < 2; f++) {
        if (config->relay.address[f].addr.family != FAMILY_NONE)
            local[own.locals++] = config->relay.address[f].addr;
    }
    r = fastpath_new(base, &own, &fastpath, &reason);
    if (r < 0) {
        say_missing(config, reason, r);
        return NULL;
    }
    log_kind(LOG_FASTPATH_ON, "the kernel forwards established flows, on %u interfaces",
             fastpath_interfaces(fastpath));
    return fastpath;
}

void fast_count(const struct fastpath *fastpath, struct counters *counters)
{
    static const enum counter passed[FASTPATH_PASSED_COUNT] = {
        [FASTPATH_KIND] = COUNTER_FASTPATH_KIND,
        [FASTPATH_FRAGMENT] = COUNTER_FASTPATH_FRAGMENT,
        [FASTPATH_LENGTH] = COUNTER_FASTPATH_LENGTH,
        [FASTPATH_MTU] = COUNTER_FASTPATH_MTU,
        [FASTPATH_CHECKSUM] = COUNTER_FASTPATH_CHECKSUM,
        [FASTPATH_TRAIN] = COUNTER_FASTPATH_TRAIN,
        [FASTPATH_EXPIRED] = COUNTER_FASTPATH_EXPIRED,
        [FASTPATH_ROUTE] = COUNTER_FASTPATH_ROUTE,
        [FASTPATH_BUSY] = COUNTER_FASTPATH_BUSY,
    };
    struct fastpath_totals totals;

    if (!fastpath)
        return;
    fastpath_totals(fastpath, &totals);
    counter_set(counters, COUNTER_FASTPATH_ON, 1);
    counter_set(counters, COUNTER_FASTPATH_INTERFACES, fastpath_interfaces(fastpath));
    counter_set(counters, COUNTER_FASTPATH_PACKETS, totals.packets);
    counter_set(counters, COUNTER_FASTPATH_BYTES, totals.bytes);
    counter_set(counters, COUNTER_FASTPATH_LIMITED, totals.limited);
    for (unsigned i = 0; i < FASTPATH_PASSED_COUNT; i++)
        counter_set(counters, passed[i], totals.passed[i]);
}
