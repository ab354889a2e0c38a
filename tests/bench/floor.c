// SPDX-License-Identifier: ISC
// The machine's floor: the least that a forwarder in user space can do. As many sockets as a relay
// for the same calls, but connected, so that the kernel checks the sources and knows the routes;
// epoll, then to the other socket of the pair. It knows nothing of STUN, RTP, calls.
//
//   floor MODE ADDRESS FIRST-PORT CLIENT-A CLIENT-B FIRST-CLIENT-PORT [THREADS]
//
// THREADS take turns in being given calls; each has an epoll of its own. MODE is how a socket that
// is ready is served: "epoll" is one recv and one send, "mmsg" recvmmsg and sendmmsg, "gro" one
// recvmsg of what the kernel has joined (UDP_GRO) and one sendmsg that it splits again
// (UDP_SEGMENT). "open" is the least that a relay can do whose clients may move: its sockets are
// not connected; recvmsg with source and TOS, a look at the source, sendto. Call i: ADDRESS port
// FIRST-PORT + 2i faces CLIENT-A port FIRST-CLIENT-PORT + i, the next port CLIENT-B. Each line on
// stdin says how many calls there are to be, and is answered by "ready".
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <pthread.h>
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
    DESCRIPTORS_MAX = 1 << 16,
    THREADS_MAX = 8,
    JOINED_MAX = 1 << 16,
};

struct burst {
    struct mmsghdr message[BURST];
    struct iovec iov[BURST];
    uint8_t data[BURST][DATAGRAM_MAX];
    uint8_t joined[JOINED_MAX];
};

struct floor { // what a thread has
    int poll;
    char **argv;
    struct burst burst;
};

// Chosen once, before there are threads; and who is at the other end of each socket, by descriptor.
static bool joins, connects = true; // UDP_GRO; connected sockets
static void (*forward)(struct burst *burst, int from, int to);
static struct sockaddr_in client[DESCRIPTORS_MAX];
static struct floor floors[THREADS_MAX];
static unsigned threads = 1, calls;

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

    if (fd < 0 || fd >= DESCRIPTORS_MAX ||
        bind(fd, (const struct sockaddr *)local, sizeof *local) < 0 ||
        (connects && connect(fd, (const struct sockaddr *)remote, sizeof *remote) < 0)) {
        perror("floor");
        exit(1);
    }
    client[fd] = *remote;
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

static void forward_open(struct burst *burst, int from, int to)
{
    union {
        struct cmsghdr align;
        uint8_t space[CMSG_SPACE(sizeof(int))];
    } control;
    struct sockaddr_in source;
    struct iovec iov = {burst->joined, sizeof burst->joined};
    struct msghdr message = {.msg_name = &source,
                             .msg_namelen = sizeof source,
                             .msg_iov = &iov,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = sizeof control};
    ssize_t n = recvmsg(from, &message, 0);

    if (n < 0 || source.sin_port != client[from].sin_port ||
        source.sin_addr.s_addr != client[from].sin_addr.s_addr)
        return;
    (void)sendto(to, burst->joined, (size_t)n, MSG_DONTWAIT, (struct sockaddr *)&client[to],
                 sizeof client[to]);
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

static void set(int fd, int level, int option)
{
    const int one = 1;

    if (setsockopt(fd, level, option, &one, sizeof one) < 0) {
        perror("floor: a socket's option");
        exit(1);
    }
}

static void open_call(char **argv, struct floor *floor, unsigned index)
{
    unsigned port = (unsigned)atoi(argv[3]) + 2 * index, number = (unsigned)atoi(argv[6]) + index;
    struct sockaddr_in to_a = address(argv[2], port), to_b = address(argv[2], port + 1);
    struct sockaddr_in a = address(argv[4], number), b = address(argv[5], number);
    const int fd[] = {open_socket(&to_a, &a), open_socket(&to_b, &b)};

    for (unsigned i = 0; i < 2; i++) {
        if (joins)
            set(fd[i], SOL_UDP, UDP_GRO);
        if (!connects)
            set(fd[i], IPPROTO_IP, IP_RECVTOS);
        watch(floor->poll, fd[i], fd[1 - i]);
    }
}

static void grow(char **argv)
{
    char line[32];

    if (!fgets(line, sizeof line, stdin))
        exit(0);
    for (; calls < (unsigned)atoi(line); calls++)
        open_call(argv, &floors[calls % threads], calls);
    puts("ready");
    fflush(stdout);
}

static bool set_mode(const char *mode)
{
    joins = strcmp(mode, "gro") == 0;
    connects = strcmp(mode, "open") != 0;
    forward = strcmp(mode, "epoll") == 0  ? forward_one
              : strcmp(mode, "mmsg") == 0 ? forward_many
              : joins                     ? forward_joined
              : !connects                 ? forward_open
                                          : NULL;
    return forward != NULL;
}

static void *run(void *arg)
{
    struct floor *floor = arg;
    struct epoll_event ready[BURST];

    for (;;) {
        int n = epoll_wait(floor->poll, ready, BURST, -1);

        for (int i = 0; i < n; i++) {
            int from = (int)(ready[i].data.u64 >> 32), to = (int)(uint32_t)ready[i].data.u64;

            if (from == STDIN_FILENO)
                grow(floor->argv);
            else
                forward(&floor->burst, from, to);
        }
    }
    return NULL;
}

int main(int argc, char **argv)
{
    struct rlimit limit;
    pthread_t thread;

    if (argc == 8)
        threads = (unsigned)atoi(argv[7]);
    if (argc < 7 || argc > 8 || !set_mode(argv[1]) || threads < 1 || threads > THREADS_MAX) {
        fprintf(stderr, "usage: floor epoll|mmsg|gro|open ADDRESS FIRST-PORT CLIENT-A CLIENT-B "
                        "FIRST-CLIENT-PORT [THREADS]\n");
        return 2;
    }
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
    for (unsigned i = 0; i < threads; i++) {
        floors[i].argv = argv;
        floors[i].poll = epoll_create1(0);
        prepare(&floors[i].burst);
    }
    watch(floors[0].poll, STDIN_FILENO, STDIN_FILENO);
    for (unsigned i = 1; i < threads; i++) {
        if (pthread_create(&thread, NULL, run, &floors[i]) != 0)
            return 1;
    }
    run(&floors[0]);
    return 0;
}
