// SPDX-License-Identifier: ISC
// What the relay does not take: who may not divert, what passes unchanged and why, and what a relay
// that hides addresses must not let pass.
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
#define S5B   "urn:xmpp:jingle:transports:s5b:1"
#define IBB   "urn:xmpp:jingle:transports:ibb:1"
#define CAROL "carol@example.net/c"
#define HOST  "<candidate ip='192.0.2.1' port='5000' component='1'/>"
#define AUDIO                                                                                      \
    "<content creator='initiator' name='0'><description xmlns='urn:xmpp:jingle:apps:rtp:1' "       \
    "media='audio'/><transport xmlns='" ICE "' ufrag='ua' pwd='p'>" HOST "</transport></content>"
#define OFFER                                                                                      \
    "<jingle xmlns='urn:xmpp:jingle:1' action='session-initiate' sid='s1'>" AUDIO "</jingle>"
#define INFO(sid) "<jingle xmlns='urn:xmpp:jingle:1' action='session-info' sid='" sid "'/>"

static struct board *new_board(enum relay_policy policy)
{
    struct signal_config config = board_config();

    config.policy = policy;
    return board_new(&config);
}

static void end(struct board *b)
{
    divert(b, ALICE, BOB, "session-terminate", "<reason><success/></reason>");
    board_expect_passed(b);
    board_none(b);
    board_free(b);
}

// ---- who may

static void who_may_not_divert(void **state)
{
    static const struct {
        const char *server, *from, *to;
    } rows[] = {
        {"example.net", ALICE, BOB},                  // not served
        {"example.net", CAROL, BOB},                  // not served, though it is her server
        {"alice@example.org", ALICE, BOB},            // a user
        {"alice@example.org/a", ALICE, BOB},          // a client
        {"example.org/a", ALICE, BOB},                // not the bare domain
        {"sub.example.org", ALICE, BOB},              // another domain
        {"example.org", CAROL, "dave@example.net/d"}, // none of its users
        {"example.org", ALICE_AS, BOB},               // the component
        {"example.org", ALICE, BOB_AS},
        {"example.org", "relay.example.org/x", BOB},
        {"example.org", "alice@example.org", BOB}, // no full JIDs
        {"example.org", ALICE, "bob@example.org"},
        {"example.org", ALICE, "example.org"},
        {"example.org", "example.org/x", BOB},
        {"example.org", "", BOB},
        {"example.org", ALICE, "@"},
    };
    struct board *b = new_board(POLICY_FALLBACK);

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        board_divert(b, rows[i].server, "<iq type='set' id='x' from='%s' to='%s'>" OFFER "</iq>",
                     rows[i].from, rows[i].to);
        board_expect_error(b, rows[i].server, "d1", "forbidden", NULL);
        assert_int_equal(board_counter(b, COUNTER_DIVERT_FORBIDDEN), i + 1);
    }
    assert_int_equal(b->paths, 0);
    board_none(b);
    board_free(b);
}

static void what_cannot_be_diverted(void **state)
{
    static const char *const rows[] = {
        "",
        "<forwarded xmlns='urn:xmpp:forward:0'/>",
        "<forwarded xmlns='urn:xmpp:forward:0'><message xmlns='jabber:client'/></forwarded>",
        "<forwarded xmlns='urn:xmpp:forward:0'><iq xmlns='jabber:server' type='set' id='x'/>"
        "</forwarded>",
        "<forwarded xmlns='urn:xmpp:forward:0'><iq xmlns='jabber:client' type='get' id='x' "
        "from='" ALICE "' to='" BOB "'>" OFFER "</iq></forwarded>",
        "<forwarded xmlns='urn:xmpp:forward:0'><iq xmlns='jabber:client' type='result' id='x' "
        "from='" ALICE "' to='" BOB "'/></forwarded>",
        "<forwarded xmlns='urn:xmpp:forward:0'><iq xmlns='jabber:client' type='set' "
        "from='" ALICE "' to='" BOB "'>" OFFER "</iq></forwarded>",
    };
    struct board *b = new_board(POLICY_FALLBACK);

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        board_put(b,
                  "<iq type='set' id='d1' from='example.org' to='relay.example.org'>"
                  "<divert xmlns='urn:xmpp:jingle-relayd:divert:1'>%s</divert></iq>",
                  rows[i]);
        board_expect_error(b, "example.org", "d1", "bad-request", NULL);
    }
    board_free(b);
}

static void it_is_announced(void **state)
{
    struct board *b = new_board(POLICY_FALLBACK);
    struct xml *x;

    board_put(b, "<iq type='get' id='q' from='example.org' to='relay.example.org'>"
                 "<query xmlns='http://jabber.org/protocol/disco#info'/></iq>");
    x = xml_child(xml_child(board_take(b), "query", NULL), "feature", NULL);
    while (x && strcmp(xml_attr(x, "var"), "urn:xmpp:jingle-relayd:divert:1") != 0)
        x = xml_next(x, "feature", NULL);
    assert_non_null(x);
    board_free(b);
}

// A session through the other door is another one, whatever its sid.
static void the_doors_do_not_mix(void **state)
{
    struct board *b = new_board(POLICY_FALLBACK);

    board_offer(b);
    divert(b, ALICE, BOB, "session-info", "%s", "");
    board_expect_passed(b);
    assert_int_equal(board_counter(b, COUNTER_DIVERT_PASSED_UNKNOWN_SESSION), 1);
    divert(b, ALICE, BOB, "session-initiate", AUDIO);
    board_sent_on(b);
    assert_int_equal(signal_calls(b->signal), 2);
    bob(b, "t", "session-terminate", "%s", "");
    board_take(b);
    board_result(b);
    board_expect_result(b, BOB, "t");
    assert_int_equal(signal_calls(b->signal), 1);
    alice(b, "i", "session-info", "%s", "");
    board_expect_error(b, ALICE, "i", "item-not-found", "unknown-session");
    end(b);
}

// ---- what passes

static const struct passed {
    const char *inner; // from Alice to Bob
    enum counter why;
} passed[] = {
    {INFO("other"), COUNTER_DIVERT_PASSED_UNKNOWN_SESSION},
    {"<jingle xmlns='urn:xmpp:jingle:1' action='dance' sid='s1'/>",
     COUNTER_DIVERT_PASSED_MALFORMED},
    {"<jingle xmlns='urn:xmpp:jingle:1' action='session-info'/>", COUNTER_DIVERT_PASSED_MALFORMED},
    {"<jingle xmlns='urn:xmpp:jingle:1' action='session-initiate' sid='s2'/>",
     COUNTER_DIVERT_PASSED_MALFORMED},
    {"<jingle xmlns='urn:xmpp:jingle:1' action='session-initiate' sid='s2'><content>"
     "<transport xmlns='" ICE "'/></content></jingle>",
     COUNTER_DIVERT_PASSED_MALFORMED}, // no name
    {"<jingle xmlns='urn:xmpp:jingle:1' action='session-initiate' sid='s2'><content name='file'>"
     "<transport xmlns='" S5B "'><candidate host='192.0.2.1'/></transport></content></jingle>",
     COUNTER_DIVERT_PASSED_TRANSPORT},
    {"<jingle xmlns='urn:xmpp:jingle:1' action='session-initiate' sid='s2'><content name='file'>"
     "<transport xmlns='" IBB "'/></content></jingle>",
     COUNTER_DIVERT_PASSED_TRANSPORT},
    {"<query xmlns='urn:own'/>", COUNTER_DIVERT_PASSED_TRANSPORT},
    {"<jingle xmlns='urn:xmpp:jingle:1' action='session-accept' sid='s1'>" AUDIO "</jingle>",
     COUNTER_DIVERT_PASSED_OUT_OF_ORDER}, // by who has offered it
};

static void the_rest_passes(void **state)
{
    struct board *b = new_board(POLICY_FALLBACK);

    divert(b, ALICE, BOB, "session-initiate", AUDIO);
    board_sent_on(b);
    for (size_t i = 0; i < sizeof passed / sizeof passed[0]; i++) {
        uint64_t before = board_counter(b, passed[i].why);

        board_divert(b, "example.org",
                     "<iq type='set' id='x' from='" ALICE "' to='" BOB "'>%s</iq>",
                     passed[i].inner);
        board_expect_passed(b);
        assert_int_equal(board_counter(b, passed[i].why), before + 1);
    }
    divert(b, BOB, ALICE, "session-initiate", AUDIO); // glare: the clients decide
    board_expect_passed(b);
    assert_int_equal(signal_calls(b->signal), 1);
    assert_int_equal(board_open_paths(b), 2);
    assert_int_equal(board_counter(b, COUNTER_STANZAS_REFUSED), 0);
    end(b);
}

static void no_ports_no_relay(void **state)
{
    static const struct {
        int error;
        enum counter why;
    } rows[] = {{-EMFILE, COUNTER_DIVERT_PASSED_PORTS},
                {-EADDRNOTAVAIL, COUNTER_DIVERT_PASSED_PORTS},
                {-ENOMEM, COUNTER_DIVERT_PASSED_MEMORY}};

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct board *b = new_board(POLICY_FALLBACK);

        b->fail = rows[i].error;
        divert(b, ALICE, BOB, "session-initiate", AUDIO);
        board_expect_passed(b);
        assert_int_equal(board_counter(b, rows[i].why), 1);
        assert_string_equal(b->ended_reason, "refused");
        divert(b, BOB, ALICE, "session-accept", AUDIO);
        board_expect_passed(b);
        board_free(b);
    }
}

static void a_later_content_without_ports(void **state)
{
    struct board *b = new_board(POLICY_FALLBACK);

    divert(b, ALICE, BOB, "session-initiate", AUDIO);
    board_sent_on(b);
    divert(b, BOB, ALICE, "session-accept", AUDIO);
    board_sent_on(b);
    b->fail = -EMFILE;
    divert(b, ALICE, BOB, "content-add",
           "<content creator='initiator' name='1'><transport xmlns='" ICE
           "' ufrag='uc' pwd='p'/></content>");
    board_expect_passed(b);
    assert_int_equal(signal_calls(b->signal), 1);
    assert_int_equal(board_open_paths(b), 2);
    end(b);
}

static void a_drained_relay_takes_no_calls(void **state)
{
    struct board *b = new_board(POLICY_FALLBACK);

    divert(b, ALICE, BOB, "session-initiate", AUDIO);
    board_sent_on(b);
    signal_drain(b->signal);
    divert(b, CAROL, BOB, "session-initiate", AUDIO);
    board_expect_passed(b);
    assert_int_equal(board_counter(b, COUNTER_CALLS_REFUSED_DRAIN), 1);
    divert(b, BOB, ALICE, "session-accept", AUDIO); // those that there are go on
    board_sent_on(b);
    end(b);
}

// ---- a relay that hides addresses

static void hiding_takes_candidates_out(void **state)
{
    struct board *b = new_board(POLICY_RELAY_ONLY);
    const struct xml *iq;

    divert(b, ALICE, BOB, "session-initiate", AUDIO);
    assert_int_equal(count_children(transport_of(board_sent_on(b), "0"), "candidate"), 2);
    divert(b, ALICE, BOB, "transport-info",
           "<content creator='initiator' name='0'><transport xmlns='" ICE
           "' ufrag='ua' pwd='p'>" HOST "</transport></content>");
    iq = board_answered(b); // nothing is left
    assert_string_equal(xml_attr(iq, "type"), "result");
    assert_string_equal(xml_attr(iq, "from"), BOB);
    assert_string_equal(xml_attr(iq, "to"), ALICE);
    assert_string_equal(xml_attr(iq, "id"), "j1");
    assert_int_equal(board_counter(b, COUNTER_DIVERT_ANSWERED), 1);
    divert(b, ALICE, BOB, "session-info", "%s", "");
    board_expect_passed(b);
    end(b);
}

// What would tell an address is refused; the rest passes as ever.
static void hiding_refuses_what_tells(void **state)
{
    static const struct {
        const char *inner, *condition;
    } rows[] = {
        {"<jingle xmlns='urn:xmpp:jingle:1' action='transport-info' sid='other'>" AUDIO "</jingle>",
         "item-not-found"},
        {"<jingle xmlns='urn:xmpp:jingle:1' action='session-initiate' sid='s2'><content "
         "name='file'><transport xmlns='" S5B "'><candidate host='192.0.2.1'/></transport>"
         "</content></jingle>",
         "feature-not-implemented"},
        {"<jingle xmlns='urn:xmpp:jingle:1' action='session-initiate' sid='s3'>" AUDIO
         "<content name='file'><transport xmlns='" S5B "'/></content></jingle>",
         "feature-not-implemented"},
        {"<jingle xmlns='urn:xmpp:jingle:1' action='dance' sid='s1'>" AUDIO "</jingle>",
         "bad-request"},
        {"<session xmlns='urn:own'><candidate address='192.0.2.1'/></session>",
         "feature-not-implemented"},
        {INFO("other"), NULL},
        {"<jingle xmlns='urn:xmpp:jingle:1' action='session-initiate' sid='s2'><content "
         "name='file'><transport xmlns='" IBB "'/></content></jingle>",
         NULL},
        {"<query xmlns='urn:own'/>", NULL},
    };
    struct board *b = new_board(POLICY_RELAY_ONLY);

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct xml *iq, *error;

        board_divert(b, "example.org",
                     "<iq type='set' id='x' from='" ALICE "' to='" BOB "'>%s</iq>", rows[i].inner);
        if (!rows[i].condition) {
            board_expect_passed(b);
            continue;
        }
        iq = board_answered(b);
        assert_string_equal(xml_attr(iq, "type"), "error");
        assert_string_equal(xml_attr(iq, "id"), "x");
        assert_string_equal(xml_attr(iq, "to"), ALICE);
        error = xml_child(iq, "error", NULL);
        assert_non_null(xml_child(error, rows[i].condition, NS_STANZAS));
    }
    board_none(b);
    board_free(b);
}

static void hiding_without_ports(void **state)
{
    struct board *b = new_board(POLICY_RELAY_ONLY);

    b->fail = -EMFILE;
    divert(b, ALICE, BOB, "session-initiate", AUDIO);
    assert_non_null(
        xml_child(xml_child(board_answered(b), "error", NULL), "resource-constraint", NS_STANZAS));
    b->fail = 0;
    b->late = true;
    divert(b, ALICE, BOB, "session-initiate", AUDIO);
    board_wait(b, 1500 * USEC_PER_MSEC);
    assert_string_equal(xml_attr(board_answered(b), "type"), "error");
    assert_int_equal(signal_calls(b->signal), 0);
    board_none(b);
    board_free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_may_not_divert),
        cmocka_unit_test(what_cannot_be_diverted),
        cmocka_unit_test(it_is_announced),
        cmocka_unit_test(the_doors_do_not_mix),
        cmocka_unit_test(the_rest_passes),
        cmocka_unit_test(no_ports_no_relay),
        cmocka_unit_test(a_later_content_without_ports),
        cmocka_unit_test(a_drained_relay_takes_no_calls),
        cmocka_unit_test(hiding_takes_candidates_out),
        cmocka_unit_test(hiding_refuses_what_tells),
        cmocka_unit_test(hiding_without_ports),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
