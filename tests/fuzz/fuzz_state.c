// SPDX-License-Identifier: ISC
// What was left for a restart comes from outside the process: any text, read as the state of a
// relay and of a TURN server. Whatever they make of it, both must be in good order, stay so while
// time passes and packets come, and be able to leave their state again.
#include "relay/relay.h"
#include "turn/turn.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define NOW     (1000 * USEC_PER_SEC)
#define SOCKETS 64

struct fuzz {
    struct relay *relay;
    struct turn *turn;
    struct counters counters;
    struct port *port[SOCKETS]; // bound; NULL: closed
    struct addr local[SOCKETS];
    unsigned turn_ports;
    int charges;
    uint64_t random;
};

static void must(bool condition)
{
    if (!condition)
        abort();
}

static void good(const char *wrong)
{
    if (!wrong)
        return;
    fprintf(stderr, "%s\n", wrong);
    abort();
}

// --- the relay's world ---------------------------------------------------------------------------

static int do_bind(void *ctx, const struct addr *local, struct port *port, void **ret_socket)
{
    struct fuzz *f = ctx;

    for (unsigned i = 0; i < SOCKETS; i++) {
        if (f->port[i])
            continue;
        f->port[i] = port;
        f->local[i] = *local;
        *ret_socket = &f->port[i];
        return 0;
    }
    return -1;
}

static void do_unbind(void *ctx, void *socket)
{
    (void)ctx;
    *(struct port **)socket = NULL;
}

static int do_send(void *ctx, void *socket, const struct addr *to, const uint8_t *data, size_t len,
                   uint8_t tos)
{
    struct fuzz *f = ctx;

    (void)data;
    (void)len;
    (void)tos;
    must(to->family != FAMILY_NONE && (struct port **)socket >= f->port &&
         (struct port **)socket < f->port + SOCKETS);
    return 0;
}

static void do_event(void *ctx, const struct relay_event *event)
{
    (void)ctx;
    (void)event;
}

static void do_random(void *ctx, void *buf, size_t len)
{
    struct fuzz *f = ctx;
    uint8_t *p = buf;

    for (size_t i = 0; i < len; i++)
        p[i] =
            (uint8_t)((f->random = f->random * 6364136223846793005u + 1442695040888963407u) >> 56);
}

static struct addr v4(uint8_t last, uint16_t port)
{
    return addr_v4((const uint8_t[4]){198, 51, 100, last}, port);
}

// From a few addresses of the corpus to all ports.
static void relay_packets(struct fuzz *f, usec_t now)
{
    uint8_t rtp[20] = {0x80, 0, 0, 1}, check[20] = {0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42};

    for (unsigned i = 0; i < SOCKETS; i++) {
        uint8_t *const data[] = {rtp, check};
        for (unsigned k = 0; k < 4 && f->port[i]; k++) {
            struct addr from = v4((uint8_t)(1 + k / 2), 1111);
            struct packet packet = {.data = data[k % 2], .len = 20};
            struct forward forward;
            if (relay_recv(f->relay, f->port[i], &from, &packet, &forward, now) == VERDICT_FORWARD)
                must((struct port **)forward.socket >= f->port &&
                     (struct port **)forward.socket < f->port + SOCKETS);
        }
    }
}

static void relay_part(struct fuzz *f, const json_t *state)
{
    static const struct relay_io io = {do_bind, do_unbind, do_send, do_event, do_random};
    const struct relay_config config = {
        .bind = {addr_v4((const uint8_t[4]){203, 0, 113, 1}, 0),
                 addr_v6((const uint8_t[16]){0x20, 1, 0xd, 0xb8, [15] = 1}, 0)},
        .port_min = 40000,
        .port_max = 40099,
        .shares = 1,
        .limits = {.quarantine = 10 * USEC_PER_SEC,
                   .silence = 5 * USEC_PER_SEC,
                   .learning_window = 20 * USEC_PER_SEC}};
    unsigned lost = 0;

    must(relay_new(&config, &io, f, &f->counters, &f->relay) == 0);
    (void)relay_restore(f->relay, state, NOW, &lost);
    good(relay_check(f->relay));
    for (usec_t now = NOW; now < NOW + 4 * USEC_PER_SEC; now += USEC_PER_SEC / 4) {
        relay_packets(f, now);
        (void)relay_tick(f->relay, now);
        good(relay_check(f->relay));
    }
    json_t *again = relay_save(f->relay, NOW + 4 * USEC_PER_SEC);
    must(again != NULL);
    json_decref(again);
    relay_free(f->relay);
    for (unsigned i = 0; i < SOCKETS; i++)
        must(!f->port[i]);
}

// --- TURN's world --------------------------------------------------------------------------------

static int do_reopen(void *ctx, const struct addr *relayed, bool tcp, void *owner,
                     struct turn_port *ret_port)
{
    struct fuzz *f = ctx;

    (void)tcp;
    (void)owner;
    if (f->turn_ports == SOCKETS)
        return -1;
    f->turn_ports++;
    *ret_port = (struct turn_port){.handle = &f->turn_ports, .relayed = *relayed};
    return 0;
}

static void do_close(void *ctx, void *handle)
{
    struct fuzz *f = ctx;

    must(handle == &f->turn_ports && f->turn_ports > 0);
    f->turn_ports--;
}

static void *do_link(void *ctx, const struct addr *local)
{
    return local->port == 3478 ? ctx : NULL;
}

static enum turn_refusal do_charge(void *ctx, const char *identity)
{
    struct fuzz *f = ctx;

    (void)identity;
    return f->charges++ < SOCKETS ? TURN_GRANTED : (f->charges--, TURN_REFUSED_TOTAL);
}

static void do_release(void *ctx, const char *identity)
{
    struct fuzz *f = ctx;

    (void)identity;
    f->charges--;
}

static void turn_part(struct fuzz *f, const json_t *state)
{
    static const struct turn_config config = {.realm = "example.org",
                                              .nonce_lifetime = USEC_PER_SEC,
                                              .default_lifetime = 600 * USEC_PER_SEC,
                                              .max_lifetime = 3600 * USEC_PER_SEC,
                                              .permissions_max = 4,
                                              .channels_max = 4,
                                              .allocations_max = 100,
                                              .mobility = true,
                                              .workers = 2};
    const struct turn_io io = {.ctx = f,
                               .close = do_close,
                               .random = do_random,
                               .charge = do_charge,
                               .release = do_release};
    const struct turn_revival revival = {f, do_reopen, do_link};
    unsigned lost = 0;

    must(turn_new(&config, &io, &f->counters, &f->turn) == 0);
    (void)turn_restore(f->turn, state, &revival, NOW, &lost);
    good(turn_check(f->turn));
    for (usec_t now = NOW; now < NOW + 4000 * USEC_PER_SEC; now += 250 * USEC_PER_SEC) {
        (void)turn_tick(f->turn, now);
        good(turn_check(f->turn));
        json_t *again = turn_save(f->turn, now);
        must(again != NULL);
        json_decref(again);
    }
    turn_free(f->turn);
    must(f->turn_ports == 0 && f->charges == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz f = {.random = 1};
    json_t *state = json_loadb((const char *)data, size, 0, NULL);

    relay_part(&f, state);
    memset(&f, 0, sizeof(f));
    turn_part(&f, state);
    json_decref(state);
    return 0;
}
