// SPDX-License-Identifier: ISC
// How many calls a second the relay's core opens and closes on one core, by itself: no sockets, no
// threads, no signalling. A call is what a bundled ICE call orders: a path, the credentials of
// both sides, at last the end; a thousand of them are open at any time. Time is virtual, so that
// ports rest as they do in earnest.
//
//   corecalls SECONDS
//
// Prints one line of JSON.
#include "relay/relay.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    OPEN = 1000,
    CALLS_PER_SECOND = 2000, // of virtual time
    LOOK = 1024,             // calls between two looks at the clock
};

struct world {
    unsigned opened, failed;
    unsigned long seed;
    int socket; // all of them
};

static int bind_nothing(void *ctx, const struct addr *local, struct port *port, void **ret_socket)
{
    struct world *world = ctx;

    (void)local;
    (void)port;
    *ret_socket = &world->socket;
    return 0;
}

static void unbind_nothing(void *ctx, void *socket)
{
    (void)ctx;
    (void)socket;
}

static int send_nothing(void *ctx, void *socket, const struct addr *to, const uint8_t *data,
                        size_t len, uint8_t tos)
{
    (void)ctx;
    (void)socket;
    (void)to;
    (void)data;
    (void)len;
    (void)tos;
    return 0;
}

static void take_event(void *ctx, const struct relay_event *event)
{
    struct world *world = ctx;

    world->opened += event->kind == EVENT_OPENED;
    world->failed += event->kind == EVENT_FAILED;
}

static void randomize(void *ctx, void *buf, size_t len)
{
    struct world *world = ctx;
    uint8_t *at = buf;

    for (size_t i = 0; i < len; i++) {
        world->seed = world->seed * 6364136223846793005u + 1442695040888963407u;
        at[i] = (uint8_t)(world->seed >> 33);
    }
}

static void open_call(struct relay *relay, uint64_t call, usec_t now)
{
    struct order order = {.kind = ORDER_OPEN, .call = call, .path = call};

    order.u.open.mode = PATH_ICE;
    order.u.open.family_v4[SIDE_INITIATOR] = order.u.open.family_v4[SIDE_RESPONDER] = true;
    relay_order(relay, &order, now);
    for (int side = SIDE_INITIATOR; side < SIDE_COUNT; side++) {
        order = (struct order){.kind = ORDER_CREDENTIALS, .call = call, .path = call, .side = side};
        snprintf(order.u.credentials.ufrag, sizeof order.u.credentials.ufrag, "u%d-%llu", side,
                 (unsigned long long)call);
        strcpy(order.u.credentials.pwd, "a-password-of-24-letters");
        relay_order(relay, &order, now);
    }
}

static void close_call(struct relay *relay, uint64_t call, usec_t now)
{
    const struct order order = {.kind = ORDER_CLOSE, .call = call, .path = call};

    relay_order(relay, &order, now);
}

static struct relay *new_relay(struct world *world, struct counters *counters)
{
    const uint8_t ip[4] = {192, 0, 2, 1};
    const struct relay_io io = {.bind = bind_nothing,
                                .unbind = unbind_nothing,
                                .send = send_nothing,
                                .event = take_event,
                                .random = randomize};
    struct relay_config config = {
        .port_min = 10000,
        .port_max = 65535,
        .shares = 1,
        .limits = {.quarantine = 10 * USEC_PER_SEC, .learning_window = 10 * USEC_PER_SEC},
    };
    struct relay *relay;

    config.bind[0] = config.advertise[0] = addr_v4(ip, 0);
    return relay_new(&config, &io, world, counters, &relay) < 0 ? NULL : relay;
}

static double seconds_now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t); // its own, whatever else runs
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
    static struct counters counters;
    struct world world = {.seed = 1};
    struct relay *relay = new_relay(&world, &counters);
    usec_t now = USEC_PER_SEC, due = 0;
    double start = seconds_now(), end;
    uint64_t call = 1;

    if (argc != 2 || !relay) {
        fprintf(stderr, "usage: corecalls SECONDS\n");
        return 2;
    }
    end = start + atof(argv[1]);
    for (; call % LOOK != 0 || seconds_now() < end; call++) {
        now += USEC_PER_SEC / CALLS_PER_SECOND;
        if (now >= due)
            due = relay_tick(relay, now);
        open_call(relay, call, now);
        if (call > OPEN)
            close_call(relay, call - OPEN, now);
    }
    printf("{\"calls_per_second\": %.0f, \"opened\": %u, \"failed\": %u}\n",
           (double)(call - 1) / (seconds_now() - start), world.opened, world.failed);
    relay_free(relay);
    return world.failed > 0;
}
