// SPDX-License-Identifier: ISC
// Jingle sessions through the addressed door: every action both ways with its answers, refusals,
// states, order and glare, and the ports in every case.
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

#define ICE "urn:xmpp:jingle:transports:ice-udp:1"
#define CONTENT(creator, name, ufrag)                                                              \
    "<content creator='" creator "' name='" name                                                   \
    "'><description xmlns='urn:xmpp:jingle:apps:rtp:1' media='audio'/>"                            \
    "<transport xmlns='" ICE "' ufrag='" ufrag "' pwd='p'/></content>"
#define AUDIO CONTENT("initiator", "0", "ua")

static void end(struct board *b)
{
    board_hang_up(b);
    board_none(b);
    board_free(b);
}

static const char *action_of(const struct xml *iq)
{
    const struct xml *jingle = xml_child(iq, "jingle", NS_JINGLE);

    return jingle ? xml_attr(jingle, "action") : "";
}

// ---- identity

static void each_leg_sees_one_constant_address(void **state)
{
    struct board *b = board_new(NULL);

    board_put(b, "<iq type='set' from='" ALICE "' to='" BOB_AS "' id='i'>"
                 "<jingle xmlns='urn:xmpp:jingle:1' action='session-initiate' sid='s1' "
                 "initiator='" ALICE "' responder='" BOB_AS "'>" AUDIO "</jingle></iq>");
    board_take(b);
    assert_string_equal(xml_attr(b->last, "from"), ALICE_AS);
    assert_string_equal(xml_attr(b->last, "to"), BOB);
    assert_string_equal(xml_attr(xml_child(b->last, "jingle", NULL), "initiator"), ALICE_AS);
    assert_string_equal(xml_attr(xml_child(b->last, "jingle", NULL), "responder"), BOB);
    assert_string_equal(xml_attr(xml_child(b->last, "jingle", NULL), "sid"), "s1");
    board_result(b);
    board_expect_result(b, ALICE, "i");
    board_put(b, "<iq type='set' from='" BOB "' to='" ALICE_AS "' id='a'>"
                 "<jingle xmlns='urn:xmpp:jingle:1' action='session-accept' sid='s1' "
                 "initiator='" ALICE_AS "' responder='" BOB "'>" AUDIO "</jingle></iq>");
    board_take(b);
    assert_string_equal(xml_attr(b->last, "from"), BOB_AS);
    assert_string_equal(xml_attr(b->last, "to"), ALICE);
    assert_string_equal(xml_attr(xml_child(b->last, "jingle", NULL), "initiator"), ALICE);
    assert_string_equal(xml_attr(xml_child(b->last, "jingle", NULL), "responder"), BOB_AS);
    board_result(b);
    board_expect_result(b, BOB, "a");
    end(b);
}

// Movim writes the bare JID; absent attributes stay absent; a third party is a third party.
static void bare_and_foreign_initiators(void **state)
{
    static const struct {
        const char *given, *seen;
    } rows[] = {
        {"initiator='alice@example.org'", ALICE_AS},
        {"responder='bob@example.org'", NULL},
        {"initiator='switch@example.net/x'", "switch\\40example.net@relay.example.org/x"},
        {"initiator='not a jid@@'", "not a jid@@"},
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct board *b = board_new(NULL);
        struct xml *jingle;

        board_put(b,
                  "<iq type='set' from='" ALICE "' to='" BOB_AS "' id='i'>"
                  "<jingle xmlns='urn:xmpp:jingle:1' action='session-initiate' sid='s1' %s>" AUDIO
                  "</jingle></iq>",
                  rows[i].given);
        jingle = xml_child(board_take(b), "jingle", NULL);
        if (rows[i].seen)
            assert_string_equal(xml_attr(jingle, "initiator"), rows[i].seen);
        else
            assert_null(xml_attr(jingle, "initiator"));
        if (strstr(rows[i].given, "responder"))
            assert_string_equal(xml_attr(jingle, "responder"), BOB);
        board_result(b);
        board_clear(b);
        end(b);
    }
}

// ---- every action

static void every_action_passes_both_ways(void **state)
{
    for (int i = 0; i < JINGLE_ACTION_COUNT; i++) {
        const char *action = jingle_action_name((enum jingle_action)i);
        struct board *b = board_new(NULL);

        if (i == JINGLE_SESSION_INITIATE || i == JINGLE_SESSION_ACCEPT ||
            i == JINGLE_SESSION_TERMINATE) {
            board_free(b);
            continue; // each has tests of its own
        }
        board_offer(b);
        board_accept(b);
        alice(b, "x", action, "<content creator='initiator' name='0'/><own xmlns='urn:own'/>");
        assert_string_equal(action_of(board_take(b)), action);
        assert_string_equal(xml_attr(b->last, "to"), BOB);
        assert_non_null(xml_child(xml_child(b->last, "jingle", NULL), "own", "urn:own"));
        board_result(b);
        board_expect_result(b, ALICE, "x");
        bob(b, "y", action, "<content creator='responder' name='new'/>");
        assert_string_equal(action_of(board_take(b)), action);
        assert_string_equal(xml_attr(b->last, "to"), ALICE);
        board_error(b, "feature-not-implemented");
        board_expect_error(b, BOB, "y", "feature-not-implemented", NULL);
        end(b);
    }
}

static void both_may_end_it(void **state)
{
    struct board *b = board_new(NULL);

    board_offer(b);
    bob(b, "t", "session-terminate", "<reason><busy/></reason>");
    board_expect(b, "<iq type='set' from='" BOB_AS "' to='" ALICE "' id='*'>"
                    "<jingle xmlns='urn:xmpp:jingle:1' action='session-terminate' sid='s1'>"
                    "<reason><busy/></reason></jingle></iq>");
    assert_int_equal(signal_calls(b->signal), 0);
    assert_int_equal(board_open_paths(b), 0);
    assert_string_equal(b->ended_reason, "busy");
    assert_int_equal(b->ended_views, 2);
    board_result(b);
    board_expect_result(b, BOB, "t");
    // XEP-0166 section 6.7
    alice(b, "late", "session-info", "%s", "");
    board_expect_error(b, ALICE, "late", "item-not-found", "unknown-session");
    bob(b, "t2", "session-terminate", "%s", "");
    board_expect_error(b, BOB, "t2", "item-not-found", "unknown-session");
    board_free(b);
}

static void strangers_are_no_party(void **state)
{
    struct board *b = board_new(NULL);

    board_offer(b);
    board_put(b, "<iq type='set' from='alice@example.org/other' to='" BOB_AS "' id='x'>"
                 "<jingle xmlns='urn:xmpp:jingle:1' action='session-terminate' sid='s1'/></iq>");
    board_expect_error(b, "alice@example.org/other", "x", "item-not-found", "unknown-session");
    board_put(b, "<iq type='set' from='eve@example.org/e' to='" ALICE_AS "' id='x'>"
                 "<jingle xmlns='urn:xmpp:jingle:1' action='session-accept' sid='s1'>" AUDIO
                 "</jingle></iq>");
    board_expect_error(b, "eve@example.org/e", "x", "item-not-found", "unknown-session");
    end(b);
}

// ---- refusals

static void an_offer_may_be_refused(void **state)
{
    struct board *b = board_new(NULL);

    alice(b, "i1", "session-initiate", AUDIO);
    board_take(b);
    assert_int_equal(board_open_paths(b), 2);
    board_error(b, "service-unavailable");
    board_expect_error(b, ALICE, "i1", "service-unavailable", NULL);
    assert_int_equal(board_open_paths(b), 0);
    board_none(b);
    board_free(b);
}

static void offers_that_cannot_be_taken(void **state)
{
    static const struct {
        const char *to, *inner, *condition;
    } rows[] = {
        {BOB_AS, "action='session-initiate' sid='s'", "bad-request"}, // no content
        {BOB_AS, "action='session-initiate'", "bad-request"},         // no sid
        {BOB_AS, "action='session-initiate' sid=''", "bad-request"},
        {BOB_AS, "sid='s'", "bad-request"},
        {BOB_AS, "action='dance' sid='s'", "bad-request"},
        {BOB_AS, "action='session-info' sid='s'", "item-not-found"},
        {BOB_AS, "action='session-terminate' sid='s'", "item-not-found"},
        {"nobody@relay.example.org/x", "action='session-initiate' sid='s'", "bad-request"},
        {"nobody@relay.example.org/x", "action='session-info' sid='s'", "item-not-found"},
    };
    struct board *b = board_new(NULL);

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        board_put(b,
                  "<iq type='set' from='" ALICE "' to='%s' id='x'>"
                  "<jingle xmlns='urn:xmpp:jingle:1' %s/></iq>",
                  rows[i].to, rows[i].inner);
        board_take(b);
        assert_string_equal(xml_attr(b->last, "type"), "error");
        assert_non_null(xml_child(xml_child(b->last, "error", NULL), rows[i].condition, NULL));
        board_none(b);
    }
    board_put(b, "<iq type='set' from='" ALICE "' to='bob\\40example.org@relay.example.org' "
                 "id='x'><jingle xmlns='urn:xmpp:jingle:1' action='session-initiate' sid='s'>" AUDIO
                 "</jingle></iq>");
    board_expect_error(b, ALICE, "x", "service-unavailable", NULL);
    board_put(b, "<iq type='set' from='carol@example.net/c' to='" BOB_AS "' id='x'>"
                 "<jingle xmlns='urn:xmpp:jingle:1' action='session-initiate' sid='s'>" AUDIO
                 "</jingle></iq>");
    board_expect_error(b, "carol@example.net/c", "x", "forbidden", NULL);
    board_none(b);
    board_free(b);
}

static void shapes_that_are_wrong(void **state)
{
    struct board *b = board_new(NULL);
    struct buf many = {0};
    char *sid = malloc(10001);

    for (int i = 0; i < 65; i++)
        buf_puts(&many, "<candidate/>");
    alice(b, "i", "session-initiate",
          "<content name='0'><transport xmlns='" ICE "' ufrag='u' pwd='p'>%s</transport></content>",
          many.data);
    board_expect_error(b, ALICE, "i", "bad-request", NULL);
    alice(b, "i", "session-initiate", "<content><transport xmlns='" ICE "'/></content>");
    board_expect_error(b, ALICE, "i", "bad-request", NULL); // no name
    alice(b, "i", "session-initiate",
          "<content name='0'><transport xmlns='urn:xmpp:jingle:transports:raw-udp:1'><candidate "
          "ip='192.0.2.1' port='70000'/></transport></content>");
    board_expect_error(b, ALICE, "i", "bad-request", NULL);
    memset(sid, 's', 10000);
    sid[10000] = 0;
    board_put(b,
              "<iq type='set' from='" ALICE "' to='" BOB_AS "' id='x'><jingle "
              "xmlns='urn:xmpp:jingle:1' action='session-initiate' sid='%s'>" AUDIO
              "</jingle></iq>",
              sid);
    board_expect_error(b, ALICE, "x", "bad-request", NULL);
    assert_int_equal(board_open_paths(b), 0);
    free(sid);
    buf_free(&many);
    board_free(b);
}

static void contents_are_limited(void **state)
{
    struct board *b = board_new(NULL);
    struct buf many = {0};

    for (int i = 0; i < 33; i++)
        buf_printf(&many, "<content creator='initiator' name='%d'/>", i);
    alice(b, "i", "session-initiate", "%s", many.data);
    board_expect_error(b, ALICE, "i", "resource-constraint", NULL);
    buf_free(&many);
    board_free(b);
}

// XEP-0176 allows any credentials that ICE allows: 256 characters.
static void long_credentials_are_refused(void **state)
{
    struct board *b = board_new(NULL);
    char longest[258];

    memset(longest, 'u', 257);
    longest[257] = 0;
    alice(b, "i", "session-initiate",
          "<content name='0'><transport xmlns='" ICE "' ufrag='%s' pwd='p'/></content>", longest);
    board_expect_error(b, ALICE, "i", "bad-request", NULL);
    longest[256] = 0;
    alice(b, "i", "session-initiate",
          "<content name='0'><transport xmlns='" ICE "' ufrag='%s' pwd='p'/></content>", longest);
    board_take(b);
    board_result(b);
    board_clear(b);
    end(b);
}

static void no_ports_is_a_resource_constraint(void **state)
{
    static const struct {
        int error;
        enum counter counter;
    } rows[] = {{-EMFILE, COUNTER_CALLS_REFUSED_PORTS},
                {-ENOMEM, COUNTER_CALLS_REFUSED_MEMORY},
                {-EADDRNOTAVAIL, COUNTER_CALLS_REFUSED_PORTS}};

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct board *b = board_new(NULL);

        b->fail = rows[i].error;
        alice(b, "i1", "session-initiate", AUDIO CONTENT("initiator", "1", "ua"));
        board_expect_error(b, ALICE, "i1", "resource-constraint", NULL);
        board_none(b); // Bob never hears of it
        assert_int_equal(board_counter(b, rows[i].counter), 1);
        assert_string_equal(b->ended_reason, "refused");
        board_free(b);
    }
}

static void quotas_are_a_resource_constraint(void **state)
{
    struct signal_config config = board_config();
    struct board *b;

    config.calls.calls_per_user = 1;
    b = board_new(&config);
    board_offer(b);
    board_put(b, "<iq type='set' from='" ALICE "' to='" BOB_AS "' id='x'><jingle "
                 "xmlns='urn:xmpp:jingle:1' action='session-initiate' sid='s2'>" AUDIO
                 "</jingle></iq>");
    board_expect_error(b, ALICE, "x", "resource-constraint", NULL);
    assert_int_equal(board_counter(b, COUNTER_CALLS_REFUSED_PER_JID), 1);
    signal_drain(b->signal);
    board_put(b, "<iq type='set' from='" BOB "' to='" ALICE_AS "' id='x'><jingle "
                 "xmlns='urn:xmpp:jingle:1' action='session-initiate' sid='s3'>" AUDIO
                 "</jingle></iq>");
    board_expect_error(b, BOB, "x", "resource-constraint", NULL);
    assert_int_equal(board_counter(b, COUNTER_CALLS_REFUSED_DRAIN), 1);
    end(b);
}

static void orders_that_fail_are_no_memory(void **state)
{
    struct board *b = board_new(NULL);

    b->order_error = -ENOMEM;
    alice(b, "i1", "session-initiate", AUDIO);
    board_expect_error(b, ALICE, "i1", "resource-constraint", NULL);
    assert_int_equal(b->ended, 1); // told although no figures will come
    board_free(b);
}

// ---- glare and order of actions

static void the_same_sid_again(void **state)
{
    struct board *b = board_new(NULL);

    board_offer(b);
    alice(b, "again", "session-initiate", AUDIO);
    board_expect_error(b, ALICE, "again", "unexpected-request", "out-of-order");
    bob(b, "glare", "session-initiate", AUDIO);
    board_expect_error(b, BOB, "glare", "conflict", "tie-break");
    assert_int_equal(signal_calls(b->signal), 1);
    // Of other parties it is another session.
    board_put(b,
              "<iq type='set' from='" ALICE "' to='carol\\40example.net@relay.example.org/c' "
              "id='c'><jingle xmlns='urn:xmpp:jingle:1' action='session-initiate' sid='s1'>" AUDIO
              "</jingle></iq>");
    assert_string_equal(xml_attr(board_take(b), "to"), "carol@example.net/c");
    board_error(b, "service-unavailable");
    board_expect_error(b, ALICE, "c", "service-unavailable", NULL);
    end(b);
}

// XEP-0166 section 7.2.16: with different sids the clients decide, and both must see both.
static void glare(void **state)
{
    struct board *b = board_new(NULL);

    alice(b, "i1", "session-initiate", AUDIO);
    board_put(b, "<iq type='set' from='" BOB "' to='" ALICE_AS "' id='i2'>"
                 "<jingle xmlns='urn:xmpp:jingle:1' action='session-initiate' sid='s2'>" AUDIO
                 "</jingle></iq>");
    board_take(b);
    assert_string_equal(xml_attr(b->last, "to"), BOB);
    board_result(b);
    board_take(b);
    assert_string_equal(xml_attr(b->last, "to"), ALICE);
    board_put(b,
              "<iq type='error' from='" ALICE "' to='" BOB_AS "' id='%s'><error type='cancel'>"
              "<conflict xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>"
              "<tie-break xmlns='urn:xmpp:jingle:errors:1'/></error></iq>",
              xml_attr(b->last, "id"));
    board_expect_result(b, ALICE, "i1");
    board_expect_error(b, BOB, "i2", "conflict", "tie-break");
    assert_int_equal(signal_calls(b->signal), 1);
    end(b);
}

static void an_acceptance_has_its_place(void **state)
{
    struct board *b = board_new(NULL);

    board_offer(b);
    alice(b, "a0", "session-accept", AUDIO);
    board_expect_error(b, ALICE, "a0", "unexpected-request", "out-of-order");
    bob(b, "a1", "session-accept", "%s", "");
    board_expect_error(b, BOB, "a1", "bad-request", NULL);
    board_accept(b);
    bob(b, "a2", "session-accept", AUDIO);
    board_expect_error(b, BOB, "a2", "unexpected-request", "out-of-order");
    end(b);
}

static void the_responder_cannot_guess(void **state)
{
    struct board *b = board_new(NULL);

    b->late = true;
    alice(b, "i1", "session-initiate", AUDIO);
    bob(b, "a", "session-accept", AUDIO);
    board_expect_error(b, BOB, "a", "item-not-found", "unknown-session");
    bob(b, "i", "session-initiate", AUDIO);
    board_expect_error(b, BOB, "i", "conflict", "tie-break");
    board_none(b);
    board_opened(b, 0);
    board_opened(b, 1);
    board_take(b);
    board_result(b);
    board_clear(b);
    end(b);
}

// ---- order

static void what_waits_for_paths_keeps_its_order(void **state)
{
    struct board *b = board_new(NULL);

    b->late = true;
    alice(b, "i1", "session-initiate", AUDIO CONTENT("initiator", "1", "ub"));
    alice(b, "t1", "transport-info", "<content creator='initiator' name='0'/>");
    alice(b, "t2", "session-info", "%s", "");
    board_none(b);
    board_opened(b, 3);
    board_opened(b, 0);
    board_opened(b, 2);
    board_none(b);
    board_opened(b, 1);
    assert_string_equal(action_of(board_take(b)), "session-initiate");
    board_none(b); // the rest until Bob's client knows the session
    board_result(b);
    board_expect_result(b, ALICE, "i1");
    assert_string_equal(action_of(board_take(b)), "transport-info");
    assert_string_equal(action_of(board_take(b)), "session-info");
    end(b);
}

// A client that never answers the offer but speaks has met the session, too.
static void speaking_is_as_good_as_an_answer(void **state)
{
    struct board *b = board_new(NULL);

    b->restarts = false; // what is due at one time comes in any order
    alice(b, "i1", "session-initiate", AUDIO);
    board_take(b);
    alice(b, "t1", "session-info", "%s", "");
    board_none(b);
    bob(b, "r", "session-info", "%s", "");
    assert_string_equal(xml_attr(board_take(b), "to"), BOB);
    assert_string_equal(xml_attr(board_take(b), "to"), ALICE);
    bob(b, "a1", "session-accept", AUDIO);
    assert_string_equal(action_of(board_take(b)), "session-accept");
    board_wait(b, 20 * USEC_PER_SEC);
    board_expect_result(b, ALICE, "i1"); // it was accepted: no error after that
    board_clear(b);
    assert_int_equal(signal_calls(b->signal), 1);
    end(b);
}

static void too_much_does_not_wait(void **state)
{
    struct board *b = board_new(NULL);

    b->late = true;
    alice(b, "i1", "session-initiate", AUDIO);
    for (int i = 0; i < 63; i++)
        alice(b, "t", "session-info", "%s", "");
    board_none(b);
    alice(b, "t64", "session-info", "%s", "");
    board_expect_error(b, ALICE, "t64", "resource-constraint", NULL);
    alice(b, "bye", "session-terminate", "%s", "");
    board_clear(b);
    board_free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_leg_sees_one_constant_address),
        cmocka_unit_test(bare_and_foreign_initiators),
        cmocka_unit_test(every_action_passes_both_ways),
        cmocka_unit_test(both_may_end_it),
        cmocka_unit_test(strangers_are_no_party),
        cmocka_unit_test(an_offer_may_be_refused),
        cmocka_unit_test(offers_that_cannot_be_taken),
        cmocka_unit_test(shapes_that_are_wrong),
        cmocka_unit_test(contents_are_limited),
        cmocka_unit_test(long_credentials_are_refused),
        cmocka_unit_test(no_ports_is_a_resource_constraint),
        cmocka_unit_test(quotas_are_a_resource_constraint),
        cmocka_unit_test(orders_that_fail_are_no_memory),
        cmocka_unit_test(the_same_sid_again),
        cmocka_unit_test(glare),
        cmocka_unit_test(an_acceptance_has_its_place),
        cmocka_unit_test(the_responder_cannot_guess),
        cmocka_unit_test(what_waits_for_paths_keeps_its_order),
        cmocka_unit_test(speaking_is_as_good_as_an_answer),
        cmocka_unit_test(too_much_does_not_wait),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
