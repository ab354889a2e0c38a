// SPDX-License-Identifier: ISC
// Whose socket a port is, as /proc tells.
#pragma once

#include "base/addr.h"

#include <sys/types.h>

struct doctor_owner {
    pid_t pid; // 0: nobody but the one left out, or nobody that is seen
    char name[64];
};

// A program with a socket at this address, or at the wildcard, on this port; 'own' is left out.
// False: /proc does not tell.
bool doctor_socket_owner(const struct addr *addr, bool tcp, pid_t own,
                         struct doctor_owner *ret_owner);
// The inode of the socket in a line of /proc/net/udp, tcp, udp6 or tcp6, when it is one that
// receives at 'addr'; 0: it is not.
unsigned long doctor_socket_inode(const char *line, const struct addr *addr, bool tcp);
