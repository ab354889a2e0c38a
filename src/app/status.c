// SPDX-License-Identifier: ISC
// The daemon as a whole, as JSON; see status.h.
#include "status.h"

#include "platform/udp.h"

static json_t *count(uint64_t value)
{
    return json_integer((json_int_t)value);
}

// Of the main thread and all workers.
static uint64_t total(const struct stats_sources *sources, enum counter id)
{
    uint64_t sum = counter_get(sources->counters, id);

    for (unsigned i = 0; i < workers_count(sources->workers); i++)
        sum += counter_get(workers_counters(sources->workers, i), id);
    return sum;
}

static uint64_t total_of(const struct stats_sources *sources, enum counter first, enum counter last)
{
    uint64_t sum = 0;

    for (int id = (int)first; id <= (int)last; id++)
        sum += total(sources, (enum counter)id);
    return sum;
}

static json_t *round_to(double value, double unit)
{
    return json_real((double)(int64_t)(value / unit + 0.5) * unit);
}

// ---- capacity

static json_t *room_to_json(const struct capacity_room *room)
{
    json_t *json = json_pack("{s:i, s:s}", "room", (int)room->least, "bound",
                             capacity_resource_name(room->bound));

    for (int r = 0; json && r < CAPACITY_RESOURCES; r++)
        json_object_set_new(json, capacity_resource_name((enum capacity_resource)r),
                            json_integer(room->of[r]));
    return json;
}

json_t *status_capacity(struct admission *admission)
{
    const struct admission_view view = admission_view(admission, usec_now());

    return json_pack("{s:o, s:o, s:o, s:o, s:o}", "load", round_to(view.load, 0.0001), "load_limit",
                     round_to(view.ceiling, 0.0001), "bits_per_second",
                     count((uint64_t)(8 * view.bandwidth)), "calls",
                     room_to_json(&view.room[CAPACITY_CALL]), "allocations",
                     room_to_json(&view.room[CAPACITY_ALLOCATION]));
}

// ---- parts

// Setup, ringing and active stand together for each door (include/base/counter.h).
static json_t *door(const struct stats_sources *sources, enum counter setup, enum counter opened)
{
    return json_pack("{s:o, s:o, s:o, s:o}", "setup", count(total(sources, setup)), "ringing",
                     count(total(sources, (enum counter)(setup + 1))), "active",
                     count(total(sources, (enum counter)(setup + 2))), "opened_total",
                     count(total(sources, opened)));
}

static json_t *calls(const struct stats_sources *sources)
{
    return json_pack(
        "{s:o, s:o, s:o, s:o}", "addressed",
        door(sources, COUNTER_CALLS_SETUP, COUNTER_CALLS_OPENED), "channel",
        door(sources, COUNTER_CHANNELS_SETUP, COUNTER_CHANNELS_OPENED), "diverted",
        door(sources, COUNTER_DIVERTED_SETUP, COUNTER_DIVERTED_OPENED), "refused_total",
        count(total_of(sources, COUNTER_CALLS_REFUSED_TOTAL, COUNTER_CALLS_REFUSED_DESCRIPTORS)));
}

static json_t *traffic(const struct stats_sources *sources)
{
    uint64_t kernel_packets = total(sources, COUNTER_FASTPATH_PACKETS);
    uint64_t kernel_bytes = total(sources, COUNTER_FASTPATH_BYTES);

    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o}", "packets_received_total",
                     count(total(sources, COUNTER_PACKETS_IN) + kernel_packets),
                     "bytes_received_total", count(total(sources, COUNTER_BYTES_IN) + kernel_bytes),
                     "packets_sent_total",
                     count(total(sources, COUNTER_PACKETS_OUT) + kernel_packets),
                     "bytes_sent_total", count(total(sources, COUNTER_BYTES_OUT) + kernel_bytes),
                     "packets_by_kernel_total", count(kernel_packets), "packets_dropped_total",
                     count(total_of(sources, COUNTER_DROP_UNPROVED, COUNTER_DROP_SLOW_READER)));
}

static json_t *turn(const struct stats_sources *sources)
{
    return json_pack(
        "{s:o, s:o, s:o, s:o}", "allocations", count(total(sources, COUNTER_TURN_ALLOCATIONS)),
        "connections", count(total_of(sources, COUNTER_CONN_TCP, COUNTER_CONN_DTLS)),
        "packets_total",
        count(total_of(sources, COUNTER_TURN_TO_PEER_PACKETS, COUNTER_TURN_TO_CLIENT_PACKETS)),
        "bytes_total",
        count(total_of(sources, COUNTER_TURN_TO_PEER_BYTES, COUNTER_TURN_TO_CLIENT_BYTES)));
}

static json_t *workers(const struct stats_sources *sources)
{
    json_t *list = json_array();

    for (unsigned i = 0; i < workers_count(sources->workers); i++) {
        uint64_t busy =
            counter_get(workers_counters(sources->workers, i), COUNTER_WORKER_BUSY_USEC);

        json_array_append_new(list, json_pack("{s:o}", "busy_ms_total", count(busy / 1000)));
    }
    return list;
}

static json_t *ports(const struct stats_sources *sources)
{
    return json_pack("{s:o, s:o, s:o}", "used", count(total(sources, COUNTER_PORTS_USED)), "free",
                     count(total(sources, COUNTER_PORTS_FREE)), "quarantined",
                     count(total(sources, COUNTER_PORTS_QUARANTINED)));
}

static json_t *kernel(const struct stats_sources *sources)
{
    return json_pack("{s:b, s:o}", "on", total(sources, COUNTER_FASTPATH_ON) != 0, "flows",
                     count(total_of(sources, COUNTER_OFFLOADED_PATHS, COUNTER_OFFLOADED_TURN)));
}

json_t *status_to_json(const struct stats_sources *sources)
{
    usec_t now = usec_now();
    json_t *found = sources->selftest ? sources->selftest(sources->selftest_ctx) : NULL;

    fast_count(sources->fastpath, sources->counters);
    return json_pack(
        "{s:s, s:o, s:o, s:o, s:b, s:{s:b, s:o}, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}",
        "version", RELAYD_VERSION, "now", json_time(now, sources->clock), "started",
        json_time(sources->started, sources->clock), "uptime_ms",
        count((now - sources->started) / USEC_PER_MSEC), "draining",
        counter_get(sources->counters, COUNTER_DRAINING) != 0, "component", "connected",
        counter_get(sources->counters, COUNTER_COMPONENT_UP) != 0, "connects_total",
        count(counter_get(sources->counters, COUNTER_COMPONENT_CONNECTS)), "calls", calls(sources),
        "traffic", traffic(sources), "turn", turn(sources), "ports", ports(sources), "workers",
        workers(sources), "kernel", kernel(sources), "capacity",
        status_capacity(sources->admission), "selftest", found ? found : json_null());
}
