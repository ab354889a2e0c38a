// SPDX-License-Identifier: ISC
// The interfaces at whose ingress the program stands. Private to the fast path.
#pragma once

#include "fastpath_kernel.h"
#include "fastpath_net.h"

struct served_link {
    int ifindex;
    int fd; // the link; closing it takes the program off
    bool wanted;
};

struct served {
    struct addr *local; // owned: addresses that packets come to
    unsigned locals;
    struct served_link *link; // owned
    unsigned count;
};

// Returns 0 or -ENOMEM.
int served_init(struct served *served, const struct addr *local, unsigned locals);
void served_free(struct served *served); // takes the program off everywhere
// Puts the program where it is missing, and forgets interfaces that are gone. An interface that
// does not take it is left to user space. Returns 0 or -errno.
int served_refresh(struct served *served, const struct fast_kernel *kernel, int fd,
                   const struct net_links *links);
