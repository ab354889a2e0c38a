// SPDX-License-Identifier: ISC
// A listening socket: connections come one by one, and one that finds no descriptor free is taken
// as soon as there is one again.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "platform/acceptor.h"
#include "platform/udp.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BACKLOG = 16 };

struct fixture {
    struct event_base *base;
    struct acceptor *acceptor;
    struct sockaddr_in at;
    unsigned accepted;
};

static void on_accepted(void *ctx, int fd, const struct sockaddr *from)
{
    struct fixture *f = ctx;

    assert_int_equal(from->sa_family, AF_INET);
    f->accepted++;
    close(fd);
}

static int bound(struct sockaddr_in *at)
{
    socklen_t len = sizeof *at;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    *at = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (const struct sockaddr *)(const void *)at, sizeof *at), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)(void *)at, &len), 0);
    return fd;
}

static int start(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);

    assert_non_null(f);
    f->base = event_base_new();
    assert_int_equal(acceptor_new(f->base, bound(&f->at), BACKLOG, on_accepted, f, &f->acceptor),
                     0);
    *state = f;
    return 0;
}

static int stop(void **state)
{
    struct fixture *f = *state;

    acceptor_free(f->acceptor);
    event_base_free(f->base);
    free(f);
    return 0;
}

static int open_client(const struct fixture *f)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)(const void *)&f->at, sizeof f->at), 0);
    return fd;
}

static void connections_come_one_by_one(void **state)
{
    struct fixture *f = *state;
    int fd[3];

    assert_true(acceptor_fd(f->acceptor) >= 0);
    for (unsigned i = 0; i < 3; i++)
        fd[i] = open_client(f);
    while (f->accepted < 3)
        assert_int_equal(event_base_loop(f->base, EVLOOP_ONCE), 0);
    for (unsigned i = 0; i < 3; i++)
        close(fd[i]);
}

static void without_descriptors_it_waits(void **state)
{
    struct fixture *f = *state;
    int fd = open_client(f);
    struct rlimit before, none;
    usec_t start = usec_now();

    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = before;
    none.rlim_cur = 1;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    assert_int_equal(event_base_loop(f->base, EVLOOP_ONCE), 0); // it cannot be accepted
    for (unsigned i = 0; i < 100; i++)
        (void)event_base_loop(f->base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
    assert_int_equal(f->accepted, 0);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    // It does not spin: there is room now, but nobody looks before the second is over.
    (void)event_base_loop(f->base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
    if (usec_now() < start + USEC_PER_SEC)
        assert_int_equal(f->accepted, 0);
    while (f->accepted < 1)
        assert_int_equal(event_base_loop(f->base, EVLOOP_ONCE), 0);
    close(fd);
}

static void a_bad_descriptor_is_told(void **state)
{
    struct fixture *f = *state;
    struct acceptor *another = NULL;

    assert_true(acceptor_new(f->base, -1, BACKLOG, on_accepted, f, &another) < 0);
    assert_null(another);
    acceptor_free(another);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(connections_come_one_by_one),
        TEST(without_descriptors_it_waits),
        TEST(a_bad_descriptor_is_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
