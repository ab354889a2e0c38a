// SPDX-License-Identifier: ISC
// Stanzas that are diverted more than once: by two hosts of one server, by both ends' servers of
// one relay, or again because the first answer came too late. Nothing is doubled, nothing is lost,
// and another relay's candidates are as good as anybody's.
#include "codec/jingle.h"
#include "lib/board.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define ICE   "urn:xmpp:jingle:transports:ice-udp:1"
#define RAW   "urn:xmpp:jingle:transports:raw-udp:1"
#define FRED  "fred@example.com/f"
#define AUDIO "<description xmlns='urn:xmpp:jingle:apps:rtp:1' media='audio'/>"
#define CONTENT(ufrag)                                                                             \
    "<content creator='initiator' name='0'>" AUDIO "<transport xmlns='" ICE "' ufrag='" ufrag      \
    "' pwd='p'/></content>"
#define RAW_CONTENT(ip)                                                                            \
    "<content creator='initiator' name='0'>" AUDIO "<transport xmlns='" RAW                        \
    "'><candidate component='1' generation='0' id='1' ip='" ip "' port='6000'/></transport>"       \
    "</content>"

static struct board *new_board(enum relay_policy policy)
{
    static const char *const domains[] = {"example.org", "example.com"};
    struct signal_config config = board_config();

    config.served = domains;
    config.served_count = 2;
    config.policy = policy;
    config.family_v6 = true;
    return board_new(&config);
}

static struct xml *jingle(const char *from, const char *to, const char *action, const char *inner)
{
    return parse("<iq type='set' from='%s' to='%s' id='j1'><jingle xmlns='urn:xmpp:jingle:1' "
                 "action='%s' sid='s1'>%s</jingle></iq>",
                 from, to, action, inner);
}

// Both hosts divert it, the second what came back from the first: which changes nothing more.
static void twice(struct board *b, const char *from, const char *action, const char *inner)
{
    bool alice = strcmp(from, ALICE) == 0;
    const char *to = alice ? FRED : ALICE;
    const char *first = alice ? "example.org" : "example.com";
    const char *second = alice ? "example.com" : "example.org";
    struct xml *original = jingle(from, to, action, inner), *sent;

    board_divert_xml(b, first, original);
    sent = xml_clone(board_sent_on(b));
    board_divert_xml(b, second, sent);
    board_expect_passed(b);
    xml_free(sent);
    // And the original, when the first answer was lost: the same comes back.
    board_divert_xml(b, second, original);
    board_sent_on(b);
    xml_free(original);
    board_none(b);
}

static void end(struct board *b)
{
    struct xml *bye = jingle(ALICE, FRED, "session-terminate", "<reason><success/></reason>");

    board_divert_xml(b, "example.org", bye);
    board_expect_passed(b);
    board_divert_xml(b, "example.com", bye);
    board_expect_passed(b);
    xml_free(bye);
    board_none(b);
    board_free(b);
}

static void every_offer(void **state)
{
    static const enum relay_policy policies[] = {POLICY_FALLBACK, POLICY_RELAY_ONLY};

    for (int i = 0; i < 2; i++) {
        struct board *b = new_board(policies[i]);

        twice(b, ALICE, "session-initiate", CONTENT("ua"));
        assert_int_equal(board_open_paths(b), 2);
        twice(b, FRED, "session-accept", CONTENT("ub"));
        assert_int_equal(signal_calls(b->signal), 1);
        assert_int_equal(board_counter(b, COUNTER_DIVERTED_ACTIVE), 1);
        twice(b, ALICE, "transport-replace", CONTENT("uc"));
        assert_int_equal(board_open_paths(b), 4);
        twice(b, FRED, "transport-accept", CONTENT("ud"));
        assert_int_equal(board_open_paths(b), 2);
        twice(b, ALICE, "content-add",
              "<content creator='initiator' name='1'>" AUDIO "<transport xmlns='" ICE
              "' ufrag='ue' pwd='p'/></content>");
        assert_int_equal(board_open_paths(b), 4);
        twice(b, FRED, "content-accept",
              "<content creator='initiator' name='1'>" AUDIO "<transport xmlns='" ICE
              "' ufrag='uf' pwd='p'/></content>");
        assert_int_equal(board_open_paths(b), 4);
        end(b);
    }
}

static void one_of_each_family_and_component(void **state)
{
    struct board *b = new_board(POLICY_FALLBACK);
    struct xml *offer = jingle(ALICE, FRED, "session-initiate", CONTENT("ua")), *sent, *transport;

    board_divert_xml(b, "example.org", offer);
    sent = xml_clone(board_sent_on(b));
    assert_int_equal(count_children(transport_of(sent, "0"), "candidate"), 4);
    // One was lost on the way: it alone is added.
    xml_free(relay_candidate(transport_of(sent, "0"), 2, FAMILY_V6));
    board_divert_xml(b, "example.com", sent);
    transport = transport_of(board_sent_on(b), "0");
    assert_int_equal(count_children(transport, "candidate"), 4);
    assert_non_null(relay_candidate(transport, 2, FAMILY_V6));
    xml_free(sent);
    xml_free(offer);
    end(b);
}

static void overlap(enum relay_policy policy)
{
    struct board *b = new_board(policy);
    struct xml *trickle = jingle(ALICE, FRED, "transport-info", CONTENT("ua"));
    struct xml *restart = jingle(ALICE, FRED, "transport-info", CONTENT("uc")), *sent;

    twice(b, ALICE, "session-initiate", CONTENT("ua"));
    twice(b, FRED, "session-accept", CONTENT("ub"));
    board_divert_xml(b, "example.org", trickle);
    board_expect_passed(b);
    board_divert_xml(b, "example.org", restart);
    sent = xml_clone(board_sent_on(b));
    board_divert_xml(b, "example.com", trickle); // on its way since before the restart
    board_expect_passed(b);
    assert_string_equal(b->path[0].ufrag[SIDE_INITIATOR], "uc");
    board_divert_xml(b, "example.com", sent);
    board_expect_passed(b);
    assert_string_equal(b->path[0].ufrag[SIDE_INITIATOR], "uc");
    assert_int_equal(b->path[0].credentials[SIDE_INITIATOR], 2);
    xml_free(sent);
    xml_free(restart);
    xml_free(trickle);
    end(b);
}

static void restarts_that_overlap(void **state)
{
    overlap(POLICY_FALLBACK);
    overlap(POLICY_RELAY_ONLY);
}

// Ours stands in the place of the client's, and must not be taken for his.
static void raw_udp(void **state)
{
    struct board *b = new_board(POLICY_FALLBACK);
    static const uint8_t ip[4] = {192, 0, 2, 1};
    struct addr client = addr_v4(ip, 6000);

    twice(b, ALICE, "session-initiate", RAW_CONTENT("192.0.2.1"));
    assert_int_equal(b->paths, 1);
    twice(b, FRED, "session-accept", RAW_CONTENT("192.0.2.2"));
    assert_true(addr_equal(&b->path[0].peer[SIDE_INITIATOR], &client));
    twice(b, ALICE, "transport-replace", RAW_CONTENT("192.0.2.3"));
    assert_int_equal(board_open_paths(b), 2);
    twice(b, FRED, "transport-accept", RAW_CONTENT("192.0.2.4"));
    assert_int_equal(board_open_paths(b), 1);
    assert_int_equal(b->paths, 2);
    end(b);
}

// Each of two relays adds its own; and the ids differ, by which some clients know candidates.
static void two_relays(void **state)
{
    struct board *here = new_board(POLICY_FALLBACK), *there = new_board(POLICY_FALLBACK);
    struct xml *offer = jingle(ALICE, FRED, "session-initiate", CONTENT("ua")), *sent, *c;
    struct xml *seen[8];
    unsigned n = 0;

    there->random = 4711;
    there->port = 20000;
    board_divert_xml(here, "example.org", offer);
    sent = xml_clone(board_sent_on(here));
    board_divert_xml(there, "example.com", sent);
    c = xml_child(transport_of(board_sent_on(there), "0"), "candidate", NULL);
    for (; c && n < 8; c = xml_next(c, "candidate", NULL)) {
        for (unsigned i = 0; i < n; i++)
            assert_string_not_equal(xml_attr(seen[i], "id"), xml_attr(c, "id"));
        seen[n++] = c;
    }
    assert_int_equal(n, 8);
    xml_free(sent);
    xml_free(offer);
    end(here);
    end(there);
}

// The end overtook the offer, which opens it for a moment again.
static void an_offer_after_its_end(void **state)
{
    struct board *b = new_board(POLICY_FALLBACK);
    struct xml *offer = jingle(ALICE, FRED, "session-initiate", CONTENT("ua"));
    struct xml *bye = jingle(ALICE, FRED, "session-terminate", "");

    board_divert_xml(b, "example.org", offer);
    board_sent_on(b);
    board_divert_xml(b, "example.org", bye);
    board_expect_passed(b);
    board_divert_xml(b, "example.com", offer);
    board_sent_on(b);
    board_divert_xml(b, "example.com", bye);
    board_expect_passed(b);
    xml_free(bye);
    xml_free(offer);
    board_free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_offer),
        cmocka_unit_test(one_of_each_family_and_component),
        cmocka_unit_test(restarts_that_overlap),
        cmocka_unit_test(raw_udp),
        cmocka_unit_test(two_relays),
        cmocka_unit_test(an_offer_after_its_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
