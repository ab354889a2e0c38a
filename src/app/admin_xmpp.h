// SPDX-License-Identifier: ISC
// The verbs (verbs.h) as commands over XMPP: a table for the signalling, which knows administrators
// and forms, and answers that find back to it.
#pragma once

#include "signal/signal.h"
#include "verbs.h"

struct admin_xmpp;

struct admin_xmpp_parts { // borrowed
    struct signal *signal;
    struct verbs *verbs;
    void *ctx;
    unsigned (*allocations)(void *ctx); // of TURN, now
};

// Returns 0 or -ENOMEM.
int admin_xmpp_new(const struct admin_xmpp_parts *parts, struct admin_xmpp **ret_admin);
// After the verbs: nobody answers any more. NULL is fine.
void admin_xmpp_free(struct admin_xmpp *admin);
