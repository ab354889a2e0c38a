// SPDX-License-Identifier: ISC
// Ten thousand random calls, from the stanzas to the packets: two clients each, with styles of
// their own, that propose, offer, answer late or never, trickle, add, remove, restart, replace,
// cross each other, vanish and hang up at any moment, through the real signalling and the real
// relay. Some calls have media: real STUN checks and RTP behind symmetric NATs, with loss,
// repetition, reordering and roaming, to the candidates that were read out of the stanzas. In every
// third world the clients talk to each other, and their server diverts (lib_host). In three worlds
// of eight the signalling is restarted at any moment.
//
// After everything that happens the books of the signalling and of the relay are compared
// (lib_office), the wire is judged (lib_model), and at the end of each world nothing may be left:
// no port, session, proposal, pending request, user or timer; and every request was answered, once.
//
// SIM_SEED is the first seed, SIM_RUNS the number of calls; a world has up to 25 of them.
#include "base/buf.h"
#include "sim/lib_caller.h"
#include "sim/lib_office.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MSEC        USEC_PER_MSEC
#define SEC         USEC_PER_SEC
#define SLOTS       3
#define WORLD_CALLS 25

enum phase { PHASE_NONE, PHASE_OFFERED, PHASE_ACTIVE, PHASE_OVER };

struct slot { // one call
    struct dialog dialog;
    unsigned user[SIDE_COUNT];
    enum phase phase;
    bool gone[SIDE_COUNT]; // the client has vanished; its server answers for it
    bool media;
    struct agent *agent[SIDE_COUNT];
    char remote[SIDE_COUNT][16];    // ufrag that the agent has been told
    usec_t next, hangs_up, listens; // listens: media must have been heard until then
};

struct world {
    struct office *office;
    bool diverts; // the clients talk to each other, and their server to the relay
    struct slot slot[SLOTS];
    unsigned calls, serial;
    uint64_t carried;
};

struct totals {
    uint64_t calls, ended, answered, errors, carried, forwarded, worlds;
    uint64_t diverted, sent_on, diverted_carried, by_kernel, restarts;
};

// ---- sending

static void say(struct world *w, unsigned user, struct buf *text)
{
    if (text->failed)
        abort();
    office_send(w->office, user, text->data);
    buf_free(text);
}

static void answer(struct world *w, unsigned user, const struct xml *iq, const char *type,
                   const char *inner)
{
    struct buf text = {0};

    buf_printf(&text, "<iq xmlns='jabber:client' type='%s' id='%s' from='%s' to='%s'>%s</iq>", type,
               xml_attr(iq, "id"), xml_attr(iq, "to"), xml_attr(iq, "from"), inner);
    say(w, user, &text);
}

static void answer_error(struct world *w, unsigned user, const struct xml *iq,
                         const char *condition)
{
    char inner[200];

    snprintf(inner, sizeof inner,
             "<error type='cancel'><%s xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>",
             condition);
    answer(w, user, iq, "error", inner);
}

// ---- media

static bool agent_knows(const struct agent *agent, const struct addr *addr)
{
    for (unsigned i = 0; i < agent->pairs; i++) {
        if (addr_equal(&agent->pair[i].remote, addr))
            return true;
    }
    return false;
}

static void agent_learns(struct world *w, struct slot *s, enum side side,
                         const struct xml *transport)
{
    struct agent *agent = s->agent[side];
    struct net *net = w->office->net;
    const char *ufrag = xml_attr(transport, "ufrag"), *pwd = xml_attr(transport, "pwd");
    struct xml *c = xml_child(transport, "candidate", NULL);

    for (; c; c = xml_next(c, "candidate", NULL)) {
        const char *id = xml_attr(c, "id");
        struct addr addr;

        if (id && strncmp(id, "relay", 5) == 0 && jingle_candidate_component(c) == 1 &&
            jingle_candidate_addr(c, &addr) == 0 && !agent_knows(agent, &addr))
            agent_candidate(agent, 0, &addr, net->now);
    }
    if (ufrag && pwd && strcmp(ufrag, s->remote[side]) != 0) {
        snprintf(s->remote[side], sizeof s->remote[side], "%s", ufrag);
        agent_remote(agent, ufrag, pwd, net->now);
    }
    net_touch_agent(net, agent);
}

static void learn_media(struct world *w, struct slot *s, enum side side, const struct xml *jingle)
{
    const struct xml *content = xml_child(jingle, "content", NULL);
    const struct xml *transport = content ? jingle_transport(content) : NULL;

    if (s->agent[side] && transport && jingle_transport_kind(transport) == TRANSPORT_ICE)
        agent_learns(w, s, side, transport);
}

// They say no more, but what they have said is still under way.
static void hush_agents(struct world *w, struct slot *s)
{
    for (unsigned side = 0; side < SIDE_COUNT && s->agent[side]; side++) {
        s->agent[side]->config.media_interval = 0;
        s->agent[side]->remote_known = false;
        net_touch_agent(w->office->net, s->agent[side]);
    }
    s->listens = 0;
    s->next = w->office->net->now + SEC;
}

// What the relay does not take passes without its candidates.
static void check_media(struct world *w, struct slot *s, enum side side, enum jingle_action action)
{
    bool offers = action == JINGLE_SESSION_INITIATE || action == JINGLE_SESSION_ACCEPT;

    if (!w->diverts || !s->media || !offers || s->agent[side]->pairs > 0)
        return;
    s->media = false;
    hush_agents(w, s);
}

static void new_agents(struct world *w, struct slot *s)
{
    for (unsigned side = 0; side < SIDE_COUNT; side++) {
        const struct caller *c = &s->dialog.side[side];
        struct agent_config config = {.controlling = side == SIDE_INITIATOR,
                                      .ufrag = c->ufrag,
                                      .pwd = c->pwd,
                                      .seed = office_random(w->office, UINT64_MAX),
                                      .ssrc = (uint32_t)office_random(w->office, 1u << 31),
                                      .media_interval = 100 * MSEC,
                                      .send = net_agent_send,
                                      .ctx = w->office->net};

        s->agent[side] = agent_new(&config);
        s->remote[side][0] = 0;
        net_add_agent(w->office->net, s->agent[side]);
    }
}

static void free_agents(struct world *w, struct slot *s)
{
    for (unsigned side = 0; side < SIDE_COUNT; side++) {
        if (s->agent[side])
            net_remove_agent(w->office->net, s->agent[side]);
        agent_free(s->agent[side]);
        s->agent[side] = NULL;
    }
}

// Its own restart, signalled; the agent has the new names before anybody else.
static void restart(struct world *w, struct slot *s, enum side side)
{
    struct buf text = {0};

    caller_restart(&s->dialog, side, &text);
    if (s->agent[side]) {
        agent_restart(s->agent[side], s->dialog.side[side].ufrag, s->dialog.side[side].pwd,
                      w->office->net->now);
        net_touch_agent(w->office->net, s->agent[side]);
    }
    say(w, s->user[side], &text);
}

// Both must hear each other in the end.
static void listen(struct world *w, struct slot *s)
{
    struct net *net = w->office->net;

    for (unsigned side = 0; side < SIDE_COUNT; side++) {
        if (net->now - s->agent[side]->last_media > 3 * SEC)
            net_fail(net, "%s: %s hears nothing", s->dialog.sid,
                     side ? "the responder" : "the initiator");
    }
    w->carried++;
    s->listens = 0;
}

static void opened(void *ctx, const char *sid, struct office_path *path)
{
    struct world *w = ctx;

    for (unsigned i = 0; i < SLOTS; i++) {
        struct slot *s = &w->slot[i];

        for (unsigned side = 0; side < SIDE_COUNT && strcmp(sid, s->dialog.sid) == 0; side++)
            path->leg[side].agent = s->agent[side];
    }
}

// ---- what arrives at a client

static struct slot *slot_of(struct world *w, unsigned user, const struct xml *jingle,
                            enum side *ret_side)
{
    const char *sid = xml_attr(jingle, "sid");

    for (unsigned i = 0; i < SLOTS; i++) {
        struct slot *s = &w->slot[i];

        for (unsigned side = 0; side < SIDE_COUNT && s->phase != PHASE_NONE; side++) {
            if (s->user[side] == user && sid && strcmp(sid, s->dialog.sid) == 0) {
                *ret_side = (enum side)side;
                return s;
            }
        }
    }
    return NULL;
}

static void accept(struct world *w, struct slot *s)
{
    struct buf text = {0};

    caller_accept(&s->dialog, &text);
    say(w, s->user[SIDE_RESPONDER], &text);
}

static void react(struct world *w, struct slot *s, enum side side, const struct xml *jingle)
{
    enum jingle_action action = jingle_action(xml_attr(jingle, "action"));
    struct net *net = w->office->net;
    struct buf text = {0};
    bool restarted = s->media && action == JINGLE_TRANSPORT_INFO &&
                     s->dialog.side[side].generation < s->dialog.side[!side].generation;

    learn_media(w, s, side, jingle);
    check_media(w, s, side, action);
    if (action == JINGLE_SESSION_ACCEPT && s->phase == PHASE_OFFERED) {
        s->phase = PHASE_ACTIVE;
        s->listens = s->media ? net->now + 16 * SEC : 0;
    } else if (action == JINGLE_SESSION_TERMINATE) {
        s->phase = PHASE_OVER;
        hush_agents(w, s);
    } else if (restarted) {
        restart(w, s, side); // RFC 8445 section 9: the other answers with new ones of its own
    } else if (!s->media) {
        caller_react(&s->dialog, side, jingle, &text);
        say(w, s->user[side], &text);
    }
}

static void jingle_arrives(struct world *w, unsigned user, const struct xml *iq,
                           const struct xml *jingle)
{
    enum side side;
    struct slot *s = slot_of(w, user, jingle, &side);
    uint64_t mood = office_random(w->office, 100);

    if (!s || s->phase == PHASE_OVER) {
        answer_error(w, user, iq, "item-not-found");
        return;
    }
    if (s->gone[side]) {
        answer_error(w, user, iq, "service-unavailable");
        return;
    }
    // What the caller sees is one constant full JID.
    if (strcmp(xml_attr(iq, "from"), s->dialog.side[side].peer) != 0)
        net_fail(w->office->net, "%s speaks as %s", s->dialog.side[side].peer,
                 xml_attr(iq, "from"));
    if (!s->media && mood < 4) {
        answer_error(w, user, iq, "bad-request");
        return;
    }
    if (s->media || w->diverts || mood < 94) // nobody else answers for whom the server asks
        answer(w, user, iq, "result", "");
    react(w, s, side, jingle);
}

static void disco_arrives(struct world *w, unsigned user, const struct xml *iq)
{
    static const char *const clients[] = {"Client", "Dino", "Miranda NG", "Psi", "Asterisk"};
    unsigned client = (unsigned)office_random(w->office, 8);
    char inner[200];

    for (unsigned i = 0; i < SLOTS; i++) {
        for (unsigned side = 0; side < SIDE_COUNT; side++) {
            if (w->slot[i].user[side] == user && w->slot[i].gone[side]) {
                answer_error(w, user, iq, "service-unavailable");
                return;
            }
        }
    }
    if (client == 7)
        return; // never
    snprintf(inner, sizeof inner,
             "<query xmlns='http://jabber.org/protocol/disco#info'><identity name='%s'/></query>",
             clients[client % 5]);
    answer(w, user, iq, "result", inner);
}

// An offer that was refused.
static void error_arrives(struct world *w, const struct xml *iq)
{
    char id[64];

    for (unsigned i = 0; i < SLOTS; i++) {
        struct slot *s = &w->slot[i];

        snprintf(id, sizeof id, "q%s.1", s->dialog.sid);
        if (s->phase == PHASE_NONE || strcmp(xml_attr(iq, "id"), id) != 0)
            continue;
        s->phase = PHASE_OVER;
        hush_agents(w, s);
    }
}

static void arrives(void *ctx, unsigned user, const struct xml *stanza)
{
    struct world *w = ctx;
    const char *type = xml_attr(stanza, "type");
    const struct xml *jingle = xml_child(stanza, "jingle", NS_JINGLE);

    if (strcmp(stanza->name, "iq") == 0 && strcmp(type, "error") == 0)
        error_arrives(w, stanza);
    if (strcmp(stanza->name, "iq") != 0 || (strcmp(type, "set") && strcmp(type, "get")))
        return;
    if (jingle)
        jingle_arrives(w, user, stanza, jingle);
    else
        disco_arrives(w, user, stanza);
}

// ---- the life of a call

static void meet(struct world *w, struct slot *s)
{
    struct office *o = w->office;

    s->user[0] = (unsigned)office_random(o, OFFICE_USERS);
    s->user[1] = (s->user[0] + 1 + (unsigned)office_random(o, OFFICE_USERS - 1)) % OFFICE_USERS;
    s->dialog.random = office_random(o, UINT64_MAX);
    snprintf(s->dialog.sid, sizeof s->dialog.sid, "s%u", ++w->serial);
    for (unsigned side = 0; side < SIDE_COUNT; side++) {
        struct caller *c = &s->dialog.side[side];

        snprintf(c->jid, sizeof c->jid, "u%u@example.org/r", s->user[side]);
        snprintf(c->peer, sizeof c->peer,
                 w->diverts ? "u%u@example.org/r" : "u%u\\40example.org@relay.example.org/r",
                 s->user[!side]);
        caller_renew(&s->dialog, (enum side)side);
    }
}

static void choose_styles(struct world *w, struct slot *s)
{
    for (unsigned side = 0; side < SIDE_COUNT; side++) {
        struct caller_style *style = &s->dialog.side[side].style;
        uint64_t bits = office_random(w->office, 1 << 7);

        *style = (struct caller_style){.trickles = bits & 1,
                                       .bundles = bits & 2,
                                       .muxes = bits & 4,
                                       .raw = (bits & 24) == 24,
                                       .leaves_out_pwd = bits & 32,
                                       .wrong_creator = bits & 64,
                                       .ice0 = false};
        if (s->media)
            *style = (struct caller_style){.trickles = bits & 1, .muxes = bits & 4};
    }
    s->dialog.side[0].style.ice0 = office_random(w->office, 6) == 0;
}

static void begin(struct world *w, struct slot *s)
{
    struct office *o = w->office;
    struct buf text = {0};

    free_agents(w, s);
    *s = (struct slot){.phase = PHASE_OFFERED, .media = office_random(o, 8) == 0};
    meet(w, s);
    choose_styles(w, s);
    w->calls++;
    if (s->media)
        new_agents(w, s);
    s->next = o->net->now + office_random(o, 1200) * MSEC;
    s->hangs_up = o->net->now + (s->media ? 60 * SEC : office_random(o, 12000) * MSEC);
    if (office_random(o, 3) == 0) {
        caller_propose(&s->dialog, SIDE_INITIATOR, "propose", &text);
        say(w, s->user[0], &text);
        caller_propose(&s->dialog, SIDE_RESPONDER, "proceed", &text);
        say(w, s->user[1], &text);
    }
    caller_initiate(&s->dialog, s->media ? 1 : 1 + (unsigned)office_random(o, 3), &text);
    say(w, s->user[0], &text);
}

static void hang_up(struct world *w, struct slot *s)
{
    enum side side = (enum side)office_random(w->office, 2);
    struct buf text = {0};

    hush_agents(w, s);
    s->phase = PHASE_OVER;
    if (office_random(w->office, 10) == 0) { // both are gone, and nobody says so
        s->gone[0] = s->gone[1] = true;
        return;
    }
    caller_terminate(&s->dialog, side, "success", &text);
    say(w, s->user[side], &text);
    if (office_random(w->office, 4) == 0) { // both at once
        caller_terminate(&s->dialog, side ? SIDE_INITIATOR : SIDE_RESPONDER, "gone", &text);
        say(w, s->user[!side], &text);
    }
}

// A call with media has its troubles first, then peace, and is listened to.
static void trouble(struct world *w, struct slot *s)
{
    struct office *o = w->office;
    enum side side = (enum side)office_random(o, 2);

    if (s->phase != PHASE_ACTIVE || s->listens < o->net->now + 12 * SEC)
        return;
    if (office_random(o, 3) == 0)
        net_roam(o->net, s->agent[side], 0);
    else if (office_random(o, 3) == 0 && s->dialog.side[0].generation < 3)
        restart(w, s, SIDE_INITIATOR);
}

static void act(struct world *w, struct slot *s)
{
    struct office *o = w->office;
    enum side side = (enum side)office_random(o, 2);
    struct buf text = {0};

    s->next = o->net->now + (30 + office_random(o, 600)) * MSEC;
    if (s->phase == PHASE_OFFERED) {
        if (s->media || office_random(o, 3) > 0)
            accept(w, s);
        if (!s->media && office_random(o, 4) == 0)
            caller_act(&s->dialog, SIDE_INITIATOR, &text);
    } else if (s->media) {
        trouble(w, s);
    } else {
        caller_act(&s->dialog, side, &text);
    }
    say(w, s->user[side], &text);
}

static void step(struct world *w, struct slot *s)
{
    usec_t now = w->office->net->now;

    if (s->phase == PHASE_NONE || s->phase == PHASE_OVER) {
        if (w->calls < WORLD_CALLS && s->next <= now && office_random(w->office, 4) == 0)
            begin(w, s);
        return;
    }
    if (s->listens && s->listens <= now) {
        listen(w, s);
        s->hangs_up = now;
    }
    if (s->hangs_up <= now)
        hang_up(w, s);
    else if (s->next <= now)
        act(w, s);
}

// ---- runs

static struct office *new_office(struct world *w, uint64_t seed)
{
    static const char *const domains[] = {"example.org"};
    bool v6 = seed % 4 == 0;
    struct signal_config config = {.domain = "relay.example.org",
                                   .served = domains,
                                   .served_count = 1,
                                   .policy = seed % 5 == 0 ? POLICY_RELAY_ONLY : POLICY_FALLBACK,
                                   .family_v4 = true,
                                   .family_v6 = v6,
                                   .candidates_max = 16,
                                   .answer_timeout = 3 * SEC,
                                   .proposal_timeout = 20 * SEC,
                                   .calls = {.calls = 10,
                                             .calls_per_user = seed % 3 ? 0 : 2,
                                             .setup_timeout = 2 * SEC,
                                             .ring_timeout = 8 * SEC,
                                             .media_timeout = 3 * SEC,
                                             .idle_timeout = 5 * SEC,
                                             .duration = 100 * SEC}};
    struct relay_config relay = {
        .bind = {addr_v4((const uint8_t[4]){203, 0, 113, 1}, 0)},
        .port_min = 40000,
        .port_max = 40029,
        .shares = 1,
        .limits = {.quarantine = 300 * MSEC, .silence = SEC, .learning_window = 2 * SEC}};
    struct office_hooks hooks = {w, arrives, opened};
    struct office *o;

    if (v6)
        relay.bind[1] = addr_v6((const uint8_t[16]){0x20, 1, 0xd, 0xb8, 0, 1}, 0);
    o = office_new(seed, w->diverts, &config, &relay, &hooks);
    if (seed / 4 % 2 == 0)
        net_share(o->net, &relay);
    return o;
}

// What the wire has seen, and every figure that was asked for.
static uint64_t run(uint64_t seed, enum net_offload how, struct totals *t)
{
    struct world *w = calloc(1, sizeof *w);
    bool restarts = seed % 8 >= 5; // of the signalling
    struct office *o;
    uint64_t trace;

    if (!w)
        abort();
    w->diverts = seed % 3 == 1;
    o = w->office = new_office(w, seed);
    o->net->coarse = seed % 4 == 2;
    net_offload(o->net, how);
    if (restarts)
        o->net->restarts = 200;
    o->net->fate = (struct net_fate){.delay = 10 * MSEC,
                                     .jitter = office_random(o, 3) * 40 * MSEC,
                                     .loss = (unsigned)office_random(o, 4) * 20,
                                     .repeat = (unsigned)office_random(o, 3) * 30};
    while (w->calls < WORLD_CALLS) {
        for (unsigned i = 0; i < SLOTS; i++)
            step(w, &w->slot[i]);
        if (restarts && office_random(o, 6) == 0)
            office_restart(o);
        office_run(o, (10 + office_random(o, 200)) * MSEC);
    }
    for (unsigned i = 0; i < SLOTS; i++) {
        hush_agents(w, &w->slot[i]);
        w->slot[i].phase = PHASE_OVER; // they let go without a word
        w->slot[i].gone[0] = w->slot[i].gone[1] = true;
    }
    office_run(o, 400 * SEC);
    for (unsigned i = 0; i < SLOTS; i++)
        free_agents(w, &w->slot[i]);
    t->worlds++;
    t->calls += w->calls;
    t->carried += w->carried;
    t->diverted_carried += w->diverts ? w->carried : 0;
    t->diverted += counter_get(&o->counters, COUNTER_DIVERTED_OPENED);
    t->sent_on += counter_get(&o->counters, COUNTER_DIVERT_SENT_ON);
    t->ended += o->ended;
    t->restarts += o->restarts;
    t->answered += o->answered;
    t->errors += o->errors;
    t->forwarded += counter_get(&o->net->counters, COUNTER_PACKETS_OUT);
    t->by_kernel += o->net->kernel ? o->net->kernel->packets : 0;
    trace = o->net->trace;
    office_free(o);
    free(w);
    return trace;
}

// Half of the seeds run twice, with a kernel and without.
static void run_seed(uint64_t seed, struct totals *t)
{
    enum net_offload how = seed % 4 == 2 ? NET_OFFLOAD_SOME : NET_OFFLOAD_ALL;
    uint64_t trace = run(seed, NET_OFFLOAD_NONE, t);
    struct totals twin = {0};

    if (seed % 2 == 1)
        return;
    if (run(seed, how, &twin) != trace) {
        fprintf(stderr, "seed %" PRIu64 ": with a kernel the calls go otherwise\n", seed);
        abort();
    }
    t->by_kernel += twin.by_kernel;
}

static uint64_t setting(const char *name, uint64_t fallback)
{
    const char *text = getenv(name);

    return text ? strtoull(text, NULL, 0) : fallback;
}

int main(void)
{
    uint64_t first = setting("SIM_SEED", 1), calls = setting("SIM_RUNS", 10000);
    struct totals t = {0};

    for (uint64_t seed = first; t.calls < calls; seed++)
        run_seed(seed, &t);
    printf("%" PRIu64 " calls in %" PRIu64 " worlds from seed %" PRIu64 ": %" PRIu64
           " sessions ended, %" PRIu64 " requests answered, %" PRIu64 " of them by errors; %" PRIu64
           " calls carried, %" PRIu64 " datagrams forwarded\n",
           t.calls, t.worlds, first, t.ended, t.answered, t.errors, t.carried, t.forwarded);
    printf("of these %" PRIu64 " sessions diverted, %" PRIu64 " stanzas sent on, %" PRIu64
           " calls carried; beside them, with a kernel, %" PRIu64 " datagrams forwarded by it\n",
           t.diverted, t.sent_on, t.diverted_carried, t.by_kernel);
    printf("the signalling was restarted %" PRIu64 " times\n", t.restarts);
    // A simulation in which nothing happens proves nothing.
    return calls >= 1000 && (t.restarts < t.worlds || t.ended < t.calls / 2 ||
                             t.carried < t.calls / 50 || !t.forwarded || t.diverted < t.calls / 6 ||
                             t.diverted_carried < t.calls / 200 || !t.by_kernel);
}
