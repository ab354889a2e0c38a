// SPDX-License-Identifier: ISC
// UDP in bursts: the life of sockets, and what a wake-up does. udp_internal.h has the plan.
//
// The sockets have an epoll of their own, inside the loop's: one wake-up then brings all that are
// readable, what they forward leaves together, and a socket costs no struct event.
//
// A datagram that cannot be sent costs itself only, and an error that ICMP left on a socket is read
// away: no peer can stop a socket, or the datagrams of others.
#include "udp_internal.h"

#include <assert.h>
#include <errno.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum {
    SEND_AT = 16, // departures, if sockets are left to read: nothing waits for all the others
    ROUNDS = 4,   // then the loop's other events have their turn,
    DATAGRAMS_PER_WAKEUP = 1024, // or earlier, but for the burst that is begun
    // Bytes; the kernel may grant less. A listener has what all its clients send while its thread
    // does not run.
    RECEIVE_QUEUE = 1 << 18,
    LISTENER_QUEUE = 1 << 22,
};

usec_t usec_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (usec_t)t.tv_sec * USEC_PER_SEC + (usec_t)t.tv_nsec / 1000;
}

// ---- wake-ups

static void send_out(struct udp *udp)
{
    udp_flush(udp);
    udp->slots = 0;
}

// A round that was cut short is gone on with: the epoll would name others first, and those who were
// left might never have their turn. Returns whether anybody waits.
static bool begin_round(struct udp *udp)
{
    if (udp->ready_next < udp->ready_count)
        return true;
    int count = epoll_wait(udp->poll, udp->ready, UDP_READY_MAX, 0);
    udp->ready_next = 0;
    udp->ready_count = count > 0 ? (unsigned)count : 0;
    if (count > 0)
        udp->round++;
    return count > 0;
}

// Returns how many datagrams (trains) came.
static unsigned run_round(struct udp *udp, usec_t now)
{
    unsigned received = 0;
    while (udp->ready_next < udp->ready_count && udp->taken < DATAGRAMS_PER_WAKEUP) {
        const struct epoll_event *event = &udp->ready[udp->ready_next++];
        struct udp_socket *socket = event->data.ptr;
        if (!socket) // closed meanwhile
            continue;
        // Until its queue of errors is empty a socket fails once for each.
        if (socket->reports_icmp && event->events & EPOLLERR)
            udp_read_errors(socket, now);
        received += udp_receive(socket, now);
        if (udp->departures >= SEND_AT)
            send_out(udp);
    }
    send_out(udp);
    if (udp->ready_next == udp->ready_count && udp->ready_count < UDP_READY_MAX)
        udp->last_whole_round = udp->round;
    if (udp->burst_done)
        udp->burst_done(udp->ctx, now);
    return received;
}

// Reading goes on for as long as it is likely that there is more: a look in vain costs as much as
// the loop's own.
static void on_ready(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct udp *udp = arg;
    usec_t start = usec_now(), now = start;
    udp->taken = 0;
    for (int i = 0; i < ROUNDS && udp->taken < DATAGRAMS_PER_WAKEUP && begin_round(udp); i++) {
        unsigned received = run_round(udp, now);
        now = usec_now();
        if (received < 2)
            break;
    }
    counter_add(udp->counters, COUNTER_WORKER_WAKEUPS, 1);
    counter_add(udp->counters, COUNTER_WORKER_BUSY_USEC, now - start);
}

int udp_new(struct event_base *base, udp_burst_done burst_done, void *ctx,
            struct counters *counters, struct udp **ret_udp)
{
    struct udp *udp = calloc(1, sizeof *udp);
    if (!udp)
        return -ENOMEM;
    udp->base = base;
    udp->burst_done = burst_done;
    udp->ctx = ctx;
    udp->counters = counters;
    udp->sending_end = &udp->sending;
    for (unsigned i = 0; i < UDP_BURST; i++)
        udp_slot_prepare(udp, i);
    udp->poll = epoll_create1(EPOLL_CLOEXEC);
    int r = udp->poll < 0 ? -errno : 0;
    if (r == 0)
        udp->event = event_new(base, udp->poll, EV_READ | EV_PERSIST, on_ready, udp);
    if (r == 0 && (!udp->event || event_add(udp->event, NULL) < 0))
        r = -ENOMEM;
    if (r < 0) {
        udp_free(udp);
        return r;
    }
    *ret_udp = udp;
    return 0;
}

void udp_free(struct udp *udp)
{
    if (!udp)
        return;
    assert(udp->sockets == 0);
    if (udp->event)
        event_free(udp->event);
    if (udp->poll >= 0)
        close(udp->poll);
    free(udp);
}

// ---- sockets

// A socket that reports ICMP must not say "DONT", which would drop the report of a datagram sent
// with DF before; "OMIT" does the same on the wire. For IPv6, which has no DF, "OMIT" would drop
// the report and "WANT" not.
int udp_idle_mtu_discovery(const struct udp_socket *socket)
{
    if (!socket->reports_icmp)
        return IP_PMTUDISC_DONT;
    return socket->v6 ? IPV6_PMTUDISC_WANT : IP_PMTUDISC_OMIT;
}

// Fragmenting beats losing, so DF is set only for a sender who asks for it.
// All of this improves a socket that would work without it, so a refusal is no error.
static void set_options(int fd, bool v6, bool shared)
{
    const struct {
        bool v4, v6;
        int level, name, value;
    } option[] = {
        {true, true, SOL_SOCKET, SO_RCVBUF, shared ? LISTENER_QUEUE : RECEIVE_QUEUE},
        // Beyond net.core.rmem_max, for those who may
        {shared, shared, SOL_SOCKET, SO_RCVBUFFORCE, LISTENER_QUEUE},
        {true, true, SOL_SOCKET, SO_RXQ_OVFL, 1},
        {true, true, SOL_UDP, UDP_GRO, 1},
        {true, false, IPPROTO_IP, IP_RECVTOS, 1},
        {true, false, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DONT},
        {false, true, IPPROTO_IPV6, IPV6_RECVTCLASS, 1},
        {false, true, IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_DONT},
    };
    for (size_t i = 0; i < sizeof option / sizeof *option; i++)
        if (v6 ? option[i].v6 : option[i].v4)
            (void)setsockopt(fd, option[i].level, option[i].name, &option[i].value, sizeof(int));
}

// One that the daemon before this one has left: bound already, and what has come since waits in it.
// A listener may get what was a call's port, of a range that is another now: it cannot be bound
// anew while the manager keeps it, and those who share it can join later, too.
static int inherit(struct udp *udp, const struct addr *local, bool shared)
{
    int fd = handover_take(udp->inherited, HANDOVER_UDP, local), on = 1;
    if (fd >= 0)
        set_options(fd, local->family == FAMILY_V6, shared);
    if (fd >= 0 && shared)
        (void)setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
    return fd;
}

// Returns a descriptor or -errno.
static int open_bound(const struct addr *local, bool shared)
{
    union sockaddr_any sa;
    socklen_t sa_len = sockaddr_from_addr(local, &sa);
    if (sa_len == 0 || local->port == 0)
        return -EINVAL;
    bool v6 = local->family == FAMILY_V6;
    int fd = socket(sa.sa.sa_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    set_options(fd, v6, shared);
    int on = 1;
    if ((v6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on) < 0) ||
        (shared && setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) < 0) ||
        bind(fd, &sa.sa, sa_len) < 0) {
        int error = -errno;
        close(fd);
        return error;
    }
    return fd;
}

static int open_socket(struct udp *udp, const struct addr *local, bool shared,
                       const struct udp_reader *reader, void *owner, struct udp_socket **ret_socket)
{
    int fd = inherit(udp, local, shared);
    bool inherited = fd >= 0;
    if (!inherited)
        fd = open_bound(local, shared);
    if (fd < 0)
        return fd;
    struct udp_socket *socket = calloc(1, sizeof *socket);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = socket};
    if (!socket || epoll_ctl(udp->poll, EPOLL_CTL_ADD, fd, &event) < 0) {
        free(socket);
        close(fd);
        return -ENOMEM;
    }
    socket->udp = udp;
    socket->reader = reader;
    socket->owner = owner;
    socket->local = *local;
    socket->fd = fd;
    socket->v6 = local->family == FAMILY_V6;
    socket->segment_max = UINT16_MAX;
    socket->lively = shared;
    if (inherited)
        udp_skip_drops(socket);
    LIST_INSERT_HEAD(&udp->all, socket, entry);
    udp->sockets++;
    *ret_socket = socket;
    return 0;
}

int udp_open(struct udp *udp, const struct addr *local, const struct udp_reader *reader,
             void *owner, struct udp_socket **ret_socket)
{
    return open_socket(udp, local, false, reader, owner, ret_socket);
}

int udp_listen(struct udp *udp, const struct addr *local, const struct udp_reader *reader,
               void *owner, struct udp_socket **ret_socket)
{
    return open_socket(udp, local, true, reader, owner, ret_socket);
}

void udp_inherit(struct udp *udp, struct handover *handover)
{
    udp->inherited = handover;
}

int udp_leave(const struct udp *udp, struct handover *handover)
{
    const struct udp_socket *socket;
    int r = 0;
    LIST_FOREACH (socket, &udp->all, entry) {
        if (r == 0)
            r = handover_add(handover, socket->fd);
    }
    return r;
}

const struct addr *udp_local(const struct udp_socket *socket)
{
    return &socket->local;
}

int udp_report_icmp(struct udp_socket *socket)
{
    int level = socket->v6 ? IPPROTO_IPV6 : IPPROTO_IP, on = 1;
    if (setsockopt(socket->fd, level, socket->v6 ? IPV6_RECVERR : IP_RECVERR, &on, sizeof on) < 0)
        return -errno;
    socket->reports_icmp = true;
    int value = udp_idle_mtu_discovery(socket);
    socket->sets_df = false;
    (void)setsockopt(socket->fd, level, socket->v6 ? IPV6_MTU_DISCOVER : IP_MTU_DISCOVER, &value,
                     sizeof value);
    return 0;
}

void udp_close(struct udp_socket *socket)
{
    if (!socket)
        return;
    assert(!socket->first); // nothing is queued that would be lost
    udp_note_drops(socket);
    for (unsigned i = socket->udp->ready_next; i < socket->udp->ready_count; i++) {
        if (socket->udp->ready[i].data.ptr == socket)
            socket->udp->ready[i].data.ptr = NULL;
    }
    LIST_REMOVE(socket, entry);
    socket->udp->sockets--;
    (void)epoll_ctl(socket->udp->poll, EPOLL_CTL_DEL, socket->fd, NULL); // if somebody has a copy
    close(socket->fd);
    free(socket);
}
