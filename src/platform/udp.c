// SPDX-License-Identifier: ISC
// UDP in bursts. A wake-up reads up to BURST datagrams at once into buffers that all sockets of the
// thread share, asks the handler about each, queues what is to be forwarded on the socket it leaves
// from, and sends each queue with one call, out of the very buffers it was received in.
//
// A datagram that cannot be sent costs itself only, and an error that ICMP left on a socket is read
// away: no peer can stop a socket, or the datagrams of others.
//
// Room for UDP_GRO and UDP_SEGMENT: a slot is the unit of receiving, struct slot's queue the unit
// of sending. With GRO a slot's buffer grows, control_in (it has the room) brings the segment size,
// and decide() loops over the segments; neighbours that share 'to' and size leave as one mmsghdr in
// send_queue(). Nothing else changes.
#include "platform/udp.h"

#include "sockaddr.h"

#include <assert.h>
#include <errno.h>
#include <netinet/ip.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    BURST = 64,
    DATAGRAM_MAX = 2048,     // longer ones are not forwarded: media and DTLS fit an Ethernet frame
    BURSTS_PER_WAKEUP = 4,   // then the other sockets have their turn
    RECEIVE_QUEUE = 1 << 18, // bytes; the kernel may grant less
    // TOS, overflow, and one to come (segment size)
    CONTROL_IN_SIZE = 3 * CMSG_SPACE(sizeof(uint32_t)),
    CONTROL_OUT_SIZE = CMSG_SPACE(sizeof(int)),
};

// One datagram from its arrival to its departure.
struct slot {
    struct slot *next; // in the queue of the socket it leaves from
    struct iovec iov_in, iov_out;
    union sockaddr_any from, to;
    socklen_t to_len;
    uint8_t tos;
    _Alignas(struct cmsghdr) char control_in[CONTROL_IN_SIZE];
    _Alignas(struct cmsghdr) char control_out[CONTROL_OUT_SIZE];
};

// Owned by whoever opened it; belongs to one struct udp.
struct udp_socket {
    struct udp *udp;
    struct event *event;
    void *owner;
    int fd;
    bool v6;
    uint32_t overflow;         // the kernel's count when last read
    struct slot *first, *last; // queued in this burst; empty between bursts
    struct udp_socket *next;   // in udp->sending
};

struct udp {
    struct event_base *base;
    struct udp_handler handler;
    struct counters *counters;
    unsigned sockets;
    struct udp_socket *reading; // whose wake-up this is; NULL once it was closed
    struct udp_socket *sending, **sending_end;
    struct mmsghdr in[BURST], out[BURST];
    struct slot slot[BURST];
    uint8_t data[BURST][DATAGRAM_MAX];
};

usec_t usec_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (usec_t)t.tv_sec * USEC_PER_SEC + (usec_t)t.tv_nsec / 1000;
}

// Makes a slot ready to receive; the kernel overwrites the lengths each time.
static void slot_prepare(struct udp *udp, unsigned i)
{
    struct slot *slot = &udp->slot[i];
    slot->iov_in = (struct iovec){.iov_base = udp->data[i], .iov_len = DATAGRAM_MAX};
    udp->in[i].msg_hdr = (struct msghdr){
        .msg_name = &slot->from,
        .msg_namelen = sizeof slot->from,
        .msg_iov = &slot->iov_in,
        .msg_iovlen = 1,
        .msg_control = slot->control_in,
        .msg_controllen = sizeof slot->control_in,
    };
}

int udp_new(struct event_base *base, const struct udp_handler *handler, struct counters *counters,
            struct udp **ret_udp)
{
    struct udp *udp = calloc(1, sizeof *udp);
    if (!udp)
        return -ENOMEM;
    udp->base = base;
    udp->handler = *handler;
    udp->counters = counters;
    udp->sending_end = &udp->sending;
    for (unsigned i = 0; i < BURST; i++)
        slot_prepare(udp, i);
    *ret_udp = udp;
    return 0;
}

void udp_free(struct udp *udp)
{
    if (!udp)
        return;
    assert(udp->sockets == 0);
    free(udp);
}

// The kernel's drop count is a running total of 32 bits, and comes only with a datagram.
static void note_overflow(struct udp_socket *socket, uint32_t total)
{
    counter_add(socket->udp->counters, COUNTER_DROP_OVERFLOW, (uint32_t)(total - socket->overflow));
    socket->overflow = total;
}

static void read_control(struct udp_socket *socket, struct msghdr *msg, uint8_t *ret_tos)
{
    *ret_tos = 0;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
        if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_TOS) {
            memcpy(ret_tos, CMSG_DATA(c), 1);
        } else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_TCLASS) {
            int tclass;
            memcpy(&tclass, CMSG_DATA(c), sizeof tclass);
            *ret_tos = (uint8_t)tclass;
        } else if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SO_RXQ_OVFL) {
            uint32_t total;
            memcpy(&total, CMSG_DATA(c), sizeof total);
            note_overflow(socket, total);
        }
    }
}

// RFC 3168 section 5: the ECN field is the low two bits of the octet and travels with the DSCP.
// A TOS of 0 is what the socket sends by itself.
static void write_control(const struct udp_socket *socket, uint8_t tos,
                          char control[CONTROL_OUT_SIZE], struct msghdr *msg)
{
    if (tos == 0)
        return;
    memset(control, 0, CONTROL_OUT_SIZE);
    msg->msg_control = control;
    msg->msg_controllen = CONTROL_OUT_SIZE;
    struct cmsghdr *c = CMSG_FIRSTHDR(msg);
    c->cmsg_level = socket->v6 ? IPPROTO_IPV6 : IPPROTO_IP;
    c->cmsg_type = socket->v6 ? IPV6_TCLASS : IP_TOS;
    c->cmsg_len = CMSG_LEN(sizeof(int));
    int value = tos;
    memcpy(CMSG_DATA(c), &value, sizeof value);
}

static void enqueue(struct udp *udp, struct udp_socket *out, struct slot *slot)
{
    slot->next = NULL;
    if (out->last) {
        out->last->next = slot;
    } else {
        out->first = slot;
        out->next = NULL;
        *udp->sending_end = out;
        udp->sending_end = &out->next;
    }
    out->last = slot;
}

static void decide(struct udp_socket *socket, unsigned i, usec_t now)
{
    struct udp *udp = socket->udp;
    struct slot *slot = &udp->slot[i];
    struct msghdr *msg = &udp->in[i].msg_hdr;

    read_control(socket, msg, &slot->tos);
    if (msg->msg_flags & MSG_TRUNC) {
        counter_add(udp->counters, COUNTER_DROP_TRUNCATED, 1);
        return;
    }
    struct udp_datagram datagram = {
        .data = udp->data[i],
        .len = udp->in[i].msg_len,
        .from = addr_from_sockaddr(&slot->from),
        .tos = slot->tos,
    };
    struct addr to;
    struct udp_socket *out =
        udp->handler.datagram(udp->handler.ctx, socket->owner, &datagram, &to, now);
    if (!out)
        return;
    assert(out->udp == udp);
    slot->to_len = sockaddr_from_addr(&to, &slot->to);
    slot->iov_out = (struct iovec){.iov_base = datagram.data, .iov_len = datagram.len};
    enqueue(udp, out, slot);
}

static unsigned build_out(struct udp_socket *socket)
{
    struct udp *udp = socket->udp;
    unsigned count = 0;
    for (struct slot *slot = socket->first; slot; slot = slot->next) {
        struct msghdr *msg = &udp->out[count++].msg_hdr;
        *msg = (struct msghdr){
            .msg_name = &slot->to,
            .msg_namelen = slot->to_len,
            .msg_iov = &slot->iov_out,
            .msg_iovlen = 1,
        };
        write_control(socket, slot->tos, slot->control_out, msg);
    }
    socket->first = socket->last = NULL;
    return count;
}

// sendmmsg() stops before the first datagram that fails and tells why only when called with it in
// front: that one is dropped, whatever the reason (no route, port 0, a full queue, ...), and the
// rest goes on.
static void send_queue(struct udp_socket *socket)
{
    struct udp *udp = socket->udp;
    unsigned count = build_out(socket);
    uint64_t sent = 0, bytes = 0, failed = 0;
    for (unsigned done = 0; done < count;) {
        int n = sendmmsg(socket->fd, udp->out + done, count - done, MSG_DONTWAIT);
        if (n <= 0) {
            failed++;
            done++;
            continue;
        }
        for (unsigned end = done + (unsigned)n; done < end; done++)
            bytes += udp->out[done].msg_len;
        sent += (unsigned)n;
    }
    counter_add(udp->counters, COUNTER_PACKETS_OUT, sent);
    counter_add(udp->counters, COUNTER_BYTES_OUT, bytes);
    if (failed)
        counter_add(udp->counters, COUNTER_DROP_SEND_ERROR, failed);
}

static void send_all(struct udp *udp)
{
    while (udp->sending) {
        struct udp_socket *socket = udp->sending;
        udp->sending = socket->next;
        send_queue(socket);
    }
    udp->sending_end = &udp->sending;
}

// Returns true when more is likely to wait.
static bool handle_burst(struct udp *udp, struct udp_socket *socket, usec_t now)
{
    int n = recvmmsg(socket->fd, udp->in, BURST, MSG_DONTWAIT, NULL);
    // An error here is one that ICMP left behind, and reading it cleared it; datagrams may wait
    // behind it.
    if (n < 0)
        return errno != EAGAIN;
    unsigned count = (unsigned)n;
    uint64_t bytes = 0;
    for (unsigned i = 0; i < count; i++) {
        bytes += udp->in[i].msg_len;
        decide(socket, i, now);
        slot_prepare(udp, i);
    }
    counter_add(udp->counters, COUNTER_PACKETS_IN, count);
    counter_add(udp->counters, COUNTER_BYTES_IN, bytes);
    send_all(udp);
    if (udp->handler.burst_done)
        udp->handler.burst_done(udp->handler.ctx, now);
    return count == BURST;
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct udp_socket *socket = arg;
    struct udp *udp = socket->udp;
    usec_t start = usec_now(), now = start;
    udp->reading = socket;
    for (int i = 0; i < BURSTS_PER_WAKEUP; i++) {
        bool more = handle_burst(udp, socket, now);
        now = usec_now();
        if (!more || !udp->reading)
            break;
    }
    udp->reading = NULL;
    counter_add(udp->counters, COUNTER_WORKER_WAKEUPS, 1);
    counter_add(udp->counters, COUNTER_WORKER_BUSY_USEC, now - start);
}

// Fragmenting beats losing: the relay cannot tell a sender its path MTU, so DF is never set.
// All of this improves a socket that would work without it, so a refusal is no error.
static void set_options(int fd, bool v6)
{
    static const struct {
        bool v4, v6;
        int level, name, value;
    } option[] = {
        {true, true, SOL_SOCKET, SO_RCVBUF, RECEIVE_QUEUE},
        {true, true, SOL_SOCKET, SO_RXQ_OVFL, 1},
        {true, false, IPPROTO_IP, IP_RECVTOS, 1},
        {true, false, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DONT},
        {false, true, IPPROTO_IPV6, IPV6_RECVTCLASS, 1},
        {false, true, IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_DONT},
    };
    for (size_t i = 0; i < sizeof option / sizeof *option; i++)
        if (v6 ? option[i].v6 : option[i].v4)
            (void)setsockopt(fd, option[i].level, option[i].name, &option[i].value, sizeof(int));
}

// Returns a descriptor or -errno.
static int open_bound(const struct addr *local)
{
    union sockaddr_any sa;
    socklen_t sa_len = sockaddr_from_addr(local, &sa);
    if (sa_len == 0 || local->port == 0)
        return -EINVAL;
    bool v6 = local->family == FAMILY_V6;
    int fd = socket(sa.sa.sa_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    set_options(fd, v6);
    int on = 1;
    if ((v6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on) < 0) ||
        bind(fd, &sa.sa, sa_len) < 0) {
        int error = -errno;
        close(fd);
        return error;
    }
    return fd;
}

int udp_open(struct udp *udp, const struct addr *local, void *owner, struct udp_socket **ret_socket)
{
    int fd = open_bound(local);
    if (fd < 0)
        return fd;
    struct udp_socket *socket = calloc(1, sizeof *socket);
    struct event *event =
        socket ? event_new(udp->base, fd, EV_READ | EV_PERSIST, on_readable, socket) : NULL;
    if (!event || event_add(event, NULL) < 0) {
        if (event)
            event_free(event);
        free(socket);
        close(fd);
        return -ENOMEM;
    }
    socket->udp = udp;
    socket->event = event;
    socket->owner = owner;
    socket->fd = fd;
    socket->v6 = local->family == FAMILY_V6;
    udp->sockets++;
    *ret_socket = socket;
    return 0;
}

void udp_close(struct udp_socket *socket)
{
    if (!socket)
        return;
    struct udp *udp = socket->udp;
    assert(!socket->first && !udp->sending); // not from inside 'datagram'
    if (udp->reading == socket)
        udp->reading = NULL;
    udp->sockets--;
    event_free(socket->event);
    close(socket->fd);
    free(socket);
}

int udp_send(struct udp_socket *socket, const struct addr *to, const uint8_t *data, size_t len,
             uint8_t tos)
{
    union sockaddr_any sa;
    socklen_t sa_len = sockaddr_from_addr(to, &sa);
    if (sa_len == 0)
        return -EDESTADDRREQ;
    // sendmsg() does not write through the iovec; the union drops const without a cast.
    union {
        const uint8_t *in;
        void *base;
    } payload = {.in = data};
    struct iovec iov = {.iov_base = payload.base, .iov_len = len};
    _Alignas(struct cmsghdr) char control[CONTROL_OUT_SIZE];
    struct msghdr msg = {.msg_name = &sa, .msg_namelen = sa_len, .msg_iov = &iov, .msg_iovlen = 1};
    write_control(socket, tos, control, &msg);
    return sendmsg(socket->fd, &msg, MSG_DONTWAIT) < 0 ? -errno : 0;
}
