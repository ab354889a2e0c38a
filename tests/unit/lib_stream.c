// SPDX-License-Identifier: ISC
// A stream server and its clients for tests; see lib_stream.h.
#include "lib_stream.h"
#include "lib_system_addr.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

// ---- the server

static void on_message(void *ctx, struct stream_conn *conn, struct stream_message *message,
                       usec_t now)
{
    struct fixture *f = ctx;
    unsigned i = f->messages++;
    f->last = conn;
    if (i < MESSAGES_KEPT) {
        free(f->message[i].data);
        f->message[i].data = malloc(message->len);
        f->message[i].len = message->len;
        memcpy(f->message[i].data, message->data, message->len);
    }
    if (f->echo)
        assert_int_equal(stream_send(conn, message->data, message->len), 0);
    if (f->scribble) {
        memset(message->data - STREAM_HEADROOM, 'S', STREAM_HEADROOM);
        memset(message->data + message->len, 'S', STREAM_TAILROOM);
    }
    if (f->hook)
        f->hook(f, conn);
    if (f->close_in_message) {
        stream_close(conn);
        stream_close(conn);
        f->after_close = stream_send(conn, message->data, message->len);
    }
}

static void on_gone(void *ctx, struct stream_conn *conn, usec_t now)
{
    struct fixture *f = ctx;
    f->gone++;
    assert_true(stream_remote(conn)->port > 0);
    assert_int_equal(stream_send(conn, (const uint8_t *)"\x40\0\0\0", 4), -EPIPE);
    stream_close(conn);
    if (f->gone_hook)
        f->gone_hook(f, conn);
    if (f->last == conn)
        f->last = NULL;
}

void listen_somewhere(struct fixture *f, const char *ip)
{
    union system_addr sa;
    for (int attempt = 0; attempt < 100; attempt++) {
        assert_int_equal(addr_parse_ip(ip, 0, &f->addr), 0);
        socklen_t len = to_system(&f->addr, &sa);
        int fd = socket(sa.sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_int_equal(bind(fd, &sa.sa, len), 0);
        f->addr.port = local_port(fd);
        close(fd);
        if (streams_listen(f->streams, &f->addr) == 0)
            return;
    }
    fail_msg("no free port");
}

void stream_restart(struct fixture *f, const char *ip)
{
    const struct stream_handler handler = {f, on_message, on_gone};
    streams_free(f->streams);
    f->streams = NULL;
    assert_int_equal(streams_new(f->base, &f->config, &handler, &f->counters, &f->streams), 0);
    listen_somewhere(f, ip);
}

int stream_setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    f->base = event_base_new();
    f->config = (struct streams_config){
        .plain = true,
        .connections_max = CONNECTIONS_MAX,
        .per_source_max = PER_SOURCE_MAX,
        .half_open_max = HALF_OPEN_MAX,
        .trust_time = LONG_TIME,
        .frame_time = LONG_TIME,
        .idle_time = LONG_TIME,
        .queue_time = LONG_TIME,
        .queue_bytes = QUEUE_BYTES,
    };
    stream_restart(f, "127.0.0.1");
    *state = f;
    return 0;
}

int stream_teardown(void **state)
{
    struct fixture *f = *state;
    streams_free(f->streams);
    // Whatever happened, the books are balanced.
    uint64_t closed = 0;
    for (int i = COUNTER_CONN_CLOSED_PEER; i <= COUNTER_CONN_CLOSED_MEMORY; i++)
        closed += count_of(f, (enum counter)i);
    assert_int_equal(count_of(f, COUNTER_CONN_OPENED) + count_of(f, COUNTER_CONN_CLOSED_LIMIT),
                     closed);
    assert_int_equal(count_of(f, COUNTER_CONN_TCP), 0);
    assert_int_equal(count_of(f, COUNTER_CONN_TLS), 0);
    event_base_free(f->base);
    for (int i = 0; i < MESSAGES_KEPT; i++)
        free(f->message[i].data);
    free(f);
    return 0;
}

void turn_loop(struct fixture *f)
{
    event_base_loop(f->base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
}

void pump(struct fixture *f, const unsigned *value, unsigned count)
{
    usec_t deadline = usec_now() + 10 * USEC_PER_SEC;
    while (*value < count && usec_now() < deadline)
        turn_loop(f);
    assert_int_equal(*value, count);
}

uint64_t count_of(struct fixture *f, enum counter id)
{
    return counter_get(&f->counters, id);
}

void assert_message(struct fixture *f, unsigned index, const void *data, size_t len)
{
    assert_true(index < f->messages && index < MESSAGES_KEPT);
    assert_int_equal(f->message[index].len, len);
    assert_memory_equal(f->message[index].data, data, len);
}

uint32_t fill_more(struct fixture *f, struct stream_conn *conn, size_t len, uint32_t from,
                   uint32_t count)
{
    static uint8_t data[2048] = {0x40, 0x00};
    data[2] = (uint8_t)((len - 4) >> 8), data[3] = (uint8_t)(len - 4);
    for (uint32_t n = from; n < from + count; n++) {
        memcpy(data + 4, &n, sizeof n);
        assert_int_equal(stream_send(conn, data, len), 0);
    }
    return count;
}

// ---- clients

static int connect_to(struct fixture *f, const struct addr *from, int receive_buffer)
{
    union system_addr sa;
    socklen_t len = to_system(&f->addr, &sa);
    int fd = socket(sa.sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    if (receive_buffer)
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer);
    if (from) {
        union system_addr own;
        socklen_t own_len = to_system(from, &own);
        assert_int_equal(bind(fd, &own.sa, own_len), 0);
    }
    assert_int_equal(connect(fd, &sa.sa, len), 0);
    turn_loop(f);
    return fd;
}

int client_connect(struct fixture *f)
{
    return connect_to(f, NULL, 0);
}

int client_connect_slow(struct fixture *f)
{
    return connect_to(f, NULL, 4096);
}

int client_connect_from(struct fixture *f, int host)
{
    const uint8_t ip[4] = {127, 0, 1, (uint8_t)(host + 1)};
    const struct addr from = addr_v4(ip, 0);
    return connect_to(f, &from, 0);
}

uint16_t local_port(int fd)
{
    union system_addr sa;
    socklen_t len = sizeof sa;
    assert_int_equal(getsockname(fd, &sa.sa, &len), 0);
    return ntohs(sa.in.sin_port);
}

uint16_t client_port(int fd)
{
    return local_port(fd);
}

void client_put(int fd, const void *data, size_t len)
{
    assert_int_equal(send(fd, data, len, MSG_NOSIGNAL), len);
}

void client_try_put(int fd, const void *data, size_t len)
{
    (void)!send(fd, data, len, MSG_NOSIGNAL | MSG_DONTWAIT);
}

void client_get(struct fixture *f, int fd, void *data, size_t len)
{
    usec_t deadline = usec_now() + 10 * USEC_PER_SEC;
    uint8_t *p = data;
    while (len > 0 && usec_now() < deadline) {
        ssize_t n = recv(fd, p, len, MSG_DONTWAIT);
        if (n <= 0) {
            turn_loop(f);
            continue;
        }
        p += n;
        len -= (size_t)n;
    }
    assert_int_equal(len, 0);
}

void client_expect(struct fixture *f, int fd, const void *data, size_t len)
{
    uint8_t *got = malloc(len);
    client_get(f, fd, got, len);
    assert_memory_equal(got, data, len);
    free(got);
}

void assert_closed(struct fixture *f, int fd)
{
    usec_t deadline = usec_now() + 10 * USEC_PER_SEC;
    uint8_t data[256];
    ssize_t n = 1;
    while ((n > 0 || (n < 0 && errno == EAGAIN)) && usec_now() < deadline) {
        turn_loop(f);
        n = recv(fd, data, sizeof data, MSG_DONTWAIT);
    }
    assert_true(n == 0 || (n < 0 && errno == ECONNRESET));
}
