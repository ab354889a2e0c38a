// SPDX-License-Identifier: ISC
// Sockets of the daemon before this one, taken for what they were, or for something else since the
// configuration has changed. Somebody keeps a copy of each all the while, as a service manager
// does.
#include "platform/handover.h"
#include "platform/udp.h"
#include "unit/lib_bound.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <event2/event.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

enum { LISTENERS = 3, SENDERS = 40, LIMIT_MS = 20000 };

struct fixture {
    struct event_base *base;
    struct counters counters;
    struct udp *udp[LISTENERS];
    unsigned got[LISTENERS];
};

static struct udp_socket *on_datagram(void *ctx, void *owner, struct udp_datagram *datagram,
                                      struct addr *ret_to, usec_t now)
{
    ++*(unsigned *)owner;
    return NULL;
}

static void on_burst_done(void *ctx, usec_t now)
{
}

static const struct udp_reader reader = {.datagram = on_datagram};

static void start(struct fixture *f)
{
    *f = (struct fixture){.base = event_base_new()};
    for (int i = 0; i < LISTENERS; i++)
        assert_int_equal(udp_new(f->base, on_burst_done, f, &f->counters, &f->udp[i]), 0);
}

static void stop(struct fixture *f)
{
    for (int i = 0; i < LISTENERS; i++)
        udp_free(f->udp[i]);
    event_base_free(f->base);
}

struct sender {
    struct handover *handover;
    int connection;
};

static void *send_all(void *arg)
{
    struct sender *sender = arg;
    assert_int_equal(handover_send(sender->handover, sender->connection, LIMIT_MS), 0);
    return NULL;
}

// What a successor gets of this socket, which stays open here.
static struct handover *left(int fd)
{
    int pair[2];
    pthread_t thread;
    struct handover *handover, *got;
    assert_int_equal(handover_new(&handover), 0);
    assert_int_equal(handover_add(handover, fd), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    struct sender sender = {handover, pair[0]};
    assert_int_equal(pthread_create(&thread, NULL, send_all, &sender), 0);
    assert_int_equal(handover_receive(pair[1], LIMIT_MS, &got), 0);
    assert_int_equal(handover_confirm(pair[1]), 0);
    pthread_join(thread, NULL);
    close(pair[0]);
    close(pair[1]);
    handover_free(handover);
    return got;
}

static void send_many(struct fixture *f, const struct addr *to)
{
    struct addr from = {0};
    struct sockaddr_in sa = {.sin_family = AF_INET,
                             .sin_port = htons(to->port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    for (int i = 0; i < SENDERS; i++) {
        from.port = 0;
        int fd = bound(SOCK_DGRAM, false, &from);
        assert_int_equal(sendto(fd, "x", 1, 0, (struct sockaddr *)(void *)&sa, sizeof sa), 1);
        close(fd);
    }
    for (unsigned got = 0; got < SENDERS;) {
        event_base_loop(f->base, EVLOOP_ONCE);
        got = 0;
        for (int i = 0; i < LISTENERS; i++)
            got += f->got[i];
    }
}

static void a_port_of_a_call_becomes_a_listener_of_all_workers(void **state)
{
    struct fixture f;
    struct udp_socket *socket[LISTENERS];
    struct addr addr = {0};
    int fd = bound(SOCK_DGRAM, false, &addr);
    struct handover *handover = left(fd);
    start(&f);
    for (int i = 0; i < LISTENERS; i++) {
        udp_inherit(f.udp[i], handover);
        assert_int_equal(udp_listen(f.udp[i], &addr, &reader, &f.got[i], &socket[i]), 0);
    }
    handover_free(handover);
    send_many(&f, &addr);
    for (int i = 0; i < LISTENERS; i++) {
        assert_true(f.got[i] > 0);
        udp_close(socket[i]);
    }
    close(fd);
    stop(&f);
}

static void a_port_of_a_call_stays_its_own(void **state)
{
    struct fixture f;
    struct udp_socket *socket, *other;
    struct addr addr = {0};
    int fd = bound(SOCK_DGRAM, false, &addr);
    struct handover *handover = left(fd);
    start(&f);
    udp_inherit(f.udp[0], handover);
    assert_int_equal(udp_open(f.udp[0], &addr, &reader, &f.got[0], &socket), 0);
    assert_int_equal(udp_open(f.udp[0], &addr, &reader, &f.got[0], &other), -EADDRINUSE);
    assert_int_equal(udp_listen(f.udp[1], &addr, &reader, &f.got[1], &other), -EADDRINUSE);
    handover_free(handover);
    send_many(&f, &addr);
    udp_close(socket);
    close(fd);
    stop(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_port_of_a_call_becomes_a_listener_of_all_workers),
        cmocka_unit_test(a_port_of_a_call_stays_its_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
