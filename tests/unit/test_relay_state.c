// SPDX-License-Identifier: ISC
// What a relay leaves for its successor. That every mode goes on as if nothing had happened is the
// business of its own tests, which run with restarts as well; here are the time that nobody was
// there, what a successor cannot have or understand, and snapshots of earlier versions.
#include "codec/state.h"
#include "lib/mutate.h"
#include "lib/scene.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define A      SIDE_INITIATOR
#define B      SIDE_RESPONDER
#define SECOND USEC_PER_SEC

static uint8_t buf[700];

static struct world *new_world(void)
{
    struct relay_config config = world_config();

    return world_new(&config);
}

// A world whose relay begins with this.
static struct world *restored(const json_t *state, usec_t now, int ret_outcome[1],
                              unsigned *ret_lost)
{
    struct world *w = new_world();

    w->now = now;
    *ret_lost = 0;
    ret_outcome[0] = relay_restore(w->relay, state, w->now, ret_lost);
    world_check(w);
    return w;
}

static json_t *state_of_scene(struct scene *scene)
{
    struct world *w = new_world();
    json_t *state;

    scene_play(w, scene);
    assert_int_equal(world_counter(w, COUNTER_PATHS_OPEN), SCENE_PATHS);
    state = relay_save(w->relay, w->now);
    assert_non_null(state);
    world_free(w);
    return state;
}

static void it_goes_on(void **state)
{
    struct world *w = new_world();
    struct scene scene;

    scene_play(w, &scene);
    const struct leg_view before = world_view(w, 1)->leg[A];
    world_restart(w);
    const struct leg_view after = world_view(w, 1)->leg[A];
    assert_int_equal(after.packets_in, before.packets_in);
    assert_int_equal(after.quality[0].received, before.quality[0].received);
    scene_goes_on(w, &scene);
    world_free(w);
}

// --- the time that nobody was there --------------------------------------------------------------

static struct world *after_pause(usec_t pause, struct scene *scene)
{
    struct world *w = new_world();
    unsigned lost;

    scene_play(w, scene);
    json_t *saved = relay_save(w->relay, w->now);
    relay_free(w->relay);
    usec_t now = w->now + pause;
    int outcome;
    w = restored(saved, now, &outcome, &lost);
    assert_int_equal(outcome, 0);
    assert_int_equal(lost, 0);
    json_decref(saved);
    return w;
}

static void a_pause_is_nobodys_silence(void **state)
{
    struct scene scene;
    struct world *w = after_pause(4 * SECOND, &scene); // silence is 5 s, and 300 ms of a source

    world_wait(w, 4 * SECOND);
    assert_int_equal(world_count(w, EVENT_SILENT), 0);
    world_wait(w, 2 * SECOND);
    assert_true(world_count(w, EVENT_SILENT) > 0);
    world_free(w);
}

// The answer to a check has waited in the socket: it goes back, and is no measure of the way.
static void an_answer_that_waited(void **state)
{
    struct scene scene;
    struct world *w = after_pause(2 * SECOND, &scene);
    struct check c = {.to = "bobb", .from = "alic", .pwd = "x", .id = "unanswered"};
    uint8_t request[256];

    assert_true(build_check(request, sizeof(request), &c) > 0);
    size_t len = build_answer(buf, sizeof(buf), request, &scene.pb, "bob-password-of-22-chars");
    struct outcome o = world_recv(w, scene.pb, scene.bob, buf, len);
    assert_int_equal(o.verdict, VERDICT_FORWARD);
    assert_true(addr_equal(&o.to, &scene.alice));
    assert_true(world_view(w, 1)->leg[B].rtt < SECOND);
    scene_goes_on(w, &scene);
    world_free(w);
}

// However long ago the id was used, and wherever it comes from now.
static void old_checks_prove_nothing(void **state)
{
    struct scene scene;
    struct world *w = new_world();
    char id[16];
    struct check c = {.to = "bobb",
                      .from = "alic",
                      .pwd = "bob-password-of-22-chars",
                      .id = id,
                      .tie_breaker = 77};

    scene_play(w, &scene);
    for (unsigned i = 0; i < 200; i++) {
        snprintf(id, sizeof(id), "number %u", i);
        world_recv(w, scene.pa, scene.alice, buf, build_check(buf, sizeof(buf), &c));
    }
    world_restart(w);
    uint64_t refused = world_counter(w, COUNTER_LATCHES_REFUSED);
    for (unsigned i = 0; i < 200; i++) {
        snprintf(id, sizeof(id), "number %u", i);
        size_t len = build_check(buf, sizeof(buf), &c);
        assert_int_equal(world_recv(w, scene.pa, scene.mallory, buf, len).verdict, VERDICT_DROP);
    }
    assert_int_equal(world_counter(w, COUNTER_LATCHES_REFUSED), refused + 200);
    scene_goes_on(w, &scene);
    world_free(w);
}

static void a_rate_is_not_new(void **state)
{
    struct scene scene;
    struct world *w = new_world();

    scene_play(w, &scene);
    for (uint16_t i = 0; i < 300; i++)
        world_recv(w, scene.pa, scene.alice, buf, build_rtp(buf, 0x1234, i, 500));
    assert_true(world_counter(w, COUNTER_DROP_BANDWIDTH) > 0);
    world_restart(w);
    struct outcome o = world_recv(w, scene.pa, scene.alice, buf, build_rtp(buf, 1, 1, 600));
    assert_int_equal(o.verdict, VERDICT_DROP);
    world_free(w);
}

// --- ports ---------------------------------------------------------------------------------------

static void ports_rest_over_a_restart(void **state)
{
    struct world *w = new_world();
    struct lent_port port[2], again;

    world_open(w, 1, 1, PATH_ICE);
    world_close(w, 1);
    assert_int_equal(relay_lend(w->relay, FAMILY_V4, PORT_PAIR, port, w->now), 0);
    world_restart(w);
    // Those of the path for the rest of their time; what was lent waits for whoever had it.
    assert_int_equal(world_counter(w, COUNTER_PORTS_QUARANTINED), 6);
    uint16_t number = port[1].bind.port;
    assert_int_equal(relay_lend_again(w->relay, FAMILY_V4, number, &again, w->now), 0);
    world_check(w);
    assert_true(addr_equal(&again.bind, &port[1].bind));
    assert_int_equal(relay_lend_again(w->relay, FAMILY_V4, number, &again, w->now), -EADDRINUSE);
    assert_int_equal(relay_lend_again(w->relay, FAMILY_V4, 39999, &again, w->now), -ENOENT);
    assert_int_equal(world_counter(w, COUNTER_PORTS_QUARANTINED), 5);
    world_wait(w, 11 * SECOND);
    assert_int_equal(world_counter(w, COUNTER_PORTS_QUARANTINED), 0);
    assert_int_equal(relay_lend_again(w->relay, FAMILY_V4, port[0].bind.port, &again, w->now), 0);
    relay_take_back(w->relay, &again, w->now);
    relay_take_back(w->relay, &port[1], w->now);
    world_check(w);
    world_free(w);
}

// Each binding fails once, and costs its own path.
static void a_port_that_cannot_be_had(void **state)
{
    struct scene scene;
    json_t *saved = state_of_scene(&scene);

    for (unsigned k = 1; k <= 16; k++) {
        struct world *w = new_world();
        unsigned lost = 0;
        w->fail_bind = k;
        assert_int_equal(relay_restore(w->relay, saved, w->now, &lost), 0);
        world_check(w);
        assert_int_equal(lost, 1);
        assert_int_equal(world_counter(w, COUNTER_PATHS_OPEN), SCENE_PATHS - 1);
        assert_int_equal(world_count(w, EVENT_OPENED), SCENE_PATHS - 1);
        world_free(w);
    }
    json_decref(saved);
}

static void of_another_share(void **state)
{
    struct scene scene;
    json_t *saved = state_of_scene(&scene);
    struct relay_config config = world_config();
    unsigned lost = 0;

    config.port_min = 50000;
    config.port_max = 50099;
    struct world *w = world_new(&config);
    assert_int_equal(relay_restore(w->relay, saved, w->now, &lost), 0);
    world_check(w);
    assert_int_equal(lost, SCENE_PATHS);
    assert_int_equal(world_counter(w, COUNTER_PORTS_FREE), 200);
    world_free(w);
    json_decref(saved);
}

// What the kernel has forwarded is counted, and it forwards nothing any more.
static void the_kernel_gives_back(void **state)
{
    struct world *w = new_world();
    struct scene scene;

    world_offload(w);
    scene_play(w, &scene);
    world_wait(w, 2 * SECOND); // Alice was asked whether she is elsewhere
    for (uint16_t i = 20; i < 60; i++)
        world_recv(w, scene.pb, scene.bob, buf, build_rtp(buf, 0x5678, i, 100));
    assert_true(w->kernel.packets > 0);
    uint64_t packets = world_view(w, 1)->leg[B].packets_in;
    world_restart(w);
    assert_int_equal(w->kernel.flows, 0);
    assert_int_equal(world_view(w, 1)->leg[B].packets_in, packets);
    world_free(w);
}

// --- what makes no sense
// ---------------------------------------------------------------------------

static void other_versions(void **state)
{
    static const char *const texts[] = {"{}", "[]", "{\"v\":7}", "{\"v\":1}",
                                        "{\"v\":1,\"key\":\"00\"}"};
    int outcome;
    unsigned lost;

    for (unsigned i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
        json_t *saved = json_loads(texts[i], 0, NULL);
        world_free(restored(saved, 1000 * SECOND, &outcome, &lost));
        assert_int_equal(outcome, -EPROTONOSUPPORT);
        json_decref(saved);
    }
    world_free(restored(NULL, 1000 * SECOND, &outcome, &lost));
    assert_int_equal(outcome, -EPROTONOSUPPORT);
}

static void play_on(struct world *w, const struct scene *scene)
{
    world_wait(w, 3 * SECOND); // its own checks
    for (unsigned i = 0; i < w->sockets; i++) {
        if (!w->socket[i].port)
            continue;
        const struct addr from =
            w->socket[i].local.family == FAMILY_V6 ? at("2001:db8:9::1", 9) : scene->alice;
        world_recv(w, w->socket[i].local, from, scene->check, scene->check_len);
        world_recv(w, w->socket[i].local, from, buf, build_rtp(buf, 1, 1, 10));
    }
}

// Whatever one member says, the relay is in good order; what nobody knows changes nothing.
static void one_member_at_a_time(void **state)
{
    struct scene scene;
    json_t *saved = state_of_scene(&scene);
    unsigned lost, paths_lost = 0, k = 0;
    int outcome;

    for (bool more = true; more; k++) {
        for (enum mutation how = 0; how < MUTATIONS; how++) {
            json_t *other = json_deep_copy(saved);
            more = mutate(other, k, how);
            struct world *w = restored(other, 1000 * SECOND, &outcome, &lost);
            assert_true(outcome == 0 || outcome == -EPROTONOSUPPORT);
            if (how == MUTATE_ADD || !more)
                assert_true(outcome == 0 && lost == 0);
            paths_lost += lost;
            play_on(w, &scene);
            world_free(w);
            json_decref(other);
        }
    }
    assert_in_range(k, 300, 2000);
    assert_true(paths_lost > 300);
    json_decref(saved);
}

// --- snapshots of earlier versions
// -----------------------------------------------------------------

static json_t *golden(const char *name, json_t *now)
{
    char path[512];

    snprintf(path, sizeof(path), "%s/state/%s", getenv("TEST_DATA"), name);
    if (getenv("WRITE_GOLDEN"))
        assert_int_equal(json_dump_file(now, path, JSON_INDENT(1)), 0);
    json_t *state = json_load_file(path, 0, NULL);
    assert_non_null(state);
    return state;
}

static void version_1(void **state)
{
    struct scene scene;
    json_t *now = state_of_scene(&scene), *then = golden("relay-1.json", now);
    unsigned lost;
    int outcome;
    struct world *w = restored(then, 1000 * SECOND, &outcome, &lost);

    assert_int_equal(outcome, 0);
    assert_int_equal(lost, 0);
    assert_int_equal(world_counter(w, COUNTER_PATHS_OPEN), SCENE_PATHS);
    // The ports are those of then.
    scene.pa = world_view(w, 1)->leg[A].port[0];
    for (unsigned i = 0; i < w->events; i++) {
        if (w->event[i].kind != EVENT_OPENED || w->event[i].path != SCENE_TALKS)
            continue;
        scene.pa = w->event[i].u.opened[A][0];
        scene.pb = w->event[i].u.opened[B][0];
    }
    scene_goes_on(w, &scene);
    world_free(w);
    json_decref(now);
    json_decref(then);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_goes_on),
        cmocka_unit_test(a_pause_is_nobodys_silence),
        cmocka_unit_test(an_answer_that_waited),
        cmocka_unit_test(old_checks_prove_nothing),
        cmocka_unit_test(a_rate_is_not_new),
        cmocka_unit_test(ports_rest_over_a_restart),
        cmocka_unit_test(a_port_that_cannot_be_had),
        cmocka_unit_test(of_another_share),
        cmocka_unit_test(the_kernel_gives_back),
        cmocka_unit_test(other_versions),
        cmocka_unit_test(one_member_at_a_time),
        cmocka_unit_test(version_1),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
