// SPDX-License-Identifier: ISC
// Connecting a UDP socket makes the kernel choose a route and with it a source address, without a
// packet. The far address belongs to no host we know; only its being outside of every local network
// matters.
#include "local_addr.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int source_v4(int fd, struct addr *ret_addr)
{
    struct sockaddr_in sin = {.sin_family = AF_INET, .sin_port = htons(9)};
    socklen_t len = sizeof(sin);
    inet_pton(AF_INET, "192.88.98.1", &sin.sin_addr);
    if (connect(fd, (const struct sockaddr *)&sin, len) < 0 ||
        getsockname(fd, (struct sockaddr *)&sin, &len) < 0)
        return -errno;
    uint8_t ip[4];
    memcpy(ip, &sin.sin_addr, sizeof(ip));
    *ret_addr = addr_v4(ip, 0);
    return 0;
}

static int source_v6(int fd, struct addr *ret_addr)
{
    struct sockaddr_in6 sin = {.sin6_family = AF_INET6, .sin6_port = htons(9)};
    socklen_t len = sizeof(sin);
    inet_pton(AF_INET6, "2000::1", &sin.sin6_addr);
    if (connect(fd, (const struct sockaddr *)&sin, len) < 0 ||
        getsockname(fd, (struct sockaddr *)&sin, &len) < 0)
        return -errno;
    *ret_addr = addr_v6(sin.sin6_addr.s6_addr, 0);
    return 0;
}

int local_addr_find(enum family family, struct addr *ret_addr)
{
    bool v4 = family == FAMILY_V4;
    int fd = socket(v4 ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    int r = v4 ? source_v4(fd, ret_addr) : source_v6(fd, ret_addr);
    close(fd);
    return r;
}
