// SPDX-License-Identifier: ISC
// The daemon as its own files know it: daemon.c, which wires it together, and daemon_leave.c, which
// hands it over to the next one. Nothing else includes this.
#pragma once

#include "daemon.h"

#include "admin.h"
#include "admission.h"
#include "fast.h"
#include "fast_late.h"
#include "inquiry.h"
#include "own_hosts.h"
#include "platform/component.h"
#include "questions.h"
#include "selftest.h"
#include "signal/signal.h"
#include "stats.h"
#include "succession.h"
#include "turn_server.h"
#include "workers.h"

#include <event2/dns.h>

#define DAEMON_FLUSH_TIME (2 * USEC_PER_SEC) // for the last stanzas

struct daemon {
    struct config *config;
    struct event_base *base;
    struct evdns_base *dns;
    struct event *signals[3];
    struct event *tick;
    struct event *watchdog;
    struct counters counters;
    struct peers *peers;
    struct own_hosts *own_hosts;
    struct admission *admission;
    struct turn_server *turn;    // NULL: off
    struct media_identity *echo; // NULL: off
    struct fastpath *fastpath;   // NULL: none
    struct fast_late fast;       // the same for the workers
    struct records *records;     // for the workers too
    struct workers *workers;
    struct signal *signal;
    struct component *component;
    struct inquiry *inquiry;
    struct questions *questions;
    struct selftest *selftest;
    struct stats *stats;
    struct reload *reload;
    struct admin *admin;
    struct drain_history history;
    atomic_bool draining;
    struct clock_offset clock;
    usec_t started;
    struct succession left; // by the daemon before this one
    unsigned worker_count;
    int successor; // a connection to who wants to be the next; -1: nobody
    const struct daemon_options *options;
    bool told, stopping; // told: to end
};

// ---- daemon.c

int daemon_start_component(struct daemon *d);

// ---- daemon_facts.c: what the daemon finds out about itself

// Before the control socket, and after the signalling. Returns 0 or -ENOMEM.
int daemon_start_facts(struct daemon *d);
void daemon_stop_facts(struct daemon *d); // after the control socket
json_t *daemon_facts(void *daemon);       // a new reference

// ---- daemon_leave.c

// Hands everything over to a successor, or to systemd without one, and ends the loop. Returns 0 or
// -errno; then the calls go on here.
int daemon_leave(struct daemon *d);
// A successor asks for everything, at this connection, which is taken. From inside the control
// socket.
void daemon_hand_over(void *daemon, int connection);
