// SPDX-License-Identifier: ISC
// What a TURN server needs of UDP sockets beyond forwarding: a datagram that leaves with a header
// more or less, a port shared by workers, datagrams that must not be fragmented, and ICMP errors.
// Narrow paths are made in a network namespace; where none can be made those tests are skipped.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "platform/udp.h"

#include "lib_system_addr.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum { NARROW_MTU = 1400, ICMP_MAX = 8 };

struct fixture {
    struct event_base *base;
    struct udp *udp;
    struct udp_reader reader;
    struct counters counters;
    struct udp_socket *in, *out;
    struct addr in_addr, out_addr, to;
    int narrow;         // bytes cut off (positive) or put (negative) before the payload
    bool dont_fragment; // what the handler says of each datagram; toggled if 'alternate'
    bool alternate;
    unsigned datagrams, bursts, icmps;
    struct udp_icmp icmp[ICMP_MAX];
};

static struct udp_socket *on_datagram(void *ctx, void *owner, struct udp_datagram *datagram,
                                      struct addr *ret_to, usec_t now)
{
    struct fixture *f = ctx;
    f->datagrams++;
    assert_false(datagram->dont_fragment);
    datagram->data += f->narrow;
    datagram->len -= (size_t)f->narrow;
    if (f->narrow < 0) {
        memset(datagram->data, 'h', (size_t)-f->narrow);
        memset(datagram->data + datagram->len, 't', UDP_TAILROOM);
        datagram->len += UDP_TAILROOM;
    }
    datagram->dont_fragment = f->dont_fragment;
    if (f->alternate)
        f->dont_fragment = !f->dont_fragment;
    if (!f->out)
        return NULL;
    *ret_to = f->to;
    return f->out;
}

static void on_icmp(void *ctx, void *owner, const struct udp_icmp *icmp, usec_t now)
{
    struct fixture *f = ctx;
    assert_ptr_equal(owner, &f->out);
    if (f->icmps < ICMP_MAX)
        f->icmp[f->icmps] = *icmp;
    f->icmps++;
}

static void on_burst_done(void *ctx, usec_t now)
{
    struct fixture *f = ctx;
    f->bursts++;
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    f->base = event_base_new();
    f->reader = (struct udp_reader){.ctx = f, .datagram = on_datagram, .icmp = on_icmp};
    assert_int_equal(udp_new(f->base, on_burst_done, f, &f->counters, &f->udp), 0);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    udp_close(f->in);
    udp_close(f->out);
    udp_free(f->udp);
    event_base_free(f->base);
    free(f);
    return 0;
}

static int client_open(const char *ip, struct addr *ret_addr)
{
    union system_addr sa;
    struct timeval patience = {.tv_sec = 10};
    assert_int_equal(addr_parse_ip(ip, 0, ret_addr), 0);
    socklen_t len = to_system(ret_addr, &sa);
    int fd = socket(sa.sa.sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, &sa.sa, len), 0);
    assert_int_equal(getsockname(fd, &sa.sa, &len), 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    ret_addr->port = ntohs(sa.in.sin_port);
    return fd;
}

static void client_send(int fd, const struct addr *to, const void *data, size_t len)
{
    union system_addr sa;
    socklen_t sa_len = to_system(to, &sa);
    assert_int_equal(sendto(fd, data, len, 0, &sa.sa, sa_len), len);
}

static void assert_received(int fd, const void *data, size_t len)
{
    uint8_t got[4096];
    assert_int_equal(recv(fd, got, sizeof got, 0), len);
    assert_memory_equal(got, data, len);
}

static void assert_nothing(int fd)
{
    char byte;
    assert_int_equal(recv(fd, &byte, 1, MSG_DONTWAIT), -1);
    assert_int_equal(errno, EAGAIN);
}

static void open_free(struct fixture *f, const char *ip, void *owner, struct addr *ret_addr,
                      struct udp_socket **ret_socket)
{
    for (int attempt = 0; attempt < 100; attempt++) {
        close(client_open(ip, ret_addr));
        if (udp_open(f->udp, ret_addr, &f->reader, owner, ret_socket) == 0)
            return;
    }
    fail_msg("no free port");
}

static void open_both(struct fixture *f, const char *ip)
{
    open_free(f, ip, &f->in, &f->in_addr, &f->in);
    open_free(f, ip, &f->out, &f->out_addr, &f->out);
}

static void close_both(struct fixture *f)
{
    udp_close(f->in);
    udp_close(f->out);
    f->in = f->out = NULL;
}

static void pump(struct fixture *f, const unsigned *value, unsigned count)
{
    usec_t deadline = usec_now() + 10 * USEC_PER_SEC;
    while (*value < count && usec_now() < deadline)
        event_base_loop(f->base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
    assert_int_equal(*value, count);
}

// ---- headers

static void a_header_is_cut_off_or_put_in_place(void **state)
{
    struct fixture *f = *state;
    struct addr alice;
    open_both(f, "127.0.0.1");
    int alice_fd = client_open("127.0.0.1", &alice), bob_fd = client_open("127.0.0.1", &f->to);

    f->narrow = 4;
    client_send(alice_fd, &f->in_addr, "\x40\x00\x00\x05hello", 9);
    pump(f, &f->datagrams, 1);
    assert_received(bob_fd, "hello", 5);

    // All the room there is, around the longest datagram: neighbours in the burst stay whole.
    uint8_t longest[2048], expected[UDP_HEADROOM + sizeof longest + UDP_TAILROOM];
    memset(longest, 'x', sizeof longest);
    memset(expected, 'h', UDP_HEADROOM);
    memset(expected + UDP_HEADROOM, 'x', sizeof longest);
    memset(expected + UDP_HEADROOM + sizeof longest, 't', UDP_TAILROOM);
    f->narrow = -UDP_HEADROOM;
    for (int i = 0; i < 3; i++)
        client_send(alice_fd, &f->in_addr, longest, sizeof longest);
    pump(f, &f->datagrams, 4);
    for (int i = 0; i < 3; i++)
        assert_received(bob_fd, expected, sizeof expected);
    close(alice_fd);
    close(bob_fd);
}

// ---- a shared port

static void workers_share_a_port(void **state)
{
    struct fixture *f = *state, *other;
    enum { CLIENTS = 64 };
    struct addr client;
    setup((void **)&other);
    close(client_open("127.0.0.1", &f->in_addr));
    assert_int_equal(udp_listen(f->udp, &f->in_addr, &f->reader, f, &f->in), 0);
    assert_int_equal(udp_listen(other->udp, &f->in_addr, &other->reader, other, &other->in), 0);
    // Not with one that was opened for itself alone.
    assert_int_equal(udp_open(f->udp, &f->in_addr, &f->reader, f, &f->out), -EADDRINUSE);
    for (int i = 0; i < CLIENTS; i++) {
        int fd = client_open("127.0.0.1", &client);
        client_send(fd, &f->in_addr, "x", 1);
        close(fd);
    }
    usec_t deadline = usec_now() + 10 * USEC_PER_SEC;
    while (f->datagrams + other->datagrams < CLIENTS && usec_now() < deadline) {
        event_base_loop(f->base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
        event_base_loop(other->base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
    }
    assert_int_equal(f->datagrams + other->datagrams, CLIENTS);
    assert_true(f->datagrams > 0 && other->datagrams > 0);
    teardown((void **)&other);
}

// ---- ICMP

static void icmp_errors_are_reported(void **state)
{
    struct fixture *f = *state;
    static const char *const ip[] = {"127.0.0.1", "::1"};
    for (int v6 = 0; v6 < 2; v6++) {
        struct addr dead;
        open_both(f, ip[v6]);
        close(client_open(ip[v6], &dead));
        // By itself a socket reports nothing.
        assert_int_equal(udp_send(f->out, &dead, (const uint8_t *)"?", 1, 0), 0);
        event_base_loop(f->base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
        assert_int_equal(f->icmps, 0);

        assert_int_equal(udp_report_icmp(f->out), 0);
        f->bursts = 0;
        assert_int_equal(udp_send(f->out, &dead, (const uint8_t *)"?", 1, 0), 0);
        pump(f, &f->icmps, 1);
        assert_true(addr_equal(&f->icmp[0].to, &dead));
        assert_int_equal(f->icmp[0].type, v6 ? 1 : 3); // destination unreachable,
        assert_int_equal(f->icmp[0].code, v6 ? 4 : 3); // port unreachable
        assert_int_equal(f->icmp[0].mtu, 0);
        assert_int_equal(f->bursts, 1);
        // The queue is empty: the loop does not spin.
        event_base_loop(f->base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
        assert_int_equal(f->icmps, 1);
        f->icmps = 0;
        close_both(f);
    }
}

// An error about one peer's datagram waits when another peer's is sent.
static void an_icmp_error_costs_no_other_datagram(void **state)
{
    struct fixture *f = *state;
    struct addr dead, alice;
    open_both(f, "127.0.0.1");
    assert_int_equal(udp_report_icmp(f->out), 0);
    close(client_open("127.0.0.1", &dead));
    int alice_fd = client_open("127.0.0.1", &alice), bob_fd = client_open("127.0.0.1", &f->to);
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(udp_send(f->out, &dead, (const uint8_t *)"?", 1, 0), 0);
        assert_int_equal(udp_send(f->out, &f->to, (const uint8_t *)"direct", 6, 0), 0);
        assert_received(bob_fd, "direct", 6);
        assert_int_equal(udp_send(f->out, &dead, (const uint8_t *)"?", 1, 0), 0);
        client_send(alice_fd, &f->in_addr, "forwarded", 9);
        pump(f, &f->datagrams, i + 1);
        assert_received(bob_fd, "forwarded", 9);
    }
    pump(f, &f->icmps, 8);
    assert_int_equal(counter_get(&f->counters, COUNTER_DROP_SEND_ERROR), 0);
    close(alice_fd);
    close(bob_fd);
}

// ---- DONT-FRAGMENT

// Own namespace, loopback up and narrow. Skips the test where that is not allowed.
static void enter_narrow_network(void)
{
    if (unshare(CLONE_NEWNET) < 0 && unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0)
        skip();
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct ifreq request = {.ifr_name = "lo"};
    assert_int_equal(ioctl(fd, SIOCGIFFLAGS, &request), 0);
    request.ifr_flags |= IFF_UP;
    assert_int_equal(ioctl(fd, SIOCSIFFLAGS, &request), 0);
    request.ifr_mtu = NARROW_MTU;
    assert_int_equal(ioctl(fd, SIOCSIFMTU, &request), 0);
    close(fd);
}

static void whole_or_not_at_all(void **state)
{
    struct fixture *f = *state;
    static const char *const ip[] = {"127.0.0.1", "::1"};
    uint8_t data[2000];
    memset(data, 'x', sizeof data);
    enter_narrow_network();
    for (int v6 = 0; v6 < 2; v6++) {
        size_t fits = (size_t)NARROW_MTU - (v6 ? 48 : 28);
        open_both(f, ip[v6]);
        assert_int_equal(udp_report_icmp(f->out), 0);
        int bob_fd = client_open(ip[v6], &f->to);
        // With and without TOS, which is the other control message; and back again each time.
        for (int round = 0; round < 2; round++) {
            uint8_t tos = round ? 0xb8 : 0;
            f->icmps = 0;
            assert_int_equal(udp_send_whole(f->out, &f->to, data, fits, tos), 0);
            assert_received(bob_fd, data, fits);
            assert_int_equal(udp_send_whole(f->out, &f->to, data, fits + 1, tos), -EMSGSIZE);
            assert_nothing(bob_fd);
            assert_int_equal(udp_send(f->out, &f->to, data, sizeof data, tos), 0);
            assert_received(bob_fd, data, sizeof data);
            // It was sent twice, for the reason told at send_some().
            pump(f, &f->icmps, 2);
            assert_true(addr_equal(&f->icmp[0].to, &f->to));
            assert_int_equal(f->icmp[0].type, v6 ? 2 : 3);
            assert_int_equal(f->icmp[0].code, v6 ? 0 : 4);
            assert_int_equal(f->icmp[0].mtu, NARROW_MTU);
        }
        close(bob_fd);
        close_both(f);
    }
}

static uint16_t ip_checksum(const uint8_t *data, size_t len)
{
    uint32_t sum = 0;
    for (size_t i = 0; i < len; i += 2)
        sum += (uint32_t)(data[i] << 8 | data[i + 1]);
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)~sum;
}

static void put16(uint8_t *data, unsigned value)
{
    data[0] = (uint8_t)(value >> 8);
    data[1] = (uint8_t)value;
}

// What a router says of a datagram from f->out to f->to: type, code, checksum, MTU; and of the
// datagram the IP header and the ports (RFC 792, RFC 1191 section 4; RFC 4443 section 3.2).
static void router_says_too_big(struct fixture *f, bool v6, unsigned mtu)
{
    uint8_t icmp[8 + 40 + 8] = {v6 ? 2 : 3, v6 ? 0 : 4}, *ip = icmp + 8;
    size_t ip_len = v6 ? 40 : 20, len = 8 + ip_len + 8, addr_len = v6 ? 16 : 4;
    union system_addr to;
    put16(icmp + 6, mtu);
    ip[0] = v6 ? 0x60 : 0x45;
    ip[v6 ? 6 : 9] = IPPROTO_UDP;
    put16(ip + (v6 ? 4 : 2), v6 ? 2000 : 2028); // its length
    memcpy(ip + (v6 ? 8 : 12), f->out_addr.ip, addr_len);
    memcpy(ip + (v6 ? 24 : 16), f->to.ip, addr_len);
    put16(ip + ip_len, f->out_addr.port);
    put16(ip + ip_len + 2, f->to.port);
    put16(ip + ip_len + 4, 2000);
    if (!v6) // for IPv6 the kernel adds it
        put16(icmp + 2, ip_checksum(icmp, len));
    struct addr host = f->out_addr;
    host.port = 0;
    socklen_t to_len = to_system(&host, &to);
    int fd = socket(v6 ? AF_INET6 : AF_INET, SOCK_RAW | SOCK_CLOEXEC,
                    v6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP);
    assert_true(fd >= 0);
    assert_int_equal(sendto(fd, icmp, len, 0, &to.sa, to_len), len);
    close(fd);
}

// The report about a datagram that was sent with DF comes when others were sent without since.
static void a_router_is_heard_late(void **state)
{
    struct fixture *f = *state;
    static const char *const ip[] = {"127.0.0.1", "::1"};
    enter_narrow_network();
    for (int v6 = 0; v6 < 2; v6++) {
        open_both(f, ip[v6]);
        assert_int_equal(udp_report_icmp(f->out), 0);
        int bob_fd = client_open(ip[v6], &f->to);
        assert_int_equal(udp_send_whole(f->out, &f->to, (const uint8_t *)"whole", 5, 0), 0);
        assert_int_equal(udp_send(f->out, &f->to, (const uint8_t *)"plain", 5, 0), 0);
        f->icmps = 0;
        router_says_too_big(f, v6, 1300);
        pump(f, &f->icmps, 1);
        assert_true(addr_equal(&f->icmp[0].to, &f->to));
        assert_int_equal(f->icmp[0].type, v6 ? 2 : 3);
        assert_int_equal(f->icmp[0].code, v6 ? 0 : 4);
        assert_int_equal(f->icmp[0].mtu, 1300);
        close(bob_fd);
        close_both(f);
    }
}

// In one burst those that may be fragmented go through, the others cost themselves only.
static void a_burst_of_both_kinds(void **state)
{
    struct fixture *f = *state;
    static const char *const ip[] = {"127.0.0.1", "::1"};
    enum { COUNT = 10 };
    uint8_t data[2000];
    memset(data, 'x', sizeof data);
    enter_narrow_network();
    f->alternate = true;
    for (int v6 = 0; v6 < 2; v6++) {
        struct addr alice;
        open_both(f, ip[v6]);
        int alice_fd = client_open(ip[v6], &alice), bob_fd = client_open(ip[v6], &f->to);
        f->datagrams = 0;
        for (uint8_t i = 0; i < COUNT; i++) {
            data[0] = i;
            client_send(alice_fd, &f->in_addr, data, sizeof data);
        }
        pump(f, &f->datagrams, COUNT);
        for (uint8_t i = 0; i < COUNT; i += 2) {
            data[0] = i;
            assert_received(bob_fd, data, sizeof data);
        }
        assert_nothing(bob_fd);
        assert_int_equal(counter_get(&f->counters, COUNTER_DROP_SEND_ERROR),
                         (unsigned)(v6 + 1) * COUNT / 2);
        close(alice_fd);
        close(bob_fd);
        close_both(f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_header_is_cut_off_or_put_in_place, setup, teardown),
        cmocka_unit_test_setup_teardown(workers_share_a_port, setup, teardown),
        cmocka_unit_test_setup_teardown(icmp_errors_are_reported, setup, teardown),
        cmocka_unit_test_setup_teardown(an_icmp_error_costs_no_other_datagram, setup, teardown),
        cmocka_unit_test_setup_teardown(whole_or_not_at_all, setup, teardown),
        cmocka_unit_test_setup_teardown(a_router_is_heard_late, setup, teardown),
        cmocka_unit_test_setup_teardown(a_burst_of_both_kinds, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
