// SPDX-License-Identifier: ISC
// UDP bursts over loopback: what arrives at a relay socket leaves from another one, unchanged, in
// order, with its TOS octet; and no datagram's bad luck is another's.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "platform/udp.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PORTS = 4, ORDER_MAX = 2048 };

// One relay socket and what the handler does with its datagrams.
struct relay_port {
    struct udp_socket *socket;
    struct addr addr;
    struct relay_port *out; // NULL: consume
    struct addr to;
    unsigned seen;
    struct udp_datagram last; // 'data' is not kept
};

struct fixture {
    struct event_base *base;
    struct udp *udp;
    struct udp_reader reader;
    struct counters counters;
    struct relay_port port[PORTS];
    uint8_t order[ORDER_MAX]; // index of the port of each datagram
    unsigned datagrams, bursts;
    struct addr *route;             // when set: datagram i goes to route[i]
    unsigned turns;                 // of those, so many are counted as TURN's
    struct relay_port *close_after; // closed when the burst is done
};

static struct udp_socket *on_datagram(void *ctx, void *owner, struct udp_datagram *datagram,
                                      struct addr *ret_to, usec_t now)
{
    struct fixture *f = ctx;
    struct relay_port *port = owner;
    assert_true(now > 0 && now <= usec_now());
    if (f->datagrams < ORDER_MAX)
        f->order[f->datagrams] = (uint8_t)(port - f->port);
    port->seen++;
    port->last = *datagram;
    unsigned index = f->datagrams++;
    if (!port->out)
        return NULL;
    *ret_to = f->route ? f->route[index] : port->to;
    assert_int_equal(datagram->unsent, COUNTER_DROP_SEND_ERROR);
    if (index < f->turns)
        datagram->unsent = COUNTER_TURN_DROP_SEND_ERROR;
    return port->out->socket;
}

static void close_port(struct relay_port *port)
{
    udp_close(port->socket);
    port->socket = NULL;
}

static void on_burst_done(void *ctx, usec_t now)
{
    struct fixture *f = ctx;
    f->bursts++;
    if (f->close_after) {
        close_port(f->close_after);
        f->close_after = NULL;
    }
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    f->base = event_base_new();
    f->reader = (struct udp_reader){.ctx = f, .datagram = on_datagram};
    assert_int_equal(udp_new(f->base, on_burst_done, f, &f->counters, &f->udp), 0);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    for (int i = 0; i < PORTS; i++)
        udp_close(f->port[i].socket);
    udp_free(f->udp);
    event_base_free(f->base);
    free(f);
    return 0;
}

static socklen_t to_system(const struct addr *addr, struct sockaddr_storage *sa)
{
    memset(sa, 0, sizeof *sa);
    if (addr->family == FAMILY_V4) {
        struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(addr->port)};
        memcpy(&in.sin_addr, addr->ip, 4);
        memcpy(sa, &in, sizeof in);
        return sizeof in;
    }
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(addr->port)};
    memcpy(&in6.sin6_addr, addr->ip, 16);
    memcpy(sa, &in6, sizeof in6);
    return sizeof in6;
}

static struct addr make_addr(const char *ip, uint16_t port)
{
    struct addr addr;
    assert_int_equal(addr_parse_ip(ip, port, &addr), 0);
    return addr;
}

static uint16_t port_of(int fd)
{
    struct sockaddr_storage sa;
    socklen_t len = sizeof sa;
    if (getsockname(fd, (struct sockaddr *)(void *)&sa, &len) < 0)
        return 0;
    struct sockaddr_in in; // the port stands at the same place in both families
    memcpy(&in, &sa, sizeof in);
    return ntohs(in.sin_port);
}

// A client of the relay: a plain bound socket that tells the TOS of what it gets.
static int client_open(const char *ip, struct addr *ret_addr)
{
    struct addr addr = make_addr(ip, 0);
    struct sockaddr_storage sa;
    socklen_t len = to_system(&addr, &sa);
    int fd = socket(sa.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)(void *)&sa, len), 0);
    int on = 1, room = 1 << 22;
    struct timeval patience = {.tv_sec = 2};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
    if (addr.family == FAMILY_V4)
        setsockopt(fd, IPPROTO_IP, IP_RECVTOS, &on, sizeof on);
    else
        setsockopt(fd, IPPROTO_IPV6, IPV6_RECVTCLASS, &on, sizeof on);
    addr.port = port_of(fd);
    *ret_addr = addr;
    return fd;
}

static void client_send(int fd, const struct addr *to, const void *data, size_t len)
{
    struct sockaddr_storage sa;
    socklen_t sa_len = to_system(to, &sa);
    assert_int_equal(sendto(fd, data, len, 0, (struct sockaddr *)(void *)&sa, sa_len), len);
}

static void client_set_tos(int fd, bool v6, int tos)
{
    if (v6)
        assert_int_equal(setsockopt(fd, IPPROTO_IPV6, IPV6_TCLASS, &tos, sizeof tos), 0);
    else
        assert_int_equal(setsockopt(fd, IPPROTO_IP, IP_TOS, &tos, sizeof tos), 0);
}

// Returns the length; *ret_tos is -1 when none came with it.
static ssize_t client_recv(int fd, void *data, size_t size, int *ret_tos, uint16_t *ret_from)
{
    struct sockaddr_in6 from = {0};
    struct iovec iov = {.iov_base = data, .iov_len = size};
    _Alignas(struct cmsghdr) char control[64];
    struct msghdr msg = {.msg_name = &from,
                         .msg_namelen = sizeof from,
                         .msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = control,
                         .msg_controllen = sizeof control};
    ssize_t n = recvmsg(fd, &msg, 0);
    *ret_tos = -1;
    for (struct cmsghdr *c = n < 0 ? NULL : CMSG_FIRSTHDR(&msg); c; c = CMSG_NXTHDR(&msg, c)) {
        if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_TOS)
            *ret_tos = *CMSG_DATA(c);
        if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_TCLASS)
            memcpy(ret_tos, CMSG_DATA(c), sizeof *ret_tos);
    }
    *ret_from = ntohs(from.sin6_port);
    return n;
}

static void assert_received(int fd, const void *data, size_t len, int tos, uint16_t from)
{
    static uint8_t got[65536];
    int got_tos;
    uint16_t got_from;
    ssize_t n = client_recv(fd, got, sizeof got, &got_tos, &got_from);
    assert_int_equal(n, len);
    assert_int_equal(memcmp(got, data, len), 0);
    assert_int_equal(got_tos, tos);
    assert_int_equal(got_from, from);
}

static void assert_nothing(int fd)
{
    char byte;
    assert_int_equal(recv(fd, &byte, 1, MSG_DONTWAIT), -1);
    assert_int_equal(errno, EAGAIN);
}

// udp_open() binds exactly what it is told, so a free port is found by trying.
static struct relay_port *port_open(struct fixture *f, int index, const char *ip)
{
    struct relay_port *port = &f->port[index];
    for (int attempt = 0; attempt < 100; attempt++) {
        int fd = client_open(ip, &port->addr);
        close(fd);
        if (udp_open(f->udp, &port->addr, &f->reader, port, &port->socket) == 0)
            return port;
    }
    fail_msg("no free port");
    return NULL;
}

// One turn: EVLOOP_NONBLOCK alone goes on for as long as anything is readable.
static void turn_loop(struct fixture *f)
{
    event_base_loop(f->base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
}

// Runs the loop until 'count' datagrams were handled in all, for two seconds at most.
static void pump(struct fixture *f, unsigned count)
{
    usec_t deadline = usec_now() + 2 * USEC_PER_SEC;
    while (f->datagrams < count && usec_now() < deadline)
        turn_loop(f);
    assert_int_equal(f->datagrams, count);
}

static uint64_t count_of(struct fixture *f, enum counter id)
{
    return counter_get(&f->counters, id);
}

static void forwards_between_two_sockets(void **state)
{
    struct fixture *f = *state;
    struct relay_port *a = port_open(f, 0, "127.0.0.1"), *b = port_open(f, 1, "127.0.0.1");
    struct addr alice, bob;
    int alice_fd = client_open("127.0.0.1", &alice), bob_fd = client_open("127.0.0.1", &bob);
    a->out = b, a->to = bob;
    b->out = a, b->to = alice;

    client_send(alice_fd, &a->addr, "one", 3);
    client_send(bob_fd, &b->addr, "second", 6);
    client_send(alice_fd, &a->addr, "", 0);
    pump(f, 3);
    assert_received(bob_fd, "one", 3, 0, b->addr.port);
    assert_received(bob_fd, "", 0, 0, b->addr.port);
    assert_received(alice_fd, "second", 6, 0, a->addr.port);
    assert_true(addr_equal(&a->last.from, &alice));
    assert_true(addr_equal(&b->last.from, &bob));

    assert_int_equal(count_of(f, COUNTER_PACKETS_IN), 3);
    assert_int_equal(count_of(f, COUNTER_BYTES_IN), 9);
    assert_int_equal(count_of(f, COUNTER_PACKETS_OUT), 3);
    assert_int_equal(count_of(f, COUNTER_BYTES_OUT), 9);
    assert_in_range(count_of(f, COUNTER_WORKER_WAKEUPS), 1, 2);
    assert_int_equal(count_of(f, COUNTER_DROP_SEND_ERROR), 0);
    close(alice_fd);
    close(bob_fd);
}

// DSCP and ECN, through each pair of families.
static void keeps_the_tos_octet(void **state)
{
    struct fixture *f = *state;
    static const char *const ip[] = {"127.0.0.1", "::1"};
    // EF with ECT(1); AF41 with CE; best effort with ECT(0); none.
    static const int tos[] = {0xb9, 0x8b, 0x02, 0x00};
    for (int from = 0; from < 2; from++) {
        for (int to = 0; to < 2; to++) {
            struct relay_port *a = port_open(f, 0, ip[from]), *b = port_open(f, 1, ip[to]);
            struct addr alice, bob;
            int alice_fd = client_open(ip[from], &alice), bob_fd = client_open(ip[to], &bob);
            a->out = b, a->to = bob;
            for (size_t i = 0; i < sizeof tos / sizeof *tos; i++) {
                client_set_tos(alice_fd, from == 1, tos[i]);
                client_send(alice_fd, &a->addr, "x", 1);
                pump(f, f->datagrams + 1);
                assert_int_equal(a->last.tos, tos[i]);
                assert_received(bob_fd, "x", 1, tos[i], b->addr.port);
            }
            close(alice_fd);
            close(bob_fd);
            close_port(a);
            close_port(b);
        }
    }
}

static void sends_at_once_with_tos(void **state)
{
    struct fixture *f = *state;
    static const char *const ip[] = {"127.0.0.1", "::1"};
    for (int v6 = 0; v6 < 2; v6++) {
        struct relay_port *a = port_open(f, v6, ip[v6]);
        struct addr bob, none = {.family = FAMILY_NONE};
        int bob_fd = client_open(ip[v6], &bob);
        assert_int_equal(udp_send(a->socket, &bob, (const uint8_t *)"check", 5, 0x61), 0);
        assert_received(bob_fd, "check", 5, 0x61, a->addr.port);
        assert_int_equal(udp_send(a->socket, &none, (const uint8_t *)"x", 1, 0), -EDESTADDRREQ);
        bob.port = 0;
        assert_int_equal(udp_send(a->socket, &bob, (const uint8_t *)"x", 1, 0), -EINVAL);
        close(bob_fd);
    }
    assert_int_equal(count_of(f, COUNTER_PACKETS_OUT), 2); // what did not leave does not count
    assert_int_equal(count_of(f, COUNTER_BYTES_OUT), 10);
}

static void forwards_long_queues_in_order(void **state)
{
    struct fixture *f = *state;
    enum { COUNT = 300 };
    struct relay_port *a = port_open(f, 0, "127.0.0.1"), *b = port_open(f, 1, "127.0.0.1");
    struct addr alice, bob;
    int alice_fd = client_open("127.0.0.1", &alice), bob_fd = client_open("127.0.0.1", &bob);
    a->out = b, a->to = bob;
    for (uint32_t i = 0; i < COUNT; i++)
        client_send(alice_fd, &a->addr, &i, sizeof i);
    pump(f, COUNT);
    for (uint32_t i = 0; i < COUNT; i++)
        assert_received(bob_fd, &i, sizeof i, 0, b->addr.port);
    assert_nothing(bob_fd);
    // 4 full bursts are one wake-up's share; the rest, not a full burst, is read once.
    assert_int_equal(f->bursts, 5);
    assert_int_equal(count_of(f, COUNTER_WORKER_WAKEUPS), 2);
    assert_int_equal(count_of(f, COUNTER_PACKETS_OUT), COUNT);
    close(alice_fd);
    close(bob_fd);
}

// One burst that leaves from two sockets, one of them the one it came to.
static void splits_a_burst_by_outgoing_socket(void **state)
{
    struct fixture *f = *state;
    enum { COUNT = 40 };
    struct relay_port *a = port_open(f, 0, "127.0.0.1"), *b = port_open(f, 1, "127.0.0.1"),
                      *c = port_open(f, 2, "127.0.0.1");
    struct addr alice, bob, carol;
    int alice_fd = client_open("127.0.0.1", &alice), bob_fd = client_open("127.0.0.1", &bob),
        carol_fd = client_open("127.0.0.1", &carol);
    a->out = b, a->to = bob;
    c->out = c, c->to = carol;
    for (uint32_t i = 0; i < COUNT; i++)
        client_send(alice_fd, i % 3 ? &a->addr : &c->addr, &i, sizeof i);
    pump(f, COUNT);
    for (uint32_t i = 0; i < COUNT; i++)
        assert_received(i % 3 ? bob_fd : carol_fd, &i, sizeof i, 0,
                        i % 3 ? b->addr.port : c->addr.port);
    close(alice_fd);
    close(bob_fd);
    close(carol_fd);
}

static void a_failed_send_costs_itself_only(void **state)
{
    struct fixture *f = *state;
    struct relay_port *a = port_open(f, 0, "127.0.0.1"), *b = port_open(f, 1, "127.0.0.1");
    struct addr alice, bob;
    int alice_fd = client_open("127.0.0.1", &alice), bob_fd = client_open("127.0.0.1", &bob);
    struct addr route[] = {
        make_addr("127.0.0.1", 0), // EINVAL: port 0, first of the burst
        bob,
        make_addr("192.0.2.1", 5000),       // EINVAL: not from a loopback source
        make_addr("255.255.255.255", 5000), // EACCES: broadcast
        bob,
        make_addr("::1", 5000),  // EAFNOSUPPORT
        {.family = FAMILY_NONE}, // EDESTADDRREQ
        bob,
        make_addr("127.0.0.1", 0), // last of the burst
    };
    enum { COUNT = sizeof route / sizeof *route };
    a->out = b;
    f->route = route;
    f->turns = 4;
    for (uint8_t i = 0; i < COUNT; i++)
        client_send(alice_fd, &a->addr, &i, 1);
    pump(f, COUNT);
    assert_received(bob_fd, "\1", 1, 0, b->addr.port);
    assert_received(bob_fd, "\4", 1, 0, b->addr.port);
    assert_received(bob_fd, "\7", 1, 0, b->addr.port);
    assert_nothing(bob_fd);
    assert_int_equal(f->bursts, 1);
    assert_int_equal(count_of(f, COUNTER_PACKETS_OUT), 3);
    assert_int_equal(count_of(f, COUNTER_BYTES_OUT), 3);
    assert_int_equal(count_of(f, COUNTER_TURN_DROP_SEND_ERROR), 3);
    assert_int_equal(count_of(f, COUNTER_DROP_SEND_ERROR), COUNT - 3 - 3);
    close(alice_fd);
    close(bob_fd);
}

// The longest that UDP over IPv4 carries, and its neighbours.
static void forwards_what_is_long(void **state)
{
    struct fixture *f = *state;
    static const size_t length[] = {2048, 2049, 65507, 1, 40000};
    struct relay_port *a = port_open(f, 0, "127.0.0.1"), *b = port_open(f, 1, "127.0.0.1");
    struct addr alice, bob;
    int alice_fd = client_open("127.0.0.1", &alice), bob_fd = client_open("127.0.0.1", &bob);
    a->out = b, a->to = bob;
    uint8_t *data = malloc(65507);
    for (size_t i = 0; i < 65507; i++)
        data[i] = (uint8_t)(i * 7 + (i >> 8));
    for (size_t i = 0; i < sizeof length / sizeof *length; i++) {
        client_send(alice_fd, &a->addr, data, length[i]);
        pump(f, (unsigned)i + 1);
        assert_received(bob_fd, data, length[i], 0, b->addr.port);
    }
    assert_nothing(bob_fd);
    assert_int_equal(count_of(f, COUNTER_DROP_TRUNCATED), 0);
    free(data);
    close(alice_fd);
    close(bob_fd);
}

static void closes_with_data_waiting(void **state)
{
    struct fixture *f = *state;
    struct relay_port *a = port_open(f, 0, "127.0.0.1"), *b = port_open(f, 1, "127.0.0.1");
    struct addr alice, bob;
    int alice_fd = client_open("127.0.0.1", &alice), bob_fd = client_open("127.0.0.1", &bob);
    b->out = b, b->to = bob;
    client_send(alice_fd, &a->addr, "gone", 4);
    client_send(alice_fd, &b->addr, "stays", 5);
    close_port(a);
    pump(f, 1);
    turn_loop(f);
    assert_int_equal(a->seen, 0);
    assert_received(bob_fd, "stays", 5, 0, b->addr.port);

    // From burst_done: the socket being read, with another burst waiting; then one that is
    // readable in the same turn of the loop.
    for (int turn = 0; turn < 2; turn++) {
        a = port_open(f, 0, "127.0.0.1");
        a->seen = f->datagrams = 0;
        for (int i = 0; i < 100; i++)
            client_send(alice_fd, &a->addr, "x", 1);
        if (turn == 1)
            client_send(alice_fd, &b->addr, "y", 1);
        f->close_after = a;
        turn_loop(f);
        turn_loop(f);
        assert_null(a->socket);
        assert_true(a->seen < 100);
    }
    close(alice_fd);
    close(bob_fd);
}

static int fd_of(const struct relay_port *port)
{
    for (int fd = 3; fd < 256; fd++)
        if (port_of(fd) == port->addr.port)
            return fd;
    fail_msg("no descriptor has that port");
    return -1;
}

// With IP_RECVERR, which the relay does not set, the kernel reports every ICMP error, as it may for
// other reasons: the worst case.
static void icmp_errors_do_not_stop_a_socket(void **state)
{
    struct fixture *f = *state;
    struct relay_port *a = port_open(f, 0, "127.0.0.1"), *b = port_open(f, 1, "127.0.0.1");
    struct addr alice, bob, dead;
    int alice_fd = client_open("127.0.0.1", &alice), bob_fd = client_open("127.0.0.1", &bob);
    close(client_open("127.0.0.1", &dead));
    a->out = b, a->to = bob;
    b->out = a, b->to = dead;
    for (int strict = 0; strict < 2; strict++) {
        if (strict)
            assert_int_equal(setsockopt(fd_of(a), IPPROTO_IP, IP_RECVERR, &strict, sizeof strict),
                             0);
        // Towards the dead port: refused on socket a, on which then datagrams still arrive.
        client_send(bob_fd, &b->addr, "?", 1);
        pump(f, f->datagrams + 1);
        for (int i = 0; i < 3; i++) {
            client_send(alice_fd, &a->addr, "on", 2);
            pump(f, f->datagrams + 1);
            assert_received(bob_fd, "on", 2, 0, b->addr.port);
        }
    }
    int error = 0;
    socklen_t len = sizeof error;
    assert_int_equal(getsockopt(fd_of(a), SOL_SOCKET, SO_ERROR, &error, &len), 0);
    assert_int_equal(error, 0);
    close(alice_fd);
    close(bob_fd);
}

static void counts_what_the_kernel_dropped(void **state)
{
    struct fixture *f = *state;
    enum { COUNT = 4000 };
    struct relay_port *a = port_open(f, 0, "127.0.0.1");
    struct addr alice;
    int alice_fd = client_open("127.0.0.1", &alice);
    uint8_t data[1500] = {0};
    for (int round = 1; round <= 2; round++) {
        for (int i = 0; i < COUNT; i++)
            client_send(alice_fd, &a->addr, data, sizeof data);
        for (int i = 0; i < 100; i++)
            turn_loop(f);
        // The count comes with the next datagram.
        client_send(alice_fd, &a->addr, data, 1);
        turn_loop(f);
        uint64_t lost = count_of(f, COUNTER_DROP_OVERFLOW);
        assert_true(lost > 0);
        assert_int_equal(count_of(f, COUNTER_PACKETS_IN) + lost, round * (COUNT + 1));
        assert_true(a->seen > 0);
    }
    // Nor does the count of a socket get lost to which nothing comes any more.
    uint64_t before = count_of(f, COUNTER_DROP_OVERFLOW) + count_of(f, COUNTER_PACKETS_IN);
    for (int i = 0; i < COUNT; i++)
        client_send(alice_fd, &a->addr, data, sizeof data);
    for (int i = 0; i < 100; i++)
        turn_loop(f);
    close_port(a);
    assert_int_equal(count_of(f, COUNTER_PACKETS_IN) + count_of(f, COUNTER_DROP_OVERFLOW),
                     before + COUNT);
    close(alice_fd);
}

// A socket that is flooded does not starve another.
static void sockets_take_turns(void **state)
{
    struct fixture *f = *state;
    struct relay_port *a = port_open(f, 0, "127.0.0.1"), *b = port_open(f, 1, "127.0.0.1");
    struct addr alice;
    int alice_fd = client_open("127.0.0.1", &alice);
    enum { COUNT = 400 };
    for (int i = 0; i < COUNT; i++) {
        client_send(alice_fd, &a->addr, "a", 1);
        client_send(alice_fd, &b->addr, "b", 1);
    }
    turn_loop(f);
    assert_int_equal(a->seen, 256);
    assert_int_equal(b->seen, 256);
    pump(f, 2 * COUNT);
    assert_int_equal(a->seen, COUNT);
    assert_int_equal(b->seen, COUNT);
    close(alice_fd);
}

static void binds_exactly_what_it_is_told(void **state)
{
    struct fixture *f = *state;
    struct relay_port *a = port_open(f, 0, "0.0.0.0"), *b = &f->port[1];
    struct udp_socket *none = NULL;
    assert_int_equal(udp_open(f->udp, &a->addr, &f->reader, NULL, &none), -EADDRINUSE);
    struct addr addr = make_addr("127.0.0.1", 0);
    assert_int_equal(udp_open(f->udp, &addr, &f->reader, NULL, &none), -EINVAL);
    addr = (struct addr){.family = FAMILY_NONE, .port = 5000};
    assert_int_equal(udp_open(f->udp, &addr, &f->reader, NULL, &none), -EINVAL);
    addr = make_addr("192.0.2.1", 5000);
    assert_int_equal(udp_open(f->udp, &addr, &f->reader, NULL, &none), -EADDRNOTAVAIL);
    assert_null(none);
    // The IPv6 wildcard does not take the IPv4 port.
    b->addr = make_addr("::", a->addr.port);
    assert_int_equal(udp_open(f->udp, &b->addr, &f->reader, b, &b->socket), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(forwards_between_two_sockets, setup, teardown),
        cmocka_unit_test_setup_teardown(keeps_the_tos_octet, setup, teardown),
        cmocka_unit_test_setup_teardown(sends_at_once_with_tos, setup, teardown),
        cmocka_unit_test_setup_teardown(forwards_long_queues_in_order, setup, teardown),
        cmocka_unit_test_setup_teardown(splits_a_burst_by_outgoing_socket, setup, teardown),
        cmocka_unit_test_setup_teardown(a_failed_send_costs_itself_only, setup, teardown),
        cmocka_unit_test_setup_teardown(forwards_what_is_long, setup, teardown),
        cmocka_unit_test_setup_teardown(closes_with_data_waiting, setup, teardown),
        cmocka_unit_test_setup_teardown(icmp_errors_do_not_stop_a_socket, setup, teardown),
        cmocka_unit_test_setup_teardown(counts_what_the_kernel_dropped, setup, teardown),
        cmocka_unit_test_setup_teardown(sockets_take_turns, setup, teardown),
        cmocka_unit_test_setup_teardown(binds_exactly_what_it_is_told, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
