// SPDX-License-Identifier: ISC
// The STUN/TURN server as all workers share it: what it is configured to do, its certificate, its
// quotas, and whom its clients may reach. Each worker runs its own part (turn_worker.h).
#pragma once

#include "config.h"
#include "peers.h"
#include "platform/dtls.h"
#include "platform/stream.h"
#include "quota.h"
#include "turn/turn.h"

#include <event2/event.h>

enum { TURN_LISTENERS_MAX = 32 };

// Owned by the main thread; everything but 'quota' and 'peers' stays as it is while workers run.
struct turn_server {
    struct turn_config turn; // but for the worker's number
    struct streams_config streams;
    struct dtls_config dtls;
    struct addr listener[TURN_LISTENERS_MAX]; // UDP and TCP
    unsigned listeners;
    struct tls *tls; // NULL: neither TLS nor DTLS
    struct quota *quota;
    struct peers *peers; // borrowed
    struct turn_secret *secret;
    struct turn_user *user;
    char *generated_secret; // NULL if the operator has given one
};

// For so many workers. 'config' is borrowed. What is wrong is logged. Returns 0 or -errno.
int turn_server_new(struct event_base *base, const struct config *config, struct peers *peers,
                    unsigned workers, struct turn_server **ret_server);
void turn_server_free(struct turn_server *server); // after the workers

// The secret of the credentials that the component gives out.
const char *turn_server_secret(const struct turn_server *server);
