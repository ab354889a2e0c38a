// SPDX-License-Identifier: ISC
// Clients of the TURN server: their datagrams and connections, what is sent to them, and the
// letters by which workers pass on what belongs to another one.

#include "turn_worker_internal.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#define DTLS_FIRST 20 // RFC 7983: the first byte of a DTLS record
#define DTLS_LAST  63

#define STUN_RESPONSE_FIRST 0x01 // RFC 8489 section 5: of all methods there are

static_assert((int)UDP_HEADROOM >= (int)TURN_HEADROOM &&
                  (int)STREAM_HEADROOM >= (int)TURN_HEADROOM &&
                  (int)DTLS_HEADROOM >= (int)TURN_HEADROOM,
              "a Data indication is written before its data");

struct udp_socket *listener_of_link(const struct turn_worker *w, const void *link)
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

struct stream_conn *stream_of_link(const struct turn_worker *w, const void *link)
{
    const struct turn_conn *conn = turn_link_conn(&w->links, link);

    return conn && conn->transport != TURN_DTLS ? conn->conn : NULL;
}

// The request is no longer needed when it is answered; what the answer is longer begins before it.
static bool answers_with_burst(struct turn_worker *w, const struct turn_client *client,
                               const uint8_t *data, size_t len)
{
    struct answering *a = &w->answering;
    size_t before = len > a->room ? len - a->room : 0;

    if (!a->client || a->answer || before > UDP_HEADROOM || client->link != a->client->link ||
        !addr_equal(&client->remote, &a->client->remote))
        return false;
    a->answer = a->data - before;
    a->len = len;
    memcpy(a->answer, data, len);
    return true;
}

int client_send(void *ctx, const struct turn_client *client, const uint8_t *data, size_t len)
{
    struct turn_worker *w = ctx;
    unsigned home;

    if (client->transport == TURN_UDP && answers_with_burst(w, client, data, len))
        return 0;
    if (client->transport == TURN_UDP)
        return udp_send(listener_of_link(w, client->link), &client->remote, data, len, 0);
    home = turn_link_worker(client->link);
    if (home == w->config.number)
        return send_to_conn(w, client, data, len);
    post(w, home, &(struct turn_letter){.kind = TURN_LETTER_ANSWER, .client = *client}, data, len);
    return 0;
}

static void count(struct turn_worker *w, enum counter id)
{
    counter_add(w->config.counters, id, 1);
}

void client_sent(struct turn_worker *w, int result)
{
    if (result < 0 && result != -ENOBUFS) // the queue has counted that
        count(w, COUNTER_TURN_DROP_SEND_ERROR);
}

// ---- from clients

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

static struct udp_socket *answer(const struct turn_worker *w, const struct turn_client *client,
                                 struct udp_datagram *datagram, struct addr *ret_to)
{
    *datagram = (struct udp_datagram){.data = w->answering.answer,
                                      .len = w->answering.len,
                                      .from = datagram->from,
                                      .unsent = COUNTER_TURN_DROP_SEND_ERROR};
    *ret_to = client->remote;
    return listener_of_link(w, client->link);
}

struct udp_socket *client_datagram(void *ctx, void *owner, struct udp_datagram *datagram,
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
    w->answering = (struct answering){
        .client = &client, .data = datagram->data, .room = datagram->len + UDP_TAILROOM};
    out = client_message(w, &client, &packet, ret_to);
    w->answering.client = NULL;
    if (w->answering.answer && !out)
        return answer(w, &client, datagram, ret_to);
    datagram->data = packet.data;
    datagram->len = packet.len;
    datagram->dont_fragment = packet.dont_fragment;
    datagram->unsent = COUNTER_TURN_DROP_SEND_ERROR;
    return out;
}

static void trust(const struct turn_conn *place)
{
    if (place->transport == TURN_DTLS)
        dtls_trusted(place->conn);
    else
        stream_trusted(place->conn);
}

static void distrust(const struct turn_conn *place, usec_t now)
{
    if (place->transport == TURN_DTLS)
        dtls_stranger(place->conn, now);
    else
        stream_stranger(place->conn);
}

// Who has an allocation may keep his connection, and for no longer: one that was given up would
// leave a place taken that cost nothing.
static void judge(struct turn_worker *w, struct turn_conn *place, const struct turn_client *client)
{
    bool known = turn_client_known(w->turn, client);

    if (place->trusted == known)
        return;
    place->trusted = known;
    if (known)
        trust(place);
    else
        distrust(place, w->now);
}

// One message of a connection; 'user' is the link that it was given at its first message, or NULL.
static void *conn_message(struct turn_worker *w, void *user, void *conn,
                          const struct turn_client *address, uint8_t *data, size_t len)
{
    struct turn_client client = *address;
    struct turn_packet packet = {.data = data, .len = len};
    struct turn_conn *place;

    client.link = user ? user : turn_link_add(&w->links, conn, client.transport);
    if (!client.link)
        return NULL;
    client_message_send(w, &client, &packet);
    place = turn_link_conn(&w->links, client.link);
    if (place) // else it has become one of bytes
        judge(w, place, &client);
    return client.link;
}

static struct turn_client client_of_stream(const struct stream_conn *conn)
{
    return (struct turn_client){.transport = stream_is_tls(conn) ? TURN_TLS : TURN_TCP,
                                .remote = *stream_remote(conn),
                                .local = *stream_local(conn)};
}

static struct turn_client client_of_session(const struct dtls_session *session)
{
    return (struct turn_client){
        .transport = TURN_DTLS, .remote = *dtls_remote(session), .local = *dtls_local(session)};
}

// Where a guest's allocation ends, or is left for another address, is not here.
static void ask_host(struct turn_worker *w, const struct turn_client *client)
{
    struct turn_letter what = {.kind = TURN_LETTER_ASK, .client = *client};
    unsigned host;

    if (turn_client_host(w->turn, client, &host, &what.serial))
        post(w, host, &what, NULL, 0);
}

usec_t clients_review(struct turn_worker *w, usec_t now)
{
    usec_t period = w->server->streams.trust_time;

    if (w->links.conns == 0)
        return USEC_NEVER;
    if (now < w->reviewed + period)
        return w->reviewed + period;
    for (uint32_t i = 0; i < w->links.conns; i++) {
        struct turn_conn *place = &w->links.conn[i];
        struct turn_client client;

        if (!place->conn || !place->trusted)
            continue;
        client = place->transport == TURN_DTLS ? client_of_session(place->conn)
                                               : client_of_stream(place->conn);
        judge(w, place, &client);
        ask_host(w, &client);
    }
    w->reviewed = now;
    return now + period;
}

static void on_stream_message(void *ctx, struct stream_conn *conn, struct stream_message *message,
                              usec_t now)
{
    struct turn_worker *w = ctx;
    const struct turn_client client = client_of_stream(conn);
    void *link;

    w->now = now;
    link = conn_message(w, stream_user(conn), conn, &client, message->data, message->len);
    stream_set_user(conn, link);
    if (!link)
        stream_close(conn); // no memory
    w->config.changed(w->config.ctx, now);
}

static void on_dtls_message(void *ctx, struct dtls_session *session, struct dtls_message *message,
                            usec_t now)
{
    struct turn_worker *w = ctx;
    const struct turn_client client = client_of_session(session);
    void *link;

    w->now = now;
    link = conn_message(w, dtls_user(session), session, &client, message->data, message->len);
    dtls_set_user(session, link);
    if (!link)
        dtls_close(session);
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
    struct turn_client client = client_of_stream(conn);

    conn_gone(w, &client, stream_user(conn), now);
    w->config.changed(w->config.ctx, now);
}

static void on_dtls_gone(void *ctx, struct dtls_session *session, usec_t now)
{
    struct turn_client client = client_of_session(session);

    conn_gone(ctx, &client, dtls_user(session), now);
}

static void on_dtls_send(void *ctx, void *link, const struct addr *to, const uint8_t *data,
                         size_t len)
{
    (void)udp_send(listener_of_link(ctx, link), to, data, len, 0);
}

// To a connection of this worker. It may have gone meanwhile; an answer is then missed by nobody.
static void take_answer(struct turn_worker *w, const struct turn_letter *letter,
                        const struct turn_packet *packet)
{
    struct stream_conn *stream = stream_of_link(w, letter->client.link);
    int r = send_to_conn(w, &letter->client, packet->data, packet->len);

    if (packet->data[0] != STUN_RESPONSE_FIRST)
        client_sent(w, r);
    if (stream)
        stream_resume(stream);
}

// A guest that got nothing here is none: else it would keep a place on that worker for an hour.
static void take_message(struct turn_worker *w, const struct turn_letter *letter,
                         struct turn_packet *packet)
{
    const struct turn_letter back = {
        .kind = TURN_LETTER_BACK, .serial = letter->serial, .client = letter->client};

    w->letter = letter;
    if (packet->data)
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
    case TURN_LETTER_ASK:
        take_message(w, letter, &packet);
        break;
    case TURN_LETTER_BACK:
        if (turn_client_back(w->turn, &letter->client, letter->serial) && packet.data)
            client_message_send(w, &letter->client, &packet);
        break;
    case TURN_LETTER_ANSWER:
        take_answer(w, letter, &packet);
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

struct stream_handler client_streams(struct turn_worker *w)
{
    return (struct stream_handler){w, on_stream_message, on_stream_gone};
}

struct dtls_handler client_dtls(struct turn_worker *w)
{
    return (struct dtls_handler){w, on_dtls_send, on_dtls_message, on_dtls_gone};
}
