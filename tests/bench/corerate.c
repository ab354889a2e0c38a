// SPDX-License-Identifier: ISC
// What the relay core alone costs, without sockets, threads and signalling: calls opened and closed
// per second of one core, memory per open call, and time per packet of established calls.
//
//   corerate [--json]
//
// A call is one ICE path of two legs and one component: OPEN, the credentials of both sides, CLOSE.
// Sockets are numbers. Time is CPU time, the clock that the core sees is made up. Packets are those
// of raw paths (XEP-0177), whose sources need no checks; what comes after that is the same code.
#include "relay/relay.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    STANDING = 1000, // calls that are open while others come and go
    CYCLES = 200000,
    FLOWS = 100, // raw paths that carry packets
    FLOWS_MANY = 5000,
    PACKETS = 5000000,
    ROUNDS = 5, // the best counts: what disturbs makes it slower only
    PORT_MIN = 10000,
    PORT_MAX = 60000,
    CLIENT_PORT = 5000,
};

struct bench {
    struct relay *relay;
    struct counters counters;
    uint64_t seed;
    uint64_t opened;
    struct port *bound; // by the last bind
    struct port *port[2 * FLOWS_MANY];
    unsigned ports;
    usec_t now;
};

static int io_bind(void *ctx, const struct addr *local, struct port *port, void **ret_socket)
{
    struct bench *b = ctx;

    (void)local;
    b->bound = port;
    *ret_socket = port;
    if (b->ports < sizeof b->port / sizeof *b->port)
        b->port[b->ports] = port;
    b->ports++;
    return 0;
}

static void io_unbind(void *ctx, void *socket)
{
    (void)ctx;
    (void)socket;
}

static int io_send(void *ctx, void *socket, const struct addr *to, const uint8_t *data, size_t len,
                   uint8_t tos)
{
    (void)ctx;
    (void)socket;
    (void)to;
    (void)data;
    (void)len;
    (void)tos;
    return 0;
}

static void io_event(void *ctx, const struct relay_event *event)
{
    struct bench *b = ctx;

    b->opened += event->kind == EVENT_OPENED;
}

static void io_random(void *ctx, void *buf, size_t len) // xorshift: its cost is not the core's
{
    struct bench *b = ctx;
    uint8_t *out = buf;

    for (size_t i = 0; i < len; i++) {
        b->seed ^= b->seed << 13;
        b->seed ^= b->seed >> 7;
        b->seed ^= b->seed << 17;
        out[i] = (uint8_t)b->seed;
    }
}

static double cpu_seconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void start(struct bench *b)
{
    const struct relay_io io = {io_bind, io_unbind, io_send, io_event, io_random};
    struct relay_config config = {
        .port_min = PORT_MIN,
        .port_max = PORT_MAX,
        .shares = 1,
        .limits = {.quarantine = USEC_PER_MSEC, .silence = 30 * USEC_PER_SEC},
    };

    *b = (struct bench){.seed = 88172645463325252u, .now = USEC_PER_SEC};
    if (addr_parse_ip("8.8.8.8", 0, &config.bind[0]) < 0 ||
        relay_new(&config, &io, b, &b->counters, &b->relay) < 0) {
        fprintf(stderr, "corerate: no relay\n");
        exit(1);
    }
}

static void order_open(struct bench *b, uint64_t id, enum path_mode mode)
{
    struct order order = {.kind = ORDER_OPEN, .call = id, .path = id};

    order.u.open.mode = mode;
    order.u.open.family_v4[0] = order.u.open.family_v4[1] = true;
    order.u.open.component = 1;
    relay_order(b->relay, &order, b->now);
}

static void order_credentials(struct bench *b, uint64_t id)
{
    struct order order = {.kind = ORDER_CREDENTIALS, .call = id, .path = id};

    for (int side = 0; side < SIDE_COUNT; side++) {
        order.side = (enum side)side;
        snprintf(order.u.credentials.ufrag, sizeof order.u.credentials.ufrag, "%d%llx", side,
                 (unsigned long long)id);
        memcpy(order.u.credentials.pwd, "0123456789abcdef01234567", 25);
        relay_order(b->relay, &order, b->now);
    }
}

static void order_close(struct bench *b, uint64_t id)
{
    const struct order order = {.kind = ORDER_CLOSE, .call = id, .path = id};

    relay_order(b->relay, &order, b->now);
}

// Returns calls opened and closed per second.
static double calls_rate(void)
{
    static struct bench b;
    uint64_t id = 1;

    start(&b);
    for (; id <= STANDING; id++) {
        order_open(&b, id, PATH_ICE);
        order_credentials(&b, id);
    }
    double before = cpu_seconds();
    for (int i = 0; i < CYCLES; i++, id++) { // the oldest goes
        b.now += 10;
        order_open(&b, id, PATH_ICE);
        order_credentials(&b, id);
        order_close(&b, id - STANDING);
        (void)relay_tick(b.relay, b.now);
    }
    double seconds = cpu_seconds() - before;
    if (b.opened != STANDING + CYCLES) {
        fprintf(stderr, "corerate: %llu calls were opened\n", (unsigned long long)b.opened);
        exit(1);
    }
    relay_free(b.relay);
    return CYCLES / seconds;
}

// Returns the bytes that a call with its credentials takes of the heap.
static double call_bytes(void)
{
    static struct bench b;

    start(&b);
    order_open(&b, STANDING + 1, PATH_ICE); // what is there once
    size_t before = mallinfo2().uordblks;
    for (uint64_t id = 1; id <= STANDING; id++) {
        order_open(&b, id, PATH_ICE);
        order_credentials(&b, id);
    }
    size_t after = mallinfo2().uordblks;
    relay_free(b.relay);
    return (double)(after - before) / STANDING;
}

static void put_rtp(uint8_t *data, unsigned flow, uint16_t sequence)
{
    data[0] = 0x80;
    data[2] = (uint8_t)(sequence >> 8);
    data[3] = (uint8_t)sequence;
    memcpy(data + 8, &flow, 4);
}

// One packet at each port in turn. Returns how many were forwarded.
static unsigned long pass(struct bench *b, unsigned ports, unsigned long packets, uint8_t *data,
                          size_t len)
{
    struct addr from;
    const struct packet packet = {.data = data, .len = len};
    struct forward forward;
    unsigned long forwarded = 0;

    (void)addr_parse_ip("9.9.9.9", CLIENT_PORT, &from);
    for (unsigned long i = 0; i < packets; i++) {
        unsigned k = (unsigned)(i % ports);
        b->now += 2;
        put_rtp(data, k, (uint16_t)(i / ports));
        from.port = (uint16_t)(CLIENT_PORT + k);
        forwarded +=
            relay_recv(b->relay, b->port[k], &from, &packet, &forward, b->now) == VERDICT_FORWARD;
    }
    return forwarded;
}

// Returns nanoseconds per packet.
static double packet_time(unsigned flows)
{
    static struct bench b;
    uint8_t data[172] = {0};
    unsigned ports = 2 * flows;

    start(&b);
    for (unsigned i = 0; i < flows; i++) {
        struct order order = {.kind = ORDER_PEER, .call = i + 1, .path = i + 1};
        order_open(&b, i + 1, PATH_RAW);
        for (unsigned side = 0; side < 2; side++) {
            order.side = (enum side)side;
            (void)addr_parse_ip("9.9.9.9", (uint16_t)(CLIENT_PORT + 2 * i + side), &order.u.peer);
            relay_order(b.relay, &order, b.now);
        }
    }
    (void)pass(&b, ports, 10ul * ports, data, sizeof data);
    double before = cpu_seconds();
    unsigned long forwarded = pass(&b, ports, PACKETS, data, sizeof data);
    double seconds = cpu_seconds() - before;
    if (forwarded != PACKETS) {
        fprintf(stderr, "corerate: %lu packets were forwarded\n", forwarded);
        exit(1);
    }
    relay_free(b.relay);
    return seconds * 1e9 / PACKETS;
}

int main(int argc, char **argv)
{
    double rate = 0, few = 1e9, many = 1e9, bytes = call_bytes();

    for (int i = 0; i < ROUNDS; i++) {
        double r = calls_rate(), f = packet_time(FLOWS), m = packet_time(FLOWS_MANY);
        rate = r > rate ? r : rate;
        few = f < few ? f : few;
        many = m < many ? m : many;
    }
    if (argc > 1 && strcmp(argv[1], "--json") == 0)
        printf("{\"calls_per_second\": %.0f, \"bytes_per_call\": %.0f, \"packet_ns\": %.0f, "
               "\"packet_ns_5000_flows\": %.0f}\n",
               rate, bytes, few, many);
    else
        printf("calls opened and closed per second of a core  %.0f\n"
               "heap of an open call, bytes                   %.0f\n"
               "a packet of %d flows, ns                     %.0f\n"
               "a packet of %d flows, ns                    %.0f\n",
               rate, bytes, FLOWS, few, FLOWS_MANY, many);
    return 0;
}
