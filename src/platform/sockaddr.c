// SPDX-License-Identifier: ISC
// Socket addresses to struct addr and back.
#include "sockaddr.h"

#include <string.h>

socklen_t sockaddr_from_addr(const struct addr *addr, union sockaddr_any *ret_sockaddr)
{
    if (addr->family == FAMILY_V4) {
        struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(addr->port)};
        memcpy(&in.sin_addr, addr->ip, sizeof in.sin_addr);
        ret_sockaddr->in = in;
        return sizeof in;
    }
    if (addr->family == FAMILY_V6) {
        struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(addr->port)};
        memcpy(&in6.sin6_addr, addr->ip, sizeof in6.sin6_addr);
        ret_sockaddr->in6 = in6;
        return sizeof in6;
    }
    return 0;
}

struct addr addr_from_sockaddr(const union sockaddr_any *sockaddr)
{
    uint8_t ip[16];
    switch (sockaddr->sa.sa_family) {
    case AF_INET:
        memcpy(ip, &sockaddr->in.sin_addr, 4);
        return addr_v4(ip, ntohs(sockaddr->in.sin_port));
    case AF_INET6:
        memcpy(ip, &sockaddr->in6.sin6_addr, 16);
        return addr_v6(ip, ntohs(sockaddr->in6.sin6_port));
    default:
        return (struct addr){.family = FAMILY_NONE};
    }
}
