// SPDX-License-Identifier: ISC
// How many connections each source address has, and may have.
#pragma once

#include "base/addr.h"
#include "base/map.h"

struct source; // owned by its sources; there while it has a connection

struct sources {
    struct map map;
    unsigned max; // per source; 0: any number
};

void sources_init(struct sources *sources, unsigned max);
void sources_free(struct sources *sources); // none must be charged
// One more connection of 'addr' (its port does not count; of IPv6 the /64 counts, which one host
// has for itself). Returns 0, -EUSERS (it has as many as it may) or -ENOMEM.
int sources_charge(struct sources *sources, const struct addr *addr, struct source **ret_source);
void sources_release(struct sources *sources, struct source *source); // NULL is harmless
