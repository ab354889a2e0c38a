// SPDX-License-Identifier: ISC
// See lib_bound.h.
#include "unit/lib_bound.h"

#include "lib/world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <netinet/in.h>
#include <sys/socket.h>

int bound(int type, bool shared, struct addr *addr)
{
    struct sockaddr_in sa = {.sin_family = AF_INET,
                             .sin_port = htons(addr->port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof sa;
    int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0), on = 1;
    assert_true(fd >= 0);
    if (shared)
        assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on), 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&sa, sizeof sa), 0);
    if (type == SOCK_STREAM)
        assert_int_equal(listen(fd, 4), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&sa, &len), 0);
    *addr = at("127.0.0.1", ntohs(sa.sin_port));
    return fd;
}

uint64_t cookie_of(int fd)
{
    uint64_t cookie;
    socklen_t len = sizeof cookie;
    assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &len), 0);
    return cookie;
}
