// SPDX-License-Identifier: ISC
// The world of lib/world.h.
#include "lib/world.h"

#include "codec/stun.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static int do_bind(void *ctx, const struct addr *local, struct port *port, void **ret_socket)
{
    struct world *w = ctx;

    if (++w->binds == w->fail_bind)
        return -EACCES;
    if (w->busy > 0) {
        w->busy--;
        return -EADDRINUSE;
    }
    if (w->bind_error != 0)
        return w->bind_error;
    for (unsigned i = 0; i < w->sockets; i++)
        assert_false(w->socket[i].port && addr_equal(&w->socket[i].local, local));
    unsigned i = 0;
    while (i < w->sockets && (w->socket[i].port || w->socket[i].shared))
        i++;
    assert_true(i < WORLD_SOCKETS);
    if (i == w->sockets)
        w->sockets++;
    w->socket[i] = (struct world_socket){.local = *local, .port = port};
    *ret_socket = &w->socket[i];
    return 0;
}

static void do_unbind(void *ctx, void *socket)
{
    struct world_socket *s = socket;

    (void)ctx;
    assert_non_null(s->port);
    s->port = NULL;
}

static int do_send(void *ctx, void *socket, const struct addr *to, const uint8_t *data, size_t len,
                   uint8_t tos)
{
    struct world *w = ctx;
    const struct world_socket *s = socket;
    struct world_sent *sent = &w->sent[w->sents % WORLD_LOG];

    assert_true(s->port || s->shared);
    if (++w->sends == w->fail_send)
        return -ENOBUFS;
    if (w->send_error != 0)
        return w->send_error;
    assert_true(len <= sizeof(sent->data));
    *sent = (struct world_sent){.from = s->local, .to = *to, .len = len, .tos = tos};
    memcpy(sent->data, data, len);
    w->sents++;
    return 0;
}

static void do_event(void *ctx, const struct relay_event *event)
{
    struct world *w = ctx;

    if (event->kind == EVENT_SNAPSHOT)
        w->view = *event->u.view;
    w->event[w->events++ % WORLD_LOG] = *event;
}

static void do_random(void *ctx, void *buf, size_t len)
{
    struct world *w = ctx;
    uint8_t *p = buf;

    for (size_t i = 0; i < len; i++) { // xorshift64*
        w->random ^= w->random >> 12;
        w->random ^= w->random << 25;
        w->random ^= w->random >> 27;
        p[i] = (uint8_t)((w->random * 0x2545F4914F6CDD1D) >> 56);
    }
}

struct addr at(const char *ip, uint16_t port)
{
    struct addr addr;

    assert_int_equal(addr_parse_ip(ip, port, &addr), 0);
    return addr;
}

struct relay_config world_config(void)
{
    return (struct relay_config){
        .bind = {at("203.0.113.1", 0), at("2001:db8::1", 0)},
        .advertise = {at("203.0.113.1", 0), at("2001:db8::1", 0)},
        .port_min = 40000,
        .port_max = 40099,
        .shares = 1,
        .limits = {.quarantine = 10 * USEC_PER_SEC,
                   .silence = 5 * USEC_PER_SEC,
                   .learning_window = 20 * USEC_PER_SEC},
    };
}

static const struct relay_io world_io = {
    .bind = do_bind, .unbind = do_unbind, .send = do_send, .event = do_event, .random = do_random};

struct world *world_try(const struct relay_config *config)
{
    static struct world world;
    struct world *w = &world;

    memset(w, 0, sizeof(*w));
    w->random = 0x9E3779B97F4A7C15;
    w->now = 1000 * USEC_PER_SEC;
    w->config = *config;
    int err = relay_new(config, &world_io, w, &w->counters, &w->relay);
    if (err < 0)
        assert_int_equal(err, -ENOMEM);
    return err < 0 ? NULL : w;
}

struct world *world_new(const struct relay_config *config)
{
    struct world *w = world_try(config);

    assert_non_null(w);
    return w;
}

void world_share(struct world *w)
{
    const struct addr local[2] = {at("203.0.113.1", 3478), at("2001:db8::1", 3478)};

    for (unsigned i = 0; i < 2; i++) {
        w->socket[w->sockets] = (struct world_socket){.local = local[i], .shared = true};
        relay_share(w->relay, local[i].family, local[i].port, &w->socket[w->sockets++]);
    }
}

void world_offload(struct world *w)
{
    kernel_init(&w->kernel, &w->now);
    w->offloads = true;
    const struct offload_io io = kernel_io(&w->kernel);
    relay_set_offload(w->relay, &io);
}

// --- restarts ------------------------------------------------------------------------------------

static bool restarts;

void world_restart_always(bool always)
{
    restarts = always;
}

static json_t *through_text(json_t *state)
{
    assert_non_null(state);
    char *text = json_dumps(state, JSON_COMPACT);
    assert_non_null(text);
    json_decref(state);
    state = json_loads(text, 0, NULL);
    assert_non_null(state);
    free(text);
    return state;
}

// The order of calls means nothing.
static void by_name(json_t *state)
{
    json_t *calls = json_object(), *call;
    size_t i;
    char name[24];

    json_array_foreach(json_object_get(state, "calls"), i, call)
    {
        snprintf(name, sizeof(name), "%" JSON_INTEGER_FORMAT,
                 json_integer_value(json_object_get(call, "call")));
        json_object_set(calls, name, call);
    }
    json_object_set_new(state, "calls", calls);
}

// The new relay draws its own numbers; those of the test go on.
static void successor(struct world *w)
{
    uint64_t random = w->random;

    relay_free(w->relay);
    assert_int_equal(relay_new(&w->config, &world_io, w, &w->counters, &w->relay), 0);
    w->random = random;
    for (unsigned i = 0; i < w->sockets; i++)
        if (w->socket[i].shared)
            relay_share(w->relay, w->socket[i].local.family, w->socket[i].local.port,
                        &w->socket[i]);
    if (w->offloads) {
        const struct offload_io io = kernel_io(&w->kernel);
        relay_set_offload(w->relay, &io);
    }
}

void world_restart(struct world *w)
{
    unsigned lost = 1, events = w->events, busy = w->busy;
    int bind_error = w->bind_error;

    w->bind_error = 0;
    w->busy = 0;
    json_t *state = through_text(relay_save(w->relay, w->now));
    successor(w);
    assert_int_equal(relay_restore(w->relay, state, w->now, &lost), 0);
    assert_int_equal(lost, 0);
    assert_int_equal(w->events - events, world_counter(w, COUNTER_PATHS_OPEN));
    w->events = events;
    w->busy = busy;
    w->bind_error = bind_error;
    world_check(w);
    json_t *again = through_text(relay_save(w->relay, w->now));
    by_name(state);
    by_name(again);
    assert_true(json_equal(state, again));
    json_decref(state);
    json_decref(again);
}

void world_free(struct world *w)
{
    relay_free(w->relay);
    assert_int_equal(w->kernel.flows, 0);
    for (unsigned i = 0; i < w->sockets; i++)
        assert_null(w->socket[i].port);
}

void world_check(const struct world *w)
{
    const char *wrong = relay_check(w->relay);

    if (wrong)
        fail_msg("invariant: %s", wrong);
    assert_int_equal(w->kernel.flows, world_counter(w, COUNTER_OFFLOADED_PATHS));
}

void world_tick(struct world *w)
{
    relay_tick(w->relay, w->now);
    world_check(w);
}

void world_wait(struct world *w, usec_t time)
{
    usec_t end = w->now + time;

    for (;;) {
        usec_t next = relay_tick(w->relay, w->now);
        world_check(w);
        if (next > end)
            break;
        assert_true(next > w->now);
        w->now = next;
    }
    w->now = end;
}

struct relay_event world_order(struct world *w, const struct order *order)
{
    if (restarts && !w->offloads)
        world_restart(w);
    unsigned before = w->events;

    relay_order(w->relay, order, w->now);
    world_check(w);
    if (w->events == before)
        return (struct relay_event){.error = 1};
    return w->event[(w->events - 1) % WORLD_LOG];
}

struct relay_event world_open(struct world *w, uint64_t call, uint64_t path, enum path_mode mode)
{
    struct order order = {.kind = ORDER_OPEN, .call = call, .path = path};

    order.u.open.mode = mode;
    for (unsigned s = 0; s < SIDE_COUNT; s++)
        order.u.open.family_v4[s] = order.u.open.family_v6[s] = true;
    struct relay_event event = world_order(w, &order);
    assert_int_equal(event.kind, EVENT_OPENED);
    assert_int_equal(event.path, path);
    return event;
}

void world_credentials(struct world *w, uint64_t path, enum side side, const char *ufrag,
                       const char *pwd)
{
    struct order order = {.kind = ORDER_CREDENTIALS, .path = path, .side = side};

    memcpy(order.u.credentials.ufrag, ufrag, strlen(ufrag));
    memcpy(order.u.credentials.pwd, pwd, strlen(pwd));
    world_order(w, &order);
}

void world_peer(struct world *w, uint64_t path, enum side side, struct addr peer)
{
    struct order order = {.kind = ORDER_PEER, .path = path, .side = side, .u.peer = peer};

    world_order(w, &order);
}

void world_close(struct world *w, uint64_t path)
{
    world_order(w, &(struct order){.kind = ORDER_CLOSE, .path = path});
}

const struct path_view *world_view(struct world *w, uint64_t call)
{
    struct order order = {.kind = ORDER_SNAPSHOT, .call = call, .u.token = 7};
    struct relay_event event = world_order(w, &order);

    assert_int_equal(event.kind, EVENT_SNAPSHOT_END);
    assert_int_equal(event.token, 7);
    return &w->view;
}

unsigned world_count(const struct world *w, enum event_kind kind)
{
    unsigned n = 0;

    for (unsigned i = 0; i < w->events; i++)
        n += w->event[i].kind == kind;
    return n;
}

uint64_t world_counter(const struct world *w, enum counter id)
{
    return counter_get(&w->counters, id);
}

// False: it is for the relay.
static bool to_kernel(struct world *w, const struct addr *to, const struct addr *from,
                      const void *data, size_t len, struct outcome *ret_outcome)
{
    struct kernel_packet p = {.data = data, .len = len, .from = *from, .to = *to};
    enum kernel_verdict verdict = w->offloads ? kernel_recv(&w->kernel, &p) : KERNEL_PASSES;

    if (verdict == KERNEL_PASSES)
        return false;
    *ret_outcome = (struct outcome){.verdict = VERDICT_DROP, .by_kernel = true};
    if (verdict == KERNEL_DROPS)
        return true;
    assert_int_equal(p.len, len);
    assert_memory_equal(p.data, data, len);
    ret_outcome->verdict = VERDICT_FORWARD;
    ret_outcome->from = p.from;
    ret_outcome->to = p.to;
    return true;
}

struct outcome world_recv(struct world *w, struct addr to, struct addr from, const void *data,
                          size_t len)
{
    void *copy = NULL; // so that a sanitizer sees every read beyond the end
    struct forward forward;
    struct outcome outcome = {0};
    const struct world_socket *socket = NULL;

    if (restarts && !w->offloads)
        world_restart(w);
    if (to_kernel(w, &to, &from, data, len, &outcome))
        return outcome;
    // Not malloc(), which tests of running out of memory count.
    assert_int_equal(posix_memalign(&copy, 8, len > 0 ? len : 1), 0);
    memcpy(copy, data, len);
    struct packet packet = {.data = copy, .len = len, .tos = 0xb8};
    for (unsigned i = 0; i < w->sockets; i++)
        if ((w->socket[i].port || w->socket[i].shared) && addr_equal(&w->socket[i].local, &to))
            socket = &w->socket[i];
    assert_non_null(socket);
    outcome.verdict = socket->shared
                          ? relay_recv_shared(w->relay, &from, &packet, &forward, w->now)
                          : relay_recv(w->relay, socket->port, &from, &packet, &forward, w->now);
    if (outcome.verdict == VERDICT_FORWARD) {
        const struct world_socket *s = forward.socket;
        assert_true(s->port || s->shared);
        outcome.from = s->local;
        outcome.to = forward.to;
    }
    assert_memory_equal(copy, data, len); // never changed
    free(copy);
    world_check(w);
    return outcome;
}

// --- messages ----------------------------------------------------------------------------------

size_t build_check(uint8_t *buf, size_t size, const struct check *check)
{
    uint8_t txid[STUN_TXID_LEN] = {0};
    char username[520];
    int len = snprintf(username, sizeof(username), "%s:%s", check->to, check->from);

    memcpy(txid, check->id, strnlen(check->id, sizeof(txid)));
    struct writer w = stun_begin(buf, size, STUN_REQUEST, STUN_BINDING, txid);
    stun_put_bytes(&w, STUN_USERNAME, username, (size_t)len);
    // RFC 8445 section 5.1.2.1: type preference 111, local preference 0, and the component
    stun_put_u32(&w, STUN_PRIORITY, 111u << 24 | (256 - (check->component ? check->component : 1)));
    stun_put_u64(&w, check->controlled ? STUN_ICE_CONTROLLED : STUN_ICE_CONTROLLING,
                 check->tie_breaker);
    if (check->nominate)
        stun_put_flag(&w, STUN_USE_CANDIDATE);
    len = stun_finish(&w, check->pwd, check->pwd ? strlen(check->pwd) : 0, true);
    assert_true(len > 0);
    return (size_t)len;
}

size_t build_answer(uint8_t *buf, size_t size, const uint8_t *request, const struct addr *mapped,
                    const char *pwd)
{
    struct writer w = stun_begin(buf, size, STUN_SUCCESS, STUN_BINDING, request + 8);

    stun_put_addr(&w, STUN_XOR_MAPPED_ADDRESS, mapped);
    int len = stun_finish(&w, pwd, strlen(pwd), true);
    assert_true(len > 0);
    return (size_t)len;
}

size_t build_error(uint8_t *buf, size_t size, const uint8_t *request, unsigned code,
                   const char *pwd)
{
    struct writer w = stun_begin(buf, size, STUN_ERROR, STUN_BINDING, request + 8);

    stun_put_error(&w, code, "no");
    int len = stun_finish(&w, pwd, pwd ? strlen(pwd) : 0, true);
    assert_true(len > 0);
    return (size_t)len;
}

size_t build_rtp(uint8_t *buf, uint32_t ssrc, uint16_t sequence, size_t payload)
{
    struct writer w = writer_over(buf, 12 + payload);

    write_u8(&w, 0x80); // version 2
    write_u8(&w, 111);  // a dynamic payload type
    write_u16(&w, sequence);
    write_u32(&w, sequence * 960u);
    write_u32(&w, ssrc);
    write_zeros(&w, payload);
    assert_false(w.failed);
    return writer_used(&w);
}

size_t build_rtcp(uint8_t *buf, uint32_t ssrc)
{
    struct writer w = writer_over(buf, 8);

    write_u8(&w, 0x80); // version 2, no reports
    write_u8(&w, 201);  // receiver report
    write_u16(&w, 1);   // words after the first
    write_u32(&w, ssrc);
    return writer_used(&w);
}
