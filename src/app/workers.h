// SPDX-License-Identifier: ISC
// The forwarding threads: each has its own loop, sockets, core and counters. A call lives on one of
// them. Orders go in and events come out by message, so that no lock is on the packet path.
#pragma once

#include "base/counter.h"
#include "echo_worker.h"
#include "peers.h"
#include "platform/handover.h"
#include "relay/relay.h"
#include "signal/signal.h"
#include "turn_server.h"

#include <event2/event.h>
#include <sys/types.h>

struct records;

struct workers;

struct turn_listing; // turn_listing.h

struct workers_handler { // called in the thread of 'base'
    void *ctx;
    void (*event)(void *ctx, const struct relay_event *event);
    // Answers workers_list_turn(), once per worker. Borrowed. NULL: nobody asks.
    void (*turn)(void *ctx, const struct turn_listing *listing);
    // Answers workers_renew() and workers_end_user(), once per worker. NULL: nobody asks.
    void (*done)(void *ctx, uint64_t token, int result);
    // What becomes of workers_echo(). NULL: nobody asks.
    void (*echo)(void *ctx, const struct echo_event *event);
};

// What the workers of a daemon before this one have left, and what has become of it.
struct workers_revival {
    struct handover *handover;
    const json_t *states;   // workers_save(), of as many workers; NULL: sockets alone
    struct kept_path *path; // owned by the caller; those that live on
    size_t paths, path_room;
    unsigned paths_lost;
};

struct workers_config { // borrowed
    unsigned count;
    const struct relay_config *relay; // of each core but for its share of the ports
    struct peers *peers;              // is told which ports are open
    const struct turn_server *turn;   // NULL: no STUN, no TURN
    const struct offload_io *offload; // established flows go there; NULL: nowhere
    struct media_identity *echo;      // of the test partner; NULL: there is none
    uint16_t shared_port;             // of all ICE paths; 0: each has ports of its own
    struct records *records;          // of TURN allocations that are over; NULL: none
    struct workers_revival *revival;  // NULL: a cold start
};

// Returns 0 or -errno.
int workers_new(struct event_base *base, const struct workers_config *config,
                const struct workers_handler *handler, struct workers **ret_workers);
void workers_free(struct workers *workers); // stops the threads; events that wait are dropped

// A restart that drops no call. workers_freeze() ends the threads' loops, so that what comes waits
// in the sockets, and gives the handler all events; what it orders then is done at once.
// workers_save() leaves the sockets and a state for each worker: an array, or NULL without memory.
// workers_thaw() goes on after all. It returns 0 or -errno.
void workers_freeze(struct workers *workers);
json_t *workers_save(struct workers *workers, struct handover *handover, usec_t now);
int workers_thaw(struct workers *workers);
// What they were left lives on with somebody else, since this start has failed: their end is not
// that of any allocation, and no record says so.
void workers_disown(struct workers *workers);

// To the worker that the call lives on; a snapshot of call 0 goes to all of them, and its end comes
// from each, or nobody was asked. Returns 0 or -ENOMEM.
int workers_order(struct workers *workers, const struct order *order);
// Asks every worker for its allocations. Returns 0, and each will answer, or -ENOMEM.
int workers_list_turn(struct workers *workers, uint64_t token);
// Other limits, ranges and TURN server from now on. What was before, and what it borrows, may be
// freed when all workers have answered 0; one that answers -errno may go on with it. Returns 0, and
// each will answer, or -ENOMEM: none was asked.
struct workers_renewal {
    struct relay_limits limits;
    struct prefix_list allow;       // items are borrowed
    const struct turn_server *turn; // NULL: there is none
};
int workers_renew(struct workers *workers, const struct workers_renewal *renewal, uint64_t token);
// Ends the TURN allocations of this identity, of less than WORKERS_IDENTITY_MAX bytes. Workers
// answer how many they had. Returns 0, and each will answer, -ENAMETOOLONG or -ENOMEM.
#define WORKERS_IDENTITY_MAX 512
int workers_end_user(struct workers *workers, const char *identity, uint64_t token);
// Opens media of the test partner, or closes them (terms NULL). Returns 0 or -ENOMEM.
int workers_echo(struct workers *workers, uint64_t id, const struct media_terms *terms);
unsigned workers_count(const struct workers *workers);
pid_t workers_thread(const struct workers *workers, unsigned worker); // 0: it has not begun
const struct counters *workers_counters(const struct workers *workers, unsigned worker);
