// SPDX-License-Identifier: ISC
// What the kernel's program writes and where it sends it: each kind of flow between two peers, and
// all that it must leave to user space. Nobody listens here: what is not forwarded is not seen.
#include "lib_lab.h"
#include "platform/fastpath.h"
#include "platform/udp.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

struct bench {
    struct lab lab;
    struct event_base *base;
    struct fastpath *fastpath;
    struct offload_io io;
};

static const uint8_t rtp[] = {0x80, 0x60, 0x12, 0x34, // version 2, payload type 96, sequence number
                              0x00, 0x00, 0x10, 0x00, // timestamp
                              0xca, 0xfe, 0xba, 0xbe, // SSRC
                              'p',  'a',  'y',  'l',  'o', 'a', 'd'};

static int open_bench(void **state)
{
    static struct bench bench;
    const struct addr local[] = {lab_addr("10.77.1.1", 0), lab_addr("10.77.2.1", 0),
                                 lab_addr("fd77:1::1", 0), lab_addr("fd77:2::1", 0)};
    const struct fastpath_config config = {.flows_max = 1000, .local = local, .locals = 4};
    const char *reason = "";

    assert_true(lab_open(&bench.lab));
    bench.base = event_base_new();
    if (fastpath_new(bench.base, &config, &bench.fastpath, &reason) < 0)
        fail_msg("no fast path: %s", reason);
    assert_int_equal(fastpath_interfaces(bench.fastpath), 2);
    bench.io = fastpath_io(bench.fastpath);
    *state = &bench;
    return 0;
}

static int close_bench(void **state)
{
    struct bench *bench = *state;

    fastpath_free(bench->fastpath);
    event_base_free(bench->base);
    lab_close(&bench->lab);
    return 0;
}

static struct offload_flow flow_v4(void)
{
    return (struct offload_flow){
        .from = lab_addr("10.77.1.9", 5000),
        .at = lab_addr("10.77.1.1", 30000),
        .leave = lab_addr("10.77.2.1", 40000),
        .to = lab_addr("10.77.2.9", 6000),
        .media = true,
        .until = USEC_NEVER,
    };
}

static struct datagram packet_of(const struct offload_flow *flow, const void *payload, size_t len)
{
    struct datagram d = {
        .from = flow->from, .to = flow->at, .ttl = 7, .tos = 0xb9, .id = 77, .len = len};

    memcpy(d.payload, payload, len);
    return d;
}

static void put(struct bench *bench, const struct offload_flow *flow)
{
    assert_int_equal(bench->io.put(bench->io.ctx, flow, NULL, 0), 0);
}

static struct offload_report take(struct bench *bench, const struct offload_flow *flow)
{
    struct offload_report report;

    assert_int_equal(bench->io.take(bench->io.ctx, flow, &report), 0);
    return report;
}

static void test_ipv4_to_ipv4(void **state)
{
    struct bench *bench = *state;
    struct offload_flow flow = flow_v4();
    struct datagram in = packet_of(&flow, rtp, sizeof rtp), out;
    usec_t before = usec_now();

    put(bench, &flow);
    lab_say(&bench->lab, LAB_A, &in);
    assert_true(lab_hear(&bench->lab, LAB_B, &out, 1000));
    assert_true(addr_equal(&out.from, &flow.leave));
    assert_true(addr_equal(&out.to, &flow.to));
    assert_int_equal(out.tos, 0xb9);
    assert_int_equal(out.ttl, 64);
    assert_false(out.dont_fragment);
    assert_int_equal(out.len, sizeof rtp);
    assert_memory_equal(out.payload, rtp, sizeof rtp);

    struct offload_report report = take(bench, &flow);
    assert_int_equal(report.packets, 1);
    assert_int_equal(report.bytes, sizeof rtp);
    assert_int_equal(report.media, 1);
    assert_in_range(report.last, before, usec_now());
    assert_int_equal(report.qualities, 1);
    assert_int_equal(report.quality[0].ssrc, 0xcafebabe);
    assert_int_equal(report.quality[0].highest, 0x1234);

    lab_say(&bench->lab, LAB_A, &in);
    assert_false(lab_hear(&bench->lab, LAB_B, &out, 50));
    assert_int_equal(bench->io.take(bench->io.ctx, &flow, &report), -ENOENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ipv4_to_ipv4),
    };
    return cmocka_run_group_tests(tests, open_bench, close_bench);
}
