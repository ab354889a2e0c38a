// SPDX-License-Identifier: ISC
// Paths of Google's transport: names instead of passwords, one relay candidate for each client, and
// what a captured check is good for: nothing. Alice is the initiator, Bob the responder; "mallory"
// has read a check of Alice's on its way.
#include "lib/world.h"

#include "codec/stun_old.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define A      SIDE_INITIATOR
#define B      SIDE_RESPONDER
#define CALL   1
#define PATH   10
#define SECOND USEC_PER_SEC
#define MSEC   USEC_PER_MSEC

#define TO_ALICE "RelayForAlice001" // what she calls the relay
#define TO_BOB   "RelayForBob00001"
#define ALICE    "aaaaaaaaaaaaaaaa" // her own candidate
#define BOB      "bbbbbbbbbbbbbbbb"

struct fixture {
    struct world *w;
    struct addr pa, pb;
    struct addr alice, alice2, bob, mallory;
    uint8_t buf[600];
    unsigned ids;
};

static void set_up_with(struct fixture *f, const struct relay_config *config, bool offload)
{
    *f = (struct fixture){.w = world_new(config)};
    if (offload)
        world_offload(f->w);
    struct relay_event e = world_open(f->w, CALL, PATH, PATH_GOOGLE);
    f->pa = e.u.opened[A][0];
    f->pb = e.u.opened[B][0];
    f->alice = at("8.8.1.1", 1111);
    f->alice2 = at("8.8.2.2", 2222);
    f->bob = at("9.9.1.1", 3333);
    f->mallory = at("7.7.6.6", 6666);
}

// Both have been told of the relay, and have signalled an address behind a NAT.
static void set_up(struct fixture *f)
{
    struct relay_config config = world_config();

    set_up_with(f, &config, false);
    world_credentials(f->w, PATH, A, TO_ALICE, "");
    world_credentials(f->w, PATH, B, TO_BOB, "");
    world_peer(f->w, PATH, A, at("192.168.1.2", 5000));
    world_peer(f->w, PATH, B, at("192.168.9.9", 5000));
}

// A request as libnice writes it in this mode: no cookie, USERNAME alone.
static size_t build_old(uint8_t *buf, uint16_t type, const char *id, const char *username)
{
    struct writer w = writer_over(buf, 600);
    uint8_t txid[16] = {0};

    memcpy(txid, id, strnlen(id, sizeof txid));
    write_u16(&w, type);
    write_u16(&w, 0);
    write_bytes(&w, txid, sizeof txid);
    if (username) {
        write_u16(&w, 0x0006);
        write_u16(&w, (uint16_t)strlen(username));
        write_bytes(&w, username, strlen(username));
        write_zeros(&w, -strlen(username) & 3);
    }
    buf[3] = (uint8_t)(writer_used(&w) - 20);
    assert_false(w.failed);
    return writer_used(&w);
}

static struct outcome check_as(struct fixture *f, enum side side, struct addr from,
                               const char *username)
{
    char id[17];

    snprintf(id, sizeof id, "fresh id %07u", ++f->ids);
    size_t len = build_old(f->buf, 0x0001, id, username);
    return world_recv(f->w, side == A ? f->pa : f->pb, from, f->buf, len);
}

static struct outcome check(struct fixture *f, enum side side, struct addr from)
{
    return check_as(f, side, from, side == A ? TO_ALICE ALICE : TO_BOB BOB);
}

// The last thing that the relay has sent to this address; NULL if nothing since 'from'.
static const struct world_sent *sent_to(const struct fixture *f, unsigned from, struct addr to)
{
    const struct world_sent *found = NULL;

    for (unsigned i = from; i < f->w->sents; i++)
        if (addr_equal(&f->w->sent[i].to, &to))
            found = &f->w->sent[i];
    return found;
}

// Answers a request that the relay has sent, as its receiver would.
static struct outcome answer(struct fixture *f, const struct world_sent *request, struct addr from)
{
    struct stun_old msg;
    char username[64] = {0};

    assert_non_null(request);
    assert_int_equal(stun_old_decode(request->data, request->len, &msg), 0);
    assert_int_equal(msg.class, STUN_REQUEST);
    memcpy(username, msg.username.data, msg.username.len);
    size_t len = build_old(f->buf, 0x0101, "", username);
    memcpy(f->buf + 4, request->data + 4, 16);
    return world_recv(f->w, request->from, from, f->buf, len);
}

// Checks, and answers the relay's own.
static void join(struct fixture *f, enum side side, struct addr from)
{
    unsigned before = f->w->sents;

    check(f, side, from);
    assert_int_equal(answer(f, sent_to(f, before, from), from).verdict, VERDICT_CONSUME);
}

static struct outcome rtp(struct fixture *f, enum side side, struct addr from)
{
    size_t len = build_rtp(f->buf, 7, (uint16_t)++f->ids, 20);

    return world_recv(f->w, side == A ? f->pa : f->pb, from, f->buf, len);
}

#define assert_dropped(f, outcome, reason)                                                         \
    do {                                                                                           \
        uint64_t before_ = world_counter((f)->w, reason);                                          \
        assert_int_equal((outcome).verdict, VERDICT_DROP);                                         \
        assert_int_equal(world_counter((f)->w, reason), before_ + 1);                              \
    } while (0)

#define assert_flows(f, side, sender, receiver)                                                    \
    do {                                                                                           \
        struct outcome o_ = rtp(f, side, sender);                                                  \
        assert_int_equal(o_.verdict, VERDICT_FORWARD);                                             \
        assert_true(addr_equal(&o_.to, &(receiver)));                                              \
    } while (0)

#define assert_name(sent, name)                                                                    \
    do {                                                                                           \
        struct stun_old msg_;                                                                      \
        assert_non_null(sent);                                                                     \
        assert_int_equal(stun_old_decode((sent)->data, (sent)->len, &msg_), 0);                    \
        assert_int_equal(msg_.username.len, strlen(name));                                         \
        assert_memory_equal(msg_.username.data, name, strlen(name));                               \
    } while (0)

static struct addr selected(struct fixture *f, enum side side)
{
    const struct leg_view *v = &world_view(f->w, CALL)->leg[side];

    for (unsigned i = 0; i < v->sources; i++)
        if (v->source[i].selected)
            return v->source[i].addr;
    return (struct addr){0};
}

// ---- a call

static void a_call(void **state)
{
    struct fixture f;
    set_up(&f);
    unsigned before = f.w->sents;

    // Nobody to forward it to yet; but the relay asks Alice whether she is there.
    assert_dropped(&f, check(&f, A, f.alice), COUNTER_DROP_PEER_UNKNOWN);
    assert_name(sent_to(&f, before, f.alice), ALICE TO_ALICE);
    answer(&f, sent_to(&f, before, f.alice), f.alice);
    join(&f, B, f.bob);
    assert_int_equal(world_count(f.w, EVENT_CHECKED), 2);
    assert_int_equal(world_count(f.w, EVENT_SELECTED), 2);

    // Each sees the relay as one candidate, under the name that it was told.
    before = f.w->sents;
    assert_int_equal(check(&f, A, f.alice).verdict, VERDICT_CONSUME);
    assert_int_equal(f.w->sents, before + 1);
    const struct world_sent *request = sent_to(&f, before, f.bob);
    assert_name(request, BOB TO_BOB);
    assert_true(addr_equal(&request->from, &f.pb));
    assert_memory_equal(request->data + 4, "fresh id 0000003", 16);
    // And the answer returns to the very source that asked, as the answer to its name.
    before = f.w->sents;
    assert_int_equal(answer(&f, request, f.bob).verdict, VERDICT_CONSUME);
    assert_name(sent_to(&f, before, f.alice), TO_ALICE ALICE);
    assert_memory_equal(f.w->sent[before].data + 4, "fresh id 0000003", 16);

    assert_flows(&f, A, f.alice, f.bob);
    assert_flows(&f, B, f.bob, f.alice);
    world_free(f.w);
}

// Bytes as they are on the wire.
static void the_bytes_of_a_check(void **state)
{
    static const uint8_t request[] = {
        0x00, 0x01, 0x00, 0x28,                         // Binding Request, 40 bytes of attributes
        'i',  'd',  '-',  '1',  '2',  '3',  '4',  '5',  // transaction id, 16 bytes
        '6',  '7',  '8',  '9',  'a',  'b',  'c',  'd',  //
        0x00, 0x06, 0x00, 0x13,                         // USERNAME, 19 bytes
        'R',  'e',  'l',  'a',  'y',  'F',  'o',  'r',  // the relay's name
        'A',  'l',  'i',  'c',  'e',  '0',  '0',  '1',  //
        'A',  'l',  'i',  0,                            // Alice's, and padding
        0xff, 0x00, 0x00, 0x04, 0x00, 0x00, 0x00, 0x02, // RETRANSMIT-COUNT of libjingle
        0x80, 0x28, 0x00, 0x04, 0xde, 0xad, 0xbe, 0xef, // FINGERPRINT, which nobody checks here
    };
    static const uint8_t forwarded[] = {
        0x00, 0x01, 0x00, 0x2c,                         // 44 bytes
        'i',  'd',  '-',  '1',  '2',  '3',  '4',  '5',  // the same transaction
        '6',  '7',  '8',  '9',  'a',  'b',  'c',  'd',  //
        0x00, 0x06, 0x00, 0x20,                         // USERNAME, 32 bytes
        'b',  'b',  'b',  'b',  'b',  'b',  'b',  'b',  // Bob's name
        'b',  'b',  'b',  'b',  'b',  'b',  'b',  'b',  //
        'R',  'e',  'l',  'a',  'y',  'F',  'o',  'r',  // what Bob calls the relay
        'B',  'o',  'b',  '0',  '0',  '0',  '0',  '1',  //
        0xff, 0x00, 0x00, 0x04, 0x00, 0x00, 0x00, 0x02, // untouched
    };
    struct fixture f;
    set_up(&f);

    join(&f, B, f.bob);
    unsigned before = f.w->sents;
    world_recv(f.w, f.pa, f.alice, request, sizeof request);
    const struct world_sent *sent = sent_to(&f, before, f.bob);
    assert_non_null(sent);
    assert_int_equal(sent->len, sizeof forwarded);
    assert_memory_equal(sent->data, forwarded, sizeof forwarded);
    assert_int_equal(sent->tos, 0xb8);
    world_free(f.w);
}

// ---- who may not

static void names_are_needed(void **state)
{
    struct relay_config config = world_config();
    struct fixture f;

    set_up_with(&f, &config, false);
    assert_dropped(&f, check(&f, A, f.alice), COUNTER_DROP_NO_CREDENTIALS);
    world_credentials(f.w, PATH, A, TO_ALICE, "");
    assert_dropped(&f, check(&f, A, f.alice), COUNTER_DROP_UNPROVED); // no window is open
    world_peer(f.w, PATH, A, f.alice);
    assert_dropped(&f, check_as(&f, A, f.alice, TO_ALICE), COUNTER_DROP_BAD_USERNAME);
    assert_dropped(&f, check_as(&f, A, f.alice, BOB ALICE), COUNTER_DROP_BAD_USERNAME);
    assert_dropped(&f, check_as(&f, A, f.alice, ""), COUNTER_DROP_BAD_USERNAME);
    assert_dropped(&f, check_as(&f, A, f.alice, NULL), COUNTER_DROP_BAD_USERNAME);
    assert_int_equal(f.w->sents, 0);
    check(&f, A, f.alice);
    assert_int_equal(f.w->sents, 1);
    assert_dropped(&f, rtp(&f, A, f.mallory), COUNTER_DROP_UNPROVED);
    world_free(f.w);
}

static void the_window_closes(void **state)
{
    struct fixture f;
    set_up(&f);

    world_wait(f.w, 21 * SECOND); // the window has 20
    assert_dropped(&f, check(&f, A, f.alice), COUNTER_DROP_UNPROVED);
    assert_int_equal(world_counter(f.w, COUNTER_LATCHES_REFUSED), 1);
    world_peer(f.w, PATH, B, at("0.0.0.0", 0)); // the call is accepted
    join(&f, A, f.alice);
    struct addr now = selected(&f, A);
    assert_true(addr_equal(&now, &f.alice));
    // A signalled address needs no window.
    world_peer(f.w, PATH, B, f.bob);
    world_wait(f.w, 20 * SECOND);
    join(&f, B, f.bob);
    world_free(f.w);
}

// With a check of Alice's in hand, and able to answer: too late.
static void a_captured_check_moves_nothing(void **state)
{
    struct fixture f;
    set_up(&f);

    join(&f, A, f.alice);
    join(&f, B, f.bob);
    check(&f, A, f.alice);
    size_t len = build_old(f.buf, 0x0001, "fresh id 0000003", TO_ALICE ALICE);
    assert_dropped(&f, world_recv(f.w, f.pa, f.mallory, f.buf, len), COUNTER_DROP_REPLAY);
    for (unsigned i = 0; i < 20; i++) { // the same name under ids of his own
        assert_dropped(&f, check(&f, A, f.mallory), COUNTER_DROP_UNPROVED);
        assert_dropped(&f, rtp(&f, A, f.mallory), COUNTER_DROP_UNPROVED);
        world_wait(f.w, SECOND);
    }
    assert_null(sent_to(&f, 0, f.mallory));
    assert_flows(&f, A, f.alice, f.bob);
    assert_flows(&f, B, f.bob, f.alice);
    assert_int_equal(world_counter(f.w, COUNTER_LATCHES_MOVED), 0);
    world_free(f.w);
}

// He forges the address that he wants flooded.
static void nobody_is_sent_media_unasked(void **state)
{
    struct fixture f;
    set_up(&f);
    struct addr victim = at("7.7.7.7", 53);

    join(&f, B, f.bob);
    check(&f, A, victim);
    assert_dropped(&f, rtp(&f, B, f.bob), COUNTER_DROP_PEER_UNKNOWN);
    world_wait(f.w, 2 * SECOND);
    unsigned to_victim = 0;
    for (unsigned i = 0; i < f.w->sents; i++)
        to_victim += addr_equal(&f.w->sent[i].to, &victim);
    assert_int_equal(to_victim, 3); // the relay's own question, sent again twice
    // And Alice comes all the same.
    join(&f, A, f.alice);
    assert_flows(&f, B, f.bob, f.alice);
    world_free(f.w);
}

// What comes back to the relay of its own questions is no check of anybody's.
static void its_own_questions_prove_nothing(void **state)
{
    struct fixture f;
    set_up(&f);
    unsigned before = f.w->sents;

    check(&f, A, f.alice);
    struct world_sent own = *sent_to(&f, before, f.alice);
    assert_dropped(&f, world_recv(f.w, f.pa, f.mallory, own.data, own.len),
                   COUNTER_DROP_BAD_USERNAME);
    size_t len = build_old(f.buf, 0x0001, "", TO_ALICE ALICE); // renamed by whoever captured it
    memcpy(f.buf + 4, own.data + 4, 16);
    assert_dropped(&f, world_recv(f.w, f.pa, f.mallory, f.buf, len), COUNTER_DROP_REPLAY);
    // An answer from elsewhere, and an error, are none.
    assert_dropped(&f, answer(&f, &own, f.mallory), COUNTER_DROP_UNMATCHED);
    len = build_old(f.buf, 0x0111, "", NULL);
    memcpy(f.buf + 4, own.data + 4, 16);
    assert_dropped(&f, world_recv(f.w, f.pa, f.alice, f.buf, len), COUNTER_DROP_UNMATCHED);
    assert_int_equal(answer(&f, &own, f.alice).verdict, VERDICT_CONSUME);
    world_free(f.w);
}

// ---- roaming

static void a_signalled_address_takes_over(void **state)
{
    struct fixture f;
    set_up(&f);

    join(&f, A, f.alice);
    join(&f, B, f.bob);
    world_wait(f.w, 60 * SECOND);
    world_peer(f.w, PATH, A, f.alice2);
    join(&f, A, f.alice2); // while the old one is alive
    assert_flows(&f, A, f.alice2, f.bob);
    assert_flows(&f, B, f.bob, f.alice2);
    world_free(f.w);
}

// She has signalled another private address, and her new NAT is unknown.
static void new_signalling_lets_one_in(void **state)
{
    struct fixture f;
    set_up(&f);

    join(&f, A, f.alice);
    join(&f, B, f.bob);
    world_wait(f.w, 60 * SECOND);
    world_peer(f.w, PATH, A, at("192.168.77.1", 5001));
    join(&f, A, f.alice2); // the first that has answered since, and the old one is silent
    assert_flows(&f, B, f.bob, f.alice2);
    assert_dropped(&f, check(&f, A, f.mallory), COUNTER_DROP_UNPROVED);
    world_free(f.w);
}

// New signalling opens the window for Mallory too; but Alice has not moved.
static void the_living_are_not_replaced(void **state)
{
    struct fixture f;
    set_up(&f);

    join(&f, A, f.alice);
    join(&f, B, f.bob);
    world_wait(f.w, 60 * SECOND);
    assert_flows(&f, A, f.alice, f.bob);
    world_peer(f.w, PATH, A, at("192.168.77.1", 5001));
    for (unsigned i = 0; i < 18; i++) {
        unsigned before = f.w->sents;
        check(&f, A, f.mallory);
        const struct world_sent *to_alice = sent_to(&f, before, f.alice);
        const struct world_sent *to_mallory = sent_to(&f, before, f.mallory);
        struct world_sent a = {0}, m = {0};
        if (to_alice)
            a = *to_alice;
        if (to_mallory)
            m = *to_mallory;
        if (m.len)
            answer(&f, &m, f.mallory);
        if (a.len)
            answer(&f, &a, f.alice); // she sends nothing of herself
        world_wait(f.w, 500 * MSEC);
    }
    struct addr now = selected(&f, A);
    assert_true(addr_equal(&now, &f.alice));
    assert_flows(&f, B, f.bob, f.alice);
    world_free(f.w);
}

// Both are hers, and she sends media from one of them while both go on checking.
static void media_choose_among_her_addresses(void **state)
{
    struct fixture f;
    set_up(&f);

    join(&f, A, f.alice);
    join(&f, B, f.bob);
    world_peer(f.w, PATH, A, f.alice2);
    join(&f, A, f.alice2);
    for (unsigned i = 0; i < 10; i++) {
        check(&f, A, f.alice);
        assert_flows(&f, A, f.alice2, f.bob);
        assert_flows(&f, B, f.bob, f.alice2);
        check(&f, A, f.alice2);
        world_wait(f.w, 100 * MSEC);
    }
    world_wait(f.w, SECOND);
    check(&f, A, f.alice2);
    for (unsigned i = 0; i < 10; i++) {
        assert_flows(&f, A, f.alice, f.bob);
        assert_flows(&f, B, f.bob, f.alice);
        check(&f, A, f.alice2);
        world_wait(f.w, 100 * MSEC);
    }
    world_free(f.w);
}

// What the kernel has forwarded bears its own time, which is read later than ours.
static void the_kernels_clock_is_ahead(void **state)
{
    struct fixture f;
    struct relay_config config = world_config();
    usec_t kernel_now;

    set_up_with(&f, &config, true);
    world_credentials(f.w, PATH, A, TO_ALICE, "");
    world_credentials(f.w, PATH, B, TO_BOB, "");
    f.w->kernel.now = &kernel_now;
    world_peer(f.w, PATH, A, f.alice);
    world_peer(f.w, PATH, A, f.alice2);
    world_peer(f.w, PATH, B, f.bob);
    join(&f, A, f.alice);
    join(&f, B, f.bob);
    join(&f, A, f.alice2);
    for (unsigned i = 0; i < 20; i++) {
        world_wait(f.w, 20 * MSEC);
        kernel_now = f.w->now + MSEC;
        assert_flows(&f, A, f.alice, f.bob);
    }
    assert_true(world_view(f.w, CALL)->leg[A].offloaded);
    assert_dropped(&f, rtp(&f, A, f.alice2), COUNTER_DROP_NOT_SELECTED); // she still sends there
    assert_true(world_view(f.w, CALL)->leg[A].last_media <= f.w->now);
    assert_flows(&f, A, f.alice, f.bob);
    world_free(f.w);
}

// Mallory was first to come after new signalling, while she was on her way: until she is there.
static void the_signalled_address_wins_back(void **state)
{
    struct fixture f;
    set_up(&f);

    join(&f, A, f.alice);
    join(&f, B, f.bob);
    world_wait(f.w, 60 * SECOND);
    world_peer(f.w, PATH, A, f.alice2);
    join(&f, A, f.mallory);
    assert_flows(&f, B, f.bob, f.mallory);
    check(&f, A, f.mallory);
    join(&f, A, f.alice2);
    assert_flows(&f, A, f.alice2, f.bob);
    for (unsigned i = 0; i < 10; i++) {
        check(&f, A, f.mallory);
        rtp(&f, A, f.mallory);
        assert_flows(&f, A, f.alice2, f.bob);
        assert_flows(&f, B, f.bob, f.alice2);
        world_wait(f.w, 20 * MSEC);
    }
    for (unsigned i = 0; i < 10; i++) { // and keeps the path while she is silent, but for checks
        check(&f, A, f.mallory);
        rtp(&f, A, f.mallory);
        check(&f, A, f.alice2);
        assert_flows(&f, B, f.bob, f.alice2);
        world_wait(f.w, 500 * MSEC);
    }
    world_free(f.w);
}

// Nothing of who is on trial reaches Bob.
static void the_untrusted_are_not_forwarded(void **state)
{
    struct fixture f;
    set_up(&f);

    join(&f, B, f.bob);
    check(&f, A, f.alice);
    unsigned before = f.w->sents;
    assert_dropped(&f, check(&f, A, f.mallory), COUNTER_DROP_NOT_SELECTED);
    assert_null(sent_to(&f, before, f.bob));
    world_free(f.w);
}

static void sources_and_names_have_bounds(void **state)
{
    struct fixture f;
    set_up(&f);
    char longest[16 + GOOGLE_NAME_MAX + 2] = TO_ALICE;

    memset(longest + 16, 'n', GOOGLE_NAME_MAX + 1);
    assert_dropped(&f, check_as(&f, A, f.alice, longest), COUNTER_DROP_BAD_USERNAME);
    longest[16 + GOOGLE_NAME_MAX] = 0;
    assert_dropped(&f, check_as(&f, A, f.alice, longest), COUNTER_DROP_PEER_UNKNOWN);
    for (uint16_t i = 1; i < PATH_SOURCES_MAX; i++) {
        struct addr other = f.alice2;
        other.port = (uint16_t)(3000 + i);
        assert_dropped(&f, check(&f, A, other), COUNTER_DROP_NOT_SELECTED);
    }
    assert_dropped(&f, check(&f, A, f.mallory), COUNTER_DROP_TOO_MANY_SOURCES);
    for (uint16_t i = 1; i < 40; i++) // signalled ones: the last eight
        world_peer(f.w, PATH, A, at("8.8.3.3", i));
    world_free(f.w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_call),
        cmocka_unit_test(the_bytes_of_a_check),
        cmocka_unit_test(names_are_needed),
        cmocka_unit_test(the_window_closes),
        cmocka_unit_test(a_captured_check_moves_nothing),
        cmocka_unit_test(nobody_is_sent_media_unasked),
        cmocka_unit_test(its_own_questions_prove_nothing),
        cmocka_unit_test(a_signalled_address_takes_over),
        cmocka_unit_test(new_signalling_lets_one_in),
        cmocka_unit_test(the_living_are_not_replaced),
        cmocka_unit_test(media_choose_among_her_addresses),
        cmocka_unit_test(the_kernels_clock_is_ahead),
        cmocka_unit_test(the_signalled_address_wins_back),
        cmocka_unit_test(the_untrusted_are_not_forwarded),
        cmocka_unit_test(sources_and_names_have_bounds),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);

    world_restart_always(true);
    return failed + cmocka_run_group_tests_name("restarted", tests, NULL, NULL);
}
