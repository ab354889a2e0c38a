// SPDX-License-Identifier: ISC
// What the fast path must know of the network, from rtnetlink: interfaces, which of them receive
// for an address, and how a packet leaves. Private to the fast path.
#pragma once

#include "base/addr.h"

#include <linux/types.h>
#include <stdbool.h>

struct net_link {
    int ifindex;
    unsigned mtu;
    bool ethernet, up;
};

struct net_links { // owned by whoever read them
    struct net_link *item;
    unsigned count;
};

struct net_way {
    int ifindex;
    unsigned mtu;
    struct addr hop; // the neighbour; without port
};

// Returns a descriptor to ask with, or -errno.
int net_open(void);
// Returns a descriptor that becomes readable when something has changed, or -errno.
int net_watch(void);
void net_drain(int fd); // reads away what a watch has to say

// Returns 0 or -errno; what was in 'links' before is freed on success.
int net_links_read(int fd, struct net_links *links);
void net_links_free(struct net_links *links);
const struct net_link *net_link_find(const struct net_links *links, int ifindex);

// Calls 'each' for every address of this host. Returns 0 or -errno.
int net_addresses(int fd, void (*each)(void *ctx, int ifindex, const struct addr *addr), void *ctx);

// How a UDP packet between them leaves. Returns 0; -EHOSTUNREACH if it does not, or not by an
// Ethernet interface; or -errno.
int net_way(int fd, const struct net_links *links, const struct addr *leave, const struct addr *to,
            struct net_way *ret_way);
