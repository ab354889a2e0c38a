// SPDX-License-Identifier: ISC
// Latching of ICE paths, rule by rule, and everything hostile that a relay port sees. Alice is the
// initiator and controlling, Bob the responder; "mallory" is anybody else.
#include "lib/world.h"

#include "codec/stun.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define A      SIDE_INITIATOR
#define B      SIDE_RESPONDER
#define CALL   1
#define PATH   10
#define A_PWD  "alice-password-of-22-ch"
#define B_PWD  "bob-password-of-22-chars"
#define MSEC   USEC_PER_MSEC
#define SECOND USEC_PER_SEC

struct fixture {
    struct world *w;
    struct addr pa, pb;           // relay ports that face Alice and Bob, IPv4
    struct addr pa6, pb6;         // IPv6
    struct addr alice, alice2;    // hers: Wi-Fi and LTE
    struct addr bob, bob2;        // his
    struct addr mallory;          //
    unsigned serial;              // of ids
    uint8_t buf[2048], last[600]; // last: the last request built
    size_t last_len;
};

// Every test runs with ports of the path's own and with the one that all paths share; and both
// again, with a restart of the relay before each datagram.
static bool shared;

static struct world *new_world(const struct relay_config *config)
{
    struct world *w = world_new(config);

    if (shared)
        world_share(w);
    return w;
}

static void set_up(struct fixture *f)
{
    struct relay_config config = world_config();

    *f = (struct fixture){.w = new_world(&config)};
    struct relay_event e = world_open(f->w, CALL, PATH, PATH_ICE);
    f->pa = e.u.opened[A][0];
    f->pa6 = e.u.opened[A][1];
    f->pb = e.u.opened[B][0];
    f->pb6 = e.u.opened[B][1];
    f->alice = at("198.51.100.1", 1111);
    f->alice2 = at("198.51.100.2", 2222);
    f->bob = at("192.0.2.1", 3333);
    f->bob2 = at("192.0.2.2", 4444);
    f->mallory = at("192.0.2.66", 6666);
    world_credentials(f->w, PATH, A, "alic", A_PWD);
    world_credentials(f->w, PATH, B, "bobb", B_PWD);
}

static void tear_down(struct fixture *f)
{
    world_free(f->w);
}

static struct check check_of(enum side side)
{
    return side == A ? (struct check){.to = "bobb", .from = "alic", .pwd = B_PWD, .tie_breaker = 77}
                     : (struct check){.to = "alic",
                                      .from = "bobb",
                                      .pwd = A_PWD,
                                      .tie_breaker = 88,
                                      .controlled = true};
}

static struct addr port_of(const struct fixture *f, enum side side)
{
    return side == A ? f->pa : f->pb;
}

static struct outcome send_last(struct fixture *f, enum side side, struct addr from)
{
    return world_recv(f->w, port_of(f, side), from, f->last, f->last_len);
}

static struct outcome send_check(struct fixture *f, enum side side, struct addr from,
                                 struct check check)
{
    char id[32];

    if (!check.id) {
        snprintf(id, sizeof(id), "id%u", f->serial++);
        check.id = id;
    }
    f->last_len = build_check(f->last, sizeof(f->last), &check);
    return send_last(f, side, from);
}

static struct outcome plain_check(struct fixture *f, enum side side, struct addr from)
{
    return send_check(f, side, from, check_of(side));
}

static struct outcome nominating_check(struct fixture *f, enum side side, struct addr from)
{
    struct check check = check_of(side);

    check.nominate = true;
    return send_check(f, side, from, check);
}

static struct outcome send_rtp(struct fixture *f, enum side side, struct addr from)
{
    size_t len = build_rtp(f->buf, 0x1234, (uint16_t)f->serial++, 100);

    return world_recv(f->w, port_of(f, side), from, f->buf, len);
}

// The success response of the client at 'side' to a request that the relay passed or sent to it.
static struct outcome answer(struct fixture *f, enum side side, struct addr from,
                             const uint8_t *request)
{
    struct addr port = port_of(f, side);
    size_t len = build_answer(f->buf, sizeof(f->buf), request, &port, side == A ? A_PWD : B_PWD);

    return world_recv(f->w, port, from, f->buf, len);
}

// The last check of the relay's own; asserts where it went.
static const struct world_sent *own_check(const struct fixture *f, struct addr from, struct addr to)
{
    assert_true(f->w->sents > 0);
    const struct world_sent *sent = &f->w->sent[(f->w->sents - 1) % WORLD_LOG];
    assert_true(addr_equal(&sent->from, &from));
    assert_true(addr_equal(&sent->to, &to));
    return sent;
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

// The same for what a port of its own makes a path's, and a shared one no path's: there it may have
// another reason, or be elsewhere's.
#define assert_refused(f, outcome, reason)                                                         \
    do {                                                                                           \
        if (shared)                                                                                \
            assert_true((outcome).verdict >= VERDICT_DROP);                                        \
        else                                                                                       \
            assert_dropped(f, outcome, reason);                                                    \
    } while (0)

static const struct leg_view *leg(struct fixture *f, enum side side)
{
    return &world_view(f->w, CALL)->leg[side];
}

static struct addr selected(struct fixture *f, enum side side)
{
    const struct leg_view *v = leg(f, side);

    for (unsigned i = 0; i < v->sources; i++)
        if (v->source[i].selected)
            return v->source[i].addr;
    return (struct addr){0};
}

static void assert_selected(struct fixture *f, enum side side, struct addr addr)
{
    struct addr s = selected(f, side);

    assert_true(addr_equal(&s, &addr));
}

static void assert_none_selected(struct fixture *f, enum side side)
{
    assert_int_equal(selected(f, side).family, FAMILY_NONE);
    assert_int_equal(leg(f, side)->sources, 0);
}

// Both clients have proved themselves from their first addresses, and each has answered the other.
static void connect_both(struct fixture *f)
{
    assert_int_equal(plain_check(f, A, f->alice).verdict, VERDICT_CONSUME);
    uint8_t request[600];
    memcpy(request, f->last, sizeof(request));
    assert_forwarded(plain_check(f, B, f->bob), f->pa, f->alice);
    assert_forwarded(answer(f, A, f->alice, f->last), f->pb, f->bob);
    assert_forwarded(answer(f, B, f->bob, request), f->pa, f->alice);
}

static void nominate(struct fixture *f)
{
    assert_forwarded(nominating_check(f, A, f->alice), f->pb, f->bob);
    assert_forwarded(answer(f, B, f->bob, f->last), f->pa, f->alice);
}

// --- proving -----------------------------------------------------------------------------------

static void test_first_proved_is_selected(void **state)
{
    struct fixture f;
    set_up(&f);

    assert_int_equal(plain_check(&f, A, f.alice).verdict, VERDICT_CONSUME); // Bob is not there yet
    assert_selected(&f, A, f.alice);
    assert_none_selected(&f, B);
    assert_int_equal(world_count(f.w, EVENT_CHECKED), 1);
    assert_int_equal(world_count(f.w, EVENT_SELECTED), 1);
    assert_true(leg(&f, A)->source[0].verified);
    assert_int_equal(leg(&f, A)->checks_in, 1);

    uint8_t first[600];
    memcpy(first, f.last, sizeof(first));
    size_t first_len = f.last_len;
    // Bob appears: what Alice sent before leaves for him at once, and his goes to her.
    assert_forwarded(plain_check(&f, B, f.bob), f.pa, f.alice);
    const struct world_sent *sent = own_check(&f, f.pb, f.bob);
    assert_int_equal(sent->len, first_len);
    assert_memory_equal(sent->data, first, first_len);
    assert_int_equal(sent->tos, 0xb8);
    assert_forwarded(answer(&f, B, f.bob, first), f.pa, f.alice);
    assert_int_equal(world_count(f.w, EVENT_CHECKED), 2);
    assert_int_equal(world_counter(f.w, COUNTER_LATCHES), 2);
    assert_int_equal(world_counter(f.w, COUNTER_CHECKS_SENT), 0);
    plain_check(&f, B, f.bob);
    assert_int_equal(world_count(f.w, EVENT_CHECKED), 2); // once per side
    tear_down(&f);
}

static void assert_untouched(struct fixture *f)
{
    assert_none_selected(f, A);
    assert_none_selected(f, B);
    assert_int_equal(f->w->sents, 0);
    assert_int_equal(world_count(f->w, EVENT_SELECTED) + world_count(f->w, EVENT_CHECKED), 0);
}

static void test_checks_that_prove_nothing(void **state)
{
    struct fixture f;
    set_up(&f);
    struct check c = check_of(A);

    c.pwd = "wrong";
    assert_dropped(&f, send_check(&f, A, f.mallory, c), COUNTER_DROP_BAD_INTEGRITY);
    c.pwd = NULL; // the true names, seen on the wire, and nothing else
    assert_dropped(&f, send_check(&f, A, f.mallory, c), COUNTER_DROP_BAD_INTEGRITY);
    c.pwd = A_PWD; // her own: the receiver's is the key (RFC 8445 section 7.2.2)
    assert_dropped(&f, send_check(&f, A, f.alice, c), COUNTER_DROP_BAD_INTEGRITY);
    c = check_of(A);
    c.from = "alix";
    assert_dropped(&f, send_check(&f, A, f.alice, c), COUNTER_DROP_BAD_USERNAME);
    c = check_of(A);
    c.to = "bob";
    assert_dropped(&f, send_check(&f, A, f.alice, c), COUNTER_DROP_BAD_USERNAME);
    c = check_of(A);
    c.to = "bobb:alic"; // as if the name were longer
    assert_dropped(&f, send_check(&f, A, f.alice, c), COUNTER_DROP_BAD_USERNAME);
    if (!shared) {
        // An honest check at the wrong port: those of the two sides differ in direction.
        assert_dropped(&f, send_check(&f, B, f.alice, check_of(A)), COUNTER_DROP_BAD_USERNAME);
        assert_int_equal(leg(&f, A)->refused, 6);
        assert_int_equal(leg(&f, B)->refused, 1);
    }
    assert_untouched(&f);
    tear_down(&f);
}

static void test_malformed_and_foreign_stun(void **state)
{
    struct fixture f;
    set_up(&f);
    struct check c = check_of(A);
    uint8_t txid[STUN_TXID_LEN] = "foreign-id-1";

    c.id = "x";
    size_t len = build_check(f.buf, sizeof(f.buf), &c);
    f.buf[len - 1] ^= 1; // FINGERPRINT
    assert_refused(&f, world_recv(f.w, f.pa, f.alice, f.buf, len), COUNTER_DROP_MALFORMED);
    struct writer w = stun_begin(f.buf, sizeof(f.buf), STUN_REQUEST, 3 /* Allocate */, txid);
    len = (size_t)stun_finish(&w, B_PWD, strlen(B_PWD), true);
    assert_refused(&f, world_recv(f.w, f.pa, f.alice, f.buf, len), COUNTER_DROP_MALFORMED);
    w = stun_begin(f.buf, sizeof(f.buf), STUN_REQUEST, STUN_BINDING, txid); // no USERNAME
    len = (size_t)stun_finish(&w, B_PWD, strlen(B_PWD), true);
    assert_refused(&f, world_recv(f.w, f.pa, f.alice, f.buf, len), COUNTER_DROP_BAD_USERNAME);
    w = stun_begin(f.buf, sizeof(f.buf), STUN_REQUEST, STUN_BINDING, txid);
    stun_put_bytes(&w, STUN_USERNAME, "bobb:alic", 9);
    len = (size_t)stun_finish(&w, NULL, 0, true); // no MESSAGE-INTEGRITY
    assert_dropped(&f, world_recv(f.w, f.pa, f.alice, f.buf, len), COUNTER_DROP_BAD_INTEGRITY);
    assert_untouched(&f);
    tear_down(&f);
}

static void test_no_credentials_yet(void **state)
{
    struct relay_config config = world_config();
    struct fixture f;
    set_up(&f);
    world_free(f.w);
    f.w = new_world(&config);
    struct relay_event e = world_open(f.w, CALL, PATH, PATH_ICE);
    f.pa = e.u.opened[A][0];

    assert_refused(&f, plain_check(&f, A, f.alice), COUNTER_DROP_NO_CREDENTIALS);
    world_credentials(f.w, PATH, A, "alic", A_PWD);
    assert_refused(&f, plain_check(&f, A, f.alice), COUNTER_DROP_NO_CREDENTIALS);
    world_credentials(f.w, PATH, B, "bobb", ""); // a password that everybody knows is none
    struct check c = check_of(A);
    c.pwd = "";
    assert_refused(&f, send_check(&f, A, f.mallory, c), COUNTER_DROP_NO_CREDENTIALS);
    world_credentials(f.w, PATH, B, "bobb", B_PWD);
    assert_int_equal(plain_check(&f, A, f.alice).verdict, VERDICT_CONSUME);
    tear_down(&f);
}

// The called client checks before its acceptance has come this way.
static void test_check_captured_before_the_credentials(void **state)
{
    struct relay_config config = world_config();
    struct fixture f;
    set_up(&f);
    world_free(f.w);
    f.w = new_world(&config);
    struct relay_event e = world_open(f.w, CALL, PATH, PATH_ICE);
    f.pa = e.u.opened[A][0];
    f.pb = e.u.opened[B][0];

    world_credentials(f.w, PATH, A, "alic", A_PWD);
    assert_dropped(&f, nominating_check(&f, B, f.bob), COUNTER_DROP_NO_CREDENTIALS);
    world_credentials(f.w, PATH, B, "bobb", B_PWD);
    assert_dropped(&f, send_last(&f, B, f.mallory), COUNTER_DROP_REPLAY);
    assert_none_selected(&f, B);
    assert_int_equal(send_last(&f, B, f.bob).verdict, VERDICT_CONSUME); // his own repetition counts
    assert_selected(&f, B, f.bob);
    // It proves, but an id that was used before nominates nothing: rule (b) goes on.
    plain_check(&f, B, f.bob2);
    assert_true(addr_equal(&f.w->sent[0].to, &f.bob2));
    answer(&f, B, f.bob2, f.w->sent[0].data);
    assert_selected(&f, B, f.bob2);
    tear_down(&f);
}

static void test_sources_are_limited(void **state)
{
    struct fixture f;
    set_up(&f);

    connect_both(&f);
    for (uint16_t i = 0; i < PATH_SOURCES_MAX - 1; i++)
        plain_check(&f, A, at("198.51.100.7", (uint16_t)(7000 + i)));
    assert_int_equal(leg(&f, A)->sources, PATH_SOURCES_MAX);
    world_wait(f.w, 30 * SECOND); // a live path: its selected source keeps talking
    send_rtp(&f, A, f.alice);
    assert_dropped(&f, plain_check(&f, A, f.alice2), COUNTER_DROP_TOO_MANY_SOURCES);
    plain_check(&f, A, at("198.51.100.7", 7000)); // no longer the one silent longest
    world_wait(f.w, 1);
    plain_check(&f, A, f.alice2);
    assert_int_equal(leg(&f, A)->sources, PATH_SOURCES_MAX);
    bool first = false, second = false, newcomer = false;
    for (unsigned i = 0; i < PATH_SOURCES_MAX; i++) {
        const struct addr *s = &leg(&f, A)->source[i].addr;
        first = first || s->port == 7000;
        second = second || s->port == 7001;
        newcomer = newcomer || addr_equal(s, &f.alice2);
    }
    assert_true(first && !second && newcomer);
    assert_selected(&f, A, f.alice);
    tear_down(&f);
}

// --- replay ------------------------------------------------------------------------------------

static void assert_replay_refused(struct fixture *f, enum side side, const uint8_t *data,
                                  size_t len, struct addr from)
{
    struct addr before = selected(f, side);
    unsigned sources = leg(f, side)->sources, sents = f->w->sents;
    uint64_t refused = world_counter(f->w, COUNTER_LATCHES_REFUSED);

    assert_dropped(f, world_recv(f->w, port_of(f, side), from, data, len), COUNTER_DROP_REPLAY);
    assert_int_equal(world_counter(f->w, COUNTER_LATCHES_REFUSED), refused + 1);
    assert_selected(f, side, before);
    assert_int_equal(leg(f, side)->sources, sources);
    assert_int_equal(f->w->sents, sents); // not even a check to it
    assert_dropped(f, send_rtp(f, side, from), COUNTER_DROP_UNPROVED);
}

static void test_captured_check_moves_nothing(void **state)
{
    struct fixture f;
    set_up(&f);
    uint8_t captured[600];
    size_t len;

    connect_both(&f);
    nominating_check(&f, A, f.alice);
    memcpy(captured, f.last, sizeof(captured));
    len = f.last_len;
    assert_replay_refused(&f, A, captured, len, f.mallory); // at once
    for (unsigned i = 0; i < 300; i++) {                    // after 300 more checks
        world_wait(f.w, SECOND);
        nominating_check(&f, A, f.alice);
    }
    assert_replay_refused(&f, A, captured, len, f.mallory);
    world_wait(f.w, 60 * SECOND); // after the selected source fell silent
    assert_replay_refused(&f, A, captured, len, f.mallory);
    assert_int_equal(leg(&f, A)->moves, 0);
    assert_int_equal(world_counter(f.w, COUNTER_LATCHES_MOVED), 0);
    tear_down(&f);
}

static void test_captured_check_while_alone(void **state)
{
    struct fixture f;
    set_up(&f);

    plain_check(&f, A, f.alice); // held: Bob is not there
    assert_replay_refused(&f, A, f.last, f.last_len, f.mallory);
    // What Bob receives is the same bytes; captured there they are worth no more.
    plain_check(&f, B, f.bob);
    const struct world_sent *sent = own_check(&f, f.pb, f.bob);
    assert_replay_refused(&f, A, sent->data, sent->len, f.mallory);
    assert_dropped(&f, world_recv(f.w, f.pb, f.mallory, sent->data, sent->len),
                   shared ? COUNTER_DROP_REPLAY : COUNTER_DROP_BAD_USERNAME);
    tear_down(&f);
}

static void test_captured_check_of_the_relay_itself(void **state)
{
    struct fixture f;
    set_up(&f);

    connect_both(&f);
    plain_check(&f, B, f.bob2); // makes the relay check Bob's second address, in Alice's name
    struct world_sent sent = *own_check(&f, f.pb, f.bob2);
    // For Bob it is an honest check of Alice; sent to the port that faces Alice, it would prove
    // the sender there.
    assert_replay_refused(&f, A, sent.data, sent.len, f.mallory);
    world_wait(f.w, 10 * SECOND);
    assert_replay_refused(&f, A, sent.data, sent.len, f.mallory);
    tear_down(&f);
}

static void test_retransmission(void **state)
{
    struct fixture f;
    set_up(&f);

    connect_both(&f);
    nominate(&f);
    // Alice's second address: nominated, verified, selected. Then her first one again.
    nominating_check(&f, A, f.alice2);
    uint8_t old[600];
    memcpy(old, f.last, sizeof(old));
    size_t old_len = f.last_len;
    answer(&f, A, f.alice2, own_check(&f, f.pa, f.alice2)->data);
    assert_selected(&f, A, f.alice2);
    world_wait(f.w, SECOND);
    send_rtp(&f, A, f.alice2);
    nominating_check(&f, A, f.alice);
    answer(&f, A, f.alice, own_check(&f, f.pa, f.alice)->data);
    assert_selected(&f, A, f.alice);
    usec_t seen = leg(&f, A)->source[1].last_seen;
    uint64_t checks = leg(&f, A)->checks_in;

    world_wait(f.w, 60 * SECOND); // nobody is alive: any news would move the path
    unsigned sents = f.w->sents;
    struct outcome o = world_recv(f.w, f.pa, f.alice2, old, old_len);
    assert_forwarded(o, f.pb, f.bob); // forwarded again
    assert_selected(&f, A, f.alice);  // nominates nothing
    assert_int_equal(f.w->sents, sents);
    assert_int_equal(leg(&f, A)->source[1].last_seen, seen);
    assert_int_equal(leg(&f, A)->checks_in, checks);
    tear_down(&f);
}

// --- selection ---------------------------------------------------------------------------------

static void test_rule_a_nomination_needs_an_answer(void **state)
{
    struct fixture f;
    set_up(&f);
    struct stun_msg msg;

    connect_both(&f);
    nominate(&f);
    assert_forwarded(nominating_check(&f, A, f.alice2), f.pb, f.bob);
    assert_selected(&f, A, f.alice); // not on its word
    struct world_sent sent = *own_check(&f, f.pa, f.alice2);
    assert_int_equal(world_counter(f.w, COUNTER_CHECKS_SENT), 1);

    // As Bob would have written it.
    assert_int_equal(stun_decode(sent.data, sent.len, &msg), 0);
    assert_int_equal(msg.class, STUN_REQUEST);
    assert_int_equal(msg.attr[STUN_USERNAME].len, 9);
    assert_memory_equal(msg.attr[STUN_USERNAME].data, "alic:bobb", 9);
    assert_true(stun_check_integrity(&msg, A_PWD, strlen(A_PWD)));
    assert_true(msg.fingerprint_at > 0);
    assert_true(stun_has(&msg, STUN_PRIORITY));
    assert_int_equal(stun_u64(&msg, STUN_ICE_CONTROLLED), 88);
    assert_false(stun_has(&msg, STUN_ICE_CONTROLLING));
    assert_false(stun_has(&msg, STUN_USE_CANDIDATE));

    // Answers that are none.
    assert_refused(&f, answer(&f, A, f.mallory, sent.data), COUNTER_DROP_UNMATCHED);
    assert_dropped(&f, answer(&f, A, f.alice, sent.data), COUNTER_DROP_UNMATCHED);
    if (!shared) // the wrong port
        assert_dropped(&f, answer(&f, B, f.alice2, sent.data), COUNTER_DROP_UNMATCHED);
    size_t len = build_answer(f.buf, sizeof(f.buf), sent.data, &f.pa, B_PWD);
    assert_dropped(&f, world_recv(f.w, f.pa, f.alice2, f.buf, len), COUNTER_DROP_BAD_INTEGRITY);
    len = build_error(f.buf, sizeof(f.buf), sent.data, 400, NULL);
    assert_dropped(&f, world_recv(f.w, f.pa, f.alice2, f.buf, len), COUNTER_DROP_BAD_INTEGRITY);
    assert_selected(&f, A, f.alice);

    // The answer.
    world_wait(f.w, 40 * MSEC);
    assert_int_equal(answer(&f, A, f.alice2, sent.data).verdict, VERDICT_CONSUME);
    assert_selected(&f, A, f.alice2);
    assert_int_equal(leg(&f, A)->moves, 1);
    assert_int_equal(leg(&f, A)->rtt, 40 * MSEC);
    assert_int_equal(world_counter(f.w, COUNTER_LATCHES_MOVED), 1);
    assert_forwarded(send_rtp(&f, A, f.alice2), f.pb, f.bob);
    assert_forwarded(send_rtp(&f, B, f.bob), f.pa, f.alice2);
    assert_dropped(&f, send_rtp(&f, A, f.alice), COUNTER_DROP_NOT_SELECTED);
    assert_dropped(&f, answer(&f, A, f.alice2, sent.data), COUNTER_DROP_UNMATCHED); // once
    tear_down(&f);
}

static void test_rule_a_needs_an_answer_younger_than_the_nomination(void **state)
{
    struct fixture f;
    set_up(&f);

    connect_both(&f);
    nominate(&f);
    plain_check(&f, A, f.alice2);
    struct world_sent early = *own_check(&f, f.pa, f.alice2);
    world_wait(f.w, 100 * MSEC);
    send_rtp(&f, A, f.alice);
    unsigned sents = f.w->sents;
    nominating_check(&f, A, f.alice2);
    assert_int_equal(f.w->sents, sents); // not more than one in 250 ms
    answer(&f, A, f.alice2, early.data);
    assert_selected(&f, A, f.alice); // verified, but not since it nominated
    world_wait(f.w, 150 * MSEC);
    struct world_sent later = *own_check(&f, f.pa, f.alice2);
    assert_memory_not_equal(early.data + 8, later.data + 8, STUN_TXID_LEN);
    answer(&f, A, f.alice2, later.data);
    assert_selected(&f, A, f.alice2);
    // Verified long ago is not enough either, when it nominates again.
    nominating_check(&f, A, f.alice);
    answer(&f, A, f.alice, own_check(&f, f.pa, f.alice)->data);
    assert_selected(&f, A, f.alice);
    world_wait(f.w, 250 * MSEC);
    send_rtp(&f, A, f.alice);
    nominating_check(&f, A, f.alice2);
    assert_selected(&f, A, f.alice);
    answer(&f, A, f.alice2, own_check(&f, f.pa, f.alice2)->data);
    assert_selected(&f, A, f.alice2);
    tear_down(&f);
}

static void test_the_last_nomination_counts(void **state)
{
    struct fixture f;
    set_up(&f);

    connect_both(&f);
    nominate(&f);
    nominating_check(&f, A, f.alice2);
    struct world_sent sent = *own_check(&f, f.pa, f.alice2);
    nominating_check(&f, A, f.alice); // she has changed her mind before the answer came
    answer(&f, A, f.alice2, sent.data);
    assert_selected(&f, A, f.alice);
    tear_down(&f);
}

static void test_own_checks_are_repeated_then_given_up(void **state)
{
    struct fixture f;
    set_up(&f);

    connect_both(&f);
    nominate(&f);
    nominating_check(&f, A, f.alice2);
    struct world_sent first = *own_check(&f, f.pa, f.alice2);
    unsigned sents = f.w->sents;
    for (unsigned i = 0; i < 2; i++) {
        world_wait(f.w, 250 * MSEC - 1);
        assert_int_equal(f.w->sents, sents + i);
        world_wait(f.w, 1);
        assert_int_equal(f.w->sents, sents + i + 1);
        const struct world_sent *again = own_check(&f, f.pa, f.alice2);
        assert_int_equal(again->len, first.len);
        assert_memory_equal(again->data, first.data, first.len);
        send_rtp(&f, A, f.alice);
    }
    world_wait(f.w, 10 * SECOND);
    assert_int_equal(f.w->sents, sents + 2);
    assert_int_equal(world_counter(f.w, COUNTER_CHECKS_SENT), 3);
    assert_selected(&f, A, f.alice);
    // Its next check, nominating or not, gives it another chance for the same nomination.
    send_rtp(&f, A, f.alice);
    plain_check(&f, A, f.alice2);
    answer(&f, A, f.alice2, own_check(&f, f.pa, f.alice2)->data);
    assert_selected(&f, A, f.alice2);
    tear_down(&f);
}

static void test_an_authentic_error_is_an_answer(void **state)
{
    struct fixture f;
    set_up(&f);

    connect_both(&f);
    nominating_check(&f, A, f.alice2);
    const struct world_sent *sent = own_check(&f, f.pa, f.alice2);
    size_t len = build_error(f.buf, sizeof(f.buf), sent->data, 487, A_PWD);
    assert_int_equal(world_recv(f.w, f.pa, f.alice2, f.buf, len).verdict, VERDICT_CONSUME);
    assert_selected(&f, A, f.alice2);
    tear_down(&f);
}

static void test_role_of_a_side_that_was_not_heard(void **state)
{
    struct fixture f;
    set_up(&f);
    struct stun_msg msg;

    plain_check(&f, A, f.alice);
    plain_check(&f, A, f.alice2); // Bob has not checked yet: controlled, since Alice controls
    assert_int_equal(f.w->sents, 2);
    struct world_sent sent = f.w->sent[0];
    assert_true(addr_equal(&sent.to, &f.alice2));
    assert_int_equal(stun_decode(sent.data, sent.len, &msg), 0);
    assert_true(stun_has(&msg, STUN_ICE_CONTROLLED));
    uint64_t tie_breaker = stun_u64(&msg, STUN_ICE_CONTROLLED);
    own_check(&f, f.pa, f.alice); // her first address was believed on credit: asked as well
    world_wait(f.w, 250 * MSEC);
    assert_int_equal(f.w->sents, 4);
    for (unsigned i = 2; i < 4; i++)
        if (addr_equal(&f.w->sent[i].to, &f.alice2))
            assert_memory_equal(f.w->sent[i].data, sent.data, sent.len);
    assert_int_not_equal(tie_breaker, 0);
    tear_down(&f);
}

static void test_rule_b_last_proved_before_any_nomination(void **state)
{
    struct fixture f;
    set_up(&f);

    connect_both(&f);
    plain_check(&f, B, f.bob2);
    struct world_sent sent = *own_check(&f, f.pb, f.bob2);
    plain_check(&f, B, f.bob); // the last proved is the first address again
    answer(&f, B, f.bob2, sent.data);
    assert_selected(&f, B, f.bob);
    plain_check(&f, B, f.bob2); // verified by now, and the last proved
    assert_selected(&f, B, f.bob2);
    plain_check(&f, B, f.bob);
    assert_selected(&f, B, f.bob);
    tear_down(&f);
}

static void test_rule_b_ends_with_a_nomination(void **state)
{
    struct fixture f;
    set_up(&f);

    connect_both(&f);
    nominate(&f); // on both legs: hers by asking (a), his by answering (d)
    plain_check(&f, A, f.alice2);
    answer(&f, A, f.alice2, own_check(&f, f.pa, f.alice2)->data);
    plain_check(&f, A, f.alice2);
    assert_selected(&f, A, f.alice);
    plain_check(&f, B, f.bob2);
    answer(&f, B, f.bob2, own_check(&f, f.pb, f.bob2)->data);
    plain_check(&f, B, f.bob2);
    assert_selected(&f, B, f.bob);
    assert_int_equal(world_counter(f.w, COUNTER_LATCHES_MOVED), 0);
    tear_down(&f);
}

static void test_rule_c_when_the_selected_is_silent(void **state)
{
    struct fixture f;
    set_up(&f);

    connect_both(&f);
    nominate(&f);
    plain_check(&f, B, f.bob2);
    struct world_sent sent = *own_check(&f, f.pb, f.bob2);
    send_rtp(&f, B, f.bob);
    world_wait(f.w, 300 * MSEC);
    assert_dropped(&f, send_rtp(&f, B, f.bob2), COUNTER_DROP_NOT_SELECTED); // not verified
    send_rtp(&f, B, f.bob);
    answer(&f, B, f.bob2, sent.data);
    assert_selected(&f, B, f.bob); // verified, but the other one is alive
    send_rtp(&f, B, f.bob);
    world_wait(f.w, 299 * MSEC);
    assert_dropped(&f, send_rtp(&f, B, f.bob2), COUNTER_DROP_NOT_SELECTED);
    world_wait(f.w, 1 * MSEC);
    assert_dropped(&f, send_rtp(&f, B, f.mallory), COUNTER_DROP_UNPROVED);
    assert_forwarded(send_rtp(&f, B, f.bob2), f.pa, f.alice);
    assert_selected(&f, B, f.bob2);
    tear_down(&f);
}

// Roaming of a client that is controlled: it never nominates, and its old address is dead.
static void test_roaming(void **state)
{
    struct fixture f;
    set_up(&f);

    connect_both(&f);
    nominate(&f);
    world_wait(f.w, 400 * MSEC);
    assert_forwarded(plain_check(&f, B, f.bob2), f.pa, f.alice);
    assert_selected(&f, B, f.bob);
    world_wait(f.w, 30 * MSEC);
    answer(&f, B, f.bob2, own_check(&f, f.pb, f.bob2)->data);
    assert_selected(&f, B, f.bob2);
    assert_forwarded(send_rtp(&f, A, f.alice), f.pb, f.bob2);
    tear_down(&f);
}

static void test_rule_d_the_answer_of_the_controlled_side(void **state)
{
    struct fixture f;
    set_up(&f);
    uint8_t request[600];

    connect_both(&f);
    plain_check(&f, B, f.bob2); // rule (b) moves Bob's leg back and forth
    answer(&f, B, f.bob2, own_check(&f, f.pb, f.bob2)->data);
    assert_selected(&f, B, f.bob2);
    nominating_check(&f, A, f.alice); // to his second address
    memcpy(request, f.last, sizeof(request));
    plain_check(&f, B, f.bob);
    assert_selected(&f, B, f.bob);
    // Only the address that was asked can answer, and only with his password.
    assert_dropped(&f, answer(&f, B, f.bob, request), COUNTER_DROP_UNMATCHED);
    assert_refused(&f, answer(&f, B, f.mallory, request), COUNTER_DROP_UNMATCHED);
    size_t len = build_answer(f.buf, sizeof(f.buf), request, &f.pb, A_PWD);
    assert_dropped(&f, world_recv(f.w, f.pb, f.bob2, f.buf, len), COUNTER_DROP_BAD_INTEGRITY);
    assert_selected(&f, B, f.bob);
    assert_forwarded(answer(&f, B, f.bob2, request), f.pa, f.alice);
    assert_selected(&f, B, f.bob2);
    plain_check(&f, B, f.bob); // rule (b) is over
    assert_selected(&f, B, f.bob2);
    tear_down(&f);
}

static void test_rule_d_needs_a_success(void **state)
{
    struct fixture f;
    set_up(&f);

    connect_both(&f);
    nominating_check(&f, A, f.alice);
    size_t len = build_error(f.buf, sizeof(f.buf), f.last, 487, B_PWD);
    assert_forwarded(world_recv(f.w, f.pb, f.bob, f.buf, len), f.pa, f.alice);
    plain_check(&f, B, f.bob2);
    answer(&f, B, f.bob2, own_check(&f, f.pb, f.bob2)->data);
    assert_selected(&f, B, f.bob2); // rule (b): no nomination of Bob's leg is known
    tear_down(&f);
}

// Clients also check each other directly; such a check was never seen here. Whoever captures one
// and is first with it gets the leg on credit, and loses it when the client itself comes.
static void test_first_source_on_credit(void **state)
{
    struct fixture f;
    set_up(&f);

    nominating_check(&f, A, f.mallory); // captured on the direct path, nomination and all
    plain_check(&f, B, f.bob);
    assert_selected(&f, A, f.mallory);
    for (unsigned i = 0; i < 50; i++) { // he talks without a pause, so he is never silent
        send_rtp(&f, A, f.mallory);
        world_wait(f.w, 20 * MSEC);
    }
    plain_check(&f, A, f.alice);
    struct world_sent *sent = &f.w->sent[f.w->sents - 2];
    assert_true(addr_equal(&sent->to, &f.alice)); // both are asked
    own_check(&f, f.pa, f.mallory);
    answer(&f, A, f.alice, sent->data);
    for (unsigned i = 0; i < 40; i++) {
        send_rtp(&f, A, f.mallory);
        send_rtp(&f, A, f.alice);
        world_wait(f.w, 20 * MSEC);
    }
    assert_selected(&f, A, f.alice);
    world_wait(f.w, 10 * SECOND); // and he cannot come back, not even when she is silent
    assert_dropped(&f, send_rtp(&f, A, f.mallory), COUNTER_DROP_NOT_SELECTED);
    assert_selected(&f, A, f.alice);
    tear_down(&f);
}

// --- forwarding --------------------------------------------------------------------------------

static void test_media_flows_between_selected_sources_only(void **state)
{
    struct fixture f;
    set_up(&f);
    uint8_t hello[64] = {22, 0xfe, 0xff}; // a DTLS handshake record
    uint8_t other[64] = {0x10, 0x00};     // ZRTP-like

    assert_dropped(&f, send_rtp(&f, A, f.alice), COUNTER_DROP_UNPROVED);
    plain_check(&f, A, f.alice);
    assert_dropped(&f, send_rtp(&f, A, f.alice), COUNTER_DROP_PEER_UNKNOWN);
    connect_both(&f);
    for (enum side side = A; side <= B; side++) {
        struct addr from = side == A ? f.alice : f.bob, port = port_of(&f, side);
        struct addr to = side == A ? f.bob : f.alice, out = side == A ? f.pb : f.pa;
        assert_forwarded(send_rtp(&f, side, from), out, to);
        size_t len = build_rtcp(f.buf, 1);
        assert_forwarded(world_recv(f.w, port, from, f.buf, len), out, to);
        assert_forwarded(world_recv(f.w, port, from, hello, sizeof(hello)), out, to);
        assert_forwarded(world_recv(f.w, port, from, other, sizeof(other)), out, to);
        assert_forwarded(world_recv(f.w, port, from, other, 0), out, to);
        assert_dropped(&f, send_rtp(&f, side, f.mallory), COUNTER_DROP_UNPROVED);
        assert_refused(&f, world_recv(f.w, port, f.mallory, hello, sizeof(hello)),
                       COUNTER_DROP_UNPROVED);
        // Another port of the same host is a stranger, and so is the peer at the wrong port.
        struct addr near = from;
        near.port++;
        assert_dropped(&f, send_rtp(&f, side, near), COUNTER_DROP_UNPROVED);
        if (!shared)
            assert_dropped(&f, send_rtp(&f, side, to), COUNTER_DROP_UNPROVED);
    }
    assert_int_equal(leg(&f, A)->media_in, 1);
    assert_int_equal(world_count(f.w, EVENT_MEDIA), 2);
    assert_int_equal(f.w->sents, 1); // the held check of the beginning
    tear_down(&f);
}

// RFC 8445 section 19.5.1: a party of the call sends one check under the forged address of a
// victim, and the other would have the relay send it the media.
static void test_media_wait_for_an_answer(void **state)
{
    struct fixture f;
    set_up(&f);

    plain_check(&f, B, f.bob);
    assert_forwarded(nominating_check(&f, A, f.mallory), f.pb, f.bob);
    answer(&f, B, f.bob, f.last);
    assert_selected(&f, A, f.mallory);
    assert_dropped(&f, send_rtp(&f, B, f.bob), COUNTER_DROP_PEER_UNKNOWN);
    assert_forwarded(plain_check(&f, B, f.bob), f.pa, f.mallory);
    assert_dropped(&f, send_rtp(&f, B, f.bob), COUNTER_DROP_PEER_UNKNOWN);
    assert_forwarded(answer(&f, A, f.mallory, f.last), f.pb, f.bob);
    assert_forwarded(send_rtp(&f, B, f.bob), f.pa, f.mallory); // it was no victim
    tear_down(&f);
}

static void test_spray_at_every_port(void **state)
{
    struct fixture f;
    set_up(&f);

    connect_both(&f);
    unsigned events = f.w->events, sents = f.w->sents;
    struct addr ports[] = {f.pa, f.pb, f.pa6, f.pb6};
    for (unsigned i = 0; i < 1000; i++) {
        struct addr to = ports[i % 4];
        struct addr from = to.family == FAMILY_V4 ? f.mallory : at("2001:db8:6::6", 6666);
        size_t len = build_rtp(f.buf, i, (uint16_t)i, 160);
        assert_dropped(&f, world_recv(f.w, to, from, f.buf, len), COUNTER_DROP_UNPROVED);
    }
    assert_int_equal(f.w->sents, sents);
    assert_int_equal(f.w->events, events);
    assert_int_equal(world_counter(f.w, COUNTER_PACKETS_IN), 0); // the sockets count those
    assert_int_equal(world_counter(f.w, COUNTER_PACKETS_OUT), 0);
    tear_down(&f);
}

static void test_answers_return_to_who_asked(void **state)
{
    struct fixture f;
    set_up(&f);

    connect_both(&f);
    nominate(&f);
    plain_check(&f, A, f.alice2); // not selected, but proved
    uint8_t request[600];
    memcpy(request, f.last, sizeof(request));
    world_wait(f.w, 70 * MSEC);
    assert_refused(&f, answer(&f, B, f.mallory, request), COUNTER_DROP_UNMATCHED);
    if (!shared)
        assert_dropped(&f, answer(&f, A, f.bob, request), COUNTER_DROP_UNMATCHED); // wrong port
    assert_forwarded(answer(&f, B, f.bob, request), f.pa, f.alice2);
    assert_int_equal(leg(&f, B)->rtt, 70 * MSEC);
    assert_forwarded(answer(&f, B, f.bob, request), f.pa, f.alice2); // a retransmitted answer
    // A repeated request has no round trip to measure, and keeps its answer welcome.
    plain_check(&f, A, f.alice);
    world_wait(f.w, 5 * SECOND);
    assert_forwarded(send_last(&f, A, f.alice), f.pb, f.bob);
    world_wait(f.w, 9 * SECOND);
    assert_forwarded(answer(&f, B, f.bob, f.last), f.pa, f.alice);
    assert_int_equal(leg(&f, B)->rtt, 70 * MSEC);
    world_wait(f.w, SECOND);
    assert_dropped(&f, answer(&f, B, f.bob, f.last), COUNTER_DROP_UNMATCHED);
    tear_down(&f);
}

static void test_transactions_are_limited(void **state)
{
    struct fixture f;
    set_up(&f);
    uint8_t oldest[600], second[600];

    connect_both(&f);
    for (unsigned i = 0; i < 65; i++) {
        world_wait(f.w, 1 * MSEC);
        plain_check(&f, A, f.alice);
        if (i < 2)
            memcpy(i == 0 ? oldest : second, f.last, sizeof(oldest));
    }
    assert_dropped(&f, answer(&f, B, f.bob, oldest), COUNTER_DROP_UNMATCHED);
    assert_forwarded(answer(&f, B, f.bob, second), f.pa, f.alice);
    tear_down(&f);
}

static void test_families_may_differ(void **state)
{
    struct fixture f;
    set_up(&f);
    struct addr bob6 = at("2001:db8:b::1", 3333);
    struct check c = check_of(B);

    plain_check(&f, A, f.alice);
    c.id = "six";
    size_t len = build_check(f.buf, sizeof(f.buf), &c);
    assert_forwarded(world_recv(f.w, f.pb6, bob6, f.buf, len), f.pa, f.alice);
    uint8_t request[600];
    memcpy(request, f.buf, len);
    assert_forwarded(answer(&f, A, f.alice, request), f.pb6, bob6);
    len = build_answer(f.buf, sizeof(f.buf), f.last, &f.pb6, B_PWD);
    assert_forwarded(world_recv(f.w, f.pb6, bob6, f.buf, len), f.pa, f.alice);
    assert_forwarded(send_rtp(&f, A, f.alice), f.pb6, bob6);
    len = build_rtp(f.buf, 1, 1, 20);
    assert_forwarded(world_recv(f.w, f.pb6, bob6, f.buf, len), f.pa, f.alice);
    // An IPv4 source at an IPv6 port, or one without a port, cannot be answered.
    assert_refused(&f, world_recv(f.w, f.pb6, f.bob, f.buf, len), COUNTER_DROP_MALFORMED);
    assert_refused(&f, world_recv(f.w, f.pb, at("192.0.2.1", 0), f.buf, len),
                   COUNTER_DROP_MALFORMED);
    tear_down(&f);
}

static void test_held_request(void **state)
{
    struct fixture f;
    set_up(&f);

    plain_check(&f, A, f.alice);
    assert_int_equal(send_last(&f, A, f.alice).verdict, VERDICT_CONSUME); // repeated: still one
    assert_int_equal(world_counter(f.w, COUNTER_DROP_PEER_UNKNOWN), 0);
    plain_check(&f, A, f.alice); // overwrites
    assert_int_equal(world_counter(f.w, COUNTER_DROP_PEER_UNKNOWN), 1);
    world_wait(f.w, 2 * SECOND); // expires
    assert_int_equal(world_counter(f.w, COUNTER_DROP_PEER_UNKNOWN), 2);
    plain_check(&f, B, f.bob);
    assert_int_equal(f.w->sents, 0);

    world_close(f.w, PATH);
    struct relay_event e = world_open(f.w, CALL, PATH, PATH_ICE);
    f.pa = e.u.opened[A][0];
    char longest[ICE_UFRAG_MAX + 1];
    memset(longest, 'a', ICE_UFRAG_MAX);
    longest[ICE_UFRAG_MAX] = '\0';
    char bob[ICE_UFRAG_MAX + 1];
    memset(bob, 'b', ICE_UFRAG_MAX);
    bob[ICE_UFRAG_MAX] = '\0';
    world_credentials(f.w, PATH, A, longest, A_PWD);
    world_credentials(f.w, PATH, B, bob, B_PWD);
    struct check c = check_of(A);
    c.from = longest;
    c.to = bob;
    assert_int_equal(send_check(&f, A, f.alice, c).verdict, VERDICT_CONSUME);
    assert_in_range(f.last_len, 560, 600);
    // Nothing longer than an honest check is kept.
    char username[2 * ICE_UFRAG_MAX + 2], software[100] = "";
    uint8_t txid[STUN_TXID_LEN] = "a-longer-one";
    int n = snprintf(username, sizeof(username), "%s:%s", bob, longest);
    struct writer w = stun_begin(f.buf, sizeof(f.buf), STUN_REQUEST, STUN_BINDING, txid);
    stun_put_bytes(&w, STUN_USERNAME, username, (size_t)n);
    stun_put_bytes(&w, STUN_SOFTWARE, software, sizeof(software));
    size_t len = (size_t)stun_finish(&w, B_PWD, strlen(B_PWD), true);
    assert_dropped(&f, world_recv(f.w, f.pa, f.alice, f.buf, len), COUNTER_DROP_PEER_UNKNOWN);
    // The longest names fit into a check of the relay's own, too.
    send_check(&f, A, f.alice2, c);
    assert_true(addr_equal(&f.w->sent[0].to, &f.alice2));
    assert_true(f.w->sent[0].len > 560);
    tear_down(&f);
}

static void test_indications_and_keepalives(void **state)
{
    struct fixture f;
    set_up(&f);
    uint8_t txid[STUN_TXID_LEN] = "indication-1";
    struct writer w = stun_begin(f.buf, sizeof(f.buf), STUN_INDICATION, STUN_BINDING, txid);
    size_t len = (size_t)stun_finish(&w, NULL, 0, true);

    assert_refused(&f, world_recv(f.w, f.pa, f.mallory, f.buf, len), COUNTER_DROP_UNPROVED);
    connect_both(&f);
    w = stun_begin(f.buf, sizeof(f.buf), STUN_INDICATION, STUN_BINDING, txid);
    len = (size_t)stun_finish(&w, NULL, 0, true);
    assert_forwarded(world_recv(f.w, f.pa, f.alice, f.buf, len), f.pb, f.bob);
    assert_int_equal(world_count(f.w, EVENT_MEDIA), 0);
    tear_down(&f);
}

static void test_bandwidth_of_the_call(void **state)
{
    struct relay_config config = world_config();
    struct fixture f;
    set_up(&f);
    world_free(f.w);
    f.w = new_world(&config);
    for (uint64_t path = PATH; path <= PATH + 1; path++) {
        struct order order = {.kind = ORDER_OPEN, .call = CALL, .path = path};
        order.u.open.family_v4[A] = order.u.open.family_v4[B] = true;
        order.u.open.bytes_per_second = 10000;
        order.u.open.own_ports = path > PATH; // the names are the same
        struct relay_event e = world_order(f.w, &order);
        world_credentials(f.w, path, A, "alic", A_PWD);
        world_credentials(f.w, path, B, "bobb", B_PWD);
        f.pa = e.u.opened[A][0];
        f.pb = e.u.opened[B][0];
        connect_both(&f);
    }
    world_wait(f.w, SECOND);
    unsigned forwarded = 0;
    for (unsigned i = 0; i < 200; i++)
        forwarded += send_rtp(&f, i % 2, i % 2 == A ? f.alice : f.bob).verdict == VERDICT_FORWARD;
    assert_int_equal(forwarded, 10000 / 112); // both directions together, one second's worth
    assert_int_equal(world_counter(f.w, COUNTER_DROP_BANDWIDTH), 200 - forwarded);
    world_wait(f.w, SECOND / 2);
    assert_int_equal(send_rtp(&f, A, f.alice).verdict, VERDICT_FORWARD);
    tear_down(&f);
}

// --- generations -------------------------------------------------------------------------------

static void test_generations(void **state)
{
    struct fixture f;
    set_up(&f);
    struct check c = check_of(A);

    connect_both(&f);
    nominate(&f);
    world_credentials(f.w, PATH, A, "alic", A_PWD); // nothing new
    world_credentials(f.w, PATH, A, "ali2", "alice-second-password-x");
    for (unsigned i = 0; i < 4; i++) { // during the restart each may be ahead of the other
        if (i == 2)
            world_credentials(f.w, PATH, B, "bob2", "bob-second-password-xxx");
        c.from = i & 1 ? "ali2" : "alic";
        c.to = i & 2 ? "bob2" : "bobb";
        c.pwd = i & 2 ? "bob-second-password-xxx" : B_PWD;
        c.nominate = i == 0 || i == 2; // with a name that is not the newest: all stay
        assert_forwarded(send_check(&f, A, f.alice, c), f.pb, f.bob);
    }
    c.nominate = true;
    c.to = "bobb";
    c.pwd = B_PWD;
    assert_forwarded(send_check(&f, A, f.alice, c), f.pb, f.bob); // hers is new, his is not
    c.to = "bob2";                                                // new name, old password
    assert_dropped(&f, send_check(&f, A, f.alice, c), COUNTER_DROP_BAD_INTEGRITY);
    c = check_of(A);
    assert_forwarded(send_check(&f, A, f.alice, c), f.pb, f.bob);
    // A check of the relay's own to a source speaks that source's generation.
    send_check(&f, A, f.alice2, c);
    struct stun_msg msg;
    const struct world_sent *sent = own_check(&f, f.pa, f.alice2);
    assert_int_equal(stun_decode(sent->data, sent->len, &msg), 0);
    assert_memory_equal(msg.attr[STUN_USERNAME].data, "alic:bobb", 9);
    assert_int_equal(answer(&f, A, f.alice2, sent->data).verdict, VERDICT_CONSUME);

    // A nomination under both new ones ends the old ones.
    c = (struct check){
        .to = "bob2", .from = "ali2", .pwd = "bob-second-password-xxx", .nominate = true};
    assert_forwarded(send_check(&f, A, f.alice, c), f.pb, f.bob);
    assert_dropped(&f, plain_check(&f, A, f.alice), COUNTER_DROP_BAD_USERNAME);
    // Media has not been interrupted for a packet.
    assert_forwarded(send_rtp(&f, A, f.alice), f.pb, f.bob);
    tear_down(&f);
}

// A client that gathers anew for a restart has an address per generation for a while.
static void test_checks_go_to_the_address_of_their_generation(void **state)
{
    struct fixture f;
    set_up(&f);
    struct check c = check_of(B);

    connect_both(&f);
    nominate(&f);
    world_credentials(f.w, PATH, B, "bob2", "bob-second-password-xxx");
    c.from = "bob2";
    send_check(&f, B, f.bob2, c);
    const struct world_sent *sent = own_check(&f, f.pb, f.bob2);
    c = (struct check){.to = "bob2", .from = "alic", .pwd = "bob-second-password-xxx"};
    assert_forwarded(send_check(&f, A, f.alice, c), f.pb, f.bob); // not verified yet
    size_t len = build_answer(f.buf, sizeof(f.buf), sent->data, &f.pb, "bob-second-password-xxx");
    assert_int_equal(world_recv(f.w, f.pb, f.bob2, f.buf, len).verdict, VERDICT_CONSUME);
    assert_selected(&f, B, f.bob);
    assert_forwarded(send_check(&f, A, f.alice, c), f.pb, f.bob2);
    assert_forwarded(plain_check(&f, A, f.alice), f.pb, f.bob);
    assert_forwarded(send_rtp(&f, A, f.alice), f.pb, f.bob); // media as before
    tear_down(&f);
}

static void test_only_one_previous_generation(void **state)
{
    struct fixture f;
    set_up(&f);
    struct check c = check_of(A);

    world_credentials(f.w, PATH, A, "ali2", "alice-second-password-x");
    world_credentials(f.w, PATH, A, "ali3", "alice-third-password-xx");
    assert_dropped(&f, plain_check(&f, A, f.alice), COUNTER_DROP_BAD_USERNAME);
    c.from = "ali2";
    assert_int_equal(send_check(&f, A, f.alice, c).verdict, VERDICT_CONSUME);
    tear_down(&f);
}

// A nomination that has not moved the path ends nothing: it may have been captured elsewhere.
static void test_pending_nomination_keeps_the_previous_generation(void **state)
{
    struct fixture f;
    set_up(&f);

    connect_both(&f);
    nominate(&f);
    world_credentials(f.w, PATH, A, "ali2", "alice-second-password-x");
    world_credentials(f.w, PATH, B, "bob2", "bob-second-password-xxx");
    struct check c = {
        .to = "bob2", .from = "ali2", .pwd = "bob-second-password-xxx", .nominate = true};
    send_check(&f, A, f.mallory, c);
    assert_forwarded(plain_check(&f, A, f.alice), f.pb, f.bob);
    assert_selected(&f, A, f.alice);
    tear_down(&f);
}

// --- what is told ------------------------------------------------------------------------------

static void test_silence_and_media_events(void **state)
{
    struct fixture f;
    set_up(&f);

    world_wait(f.w, 5 * SECOND);
    assert_int_equal(world_count(f.w, EVENT_SILENT), 1); // from opening on
    world_wait(f.w, 60 * SECOND);
    assert_int_equal(world_count(f.w, EVENT_SILENT), 1); // told once
    connect_both(&f);
    world_wait(f.w, 60 * SECOND);
    assert_int_equal(world_count(f.w, EVENT_SILENT), 1); // checks are no media
    send_rtp(&f, A, f.alice);
    send_rtp(&f, A, f.alice);
    assert_int_equal(world_count(f.w, EVENT_MEDIA), 1);
    send_rtp(&f, B, f.bob);
    assert_int_equal(world_count(f.w, EVENT_MEDIA), 2);
    for (unsigned i = 0; i < 10; i++) {
        world_wait(f.w, SECOND);
        send_rtp(&f, A, f.alice);
    }
    world_wait(f.w, 5 * SECOND - 1);
    assert_int_equal(world_count(f.w, EVENT_SILENT), 1);
    world_wait(f.w, 1);
    assert_int_equal(world_count(f.w, EVENT_SILENT), 2);
    send_rtp(&f, A, f.alice);
    assert_int_equal(world_count(f.w, EVENT_MEDIA), 3); // again after a silence
    assert_int_equal(relay_tick(f.w->relay, f.w->now), f.w->now + 5 * SECOND);
    tear_down(&f);
}

static void test_figures(void **state)
{
    struct fixture f;
    set_up(&f);

    connect_both(&f);
    usec_t start = f.w->now;
    for (uint16_t i = 0; i < 10; i++) {
        size_t len = build_rtp(f.buf, 0xabcd, i, 100);
        if (i != 4) // one is lost on its way
            world_recv(f.w, f.pa, f.alice, f.buf, len);
        world_recv(f.w, f.pa, f.mallory, f.buf, len); // no part of the figures
        world_wait(f.w, 20 * MSEC);
    }
    const struct leg_view *v = leg(&f, A);
    assert_int_equal(v->media_in, 9);
    assert_int_equal(v->first_media, start);
    assert_int_equal(v->last_media, start + 180 * MSEC);
    assert_int_equal(v->refused, shared ? 0 : 10);
    assert_int_equal(v->qualities, 1);
    assert_int_equal(v->quality[0].ssrc, 0xabcd);
    assert_int_equal(v->quality[0].received, 9);
    assert_int_equal(v->quality[0].lost, 1);
    assert_int_equal(v->quality[0].longest_gap, 40 * MSEC);
    assert_int_equal(v->packets_in, 9 + 2); // and a check and an answer
    assert_int_equal(leg(&f, B)->packets_out, 9 + 2);
    assert_int_equal(world_view(f.w, CALL)->path, PATH);
    for (uint32_t ssrc = 1; ssrc <= 4; ssrc++) { // more streams than slots: the oldest goes
        world_wait(f.w, MSEC);
        world_recv(f.w, f.pa, f.alice, f.buf, build_rtp(f.buf, ssrc, 1, 1));
    }
    v = leg(&f, A);
    assert_int_equal(v->qualities, PATH_SSRC_MAX);
    for (unsigned i = 0; i < PATH_SSRC_MAX; i++)
        assert_int_not_equal(v->quality[i].ssrc, 0xabcd);
    tear_down(&f);
}

static void test_snapshots(void **state)
{
    struct fixture f;
    set_up(&f);

    world_open(f.w, CALL, 11, PATH_RAW);
    world_open(f.w, 2, 12, PATH_RAW);
    world_view(f.w, CALL);
    assert_int_equal(world_count(f.w, EVENT_SNAPSHOT), 2);
    world_view(f.w, 0); // every path
    assert_int_equal(world_count(f.w, EVENT_SNAPSHOT), 5);
    world_view(f.w, 99);
    assert_int_equal(world_count(f.w, EVENT_SNAPSHOT), 5);
    assert_int_equal(world_count(f.w, EVENT_SNAPSHOT_END), 3);
    tear_down(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_first_proved_is_selected),
        cmocka_unit_test(test_checks_that_prove_nothing),
        cmocka_unit_test(test_malformed_and_foreign_stun),
        cmocka_unit_test(test_no_credentials_yet),
        cmocka_unit_test(test_check_captured_before_the_credentials),
        cmocka_unit_test(test_sources_are_limited),
        cmocka_unit_test(test_captured_check_moves_nothing),
        cmocka_unit_test(test_captured_check_while_alone),
        cmocka_unit_test(test_captured_check_of_the_relay_itself),
        cmocka_unit_test(test_retransmission),
        cmocka_unit_test(test_rule_a_nomination_needs_an_answer),
        cmocka_unit_test(test_rule_a_needs_an_answer_younger_than_the_nomination),
        cmocka_unit_test(test_the_last_nomination_counts),
        cmocka_unit_test(test_own_checks_are_repeated_then_given_up),
        cmocka_unit_test(test_an_authentic_error_is_an_answer),
        cmocka_unit_test(test_role_of_a_side_that_was_not_heard),
        cmocka_unit_test(test_rule_b_last_proved_before_any_nomination),
        cmocka_unit_test(test_rule_b_ends_with_a_nomination),
        cmocka_unit_test(test_rule_c_when_the_selected_is_silent),
        cmocka_unit_test(test_roaming),
        cmocka_unit_test(test_rule_d_the_answer_of_the_controlled_side),
        cmocka_unit_test(test_rule_d_needs_a_success),
        cmocka_unit_test(test_first_source_on_credit),
        cmocka_unit_test(test_media_flows_between_selected_sources_only),
        cmocka_unit_test(test_media_wait_for_an_answer),
        cmocka_unit_test(test_spray_at_every_port),
        cmocka_unit_test(test_answers_return_to_who_asked),
        cmocka_unit_test(test_transactions_are_limited),
        cmocka_unit_test(test_families_may_differ),
        cmocka_unit_test(test_held_request),
        cmocka_unit_test(test_indications_and_keepalives),
        cmocka_unit_test(test_bandwidth_of_the_call),
        cmocka_unit_test(test_generations),
        cmocka_unit_test(test_checks_go_to_the_address_of_their_generation),
        cmocka_unit_test(test_only_one_previous_generation),
        cmocka_unit_test(test_pending_nomination_keeps_the_previous_generation),
        cmocka_unit_test(test_silence_and_media_events),
        cmocka_unit_test(test_figures),
        cmocka_unit_test(test_snapshots),
    };
    int failed = cmocka_run_group_tests_name("own ports", tests, NULL, NULL);

    shared = true;
    failed += cmocka_run_group_tests_name("shared port", tests, NULL, NULL);
    world_restart_always(true);
    failed += cmocka_run_group_tests_name("shared port, restarted", tests, NULL, NULL);
    shared = false;
    return failed + cmocka_run_group_tests_name("own ports, restarted", tests, NULL, NULL);
}
