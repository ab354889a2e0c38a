// SPDX-License-Identifier: ISC
// Contents and their ports in the course of a call: multiplexing, bundles, contents that come and
// go, ICE restarts, and transports that are replaced.
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

#define ICE "urn:xmpp:jingle:transports:ice-udp:1"
#define RAW "urn:xmpp:jingle:transports:raw-udp:1"
#define MUX "<rtcp-mux/>"
#define CONTENT(name, inner, ufrag)                                                                \
    "<content creator='initiator' name='" name                                                     \
    "'><description xmlns='urn:xmpp:jingle:apps:rtp:1' media='" name "'>" inner                    \
    "</description><transport xmlns='" ICE "' ufrag='" ufrag "' pwd='p'/></content>"
#define BUNDLE(members)                                                                            \
    "<group xmlns='urn:xmpp:jingle:apps:grouping:0' semantics='BUNDLE'>" members "</group>"
#define MEMBER(name) "<content name='" name "'/>"

// Alice says this to Bob, or Bob to Alice; the other client answers. The last stanza is what it
// got.
static struct xml *says(struct board *b,
                        void (*who)(struct board *, const char *, const char *, const char *, ...),
                        const char *action, const char *inner)
{
    struct xml *got;
    const char *other = who == alice ? BOB : ALICE;

    board_clear(b);
    who(b, "q", action, "%s", inner);
    got = board_take(b);
    if (strcmp(xml_attr(got, "to"), other) != 0)
        fail_msg("not passed on: %s", text_of(got));
    got = xml_clone(got);
    board_result(b);
    board_expect_result(b, who == alice ? ALICE : BOB, "q");
    xml_free(b->last);
    b->last = got;
    return got;
}

static void end(struct board *b)
{
    board_hang_up(b);
    board_none(b);
    board_free(b);
}

static bool open_at(const struct board *b, unsigned index)
{
    assert_true(index < b->paths);
    return !b->path[index].closed;
}

// ---- components

static void components_by_mux(void **state)
{
    static const struct {
        const char *offer, *answer;
        unsigned paths;
    } rows[] = {
        {CONTENT("0", "", "a"), CONTENT("0", "", "b"), 2},
        {CONTENT("0", MUX, "a"), CONTENT("0", "", "b"), 2},
        {CONTENT("0", "", "a"), CONTENT("0", MUX, "b"), 2},
        {CONTENT("0", MUX, "a"), CONTENT("0", MUX, "b"), 1},
        {"<content creator='initiator' name='0'><description xmlns='urn:file'/>"
         "<transport xmlns='" ICE "' ufrag='a' pwd='p'/></content>",
         "<content creator='initiator' name='0'><description xmlns='urn:file'/>"
         "<transport xmlns='" ICE "' ufrag='b' pwd='p'/></content>",
         1},
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct board *b = board_new(NULL);

        says(b, alice, "session-initiate", rows[i].offer);
        assert_int_equal(board_open_paths(b), i == 4 ? 1 : 2);
        says(b, bob, "session-accept", rows[i].answer);
        assert_int_equal(board_open_paths(b), rows[i].paths);
        assert_true(open_at(b, 0));
        end(b);
    }
}

static void the_relay_learns_both_credentials(void **state)
{
    struct board *b = board_new(NULL);

    says(b, alice, "session-initiate", CONTENT("0", "", "ua"));
    says(b, bob, "session-accept", CONTENT("0", "", "ub"));
    for (int i = 0; i < 2; i++) {
        assert_string_equal(b->path[i].ufrag[SIDE_INITIATOR], "ua");
        assert_string_equal(b->path[i].ufrag[SIDE_RESPONDER], "ub");
        assert_string_equal(b->path[i].pwd[SIDE_RESPONDER], "p");
        assert_int_equal(b->path[i].credentials[SIDE_INITIATOR], 1);
        assert_int_equal(b->path[i].open.u.open.mode, PATH_ICE);
    }
    // The same again is not new.
    says(b, alice, "transport-info", CONTENT("0", "", "ua"));
    assert_int_equal(b->path[0].credentials[SIDE_INITIATOR], 1);
    end(b);
}

// ---- bundles

#define TWO_OFFERED                                                                                \
    CONTENT("audio", MUX, "a") CONTENT("video", MUX, "a") BUNDLE(MEMBER("audio") MEMBER("video"))

static void a_bundle_keeps_one_path(void **state)
{
    struct board *b = board_new(NULL);

    says(b, alice, "session-initiate", TWO_OFFERED);
    assert_int_equal(board_open_paths(b), 4);
    says(b, bob, "session-accept",
         CONTENT("audio", MUX, "b") CONTENT("video", MUX, "b")
             BUNDLE(MEMBER("audio") MEMBER("video")));
    assert_int_equal(board_open_paths(b), 1);
    assert_true(open_at(b, 0));
    assert_non_null(relay_candidate(transport_of(b->last, "audio"), 1, FAMILY_V4));
    assert_null(relay_candidate(transport_of(b->last, "audio"), 2, FAMILY_V4));
    assert_null(relay_candidate(transport_of(b->last, "video"), 1, FAMILY_V4));
    end(b);
}

// RFC 9143 section 7.3.1: the transport is that of the first in the answer's group, in whatever
// order its contents stand.
static void the_answer_chooses_the_transport(void **state)
{
    struct board *b = board_new(NULL);

    says(b, alice, "session-initiate", TWO_OFFERED);
    says(b, bob, "session-accept",
         CONTENT("audio", MUX, "b") CONTENT("video", MUX, "b")
             BUNDLE(MEMBER("video") MEMBER("audio")));
    assert_int_equal(board_open_paths(b), 1);
    assert_true(open_at(b, 2));
    end(b);
    b = board_new(NULL);
    says(b, alice, "session-initiate", TWO_OFFERED);
    says(b, bob, "session-accept",
         BUNDLE(MEMBER("audio") MEMBER("video")) CONTENT("video", MUX, "b")
             CONTENT("audio", MUX, "b"));
    assert_int_equal(board_open_paths(b), 1);
    assert_true(open_at(b, 0));
    end(b);
}

static void both_must_bundle(void **state)
{
    static const char *const rows[][2] = {
        {CONTENT("audio", MUX, "a") CONTENT("video", MUX, "a"),
         CONTENT("audio", MUX, "b") CONTENT("video", MUX, "b")
             BUNDLE(MEMBER("audio") MEMBER("video"))},
        {TWO_OFFERED, CONTENT("audio", MUX, "b") CONTENT("video", MUX, "b")},
        {TWO_OFFERED,
         CONTENT("audio", MUX, "b") CONTENT("video", MUX, "b") BUNDLE(MEMBER("audio"))},
        {CONTENT("audio", MUX, "a") CONTENT(
             "video", MUX,
             "a") "<group xmlns='urn:xmpp:jingle:apps:grouping:0' semantics='LS'>" MEMBER("audio")
             MEMBER("video") "</group>",
         CONTENT("audio", MUX, "b") CONTENT(
             "video", MUX,
             "b") "<group xmlns='urn:xmpp:jingle:apps:grouping:0' semantics='LS'>" MEMBER("audio")
             MEMBER("video") "</group>"},
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct board *b = board_new(NULL);

        says(b, alice, "session-initiate", rows[i][0]);
        says(b, bob, "session-accept", rows[i][1]);
        assert_int_equal(board_open_paths(b), 2);
        assert_true(open_at(b, 0) && open_at(b, 2));
        end(b);
    }
}

static void what_is_not_accepted_is_released(void **state)
{
    struct board *b = board_new(NULL);

    says(b, alice, "session-initiate", TWO_OFFERED);
    says(b, bob, "session-accept", CONTENT("video", MUX, "b") BUNDLE(MEMBER("video")));
    assert_int_equal(board_open_paths(b), 1);
    assert_true(open_at(b, 2));
    end(b);
}

// XEP-0166 section 7.2.8
static void early_contents_are_not_what_is_accepted(void **state)
{
    struct board *b = board_new(NULL);

    says(b, alice, "session-initiate",
         CONTENT("audio", MUX, "a") "<content creator='initiator' name='early' "
                                    "disposition='early-session'><transport xmlns='" ICE
                                    "' ufrag='e' pwd='p'/></content>");
    says(b, bob, "session-accept", CONTENT("audio", MUX, "b"));
    assert_int_equal(board_open_paths(b), 2);
    end(b);
}

static void a_bundle_survives_its_first_member(void **state)
{
    struct board *b = board_new(NULL);

    says(b, alice, "session-initiate", TWO_OFFERED);
    says(b, bob, "session-accept",
         CONTENT("audio", MUX, "b") CONTENT("video", MUX, "b")
             BUNDLE(MEMBER("audio") MEMBER("video")));
    says(b, alice, "content-remove", "<content creator='initiator' name='audio'/>");
    assert_int_equal(board_open_paths(b), 1);
    says(b, alice, "content-remove", "<content creator='initiator' name='video'/>");
    assert_int_equal(board_open_paths(b), 0);
    end(b);
}

// ---- contents that come and go

static void begin(struct board *b)
{
    says(b, alice, "session-initiate", CONTENT("audio", MUX, "a") BUNDLE(MEMBER("audio")));
    says(b, bob, "session-accept", CONTENT("audio", MUX, "b") BUNDLE(MEMBER("audio")));
    assert_int_equal(board_open_paths(b), 1);
}

static void added_and_accepted(void **state)
{
    struct board *b = board_new(NULL);

    begin(b);
    says(b, alice, "content-add", CONTENT("video", "", "x"));
    assert_int_equal(board_open_paths(b), 3);
    assert_non_null(relay_candidate(transport_of(b->last, "video"), 1, FAMILY_V4));
    says(b, bob, "content-accept", CONTENT("video", "", "y"));
    assert_int_equal(board_open_paths(b), 3); // credentials of its own: not in the bundle
    assert_non_null(relay_candidate(transport_of(b->last, "video"), 2, FAMILY_V4));
    says(b, bob, "content-modify",
         "<content creator='initiator' name='video' senders='initiator'/>");
    assert_int_equal(board_open_paths(b), 3);
    says(b, bob, "content-remove", "<content creator='initiator' name='video'/>");
    assert_int_equal(board_open_paths(b), 1);
    end(b);
}

static void added_to_the_bundle(void **state)
{
    struct board *b = board_new(NULL);

    begin(b);
    says(b, alice, "content-add", CONTENT("video", MUX, "a"));
    says(b, bob, "content-accept", CONTENT("video", MUX, "b"));
    assert_int_equal(board_open_paths(b), 1);
    end(b);
}

static void added_and_rejected(void **state)
{
    struct board *b = board_new(NULL);

    begin(b);
    says(b, alice, "content-add", CONTENT("video", "", "x"));
    says(b, bob, "content-reject", "<content creator='initiator' name='video'/>");
    assert_int_equal(board_open_paths(b), 1);
    // What was accepted is not rejected afterwards.
    says(b, bob, "content-reject", "<content creator='initiator' name='audio'/>");
    assert_int_equal(board_open_paths(b), 1);
    end(b);
}

static void added_and_refused_by_error(void **state)
{
    struct board *b = board_new(NULL);

    begin(b);
    alice(b, "add", "content-add", CONTENT("video", "", "x"));
    board_take(b);
    assert_int_equal(board_open_paths(b), 3);
    board_error(b, "feature-not-implemented");
    board_expect_error(b, ALICE, "add", "feature-not-implemented", NULL);
    assert_int_equal(board_open_paths(b), 1);
    end(b);
}

// One name, two creators: two contents (XEP-0166 section 7.3).
static void both_add_the_same_name(void **state)
{
    struct board *b = board_new(NULL);

    begin(b);
    says(b, alice, "content-add", CONTENT("video", "", "x"));
    says(b, bob, "content-add",
         "<content creator='responder' name='video'><description "
         "xmlns='urn:xmpp:jingle:apps:rtp:1'/><transport xmlns='" ICE
         "' ufrag='z' pwd='p'/></content>");
    assert_int_equal(board_open_paths(b), 5);
    assert_string_equal(xml_attr(content_of(b->last, "video"), "creator"), "responder");
    assert_string_equal(b->path[2].ufrag[SIDE_RESPONDER], "");
    says(b, alice, "content-reject", "<content creator='responder' name='video'/>");
    assert_int_equal(board_open_paths(b), 3);
    assert_true(open_at(b, 2));
    end(b);
}

static void no_port_for_another_content(void **state)
{
    struct board *b = board_new(NULL);

    begin(b);
    b->fail = -EMFILE;
    alice(b, "add", "content-add", CONTENT("video", "", "x"));
    board_expect_error(b, ALICE, "add", "resource-constraint", NULL);
    assert_int_equal(board_open_paths(b), 1);
    assert_int_equal(signal_calls(b->signal), 1); // the call goes on
    b->fail = 0;
    says(b, alice, "content-add", CONTENT("video", "", "x"));
    assert_int_equal(board_open_paths(b), 3);
    end(b);
}

// ---- ICE restart

static const char *generation_of(const struct xml *transport)
{
    struct xml *c = relay_candidate(transport, 1, FAMILY_V4);

    return c ? xml_attr(c, "generation") : "none";
}

static void a_restart_is_a_new_generation_on_the_same_ports(void **state)
{
    struct board *b = board_new(NULL);
    char *port;

    says(b, alice, "session-initiate", CONTENT("0", "", "a0"));
    assert_string_equal(generation_of(transport_of(b->last, "0")), "0");
    port = strdup(xml_attr(relay_candidate(transport_of(b->last, "0"), 1, FAMILY_V4), "port"));
    says(b, bob, "session-accept", CONTENT("0", "", "b0"));
    says(b, alice, "transport-info", CONTENT("0", "", "a1"));
    assert_string_equal(generation_of(transport_of(b->last, "0")), "1");
    assert_string_equal(xml_attr(relay_candidate(transport_of(b->last, "0"), 1, FAMILY_V4), "port"),
                        port);
    assert_int_equal(b->paths, 2);
    assert_string_equal(b->path[0].ufrag[SIDE_INITIATOR], "a1");
    says(b, bob, "transport-info", CONTENT("0", "", "b1"));
    assert_string_equal(generation_of(transport_of(b->last, "0")), "1");
    says(b, bob, "transport-info", CONTENT("0", "", "b1"));
    assert_string_equal(generation_of(transport_of(b->last, "0")), "none"); // they are known
    free(port);
    end(b);
}

static void a_refused_restart_is_taken_back(void **state)
{
    struct board *b = board_new(NULL);

    says(b, alice, "session-initiate", CONTENT("0", "", "a0"));
    says(b, bob, "session-accept", CONTENT("0", "", "b0"));
    alice(b, "r", "transport-info", CONTENT("0", "", "a1"));
    board_take(b);
    assert_string_equal(b->path[0].ufrag[SIDE_INITIATOR], "a1");
    board_error(b, "conflict");
    board_expect_error(b, ALICE, "r", "conflict", NULL);
    assert_string_equal(b->path[0].ufrag[SIDE_INITIATOR], "a0");
    assert_int_equal(board_open_paths(b), 2);
    says(b, alice, "transport-info", CONTENT("0", "", "a2"));
    assert_string_equal(generation_of(transport_of(b->last, "0")), "1");
    // Refusing something else takes nothing back.
    alice(b, "r", "session-info", "%s", "");
    board_take(b);
    board_error(b, "feature-not-implemented");
    assert_string_equal(b->path[0].ufrag[SIDE_INITIATOR], "a2");
    board_clear(b);
    end(b);
}

static void a_bundle_restarts_once(void **state)
{
    struct board *b = board_new(NULL);

    says(b, alice, "session-initiate", TWO_OFFERED);
    says(b, bob, "session-accept",
         CONTENT("audio", MUX, "b") CONTENT("video", MUX, "b")
             BUNDLE(MEMBER("audio") MEMBER("video")));
    says(b, alice, "transport-info", CONTENT("audio", "", "a1") CONTENT("video", "", "a1"));
    assert_string_equal(generation_of(transport_of(b->last, "audio")), "1");
    assert_string_equal(generation_of(transport_of(b->last, "video")), "none");
    assert_int_equal(b->path[0].credentials[SIDE_INITIATOR], 2);
    assert_int_equal(board_open_paths(b), 1);
    end(b);
}

// ---- transports that are replaced

#define REPLACE(ns, inner)                                                                         \
    "<content creator='initiator' name='0'><transport xmlns='" ns "'>" inner                       \
    "</transport></content>"
#define RAW_AT(ip, port)                                                                           \
    "<candidate component='1' generation='0' id='r' ip='" ip "' port='" port "'/>"

static struct board *plain_call(void)
{
    struct board *b = board_new(NULL);

    says(b, alice, "session-initiate", CONTENT("0", "", "a0"));
    says(b, bob, "session-accept", CONTENT("0", "", "b0"));
    return b;
}

static void replaced_by_raw_and_back(void **state)
{
    struct board *b = plain_call();

    says(b, alice, "transport-replace", REPLACE(RAW, RAW_AT("192.0.2.10", "5000")));
    assert_int_equal(board_open_paths(b), 3); // the old ones live on
    assert_int_equal(b->path[2].open.u.open.mode, PATH_RAW);
    says(b, bob, "transport-accept", REPLACE(RAW, RAW_AT("192.0.2.20", "6000")));
    assert_int_equal(board_open_paths(b), 1);
    assert_true(open_at(b, 2));
    assert_int_equal(b->path[2].peer[SIDE_INITIATOR].port, 5000);
    assert_int_equal(b->path[2].peer[SIDE_RESPONDER].port, 6000);
    says(b, bob, "transport-replace", CONTENT("0", "", "b1"));
    assert_int_equal(board_open_paths(b), 3);
    says(b, alice, "transport-accept", CONTENT("0", "", "a1"));
    assert_int_equal(board_open_paths(b), 2);
    assert_false(open_at(b, 2));
    assert_string_equal(b->path[3].ufrag[SIDE_INITIATOR], "a1");
    assert_string_equal(b->path[3].ufrag[SIDE_RESPONDER], "b1");
    end(b);
}

static void a_rejected_replacement_leaves_the_old(void **state)
{
    struct board *b = plain_call();

    says(b, alice, "transport-replace", REPLACE(RAW, RAW_AT("192.0.2.10", "5000")));
    says(b, alice, "transport-accept", REPLACE(RAW, "")); // not hers to answer
    says(b, alice, "transport-reject", REPLACE(RAW, ""));
    assert_int_equal(board_open_paths(b), 3);
    says(b, bob, "transport-reject", REPLACE(RAW, RAW_AT("192.0.2.10", "5000")));
    assert_int_equal(board_open_paths(b), 2);
    assert_true(open_at(b, 0) && open_at(b, 1));
    says(b, bob, "transport-accept", REPLACE(RAW, "")); // there is nothing to accept
    assert_int_equal(board_open_paths(b), 2);
    end(b);
}

static void a_refused_replacement_leaves_the_old(void **state)
{
    struct board *b = plain_call();

    alice(b, "r", "transport-replace", REPLACE(RAW, RAW_AT("192.0.2.10", "5000")));
    board_take(b);
    board_error(b, "bad-request");
    board_expect_error(b, ALICE, "r", "bad-request", NULL);
    assert_int_equal(board_open_paths(b), 2);
    b->fail = -EMFILE;
    alice(b, "r", "transport-replace", REPLACE(RAW, RAW_AT("192.0.2.10", "5000")));
    board_expect_error(b, ALICE, "r", "resource-constraint", NULL);
    assert_int_equal(board_open_paths(b), 2);
    end(b);
}

// ICE for ICE: both have one namespace, their credentials tell them apart.
static void replaced_by_the_same_kind(void **state)
{
    struct board *b = plain_call();

    says(b, alice, "transport-replace", CONTENT("0", "", "a1"));
    assert_int_equal(board_open_paths(b), 4);
    says(b, bob, "transport-info", CONTENT("0", "", "b0")); // of the old one
    assert_string_equal(b->path[0].ufrag[SIDE_RESPONDER], "b0");
    assert_string_equal(b->path[2].ufrag[SIDE_RESPONDER], "");
    says(b, bob, "transport-accept", CONTENT("0", "", "b1"));
    assert_int_equal(board_open_paths(b), 2);
    assert_true(open_at(b, 2) && open_at(b, 3));
    assert_string_equal(b->path[2].ufrag[SIDE_RESPONDER], "b1");
    assert_non_null(relay_candidate(transport_of(b->last, "0"), 1, FAMILY_V4));
    end(b);
}

// XEP-0166 section 7.2.16: the initiator's holds.
static void replacements_that_cross(void **state)
{
    struct board *b = plain_call();

    says(b, alice, "transport-replace", REPLACE(RAW, RAW_AT("192.0.2.10", "5000")));
    bob(b, "r", "transport-replace", CONTENT("0", "", "b1"));
    board_expect_error(b, BOB, "r", "conflict", "tie-break");
    assert_int_equal(board_open_paths(b), 3);
    says(b, bob, "transport-reject", REPLACE(RAW, ""));
    says(b, bob, "transport-replace", CONTENT("0", "", "b1"));
    assert_int_equal(board_open_paths(b), 4);
    says(b, alice, "transport-replace", REPLACE(RAW, RAW_AT("192.0.2.10", "5000")));
    assert_int_equal(board_open_paths(b), 3);
    says(b, alice, "transport-replace", REPLACE(RAW, RAW_AT("192.0.2.10", "5001")));
    assert_int_equal(board_open_paths(b), 3); // the later of two holds
    says(b, bob, "transport-accept", REPLACE(RAW, RAW_AT("192.0.2.20", "6000")));
    assert_int_equal(board_open_paths(b), 1);
    end(b);
}

static void ended_while_a_replacement_waits(void **state)
{
    struct board *b = plain_call();

    says(b, alice, "transport-replace", REPLACE(RAW, RAW_AT("192.0.2.10", "5000")));
    end(b);
    b = plain_call();
    says(b, alice, "transport-replace", REPLACE(RAW, RAW_AT("192.0.2.10", "5000")));
    says(b, bob, "content-remove", "<content creator='initiator' name='0'/>");
    assert_int_equal(board_open_paths(b), 0);
    end(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(components_by_mux),
        cmocka_unit_test(the_relay_learns_both_credentials),
        cmocka_unit_test(a_bundle_keeps_one_path),
        cmocka_unit_test(the_answer_chooses_the_transport),
        cmocka_unit_test(both_must_bundle),
        cmocka_unit_test(what_is_not_accepted_is_released),
        cmocka_unit_test(early_contents_are_not_what_is_accepted),
        cmocka_unit_test(a_bundle_survives_its_first_member),
        cmocka_unit_test(added_and_accepted),
        cmocka_unit_test(added_to_the_bundle),
        cmocka_unit_test(added_and_rejected),
        cmocka_unit_test(added_and_refused_by_error),
        cmocka_unit_test(both_add_the_same_name),
        cmocka_unit_test(no_port_for_another_content),
        cmocka_unit_test(a_restart_is_a_new_generation_on_the_same_ports),
        cmocka_unit_test(a_refused_restart_is_taken_back),
        cmocka_unit_test(a_bundle_restarts_once),
        cmocka_unit_test(replaced_by_raw_and_back),
        cmocka_unit_test(a_rejected_replacement_leaves_the_old),
        cmocka_unit_test(a_refused_replacement_leaves_the_old),
        cmocka_unit_test(replaced_by_the_same_kind),
        cmocka_unit_test(replacements_that_cross),
        cmocka_unit_test(ended_while_a_replacement_waits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
