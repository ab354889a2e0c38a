// SPDX-License-Identifier: ISC
// What the kernel's program writes and where it sends it: each kind of flow between two peers, and
// all that it must leave to user space. Nobody listens here: what is not forwarded is not seen.
#include "lib_flow.h"
#include "platform/udp.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const uint8_t rtp[] = {0x80, 0x60, 0x12, 0x34, // version 2, payload type 96, sequence number
                              0x00, 0x00, 0x10, 0x00, // timestamp
                              0xca, 0xfe, 0xba, 0xbe, // SSRC
                              'p',  'a',  'y',  'l',  'o', 'a', 'd'};

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

// ---- every shape ----

static void one_shape(struct bench *bench, const struct offload_flow *flow)
{
    static const size_t lens[] = {12, 13, 15, 16, 17, 20, 100, 171, 172, 1199, 1200, 1438};
    uint64_t bytes = 0;
    unsigned packets = 0;

    put(bench, flow);
    for (size_t i = 0; i < sizeof lens / sizeof *lens; i++) {
        struct datagram in = packet_for(flow, lens[i]), out;
        in.tos = (uint8_t)(i * 37); // every combination of the ECN bits
        lab_say(&bench->lab, LAB_A, &in);
        if (!lab_hear(&bench->lab, LAB_B, &out, 1000))
            fail_msg("%zu bytes, family %u to %u, channel %x to %x: lost", lens[i],
                     flow->from.family, flow->to.family, flow->channel_in, flow->channel_out);
        expect(flow, &in, &out);
        packets++;
        bytes += lens[i];
    }
    struct offload_report report = take(bench, flow);
    assert_int_equal(report.packets, packets);
    assert_int_equal(report.bytes, bytes);
    assert_int_equal(report.media, flow->media ? packets : 0);
}

static void test_every_shape(void **state)
{
    static const enum family families[] = {FAMILY_V4, FAMILY_V6};
    static const uint16_t channels[] = {0, 0x4321};

    for (int i = 0; i < 16; i++) {
        struct offload_flow flow = flow_of(families[i & 1], families[i >> 1 & 1],
                                           channels[i >> 2 & 1], channels[i >> 3 & 1]);
        one_shape(*state, &flow);
    }
}

// Of a peer of TURN anything passes, also what is empty or looks like something else.
static void test_a_peer_sends_anything(void **state)
{
    static const char *const say[] = {"", "x", "\x40\x01\x00\x00 no channel", "\x16 no DTLS"};
    struct bench *bench = *state;
    struct offload_flow flow = flow_of(FAMILY_V4, FAMILY_V6, 0, 0x4fff);

    put(bench, &flow);
    for (size_t i = 0; i < sizeof say / sizeof *say; i++) {
        struct datagram in = packet_of(&flow, say[i], strlen(say[i])), out;
        lab_say(&bench->lab, LAB_A, &in);
        assert_true(lab_hear(&bench->lab, LAB_B, &out, 1000));
        expect(&flow, &in, &out);
    }
    assert_int_equal(take(bench, &flow).packets, 4);
}

// A frame shorter than Ethernet's is padded on its way; what leaves is not.
static void test_padding_of_short_frames(void **state)
{
    struct bench *bench = *state;

    for (int i = 0; i < 2; i++) {
        struct offload_flow flow = flow_of(FAMILY_V4, FAMILY_V4, i ? 0x4001 : 0, i ? 0 : 0x4001);
        struct datagram in = packet_for(&flow, 2), out;
        uint8_t frame[100] = {0};
        put(bench, &flow);
        (void)lab_frame(LAB_A, &in, frame);
        lab_send(&bench->lab, LAB_A, frame, 60);
        assert_true(lab_hear(&bench->lab, LAB_B, &out, 1000));
        expect(&flow, &in, &out);
        take(bench, &flow);
    }
}

static void test_no_checksum(void **state)
{
    struct bench *bench = *state;
    struct offload_flow flow = flow_v4();
    struct datagram in = packet_for(&flow, 50), out;

    in.no_checksum = true;
    put(bench, &flow);
    lab_say(&bench->lab, LAB_A, &in);
    assert_true(lab_hear(&bench->lab, LAB_B, &out, 1000));
    expect(&flow, &in, &out);
    assert_true(out.no_checksum);
    take(bench, &flow);
}

// Nothing is fragmented after all, but something on the way may.
static void test_ids_differ(void **state)
{
    struct bench *bench = *state;
    struct offload_flow flow = flow_v4();
    struct datagram in = packet_for(&flow, 50), first, second;

    in.id = 0;
    in.dont_fragment = true;
    put(bench, &flow);
    lab_say(&bench->lab, LAB_A, &in);
    lab_say(&bench->lab, LAB_A, &in);
    assert_true(lab_hear(&bench->lab, LAB_B, &first, 1000));
    assert_true(lab_hear(&bench->lab, LAB_B, &second, 1000));
    assert_int_equal(second.id, (uint16_t)(first.id + 1));
    assert_false(first.dont_fragment);
    take(bench, &flow);
}

// ---- what goes up ----

static void test_what_is_no_media(void **state)
{
    static const uint8_t stun[20] = {0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42};
    static const uint8_t dtls[20] = {22, 0xfe, 0xfd};
    static const uint8_t channel[20] = {0x40, 0, 0, 16};
    static const uint8_t *const other[] = {stun, dtls, channel};
    struct bench *bench = *state;
    struct offload_flow flow = flow_v4();

    put(bench, &flow);
    for (size_t i = 0; i < 3; i++) {
        struct datagram in = packet_of(&flow, other[i], 20);
        assert_int_equal(passed_datagram(bench, &in), FASTPATH_KIND);
    }
    struct datagram in = packet_for(&flow, 11); // too short for RTP
    assert_int_equal(passed_datagram(bench, &in), FASTPATH_KIND);
    in.len = 0;
    assert_int_equal(passed_datagram(bench, &in), FASTPATH_KIND);
    assert_int_equal(take(bench, &flow).packets, 0);
}

static void test_channels_of_others_and_padding(void **state)
{
    struct bench *bench = *state;
    struct offload_flow flow = flow_of(FAMILY_V4, FAMILY_V4, 0x4001, 0);
    struct datagram in = packet_for(&flow, 50);

    put(bench, &flow);
    in.len++;
    assert_int_equal(passed_datagram(bench, &in), FASTPATH_LENGTH);
    in.len -= 2;
    assert_int_equal(passed_datagram(bench, &in), FASTPATH_LENGTH);
    in.len = 2;
    in.payload[1] = 2;
    assert_int_equal(passed_datagram(bench, &in), FASTPATH_PASSED_COUNT); // no flow
    forwards(bench, &flow);
    take(bench, &flow);
}

static void test_other_addresses_are_other_flows(void **state)
{
    struct bench *bench = *state;
    struct offload_flow flow = flow_v4();
    struct datagram in[] = {packet_for(&flow, 50), packet_for(&flow, 50), packet_for(&flow, 50),
                            packet_for(&flow, 50)};

    put(bench, &flow);
    in[0].from.port++;
    in[1].to.port++;
    in[2].from.ip[3]++;
    in[3].to = lab_addr("10.77.2.1", in[3].to.port);
    for (int i = 0; i < 4; i++)
        assert_int_equal(passed_datagram(bench, &in[i]), FASTPATH_PASSED_COUNT);
    take(bench, &flow);
}

// Gives a frame's IPv4 header a right checksum again.
static void sum_header(uint8_t *frame)
{
    uint32_t sum = 0;

    frame[24] = frame[25] = 0;
    for (int i = 14; i < 14 + (frame[14] & 0xf) * 4; i += 2)
        sum += (uint32_t)(frame[i] << 8 | frame[i + 1]);
    sum = (sum >> 16) + (sum & 0xffff);
    sum = ~(sum + (sum >> 16));
    frame[24] = (uint8_t)(sum >> 8);
    frame[25] = (uint8_t)sum;
}

static void test_fragments_options_and_lies(void **state)
{
    struct bench *bench = *state;
    struct offload_flow flow = flow_v4();
    struct datagram in = packet_for(&flow, 50);
    uint8_t frame[200], good[200];
    size_t len = lab_frame(LAB_A, &in, good);

    put(bench, &flow);
    memcpy(frame, good, sizeof frame);
    frame[20] = 0x20; // more fragments
    sum_header(frame);
    assert_int_equal(passed(bench, frame, len), FASTPATH_FRAGMENT);
    frame[20] = 0;
    frame[21] = 1; // the second fragment
    sum_header(frame);
    assert_int_equal(passed(bench, frame, len), FASTPATH_PASSED_COUNT);

    memcpy(frame, good, sizeof frame);
    memmove(frame + 38, frame + 34, len - 34);
    memset(frame + 34, 1, 4); // NOP, RFC 791
    frame[14] = 0x46;
    frame[17] = (uint8_t)(frame[17] + 4);
    sum_header(frame);
    assert_int_equal(passed(bench, frame, len + 4), FASTPATH_FRAGMENT);

    memcpy(frame, good, sizeof frame);
    frame[39]--; // UDP says less than IP
    assert_int_equal(passed(bench, frame, len), FASTPATH_LENGTH);
    memcpy(frame, good, sizeof frame);
    assert_int_equal(passed(bench, frame, len - 1), FASTPATH_LENGTH); // cut off
    memcpy(frame, good, sizeof frame);
    frame[24] ^= 1; // a wrong sum of the header
    assert_int_equal(passed(bench, frame, len), FASTPATH_PASSED_COUNT);
    memcpy(frame, good, sizeof frame);
    frame[3] ^= 1; // to another Ethernet address
    assert_int_equal(passed(bench, frame, len), FASTPATH_PASSED_COUNT);
    assert_int_equal(take(bench, &flow).packets, 0);
}

static void test_ipv6_extension_headers(void **state)
{
    struct bench *bench = *state;
    struct offload_flow flow = flow_of(FAMILY_V6, FAMILY_V6, 0, 0);
    struct datagram in = packet_for(&flow, 50);
    uint8_t frame[200];
    size_t len = lab_frame(LAB_A, &in, frame);

    put(bench, &flow);
    memmove(frame + 62, frame + 54, len - 54);
    memcpy(frame + 54, (uint8_t[]){17, 0, 1, 4, 0, 0, 0, 0}, 8); // destination options, PadN
    frame[20] = 60;
    frame[19] = (uint8_t)(frame[19] + 8);
    assert_int_equal(passed(bench, frame, len + 8), FASTPATH_PASSED_COUNT);
    take(bench, &flow);
}

static void test_mtu(void **state)
{
    struct bench *bench = *state;
    struct offload_flow flow = flow_of(FAMILY_V4, FAMILY_V4, 0, 0x4001);
    struct datagram in = packet_for(&flow, 1468), out;

    put(bench, &flow);
    lab_say(&bench->lab, LAB_A, &in);
    assert_true(lab_hear(&bench->lab, LAB_B, &out, 1000));
    expect(&flow, &in, &out);
    in = packet_for(&flow, 1469);
    assert_int_equal(passed_datagram(bench, &in), FASTPATH_MTU);
    take(bench, &flow);

    flow = flow_of(FAMILY_V4, FAMILY_V6, 0, 0);
    in = packet_for(&flow, 1452);
    put(bench, &flow);
    lab_say(&bench->lab, LAB_A, &in);
    assert_true(lab_hear(&bench->lab, LAB_B, &out, 1000));
    in = packet_for(&flow, 1453);
    assert_int_equal(passed_datagram(bench, &in), FASTPATH_MTU);
    take(bench, &flow);
}

static void test_no_checksum_where_one_is_needed(void **state)
{
    struct bench *bench = *state;
    struct offload_flow flow = flow_of(FAMILY_V4, FAMILY_V6, 0, 0);
    struct datagram in = packet_for(&flow, 50);

    in.no_checksum = true;
    put(bench, &flow);
    assert_int_equal(passed_datagram(bench, &in), FASTPATH_CHECKSUM);
    take(bench, &flow);
}

static void test_time_is_over(void **state)
{
    struct bench *bench = *state;
    struct offload_flow flow = flow_v4();
    struct datagram in = packet_for(&flow, 50);

    flow.until = usec_now() + 300 * USEC_PER_MSEC;
    put(bench, &flow);
    forwards(bench, &flow);
    while (usec_now() < flow.until)
        ;
    assert_int_equal(passed_datagram(bench, &in), FASTPATH_EXPIRED);
    flow.until = USEC_NEVER;
    put(bench, &flow);
    forwards(bench, &flow);
    assert_int_equal(take(bench, &flow).packets, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ipv4_to_ipv4),
        cmocka_unit_test(test_every_shape),
        cmocka_unit_test(test_a_peer_sends_anything),
        cmocka_unit_test(test_padding_of_short_frames),
        cmocka_unit_test(test_no_checksum),
        cmocka_unit_test(test_ids_differ),
        cmocka_unit_test(test_what_is_no_media),
        cmocka_unit_test(test_channels_of_others_and_padding),
        cmocka_unit_test(test_other_addresses_are_other_flows),
        cmocka_unit_test(test_fragments_options_and_lies),
        cmocka_unit_test(test_ipv6_extension_headers),
        cmocka_unit_test(test_mtu),
        cmocka_unit_test(test_no_checksum_where_one_is_needed),
        cmocka_unit_test(test_time_is_over),
    };
    return cmocka_run_group_tests(tests, open_bench, close_bench);
}
