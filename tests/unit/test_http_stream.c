// SPDX-License-Identifier: ISC
// Answers whose end is open, against plain sockets on loopback: what is written arrives, who leaves
// is noticed, who does not read costs a bounded amount and goes. Time can be skipped.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "platform/http.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define PORTION (64 << 10)

struct fixture {
    struct event_base *base;
    struct http *http;
    struct addr addr;
    struct http_stream *stream; // NULL: none, or it has gone
    struct http_request *later;
    unsigned gone;
    int begun; // what http_stream() returned
    char query[128];
};

// libevent's clock is this one, because an executable's symbols come before libc's.
static time_t skipped_seconds;

int clock_gettime(clockid_t id, struct timespec *t)
{
    long error = syscall(SYS_clock_gettime, id, t);

    t->tv_sec += skipped_seconds;
    return (int)error;
}

static void on_gone(void *ctx)
{
    struct fixture *f = ctx;

    f->gone++;
    f->stream = NULL;
}

static void begin(struct fixture *f, struct http_request *request)
{
    const struct http_stream_handler handler = {f, on_gone};

    f->begun = http_stream(request, "text/event-stream", &handler, &f->stream);
}

static void on_get(void *ctx, const char *path, struct http_request *request)
{
    struct fixture *f = ctx;

    snprintf(f->query, sizeof f->query, "%s", http_query(request));
    if (strcmp(path, "/later") == 0)
        f->later = request;
    else if (strcmp(path, "/stream") == 0)
        begin(f, request);
    else
        http_answer(request, 200, "text/plain", "hello", 5);
}

static uint16_t free_port(void)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr_storage sa;
    socklen_t len = sizeof in;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    memcpy(&sa, &in, sizeof in);
    assert_int_equal(bind(fd, (struct sockaddr *)(void *)&sa, len), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)(void *)&sa, &len), 0);
    close(fd);
    memcpy(&in, &sa, sizeof in);
    return ntohs(in.sin_port);
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    const struct http_handler handler = {.ctx = f, .get = on_get};

    f->base = event_base_new();
    f->begun = 1;
    for (int attempt = 0; attempt < 100 && !f->http; attempt++) {
        assert_int_equal(addr_parse_ip("127.0.0.1", free_port(), &f->addr), 0);
        (void)http_new(f->base, &f->addr, &handler, &f->http);
    }
    assert_non_null(f->http);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    http_free(f->http);
    event_base_free(f->base);
    free(f);
    return 0;
}

static void turn(struct fixture *f, int times)
{
    for (int i = 0; i < times; i++)
        event_base_loop(f->base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
}

static int ask(struct fixture *f, const char *request)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(f->addr.port)};
    struct sockaddr_storage sa;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    memcpy(&in.sin_addr, f->addr.ip, 4);
    memcpy(&sa, &in, sizeof in);
    assert_int_equal(connect(fd, (struct sockaddr *)(void *)&sa, sizeof in), 0);
    assert_int_equal(send(fd, request, strlen(request), MSG_NOSIGNAL), strlen(request));
    for (int i = 0; i < 100 && f->begun == 1 && !f->later; i++)
        turn(f, 1);
    return fd;
}

// What comes until nothing does; 'ret_closed' may be NULL.
static size_t hear(struct fixture *f, int fd, char *text, size_t size, bool *ret_closed)
{
    size_t len = 0;
    bool closed = false;

    for (int quiet = 0; quiet < 300 && !closed && len + 1 < size;) {
        turn(f, 1);
        ssize_t n = recv(fd, text + len, size - 1 - len, MSG_DONTWAIT);
        closed = n == 0 || (n < 0 && errno != EAGAIN);
        quiet = n > 0 ? 0 : quiet + 1;
        len += n > 0 ? (size_t)n : 0;
    }
    text[len] = '\0';
    if (ret_closed)
        *ret_closed = closed;
    return len;
}

static void what_is_written_arrives(void **state)
{
    struct fixture *f = *state;
    int fd = ask(f, "GET /stream?call=1f&x HTTP/1.1\r\n\r\n");
    char text[4096];
    bool closed;

    assert_int_equal(f->begun, 0);
    assert_string_equal(f->query, "call=1f&x");
    hear(f, fd, text, sizeof text, &closed);
    assert_memory_equal(text, "HTTP/1.1 200 OK\r\n", 17);
    assert_non_null(strstr(text, "\r\nContent-Type: text/event-stream\r\n"));
    assert_non_null(strstr(text, "\r\nConnection: close\r\n"));
    assert_non_null(strstr(text, "\r\nContent-Security-Policy: default-src 'none';"));
    assert_null(strstr(text, "Content-Length"));
    assert_false(closed);
    for (int i = 0; i < 3; i++) {
        skipped_seconds += 1000; // it may be silent for as long as it likes
        turn(f, 3);
        assert_int_equal(http_stream_write(f->stream, "data: 1\n\n", 9), 0);
        hear(f, fd, text, sizeof text, &closed);
        assert_string_equal(text, "data: 1\n\n");
        assert_false(closed);
    }
    assert_int_equal(http_stream_write(f->stream, "last", 4), 0);
    http_stream_end(f->stream);
    hear(f, fd, text, sizeof text, &closed);
    assert_string_equal(text, "last");
    assert_true(closed);
    assert_int_equal(f->gone, 0);
    close(fd);
}

static void an_end_without_words_closes(void **state)
{
    struct fixture *f = *state;
    int fd = ask(f, "GET /stream HTTP/1.1\r\n\r\n");
    char text[4096];
    bool closed;

    hear(f, fd, text, sizeof text, &closed);
    assert_false(closed);
    http_stream_end(f->stream);
    hear(f, fd, text, sizeof text, &closed);
    assert_true(closed);
    assert_int_equal(f->gone, 0);
    close(fd);
}

static void who_leaves_is_noticed(void **state)
{
    struct fixture *f = *state;
    int fd = ask(f, "GET /stream HTTP/1.1\r\n\r\n");

    assert_non_null(f->stream);
    close(fd);
    turn(f, 5);
    assert_int_equal(f->gone, 1);
    // Before there was an answer.
    f->begun = 1;
    fd = ask(f, "GET /later HTTP/1.1\r\n\r\n");
    close(fd);
    turn(f, 5);
    begin(f, f->later);
    assert_int_equal(f->begun, -ECANCELED);
    // And the whole server.
    f->later = NULL;
    f->begun = 1;
    fd = ask(f, "GET /stream HTTP/1.1\r\n\r\n");
    http_free(f->http);
    f->http = NULL;
    assert_int_equal(f->gone, 2);
    close(fd);
}

static void who_does_not_read_goes(void **state)
{
    struct fixture *f = *state;
    int fd = ask(f, "GET /stream HTTP/1.1\r\n\r\n"), r = 0;
    char *portion = calloc(1, PORTION);
    size_t taken = 0;

    while (r == 0 && taken < (64 << 20)) {
        r = http_stream_write(f->stream, portion, PORTION);
        taken += r == 0 ? PORTION : 0;
        turn(f, 2);
    }
    assert_int_equal(r, -ENOBUFS); // what the kernel holds, and a bounded amount more
    assert_true(taken < (64 << 20));
    skipped_seconds += 30;
    turn(f, 3);
    assert_int_equal(f->gone, 0);
    skipped_seconds += 31;
    turn(f, 3);
    assert_int_equal(f->gone, 1);
    free(portion);
    close(fd);
}

static void who_reads_late_stays(void **state)
{
    struct fixture *f = *state;
    int fd = ask(f, "GET /stream HTTP/1.1\r\n\r\n");
    char *text = calloc(1, 2 * PORTION);

    for (int i = 0; i < 5; i++) {
        assert_int_equal(http_stream_write(f->stream, text, PORTION), 0);
        skipped_seconds += 50;
        hear(f, fd, text, 2 * PORTION, NULL);
        memset(text, 'x', PORTION);
    }
    assert_int_equal(f->gone, 0);
    free(text);
    close(fd);
}

static void head_is_answered_without_a_stream(void **state)
{
    struct fixture *f = *state;
    int fd = ask(f, "HEAD /stream HTTP/1.1\r\n\r\n");
    char text[4096];

    assert_int_equal(f->begun, -ECANCELED);
    hear(f, fd, text, sizeof text, NULL);
    assert_memory_equal(text, "HTTP/1.1 200 OK\r\n", 17);
    close(fd);
}

// A page elsewhere may lead here, and may not use this.
static void other_sites_get_nothing(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *fields;
        int status;
    } row[] = {
        {"Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: cors\r\n", 403},
        {"Sec-Fetch-Mode: no-cors\r\nSec-Fetch-Site: cross-site\r\n", 403},
        {"Sec-Fetch-Site: cross-site\r\n", 403},
        {"Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate\r\n", 200},
        {"Sec-Fetch-Site: same-site\r\nSec-Fetch-Mode: cors\r\n", 403},
        {"Sec-Fetch-Site: same-site\r\nSec-Fetch-Mode: navigate\r\n", 200},
        {"Sec-Fetch-Site: same-origin\r\nSec-Fetch-Mode: cors\r\n", 200},
        {"Sec-Fetch-Site: none\r\n", 200},
    };

    for (size_t i = 0; i < sizeof row / sizeof row[0]; i++) {
        char request[256], text[4096];
        int fd, status = 0;

        snprintf(request, sizeof request, "GET / HTTP/1.1\r\n%s\r\n", row[i].fields);
        fd = ask(f, request);
        hear(f, fd, text, sizeof text, NULL);
        assert_int_equal(sscanf(text, "HTTP/1.1 %d ", &status), 1);
        assert_int_equal(status, row[i].status);
        close(fd);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_is_written_arrives), TEST(an_end_without_words_closes),
        TEST(who_leaves_is_noticed),   TEST(who_does_not_read_goes),
        TEST(who_reads_late_stays),    TEST(head_is_answered_without_a_stream),
        TEST(other_sites_get_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
