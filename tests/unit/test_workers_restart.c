// SPDX-License-Identifier: ISC
// The forwarding threads over a restart, on loopback: what comes while nobody listens waits in the
// sockets and is forwarded by the next workers; those that were frozen can go on as well. Run under
// ASan and TSan.
#include "lib/world.h"
#include "workers.h"

#include "platform/udp.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

enum { WORKERS = 2, PORT_MIN = 31000, PORT_MAX = 31999, PACKETS = 50, LIMIT_MS = 20000, CALLS = 6 };

struct fixture {
    struct event_base *base;
    struct peers *peers;
    struct workers *workers;
    struct prefix loopback;
    unsigned opened;
    struct relay_event open[CALLS + 1]; // EVENT_OPENED, by call
    int alice[CALLS + 1], bob[CALLS + 1];
};

static void on_event(void *ctx, const struct relay_event *event)
{
    struct fixture *f = ctx;
    if (event->kind == EVENT_OPENED) {
        f->opened++;
        f->open[event->call] = *event;
    }
}

static int start(struct fixture *f, unsigned count, struct workers_revival *revival)
{
    const struct relay_config config = {
        .bind = {at("127.0.0.1", 0)},
        .port_min = PORT_MIN,
        .port_max = PORT_MAX,
        .allow = {.item = &f->loopback, .count = 1},
        .limits = {.quarantine = USEC_PER_SEC, .learning_window = 10 * USEC_PER_SEC},
    };
    const struct workers_handler handler = {.ctx = f, .event = on_event};
    const struct workers_config workers = {
        .count = count, .relay = &config, .peers = f->peers, .revival = revival};
    return workers_new(f->base, &workers, &handler, &f->workers);
}

static int client(struct addr *ret_addr)
{
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof sa;
    struct timeval limit = {.tv_sec = 10};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
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

static void order(struct fixture *f, enum order_kind kind, uint64_t call, struct order more)
{
    more.kind = kind;
    more.call = more.path = call;
    assert_int_equal(workers_order(f->workers, &more), 0);
}

static void send_some(const struct fixture *f, uint64_t call, unsigned first)
{
    uint8_t buf[256];
    for (unsigned i = first; i < first + PACKETS; i++) {
        size_t len = build_rtp(buf, 1, (uint16_t)i, 100);
        assert_int_equal(send(f->alice[call], buf, len, 0), len);
    }
}

static void all_arrive(const struct fixture *f, uint64_t call)
{
    uint8_t buf[256];
    for (unsigned i = 0; i < PACKETS; i++)
        assert_true(recv(f->bob[call], buf, sizeof buf, 0) > 0);
}

static void begin_call(struct fixture *f, uint64_t call)
{
    struct addr alice, bob;
    unsigned before = f->opened;
    f->alice[call] = client(&alice);
    f->bob[call] = client(&bob);
    order(f, ORDER_OPEN, call,
          (struct order){.u.open = {.mode = PATH_RAW, .family_v4 = {true, true}}});
    while (f->opened == before)
        event_base_loop(f->base, EVLOOP_ONCE);
    client_connect(f->alice[call], &f->open[call].u.opened[SIDE_INITIATOR][0]);
    client_connect(f->bob[call], &f->open[call].u.opened[SIDE_RESPONDER][0]);
    order(f, ORDER_PEER, call, (struct order){.side = SIDE_INITIATOR, .u.peer = alice});
    order(f, ORDER_PEER, call, (struct order){.side = SIDE_RESPONDER, .u.peer = bob});
    workers_freeze(f->workers); // all orders are done now
    assert_int_equal(workers_thaw(f->workers), 0);
    send_some(f, call, 0);
    all_arrive(f, call);
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    const struct peers_config peers = {.bind = {at("127.0.0.1", 0)}};
    assert_int_equal(prefix_parse("127.0.0.0/8", &f->loopback), 0);
    f->base = event_base_new();
    assert_int_equal(peers_new(&peers, &f->peers), 0);
    assert_int_equal(start(f, WORKERS, NULL), 0);
    for (uint64_t call = 1; call <= CALLS; call++)
        begin_call(f, call);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    workers_free(f->workers);
    peers_free(f->peers);
    event_base_free(f->base);
    for (uint64_t call = 1; call <= CALLS; call++) {
        close(f->alice[call]);
        close(f->bob[call]);
    }
    free(f);
    return 0;
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

// What a successor gets.
static struct handover *pass_on(struct handover *left)
{
    int pair[2];
    pthread_t thread;
    struct handover *got;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    struct sender sender = {left, pair[0]};
    assert_int_equal(pthread_create(&thread, NULL, send_all, &sender), 0);
    assert_int_equal(handover_receive(pair[1], LIMIT_MS, &got), 0);
    assert_int_equal(handover_confirm(pair[1]), 0);
    pthread_join(thread, NULL);
    close(pair[0]);
    close(pair[1]);
    handover_free(left);
    return got;
}

// Stops the workers, sends while nobody listens, and starts others with what was left.
static struct workers_revival restart(struct fixture *f, bool states, bool sockets)
{
    struct handover *left;
    workers_freeze(f->workers);
    assert_int_equal(handover_new(&left), 0);
    json_t *saved = workers_save(f->workers, left, usec_now());
    assert_non_null(saved);
    struct workers_revival revival = {.handover = pass_on(left), .states = states ? saved : NULL};
    assert_int_equal(handover_sockets(revival.handover), 2 * CALLS);
    workers_free(f->workers);
    for (uint64_t call = 1; call <= CALLS; call++)
        send_some(f, call, PACKETS);
    if (!sockets) {
        handover_free(revival.handover);
        revival.handover = NULL;
    }
    assert_int_equal(start(f, WORKERS, &revival), 0);
    handover_free(revival.handover);
    revival.handover = NULL;
    json_decref(saved);
    return revival;
}

static void nothing_is_lost(void **state)
{
    struct fixture *f = *state;
    struct workers_revival revival = restart(f, true, true);
    assert_int_equal(revival.paths, CALLS);
    assert_int_equal(revival.paths_lost, 0);
    bool known[CALLS + 1] = {0};
    for (size_t i = 0; i < revival.paths; i++) {
        assert_true(revival.path[i].call == revival.path[i].path);
        known[revival.path[i].call] = true;
    }
    free(revival.path);
    for (uint64_t call = 1; call <= CALLS; call++) {
        assert_true(known[call]);
        all_arrive(f, call); // what was sent in between
        send_some(f, call, 2 * PACKETS);
        all_arrive(f, call);
    }
    assert_int_equal(f->opened, CALLS); // nobody hears of what is there already
}

// Without the sockets the ports are bound anew: what came in between is lost, the paths are not.
static void ports_are_bound_anew(void **state)
{
    struct fixture *f = *state;
    struct workers_revival revival = restart(f, true, false);
    assert_int_equal(revival.paths, CALLS);
    free(revival.path);
    for (uint64_t call = 1; call <= CALLS; call++) {
        send_some(f, call, 2 * PACKETS);
        all_arrive(f, call);
    }
}

static void sockets_without_states_are_closed(void **state)
{
    struct fixture *f = *state;
    struct workers_revival revival = restart(f, false, true);
    assert_int_equal(revival.paths, 0);
    assert_int_equal(counter_get(workers_counters(f->workers, 0), COUNTER_PORTS_USED), 0);
}

// The successor has failed: those that were saved go on, with what waited.
static void the_frozen_thaw(void **state)
{
    struct fixture *f = *state;
    struct handover *left;
    workers_freeze(f->workers);
    assert_int_equal(handover_new(&left), 0);
    json_decref(workers_save(f->workers, left, usec_now()));
    handover_free(left);
    for (uint64_t call = 1; call <= CALLS; call++)
        send_some(f, call, PACKETS);
    assert_int_equal(workers_thaw(f->workers), 0);
    for (uint64_t call = 1; call <= CALLS; call++)
        all_arrive(f, call);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(nothing_is_lost, setup, teardown),
        cmocka_unit_test_setup_teardown(ports_are_bound_anew, setup, teardown),
        cmocka_unit_test_setup_teardown(sockets_without_states_are_closed, setup, teardown),
        cmocka_unit_test_setup_teardown(the_frozen_thaw, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
