// SPDX-License-Identifier: ISC
// What the two files of the server's snapshot share: state.c has the server and clients,
// state_allocation.c one allocation.
#pragma once

#include "internal.h"

#include "codec/state_field.h"

#define FIELDS(table) (table), sizeof(table) / sizeof(*(table))

struct return_trip { // of a server from its snapshot
    struct turn *turn;
    const struct turn_revival *world;
    struct state_clock clock;
    bool no_memory;
};

// Only clients of UDP live on.
bool client_stays(const struct turn_client *client);
void client_save(const struct turn_client *client, json_t *object, const char *key);
// Returns false if there is none that lives on: no such member, no listener, or somebody else has
// this 5-tuple.
bool client_restore(const struct return_trip *trip, struct state_reader *reader, const char *key,
                    struct turn_client *ret_client);

// Charges, or counts why not.
bool charge_again(const struct return_trip *trip, const char *identity);
void refund_again(const struct return_trip *trip, const char *identity);

// NULL: it ends with its client.
json_t *allocation_save(struct turn *turn, struct allocation *a, usec_t now);
bool allocation_restore(struct return_trip *trip, const json_t *object);
