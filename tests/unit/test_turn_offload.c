// SPDX-License-Identifier: ISC
// What the TURN core leaves to the kernel: channels of UDP clients, for as long as channel,
// permission and allocation live, counted and limited as if it had forwarded them itself. The
// kernel is the one of lib/kernel.h.
#include "lib/turn_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define SECOND  USEC_PER_SEC
#define CHANNEL 0x4001

struct fixture {
    struct tw *w;
    struct tw_client client;
    struct addr relayed, peer;
};

static void set_up_with(struct fixture *f, uint64_t bytes_per_second, enum turn_transport transport)
{
    *f = (struct fixture){.w = tw_new(), .peer = tw_at("192.0.2.9", 9000)};
    f->w->config.bytes_per_second = bytes_per_second;
    tw_start(f->w);
    tw_offload(f->w);
    f->client = tw_client(f->w, "198.51.100.1", 1000);
    f->client.at.transport = transport;
    assert_int_equal(tw_allocate(f->w, &f->client), 0);
    f->relayed = tw_relayed(f->w, 0);
    assert_int_equal(tw_bind(f->w, &f->client, CHANNEL, &f->peer), 0);
}

static void set_up(struct fixture *f)
{
    set_up_with(f, 0, TURN_UDP);
}

static void out(struct fixture *f)
{
    assert_int_equal(tw_channel(f->w, &f->client, CHANNEL, "data", 4), TURN_TO_PEER);
    assert_true(addr_equal(&f->w->forward.to, &f->peer));
    assert_true(f->w->packet.len == 4 && memcmp(f->w->packet.data, "data", 4) == 0);
}

static void in(struct fixture *f)
{
    static const uint8_t framed[] = {0x40, 0x01, 0, 4, 'd', 'a', 't', 'a'};
    assert_int_equal(tw_peer(f->w, &f->relayed, &f->peer, "data", 4), TURN_TO_CLIENT);
    assert_true(addr_equal(&f->w->forward.client.remote, &f->client.at.remote));
    assert_int_equal(f->w->packet.len, sizeof framed);
    assert_memory_equal(f->w->packet.data, framed, sizeof framed);
}

static void talk(struct fixture *f, unsigned n)
{
    while (n-- > 0) {
        out(f);
        in(f);
    }
}

static void note_view(void *ctx, const struct turn_view *view)
{
    *(struct turn_view *)ctx = *view;
}

static struct turn_view view(struct fixture *f)
{
    struct turn_view v = {0};
    turn_list(f->w->turn, note_view, &v, f->w->now);
    return v;
}

static void after_a_few_packets(void **state)
{
    struct fixture f;
    set_up(&f);
    talk(&f, 4);
    assert_int_equal(f.w->kernel->flows, 0);
    talk(&f, 1);
    assert_int_equal(f.w->kernel->flows, 2);
    talk(&f, 95);
    assert_true(f.w->kernel->packets == 190);
    struct turn_view v = view(&f);
    assert_true(v.packets_in == 100 && v.packets_out == 100 && v.offloaded == 2);
    assert_true(v.bytes_in == 400 && v.bytes_out == 400);
    assert_true(tw_counter(f.w, COUNTER_TURN_TO_PEER_PACKETS) == 100);
    talk(&f, 10);
    v = view(&f); // nothing is counted twice
    assert_true(v.packets_in == 110 && v.bytes_out == 440);
    assert_int_equal(tw_refresh(f.w, &f.client, 0), 0);
    assert_int_equal(f.w->kernel->flows, 0);
    assert_true(tw_counter(f.w, COUNTER_TURN_TO_CLIENT_BYTES) == 440);
    tw_free(f.w);
}

static void indications_and_others_come_here(void **state)
{
    struct fixture f;
    uint8_t padded[] = {0x40, 0x01, 0, 3, 'd', 'a', 't', 0};
    set_up(&f);
    talk(&f, 10);
    uint64_t before = f.w->kernel->packets;
    assert_int_equal(tw_indicate(f.w, &f.client, &f.peer, "data", 4), TURN_TO_PEER);
    assert_int_equal(tw_raw(f.w, &f.client, padded, sizeof padded), TURN_TO_PEER);
    assert_int_equal(f.w->packet.len, 3);
    struct addr other = tw_at("192.0.2.9", 9001); // permitted, without a channel
    assert_int_equal(tw_peer(f.w, &f.relayed, &other, "data", 4), TURN_TO_CLIENT);
    assert_int_equal(f.w->reply.method, STUN_DATA_INDICATION);
    assert_true(f.w->kernel->packets == before);
    tw_free(f.w);
}

static void only_of_udp_clients(void **state)
{
    static const enum turn_transport transports[] = {TURN_TCP, TURN_TLS, TURN_DTLS};
    for (unsigned i = 0; i < 3; i++) {
        struct fixture f;
        set_up_with(&f, 0, transports[i]);
        for (unsigned k = 0; k < 20; k++)
            out(&f);
        assert_int_equal(f.w->kernel->puts, 0);
        tw_free(f.w);
    }
}

static void where_the_kernel_has_no_way(void **state)
{
    struct fixture f;
    set_up(&f);
    f.w->no_route = true;
    for (unsigned i = 0; i < 10; i++) {
        talk(&f, 10);
        tw_wait(f.w, SECOND);
    }
    assert_int_equal(f.w->kernel->puts, 0);
    assert_in_range(tw_counter(f.w, COUNTER_OFFLOAD_REFUSED_TURN), 9, 11);
    f.w->no_route = false;
    talk(&f, 10);
    assert_int_equal(f.w->kernel->flows, 2);
    assert_true(view(&f).packets_out == 110);
    tw_free(f.w);
}

// Once a minute a packet comes up; what has run out meanwhile is not forwarded.
static void a_lease_ends_with_what_it_rests_on(void **state)
{
    struct fixture f;
    set_up(&f);
    talk(&f, 10);
    for (unsigned i = 0; i < 4; i++) {
        tw_wait(f.w, 60 * SECOND);
        talk(&f, 2);
    }
    assert_int_equal(f.w->kernel->puts, 2 + 4 * 2);
    tw_wait(f.w, 60 * SECOND - 1);
    talk(&f, 1);
    tw_wait(f.w, 1); // 300 s: the permission is over, the channel is not
    assert_int_equal(tw_peer(f.w, &f.relayed, &f.peer, "data", 4), TURN_CONSUME);
    out(&f);
    assert_int_equal(tw_permit(f.w, &f.client, "192.0.2.9"), 0);
    talk(&f, 10);
    uint64_t before = f.w->kernel->packets;
    talk(&f, 10);
    assert_true(f.w->kernel->packets == before + 20);
    for (unsigned i = 0; i < 4; i++) {
        tw_wait(f.w, 60 * SECOND);
        out(&f);
    }
    assert_int_equal(tw_refresh(f.w, &f.client, 600), 0);
    tw_wait(f.w, 60 * SECOND); // 600 s: the channel is over
    assert_int_equal(tw_channel(f.w, &f.client, CHANNEL, "data", 4), TURN_CONSUME);
    tw_free(f.w);
}

// Nobody lists allocations, and none ends.
static void the_totals_go_on(void **state)
{
    struct fixture f;
    set_up(&f);
    for (unsigned i = 0; i < 4; i++) {
        talk(&f, 100);
        tw_wait(f.w, 60 * SECOND);
    }
    talk(&f, 1);
    assert_true(tw_counter(f.w, COUNTER_TURN_TO_PEER_PACKETS) == 401);
    assert_true(tw_counter(f.w, COUNTER_TURN_TO_CLIENT_BYTES) == 1604);
    tw_free(f.w);
}

static void a_number_may_be_another_peers_later(void **state)
{
    struct fixture f;
    set_up(&f);
    talk(&f, 10);
    tw_wait(f.w, 590 * SECOND);
    assert_int_equal(tw_refresh(f.w, &f.client, 600), 0);
    tw_wait(f.w, 11 * SECOND);
    f.peer = tw_at("192.0.2.10", 9000);
    assert_int_equal(tw_bind(f.w, &f.client, CHANNEL, &f.peer), 0);
    assert_int_equal(f.w->kernel->flows, 0);
    talk(&f, 10);
    assert_int_equal(f.w->kernel->flows, 2);
    tw_free(f.w);
}

static void a_mobile_client_is_followed(void **state)
{
    struct fixture f = {.w = tw_new(), .peer = tw_at("192.0.2.9", 9000)};
    tw_start(f.w);
    tw_offload(f.w);
    f.client = tw_client(f.w, "198.51.100.1", 1000);
    struct writer w = tw_begin(&f.client, STUN_ALLOCATE);
    stun_put_u32(&w, STUN_REQUESTED_TRANSPORT, 17u << 24);
    stun_put_bytes(&w, STUN_MOBILITY_TICKET, NULL, 0);
    assert_int_equal(tw_send(f.w, &f.client, &w), 0);
    f.relayed = tw_relayed(f.w, 0);
    uint8_t ticket[64];
    size_t len = f.w->reply.attr[STUN_MOBILITY_TICKET].len;
    memcpy(ticket, f.w->reply.attr[STUN_MOBILITY_TICKET].data, len);
    assert_int_equal(tw_bind(f.w, &f.client, CHANNEL, &f.peer), 0);
    talk(&f, 10);

    struct tw_client old = f.client;
    f.client = tw_client(f.w, "198.51.100.2", 2000);
    f.client.user = old.user;
    f.client.password = old.password;
    w = tw_begin(&f.client, STUN_REFRESH);
    stun_put_bytes(&w, STUN_MOBILITY_TICKET, ticket, len);
    assert_int_equal(tw_send(f.w, &f.client, &w), 0);
    assert_int_equal(f.w->kernel->flows, 2); // not there yet
    out(&f);
    assert_int_equal(f.w->kernel->flows, 0);
    assert_int_equal(tw_channel(f.w, &old, CHANNEL, "data", 4), TURN_CONSUME);
    in(&f);
    tw_wait(f.w, SECOND);
    talk(&f, 10);
    assert_int_equal(f.w->kernel->flows, 2);
    assert_true(view(&f).packets_in == 21);
    tw_free(f.w);
}

static void a_shorter_lifetime_counts_at_once(void **state)
{
    struct fixture f;
    set_up(&f);
    f.w->config.default_lifetime = 600 * SECOND;
    assert_int_equal(tw_refresh(f.w, &f.client, 3600), 0);
    talk(&f, 10);
    assert_int_equal(f.w->kernel->flows, 2);
    assert_int_equal(tw_refresh(f.w, &f.client, 600), 0);
    assert_int_equal(f.w->kernel->flows, 0);
    tw_free(f.w);
}

static void the_limit_holds_in_total(void **state)
{
    static const uint8_t frame[204] = {0x40, 0x01, 0, 200};
    for (unsigned pass_up = 0; pass_up <= 1000; pass_up += 500) {
        struct fixture f;
        uint64_t passed = 0;
        set_up_with(&f, 100000, TURN_UDP);
        talk(&f, 10);
        f.w->kernel->pass_up = pass_up;
        for (unsigned ms = 0; ms < 30000; ms++) {
            f.w->now += 1000;
            passed += tw_raw(f.w, &f.client, frame, sizeof frame) == TURN_TO_PEER ? 200 : 0;
            passed += tw_peer(f.w, &f.relayed, &f.peer, frame, 200) == TURN_TO_CLIENT ? 200 : 0;
        }
        assert_in_range(passed, 2700000, 3250000);
        struct turn_view v = view(&f);
        assert_true(v.bytes_in + v.bytes_out == passed + 80);
        assert_int_equal(tw_refresh(f.w, &f.client, 0), 0);
        assert_true(tw_counter(f.w, COUNTER_TURN_DROP_BANDWIDTH) == (12000000 - passed) / 200);
        tw_free(f.w);
    }
}

// A lifetime that is shortened takes the flows back, and whoever does it all the time gets no burst
// of the kernel's each time.
static void refreshing_is_no_way_around_the_limit(void **state)
{
    enum { RATE = 32000, SECONDS = 60 };
    static const uint8_t frame[204] = {0x40, 0x01, 0, 200};
    struct fixture f;
    uint64_t passed = 0;
    set_up_with(&f, RATE, TURN_UDP);
    f.w->config.default_lifetime = 600 * SECOND;
    talk(&f, 10);
    unsigned puts = f.w->kernel->puts;
    for (unsigned ms = 0; ms < SECONDS * 1000; ms++) {
        f.w->now += 1000;
        if (ms % 1300 == 0) {
            (void)tw_refresh(f.w, &f.client, 3600);
            (void)tw_refresh(f.w, &f.client, 600);
        }
        passed += tw_raw(f.w, &f.client, frame, sizeof frame) == TURN_TO_PEER ? 200 : 0;
    }
    assert_true(f.w->kernel->puts > puts + 10); // else nothing is shown
    assert_in_range(passed, RATE * SECONDS / 2, RATE * SECONDS * 21 / 20 + RATE + 65536);
    tw_free(f.w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(after_a_few_packets),
        cmocka_unit_test(indications_and_others_come_here),
        cmocka_unit_test(only_of_udp_clients),
        cmocka_unit_test(where_the_kernel_has_no_way),
        cmocka_unit_test(a_lease_ends_with_what_it_rests_on),
        cmocka_unit_test(the_totals_go_on),
        cmocka_unit_test(a_number_may_be_another_peers_later),
        cmocka_unit_test(a_mobile_client_is_followed),
        cmocka_unit_test(a_shorter_lifetime_counts_at_once),
        cmocka_unit_test(the_limit_holds_in_total),
        cmocka_unit_test(refreshing_is_no_way_around_the_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
