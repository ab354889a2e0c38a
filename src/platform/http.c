// SPDX-License-Identifier: ISC
// The HTTP server: connections, their deadlines and their answers; http_head.c reads what they ask.
//
// It stands on libevent's bufferevents, and not on evhttp, which in version 2.1 has no
// limit to connections, no deadline for a request that comes in drop by drop, and no way to see a
// client leave while its answer is being made.
//
// A connection reads one request, waits for its answer, writes it, and begins again; requests that
// were pipelined wait in the buffer, so that one connection never holds two answers. An answer
// whose end is open is the last of its connection; what waits for its reader is bounded.
#include "platform/http.h"

#include "http_head.h"
#include "platform/acceptor.h"
#include "sockaddr.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/util.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    CONNECTIONS_MAX = 64,
    BACKLOG = 16,
    READ_SECONDS = 30,  // for a whole request, from the end of the answer before it
    WRITE_SECONDS = 60, // for a whole answer
    LINGER_SECONDS = 2,
    STREAM_QUEUE_MAX = 256 << 10, // nothing is added to more bytes than these
};

enum conn_state { CONN_READING, CONN_WAITING, CONN_WRITING, CONN_STREAMING, CONN_LINGERING };

struct http_stream { // part of its connection
    struct http_conn *conn;
    struct http_stream_handler handler;
};

// Owned by its http; lives until answered, though its connection may go before.
struct http_request {
    LIST_ENTRY(http_request) entry;
    struct http_conn *conn; // NULL: the client went away
};

// Owned by its http.
struct http_conn {
    LIST_ENTRY(http_conn) entry;
    struct http *http;
    struct bufferevent *bev;
    struct event *deadline;
    enum conn_state state;
    struct http_head head;
    struct http_request *request; // while WAITING; borrowed
    struct http_stream stream;    // while STREAMING
    bool eof;                     // the client will send no more, but may still read
};

LIST_HEAD(conn_list, http_conn);
LIST_HEAD(request_list, http_request);

struct http {
    struct event_base *base;
    struct http_handler handler;
    struct acceptor *acceptor;
    struct conn_list conns;
    unsigned conn_count;
    struct request_list requests;
};

static const struct {
    int status;
    const char *reason;
} status_row[] = {
    {200, "OK"},
    {400, "Bad Request"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {413, "Content Too Large"},
    {421, "Misdirected Request"},
    {431, "Request Header Fields Too Large"},
    {500, "Internal Server Error"},
    {503, "Service Unavailable"},
    {505, "HTTP Version Not Supported"},
};

// RFC 9112 section 4: the reason may be empty.
static const char *reason_of(int status)
{
    for (size_t i = 0; i < sizeof status_row / sizeof *status_row; i++)
        if (status_row[i].status == status)
            return status_row[i].reason;
    return "";
}

static void request_free(struct http_request *request)
{
    if (request->conn)
        request->conn->request = NULL;
    LIST_REMOVE(request, entry);
    free(request);
}

static void conn_free(struct http_conn *conn)
{
    bool streams = conn->state == CONN_STREAMING;
    const struct http_stream_handler handler = conn->stream.handler;
    if (conn->request)
        conn->request->conn = NULL;
    if (conn->deadline)
        event_free(conn->deadline);
    if (conn->bev)
        bufferevent_free(conn->bev);
    http_head_clear(&conn->head);
    LIST_REMOVE(conn, entry);
    conn->http->conn_count--;
    free(conn);
    if (streams)
        handler.gone(handler.ctx);
}

// The only place that moves deadlines.
static void conn_enter(struct http_conn *conn, enum conn_state state)
{
    static const int seconds[] = {
        [CONN_READING] = READ_SECONDS,
        [CONN_WAITING] = 0, // the handler's business
        [CONN_WRITING] = WRITE_SECONDS,
        [CONN_STREAMING] = 0, // begins with what is written
        [CONN_LINGERING] = LINGER_SECONDS,
    };
    conn->state = state;
    struct timeval limit = {.tv_sec = seconds[state]};
    if (limit.tv_sec)
        evtimer_add(conn->deadline, &limit);
    else
        evtimer_del(conn->deadline);
}

static void on_deadline(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    conn_free(arg);
}

// 'framing' says how long the body is.
static int write_head(struct http_conn *conn, int status, const char *content_type,
                      const char *framing)
{
    char date[64] = "";
    evutil_date_rfc1123(date, sizeof date, NULL);
    int n = evbuffer_add_printf(
        bufferevent_get_output(conn->bev),
        "HTTP/1.1 %d %s\r\nDate: %s\r\nContent-Type: %s\r\n%s"
        "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n"
        "Cross-Origin-Resource-Policy: same-origin\r\nReferrer-Policy: no-referrer\r\n"
        "Content-Security-Policy: default-src 'none'; style-src 'self'; script-src 'self'; "
        "connect-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'\r\n%s%s\r\n",
        status, reason_of(status), date, content_type, framing,
        status == 405 ? "Allow: GET, HEAD\r\n" : "",
        conn->head.close        ? "Connection: close\r\n"
        : conn->head.keep_alive ? "Connection: keep-alive\r\n"
                                : "");
    return n < 0 ? -ENOMEM : 0;
}

static int write_answer(struct http_conn *conn, int status, const char *content_type,
                        const char *body, size_t len)
{
    char framing[48];
    snprintf(framing, sizeof framing, "Content-Length: %zu\r\n", len);
    int r = write_head(conn, status, content_type, framing);
    if (r == 0 && !conn->head.head_only && len &&
        evbuffer_add(bufferevent_get_output(conn->bev), body, len) < 0)
        r = -ENOMEM;
    return r;
}

static void answer(struct http_conn *conn, int status, const char *content_type, const char *body,
                   size_t len)
{
    conn_enter(conn, CONN_WRITING);
    // Half an answer cannot be mended: the connection goes at once, but not under its caller.
    if (write_answer(conn, status, content_type, body, len) < 0)
        event_active(conn->deadline, EV_TIMEOUT, 0);
}

static void refuse(struct http_conn *conn)
{
    const char *reason = reason_of(conn->head.status);
    struct evbuffer *text = evbuffer_new();
    if (text && evbuffer_add_printf(text, "%d %s\n", conn->head.status, reason) > 0) {
        size_t len = evbuffer_get_length(text);
        answer(conn, conn->head.status, "text/plain; charset=utf-8",
               (const char *)evbuffer_pullup(text, -1), len);
    } else {
        answer(conn, conn->head.status, "text/plain; charset=utf-8", "", 0);
    }
    if (text)
        evbuffer_free(text);
}

static void ask_handler(struct http_conn *conn)
{
    struct http *http = conn->http;
    struct http_request *request = calloc(1, sizeof *request);
    if (!request) {
        http_head_refuse(&conn->head, 503);
        refuse(conn);
        return;
    }
    request->conn = conn;
    conn->request = request;
    LIST_INSERT_HEAD(&http->requests, request, entry);
    conn_enter(conn, CONN_WAITING);
    http->handler.get(http->handler.ctx, conn->head.path, request);
}

// Frees the connection when its client has sent all it will and no request is whole.
static void read_requests(struct http_conn *conn)
{
    struct evbuffer *in = bufferevent_get_input(conn->bev);
    while (conn->state == CONN_READING) {
        size_t len;
        char *line = evbuffer_readln(in, &len, EVBUFFER_EOL_CRLF);
        bool too_long = !line && conn->head.bytes + evbuffer_get_length(in) > HTTP_HEAD_MAX;
        if (!line && !too_long) {
            if (conn->eof)
                conn_free(conn);
            return;
        }
        if (too_long)
            http_head_refuse(&conn->head, 431);
        bool complete = too_long || http_head_line(&conn->head, line, len);
        free(line);
        if (complete && conn->head.status)
            refuse(conn);
        else if (complete)
            ask_handler(conn);
    }
}

// Closing with bytes unread would make TCP reset the connection, and the client could lose the
// answer (RFC 9112 section 9.6): stop sending, read on for a while, then close.
static void linger(struct http_conn *conn)
{
    if (conn->eof) {
        conn_free(conn);
        return;
    }
    shutdown(bufferevent_getfd(conn->bev), SHUT_WR);
    struct evbuffer *in = bufferevent_get_input(conn->bev);
    evbuffer_drain(in, evbuffer_get_length(in));
    conn_enter(conn, CONN_LINGERING);
}

static void on_read(struct bufferevent *bev, void *arg)
{
    struct http_conn *conn = arg;
    if (conn->state == CONN_READING) {
        read_requests(conn);
    } else if (conn->state == CONN_LINGERING || conn->state == CONN_STREAMING) {
        struct evbuffer *in = bufferevent_get_input(bev);
        evbuffer_drain(in, evbuffer_get_length(in));
    }
}

// The output ran empty.
static void on_written(struct bufferevent *bev, void *arg)
{
    (void)bev;
    struct http_conn *conn = arg;
    if (conn->state == CONN_STREAMING)
        evtimer_del(conn->deadline); // its reader is up to date
    if (conn->state != CONN_WRITING)
        return;
    if (conn->head.close) {
        linger(conn);
        return;
    }
    http_head_clear(&conn->head);
    conn_enter(conn, CONN_READING);
    read_requests(conn);
}

static void on_event(struct bufferevent *bev, short what, void *arg)
{
    (void)bev;
    struct http_conn *conn = arg;
    if (what & BEV_EVENT_EOF) {
        conn->eof = true;
        if (conn->state == CONN_WAITING || conn->state == CONN_WRITING)
            return;
    }
    conn_free(conn);
}

static void on_accept(void *ctx, int fd, const struct sockaddr *from)
{
    (void)from;
    struct http *http = ctx;
    struct http_conn *conn = http->conn_count < CONNECTIONS_MAX ? calloc(1, sizeof *conn) : NULL;
    if (!conn) {
        close(fd);
        return;
    }
    conn->http = http;
    LIST_INSERT_HEAD(&http->conns, conn, entry);
    http->conn_count++;
    conn->bev = bufferevent_socket_new(http->base, fd, BEV_OPT_CLOSE_ON_FREE);
    conn->deadline = evtimer_new(http->base, on_deadline, conn);
    if (!conn->bev)
        close(fd);
    if (!conn->bev || !conn->deadline) {
        conn_free(conn);
        return;
    }
    bufferevent_setcb(conn->bev, on_read, on_written, on_event, conn);
    bufferevent_setwatermark(conn->bev, EV_READ, 0, 2 * HTTP_HEAD_MAX);
    conn_enter(conn, CONN_READING);
    bufferevent_enable(conn->bev, EV_READ | EV_WRITE);
}

// Returns a descriptor or -errno.
static int open_bound(const struct addr *listen)
{
    union sockaddr_any sa;
    socklen_t sa_len = sockaddr_from_addr(listen, &sa);
    if (sa_len == 0)
        return -EINVAL;
    int fd = socket(sa.sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    int on = 1;
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0 ||
        (listen->family == FAMILY_V6 &&
         setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on) < 0) ||
        bind(fd, &sa.sa, sa_len) < 0) {
        int error = -errno;
        close(fd);
        return error;
    }
    return fd;
}

int http_new(struct event_base *base, const struct addr *listen, const struct http_handler *handler,
             struct http **ret_http)
{
    int fd = open_bound(listen);
    return fd < 0 ? fd : http_new_on(base, fd, handler, ret_http);
}

int http_leave(const struct http *http, struct handover *handover)
{
    return handover_add(handover, acceptor_fd(http->acceptor));
}

int http_new_on(struct event_base *base, int fd, const struct http_handler *handler,
                struct http **ret_http)
{
    struct http *http = calloc(1, sizeof *http);
    if (!http) {
        close(fd);
        return -ENOMEM;
    }
    http->base = base;
    http->handler = *handler;
    LIST_INIT(&http->conns);
    LIST_INIT(&http->requests);
    int r = acceptor_new(base, fd, BACKLOG, on_accept, http, &http->acceptor);
    if (r < 0) {
        http_free(http);
        return r;
    }
    *ret_http = http;
    return 0;
}

void http_free(struct http *http)
{
    if (!http)
        return;
    while (!LIST_EMPTY(&http->requests))
        request_free(LIST_FIRST(&http->requests));
    while (!LIST_EMPTY(&http->conns))
        conn_free(LIST_FIRST(&http->conns));
    acceptor_free(http->acceptor);
    free(http);
}

void http_answer(struct http_request *request, int status, const char *content_type,
                 const char *body, size_t len)
{
    struct http_conn *conn = request->conn;
    request_free(request);
    if (conn)
        answer(conn, status, content_type, body, len);
}

const char *http_query(const struct http_request *request)
{
    const struct http_conn *conn = request->conn;
    return conn && conn->head.query ? conn->head.query : "";
}

// ---- answers whose end is open

int http_stream(struct http_request *request, const char *content_type,
                const struct http_stream_handler *handler, struct http_stream **ret_stream)
{
    struct http_conn *conn = request->conn;
    request_free(request);
    if (!conn)
        return -ECANCELED;
    if (conn->head.head_only) {
        answer(conn, 200, content_type, "", 0);
        return -ECANCELED;
    }
    conn->head.close = true;
    if (conn->eof || write_head(conn, 200, content_type, "") < 0) {
        conn_enter(conn, CONN_WRITING);
        event_active(conn->deadline, EV_TIMEOUT, 0);
        return -ECANCELED;
    }
    conn_enter(conn, CONN_STREAMING);
    conn->stream = (struct http_stream){conn, *handler};
    *ret_stream = &conn->stream;
    return 0;
}

int http_stream_write(struct http_stream *stream, const char *data, size_t len)
{
    struct http_conn *conn = stream->conn;
    struct evbuffer *out = bufferevent_get_output(conn->bev);
    struct timeval limit = {.tv_sec = WRITE_SECONDS};
    if (evbuffer_get_length(out) > STREAM_QUEUE_MAX)
        return -ENOBUFS;
    if (!evtimer_pending(conn->deadline, NULL))
        evtimer_add(conn->deadline, &limit);
    return evbuffer_add(out, data, len) < 0 ? -ENOMEM : 0;
}

void http_stream_end(struct http_stream *stream)
{
    struct http_conn *conn = stream->conn;
    conn_enter(conn, CONN_WRITING);
    if (evbuffer_get_length(bufferevent_get_output(conn->bev)) == 0)
        event_active(conn->deadline, EV_TIMEOUT, 0); // nothing is left that would end it
}
