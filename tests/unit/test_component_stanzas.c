// SPDX-License-Identifier: ISC
// What passes over the connection to the XMPP server: order, meaning, stanzas that are too large,
// and a server that does not read.
#include "lib_component.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

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
static void bombs_cost_little_time(void **state)
{
    struct fixture *f = *state;
    start(f);
    RUN_UNTIL(f, state_is(f, 'U'));
    clock_t begun = clock();
    server_send(&f->server, iq_head);
    send_repeated(f, "<a/>", 75000);
    expect_head_only(f, 1);
    server_send(&f->server, iq_head);
    send_repeated(f, "<a>", 75000);
    send_repeated(f, "</a>", 75000);
    expect_head_only(f, 2);
    server_send(&f->server, iq_head);
    send_attributes(f, 28000);
    expect_head_only(f, 3);
    assert_true(clock() - begun < 20 * CLOCKS_PER_SEC); // under sanitizers it would be a minute

    // Long texts are no bombs.
    server_send(&f->server, iq_head);
    send_repeated(f, "&lt;\n", 20000);
    server_send(&f->server, "</iq>");
    RUN_UNTIL(f, f->stanzas == 4);
    assert_int_equal(strlen(xml_text(f->last)), 40000);
    assert_string_equal(f->states.data, "U"); // nobody else has noticed
}

// expat keeps each for as long as the connection lasts.
static void new_names_cost_a_connection_in_the_end(void **state)
{
    struct fixture *f = *state;
    unsigned stanzas = 0;
    start(f);
    RUN_UNTIL(f, state_is(f, 'U'));
    for (unsigned name = 0; f->server.connections == 1;) {
        struct buf text = {0};
        buf_puts(&text, iq_head);
        for (unsigned i = 0; i < 2000; i++)
            buf_printf(&text, "<a%x/>", name++);
        buf_puts(&text, "</iq>");
        server_send(&f->server, text.data);
        buf_free(&text);
        RUN_UNTIL(f, f->stanzas == stanzas + 1 || f->server.connections == 2);
        assert_true(++stanzas < 1000);
    }
    assert_true(stanzas > 20);
    RUN_UNTIL(f, state_is(f, 'U'));
    assert_int_equal(count_in(&f->log, "it sent so many elements and names"), 1);
}

// expat keeps its open tags for the next connection, which must not be blamed for them.
static void a_deep_stanza_is_forgotten_with_its_connection(void **state)
{
    struct fixture *f = *state;
    start(f);
    RUN_UNTIL(f, state_is(f, 'U'));
    server_send(&f->server, iq_head);
    send_repeated(f, "<a xmlns='u'>", 75000);
    RUN_UNTIL(f, f->server.connections == 2 && state_is(f, 'U'));
    server_send(&f->server, iq_head);
    expect_head_only(f, 1);
    assert_int_equal(f->server.connections, 2);
}

// Whoever writes a prefix before them is not the server, which vouches for "from" alone.
static void attributes_of_others_are_no_address(void **state)
{
    struct fixture *f = *state;
    start(f);
    RUN_UNTIL(f, state_is(f, 'U'));
    server_send(&f->server,
                "<iq xmlns:p='urn:p' xmlns:q='urn:q' p:from='example.org' p:to='x' p:lang='en' "
                "type='set' id='1' from='eve@example.org/x' to='relay.test' xml:lang='de' "
                "q:from='example.org' q:to='x' q:type='get' q:lang='en'>"
                "<a p:b='1' b='2' q:b='3'/></iq>");
    RUN_UNTIL(f, f->stanzas == 1);
    assert_string_equal(xml_attr(f->last, "from"), "eve@example.org/x");
    assert_string_equal(xml_attr(f->last, "to"), "relay.test");
    assert_string_equal(xml_attr(f->last, "type"), "set");
    for (const struct xml_attr *a = f->last->attrs; a; a = a->next) {
        if (strcmp(a->name, "lang") == 0)
            assert_string_equal(a->value, "de");
    }
    assert_string_equal(xml_attr(f->last->first, "b"), "2");
}

static void what_the_server_would_not_take_is_not_sent(void **state)
{
    struct fixture *f = *state;
    struct buf text = {0};
    start(f);
    RUN_UNTIL(f, state_is(f, 'U'));
    for (unsigned i = 0; i < 130000; i++) // each of them takes four bytes
        buf_puts(&text, ">");
    assert_int_equal(send_body(f, text.data), -EMSGSIZE);
    text.data[100000] = '\0';
    assert_int_equal(send_body(f, text.data), 0);
    RUN_UNTIL(f, server_ends_with(&f->server, "&gt;</body></message>"));
    buf_free(&text);
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

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(stanzas_keep_their_order),
        TEST(handlers_may_send),
        TEST(stanzas_arrive_as_they_were_meant),
        TEST(a_stanza_may_be_cut_anywhere),
        TEST(large_stanzas_lose_their_content),
        TEST(bombs_cost_little_time),
        TEST(new_names_cost_a_connection_in_the_end),
        TEST(a_deep_stanza_is_forgotten_with_its_connection),
        TEST(attributes_of_others_are_no_address),
        TEST(what_the_server_would_not_take_is_not_sent),
        TEST(incomplete_stanzas_are_not_sent),
        TEST(a_server_that_does_not_read_costs_bounded_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
