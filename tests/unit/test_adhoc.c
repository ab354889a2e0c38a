// SPDX-License-Identifier: ISC
// Commands of administrators over XMPP: who finds and may give them, every stage and error of
// XEP-0050, forms in both directions, and the limits. The verbs are made up here.
#include "lib/board.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define RELAY    "relay.example.org"
#define COMMANDS "http://jabber.org/protocol/commands"
#define ITEMS    "http://jabber.org/protocol/disco#items"
#define INFO     "http://jabber.org/protocol/disco#info"
#define LIST     "<query xmlns='" ITEMS "' node='" COMMANDS "'/>"
#define SUBMIT(field, value)                                                                       \
    "<x xmlns='jabber:x:data' type='submit'><field var='" field "'><value>" value                  \
    "</value></field></x>"

static const char *const words[] = {"on", "off", NULL};
static const char *const columns[] = {"id", "initiator.jid", NULL};
static const struct signal_verb verbs[] = {
    {.name = "status", .help = "Show it."},
    {.name = "calls", .help = "List them.", .columns = columns},
    {.name = "kick",
     .help = "End one.",
     .argument = {{"target", "Which.", NULL, true}},
     .changes = true},
    {.name = "drain", .help = "No more.", .argument = {{"mode", "How.", words, false}}},
};

struct desk { // of the administrator's verbs
    struct board *board;
    bool late;         // answers come by the test
    const char *error; // what is answered
    const char *result;
    unsigned runs;
    char verb[32], arguments[256];
    uint64_t token;
};

static void answer(struct desk *desk)
{
    json_t *result = desk->error ? NULL : json_loads(desk->result ? desk->result : "{}", 0, NULL);

    signal_admin_answer(desk->board->signal, desk->token, result, desk->error);
    json_decref(result);
}

static void on_run(void *ctx, const struct signal_verb *verb, const json_t *arguments,
                   uint64_t token)
{
    struct desk *desk = ctx;
    char *text = arguments ? json_dumps(arguments, JSON_COMPACT) : NULL;

    desk->runs++;
    desk->token = token;
    snprintf(desk->verb, sizeof desk->verb, "%s", verb->name);
    snprintf(desk->arguments, sizeof desk->arguments, "%s", text ? text : "");
    free(text);
    if (!desk->late)
        answer(desk);
}

static unsigned on_allocations(void *ctx)
{
    (void)ctx;
    return 7;
}

static void open_desk(struct desk *desk)
{
    static const char *const admins[] = {"nobody@example.org", "alice@example.org",
                                         "carol@elsewhere.org"};
    static const char *const contact[] = {"mailto:admin@example.org", "xmpp:ops@example.org"};
    struct signal_config config = board_config();
    const struct signal_admin admin = {verbs, sizeof verbs / sizeof verbs[0], desk, on_run,
                                       on_allocations};

    config.admins = admins;
    config.admin_count = 3;
    config.contact = contact;
    config.contact_count = 2;
    *desk = (struct desk){.board = board_new(&config)};
    signal_set_admin(desk->board->signal, &admin);
}

static void close_desk(struct desk *desk)
{
    board_none(desk->board);
    board_free(desk->board);
}

static void ask_as(struct desk *desk, const char *from, const char *type, const char *payload)
{
    board_put(desk->board, "<iq type='%s' from='%s' to='" RELAY "' id='q'>%s</iq>", type, from,
              payload);
}

// A command of Alice; what stands behind its node in the element, and what is in it.
static void command(struct desk *desk, const char *node, const char *attributes,
                    const char *content)
{
    char text[2048];

    snprintf(text, sizeof text, "<command xmlns='" COMMANDS "' node='%s' %s>%s</command>", node,
             attributes, content);
    ask_as(desk, ALICE, "set", text);
}

static struct xml *taken(struct desk *desk, const char *status)
{
    struct xml *iq = board_take(desk->board), *x = xml_child(iq, "command", COMMANDS);

    assert_string_equal(xml_attr(iq, "type"), "result");
    assert_string_equal(xml_attr(iq, "to"), ALICE);
    assert_string_equal(xml_attr(iq, "id"), "q");
    assert_non_null(x);
    assert_string_equal(xml_attr(x, "status"), status);
    return x;
}

// The attribute that names the session of the form that was sent last.
static void session_of(struct desk *desk, const char *node, char text[64])
{
    command(desk, node, "action='execute'", "");
    snprintf(text, 64, "sessionid='%s'", xml_attr(taken(desk, "executing"), "sessionid"));
}

static void expect_special(struct desk *desk, const char *condition, const char *special)
{
    board_expect_error(desk->board, ALICE, "q", condition, NULL);
    assert_non_null(xml_child(xml_child(desk->board->last, "error", NULL), special, COMMANDS));
}

// ---- who

static void administrators_find_the_commands(void **state)
{
    struct desk desk;

    open_desk(&desk);
    ask_as(&desk, ALICE, "get", LIST);
    board_expect(desk.board,
                 "<iq type='result' from='" RELAY "' to='" ALICE "' id='q'><query xmlns='" ITEMS
                 "' node='" COMMANDS "'><item jid='" RELAY "' node='status' name='Show it.'/>"
                 "<item jid='" RELAY "' node='calls' name='List them.'/><item jid='" RELAY
                 "' node='kick' name='End one.'/><item jid='" RELAY
                 "' node='drain' name='No more.'/></query></iq>");
    ask_as(&desk, ALICE, "get", "<query xmlns='" INFO "' node='kick'/>");
    board_expect(desk.board,
                 "<iq type='result' from='" RELAY "' to='" ALICE "' id='q'><query xmlns='" INFO
                 "' node='kick'><identity category='automation' type='command-node' "
                 "name='End one.'/><feature var='" COMMANDS "'/><feature var='jabber:x:data'/>"
                 "</query></iq>");
    ask_as(&desk, ALICE, "get", "<query xmlns='" INFO "' node='" COMMANDS "'/>");
    assert_string_equal(
        xml_attr(xml_child(xml_child(board_take(desk.board), "query", NULL), "identity", NULL),
                 "type"),
        "command-list");
    close_desk(&desk);
}

static bool lists_commands(struct desk *desk, const char *from)
{
    struct xml *query;
    bool found = false;

    ask_as(desk, from, "get", "<query xmlns='" INFO "'/>");
    query = xml_child(board_take(desk->board), "query", NULL);
    for (struct xml *f = xml_child(query, "feature", NULL); f; f = xml_next(f, "feature", NULL))
        found |= strcmp(xml_attr(f, "var"), COMMANDS) == 0;
    return found;
}

static void nobody_else_does(void **state)
{
    // A user, one without a client, an administrator of another server, somebody with his name.
    static const char *const strangers[] = {BOB,
                                            "alice@example.org",
                                            "carol@elsewhere.org/c",
                                            "alice@elsewhere.org/a",
                                            "example.org",
                                            "example.org/alice@example.org"};
    static const char *const gets[] = {LIST, "<query xmlns='" INFO "' node='" COMMANDS "'/>",
                                       "<query xmlns='" INFO "' node='kick'/>"};
    struct desk desk;

    open_desk(&desk);
    assert_true(lists_commands(&desk, ALICE));
    for (size_t i = 0; i < sizeof strangers / sizeof strangers[0]; i++) {
        assert_false(lists_commands(&desk, strangers[i]));
        for (size_t k = 0; k < sizeof gets / sizeof gets[0]; k++) {
            ask_as(&desk, strangers[i], "get", gets[k]);
            board_expect_error(desk.board, strangers[i], "q", "forbidden", NULL);
        }
        ask_as(&desk, strangers[i], "set", "<command xmlns='" COMMANDS "' node='status'/>");
        board_expect_error(desk.board, strangers[i], "q", "forbidden", NULL);
        ask_as(&desk, strangers[i], "set", "<command xmlns='" COMMANDS "' node='x'/>");
        board_expect_error(desk.board, strangers[i], "q", "forbidden", NULL);
    }
    assert_int_equal(desk.runs, 0);
    assert_int_equal(board_counter(desk.board, COUNTER_ADMIN_FORBIDDEN),
                     5 * sizeof strangers / sizeof strangers[0]);
    board_put(desk.board, "<iq type='set' from='" ALICE "' to='" BOB_AS
                          "' id='q'><command xmlns='" COMMANDS "' node='status'/></iq>");
    board_expect_error(desk.board, ALICE, "q", "service-unavailable", NULL);
    close_desk(&desk);
}

static void without_a_desk_nobody_is_an_administrator(void **state)
{
    struct desk desk;

    open_desk(&desk);
    signal_set_admin(desk.board->signal, NULL);
    ask_as(&desk, ALICE, "get", LIST);
    board_expect_error(desk.board, ALICE, "q", "forbidden", NULL);
    command(&desk, "status", "", "");
    board_expect_error(desk.board, ALICE, "q", "forbidden", NULL);
    close_desk(&desk);
}

// ---- one stage

static void a_verb_without_arguments_answers_at_once(void **state)
{
    struct desk desk;
    struct xml *x;

    open_desk(&desk);
    desk.result = "{\"up\": true, \"since\": null, \"part\": {\"load\": 0.25, \"n\": 3},"
                  " \"list\": [\"a\", {\"x\": 1, \"y\": [\"b\", 2]}], \"empty\": []}";
    command(&desk, "status", "action='execute'", "");
    x = taken(&desk, "completed");
    assert_string_equal(desk.verb, "status");
    assert_string_equal(desk.arguments, "");
    assert_null(xml_child(x, "note", NULL));
    x = xml_child(x, "x", "jabber:x:data");
    struct xml *expected = parse(
        "<x xmlns='jabber:x:data' type='result'><title>status</title>"
        "<field var='up' type='text-single' label='up'><value>yes</value></field>"
        "<field var='since' type='text-single' label='since'><value>-</value></field>"
        "<field var='part.load' type='text-single' label='part.load'><value>0.25</value></field>"
        "<field var='part.n' type='text-single' label='part.n'><value>3</value></field>"
        "<field var='list' type='text-multi' label='list'><value>a</value>"
        "<value>x: 1, y: (b, 2)</value></field></x>");
    assert_true(xml_equal(x, expected));
    xml_free(expected);
    assert_int_equal(board_counter(desk.board, COUNTER_ADMIN_DONE), 1);
    close_desk(&desk);
}

static void lists_become_a_table(void **state)
{
    struct desk desk;
    struct xml *expected;

    open_desk(&desk);
    desk.result = "{\"calls\": [{\"id\": \"1\", \"x\": 2, \"initiator\": {\"jid\": \"a@b/c\"}}],"
                  " \"ended\": [{\"id\": \"2\"}]}";
    command(&desk, "calls", "", "");
    expected = parse("<x xmlns='jabber:x:data' type='result'><title>calls</title><reported>"
                     "<field var='id' type='text-single' label='id'/>"
                     "<field var='initiator.jid' type='text-single' label='initiator.jid'/>"
                     "</reported><item><field var='id'><value>1</value></field>"
                     "<field var='initiator.jid'><value>a@b/c</value></field></item>"
                     "<item><field var='id'><value>2</value></field>"
                     "<field var='initiator.jid'><value></value></field></item></x>");
    assert_true(xml_equal(xml_child(taken(&desk, "completed"), "x", NULL), expected));
    xml_free(expected);
    close_desk(&desk);
}

// Returns how many of 5,000 calls are told of.
static unsigned rows_told(const char *initiator)
{
    json_t *calls = json_array(), *result;
    struct desk desk;
    struct xml *form;
    unsigned rows = 0;
    char *text;

    open_desk(&desk);
    for (int i = 0; i < 5000; i++)
        json_array_append_new(calls,
                              json_pack("{s:i, s:{s:s}}", "id", i, "initiator", "jid", initiator));
    result = json_pack("{s:o}", "calls", calls);
    desk.result = text = json_dumps(result, 0);
    command(&desk, "calls", "", "");
    form = xml_child(taken(&desk, "completed"), "x", NULL);
    for (struct xml *x = xml_child(form, "item", NULL); x; x = xml_next(x, "item", NULL))
        rows++;
    assert_non_null(strstr(xml_text(xml_child(form, "instructions", NULL)), "not all"));
    free(text);
    json_decref(result);
    close_desk(&desk);
    return rows;
}

static void long_answers_are_cut(void **state)
{
    char ampersands[1001] = {0}; // each is five bytes as XML

    assert_in_range(rows_told("a@a.test/a"), 300, 600);
    memset(ampersands, '&', sizeof ampersands - 1);
    assert_in_range(rows_told(ampersands), 40, (384 << 10) / 5000 + 1);
}

static void errors_of_verbs_are_notes(void **state)
{
    struct desk desk;
    struct xml *x;

    open_desk(&desk);
    desk.error = "there is no <such> call";
    command(&desk, "kick", "", SUBMIT("target", "00c0ffee"));
    x = taken(&desk, "completed");
    assert_string_equal(desk.arguments, "{\"target\":\"00c0ffee\"}");
    assert_string_equal(xml_attr(xml_child(x, "note", NULL), "type"), "error");
    assert_string_equal(xml_text(xml_child(x, "note", NULL)), "there is no <such> call");
    assert_int_equal(board_counter(desk.board, COUNTER_ADMIN_FAILED), 1);
    close_desk(&desk);
}

// ---- two stages

static void a_form_asks_for_the_arguments(void **state)
{
    struct desk desk;
    struct xml *x, *expected;
    char session[64];

    open_desk(&desk);
    command(&desk, "drain", "action='execute'", "");
    x = taken(&desk, "executing");
    expected = parse("<actions xmlns='" COMMANDS "' execute='complete'><complete/></actions>");
    assert_true(xml_equal(xml_child(x, "actions", NULL), expected));
    xml_free(expected);
    expected =
        parse("<x xmlns='jabber:x:data' type='form'><title>drain</title>"
              "<instructions>No more.</instructions><field var='mode' type='list-single' "
              "label='mode'><desc>How.</desc><value>on</value><option label='on'><value>on"
              "</value></option><option label='off'><value>off</value></option></field></x>");
    assert_true(xml_equal(xml_child(x, "x", NULL), expected));
    xml_free(expected);
    snprintf(session, sizeof session, "sessionid='%s'", xml_attr(x, "sessionid"));
    command(&desk, "drain", session, SUBMIT("mode", "off"));
    taken(&desk, "completed");
    assert_string_equal(desk.arguments, "{\"mode\":\"off\"}");

    session_of(&desk, "kick", session);
    assert_non_null(
        xml_child(xml_child(xml_child(xml_child(desk.board->last, "command", NULL), "x", NULL),
                            "field", NULL),
                  "required", NULL));
    board_put(
        desk.board,
        "<iq type='set' from='" ALICE "' to='" RELAY "' id='q'><command xmlns='" COMMANDS
        "' node='kick' action='complete' %s>" SUBMIT("target", "bob@example.org") "</command></iq>",
        session);
    x = taken(&desk, "completed");
    assert_string_equal(desk.arguments, "{\"target\":\"bob@example.org\"}");
    assert_string_equal(xml_attr(xml_child(x, "note", NULL), "type"), "info");
    assert_int_equal(desk.runs, 2);
    close_desk(&desk);
}

static void what_may_be_left_out_may_be(void **state)
{
    struct desk desk;
    char session[64];

    open_desk(&desk);
    session_of(&desk, "drain", session);
    command(&desk, "drain", session, "<x xmlns='jabber:x:data' type='submit'/>");
    taken(&desk, "completed");
    assert_string_equal(desk.arguments, "{}");
    close_desk(&desk);
}

static void a_command_can_be_canceled(void **state)
{
    struct desk desk;
    char session[64], canceled[128];

    open_desk(&desk);
    session_of(&desk, "kick", session);
    snprintf(canceled, sizeof canceled, "%s action='cancel'", session);
    command(&desk, "kick", canceled, "");
    taken(&desk, "canceled");
    command(&desk, "kick", session, SUBMIT("target", "x"));
    expect_special(&desk, "not-allowed", "session-expired");
    session_of(&desk, "kick", session);
    command(&desk, "kick", session, "<x xmlns='jabber:x:data' type='cancel'/>");
    taken(&desk, "canceled");
    assert_int_equal(desk.runs, 0);
    close_desk(&desk);
}

// ---- errors (section 4.4)

static void wrong_commands_are_told_what_is_wrong(void **state)
{
    struct desk desk;
    char session[64], text[128];

    open_desk(&desk);
    command(&desk, "frobnicate", "", "");
    board_expect_error(desk.board, ALICE, "q", "item-not-found", NULL);
    ask_as(&desk, ALICE, "set", "<command xmlns='" COMMANDS "'/>");
    board_expect_error(desk.board, ALICE, "q", "item-not-found", NULL);
    command(&desk, "status", "action='dance'", "");
    expect_special(&desk, "bad-request", "malformed-action");
    command(&desk, "status", "action='prev'", "");
    expect_special(&desk, "bad-request", "bad-action");
    command(&desk, "kick", "sessionid='5'", "");
    expect_special(&desk, "bad-request", "bad-sessionid");
    command(&desk, "kick", "", "<x xmlns='jabber:x:data' type='submit'/>");
    expect_special(&desk, "bad-request", "bad-payload");

    session_of(&desk, "kick", session);
    snprintf(text, sizeof text, "%s action='next'", session);
    command(&desk, "kick", text, SUBMIT("target", "x"));
    expect_special(&desk, "bad-request", "bad-action");
    command(&desk, "kick", session, "");
    expect_special(&desk, "bad-request", "bad-payload");
    command(&desk, "kick", session, SUBMIT("other", "x"));
    expect_special(&desk, "bad-request", "bad-payload");
    command(&desk, "drain", session, SUBMIT("mode", "on"));
    expect_special(&desk, "bad-request", "bad-sessionid");
    assert_int_equal(desk.runs, 0);
    command(&desk, "kick", session, SUBMIT("target", "x")); // the session has survived all that
    taken(&desk, "completed");
    command(&desk, "kick", session, SUBMIT("target", "x"));
    expect_special(&desk, "not-allowed", "session-expired");
    assert_int_equal(desk.runs, 1);
    close_desk(&desk);
}

static void sessions_are_their_clients_own(void **state)
{
    struct desk desk;
    char session[64], text[512];

    open_desk(&desk);
    session_of(&desk, "kick", session);
    snprintf(text, sizeof text, "<command xmlns='" COMMANDS "' node='kick' %s>%s</command>",
             session, SUBMIT("target", "x"));
    ask_as(&desk, "alice@example.org/other", "set", text);
    board_expect_error(desk.board, "alice@example.org/other", "q", "bad-request", NULL);
    assert_int_equal(desk.runs, 0);
    close_desk(&desk);
}

// ---- time and number

static void forms_are_waited_for_only_so_long(void **state)
{
    struct desk desk;
    char session[64];

    open_desk(&desk);
    session_of(&desk, "kick", session);
    board_wait(desk.board, 601 * USEC_PER_SEC);
    command(&desk, "kick", session, SUBMIT("target", "x"));
    expect_special(&desk, "not-allowed", "session-expired");
    close_desk(&desk);
}

static void late_answers_find_back(void **state)
{
    struct desk desk;

    open_desk(&desk);
    desk.late = true;
    command(&desk, "status", "", "");
    board_none(desk.board);
    answer(&desk);
    taken(&desk, "completed");
    answer(&desk); // once only
    board_none(desk.board);

    command(&desk, "status", "", "");
    board_wait(desk.board, 31 * USEC_PER_SEC);
    assert_string_equal(xml_attr(xml_child(taken(&desk, "completed"), "note", NULL), "type"),
                        "error");
    answer(&desk);
    close_desk(&desk);
}

static void sessions_are_limited(void **state)
{
    char from[64], session[64];
    struct desk desk;
    unsigned forms = 0;

    open_desk(&desk);
    for (int i = 0; i < 8; i++)
        session_of(&desk, "kick", session);
    command(&desk, "kick", "", "");
    board_expect_error(desk.board, ALICE, "q", "resource-constraint", NULL);
    for (int i = 0; i < 60; i++) { // other clients of hers
        snprintf(from, sizeof from, "alice@example.org/%d", i);
        ask_as(&desk, from, "set", "<command xmlns='" COMMANDS "' node='kick'/>");
        forms += strcmp(xml_attr(board_take(desk.board), "type"), "result") == 0;
    }
    assert_int_equal(forms, 24);
    assert_int_equal(board_counter(desk.board, COUNTER_ADMIN_LIMIT), 37);
    board_wait(desk.board, 601 * USEC_PER_SEC);
    command(&desk, "kick", "", "");
    taken(&desk, "executing");
    close_desk(&desk);
}

// ---- for everybody

static void figures_and_contact_are_public(void **state)
{
    struct desk desk;
    struct xml *form, *expected;

    open_desk(&desk);
    board_wait(desk.board, 5 * USEC_PER_SEC + 1);
    ask_as(&desk, BOB, "get", "<query xmlns='" INFO "'/>");
    form = xml_child(xml_child(board_take(desk.board), "query", NULL), "x", "jabber:x:data");
    expected = parse("<x xmlns='jabber:x:data' type='result'><field var='FORM_TYPE' type='hidden'>"
                     "<value>http://jabber.org/network/serverinfo</value></field>"
                     "<field var='admin-addresses' type='list-multi'>"
                     "<value>mailto:admin@example.org</value><value>xmpp:ops@example.org</value>"
                     "</field></x>");
    assert_true(xml_equal(form, expected));
    xml_free(expected);
    form = xml_next(form, "x", "jabber:x:data");
    expected = parse("<x xmlns='jabber:x:data' type='result'><field var='FORM_TYPE' type='hidden'>"
                     "<value>urn:xmpp:jingle-relayd:statistics:0</value></field>"
                     "<field var='calls'><value>0</value></field>"
                     "<field var='calls_total'><value>0</value></field>"
                     "<field var='allocations'><value>7</value></field>"
                     "<field var='uptime_s'><value>5</value></field></x>");
    assert_true(xml_equal(form, expected));
    xml_free(expected);
    close_desk(&desk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(administrators_find_the_commands),
        cmocka_unit_test(nobody_else_does),
        cmocka_unit_test(without_a_desk_nobody_is_an_administrator),
        cmocka_unit_test(a_verb_without_arguments_answers_at_once),
        cmocka_unit_test(lists_become_a_table),
        cmocka_unit_test(long_answers_are_cut),
        cmocka_unit_test(errors_of_verbs_are_notes),
        cmocka_unit_test(a_form_asks_for_the_arguments),
        cmocka_unit_test(what_may_be_left_out_may_be),
        cmocka_unit_test(a_command_can_be_canceled),
        cmocka_unit_test(wrong_commands_are_told_what_is_wrong),
        cmocka_unit_test(sessions_are_their_clients_own),
        cmocka_unit_test(forms_are_waited_for_only_so_long),
        cmocka_unit_test(late_answers_find_back),
        cmocka_unit_test(sessions_are_limited),
        cmocka_unit_test(figures_and_contact_are_public),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
