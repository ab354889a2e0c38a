// SPDX-License-Identifier: ISC
// A whole life of four paths, over and over, in which the k-th allocation, binding or sending
// fails, k = 1, 2, 3, ... until nothing fails any more. Whatever fails: no crash, no leak, no
// broken invariant, and nothing but the datagram in hand or the path that was asked for is lost.
#include "codec/stun_old.h"
#include "fault/lib_alloc.h"
#include "lib/world.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define A      SIDE_INITIATOR
#define B      SIDE_RESPONDER
#define A_PWD  "alice-password-of-22-ch"
#define B_PWD  "bob-password-of-22-chars"
#define SECOND USEC_PER_SEC
#define MSEC   USEC_PER_MSEC

static bool shared; // the second time: ICE on one port for all

struct life {
    struct world *w;
    struct addr port[SIDE_COUNT];
    unsigned serial, forwarded;
    uint8_t request[700], buf[700];
    size_t request_len;
};

// Returns false if the answer was a failure, as it may be.
static bool open_path(struct life *l, uint64_t path, enum path_mode mode, uint64_t rtp_path)
{
    struct order order = {.kind = ORDER_OPEN, .call = 1, .path = path};

    order.u.open.mode = mode;
    order.u.open.rtp_path = rtp_path;
    for (unsigned s = 0; s < SIDE_COUNT; s++) {
        order.u.open.family_v4[s] = true;
        order.u.open.family_v6[s] = mode != PATH_CHANNEL;
    }
    uint64_t used = world_counter(l->w, COUNTER_PORTS_USED);
    struct relay_event e = world_order(l->w, &order);
    if (e.kind == EVENT_FAILED) {
        assert_true(e.error == -ENOMEM || e.error == -EACCES);
        // What component 1 has kept for component 2 is gone, too, as far as it was tried.
        assert_true(world_counter(l->w, COUNTER_PORTS_USED) <= used);
        assert_true(rtp_path != 0 || world_counter(l->w, COUNTER_PORTS_USED) == used);
        return false;
    }
    assert_int_equal(e.kind, EVENT_OPENED);
    for (unsigned s = 0; s < SIDE_COUNT; s++)
        l->port[s] = e.u.opened[s][0];
    return true;
}

static bool is_open(const struct life *l)
{
    return world_counter(l->w, COUNTER_PATHS_OPEN) > 0;
}

static void deliver(struct life *l, enum side side, struct addr from, const void *data, size_t len)
{
    if (is_open(l)) // credentials that found no memory have closed the path
        l->forwarded += world_recv(l->w, l->port[side], from, data, len).verdict == VERDICT_FORWARD;
}

static void check(struct life *l, enum side side, struct addr from, bool nominate)
{
    char id[16];
    struct check c = {.to = side == A ? "bobb" : "alic",
                      .from = side == A ? "alic" : "bobb",
                      .pwd = side == A ? B_PWD : A_PWD,
                      .id = id,
                      .nominate = nominate,
                      .controlled = side == B};

    snprintf(id, sizeof(id), "id%u", l->serial++);
    l->request_len = build_check(l->request, sizeof(l->request), &c);
    deliver(l, side, from, l->request, l->request_len);
}

static void answer(struct life *l, enum side side, struct addr from, const uint8_t *request)
{
    size_t len =
        build_answer(l->buf, sizeof(l->buf), request, &l->port[side], side == A ? A_PWD : B_PWD);

    deliver(l, side, from, l->buf, len);
}

// Answers every check of the relay's own so far that went to this address.
static void answer_own(struct life *l, enum side side, struct addr from)
{
    for (unsigned i = 0; i < l->w->sents; i++)
        if (addr_equal(&l->w->sent[i].to, &from))
            answer(l, side, from, l->w->sent[i].data);
}

static void rtp(struct life *l, enum side side, struct addr from, uint32_t ssrc)
{
    deliver(l, side, from, l->buf, build_rtp(l->buf, ssrc, (uint16_t)l->serial++, 160));
}

static void ice_life(struct life *l)
{
    struct addr alice = at("198.51.100.1", 1111), alice2 = at("198.51.100.2", 2222);
    struct addr bob = at("192.0.2.1", 3333);

    if (!open_path(l, 1, PATH_ICE, 0))
        return;
    world_credentials(l->w, 1, A, "alic", A_PWD);
    world_credentials(l->w, 1, B, "bobb", B_PWD);
    check(l, A, alice, false); // held
    check(l, A, alice, false); // overwrites
    check(l, B, bob, false);   // releases
    answer(l, A, alice, l->request);
    for (unsigned i = 0; i < 40; i++) { // the ring of ids and the table of transactions grow
        check(l, A, alice, i % 8 == 0);
        answer(l, B, bob, l->request);
    }
    for (uint32_t ssrc = 1; ssrc < 6; ssrc++) {
        rtp(l, A, alice, ssrc);
        rtp(l, B, bob, ssrc);
    }
    for (unsigned i = 0; i < 10; i++) {
        rtp(l, A, alice, 1);
        rtp(l, B, bob, 1);
    }
    world_view(l->w, 1);
    check(l, A, alice2, true);
    world_wait(l->w, 250 * MSEC);
    answer_own(l, A, alice2);
    rtp(l, A, alice2, 1);
    world_credentials(l->w, 1, A, "ali2", "alice-second-password-x");
    world_credentials(l->w, 1, B, "bob2", "bob-second-password-xxx");
    for (uint16_t i = 0; i < 9; i++)
        check(l, A, at("198.51.100.9", (uint16_t)(9000 + i)), false);
    world_wait(l->w, 10 * SECOND);
    world_view(l->w, 1);
    world_close(l->w, 1);
    assert_int_equal(world_counter(l->w, COUNTER_PORTS_USED), 0);
}

static void raw_life(struct life *l)
{
    struct addr alice = at("8.8.1.1", 1111), bob = at("9.9.1.1", 3333);

    if (!open_path(l, 2, PATH_RAW, 0))
        return;
    world_peer(l->w, 2, A, alice);
    world_peer(l->w, 2, B, at("192.168.1.2", 5000));
    for (unsigned i = 0; i < 5; i++)
        rtp(l, B, bob, 7);
    rtp(l, A, alice, 8);
    world_close(l->w, 2);
    assert_int_equal(world_counter(l->w, COUNTER_PORTS_USED), 0);
}

static void channel_life(struct life *l)
{
    struct addr alice = at("8.8.1.1", 1111), bob = at("9.9.1.1", 3333);
    bool rtcp;

    if (!open_path(l, 3, PATH_CHANNEL, 0))
        return;
    struct addr port[SIDE_COUNT] = {l->port[A], l->port[B]};
    rtcp = open_path(l, 4, PATH_CHANNEL, 3);
    l->port[A] = port[A];
    l->port[B] = port[B];
    for (unsigned i = 0; i < 2; i++) {
        check(l, A, alice, false);
        check(l, B, bob, false);
    }
    answer(l, A, alice, l->request);
    for (unsigned i = 0; i < 20; i++) // the table of transactions grows
        check(l, A, alice, false);
    answer(l, B, bob, l->request);
    for (uint32_t ssrc = 1; ssrc < 6; ssrc++)
        rtp(l, A, alice, ssrc);
    world_close(l->w, 3);
    if (rtcp)
        world_close(l->w, 4);
    assert_int_equal(world_counter(l->w, COUNTER_PORTS_USED), 0);
}

// A check by name alone.
static void check_by_name(struct life *l, enum side side, struct addr from)
{
    const char *name = side == A ? "RelayForAlice001aaaaaaaa" : "RelayForBob00001bbbbbbbb";
    uint8_t txid[STUN_TXID_LEN] = {0};
    int len;

    snprintf((char *)txid, sizeof(txid), "g%u", l->serial++);
    len = stun_old_request(txid, name, strlen(name), l->request, sizeof(l->request));
    assert_true(len > 0);
    deliver(l, side, from, l->request, (size_t)len);
}

// Answers whatever was asked of this address since then, under the same name.
static void answer_by_name(struct life *l, enum side side, struct addr from, unsigned since)
{
    for (unsigned i = since; i < l->w->sents; i++) {
        const struct world_sent *sent = &l->w->sent[i];

        if (!addr_equal(&sent->to, &from) || sent->data[0] != 0)
            continue;
        memcpy(l->buf, sent->data, sent->len);
        l->buf[0] = 1; // a response
        deliver(l, side, from, l->buf, sent->len);
    }
}

static void google_life(struct life *l)
{
    struct addr alice = at("8.8.1.1", 1111), bob = at("9.9.1.1", 3333);

    if (!open_path(l, 5, PATH_GOOGLE, 0))
        return;
    world_credentials(l->w, 5, A, "RelayForAlice001", "");
    world_credentials(l->w, 5, B, "RelayForBob00001", "");
    world_peer(l->w, 5, A, alice);
    world_peer(l->w, 5, B, at("192.168.1.2", 5000));
    for (unsigned i = 0; i < 20; i++) { // the ring of ids and the table of transactions grow
        unsigned since = l->w->sents;
        check_by_name(l, A, alice);
        check_by_name(l, B, bob);
        answer_by_name(l, A, alice, since);
        answer_by_name(l, B, bob, since);
        world_wait(l->w, 300 * MSEC);
    }
    check_by_name(l, A, at("8.8.2.2", 2222));
    for (uint32_t ssrc = 1; ssrc < 6; ssrc++) {
        rtp(l, A, alice, ssrc);
        rtp(l, B, bob, ssrc);
    }
    world_view(l->w, 1);
    world_close(l->w, 5);
    assert_int_equal(world_counter(l->w, COUNTER_PORTS_USED), 0);
}

struct faults { // which call fails, counted from 1; 0: none
    unsigned alloc, bind, send, put;
};

static unsigned live(const struct faults *faults, bool *ret_failed)
{
    struct relay_config config = world_config();
    struct life l = {.serial = 0};

    alloc_fail_at(faults->alloc);
    l.w = world_try(&config);
    if (l.w) {
        if (shared)
            world_share(l.w);
        world_offload(l.w);
        l.w->fail_bind = faults->bind;
        l.w->fail_send = faults->send;
        l.w->kernel.fail_put = faults->put;
        ice_life(&l);
        raw_life(&l);
        channel_life(&l);
        google_life(&l);
        world_wait(l.w, 10 * SECOND); // every port comes back
        assert_int_equal(world_counter(l.w, COUNTER_PORTS_FREE), 200);
        *ret_failed = alloc_failed() || (faults->bind > 0 && l.w->binds >= faults->bind) ||
                      (faults->send > 0 && l.w->sends >= faults->send) ||
                      (faults->put > 0 && l.w->kernel.puts >= faults->put);
        if (!*ret_failed)
            assert_true(l.w->kernel.packets > 10 && l.w->kernel.takes > 2);
        world_free(l.w);
    } else {
        *ret_failed = true;
    }
    alloc_fail_at(0);
    return l.forwarded;
}

static void test_allocations(void **state)
{
    bool failed;
    unsigned whole = live(&(struct faults){0}, &failed), k = 0;

    assert_true(whole > 90);
    do
        assert_true(live(&(struct faults){.alloc = ++k}, &failed) <= whole);
    while (failed);
    assert_in_range(k, 30, 1000);
    assert_int_equal(live(&(struct faults){.alloc = k}, &failed), whole);
}

static void test_bindings(void **state)
{
    bool failed;
    unsigned k = 0;

    do
        live(&(struct faults){.bind = ++k}, &failed);
    while (failed);
    // Three paths of four ports, and two of two; ICE shares one.
    assert_int_equal(k, shared ? 13 : 17);
}

static void test_sendings(void **state)
{
    bool failed;
    unsigned whole = live(&(struct faults){0}, &failed), k = 0;

    do
        assert_in_range(live(&(struct faults){.send = ++k}, &failed), whole - 2,
                        whole); // it costs that datagram
    while (failed);
    assert_in_range(k, 4, 200);
}

// What the kernel will not take is forwarded all the same.
static void test_offloading(void **state)
{
    bool failed;
    unsigned whole = live(&(struct faults){0}, &failed), k = 0;

    do
        assert_int_equal(live(&(struct faults){.put = ++k}, &failed), whole);
    while (failed);
    assert_in_range(k, 3, 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_allocations),
        cmocka_unit_test(test_bindings),
        cmocka_unit_test(test_sendings),
        cmocka_unit_test(test_offloading),
    };
    int failed = cmocka_run_group_tests_name("own ports", tests, NULL, NULL);

    shared = true;
    return failed + cmocka_run_group_tests_name("shared port", tests, NULL, NULL);
}
