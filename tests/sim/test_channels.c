// SPDX-License-Identifier: ISC
// Thousands of random lives of channels (XEP-0278): two at a time, the clients of some speak ICE
// and of others send plain RTP, behind symmetric NATs, with loss, repetition and reordering.
// Strangers who cannot see the packets know every port: they spray RTP and checks with names of
// their own, from one socket at all ports and from a socket for each, before the clients come and
// all the while. Once a path is latched they also get copies of what its clients sent, and send
// those.
//
// After every event the relay's own invariants are asserted, and beside them, judged by addresses
// alone: what a client sends reaches nobody but the other client, and what a stranger sends no
// client; nothing goes to who has not sent there before; no latched path moves. At the end of each
// life both sides must hear each other, the strangers notwithstanding.
//
// SIM_SEED is the first seed, SIM_RUNS the number of lives.
#include "codec/demux.h"
#include "sim/lib_agent.h"
#include "sim/lib_net.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MSEC       USEC_PER_MSEC
#define CHANNELS   2
#define COMPONENTS 2
#define SOURCES    32
#define CAPTURED   16
#define ROUND      (120 * MSEC) // between two sprays

struct life;

struct leg { // one port; a socket's user
    struct life *life;
    enum side side;
    struct addr port;
    struct agent *client;
    struct addr source[SOURCES]; // who has sent here
    unsigned sent[SOURCES], sources;
    unsigned selections;
};

struct life { // one component of one channel
    struct sim *sim;
    uint64_t path, call;
    bool ice, open;
    usec_t start[SIDE_COUNT]; // of the clients
    struct leg leg[SIDE_COUNT];
};

struct captured {
    struct addr to;
    size_t len;
    uint8_t data[700];
};

struct sim {
    struct net *net;
    bool armed; // the strangers have copies
    struct life life[CHANNELS][COMPONENTS];
    struct captured captured[CAPTURED];
    uint16_t sequence;
    uint64_t serial;
};

struct totals {
    uint64_t lives, without_ports, by_checks, by_rtp, forwarded, exposed, learning, refused;
    uint64_t by_kernel;
};

// --- the wire ----------------------------------------------------------------------------------

static bool is_client(const struct leg *leg, const struct addr *addr)
{
    struct addr external;

    if (!leg->client)
        return false;
    external = net_external(leg->life->sim->net, leg->client, 0, &leg->port);
    return addr_equal(&external, addr);
}

static unsigned *sent_by(struct leg *leg, const struct addr *addr)
{
    for (unsigned i = 0; i < leg->sources; i++)
        if (addr_equal(&leg->source[i], addr))
            return &leg->sent[i];
    if (leg->sources == SOURCES)
        net_fail(leg->life->sim->net, "too many sources");
    leg->source[leg->sources] = *addr;
    return &leg->sent[leg->sources++];
}

static bool latched(const struct life *life)
{
    return life->leg[0].selections > 0 && life->leg[1].selections > 0;
}

static void arrives(void *ctx, struct net_socket *socket, const struct net_flight *f)
{
    struct sim *sim = ctx;
    struct leg *leg = socket->user;
    struct captured *c = &sim->captured[net_random(sim->net, CAPTURED)];

    ++*sent_by(leg, &f->from);
    if (!latched(leg->life) || !is_client(leg, &f->from) || f->len > sizeof(c->data))
        return;
    *c = (struct captured){.to = f->to, .len = f->len};
    memcpy(c->data, f->data, f->len);
}

static void leaves(void *ctx, struct net_socket *socket, const struct addr *to,
                   const struct net_flight *cause, struct net_socket *at, const uint8_t *data,
                   size_t len)
{
    struct sim *sim = ctx;
    struct leg *out = socket->user, *in = at ? at->user : NULL;
    char text[ADDR_TEXT_MAX];

    if (!in)
        net_fail(sim->net, "sent without a cause");
    if (in->life != out->life || in->side == out->side)
        net_fail(sim->net, "forwarded to another path");
    if (is_client(in, &cause->from) != is_client(out, to))
        net_fail(sim->net, "%s and %s joined", is_client(out, to) ? "a stranger" : "a client",
                 addr_format(to, text));
    if (*sent_by(out, to) < (demux(data, len) == PACKET_STUN ? 1 : 3) && !out->life->ice)
        net_fail(sim->net, "sent to %s, which has hardly sent anything", addr_format(to, text));
    if (*sent_by(out, to) == 0)
        net_fail(sim->net, "sent to %s, which has sent nothing", addr_format(to, text));
    if (demux(data, len) != PACKET_STUN && !latched(out->life))
        net_fail(sim->net, "media before the latch");
}

static struct life *life_of(struct sim *sim, uint64_t path)
{
    return &sim->life[(path - 1) / COMPONENTS][(path - 1) % COMPONENTS];
}

static void event(void *ctx, const struct relay_event *e)
{
    struct sim *sim = ctx;
    struct life *life;

    if (e->kind == EVENT_SNAPSHOT_END)
        return;
    life = life_of(sim, e->path);
    if (e->kind == EVENT_SELECTED && ++life->leg[e->side].selections > 1)
        net_fail(sim->net, "path %" PRIu64 " moved", e->path);
    if (e->kind == EVENT_SELECTED && !is_client(&life->leg[e->side], &e->u.addr))
        net_fail(sim->net, "path %" PRIu64 " went to a stranger", e->path);
    if (e->kind != EVENT_OPENED)
        return;
    life->open = true;
    for (unsigned s = 0; s < SIDE_COUNT; s++) {
        life->leg[s].port = e->u.opened[s][0];
        net_socket_at(sim->net, &life->leg[s].port)->user = &life->leg[s];
    }
}

// --- clients -----------------------------------------------------------------------------------

static void open_component(struct life *life, uint64_t rtp_path)
{
    struct order order = {.kind = ORDER_OPEN, .call = life->call, .path = life->path};

    order.u.open.mode = PATH_CHANNEL;
    order.u.open.rtp_path = rtp_path;
    order.u.open.family_v4[0] = order.u.open.family_v4[1] = true;
    net_order(life->sim->net, &order);
}

// The names are those of the channel: both components use the same.
static void new_client(struct life *life, enum side side)
{
    struct net *net = life->sim->net;
    char name[SIDE_COUNT][24];

    for (unsigned s = 0; s < SIDE_COUNT; s++)
        snprintf(name[s], sizeof(name[s]), "%c%06" PRIx64, s ? 'b' : 'a', net->seed + life->call);
    struct agent_config config = {
        .raw = !life->ice,
        .controlling = side == SIDE_INITIATOR,
        .ufrag = name[side],
        .pwd = side ? "the responder's password" : "the initiator's password",
        .seed = net_random(net, UINT64_MAX),
        .ssrc = (uint32_t)net_random(net, 1u << 31),
        .media_interval = 20 * MSEC,
        .send = net_agent_send,
        .ctx = net,
    };
    struct leg *leg = &life->leg[side];

    leg->client = agent_new(&config);
    net_add_agent(net, leg->client);
    agent_candidate(leg->client, 0, &leg->port, net->now);
    if (life->ice)
        agent_remote(leg->client, name[!side],
                     side ? "the initiator's password" : "the responder's password", net->now);
    net_touch_agent(net, leg->client);
}

// Without ICE the sender here sends no RTCP: the second path belongs to the strangers.
static void come(struct life *life)
{
    for (unsigned s = 0; s < SIDE_COUNT && life->open; s++)
        if (!life->leg[s].client && life->start[s] <= life->sim->net->now &&
            (life->ice || (life->path - 1) % COMPONENTS == 0))
            new_client(life, s);
}

// --- strangers ---------------------------------------------------------------------------------

static void send_rtp(struct sim *sim, const struct addr *from, const struct addr *to,
                     uint16_t sequence)
{
    uint8_t rtp[20] = {0x80, 0, (uint8_t)(sequence >> 8), (uint8_t)sequence, [8] = 6, 6, 6, 6};

    net_send(sim->net, from, to, NULL, rtp, sizeof(rtp));
}

static void send_check(struct sim *sim, const struct addr *from, const struct addr *to,
                       const char *names)
{
    uint8_t buf[200], txid[STUN_TXID_LEN] = {0};
    int len;

    memcpy(txid, &sim->serial, sizeof(sim->serial));
    sim->serial++;
    struct writer w = stun_begin(buf, sizeof(buf), STUN_REQUEST, STUN_BINDING, txid);
    stun_put_bytes(&w, STUN_USERNAME, names, strlen(names));
    stun_put_u32(&w, STUN_PRIORITY, 1);
    stun_put_u64(&w, STUN_ICE_CONTROLLING, 6);
    stun_put_flag(&w, STUN_USE_CANDIDATE);
    len = stun_finish(&w, "guess", 5, true);
    net_send(sim->net, from, to, NULL, buf, (size_t)len);
}

// At one port: from a socket that sends to all, and from one that sends here alone.
static void spray_port(struct sim *sim, const struct leg *leg, unsigned number)
{
    struct addr wide = addr_v4((const uint8_t[4]){6, 6, 6, (uint8_t)(number % 2)}, 666);
    struct addr alone = addr_v4((const uint8_t[4]){6, 6, 7, 7}, leg->port.port);
    static const char *const names[SIDE_COUNT] = {"mall:oryy", "oryy:mall"};

    switch (net_random(sim->net, 4)) {
    case 0:
        send_rtp(sim, &wide, &leg->port, sim->sequence);
        break;
    case 1:
        send_check(sim, &wide, &leg->port, names[net_random(sim->net, 2)]);
        break;
    case 2:
        send_check(sim, &alone, &leg->port, names[leg->side]);
        break;
    default:
        for (uint16_t i = 0; i < 2; i++)
            send_rtp(sim, &alone, &leg->port, (uint16_t)(sim->sequence + i));
        break;
    }
}

static void spray(struct sim *sim)
{
    for (unsigned c = 0; c < CHANNELS; c++)
        for (unsigned k = 0; k < COMPONENTS; k++)
            for (unsigned s = 0; s < SIDE_COUNT && sim->life[c][k].open; s++)
                spray_port(sim, &sim->life[c][k].leg[s], c);
    sim->sequence = (uint16_t)(sim->sequence + 2);
    const struct captured *copy = &sim->captured[net_random(sim->net, CAPTURED)];
    struct addr from = addr_v4((const uint8_t[4]){6, 6, 8, 8}, 666);
    if (copy->len > 0 && net_socket_at(sim->net, &copy->to))
        net_send(sim->net, &from, &copy->to, NULL, copy->data, copy->len);
}

// --- runs --------------------------------------------------------------------------------------

static void live(struct sim *sim, usec_t time)
{
    struct net *net = sim->net;
    usec_t end = net->now + time;

    while (net->now < end) {
        net_run(net, net->now + ROUND / 2 + net_random(net, ROUND));
        for (unsigned c = 0; c < CHANNELS; c++)
            for (unsigned k = 0; k < COMPONENTS; k++)
                come(&sim->life[c][k]);
        spray(sim);
    }
}

static struct sim *sim_new(uint64_t seed)
{
    struct relay_config config = {
        .bind = {addr_v4((const uint8_t[4]){203, 0, 113, 1}, 0), {.family = FAMILY_NONE}},
        .port_min = 40000,
        .port_max = 40011,
        .shares = 1,
        .limits = {.quarantine = 300 * MSEC, .silence = 700 * MSEC},
    };
    struct sim *sim = calloc(1, sizeof(*sim));
    if (!sim)
        abort();
    struct net_hooks hooks = {.ctx = sim, .arrives = arrives, .leaves = leaves, .event = event};

    sim->net = net_new(seed, &config, &hooks);
    sim->net->fate.loss = (unsigned)net_random(sim->net, 3) * 60;
    sim->net->fate.repeat = (unsigned)net_random(sim->net, 3) * 50;
    sim->net->fate.jitter = net_random(sim->net, 3) * 25 * MSEC;
    for (unsigned c = 0; c < CHANNELS; c++) {
        bool ice = net_random(sim->net, 2) == 0;
        usec_t start = sim->net->now + net_random(sim->net, 4000) * MSEC;
        for (unsigned k = 0; k < COMPONENTS; k++) {
            struct life *life = &sim->life[c][k];
            *life = (struct life){.sim = sim, .call = c + 1, .path = c * COMPONENTS + k + 1};
            life->ice = ice;
            for (unsigned s = 0; s < SIDE_COUNT; s++) {
                life->leg[s] = (struct leg){.life = life, .side = s};
                life->start[s] = start + net_random(sim->net, 200) * MSEC;
            }
        }
    }
    return sim;
}

static void sim_free(struct sim *sim)
{
    for (unsigned c = 0; c < CHANNELS; c++)
        for (unsigned k = 0; k < COMPONENTS; k++)
            for (unsigned s = 0; s < SIDE_COUNT; s++) {
                struct agent *client = sim->life[c][k].leg[s].client;
                if (client)
                    net_remove_agent(sim->net, client);
                agent_free(client);
            }
    net_free(sim->net);
    free(sim);
}

static void judge(const struct life *life, struct totals *totals)
{
    const struct net *net = life->sim->net;

    totals->lives++;
    totals->without_ports += !life->open;
    if (!life->open || !life->leg[0].client)
        return;
    for (unsigned s = 0; s < SIDE_COUNT; s++)
        if (net->now - life->leg[s].client->last_media > USEC_PER_SEC)
            net_fail(net, "path %" PRIu64 "%s: %s hears nothing", life->path,
                     life->ice ? "" : " (RTP)", s ? "the responder" : "the initiator");
    totals->by_checks += life->ice;
    totals->by_rtp += !life->ice;
}

// What the wire has seen, and every figure that was asked for.
static uint64_t run(uint64_t seed, enum net_offload how, struct totals *totals)
{
    struct sim *sim = sim_new(seed);
    const struct counters *c = &sim->net->counters;
    uint64_t trace;

    sim->net->coarse = seed % 4 == 1;
    net_offload(sim->net, how);

    for (unsigned i = 0; i < CHANNELS; i++) {
        open_component(&sim->life[i][0], 0);
        open_component(&sim->life[i][1], sim->life[i][0].path);
    }
    live(sim, 6 * USEC_PER_SEC);
    sim->net->fate = (struct net_fate){.delay = 10 * MSEC}; // but the strangers go on
    live(sim, 4 * USEC_PER_SEC);
    for (unsigned i = 0; i < CHANNELS; i++)
        for (unsigned k = 0; k < COMPONENTS; k++) {
            struct life *life = &sim->life[i][k];
            judge(life, totals);
            net_order(sim->net, &(struct order){.kind = ORDER_SNAPSHOT});
            if (life->open)
                net_order(sim->net, &(struct order){.kind = ORDER_CLOSE, .path = life->path});
        }
    net_run(sim->net, sim->net->now + USEC_PER_SEC);
    if (counter_get(c, COUNTER_PORTS_FREE) != 12 || counter_get(c, COUNTER_PATHS_OPEN) != 0)
        net_fail(sim->net, "ports are missing");
    totals->forwarded += counter_get(c, COUNTER_PACKETS_OUT);
    totals->exposed += counter_get(c, COUNTER_LATCHES_REFUSED);
    totals->learning += counter_get(c, COUNTER_DROP_INCONSISTENT);
    totals->refused += counter_get(c, COUNTER_DROP_UNPROVED);
    totals->by_kernel += sim->net->kernel ? sim->net->kernel->packets : 0;
    trace = sim->net->trace;
    sim_free(sim);
    return trace;
}

// Half of the seeds run twice, with a kernel and without.
static void run_seed(uint64_t seed, struct totals *totals)
{
    enum net_offload how = seed % 4 == 1 ? NET_OFFLOAD_SOME : NET_OFFLOAD_ALL;
    uint64_t trace = run(seed, NET_OFFLOAD_NONE, totals);
    struct totals twin = {0};

    if (seed % 2 == 0)
        return;
    if (run(seed, how, &twin) != trace) {
        fprintf(stderr, "seed %" PRIu64 ": with a kernel the channels live otherwise\n", seed);
        abort();
    }
    totals->by_kernel += twin.by_kernel;
}

static uint64_t setting(const char *name, uint64_t fallback)
{
    const char *text = getenv(name);

    return text ? strtoull(text, NULL, 0) : fallback;
}

int main(void)
{
    uint64_t seed = setting("SIM_SEED", 1), lives = setting("SIM_RUNS", 3000);
    struct totals t = {0};

    for (; t.lives < lives; seed++)
        run_seed(seed, &t);
    printf("%" PRIu64 " lives of paths of channels: %" PRIu64 " by checks, %" PRIu64
           " by RTP, %" PRIu64 " without ports; %" PRIu64 " datagrams forwarded, %" PRIu64
           " dropped while learning, %" PRIu64 " of strangers, %" PRIu64
           " sources exposed; beside them %" PRIu64 " forwarded by a kernel\n",
           t.lives, t.by_checks, t.by_rtp, t.without_ports, t.forwarded, t.learning, t.refused,
           t.exposed, t.by_kernel);
    // A simulation in which nothing happens proves nothing.
    return lives >= 100 && (t.by_checks < lives / 4 || t.by_rtp < lives / 8 || t.exposed == 0 ||
                            t.refused == 0 || t.without_ports == 0 || t.by_kernel == 0);
}
