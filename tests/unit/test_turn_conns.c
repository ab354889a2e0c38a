// SPDX-License-Identifier: ISC
// Connections (TCP, DTLS) of clients of the running TURN server, on two threads: how long each is
// kept when there is no allocation behind it any more, and what cannot be sent on one.
#include "lib_certificate.h"
#include "lib_turn_client.h"
#include "platform/tls.h"
#include "workers.h"

#include <arpa/inet.h>
#include <event2/thread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

enum { WORKERS = 2, PORT_MIN = 46650, PORT_MAX = 46777, SERVER_PORT = 46649, CHANNEL = 0x4000 };

#define TRUST_TIME    USEC_PER_SEC
#define SHORTEST_LIFE (2 * USEC_PER_SEC) // of an allocation

struct fixture {
    struct event_base *base;
    struct peers *peers;
    struct quota *quota;
    struct certificate_files files;
    struct tls *tls;
    struct turn_server server;
    struct turn_user user;
    struct prefix loopback;
    struct workers *workers;
    struct addr address;
    int peer; // a socket that is spoken to
    struct addr peer_address;
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

static void open_peer(struct fixture *f)
{
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = inet_addr("127.0.0.3")};
    socklen_t len = sizeof sa;

    f->peer = socket(AF_INET, SOCK_DGRAM, 0);
    assert_int_equal(bind(f->peer, (struct sockaddr *)(void *)&sa, sizeof sa), 0);
    assert_int_equal(getsockname(f->peer, (struct sockaddr *)(void *)&sa, &len), 0);
    f->peer_address = at("127.0.0.3", ntohs(sa.sin_port));
}

static struct turn_server server_of(struct fixture *f)
{
    return (struct turn_server){
        .turn = {.realm = "test",
                 .user = &f->user,
                 .users = 1,
                 .nonce_lifetime = 3600 * USEC_PER_SEC,
                 .default_lifetime = SHORTEST_LIFE,
                 .max_lifetime = 3600 * USEC_PER_SEC,
                 .permissions_max = 16,
                 .channels_max = 16,
                 .allocations_max = 1000,
                 .workers = WORKERS,
                 .mobility = true},
        .streams = {.plain = true,
                    .tls = f->tls,
                    .connections_max = 100,
                    .half_open_max = 50,
                    .trust_time = TRUST_TIME,
                    .frame_time = 10 * USEC_PER_SEC,
                    .idle_time = 3600 * USEC_PER_SEC,
                    .queue_time = USEC_PER_SEC,
                    .queue_bytes = 70000},
        .dtls = {.tls = f->tls,
                 .sessions_max = 100,
                 .half_open_max = 50,
                 .trust_time = TRUST_TIME,
                 .idle_time = 3600 * USEC_PER_SEC},
        .tls = f->tls,
        .listener = {f->address},
        .listeners = 1,
        .quota = f->quota,
        .peers = f->peers,
    };
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    char error[TLS_ERROR_MAX];

    assert_int_equal(prefix_parse("127.0.0.0/8", &f->loopback), 0);
    const struct relay_config relay = {
        .bind = {at("127.0.0.1", 0)},
        .port_min = PORT_MIN,
        .port_max = PORT_MAX,
        .limits = {.quarantine = USEC_PER_MSEC},
    };
    const struct peers_config peers = {.bind = {at("127.0.0.1", 0)},
                                       .advertise = {at("127.0.0.1", 0)},
                                       .allow = {&f->loopback, 1}};
    const struct workers_handler handler = {.ctx = f, .event = on_event};
    f->base = event_base_new();
    f->address = at("127.0.0.1", SERVER_PORT);
    f->user = (struct turn_user){"romeo", "montague"};
    certificate_make(&f->files, CERTIFICATE_GOOD, 1);
    assert_int_equal(tls_new(f->files.certificate, f->files.key, &f->tls, error), 0);
    assert_int_equal(peers_new(&peers, &f->peers), 0);
    assert_int_equal(quota_new(0, 0, &f->quota), 0);
    f->server = server_of(f);
    const struct workers_config workers = {
        .count = WORKERS, .relay = &relay, .peers = f->peers, .turn = &f->server};
    assert_int_equal(workers_new(f->base, &workers, &handler, &f->workers), 0);
    open_peer(f);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    workers_free(f->workers);
    quota_free(f->quota);
    peers_free(f->peers);
    tls_free(f->tls);
    certificate_remove(&f->files);
    event_base_free(f->base);
    close(f->peer);
    free(f);
    return 0;
}

static uint64_t sum(const struct fixture *f, enum counter id)
{
    return counter_get(workers_counters(f->workers, 0), id) +
           counter_get(workers_counters(f->workers, 1), id);
}

// What takes its time, as long as it does.
static void becomes(const struct fixture *f, enum counter id, uint64_t value)
{
    for (int i = 0; i < 2000 && sum(f, id) != value; i++)
        usleep(10000);
    assert_int_equal(sum(f, id), value);
}

// ---- requests

static void put_allocate(struct writer *w, void *arg)
{
    (void)arg;
    stun_put_u32(w, STUN_REQUESTED_TRANSPORT, 17u << 24);
}

static void put_allocate_mobile(struct writer *w, void *arg)
{
    put_allocate(w, arg);
    stun_put_bytes(w, STUN_MOBILITY_TICKET, NULL, 0);
    stun_put_u32(w, STUN_LIFETIME, 600);
}

static void put_ticket(struct writer *w, void *arg)
{
    const struct stun_view *ticket = arg;

    stun_put_bytes(w, STUN_MOBILITY_TICKET, ticket->data, ticket->len);
    stun_put_u32(w, STUN_LIFETIME, 600);
}

static void put_lifetime(struct writer *w, void *arg)
{
    stun_put_u32(w, STUN_LIFETIME, *(const uint32_t *)arg);
}

static void put_channel(struct writer *w, void *arg)
{
    stun_put_u32(w, STUN_CHANNEL_NUMBER, (uint32_t)CHANNEL << 16);
    stun_put_addr(w, STUN_XOR_PEER_ADDRESS, arg);
}

static int refresh(struct client *client, uint32_t lifetime)
{
    return client_ask(client, STUN_REFRESH, put_lifetime, &lifetime);
}

// ---- trust

// Kept for as long as there is an allocation, and then no longer than any stranger.
static void trust_ends_with_the_allocation(void **state)
{
    struct fixture *f = *state;
    struct client client[2];

    for (unsigned i = 0; i < 2; i++) {
        client[i] = i ? client_open_dtls(&f->address) : client_open(&f->address, true);
        assert_int_equal(client_ask(&client[i], STUN_ALLOCATE, put_allocate, NULL), 0);
        assert_int_equal(refresh(&client[i], 600), 0);
    }
    usleep(TRUST_TIME + TRUST_TIME / 2);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(refresh(&client[i], 600), 0);
        assert_int_equal(refresh(&client[i], 0), 0);
    }
    becomes(f, COUNTER_CONN_CLOSED_UNPROVED, 2);
    assert_int_equal(sum(f, COUNTER_CONN_TCP), 0);
    assert_int_equal(sum(f, COUNTER_CONN_DTLS), 0);
    for (unsigned i = 0; i < 2; i++)
        client_close(&client[i]);
}

// Nor does silence keep it.
static void trust_ends_in_silence(void **state)
{
    struct fixture *f = *state;
    struct client client[2];

    for (unsigned i = 0; i < 2; i++) {
        client[i] = i ? client_open_dtls(&f->address) : client_open(&f->address, true);
        assert_int_equal(client_ask(&client[i], STUN_ALLOCATE, put_allocate, NULL), 0);
    }
    becomes(f, COUNTER_TURN_ENDED_EXPIRED, 2);
    becomes(f, COUNTER_CONN_CLOSED_UNPROVED, 2);
    for (unsigned i = 0; i < 2; i++)
        client_close(&client[i]);
}

// Nor an allocation that has moved on with its client, on whatever worker it is.
static void trust_ends_where_the_client_has_left(void **state)
{
    enum { MOVES = 8 };
    struct fixture *f = *state;
    struct client client[MOVES + 1];

    client[0] = client_open(&f->address, true);
    assert_int_equal(client_ask(&client[0], STUN_ALLOCATE, put_allocate_mobile, NULL), 0);
    for (unsigned i = 1; i <= MOVES; i++) {
        struct stun_view ticket = client[i - 1].reply.attr[STUN_MOBILITY_TICKET];

        client[i] = client_open(&f->address, true);
        assert_int_equal(client_ask(&client[i], STUN_REFRESH, put_ticket, &ticket), 0);
        // Data, so that it arrives; another answer would take the ticket's place.
        client_send_channel(&client[i], CHANNEL, "x", 1);
    }
    becomes(f, COUNTER_CONN_CLOSED_UNPROVED, MOVES);
    assert_int_equal(refresh(&client[MOVES], 600), 0);
    assert_int_equal(sum(f, COUNTER_CONN_TCP), 1);
    assert_int_equal(sum(f, COUNTER_CONN_CLOSED_UNPROVED), MOVES);
    for (unsigned i = 0; i <= MOVES; i++)
        client_close(&client[i]);
}

// ---- sending

// Longer than a record of DTLS: dropped, and counted as that.
static void what_is_too_long_for_dtls(void **state)
{
    static const uint8_t longest[20000];
    struct fixture *f = *state;
    struct client client = client_open_dtls(&f->address);
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = inet_addr("127.0.0.1")};
    struct addr relayed;
    char buf[16];

    assert_int_equal(client_ask(&client, STUN_ALLOCATE, put_allocate, NULL), 0);
    assert_int_equal(stun_addr(&client.reply, STUN_XOR_RELAYED_ADDRESS, &relayed), 0);
    assert_int_equal(client_ask(&client, STUN_CHANNEL_BIND, put_channel, &f->peer_address), 0);
    sa.sin_port = htons(relayed.port);
    assert_int_equal(
        sendto(f->peer, longest, sizeof longest, 0, (struct sockaddr *)(void *)&sa, sizeof sa),
        sizeof longest);
    assert_int_equal(sendto(f->peer, "short", 5, 0, (struct sockaddr *)(void *)&sa, sizeof sa), 5);
    assert_int_equal(client_receive_channel(&client, CHANNEL, buf, sizeof buf), 5);
    assert_memory_equal(buf, "short", 5);
    becomes(f, COUNTER_TURN_DROP_SEND_ERROR, 1);
    client_close(&client);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(trust_ends_with_the_allocation),
        CASE(trust_ends_in_silence),
        CASE(trust_ends_where_the_client_has_left),
        CASE(what_is_too_long_for_dtls),
    };
    evthread_use_pthreads();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
