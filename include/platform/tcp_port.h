// SPDX-License-Identifier: ISC
// A relayed TCP port (RFC 6062): one address that is listened on, and from which connections to
// peers are begun at the same time.
#pragma once

#include "base/addr.h"
#include "base/usec.h"

#include <event2/event.h>

struct tcp_port;
struct tcp_attempt;

struct tcp_port_handler {
    void *ctx;
    // A peer has connected; 'fd' is the handler's, non-blocking.
    void (*accepted)(void *ctx, void *owner, int fd, const struct addr *peer, usec_t now);
    // What became of an attempt, which is no more: a connected socket, the handler's, or -errno.
    // Not called from inside tcp_port_connect().
    void (*connected)(void *ctx, void *owner, int fd, usec_t now);
};

// 'handler' is borrowed. Returns 0 or -errno.
int tcp_port_open(struct event_base *base, const struct addr *local,
                  const struct tcp_port_handler *handler, void *owner, struct tcp_port **ret_port);
void tcp_port_close(struct tcp_port *port); // after its attempts; NULL is fine

// 'owner' is that of the attempt. Returns 0 or -errno.
int tcp_port_connect(struct tcp_port *port, const struct addr *to, void *owner,
                     struct tcp_attempt **ret_attempt);
void tcp_attempt_cancel(struct tcp_attempt *attempt); // NULL is fine
