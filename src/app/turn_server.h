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

enum { TURN_LISTENERS_MAX = 32, TURN_OLD_SECRETS_MAX = 4 };

struct turn_old_secret { // made by the daemon, and replaced since
    char *text;          // owned; NULL: none
    usec_t until;        // credentials that were made with it are good until then
};

// Owned by the main thread; everything but 'quota' and 'peers' stays as it is while workers use it.
// For another configuration there is another one.
struct turn_server {
    struct turn_config turn; // but for the worker's number
    struct streams_config streams;
    struct dtls_config dtls;
    struct addr listener[TURN_LISTENERS_MAX]; // UDP and TCP
    unsigned listeners;
    struct tls *tls; // NULL: neither TLS nor DTLS
    struct quota *quota;
    struct peers *peers;        // borrowed
    struct prefix_list proxies; // borrowed
    struct turn_secret *secret;
    unsigned first_given, given; // which of them the operator has given
    struct turn_user *user;
    char *generated_secret; // NULL if the operator has given one and none was made since
    struct turn_old_secret old[TURN_OLD_SECRETS_MAX]; // the latest first
};

// For so many workers. 'config' is borrowed. What is wrong is logged. Returns 0 or -errno.
int turn_server_new(struct event_base *base, const struct config *config, struct peers *peers,
                    unsigned workers, struct turn_server **ret_server);
struct turn_kept_secret { // the same, of a daemon before this one
    const char *text;     // borrowed; NULL: none
    usec_t until;
};

// After a restart, before its workers are made: what a daemon before this one has made. 'generated'
// may be NULL; it stays in use where the operator has given no secret, and is accepted for as long
// as credentials made with it are good where he has. Texts are copied. Returns 0 or -ENOMEM.
int turn_server_revive(struct turn_server *server, const struct config *config,
                       const char *generated,
                       const struct turn_kept_secret old[TURN_OLD_SECRETS_MAX], usec_t now);
void turn_server_free(struct turn_server *server); // after the workers

// One for the configuration as it is by now, in the place of 'old'. Certificate, quotas and nonce
// key are the same, and so are the listeners, after which new ones may come (of which the first
// worker must not ask whether they are free: that is done here). With 'rotate' it has a new secret;
// old ones are dropped when their time is over. What is wrong is logged, and stands in 'error'.
// Returns 0 or -errno.
int turn_server_renew(const struct turn_server *old, const struct config *config, bool rotate,
                      usec_t now, struct turn_server **ret_server, char error[256]);
// When no worker uses 'old' any more, or ever did: frees what is not its successor's.
void turn_server_free_replaced(struct turn_server *old);
// How many listeners there are that 'config' does not ask for.
unsigned turn_server_surplus(const struct turn_server *server, const struct config *config);

// The secret of the credentials that the component gives out.
const char *turn_server_secret(const struct turn_server *server);
