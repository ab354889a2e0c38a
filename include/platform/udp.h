// SPDX-License-Identifier: ISC
// UDP sockets in bursts: recvmmsg, a decision per datagram, sendmmsg; TOS and ECN bits in and out
// (RFC 3168 section 5, RFC 2474 section 3). One struct udp per worker thread; its buffers are
// shared by its sockets.
#pragma once

#include "base/addr.h"
#include "base/counter.h"
#include "base/usec.h"

#include <event2/event.h>
#include <stddef.h>
#include <stdint.h>

struct udp;
struct udp_socket;

struct udp_datagram {
    uint8_t *data;
    size_t len;
    struct addr from;
    uint8_t tos;
};

struct udp_handler {
    void *ctx;
    // One datagram that arrived at a socket opened with 'owner'. To forward it, unchanged, return
    // the socket it leaves from and write 'ret_to'; it is sent when the burst is over. NULL:
    // nothing is sent.
    struct udp_socket *(*datagram)(void *ctx, void *owner, const struct udp_datagram *datagram,
                                   struct addr *ret_to, usec_t now);
    // After a burst was sent; may close sockets.
    void (*burst_done)(void *ctx, usec_t now);
};

// Returns 0 or -errno.
int udp_new(struct event_base *base, const struct udp_handler *handler, struct counters *counters,
            struct udp **ret_udp);
void udp_free(struct udp *udp); // all its sockets must be closed

// Binds exactly 'local' (no SO_REUSEADDR; IPv6 sockets are v6-only). Returns 0 or -errno.
int udp_open(struct udp *udp, const struct addr *local, void *owner,
             struct udp_socket **ret_socket);
void udp_close(struct udp_socket *socket); // not from inside 'datagram'
// Sends at once. Returns 0 or -errno.
int udp_send(struct udp_socket *socket, const struct addr *to, const uint8_t *data, size_t len,
             uint8_t tos);

usec_t usec_now(void); // CLOCK_MONOTONIC, the only clock that the data path reads
