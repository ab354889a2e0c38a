// SPDX-License-Identifier: ISC
// One flow that two processors forward while its rule is changed and its figures are read: nothing
// is forwarded uncounted or counted twice, and what is read is of one moment. What finds the flow
// another's for too long goes up, and takes nothing of its limit. The programs are run
// by the kernel for this test (BPF_PROG_RUN); no packet goes anywhere.
#include "../../src/platform/fastpath_kernel.h"
#include "platform/udp.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/udp.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum {
    SKIPPED = 77,
    REDIRECTED = 7, // TC_ACT_REDIRECT
    SENDERS = 3,    // with a stream each
    PAYLOAD = 20,
    PACKETS = 60000, // of each
};

struct frame {
    struct ethhdr ethernet; // of the loopback interface, whose address is zero
    struct iphdr ip;
    struct udphdr udp;
    uint8_t payload[PAYLOAD];
} __attribute__((packed));

struct sender {
    const struct fast_kernel *kernel;
    uint32_t ssrc;
    _Atomic unsigned *running;
    unsigned forwarded, passed;
};

static struct fast_key key_of_flow(void)
{
    return (struct fast_key){.from = {inet_addr("192.0.2.2")},
                             .at = {inet_addr("203.0.113.1")},
                             .from_port = htons(5000),
                             .at_port = htons(30000),
                             .family = FAMILY_V4};
}

static struct fast_rule rule_of_flow(uint16_t to_port)
{
    return (struct fast_rule){.until = UINT64_MAX,
                              .flags = FAST_MEDIA,
                              .way = {.ifindex = 1,
                                      .mtu = 1500,
                                      .leave = {inet_addr("203.0.113.1")},
                                      .to = {inet_addr("198.51.100.2")},
                                      .leave_port = htons(30002),
                                      .to_port = htons(to_port),
                                      .family = FAMILY_V4,
                                      .hop = {.nh_family = 2}}}; // AF_INET
}

static uint16_t ip_checksum(const struct iphdr *ip)
{
    uint16_t word[sizeof *ip / 2];
    uint32_t sum = 0;

    memcpy(word, ip, sizeof word);
    for (size_t i = 0; i < sizeof word / sizeof word[0]; i++)
        sum += word[i];
    sum = (sum >> 16) + (sum & 0xffff);
    return (uint16_t) ~((sum >> 16) + sum);
}

static struct frame frame_of(uint32_t ssrc, uint16_t sequence)
{
    const struct fast_key key = key_of_flow();
    struct frame f = {
        .ethernet.h_proto = htons(ETH_P_IP),
        .ip = {.version = 4,
               .ihl = 5,
               .tot_len = htons(sizeof f.ip + sizeof f.udp + PAYLOAD),
               .ttl = 64,
               .protocol = IPPROTO_UDP,
               .saddr = key.from[0],
               .daddr = key.at[0]},
        .udp = {.source = key.from_port, .dest = key.at_port, .len = htons(sizeof f.udp + PAYLOAD)},
        .payload = {0x80, 0x60, (uint8_t)(sequence >> 8), (uint8_t)sequence},
    };
    struct iphdr ip = f.ip;

    f.ip.check = ip_checksum(&ip);
    ssrc = htonl(ssrc);
    memcpy(f.payload + 8, &ssrc, sizeof ssrc);
    return f;
}

static void *send_stream(void *arg)
{
    struct sender *s = arg;

    for (unsigned i = 0; i < PACKETS; i++) {
        struct frame frame = frame_of(s->ssrc, (uint16_t)i);
        struct bpf_test_run_opts run = {
            .sz = sizeof run, .data_in = &frame, .data_size_in = sizeof frame};
        if (bpf_prog_test_run_opts(s->kernel->forward, &run) < 0)
            abort();
        s->forwarded += run.retval == REDIRECTED;
        s->passed += run.retval == (uint32_t)-1; // TCX_NEXT: it was another's turn for too long
    }
    atomic_fetch_sub(s->running, 1);
    return NULL;
}

static void read_whole(const struct fast_kernel *kernel, struct fast_flow *ret_flow)
{
    const struct fast_key key = key_of_flow();
    uint64_t received = 0;

    assert_int_equal(fast_kernel_read(kernel, &key, ret_flow), 0);
    assert_int_equal(ret_flow->figures.media, ret_flow->figures.packets);
    assert_int_equal(ret_flow->figures.bytes, PAYLOAD * ret_flow->figures.packets);
    for (unsigned i = 0; i < ret_flow->qualities; i++)
        received += ret_flow->quality[i].received;
    assert_int_equal(received, ret_flow->figures.packets);
}

// Until no stream is sent any more. Returns how often.
static unsigned read_and_change(const struct fast_kernel *kernel, _Atomic unsigned *running)
{
    const struct fast_key key = key_of_flow();
    uint64_t before = 0;
    unsigned count = 0;

    for (; atomic_load(running) > 0; count++) {
        struct fast_rule rule = rule_of_flow((uint16_t)(6000 + count % 1000));
        struct fast_flow flow;
        assert_int_equal(fast_kernel_order(kernel, &key, &rule), 0);
        read_whole(kernel, &flow);
        assert_int_equal(flow.rule.way.to_port, rule.way.to_port);
        assert_true(flow.figures.packets >= before);
        before = flow.figures.packets;
    }
    return count;
}

static void open_flow(struct fast_kernel *kernel, const struct fast_flow *flow)
{
    const struct fast_key key = key_of_flow();
    const char *reason = "";

    if (fast_kernel_load(kernel, 10, &reason) < 0) {
        fprintf(stderr, "no fast path: %s\n", reason);
        exit(strncmp(reason, "needs ", 6) == 0 ? SKIPPED : EXIT_FAILURE);
    }
    assert_int_equal(fast_kernel_insert(kernel, &key, flow), 0);
}

static uint32_t send_frame(const struct fast_kernel *kernel)
{
    struct frame frame = frame_of(100, 0);
    struct bpf_test_run_opts run = {
        .sz = sizeof run, .data_in = &frame, .data_size_in = sizeof frame};

    assert_int_equal(bpf_prog_test_run_opts(kernel->forward, &run), 0);
    return run.retval;
}

static uint64_t busy(const struct fast_kernel *kernel)
{
    uint64_t count;

    assert_int_equal(fast_kernel_passed(kernel, FASTPATH_BUSY, &count), 0);
    return count;
}

static uint64_t tokens_left(const struct fast_kernel *kernel, uint64_t group)
{
    struct fast_limit limit;

    assert_int_equal(bpf_map_lookup_elem(kernel->limits, &group, &limit), 0);
    return limit.tokens / 1000000;
}

static void test_who_finds_the_turn_taken_is_charged_in_user_space_only(void **state)
{
    const uint64_t group = 7;
    const struct fast_limit limit = {
        .capacity = 1000000000, .fills_in = UINT64_MAX, .tokens = 1000000000};
    const struct fast_key key = key_of_flow();
    struct fast_flow flow = {.turn = 1, .rule = rule_of_flow(6000)}; // somebody has it
    struct fast_kernel kernel;

    flow.rule.group = group;
    open_flow(&kernel, &flow);
    assert_int_equal(fast_kernel_limit(&kernel, group, &limit), 0);
    assert_int_equal(send_frame(&kernel), (uint32_t)-1);
    assert_int_equal(busy(&kernel), 1);
    assert_int_equal(tokens_left(&kernel, group), 1000);
    flow.turn = 2;
    assert_int_equal(bpf_map_update_elem(kernel.flows, &key, &flow, BPF_EXIST), 0);
    assert_int_equal(send_frame(&kernel), REDIRECTED);
    assert_int_equal(busy(&kernel), 1);
    assert_int_equal(tokens_left(&kernel, group), 1000 - PAYLOAD);
    // Taken back meanwhile: as if the kernel had never known it.
    flow.turn = 4;
    flow.rule.flags |= FAST_OFF;
    assert_int_equal(bpf_map_update_elem(kernel.flows, &key, &flow, BPF_EXIST), 0);
    assert_int_equal(send_frame(&kernel), (uint32_t)-1);
    assert_int_equal(busy(&kernel), 1);
    assert_int_equal(tokens_left(&kernel, group), 1000 - PAYLOAD);
    fast_kernel_unload(&kernel);
}

static void test_a_flow_of_several_processors(void **state)
{
    struct fast_kernel kernel;
    struct sender sender[SENDERS];
    pthread_t thread[SENDERS];
    _Atomic unsigned running = SENDERS;
    unsigned forwarded = 0, passed = 0;
    struct fast_flow flow;

    open_flow(&kernel, &(struct fast_flow){.rule = rule_of_flow(6000)});
    for (unsigned i = 0; i < SENDERS; i++) {
        sender[i] = (struct sender){.kernel = &kernel, .ssrc = 100 + i, .running = &running};
        assert_int_equal(pthread_create(&thread[i], NULL, send_stream, &sender[i]), 0);
    }
    assert_true(read_and_change(&kernel, &running) > 0);
    for (unsigned i = 0; i < SENDERS; i++)
        pthread_join(thread[i], NULL);
    read_whole(&kernel, &flow);
    assert_int_equal(flow.turn % 2, 0);
    for (unsigned i = 0; i < SENDERS; i++) {
        assert_int_equal(sender[i].forwarded + sender[i].passed, PACKETS);
        assert_true(sender[i].forwarded > 0);
        forwarded += sender[i].forwarded;
        passed += sender[i].passed;
        for (unsigned k = 0; k < flow.qualities; k++)
            if (flow.quality[k].ssrc == sender[i].ssrc)
                assert_int_equal(flow.quality[k].received, sender[i].forwarded);
    }
    assert_int_equal(flow.figures.packets, forwarded);
    assert_int_equal(flow.qualities, SENDERS);
    assert_int_equal(busy(&kernel), passed);
    fast_kernel_unload(&kernel);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_flow_of_several_processors),
        cmocka_unit_test(test_who_finds_the_turn_taken_is_charged_in_user_space_only)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
