// SPDX-License-Identifier: ISC
// The machine's floor: the least that a forwarder in user space can do. As many sockets as a relay
// for the same calls, but connected, so that the kernel checks the sources and knows the routes;
// epoll, recvmmsg, sendmmsg to the other socket of the pair. It knows nothing of STUN, RTP, calls.
//
//   floor ADDRESS FIRST-PORT CLIENT-A CLIENT-B FIRST-CLIENT-PORT
//
// Call i: ADDRESS port FIRST-PORT + 2i faces CLIENT-A port FIRST-CLIENT-PORT + i, the next port
// CLIENT-B. Each line on stdin says how many calls there are to be, and is answered by "ready".
#include <arpa/inet.h>
#include <netinet/in.h>
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

struct burst {
    struct mmsghdr message[BURST];
    struct iovec iov[BURST];
    uint8_t data[BURST][DATAGRAM_MAX];
};

static void prepare(struct burst *burst)
{
    for (int i = 0; i < BURST; i++) {
        burst->iov[i] = (struct iovec){.iov_base = burst->data[i], .iov_len = DATAGRAM_MAX};
        burst->message[i].msg_hdr = (struct msghdr){.msg_iov = &burst->iov[i], .msg_iovlen = 1};
    }
}

static void forward(struct burst *burst, int from, int to)
{
    int n = recvmmsg(from, burst->message, BURST, 0, NULL);

    for (int i = 0; i < n; i++)
        burst->iov[i].iov_len = burst->message[i].msg_len;
    if (n > 0)
        (void)sendmmsg(to, burst->message, (unsigned)n, MSG_DONTWAIT);
    for (int i = 0; i < n; i++)
        burst->iov[i].iov_len = DATAGRAM_MAX;
}

static void open_call(char **argv, int poll, unsigned index)
{
    unsigned port = (unsigned)atoi(argv[2]) + 2 * index, client = (unsigned)atoi(argv[5]) + index;
    struct sockaddr_in to_a = address(argv[1], port), to_b = address(argv[1], port + 1);
    struct sockaddr_in a = address(argv[3], client), b = address(argv[4], client);
    int fd_a = open_socket(&to_a, &a), fd_b = open_socket(&to_b, &b);

    watch(poll, fd_a, fd_b);
    watch(poll, fd_b, fd_a);
}

static void grow(char **argv, int poll, unsigned *calls)
{
    char line[32];

    if (!fgets(line, sizeof line, stdin))
        exit(0);
    while (*calls < (unsigned)atoi(line))
        open_call(argv, poll, (*calls)++);
    puts("ready");
    fflush(stdout);
}

int main(int argc, char **argv)
{
    static struct burst burst;
    struct rlimit limit;
    struct epoll_event ready[BURST];
    unsigned calls = 0;
    int poll = epoll_create1(0);

    if (argc != 6) {
        fprintf(stderr, "usage: floor ADDRESS FIRST-PORT CLIENT-A CLIENT-B FIRST-CLIENT-PORT\n");
        return 2;
    }
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
    prepare(&burst);
    watch(poll, STDIN_FILENO, STDIN_FILENO);
    for (;;) {
        int n = epoll_wait(poll, ready, BURST, -1);

        for (int i = 0; i < n; i++) {
            int from = (int)(ready[i].data.u64 >> 32), to = (int)(uint32_t)ready[i].data.u64;

            if (from == STDIN_FILENO)
                grow(argv, poll, &calls);
            else
                forward(&burst, from, to);
        }
    }
}
