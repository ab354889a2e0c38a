// SPDX-License-Identifier: ISC
// The TURN server as a whole: its making and its end, what a message is, time, and what others may
// know of it.
#include "internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define NONCE_LIFETIME_MAX (36 * 3600 * USEC_PER_SEC)

static bool text_ok(const char *text, size_t max)
{
    return strlen(text) <= max;
}

static bool config_ok(const struct turn_config *c)
{
    return c->realm && c->realm[0] && text_ok(c->realm, REALM_MAX) &&
           (!c->software || text_ok(c->software, SOFTWARE_MAX)) && c->nonce_lifetime > 0 &&
           c->nonce_lifetime <= NONCE_LIFETIME_MAX && c->default_lifetime > 0 &&
           c->max_lifetime >= c->default_lifetime && c->workers <= WORKERS_MAX &&
           c->worker < (c->workers ? c->workers : 1);
}

int turn_new(const struct turn_config *config, const struct turn_io *io, struct counters *counters,
             struct turn **ret_turn)
{
    uint8_t key[4][16];
    if (!config_ok(config))
        return -EINVAL;
    struct turn *turn = calloc(1, sizeof *turn);
    if (!turn)
        return -ENOMEM;
    turn->config = config;
    turn->io = *io;
    turn->counters = counters;
    TAILQ_INIT(&turn->guest_queue);
    io->random(io->ctx, key, sizeof key);
    map_init(&turn->clients, key[0]);
    map_init(&turn->tickets, key[1]);
    map_init(&turn->reservations, key[2]);
    map_init(&turn->peer_conns, key[3]);
    int rc = hashes_init(&turn->hashes);
    if (rc == 0)
        rc = limiter_init(&turn->limiter);
    if (rc == 0)
        rc = auth_users(turn, config, &turn->user_key);
    if (rc < 0) {
        turn_free(turn);
        return rc;
    }
    *ret_turn = turn;
    return 0;
}

int turn_set_config(struct turn *turn, const struct turn_config *config)
{
    struct user_key *keys;
    if (!config_ok(config))
        return -EINVAL;
    int rc = auth_users(turn, config, &keys);
    if (rc < 0)
        return rc;
    free(turn->user_key);
    turn->user_key = keys;
    turn->config = config;
    return 0;
}

void turn_set_clock(struct turn *turn, int64_t wall_minus_now_usec)
{
    turn->wall_minus_now = wall_minus_now_usec;
}

// ---- the end ----

// Addresses that were only announced, so that each allocation stands in the map once.
static void forget_arriving(struct turn *turn)
{
    struct map_node *node = map_each(&turn->clients, NULL), *next;
    for (; node; node = next) {
        next = map_each(&turn->clients, node);
        struct binding *binding = container_of(node, struct binding, node);
        if (binding->kind == BIND_ARRIVING)
            binding_unlink(turn, binding);
    }
}

static void end_all(struct turn *turn)
{
    struct map_node *node = map_each(&turn->clients, NULL), *next;
    for (; node; node = next) {
        next = map_each(&turn->clients, node);
        struct binding *binding = container_of(node, struct binding, node);
        if (binding->kind == BIND_GUEST)
            guest_free(turn, binding);
        else
            allocation_end(turn, binding_allocation(binding), END_SERVER, turn->now);
    }
    // What is left of mobile clients that are away.
    while ((node = map_each(&turn->tickets, NULL)))
        allocation_end(turn, container_of(node, struct ticket, node)->owner->allocation, END_SERVER,
                       turn->now);
    while ((node = map_each(&turn->reservations, NULL))) {
        struct reservation *r = container_of(node, struct reservation, node);
        turn->io.close(turn->io.ctx, r->port.handle);
        reservation_free(turn, r, true);
    }
    allocation_bury(turn);
}

void turn_free(struct turn *turn)
{
    if (!turn)
        return;
    forget_arriving(turn);
    end_all(turn);
    map_free(&turn->clients);
    map_free(&turn->tickets);
    map_free(&turn->reservations);
    map_free(&turn->peer_conns);
    timers_free(&turn->timers);
    limiter_free(&turn->limiter);
    hashes_free(&turn->hashes);
    free(turn->user_key);
    free(turn);
}

// ---- messages ----

static enum turn_action stun_recv(struct turn *turn, const struct turn_client *client,
                                  struct binding *binding, struct turn_packet *packet,
                                  struct turn_forward *ret_forward, usec_t now)
{
    struct stun_msg msg;
    if (stun_parse(packet->data, packet->len, &msg) < 0) {
        if (old_binding(turn, client, packet, binding != NULL, now))
            return TURN_CONSUME;
        return drop(turn, COUNTER_TURN_DROP_MALFORMED);
    }
    if (msg.class == STUN_REQUEST)
        return request_serve(turn, client, binding, &msg, ret_forward, now);
    if (msg.class == STUN_INDICATION && msg.method == STUN_SEND_INDICATION)
        return data_from_indication(turn, binding, &msg, packet, ret_forward, now);
    if (msg.class == STUN_INDICATION && msg.method == STUN_BINDING)
        return TURN_CONSUME; // keeps a NAT's mapping alive
    return drop(turn, COUNTER_TURN_DROP_UNEXPECTED);
}

enum turn_action turn_client_recv(struct turn *turn, const struct turn_client *client,
                                  struct turn_packet *packet, struct turn_forward *ret_forward,
                                  usec_t now)
{
    struct binding *binding = binding_find(turn, client);
    if (packet->len == 0)
        return drop(turn, COUNTER_TURN_DROP_MALFORMED);
    if (binding && binding->kind == BIND_GUEST) {
        guest_seen(turn, binding, ret_forward, now);
        return TURN_TO_WORKER;
    }
    // RFC 8656 section 12, table 3, with the channels of RFC 5766.
    uint8_t first = packet->data[0];
    if (first >= CHANNEL_MIN >> 8 && first <= CHANNEL_MAX >> 8)
        return data_from_channel(turn, binding, packet, ret_forward, now);
    if (first < 4)
        return stun_recv(turn, client, binding, packet, ret_forward, now);
    return drop(turn, COUNTER_TURN_DROP_UNEXPECTED);
}

bool turn_client_known(const struct turn *turn, const struct turn_client *client)
{
    return binding_find(turn, client) != NULL;
}

bool turn_client_host(const struct turn *turn, const struct turn_client *client,
                      unsigned *ret_worker, uint32_t *ret_serial)
{
    const struct binding *binding = binding_find(turn, client);
    if (!binding || binding->kind != BIND_GUEST)
        return false;
    *ret_worker = guest_worker(binding);
    *ret_serial = guest_serial(binding);
    return true;
}

bool turn_client_back(struct turn *turn, const struct turn_client *client, uint32_t serial)
{
    struct binding *binding = binding_find(turn, client);
    if (!binding || binding->kind != BIND_GUEST || guest_serial(binding) != serial)
        return false;
    guest_free(turn, binding);
    return true;
}

unsigned turn_client_gone(struct turn *turn, const struct turn_client *client, usec_t now)
{
    unsigned own = turn->config->worker;
    struct binding *binding = binding_find(turn, client);
    if (!binding)
        return own;
    if (binding->kind == BIND_GUEST) {
        unsigned worker = guest_worker(binding);
        guest_free(turn, binding);
        return worker;
    }
    struct allocation *a = binding_allocation(binding);
    if (binding->kind != BIND_ARRIVING && !a->mobility)
        allocation_end(turn, a, END_GONE, now);
    else if (binding->kind != BIND_ARRIVING && a->mobility->next.linked)
        mobility_arrive(turn, a, now);
    else
        binding_unlink(turn, binding);
    return own;
}

usec_t turn_tick(struct turn *turn, usec_t now)
{
    turn->now = now;
    turn->left = false;
    usec_t next = timers_run(&turn->timers, turn, now);
    allocation_bury(turn);
    return next;
}
