// SPDX-License-Identifier: ISC
// A listening socket whose connections are accepted one by one. Out of descriptors it pauses: the
// connection still waits, and asking again at once would spin.
#pragma once

#include <event2/event.h>

struct acceptor;
struct sockaddr;

// The descriptor of a new connection is the callee's.
typedef void (*acceptor_handler)(void *ctx, int fd, const struct sockaddr *from);

// 'fd' is bound, and taken, also when this fails; so many connections wait there at most. Returns 0
// or -errno (what listen() said, too).
int acceptor_new(struct event_base *base, int fd, int backlog, acceptor_handler accepted, void *ctx,
                 struct acceptor **ret_acceptor);
int acceptor_fd(const struct acceptor *acceptor); // remains its own
void acceptor_free(struct acceptor *acceptor);    // closes; NULL is fine
