// SPDX-License-Identifier: ISC
// Between struct addr, which the project speaks, and the socket addresses of the system. Private to
// the platform layer.
#pragma once

#include "base/addr.h"

#include <netinet/in.h>
#include <sys/socket.h>

union sockaddr_any {
    struct sockaddr sa;
    struct sockaddr_in in;
    struct sockaddr_in6 in6;
};

// Returns the length of the socket address; 0 when 'addr' has no family.
socklen_t sockaddr_from_addr(const struct addr *addr, union sockaddr_any *ret_sockaddr);
// A family that is neither IPv4 nor IPv6 gives FAMILY_NONE.
struct addr addr_from_sockaddr(const union sockaddr_any *sockaddr);
