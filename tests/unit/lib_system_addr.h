// SPDX-License-Identifier: ISC
// An address as the system's calls want it, for tests with sockets of their own.
#pragma once

#include "base/addr.h"

#include <netinet/in.h>
#include <sys/socket.h>

union system_addr {
    struct sockaddr sa;
    struct sockaddr_in in;
    struct sockaddr_in6 in6;
};

socklen_t to_system(const struct addr *addr, union system_addr *ret_sa); // its length
