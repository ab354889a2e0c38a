// SPDX-License-Identifier: ISC
// Flows through the fast path in the lab; see lib_flow.h.
#include "lib_flow.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { SKIPPED = 77 }; // the exit status that says so: no privilege, or an older kernel

int open_bench(void **state)
{
    static struct bench bench;
    const struct addr local[] = {lab_addr("10.77.1.1", 0), lab_addr("10.77.2.1", 0),
                                 lab_addr("fd77:1::1", 0), lab_addr("fd77:2::1", 0)};
    const struct fastpath_config config = {.flows_max = 1000, .local = local, .locals = 4};
    const char *reason = "";

    if (!lab_open(&bench.lab))
        exit(SKIPPED);
    bench.base = event_base_new();
    if (fastpath_new(bench.base, &config, &bench.fastpath, &reason) < 0) {
        fprintf(stderr, "no fast path: %s\n", reason);
        exit(strncmp(reason, "needs ", 6) == 0 ? SKIPPED : EXIT_FAILURE);
    }
    assert_int_equal(fastpath_interfaces(bench.fastpath), 2);
    bench.io = fastpath_io(bench.fastpath);
    *state = &bench;
    return 0;
}

int close_bench(void **state)
{
    struct bench *bench = *state;

    fastpath_free(bench->fastpath);
    event_base_free(bench->base);
    lab_close(&bench->lab);
    return 0;
}

void bench_run(struct bench *bench, int msec)
{
    const struct timeval when = {.tv_sec = msec / 1000, .tv_usec = msec % 1000 * 1000};

    event_base_loopexit(bench->base, &when);
    event_base_dispatch(bench->base);
}

struct offload_flow flow_of(enum family from, enum family to, uint16_t channel_in,
                            uint16_t channel_out)
{
    bool v4_in = from == FAMILY_V4, v4_out = to == FAMILY_V4;

    return (struct offload_flow){
        .from = lab_addr(v4_in ? "10.77.1.9" : "fd77:1::9", 5000),
        .at = lab_addr(v4_in ? "10.77.1.1" : "fd77:1::1", 30000),
        .leave = lab_addr(v4_out ? "10.77.2.1" : "fd77:2::1", 40000),
        .to = lab_addr(v4_out ? "10.77.2.9" : "fd77:2::9", 6000),
        .channel_in = channel_in,
        .channel_out = channel_out,
        .media = !channel_in && !channel_out,
        .until = USEC_NEVER,
    };
}

struct offload_flow flow_v4(void)
{
    return flow_of(FAMILY_V4, FAMILY_V4, 0, 0);
}

struct datagram packet_of(const struct offload_flow *flow, const void *payload, size_t len)
{
    struct datagram d = {
        .from = flow->from, .to = flow->at, .ttl = 7, .tos = 0xb9, .id = 77, .len = len};

    memcpy(d.payload, payload, len);
    return d;
}

void put(struct bench *bench, const struct offload_flow *flow)
{
    assert_int_equal(bench->io.put(bench->io.ctx, flow, NULL, 0), 0);
}

struct offload_report take(struct bench *bench, const struct offload_flow *flow)
{
    struct offload_report report;

    assert_int_equal(bench->io.take(bench->io.ctx, flow, &report), 0);
    return report;
}

static uint8_t byte_at(size_t i)
{
    return (uint8_t)(i * 7 + 1);
}

struct datagram packet_for(const struct offload_flow *flow, size_t len)
{
    struct datagram d = packet_of(flow, "", 0);
    uint8_t *at = d.payload;

    if (flow->channel_in) {
        *at++ = (uint8_t)(flow->channel_in >> 8);
        *at++ = (uint8_t)flow->channel_in;
        *at++ = (uint8_t)(len >> 8);
        *at++ = (uint8_t)len;
    }
    for (size_t i = 0; i < len; i++)
        at[i] = byte_at(i);
    if (flow->media) {
        at[0] = 0x80;
        at[1] = 0x60;
    }
    d.len = (size_t)(at - d.payload) + len;
    return d;
}

void expect(const struct offload_flow *flow, const struct datagram *in, const struct datagram *out)
{
    size_t skip_in = flow->channel_in ? 4 : 0, skip_out = flow->channel_out ? 4 : 0;
    size_t len = in->len - skip_in;

    assert_true(addr_equal(&out->from, &flow->leave));
    assert_true(addr_equal(&out->to, &flow->to));
    assert_int_equal(out->tos, in->tos);
    assert_int_equal(out->ttl, 64);
    assert_false(out->dont_fragment);
    assert_int_equal(out->len, len + skip_out);
    assert_memory_equal(out->payload + skip_out, in->payload + skip_in, len);
    if (!flow->channel_out)
        return;
    assert_int_equal(out->payload[0] << 8 | out->payload[1], flow->channel_out);
    assert_int_equal(out->payload[2] << 8 | out->payload[3], len);
}

void forwards(struct bench *bench, const struct offload_flow *flow)
{
    struct datagram in = packet_for(flow, 50), out;

    lab_say(&bench->lab, LAB_A, &in);
    assert_true(lab_hear(&bench->lab, LAB_B, &out, 1000));
    expect(flow, &in, &out);
}

enum fastpath_passed passed(struct bench *bench, const uint8_t *frame, size_t len)
{
    struct fastpath_totals before, after;
    struct datagram out;

    fastpath_totals(bench->fastpath, &before);
    lab_send(&bench->lab, LAB_A, frame, len);
    assert_false(lab_hear(&bench->lab, LAB_B, &out, 10));
    fastpath_totals(bench->fastpath, &after);
    assert_int_equal(after.packets, before.packets);
    for (unsigned i = 0; i < FASTPATH_PASSED_COUNT; i++) {
        if (after.passed[i] == before.passed[i])
            continue;
        assert_int_equal(after.passed[i], before.passed[i] + 1);
        return i;
    }
    return FASTPATH_PASSED_COUNT;
}

enum fastpath_passed passed_datagram(struct bench *bench, const struct datagram *d)
{
    uint8_t frame[sizeof d->payload + 64];
    size_t len = lab_frame(LAB_A, d, frame);

    return passed(bench, frame, len);
}
