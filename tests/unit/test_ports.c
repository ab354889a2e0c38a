// SPDX-License-Identifier: ISC
// Ports: taken at random out of this worker's share, each to one path, resting after use, never
// leaked, whatever fails on the way.
#include "lib/world.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static struct relay_event open_v4(struct world *w, uint64_t call, uint64_t path)
{
    struct order order = {.kind = ORDER_OPEN, .call = call, .path = path};

    order.u.open.family_v4[0] = order.u.open.family_v4[1] = true;
    return world_order(w, &order);
}

static void test_open_says_what_to_advertise(void **state)
{
    struct relay_config config = world_config();
    config.bind[0] = at("10.0.0.1", 0); // 1:1 NAT
    struct world *w = world_new(&config);
    struct relay_event e = world_open(w, 1, 10, PATH_ICE);
    const char *ip[] = {"203.0.113.1", "2001:db8::1"};

    assert_int_equal(e.call, 1);
    for (unsigned s = 0; s < SIDE_COUNT; s++) {
        for (unsigned f = 0; f < 2; f++) {
            struct addr expected = at(ip[f], e.u.opened[s][f].port);
            assert_true(addr_equal(&e.u.opened[s][f], &expected));
            assert_in_range(e.u.opened[s][f].port, 40000, 40099);
        }
    }
    assert_int_equal(w->sockets, 4);
    struct addr bound = at("10.0.0.1", e.u.opened[0][0].port);
    assert_true(addr_equal(&w->socket[0].local, &bound));
    assert_int_equal(world_counter(w, COUNTER_PATHS_OPENED), 1);
    assert_int_equal(world_counter(w, COUNTER_PATHS_OPEN), 1);
    assert_int_equal(world_counter(w, COUNTER_PORTS_USED), 4);
    assert_int_equal(world_counter(w, COUNTER_PORTS_FREE), 196);
    world_close(w, 10);
    assert_int_equal(world_counter(w, COUNTER_PATHS_OPEN), 0);
    world_free(w);
}

static void test_a_family_that_is_missing(void **state)
{
    struct relay_config config = world_config();
    config.bind[1].family = FAMILY_NONE;
    struct world *w = world_new(&config);
    struct relay_event e = world_open(w, 1, 10, PATH_ICE); // both wanted, one there: fine

    assert_int_equal(e.u.opened[0][1].family, FAMILY_NONE);
    struct order order = {.kind = ORDER_OPEN, .call = 1, .path = 11};
    order.u.open.family_v4[0] = order.u.open.family_v6[1] = true; // one side ends with none
    e = world_order(w, &order);
    assert_int_equal(e.kind, EVENT_FAILED);
    assert_int_equal(e.error, -EAFNOSUPPORT);
    assert_int_equal(world_counter(w, COUNTER_PORTS_USED), 2);
    assert_int_equal(world_counter(w, COUNTER_PORTS_QUARANTINED), 1);
    assert_int_equal(world_counter(w, COUNTER_PATHS_FAILED), 1);
    world_free(w);
}

static void test_shares_do_not_overlap_and_keep_pairs(void **state)
{
    bool used[65536] = {false};

    for (unsigned share = 0; share < 3; share++) {
        struct relay_config config = world_config();
        config.share = share;
        config.shares = 3;
        struct world *w = world_new(&config);
        unsigned pairs = (unsigned)world_counter(w, COUNTER_PORTS_FREE) / 2 / 2;
        for (uint64_t path = 1; path <= pairs; path++) {
            struct relay_event e = open_v4(w, 1, path);
            assert_int_equal(e.kind, EVENT_OPENED);
            for (unsigned s = 0; s < SIDE_COUNT; s++) {
                uint16_t port = e.u.opened[s][0].port;
                assert_int_equal(port / 2 % 3, share);
                assert_false(used[port]);
                used[port] = true;
            }
        }
        assert_int_equal(open_v4(w, 1, 1000).error, -EMFILE);
        world_free(w);
    }
    for (unsigned port = 40000; port <= 40099; port++)
        assert_true(used[port]);
}

static void test_quarantine(void **state)
{
    struct relay_config config = world_config();
    config.port_max = 40001; // room for one path
    struct world *w = world_new(&config);

    assert_int_equal(open_v4(w, 1, 1).kind, EVENT_OPENED);
    assert_int_equal(open_v4(w, 1, 2).error, -EMFILE);
    world_close(w, 1);
    assert_int_equal(world_counter(w, COUNTER_PORTS_QUARANTINED), 2);
    world_wait(w, 10 * USEC_PER_SEC - 1);
    assert_int_equal(open_v4(w, 1, 3).error, -EMFILE);
    world_wait(w, 1);
    assert_int_equal(world_counter(w, COUNTER_PORTS_QUARANTINED), 0);
    assert_int_equal(open_v4(w, 1, 4).kind, EVENT_OPENED);
    world_free(w);
}

static void test_busy_ports_are_passed_over(void **state)
{
    struct relay_config config = world_config();
    struct world *w = world_new(&config);

    w->busy = 15;
    assert_int_equal(open_v4(w, 1, 1).kind, EVENT_OPENED);
    assert_int_equal(world_counter(w, COUNTER_PORTS_QUARANTINED), 15);
    w->busy = 16;
    assert_int_equal(open_v4(w, 1, 2).error, -EADDRINUSE);
    assert_int_equal(world_counter(w, COUNTER_PORTS_QUARANTINED), 31);
    assert_int_equal(world_counter(w, COUNTER_PORTS_USED), 2);
    world_free(w);
}

static void test_failure_half_way_releases_everything(void **state)
{
    for (unsigned k = 1; k <= 4; k++) {
        struct relay_config config = world_config();
        struct world *w = world_new(&config);
        struct order order = {.kind = ORDER_OPEN, .call = 1, .path = 1};
        for (unsigned s = 0; s < SIDE_COUNT; s++)
            order.u.open.family_v4[s] = order.u.open.family_v6[s] = true;
        w->fail_bind = k;
        assert_int_equal(world_order(w, &order).error, -EACCES);
        assert_int_equal(world_counter(w, COUNTER_PORTS_USED), 0);
        assert_int_equal(world_counter(w, COUNTER_PORTS_QUARANTINED), k);
        for (unsigned i = 0; i < w->sockets; i++)
            assert_null(w->socket[i].port);
        world_free(w);
    }
}

static void test_limit_of_paths(void **state)
{
    struct relay_config config = world_config();
    config.limits.paths = 2;
    struct world *w = world_new(&config);

    assert_int_equal(open_v4(w, 1, 1).kind, EVENT_OPENED);
    assert_int_equal(open_v4(w, 2, 2).kind, EVENT_OPENED);
    assert_int_equal(open_v4(w, 3, 3).error, -EMFILE);
    world_close(w, 1);
    assert_int_equal(open_v4(w, 3, 3).kind, EVENT_OPENED);
    assert_int_equal(open_v4(w, 3, 3).kind, EVENT_FAILED); // the id is taken
    world_close(w, 99);                                    // unknown: ignored
    world_free(w);
}

// With 100 ports, an adversary who guesses the next one should be right about once in a hundred.
static void test_ports_are_drawn_at_random(void **state)
{
    struct relay_config config = world_config();
    config.limits.quarantine = 0;
    struct world *w = world_new(&config);
    unsigned drawn[100] = {0};

    for (uint64_t i = 1; i <= 2000; i++) {
        struct relay_event e = open_v4(w, 1, i);
        drawn[e.u.opened[0][0].port - 40000]++;
        world_close(w, i);
        world_tick(w);
    }
    for (unsigned i = 0; i < 100; i++)
        assert_in_range(drawn[i], 4, 50);
    world_free(w);
}

static void test_bad_configurations(void **state)
{
    struct relay_config config = world_config();
    struct counters counters = {0};
    struct relay_io io = {0};
    struct relay *relay;

    config.bind[0].family = config.bind[1].family = FAMILY_NONE;
    assert_int_equal(relay_new(&config, &io, NULL, &counters, &relay), -EINVAL);
    config = world_config();
    config.port_min = 40100;
    assert_int_equal(relay_new(&config, &io, NULL, &counters, &relay), -EINVAL);
    config = world_config();
    config.share = 1;
    assert_int_equal(relay_new(&config, &io, NULL, &counters, &relay), -EINVAL);
    relay_free(NULL);
}

static void test_ports_are_lent_from_the_same_pool(void **state)
{
    struct relay_config config = world_config();
    config.port_max = 40007;
    config.advertise[0] = at("203.0.113.7", 0);
    struct world *w = world_new(&config);
    struct lent_port pair[2], even, odd[2], none;

    assert_int_equal(open_v4(w, 1, 1).kind, EVENT_OPENED);
    world_close(w, 1); // two ports rest, so that at least one pair of four is whole
    assert_int_equal(relay_lend(w->relay, FAMILY_V4, PORT_PAIR, pair, w->now), 0);
    world_check(w);
    assert_int_equal(pair[0].bind.port % 2, 0);
    assert_int_equal(pair[1].bind.port, pair[0].bind.port + 1);
    assert_int_equal(pair[0].advertise.port, pair[0].bind.port);
    assert_true(addr_equal_ip(&pair[0].advertise, &config.advertise[0]));
    assert_true(addr_equal_ip(&pair[0].bind, &config.bind[0]));
    relay_take_back(w->relay, &pair[0], w->now);
    relay_take_back(w->relay, &pair[1], w->now);
    world_check(w);
    world_wait(w, config.limits.quarantine);
    assert_int_equal(world_counter(w, COUNTER_PORTS_FREE), 2 * 8); // both families
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(relay_lend(w->relay, FAMILY_V4, PORT_EVEN, &even, w->now), 0);
        assert_int_equal(even.bind.port % 2, 0);
        world_check(w);
    }
    assert_int_equal(relay_lend(w->relay, FAMILY_V4, PORT_EVEN, &none, w->now), -EMFILE);
    assert_int_equal(relay_lend(w->relay, FAMILY_V4, PORT_PAIR, odd, w->now), -EMFILE);
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(relay_lend(w->relay, FAMILY_V4, PORT_ANY, odd, w->now), 0);
        assert_int_equal(odd[0].bind.port % 2, 1);
    }
    assert_int_equal(relay_lend(w->relay, FAMILY_V4, PORT_ANY, &none, w->now), -EMFILE);
    assert_int_equal(open_v4(w, 1, 2).error, -EMFILE);
    assert_int_equal(relay_lend(w->relay, FAMILY_V6, PORT_ANY, &none, w->now), 0);
    world_check(w);
    world_free(w);
}

static void test_no_port_of_a_family_that_is_missing(void **state)
{
    struct relay_config config = world_config();
    config.bind[1].family = FAMILY_NONE;
    config.advertise[1].family = FAMILY_NONE;
    struct world *w = world_new(&config);
    struct lent_port none;

    assert_int_equal(relay_lend(w->relay, FAMILY_V6, PORT_ANY, &none, w->now), -EAFNOSUPPORT);
    world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_open_says_what_to_advertise),
        cmocka_unit_test(test_a_family_that_is_missing),
        cmocka_unit_test(test_shares_do_not_overlap_and_keep_pairs),
        cmocka_unit_test(test_quarantine),
        cmocka_unit_test(test_busy_ports_are_passed_over),
        cmocka_unit_test(test_failure_half_way_releases_everything),
        cmocka_unit_test(test_limit_of_paths),
        cmocka_unit_test(test_ports_are_drawn_at_random),
        cmocka_unit_test(test_bad_configurations),
        cmocka_unit_test(test_ports_are_lent_from_the_same_pool),
        cmocka_unit_test(test_no_port_of_a_family_that_is_missing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
