// SPDX-License-Identifier: ISC
// What a TURN server leaves for its successor, and how that one begins with it (turn.h). Tickets of
// mobile clients and tokens of reserved ports stay good; so do nonces, which nobody stores. Of an
// allocation that makes no sense nothing is left behind, and it costs no other one.
#include "state.h"

#include <errno.h>
#include <string.h>

// ---- clients ----

bool client_stays(const struct turn_client *client)
{
    return client->transport == TURN_UDP;
}

void client_save(const struct turn_client *client, json_t *object, const char *key)
{
    json_t *item = state_new();
    state_put_text(item, "transport", "udp");
    state_put_addr(item, "remote", &client->remote);
    state_put_addr(item, "local", &client->local);
    state_put(object, key, item);
}

bool client_restore(const struct return_trip *trip, struct state_reader *reader, const char *key,
                    struct turn_client *ret_client)
{
    struct state_reader r = state_read(state_object(reader, key));
    const char *transport = state_text(&r, "transport", 8);
    struct turn_client client = {
        .transport = TURN_UDP,
        .remote = state_addr(&r, "remote"),
        .local = state_addr(&r, "local"),
    };
    if (r.wrong || !transport || strcmp(transport, "udp") != 0 ||
        client.remote.family == FAMILY_NONE || client.remote.family != client.local.family ||
        binding_find(trip->turn, &client))
        return false;
    client.link = trip->world->link(trip->world->ctx, &client.local);
    *ret_client = client;
    return client.link != NULL;
}

bool charge_again(const struct return_trip *trip, const char *identity)
{
    struct turn *turn = trip->turn;
    if (turn->io.charge(turn->io.ctx, identity) != TURN_GRANTED)
        return false;
    turn->charges++;
    return true;
}

void refund_again(const struct return_trip *trip, const char *identity)
{
    struct turn *turn = trip->turn;
    turn->io.release(turn->io.ctx, identity);
    turn->charges--;
}

// ---- guests ----

static void guests_save(const struct turn *turn, json_t *object)
{
    const struct guest *guest;
    TAILQ_FOREACH (guest, &turn->guest_queue, entry) {
        if (!client_stays(&guest->at.client))
            continue;
        json_t *item = state_new();
        client_save(&guest->at.client, item, "client");
        state_put_u64(item, "worker", guest->worker);
        state_append(object, "guests", item);
    }
}

// Whoever is forgotten shows his ticket or token once more: nothing is lost with him.
static void guests_restore(struct return_trip *trip, struct state_reader *reader)
{
    const struct turn_config *config = trip->turn->config;
    const json_t *list = state_array(reader, "guests");
    for (size_t i = 0; i < json_array_size(list); i++) {
        struct state_reader r = state_read(json_array_get(list, i));
        struct turn_client client;
        unsigned worker = (unsigned)state_u64(&r, "worker", WORKERS_MAX - 1);
        if (trip->turn->guests >= config->allocations_max || worker >= config->workers ||
            worker == config->worker || !client_restore(trip, &r, "client", &client) || r.wrong)
            continue;
        if (guest_again(trip->turn, &client, worker, trip->clock.now) < 0)
            trip->no_memory = true;
    }
}

// ---- reserved ports ----

static json_t *reservation_save(const struct reservation *r)
{
    json_t *object = state_new();
    state_put_addr(object, "relayed", &r->port.relayed);
    state_put_u64(object, "token", r->token);
    state_put_u64(object, "until", r->timer.at);
    state_put_bytes(object, "identity", r->identity, strlen(r->identity));
    return object;
}

static bool reservation_open(struct return_trip *trip, struct reservation *r, uint64_t token,
                             usec_t until, const struct addr *relayed)
{
    const struct turn_revival *world = trip->world;
    if (!charge_again(trip, r->identity))
        return false;
    int rc = reservation_arm_as(trip->turn, r, token, until);
    trip->no_memory = trip->no_memory || rc == -ENOMEM;
    if (rc == 0 && world->reopen(world->ctx, relayed, false, NULL, &r->port) == 0)
        return true;
    refund_again(trip, r->identity);
    return false;
}

static bool reservation_restore(struct return_trip *trip, const json_t *object)
{
    static const struct state_field until_field = {"until", 0, STATE_UNTIL, RESERVATION_LIFE};
    struct state_reader reader = state_read(object);
    struct addr relayed = state_addr(&reader, "relayed");
    uint64_t token = state_u64(&reader, "token", UINT64_MAX);
    char identity[USERNAME_MAX + 1] = {0};
    usec_t until;
    (void)state_bytes(&reader, "identity", identity, USERNAME_MAX);
    state_get_fields(&reader, &until_field, 1, &trip->clock, &until);
    if (reader.wrong || relayed.family == FAMILY_NONE || token == 0 ||
        reservation_find(trip->turn, token))
        return false;
    struct reservation *r = reservation_new(identity);
    trip->no_memory = trip->no_memory || !r;
    if (!r)
        return false;
    if (reservation_open(trip, r, token, until, &relayed))
        return true;
    reservation_free(trip->turn, r, false);
    return false;
}

// ---- the server ----

static void allocations_save(struct turn *turn, json_t *object, usec_t now)
{
    struct allocation *a;
    json_t *item;
    for (struct map_node *node = NULL; (a = allocation_by_client(turn, &node));) {
        item = allocation_save(turn, a, now);
        a->saved = item != NULL;
        if (item)
            state_append(object, "allocations", item);
    }
    for (struct map_node *node = NULL; (a = allocation_by_ticket(turn, &node));) {
        item = allocation_save(turn, a, now);
        a->saved = item != NULL;
        if (item)
            state_append(object, "allocations", item);
    }
}

json_t *turn_save(struct turn *turn, usec_t now)
{
    json_t *object = state_new();
    state_put_u64(object, "saved", now);
    allocations_save(turn, object, now);
    for (struct map_node *n = NULL; (n = map_each(&turn->reservations, n));)
        state_append(object, "reservations",
                     reservation_save(container_of(n, struct reservation, node)));
    guests_save(turn, object);
    turn->now = now;
    turn->left = state_complete(object);
    if (turn->left)
        return object;
    json_decref(object);
    return NULL;
}

void turn_disown(struct turn *turn)
{
    struct allocation *a;
    for (struct map_node *node = NULL; (a = allocation_by_client(turn, &node));)
        a->saved = true;
    for (struct map_node *node = NULL; (a = allocation_by_ticket(turn, &node));)
        a->saved = true;
    turn->left = true;
}

int turn_restore(struct turn *turn, const json_t *state, const struct turn_revival *revival,
                 usec_t now, unsigned *ret_lost)
{
    struct state_reader reader = state_read(state);
    struct return_trip trip = {
        .turn = turn,
        .world = revival,
        .clock = state_clock(state_u64(&reader, "saved", UINT64_MAX), now),
    };
    const json_t *allocations = state_array(&reader, "allocations");
    const json_t *reservations = state_array(&reader, "reservations");
    if (reader.wrong)
        return -EPROTONOSUPPORT;
    *ret_lost = 0;
    turn->now = now;
    for (size_t i = 0; i < json_array_size(allocations); i++)
        *ret_lost += !allocation_restore(&trip, json_array_get(allocations, i));
    for (size_t i = 0; i < json_array_size(reservations); i++)
        *ret_lost += !reservation_restore(&trip, json_array_get(reservations, i));
    guests_restore(&trip, &reader);
    return trip.no_memory ? -ENOMEM : 0;
}
