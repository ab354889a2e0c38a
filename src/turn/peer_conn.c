// SPDX-License-Identifier: ISC
// TCP allocations (RFC 6062): connections between their relayed port and peers, from Connect or
// accept() until a connection of the client is joined to them, or nobody wants them.
//
// A number says which worker has the connection, because ConnectionBind comes on a connection of
// its own, which the kernel may have given to any of them.
#include "internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define NUMBER_BITS 24

unsigned turn_peer_worker(uint32_t number)
{
    return number >> NUMBER_BITS;
}

static uint64_t number_hash(const struct turn *turn, uint32_t number)
{
    return map_hash(&turn->peer_conns, &number, sizeof number);
}

static struct peer_conn *find(const struct turn *turn, uint32_t number)
{
    struct map_node *node = map_first(&turn->peer_conns, number_hash(turn, number));
    for (; node; node = map_next(node)) {
        struct peer_conn *conn = container_of(node, struct peer_conn, node);
        if (conn->number == number)
            return conn;
    }
    return NULL;
}

static struct peer_conn *find_peer(const struct allocation *a, const struct addr *peer)
{
    struct peer_conn *conn = a->peer_conn;
    while (conn && !addr_equal(&conn->peer, peer))
        conn = conn->next;
    return conn;
}

struct allocation *peer_conn_allocation(const struct turn *turn, uint32_t number)
{
    const struct peer_conn *conn = find(turn, number);
    return conn ? conn->allocation : NULL;
}

// ---- end ----

static void forget(struct turn *turn, struct peer_conn *conn)
{
    struct allocation *a = conn->allocation;
    struct peer_conn **at = &a->peer_conn;
    while (*at != conn)
        at = &(*at)->next;
    *at = conn->next;
    a->peer_conns--;
    counter_add(turn->counters, COUNTER_TURN_PEER_CONNECTIONS, (uint64_t)-1);
    map_remove(&turn->peer_conns, &conn->node);
    timer_cancel(&turn->timers, &conn->timer);
    free(conn);
}

static void drop_conn(struct turn *turn, struct peer_conn *conn)
{
    struct allocation *a = conn->allocation;
    void *handle = conn->handle;
    forget(turn, conn);
    struct turn_bytes passed = turn->io.tcp.drop(turn->io.tcp.ctx, handle);
    a->bytes_in += passed.in;
    a->bytes_out += passed.out;
}

void peer_conn_drop_all(struct turn *turn, struct allocation *a)
{
    while (a->peer_conn)
        drop_conn(turn, a->peer_conn);
}

void peer_conn_drop_family(struct turn *turn, struct allocation *a, enum family family)
{
    for (struct peer_conn *conn = a->peer_conn, *next; conn; conn = next) {
        next = conn->next;
        if (conn->peer.family == family)
            drop_conn(turn, conn);
    }
}

static void answer_connect(struct turn *turn, const struct peer_conn *conn, int code, usec_t now)
{
    request_answer_later(turn, &conn->allocation->at.client, &conn->connect, code, conn->number,
                         now);
}

static void timer_fired(struct timer *timer, void *ctx, usec_t now)
{
    struct turn *turn = ctx;
    struct peer_conn *conn = container_of(timer, struct peer_conn, timer);
    // RFC 6062 section 5.2: "If the connection attempt fails or times out, the server MUST return a
    // 447 (Connection Timeout or Failure) error."
    if (conn->state == PEER_CONNECTING)
        answer_connect(turn, conn, 447, now);
    // Also section 5.3: "If no ConnectionBind request associated with this peer data connection is
    // received after 30 seconds, the peer data connection MUST be closed."
    drop_conn(turn, conn);
}

// ---- beginning ----

// NULL without memory, or where there are too many.
static struct peer_conn *add(struct turn *turn, struct allocation *a, const struct addr *peer,
                             enum peer_conn_state state, usec_t deadline)
{
    if (a->peer_conns >= turn->config->connections_max)
        return NULL;
    struct peer_conn *conn = calloc(1, sizeof *conn);
    if (!conn)
        return NULL;
    do {
        turn->io.random(turn->io.ctx, &conn->number, sizeof conn->number);
        conn->number = conn->number >> (32 - NUMBER_BITS) | (uint32_t)turn->config->worker
                                                                << NUMBER_BITS;
    } while (conn->number == 0 || find(turn, conn->number));
    conn->allocation = a;
    conn->peer = *peer;
    conn->state = (uint8_t)state;
    conn->timer.fire = timer_fired;
    if (timer_arm(&turn->timers, &conn->timer, deadline) < 0)
        goto no_memory;
    if (map_insert(&turn->peer_conns, &conn->node, number_hash(turn, conn->number)) < 0) {
        timer_cancel(&turn->timers, &conn->timer);
        goto no_memory;
    }
    conn->next = a->peer_conn;
    a->peer_conn = conn;
    a->peer_conns++;
    counter_add(turn->counters, COUNTER_TURN_PEER_CONNECTIONS, 1);
    return conn;
no_memory:
    free(conn);
    return NULL;
}

// RFC 6062 section 5.2; what may fail without the world comes first.
static int check_connect(const struct request *r, struct addr *ret_peer)
{
    const struct allocation *a = r->allocation;
    if (!a->tcp)
        return 437;
    if (stun_addr(r->msg, STUN_XOR_PEER_ADDRESS, ret_peer) < 0 || ret_peer->port == 0)
        return 400;
    if (find_peer(a, ret_peer))
        return 446;
    return peer_check(r, ret_peer);
}

int handle_connect(struct request *r)
{
    struct addr peer;
    struct turn *turn = r->turn;
    struct allocation *a = r->allocation;
    int code = check_connect(r, &peer);
    if (code != 0)
        return code;
    struct peer_conn *conn = add(turn, a, &peer, PEER_CONNECTING, r->now + CONNECT_TIME);
    if (!conn)
        return 508;
    request_keep(r, &conn->connect);
    int rc = turn->io.tcp.connect(turn->io.tcp.ctx, a->port[family_index(&peer)].handle, &peer,
                                  conn->number, &conn->handle);
    if (rc < 0) {
        forget(turn, conn);
        return 447;
    }
    return NO_ANSWER;
}

void turn_peer_connected(struct turn *turn, uint32_t number, int error, usec_t now)
{
    struct peer_conn *conn = find(turn, number);
    if (!conn || conn->state != PEER_CONNECTING)
        return;
    answer_connect(turn, conn, error ? 447 : 0, now);
    if (error) {
        drop_conn(turn, conn);
        return;
    }
    conn->state = PEER_WAITING;
    (void)timer_arm(&turn->timers, &conn->timer, now + CONNECTION_WAIT); // armed: cannot fail
}

static void announce(struct turn *turn, const struct peer_conn *conn)
{
    uint8_t buf[STUN_HEADER_LEN + 24 + 8], txid[STUN_TXID_LEN];
    turn->io.random(turn->io.ctx, txid, sizeof txid);
    struct writer w = stun_begin(buf, sizeof buf, STUN_INDICATION, STUN_CONNECTION_ATTEMPT, txid);
    stun_put_addr(&w, STUN_XOR_PEER_ADDRESS, &conn->peer);
    stun_put_u32(&w, STUN_CONNECTION_ID, conn->number);
    int len = stun_finish(&w, NULL, 0, false);
    if (len > 0)
        send_to_client(turn, &conn->allocation->at.client, buf, (size_t)len);
}

uint32_t turn_peer_accepted(struct turn *turn, void *owner, void *handle, void *conn,
                            const struct addr *peer, usec_t now)
{
    struct allocation *a = owner;
    const struct relayed *port = &a->port[family_index(peer)];
    struct peer_conn *added = NULL;
    // Section 5.3: "If no permission for this peer has been installed for this allocation, the
    // server MUST close the connection with the peer immediately after it has been accepted."
    if (!a->dead && relayed_live(port) && port->handle == handle && permission_find(a, peer, now) &&
        turn->io.peer_allowed(turn->io.ctx, peer))
        added = add(turn, a, peer, PEER_WAITING, now + CONNECTION_WAIT);
    if (!added) {
        count(turn, COUNTER_TURN_PEER_CONNECTIONS_REFUSED);
        return 0;
    }
    added->handle = conn;
    announce(turn, added);
    return added->number;
}

// ---- joining ----

int handle_connection_bind(struct request *r)
{
    struct turn *turn = r->turn;
    // Section 5.4.
    if (r->client->transport != TURN_TCP && r->client->transport != TURN_TLS)
        return 400;
    if (!stun_has(r->msg, STUN_CONNECTION_ID))
        return 400;
    if (r->binding)
        return 437; // a control connection
    uint32_t number = stun_u32(r->msg, STUN_CONNECTION_ID);
    unsigned worker = turn_peer_worker(number);
    if (worker != turn->config->worker && worker < turn->config->workers) {
        r->forward->worker = worker;
        r->forward->serial = 0;
        r->forward->pause = true;
        return HANDED_OVER;
    }
    struct peer_conn *conn = find(turn, number);
    if (!conn || conn->state != PEER_WAITING)
        return 400;
    // Section 4.3: "the same method and credentials as for the control connection".
    if (!request_same_user(r, conn->allocation))
        return 441;
    r->join = conn;
    return 0;
}

void peer_conn_join(struct turn *turn, struct peer_conn *conn, const struct turn_client *client,
                    const uint8_t *answer, size_t len)
{
    struct allocation *a = conn->allocation;
    conn->state = PEER_JOINED;
    timer_cancel(&turn->timers, &conn->timer);
    if (a->group == 0)
        turn->io.random(turn->io.ctx, &a->group, sizeof a->group);
    turn->io.tcp.join(turn->io.tcp.ctx, conn->handle, client, a->group, answer, len);
}

void turn_peer_ended(struct turn *turn, uint32_t number, uint64_t bytes_in, uint64_t bytes_out,
                     usec_t now)
{
    struct peer_conn *conn = find(turn, number);
    if (!conn)
        return;
    conn->allocation->bytes_in += bytes_in;
    conn->allocation->bytes_out += bytes_out;
    if (conn->state == PEER_CONNECTING)
        answer_connect(turn, conn, 447, now);
    drop_conn(turn, conn);
}
