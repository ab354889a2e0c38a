// SPDX-License-Identifier: ISC
// The life of the connection to the XMPP server, against a scripted one on loopback: the handshake,
// reconnection, what only an operator can mend, keep-alive, the end.
#include "lib_component.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

static int setup(void **state)
{
    *state = fixture_new();
    return *state ? 0 : -1;
}

static int teardown(void **state)
{
    fixture_free(*state);
    return 0;
}

static void it_joins_and_the_hash_is_right(void **state)
{
    struct fixture *f = *state;
    start(f);
    assert_int_equal(f->states.len, 0); // nothing is called from within component_new()
    RUN_UNTIL(f, state_is(f, 'U'));
    assert_string_equal(f->states.data, "U");
    assert_int_equal(f->server.good_handshakes, 1);
    assert_int_equal(f->server.bad_handshakes, 0);
    assert_int_equal(count_in(&f->log, "5 joined the XMPP server 127.0.0.1"), 1);
}

static void the_configuration_is_copied(void **state)
{
    struct fixture *f = *state;
    server_start(&f->server, f->base, 0);
    char domain[] = "relay.test";
    char secret[] = SERVER_SECRET;
    char host[] = "127.0.0.1";
    struct component_config config = {domain, secret, host, f->server.port};
    struct component_handler handler = handler_of(f);
    assert_int_equal(component_new(f->base, NULL, &config, &handler, &f->component), 0);
    memset(domain, 'x', sizeof(domain) - 1);
    memset(secret, 'x', sizeof(secret) - 1);
    memset(host, 'x', sizeof(host) - 1);
    memset(&config, 0, sizeof(config));
    memset(&handler, 0, sizeof(handler));
    RUN_UNTIL(f, state_is(f, 'U'));
    assert_int_equal(f->server.good_handshakes, 1);
}

static void impossible_configurations_are_refused(void **state)
{
    struct fixture *f = *state;
    struct component_config config = {"relay.test", "x", "127.0.0.1", 0};
    struct component_handler handler = handler_of(f);
    assert_int_equal(component_new(f->base, NULL, &config, &handler, &f->component), -EINVAL);
    config = (struct component_config){"relay.test", "x", "a.name.test", 5347};
    assert_int_equal(component_new(f->base, NULL, &config, &handler, &f->component), -EINVAL);
    assert_null(f->component);
    component_free(NULL, 0);
}

static void refused_connections_back_off(void **state)
{
    struct fixture *f = *state;
    uint16_t port = closed_port();
    start_with(f, NULL, "127.0.0.1", port);
    assert_int_equal(send_body(f, "early"), -ENOTCONN);
    usec_t begun = component_link_now();
    RUN_UNTIL(f, f->states.len >= 12); // D, then C and D for each further attempt
    // 20, 40, 80, 80, 80 ms, each a quarter more or less.
    usec_t took = component_link_now() - begun;
    assert_true(took >= 225 * USEC_PER_MSEC);
    assert_memory_equal(f->states.data, "DCDCDCDCDCD", 11);
    assert_int_equal(count_in(&f->log, "4 cannot join the XMPP server at 127.0.0.1"), 1);
    assert_true(count_in(&f->log, "7 cannot join the XMPP server at 127.0.0.1: 127.0") == 0);
    assert_true(count_in(&f->log, "Connection refused") >= 5);

    server_start(&f->server, f->base, port);
    RUN_UNTIL(f, state_is(f, 'U'));
}

static int listen_without_room(uint16_t *ret_port)
{
    struct sockaddr_in sin = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(sin);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&sin, len), 0);
    assert_int_equal(listen(fd, 0), 0);
    getsockname(fd, (struct sockaddr *)&sin, &len);
    int filler = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    connect(filler, (struct sockaddr *)&sin, len);
    *ret_port = ntohs(sin.sin_port);
    return fd; // the filler stays until the process ends
}

// The refusal comes while libstrophe waits for the connection: it says nothing of its own about it.
static void a_late_refusal_is_named(void **state)
{
    struct fixture *f = *state;
    uint16_t port;
    int fd = listen_without_room(&port);
    start_with(f, NULL, "127.0.0.1", port);
    run_for(f, 100);
    assert_int_equal(f->states.len, 0);
    close(fd); // the next SYN, after a second, is answered with a reset
    RUN_UNTIL(f, state_is(f, 'D'));
    assert_int_equal(
        count_in(&f->log, "4 cannot join the XMPP server at 127.0.0.1: Connection refused"), 1);
}

static void a_silent_server_is_left(void **state)
{
    struct fixture *f = *state;
    start(f);
    f->server.refuse = "silence";
    struct component_tuning t = quick;
    t.handshake = 100 * USEC_PER_MSEC;
    component_set_tuning(f->component, &t);
    RUN_UNTIL(f, state_is(f, 'D'));
    assert_int_equal(count_in(&f->log, "Connection timed out"), 1);
    f->server.refuse = NULL;
    RUN_UNTIL(f, state_is(f, 'U'));
}

static struct evdns_base *dns_of(struct fixture *f, const char *hosts)
{
    char path[] = "/tmp/test_component_hosts.XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, hosts, strlen(hosts)), strlen(hosts));
    close(fd);
    struct evdns_base *dns = evdns_base_new(f->base, 0); // no name servers
    assert_int_equal(evdns_base_load_hosts(dns, path), 0);
    unlink(path);
    return dns;
}

static void names_are_resolved_and_all_addresses_tried(void **state)
{
    struct fixture *f = *state;
    struct evdns_base *dns = dns_of(f, "127.9.9.9 xmpp.test\n::1 xmpp.test\n127.0.0.1 xmpp.test\n");
    server_start(&f->server, f->base, 0);
    start_with(f, dns, "xmpp.test", f->server.port);
    RUN_UNTIL(f, state_is(f, 'U'));
    assert_string_equal(f->states.data, "U"); // the other two were part of the same attempt
    server_hang_up(&f->server);
    RUN_UNTIL(f, f->server.connections == 2 && state_is(f, 'U'));
    component_free(f->component, 0);
    f->component = NULL;
    evdns_base_free(dns, 0);
}

static void a_name_without_an_address_is_retried(void **state)
{
    struct fixture *f = *state;
    struct evdns_base *dns = dns_of(f, "127.0.0.1 other.test\n");
    start_with(f, dns, "xmpp.test", 5347);
    RUN_UNTIL(f, state_is(f, 'D'));
    assert_int_equal(count_in(&f->log, "4 cannot join the XMPP server at xmpp.test: "), 1);
    RUN_UNTIL(f, state_is(f, 'C')); // another lookup is under way, and is cancelled here
    component_free(f->component, 0);
    f->component = NULL;
    run_for(f, 20);
    evdns_base_free(dns, 0);
    run_for(f, 20);
}

static void it_comes_back_when_the_server_closes(void **state)
{
    struct fixture *f = *state;
    start(f);
    RUN_UNTIL(f, state_is(f, 'U'));
    for (unsigned i = 2; i < 6; i++) {
        send_body(f, "lost or not");
        if (i % 2)
            server_send(&f->server, "</stream:stream>");
        else
            server_hang_up(&f->server);
        RUN_UNTIL(f, state_is(f, 'D'));
        assert_int_equal(send_body(f, "x"), -ENOTCONN);
        RUN_UNTIL(f, f->server.connections == i && state_is(f, 'U'));
        assert_int_equal(send_body(f, "again"), 0);
        RUN_UNTIL(f, server_count(&f->server, "again") == 1);
        assert_int_equal(server_count(&f->server, "lost"),
                         0); // the old queue went with the old stream
    }
    assert_string_equal(f->states.data, "UDCUDCUDCUDCU");
    assert_int_equal(f->server.bad_handshakes, 0);
    assert_int_equal(count_in(&f->log, "4 lost the XMPP server 127.0.0.1: the server closed"), 4);
}

static void expect_slow_retry(struct fixture *f, const char *condition, bool early,
                              const char *advice)
{
    start(f);
    f->server.refuse = condition;
    f->server.early = early;
    RUN_UNTIL(f, state_is(f, 'D'));
    usec_t begun = component_link_now();
    RUN_UNTIL(f, f->server.connections == 3);
    assert_true(component_link_now() - begun >= 2 * 225 * USEC_PER_MSEC);
    RUN_UNTIL(f, state_is(f, 'D'));
    char text[128];
    snprintf(text, sizeof(text),
             "3 the XMPP server 127.0.0.1 refuses relay.test (stream error %s: so it is)",
             condition);
    assert_int_equal(count_in(&f->log, text), 1); // and the others at debug level
    assert_int_equal(count_in(&f->log, "7 the XMPP server"), 2);
    assert_true(count_in(&f->log, advice) > 0);
    f->server.refuse = NULL;
    RUN_UNTIL(f, state_is(f, 'U'));
}

static void conflict_is_named(void **state)
{
    expect_slow_retry(*state, "conflict", false, "stop the other daemon");
}

static void an_unknown_host_is_named(void **state)
{
    expect_slow_retry(*state, "host-unknown", true, "no external component of this domain");
}

static void a_wrong_secret_is_named(void **state)
{
    expect_slow_retry(*state, "not-authorized", false, "the secret is wrong");
}

static void other_stream_errors_are_logged(void **state)
{
    struct fixture *f = *state;
    start(f);
    RUN_UNTIL(f, state_is(f, 'U'));
    server_send(&f->server,
                "<stream:error><text xmlns='urn:ietf:params:xml:ns:xmpp-streams'>bye\nbye</text>"
                "<system-shutdown xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>"
                "</stream:stream>");
    RUN_UNTIL(f, state_is(f, 'D'));
    assert_int_equal(
        count_in(&f->log,
                 "4 lost the XMPP server 127.0.0.1: stream error system-shutdown: bye?bye"),
        1);
    RUN_UNTIL(f, state_is(f, 'U'));
    server_send(&f->server, "this is <not>xml</wrong>");
    server_hang_up(&f->server);
    RUN_UNTIL(f, state_is(f, 'D'));
    RUN_UNTIL(f, state_is(f, 'U'));
}

static void white_space_keeps_the_stream_alive(void **state)
{
    struct fixture *f = *state;
    start(f);
    struct component_tuning t = quick;
    t.keepalive = 200 * USEC_PER_MSEC;
    component_set_tuning(f->component, &t);
    RUN_UNTIL(f, state_is(f, 'U'));
    RUN_UNTIL(f, f->server.in_len > 2);
    for (const char *p = f->server.in; *p; p++)
        assert_int_equal(*p, ' ');
    // With traffic there is no need for it.
    size_t spaces = f->server.in_len;
    for (int i = 0; i < 12; i++) {
        assert_int_equal(send_body(f, "busy"), 0);
        run_for(f, 50);
    }
    assert_int_equal(server_count(&f->server, "busy"), 12);
    assert_int_equal(strspn(f->server.in, " "), spaces);
    assert_int_equal(server_count(&f->server, "> <"), 0);
    RUN_UNTIL(f, server_ends_with(&f->server, "> "));
}

static void freeing_flushes_and_closes_the_stream(void **state)
{
    struct fixture *f = *state;
    start(f);
    RUN_UNTIL(f, state_is(f, 'U'));
    for (int i = 0; i < 100; i++)
        assert_int_equal(send_body(f, "last words"), 0);
    // component_free() blocks, and the server here lives on the same thread: what it can do is to
    // write everything and the closing tag, and wait in vain.
    usec_t begun = component_link_now();
    component_free(f->component, 100 * USEC_PER_MSEC);
    f->component = NULL;
    assert_true(component_link_now() - begun < 2 * USEC_PER_SEC);
    RUN_UNTIL(f, f->server.closed);
    assert_int_equal(server_count(&f->server, "last words"), 100);
    assert_string_equal(f->states.data, "U");
}

static void freeing_is_bounded_in_time(void **state)
{
    struct fixture *f = *state;
    start(f);
    RUN_UNTIL(f, state_is(f, 'U'));
    server_read(&f->server, false);
    while (send_body(f, "too much, too much, too much, too much, too much, too much") == 0)
        ;
    usec_t begun = component_link_now();
    component_free(f->component, 200 * USEC_PER_MSEC);
    f->component = NULL;
    usec_t took = component_link_now() - begun;
    assert_true(took >= 190 * USEC_PER_MSEC && took < 2 * USEC_PER_SEC);
}

static void freeing_before_the_connection_is_up(void **state)
{
    struct fixture *f = *state;
    start(f);
    component_free(f->component, USEC_PER_SEC); // before anything was done
    start_with(f, NULL, "127.0.0.1", f->server.port);
    f->server.refuse = "silence";
    RUN_UNTIL(f, f->server.connections == 1);
    component_free(f->component, USEC_PER_SEC); // during the handshake
    f->component = NULL;
    run_for(f, 20);
    assert_null(f->server.client);
    assert_int_equal(f->states.len, 0);
}

static void idling_costs_nothing(void **state)
{
    struct fixture *f = *state;
    start(f);
    RUN_UNTIL(f, state_is(f, 'U'));
    event_del(f->heartbeat);
    struct timeval tv = {.tv_sec = 1, .tv_usec = 500000};
    event_base_loopexit(f->base, &tv);
    clock_t begun = clock();
    event_base_dispatch(f->base);
    assert_true(clock() - begun < CLOCKS_PER_SEC / 20);
    event_add(f->heartbeat, &(struct timeval){.tv_usec = 2000});
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(it_joins_and_the_hash_is_right),
        TEST(the_configuration_is_copied),
        TEST(impossible_configurations_are_refused),
        TEST(refused_connections_back_off),
        TEST(a_late_refusal_is_named),
        TEST(a_silent_server_is_left),
        TEST(names_are_resolved_and_all_addresses_tried),
        TEST(a_name_without_an_address_is_retried),
        TEST(it_comes_back_when_the_server_closes),
        TEST(conflict_is_named),
        TEST(an_unknown_host_is_named),
        TEST(a_wrong_secret_is_named),
        TEST(other_stream_errors_are_logged),
        TEST(white_space_keeps_the_stream_alive),
        TEST(freeing_flushes_and_closes_the_stream),
        TEST(freeing_is_bounded_in_time),
        TEST(freeing_before_the_connection_is_up),
        TEST(idling_costs_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
