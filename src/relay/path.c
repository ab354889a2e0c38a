// SPDX-License-Identifier: ISC
// The life of a path: its ports are bound all or none, its deadlines are one timer, and when it
// closes the ports rest before they are given to another call.
//
// The one timer stands at the earliest of: a silence to report, a check of our own to repeat, a
// held request to give up. Packets do not move it; it looks again when it fires, so a busy path
// costs one firing per silence limit, and an idle one, once reported, costs nothing.

#include "internal.h"

#include <errno.h>
#include <stdlib.h>

struct path *path_find(const struct relay *relay, uint64_t id)
{
    uint64_t hash = map_hash(&relay->paths, &id, sizeof(id));

    for (struct map_node *n = map_first(&relay->paths, hash); n; n = map_next(n)) {
        struct path *path = container_of(n, struct path, node);
        if (path->id == id)
            return path;
    }
    return NULL;
}

struct call_paths *call_find(const struct relay *relay, uint64_t id)
{
    uint64_t hash = map_hash(&relay->calls, &id, sizeof(id));

    for (struct map_node *n = map_first(&relay->calls, hash); n; n = map_next(n)) {
        struct call_paths *call = container_of(n, struct call_paths, node);
        if (call->id == id)
            return call;
    }
    return NULL;
}

void path_event(struct path *path, enum event_kind kind, enum side side, const struct addr *addr)
{
    struct relay_event event = {
        .kind = kind, .call = path->call->id, .path = path->id, .side = side};

    if (addr)
        event.u.addr = *addr;
    path->relay->io.event(path->relay->ctx, &event);
}

// --- deadlines ---------------------------------------------------------------------------------

static usec_t earlier(usec_t a, usec_t b)
{
    return a < b ? a : b;
}

usec_t path_deadline(const struct path *path)
{
    usec_t silence = path->relay->config.limits.silence;
    usec_t next = USEC_NEVER;

    if (silence > 0 && !path->silent)
        next = path->last_forward + silence;
    for (unsigned s = 0; s < SIDE_COUNT; s++) {
        const struct leg *leg = &path->leg[s];
        if (leg->held)
            next = earlier(next, leg->held->until);
        for (unsigned i = 0; i < leg->sources; i++)
            next = earlier(next, verify_deadline(&leg->source[i]));
    }
    return next;
}

void path_schedule(struct path *path)
{
    struct timers *timers = &path->relay->timers;
    usec_t next = path_deadline(path);

    if (next == USEC_NEVER)
        timer_cancel(timers, &path->timer);
    else if (!timer_armed(&path->timer) || path->timer.at != next)
        timer_arm(timers, &path->timer, next); // room was reserved by path_open()
}

static void path_due(struct timer *timer, void *ctx, usec_t now)
{
    struct path *path = container_of(timer, struct path, timer);
    usec_t silence = path->relay->config.limits.silence;

    (void)ctx;
    for (unsigned s = 0; s < SIDE_COUNT; s++) {
        ice_hold_expire(path, s, now);
        for (unsigned i = 0; i < path->leg[s].sources; i++)
            verify_run(path, s, &path->leg[s].source[i], now);
    }
    if (silence > 0 && !path->silent && now - path->last_forward >= silence)
        offload_refresh(path, now);
    if (silence > 0 && !path->silent && now - path->last_forward >= silence) {
        offload_take(path, now); // what ends the silence is to be told
        path->silent = true;
        for (unsigned s = 0; s < SIDE_COUNT; s++)
            path->leg[s].media_told = false;
        path_event(path, EVENT_SILENT, SIDE_INITIATOR, NULL);
    }
    path_schedule(path);
}

// --- opening -----------------------------------------------------------------------------------

// XEP-0278 section 6.1.2: "an RTCP port is allocated and defined by default at localport attribute
// value plus one". Component 1 keeps the number until component 2 comes for it.
static int port_take_kept(struct path *path, enum side side, unsigned family)
{
    struct path *rtp = path_find(path->relay, path->rtp_path);
    struct port *kept = rtp ? &rtp->leg[side].port[family] : NULL;

    if (!kept || !kept->next_kept || rtp->call != path->call)
        return -EINVAL;
    kept->next_kept = false;
    path->leg[side].port[family].index = (uint16_t)(kept->index + 1);
    return 0;
}

static int port_take(struct path *path, enum side side, unsigned family)
{
    struct relay *relay = path->relay;
    struct port *port = &path->leg[side].port[family];
    int err;

    if (path->mode != PATH_CHANNEL)
        return pool_take(&relay->pool[family], relay_random(relay), &port->index);
    if (path->rtp_path != 0)
        return port_take_kept(path, side, family);
    err = pool_take_parity(&relay->pool[family], PORT_PAIR, relay_random(relay), &port->index);
    port->next_kept = err == 0;
    return err;
}

static void port_release(struct relay *relay, struct port *port, usec_t now)
{
    struct pool *pool = &relay->pool[port->family];
    usec_t until = now + relay->config.limits.quarantine;

    pool_quarantine(pool, port->index, until);
    if (port->next_kept)
        pool_quarantine(pool, (uint16_t)(port->index + 1), until);
    port->open = port->next_kept = false;
}

// The one that the path had.
static int port_take_again(struct path *path, enum side side, unsigned family,
                           const struct path_ports *ports)
{
    struct pool *pool = &path->relay->pool[family];
    struct port *port = &path->leg[side].port[family];
    uint16_t number = ports->number[side][family], next;
    int err = pool_take_number(pool, number, &port->index);

    if (err < 0 || !ports->next_kept[side][family])
        return err;
    err = number % 2 == 0 ? pool_take_number(pool, (uint16_t)(number + 1), &next) : -EINVAL;
    port->next_kept = err == 0;
    if (err < 0)
        pool_quarantine(pool, port->index, 0);
    return err;
}

static bool port_share(struct path *path, enum side side, unsigned family)
{
    const struct shared_port *shared = &path->relay->shared[family];
    struct port *port = &path->leg[side].port[family];

    if (!path->shared || !shared->socket)
        return false;
    port->number = shared->number;
    port->socket = shared->socket;
    port->open = port->shared = true;
    return true;
}

// 'ports' NULL: any.
static int port_open(struct path *path, enum side side, unsigned family,
                     const struct path_ports *ports, usec_t now)
{
    struct relay *relay = path->relay;
    struct pool *pool = &relay->pool[family];
    struct port *port = &path->leg[side].port[family];
    struct addr local = relay->config.bind[family];

    if (port_share(path, side, family))
        return !ports || port->number == ports->number[side][family] ? 0 : -ENOENT;
    for (unsigned try = 0; try < BIND_TRIES; try++) {
        int err =
            ports ? port_take_again(path, side, family, ports) : port_take(path, side, family);
        if (err < 0)
            return err;
        port->number = pool->port[port->index].number;
        local.port = port->number;
        err = relay->io.bind(relay->ctx, &local, port, &port->socket);
        if (err == 0) {
            port->open = true;
            return 0;
        }
        // Somebody else has it: leave it alone for a while, too.
        port_release(relay, port, now);
        if (err != -EADDRINUSE || ports || (path->mode == PATH_CHANNEL && path->rtp_path != 0))
            return err;
    }
    return -EADDRINUSE;
}

static int leg_open(struct path *path, enum side side, const struct order *order,
                    const struct path_ports *ports, usec_t now)
{
    struct leg *leg = &path->leg[side];
    const bool wanted[FAMILIES] = {order->u.open.family_v4[side], order->u.open.family_v6[side]};
    unsigned opened = 0;

    for (unsigned f = 0; f < FAMILIES; f++) {
        if (!wanted[f] || path->relay->config.bind[f].family == FAMILY_NONE)
            continue;
        int err = port_open(path, side, f, ports, now);
        if (err < 0)
            return err;
        opened++;
    }
    if (opened == 0)
        return -EAFNOSUPPORT;
    if (path->mode == PATH_RAW) {
        leg->raw = calloc(1, sizeof(*leg->raw));
        if (!leg->raw)
            return -ENOMEM;
    }
    return path->mode == PATH_CHANNEL ? leg_reserve(leg) : 0;
}

static int call_join(struct path *path, const struct order *order, usec_t now)
{
    struct relay *relay = path->relay;
    uint64_t rate = order->u.open.bytes_per_second;
    struct call_paths *call = call_find(relay, order->call);

    if (!call) {
        call = calloc(1, sizeof(*call));
        if (!call)
            return -ENOMEM;
        call->id = order->call;
        bucket_init(&call->bucket, rate, rate, now);
        int err = map_insert(&relay->calls, &call->node,
                             map_hash(&relay->calls, &call->id, sizeof(call->id)));
        if (err < 0) {
            free(call);
            return err;
        }
    } else if (call->rate != rate) {
        offload_take_call(call, now, OFFLOAD_PAUSE);
        bucket_init(&call->bucket, rate, rate, now);
    }
    call->rate = rate;
    path->call = call;
    path->call_next = call->first;
    if (call->first)
        call->first->call_prev = path;
    call->first = path;
    return 0;
}

static void call_leave(struct path *path)
{
    struct call_paths *call = path->call;

    if (!call)
        return;
    if (path->call_next)
        path->call_next->call_prev = path->call_prev;
    if (path->call_prev)
        path->call_prev->call_next = path->call_next;
    else
        call->first = path->call_next;
    if (!call->first) {
        map_remove(&path->relay->calls, &call->node);
        free(call);
    }
}

static void leg_free(struct path *path, struct leg *leg, usec_t now)
{
    struct relay *relay = path->relay;

    for (unsigned f = 0; f < FAMILIES; f++) {
        if (!leg->port[f].open || leg->port[f].shared)
            continue;
        relay->io.unbind(relay->ctx, leg->port[f].socket);
        port_release(relay, &leg->port[f], now);
    }
    ids_free(&leg->ids);
    for (unsigned i = 0; i < leg->sources; i++)
        shared_unclaim(relay, leg->source[i].claim);
    free(leg->source);
    credentials_free(leg->credentials[0]);
    credentials_free(leg->credentials[1]);
    free(leg->held);
    free(leg->raw);
    free(leg->quality);
}

// Copes with a path at any stage of its opening; it must not be in the map any more.
static void path_free(struct path *path, usec_t now)
{
    timer_cancel(&path->relay->timers, &path->timer);
    for (unsigned s = 0; s < SIDE_COUNT; s++)
        leg_free(path, &path->leg[s], now);
    transactions_free(&path->transactions);
    free(path->channel);
    free(path->google);
    call_leave(path);
    free(path);
}

static struct path *path_new(struct relay *relay, const struct order *order, usec_t now)
{
    struct path *path = calloc(1, sizeof(*path));

    if (!path)
        return NULL;
    path->relay = relay;
    path->id = order->path;
    path->rtp_path = order->u.open.rtp_path;
    path->mode = order->u.open.mode;
    path->shared = path->mode == PATH_ICE && !order->u.open.own_ports &&
                   (relay->shared[0].socket || relay->shared[1].socket);
    path->component = (uint8_t)order->u.open.component;
    path->opened = now;
    path->last_forward = now;
    path->timer.fire = path_due;
    for (unsigned s = 0; s < SIDE_COUNT; s++) {
        path->leg[s].selected = path->leg[s].last_proved = -1;
        for (unsigned f = 0; f < FAMILIES; f++)
            path->leg[s].port[f] =
                (struct port){.path = path, .side = (uint8_t)s, .family = (uint8_t)f};
    }
    return path;
}

// One timer for each path and one for the quarantine, doubling so that opening stays cheap.
static int reserve_timers(struct relay *relay)
{
    size_t need = (size_t)relay->path_count + 2;

    if (need <= relay->timers.size)
        return 0;
    return timers_reserve(&relay->timers, 2 * need);
}

int path_open(struct relay *relay, const struct order *order, usec_t now, struct path **ret_path)
{
    const struct relay_limits *limits = &relay->config.limits;

    if (limits->paths > 0 && relay->path_count >= limits->paths)
        return -EMFILE;
    return path_reopen(relay, order, NULL, now, ret_path);
}

int path_reopen(struct relay *relay, const struct order *order, const struct path_ports *ports,
                usec_t now, struct path **ret_path)
{
    struct path *path;
    int err;

    if (path_find(relay, order->path))
        return -EEXIST;
    path = path_new(relay, order, now);
    if (!path)
        return -ENOMEM;
    err = reserve_timers(relay);
    if (err == 0)
        err = call_join(path, order, now);
    if (err == 0 && path->mode == PATH_CHANNEL)
        err = channel_prepare(path);
    if (err == 0 && path->mode == PATH_GOOGLE)
        err = google_prepare(path);
    for (unsigned s = 0; s < SIDE_COUNT && err == 0; s++)
        err = leg_open(path, s, order, ports, now);
    if (err == 0)
        err = map_insert(&relay->paths, &path->node,
                         map_hash(&relay->paths, &path->id, sizeof(path->id)));
    if (err < 0) {
        path_free(path, now);
        return err;
    }
    counter_set(relay->counters, COUNTER_PATHS_OPEN, ++relay->path_count);
    path_schedule(path);
    *ret_path = path;
    return 0;
}

void path_close(struct path *path, usec_t now)
{
    struct relay *relay = path->relay;

    offload_take(path, now);
    map_remove(&relay->paths, &path->node);
    counter_set(relay->counters, COUNTER_PATHS_OPEN, --relay->path_count);
    path_free(path, now);
}
