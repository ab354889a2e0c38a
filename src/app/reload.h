// SPDX-License-Identifier: ISC
// The running configuration: read again, applied without touching a call, with a new secret for
// TURN, pointed elsewhere while the relay is drained.
//
// What is applied reaches the workers by message; an answer comes when all of them have it. One
// change is under way at a time.
#pragma once

#include "admission.h"
#include "config.h"
#include "peers.h"
#include "records.h"
#include "signal/signal.h"
#include "turn_server.h"
#include "verbs.h"
#include "workers.h"

struct reload;

struct reload_parts { // borrowed
    const char *path; // of the configuration
    struct config *config;
    struct peers *peers;
    struct admission *admission;
    struct turn_server **turn; // exchanged for its successors; *turn may be NULL: off
    struct workers *workers;
    struct signal *signal;
    struct counters *counters;
    struct records *records; // opened again; NULL: none
    // The address from which the machine reaches the world (local_addr.h).
    int (*find_address)(enum family family, struct addr *ret_addr);
};

int reload_new(const struct reload_parts *parts, struct reload **ret_reload); // 0 or -ENOMEM
void reload_free(struct reload *reload);   // after the workers; NULL is fine
void reload_forget(struct reload *reload); // nobody waits for an answer any more

// Reads the file and applies it. An error leaves everything as it was. The answer has the lists
// "applied", "restart" (keys that need one) and "warnings".
void reload_run(struct reload *reload, struct verb_reply reply);
// A new secret for TURN, of which the old ones are accepted until their credentials have expired.
void reload_rotate(struct reload *reload, struct verb_reply reply);
// Clients are told drain.alternative instead of this relay, or this relay again. Returns 0 or
// -ENOMEM.
int reload_point_elsewhere(struct reload *reload, bool elsewhere);
// A worker has answered (workers_handler.done). False: the token is another's.
bool reload_done(struct reload *reload, uint64_t token, int result);
