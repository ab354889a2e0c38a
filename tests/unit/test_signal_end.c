// SPDX-License-Identifier: ISC
// How sessions end: by one side, while they are set up, by every timeout, when the relay falls
// silent, when the daemon goes. Every time both sides are told and all ports are given back.
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

// ---- ends of all kinds

static void ended_while_it_is_set_up(void **state)
{
    struct board *b = board_new(NULL);

    b->late = true;
    alice(b, "i1", "session-initiate", AUDIO);
    alice(b, "t1", "transport-info", "<content creator='initiator' name='0'/>");
    alice(b, "bye", "session-terminate", "<reason><cancel/></reason>");
    board_expect_result(b, ALICE, "bye");
    board_expect_error(b, ALICE, "i1", "resource-constraint", NULL);
    board_expect_error(b, ALICE, "t1", "item-not-found", "unknown-session");
    board_none(b); // Bob never heard of it
    assert_int_equal(board_open_paths(b), 0);
    for (unsigned i = 0; i < b->paths; i++)
        board_opened(b, i); // the answers to the openings come too late
    board_free(b);
}

static void ended_before_the_offer_is_answered(void **state)
{
    struct board *b = board_new(NULL);
    struct xml *offer;

    alice(b, "i1", "session-initiate", AUDIO);
    offer = xml_clone(board_take(b));
    alice(b, "t1", "transport-info", "<content creator='initiator' name='0'/>");
    alice(b, "bye", "session-terminate", "<reason><cancel/></reason>");
    assert_string_equal(action_of(board_take(b)), "session-terminate"); // it waits for nothing
    board_result(b);
    board_expect_error(b, ALICE, "t1", "item-not-found", "unknown-session");
    board_expect_result(b, ALICE, "bye");
    board_put(b, "<iq type='result' from='" BOB "' to='" ALICE_AS "' id='%s'/>",
              xml_attr(offer, "id"));
    board_expect_result(b, ALICE, "i1");
    xml_free(offer);
    board_free(b);
}

static void the_relay_does_not_answer(void **state)
{
    struct board *b = board_new(NULL);

    b->late = true;
    alice(b, "i1", "session-initiate", AUDIO);
    board_wait(b, 10 * USEC_PER_SEC);
    board_expect_error(b, ALICE, "i1", "resource-constraint", NULL);
    assert_string_equal(b->ended_reason, "timeout");
    board_free(b);
}

static void nobody_answers_the_offer(void **state)
{
    struct board *b = board_new(NULL);

    b->restarts = false; // the answer might have been missed
    alice(b, "i1", "session-initiate", AUDIO);
    board_take(b);
    board_wait(b, 15 * USEC_PER_SEC);
    board_expect_error(b, ALICE, "i1", "remote-server-timeout", NULL);
    board_expect(b, "<iq type='set' from='" ALICE_AS "' to='" BOB "' id='*'>"
                    "<jingle xmlns='urn:xmpp:jingle:1' action='session-terminate' sid='s1' "
                    "initiator='" ALICE_AS "'><reason><timeout/></reason></jingle></iq>");
    board_none(b);
    assert_string_equal(b->ended_reason, "no answer");
    board_wait(b, 100 * USEC_PER_SEC);
    board_none(b);
    board_free(b);
}

static void expect_terminate(struct board *b, const char *to, const char *from,
                             const char *initiator, const char *reason)
{
    board_expect(b,
                 "<iq type='set' from='%s' to='%s' id='*'><jingle xmlns='urn:xmpp:jingle:1' "
                 "action='session-terminate' sid='s1' initiator='%s'><reason><%s/></reason>"
                 "</jingle></iq>",
                 from, to, initiator, reason);
}

static void it_rings_for_too_long(void **state)
{
    struct board *b = board_new(NULL);

    board_offer(b);
    board_wait(b, 120 * USEC_PER_SEC - 1);
    board_none(b);
    board_wait(b, 1);
    expect_terminate(b, ALICE, BOB_AS, ALICE, "timeout");
    board_result(b);
    expect_terminate(b, BOB, ALICE_AS, ALICE_AS, "timeout");
    board_error(b, "item-not-found");
    board_none(b);
    board_free(b);
}

static void the_daemon_goes(void **state)
{
    struct board *b = board_new(NULL);

    board_offer(b);
    board_accept(b);
    b->late = true;
    board_put(b, "<iq type='set' from='" BOB "' to='" ALICE_AS "' id='x'><jingle "
                 "xmlns='urn:xmpp:jingle:1' action='session-initiate' sid='s2'>" AUDIO
                 "</jingle></iq>");
    b->mute = true;
    signal_end_all(b->signal, "gone", b->now);
    assert_int_equal(signal_calls(b->signal), 0);
    assert_int_equal(signal_unfinished(b->signal), 2);
    b->mute = false;
    board_settle(b);
    assert_int_equal(b->ended, 2);
    for (int i = 0; i < 3; i++) { // in no order of the calls
        board_take(b);
        assert_true(strcmp(action_of(b->last), "session-terminate") == 0 ||
                    strcmp(xml_attr(b->last, "type"), "error") == 0);
    }
    board_none(b);
    board_free(b);
}

static void the_longest_call(void **state)
{
    struct signal_config config = board_config();
    struct board *b;

    config.calls.duration = 1000 * USEC_PER_SEC;
    b = board_new(&config);
    board_offer(b);
    board_accept(b);
    board_wait(b, 1000 * USEC_PER_SEC);
    expect_terminate(b, ALICE, BOB_AS, ALICE, "expired");
    expect_terminate(b, BOB, ALICE_AS, ALICE_AS, "expired");
    board_free(b);
}

// ---- silence

static void silent(struct board *b)
{
    for (unsigned i = 0; i < b->paths; i++) {
        if (!b->path[i].closed)
            board_event(b, i, EVENT_SILENT);
    }
}

// Alice's and Bob's clients are asked whether they are there.
static void expect_questions(struct board *b)
{
    board_expect(b, "<iq type='get' from='" BOB_AS "' to='" ALICE "' id='*'>"
                    "<query xmlns='http://jabber.org/protocol/disco#info'/></iq>");
    board_result(b);
    board_expect(b, "<iq type='get' from='" ALICE_AS "' to='" BOB "' id='*'>"
                    "<query xmlns='http://jabber.org/protocol/disco#info'/></iq>");
}

static void a_direct_path_gives_the_ports_back(void **state)
{
    struct board *b = board_new(NULL);

    board_offer(b);
    board_accept(b);
    b->no_disco = true;
    silent(b);
    board_wait(b, 300 * USEC_PER_SEC - 1);
    assert_int_equal(board_open_paths(b), 2);
    board_wait(b, 1);
    assert_int_equal(board_open_paths(b), 0);
    expect_questions(b);
    board_result(b);
    board_none(b);
    assert_int_equal(signal_calls(b->signal), 1);
    board_wait(b, 300 * USEC_PER_SEC); // and again
    expect_questions(b);
    board_wait(b, 100 * USEC_PER_SEC); // a client may be slow
    assert_int_equal(signal_calls(b->signal), 1);
    board_wait(b, 200 * USEC_PER_SEC);
    expect_questions(b);
    board_error(b, "service-unavailable"); // Bob's server: no such client
    expect_terminate(b, ALICE, BOB_AS, ALICE, "gone");
    expect_terminate(b, BOB, ALICE_AS, ALICE_AS, "gone");
    assert_int_equal(b->ended_views, 2); // what the paths saw is not lost
    board_free(b);
}

static void a_call_that_moved_to_a_direct_path_goes_on(void **state)
{
    struct board *b = board_new(NULL);

    board_offer(b);
    board_accept(b);
    board_event(b, 0, EVENT_MEDIA);
    silent(b);
    board_wait(b, 29 * USEC_PER_SEC);
    board_event(b, 0, EVENT_MEDIA);
    board_wait(b, 3600 * USEC_PER_SEC);
    assert_int_equal(board_open_paths(b), 2);
    silent(b);
    board_wait(b, 31 * USEC_PER_SEC);
    assert_int_equal(board_open_paths(b), 0);
    assert_int_equal(signal_calls(b->signal), 1);
    // An ICE restart opens the paths anew.
    alice(b, "r", "transport-info", CONTENT("initiator", "0", "fresh"));
    assert_int_equal(board_open_paths(b), 2);
    board_take(b);
    assert_non_null(relay_candidate(transport_of(b->last, "0"), 1, FAMILY_V4));
    board_result(b);
    board_clear(b);
    end(b);
}

static void it_rang_longer_than_the_relay_calls_silence(void **state)
{
    struct board *b = board_new(NULL);

    board_offer(b);
    silent(b);
    board_wait(b, 60 * USEC_PER_SEC);
    board_accept(b);
    board_wait(b, 301 * USEC_PER_SEC);
    assert_int_equal(board_open_paths(b), 0);
    assert_int_equal(signal_calls(b->signal), 1);
    end(b);
}

static void one_path_of_several_falls_silent(void **state)
{
    struct board *b = board_new(NULL);

    board_offer(b);
    board_accept(b);
    board_event(b, 0, EVENT_MEDIA);
    board_event(b, 1, EVENT_SILENT); // RTCP is multiplexed, say
    board_wait(b, 3600 * USEC_PER_SEC);
    assert_int_equal(board_open_paths(b), 2);
    end(b);
}

static void who_hides_addresses_has_no_direct_path(void **state)
{
    struct signal_config config = board_config();
    struct board *b;

    config.policy = POLICY_RELAY_ONLY;
    b = board_new(&config);
    board_offer(b);
    board_accept(b);
    board_event(b, 0, EVENT_MEDIA);
    silent(b);
    board_wait(b, 30 * USEC_PER_SEC);
    expect_terminate(b, ALICE, BOB_AS, ALICE, "timeout");
    expect_terminate(b, BOB, ALICE_AS, ALICE_AS, "timeout");
    board_free(b);
}

static void a_path_that_fails_late_is_lost_alone(void **state)
{
    struct board *b = board_new(NULL);

    board_offer(b);
    board_failed(b, 1, -ENOMEM);
    board_accept(b);
    alice(b, "x", "session-info", "%s", "");
    assert_string_equal(action_of(board_take(b)), "session-info");
    board_failed(b, 1, -ENOMEM); // and events of paths that are gone are nobody's
    b->late = true;
    alice(b, "add", "content-add", CONTENT("initiator", "1", "ub"));
    board_result(b);
    board_expect_result(b, ALICE, "x");
    board_failed(b, 0, -ENOMEM); // what waits for other paths is not refused for that
    board_none(b);
    board_opened(b, 2);
    board_opened(b, 3);
    assert_string_equal(action_of(board_take(b)), "content-add");
    board_event(b, 1, EVENT_MEDIA);
    end(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ended_while_it_is_set_up),
        cmocka_unit_test(ended_before_the_offer_is_answered),
        cmocka_unit_test(the_relay_does_not_answer),
        cmocka_unit_test(nobody_answers_the_offer),
        cmocka_unit_test(it_rings_for_too_long),
        cmocka_unit_test(the_daemon_goes),
        cmocka_unit_test(the_longest_call),
        cmocka_unit_test(a_direct_path_gives_the_ports_back),
        cmocka_unit_test(a_call_that_moved_to_a_direct_path_goes_on),
        cmocka_unit_test(it_rang_longer_than_the_relay_calls_silence),
        cmocka_unit_test(one_path_of_several_falls_silent),
        cmocka_unit_test(who_hides_addresses_has_no_direct_path),
        cmocka_unit_test(a_path_that_fails_late_is_lost_alone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
