// SPDX-License-Identifier: ISC
// What becomes of a stanza on its way: the relay's candidates in the shape that every client
// accepts, everything else as it was sent; and with relay-only, not one byte of an address.
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

#define ICE        "urn:xmpp:jingle:transports:ice-udp:1"
#define RAW        "urn:xmpp:jingle:transports:raw-udp:1"
#define RTP(media) "<description xmlns='urn:xmpp:jingle:apps:rtp:1' media='" media "'/>"
#define IN_TRANSPORT(ns, attributes, inner)                                                        \
    "<content creator='initiator' name='0'>" RTP("audio") "<transport xmlns='" ns "' " attributes  \
                                                          ">" inner "</transport></content>"
#define CREDS_A "ufrag='ua' pwd='pa'"
#define CREDS_B "ufrag='ub' pwd='pb'"
#define HOST                                                                                       \
    "<candidate component='1' foundation='1' generation='0' id='h' ip='192.168.1.20' network='0' " \
    "port='40001' priority='2015363327' protocol='udp' type='host'/>"

static struct board *with(enum relay_policy policy, bool v4, bool v6)
{
    struct signal_config config = board_config();

    config.policy = policy;
    config.family_v4 = v4;
    config.family_v6 = v6;
    return board_new(&config);
}

static void end(struct board *b)
{
    board_hang_up(b);
    board_free(b);
}

// Bob's client has the offer, which is left in b->last.
static struct xml *offer(struct board *b, const char *inner)
{
    struct xml *got;

    alice(b, "i", "session-initiate", "%s", inner);
    got = xml_clone(board_take(b));
    assert_string_equal(xml_attr(got, "type"), "set");
    board_result(b);
    board_expect_result(b, ALICE, "i");
    xml_free(b->last);
    b->last = got;
    return got;
}

static struct xml *accept(struct board *b, const char *inner)
{
    bob(b, "a", "session-accept", "%s", inner);
    assert_string_equal(xml_attr(board_take(b), "type"), "set");
    return b->last;
}

static void remove_ours(struct xml *transport)
{
    struct xml *c = xml_child(transport, "candidate", NULL), *next;

    for (; c; c = next) {
        next = xml_next(c, "candidate", NULL);
        if (strncmp(xml_attr(c, "id"), "relay", 5) == 0)
            xml_free(c);
    }
}

// ---- the relay's candidates

static void ours_are_added_in_the_safe_shape(void **state)
{
    struct board *b = with(POLICY_FALLBACK, true, false);
    struct xml *transport;

    transport = transport_of(offer(b, IN_TRANSPORT(ICE, CREDS_A, "")), "0");
    remove_ours(transport);
    assert_null(transport->first);
    transport = transport_of(accept(b, IN_TRANSPORT(ICE, CREDS_B, "")), "0");
    for (unsigned component = 1; component <= 2; component++) {
        struct xml *c = relay_candidate(transport, component, FAMILY_V4);
        struct xml *want =
            parse("<candidate xmlns='" ICE "' component='%u' foundation='2830004' generation='0' "
                  "id='%s' ip='203.0.113.1' network='0' port='%u' priority='%u' protocol='udp' "
                  "type='relay'/>",
                  component, xml_attr(c, "id"), 40000 + 2 * (component - 1), 3 - component);

        assert_true(xml_equal(c, want));
        xml_free(want);
    }
    assert_string_not_equal(xml_attr(relay_candidate(transport, 1, FAMILY_V4), "id"),
                            xml_attr(relay_candidate(transport, 2, FAMILY_V4), "id"));
    end(b);
}

static void families(void **state)
{
    for (int i = 1; i <= 3; i++) {
        bool v4 = i & 1, v6 = i & 2;
        struct board *b = with(POLICY_FALLBACK, v4, v6);
        struct xml *t = transport_of(offer(b, IN_TRANSPORT(ICE, CREDS_A, HOST)), "0");

        assert_int_equal(b->path[0].open.u.open.family_v4[SIDE_INITIATOR], v4);
        assert_int_equal(b->path[0].open.u.open.family_v6[SIDE_RESPONDER], v6);
        for (unsigned component = 1; component <= 2; component++) {
            assert_true(v4 == (relay_candidate(t, component, FAMILY_V4) != NULL));
            assert_true(v6 == (relay_candidate(t, component, FAMILY_V6) != NULL));
        }
        assert_int_equal(count_children(t, "candidate"), 1 + 2 * (v4 + v6));
        end(b);
    }
}

static void ours_are_the_last_resort(void **state)
{
    struct board *b = with(POLICY_FALLBACK, true, true);
    struct xml *t;
    unsigned long seen = 0;

    // A relayed candidate of the lowest local preference: type 0, local 0, component 2.
    t = transport_of(
        offer(b, IN_TRANSPORT(ICE, CREDS_A,
                              "<candidate component='2' foundation='9' generation='0' id='low' "
                              "ip='198.51.100.9' network='0' port='9' priority='254' "
                              "protocol='udp' type='relay'/>")),
        "0");
    for (struct xml *c = xml_child(t, "candidate", NULL); c; c = xml_next(c, "candidate", NULL)) {
        unsigned long priority = strtoul(xml_attr(c, "priority"), NULL, 10);

        if (strcmp(xml_attr(c, "id"), "low") == 0)
            continue;
        assert_in_range(priority, 1, 253);
        assert_false(seen & 1ul << priority); // RFC 8445 section 5.1.2: unique
        seen |= 1ul << priority;
    }
    end(b);
}

static void ours_come_with_the_credentials(void **state)
{
    struct board *b = with(POLICY_FALLBACK, true, false);
    struct xml *t;

    // Asterisk: an empty transport, and candidates in a transport-info.
    t = transport_of(offer(b, IN_TRANSPORT(ICE, "", "")), "0");
    assert_null(t->first);
    assert_int_equal(board_open_paths(b), 2);
    alice(b, "t1", "transport-info", "%s", IN_TRANSPORT(ICE, CREDS_A, HOST));
    t = transport_of(board_take(b), "0");
    assert_int_equal(count_children(t, "candidate"), 3);
    assert_string_equal(b->path[1].ufrag[SIDE_INITIATOR], "ua");
    alice(b, "t2", "transport-info", "%s", IN_TRANSPORT(ICE, CREDS_A, HOST));
    t = transport_of(board_take(b), "0");
    assert_int_equal(count_children(t, "candidate"), 1); // once is enough
    board_clear(b);
    end(b);
}

// Some clients count generations from 1 (Pidgin): ours are of the same as theirs.
static void generations_are_the_senders(void **state)
{
    struct board *b = with(POLICY_FALLBACK, true, false);
    struct xml *t = transport_of(
        offer(b, IN_TRANSPORT(ICE, CREDS_A,
                              "<candidate component='1' foundation='1' generation='1' id='h' "
                              "ip='192.168.1.20' network='0' port='1' priority='9' "
                              "protocol='udp' type='host'/>")),
        "0");

    assert_string_equal(xml_attr(relay_candidate(t, 1, FAMILY_V4), "generation"), "1");
    end(b);
}

// ---- what is completed

static void missing_credentials_are_completed(void **state)
{
    struct board *b = with(POLICY_FALLBACK, true, false);
    struct xml *t;

    offer(b, IN_TRANSPORT(ICE, CREDS_A, ""));
    alice(b, "t1", "transport-info", "%s", IN_TRANSPORT(ICE, "ufrag='ua'", HOST)); // stanza.js
    t = transport_of(board_take(b), "0");
    assert_string_equal(xml_attr(t, "pwd"), "pa");
    alice(b, "t2", "transport-info", "%s", IN_TRANSPORT(ICE, "", HOST));
    t = transport_of(board_take(b), "0");
    assert_string_equal(xml_attr(t, "ufrag"), "ua");
    assert_string_equal(xml_attr(t, "pwd"), "pa");
    alice(b, "t3", "transport-info", "%s", IN_TRANSPORT(ICE, "ufrag='other'", HOST));
    t = transport_of(board_take(b), "0");
    assert_null(xml_attr(t, "pwd")); // nobody knows that one
    alice(b, "t4", "transport-info", "%s", IN_TRANSPORT(ICE, "", "<gathering-complete/>"));
    t = transport_of(board_take(b), "0");
    assert_null(xml_attr(t, "ufrag"));
    board_clear(b);
    end(b);
}

static void odd_candidates_pass(void **state)
{
    static const char *const odd[] = {
        "ip='3f1c-44.local' port='50000' type='host' protocol='udp'",
        "ip='192.0.2.1' port='9' type='host' protocol='tcp' tcptype='active'",
        "ip='192.0.2.1' port='0' type='host' protocol='ssltcp'",
        "ip='2001:db8::9' port='1' type='host' protocol='udp' network-id='1' network-cost='10'",
        "ip='192.0.2.1' port='70000' type='host' protocol='udp'",
        "ip='fe80::1' port='1' type='prflx' protocol='udp'",
    };
    struct board *b = with(POLICY_FALLBACK, true, false);

    offer(b, IN_TRANSPORT(ICE, CREDS_A, ""));
    for (size_t i = 0; i < sizeof odd / sizeof odd[0]; i++) {
        struct xml *want = parse("<candidate xmlns='" ICE "' component='1' foundation='1' "
                                 "generation='0' id='x' network='0' priority='5' %s/>",
                                 odd[i]);

        alice(b, "t", "transport-info",
              "<content creator='initiator' name='0'><transport xmlns='" ICE "' " CREDS_A
              "><candidate component='1' foundation='1' generation='0' id='x' network='0' "
              "priority='5' %s/></transport></content>",
              odd[i]);
        assert_true(
            xml_equal(xml_child(transport_of(board_take(b), "0"), "candidate", NULL), want));
        xml_free(want);
    }
    end(b);
}

static void creators_are_corrected(void **state)
{
    static const char *const given[] = {"creator='responder'", "creator='initiator'", ""};
    struct board *b = with(POLICY_FALLBACK, true, false);

    offer(b, IN_TRANSPORT(ICE, CREDS_A, ""));
    for (size_t i = 0; i < 3; i++) {
        bob(b, "t", "transport-info",
            "<content %s name='0'><transport xmlns='" ICE "' " CREDS_B "/></content>", given[i]);
        assert_string_equal(xml_attr(content_of(board_take(b), "0"), "creator"), "initiator");
    }
    bob(b, "t", "transport-info", "<content name='unknown'/>");
    assert_null(xml_attr(content_of(board_take(b), "unknown"), "creator"));
    end(b);
}

// ---- what is not ours survives

static void what_we_do_not_understand_survives(void **state)
{
    const char *inner =
        "<content creator='initiator' name='0' senders='both' disposition='session' "
        "xmlns:o='urn:o' o:attr='1'>"
        "<description xmlns='urn:xmpp:jingle:apps:rtp:1' media='audio' ssrc='1'>"
        "<payload-type id='8'><parameter name='a' value='b &amp; &lt;c&gt;'/></payload-type>"
        "<encryption><crypto tag='1' key-params='inline:AAA='/></encryption>text "
        "<x:own xmlns:x='urn:own' y='&quot;'>more</x:own></description>"
        "<transport xmlns='" ICE "' " CREDS_A " ice2='true'>"
        "<fingerprint xmlns='urn:xmpp:jingle:apps:dtls:0' hash='sha-256' "
        "setup='actpass'>AA:BB</fingerprint>" HOST "<gathering-complete/></transport>"
        "<security xmlns='urn:s'/></content>"
        "<muji xmlns='urn:xmpp:jingle:muji:0' room='r@example.org'/><ringing xmlns='urn:r'/>";
    struct board *b = with(POLICY_FALLBACK, true, true);
    struct xml *got = offer(b, inner);
    struct xml *want = parse("<jingle xmlns='urn:xmpp:jingle:1' action='session-initiate' "
                             "sid='s1'>%s</jingle>",
                             inner);

    remove_ours(transport_of(got, "0"));
    if (!xml_equal(xml_child(got, "jingle", NULL), want))
        fail_msg("\n%s\n%s", text_of(want), text_of(got));
    xml_free(want);
    end(b);
}

static void unknown_transports_pass(void **state)
{
    struct board *b = with(POLICY_FALLBACK, true, false);
    struct xml *t;

    t = transport_of(offer(b, IN_TRANSPORT("http://www.google.com/transport/raw-udp", "",
                                           "<candidate address='192.0.2.1' port='5'/>")),
                     "0");
    assert_int_equal(count_children(t, "candidate"), 1);
    assert_int_equal(b->paths, 0);
    end(b);
}

static void alternatives_are_told_apart(void **state)
{
    struct board *b = with(POLICY_FALLBACK, true, false);

    // One name, two transports (XEP-0166 section 7.3).
    offer(b, IN_TRANSPORT(RAW, "", "<candidate component='1' id='r' ip='192.0.2.1' port='5'/>")
                 IN_TRANSPORT(ICE, CREDS_A, ""));
    assert_int_equal(board_open_paths(b), 3);
    accept(b, IN_TRANSPORT(ICE, CREDS_B, ""));
    assert_int_equal(board_open_paths(b), 2);
    assert_int_equal(b->path[1].open.u.open.mode, PATH_ICE);
    assert_false(b->path[1].closed);
    end(b);
}

static void the_second_dialect_in_an_iq_survives(void **state)
{
    for (int policy = POLICY_FALLBACK; policy <= POLICY_RELAY_ONLY; policy++) {
        struct board *b = with((enum relay_policy)policy, true, false);
        struct xml *session;

        board_put(
            b, "<iq type='set' from='" ALICE "' to='" BOB_AS "' id='i'>"
               "<session xmlns='http://www.google.com/session' initiator='" ALICE
               "' id='s1' type='initiate'><candidate address='192.0.2.1'/></session>"
               "<jingle xmlns='urn:xmpp:jingle:1' action='session-initiate' sid='s1'>" IN_TRANSPORT(
                   ICE, CREDS_A, "") "</jingle></iq>");
        session = xml_child(board_take(b), "session", NULL);
        if (policy == POLICY_FALLBACK)
            assert_string_equal(xml_attr(session, "initiator"), ALICE_AS);
        else
            assert_null(session);
        assert_non_null(xml_child(b->last, "jingle", NULL));
        board_result(b);
        end(b);
    }
}

// XEP-0176 section 5.7: the initiator names the other's candidate that it uses. If it is ours, the
// other has never heard of it.
static void the_remote_candidate_is_not_ours(void **state)
{
    struct board *b = with(POLICY_FALLBACK, true, false);
    struct xml *t;

    offer(b, IN_TRANSPORT(ICE, CREDS_A, ""));
    alice(b, "t", "transport-info", "%s",
          IN_TRANSPORT(ICE, CREDS_A,
                       "<remote-candidate component='1' ip='203.0.113.1' port='40000'/>"
                       "<remote-candidate component='2' ip='192.0.2.7' port='40000'/>"));
    t = transport_of(board_take(b), "0");
    assert_int_equal(count_children(t, "remote-candidate"), 1);
    assert_string_equal(xml_attr(xml_child(t, "remote-candidate", NULL), "ip"), "192.0.2.7");
    end(b);
}

// ---- raw UDP

#define R(component, ip, port)                                                                     \
    "<candidate component='" component "' generation='0' id='r" component "' ip='" ip              \
    "' port='" port "'/>"

static void raw_candidates_are_replaced_both_ways(void **state)
{
    struct board *b = with(POLICY_FALLBACK, true, false);
    struct xml *t;

    t = transport_of(
        offer(b, IN_TRANSPORT(RAW, "", R("2", "10.0.0.1", "5001") R("1", "10.0.0.1", "5000"))),
        "0");
    remove_ours(t);
    assert_int_equal(count_children(t, "candidate"), 2);
    assert_non_null(relay_candidate(t, 1, FAMILY_V4));
    assert_string_equal(xml_attr(relay_candidate(t, 1, FAMILY_V4), "port"), "40001");
    assert_string_equal(xml_attr(relay_candidate(t, 1, FAMILY_V4), "id"), "r1");
    assert_string_equal(xml_attr(relay_candidate(t, 2, FAMILY_V4), "port"), "40003");
    assert_int_equal(b->path[1].open.u.open.rtp_path, b->path[0].open.path);
    // While it rings, nothing is expected of anybody.
    assert_int_equal(b->path[0].peers[SIDE_INITIATOR], 0);
    t = transport_of(accept(b, IN_TRANSPORT(RAW, "", R("1", "192.0.2.5", "7000"))), "0");
    assert_string_equal(xml_attr(relay_candidate(t, 1, FAMILY_V4), "port"), "40000");
    assert_int_equal(b->path[0].peer[SIDE_INITIATOR].port, 5000);
    assert_int_equal(b->path[0].peer[SIDE_RESPONDER].port, 7000);
    assert_int_equal(b->path[1].peer[SIDE_INITIATOR].port, 5001);
    assert_int_equal(b->path[1].peer[SIDE_RESPONDER].port, 0); // who has told nothing is learned
    assert_int_equal(b->path[1].peer[SIDE_RESPONDER].family, FAMILY_V4);
    bob(b, "t", "transport-info", "%s", IN_TRANSPORT(RAW, "", R("1", "192.0.2.6", "7002")));
    assert_int_equal(b->path[0].peer[SIDE_RESPONDER].port, 7002);
    end(b);
}

static void raw_families(void **state)
{
    struct board *b = with(POLICY_RELAY_ONLY, true, true);
    struct xml *t;

    t = transport_of(offer(b, IN_TRANSPORT(RAW, "", R("1", "2001:db8::5", "5000"))), "0");
    assert_non_null(relay_candidate(t, 1, FAMILY_V4)); // nothing is known of Bob yet
    t = transport_of(accept(b, IN_TRANSPORT(RAW, "", R("1", "192.0.2.5", "7000"))), "0");
    assert_non_null(relay_candidate(t, 1, FAMILY_V6)); // Alice has IPv6
    assert_null(relay_candidate(t, 1, FAMILY_V4));
    end(b);
}

static void raw_shapes_that_are_wrong(void **state)
{
    static const char *const wrong[] = {
        R("1", "192.0.2.1", "0"), R("1", "192.0.2.1", "70000"), R("1", "x.local", "5"),
        R("3", "192.0.2.1", "5"), R("x", "192.0.2.1", "5"),     "<candidate/>",
    };
    struct board *b = with(POLICY_FALLBACK, true, true);

    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        alice(b, "i", "session-initiate",
              "<content creator='initiator' name='0'><transport xmlns='" RAW "'>%s</transport>"
              "</content>",
              wrong[i]);
        board_expect_error(b, ALICE, "i", "bad-request", NULL);
        assert_int_equal(board_open_paths(b), 0);
    }
    board_free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ours_are_added_in_the_safe_shape),
        cmocka_unit_test(families),
        cmocka_unit_test(ours_are_the_last_resort),
        cmocka_unit_test(ours_come_with_the_credentials),
        cmocka_unit_test(generations_are_the_senders),
        cmocka_unit_test(missing_credentials_are_completed),
        cmocka_unit_test(odd_candidates_pass),
        cmocka_unit_test(creators_are_corrected),
        cmocka_unit_test(what_we_do_not_understand_survives),
        cmocka_unit_test(unknown_transports_pass),
        cmocka_unit_test(alternatives_are_told_apart),
        cmocka_unit_test(the_second_dialect_in_an_iq_survives),
        cmocka_unit_test(the_remote_candidate_is_not_ours),
        cmocka_unit_test(raw_candidates_are_replaced_both_ways),
        cmocka_unit_test(raw_families),
        cmocka_unit_test(raw_shapes_that_are_wrong),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
