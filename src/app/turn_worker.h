// SPDX-License-Identifier: ISC
// One worker's part of the STUN/TURN server: its listening sockets, connections and relayed ports
// around a core of its own. Listeners are shared by all workers (SO_REUSEPORT); a client whose
// allocation lives on another worker than the one that hears it (mobility, reservations) is passed
// on by letter.
#pragma once

#include "platform/udp.h"
#include "relay/relay.h"
#include "turn_letter.h"
#include "turn_server.h"

struct turn_worker;

struct records;

struct turn_worker_config {
    const struct turn_server *server;
    unsigned number;
    struct event_base *base;
    struct udp *udp;     // whose burst_done calls turn_worker_tick()
    struct relay *relay; // lends the ports
    struct counters *counters;
    const struct offload_io *offload; // NULL: none
    struct records *records;          // of allocations that are over; NULL: none are kept
    struct handover *handover;        // listeners may have been left there; NULL: none
    void *ctx;                        // of the functions below
    // Takes what the letter owns; it is lost when that worker cannot be reached.
    void (*post)(void *ctx, unsigned worker, struct turn_letter *letter);
    // Something happened outside of a burst: turn_worker_tick() is due.
    void (*changed)(void *ctx, usec_t now);
};

// Listens on every address of the server; what fails is logged. Returns 0 or -errno.
int turn_worker_new(const struct turn_worker_config *config, struct turn_worker **ret_worker);
void turn_worker_free(struct turn_worker *worker); // before its udp and relay; NULL is fine

// From now on what comes to its UDP listener on this address is offered to the relay's paths first.
// NULL: there is no such listener.
struct udp_socket *turn_worker_share(struct turn_worker *worker, const struct addr *addr);

// Another server from now on: its configuration, its limits, and its new listeners. Allocations,
// connections and sockets stay. What fails is logged; the rest is done. Returns 0 or the first
// -errno.
int turn_worker_renew(struct turn_worker *worker, const struct turn_server *server, usec_t now);
// Ends the allocations of this identity. Returns how many there were.
unsigned turn_worker_end_user(struct turn_worker *worker, const char *identity, usec_t now);

// A restart (turn.h): what turn_restore() needs, restored before the first message; and the TCP
// listeners for a successor.
json_t *turn_worker_save(struct turn_worker *worker, usec_t now);
int turn_worker_restore(struct turn_worker *worker, const json_t *state, usec_t now,
                        unsigned *ret_lost);
int turn_worker_leave(const struct turn_worker *worker, struct handover *handover);
void turn_worker_disown(struct turn_worker *worker);

void turn_worker_take(struct turn_worker *worker, struct turn_letter *letter, usec_t now);
// Returns when to call again, or USEC_NEVER.
usec_t turn_worker_tick(struct turn_worker *worker, usec_t now);
void turn_worker_list(const struct turn_worker *worker,
                      void (*each)(void *ctx, const struct turn_view *view), void *ctx, usec_t now);
