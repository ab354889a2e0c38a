// SPDX-License-Identifier: ISC
// Connections of TCP allocations; see turn_tcp.h.
#include "turn_tcp.h"

#include "platform/pipe.h"
#include "platform/tcp_port.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <unistd.h>

#define BIND_TRIES 16
#define LINGER     (30 * USEC_PER_SEC) // of a pipe that one side has ended

struct tcp_relayed { // a relayed port
    struct tcp_port *port;
    struct lent_port lent;
    void *owner; // the core's
};

struct peer_conn { // of this worker's allocations; the core drops it
    uint32_t number;
    struct tcp_attempt *attempt; // NULL: not connecting
    int fd;                      // -1: there is none, or it has gone into a pipe
    bool joined;
    unsigned joined_at; // the worker that has the pipe
};

struct account { // what the pipes of one allocation share; stays for as long as they owe
    LIST_ENTRY(account) entry;
    uint64_t group;
    unsigned pipes;
    struct pipe_account shared;
};

struct client_pipe { // of this worker's clients
    LIST_ENTRY(client_pipe) entry;
    struct turn_tcp *tcp;
    struct account *account; // NULL: there is no limit
    struct pipe *pipe;
    uint32_t number; // names the worker of the allocation too
};

struct turn_tcp {
    struct turn_tcp_config config;
    struct turn *turn;
    struct tcp_port_handler handler;
    LIST_HEAD(, client_pipe) pipes;
    LIST_HEAD(, account) accounts;
};

// ---- accounts

static void remove_account(struct account *account)
{
    LIST_REMOVE(account, entry);
    free(account);
}

// Those that nobody uses or will miss go meanwhile.
static struct account *find_account(struct turn_tcp *tcp, uint64_t group)
{
    struct account *account, *next, *found = NULL;
    usec_t now = usec_now();

    for (account = LIST_FIRST(&tcp->accounts); account; account = next) {
        next = LIST_NEXT(account, entry);
        if (account->group == group)
            found = account;
        else if (account->pipes == 0 && pipe_account_is_settled(&account->shared, now))
            remove_account(account);
    }
    return found;
}

// Returns 0 or -ENOMEM. No account: there is no limit.
static int join_account(struct turn_tcp *tcp, uint64_t group, struct account **ret_account)
{
    uint64_t rate = tcp->config.bytes_per_second;
    struct account *account = rate ? find_account(tcp, group) : NULL;

    if (rate && !account) {
        account = calloc(1, sizeof *account);
        if (!account)
            return -ENOMEM;
        account->group = group;
        LIST_INSERT_HEAD(&tcp->accounts, account, entry);
    }
    if (account) {
        account->shared.bytes_per_second = rate;
        account->pipes++;
    }
    *ret_account = account;
    return 0;
}

static void leave_account(struct account *account)
{
    if (account)
        account->pipes--;
}

// ---- pipes, on the worker of the client

// To the core that knows the connection.
static void tell_ended(struct turn_tcp *tcp, uint32_t number, const struct pipe_totals *totals,
                       usec_t now)
{
    struct turn_letter letter = {.kind = TURN_LETTER_PEER_ENDED,
                                 .number = number,
                                 .bytes_in = totals->to_client,
                                 .bytes_out = totals->to_peer};

    if (turn_peer_worker(number) == tcp->config.worker)
        turn_peer_ended(tcp->turn, number, letter.bytes_in, letter.bytes_out, now);
    else
        tcp->config.post(tcp->config.ctx, turn_peer_worker(number), &letter);
}

// Returns what it has passed.
static struct pipe_totals remove_pipe(struct client_pipe *pipe)
{
    struct pipe_totals totals = *pipe_totals(pipe->pipe);

    LIST_REMOVE(pipe, entry);
    pipe_free(pipe->pipe);
    leave_account(pipe->account);
    free(pipe);
    return totals;
}

static void on_pipe_ended(void *ctx, struct pipe *ended, const struct pipe_totals *totals)
{
    struct client_pipe *pipe = ctx;
    struct turn_tcp *tcp = pipe->tcp;
    struct pipe_totals moved;
    uint32_t number = pipe->number;
    usec_t now = usec_now();

    (void)ended;
    (void)totals;
    moved = remove_pipe(pipe);
    tell_ended(tcp, number, &moved, now);
    tcp->config.changed(tcp->config.ctx, now);
}

static int start_pipe(struct client_pipe *pipe, struct stream_conn *stream, int fd, uint64_t group)
{
    struct turn_tcp *tcp = pipe->tcp;
    struct pipe_config config = {
        .base = tcp->config.base,
        .counters = tcp->config.counters,
        .linger = LINGER,
        .ctx = pipe,
        .ended = on_pipe_ended,
    };
    int r = join_account(tcp, group, &pipe->account);

    if (r < 0)
        return r;
    config.account = pipe->account ? &pipe->account->shared : NULL;
    r = pipe_new(&config, stream, fd, &pipe->pipe);
    if (r < 0)
        leave_account(pipe->account);
    return r;
}

// What a letter says; takes the descriptor when it succeeds.
static int make_pipe(struct turn_tcp *tcp, struct stream_conn *stream,
                     const struct turn_letter *letter)
{
    struct client_pipe *pipe = calloc(1, sizeof *pipe);
    int r;

    if (!pipe)
        return -ENOMEM;
    pipe->tcp = tcp;
    pipe->number = letter->number;
    r = start_pipe(pipe, stream, letter->fd, letter->group);
    if (r < 0) {
        free(pipe);
        return r;
    }
    LIST_INSERT_HEAD(&tcp->pipes, pipe, entry);
    return 0;
}

// Takes the descriptor.
static void join_here(struct turn_tcp *tcp, const struct turn_letter *letter, const uint8_t *answer,
                      size_t len, usec_t now)
{
    static const struct pipe_totals nothing;
    struct stream_conn *stream = tcp->config.take_stream(tcp->config.ctx, letter->client.link);

    if (stream && stream_send(stream, answer, len) == 0 && make_pipe(tcp, stream, letter) == 0)
        return;
    if (stream)
        stream_close(stream);
    close(letter->fd);
    tell_ended(tcp, letter->number, &nothing, now);
}

// Returns what it has passed, zeros if it has ended.
static struct pipe_totals part_here(struct turn_tcp *tcp, uint32_t number)
{
    struct client_pipe *pipe;

    LIST_FOREACH (pipe, &tcp->pipes, entry) {
        if (pipe->number == number)
            return remove_pipe(pipe);
    }
    return (struct pipe_totals){0};
}

void turn_tcp_take(struct turn_tcp *tcp, struct turn_letter *letter, usec_t now)
{
    switch (letter->kind) {
    case TURN_LETTER_PEER_JOIN:
        join_here(tcp, letter, turn_letter_data(letter), letter->len, now);
        letter->fd = -1;
        break;
    case TURN_LETTER_PEER_PART:
        (void)part_here(tcp, letter->number); // nobody there knows it any more
        break;
    case TURN_LETTER_PEER_ENDED:
        turn_peer_ended(tcp->turn, letter->number, letter->bytes_in, letter->bytes_out, now);
        break;
    case TURN_LETTER_MESSAGE:
    case TURN_LETTER_ANSWER:
    case TURN_LETTER_GONE:
    case TURN_LETTER_BACK:
    case TURN_LETTER_ASK:
        break;
    }
    turn_letter_free(letter);
}

// ---- relayed ports

static void close_relayed(struct turn_tcp *tcp, struct tcp_relayed *relayed)
{
    if (relayed->port) {
        peers_port_closed(tcp->config.peers, PEERS_TCP, &relayed->lent.bind);
        tcp_port_close(relayed->port);
    }
    relay_take_back(tcp->config.relay, &relayed->lent, usec_now());
    free(relayed);
}

static int listen_once(struct turn_tcp *tcp, enum family family, void *owner,
                       struct tcp_relayed **ret_relayed)
{
    struct lent_port lent;
    struct tcp_relayed *relayed;
    usec_t now = usec_now();
    int r = relay_lend(tcp->config.relay, family, PORT_ANY, &lent, now);

    if (r < 0)
        return r;
    relayed = calloc(1, sizeof *relayed);
    if (!relayed) {
        relay_take_back(tcp->config.relay, &lent, now);
        return -ENOMEM;
    }
    *relayed = (struct tcp_relayed){.lent = lent, .owner = owner};
    r = tcp_port_open(tcp->config.base, &lent.bind, &tcp->handler, relayed, &relayed->port);
    if (r < 0) {
        close_relayed(tcp, relayed);
        return r;
    }
    peers_port_opened(tcp->config.peers, PEERS_TCP, &lent.bind);
    *ret_relayed = relayed;
    return 0;
}

static int io_listen(void *ctx, enum family family, void *owner, struct turn_port *ret_port)
{
    struct tcp_relayed *relayed = NULL;
    int r = -EADDRINUSE;

    // A number that another program has is as good as used: it rests, and another is tried.
    for (int i = 0; i < BIND_TRIES && r == -EADDRINUSE; i++)
        r = listen_once(ctx, family, owner, &relayed);
    if (r == 0)
        *ret_port = (struct turn_port){relayed, relayed->lent.advertise};
    return r;
}

static void io_close(void *ctx, void *handle)
{
    close_relayed(ctx, handle);
}

// ---- connections of peers

static void on_accepted(void *ctx, void *owner, int fd, const struct addr *peer, usec_t now)
{
    struct turn_tcp *tcp = ctx;
    struct tcp_relayed *relayed = owner;
    struct addr from = peers_sender(tcp->config.peers, peer);
    struct peer_conn *conn = calloc(1, sizeof *conn);

    if (conn) {
        conn->fd = fd;
        conn->number = turn_peer_accepted(tcp->turn, relayed->owner, relayed, conn, &from, now);
    }
    if (!conn || conn->number == 0) {
        free(conn);
        close(fd);
    }
    tcp->config.changed(tcp->config.ctx, now);
}

static void on_connected(void *ctx, void *owner, int fd, usec_t now)
{
    struct turn_tcp *tcp = ctx;
    struct peer_conn *conn = owner;

    conn->attempt = NULL;
    conn->fd = fd >= 0 ? fd : -1;
    turn_peer_connected(tcp->turn, conn->number, fd >= 0 ? 0 : fd, now); // 'conn' may be gone
    tcp->config.changed(tcp->config.ctx, now);
}

static int io_connect(void *ctx, void *handle, const struct addr *peer, uint32_t number,
                      void **ret_conn)
{
    struct turn_tcp *tcp = ctx;
    const struct tcp_relayed *relayed = handle;
    struct addr to = *peer;
    struct peer_conn *conn;
    int r;

    if (!peers_route(tcp->config.peers, PEERS_TCP, &to))
        return -ECONNREFUSED;
    conn = calloc(1, sizeof *conn);
    if (!conn)
        return -ENOMEM;
    *conn = (struct peer_conn){.number = number, .fd = -1};
    r = tcp_port_connect(relayed->port, &to, conn, &conn->attempt);
    if (r < 0) {
        free(conn);
        return r;
    }
    *ret_conn = conn;
    return 0;
}

static void io_join(void *ctx, void *handle, const struct turn_client *client, uint64_t group,
                    const uint8_t *answer, size_t len)
{
    struct turn_tcp *tcp = ctx;
    struct peer_conn *conn = handle;
    struct turn_letter letter = {.kind = TURN_LETTER_PEER_JOIN,
                                 .client = *client,
                                 .number = conn->number,
                                 .group = group,
                                 .fd = conn->fd};
    static const struct pipe_totals nothing;

    conn->joined = true;
    conn->joined_at = tcp->config.worker_of(tcp->config.ctx, client->link);
    conn->fd = -1;
    if (conn->joined_at == tcp->config.worker) {
        join_here(tcp, &letter, answer, len, usec_now());
        return;
    }
    if (turn_letter_set_data(&letter, answer, len) < 0) {
        close(letter.fd);
        tell_ended(tcp, letter.number, &nothing, usec_now());
        return;
    }
    tcp->config.post(tcp->config.ctx, conn->joined_at, &letter);
}

static struct turn_bytes io_drop(void *ctx, void *handle)
{
    struct turn_tcp *tcp = ctx;
    struct peer_conn *conn = handle;
    struct turn_letter letter = {.kind = TURN_LETTER_PEER_PART, .number = conn->number};
    struct pipe_totals passed = {0};

    tcp_attempt_cancel(conn->attempt);
    if (conn->fd >= 0)
        close(conn->fd);
    if (conn->joined && conn->joined_at == tcp->config.worker)
        passed = part_here(tcp, conn->number);
    else if (conn->joined)
        tcp->config.post(tcp->config.ctx, conn->joined_at, &letter);
    free(conn);
    return (struct turn_bytes){.in = passed.to_client, .out = passed.to_peer};
}

// ---- life

struct turn_tcp_io turn_tcp_io(struct turn_tcp *tcp)
{
    return (struct turn_tcp_io){
        .ctx = tcp,
        .listen = io_listen,
        .close = io_close,
        .connect = io_connect,
        .join = io_join,
        .drop = io_drop,
    };
}

int turn_tcp_new(const struct turn_tcp_config *config, struct turn_tcp **ret_tcp)
{
    struct turn_tcp *tcp = calloc(1, sizeof *tcp);

    if (!tcp)
        return -ENOMEM;
    tcp->config = *config;
    tcp->handler = (struct tcp_port_handler){tcp, on_accepted, on_connected};
    *ret_tcp = tcp;
    return 0;
}

void turn_tcp_set_rate(struct turn_tcp *tcp, uint64_t bytes_per_second)
{
    tcp->config.bytes_per_second = bytes_per_second;
}

void turn_tcp_start(struct turn_tcp *tcp, struct turn *turn)
{
    tcp->turn = turn;
}

void turn_tcp_free(struct turn_tcp *tcp)
{
    if (!tcp)
        return;
    while (!LIST_EMPTY(&tcp->accounts))
        remove_account(LIST_FIRST(&tcp->accounts));
    free(tcp);
}
