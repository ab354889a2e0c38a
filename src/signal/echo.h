// SPDX-License-Identifier: ISC
// What the two files of the test partner share. Ownership: struct signal owns the echo, and that
// its calls; a call owns a copy of the offer until that is answered.
#pragma once

#include "internal.h"
#include "signal/echo.h"

#define ECHO_LEGS 2 // transports of one call

struct echo_leg { // one transport: a bundle, or one content alone
    uint64_t id;  // 0: not used
    bool opened, ended;
    struct media_terms terms;
    struct addr addr[MEDIA_COMPONENTS][2];
};

struct echo_call {
    struct map_node node; // in echo.calls, by sid
    struct signal *signal;
    struct timer timer; // the end of its time; over: of the worker's
    char *sid, *from, *to;
    char accept_id[24]; // of the session-accept
    struct xml *offer;  // the jingle element; NULL once it is answered
    struct echo_leg leg[ECHO_LEGS];
    usec_t accepted; // 0: not yet
    const char *reason;
    bool over; // nobody but the worker has to be waited for
    uint64_t packets, lost;
    usec_t jitter;
};

struct echo {
    struct echo_io io;
    char *fingerprint;
    unsigned calls_max;
    usec_t duration;
    struct map calls;
};

// Which leg a content of the offer gets: that of its bundle, or one of its own. -1: none.
int echo_leg_of(const struct xml *jingle, const struct xml *content);
// Fills in the terms of all legs. NULL, or the reason why there is no call (XEP-0166 section 7.4).
const char *echo_understand(struct echo_call *call);
// The contents of the session-accept, below 'jingle'. 0 or -ENOMEM.
int echo_answer(const struct echo_call *call, struct xml *jingle);
