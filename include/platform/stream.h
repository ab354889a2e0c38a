// SPDX-License-Identifier: ISC
// TURN clients over TCP and TLS, both on one port (RFC 8489 section 6.2.2, RFC 8656 section 2.1,
// RFC 7443): listeners, connections, whole messages in and whole messages out.
//
// The first byte of a connection says whether it speaks TLS. A connection carries STUN messages and
// ChannelData, told apart and cut by their headers; anything else ends it. Those behind a proxy are
// announced by its PROXY header, which is required from the proxies and refused from all others.
//
// A stranger costs a bounded number of connections for a bounded time. A client that reads slower
// than its peers send loses the oldest media, whole frames, and no reply.
//
// One struct streams per worker thread; workers listen on the same address (SO_REUSEPORT), and the
// limits are each worker's. SIGPIPE must be ignored or blocked.
#pragma once

#include "base/addr.h"
#include "base/counter.h"
#include "base/usec.h"
#include "platform/handover.h"
#include "platform/tls.h"

#include <event2/event.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct streams;
struct stream_conn;

enum {
    STREAM_HEADROOM = 64, // writable bytes before every message received
    STREAM_TAILROOM = 4,  // and behind it
    // Longer STUN messages and ChannelData end the connection: before it is trusted, and after.
    STREAM_STRANGER_MAX = 2048 + 20,
    STREAM_MESSAGE_MAX = 65535 + 20,
    STREAM_STRANGER_QUEUE = 16384, // instead of 'queue_bytes', before it is trusted
};

struct stream_message {
    uint8_t *data; // a STUN message, or ChannelData without its padding
    size_t len;
};

struct stream_handler {
    void *ctx;
    // One message. May send on and close any connection, this one too.
    void (*message)(void *ctx, struct stream_conn *conn, struct stream_message *message,
                    usec_t now);
    // The connection is gone, whoever ended it, and 'conn' with it. For those alone that had a
    // message. Called from the loop and from streams_free(), never from inside another call.
    void (*gone)(void *ctx, struct stream_conn *conn, usec_t now);
};

struct streams_config {
    struct tls *tls;                   // borrowed; NULL: TLS is not spoken
    bool plain;                        // TCP without TLS is spoken
    const struct prefix_list *proxies; // borrowed; those who must send a PROXY header
    unsigned connections_max;
    unsigned per_source_max; // from one IPv4 address, or one IPv6 /64; 0: any number
    unsigned half_open_max;  // not yet trusted; one more costs the oldest of them its place
    usec_t trust_time;       // for all from accept() to stream_trusted()
    usec_t frame_time;       // from the first byte of a message to its last
    usec_t idle_time;        // without a byte from a trusted client
    usec_t queue_time;       // media that waited longer for a slow reader is dropped
    // Per trusted connection, waiting for a slow reader: the memory that it takes.
    size_t queue_bytes;
};

// Returns 0 or -errno. 'config' is copied.
int streams_new(struct event_base *base, const struct streams_config *config,
                const struct stream_handler *handler, struct counters *counters,
                struct streams **ret_streams);
// Ends listeners and connections.
// Other limits of numbers, and other proxies (borrowed), from now on; connections there are stay.
// Nothing else of 'config' is looked at. Returns 0 or -ENOMEM (then nothing changed).
int streams_set_limits(struct streams *streams, const struct streams_config *config);
void streams_free(struct streams *streams);
// Listens on 'local' too. Returns 0 or -errno.
int streams_listen(struct streams *streams, const struct addr *local);
int streams_listen_on(struct streams *streams, int fd); // takes a listening socket
// Leaves the listeners for a successor. Returns 0 or -errno.
int streams_leave(const struct streams *streams, struct handover *handover);

// The client and the address it came to, as the PROXY header has them if there is one.
const struct addr *stream_remote(const struct stream_conn *conn);
const struct addr *stream_local(const struct stream_conn *conn);
bool stream_is_tls(const struct stream_conn *conn);

// Whatever its user wants to find again with it; NULL at first.
void stream_set_user(struct stream_conn *conn, void *user);
void *stream_user(const struct stream_conn *conn);

// The client has authenticated: from now on it may stay as long as it is not idle.
void stream_trusted(struct stream_conn *conn);
// What it was trusted for is over: it is a stranger again, as if it had come just now, and may cost
// the oldest of them its place. Harmless after stream_raw().
void stream_stranger(struct stream_conn *conn);
// Sends one whole message, or queues it; ChannelData is padded (RFC 8656 section 12.5) if it is not
// yet. Returns 0, -ENOBUFS (dropped: the queue is full), -EPIPE (the connection has ended, and is
// going to be gone) or -ENOMEM.
int stream_send(struct stream_conn *conn, const uint8_t *data, size_t len);
void stream_close(struct stream_conn *conn);

// Nothing is read until stream_resume() or stream_raw(), from inside message() as well: what comes
// next may be no message. The deadlines of a connection stay.
void stream_pause(struct stream_conn *conn);
void stream_resume(struct stream_conn *conn); // harmless if it is not paused

// A connection without messages: bytes, in both directions, without deadlines.
struct stream_raw {
    void *ctx;
    void (*ready)(void *ctx); // what stream_raw_want() waited for may have come
    void (*gone)(void *ctx);  // instead of the handler's; never from inside another call
};
// From now on the connection is like that; what was sent before goes out first, and what has been
// read already is read again. It counts against the limits as before. Returns 0 or -EPIPE.
int stream_raw(struct stream_conn *conn, const struct stream_raw *raw);
// Return the number of bytes, 0 at the end, -EAGAIN or -errno.
ssize_t stream_raw_read(struct stream_conn *conn, void *data, size_t size);
ssize_t stream_raw_write(struct stream_conn *conn, const void *data, size_t len);
void stream_raw_want(struct stream_conn *conn, bool read, bool write);
void stream_raw_finish(struct stream_conn *conn); // nothing more will be written
void stream_raw_close(struct stream_conn *conn);  // gone() will not be called
