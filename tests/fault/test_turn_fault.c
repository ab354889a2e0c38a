// SPDX-License-Identifier: ISC
// A whole life of a TURN server, over and over, in which the k-th allocation of memory, opening of
// a port or answer fails, k = 1, 2, 3, ... until nothing fails any more. Whatever fails: no crash,
// no leak, no broken invariant; the request in hand gets 508 or no answer, and succeeds when it is
// sent again.
#include "fault/lib_alloc.h"
#include "lib/turn_world.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define SECOND USEC_PER_SEC

enum fault { FAULT_MEMORY, FAULT_OPEN, FAULT_SEND, FAULT_CONNECT };

struct life {
    struct tw *w, *second; // two workers
    struct tw_client alice, bob, carol, moved;
    struct tw_client control, data; // RFC 6062
    struct addr peer;
    uint64_t token;
    uint8_t ticket[64];
    uint16_t ticket_len;
};

// A lost answer is asked for again, as a client would.
static int again(struct tw *w, struct tw_client *c)
{
    return c->out_len ? tw_again(w, c) : -1;
}

#define TRY(w, c, expression)                                                                      \
    do {                                                                                           \
        int code_ = (expression);                                                                  \
        if (code_ == -1)                                                                           \
            code_ = again(w, c);                                                                   \
        if (code_ == 508 || code_ == -1)                                                           \
            code_ = (expression);                                                                  \
        assert_int_equal(code_, 0);                                                                \
    } while (0)

static int allocate_pair(struct life *l)
{
    struct writer out = tw_begin(&l->alice, STUN_ALLOCATE);
    stun_put_u32(&out, STUN_REQUESTED_TRANSPORT, 17u << 24);
    stun_put_bytes(&out, STUN_EVEN_PORT, "\x80", 1);
    stun_put_bytes(&out, STUN_MOBILITY_TICKET, NULL, 0);
    return tw_send(l->w, &l->alice, &out);
}

static int allocate_reserved(struct life *l)
{
    struct writer out = tw_begin(&l->bob, STUN_ALLOCATE);
    stun_put_u32(&out, STUN_REQUESTED_TRANSPORT, 17u << 24);
    stun_put_u64(&out, STUN_RESERVATION_TOKEN, l->token);
    return tw_send(l->w, &l->bob, &out);
}

static int allocate_both(struct life *l)
{
    struct writer out = tw_begin(&l->carol, STUN_ALLOCATE);
    stun_put_u32(&out, STUN_REQUESTED_TRANSPORT, 17u << 24);
    stun_put_u32(&out, STUN_ADDITIONAL_ADDRESS_FAMILY, 2u << 24);
    return tw_send(l->w, &l->carol, &out);
}

static int move(struct life *l, struct tw *w)
{
    struct writer out = tw_begin(&l->moved, STUN_REFRESH);
    stun_put_bytes(&out, STUN_MOBILITY_TICKET, l->ticket, l->ticket_len);
    return tw_send(w, &l->moved, &out);
}

static void first_half(struct life *l)
{
    TRY(l->w, &l->alice, allocate_pair(l));
    l->token = stun_u64(&l->w->reply, STUN_RESERVATION_TOKEN);
    l->ticket_len = l->w->reply.attr[STUN_MOBILITY_TICKET].len;
    assert_true(l->ticket_len > 0 && l->ticket_len <= sizeof l->ticket);
    memcpy(l->ticket, l->w->reply.attr[STUN_MOBILITY_TICKET].data, l->ticket_len);
    TRY(l->w, &l->bob, allocate_reserved(l));
    TRY(l->w, &l->carol, allocate_both(l));
    for (uint16_t i = 0; i < 3; i++) {
        l->peer.port++;
        TRY(l->w, &l->alice, tw_bind(l->w, &l->alice, (uint16_t)(0x4000 + i), &l->peer));
    }
    TRY(l->w, &l->bob, tw_permit(l->w, &l->bob, "192.0.2.1"));
    TRY(l->w, &l->bob, tw_permit(l->w, &l->bob, "192.0.2.2"));
    assert_int_equal(tw_channel(l->w, &l->alice, 0x4002, "x", 1), TURN_TO_PEER);
}

static void second_half(struct life *l)
{
    // The second worker passes the client on; the first knows it.
    int code = move(l, l->second);
    if (code != -2)
        code = move(l, l->second);
    assert_int_equal(code, -2);
    tw_raw(l->second, &l->moved, "\x40\0\0\0", 4);
    TRY(l->w, &l->moved, move(l, l->w));
    assert_int_equal(tw_channel(l->w, &l->moved, 0x4000, "x", 1), TURN_TO_PEER);
    TRY(l->w, &l->carol, tw_refresh(l->w, &l->carol, 1200));
    int rc = turn_set_config(l->w->turn, &l->w->config);
    assert_true(rc == 0 || rc == -ENOMEM);
    int ended = tw_refresh(l->w, &l->bob, 0);
    assert_true(ended == 0 || ended == -1);
    tw_wait(l->w, 700 * SECOND);
    assert_int_equal(tw_counter(l->w, COUNTER_TURN_ALLOCATIONS), 1); // carol's
}

// A connection that is under way; it may have been lost, or there was no memory for it.
static struct tw_conn *connect_peer(struct life *l)
{
    for (unsigned i = 0; i < 3; i++) {
        int code = tw_connect(l->w, &l->control, &l->peer);
        if (code == -1 && l->w->conns_used > 0)
            return l->w->last_conn;
        assert_true(code == -1 || code == 508 || code == 447);
    }
    fail_msg("no connection");
    return NULL;
}

// A peer that calls again if it is refused. The client may not hear of it.
static struct tw_conn *accept_peer(struct life *l, const struct addr *relayed)
{
    struct tw_conn *conn = tw_accept(l->w, relayed, &l->peer);
    if (!conn)
        conn = tw_accept(l->w, relayed, &l->peer);
    assert_non_null(conn);
    return conn;
}

// By way of the second worker.
static void join_peer(struct life *l, struct tw_conn *conn)
{
    int code = tw_connection_bind(l->second, &l->data, conn->number);
    if (code != -2)
        code = tw_connection_bind(l->second, &l->data, conn->number);
    assert_int_equal(code, -2);
    tw_again(l->w, &l->data);
    if (!conn->joined)
        tw_again(l->w, &l->data);
    assert_true(conn->joined);
}

static void tcp_life(struct life *l)
{
    TRY(l->w, &l->control, tw_allocate_tcp(l->w, &l->control));
    struct addr relayed = tw_relayed(l->w, 0);
    TRY(l->w, &l->control, tw_permit(l->w, &l->control, "192.0.2.1"));
    struct tw_conn *conn = connect_peer(l);
    int code = tw_connected(l->w, &l->control, conn, 0);
    assert_true(code == 0 || code == -1);
    join_peer(l, conn);
    l->peer.port++;
    l->data.at.remote.port++;
    l->data.nonce[0] = '\0';
    join_peer(l, accept_peer(l, &relayed));
    l->peer.port++;
    accept_peer(l, &relayed); // whom nobody wants
    tw_ended(l->w, conn, 1, 1);
    assert_int_equal(l->w->conns_used, 2);
    turn_client_gone(l->w->turn, &l->control.at, l->w->now);
    tw_tick(l->w);
    assert_int_equal(l->w->conns_used, 0);
}

static bool start(struct tw **ret_w, unsigned worker)
{
    struct tw *w = tw_new();
    *ret_w = w;
    w->may_fail = true;
    w->config.workers = 2;
    w->config.tcp_allocations = true;
    w->config.worker = worker;
    int rc = tw_try(w);
    assert_true(rc == 0 || rc == -ENOMEM);
    return rc == 0;
}

// Returns whether something failed.
static bool live(enum fault fault, unsigned k)
{
    struct life l = {.peer = tw_at("192.0.2.1", 1)};
    bool failed = true;
    alloc_fail_at(fault == FAULT_MEMORY ? k : 0);
    bool ok = start(&l.w, 0);
    ok = start(&l.second, 1) && ok;
    l.alice = tw_client(l.w, "198.51.100.1", 1);
    l.bob = tw_client(l.w, "198.51.100.2", 1);
    l.carol = tw_client(l.w, "198.51.100.3", 1);
    l.moved = tw_client(l.w, "198.51.100.4", 1);
    l.control = tw_client(l.w, "198.51.100.5", 1);
    l.data = tw_client(l.w, "198.51.100.5", 2);
    l.control.at.transport = l.data.at.transport = TURN_TCP;
    l.w->fail_connect = fault == FAULT_CONNECT ? k : 0;
    l.w->fail_open = fault == FAULT_OPEN ? k : 0;
    l.w->fail_send = fault == FAULT_SEND ? k : 0;
    if (ok) {
        first_half(&l);
        tcp_life(&l);
        second_half(&l);
        failed = (fault == FAULT_MEMORY && alloc_failed()) ||
                 (fault == FAULT_OPEN && l.w->opens >= k) ||
                 (fault == FAULT_SEND && l.w->sends >= k) ||
                 (fault == FAULT_CONNECT && l.w->connects >= k);
    }
    tw_free(l.second);
    tw_free(l.w);
    alloc_fail_at(0);
    return failed;
}

static void sweep(enum fault fault, unsigned least)
{
    unsigned k = 1;
    while (live(fault, k))
        k++;
    assert_true(k > least); // it did reach the server
}

static void every_allocation(void **state)
{
    sweep(FAULT_MEMORY, 40);
}

static void every_port(void **state)
{
    sweep(FAULT_OPEN, 4);
}

static void every_connection(void **state)
{
    sweep(FAULT_CONNECT, 1);
}

static void every_answer(void **state)
{
    sweep(FAULT_SEND, 12);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_allocation),
        cmocka_unit_test(every_port),
        cmocka_unit_test(every_connection),
        cmocka_unit_test(every_answer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
