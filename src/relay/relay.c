// SPDX-License-Identifier: ISC
// The relay as a whole: making and freeing it, taking orders, and handing each datagram to the way
// of its path. Time, sockets and randomness come from the caller.

#include "internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void quarantine_over(struct timer *timer, void *ctx, usec_t now)
{
    (void)timer;
    relay_ports_changed(ctx, now);
}

void relay_ports_changed(struct relay *relay, usec_t now)
{
    uint64_t used = 0, free_ports = 0, quarantined = 0;
    usec_t next = USEC_NEVER;

    for (unsigned f = 0; f < FAMILIES; f++) {
        usec_t until = pool_expire(&relay->pool[f], now);
        if (until < next)
            next = until;
        used += relay->pool[f].used_count;
        free_ports += relay->pool[f].free_count;
        quarantined += relay->pool[f].quarantined_count;
    }
    counter_set(relay->counters, COUNTER_PORTS_USED, used);
    counter_set(relay->counters, COUNTER_PORTS_FREE, free_ports);
    counter_set(relay->counters, COUNTER_PORTS_QUARANTINED, quarantined);
    if (next == USEC_NEVER)
        timer_cancel(&relay->timers, &relay->quarantine);
    else if (!timer_armed(&relay->quarantine) || relay->quarantine.at != next)
        timer_arm(&relay->timers, &relay->quarantine, next); // room was reserved by relay_new()
}

uint64_t relay_random(struct relay *relay)
{
    uint64_t value = 0;

    relay->io.random(relay->ctx, &value, sizeof(value));
    return value;
}

bool relay_owns(const struct relay *relay, const struct addr *addr)
{
    const struct relay_config *c = &relay->config;

    bool port = (addr->port >= c->port_min && addr->port <= c->port_max) ||
                (addr->port != 0 && addr->port == relay->shared[addr->family == FAMILY_V6].number);

    return port && relay_is_host(relay, addr);
}

bool relay_is_host(const struct relay *relay, const struct addr *addr)
{
    const struct relay_config *c = &relay->config;

    for (unsigned f = 0; f < FAMILIES; f++)
        if ((c->bind[f].family != FAMILY_NONE && addr_equal_ip(addr, &c->bind[f])) ||
            (c->advertise[f].family != FAMILY_NONE && addr_equal_ip(addr, &c->advertise[f])))
            return true;
    return false;
}

// A destination that the relay may take from signalling alone. Its own ports are none: two paths
// that name each other would pass one packet round for ever. Other services of its host are no
// better than those of a private network, though the address is public.
bool relay_may_send_unproved(const struct relay *relay, const struct addr *addr)
{
    if (addr->port == 0 || relay_owns(relay, addr))
        return false;
    return (!addr_is_special(addr) && !relay_is_host(relay, addr)) ||
           prefix_list_match(&relay->config.allow, addr);
}

static int check_config(const struct relay_config *config)
{
    if (config->bind[0].family == FAMILY_NONE && config->bind[1].family == FAMILY_NONE)
        return -EINVAL;
    if (config->port_min == 0 || config->port_min > config->port_max)
        return -EINVAL;
    if (config->shares == 0 || config->share >= config->shares)
        return -EINVAL;
    return 0;
}

int relay_new(const struct relay_config *config, const struct relay_io *io, void *ctx,
              struct counters *counters, struct relay **ret_relay)
{
    uint8_t key[16];
    int err = check_config(config);

    if (err < 0)
        return err;
    struct relay *relay = calloc(1, sizeof(*relay));
    if (!relay)
        return -ENOMEM;
    relay->config = *config;
    relay->io = *io;
    relay->ctx = ctx;
    relay->counters = counters;
    relay->quarantine.fire = quarantine_over;
    io->random(ctx, key, sizeof(key));
    map_init(&relay->paths, key);
    map_init(&relay->calls, key);
    map_init(&relay->names, key);
    map_init(&relay->claims, key);
    err = timers_reserve(&relay->timers, 1);
    for (unsigned f = 0; f < FAMILIES && err == 0; f++) {
        if (config->bind[f].family == FAMILY_NONE)
            continue;
        if (relay->config.advertise[f].family == FAMILY_NONE)
            relay->config.advertise[f] = config->bind[f];
        err = pool_init(&relay->pool[f], config->port_min, config->port_max, config->share,
                        config->shares);
    }
    if (err < 0) {
        relay_free(relay);
        return err;
    }
    relay_ports_changed(relay, 0);
    *ret_relay = relay;
    return 0;
}

void relay_free(struct relay *relay)
{
    if (!relay)
        return;
    for (struct map_node *n = map_each(&relay->paths, NULL), *next; n; n = next) {
        next = map_each(&relay->paths, n);
        path_close(container_of(n, struct path, node), 0);
    }
    relay_ports_changed(relay, 0);
    map_free(&relay->paths);
    map_free(&relay->calls);
    map_free(&relay->names);
    map_free(&relay->claims);
    timers_free(&relay->timers);
    for (unsigned f = 0; f < FAMILIES; f++)
        pool_free(&relay->pool[f]);
    free(relay);
}

static void send_failed(struct relay *relay, uint64_t call, uint64_t path, int error)
{
    struct relay_event event = {.kind = EVENT_FAILED, .call = call, .path = path, .error = error};

    count(relay, COUNTER_PATHS_FAILED);
    relay->io.event(relay->ctx, &event);
}

void relay_tell_opened(const struct path *path)
{
    const struct relay *relay = path->relay;
    struct relay_event event = {.kind = EVENT_OPENED, .call = path->call->id, .path = path->id};

    for (unsigned s = 0; s < SIDE_COUNT; s++) {
        for (unsigned f = 0; f < FAMILIES; f++) {
            const struct port *port = &path->leg[s].port[f];
            if (!port->open)
                continue;
            event.u.opened[s][f] = relay->config.advertise[f];
            event.u.opened[s][f].port = port->number;
        }
    }
    relay->io.event(relay->ctx, &event);
}

static void open_path(struct relay *relay, const struct order *order, usec_t now)
{
    struct path *path;
    int err = path_open(relay, order, now, &path);

    relay_ports_changed(relay, now);
    if (err < 0) {
        send_failed(relay, order->call, order->path, err);
        return;
    }
    count(relay, COUNTER_PATHS_OPENED);
    relay_tell_opened(path);
}

static void close_path(struct path *path, usec_t now)
{
    struct relay *relay = path->relay;

    path_close(path, now);
    relay_ports_changed(relay, now);
}

void relay_order(struct relay *relay, const struct order *order, usec_t now)
{
    struct path *path = path_find(relay, order->path);

    switch (order->kind) {
    case ORDER_OPEN:
        open_path(relay, order, now);
        break;
    case ORDER_CREDENTIALS:
        // Without its credentials a path is of no use to anybody: it fails late.
        if (path && path->mode == PATH_ICE && ice_credentials(path, order) < 0) {
            close_path(path, now);
            send_failed(relay, order->call, order->path, -ENOMEM);
        } else if (path && path->mode == PATH_GOOGLE) {
            google_name(path, order);
        }
        break;
    case ORDER_PEER:
        if (path && path->mode == PATH_RAW)
            raw_peer(path, order->side, &order->u.peer, now);
        if (path && path->mode == PATH_GOOGLE)
            google_peer(path, order->side, &order->u.peer, now);
        break;
    case ORDER_CLOSE:
        if (path)
            close_path(path, now);
        break;
    case ORDER_SNAPSHOT:
        view_send(relay, order, now);
        break;
    }
}

enum verdict relay_recv(struct relay *relay, struct port *port, const struct addr *from,
                        const struct packet *packet, struct forward *ret_forward, usec_t now)
{
    struct path *path = port->path;
    enum side side = port->side;
    const struct recv r = {
        .path = path,
        .leg = &path->leg[side],
        .out = &path->leg[side_other(side)],
        .side = side,
        .port = port,
        .from = from,
        .packet = packet,
        .kind = demux(packet->data, packet->len),
        .ret_forward = ret_forward,
        .now = now,
    };

    if (from->family != relay->config.bind[port->family].family || from->port == 0)
        return leg_drop(&r, COUNTER_DROP_MALFORMED); // nothing could be sent back
    switch (path->mode) {
    case PATH_ICE:
        return ice_recv(&r);
    case PATH_RAW:
        return raw_recv(&r);
    case PATH_GOOGLE:
        return google_recv(&r);
    case PATH_CHANNEL:
        break;
    }
    return channel_recv(&r);
}

usec_t relay_tick(struct relay *relay, usec_t now)
{
    return timers_run(&relay->timers, relay, now);
}
