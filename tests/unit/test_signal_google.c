// SPDX-License-Identifier: ISC
// Google's transport and session through the diverted door: what the relay reads in each spelling,
// which paths and names it orders, and what it adds where.
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

#define P2P     "http://www.google.com/transport/p2p"
#define SESSION "http://www.google.com/session"
#define PHONE   "<description xmlns='http://www.google.com/session/phone'/>"
#define VIDEO   "<description xmlns='http://www.google.com/session/video'/>"
#define CANDIDATE(name, ip, port, user)                                                            \
    "<candidate name='" name "' address='" ip "' port='" port "' username='" user                  \
    "' password='p' preference='0.9' protocol='udp' type='stun' network='0' generation='0'/>"
#define A_RTP  CANDIDATE("rtp", "8.8.1.1", "5000", "aaaaaaaaaaaaaaaa")
#define A_RTCP CANDIDATE("rtcp", "8.8.1.1", "5001", "aaaaaaaaaaaaaaab")
#define B_RTP  CANDIDATE("rtp", "9.9.1.1", "6000", "bbbbbbbbbbbbbbbb")
#define CONTENT(inner)                                                                             \
    "<content creator='initiator' name='voice'><description "                                      \
    "xmlns='urn:xmpp:jingle:apps:rtp:1' media='audio'/><transport xmlns='" P2P "'>" inner          \
    "</transport></content>"
#define INFO(inner)                                                                                \
    "<content creator='initiator' name='voice'><transport xmlns='" P2P "'>" inner                  \
    "</transport></content>"

static struct board *with(enum relay_policy policy)
{
    struct signal_config config = board_config();

    config.policy = policy;
    config.family_v6 = true;
    return board_new(&config);
}

// A stanza of Google's session.
static void session(struct board *b, const char *from, const char *type, const char *inner)
{
    board_divert(b, "example.org",
                 "<iq type='set' id='j1' from='%s' to='%s'><session xmlns='" SESSION
                 "' type='%s' id='s1' initiator='" ALICE "'>%s</session></iq>",
                 from, strcmp(from, ALICE) == 0 ? BOB : ALICE, type, inner);
}

static const struct xml *candidate_at(const struct xml *place, unsigned index)
{
    const struct xml *c = xml_child(place, "candidate", NULL);

    while (c && index-- > 0)
        c = xml_next(c, "candidate", NULL);
    assert_non_null(c);
    return c;
}

static void assert_attr(const struct xml *x, const char *name, const char *value)
{
    assert_non_null(xml_attr(x, name));
    assert_string_equal(xml_attr(x, name), value);
}

// The relay's, of this path and towards this side, after a candidate named like it.
static void assert_ours(const struct board *b, const struct xml *c, unsigned path, enum side to,
                        const char *name)
{
    static const char base64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *username = xml_attr(c, "username");
    char port[8];

    snprintf(port, sizeof port, "%u", b->path[path].relay[to][0].port);
    assert_attr(c, "name", name);
    assert_attr(c, "address", "203.0.113.1"); // few of these clients know IPv6
    assert_attr(c, "port", port);
    assert_attr(c, "type", "relay");
    assert_attr(c, "protocol", "udp");
    assert_attr(c, "preference", "0.1");
    assert_attr(c, "network", "0");
    assert_attr(c, "generation", "0");
    assert_non_null(xml_attr(c, "password"));
    assert_int_equal(strlen(username), 16);
    assert_int_equal(strspn(username, base64), 16);
    assert_string_equal(username, b->path[path].ufrag[to]);
    assert_string_equal(b->path[path].pwd[to], "");
}

static void bye(struct board *b)
{
    board_clear(b);
    session(b, ALICE, "terminate", "<call-ended/>");
    board_expect_passed(b);
    assert_string_equal(b->ended_reason, "call-ended");
    board_free(b);
}

// ---- in Jingle

static void jingle_with_googles_transport(void **state)
{
    struct board *b = with(POLICY_FALLBACK);
    struct xml *t;

    divert(b, ALICE, BOB, "session-initiate", CONTENT(""));
    board_expect_passed(b); // nothing to add yet
    assert_int_equal(b->paths, 0);
    assert_int_equal(board_counter(b, COUNTER_DIVERTED_RINGING), 1);

    divert(b, ALICE, BOB, "transport-info", INFO(A_RTP));
    t = transport_of(board_sent_on(b), "voice");
    assert_int_equal(count_children(t, "candidate"), 2);
    assert_attr(candidate_at(t, 0), "address", "8.8.1.1");
    assert_attr(candidate_at(t, 0), "username", "aaaaaaaaaaaaaaaa");
    assert_int_equal(b->paths, 1);
    assert_int_equal(b->path[0].open.u.open.mode, PATH_GOOGLE);
    assert_ours(b, candidate_at(t, 1), 0, SIDE_RESPONDER, "rtp");
    assert_int_equal(b->path[0].peers[SIDE_INITIATOR], 1);
    assert_int_equal(b->path[0].peer[SIDE_INITIATOR].port, 5000);

    // Asterisk says that it made what she offered.
    divert(b, BOB, ALICE, "transport-info",
           "<content creator='responder' name='voice'><transport xmlns='" P2P "'>" B_RTP
           "</transport></content>");
    board_sent_on(b);
    assert_attr(
        content_of(
            xml_child(xml_child(xml_child(b->last, "divert", NULL), "forwarded", NULL), "iq", NULL),
            "voice"),
        "creator", "initiator");
    assert_string_not_equal(b->path[0].ufrag[0], b->path[0].ufrag[1]);
    assert_int_equal(b->paths, 1);

    divert(b, ALICE, BOB, "transport-info", INFO(A_RTCP));
    t = transport_of(board_sent_on(b), "voice");
    assert_ours(b, candidate_at(t, 1), 1, SIDE_RESPONDER, "rtcp");

    // With the answer, both are expected to check.
    divert(b, BOB, ALICE, "session-accept", CONTENT(""));
    board_expect_passed(b);
    assert_int_equal(b->path[0].peers[SIDE_INITIATOR], 2);
    assert_int_equal(b->path[0].peer[SIDE_INITIATOR].port, 0);
    assert_int_equal(board_counter(b, COUNTER_DIVERTED_ACTIVE), 1);
    bye(b);
}

static void what_is_not_the_relays(void **state)
{
    static const char *const candidates[] = {
        "<candidate name='rtp' address='8.8.1.1' port='443' username='u' protocol='ssltcp'/>",
        "<candidate name='rtp' address='host.example' port='5000' username='u' protocol='udp'/>",
        "<candidate name='rtp' address='8.8.1.1' port='0' username='u' protocol='udp'/>",
        "<candidate name='private-1' address='8.8.1.1' port='5000' username='u' protocol='udp'/>",
        "<candidate/>",
    };
    struct board *b = with(POLICY_FALLBACK);

    divert(b, ALICE, BOB, "session-initiate", CONTENT(""));
    board_expect_passed(b);
    for (size_t i = 0; i < sizeof candidates / sizeof candidates[0]; i++) {
        divert(b, ALICE, BOB, "transport-info", INFO("%s"), candidates[i]);
        board_expect_passed(b);
    }
    assert_int_equal(b->paths, 0);
    bye(b);
}

// Section 6 of docs/DIVERT.md.
static void twice_and_again(void **state)
{
    struct board *b = with(POLICY_FALLBACK);
    struct xml *first, *again;

    divert(b, ALICE, BOB, "session-initiate", CONTENT(""));
    board_expect_passed(b);
    divert(b, ALICE, BOB, "transport-info", INFO(A_RTP));
    first = xml_clone(board_sent_on(b));
    board_divert_xml(b, "example.org", first); // the next host
    board_expect_passed(b);
    divert(b, ALICE, BOB, "transport-info", INFO(A_RTP)); // the answer came too late
    again = board_sent_on(b);
    assert_true(xml_equal(first, again));
    assert_int_equal(b->paths, 1);
    xml_free(first);
    bye(b);
}

// ---- in Google's session

static void a_session_alone(void **state)
{
    static const char in_transport[] = "<transport xmlns='" P2P "'>" A_RTP "</transport>";
    struct board *b = with(POLICY_FALLBACK);
    const struct xml *iq, *place;

    session(b, ALICE, "initiate", PHONE);
    board_expect_passed(b);
    assert_int_equal(board_counter(b, COUNTER_DIVERTED_RINGING), 1);

    // Version 0.3: candidates in the session itself.
    session(b, ALICE, "candidates", A_RTP A_RTCP);
    iq = board_sent_on(b);
    assert_attr(iq, "id", "j1");
    assert_null(jingle_element(iq));
    place = xml_child(iq, "session", SESSION);
    assert_attr(place, "type", "candidates");
    assert_attr(place, "initiator", ALICE);
    assert_int_equal(count_children(place, "candidate"), 4);
    assert_string_equal(candidate_at(place, 3)->ns, SESSION);
    assert_ours(b, candidate_at(place, 2), 0, SIDE_RESPONDER, "rtp");
    assert_ours(b, candidate_at(place, 3), 1, SIDE_RESPONDER, "rtcp");

    // Version 0.4: in a transport.
    session(b, ALICE, "transport-info", in_transport);
    place = xml_child(xml_child(board_sent_on(b), "session", SESSION), "transport", P2P);
    assert_int_equal(count_children(place, "candidate"), 2);
    assert_string_equal(candidate_at(place, 1)->ns, P2P);
    assert_ours(b, candidate_at(place, 1), 0, SIDE_RESPONDER, "rtp");

    session(b, BOB, "transport-accept", "");
    board_expect_passed(b);
    session(b, BOB, "candidates", B_RTP);
    place = xml_child(board_sent_on(b), "session", SESSION);
    assert_ours(b, candidate_at(place, 1), 0, SIDE_INITIATOR, "rtp");
    session(b, BOB, "accept", PHONE);
    board_expect_passed(b);
    assert_int_equal(board_counter(b, COUNTER_DIVERTED_ACTIVE), 1);
    assert_int_equal(b->paths, 2);
    bye(b);
}

// A video call has its names, and ports, beside those of audio.
static void audio_and_video(void **state)
{
    struct board *b = with(POLICY_FALLBACK);
    const struct xml *place;

    session(b, ALICE, "initiate", VIDEO);
    board_expect_passed(b);
    session(b, ALICE, "candidates",
            A_RTP CANDIDATE("video_rtp", "8.8.1.1", "5002", "aaaaaaaaaaaaaaac"));
    place = xml_child(board_sent_on(b), "session", SESSION);
    assert_int_equal(count_children(place, "candidate"), 4);
    assert_ours(b, candidate_at(place, 1), 0, SIDE_RESPONDER, "rtp");
    assert_ours(b, candidate_at(place, 3), 1, SIDE_RESPONDER, "video_rtp");
    session(b, BOB, "reject", "");
    board_expect_passed(b);
    assert_string_equal(b->ended_reason, "reject");
    board_free(b);
}

// Both in one IQ, and the answer in the older one: it is the same call.
static void both_in_one(void **state)
{
    struct board *b = with(POLICY_FALLBACK);
    const struct xml *place;

    board_divert(b, "example.org",
                 "<iq type='set' id='j1' from='" ALICE "' to='" BOB "'><jingle xmlns='%s' "
                 "action='session-initiate' sid='s1'>" CONTENT(
                     "") "</jingle><session xmlns='" SESSION
                         "' type='initiate' id='s1' initiator='" ALICE "'>" PHONE "</session></iq>",
                 NS_JINGLE);
    board_expect_passed(b);
    divert(b, ALICE, BOB, "transport-info", INFO(A_RTP));
    board_sent_on(b);
    session(b, ALICE, "candidates", A_RTP); // FreeSWITCH says it twice
    place = xml_child(board_sent_on(b), "session", SESSION);
    assert_ours(b, candidate_at(place, 1), 0, SIDE_RESPONDER, "rtp");
    session(b, BOB, "accept", PHONE);
    board_expect_passed(b);
    assert_int_equal(board_counter(b, COUNTER_DIVERTED_ACTIVE), 1);
    session(b, BOB, "candidates", B_RTP);
    place = xml_child(board_sent_on(b), "session", SESSION);
    assert_ours(b, candidate_at(place, 1), 0, SIDE_INITIATOR, "rtp");
    assert_int_equal(b->paths, 1);
    bye(b);
}

// Nobody is told where the other is, in whatever words.
static void addresses_are_hidden(void **state)
{
    struct board *b = with(POLICY_RELAY_ONLY);
    const struct xml *place;
    char *text;

    session(b, ALICE, "initiate", PHONE "<candidate address='8.8.1.1'/>");
    text = text_of(board_sent_on(b));
    assert_null(strstr(text, "8.8.1.1"));
    free(text);
    session(b, ALICE, "candidates", A_RTP "<info xmlns='urn:i' ip='8.8.1.1'/>");
    place = xml_child(board_sent_on(b), "session", SESSION);
    assert_int_equal(count_children(place, "candidate"), 1);
    assert_ours(b, candidate_at(place, 0), 0, SIDE_RESPONDER, "rtp");
    assert_null(xml_child(place, "info", NULL));
    divert(b, BOB, ALICE, "session-info", "%s", ""); // in Jingle, the same session
    board_expect_passed(b);
    // What cannot be relayed is answered with nothing in it.
    session(b, ALICE, "candidates",
            "<candidate name='private-1' address='8.8.1.1' port='443' protocol='tcp'/>");
    board_answered(b);
    bye(b);
}

static void sessions_that_are_wrong(void **state)
{
    static const char *const attributes[] = {"type='initiate'", "type='initiate' id=''", "",
                                             "type='candidates' id='unknown'"};
    struct board *b = with(POLICY_FALLBACK);

    for (size_t i = 0; i < sizeof attributes / sizeof attributes[0]; i++) {
        board_divert(b, "example.org",
                     "<iq type='set' id='j1' from='" ALICE "' to='" BOB "'><session xmlns='" SESSION
                     "' %s>" PHONE "</session></iq>",
                     attributes[i]);
        board_expect_passed(b);
    }
    assert_int_equal(board_counter(b, COUNTER_DIVERT_PASSED_MALFORMED), 3);
    assert_int_equal(board_counter(b, COUNTER_DIVERT_PASSED_UNKNOWN_SESSION), 1);
    board_free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(jingle_with_googles_transport),
        cmocka_unit_test(what_is_not_the_relays),
        cmocka_unit_test(twice_and_again),
        cmocka_unit_test(a_session_alone),
        cmocka_unit_test(audio_and_video),
        cmocka_unit_test(both_in_one),
        cmocka_unit_test(addresses_are_hidden),
        cmocka_unit_test(sessions_that_are_wrong),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
