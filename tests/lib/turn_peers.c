// SPDX-License-Identifier: ISC
// The part of the TURN server's world that has TCP connections to peers; see turn_world.h.
#include "lib/turn_world.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

// ---- what the server sees of it ----

static int io_listen(void *ctx, enum family family, void *owner, struct turn_port *ret_port)
{
    struct tw *w = ctx;
    struct turn_port port[2];
    struct turn_io io = tw_io(w);
    int rc = io.open(w, family, PORT_ANY, owner, port);
    if (rc < 0)
        return rc;
    ((struct tw_port *)port[0].handle)->tcp = true;
    *ret_port = port[0];
    return 0;
}

static void io_close(void *ctx, void *handle)
{
    struct tw *w = ctx;
    struct tw_port *port = handle;
    assert_true(port->open && port->tcp);
    for (unsigned i = 0; i < TW_CONNS; i++)
        assert_false(w->conn[i].open && w->conn[i].port == port);
    port->open = false;
    w->ports_used--;
}

static struct tw_conn *conn_new(struct tw *w, struct tw_port *port, const struct addr *peer)
{
    unsigned i = 0;
    while (w->conn[i].open)
        assert_true(++i < TW_CONNS);
    w->conn[i] = (struct tw_conn){.port = port, .peer = *peer, .open = true};
    w->conns_used++;
    return w->last_conn = &w->conn[i];
}

static int io_connect(void *ctx, void *handle, const struct addr *peer, uint32_t number,
                      void **ret_conn)
{
    struct tw *w = ctx;
    struct tw_port *port = handle;
    assert_true(port->open && port->tcp);
    if (++w->connects == w->fail_connect)
        return -EADDRNOTAVAIL;
    struct tw_conn *conn = conn_new(w, port, peer);
    conn->number = number;
    *ret_conn = conn;
    return 0;
}

static void io_join(void *ctx, void *handle, const struct turn_client *client, uint64_t group,
                    const uint8_t *answer, size_t len)
{
    struct tw *w = ctx;
    struct tw_conn *conn = handle;
    assert_true(conn->open && !conn->joined && group != 0);
    conn->joined = true;
    conn->group = group;
    conn->client = *client;
    tw_io(w).send_client(w, client, answer, len);
}

static struct turn_bytes io_drop(void *ctx, void *handle)
{
    struct tw *w = ctx;
    struct tw_conn *conn = handle;
    assert_true(conn->open);
    conn->open = false;
    w->conns_used--;
    return conn->passed;
}

struct turn_tcp_io tw_tcp_io(struct tw *w)
{
    return (struct turn_tcp_io){
        .ctx = w,
        .listen = io_listen,
        .close = io_close,
        .connect = io_connect,
        .join = io_join,
        .drop = io_drop,
    };
}

// ---- clients and peers ----

static void note_reply(struct tw *w, unsigned before)
{
    w->reply = (struct stun_msg){0};
    if (w->sents == before)
        return;
    const struct tw_sent *sent = &w->sent[(w->sents - 1) % TW_LOG];
    (void)stun_parse(sent->data, sent->len, &w->reply);
}

int tw_allocate_tcp(struct tw *w, struct tw_client *c)
{
    struct writer out = tw_begin(c, STUN_ALLOCATE);
    stun_put_u32(&out, STUN_REQUESTED_TRANSPORT, 6u << 24);
    return tw_send(w, c, &out);
}

int tw_connect(struct tw *w, struct tw_client *c, const struct addr *peer)
{
    struct writer out = tw_begin(c, STUN_CONNECT);
    stun_put_addr(&out, STUN_XOR_PEER_ADDRESS, peer);
    return tw_send(w, c, &out);
}

int tw_connected(struct tw *w, struct tw_client *c, struct tw_conn *conn, int error)
{
    unsigned before = w->sents;
    turn_peer_connected(w->turn, conn->number, error, w->now);
    note_reply(w, before);
    tw_tick(w);
    return tw_outcome(w, c);
}

int tw_connection_bind(struct tw *w, struct tw_client *c, uint32_t number)
{
    struct writer out = tw_begin(c, STUN_CONNECTION_BIND);
    stun_put_u32(&out, STUN_CONNECTION_ID, number);
    return tw_send(w, c, &out);
}

struct tw_conn *tw_accept(struct tw *w, const struct addr *relayed, const struct addr *peer)
{
    unsigned i = 0, before = w->sents;
    while (i < TW_PORTS &&
           !(w->port[i].open && w->port[i].tcp && addr_equal(&w->port[i].addr, relayed)))
        i++;
    if (i == TW_PORTS)
        return NULL;
    struct tw_conn *conn = conn_new(w, &w->port[i], peer);
    conn->number = turn_peer_accepted(w->turn, w->port[i].owner, &w->port[i], conn, peer, w->now);
    note_reply(w, before);
    if (conn->number == 0) {
        (void)io_drop(w, conn);
        conn = NULL;
    }
    tw_tick(w);
    return conn;
}

void tw_ended(struct tw *w, struct tw_conn *conn, uint64_t bytes_in, uint64_t bytes_out)
{
    conn->passed = (struct turn_bytes){0}; // as is told
    turn_peer_ended(w->turn, conn->number, bytes_in, bytes_out, w->now);
    assert_false(conn->open);
    tw_tick(w);
}
