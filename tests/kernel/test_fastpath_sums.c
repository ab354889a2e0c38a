// SPDX-License-Identifier: ISC
// Packets whose checksums are not there yet (CHECKSUM_PARTIAL, as local senders and virtual
// machines leave them), and trains of packets that came as one. The way out completes nothing, so
// whatever is written wrongly arrives wrong.
#include "lib_flow.h"
#include "platform/udp.h"

#include <netinet/in.h>
#include <netinet/udp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

enum { PART = 200 };

// A socket of the peer at A, which leaves checksums and cutting to its interface.
static int peer_socket(struct bench *bench, enum family family)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(5000)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(5000)};
    int fd;

    lab_enter(&bench->lab, LAB_A);
    fd = socket(family == FAMILY_V4 ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (family == FAMILY_V4)
        assert_int_equal(bind(fd, (struct sockaddr *)&v4, sizeof v4), 0);
    else
        assert_int_equal(bind(fd, (struct sockaddr *)&v6, sizeof v6), 0);
    lab_enter(&bench->lab, LAB_RELAY);
    return fd;
}

static struct offload_flow peer_flow(enum family from, enum family to, uint16_t channel_out)
{
    struct offload_flow flow = flow_of(from, to, 0, channel_out);

    flow.from = lab_addr(from == FAMILY_V4 ? "10.77.1.2" : "fd77:1::2", 5000);
    return flow;
}

static void say(int fd, const struct offload_flow *flow, const uint8_t *data, size_t len)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(flow->at.port)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(flow->at.port)};
    ssize_t sent;

    memcpy(&v4.sin_addr, flow->at.ip, 4);
    memcpy(&v6.sin6_addr, flow->at.ip, 16);
    if (flow->at.family == FAMILY_V4)
        sent = sendto(fd, data, len, 0, (struct sockaddr *)&v4, sizeof v4);
    else
        sent = sendto(fd, data, len, 0, (struct sockaddr *)&v6, sizeof v6);
    assert_int_equal(sent, (ssize_t)len);
}

static uint64_t passed_for(struct bench *bench, enum fastpath_passed why)
{
    struct fastpath_totals totals;

    fastpath_totals(bench->fastpath, &totals);
    return totals.passed[why];
}

static void test_a_sum_that_is_not_there_yet(void **state)
{
    static const enum family families[] = {FAMILY_V4, FAMILY_V6};
    struct bench *bench = *state;

    for (int i = 0; i < 2; i++) {
        struct offload_flow flow = peer_flow(families[i], families[i], 0);
        int fd = peer_socket(bench, families[i]);
        put(bench, &flow);
        for (size_t len = 20; len < 40; len++) {
            struct datagram d = packet_for(&flow, len), out;
            say(fd, &flow, d.payload, len);
            assert_true(lab_hear(&bench->lab, LAB_B, &out, 1000)); // and is right
            assert_int_equal(out.len, len);
            assert_memory_equal(out.payload, d.payload, len);
        }
        assert_int_equal(take(bench, &flow).packets, 20);
        close(fd);
    }
}

// What says where the sum is to be written would not move with the header.
static void test_a_sum_that_would_move(void **state)
{
    struct bench *bench = *state;

    for (int i = 0; i < 2; i++) {
        struct offload_flow flow = peer_flow(FAMILY_V4, i ? FAMILY_V6 : FAMILY_V4, i ? 0 : 0x4001);
        struct datagram d = packet_for(&flow, 50), out;
        uint64_t before = passed_for(bench, FASTPATH_CHECKSUM);
        int fd = peer_socket(bench, FAMILY_V4);
        put(bench, &flow);
        say(fd, &flow, d.payload, d.len);
        assert_false(lab_hear(&bench->lab, LAB_B, &out, 20));
        assert_int_equal(passed_for(bench, FASTPATH_CHECKSUM), before + 1);
        // With the sum in it, it goes.
        lab_offload(&bench->lab, LAB_A, "a0", false);
        say(fd, &flow, d.payload, d.len);
        assert_true(lab_hear(&bench->lab, LAB_B, &out, 1000));
        lab_offload(&bench->lab, LAB_A, "a0", true);
        take(bench, &flow);
        close(fd);
    }
}

// ---- trains ----

// 'parts' of PART bytes and one of 100, RTP in sequence, sent as one.
static size_t make_train(uint8_t *data, unsigned parts)
{
    for (unsigned i = 0; i <= parts; i++) {
        uint8_t *part = data + (size_t)i * PART;
        memset(part, (int)i, PART);
        memcpy(part, "\x80\x60\x00\x00\x00\x00\x00\x00\x00\x00\x00\x09", 12);
        part[3] = (uint8_t)i;
    }
    return (size_t)parts * PART + 100;
}

static int train_socket(struct bench *bench, enum family family)
{
    int fd = peer_socket(bench, family), part = PART;

    assert_int_equal(setsockopt(fd, IPPROTO_UDP, UDP_SEGMENT, &part, sizeof part), 0);
    return fd;
}

static void test_a_train_goes_as_one(void **state)
{
    static const enum family families[] = {FAMILY_V4, FAMILY_V6};
    struct bench *bench = *state;
    uint8_t data[64 * PART];
    struct datagram out;

    for (int i = 0; i < 2; i++) {
        struct offload_flow flow = peer_flow(families[i], families[i], 0);
        int fd = train_socket(bench, families[i]);
        size_t len = make_train(data, 20);
        put(bench, &flow);
        say(fd, &flow, data, len);
        for (unsigned k = 0; k <= 20; k++) {
            assert_true(lab_hear(&bench->lab, LAB_B, &out, 1000));
            assert_int_equal(out.len, k < 20 ? PART : 100);
            assert_memory_equal(out.payload, data + (size_t)k * PART, out.len);
            assert_true(addr_equal(&out.to, &flow.to));
            assert_int_equal(out.ttl, 64);
        }
        struct offload_report report = take(bench, &flow);
        assert_int_equal(report.packets, 21);
        assert_int_equal(report.bytes, len);
        assert_int_equal(report.media, 21);
        assert_int_equal(report.qualities, 1);
        assert_int_equal(report.quality[0].received, 21);
        assert_int_equal(rtp_quality_lost(&report.quality[0]), 0);
        close(fd);
    }
}

static void goes_up(struct bench *bench, const struct offload_flow *flow, const uint8_t *data,
                    size_t len)
{
    uint64_t before = passed_for(bench, FASTPATH_TRAIN);
    int fd = train_socket(bench, FAMILY_V4);
    struct datagram out;

    put(bench, flow);
    say(fd, flow, data, len);
    assert_false(lab_hear(&bench->lab, LAB_B, &out, 20));
    assert_int_equal(passed_for(bench, FASTPATH_TRAIN), before + 1);
    assert_int_equal(take(bench, flow).packets, 0);
    close(fd);
}

static void test_trains_that_go_up(void **state)
{
    struct bench *bench = *state;
    uint8_t data[64 * PART];
    size_t len = make_train(data, 5);
    struct offload_flow flow = peer_flow(FAMILY_V4, FAMILY_V4, 0x4001);

    goes_up(bench, &flow, data, len); // each would want a header
    flow = peer_flow(FAMILY_V4, FAMILY_V6, 0);
    goes_up(bench, &flow, data, len);
    flow = peer_flow(FAMILY_V4, FAMILY_V4, 0);
    data[3 * PART] = 0; // STUN among media
    goes_up(bench, &flow, data, len);
}

static void test_parts_too_long_for_the_way(void **state)
{
    struct bench *bench = *state;
    struct offload_flow flow = peer_flow(FAMILY_V4, FAMILY_V4, 0);
    uint64_t before = passed_for(bench, FASTPATH_MTU);
    uint8_t data[3000];
    int fd = peer_socket(bench, FAMILY_V4), part = 1472;
    struct datagram out;

    memset(data, 0x80, sizeof data);
    assert_int_equal(setsockopt(fd, IPPROTO_UDP, UDP_SEGMENT, &part, sizeof part), 0);
    flow.media = false;
    lab_ip(&bench->lab, LAB_RELAY, "route add 10.77.2.9/32 dev r1 mtu 1499\n");
    put(bench, &flow);
    say(fd, &flow, data, sizeof data);
    assert_false(lab_hear(&bench->lab, LAB_B, &out, 20));
    assert_int_equal(passed_for(bench, FASTPATH_MTU), before + 1);
    lab_ip(&bench->lab, LAB_RELAY, "route del 10.77.2.9/32\n");
    put(bench, &flow);
    say(fd, &flow, data, sizeof data);
    for (int i = 0; i < 3; i++)
        assert_true(lab_hear(&bench->lab, LAB_B, &out, 1000));
    assert_int_equal(take(bench, &flow).packets, 3);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_sum_that_is_not_there_yet),
        cmocka_unit_test(test_a_sum_that_would_move),
        cmocka_unit_test(test_a_train_goes_as_one),
        cmocka_unit_test(test_trains_that_go_up),
        cmocka_unit_test(test_parts_too_long_for_the_way),
    };
    return cmocka_run_group_tests(tests, open_bench, close_bench);
}
