// SPDX-License-Identifier: ISC
// What the files behind platform/udp.h share. udp.c: sockets and wake-ups; udp_recv.c: receiving,
// the handler's decision about each datagram, ICMP errors; udp_send.c: what leaves, and how.
//
// A wake-up is up to ROUNDS rounds, fewer when it has brought enough. A round takes one burst from
// each socket that is readable, into slots that all sockets of the thread share; the handler
// decides, and what is to be forwarded waits as a departure in the queue of the socket it leaves
// from. When slots or departures are used up, and at the end of the round, all queues are sent
// (udp_flush()), and slots and departures are free again. The payload is never copied.
#pragma once

#include "platform/udp.h"
#include "sockaddr.h"

#include <assert.h>
#include <stdbool.h>
#include <sys/epoll.h>
#include <sys/queue.h>
#include <sys/socket.h>

enum {
    UDP_BURST = 64,          // datagrams, or trains, that are received at once
    UDP_READY_MAX = 64,      // sockets of a round
    UDP_DEPARTURES = 256,    // that wait to be sent
    UDP_SEGMENTS_MAX = 64,   // of one message sent: what every kernel with UDP_SEGMENT takes
    UDP_MESSAGE_MAX = 65507, // bytes, of UDP over IPv4
    UDP_RECEIVE_MAX = 65536, // a train, which is as long as an IP datagram may be
    // Bytes between slots: no two have their first lines in the same set of a cache.
    UDP_STRIDE = UDP_RECEIVE_MAX + 5 * 64,
    UDP_CONTROL_IN = 3 * CMSG_SPACE(sizeof(int)),  // TOS, overflow, segment size
    UDP_CONTROL_OUT = 3 * CMSG_SPACE(sizeof(int)), // TOS, DF, segment size
};

// What one recvmmsg() entry was received into: a datagram, or a train of them.
struct slot {
    struct iovec iov;
    union sockaddr_any from;
    _Alignas(struct cmsghdr) char control[UDP_CONTROL_IN];
};

enum { PART_HEAD, PART_BODY, PART_TAIL, PARTS };

// One datagram that waits to be sent. Its bytes are in the slot it was received in, but for what
// the handler wrote around a datagram in the middle of a train, where its neighbours' bytes are.
struct departure {
    struct departure *next; // in the queue of the socket it leaves from
    struct iovec part[PARTS];
    struct addr to;
    uint32_t len;
    uint8_t tos;
    bool dont_fragment;
    enum counter unsent;
    uint8_t head[UDP_HEADROOM], tail[UDP_TAILROOM];
};

// One message of sendmmsg(): a departure, or a run of them that the kernel takes apart again.
struct message {
    struct departure *first;
    unsigned segments;
    bool dont_fragment;
    union sockaddr_any to;
    _Alignas(struct cmsghdr) char control[UDP_CONTROL_OUT];
};

// Owned by whoever opened it; belongs to one struct udp.
struct udp_socket {
    struct udp *udp;
    LIST_ENTRY(udp_socket) entry; // of udp->all
    const struct udp_reader *reader;
    void *owner;
    struct departure *first, *last; // empty between rounds
    struct udp_socket *next;        // in udp->sending
    int fd;
    uint32_t overflow;    // the kernel's count when last read
    uint32_t last_round;  // in which it was read
    uint16_t segment_max; // longer ones are not sent as one: the kernel has refused it,
    struct addr narrow;   // on the way to here; family NONE: anywhere
    bool lively;          // more than one datagram is likely to wait
    bool v6;
    bool reports_icmp;
    bool sets_df; // IPv4: what the socket does now; IPv6 says it with each datagram
    struct addr local;
    struct addr too_long_for; // the last EMSGSIZE, whose report for IPv4 lacks the port
};

struct udp {
    struct event_base *base;
    int poll; // an epoll of all sockets, which is one event for the loop
    struct event *event;
    udp_burst_done burst_done;
    void *ctx; // of burst_done
    struct counters *counters;
    unsigned sockets;
    LIST_HEAD(, udp_socket) all;
    struct handover *inherited; // borrowed; NULL: nothing
    uint32_t round;
    uint32_t last_whole_round; // that saw all sockets that were readable
    unsigned taken;            // datagrams of this wake-up, those of trains by themselves
    // Sockets of this round, NULL where one was closed; from 'ready_next' on they wait for their
    // turn, until the next wake-up where this one has had enough.
    struct epoll_event ready[UDP_READY_MAX];
    unsigned ready_next, ready_count;
    struct udp_socket *sending, **sending_end;
    unsigned slots, departures; // in use
    struct mmsghdr in[UDP_BURST], out[UDP_DEPARTURES];
    struct slot slot[UDP_BURST];
    struct departure departure[UDP_DEPARTURES];
    struct message message[UDP_DEPARTURES];
    struct iovec iov[UDP_DEPARTURES * PARTS];
    // Most of it is never touched and then takes no memory.
    uint8_t buffer[UDP_BURST][UDP_STRIDE];
};

static_assert(UDP_STRIDE >= UDP_HEADROOM + UDP_RECEIVE_MAX + UDP_TAILROOM, "room around");

// --- udp.c -------------------------------------------------------------------------------------

// What a socket does with datagrams longer than the path takes, if nothing else is wanted.
int udp_idle_mtu_discovery(const struct udp_socket *socket);

// --- udp_recv.c --------------------------------------------------------------------------------

void udp_slot_prepare(struct udp *udp, unsigned index);
// Takes one burst and decides about it. Returns how many datagrams there were; trains count as one.
unsigned udp_receive(struct udp_socket *socket, usec_t now);
void udp_read_errors(struct udp_socket *socket, usec_t now);
// Counts what the kernel has dropped since the last datagram, which brought the count until then.
void udp_note_drops(struct udp_socket *socket);
// What was dropped until now has been counted by somebody else.
void udp_skip_drops(struct udp_socket *socket);

// --- udp_send.c --------------------------------------------------------------------------------

// Queues a departure that the caller has filled, the next free one.
void udp_enqueue(struct udp_socket *socket, struct departure *departure);
void udp_flush(struct udp *udp); // sends what waits; all departures are free afterwards
