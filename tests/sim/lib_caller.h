// SPDX-License-Identifier: ISC
// Two clients of one call, as far as their stanzas go: they offer, answer, trickle, change and end,
// each in its own style, sometimes wrongly. No I/O: stanzas are written into a buffer, and what
// arrives is given as elements.
#pragma once

#include "codec/jingle.h"
#include "relay/relay.h"

#define CALLER_CONTENTS 4

struct caller_style {
    bool trickles, bundles, muxes, raw, ice0;
    bool leaves_out_pwd; // in what it trickles
    bool wrong_creator;
};

struct caller { // one client
    char jid[64];
    char peer[128]; // as it sees the other
    struct caller_style style;
    unsigned generation;
    char ufrag[16], pwd[32];
};

struct caller_content {
    char name[8];
    bool used, accepted, raw;
    enum side creator;
};

struct dialog { // what both know, when nothing is under way
    char sid[32];
    struct caller side[SIDE_COUNT];
    struct caller_content content[CALLER_CONTENTS];
    uint64_t random;
    unsigned ids;
};

uint64_t dialog_random(struct dialog *d, uint64_t below);
// New credentials, for the first time or for an ICE restart.
void caller_renew(struct dialog *d, enum side side);

// Each writes one stanza; the id is "q<sid>.<n>", unique as the sid is.
void caller_propose(struct dialog *d, enum side from, const char *what, struct buf *out);
void caller_initiate(struct dialog *d, unsigned contents, struct buf *out);
void caller_accept(struct dialog *d, struct buf *out);
void caller_terminate(struct dialog *d, enum side from, const char *reason, struct buf *out);
void caller_restart(struct dialog *d, enum side from, struct buf *out);
// Something that one may do in the middle of a call, right or wrong.
void caller_act(struct dialog *d, enum side from, struct buf *out);
// What a client says to a request that has arrived; nothing may come of it.
void caller_react(struct dialog *d, enum side to, const struct xml *jingle, struct buf *out);
