// SPDX-License-Identifier: ISC
// TCP allocations of the running server (RFC 6062): two threads behind one port, real connections
// on loopback. The kernel gives a client's data connection to the thread that has its allocation,
// or to the other one, about half of the times each.
#include "lib_turn_client.h"
#include "platform/pipe.h"
#include "platform/udp.h"
#include "records.h"
#include "workers.h"

#include <arpa/inet.h>
#include <errno.h>
#include <event2/thread.h>
#include <openssl/evp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <cmocka.h>

enum { WORKERS = 2, PORT_MIN = 46800, PORT_MAX = 46927, SERVER_PORT = 46799, ROUNDS = 12 };

struct fixture {
    struct event_base *base;
    struct peers *peers;
    struct quota *quota;
    struct turn_server server;
    struct turn_user user;
    struct prefix loopback;
    struct workers *workers;
    struct addr address;
    int listener; // a peer that is called
    struct addr peer;
    uint64_t rate; // of one allocation on one worker, bytes per second; 0: no limit
    struct records *records;
};

static struct addr at(const char *ip, uint16_t port)
{
    struct addr addr;

    assert_int_equal(addr_parse_ip(ip, port, &addr), 0);
    return addr;
}

static void on_event(void *ctx, const struct relay_event *event)
{
    (void)ctx;
    (void)event;
}

// ---- peers

static struct sockaddr_in system_addr(const struct addr *addr)
{
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_port = htons(addr->port)};

    memcpy(&sa.sin_addr, addr->ip, 4);
    return sa;
}

// A blocking socket at this address; port 0: some port.
static int peer_socket(struct addr *addr)
{
    const struct timeval patience = {.tv_sec = 5};
    struct sockaddr_in sa = system_addr(addr);
    socklen_t len = sizeof sa;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_int_equal(bind(fd, (struct sockaddr *)(void *)&sa, sizeof sa), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)(void *)&sa, &len), 0);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience), 0);
    addr->port = ntohs(sa.sin_port);
    return fd;
}

static int call(const struct addr *to, struct addr *own)
{
    struct sockaddr_in sa = system_addr(to);
    int fd;

    *own = at("127.0.0.3", 0);
    fd = peer_socket(own);
    assert_int_equal(connect(fd, (struct sockaddr *)(void *)&sa, sizeof sa), 0);
    return fd;
}

static int answer(struct fixture *f, struct addr *ret_caller)
{
    const struct timeval patience = {.tv_sec = 5};
    struct sockaddr_in sa;
    socklen_t len = sizeof sa;
    int fd = accept(f->listener, (struct sockaddr *)(void *)&sa, &len);

    assert_true(fd >= 0);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience), 0);
    *ret_caller = addr_v4((const uint8_t *)&sa.sin_addr, ntohs(sa.sin_port));
    return fd;
}

static bool is_over(int fd)
{
    char byte;
    ssize_t n = recv(fd, &byte, 1, 0);

    return n == 0 || (n < 0 && errno == ECONNRESET);
}

static void passes(int from, int to, const void *data, size_t len)
{
    static uint8_t got[65536];

    assert_int_equal(send(from, data, len, MSG_NOSIGNAL), len);
    assert_int_equal(recv(to, got, len, MSG_WAITALL), len);
    assert_memory_equal(got, data, len);
}

static void passes_both_ways(int a, int b)
{
    static uint8_t data[30000];

    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (uint8_t)(i * 2654435761u >> 9);
    passes(a, b, "hello", 5);
    passes(b, a, "\xff\x16 no STUN", 9);
    passes(a, b, data, sizeof data);
    passes(b, a, data, sizeof data);
}

// ---- the server

static void start_server(struct fixture *f)
{
    const struct relay_config relay = {
        .bind = {at("127.0.0.1", 0)},
        .port_min = PORT_MIN,
        .port_max = PORT_MAX,
        .limits = {.quarantine = USEC_PER_MSEC},
    };
    const struct workers_handler handler = {.ctx = f, .event = on_event};
    const struct workers_config workers = {.count = WORKERS,
                                           .relay = &relay,
                                           .peers = f->peers,
                                           .turn = &f->server,
                                           .records = f->records};

    f->server = (struct turn_server){
        .turn = {.realm = "test",
                 .user = &f->user,
                 .users = 1,
                 .nonce_lifetime = 3600 * USEC_PER_SEC,
                 .default_lifetime = 600 * USEC_PER_SEC,
                 .max_lifetime = 3600 * USEC_PER_SEC,
                 .permissions_max = 16,
                 .channels_max = 16,
                 .connections_max = 8,
                 .allocations_max = 1000,
                 .bytes_per_second = f->rate,
                 .workers = WORKERS,
                 .tcp_allocations = true},
        .streams = {.plain = true,
                    .connections_max = 200,
                    .half_open_max = 100,
                    .trust_time = 10 * USEC_PER_SEC,
                    .frame_time = 10 * USEC_PER_SEC,
                    .idle_time = 3600 * USEC_PER_SEC,
                    .queue_time = USEC_PER_SEC,
                    .queue_bytes = 70000},
        .listener = {f->address},
        .listeners = 1,
        .quota = f->quota,
        .peers = f->peers,
    };
    assert_int_equal(workers_new(f->base, &workers, &handler, &f->workers), 0);
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);

    assert_int_equal(prefix_parse("127.0.0.0/8", &f->loopback), 0);
    const struct peers_config peers = {.bind = {at("127.0.0.1", 0)},
                                       .advertise = {at("127.0.0.1", 0)},
                                       .allow = {&f->loopback, 1}};
    f->base = event_base_new();
    f->address = at("127.0.0.1", SERVER_PORT);
    f->user = (struct turn_user){"romeo", "montague"};
    assert_int_equal(peers_new(&peers, &f->peers), 0);
    assert_int_equal(quota_new(0, 0, &f->quota), 0);
    start_server(f);
    f->peer = at("127.0.0.3", 0);
    f->listener = peer_socket(&f->peer);
    assert_int_equal(listen(f->listener, 16), 0);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    workers_free(f->workers);
    quota_free(f->quota);
    peers_free(f->peers);
    event_base_free(f->base);
    close(f->listener);
    free(f);
    return 0;
}

static uint64_t sum(struct fixture *f, enum counter id)
{
    return counter_get(workers_counters(f->workers, 0), id) +
           counter_get(workers_counters(f->workers, 1), id);
}

// What workers count may take a moment.
static void becomes(struct fixture *f, enum counter id, uint64_t value)
{
    for (int i = 0; i < 500 && sum(f, id) != value; i++)
        usleep(10000);
    assert_int_equal(sum(f, id), value);
}

static void restart_server(struct fixture *f)
{
    workers_free(f->workers);
    start_server(f);
}

// ---- requests

static void put_allocate(struct writer *w, void *arg)
{
    (void)arg;
    stun_put_u32(w, STUN_REQUESTED_TRANSPORT, 6u << 24);
}

static void put_peer(struct writer *w, void *arg)
{
    stun_put_addr(w, STUN_XOR_PEER_ADDRESS, arg);
}

static void put_number(struct writer *w, void *arg)
{
    stun_put_u32(w, STUN_CONNECTION_ID, *(const uint32_t *)arg);
}

static void put_end(struct writer *w, void *arg)
{
    (void)arg;
    stun_put_u32(w, STUN_LIFETIME, 0);
}

static struct client allocate(struct fixture *f, struct addr *ret_relayed)
{
    struct client control = client_open(&f->address, true);

    assert_int_equal(client_ask(&control, STUN_ALLOCATE, put_allocate, NULL), 0);
    assert_int_equal(stun_addr(&control.reply, STUN_XOR_RELAYED_ADDRESS, ret_relayed), 0);
    return control;
}

static uint32_t connect_peer(struct client *control, struct addr *peer)
{
    assert_int_equal(client_ask(control, STUN_CONNECT, put_peer, peer), 0);
    return stun_u32(&control->reply, STUN_CONNECTION_ID);
}

// A data connection that has become one with the peer's.
static struct client join(struct fixture *f, uint32_t number)
{
    struct client data = client_open(&f->address, true);

    assert_int_equal(client_ask(&data, STUN_CONNECTION_BIND, put_number, &number), 0);
    return data;
}

// ConnectionAttempt on the control connection.
static uint32_t attempt(struct client *control, const struct addr *caller)
{
    struct addr from;
    struct stun_msg msg;
    size_t len = STUN_HEADER_LEN + 12 + 8;

    assert_int_equal(recv(control->fd, control->in, len, MSG_WAITALL), len);
    assert_int_equal(stun_decode(control->in, len, &msg), 0);
    assert_int_equal(msg.class, STUN_INDICATION);
    assert_int_equal(msg.method, STUN_CONNECTION_ATTEMPT);
    assert_int_equal(stun_addr(&msg, STUN_XOR_PEER_ADDRESS, &from), 0);
    assert_true(addr_equal(&from, caller));
    return stun_u32(&msg, STUN_CONNECTION_ID);
}

// ---- tests

static void to_peers(void **state)
{
    struct fixture *f = *state;
    struct addr relayed, caller;
    struct client control = allocate(f, &relayed);

    for (unsigned i = 0; i < ROUNDS; i++) {
        uint32_t number = connect_peer(&control, &f->peer);
        int peer = answer(f, &caller);
        struct client data;

        assert_true(addr_equal(&caller, &relayed)); // it comes from the relayed address
        assert_int_equal(send(peer, "early", 5, 0), 5);
        assert_int_equal(client_ask(&control, STUN_CONNECT, put_peer, &f->peer), 446);
        data = join(f, number);
        passes(data.fd, peer, "x", 1);
        assert_int_equal(recv(data.fd, data.in, 5, MSG_WAITALL), 5);
        assert_memory_equal(data.in, "early", 5);
        passes_both_ways(data.fd, peer);
        becomes(f, COUNTER_TURN_PEER_CONNECTIONS, 1);
        // The peer closes first, so that the relayed port keeps no memory of its address.
        close(peer);
        assert_true(is_over(data.fd));
        client_close(&data);
        becomes(f, COUNTER_TURN_PEER_CONNECTIONS, 0);
    }
    client_close(&control);
    becomes(f, COUNTER_TURN_ALLOCATIONS, 0);
    assert_true(sum(f, COUNTER_TURN_STREAM_TO_PEER_BYTES) > (uint64_t)ROUNDS * 30000);
    assert_true(sum(f, COUNTER_TURN_STREAM_TO_CLIENT_BYTES) > (uint64_t)ROUNDS * 30000);
}

static void from_peers(void **state)
{
    struct fixture *f = *state;
    struct addr relayed, caller;
    struct client control = allocate(f, &relayed);
    int stranger = call(&relayed, &caller);

    assert_true(is_over(stranger)); // no permission
    close(stranger);
    assert_int_equal(client_ask(&control, STUN_CREATE_PERMISSION, put_peer, &f->peer), 0);
    for (unsigned i = 0; i < ROUNDS; i++) {
        int peer = call(&relayed, &caller);
        struct client data = join(f, attempt(&control, &caller));

        passes_both_ways(data.fd, peer);
        client_close(&data);
        assert_true(is_over(peer));
        close(peer);
        becomes(f, COUNTER_TURN_PEER_CONNECTIONS, 0);
    }
    client_close(&control);
}

static void peers_that_are_not_there(void **state)
{
    struct fixture *f = *state;
    struct addr relayed, closed = at("127.0.0.3", 0), listener = f->address;
    struct client control = allocate(f, &relayed);

    close(peer_socket(&closed));
    assert_int_equal(client_ask(&control, STUN_CONNECT, put_peer, &closed), 447);
    assert_int_equal(client_ask(&control, STUN_CONNECT, put_peer, &listener), 403);
    client_close(&control);
}

// A connection whose ConnectionBind is refused, by whichever worker, stays one of messages.
static void refused_but_alive(void **state)
{
    struct fixture *f = *state;
    struct addr relayed, again;
    struct client control = allocate(f, &relayed);
    uint32_t number = connect_peer(&control, &f->peer) ^ 1; // of the same worker

    for (unsigned i = 0; i < ROUNDS; i++) {
        struct client data = client_open(&f->address, true);

        assert_int_equal(client_ask(&data, STUN_CONNECTION_BIND, put_number, &number), 400);
        assert_int_equal(client_ask(&data, STUN_ALLOCATE, put_allocate, NULL), 0);
        assert_int_equal(stun_addr(&data.reply, STUN_XOR_RELAYED_ADDRESS, &again), 0);
        client_close(&data);
    }
    client_close(&control);
}

// ConnectionBind and the first bytes in one packet.
static void bind_in_a_hurry(struct client *data, uint32_t number)
{
    static const char text[] = "romeo:test:montague";
    uint8_t key[16], txid[STUN_TXID_LEN] = {0x77};
    struct writer w;
    int len;

    // To learn a nonce.
    assert_int_equal(client_ask(data, STUN_CONNECTION_BIND, NULL, NULL), 400);
    assert_int_equal(EVP_Digest(text, sizeof text - 1, key, NULL, EVP_md5(), NULL), 1);
    w = stun_begin(data->out, sizeof data->out, STUN_REQUEST, STUN_CONNECTION_BIND, txid);
    stun_put_u32(&w, STUN_CONNECTION_ID, number);
    stun_put_bytes(&w, STUN_USERNAME, "romeo", 5);
    stun_put_bytes(&w, STUN_REALM, "test", 4);
    stun_put_bytes(&w, STUN_NONCE, data->nonce, data->nonce_len);
    len = stun_finish(&w, key, sizeof key, false);
    memcpy(data->out + len, "\xff hurry", 7);
    assert_int_equal(send(data->fd, data->out, (size_t)len + 7, 0), len + 7);
}

static void clients_in_a_hurry(void **state)
{
    struct fixture *f = *state;
    struct addr relayed, caller;
    struct client control = allocate(f, &relayed);

    for (unsigned i = 0; i < ROUNDS; i++) {
        uint32_t number = connect_peer(&control, &f->peer);
        int peer = answer(f, &caller);
        struct client data = client_open(&f->address, true);
        uint8_t got[64];

        bind_in_a_hurry(&data, number);
        assert_int_equal(recv(peer, got, 7, MSG_WAITALL), 7);
        assert_memory_equal(got, "\xff hurry", 7);
        assert_int_equal(recv(data.fd, got, 44, MSG_WAITALL), 44); // the answer and its integrity
        assert_int_equal(got[0] << 8 | got[1], 0x010b);
        passes_both_ways(data.fd, peer);
        close(peer);
        assert_true(is_over(data.fd));
        client_close(&data);
        becomes(f, COUNTER_TURN_PEER_CONNECTIONS, 0);
    }
    client_close(&control);
}

// Whatever ends the allocation ends its connections, wherever they are.
static void the_allocation_ends(void **state)
{
    struct fixture *f = *state;
    struct addr relayed, caller;

    for (unsigned i = 0; i < ROUNDS; i++) {
        struct client control = allocate(f, &relayed);
        uint32_t number = connect_peer(&control, &f->peer);
        int peer = answer(f, &caller), waiting;
        struct client data = join(f, number);

        passes_both_ways(data.fd, peer);
        assert_int_equal(client_ask(&control, STUN_CREATE_PERMISSION, put_peer, &f->peer), 0);
        waiting = call(&relayed, &caller);
        attempt(&control, &caller);
        if (i % 2)
            assert_int_equal(client_ask(&control, STUN_REFRESH, put_end, NULL), 0);
        else
            client_close(&control);
        assert_true(is_over(peer));
        assert_true(is_over(data.fd));
        assert_true(is_over(waiting));
        close(peer), close(waiting);
        client_close(&data);
        if (i % 2)
            client_close(&control);
        becomes(f, COUNTER_TURN_PEER_CONNECTIONS, 0);
    }
}

// The client of a connection that another worker was about to join has gone.
static void the_client_goes_before_it_is_joined(void **state)
{
    struct fixture *f = *state;
    struct addr relayed, caller;
    struct client control = allocate(f, &relayed);

    for (unsigned i = 0; i < ROUNDS; i++) {
        uint32_t number = connect_peer(&control, &f->peer);
        int peer = answer(f, &caller);
        struct client data = client_open(&f->address, true);

        bind_in_a_hurry(&data, number);
        client_close(&data);
        while (!is_over(peer))
            ;
        close(peer);
        becomes(f, COUNTER_TURN_PEER_CONNECTIONS, 0);
    }
    client_close(&control);
}

static void two_allocations_meet(void **state)
{
    struct fixture *f = *state;
    struct addr of_a, of_b;
    struct client a = allocate(f, &of_a), b = allocate(f, &of_b), data_a, data_b;
    uint32_t number;

    assert_int_equal(client_ask(&b, STUN_CREATE_PERMISSION, put_peer, &of_a), 0);
    number = connect_peer(&a, &of_b);
    data_a = join(f, number);
    data_b = join(f, attempt(&b, &of_a));
    passes_both_ways(data_a.fd, data_b.fd);
    client_close(&data_a);
    assert_true(is_over(data_b.fd));
    client_close(&data_b);
    client_close(&a);
    client_close(&b);
}

// The server ends with all of it under way; what it had is freed, which the sanitizers see.
static void in_the_middle_of_it(void **state)
{
    struct fixture *f = *state;
    struct addr relayed, caller;
    struct client control[8], data[8];
    int peer[8];

    for (unsigned i = 0; i < 8; i++) {
        uint32_t number;

        control[i] = allocate(f, &relayed);
        number = connect_peer(&control[i], &f->peer);
        peer[i] = answer(f, &caller);
        data[i] = client_open(&f->address, true);
        if (i % 4)
            bind_in_a_hurry(&data[i], number);
    }
    restart_server(f);
    for (unsigned i = 0; i < 8; i++) {
        while (!is_over(peer[i]))
            ;
        close(peer[i]);
        client_close(&data[i]);
        client_close(&control[i]);
    }
}

// ---- the rate of an allocation

// What may have come by now on both workers: a second's worth is saved up, and each direction of
// each of their pipes may be ahead by what it reads at once.
static uint64_t allowed(const struct fixture *f, usec_t since, unsigned pipes)
{
    usec_t took = usec_now() - since;

    return WORKERS * (f->rate + took * f->rate / USEC_PER_SEC) + 2 * pipes * PIPE_BUFFER;
}

static void connections_share_the_rate(void **state)
{
    enum { CONNECTIONS = 8, RATE = 500000 };
    static uint8_t buf[65536];
    struct fixture *f = *state;
    struct addr relayed, caller;
    struct client control, data[CONNECTIONS];
    int peer[CONNECTIONS];
    uint64_t got = 0;
    usec_t begin = usec_now(), end = begin + 2 * USEC_PER_SEC;

    f->rate = RATE;
    restart_server(f);
    control = allocate(f, &relayed);
    assert_int_equal(client_ask(&control, STUN_CREATE_PERMISSION, put_peer, &f->peer), 0);
    for (unsigned i = 0; i < CONNECTIONS; i++) {
        peer[i] = call(&relayed, &caller);
        data[i] = join(f, attempt(&control, &caller));
    }
    while (usec_now() < end) {
        for (unsigned i = 0; i < CONNECTIONS; i++) {
            (void)!send(peer[i], buf, sizeof buf, MSG_DONTWAIT | MSG_NOSIGNAL);
            ssize_t n = recv(data[i].fd, buf, sizeof buf, MSG_DONTWAIT);

            got += n > 0 ? (uint64_t)n : 0;
        }
    }
    assert_true(got > 0);
    assert_true(got <= allowed(f, begin, CONNECTIONS));
    for (unsigned i = 0; i < CONNECTIONS; i++) {
        close(peer[i]);
        client_close(&data[i]);
    }
    client_close(&control);
}

// Nor has a new connection a second's worth of its own.
static void connections_in_turn_share_the_rate(void **state)
{
    enum { CONNECTIONS = 8, RATE = 200000, EACH = 150000 };
    static uint8_t buf[EACH];
    struct fixture *f = *state;
    struct addr relayed, caller;
    struct client control;
    usec_t begin = usec_now();

    f->rate = RATE;
    restart_server(f);
    control = allocate(f, &relayed);
    assert_int_equal(client_ask(&control, STUN_CREATE_PERMISSION, put_peer, &f->peer), 0);
    for (unsigned i = 0; i < CONNECTIONS; i++) {
        int peer = call(&relayed, &caller);
        struct client data = join(f, attempt(&control, &caller));
        const struct timeval patience = {.tv_sec = 10};

        assert_int_equal(setsockopt(data.fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience),
                         0);
        assert_int_equal(send(peer, buf, sizeof buf, MSG_NOSIGNAL), sizeof buf);
        assert_int_equal(recv(data.fd, buf, sizeof buf, MSG_WAITALL), sizeof buf);
        client_close(&data);
        assert_true(is_over(peer));
        close(peer);
        becomes(f, COUNTER_TURN_PEER_CONNECTIONS, 0);
    }
    assert_true((uint64_t)CONNECTIONS * EACH <= allowed(f, begin, CONNECTIONS));
    client_close(&control);
}

// ---- records

static uint64_t recorded_bytes(const char *path)
{
    char line[4096] = "";
    FILE *file = fopen(path, "r");
    json_t *record;
    uint64_t bytes;

    assert_non_null(file);
    while (fgets(line, sizeof line, file))
        continue; // the last one counts
    fclose(file);
    record = json_loads(line, 0, NULL);
    assert_non_null(record);
    bytes = (uint64_t)json_integer_value(
        json_object_get(json_object_get(record, "from_peers"), "bytes"));
    json_decref(record);
    return bytes;
}

// The control connection ends first. What has passed until then stands in the record, at least
// where the worker of the allocation has passed it, which is so every second time.
static void what_was_passed_is_recorded(void **state)
{
    enum { TRIES = 60 };
    const struct clock_offset clock = {0};
    struct fixture *f = *state;
    char path[] = "/tmp/jingle-relayd-test-XXXXXX";
    uint64_t bytes = 0;
    int fd = mkstemp(path);

    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(records_new(path, clock, &f->records), 0);
    restart_server(f);
    for (unsigned i = 0; i < TRIES && bytes == 0; i++) {
        struct addr relayed, caller;
        struct client control = allocate(f, &relayed), data;
        uint32_t number = connect_peer(&control, &f->peer);
        int peer = answer(f, &caller);

        data = join(f, number);
        passes(peer, data.fd, "hello", 5);
        client_close(&control);
        assert_true(is_over(data.fd));
        for (unsigned k = 0; k < 500 && records_written(f->records) <= i; k++)
            usleep(10000);
        bytes = recorded_bytes(path);
        assert_true(bytes == 0 || bytes == 5);
        client_close(&data);
        close(peer);
    }
    assert_int_equal(bytes, 5);
    workers_free(f->workers);
    records_free(f->records);
    f->records = NULL;
    start_server(f);
    unlink(path);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(to_peers),
        CASE(from_peers),
        CASE(peers_that_are_not_there),
        CASE(refused_but_alive),
        CASE(clients_in_a_hurry),
        CASE(the_allocation_ends),
        CASE(the_client_goes_before_it_is_joined),
        CASE(two_allocations_meet),
        CASE(in_the_middle_of_it),
        CASE(connections_share_the_rate),
        CASE(connections_in_turn_share_the_rate),
        CASE(what_was_passed_is_recorded),
    };
    evthread_use_pthreads();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
