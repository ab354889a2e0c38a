// SPDX-License-Identifier: ISC
// Questions that a server hands on (XEP-0355): envelopes as Prosody's and ejabberd's modules make
// them and check the answers, and who must not be believed.
#include "lib/board.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define RELAY "relay.example.org"
#define EXT2  "urn:xmpp:extdisco:2"
#define D1    "urn:xmpp:delegation:1"
#define D2    "urn:xmpp:delegation:2"
#define DISCO "http://jabber.org/protocol/disco#info"

#define CREDENTIAL                                                                                 \
    " username='1700043200:alice@example.org' password='jOaSJmFdl88DPq4W0OPy6AeHRwg='"             \
    " expires='2023-11-15T10:13:20Z' restricted='1'"
#define TURN                                                                                       \
    "<service type='turn' transport='udp' host='relay.example.org' port='3478'" CREDENTIAL "/>"

#define SERVICES "<services xmlns='" EXT2 "'/>"

static struct board *new_board(void)
{
    static const struct signal_service item = {"turn", "udp", "relay.example.org", 3478};
    static const char *const domains[] = {"example.org", "example.com"};
    struct signal_config config = board_config();
    struct board *b;

    config.served = domains;
    config.served_count = 2;
    config.services =
        (struct signal_services){&item, 1, "a secret of at least 128 bits", 43200 * USEC_PER_SEC};
    b = board_new(&config);
    signal_set_clock(b->signal, INT64_C(1700000000000000) - (int64_t)b->now);
    return b;
}

// The server 'from' hands on 'iq' in an envelope of version 'ns'.
static void hand_on(struct board *b, const char *from, const char *ns, const char *iq)
{
    board_put(b,
              "<iq type='set' from='%s' to='" RELAY "' id='d1'><delegation xmlns='%s'>"
              "<forwarded xmlns='urn:xmpp:forward:0'>%s</forwarded></delegation></iq>",
              from, ns, iq);
}

static void expect_inside(struct board *b, const char *to, const char *ns, const char *iq)
{
    board_expect(b,
                 "<iq type='result' from='" RELAY "' to='%s' id='d1'><delegation xmlns='%s'>"
                 "<forwarded xmlns='urn:xmpp:forward:0'>%s</forwarded></delegation></iq>",
                 to, ns, iq);
}

static void expect_error_inside(struct board *b, const char *ns, const char *condition)
{
    const struct xml *iq = board_take(b), *inner, *error;

    assert_string_equal(xml_attr(iq, "type"), "result");
    assert_string_equal(xml_attr(iq, "id"), "d1");
    iq = xml_child(iq, "delegation", ns);
    assert_non_null(iq);
    inner = xml_child(xml_child(iq, "forwarded", "urn:xmpp:forward:0"), "iq", "jabber:client");
    assert_non_null(inner);
    assert_string_equal(xml_attr(inner, "type"), "error");
    assert_string_equal(xml_attr(inner, "id"), "q");
    error = xml_child(inner, "error", "jabber:client");
    assert_non_null(xml_child(error, condition, NULL));
    assert_ptr_equal(inner->first, inner->last); // one child: Prosody counts them
}

// ---- answers

static void the_answer_is_in_the_same_envelope(void **state)
{
    static const char *const versions[] = {D1, D2};
    struct board *b = new_board();

    for (unsigned v = 0; v < 2; v++) {
        hand_on(b, "example.org", versions[v],
                "<iq xmlns='jabber:client' type='get' id='q' from='" ALICE
                "' to='example.org'>" SERVICES "</iq>");
        expect_inside(b, "example.org", versions[v],
                      "<iq xmlns='jabber:client' type='result' id='q' to='" ALICE
                      "' from='example.org'><services xmlns='" EXT2 "'>" TURN "</services></iq>");
    }
    assert_int_equal(board_counter(b, COUNTER_CREDENTIALS_DELEGATED), 2);
    assert_int_equal(board_counter(b, COUNTER_CREDENTIALS_COMPONENT), 0);
    assert_int_equal(board_counter(b, COUNTER_PUSH_LISTENERS), 0); // no push could come from there
    board_free(b);
}

// Every namespace, from every address that a client may ask.
static void the_account_answers_too(void **state)
{
    struct board *b = new_board();

    hand_on(b, "example.org", D2,
            "<iq xmlns='jabber:client' type='get' id='q' from='" ALICE
            "' to='alice@example.org'><query xmlns='google:jingleinfo'/></iq>");
    expect_inside(
        b, "example.org", D2,
        "<iq xmlns='jabber:client' type='result' id='q' to='" ALICE
        "' from='alice@example.org'><query xmlns='google:jingleinfo'><stun/><relay>"
        "<token>MTcwMDA0MzIwMDphbGljZUBleGFtcGxlLm9yZzpqT2FTSm1GZGw4OERQcTRXME9QeTZBZUhSd2"
        "c9</token><server host='relay.example.org' udp='3478'/></relay></query></iq>");
    // Without 'to' it is the account that answers.
    hand_on(b, "example.org", D2,
            "<iq xmlns='jabber:client' type='get' id='q' from='" ALICE
            "'><credentials xmlns='urn:xmpp:extdisco:1'><service host='relay.example.org' "
            "type='turn'/></credentials></iq>");
    expect_inside(b, "example.org", D2,
                  "<iq xmlns='jabber:client' type='result' id='q' to='" ALICE
                  "' from='alice@example.org'><credentials xmlns='urn:xmpp:extdisco:1'>" TURN
                  "</credentials></iq>");
    board_free(b);
}

static void errors_travel_inside(void **state)
{
    static const char *const rows[][2] = {
        {"type='get' to='example.org'><credentials xmlns='" EXT2
         "'><service host='x' type='turn'/></credentials>",
         "item-not-found"},
        {"type='get' to='example.org'><credentials xmlns='" EXT2 "'/>", "bad-request"},
        {"type='set' to='example.org'>" SERVICES, "service-unavailable"},
        {"to='example.org'>" SERVICES, "service-unavailable"},
        {"type='get' to='example.org'><x xmlns='urn:x'/>", "service-unavailable"},
        {"type='get' to='example.org'>", "service-unavailable"},
        // Of somebody else's account, or client, or server.
        {"type='get' to='bob@example.org'>" SERVICES, "service-unavailable"},
        {"type='get' to='alice@example.org/a'>" SERVICES, "service-unavailable"},
        {"type='get' to='example.com'>" SERVICES, "service-unavailable"},
        {"type='get' to='@'>" SERVICES, "service-unavailable"},
    };
    struct board *b = new_board();

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        board_put(b,
                  "<iq type='set' from='example.org' to='" RELAY "' id='d1'><delegation xmlns='" D1
                  "'><forwarded xmlns='urn:xmpp:forward:0'><iq xmlns='jabber:client' id='q' "
                  "from='" ALICE "' %s</iq></forwarded></delegation></iq>",
                  rows[i][0]);
        expect_error_inside(b, D1, rows[i][1]);
    }
    assert_int_equal(board_counter(b, COUNTER_CREDENTIALS_DELEGATED), 0);
    board_free(b);
}

// ---- whom not to believe

// An envelope could hold any user's name: it counts only from the server of this very user.
static void envelopes_of_others_are_refused(void **state)
{
    static const char *const senders[] = {
        "mallory@example.org/m", // a user of the domain
        "mallory@example.org",   "example.org/resource",
        "example.net", // not served
        "sub.example.org",
    };
    struct board *b = new_board();

    for (size_t i = 0; i < 5; i++) {
        hand_on(b, senders[i], D2,
                "<iq xmlns='jabber:client' type='get' id='q' from='" ALICE
                "' to='example.org'>" SERVICES "</iq>");
        board_expect_error(b, senders[i], "d1", "forbidden", NULL);
        board_none(b);
    }
    assert_int_equal(board_counter(b, COUNTER_CREDENTIALS_UNTRUSTED), 5);
    board_free(b);
}

static void users_of_other_servers_are_refused(void **state)
{
    static const char *const users[] = {"carol@example.net/c", "alice@example.com/a",
                                        "alice@sub.example.org/a", "example.org"};
    struct board *b = new_board();

    for (size_t i = 0; i < 4; i++) {
        board_put(b,
                  "<iq type='set' from='example.org' to='" RELAY "' id='d1'><delegation xmlns='" D2
                  "'><forwarded xmlns='urn:xmpp:forward:0'><iq xmlns='jabber:client' type='get' "
                  "id='q' from='%s' to='example.org'>" SERVICES
                  "</iq></forwarded></delegation></iq>",
                  users[i]);
        expect_error_inside(b, D2, "forbidden");
    }
    assert_int_equal(board_counter(b, COUNTER_CREDENTIALS_STRANGER), 4);
    assert_int_equal(board_counter(b, COUNTER_CREDENTIALS_DELEGATED), 0);
    board_free(b);
}

static void odd_envelopes_are_refused(void **state)
{
    static const char *const rows[] = {
        "<delegation xmlns='" D2 "'/>",
        "<delegation xmlns='" D2 "'><forwarded xmlns='urn:xmpp:forward:0'/></delegation>",
        "<delegation xmlns='" D2 "'><forwarded><iq xmlns='jabber:client' type='get' id='q' "
        "from='" ALICE "'>" SERVICES "</iq></forwarded></delegation>",
        "<delegation xmlns='" D2 "'><forwarded xmlns='urn:xmpp:forward:0'><message "
        "xmlns='jabber:client' from='" ALICE "'/></forwarded></delegation>",
        "<delegation xmlns='" D2 "'><forwarded xmlns='urn:xmpp:forward:0'><iq "
        "xmlns='jabber:client' type='get' id='q'>" SERVICES "</iq></forwarded></delegation>",
        "<delegation xmlns='" D2 "'><forwarded xmlns='urn:xmpp:forward:0'><iq "
        "xmlns='jabber:client' type='get' from='" ALICE "'>" SERVICES
        "</iq></forwarded></delegation>",
    };
    struct board *b = new_board();

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        board_put(b, "<iq type='set' from='example.org' to='" RELAY "' id='d1'>%s</iq>", rows[i]);
        board_expect_error(b, "example.org", "d1", "bad-request", NULL);
    }
    board_put(b, "<iq type='get' from='example.org' to='" RELAY "' id='d1'><delegation xmlns='" D2
                 "'/></iq>");
    board_expect_error(b, "example.org", "d1", "service-unavailable", NULL);
    board_free(b);
}

// ---- disco nodes, and what the server says of its configuration

static void nodes_tell_the_features(void **state)
{
    static const char *const spaces[] = {EXT2, "urn:xmpp:extdisco:1", "google:jingleinfo"};
    static const char *const prefixes[] = {D1 "::", D1 ":bare:", D2 "::", D2 ":bare:"};
    struct board *b = new_board();

    for (size_t i = 0; i < 12; i++) {
        const char *prefix = prefixes[i & 3], *ns = spaces[i / 4];

        board_put(b,
                  "<iq type='get' from='example.org' to='" RELAY "' id='n'><query xmlns='" DISCO
                  "' node='%s%s'/></iq>",
                  prefix, ns);
        board_expect(b,
                     "<iq type='result' from='" RELAY "' to='example.org' id='n'><query "
                     "xmlns='" DISCO "' node='%s%s'><feature var='%s'/></query></iq>",
                     prefix, ns, ns);
    }
    board_free(b);
}

static void other_nodes_are_not_found(void **state)
{
    static const char *const nodes[] = {D2 "::urn:xmpp:mam:2", D2 "::", D2 ":bare:disco#info:*",
                                        "urn:xmpp:delegation:3::urn:xmpp:extdisco:2", "x"};
    struct board *b = new_board();

    for (size_t i = 0; i < 5; i++) {
        board_put(b,
                  "<iq type='get' from='example.org' to='" RELAY "' id='n'><query xmlns='" DISCO
                  "' node='%s'/></iq>",
                  nodes[i]);
        board_expect_error(b, "example.org", "n", "item-not-found", NULL);
    }
    board_free(b);
}

static void grants_are_counted(void **state)
{
    struct board *b = new_board();

    board_put(b, "<message from='example.org' to='" RELAY "'><delegation xmlns='" D2
                 "'><delegated namespace='" EXT2 "'/><delegated namespace='google:jingleinfo'/>"
                 "<delegated namespace='urn:xmpp:mam:2'/><delegated/></delegation></message>");
    assert_int_equal(board_counter(b, COUNTER_DELEGATIONS), 2);
    board_put(b, "<message from='example.com' to='" RELAY "'><delegation xmlns='" D1
                 "'><delegated namespace='" EXT2 "'/></delegation></message>");
    assert_int_equal(board_counter(b, COUNTER_DELEGATIONS), 3);
    board_put(b, "<message from='mallory@example.org/m' to='" RELAY "'><delegation xmlns='" D1
                 "'><delegated namespace='" EXT2 "'/></delegation></message>");
    board_put(b, "<message from='example.org' to='" RELAY "'><body>hello</body></message>");
    assert_int_equal(board_counter(b, COUNTER_DELEGATIONS), 3);
    board_none(b);
    board_free(b);
}

// ejabberd delegates to who answers for the node: while TURN is off nothing is.
static void nothing_is_taken_on_while_turn_is_off(void **state)
{
    struct board *b = board_new(NULL);

    board_put(b, "<iq type='get' from='example.org' to='" RELAY "' id='n'><query xmlns='" DISCO
                 "' node='" D2 "::" EXT2 "'/></iq>");
    board_expect_error(b, "example.org", "n", "item-not-found", NULL);
    hand_on(b, "example.org", D2,
            "<iq xmlns='jabber:client' type='get' id='q' from='" ALICE
            "' to='example.org'>" SERVICES "</iq>");
    expect_error_inside(b, D2, "service-unavailable");
    board_put(b, "<message from='example.org' to='" RELAY "'><delegation xmlns='" D2
                 "'><delegated namespace='" EXT2 "'/></delegation></message>");
    assert_int_equal(board_counter(b, COUNTER_DELEGATIONS), 0);
    board_free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_answer_is_in_the_same_envelope),
        cmocka_unit_test(the_account_answers_too),
        cmocka_unit_test(errors_travel_inside),
        cmocka_unit_test(envelopes_of_others_are_refused),
        cmocka_unit_test(users_of_other_servers_are_refused),
        cmocka_unit_test(odd_envelopes_are_refused),
        cmocka_unit_test(nodes_tell_the_features),
        cmocka_unit_test(other_nodes_are_not_found),
        cmocka_unit_test(grants_are_counted),
        cmocka_unit_test(nothing_is_taken_on_while_turn_is_off),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
