// SPDX-License-Identifier: ISC
// More sockets with datagrams than are looked at in one round: none is forgotten, and where many
// wait they are read in bursts. One at a time would let the queues of a busy relay overflow. And
// however many wait, a wake-up takes no more than its share, and nobody waits for those before him.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "platform/udp.h"

#include "../../src/platform/udp_internal.h"
#include "lib_system_addr.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    SOCKETS = 150,
    EACH = 32, // datagrams
    // Each socket is looked at about twice, 64 of them in a round. One at a time, it is 68 rounds.
    ROUNDS_MOST = 15,
    WAKEUP_MOST = 1024 + UDP_BURST,        // datagrams
    SOME = 2 * UDP_READY_MAX,              // sockets
    WAITING = 2 * UDP_BURST,               // datagrams for each of them
    TURN_OF_ALL = SOME * UDP_BURST / 1024, // wake-ups
};

struct socket_seen {
    struct udp_socket *socket;
    struct addr addr;
    unsigned seen;
};

struct crowd {
    struct event_base *base;
    struct udp *udp;
    struct udp_reader reader;
    struct counters counters;
    struct socket_seen in[SOCKETS];
    int sender;
    unsigned datagrams, rounds;
};

static struct udp_socket *on_datagram(void *ctx, void *owner, struct udp_datagram *datagram,
                                      struct addr *ret_to, usec_t now)
{
    struct crowd *crowd = ctx;
    struct socket_seen *in = owner;
    assert_int_equal(datagram->len, 1);
    assert_int_equal(*datagram->data, in->seen++); // in order
    crowd->datagrams++;
    return NULL;
}

static void on_burst_done(void *ctx, usec_t now)
{
    struct crowd *crowd = ctx;
    crowd->rounds++;
}

// On a port that was free a moment ago.
static void open_socket(struct crowd *crowd, struct socket_seen *in)
{
    int r = -EADDRINUSE;
    for (int try = 0; try < 100 && r == -EADDRINUSE; try++) {
        union system_addr sa;
        assert_int_equal(addr_parse_ip("127.0.0.1", 0, &in->addr), 0);
        socklen_t len = to_system(&in->addr, &sa);
        int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        assert_int_equal(bind(fd, &sa.sa, len), 0);
        assert_int_equal(getsockname(fd, &sa.sa, &len), 0);
        close(fd);
        in->addr.port = ntohs(sa.in.sin_port);
        r = udp_open(crowd->udp, &in->addr, &crowd->reader, in, &in->socket);
    }
    assert_int_equal(r, 0);
}

static int setup(void **state)
{
    struct crowd *crowd = calloc(1, sizeof *crowd);
    crowd->base = event_base_new();
    crowd->reader = (struct udp_reader){.ctx = crowd, .datagram = on_datagram};
    assert_int_equal(udp_new(crowd->base, on_burst_done, crowd, &crowd->counters, &crowd->udp), 0);
    for (unsigned i = 0; i < SOCKETS; i++)
        open_socket(crowd, &crowd->in[i]);
    crowd->sender = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    *state = crowd;
    return 0;
}

static int teardown(void **state)
{
    struct crowd *crowd = *state;
    close(crowd->sender);
    for (unsigned i = 0; i < SOCKETS; i++)
        udp_close(crowd->in[i].socket);
    udp_free(crowd->udp);
    event_base_free(crowd->base);
    free(crowd);
    return 0;
}

static void send_to_each(struct crowd *crowd, uint8_t first, uint8_t end, unsigned sockets)
{
    for (uint8_t k = first; k < end; k++) {
        for (unsigned i = 0; i < sockets; i++) {
            union system_addr to;
            socklen_t len = to_system(&crowd->in[i].addr, &to);
            assert_int_equal(sendto(crowd->sender, &k, 1, 0, &to.sa, len), 1);
        }
    }
}

// Datagrams first to end - 1 to each, all of which wait before the first is read.
static void send_and_read(struct crowd *crowd, uint8_t first, uint8_t end)
{
    send_to_each(crowd, first, end, SOCKETS);
    usec_t deadline = usec_now() + 5 * USEC_PER_SEC;
    while (crowd->datagrams < SOCKETS * end && usec_now() < deadline)
        event_base_loop(crowd->base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
    for (unsigned i = 0; i < SOCKETS; i++)
        assert_int_equal(crowd->in[i].seen, end);
}

static void a_crowd_is_read_in_bursts(void **state)
{
    struct crowd *crowd = *state;
    for (uint8_t k = 0; k < 3; k++)
        send_and_read(crowd, k, k + 1); // one each, as in a call that is served in time
    crowd->rounds = 0;
    send_and_read(crowd, 3, EACH);
    assert_in_range(crowd->rounds, 1, ROUNDS_MOST);
}

// Where many wait for long there is no round that sees them all.
static void also_when_the_count_of_rounds_begins_anew(void **state)
{
    struct crowd *crowd = *state;
    for (uint8_t k = 0; k < 3; k++)
        send_and_read(crowd, k, k + 1);
    crowd->udp->round = crowd->udp->last_whole_round = UINT32_MAX - 1;
    for (unsigned i = 0; i < SOCKETS; i++)
        crowd->in[i].socket->last_round = UINT32_MAX - 2;
    crowd->rounds = 0;
    send_and_read(crowd, 3, EACH);
    assert_in_range(crowd->rounds, 1, ROUNDS_MOST);
}

static void wake_up(const struct crowd *crowd)
{
    event_base_loop(crowd->base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
}

// More than a round looks at have datagrams for a second burst, when all of them are read in
// bursts.
static void let_wait(struct crowd *crowd)
{
    send_to_each(crowd, 0, WAITING, SOME);
    for (unsigned i = 0; i < SOME; i++)
        crowd->in[i].socket->lively = true;
}

// A wake-up has enough of a quarter of a round.
static void a_wake_up_takes_no_more_than_its_share_and_everybody_has_a_turn(void **state)
{
    struct crowd *crowd = *state;
    let_wait(crowd);
    for (unsigned wakeup = 0; wakeup < TURN_OF_ALL; wakeup++) {
        unsigned before = crowd->datagrams;
        wake_up(crowd);
        assert_in_range(crowd->datagrams - before, 1, WAKEUP_MOST);
    }
    for (unsigned i = 0; i < SOME; i++)
        assert_true(crowd->in[i].seen > 0);
}

static void who_is_closed_before_his_turn_is_left_out(void **state)
{
    struct crowd *crowd = *state;
    let_wait(crowd);
    wake_up(crowd);
    for (unsigned i = 0; i < SOME; i += 2) {
        udp_close(crowd->in[i].socket);
        crowd->in[i].socket = NULL;
    }
    for (unsigned wakeup = 0; wakeup < TURN_OF_ALL; wakeup++)
        wake_up(crowd);
    for (unsigned i = 1; i < SOME; i += 2)
        assert_true(crowd->in[i].seen > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_crowd_is_read_in_bursts, setup, teardown),
        cmocka_unit_test_setup_teardown(also_when_the_count_of_rounds_begins_anew, setup, teardown),
        cmocka_unit_test_setup_teardown(
            a_wake_up_takes_no_more_than_its_share_and_everybody_has_a_turn, setup, teardown),
        cmocka_unit_test_setup_teardown(who_is_closed_before_his_turn_is_left_out, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
