// SPDX-License-Identifier: ISC
// The HTTP server against plain sockets on loopback. Server and client run in one thread; time can
// be skipped, so that no test waits for a deadline.
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

enum { LATER_MAX = 128, BIG = 3 << 20, CONNECTIONS_MAX = 64 };

struct fixture {
    struct event_base *base;
    struct http *http;
    struct addr addr;
    struct http_request *later[LATER_MAX]; // asked for and not answered yet
    unsigned laters, asked;
    char path[9000]; // of the last request
    char *big;
};

// libevent's clock is this one, because an executable's symbols come before libc's.
static time_t skipped_seconds;

int clock_gettime(clockid_t id, struct timespec *t)
{
    long error = syscall(SYS_clock_gettime, id, t);
    t->tv_sec += skipped_seconds;
    return (int)error;
}

static void on_get(void *ctx, const char *path, struct http_request *request)
{
    struct fixture *f = ctx;
    f->asked++;
    snprintf(f->path, sizeof f->path, "%s", path);
    if (strcmp(path, "/now") == 0) {
        http_answer(request, 200, "text/plain", "hello", 5);
    } else if (strcmp(path, "/big") == 0) {
        http_answer(request, 200, "application/json", f->big, BIG);
    } else if (strcmp(path, "/later") == 0) {
        assert_true(f->laters < LATER_MAX);
        f->later[f->laters++] = request;
    } else {
        http_answer(request, 404, "text/plain", path, strlen(path));
    }
}

static int client_connect(const struct fixture *f)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(f->addr.port)};
    memcpy(&in.sin_addr, f->addr.ip, 4);
    struct sockaddr_storage sa;
    memcpy(&sa, &in, sizeof in);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)(void *)&sa, sizeof in), 0);
    return fd;
}

static uint16_t free_port(void)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr_storage sa;
    socklen_t len = sizeof in;
    memcpy(&sa, &in, sizeof in);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)(void *)&sa, len), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)(void *)&sa, &len), 0);
    close(fd);
    memcpy(&in, &sa, sizeof in);
    return ntohs(in.sin_port);
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    struct http_handler handler = {.ctx = f, .get = on_get};
    f->base = event_base_new();
    f->big = malloc(BIG);
    for (size_t i = 0; i < BIG; i++)
        f->big[i] = (char)('a' + i % 23);
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
    free(f->big);
    free(f);
    return 0;
}

static void turn(struct fixture *f, int times)
{
    for (int i = 0; i < times; i++)
        event_base_loop(f->base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
}

static void say(int fd, const char *text)
{
    size_t len = strlen(text);
    assert_int_equal(send(fd, text, len, MSG_NOSIGNAL), len);
}

struct reply {
    char *text; // head and body
    size_t len;
    bool closed, reset;
};

// Turns the loop while the client reads, until the server closes, or until 'enough' bytes came, or
// nothing comes any more.
static struct reply hear(struct fixture *f, int fd, size_t enough)
{
    struct reply reply = {.text = calloc(1, 2 * BIG)};
    for (int quiet = 0; quiet < 300 && reply.len < enough;) {
        turn(f, 1);
        ssize_t n = recv(fd, reply.text + reply.len, 2 * BIG - 1 - reply.len, MSG_DONTWAIT);
        if (n == 0 || (n < 0 && errno != EAGAIN)) {
            reply.closed = true;
            reply.reset = n < 0;
            break;
        }
        quiet = n > 0 ? 0 : quiet + 1;
        reply.len += n > 0 ? (size_t)n : 0;
    }
    reply.text[reply.len] = '\0';
    return reply;
}

static int status_of(const struct reply *reply)
{
    int status = 0;
    return sscanf(reply->text, "HTTP/1.1 %d ", &status) == 1 ? status : 0;
}

static bool has_line(const struct reply *reply, const char *line)
{
    char want[512];
    snprintf(want, sizeof want, "\r\n%s\r\n", line);
    return strstr(reply->text, want) != NULL;
}

static const char *body_of(const struct reply *reply)
{
    const char *end = strstr(reply->text, "\r\n\r\n");
    return end ? end + 4 : "(none)";
}

// One request on a connection of its own.
static int ask(struct fixture *f, const char *request, struct reply *ret_reply)
{
    int fd = client_connect(f);
    say(fd, request);
    struct reply reply = hear(f, fd, SIZE_MAX);
    close(fd);
    turn(f, 3);
    int status = status_of(&reply);
    assert_false(reply.reset);
    if (ret_reply)
        *ret_reply = reply;
    else
        free(reply.text);
    return status;
}

static void answers_get(void **state)
{
    struct fixture *f = *state;
    struct reply reply;
    assert_int_equal(ask(f, "GET /now HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", &reply), 200);
    assert_string_equal(body_of(&reply), "hello");
    assert_true(has_line(&reply, "Content-Type: text/plain"));
    assert_true(has_line(&reply, "Content-Length: 5"));
    assert_true(has_line(&reply, "Cache-Control: no-store"));
    assert_true(has_line(&reply, "X-Content-Type-Options: nosniff"));
    assert_non_null(strstr(reply.text, "\r\nContent-Security-Policy: default-src 'none';"));
    assert_non_null(strstr(reply.text, " GMT\r\n"));
    assert_false(reply.closed); // 1.1 persists
    free(reply.text);
    assert_int_equal(ask(f, "GET /now HTTP/1.0\r\n\r\n", &reply), 200);
    assert_true(reply.closed);
    free(reply.text);
    assert_int_equal(ask(f, "GET /now HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", &reply), 200);
    assert_false(reply.closed);
    assert_true(has_line(&reply, "Connection: keep-alive"));
    free(reply.text);
    assert_int_equal(ask(f, "GET /now HTTP/1.1\r\nConnection: x , CLOSE\r\n\r\n", &reply), 200);
    assert_true(reply.closed);
    free(reply.text);
}

static void answers_head_without_body(void **state)
{
    struct fixture *f = *state;
    struct reply reply;
    assert_int_equal(ask(f, "HEAD /now HTTP/1.1\r\n\r\n", &reply), 200);
    assert_true(has_line(&reply, "Content-Length: 5"));
    assert_string_equal(body_of(&reply), "");
    free(reply.text);
}

static void refuses_other_methods(void **state)
{
    struct fixture *f = *state;
    static const char *const request[] = {
        "POST /now HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello",
        "POST /now HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        "DELETE /now HTTP/1.1\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\n\r\n",
        "CONNECT example.org:443 HTTP/1.1\r\n\r\n",
        "BREW /now HTTP/1.1\r\n\r\n",
        "get /now HTTP/1.1\r\n\r\n",
    };
    for (size_t i = 0; i < sizeof request / sizeof *request; i++) {
        struct reply reply;
        assert_int_equal(ask(f, request[i], &reply), 405);
        assert_true(has_line(&reply, "Allow: GET, HEAD"));
        free(reply.text);
    }
    assert_int_equal(f->asked, 0);
}

static void hands_over_the_path(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *request, *path;
    } row[] = {
        {"GET / HTTP/1.1\r\n\r\n", "/"},
        {"\r\nGET /api/calls?x=1&y=/2 HTTP/1.1\r\n\r\n", "/api/calls"},
        {"GET /a%20b%2Fc+d HTTP/1.1\n\n", "/a b/c+d"},
        {"GET http://127.0.0.1:80/absolute HTTP/1.1\r\nHost: localhost\r\n\r\n", "/absolute"},
        {"GET HTTP://[::1]?q HTTP/1.1\r\n\r\n", "/"},
        {"GET //double/../dot HTTP/1.1\r\n\r\n", "//double/../dot"},
    };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        assert_int_equal(ask(f, row[i].request, NULL), 404);
        assert_string_equal(f->path, row[i].path);
    }
}

static void refuses_malformed_requests(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *request;
        int status;
    } row[] = {
        {"GET /now\r\n\r\n", 400},
        {"GET\r\n\r\n", 400},
        {"GET  /now HTTP/1.1\r\n\r\n", 400},
        {"GET /now HTTP/1.1 \r\n\r\n", 400},
        {"GET /n\tow HTTP/1.1\r\n\r\n", 400},
        {"GET now HTTP/1.1\r\n\r\n", 400},
        {"GET https://127.0.0.1/now HTTP/1.1\r\n\r\n", 400},
        {"GET /no%00w HTTP/1.1\r\n\r\n", 400},
        {"G(T /now HTTP/1.1\r\n\r\n", 400},
        {"GET /now HTTP/2.0\r\n\r\n", 505},
        {"GET /now HTTP/11\r\n\r\n", 400},
        {"\x16\x03\x01\x02\r\n\r\n", 400}, // a TLS hello
        {"GET /now HTTP/1.1\r\nHost : a\r\n\r\n", 400},
        {"GET /now HTTP/1.1\r\nA: b\r\n folded\r\n\r\n", 400},
        {"GET /now HTTP/1.1\r\nA\r\n\r\n", 400},
        {"GET /now HTTP/1.1\r\n: b\r\n\r\n", 400},
        {"GET /now HTTP/1.1\r\nA: \x01\r\n\r\n", 400},
        {"GET /now HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n", 400},
        {"GET /now HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello", 413},
        {"GET /now HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 413},
        {"GET /now HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n", 413},
    };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        struct reply reply;
        assert_int_equal(ask(f, row[i].request, &reply), row[i].status);
        assert_true(reply.closed);
        free(reply.text);
    }
    assert_int_equal(f->asked, 0);
    assert_int_equal(ask(f, "GET /now HTTP/1.1\r\nContent-Length: 0\r\n\r\n", NULL), 200);
}

// DNS rebinding: only what cannot be a name of a stranger's choosing.
static void serves_literal_hosts_only(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *host;
        int status;
    } row[] = {
        {"127.0.0.1", 200},
        {"127.0.0.1:8080", 200},
        {"192.0.2.7", 200},
        {"[::1]", 200},
        {"[2001:db8::1]:80", 200},
        {"localhost", 200},
        {"LocalHost:9090", 200},
        {"", 200},
        {"relay.example.org", 421},
        {"localhost.evil", 421},
        {"evil.localhost", 421},
        {"127.0.0.1.evil.example", 421},
        {"[::1].evil", 421},
        {"[::1", 421},
        {"[localhost]", 421},
        {"127.0.0.1:80x", 421},
        {"user@127.0.0.1", 421},
        {"0x7f000001", 421},
        {"::1", 421},
        {"127.1", 421},
        {":80", 421},
    };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        char request[256];
        snprintf(request, sizeof request, "GET /now HTTP/1.1\r\nHost: %s\r\n\r\n", row[i].host);
        int status = ask(f, request, NULL);
        if (status != row[i].status)
            fail_msg("Host '%s': %d", row[i].host, status);
    }
    assert_int_equal(ask(f, "GET http://evil.example/now HTTP/1.1\r\nHost: ::1\r\n\r\n", NULL),
                     421);
    assert_int_equal(ask(f, "GET /now HTTP/1.1\r\n\r\n", NULL), 200);
}

static void answers_later(void **state)
{
    struct fixture *f = *state;
    int fd = client_connect(f);
    say(fd, "GET /later HTTP/1.1\r\n\r\n");
    struct reply reply = hear(f, fd, SIZE_MAX);
    assert_int_equal(reply.len, 0);
    assert_false(reply.closed);
    free(reply.text);
    assert_int_equal(f->laters, 1);
    // However long it takes.
    skipped_seconds += 100;
    turn(f, 3);
    http_answer(f->later[0], 503, "text/plain", "not now", 7);
    reply = hear(f, fd, SIZE_MAX);
    assert_int_equal(status_of(&reply), 503);
    assert_string_equal(body_of(&reply), "not now");
    free(reply.text);
    say(fd, "GET /now HTTP/1.1\r\n\r\n");
    reply = hear(f, fd, SIZE_MAX);
    assert_int_equal(status_of(&reply), 200);
    free(reply.text);
    close(fd);
}

static void forgets_clients_that_went_away(void **state)
{
    struct fixture *f = *state;
    struct linger reset = {.l_onoff = 1, .l_linger = 0};
    for (int i = 0; i < CONNECTIONS_MAX; i++) {
        int fd = client_connect(f);
        say(fd, "GET /later HTTP/1.1\r\n\r\n");
        turn(f, 3);
        if (i % 2)
            setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
        close(fd);
        turn(f, 3);
    }
    assert_int_equal(f->laters, CONNECTIONS_MAX);
    for (unsigned i = 0; i < f->laters; i++)
        http_answer(f->later[i], 200, "text/plain", "too late", 8);
    turn(f, 20);
    // Every place is free again.
    int fd[CONNECTIONS_MAX];
    for (int i = 0; i < CONNECTIONS_MAX; i++) {
        fd[i] = client_connect(f);
        say(fd[i], "GET /now HTTP/1.1\r\n\r\n");
        struct reply reply = hear(f, fd[i], 20);
        assert_int_equal(status_of(&reply), 200);
        free(reply.text);
    }
    for (int i = 0; i < CONNECTIONS_MAX; i++)
        close(fd[i]);
}

// "printf ... | nc -N": the client says that it will send no more, and reads on.
static void answers_a_client_that_only_listens(void **state)
{
    struct fixture *f = *state;
    int fd = client_connect(f);
    say(fd, "GET /later HTTP/1.1\r\n\r\nGET /now HTTP/1.1\r\n\r\nGET /unfinished");
    shutdown(fd, SHUT_WR);
    turn(f, 5);
    http_answer(f->later[0], 200, "text/plain", "patience", 8);
    struct reply reply = hear(f, fd, SIZE_MAX);
    assert_non_null(strstr(reply.text, "\r\n\r\npatienceHTTP/1.1 200 "));
    assert_non_null(strstr(reply.text, "\r\n\r\nhello"));
    assert_true(reply.closed);
    assert_false(reply.reset);
    free(reply.text);
    close(fd);
}

static void closes_unanswered_requests_when_freed(void **state)
{
    struct fixture *f = *state;
    int here = client_connect(f), gone = client_connect(f);
    say(here, "GET /later HTTP/1.1\r\n\r\n");
    say(gone, "GET /later HTTP/1.1\r\n\r\n");
    turn(f, 5);
    close(gone);
    turn(f, 5);
    assert_int_equal(f->laters, 2);
    http_free(f->http);
    f->http = NULL;
    turn(f, 3); // libevent closes a freed bufferevent's descriptor in the next turn
    char byte;
    assert_int_equal(recv(here, &byte, 1, 0), 0);
    close(here);
    http_free(NULL);
}

static void answers_pipelined_requests_in_order(void **state)
{
    struct fixture *f = *state;
    int fd = client_connect(f);
    say(fd, "GET /one HTTP/1.1\r\n\r\nGET /later HTTP/1.1\r\n\r\n"
            "HEAD /now HTTP/1.1\r\n\r\nGET /three HTTP/1.1\r\nConnection: close\r\n\r\n"
            "GET /never HTTP/1.1\r\n\r\n");
    struct reply reply = hear(f, fd, SIZE_MAX);
    assert_string_equal(body_of(&reply), "/one");
    free(reply.text);
    assert_int_equal(f->asked, 2);
    http_answer(f->later[0], 200, "text/plain", "two", 3);
    reply = hear(f, fd, SIZE_MAX);
    assert_non_null(strstr(reply.text, "\r\n\r\ntwoHTTP/1.1 200 OK\r\n"));
    assert_non_null(strstr(reply.text, "\r\n\r\nHTTP/1.1 404 Not Found\r\n"));
    assert_string_equal(reply.text + reply.len - 6, "/three");
    assert_true(reply.closed);
    free(reply.text);
    assert_int_equal(f->asked, 4);
    close(fd);
}

static void limits_connections(void **state)
{
    struct fixture *f = *state;
    int fd[CONNECTIONS_MAX];
    for (int i = 0; i < CONNECTIONS_MAX; i++) {
        fd[i] = client_connect(f);
        turn(f, 1);
    }
    int extra = client_connect(f);
    struct reply reply = hear(f, extra, SIZE_MAX);
    assert_true(reply.closed);
    assert_int_equal(reply.len, 0);
    free(reply.text);
    close(extra);
    // The others are served, and a place that becomes free is used.
    say(fd[7], "GET /now HTTP/1.1\r\n\r\n");
    reply = hear(f, fd[7], 20);
    assert_int_equal(status_of(&reply), 200);
    free(reply.text);
    close(fd[0]);
    turn(f, 3);
    assert_int_equal(ask(f, "GET /now HTTP/1.1\r\n\r\n", NULL), 200);
    for (int i = 1; i < CONNECTIONS_MAX; i++)
        close(fd[i]);
}

static void limits_heads(void **state)
{
    struct fixture *f = *state;
    char request[20000];
    // 8,192 bytes of head, the empty line not counted, are served; one more is not.
    for (int extra = 0; extra < 2; extra++) {
        int n = snprintf(request, sizeof request, "GET /now HTTP/1.1\r\nA: ");
        int fill = 8192 - n - 2 - 2 + extra;
        memset(request + n, 'x', (size_t)fill);
        strcpy(request + n + fill, "\r\n\r\n");
        assert_int_equal(ask(f, request, NULL), extra ? 431 : 200);
    }
    // A line that never ends; many short ones.
    memset(request, 'x', sizeof request - 1);
    request[sizeof request - 1] = '\0';
    assert_int_equal(ask(f, request, NULL), 431);
    strcpy(request, "GET /now HTTP/1.1\r\n");
    for (int i = 0; i < 3000; i++)
        strcat(request, "a:\r\n");
    assert_int_equal(ask(f, request, NULL), 431);
}

static void takes_requests_byte_by_byte(void **state)
{
    struct fixture *f = *state;
    int fd = client_connect(f);
    static const char request[] = "GET /now HTTP/1.1\r\nHost: localhost\r\n\r\n";
    for (const char *p = request; *p; p++) {
        assert_int_equal(send(fd, p, 1, 0), 1);
        turn(f, 2);
    }
    struct reply reply = hear(f, fd, SIZE_MAX);
    assert_int_equal(status_of(&reply), 200);
    free(reply.text);
    close(fd);
}

static void sends_long_answers_whole(void **state)
{
    struct fixture *f = *state;
    struct reply reply;
    assert_int_equal(ask(f, "GET /big HTTP/1.1\r\nConnection: close\r\n\r\n", &reply), 200);
    const char *body = body_of(&reply);
    assert_int_equal(reply.len - (size_t)(body - reply.text), BIG);
    assert_int_equal(memcmp(body, f->big, BIG), 0);
    assert_true(reply.closed);
    free(reply.text);
}

static bool is_closed(struct fixture *f, int fd)
{
    struct reply reply = hear(f, fd, SIZE_MAX);
    free(reply.text);
    return reply.closed;
}

static void deadlines_end_connections(void **state)
{
    struct fixture *f = *state;
    int idle = client_connect(f), slow = client_connect(f), deaf = client_connect(f),
        rude = client_connect(f);
    say(slow, "GET /now HT");
    say(deaf, "GET /big HTTP/1.1\r\n\r\n");
    say(rude, "nonsense\r\n");
    turn(f, 10);
    // A refused client has two seconds to close its side.
    skipped_seconds += 3;
    turn(f, 3);
    assert_int_equal(send(rude, "x", 1, MSG_NOSIGNAL), 1);
    turn(f, 3);
    assert_int_equal(send(rude, "x", 1, MSG_NOSIGNAL), -1);
    // Bytes that drip in do not extend the 30 seconds of a request.
    skipped_seconds += 26;
    say(slow, "T");
    assert_false(is_closed(f, idle));
    assert_false(is_closed(f, slow));
    skipped_seconds += 2;
    assert_true(is_closed(f, idle));
    assert_true(is_closed(f, slow));
    // An answer that is not read goes after a minute: less than all of it comes then.
    skipped_seconds += 31;
    turn(f, 3);
    struct reply reply = hear(f, deaf, SIZE_MAX);
    assert_true(reply.closed);
    assert_true(reply.len < BIG);
    free(reply.text);
    close(idle), close(slow), close(deaf), close(rude);
}

static void says_what_bind_said(void **state)
{
    struct fixture *f = *state;
    struct http_handler handler = {.ctx = f, .get = on_get};
    struct http *http = NULL;
    struct addr addr = f->addr;
    assert_int_equal(http_new(f->base, &addr, &handler, &http), -EADDRINUSE);
    assert_int_equal(addr_parse_ip("192.0.2.1", 8080, &addr), 0);
    assert_int_equal(http_new(f->base, &addr, &handler, &http), -EADDRNOTAVAIL);
    addr.family = FAMILY_NONE;
    assert_int_equal(http_new(f->base, &addr, &handler, &http), -EINVAL);
    assert_null(http);
    assert_int_equal(addr_parse_ip("::1", f->addr.port, &addr), 0);
    assert_int_equal(http_new(f->base, &addr, &handler, &http), 0);
    http_free(http);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(answers_get),
        TEST(answers_head_without_body),
        TEST(refuses_other_methods),
        TEST(hands_over_the_path),
        TEST(refuses_malformed_requests),
        TEST(serves_literal_hosts_only),
        TEST(answers_later),
        TEST(forgets_clients_that_went_away),
        TEST(answers_a_client_that_only_listens),
        TEST(closes_unanswered_requests_when_freed),
        TEST(answers_pipelined_requests_in_order),
        TEST(limits_connections),
        TEST(limits_heads),
        TEST(takes_requests_byte_by_byte),
        TEST(sends_long_answers_whole),
        TEST(deadlines_end_connections),
        TEST(says_what_bind_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
