// SPDX-License-Identifier: ISC
// TLS beside TCP on one port, and connections that a proxy passes on: by real sockets and OpenSSL's
// own client.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib_certificate.h"
#include "lib_stream.h"

#include "platform/pipe.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static const uint8_t binding[20] = {0x00, 0x01, 0x00, 0x00, 0x21, 0x12, 0xa4, 0x42, 9};
static const uint8_t success[20] = {0x01, 0x01, 0x00, 0x00, 0x21, 0x12, 0xa4, 0x42, 9};

static struct certificate_files files;
static struct tls *tls;
static SSL_CTX *client_ctx;

static int setup(void **state)
{
    char error[TLS_ERROR_MAX];
    stream_setup(state);
    struct fixture *f = *state;
    certificate_make(&files, CERTIFICATE_GOOD, 1);
    assert_int_equal(tls_new(files.certificate, files.key, &tls, error), 0);
    client_ctx = SSL_CTX_new(TLS_client_method());
    f->config.tls = tls;
    stream_restart(f, "127.0.0.1");
    return 0;
}

static int teardown(void **state)
{
    stream_teardown(state);
    SSL_CTX_free(client_ctx);
    tls_free(tls);
    certificate_remove(&files);
    return 0;
}

// Does something that may have to wait for the server, which runs in this thread.
static int complete(struct fixture *f, SSL *ssl, int (*step)(SSL *))
{
    usec_t deadline = usec_now() + 10 * USEC_PER_SEC;
    int n, error = SSL_ERROR_WANT_READ;
    while ((n = step(ssl)) <= 0 && usec_now() < deadline) {
        error = SSL_get_error(ssl, n);
        if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE)
            break;
        turn_loop(f);
    }
    return n;
}

static SSL *tls_client(struct fixture *f, int fd)
{
    SSL *ssl = SSL_new(client_ctx);
    evutil_make_socket_nonblocking(fd);
    SSL_set_fd(ssl, fd);
    return ssl;
}

static void tls_close(SSL *ssl, int fd)
{
    SSL_shutdown(ssl);
    SSL_free(ssl);
    close(fd);
    ERR_clear_error();
}

static void tls_get(struct fixture *f, SSL *ssl, uint8_t *data, size_t len)
{
    usec_t deadline = usec_now() + 10 * USEC_PER_SEC;
    while (len > 0 && usec_now() < deadline) {
        int n = SSL_read(ssl, data, (int)len);
        if (n <= 0) {
            assert_int_equal(SSL_get_error(ssl, n), SSL_ERROR_WANT_READ);
            turn_loop(f);
            continue;
        }
        data += n;
        len -= (size_t)n;
    }
    assert_int_equal(len, 0);
}

// ---- TLS

static void both_on_one_port(void **state)
{
    struct fixture *f = *state;
    uint8_t got[20];
    int plain = client_connect(f), fd = client_connect(f);
    SSL *ssl = tls_client(f, fd);
    f->echo = true;
    client_put(plain, binding, sizeof binding);
    client_expect(f, plain, binding, sizeof binding);
    assert_false(stream_is_tls(f->last));
    assert_int_equal(complete(f, ssl, SSL_connect), 1);
    assert_int_equal(SSL_write(ssl, binding, sizeof binding), sizeof binding);
    tls_get(f, ssl, got, sizeof got);
    assert_memory_equal(got, binding, sizeof got);
    assert_true(stream_is_tls(f->last));
    assert_int_equal(count_of(f, COUNTER_CONN_TCP), 1);
    assert_int_equal(count_of(f, COUNTER_CONN_TLS), 1);
    // Messages in one record, and one message in many.
    uint8_t two[40];
    memcpy(two, binding, 20);
    memcpy(two + 20, binding, 20);
    SSL_write(ssl, two, sizeof two);
    for (int i = 0; i < 20; i++)
        SSL_write(ssl, binding + i, 1);
    pump(f, &f->messages, 5);
    assert_message(f, 4, binding, sizeof binding);
    tls_close(ssl, fd);
    close(plain);
    pump(f, &f->gone, 2);
    assert_int_equal(count_of(f, COUNTER_CONN_CLOSED_PEER), 2);
}

// What is behind the first byte of a TLS record is for TLS to judge.
static void a_bad_handshake_ends_it(void **state)
{
    struct fixture *f = *state;
    static const uint8_t junk[] = {0x16, 0x03, 0x01, 0x00, 0x04, 1, 2, 3, 4};
    int fd = client_connect(f);
    client_put(fd, junk, sizeof junk);
    assert_closed(f, fd);
    assert_int_equal(count_of(f, COUNTER_CONN_CLOSED_TLS), 1);
    close(fd);
    // The wrong protocol, by ALPN.
    fd = client_connect(f);
    SSL *ssl = tls_client(f, fd);
    SSL_set_alpn_protos(ssl, (const unsigned char *)"\x02h2", 3);
    assert_int_equal(complete(f, ssl, SSL_connect), -1);
    assert_int_equal(ERR_GET_REASON(ERR_peek_error()), SSL_R_TLSV1_ALERT_NO_APPLICATION_PROTOCOL);
    assert_int_equal(count_of(f, COUNTER_CONN_CLOSED_TLS), 2);
    tls_close(ssl, fd);
}

// Half a ClientHello: the deadline is the same as for those who say nothing at all.
static void an_unfinished_handshake_has_little_time(void **state)
{
    struct fixture *f = *state;
    static const uint8_t half[] = {0x16, 0x03, 0x01, 0x00, 0xff, 0x01};
    f->config.trust_time = SHORT_TIME;
    stream_restart(f, "127.0.0.1");
    int fd = client_connect(f);
    client_put(fd, half, sizeof half);
    assert_closed(f, fd);
    assert_int_equal(count_of(f, COUNTER_CONN_CLOSED_UNPROVED), 1);
    close(fd);
}

static void only_one_of_both(void **state)
{
    struct fixture *f = *state;
    f->config.plain = false;
    stream_restart(f, "127.0.0.1");
    int fd = client_connect(f);
    client_put(fd, binding, sizeof binding);
    assert_closed(f, fd);
    close(fd);
    fd = client_connect(f);
    SSL *ssl = tls_client(f, fd);
    assert_int_equal(complete(f, ssl, SSL_connect), 1);
    tls_close(ssl, fd);

    f->config.plain = true;
    f->config.tls = NULL;
    stream_restart(f, "127.0.0.1");
    fd = client_connect(f);
    ssl = tls_client(f, fd);
    assert_int_equal(complete(f, ssl, SSL_connect), -1);
    tls_close(ssl, fd);
    assert_int_equal(count_of(f, COUNTER_CONN_CLOSED_FRAMING), 2);
}

// Sends media, each longer than the one before, until 'count' was dropped in all. Returns the
// number of the next.
static uint32_t send_until_dropped(struct fixture *f, uint32_t from, uint64_t count)
{
    uint32_t n = from;
    while (count_of(f, COUNTER_DROP_SLOW_READER) < count && n < from + 100000)
        n += fill_more(f, f->last, 404 + n % 200 * 4, n, 1);
    return n;
}

static uint32_t tls_get_number(struct fixture *f, SSL *ssl)
{
    uint8_t data[1204];
    uint32_t number;
    tls_get(f, ssl, data, 4);
    assert_int_equal(data[0], 0x40);
    tls_get(f, ssl, data + 4, (size_t)(data[2] << 8 | data[3]));
    memcpy(&number, data + 4, sizeof number);
    return number;
}

// A record that TLS has begun is sent to its end, though its message be the oldest; between, the
// reader takes a little, so that the queue moves.
static void a_slow_tls_reader_loses_whole_messages(void **state)
{
    struct fixture *f = *state;
    uint8_t data[sizeof success];
    int fd = client_connect_slow(f);
    SSL *ssl = tls_client(f, fd);
    assert_int_equal(complete(f, ssl, SSL_connect), 1);
    SSL_write(ssl, binding, sizeof binding);
    pump(f, &f->messages, 1);
    stream_trusted(f->last);
    uint32_t count = 0, next = 0, left_out = 0, number = 0;
    for (unsigned round = 1; round <= 20; round++) {
        count = send_until_dropped(f, count, round * 7);
        for (int i = 0; i < 5; i++) {
            number = tls_get_number(f, ssl);
            assert_true(number >= next);
            left_out += number - next;
            next = number + 1;
        }
    }
    assert_int_equal(stream_send(f->last, success, sizeof success), 0);
    while (number != count - 1) {
        number = tls_get_number(f, ssl);
        assert_true(number >= next);
        left_out += number - next;
        next = number + 1;
    }
    tls_get(f, ssl, data, sizeof success);
    assert_memory_equal(data, success, sizeof success);
    assert_int_equal(left_out, count_of(f, COUNTER_DROP_SLOW_READER));
    tls_close(ssl, fd);
}

// A burst longer than one wake-up reads: what TLS has decrypted is not forgotten.
static void reads_what_tls_holds_back(void **state)
{
    struct fixture *f = *state;
    enum { RECORDS = 40, PER_RECORD = 800 };
    static uint8_t record[PER_RECORD * sizeof binding];
    int fd = client_connect(f);
    SSL *ssl = tls_client(f, fd);
    for (size_t i = 0; i < sizeof record; i += sizeof binding)
        memcpy(record + i, binding, sizeof binding);
    assert_int_equal(complete(f, ssl, SSL_connect), 1);
    for (int i = 0; i < RECORDS; i++) {
        int n;
        while ((n = SSL_write(ssl, record, sizeof record)) <= 0) {
            assert_int_equal(SSL_get_error(ssl, n), SSL_ERROR_WANT_WRITE);
            turn_loop(f);
        }
    }
    pump(f, &f->messages, RECORDS * PER_RECORD);
    tls_close(ssl, fd);
}

static void a_new_certificate_for_new_connections(void **state)
{
    struct fixture *f = *state;
    char error[TLS_ERROR_MAX];
    uint8_t got[20];
    SSL *ssl[2];
    int fd[2];
    f->echo = true;
    for (int i = 0; i < 2; i++) {
        int64_t serial = 0;
        fd[i] = client_connect(f);
        ssl[i] = tls_client(f, fd[i]);
        assert_int_equal(complete(f, ssl[i], SSL_connect), 1);
        X509 *x509 = SSL_get1_peer_certificate(ssl[i]);
        ASN1_INTEGER_get_int64(&serial, X509_get0_serialNumber(x509));
        X509_free(x509);
        assert_int_equal(serial, i + 1);
        certificate_make(&files, CERTIFICATE_GOOD, 2);
        assert_int_equal(tls_reload(tls, error), 0);
    }
    for (int i = 0; i < 2; i++) {
        SSL_write(ssl[i], binding, sizeof binding);
        tls_get(f, ssl[i], got, sizeof got);
        tls_close(ssl[i], fd[i]);
    }
}

// ---- PROXY

static struct prefix_list proxies;

static void trust_proxies(struct fixture *f)
{
    struct prefix prefix;
    assert_int_equal(prefix_parse("127.0.0.0/24", &prefix), 0);
    assert_int_equal(prefix_list_add(&proxies, &prefix), 0);
    f->config.proxies = &proxies;
    stream_restart(f, "127.0.0.1");
}

static int proxy_teardown(void **state)
{
    teardown(state);
    prefix_list_clear(&proxies);
    return 0;
}

static const uint8_t v2_header[] = {
    0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a, // signature
    0x21, 0x11, 0x00, 0x0f, // version 2, PROXY; TCP over IPv4; 15 bytes follow
    198,  51,   100,  7,    // source
    203,  0,    113,  9,    // destination
    0xc0, 0x01, 0x01, 0xbb, // their ports: 49153, 443
    0x04, 0x00, 0x00,       // a TLV: NOOP, empty
};

static void takes_addresses_from_the_header(void **state)
{
    struct fixture *f = *state;
    static const char v1_header[] = "PROXY TCP6 2001:db8::7 2001:db8::9 49154 5349\r\n";
    char text[ADDR_TEXT_MAX];
    trust_proxies(f);
    // In one piece with what follows; and byte by byte, with TLS behind it.
    uint8_t data[sizeof v2_header + sizeof binding];
    memcpy(data, v2_header, sizeof v2_header);
    memcpy(data + sizeof v2_header, binding, sizeof binding);
    int fd = client_connect(f);
    client_put(fd, data, sizeof data);
    pump(f, &f->messages, 1);
    assert_message(f, 0, binding, sizeof binding);
    assert_string_equal(addr_format(stream_remote(f->last), text), "198.51.100.7:49153");
    assert_string_equal(addr_format(stream_local(f->last), text), "203.0.113.9:443");
    close(fd);

    fd = client_connect(f);
    for (size_t i = 0; i < sizeof v1_header - 1; i++) {
        client_put(fd, v1_header + i, 1);
        turn_loop(f);
    }
    SSL *ssl = tls_client(f, fd);
    assert_int_equal(complete(f, ssl, SSL_connect), 1);
    SSL_write(ssl, binding, sizeof binding);
    pump(f, &f->messages, 2);
    assert_string_equal(addr_format(stream_remote(f->last), text), "[2001:db8::7]:49154");
    assert_string_equal(addr_format(stream_local(f->last), text), "[2001:db8::9]:5349");
    tls_close(ssl, fd);
}

// Required from proxies, refused from others.
static void the_header_is_for_proxies_only(void **state)
{
    struct fixture *f = *state;
    trust_proxies(f);
    int fd = client_connect(f);
    client_put(fd, binding, sizeof binding);
    assert_closed(f, fd);
    close(fd);
    assert_int_equal(count_of(f, COUNTER_CONN_CLOSED_PROXY), 1);
    fd = client_connect_from(f, 1);
    client_put(fd, v2_header, sizeof v2_header);
    assert_closed(f, fd);
    close(fd);
    fd = client_connect_from(f, 1);
    client_put(fd, "PROXY UNKNOWN\r\n", 15);
    assert_closed(f, fd);
    close(fd);
    assert_int_equal(count_of(f, COUNTER_CONN_CLOSED_FRAMING), 2);
    // A proxy that says nothing has no more time than others.
    f->config.trust_time = SHORT_TIME;
    stream_restart(f, "127.0.0.1");
    fd = client_connect(f);
    client_put(fd, v2_header, 5);
    assert_closed(f, fd);
    close(fd);
    assert_int_equal(count_of(f, COUNTER_CONN_CLOSED_UNPROVED), 1);
}

// It is the proxy's clients who are counted, not the proxy.
static void limits_are_the_clients(void **state)
{
    struct fixture *f = *state;
    int fd[PER_SOURCE_MAX + 1];
    trust_proxies(f);
    for (int i = 0; i < PER_SOURCE_MAX + 1; i++) {
        fd[i] = client_connect(f);
        client_put(fd[i], v2_header, sizeof v2_header);
        turn_loop(f);
        turn_loop(f);
    }
    assert_closed(f, fd[PER_SOURCE_MAX]);
    assert_int_equal(count_of(f, COUNTER_CONN_CLOSED_SOURCE), 1);
    int other = client_connect(f);
    client_put(other, "PROXY TCP4 198.51.100.8 203.0.113.9 1 443\r\n", 43);
    client_put(other, binding, sizeof binding);
    pump(f, &f->messages, 1);
    for (int i = 0; i < PER_SOURCE_MAX + 1; i++)
        close(fd[i]);
    close(other);
}

#define TEST(name)       cmocka_unit_test_setup_teardown(name, setup, teardown)
#define PROXY_TEST(name) cmocka_unit_test_setup_teardown(name, setup, proxy_teardown)

// ---- pipes (RFC 6062) behind TLS

static struct pipe *pipe_made;
static struct pipe_totals pipe_moved;
static unsigned pipes_ended;
static int pipe_inside;

static void on_pipe_ended(void *ctx, struct pipe *pipe, const struct pipe_totals *totals)
{
    pipe_moved = *totals;
    pipes_ended++;
    pipe_made = NULL;
    pipe_free(pipe);
}

static void become_pipe(struct fixture *f, struct stream_conn *conn)
{
    const struct pipe_config config = {.base = f->base,
                                       .counters = &f->counters,
                                       .linger = 10 * USEC_PER_SEC,
                                       .ended = on_pipe_ended};
    assert_int_equal(stream_send(conn, success, sizeof success), 0);
    assert_int_equal(pipe_new(&config, conn, pipe_inside, &pipe_made), 0);
}

static uint8_t pipe_byte(size_t i)
{
    return (uint8_t)(i * 2654435761u >> 11);
}

// A megabyte each way, through records that are full, split and late; both read slowly.
static void a_megabyte(struct fixture *f, SSL *ssl, int peer)
{
    enum { LENGTH = 1 << 20, STEP = 20000 };
    static uint8_t data[LENGTH], got[STEP];
    size_t ssl_sent = 0, ssl_got = 0, peer_sent = 0, peer_got = 0;
    usec_t deadline = usec_now() + 30 * USEC_PER_SEC;
    for (size_t i = 0; i < LENGTH; i++)
        data[i] = pipe_byte(i);
    SSL_set_mode(ssl, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    while ((ssl_got < LENGTH || peer_got < LENGTH) && usec_now() < deadline) {
        size_t left = LENGTH - ssl_sent;
        int n = left ? SSL_write(ssl, data + ssl_sent, (int)(left < STEP ? left : STEP)) : 0;
        ssl_sent += n > 0 ? (size_t)n : 0;
        ssize_t m = send(peer, data + peer_sent, LENGTH - peer_sent, MSG_DONTWAIT | MSG_NOSIGNAL);
        peer_sent += m > 0 ? (size_t)m : 0;
        turn_loop(f);
        n = SSL_read(ssl, got, sizeof got);
        if (n > 0)
            assert_memory_equal(got, data + ssl_got, (size_t)n);
        ssl_got += n > 0 ? (size_t)n : 0;
        m = recv(peer, got, sizeof got, MSG_DONTWAIT);
        if (m > 0)
            assert_memory_equal(got, data + peer_got, (size_t)m);
        peer_got += m > 0 ? (size_t)m : 0;
    }
    assert_int_equal(ssl_got, LENGTH);
    assert_int_equal(peer_got, LENGTH);
    ERR_clear_error();
}

static void a_pipe(void **state)
{
    struct fixture *f = *state;
    uint8_t both[sizeof binding + 5], got[sizeof success + 5];
    int fd = client_connect(f), pair[2];
    SSL *ssl = tls_client(f, fd);
    pipes_ended = 0;
    f->hook = become_pipe;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
    pipe_inside = pair[0];
    client_put(pair[1], "early", 5);
    assert_int_equal(complete(f, ssl, SSL_connect), 1);
    // In one record, so that it is inside TLS when the pipe begins.
    memcpy(both, binding, sizeof binding);
    memcpy(both + sizeof binding, "hurry", 5);
    assert_int_equal(SSL_write(ssl, both, sizeof both), sizeof both);
    tls_get(f, ssl, got, sizeof got);
    assert_memory_equal(got, success, sizeof success);
    assert_memory_equal(got + sizeof success, "early", 5);
    client_expect(f, pair[1], "hurry", 5);
    a_megabyte(f, ssl, pair[1]);
    assert_int_equal(count_of(f, COUNTER_CONN_TLS), 1);
    // The peer ends; the client hears of it as TLS says it, and ends too.
    close(pair[1]);
    usec_t deadline = usec_now() + 10 * USEC_PER_SEC;
    int n;
    while ((n = SSL_read(ssl, got, 1)) < 0 && usec_now() < deadline)
        turn_loop(f);
    assert_int_equal(SSL_get_error(ssl, n), SSL_ERROR_ZERO_RETURN);
    tls_close(ssl, fd);
    pump(f, &pipes_ended, 1);
    assert_int_equal(pipe_moved.to_peer, 5 + (1 << 20));
    assert_int_equal(pipe_moved.to_client, 5 + (1 << 20));
    assert_int_equal(count_of(f, COUNTER_CONN_TLS), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(both_on_one_port),
        TEST(a_bad_handshake_ends_it),
        TEST(an_unfinished_handshake_has_little_time),
        TEST(only_one_of_both),
        TEST(a_slow_tls_reader_loses_whole_messages),
        TEST(a_pipe),
        TEST(reads_what_tls_holds_back),
        TEST(a_new_certificate_for_new_connections),
        PROXY_TEST(takes_addresses_from_the_header),
        PROXY_TEST(the_header_is_for_proxies_only),
        PROXY_TEST(limits_are_the_clients),
    };
    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
