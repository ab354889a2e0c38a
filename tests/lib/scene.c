// SPDX-License-Identifier: ISC
// See scene.h.
#include "lib/scene.h"

#include "codec/stun_old.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define A     SIDE_INITIATOR
#define B     SIDE_RESPONDER
#define A_PWD "alice-password-of-22-ch"
#define B_PWD "bob-password-of-22-chars"

static uint8_t buf[700];

// Ports of a path by the last EVENT_OPENED; false: it failed.
static bool open_path(struct world *w, uint64_t call, uint64_t path, enum path_mode mode,
                      uint64_t rtp_path, struct addr ret_port[SIDE_COUNT])
{
    struct order order = {.kind = ORDER_OPEN, .call = call, .path = path};

    order.u.open.mode = mode;
    order.u.open.rtp_path = rtp_path;
    order.u.open.component = rtp_path ? 2 : 1;
    order.u.open.own_ports = path == SCENE_BEGINS; // it has the names of another
    order.u.open.bytes_per_second = 100000;
    order.u.open.family_v4[A] = order.u.open.family_v4[B] = true;
    order.u.open.family_v6[A] = order.u.open.family_v6[B] = mode == PATH_ICE;
    struct relay_event e = world_order(w, &order);
    for (unsigned s = 0; s < SIDE_COUNT && e.kind == EVENT_OPENED; s++)
        ret_port[s] = e.u.opened[s][0];
    return e.kind == EVENT_OPENED;
}

static size_t check(enum side side, const char *id, bool nominate)
{
    const struct check c = {.to = side == A ? "bobb" : "alic",
                            .from = side == A ? "alic" : "bobb",
                            .pwd = side == A ? B_PWD : A_PWD,
                            .id = id,
                            .nominate = nominate,
                            .tie_breaker = 77 + side,
                            .controlled = side == B};

    return build_check(buf, sizeof(buf), &c);
}

static void answer(struct world *w, struct addr port, struct addr from, const uint8_t *request,
                   enum side side)
{
    uint8_t out[256];
    size_t len = build_answer(out, sizeof(out), request, &port, side == A ? A_PWD : B_PWD);

    world_recv(w, port, from, out, len);
}

static bool is_open(struct world *w, uint64_t path)
{
    struct order order = {.kind = ORDER_SNAPSHOT, .call = path / 10};
    unsigned before = world_count(w, EVENT_SNAPSHOT);

    world_order(w, &order);
    return world_count(w, EVENT_SNAPSHOT) > before;
}

static void talk(struct world *w, struct scene *scene)
{
    struct addr port[SIDE_COUNT];

    if (!open_path(w, 1, SCENE_TALKS, PATH_ICE, 0, port))
        return;
    world_credentials(w, SCENE_TALKS, A, "alic", A_PWD);
    world_credentials(w, SCENE_TALKS, B, "bobb", B_PWD);
    if (!is_open(w, SCENE_TALKS))
        return;
    scene->pa = port[A];
    scene->pb = port[B];
    scene->check_len = check(A, "first", true);
    memcpy(scene->check, buf, scene->check_len);
    world_recv(w, port[A], scene->alice, buf, scene->check_len); // held
    world_recv(w, port[B], scene->bob, buf, check(B, "second", false));
    answer(w, port[A], scene->alice, buf, A);
    answer(w, port[B], scene->bob, scene->check, B);
    for (uint16_t i = 0; i < 20; i++) {
        world_recv(w, port[A], scene->alice, buf, build_rtp(buf, 0x1234, i, 100));
        world_recv(w, port[B], scene->bob, buf, build_rtp(buf, 0x5678, i, 100));
    }
    world_recv(w, port[A], scene->alice, buf, check(A, "unanswered", true));
    world_recv(w, port[A], at("198.51.100.2", 2222), buf, check(A, "from elsewhere", true));
}

static void begin(struct world *w)
{
    struct addr port[SIDE_COUNT];

    if (!open_path(w, 1, SCENE_BEGINS, PATH_ICE, 0, port))
        return;
    world_credentials(w, SCENE_BEGINS, A, "alic", A_PWD);
    world_credentials(w, SCENE_BEGINS, B, "bobb", B_PWD);
    world_credentials(w, SCENE_BEGINS, B, "bobo", B_PWD); // an ICE restart
    if (is_open(w, SCENE_BEGINS))
        world_recv(w, port[A], at("198.51.100.1", 1112), buf, check(A, "held", true));
}

static void learn(struct world *w)
{
    struct addr port[SIDE_COUNT];

    if (!open_path(w, 2, 20, PATH_RAW, 0, port))
        return;
    world_peer(w, 20, A, at("8.8.1.1", 1111));
    world_peer(w, 20, B, at("192.168.1.1", 5000));
    for (uint16_t i = 0; i < 2; i++)
        world_recv(w, port[B], at("9.9.1.1", 3333), buf, build_rtp(buf, 9, i, 20));
}

static void share_channel(struct world *w)
{
    struct addr port[SIDE_COUNT], port2[SIDE_COUNT];

    if (!open_path(w, 3, 30, PATH_CHANNEL, 0, port))
        return;
    if (open_path(w, 3, 31, PATH_CHANNEL, 30, port2))
        world_recv(w, port2[A], at("8.8.3.1", 1112), buf, check(A, "on trial", false));
    for (uint16_t i = 0; i < 4; i++) {
        world_recv(w, port[A], at("8.8.3.1", 1111), buf, build_rtp(buf, 1, i, 20));
        world_recv(w, port[B], at("9.9.3.1", 1111), buf, build_rtp(buf, 2, i, 20));
        world_recv(w, port[B], at("7.7.7.7", 7777), buf, build_rtp(buf, 3, i, 20));
    }
}

static void google(struct world *w)
{
    const char *name = "RelayForAlice001aaaaaaaa";
    struct addr port[SIDE_COUNT];
    uint8_t txid[STUN_TXID_LEN] = "google id";

    if (!open_path(w, 4, 40, PATH_GOOGLE, 0, port))
        return;
    world_credentials(w, 40, A, "RelayForAlice001", "");
    world_credentials(w, 40, B, "RelayForBob00001", "");
    world_peer(w, 40, A, at("8.8.4.1", 1111));
    world_peer(w, 40, B, at("9.9.4.1", 3333));
    int len = stun_old_request(txid, name, strlen(name), buf, sizeof(buf));
    world_recv(w, port[A], at("8.8.4.1", 1111), buf, (size_t)len);
}

void scene_play(struct world *w, struct scene *scene)
{
    struct addr port[SIDE_COUNT];

    *scene = (struct scene){.alice = at("198.51.100.1", 1111),
                            .bob = at("192.0.2.1", 3333),
                            .mallory = at("192.0.2.66", 6666)};
    if (open_path(w, 9, 90, PATH_ICE, 0, port))
        world_close(w, 90);
    talk(w, scene);
    begin(w);
    learn(w);
    share_channel(w);
    google(w);
}

void scene_goes_on(struct world *w, const struct scene *scene)
{
    uint64_t refused = world_counter(w, COUNTER_LATCHES_REFUSED);
    struct outcome o = world_recv(w, scene->pa, scene->alice, buf, build_rtp(buf, 0x1234, 20, 100));

    assert_int_equal(o.verdict, VERDICT_FORWARD);
    assert_true(addr_equal(&o.to, &scene->bob));
    o = world_recv(w, scene->pb, scene->bob, buf, build_rtp(buf, 0x5678, 20, 100));
    assert_int_equal(o.verdict, VERDICT_FORWARD);
    assert_true(addr_equal(&o.to, &scene->alice));
    o = world_recv(w, scene->pa, scene->mallory, scene->check, scene->check_len);
    assert_int_equal(o.verdict, VERDICT_DROP);
    assert_int_equal(world_counter(w, COUNTER_LATCHES_REFUSED), refused + 1);
}
