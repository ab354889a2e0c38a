// SPDX-License-Identifier: ISC
// What a TURN server leaves for its successor. That allocations go on as if nothing had happened is
// the business of their own tests, which run with restarts as well; here are clients that cannot
// stay, ports that cannot be had, every member changed, and snapshots of earlier versions.
#include "codec/state.h"
#include "lib/mutate.h"
#include "lib/turn_world.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SECOND USEC_PER_SEC

static struct addr peer;

static struct tw *new_world(void)
{
    struct tw *w = tw_new();

    peer = tw_at("192.0.2.150", 32853);
    tw_start(w);
    return w;
}

static int allocate_with(struct tw *w, struct tw_client *c, enum stun_attr attr, const void *value,
                         size_t len)
{
    struct writer out = tw_begin(c, STUN_ALLOCATE);

    stun_put_u32(&out, STUN_REQUESTED_TRANSPORT, 17u << 24);
    stun_put_bytes(&out, attr, value, len);
    return tw_send(w, c, &out);
}

struct scene {
    struct tw_client alice, bob, moves, stream;
    struct addr relayed; // Alice's
};

// One with permission and channel, one of both families with a reserved port, a mobile one, and
// one that came by TCP.
static struct scene play(struct tw *w)
{
    struct scene s = {.alice = tw_client(w, "198.51.100.1", 1111),
                      .bob = tw_client(w, "198.51.100.2", 2222),
                      .moves = tw_client(w, "198.51.100.3", 3333),
                      .stream = tw_client(w, "198.51.100.4", 4444)};

    tw_rest(&s.bob, "north-north-north", TW_WALL + 1000, "bob@example.org");
    s.stream.at.transport = TURN_TCP;
    assert_int_equal(tw_allocate(w, &s.alice), 0);
    s.relayed = tw_relayed(w, 0);
    assert_int_equal(tw_permit(w, &s.alice, "192.0.2.7"), 0);
    assert_int_equal(tw_bind(w, &s.alice, 0x4001, &peer), 0);
    assert_int_equal(tw_channel(w, &s.alice, 0x4001, "hello", 5), TURN_TO_PEER);
    assert_int_equal(allocate_with(w, &s.bob, STUN_EVEN_PORT, "\x80", 1), 0);
    assert_int_equal(allocate_with(w, &s.moves, STUN_MOBILITY_TICKET, NULL, 0), 0);
    assert_int_equal(tw_allocate(w, &s.stream), 0);
    return s;
}

static json_t *state_of_scene(void)
{
    struct tw *w = new_world();

    play(w);
    json_t *state = turn_save(w->turn, w->now);
    assert_non_null(state);
    tw_free(w);
    return state;
}

static struct tw *restored(const json_t *state, usec_t now, int *ret_outcome, unsigned *ret_lost)
{
    struct tw *w = new_world();
    const struct turn_revival revival = tw_revival(w);

    w->now = now;
    *ret_lost = 0;
    *ret_outcome = turn_restore(w->turn, state, &revival, now, ret_lost);
    tw_check(w);
    return w;
}

static void goes_on(struct tw *w, struct scene *s)
{
    assert_int_equal(tw_channel(w, &s->alice, 0x4001, "hello", 5), TURN_TO_PEER);
    assert_true(addr_equal(&w->forward.to, &peer));
    assert_int_equal(tw_peer(w, &s->relayed, &peer, "hello", 5), TURN_TO_CLIENT);
    assert_true(addr_equal(&w->forward.client.remote, &s->alice.at.remote));
}

static void only_clients_of_udp_stay(void **state)
{
    struct tw *w = new_world();
    struct scene s = play(w);
    json_t *saved = turn_save(w->turn, w->now);
    unsigned lost;
    int outcome;

    assert_int_equal(tw_charged(w, "static"), 3);
    turn_free(w->turn);
    w->turn = NULL;
    assert_int_equal(w->ends, 1); // the stream's: the others go on
    tw_free(w);
    w = restored(saved, 1003 * SECOND, &outcome, &lost);
    assert_int_equal(outcome, 0);
    assert_int_equal(lost, 0);
    assert_int_equal(tw_counter(w, COUNTER_TURN_ALLOCATIONS), 3);
    assert_int_equal(tw_ports_open(w), 4); // and the reserved one
    assert_int_equal(tw_charged(w, "static"), 2);
    assert_int_equal(tw_charged(w, "bob@example.org"), 2);
    goes_on(w, &s);
    assert_int_equal(tw_refresh(w, &s.alice, 600), 0); // under the same key
    assert_int_equal(tw_refresh(w, &s.stream, 600), 437);
    tw_free(w);
    json_decref(saved);
}

// Nobody took over after all: what ends later has ended here.
static void what_was_saved_may_stay(void **state)
{
    struct tw *w = new_world();

    play(w);
    json_decref(turn_save(w->turn, w->now));
    tw_tick(w);
    turn_free(w->turn);
    w->turn = NULL;
    assert_int_equal(w->ends, 4);
    tw_free(w);
}

// Those of connections as well: whoever fails to start has told nobody that he is there.
static void what_is_disowned_ends_in_silence(void **state)
{
    for (int ticks = 0; ticks < 2; ticks++) {
        struct tw *w = new_world();
        play(w);
        turn_disown(w->turn);
        if (ticks)
            tw_tick(w); // it lives here after all
        turn_free(w->turn);
        w->turn = NULL;
        assert_int_equal(w->ends, ticks ? 4 : 0);
        tw_free(w);
    }
}

// The time that nobody was there is given back; it is not when nobody comes.
static void lifetimes_go_on(void **state)
{
    json_t *saved = state_of_scene();
    unsigned lost;
    int outcome;
    struct tw *w = restored(saved, 1000 * SECOND + 10 * SECOND, &outcome, &lost);

    tw_wait(w, 599 * SECOND);
    assert_int_equal(tw_counter(w, COUNTER_TURN_ALLOCATIONS), 3);
    assert_int_equal(tw_ports_open(w), 3); // reserved for half a minute
    tw_wait(w, 2 * SECOND);
    assert_int_equal(tw_counter(w, COUNTER_TURN_ALLOCATIONS), 0);
    tw_free(w);
    json_decref(saved);
}

// Whoever came by a connection may come again with his ticket.
static void a_mobile_client_of_a_connection(void **state)
{
    struct tw *w = new_world();
    struct tw_client c = tw_client(w, "198.51.100.3", 3333), moved;
    uint8_t ticket[64];

    c.at.transport = TURN_TCP;
    assert_int_equal(allocate_with(w, &c, STUN_MOBILITY_TICKET, NULL, 0), 0);
    size_t len = w->reply.attr[STUN_MOBILITY_TICKET].len;
    memcpy(ticket, w->reply.attr[STUN_MOBILITY_TICKET].data, len);
    json_t *saved = turn_save(w->turn, w->now);
    tw_free(w);
    unsigned lost;
    int outcome;
    w = restored(saved, 1000 * SECOND, &outcome, &lost);
    assert_int_equal(tw_counter(w, COUNTER_TURN_ALLOCATIONS), 1);
    moved = tw_client(w, "198.51.100.9", 9999);
    struct writer out = tw_begin(&moved, STUN_REFRESH);
    stun_put_bytes(&out, STUN_MOBILITY_TICKET, ticket, len);
    assert_int_equal(tw_send(w, &moved, &out), 0);
    assert_int_equal(tw_permit(w, &moved, "192.0.2.7"), 0);
    tw_free(w);
    json_decref(saved);
}

static void a_port_that_cannot_be_had(void **state)
{
    json_t *saved = state_of_scene();

    for (unsigned k = 1; k <= 4; k++) {
        struct tw *w = new_world();
        const struct turn_revival revival = tw_revival(w);
        unsigned lost = 0;
        w->fail_open = k;
        assert_int_equal(turn_restore(w->turn, saved, &revival, w->now, &lost), 0);
        tw_check(w);
        assert_int_equal(lost, 1);
        assert_int_equal(tw_ports_open(w), 3);
        tw_free(w);
    }
    json_decref(saved);
}

static void quotas_that_are_smaller_now(void **state)
{
    json_t *saved = state_of_scene();
    struct tw *w = new_world();
    const struct turn_revival revival = tw_revival(w);
    unsigned lost = 0;

    w->total = 2;
    assert_int_equal(turn_restore(w->turn, saved, &revival, w->now, &lost), 0);
    tw_check(w);
    assert_int_equal(lost, 2);
    tw_free(w);
    json_decref(saved);
}

static void other_versions(void **state)
{
    static const char *const texts[] = {"{}", "[]", "{\"v\":7}", "{\"v\":1,\"allocations\":{}}"};
    int outcome;
    unsigned lost;

    for (unsigned i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
        json_t *saved = json_loads(texts[i], 0, NULL);
        tw_free(restored(saved, 1000 * SECOND, &outcome, &lost));
        assert_int_equal(outcome, -EPROTONOSUPPORT);
        json_decref(saved);
    }
    tw_free(restored(NULL, 1000 * SECOND, &outcome, &lost));
    assert_int_equal(outcome, -EPROTONOSUPPORT);
}

static void one_member_at_a_time(void **state)
{
    json_t *saved = state_of_scene();
    unsigned lost, all_lost = 0, k = 0;
    int outcome;

    for (bool more = true; more; k++) {
        for (enum mutation how = 0; how < MUTATIONS; how++) {
            json_t *other = json_deep_copy(saved);
            more = mutate(other, k, how);
            struct tw *w = restored(other, 1000 * SECOND, &outcome, &lost);
            assert_true(outcome == 0 || outcome == -EPROTONOSUPPORT);
            if (how == MUTATE_ADD || !more)
                assert_true(outcome == 0 && lost == 0);
            all_lost += lost;
            tw_wait(w, 5000 * SECOND);
            tw_free(w);
            json_decref(other);
        }
    }
    assert_in_range(k, 60, 500);
    assert_true(all_lost > 50);
    json_decref(saved);
}

static void version_1(void **state)
{
    struct tw *w = new_world();
    struct scene s = play(w);
    json_t *now = turn_save(w->turn, w->now);
    char path[512];
    unsigned lost;
    int outcome;

    tw_free(w);
    snprintf(path, sizeof(path), "%s/state/turn-1.json", getenv("TEST_DATA"));
    if (getenv("WRITE_GOLDEN"))
        assert_int_equal(json_dump_file(now, path, JSON_INDENT(1)), 0);
    json_t *then = json_load_file(path, 0, NULL);
    assert_non_null(then);
    w = restored(then, 1000 * SECOND, &outcome, &lost);
    assert_int_equal(outcome, 0);
    assert_int_equal(lost, 0);
    assert_int_equal(tw_counter(w, COUNTER_TURN_ALLOCATIONS), 3);
    goes_on(w, &s);
    tw_free(w);
    json_decref(now);
    json_decref(then);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_clients_of_udp_stay),
        cmocka_unit_test(what_was_saved_may_stay),
        cmocka_unit_test(what_is_disowned_ends_in_silence),
        cmocka_unit_test(lifetimes_go_on),
        cmocka_unit_test(a_mobile_client_of_a_connection),
        cmocka_unit_test(a_port_that_cannot_be_had),
        cmocka_unit_test(quotas_that_are_smaller_now),
        cmocka_unit_test(other_versions),
        cmocka_unit_test(one_member_at_a_time),
        cmocka_unit_test(version_1),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
