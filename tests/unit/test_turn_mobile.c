// SPDX-License-Identifier: ISC
// What one client leaves for another 5-tuple: ports reserved by EVEN-PORT (RFC 8656 section 7.2)
// and allocations that move with their client (RFC 8016), on one worker and over two.
#include "lib/turn_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define SECOND     USEC_PER_SEC
#define TICKET_MAX 64

static struct tw *world, *second; // two workers; most tests use the first alone
static struct tw_client alice, moved;
static struct addr peer;

struct ticket {
    uint8_t bytes[TICKET_MAX];
    uint16_t len;
};

static int set_up(void **state)
{
    world = tw_new();
    second = tw_new();
    second->random = 77;
    world->config.workers = second->config.workers = 2;
    second->config.worker = 1;
    tw_start(world);
    tw_start(second);
    alice = tw_client(world, "198.51.100.2", 4000);
    moved = tw_client(world, "198.51.100.99", 5000);
    peer = tw_at("192.0.2.1", 1);
    return 0;
}

static int tear_down(void **state)
{
    tw_free(second);
    tw_free(world);
    return 0;
}

static int allocate_even(struct tw *w, struct tw_client *c, uint8_t flags)
{
    struct writer out = tw_begin(c, STUN_ALLOCATE);
    stun_put_u32(&out, STUN_REQUESTED_TRANSPORT, 17u << 24);
    stun_put_bytes(&out, STUN_EVEN_PORT, &flags, 1);
    return tw_send(w, c, &out);
}

static int allocate_token(struct tw *w, struct tw_client *c, uint64_t token)
{
    struct writer out = tw_begin(c, STUN_ALLOCATE);
    stun_put_u32(&out, STUN_REQUESTED_TRANSPORT, 17u << 24);
    stun_put_u64(&out, STUN_RESERVATION_TOKEN, token);
    return tw_send(w, c, &out);
}

static int allocate_mobile(struct tw *w, struct tw_client *c)
{
    struct writer out = tw_begin(c, STUN_ALLOCATE);
    stun_put_u32(&out, STUN_REQUESTED_TRANSPORT, 17u << 24);
    stun_put_bytes(&out, STUN_MOBILITY_TICKET, NULL, 0);
    return tw_send(w, c, &out);
}

static struct ticket ticket_of(const struct tw *w)
{
    struct ticket ticket = {.len = w->reply.attr[STUN_MOBILITY_TICKET].len};
    assert_true(ticket.len > 0 && ticket.len <= TICKET_MAX);
    memcpy(ticket.bytes, w->reply.attr[STUN_MOBILITY_TICKET].data, ticket.len);
    return ticket;
}

static int refresh_with(struct tw *w, struct tw_client *c, const struct ticket *ticket)
{
    struct writer out = tw_begin(c, STUN_REFRESH);
    stun_put_bytes(&out, STUN_MOBILITY_TICKET, ticket->bytes, ticket->len);
    return tw_send(w, c, &out);
}

// Where does the peer's data go now?
static bool arrives_at(const struct addr *relayed, const struct tw_client *c)
{
    return tw_peer(world, relayed, &peer, "x", 1) == TURN_TO_CLIENT &&
           addr_equal(&world->forward.client.remote, &c->at.remote);
}

// ---- reservations ----

static void a_reserved_port(void **state)
{
    struct addr first, beside;
    assert_int_equal(allocate_even(world, &alice, 0x80), 0);
    first = tw_relayed(world, 0);
    uint64_t token = stun_u64(&world->reply, STUN_RESERVATION_TOKEN);
    assert_true(token != 0);
    assert_int_equal(first.port % 2, 0);
    assert_int_equal(tw_ports_open(world), 2);
    assert_int_equal(tw_charged(world, "static"), 2);
    // Until it is fetched nothing passes.
    beside = first;
    beside.port++;
    assert_int_equal(tw_permit(world, &alice, "192.0.2.1"), 0);
    assert_int_equal(tw_peer(world, &beside, &peer, "x", 1), TURN_CONSUME);

    assert_int_equal(allocate_token(world, &moved, token), 0);
    struct addr got = tw_relayed(world, 0);
    assert_true(addr_equal(&got, &beside));
    assert_int_equal(tw_charged(world, "static"), 2);
    assert_int_equal(tw_permit(world, &moved, "192.0.2.1"), 0);
    assert_true(arrives_at(&beside, &moved));
    // It is good once.
    struct tw_client third = tw_client(world, "198.51.100.3", 1);
    assert_int_equal(allocate_token(world, &third, token), 508);
    assert_int_equal(tw_refresh(world, &alice, 0), 0);
    assert_int_equal(tw_refresh(world, &moved, 0), 0);
    assert_int_equal(tw_ports_open(world), 0);
}

static void even_without_reservation(void **state)
{
    assert_int_equal(tw_allocate(world, &moved), 0); // takes an even one
    assert_int_equal(allocate_even(world, &alice, 0), 0);
    struct addr first = tw_relayed(world, 0);
    assert_int_equal(first.port % 2, 0);
    assert_false(stun_has(&world->reply, STUN_RESERVATION_TOKEN));
    assert_int_equal(tw_ports_open(world), 2); // the one beside is not kept
    struct tw_client third = tw_client(world, "198.51.100.3", 1);
    assert_int_equal(allocate_even(world, &third, 0x7f), 0); // RFFU "ignored on reception"
    assert_false(stun_has(&world->reply, STUN_RESERVATION_TOKEN));
}

// "The server MUST hold this reservation for at least 30 seconds".
static void a_reservation_is_held_and_ends(void **state)
{
    assert_int_equal(allocate_even(world, &alice, 0x80), 0);
    uint64_t token = stun_u64(&world->reply, STUN_RESERVATION_TOKEN);
    assert_int_equal(tw_refresh(world, &alice, 0), 0); // the maker may be gone
    tw_wait(world, 30 * SECOND - 1);
    assert_int_equal(tw_ports_open(world), 1);
    tw_wait(world, 1);
    assert_int_equal(tw_ports_open(world), 0);
    assert_int_equal(tw_charged(world, "static"), 0);
    assert_int_equal(allocate_token(world, &moved, token), 508);
    // And in time, after the maker has gone.
    alice.nonce[0] = '\0';
    assert_int_equal(allocate_even(world, &alice, 0x80), 0);
    token = stun_u64(&world->reply, STUN_RESERVATION_TOKEN);
    assert_int_equal(tw_refresh(world, &alice, 0), 0);
    tw_wait(world, 29 * SECOND);
    assert_int_equal(allocate_token(world, &moved, token), 0);
    assert_int_equal(tw_ports_open(world), 1);
    assert_int_equal(tw_charged(world, "static"), 1);
}

static void reservations_count(void **state)
{
    world->per_user = 1;
    assert_int_equal(allocate_even(world, &alice, 0x80), 486);
    assert_int_equal(tw_ports_open(world), 0);
    assert_int_equal(tw_charged(world, "static"), 0);
    world->per_user = 2;
    assert_int_equal(allocate_even(world, &alice, 0x80), 0);
    uint64_t token = stun_u64(&world->reply, STUN_RESERVATION_TOKEN);
    assert_int_equal(tw_allocate(world, &moved), 486);
    // Its own reservation fits into a full quota; somebody else's counts for who fetches it.
    assert_int_equal(allocate_token(world, &moved, token), 0);
    assert_int_equal(tw_refresh(world, &alice, 0), 0);
    assert_int_equal(tw_refresh(world, &moved, 0), 0);
    assert_int_equal(allocate_even(world, &alice, 0x80), 0);
    token = stun_u64(&world->reply, STUN_RESERVATION_TOKEN);
    tw_rest(&moved, "north-north-north", TW_WALL + 60, "romeo");
    assert_int_equal(allocate_token(world, &moved, token), 0);
    assert_int_equal(tw_charged(world, "static"), 1);
    assert_int_equal(tw_charged(world, "romeo"), 1);
}

static void no_pair_is_left(void **state)
{
    world->ports_max = 2;
    assert_int_equal(tw_allocate(world, &moved), 0);
    for (unsigned i = 0; i < 5; i++)
        assert_int_equal(allocate_even(world, &alice, 0x80), 508);
    assert_int_equal(tw_ports_open(world), 1);
    assert_int_equal(tw_charged(world, "static"), 1);
}

static void reserving_and_leaving_drains_nothing(void **state)
{
    world->ports_max = 8;
    for (unsigned i = 0; i < 100; i++) {
        assert_int_equal(allocate_even(world, &alice, (uint8_t)(i << 7)), 0);
        assert_int_equal(tw_refresh(world, &alice, 0), 0);
        tw_wait(world, 15 * SECOND);
    }
    tw_wait(world, 30 * SECOND);
    assert_int_equal(tw_ports_open(world), 0);
}

// ---- mobility ----

static void a_client_moves(void **state)
{
    assert_int_equal(allocate_mobile(world, &alice), 0);
    struct addr relayed = tw_relayed(world, 0);
    struct ticket one = ticket_of(world), two;
    assert_int_equal(tw_bind(world, &alice, 0x4000, &peer), 0);

    assert_int_equal(refresh_with(world, &moved, &one), 0);
    two = ticket_of(world);
    assert_memory_not_equal(one.bytes, two.bytes, one.len); // "MUST be different"
    assert_int_equal(stun_u32(&world->reply, STUN_LIFETIME), 600);
    // "MUST continue receiving and processing data on the old 5-tuple".
    assert_true(arrives_at(&relayed, &alice));
    assert_int_equal(tw_channel(world, &alice, 0x4000, "x", 1), TURN_TO_PEER);
    assert_true(arrives_at(&relayed, &alice));
    // A retransmission gets the same ticket and does not move it.
    assert_int_equal(tw_again(world, &moved), 0);
    assert_memory_equal(ticket_of(world).bytes, two.bytes, two.len);
    assert_int_equal(tw_refresh(world, &moved, 600), 0);
    assert_true(arrives_at(&relayed, &alice));
    // "until it receives a Send Indication or ChannelData message ... on the new 5-tuple".
    assert_int_equal(tw_channel(world, &moved, 0x4000, "x", 1), TURN_TO_PEER);
    assert_true(arrives_at(&relayed, &moved));
    assert_int_equal(tw_channel(world, &alice, 0x4000, "x", 1), TURN_CONSUME);
    assert_int_equal(tw_refresh(world, &alice, 600), 437);
    assert_int_equal(tw_refresh(world, &moved, 600), 0);
    assert_int_equal(tw_counter(world, COUNTER_TURN_ALLOCATIONS), 1);
    assert_int_equal(tw_charged(world, "static"), 1);
    // Back again, by a Send indication.
    assert_int_equal(refresh_with(world, &alice, &two), 0);
    assert_int_equal(tw_indicate(world, &alice, &peer, "x", 1), TURN_TO_PEER);
    assert_true(arrives_at(&relayed, &alice));
}

static void tickets_that_are_not_good(void **state)
{
    assert_int_equal(allocate_mobile(world, &alice), 0);
    struct ticket one = ticket_of(world), bad, two;
    // Forged, short, empty.
    for (unsigned i = 0; i < one.len; i++) {
        bad = one;
        bad.bytes[i] ^= 1;
        assert_int_equal(refresh_with(world, &moved, &bad), 400);
        bad = one;
        bad.len = (uint16_t)i;
        assert_int_equal(refresh_with(world, &moved, &bad), 400);
    }
    // From where the client is: "rejects the request with a 400".
    assert_int_equal(refresh_with(world, &alice, &one), 400);
    // By another user: 441. Without credentials: 401.
    struct tw_client thief = moved;
    tw_rest(&thief, "north-north-north", TW_WALL + 60, "thief");
    assert_int_equal(refresh_with(world, &thief, &one), 441);
    thief.plain = true;
    assert_int_equal(refresh_with(world, &thief, &one), 401);
    // From where another allocation is.
    struct tw_client other = tw_client(world, "198.51.100.3", 1);
    assert_int_equal(tw_allocate(world, &other), 0);
    assert_int_equal(refresh_with(world, &other, &one), 437);
    // The old ticket, from a third place; from the new one it is a retransmission for 30 s.
    assert_int_equal(refresh_with(world, &moved, &one), 0);
    two = ticket_of(world);
    struct tw_client third = tw_client(world, "198.51.100.4", 1);
    assert_int_equal(refresh_with(world, &third, &one), 400);
    assert_int_equal(refresh_with(world, &moved, &two), 400); // it is there
    tw_wait(world, 29 * SECOND);
    assert_int_equal(refresh_with(world, &moved, &one), 0);
    assert_memory_equal(ticket_of(world).bytes, two.bytes, two.len);
    tw_wait(world, SECOND);
    assert_int_equal(refresh_with(world, &moved, &one), 437);
    // Of an allocation that is no more: 437.
    assert_int_equal(tw_refresh(world, &alice, 0), 0);
    assert_int_equal(refresh_with(world, &third, &two), 437);
    assert_int_equal(tw_refresh(world, &moved, 600), 437);
}

static void mobility_is_forbidden(void **state)
{
    assert_int_equal(allocate_mobile(world, &alice), 0);
    struct ticket one = ticket_of(world);
    world->config.mobility = false;
    assert_int_equal(turn_set_config(world->turn, &world->config), 0);
    assert_int_equal(allocate_mobile(world, &moved), 405);
    struct tw_client third = tw_client(world, "198.51.100.4", 1);
    assert_int_equal(refresh_with(world, &third, &one), 405);
    assert_int_equal(tw_ports_open(world), 1);
}

static void only_one_new_address_waits(void **state)
{
    struct tw_client c[5];
    assert_int_equal(allocate_mobile(world, &alice), 0);
    struct addr relayed = tw_relayed(world, 0);
    struct ticket ticket = ticket_of(world);
    assert_int_equal(tw_bind(world, &alice, 0x4000, &peer), 0);
    for (uint16_t i = 0; i < 5; i++) {
        c[i] = tw_client(world, "198.51.100.50", (uint16_t)(100 + i));
        assert_int_equal(refresh_with(world, &c[i], &ticket), 0);
        ticket = ticket_of(world);
        assert_int_equal(tw_refresh(world, &c[i], 600), 0);
        if (i > 0)
            assert_int_equal(tw_refresh(world, &c[i - 1], 600), 437);
    }
    assert_int_equal(tw_channel(world, &c[3], 0x4000, "x", 1), TURN_CONSUME);
    assert_true(arrives_at(&relayed, &alice));
    assert_int_equal(tw_channel(world, &c[4], 0x4000, "x", 1), TURN_TO_PEER);
    assert_true(arrives_at(&relayed, &c[4]));
    assert_int_equal(tw_charged(world, "static"), 1);
}

static void note_away(void *ctx, const struct turn_view *view)
{
    *(unsigned *)ctx += view->client.link == NULL;
}

// Break before make: the connection is gone before the client comes back.
static void the_old_connection_breaks(void **state)
{
    unsigned away = 0;
    alice.at.transport = moved.at.transport = TURN_TCP;
    assert_int_equal(allocate_mobile(world, &alice), 0);
    struct addr relayed = tw_relayed(world, 0);
    struct ticket one = ticket_of(world);
    assert_int_equal(tw_bind(world, &alice, 0x4000, &peer), 0);
    turn_client_gone(world->turn, &alice.at, world->now);
    tw_tick(world);
    assert_int_equal(tw_ports_open(world), 1);
    assert_int_equal(tw_peer(world, &relayed, &peer, "x", 1), TURN_CONSUME);
    assert_int_equal(tw_counter(world, COUNTER_TURN_DROP_AWAY), 1);
    turn_list(world->turn, note_away, &away, world->now);
    assert_int_equal(away, 1);
    assert_int_equal(refresh_with(world, &moved, &one), 0);
    struct ticket two = ticket_of(world);
    assert_true(arrives_at(&relayed, &moved)); // nothing is left to wait for
    // Make before break, and the break comes first.
    alice.nonce[0] = '\0';
    assert_int_equal(refresh_with(world, &alice, &two), 0);
    assert_true(arrives_at(&relayed, &moved));
    turn_client_gone(world->turn, &moved.at, world->now);
    tw_tick(world);
    assert_true(arrives_at(&relayed, &alice));
    assert_int_equal(tw_refresh(world, &alice, 600), 0);
    // Away for good.
    turn_client_gone(world->turn, &alice.at, world->now);
    tw_wait(world, 600 * SECOND);
    assert_int_equal(tw_ports_open(world), 0);
    assert_int_equal(tw_charged(world, "static"), 0);
}

static void the_new_connection_breaks(void **state)
{
    assert_int_equal(allocate_mobile(world, &alice), 0);
    struct addr relayed = tw_relayed(world, 0);
    struct ticket one = ticket_of(world);
    assert_int_equal(tw_permit(world, &alice, "192.0.2.1"), 0);
    assert_int_equal(refresh_with(world, &moved, &one), 0);
    turn_client_gone(world->turn, &moved.at, world->now);
    tw_tick(world);
    assert_true(arrives_at(&relayed, &alice));
    assert_int_equal(tw_refresh(world, &moved, 600), 437);
}

static void away_when_the_server_ends(void **state)
{
    assert_int_equal(allocate_mobile(world, &alice), 0);
    struct ticket one = ticket_of(world);
    assert_int_equal(refresh_with(world, &moved, &one), 0);
    struct tw_client third = tw_client(world, "198.51.100.4", 1);
    assert_int_equal(allocate_mobile(world, &third), 0);
    turn_client_gone(world->turn, &third.at, world->now);
    assert_int_equal(allocate_even(world, &third, 0x80), 0);
    assert_int_equal(tw_counter(world, COUNTER_TURN_ALLOCATIONS), 3);
    // tear_down() asserts that nothing stays.
}

static void ended_from_elsewhere(void **state)
{
    assert_int_equal(allocate_mobile(world, &alice), 0);
    struct ticket one = ticket_of(world);
    struct writer out = tw_begin(&moved, STUN_REFRESH);
    stun_put_bytes(&out, STUN_MOBILITY_TICKET, one.bytes, one.len);
    stun_put_u32(&out, STUN_LIFETIME, 0);
    assert_int_equal(tw_send(world, &moved, &out), 0);
    assert_int_equal(tw_ports_open(world), 0);
}

// ---- workers ----

// What a worker hands over is taken by the other as it came.
static int handed_over(struct tw_client *c)
{
    assert_int_equal(world->action, TURN_TO_WORKER);
    assert_int_equal(world->forward.worker, 1);
    return tw_again(second, c);
}

static void a_mobile_client_at_another_worker(void **state)
{
    assert_int_equal(allocate_mobile(second, &alice), 0);
    struct ticket one = ticket_of(second);
    assert_int_equal(tw_bind(second, &alice, 0x4000, &peer), 0);
    // The kernel takes it to the first worker, which must know that it is the client.
    struct tw_client thief = moved;
    thief.password = "wrong";
    assert_int_equal(refresh_with(world, &thief, &one), 401);
    assert_int_equal(refresh_with(world, &moved, &one), -2);
    assert_int_equal(handed_over(&moved), 0);
    assert_true(turn_client_known(world->turn, &moved.at));
    assert_int_equal(tw_channel(world, &moved, 0x4000, "x", 1), TURN_TO_WORKER);
    assert_int_equal(tw_channel(second, &moved, 0x4000, "x", 1), TURN_TO_PEER);
    assert_int_equal(tw_refresh(world, &moved, 600), -2);
    assert_int_equal(handed_over(&moved), 0);
    // Silence longer than an allocation lives without Refresh.
    tw_wait(world, 3599 * SECOND);
    assert_int_equal(tw_channel(world, &moved, 0x4000, "x", 1), TURN_TO_WORKER);
    tw_wait(world, 3599 * SECOND);
    assert_true(turn_client_known(world->turn, &moved.at));
    tw_wait(world, SECOND);
    assert_false(turn_client_known(world->turn, &moved.at));
}

static void a_token_at_another_worker(void **state)
{
    assert_int_equal(allocate_even(second, &alice, 0x80), 0);
    uint64_t token = stun_u64(&second->reply, STUN_RESERVATION_TOKEN);
    assert_int_equal(allocate_token(world, &moved, token), -2);
    assert_int_equal(handed_over(&moved), 0);
    assert_int_equal(tw_permit(world, &moved, "192.0.2.1"), -2);
    assert_int_equal(handed_over(&moved), 0);
    assert_int_equal(turn_client_gone(world->turn, &moved.at, world->now), 1);
    assert_false(turn_client_known(world->turn, &moved.at));
    // A worker that does not exist.
    moved.nonce[0] = '\0';
    assert_int_equal(allocate_token(world, &moved, token | (uint64_t)9 << 56), 508);
}

static void guests_count_and_need_no_grace(void **state)
{
    tw_rest(&alice, "north-north-north", TW_WALL + 60, "romeo");
    moved.user = alice.user;
    moved.password = alice.password;
    assert_int_equal(allocate_mobile(second, &alice), 0);
    struct ticket one = ticket_of(second);
    world->config.allocations_max = 0;
    assert_int_equal(refresh_with(world, &moved, &one), 508);
    world->config.allocations_max = 1;
    // The credential has expired, as far as the first worker can see; the second knows the call.
    world->now += 120 * SECOND;
    second->now = world->now;
    assert_int_equal(refresh_with(world, &moved, &one), -2);
    assert_int_equal(handed_over(&moved), 0);
    struct tw_client third = tw_client(world, "198.51.100.4", 1);
    third.user = alice.user;
    third.password = alice.password;
    assert_int_equal(refresh_with(world, &third, &one), 508);
    // They take no place from allocations.
    struct tw_client fourth = tw_client(world, "198.51.100.5", 1);
    assert_int_equal(tw_allocate(world, &fourth), 0);
}

// One who moves on and on keeps others out for some minutes: then who has been silent longest is
// forgotten. But for those with a connection, whose end must be told to the other worker.
static void guests_make_room(void **state)
{
    struct tw_client talks = moved, left = moved, next = moved, stream = moved;
    assert_int_equal(allocate_mobile(second, &alice), 0);
    struct ticket one = ticket_of(second);
    world->config.allocations_max = 3;
    stream.at.transport = TURN_TCP;
    talks.at.remote.port = 5001;
    left.at.remote.port = 5002;
    next.at.remote.port = 5003;
    assert_int_equal(refresh_with(world, &stream, &one), -2);
    assert_int_equal(refresh_with(world, &left, &one), -2);
    assert_int_equal(refresh_with(world, &talks, &one), -2);
    tw_wait(world, 300 * SECOND);
    assert_int_equal(tw_channel(world, &talks, 0x4000, "x", 1), TURN_TO_WORKER);
    tw_wait(world, 299 * SECOND);
    assert_int_equal(refresh_with(world, &next, &one), 508);
    tw_wait(world, SECOND);
    assert_int_equal(refresh_with(world, &next, &one), -2);
    assert_false(turn_client_known(world->turn, &left.at));
    assert_true(turn_client_known(world->turn, &talks.at));
    assert_true(turn_client_known(world->turn, &stream.at));
}

// The other worker may have nothing of a guest. What it says of an older message is no longer true.
static void a_guest_is_sent_back(void **state)
{
    struct turn_forward *forward = &world->forward;
    unsigned worker = 0;
    uint32_t serial = 0;
    assert_int_equal(allocate_mobile(second, &alice), 0);
    struct ticket one = ticket_of(second);
    assert_false(turn_client_host(world->turn, &moved.at, &worker, &serial));
    assert_int_equal(refresh_with(world, &moved, &one), -2);
    uint32_t first = forward->serial;
    assert_int_equal(tw_permit(world, &moved, "192.0.2.1"), -2);
    assert_int_not_equal(forward->serial, first);
    assert_true(turn_client_host(world->turn, &moved.at, &worker, &serial));
    assert_int_equal(worker, 1);
    assert_int_equal(serial, forward->serial);
    assert_false(turn_client_back(world->turn, &moved.at, first));
    assert_true(turn_client_known(world->turn, &moved.at));
    assert_true(turn_client_back(world->turn, &moved.at, forward->serial));
    assert_false(turn_client_known(world->turn, &moved.at));
    assert_false(turn_client_back(world->turn, &moved.at, forward->serial));
    assert_int_equal(tw_allocate(world, &moved), 0);
    assert_false(turn_client_back(world->turn, &moved.at, 0));
    assert_true(turn_client_known(world->turn, &moved.at)); // no guest
    assert_false(turn_client_host(world->turn, &moved.at, &worker, &serial));
}

// Who only listens does not send data; asking for a permission or a channel says as much.
static void a_listener_moves(void **state)
{
    assert_int_equal(allocate_mobile(world, &alice), 0);
    struct addr relayed = tw_relayed(world, 0);
    struct ticket ticket = ticket_of(world);
    assert_int_equal(tw_permit(world, &alice, "192.0.2.1"), 0);
    assert_int_equal(refresh_with(world, &moved, &ticket), 0);
    ticket = ticket_of(world);
    assert_int_equal(tw_permit(world, &moved, "10.0.0.1"), 403);
    assert_true(arrives_at(&relayed, &alice));
    assert_int_equal(tw_permit(world, &moved, "192.0.2.1"), 0);
    assert_true(arrives_at(&relayed, &moved));
    assert_int_equal(refresh_with(world, &alice, &ticket), 0);
    assert_int_equal(tw_bind(world, &alice, 0x4000, &peer), 0);
    assert_true(arrives_at(&relayed, &alice));
}

// coturn's client keeps a ticket as a string.
static void tickets_are_without_nul(void **state)
{
    for (unsigned i = 0; i < 100; i++) {
        struct tw_client client = tw_client(world, "198.51.100.4", (uint16_t)(4000 + i));
        assert_int_equal(allocate_mobile(world, &client), 0);
        struct ticket ticket = ticket_of(world);
        assert_true(ticket.len <= 32);
        assert_null(memchr(ticket.bytes, 0, ticket.len));
        assert_int_equal(tw_refresh(world, &client, 0), 0);
    }
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(a_listener_moves),
        CASE(tickets_are_without_nul),
        CASE(a_reserved_port),
        CASE(even_without_reservation),
        CASE(a_reservation_is_held_and_ends),
        CASE(reservations_count),
        CASE(no_pair_is_left),
        CASE(reserving_and_leaving_drains_nothing),
        CASE(a_client_moves),
        CASE(tickets_that_are_not_good),
        CASE(mobility_is_forbidden),
        CASE(only_one_new_address_waits),
        CASE(the_old_connection_breaks),
        CASE(the_new_connection_breaks),
        CASE(away_when_the_server_ends),
        CASE(ended_from_elsewhere),
        CASE(a_mobile_client_at_another_worker),
        CASE(a_token_at_another_worker),
        CASE(guests_count_and_need_no_grace),
    };
    const struct CMUnitTest once[] = {
        // messages between workers end with them
        CASE(a_guest_is_sent_back),
        // nor are connections kept
        CASE(guests_make_room),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);

    failed += cmocka_run_group_tests_name("once", once, NULL, NULL);
    tw_restart_always(true);
    return failed + cmocka_run_group_tests_name("restarted", tests, NULL, NULL);
}
