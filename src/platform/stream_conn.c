// SPDX-License-Identifier: ISC
// What comes in on a stream: the PROXY header, the first byte, the handshake, messages. All
// connections of a thread read into one buffer; only the beginning of an unfinished message is kept
// for a connection, in memory of just that size.
#include "proxy_header.h"
#include "stream_frame.h"
#include "stream_private.h"
#include "tls_session.h"

#include <errno.h>
#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum {
    READS_PER_WAKEUP = 8, // then the other connections have their turn
    TLS_HANDSHAKE = 0x16, // RFC 8446 section 5.1: the content type of a ClientHello's record
};

static enum counter cause_of(ssize_t r)
{
    return r == 0 ? COUNTER_CONN_CLOSED_PEER
                  : (r == -EPROTO ? COUNTER_CONN_CLOSED_TLS : COUNTER_CONN_CLOSED_ERROR);
}

ssize_t stream_get(struct stream_conn *conn, uint8_t *data, size_t size, int flags)
{
    if (!conn->ssl) {
        ssize_t n = recv(conn->fd, data, size, flags | MSG_DONTWAIT);
        return n < 0 ? -errno : n;
    }
    ERR_clear_error();
    errno = 0;
    int n = SSL_read(conn->ssl, data, (int)size);
    return n > 0 ? n : stream_ssl_error(conn, n);
}

// Each of the following returns whether to go on with the next at once.

static bool take_proxy_header(struct stream_conn *conn)
{
    struct proxy_header header;
    size_t want;
    int r;
    if (!conn->stash && !(conn->stash = malloc(PROXY_HEADER_MAX))) {
        stream_end(conn, COUNTER_CONN_CLOSED_MEMORY);
        return false;
    }
    while ((r = proxy_header_parse(conn->stash, conn->stash_len, &header, &want)) == -EAGAIN) {
        ssize_t n = stream_get(conn, conn->stash + conn->stash_len, want, 0);
        if (n <= 0 && n != -EAGAIN)
            stream_end(conn, cause_of(n));
        if (n <= 0)
            return false;
        conn->stash_len += (size_t)n;
    }
    free(conn->stash);
    conn->stash = NULL;
    conn->stash_len = 0;
    if (r < 0) {
        stream_end(conn, COUNTER_CONN_CLOSED_PROXY);
        return false;
    }
    if (header.remote.family != FAMILY_NONE) {
        conn->remote = header.remote;
        conn->local = header.local;
        if (sources_charge(&conn->streams->sources, &conn->remote, &conn->source) < 0) {
            stream_end(conn, COUNTER_CONN_CLOSED_SOURCE);
            return false;
        }
    }
    conn->state = STREAM_FIRST_BYTE;
    return true;
}

static void open_conn(struct stream_conn *conn)
{
    conn->state = STREAM_OPEN;
    counter_add(conn->streams->counters, conn->tls ? COUNTER_CONN_TLS : COUNTER_CONN_TCP, 1);
}

static bool take_first_byte(struct stream_conn *conn)
{
    const struct streams_config *config = &conn->streams->config;
    uint8_t byte;
    ssize_t n = stream_get(conn, &byte, 1, MSG_PEEK);
    if (n <= 0) {
        if (n != -EAGAIN)
            stream_end(conn, cause_of(n));
        return false;
    }
    if (byte != TLS_HANDSHAKE || !config->tls) {
        if (config->plain)
            open_conn(conn); // what is no STUN ends it there
        else
            stream_end(conn, COUNTER_CONN_CLOSED_FRAMING);
        return !conn->dead;
    }
    conn->ssl = tls_session(config->tls, TLS_STREAM);
    if (!conn->ssl || !SSL_set_fd(conn->ssl, conn->fd)) {
        stream_end(conn, COUNTER_CONN_CLOSED_MEMORY);
        return false;
    }
    conn->tls = true;
    conn->state = STREAM_HANDSHAKE;
    return true;
}

static bool shake_hands(struct stream_conn *conn)
{
    ERR_clear_error();
    errno = 0;
    int n = SSL_accept(conn->ssl);
    if (n == 1) {
        open_conn(conn);
        return true;
    }
    ssize_t r = stream_ssl_error(conn, n);
    if (r != -EAGAIN)
        stream_end(conn, cause_of(r));
    return false;
}

// The tail of one message is the head of the next: what the handler writes there is undone.
static void deliver(struct stream_conn *conn, uint8_t *data, size_t len, usec_t now)
{
    struct streams *streams = conn->streams;
    struct stream_message message = {.data = data, .len = len};
    uint8_t tail[STREAM_TAILROOM];
    memcpy(tail, data + len, sizeof tail);
    conn->known = true;
    streams->handler.message(streams->handler.ctx, conn, &message, now);
    memcpy(data + len, tail, sizeof tail);
}

// Keeps what is left for when more comes. A message must come whole in its time, however its bytes
// trickle in.
static void keep(struct stream_conn *conn, const uint8_t *data, size_t len, bool another,
                 usec_t now)
{
    uint8_t *stash = NULL;
    if (len > 0 && !(stash = realloc(conn->stash, len))) {
        stream_end(conn, COUNTER_CONN_CLOSED_MEMORY);
        return;
    }
    if (len == 0)
        free(conn->stash);
    else
        memcpy(stash, data, len);
    conn->stash = stash;
    conn->stash_len = len;
    conn->stashed = conn->paused || conn->state == STREAM_RAW;
    if (len == 0 || conn->stashed) {
        conn->frame_since = 0;
    } else if (another || conn->frame_since == 0) {
        conn->frame_since = now;
        stream_arm(conn);
    }
}

static void take_messages(struct stream_conn *conn, uint8_t *data, size_t len, usec_t now)
{
    size_t at = 0, message_len;
    while (at < len) {
        size_t max = conn->trusted ? STREAM_MESSAGE_MAX : STREAM_STRANGER_MAX;
        ssize_t n = stream_frame_cut(data + at, len - at, max, &message_len);
        if (n < 0) {
            stream_end(conn, COUNTER_CONN_CLOSED_FRAMING);
            return;
        }
        if (n == 0)
            break;
        deliver(conn, data + at, message_len, now);
        if (conn->dead)
            return;
        at += (size_t)n;
        if (conn->paused || conn->state == STREAM_RAW)
            break;
    }
    keep(conn, data + at, len - at, at > 0, now);
}

static size_t take_stash(struct stream_conn *conn, uint8_t *data)
{
    if (conn->stash_len > 0)
        memcpy(data, conn->stash, conn->stash_len);
    return conn->stash_len;
}

static void take_input(struct stream_conn *conn, usec_t now)
{
    uint8_t *data = conn->streams->scratch + STREAM_HEADROOM;
    if (conn->stashed && !conn->paused)
        take_messages(conn, data, take_stash(conn, data), now);
    for (int i = 0; i < READS_PER_WAKEUP; i++) {
        if (conn->dead || conn->paused || conn->state != STREAM_OPEN)
            return;
        size_t have = take_stash(conn, data);
        ssize_t n = stream_get(conn, data + have, STREAM_READ_SIZE, 0);
        if (n == -EAGAIN)
            return;
        if (n <= 0) {
            stream_end(conn, cause_of(n));
            return;
        }
        conn->heard = now;
        take_messages(conn, data, have + (size_t)n, now);
        if (!conn->dead && !conn->ssl && n < STREAM_READ_SIZE)
            return;
    }
    // What TLS holds back does not show at the socket.
    if (!conn->dead && !conn->paused && conn->ssl && SSL_has_pending(conn->ssl))
        event_active(conn->readable, EV_READ, 0);
}

void stream_advance(struct stream_conn *conn, usec_t now)
{
    bool more = true;
    while (more && !conn->dead) {
        switch (conn->state) {
        case STREAM_PROXY:
            more = take_proxy_header(conn);
            break;
        case STREAM_FIRST_BYTE:
            more = take_first_byte(conn);
            break;
        case STREAM_HANDSHAKE:
            more = shake_hands(conn);
            break;
        case STREAM_OPEN:
            take_input(conn, now);
            more = false;
            break;
        case STREAM_RAW:
            if (TAILQ_EMPTY(&conn->queue))
                conn->raw.ready(conn->raw.ctx);
            else
                event_del(conn->readable); // until what was sent before has gone out
            more = false;
            break;
        }
    }
}
