// SPDX-License-Identifier: ISC
// Trains: datagrams that the kernel hands over joined (UDP_GRO), and takes joined (UDP_SEGMENT).
// Whatever it joins, each is decided about alone, may get a header of its own, and leaves whole and
// in order; where the kernel refuses to take them joined they leave one by one. And no system call
// that fails costs more than what it was for.
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
#include <netinet/udp.h>
#include <sched.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { NARROW_MTU = 1400, CLIENTS = 3, TRAIN_MAX = 64, LENGTH_MAX = 3000 };

// What the handler does with datagram i; the default is to forward it to the first client as it is.
struct wish {
    unsigned to; // client
    bool consume;
    int put;       // bytes in front; negative: cut off
    bool pad;      // UDP_TAILROOM bytes behind
    uint8_t tos;   // 0: as it came
    bool scribble; // consume, having written into all the room around
};

struct fixture {
    struct event_base *base;
    struct udp *udp;
    struct udp_reader reader;
    struct counters counters;
    struct udp_socket *in, *out;
    struct addr in_addr, sender_addr, client_addr[CLIENTS];
    int sender, client[CLIENTS];
    struct wish (*wish)(unsigned index);
    unsigned datagrams;
};

static struct wish as_it_is(unsigned index)
{
    return (struct wish){0};
}

static struct udp_socket *on_datagram(void *ctx, void *owner, struct udp_datagram *datagram,
                                      struct addr *ret_to, usec_t now)
{
    struct fixture *f = ctx;
    struct wish wish = f->wish(f->datagrams++);
    if (wish.scribble) {
        memset(datagram->data - UDP_HEADROOM, '!', UDP_HEADROOM);
        memset(datagram->data + datagram->len, '!', UDP_TAILROOM);
    }
    if (wish.consume || wish.scribble)
        return NULL;
    datagram->data -= wish.put;
    datagram->len += (size_t)wish.put;
    if (wish.put > 0)
        memset(datagram->data, 'h', (size_t)wish.put);
    if (wish.pad) {
        memset(datagram->data + datagram->len, 't', UDP_TAILROOM);
        datagram->len += UDP_TAILROOM;
    }
    if (wish.tos)
        datagram->tos = wish.tos;
    *ret_to = f->client_addr[wish.to];
    return f->out;
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    f->base = event_base_new();
    f->reader = (struct udp_reader){.ctx = f, .datagram = on_datagram};
    f->wish = as_it_is;
    f->sender = -1;
    for (int i = 0; i < CLIENTS; i++)
        f->client[i] = -1;
    assert_int_equal(udp_new(f->base, NULL, NULL, &f->counters, &f->udp), 0);
    *state = f;
    return 0;
}

static void close_all(struct fixture *f)
{
    udp_close(f->in);
    udp_close(f->out);
    f->in = f->out = NULL;
    close(f->sender);
    for (int i = 0; i < CLIENTS; i++)
        close(f->client[i]);
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    close_all(f);
    udp_free(f->udp);
    event_base_free(f->base);
    free(f);
    return 0;
}

// ---- plain sockets

static int plain_open(const char *ip, struct addr *ret_addr)
{
    union system_addr sa;
    struct timeval patience = {.tv_sec = 5};
    int room = 1 << 22;
    assert_int_equal(addr_parse_ip(ip, 0, ret_addr), 0);
    socklen_t len = to_system(ret_addr, &sa);
    int fd = socket(sa.sa.sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, &sa.sa, len), 0);
    assert_int_equal(getsockname(fd, &sa.sa, &len), 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
    ret_addr->port = ntohs(sa.in.sin_port);
    return fd;
}

static void relay_open(struct fixture *f, const char *ip, struct addr *ret_addr,
                       struct udp_socket **ret_socket)
{
    for (int attempt = 0; attempt < 100; attempt++) {
        close(plain_open(ip, ret_addr));
        if (udp_open(f->udp, ret_addr, &f->reader, NULL, ret_socket) == 0)
            return;
    }
    fail_msg("no free port");
}

static void open_all(struct fixture *f, const char *ip)
{
    struct addr out_addr;
    relay_open(f, ip, &f->in_addr, &f->in);
    relay_open(f, ip, &out_addr, &f->out);
    f->sender = plain_open(ip, &f->sender_addr);
    for (int i = 0; i < CLIENTS; i++)
        f->client[i] = plain_open(ip, &f->client_addr[i]);
    f->datagrams = 0;
}

// Byte k of datagram i: all differ from their neighbours', in the train and in the datagram.
static uint8_t byte_of(unsigned index, size_t k)
{
    return (uint8_t)(index * 31 + k * 7 + (k >> 8));
}

// One train of 'count' datagrams, numbered from 'first', of 'segment' bytes, the last one of
// 'last'.
static void send_train(struct fixture *f, unsigned first, unsigned count, size_t segment,
                       size_t last)
{
    union system_addr to;
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(uint16_t))] = {0};
    size_t len = 0;
    uint8_t *data = malloc((size_t)count * segment);
    for (unsigned i = 0; i < count; i++)
        for (size_t k = 0; k < (i + 1 < count ? segment : last); k++)
            data[len++] = byte_of(first + i, k);
    struct iovec iov = {.iov_base = data, .iov_len = len};
    struct msghdr msg = {.msg_name = &to,
                         .msg_namelen = to_system(&f->in_addr, &to),
                         .msg_iov = &iov,
                         .msg_iovlen = 1};
    if (count > 1) {
        msg.msg_control = control;
        msg.msg_controllen = sizeof control;
        struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
        uint16_t size = (uint16_t)segment;
        c->cmsg_level = SOL_UDP;
        c->cmsg_type = UDP_SEGMENT;
        c->cmsg_len = CMSG_LEN(sizeof size);
        memcpy(CMSG_DATA(c), &size, sizeof size);
    }
    assert_int_equal(sendmsg(f->sender, &msg, 0), len);
    free(data);
}

// Datagram 'index' of 'len' bytes, as 'wish' has it.
static void assert_got(struct fixture *f, unsigned index, size_t len, struct wish wish)
{
    uint8_t got[LENGTH_MAX + UDP_HEADROOM + UDP_TAILROOM], expected[sizeof got];
    size_t n = 0;
    for (int k = 0; k < wish.put; k++)
        expected[n++] = 'h';
    for (size_t k = wish.put < 0 ? (size_t)-wish.put : 0; k < len; k++)
        expected[n++] = byte_of(index, k);
    for (int k = 0; wish.pad && k < UDP_TAILROOM; k++)
        expected[n++] = 't';
    assert_int_equal(recv(f->client[wish.to], got, sizeof got, 0), n);
    assert_memory_equal(got, expected, n);
}

static void assert_nothing(struct fixture *f)
{
    char byte;
    for (int i = 0; i < CLIENTS; i++) {
        assert_int_equal(recv(f->client[i], &byte, 1, MSG_DONTWAIT), -1);
        assert_int_equal(errno, EAGAIN);
    }
}

static void pump(struct fixture *f, unsigned count)
{
    usec_t deadline = usec_now() + 5 * USEC_PER_SEC;
    while (f->datagrams < count && usec_now() < deadline)
        event_base_loop(f->base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
    assert_int_equal(f->datagrams, count);
}

static uint64_t count_of(struct fixture *f, enum counter id)
{
    return counter_get(&f->counters, id);
}

// ---- in and out again

static void a_train_passes_as_a_train(void **state)
{
    struct fixture *f = *state;
    static const char *const ip[] = {"127.0.0.1", "::1"};
    for (int v6 = 0; v6 < 2; v6++) {
        f->counters = (struct counters){0};
        open_all(f, ip[v6]);
        send_train(f, 0, 16, 1200, 77);
        send_train(f, 16, 3, 1, 1);
        send_train(f, 19, 1, 500, 500);
        pump(f, 20);
        for (unsigned i = 0; i < 16; i++)
            assert_got(f, i, i == 15 ? 77 : 1200, (struct wish){0});
        for (unsigned i = 16; i < 19; i++)
            assert_got(f, i, 1, (struct wish){0});
        assert_got(f, 19, 500, (struct wish){0});
        assert_nothing(f);
        assert_int_equal(count_of(f, COUNTER_PACKETS_IN), 20);
        assert_int_equal(count_of(f, COUNTER_BYTES_IN), 15 * 1200 + 77 + 3 + 500);
        assert_int_equal(count_of(f, COUNTER_JOINED_IN), 19);
        assert_int_equal(count_of(f, COUNTER_PACKETS_OUT), 20);
        assert_int_equal(count_of(f, COUNTER_BYTES_OUT), 15 * 1200 + 77 + 3 + 500);
        assert_int_equal(count_of(f, COUNTER_JOINED_OUT), 19);
        close_all(f);
    }
}

// More than wait at once, and as many and as much as one message may be.
static void long_trains_keep_their_order(void **state)
{
    struct fixture *f = *state;
    enum { TRAINS = 10, COUNT = 45, LENGTH = 1455 }; // 65,475 bytes each
    open_all(f, "127.0.0.1");
    for (unsigned i = 0; i < TRAINS; i++) {
        send_train(f, i * COUNT, COUNT, LENGTH, LENGTH);
        pump(f, (i + 1) * COUNT);
    }
    for (unsigned i = 0; i < TRAINS; i++)
        send_train(f, (TRAINS + i) * COUNT, COUNT, i < 6 ? 64 : 20, 20); // at once
    pump(f, 2 * TRAINS * COUNT);
    for (unsigned i = 0; i < TRAINS * COUNT; i++)
        assert_got(f, i, LENGTH, (struct wish){0});
    for (unsigned i = 0; i < TRAINS; i++)
        for (unsigned k = 0; k < COUNT; k++)
            assert_got(f, (TRAINS + i) * COUNT + k, i < 6 && k + 1 < COUNT ? 64 : 20,
                       (struct wish){0});
    assert_nothing(f);
    assert_int_equal(count_of(f, COUNTER_PACKETS_OUT), 2 * TRAINS * COUNT);
    assert_int_equal(count_of(f, COUNTER_DROP_SEND_ERROR), 0);
}

// Those that came one by one leave joined all the same.
static void neighbours_of_one_size_leave_joined(void **state)
{
    struct fixture *f = *state;
    static const size_t length[] = {100, 100, 60, 100, 0, 0, 100, 101, 100};
    enum { COUNT = sizeof length / sizeof *length };
    open_all(f, "127.0.0.1");
    for (unsigned i = 0; i < COUNT; i++)
        send_train(f, i, 1, length[i], length[i]);
    pump(f, COUNT);
    for (unsigned i = 0; i < COUNT; i++)
        assert_got(f, i, length[i], (struct wish){0});
    assert_nothing(f);
    assert_int_equal(count_of(f, COUNTER_JOINED_IN), 0);
    assert_int_equal(count_of(f, COUNTER_JOINED_OUT), 5); // 100 100 60, and 101 100
}

// ---- headers

static struct wish header_put_on(unsigned index)
{
    return (struct wish){.put = 4};
}

static struct wish header_taken_off(unsigned index)
{
    return (struct wish){.put = -4};
}

static struct wish all_the_room(unsigned index)
{
    return (struct wish){.put = UDP_HEADROOM, .pad = true};
}

static struct wish all_kinds(unsigned index)
{
    static const struct wish wish[] = {
        {.put = 4},           {.put = 4, .pad = true},
        {.scribble = true},   {.to = 1, .put = 36},
        {.consume = true},    {.to = 1},
        {.to = 2, .put = -4}, {.tos = 0xb8},
        {.scribble = true},   {.put = UDP_HEADROOM, .pad = true},
        {.put = -20},         {0},
    };
    return wish[index % (sizeof wish / sizeof *wish)];
}

static void check_headers(struct fixture *f, struct wish (*wish)(unsigned index), size_t segment)
{
    static const size_t last[] = {20, 21};
    enum { COUNT = 40 };
    f->wish = wish;
    for (unsigned round = 0; round < 2; round++) {
        open_all(f, "127.0.0.1");
        send_train(f, 0, COUNT, segment, last[round]);
        pump(f, COUNT);
        for (unsigned i = 0; i < COUNT; i++)
            if (!wish(i).consume && !wish(i).scribble)
                assert_got(f, i, i + 1 < COUNT ? segment : last[round], wish(i));
        assert_nothing(f);
        close_all(f);
    }
    assert_int_equal(count_of(f, COUNTER_DROP_SEND_ERROR), 0);
}

// Each in the middle of a train, where the room for a header is another datagram. The shorter
// segments are shorter than the room itself.
static void each_of_a_train_gets_its_header(void **state)
{
    struct fixture *f = *state;
    static const size_t segment[] = {21, 40, 160, 1200};
    for (size_t i = 0; i < sizeof segment / sizeof *segment; i++) {
        f->counters = (struct counters){0};
        check_headers(f, header_put_on, segment[i]);
        assert_int_equal(count_of(f, COUNTER_JOINED_OUT), 80);
        check_headers(f, header_taken_off, segment[i]);
        check_headers(f, all_the_room, segment[i]);
        check_headers(f, all_kinds, segment[i]);
    }
}

// ---- refused

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

// Segments longer than the way out takes leave one by one, as fragments. That is tried once.
static void what_does_not_fit_goes_alone(void **state)
{
    struct fixture *f = *state;
    enum { LONG = 2000, SHORT = 1300, COUNT = 6 };
    enter_narrow_network();
    open_all(f, "127.0.0.1");
    for (unsigned round = 0; round < 3; round++) {
        size_t len = round == 1 ? SHORT : LONG;
        for (unsigned i = 0; i < COUNT; i++)
            send_train(f, round * COUNT + i, 1, len, len);
        pump(f, (round + 1) * COUNT);
        for (unsigned i = 0; i < COUNT; i++)
            assert_got(f, round * COUNT + i, len, (struct wish){0});
        assert_nothing(f);
        assert_int_equal(count_of(f, COUNTER_JOINED_OUT), round >= 1 ? COUNT : 0);
    }
    assert_int_equal(count_of(f, COUNTER_PACKETS_OUT), 3 * COUNT);
    assert_int_equal(count_of(f, COUNTER_DROP_SEND_ERROR), 0);
}

// ---- system calls that fail

static struct {
    long until;       // so many calls succeed; negative: all
    int error;        // of the one that does not
    bool joined_only; // only messages that are joined fail, all of them
    uint16_t to;      // ... to this port; 0: any
    unsigned failed;
} fault = {.until = -1};

static bool fails(void)
{
    if (fault.until != 0) {
        fault.until -= fault.until > 0;
        return false;
    }
    fault.until = -1;
    fault.failed++;
    errno = fault.error;
    return true;
}

static bool is_joined(const struct msghdr *msg)
{
    for (const struct cmsghdr *c = msg->msg_controllen ? msg->msg_control : NULL; c;)
        return c->cmsg_level == SOL_UDP && c->cmsg_type == UDP_SEGMENT;
    return false;
}

static bool is_refused(const struct msghdr *msg)
{
    const struct sockaddr_in *to = msg->msg_name;
    return fault.joined_only && is_joined(msg) && (!fault.to || ntohs(to->sin_port) == fault.to);
}

static bool refuses(const struct msghdr *msg)
{
    if (!is_refused(msg))
        return false;
    fault.failed++;
    errno = fault.to ? EMSGSIZE : EIO;
    return true;
}

// These take the place of the C library's in this program. The relay's calls never wait, those of
// the test's senders do.
static bool is_relays(int flags)
{
    return flags & MSG_DONTWAIT;
}

ssize_t sendto(int fd, const void *data, size_t len, int flags, __CONST_SOCKADDR_ARG to,
               socklen_t to_len)
{
    if (is_relays(flags) && fails())
        return -1;
    return syscall(SYS_sendto, fd, data, len, flags, to.__sockaddr__, to_len);
}

ssize_t sendmsg(int fd, const struct msghdr *msg, int flags)
{
    if (is_relays(flags) && (fails() || refuses(msg)))
        return -1;
    return syscall(SYS_sendmsg, fd, msg, flags);
}

ssize_t recvmsg(int fd, struct msghdr *msg, int flags)
{
    if (is_relays(flags) && fails())
        return -1;
    return syscall(SYS_recvmsg, fd, msg, flags);
}

int sendmmsg(int fd, struct mmsghdr *msg, unsigned count, int flags)
{
    unsigned good = 0;
    if (fails())
        return -1;
    while (good < count && !is_refused(&msg[good].msg_hdr))
        good++;
    if (good == 0 && refuses(&msg->msg_hdr))
        return -1;
    return (int)syscall(SYS_sendmmsg, fd, msg, good, flags);
}

int recvmmsg(int fd, struct mmsghdr *msg, unsigned count, int flags, struct timespec *timeout)
{
    return fails() ? -1 : (int)syscall(SYS_recvmmsg, fd, msg, count, flags, timeout);
}

// A device that cannot take the checksums of the segments says EIO, to joined messages only.
static void a_device_that_takes_no_trains(void **state)
{
    struct fixture *f = *state;
    enum { COUNT = 10 };
    open_all(f, "127.0.0.1");
    fault.joined_only = true;
    fault.failed = 0;
    for (unsigned round = 0; round < 3; round++) {
        send_train(f, round * COUNT, COUNT, 900, 900);
        pump(f, (round + 1) * COUNT);
        for (unsigned i = 0; i < COUNT; i++)
            assert_got(f, round * COUNT + i, 900, (struct wish){0});
    }
    fault.joined_only = false;
    assert_int_equal(fault.failed, 1);
    assert_int_equal(count_of(f, COUNTER_JOINED_IN), 3 * COUNT);
    assert_int_equal(count_of(f, COUNTER_JOINED_OUT), 0);
    assert_int_equal(count_of(f, COUNTER_PACKETS_OUT), 3 * COUNT);
    assert_int_equal(count_of(f, COUNTER_DROP_SEND_ERROR), 0);
}

enum { TRAIN = 10 };

static struct wish trains_by_turns(unsigned index)
{
    return (struct wish){.to = index / TRAIN % 2};
}

static void a_narrow_way_is_one_clients(void **state)
{
    struct fixture *f = *state;
    enum { TRAINS = 6 };
    f->wish = trains_by_turns;
    open_all(f, "127.0.0.1");
    fault.joined_only = true;
    fault.to = f->client_addr[0].port;
    fault.failed = 0;
    for (unsigned i = 0; i < TRAINS * TRAIN; i += TRAIN) {
        send_train(f, i, TRAIN, 900, 900);
        pump(f, i + TRAIN);
        for (unsigned k = i; k < i + TRAIN; k++)
            assert_got(f, k, 900, trains_by_turns(k));
    }
    fault.joined_only = false;
    fault.to = 0;
    assert_int_equal(fault.failed, 1);
    assert_int_equal(count_of(f, COUNTER_JOINED_OUT), TRAINS / 2 * TRAIN);
    assert_int_equal(count_of(f, COUNTER_DROP_SEND_ERROR), 0);
}

static struct wish to_three(unsigned index)
{
    return (struct wish){.to = index % 7 / 3, .put = index % 5 == 0 ? 4 : 0};
}

// Returns how many came, each client's in order, none twice.
static unsigned drain(struct fixture *f)
{
    unsigned count = 0;
    for (int c = 0; c < CLIENTS; c++) {
        uint8_t got[LENGTH_MAX];
        int before = -1;
        ssize_t n;
        while ((n = recv(f->client[c], got, sizeof got, MSG_DONTWAIT)) > 0) {
            int index = got[n - 1]; // the sender puts the number there
            assert_true(index > before);
            before = index;
            count++;
        }
    }
    return count;
}

static void one_failed_call_costs_what_it_was_for(void **state)
{
    struct fixture *f = *state;
    static const int errors[] = {EINVAL, EMSGSIZE,     EIO,   ENOBUFS,
                                 EAGAIN, ECONNREFUSED, EINTR, EPERM};
    enum { COUNT = 60 };
    union system_addr to;
    f->wish = to_three;
    for (size_t e = 0; e < sizeof errors / sizeof *errors; e++) {
        bool reached = true;
        for (long k = 0; reached; k++) {
            assert_true(k < 1000);
            f->counters = (struct counters){0};
            open_all(f, "127.0.0.1");
            socklen_t to_len = to_system(&f->in_addr, &to);
            for (uint8_t i = 0; i < COUNT; i++) {
                uint8_t data[40] = {0};
                data[sizeof data - 1] = i;
                assert_int_equal(sendto(f->sender, data, sizeof data, 0, &to.sa, to_len),
                                 sizeof data);
            }
            fault.until = k;
            fault.error = errors[e];
            fault.failed = 0;
            pump(f, COUNT);
            reached = fault.failed > 0;
            fault.until = -1;
            unsigned got = drain(f);
            assert_int_equal(count_of(f, COUNTER_PACKETS_OUT), got);
            assert_int_equal(count_of(f, COUNTER_DROP_SEND_ERROR), COUNT - got);
            assert_true(got >= COUNT - 3);
            close_all(f);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_train_passes_as_a_train, setup, teardown),
        cmocka_unit_test_setup_teardown(long_trains_keep_their_order, setup, teardown),
        cmocka_unit_test_setup_teardown(neighbours_of_one_size_leave_joined, setup, teardown),
        cmocka_unit_test_setup_teardown(each_of_a_train_gets_its_header, setup, teardown),
        cmocka_unit_test_setup_teardown(a_device_that_takes_no_trains, setup, teardown),
        cmocka_unit_test_setup_teardown(one_failed_call_costs_what_it_was_for, setup, teardown),
        cmocka_unit_test_setup_teardown(a_narrow_way_is_one_clients, setup, teardown),
        cmocka_unit_test_setup_teardown(what_does_not_fit_goes_alone, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
