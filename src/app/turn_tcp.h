// SPDX-License-Identifier: ISC
// One worker's TCP connections between TURN clients and peers (RFC 6062): relayed ports that are
// listened on, connections to and from peers, and pipes.
//
// A peer's connection belongs to the worker that has the allocation. A pipe runs on the worker that
// has the client's connection, which may be another one: then the peer's descriptor goes there by
// letter, and the news of the pipe's end comes back. The pipes of one allocation share its rate,
// those of each worker among themselves.
#pragma once

#include "platform/stream.h"
#include "turn_worker.h"

struct turn_tcp;

struct turn_tcp_config {
    unsigned worker;
    struct event_base *base;
    struct relay *relay; // lends the ports
    struct peers *peers;
    struct counters *counters;
    uint64_t bytes_per_second; // of the pipes of one allocation, both directions; 0: no limit
    void *ctx;                 // of the functions below
    unsigned (*worker_of)(void *ctx, const void *link); // that has the client's connection
    // The client's connection on this worker, which is no longer one of messages. NULL: it is gone.
    struct stream_conn *(*take_stream)(void *ctx, const void *link);
    void (*post)(void *ctx, unsigned worker, struct turn_letter *letter);
    void (*changed)(void *ctx, usec_t now); // the core's tick is due
};

// Returns 0 or -ENOMEM.
int turn_tcp_new(const struct turn_tcp_config *config, struct turn_tcp **ret_tcp);
void turn_tcp_free(struct turn_tcp *tcp); // after the core and the streams; NULL is fine
struct turn_tcp_io turn_tcp_io(struct turn_tcp *tcp);
void turn_tcp_start(struct turn_tcp *tcp, struct turn *turn); // the core that is made with that
// Of pipes to come, and of those that share with them.
void turn_tcp_set_rate(struct turn_tcp *tcp, uint64_t bytes_per_second);
// A letter of the kinds that are about connections of peers.
void turn_tcp_take(struct turn_tcp *tcp, struct turn_letter *letter, usec_t now);
