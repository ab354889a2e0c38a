// SPDX-License-Identifier: ISC
// The media of the test partner, on one worker: ports out of the relay's pool, sockets, and an
// endpoint behind them (media/endpoint.h). Without libsrtp2 there is none, and echo_none.c says so.
#pragma once

#include "base/counter.h"
#include "peers.h"
#include "platform/udp.h"
#include "relay/relay.h"
#include "signal/echo.h"

struct media_identity;

// Made once, in the main thread; NULL with -EOPNOTSUPP when the program was built without.
int echo_identity_new(struct media_identity **ret_identity);
void echo_identity_free(struct media_identity *identity);
const char *echo_identity_fingerprint(const struct media_identity *identity);

struct echo_worker;

struct echo_worker_config { // all borrowed
    struct udp *udp;
    struct relay *relay;
    struct peers *peers;
    struct counters *counters;
    struct media_identity *identity;
    void *ctx;
    void (*event)(void *ctx, const struct echo_event *event);
};

int echo_worker_new(const struct echo_worker_config *config,
                    struct echo_worker **ret_worker); // 0 or -ENOMEM
void echo_worker_free(struct echo_worker *worker);    // tells nobody
// See struct echo_io. Not from inside a datagram's handler.
void echo_worker_open(struct echo_worker *worker, uint64_t id, const struct media_terms *terms,
                      usec_t now);
void echo_worker_close(struct echo_worker *worker, uint64_t id, usec_t now);
usec_t echo_worker_tick(struct echo_worker *worker, usec_t now); // returns the next deadline
