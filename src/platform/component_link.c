// SPDX-License-Identifier: ISC
// libstrophe under libevent; see component_link.h.
//
// libstrophe has a loop of its own, xmpp_run_once(): it writes its queue, fires its timers, calls
// select() and reads once, 4,096 bytes at most. Here it never waits: our events say when there is
// something to do, and pump() then runs it until nothing is left. pump() is called from events and
// from component_link_finish() only, never from inside one of libstrophe's handlers.
//
// What has to be known about libstrophe 0.12.2 stands where it is dealt with.
//
// Cost, for Jingle stanzas of 1 KB on a 2026 virtual core: 24 us for one received, conversion to
// our tree included (23 of them in libstrophe and expat, 1 in the kernel), and 4 us for one sent,
// in batches. 2,000 a second each way take 6 % of the core; the reads of 4,096 bytes are no
// bottleneck, since pump() goes on while there is input.
#include "component_link.h"

#include "component_expat.h"
#include "lowfd.h"

#include <dlfcn.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#define BATCH_BYTES    65536   // given to libstrophe at once
#define KEEP_BYTES     1048576 // a larger queue buffer is given back when it is empty
#define RUNS_PER_EVENT 16      // then other events have their turn
#define DEAD_PEER_MSEC 60000   // sent and not acknowledged
#define PIECES_MAX     200000  // allocations that libstrophe holds; see crush_bombs()
#define NAMES_MAX      200000  // that expat holds
#define STANZA_MAX     500000  // bytes; Prosody ends the connection of a component at 512 KiB

struct component_link {
    struct event_base *base;
    struct component_link_handler handler;
    xmpp_mem_t mem;
    size_t pieces; // that libstrophe has allocated and not freed
    xmpp_ctx_t *ctx;
    xmpp_conn_t *conn;
    struct lowfd low;
    int fd;               // libstrophe's, which closes it; -1 while there is none
    struct event *io;     // on fd
    short watched;        // by 'io': EV_READ, while there is something to write also EV_WRITE
    struct event *wanted; // activated when there is something to write
    struct event *tick;   // 1 Hz, while libstrophe has timeouts of its own to watch
    usec_t deadline;      // of the handshake
    int error;            // what we know better than libstrophe about a failure
    bool up;
    bool finishing;
    struct buf out; // to be written, from 'taken' on
    size_t taken;   // of 'out', given to libstrophe
    size_t batch;   // of those, perhaps not written yet
};

// The socket callback has no user data. It runs inside xmpp_connect_component() only, on the same
// thread.
static _Thread_local struct component_link *connecting;

usec_t component_link_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (usec_t)t.tv_sec * USEC_PER_SEC + (usec_t)t.tv_nsec / 1000;
}

static void on_socket(evutil_socket_t fd, short what, void *ctx);

static _Thread_local bool receiving; // on a connection that is up

// libstrophe writes every stanza that it receives as text again, for its log, and only then finds
// that it has no logger: a sixth of what a call costs the main thread. It takes an error for an
// answer. What it sends on its own goes through here, too, but only until the connection is up.
int xmpp_stanza_to_text(xmpp_stanza_t *stanza, char **buf, size_t *len)
{
    int (*write)(xmpp_stanza_t *, char **, size_t *);
    *(void **)&write = receiving ? NULL : dlsym(RTLD_NEXT, "xmpp_stanza_to_text");
    return write ? write(stanza, buf, len) : XMPP_EMEM;
}

static void *count_alloc(size_t size, void *ctx)
{
    struct component_link *l = ctx;
    void *p = malloc(size);
    l->pieces += p != NULL;
    return p;
}

static void count_free(void *p, void *ctx)
{
    struct component_link *l = ctx;
    l->pieces -= p != NULL;
    free(p);
}

static void *count_realloc(void *p, size_t size, void *ctx)
{
    struct component_link *l = ctx;
    void *grown = realloc(p, size);
    l->pieces += !p && grown;
    return grown;
}

static void drop_socket(struct component_link *l)
{
    if (l->io)
        event_free(l->io);
    l->io = NULL;
    l->fd = -1;
    event_del(l->tick);
    lowfd_refill(&l->low);
}

static void forget_queue(struct component_link *l)
{
    l->out.len = 0;
    l->taken = l->batch = 0;
    if (l->out.size > KEEP_BYTES)
        buf_free(&l->out);
}

size_t component_link_queued(const struct component_link *l)
{
    return l->out.len - l->taken + l->batch;
}

// Hands libstrophe the next part of the queue when it has written the one before. So its own
// queue, which has no bound, stays short, and many stanzas leave with one send().
//
// xmpp_conn_send_queue_len() leaves out an item that was written in part, so that the last one
// looks written before it is. An empty item behind each part makes the number tell the truth: it
// is gone when all before it has been written, and not earlier.
static void feed(struct component_link *l)
{
    if (!l->up || xmpp_conn_send_queue_len(l->conn) > 0)
        return;
    l->batch = 0;
    size_t n = l->out.len - l->taken;
    if (n == 0) {
        if (l->taken > 0)
            forget_queue(l);
        return;
    }
    if (n > BATCH_BYTES)
        n = BATCH_BYTES;
    xmpp_send_raw(l->conn, l->out.data + l->taken, n);
    if (xmpp_conn_send_queue_len(l->conn) == 0)
        return; // out of memory; at the next event again
    xmpp_send_raw(l->conn, "", 0);
    l->taken += n;
    l->batch = n;
}

// Makes room at the front, not more often than it pays.
static void compact(struct component_link *l)
{
    if (l->taken < BATCH_BYTES || l->taken < l->out.len / 2)
        return;
    memmove(l->out.data, l->out.data + l->taken, l->out.len - l->taken);
    l->out.len -= l->taken;
    l->taken = 0;
}

// One event for both directions: when libstrophe has closed the descriptor behind libevent's back,
// removing one event is harmless, but removing the first of two makes libevent modify a descriptor
// that is no more.
static int watch(struct component_link *l, short what)
{
    if (l->watched == what)
        return 0;
    event_del(l->io);
    l->watched = what;
    event_assign(l->io, l->base, l->fd, (short)(what | EV_PERSIST), on_socket, l);
    return event_add(l->io, NULL);
}

static void watch_what_is_needed(struct component_link *l)
{
    if (!l->io)
        return;
    bool write = xmpp_conn_is_connecting(l->conn) || xmpp_conn_send_queue_len(l->conn) > 0;
    watch(l, write ? EV_READ | EV_WRITE : EV_READ);
}

static bool has_input(const struct component_link *l)
{
    struct pollfd p = {.fd = l->fd, .events = POLLIN};
    return l->fd >= 0 && poll(&p, 1, 0) > 0;
}

// What libstrophe takes for one stanza is bounded but for attributes (component_expat.h), and expat
// keeps every name that it ever saw, for as long as the connection lasts. So what both have
// allocated is watched between two reads. Too much ends the connection, and what the kernel holds
// of the rest is thrown away.
static void crush_bombs(struct component_link *l)
{
    bool bomb = l->pieces > PIECES_MAX || component_expat_pieces() > NAMES_MAX;
    if (!bomb || l->fd < 0 || l->error)
        return;
    l->error = EMSGSIZE;
    shutdown(l->fd, SHUT_RDWR);
    char rest[4096];
    while (recv(l->fd, rest, sizeof(rest), MSG_DONTWAIT) > 0)
        ;
}

// A run that read something, or finished connecting, may have made libstrophe queue an answer of
// its own, which no function tells of: it is followed by another run.
static void pump(struct component_link *l)
{
    for (unsigned i = 0; i < RUNS_PER_EVENT; i++) {
        bool again = has_input(l) || xmpp_conn_is_connecting(l->conn);
        feed(l);
        receiving = l->up;
        xmpp_run_once(l->ctx, 0); // 0 always: with no connection it sleeps for that long
        receiving = false;
        if (xmpp_conn_is_connecting(l->conn))
            break;
        crush_bombs(l);
        if (l->up && xmpp_conn_send_queue_len(l->conn) == 0 && l->out.len > l->taken)
            again = true;
        if (!again)
            break;
    }
    feed(l); // for the sake of its bookkeeping
    watch_what_is_needed(l);
}

static void on_socket(evutil_socket_t fd, short what, void *ctx)
{
    (void)what;
    struct component_link *l = ctx;
    if (xmpp_conn_is_connecting(l->conn)) {
        // libstrophe keeps a failure to itself. It will notice without the pending error, too.
        socklen_t len = sizeof(l->error);
        getsockopt(fd, SOL_SOCKET, SO_ERROR, &l->error, &len);
    }
    pump(l);
}

static void on_wanted(evutil_socket_t fd, short what, void *ctx)
{
    (void)fd, (void)what;
    pump(ctx);
}

// libstrophe ends an attempt to connect after 5 s and a missing handshake after 15 s, but waits
// for ever for the server's stream header. Shutting the socket down makes it notice an end.
static void on_tick(evutil_socket_t fd, short what, void *ctx)
{
    (void)fd, (void)what;
    struct component_link *l = ctx;
    if (l->fd >= 0 && component_link_now() >= l->deadline) {
        l->error = ETIMEDOUT;
        shutdown(l->fd, SHUT_RDWR);
    }
    pump(l);
}

static void set_options(int fd)
{
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    // A server whose host vanished is noticed within two keep-alives, not in a quarter of an hour.
    unsigned dead = DEAD_PEER_MSEC;
    setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &dead, sizeof(dead));
}

// Called by libstrophe between socket() and connect(): the only place to learn the descriptor, and
// the last one to change it. libstrophe sets neither close-on-exec nor looks at its number, which
// select() limits.
static int on_new_socket(xmpp_conn_t *conn, void *sock)
{
    (void)conn;
    struct component_link *l = connecting;
    int fd = lowfd_move(&l->low, *(int *)sock);
    if (fd < 0) {
        errno = EMFILE;
        return -1;
    }
    *(int *)sock = fd;
    set_options(fd);
    l->fd = fd;
    l->watched = EV_READ | EV_WRITE;
    l->io = event_new(l->base, fd, EV_READ | EV_WRITE | EV_PERSIST, on_socket, l);
    if (!l->io || event_add(l->io, NULL) < 0) {
        errno = ENOMEM;
        return -1; // component_link_connect() cleans up
    }
    return 0;
}

static void on_event(xmpp_conn_t *conn, xmpp_conn_event_t event, int error,
                     xmpp_stream_error_t *stream_error, void *ctx)
{
    (void)conn;
    struct component_link *l = ctx;
    if (event == XMPP_CONN_CONNECT) {
        l->up = true;
        l->error = 0;
        event_del(l->tick);
        if (!l->finishing)
            l->handler.up(l->handler.ctx);
        return;
    }
    // libstrophe has closed the socket just now.
    l->up = false;
    drop_socket(l);
    forget_queue(l);
    struct component_end end = {.error = l->error ? l->error : error, .stream_error = stream_error};
    if (!l->finishing)
        l->handler.down(l->handler.ctx, &end);
}

static int on_stanza(xmpp_conn_t *conn, xmpp_stanza_t *stanza, void *ctx)
{
    (void)conn;
    struct component_link *l = ctx;
    // What follows the end of a stream in the same read is still parsed.
    if (l->up && !l->finishing)
        l->handler.stanza(l->handler.ctx, stanza);
    return 1; // stay installed
}

static int refuse_socket(xmpp_conn_t *conn, void *sock)
{
    (void)conn, (void)sock;
    return -1;
}

int component_link_prepare(xmpp_conn_t *conn)
{
    xmpp_conn_set_sockopt_callback(conn, refuse_socket);
    int r = xmpp_connect_client(conn, "127.0.0.1", 1, on_event, NULL);
    return r == XMPP_EINT ? 0 : -ENOMEM;
}

static int make_connection(struct component_link *l, const char *domain, const char *secret)
{
    xmpp_initialize(); // counts nothing and may be repeated; its opposite does nothing
    // No logger: libstrophe would format every stanza for it, secrets included.
    l->mem = (xmpp_mem_t){count_alloc, count_free, count_realloc, l};
    l->ctx = xmpp_ctx_new(&l->mem, NULL);
    l->conn = l->ctx ? xmpp_conn_new(l->ctx) : NULL;
    if (!l->conn)
        return -ENOMEM;
    xmpp_conn_set_jid(l->conn, domain);
    xmpp_conn_set_pass(l->conn, secret);
    if (!xmpp_conn_get_jid(l->conn) || !xmpp_conn_get_pass(l->conn))
        return -ENOMEM;
    int r = component_link_prepare(l->conn);
    if (r < 0)
        return r;
    xmpp_conn_set_sockopt_callback(l->conn, on_new_socket);
    xmpp_handler_add(l->conn, on_stanza, NULL, NULL, NULL, l); // survives reconnection
    return 0;
}

// libstrophe writes with send() and no flags: a server that closes would end the daemon.
static void ignore_sigpipe(void)
{
    struct sigaction old;
    if (sigaction(SIGPIPE, NULL, &old) == 0 && old.sa_handler == SIG_DFL)
        signal(SIGPIPE, SIG_IGN);
}

int component_link_new(struct event_base *base, const char *domain, const char *secret,
                       const struct component_link_handler *handler,
                       struct component_link **ret_link)
{
    struct component_link *l = calloc(1, sizeof(*l));
    if (!l)
        return -ENOMEM;
    l->base = base;
    l->handler = *handler;
    l->fd = -1;
    ignore_sigpipe();
    int r = lowfd_init(&l->low);
    l->tick = event_new(base, -1, EV_PERSIST, on_tick, l);
    l->wanted = event_new(base, -1, 0, on_wanted, l);
    if (r == 0 && (!l->tick || !l->wanted))
        r = -ENOMEM;
    if (r == 0)
        r = make_connection(l, domain, secret);
    if (r < 0) {
        component_link_free(l);
        return r;
    }
    *ret_link = l;
    return 0;
}

void component_link_free(struct component_link *l)
{
    if (!l)
        return;
    l->finishing = true;
    if (l->conn)
        xmpp_conn_release(l->conn); // disconnects first: drop_socket()
    if (l->ctx)
        xmpp_ctx_free(l->ctx);
    if (l->tick)
        event_free(l->tick);
    if (l->wanted)
        event_free(l->wanted);
    lowfd_free(&l->low);
    buf_free(&l->out);
    free(l);
}

int component_link_connect(struct component_link *l, const char *ip, uint16_t port, usec_t patience)
{
    static const struct timeval second = {.tv_sec = 1};
    lowfd_refill(&l->low);
    component_expat_begin();
    l->error = 0;
    connecting = l;
    errno = 0;
    int r = xmpp_connect_component(l->conn, ip, port, on_event, l);
    int error = errno;
    connecting = NULL;
    if (r != XMPP_EOK) {
        drop_socket(l);
        return r == XMPP_EMEM ? -ENOMEM : error ? -error : -EIO;
    }
    l->deadline = component_link_now() + patience;
    event_add(l->tick, &second);
    return 0;
}

bool component_link_is_up(const struct component_link *l)
{
    return l->up;
}

int component_link_send(struct component_link *l, const struct xml *stanza, size_t max)
{
    if (!l->up)
        return -ENOTCONN;
    compact(l);
    size_t before = l->out.len;
    if (stanza)
        xml_write(stanza, "jabber:client", &l->out);
    else
        buf_puts(&l->out, " ");
    int r = 0;
    if (l->out.failed)
        r = -ENOMEM;
    else if (l->out.len - before > STANZA_MAX)
        r = -EMSGSIZE;
    else if (component_link_queued(l) > max)
        r = -ENOBUFS;
    if (r < 0) { // as if it had never been written
        l->out.len = before;
        l->out.failed = false;
        return r;
    }
    event_active(l->wanted, 0, 0);
    return 0;
}

// Waits for the socket, not longer than until 'until', and lets libstrophe work.
static void work_until(struct component_link *l, usec_t until)
{
    usec_t now = component_link_now();
    struct pollfd p = {.fd = l->fd, .events = POLLIN};
    if (component_link_queued(l) > 0)
        p.events |= POLLOUT;
    usec_t left = until > now ? until - now : 0;
    if (left > 100 * USEC_PER_MSEC) // libstrophe's timers want to be looked at, too
        left = 100 * USEC_PER_MSEC;
    poll(&p, 1, (int)((left + 999) / USEC_PER_MSEC));
    pump(l);
}

void component_link_finish(struct component_link *l, usec_t patience)
{
    l->finishing = true;
    usec_t until = component_link_now() + patience;
    if (l->up)
        pump(l); // may be all that is needed, or allowed
    while (l->up && component_link_queued(l) > 0 && component_link_now() < until)
        work_until(l, until);
    if (!l->up)
        return;
    xmpp_disconnect(l->conn); // queues the closing tag
    pump(l);
    while (l->up && component_link_now() < until)
        work_until(l, until);
}
