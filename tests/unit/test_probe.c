// SPDX-License-Identifier: ISC
// A port that somebody has is not free, even if he would share it.
#include "platform/probe.h"

#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

static int occupy(int type, struct addr *ret_addr)
{
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof sa;
    int on = 1, fd = socket(AF_INET, type, 0);

    assert_true(fd >= 0);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on), 0);
    assert_int_equal(bind(fd, (struct sockaddr *)(void *)&sa, sizeof sa), 0);
    if (type == SOCK_STREAM)
        assert_int_equal(listen(fd, 1), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)(void *)&sa, &len), 0);
    assert_int_equal(addr_parse_ip("127.0.0.1", ntohs(sa.sin_port), ret_addr), 0);
    return fd;
}

static void what_is_shared_is_not_free(void **state)
{
    struct addr addr;
    int fd = occupy(SOCK_DGRAM, &addr);

    (void)state;
    assert_int_equal(probe_udp(&addr), -EADDRINUSE);
    close(fd);
    assert_int_equal(probe_udp(&addr), 0);
    assert_int_equal(probe_udp(&addr), 0); // and is left free
    fd = occupy(SOCK_STREAM, &addr);
    assert_int_equal(probe_tcp(&addr), -EADDRINUSE);
    close(fd);
    assert_int_equal(probe_tcp(&addr), 0);
    assert_int_equal(probe_tcp(&addr), 0);
}

static void an_address_that_is_not_ours(void **state)
{
    struct addr addr;

    (void)state;
    assert_int_equal(addr_parse_ip("203.0.113.77", 3478, &addr), 0);
    assert_int_equal(probe_udp(&addr), -EADDRNOTAVAIL);
    assert_int_equal(probe_tcp(&addr), -EADDRNOTAVAIL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_shared_is_not_free),
        cmocka_unit_test(an_address_that_is_not_ours),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
