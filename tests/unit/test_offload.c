// SPDX-License-Identifier: ISC
// What the relay core leaves to the kernel, when it takes it back, and that nobody can tell by the
// figures. The kernel is the one of lib/kernel.h.
#include "lib/world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define A      SIDE_INITIATOR
#define B      SIDE_RESPONDER
#define CALL   1
#define PATH   10
#define MSEC   USEC_PER_MSEC
#define SECOND USEC_PER_SEC

struct fixture {
    struct world *w;
    struct addr port[SIDE_COUNT], client[SIDE_COUNT];
    uint16_t sequence[SIDE_COUNT];
    uint8_t buf[2048];
};

// A raw path: both addresses are signalled and public.
static void set_up_limited(struct fixture *f, uint64_t bytes_per_second)
{
    struct relay_config config = world_config();
    struct order order = {.kind = ORDER_OPEN, .call = CALL, .path = PATH};

    *f = (struct fixture){.w = world_new(&config)};
    world_offload(f->w);
    order.u.open.mode = PATH_RAW;
    order.u.open.bytes_per_second = bytes_per_second;
    order.u.open.family_v4[A] = order.u.open.family_v4[B] = true;
    struct relay_event e = world_order(f->w, &order);
    assert_int_equal(e.kind, EVENT_OPENED);
    f->client[A] = at("8.8.1.1", 1111); // documentation ranges are special-purpose
    f->client[B] = at("9.9.1.1", 3333);
    for (unsigned s = 0; s < SIDE_COUNT; s++) {
        f->port[s] = e.u.opened[s][0];
        world_peer(f->w, PATH, s, f->client[s]);
    }
}

static void set_up(struct fixture *f)
{
    set_up_limited(f, 0);
}

// The next packet of a side; 20 ms pass.
static struct outcome rtp(struct fixture *f, enum side side)
{
    size_t len = build_rtp(f->buf, 7, ++f->sequence[side], 160);

    world_wait(f->w, 20 * MSEC);
    return world_recv(f->w, f->port[side], f->client[side], f->buf, len);
}

static void talk(struct fixture *f, unsigned packets)
{
    for (unsigned i = 0; i < packets; i++)
        for (unsigned s = 0; s < SIDE_COUNT; s++)
            assert_int_equal(rtp(f, s).verdict, VERDICT_FORWARD);
}

static void after_a_few_packets(void **state)
{
    struct fixture f;
    set_up(&f);

    // Each leg is locked by its third, and both must be.
    talk(&f, 4);
    assert_int_equal(f.w->kernel.flows, 0);
    assert_false(rtp(&f, A).by_kernel);
    assert_int_equal(f.w->kernel.flows, 1);
    assert_true(rtp(&f, A).by_kernel);
    assert_true(world_view(f.w, CALL)->leg[A].offloaded);
    assert_false(world_view(f.w, CALL)->leg[B].offloaded);
    assert_false(rtp(&f, B).by_kernel);
    struct outcome o = rtp(&f, B);
    assert_true(o.by_kernel);
    assert_true(addr_equal(&o.from, &f.port[A]) && addr_equal(&o.to, &f.client[A]));
    assert_int_equal(f.w->kernel.flows, 2);
    world_close(f.w, PATH);
    assert_int_equal(f.w->kernel.flows, 0);
    world_free(f.w);
}

static void not_while_learning_goes_on(void **state)
{
    struct fixture f;
    set_up(&f);

    talk(&f, 10);
    assert_int_equal(f.w->kernel.flows, 2);
    world_peer(f.w, PATH, A, at("8.8.1.1", 1112)); // it may be a symmetric NAT's
    assert_int_equal(f.w->kernel.flows, 0);
    struct outcome o = rtp(&f, B);
    assert_int_equal(o.to.port, 1112);
    f.client[A].port = 2222; // which it is
    for (unsigned i = 0; i < 3; i++)
        (void)rtp(&f, A);
    world_wait(f.w, SECOND);
    talk(&f, 6);
    assert_int_equal(f.w->kernel.flows, 2);
    o = rtp(&f, B);
    assert_true(o.by_kernel);
    assert_int_equal(o.to.port, 2222);
    world_free(f.w);
}

static void what_is_not_media_comes_here(void **state)
{
    struct fixture f;
    uint8_t dtls[64] = {22, 254, 253};
    set_up(&f);

    talk(&f, 10);
    struct outcome o = world_recv(f.w, f.port[A], f.client[A], dtls, sizeof dtls);
    assert_int_equal(o.verdict, VERDICT_FORWARD);
    assert_false(o.by_kernel);
    o = world_recv(f.w, f.port[A], at("7.7.7.7", 1111), f.buf, build_rtp(f.buf, 7, 12, 160));
    assert_int_equal(o.verdict, VERDICT_DROP);
    assert_int_equal(f.w->kernel.flows, 2);
    world_free(f.w);
}

static void figures_are_sums(void **state)
{
    struct fixture f;
    set_up(&f);

    talk(&f, 100);
    f.sequence[A] += 10; // lost before the relay
    f.w->kernel.pass_up = 500;
    talk(&f, 100);
    f.w->kernel.pass_up = 0;
    talk(&f, 100);
    const struct leg_view *a = &world_view(f.w, CALL)->leg[A];
    assert_true(a->packets_in == 300 && a->media_in == 300 && a->packets_out == 300);
    assert_true(a->bytes_in == 300 * 172 && a->bytes_out == 300 * 172);
    assert_int_equal(a->qualities, 1);
    assert_true(a->quality[0].received == 300 && a->quality[0].lost == 10);
    assert_true(a->last_media == f.w->now - 20 * MSEC);
    assert_true(a->source[0].last_seen == f.w->now - 20 * MSEC);
    assert_true(a->offloaded);
    world_free(f.w);
}

static void figures_come_back(void **state)
{
    struct fixture f;
    set_up(&f);

    talk(&f, 50);
    uint64_t by_kernel = f.w->kernel.packets;
    assert_in_range(by_kernel, 80, 99);
    world_peer(f.w, PATH, B, at("9.9.1.1", 3334)); // Bob's leg is as new, but its figures stand
    const struct path_view *v = world_view(f.w, CALL);
    assert_true(v->leg[A].packets_in == 50 && v->leg[B].packets_in == 50);
    assert_true(v->leg[B].quality[0].received == 50 && v->leg[B].quality[0].lost == 0);
    assert_false(v->leg[A].offloaded || v->leg[B].offloaded);
    world_free(f.w);
}

static void silence_is_what_the_kernel_says(void **state)
{
    struct fixture f;
    set_up(&f);

    talk(&f, 6);
    unsigned media = world_count(f.w, EVENT_MEDIA);
    for (unsigned i = 0; i < 500; i++) // ten seconds, twice the limit
        assert_true(rtp(&f, A).by_kernel);
    assert_int_equal(world_count(f.w, EVENT_SILENT), 0);
    world_wait(f.w, 5 * SECOND - 1);
    assert_int_equal(world_count(f.w, EVENT_SILENT), 0);
    world_wait(f.w, 1);
    assert_int_equal(world_count(f.w, EVENT_SILENT), 1);
    assert_int_equal(f.w->kernel.flows, 0);
    assert_int_equal(world_count(f.w, EVENT_MEDIA), media);
    assert_false(rtp(&f, A).by_kernel); // the end of the silence is told
    assert_int_equal(world_count(f.w, EVENT_MEDIA), media + 1);
    talk(&f, 60);
    assert_int_equal(f.w->kernel.flows, 2);
    world_free(f.w);
}

static void a_refusal_is_not_asked_again_at_once(void **state)
{
    struct fixture f;
    set_up(&f);

    f.w->kernel.refuse = 1000;
    talk(&f, 250); // ten seconds
    assert_in_range(f.w->kernel.puts, 18, 22);
    assert_int_equal(world_counter(f.w, COUNTER_OFFLOAD_REFUSED_PATHS), f.w->kernel.puts);
    f.w->kernel.refuse = 0;
    talk(&f, 50);
    assert_int_equal(f.w->kernel.flows, 2);
    const struct path_view *v = world_view(f.w, CALL);
    assert_true(v->leg[A].packets_in == 300 && v->leg[A].quality[0].lost == 0);
    world_free(f.w);
}

// Sends four times as much as is allowed for so long; returns how many bytes have passed.
static uint64_t flood(struct fixture *f, unsigned seconds)
{
    uint64_t passed = 0;

    for (unsigned ms = 0; ms < seconds * 1000; ms++) {
        world_wait(f->w, MSEC);
        for (unsigned s = 0; s < SIDE_COUNT; s++) {
            size_t len = build_rtp(f->buf, 7, ++f->sequence[s], 188);
            if (world_recv(f->w, f->port[s], f->client[s], f->buf, len).verdict == VERDICT_FORWARD)
                passed += len;
        }
    }
    return passed;
}

static void the_limit_holds_in_total(void **state)
{
    for (unsigned pass_up = 0; pass_up <= 1000; pass_up += 250) {
        struct fixture f;
        set_up_limited(&f, 100000);

        talk(&f, 10);
        f.w->kernel.pass_up = pass_up;
        uint64_t passed = flood(&f, 30);
        // Half of the burst of a second may be left from before; the kernel's own is small.
        assert_in_range(passed, 2700000, 3250000);
        const struct path_view *v = world_view(f.w, CALL);
        assert_true(v->leg[A].bytes_in + v->leg[B].bytes_in >= passed);
        assert_true(v->leg[A].refused + v->leg[B].refused > 20000);
        world_close(f.w, PATH);
        assert_true(world_counter(f.w, COUNTER_DROP_BANDWIDTH) > 20000);
        world_free(f.w);
    }
}

// Whoever moves all the time gets no burst of the kernel's each time: 64 KiB, a second's worth.
static void moving_is_no_way_around_the_limit(void **state)
{
    enum { RATE = 64000, MOVES = 40 };
    struct fixture f;
    uint64_t passed = 0;
    set_up_limited(&f, RATE);

    talk(&f, 10);
    (void)flood(&f, 2);
    unsigned puts = f.w->kernel.puts;
    usec_t began = f.w->now;
    for (unsigned i = 0; i < MOVES; i++) {
        world_peer(f.w, PATH, A, at("8.8.1.1", (uint16_t)(1112 + i % 2)));
        f.client[A].port = (uint16_t)(1112 + i % 2);
        passed += flood(&f, 1);
        for (unsigned ms = 0; ms < 500; ms += 20)
            passed += rtp(&f, A).verdict == VERDICT_FORWARD ? 172 : 0;
    }
    assert_true(f.w->kernel.puts > puts + MOVES / 4); // else nothing is shown
    uint64_t allowed = (f.w->now - began) * RATE / USEC_PER_SEC;
    assert_in_range(passed, allowed / 2, allowed + allowed / 20 + 65536);
    world_free(f.w);
}

static void another_rate_of_the_call(void **state)
{
    struct fixture f;
    struct order order = {.kind = ORDER_OPEN, .call = CALL, .path = PATH + 1};
    set_up_limited(&f, 1000000);

    talk(&f, 10);
    assert_int_equal(f.w->kernel.flows, 2);
    order.u.open.family_v4[A] = order.u.open.family_v4[B] = true;
    order.u.open.bytes_per_second = 500000;
    (void)world_order(f.w, &order);
    assert_int_equal(f.w->kernel.flows, 0);
    talk(&f, 60);
    assert_int_equal(f.w->kernel.flows, 2);
    world_free(f.w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(after_a_few_packets),
        cmocka_unit_test(not_while_learning_goes_on),
        cmocka_unit_test(what_is_not_media_comes_here),
        cmocka_unit_test(figures_are_sums),
        cmocka_unit_test(figures_come_back),
        cmocka_unit_test(silence_is_what_the_kernel_says),
        cmocka_unit_test(a_refusal_is_not_asked_again_at_once),
        cmocka_unit_test(the_limit_holds_in_total),
        cmocka_unit_test(moving_is_no_way_around_the_limit),
        cmocka_unit_test(another_rate_of_the_call),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
