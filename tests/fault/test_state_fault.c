// SPDX-License-Identifier: ISC
// A restart in which the k-th allocation of memory fails, k = 1, 2, 3, ... until nothing fails any
// more: while the state is saved, and while it is restored. Nothing leaks and nothing crashes; who
// cannot save goes on, and who cannot restore all of it says so and is in good order.
#include "fault/lib_alloc.h"
#include "lib/scene.h"
#include "lib/turn_world.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

// --- the relay
// -------------------------------------------------------------------------------------

static bool shared; // the second time: ICE on one port for all

static struct world *new_world(void)
{
    struct relay_config config = world_config();
    struct world *w = world_new(&config);

    if (shared)
        world_share(w);
    return w;
}

static json_t *relay_state(void)
{
    struct world *w = new_world();
    struct scene scene;

    scene_play(w, &scene);
    json_t *state = relay_save(w->relay, w->now);
    assert_non_null(state);
    world_free(w);
    return state;
}

static void a_relay_saves(void **state)
{
    struct world *w = new_world();
    struct scene scene;
    bool failed = true;
    unsigned k = 0;

    scene_play(w, &scene);
    while (failed) {
        alloc_fail_at(++k);
        json_t *saved = relay_save(w->relay, w->now);
        failed = alloc_failed();
        alloc_fail_at(0);
        assert_true(failed || saved);
        json_decref(saved);
        world_check(w);
    }
    assert_in_range(k, 500, 5000);
    scene_goes_on(w, &scene);
    world_free(w);
}

static void a_relay_restores(void **state)
{
    json_t *saved = relay_state();
    unsigned k = 0, without = 0;

    for (bool failed = true; failed;) {
        struct world *w = new_world();
        unsigned lost = 0;
        alloc_fail_at(++k);
        int err = relay_restore(w->relay, saved, w->now, &lost);
        failed = alloc_failed();
        alloc_fail_at(0);
        assert_int_equal(err, lost > 0 ? -ENOMEM : 0);
        assert_true(failed || lost == 0);
        assert_true(lost <= 1); // one fails, and costs one
        without += lost;
        world_check(w);
        world_free(w);
    }
    assert_true(without > 20);
    json_decref(saved);
}

// --- TURN
// ------------------------------------------------------------------------------------------

static struct tw *new_server(void)
{
    struct tw *w = tw_new();

    tw_start(w);
    return w;
}

// A pair of ports, a ticket, permissions and channels.
static void play(struct tw *w)
{
    struct tw_client c = tw_client(w, "198.51.100.1", 1111);
    struct addr peer = tw_at("192.0.2.150", 32853);
    struct writer out = tw_begin(&c, STUN_ALLOCATE);

    stun_put_u32(&out, STUN_REQUESTED_TRANSPORT, 17u << 24);
    stun_put_bytes(&out, STUN_EVEN_PORT, "\x80", 1);
    stun_put_bytes(&out, STUN_MOBILITY_TICKET, NULL, 0);
    assert_int_equal(tw_send(w, &c, &out), 0);
    assert_int_equal(tw_permit(w, &c, "192.0.2.7"), 0);
    assert_int_equal(tw_bind(w, &c, 0x4001, &peer), 0);
    c = tw_client(w, "198.51.100.2", 2222);
    assert_int_equal(tw_allocate(w, &c), 0);
}

static void a_server_saves(void **state)
{
    struct tw *w = new_server();
    bool failed = true;
    unsigned k = 0;

    play(w);
    while (failed) {
        alloc_fail_at(++k);
        json_t *saved = turn_save(w->turn, w->now);
        failed = alloc_failed();
        alloc_fail_at(0);
        assert_true(failed || saved);
        json_decref(saved);
        tw_check(w);
    }
    assert_in_range(k, 100, 1000);
    tw_free(w);
}

static void a_server_restores(void **state)
{
    struct tw *w = new_server();
    unsigned k = 0, without = 0;

    play(w);
    json_t *saved = turn_save(w->turn, w->now);
    tw_free(w);
    for (bool failed = true; failed;) {
        unsigned lost = 0;
        w = new_server();
        const struct turn_revival revival = tw_revival(w);
        alloc_fail_at(++k);
        int err = turn_restore(w->turn, saved, &revival, w->now, &lost);
        failed = alloc_failed();
        alloc_fail_at(0);
        assert_int_equal(err, lost > 0 ? -ENOMEM : 0);
        assert_true(lost <= 1);
        without += lost;
        tw_check(w);
        tw_free(w);
    }
    assert_true(without > 5);
    json_decref(saved);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_relay_saves),
        cmocka_unit_test(a_relay_restores),
        cmocka_unit_test(a_server_saves),
        cmocka_unit_test(a_server_restores),
    };

    json_set_alloc_funcs(malloc, free); // those that fail
    int failed = cmocka_run_group_tests_name("own ports", tests, NULL, NULL);
    shared = true;
    return failed + cmocka_run_group_tests_name("shared port", tests, NULL, NULL);
}
