// SPDX-License-Identifier: ISC
#include "lib_system_addr.h"

#include <string.h>

socklen_t to_system(const struct addr *addr, union system_addr *ret_sa)
{
    memset(ret_sa, 0, sizeof *ret_sa);
    ret_sa->in.sin_port = htons(addr->port); // at the same place in both
    if (addr->family == FAMILY_V4) {
        ret_sa->in.sin_family = AF_INET;
        memcpy(&ret_sa->in.sin_addr, addr->ip, 4);
        return sizeof ret_sa->in;
    }
    ret_sa->in6.sin6_family = AF_INET6;
    memcpy(&ret_sa->in6.sin6_addr, addr->ip, 16);
    return sizeof ret_sa->in6;
}
