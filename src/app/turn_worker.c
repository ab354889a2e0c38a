// SPDX-License-Identifier: ISC
// The world around a TURN core; see turn_worker.h.
#include "turn_worker.h"

#include "base/log.h"
#include "platform/probe.h"
#include "turn_link.h"
#include "turn_relayed.h"
#include "turn_tcp.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#define CLOCK_EVERY USEC_PER_SEC
#define DTLS_FIRST  20 // RFC 7983: the first byte of a DTLS record
#define DTLS_LAST   63

static_assert((int)UDP_HEADROOM >= (int)TURN_HEADROOM &&
                  (int)STREAM_HEADROOM >= (int)TURN_HEADROOM &&
                  (int)DTLS_HEADROOM >= (int)TURN_HEADROOM,
              "a Data indication is written before its data");

struct listener {
    struct turn_worker *worker;
    unsigned number;
    struct udp_socket *socket;
    bool shared; // ICE paths of this worker use it too
};

struct turn_worker {
    struct turn_worker_config config;
    const struct turn_server *server;
    struct turn_config turn_config; // the server's, with this worker's number
    struct udp_reader listener_reader, relayed_reader;
    struct listener listener[TURN_LISTENERS_MAX];
    struct turn *turn;
    struct turn_tcp *tcp; // NULL: no TCP allocations
    struct streams *streams;
    struct dtls *dtls;
    struct turn_links links;
    struct relayed_ports ports;
    usec_t clock_set;
    usec_t now; // of the call that is running
    // The message of another worker that is being taken; NULL: what runs is this one's own, or has
    // been sent back.
    const struct turn_letter *letter;
};

static struct udp_socket *listener_of_link(const struct turn_worker *w, const void *link)
{
    return w->listener[turn_link_listener_number(link)].socket;
}

// ---- letters

// 'what' says what kind of letter it is, about which client, and the message's serial.
static void post(struct turn_worker *w, unsigned to, const struct turn_letter *what,
                 const uint8_t *data, size_t len)
{
    struct turn_letter letter = *what;

    letter.from = w->config.number;
    if (data && turn_letter_set_data(&letter, data, len) < 0)
        return; // as if it had been lost on the way
    w->config.post(w->config.ctx, to, &letter);
}

// ---- to clients

static int send_to_conn(struct turn_worker *w, const struct turn_client *client,
                        const uint8_t *data, size_t len)
{
    const struct turn_conn *conn = turn_link_conn(&w->links, client->link);

    if (!conn)
        return -EPIPE;
    return conn->transport == TURN_DTLS ? dtls_send(conn->conn, data, len)
                                        : stream_send(conn->conn, data, len);
}

// NULL: it is gone, or no stream.
static struct stream_conn *stream_of_link(const struct turn_worker *w, const void *link)
{
    const struct turn_conn *conn = turn_link_conn(&w->links, link);

    return conn && conn->transport != TURN_DTLS ? conn->conn : NULL;
}

static int io_send_client(void *ctx, const struct turn_client *client, const uint8_t *data,
                          size_t len)
{
    struct turn_worker *w = ctx;
    unsigned home;

    if (client->transport == TURN_UDP)
        return udp_send(listener_of_link(w, client->link), &client->remote, data, len, 0);
    home = turn_link_worker(client->link);
    if (home == w->config.number)
        return send_to_conn(w, client, data, len);
    post(w, home, &(struct turn_letter){.kind = TURN_LETTER_ANSWER, .client = *client}, data, len);
    return 0;
}

// ---- relayed ports

static int io_open(void *ctx, enum family family, enum port_parity parity, void *owner,
                   struct turn_port ret_port[2])
{
    struct turn_worker *w = ctx;
    struct relayed *relayed[2];
    int r = relayed_open(&w->ports, family, parity, owner, relayed, w->now);

    if (r < 0)
        return r;
    for (int i = 0; i < (parity == PORT_PAIR ? 2 : 1); i++)
        ret_port[i] = (struct turn_port){relayed[i], relayed[i]->port.advertise};
    return 0;
}

static void io_set_owner(void *ctx, void *handle, void *owner)
{
    struct relayed *relayed = handle;

    (void)ctx;
    relayed->owner = owner;
}

static void io_close(void *ctx, void *handle)
{
    struct turn_worker *w = ctx;

    relayed_close(&w->ports, handle, w->now);
}

// ---- the rest of what the core asks for

static void io_random(void *ctx, void *buf, size_t len)
{
    (void)ctx;
    if (getrandom(buf, len, 0) != (ssize_t)len) // never short up to 256 bytes
        abort();
}

static bool io_peer_allowed(void *ctx, const struct addr *peer)
{
    const struct turn_worker *w = ctx;

    return peers_allowed(w->server->peers, peer);
}

static enum turn_refusal io_charge(void *ctx, const char *identity)
{
    const struct turn_worker *w = ctx;

    return quota_charge(w->server->quota, identity);
}

static void io_release(void *ctx, const char *identity)
{
    const struct turn_worker *w = ctx;

    quota_release(w->server->quota, identity);
}

// ---- from clients

static void count(struct turn_worker *w, enum counter id)
{
    counter_add(w->config.counters, id, 1);
}

// A message goes from one worker to another once. If that other one would hand it on too, it takes
// the client for no guest, and sends it back: two workers that each take it for a guest of the
// other's would never be done with it.
static void hand_over(struct turn_worker *w, const struct turn_forward *forward,
                      const struct turn_client *client, const struct turn_packet *packet)
{
    struct turn_letter what = {
        .kind = TURN_LETTER_MESSAGE, .serial = forward->serial, .client = *client};
    unsigned to = forward->worker;

    if (w->letter) {
        (void)turn_client_back(w->turn, client, forward->serial);
        what.kind = TURN_LETTER_BACK;
        what.serial = w->letter->serial;
        to = w->letter->from;
        w->letter = NULL;
    } else if (forward->pause) {
        stream_pause(stream_of_link(w, client->link));
    }
    post(w, to, &what, packet->data, packet->len);
}

// What the core decided about a client's message, but for where a burst could take it along.
// Returns the socket that 'packet' leaves from, or NULL when there is nothing to send.
static struct udp_socket *client_message(struct turn_worker *w, const struct turn_client *client,
                                         struct turn_packet *packet, struct addr *ret_to)
{
    struct turn_forward forward;

    switch (turn_client_recv(w->turn, client, packet, &forward, w->now)) {
    case TURN_TO_PEER:
        *ret_to = forward.to;
        if (peers_route(w->server->peers, PEERS_UDP, ret_to))
            return ((struct relayed *)forward.handle)->socket;
        count(w, COUNTER_TURN_DROP_SEND_ERROR);
        return NULL;
    case TURN_TO_WORKER:
        hand_over(w, &forward, client, packet);
        return NULL;
    case TURN_TO_CLIENT:
    case TURN_CONSUME:
        break;
    }
    return NULL;
}

// Outside of a burst of UDP: sends at once.
static void client_message_send(struct turn_worker *w, const struct turn_client *client,
                                struct turn_packet *packet)
{
    struct addr to;
    struct udp_socket *socket = client_message(w, client, packet, &to);
    int r = 0;

    if (socket)
        r = packet->dont_fragment ? udp_send_whole(socket, &to, packet->data, packet->len, 0)
                                  : udp_send(socket, &to, packet->data, packet->len, 0);
    if (r < 0)
        count(w, COUNTER_TURN_DROP_SEND_ERROR);
}

// What comes to a port that ICE paths use too, but for TURN over DTLS. True: 'ret_out' says where
// it leaves from, NULL nowhere.
static bool take_for_paths(struct turn_worker *w, const struct udp_datagram *datagram,
                           struct addr *ret_to, struct udp_socket **ret_out, usec_t now)
{
    const struct packet packet = {
        .data = datagram->data, .len = datagram->len, .tos = datagram->tos};
    struct forward forward = {0};
    enum verdict verdict =
        relay_recv_shared(w->config.relay, &datagram->from, &packet, &forward, now);

    if (verdict == VERDICT_FORWARD)
        *ret_to = forward.to;
    *ret_out = forward.socket;
    return verdict != VERDICT_ELSEWHERE;
}

static struct udp_socket *on_listener(void *ctx, void *owner, struct udp_datagram *datagram,
                                      struct addr *ret_to, usec_t now)
{
    struct turn_worker *w = ctx;
    const struct listener *listener = owner;
    const struct addr *local = &w->server->listener[listener->number];
    const struct turn_client client = {turn_link_listener(listener->number), TURN_UDP,
                                       datagram->from, *local};
    struct turn_packet packet = {.data = datagram->data, .len = datagram->len};
    struct udp_socket *out;
    bool dtls = w->dtls && datagram->len > 0 && datagram->data[0] >= DTLS_FIRST &&
                datagram->data[0] <= DTLS_LAST;

    w->now = now;
    if (listener->shared && !(dtls && dtls_knows(w->dtls, &datagram->from, local)) &&
        take_for_paths(w, datagram, ret_to, &out, now))
        return out;
    // The peer of an allocation may be a path, but never this server: that would go round for ever.
    if (peers_is_port(w->server->peers, PEERS_UDP, &datagram->from))
        return NULL;
    if (dtls) {
        dtls_recv(w->dtls, client.link, &datagram->from, local, datagram->data, datagram->len, now);
        return NULL;
    }
    out = client_message(w, &client, &packet, ret_to);
    datagram->data = packet.data;
    datagram->len = packet.len;
    datagram->dont_fragment = packet.dont_fragment;
    return out;
}

// One message of a connection; 'user' is the link that it was given at its first message, or NULL.
static void *conn_message(struct turn_worker *w, void *user, void *conn,
                          const struct turn_client *address, uint8_t *data, size_t len)
{
    struct turn_client client = *address;
    struct turn_packet packet = {.data = data, .len = len};

    client.link = user ? user : turn_link_add(&w->links, conn, client.transport);
    if (client.link)
        client_message_send(w, &client, &packet);
    return client.link;
}

// An authentic client may keep its connection. True the first time.
static bool newly_trusted(struct turn_worker *w, const struct turn_client *client)
{
    struct turn_conn *conn = turn_link_conn(&w->links, client->link);

    if (!conn || conn->trusted || !turn_client_known(w->turn, client))
        return false;
    conn->trusted = true;
    return true;
}

static void on_stream_message(void *ctx, struct stream_conn *conn, struct stream_message *message,
                              usec_t now)
{
    struct turn_worker *w = ctx;
    struct turn_client client = {.transport = stream_is_tls(conn) ? TURN_TLS : TURN_TCP,
                                 .remote = *stream_remote(conn),
                                 .local = *stream_local(conn)};

    w->now = now;
    client.link = conn_message(w, stream_user(conn), conn, &client, message->data, message->len);
    stream_set_user(conn, client.link);
    if (!client.link)
        stream_close(conn); // no memory
    else if (newly_trusted(w, &client))
        stream_trusted(conn);
    w->config.changed(w->config.ctx, now);
}

static void on_dtls_message(void *ctx, struct dtls_session *session, struct dtls_message *message,
                            usec_t now)
{
    struct turn_worker *w = ctx;
    struct turn_client client = {
        .transport = TURN_DTLS, .remote = *dtls_remote(session), .local = *dtls_local(session)};

    w->now = now;
    client.link =
        conn_message(w, dtls_user(session), session, &client, message->data, message->len);
    dtls_set_user(session, client.link);
    if (!client.link)
        dtls_close(session);
    else if (newly_trusted(w, &client))
        dtls_trusted(session);
}

static void conn_gone(struct turn_worker *w, struct turn_client *client, void *link, usec_t now)
{
    unsigned other;

    if (!link)
        return;
    client->link = link;
    w->now = now;
    other = turn_client_gone(w->turn, client, now);
    if (other != w->config.number)
        post(w, other, &(struct turn_letter){.kind = TURN_LETTER_GONE, .client = *client}, NULL, 0);
    turn_link_remove(&w->links, link);
}

static void on_stream_gone(void *ctx, struct stream_conn *conn, usec_t now)
{
    struct turn_worker *w = ctx;
    struct turn_client client = {.transport = stream_is_tls(conn) ? TURN_TLS : TURN_TCP,
                                 .remote = *stream_remote(conn),
                                 .local = *stream_local(conn)};

    conn_gone(w, &client, stream_user(conn), now);
    w->config.changed(w->config.ctx, now);
}

static void on_dtls_gone(void *ctx, struct dtls_session *session, usec_t now)
{
    struct turn_client client = {
        .transport = TURN_DTLS, .remote = *dtls_remote(session), .local = *dtls_local(session)};

    conn_gone(ctx, &client, dtls_user(session), now);
}

static void on_dtls_send(void *ctx, void *link, const struct addr *to, const uint8_t *data,
                         size_t len)
{
    (void)udp_send(listener_of_link(ctx, link), to, data, len, 0);
}

// A guest that got nothing here is none: else it would keep a place on that worker for an hour.
static void take_message(struct turn_worker *w, const struct turn_letter *letter,
                         struct turn_packet *packet)
{
    const struct turn_letter back = {
        .kind = TURN_LETTER_BACK, .serial = letter->serial, .client = letter->client};

    w->letter = letter;
    client_message_send(w, &letter->client, packet);
    if (w->letter && !turn_client_known(w->turn, &letter->client))
        post(w, letter->from, &back, NULL, 0);
    w->letter = NULL;
}

void turn_worker_take(struct turn_worker *w, struct turn_letter *letter, usec_t now)
{
    struct turn_packet packet = {.data = turn_letter_data(letter), .len = letter->len};

    w->now = now;
    switch (letter->kind) {
    case TURN_LETTER_MESSAGE:
        take_message(w, letter, &packet);
        break;
    case TURN_LETTER_BACK:
        if (turn_client_back(w->turn, &letter->client, letter->serial) && packet.data)
            client_message_send(w, &letter->client, &packet);
        break;
    case TURN_LETTER_ANSWER:
        (void)send_to_conn(w, &letter->client, packet.data, packet.len);
        if (stream_of_link(w, letter->client.link))
            stream_resume(stream_of_link(w, letter->client.link));
        break;
    case TURN_LETTER_GONE:
        (void)turn_client_gone(w->turn, &letter->client, now);
        break;
    case TURN_LETTER_PEER_JOIN:
    case TURN_LETTER_PEER_PART:
    case TURN_LETTER_PEER_ENDED:
        turn_tcp_take(w->tcp, letter, now);
        return;
    }
    turn_letter_free(letter);
}

// ---- from peers

static struct udp_socket *on_relayed(void *ctx, void *owner, struct udp_datagram *datagram,
                                     struct addr *ret_to, usec_t now)
{
    struct turn_worker *w = ctx;
    struct relayed *relayed = owner;
    struct addr from = peers_sender(w->server->peers, &datagram->from);
    struct turn_packet packet = {.data = datagram->data, .len = datagram->len};
    struct turn_forward forward;

    w->now = now;
    if (turn_peer_recv(w->turn, relayed->owner, relayed, &from, &packet, &forward, now) !=
        TURN_TO_CLIENT)
        return NULL;
    if (forward.client.transport != TURN_UDP) {
        (void)io_send_client(w, &forward.client, packet.data, packet.len);
        return NULL;
    }
    datagram->data = packet.data;
    datagram->len = packet.len;
    *ret_to = forward.client.remote;
    return listener_of_link(w, forward.client.link);
}

static void on_relayed_icmp(void *ctx, void *owner, const struct udp_icmp *icmp, usec_t now)
{
    struct turn_worker *w = ctx;
    const struct relayed *relayed = owner;
    struct addr peer = peers_sender(w->server->peers, &icmp->to);

    w->now = now;
    turn_peer_icmp(w->turn, relayed->owner, &peer, icmp->type, icmp->code, icmp->mtu, now);
}

// ---- life

static void set_clock(struct turn_worker *w, usec_t now)
{
    struct timespec wall;

    if (now < w->clock_set + CLOCK_EVERY && w->clock_set != 0)
        return;
    clock_gettime(CLOCK_REALTIME, &wall);
    turn_set_clock(w->turn, (int64_t)wall.tv_sec * (int64_t)USEC_PER_SEC + wall.tv_nsec / 1000 -
                                (int64_t)usec_now());
    w->clock_set = now;
}

struct udp_socket *turn_worker_share(struct turn_worker *w, const struct addr *addr)
{
    for (unsigned i = 0; i < w->server->listeners; i++) {
        if (!addr_equal(&w->server->listener[i], addr))
            continue;
        w->listener[i].shared = true;
        return w->listener[i].socket;
    }
    return NULL;
}

usec_t turn_worker_tick(struct turn_worker *w, usec_t now)
{
    usec_t next, dtls = USEC_NEVER;

    w->now = now;
    set_clock(w, now);
    if (w->dtls)
        dtls = dtls_tick(w->dtls, now);
    next = turn_tick(w->turn, now);
    return dtls < next ? dtls : next;
}

void turn_worker_list(const struct turn_worker *w,
                      void (*each)(void *ctx, const struct turn_view *view), void *ctx, usec_t now)
{
    turn_list(w->turn, each, ctx, now);
}

// The workers share their listeners, and must not share them with another program: the first one
// looks.
static int listen_udp(struct turn_worker *w, const struct addr *addr, struct listener *listener)
{
    int r = w->config.number == 0 ? probe_udp(addr) : 0;

    return r < 0
               ? r
               : udp_listen(w->config.udp, addr, &w->listener_reader, listener, &listener->socket);
}

static int listen_tcp(struct turn_worker *w, const struct addr *addr)
{
    int r = w->config.number == 0 ? probe_tcp(addr) : 0;

    return r < 0 ? r : streams_listen(w->streams, addr);
}

static int listen_on(struct turn_worker *w, unsigned number)
{
    const struct addr *addr = &w->server->listener[number];
    struct listener *listener = &w->listener[number];
    char text[ADDR_TEXT_MAX];
    const char *transport = "UDP";
    int r;

    *listener = (struct listener){.worker = w, .number = number};
    r = listen_udp(w, addr, listener);
    if (r == 0) {
        transport = "TCP";
        r = listen_tcp(w, addr);
    }
    if (r < 0)
        log_err("turn: %s cannot be listened on (%s): %s", addr_format(addr, text), transport,
                strerror(-r));
    else if (w->config.number == 0)
        log_notice("STUN and TURN on %s, UDP and TCP%s", addr_format(addr, text),
                   w->server->tls ? ", TLS and DTLS" : "");
    return r;
}

// ---- TCP allocations

static unsigned worker_of_link(void *ctx, const void *link)
{
    (void)ctx;
    return turn_link_worker(link);
}

static struct stream_conn *take_stream(void *ctx, const void *link)
{
    struct turn_worker *w = ctx;
    struct stream_conn *stream = stream_of_link(w, link);

    if (stream)
        turn_link_remove(&w->links, link);
    return stream;
}

static void post_letter(void *ctx, unsigned worker, struct turn_letter *letter)
{
    struct turn_worker *w = ctx;

    w->config.post(w->config.ctx, worker, letter);
}

static void changed(void *ctx, usec_t now)
{
    struct turn_worker *w = ctx;

    w->config.changed(w->config.ctx, now);
}

static int start_tcp(struct turn_worker *w, struct turn_tcp_io *ret_io)
{
    const struct turn_tcp_config config = {
        .worker = w->config.number,
        .base = w->config.base,
        .relay = w->config.relay,
        .peers = w->server->peers,
        .counters = w->config.counters,
        .bytes_per_second = w->turn_config.bytes_per_second,
        .ctx = w,
        .worker_of = worker_of_link,
        .take_stream = take_stream,
        .post = post_letter,
        .changed = changed,
    };
    int r = turn_tcp_new(&config, &w->tcp);

    if (r == 0)
        *ret_io = turn_tcp_io(w->tcp);
    return r;
}

static int start(struct turn_worker *w)
{
    struct turn_io io = {
        .ctx = w,
        .open = io_open,
        .set_owner = io_set_owner,
        .close = io_close,
        .send_client = io_send_client,
        .random = io_random,
        .peer_allowed = io_peer_allowed,
        .charge = io_charge,
        .release = io_release,
    };
    const struct stream_handler streams = {w, on_stream_message, on_stream_gone};
    const struct dtls_handler dtls = {w, on_dtls_send, on_dtls_message, on_dtls_gone};
    const struct turn_server *server = w->server;
    int r = w->turn_config.tcp_allocations ? start_tcp(w, &io.tcp) : 0;

    if (r == 0)
        r = turn_new(&w->turn_config, &io, w->config.counters, &w->turn);
    if (r == 0 && w->config.offload)
        turn_set_offload(w->turn,
                         &(struct turn_offload){*w->config.offload, &w->ports, relayed_route});
    if (r == 0 && w->tcp)
        turn_tcp_start(w->tcp, w->turn);
    if (r == 0)
        r = streams_new(w->config.base, &server->streams, &streams, w->config.counters,
                        &w->streams);
    if (r == 0 && server->tls)
        r = dtls_new(&server->dtls, &dtls, w->config.counters, &w->dtls);
    for (unsigned i = 0; i < server->listeners && r == 0; i++)
        r = listen_on(w, i);
    return r;
}

int turn_worker_new(const struct turn_worker_config *config, struct turn_worker **ret_worker)
{
    struct turn_worker *w = calloc(1, sizeof *w);
    int r;

    if (!w)
        return -ENOMEM;
    w->config = *config;
    w->server = config->server;
    w->turn_config = config->server->turn;
    w->turn_config.worker = config->number;
    w->listener_reader = (struct udp_reader){.ctx = w, .datagram = on_listener};
    w->relayed_reader =
        (struct udp_reader){.ctx = w, .datagram = on_relayed, .icmp = on_relayed_icmp};
    w->ports = (struct relayed_ports){config->udp, config->relay, config->server->peers,
                                      &w->relayed_reader};
    w->links.worker = config->number;
    w->now = usec_now();
    r = start(w);
    if (r < 0) {
        turn_worker_free(w);
        return r;
    }
    (void)turn_worker_tick(w, w->now);
    *ret_worker = w;
    return 0;
}

void turn_worker_free(struct turn_worker *w)
{
    if (!w)
        return;
    w->now = usec_now();
    streams_free(w->streams);
    dtls_free(w->dtls);
    turn_free(w->turn);
    turn_tcp_free(w->tcp);
    for (unsigned i = 0; i < w->server->listeners; i++)
        udp_close(w->listener[i].socket);
    turn_links_free(&w->links);
    free(w);
}
