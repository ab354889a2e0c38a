// SPDX-License-Identifier: ISC
// Thousands of random calls over Google's transport, with loss, repetition and reordering: two
// clients behind NATs that nobody knows check each other by name, send media, pause, signal again,
// and roam to addresses that they have signalled or do not know themselves. Strangers know every
// port; once a call stands they also have the clients' checks, send copies of them and new ones
// under their names, and answer whatever the relay asks them.
//
// After every event the relay's own invariants are asserted, and beside them, judged by addresses
// alone: what a client sends reaches the other one only, what a stranger sends nobody, and each
// client sees of the relay one candidate, under its own name. The one exception is written down
// (docs/SECURITY.md): a client that has just left its address may have lost its place until it is
// heard from the next one. In the end both hear each other, the strangers notwithstanding.
//
// SIM_SEED is the first seed, SIM_RUNS the number of calls.
#include "codec/demux.h"
#include "codec/stun_old.h"
#include "sim/lib_net.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MSEC      USEC_PER_MSEC
#define SECOND    USEC_PER_SEC
#define STEP      (20 * MSEC)
#define STRANGERS 3
#define NAME      16
#define LOST      50 // per mille of what the relay sends

struct sim;

struct party {
    struct sim *sim;
    enum side side;
    struct addr relay;      // the port that faces it
    struct addr addr, left; // where the relay sees it, and saw it before
    char name[NAME + 1], relay_name[NAME + 1];
    uint8_t txid[16]; // of its last check
    bool writable;    // answered
    bool roaming;     // has moved, and no media have found it yet
    usec_t next_check, roamed;
    uint16_t sequence;
    uint64_t heard, moves;
    usec_t last_heard;
};

struct sim {
    struct net *net;
    struct party party[SIDE_COUNT];
    bool open, paused; // paused: a call on hold
    bool armed;        // the strangers have names
    bool away;         // and are, while a client is nowhere
    struct addr stranger[STRANGERS];
    uint8_t captured[256];
    size_t captured_len;
    struct addr captured_to;
    struct {                    // what came to the relay last
        const struct party *at; // its port faces this one
        struct addr from;
        uint8_t txid[16];
    } last;
    uint64_t exposed;
};

struct totals {
    uint64_t calls, roamed, forwarded, refused, exposed, by_kernel;
};

// --- messages ----------------------------------------------------------------------------------

static void random_bytes(struct sim *sim, uint8_t *buf, size_t len)
{
    for (size_t i = 0; i < len; i++)
        buf[i] = (uint8_t)net_random(sim->net, 256);
}

static size_t compose(uint8_t *buf, uint16_t type, const uint8_t txid[16], const char *first,
                      const char *second)
{
    struct writer w = writer_over(buf, 256);

    write_u16(&w, type);
    write_u16(&w, (uint16_t)(4 + 2 * NAME));
    write_bytes(&w, txid, 16);
    write_u16(&w, 0x0006); // USERNAME
    write_u16(&w, 2 * NAME);
    write_bytes(&w, first, NAME);
    write_bytes(&w, second, NAME);
    return writer_used(&w);
}

static void send_check(struct sim *sim, struct party *p, const struct addr *from, uint8_t txid[16])
{
    uint8_t buf[256];

    random_bytes(sim, txid, 16);
    net_send(sim->net, from, &p->relay, NULL, buf,
             compose(buf, 0x0001, txid, p->relay_name, p->name));
}

static void send_rtp(struct sim *sim, struct party *p, const struct addr *from, uint32_t ssrc)
{
    uint8_t rtp[40] = {0x80, 8};

    p->sequence++;
    rtp[2] = (uint8_t)(p->sequence >> 8);
    rtp[3] = (uint8_t)p->sequence;
    memcpy(rtp + 8, &ssrc, 4);
    net_send(sim->net, from, &p->relay, NULL, rtp, sizeof(rtp));
}

// --- what the relay sends ----------------------------------------------------------------------

static bool is_stranger(const struct sim *sim, const struct addr *addr)
{
    for (unsigned i = 0; i < STRANGERS; i++)
        if (addr_equal(&sim->stranger[i], addr))
            return true;
    return false;
}

static bool is_partys(const struct party *p, const struct addr *addr)
{
    return addr_equal(addr, &p->addr) || addr_equal(addr, &p->left);
}

static void answer(struct sim *sim, const struct net_socket *socket, const struct addr *to,
                   const struct stun_old *msg)
{
    uint8_t buf[256];
    char name[2 * NAME];

    memcpy(name, msg->username.data, sizeof(name));
    net_send(sim->net, to, &socket->local, NULL, buf,
             compose(buf, 0x0101, msg->data + 4, name, name + NAME));
}

static void at_party(struct party *p, const struct net_socket *socket, const uint8_t *data,
                     size_t len)
{
    struct sim *sim = p->sim;
    struct stun_old msg;

    if (stun_old_decode(data, len, &msg) < 0) {
        p->heard++;
        p->last_heard = sim->net->now;
        p->roaming = false;
        return;
    }
    if (msg.username.len != 2 * NAME)
        net_fail(sim->net, "a name of %u bytes", msg.username.len);
    if (msg.class == STUN_REQUEST) {
        if (memcmp(msg.username.data, p->name, NAME) != 0 ||
            memcmp(msg.username.data + NAME, p->relay_name, NAME) != 0)
            net_fail(sim->net, "a check under another name");
        answer(sim, socket, &p->addr, &msg);
    } else if (memcmp(msg.data + 4, p->txid, 16) == 0) {
        p->writable = true;
    }
}

static void leaves(void *ctx, struct net_socket *socket, const struct addr *to,
                   const struct net_flight *cause, struct net_socket *at, const uint8_t *data,
                   size_t len)
{
    struct sim *sim = ctx;
    struct party *p = socket->user;
    struct stun_old msg;
    bool stun = stun_old_decode(data, len, &msg) == 0;
    bool asks = stun && msg.class == STUN_REQUEST;
    // A check leaves under another name, but with the id that it had.
    bool forwarded = cause || (stun && memcmp(msg.data + 4, sim->last.txid, 16) == 0);
    char text[ADDR_TEXT_MAX];

    (void)at;
    if (!forwarded && !asks)
        net_fail(sim->net, "sent without a cause");
    if (forwarded && sim->last.at == p)
        net_fail(sim->net, "sent back");
    if (forwarded && !is_partys(sim->last.at, &sim->last.from)) {
        if (!sim->last.at->roaming)
            net_fail(sim->net, "forwarded for a stranger");
        sim->exposed++;
    }
    if (is_stranger(sim, to)) {
        if (forwarded && !p->roaming)
            net_fail(sim->net, "%s of a call was sent to a stranger", asks ? "a check" : "media");
        sim->exposed += forwarded;
        if (asks)
            answer(sim, socket, to, &msg);
        return;
    }
    if (!is_partys(p, to))
        net_fail(sim->net, "sent to %s, who is nobody", addr_format(to, text));
    if (addr_equal(to, &p->addr) && net_random(sim->net, 1000) >= LOST)
        at_party(p, socket, data, len);
}

static void arrives(void *ctx, struct net_socket *socket, const struct net_flight *f)
{
    struct sim *sim = ctx;

    sim->last.at = socket->user;
    sim->last.from = f->from;
    memset(sim->last.txid, 0, sizeof(sim->last.txid));
    if (f->len >= 20)
        memcpy(sim->last.txid, f->data + 4, sizeof(sim->last.txid));
    if (f->len > sizeof(sim->captured) || is_stranger(sim, &f->from))
        return;
    memcpy(sim->captured, f->data, f->len);
    sim->captured_len = f->len;
    sim->captured_to = f->to;
}

static void event(void *ctx, const struct relay_event *e)
{
    struct sim *sim = ctx;

    if (e->kind == EVENT_SELECTED)
        sim->party[e->side].moves++;
    if (e->kind != EVENT_OPENED)
        return;
    sim->open = true;
    for (unsigned s = 0; s < SIDE_COUNT; s++) {
        sim->party[s].relay = e->u.opened[s][0];
        net_socket_at(sim->net, &sim->party[s].relay)->user = &sim->party[s];
    }
}

// --- signalling --------------------------------------------------------------------------------

static void signal_peer(struct party *p, const struct addr *addr)
{
    struct order order = {.kind = ORDER_PEER, .call = 1, .path = 1, .side = p->side};

    order.u.peer = *addr;
    net_order(p->sim->net, &order);
}

static struct addr fresh(struct sim *sim, uint8_t first)
{
    uint8_t ip[4] = {first};

    random_bytes(sim, ip + 1, 3);
    return addr_v4(ip, (uint16_t)(1024 + net_random(sim->net, 60000)));
}

static void say(struct party *p)
{
    struct order order = {.kind = ORDER_CREDENTIALS, .call = 1, .path = 1, .side = p->side};
    struct addr behind = fresh(p->sim, 10);

    memcpy(order.u.credentials.ufrag, p->relay_name, NAME);
    net_order(p->sim->net, &order);
    signal_peer(p, net_random(p->sim->net, 2) ? &behind : &p->addr);
}

// With 'known' it has asked a STUN server, and tells its new address.
static void roam(struct party *p, bool known)
{
    struct addr behind = fresh(p->sim, 10);

    p->left = p->addr;
    p->addr = fresh(p->sim, p->side ? 9 : 8);
    p->writable = false;
    p->roaming = true;
    p->roamed = p->next_check = p->sim->net->now;
    p->sim->away = !known;
    signal_peer(p, known ? &p->addr : &behind);
}

// --- strangers ---------------------------------------------------------------------------------

static void strange(struct sim *sim)
{
    const struct addr *from = &sim->stranger[net_random(sim->net, STRANGERS)];
    struct party *p = &sim->party[net_random(sim->net, 2)], guess = *p;
    uint8_t txid[16];

    switch (net_random(sim->net, sim->armed && !sim->away ? 5 : 2)) {
    case 0:
        send_rtp(sim, &guess, from, 666);
        break;
    case 1:
        random_bytes(sim, (uint8_t *)guess.relay_name, NAME);
        send_check(sim, &guess, from, txid);
        break;
    case 2:
        send_check(sim, &guess, from, txid); // under the right names
        break;
    case 3:
        net_send(sim->net, from, &sim->captured_to, NULL, sim->captured, sim->captured_len);
        break;
    default:
        send_check(sim, &guess, from, txid);
        send_rtp(sim, &guess, from, 667);
        break;
    }
}

// --- calls -------------------------------------------------------------------------------------

static void act(struct party *p)
{
    struct sim *sim = p->sim;

    if (sim->net->now >= p->next_check) {
        send_check(sim, p, &p->addr, p->txid);
        p->next_check = sim->net->now + 200 * MSEC + net_random(sim->net, 300) * MSEC;
    }
    if (p->writable && !sim->paused)
        send_rtp(sim, p, &p->addr, 1 + (uint32_t)p->side);
}

static void live(struct sim *sim, usec_t time)
{
    usec_t end = sim->net->now + time;

    while (sim->net->now < end) {
        net_run(sim->net, sim->net->now + STEP);
        for (unsigned s = 0; s < SIDE_COUNT; s++)
            act(&sim->party[s]);
        sim->armed = sim->armed || (sim->party[0].heard > 0 && sim->party[1].heard > 0);
        sim->away = sim->away && (sim->party[0].roaming || sim->party[1].roaming);
        if (net_random(sim->net, 4) == 0)
            strange(sim);
    }
}

static void happen(struct sim *sim)
{
    struct party *p = &sim->party[net_random(sim->net, 2)];
    struct addr behind = fresh(sim, 10);
    bool there = !sim->party[0].roaming && !sim->party[1].roaming && sim->armed;

    switch (net_random(sim->net, 4)) {
    case 0:
        if (there)
            roam(p, net_random(sim->net, 2) == 0);
        break;
    case 1:
        signal_peer(p, &behind); // it has found another network, and stays
        break;
    case 2:
        sim->paused = !sim->paused && there;
        break;
    default:
        break;
    }
}

static struct sim *sim_new(uint64_t seed, bool kernel)
{
    struct relay_config config = {
        .bind = {addr_v4((const uint8_t[4]){203, 0, 113, 1}, 0), {.family = FAMILY_NONE}},
        .port_min = 40000,
        .port_max = 40003,
        .shares = 1,
        .limits = {.quarantine = 300 * MSEC, .silence = SECOND, .learning_window = 10 * SECOND},
    };
    struct sim *sim = calloc(1, sizeof(*sim));
    if (!sim)
        abort();
    struct net_hooks hooks = {.ctx = sim, .arrives = arrives, .leaves = leaves, .event = event};

    sim->net = net_new(seed, &config, &hooks);
    net_offload(sim->net, kernel ? NET_OFFLOAD_ALL : NET_OFFLOAD_NONE);
    sim->net->fate.loss = (unsigned)net_random(sim->net, 3) * 25;
    sim->net->fate.repeat = (unsigned)net_random(sim->net, 3) * 50;
    sim->net->fate.jitter = net_random(sim->net, 3) * 25 * MSEC;
    for (unsigned i = 0; i < STRANGERS; i++)
        sim->stranger[i] = addr_v4((const uint8_t[4]){6, 6, 6, (uint8_t)i}, 666);
    for (unsigned s = 0; s < SIDE_COUNT; s++) {
        struct party *p = &sim->party[s];
        *p = (struct party){.sim = sim, .side = s};
        snprintf(p->name, sizeof(p->name), "client%010" PRIx64, (seed * 2 + s) & 0xffffffffff);
        snprintf(p->relay_name, sizeof(p->relay_name), "relays%010" PRIx64,
                 (seed * 2 + s) & 0xffffffffff);
        p->addr = fresh(sim, s ? 9 : 8);
        p->next_check = sim->net->now + net_random(sim->net, 3000) * MSEC;
    }
    return sim;
}

static void judge(const struct sim *sim)
{
    for (unsigned s = 0; s < SIDE_COUNT; s++)
        if (sim->net->now - sim->party[s].last_heard > SECOND)
            net_fail(sim->net, "the %s hears nothing", s ? "responder" : "initiator");
}

static void run_seed(uint64_t seed, struct totals *totals)
{
    struct sim *sim = sim_new(seed, seed % 2);
    struct order order = {.kind = ORDER_OPEN, .call = 1, .path = 1};
    const struct counters *c = &sim->net->counters;

    order.u.open.mode = PATH_GOOGLE;
    order.u.open.family_v4[0] = order.u.open.family_v4[1] = true;
    net_order(sim->net, &order);
    for (unsigned s = 0; s < SIDE_COUNT; s++)
        say(&sim->party[s]);
    for (unsigned i = 0; i < 6; i++) {
        live(sim, 2 * SECOND);
        happen(sim);
    }
    sim->paused = false;
    live(sim, 8 * SECOND);
    judge(sim);
    net_order(sim->net, &(struct order){.kind = ORDER_CLOSE, .path = 1});
    totals->calls++;
    totals->roamed += sim->party[0].left.family != FAMILY_NONE;
    totals->forwarded += counter_get(c, COUNTER_PACKETS_OUT) + sim->party[0].heard;
    totals->refused += counter_get(c, COUNTER_LATCHES_REFUSED);
    totals->exposed += sim->exposed;
    totals->by_kernel += sim->net->kernel ? sim->net->kernel->packets : 0;
    net_free(sim->net);
    free(sim);
}

static uint64_t setting(const char *name, uint64_t fallback)
{
    const char *text = getenv(name);

    return text ? strtoull(text, NULL, 0) : fallback;
}

int main(void)
{
    uint64_t seed = setting("SIM_SEED", 1), calls = setting("SIM_RUNS", 1500);
    struct totals t = {0};

    for (; t.calls < calls; seed++)
        run_seed(seed, &t);
    printf("%" PRIu64 " calls over Google's transport, %" PRIu64 " of them roaming; %" PRIu64
           " media heard, %" PRIu64 " by a kernel; %" PRIu64 " captured checks refused, %" PRIu64
           " datagrams exposed while roaming\n",
           t.calls, t.roamed, t.forwarded, t.by_kernel, t.refused, t.exposed);
    // A simulation in which nothing happens proves nothing.
    return calls >= 100 && (t.roamed < calls / 20 || t.refused == 0 || t.by_kernel == 0);
}
