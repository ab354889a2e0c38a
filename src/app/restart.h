// SPDX-License-Identifier: ISC
// The snapshot that one daemon leaves for the next, as a whole: what all parts share, and the
// states that the cores write and read themselves. JSON; see codec/state.h for how versions meet.
#pragma once

#include "base/usec.h"
#include "turn_server.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

// What a snapshot is made of.
struct restart_parts {
    const struct turn_server *turn; // NULL: off; its nonces and generated secret go on
    json_t *workers;                // workers_save(); these two are taken over, NULL: no memory
    json_t *signal;                 // signal_save()
    unsigned calls, allocations;
    unsigned restarts; // that have kept them so far
    usec_t stopped;    // when the workers stopped to listen
};

// Returns the text (free() it, and wipe it: it has keys), or NULL without memory.
char *restart_write(const struct restart_parts *parts, size_t *ret_len);

// A snapshot that was read.
struct restart {
    json_t *root; // owned
    const char *version;
    const json_t *workers; // an array; one state each
    const json_t *signal;
    unsigned calls, allocations, restarts;
    usec_t stopped;
};

// By then a call without media was given up by its clients, and its end was told to nobody here.
#define RESTART_AGE_MAX (5 * 60 * USEC_PER_SEC)

// Returns 0, or -EINVAL with a reason for people in 'ret_why'; one that is too old is such, too.
int restart_read(const char *text, size_t len, usec_t now, struct restart *ret_restart,
                 const char **ret_why);
void restart_free(struct restart *restart); // zeros are fine
unsigned restart_workers(const struct restart *restart);
// Before its workers are made: nonces and credentials that were given out stay good. Returns 0 or
// -ENOMEM.
int restart_turn(const struct restart *restart, const struct config *config,
                 struct turn_server *server, usec_t now);
