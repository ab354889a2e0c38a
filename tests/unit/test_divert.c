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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(candidates_are_all_that_is_added),
        cmocka_unit_test(each_side_is_offered_its_own_port),
        cmocka_unit_test(what_is_not_changed_passes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
