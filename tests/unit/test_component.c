// SPDX-License-Identifier: ISC
// The connection to the XMPP server, against a scripted one on loopback: the handshake, order,
// reconnection, what only an operator can mend, back-pressure, descriptors beyond select(), and the
// proof that libstrophe still needs its state allocated by a trick.
#include "lib_xmpp_server.h"

#include "../../src/platform/component_link.h"
#include "../../src/platform/component_private.h"
#include "../../src/platform/lowfd.h"
#include "base/buf.h"
#include "base/log.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define PATIENCE_MSEC 20000 // of a test, for what should take milliseconds

struct fixture {
    struct event_base *base;
    struct event *heartbeat; // wakes the loop, so that conditions are looked at
    struct server server;
    struct component *component;
    struct buf log; // a line for each record: level, space, message
    struct buf states;
    struct buf bodies; // of the messages that arrived
    unsigned stanzas;
    struct xml *last;
    bool echo;
    int echo_result;
};

static const struct component_tuning quick = {
    .backoff_first = 20 * USEC_PER_MSEC,
    .backoff_max = 80 * USEC_PER_MSEC,
    .backoff_operator = 300 * USEC_PER_MSEC,
    .resolve = 200 * USEC_PER_MSEC,
    .handshake = 2 * USEC_PER_SEC,
    .keepalive = 60 * USEC_PER_SEC,
    .queue_bytes = 1 << 20,
};

static void on_log(void *ctx, enum log_level level, const char *message,
                   const struct log_field *field, size_t fields)
{
    struct fixture *f = ctx;
    buf_printf(&f->log, "%d %s\n", (int)level, message);
}

static void on_heartbeat(evutil_socket_t fd, short what, void *ctx)
{
}

static struct xml *message(const char *body)
{
    struct xml *x = xml_new("message", "jabber:client");
    assert_int_equal(xml_set(x, "from", "relay.test"), 0);
    assert_int_equal(xml_set(x, "to", "bob@example.org/r"), 0);
    assert_int_equal(xml_add_text(xml_add(x, "body", NULL), body, strlen(body)), 0);
    return x;
}

static int send_body(struct fixture *f, const char *body)
{
    struct xml *x = message(body);
    int r = component_send(f->component, x);
    xml_free(x);
    return r;
}

static void on_stanza(void *ctx, const struct xml *stanza)
{
    struct fixture *f = ctx;
    const struct xml *body = xml_child(stanza, "body", NULL);
    f->stanzas++;
    buf_printf(&f->bodies, "%s,", body ? xml_text(body) : "-");
    xml_free(f->last);
    f->last = xml_clone(stanza);
    if (f->echo)
        f->echo_result |= component_send(f->component, stanza);
}

static void on_state(void *ctx, enum component_state state)
{
    struct fixture *f = ctx;
    static const char letter[] = {[COMPONENT_CONNECTING] = 'C', [COMPONENT_UP] = 'U', 'D'};
    buf_add(&f->states, &letter[state], 1);
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    if (!f)
        return -1;
    struct timeval tv = {.tv_usec = 2000};
    f->base = event_base_new();
    f->heartbeat = event_new(f->base, -1, EV_PERSIST, on_heartbeat, NULL);
    event_add(f->heartbeat, &tv);
    log_set_sink(&(struct log_sink){f, LOG_LEVEL_DEBUG, on_log});
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    component_free(f->component, 0);
    server_stop(&f->server);
    log_set_sink(NULL);
    event_free(f->heartbeat);
    event_base_free(f->base);
    buf_free(&f->log);
    buf_free(&f->states);
    buf_free(&f->bodies);
    xml_free(f->last);
    free(f);
    return 0;
}

static void start_with(struct fixture *f, struct evdns_base *dns, const char *host, uint16_t port)
{
    struct component_config config = {"relay.test", SERVER_SECRET, host, port};
    struct component_handler handler = {f, on_stanza, on_state};
    assert_int_equal(component_new(f->base, dns, &config, &handler, &f->component), 0);
    component_set_tuning(f->component, &quick);
}

static void start(struct fixture *f)
{
    server_start(&f->server, f->base, 0);
    start_with(f, NULL, "127.0.0.1", f->server.port);
}

// Runs the loop until a condition holds; the test fails if that takes too long.
#define RUN_UNTIL(f, condition)                                                                    \
    do {                                                                                           \
        usec_t end_ = component_link_now() + PATIENCE_MSEC * USEC_PER_MSEC;                        \
        while (!(condition)) {                                                                     \
            if (component_link_now() > end_)                                                       \
                fail_msg("never: %s; states %s, log:\n%s", #condition, (f)->states.data,           \
                         (f)->log.data);                                                           \
            event_base_loop((f)->base, EVLOOP_ONCE);                                               \
        }                                                                                          \
    } while (0)

static void run_for(struct fixture *f, unsigned msec)
{
    usec_t end = component_link_now() + msec * USEC_PER_MSEC;
    while (component_link_now() < end)
        event_base_loop(f->base, EVLOOP_ONCE);
}

static bool state_is(const struct fixture *f, char letter)
{
    return f->states.len > 0 && f->states.data[f->states.len - 1] == letter;
}

static unsigned count_in(const struct buf *log, const char *text)
{
    unsigned n = 0;
    for (const char *p = log->data; p && (p = strstr(p, text)); p++)
        n++;
    return n;
}

static uint16_t closed_port(void)
{
    struct sockaddr_in sin = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(sin);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&sin, len), 0);
    getsockname(fd, (struct sockaddr *)&sin, &len);
    close(fd);
    return ntohs(sin.sin_port);
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
    struct component_handler handler = {f, on_stanza, on_state};
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
    struct component_handler handler = {f, on_stanza, on_state};
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

static void stanzas_keep_their_order(void **state)
{
    struct fixture *f = *state;
    start(f);
    RUN_UNTIL(f, state_is(f, 'U'));
    struct buf expected = {0};
    for (int i = 0; i < 1000; i++) {
        char text[256];
        snprintf(text, sizeof(text),
                 "<message from='bob@example.org/r' to='relay.test'><body>%d</body></message>", i);
        server_send(&f->server, text);
        snprintf(text, sizeof(text), "%d", i);
        assert_int_equal(send_body(f, text), 0);
        buf_printf(&expected, "%d,", i);
    }
    RUN_UNTIL(f, f->stanzas == 1000 && server_count(&f->server, "</message>") == 1000);
    assert_string_equal(f->bodies.data, expected.data);
    buf_free(&expected);
    const char *p = f->server.in;
    for (int i = 0; i < 1000; i++) {
        char text[64];
        snprintf(text, sizeof(text), "<body>%d</body>", i);
        p = strstr(p, text);
        assert_non_null(p);
    }
}

static void handlers_may_send(void **state)
{
    struct fixture *f = *state;
    start(f);
    f->echo = true;
    RUN_UNTIL(f, state_is(f, 'U'));
    for (int i = 0; i < 100; i++)
        server_send(&f->server,
                    "<iq from='relay.test' to='b' type='get' id='1'><q xmlns='u'/></iq>");
    RUN_UNTIL(f, server_count(&f->server, "</iq>") == 100);
    assert_int_equal(f->echo_result, 0);
    assert_int_equal(count_in(&f->bodies, "-"), 100);
}

static void stanzas_arrive_as_they_were_meant(void **state)
{
    struct fixture *f = *state;
    start(f);
    RUN_UNTIL(f, state_is(f, 'U'));
    server_send(&f->server,
                "<message from='bob@example.org/r' to='relay.test' xml:lang='de'>"
                "<body>Gr&#xFC;&lt;e</body> text <x xmlns='urn:x' a='1&amp;2'><y xmlns=''/>"
                "<message xmlns='jabber:client'/></x></message>"
                "<unknown/><presence from='a@b' to='c'/>");
    RUN_UNTIL(f, f->stanzas == 2); // what is no stanza is not passed on
    assert_true(xml_is(f->last, "presence", "jabber:client"));
    server_send(&f->server, "<message from='bob@example.org/r' to='relay.test' xml:lang='de'>"
                            "<body>Gr&#xFC;&lt;e</body> text <x xmlns='urn:x' a='1&amp;2'><y "
                            "xmlns=''/><message xmlns='jabber:client'/></x></message>");
    RUN_UNTIL(f, f->stanzas == 3);
    struct xml *expected;
    static const char text[] =
        "<message xmlns='jabber:client' from='bob@example.org/r' to='relay.test' xml:lang='de'>"
        "<body>Gr\xc3\xbc&lt;e</body> text <x xmlns='urn:x' a='1&amp;2'><y xmlns=''/>"
        "<message xmlns='jabber:client'/></x></message>";
    struct xml_limits limits = {4096, 10, 100};
    assert_int_equal(xml_parse(text, strlen(text), &limits, &expected), 0);
    assert_true(xml_equal(f->last, expected));
    xml_free(expected);
}

// Since 2.6, and in the security updates of older ones, expat puts off an incomplete tag until
// twice as much has arrived: a stanza whose last tag is cut early would wait for the next one.
static void a_stanza_may_be_cut_anywhere(void **state)
{
    struct fixture *f = *state;
    start(f);
    RUN_UNTIL(f, state_is(f, 'U'));
    static const char text[] = "<iq from='a@b/c' to='relay.test' type='set' id='1'><query "
                               "xmlns='urn:q'/></iq>";
    for (unsigned cut = 1; cut < sizeof(text) - 1; cut++) {
        char part[sizeof(text)];
        snprintf(part, sizeof(part), "%.*s", (int)cut, text);
        server_send(&f->server, part);
        run_for(f, 5);
        assert_int_equal(f->stanzas, cut - 1);
        server_send(&f->server, text + cut);
        RUN_UNTIL(f, f->stanzas == cut);
    }
}

static void send_repeated(struct fixture *f, const char *unit, unsigned times)
{
    struct buf text = {0};
    for (unsigned i = 0; i < times; i++)
        buf_puts(&text, unit);
    server_send(&f->server, text.data);
    buf_free(&text);
}

static const char iq_head[] = "<iq type='set' id='1' from='eve@example.org/x' to='relay.test'>";

static void send_attributes(struct fixture *f, unsigned count)
{
    struct buf text = {0};
    buf_puts(&text, "<a");
    for (unsigned i = 0; i < count; i++)
        buf_printf(&text, " a%x=''", i);
    buf_puts(&text, "/>");
    server_send(&f->server, text.data);
    buf_free(&text);
}

static void expect_head_only(struct fixture *f, unsigned number)
{
    server_send(&f->server, "</iq>");
    RUN_UNTIL(f, f->stanzas == number);
    assert_null(f->last->first);
    assert_string_equal(xml_attr(f->last, "from"), "eve@example.org/x");
}

static void large_stanzas_lose_their_content(void **state)
{
    struct fixture *f = *state;
    start(f);
    RUN_UNTIL(f, state_is(f, 'U'));
    server_send(&f->server, iq_head);
    send_repeated(f, "<a>", 64); // with the root, 65 deep
    send_repeated(f, "</a>", 64);
    expect_head_only(f, 1);
    server_send(&f->server, iq_head);
    send_repeated(f, "<a/>", 4000);
    expect_head_only(f, 2);
    server_send(&f->server, iq_head);
    send_attributes(f, 66); // an "xmlns" is counted, or not
    expect_head_only(f, 3);
    assert_int_equal(count_in(&f->log, "too large"), 1); // once a minute

    // As large as they may be.
    server_send(&f->server, iq_head);
    send_repeated(f, "<a>", 63);
    send_repeated(f, "</a>", 63);
    send_repeated(f, "<a/>", 3999 - 64);
    send_attributes(f, 64);
    server_send(&f->server, "</iq>");
    RUN_UNTIL(f, f->stanzas == 4);
    assert_non_null(f->last->first);
    assert_string_equal(xml_attr(f->last->last, "a3f"), "");
    assert_string_equal(f->states.data, "U");
}

// Users of the server make stanzas as large as it lets them: 256 KiB from clients, 512 KiB from
// other servers with Prosody's defaults. libstrophe would be busy with these for 8 s and longer.
static void bombs_cost_a_connection_and_little_time(void **state)
{
    struct fixture *f = *state;
    start(f);
    RUN_UNTIL(f, state_is(f, 'U'));
    clock_t begun = clock();
    for (unsigned i = 2; i < 4; i++) {
        server_send(&f->server, iq_head);
        send_repeated(f, i == 2 ? "<a/>" : "<a>", 75000);
        server_send(&f->server, "</iq>");
        RUN_UNTIL(f, f->server.connections == i && state_is(f, 'U'));
    }
    assert_int_equal(f->stanzas, 0);
    assert_int_equal(count_in(&f->log, "it sent a stanza of so many elements"), 2);

    server_send(&f->server, iq_head);
    send_attributes(f, 28000);
    expect_head_only(f, 1);
    assert_true(clock() - begun < 5 * CLOCKS_PER_SEC);

    // Long texts are no bombs.
    server_send(&f->server, iq_head);
    send_repeated(f, "&lt;\n", 20000);
    server_send(&f->server, "</iq>");
    RUN_UNTIL(f, f->stanzas == 2);
    assert_int_equal(strlen(xml_text(f->last)), 40000);
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

static void incomplete_stanzas_are_not_sent(void **state)
{
    struct fixture *f = *state;
    start(f);
    RUN_UNTIL(f, state_is(f, 'U'));
    struct xml *x = message("x");
    xml_set(x, "from", NULL);
    assert_int_equal(component_send(f->component, x), -EINVAL);
    xml_set(x, "from", "");
    assert_int_equal(component_send(f->component, x), -EINVAL);
    xml_set(x, "from", "relay.test");
    xml_set(x, "to", NULL);
    assert_int_equal(component_send(f->component, x), -EINVAL);
    assert_int_equal(component_send(f->component, x->first->first), -EINVAL); // a text
    xml_free(x);
}

static void a_server_that_does_not_read_costs_bounded_memory(void **state)
{
    struct fixture *f = *state;
    start(f);
    RUN_UNTIL(f, state_is(f, 'U'));
    server_read(&f->server, false);
    unsigned sent = 0;
    char body[16 + 1000];
    memset(body, 'x', sizeof(body));
    body[sizeof(body) - 1] = '\0';
    usec_t end = component_link_now() + PATIENCE_MSEC * USEC_PER_MSEC;
    int r = 0;
    unsigned refused = 0;
    while (refused < 50 && component_link_now() < end) { // until the kernel's buffers are full, too
        snprintf(body, 16, "%08u", sent);
        body[8] = 'x';
        r = send_body(f, body);
        if (r == 0) {
            sent++;
            refused = 0;
        } else {
            assert_int_equal(r, -ENOBUFS);
            refused++;
            event_base_loop(f->base, EVLOOP_ONCE);
        }
    }
    assert_int_equal(r, -ENOBUFS);
    assert_true(sent * 1000 > quick.queue_bytes * 9 / 10);
    assert_true(sent * 1000 < quick.queue_bytes + (32 << 20));
    assert_true(state_is(f, 'U'));

    server_read(&f->server, true);
    RUN_UNTIL(f, send_body(f, "recovered") == 0);
    RUN_UNTIL(f, server_ends_with(&f->server, "recovered</body></message>"));
    const char *p = f->server.in;
    size_t each = (size_t)(strstr(p, "</message>") - p) + strlen("</message>");
    for (unsigned i = 0; i < sent; i++, p += each) {
        snprintf(body, 32, "<body>%08ux", i);
        assert_memory_equal(strchr(p, '>') + 1, body, strlen(body));
    }
    assert_string_equal(f->states.data, "U");
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

static unsigned low_sockets(void)
{
    unsigned n = 0;
    for (int fd = 0; fd < FD_SETSIZE; fd++) {
        int type;
        socklen_t len = sizeof(type);
        struct sockaddr_storage ss;
        socklen_t ss_len = sizeof(ss);
        if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0 &&
            getsockname(fd, (struct sockaddr *)&ss, &ss_len) == 0 && ss.ss_family == AF_INET) {
            n++;
            assert_int_equal(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
        }
    }
    return n;
}

static unsigned fill_low_numbers(int opened[2048])
{
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_cur < 2048) {
        limit.rlim_cur = 2048;
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    }
    unsigned count = 0;
    do {
        opened[count] = open("/dev/null", O_RDONLY | O_CLOEXEC);
        assert_true(opened[count] >= 0);
    } while (opened[count++] < 1100);
    return count;
}

// Between the library's close() and the refilling another thread may take the number.
static void low_descriptors_survive_thieves(void **state)
{
    struct lowfd low;
    assert_int_equal(lowfd_init(&low), 0);
    int opened[2048];
    unsigned count = fill_low_numbers(opened);
    int thief[LOWFD_RESERVE];
    for (unsigned i = 0; i < LOWFD_RESERVE; i++) {
        int fd = lowfd_move(&low, dup(opened[0]));
        assert_true(fd >= 0 && fd < FD_SETSIZE);
        close(fd);
        thief[i] = dup(opened[0]);
        assert_int_equal(thief[i], fd);
        lowfd_refill(&low);
    }
    int high = dup(opened[0]);
    assert_true(high >= FD_SETSIZE);
    assert_int_equal(lowfd_move(&low, high), -EMFILE);
    close(thief[0]);
    lowfd_refill(&low);
    int fd = lowfd_move(&low, high);
    assert_int_equal(fd, thief[0]);
    assert_int_equal(fcntl(high, F_GETFD), -1); // it was moved, not copied
    close(fd);
    for (unsigned i = 1; i < LOWFD_RESERVE; i++)
        close(thief[i]);
    lowfd_free(&low);
    for (unsigned i = 0; i < count; i++)
        close(opened[i]);
}

// libstrophe calls select(): a number of 1,024 or more overruns its fd_set.
static void the_socket_is_below_1024_whatever_is_open(void **state)
{
    struct fixture *f = *state;
    uint16_t port = closed_port();
    start_with(f, NULL, "127.0.0.1", port);
    unsigned before = low_sockets(); // the test program may have been started with some
    int opened[2048];
    unsigned count = fill_low_numbers(opened);

    server_start(&f->server, f->base, port);
    for (unsigned i = 1; i <= 10; i++) {
        RUN_UNTIL(f, f->server.connections == i && state_is(f, 'U'));
        assert_int_equal(low_sockets(), before + 1);
        server_hang_up(&f->server);
        RUN_UNTIL(f, state_is(f, 'D'));
        assert_int_equal(low_sockets(), before);
    }
    // Without any there is no component, and an honest error.
    struct component *second = NULL;
    struct component_config config = {"relay.test", "x", "127.0.0.1", 1};
    struct component_handler handler = {f, on_stanza, on_state};
    assert_int_equal(component_new(f->base, NULL, &config, &handler, &second), -EMFILE);
    for (unsigned i = 0; i < count; i++)
        close(opened[i]);
}

// libstrophe alone, as its documentation tells, in a process that may die.
static void bare_child(uint16_t port, bool prepared) __attribute__((noreturn));

static int child_on_stanza(xmpp_conn_t *conn, xmpp_stanza_t *stanza, void *ctx)
{
    _exit(0);
}

static void child_on_event(xmpp_conn_t *conn, xmpp_conn_event_t event, int error,
                           xmpp_stream_error_t *stream_error, void *ctx)
{
    if (event != XMPP_CONN_CONNECT)
        _exit(2);
    xmpp_handler_add(conn, child_on_stanza, NULL, "message", NULL, NULL);
}

static void bare_child(uint16_t port, bool prepared)
{
    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
    signal(SIGSEGV, SIG_DFL); // the sanitizers would make an exit status of it
    signal(SIGBUS, SIG_DFL);
    alarm(10);
    xmpp_initialize();
    xmpp_ctx_t *ctx = xmpp_ctx_new(NULL, NULL);
    xmpp_conn_t *conn = xmpp_conn_new(ctx);
    xmpp_conn_set_jid(conn, "relay.test");
    xmpp_conn_set_pass(conn, SERVER_SECRET);
    if (prepared && component_link_prepare(conn) < 0)
        _exit(3);
    xmpp_conn_set_sockopt_callback(conn, NULL);
    if (xmpp_connect_component(conn, "127.0.0.1", port, child_on_event, NULL) != XMPP_EOK)
        _exit(4);
    for (;;)
        xmpp_run_once(ctx, 10);
}

static int fate_of_child(struct fixture *f, bool prepared)
{
    server_start(&f->server, f->base, 0);
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0)
        bare_child(f->server.port, prepared);
    assert_true(pid > 0);
    int status = 0;
    bool greeted = false;
    pid_t done;
    while ((done = waitpid(pid, &status, WNOHANG)) == 0) { // the child's alarm bounds it
        event_base_loop(f->base, EVLOOP_ONCE);
        if (f->server.up && !greeted) {
            greeted = true;
            server_send(&f->server, "<message from='a@b' to='relay.test'><body>x</body></message>");
        }
    }
    assert_int_equal(done, pid);
    assert_int_equal(f->server.good_handshakes, 1); // it came as far as that
    server_stop(&f->server);
    return status;
}

static void libstrophe_still_needs_to_be_prepared(void **state)
{
    struct fixture *f = *state;
    int status = fate_of_child(f, true);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        fail_msg("component_link_prepare() does not help with this libstrophe: status %x", status);
    status = fate_of_child(f, false);
    if (!WIFSIGNALED(status) || WTERMSIG(status) == SIGALRM)
        fail_msg("this libstrophe serves components without component_link_prepare(), which can "
                 "go: status %x",
                 status);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(libstrophe_still_needs_to_be_prepared),
        TEST(it_joins_and_the_hash_is_right),
        TEST(the_configuration_is_copied),
        TEST(impossible_configurations_are_refused),
        TEST(refused_connections_back_off),
        TEST(a_late_refusal_is_named),
        TEST(a_silent_server_is_left),
        TEST(names_are_resolved_and_all_addresses_tried),
        TEST(a_name_without_an_address_is_retried),
        TEST(stanzas_keep_their_order),
        TEST(handlers_may_send),
        TEST(stanzas_arrive_as_they_were_meant),
        TEST(a_stanza_may_be_cut_anywhere),
        TEST(large_stanzas_lose_their_content),
        TEST(bombs_cost_a_connection_and_little_time),
        TEST(it_comes_back_when_the_server_closes),
        TEST(conflict_is_named),
        TEST(an_unknown_host_is_named),
        TEST(a_wrong_secret_is_named),
        TEST(other_stream_errors_are_logged),
        TEST(incomplete_stanzas_are_not_sent),
        TEST(a_server_that_does_not_read_costs_bounded_memory),
        TEST(white_space_keeps_the_stream_alive),
        TEST(freeing_flushes_and_closes_the_stream),
        TEST(freeing_is_bounded_in_time),
        TEST(freeing_before_the_connection_is_up),
        TEST(idling_costs_nothing),
        TEST(low_descriptors_survive_thieves),
        TEST(the_socket_is_below_1024_whatever_is_open),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
