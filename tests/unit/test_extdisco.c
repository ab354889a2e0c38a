// SPDX-License-Identifier: ISC
// STUN and TURN servers for clients that ask the component: XEP-0215 in both versions, jingleinfo,
// the credential (its password was computed by another program), who is refused, and new
// credentials that are pushed before the old ones expire.
#include "lib/board.h"
#include "turn/credential.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define RELAY    "relay.example.org"
#define EXT2     "urn:xmpp:extdisco:2"
#define EXT1     "urn:xmpp:extdisco:1"
#define DISCO    "http://jabber.org/protocol/disco#info"
#define SECRET   "a secret of at least 128 bits"
#define LIFETIME 43200 // seconds
#define HOUR     (3600 * USEC_PER_SEC)

// 1700000000 is 2023-11-14T22:13:20Z; the board begins there.
#define USERNAME "1700043200:alice@example.org"
#define PASSWORD "jOaSJmFdl88DPq4W0OPy6AeHRwg="
#define EXPIRES  "2023-11-15T10:13:20Z"
#define CREDENTIAL                                                                                 \
    " username='" USERNAME "' password='" PASSWORD "' expires='" EXPIRES "' restricted='1'"

#define STUN     "<service type='stun' transport='udp' host='relay.example.org' port='3478'/>"
#define TURN_UDP "type='turn' transport='udp' host='relay.example.org' port='3478'"
#define TURN_TCP "type='turn' transport='tcp' host='relay.example.org' port='3479'"
#define TURNS    "type='turns' transport='tcp' host='2001:db8::1' port='5349'"

static const struct signal_service items[] = {
    {"stun", "udp", "relay.example.org", 3478},
    {"turn", "udp", "relay.example.org", 3478},
    {"turn", "tcp", "relay.example.org", 3479},
    {"turns", "tcp", "2001:db8::1", 5349},
};

static struct signal_config with_turn(void)
{
    struct signal_config config = board_config();

    config.services = (struct signal_services){items, 4, SECRET, (usec_t)LIFETIME * USEC_PER_SEC};
    return config;
}

static struct board *new_board(void)
{
    struct signal_config config = with_turn();
    struct board *b = board_new(&config);

    signal_set_clock(b->signal, INT64_C(1700000000000000) - (int64_t)b->now);
    return b;
}

static void ask(struct board *b, const char *from, const char *payload)
{
    board_put(b, "<iq type='get' from='%s' to='" RELAY "' id='q'>%s</iq>", from, payload);
}

static void expect(struct board *b, const char *payload)
{
    board_expect(b, "<iq type='result' from='" RELAY "' to='" ALICE "' id='q'>%s</iq>", payload);
}

// ---- services

static void every_entry_is_complete(void **state)
{
    struct board *b = new_board();

    ask(b, ALICE, "<services xmlns='" EXT2 "'/>");
    expect(b, "<services xmlns='" EXT2 "'>" STUN "<service " TURN_UDP CREDENTIAL "/>"
              "<service " TURN_TCP CREDENTIAL "/><service " TURNS CREDENTIAL "/></services>");
    // The old version is answered in the old version.
    ask(b, ALICE, "<services xmlns='" EXT1 "'/>");
    expect(b, "<services xmlns='" EXT1 "'>" STUN "<service " TURN_UDP CREDENTIAL "/>"
              "<service " TURN_TCP CREDENTIAL "/><service " TURNS CREDENTIAL "/></services>");
    assert_int_equal(board_counter(b, COUNTER_CREDENTIALS_COMPONENT), 2); // one per answer
    board_free(b);
}

static void a_type_may_be_asked_for(void **state)
{
    struct board *b = new_board();

    ask(b, ALICE, "<services xmlns='" EXT2 "' type='stun'/>");
    expect(b, "<services xmlns='" EXT2 "' type='stun'>" STUN "</services>");
    assert_int_equal(board_counter(b, COUNTER_CREDENTIALS_COMPONENT), 0);
    ask(b, ALICE, "<services xmlns='" EXT2 "' type='turns'/>");
    expect(b, "<services xmlns='" EXT2 "' type='turns'><service " TURNS CREDENTIAL "/></services>");
    ask(b, ALICE, "<services xmlns='" EXT2 "' type='ftp'/>");
    expect(b, "<services xmlns='" EXT2 "' type='ftp'/>");
    board_free(b);
}

// The username has the expiry that the wall clock gives, however long the daemon has run, and who
// asked, whatever his resource.
static void credentials_follow_the_clock(void **state)
{
    struct board *b = new_board();
    struct turn_credential want;
    struct xml *service;

    board_wait(b, 1000 * HOUR);
    ask(b, "bob@example.org/x", "<services xmlns='" EXT2 "' type='turns'/>");
    service = xml_child(xml_child(board_take(b), "services", EXT2), "service", NULL);
    assert_int_equal(
        turn_credential_make(SECRET, "bob@example.org", 1700043200 + 1000 * 3600, &want), 0);
    assert_string_equal(xml_attr(service, "username"), want.username);
    assert_string_equal(xml_attr(service, "password"), want.password);
    assert_string_equal(xml_attr(service, "expires"), "2023-12-27T02:13:20Z");
    signal_set_clock(b->signal, -(int64_t)b->now); // the administrator has set it: 1970
    ask(b, "bob@example.org/x", "<services xmlns='" EXT2 "' type='turns'/>");
    service = xml_child(xml_child(board_take(b), "services", EXT2), "service", NULL);
    assert_string_equal(xml_attr(service, "username"), "43200:bob@example.org");
    board_free(b);
}

// ---- credentials

static void credentials_are_given_for_what_is_named(void **state)
{
    static const char *const rows[][2] = {
        {"<service host='relay.example.org' type='turn'/>",
         "<service " TURN_UDP CREDENTIAL "/><service " TURN_TCP CREDENTIAL "/>"},
        {"<service host='RELAY.example.org' type='turn' port='3479'/>",
         "<service " TURN_TCP CREDENTIAL "/>"},
        {"<service host='relay.example.org' type='turn' transport='udp'/>",
         "<service " TURN_UDP CREDENTIAL "/>"},
        {"<service host='relay.example.org' type='stun'/>", STUN},
        {"<service host='2001:db8::1' type='turns'/><service host='2001:db8::1' type='turns'/>"
         "<service host='relay.example.org' type='turn' port='1'/>",
         "<service " TURNS CREDENTIAL "/>"},
    };
    struct board *b = new_board();
    char want[2048];

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        board_put(b,
                  "<iq type='get' from='" ALICE "' to='" RELAY "' id='q'><credentials xmlns='%s'>"
                  "%s</credentials></iq>",
                  i & 1 ? EXT1 : EXT2, rows[i][0]);
        snprintf(want, sizeof want, "<credentials xmlns='%s'>%s</credentials>", i & 1 ? EXT1 : EXT2,
                 rows[i][1]);
        expect(b, want);
    }
    board_free(b);
}

static void credentials_of_nothing_are_an_error(void **state)
{
    static const char *const rows[][2] = {
        {"", "bad-request"},
        {"<service host='relay.example.org'/>", "bad-request"},
        {"<service type='turn'/>", "bad-request"},
        {"<service host='relay.example.org' type='turn'/><service/>", "bad-request"},
        {"<service host='other.example.org' type='turn'/>", "item-not-found"},
        {"<service host='relay.example.org' type='ftp'/>", "item-not-found"},
        {"<service host='relay.example.org' type='turn' port='5349'/>", "item-not-found"},
        {"<service host='relay.example.org' type='turn' port=''/>", "item-not-found"},
        {"<service host='relay.example.org' type='stun' transport='tcp'/>", "item-not-found"},
    };
    struct board *b = new_board();

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        board_put(b,
                  "<iq type='get' from='" ALICE "' to='" RELAY "' id='q'><credentials xmlns='" EXT2
                  "'>%s</credentials></iq>",
                  rows[i][0]);
        board_expect_error(b, ALICE, "q", rows[i][1], NULL);
    }
    assert_int_equal(board_counter(b, COUNTER_CREDENTIALS_COMPONENT), 0);
    board_free(b);
}

// As Monal sends it.
static void monals_question_is_answered(void **state)
{
    struct board *b = new_board();
    struct xml *iq = sample("monal-extdisco-credentials.xml");

    xml_set(iq, "from", ALICE);
    board_put_xml(b, iq);
    board_expect(b, "<iq type='result' from='" RELAY "' to='" ALICE
                    "' id='m3'><credentials xmlns='" EXT2 "'><service " TURN_UDP CREDENTIAL
                    "/></credentials></iq>");
    xml_free(iq);
    board_free(b);
}

// ---- google:jingleinfo

static void jingleinfo_lists_servers_by_host(void **state)
{
    struct board *b = new_board();

    ask(b, ALICE, "<query xmlns='google:jingleinfo'/>");
    // The token is USERNAME:PASSWORD in base64.
    expect(b, "<query xmlns='google:jingleinfo'><stun><server host='relay.example.org' "
              "udp='3478'/></stun><relay><token>MTcwMDA0MzIwMDphbGljZUBleGFtcGxlLm9yZzpqT2FTSm1GZGw"
              "4OERQcTRXME9QeTZBZUhSd2c9</token><server host='relay.example.org' udp='3478' "
              "tcp='3479'/></relay></query>");
    board_free(b);
}

// ---- who may not, and when nobody may

static void strangers_are_refused(void **state)
{
    static const char *const strangers[] = {"carol@example.net/c", "example.org", "example.net",
                                            "mallory@sub.example.org/m"};
    struct board *b = new_board();

    for (size_t i = 0; i < 4; i++) {
        ask(b, strangers[i], "<services xmlns='" EXT2 "'/>");
        board_expect_error(b, strangers[i], "q", "forbidden", NULL);
    }
    ask(b, "carol@example.net/c", "<query xmlns='google:jingleinfo'/>");
    board_expect_error(b, "carol@example.net/c", "q", "forbidden", NULL);
    assert_int_equal(board_counter(b, COUNTER_CREDENTIALS_STRANGER), 5);
    assert_int_equal(board_counter(b, COUNTER_CREDENTIALS_COMPONENT), 0);
    board_free(b);
}

static void a_name_too_long_for_turn_is_refused(void **state)
{
    struct board *b = new_board();
    char from[600 + 32];

    memset(from, 'a', 600);
    strcpy(from + 600, "@example.org/a");
    ask(b, from, "<services xmlns='" EXT2 "'/>");
    board_expect_error(b, from, "q", "not-acceptable", NULL);
    ask(b, from, "<services xmlns='" EXT2 "' type='stun'/>");
    assert_string_equal(xml_attr(board_take(b), "type"), "result");
    board_free(b);
}

static bool lists(const struct xml *iq, const char *feature)
{
    const struct xml *query = xml_child(iq, "query", DISCO);

    for (struct xml *f = xml_child(query, "feature", NULL); f; f = xml_next(f, "feature", NULL)) {
        if (strcmp(xml_attr(f, "var"), feature) == 0)
            return true;
    }
    return false;
}

static void features_are_listed_while_turn_is_on(void **state)
{
    static const char *const features[] = {EXT2, EXT1, "google:jingleinfo",
                                           "urn:xmpp:delegation:2"};

    for (unsigned on = 0; on < 2; on++) {
        struct board *b = on ? new_board() : board_new(NULL);

        ask(b, ALICE, "<query xmlns='" DISCO "'/>");
        board_take(b);
        for (size_t i = 0; i < 4; i++)
            assert_int_equal(lists(b->last, features[i]), on);
        board_put(b, "<iq type='get' from='" ALICE "' to='" BOB_AS "' id='q'><query xmlns='" DISCO
                     "'/></iq>");
        assert_false(lists(board_take(b), EXT2)); // other people's addresses have no services
        board_put(b, "<iq type='get' from='" ALICE "' to='" BOB_AS "' id='q'><services xmlns='" EXT2
                     "'/></iq>");
        board_expect_error(b, ALICE, "q", "service-unavailable", NULL);
        board_free(b);
    }
}

static void nothing_is_answered_while_turn_is_off(void **state)
{
    static const char *const questions[] = {
        "<services xmlns='" EXT2 "'/>", "<services xmlns='" EXT1 "'/>",
        "<credentials xmlns='" EXT2 "'><service host='" RELAY "' type='turn'/></credentials>",
        "<query xmlns='google:jingleinfo'/>"};
    struct board *b = board_new(NULL);

    for (size_t i = 0; i < 4; i++) {
        ask(b, ALICE, questions[i]);
        board_expect_error(b, ALICE, "q", "service-unavailable", NULL);
    }
    board_put(b, "<presence from='" ALICE "' to='" RELAY "'/>");
    assert_int_equal(board_counter(b, COUNTER_PUSH_LISTENERS), 0);
    board_free(b);
}

// ---- pushes

static void presence(struct board *b, const char *from, const char *type)
{
    board_put(b, "<presence from='%s' to='" RELAY "'%s%s%s/>", from, *type ? " type='" : "", type,
              *type ? "'" : "");
}

#define PUSHED(user, service, attrs)                                                               \
    "<service action='modify' " service " username='" user                                         \
    ":alice@example.org' password='*' " attrs " restricted='1'/>"

static void new_credentials_come_in_time(void **state)
{
    struct board *b = new_board();

    presence(b, ALICE, "");
    ask(b, ALICE, "<services xmlns='" EXT2 "'/>");
    board_take(b);
    board_wait(b, 9 * HOUR - 1);
    board_none(b);
    board_wait(b, 1);
    // Nine hours later: 1700032400 and the lifetime. What has no credentials is not new.
    board_expect(b, "<iq type='set' from='" RELAY "' to='" ALICE "' id='*'><services xmlns='" EXT2
                    "'>" PUSHED("1700075600", TURN_UDP, "expires='2023-11-15T19:13:20Z'")
                        PUSHED("1700075600", TURN_TCP, "expires='2023-11-15T19:13:20Z'")
                            PUSHED("1700075600", TURNS,
                                   "expires='2023-11-15T19:13:20Z'") "</services></iq>");
    board_result(b);
    assert_int_equal(board_counter(b, COUNTER_CREDENTIALS_PUSHED), 1);
    board_wait(b, 9 * HOUR);
    board_take(b); // and on
    board_result(b);
    board_wait(b, 9 * HOUR - 1);
    board_none(b);
    board_free(b);
}

#define RENEWED(service)                                                                           \
    "<service action='modify' " service " username='*' password='*' expires='*' restricted='1'/>"

// A rotated secret: who listens is told at once, and once.
static void a_new_secret_is_pushed(void **state)
{
    struct signal_config config = with_turn();
    struct board *b = new_board();

    presence(b, ALICE, "");
    ask(b, ALICE, "<services xmlns='" EXT2 "'/>");
    board_take(b);
    assert_int_equal(signal_reconfigure(b->signal, &config, b->now), 0); // the same: nothing is new
    board_wait(b, HOUR);
    board_none(b);
    config.services.secret = "another secret of 128 bits or more";
    assert_int_equal(signal_reconfigure(b->signal, &config, b->now), 0);
    board_wait(b, USEC_PER_SEC);
    board_expect(b, "<iq type='set' from='" RELAY "' to='" ALICE "' id='*'><services xmlns='" EXT2
                    "'>" RENEWED(TURN_UDP) RENEWED(TURN_TCP) RENEWED(TURNS) "</services></iq>");
    board_result(b);
    board_wait(b, 8 * HOUR);
    board_none(b);
    board_free(b);
}

static void a_push_is_as_the_question_was(void **state)
{
    struct board *b = new_board();

    ask(b, ALICE, "<services xmlns='" EXT1 "' type='turns'/>");
    board_take(b);
    presence(b, ALICE, ""); // after the question is as good
    board_wait(b, 4 * HOUR);
    ask(b, ALICE, "<services xmlns='" EXT1 "' type='turns'/>"); // these are new: no push before
    board_take(b);
    board_wait(b, 9 * HOUR - 1);
    board_none(b);
    board_wait(b, 1);
    board_expect(b,
                 "<iq type='set' from='" RELAY "' to='" ALICE "' id='*'><services xmlns='" EXT1
                 "' type='turns'>" PUSHED("1700090000", TURNS, "expires='*'") "</services></iq>");
    board_free(b);
}

// XEP-0215 section 3.2: no push without presence; and none to who has not asked, or not for what
// has credentials.
static void nobody_else_is_pushed_to(void **state)
{
    struct board *b = new_board();

    ask(b, ALICE, "<services xmlns='" EXT2 "'/>");
    presence(b, "bob@example.org/b", "");
    presence(b, "dave@example.org/d", "");
    ask(b, "dave@example.org/d", "<services xmlns='" EXT2 "' type='stun'/>");
    ask(b, "dave@example.org/d",
        "<credentials xmlns='" EXT2 "'><service host='" RELAY "' type='turn'/></credentials>");
    presence(b, "eve@example.org/e", "");
    ask(b, "eve@example.org/e", "<services xmlns='" EXT2 "'/>");
    presence(b, "eve@example.org/e", "unavailable");
    presence(b, "carol@example.net/c", "");
    presence(b, "example.org", "");
    presence(b, "frank@example.org/f", "subscribe");
    board_clear(b);
    assert_int_equal(board_counter(b, COUNTER_PUSH_LISTENERS), 3); // Alice, Bob, Dave
    board_wait(b, 20 * HOUR);
    board_none(b);
    assert_int_equal(board_counter(b, COUNTER_PUSH_LISTENERS), 2); // Alice's have expired
    board_free(b);
}

static void who_refuses_or_is_silent_is_forgotten(void **state)
{
    struct board *b = new_board();

    presence(b, ALICE, "");
    presence(b, BOB, "");
    ask(b, ALICE, "<services xmlns='" EXT2 "' type='turns'/>");
    ask(b, BOB, "<services xmlns='" EXT2 "' type='turns'/>");
    board_clear(b);
    board_wait(b, 9 * HOUR);
    board_take(b);
    board_error(b, "service-unavailable");
    assert_int_equal(board_counter(b, COUNTER_PUSH_LISTENERS), 1);
    board_take(b);
    board_wait(b, 16 * USEC_PER_SEC);
    assert_int_equal(board_counter(b, COUNTER_PUSH_LISTENERS), 0);
    assert_int_equal(board_counter(b, COUNTER_PUSH_FAILED), 2);
    board_wait(b, 20 * HOUR);
    board_none(b);
    board_free(b);
}

static void the_list_of_listeners_is_bounded(void **state)
{
    struct board *b = new_board();
    char from[64];

    for (unsigned i = 0; i < 20; i++) { // of one user: 8
        snprintf(from, sizeof from, "alice@example.org/%u", i);
        presence(b, from, "");
    }
    assert_int_equal(board_counter(b, COUNTER_PUSH_LISTENERS), 8);
    assert_int_equal(board_counter(b, COUNTER_PUSH_NO_ROOM), 12);
    for (unsigned i = 0; i < 5000; i++) {
        snprintf(from, sizeof from, "u%u@example.org/r", i);
        presence(b, from, "");
    }
    assert_int_equal(board_counter(b, COUNTER_PUSH_LISTENERS), 4096);
    assert_int_equal(board_counter(b, COUNTER_PUSH_NO_ROOM), 12 + 5000 - 4088);
    ask(b, "last@example.org/r", "<services xmlns='" EXT2 "'/>"); // is answered all the same
    assert_string_equal(xml_attr(board_take(b), "type"), "result");
    presence(b, "alice@example.org/3", "unavailable");
    presence(b, "alice@example.org/30", "");
    assert_int_equal(board_counter(b, COUNTER_PUSH_LISTENERS), 4096);
    board_free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_entry_is_complete),
        cmocka_unit_test(a_type_may_be_asked_for),
        cmocka_unit_test(credentials_follow_the_clock),
        cmocka_unit_test(credentials_are_given_for_what_is_named),
        cmocka_unit_test(credentials_of_nothing_are_an_error),
        cmocka_unit_test(monals_question_is_answered),
        cmocka_unit_test(jingleinfo_lists_servers_by_host),
        cmocka_unit_test(strangers_are_refused),
        cmocka_unit_test(a_name_too_long_for_turn_is_refused),
        cmocka_unit_test(features_are_listed_while_turn_is_on),
        cmocka_unit_test(nothing_is_answered_while_turn_is_off),
        cmocka_unit_test(new_credentials_come_in_time),
        cmocka_unit_test(a_new_secret_is_pushed),
        cmocka_unit_test(a_push_is_as_the_question_was),
        cmocka_unit_test(nobody_else_is_pushed_to),
        cmocka_unit_test(who_refuses_or_is_silent_is_forgotten),
        cmocka_unit_test(the_list_of_listeners_is_bounded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
