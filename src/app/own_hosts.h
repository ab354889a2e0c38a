// SPDX-License-Identifier: ISC
// This machine's own addresses are kept from TURN clients, also those that it gets later: another
// prefix of the provider, IPv6 privacy addresses, a container's, a VPN's.
#pragma once

#include "peers.h"

struct event_base;
struct own_hosts;

// Looks now, and every ten seconds from then on. Both are borrowed. Returns 0 or -errno, which is
// logged, of the first look; what goes wrong later is logged once.
int own_hosts_new(struct event_base *base, struct peers *peers, struct own_hosts **ret_own);
void own_hosts_free(struct own_hosts *own); // before 'peers'; NULL is fine
