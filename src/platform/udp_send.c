// SPDX-License-Identifier: ISC
// Sending. What waits on a socket leaves with one sendmmsg(). Neighbours of one size to one
// destination are one message of it: the kernel takes it apart (UDP_SEGMENT) after one walk through
// its stack for all of them. Where it refuses (segments longer than the path takes, a device
// without checksums), they go one by one, and the socket does not try such a size again.
#include "udp_internal.h"

#include <assert.h>
#include <errno.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <string.h>

// ---- queues

void udp_enqueue(struct udp_socket *socket, struct departure *departure)
{
    struct udp *udp = socket->udp;
    udp->departures++;
    departure->next = NULL;
    if (socket->last) {
        socket->last->next = departure;
    } else {
        socket->first = departure;
        socket->next = NULL;
        *udp->sending_end = socket;
        udp->sending_end = &socket->next;
    }
    socket->last = departure;
}

// ---- what goes with a message

static void add_control(struct msghdr *msg, int level, int type, const void *value, size_t len)
{
    struct cmsghdr *c = (struct cmsghdr *)(void *)((char *)msg->msg_control + msg->msg_controllen);
    c->cmsg_level = level;
    c->cmsg_type = type;
    c->cmsg_len = CMSG_LEN(len);
    memcpy(CMSG_DATA(c), value, len);
    msg->msg_controllen += CMSG_SPACE(len);
}

// RFC 3168 section 5: the ECN field is the low two bits of the octet and travels with the DSCP.
// A TOS of 0 is what the socket sends by itself.
static void write_control(const struct udp_socket *socket, const struct departure *d,
                          unsigned segments, char control[UDP_CONTROL_OUT], struct msghdr *msg)
{
    int tos = d->tos, on = 1;
    uint16_t segment = (uint16_t)d->len;
    msg->msg_control = control;
    msg->msg_controllen = 0;
    if (tos)
        add_control(msg, socket->v6 ? IPPROTO_IPV6 : IPPROTO_IP, socket->v6 ? IPV6_TCLASS : IP_TOS,
                    &tos, sizeof tos);
    if (d->dont_fragment && socket->v6)
        add_control(msg, IPPROTO_IPV6, IPV6_DONTFRAG, &on, sizeof on);
    if (segments > 1)
        add_control(msg, SOL_UDP, UDP_SEGMENT, &segment, sizeof segment);
}

// Only IPv6 can say it per datagram. An IPv4 socket stays as it was last wanted, so that it is
// switched only when datagrams of both kinds leave from it.
static void set_df(struct udp_socket *socket, bool dont_fragment)
{
    if (socket->v6 || socket->sets_df == dont_fragment)
        return;
    int value = dont_fragment ? IP_PMTUDISC_DO : udp_idle_mtu_discovery(socket);
    if (setsockopt(socket->fd, IPPROTO_IP, IP_MTU_DISCOVER, &value, sizeof value) == 0)
        socket->sets_df = dont_fragment;
}

// ---- messages

// Whether 'next' may leave behind 'first' and what else is in its run, as one message.
static bool joins(const struct departure *first, const struct departure *next, size_t bytes)
{
    return next->len > 0 && next->len <= first->len && bytes + next->len <= UDP_MESSAGE_MAX &&
           next->tos == first->tos && next->dont_fragment == first->dont_fragment &&
           addr_equal(&next->to, &first->to);
}

// A narrow way of one client must not cost the others of this socket their trains.
static bool may_join(const struct udp_socket *socket, const struct departure *d)
{
    return d->len <= socket->segment_max ||
           (socket->narrow.family != FAMILY_NONE && !addr_equal(&d->to, &socket->narrow));
}

// Returns the first departure behind the run.
static struct departure *find_run(const struct udp_socket *socket, struct departure *first,
                                  unsigned *ret_segments)
{
    struct departure *d = first->next;
    size_t bytes = first->len;
    unsigned segments = 1;
    bool open = first->len > 0 && may_join(socket, first);
    while (open && d && segments < UDP_SEGMENTS_MAX && joins(first, d, bytes)) {
        open = d->len == first->len; // a shorter one is the last
        bytes += d->len;
        segments++;
        d = d->next;
    }
    *ret_segments = segments;
    return d;
}

// Puts the parts of a departure behind those of its message so far, [first, end). What lies behind
// each other in memory, as in a train that nobody changed, is one. Returns the new end.
static struct iovec *put_parts(struct iovec *first, struct iovec *end, const struct departure *d)
{
    for (unsigned i = 0; i < PARTS; i++) {
        const struct iovec *part = &d->part[i];
        if (part->iov_len == 0)
            continue;
        if (end > first && (char *)end[-1].iov_base + end[-1].iov_len == part->iov_base)
            end[-1].iov_len += part->iov_len;
        else
            *end++ = *part;
    }
    return end;
}

// Makes messages of a queue. Returns how many.
static unsigned build(struct udp_socket *socket, struct departure *d)
{
    struct udp *udp = socket->udp;
    struct iovec *iov = udp->iov;
    unsigned count = 0;
    for (struct departure *end; d; d = end) {
        struct message *message = &udp->message[count];
        struct msghdr *msg = &udp->out[count++].msg_hdr;
        message->first = d;
        message->dont_fragment = d->dont_fragment;
        end = find_run(socket, d, &message->segments);
        *msg = (struct msghdr){.msg_name = &message->to,
                               .msg_namelen = sockaddr_from_addr(&d->to, &message->to),
                               .msg_iov = iov};
        write_control(socket, d, message->segments, message->control, msg);
        for (; d != end; d = d->next)
            iov = put_parts(msg->msg_iov, iov, d);
        msg->msg_iovlen = (size_t)(iov - msg->msg_iov);
    }
    return count;
}

// ---- sending

// As sendmmsg(), which costs more for one; and a header of its own costs more than none.
static int send_messages(int fd, struct mmsghdr *msg, unsigned count)
{
    if (count > 1)
        return sendmmsg(fd, msg, count, MSG_DONTWAIT);
    const struct msghdr *m = &msg->msg_hdr;
    ssize_t len = m->msg_iovlen == 1 && m->msg_controllen == 0
                      ? sendto(fd, m->msg_iov->iov_base, m->msg_iov->iov_len, MSG_DONTWAIT,
                               m->msg_name, m->msg_namelen)
                      : sendmsg(fd, m, MSG_DONTWAIT);
    if (len < 0)
        return -1;
    msg->msg_len = (unsigned)len;
    return 1;
}

// An error that waits on a socket that reports ICMP is handed to whatever is sent next, which it
// does not concern; sending again is sending for the first time.
static int send_some(struct udp_socket *socket, struct mmsghdr *msg, unsigned count)
{
    int n = send_messages(socket->fd, msg, count);
    if (n >= 0 || !socket->reports_icmp)
        return n;
    n = send_messages(socket->fd, msg, count);
    if (n < 0 && errno == EMSGSIZE) {
        const union sockaddr_any *to = msg->msg_hdr.msg_name;
        socket->too_long_for = addr_from_sockaddr(to);
        errno = EMSGSIZE;
    }
    return n;
}

struct sums {
    uint64_t sent, bytes, joined;
};

static void note_sent(const struct udp *udp, unsigned first, unsigned count, struct sums *sums)
{
    for (unsigned i = first; i < first + count; i++) {
        sums->bytes += udp->out[i].msg_len;
        sums->sent += udp->message[i].segments;
        if (udp->message[i].segments > 1)
            sums->joined += udp->message[i].segments;
    }
}

static void note_unsent(const struct udp *udp, const struct message *message)
{
    const struct departure *d = message->first;
    for (unsigned i = 0; i < message->segments; i++, d = d->next)
        counter_add(udp->counters, d->unsent, 1);
}

// Sends the messages that were built, up to a run that the kernel does not take as one. Returns
// the departure that begins it, or NULL.
//
// sendmmsg() stops before the first message that fails and tells why only when called with it in
// front: that one is dropped, whatever the reason (no route, port 0, a full queue, ...), and the
// rest goes on.
static struct departure *send_built(struct udp_socket *socket, unsigned count, struct sums *sums)
{
    struct udp *udp = socket->udp;
    for (unsigned done = 0; done < count;) {
        const struct message *message = &udp->message[done];
        unsigned run = done + 1;
        while (run < count && udp->message[run].dont_fragment == message->dont_fragment)
            run++;
        set_df(socket, message->dont_fragment);
        int n = send_some(socket, udp->out + done, run - done);
        if (n > 0) {
            note_sent(udp, done, (unsigned)n, sums);
            done += (unsigned)n;
            continue;
        }
        if (message->segments > 1 && (errno == EINVAL || errno == EMSGSIZE || errno == EIO))
            return message->first;
        note_unsent(udp, message);
        done++;
    }
    return NULL;
}

// Whether the size of a run was what the kernel refused, or something that it says of each alone.
static bool goes_alone(struct udp_socket *socket, struct departure *d, struct sums *sums)
{
    struct departure *rest = d->next;
    uint64_t sent = sums->sent;
    d->next = NULL;
    (void)send_built(socket, build(socket, d), sums);
    d->next = rest;
    return sums->sent > sent;
}

// One narrow way is remembered. Where there are two, the lesser holds for all: they would be tried
// in turns for ever.
static void note_narrow(struct udp_socket *socket, const struct departure *refused, bool anywhere)
{
    uint16_t max = (uint16_t)(refused->len - 1);
    bool first = socket->segment_max == UINT16_MAX;

    if (max < socket->segment_max)
        socket->segment_max = max;
    if (first && !anywhere)
        socket->narrow = refused->to;
    else if (!addr_equal(&socket->narrow, &refused->to))
        socket->narrow = (struct addr){0};
}

static void send_queue(struct udp_socket *socket)
{
    struct counters *counters = socket->udp->counters;
    struct departure *refused = socket->first;
    struct sums sums = {0};
    socket->first = socket->last = NULL;
    while ((refused = send_built(socket, build(socket, refused), &sums))) {
        bool device = errno == EIO; // has no checksums for segments, wherever they go
        if (goes_alone(socket, refused, &sums))
            note_narrow(socket, refused, device);
        refused = refused->next;
    }
    counter_add(counters, COUNTER_PACKETS_OUT, sums.sent);
    counter_add(counters, COUNTER_BYTES_OUT, sums.bytes);
    if (sums.joined)
        counter_add(counters, COUNTER_JOINED_OUT, sums.joined);
}

void udp_flush(struct udp *udp)
{
    while (udp->sending) {
        struct udp_socket *socket = udp->sending;
        udp->sending = socket->next;
        send_queue(socket);
    }
    udp->sending_end = &udp->sending;
    udp->departures = 0;
}

// ---- at once

static int send_one(struct udp_socket *socket, struct departure *d)
{
    struct udp *udp = socket->udp;
    if (d->to.family == FAMILY_NONE)
        return -EDESTADDRREQ;
    (void)build(socket, d); // nothing is between building and sending now
    set_df(socket, d->dont_fragment);
    if (send_some(socket, udp->out, 1) < 0)
        return -errno;
    counter_add(udp->counters, COUNTER_PACKETS_OUT, 1);
    counter_add(udp->counters, COUNTER_BYTES_OUT, d->len);
    return 0;
}

// Sending does not write through the iovec; the union drops const without a cast.
static int send_data(struct udp_socket *socket, const struct addr *to, const uint8_t *data,
                     size_t len, uint8_t tos, bool dont_fragment)
{
    union {
        const uint8_t *in;
        void *base;
    } payload = {.in = data};
    struct departure d;
    d.next = NULL;
    d.part[PART_HEAD].iov_len = d.part[PART_TAIL].iov_len = 0;
    d.part[PART_BODY] = (struct iovec){.iov_base = payload.base, .iov_len = len};
    d.to = *to;
    d.len = (uint32_t)len;
    d.tos = tos;
    d.dont_fragment = dont_fragment;
    return send_one(socket, &d);
}

int udp_send(struct udp_socket *socket, const struct addr *to, const uint8_t *data, size_t len,
             uint8_t tos)
{
    return send_data(socket, to, data, len, tos, false);
}

int udp_send_whole(struct udp_socket *socket, const struct addr *to, const uint8_t *data,
                   size_t len, uint8_t tos)
{
    return send_data(socket, to, data, len, tos, true);
}
