// SPDX-License-Identifier: ISC
// Thousands of random lives of TCP allocations (RFC 6062): clients allocate, permit, connect, bind
// and leave; peers call, answer, refuse, hang up and stay silent; time passes. A model of the RFC,
// written apart from the server, says what each request must be answered, whom the server takes,
// and which connections there are; both must agree after every step.
//
// SIM_SEED is the first seed, SIM_RUNS the number of lives.
#include "lib/turn_world.h"

#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SECOND  USEC_PER_SEC
#define CLIENTS 4 // the first two are one user, the others another
#define HOSTS   3 // of peers; the last is forbidden
#define PEERS   6 // two on each host
#define CONNS   3 // limit of one allocation
#define STEPS   300

enum state { NONE, CONNECTING, WAITING, JOINED };

struct model_conn {
    enum state state;
    unsigned peer;
    usec_t until; // while it connects or waits
    struct tw_conn *conn;
    uint32_t number;
};

struct model {
    bool alive;
    usec_t until, permitted[HOSTS];
    struct model_conn conn[CONNS];
    struct addr relayed;
};

struct sim {
    struct tw *w;
    uint64_t random, seed;
    unsigned step;
    struct tw_client control[CLIENTS];
    struct model model[CLIENTS];
    struct addr peer[PEERS];
    uint16_t next_port; // of data connections
    unsigned codes[1000], accepted, refused, expired;
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

static void answered(struct sim *s, int code, int want)
{
    if (code != want)
        fail_msg("seed %" PRIu64 ", step %u: %d, not %d", s->seed, s->step, code, want);
    s->codes[code < 0 ? 999 : code]++;
}

// ---- the model ----

static void model_end(struct model *m)
{
    *m = (struct model){0};
}

static void model_expire(struct sim *s)
{
    for (unsigned i = 0; i < CLIENTS; i++) {
        struct model *m = &s->model[i];
        for (unsigned k = 0; k < CONNS; k++) {
            struct model_conn *c = &m->conn[k];
            if ((c->state == CONNECTING || c->state == WAITING) && c->until <= s->w->now) {
                c->state = NONE;
                s->expired++;
            }
        }
        if (m->alive && m->until <= s->w->now)
            model_end(m);
    }
}

static struct model_conn *model_room(struct model *m)
{
    for (unsigned i = 0; i < CONNS; i++) {
        if (m->conn[i].state == NONE)
            return &m->conn[i];
    }
    return NULL;
}

static struct model_conn *model_to(struct model *m, unsigned peer)
{
    for (unsigned i = 0; i < CONNS; i++) {
        if (m->conn[i].state != NONE && m->conn[i].peer == peer)
            return &m->conn[i];
    }
    return NULL;
}

static void agree(struct sim *s)
{
    unsigned alive = 0, conns = 0;
    model_expire(s);
    for (unsigned i = 0; i < CLIENTS; i++) {
        alive += s->model[i].alive;
        for (unsigned k = 0; k < CONNS; k++) {
            const struct model_conn *c = &s->model[i].conn[k];
            if (c->state == NONE)
                continue;
            conns++;
            MUST(s, c->conn->open && c->conn->number == c->number);
            MUST(s, c->conn->joined == (c->state == JOINED));
        }
    }
    MUST(s, s->w->conns_used == conns);
    MUST(s, tw_counter(s->w, COUNTER_TURN_PEER_CONNECTIONS) == conns);
    MUST(s, tw_ports_open(s->w) == alive);
}

// ---- what happens ----

static void allocate(struct sim *s, unsigned i)
{
    struct model *m = &s->model[i];
    answered(s, tw_allocate_tcp(s->w, &s->control[i]), m->alive ? 437 : 0);
    if (m->alive)
        return;
    *m = (struct model){.alive = true, .until = s->w->now + 600 * SECOND};
    m->relayed = tw_relayed(s->w, 0);
}

static void refresh(struct sim *s, unsigned i)
{
    struct model *m = &s->model[i];
    bool end = roll(s, 4) == 0;
    answered(s, tw_refresh(s->w, &s->control[i], end ? 0 : 600), m->alive ? 0 : 437);
    if (m->alive && end)
        model_end(m);
    else if (m->alive)
        m->until = s->w->now + 600 * SECOND;
}

static void permit(struct sim *s, unsigned i)
{
    char ip[ADDR_TEXT_MAX];
    struct model *m = &s->model[i];
    unsigned host = (unsigned)roll(s, HOSTS);
    addr_format_ip(&s->peer[2 * host], ip);
    bool forbidden = host == HOSTS - 1;
    answered(s, tw_permit(s->w, &s->control[i], ip), !m->alive ? 437 : forbidden ? 403 : 0);
    if (m->alive && !forbidden)
        m->permitted[host] = s->w->now + 300 * SECOND;
}

static int want_connect(struct model *m, unsigned peer)
{
    if (!m->alive)
        return 437;
    if (model_to(m, peer))
        return 446;
    if (peer / 2 == HOSTS - 1)
        return 403;
    return model_room(m) ? -1 : 508;
}

static void connect_peer(struct sim *s, unsigned i)
{
    struct model *m = &s->model[i];
    unsigned peer = (unsigned)roll(s, PEERS);
    int want = want_connect(m, peer);
    answered(s, tw_connect(s->w, &s->control[i], &s->peer[peer]), want);
    if (want != -1)
        return;
    *model_room(m) = (struct model_conn){.state = CONNECTING,
                                         .peer = peer,
                                         .until = s->w->now + 30 * SECOND,
                                         .conn = s->w->last_conn,
                                         .number = s->w->last_conn->number};
}

// A connection of this client, in this state; NULL: it has none.
static struct model_conn *some_conn(struct sim *s, unsigned i, enum state state)
{
    unsigned first = (unsigned)roll(s, CONNS);
    for (unsigned k = 0; k < CONNS; k++) {
        struct model_conn *c = &s->model[i].conn[(first + k) % CONNS];
        if (c->state == state)
            return c;
    }
    return NULL;
}

static void be_connected(struct sim *s, unsigned i)
{
    struct model_conn *c = some_conn(s, i, CONNECTING);
    unsigned before = s->w->sents;
    if (!c)
        return;
    int error = roll(s, 3) ? 0 : -ECONNREFUSED;
    turn_peer_connected(s->w->turn, c->number, error, s->w->now);
    MUST(s, s->w->sents == before + 1);
    const struct tw_sent *sent = &s->w->sent[before % TW_LOG];
    struct stun_msg msg;
    MUST(s, stun_parse(sent->data, sent->len, &msg) == 0 && msg.method == STUN_CONNECT);
    MUST(s, addr_equal(&sent->client.remote, &s->control[i].at.remote));
    answered(s, (int)stun_error_code(&msg), error ? 447 : 0);
    MUST(s, error || stun_u32(&msg, STUN_CONNECTION_ID) == c->number);
    c->state = error ? NONE : WAITING;
    c->until = s->w->now + 30 * SECOND;
}

static void be_called(struct sim *s, unsigned i)
{
    struct model *m = &s->model[i];
    unsigned peer = (unsigned)roll(s, PEERS), before = s->w->sents;
    struct model_conn *room = model_room(m);
    if (!m->alive || model_to(m, peer))
        return; // the kernel has one connection to one peer
    bool wanted = m->permitted[peer / 2] > s->w->now && room;
    struct tw_conn *conn = tw_accept(s->w, &m->relayed, &s->peer[peer]);
    MUST(s, (conn != NULL) == wanted);
    MUST(s, s->w->sents == before + wanted);
    s->accepted += wanted;
    s->refused += !wanted;
    if (!wanted)
        return;
    MUST(s, s->w->reply.method == STUN_CONNECTION_ATTEMPT);
    MUST(s, stun_u32(&s->w->reply, STUN_CONNECTION_ID) == conn->number);
    *room = (struct model_conn){.state = WAITING,
                                .peer = peer,
                                .until = s->w->now + 30 * SECOND,
                                .conn = conn,
                                .number = conn->number};
}

static void bind(struct sim *s, unsigned i)
{
    struct model_conn *c = some_conn(s, i, (enum state)(CONNECTING + roll(s, 3)));
    struct tw_client data = tw_client(s->w, "198.51.100.9", ++s->next_port);
    unsigned as = roll(s, 4) ? i : (unsigned)roll(s, CLIENTS);
    data.at.transport = roll(s, 2) ? TURN_TCP : TURN_TLS;
    data.user = s->control[as].user;
    data.password = s->control[as].password;
    uint32_t number = c ? c->number : (uint32_t)roll(s, 1 << 24);
    int want = !c || c->state != WAITING ? 400 : as / 2 != i / 2 ? 441 : 0;
    answered(s, tw_connection_bind(s->w, &data, number), want);
    if (want == 0)
        c->state = JOINED;
}

static void hang_up(struct sim *s, unsigned i)
{
    struct model_conn *c = some_conn(s, i, (enum state)(CONNECTING + roll(s, 3)));
    unsigned before = s->w->sents;
    if (!c)
        return;
    tw_ended(s->w, c->conn, 1, 1);
    MUST(s, s->w->sents == before + (c->state == CONNECTING)); // 447
    c->state = NONE;
}

static void leave(struct sim *s, unsigned i)
{
    turn_client_gone(s->w->turn, &s->control[i].at, s->w->now);
    model_end(&s->model[i]);
    tw_tick(s->w);
}

static void act(struct sim *s)
{
    static void (*const acts[])(struct sim *, unsigned) = {
        allocate,     allocate,     refresh,      permit,    permit,    connect_peer,
        connect_peer, be_connected, be_connected, be_called, be_called, bind,
        bind,         bind,         hang_up,      refresh,
    };
    unsigned i = (unsigned)roll(s, CLIENTS);
    if (roll(s, 60) == 0)
        leave(s, i);
    else
        acts[roll(s, sizeof acts / sizeof acts[0])](s, i);
}

static void pass_time(struct sim *s)
{
    static const usec_t spans[] = {0, 0, 0, 1, SECOND, 5 * SECOND, 29 * SECOND, 300 * SECOND};
    usec_t time = spans[roll(s, roll(s, 20) ? 6 : 8)];
    if (time > 0)
        tw_wait(s->w, time);
    model_expire(s);
}

static void set_up(struct sim *s, uint64_t seed)
{
    static const char *const ips[HOSTS] = {"192.0.2.1", "192.0.2.2", "10.0.0.1"};
    *s = (struct sim){.w = tw_new(), .seed = seed, .random = seed};
    s->w->random = seed;
    s->w->config.tcp_allocations = true;
    s->w->config.connections_max = CONNS;
    s->w->config.nonce_lifetime = 36 * 3600 * SECOND;
    s->w->config.users = 2;
    s->w->user[1] = (struct turn_user){"other", "secret"};
    tw_start(s->w);
    for (unsigned i = 0; i < PEERS; i++)
        s->peer[i] = tw_at(ips[i / 2], (uint16_t)(5000 + i % 2));
    for (unsigned i = 0; i < CLIENTS; i++) {
        s->control[i] = tw_client(s->w, "198.51.100.7", (uint16_t)(1000 + i));
        s->control[i].at.transport = i % 2 ? TURN_TLS : TURN_TCP;
        s->control[i].user = s->w->user[i / 2].name;
        s->control[i].password = s->w->user[i / 2].password;
        s->control[i].sha256 = i % 2;
    }
}

static uint64_t setting(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text ? strtoull(text, NULL, 0) : otherwise;
}

static void lives_agree_with_the_model(void **state)
{
    static const int must_occur[] = {0, 400, 403, 437, 441, 446, 447, 508, 999};
    static struct sim s;
    unsigned codes[1000] = {0}, accepted = 0, refused = 0, expired = 0;
    uint64_t first = setting("SIM_SEED", 1), runs = setting("SIM_RUNS", 300);
    for (uint64_t seed = first; seed < first + runs; seed++) {
        set_up(&s, seed);
        for (s.step = 0; s.step < STEPS; s.step++) {
            pass_time(&s);
            act(&s);
            agree(&s);
        }
        tw_free(s.w);
        for (unsigned i = 0; i < 1000; i++)
            codes[i] += s.codes[i];
        accepted += s.accepted;
        refused += s.refused;
        expired += s.expired;
    }
    print_message("%u callers taken, %u refused, %u given up\n", accepted, refused, expired);
    // A simulation in which nothing happens proves nothing.
    for (size_t i = 0; runs >= 100 && i < sizeof must_occur / sizeof must_occur[0]; i++) {
        if (codes[must_occur[i]] < 20)
            fail_msg("%d occurred %u times", must_occur[i], codes[must_occur[i]]);
    }
    assert_true(runs < 100 || (accepted > 500 && refused > 500 && expired > 500));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lives_agree_with_the_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
