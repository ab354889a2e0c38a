// SPDX-License-Identifier: ISC
// See lib_net.h.
#include "sim/lib_net.h"

#include "base/map.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void net_fail(const struct net *net, const char *format, ...)
{
    va_list args;

    fprintf(stderr, "seed %" PRIu64 ", at %" PRIu64 ".%06" PRIu64 " s: ", net->seed,
            net->now / USEC_PER_SEC, net->now % USEC_PER_SEC);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fprintf(stderr, "\nrun again with SIM_SEED=%" PRIu64 " SIM_RUNS=1\n", net->seed);
    abort();
}

uint64_t net_random(struct net *net, uint64_t below)
{
    uint64_t z = (net->random += 0x9E3779B97F4A7C15);

    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
    return (z ^ (z >> 31)) % below;
}

// What is due at the same time happens in the order in which it was armed, the relay first, so that
// two runs which differ in nothing but how often the relay asks for the time are alike.
#define ORDER_BITS 24
#define ORDER_MASK ((UINT64_C(1) << ORDER_BITS) - 1)

static void arm(struct net *net, struct timer *timer, usec_t at, uint64_t order)
{
    if (timer_arm(&net->timers, timer, at << ORDER_BITS | order) < 0)
        abort();
}

void net_arm(struct net *net, struct timer *timer, usec_t at)
{
    if (++net->armed == ORDER_MASK)
        net_fail(net, "too much happens");
    arm(net, timer, at, net->armed);
}

static void arrival(struct timer *timer, void *ctx, usec_t now);

// NULL: it is the timer of something else.
static struct net_flight *flight_of(struct timer *timer)
{
    return timer->fire == arrival ? container_of(timer, struct net_flight, timer) : NULL;
}

void net_check_relay(const struct net *net)
{
    const char *wrong = relay_check(net->relay);

    if (wrong)
        net_fail(net, "invariant: %s", wrong);
    if (net->kernel && counter_get(&net->counters, COUNTER_OFFLOADED_PATHS) != net->kernel->flows)
        net_fail(net, "the kernel has other flows than the relay has given");
}

// --- the trace ---------------------------------------------------------------------------------

static void trace(struct net *net, const void *data, size_t len)
{
    const uint8_t *p = data;

    for (size_t i = 0; i < len; i++)
        net->trace = (net->trace ^ p[i]) * 0x100000001b3;
}

static void trace_number(struct net *net, uint64_t number)
{
    trace(net, &number, sizeof(number));
}

static void trace_addr(struct net *net, const struct addr *addr)
{
    trace(net, addr->ip, sizeof(addr->ip));
    trace_number(net, (uint64_t)addr->family << 16 | addr->port);
}

static void trace_leaving(struct net *net, const struct addr *from, const struct addr *to,
                          const void *data, size_t len)
{
    trace_number(net, net->now);
    trace_addr(net, from);
    trace_addr(net, to);
    trace(net, data, len);
}

static void trace_quality(struct net *net, const struct quality_view *q)
{
    trace_number(net, q->ssrc);
    trace_number(net, q->received + q->duplicates);
    if (net->coarse)
        return;
    trace_number(net, q->received);
    trace_number(net, q->lost);
    trace_number(net, q->reordered);
    trace_number(net, q->jitter);
    trace_number(net, q->longest_gap);
}

static void trace_leg(struct net *net, const struct leg_view *leg)
{
    const uint64_t numbers[] = {
        leg->sources,    leg->packets_in, leg->bytes_in,  leg->packets_out, leg->bytes_out,
        leg->media_in,   leg->refused,    leg->checks_in, leg->last_check,  leg->first_media,
        leg->last_media, leg->rtt,        leg->moves,     leg->qualities};

    trace(net, numbers, sizeof(numbers));
    for (unsigned i = 0; i < leg->sources; i++) {
        trace_addr(net, &leg->source[i].addr);
        trace_number(net, leg->source[i].selected);
        trace_number(net, leg->source[i].last_seen);
    }
    for (unsigned i = 0; i < leg->qualities; i++)
        trace_quality(net, &leg->quality[i]);
}

static void trace_event(struct net *net, const struct relay_event *event)
{
    trace_number(net, net->now);
    trace_number(net, event->kind);
    trace_number(net, event->path);
    trace_number(net, event->side);
    for (unsigned s = 0; s < SIDE_COUNT && event->kind == EVENT_SNAPSHOT; s++)
        trace_leg(net, &event->u.view->leg[s]);
}

// After anything that the relay was told: it may want to be called at another time.
static void after_relay(struct net *net)
{
    unsigned sends = net->sends;
    usec_t next = relay_tick(net->relay, net->now);

    net->tied = net->tied || net->sends > sends + 1;
    net_check_relay(net);
    if (next == USEC_NEVER)
        timer_cancel(&net->timers, &net->relay_timer);
    else
        arm(net, &net->relay_timer, next, 0);
}

// --- the world of the relay --------------------------------------------------------------------

// After a restart: the socket that was left open.
static int bind_again(struct net *net, const struct addr *local, struct port *port,
                      void **ret_socket)
{
    for (unsigned i = 0; i < NET_SOCKETS; i++) {
        if (!net->left[i].port || net->socket[i].port || !addr_equal(&net->left[i].local, local))
            continue;
        net->socket[i] = net->left[i];
        net->socket[i].port = port;
        *ret_socket = &net->socket[i];
        return 0;
    }
    net_fail(net, "a port is bound after a restart that was not before");
}

static int do_bind(void *ctx, const struct addr *local, struct port *port, void **ret_socket)
{
    struct net *net = ctx;

    if (net->left)
        return bind_again(net, local, port, ret_socket);
    if (net_random(net, 50) == 0)
        return -EADDRINUSE;
    for (unsigned i = 0; i < NET_SOCKETS; i++) {
        if (net->socket[i].port || net->socket[i].shared)
            continue;
        net->socket[i] = (struct net_socket){.local = *local, .port = port};
        *ret_socket = &net->socket[i];
        return 0;
    }
    net_fail(net, "too many sockets");
}

static void do_unbind(void *ctx, void *socket)
{
    (void)ctx;
    ((struct net_socket *)socket)->port = NULL;
}

static int do_send(void *ctx, void *socket, const struct addr *to, const uint8_t *data, size_t len,
                   uint8_t tos)
{
    struct net *net = ctx;
    struct net_socket *s = socket;

    (void)tos;
    net->sends++;
    if (!s->port && !s->shared)
        net_fail(net, "sent from a closed socket");
    trace_leaving(net, &s->local, to, data, len);
    if (net->hooks.leaves)
        net->hooks.leaves(net->hooks.ctx, s, to, NULL, NULL, data, len);
    net_send(net, &s->local, to, NULL, data, len);
    counter_add(&net->counters, COUNTER_PACKETS_OUT, 1);
    return 0;
}

static void do_event(void *ctx, const struct relay_event *event)
{
    struct net *net = ctx;

    if (net->left)
        return; // it is open, as everybody knows
    trace_event(net, event);
    if (net->hooks.event)
        net->hooks.event(net->hooks.ctx, event);
}

static void do_random(void *ctx, void *buf, size_t len)
{
    uint8_t *p = buf;

    for (size_t i = 0; i < len; i++)
        p[i] = (uint8_t)net_random(ctx, 256);
}

static void relay_due(struct timer *timer, void *ctx, usec_t now)
{
    (void)timer;
    (void)now;
    after_relay(ctx);
}

void net_new_relay(struct net *net)
{
    static const struct relay_io io = {.bind = do_bind,
                                       .unbind = do_unbind,
                                       .send = do_send,
                                       .event = do_event,
                                       .random = do_random};

    if (relay_new(&net->config, &io, net, &net->counters, &net->relay) < 0)
        net_fail(net, "no relay");
}

struct net *net_new(uint64_t seed, const struct relay_config *config, const struct net_hooks *hooks)
{
    struct net *net = calloc(1, sizeof(*net));

    if (!net)
        abort();
    net->seed = seed;
    net->random = seed;
    net->now = USEC_PER_SEC;
    net->hooks = *hooks;
    net->next_port = 20000;
    net->relay_timer.fire = relay_due;
    net->fate = (struct net_fate){.delay = 10 * USEC_PER_MSEC};
    net->config = *config;
    net_new_relay(net);
    return net;
}

void net_share(struct net *net, const struct relay_config *config)
{
    for (unsigned f = 0; f < 2; f++) {
        struct net_socket *socket = &net->socket[f];
        if (config->bind[f].family == FAMILY_NONE)
            continue;
        *socket = (struct net_socket){.local = config->bind[f], .shared = true};
        socket->local.port = NET_SHARED_PORT;
        relay_share(net->relay, socket->local.family, NET_SHARED_PORT, socket);
    }
}

void net_offload(struct net *net, enum net_offload how)
{
    struct offload_io io;

    if (how == NET_OFFLOAD_NONE)
        return;
    net->kernel = malloc(sizeof(*net->kernel));
    if (!net->kernel)
        abort();
    kernel_init(net->kernel, &net->now);
    io = kernel_io(net->kernel);
    relay_set_offload(net->relay, &io);
    if (how == NET_OFFLOAD_SOME) {
        net->kernel->pass_up = 1 + (unsigned)(net->seed % 300);
        net->kernel->refuse = 300;
    }
}

void net_free(struct net *net)
{
    if (!net)
        return;
    relay_free(net->relay);
    for (unsigned i = 0; i < NET_SOCKETS; i++)
        if (net->socket[i].port)
            net_fail(net, "a socket was left open");
    while (net->timers.count > 0) {
        struct timer *timer = net->timers.heap[0];
        timer_cancel(&net->timers, timer);
        free(flight_of(timer));
    }
    timers_free(&net->timers);
    if (net->kernel && net->kernel->flows > 0)
        net_fail(net, "the kernel was left with flows");
    free(net->kernel);
    free(net);
}

void net_order(struct net *net, const struct order *order)
{
    relay_order(net->relay, order, net->now);
    after_relay(net);
}

void net_run(struct net *net, usec_t until)
{
    for (;;) {
        usec_t next = timers_next(&net->timers) >> ORDER_BITS;
        if (next >= until)
            break;
        if (next > net->now)
            net->now = next;
        timers_run(&net->timers, net, net->now << ORDER_BITS | ORDER_MASK);
    }
    net->now = until;
}

// --- agents and their NATs ---------------------------------------------------------------------

static struct net_agent *find_agent(struct net *net, const struct agent *agent)
{
    for (unsigned i = 0; i < NET_AGENTS; i++)
        if (net->agent[i].agent == agent)
            return &net->agent[i];
    return NULL;
}

void net_touch_agent(struct net *net, struct agent *agent)
{
    struct net_agent *a = find_agent(net, agent);
    usec_t next = agent_tick(agent, net->now);

    if (next == USEC_NEVER)
        timer_cancel(&net->timers, &a->timer);
    else
        net_arm(net, &a->timer, next);
}

static void agent_due(struct timer *timer, void *ctx, usec_t now)
{
    struct net_agent *a = container_of(timer, struct net_agent, timer);

    (void)now;
    net_touch_agent(ctx, a->agent);
}

void net_add_agent(struct net *net, struct agent *agent)
{
    struct net_agent *a = find_agent(net, NULL);

    if (!a)
        net_fail(net, "too many agents");
    *a = (struct net_agent){.agent = agent, .timer.fire = agent_due};
}

void net_remove_agent(struct net *net, struct agent *agent)
{
    struct net_agent *a = find_agent(net, agent);

    timer_cancel(&net->timers, &a->timer);
    *a = (struct net_agent){0};
    for (unsigned i = 0; i < net->mappings; i++)
        if (net->mapping[i].agent == agent)
            net->mapping[i] = (struct net_mapping){0};
    // What it has sent may outlive it.
    for (size_t i = 0; i < net->timers.count; i++) {
        struct net_flight *f = flight_of(net->timers.heap[i]);
        if (f && f->origin.agent == agent)
            f->origin.agent = NULL;
    }
}

static struct net_mapping *find_mapping(struct net *net, const struct agent *agent, unsigned iface,
                                        const struct addr *dest)
{
    for (unsigned i = 0; i < net->mappings; i++) {
        struct net_mapping *m = &net->mapping[i];
        if (m->agent == agent && m->iface == iface && addr_equal(&m->dest, dest))
            return m;
    }
    return NULL;
}

struct addr net_external(const struct net *net, const struct agent *agent, unsigned iface,
                         const struct addr *dest)
{
    for (unsigned i = 0; i < net->mappings; i++) {
        const struct net_mapping *m = &net->mapping[i];
        if (m->agent == agent && m->iface == iface && addr_equal(&m->dest, dest))
            return m->external;
    }
    return (struct addr){0};
}

static struct net_mapping *new_mapping(struct net *net, const struct net_agent *a, unsigned iface,
                                       const struct addr *dest)
{
    struct net_mapping *m = find_mapping(net, NULL, 0, &(struct addr){0});
    uint8_t host = (uint8_t)((a - net->agent) * 8 + iface);
    uint8_t nat = (uint8_t)a->roamed[iface];

    if (!m) {
        if (net->mappings == NET_MAPPINGS)
            net_fail(net, "too many mappings");
        m = &net->mapping[net->mappings++];
    }
    *m = (struct net_mapping){.agent = a->agent, .iface = iface, .dest = *dest};
    if (dest->family == FAMILY_V4)
        m->external = addr_v4((const uint8_t[4]){5, 5, host, nat}, net->next_port++);
    else
        m->external = addr_v6((const uint8_t[16]){0x2a, 0, 5, 5, host, nat}, net->next_port++);
    return m;
}

void net_agent_send(void *ctx, struct agent *agent, unsigned iface, const struct addr *to,
                    enum agent_packet kind, const uint8_t *data, size_t len)
{
    struct net *net = ctx;
    struct net_mapping *m = find_mapping(net, agent, iface, to);

    if (!m)
        m = new_mapping(net, find_agent(net, agent), iface, to);
    net_send(net, &m->external, to, &(struct net_origin){.agent = agent, .kind = kind}, data, len);
}

void net_roam(struct net *net, struct agent *agent, unsigned iface)
{
    find_agent(net, agent)->roamed[iface]++;
    for (unsigned i = 0; i < net->mappings; i++)
        if (net->mapping[i].agent == agent && net->mapping[i].iface == iface)
            net->mapping[i] = (struct net_mapping){0};
}

// --- datagrams ---------------------------------------------------------------------------------

struct net_socket *net_socket_at(struct net *net, const struct addr *local)
{
    for (unsigned i = 0; i < NET_SOCKETS; i++)
        if ((net->socket[i].port || net->socket[i].shared) &&
            addr_equal(&net->socket[i].local, local))
            return &net->socket[i];
    return NULL;
}

static void leave(struct net *net, struct net_socket *at, const struct net_flight *flight,
                  struct net_socket *out, const struct addr *to)
{
    if (net->hooks.leaves)
        net->hooks.leaves(net->hooks.ctx, out, to, flight, at, flight->data, flight->len);
    trace_leaving(net, &out->local, to, flight->data, flight->len);
    net_send(net, &out->local, to, NULL, flight->data, flight->len);
    counter_add(&net->counters, COUNTER_PACKETS_OUT, 1);
}

// False: the kernel leaves it to the relay.
static bool to_kernel(struct net *net, struct net_socket *socket, const struct net_flight *flight)
{
    struct kernel_packet p = {
        .data = flight->data, .len = flight->len, .from = flight->from, .to = flight->to};
    enum kernel_verdict verdict = net->kernel ? kernel_recv(net->kernel, &p) : KERNEL_PASSES;

    if (verdict != KERNEL_FORWARDS)
        return verdict == KERNEL_DROPS;
    struct net_socket *out = net_socket_at(net, &p.from);
    if (!out || p.len != flight->len || memcmp(p.data, flight->data, p.len) != 0)
        net_fail(net, "the kernel forwards something else, or from a closed port");
    leave(net, socket, flight, out, &p.to);
    return true;
}

static void to_relay(struct net *net, struct net_socket *socket, struct net_flight *flight)
{
    struct packet packet = {.data = flight->data, .len = flight->len};
    struct forward forward;

    net_maybe_restart(net);
    if (net->hooks.arrives)
        net->hooks.arrives(net->hooks.ctx, socket, flight);
    if (to_kernel(net, socket, flight))
        return;
    enum verdict verdict =
        socket->shared
            ? relay_recv_shared(net->relay, &flight->from, &packet, &forward, net->now)
            : relay_recv(net->relay, socket->port, &flight->from, &packet, &forward, net->now);
    if (verdict == VERDICT_FORWARD)
        leave(net, socket, flight, forward.socket, &forward.to);
    after_relay(net);
}

static void to_agent(struct net *net, const struct net_flight *flight)
{
    for (unsigned i = 0; i < net->mappings; i++) {
        const struct net_mapping *m = &net->mapping[i];
        if (!m->agent || !addr_equal(&m->external, &flight->to) ||
            !addr_equal(&m->dest, &flight->from))
            continue;
        struct agent *agent = m->agent;
        agent_input(agent, m->iface, &flight->from, flight->data, flight->len, net->now);
        net_touch_agent(net, agent);
        return;
    }
}

static void arrival(struct timer *timer, void *ctx, usec_t now)
{
    struct net *net = ctx;
    struct net_flight *flight = flight_of(timer);
    struct net_socket *socket = net_socket_at(net, &flight->to);

    (void)now;
    if (socket)
        to_relay(net, socket, flight);
    else
        to_agent(net, flight);
    free(flight);
}

void net_send(struct net *net, const struct addr *from, const struct addr *to,
              const struct net_origin *origin, const void *data, size_t len)
{
    unsigned copies = 1 + (net_random(net, 1000) < net->fate.repeat);

    if (net_random(net, 1000) < net->fate.loss)
        return;
    while (copies-- > 0) {
        struct net_flight *f = calloc(1, sizeof(*f) + len);
        usec_t delay = net->fate.delay;
        if (!f)
            abort();
        if (net->fate.jitter > 0)
            delay += net_random(net, net->fate.jitter);
        f->timer.fire = arrival;
        f->from = *from;
        f->to = *to;
        if (origin)
            f->origin = *origin;
        f->len = len;
        memcpy(f->data, data, len);
        net_arm(net, &f->timer, net->now + delay);
    }
}
