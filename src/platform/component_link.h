// SPDX-License-Identifier: ISC
// One XEP-0114 connection of libstrophe, driven by libevent: connecting to an address, reading,
// and a bounded queue for writing. When to connect, and to what, is its user's affair
// (component.c).
#pragma once

#include "base/usec.h"
#include "codec/xml.h"

#include <event2/event.h>
#include <stdint.h>
#include <strophe.h>

struct component_link;

struct component_end {                       // why a connection is over
    int error;                               // an errno; 0 if the server closed the stream
    const xmpp_stream_error_t *stream_error; // NULL if it sent none
};

// All are called from the loop, never from a function below. They may call
// component_link_send(), and nothing else here.
struct component_link_handler {
    void *ctx;
    void (*up)(void *ctx); // the server accepted the handshake
    void (*stanza)(void *ctx, xmpp_stanza_t *stanza);
    void (*down)(void *ctx, const struct component_end *end); // once for each successful connect()
};

// Returns 0, -ENOMEM, -EMFILE (no descriptor below FD_SETSIZE is free) or -EIO.
int component_link_new(struct event_base *base, const char *domain, const char *secret,
                       const struct component_link_handler *handler,
                       struct component_link **ret_link);
// Cuts what is left of the connection, without a callback.
void component_link_free(struct component_link *link);

// Starts to connect to an IP literal; up() or down() follows. Without a handshake within 'patience'
// the attempt ends. Returns 0 or -errno.
int component_link_connect(struct component_link *link, const char *ip, uint16_t port,
                           usec_t patience);
bool component_link_is_up(const struct component_link *link);
// Writes the stanza, or white space for NULL, behind what is queued. Returns 0, -ENOTCONN,
// -ENOBUFS (more than 'max' bytes would be queued) or -ENOMEM.
int component_link_send(struct component_link *link, const struct xml *stanza, size_t max);
// Bytes that the kernel has not taken yet.
size_t component_link_queued(const struct component_link *link);
// Writes what is queued, closes the stream and waits for the server to close it, all within
// 'patience'. Blocks. No callback is called any more.
void component_link_finish(struct component_link *link, usec_t patience);

// libstrophe 0.12 allocates its stream management state in xmpp_connect_client() only, yet
// dereferences it for every stanza of a component as well: as shipped a component crashes at the
// handshake. A client connection that our socket callback refuses allocates the state and sends
// nothing. Once for each connection object, which needs its JID before. Returns 0 or -ENOMEM.
// tests/unit/test_component_strophe.c proves for the installed library that this is needed and
// works.
int component_link_prepare(xmpp_conn_t *conn);

usec_t component_link_now(void);
