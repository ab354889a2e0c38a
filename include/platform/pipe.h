// SPDX-License-Identifier: ISC
// A connection of a client and one of a peer that have become one (RFC 6062): what either sends the
// other gets, without framing. Who does not read is not read for: at most PIPE_BUFFER bytes wait in
// each direction, the rest stays in the sender's kernel.
//
// When one side ends, what it sent is delivered and the other side is told; the pipe ends when both
// have ended, at an error, or after a while without a byte from the other.
#pragma once

#include "base/counter.h"
#include "base/usec.h"
#include "platform/stream.h"

#include <event2/event.h>

struct pipe;

enum { PIPE_BUFFER = 16384 };

struct pipe_totals {
    uint64_t to_peer, to_client; // bytes delivered
};

// What several pipes may pass together, and have passed; zeros but for the rate when it is new.
// They take turns, each direction of each pipe a buffer's load.
struct pipe_account {
    uint64_t bytes_per_second; // 0: no limit
    usec_t paid_until;
};

struct pipe_config {
    struct event_base *base;
    struct counters *counters;
    struct pipe_account *account; // borrowed; NULL: no limit
    usec_t linger;                // how long one side may be silent after the other has ended
    void *ctx;
    // The pipe has ended, and waits for pipe_free(). Called from the loop, never from inside
    // another call.
    void (*ended)(void *ctx, struct pipe *pipe, const struct pipe_totals *totals);
};

// Takes both when it succeeds. 'peer' is a connected socket. Returns 0, -ENOMEM, or -EPIPE when the
// client's connection has ended.
int pipe_new(const struct pipe_config *config, struct stream_conn *client, int peer,
             struct pipe **ret_pipe);
void pipe_free(struct pipe *pipe); // ends both connections; NULL is fine
const struct pipe_totals *pipe_totals(const struct pipe *pipe);
// Whether nothing is left of what was passed: a new account would be the same.
bool pipe_account_is_settled(const struct pipe_account *account, usec_t now);
