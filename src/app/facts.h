// SPDX-License-Identifier: ISC
// What only the daemon itself knows of the machine and of its place in the world, for
// "jingle-relayctl doctor": the verb facts. It holds a credential for TURN that is good for a few
// minutes, so that it is told by the control socket only.
#pragma once

#include "config.h"
#include "fast.h"
#include "turn_server.h"

#include <jansson.h>

struct facts_sources { // borrowed
    const char *path;  // of the configuration
    const struct config *config;
    const struct turn_server *turn; // NULL: off
    const struct fastpath *fastpath;
    unsigned workers;
    bool connected; // to the XMPP server
};

// A new reference, or NULL without memory. What the XMPP server answers is not in it (questions.h).
json_t *facts_json(const struct facts_sources *sources);
