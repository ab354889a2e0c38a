// SPDX-License-Identifier: ISC
// What the tests of the component share: a component and a scripted server on one loop, and what
// they said and did.
#pragma once

#include "lib_xmpp_server.h"

#include "../../src/platform/component_link.h"
#include "../../src/platform/component_private.h"
#include "base/buf.h"

#include <stdbool.h>
#include <stdint.h>

#define PATIENCE_MSEC 20000 // of a test, for what should take milliseconds

struct fixture {
    struct event_base *base;
    struct event *heartbeat; // wakes the loop, so that conditions are looked at
    struct server server;
    struct component *component;
    struct buf log;    // a line for each record: level, space, message
    struct buf states; // C, U or D for each change
    struct buf bodies; // of the messages that arrived
    unsigned stanzas;
    struct xml *last;
    bool echo;
    int echo_result;
};

extern const struct component_tuning quick;

struct fixture *fixture_new(void);
void fixture_free(struct fixture *f);
// A component for 'host'; start() makes a server first and lets it join that.
void start_with(struct fixture *f, struct evdns_base *dns, const char *host, uint16_t port);
void start(struct fixture *f);
struct component_handler handler_of(struct fixture *f);
struct xml *message(const char *body);
int send_body(struct fixture *f, const char *body);
void run_for(struct fixture *f, unsigned msec);
bool state_is(const struct fixture *f, char letter); // the last one
uint16_t closed_port(void);                          // one that refuses connections
unsigned count_in(const struct buf *log, const char *text);

// Runs the loop until a condition holds; the test fails if that takes too long.
#define RUN_UNTIL(f, condition)                                                                    \
    do {                                                                                           \
        usec_t end_ = component_link_now() + PATIENCE_MSEC * USEC_PER_MSEC;                        \
        while (!(condition)) {                                                                     \
            if (component_link_now() > end_)                                                       \
                fail_msg("never: %s; states %s, log:\n%s", #condition, (f)->states.data,           \
                         (f)->log.data);                                                           \
            event_base_loop((f)->base, EVLOOP_ONCE);                                               \
        }                                                                                          \
    } while (0)
