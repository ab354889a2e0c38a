// SPDX-License-Identifier: ISC
// Connections of streams that have stopped being message streams: the client's side of a TCP
// connection to a peer (RFC 6062), or one of which it is not known yet whether it will be that.
#include "stream_private.h"

#include <errno.h>
#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

void stream_pause(struct stream_conn *conn)
{
    if (conn->dead || conn->state != STREAM_OPEN)
        return;
    conn->paused = true;
    event_del(conn->readable);
}

static void look_again(struct stream_conn *conn)
{
    event_add(conn->readable, NULL);
    event_active(conn->readable, EV_READ, 0); // for what has been read, or is inside TLS
}

void stream_resume(struct stream_conn *conn)
{
    if (conn->dead || !conn->paused)
        return;
    conn->paused = false;
    look_again(conn);
}

int stream_raw(struct stream_conn *conn, const struct stream_raw *raw)
{
    if (conn->dead || conn->state != STREAM_OPEN)
        return -EPIPE;
    stream_trusted(conn);
    conn->state = STREAM_RAW;
    conn->raw = *raw;
    conn->paused = false;
    conn->frame_since = 0;
    look_again(conn);
    return 0;
}

static ssize_t read_stash(struct stream_conn *conn, void *data, size_t size)
{
    size_t len = conn->stash_len < size ? conn->stash_len : size;
    memcpy(data, conn->stash, len);
    memmove(conn->stash, conn->stash + len, conn->stash_len - len);
    conn->stash_len -= len;
    if (conn->stash_len == 0) {
        free(conn->stash);
        conn->stash = NULL;
    }
    return (ssize_t)len;
}

ssize_t stream_raw_read(struct stream_conn *conn, void *data, size_t size)
{
    if (conn->dead)
        return -EPIPE;
    return conn->stash_len > 0 ? read_stash(conn, data, size) : stream_get(conn, data, size, 0);
}

ssize_t stream_raw_write(struct stream_conn *conn, const void *data, size_t len)
{
    if (conn->dead)
        return -EPIPE;
    return TAILQ_EMPTY(&conn->queue) ? stream_put(conn, data, len, false) : -EAGAIN;
}

void stream_raw_want(struct stream_conn *conn, bool read, bool write)
{
    if (conn->dead)
        return;
    // What TLS has inside does not show at the socket, so those who want to read again try first.
    if (read)
        event_add(conn->readable, NULL);
    else
        event_del(conn->readable);
    if (write || !TAILQ_EMPTY(&conn->queue))
        event_add(conn->writable, NULL);
    else
        event_del(conn->writable);
}

void stream_raw_finish(struct stream_conn *conn)
{
    if (conn->dead)
        return;
    if (conn->ssl) {
        ERR_clear_error();
        (void)SSL_shutdown(conn->ssl); // a close_notify; the other direction stays
        ERR_clear_error();
    }
    shutdown(conn->fd, SHUT_WR);
}

void stream_raw_close(struct stream_conn *conn)
{
    conn->raw.gone = NULL;
    stream_close(conn);
}
