// SPDX-License-Identifier: ISC
// See tcp_socket.h.
#include "tcp_socket.h"

#include "sockaddr.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    // A dead peer shows: idle for this long, then so many probes, so far apart.
    KEEPALIVE_SECONDS = 60,
    KEEPALIVE_INTERVAL = 15,
    KEEPALIVE_PROBES = 4,
};

int tcp_socket_open(const struct addr *local)
{
    union sockaddr_any sa;
    socklen_t sa_len = sockaddr_from_addr(local, &sa);
    int on = 1;
    if (sa_len == 0)
        return -EINVAL;
    int fd = socket(sa.sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    // SO_REUSEADDR: connections of the port's last user may be in TIME_WAIT.
    if ((local->family == FAMILY_V6 &&
         setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on) < 0) ||
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0 ||
        setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) < 0 ||
        bind(fd, &sa.sa, sa_len) < 0) {
        int error = -errno;
        close(fd);
        return error;
    }
    return fd;
}

void tcp_socket_tune(int fd)
{
    static const struct {
        int level, name, value;
    } option[] = {
        {IPPROTO_TCP, TCP_NODELAY, 1},
        {SOL_SOCKET, SO_KEEPALIVE, 1},
        {IPPROTO_TCP, TCP_KEEPIDLE, KEEPALIVE_SECONDS},
        {IPPROTO_TCP, TCP_KEEPINTVL, KEEPALIVE_INTERVAL},
        {IPPROTO_TCP, TCP_KEEPCNT, KEEPALIVE_PROBES},
    };
    for (size_t i = 0; i < sizeof option / sizeof *option; i++)
        (void)setsockopt(fd, option[i].level, option[i].name, &option[i].value, sizeof(int));
}
