// SPDX-License-Identifier: ISC
// Thousands of random lives of paths: two agents behind symmetric NATs, loss, repetition and
// reordering, roaming, ICE restarts, changes of interface, late and repeated signalling, and a
// stranger who sees every datagram that reaches or leaves the relay and sends what he likes.
//
// After every event two things are asserted: the relay's own invariants, and the wire's, which
// lib_model.h judges independently: nothing is sent to an address that has not proved itself, and
// nothing forwarded from one. And at the end of each life, after a while without troubles, both
// sides must hear each other.
//
// SIM_SEED is the first seed, SIM_RUNS the number of lives, SIM_MASK which troubles there are.
#include "codec/demux.h"
#include "sim/lib_model.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MSEC        USEC_PER_MSEC
#define LIVES       2 // at the same time, on few ports
#define CAPTURED    32
#define PENDING_MAX 32
#define MEDIA_CHAOS (60 * MSEC)
#define MEDIA_CALM  (150 * MSEC)
#define CALM        (9 * USEC_PER_SEC)

enum trouble {
    TROUBLE_LOSS = 1,
    TROUBLE_ORDER = 2,
    TROUBLE_REPEAT = 4,
    TROUBLE_ROAM = 8,
    TROUBLE_RESTART = 16,
    TROUBLE_INTERFACES = 32,
    TROUBLE_ATTACK = 64,
    TROUBLE_LEAK = 128, // the stranger also sees what is lost before the relay
    TROUBLE_CLOSE = 256,
    TROUBLE_RAW = 512,
    TROUBLE_THEFT = 1024, // a party of a call forges its source
};

enum pending_kind { PENDING_RELAY_LEARNS, PENDING_AGENT_LEARNS, PENDING_RESTART };

struct pending { // signalling under way
    enum pending_kind kind;
    usec_t at;
    enum side side; // whose credentials; of RESTART: who is to restart
    char ufrag[16], pwd[32];
};

struct life {
    struct sim *sim;
    uint64_t path;
    bool raw, open, over;
    usec_t start;
    struct addr port[SIDE_COUNT][2];
    struct agent *agent[SIDE_COUNT];
    unsigned ifaces[SIDE_COUNT], generation;
    char ufrag[SIDE_COUNT][16], pwd[SIDE_COUNT][32]; // current
    struct pending pending[PENDING_MAX];             // in order
    unsigned pendings;
    struct model_leg leg[SIDE_COUNT];
};

struct captured {
    struct addr from, to;
    struct net_origin origin;
    size_t len;
    uint8_t data[700];
};

struct sim {
    struct net *net;
    unsigned mask;
    bool calm, shared;
    unsigned restarts; // one of so many datagrams finds a new relay; 0: none
    struct life life[LIVES];
    struct captured captured[CAPTURED];
    unsigned captureds;
};

struct totals {
    uint64_t lives, carried, failed, forwarded, moved, refused, checks, dropped;
    uint64_t by_kernel, taken, restarted, tied;
};

struct manner { // in which the same life is lived
    enum net_offload offload;
    unsigned restarts;
};

// --- the wire --------------------------------------------------------------------------------

static void capture(struct sim *sim, const struct addr *from, const struct addr *to,
                    const struct net_origin *origin, const uint8_t *data, size_t len)
{
    struct captured *c = &sim->captured[net_random(sim->net, CAPTURED)];

    if (len > sizeof(c->data) || (demux(data, len) != PACKET_STUN && net_random(sim->net, 20) > 0))
        return; // a few packets of media will do
    *c = (struct captured){.from = *from, .to = *to, .len = len};
    if (origin)
        c->origin = *origin;
    memcpy(c->data, data, len);
}

static void arrives(void *ctx, struct net_socket *socket, const struct net_flight *f)
{
    struct sim *sim = ctx;

    model_arrives(sim->net, socket, f);
    capture(sim, &f->from, &f->to, &f->origin, f->data, f->len);
}

static void leaves(void *ctx, struct net_socket *socket, const struct addr *to,
                   const struct net_flight *cause, struct net_socket *at, const uint8_t *data,
                   size_t len)
{
    struct sim *sim = ctx;

    model_leaves(sim->net, socket, to, cause, at);
    capture(sim, &socket->local, to, NULL, data, len);
}

static struct life *life_of(struct sim *sim, uint64_t path)
{
    for (unsigned i = 0; i < LIVES; i++)
        if (sim->life[i].path == path)
            return &sim->life[i];
    net_fail(sim->net, "an event of no path");
}

static void event(void *ctx, const struct relay_event *e)
{
    struct sim *sim = ctx;
    char text[ADDR_TEXT_MAX];

    if (e->kind == EVENT_SNAPSHOT_END)
        return;
    struct life *life = life_of(sim, e->path);
    if (e->kind == EVENT_FAILED)
        life->over = true;
    if (e->kind == EVENT_SELECTED && !model_is_proved(&life->leg[e->side], &e->u.addr))
        net_fail(sim->net, "selected %s, which has not proved itself",
                 addr_format(&e->u.addr, text));
    if (e->kind != EVENT_OPENED)
        return;
    life->open = true;
    memcpy(life->port, e->u.opened, sizeof(life->port));
    for (unsigned s = 0; s < SIDE_COUNT; s++)
        for (unsigned f = 0; f < 2; f++)
            if (life->port[s][f].family != FAMILY_NONE)
                model_attach(net_socket_at(sim->net, &life->port[s][f]), &life->leg[s]);
}

// --- signalling --------------------------------------------------------------------------------

static void new_names(struct life *life, enum side side)
{
    struct net *net = life->sim->net;

    life->generation++;
    snprintf(life->ufrag[side], sizeof(life->ufrag[side]), "%c%u%06x", side ? 'b' : 'a',
             life->generation, (unsigned)net_random(net, 1 << 24));
    snprintf(life->pwd[side], sizeof(life->pwd[side]), "%c%08x%08x%08x", side ? 'B' : 'A',
             (unsigned)net_random(net, 1u << 31), (unsigned)net_random(net, 1u << 31),
             (unsigned)net_random(net, 1u << 31));
}

static void order_credentials(struct life *life, enum side side, const char *ufrag, const char *pwd)
{
    struct order order = {
        .kind = ORDER_CREDENTIALS, .call = life->path, .path = life->path, .side = side};

    memcpy(order.u.credentials.ufrag, ufrag, strlen(ufrag));
    memcpy(order.u.credentials.pwd, pwd, strlen(pwd));
    net_order(life->sim->net, &order);
}

static void order_peer(struct life *life, enum side side, struct addr peer)
{
    if (!addr_is_special(&peer))
        model_prove(&life->leg[side],
                    &peer); // signalled and public: that is all the proof there is
    net_order(life->sim->net, &(struct order){.kind = ORDER_PEER,
                                              .call = life->path,
                                              .path = life->path,
                                              .side = side,
                                              .u.peer = peer});
}

static struct addr private_address(struct net *net)
{
    return addr_v4((const uint8_t[4]){10, (uint8_t)net_random(net, 256), 0, 1},
                   (uint16_t)(1 + net_random(net, 60000)));
}

// XMPP keeps the order of stanzas: what is said later never arrives earlier.
static void later(struct life *life, enum pending_kind kind, enum side side, usec_t delay)
{
    usec_t at = life->sim->net->now + delay;
    struct pending *p;

    if (life->pendings == PENDING_MAX)
        net_fail(life->sim->net, "too much signalling");
    if (life->pendings > 0 && life->pending[life->pendings - 1].at > at)
        at = life->pending[life->pendings - 1].at;
    p = &life->pending[life->pendings++];
    *p = (struct pending){.kind = kind, .at = at, .side = side};
    memcpy(p->ufrag, life->ufrag[side], sizeof(p->ufrag));
    memcpy(p->pwd, life->pwd[side], sizeof(p->pwd));
}

// One side has new names: the relay learns them before the other side does, and the other side
// answers with new names of its own. Either's may be in use before the relay has heard of them.
static void restart(struct life *life, enum side side, bool answer)
{
    struct net *net = life->sim->net;
    usec_t first = answer ? net_random(net, 200) * MSEC : 0;

    new_names(life, side);
    agent_restart(life->agent[side], life->ufrag[side], life->pwd[side], net->now);
    net_touch_agent(net, life->agent[side]);
    later(life, PENDING_RELAY_LEARNS, side, first);
    later(life, PENDING_AGENT_LEARNS, side, first + (10 + net_random(net, 200)) * MSEC);
    if (!answer)
        later(life, PENDING_RESTART, 1 - side, (250 + net_random(net, 200)) * MSEC);
}

static void signalling(struct life *life, bool all)
{
    struct net *net = life->sim->net;

    while (life->pendings > 0 && (all || life->pending[0].at <= net->now)) {
        struct pending p = life->pending[0];
        memmove(life->pending, life->pending + 1, --life->pendings * sizeof(p));
        if (p.kind == PENDING_RELAY_LEARNS)
            order_credentials(life, p.side, p.ufrag, p.pwd);
        if (p.kind == PENDING_RESTART)
            restart(life, p.side, true);
        if (p.kind == PENDING_AGENT_LEARNS) {
            agent_remote(life->agent[1 - p.side], p.ufrag, p.pwd, net->now);
            net_touch_agent(net, life->agent[1 - p.side]);
        }
    }
}

// --- a life ------------------------------------------------------------------------------------

static void leaky_send(void *ctx, struct agent *agent, unsigned iface, const struct addr *to,
                       enum agent_packet kind, const uint8_t *data, size_t len)
{
    struct sim *sim = ctx;
    struct net_origin origin = {.agent = agent, .kind = kind};

    if (sim->mask & TROUBLE_LEAK && !sim->calm)
        capture(sim, &(struct addr){0}, to, &origin, data, len);
    net_agent_send(sim->net, agent, iface, to, kind, data, len);
}

static void candidates(struct life *life, enum side side)
{
    struct net *net = life->sim->net;

    for (unsigned i = 0; i < life->ifaces[side]; i++) {
        unsigned first = (unsigned)net_random(net, 2);
        for (unsigned f = 0; f < 2; f++) {
            const struct addr *port = &life->port[side][f ^ first];
            if (port->family != FAMILY_NONE && (!life->raw || port->family == FAMILY_V4))
                agent_candidate(life->agent[side], i, port, net->now);
        }
    }
}

static void new_agent(struct life *life, enum side side)
{
    struct sim *sim = life->sim;
    struct agent_config config = {
        .raw = life->raw,
        .controlling = side == SIDE_INITIATOR,
        .ufrag = life->ufrag[side],
        .pwd = life->pwd[side],
        .seed = net_random(sim->net, UINT64_MAX),
        .ssrc = (uint32_t)net_random(sim->net, 1u << 31),
        .media_interval = MEDIA_CHAOS,
        .send = leaky_send,
        .ctx = sim,
    };

    life->agent[side] = agent_new(&config);
    life->leg[side].agent = life->agent[side];
    net_add_agent(sim->net, life->agent[side]);
    candidates(life, side);
    net_touch_agent(sim->net, life->agent[side]);
}

static void begin(struct life *life)
{
    struct net *net = life->sim->net;
    struct order order = {.kind = ORDER_OPEN, .call = life->path, .path = life->path};

    order.u.open.mode = life->raw ? PATH_RAW : PATH_ICE;
    for (unsigned s = 0; s < SIDE_COUNT; s++) {
        order.u.open.family_v6[s] = !life->raw && net_random(net, 4) == 0;
        order.u.open.family_v4[s] = !order.u.open.family_v6[s] || net_random(net, 2) == 0;
    }
    net_order(net, &order);
    if (!life->open)
        return;
    for (unsigned s = 0; s < SIDE_COUNT; s++) {
        life->ifaces[s] = life->raw || !(life->sim->mask & TROUBLE_INTERFACES)
                              ? 1
                              : 1 + (unsigned)net_random(net, 2);
        new_names(life, s);
        new_agent(life, s);
        if (life->raw)
            order_peer(life, s, private_address(net));
    }
    if (life->raw)
        return;
    order_credentials(life, SIDE_INITIATOR, life->ufrag[SIDE_INITIATOR], life->pwd[SIDE_INITIATOR]);
    later(life, PENDING_AGENT_LEARNS, SIDE_INITIATOR, (10 + net_random(net, 100)) * MSEC);
    usec_t accept = (100 + net_random(net, 300)) * MSEC;
    later(life, PENDING_RELAY_LEARNS, SIDE_RESPONDER, accept);
    later(life, PENDING_AGENT_LEARNS, SIDE_RESPONDER, accept + (10 + net_random(net, 100)) * MSEC);
}

// Both hang up; or they go on sending to ports that will be another call's. Raw paths have nothing
// to tell such a sender from their own.
static void end(struct life *life)
{
    struct sim *sim = life->sim;

    if (life->open)
        net_order(sim->net, &(struct order){.kind = ORDER_CLOSE, .path = life->path});
    for (unsigned s = 0; s < SIDE_COUNT; s++)
        model_detach(sim->net, &life->leg[s]);
    for (unsigned s = 0; s < SIDE_COUNT && life->agent[s]; s++) {
        if (!sim->life[0].raw && !sim->life[1].raw && net_random(sim->net, 2) == 0)
            continue;
        life->agent[s]->config.media_interval = 0;
        life->agent[s]->remote_known = false;
        net_touch_agent(sim->net, life->agent[s]);
    }
    life->open = false;
    life->over = true;
    life->pendings = 0;
}

// --- troubles ----------------------------------------------------------------------------------

static struct addr stranger(struct net *net, enum family family)
{
    uint8_t n = (uint8_t)(1 + net_random(net, 3));

    return family == FAMILY_V6 ? addr_v6((const uint8_t[16]){0x2a, 0, 6, 6, 0, n}, 666)
                               : addr_v4((const uint8_t[4]){6, 6, 6, n}, 666);
}

static void forge(struct sim *sim, const struct life *life, const struct addr *to)
{
    struct addr from = stranger(sim->net, to->family);
    const struct captured *c = &sim->captured[net_random(sim->net, CAPTURED)];
    uint8_t buf[200], txid[STUN_TXID_LEN] = "forged";
    char username[64];
    int n = snprintf(username, sizeof(username), "%s:%s", life->ufrag[1], life->ufrag[0]);
    struct writer w;

    switch (net_random(sim->net, 4)) {
    case 0: // the right names, a wrong password
        w = stun_begin(buf, sizeof(buf), STUN_REQUEST, STUN_BINDING, txid);
        stun_put_bytes(&w, STUN_USERNAME, username, (size_t)n);
        stun_put_flag(&w, STUN_USE_CANDIDATE);
        n = stun_finish(&w, "guess", 5, true);
        break;
    case 1: // an answer to what he has seen
        w = stun_begin(buf, sizeof(buf), STUN_SUCCESS, STUN_BINDING, c->data + 8);
        stun_put_addr(&w, STUN_XOR_MAPPED_ADDRESS, &from);
        n = stun_finish(&w, "guess", 5, true);
        break;
    case 2: // a DTLS handshake
        memset(buf, 0, 64);
        buf[0] = 22;
        n = 64;
        break;
    default: // consistent RTP
        for (uint8_t i = 0; i < 4; i++) {
            const uint8_t rtp[20] = {0x80, 0, 0, i, 0, 0, 0, 0, 6, 6, 6, 6};
            net_send(sim->net, &from, to, NULL, rtp, sizeof(rtp));
        }
        return;
    }
    net_send(sim->net, &from, to, NULL, buf, (size_t)n);
}

// A check that nobody but a party of the call can make, from an address that is somebody else's: a
// client of the other call, perhaps.
static void steal(struct sim *sim, const struct life *life)
{
    struct net *net = sim->net;
    const struct captured *c = &sim->captured[net_random(net, CAPTURED)];
    enum side side = (enum side)net_random(net, 2);
    struct agent *thief = life->agent[side];
    const struct net_origin origin = {.agent = thief, .kind = AGENT_CHECK};
    uint8_t buf[300], txid[STUN_TXID_LEN];
    char username[64];
    int n = snprintf(username, sizeof(username), "%s:%s", thief->remote_ufrag, thief->ufrag[0]);

    if (c->len == 0 || net_socket_at(net, &c->from) || !thief->remote_known)
        return;
    for (unsigned i = 0; i < sizeof(txid); i++)
        txid[i] = (uint8_t)net_random(net, 256);
    struct writer w = stun_begin(buf, sizeof(buf), STUN_REQUEST, STUN_BINDING, txid);
    stun_put_bytes(&w, STUN_USERNAME, username, (size_t)n);
    stun_put_u32(&w, STUN_PRIORITY, 1);
    if (net_random(net, 2) == 0)
        stun_put_flag(&w, STUN_USE_CANDIDATE);
    n = stun_finish(&w, thief->remote_pwd, strlen(thief->remote_pwd), true);
    for (unsigned f = 0; f < 2; f++)
        if (life->port[side][f].family != FAMILY_NONE &&
            life->port[side][f].family == c->from.family)
            net_send(net, &c->from, &life->port[side][f], &origin, buf, (size_t)n);
}

static void attack(struct life *life)
{
    struct sim *sim = life->sim;
    struct net *net = sim->net;
    const struct addr *port = life->port[net_random(net, 2)];
    struct addr to = port[0].family != FAMILY_NONE ? port[0] : port[1];

    if (net_random(net, 3) == 0) {
        forge(sim, life, &to);
        return;
    }
    if (sim->mask & TROUBLE_THEFT && net_random(net, 5) == 0) {
        steal(sim, life);
        return;
    }
    const struct captured *c = &sim->captured[net_random(net, CAPTURED)];
    if (c->len == 0)
        return;
    if (net_socket_at(net, &c->to) && net_random(net, 4) > 0)
        to = c->to; // where it belongs
    struct addr from = stranger(net, to.family);
    if (c->from.family == to.family && net_random(net, 6) == 0)
        from = c->from; // forged, or the relay's own
    net_send(net, &from, &to, &c->origin, c->data, c->len);
}

static void signal_raw(struct life *life, enum side side)
{
    struct net *net = life->sim->net;
    struct addr external = net_external(net, life->agent[side], 0, &life->port[side][0]);

    if (external.family == FAMILY_NONE || net_random(net, 2) == 0) {
        order_peer(life, side, private_address(net));
        return;
    }
    if (net_random(net, 2) == 0)
        external.port++; // what a STUN server would have shown of a symmetric NAT
    order_peer(life, side, external);
}

static void trouble(struct life *life)
{
    struct sim *sim = life->sim;
    struct net *net = sim->net;
    enum side side = net_random(net, 2) ? SIDE_RESPONDER : SIDE_INITIATOR;
    struct agent *agent = life->agent[side];

    switch (net_random(net, 12)) {
    case 0:
        if (sim->mask & TROUBLE_ROAM)
            net_roam(net, agent, (unsigned)net_random(net, life->ifaces[side]));
        break;
    case 1:
        if (life->raw)
            signal_raw(life, side);
        else if (sim->mask & TROUBLE_RESTART && agent->remote_known &&
                 life->agent[1 - side]->remote_known)
            restart(life, side, false);
        break;
    case 2:
        agent->preferred = (unsigned)net_random(net, life->ifaces[side]);
        net_touch_agent(net, agent);
        break;
    case 3:
        if (sim->mask & TROUBLE_CLOSE && net_random(net, 10) == 0)
            end(life);
        break;
    case 4:
        net_order(net, &(struct order){.kind = ORDER_SNAPSHOT, .call = net_random(net, 3)});
        break;
    case 5: // a repeated stanza
        later(life, PENDING_RELAY_LEARNS, side, 0);
        break;
    default:
        if (sim->mask & TROUBLE_ATTACK)
            attack(life);
        break;
    }
}

// Which of its free ports a relay gives out next is not what its successor would: it begins when
// all that are needed are given out.
static void restarts(struct sim *sim)
{
    for (unsigned i = 0; i < LIVES; i++)
        if (!sim->life[i].open && !sim->life[i].over)
            return;
    sim->net->restarts = sim->restarts;
}

static void chaos(struct sim *sim)
{
    struct net *net = sim->net;
    usec_t end_at = net->now + (2000 + net_random(net, 3000)) * MSEC;

    while (net->now < end_at) {
        net_run(net, net->now + (1 + net_random(net, 120)) * MSEC);
        for (unsigned i = 0; i < LIVES; i++) {
            struct life *life = &sim->life[i];
            if (life->start <= net->now && !life->open && !life->over)
                begin(life);
            if (!life->open)
                continue;
            signalling(life, false);
            trouble(life);
        }
        restarts(sim);
    }
}

static void calm(struct sim *sim)
{
    struct net *net = sim->net;

    sim->calm = true;
    net->fate = (struct net_fate){.delay = 10 * MSEC};
    for (unsigned i = 0; i < LIVES; i++) {
        struct life *life = &sim->life[i];
        for (unsigned s = 0; s < SIDE_COUNT && life->open; s++)
            life->agent[s]->config.media_interval = MEDIA_CALM;
        if (life->open)
            signalling(life, true);
    }
    net_run(net, net->now + 200 * MSEC); // what the stranger has sent is over
    for (unsigned i = 0; i < LIVES; i++)
        for (unsigned s = 0; s < SIDE_COUNT && sim->life[i].open && sim->life[i].raw; s++)
            order_peer(&sim->life[i], s, private_address(net));
    net_run(net, net->now + CALM);
}

static void assert_carried(const struct sim *sim, const struct life *life)
{
    for (unsigned s = 0; s < SIDE_COUNT; s++)
        if (sim->net->now - life->agent[s]->last_media > USEC_PER_SEC)
            net_fail(sim->net, "path %" PRIu64 "%s: %s hears nothing", life->path,
                     life->raw ? " (raw)" : "", s ? "the responder" : "the initiator");
}

// --- runs --------------------------------------------------------------------------------------

static void troubles_of(struct sim *sim, unsigned mask)
{
    struct net *net = sim->net;

    sim->mask = mask;
    if (net_random(net, 8) > 0)
        sim->mask &= ~(unsigned)TROUBLE_LEAK;
    if (mask & TROUBLE_LOSS)
        net->fate.loss = (unsigned)net_random(net, 4) * 70;
    if (mask & TROUBLE_REPEAT)
        net->fate.repeat = (unsigned)net_random(net, 3) * 50;
    if (mask & TROUBLE_ORDER)
        net->fate.jitter = net_random(net, 3) * 60 * MSEC;
}

static const struct relay_config config_of_lives = {
    .bind = {{.ip = {203, 0, 113, 1}, .family = FAMILY_V4},
             {.ip = {0x20, 1, 0xd, 0xb8, 0, 1}, .family = FAMILY_V6}},
    .port_min = 40000,
    .port_max = 40003,
    .shares = 1,
    .limits = {.quarantine = 300 * MSEC,
               .silence = 700 * MSEC,
               .learning_window = 2 * USEC_PER_SEC},
};

// Half of them on one port.
static struct sim *sim_new(uint64_t seed, unsigned mask)
{
    struct sim *sim = calloc(1, sizeof(*sim));
    if (!sim)
        abort();
    struct net_hooks hooks = {.ctx = sim, .arrives = arrives, .leaves = leaves, .event = event};

    sim->shared = seed / 4 % 2 == 0;
    sim->net = net_new(seed, &config_of_lives, &hooks);
    troubles_of(sim, mask);
    for (unsigned i = 0; i < LIVES; i++) {
        struct life *life = &sim->life[i];
        life->sim = sim;
        life->path = i + 1;
        life->start = sim->net->now + i * net_random(sim->net, 1500) * MSEC;
        life->raw = mask & TROUBLE_RAW && net_random(sim->net, 6) == 0;
        for (unsigned s = 0; s < SIDE_COUNT; s++) {
            life->leg[s] = (struct model_leg){
                .net = sim->net, .path = life->path, .side = s, .raw = life->raw};
        }
    }
    return sim;
}

static void sim_free(struct sim *sim)
{
    for (unsigned i = 0; i < LIVES; i++) {
        for (unsigned s = 0; s < SIDE_COUNT; s++) {
            if (sim->life[i].agent[s])
                net_remove_agent(sim->net, sim->life[i].agent[s]);
            agent_free(sim->life[i].agent[s]);
        }
    }
    net_free(sim->net);
    free(sim);
}

// What the wire has seen, and every figure that was asked for.
static uint64_t run(uint64_t seed, unsigned mask, struct manner how, struct totals *totals)
{
    struct sim *sim = sim_new(seed, mask);
    const struct counters *c = &sim->net->counters;
    uint64_t trace;

    sim->net->coarse = seed % 4 == 1;
    if (sim->shared)
        net_share(sim->net, &config_of_lives);
    net_offload(sim->net, how.offload);
    sim->restarts = how.restarts;
    chaos(sim);
    calm(sim);
    for (unsigned i = 0; i < LIVES; i++) {
        totals->lives++;
        totals->failed += !sim->life[i].agent[0];
        if (sim->life[i].open) {
            assert_carried(sim, &sim->life[i]);
            totals->carried++;
        }
        net_order(sim->net, &(struct order){.kind = ORDER_SNAPSHOT});
        end(&sim->life[i]);
    }
    net_run(sim->net, sim->net->now + USEC_PER_SEC);
    if (counter_get(c, COUNTER_PORTS_FREE) != 8 || counter_get(c, COUNTER_PATHS_OPEN) != 0)
        net_fail(sim->net, "ports are missing");
    totals->forwarded += counter_get(c, COUNTER_PACKETS_OUT);
    totals->moved += counter_get(c, COUNTER_LATCHES_MOVED);
    totals->refused += counter_get(c, COUNTER_LATCHES_REFUSED);
    totals->checks += counter_get(c, COUNTER_CHECKS_SENT);
    totals->dropped += counter_get(c, COUNTER_DROP_UNPROVED);
    totals->by_kernel += sim->net->kernel ? sim->net->kernel->packets : 0;
    totals->taken += sim->net->kernel ? sim->net->kernel->takes : 0;
    totals->restarted += sim->net->restarted;
    totals->tied += sim->net->tied;
    trace = sim->net->trace;
    sim_free(sim);
    return trace;
}

// Half of the seeds run twice, with a kernel and without; a third with restarts and without.
static void run_seed(uint64_t seed, unsigned mask, struct totals *totals)
{
    struct manner how = {0};
    uint64_t trace = run(seed, mask, how, totals);
    struct totals twin = {0};

    if (seed % 2 == 1)
        how.offload = seed % 4 == 1 ? NET_OFFLOAD_SOME : NET_OFFLOAD_ALL;
    if (seed % 3 == 0)
        how.restarts = seed % 5 == 0 ? 3 : 50;
    if (!how.offload && !how.restarts)
        return;
    if (run(seed, mask, how, &twin) != trace && !(how.restarts && twin.tied)) {
        fprintf(stderr, "seed %" PRIu64 ": with a kernel or restarts the path lives otherwise\n",
                seed);
        abort();
    }
    totals->by_kernel += twin.by_kernel;
    totals->taken += twin.taken;
    totals->restarted += twin.restarted;
}

static uint64_t setting(const char *name, uint64_t fallback)
{
    const char *text = getenv(name);

    return text ? strtoull(text, NULL, 0) : fallback;
}

int main(void)
{
    uint64_t seed = setting("SIM_SEED", 1), lives = setting("SIM_RUNS", 10000);
    unsigned mask = (unsigned)setting("SIM_MASK", ~0u);
    struct totals t = {0};

    for (; t.lives < lives; seed++)
        run_seed(seed, mask, &t);
    printf("%" PRIu64 " lives: %" PRIu64 " carried to the end, %" PRIu64 " without ports; %" PRIu64
           " datagrams forwarded, %" PRIu64 " moves, %" PRIu64 " checks by the relay, %" PRIu64
           " replays and %" PRIu64 " strangers refused\n",
           t.lives, t.carried, t.failed, t.forwarded, t.moved, t.checks, t.refused, t.dropped);
    printf("beside them, with a kernel: %" PRIu64 " datagrams forwarded by it, %" PRIu64
           " times a flow was taken back; %" PRIu64 " restarts\n",
           t.by_kernel, t.taken, t.restarted);
    // A simulation in which nothing happens proves nothing.
    if (lives >= 100 && mask == ~0u &&
        (t.carried < t.lives / 2 || t.failed == 0 || t.moved == 0 || t.refused == 0 ||
         t.dropped == 0 || t.by_kernel == 0 || t.taken == 0 || t.restarted == 0))
        return 1;
    return 0;
}
