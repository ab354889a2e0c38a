// SPDX-License-Identifier: ISC
// The real signalling and the real relay core together on virtual time: orders, events and stanzas
// take their time, each kind in order, and after everything that happens the books of both are
// compared.
#pragma once

#include "signal/signal.h"
#include "sim/lib_model.h"

#define OFFICE_USERS 6
#define OFFICE_PATHS 4096
#define OFFICE_ASKED 512

struct office_path {
    uint64_t id, call;
    bool known;            // to the signalling: ordered, and neither closed nor failed since
    bool open;             // in the relay
    unsigned ports;        // of its own
    struct model_leg *leg; // two, owned; NULL when it is not open
};

struct office_hooks {
    void *ctx;
    // A stanza has reached a user's client; borrowed.
    void (*stanza)(void *ctx, unsigned user, const struct xml *stanza);
    // A path of this session was opened: whose agents may use its legs?
    void (*opened)(void *ctx, const char *sid, struct office_path *path);
};

struct office {
    struct net *net;
    struct signal *signal;
    struct counters counters; // of the signalling
    struct office_hooks hooks;
    struct timer tick;
    struct host *host; // a server that diverts; NULL: clients talk to the component
    usec_t lane_relay, lane_host;
    usec_t lane_in[OFFICE_USERS], lane_out[OFFICE_USERS], lane_order, lane_event;
    struct office_path path[OFFICE_PATHS];
    unsigned paths, known, open, ports;
    unsigned families;
    char asked[OFFICE_ASKED][64]; // ids of requests that nobody has answered
    unsigned askeds;
    unsigned under_way; // stanzas, orders and events
    uint64_t ended, answered, errors, restarts;
};

// 'diverts': clients talk to each other through a server that diverts.
struct office *office_new(uint64_t seed, bool diverts, const struct signal_config *config,
                          const struct relay_config *relay, const struct office_hooks *hooks);
void office_free(struct office *o); // asserts that nothing is left
// A user's client sends this, one stanza or nothing.
void office_send(struct office *o, unsigned user, const char *text);
// For a host: a stanza goes on to its user, or to the relay; taken.
void office_deliver(struct office *o, struct xml *stanza);
void office_to_relay(struct office *o, struct xml *stanza);
void office_run(struct office *o, usec_t time);
// The signalling is replaced by its successor, while stanzas, orders and events are under way.
void office_restart(struct office *o);
uint64_t office_random(struct office *o, uint64_t below);
