// SPDX-License-Identifier: ISC
// Pipes; see platform/pipe.h. Each direction is a lane: a buffer that is filled when it is empty
// and then emptied. A lane at rest has no buffer.
#include "platform/pipe.h"

#include "platform/udp.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ROUNDS = 8 }; // then the other connections have their turn

enum side { CLIENT, PEER };

struct lane {     // from one side to the other
    uint8_t *buf; // NULL while nothing waits
    size_t begin, end;
    bool ended;  // the side that it comes from
    bool told;   // the other side knows
    usec_t next; // not read before, for the rate
};

struct pipe {
    struct pipe_config config;
    struct stream_conn *client; // NULL: gone
    int peer;
    struct event *readable, *writable, *timer;
    struct lane lane[2]; // by the side that it comes from
    struct pipe_totals totals;
    usec_t heard;
    bool failed; // for want of memory
};

// ---- the two sides

static ssize_t side_read(struct pipe *p, enum side side, void *data, size_t size)
{
    if (side == CLIENT)
        return p->client ? stream_raw_read(p->client, data, size) : -EPIPE;
    ssize_t n = recv(p->peer, data, size, MSG_DONTWAIT);
    return n < 0 ? -errno : n;
}

static ssize_t side_write(struct pipe *p, enum side side, const void *data, size_t len)
{
    if (side == CLIENT)
        return p->client ? stream_raw_write(p->client, data, len) : -EPIPE;
    ssize_t n = send(p->peer, data, len, MSG_DONTWAIT | MSG_NOSIGNAL);
    return n < 0 ? -errno : n;
}

static void side_finish(struct pipe *p, enum side side)
{
    if (side == PEER)
        shutdown(p->peer, SHUT_WR);
    else if (p->client)
        stream_raw_finish(p->client);
}

static void want(struct event *event, bool wanted)
{
    if (wanted)
        event_add(event, NULL);
    else
        event_del(event);
}

// ---- the rate: bytes are paid for afterwards, with a second of credit
//
// A lane that has read waits until all is paid that was owed then, its own part last. What others
// read meanwhile does not make it wait longer, but them: so all have their turns, and no more is
// ever owed than one buffer of each.

static usec_t credit_since(usec_t now)
{
    return now > USEC_PER_SEC ? now - USEC_PER_SEC : 0;
}

static bool is_limited(const struct pipe *p)
{
    return p->config.account && p->config.account->bytes_per_second > 0;
}

static bool has_credit(const struct pipe *p, const struct lane *lane, usec_t now)
{
    return !is_limited(p) || lane->next <= now;
}

static void pay(struct pipe *p, struct lane *lane, size_t bytes, usec_t now)
{
    struct pipe_account *account = p->config.account;
    if (!is_limited(p))
        return;
    if (account->paid_until < credit_since(now))
        account->paid_until = credit_since(now);
    account->paid_until += bytes * USEC_PER_SEC / account->bytes_per_second;
    lane->next = account->paid_until;
}

bool pipe_account_is_settled(const struct pipe_account *account, usec_t now)
{
    return account->paid_until <= credit_since(now);
}

// ---- lanes

static void release(struct lane *lane)
{
    free(lane->buf);
    lane->buf = NULL;
    lane->begin = lane->end = 0;
}

static bool drained(const struct lane *lane)
{
    return lane->begin == lane->end;
}

// The side takes nothing more: whatever comes for it is in vain.
static void side_is_deaf(struct pipe *p, enum side side)
{
    struct lane *lane = &p->lane[!side];
    release(lane);
    lane->ended = lane->told = true;
}

// Nothing more comes from there either; what has come before is still delivered.
static void side_is_lost(struct pipe *p, enum side side)
{
    side_is_deaf(p, side);
    p->lane[side].ended = true;
}

// Returns whether anything was read.
static bool fill(struct pipe *p, enum side from, usec_t now)
{
    struct lane *lane = &p->lane[from];
    if (p->failed || lane->ended || !drained(lane) || !has_credit(p, lane, now))
        return false;
    if (!lane->buf && !(lane->buf = malloc(PIPE_BUFFER))) {
        p->failed = true;
        return false;
    }
    ssize_t n = side_read(p, from, lane->buf, PIPE_BUFFER);
    if (n <= 0)
        release(lane);
    if (n == 0)
        lane->ended = true;
    else if (n < 0 && n != -EAGAIN && n != -EINTR)
        side_is_lost(p, from);
    if (n <= 0)
        return false;
    lane->begin = 0;
    lane->end = (size_t)n;
    p->heard = now;
    pay(p, lane, (size_t)n, now);
    return true;
}

static void deliver(struct pipe *p, enum side from, size_t bytes)
{
    bool to_peer = from == CLIENT;
    *(to_peer ? &p->totals.to_peer : &p->totals.to_client) += bytes;
    counter_add(p->config.counters,
                to_peer ? COUNTER_TURN_STREAM_TO_PEER_BYTES : COUNTER_TURN_STREAM_TO_CLIENT_BYTES,
                bytes);
}

static void drain(struct pipe *p, enum side from)
{
    struct lane *lane = &p->lane[from];
    while (!drained(lane)) {
        ssize_t n = side_write(p, !from, lane->buf + lane->begin, lane->end - lane->begin);
        if (n == -EAGAIN || n == -EINTR)
            return;
        if (n <= 0) {
            side_is_deaf(p, !from);
            return;
        }
        lane->begin += (size_t)n;
        deliver(p, from, (size_t)n);
    }
    release(lane);
    if (lane->ended && !lane->told) {
        lane->told = true;
        side_finish(p, !from);
    }
}

// ---- the whole

static void set_timer(struct pipe *p, usec_t now)
{
    bool ending = p->lane[CLIENT].ended || p->lane[PEER].ended;
    usec_t at = ending ? p->heard + p->config.linger : USEC_NEVER;
    for (int i = 0; i < 2; i++)
        if (!p->lane[i].ended && !has_credit(p, &p->lane[i], now) && p->lane[i].next < at)
            at = p->lane[i].next;
    if (at == USEC_NEVER) {
        evtimer_del(p->timer);
        return;
    }
    usec_t delay = at > now ? at - now : 0;
    struct timeval tv = {.tv_sec = (time_t)(delay / USEC_PER_SEC),
                         .tv_usec = (suseconds_t)(delay % USEC_PER_SEC)};
    evtimer_add(p->timer, &tv);
}

// Whether a side is to be read: not while what it sent before waits.
static bool wants_read(const struct pipe *p, enum side side, usec_t now)
{
    const struct lane *lane = &p->lane[side];
    return !lane->ended && drained(lane) && has_credit(p, lane, now);
}

static bool is_over(const struct pipe *p, usec_t now)
{
    bool client = p->lane[CLIENT].ended, peer = p->lane[PEER].ended;
    if (p->failed || (client && peer && drained(&p->lane[CLIENT]) && drained(&p->lane[PEER])))
        return true;
    return (client || peer) && p->heard + p->config.linger <= now;
}

static void quieten(struct pipe *p)
{
    event_del(p->readable);
    event_del(p->writable);
    evtimer_del(p->timer);
    if (p->client)
        stream_raw_want(p->client, false, false);
}

static void run(struct pipe *p)
{
    usec_t now = usec_now();
    bool more = true;
    for (int i = 0; more && i < ROUNDS; i++) {
        drain(p, CLIENT);
        drain(p, PEER);
        more = fill(p, CLIENT, now);
        more |= fill(p, PEER, now);
    }
    drain(p, CLIENT);
    drain(p, PEER);
    if (is_over(p, now)) {
        quieten(p);
        p->config.ended(p->config.ctx, p, &p->totals); // 'p' may be gone
        return;
    }
    if (p->client)
        stream_raw_want(p->client, wants_read(p, CLIENT, now), !drained(&p->lane[PEER]));
    want(p->readable, wants_read(p, PEER, now));
    want(p->writable, !drained(&p->lane[CLIENT]));
    set_timer(p, now);
    if (more) // what TLS has inside does not show at the socket
        event_active(p->timer, EV_TIMEOUT, 0);
}

static void on_event(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    run(arg);
}

static void on_client_ready(void *ctx)
{
    run(ctx);
}

static void on_client_gone(void *ctx)
{
    struct pipe *p = ctx;
    p->client = NULL;
    side_is_lost(p, CLIENT);
    run(p);
}

static void free_event(struct event *event)
{
    if (event)
        event_free(event);
}

static void release_pipe(struct pipe *p)
{
    free_event(p->readable);
    free_event(p->writable);
    free_event(p->timer);
    release(&p->lane[CLIENT]);
    release(&p->lane[PEER]);
    free(p);
}

int pipe_new(const struct pipe_config *config, struct stream_conn *client, int peer,
             struct pipe **ret_pipe)
{
    struct pipe *p = calloc(1, sizeof *p);
    if (!p)
        return -ENOMEM;
    p->config = *config;
    p->client = client;
    p->peer = peer;
    p->heard = usec_now();
    if (config->account) // those who are there come first
        p->lane[CLIENT].next = p->lane[PEER].next = config->account->paid_until;
    p->readable = event_new(config->base, peer, EV_READ | EV_PERSIST, on_event, p);
    p->writable = event_new(config->base, peer, EV_WRITE | EV_PERSIST, on_event, p);
    p->timer = evtimer_new(config->base, on_event, p);
    if (!p->readable || !p->writable || !p->timer || event_add(p->readable, NULL) < 0) {
        release_pipe(p);
        return -ENOMEM;
    }
    const struct stream_raw raw = {p, on_client_ready, on_client_gone};
    int r = stream_raw(client, &raw);
    if (r < 0) {
        release_pipe(p);
        return r;
    }
    *ret_pipe = p;
    return 0;
}

void pipe_free(struct pipe *p)
{
    if (!p)
        return;
    if (p->client)
        stream_raw_close(p->client);
    int peer = p->peer;
    release_pipe(p);
    close(peer);
}

const struct pipe_totals *pipe_totals(const struct pipe *p)
{
    return &p->totals;
}
