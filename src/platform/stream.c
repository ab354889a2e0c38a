// SPDX-License-Identifier: ISC
// Listeners for streams, the limits of connections, and their deadlines. A connection has one timer
// for whichever of its deadlines comes first; when it fires it looks again, so that hearing from a
// client moves nothing.
#include "platform/stream.h"

#include "platform/acceptor.h"
#include "platform/udp.h"
#include "sockaddr.h"
#include "stream_private.h"
#include "tcp_socket.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    BACKLOG = 128,
    UNACKNOWLEDGED_MSEC = 60000, // a peer that acknowledges nothing for so long is dead
    // Bytes that the kernel may hold unsent, beside those in flight: they can no longer be dropped.
    UNSENT_MAX = 16384,
};

// ---- deadlines

static usec_t earlier(usec_t a, usec_t b)
{
    return a < b ? a : b;
}

static usec_t deadline_of(const struct stream_conn *conn)
{
    const struct streams_config *config = &conn->streams->config;
    if (conn->state == STREAM_RAW)
        return USEC_NEVER;
    usec_t deadline =
        conn->trusted ? conn->heard + config->idle_time : conn->accepted + config->trust_time;
    return conn->frame_since ? earlier(deadline, conn->frame_since + config->frame_time) : deadline;
}

void stream_arm(struct stream_conn *conn)
{
    usec_t deadline = deadline_of(conn);
    // Cannot fail: there is room for every connection.
    if (!timer_armed(&conn->timer) || deadline < conn->timer.at)
        (void)timer_arm(&conn->streams->timers, &conn->timer, deadline);
}

static void on_deadline(struct timer *timer, void *ctx, usec_t now)
{
    (void)ctx;
    struct stream_conn *conn = container_of(timer, struct stream_conn, timer);
    const struct streams_config *config = &conn->streams->config;
    if (deadline_of(conn) > now)
        stream_arm(conn);
    else if (conn->frame_since && conn->frame_since + config->frame_time <= now)
        stream_end(conn, COUNTER_CONN_CLOSED_SLOW);
    else
        stream_end(conn, conn->trusted ? COUNTER_CONN_CLOSED_IDLE : COUNTER_CONN_CLOSED_UNPROVED);
}

static void arm_tick(struct streams *streams, usec_t now)
{
    usec_t next = timers_next(&streams->timers);
    if (next == streams->armed)
        return;
    streams->armed = next;
    if (next == USEC_NEVER) {
        evtimer_del(streams->tick);
        return;
    }
    usec_t delay = next > now ? next - now : 0;
    struct timeval tv = {.tv_sec = (time_t)(delay / USEC_PER_SEC),
                         .tv_usec = (suseconds_t)(delay % USEC_PER_SEC)};
    evtimer_add(streams->tick, &tv);
}

// ---- the end of a connection

static void free_event(struct event *event)
{
    if (event)
        event_free(event);
}

static void release(struct stream_conn *conn)
{
    timer_cancel(&conn->streams->timers, &conn->timer);
    sources_release(&conn->streams->sources, conn->source);
    conn->source = NULL;
    stream_queue_clear(conn);
    free(conn->stash);
    free_event(conn->readable);
    free_event(conn->writable);
    if (conn->ssl) {
        ERR_clear_error();
        if (conn->state >= STREAM_OPEN)
            (void)SSL_shutdown(conn->ssl); // a wish; without effect after an error
        SSL_free(conn->ssl);
        conn->ssl = NULL;
        ERR_clear_error();
    }
    close(conn->fd);
}

static struct stream_conns *list_of(struct stream_conn *conn)
{
    return conn->trusted ? &conn->streams->open : &conn->streams->half_open;
}

void stream_end(struct stream_conn *conn, enum counter cause)
{
    struct streams *streams = conn->streams;
    if (conn->dead)
        return;
    counter_add(streams->counters, cause, 1);
    if (conn->state >= STREAM_OPEN)
        counter_add(streams->counters, conn->tls ? COUNTER_CONN_TLS : COUNTER_CONN_TCP,
                    UINT64_MAX); // less one
    TAILQ_REMOVE(list_of(conn), conn, entry);
    streams->conns--;
    streams->half_opens -= !conn->trusted;
    release(conn);
    conn->dead = true;
    TAILQ_INSERT_TAIL(&streams->dead, conn, entry);
    event_active(streams->reap, 0, 0);
}

static struct stream_conn *next_dead(const struct streams *streams,
                                     const struct stream_conn *running)
{
    struct stream_conn *conn = TAILQ_FIRST(&streams->dead);
    return conn && conn == running ? TAILQ_NEXT(conn, entry) : conn;
}

// What the handler does when one is gone may end others, and 'running' too: whoever still works
// with that one (NULL: nobody) leaves it to the next time.
static void reap(struct streams *streams, const struct stream_conn *running, usec_t now)
{
    struct stream_conn *conn;
    while ((conn = next_dead(streams, running))) {
        TAILQ_REMOVE(&streams->dead, conn, entry);
        if (conn->state == STREAM_RAW && conn->raw.gone)
            conn->raw.gone(conn->raw.ctx);
        else if (conn->state != STREAM_RAW && conn->known)
            streams->handler.gone(streams->handler.ctx, conn, now);
        free(conn);
    }
}

// ---- called by the loop. The dead go first: their handler shall hear of it before it hears from
// ---- another connection, which may have the same addresses.

static void on_conn(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    struct stream_conn *conn = arg;
    struct streams *streams = conn->streams;
    usec_t now = usec_now();
    reap(streams, conn, now);
    if (!conn->dead && what & EV_WRITE && conn->state >= STREAM_OPEN)
        stream_flush(conn, now);
    if (!conn->dead)
        stream_advance(conn, now);
    arm_tick(streams, now);
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct streams *streams = arg;
    usec_t now = usec_now();
    streams->armed = USEC_NEVER;
    timers_run(&streams->timers, streams, now);
    reap(streams, NULL, now);
    arm_tick(streams, now);
}

static void on_reap(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    reap(arg, NULL, usec_now());
}

static void set_options(int fd)
{
    const int unacknowledged = UNACKNOWLEDGED_MSEC, unsent = UNSENT_MAX;
    tcp_socket_tune(fd);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &unacknowledged, sizeof unacknowledged);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent, sizeof unsent);
}

// NULL without memory; 'fd' is then still the caller's.
static struct stream_conn *conn_new(struct streams *streams, int fd, const struct addr *remote,
                                    usec_t now)
{
    union sockaddr_any local = {.sa.sa_family = AF_UNSPEC};
    socklen_t len = sizeof local;
    struct stream_conn *conn = calloc(1, sizeof *conn);
    if (!conn)
        return NULL;
    conn->readable = event_new(streams->base, fd, EV_READ | EV_PERSIST, on_conn, conn);
    conn->writable = event_new(streams->base, fd, EV_WRITE, on_conn, conn);
    if (!conn->readable || !conn->writable || event_add(conn->readable, NULL) < 0) {
        free_event(conn->readable);
        free_event(conn->writable);
        free(conn);
        return NULL;
    }
    (void)getsockname(fd, &local.sa, &len);
    conn->streams = streams;
    conn->fd = fd;
    conn->remote = *remote;
    conn->local = addr_from_sockaddr(&local);
    conn->accepted = conn->heard = now;
    conn->timer.fire = on_deadline;
    TAILQ_INIT(&conn->queue);
    TAILQ_INSERT_TAIL(&streams->half_open, conn, entry);
    streams->conns++;
    streams->half_opens++;
    return conn;
}

// Those who come to stay are through in a few round trips, so it is the oldest who most likely only
// takes a place.
static void limit_strangers(struct streams *streams)
{
    if (streams->half_opens > streams->config.half_open_max)
        stream_end(TAILQ_FIRST(&streams->half_open), COUNTER_CONN_CLOSED_HALF_OPEN);
}

static void accept_conn(struct streams *streams, int fd, const struct addr *remote, usec_t now)
{
    const struct streams_config *config = &streams->config;
    struct stream_conn *conn =
        streams->conns < config->connections_max ? conn_new(streams, fd, remote, now) : NULL;
    if (!conn) {
        counter_add(streams->counters, COUNTER_CONN_CLOSED_LIMIT, 1);
        close(fd);
        return;
    }
    counter_add(streams->counters, COUNTER_CONN_OPENED, 1);
    set_options(fd);
    bool proxied = config->proxies && prefix_list_match(config->proxies, remote);
    conn->state = proxied ? STREAM_PROXY : STREAM_FIRST_BYTE;
    stream_arm(conn);
    if (!proxied && sources_charge(&streams->sources, remote, &conn->source) < 0) {
        stream_end(conn, COUNTER_CONN_CLOSED_SOURCE);
        return;
    }
    limit_strangers(streams);
}

static void on_accept(void *ctx, int fd, const struct sockaddr *from)
{
    struct streams *streams = ctx;
    struct addr remote = addr_from_sockaddr((const union sockaddr_any *)(const void *)from);
    usec_t now = usec_now();
    reap(streams, NULL, now);
    accept_conn(streams, fd, &remote, now);
    arm_tick(streams, now);
}

// ---- public

int streams_new(struct event_base *base, const struct streams_config *config,
                const struct stream_handler *handler, struct counters *counters,
                struct streams **ret_streams)
{
    struct streams *streams = calloc(1, sizeof *streams);
    if (!streams)
        return -ENOMEM;
    streams->base = base;
    streams->config = *config;
    streams->handler = *handler;
    streams->counters = counters;
    streams->armed = USEC_NEVER;
    TAILQ_INIT(&streams->half_open);
    TAILQ_INIT(&streams->open);
    TAILQ_INIT(&streams->dead);
    sources_init(&streams->sources, config->per_source_max);
    streams->tick = evtimer_new(base, on_tick, streams);
    streams->reap = event_new(base, -1, 0, on_reap, streams);
    if (!streams->tick || !streams->reap ||
        timers_reserve(&streams->timers, config->connections_max) < 0) {
        streams_free(streams);
        return -ENOMEM;
    }
    *ret_streams = streams;
    return 0;
}

int streams_set_limits(struct streams *streams, const struct streams_config *config)
{
    if (timers_reserve(&streams->timers, config->connections_max) < 0)
        return -ENOMEM;
    streams->config.connections_max = config->connections_max;
    streams->config.per_source_max = config->per_source_max;
    streams->config.half_open_max = config->half_open_max;
    streams->config.proxies = config->proxies;
    streams->sources.max = config->per_source_max;
    return 0;
}

void streams_free(struct streams *streams)
{
    if (!streams)
        return;
    struct stream_listener *listener;
    while ((listener = SLIST_FIRST(&streams->listeners))) {
        SLIST_REMOVE_HEAD(&streams->listeners, entry);
        acceptor_free(listener->acceptor);
        free(listener);
    }
    while (!TAILQ_EMPTY(&streams->half_open))
        stream_end(TAILQ_FIRST(&streams->half_open), COUNTER_CONN_CLOSED_SELF);
    while (!TAILQ_EMPTY(&streams->open))
        stream_end(TAILQ_FIRST(&streams->open), COUNTER_CONN_CLOSED_SELF);
    reap(streams, NULL, usec_now());
    free_event(streams->tick);
    free_event(streams->reap);
    timers_free(&streams->timers);
    sources_free(&streams->sources);
    free(streams);
}

int streams_listen(struct streams *streams, const struct addr *local)
{
    int fd = local->port != 0 ? tcp_socket_open(local) : -EINVAL;
    return fd < 0 ? fd : streams_listen_on(streams, fd);
}

int streams_listen_on(struct streams *streams, int fd)
{
    struct stream_listener *listener = calloc(1, sizeof *listener);
    if (!listener) {
        close(fd);
        return -ENOMEM;
    }
    int r = acceptor_new(streams->base, fd, BACKLOG, on_accept, streams, &listener->acceptor);
    if (r < 0) {
        free(listener);
        return r;
    }
    SLIST_INSERT_HEAD(&streams->listeners, listener, entry);
    return 0;
}

int streams_leave(const struct streams *streams, struct handover *handover)
{
    const struct stream_listener *listener;
    int r = 0;
    SLIST_FOREACH(listener, &streams->listeners, entry)
    {
        if (r == 0)
            r = handover_add(handover, acceptor_fd(listener->acceptor));
    }
    return r;
}

const struct addr *stream_remote(const struct stream_conn *conn)
{
    return &conn->remote;
}

const struct addr *stream_local(const struct stream_conn *conn)
{
    return &conn->local;
}

bool stream_is_tls(const struct stream_conn *conn)
{
    return conn->tls;
}

void stream_set_user(struct stream_conn *conn, void *user)
{
    conn->user = user;
}

void *stream_user(const struct stream_conn *conn)
{
    return conn->user;
}

void stream_trusted(struct stream_conn *conn)
{
    if (conn->dead || conn->trusted)
        return;
    TAILQ_REMOVE(&conn->streams->half_open, conn, entry);
    conn->trusted = true;
    conn->streams->half_opens--;
    TAILQ_INSERT_TAIL(&conn->streams->open, conn, entry);
    stream_arm(conn);
}

void stream_stranger(struct stream_conn *conn)
{
    struct streams *streams = conn->streams;
    usec_t now = usec_now();
    if (conn->dead || !conn->trusted || conn->state == STREAM_RAW)
        return;
    TAILQ_REMOVE(&streams->open, conn, entry);
    conn->trusted = false;
    conn->accepted = now;
    streams->half_opens++;
    TAILQ_INSERT_TAIL(&streams->half_open, conn, entry);
    stream_arm(conn);
    limit_strangers(streams);
    arm_tick(streams, now);
}

void stream_close(struct stream_conn *conn)
{
    stream_end(conn, COUNTER_CONN_CLOSED_SELF);
}
