// SPDX-License-Identifier: ISC
// Raw paths (XEP-0177): the signalled address if it is public, otherwise the first source that
// sends consistent RTP in time; then locked until new signalling.
#include "lib/world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define A      SIDE_INITIATOR
#define B      SIDE_RESPONDER
#define CALL   1
#define PATH   10
#define SECOND USEC_PER_SEC

struct fixture {
    struct world *w;
    struct addr pa, pb;
    struct addr alice, bob, mallory;
    uint8_t buf[512];
};

static void set_up_with(struct fixture *f, const struct relay_config *config)
{
    *f = (struct fixture){.w = world_new(config)};
    struct relay_event e = world_open(f->w, CALL, PATH, PATH_RAW);
    f->pa = e.u.opened[A][0];
    f->pb = e.u.opened[B][0];
    f->alice = at("8.8.1.1", 1111); // public: documentation ranges are special-purpose
    f->bob = at("9.9.1.1", 3333);
    f->mallory = at("7.7.6.6", 6666);
}

static void set_up(struct fixture *f)
{
    struct relay_config config = world_config();

    set_up_with(f, &config);
}

static struct outcome rtp(struct fixture *f, enum side side, struct addr from, uint32_t ssrc,
                          uint16_t sequence)
{
    size_t len = build_rtp(f->buf, ssrc, sequence, 20);

    return world_recv(f->w, side == A ? f->pa : f->pb, from, f->buf, len);
}

static void assert_forwarded(struct outcome o, struct addr from, struct addr to)
{
    assert_int_equal(o.verdict, VERDICT_FORWARD);
    assert_true(addr_equal(&o.from, &from));
    assert_true(addr_equal(&o.to, &to));
}

#define assert_dropped(f, outcome, reason)                                                         \
    do {                                                                                           \
        uint64_t before_ = world_counter((f)->w, reason);                                          \
        assert_int_equal((outcome).verdict, VERDICT_DROP);                                         \
        assert_int_equal(world_counter((f)->w, reason), before_ + 1);                              \
    } while (0)

static struct addr selected(struct fixture *f, enum side side)
{
    const struct leg_view *v = &world_view(f->w, CALL)->leg[side];

    return v->sources > 0 ? v->source[0].addr : (struct addr){0};
}

static void test_public_addresses_are_taken_at_once(void **state)
{
    struct fixture f;
    set_up(&f);

    world_peer(f.w, PATH, A, f.alice);
    assert_int_equal(world_count(f.w, EVENT_SELECTED), 1);
    assert_dropped(&f, rtp(&f, A, f.alice, 1, 1), COUNTER_DROP_PEER_UNKNOWN);
    world_peer(f.w, PATH, B, f.bob);
    assert_forwarded(rtp(&f, A, f.alice, 1, 2), f.pb, f.bob);
    assert_forwarded(rtp(&f, B, f.bob, 2, 1), f.pa, f.alice);
    assert_dropped(&f, rtp(&f, A, f.mallory, 1, 3), COUNTER_DROP_UNPROVED);
    assert_dropped(&f, rtp(&f, B, f.alice, 1, 3), COUNTER_DROP_UNPROVED);
    assert_int_equal(world_count(f.w, EVENT_MEDIA), 2);
    // STUN means nothing here: whatever the source sends is passed on.
    uint8_t stun[20] = {0, 1, 0, 0, 0x21, 0x12, 0xA4, 0x42};
    assert_forwarded(world_recv(f.w, f.pa, f.alice, stun, sizeof(stun)), f.pb, f.bob);
    world_free(f.w);
}

static void test_another_port_of_the_signalled_host_wins_once(void **state)
{
    struct fixture f;
    set_up(&f);
    struct addr nat = f.alice, later = f.alice;

    nat.port = 2222;
    later.port = 3333;
    world_peer(f.w, PATH, A, f.alice);
    world_peer(f.w, PATH, B, f.bob);
    assert_dropped(&f, rtp(&f, A, nat, 1, 1), COUNTER_DROP_INCONSISTENT);
    assert_dropped(&f, rtp(&f, A, nat, 1, 2), COUNTER_DROP_INCONSISTENT);
    assert_dropped(&f, rtp(&f, A, f.mallory, 1, 3), COUNTER_DROP_UNPROVED); // another host never
    assert_forwarded(rtp(&f, A, nat, 1, 3), f.pb, f.bob);
    assert_forwarded(rtp(&f, B, f.bob, 2, 1), f.pa, nat);
    for (uint16_t i = 0; i < 5; i++) {
        assert_dropped(&f, rtp(&f, A, later, 1, i), COUNTER_DROP_UNPROVED);
        assert_dropped(&f, rtp(&f, A, f.alice, 1, i), COUNTER_DROP_UNPROVED);
    }
    assert_int_equal(world_counter(f.w, COUNTER_LATCHES_MOVED), 1);
    world_free(f.w);
}

static void test_the_signalled_address_confirms_itself(void **state)
{
    struct fixture f;
    set_up(&f);
    struct addr near = f.alice;

    near.port++;
    world_peer(f.w, PATH, A, f.alice);
    world_peer(f.w, PATH, B, f.bob);
    for (uint16_t i = 0; i < 3; i++)
        assert_forwarded(rtp(&f, A, f.alice, 1, i), f.pb, f.bob);
    for (uint16_t i = 0; i < 5; i++) // somebody behind the same NAT, within the window
        assert_dropped(&f, rtp(&f, A, near, 1, i), COUNTER_DROP_UNPROVED);
    world_free(f.w);
}

static void test_no_other_port_after_the_window(void **state)
{
    struct fixture f;
    set_up(&f);
    struct addr nat = f.alice;

    nat.port = 2222;
    world_peer(f.w, PATH, A, f.alice);
    world_peer(f.w, PATH, B, f.bob);
    world_wait(f.w, 20 * SECOND);
    for (uint16_t i = 0; i < 5; i++)
        assert_dropped(&f, rtp(&f, A, nat, 1, i), COUNTER_DROP_UNPROVED);
    assert_forwarded(rtp(&f, A, f.alice, 1, 9), f.pb, f.bob);
    world_free(f.w);
}

static void test_special_addresses_are_no_destination(void **state)
{
    static const char *const special[] = {"127.0.0.1",      "10.1.2.3",   "192.168.1.1",
                                          "169.254.1.1",    "224.0.0.1",  "0.0.0.0",
                                          "100.64.0.1",     "::1",        "255.255.255.255",
                                          "fe80::1",        "ff02::1",    "fd00::1",
                                          "64:ff9b::a00:1", "2002:a00::", "::"};
    struct fixture f;
    set_up(&f);

    world_peer(f.w, PATH, A, f.alice);
    for (unsigned i = 0; i < sizeof(special) / sizeof(special[0]); i++) {
        world_peer(f.w, PATH, B, at(special[i], 5000));
        assert_int_equal(selected(&f, B).family, FAMILY_NONE);
    }
    world_peer(f.w, PATH, B, at("9.9.1.1", 0)); // no port, no destination
    world_peer(f.w, PATH, B, f.pb);             // nor the relay itself: a loop
    world_peer(f.w, PATH, B, f.pa);
    assert_int_equal(selected(&f, B).family, FAMILY_NONE);
    assert_dropped(&f, rtp(&f, A, f.alice, 1, 1), COUNTER_DROP_PEER_UNKNOWN);
    world_free(f.w);
}

// A public address of the relay's own leads to the other services of its host; and its own ports
// are never a destination, whatever the operator allows.
static void test_the_own_host_is_no_destination(void **state)
{
    struct relay_config config = world_config();
    struct prefix own;
    struct fixture f;

    config.bind[0] = at("10.0.0.5", 0);
    config.advertise[0] = at("8.8.4.4", 0);
    set_up_with(&f, &config);
    world_peer(f.w, PATH, A, at("8.8.4.4", 53));
    assert_int_equal(selected(&f, A).family, FAMILY_NONE);
    world_peer(f.w, PATH, A, f.alice);
    assert_int_equal(selected(&f, A).port, f.alice.port);
    world_free(f.w);

    assert_int_equal(prefix_parse("8.8.4.0/24", &own), 0);
    config.allow = (struct prefix_list){&own, 1};
    set_up_with(&f, &config);
    world_peer(f.w, PATH, B, f.pa);
    assert_int_equal(selected(&f, B).family, FAMILY_NONE);
    world_peer(f.w, PATH, B, at("8.8.4.4", 5000)); // a client on the relay's host
    assert_int_equal(selected(&f, B).port, 5000);
    world_free(f.w);
}

static void test_special_ranges_that_the_operator_allows(void **state)
{
    struct relay_config config = world_config();
    struct prefix lan;
    struct fixture f;

    assert_int_equal(prefix_parse("192.168.0.0/16", &lan), 0);
    config.allow = (struct prefix_list){.item = &lan, .count = 1};
    set_up_with(&f, &config);
    world_peer(f.w, PATH, A, f.alice);
    world_peer(f.w, PATH, B, at("192.168.1.2", 5000));
    assert_forwarded(rtp(&f, A, f.alice, 1, 1), f.pb, at("192.168.1.2", 5000));
    world_free(f.w);
}

static void test_learning_behind_a_nat(void **state)
{
    struct fixture f;
    set_up(&f);

    world_peer(f.w, PATH, A, f.alice);
    world_peer(f.w, PATH, B, at("192.168.1.2", 5000));
    assert_dropped(&f, rtp(&f, B, f.bob, 2, 65534), COUNTER_DROP_INCONSISTENT);
    assert_dropped(&f, rtp(&f, B, f.mallory, 3, 7), COUNTER_DROP_INCONSISTENT);
    assert_dropped(&f, rtp(&f, B, f.bob, 2, 65535), COUNTER_DROP_INCONSISTENT);
    assert_dropped(&f, rtp(&f, B, f.mallory, 3, 7), COUNTER_DROP_INCONSISTENT); // does not advance
    assert_forwarded(rtp(&f, B, f.bob, 2, 0), f.pa, f.alice);                   // wraps
    assert_forwarded(rtp(&f, A, f.alice, 1, 1), f.pb, f.bob);
    for (uint16_t i = 8; i < 20; i++)
        assert_dropped(&f, rtp(&f, B, f.mallory, 3, i), COUNTER_DROP_UNPROVED);
    world_free(f.w);
}

static void test_what_is_not_consistent(void **state)
{
    struct fixture f;
    set_up(&f);

    world_peer(f.w, PATH, A, f.alice);
    world_peer(f.w, PATH, B, at("192.168.1.2", 5000));
    for (uint16_t i = 0; i < 9; i++) { // a new SSRC each time
        assert_dropped(&f, rtp(&f, B, f.mallory, i, i), COUNTER_DROP_INCONSISTENT);
    }
    for (uint16_t i = 0; i < 9; i++) // leaps
        assert_dropped(&f, rtp(&f, B, f.mallory, 9, (uint16_t)(65 * i)), COUNTER_DROP_INCONSISTENT);
    for (uint16_t i = 0; i < 9; i++) // backwards
        assert_dropped(&f, rtp(&f, B, f.mallory, 9, (uint16_t)(90 - i)), COUNTER_DROP_INCONSISTENT);
    for (unsigned i = 0; i < 9; i++) { // no RTP at all
        size_t len = build_rtcp(f.buf, 9);
        assert_dropped(&f, world_recv(f.w, f.pb, f.mallory, f.buf, len), COUNTER_DROP_UNPROVED);
    }
    assert_int_equal(selected(&f, B).family, FAMILY_NONE);
    world_free(f.w);
}

// Only four are on trial, but who sprays a packet or two does not keep the client out.
static void test_sprays_do_not_fill_the_trial(void **state)
{
    struct fixture f;
    set_up(&f);
    uint16_t port = 6000;

    world_peer(f.w, PATH, A, f.alice);
    world_peer(f.w, PATH, B, at("192.168.1.2", 5000));
    for (unsigned i = 0; i < 100; i++)
        assert_dropped(&f, rtp(&f, B, at("7.7.6.6", port++), 1, 1), COUNTER_DROP_INCONSISTENT);
    for (uint16_t i = 0; i < 2; i++) {
        assert_dropped(&f, rtp(&f, B, f.bob, 2, i), COUNTER_DROP_INCONSISTENT);
        for (unsigned k = 0; k < (i == 0 ? 3 : 100); k++)
            rtp(&f, B, at("7.7.6.6", port++), 1, 1);
    }
    assert_forwarded(rtp(&f, B, f.bob, 2, 2), f.pa, f.alice);
    world_free(f.w);
}

static void test_a_crowd_on_trial_chooses_nobody(void **state)
{
    struct fixture f;
    set_up(&f);

    world_peer(f.w, PATH, A, f.alice);
    world_peer(f.w, PATH, B, at("192.168.1.2", 5000));
    for (uint16_t i = 0; i < 9; i++) // five who alternate: each has lost its place when it returns
        for (uint16_t k = 0; k < 5; k++)
            assert_dropped(&f, rtp(&f, B, at("7.7.6.6", (uint16_t)(6000 + k)), k, i),
                           COUNTER_DROP_INCONSISTENT);
    world_free(f.w);
}

static void test_nothing_is_learned_outside_the_window(void **state)
{
    struct fixture f;
    set_up(&f);

    world_peer(f.w, PATH, A, f.alice);
    for (uint16_t i = 0; i < 9; i++) // before any signalling
        assert_dropped(&f, rtp(&f, B, f.bob, 2, i), COUNTER_DROP_UNPROVED);
    world_peer(f.w, PATH, B, at("192.168.1.2", 5000));
    world_wait(f.w, 20 * SECOND);
    for (uint16_t i = 0; i < 9; i++)
        assert_dropped(&f, rtp(&f, B, f.bob, 2, i), COUNTER_DROP_UNPROVED);
    world_free(f.w);
}

static void test_new_signalling_opens_a_new_window(void **state)
{
    struct fixture f;
    set_up(&f);
    struct addr bob2 = at("9.9.2.2", 4444);

    world_peer(f.w, PATH, A, f.alice);
    world_peer(f.w, PATH, B, at("192.168.1.2", 5000));
    for (uint16_t i = 0; i < 3; i++)
        rtp(&f, B, f.bob, 2, i);
    world_peer(f.w, PATH, B, at("192.168.1.2", 5000)); // the same: nothing changes
    for (uint16_t i = 0; i < 9; i++)
        assert_dropped(&f, rtp(&f, B, bob2, 3, i), COUNTER_DROP_UNPROVED);
    world_peer(f.w, PATH, B, at("10.0.0.2", 5000));
    assert_forwarded(rtp(&f, A, f.alice, 1, 1), f.pb, f.bob); // the old one, until there is a new
    assert_dropped(&f, rtp(&f, B, bob2, 3, 10), COUNTER_DROP_INCONSISTENT);
    assert_forwarded(rtp(&f, B, f.bob, 2, 4), f.pa, f.alice);
    assert_dropped(&f, rtp(&f, B, bob2, 3, 11), COUNTER_DROP_INCONSISTENT);
    assert_forwarded(rtp(&f, B, bob2, 3, 12), f.pa, f.alice);
    assert_forwarded(rtp(&f, A, f.alice, 1, 2), f.pb, bob2);
    assert_dropped(&f, rtp(&f, B, f.bob, 2, 5), COUNTER_DROP_UNPROVED);
    world_peer(f.w, PATH, B, f.bob); // public: at once
    assert_forwarded(rtp(&f, A, f.alice, 1, 3), f.pb, f.bob);
    world_free(f.w);
}

static void test_component_two_follows_component_one(void **state)
{
    struct fixture f;
    set_up(&f);
    struct order order = {.kind = ORDER_OPEN, .call = CALL, .path = PATH + 1};
    struct addr alice_rtcp = f.alice, bob_rtcp = f.bob, other = f.bob;

    order.u.open.mode = PATH_RAW;
    order.u.open.rtp_path = PATH;
    order.u.open.family_v4[A] = order.u.open.family_v4[B] = true;
    struct relay_event e = world_order(f.w, &order);
    struct addr pa = e.u.opened[A][0], pb = e.u.opened[B][0];
    alice_rtcp.port++;
    bob_rtcp.port += 100;
    other.port += 200;
    world_peer(f.w, PATH, A, f.alice);
    world_peer(f.w, PATH + 1, A, alice_rtcp);
    world_peer(f.w, PATH, B, at("192.168.1.2", 5000));
    world_peer(f.w, PATH + 1, B, at("192.168.1.2", 5001));
    size_t len = build_rtcp(f.buf, 2);
    assert_dropped(&f, world_recv(f.w, pb, bob_rtcp, f.buf, len), COUNTER_DROP_UNPROVED);
    for (uint16_t i = 0; i < 3; i++)
        rtp(&f, B, f.bob, 2, i);
    len = build_rtcp(f.buf, 2);
    assert_dropped(&f, world_recv(f.w, pb, f.mallory, f.buf, len), COUNTER_DROP_UNPROVED);
    assert_forwarded(world_recv(f.w, pb, bob_rtcp, f.buf, len), pa, alice_rtcp);
    assert_dropped(&f, world_recv(f.w, pb, other, f.buf, len), COUNTER_DROP_UNPROVED); // locked
    assert_forwarded(world_recv(f.w, pa, alice_rtcp, f.buf, len), pb, bob_rtcp);
    world_close(f.w, PATH);
    assert_forwarded(world_recv(f.w, pa, alice_rtcp, f.buf, len), pb, bob_rtcp);
    world_free(f.w);
}

static void test_orders_of_the_other_mode_are_ignored(void **state)
{
    struct fixture f;
    set_up(&f);

    world_credentials(f.w, PATH, A, "alic", "password");
    world_open(f.w, CALL, 11, PATH_ICE);
    world_peer(f.w, 11, A, f.alice);
    world_peer(f.w, 99, A, f.alice);
    assert_int_equal(world_count(f.w, EVENT_SELECTED), 0);
    world_free(f.w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_public_addresses_are_taken_at_once),
        cmocka_unit_test(test_another_port_of_the_signalled_host_wins_once),
        cmocka_unit_test(test_the_signalled_address_confirms_itself),
        cmocka_unit_test(test_no_other_port_after_the_window),
        cmocka_unit_test(test_special_addresses_are_no_destination),
        cmocka_unit_test(test_the_own_host_is_no_destination),
        cmocka_unit_test(test_special_ranges_that_the_operator_allows),
        cmocka_unit_test(test_learning_behind_a_nat),
        cmocka_unit_test(test_what_is_not_consistent),
        cmocka_unit_test(test_sprays_do_not_fill_the_trial),
        cmocka_unit_test(test_a_crowd_on_trial_chooses_nobody),
        cmocka_unit_test(test_nothing_is_learned_outside_the_window),
        cmocka_unit_test(test_new_signalling_opens_a_new_window),
        cmocka_unit_test(test_component_two_follows_component_one),
        cmocka_unit_test(test_orders_of_the_other_mode_are_ignored),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);

    world_restart_always(true);
    return failed + cmocka_run_group_tests_name("restarted", tests, NULL, NULL);
}
