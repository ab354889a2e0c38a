// SPDX-License-Identifier: ISC
// TURN clients over TCP and TLS, against real sockets on loopback: what is cut out of a stream,
// what ends it, and every limit that a stranger can meet. Those who read slowly have a file of
// their own (test_stream_slow.c).
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib_stream.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

// A Binding request without attributes (RFC 8489 section 5).
static const uint8_t binding[20] = {
    0x00, 0x01,                                        // Binding, request
    0x00, 0x00,                                        // no attributes
    0x21, 0x12, 0xa4, 0x42,                            // magic cookie
    1,    2,    3,    4,    5, 6, 7, 8, 9, 10, 11, 12, // transaction
};
// The answer: a success response.
static const uint8_t success[20] = {0x01, 0x01, 0x00, 0x00, 0x21, 0x12, 0xa4, 0x42};
// ChannelData with 5 bytes and 3 of padding (RFC 8656 sections 12.4, 12.5).
static const uint8_t channel_data[12] = {
    0x40, 0x00, 0x00, 0x05,                        // channel number, length
    'h',  'e',  'l',  'l',  'o', 0xee, 0xee, 0xee, // padding: may be anything
};

// ---- framing

static void cuts_messages_out_of_the_stream(void **state)
{
    struct fixture *f = *state;
    int fd = client_connect(f);
    uint8_t both[sizeof binding + sizeof channel_data];
    memcpy(both, binding, sizeof binding);
    memcpy(both + sizeof binding, channel_data, sizeof channel_data);
    client_put(fd, both, sizeof both);
    pump(f, &f->messages, 2);
    assert_message(f, 0, binding, sizeof binding);
    assert_message(f, 1, channel_data, 9);
    assert_int_equal(stream_remote(f->last)->port, client_port(fd));
    assert_true(addr_equal(stream_local(f->last), &f->addr));
    assert_false(stream_is_tls(f->last));
    assert_int_equal(count_of(f, COUNTER_CONN_TCP), 1);

    // Byte by byte, and two and a half at once.
    for (size_t i = 0; i < sizeof both; i++) {
        client_put(fd, both + i, 1);
        turn_loop(f);
    }
    pump(f, &f->messages, 4);
    assert_message(f, 2, binding, sizeof binding);
    assert_message(f, 3, channel_data, 9);
    client_put(fd, both, sizeof both);
    client_put(fd, both, 7);
    pump(f, &f->messages, 6);
    client_put(fd, both + 7, sizeof both - 7);
    pump(f, &f->messages, 8);
    assert_message(f, 6, binding, sizeof binding);

    // The client leaves.
    close(fd);
    pump(f, &f->gone, 1);
    assert_int_equal(count_of(f, COUNTER_CONN_CLOSED_PEER), 1);
    assert_int_equal(count_of(f, COUNTER_CONN_TCP), 0);
}

static void what_a_handler_writes_around_a_message_stays_there(void **state)
{
    struct fixture *f = *state;
    uint8_t many[8 * sizeof channel_data];
    for (size_t i = 0; i < sizeof many; i += sizeof channel_data)
        memcpy(many + i, channel_data, sizeof channel_data);
    f->scribble = true;
    int fd = client_connect(f);
    client_put(fd, binding, sizeof binding);
    client_put(fd, many, sizeof many);
    pump(f, &f->messages, 9);
    for (unsigned i = 1; i < 9; i++)
        assert_message(f, i, channel_data, 9);
    close(fd);
}

static void anything_else_ends_it(void **state)
{
    static const struct {
        const char *what;
        uint8_t data[8];
        size_t len;
    } row[] = {
        {"HTTP", "GET / HT", 8},
        {"nothing known", {0x02}, 1},
        {"RTP", {0x80, 0x00}, 2},
        {"a channel too high", {0x80, 0x00}, 2},
        {"a length of 3", {0x00, 0x01, 0x00, 0x03}, 4},
        {"no cookie", {0x00, 0x01, 0x00, 0x00, 0x21, 0x12, 0xa4, 0x43}, 8},
        {"half a wrong cookie", {0x00, 0x01, 0x00, 0x00, 0x22}, 5},
        {"STUN too long for a stranger", {0x00, 0x01, 0x08, 0x04}, 4},
        {"ChannelData too long for a stranger", {0x40, 0x00, 0x08, 0x11}, 4},
        {"an alert of TLS", {0x15, 0x03, 0x01}, 3},
    };
    struct fixture *f = *state;
    for (unsigned i = 0; i < sizeof row / sizeof *row; i++) {
        int fd = client_connect(f);
        client_put(fd, row[i].data, row[i].len);
        assert_closed(f, fd);
        assert_int_equal(count_of(f, COUNTER_CONN_CLOSED_FRAMING), i + 1);
        close(fd);
    }
    // Strangers whom the handler never met are not reported to it.
    assert_int_equal(f->gone, 0);
}

static void the_trusted_may_send_longer_messages(void **state)
{
    struct fixture *f = *state;
    enum { BODY = 65535 };
    static uint8_t longest[4 + BODY + 1], stun[20 + 2048];
    longest[0] = 0x40, longest[2] = 0xff, longest[3] = 0xff;
    memset(longest + 4, 'x', BODY);
    memcpy(stun, binding, sizeof binding);
    stun[2] = 0x08;
    int fd = client_connect(f);
    client_put(fd, stun, sizeof stun);
    pump(f, &f->messages, 1);
    assert_message(f, 0, stun, sizeof stun);
    stream_trusted(f->last);
    f->echo = true;
    client_put(fd, longest, sizeof longest);
    pump(f, &f->messages, 2);
    assert_message(f, 1, longest, 4 + BODY);
    longest[4 + BODY] = 0; // padding comes back as zero
    client_expect(f, fd, longest, sizeof longest);
    close(fd);
}

// ---- sending

static void sends_padded_messages(void **state)
{
    struct fixture *f = *state;
    static const uint8_t padded[12] = {0x40, 0, 0, 5, 'h', 'e', 'l', 'l', 'o', 0, 0, 0};
    int fd = client_connect(f);
    client_put(fd, binding, sizeof binding);
    pump(f, &f->messages, 1);
    assert_int_equal(stream_send(f->last, success, sizeof success), 0);
    assert_int_equal(stream_send(f->last, channel_data, 9), 0);
    assert_int_equal(stream_send(f->last, padded, sizeof padded), 0);
    client_expect(f, fd, success, sizeof success);
    client_expect(f, fd, padded, sizeof padded);
    client_expect(f, fd, padded, sizeof padded);
    close(fd);
}

static void a_closed_connection_stays_until_it_is_gone(void **state)
{
    struct fixture *f = *state;
    f->close_in_message = true;
    int fd = client_connect(f);
    client_put(fd, binding, sizeof binding);
    client_put(fd, binding, sizeof binding);
    pump(f, &f->gone, 1);
    assert_int_equal(f->messages, 1);
    assert_int_equal(f->after_close, -EPIPE);
    assert_closed(f, fd);
    assert_int_equal(count_of(f, COUNTER_CONN_CLOSED_SELF), 1);
    close(fd);
}

static void close_the_other(struct fixture *f, struct stream_conn *conn)
{
    struct stream_conn **pair = f->user;
    unsigned i = pair[1] == conn;
    pair[i] = NULL;
    if (pair[!i])
        stream_close(pair[!i]);
}

// A connection of a TURN client goes and takes another along, whose turn it is in the loop.
static void one_that_is_gone_takes_another_along(void **state)
{
    struct fixture *f = *state;
    struct stream_conn *pair[2];
    int fd[2];
    for (unsigned i = 0; i < 2; i++) {
        fd[i] = client_connect(f);
        client_put(fd[i], binding, sizeof binding);
        pump(f, &f->messages, i + 1);
        pair[i] = f->last;
    }
    f->user = pair;
    f->gone_hook = close_the_other;
    f->close_in_message = true;
    client_put(fd[0], binding, sizeof binding);
    client_put(fd[1], binding, sizeof binding);
    pump(f, &f->gone, 2);
    assert_int_equal(f->messages, 3);
    close(fd[0]);
    close(fd[1]);
}

static void a_client_that_vanished_is_noticed_by_sending(void **state)
{
    struct fixture *f = *state;
    const struct linger at_once = {.l_onoff = 1};
    int fd = client_connect(f), r = 0;
    client_put(fd, binding, sizeof binding);
    pump(f, &f->messages, 1);
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once); // RST
    close(fd);
    for (int i = 0; i < 100 && r == 0; i++)
        r = stream_send(f->last, success, sizeof success);
    assert_int_equal(r, -EPIPE);
    assert_int_equal(f->gone, 0); // not from inside
    pump(f, &f->gone, 1);
    assert_int_equal(count_of(f, COUNTER_CONN_CLOSED_ERROR), 1);
}

// ---- limits

static void connections_are_limited(void **state)
{
    struct fixture *f = *state;
    int fd[CONNECTIONS_MAX + 1];
    for (int i = 0; i < CONNECTIONS_MAX; i++) {
        fd[i] = client_connect_from(f, i);
        client_put(fd[i], binding, sizeof binding);
        pump(f, &f->messages, (unsigned)i + 1);
        stream_trusted(f->last);
    }
    fd[CONNECTIONS_MAX] = client_connect_from(f, CONNECTIONS_MAX);
    assert_closed(f, fd[CONNECTIONS_MAX]);
    assert_int_equal(count_of(f, COUNTER_CONN_CLOSED_LIMIT), 1);
    // One leaves, one comes.
    close(fd[0]);
    pump(f, &f->gone, 1);
    fd[0] = client_connect_from(f, 0);
    client_put(fd[0], binding, sizeof binding);
    pump(f, &f->messages, CONNECTIONS_MAX + 1);
    for (int i = 0; i <= CONNECTIONS_MAX; i++)
        close(fd[i]);
}

// At once, and for those to come.
static void limits_may_change(void **state)
{
    struct fixture *f = *state;
    const struct streams_config one = {
        .connections_max = 1, .per_source_max = 1, .half_open_max = 1};
    const struct streams_config more = {
        .connections_max = 3, .per_source_max = 2, .half_open_max = 3};
    int fd[4];
    for (int i = 0; i < 2; i++) {
        fd[i] = client_connect_from(f, i);
        client_put(fd[i], binding, sizeof binding);
        pump(f, &f->messages, (unsigned)i + 1);
        stream_trusted(f->last);
    }
    assert_int_equal(streams_set_limits(f->streams, &one), 0);
    fd[2] = client_connect_from(f, 2); // two are there, and stay
    assert_closed(f, fd[2]);
    assert_int_equal(count_of(f, COUNTER_CONN_CLOSED_LIMIT), 1);
    assert_int_equal(f->gone, 0);
    close(fd[2]);
    assert_int_equal(streams_set_limits(f->streams, &more), 0);
    fd[2] = client_connect_from(f, 0); // the second of its source, and the last one
    client_put(fd[2], binding, sizeof binding);
    pump(f, &f->messages, 3);
    fd[3] = client_connect_from(f, 3);
    assert_closed(f, fd[3]);
    assert_int_equal(count_of(f, COUNTER_CONN_CLOSED_LIMIT), 2);
    for (int i = 0; i < 4; i++)
        close(fd[i]);
}

static void connections_are_limited_per_source(void **state)
{
    struct fixture *f = *state;
    int fd[PER_SOURCE_MAX], more, other;
    for (int i = 0; i < PER_SOURCE_MAX; i++) {
        fd[i] = client_connect(f);
        client_put(fd[i], binding, sizeof binding);
    }
    pump(f, &f->messages, PER_SOURCE_MAX);
    more = client_connect(f);
    assert_closed(f, more);
    assert_int_equal(count_of(f, COUNTER_CONN_CLOSED_SOURCE), 1);
    other = client_connect_from(f, 1);
    client_put(other, binding, sizeof binding);
    pump(f, &f->messages, PER_SOURCE_MAX + 1);
    close(more);
    close(fd[0]);
    pump(f, &f->gone, 1);
    more = client_connect(f);
    client_put(more, binding, sizeof binding);
    pump(f, &f->messages, PER_SOURCE_MAX + 2);
    for (int i = 1; i < PER_SOURCE_MAX; i++)
        close(fd[i]);
    close(more);
    close(other);
}

static void the_oldest_stranger_makes_room(void **state)
{
    struct fixture *f = *state;
    int fd[HALF_OPEN_MAX + 1], trusted = client_connect_from(f, 100);
    client_put(trusted, binding, sizeof binding);
    pump(f, &f->messages, 1);
    stream_trusted(f->last);
    for (int i = 0; i <= HALF_OPEN_MAX; i++) {
        fd[i] = client_connect_from(f, i);
        turn_loop(f);
        turn_loop(f);
    }
    assert_closed(f, fd[0]);
    assert_int_equal(count_of(f, COUNTER_CONN_CLOSED_HALF_OPEN), 1);
    for (int i = 1; i <= HALF_OPEN_MAX; i++)
        client_put(fd[i], binding, sizeof binding);
    client_put(trusted, binding, sizeof binding);
    pump(f, &f->messages, HALF_OPEN_MAX + 2);
    for (int i = 0; i <= HALF_OPEN_MAX; i++)
        close(fd[i]);
    close(trusted);
}

static void a_stranger_has_little_time(void **state)
{
    struct fixture *f = *state;
    f->config.trust_time = SHORT_TIME;
    stream_restart(f, "127.0.0.1");
    usec_t start = usec_now();
    int silent = client_connect(f), talkative = client_connect(f), trusted = client_connect(f);
    client_put(talkative, binding, sizeof binding);
    pump(f, &f->messages, 1);
    client_put(trusted, binding, sizeof binding);
    pump(f, &f->messages, 2);
    stream_trusted(f->last);
    while (count_of(f, COUNTER_CONN_CLOSED_UNPROVED) < 2 &&
           usec_now() - start < 10 * USEC_PER_SEC) {
        client_try_put(talkative, binding, sizeof binding); // valid, but of no one known
        turn_loop(f);
        usleep(1000);
    }
    assert_true(usec_now() - start >= SHORT_TIME);
    assert_closed(f, silent);
    assert_int_equal(count_of(f, COUNTER_CONN_CLOSED_UNPROVED), 2);
    assert_int_equal(count_of(f, COUNTER_CONN_TCP), 1);
    close(silent);
    close(talkative);
    close(trusted);
}

// What it was trusted for is over: it has as little time as at first.
static void trust_may_be_taken_back(void **state)
{
    struct fixture *f = *state;
    f->config.trust_time = SHORT_TIME;
    stream_restart(f, "127.0.0.1");
    int fd = client_connect(f);
    client_put(fd, binding, sizeof binding);
    pump(f, &f->messages, 1);
    stream_trusted(f->last);
    usleep(SHORT_TIME + 50000);
    client_put(fd, binding, sizeof binding);
    pump(f, &f->messages, 2);
    usec_t start = usec_now();
    stream_stranger(f->last);
    client_put(fd, binding, sizeof binding); // which gives it no more time
    pump(f, &f->messages, 3);
    pump(f, &f->gone, 1);
    assert_true(usec_now() - start >= SHORT_TIME);
    assert_int_equal(count_of(f, COUNTER_CONN_CLOSED_UNPROVED), 1);
    close(fd);
}

static void who_is_trusted_no_more_is_among_the_strangers(void **state)
{
    struct fixture *f = *state;
    struct stream_conn *first = NULL;
    int fd[HALF_OPEN_MAX + 1];
    for (int i = 0; i <= HALF_OPEN_MAX; i++) {
        fd[i] = client_connect_from(f, i);
        client_put(fd[i], binding, sizeof binding);
        pump(f, &f->messages, (unsigned)i + 1);
        if (i == 0)
            stream_trusted(first = f->last);
    }
    assert_int_equal(count_of(f, COUNTER_CONN_CLOSED_HALF_OPEN), 0);
    stream_stranger(first);
    stream_stranger(first);
    assert_closed(f, fd[1]);
    assert_int_equal(count_of(f, COUNTER_CONN_CLOSED_HALF_OPEN), 1);
    client_put(fd[0], binding, sizeof binding);
    pump(f, &f->messages, HALF_OPEN_MAX + 2);
    stream_trusted(first); // as before
    stream_stranger(first);
    assert_int_equal(count_of(f, COUNTER_CONN_CLOSED_HALF_OPEN), 1);
    for (int i = 0; i <= HALF_OPEN_MAX; i++)
        close(fd[i]);
}

static void an_idle_client_is_left(void **state)
{
    struct fixture *f = *state;
    enum { IDLE_TIME = 4 * SHORT_TIME };
    f->config.idle_time = IDLE_TIME;
    stream_restart(f, "127.0.0.1");
    int fd = client_connect(f);
    for (unsigned i = 0; i < 8; i++) {
        client_put(fd, binding, sizeof binding);
        pump(f, &f->messages, i + 1);
        stream_trusted(f->last);
        usleep(IDLE_TIME / 4);
    }
    usec_t start = usec_now();
    pump(f, &f->gone, 1);
    assert_true(usec_now() - start >= IDLE_TIME / 2);
    assert_int_equal(count_of(f, COUNTER_CONN_CLOSED_IDLE), 1);
    close(fd);
}

// A trusted client too has to end a message that it began.
static void a_message_must_come_whole_in_its_time(void **state)
{
    struct fixture *f = *state;
    static const uint8_t begin[] = {0x40, 0x00, 0xff, 0xff};
    f->config.frame_time = SHORT_TIME;
    stream_restart(f, "127.0.0.1");
    int fd = client_connect(f);
    client_put(fd, binding, sizeof binding);
    pump(f, &f->messages, 1);
    stream_trusted(f->last);
    client_put(fd, begin, sizeof begin);
    usec_t start = usec_now();
    while (f->gone == 0 && usec_now() - start < 10 * USEC_PER_SEC) {
        client_try_put(fd, begin, 1);
        turn_loop(f);
        usleep(1000);
    }
    assert_true(usec_now() - start >= SHORT_TIME);
    assert_int_equal(count_of(f, COUNTER_CONN_CLOSED_SLOW), 1);
    close(fd);
}

// ---- listening

static void listeners_share_a_port_and_fail_loudly(void **state)
{
    struct fixture *f = *state;
    struct addr bad = f->addr;
    assert_int_equal(streams_listen(f->streams, &f->addr), 0); // another worker's
    bad.port = 0;
    assert_int_equal(streams_listen(f->streams, &bad), -EINVAL);
    assert_int_equal(addr_parse_ip("192.0.2.1", 3478, &bad), 0);
    assert_int_equal(streams_listen(f->streams, &bad), -EADDRNOTAVAIL);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(listen(fd, 1), 0);
    assert_int_equal(addr_parse_ip("127.0.0.1", 0, &bad), 0);
    bad.port = local_port(fd);
    assert_int_equal(streams_listen(f->streams, &bad), -EADDRINUSE);
    close(fd);
}

static void ipv6_sources_count_by_their_network(void **state)
{
    struct fixture *f = *state;
    int fd[PER_SOURCE_MAX + 1];
    listen_somewhere(f, "::1");
    for (int i = 0; i <= PER_SOURCE_MAX; i++)
        fd[i] = client_connect(f);
    assert_closed(f, fd[PER_SOURCE_MAX]);
    client_put(fd[0], binding, sizeof binding);
    pump(f, &f->messages, 1);
    assert_int_equal(stream_remote(f->last)->family, FAMILY_V6);
    for (int i = 0; i <= PER_SOURCE_MAX; i++)
        close(fd[i]);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, stream_setup, stream_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(cuts_messages_out_of_the_stream),
        TEST(what_a_handler_writes_around_a_message_stays_there),
        TEST(anything_else_ends_it),
        TEST(the_trusted_may_send_longer_messages),
        TEST(sends_padded_messages),
        TEST(a_closed_connection_stays_until_it_is_gone),
        TEST(one_that_is_gone_takes_another_along),
        TEST(a_client_that_vanished_is_noticed_by_sending),
        TEST(connections_are_limited),
        TEST(limits_may_change),
        TEST(connections_are_limited_per_source),
        TEST(the_oldest_stranger_makes_room),
        TEST(a_stranger_has_little_time),
        TEST(trust_may_be_taken_back),
        TEST(who_is_trusted_no_more_is_among_the_strangers),
        TEST(an_idle_client_is_left),
        TEST(a_message_must_come_whole_in_its_time),
        TEST(listeners_share_a_port_and_fail_loudly),
        TEST(ipv6_sources_count_by_their_network),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
