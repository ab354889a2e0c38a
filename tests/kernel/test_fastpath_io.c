// SPDX-License-Identifier: ISC
// What the core is promised of put, read and take: figures go on and are final, limits are kept, a
// flow is there or it is not, from any thread.
#include "lib_flow.h"
#include "platform/udp.h"
#include "unit/random.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct offload_report read_flow(struct bench *bench, const struct offload_flow *flow)
{
    struct offload_report report;

    assert_int_equal(bench->io.read(bench->io.ctx, flow, &report), 0);
    return report;
}

static int try_put(struct bench *bench, const struct offload_flow *flow)
{
    return bench->io.put(bench->io.ctx, flow, NULL, 0);
}

static int try_take(struct bench *bench, const struct offload_flow *flow)
{
    struct offload_report report;

    return bench->io.take(bench->io.ctx, flow, &report);
}

static void test_put_again_goes_elsewhere_and_keeps_the_figures(void **state)
{
    struct bench *bench = *state;
    struct offload_flow flow = flow_v4();

    put(bench, &flow);
    forwards(bench, &flow);
    flow.to = lab_addr("fd77:2::9", 7000);
    flow.leave = lab_addr("fd77:2::1", 40001);
    put(bench, &flow);
    forwards(bench, &flow);
    assert_int_equal(read_flow(bench, &flow).packets, 2);
    assert_int_equal(take(bench, &flow).bytes, 100);
}

static void test_there_or_not(void **state)
{
    struct bench *bench = *state;
    struct offload_flow flow = flow_v4();
    struct offload_report report;

    assert_int_equal(bench->io.read(bench->io.ctx, &flow, &report), -ENOENT);
    assert_int_equal(try_take(bench, &flow), -ENOENT);
    put(bench, &flow);
    assert_int_equal(read_flow(bench, &flow).last, 0);
    take(bench, &flow);
    assert_int_equal(bench->io.read(bench->io.ctx, &flow, &report), -ENOENT);
    assert_int_equal(try_take(bench, &flow), -ENOENT);
    // Soon after, and when its place has been given up.
    for (int i = 0; i < 2; i++) {
        put(bench, &flow);
        forwards(bench, &flow);
        assert_int_equal(take(bench, &flow).packets, 1);
        if (i == 0) {
            bench_run(bench, 1100);
            assert_int_equal(try_take(bench, &flow), -ENOENT); // which gives the place up
        }
    }
}

static void test_flows_that_cannot_be(void **state)
{
    struct bench *bench = *state;
    struct offload_flow flow = flow_v4();

    flow.to = lab_addr("10.77.2.1", 6000); // this host
    assert_int_equal(try_put(bench, &flow), -EHOSTUNREACH);
    flow.to = lab_addr("127.0.0.1", 6000);
    assert_int_equal(try_put(bench, &flow), -EHOSTUNREACH);
    flow.to = lab_addr("192.0.2.1", 6000); // nowhere
    assert_int_equal(try_put(bench, &flow), -EHOSTUNREACH);
    flow.to = lab_addr("10.77.2.255", 6000); // broadcast
    assert_int_equal(try_put(bench, &flow), -EHOSTUNREACH);
    flow.to = lab_addr("fd77:2::9", 6000); // not of the family of the address it leaves from
    assert_int_equal(try_put(bench, &flow), -EINVAL);
    flow = flow_v4();
    flow.from.port = 0;
    assert_int_equal(try_put(bench, &flow), -EINVAL);
    assert_int_equal(try_take(bench, &flow), -ENOENT);
}

static void test_no_more_than_there_is_room_for(void **state)
{
    struct bench *bench = *state;
    struct offload_flow flow = flow_v4();

    for (unsigned i = 0; i < 1000; i++) {
        flow.from.port = (uint16_t)(1024 + i);
        put(bench, &flow);
    }
    flow.from.port++;
    assert_int_equal(try_put(bench, &flow), -ENOSPC);
    flow.from.port--;
    put(bench, &flow);
    for (unsigned i = 0; i < 1000; i++) {
        flow.from.port = (uint16_t)(1024 + i);
        take(bench, &flow);
    }
}

// ---- figures ----

static void say_rtp(struct bench *bench, const struct offload_flow *flow, uint32_t ssrc,
                    uint16_t sequence)
{
    const uint8_t rtp[12] = {0x80,
                             0x60,
                             (uint8_t)(sequence >> 8),
                             (uint8_t)sequence,
                             [8] = (uint8_t)(ssrc >> 24),
                             (uint8_t)(ssrc >> 16),
                             (uint8_t)(ssrc >> 8),
                             (uint8_t)ssrc};
    struct datagram in = packet_of(flow, rtp, sizeof rtp), out;

    lab_say(&bench->lab, LAB_A, &in);
    assert_true(lab_hear(&bench->lab, LAB_B, &out, 1000));
}

static const struct rtp_quality *quality_of(const struct offload_report *report, uint32_t ssrc)
{
    for (unsigned i = 0; i < report->qualities; i++)
        if (report->quality[i].ssrc == ssrc)
            return &report->quality[i];
    fail_msg("no quality of %u", ssrc);
    return NULL;
}

static void test_quality_goes_on(void **state)
{
    struct bench *bench = *state;
    struct offload_flow flow = flow_v4();
    struct rtp_quality before = {0};

    rtp_quality_see(&before, &(struct rtp_arrival){.ssrc = 7, .sequence = 65530}, usec_now());
    assert_int_equal(bench->io.put(bench->io.ctx, &flow, &before, 1), 0);
    say_rtp(bench, &flow, 7, 65531);
    say_rtp(bench, &flow, 7, 65534); // two are lost
    say_rtp(bench, &flow, 7, 1);     // and two more
    say_rtp(bench, &flow, 7, 65535); // one of them was overtaken
    say_rtp(bench, &flow, 7, 1);     // twice
    struct offload_report report = take(bench, &flow);
    const struct rtp_quality *q = quality_of(&report, 7);
    assert_int_equal(q->received, 5);
    assert_int_equal(q->duplicates, 1);
    assert_int_equal(q->reordered, 1);
    assert_int_equal(rtp_quality_lost(q), 3);
    assert_int_equal(q->cycles, 1);
    assert_int_equal(report.media, 5);
}

static void test_of_five_streams_the_oldest_is_forgotten(void **state)
{
    struct bench *bench = *state;
    struct offload_flow flow = flow_v4();

    put(bench, &flow);
    for (uint32_t ssrc = 1; ssrc <= 4; ssrc++)
        say_rtp(bench, &flow, ssrc, 1);
    say_rtp(bench, &flow, 1, 2);
    say_rtp(bench, &flow, 5, 1);
    struct offload_report report = take(bench, &flow);
    assert_int_equal(report.qualities, 4);
    assert_int_equal(quality_of(&report, 1)->received, 2);
    for (uint32_t ssrc = 3; ssrc <= 5; ssrc++)
        assert_int_equal(quality_of(&report, ssrc)->received, 1);
}

static void test_rtcp_is_no_media_of_a_stream(void **state)
{
    static const uint8_t rtcp[8] = {0x80, 200, 0, 1};
    struct bench *bench = *state;
    struct offload_flow flow = flow_v4();
    struct datagram in = packet_of(&flow, rtcp, sizeof rtcp), out;

    put(bench, &flow);
    lab_say(&bench->lab, LAB_A, &in);
    assert_true(lab_hear(&bench->lab, LAB_B, &out, 1000));
    struct offload_report report = take(bench, &flow);
    assert_int_equal(report.packets, 1);
    assert_int_equal(report.media, 0);
    assert_int_equal(report.qualities, 0);
}

// ---- limits ----

static unsigned hear_all(struct bench *bench)
{
    struct datagram out;
    unsigned heard = 0;

    while (lab_hear(&bench->lab, LAB_B, &out, 20))
        heard++;
    return heard;
}

static void test_flows_of_a_group_share_a_limit(void **state)
{
    struct bench *bench = *state;
    struct offload_flow flow[2] = {flow_v4(), flow_v4()};
    struct fastpath_totals before, after;

    fastpath_totals(bench->fastpath, &before);
    for (int i = 0; i < 2; i++) {
        flow[i].from.port = (uint16_t)(5000 + i);
        flow[i].group = 42;
        flow[i].bytes_per_second = 100000; // of which 65,536 may be saved up
        put(bench, &flow[i]);
    }
    for (int i = 0; i < 200; i++) {
        struct datagram in = packet_for(&flow[i % 2], 1000);
        lab_say(&bench->lab, LAB_A, &in);
    }
    unsigned heard = hear_all(bench);
    assert_in_range(heard, 65, 75);
    struct offload_report first = take(bench, &flow[0]), second = take(bench, &flow[1]);
    assert_int_equal(first.packets + second.packets, heard);
    assert_int_equal(first.limited + second.limited, 200 - heard);
    assert_true(first.packets > 20 && second.packets > 20);
    fastpath_totals(bench->fastpath, &after);
    assert_int_equal(after.limited - before.limited, 200 - heard);
}

static void test_a_limit_fills_again_at_its_rate(void **state)
{
    struct bench *bench = *state;
    struct offload_flow flow = flow_v4();
    struct datagram in = packet_for(&flow, 1000);
    unsigned heard;

    flow.group = 7;
    flow.bytes_per_second = 200000;
    put(bench, &flow);
    for (int i = 0; i < 100; i++)
        lab_say(&bench->lab, LAB_A, &in);
    hear_all(bench);
    bench_run(bench, 100);
    heard = (unsigned)read_flow(bench, &flow).packets;
    for (int i = 0; i < 100; i++)
        lab_say(&bench->lab, LAB_A, &in);
    hear_all(bench);
    assert_in_range(read_flow(bench, &flow).packets - heard, 20, 66);
    flow.bytes_per_second = 0;
    put(bench, &flow);
    heard = (unsigned)read_flow(bench, &flow).packets;
    for (int i = 0; i < 100; i++)
        lab_say(&bench->lab, LAB_A, &in);
    assert_int_equal(hear_all(bench), 100);
    assert_int_equal(take(bench, &flow).packets, heard + 100);
}

// ---- threads ----

struct taker {
    struct bench *bench;
    unsigned number;
    _Atomic uint64_t *packets;
    _Atomic bool *stop;
};

// Takes and puts a flow of its own as fast as it can, while its packets come.
static void *take_and_put(void *arg)
{
    struct taker *taker = arg;
    struct offload_flow flow = flow_v4();
    struct offload_report report;

    flow.from.port = (uint16_t)(5000 + taker->number);
    while (!atomic_load(taker->stop)) {
        if (try_put(taker->bench, &flow) < 0)
            abort();
        for (volatile int i = 0; i < 20000; i++)
            ;
        if (taker->bench->io.take(taker->bench->io.ctx, &flow, &report) < 0)
            abort();
        atomic_fetch_add(taker->packets, report.packets);
    }
    return NULL;
}

static void test_no_packet_is_forwarded_uncounted(void **state)
{
    struct bench *bench = *state;
    _Atomic uint64_t packets = 0;
    _Atomic bool stop = false;
    struct taker taker[4];
    pthread_t thread[4];
    struct fastpath_totals before, after;
    unsigned heard = 0;

    fastpath_totals(bench->fastpath, &before);
    for (unsigned i = 0; i < 4; i++) {
        taker[i] = (struct taker){bench, i, &packets, &stop};
        assert_int_equal(pthread_create(&thread[i], NULL, take_and_put, &taker[i]), 0);
    }
    usec_t end = usec_now() + 1 * USEC_PER_SEC;
    for (unsigned i = 0; usec_now() < end; i++) {
        struct offload_flow flow = flow_v4();
        flow.from.port = (uint16_t)(5000 + i % 4);
        struct datagram in = packet_for(&flow, 20), out;
        lab_say(&bench->lab, LAB_A, &in);
        while (i % 64 == 0 && lab_hear(&bench->lab, LAB_B, &out, 0))
            heard++;
    }
    atomic_store(&stop, true);
    for (unsigned i = 0; i < 4; i++)
        pthread_join(thread[i], NULL);
    heard += hear_all(bench);
    fastpath_totals(bench->fastpath, &after);
    assert_true(heard > 100);
    assert_int_equal(packets, heard);
    assert_int_equal(after.packets - before.packets, heard);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_put_again_goes_elsewhere_and_keeps_the_figures),
        cmocka_unit_test(test_there_or_not),
        cmocka_unit_test(test_flows_that_cannot_be),
        cmocka_unit_test(test_no_more_than_there_is_room_for),
        cmocka_unit_test(test_quality_goes_on),
        cmocka_unit_test(test_of_five_streams_the_oldest_is_forgotten),
        cmocka_unit_test(test_rtcp_is_no_media_of_a_stream),
        cmocka_unit_test(test_flows_of_a_group_share_a_limit),
        cmocka_unit_test(test_a_limit_fills_again_at_its_rate),
        cmocka_unit_test(test_no_packet_is_forwarded_uncounted),
    };
    return cmocka_run_group_tests(tests, open_bench, close_bench);
}
