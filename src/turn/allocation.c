// SPDX-License-Identifier: ISC
// The life of an allocation (RFC 8656 section 6), and where clients are found: by 5-tuple.
#include "internal.h"

#include "base/log_kind.h"
#include "base/mask.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// ---- 5-tuples ----

static uint64_t client_hash(const struct turn *turn, const struct turn_client *client)
{
    uint8_t key[48];
    struct writer w = writer_over(key, sizeof key);
    const struct addr *addr[] = {&client->remote, &client->local};
    write_u8(&w, (uint8_t)client->transport);
    for (unsigned i = 0; i < 2; i++) {
        write_bytes(&w, addr[i]->ip, addr[i]->family == FAMILY_V4 ? 4 : 16);
        write_u16(&w, addr[i]->port);
        write_u8(&w, addr[i]->family);
    }
    return map_hash(&turn->clients, key, writer_used(&w));
}

bool client_equal(const struct turn_client *a, const struct turn_client *b)
{
    return a->transport == b->transport && addr_equal(&a->remote, &b->remote) &&
           addr_equal(&a->local, &b->local);
}

struct binding *binding_find(const struct turn *turn, const struct turn_client *client)
{
    struct map_node *node = map_first(&turn->clients, client_hash(turn, client));
    for (; node; node = map_next(node)) {
        struct binding *binding = container_of(node, struct binding, node);
        if (client_equal(&binding->client, client))
            return binding;
    }
    return NULL;
}

int binding_link(struct turn *turn, struct binding *binding, const struct turn_client *client,
                 enum binding_kind kind)
{
    int rc = map_insert(&turn->clients, &binding->node, client_hash(turn, client));
    if (rc < 0)
        return rc;
    binding->client = *client;
    binding->kind = (uint8_t)kind;
    binding->linked = true;
    return 0;
}

void binding_unlink(struct turn *turn, struct binding *binding)
{
    if (!binding->linked)
        return;
    map_remove(&turn->clients, &binding->node);
    binding->linked = false;
}

struct allocation *binding_allocation(struct binding *binding)
{
    if (binding->kind == BIND_ALLOCATION)
        return container_of(binding, struct allocation, at);
    if (binding->kind == BIND_ARRIVING)
        return container_of(binding, struct mobility, next)->allocation;
    return NULL;
}

unsigned family_index(const struct addr *addr)
{
    return addr->family == FAMILY_V6;
}

// ---- beginning ----

static void timer_fired(struct timer *timer, void *ctx, usec_t now)
{
    struct allocation *a = container_of(timer, struct allocation, timer);
    struct turn *turn = ctx;
    for (unsigned i = 0; i < FAMILIES && !a->dead; i++) {
        if (a->port[i].open && a->port[i].expires <= now)
            allocation_drop_port(turn, a, i, END_EXPIRED, now);
    }
    // It was armed a moment ago, so there is room in the heap.
    if (!a->dead)
        (void)allocation_arm(turn, a);
}

struct allocation *allocation_new(struct turn *turn, const struct turn_client *client,
                                  struct part username, struct part identity, usec_t now)
{
    // What counts against quotas is either the end of the username or, behind it, an address.
    const char *name = username.data;
    size_t at = identity.len <= username.len ? username.len - identity.len : 0;
    bool own = identity.len <= username.len && memcmp(name + at, identity.data, identity.len) == 0;
    size_t size = username.len + 1 + (own ? 0 : identity.len + 1);
    struct allocation *a = calloc(1, sizeof *a + size);
    if (!a)
        return NULL;
    memcpy(a->username, name, username.len);
    a->username_len = (uint16_t)username.len;
    a->identity_at = (uint16_t)(own ? at : username.len + 1);
    if (!own)
        memcpy(a->username + a->identity_at, identity.data, identity.len);
    a->timer.fire = timer_fired;
    a->opened = now;
    uint64_t rate = turn->config->bytes_per_second;
    bucket_init(&a->bucket, rate, rate, now);
    if (timer_arm(&turn->timers, &a->timer, USEC_NEVER) < 0 ||
        binding_link(turn, &a->at, client, BIND_ALLOCATION) < 0) {
        timer_cancel(&turn->timers, &a->timer);
        free(a);
        return NULL;
    }
    turn->allocations++;
    counter_add(turn->counters, COUNTER_TURN_ALLOCATIONS, 1);
    return a;
}

void allocation_add_port(struct allocation *a, const struct turn_port *port, usec_t expires)
{
    a->port[family_index(&port->relayed)] = (struct relayed){
        .handle = port->handle, .addr = port->relayed, .expires = expires, .open = true};
}

usec_t allocation_expires(const struct allocation *a)
{
    usec_t first = USEC_NEVER;
    for (unsigned i = 0; i < FAMILIES; i++) {
        if (a->port[i].open && a->port[i].expires < first)
            first = a->port[i].expires;
    }
    return first;
}

int allocation_arm(struct turn *turn, struct allocation *a)
{
    return timer_arm(&turn->timers, &a->timer, allocation_expires(a));
}

const char *allocation_identity(const struct allocation *a)
{
    return a->username + a->identity_at;
}

// ---- end ----

static void release_memory(struct allocation *a)
{
    free(a->permission);
    free(a->channel);
    free(a);
}

static void unlink_all(struct turn *turn, struct allocation *a)
{
    timer_cancel(&turn->timers, &a->timer);
    mobility_free(turn, a);
    binding_unlink(turn, &a->at);
    turn->allocations--;
    counter_add(turn->counters, COUNTER_TURN_ALLOCATIONS, (uint64_t)-1);
}

void allocation_free(struct turn *turn, struct allocation *a)
{
    unlink_all(turn, a);
    release_memory(a);
}

static void doom(struct turn *turn, struct allocation *a)
{
    if (a->doomed)
        return;
    a->doomed = true;
    a->next_doomed = turn->doomed;
    turn->doomed = a;
}

static const char *const cause_text[] = {"ended by its client", "expired", "lost its connection",
                                         "ended by this server"};

static void log_end(const struct allocation *a, enum end_cause cause, usec_t now)
{
    char bytes_in[24], bytes_out[24];
    struct mask user, client;
    snprintf(bytes_in, sizeof bytes_in, "%" PRIu64, a->bytes_in);
    snprintf(bytes_out, sizeof bytes_out, "%" PRIu64, a->bytes_out);
    const struct log_field fields[] = {
        {"TURN_USER", mask_user(allocation_identity(a), &user)},
        {"TURN_CLIENT", mask_addr(&a->at.client.remote, &client)},
        {"TURN_BYTES_FROM_PEERS", bytes_in},
        {"TURN_BYTES_TO_PEERS", bytes_out},
    };
    log_kind_write(LOG_ALLOCATION_ENDED, fields, sizeof fields / sizeof fields[0],
                   "TURN allocation %s after %" PRIu64 " s", cause_text[cause],
                   now > a->opened ? (now - a->opened) / USEC_PER_SEC : 0);
}

void allocation_end(struct turn *turn, struct allocation *a, enum end_cause cause, usec_t now)
{
    static const enum counter causes[] = {COUNTER_TURN_ENDED_CLIENT, COUNTER_TURN_ENDED_EXPIRED,
                                          COUNTER_TURN_ENDED_GONE, COUNTER_TURN_ENDED_SERVER};
    if (a->dead)
        return;
    a->dead = true;
    // The last figures are those that the kernel and connections have had.
    turn_offload_take(turn, a, now, 0);
    peer_conn_drop_all(turn, a);
    bool over = !turn->left || !a->saved;
    if (over && turn->io.ended) {
        struct turn_view view = allocation_view(turn, a, now);
        turn->io.ended(turn->io.ctx, &view, cause_text[cause], now);
    }
    for (unsigned i = 0; i < FAMILIES; i++)
        a->port[i].closing = a->port[i].open;
    unlink_all(turn, a);
    turn->io.release(turn->io.ctx, allocation_identity(a));
    turn->charges--;
    count(turn, causes[cause]);
    if (over)
        log_end(a, cause, now);
    doom(turn, a);
}

void allocation_drop_port(struct turn *turn, struct allocation *a, unsigned family,
                          enum end_cause cause, usec_t now)
{
    const struct relayed *other = &a->port[!family];
    if (!relayed_live(other)) {
        allocation_end(turn, a, cause, now);
        return;
    }
    permission_drop_family(a, family ? FAMILY_V6 : FAMILY_V4);
    channel_drop_family(turn, a, family ? FAMILY_V6 : FAMILY_V4, now);
    peer_conn_drop_family(turn, a, family ? FAMILY_V6 : FAMILY_V4);
    a->port[family].closing = true;
    a->port[family].expires = USEC_NEVER;
    doom(turn, a);
}

static void close_port(struct turn *turn, const struct allocation *a, const struct relayed *port)
{
    if (a->tcp)
        turn->io.tcp.close(turn->io.tcp.ctx, port->handle);
    else
        turn->io.close(turn->io.ctx, port->handle);
}

void allocation_bury(struct turn *turn)
{
    struct allocation *a;
    while ((a = turn->doomed)) {
        turn->doomed = a->next_doomed;
        a->doomed = false;
        for (unsigned i = 0; i < FAMILIES; i++) {
            if (!a->port[i].closing)
                continue;
            close_port(turn, a, &a->port[i]);
            a->port[i] = (struct relayed){0};
        }
        if (a->dead)
            release_memory(a);
    }
}
