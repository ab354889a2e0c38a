// SPDX-License-Identifier: ISC
// Pipes between a client's connection and a peer's, on real sockets: every byte arrives once and in
// order, who does not read stops the sender and takes no memory, and the end of one side reaches
// the other after the last byte.
#include "lib_stream.h"

#include "platform/pipe.h"

#include <errno.h>
#include <linux/sockios.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

// A Binding request, after which the connection becomes something else.
static const uint8_t request[20] = {0x00, 0x01, 0x00, 0x00, 0x21, 0x12, 0xa4, 0x42, 1};
static const uint8_t answer[20] = {0x01, 0x01, 0x00, 0x00, 0x21, 0x12, 0xa4, 0x42, 1};

struct world {
    struct fixture *f;
    struct pipe *pipe;
    struct pipe_totals totals;
    unsigned ended;
    int client;       // the client's end of its connection
    int peer, inside; // the peer's end, and the one that the pipe has
    struct pipe_account account;
    struct pipe_account *shared; // NULL: its own account
    usec_t linger;
};

static void on_ended(void *ctx, struct pipe *pipe, const struct pipe_totals *totals)
{
    struct world *w = ctx;
    assert_ptr_equal(pipe, w->pipe);
    w->totals = *totals;
    w->ended++;
    w->pipe = NULL;
    pipe_free(pipe);
}

static void make_pipe(struct world *w, struct stream_conn *conn)
{
    const struct pipe_config config = {.base = w->f->base,
                                       .counters = &w->f->counters,
                                       .account = w->shared ? w->shared : &w->account,
                                       .linger = w->linger,
                                       .ctx = w,
                                       .ended = on_ended};
    assert_int_equal(stream_send(conn, answer, sizeof answer), 0);
    assert_int_equal(pipe_new(&config, conn, w->inside, &w->pipe), 0);
}

static void become_pipe(struct fixture *f, struct stream_conn *conn)
{
    make_pipe(f->user, conn);
}

static void become_nothing(struct fixture *f, struct stream_conn *conn)
{
    stream_pause(conn);
}

// Two ends of a TCP connection; the second does not block.
static void make_peer(struct world *w)
{
    struct sockaddr_storage sa = {.ss_family = AF_INET};
    socklen_t len = sizeof sa;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&sa, sizeof(struct sockaddr)), 0);
    assert_int_equal(listen(listener, 1), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&sa, &len), 0);
    w->peer = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(w->peer, (struct sockaddr *)&sa, len), 0);
    w->inside = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    assert_true(w->inside >= 0);
    close(listener);
}

// A client and a peer.
static struct world *world_new(struct fixture *f)
{
    struct world *w = calloc(1, sizeof *w);
    w->f = f;
    f->user = w;
    w->linger = 10 * USEC_PER_SEC;
    w->client = client_connect(f);
    make_peer(w);
    return w;
}

static void world_free(struct world *w)
{
    pipe_free(w->pipe);
    if (w->client >= 0)
        close(w->client);
    if (w->peer >= 0)
        close(w->peer);
    free(w);
}

static int set_up(void **state)
{
    void *fixture;
    stream_setup(&fixture);
    ((struct fixture *)fixture)->hook = become_pipe;
    *state = world_new(fixture);
    return 0;
}

static int tear_down(void **state)
{
    struct world *w = *state;
    void *fixture = w->f;
    world_free(w);
    return stream_teardown(&fixture);
}

static void join(struct world *w)
{
    client_put(w->client, request, sizeof request);
    client_expect(w->f, w->client, answer, sizeof answer);
    assert_non_null(w->pipe);
}

static void turns(struct world *w, unsigned n)
{
    while (n-- > 0) {
        turn_loop(w->f);
        usleep(500);
    }
}

// ---- bytes

static void both_ways(void **state)
{
    struct world *w = *state;
    client_put(w->peer, "early", 5); // before anybody wants it
    join(w);
    client_expect(w->f, w->client, "early", 5);
    client_put(w->client, "hello", 5);
    client_expect(w->f, w->peer, "hello", 5);
    client_put(w->peer, "world!", 6);
    client_expect(w->f, w->client, "world!", 6);
    // What would be a message, what would end a connection of messages.
    client_put(w->client, request, sizeof request);
    client_expect(w->f, w->peer, request, sizeof request);
    client_put(w->client, "\xff\x16\x80", 3);
    client_expect(w->f, w->peer, "\xff\x16\x80", 3);
    assert_int_equal(w->f->messages, 1);
    assert_int_equal(pipe_totals(w->pipe)->to_peer, 28);
    assert_int_equal(pipe_totals(w->pipe)->to_client, 11);
    assert_int_equal(count_of(w->f, COUNTER_TURN_STREAM_TO_PEER_BYTES), 28);
    assert_int_equal(count_of(w->f, COUNTER_TURN_STREAM_TO_CLIENT_BYTES), 11);
    assert_int_equal(count_of(w->f, COUNTER_CONN_TCP), 1);
}

// A client that is in a hurry does not wait for the answer.
static void bytes_right_behind_the_request(void **state)
{
    struct world *w = *state;
    uint8_t both[sizeof request + 7];
    memcpy(both, request, sizeof request);
    memcpy(both + sizeof request, "\xff hurry", 7);
    client_put(w->client, both, sizeof both);
    client_expect(w->f, w->client, answer, sizeof answer);
    client_expect(w->f, w->peer, "\xff hurry", 7);
    client_put(w->client, "more", 4);
    client_expect(w->f, w->peer, "more", 4);
}

static void a_pause_before(void **state)
{
    struct world *w = *state;
    uint8_t both[sizeof request + 7];
    w->f->hook = become_nothing;
    memcpy(both, request, sizeof request);
    memcpy(both + sizeof request, "\xff hurry", 7);
    client_put(w->client, both, sizeof both);
    pump(w->f, &w->f->messages, 1);
    client_put(w->client, "more", 4);
    turns(w, 20);
    assert_int_equal(w->f->gone, 0); // nobody has looked at it
    make_pipe(w, w->f->last);
    client_expect(w->f, w->client, answer, sizeof answer);
    client_expect(w->f, w->peer, "\xff hurrymore", 11);
}

// It was no pipe after all: messages go on, those that came meanwhile and one that is in two parts.
static void a_pause_that_ends(void **state)
{
    struct world *w = *state;
    uint8_t three[3 * sizeof request];
    w->f->hook = become_nothing;
    for (unsigned i = 0; i < 3; i++)
        memcpy(three + i * sizeof request, request, sizeof request);
    client_put(w->client, three, sizeof three - 10);
    pump(w->f, &w->f->messages, 1);
    turns(w, 20);
    assert_int_equal(w->f->messages, 1);
    stream_resume(w->f->last);
    pump(w->f, &w->f->messages, 2); // and pauses again
    client_put(w->client, three, 10);
    turns(w, 20);
    assert_int_equal(w->f->messages, 2);
    w->f->hook = NULL;
    stream_resume(w->f->last);
    stream_resume(w->f->last);
    pump(w->f, &w->f->messages, 3);
    client_put(w->client, request, sizeof request);
    pump(w->f, &w->f->messages, 4);
    close(w->client);
    w->client = -1;
    pump(w->f, &w->f->gone, 1);
}

static void who_is_paused_for_ever_is_a_stranger(void **state)
{
    struct world *w = *state;
    close(w->client);
    w->f->config.trust_time = SHORT_TIME;
    stream_restart(w->f, "127.0.0.1");
    w->f->hook = become_nothing;
    w->client = client_connect(w->f);
    client_put(w->client, request, sizeof request);
    pump(w->f, &w->f->gone, 1);
    assert_int_equal(count_of(w->f, COUNTER_CONN_CLOSED_UNPROVED), 1);
}

// ---- back-pressure

static uint8_t byte_at(size_t i)
{
    return (uint8_t)(i * 2654435761u >> 13);
}

// Sends until nobody takes any more. Returns how much was taken.
static size_t stuff(struct world *w, int fd)
{
    static uint8_t data[65536];
    size_t sent = 0;
    unsigned idle = 0;
    while (idle < 50 && sent < 64u << 20) {
        for (size_t i = 0; i < sizeof data; i++)
            data[i] = byte_at(sent + i);
        ssize_t n = send(fd, data, sizeof data, MSG_DONTWAIT | MSG_NOSIGNAL);
        idle = n > 0 ? 0 : idle + 1;
        sent += n > 0 ? (size_t)n : 0;
        turns(w, 1);
    }
    return sent;
}

static void drain_and_compare(struct world *w, int fd, size_t len)
{
    static uint8_t data[65536];
    usec_t deadline = usec_now() + 20 * USEC_PER_SEC;
    size_t got = 0;
    while (got < len && usec_now() < deadline) {
        ssize_t n = recv(fd, data, sizeof data, MSG_DONTWAIT);
        for (ssize_t i = 0; i < n; i++) {
            if (data[i] != byte_at(got + (size_t)i))
                fail_msg("byte %zu is wrong", got + (size_t)i);
        }
        got += n > 0 ? (size_t)n : 0;
        turn_loop(w->f);
    }
    assert_int_equal(got, len);
}

static void who_does_not_read_stops_the_sender(void **state)
{
    struct world *w = *state;
    int small = 65536;
    setsockopt(w->client, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    setsockopt(w->peer, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    join(w);
    size_t to_client = stuff(w, w->peer), to_peer = stuff(w, w->client);
    assert_true(to_client > 0 && to_client < 64u << 20);
    assert_true(to_peer > 0 && to_peer < 64u << 20);
    assert_int_equal(w->ended, 0);
    // The loop is at rest: nothing spins.
    struct timespec before, after;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &before);
    struct timeval tv = {.tv_usec = 200000};
    event_base_loopexit(w->f->base, &tv);
    event_base_dispatch(w->f->base);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &after);
    long spent = (after.tv_sec - before.tv_sec) * 1000 + (after.tv_nsec - before.tv_nsec) / 1000000;
    assert_true(spent < 100);
    drain_and_compare(w, w->client, to_client);
    drain_and_compare(w, w->peer, to_peer);
    assert_int_equal(pipe_totals(w->pipe)->to_client, to_client);
    assert_int_equal(pipe_totals(w->pipe)->to_peer, to_peer);
}

static void a_rate(void **state)
{
    struct world *w = *state;
    static uint8_t data[65536];
    size_t sent = 0;
    w->account.bytes_per_second = 400000;
    join(w);
    usec_t begin = usec_now();
    for (size_t got = 0; got < 700000;) { // a second is free: 0.75 s
        ssize_t n = send(w->client, data, sizeof data, MSG_DONTWAIT | MSG_NOSIGNAL);
        sent += n > 0 ? (size_t)n : 0;
        n = recv(w->peer, data, sizeof data, MSG_DONTWAIT);
        got += n > 0 ? (size_t)n : 0;
        turns(w, 1);
        assert_true(usec_now() < begin + 10 * USEC_PER_SEC);
    }
    assert_true(sent >= 700000);
    usec_t took = usec_now() - begin;
    if (took < 600 * USEC_PER_MSEC || took > 2 * USEC_PER_SEC)
        fail_msg("700 kB took %llu us", (unsigned long long)took);
}

struct flow {
    int from, to;
    size_t got;
};

static size_t pass(struct flow *flow, unsigned flows)
{
    static uint8_t data[65536];
    size_t passed = 0;
    for (unsigned i = 0; i < flows; i++) {
        (void)!send(flow[i].from, data, sizeof data, MSG_DONTWAIT | MSG_NOSIGNAL);
        ssize_t n = recv(flow[i].to, data, sizeof data, MSG_DONTWAIT);
        flow[i].got += n > 0 ? (size_t)n : 0;
        passed += n > 0 ? (size_t)n : 0;
    }
    return passed;
}

// Both directions of one pipe, and one of two others: together no more than the rate, but for what
// is saved up and on the way, and nobody waits for ever.
static void pipes_that_share_a_rate(void **state)
{
    enum { RATE = 300000, EACH = 6 * PIPE_BUFFER, PIPES = 3, FLOWS = 4 };
    struct world *w = *state, *all[PIPES] = {w};
    struct flow flow[FLOWS] = {{w->client, w->peer, 0}, {w->peer, w->client, 0}};
    size_t passed = 0, least = 0;
    w->account.bytes_per_second = RATE;
    usec_t begin = usec_now();
    for (unsigned i = 0; i < PIPES; i++) {
        if (i > 0) {
            all[i] = world_new(w->f);
            all[i]->shared = &w->account;
            flow[1 + i] = (struct flow){all[i]->peer, all[i]->client, 0};
        }
        join(all[i]);
    }
    // Whoever comes first may have all that is saved up; then everybody has a share.
    while (passed < RATE) {
        passed += pass(flow, FLOWS);
        turns(w, 1);
        assert_true(usec_now() < begin + 20 * USEC_PER_SEC);
    }
    for (unsigned i = 0; i < FLOWS; i++)
        flow[i].got = 0;
    while (least < EACH) {
        passed += pass(flow, FLOWS);
        turns(w, 1);
        least = SIZE_MAX;
        for (unsigned i = 0; i < FLOWS; i++)
            least = flow[i].got < least ? flow[i].got : least;
        assert_true(usec_now() < begin + 20 * USEC_PER_SEC);
    }
    usec_t took = usec_now() - begin;
    assert_true(passed <= RATE + took * RATE / USEC_PER_SEC + (size_t)2 * PIPES * PIPE_BUFFER);
    for (unsigned i = 1; i < PIPES; i++)
        world_free(all[i]);
}

// Who leaves and comes again finds the account as it was.
static void a_pipe_that_comes_later_waits_for_what_is_owed(void **state)
{
    struct world *w = *state;
    w->account = (struct pipe_account){1000, usec_now() + USEC_PER_SEC};
    assert_false(pipe_account_is_settled(&w->account, usec_now()));
    usec_t owed = w->account.paid_until;
    join(w);
    client_put(w->client, "x", 1);
    client_expect(w->f, w->peer, "x", 1);
    assert_true(usec_now() >= owed);
    assert_false(pipe_account_is_settled(&w->account, owed + USEC_PER_SEC));
    assert_true(pipe_account_is_settled(&w->account, w->account.paid_until + USEC_PER_SEC));
}

// ---- the end

static void the_client_leaves(void **state)
{
    struct world *w = *state;
    join(w);
    client_put(w->client, "last words", 10);
    close(w->client);
    w->client = -1;
    client_expect(w->f, w->peer, "last words", 10);
    assert_closed(w->f, w->peer);
    close(w->peer);
    w->peer = -1;
    pump(w->f, &w->ended, 1);
    assert_int_equal(w->totals.to_peer, 10);
    assert_int_equal(w->f->gone, 0); // the handler of messages knows nothing of it
    assert_int_equal(count_of(w->f, COUNTER_CONN_TCP), 0);
}

static void the_peer_leaves(void **state)
{
    struct world *w = *state;
    client_put(w->peer, "last words", 10);
    close(w->peer);
    w->peer = -1;
    turns(w, 5);
    join(w); // it has gone before the client wanted it
    client_expect(w->f, w->client, "last words", 10);
    assert_closed(w->f, w->client);
    close(w->client);
    w->client = -1;
    pump(w->f, &w->ended, 1);
    assert_int_equal(w->totals.to_client, 10);
}

// What comes after the other side has ended still arrives, like the answer to a question that ends
// with its end.
static void half_closed(void **state)
{
    struct world *w = *state;
    join(w);
    client_put(w->client, "question", 8);
    shutdown(w->client, SHUT_WR);
    client_expect(w->f, w->peer, "question", 8);
    assert_closed(w->f, w->peer);
    client_put(w->peer, "an answer", 9);
    client_expect(w->f, w->client, "an answer", 9);
    assert_int_equal(w->ended, 0);
    close(w->peer);
    w->peer = -1;
    assert_closed(w->f, w->client);
    pump(w->f, &w->ended, 1);
}

static void nobody_lingers_for_ever(void **state)
{
    struct world *w = *state;
    w->linger = SHORT_TIME;
    join(w);
    close(w->client);
    w->client = -1;
    assert_closed(w->f, w->peer);
    assert_int_equal(w->ended, 0);
    pump(w->f, &w->ended, 1);
    assert_closed(w->f, w->peer);
}

static void reset(int fd)
{
    struct linger abort = {.l_onoff = 1};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &abort, sizeof abort);
    close(fd);
}

static void resets(void **state)
{
    struct world *w = *state;
    join(w);
    reset(w->peer);
    w->peer = -1;
    pump(w->f, &w->ended, 1);
    assert_closed(w->f, w->client);
}

static void a_client_that_resets(void **state)
{
    struct world *w = *state;
    join(w);
    client_put(w->client, "x", 1);
    client_expect(w->f, w->peer, "x", 1);
    reset(w->client);
    w->client = -1;
    pump(w->f, &w->ended, 1);
    assert_closed(w->f, w->peer);
}

// The peer has said all that it will and goes; what the client still sends goes nowhere, and does
// not cost it what it has not read.
static void an_answer_to_who_still_talks(void **state)
{
    struct world *w = *state;
    join(w);
    size_t len = 100000;
    uint8_t *data = malloc(len);
    for (size_t i = 0; i < len; i++)
        data[i] = byte_at(i);
    for (size_t sent = 0; sent < len;) {
        ssize_t n = send(w->peer, data + sent, len - sent, MSG_DONTWAIT | MSG_NOSIGNAL);
        sent += n > 0 ? (size_t)n : 0;
        turn_loop(w->f);
    }
    free(data);
    // All of it has arrived here; what its own kernel had left would be lost with it.
    int unsent = 1;
    for (unsigned i = 0; unsent > 0 && i < 1000; i++, turns(w, 1))
        assert_int_equal(ioctl(w->peer, SIOCOUTQ, &unsent), 0);
    assert_int_equal(unsent, 0);
    close(w->peer);
    w->peer = -1;
    for (unsigned i = 0; i < 20; i++) {
        client_try_put(w->client, "still talking", 13);
        turns(w, 1);
    }
    drain_and_compare(w, w->client, len);
    assert_closed(w->f, w->client);
}

static void freed_while_it_runs(void **state)
{
    struct world *w = *state;
    join(w);
    client_put(w->client, "x", 1);
    pipe_free(w->pipe);
    w->pipe = NULL;
    assert_closed(w->f, w->client);
    assert_closed(w->f, w->peer);
    assert_int_equal(w->ended, 0);
    assert_int_equal(w->f->gone, 0);
}

static void the_server_ends(void **state)
{
    struct world *w = *state;
    join(w);
    stream_restart(w->f, "127.0.0.1");
    assert_int_equal(w->ended, 1);
    assert_closed(w->f, w->peer);
}

static void a_connection_that_has_ended(void **state)
{
    struct world *w = *state;
    const struct pipe_config config = {.base = w->f->base, .ctx = w, .ended = on_ended};
    w->f->hook = NULL;
    client_put(w->client, request, sizeof request);
    pump(w->f, &w->f->messages, 1);
    struct stream_conn *conn = w->f->last;
    stream_close(conn); // its handler hears of it later
    assert_int_equal(pipe_new(&config, conn, w->inside, &w->pipe), -EPIPE);
    close(w->inside);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(both_ways),
        CASE(bytes_right_behind_the_request),
        CASE(a_pause_before),
        CASE(a_pause_that_ends),
        CASE(who_is_paused_for_ever_is_a_stranger),
        CASE(who_does_not_read_stops_the_sender),
        CASE(a_rate),
        CASE(pipes_that_share_a_rate),
        CASE(a_pipe_that_comes_later_waits_for_what_is_owed),
        CASE(the_client_leaves),
        CASE(the_peer_leaves),
        CASE(half_closed),
        CASE(nobody_lingers_for_ever),
        CASE(resets),
        CASE(a_client_that_resets),
        CASE(an_answer_to_who_still_talks),
        CASE(freed_while_it_runs),
        CASE(the_server_ends),
        CASE(a_connection_that_has_ended),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
