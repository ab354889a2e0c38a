// SPDX-License-Identifier: ISC
// Channels (XEP-0278): ports in pairs, and two sources that must fit each other before anything
// passes: ICE agents whose checks name each other, or senders of RTP after a contest. Then nobody
// else, whatever he sends.
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
#define CALL   1
#define RTP    10
#define RTCP   11
#define SECOND USEC_PER_SEC
#define MSEC   USEC_PER_MSEC

struct fixture {
    struct world *w;
    struct addr port[SIDE_COUNT];  // of component 1
    struct addr port2[SIDE_COUNT]; // of component 2
    struct addr client[SIDE_COUNT], mallory, mallory2;
    unsigned serial;
    uint16_t sequence;
    uint8_t buf[700];
    uint8_t last[700]; // the request that passed last
};

static struct relay_event open_component(struct world *w, uint64_t path, uint64_t rtp_path)
{
    struct order order = {.kind = ORDER_OPEN, .call = CALL, .path = path};

    order.u.open.mode = PATH_CHANNEL;
    order.u.open.rtp_path = rtp_path;
    order.u.open.family_v4[A] = order.u.open.family_v4[B] = true;
    return world_order(w, &order);
}

static void set_up_with(struct fixture *f, const struct relay_config *config)
{
    *f = (struct fixture){.w = world_new(config)};
    struct relay_event one = open_component(f->w, RTP, 0), two = open_component(f->w, RTCP, RTP);

    assert_int_equal(one.kind, EVENT_OPENED);
    assert_int_equal(two.kind, EVENT_OPENED);
    for (unsigned s = 0; s < SIDE_COUNT; s++) {
        f->port[s] = one.u.opened[s][0];
        f->port2[s] = two.u.opened[s][0];
    }
    f->client[A] = at("8.8.1.1", 1111); // public: documentation ranges are special-purpose
    f->client[B] = at("9.9.1.1", 3333);
    f->mallory = at("7.7.6.6", 6666);
    f->mallory2 = at("7.7.8.8", 7777); // another host of his
}

static void set_up(struct fixture *f)
{
    struct relay_config config = world_config();

    set_up_with(f, &config);
}

// --- what is sent ------------------------------------------------------------------------------

static struct outcome rtp(struct fixture *f, enum side side, struct addr from, uint32_t ssrc,
                          uint16_t sequence)
{
    return world_recv(f->w, f->port[side], from, f->buf, build_rtp(f->buf, ssrc, sequence, 20));
}

struct names {
    const char *a, *b; // ufrags of the two sides
};

static const struct names ours = {"alic", "bobb"}, theirs = {"mall", "oryy"};

static struct outcome check_at(struct fixture *f, struct addr to, enum side side, struct addr from,
                               const struct names *names)
{
    char id[16];
    struct check c = {.to = side == A ? names->b : names->a,
                      .from = side == A ? names->a : names->b,
                      .pwd = "nobody at the relay knows",
                      .id = id,
                      .controlled = side == B};

    snprintf(id, sizeof(id), "id%u", f->serial++);
    size_t len = build_check(f->buf, sizeof(f->buf), &c);
    struct outcome o = world_recv(f->w, to, from, f->buf, len);
    if (o.verdict == VERDICT_FORWARD)
        memcpy(f->last, f->buf, len);
    return o;
}

static struct outcome check(struct fixture *f, enum side side, struct addr from,
                            const struct names *names)
{
    return check_at(f, f->port[side], side, from, names);
}

// An answer to the request that passed last.
static struct outcome answer_at(struct fixture *f, struct addr to, struct addr from)
{
    size_t len = build_answer(f->buf, sizeof(f->buf), f->last, &to, "nor this");

    return world_recv(f->w, to, from, f->buf, len);
}

static struct outcome answer(struct fixture *f, enum side side, struct addr from)
{
    return answer_at(f, f->port[side], from);
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

static void assert_latched(struct fixture *f, struct addr a, struct addr b)
{
    assert_forwarded(rtp(f, A, a, 1, 1), f->port[B], b);
    assert_forwarded(rtp(f, B, b, 2, 1), f->port[A], a);
}

static void assert_not_latched(struct fixture *f)
{
    assert_int_equal(world_count(f->w, EVENT_SELECTED), 0);
    assert_int_equal(world_view(f->w, CALL)->leg[A].sources, 0);
}

// Both clients check, and answer each other.
static void latch_by_checks(struct fixture *f)
{
    const struct addr *c = f->client;

    assert_dropped(f, check(f, A, c[A], &ours), COUNTER_DROP_INCONSISTENT);
    assert_dropped(f, check(f, B, c[B], &ours), COUNTER_DROP_INCONSISTENT);
    assert_dropped(f, check(f, A, c[A], &ours), COUNTER_DROP_INCONSISTENT);
    assert_forwarded(check(f, B, c[B], &ours), f->port[A], c[A]);
    assert_forwarded(answer(f, A, c[A]), f->port[B], c[B]);
    assert_not_latched(f);
    assert_forwarded(check(f, A, c[A], &ours), f->port[B], c[B]);
    assert_forwarded(answer(f, B, c[B]), f->port[A], c[A]);
    assert_int_equal(world_count(f->w, EVENT_SELECTED), 2);
}

// Both send RTP every 20 ms for so long, and in between 'also' may send, too.
static void talk(struct fixture *f, usec_t time, struct addr a, struct addr b,
                 void (*also)(struct fixture *f, unsigned i))
{
    for (unsigned i = 0; i < time / (20 * MSEC); i++) {
        rtp(f, A, a, 1, f->sequence);
        rtp(f, B, b, 2, f->sequence++);
        if (also)
            also(f, i);
        world_wait(f->w, 20 * MSEC);
    }
}

// --- ports -------------------------------------------------------------------------------------

static void test_ports_are_consecutive(void **state)
{
    struct fixture f;
    set_up(&f);

    for (unsigned s = 0; s < SIDE_COUNT; s++) {
        assert_int_equal(f.port[s].port % 2, 0);
        assert_int_equal(f.port2[s].port, f.port[s].port + 1);
    }
    assert_int_not_equal(f.port[A].port, f.port[B].port);
    assert_int_equal(world_counter(f.w, COUNTER_PORTS_USED), 4);
    world_close(f.w, RTP);
    world_close(f.w, RTCP);
    assert_int_equal(world_counter(f.w, COUNTER_PORTS_QUARANTINED), 4);
    world_free(f.w);
}

// The number beside an open port of component 1 belongs to nobody else, and returns with it.
static void test_the_next_number_is_kept(void **state)
{
    struct relay_config config = world_config();
    struct fixture f = {0};

    config.port_max = 40003;
    f.w = world_new(&config);
    assert_int_equal(open_component(f.w, RTP, 0).kind, EVENT_OPENED);
    assert_int_equal(world_counter(f.w, COUNTER_PORTS_USED), 4);
    assert_int_equal(open_component(f.w, 20, 0).error, -EMFILE);
    world_close(f.w, RTP);
    assert_int_equal(world_counter(f.w, COUNTER_PORTS_QUARANTINED), 4);
    world_wait(f.w, config.limits.quarantine);
    assert_int_equal(open_component(f.w, 20, 0).kind, EVENT_OPENED);
    world_free(f.w);
}

static void test_component_two_needs_component_one(void **state)
{
    struct fixture f;
    set_up(&f);

    assert_int_equal(open_component(f.w, 20, 99).error, -EINVAL);  // no such path
    assert_int_equal(open_component(f.w, 20, RTP).error, -EINVAL); // taken already
    world_open(f.w, CALL, 21, PATH_ICE);
    assert_int_equal(open_component(f.w, 20, 21).error, -EINVAL); // no channel
    struct order other = {.kind = ORDER_OPEN, .call = 2, .path = 22};
    assert_int_equal(open_component(f.w, 30, 0).kind, EVENT_OPENED);
    other.u.open.mode = PATH_CHANNEL;
    other.u.open.rtp_path = 30;
    other.u.open.family_v4[A] = other.u.open.family_v4[B] = true;
    assert_int_equal(world_order(f.w, &other).error, -EINVAL); // of another call
    world_free(f.w);
}

static void test_busy_ports_are_passed_over(void **state)
{
    struct relay_config config = world_config();
    struct fixture f = {.w = world_new(&config)};

    f.w->busy = 3;
    struct relay_event e = open_component(f.w, RTP, 0);
    assert_int_equal(e.kind, EVENT_OPENED);
    assert_int_equal(e.u.opened[A][0].port % 2, 0);
    f.w->busy = 1; // the number of component 2 is not to be chosen
    assert_int_equal(open_component(f.w, RTCP, RTP).error, -EADDRINUSE);
    assert_int_equal(world_counter(f.w, COUNTER_PORTS_USED), 3); // the third is still kept
    world_close(f.w, RTP);
    assert_int_equal(world_counter(f.w, COUNTER_PORTS_USED), 0);
    world_free(f.w);
}

// --- latching by checks ------------------------------------------------------------------------

static void test_checks_that_name_each_other(void **state)
{
    struct fixture f;
    set_up(&f);

    latch_by_checks(&f);
    assert_latched(&f, f.client[A], f.client[B]);
    // From now on whatever they send passes, STUN of other names included: ICE may restart.
    assert_forwarded(check(&f, A, f.client[A], &theirs), f.port[B], f.client[B]);
    assert_forwarded(answer(&f, B, f.client[B]), f.port[A], f.client[A]);
    uint8_t zrtp[20] = {0x10};
    assert_forwarded(world_recv(f.w, f.port[A], f.client[A], zrtp, sizeof(zrtp)), f.port[B],
                     f.client[B]);
    world_free(f.w);
}

static void test_media_wait_for_the_answers(void **state)
{
    struct fixture f;
    set_up(&f);
    uint8_t dtls[20] = {22};

    for (unsigned i = 0; i < 2; i++) {
        check(&f, A, f.client[A], &ours);
        check(&f, B, f.client[B], &ours);
    }
    assert_dropped(&f, world_recv(f.w, f.port[A], f.client[A], dtls, sizeof(dtls)),
                   COUNTER_DROP_UNPROVED);
    assert_dropped(&f, rtp(&f, A, f.client[A], 1, 1), COUNTER_DROP_INCONSISTENT);
    assert_not_latched(&f);
    world_free(f.w);
}

// Errors pass, because ICE needs them (487), but they show nothing.
static void test_an_error_is_no_answer(void **state)
{
    struct fixture f;
    set_up(&f);
    size_t len;

    for (unsigned i = 0; i < 2; i++) {
        check(&f, A, f.client[A], &ours);
        check(&f, B, f.client[B], &ours);
    }
    check(&f, A, f.client[A], &ours);
    assert_forwarded(answer(&f, B, f.client[B]), f.port[A], f.client[A]);
    check(&f, B, f.client[B], &ours);
    len = build_error(f.buf, sizeof(f.buf), f.last, 487, "pwd");
    assert_forwarded(world_recv(f.w, f.port[A], f.client[A], f.buf, len), f.port[B], f.client[B]);
    assert_not_latched(&f);
    assert_forwarded(answer(&f, A, f.client[A]), f.port[B], f.client[B]);
    assert_latched(&f, f.client[A], f.client[B]);
    world_free(f.w);
}

// XEP-0278 leaves the first step to either; agents repeat one request until it is answered.
static void test_a_repeated_request_counts(void **state)
{
    struct fixture f;
    set_up(&f);
    struct check c = {.to = "bobb", .from = "alic", .pwd = "p", .id = "same"};
    size_t len = build_check(f.last, sizeof(f.last), &c);

    for (unsigned i = 0; i < 2; i++)
        check(&f, B, f.client[B], &ours);
    len = build_check(f.last, sizeof(f.last), &c);
    assert_dropped(&f, world_recv(f.w, f.port[A], f.client[A], f.last, len),
                   COUNTER_DROP_INCONSISTENT);
    assert_forwarded(world_recv(f.w, f.port[A], f.client[A], f.last, len), f.port[B], f.client[B]);
    world_free(f.w);
}

static void test_what_is_no_check(void **state)
{
    static const struct names bad[] = {
        {"alic", "alic"}, // its own mirror
        {"ali", "bobb"},  // shorter than RFC 8445 section 5.3 allows
        {"alic", "bob"},
        {"", ""},
    };
    struct fixture f;
    set_up(&f);
    struct check c = {.to = "bobb", .from = "alic", .id = "x"};
    size_t len;

    for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_dropped(&f, check(&f, A, f.client[A], &bad[i]), COUNTER_DROP_BAD_USERNAME);
    len = build_check(f.buf, sizeof(f.buf), &c); // without MESSAGE-INTEGRITY
    assert_dropped(&f, world_recv(f.w, f.port[A], f.client[A], f.buf, len),
                   COUNTER_DROP_BAD_USERNAME);
    c.pwd = "p";
    len = build_check(f.buf, sizeof(f.buf), &c);
    f.buf[len - 1] ^= 1; // FINGERPRINT
    assert_dropped(&f, world_recv(f.w, f.port[A], f.client[A], f.buf, len), COUNTER_DROP_MALFORMED);
    uint8_t bare[20] = {0, 1, 0, 0, 0x21, 0x12, 0xA4, 0x42};
    assert_dropped(&f, world_recv(f.w, f.port[A], f.client[A], bare, sizeof(bare)),
                   COUNTER_DROP_BAD_USERNAME);
    bare[1] = 0x11; // an indication
    assert_dropped(&f, world_recv(f.w, f.port[A], f.client[A], bare, sizeof(bare)),
                   COUNTER_DROP_UNPROVED);
    world_free(f.w);
}

static void test_names_that_do_not_fit(void **state)
{
    static const struct names half = {"alic", "oryy"};
    struct fixture f;
    set_up(&f);

    for (unsigned i = 0; i < 9; i++) {
        assert_dropped(&f, check(&f, A, f.client[A], &ours), COUNTER_DROP_INCONSISTENT);
        assert_dropped(&f, check(&f, B, f.mallory, &half), COUNTER_DROP_INCONSISTENT);
        assert_dropped(&f, check(&f, B, f.mallory2, &theirs), COUNTER_DROP_INCONSISTENT);
    }
    // Nor the same names at both legs: mirrored they must be.
    for (unsigned i = 0; i < 9; i++)
        assert_dropped(&f, check_at(&f, f.port[B], A, f.client[B], &ours),
                       COUNTER_DROP_INCONSISTENT);
    assert_not_latched(&f);
    world_free(f.w);
}

static void test_evidence_does_not_last(void **state)
{
    struct fixture f;
    set_up(&f);

    check(&f, A, f.client[A], &ours);
    check(&f, A, f.client[A], &ours);
    world_wait(f.w, 6 * SECOND);
    for (unsigned i = 0; i < 4; i++)
        assert_dropped(&f, check(&f, B, f.client[B], &ours), COUNTER_DROP_INCONSISTENT);
    assert_dropped(&f, check(&f, A, f.client[A], &ours), COUNTER_DROP_INCONSISTENT);
    assert_forwarded(check(&f, A, f.client[A], &ours), f.port[B], f.client[B]);
    world_free(f.w);
}

// The other party may have several addresses, which all use the same names: one that does not
// answer gives way to the next.
static void test_an_address_that_does_not_answer_gives_way(void **state)
{
    struct fixture f;
    set_up(&f);
    struct addr other = at("9.9.2.2", 4444);

    for (unsigned i = 0; i < 2; i++) {
        check(&f, A, f.client[A], &ours);
        check(&f, B, other, &ours);
        check(&f, B, f.client[B], &ours);
    }
    assert_forwarded(check(&f, A, f.client[A], &ours), f.port[B], other);
    assert_dropped(&f, check(&f, B, f.client[B], &ours), COUNTER_DROP_INCONSISTENT);
    world_wait(f.w, 500 * MSEC);
    check(&f, B, other, &ours);
    assert_forwarded(check(&f, B, f.client[B], &ours), f.port[A], f.client[A]);
    assert_forwarded(answer(&f, A, f.client[A]), f.port[B], f.client[B]);
    assert_dropped(&f, check(&f, B, other, &ours), COUNTER_DROP_INCONSISTENT);
    assert_forwarded(check(&f, A, f.client[A], &ours), f.port[B], f.client[B]);
    assert_dropped(&f, answer(&f, B, other), COUNTER_DROP_UNPROVED);
    assert_forwarded(answer(&f, B, f.client[B]), f.port[A], f.client[A]);
    assert_latched(&f, f.client[A], f.client[B]);
    world_free(f.w);
}

// An answer goes to who has asked or to nobody, though the pair is another by now.
static void test_an_answer_that_outlives_its_pair(void **state)
{
    struct fixture f;
    set_up(&f);
    struct addr other = at("9.9.2.2", 4444);
    uint8_t first[700];

    for (unsigned i = 0; i < 2; i++) {
        check(&f, A, f.client[A], &ours);
        check(&f, B, other, &ours);
        check(&f, B, f.client[B], &ours);
    }
    assert_forwarded(check(&f, B, other, &ours), f.port[A], f.client[A]);
    memcpy(first, f.last, sizeof(first));
    world_wait(f.w, 500 * MSEC);
    assert_forwarded(check(&f, B, f.client[B], &ours), f.port[A], f.client[A]);
    memcpy(f.last, first, sizeof(first));
    assert_dropped(&f, answer(&f, A, f.client[A]), COUNTER_DROP_UNMATCHED);
    world_free(f.w);
}

static void test_new_names_before_the_latch(void **state)
{
    struct fixture f;
    set_up(&f);

    for (unsigned i = 0; i < 2; i++) {
        check(&f, A, f.client[A], &ours);
        check(&f, B, f.client[B], &ours);
    }
    assert_dropped(&f, check(&f, A, f.client[A], &theirs), COUNTER_DROP_INCONSISTENT);
    assert_dropped(&f, check(&f, B, f.client[B], &ours), COUNTER_DROP_INCONSISTENT);
    assert_dropped(&f, check(&f, A, f.client[A], &theirs), COUNTER_DROP_INCONSISTENT);
    assert_dropped(&f, check(&f, B, f.client[B], &theirs), COUNTER_DROP_INCONSISTENT);
    assert_forwarded(check(&f, B, f.client[B], &theirs), f.port[A], f.client[A]);
    world_free(f.w);
}

// --- strangers before the latch ----------------------------------------------------------------

static void test_who_tries_both_ports_is_nobody(void **state)
{
    struct fixture f;
    set_up(&f);

    for (unsigned i = 0; i < 2; i++) {
        check(&f, A, f.mallory, &theirs);
        check(&f, B, f.mallory2, &theirs);
    }
    assert_int_equal(world_counter(f.w, COUNTER_LATCHES_REFUSED), 0);
    // One shot at the other port too many, of whatever kind.
    assert_dropped(&f, rtp(&f, B, f.mallory, 6, 1), COUNTER_DROP_UNPROVED);
    assert_int_equal(world_counter(f.w, COUNTER_LATCHES_REFUSED), 1);
    for (unsigned i = 0; i < 9; i++)
        assert_dropped(&f, check(&f, A, f.mallory, &theirs), COUNTER_DROP_UNPROVED);
    assert_dropped(&f, check(&f, B, f.mallory2, &theirs), COUNTER_DROP_INCONSISTENT);
    assert_not_latched(&f);
    latch_by_checks(&f);
    world_free(f.w);
}

// A stranger with a socket per port makes a pair of his own, but must listen to hold it.
static void test_sprayed_names_hold_nothing(void **state)
{
    struct fixture f;
    set_up(&f);

    for (unsigned i = 0; i < 9; i++) {
        check(&f, A, f.mallory, &theirs);
        check(&f, B, f.mallory2, &theirs);
    }
    assert_forwarded(check(&f, A, f.mallory, &theirs), f.port[B], f.mallory2);
    for (unsigned i = 0; i < 9; i++) { // and no media
        assert_dropped(&f, rtp(&f, A, f.mallory, 6, 1), COUNTER_DROP_INCONSISTENT);
    }
    for (unsigned i = 0; i < 2; i++) {
        check(&f, A, f.client[A], &ours);
        assert_dropped(&f, check(&f, B, f.client[B], &ours), COUNTER_DROP_INCONSISTENT);
    }
    world_wait(f.w, 500 * MSEC);
    assert_forwarded(check(&f, A, f.client[A], &ours), f.port[B], f.client[B]);
    for (unsigned i = 0; i < 9; i++) // he goes on, in vain
        assert_dropped(&f, check(&f, A, f.mallory, &theirs), COUNTER_DROP_INCONSISTENT);
    assert_forwarded(answer(&f, B, f.client[B]), f.port[A], f.client[A]);
    world_free(f.w);
}

static void test_a_crowd_does_not_push_the_pair_out(void **state)
{
    struct fixture f;
    set_up(&f);
    uint16_t port = 6000;

    check(&f, A, f.client[A], &ours);
    for (unsigned i = 0; i < 3; i++) // one packet each
        check(&f, A, at("7.7.6.6", port++), &theirs);
    check(&f, A, f.client[A], &ours);
    for (unsigned i = 0; i < 200; i++)
        check(&f, A, at("7.7.6.6", port++), &theirs);
    check(&f, B, f.client[B], &ours);
    assert_forwarded(check(&f, B, f.client[B], &ours), f.port[A], f.client[A]);
    for (unsigned i = 0; i < 200; i++)
        for (unsigned k = 0; k < 9; k++) // who have shown more than the client
            check(&f, A, at("7.7.6.6", (uint16_t)(port + i)), &theirs);
    assert_forwarded(answer(&f, A, f.client[A]), f.port[B], f.client[B]);
    assert_forwarded(check(&f, A, f.client[A], &ours), f.port[B], f.client[B]);
    assert_forwarded(answer(&f, B, f.client[B]), f.port[A], f.client[A]);
    assert_latched(&f, f.client[A], f.client[B]);
    world_free(f.w);
}

static void test_an_answer_needs_the_question(void **state)
{
    struct fixture f;
    set_up(&f);

    assert_dropped(&f, check(&f, B, f.client[B], &ours), COUNTER_DROP_INCONSISTENT);
    assert_dropped(&f, answer(&f, A, f.client[A]), COUNTER_DROP_UNPROVED); // no pair yet
    for (unsigned i = 0; i < 2; i++) {
        check(&f, A, f.client[A], &ours);
        check(&f, B, f.client[B], &ours);
    }
    check(&f, A, f.client[A], &ours);
    f.last[10] ^= 1; // an id that nobody sent
    assert_dropped(&f, answer(&f, B, f.client[B]), COUNTER_DROP_UNMATCHED);
    f.last[10] ^= 1;
    assert_dropped(&f, answer(&f, A, f.client[A]), COUNTER_DROP_UNMATCHED); // his own
    assert_dropped(&f, answer(&f, B, f.mallory), COUNTER_DROP_UNPROVED);
    assert_forwarded(answer(&f, B, f.client[B]), f.port[A], f.client[A]);
    world_free(f.w);
}

// --- strangers afterwards ----------------------------------------------------------------------

// Peers.md calls it RTP bleed: nothing that a stranger sends moves the path, not even a captured
// check, and he gets nothing.
static void test_nothing_moves_a_latched_path(void **state)
{
    struct fixture f;
    set_up(&f);

    latch_by_checks(&f);
    for (unsigned i = 0; i < 50; i++) {
        assert_dropped(&f, check(&f, A, f.mallory, &ours), COUNTER_DROP_UNPROVED);
        assert_dropped(&f, check(&f, B, f.mallory2, &ours), COUNTER_DROP_UNPROVED);
        assert_dropped(&f, rtp(&f, A, f.mallory, 1, (uint16_t)i), COUNTER_DROP_UNPROVED);
        assert_dropped(&f, answer(&f, B, f.mallory2), COUNTER_DROP_UNPROVED);
        world_wait(f.w, 100 * MSEC);
    }
    assert_latched(&f, f.client[A], f.client[B]);
    assert_int_equal(world_counter(f.w, COUNTER_LATCHES_MOVED), 0);
    world_free(f.w);
}

static void test_special_addresses_are_no_clients(void **state)
{
    static const char *const special[] = {"10.1.2.3", "192.168.1.1", "169.254.169.254", "127.0.0.1",
                                          "203.0.113.1"};
    struct relay_config config = world_config();
    struct prefix lan;
    struct fixture f;

    set_up(&f);
    for (unsigned k = 0; k < sizeof(special) / sizeof(special[0]); k++)
        for (unsigned i = 0; i < 3; i++)
            assert_dropped(&f, check(&f, A, at(special[k], 5000), &ours), COUNTER_DROP_UNPROVED);
    assert_dropped(&f, check(&f, A, f.port[B], &ours), COUNTER_DROP_UNPROVED); // a loop
    world_free(f.w);

    assert_int_equal(prefix_parse("192.168.0.0/16", &lan), 0);
    config.allow = (struct prefix_list){&lan, 1};
    set_up_with(&f, &config);
    f.client[A] = at("192.168.1.2", 5000);
    latch_by_checks(&f);
    world_free(f.w);
}

// --- latching by RTP ---------------------------------------------------------------------------

static void test_rtp_after_a_contest(void **state)
{
    struct fixture f;
    set_up(&f);

    talk(&f, 500 * MSEC, f.client[A], f.client[B], NULL);
    assert_not_latched(&f);
    talk(&f, 140 * MSEC, f.client[A], f.client[B], NULL);
    assert_latched(&f, f.client[A], f.client[B]);
    for (uint16_t i = 0; i < 99; i++)
        assert_dropped(&f, rtp(&f, B, f.mallory, 2, (uint16_t)(900 + i)), COUNTER_DROP_UNPROVED);
    assert_int_equal(world_counter(f.w, COUNTER_LATCHES_MOVED), 0);
    world_free(f.w);
}

static void test_one_leg_alone_is_not_learned(void **state)
{
    struct fixture f;
    set_up(&f);

    for (uint16_t i = 0; i < 500; i++) {
        assert_dropped(&f, rtp(&f, B, f.mallory, 6, i), COUNTER_DROP_INCONSISTENT);
        world_wait(f.w, 20 * MSEC);
    }
    assert_not_latched(&f);
    world_free(f.w);
}

static void bursts(struct fixture *f, unsigned i)
{
    if (i % 25 == 0)
        for (uint16_t k = 0; k < 4; k++) {
            rtp(f, A, f->mallory, 6, (uint16_t)(4 * i / 25 + k));
            rtp(f, B, f->mallory2, 7, (uint16_t)(4 * i / 25 + k));
        }
}

// Somebody has long been there with a socket for each port. He still loses.
static void test_a_sprayer_loses_the_contest(void **state)
{
    struct fixture f;
    set_up(&f);

    for (uint16_t i = 0; i < 20; i++) { // as often as his run needs
        rtp(&f, A, f.mallory, 6, i);
        world_wait(f.w, 300 * MSEC);
    }
    talk(&f, 1300 * MSEC, f.client[A], f.client[B], bursts);
    assert_latched(&f, f.client[A], f.client[B]);
    world_free(f.w);
}

// Strangers at both ports have a contest of their own when the first client comes, just before its
// end. It does not win its leg alone: its partner is a little later.
static void test_who_comes_late_waits_for_its_partner(void **state)
{
    struct fixture f;
    set_up(&f);
    uint16_t n = 0;

    for (unsigned i = 0; i < 50; i++) {
        if (i % 8 == 0) {
            rtp(&f, A, f.mallory, 6, n);
            rtp(&f, B, f.mallory2, 7, n++);
        }
        if (i >= 30) // the contest began with the third packets at 320 ms and ends at 820 ms
            rtp(&f, B, f.client[B], 2, (uint16_t)i);
        if (i >= 45)
            rtp(&f, A, f.client[A], 1, (uint16_t)i);
        world_wait(f.w, 20 * MSEC);
    }
    assert_not_latched(&f);
    f.sequence = 50;
    talk(&f, 1500 * MSEC, f.client[A], f.client[B], NULL);
    assert_latched(&f, f.client[A], f.client[B]);
    world_free(f.w);
}

static void rival(struct fixture *f, unsigned i)
{
    rtp(f, B, f->mallory, 9, (uint16_t)i);
}

static void test_one_host_does_not_win_both_legs(void **state)
{
    struct relay_config config = world_config();
    struct fixture f;
    set_up(&f);

    talk(&f, 3 * SECOND, at("7.7.6.6", 1), at("7.7.6.6", 2), NULL);
    assert_not_latched(&f);
    f.client[B] = at("8.8.1.1", 3333); // both behind one NAT: ICE tells who they are
    latch_by_checks(&f);
    world_free(f.w);

    struct order order = {.kind = ORDER_OPEN, .call = CALL, .path = RTP};
    f.w = world_new(&config);
    order.u.open.mode = PATH_CHANNEL;
    order.u.open.family_v6[A] = order.u.open.family_v6[B] = true;
    struct relay_event e = world_order(f.w, &order);
    f.port[A] = e.u.opened[A][1];
    f.port[B] = e.u.opened[B][1];
    talk(&f, 3 * SECOND, at("2a00:1:2:3::1", 1), at("2a00:1:2:3:4::", 2), NULL);
    assert_not_latched(&f);
    talk(&f, 3 * SECOND, at("2a00:1:2:3::1", 1), at("2a00:1:2:4::1", 2), NULL);
    assert_int_equal(world_count(f.w, EVENT_SELECTED), 2);
    world_free(f.w);
}

// Rather nobody than the wrong one.
static void test_a_draw_has_no_winner(void **state)
{
    struct fixture f;
    set_up(&f);

    talk(&f, 3 * SECOND, f.client[A], f.client[B], rival);
    assert_not_latched(&f);
    talk(&f, 1700 * MSEC, f.client[A], f.client[B], NULL);
    assert_latched(&f, f.client[A], f.client[B]);
    world_free(f.w);
}

static void test_inconsistent_rtp(void **state)
{
    struct fixture f;
    set_up(&f);

    for (uint16_t i = 0; i < 100; i++) {
        rtp(&f, A, f.client[A], i, i);                  // another SSRC each time
        rtp(&f, A, f.mallory, 3, (uint16_t)(65 * i));   // leaps
        rtp(&f, A, f.mallory2, 3, (uint16_t)(900 - i)); // backwards
        rtp(&f, B, f.client[B], 2, i);
        world_wait(f.w, 20 * MSEC);
    }
    assert_not_latched(&f);
    world_free(f.w);
}

static void test_packets_out_of_order(void **state)
{
    struct fixture f;
    set_up(&f);

    for (uint16_t i = 0; i < 40; i++) {
        rtp(&f, A, f.client[A], 1, i ^ 1); // each two change places
        rtp(&f, B, f.client[B], 2, i);
        rtp(&f, B, f.client[B], 2, i); // twice
        world_wait(f.w, 20 * MSEC);
    }
    assert_latched(&f, f.client[A], f.client[B]);
    world_free(f.w);
}

static void test_a_pause_begins_anew(void **state)
{
    struct fixture f;
    set_up(&f);

    for (uint16_t i = 0; i < 20; i++) {
        rtp(&f, A, f.client[A], 1, i);
        rtp(&f, B, f.client[B], 2, i);
        world_wait(f.w, 600 * MSEC);
    }
    assert_not_latched(&f);
    world_free(f.w);
}

// ICE on a channel whose ports a stranger has taken by RTP: he must keep sending to hold them.
static void test_a_deserted_latch_gives_way_to_a_pair(void **state)
{
    struct fixture f;
    set_up(&f);

    talk(&f, 700 * MSEC, f.mallory, f.mallory2, NULL);
    assert_latched(&f, f.mallory, f.mallory2);
    for (unsigned i = 0; i < 3; i++)
        assert_dropped(&f, check(&f, A, f.client[A], &ours), COUNTER_DROP_UNPROVED);
    world_wait(f.w, 2 * SECOND);
    for (unsigned i = 0; i < 2; i++) {
        check(&f, A, f.client[A], &ours);
        check(&f, B, f.client[B], &ours);
    }
    check(&f, A, f.client[A], &ours);
    assert_forwarded(answer(&f, B, f.client[B]), f.port[A], f.client[A]);
    check(&f, B, f.client[B], &ours);
    assert_forwarded(answer(&f, A, f.client[A]), f.port[B], f.client[B]);
    assert_latched(&f, f.client[A], f.client[B]);
    assert_dropped(&f, rtp(&f, A, f.mallory, 1, 999), COUNTER_DROP_UNPROVED);
    world_free(f.w);
}

static void test_a_deserted_latch_is_not_taken_by_rtp(void **state)
{
    struct fixture f;
    set_up(&f);

    talk(&f, 700 * MSEC, f.client[A], f.client[B], NULL);
    world_wait(f.w, 60 * SECOND); // both on hold
    talk(&f, 3 * SECOND, f.mallory, f.mallory2, NULL);
    assert_latched(&f, f.client[A], f.client[B]);
    world_free(f.w);
}

// --- component 2 -------------------------------------------------------------------------------

static struct outcome rtcp(struct fixture *f, enum side side, struct addr from)
{
    return world_recv(f->w, f->port2[side], from, f->buf, build_rtcp(f->buf, 2));
}

static void test_rtcp_follows_rtp(void **state)
{
    struct fixture f;
    set_up(&f);
    struct addr a2 = f.client[A], b2 = f.client[B], late = f.client[B];

    a2.port = 1112;
    b2.port = 3399;
    late.port = 9;
    assert_dropped(&f, rtcp(&f, A, a2), COUNTER_DROP_UNPROVED); // RTP is not latched yet
    talk(&f, 700 * MSEC, f.client[A], f.client[B], NULL);
    assert_dropped(&f, rtcp(&f, A, f.mallory), COUNTER_DROP_UNPROVED);
    assert_dropped(&f, rtcp(&f, A, a2), COUNTER_DROP_PEER_UNKNOWN);
    assert_forwarded(rtcp(&f, B, b2), f.port2[A], a2);
    assert_forwarded(rtcp(&f, A, a2), f.port2[B], b2);
    assert_dropped(&f, rtcp(&f, B, late), COUNTER_DROP_UNPROVED); // locked
    world_close(f.w, RTP);
    assert_dropped(&f, rtcp(&f, A, a2), COUNTER_DROP_UNPROVED); // it is over
    world_free(f.w);
}

static void test_rtcp_leaves_the_kernel_with_rtp(void **state)
{
    struct fixture f;
    set_up(&f);
    world_offload(f.w);
    struct addr a2 = f.client[A], b2 = f.client[B];

    a2.port = 1112;
    b2.port = 3399;
    talk(&f, 700 * MSEC, f.client[A], f.client[B], NULL);
    unsigned of_rtp = f.w->kernel.flows;
    for (unsigned i = 0; i < 10; i++) {
        (void)rtcp(&f, A, a2);
        (void)rtcp(&f, B, b2);
    }
    assert_int_equal(f.w->kernel.flows, of_rtp + 2);
    world_close(f.w, RTP);
    assert_int_equal(f.w->kernel.flows, 0);
    assert_dropped(&f, rtcp(&f, A, a2), COUNTER_DROP_UNPROVED);
    world_free(f.w);
}

static void test_checks_of_component_two(void **state)
{
    struct fixture f;
    set_up(&f);
    struct addr a2 = f.client[A], b2 = f.client[B];

    a2.port = 1112;
    b2.port = 3399;
    // Before component 1 nobody knows which names are right.
    for (unsigned i = 0; i < 3; i++) {
        assert_dropped(&f, check_at(&f, f.port2[A], A, f.mallory, &theirs),
                       COUNTER_DROP_INCONSISTENT);
        assert_dropped(&f, check_at(&f, f.port2[B], B, f.mallory2, &theirs),
                       COUNTER_DROP_INCONSISTENT);
    }
    latch_by_checks(&f);
    for (unsigned i = 0; i < 3; i++) {
        assert_dropped(&f, check_at(&f, f.port2[A], A, f.mallory, &theirs),
                       COUNTER_DROP_INCONSISTENT);
        assert_dropped(&f, check_at(&f, f.port2[B], B, f.mallory2, &theirs),
                       COUNTER_DROP_INCONSISTENT);
    }
    assert_dropped(&f, rtcp(&f, A, a2), COUNTER_DROP_UNPROVED); // not by its host
    assert_dropped(&f, check_at(&f, f.port2[A], A, a2, &ours), COUNTER_DROP_INCONSISTENT);
    assert_forwarded(check_at(&f, f.port2[B], B, b2, &ours), f.port2[A], a2);
    assert_forwarded(answer_at(&f, f.port2[A], a2), f.port2[B], b2);
    assert_forwarded(check_at(&f, f.port2[A], A, a2, &ours), f.port2[B], b2);
    assert_forwarded(answer_at(&f, f.port2[B], b2), f.port2[A], a2);
    assert_forwarded(rtcp(&f, A, a2), f.port2[B], b2);
    assert_forwarded(rtcp(&f, B, b2), f.port2[A], a2);
    world_free(f.w);
}

// Agents check both components at the same time, and repeat themselves seldom.
static void test_components_side_by_side(void **state)
{
    struct fixture f;
    set_up(&f);
    struct addr a2 = f.client[A], b2 = f.client[B];

    a2.port = 1112;
    b2.port = 3399;
    for (unsigned i = 0; i < 2; i++) {
        check(&f, A, f.client[A], &ours);
        check_at(&f, f.port2[A], A, a2, &ours);
        check(&f, B, f.client[B], &ours);
        if (i == 0)
            check_at(&f, f.port2[B], B, b2, &ours);
    }
    // Component 1 has a pair but no latch yet.
    assert_forwarded(check_at(&f, f.port2[B], B, b2, &ours), f.port2[A], a2);
    assert_forwarded(answer_at(&f, f.port2[A], a2), f.port2[B], b2);
    assert_forwarded(check_at(&f, f.port2[A], A, a2, &ours), f.port2[B], b2);
    assert_forwarded(answer_at(&f, f.port2[B], b2), f.port2[A], a2);
    assert_not_latched(&f);
    assert_dropped(&f, rtcp(&f, A, a2), COUNTER_DROP_UNPROVED);
    assert_forwarded(check(&f, A, f.client[A], &ours), f.port[B], f.client[B]);
    assert_forwarded(answer(&f, B, f.client[B]), f.port[A], f.client[A]);
    assert_forwarded(check(&f, B, f.client[B], &ours), f.port[A], f.client[A]);
    assert_forwarded(answer(&f, A, f.client[A]), f.port[B], f.client[B]);
    assert_forwarded(rtcp(&f, A, a2), f.port2[B], b2); // it has followed
    assert_forwarded(rtcp(&f, B, b2), f.port2[A], a2);
    world_free(f.w);
}

// A pair that component 1 has given up is given up by component 2.
static void test_component_two_gives_up_with_component_one(void **state)
{
    struct fixture f;
    set_up(&f);
    struct addr a2 = f.client[A], b2 = f.client[B], m = f.mallory, m2 = f.mallory2;

    a2.port = 1112;
    b2.port = 3399;
    m.port = m2.port = 9;
    for (unsigned i = 0; i < 2; i++) {
        check(&f, A, f.mallory, &theirs);
        check(&f, B, f.mallory2, &theirs);
    }
    check_at(&f, f.port2[A], A, m, &theirs);
    assert_forwarded(check_at(&f, f.port2[B], B, m2, &theirs), f.port2[A], m);
    assert_forwarded(answer_at(&f, f.port2[A], m), f.port2[B], m2);
    assert_forwarded(check_at(&f, f.port2[A], A, m, &theirs), f.port2[B], m2);
    assert_forwarded(answer_at(&f, f.port2[B], m2), f.port2[A], m); // on component 2 alone
    world_wait(f.w, 500 * MSEC);
    for (unsigned i = 0; i < 2; i++) {
        check(&f, A, f.client[A], &ours);
        check(&f, B, f.client[B], &ours);
    }
    assert_forwarded(answer(&f, A, f.client[A]), f.port[B], f.client[B]);
    assert_forwarded(check(&f, A, f.client[A], &ours), f.port[B], f.client[B]);
    assert_forwarded(answer(&f, B, f.client[B]), f.port[A], f.client[A]);
    assert_dropped(&f, check_at(&f, f.port2[A], A, m, &theirs), COUNTER_DROP_INCONSISTENT);
    assert_dropped(&f, rtcp(&f, A, m), COUNTER_DROP_UNPROVED);
    check_at(&f, f.port2[A], A, a2, &ours);
    assert_forwarded(check_at(&f, f.port2[B], B, b2, &ours), f.port2[A], a2);
    world_free(f.w);
}

// --- life --------------------------------------------------------------------------------------

// XEP-0278 section 6.1.6 counts packets, whatever they are.
static void test_checks_keep_a_channel_alive(void **state)
{
    struct fixture f;
    set_up(&f);

    world_wait(f.w, 5 * SECOND);
    assert_int_equal(world_count(f.w, EVENT_SILENT), 2);
    latch_by_checks(&f);
    assert_int_equal(world_count(f.w, EVENT_MEDIA), 0);
    check(&f, A, f.client[A], &ours);
    assert_int_equal(world_count(f.w, EVENT_MEDIA), 1);
    for (unsigned i = 0; i < 10; i++) {
        check(&f, A, f.client[A], &ours);
        world_wait(f.w, 4 * SECOND);
    }
    assert_int_equal(world_count(f.w, EVENT_SILENT), 2);
    world_wait(f.w, 5 * SECOND);
    assert_int_equal(world_count(f.w, EVENT_SILENT), 3);
    world_free(f.w);
}

static void test_the_limit_of_bandwidth(void **state)
{
    struct fixture f = {0};
    struct relay_config config = world_config();
    struct order order = {.kind = ORDER_OPEN, .call = CALL, .path = RTP};

    set_up_with(&f, &config);
    world_close(f.w, RTP);
    world_close(f.w, RTCP);
    order.u.open.mode = PATH_CHANNEL;
    order.u.open.family_v4[A] = order.u.open.family_v4[B] = true;
    order.u.open.bytes_per_second = 2000;
    struct relay_event e = world_order(f.w, &order);
    f.port[A] = e.u.opened[A][0];
    f.port[B] = e.u.opened[B][0];
    latch_by_checks(&f);
    for (uint16_t i = 0; i < 99; i++)
        rtp(&f, A, f.client[A], 1, i);
    assert_dropped(&f, rtp(&f, A, f.client[A], 1, 100), COUNTER_DROP_BANDWIDTH);
    world_free(f.w);
}

static void test_orders_of_other_modes_are_ignored(void **state)
{
    struct fixture f;
    set_up(&f);

    world_peer(f.w, RTP, A, f.mallory);
    world_credentials(f.w, RTP, A, "alic", "password");
    assert_not_latched(&f);
    world_free(f.w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ports_are_consecutive),
        cmocka_unit_test(test_the_next_number_is_kept),
        cmocka_unit_test(test_component_two_needs_component_one),
        cmocka_unit_test(test_busy_ports_are_passed_over),
        cmocka_unit_test(test_checks_that_name_each_other),
        cmocka_unit_test(test_media_wait_for_the_answers),
        cmocka_unit_test(test_an_error_is_no_answer),
        cmocka_unit_test(test_a_repeated_request_counts),
        cmocka_unit_test(test_what_is_no_check),
        cmocka_unit_test(test_names_that_do_not_fit),
        cmocka_unit_test(test_evidence_does_not_last),
        cmocka_unit_test(test_an_address_that_does_not_answer_gives_way),
        cmocka_unit_test(test_an_answer_that_outlives_its_pair),
        cmocka_unit_test(test_new_names_before_the_latch),
        cmocka_unit_test(test_who_tries_both_ports_is_nobody),
        cmocka_unit_test(test_sprayed_names_hold_nothing),
        cmocka_unit_test(test_a_crowd_does_not_push_the_pair_out),
        cmocka_unit_test(test_an_answer_needs_the_question),
        cmocka_unit_test(test_nothing_moves_a_latched_path),
        cmocka_unit_test(test_special_addresses_are_no_clients),
        cmocka_unit_test(test_rtp_after_a_contest),
        cmocka_unit_test(test_one_leg_alone_is_not_learned),
        cmocka_unit_test(test_a_sprayer_loses_the_contest),
        cmocka_unit_test(test_who_comes_late_waits_for_its_partner),
        cmocka_unit_test(test_one_host_does_not_win_both_legs),
        cmocka_unit_test(test_a_draw_has_no_winner),
        cmocka_unit_test(test_inconsistent_rtp),
        cmocka_unit_test(test_packets_out_of_order),
        cmocka_unit_test(test_a_pause_begins_anew),
        cmocka_unit_test(test_a_deserted_latch_gives_way_to_a_pair),
        cmocka_unit_test(test_a_deserted_latch_is_not_taken_by_rtp),
        cmocka_unit_test(test_rtcp_follows_rtp),
        cmocka_unit_test(test_rtcp_leaves_the_kernel_with_rtp),
        cmocka_unit_test(test_checks_of_component_two),
        cmocka_unit_test(test_components_side_by_side),
        cmocka_unit_test(test_component_two_gives_up_with_component_one),
        cmocka_unit_test(test_checks_keep_a_channel_alive),
        cmocka_unit_test(test_the_limit_of_bandwidth),
        cmocka_unit_test(test_orders_of_other_modes_are_ignored),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);

    world_restart_always(true);
    return failed + cmocka_run_group_tests_name("restarted", tests, NULL, NULL);
}
