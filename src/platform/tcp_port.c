// SPDX-License-Identifier: ISC
// Relayed TCP ports; see platform/tcp_port.h. Listener and outgoing sockets share the address by
// SO_REUSEPORT; the kernel gives what comes in to the one that listens.
#include "platform/tcp_port.h"

#include "platform/acceptor.h"
#include "platform/udp.h"
#include "sockaddr.h"
#include "tcp_socket.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BACKLOG = 16 };

struct tcp_port {
    struct event_base *base;
    const struct tcp_port_handler *handler;
    void *owner;
    struct addr local;
    struct acceptor *acceptor;
};

struct tcp_attempt {
    const struct tcp_port_handler *handler;
    void *owner;
    int fd;
    struct event *writable;
};

// ---- coming in

static void on_accept(void *ctx, int fd, const struct sockaddr *from)
{
    const struct tcp_port *port = ctx;
    struct addr peer = addr_from_sockaddr((const union sockaddr_any *)(const void *)from);
    tcp_socket_tune(fd);
    port->handler->accepted(port->handler->ctx, port->owner, fd, &peer, usec_now());
}

int tcp_port_open(struct event_base *base, const struct addr *local,
                  const struct tcp_port_handler *handler, void *owner, struct tcp_port **ret_port)
{
    struct tcp_port *port = calloc(1, sizeof *port);
    if (!port)
        return -ENOMEM;
    *port = (struct tcp_port){.base = base, .handler = handler, .owner = owner, .local = *local};
    int fd = tcp_socket_open(local);
    if (fd < 0) {
        tcp_port_close(port);
        return fd;
    }
    int r = acceptor_new(base, fd, BACKLOG, on_accept, port, &port->acceptor);
    if (r < 0) {
        tcp_port_close(port);
        return r;
    }
    *ret_port = port;
    return 0;
}

void tcp_port_close(struct tcp_port *port)
{
    if (!port)
        return;
    acceptor_free(port->acceptor);
    free(port);
}

// ---- going out

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
    (void)what;
    struct tcp_attempt attempt = *(struct tcp_attempt *)arg;
    int error = 0;
    socklen_t len = sizeof error;
    event_free(attempt.writable);
    free(arg);
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
        error = errno;
    if (error)
        close(fd);
    else
        tcp_socket_tune(fd);
    attempt.handler->connected(attempt.handler->ctx, attempt.owner, error ? -error : fd,
                               usec_now());
}

int tcp_port_connect(struct tcp_port *port, const struct addr *to, void *owner,
                     struct tcp_attempt **ret_attempt)
{
    union sockaddr_any sa;
    socklen_t sa_len = sockaddr_from_addr(to, &sa);
    struct tcp_attempt *attempt = calloc(1, sizeof *attempt);
    if (!attempt)
        return -ENOMEM;
    int fd = tcp_socket_open(&port->local);
    int r = fd < 0 ? fd : 0;
    if (r == 0 && connect(fd, &sa.sa, sa_len) < 0 && errno != EINPROGRESS)
        r = -errno;
    if (r == 0) {
        *attempt = (struct tcp_attempt){.handler = port->handler, .owner = owner, .fd = fd};
        attempt->writable = event_new(port->base, fd, EV_WRITE, on_writable, attempt);
        r = attempt->writable && event_add(attempt->writable, NULL) == 0 ? 0 : -ENOMEM;
    }
    if (r < 0) {
        if (attempt->writable)
            event_free(attempt->writable);
        free(attempt);
        if (fd >= 0)
            close(fd);
        return r;
    }
    *ret_attempt = attempt;
    return 0;
}

void tcp_attempt_cancel(struct tcp_attempt *attempt)
{
    if (!attempt)
        return;
    event_free(attempt->writable);
    close(attempt->fd);
    free(attempt);
}
