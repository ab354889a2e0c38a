// SPDX-License-Identifier: ISC
// A TURN server under a script: the input is a sequence of (what happens, who, length, bytes).
// Bytes come from clients as they are, or as the attributes of a request that the harness signs
// with good credentials, so that chance need not find an HMAC; from peers; connections of peers
// come, succeed, fail and end; and time passes. After
// every step the server's invariants must hold, its ports and charges must add up, and what it lets
// pass must lie in the buffer that it was given.
#include "codec/stun.h"
#include "turn/turn.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CLIENTS 4
#define PORTS   16
#define CONNS   16

struct fuzz {
    struct turn *turn;
    struct counters counters;
    usec_t now;
    void *owner[PORTS];
    bool open[PORTS], tcp[PORTS];
    struct conn {
        bool open, joined;
        uint32_t number;
    } conn[CONNS];
    uint32_t last_number;
    unsigned charges, serial;
    size_t answer_len; // of the last answer
    uint8_t answer[2048];
    uint8_t buf[70000];
};

static void must(bool condition)
{
    if (!condition)
        abort();
}

// ---- the world ----

static struct addr port_addr(unsigned i, enum family family)
{
    uint16_t number = (uint16_t)(50000 + i);
    static const uint8_t six[16] = {0x20, 1, 0x0d, 0xb8, 1};
    return family == FAMILY_V4 ? addr_v4((const uint8_t[]){203, 0, 113, 1}, number)
                               : addr_v6(six, number);
}

static void take(struct fuzz *f, unsigned i, enum family family, void *owner,
                 struct turn_port *ret_port)
{
    f->open[i] = true;
    f->tcp[i] = false;
    f->owner[i] = owner;
    *ret_port = (struct turn_port){.handle = &f->open[i], .relayed = port_addr(i, family)};
}

static int io_open(void *ctx, enum family family, enum port_parity parity, void *owner,
                   struct turn_port ret_port[2])
{
    struct fuzz *f = ctx;
    unsigned step = parity == PORT_ANY ? 1 : 2;
    for (unsigned i = 0; i + 1 < PORTS; i += step) {
        if (f->open[i] || (parity == PORT_PAIR && f->open[i + 1]))
            continue;
        take(f, i, family, owner, &ret_port[0]);
        if (parity == PORT_PAIR)
            take(f, i + 1, family, NULL, &ret_port[1]);
        return 0;
    }
    return -24; // EMFILE
}

static void io_set_owner(void *ctx, void *handle, void *owner)
{
    struct fuzz *f = ctx;
    f->owner[(bool *)handle - f->open] = owner;
}

static void io_close(void *ctx, void *handle)
{
    struct fuzz *f = ctx;
    bool *open = handle;
    must(*open);
    *open = false;
    f->owner[open - f->open] = NULL;
}

static int io_send_client(void *ctx, const struct turn_client *client, const uint8_t *data,
                          size_t len)
{
    struct fuzz *f = ctx;
    struct stun_msg msg;
    must(len <= sizeof f->answer && client->link == f);
    memcpy(f->answer, data, len);
    f->answer_len = len;
    must((len >= 4 && memcmp(data + 4, "\x21\x12\xa4\x42", 4) != 0) ||
         stun_decode(data, len, &msg) == 0);
    return 0;
}

static void io_random(void *ctx, void *buf, size_t len)
{
    struct fuzz *f = ctx;
    uint8_t *out = buf;
    for (size_t i = 0; i < len; i++)
        out[i] = (uint8_t)(++f->serial * 167 >> 3);
}

static bool io_peer_allowed(void *ctx, const struct addr *peer)
{
    (void)ctx;
    return !(peer->family == FAMILY_V4 && peer->ip[0] == 10);
}

static enum turn_refusal io_charge(void *ctx, const char *identity)
{
    struct fuzz *f = ctx;
    must(identity != NULL);
    if (f->charges >= 6)
        return TURN_REFUSED_USER;
    f->charges++;
    return TURN_GRANTED;
}

static void io_release(void *ctx, const char *identity)
{
    struct fuzz *f = ctx;
    must(identity != NULL && f->charges > 0);
    f->charges--;
}

// ---- connections of peers (RFC 6062)

static int io_listen(void *ctx, enum family family, void *owner, struct turn_port *ret_port)
{
    struct fuzz *f = ctx;
    struct turn_port port[2];
    int rc = io_open(ctx, family, PORT_ANY, owner, port);
    if (rc < 0)
        return rc;
    f->tcp[(bool *)port[0].handle - f->open] = true;
    *ret_port = port[0];
    return 0;
}

static struct conn *conn_new(struct fuzz *f)
{
    for (unsigned i = 0; i < CONNS; i++) {
        if (!f->conn[i].open) {
            f->conn[i] = (struct conn){.open = true};
            return &f->conn[i];
        }
    }
    return NULL;
}

static int io_connect(void *ctx, void *handle, const struct addr *peer, uint32_t number,
                      void **ret_conn)
{
    struct fuzz *f = ctx;
    must(*(bool *)handle && f->tcp[(bool *)handle - f->open] && peer->port != 0);
    struct conn *conn = conn_new(f);
    if (!conn)
        return -99; // EADDRNOTAVAIL
    conn->number = f->last_number = number;
    *ret_conn = conn;
    return 0;
}

static void io_join(void *ctx, void *handle, const struct turn_client *client, uint64_t group,
                    const uint8_t *answer, size_t len)
{
    (void)group;
    struct conn *conn = handle;
    must(conn->open && !conn->joined && client->transport == TURN_TCP);
    conn->joined = true;
    must(io_send_client(ctx, client, answer, len) == 0);
}

static struct turn_bytes io_drop(void *ctx, void *handle)
{
    (void)ctx;
    struct conn *conn = handle;
    must(conn->open);
    conn->open = false;
    return (struct turn_bytes){0};
}

static const struct turn_user user = {"u", "p"};
static const struct turn_secret secret = {.text = "secret"};
static const struct turn_config config = {
    .realm = "r",
    .secret = &secret,
    .secrets = 1,
    .user = &user,
    .users = 1,
    .software = "fuzz",
    .nonce_lifetime = 3600 * USEC_PER_SEC,
    .default_lifetime = 600 * USEC_PER_SEC,
    .max_lifetime = 3600 * USEC_PER_SEC,
    .permissions_max = 5,
    .channels_max = 5,
    .connections_max = 5,
    .allocations_max = 10,
    .bytes_per_second = 100000,
    .answers_per_second = 1000,
    .answers_burst = 1000,
    .worker = 1,
    .workers = 2,
    .modern = true,
    .old_stun = true,
    .mobility = true,
    .tcp_allocations = true,
};

static const struct turn_io io = {
    .open = io_open,
    .set_owner = io_set_owner,
    .close = io_close,
    .send_client = io_send_client,
    .random = io_random,
    .peer_allowed = io_peer_allowed,
    .charge = io_charge,
    .release = io_release,
    .tcp = {.listen = io_listen,
            .close = io_close,
            .connect = io_connect,
            .join = io_join,
            .drop = io_drop},
};

// ---- what happens ----

static struct turn_client client_of(struct fuzz *f, unsigned who)
{
    static const enum turn_transport transports[] = {TURN_UDP, TURN_TCP, TURN_DTLS, TURN_UDP,
                                                     TURN_TCP};
    unsigned n = who & 0x80 ? CLIENTS : who % CLIENTS;
    return (struct turn_client){
        .link = f,
        .transport = transports[n],
        .remote = addr_v4((const uint8_t[]){198, 51, 100, 1}, (uint16_t)(1000 + n)),
        .local = addr_v4((const uint8_t[]){203, 0, 113, 1}, 3478),
    };
}

static bool inside(const struct turn_packet *packet, const uint8_t *exact, size_t len)
{
    return packet->data >= exact && packet->data <= exact + TURN_HEADROOM + len + TURN_TAILROOM &&
           packet->len <= (size_t)(exact + TURN_HEADROOM + len + TURN_TAILROOM - packet->data);
}

// In memory of exactly its size and room.
static uint8_t *exact_copy(const uint8_t *data, size_t len)
{
    uint8_t *exact = malloc(TURN_HEADROOM + len + TURN_TAILROOM);
    must(exact != NULL);
    if (len > 0)
        memcpy(exact + TURN_HEADROOM, data, len);
    return exact;
}

static void from_client(struct fuzz *f, unsigned who, const uint8_t *data, size_t len)
{
    struct turn_client client = client_of(f, who);
    struct turn_forward forward;
    uint8_t *exact = exact_copy(data, len);
    struct turn_packet packet = {.data = exact + TURN_HEADROOM, .len = len};
    enum turn_action action = turn_client_recv(f->turn, &client, &packet, &forward, f->now);
    must(action != TURN_TO_CLIENT);
    if (action == TURN_TO_PEER) {
        must(*(bool *)forward.handle && forward.to.port != 0);
        must(inside(&packet, exact, len));
    }
    must(action != TURN_TO_WORKER || forward.worker == 0);
    free(exact);
}

static void from_peer(struct fuzz *f, unsigned who, const uint8_t *data, size_t len)
{
    struct turn_forward forward;
    unsigned port = who % PORTS;
    if (!f->open[port] || f->tcp[port])
        return;
    struct addr from =
        addr_v4((const uint8_t[]){192, 0, 2, (uint8_t)(who >> 4 & 3)}, (uint16_t)(1 + (who >> 6)));
    uint8_t *exact = exact_copy(data, len);
    struct turn_packet packet = {.data = exact + TURN_HEADROOM, .len = len};
    enum turn_action action =
        turn_peer_recv(f->turn, f->owner[port], &f->open[port], &from, &packet, &forward, f->now);
    must(action == TURN_CONSUME || action == TURN_TO_CLIENT);
    if (action == TURN_TO_CLIENT) {
        must(inside(&packet, exact, len));
        memcpy(f->buf, packet.data, packet.len);
    }
    turn_peer_icmp(f->turn, f->owner[port], &from, (uint8_t)(who & 15), 4, 1280, f->now);
    free(exact);
}

// A peer calls, or a connection that there is succeeds, fails or ends. Numbers that are known no
// more are told too.
static void of_connections(struct fuzz *f, unsigned who)
{
    struct addr from =
        addr_v4((const uint8_t[]){192, 0, 2, (uint8_t)(who >> 4 & 3)}, (uint16_t)(1 + (who >> 6)));
    struct conn *conn = &f->conn[who % CONNS];
    unsigned port = who % PORTS;
    if (f->open[port] && f->tcp[port] && (conn = conn_new(f))) {
        conn->number =
            turn_peer_accepted(f->turn, f->owner[port], &f->open[port], conn, &from, f->now);
        conn->open = conn->number != 0;
        f->last_number = conn->number ? conn->number : f->last_number;
    } else if (conn && (who & 0x20)) {
        turn_peer_ended(f->turn, conn->number, 1, 2, f->now);
        must(!conn->open);
    } else if (conn) {
        turn_peer_connected(f->turn, conn->number, who & 0x40 ? -111 : 0, f->now);
    }
}

static struct writer begin(struct fuzz *f, uint16_t method)
{
    uint8_t txid[STUN_TXID_LEN] = {0};
    memcpy(txid, &f->serial, sizeof f->serial);
    f->serial++;
    return stun_begin(f->buf, sizeof f->buf, STUN_REQUEST, method, txid);
}

// A nonce, from the challenge that every stranger gets.
static bool put_nonce(struct fuzz *f, struct writer *w, unsigned who)
{
    uint8_t ask[28];
    struct stun_msg msg;
    struct writer out =
        stun_begin(ask, sizeof ask, STUN_REQUEST, STUN_ALLOCATE, (const uint8_t[STUN_TXID_LEN]){1});
    stun_put_u32(&out, STUN_REQUESTED_TRANSPORT, 17u << 24);
    f->answer_len = 0;
    from_client(f, who, ask, (size_t)stun_finish(&out, NULL, 0, false));
    if (stun_decode(f->answer, f->answer_len, &msg) < 0 || !stun_has(&msg, STUN_NONCE))
        return false;
    stun_put_bytes(w, STUN_NONCE, msg.attr[STUN_NONCE].data, msg.attr[STUN_NONCE].len);
    return true;
}

// The bytes as attributes of a request, with credentials behind them. The ticket or token of the
// last answer stands in for the input's, which could not guess them.
static void signed_request(struct fuzz *f, unsigned who, unsigned method, const uint8_t *data,
                           size_t len)
{
    static const uint16_t methods[] = {STUN_ALLOCATE,     STUN_REFRESH, STUN_CREATE_PERMISSION,
                                       STUN_CHANNEL_BIND, STUN_CONNECT, STUN_CONNECTION_BIND};
    static const uint8_t md5[] = {0x44, 0xad, 0xd2, 0x2b, 0x6f, 0x31, 0x79, 0xb7,
                                  0x51, 0xea, 0xfd, 0x68, 0xee, 0x37, 0x0f, 0x7d};
    struct stun_msg last;
    struct writer w = begin(f, methods[method % 6]);
    bool has_last = stun_decode(f->answer, f->answer_len, &last) == 0;
    if (has_last && (who & 0x10) && stun_has(&last, STUN_MOBILITY_TICKET))
        stun_put_bytes(&w, STUN_MOBILITY_TICKET, last.attr[STUN_MOBILITY_TICKET].data,
                       last.attr[STUN_MOBILITY_TICKET].len);
    if (has_last && (who & 0x20) && stun_has(&last, STUN_RESERVATION_TOKEN))
        stun_put_u64(&w, STUN_RESERVATION_TOKEN, stun_u64(&last, STUN_RESERVATION_TOKEN));
    if ((who & 0x20) && methods[method % 6] == STUN_CONNECTION_BIND)
        stun_put_u32(&w, STUN_CONNECTION_ID, f->last_number);
    write_bytes(&w, data, len & ~(size_t)3);
    stun_put_bytes(&w, STUN_USERNAME, "u", 1);
    stun_put_bytes(&w, STUN_REALM, "r", 1);
    uint8_t *request = malloc(sizeof f->buf);
    must(request != NULL);
    if (put_nonce(f, &w, who)) {
        int n = stun_finish(&w, md5, sizeof md5, who & 0x40);
        memcpy(request, f->buf, sizeof f->buf);
        if (n > 0)
            from_client(f, who, request, (size_t)n);
    }
    free(request);
}

static void note(void *ctx, const struct turn_view *view)
{
    (*(unsigned *)ctx)++;
    must(view->username[0] != '\0' && view->identity[0] != '\0');
}

static void check(struct fuzz *f)
{
    unsigned open = 0, seen = 0;
    turn_tick(f->turn, f->now);
    must(turn_check(f->turn) == NULL);
    for (unsigned i = 0; i < PORTS; i++)
        open += f->open[i];
    turn_list(f->turn, note, &seen, f->now);
    must(open >= seen && (open > 0) == (f->charges > 0));
    must(seen == counter_get(&f->counters, COUNTER_TURN_ALLOCATIONS));
}

static void happen(struct fuzz *f, uint8_t what, uint8_t who, const uint8_t *data, size_t len)
{
    struct turn_client client = client_of(f, who);
    switch (what % 8) {
    case 0:
        from_client(f, who, data, len);
        break;
    case 1:
    case 2:
    case 3:
    case 4:
        signed_request(f, who, what % 8u - 1 + (what % 8u > 2 && (what & 0x40) ? 2 : 0), data, len);
        break;
    case 5:
        if (what & 0x40)
            of_connections(f, who);
        else
            from_peer(f, who, data, len);
        break;
    case 6:
        f->now += (usec_t)who * who * USEC_PER_SEC / 16;
        break;
    default:
        turn_client_gone(f->turn, &client, f->now);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct fuzz f;
    f = (struct fuzz){.now = 1000 * USEC_PER_SEC};
    struct turn_io own = io;
    own.ctx = own.tcp.ctx = &f;
    must(turn_new(&config, &own, &f.counters, &f.turn) == 0);
    turn_set_clock(f.turn, 1700000000 * (int64_t)USEC_PER_SEC);
    struct reader r = reader_over(data, size);
    while (reader_left(&r) > 0) {
        uint8_t what = read_u8(&r), who = read_u8(&r);
        size_t len = read_u16(&r) & 0x7ff;
        if (len > reader_left(&r))
            len = reader_left(&r);
        const uint8_t *bytes = read_bytes(&r, len);
        if (r.failed)
            break;
        happen(&f, what, who, bytes, len);
        check(&f);
    }
    turn_free(f.turn);
    must(f.charges == 0);
    for (unsigned i = 0; i < PORTS; i++)
        must(!f.open[i]);
    for (unsigned i = 0; i < CONNS; i++)
        must(!f.conn[i].open);
    return 0;
}
