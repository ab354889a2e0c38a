// SPDX-License-Identifier: ISC
// Binds without sharing, and lets go again.
#include "platform/probe.h"

#include "sockaddr.h"

#include <errno.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <unistd.h>

static int try_bind(int fd, const struct addr *local, bool stream)
{
    union sockaddr_any sa;
    socklen_t len = sockaddr_from_addr(local, &sa);
    int on = 1;

    // Connections of a listener that is gone may linger in TIME_WAIT.
    if ((stream && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0) ||
        (local->family == FAMILY_V6 &&
         setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on) < 0) ||
        bind(fd, &sa.sa, len) < 0 || (stream && listen(fd, 1) < 0))
        return -errno;
    return 0;
}

static int probe(const struct addr *local, bool stream)
{
    int family = local->family == FAMILY_V6 ? AF_INET6 : AF_INET;
    int fd = socket(family, (stream ? SOCK_STREAM : SOCK_DGRAM) | SOCK_CLOEXEC, 0);
    int r;

    if (fd < 0)
        return -errno;
    r = try_bind(fd, local, stream);
    close(fd);
    return r;
}

int probe_udp(const struct addr *local)
{
    return probe(local, false);
}

int probe_tcp(const struct addr *local)
{
    return probe(local, true);
}
