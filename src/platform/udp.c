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
#include <linux/icmp.h>
#include <linux/icmpv6.h>
#include <netinet/ip.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <linux/errqueue.h> // wants <time.h> before it

enum {
    BURST = 64,
    DATAGRAM_MAX = 2048,   // longer ones are not forwarded: media and DTLS fit an Ethernet frame
    BURSTS_PER_WAKEUP = 4, // then the other sockets have their turn
    // Bytes; the kernel may grant less. A listener has what all its clients send while its thread
    // does not run.
    RECEIVE_QUEUE = 1 << 18,
    LISTENER_QUEUE = 1 << 22,
    // TOS, overflow, and one to come (segment size)
    CONTROL_IN_SIZE = 3 * CMSG_SPACE(sizeof(uint32_t)),
    CONTROL_OUT_SIZE = 2 * CMSG_SPACE(sizeof(int)), // TOS, DF
    ERRORS_PER_WAKEUP = 64,
};

// One datagram from its arrival to its departure.
struct slot {
    struct slot *next; // in the queue of the socket it leaves from
    struct iovec iov_in, iov_out;
    union sockaddr_any from, to;
    socklen_t to_len;
    uint8_t tos;
    bool dont_fragment;
    _Alignas(struct cmsghdr) char control_in[CONTROL_IN_SIZE];
    _Alignas(struct cmsghdr) char control_out[CONTROL_OUT_SIZE];
};

// Owned by whoever opened it; belongs to one struct udp.
struct udp_socket {
    struct udp *udp;
    struct event *event;
    const struct udp_reader *reader;
    void *owner;
    struct addr local;
    int fd;
    bool v6;
    bool reports_icmp;
    bool sets_df;              // IPv4: what the socket does now; IPv6 says it with each datagram
    struct addr too_long_for;  // the last EMSGSIZE, whose report for IPv4 lacks the port
    uint32_t overflow;         // the kernel's count when last read
    struct slot *first, *last; // queued in this burst; empty between bursts
    struct udp_socket *next;   // in udp->sending
};

struct udp {
    struct event_base *base;
    udp_burst_done burst_done;
    void *ctx; // of burst_done
    struct counters *counters;
    unsigned sockets;
    struct udp_socket *reading; // whose wake-up this is; NULL once it was closed
    struct udp_socket *sending, **sending_end;
    struct mmsghdr in[BURST], out[BURST];
    bool out_df[BURST]; // what out[] asks of the socket
    struct slot slot[BURST];
    uint8_t buffer[BURST][UDP_HEADROOM + DATAGRAM_MAX + UDP_TAILROOM];
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
    slot->iov_in =
        (struct iovec){.iov_base = udp->buffer[i] + UDP_HEADROOM, .iov_len = DATAGRAM_MAX};
    udp->in[i].msg_hdr = (struct msghdr){
        .msg_name = &slot->from,
        .msg_namelen = sizeof slot->from,
        .msg_iov = &slot->iov_in,
        .msg_iovlen = 1,
        .msg_control = slot->control_in,
        .msg_controllen = sizeof slot->control_in,
    };
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

static struct cmsghdr *add_control(struct msghdr *msg, struct cmsghdr *last, int level, int type,
                                   int value)
{
    struct cmsghdr *c = last ? CMSG_NXTHDR(msg, last) : CMSG_FIRSTHDR(msg);
    c->cmsg_level = level;
    c->cmsg_type = type;
    c->cmsg_len = CMSG_LEN(sizeof value);
    memcpy(CMSG_DATA(c), &value, sizeof value);
    return c;
}

// RFC 3168 section 5: the ECN field is the low two bits of the octet and travels with the DSCP.
// A TOS of 0 is what the socket sends by itself.
static void write_control(const struct udp_socket *socket, uint8_t tos, bool dont_fragment,
                          char control[CONTROL_OUT_SIZE], struct msghdr *msg)
{
    bool df = dont_fragment && socket->v6;
    if (tos == 0 && !df)
        return;
    struct cmsghdr *last = NULL;
    memset(control, 0, CONTROL_OUT_SIZE);
    msg->msg_control = control;
    msg->msg_controllen = CONTROL_OUT_SIZE;
    if (tos)
        last = add_control(msg, last, socket->v6 ? IPPROTO_IPV6 : IPPROTO_IP,
                           socket->v6 ? IPV6_TCLASS : IP_TOS, tos);
    if (df)
        last = add_control(msg, last, IPPROTO_IPV6, IPV6_DONTFRAG, 1);
    msg->msg_controllen = (size_t)((char *)last - control) + CMSG_SPACE(sizeof(int));
}

// What an IPv4 socket does with datagrams longer than the path takes. A socket that reports ICMP
// must not say "DONT", which would drop the report of a datagram sent with DF before; "OMIT" does
// the same on the wire. For IPv6, which has no DF, "OMIT" would drop the report and "WANT" not.
static int idle_mtu_discovery(const struct udp_socket *socket)
{
    if (!socket->reports_icmp)
        return IP_PMTUDISC_DONT;
    return socket->v6 ? IPV6_PMTUDISC_WANT : IP_PMTUDISC_OMIT;
}

// Only IPv6 can say it per datagram. An IPv4 socket stays as it was last wanted, so that it is
// switched only when datagrams of both kinds leave from it.
static void set_df(struct udp_socket *socket, bool dont_fragment)
{
    if (socket->v6 || socket->sets_df == dont_fragment)
        return;
    int value = dont_fragment ? IP_PMTUDISC_DO : idle_mtu_discovery(socket);
    if (setsockopt(socket->fd, IPPROTO_IP, IP_MTU_DISCOVER, &value, sizeof value) == 0)
        socket->sets_df = dont_fragment;
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
        .data = udp->buffer[i] + UDP_HEADROOM,
        .len = udp->in[i].msg_len,
        .from = addr_from_sockaddr(&slot->from),
        .tos = slot->tos,
    };
    struct addr to;
    struct udp_socket *out =
        socket->reader->datagram(socket->reader->ctx, socket->owner, &datagram, &to, now);
    if (!out)
        return;
    assert(out->udp == udp);
    assert(datagram.data >= udp->buffer[i] &&
           datagram.data + datagram.len <= udp->buffer[i] + sizeof udp->buffer[i]);
    slot->tos = datagram.tos;
    slot->dont_fragment = datagram.dont_fragment;
    slot->to_len = sockaddr_from_addr(&to, &slot->to);
    slot->iov_out = (struct iovec){.iov_base = datagram.data, .iov_len = datagram.len};
    enqueue(udp, out, slot);
}

static unsigned build_out(struct udp_socket *socket)
{
    struct udp *udp = socket->udp;
    unsigned count = 0;
    for (struct slot *slot = socket->first; slot; slot = slot->next) {
        udp->out_df[count] = slot->dont_fragment;
        struct msghdr *msg = &udp->out[count++].msg_hdr;
        *msg = (struct msghdr){
            .msg_name = &slot->to,
            .msg_namelen = slot->to_len,
            .msg_iov = &slot->iov_out,
            .msg_iovlen = 1,
        };
        write_control(socket, slot->tos, slot->dont_fragment, slot->control_out, msg);
    }
    socket->first = socket->last = NULL;
    return count;
}

// An error that waits on a socket that reports ICMP is handed to whatever is sent next, which it
// does not concern; sending again is sending for the first time.
static int send_some(struct udp_socket *socket, struct mmsghdr *msg, unsigned count)
{
    int n = sendmmsg(socket->fd, msg, count, MSG_DONTWAIT);
    if (n >= 0 || !socket->reports_icmp)
        return n;
    n = sendmmsg(socket->fd, msg, count, MSG_DONTWAIT);
    if (n < 0 && errno == EMSGSIZE) {
        const union sockaddr_any *to = msg->msg_hdr.msg_name;
        socket->too_long_for = addr_from_sockaddr(to);
        errno = EMSGSIZE;
    }
    return n;
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
        unsigned run = done + 1;
        while (run < count && udp->out_df[run] == udp->out_df[done])
            run++;
        set_df(socket, udp->out_df[done]);
        int n = send_some(socket, udp->out + done, run - done);
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

// This host refuses a datagram that is too long with EMSGSIZE; to its sender that is the same news
// as from the first router (RFC 1191 section 4, RFC 8201 section 4).
static bool read_error(const struct udp_socket *socket, const struct addr *to,
                       const struct sock_extended_err *error, struct udp_icmp *ret_icmp)
{
    struct udp_icmp icmp = {.to = *to, .type = error->ee_type, .code = error->ee_code};
    bool v6 = to->family == FAMILY_V6;
    if (error->ee_origin == SO_EE_ORIGIN_LOCAL && error->ee_errno == EMSGSIZE) {
        icmp.type = v6 ? ICMPV6_PKT_TOOBIG : ICMP_DEST_UNREACH;
        icmp.code = v6 ? 0 : ICMP_FRAG_NEEDED;
        if (to->port == 0 && addr_equal_ip(to, &socket->too_long_for))
            icmp.to.port = socket->too_long_for.port;
    } else if (error->ee_origin != SO_EE_ORIGIN_ICMP && error->ee_origin != SO_EE_ORIGIN_ICMP6) {
        return false;
    }
    if (v6 ? icmp.type == ICMPV6_PKT_TOOBIG
           : icmp.type == ICMP_DEST_UNREACH && icmp.code == ICMP_FRAG_NEEDED)
        icmp.mtu = error->ee_info;
    *ret_icmp = icmp;
    return true;
}

static bool handle_error(struct udp_socket *socket, usec_t now)
{
    union sockaddr_any to = {.sa.sa_family = AF_UNSPEC};
    _Alignas(struct cmsghdr) char control[256];
    struct msghdr msg = {.msg_name = &to,
                         .msg_namelen = sizeof to,
                         .msg_control = control,
                         .msg_controllen = sizeof control};
    if (recvmsg(socket->fd, &msg, MSG_ERRQUEUE | MSG_DONTWAIT) < 0)
        return false;
    const struct udp_reader *reader = socket->reader;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c; c = CMSG_NXTHDR(&msg, c)) {
        struct sock_extended_err error;
        struct addr addr = addr_from_sockaddr(&to);
        struct udp_icmp icmp;
        if (!(c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_RECVERR) &&
            !(c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_RECVERR))
            continue;
        memcpy(&error, CMSG_DATA(c), sizeof error);
        if (reader->icmp && read_error(socket, &addr, &error, &icmp))
            reader->icmp(reader->ctx, socket->owner, &icmp, now);
    }
    return true;
}

// Until the queue of errors is empty the socket stays readable, so what is left is read next time.
static void handle_errors(struct udp_socket *socket, usec_t now)
{
    struct udp *udp = socket->udp;
    bool any = false;
    for (int i = 0; i < ERRORS_PER_WAKEUP && handle_error(socket, now); i++)
        any = true;
    if (any && udp->burst_done)
        udp->burst_done(udp->ctx, now);
}

// Returns true when more is likely to wait.
static bool handle_burst(struct udp *udp, struct udp_socket *socket, usec_t now)
{
    int n = recvmmsg(socket->fd, udp->in, BURST, MSG_DONTWAIT, NULL);
    // An error here is one that ICMP left behind, and reading it cleared it; datagrams may wait
    // behind it.
    if (n < 0) {
        bool more = errno != EAGAIN;
        if (socket->reports_icmp)
            handle_errors(socket, now);
        return more;
    }
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
    if (udp->burst_done)
        udp->burst_done(udp->ctx, now);
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
    int fd = open_bound(local, shared);
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
    socket->reader = reader;
    socket->owner = owner;
    socket->local = *local;
    socket->fd = fd;
    socket->v6 = local->family == FAMILY_V6;
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
    int value = idle_mtu_discovery(socket);
    socket->sets_df = false;
    (void)setsockopt(socket->fd, level, socket->v6 ? IPV6_MTU_DISCOVER : IP_MTU_DISCOVER, &value,
                     sizeof value);
    return 0;
}

void udp_close(struct udp_socket *socket)
{
    if (!socket)
        return;
    struct udp *udp = socket->udp;
    assert(!socket->first); // nothing is queued that would be lost
    if (udp->reading == socket)
        udp->reading = NULL;
    udp->sockets--;
    event_free(socket->event);
    close(socket->fd);
    free(socket);
}

static int send_one(struct udp_socket *socket, const struct addr *to, struct iovec *payload,
                    uint8_t tos, bool dont_fragment)
{
    union sockaddr_any sa;
    socklen_t sa_len = sockaddr_from_addr(to, &sa);
    if (sa_len == 0)
        return -EDESTADDRREQ;
    _Alignas(struct cmsghdr) char control[CONTROL_OUT_SIZE];
    struct mmsghdr msg = {
        .msg_hdr = {.msg_name = &sa, .msg_namelen = sa_len, .msg_iov = payload, .msg_iovlen = 1}};
    write_control(socket, tos, dont_fragment, control, &msg.msg_hdr);
    set_df(socket, dont_fragment);
    if (send_some(socket, &msg, 1) < 0)
        return -errno;
    counter_add(socket->udp->counters, COUNTER_PACKETS_OUT, 1);
    counter_add(socket->udp->counters, COUNTER_BYTES_OUT, payload->iov_len);
    return 0;
}

// Sending does not write through the iovec; the union drops const without a cast.
static struct iovec payload_of(const uint8_t *data, size_t len)
{
    union {
        const uint8_t *in;
        void *base;
    } payload = {.in = data};
    return (struct iovec){.iov_base = payload.base, .iov_len = len};
}

int udp_send(struct udp_socket *socket, const struct addr *to, const uint8_t *data, size_t len,
             uint8_t tos)
{
    struct iovec payload = payload_of(data, len);
    return send_one(socket, to, &payload, tos, false);
}

int udp_send_whole(struct udp_socket *socket, const struct addr *to, const uint8_t *data,
                   size_t len, uint8_t tos)
{
    struct iovec payload = payload_of(data, len);
    return send_one(socket, to, &payload, tos, true);
}
