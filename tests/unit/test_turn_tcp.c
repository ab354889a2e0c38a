// SPDX-License-Identifier: ISC
// TCP allocations (RFC 6062): what the server must refuse, whom it lets connect, which connection
// of a client becomes one with which of a peer, and when all that ends.
#include "lib/turn_world.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SECOND USEC_PER_SEC

static struct tw *world;
static struct tw_client alice, data; // her control connection, and another one
static struct addr relayed, peer;

static struct tw_client over_tcp(const char *ip, uint16_t port)
{
    struct tw_client c = tw_client(world, ip, port);
    c.at.transport = TURN_TCP;
    return c;
}

static int set_up(void **state)
{
    world = tw_new();
    world->config.tcp_allocations = true;
    tw_start(world);
    alice = over_tcp("198.51.100.2", 4000);
    data = over_tcp("198.51.100.2", 4001);
    peer = tw_at("192.0.2.150", 80);
    assert_int_equal(tw_allocate_tcp(world, &alice), 0);
    relayed = tw_relayed(world, 0);
    return 0;
}

static int tear_down(void **state)
{
    tw_free(world);
    return 0;
}

static struct tw_conn *connected(const struct addr *to)
{
    assert_int_equal(tw_connect(world, &alice, to), -1);
    struct tw_conn *conn = world->last_conn;
    assert_int_equal(tw_connected(world, &alice, conn, 0), 0);
    assert_int_equal(stun_u32(&world->reply, STUN_CONNECTION_ID), conn->number);
    return conn;
}

// ---- Allocate ----

static int allocate_with(struct tw_client *c, unsigned protocol, enum stun_attr attr)
{
    struct writer out = tw_begin(c, STUN_ALLOCATE);
    stun_put_u32(&out, STUN_REQUESTED_TRANSPORT, protocol << 24);
    if (attr == STUN_DONT_FRAGMENT)
        stun_put_flag(&out, attr);
    else if (attr == STUN_EVEN_PORT)
        stun_put_bytes(&out, attr, "\0", 1);
    else if (attr == STUN_MOBILITY_TICKET)
        stun_put_bytes(&out, attr, "", 0);
    else if (attr == STUN_RESERVATION_TOKEN)
        stun_put_u64(&out, attr, 1);
    else if (attr == STUN_REQUESTED_ADDRESS_FAMILY || attr == STUN_ADDITIONAL_ADDRESS_FAMILY)
        stun_put_u32(&out, attr, 2u << 24);
    return tw_send(world, c, &out);
}

static void the_answer(void **state)
{
    struct addr mapped;
    assert_int_equal(stun_addr(&world->reply, STUN_XOR_MAPPED_ADDRESS, &mapped), 0);
    assert_true(addr_equal(&mapped, &alice.at.remote));
    assert_int_equal(stun_u32(&world->reply, STUN_LIFETIME), 600);
    assert_false(stun_has(&world->reply, STUN_RESERVATION_TOKEN));
    assert_true(world->port[0].open && world->port[0].tcp);
    data.at.transport = TURN_TLS;
    assert_int_equal(allocate_with(&data, 6, STUN_REQUESTED_ADDRESS_FAMILY), 0);
    assert_int_equal(tw_relayed(world, 0).family, FAMILY_V6);
    // UDP is to be had as before.
    struct tw_client third = over_tcp("198.51.100.2", 4002);
    assert_int_equal(tw_allocate(world, &third), 0);
    assert_false(world->port[2].tcp);
}

static void what_is_refused(void **state)
{
    static const enum stun_attr udp_only[] = {STUN_DONT_FRAGMENT, STUN_EVEN_PORT,
                                              STUN_RESERVATION_TOKEN};
    assert_int_equal(allocate_with(&data, 132, STUN_ATTR_COUNT), 442);
    for (size_t i = 0; i < sizeof udp_only / sizeof udp_only[0]; i++)
        assert_int_equal(allocate_with(&data, 6, udp_only[i]), 400);
    assert_int_equal(allocate_with(&data, 6, STUN_MOBILITY_TICKET), 405);
    static const enum turn_transport datagrams[] = {TURN_UDP, TURN_DTLS};
    for (unsigned i = 0; i < 2; i++) {
        data.at.transport = datagrams[i];
        data.nonce[0] = '\0';
        assert_int_equal(tw_allocate_tcp(world, &data), 400);
    }
    assert_int_equal(tw_ports_open(world), 1);
}

static void where_it_is_off(void **state)
{
    tw_free(world);
    set_up(NULL);
    world->config.tcp_allocations = false;
    assert_int_equal(tw_allocate_tcp(world, &data), 442);
    assert_int_equal(tw_connect(world, &alice, &peer), -1); // a method that nobody knows
    assert_int_equal(world->connects, 0);
    assert_int_equal(tw_counter(world, COUNTER_TURN_DROP_UNEXPECTED), 1);
}

static void no_datagrams(void **state)
{
    assert_int_equal(tw_permit(world, &alice, "192.0.2.150"), 0);
    assert_int_equal(tw_indicate(world, &alice, &peer, "x", 1), TURN_CONSUME);
    assert_int_equal(tw_bind(world, &alice, 0x4000, &peer), 403);
    assert_int_equal(tw_channel(world, &alice, 0x4000, "x", 1), TURN_CONSUME);
}

// ---- Connect ----

static void to_a_peer_and_back(void **state)
{
    struct tw_conn *conn = connected(&peer);
    assert_true(addr_equal(&conn->port->addr, &relayed));
    assert_true(addr_equal(&conn->peer, &peer));
    assert_int_equal(tw_connection_bind(world, &data, conn->number), 0);
    assert_true(conn->joined);
    assert_true(addr_equal(&conn->client.remote, &data.at.remote));
    tw_wait(world, 500 * SECOND); // longer than any wait
    assert_true(conn->open);
    assert_int_equal(tw_counter(world, COUNTER_TURN_PEER_CONNECTIONS), 1);
    tw_ended(world, conn, 7, 9);
    assert_int_equal(tw_counter(world, COUNTER_TURN_PEER_CONNECTIONS), 0);
}

// Answers that come later are protected as the request was.
static void answers_that_take_time(void **state)
{
    struct tw_client sha256 = over_tcp("198.51.100.9", 1);
    sha256.sha256 = sha256.fingerprint = true;
    assert_int_equal(tw_allocate_tcp(world, &sha256), 0);
    assert_int_equal(tw_connect(world, &sha256, &peer), -1);
    assert_int_equal(tw_connected(world, &sha256, world->last_conn, 0), 0);
    peer.port++;
    assert_int_equal(tw_connect(world, &sha256, &peer), -1);
    assert_int_equal(tw_connected(world, &sha256, world->last_conn, -ECONNREFUSED), 447);
    assert_int_equal(tw_counter(world, COUNTER_TURN_447), 1);
}

static void connects_that_are_refused(void **state)
{
    struct addr ten = tw_at("10.0.0.1", 80), six = tw_at("2001:db8:2::1", 80);
    struct writer out = tw_begin(&alice, STUN_CONNECT);
    assert_int_equal(tw_send(world, &alice, &out), 400);
    out = tw_begin(&alice, STUN_CONNECT);
    write_u32(&out, 0x00120008);
    write_u64(&out, 0x0007000000000000); // a family that nobody knows
    assert_int_equal(tw_send(world, &alice, &out), 400);
    struct addr no_port = tw_at("192.0.2.150", 0);
    assert_int_equal(tw_connect(world, &alice, &no_port), 400);
    assert_int_equal(tw_connect(world, &alice, &ten), 403);
    assert_int_equal(tw_connect(world, &alice, &six), 443);
    assert_int_equal(tw_connect(world, &data, &peer), 437); // it has no allocation
    struct tw_client udp = over_tcp("198.51.100.2", 4002);
    assert_int_equal(tw_allocate(world, &udp), 0);
    assert_int_equal(tw_connect(world, &udp, &peer), 437);
    struct tw_client mallory = alice;
    tw_rest(&mallory, "north-north-north", TW_WALL + 60, "mallory");
    assert_int_equal(tw_connect(world, &mallory, &peer), 441);
    world->fail_connect = 1;
    assert_int_equal(tw_connect(world, &alice, &peer), 447);
    assert_int_equal(world->conns_used, 0);
}

// "a Connect request for this allocation with the same XOR-PEER-ADDRESS": under way, pending or
// active.
static void twice_to_one_peer(void **state)
{
    struct addr beside = tw_at("192.0.2.150", 81);
    assert_int_equal(tw_connect(world, &alice, &peer), -1);
    struct tw_conn *conn = world->last_conn;
    assert_int_equal(tw_connect(world, &alice, &peer), 446);
    tw_connect(world, &alice, &beside);
    turn_peer_connected(world->turn, conn->number, 0, world->now);
    assert_int_equal(tw_connect(world, &alice, &peer), 446);
    assert_int_equal(tw_connection_bind(world, &data, conn->number), 0);
    assert_int_equal(tw_connect(world, &alice, &peer), 446);
    tw_ended(world, conn, 0, 0);
    assert_int_equal(tw_connect(world, &alice, &peer), -1);
    // Another allocation has peers of its own.
    assert_int_equal(tw_allocate_tcp(world, &data), 0);
    assert_int_equal(tw_connect(world, &data, &peer), -1);
}

static void nobody_answers(void **state)
{
    assert_int_equal(tw_connect(world, &alice, &peer), -1);
    struct tw_conn *conn = world->last_conn;
    unsigned before = world->sents;
    tw_wait(world, 30 * SECOND - 1); // "The timeout value MUST be at least 30 seconds."
    assert_true(conn->open);
    assert_int_equal(world->sents, before);
    tw_wait(world, 1);
    assert_false(conn->open);
    assert_int_equal(world->sents, before + 1);
    assert_int_equal(tw_counter(world, COUNTER_TURN_447), 1);
    // The world is late with its news.
    turn_peer_connected(world->turn, conn->number, 0, world->now);
    turn_peer_ended(world->turn, conn->number, 0, 0, world->now);
    assert_int_equal(world->sents, before + 1);
}

static void it_ends_while_connecting(void **state)
{
    assert_int_equal(tw_connect(world, &alice, &peer), -1);
    tw_ended(world, world->last_conn, 0, 0);
    assert_int_equal(tw_counter(world, COUNTER_TURN_447), 1);
}

// ---- peers who call ----

static void a_peer_calls(void **state)
{
    struct addr from;
    assert_int_equal(tw_permit(world, &alice, "192.0.2.150"), 0);
    struct tw_conn *conn = tw_accept(world, &relayed, &peer);
    assert_non_null(conn);
    assert_int_equal(world->reply.class, STUN_INDICATION);
    assert_int_equal(world->reply.method, STUN_CONNECTION_ATTEMPT);
    assert_int_equal(stun_addr(&world->reply, STUN_XOR_PEER_ADDRESS, &from), 0);
    assert_true(addr_equal(&from, &peer));
    assert_int_equal(stun_u32(&world->reply, STUN_CONNECTION_ID), conn->number);
    const struct tw_sent *sent = &world->sent[(world->sents - 1) % TW_LOG];
    assert_true(addr_equal(&sent->client.remote, &alice.at.remote));
    assert_int_equal(tw_connection_bind(world, &data, conn->number), 0);
    assert_true(conn->joined);
}

static void peers_without_permission(void **state)
{
    unsigned before = world->sents;
    assert_null(tw_accept(world, &relayed, &peer));
    assert_int_equal(world->sents, before);
    assert_int_equal(tw_permit(world, &alice, "192.0.2.150"), 0);
    // Another host; one that has been forbidden meanwhile; one whose permission has run out.
    struct addr other = tw_at("192.0.2.151", 80);
    assert_null(tw_accept(world, &relayed, &other));
    world->denied = peer;
    assert_null(tw_accept(world, &relayed, &peer));
    world->denied = (struct addr){0};
    tw_wait(world, 300 * SECOND);
    assert_null(tw_accept(world, &relayed, &peer));
    assert_int_equal(tw_counter(world, COUNTER_TURN_PEER_CONNECTIONS_REFUSED), 4);
}

static void limit_of_connections(void **state)
{
    assert_int_equal(tw_permit(world, &alice, "192.0.2.150"), 0);
    for (unsigned i = 0; i < 3; i++, peer.port++)
        assert_non_null(tw_accept(world, &relayed, &peer));
    assert_int_equal(tw_connect(world, &alice, &peer), -1);
    struct tw_conn *conn = world->last_conn;
    peer.port++;
    assert_int_equal(tw_connect(world, &alice, &peer), 508);
    assert_null(tw_accept(world, &relayed, &peer));
    tw_ended(world, conn, 0, 0);
    assert_non_null(tw_accept(world, &relayed, &peer));
}

// "If no ConnectionBind request ... is received after 30 seconds ... MUST be closed."
static void nobody_wants_it(void **state)
{
    assert_int_equal(tw_permit(world, &alice, "192.0.2.150"), 0);
    struct tw_conn *accepted = tw_accept(world, &relayed, &peer);
    struct addr other = tw_at("192.0.2.7", 7);
    tw_wait(world, 10 * SECOND);
    struct tw_conn *made = connected(&other);
    tw_wait(world, 20 * SECOND - 1);
    assert_true(accepted->open);
    tw_wait(world, 1);
    assert_false(accepted->open);
    assert_int_equal(tw_connection_bind(world, &data, accepted->number), 400);
    tw_wait(world, 10 * SECOND - 1);
    assert_true(made->open);
    tw_wait(world, 1);
    assert_false(made->open);
}

// ---- ConnectionBind ----

static void binds_that_are_refused(void **state)
{
    struct tw_conn *conn = connected(&peer);
    struct writer out = tw_begin(&data, STUN_CONNECTION_BIND);
    assert_int_equal(tw_send(world, &data, &out), 400);
    assert_int_equal(tw_connection_bind(world, &data, conn->number + 1), 400);
    assert_int_equal(tw_connection_bind(world, &data, 0), 400);
    assert_int_equal(tw_connection_bind(world, &alice, conn->number), 437);
    static const enum turn_transport datagrams[] = {TURN_UDP, TURN_DTLS};
    for (unsigned i = 0; i < 2; i++) {
        struct tw_client c = tw_client(world, "198.51.100.2", 4003);
        c.at.transport = datagrams[i];
        assert_int_equal(tw_connection_bind(world, &c, conn->number), 400);
    }
    struct tw_client mallory = over_tcp("198.51.100.66", 1);
    tw_rest(&mallory, "north-north-north", TW_WALL + 60, "mallory");
    assert_int_equal(tw_connection_bind(world, &mallory, conn->number), 441);
    mallory.plain = true;
    assert_int_equal(tw_connection_bind(world, &mallory, conn->number), 401);
    // One that is not there yet, and one that has been given away.
    struct addr other = tw_at("192.0.2.7", 7);
    assert_int_equal(tw_connect(world, &alice, &other), -1);
    assert_int_equal(tw_connection_bind(world, &data, world->last_conn->number), 400);
    assert_false(conn->joined);
    assert_int_equal(tw_connection_bind(world, &data, conn->number), 0);
    struct tw_client third = over_tcp("198.51.100.2", 4004);
    assert_int_equal(tw_connection_bind(world, &third, conn->number), 400);
}

// Secrets rotate and credentials expire while a call runs.
static void credentials_of_the_allocation(void **state)
{
    struct tw_client control = over_tcp("198.51.100.7", 1), other = over_tcp("198.51.100.7", 2);
    tw_rest(&control, "north-north-north", TW_WALL + 60, "romeo");
    assert_int_equal(tw_allocate_tcp(world, &control), 0);
    world->secret[0].text = "south-south-south";
    tw_wait(world, 100 * SECOND);
    assert_int_equal(tw_connect(world, &control, &peer), -1);
    assert_int_equal(tw_connected(world, &control, world->last_conn, 0), 0);
    other.user = control.user;
    other.password = control.password;
    assert_int_equal(tw_connection_bind(world, &other, world->last_conn->number), 0);
}

// The kernel gives a new connection to any worker; the number says whose it is.
static void on_another_worker(void **state)
{
    struct tw *second = tw_new();
    second->config.tcp_allocations = true;
    second->config.worker = 1;
    second->config.workers = world->config.workers = 2;
    tw_start(second);
    struct tw_conn *conn = connected(&peer);
    assert_int_equal(turn_peer_worker(conn->number), 0);
    data.plain = true;
    assert_int_equal(tw_connection_bind(second, &data, conn->number),
                     401); // strangers cost nothing
    data.plain = false;
    assert_int_equal(tw_connection_bind(second, &data, conn->number), -2);
    assert_int_equal(second->forward.worker, 0);
    assert_true(second->forward.pause);
    assert_false(turn_client_known(second->turn, &data.at));
    assert_int_equal(tw_again(world, &data), 0);
    assert_true(conn->joined);
    // A number of a worker that is not.
    assert_int_equal(tw_connection_bind(second, &data, 0x07000001), 400);
    tw_free(second);
}

// ---- the end ----

static void connections_end_with_their_allocation(void **state)
{
    struct addr other = tw_at("192.0.2.7", 7), third = tw_at("192.0.2.8", 7);
    for (unsigned i = 0; i < 3; i++) {
        if (i > 0) {
            alice.at.remote.port += 10;
            alice.nonce[0] = '\0';
            assert_int_equal(tw_allocate_tcp(world, &alice), 0);
        }
        struct tw_conn *joined = connected(&peer);
        assert_int_equal(tw_connection_bind(world, &data, joined->number), 0);
        connected(&other);
        assert_int_equal(tw_connect(world, &alice, &third), -1);
        assert_int_equal(world->conns_used, 3);
        if (i == 0)
            assert_int_equal(tw_refresh(world, &alice, 0), 0);
        else if (i == 1)
            turn_client_gone(world->turn, &alice.at, world->now);
        else
            tw_wait(world, 600 * SECOND);
        assert_int_equal(world->conns_used, 0);
        tw_tick(world);
        assert_int_equal(tw_ports_open(world), 0);
    }
    assert_null(tw_accept(world, &relayed, &peer));
}

// A peer calls in the moment between the end of an allocation and the closing of its port.
static void calls_for_the_dead(void **state)
{
    struct tw_port *port = &world->port[0];
    assert_int_equal(tw_permit(world, &alice, "192.0.2.150"), 0);
    turn_client_gone(world->turn, &alice.at, world->now);
    assert_int_equal(turn_peer_accepted(world->turn, port->owner, port, NULL, &peer, world->now),
                     0);
}

// Of two families one may go, and its connections with it.
static void both_families(void **state)
{
    struct addr six = tw_at("2001:db8:2::1", 80);
    struct tw_client both = over_tcp("198.51.100.2", 4009);
    assert_int_equal(allocate_with(&both, 6, STUN_ADDITIONAL_ADDRESS_FAMILY), 0);
    assert_int_equal(tw_connect(world, &both, &peer), -1);
    struct tw_conn *four = world->last_conn;
    assert_int_equal(tw_connect(world, &both, &six), -1);
    struct tw_conn *sixth = world->last_conn;
    assert_int_equal(sixth->port->addr.family, FAMILY_V6);
    struct writer out = tw_begin(&both, STUN_REFRESH);
    stun_put_u32(&out, STUN_LIFETIME, 0);
    stun_put_u32(&out, STUN_REQUESTED_ADDRESS_FAMILY, 1u << 24);
    assert_int_equal(tw_send(world, &both, &out), 0);
    assert_false(four->open);
    assert_true(sixth->open);
}

static void note_view(void *ctx, const struct turn_view *view)
{
    struct turn_view *seen = ctx;
    *seen = *view;
}

static void what_others_may_know(void **state)
{
    struct turn_view view;
    struct tw_conn *conn = connected(&peer);
    assert_int_equal(tw_connection_bind(world, &data, conn->number), 0);
    turn_list(world->turn, note_view, &view, world->now);
    assert_true(view.tcp);
    assert_int_equal(view.connections, 1);
    tw_ended(world, conn, 1000, 10);
    turn_list(world->turn, note_view, &view, world->now);
    assert_int_equal(view.connections, 0);
    assert_int_equal(view.bytes_in, 1000);
    assert_int_equal(view.bytes_out, 10);
}

// The control connection goes first, as it does when a client ends.
static void what_was_passed_until_the_end_counts(void **state)
{
    struct addr other = tw_at("192.0.2.7", 7);
    struct tw_client third = over_tcp("198.51.100.2", 4002);
    struct tw_conn *one = connected(&peer), *two = connected(&other);
    assert_int_equal(tw_connection_bind(world, &data, one->number), 0);
    assert_int_equal(tw_connection_bind(world, &third, two->number), 0);
    tw_ended(world, one, 1000, 10);
    two->passed = (struct turn_bytes){500, 5};
    turn_client_gone(world->turn, &alice.at, world->now);
    assert_int_equal(world->ends, 1);
    assert_int_equal(world->ended.in, 1500);
    assert_int_equal(world->ended.out, 15);
    tw_tick(world);
}

// By which the world limits what they may pass together.
static void an_allocations_connections_are_one_group(void **state)
{
    struct addr other = tw_at("192.0.2.7", 7);
    struct tw_client third = over_tcp("198.51.100.2", 4002);
    struct tw_conn *one = connected(&peer), *two = connected(&other);
    assert_int_equal(tw_connection_bind(world, &data, one->number), 0);
    assert_int_equal(tw_connection_bind(world, &third, two->number), 0);
    assert_true(one->group == two->group);
    alice = over_tcp("198.51.100.2", 4003);
    data = over_tcp("198.51.100.2", 4004);
    assert_int_equal(tw_allocate_tcp(world, &alice), 0);
    struct tw_conn *elsewhere = connected(&peer);
    assert_int_equal(tw_connection_bind(world, &data, elsewhere->number), 0);
    assert_true(elsewhere->group != one->group);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(the_answer),
        CASE(what_is_refused),
        CASE(where_it_is_off),
        CASE(no_datagrams),
        CASE(to_a_peer_and_back),
        CASE(answers_that_take_time),
        CASE(connects_that_are_refused),
        CASE(twice_to_one_peer),
        CASE(nobody_answers),
        CASE(it_ends_while_connecting),
        CASE(a_peer_calls),
        CASE(peers_without_permission),
        CASE(limit_of_connections),
        CASE(nobody_wants_it),
        CASE(binds_that_are_refused),
        CASE(credentials_of_the_allocation),
        CASE(on_another_worker),
        CASE(connections_end_with_their_allocation),
        CASE(calls_for_the_dead),
        CASE(both_families),
        CASE(what_others_may_know),
        CASE(what_was_passed_until_the_end_counts),
        CASE(an_allocations_connections_are_one_group),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
