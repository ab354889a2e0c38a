// SPDX-License-Identifier: ISC
// One allocation in the server's snapshot: its user and key, ports, permissions, channels, tickets
// and figures. Those of TCP (RFC 6062), and those whose client came by a connection, end with their
// clients; a mobile client of a connection may come again and show its ticket.
#include "state.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define ROW(type, key, member, kind, max)                                                          \
    {                                                                                              \
        key, offsetof(struct type, member), kind, max                                              \
    }

#define ALLOCATION(key, member, kind, max) ROW(allocation, key, member, kind, max)

static const struct state_field allocation_fields[] = {
    ALLOCATION("partial", partial, STATE_U16, 699),
    ALLOCATION("tokens", bucket.tokens, STATE_U64, 0),
    ALLOCATION("filled", bucket.last, STATE_PAST, 0),
    ALLOCATION("opened", opened, STATE_PAST, 0),
    ALLOCATION("packets_in", packets_in, STATE_U64, 0),
    ALLOCATION("bytes_in", bytes_in, STATE_U64, 0),
    ALLOCATION("packets_out", packets_out, STATE_U64, 0),
    ALLOCATION("bytes_out", bytes_out, STATE_U64, 0),
    ALLOCATION("token", token, STATE_U64, 0),
    ALLOCATION("txid", txid, STATE_BYTES, STUN_TXID_LEN),
};

static const struct state_field channel_fields[] = {
    ROW(channel, "until", until, STATE_UNTIL, CHANNEL_LIFE),
    ROW(channel, "peer", peer, STATE_ADDR, 0),
    ROW(channel, "number", number, STATE_U16, CHANNEL_MAX),
};

// ---- saving ----

static void ports_save(const struct allocation *a, json_t *object)
{
    for (unsigned i = 0; i < FAMILIES; i++) {
        if (!relayed_live(&a->port[i]))
            continue;
        json_t *item = state_new();
        state_put_addr(item, "relayed", &a->port[i].addr);
        state_put_u64(item, "expires", a->port[i].expires);
        state_append(object, "ports", item);
    }
}

static void peers_save(const struct allocation *a, json_t *object, usec_t now)
{
    for (unsigned i = 0; i < a->permissions; i++) {
        const struct permission *p = &a->permission[i];
        struct addr addr = {.family = p->family};
        if (p->until <= now)
            continue;
        json_t *item = state_new();
        memcpy(addr.ip, p->ip, sizeof addr.ip);
        state_put_addr(item, "peer", &addr);
        state_put_u64(item, "until", p->until);
        state_append(object, "permissions", item);
    }
    for (unsigned i = 0; i < a->channels; i++) {
        if (a->channel[i].until <= now)
            continue;
        json_t *item = state_new();
        state_put_fields(item, FIELDS(channel_fields), &a->channel[i]);
        state_append(object, "channels", item);
    }
}

static void mobility_save(const struct mobility *m, json_t *object)
{
    const struct ticket *before = &m->ticket[!m->current];
    json_t *item = state_new();
    state_put_bytes(item, "ticket", m->ticket[m->current].bytes, TICKET_LEN);
    if (before->until) {
        state_put_bytes(item, "before", before->bytes, TICKET_LEN);
        state_put_u64(item, "until", before->until);
    }
    if (m->next.linked && client_stays(&m->next.client))
        client_save(&m->next.client, item, "next");
    state_put(object, "mobility", item);
}

json_t *allocation_save(struct turn *turn, struct allocation *a, usec_t now)
{
    bool stays = a->at.linked && client_stays(&a->at.client);
    if (a->tcp || (!stays && !a->mobility))
        return NULL;
    turn_offload_take(turn, a, now, OFFLOAD_PAUSE);
    json_t *object = state_new();
    const char *identity = allocation_identity(a);
    state_put_bytes(object, "user", a->username, a->username_len);
    state_put_bytes(object, "identity", identity, strlen(identity));
    state_put_bytes(object, "key", a->key.bytes, a->key.len);
    state_put_fields(object, FIELDS(allocation_fields), a);
    if (stays)
        client_save(&a->at.client, object, "client");
    ports_save(a, object);
    peers_save(a, object, now);
    if (a->mobility)
        mobility_save(a->mobility, object);
    return object;
}

// ---- restoring ----

static usec_t read_until(const struct return_trip *trip, struct state_reader *reader,
                         const char *key, usec_t max)
{
    const struct state_field field = {key, 0, STATE_UNTIL, max};
    usec_t until;
    state_get_fields(reader, &field, 1, &trip->clock, &until);
    return until;
}

static bool permissions_restore(struct return_trip *trip, struct allocation *a, const json_t *list)
{
    usec_t now = trip->clock.now;
    for (size_t i = 0; i < json_array_size(list); i++) {
        struct state_reader r = state_read(json_array_get(list, i));
        struct addr peer = state_addr(&r, "peer");
        usec_t until = read_until(trip, &r, "until", PERMISSION_LIFE);
        if (r.wrong || peer.family == FAMILY_NONE)
            return false;
        if (permission_find(a, &peer, now))
            continue;
        int rc = permission_room(trip->turn, a, 1, now);
        if (rc == -ENOSPC)
            break; // fewer are allowed now
        if (rc < 0) {
            trip->no_memory = true;
            return false;
        }
        permission_install(a, &peer, now);
        a->permission[a->permissions - 1].until = until;
    }
    return true;
}

static bool channels_restore(struct return_trip *trip, struct allocation *a, const json_t *list)
{
    size_t n = json_array_size(list);
    usec_t now = trip->clock.now;
    if (n > trip->turn->config->channels_max)
        n = trip->turn->config->channels_max; // fewer are allowed now
    if (n == 0)
        return true;
    a->channel = calloc(n, sizeof *a->channel);
    if (!a->channel) {
        trip->no_memory = true;
        return false;
    }
    a->channels_size = (uint16_t)n;
    for (size_t i = 0; i < n; i++) {
        struct state_reader r = state_read(json_array_get(list, i));
        struct channel channel = {0};
        state_get_fields(&r, FIELDS(channel_fields), &trip->clock, &channel);
        if (r.wrong || channel.number < CHANNEL_MIN || channel.peer.family == FAMILY_NONE ||
            channel.peer.port == 0 || channel_by_number(a, channel.number, now) ||
            channel_by_peer(a, &channel.peer, now))
            return false;
        if (channel.until > now)
            a->channel[a->channels++] = channel;
    }
    return true;
}

static bool ports_restore(struct return_trip *trip, struct allocation *a, const json_t *list)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        struct state_reader r = state_read(json_array_get(list, i));
        struct addr relayed = state_addr(&r, "relayed");
        usec_t expires = read_until(trip, &r, "expires", trip->turn->config->max_lifetime);
        struct turn_port port = {0};
        if (r.wrong || relayed.family == FAMILY_NONE || a->port[family_index(&relayed)].open)
            return false;
        int rc = trip->world->reopen(trip->world->ctx, &relayed, false, a, &port);
        trip->no_memory = trip->no_memory || rc == -ENOMEM;
        if (rc < 0)
            return false;
        allocation_add_port(a, &port, expires);
    }
    return json_array_size(list) > 0;
}

// A client that was about to arrive has arrived, if the old one is gone.
static bool mobility_restore(struct return_trip *trip, struct allocation *a,
                             struct state_reader *reader)
{
    const json_t *object = state_object(reader, "mobility");
    struct state_reader r = state_read(object);
    uint8_t ticket[TICKET_LEN], before[TICKET_LEN] = {0};
    struct turn_client next;
    if (!object)
        return a->at.linked;
    usec_t until = state_bytes(&r, "before", before, sizeof before) == sizeof before
                       ? read_until(trip, &r, "until", TICKET_LIFE)
                       : 0;
    if (state_bytes(&r, "ticket", ticket, sizeof ticket) < sizeof ticket || r.wrong)
        return false;
    if (mobility_again(trip->turn, a, ticket, before, until) < 0) {
        trip->no_memory = true;
        return false;
    }
    if (!client_restore(trip, &r, "next", &next))
        return true;
    if (binding_link(trip->turn, &a->mobility->next, &next, BIND_ARRIVING) == 0 && !a->at.linked)
        mobility_arrive(trip->turn, a, trip->clock.now);
    return true;
}

static bool fill(struct return_trip *trip, struct allocation *a, struct state_reader *reader)
{
    uint64_t full = a->bucket.tokens;
    a->key.len = (uint8_t)state_bytes(reader, "key", a->key.bytes, sizeof a->key.bytes);
    if (a->key.len != MD5_LEN && a->key.len != SHA256_LEN)
        return false;
    state_get_fields(reader, FIELDS(allocation_fields), &trip->clock, a);
    if (a->bucket.tokens > full)
        a->bucket.tokens = full;
    return mobility_restore(trip, a, reader) &&
           permissions_restore(trip, a, state_array(reader, "permissions")) &&
           channels_restore(trip, a, state_array(reader, "channels")) &&
           ports_restore(trip, a, state_array(reader, "ports")) && !reader->wrong;
}

static void undo(const struct return_trip *trip, struct allocation *a)
{
    struct turn *turn = trip->turn;
    for (unsigned i = 0; i < FAMILIES; i++) {
        if (a->port[i].open)
            turn->io.close(turn->io.ctx, a->port[i].handle);
    }
    allocation_free(turn, a);
}

bool allocation_restore(struct return_trip *trip, const json_t *object)
{
    struct state_reader reader = state_read(object);
    char user[USERNAME_MAX], identity[USERNAME_MAX];
    struct turn_client client = {0};
    struct part username = {user, state_bytes(&reader, "user", user, sizeof user)};
    struct part who = {identity, state_bytes(&reader, "identity", identity, sizeof identity)};
    bool here = client_restore(trip, &reader, "client", &client);
    if (reader.wrong || username.len == 0)
        return false;
    struct allocation *a = allocation_new(trip->turn, &client, username, who, trip->clock.now);
    trip->no_memory = trip->no_memory || !a;
    if (!a)
        return false;
    if (!here)
        binding_unlink(trip->turn, &a->at);
    if (!charge_again(trip, allocation_identity(a))) {
        allocation_free(trip->turn, a);
        return false;
    }
    if (fill(trip, a, &reader)) {
        (void)allocation_arm(trip->turn, a); // it is armed, so that this cannot fail
        return true;
    }
    refund_again(trip, allocation_identity(a));
    undo(trip, a);
    return false;
}
