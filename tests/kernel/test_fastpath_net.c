// SPDX-License-Identifier: ISC
// The fast path in a network that changes: neighbours, routes, interfaces, VLANs, MTUs; and what is
// left of it when the daemon is killed or may not have it.
#include "lib_flow.h"
#include "platform/udp.h"

#include <errno.h>
#include <linux/capability.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { SETTLED_MSEC = 100 };

static void change(struct bench *bench, enum lab_place place, const char *commands)
{
    lab_ip(&bench->lab, place, commands);
    bench_run(bench, SETTLED_MSEC);
}

// When the loop has come to it.
static void soon_forwards_this(struct bench *bench, const struct offload_flow *flow,
                               const struct datagram *in)
{
    struct datagram out;

    for (int i = 0; i < 20; i++) {
        lab_say(&bench->lab, LAB_A, in);
        if (lab_hear(&bench->lab, LAB_B, &out, 50)) {
            expect(flow, in, &out);
            return;
        }
        bench_run(bench, SETTLED_MSEC);
    }
    fail_msg("nothing is forwarded");
}

static void soon_forwards(struct bench *bench, const struct offload_flow *flow)
{
    const struct datagram in = packet_for(flow, 50);

    soon_forwards_this(bench, flow, &in);
}

static void soon_passes(struct bench *bench, const struct datagram *in, enum fastpath_passed why)
{
    struct fastpath_totals before, after;
    struct datagram out;

    for (int i = 0; i < 20; i++) {
        fastpath_totals(bench->fastpath, &before);
        lab_say(&bench->lab, LAB_A, in);
        bool forwarded = lab_hear(&bench->lab, LAB_B, &out, 20);
        fastpath_totals(bench->fastpath, &after);
        if (!forwarded && after.passed[why] == before.passed[why] + 1)
            return;
        bench_run(bench, SETTLED_MSEC);
    }
    fail_msg("does not pass");
}

static void serves(struct bench *bench, unsigned interfaces)
{
    for (int i = 0; i < 20 && fastpath_interfaces(bench->fastpath) != interfaces; i++)
        bench_run(bench, SETTLED_MSEC);
    assert_int_equal(fastpath_interfaces(bench->fastpath), interfaces);
}

// The Ethernet address of what leaves at B, soon.
static void forwards_to(struct bench *bench, const struct offload_flow *flow,
                        const uint8_t destination[6])
{
    struct datagram in = packet_for(flow, 50);
    uint8_t frame[200];

    for (int i = 0; i < 20; i++) {
        lab_say(&bench->lab, LAB_A, &in);
        while (lab_recv(&bench->lab, LAB_B, frame, sizeof frame, 50) > 0)
            if (frame[12] == 8 && frame[13] == 0 && memcmp(frame, destination, 6) == 0)
                return;
        bench_run(bench, SETTLED_MSEC);
    }
    fail_msg("nothing leaves to that address");
}

static void test_a_neighbour_has_another_address(void **state)
{
    struct bench *bench = *state;
    struct offload_flow flow = flow_v4();

    put(bench, &flow);
    forwards_to(bench, &flow, (uint8_t[]){2, 0, 0, 0, 0, 0x22});
    change(bench, LAB_RELAY, "neigh replace 10.77.2.9 lladdr 02:00:00:00:00:33 dev r1\n");
    forwards_to(bench, &flow, (uint8_t[]){2, 0, 0, 0, 0, 0x33});
    change(bench, LAB_RELAY, "neigh replace 10.77.2.9 lladdr 02:00:00:00:00:22 dev r1\n");
    forwards_to(bench, &flow, (uint8_t[]){2, 0, 0, 0, 0, 0x22});
    take(bench, &flow);
}

// Nobody has asked for it before; the first packets wait for the answer.
static void test_a_neighbour_is_asked_for(void **state)
{
    static const char *const to[] = {"10.77.2.2", "fd77:2::2"}, *const leave[] = {"10.77.2.1",
                                                                                  "fd77:2::1"};
    struct bench *bench = *state;

    for (int i = 0; i < 2; i++) {
        struct offload_flow flow = flow_v4();
        flow.to = lab_addr(to[i], 6000);
        flow.leave = lab_addr(leave[i], 40000);
        change(bench, LAB_RELAY, "neigh flush dev r1 nud reachable nud stale nud delay\n");
        put(bench, &flow);
        forwards(bench, &flow);
        take(bench, &flow);
    }
}

static void test_by_a_gateway(void **state)
{
    struct bench *bench = *state;
    struct offload_flow flow = flow_v4();

    change(bench, LAB_RELAY,
           "neigh add 10.77.2.50 lladdr 02:00:00:00:00:50 dev r1\n"
           "neigh add fd77:2::51 lladdr 02:00:00:00:00:51 dev r1\n"
           "route add 192.0.2.0/24 via 10.77.2.50\n");
    flow.to = lab_addr("192.0.2.1", 6000);
    put(bench, &flow);
    forwards_to(bench, &flow, (uint8_t[]){2, 0, 0, 0, 0, 0x50});
    change(bench, LAB_RELAY, "route replace 192.0.2.0/24 via inet6 fd77:2::51\n");
    forwards_to(bench, &flow, (uint8_t[]){2, 0, 0, 0, 0, 0x51});
    change(bench, LAB_RELAY, "route add 192.0.2.1/32 via 10.77.2.50\n");
    forwards_to(bench, &flow, (uint8_t[]){2, 0, 0, 0, 0, 0x50});
    take(bench, &flow);
    change(bench, LAB_RELAY, "route del 192.0.2.1/32\nroute del 192.0.2.0/24\n");
}

static void test_no_way_and_a_way_again(void **state)
{
    struct bench *bench = *state;
    struct offload_flow flow = flow_v4();
    struct datagram in = packet_for(&flow, 50);

    put(bench, &flow);
    forwards(bench, &flow);
    change(bench, LAB_RELAY, "route add blackhole 10.77.2.9\n");
    soon_passes(bench, &in, FASTPATH_ROUTE);
    change(bench, LAB_RELAY, "route del 10.77.2.9\n");
    soon_forwards(bench, &flow);
    change(bench, LAB_RELAY, "link set r1 down\n");
    soon_passes(bench, &in, FASTPATH_ROUTE);
    change(bench, LAB_RELAY,
           "link set r1 up\nneigh replace 10.77.2.9 lladdr 02:00:00:00:00:22 dev r1\n");
    soon_forwards(bench, &flow);
    take(bench, &flow);
    change(bench, LAB_RELAY,
           "addr add fd77:2::1/64 dev r1 nodad\n"
           "neigh replace fd77:2::9 lladdr 02:00:00:00:00:22 dev r1\n");
}

static void test_put_without_a_way_waits_for_one(void **state)
{
    struct bench *bench = *state;
    struct offload_flow flow = flow_v4();
    struct datagram in = packet_for(&flow, 50);

    put(bench, &flow);
    flow.to = lab_addr("192.0.2.1", 6000);
    put(bench, &flow);
    soon_passes(bench, &in, FASTPATH_ROUTE);
    change(bench, LAB_RELAY, "route add 192.0.2.1/32 via 10.77.2.9\n");
    soon_forwards(bench, &flow);
    take(bench, &flow);
    change(bench, LAB_RELAY, "route del 192.0.2.1/32\n");
}

// What is put around a packet on its way the kernel's program would leave out. Not every kernel has
// such routes.
static void test_a_way_that_wraps(void **state)
{
    struct bench *bench = *state;
    struct offload_flow flow = flow_v4();
    struct datagram in = packet_for(&flow, 50);

    put(bench, &flow);
    if (system("ip route add 10.77.2.9/32 encap ip id 7 dst 10.77.2.8 dev r1") != 0) {
        take(bench, &flow);
        skip();
    }
    soon_passes(bench, &in, FASTPATH_ROUTE);
    change(bench, LAB_RELAY, "route del 10.77.2.9/32\n");
    soon_forwards(bench, &flow);
    take(bench, &flow);
}

static void test_another_mtu(void **state)
{
    struct bench *bench = *state;
    struct offload_flow flow = flow_v4();
    struct datagram in = packet_for(&flow, 1300);

    put(bench, &flow);
    change(bench, LAB_RELAY, "link set r1 mtu 1300\n");
    soon_passes(bench, &in, FASTPATH_MTU);
    change(bench, LAB_RELAY, "link set r1 mtu 1500\n");
    soon_forwards_this(bench, &flow, &in);
    change(bench, LAB_RELAY, "route add 10.77.2.9/32 dev r1 mtu 1310\n");
    soon_passes(bench, &in, FASTPATH_MTU);
    change(bench, LAB_RELAY, "route del 10.77.2.9/32\n");
    take(bench, &flow);
}

static size_t tagged_frame(const struct datagram *d, uint8_t *frame)
{
    static const uint8_t tag[4] = {0x81, 0, 0, 5};
    size_t len = lab_frame(LAB_A, d, frame);

    memmove(frame + 16, frame + 12, len - 12);
    memcpy(frame + 12, tag, sizeof tag);
    return len + sizeof tag;
}

// A flow of an interface is one of packets without a tag.
static void test_packets_of_vlans_are_of_other_flows(void **state)
{
    struct bench *bench = *state;
    struct offload_flow flow = flow_v4();
    struct datagram in = packet_for(&flow, 50);
    uint8_t frame[200];

    put(bench, &flow);
    assert_int_equal(passed(bench, frame, tagged_frame(&in, frame)), FASTPATH_PASSED_COUNT);
    take(bench, &flow);
}

// In by a VLAN and out by it. Not every kernel has them.
static void test_vlans(void **state)
{
    struct bench *bench = *state;
    struct offload_flow flow = flow_v4();
    uint8_t frame[200];

    if (system("ip link add link r0 name r0.5 type vlan id 5") != 0)
        skip();
    change(bench, LAB_RELAY,
           "link set r0.5 up\n"
           "addr add 10.77.5.1/24 dev r0.5\n"
           "neigh add 10.77.5.9 lladdr 02:00:00:00:00:21 dev r0.5\n"
           "addr del 10.77.1.1/24 dev r0\n"
           "addr add 10.77.1.1/24 dev r0.5\n");
    serves(bench, 3);
    flow.leave = lab_addr("10.77.5.1", 40000);
    flow.to = lab_addr("10.77.5.9", 6000);
    struct datagram in = packet_for(&flow, 50);
    put(bench, &flow);
    lab_send(&bench->lab, LAB_A, frame, tagged_frame(&in, frame));
    do
        assert_int_not_equal(lab_recv(&bench->lab, LAB_A, frame, sizeof frame, 1000), 0);
    while (frame[12] != 8 || frame[13] != 0); // the tag is beside the frame when it is received
    assert_int_equal(take(bench, &flow).packets, 1);
    change(bench, LAB_RELAY, "link del r0.5\naddr add 10.77.1.1/24 dev r0\n");
}

static void test_an_interface_comes_and_goes(void **state)
{
    struct bench *bench = *state;
    struct offload_flow flow = flow_v4();

    change(bench, LAB_RELAY, "addr del 10.77.1.1/24 dev r0\naddr del fd77:1::1/64 dev r0\n");
    // An address that is nowhere may be anywhere.
    serves(bench, 2);
    change(bench, LAB_RELAY,
           "link add r2 type veth peer name r3\n"
           "link set r2 up\n");
    serves(bench, 4);
    change(bench, LAB_RELAY,
           "addr add 10.77.1.1/24 dev r0\n"
           "addr add fd77:1::1/64 dev r0 nodad\n");
    serves(bench, 2);
    change(bench, LAB_RELAY,
           "link del r2\n"
           "neigh replace 10.77.1.9 lladdr 02:00:00:00:00:21 dev r0\n");
    put(bench, &flow);
    forwards(bench, &flow);
    take(bench, &flow);
}

// ---- the end ----

// A daemon of its own, in the relay's namespace, with one flow; says when it is ready.
static void be_a_daemon(struct bench *bench, int ready)
{
    const struct addr local = lab_addr("10.77.1.1", 0);
    const struct fastpath_config config = {.flows_max = 10, .local = &local, .locals = 1};
    struct offload_flow flow = flow_v4();
    struct fastpath *fastpath;
    const char *reason;

    flow.from.port = 5001;
    if (fastpath_new(bench->base, &config, &fastpath, &reason) < 0)
        _exit(1);
    struct offload_io io = fastpath_io(fastpath);
    if (io.put(io.ctx, &flow, NULL, 0) < 0 || write(ready, "x", 1) != 1)
        _exit(1);
    pause();
    _exit(0);
}

static void test_nothing_outlives_a_killed_daemon(void **state)
{
    struct bench *bench = *state;
    struct offload_flow flow = flow_v4();
    struct datagram in, out;
    char byte;
    int ready[2];

    flow.from.port = 5001;
    in = packet_for(&flow, 50);
    assert_int_equal(pipe(ready), 0);
    pid_t pid = fork();
    if (pid == 0)
        be_a_daemon(bench, ready[1]);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    forwards(bench, &flow);
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    close(ready[0]);
    close(ready[1]);
    usleep(50000); // the kernel lets go of links in its own time
    lab_say(&bench->lab, LAB_A, &in);
    assert_false(lab_hear(&bench->lab, LAB_B, &out, 50));
    flow.from.port = 5000; // beside it all goes on
    put(bench, &flow);
    forwards(bench, &flow);
    take(bench, &flow);
}

static void drop_capabilities(void)
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct none[2] = {{0}, {0}};

    if (syscall(SYS_capset, &head, none) < 0)
        _exit(3);
}

static void test_without_the_privilege_there_is_a_reason(void **state)
{
    struct bench *bench = *state;
    const struct addr local = lab_addr("10.77.1.1", 0);
    const struct fastpath_config config = {.flows_max = 10, .local = &local, .locals = 1};
    int status;

    pid_t pid = fork();
    if (pid == 0) {
        struct fastpath *fastpath;
        const char *reason = "";
        drop_capabilities();
        int rc = fastpath_new(bench->base, &config, &fastpath, &reason);
        _exit(rc == -EPERM && strcmp(reason, "needs CAP_BPF and CAP_NET_ADMIN") == 0 ? 0 : 1);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

// Of all capabilities these two are enough.
static void test_two_capabilities_are_enough(void **state)
{
    struct bench *bench = *state;
    int ready[2], status;
    char byte;
    struct offload_flow flow = flow_v4();

    flow.from.port = 5001;
    assert_int_equal(pipe(ready), 0);
    pid_t pid = fork();
    if (pid == 0) {
        struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
        struct __user_cap_data_struct two[2] = {{0}, {0}};
        two[0].effective = two[0].permitted = 1u << CAP_NET_ADMIN;
        two[1].effective = two[1].permitted = 1u << (CAP_BPF - 32);
        if (syscall(SYS_capset, &head, two) < 0)
            _exit(3);
        be_a_daemon(bench, ready[1]);
    }
    close(ready[1]);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    forwards(bench, &flow);
    kill(pid, SIGTERM);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    close(ready[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_neighbour_has_another_address),
        cmocka_unit_test(test_a_neighbour_is_asked_for),
        cmocka_unit_test(test_by_a_gateway),
        cmocka_unit_test(test_no_way_and_a_way_again),
        cmocka_unit_test(test_put_without_a_way_waits_for_one),
        cmocka_unit_test(test_a_way_that_wraps),
        cmocka_unit_test(test_another_mtu),
        cmocka_unit_test(test_packets_of_vlans_are_of_other_flows),
        cmocka_unit_test(test_vlans),
        cmocka_unit_test(test_an_interface_comes_and_goes),
        cmocka_unit_test(test_nothing_outlives_a_killed_daemon),
        cmocka_unit_test(test_without_the_privilege_there_is_a_reason),
        cmocka_unit_test(test_two_capabilities_are_enough),
    };
    return cmocka_run_group_tests(tests, open_bench, close_bench);
}
