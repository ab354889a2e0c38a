// SPDX-License-Identifier: ISC
// Sockets of a test's own on loopback, to be handed over.
#pragma once

#include "base/addr.h"

#include <stdbool.h>
#include <stdint.h>

// Bound to the port in 'addr', or to any (0), which is then told there; a stream socket listens.
int bound(int type, bool shared, struct addr *addr);
uint64_t cookie_of(int fd); // by which the kernel knows the socket
