// SPDX-License-Identifier: ISC
// UDP sockets in bursts: recvmmsg, a decision per datagram, sendmmsg; TOS and ECN bits in and out
// (RFC 3168 section 5, RFC 2474 section 3). One struct udp per worker thread; its buffers are
// shared by its sockets. A datagram is forwarded out of the buffer it was received in. Neighbours
// of one flow and size come in and go out joined (UDP_GRO, UDP_SEGMENT); the handler sees each.
#pragma once

#include "base/addr.h"
#include "base/counter.h"
#include "base/usec.h"
#include "platform/handover.h"

#include <event2/event.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct udp;
struct udp_socket;

enum {
    UDP_HEADROOM = 64, // writable bytes before every datagram received
    UDP_TAILROOM = 4,  // and behind it
};

// The first four are what came. To forward it with a header less or more, a handler moves 'data'
// and 'len' within the room that is given, writing what is new; 'tos' goes out as it stands.
struct udp_datagram {
    uint8_t *data;
    size_t len;
    struct addr from;
    uint8_t tos;
    bool dont_fragment;  // false at first; true: rather lose it than fragment it
    enum counter unsent; // that counts it if it cannot be sent; at first COUNTER_DROP_SEND_ERROR
};

// An ICMP error about a datagram that this socket sent, or the answer of this host itself to one
// longer than the path takes (as the type and code that a router would have used).
struct udp_icmp {
    struct addr to; // where the datagram was going
    uint8_t type, code;
    uint32_t mtu; // with "fragmentation needed" and "packet too big"; else 0
};

// What becomes of what arrives at a socket; borrowed for as long as the socket is open.
struct udp_reader {
    void *ctx;
    // One datagram at the socket that was opened with 'owner'. To forward it return the socket it
    // leaves from and write 'ret_to'; it is sent when the burst is over. NULL: nothing is sent.
    struct udp_socket *(*datagram)(void *ctx, void *owner, struct udp_datagram *datagram,
                                   struct addr *ret_to, usec_t now);
    // Only for sockets with udp_report_icmp(). May not close sockets. Anybody who can guess an
    // address may forge these.
    void (*icmp)(void *ctx, void *owner, const struct udp_icmp *icmp, usec_t now);
};

// After what came was sent, and after ICMP errors; may close sockets. NULL is fine.
typedef void (*udp_burst_done)(void *ctx, usec_t now);

// Returns 0 or -errno.
int udp_new(struct event_base *base, udp_burst_done burst_done, void *ctx,
            struct counters *counters, struct udp **ret_udp);
void udp_free(struct udp *udp); // all its sockets must be closed

// Binds exactly 'local' (no SO_REUSEADDR; IPv6 sockets are v6-only). Returns 0 or -errno.
int udp_open(struct udp *udp, const struct addr *local, const struct udp_reader *reader,
             void *owner, struct udp_socket **ret_socket);
// The same, shared (SO_REUSEPORT): each worker opens its own socket on 'local' and the kernel gives
// each source to one of them. Answers leave from 'local', so it should not be the wildcard.
int udp_listen(struct udp *udp, const struct addr *local, const struct udp_reader *reader,
               void *owner, struct udp_socket **ret_socket);
// From now on udp_open() and udp_listen() take a socket that was left at that address, if there is
// one. Borrowed, until NULL is set.
void udp_inherit(struct udp *udp, struct handover *handover);
// Leaves all sockets for a successor; nothing may be read from them any more. Returns 0 or -errno.
int udp_leave(const struct udp *udp, struct handover *handover);
const struct addr *udp_local(const struct udp_socket *socket); // as it was opened
// From now on ICMP errors about what this socket sends go to the handler. Returns 0 or -errno.
int udp_report_icmp(struct udp_socket *socket);
// Not from inside 'datagram' or 'icmp', unless it was opened there. NULL is fine.
void udp_close(struct udp_socket *socket);
// Sends at once. Returns 0 or -errno.
int udp_send(struct udp_socket *socket, const struct addr *to, const uint8_t *data, size_t len,
             uint8_t tos);
// Sends at once, whole (DF, RFC 8656 section 15) or not at all: -EMSGSIZE when the path is known to
// be too narrow.
int udp_send_whole(struct udp_socket *socket, const struct addr *to, const uint8_t *data,
                   size_t len, uint8_t tos);

usec_t usec_now(void); // CLOCK_MONOTONIC, the only clock that the data path reads
