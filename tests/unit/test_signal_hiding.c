// SPDX-License-Identifier: ISC
// relay-only: neither side learns the other's address. Whatever a client writes, and wherever it
// writes it, not one byte of an address of its own is in anything that is sent to the other.
#include "codec/jingle.h"
#include "lib/board.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define ICE     "urn:xmpp:jingle:transports:ice-udp:1"
#define RAW     "urn:xmpp:jingle:transports:raw-udp:1"
#define RTP     "<description xmlns='urn:xmpp:jingle:apps:rtp:1' media='audio'/>"
#define CREDS_A "ufrag='ua' pwd='pa'"
#define CREDS_B "ufrag='ub' pwd='pb'"

// Every address in this file is in one of these.
static const char *const secret[] = {"192.0.2.", "10.0.0.", "2001:db8:5::", "secret.local"};

#define CANDIDATES                                                                                 \
    "<candidate component='1' foundation='1' generation='0' id='h' ip='10.0.0.1' network='0' "     \
    "port='4' priority='2015363327' protocol='udp' type='host'/>"                                  \
    "<candidate component='1' foundation='2' id='s' ip='192.0.2.1' port='4' priority='1677722111'" \
    " protocol='udp' type='srflx' rel-addr='10.0.0.1' rel-port='4'/>"                              \
    "<candidate component='1' ip='secret.local' port='4' protocol='udp' type='host'/>"             \
    "<candidate component='1' ip='2001:db8:5::1' port='9' protocol='tcp' type='host'/>"            \
    "<x:candidate xmlns:x='urn:x' host='192.0.2.2'/><relayed xmlns='urn:x' address='192.0.2.3'/>"  \
    "<remote-candidate component='1' ip='192.0.2.4' port='4'/>"                                    \
    "<deep xmlns='urn:x'><deeper><candidate ip='192.0.2.5'/></deeper><kept/></deep>"

static const char *leaked(const struct xml *stanza)
{
    char *text = text_of(stanza);
    const char *found = NULL;

    for (size_t i = 0; i < sizeof secret / sizeof secret[0]; i++) {
        if (strstr(text, secret[i]))
            found = secret[i];
    }
    free(text);
    return found;
}

static struct xml *take(struct board *b)
{
    struct xml *got = board_take(b);

    if (leaked(got))
        fail_msg("%s in %s", leaked(got), text_of(got));
    return got;
}

static struct board *hiding(void)
{
    struct signal_config config = board_config();

    config.policy = POLICY_RELAY_ONLY;
    return board_new(&config);
}

static void begin(struct board *b)
{
    alice(b, "i", "session-initiate",
          "<content creator='initiator' name='0'>" RTP "<transport xmlns='" ICE "' " CREDS_A
          ">" CANDIDATES "</transport></content>");
    take(b);
    board_result(b);
    board_expect_result(b, ALICE, "i");
}

static void end(struct board *b)
{
    while (board_peek(b))
        take(b);
    board_hang_up(b);
    board_free(b);
}

static void in_offer_and_answer(void **state)
{
    struct board *b = hiding();
    struct xml *t;

    alice(b, "i", "session-initiate",
          "<content creator='initiator' name='0'>" RTP "<transport xmlns='" ICE "' " CREDS_A
          ">" CANDIDATES "<fingerprint xmlns='urn:xmpp:jingle:apps:dtls:0'>AA</fingerprint>"
          "</transport></content>");
    t = transport_of(take(b), "0");
    assert_int_equal(count_children(t, "candidate"), 2);
    assert_non_null(relay_candidate(t, 2, FAMILY_V4));
    assert_non_null(xml_child(t, "fingerprint", NULL));
    assert_non_null(xml_child(xml_child(t, "deep", NULL), "kept", NULL));
    board_result(b);
    bob(b, "a", "session-accept",
        "<content creator='initiator' name='0'>" RTP "<transport xmlns='" ICE "' " CREDS_B
        ">" CANDIDATES "</transport></content>");
    board_expect_result(b, ALICE, "i");
    assert_int_equal(count_children(transport_of(take(b), "0"), "candidate"), 2);
    end(b);
}

static void wherever_it_stands(void **state)
{
    static const char *const inner[] = {
        "<content creator='initiator' name='unknown'><transport xmlns='" ICE "' " CREDS_A
        ">" CANDIDATES "</transport></content>",
        "<content creator='initiator' name='0'><transport xmlns='" ICE "' " CREDS_A
        "/><transport xmlns='" ICE "'>" CANDIDATES "</transport></content>",
        "<content creator='initiator' name='0'>" CANDIDATES "</content>",
        "<content creator='initiator' name='0'><transport xmlns='" RAW
        "'><candidate component='1' ip='192.0.2.9' port='5'/></transport></content>",
        "<content creator='initiator' name='unknown'><transport xmlns='" RAW
        "'><candidate component='1' ip='192.0.2.9' port='5'/></transport></content>",
        "<content creator='initiator' name='0'><transport xmlns='" ICE "' " CREDS_A
        " ip='192.0.2.8'/></content>",
        CANDIDATES,
        "<info xmlns='urn:i'>" CANDIDATES "</info>",
    };

    for (int a = 0; a < JINGLE_ACTION_COUNT; a++) {
        const char *action = jingle_action_name((enum jingle_action)a);
        struct board *b = hiding();

        begin(b);
        for (size_t i = 0; i < sizeof inner / sizeof inner[0]; i++) {
            if (a == JINGLE_SESSION_TERMINATE && i > 0)
                break;
            alice(b, "x", action, "%s", inner[i]);
            bob(b, "y", action, "%s", inner[i]);
            while (board_peek(b))
                take(b);
        }
        if (a == JINGLE_SESSION_TERMINATE)
            board_free(b);
        else
            end(b);
    }
}

static void in_a_second_payload_and_in_answers(void **state)
{
    struct board *b = hiding();

    begin(b);
    board_put(b, "<iq type='set' from='" ALICE "' to='" BOB_AS "' id='x'>"
                 "<session xmlns='http://www.google.com/session'>" CANDIDATES "</session>"
                 "<jingle xmlns='urn:xmpp:jingle:1' action='session-info' sid='s1'/></iq>");
    take(b);
    board_put(b,
              "<iq type='error' from='" BOB "' to='" ALICE_AS "' id='%s'>"
              "<jingle xmlns='urn:xmpp:jingle:1'>" CANDIDATES "</jingle>"
              "<error type='cancel'><bad-request xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>"
              "</error></iq>",
              xml_attr(b->last, "id"));
    take(b);
    assert_string_equal(xml_attr(b->last, "to"), ALICE);
    assert_non_null(xml_child(b->last, "error", NULL));
    end(b);
}

static void transports_that_cannot_be_relayed_are_refused(void **state)
{
    static const char *const offer =
        "<content creator='initiator' name='g'>" RTP
        "<transport xmlns='http://www.google.com/transport/raw-udp'>" CANDIDATES "</transport>"
        "</content>";
    struct board *b = hiding();

    alice(b, "i", "session-initiate", "%s", offer);
    board_expect_error(b, ALICE, "i", "feature-not-implemented", NULL);
    begin(b);
    bob(b, "add", "content-add", "%s", offer);
    board_expect_error(b, BOB, "add", "feature-not-implemented", NULL);
    bob(b, "r", "transport-replace",
        "<content creator='initiator' name='0'><transport xmlns='urn:x'>" CANDIDATES
        "</transport></content>");
    board_expect_error(b, BOB, "r", "feature-not-implemented", NULL);
    assert_int_equal(board_open_paths(b), 2);
    end(b);
}

// A transport-info of which nothing is left is answered here, unless it tells something else.
static void what_is_left_decides(void **state)
{
    static const struct {
        const char *attributes, *inner;
        bool passes;
    } rows[] = {
        {CREDS_A, CANDIDATES, true}, // <deep/> is left
        {CREDS_A, "<candidate component='1' ip='192.0.2.1' port='5'/>", false},
        {CREDS_A, "", true}, // never was about candidates
        {CREDS_A, "<candidate component='1' ip='192.0.2.1' port='5'/><gathering-complete/>", true},
        {"ufrag='new' pwd='new'", "<candidate component='1' ip='192.0.2.1' port='5'/>", true},
        {"ufrag='new' pwd='new'", "<candidate component='1' ip='192.0.2.1' port='5'/>", false},
        {"ufrag='newer'", "<candidate component='1' ip='192.0.2.1' port='5'/>", false},
    };
    struct board *b = hiding();

    begin(b);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        alice(b, "t", "transport-info",
              "<content creator='initiator' name='0'><transport xmlns='" ICE
              "' %s>%s</transport></content>",
              rows[i].attributes, rows[i].inner);
        if (rows[i].passes)
            assert_string_equal(xml_attr(take(b), "to"), BOB);
        else
            board_expect_result(b, ALICE, "t");
        board_none(b);
    }
    end(b);
}

static void raw_addresses_are_replaced(void **state)
{
    struct board *b = hiding();

    alice(b, "i", "session-initiate",
          "<content creator='initiator' name='0'>" RTP "<transport xmlns='" RAW
          "'><candidate component='1' id='r' ip='192.0.2.1' port='5' type='srflx' "
          "rel-addr='10.0.0.1' rel-port='6'/><candidate component='1' id='again' ip='192.0.2.2' "
          "port='5'/></transport></content>");
    assert_int_equal(count_children(transport_of(take(b), "0"), "candidate"), 2);
    board_result(b);
    end(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(in_offer_and_answer),
        cmocka_unit_test(wherever_it_stands),
        cmocka_unit_test(in_a_second_payload_and_in_answers),
        cmocka_unit_test(transports_that_cannot_be_relayed_are_refused),
        cmocka_unit_test(what_is_left_decides),
        cmocka_unit_test(raw_addresses_are_replaced),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
