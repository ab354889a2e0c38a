// SPDX-License-Identifier: ISC
// Prometheus text out of the counter table; see obs/metrics.h.
#include "obs/metrics.h"

#include <inttypes.h>
#include <string.h>

#define PREFIX "jingle_relay_"

static void write_head(struct buf *out, const char *name, const char *type, const char *help)
{
    buf_printf(out, "# HELP " PREFIX "%s %s.\n# TYPE " PREFIX "%s %s\n", name, help, name, type);
}

static uint64_t sum(const struct metrics *metrics, enum counter id)
{
    uint64_t total = 0;
    size_t i;

    for (i = 0; i < metrics->slabs; i++)
        total += counter_get(metrics->slab[i], id);
    return total;
}

static void write_counters(const struct metrics *metrics, struct buf *out)
{
    const char *last = "";

    for (int i = 0; i < COUNTER_COUNT; i++) {
        const struct counter_row *row = &counter_rows[i];

        if (strcmp(row->name, last) != 0)
            write_head(out, row->name, row->type == COUNTER_TYPE_GAUGE ? "gauge" : "counter",
                       row->help);
        last = row->name;
        buf_printf(out, PREFIX "%s%s%s%s %" PRIu64 "\n", row->name, *row->labels ? "{" : "",
                   row->labels, *row->labels ? "}" : "", sum(metrics, (enum counter)i));
    }
}

static void write_histogram(const struct histogram *h, const char *name, const char *help,
                            struct buf *out)
{
    uint64_t total = 0;

    write_head(out, name, "histogram", help);
    for (int i = 0; i < HISTOGRAM_BUCKETS; i++) {
        total += h->bucket[i];
        buf_printf(out, PREFIX "%s_bucket{le=\"%g\"} %" PRIu64 "\n", name,
                   (double)histogram_bounds[i] / (double)USEC_PER_SEC, total);
    }
    buf_printf(out, PREFIX "%s_bucket{le=\"+Inf\"} %" PRIu64 "\n", name, h->count);
    buf_printf(out, PREFIX "%s_sum %g\n", name, (double)h->sum / (double)USEC_PER_SEC);
    buf_printf(out, PREFIX "%s_count %" PRIu64 "\n", name, h->count);
}

static void write_workers(const struct metrics *metrics, struct buf *out)
{
    size_t i;

    write_head(out, "worker_busy_seconds_total", "counter",
               "Time that one worker spent on packets and orders");
    for (i = 0; i < metrics->workers; i++)
        buf_printf(out, PREFIX "worker_busy_seconds_total{worker=\"%zu\"} %g\n", i,
                   (double)counter_get(metrics->worker[i], COUNTER_WORKER_BUSY_USEC) /
                       (double)USEC_PER_SEC);
}

void metrics_write(const struct metrics *metrics, struct buf *out)
{
    write_head(out, "build_info", "gauge", "Version of the daemon");
    buf_printf(out, PREFIX "build_info{version=\"%s\"} 1\n", RELAYD_VERSION);
    write_head(out, "uptime_seconds", "gauge", "Time since the start");
    buf_printf(out, PREFIX "uptime_seconds %" PRIu64 "\n", metrics->uptime / USEC_PER_SEC);
    write_counters(metrics, out);
    write_histogram(metrics->setup, "setup_seconds",
                    "Time from the offer of a call to the first packet that was carried", out);
    write_histogram(metrics->divert, "divert_seconds",
                    "Time that servers waited for stanzas that they have diverted", out);
    write_workers(metrics, out);
}
