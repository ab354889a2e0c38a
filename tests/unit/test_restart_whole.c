// SPDX-License-Identifier: ISC
// The whole of what a daemon leaves, as a release has written it, and a daemon of today that begins
// with it: its workers, TURN and signalling are real. What each part makes of each member is the
// business of the parts' own tests; here it is that they still fit together.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "config_use.h"
#include "lib/board.h"
#include "lib_config.h"
#include "lib_turn_client.h"
#include "platform/udp.h"
#include "succession.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

enum { WORKERS = 2, TURN_PORT = 42901, CLIENT_PORT = 42905, CALLS = 2, SENT_MAX = 32 };

// Times in the file are as if it had been written at this one.
#define FILE_TIME (1000 * USEC_PER_SEC)

struct fixture { // a daemon without sockets to its server and to its operator
    struct place *place;
    struct event_base *base;
    struct config config;
    struct counters counters;
    struct peers *peers;
    struct turn_server *turn;
    struct workers *workers;
    struct signal *signal;
    struct succession left;
    struct xml *sent[SENT_MAX];
    unsigned sents, answered;
};

static int find_address(enum family family, struct addr *ret_addr)
{
    return family == FAMILY_V4 ? addr_parse_ip("127.0.0.1", 0, ret_addr) : -ENETUNREACH;
}

static void on_event(void *ctx, const struct relay_event *event)
{
    const struct fixture *f = ctx;
    signal_event(f->signal, event, usec_now());
}

static int on_send(void *ctx, const struct xml *stanza)
{
    struct fixture *f = ctx;
    assert_true(f->sents < SENT_MAX);
    f->sent[f->sents++] = xml_clone(stanza);
    return 0;
}

static int on_order(void *ctx, const struct order *order)
{
    struct fixture *f = ctx;
    return workers_order(f->workers, order);
}

static void on_random(void *ctx, void *buf, size_t len)
{
    assert_int_equal(getrandom(buf, len, 0), len);
}

static void on_ended(void *ctx, const struct call_report *report, usec_t now)
{
}

static void read_config(struct fixture *f)
{
    struct config_errors errors = {0};
    char text[1024];
    void *place;
    assert_int_equal(place_make(&place), 0);
    f->place = place;
    place_file(place, "users", "romeo:montague\n", strlen("romeo:montague\n"));
    snprintf(text, sizeof text,
             XMPP "relay = { address4 = \"127.0.0.1\"; address6 = \"none\"; "
                  "ports = \"42950-42999\"; };\nlimits = { load = 0; };\n"
                  "turn = { enabled = true; ports = [ %d ]; realm = \"test\"; "
                  "users_file = \"%s\"; };\n",
             TURN_PORT, place_path(place, "users"));
    place_file(place, "t.conf", text, strlen(text));
    assert_int_equal(config_load(place_path(place, "t.conf"), &f->config, &errors), 0);
    assert_int_equal(config_resolve_addresses(&f->config, find_address, &errors), 0);
    config_errors_free(&errors);
}

static void start_workers(struct fixture *f)
{
    const struct relay_config relay = config_for_relay(&f->config);
    const struct peers_config peers = {.bind = {f->config.relay.address[0].addr},
                                       .advertise = {f->config.relay.advertise[0].addr},
                                       .allow = f->config.relay.allow_peers};
    const struct workers_handler handler = {.ctx = f, .event = on_event};
    assert_int_equal(peers_new(&peers, &f->peers), 0);
    assert_int_equal(turn_server_new(f->base, &f->config, f->peers, WORKERS, &f->turn), 0);
    if (f->left.restart.root)
        assert_int_equal(restart_turn(&f->left.restart, &f->config, f->turn, usec_now()), 0);
    const struct workers_config config = {.count = succession_workers(&f->left, WORKERS),
                                          .relay = &relay,
                                          .peers = f->peers,
                                          .turn = f->turn,
                                          .revival = succession_revival(&f->left)};
    assert_int_equal(workers_new(f->base, &config, &handler, &f->workers), 0);
    succession_heard(&f->left);
}

static void start_signal(struct fixture *f)
{
    const struct signal_io io = {f, on_send, on_order, on_random, on_ended, NULL};
    struct config_services services;
    const struct signal_config config =
        config_for_signal(&f->config, turn_server_secret(f->turn), &services);
    assert_int_equal(signal_new(&config, &io, &f->counters, usec_now(), &f->signal), 0);
    succession_signal(&f->left, f->signal);
}

// With this text of the daemon before; NULL: a cold start. Returns NULL, or why it cannot be used.
static const char *start(struct fixture *f, const json_t *state)
{
    const char *why = NULL;
    *f = (struct fixture){.left.connection = -1, .base = event_base_new()};
    read_config(f);
    if (state) {
        char *text = json_dumps(state, 0);
        int r = restart_read(text, strlen(text), usec_now(), &f->left.restart, &why);
        assert_int_equal(r, why ? -EINVAL : 0);
        f->left.revival.states = f->left.restart.workers;
        assert_int_equal(handover_new(&f->left.handover), 0); // ports are bound anew
        free(text);
    }
    start_workers(f);
    start_signal(f);
    assert_int_equal(succession_done(&f->left, f->workers, &f->counters), 0);
    return why;
}

static void stop(struct fixture *f)
{
    void *place = f->place;
    signal_free(f->signal);
    workers_free(f->workers);
    turn_server_free(f->turn);
    peers_free(f->peers);
    event_base_free(f->base);
    config_free(&f->config);
    for (unsigned i = 0; i < f->sents; i++)
        xml_free(f->sent[i]);
    place_remove(&place);
}

static uint64_t figure(const struct fixture *f, enum counter counter)
{
    uint64_t sum = counter_get(&f->counters, counter);
    for (unsigned i = 0; i < workers_count(f->workers); i++)
        sum += counter_get(workers_counters(f->workers, i), counter);
    return sum;
}

// ---- what goes on in it

static void put(struct fixture *f, struct xml *stanza)
{
    signal_stanza(f->signal, stanza, usec_now());
    signal_tick(f->signal, usec_now());
    xml_free(stanza);
}

static bool is_request(const struct xml *iq)
{
    const char *type = xml_attr(iq, "type");
    return strcmp(iq->name, "iq") == 0 && (strcmp(type, "get") == 0 || strcmp(type, "set") == 0);
}

// Whoever is asked something says yes, until this has been sent: a Jingle request to him, or the
// answer to a request of this id.
static void pump(struct fixture *f, const char *to, const char *action, const char *id)
{
    for (;;) {
        while (f->answered < f->sents) {
            const struct xml *x = f->sent[f->answered++];
            const struct xml *jingle = xml_child(x, "jingle", NULL);
            if (is_request(x))
                put(f, parse("<iq type='result' from='%s' to='%s' id='%s'/>", xml_attr(x, "to"),
                             xml_attr(x, "from"), xml_attr(x, "id")));
            if (strcmp(xml_attr(x, "to"), to) == 0 &&
                (action ? jingle && strcmp(xml_attr(jingle, "action"), action) == 0
                        : strcmp(xml_attr(x, "id"), id) == 0))
                return;
        }
        event_base_loop(f->base, EVLOOP_NONBLOCK);
        signal_tick(f->signal, usec_now());
        usleep(1000);
    }
}

#define CONTENT                                                                                    \
    "<content creator='initiator' name='0'><description xmlns='urn:xmpp:jingle:apps:rtp:1' "       \
    "media='audio'><payload-type id='8'/></description><transport "                                \
    "xmlns='urn:xmpp:jingle:transports:ice-udp:1' ufrag='%s' pwd='%s'/></content>"
#define JINGLE                                                                                     \
    "<iq type='set' from='%s' to='%s' id='%s'><jingle xmlns='urn:xmpp:jingle:1' action='%s' "      \
    "sid='s1'>" CONTENT "</jingle></iq>"

// A call that was answered, and a channel.
static void play(struct fixture *f)
{
    put(f, parse(JINGLE, ALICE, BOB_AS, "i1", "session-initiate", "aliceufrag",
                 "alicepasswordalicepassword"));
    pump(f, BOB, "session-initiate", NULL);
    put(f,
        parse(JINGLE, BOB, ALICE_AS, "a1", "session-accept", "bobufrag", "bobpasswordbobpassword"));
    pump(f, ALICE, "session-accept", NULL);
    pump(f, BOB, NULL, "a1");
    put(f, parse("<iq type='get' from='" ALICE "' to='relay.example.org' id='q'><channel "
                 "xmlns='http://jabber.org/protocol/jinglenodes#channel' protocol='udp'/></iq>"));
    pump(f, ALICE, NULL, "q");
    assert_int_equal(signal_calls(f->signal), CALLS);
}

static struct client client_at_its_port(void)
{
    struct sockaddr_in sa = {.sin_family = AF_INET,
                             .sin_port = htons(CLIENT_PORT),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr_in server = sa;
    const struct timeval patience = {.tv_sec = 10};
    struct client client = {.fd = socket(AF_INET, SOCK_DGRAM, 0)};
    server.sin_port = htons(TURN_PORT);
    assert_int_equal(bind(client.fd, (struct sockaddr *)(void *)&sa, sizeof sa), 0);
    assert_int_equal(connect(client.fd, (struct sockaddr *)(void *)&server, sizeof server), 0);
    assert_int_equal(setsockopt(client.fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience), 0);
    return client;
}

static void put_udp(struct writer *w, void *arg)
{
    stun_put_u32(w, STUN_REQUESTED_TRANSPORT, 17u << 24);
}

// ---- the file

static json_t *each_time(json_t *value, usec_t from, usec_t to);

static void set_time(json_t *item, usec_t from, usec_t to)
{
    usec_t t = (usec_t)json_integer_value(item);
    // A minute before, or hours to come: nothing else is of this size.
    if (json_is_integer(item) && t > from - 60 * USEC_PER_SEC && t < from + 7200 * USEC_PER_SEC)
        json_integer_set(item, (json_int_t)(t - from + to));
    each_time(item, from, to);
}

static json_t *each_time(json_t *value, usec_t from, usec_t to)
{
    const char *key;
    json_t *item;
    size_t i;
    json_object_foreach(value, key, item) set_time(item, from, to);
    json_array_foreach(value, i, item) set_time(item, from, to);
    return value;
}

static const char *file_path(void)
{
    static char path[512];
    const char *data = getenv("TEST_DATA");
    snprintf(path, sizeof path, "%s/state/whole-1.json", data ? data : "tests/data");
    return path;
}

// As if it had been written a moment ago, in this boot.
static json_t *golden(void)
{
    json_t *state = json_load_file(file_path(), 0, NULL);
    assert_non_null(state);
    json_object_set_new(state, "boot", json_string(""));
    return each_time(state, FILE_TIME, usec_now());
}

// What leaves here now; without the boot, which is nobody's business.
static json_t *leave(struct fixture *f)
{
    const struct estate estate = {
        .workers = f->workers, .signal = f->signal, .turn = f->turn, .stopped = usec_now()};
    struct handover *handover;
    size_t len;
    workers_freeze(f->workers);
    assert_int_equal(succession_leave(&estate, &handover), 0);
    const char *text = handover_state(handover, &len);
    json_t *state = json_loadb(text, len, 0, NULL);
    json_object_set_new(state, "boot", json_string(""));
    handover_free(handover);
    return state;
}

// To be run by hand when there is a new version.
static int write_golden(void)
{
    struct fixture f;
    struct client client = client_at_its_port();
    assert_null(start(&f, NULL));
    play(&f);
    assert_int_equal(client_ask(&client, STUN_ALLOCATE, put_udp, NULL), 0);
    json_t *state = each_time(leave(&f), usec_now(), FILE_TIME);
    assert_int_equal(json_dump_file(state, file_path(), JSON_INDENT(1)), 0);
    json_decref(state);
    client_close(&client);
    stop(&f);
    return 0;
}

// ---- tests

static void everything_goes_on(struct fixture *f)
{
    struct client client = client_at_its_port();
    assert_int_equal(signal_calls(f->signal), CALLS);
    assert_int_equal(figure(f, COUNTER_RESTART_CALLS_KEPT), CALLS);
    assert_int_equal(figure(f, COUNTER_RESTART_CALLS_LOST), 0);
    assert_int_equal(figure(f, COUNTER_RESTART_ALLOCATIONS_KEPT), 1);
    assert_int_equal(figure(f, COUNTER_RESTART_ALLOCATIONS_LOST), 0);
    assert_int_equal(client_ask(&client, STUN_REFRESH, NULL, NULL), 0);
    put(f, parse("<iq type='set' from='" ALICE "' to='" BOB_AS "' id='t1'><jingle "
                 "xmlns='urn:xmpp:jingle:1' action='session-terminate' sid='s1'>"
                 "<reason><success/></reason></jingle></iq>"));
    pump(f, BOB, "session-terminate", NULL);
    client_close(&client);
}

static void nothing_goes_on(struct fixture *f)
{
    struct client client = client_at_its_port();
    assert_int_equal(signal_calls(f->signal), 0);
    assert_int_equal(client_ask(&client, STUN_REFRESH, NULL, NULL), 437);
    assert_int_equal(client_ask(&client, STUN_ALLOCATE, put_udp, NULL), 0);
    client_close(&client);
    play(f); // and there are calls again
}

static void version_1(void **state)
{
    struct fixture f;
    json_t *then = golden();
    assert_null(start(&f, then));
    everything_goes_on(&f);
    stop(&f);
    json_decref(then);
}

static void what_is_left_today(void **state)
{
    struct fixture f, next;
    struct client client = client_at_its_port();
    assert_null(start(&f, NULL));
    play(&f);
    assert_int_equal(client_ask(&client, STUN_ALLOCATE, put_udp, NULL), 0);
    client_close(&client);
    json_t *left = leave(&f);
    stop(&f);
    assert_null(start(&next, left));
    everything_goes_on(&next);
    stop(&next);
    json_decref(left);
}

static void add_everywhere(json_t *value)
{
    const char *key;
    json_t *item;
    size_t i;
    json_object_foreach(value, key, item) add_everywhere(item);
    json_array_foreach(value, i, item) add_everywhere(item);
    if (json_is_object(value))
        json_object_set_new(value, "of_the_next_release", json_array());
}

// A release that has more to remember, in the same version.
static void with_members_that_nobody_knows(void **state)
{
    struct fixture f;
    json_t *then = golden();
    add_everywhere(then);
    assert_null(start(&f, then));
    everything_goes_on(&f);
    stop(&f);
    json_decref(then);
}

// One that remembered less.
static void without_members_that_may_be_missing(void **state)
{
    static const char *const members[] = {"restarts", "nonce_key", "turn_secret",
                                          "turn_old_secrets"};
    struct fixture f;
    json_t *then = golden();
    for (size_t i = 0; i < sizeof members / sizeof *members; i++)
        (void)json_object_del(then, members[i]);
    assert_null(start(&f, then));
    everything_goes_on(&f);
    stop(&f);
    json_decref(then);
}

// Nothing of it is guessed at: the start is a cold one, and works.
static void a_newer_version_is_refused(void **state)
{
    struct fixture f;
    json_t *then = golden();
    json_object_set_new(then, "v", json_integer(2));
    assert_string_equal(start(&f, then), "it is of a version that this daemon does not know");
    assert_int_equal(figure(&f, COUNTER_RESTART_CALLS_KEPT), 0);
    nothing_goes_on(&f);
    stop(&f);
    json_decref(then);
}

// What cannot be read is lost, and counted.
static void a_newer_version_of_all_parts(void **state)
{
    struct fixture f;
    json_t *then = golden(), *workers = json_object_get(then, "workers"), *worker;
    size_t i;
    json_object_set_new(json_object_get(then, "signal"), "v", json_integer(2));
    json_array_foreach(workers, i, worker) json_object_set_new(worker, "v", json_integer(2));
    assert_null(start(&f, then));
    assert_int_equal(figure(&f, COUNTER_RESTART_CALLS_LOST), CALLS);
    assert_int_equal(figure(&f, COUNTER_RESTART_ALLOCATIONS_LOST), 1);
    nothing_goes_on(&f);
    stop(&f);
    json_decref(then);
}

// The signalling alone: its paths are closed, allocations stay.
static void a_newer_version_of_the_signalling(void **state)
{
    struct fixture f;
    struct client client = client_at_its_port();
    json_t *then = golden();
    json_object_set_new(json_object_get(then, "signal"), "v", json_integer(2));
    assert_null(start(&f, then));
    assert_int_equal(figure(&f, COUNTER_RESTART_CALLS_LOST), CALLS);
    assert_int_equal(figure(&f, COUNTER_RESTART_ALLOCATIONS_KEPT), 1);
    assert_int_equal(client_ask(&client, STUN_REFRESH, NULL, NULL), 0);
    workers_freeze(f.workers); // all orders are done now
    assert_int_equal(figure(&f, COUNTER_PATHS_OPEN), 0);
    client_close(&client);
    stop(&f);
    json_decref(then);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(version_1),
        cmocka_unit_test(what_is_left_today),
        cmocka_unit_test(with_members_that_nobody_knows),
        cmocka_unit_test(without_members_that_may_be_missing),
        cmocka_unit_test(a_newer_version_is_refused),
        cmocka_unit_test(a_newer_version_of_all_parts),
        cmocka_unit_test(a_newer_version_of_the_signalling),
    };
    if (getenv("WRITE_GOLDEN"))
        return write_golden();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
