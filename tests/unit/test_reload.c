// SPDX-License-Identifier: ISC
// The configuration is read again in a daemon without a server: its workers, TURN, signalling and
// admission are real. What each key changes is test_config_use's; here it is how it gets there, and
// that an error leaves everything as it was.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/log_kind.h"
#include "config_use.h"
#include "lib_config.h"
#include "platform/udp.h"
#include "reload.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

enum { WORKERS = 2, PORT = 41901, NEW_PORT = 41902, OTHER_PORT = 41903 };

struct fixture {
    struct place *place;
    char path[512];
    struct event_base *base;
    struct config config;
    struct counters counters;
    struct peers *peers;
    struct admission *admission;
    struct turn_server *turn;
    struct workers *workers;
    struct signal *signal;
    struct reload *reload;
    int fault; // of a worker, if any
    unsigned answers;
    json_t *result;
    char error[512];
};

// ---- the daemon

static int find_address(enum family family, struct addr *ret_addr)
{
    return family == FAMILY_V4 ? addr_parse_ip("127.0.0.1", 0, ret_addr) : -ENETUNREACH;
}

static void on_done(void *ctx, uint64_t token, int result)
{
    const struct fixture *f = ctx;

    assert_true(reload_done(f->reload, token, f->fault ? f->fault : result));
}

static int on_send(void *ctx, const struct xml *stanza)
{
    return 0;
}

static int on_order(void *ctx, const struct order *order)
{
    return 0;
}

static void on_random(void *ctx, void *buf, size_t len)
{
    assert_int_equal(getrandom(buf, len, 0), len);
}

static void write_config(struct fixture *f, const char *calls, const char *more, const char *turn)
{
    struct buf text = {0};

    buf_printf(&text,
               XMPP "relay = { address4 = \"127.0.0.1\"; address6 = \"none\"; ports = "
                    "\"41950-41999\"; %s };\nlimits = { calls = %s; load = 0; };\n"
                    "turn = { enabled = true; %s };\n",
               more, calls, turn);
    place_file(f->place, "t.conf", text.data, text.len);
    buf_free(&text);
}

static void start_parts(struct fixture *f)
{
    const struct relay_config relay = config_for_relay(&f->config);
    const struct capacity_limits limits = config_for_capacity(&f->config, WORKERS);
    const struct peers_config peers = {.bind = {f->config.relay.address[0].addr},
                                       .advertise = {f->config.relay.advertise[0].addr},
                                       .allow = f->config.relay.allow_peers};
    const struct workers_handler handler = {.ctx = f, .done = on_done};
    const struct signal_io io = {.send = on_send, .order = on_order, .random = on_random};
    struct config_services services;

    assert_int_equal(peers_new(&peers, &f->peers), 0);
    assert_int_equal(admission_new(f->base, &limits, &f->admission), 0);
    assert_int_equal(turn_server_new(f->base, &f->config, f->peers, WORKERS, &f->turn), 0);
    const struct workers_config workers = {
        .count = WORKERS, .relay = &relay, .peers = f->peers, .turn = f->turn};
    assert_int_equal(workers_new(f->base, &workers, &handler, &f->workers), 0);
    admission_watch(f->admission, f->workers, &f->counters, usec_now());
    const struct signal_config signal =
        config_for_signal(&f->config, turn_server_secret(f->turn), &services);
    assert_int_equal(signal_new(&signal, &io, &f->counters, usec_now(), &f->signal), 0);
}

static int start_with(void **state, const char *turn)
{
    struct fixture *f = calloc(1, sizeof *f);
    struct config_errors errors = {0};
    void *place;

    assert_non_null(f);
    *state = f;
    assert_int_equal(place_make(&place), 0);
    f->place = place;
    write_config(f, "100", "", turn);
    snprintf(f->path, sizeof f->path, "%s", place_path(f->place, "t.conf"));
    assert_int_equal(config_load(f->path, &f->config, &errors), 0);
    assert_int_equal(config_resolve_addresses(&f->config, find_address, &errors), 0);
    config_errors_free(&errors);
    f->base = event_base_new();
    start_parts(f);
    const struct reload_parts parts = {f->path,  &f->config,  f->peers,  f->admission,
                                       &f->turn, f->workers,  f->signal, &f->counters,
                                       NULL,     find_address};
    assert_int_equal(reload_new(&parts, &f->reload), 0);
    return 0;
}

static int start(void **state)
{
    return start_with(state, "ports = [ 41901 ];");
}

static int stop(void **state)
{
    struct fixture *f = *state;
    void *place = f->place;

    json_decref(f->result);
    signal_free(f->signal);
    workers_free(f->workers);
    reload_free(f->reload);
    admission_free(f->admission);
    turn_server_free(f->turn);
    peers_free(f->peers);
    event_base_free(f->base);
    config_free(&f->config);
    free(f);
    return place_remove(&place);
}

// ---- asking

static void on_answer(void *ctx, json_t *result, const char *error)
{
    struct fixture *f = ctx;

    f->answers++;
    json_decref(f->result);
    f->result = result;
    snprintf(f->error, sizeof f->error, "%s", error ? error : "");
}

static struct verb_reply reply(struct fixture *f)
{
    return (struct verb_reply){f, on_answer};
}

static void wait_for_answers(struct fixture *f, unsigned answers)
{
    while (f->answers < answers)
        assert_int_equal(event_base_loop(f->base, EVLOOP_ONCE), 0);
}

static void reload(struct fixture *f)
{
    unsigned before = f->answers;

    reload_run(f->reload, reply(f));
    wait_for_answers(f, before + 1);
}

static bool lists(const struct fixture *f, const char *list, const char *key)
{
    const json_t *keys = json_object_get(f->result, list);

    for (size_t i = 0; i < json_array_size(keys); i++)
        if (strcmp(json_string_value(json_array_get(keys, i)), key) == 0)
            return true;
    return false;
}

static size_t length(const struct fixture *f, const char *list)
{
    return json_array_size(json_object_get(f->result, list));
}

static bool allows(const struct fixture *f, const char *ip)
{
    struct addr addr;

    assert_int_equal(addr_parse_ip(ip, 9, &addr), 0);
    return peers_allowed(f->peers, &addr);
}

static struct sockaddr_storage local(uint16_t port)
{
    struct sockaddr_in in = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr_storage sa = {0};

    memcpy(&sa, &in, sizeof in);
    return sa;
}

static bool answers_stun(uint16_t port)
{
    static const uint8_t request[20] = {0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42};
    const struct timeval patience = {.tv_sec = 2};
    struct sockaddr_storage sa = local(port);
    uint8_t answer[1500] = {0};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    (void)connect(fd, (struct sockaddr *)(void *)&sa, sizeof(struct sockaddr_in));
    (void)send(fd, request, sizeof request, 0);
    ssize_t n = recv(fd, answer, sizeof answer, 0);
    close(fd);
    return n >= 20 && answer[0] == 1 && answer[1] == 1;
}

// ---- tests

static void what_may_change_changes(void **state)
{
    struct fixture *f = *state;

    assert_false(allows(f, "10.1.2.3"));
    assert_true(answers_stun(PORT));
    write_config(f, "7", "allow_peers = [ \"10.0.0.0/8\" ];",
                 "ports = [ 41901, 41902 ]; realm = \"other.example.org\";");
    reload(f);
    assert_string_equal(f->error, "");
    assert_true(lists(f, "applied", "limits.calls") && lists(f, "applied", "relay.allow_peers"));
    assert_true(lists(f, "applied", "turn.ports") && lists(f, "applied", "turn.realm"));
    assert_int_equal(length(f, "applied"), 4);
    assert_int_equal(length(f, "restart"), 0);
    assert_true(allows(f, "10.1.2.3"));
    assert_true(answers_stun(NEW_PORT) && answers_stun(PORT));
    assert_string_equal(f->turn->turn.realm, "other.example.org");
    assert_int_equal(
        admission_view(f->admission, usec_now()).room[CAPACITY_CALL].of[CAPACITY_NUMBER], 7);
    assert_int_equal(counter_get(&f->counters, COUNTER_RELOADS), 1);
    reload(f); // and nothing more
    assert_int_equal(length(f, "applied") + length(f, "restart"), 0);
    write_config(f, "7", "", "ports = [ 41901, 41902 ];");
    reload(f);
    assert_false(allows(f, "10.1.2.3"));
    assert_string_equal(f->turn->turn.realm, "relay.example.org");
}

static void a_mistake_changes_nothing(void **state)
{
    struct fixture *f = *state;

    write_config(f, "\"many\"", "allow_peers = [ \"10.0.0.0/8\" ];", "ports = [ 41902 ];");
    reload(f);
    assert_non_null(strstr(f->error, "limits.calls = \"many\""));
    assert_false(allows(f, "10.1.2.3"));
    assert_int_equal(f->config.limits.calls, 100);
    assert_int_equal(counter_get(&f->counters, COUNTER_RELOADS_FAILED), 1);
    assert_int_equal(unlink(f->path), 0);
    reload(f);
    assert_non_null(strstr(f->error, "t.conf"));
    assert_int_equal(f->config.limits.calls, 100);
    assert_true(answers_stun(PORT));
    write_config(f, "7", "", "ports = [ 41901 ];"); // and the next one is taken
    reload(f);
    assert_int_equal(f->config.limits.calls, 7);
}

static void a_port_in_use_changes_nothing(void **state)
{
    struct fixture *f = *state;
    struct sockaddr_storage sa = local(OTHER_PORT);
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    assert_int_equal(bind(fd, (struct sockaddr *)(void *)&sa, sizeof(struct sockaddr_in)), 0);
    write_config(f, "7", "", "ports = [ 41901, 41903 ]; realm = \"other.example.org\";");
    reload(f);
    assert_non_null(strstr(f->error, "127.0.0.1:41903 cannot be listened on"));
    assert_non_null(strstr(f->error, "or a call"));
    assert_int_equal(f->config.limits.calls, 100);
    assert_int_equal(f->config.turn.ports.count, 1);
    assert_null(f->config.turn.realm);
    assert_string_equal(f->turn->turn.realm, "relay.example.org");
    close(fd);
    reload(f);
    assert_string_equal(f->error, "");
    assert_true(answers_stun(OTHER_PORT));
}

// Records that the journal's catalogue has something to say to.
static atomic_uint needs_restart;

static void count_restarts(void *ctx, enum log_level level, const char *text,
                           const struct log_field *field, size_t fields)
{
    for (size_t i = 0; i < fields; i++)
        needs_restart += strcmp(field[i].value, log_kind_row(LOG_NEEDS_RESTART)->id) == 0;
}

static void what_takes_a_restart_is_named(void **state)
{
    struct fixture *f = *state;

    write_config(f, "100", "workers = 3; shared_port = 3333;", "ports = [ 41902 ];");
    needs_restart = 0;
    reload(f);
    assert_int_equal(needs_restart, 3);
    assert_true(lists(f, "restart", "relay.workers") && lists(f, "restart", "relay.shared_port"));
    assert_true(lists(f, "applied", "turn.ports"));
    assert_int_equal(length(f, "restart"), 3); // and the listener that would have to go
    assert_int_equal(f->config.relay.workers, 0);
    assert_true(answers_stun(PORT) && answers_stun(NEW_PORT));
}

static void what_a_worker_goes_on_with_stays(void **state)
{
    struct fixture *f = *state;
    const struct turn_server *before[2];

    for (int i = 0; i < 2; i++) {
        before[i] = f->turn;
        f->fault = -ENOMEM;
        write_config(f, "7", "", i ? "realm = \"b\";" : "realm = \"a\";");
        reload(f);
        assert_non_null(strstr(f->error, "a worker could not apply"));
        assert_string_equal(f->turn->turn.realm, i ? "b" : "a");
    }
    f->fault = 0;
    write_config(f, "8", "", "realm = \"c\";");
    reload(f);
    assert_string_equal(f->error, "");
    assert_string_equal(before[0]->turn.realm, "relay.example.org");
    assert_string_equal(before[1]->turn.realm, "a");
}

static void changes_wait_for_each_other(void **state)
{
    struct fixture *f = *state;

    write_config(f, "7", "", "ports = [ 41901 ];");
    reload_run(f->reload, reply(f)); // the workers have not answered
    write_config(f, "8", "", "ports = [ 41901 ];");
    reload_run(f->reload, reply(f));
    assert_int_equal(f->answers, 1);
    assert_non_null(strstr(f->error, "another change is under way"));
    reload_run(f->reload, (struct verb_reply){0}); // a signal waits for its turn
    wait_for_answers(f, 2);
    while (counter_get(&f->counters, COUNTER_RELOADS) < 2)
        assert_int_equal(event_base_loop(f->base, EVLOOP_ONCE), 0);
    assert_int_equal(f->config.limits.calls, 8);
    assert_int_equal(f->answers, 2);
}

static void nobody_is_answered_who_has_gone(void **state)
{
    struct fixture *f = *state;

    reload_run(f->reload, reply(f));
    reload_forget(f->reload);
    while (counter_get(&f->counters, COUNTER_RELOADS) < 1)
        assert_int_equal(event_base_loop(f->base, EVLOOP_ONCE), 0);
    assert_int_equal(f->answers, 0);
}

static bool accepts(const struct turn_server *server, const char *secret)
{
    for (unsigned i = 0; i < server->turn.secrets; i++)
        if (strcmp(server->turn.secret[i].text, secret) == 0)
            return true;
    return false;
}

static void rotate(struct fixture *f)
{
    unsigned before = f->answers;

    reload_rotate(f->reload, reply(f));
    wait_for_answers(f, before + 1);
    assert_string_equal(f->error, "");
}

static void old_secrets_are_good_for_a_while(void **state)
{
    struct fixture *f = *state;
    struct turn_server *later;
    char first[128], error[256];

    snprintf(first, sizeof first, "%s", turn_server_secret(f->turn));
    rotate(f);
    assert_string_not_equal(turn_server_secret(f->turn), first);
    assert_true(accepts(f->turn, first));
    assert_int_equal(length(f, "tell"), 0); // nobody else knew it
    assert_int_equal(json_integer_value(json_object_get(f->result, "old_accepted_s")), 86400);
    reload(f);
    assert_true(accepts(f->turn, first)); // still
    usec_t then = usec_now() + 86401 * USEC_PER_SEC;
    assert_int_equal(turn_server_renew(f->turn, &f->config, false, then, &later, error), 0);
    assert_false(accepts(later, first));
    assert_string_equal(turn_server_secret(later), turn_server_secret(f->turn));
    turn_server_free_replaced(later);
    for (int i = 0; i < TURN_OLD_SECRETS_MAX; i++)
        rotate(f);
    assert_false(accepts(f->turn, first)); // there is room for so many
    assert_int_equal(f->turn->turn.secrets, 1 + TURN_OLD_SECRETS_MAX);
}

static void the_operator_is_told_what_to_do(void **state)
{
    struct fixture *f = *state;
    char given[] = "0123456789abcdef0123456789abcdef", line[1200], made[128];

    place_file(f->place, "secret", given, strlen(given));
    snprintf(line, sizeof line, "ports = [ 41901 ]; secret_files = [ \"%s\" ];",
             place_path(f->place, "secret"));
    write_config(f, "100", "", line);
    reload(f);
    assert_string_equal(turn_server_secret(f->turn), given);
    rotate(f);
    snprintf(made, sizeof made, "%s", turn_server_secret(f->turn));
    assert_string_not_equal(made, given);
    assert_true(accepts(f->turn, given));
    assert_true(length(f, "tell") >= 3);
    assert_non_null(
        strstr(json_string_value(json_array_get(json_object_get(f->result, "tell"), 0)), made));

    place_file(f->place, "secret", made, strlen(made)); // he does it
    reload(f);
    assert_true(lists(f, "applied", "turn.secret_files"));
    assert_string_equal(turn_server_secret(f->turn), made);
    assert_null(f->turn->generated_secret);
}

static bool tells(const struct fixture *f, const char *text)
{
    const json_t *lines = json_object_get(f->result, "tell");

    for (size_t i = 0; i < json_array_size(lines); i++)
        if (strstr(json_string_value(json_array_get(lines, i)), text))
            return true;
    return false;
}

// Nobody named the file of a credential, and its copy for the daemon is nothing to write to.
static void a_secret_of_systemd_is_changed_where_it_is_from(void **state)
{
    static const char given[] = "0123456789abcdef0123456789abcdef";
    struct fixture *f = *state;
    char line[1200];

    place_file(f->place, "turn-secret", given, strlen(given));
    setenv("CREDENTIALS_DIRECTORY", f->place->directory, 1);
    reload(f);
    assert_string_equal(turn_server_secret(f->turn), given);
    rotate(f);
    assert_true(tells(f, turn_server_secret(f->turn)));
    assert_true(tells(f, "LoadCredential") && tells(f, "until that restart"));
    assert_false(tells(f, "turn.secret_files") || tells(f, f->place->directory));

    place_file(f->place, "secret", given, strlen(given)); // from now on he names one
    snprintf(line, sizeof line, "ports = [ 41901 ]; secret_files = [ \"%s\" ];",
             place_path(f->place, "secret"));
    write_config(f, "100", "", line);
    reload(f);
    rotate(f);
    assert_true(tells(f, "turn.secret_files") && tells(f, f->place->directory));
    assert_false(tells(f, "LoadCredential"));
}

static void clients_are_pointed_elsewhere(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(reload_point_elsewhere(f->reload, true), 0);
    reload(f);
    assert_string_equal(f->error, "");
    assert_int_equal(reload_point_elsewhere(f->reload, false), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_may_change_changes),
        TEST(a_mistake_changes_nothing),
        TEST(a_port_in_use_changes_nothing),
        TEST(what_takes_a_restart_is_named),
        TEST(what_a_worker_goes_on_with_stays),
        TEST(changes_wait_for_each_other),
        TEST(nobody_is_answered_who_has_gone),
        TEST(old_secrets_are_good_for_a_while),
        TEST(the_operator_is_told_what_to_do),
        TEST(a_secret_of_systemd_is_changed_where_it_is_from),
        TEST(clients_are_pointed_elsewhere),
    };
    const struct log_sink sink = {.max = LOG_LEVEL_NOTICE, .write = count_restarts};

    log_set_sink(&sink);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
