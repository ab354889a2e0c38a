// SPDX-License-Identifier: ISC
// The forwarding threads on loopback: calls are spread over them, what one forwards can be read and
// asked for at the same time, and they may end with events on their way. Run under ASan and TSan.
#include "lib/world.h"
#include "workers.h"

#include "platform/udp.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

enum { WORKERS = 2, PORT_MIN = 30000, SHARED_PORT = 29478, PORT_MAX = 30999, PACKETS = 2000 };

struct fixture {
    struct event_base *base;
    struct workers *workers;
    struct peers *peers;
    struct prefix loopback;
    unsigned opened, failed, views, ends, silent, done;
    struct relay_event last; // EVENT_OPENED
    struct path_view view;
};

static void on_event(void *ctx, const struct relay_event *event)
{
    struct fixture *f = ctx;
    if (event->kind == EVENT_OPENED) {
        f->opened++;
        f->last = *event;
    }
    if (event->kind == EVENT_SNAPSHOT) {
        f->views++;
        f->view = *event->u.view;
    }
    f->failed += event->kind == EVENT_FAILED;
    f->silent += event->kind == EVENT_SILENT;
    f->ends += event->kind == EVENT_SNAPSHOT_END;
}

static void on_done(void *ctx, uint64_t token, int result)
{
    struct fixture *f = ctx;
    assert_int_equal(token, 5);
    assert_int_equal(result, 0);
    f->done++;
}

static void start(struct fixture *f, uint16_t shared_port)
{
    assert_int_equal(prefix_parse("127.0.0.0/8", &f->loopback), 0);
    struct relay_config config = {
        .bind = {at("127.0.0.1", 0)},
        .port_min = PORT_MIN,
        .port_max = PORT_MAX,
        .allow = {.item = &f->loopback, .count = 1},
        .limits = {.quarantine = USEC_PER_SEC, .learning_window = USEC_PER_SEC},
    };
    const struct workers_handler handler = {.ctx = f, .event = on_event, .done = on_done};
    const struct peers_config peers = {.bind = {at("127.0.0.1", 0)}};
    f->base = event_base_new();
    assert_int_equal(peers_new(&peers, &f->peers), 0);
    const struct workers_config workers = {
        .count = WORKERS, .relay = &config, .peers = f->peers, .shared_port = shared_port};
    assert_int_equal(workers_new(f->base, &workers, &handler, &f->workers), 0);
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    start(f, 0);
    *state = f;
    return 0;
}

static int setup_shared(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    start(f, SHARED_PORT);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    workers_free(f->workers);
    peers_free(f->peers);
    event_base_free(f->base);
    free(f);
    return 0;
}

static void order(struct fixture *f, enum order_kind kind, uint64_t call, uint64_t path,
                  struct order more)
{
    more.kind = kind;
    more.call = call;
    more.path = path;
    assert_int_equal(workers_order(f->workers, &more), 0);
}

static void open_path(struct fixture *f, uint64_t call, uint64_t path)
{
    order(f, ORDER_OPEN, call, path,
          (struct order){.u.open = {.mode = PATH_RAW, .family_v4 = {true, true}}});
}

static void snapshot(struct fixture *f, uint64_t call)
{
    order(f, ORDER_SNAPSHOT, call, 0, (struct order){.u.token = 1});
}

// Until *number has reached 'wanted'; the test's own time limit is the bound.
static void run_until(struct fixture *f, const unsigned *number, unsigned wanted)
{
    while (*number < wanted)
        event_base_loop(f->base, EVLOOP_ONCE);
}

// Whatever the numbers of calls have in common: those of the signalling are all odd.
static void calls_are_spread(void **state)
{
    struct fixture *f = *state;
    static const uint64_t step[] = {1, 2, 64, (uint64_t)1 << 32};
    unsigned opened = 0;
    for (size_t s = 0; s < sizeof step / sizeof *step; s++) {
        uint64_t before[WORKERS];
        for (unsigned i = 0; i < WORKERS; i++)
            before[i] = counter_get(workers_counters(f->workers, i), COUNTER_PATHS_OPENED);
        for (uint64_t i = 0; i < 40; i++)
            open_path(f, 1 + i * step[s], ++opened);
        run_until(f, &f->opened, opened);
        for (unsigned i = 0; i < WORKERS; i++) {
            const struct counters *c = workers_counters(f->workers, i);
            assert_in_range(counter_get(c, COUNTER_PATHS_OPENED) - before[i], 10, 30);
        }
    }
    assert_int_equal(f->failed, 0);
    snapshot(f, 0); // asks every worker
    run_until(f, &f->ends, WORKERS);
    assert_int_equal(f->views, opened);
    for (uint64_t path = 1; path <= opened; path++) // each order finds the call's worker
        order(f, ORDER_CLOSE, 1 + (path - 1) % 40 * step[(path - 1) / 40], path, (struct order){0});
    snapshot(f, 0);
    run_until(f, &f->ends, 2 * WORKERS);
    assert_int_equal(f->views, opened);
}

static int client_open(struct addr *ret_addr)
{
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof sa;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct timeval limit = {.tv_sec = 5};
    assert_true(fd >= 0 && bind(fd, (struct sockaddr *)&sa, sizeof sa) == 0);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&sa, &len), 0);
    *ret_addr = at("127.0.0.1", ntohs(sa.sin_port));
    return fd;
}

static void client_connect(int fd, const struct addr *to)
{
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_port = htons(to->port)};
    memcpy(&sa.sin_addr, to->ip, 4);
    assert_int_equal(connect(fd, (struct sockaddr *)&sa, sizeof sa), 0);
}

static uint64_t total(const struct fixture *f, enum counter id)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < WORKERS; i++)
        sum += counter_get(workers_counters(f->workers, i), id);
    return sum;
}

static void figures_are_read_while_packets_pass(void **state)
{
    struct fixture *f = *state;
    struct addr alice, bob;
    uint8_t buf[256];
    int alice_fd = client_open(&alice), bob_fd = client_open(&bob);
    open_path(f, 7, 1);
    run_until(f, &f->opened, 1);
    client_connect(alice_fd, &f->last.u.opened[SIDE_INITIATOR][0]);
    client_connect(bob_fd, &f->last.u.opened[SIDE_RESPONDER][0]);
    order(f, ORDER_PEER, 7, 1, (struct order){.side = SIDE_INITIATOR, .u.peer = alice});
    order(f, ORDER_PEER, 7, 1, (struct order){.side = SIDE_RESPONDER, .u.peer = bob});
    snapshot(f, 7);
    run_until(f, &f->ends, 1);
    for (unsigned i = 0; i < PACKETS; i++) {
        size_t len = build_rtp(buf, 1, (uint16_t)i, 100);
        assert_int_equal(send(alice_fd, buf, len, 0), len);
        assert_int_equal(recv(bob_fd, buf, sizeof buf, 0), len);
        assert_in_range(total(f, COUNTER_PACKETS_IN), i, i + 1);
        if (i % 100 == 0)
            snapshot(f, 7);
        event_base_loop(f->base, EVLOOP_NONBLOCK);
    }
    run_until(f, &f->ends, 1 + PACKETS / 100);
    snapshot(f, 7);
    run_until(f, &f->ends, 2 + PACKETS / 100);
    assert_int_equal(f->view.leg[SIDE_INITIATOR].media_in, PACKETS);
    // Counted once, by the socket; after the burst, so that the last may still be on its way.
    while (total(f, COUNTER_PACKETS_OUT) < PACKETS)
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    assert_int_equal(total(f, COUNTER_PACKETS_IN), PACKETS);
    assert_int_equal(total(f, COUNTER_PACKETS_OUT), PACKETS);
    close(alice_fd);
    close(bob_fd);
}

static void open_ice(struct fixture *f, uint64_t call, uint64_t path)
{
    static const struct order names[SIDE_COUNT] = {
        {.side = SIDE_INITIATOR, .u.credentials = {"alic", "alice-password"}},
        {.side = SIDE_RESPONDER, .u.credentials = {"bobb", "bob-password"}}};
    order(f, ORDER_OPEN, call, path,
          (struct order){.u.open = {.mode = PATH_ICE, .family_v4 = {true, true}, .component = 1}});
    for (unsigned s = 0; s < SIDE_COUNT; s++)
        order(f, ORDER_CREDENTIALS, call, path, names[s]);
}

static void send_check(int fd, enum side side, const char *id)
{
    const bool a = side == SIDE_INITIATOR;
    const struct check check = {.to = a ? "bobb" : "alic",
                                .from = a ? "alic" : "bobb",
                                .pwd = a ? "bob-password" : "alice-password",
                                .id = id};
    uint8_t buf[256];
    size_t len = build_check(buf, sizeof buf, &check);
    assert_int_equal(send(fd, buf, len, 0), len);
}

static void send_answer(int fd, enum side side)
{
    uint8_t request[256], buf[256];
    struct addr any = at("192.0.2.1", 1);
    assert_true(recv(fd, request, sizeof request, 0) > 0);
    size_t len = build_answer(buf, sizeof buf, request, &any,
                              side == SIDE_INITIATOR ? "alice-password" : "bob-password");
    assert_int_equal(send(fd, buf, len, 0), len);
}

// Whatever the calls' numbers, the paths that share the port meet on one worker, and are reached
// there from any source.
static void one_port_for_all_calls(void **state)
{
    struct fixture *f = *state;
    struct addr alice, bob, port = at("127.0.0.1", SHARED_PORT);
    for (uint64_t i = 1; i <= 20; i++)
        open_path(f, i, i);
    open_ice(f, 21, 21);
    run_until(f, &f->opened, 21);
    assert_int_equal(counter_get(workers_counters(f->workers, 0), COUNTER_PATHS_OPEN), 21);
    assert_true(addr_equal(&f->last.u.opened[SIDE_INITIATOR][0], &port));
    assert_true(addr_equal(&f->last.u.opened[SIDE_RESPONDER][0], &port));
    for (unsigned i = 0; i < 8; i++) {
        int alice_fd = client_open(&alice), bob_fd = client_open(&bob);
        char id[16];
        client_connect(alice_fd, &port);
        client_connect(bob_fd, &port);
        order(f, ORDER_CLOSE, 21 + i, 21 + i, (struct order){0});
        open_ice(f, 22 + i, 22 + i);
        run_until(f, &f->opened, 22 + i);
        snapshot(f, 22 + i); // its names have arrived
        run_until(f, &f->ends, 1 + i);
        snprintf(id, sizeof id, "a%u", i);
        send_check(alice_fd, SIDE_INITIATOR, id);
        snprintf(id, sizeof id, "b%u", i);
        nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL); // hers is the first
        send_check(bob_fd, SIDE_RESPONDER, id);
        send_answer(alice_fd, SIDE_INITIATOR);
        send_answer(bob_fd, SIDE_RESPONDER);
        assert_true(recv(alice_fd, id, sizeof id, 0) > 0); // each gets the other's
        assert_true(recv(bob_fd, id, sizeof id, 0) > 0);
        close(alice_fd);
        close(bob_fd);
    }
    assert_true(peers_allowed(f->peers, &port));
}

// Another program has it: then calls have ports of their own.
static void a_shared_port_that_is_taken(void **state)
{
    struct fixture *f = *state;
    workers_free(f->workers);
    peers_free(f->peers);
    event_base_free(f->base);
    struct sockaddr_in sa = {.sin_family = AF_INET,
                             .sin_port = htons(SHARED_PORT),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0 && bind(fd, (struct sockaddr *)&sa, sizeof sa) == 0);
    start(f, SHARED_PORT);
    open_ice(f, 1, 1);
    run_until(f, &f->opened, 1);
    assert_in_range(f->last.u.opened[SIDE_INITIATOR][0].port, PORT_MIN, PORT_MAX);
    close(fd);
}

// Snapshots own memory: those that nobody takes any more are freed, and nobody is called.
static void the_end_drops_what_waits(void **state)
{
    struct fixture *f = *state;
    for (uint64_t i = 1; i <= 20; i++)
        open_path(f, i, i);
    run_until(f, &f->opened, 20);
    for (unsigned i = 0; i < 5; i++)
        snapshot(f, 0);
    workers_free(f->workers);
    f->workers = NULL;
    event_base_loop(f->base, EVLOOP_NONBLOCK);
    assert_int_equal(f->views, 0);
}

static void no_thread_is_left_when_starting_fails(void **state)
{
    struct fixture *f = *state;
    struct workers *workers = NULL;
    const struct workers_handler handler = {.ctx = f, .event = on_event};
    struct relay_config config = {.bind = {at("127.0.0.1", 0)}, .port_min = 2, .port_max = 3};
    const struct workers_config two = {.count = 2, .relay = &config, .peers = f->peers};
    // One pair of ports is nothing for the second worker, when the first runs already.
    assert_int_equal(workers_new(f->base, &two, &handler, &workers), -EINVAL);
    assert_null(workers);
}

// A path that is open falls silent by a limit that there was not when it was opened.
static void limits_may_change(void **state)
{
    struct fixture *f = *state;
    const struct workers_renewal renewal = {
        .limits = {.quarantine = USEC_PER_SEC, .silence = 20 * USEC_PER_MSEC}};
    open_path(f, 1, 1);
    while (f->opened < 1)
        event_base_loop(f->base, EVLOOP_ONCE);
    assert_int_equal(f->silent, 0);
    assert_int_equal(workers_renew(f->workers, &renewal, 5), 0);
    while (f->done < WORKERS || f->silent < 1)
        event_base_loop(f->base, EVLOOP_ONCE);
    assert_int_equal(f->done, WORKERS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(calls_are_spread, setup, teardown),
        cmocka_unit_test_setup_teardown(limits_may_change, setup, teardown),
        cmocka_unit_test_setup_teardown(figures_are_read_while_packets_pass, setup, teardown),
        cmocka_unit_test_setup_teardown(the_end_drops_what_waits, setup, teardown),
        cmocka_unit_test_setup_teardown(one_port_for_all_calls, setup_shared, teardown),
        cmocka_unit_test_setup_teardown(a_shared_port_that_is_taken, setup_shared, teardown),
        cmocka_unit_test_setup_teardown(no_thread_is_left_when_starting_fails, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
