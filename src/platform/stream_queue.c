// SPDX-License-Identifier: ISC
// What goes out on a stream. A message is written at once when nothing waits before it; what the
// socket does not take waits in a queue of whole messages.
//
// The queue is bounded in time: what a slow reader gets shall be of now, so media that waited too
// long is dropped, oldest first. It is bounded in memory too, more closely for strangers, of whom
// there may be many; replies stay while there is media to drop, and a client who leaves a queue
// full of replies is not reading. The kernel's own queue counts as well, so it is kept short
// (TCP_NOTSENT_LOWAT, set in stream.c).
#include "stream_frame.h"
#include "stream_private.h"

#include "platform/udp.h"

#include <errno.h>
#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

int stream_ssl_error(struct stream_conn *conn, int result)
{
    switch (SSL_get_error(conn->ssl, result)) {
    case SSL_ERROR_WANT_WRITE:
        event_add(conn->writable, NULL);
        return -EAGAIN;
    case SSL_ERROR_WANT_READ: // the loop always waits for that
        return -EAGAIN;
    case SSL_ERROR_ZERO_RETURN:
        return 0;
    case SSL_ERROR_SYSCALL:
        return errno ? -errno : 0;
    default:
        return -EPROTO;
    }
}

static ssize_t note_sent(struct stream_conn *conn, ssize_t len)
{
    counter_add(conn->streams->counters, COUNTER_CONN_BYTES_OUT, (uint64_t)len);
    return len;
}

ssize_t stream_put(struct stream_conn *conn, const uint8_t *data, size_t len, bool more)
{
    if (!conn->ssl) {
        int flags = MSG_NOSIGNAL | MSG_DONTWAIT | (more ? MSG_MORE : 0);
        ssize_t n = send(conn->fd, data, len, flags);
        return n < 0 ? -errno : note_sent(conn, n);
    }
    ERR_clear_error();
    errno = 0;
    int n = SSL_write(conn->ssl, data, (int)len);
    if (n > 0)
        return note_sent(conn, n);
    int r = stream_ssl_error(conn, n);
    return r == 0 ? -EPIPE : r;
}

// Answers are so short that what keeps them counts.
static size_t memory_of(size_t len)
{
    return sizeof(struct stream_waiting) + len;
}

static void drop(struct stream_conn *conn, struct stream_waiting *waiting)
{
    TAILQ_REMOVE(&conn->queue, waiting, entry);
    conn->queued -= memory_of(waiting->len);
    free(waiting);
}

void stream_queue_clear(struct stream_conn *conn)
{
    while (!TAILQ_EMPTY(&conn->queue))
        drop(conn, TAILQ_FIRST(&conn->queue));
}

static struct stream_waiting *oldest_media(const struct stream_conn *conn)
{
    struct stream_waiting *waiting = TAILQ_FIRST(&conn->queue);
    while (waiting && (!waiting->media || waiting->begun))
        waiting = TAILQ_NEXT(waiting, entry);
    return waiting;
}

static void drop_media(struct stream_conn *conn, struct stream_waiting *waiting)
{
    drop(conn, waiting);
    counter_add(conn->streams->counters, COUNTER_DROP_SLOW_READER, 1);
}

static void expire(struct stream_conn *conn, usec_t now)
{
    usec_t limit = conn->streams->config.queue_time;
    struct stream_waiting *waiting;
    while ((waiting = oldest_media(conn)) && now - waiting->since > limit)
        drop_media(conn, waiting);
}

// Returns 0, -ENOBUFS (media, and no room) or -EPIPE (a reply, and no room).
static int make_room(struct stream_conn *conn, size_t len, bool media)
{
    size_t limit = conn->trusted ? conn->streams->config.queue_bytes : STREAM_STRANGER_QUEUE;
    size_t more = memory_of(len);
    struct stream_waiting *waiting;
    while (conn->queued + more > limit && (waiting = oldest_media(conn)))
        drop_media(conn, waiting);
    if (conn->queued + more <= limit)
        return 0;
    if (media) {
        counter_add(conn->streams->counters, COUNTER_DROP_SLOW_READER, 1);
        return -ENOBUFS;
    }
    stream_end(conn, COUNTER_CONN_CLOSED_DEAF);
    return -EPIPE;
}

void stream_flush(struct stream_conn *conn, usec_t now)
{
    struct stream_waiting *waiting;
    expire(conn, now);
    while ((waiting = TAILQ_FIRST(&conn->queue))) {
        ssize_t n = stream_put(conn, waiting->data + waiting->sent, waiting->len - waiting->sent,
                               TAILQ_NEXT(waiting, entry) != NULL);
        if (n < 0 && n != -EAGAIN) {
            stream_end(conn, COUNTER_CONN_CLOSED_ERROR);
            return;
        }
        // Once begun it stays so, however little this time; TLS has made a record of it.
        waiting->begun = waiting->begun || n > 0 || conn->ssl;
        waiting->sent += n > 0 ? (size_t)n : 0;
        if (waiting->sent < waiting->len) {
            event_add(conn->writable, NULL);
            return;
        }
        drop(conn, waiting);
    }
}

static int enqueue(struct stream_conn *conn, const uint8_t *data, size_t len, size_t sent,
                   bool begun, usec_t now)
{
    size_t padded = (len + 3) & ~(size_t)3;
    bool media = stream_frame_is_media(data, len);
    expire(conn, now);
    // The rest of a message that was begun has to follow, be there room or not; there is, as the
    // queue was empty.
    int r = begun ? 0 : make_room(conn, padded, media);
    if (r < 0)
        return r;
    struct stream_waiting *waiting = malloc(memory_of(padded));
    if (!waiting) {
        if (begun)
            stream_end(conn, COUNTER_CONN_CLOSED_MEMORY);
        return -ENOMEM;
    }
    *waiting = (struct stream_waiting){
        .since = now, .len = padded, .sent = sent, .media = media, .begun = begun};
    memcpy(waiting->data, data, len);
    memset(waiting->data + len, 0, padded - len);
    TAILQ_INSERT_TAIL(&conn->queue, waiting, entry);
    conn->queued += memory_of(padded);
    return 0;
}

int stream_send(struct stream_conn *conn, const uint8_t *data, size_t len)
{
    if (conn->dead || conn->state != STREAM_OPEN)
        return -EPIPE;
    bool idle = TAILQ_EMPTY(&conn->queue), padded = len % 4 == 0;
    ssize_t n = idle && padded ? stream_put(conn, data, len, false) : -EAGAIN;
    if (n == (ssize_t)len)
        return 0;
    if (n < 0 && n != -EAGAIN) {
        stream_end(conn, COUNTER_CONN_CLOSED_ERROR);
        return -EPIPE;
    }
    bool begun = n > 0 || (conn->ssl && idle && padded);
    usec_t now = usec_now();
    int r = enqueue(conn, data, len, n > 0 ? (size_t)n : 0, begun, now);
    if (r == 0 && !padded && idle)
        stream_flush(conn, now);
    else if (r == 0)
        event_add(conn->writable, NULL);
    return conn->dead ? -EPIPE : r;
}
