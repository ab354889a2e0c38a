// SPDX-License-Identifier: ISC
// Is a port free? Listeners that are shared by workers (SO_REUSEPORT) would be shared with another
// process of the same user too, who then gets a part of the clients; nobody would notice.
#pragma once

#include "base/addr.h"

// Returns 0, -EADDRINUSE or what bind and listen say.
int probe_udp(const struct addr *local);
int probe_tcp(const struct addr *local);
