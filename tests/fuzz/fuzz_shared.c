// SPDX-License-Identifier: ISC
// One port for the paths of all calls. The input is a sequence of steps, each a byte for what
// happens, one for who does it, one for where it comes from, and one for how much time has passed:
// raw bytes, checks and answers of parties whose names and passwords are alike on purpose, media,
// new names, calls that end and begin. After each step the relay must be in good order, and nothing
// may go to an address that has sent no authentic check.
#include "base/cursor.h"
#include "codec/stun.h"
#include "relay/relay.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define PATHS   6
#define SOURCES 8

struct party {
    char ufrag[8], pwd[8];
};

struct fuzz {
    struct relay *relay;
    struct counters counters;
    uint64_t random;
    struct party party[PATHS][SIDE_COUNT];
    bool proved[SOURCES];
    uint8_t last[200]; // that the relay has sent or forwarded
    size_t last_len;
    unsigned serial;
};

static int shared4, shared6; // two sockets

static void must(bool condition)
{
    if (!condition)
        abort();
}

static struct addr source(unsigned n)
{
    uint8_t ip[16] = {198, 51, 100, (uint8_t)(n / 2)};

    return n % SOURCES == 7 ? addr_v6((const uint8_t[16]){0x20, 1, 0xd, 0xb8, 0, 7}, 7)
                            : addr_v4(ip, (uint16_t)(1000 + n));
}

static void leaves(struct fuzz *f, const struct addr *to, const uint8_t *data, size_t len)
{
    bool known = false;

    for (unsigned i = 0; i < SOURCES; i++) {
        struct addr s = source(i);
        known = known || (f->proved[i] && addr_equal(&s, to));
    }
    must(known);
    f->last_len = len < sizeof(f->last) ? len : 0;
    memcpy(f->last, data, f->last_len);
}

static int do_bind(void *ctx, const struct addr *local, struct port *port, void **ret_socket)
{
    (void)ctx;
    (void)local;
    *ret_socket = port;
    return 0;
}

static void do_unbind(void *ctx, void *socket)
{
    (void)ctx;
    (void)socket;
}

static int do_send(void *ctx, void *socket, const struct addr *to, const uint8_t *data, size_t len,
                   uint8_t tos)
{
    (void)tos;
    must(socket == (to->family == FAMILY_V6 ? &shared6 : &shared4));
    leaves(ctx, to, data, len);
    return 0;
}

static void do_event(void *ctx, const struct relay_event *event)
{
    (void)ctx;
    (void)event;
}

static void do_random(void *ctx, void *buf, size_t len)
{
    struct fuzz *f = ctx;
    uint8_t *p = buf;

    for (size_t i = 0; i < len; i++)
        p[i] =
            (uint8_t)((f->random = f->random * 6364136223846793005u + 1442695040888963407u) >> 56);
}

static void recv_packet(struct fuzz *f, unsigned from_number, uint8_t *data, size_t len, usec_t now)
{
    struct addr from = source(from_number);
    struct packet packet = {.data = data, .len = len};
    struct forward forward;

    if (relay_recv_shared(f->relay, &from, &packet, &forward, now) == VERDICT_FORWARD) {
        must(f->proved[from_number]);
        must(forward.socket == (forward.to.family == FAMILY_V6 ? &shared6 : &shared4));
        leaves(f, &forward.to, data, len);
    }
}

static void credentials(struct fuzz *f, unsigned path, enum side side, unsigned how, usec_t now)
{
    struct party *p = &f->party[path][side];
    struct order order = {
        .kind = ORDER_CREDENTIALS, .call = 1 + path / 2, .path = 1 + path, .side = side};

    // Few names and fewer passwords, so that paths have the same ones.
    snprintf(p->ufrag, sizeof(p->ufrag), "%c%u", side ? 'b' : 'a', how % 3);
    snprintf(p->pwd, sizeof(p->pwd), "%c%u", side ? 'B' : 'A', how % 4);
    memcpy(order.u.credentials.ufrag, p->ufrag, sizeof(p->ufrag));
    memcpy(order.u.credentials.pwd, p->pwd, sizeof(p->pwd));
    relay_order(f->relay, &order, now);
}

static void open_path(struct fuzz *f, unsigned path, usec_t now)
{
    struct order order = {.kind = ORDER_OPEN, .call = 1 + path / 2, .path = 1 + path};

    order.u.open.mode = PATH_ICE;
    order.u.open.component = 1 + path % 2;
    for (unsigned s = 0; s < SIDE_COUNT; s++)
        order.u.open.family_v4[s] = order.u.open.family_v6[s] = true;
    relay_order(f->relay, &order, now);
    for (unsigned s = 0; s < SIDE_COUNT; s++)
        credentials(f, path, s, path / 2, now);
}

static void send_check(struct fuzz *f, unsigned path, enum side side, unsigned from, usec_t now)
{
    const struct party *own = &f->party[path][side], *peer = &f->party[path][1 - side];
    uint8_t buf[200], txid[STUN_TXID_LEN] = {0};
    char username[24];
    int n = snprintf(username, sizeof(username), "%s:%s", peer->ufrag, own->ufrag);

    memcpy(txid, &f->serial, sizeof(f->serial));
    f->serial++;
    struct writer w = stun_begin(buf, sizeof(buf), STUN_REQUEST, STUN_BINDING, txid);
    stun_put_bytes(&w, STUN_USERNAME, username, (size_t)n);
    stun_put_u32(&w, STUN_PRIORITY, 256 - (1 + path % 2));
    if (f->serial % 2)
        stun_put_flag(&w, STUN_USE_CANDIDATE);
    n = stun_finish(&w, peer->pwd, strlen(peer->pwd), true);
    must(n > 0);
    f->proved[from] = true;
    recv_packet(f, from, buf, (size_t)n, now);
}

static void send_answer(struct fuzz *f, unsigned path, enum side side, unsigned from, usec_t now)
{
    const struct party *own = &f->party[path][side];
    uint8_t buf[200];

    if (f->last_len < STUN_HEADER_LEN)
        return;
    struct writer w = stun_begin(buf, sizeof(buf), STUN_SUCCESS, STUN_BINDING, f->last + 8);
    int n = stun_finish(&w, own->pwd, strlen(own->pwd), true);
    must(n > 0);
    recv_packet(f, from, buf, (size_t)n, now);
}

static void step(struct fuzz *f, struct reader *r, usec_t now)
{
    unsigned what = read_u8(r), who = read_u8(r), from = read_u8(r) % SOURCES;
    unsigned path = who / 2 % PATHS;
    enum side side = who % 2 ? SIDE_RESPONDER : SIDE_INITIATOR;
    uint8_t rtp[20] = {0x80, 0, 0, (uint8_t)f->serial++, 0, 0, 0, 0, 1, 2, 3, 4};

    switch (what % 8) {
    case 0: { // bytes
        uint8_t buf[256];
        size_t len = read_u8(r);
        if (len > reader_left(r))
            len = reader_left(r);
        if (len > 0)
            memcpy(buf, read_bytes(r, len), len);
        recv_packet(f, from, buf, len, now);
        break;
    }
    case 1: // what has left comes back, and may be new to a path with the same passwords
        f->proved[from] = true;
        memcpy(rtp, f->last, sizeof(rtp) < f->last_len ? sizeof(rtp) : f->last_len);
        recv_packet(f, from, f->last_len > 0 ? f->last : rtp, f->last_len, now);
        break;
    case 2:
    case 3:
        send_check(f, path, side, from, now);
        break;
    case 4:
        send_answer(f, path, side, from, now);
        break;
    case 5:
        recv_packet(f, from, rtp, sizeof(rtp), now);
        break;
    case 6:
        credentials(f, path, side, what / 8, now);
        break;
    default:
        relay_order(f->relay, &(struct order){.kind = ORDER_CLOSE, .path = 1 + path}, now);
        open_path(f, path, now);
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct relay_io io = {.bind = do_bind,
                                       .unbind = do_unbind,
                                       .send = do_send,
                                       .event = do_event,
                                       .random = do_random};
    const struct relay_config config = {
        .bind = {addr_v4((const uint8_t[4]){203, 0, 113, 1}, 0),
                 addr_v6((const uint8_t[16]){0x20, 1, 0xd, 0xb8, 0, 1}, 0)},
        .port_min = 40000,
        .port_max = 40003,
        .shares = 1,
        .limits = {.quarantine = USEC_PER_SEC, .silence = USEC_PER_SEC},
    };
    struct reader r = reader_over(data, size);
    struct fuzz f = {.random = 1};
    usec_t now = USEC_PER_SEC;

    must(relay_new(&config, &io, &f, &f.counters, &f.relay) == 0);
    relay_share(f.relay, FAMILY_V4, 3478, &shared4);
    relay_share(f.relay, FAMILY_V6, 3478, &shared6);
    for (unsigned i = 0; i < PATHS; i++)
        open_path(&f, i, now);
    while (reader_left(&r) >= 4) {
        now += read_u8(&r) * 20 * USEC_PER_MSEC;
        relay_tick(f.relay, now);
        step(&f, &r, now);
        must(relay_check(f.relay) == NULL);
    }
    relay_free(f.relay);
    return 0;
}
