// SPDX-License-Identifier: ISC
// What the files of streams share: stream.c has listeners, limits and deadlines, stream_conn.c what
// a connection reads, stream_queue.c what it writes.
//
// A connection dies in two steps: stream_end() lets go of all it has and unlinks it, from wherever;
// then the loop tells the handler and frees it. So a handler never loses a connection under its
// hands.
#pragma once

#include "base/timer.h"
#include "platform/stream.h"
#include "source.h"

#include <openssl/ssl.h>
#include <sys/queue.h>
#include <sys/types.h>

enum stream_state {
    STREAM_PROXY,      // a PROXY header is to come
    STREAM_FIRST_BYTE, // TLS or not
    STREAM_HANDSHAKE,
    STREAM_OPEN,
    STREAM_RAW,
};

enum {
    STREAM_READ_SIZE = 16384, // a TLS record
    // An unfinished message, and what is read behind it.
    STREAM_SCRATCH = STREAM_HEADROOM + STREAM_MESSAGE_MAX + STREAM_READ_SIZE + STREAM_TAILROOM,
};

// A message that waits for a slow reader; owned by its connection.
struct stream_waiting {
    TAILQ_ENTRY(stream_waiting) entry;
    usec_t since;
    size_t len, sent;
    bool media;
    bool begun; // must be sent to its end
    uint8_t data[];
};
TAILQ_HEAD(stream_queue, stream_waiting);

// Owned by its streams.
struct stream_conn {
    TAILQ_ENTRY(stream_conn) entry; // in half_open, open or dead
    struct streams *streams;
    struct source *source; // NULL: not counted (yet)
    struct event *readable, *writable;
    SSL *ssl; // NULL: without TLS, or dead
    int fd;
    enum stream_state state;
    bool tls, trusted, dead;
    bool known; // to the handler
    bool paused;
    bool stashed; // what is in 'stash' waits for no more bytes, but for being looked at
    struct stream_raw raw;
    void *user; // the handler's
    struct addr remote, local;
    struct timer timer;
    usec_t accepted, heard, frame_since;
    uint8_t *stash; // the beginning of a message, or of the PROXY header
    size_t stash_len;
    struct stream_queue queue;
    size_t queued; // the memory that the queue takes
};
TAILQ_HEAD(stream_conns, stream_conn);

struct stream_listener { // owned by its streams
    SLIST_ENTRY(stream_listener) entry;
    struct acceptor *acceptor;
};
SLIST_HEAD(stream_listeners, stream_listener);

struct streams {
    struct event_base *base;
    struct streams_config config;
    struct stream_handler handler;
    struct counters *counters;
    struct stream_listeners listeners;
    struct stream_conns half_open, open, dead; // the first two oldest first
    unsigned conns, half_opens;
    struct sources sources;
    struct timers timers;
    struct event *tick, *reap;
    usec_t armed; // deadline of 'tick'
    uint8_t scratch[STREAM_SCRATCH];
};

// Ends a connection, for a reason that is a counter. Harmless if it has ended.
void stream_end(struct stream_conn *conn, enum counter cause);
// After anything that brings a deadline nearer.
void stream_arm(struct stream_conn *conn);
// Called by the loop when there is something to read, or when TLS wants it.
void stream_advance(struct stream_conn *conn, usec_t now);
// Reading as recv() would: bytes, 0 (end), -EAGAIN or -errno. 'flags' are for sockets alone.
ssize_t stream_get(struct stream_conn *conn, uint8_t *data, size_t size, int flags);
// Writing likewise. 'more' will follow at once.
ssize_t stream_put(struct stream_conn *conn, const uint8_t *data, size_t len, bool more);
// Writes what waits.
void stream_flush(struct stream_conn *conn, usec_t now);
void stream_queue_clear(struct stream_conn *conn);
// What SSL said, as recv() and send() would: -EAGAIN (and then the loop waits for what it wants), 0
// (end), -EPROTO or -errno.
int stream_ssl_error(struct stream_conn *conn, int result);
