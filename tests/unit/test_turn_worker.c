// SPDX-License-Identifier: ISC
// The running TURN server: two threads behind one port, real sockets on loopback. The kernel gives
// each client to one of the two, so that clients who move, or fetch what another one reserved, meet
// the other thread about every second time.
#include "lib_turn_client.h"
#include "turn_listing.h"
#include "workers.h"

#include <arpa/inet.h>
#include <event2/thread.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <cmocka.h>

enum { WORKERS = 2, PORT_MIN = 47000, PORT_MAX = 47127, SERVER_PORT = 46999, CHANNEL = 0x4000 };

struct fixture {
    struct event_base *base;
    struct peers *peers;
    struct quota *quota;
    struct turn_server server;
    struct turn_user user;
    struct prefix loopback;
    struct workers *workers;
    struct addr address;
    int peer; // a socket that is spoken to
    struct addr peer_address;
    unsigned answers;                    // to the question about allocations
    unsigned allocations[WORKERS], away; // as they came
    unsigned done;                       // workers that have done what they were told
    int ended;                           // allocations
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

static void on_turn(void *ctx, const struct turn_listing *listing)
{
    struct fixture *f = ctx;

    assert_int_equal(listing->token, 7);
    f->allocations[f->answers++] = (unsigned)listing->views;
    for (size_t i = 0; i < listing->views; i++) {
        assert_string_equal(listing->view[i].username, "romeo");
        f->away += listing->view[i].client.link == NULL;
    }
}

// How many allocations there are.
static unsigned count(struct fixture *f)
{
    f->answers = f->away = 0;
    assert_int_equal(workers_list_turn(f->workers, 7), 0);
    while (f->answers < WORKERS)
        event_base_loop(f->base, EVLOOP_ONCE);
    return f->allocations[0] + f->allocations[1];
}

// What a worker was told may take a moment.
static unsigned count_until(struct fixture *f, unsigned want)
{
    unsigned is = count(f);

    for (int i = 0; i < 200 && is != want; i++) {
        usleep(10000);
        is = count(f);
    }
    return is;
}

static void open_peer(struct fixture *f)
{
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = inet_addr("127.0.0.3")};
    const struct timeval patience = {.tv_sec = 2};
    socklen_t len = sizeof sa;

    f->peer = socket(AF_INET, SOCK_DGRAM, 0);
    assert_int_equal(bind(f->peer, (struct sockaddr *)(void *)&sa, sizeof sa), 0);
    assert_int_equal(getsockname(f->peer, (struct sockaddr *)(void *)&sa, &len), 0);
    assert_int_equal(setsockopt(f->peer, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience), 0);
    f->peer_address = at("127.0.0.3", ntohs(sa.sin_port));
}

static void on_done(void *ctx, uint64_t token, int result)
{
    struct fixture *f = ctx;

    assert_int_equal(token, 9);
    f->done++;
    f->ended += result;
}

// Every test runs twice: the second time ICE paths use the server's port, too, and a program in the
// kernel says which worker gets what.
static uint16_t shared_port;

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);

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
    const struct workers_handler handler = {
        .ctx = f, .event = on_event, .turn = on_turn, .done = on_done};
    f->base = event_base_new();
    f->address = at("127.0.0.1", SERVER_PORT);
    f->user = (struct turn_user){"romeo", "montague"};
    assert_int_equal(peers_new(&peers, &f->peers), 0);
    assert_int_equal(quota_new(0, 0, &f->quota), 0);
    f->server = (struct turn_server){
        .turn = {.realm = "test",
                 .user = &f->user,
                 .users = 1,
                 .nonce_lifetime = 3600 * USEC_PER_SEC,
                 .default_lifetime = 600 * USEC_PER_SEC,
                 .max_lifetime = 3600 * USEC_PER_SEC,
                 .permissions_max = 16,
                 .channels_max = 16,
                 .allocations_max = 1000,
                 .workers = WORKERS,
                 .mobility = true},
        .streams = {.plain = true,
                    .connections_max = 100,
                    .half_open_max = 50,
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
    const struct workers_config workers = {.count = WORKERS,
                                           .relay = &relay,
                                           .peers = f->peers,
                                           .turn = &f->server,
                                           .shared_port = shared_port};
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
    event_base_free(f->base);
    close(f->peer);
    free(f);
    return 0;
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
}

static void put_allocate_pair(struct writer *w, void *arg)
{
    put_allocate(w, arg);
    stun_put_bytes(w, STUN_EVEN_PORT, "\x80", 1);
}

static void put_allocate_token(struct writer *w, void *arg)
{
    put_allocate(w, arg);
    stun_put_u64(w, STUN_RESERVATION_TOKEN, *(const uint64_t *)arg);
}

static void put_channel(struct writer *w, void *arg)
{
    stun_put_u32(w, STUN_CHANNEL_NUMBER, (uint32_t)CHANNEL << 16);
    stun_put_addr(w, STUN_XOR_PEER_ADDRESS, arg);
}

static void put_end(struct writer *w, void *arg)
{
    (void)arg;
    stun_put_u32(w, STUN_LIFETIME, 0);
}

struct ticket {
    uint8_t bytes[64];
    size_t len;
};

static struct ticket ticket_of(const struct client *client)
{
    const struct stun_view *view = &client->reply.attr[STUN_MOBILITY_TICKET];
    struct ticket ticket = {.len = view->len};

    assert_true(view->len > 0 && view->len <= sizeof ticket.bytes);
    memcpy(ticket.bytes, view->data, view->len);
    return ticket;
}

static void put_ticket(struct writer *w, void *arg)
{
    const struct ticket *ticket = arg;

    stun_put_bytes(w, STUN_MOBILITY_TICKET, ticket->bytes, ticket->len);
}

// To the peer and back, by channel.
static void echo(struct fixture *f, struct client *client, const char *text)
{
    struct sockaddr_in from;
    socklen_t len = sizeof from;
    char buf[64];
    size_t size = strlen(text);

    client_send_channel(client, CHANNEL, text, size);
    assert_int_equal(recvfrom(f->peer, buf, sizeof buf, 0, (struct sockaddr *)(void *)&from, &len),
                     size);
    assert_memory_equal(buf, text, size);
    assert_int_equal(sendto(f->peer, buf, size, 0, (struct sockaddr *)(void *)&from, len), size);
    memset(buf, 0, sizeof buf);
    assert_int_equal(client_receive_channel(client, CHANNEL, buf, sizeof buf), size);
    assert_memory_equal(buf, text, size);
}

// ---- tests

static int end_user(struct fixture *f, const char *identity)
{
    f->done = 0;
    f->ended = 0;
    assert_int_equal(workers_end_user(f->workers, identity, 9), 0);
    while (f->done < WORKERS)
        event_base_loop(f->base, EVLOOP_ONCE);
    return f->ended;
}

static void an_administrator_ends_a_users_allocations(void **state)
{
    struct fixture *f = *state;
    struct client client[6];
    char endless[WORKERS_IDENTITY_MAX + 1];

    for (unsigned i = 0; i < 6; i++) {
        client[i] = client_open(&f->address, i % 2);
        assert_int_equal(
            client_ask(&client[i], STUN_ALLOCATE, i < 2 ? put_allocate_mobile : put_allocate, NULL),
            0);
    }
    client_close(&client[1]); // a mobile one that is away
    assert_int_equal(count(f), 6);
    assert_int_equal(end_user(f, "juliet"), 0);
    assert_int_equal(count(f), 6);
    assert_int_equal(end_user(f, "Romeo"), 0); // another of turn.users_file
    assert_int_equal(end_user(f, "romeo"), 6);
    assert_int_equal(count(f), 0);
    assert_int_equal(end_user(f, "romeo"), 0);
    memset(endless, 'x', sizeof endless);
    endless[WORKERS_IDENTITY_MAX] = '\0';
    assert_int_equal(workers_end_user(f->workers, endless, 9), -ENAMETOOLONG);
    for (unsigned i = 0; i < 6; i++)
        if (i != 1)
            client_close(&client[i]);
}

static void clients_of_both_workers(void **state)
{
    struct fixture *f = *state;
    struct client client[16];

    for (unsigned i = 0; i < 16; i++) {
        client[i] = client_open(&f->address, i % 2);
        assert_int_equal(client_ask(&client[i], STUN_ALLOCATE, put_allocate, NULL), 0);
        assert_int_equal(client_ask(&client[i], STUN_CHANNEL_BIND, put_channel, &f->peer_address),
                         0);
        echo(f, &client[i], "hello");
    }
    assert_int_equal(count(f), 16);
    assert_true(f->allocations[0] > 0 && f->allocations[1] > 0);
    for (unsigned i = 0; i < 12; i++)
        assert_int_equal(client_ask(&client[i], STUN_REFRESH, put_end, NULL), 0);
    assert_int_equal(count(f), 4);
    for (unsigned i = 0; i < 16; i++)
        client_close(&client[i]);
    assert_int_equal(count_until(f, 2), 2); // those of UDP go by time alone
}

static uint64_t sum_of(const struct fixture *f, enum counter id)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < WORKERS; i++)
        sum += counter_get(workers_counters(f->workers, i), id);
    return sum;
}

// Broadcast, which no socket may send to unasked. What waits in a burst is TURN's all the same.
static void what_cannot_be_sent_is_counted_as_turns(void **state)
{
    struct fixture *f = *state;
    struct client client = client_open(&f->address, false);
    struct addr nobody = at("127.255.255.255", 9);

    assert_int_equal(client_ask(&client, STUN_ALLOCATE, put_allocate, NULL), 0);
    assert_int_equal(client_ask(&client, STUN_CHANNEL_BIND, put_channel, &nobody), 0);
    for (int i = 0; i < 3; i++)
        client_send_channel(&client, CHANNEL, "lost", 4);
    assert_int_equal(client_ask(&client, STUN_REFRESH, put_end, NULL), 0); // they were before it
    assert_int_equal(sum_of(f, COUNTER_TURN_DROP_SEND_ERROR), 3);
    assert_int_equal(sum_of(f, COUNTER_DROP_SEND_ERROR), 0);
    client_close(&client);
}

static void a_client_moves_between_workers(void **state)
{
    struct fixture *f = *state;
    struct client client = client_open(&f->address, false), next;
    struct ticket ticket;

    assert_int_equal(client_ask(&client, STUN_ALLOCATE, put_allocate_mobile, NULL), 0);
    ticket = ticket_of(&client);
    assert_int_equal(client_ask(&client, STUN_CHANNEL_BIND, put_channel, &f->peer_address), 0);
    for (unsigned i = 0; i < 16; i++) {
        next = client_open(&f->address, i / 2 % 2);
        assert_int_equal(client_ask(&next, STUN_REFRESH, put_ticket, &ticket), 0);
        ticket = ticket_of(&next);
        echo(f, &next, "still here");
        client_close(&client);
        client = next;
    }
    assert_int_equal(count(f), 1);
    assert_int_equal(client_ask(&client, STUN_REFRESH, put_end, NULL), 0);
    assert_int_equal(count(f), 0);
    client_close(&client);
}

static void a_mobile_client_may_be_away(void **state)
{
    struct fixture *f = *state;
    struct client client = client_open(&f->address, true);
    struct ticket ticket;

    assert_int_equal(client_ask(&client, STUN_ALLOCATE, put_allocate_mobile, NULL), 0);
    ticket = ticket_of(&client);
    for (unsigned i = 0; i < 8; i++) {
        client_close(&client);
        for (int k = 0; k < 200 && (count(f) != 1 || f->away != 1); k++)
            usleep(10000);
        assert_int_equal(f->away, 1);
        client = client_open(&f->address, true);
        assert_int_equal(client_ask(&client, STUN_REFRESH, put_ticket, &ticket), 0);
        ticket = ticket_of(&client);
        assert_int_equal(client_ask(&client, STUN_CHANNEL_BIND, put_channel, &f->peer_address), 0);
        echo(f, &client, "back");
        assert_int_equal(count(f), 1);
        assert_int_equal(f->away, 0);
    }
    client_close(&client);
}

static void a_reserved_port_is_fetched_by_anybody(void **state)
{
    struct fixture *f = *state;
    struct client first, second;
    struct addr even, odd;
    uint64_t token;

    for (unsigned i = 0; i < 12; i++) {
        first = client_open(&f->address, false);
        second = client_open(&f->address, i % 2);
        assert_int_equal(client_ask(&first, STUN_ALLOCATE, put_allocate_pair, NULL), 0);
        assert_int_equal(stun_addr(&first.reply, STUN_XOR_RELAYED_ADDRESS, &even), 0);
        token = stun_u64(&first.reply, STUN_RESERVATION_TOKEN);
        assert_int_equal(client_ask(&second, STUN_ALLOCATE, put_allocate_token, &token), 0);
        assert_int_equal(stun_addr(&second.reply, STUN_XOR_RELAYED_ADDRESS, &odd), 0);
        assert_int_equal(odd.port, even.port + 1);
        assert_int_equal(client_ask(&second, STUN_CHANNEL_BIND, put_channel, &f->peer_address), 0);
        echo(f, &second, "pair");
        assert_int_equal(client_ask(&first, STUN_REFRESH, put_end, NULL), 0);
        assert_int_equal(client_ask(&second, STUN_REFRESH, put_end, NULL), 0);
        client_close(&first);
        client_close(&second);
    }
    assert_int_equal(count(f), 0);
}

// A connection that ends tells the worker that has its client's allocation.
static void a_connection_ends_on_another_worker(void **state)
{
    struct fixture *f = *state;
    struct client first, second;
    uint64_t token;

    for (unsigned i = 0; i < 8; i++) {
        first = client_open(&f->address, false);
        second = client_open(&f->address, true);
        assert_int_equal(client_ask(&first, STUN_ALLOCATE, put_allocate_pair, NULL), 0);
        token = stun_u64(&first.reply, STUN_RESERVATION_TOKEN);
        assert_int_equal(client_ask(&second, STUN_ALLOCATE, put_allocate_token, &token), 0);
        client_close(&second);
        assert_int_equal(count_until(f, 1), 1);
        assert_int_equal(client_ask(&first, STUN_REFRESH, put_end, NULL), 0);
        client_close(&first);
    }
}

static void put_allocate_both(struct writer *w, void *arg)
{
    put_allocate_mobile(w, arg);
    stun_put_bytes(w, STUN_EVEN_PORT, "\x80", 1);
}

// A ticket of each worker, of allocations that are no more. A token begins with its worker.
static void collect_old_tickets(struct fixture *f, struct ticket ret_ticket[WORKERS])
{
    bool have[WORKERS] = {false};

    for (unsigned i = 0; i < 100 && !(have[0] && have[1]); i++) {
        struct client client = client_open(&f->address, false);
        assert_int_equal(client_ask(&client, STUN_ALLOCATE, put_allocate_both, NULL), 0);
        unsigned worker = (unsigned)(stun_u64(&client.reply, STUN_RESERVATION_TOKEN) >> 56);
        assert_true(worker < WORKERS);
        ret_ticket[worker] = ticket_of(&client);
        have[worker] = true;
        assert_int_equal(client_ask(&client, STUN_REFRESH, put_end, NULL), 0);
        client_close(&client);
    }
    assert_true(have[0] && have[1]);
}

// Whoever is refused by the other worker is a client like any other again. Tickets of both in turn
// must not send the two after each other for ever.
static void old_tickets_lead_nowhere(void **state)
{
    struct fixture *f = *state;
    struct ticket ticket[WORKERS];

    collect_old_tickets(f, ticket);
    for (unsigned i = 0; i < 12; i++) {
        struct client client = client_open(&f->address, i % 2);
        for (unsigned k = 0; k < 4; k++)
            assert_int_equal(client_ask(&client, STUN_REFRESH, put_ticket, &ticket[k % 2]), 437);
        assert_int_equal(client_ask(&client, STUN_ALLOCATE, put_allocate, NULL), 0);
        assert_int_equal(client_ask(&client, STUN_CHANNEL_BIND, put_channel, &f->peer_address), 0);
        echo(f, &client, "new");
        assert_int_equal(client_ask(&client, STUN_REFRESH, put_end, NULL), 0);
        client_close(&client);
    }
    assert_int_equal(count(f), 0);
}

static uint64_t refreshes(const struct fixture *f)
{
    return counter_get(workers_counters(f->workers, 0), COUNTER_TURN_REFRESH) +
           counter_get(workers_counters(f->workers, 1), COUNTER_TURN_REFRESH);
}

// The same without waiting for answers: each worker hands over what the other would hand back.
static void old_tickets_in_a_burst_come_to_rest(void **state)
{
    struct fixture *f = *state;
    struct ticket ticket[WORKERS];
    uint8_t request[WORKERS][512];
    size_t len[WORKERS];

    collect_old_tickets(f, ticket);
    for (unsigned i = 0; i < 8; i++) {
        struct client client = client_open(&f->address, false);
        for (unsigned k = 0; k < WORKERS; k++) {
            assert_int_equal(client_ask(&client, STUN_REFRESH, put_ticket, &ticket[k]), 437);
            len[k] = 20u + (unsigned)(client.out[2] << 8 | client.out[3]);
            memcpy(request[k], client.out, len[k]);
        }
        for (unsigned k = 0; k < 200; k++)
            (void)send(client.fd, request[k % WORKERS], len[k % WORKERS], 0);
        client_close(&client);
    }
    usleep(200000);
    uint64_t before = refreshes(f);
    usleep(50000);
    assert_int_equal(refreshes(f), before);
}

// An answer is written where its request was, and here is longer: the requests beside it, which
// came in the same buffer, must not suffer, and the answers leave in order.
static void requests_that_come_as_a_train(void **state)
{
    enum { REQUESTS = 8, LEN = 20 };
    struct fixture *f = *state;
    struct client client = client_open(&f->address, false);
    uint8_t request[REQUESTS][LEN], answer[512];
    int segment = LEN;

    for (unsigned i = 0; i < REQUESTS; i++) {
        static const uint8_t head[8] = {0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42}; // Binding
        memset(request[i], (int)i + 1, LEN);
        memcpy(request[i], head, sizeof head);
    }
    assert_int_equal(setsockopt(client.fd, SOL_UDP, UDP_SEGMENT, &segment, sizeof segment), 0);
    assert_int_equal(send(client.fd, request, sizeof request, 0), sizeof request);
    for (unsigned i = 0; i < REQUESTS; i++) {
        struct stun_msg msg;
        ssize_t len = recv(client.fd, answer, sizeof answer, 0);
        assert_true(len > LEN);
        assert_int_equal(stun_parse(answer, (size_t)len, &msg), 0);
        assert_int_equal(msg.class, STUN_SUCCESS);
        assert_memory_equal(answer + 8, request[i] + 8, LEN - 8);
    }
    client_close(&client);
}

// Two allocations reach each other, though one of them names the relay's own address as its peer.
static void two_allocations_meet(void **state)
{
    struct fixture *f = *state;
    struct client a = client_open(&f->address, false), b = client_open(&f->address, true);
    struct addr of_a, of_b, closed = at("127.0.0.1", PORT_MAX + 1);
    char buf[16];

    assert_int_equal(client_ask(&a, STUN_ALLOCATE, put_allocate, NULL), 0);
    assert_int_equal(stun_addr(&a.reply, STUN_XOR_RELAYED_ADDRESS, &of_a), 0);
    assert_int_equal(client_ask(&b, STUN_ALLOCATE, put_allocate, NULL), 0);
    assert_int_equal(stun_addr(&b.reply, STUN_XOR_RELAYED_ADDRESS, &of_b), 0);
    assert_int_equal(client_ask(&a, STUN_CHANNEL_BIND, put_channel, &closed), 403);
    assert_int_equal(client_ask(&a, STUN_CHANNEL_BIND, put_channel, &of_b), 0);
    assert_int_equal(client_ask(&b, STUN_CHANNEL_BIND, put_channel, &of_a), 0);
    client_send_channel(&a, CHANNEL, "there", 5);
    assert_int_equal(client_receive_channel(&b, CHANNEL, buf, sizeof buf), 5);
    client_send_channel(&b, CHANNEL, "back", 4);
    assert_int_equal(client_receive_channel(&a, CHANNEL, buf, sizeof buf), 4);
    client_close(&a);
    client_close(&b);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(clients_of_both_workers),
        CASE(what_cannot_be_sent_is_counted_as_turns),
        CASE(an_administrator_ends_a_users_allocations),
        CASE(a_client_moves_between_workers),
        CASE(a_mobile_client_may_be_away),
        CASE(a_reserved_port_is_fetched_by_anybody),
        CASE(a_connection_ends_on_another_worker),
        CASE(old_tickets_lead_nowhere),
        CASE(old_tickets_in_a_burst_come_to_rest),
        CASE(requests_that_come_as_a_train),
        CASE(two_allocations_meet),
    };
    evthread_use_pthreads();
    int failed = cmocka_run_group_tests_name("alone", tests, NULL, NULL);

    shared_port = SERVER_PORT;
    return failed + cmocka_run_group_tests_name("beside ICE paths", tests, NULL, NULL);
}
