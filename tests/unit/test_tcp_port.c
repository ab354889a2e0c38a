// SPDX-License-Identifier: ISC
// Relayed TCP ports on loopback: what comes in, what goes out from the same port at the same time,
// and attempts that fail, or that nobody waits for any more.
#include "platform/tcp_port.h"
#include "platform/udp.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define KEPT 8

struct world {
    struct event_base *base;
    struct tcp_port_handler handler;
    struct tcp_port *port;
    struct addr addr;
    unsigned accepted, connected;
    int in[KEPT], out[KEPT]; // descriptors, or -errno
    struct addr from[KEPT];
};

static void on_accepted(void *ctx, void *owner, int fd, const struct addr *peer, usec_t now)
{
    struct world *w = ctx;
    assert_ptr_equal(owner, &w->port);
    assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
    assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    w->from[w->accepted] = *peer;
    w->in[w->accepted++] = fd;
}

static void on_connected(void *ctx, void *owner, int fd, usec_t now)
{
    struct world *w = ctx;
    assert_ptr_equal(owner, &w->out);
    w->out[w->connected++] = fd;
}

// ---- ordinary sockets

static struct sockaddr_in6 any_family(const struct addr *addr, socklen_t *ret_len)
{
    struct sockaddr_in6 sa = {0};
    struct sockaddr_in *four = (struct sockaddr_in *)(void *)&sa;
    if (addr->family == FAMILY_V4) {
        four->sin_family = AF_INET;
        four->sin_port = htons(addr->port);
        memcpy(&four->sin_addr, addr->ip, 4);
        *ret_len = sizeof *four;
        return sa;
    }
    sa.sin6_family = AF_INET6;
    sa.sin6_port = htons(addr->port);
    memcpy(&sa.sin6_addr, addr->ip, 16);
    *ret_len = sizeof sa;
    return sa;
}

// Port 0: some port, written back.
static int bound_socket(struct addr *addr)
{
    socklen_t len;
    struct sockaddr_in6 sa = any_family(addr, &len);
    int fd = socket(addr->family == FAMILY_V4 ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&sa, len), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&sa, &len), 0);
    addr->port = ntohs(sa.sin6_port); // at the same place in both
    return fd;
}

static int listener_at(struct addr *addr)
{
    int fd = bound_socket(addr);
    assert_int_equal(listen(fd, 8), 0);
    return fd;
}

static int connect_to(const struct addr *to)
{
    socklen_t len;
    struct sockaddr_in6 sa = any_family(to, &len);
    int fd = socket(to->family == FAMILY_V4 ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&sa, len), 0);
    return fd;
}

static struct addr at(const char *ip, uint16_t port)
{
    struct addr addr;
    assert_int_equal(addr_parse_ip(ip, port, &addr), 0);
    return addr;
}

static void pump(struct world *w, const unsigned *value, unsigned count)
{
    usec_t deadline = usec_now() + 10 * USEC_PER_SEC;
    while (*value < count && usec_now() < deadline)
        event_base_loop(w->base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
    assert_int_equal(*value, count);
}

static void open_port(struct world *w, const char *ip)
{
    w->addr = at(ip, 0);
    close(bound_socket(&w->addr));
    assert_int_equal(tcp_port_open(w->base, &w->addr, &w->handler, &w->port, &w->port), 0);
}

static int set_up(void **state)
{
    struct world *w = calloc(1, sizeof *w);
    w->base = event_base_new();
    w->handler = (struct tcp_port_handler){w, on_accepted, on_connected};
    open_port(w, "127.0.0.1");
    *state = w;
    return 0;
}

static int tear_down(void **state)
{
    struct world *w = *state;
    tcp_port_close(w->port);
    for (unsigned i = 0; i < w->accepted; i++)
        close(w->in[i]);
    for (unsigned i = 0; i < w->connected; i++) {
        if (w->out[i] >= 0)
            close(w->out[i]);
    }
    event_base_free(w->base);
    free(w);
    return 0;
}

// ---- tests

static void in_and_out_of_one_port(void **state)
{
    struct world *w = *state;
    struct tcp_attempt *attempt;
    for (unsigned i = 0; i < 2; i++) {
        const char *ip = i == 0 ? "127.0.0.1" : "::1";
        struct addr peer = at(ip, 0);
        struct sockaddr_in6 seen;
        socklen_t len = sizeof seen;
        uint8_t byte;
        if (i == 1) {
            tcp_port_close(w->port);
            open_port(w, ip);
        }
        int caller = connect_to(&w->addr), listener = listener_at(&peer);
        pump(w, &w->accepted, i + 1);
        assert_int_equal(tcp_port_connect(w->port, &peer, &w->out, &attempt), 0);
        assert_int_equal(w->connected, i);
        pump(w, &w->connected, i + 1);
        int callee = accept(listener, (struct sockaddr *)&seen, &len);
        assert_true(callee >= 0);
        assert_int_equal(ntohs(seen.sin6_port), w->addr.port); // it comes from the relayed port
        assert_true(addr_equal_ip(&w->from[i], &w->addr));
        assert_int_equal(send(w->out[i], "x", 1, 0), 1);
        assert_int_equal(recv(callee, &byte, 1, 0), 1);
        assert_int_equal(send(caller, "y", 1, 0), 1);
        assert_int_equal(recv(w->in[i], &byte, 1, 0), 1);
        assert_int_equal(byte, 'y');
        // And another comes in.
        int again = connect_to(&w->addr);
        close(caller), close(callee), close(listener), close(again);
        w->accepted = i + 1;
    }
}

static void nobody_there(void **state)
{
    struct world *w = *state;
    struct tcp_attempt *attempt;
    struct addr peer = at("127.0.0.1", 0);
    close(bound_socket(&peer));
    // Loopback may say so at once.
    int r = tcp_port_connect(w->port, &peer, &w->out, &attempt);
    if (r == 0) {
        pump(w, &w->connected, 1);
        r = w->out[0];
    }
    assert_int_equal(r, -ECONNREFUSED);
    peer = at("::1", 1);
    assert_true(tcp_port_connect(w->port, &peer, &w->out, &attempt) < 0); // another family
    peer = (struct addr){0};
    assert_true(tcp_port_connect(w->port, &peer, &w->out, &attempt) < 0);
}

static void nobody_waits_any_more(void **state)
{
    struct world *w = *state;
    struct tcp_attempt *attempt;
    struct addr peer = at("127.0.0.1", 0);
    int listener = listener_at(&peer);
    assert_int_equal(tcp_port_connect(w->port, &peer, &w->out, &attempt), 0);
    tcp_attempt_cancel(attempt);
    tcp_attempt_cancel(NULL);
    for (unsigned i = 0; i < 10; i++)
        event_base_loop(w->base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
    assert_int_equal(w->connected, 0);
    close(listener);
}

static void ports_that_cannot_be_had(void **state)
{
    struct world *w = *state;
    struct tcp_port *port;
    struct addr taken = at("127.0.0.1", 0), nowhere = at("192.0.2.1", 4000), none = {0};
    int listener = listener_at(&taken); // without SO_REUSEPORT: another program
    assert_int_equal(tcp_port_open(w->base, &taken, &w->handler, w, &port), -EADDRINUSE);
    assert_int_equal(tcp_port_open(w->base, &nowhere, &w->handler, w, &port), -EADDRNOTAVAIL);
    assert_int_equal(tcp_port_open(w->base, &none, &w->handler, w, &port), -EINVAL);
    close(listener);
    tcp_port_close(NULL);
}

// Without descriptors the port rests for a second, and does not spin.
static void no_descriptors_left(void **state)
{
    struct world *w = *state;
    struct rlimit before, none;
    int caller = connect_to(&w->addr);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    int highest = dup(caller);
    close(highest);
    none = before;
    none.rlim_cur = (rlim_t)highest;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    event_base_loop(w->base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
    event_base_loop(w->base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
    assert_int_equal(w->accepted, 0);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    pump(w, &w->accepted, 1);
    close(caller);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(in_and_out_of_one_port),   CASE(nobody_there),        CASE(nobody_waits_any_more),
        CASE(ports_that_cannot_be_had), CASE(no_descriptors_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
