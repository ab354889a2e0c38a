// SPDX-License-Identifier: ISC
// Memory runs out at each allocation while sockets are left and received: it works, or says
// -ENOMEM, and no descriptor stays open.
#include "fault/lib_alloc.h"
#include "platform/handover.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { SOCKETS = 100, LIMIT_MS = 20000, ATTEMPTS_MAX = 1000 };

static unsigned open_descriptors(void)
{
    unsigned count = 0;
    for (int fd = 0; fd < 4096; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

static int bound(void)
{
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&sa, sizeof sa), 0);
    return fd;
}

static int leave(const int *fd, struct handover **ret_handover)
{
    struct handover *handover;
    int r = handover_new(&handover);
    if (r < 0)
        return r;
    for (int i = 0; i < SOCKETS && r == 0; i++)
        r = handover_add(handover, fd[i]);
    if (r == 0)
        r = handover_set_state(handover, "state", 5);
    if (r < 0)
        handover_free(handover);
    else
        *ret_handover = handover;
    return r;
}

static void leaving(void **state)
{
    int fd[SOCKETS];
    for (int i = 0; i < SOCKETS; i++)
        fd[i] = bound();
    for (unsigned k = 1; k < ATTEMPTS_MAX; k++) {
        struct handover *handover = NULL;
        alloc_fail_at(k);
        int r = leave(fd, &handover);
        bool failed = alloc_failed();
        alloc_fail_at(0);
        assert_int_equal(r, failed ? -ENOMEM : 0);
        handover_free(handover);
        if (!failed)
            break;
    }
    for (int i = 0; i < SOCKETS; i++)
        close(fd[i]);
}

struct sender {
    const struct handover *handover;
    int connection;
};

static void *send_all(void *arg)
{
    struct sender *sender = arg;
    (void)handover_send(sender->handover, sender->connection, LIMIT_MS);
    close(sender->connection);
    return NULL;
}

// The sender allocates in its own thread, and may be the one that fails: then there is nothing to
// receive.
static void receiving(void **state)
{
    struct handover *left;
    int fd[SOCKETS];
    for (int i = 0; i < SOCKETS; i++)
        fd[i] = bound();
    assert_int_equal(leave(fd, &left), 0);
    unsigned before = open_descriptors();
    bool failed = true;
    for (unsigned k = 1; k < ATTEMPTS_MAX && failed; k++) {
        struct handover *got = NULL;
        int pair[2];
        pthread_t thread;
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
        struct sender sender = {left, pair[0]};
        alloc_fail_at(k);
        assert_int_equal(pthread_create(&thread, NULL, send_all, &sender), 0);
        int r = handover_receive(pair[1], LIMIT_MS, &got);
        close(pair[1]);
        pthread_join(thread, NULL);
        failed = alloc_failed();
        alloc_fail_at(0);
        // A table that cannot grow goes on as it is.
        assert_true(r == 0 || (failed && (r == -ENOMEM || r == -ECONNRESET)));
        assert_int_equal(handover_sockets(got), r == 0 ? SOCKETS : 0);
        handover_free(got);
        assert_int_equal(open_descriptors(), before);
    }
    assert_false(failed);
    handover_free(left);
    for (int i = 0; i < SOCKETS; i++)
        close(fd[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(leaving),
        cmocka_unit_test(receiving),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
