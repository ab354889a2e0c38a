// SPDX-License-Identifier: ISC
// The IQ router: what the component says of itself, what it refuses and how, and the answers that
// it carries between clients that answer early, late, twice, wrongly or never.
#include "codec/jingle.h"
#include "lib/board.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define RELAY "relay.example.org"
#define DISCO "<query xmlns='http://jabber.org/protocol/disco#info'/>"

static void ask(struct board *b, const char *to, const char *type, const char *payload)
{
    board_put(b, "<iq type='%s' from='" ALICE "' to='%s' id='q'>%s</iq>", type, to, payload);
}

// ---- the component

static void the_component_says_what_it_is(void **state)
{
    struct board *b = board_new(NULL);
    struct xml *query;
    bool lists_itself = false;

    ask(b, RELAY, "get", DISCO);
    query = xml_child(board_take(b), "query", NS_DISCO_INFO);
    assert_string_equal(xml_attr(b->last, "type"), "result");
    assert_string_equal(xml_attr(b->last, "from"), RELAY);
    assert_string_equal(xml_attr(b->last, "to"), ALICE);
    assert_string_equal(xml_attr(b->last, "id"), "q");
    assert_non_null(query);
    assert_string_equal(xml_attr(xml_child(query, "identity", NULL), "category"), "component");
    for (struct xml *f = xml_child(query, "feature", NULL); f; f = xml_next(f, "feature", NULL))
        lists_itself |= strcmp(xml_attr(f, "var"), NS_DISCO_INFO) == 0;
    assert_true(lists_itself);

    ask(b, RELAY, "get", "<query xmlns='http://jabber.org/protocol/disco#info' node='x'/>");
    board_expect_error(b, ALICE, "q", "item-not-found", NULL);
    ask(b, RELAY, "get", "<query xmlns='http://jabber.org/protocol/disco#items'/>");
    board_expect(b, "<iq type='result' from='" RELAY "' to='" ALICE "' id='q'>"
                    "<query xmlns='http://jabber.org/protocol/disco#items'/></iq>");
    board_free(b);
}

// Every feature that the component lists is answered.
static void what_is_listed_is_answered(void **state)
{
    struct board *b = board_new(NULL);

    ask(b, RELAY, "get", "<ping xmlns='urn:xmpp:ping'/>");
    board_expect_result(b, ALICE, "q");
    ask(b, RELAY, "get", "<query xmlns='jabber:iq:version'/>");
    board_expect(b,
                 "<iq type='result' from='" RELAY "' to='" ALICE "' id='q'>"
                 "<query xmlns='jabber:iq:version'><name>jingle-relayd</name><version>%s</version>"
                 "</query></iq>",
                 RELAYD_VERSION);
    board_wait(b, 5 * USEC_PER_SEC + 1);
    ask(b, RELAY, "get", "<query xmlns='jabber:iq:last'/>");
    board_expect(b, "<iq type='result' from='" RELAY "' to='" ALICE "' id='q'>"
                    "<query xmlns='jabber:iq:last' seconds='5'/></iq>");
    board_free(b);
}

static void unknown_requests_are_refused(void **state)
{
    static const char *const rows[][3] = {
        {RELAY, "get", "<query xmlns='jabber:iq:roster'/>"},
        {RELAY, "set", "<query xmlns='http://jabber.org/protocol/disco#info'/>"},
        {RELAY, "set", "<ping xmlns='urn:xmpp:ping'/>"},
        {RELAY, "get", "<ping xmlns='urn:xmpp:other'/>"},
        {RELAY, "set",
         "<jingle xmlns='urn:xmpp:jingle:1' action='session-initiate' sid='s'><content/></jingle>"},
        {RELAY "/resource", "set", "<x xmlns='urn:x'/>"},
        {BOB_AS, "get", "<vCard xmlns='vcard-temp'/>"},
        {BOB_AS, "get", "<query xmlns='jabber:iq:version'/>"},
        {BOB_AS, "get", "<ping xmlns='urn:xmpp:ping'/>"},
        {BOB_AS, "get", "<jingle xmlns='urn:xmpp:jingle:1' action='session-info' sid='s'/>"},
        {"bob@relay.example.org", "set", "<x xmlns='urn:x'/>"},
    };
    struct board *b = board_new(NULL);

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        ask(b, rows[i][0], rows[i][1], rows[i][2]);
        board_expect_error(b, ALICE, "q", "service-unavailable", NULL);
        assert_string_equal(xml_attr(b->last, "from"), rows[i][0]);
        board_none(b);
    }
    assert_int_equal(board_counter(b, COUNTER_STANZAS_UNKNOWN), sizeof rows / sizeof rows[0]);
    board_free(b);
}

// ---- malformed

static void malformed_iqs_are_refused(void **state)
{
    struct board *b = board_new(NULL);

    board_put(b, "<iq type='get' from='" ALICE "' to='" RELAY "' id='q'/>");
    board_expect_error(b, ALICE, "q", "bad-request", NULL);
    board_put(b, "<iq type='get' from='" ALICE "' to='" RELAY "'>" DISCO "</iq>");
    board_expect_error(b, ALICE, NULL, "bad-request", NULL);
    board_put(b, "<iq type='ask' from='" ALICE "' to='" RELAY "' id='q'>" DISCO "</iq>");
    board_expect_error(b, ALICE, "q", "bad-request", NULL);
    board_put(b, "<iq from='" ALICE "' to='" RELAY "' id='q'>" DISCO "</iq>");
    board_none(b); // it may be an answer: an answer is never answered
    assert_int_equal(board_counter(b, COUNTER_STANZAS_MALFORMED), 3);
    board_free(b);
}

static void stanzas_without_addresses_are_dropped(void **state)
{
    static const char *const stanzas[] = {
        "<iq type='get' to='" RELAY "' id='q'>" DISCO "</iq>",
        "<iq type='get' from='" ALICE "' id='q'>" DISCO "</iq>",
        "<iq type='get' from='@' to='" RELAY "' id='q'>" DISCO "</iq>",
        "<iq type='get' from='" ALICE "' to='example.org' id='q'>" DISCO "</iq>",
        "<iq type='get' from='" ALICE "' to='a@b@c' id='q'>" DISCO "</iq>",
        "<message from='" ALICE "'><body>x</body></message>",
        "<presence to='" BOB_AS "'/>",
        "<other from='" ALICE "' to='" RELAY "'/>",
        "<iq xmlns='jabber:server' type='get' from='" ALICE "' to='" RELAY "' id='q'/>",
    };
    struct board *b = board_new(NULL);

    for (size_t i = 0; i < sizeof stanzas / sizeof stanzas[0]; i++) {
        board_put(b, "%s", stanzas[i]);
        board_none(b);
    }
    assert_int_equal(board_counter(b, COUNTER_STANZAS_MALFORMED),
                     sizeof stanzas / sizeof stanzas[0]);
    board_free(b);
}

// RFC 6120 section 8.3.1
static void errors_and_results_are_never_answered(void **state)
{
    struct board *b = board_new(NULL);

    ask(b, RELAY, "error", "<error type='cancel'/>");
    ask(b, RELAY, "result", "");
    ask(b, BOB_AS, "error", "<query xmlns='jabber:iq:version'/>");
    board_put(b, "<message type='error' from='" ALICE "' to='" BOB_AS "'><body>x</body></message>");
    board_put(b, "<message type='error' from='" ALICE "' to='" BOB_AS
                 "'><propose xmlns='urn:xmpp:jingle-message:0' id='x'/></message>");
    board_put(b, "<presence type='error' from='" ALICE "' to='" BOB_AS "'/>");
    board_none(b);
    assert_int_equal(board_counter(b, COUNTER_STANZAS_LATE), 3);
    board_free(b);
}

// ---- answers that are carried

static void ring(struct board *b)
{
    bob(b, "inf", "session-info", "<ringing xmlns='urn:xmpp:jingle:apps:rtp:info:1'/>");
    board_take(b);
    assert_string_equal(xml_attr(b->last, "to"), ALICE);
}

static void ids_are_our_own_and_answers_find_back(void **state)
{
    struct board *b = board_new(NULL);

    board_offer(b);
    ring(b);
    assert_string_not_equal(xml_attr(b->last, "id"), "inf");
    board_result(b);
    board_expect_result(b, BOB, "inf");
    assert_string_equal(xml_attr(b->last, "from"), ALICE_AS);
    board_hang_up(b);
    board_free(b);
}

static void an_answer_counts_once_and_from_whom_it_was_asked(void **state)
{
    struct board *b = board_new(NULL);
    struct xml *asked;

    board_offer(b);
    ring(b);
    asked = xml_clone(b->last);
    board_put(b, "<iq type='result' from='carol@example.net/c' to='" BOB_AS "' id='%s'/>",
              xml_attr(asked, "id"));
    board_put(b, "<iq type='result' from='alice@example.org/other' to='" BOB_AS "' id='%s'/>",
              xml_attr(asked, "id"));
    board_put(b, "<iq type='result' from='" ALICE "' to='" BOB_AS "' id='r0'/>");
    board_put(b, "<iq type='result' from='" ALICE "' to='" BOB_AS "'/>");
    board_none(b);
    assert_int_equal(board_counter(b, COUNTER_STANZAS_LATE), 4);
    board_put(b, "<iq type='result' from='" ALICE "' to='" BOB_AS "' id='%s'/>",
              xml_attr(asked, "id"));
    board_expect_result(b, BOB, "inf");
    board_put(b, "<iq type='result' from='" ALICE "' to='" BOB_AS "' id='%s'/>",
              xml_attr(asked, "id"));
    board_none(b);
    assert_int_equal(board_counter(b, COUNTER_STANZAS_LATE), 5);
    xml_free(asked);
    board_hang_up(b);
    board_free(b);
}

static void errors_pass_as_they_are(void **state)
{
    struct board *b = board_new(NULL);

    board_offer(b);
    ring(b);
    board_put(b,
              "<iq type='error' from='" ALICE "' to='" BOB_AS "' id='%s'>"
              "<jingle xmlns='urn:xmpp:jingle:1' action='session-info' sid='s1' initiator='" ALICE
              "'/><error type='modify' by='example.org'><feature-not-implemented "
              "xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/><unsupported-info "
              "xmlns='urn:xmpp:jingle:errors:1'/><own xmlns='urn:own'/></error></iq>",
              xml_attr(b->last, "id"));
    board_expect(b, "<iq type='error' from='" ALICE_AS "' to='" BOB "' id='inf'>"
                    "<jingle xmlns='urn:xmpp:jingle:1' action='session-info' sid='s1' "
                    "initiator='" ALICE_AS "'/>"
                    "<error type='modify' by='example.org'><feature-not-implemented "
                    "xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/><unsupported-info "
                    "xmlns='urn:xmpp:jingle:errors:1'/><own xmlns='urn:own'/></error></iq>");
    board_hang_up(b);
    board_free(b);
}

// Some clients never answer (Asterisk, QXmpp): what only tells is taken as read.
static void what_is_not_answered_is_taken_as_read(void **state)
{
    struct board *b = board_new(NULL);
    struct xml *asked;

    board_offer(b);
    ring(b);
    asked = xml_clone(b->last);
    board_wait(b, 15 * USEC_PER_SEC - 1);
    board_none(b);
    board_wait(b, 1);
    board_expect_result(b, BOB, "inf");
    assert_int_equal(board_counter(b, COUNTER_STANZAS_TIMEOUT), 1);
    board_put(b, "<iq type='result' from='" ALICE "' to='" BOB_AS "' id='%s'/>",
              xml_attr(asked, "id"));
    board_none(b); // too late: Bob has an answer
    assert_int_equal(board_counter(b, COUNTER_STANZAS_LATE), 1);
    xml_free(asked);
    board_hang_up(b);
    board_free(b);
}

static void what_asks_for_something_is_refused_when_nobody_answers(void **state)
{
    struct board *b = board_new(NULL);

    b->restarts = false; // the answer might have been missed
    board_offer(b);
    board_accept(b);
    alice(b, "add", "content-add",
          "<content creator='initiator' name='v'><description xmlns='urn:xmpp:jingle:apps:rtp:1' "
          "media='video'/><transport xmlns='urn:xmpp:jingle:transports:ice-udp:1' ufrag='x' "
          "pwd='y'/></content>");
    board_take(b);
    assert_int_equal(board_open_paths(b), 4);
    board_wait(b, 15 * USEC_PER_SEC);
    board_expect_error(b, ALICE, "add", "remote-server-timeout", NULL);
    assert_int_equal(board_open_paths(b), 2); // nobody waits for it any more
    board_hang_up(b);
    board_free(b);
}

static void long_ids_survive(void **state)
{
    struct board *b = board_new(NULL);
    char *id = malloc(10241);

    memset(id, 'i', 10240);
    id[10240] = 0;
    board_offer(b);
    bob(b, id, "session-info", "%s", "");
    board_take(b);
    assert_in_range(strlen(xml_attr(b->last, "id")), 1, 32);
    board_result(b);
    board_expect_result(b, BOB, id);
    free(id);
    board_hang_up(b);
    board_free(b);
}

static void a_lost_connection_loses_no_state(void **state)
{
    struct board *b = board_new(NULL);

    board_offer(b);
    b->send_error = -ENOTCONN;
    bob(b, "inf", "session-info", "%s", "");
    board_none(b);
    b->send_error = 0;
    board_wait(b, 15 * USEC_PER_SEC); // nobody answered: Bob is told as ever
    board_expect_result(b, BOB, "inf");
    board_hang_up(b);
    board_free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_component_says_what_it_is),
        cmocka_unit_test(what_is_listed_is_answered),
        cmocka_unit_test(unknown_requests_are_refused),
        cmocka_unit_test(malformed_iqs_are_refused),
        cmocka_unit_test(stanzas_without_addresses_are_dropped),
        cmocka_unit_test(errors_and_results_are_never_answered),
        cmocka_unit_test(ids_are_our_own_and_answers_find_back),
        cmocka_unit_test(an_answer_counts_once_and_from_whom_it_was_asked),
        cmocka_unit_test(errors_pass_as_they_are),
        cmocka_unit_test(what_is_not_answered_is_taken_as_read),
        cmocka_unit_test(what_asks_for_something_is_refused_when_nobody_answers),
        cmocka_unit_test(long_ids_survive),
        cmocka_unit_test(a_lost_connection_loses_no_state),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
