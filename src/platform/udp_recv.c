// SPDX-License-Identifier: ISC
// Receiving: datagrams and trains of them, what the handler says of each, and ICMP errors.
//
// A train (UDP_GRO) is datagrams of one sender and one size in one buffer, the last one perhaps
// shorter. The handler is asked about each, with room around it to write headers into. In a train
// that room is the neighbours' bytes: they are saved before and put back afterwards, and what the
// handler wrote leaves from a place of its own.
#include "udp_internal.h"

#include <assert.h>
#include <errno.h>
#include <linux/icmp.h>
#include <linux/icmpv6.h>
#include <linux/sock_diag.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <string.h>
#include <time.h>

#include <linux/errqueue.h> // wants <time.h> before it

enum { ERRORS_PER_ROUND = 64 };

struct arrival { // what the datagrams of one slot have in common
    struct udp_socket *socket;
    struct addr from;
    uint8_t tos;
    size_t segment; // 0: it is no train
    usec_t now;
};

// The kernel overwrites the lengths each time.
void udp_slot_prepare(struct udp *udp, unsigned index)
{
    struct slot *slot = &udp->slot[index];
    slot->iov =
        (struct iovec){.iov_base = udp->buffer[index] + UDP_HEADROOM, .iov_len = UDP_RECEIVE_MAX};
    udp->in[index].msg_hdr = (struct msghdr){
        .msg_name = &slot->from,
        .msg_namelen = sizeof slot->from,
        .msg_iov = &slot->iov,
        .msg_iovlen = 1,
        .msg_control = slot->control,
        .msg_controllen = sizeof slot->control,
    };
}

// ---- what comes with a datagram

// The kernel's drop count is a running total of 32 bits, and comes only with a datagram.
static void note_overflow(struct udp_socket *socket, uint32_t total)
{
    counter_add(socket->udp->counters, COUNTER_DROP_OVERFLOW, (uint32_t)(total - socket->overflow));
    socket->overflow = total;
}

// False: the kernel does not say.
static bool read_drops(const struct udp_socket *socket, uint32_t *ret_drops)
{
    uint32_t info[SK_MEMINFO_VARS];
    socklen_t len = sizeof info;
    if (getsockopt(socket->fd, SOL_SOCKET, SO_MEMINFO, info, &len) < 0 || len != sizeof info)
        return false;
    *ret_drops = info[SK_MEMINFO_DROPS];
    return true;
}

void udp_note_drops(struct udp_socket *socket)
{
    uint32_t drops;
    if (read_drops(socket, &drops))
        note_overflow(socket, drops);
}

void udp_skip_drops(struct udp_socket *socket)
{
    (void)read_drops(socket, &socket->overflow);
}

static void read_control(struct msghdr *msg, struct arrival *arrival)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
        uint32_t value;
        if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_TOS) {
            arrival->tos = *CMSG_DATA(c);
            continue;
        }
        memcpy(&value, CMSG_DATA(c), sizeof value);
        if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_TCLASS)
            arrival->tos = (uint8_t)value;
        else if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SO_RXQ_OVFL)
            note_overflow(arrival->socket, value);
        else if (c->cmsg_level == SOL_UDP && c->cmsg_type == UDP_GRO)
            arrival->segment = value;
    }
}

// ---- decisions

static void depart(struct udp_socket *out, const struct udp_datagram *datagram,
                   const struct addr *to, struct departure *d)
{
    d->to = *to;
    d->len = (uint32_t)datagram->len;
    d->tos = datagram->tos;
    d->dont_fragment = datagram->dont_fragment;
    d->unsent = datagram->unsent;
    udp_enqueue(out, d);
}

// Afterwards there is a free departure.
static struct udp_socket *ask(const struct arrival *arrival, struct udp_datagram *datagram,
                              struct addr *ret_to)
{
    const struct udp_socket *socket = arrival->socket;
    if (socket->udp->departures == UDP_DEPARTURES)
        udp_flush(socket->udp); // not later: the handler may write over what waits
    datagram->from = arrival->from;
    datagram->tos = arrival->tos;
    return socket->reader->datagram(socket->reader->ctx, socket->owner, datagram, ret_to,
                                    arrival->now);
}

static void decide_single(const struct arrival *arrival, uint8_t *data, size_t len)
{
    struct udp *udp = arrival->socket->udp;
    struct udp_datagram datagram = {.data = data, .len = len, .unsent = COUNTER_DROP_SEND_ERROR};
    struct addr to;
    struct udp_socket *out = ask(arrival, &datagram, &to);
    if (!out)
        return;
    assert(out->udp == udp);
    assert(datagram.data >= data - UDP_HEADROOM &&
           datagram.data + datagram.len <= data + len + UDP_TAILROOM);
    struct departure *d = &udp->departure[udp->departures];
    d->part[PART_HEAD].iov_len = d->part[PART_TAIL].iov_len = 0;
    d->part[PART_BODY] = (struct iovec){.iov_base = datagram.data, .iov_len = datagram.len};
    depart(out, &datagram, &to, d);
}

// What the handler wrote before and behind 'data' is copied out, what it left of it stays.
static void take_apart(const struct udp_datagram *datagram, uint8_t *data, size_t len,
                       struct departure *d)
{
    uint8_t *start = datagram->data, *end = start + datagram->len;
    uint8_t *body = start < data ? data : start, *body_end = end > data + len ? data + len : end;
    size_t head = (size_t)(body - start), tail = (size_t)(end - body_end);
    memcpy(d->head, start, head);
    memcpy(d->tail, body_end, tail);
    d->part[PART_HEAD] = (struct iovec){.iov_base = d->head, .iov_len = head};
    d->part[PART_BODY] = (struct iovec){.iov_base = body, .iov_len = (size_t)(body_end - body)};
    d->part[PART_TAIL] = (struct iovec){.iov_base = d->tail, .iov_len = tail};
}

static void decide_in_train(const struct arrival *arrival, uint8_t *data, size_t len)
{
    struct udp *udp = arrival->socket->udp;
    struct udp_datagram datagram = {.data = data, .len = len, .unsent = COUNTER_DROP_SEND_ERROR};
    struct addr to;
    uint8_t before[UDP_HEADROOM], behind[UDP_TAILROOM];
    memcpy(before, data - sizeof before, sizeof before);
    memcpy(behind, data + len, sizeof behind);
    struct udp_socket *out = ask(arrival, &datagram, &to);
    if (out) {
        assert(out->udp == udp);
        assert(datagram.data >= data - UDP_HEADROOM && datagram.data <= data + len &&
               datagram.data + datagram.len >= data &&
               datagram.data + datagram.len <= data + len + UDP_TAILROOM);
        struct departure *d = &udp->departure[udp->departures];
        take_apart(&datagram, data, len, d);
        depart(out, &datagram, &to, d);
    }
    memcpy(data - sizeof before, before, sizeof before);
    memcpy(data + len, behind, sizeof behind);
}

// Returns how many datagrams it was.
static unsigned decide(struct udp_socket *socket, unsigned index, usec_t now)
{
    struct udp *udp = socket->udp;
    struct msghdr *msg = &udp->in[index].msg_hdr;
    uint8_t *data = udp->buffer[index] + UDP_HEADROOM;
    size_t len = udp->in[index].msg_len;
    struct arrival arrival = {
        .socket = socket, .from = addr_from_sockaddr(&udp->slot[index].from), .now = now};
    read_control(msg, &arrival);
    if (msg->msg_flags & MSG_TRUNC) {
        counter_add(udp->counters, COUNTER_DROP_TRUNCATED, 1);
        return 1;
    }
    if (arrival.segment == 0 || len <= arrival.segment) {
        decide_single(&arrival, data, len);
        return 1;
    }
    unsigned count = 0;
    for (size_t left = len; left > 0; count++) {
        size_t segment = left < arrival.segment ? left : arrival.segment;
        decide_in_train(&arrival, data, segment);
        data += segment;
        left -= segment;
    }
    counter_add(udp->counters, COUNTER_JOINED_IN, count);
    return count;
}

// One is asked for where one is likely, since a look in vain costs more than coming back: the epoll
// says again that there is more. It has said so of a socket that is readable again although no
// round since has seen all that were: where more sockets wait than a round takes, that is long ago.
static unsigned burst_of(struct udp_socket *socket)
{
    struct udp *udp = socket->udp;
    unsigned room = UDP_BURST - udp->slots;
    if ((int32_t)(socket->last_round - udp->last_whole_round) >= 0) // the count wraps within days
        socket->lively = true;
    socket->last_round = udp->round;
    if (!socket->lively && room > 0)
        return 1;
    if (room >= UDP_BURST / 4)
        return room;
    udp_flush(udp);
    udp->slots = 0;
    return UDP_BURST;
}

// As recvmmsg(), which costs more for one.
static int receive_some(int fd, struct mmsghdr *msg, unsigned want)
{
    if (want > 1)
        return recvmmsg(fd, msg, want, MSG_DONTWAIT, NULL);
    ssize_t len = recvmsg(fd, &msg->msg_hdr, MSG_DONTWAIT);
    if (len < 0)
        return -1;
    msg->msg_len = (unsigned)len;
    return 1;
}

unsigned udp_receive(struct udp_socket *socket, usec_t now)
{
    struct udp *udp = socket->udp;
    unsigned want = burst_of(socket), first = udp->slots;
    int n = receive_some(socket->fd, udp->in + first, want);
    // An error here is one that ICMP left behind, and reading it cleared it; if datagrams wait
    // behind it, the epoll will say so.
    if (n <= 0)
        return 0;
    unsigned count = (unsigned)n, datagrams = 0;
    uint64_t bytes = 0;
    udp->slots += count;
    for (unsigned i = first; i < first + count; i++) {
        bytes += udp->in[i].msg_len;
        datagrams += decide(socket, i, now);
        udp_slot_prepare(udp, i);
    }
    udp->taken += datagrams;
    socket->lively = count > 1;
    counter_add(udp->counters, COUNTER_PACKETS_IN, datagrams);
    counter_add(udp->counters, COUNTER_BYTES_IN, bytes);
    return count;
}

// ---- ICMP

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

void udp_read_errors(struct udp_socket *socket, usec_t now)
{
    for (int i = 0; i < ERRORS_PER_ROUND && handle_error(socket, now); i++)
        ;
}
