// SPDX-License-Identifier: ISC
// Thousands of random lives of a TURN server: clients that allocate, permit, bind, move and leave,
// peers that send, requests and answers that are lost, repeated or late, and time that passes. A
// model of RFC 8656, written apart from the server as plain lists without deadlines of its own,
// says what each request must be answered and which datagram may pass; after every step the
// server's invariants are asserted, and that its ports and charges are the model's.
//
// SIM_SEED is the first seed, SIM_RUNS the number of lives.
#include "lib/turn_world.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SECOND      USEC_PER_SEC
#define CLIENTS     6
#define PLACES      3 // addresses that one client may send from
#define PEERS       8
#define PEER_IPS    4
#define CHANNELS    4
#define STEPS       400
#define PERMISSIONS 2 // limits
#define QUOTA       4
#define PORTS       6

// ---- the model ----

struct rule { // of one relayed address
    bool open;
    usec_t until;
};

struct model_channel {
    bool bound;
    unsigned peer;
    usec_t until;
};

struct model {
    bool alive;
    unsigned at; // place of the 5-tuple
    int waits;   // place announced by ticket, -1: none
    bool mobile;
    struct rule port[2]; // IPv4, IPv6
    usec_t permitted[PEER_IPS];
    struct model_channel channel[CHANNELS];
    struct addr relayed[2];
    uint64_t to_peer, to_client; // datagrams
};

struct sim_client {
    struct tw_client place[PLACES];
    struct model model;
    uint8_t ticket[64]; // the last that arrived
    uint16_t ticket_len;
};

struct sim {
    struct tw *w;
    uint64_t random, seed;
    unsigned step;
    struct sim_client client[CLIENTS];
    struct addr peer[PEERS];
    unsigned passed, refused, codes[1000];
    uint64_t by_kernel;
};

static uint64_t roll(struct sim *s, uint64_t n)
{
    uint64_t z = (s->random += 0x9e3779b97f4a7c15u);
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return (z ^ z >> 31) % n;
}

#define MUST(s, condition)                                                                         \
    do {                                                                                           \
        if (!(condition))                                                                          \
            fail_msg("seed %" PRIu64 ", step %u: not %s", (s)->seed, (s)->step, #condition);       \
    } while (0)

// Peers 0 to 3 have IPv4 addresses (two ports on each of two hosts), 4 and 5 IPv6 (one host),
// 6 and 7 one that is forbidden.
static unsigned host_of(unsigned peer)
{
    return peer / 2;
}

static unsigned family_of(unsigned peer)
{
    return peer == 4 || peer == 5;
}

static bool forbidden(unsigned peer)
{
    return peer >= 6;
}

static bool model_permits(const struct sim *s, const struct model *m, unsigned peer)
{
    return m->alive && m->port[family_of(peer)].open && m->permitted[host_of(peer)] > s->w->now;
}

static unsigned model_permissions(const struct sim *s, const struct model *m)
{
    unsigned n = 0;
    for (unsigned i = 0; i < PEER_IPS; i++)
        n += m->permitted[i] > s->w->now && m->port[i == 2].open;
    return n;
}

// What a family loses when its address goes.
static void model_close(struct model *m, unsigned family)
{
    m->port[family].open = false;
    for (unsigned i = 0; i < PEER_IPS; i++) {
        if ((i == 2) == family)
            m->permitted[i] = 0;
    }
    for (unsigned i = 0; i < CHANNELS; i++) {
        if (family_of(m->channel[i].peer) == family)
            m->channel[i].bound = false;
    }
}

static void model_expire(struct sim *s)
{
    for (unsigned i = 0; i < CLIENTS; i++) {
        struct model *m = &s->client[i].model;
        for (unsigned f = 0; f < 2; f++) {
            if (m->port[f].open && m->port[f].until <= s->w->now)
                model_close(m, f);
        }
        if (!m->port[0].open && !m->port[1].open)
            m->alive = false;
    }
}

static unsigned model_ports(const struct sim *s)
{
    unsigned n = 0;
    for (unsigned i = 0; i < CLIENTS; i++) {
        const struct model *m = &s->client[i].model;
        n += m->alive ? m->port[0].open + m->port[1].open : 0;
    }
    return n;
}

static unsigned model_alive(const struct sim *s)
{
    unsigned n = 0;
    for (unsigned i = 0; i < CLIENTS; i++)
        n += s->client[i].model.alive;
    return n;
}

// Does this place belong to the client's allocation?
static bool lives(const struct model *m, unsigned place)
{
    return m->alive && (m->at == place || m->waits == (int)place);
}

static void agree_on(void *ctx, const struct turn_view *view)
{
    struct sim *s = ctx;
    for (unsigned i = 0; i < CLIENTS; i++) {
        const struct model *m = &s->client[i].model;
        unsigned f = m->port[0].open ? 0 : 1;
        if (!m->alive || !addr_equal(&m->relayed[f], &view->relayed[f]))
            continue;
        MUST(s, view->packets_out == m->to_peer && view->bytes_out == 4 * m->to_peer);
        MUST(s, view->packets_in == m->to_client && view->bytes_in == 4 * m->to_client);
        return;
    }
    MUST(s, false); // an allocation that the model does not have
}

static void agree(struct sim *s)
{
    model_expire(s);
    MUST(s, tw_ports_open(s->w) == model_ports(s));
    MUST(s, tw_counter(s->w, COUNTER_TURN_ALLOCATIONS) == model_alive(s));
    MUST(s, tw_charged(s->w, "static") == model_alive(s));
    if (s->step % 8 == 0)
        turn_list(s->w->turn, agree_on, s, s->w->now);
}

// ---- requests ----

// A client asks over a network that loses and repeats; returns what it is told, when it is.
static int ask(struct sim *s, struct tw_client *c, struct writer *out)
{
    int code = tw_send(s->w, c, out);
    if (code == 438) {
        tw_learn(s->w, c);
        return 438;
    }
    s->codes[code < 0 ? 999 : code]++;
    return code;
}

static void allocate(struct sim *s, struct sim_client *c, unsigned place)
{
    struct tw_client *from = &c->place[place];
    struct model *m = &c->model;
    bool dual = roll(s, 3) == 0, mobile = roll(s, 2), taken = lives(m, place);
    unsigned free = PORTS - model_ports(s), want = 437;
    struct writer out = tw_begin(from, STUN_ALLOCATE);
    stun_put_u32(&out, STUN_REQUESTED_TRANSPORT, 17u << 24);
    if (dual)
        stun_put_u32(&out, STUN_ADDITIONAL_ADDRESS_FAMILY, 2u << 24);
    if (mobile)
        stun_put_bytes(&out, STUN_MOBILITY_TICKET, NULL, 0);
    // One client has one allocation at a time here, so that the model stays a plain list.
    if (m->alive && !taken)
        return;
    if (!taken)
        want = model_alive(s) >= QUOTA ? 486 : free == 0 ? 508 : 0;
    int code = ask(s, from, &out);
    if (code == 438)
        return;
    MUST(s, code == (int)want);
    if (code != 0)
        return;
    *m = (struct model){.alive = true, .at = place, .waits = -1, .mobile = mobile};
    for (unsigned f = 0; f < (dual && free > 1 ? 2u : 1u); f++) {
        m->port[f] = (struct rule){.open = true, .until = s->w->now + 600 * SECOND};
        m->relayed[f] = tw_relayed(s->w, f);
    }
    MUST(s, stun_has(&s->w->reply, STUN_ADDRESS_ERROR_CODE) == (dual && free == 1));
    MUST(s, stun_has(&s->w->reply, STUN_MOBILITY_TICKET) == mobile);
    c->ticket_len = s->w->reply.attr[STUN_MOBILITY_TICKET].len;
    if (mobile)
        memcpy(c->ticket, s->w->reply.attr[STUN_MOBILITY_TICKET].data, c->ticket_len);
    while (roll(s, 3) == 0) // repeated by the network
        MUST(s, tw_again(s->w, from) == 0);
}

static void refresh(struct sim *s, struct sim_client *c, unsigned place)
{
    static const uint32_t lifetimes[] = {0, 1, 600, 900, 4000};
    struct model *m = &c->model;
    uint32_t asked = lifetimes[roll(s, 4) ? 1 + roll(s, 4) : 0];
    unsigned named = (unsigned)roll(s, 4); // 0, 3: none; 1: IPv4, 2: IPv6
    uint32_t granted = asked == 0 ? 0 : asked < 600 ? 600 : asked > 3600 ? 3600 : asked;
    int want = lives(m, place) ? 0 : 437;
    if (want == 0 && (named == 1 || named == 2) && !m->port[named - 1].open)
        want = 443;
    struct writer out = tw_begin(&c->place[place], STUN_REFRESH);
    stun_put_u32(&out, STUN_LIFETIME, asked);
    if (named == 1 || named == 2)
        stun_put_u32(&out, STUN_REQUESTED_ADDRESS_FAMILY, named << 24);
    int code = ask(s, &c->place[place], &out);
    if (code == 438)
        return;
    MUST(s, code == want);
    if (code != 0)
        return;
    MUST(s, stun_u32(&s->w->reply, STUN_LIFETIME) == granted);
    for (unsigned f = 0; f < 2; f++) {
        if (!m->port[f].open || ((named == 1 || named == 2) && named - 1 != f))
            continue;
        if (granted == 0)
            model_close(m, f);
        else
            m->port[f].until = s->w->now + granted * SECOND;
    }
}

static void move(struct sim *s, struct sim_client *c, unsigned place)
{
    struct model *m = &c->model;
    if (!m->alive || !m->mobile)
        return;
    struct writer out = tw_begin(&c->place[place], STUN_REFRESH);
    stun_put_bytes(&out, STUN_MOBILITY_TICKET, c->ticket, c->ticket_len);
    int code = ask(s, &c->place[place], &out);
    if (code == 438)
        return;
    MUST(s, code == (lives(m, place) ? 400 : 0));
    if (code != 0)
        return;
    m->waits = (int)place;
    for (unsigned f = 0; f < 2; f++)
        m->port[f].until = s->w->now + 600 * SECOND;
    // Sometimes the answer is lost: the old ticket, sent again, brings the new one.
    if (roll(s, 2))
        MUST(s, tw_again(s->w, &c->place[place]) == 0);
    memcpy(c->ticket, s->w->reply.attr[STUN_MOBILITY_TICKET].data, c->ticket_len);
}

// Whoever sends data from an announced place, or is given a permission or channel there, is there
// from now on.
static bool model_arrive(struct model *m, unsigned place)
{
    if (!lives(m, place))
        return false;
    if (m->waits == (int)place) {
        m->at = place;
        m->waits = -1;
    }
    return true;
}

static int want_peer(const struct model *m, unsigned peer)
{
    if (!m->port[family_of(peer)].open)
        return 443;
    return forbidden(peer) ? 403 : 0;
}

static void permit(struct sim *s, struct sim_client *c, unsigned place, unsigned peer)
{
    struct model *m = &c->model;
    int want = lives(m, place) ? want_peer(m, peer) : 437;
    bool is_new = !model_permits(s, m, peer);
    if (want == 0 && is_new && model_permissions(s, m) >= PERMISSIONS)
        want = 508;
    struct writer out = tw_begin(&c->place[place], STUN_CREATE_PERMISSION);
    stun_put_addr(&out, STUN_XOR_PEER_ADDRESS, &s->peer[peer]);
    int code = ask(s, &c->place[place], &out);
    if (code == 438)
        return;
    MUST(s, code == want);
    if (code != 0)
        return;
    model_arrive(m, place);
    m->permitted[host_of(peer)] = s->w->now + 300 * SECOND;
}

static bool bound(const struct sim *s, const struct model_channel *channel)
{
    return channel->bound && channel->until > s->w->now;
}

static int want_bind(const struct sim *s, const struct model *m, unsigned number, unsigned peer)
{
    int want = want_peer(m, peer);
    if (want != 0)
        return want;
    for (unsigned i = 0; i < CHANNELS; i++) {
        if (bound(s, &m->channel[i]) && (i == number) != (m->channel[i].peer == peer))
            return 400;
    }
    return !model_permits(s, m, peer) && model_permissions(s, m) >= PERMISSIONS ? 508 : 0;
}

static void bind(struct sim *s, struct sim_client *c, unsigned place, unsigned peer)
{
    struct model *m = &c->model;
    unsigned number = (unsigned)roll(s, CHANNELS);
    int want = lives(m, place) ? want_bind(s, m, number, peer) : 437;
    struct writer out = tw_begin(&c->place[place], STUN_CHANNEL_BIND);
    stun_put_u32(&out, STUN_CHANNEL_NUMBER, (0x4000 + number) << 16);
    stun_put_addr(&out, STUN_XOR_PEER_ADDRESS, &s->peer[peer]);
    int code = ask(s, &c->place[place], &out);
    if (code == 438)
        return;
    MUST(s, code == want);
    if (code != 0)
        return;
    model_arrive(m, place);
    m->permitted[host_of(peer)] = s->w->now + 300 * SECOND;
    m->channel[number] =
        (struct model_channel){.bound = true, .peer = peer, .until = s->w->now + 600 * SECOND};
}

// ---- data ----

static void sent_to(struct sim *s, struct model *m, unsigned peer, bool want,
                    enum turn_action action)
{
    MUST(s, action == (want ? TURN_TO_PEER : TURN_CONSUME));
    s->passed += want;
    s->refused += !want;
    if (!want)
        return;
    m->to_peer++;
    const struct tw_port *port = s->w->forward.handle;
    MUST(s, addr_equal(&s->w->forward.to, &s->peer[peer]));
    MUST(s, addr_equal(&port->addr, &m->relayed[family_of(peer)]));
    MUST(s, s->w->packet.len == 4 && memcmp(s->w->packet.data, "data", 4) == 0);
}

static void send_channel(struct sim *s, struct sim_client *c, unsigned place, unsigned number)
{
    struct model *m = &c->model;
    const struct model_channel *channel = &m->channel[number];
    bool want =
        model_arrive(m, place) && bound(s, channel) && m->port[family_of(channel->peer)].open;
    enum turn_action action =
        tw_channel(s->w, &c->place[place], (uint16_t)(0x4000 + number), "data", 4);
    sent_to(s, m, channel->peer, want, action);
}

static void send_indication(struct sim *s, struct sim_client *c, unsigned place, unsigned peer)
{
    struct model *m = &c->model;
    bool want = model_arrive(m, place) && model_permits(s, m, peer) && !forbidden(peer);
    sent_to(s, m, peer, want, tw_indicate(s->w, &c->place[place], &s->peer[peer], "data", 4));
}

static void peer_sends(struct sim *s, struct sim_client *c, unsigned peer)
{
    struct model *m = &c->model;
    unsigned family = family_of(peer);
    if (!m->alive || !m->port[family].open)
        return;
    bool want = model_permits(s, m, peer);
    int number = -1;
    for (unsigned i = 0; i < CHANNELS; i++) {
        if (bound(s, &m->channel[i]) && m->channel[i].peer == peer)
            number = (int)i;
    }
    enum turn_action action = tw_peer(s->w, &m->relayed[family], &s->peer[peer], "data", 4);
    MUST(s, action == (want ? TURN_TO_CLIENT : TURN_CONSUME));
    s->passed += want;
    s->refused += !want;
    if (!want)
        return;
    m->to_client++;
    MUST(s, addr_equal(&s->w->forward.client.remote, &c->place[m->at].at.remote));
    const uint8_t *data = s->w->packet.data;
    if (number >= 0)
        MUST(s, s->w->packet.len == 8 && data[0] == 0x40 && data[1] == number);
    else
        MUST(s, s->w->reply.method == STUN_DATA_INDICATION);
}

// Both send as much as it takes to be left to the kernel.
static void talk(struct sim *s, struct sim_client *c, unsigned place)
{
    unsigned number = (unsigned)roll(s, CHANNELS), peer = c->model.channel[number].peer;
    for (unsigned i = 0; i < 8; i++) {
        send_channel(s, c, place, number);
        peer_sends(s, c, peer);
    }
}

// A connection ends: with it the allocation, unless it is mobile.
static void lose(struct sim *s, struct sim_client *c, unsigned place)
{
    struct model *m = &c->model;
    if (!lives(m, place) || m->mobile)
        return;
    turn_client_gone(s->w->turn, &c->place[place].at, s->w->now);
    tw_tick(s->w);
    m->alive = m->port[0].open = m->port[1].open = false;
}

// ---- lives ----

static void act(struct sim *s)
{
    struct sim_client *c = &s->client[roll(s, CLIENTS)];
    // Mostly from where it is.
    unsigned place = roll(s, 4) ? c->model.at : (unsigned)roll(s, PLACES);
    unsigned peer = (unsigned)roll(s, roll(s, 4) ? 4 : PEERS);
    switch (roll(s, 18)) {
    case 0:
    case 1:
        allocate(s, c, place);
        break;
    case 2:
        refresh(s, c, place);
        break;
    case 3:
        permit(s, c, place, peer);
        break;
    case 4:
    case 5:
        bind(s, c, place, peer);
        break;
    case 6:
    case 11:
    case 12:
        send_channel(s, c, place, (unsigned)roll(s, CHANNELS));
        break;
    case 7:
    case 13:
        send_indication(s, c, place, peer);
        break;
    case 8:
    case 9:
    case 14:
        peer_sends(s, c, peer);
        break;
    case 15:
    case 16:
        talk(s, c, place);
        break;
    case 10:
        move(s, c, place);
        break;
    default:
        if (roll(s, 8) == 0)
            lose(s, c, place);
    }
}

static void pass_time(struct sim *s)
{
    static const usec_t spans[] = {0,           1,           SECOND,       15 * SECOND,
                                   60 * SECOND, 99 * SECOND, 250 * SECOND, 600 * SECOND};
    usec_t time = spans[roll(s, roll(s, 30) ? 4 : 8)];
    if (time > 0)
        tw_wait(s->w, time);
    model_expire(s);
}

static void set_up(struct sim *s, uint64_t seed)
{
    static const char *const ips[] = {"192.0.2.1", "192.0.2.2", "2001:db8:2::1", "10.0.0.1"};
    *s = (struct sim){.w = tw_new(), .seed = seed, .random = seed};
    s->w->random = seed;
    s->w->ports_max = PORTS;
    s->w->per_user = QUOTA;
    s->w->config.permissions_max = PERMISSIONS;
    s->w->config.channels_max = CHANNELS;
    s->w->config.answers_per_second = 1000;
    s->w->config.answers_burst = 1000;
    tw_start(s->w);
    if (seed % 2)
        tw_offload(s->w);
    if (seed % 4 == 1)
        s->w->kernel->pass_up = s->w->kernel->refuse = 200;
    for (unsigned i = 0; i < PEERS; i++)
        s->peer[i] = tw_at(ips[host_of(i)], (uint16_t)(5000 + i % 2));
    for (unsigned i = 0; i < CLIENTS; i++) {
        for (unsigned k = 0; k < PLACES; k++) {
            s->client[i].place[k] = tw_client(s->w, "198.51.100.7", (uint16_t)(1000 + 10 * i + k));
            s->client[i].place[k].sha256 = i % 2;
        }
    }
}

static void add_up(struct sim *total, const struct sim *s)
{
    total->passed += s->passed;
    total->refused += s->refused;
    total->by_kernel += s->by_kernel;
    for (unsigned i = 0; i < 1000; i++)
        total->codes[i] += s->codes[i];
}

static uint64_t setting(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text ? strtoull(text, NULL, 0) : otherwise;
}

static void lives_agree_with_the_model(void **state)
{
    static const int must_occur[] = {0, 400, 403, 437, 443, 486, 508};
    static struct sim s, total;
    uint64_t first = setting("SIM_SEED", 1), runs = setting("SIM_RUNS", 400);
    for (uint64_t seed = first; seed < first + runs; seed++) {
        set_up(&s, seed);
        for (s.step = 0; s.step < STEPS; s.step++) {
            pass_time(&s);
            act(&s);
            agree(&s);
        }
        s.by_kernel = s.w->kernel ? s.w->kernel->packets : 0;
        tw_free(s.w);
        add_up(&total, &s);
    }
    print_message("%u datagrams passed, %" PRIu64 " of them by a kernel, %u refused\n",
                  total.passed, total.by_kernel, total.refused);
    // A simulation in which nothing happens proves nothing.
    for (size_t i = 0; runs >= 100 && i < sizeof must_occur / sizeof must_occur[0]; i++) {
        if (total.codes[must_occur[i]] < 20)
            fail_msg("%d occurred %u times", must_occur[i], total.codes[must_occur[i]]);
    }
    assert_true(runs < 100 ||
                (total.passed > 5000 && total.refused > 1000 && total.by_kernel > 1000));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lives_agree_with_the_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
