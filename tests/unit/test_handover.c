// SPDX-License-Identifier: ISC
// Sockets and a text from one daemon to the next, over a unix socket. What arrives is in order,
// packets that came in between wait in it, and whatever else comes that way is refused and closed.
#include "lib/world.h"
#include "platform/handover.h"
#include "unit/lib_bound.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MANY = 700, LIMIT_MS = 20000 };

static unsigned open_descriptors(void)
{
    unsigned count = 0;
    for (int fd = 0; fd < 4096; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

static void say(int to_fd, const struct addr *to)
{
    struct sockaddr_in sa = {.sin_family = AF_INET,
                             .sin_port = htons(to->port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    assert_int_equal(sendto(to_fd, "hello", 5, 0, (struct sockaddr *)&sa, sizeof sa), 5);
}

// ---- over a unix socket

struct sender {
    const struct handover *handover;
    int connection, timeout_ms, result;
};

static void *send_in_thread(void *arg)
{
    struct sender *sender = arg;
    sender->result = handover_send(sender->handover, sender->connection, sender->timeout_ms);
    close(sender->connection);
    return NULL;
}

// Sends, receives and confirms.
static struct handover *pass_on(const struct handover *left)
{
    int pair[2];
    pthread_t thread;
    struct handover *got = NULL;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    struct sender sender = {left, pair[0], LIMIT_MS, 1};
    assert_int_equal(pthread_create(&thread, NULL, send_in_thread, &sender), 0);
    assert_int_equal(handover_receive(pair[1], LIMIT_MS, &got), 0);
    assert_int_equal(handover_confirm(pair[1]), 0);
    pthread_join(thread, NULL);
    assert_int_equal(sender.result, 0);
    close(pair[1]);
    return got;
}

static void sockets_and_text_arrive(void **state)
{
    unsigned before = open_descriptors();
    struct addr udp = {0}, tcp = {0}, other = {0};
    int fd[2] = {bound(SOCK_DGRAM, false, &udp), bound(SOCK_STREAM, false, &tcp)};
    int client = bound(SOCK_DGRAM, false, &other);
    struct handover *left;
    size_t len;
    char buf[8];
    assert_int_equal(handover_new(&left), 0);
    assert_int_equal(handover_add(left, fd[0]), 0);
    assert_int_equal(handover_add(left, fd[1]), 0);
    assert_int_equal(handover_set_state(left, "{\"a\n\":1}", 8), 0);
    assert_int_equal(handover_take(left, HANDOVER_UDP, &udp), -ENOENT); // they are ours still
    say(client, &udp);
    struct handover *got = pass_on(left);
    handover_free(left);
    close(fd[0]);
    close(fd[1]);
    say(client, &udp);
    assert_int_equal(handover_sockets(got), 2);
    assert_memory_equal(handover_state(got, &len), "{\"a\n\":1}", 8);
    assert_int_equal(len, 8);
    assert_int_equal(handover_take(got, HANDOVER_TCP_LISTENER, &udp), -ENOENT);
    assert_int_equal(handover_take(got, HANDOVER_UDP, &other), -ENOENT);
    int taken = handover_take(got, HANDOVER_UDP, &udp);
    assert_true(taken >= 1024);
    assert_int_equal(fcntl(taken, F_GETFD), FD_CLOEXEC);
    assert_true(fcntl(taken, F_GETFL) & O_NONBLOCK);
    assert_int_equal(handover_take(got, HANDOVER_UDP, &udp), -ENOENT); // once
    for (int i = 0; i < 2; i++) // from before the hand-over and from in between
        assert_int_equal(recv(taken, buf, sizeof buf, 0), 5);
    assert_int_equal(handover_sockets(got), 1);
    handover_free(got); // closes the listener
    close(taken);
    close(client);
    assert_int_equal(open_descriptors(), before);
    assert_int_equal(handover_take(NULL, HANDOVER_UDP, &udp), -ENOENT);
    assert_int_equal(handover_sockets(NULL), 0);
    assert_null(handover_state(NULL, &len));
}

// More than fit into one message, and the members of groups in their order, which a program that
// steers packets counts by.
static void many_keep_their_order(void **state)
{
    struct handover *left;
    struct addr addr[MANY / 2] = {0};
    int fd[MANY];
    uint64_t cookie[MANY];
    assert_int_equal(handover_new(&left), 0);
    for (int i = 0; i < MANY; i++)
        fd[i] = bound(SOCK_DGRAM, true, &addr[i % (MANY / 2)]);
    for (int i = MANY - 1; i >= 0; i--) // the kernel numbers them when it is asked
        cookie[i] = cookie_of(fd[i]);
    for (int i = 0; i < MANY; i++)
        assert_int_equal(handover_add(left, fd[i]), 0);
    struct handover *got = pass_on(left);
    size_t len;
    assert_null(handover_state(got, &len)); // there was none
    assert_int_equal(handover_sockets(got), MANY);
    for (int i = 0; i < MANY; i++) {
        int taken = handover_take(got, HANDOVER_UDP, &addr[i % (MANY / 2)]);
        assert_true(taken >= 0);
        assert_true(cookie_of(taken) == cookie[i]);
        close(taken);
        close(fd[i]);
    }
    handover_free(left);
    handover_free(got);
}

static void what_is_no_socket_of_ours_is_refused(void **state)
{
    struct handover *left;
    int pair[2], file = memfd_create("test", MFD_CLOEXEC);
    int unbound = socket(AF_INET, SOCK_DGRAM, 0), stream = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    assert_int_equal(handover_new(&left), 0);
    assert_int_equal(handover_add(left, file), -ENOTSOCK);
    assert_int_equal(handover_add(left, unbound), -EINVAL);
    assert_int_equal(handover_add(left, stream), -EINVAL);
    assert_int_equal(handover_add(left, pair[0]), -EINVAL);
    handover_free(left);
    handover_free(NULL);
    close(file);
    close(unbound);
    close(stream);
    close(pair[0]);
    close(pair[1]);
}

// A successor that gives up, or never says that it runs, has taken nothing away.
static void the_sender_wants_an_answer(void **state)
{
    static const struct {
        const char *answer; // NULL: none
        bool hang_up;
        int result;
    } row[] = {{NULL, true, -ECONNRESET}, {NULL, false, -ETIMEDOUT}, {"-", false, -EPROTO}};
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        unsigned before = open_descriptors();
        int pair[2];
        pthread_t thread;
        struct handover *left, *got = NULL;
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
        assert_int_equal(handover_new(&left), 0);
        struct sender sender = {left, pair[0], row[i].result == -ETIMEDOUT ? 50 : LIMIT_MS, 1};
        assert_int_equal(pthread_create(&thread, NULL, send_in_thread, &sender), 0);
        assert_int_equal(handover_receive(pair[1], LIMIT_MS, &got), 0);
        if (row[i].answer)
            assert_int_equal(send(pair[1], row[i].answer, 1, MSG_NOSIGNAL), 1);
        if (row[i].hang_up)
            close(pair[1]);
        pthread_join(thread, NULL);
        assert_int_equal(sender.result, row[i].result);
        if (!row[i].hang_up)
            close(pair[1]);
        handover_free(left);
        handover_free(got);
        assert_int_equal(open_descriptors(), before);
    }
}

// Whoever confirms too late, or when there was no sender any more, is told which of the two.
static void too_late_to_confirm(void **state)
{
    for (int gone = 0; gone < 2; gone++) {
        int pair[2];
        pthread_t thread;
        struct handover *left, *got = NULL;
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
        assert_int_equal(handover_new(&left), 0);
        // The sender's thread closes its end, this one stays open.
        struct sender sender = {left, dup(pair[0]), gone ? LIMIT_MS : 50, 1};
        assert_int_equal(pthread_create(&thread, NULL, send_in_thread, &sender), 0);
        assert_int_equal(handover_receive(pair[1], LIMIT_MS, &got), 0);
        if (gone)
            assert_int_equal(shutdown(pair[0], SHUT_RDWR), 0);
        pthread_join(thread, NULL);
        assert_int_equal(sender.result, gone ? -ECONNRESET : -ETIMEDOUT);
        close(pair[0]);
        assert_int_equal(handover_confirm(pair[1]), gone ? -ECONNRESET : -ECANCELED);
        close(pair[1]);
        handover_free(left);
        handover_free(got);
    }
}

// What a stranger sends: so many bytes, then descriptors, then the end.
static int receive(const void *data, size_t len, const int *fds, size_t count)
{
    unsigned before = open_descriptors();
    struct handover *got = NULL;
    char byte = 0;
    struct iovec iov = {.iov_base = &byte, .iov_len = 1};
    char control[CMSG_SPACE(64 * sizeof(int))] = {0};
    struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    assert_int_equal(send(pair[0], data, len, 0), len);
    if (count > 0) {
        message.msg_control = control;
        message.msg_controllen = CMSG_SPACE(count * sizeof(int));
        struct cmsghdr *c = CMSG_FIRSTHDR(&message);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(count * sizeof(int));
        memcpy(CMSG_DATA(c), fds, count * sizeof(int));
        assert_int_equal(sendmsg(pair[0], &message, 0), 1);
    }
    close(pair[0]);
    int r = handover_receive(pair[1], LIMIT_MS, &got);
    close(pair[1]);
    if (r == 0) {
        assert_non_null(got);
        handover_free(got);
    } else {
        assert_null(got);
    }
    assert_int_equal(open_descriptors(), before);
    return r;
}

static void hello(uint8_t out[8], uint32_t count)
{
    memcpy(out, "JRHO", 4);
    memcpy(out + 4, &count, 4);
}

static void strangers_are_refused(void **state)
{
    uint8_t head[8];
    int file[2] = {memfd_create("a", MFD_CLOEXEC), memfd_create("b", MFD_CLOEXEC)};
    assert_int_equal(receive("", 0, NULL, 0), -ECONNRESET);
    assert_int_equal(receive("JR", 2, NULL, 0), -ECONNRESET);
    assert_int_equal(receive("{\"a\":1}\n", 8, NULL, 0), -EPROTO);
    hello(head, 0);
    assert_int_equal(receive(head, 8, NULL, 0), -EPROTO);
    hello(head, UINT32_MAX);
    assert_int_equal(receive(head, 8, NULL, 0), -EPROTO);
    hello(head, 1);
    assert_int_equal(receive(head, 8, NULL, 0), -ECONNRESET);
    assert_int_equal(receive(head, 8, file, 2), -EPROTO); // one more than was said
    assert_int_equal(receive(head, 8, file, 1), -EPROTO); // an empty image
    hello(head, 3);
    assert_int_equal(receive(head, 8, file, 2), -ECONNRESET);
    uint8_t bytes[9] = {0};
    memcpy(bytes, head, 8);
    assert_int_equal(receive(bytes, 9, NULL, 0), -EPROTO); // a byte without descriptors
    int pipe_fd[2];
    assert_int_equal(pipe(pipe_fd), 0);
    hello(head, 1);
    assert_int_equal(receive(head, 8, pipe_fd, 1), -EPROTO);
    close(pipe_fd[0]);
    close(pipe_fd[1]);
    close(file[0]);
    close(file[1]);
}

static int receive_image(const char *text, const int *fd)
{
    uint8_t head[8];
    int fds[2] = {memfd_create("image", MFD_CLOEXEC), fd ? *fd : -1};
    assert_int_equal(write(fds[0], text, strlen(text)), strlen(text));
    hello(head, fd ? 2 : 1);
    int r = receive(head, 8, fds, fd ? 2 : 1);
    close(fds[0]);
    return r;
}

static void bad_images_are_refused(void **state)
{
    struct addr addr = {0};
    int fd = bound(SOCK_DGRAM, false, &addr), file = memfd_create("x", MFD_CLOEXEC);
#define HEAD "jingle-relayd hand-over 1\n"
    assert_int_equal(receive_image(HEAD "0\n", NULL), 0);
    assert_int_equal(receive_image(HEAD "0\nstate", NULL), 0);
    assert_int_equal(receive_image(HEAD "1\nabc\nstate", &fd), 0); // of a socket not known here
    assert_int_equal(receive_image(HEAD "0\n", &file), 0);         // what is no socket is closed
    static const char *const bad[] = {HEAD,           HEAD "\n",
                                      HEAD "x\n",     HEAD "1",
                                      HEAD "1\n",     HEAD "1\nab",
                                      HEAD "2\nab\n", HEAD "99999999999999999999\n",
                                      HEAD "1\nzz\n", "jingle-relayd hand-over 2\n0\n",
                                      "#!/bin/sh\n"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(receive_image(bad[i], &fd), -EPROTO);
#undef HEAD
    close(fd);
    close(file);
}

// A successor that may not have as many descriptors says so, and its predecessor goes on.
static void too_many_for_the_successor(void **state)
{
    struct handover *left, *got = NULL;
    struct addr addr[MANY] = {0};
    int fd[MANY], pair[2];
    struct rlimit limit, small;
    pthread_t thread;
    assert_int_equal(handover_new(&left), 0);
    for (int i = 0; i < MANY; i++) {
        fd[i] = bound(SOCK_DGRAM, false, &addr[i]);
        assert_int_equal(handover_add(left, fd[i]), 0);
    }
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    unsigned before = open_descriptors();
    getrlimit(RLIMIT_NOFILE, &limit);
    small = limit;
    small.rlim_cur = MANY + 300;
    struct sender sender = {left, pair[0], LIMIT_MS, 1};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &small), 0);
    assert_int_equal(pthread_create(&thread, NULL, send_in_thread, &sender), 0);
    int r = handover_receive(pair[1], LIMIT_MS, &got);
    close(pair[1]);
    pthread_join(thread, NULL);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    assert_int_equal(r, -EMFILE);
    assert_int_equal(sender.result, -ECONNRESET);
    assert_null(got);
    assert_int_equal(open_descriptors(), before - 2);
    handover_free(left);
    for (int i = 0; i < MANY; i++)
        close(fd[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sockets_and_text_arrive),
        cmocka_unit_test(many_keep_their_order),
        cmocka_unit_test(what_is_no_socket_of_ours_is_refused),
        cmocka_unit_test(the_sender_wants_an_answer),
        cmocka_unit_test(too_late_to_confirm),
        cmocka_unit_test(strangers_are_refused),
        cmocka_unit_test(bad_images_are_refused),
        cmocka_unit_test(too_many_for_the_successor),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
