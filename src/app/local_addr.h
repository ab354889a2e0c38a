// SPDX-License-Identifier: ISC
// The address from which this machine reaches the world.
#pragma once

#include "base/addr.h"

// Asks the routing table for the source address of the default route: a UDP socket is connected,
// nothing is sent. Returns 0, -ENETUNREACH (no route in this family) or what the system said.
int local_addr_find(enum family family, struct addr *ret_addr);
