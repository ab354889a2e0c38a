// SPDX-License-Identifier: ISC
// What others may know of a TURN server: its allocations as they stand, and its invariants.
#include "internal.h"

#include <string.h>

// The next allocation after a node; each is met once, by its 5-tuple, or if its mobile client is
// away by its current ticket.
struct allocation *allocation_by_client(const struct turn *turn, struct map_node **node)
{
    while ((*node = map_each(&turn->clients, *node))) {
        struct binding *binding = container_of(*node, struct binding, node);
        if (binding->kind == BIND_ALLOCATION)
            return binding_allocation(binding);
    }
    return NULL;
}

struct allocation *allocation_by_ticket(const struct turn *turn, struct map_node **node)
{
    while ((*node = map_each(&turn->tickets, *node))) {
        struct ticket *ticket = container_of(*node, struct ticket, node);
        struct mobility *m = ticket->owner;
        if (ticket == &m->ticket[m->current] && !m->allocation->at.linked)
            return m->allocation;
    }
    return NULL;
}

struct turn_view allocation_view(const struct turn *turn, struct allocation *a, usec_t now)
{
    turn_offload_count(turn, a);
    struct turn_view view = {
        .username = a->username,
        .identity = allocation_identity(a),
        .client = a->at.client,
        .tcp = a->tcp,
        .connections = a->peer_conns,
        .offloaded = a->offloaded,
        .opened = a->opened,
        .expires = allocation_expires(a),
        .packets_in = a->packets_in,
        .bytes_in = a->bytes_in,
        .packets_out = a->packets_out,
        .bytes_out = a->bytes_out,
    };
    if (!a->at.linked)
        view.client.link = NULL;
    for (unsigned i = 0; i < FAMILIES; i++) {
        if (relayed_live(&a->port[i]))
            view.relayed[i] = a->port[i].addr;
    }
    for (unsigned i = 0; i < a->permissions; i++)
        view.permissions += a->permission[i].until > now;
    for (unsigned i = 0; i < a->channels; i++)
        view.channels += a->channel[i].until > now;
    return view;
}

void turn_list(const struct turn *turn, void (*each)(void *ctx, const struct turn_view *view),
               void *ctx, usec_t now)
{
    struct allocation *a;
    for (struct map_node *node = NULL; (a = allocation_by_client(turn, &node));) {
        struct turn_view view = allocation_view(turn, a, now);
        each(ctx, &view);
    }
    for (struct map_node *node = NULL; (a = allocation_by_ticket(turn, &node));) {
        struct turn_view view = allocation_view(turn, a, now);
        each(ctx, &view);
    }
}

// ---- invariants ----

static const char *check_peer_conns(const struct turn *turn, const struct allocation *a,
                                    unsigned *peer_conns)
{
    unsigned n = 0;
    for (const struct peer_conn *conn = a->peer_conn; conn; conn = conn->next, n++) {
        if (conn->allocation != a)
            return "a peer's connection belongs to another allocation";
        if (timer_armed(&conn->timer) != (conn->state != PEER_JOINED))
            return "a connection waits without end, or ends by a timer";
        if (!relayed_live(&a->port[family_index(&conn->peer)]))
            return "a connection of a port that is closed";
    }
    if (n != a->peer_conns || n > turn->config->connections_max || (n > 0 && !a->tcp))
        return "an allocation's connections do not add up";
    *peer_conns += n;
    return NULL;
}

// Section 12: "a channel binding is uniquely identified either by the channel number or by the
// peer's transport address".
static const char *check_channels(const struct allocation *a)
{
    for (unsigned i = 0; i < a->channels; i++) {
        const struct channel *c = &a->channel[i];
        if (c->number < CHANNEL_MIN || c->number > CHANNEL_MAX)
            return "a channel number out of its range";
        for (unsigned k = 0; k < i; k++) {
            if (a->channel[k].number == c->number || addr_equal(&a->channel[k].peer, &c->peer))
                return "a channel is bound twice";
        }
    }
    return NULL;
}

static const char *check_allocation(const struct turn *turn, const struct allocation *a,
                                    unsigned *peer_conns)
{
    if (a->dead)
        return "a dead allocation can be found";
    if (!timer_armed(&a->timer) || a->timer.at != allocation_expires(a))
        return "an allocation's timer is not armed for its expiry";
    if (!relayed_live(&a->port[0]) && !relayed_live(&a->port[1]))
        return "an allocation without a port";
    if (a->permissions > a->permissions_size || a->channels > a->channels_size)
        return "more peers than there is room for";
    if (a->permissions > turn->config->permissions_max || a->channels > turn->config->channels_max)
        return "more peers than the limit allows";
    if (a->mobility && a->mobility->allocation != a)
        return "mobility that belongs to another allocation";
    const char *wrong = check_peer_conns(turn, a, peer_conns);
    if (!wrong)
        wrong = check_channels(a);
    return wrong ? wrong : turn_offload_check(turn, a);
}

static const char *check_guests(const struct turn *turn)
{
    unsigned guests = 0, queued = 0;
    const struct guest *guest;
    struct map_node *node = NULL;
    while ((node = map_each(&turn->clients, node)))
        guests += container_of(node, struct binding, node)->kind == BIND_GUEST;
    TAILQ_FOREACH (guest, &turn->guest_queue, entry)
        queued++;
    return guests == turn->guests && queued == guests ? NULL : "guests do not add up";
}

const char *turn_check(const struct turn *turn)
{
    const char *wrong = NULL;
    unsigned found = 0, peer_conns = 0, offloaded = 0;
    struct allocation *a;
    for (struct map_node *node = NULL; !wrong && (a = allocation_by_client(turn, &node)); found++) {
        wrong = check_allocation(turn, a, &peer_conns);
        offloaded += a->offloaded;
    }
    for (struct map_node *node = NULL; !wrong && (a = allocation_by_ticket(turn, &node)); found++)
        wrong =
            a->offloaded ? "offloaded without a client" : check_allocation(turn, a, &peer_conns);
    if (wrong)
        return wrong;
    if (found != turn->allocations)
        return "allocations do not add up";
    if (counter_get(turn->counters, COUNTER_TURN_ALLOCATIONS) != found)
        return "the gauge of allocations is wrong";
    if (counter_get(turn->counters, COUNTER_OFFLOADED_TURN) != offloaded)
        return "the gauge of flows in the kernel is wrong";
    if (peer_conns != turn->peer_conns.count ||
        peer_conns != counter_get(turn->counters, COUNTER_TURN_PEER_CONNECTIONS))
        return "connections to peers do not add up";
    if (turn->charges != found + turn->reservations.count)
        return "charges do not add up";
    return check_guests(turn);
}
