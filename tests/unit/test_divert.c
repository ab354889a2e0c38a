// SPDX-License-Identifier: ISC
// The diverted door: what a server hands over, and what it gets back (docs/DIVERT.md). Calls from
// offer to end, and who may not speak.
#include "codec/jingle.h"
#include "lib/board.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define ICE   "urn:xmpp:jingle:transports:ice-udp:1"
#define CAROL "carol@example.net/c"
#define DAVE  "dave@example.net/d"
#define HOST                                                                                       \
    "<candidate component='1' foundation='1' generation='0' id='h' ip='192.0.2.1' network='0' "    \
    "port='5000' priority='2130706431' protocol='udp' type='host'/>"
#define CONTENT(creator, name, ufrag)                                                              \
    "<content creator='" creator "' name='" name                                                   \
    "'><description xmlns='urn:xmpp:jingle:apps:rtp:1' media='audio'/>"                            \
    "<transport xmlns='" ICE "' ufrag='" ufrag "' pwd='p'>" HOST "</transport></content>"
#define AUDIO CONTENT("initiator", "0", "ua")
#define BACK  CONTENT("initiator", "0", "ub")
#define IQ(jingle)                                                                                 \
    "<iq type='set' from='" ALICE "' to='" BOB "' id='j1'><jingle xmlns='urn:xmpp:jingle:1' "      \
    "sid='s1' " jingle "</jingle></iq>"

static struct board *offered(void)
{
    struct board *b = board_new(NULL);

    divert(b, ALICE, BOB, "session-initiate", AUDIO);
    board_sent_on(b);
    board_none(b);
    return b;
}

static struct board *accepted(void)
{
    struct board *b = offered();

    divert(b, BOB, ALICE, "session-accept", BACK);
    board_sent_on(b);
    board_none(b);
    return b;
}

static void end(struct board *b)
{
    divert(b, ALICE, BOB, "session-terminate", "<reason><success/></reason>");
    board_expect_passed(b);
    board_none(b);
    board_free(b);
}

// ---- a call

static void candidates_are_all_that_is_added(void **state)
{
    struct board *b = board_new(NULL);
    struct xml *iq, *want;

    board_divert(b, "example.org",
                 IQ("action='session-initiate' initiator='" ALICE "' responder='" BOB "'>" AUDIO));
    iq = board_sent_on(b);
    assert_string_equal(xml_attr(b->last, "to"), "example.org");
    assert_non_null(relay_candidate(transport_of(iq, "0"), 1, FAMILY_V4));
    assert_non_null(relay_candidate(transport_of(iq, "0"), 2, FAMILY_V4));
    xml_free(relay_candidate(transport_of(iq, "0"), 1, FAMILY_V4));
    xml_free(relay_candidate(transport_of(iq, "0"), 2, FAMILY_V4));
    want = parse(IQ("action='session-initiate' initiator='" ALICE "' responder='" BOB "'>" AUDIO));
    assert_true(xml_equal(iq, want));
    xml_free(want);
    assert_string_equal(b->path[0].ufrag[SIDE_INITIATOR], "ua");
    assert_int_equal(board_counter(b, COUNTER_DIVERTED_OPENED), 1);
    assert_int_equal(board_counter(b, COUNTER_DIVERTED_RINGING), 1);
    assert_int_equal(board_counter(b, COUNTER_DIVERT_SENT_ON), 1);
    end(b);
}

static void each_side_is_offered_its_own_port(void **state)
{
    struct board *b = offered();
    const struct xml *c;

    divert(b, BOB, ALICE, "session-accept", BACK);
    c = relay_candidate(transport_of(board_sent_on(b), "0"), 1, FAMILY_V4);
    assert_non_null(c);
    assert_int_equal(atoi(xml_attr(c, "port")), b->path[0].relay[SIDE_INITIATOR][0].port);
    assert_string_equal(b->path[0].ufrag[SIDE_RESPONDER], "ub");
    assert_int_equal(board_counter(b, COUNTER_DIVERTED_ACTIVE), 1);
    end(b);
}

static void what_is_not_changed_passes(void **state)
{
    struct board *b = accepted();

    divert(b, ALICE, BOB, "session-info", "<mute xmlns='urn:xmpp:jingle:apps:rtp:info:1'/>");
    board_expect_passed(b);
    divert(b, BOB, ALICE, "transport-info", BACK);
    board_expect_passed(b);
    assert_int_equal(board_counter(b, COUNTER_DIVERT_PASSED_NOTHING_TO_ADD), 2);
    end(b);
}

// What Alice trickles need not wait for an answer that is never seen here.
static void the_server_keeps_the_order(void **state)
{
    struct board *b = board_new(NULL);

    b->late = true;
    divert(b, ALICE, BOB, "session-initiate", AUDIO);
    divert(b, ALICE, BOB, "transport-info", AUDIO);
    board_none(b);
    board_opened(b, 0);
    board_none(b);
    board_opened(b, 1);
    assert_int_equal(count_children(transport_of(board_sent_on(b), "0"), "candidate"), 3);
    board_expect_passed(b);
    board_none(b);
    end(b);
}

static void hang_up(struct board *b, const char *from, const char *to)
{
    divert(b, from, to, "session-terminate", "%s", "");
    board_expect_passed(b);
}

// Strangers use up neither what Bob may open, nor what they may open with Alice.
static void calls_from_elsewhere_have_an_account_of_their_own(void **state)
{
    struct signal_config config = board_config();
    struct board *b;

    config.calls.calls_per_user = 1;
    b = board_new(&config);
    divert(b, CAROL, BOB, "session-initiate", AUDIO);
    board_sent_on(b);
    divert(b, DAVE, BOB, "session-initiate", AUDIO);
    board_expect_passed(b); // one of them is with Bob
    assert_int_equal(board_counter(b, COUNTER_CALLS_REFUSED_PER_JID), 1);
    assert_int_equal(board_counter(b, COUNTER_DIVERT_PASSED_LIMIT), 1);
    divert(b, DAVE, ALICE, "session-initiate", AUDIO);
    board_sent_on(b);
    divert(b, BOB, DAVE, "session-initiate", AUDIO);
    board_sent_on(b); // his own
    divert(b, BOB, ALICE, "session-initiate", AUDIO);
    board_expect_passed(b); // his second
    assert_int_equal(board_counter(b, COUNTER_CALLS_REFUSED_PER_JID), 2);
    hang_up(b, BOB, CAROL);
    divert(b, DAVE, "bob@example.org/other", "session-initiate", AUDIO);
    board_sent_on(b); // as all clients of Bob's count as one
    hang_up(b, DAVE, "bob@example.org/other");
    hang_up(b, ALICE, DAVE);
    hang_up(b, BOB, DAVE);
    board_free(b);
}

// XEP-0167 section 4; the rest of the bundle and of the components is given back.
static void the_answer_settles_components(void **state)
{
    static const char mux[] =
        "<content creator='initiator' name='0'><description "
        "xmlns='urn:xmpp:jingle:apps:rtp:1' media='audio'><rtcp-mux/></description>"
        "<transport xmlns='" ICE "' ufrag='%s' pwd='p'/></content>";
    struct board *b = board_new(NULL);

    divert(b, ALICE, BOB, "session-initiate", mux, "ua");
    board_sent_on(b);
    assert_int_equal(board_open_paths(b), 2);
    divert(b, BOB, ALICE, "session-accept", mux, "ub");
    assert_int_equal(count_children(transport_of(board_sent_on(b), "0"), "candidate"), 1);
    assert_int_equal(board_open_paths(b), 1);
    end(b);
}

static void a_replacement_has_paths_of_its_own(void **state)
{
    struct board *b = accepted();

    divert(b, ALICE, BOB, "transport-replace", CONTENT("initiator", "0", "uc"));
    assert_non_null(relay_candidate(transport_of(board_sent_on(b), "0"), 1, FAMILY_V4));
    assert_int_equal(board_open_paths(b), 4);
    divert(b, BOB, ALICE, "transport-accept", CONTENT("initiator", "0", "ud"));
    assert_non_null(relay_candidate(transport_of(board_sent_on(b), "0"), 1, FAMILY_V4));
    assert_int_equal(board_open_paths(b), 2);
    assert_true(b->path[0].closed);
    end(b);
}

static void a_restart_has_candidates(void **state)
{
    struct board *b = accepted();
    const struct xml *transport;

    divert(b, ALICE, BOB, "transport-info",
           "<content creator='initiator' name='0'><transport xmlns='" ICE
           "' ufrag='new' pwd='p'/></content>");
    transport = transport_of(board_sent_on(b), "0");
    assert_non_null(relay_candidate(transport, 1, FAMILY_V4));
    assert_string_equal(xml_attr(relay_candidate(transport, 1, FAMILY_V4), "generation"), "1");
    assert_string_equal(b->path[0].ufrag[SIDE_INITIATOR], "new");
    assert_int_equal(b->paths, 2);
    end(b);
}

// ---- the end

static void the_end_waits_for_nothing(void **state)
{
    struct board *b = board_new(NULL);

    b->late = true;
    divert(b, ALICE, BOB, "session-initiate", AUDIO);
    divert(b, ALICE, BOB, "transport-info", AUDIO);
    board_put(b, "<iq type='set' id='d2' from='example.org' to='relay.example.org'><divert "
                 "xmlns='urn:xmpp:jingle-relayd:divert:1'><forwarded xmlns='urn:xmpp:forward:0'>"
                 "<iq xmlns='jabber:client' type='set' from='" ALICE "' to='" BOB "' id='j2'>"
                 "<jingle xmlns='urn:xmpp:jingle:1' action='session-terminate' sid='s1'>"
                 "<reason><cancel/></reason></jingle></iq></forwarded></divert></iq>");
    board_expect_passed(b); // the offer ...
    board_expect_passed(b);
    board_expect(b, "<iq type='result' id='d2' from='relay.example.org' to='example.org'>"
                    "<divert xmlns='urn:xmpp:jingle-relayd:divert:1'><pass/></divert></iq>");
    board_none(b); // ... has left before its end
    assert_string_equal(b->ended_reason, "cancel");
    assert_int_equal(board_counter(b, COUNTER_DIVERT_PASSED_SESSION_ENDED), 2);
    board_free(b);
}

static void nobody_speaks_in_their_names(void **state)
{
    struct board *b = offered();

    board_wait(b, 120 * USEC_PER_SEC);
    board_none(b);
    assert_string_equal(b->ended_reason, "timeout");
    divert(b, BOB, ALICE, "session-accept", BACK); // it rang for longer: the call goes on
    board_expect_passed(b);
    assert_int_equal(board_counter(b, COUNTER_DIVERT_PASSED_UNKNOWN_SESSION), 1);
    board_free(b);
    b = accepted();
    signal_end_all(b->signal, "gone", b->now);
    board_settle(b);
    board_none(b);
    board_free(b);
}

static void expect_question(struct board *b, const char *to)
{
    board_expect(b,
                 "<iq type='get' from='relay.example.org' to='%s' id='*'>"
                 "<query xmlns='http://jabber.org/protocol/disco#info'/></iq>",
                 to);
}

static void silent(struct board *b)
{
    for (unsigned i = 0; i < b->paths; i++) {
        if (!b->path[i].closed)
            board_event(b, i, EVENT_SILENT);
    }
    board_wait(b, 300 * USEC_PER_SEC);
}

// A direct path carries it: ports are given back, the component asks in its own name.
static void a_direct_call_gives_its_ports_back(void **state)
{
    struct board *b = accepted();

    b->no_disco = true;
    silent(b);
    assert_int_equal(board_open_paths(b), 0);
    expect_question(b, ALICE);
    expect_question(b, BOB);
    board_none(b);
    assert_int_equal(signal_calls(b->signal), 1);
    divert(b, ALICE, BOB, "transport-info", CONTENT("initiator", "0", "new"));
    assert_non_null(relay_candidate(transport_of(board_sent_on(b), "0"), 1, FAMILY_V4));
    assert_int_equal(board_open_paths(b), 2);
    end(b);
}

static void who_is_gone_ends_the_call(void **state)
{
    struct board *b = accepted();

    b->no_disco = true;
    silent(b);
    board_take(b);
    board_error(b, "service-unavailable");
    assert_string_equal(b->ended_reason, "gone");
    board_clear(b);
    board_free(b);
}

static void strangers_are_not_asked(void **state)
{
    struct board *b = board_new(NULL);

    b->no_disco = true;
    divert(b, BOB, CAROL, "session-initiate", AUDIO);
    expect_question(b, BOB);
    board_sent_on(b); // it did not wait: nobody was asked
    divert(b, CAROL, BOB, "session-accept", BACK);
    board_sent_on(b);
    silent(b);
    expect_question(b, BOB);
    board_none(b);
    divert(b, BOB, CAROL, "session-terminate", "%s", "");
    board_expect_passed(b);
    board_free(b);
}

static void gone(struct board *b, const char *server, const char *jid)
{
    board_put(b,
              "<iq type='set' id='g1' from='%s' to='relay.example.org'>"
              "<gone xmlns='urn:xmpp:jingle-relayd:divert:1' jid='%s'/></iq>",
              server, jid);
}

static void a_server_says_who_is_gone(void **state)
{
    struct board *b = accepted();

    divert(b, CAROL, BOB, "session-initiate", AUDIO);
    board_sent_on(b);
    gone(b, "example.org", "alice@example.org/other");
    board_expect_result(b, "example.org", "g1");
    assert_int_equal(signal_calls(b->signal), 2);
    gone(b, "example.org", ALICE);
    board_expect_result(b, "example.org", "g1");
    assert_int_equal(signal_calls(b->signal), 1);
    assert_string_equal(b->ended_reason, "gone");
    gone(b, "example.org", BOB);
    board_expect_result(b, "example.org", "g1");
    board_none(b);
    board_free(b);
}

static void only_of_its_own_users(void **state)
{
    static const struct {
        const char *server, *jid, *condition;
    } rows[] = {
        {"example.org", "carol@example.net/c", "bad-request"},
        {"example.org", "alice@example.org", "bad-request"},
        {"example.org", "", "bad-request"},
        {"example.net", "carol@example.net/c", "forbidden"},
        {"eve@example.org/e", ALICE, "forbidden"},
        {"eve@example.org", ALICE, "forbidden"},
        {"example.org/eve", ALICE, "forbidden"},
    };
    struct board *b = accepted();

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        gone(b, rows[i].server, rows[i].jid);
        board_expect_error(b, rows[i].server, "g1", rows[i].condition, NULL);
    }
    assert_int_equal(signal_calls(b->signal), 1);
    end(b);
}

// ---- time

static void a_slow_relay_lets_it_pass(void **state)
{
    struct board *b = board_new(NULL);

    b->late = true;
    divert(b, ALICE, BOB, "session-initiate", AUDIO);
    board_wait(b, USEC_PER_SEC);
    divert(b, ALICE, BOB, "transport-info", AUDIO);
    board_none(b);
    board_wait(b, 500 * USEC_PER_MSEC);
    board_expect_passed(b);
    board_none(b);
    board_opened(b, 0);
    board_opened(b, 1);
    // The candidates come after all.
    assert_non_null(relay_candidate(transport_of(board_sent_on(b), "0"), 2, FAMILY_V4));
    divert(b, BOB, ALICE, "session-accept", BACK);
    assert_non_null(relay_candidate(transport_of(board_sent_on(b), "0"), 2, FAMILY_V4));
    assert_int_equal(board_counter(b, COUNTER_DIVERT_PASSED_LATE), 1);
    assert_int_equal(signal_divert_times(b->signal)->count, 3);
    assert_int_equal(signal_divert_times(b->signal)->sum, 2000 * USEC_PER_MSEC);
    end(b);
}

static void ports_that_never_open(void **state)
{
    struct board *b = board_new(NULL);

    b->late = true;
    divert(b, ALICE, BOB, "session-initiate", AUDIO);
    board_wait(b, 1500 * USEC_PER_MSEC);
    board_expect_passed(b);
    for (int i = 0; i < 3; i++) {
        divert(b, BOB, ALICE, i == 0 ? "session-accept" : "transport-info", BACK);
        board_none(b);
        board_wait(b, 1500 * USEC_PER_MSEC);
        board_expect_passed(b);
    }
    assert_int_equal(board_counter(b, COUNTER_DIVERTED_ACTIVE), 1);
    board_failed(b, 0, -EMFILE);
    board_failed(b, 1, -EMFILE);
    end(b);
}

// ---- what clients can read

static void an_offer_waits_little_for_a_client(void **state)
{
    struct board *b = board_new(NULL);

    b->no_disco = true;
    divert(b, ALICE, BOB, "session-initiate", AUDIO);
    expect_question(b, BOB);
    expect_question(b, ALICE);
    board_wait(b, 249 * USEC_PER_MSEC);
    board_none(b);
    board_wait(b, USEC_PER_MSEC);
    board_sent_on(b);
    divert(b, ALICE, BOB, "session-terminate", "%s", "");
    board_expect_passed(b);
    divert(b, ALICE, BOB, "session-initiate", AUDIO); // Bob is not waited for again
    expect_question(b, ALICE);
    board_sent_on(b);
    end(b);
}

static void clients_are_asked_once(void **state)
{
    struct board *b = board_new(NULL);
    const struct xml *divert_element;

    b->client[SIDE_RESPONDER] = "Miranda NG";
    for (int i = 0; i < 3; i++) {
        divert(b, ALICE, BOB, "session-initiate", AUDIO);
        board_sent_on(b);
        // The candidates again, one by one: a client of its kind reads none of the offer's.
        divert_element = xml_child(b->last, "divert", NULL);
        assert_int_equal(count_children(divert_element, "forwarded"), 4);
        for (const struct xml *x = divert_element->first->next; x; x = x->next) {
            assert_string_equal(xml_attr(x->first, "from"), ALICE);
            assert_string_equal(xml_attr(x->first, "to"), BOB);
            assert_int_equal(strlen(xml_attr(x->first, "id")), 17);
        }
        divert(b, ALICE, BOB, "session-terminate", "%s", "");
        board_expect_passed(b);
        b->no_disco = true; // whatever is asked from now on stays unanswered
        board_none(b);
    }
    gone(b, "example.org", BOB);
    board_expect_result(b, "example.org", "g1");
    divert(b, ALICE, BOB, "session-initiate", AUDIO);
    expect_question(b, BOB);
    board_wait(b, 250 * USEC_PER_MSEC);
    board_sent_on(b);
    assert_int_equal(count_children(xml_child(b->last, "divert", NULL), "forwarded"), 1);
    end(b);
}

// Servers take 128 stanzas in the place of one (docs/DIVERT.md, section 3), and what the relay adds
// is among them.
static void more_candidates_than_may_be_sent_alone(void **state)
{
    static const unsigned counts[] = {124, 125, 126, 200};

    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        struct signal_config config = board_config();
        struct buf many = {0};
        struct board *b;
        const struct xml *x;
        unsigned forwarded = 1, relays = 0;

        config.candidates_max = 200;
        b = board_new(&config);
        b->client[SIDE_RESPONDER] = "Miranda NG";
        for (unsigned n = 0; n < counts[i]; n++)
            buf_printf(&many, "%s", HOST);
        divert(b, ALICE, BOB, "session-initiate",
               "<content creator='initiator' name='0'><description "
               "xmlns='urn:xmpp:jingle:apps:rtp:1' media='audio'/><transport xmlns='" ICE
               "' ufrag='u' pwd='p'>%s</transport></content>",
               many.data);
        x = xml_next(board_sent_on(b)->parent, "forwarded", NULL);
        for (; x; x = xml_next(x, "forwarded", NULL)) {
            const struct xml *transport = transport_of(x->first, "0");

            forwarded++;
            assert_int_equal(count_children(transport, "candidate"), 1);
            relays += relay_candidate(transport, 1, FAMILY_V4) != NULL;
            relays += relay_candidate(transport, 2, FAMILY_V4) != NULL;
        }
        assert_int_equal(forwarded, counts[i] + 3 < 128 ? counts[i] + 3 : 128);
        assert_int_equal(relays, 2);
        buf_free(&many);
        end(b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(candidates_are_all_that_is_added),
        cmocka_unit_test(each_side_is_offered_its_own_port),
        cmocka_unit_test(what_is_not_changed_passes),
        cmocka_unit_test(the_server_keeps_the_order),
        cmocka_unit_test(calls_from_elsewhere_have_an_account_of_their_own),
        cmocka_unit_test(the_answer_settles_components),
        cmocka_unit_test(a_replacement_has_paths_of_its_own),
        cmocka_unit_test(a_restart_has_candidates),
        cmocka_unit_test(the_end_waits_for_nothing),
        cmocka_unit_test(nobody_speaks_in_their_names),
        cmocka_unit_test(a_direct_call_gives_its_ports_back),
        cmocka_unit_test(who_is_gone_ends_the_call),
        cmocka_unit_test(strangers_are_not_asked),
        cmocka_unit_test(a_server_says_who_is_gone),
        cmocka_unit_test(only_of_its_own_users),
        cmocka_unit_test(a_slow_relay_lets_it_pass),
        cmocka_unit_test(ports_that_never_open),
        cmocka_unit_test(an_offer_waits_little_for_a_client),
        cmocka_unit_test(clients_are_asked_once),
        cmocka_unit_test(more_candidates_than_may_be_sent_alone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
