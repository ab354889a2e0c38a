// SPDX-License-Identifier: ISC
// The machine's floor: the least that a forwarder in user space can do. As many sockets as a relay
// for the same calls, but connected, so that the kernel checks the sources and knows the routes;
// epoll, then to the other socket of the pair. It knows nothing of STUN, RTP, calls.
//
//   floor MODE ADDRESS FIRST-PORT CLIENT-A CLIENT-B FIRST-CLIENT-PORT
//
// MODE is how a socket that is ready is served: "epoll" is one recv and one send, "mmsg" recvmmsg
// and sendmmsg, "gro" one recvmsg of what the kernel has joined (UDP_GRO) and one sendmsg that it
// splits again (UDP_SEGMENT).
// Call i: ADDRESS port FIRST-PORT + 2i faces CLIENT-A port FIRST-CLIENT-PORT + i, the next port
// CLIENT-B. Each line on stdin says how many calls there are to be, and is answered by "ready".
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    BURST = 64,
    DATAGRAM_MAX = 2048,
    RECEIVE_QUEUE = 1 << 18, // as the daemon's
    JOINED_MAX = 1 << 16,
};

struct burst {
    struct mmsghdr message[BURST];
    struct iovec iov[BURST];
    uint8_t data[BURST][DATAGRAM_MAX];
    uint8_t joined[JOINED_MAX];
};

struct floor {
    int poll;
    unsigned calls;
    bool joins; // UDP_GRO
    void (*forward)(struct burst *burst, int from, int to);
    struct burst burst;
};

static struct sockaddr_in address(const char *ip, unsigned port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};

    if (port > UINT16_MAX || inet_pton(AF_INET, ip, &a.sin_addr) != 1) {
        fprintf(stderr, "floor: %s port %u: no such address\n", ip, port);
        exit(2);
    }
    return a;
}

static int open_socket(const struct sockaddr_in *local, const struct sockaddr_in *remote)
{
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0), size = RECEIVE_QUEUE;

    if (fd < 0 || bind(fd, (const struct sockaddr *)local, sizeof *local) < 0 ||
        connect(fd, (const struct sockaddr *)remote, sizeof *remote) < 0) {
        perror("floor");
        exit(1);
    }
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
    return fd;
}

static void watch(int poll, int fd, int other)
{
    // Both descriptors: the one to read and the one to write.
    struct epoll_event event = {.events = EPOLLIN,
                                .data.u64 = (uint64_t)(uint32_t)fd << 32 | (uint32_t)other};

    if (epoll_ctl(poll, EPOLL_CTL_ADD, fd, &event) < 0) {
        perror("floor: epoll_ctl");
        exit(1);
    }
}

static void prepare(struct burst *burst)
{
    for (int i = 0; i < BURST; i++) {
        burst->iov[i] = (struct iovec){.iov_base = burst->data[i], .iov_len = DATAGRAM_MAX};
        burst->message[i].msg_hdr = (struct msghdr){.msg_iov = &burst->iov[i], .msg_iovlen = 1};
    }
}

static void forward_one(struct burst *burst, int from, int to)
{
    ssize_t n = recv(from, burst->joined, sizeof burst->joined, 0);

    if (n >= 0)
        (void)send(to, burst->joined, (size_t)n, MSG_DONTWAIT);
}

// How long each of the datagrams is that were joined; 0: there is only one.
static uint16_t part_len(struct msghdr *message)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c)) {
        int len;

        if (c->cmsg_level == SOL_UDP && c->cmsg_type == UDP_GRO) {
            memcpy(&len, CMSG_DATA(c), sizeof len);
            return (uint16_t)len;
        }
    }
    return 0;
}

static void forward_joined(struct burst *burst, int from, int to)
{
    union {
        struct cmsghdr align;
        uint8_t space[CMSG_SPACE(sizeof(int))];
    } control = {0};
    struct iovec iov = {burst->joined, sizeof burst->joined};
    struct msghdr message = {.msg_iov = &iov,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = sizeof control};
    ssize_t n = recvmsg(from, &message, 0);
    uint16_t len;

    if (n < 0)
        return;
    len = part_len(&message);
    iov.iov_len = (size_t)n;
    message.msg_control = NULL;
    message.msg_controllen = 0;
    if (len > 0 && n > len) {
        message.msg_control = &control;
        message.msg_controllen = CMSG_SPACE(sizeof len);
        control.align = (struct cmsghdr){
            .cmsg_len = CMSG_LEN(sizeof len), .cmsg_level = SOL_UDP, .cmsg_type = UDP_SEGMENT};
        memcpy(CMSG_DATA(&control.align), &len, sizeof len);
    }
    (void)sendmsg(to, &message, MSG_DONTWAIT);
}

static void forward_many(struct burst *burst, int from, int to)
{
    int n = recvmmsg(from, burst->message, BURST, 0, NULL);

    for (int i = 0; i < n; i++)
        burst->iov[i].iov_len = burst->message[i].msg_len;
    if (n > 0)
        (void)sendmmsg(to, burst->message, (unsigned)n, MSG_DONTWAIT);
    for (int i = 0; i < n; i++)
        burst->iov[i].iov_len = DATAGRAM_MAX;
}

static void join(int fd)
{
    const int one = 1;

    if (setsockopt(fd, SOL_UDP, UDP_GRO, &one, sizeof one) < 0) {
        perror("floor: UDP_GRO");
        exit(1);
    }
}

static void open_call(char **argv, struct floor *floor, unsigned index)
{
    unsigned port = (unsigned)atoi(argv[3]) + 2 * index, client = (unsigned)atoi(argv[6]) + index;
    struct sockaddr_in to_a = address(argv[2], port), to_b = address(argv[2], port + 1);
    struct sockaddr_in a = address(argv[4], client), b = address(argv[5], client);
    int fd_a = open_socket(&to_a, &a), fd_b = open_socket(&to_b, &b);

    if (floor->joins) {
        join(fd_a);
        join(fd_b);
    }
    watch(floor->poll, fd_a, fd_b);
    watch(floor->poll, fd_b, fd_a);
}

static void grow(char **argv, struct floor *floor)
{
    char line[32];

    if (!fgets(line, sizeof line, stdin))
        exit(0);
    while (floor->calls < (unsigned)atoi(line))
        open_call(argv, floor, floor->calls++);
    puts("ready");
    fflush(stdout);
}

static bool set_mode(struct floor *floor, const char *mode)
{
    floor->joins = strcmp(mode, "gro") == 0;
    floor->forward = strcmp(mode, "epoll") == 0  ? forward_one
                     : strcmp(mode, "mmsg") == 0 ? forward_many
                     : floor->joins              ? forward_joined
                                                 : NULL;
    return floor->forward != NULL;
}

int main(int argc, char **argv)
{
    static struct floor floor;
    struct rlimit limit;
    struct epoll_event ready[BURST];

    if (argc != 7 || !set_mode(&floor, argv[1])) {
        fprintf(stderr, "usage: floor epoll|mmsg|gro ADDRESS FIRST-PORT CLIENT-A CLIENT-B "
                        "FIRST-CLIENT-PORT\n");
        return 2;
    }
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
    prepare(&floor.burst);
    floor.poll = epoll_create1(0);
    watch(floor.poll, STDIN_FILENO, STDIN_FILENO);
    for (;;) {
        int n = epoll_wait(floor.poll, ready, BURST, -1);

        for (int i = 0; i < n; i++) {
            int from = (int)(ready[i].data.u64 >> 32), to = (int)(uint32_t)ready[i].data.u64;

            if (from == STDIN_FILENO)
                grow(argv, &floor);
            else
                floor.forward(&floor.burst, from, to);
        }
    }
}
