// SPDX-License-Identifier: ISC
// TCP sockets of TURN: of its listeners, its relayed ports, and their connections.
#pragma once

#include "base/addr.h"

// Bound, and may share its address with others that were opened so. Returns a descriptor, which is
// the caller's, or -errno.
int tcp_socket_open(const struct addr *local);
// Sends at once, and notices a peer that is gone without a word. Improves a connection that would
// work without, so there is no error.
void tcp_socket_tune(int fd);
