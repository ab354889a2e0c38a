// SPDX-License-Identifier: ISC
// The daemon's test of itself: what "jingle-relayctl doctor" would find while nobody runs it, as
// far as it costs nothing worth mentioning. Some seconds after the start, and then at an interval,
// it looks at its own facts (facts.h), asks the XMPP server what it tells its users (questions.h),
// and sends a packet through a relayed port and back on each transport, in a thread of its own. A
// busy relay is left alone.
#pragma once

#include "base/counter.h"
#include "config.h"
#include "obs/json.h"
#include "questions.h"

#include <event2/event.h>

struct selftest;

struct selftest_world { // borrowed
    struct event_base *base;
    const struct config *config;
    struct questions *questions;
    struct counters *counters; // of the main thread
    struct clock_offset clock;
    void *ctx;
    json_t *(*facts)(void *ctx); // a new reference
    bool (*busy)(void *ctx);     // try again in a minute
};

// Returns 0 or -ENOMEM.
int selftest_new(const struct selftest_world *world, struct selftest **ret_selftest);
// Waits for a second or so at most, while a thread ends. Before the questions; NULL is fine.
void selftest_free(struct selftest *selftest);

// {"ok", "at", "findings": [{"ok", "text"}]}: a new reference; NULL: none has been made yet.
json_t *selftest_json(void *selftest);

// What facts and answers tell, as findings that are added to the list. 'now' is seconds since 1970.
// For tests.
void selftest_judge(const json_t *facts, const json_t *answers, double now, json_t *findings);
