// SPDX-License-Identifier: ISC
// DTLS, with OpenSSL's own clients, over a network in memory that can lose datagrams: the cookie
// and what it costs, messages, retransmission, and every limit.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../../src/platform/dtls_pipe.h"
#include "lib_certificate.h"
#include "lib_memory.h"
#include "platform/dtls.h"
#include "platform/udp.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    CLIENTS = 12,
    QUEUE = 64, // datagrams under way
    SESSIONS_MAX = 8,
    PER_SOURCE_MAX = 4,
    HALF_OPEN_MAX = 5,
    TRUST_TIME = 10 * 1000000,
    IDLE_TIME = 60 * 1000000,
};

struct datagram {
    struct addr client;
    bool to_client;
    size_t len;
    uint8_t data[2048];
};

struct client {
    SSL *ssl;
    struct dtls_pipe pipe; // 'remote' is the client's own address here
};

struct fixture {
    struct certificate_files files;
    struct tls *tls;
    SSL_CTX *client_ctx;
    BIO_METHOD *method;
    struct counters counters;
    struct dtls *dtls;
    struct dtls_config config;
    struct addr local;
    usec_t now;
    struct client client[CLIENTS];
    struct datagram *queue;
    unsigned queued;
    unsigned lose; // this many of the datagrams sent from now on
    size_t sent_to_clients, datagrams_to_clients;
    struct dtls_session *last;
    unsigned messages, gone;
    uint8_t message[DTLS_HEADROOM + 4096];
    size_t message_len;
    bool echo, close_in_message;
    int after_close;
    char link; // its address is the listener's name
};

// ---- the network

static void put_in_queue(struct fixture *f, const struct addr *client, bool to_client,
                         const uint8_t *data, size_t len)
{
    assert_true(len <= sizeof f->queue->data);
    if (f->lose > 0) {
        f->lose--;
        return;
    }
    assert_true(f->queued < QUEUE);
    struct datagram *datagram = &f->queue[f->queued++];
    datagram->client = *client;
    datagram->to_client = to_client;
    datagram->len = len;
    memcpy(datagram->data, data, len);
}

static void server_sends(void *ctx, void *link, const struct addr *to, const uint8_t *data,
                         size_t len)
{
    struct fixture *f = ctx;
    assert_ptr_equal(link, &f->link);
    f->sent_to_clients += len;
    f->datagrams_to_clients++;
    put_in_queue(f, to, true, data, len);
}

static void client_sends(void *ctx, void *link, const struct addr *own, const uint8_t *data,
                         size_t len)
{
    put_in_queue(ctx, own, false, data, len);
}

static struct client *client_at(struct fixture *f, const struct addr *addr)
{
    for (int i = 0; i < CLIENTS; i++)
        if (f->client[i].ssl && addr_equal(&f->client[i].pipe.remote, addr))
            return &f->client[i];
    return NULL;
}

// A client has a datagram; what it reads goes nowhere, but its handshake goes on.
static void client_takes(struct client *client, const uint8_t *data, size_t len)
{
    client->pipe.in = data;
    client->pipe.in_len = len;
    ERR_clear_error();
    if (!SSL_is_init_finished(client->ssl))
        (void)SSL_do_handshake(client->ssl);
}

// Delivers until nothing is under way. What a client has not read when the next comes is lost.
static void run(struct fixture *f)
{
    static uint8_t kept[CLIENTS][2048];
    while (f->queued > 0) {
        struct datagram datagram = f->queue[0];
        memmove(f->queue, f->queue + 1, --f->queued * sizeof *f->queue);
        struct client *client = client_at(f, &datagram.client);
        if (!datagram.to_client) {
            dtls_recv(f->dtls, &f->link, &datagram.client, &f->local, datagram.data, datagram.len,
                      f->now);
        } else if (client) {
            uint8_t *data = kept[client - f->client];
            memcpy(data, datagram.data, datagram.len);
            client_takes(client, data, datagram.len);
        }
    }
}

static void on_message(void *ctx, struct dtls_session *session, struct dtls_message *message,
                       usec_t now)
{
    struct fixture *f = ctx;
    f->messages++;
    f->last = session;
    f->message_len = message->len;
    memcpy(f->message, message->data, message->len);
    memset(message->data - DTLS_HEADROOM, 'S', DTLS_HEADROOM);
    memset(message->data + message->len, 'S', DTLS_TAILROOM);
    if (f->echo)
        assert_int_equal(dtls_send(session, message->data, message->len), 0);
    if (f->close_in_message) {
        dtls_close(session);
        dtls_close(session);
        f->after_close = dtls_send(session, message->data, message->len);
    }
}

static void on_gone(void *ctx, struct dtls_session *session, usec_t now)
{
    struct fixture *f = ctx;
    f->gone++;
    assert_true(dtls_remote(session)->port > 0);
    assert_int_equal(dtls_send(session, (const uint8_t *)"x", 1), -EPIPE);
    if (f->last == session)
        f->last = NULL;
}

static uint64_t count_of(struct fixture *f, enum counter id)
{
    return counter_get(&f->counters, id);
}

static int setup(void **state)
{
    char error[TLS_ERROR_MAX];
    struct fixture *f = calloc(1, sizeof *f);
    f->queue = calloc(QUEUE, sizeof *f->queue);
    certificate_make(&f->files, CERTIFICATE_GOOD, 1);
    assert_int_equal(tls_new(f->files.certificate, f->files.key, &f->tls, error), 0);
    f->client_ctx = SSL_CTX_new(DTLS_client_method());
    f->method = dtls_pipe_method();
    f->local = addr_v4((const uint8_t[4]){203, 0, 113, 9}, 5349);
    f->now = usec_now();
    f->config = (struct dtls_config){
        .tls = f->tls,
        .sessions_max = SESSIONS_MAX,
        .per_source_max = PER_SOURCE_MAX,
        .half_open_max = HALF_OPEN_MAX,
        .trust_time = TRUST_TIME,
        .idle_time = IDLE_TIME,
        .cookie_key = "a key of thirty-two bytes, it is",
    };
    const struct dtls_handler handler = {f, server_sends, on_message, on_gone};
    assert_int_equal(dtls_new(&f->config, &handler, &f->counters, &f->dtls), 0);
    *state = f;
    return 0;
}

static void client_leave(struct fixture *f, int i)
{
    SSL_free(f->client[i].ssl);
    f->client[i].ssl = NULL;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    dtls_free(f->dtls);
    assert_int_equal(count_of(f, COUNTER_CONN_DTLS), 0);
    for (int i = 0; i < CLIENTS; i++)
        client_leave(f, i);
    BIO_meth_free(f->method);
    SSL_CTX_free(f->client_ctx);
    tls_free(f->tls);
    certificate_remove(&f->files);
    free(f->queue);
    free(f);
    ERR_clear_error();
    return 0;
}

// ---- clients

static struct addr client_addr(int host, uint16_t port)
{
    return addr_v4((const uint8_t[4]){198, 51, 100, (uint8_t)host}, port);
}

static struct client *client_new(struct fixture *f, int i, int host)
{
    struct client *client = &f->client[i];
    client->pipe = (struct dtls_pipe){.out_max = SIZE_MAX,
                                      .send = client_sends,
                                      .ctx = f,
                                      .remote = client_addr(host, (uint16_t)(40000 + i))};
    BIO *bio = dtls_pipe_bio(f->method, &client->pipe);
    client->ssl = SSL_new(f->client_ctx);
    SSL_set_bio(client->ssl, bio, bio);
    SSL_set_options(client->ssl, SSL_OP_NO_QUERY_MTU);
    SSL_set_mtu(client->ssl, 1200);
    SSL_set_connect_state(client->ssl);
    return client;
}

static struct client *client_begin(struct fixture *f, int i, int host)
{
    struct client *client = client_new(f, i, host);
    (void)SSL_do_handshake(client->ssl); // its first hello
    return client;
}

static struct client *client_connect(struct fixture *f, int i, int host)
{
    struct client *client = client_begin(f, i, host);
    run(f);
    return client;
}

static bool connected(const struct client *client)
{
    return SSL_is_init_finished(client->ssl);
}

static void client_put(struct fixture *f, struct client *client, const char *text)
{
    assert_int_equal(SSL_write(client->ssl, text, (int)strlen(text)), strlen(text));
    run(f);
}

static void client_expect(struct client *client, const char *text)
{
    char got[4096];
    int n = SSL_read(client->ssl, got, sizeof got);
    assert_int_equal(n, strlen(text));
    assert_memory_equal(got, text, (size_t)n);
}

static void assert_message(struct fixture *f, unsigned count, const char *text)
{
    assert_int_equal(f->messages, count);
    assert_int_equal(f->message_len, strlen(text));
    assert_memory_equal(f->message, text, f->message_len);
}

// ---- talking

static void talks(void **state)
{
    struct fixture *f = *state;
    struct client *client = client_connect(f, 0, 1);
    assert_true(connected(client));
    assert_string_equal(SSL_get_version(client->ssl), "DTLSv1.2");
    assert_int_equal(count_of(f, COUNTER_CONN_DTLS), 1);
    assert_int_equal(count_of(f, COUNTER_CONN_OPENED), 1);
    f->echo = true;
    client_put(f, client, "hello");
    assert_message(f, 1, "hello");
    client_expect(client, "hello");
    assert_true(addr_equal(dtls_remote(f->last), &client->pipe.remote));
    assert_true(addr_equal(dtls_local(f->last), &f->local));
    // By itself.
    struct dtls_session *session = f->last;
    assert_int_equal(dtls_send(session, (const uint8_t *)"news", 4), 0);
    run(f);
    client_expect(client, "news");
    assert_int_equal(dtls_send(session, f->message, 0), -EMSGSIZE);
    assert_int_equal(dtls_send(session, f->message, 20000), -EMSGSIZE);
    // The client says goodbye.
    SSL_shutdown(client->ssl);
    run(f);
    assert_int_equal(f->gone, 0);
    assert_int_equal(dtls_tick(f->dtls, f->now), USEC_NEVER);
    assert_int_equal(f->gone, 1);
    assert_int_equal(count_of(f, COUNTER_CONN_CLOSED_PEER), 1);
}

static void two_records_in_one_datagram(void **state)
{
    struct fixture *f = *state;
    struct client *client = client_connect(f, 0, 1);
    SSL_write(client->ssl, "one", 3);
    SSL_write(client->ssl, "second", 6);
    assert_int_equal(f->queued, 2);
    memcpy(f->queue[0].data + f->queue[0].len, f->queue[1].data, f->queue[1].len);
    f->queue[0].len += f->queue[1].len;
    f->queued = 1;
    run(f);
    assert_message(f, 2, "second");
}

static void a_session_closed_in_a_message_stays_until_it_is_gone(void **state)
{
    struct fixture *f = *state;
    struct client *client = client_connect(f, 0, 1);
    f->close_in_message = true;
    client_put(f, client, "hello");
    assert_int_equal(f->after_close, -EPIPE);
    assert_int_equal(f->gone, 0);
    (void)dtls_tick(f->dtls, f->now);
    assert_int_equal(f->gone, 1);
    char byte;
    assert_int_equal(SSL_read(client->ssl, &byte, 1), 0);
    assert_int_equal(SSL_get_error(client->ssl, 0), SSL_ERROR_ZERO_RETURN);
    assert_int_equal(count_of(f, COUNTER_CONN_CLOSED_SELF), 1);
}

static void junk_ends_nothing(void **state)
{
    struct fixture *f = *state;
    static const uint8_t junk[][40] = {
        {23, 0xfe, 0xfd, 0, 1, 0, 0, 0, 0, 0, 9, 0, 27, 1, 2, 3}, // not authentic
        {21, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 9, 0, 2, 2, 40},    // an alert in the clear
        {22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 9, 0, 27, 1, 9, 9}, // something like a hello
        {63, 0xff},                                               // nothing at all
    };
    struct client *client = client_connect(f, 0, 1);
    f->echo = true;
    for (size_t i = 0; i < sizeof junk / sizeof *junk; i++) {
        dtls_recv(f->dtls, &f->link, &client->pipe.remote, &f->local, junk[i], sizeof junk[i],
                  f->now);
        // And to nobody's session.
        const struct addr nobody = client_addr(99, 1);
        dtls_recv(f->dtls, &f->link, &nobody, &f->local, junk[i], sizeof junk[i], f->now);
        client_put(f, client, "still");
        client_expect(client, "still");
    }
    dtls_recv(f->dtls, &f->link, &client->pipe.remote, &f->local, junk[0], 0, f->now);
    assert_int_equal(count_of(f, COUNTER_CONN_DTLS), 1);
}

// Records of every type and length that nobody has encrypted. (OpenSSL 3.0.20 gives a session up
// over one that is too short to have been.)
static void no_length_ends_a_session(void **state)
{
    struct fixture *f = *state;
    struct client *client = client_connect(f, 0, 1);
    f->echo = true;
    for (uint8_t type = 20; type <= 25; type++) {
        for (uint8_t len = 0; len <= 64; len++) {
            const uint8_t junk[13 + 64] = {type, 0xfe, 0xfd, 0, 1, 0, 0, 0, 0, 1, len, 0, len, 7};
            dtls_recv(f->dtls, &f->link, &client->pipe.remote, &f->local, junk, 13u + len, f->now);
            // With another one behind it, and cut off.
            dtls_recv(f->dtls, &f->link, &client->pipe.remote, &f->local, junk, sizeof junk,
                      f->now);
            dtls_recv(f->dtls, &f->link, &client->pipe.remote, &f->local, junk, 12, f->now);
            if (count_of(f, COUNTER_CONN_DTLS) != 1)
                fail_msg("type %u, length %u", type, len);
        }
    }
    client_put(f, client, "still");
    client_expect(client, "still");
}

// ---- the cookie

static size_t hello_of(struct fixture *f, uint8_t *data)
{
    (void)client_begin(f, CLIENTS - 1, 200);
    assert_int_equal(f->queued, 1);
    size_t len = f->queue[0].len;
    memcpy(data, f->queue[0].data, len);
    f->queued = 0;
    client_leave(f, CLIENTS - 1);
    return len;
}

static void strangers_cost_nothing(void **state)
{
    struct fixture *f = *state;
    enum { SPOOFED = 10000 };
    uint8_t hello[2048];
    size_t len = hello_of(f, hello), before = 0;
    // The first makes the greeter.
    for (int i = 0; i <= SPOOFED; i++) {
        const struct addr from =
            addr_v4((const uint8_t[4]){192, 0, (uint8_t)(i >> 8), (uint8_t)i}, 1234);
        f->queued = 0;
        dtls_recv(f->dtls, &f->link, &from, &f->local, hello, len, f->now);
        assert_int_equal(f->queued, 1); // each is answered
        if (i == 0)
            before = live_bytes();
    }
    f->queued = 0;
    size_t after = live_bytes();
    print_message("10,000 hellos of %zu bytes: answered with %zu each, memory grew by %zd bytes\n",
                  len, f->sent_to_clients / (SPOOFED + 1), (ssize_t)(after - before));
    assert_true(after < before + (1 << 20));
    assert_int_equal(dtls_tick(f->dtls, f->now), USEC_NEVER); // no session, no timer
    assert_int_equal(count_of(f, COUNTER_CONN_OPENED), 0);
    // And it still serves.
    assert_true(connected(client_connect(f, 0, 1)));
}

// RFC 6347 section 4.2.1: "amplification": the answer is shorter, even to the shortest hello there
// is, and what is shorter still is not answered.
static void the_answer_is_shorter_than_the_hello(void **state)
{
    struct fixture *f = *state;
    static const uint8_t shortest[] = {
        22,   0xfe, 0xff, 0,    0, 0, 0, 0, 0, 0,  0,  0,  54, // record: handshake, 54 bytes
        1,    0,    0,    42,   0, 0, 0, 0, 0, 0,  0,  42,     // ClientHello, 42 bytes, whole
        0xfe, 0xfd,                                            // DTLS 1.2
        1,    2,    3,    4,    5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, // random
        1,    2,    3,    4,    5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16,
        0,                      // no session id
        0,                      // no cookie
        0,    2,    0xc0, 0x2b, // one cipher suite
        1,    0,                // one compression method: none
    };
    const struct addr from = client_addr(7, 1234);
    dtls_recv(f->dtls, &f->link, &from, &f->local, shortest, sizeof shortest, f->now);
    assert_int_equal(f->datagrams_to_clients, 1);
    print_message("a hello of %zu bytes is answered with %zu\n", sizeof shortest,
                  f->sent_to_clients);
    assert_true(f->sent_to_clients < sizeof shortest);
    for (size_t len = 0; len < sizeof shortest; len++) {
        size_t sent = f->sent_to_clients;
        uint8_t cut[sizeof shortest];
        memcpy(cut, shortest, len);
        dtls_recv(f->dtls, &f->link, &from, &f->local, cut, len, f->now);
        assert_true(f->sent_to_clients - sent <= len);
    }
    uint8_t hello[2048];
    f->queued = 0;
    size_t len = hello_of(f, hello), sent = f->sent_to_clients;
    dtls_recv(f->dtls, &f->link, &from, &f->local, hello, len, f->now);
    assert_true(f->sent_to_clients - sent < len);
    f->queued = 0;
}

// Takes the second hello, with the cookie, out of a client's hands.
static struct datagram second_hello(struct fixture *f, int i, int host)
{
    struct client *client = client_begin(f, i, host);
    assert_int_equal(f->queued, 1);
    dtls_recv(f->dtls, &f->link, &client->pipe.remote, &f->local, f->queue[0].data, f->queue[0].len,
              f->now);
    assert_int_equal(f->queued, 2);
    client_takes(client, f->queue[1].data, f->queue[1].len);
    assert_int_equal(f->queued, 3);
    struct datagram hello = f->queue[2];
    assert_false(hello.to_client);
    f->queued = 0;
    return hello;
}

static void a_cookie_is_for_one_address_and_some_time(void **state)
{
    struct fixture *f = *state;
    enum { MINUTE = 60 * 1000000 };
    struct datagram hello = second_hello(f, 0, 1);
    struct addr other = hello.client, elsewhere = f->local;
    other.port++;
    elsewhere.port++;
    const struct {
        struct addr from, to;
        usec_t now;
        bool ok;
    } row[] = {
        {other, f->local, f->now, false},
        {client_addr(2, hello.client.port), f->local, f->now, false},
        {hello.client, elsewhere, f->now, false},
        {hello.client, f->local, f->now + 2 * MINUTE, false},
        {hello.client, f->local, f->now + MINUTE, true},
    };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        dtls_recv(f->dtls, &f->link, &row[i].from, &row[i].to, hello.data, hello.len, row[i].now);
        assert_int_equal(count_of(f, COUNTER_CONN_OPENED), row[i].ok);
    }
    f->queued = 0;
    // A changed cookie.
    hello = second_hello(f, 1, 1);
    for (size_t i = 13 + 12 + 2 + 32 + 1; i < 13 + 12 + 2 + 32 + 1 + 21; i++) {
        hello.data[i] ^= 1;
        dtls_recv(f->dtls, &f->link, &hello.client, &f->local, hello.data, hello.len, f->now);
        hello.data[i] ^= 1;
        f->queued = 0;
    }
    assert_int_equal(count_of(f, COUNTER_CONN_OPENED), 1);
    f->queued = 0;
}

// Workers with one key take each other's cookies, as the kernel may give a hello to either.
static void workers_share_cookies(void **state)
{
    struct fixture *f = *state;
    struct dtls *mine = f->dtls;
    struct datagram hello = second_hello(f, 0, 1);
    const struct dtls_handler handler = {f, server_sends, on_message, on_gone};
    assert_int_equal(dtls_new(&f->config, &handler, &f->counters, &f->dtls), 0);
    put_in_queue(f, &hello.client, false, hello.data, hello.len);
    run(f);
    assert_true(connected(&f->client[0]));
    dtls_free(f->dtls);
    f->config.cookie_key[0]++;
    assert_int_equal(dtls_new(&f->config, &handler, &f->counters, &f->dtls), 0);
    dtls_recv(f->dtls, &f->link, &hello.client, &f->local, hello.data, hello.len, f->now);
    assert_int_equal(count_of(f, COUNTER_CONN_OPENED), 1);
    f->queued = 0;
    dtls_free(f->dtls);
    f->dtls = mine;
}

// A client that lost its session and comes from the same port again.
static void a_client_starts_anew(void **state)
{
    struct fixture *f = *state;
    struct client *client = client_connect(f, 0, 1);
    client_put(f, client, "hello");
    struct dtls_session *before = f->last;
    uint8_t hello[2048];
    size_t len = hello_of(f, hello);
    // A hello in its name changes nothing,
    dtls_recv(f->dtls, &f->link, &client->pipe.remote, &f->local, hello, len, f->now);
    f->queued = 0;
    client_put(f, client, "there");
    assert_ptr_equal(f->last, before);
    assert_int_equal(f->gone, 0);
    // until it brings the cookie.
    client_leave(f, 0);
    client = client_connect(f, 0, 1);
    assert_true(connected(client));
    assert_int_equal(f->gone, 1);
    client_put(f, client, "again");
    assert_message(f, 3, "again");
    assert_int_equal(count_of(f, COUNTER_CONN_DTLS), 1);
}

// ---- loss

static void client_time_passes(struct client *client)
{
    if (client->ssl && !SSL_is_init_finished(client->ssl))
        (void)DTLSv1_handle_timeout(client->ssl);
}

// The n-th datagram of a handshake is lost, for every n; then the one after it as well. OpenSSL's
// clock is the real one, and its first timeout one second.
static void a_handshake_survives_loss(void **state)
{
    struct fixture *f = *state;
    for (unsigned n = 0; n < 12; n++) {
        struct client *client = client_new(f, 0, (int)n + 1);
        unsigned sent = 0;
        (void)SSL_do_handshake(client->ssl);
        usec_t deadline = usec_now() + 20 * USEC_PER_SEC;
        while (!connected(client) && usec_now() < deadline) {
            while (f->queued > 0) {
                struct datagram datagram = f->queue[0];
                memmove(f->queue, f->queue + 1, --f->queued * sizeof *f->queue);
                if (sent++ == n)
                    continue;
                if (datagram.to_client)
                    client_takes(client, datagram.data, datagram.len);
                else
                    dtls_recv(f->dtls, &f->link, &datagram.client, &f->local, datagram.data,
                              datagram.len, usec_now());
            }
            client_time_passes(client);
            (void)dtls_tick(f->dtls, usec_now());
            if (f->queued == 0)
                usleep(20000);
        }
        assert_true(connected(client));
        bool all = sent <= n; // there are no more to lose
        client_leave(f, 0);
        f->queued = 0;
        if (all)
            return;
        if (n % 3 == 2) { // make room
            dtls_free(f->dtls);
            const struct dtls_handler handler = {f, server_sends, on_message, on_gone};
            assert_int_equal(dtls_new(&f->config, &handler, &f->counters, &f->dtls), 0);
        }
    }
}

// From the client's address, after each of its flights: anybody can forge that.
static void forged_alerts_do_not_end_a_handshake(void **state)
{
    struct fixture *f = *state;
    static const uint8_t alert[] = {21, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 9, 0, 2, 2, 40};
    struct client *client = client_new(f, 0, 1);
    (void)SSL_do_handshake(client->ssl);
    while (f->queued > 0) {
        struct datagram datagram = f->queue[0];
        memmove(f->queue, f->queue + 1, --f->queued * sizeof *f->queue);
        if (datagram.to_client) {
            client_takes(client, datagram.data, datagram.len);
            continue;
        }
        dtls_recv(f->dtls, &f->link, &datagram.client, &f->local, alert, sizeof alert, f->now);
        dtls_recv(f->dtls, &f->link, &datagram.client, &f->local, datagram.data, datagram.len,
                  f->now);
        dtls_recv(f->dtls, &f->link, &datagram.client, &f->local, alert, sizeof alert, f->now);
    }
    assert_true(connected(client));
    f->echo = true;
    client_put(f, client, "here");
    client_expect(client, "here");
}

// The server sends its flight again by its own timer, and gives up in the end.
static void the_server_sends_again(void **state)
{
    struct fixture *f = *state;
    struct datagram hello = second_hello(f, 0, 1);
    f->now = usec_now();
    dtls_recv(f->dtls, &f->link, &hello.client, &f->local, hello.data, hello.len, f->now);
    unsigned flight = f->queued;
    f->queued = 0;
    assert_true(flight > 0);
    usec_t next = dtls_tick(f->dtls, f->now);
    assert_in_range(next - f->now, 500000, 1000000);
    assert_int_equal(f->queued, 0);
    usleep(1010000);
    f->now = usec_now();
    next = dtls_tick(f->dtls, f->now);
    assert_true(f->queued >= flight);                 // now each message by itself
    assert_in_range(next - f->now, 1500000, 2000000); // RFC 6347 section 4.2.4.1: doubled
    f->queued = 0;
    (void)dtls_tick(f->dtls, f->now + TRUST_TIME);
    assert_int_equal(count_of(f, COUNTER_CONN_CLOSED_UNPROVED), 1);
}

// ---- limits

static void sessions_are_limited(void **state)
{
    struct fixture *f = *state;
    for (int i = 0; i < SESSIONS_MAX; i++) {
        struct client *client = client_connect(f, i, i + 1);
        client_put(f, client, "hello");
        dtls_trusted(f->last);
    }
    assert_false(connected(client_connect(f, SESSIONS_MAX, 100)));
    assert_int_equal(count_of(f, COUNTER_CONN_CLOSED_LIMIT), 1);
    assert_int_equal(count_of(f, COUNTER_CONN_DTLS), SESSIONS_MAX);
    client_leave(f, SESSIONS_MAX);
    SSL_shutdown(f->client[0].ssl);
    run(f);
    assert_true(connected(client_connect(f, SESSIONS_MAX, 100)));
    client_leave(f, SESSIONS_MAX);
}

// At once, and for those to come.
static void limits_may_change(void **state)
{
    struct fixture *f = *state;
    const struct dtls_config two = {.sessions_max = 2, .per_source_max = 1, .half_open_max = 2};
    const struct dtls_config one = {.sessions_max = 1, .per_source_max = 1, .half_open_max = 1};
    assert_int_equal(dtls_set_limits(f->dtls, &two), 0);
    for (int i = 0; i < 2; i++) {
        client_put(f, client_connect(f, i, i + 1), "hello");
        dtls_trusted(f->last);
    }
    assert_false(connected(client_connect(f, 2, 3)));
    assert_int_equal(count_of(f, COUNTER_CONN_CLOSED_LIMIT), 1);
    client_leave(f, 2);
    assert_int_equal(dtls_set_limits(f->dtls, &one), 0);
    assert_int_equal(count_of(f, COUNTER_CONN_DTLS), 2); // who is there stays
}

static void sessions_are_limited_per_source(void **state)
{
    struct fixture *f = *state;
    for (int i = 0; i < PER_SOURCE_MAX; i++)
        assert_true(connected(client_connect(f, i, 1)));
    assert_false(connected(client_connect(f, PER_SOURCE_MAX, 1)));
    assert_int_equal(count_of(f, COUNTER_CONN_CLOSED_SOURCE), 1);
    assert_true(connected(client_connect(f, PER_SOURCE_MAX + 1, 2)));
    SSL_shutdown(f->client[0].ssl);
    run(f);
    client_leave(f, PER_SOURCE_MAX);
    assert_true(connected(client_connect(f, PER_SOURCE_MAX, 1)));
}

static void the_oldest_stranger_makes_room(void **state)
{
    struct fixture *f = *state;
    struct client *trusted = client_connect(f, 0, 1);
    client_put(f, trusted, "hello");
    dtls_trusted(f->last);
    for (int i = 1; i <= HALF_OPEN_MAX + 1; i++)
        assert_true(connected(client_connect(f, i, i + 1)));
    assert_int_equal(count_of(f, COUNTER_CONN_CLOSED_HALF_OPEN), 1);
    client_put(f, &f->client[1], "lost");
    assert_int_equal(f->messages, 1);
    client_put(f, &f->client[2], "there");
    client_put(f, trusted, "too");
    assert_message(f, 3, "too");
}

static void a_stranger_has_little_time_and_the_idle_some(void **state)
{
    struct fixture *f = *state;
    client_put(f, client_connect(f, 0, 1), "trusted");
    dtls_trusted(f->last);
    dtls_trusted(f->last);
    client_put(f, client_connect(f, 1, 2), "not");
    assert_int_equal(dtls_tick(f->dtls, f->now + TRUST_TIME - 1), f->now + TRUST_TIME);
    client_put(f, &f->client[1], "still not"); // which gives it no more time
    f->now += TRUST_TIME;
    usec_t next = dtls_tick(f->dtls, f->now);
    assert_int_equal(count_of(f, COUNTER_CONN_CLOSED_UNPROVED), 1);
    assert_int_equal(f->gone, 1);
    assert_true(next <= f->now - TRUST_TIME + IDLE_TIME);
    next = f->now - TRUST_TIME + IDLE_TIME;
    assert_int_equal(dtls_tick(f->dtls, next - 1), next);
    client_put(f, &f->client[0], "here");
    assert_int_equal(dtls_tick(f->dtls, next), f->now + IDLE_TIME);
    // Datagrams that are not authentic are no sign of life.
    const uint8_t junk[] = {23, 0xfe, 0xfd, 0, 1, 0, 0, 0, 0, 0, 9, 0, 1, 1};
    dtls_recv(f->dtls, &f->link, &f->client[0].pipe.remote, &f->local, junk, sizeof junk, next);
    assert_int_equal(dtls_tick(f->dtls, f->now + IDLE_TIME), USEC_NEVER);
    assert_int_equal(count_of(f, COUNTER_CONN_CLOSED_IDLE), 1);
    assert_int_equal(f->gone, 2);
}

// What it was trusted for is over: it has as little time as at first, and no more of a place.
static void trust_may_be_taken_back(void **state)
{
    struct fixture *f = *state;
    client_put(f, client_connect(f, 0, 1), "trusted");
    struct dtls_session *session = f->last;
    dtls_trusted(session);
    for (int i = 1; i <= HALF_OPEN_MAX; i++)
        assert_true(connected(client_connect(f, i, i + 1)));
    f->now += TRUST_TIME / 2;
    dtls_stranger(session, f->now);
    dtls_stranger(session, f->now + 1); // is one
    assert_int_equal(count_of(f, COUNTER_CONN_CLOSED_HALF_OPEN), 1);
    client_put(f, &f->client[1], "lost");
    assert_int_equal(f->messages, 1);
    client_put(f, &f->client[0], "here");
    assert_message(f, 2, "here");
    f->now += TRUST_TIME / 2;
    assert_int_equal(dtls_tick(f->dtls, f->now), f->now + TRUST_TIME / 2);
    assert_int_equal(count_of(f, COUNTER_CONN_CLOSED_UNPROVED), HALF_OPEN_MAX - 1);
    client_put(f, &f->client[0], "still");
    f->now += TRUST_TIME / 2;
    assert_int_equal(dtls_tick(f->dtls, f->now), USEC_NEVER);
    assert_int_equal(count_of(f, COUNTER_CONN_CLOSED_UNPROVED), HALF_OPEN_MAX);
    assert_int_equal(f->gone, 1);
}

// ---- certificates

static void a_new_certificate_for_new_sessions(void **state)
{
    struct fixture *f = *state;
    char error[TLS_ERROR_MAX];
    f->echo = true;
    for (int i = 0; i < 2; i++) {
        int64_t serial = 0;
        struct client *client = client_connect(f, i, 1);
        X509 *x509 = SSL_get1_peer_certificate(client->ssl);
        assert_non_null(x509);
        ASN1_INTEGER_get_int64(&serial, X509_get0_serialNumber(x509));
        X509_free(x509);
        assert_int_equal(serial, i + 1);
        // The greeter of the next has been made already.
        uint8_t hello[2048];
        size_t len = hello_of(f, hello);
        const struct addr from = client_addr(99, 1);
        dtls_recv(f->dtls, &f->link, &from, &f->local, hello, len, f->now);
        f->queued = 0;
        certificate_make(&f->files, CERTIFICATE_GOOD, 2);
        assert_int_equal(tls_reload(f->tls, error), 0);
    }
    for (int i = 0; i < 2; i++) {
        client_put(f, &f->client[i], "on");
        client_expect(&f->client[i], "on");
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(talks),
        TEST(two_records_in_one_datagram),
        TEST(a_session_closed_in_a_message_stays_until_it_is_gone),
        TEST(junk_ends_nothing),
        TEST(no_length_ends_a_session),
        TEST(strangers_cost_nothing),
        TEST(the_answer_is_shorter_than_the_hello),
        TEST(a_cookie_is_for_one_address_and_some_time),
        TEST(workers_share_cookies),
        TEST(a_client_starts_anew),
        TEST(a_handshake_survives_loss),
        TEST(forged_alerts_do_not_end_a_handshake),
        TEST(the_server_sends_again),
        TEST(sessions_are_limited),
        TEST(limits_may_change),
        TEST(sessions_are_limited_per_source),
        TEST(the_oldest_stranger_makes_room),
        TEST(a_stranger_has_little_time_and_the_idle_some),
        TEST(trust_may_be_taken_back),
        TEST(a_new_certificate_for_new_sessions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
