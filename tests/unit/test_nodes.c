// SPDX-License-Identifier: ISC
// Jingle Relay Nodes (XEP-0278) as clients ask for them: services, channels from the request to the
// end of their ports, TURN credentials, and what strangers and the greedy get.
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

#define RELAY    "relay.example.org"
#define NODES    "http://jabber.org/protocol/jinglenodes"
#define SERVICES "<services xmlns='" NODES "'/>"
#define CHANNEL  "<channel xmlns='" NODES "#channel' protocol='udp'/>"
#define TURN     "<turn xmlns='" NODES "#turncredentials' protocol='udp'/>"
#define CAROL    "carol@elsewhere.org/c"

static void ask_as(struct board *b, const char *from, const char *id, const char *payload)
{
    board_put(b, "<iq type='get' from='%s' to='" RELAY "' id='%s'>%s</iq>", from, id, payload);
}

static void ask(struct board *b, const char *id, const char *payload)
{
    ask_as(b, ALICE, id, payload);
}

static struct signal_config with_turn(void)
{
    static const struct signal_service items[] = {
        {"turn", "udp", "turn.example.org", 3478},  {"turn", "tcp", "2001:db8::9", 3478},
        {"turns", "tcp", "turn.example.org", 5349}, {"stun", "udp", "turn.example.org", 3478},
        {"stuns", "tcp", "turn.example.org", 5349},
    };
    struct signal_config config = board_config();

    config.services = (struct signal_services){items, sizeof items / sizeof items[0],
                                               "a secret of 128 bits or more", 3600 * USEC_PER_SEC};
    return config;
}

// ---- services

static void the_relay_names_itself(void **state)
{
    struct board *b = board_new(NULL);

    ask(b, "s", SERVICES);
    board_expect(b,
                 "<iq type='result' from='" RELAY "' to='" ALICE "' id='s'><services xmlns='" NODES
                 "'><relay policy='public' address='" RELAY "' protocol='udp'/></services></iq>");
    board_free(b);
}

// Jitsi reads 'relay' and 'tracker' and passes over the rest.
static void services_list_stun_and_turn(void **state)
{
    struct signal_config config = with_turn();
    struct board *b = board_new(&config);

    ask(b, "s", SERVICES);
    board_expect(b, "<iq type='result' from='" RELAY "' to='" ALICE
                    "' id='s'><services xmlns='" NODES "'>"
                    "<relay policy='public' address='" RELAY "' protocol='udp'/>"
                    "<turn policy='public' address='turn.example.org' port='3478' protocol='udp'/>"
                    "<turn policy='public' address='2001:db8::9' port='3478' protocol='tcp'/>"
                    "<stun policy='public' address='turn.example.org' port='3478' protocol='udp'/>"
                    "</services></iq>");
    board_free(b);
}

static void strangers_are_refused(void **state)
{
    static const char *const payloads[] = {SERVICES, CHANNEL, TURN};
    struct signal_config config = with_turn();
    struct board *b = board_new(&config);

    for (size_t i = 0; i < 3; i++) {
        ask_as(b, CAROL, "q", payloads[i]);
        board_expect_error(b, CAROL, "q", "forbidden", NULL);
        ask_as(b, "example.org", "q", payloads[i]); // a domain is nobody
        board_expect_error(b, "example.org", "q", "forbidden", NULL);
    }
    assert_int_equal(b->paths, 0);
    board_free(b);
}

// Delegated by the server (XEP-0355): clients that ask their own server find the relay as well.
static void the_server_may_delegate_the_search(void **state)
{
    struct board *b = board_new(NULL);

    board_put(b, "<iq type='set' from='example.org' to='" RELAY "' id='d'>"
                 "<delegation xmlns='urn:xmpp:delegation:2'><forwarded xmlns='urn:xmpp:forward:0'>"
                 "<iq xmlns='jabber:client' type='get' from='" ALICE
                 "' to='example.org' id='s'>" SERVICES "</iq></forwarded></delegation></iq>");
    board_expect(b,
                 "<iq type='result' from='" RELAY "' to='example.org' id='d'>"
                 "<delegation xmlns='urn:xmpp:delegation:2'><forwarded xmlns='urn:xmpp:forward:0'>"
                 "<iq xmlns='jabber:client' type='result' from='example.org' to='" ALICE
                 "' id='s'><services xmlns='" NODES "'><relay policy='public' address='" RELAY
                 "' protocol='udp'/></services></iq></forwarded></delegation></iq>");
    board_free(b);
}

static bool has_feature(struct board *b, const char *feature)
{
    struct xml *f;
    bool found = false;

    ask(b, "d", "<query xmlns='http://jabber.org/protocol/disco#info'/>");
    f = xml_child(xml_child(board_take(b), "query", NULL), "feature", NULL);
    for (; f; f = xml_next(f, "feature", NULL))
        found |= strcmp(xml_attr(f, "var"), feature) == 0;
    return found;
}

static void disco_says_so(void **state)
{
    struct signal_config config = with_turn();
    struct board *b = board_new(NULL);
    struct xml *query;

    assert_true(has_feature(b, NODES));
    assert_true(has_feature(b, NODES "#channel"));
    assert_false(has_feature(b, NODES "#turncredentials"));
    query = xml_child(b->last, "query", NULL);
    assert_int_equal(count_children(query, "identity"), 2);
    assert_string_equal(
        xml_attr(xml_next(xml_child(query, "identity", NULL), "identity", NULL), "type"), "relay");
    board_free(b);
    b = board_new(&config);
    assert_true(has_feature(b, NODES "#turncredentials"));
    board_free(b);
}

// ---- TURN credentials

static void credentials_in_this_dialect(void **state)
{
    struct signal_config config = with_turn();
    struct board *b = board_new(&config);
    const struct xml *turn;

    signal_set_clock(b->signal, 1700000000 * (int64_t)USEC_PER_SEC - (int64_t)b->now);
    ask(b, "t", TURN);
    turn = xml_child(board_take(b), "turn", NODES "#turncredentials");
    assert_non_null(turn);
    assert_string_equal(xml_attr(turn, "ttl"), "3600");
    assert_string_equal(xml_attr(turn, "uri"), "turn:turn.example.org:3478?transport=udp");
    assert_string_equal(xml_attr(turn, "username"), "1700003600:alice@example.org");
    assert_int_equal(strlen(xml_attr(turn, "password")), 28);
    ask(b, "t", "<turn xmlns='" NODES "#turncredentials' protocol='tcp'/>");
    turn = xml_child(board_take(b), "turn", NULL);
    assert_string_equal(xml_attr(turn, "uri"), "turn:[2001:db8::9]:3478?transport=tcp");
    ask(b, "t", "<turn xmlns='" NODES "#turncredentials' protocol='sctp'/>");
    board_expect_error(b, ALICE, "t", "item-not-found", NULL);
    board_free(b);
}

static void no_credentials_without_turn(void **state)
{
    struct board *b = board_new(NULL);

    ask(b, "t", TURN);
    board_expect_error(b, ALICE, "t", "service-unavailable", NULL);
    board_free(b);
}

// ---- a channel

// Its attributes are what Jitsi reads (host, localport, remoteport, protocol) and what section 6.1
// requires (id, expire).
static void a_channel(void **state)
{
    struct signal_config config = board_config();
    struct board *b;
    const struct order *rtp, *rtcp;
    const struct xml *x;

    config.path_silence = 30 * USEC_PER_SEC;
    b = board_new(&config);
    ask(b, "c", CHANNEL);
    x = xml_child(board_expect(b,
                               "<iq type='result' from='" RELAY "' to='" ALICE
                               "' id='c'><channel xmlns='" NODES "#channel' component='1' id='*' "
                               "host='203.0.113.1' localport='40000' remoteport='40001' "
                               "protocol='udp' expire='60'/></iq>"),
                  "channel", NULL);
    assert_int_equal(strlen(xml_attr(x, "id")), 17);
    assert_int_equal(b->paths, 2);
    rtp = &b->path[0].open;
    rtcp = &b->path[1].open;
    assert_int_equal(rtp->u.open.mode, PATH_CHANNEL);
    assert_int_equal(rtp->u.open.rtp_path, 0);
    assert_int_equal(rtcp->u.open.mode, PATH_CHANNEL);
    assert_int_equal(rtcp->u.open.rtp_path, rtp->path);
    assert_int_equal(rtcp->call, rtp->call); // one worker has both
    assert_true(rtp->u.open.family_v4[0] && rtp->u.open.family_v4[1]);
    assert_int_equal(board_counter(b, COUNTER_CHANNELS_OPENED), 1);
    assert_int_equal(board_counter(b, COUNTER_CALLS_OPENED), 0);
    assert_int_equal(board_counter(b, COUNTER_CHANNELS_RINGING), 1);
    assert_int_equal(signal_calls(b->signal), 1);
    signal_end_all(b->signal, "gone", b->now);
    board_settle(b);
    assert_int_equal(b->ended, 1);
    assert_string_equal(b->ended_reason, "gone");
    assert_int_equal(b->ended_views, 2);
    board_none(b);
    board_free(b);
}

static void what_a_channel_may_carry(void **state)
{
    struct signal_config config = board_config();
    struct board *b;
    const struct xml *x;

    config.bytes_per_second = 16000;
    config.calls.media_timeout = 0;
    config.family_v4 = false;
    config.family_v6 = true;
    b = board_new(&config);
    ask(b, "c", "<channel xmlns='" NODES "#channel'/>");
    x = xml_child(board_take(b), "channel", NULL);
    assert_string_equal(xml_attr(x, "maxkbps"), "128");
    assert_string_equal(xml_attr(x, "host"), "2001:db8::1");
    assert_string_equal(xml_attr(x, "expire"), "86400"); // the operator has set no limit
    assert_int_equal(b->path[0].open.u.open.bytes_per_second, 16000);
    assert_false(b->path[0].open.u.open.family_v4[0]);
    assert_true(b->path[0].open.u.open.family_v6[1]);
    signal_end_all(b->signal, "gone", b->now);
    board_settle(b);
    board_free(b);
}

static void only_udp(void **state)
{
    struct board *b = board_new(NULL);

    ask(b, "c", "<channel xmlns='" NODES "#channel' protocol='tcp'/>");
    board_expect_error(b, ALICE, "c", "feature-not-implemented", NULL);
    board_put(b, "<iq type='set' from='" ALICE "' to='" RELAY "' id='c'>" CHANNEL "</iq>");
    board_expect_error(b, ALICE, "c", "service-unavailable", NULL);
    board_put(b, "<iq type='get' from='" ALICE "' to='" BOB_AS "' id='c'>" CHANNEL "</iq>");
    board_expect_error(b, ALICE, "c", "service-unavailable", NULL);
    assert_int_equal(b->paths, 0);
    board_free(b);
}

static void the_answer_waits_for_both_ports(void **state)
{
    struct board *b = board_new(NULL);

    b->late = true;
    ask(b, "c", CHANNEL);
    board_none(b);
    board_opened(b, 0);
    board_none(b);
    board_opened(b, 1);
    board_expect(b, "<iq type='result' from='*' to='" ALICE "' id='c'><channel xmlns='" NODES
                    "#channel' component='1' id='*' host='*' localport='40000' remoteport='40001' "
                    "protocol='udp' expire='30'/></iq>");
    board_wait(b, 300 * USEC_PER_SEC);
    board_free(b);
}

// ---- refusals

static void no_ports_are_left(void **state)
{
    struct board *b = board_new(NULL);

    b->fail = -EMFILE;
    ask(b, "c", CHANNEL);
    board_expect_error(b, ALICE, "c", "resource-constraint", NULL);
    assert_string_equal(xml_attr(xml_child(b->last, "error", NULL), "type"), "wait");
    assert_int_equal(board_counter(b, COUNTER_CALLS_REFUSED_PORTS), 1);
    board_none(b);
    assert_int_equal(b->ended, 1);
    assert_string_equal(b->ended_reason, "refused");
    board_free(b);
}

// The first pair is open when the second fails: it is given back.
static void half_a_channel_is_none(void **state)
{
    struct board *b = board_new(NULL);

    b->late = true;
    ask(b, "c", CHANNEL);
    board_opened(b, 0);
    board_failed(b, 1, -EADDRINUSE);
    board_settle(b);
    board_expect_error(b, ALICE, "c", "resource-constraint", NULL);
    assert_int_equal(board_open_paths(b), 0);
    board_free(b);
}

static void a_relay_that_does_not_answer(void **state)
{
    struct board *b = board_new(NULL);

    b->late = true;
    ask(b, "c", CHANNEL);
    board_wait(b, 10 * USEC_PER_SEC);
    board_expect_error(b, ALICE, "c", "resource-constraint", NULL);
    assert_int_equal(board_open_paths(b), 0);
    board_opened(b, 0); // too late
    board_none(b);
    board_free(b);
}

static void each_user_has_a_share(void **state)
{
    struct signal_config config = board_config();
    struct board *b;

    config.calls.calls_per_user = 2;
    b = board_new(&config);
    ask(b, "1", CHANNEL);
    ask_as(b, "alice@example.org/other", "2", CHANNEL);
    ask_as(b, "alice@example.org/third", "3", CHANNEL);
    board_take(b);
    board_take(b);
    board_expect_error(b, "alice@example.org/third", "3", "resource-constraint", NULL);
    assert_int_equal(board_counter(b, COUNTER_CALLS_REFUSED_PER_JID), 1);
    ask_as(b, BOB, "4", CHANNEL); // another user has his own
    assert_string_equal(xml_attr(board_take(b), "type"), "result");
    signal_end_all(b->signal, "gone", b->now);
    board_settle(b);
    board_free(b);
}

static void requests_are_rated(void **state)
{
    struct signal_config config = board_config();
    struct board *b;

    config.calls.new_calls_per_minute = 3;
    b = board_new(&config);
    for (int i = 0; i < 3; i++)
        ask(b, "c", CHANNEL);
    board_clear(b);
    ask(b, "c", CHANNEL);
    board_expect_error(b, ALICE, "c", "resource-constraint", NULL);
    assert_int_equal(board_counter(b, COUNTER_CALLS_REFUSED_RATE), 1);
    board_wait(b, 20 * USEC_PER_SEC);
    ask(b, "c", CHANNEL);
    assert_string_equal(xml_attr(board_take(b), "type"), "result");
    signal_end_all(b->signal, "gone", b->now);
    board_settle(b);
    board_free(b);
}

static void no_new_ones_while_draining(void **state)
{
    struct board *b = board_new(NULL);

    ask(b, "c", CHANNEL);
    board_clear(b);
    signal_drain(b->signal);
    ask(b, "c", CHANNEL);
    board_expect_error(b, ALICE, "c", "resource-constraint", NULL);
    assert_int_equal(signal_calls(b->signal), 1); // the old one goes on
    board_wait(b, 300 * USEC_PER_SEC);
    board_free(b);
}

// ---- ends

static struct board *with_channel(void)
{
    struct board *b = board_new(NULL);

    ask(b, "c", CHANNEL);
    board_clear(b);
    return b;
}

static void what_nobody_uses_ends(void **state)
{
    struct board *b = with_channel();

    board_event(b, 0, EVENT_SILENT);
    board_event(b, 1, EVENT_SILENT);
    board_wait(b, 119 * USEC_PER_SEC); // while it may ring
    assert_int_equal(board_open_paths(b), 2);
    board_wait(b, 2 * USEC_PER_SEC);
    assert_int_equal(board_open_paths(b), 0);
    assert_string_equal(b->ended_reason, "timeout");
    assert_string_equal(b->ended_report.door, "channel");
    board_free(b);
}

static void silence_ends_a_channel(void **state)
{
    struct board *b = with_channel();

    board_event(b, 0, EVENT_MEDIA);
    assert_int_equal(board_counter(b, COUNTER_CHANNELS_ACTIVE), 1);
    board_event(b, 1, EVENT_SILENT); // rtcp-mux: the odd ports are never used
    board_wait(b, 600 * USEC_PER_SEC);
    assert_int_equal(board_open_paths(b), 2);
    board_event(b, 0, EVENT_SILENT);
    board_wait(b, 20 * USEC_PER_SEC);
    board_event(b, 0, EVENT_MEDIA); // it was a pause
    board_wait(b, 20 * USEC_PER_SEC);
    assert_int_equal(board_open_paths(b), 2);
    board_event(b, 0, EVENT_SILENT);
    board_wait(b, 31 * USEC_PER_SEC);
    assert_int_equal(board_open_paths(b), 0);
    assert_string_equal(b->ended_reason, "timeout");
    board_free(b);
}

static void no_channel_lasts_for_ever(void **state)
{
    struct signal_config config = board_config();
    struct board *b;

    config.calls.duration = 3600 * USEC_PER_SEC;
    b = board_new(&config);
    ask(b, "c", CHANNEL);
    board_event(b, 0, EVENT_MEDIA);
    board_wait(b, 3599 * USEC_PER_SEC);
    assert_int_equal(board_open_paths(b), 2);
    board_wait(b, 2 * USEC_PER_SEC);
    assert_string_equal(b->ended_reason, "expired");
    board_clear(b);
    board_free(b);
}

// Orders that the relay could not be given are given again.
static void ports_come_back_late(void **state)
{
    struct board *b = with_channel();

    b->order_error = -ENOMEM;
    signal_end_all(b->signal, "gone", b->now);
    board_wait(b, 5 * USEC_PER_SEC);
    assert_int_equal(signal_unfinished(b->signal), 1);
    b->order_error = 0;
    board_wait(b, 2 * USEC_PER_SEC);
    assert_int_equal(b->ended, 1);
    assert_int_equal(b->ended_views, 0);
    board_free(b);
}

static void a_relay_that_takes_no_orders(void **state)
{
    struct board *b = board_new(NULL);

    b->order_error = -ENOMEM;
    ask(b, "c", CHANNEL);
    board_expect_error(b, ALICE, "c", "resource-constraint", NULL);
    b->order_error = 0;
    board_wait(b, USEC_PER_SEC);
    board_free(b);
}

static unsigned reported;

static void count_report(void *ctx, const struct call_report *report)
{
    const char **door = ctx;

    reported++;
    *door = report->door;
    assert_string_equal(report->jid[SIDE_INITIATOR], ALICE);
    assert_non_null(report->jid[SIDE_RESPONDER]);
    assert_int_equal(report->contents, 1);
}

static void running_channels_are_shown(void **state)
{
    struct board *b = with_channel();
    const char *door = "";

    reported = 0;
    signal_each_call(b->signal, count_report, &door);
    assert_int_equal(reported, 1);
    assert_string_equal(door, "channel");
    b->mute = true;
    signal_end_all(b->signal, "gone", b->now);
    signal_each_call(b->signal, count_report, &door);
    assert_int_equal(reported, 1);
    b->mute = false;
    board_settle(b);
    board_free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_relay_names_itself),
        cmocka_unit_test(services_list_stun_and_turn),
        cmocka_unit_test(strangers_are_refused),
        cmocka_unit_test(the_server_may_delegate_the_search),
        cmocka_unit_test(disco_says_so),
        cmocka_unit_test(credentials_in_this_dialect),
        cmocka_unit_test(no_credentials_without_turn),
        cmocka_unit_test(a_channel),
        cmocka_unit_test(what_a_channel_may_carry),
        cmocka_unit_test(only_udp),
        cmocka_unit_test(the_answer_waits_for_both_ports),
        cmocka_unit_test(no_ports_are_left),
        cmocka_unit_test(half_a_channel_is_none),
        cmocka_unit_test(a_relay_that_does_not_answer),
        cmocka_unit_test(each_user_has_a_share),
        cmocka_unit_test(requests_are_rated),
        cmocka_unit_test(no_new_ones_while_draining),
        cmocka_unit_test(what_nobody_uses_ends),
        cmocka_unit_test(silence_ends_a_channel),
        cmocka_unit_test(no_channel_lasts_for_ever),
        cmocka_unit_test(ports_come_back_late),
        cmocka_unit_test(a_relay_that_takes_no_orders),
        cmocka_unit_test(running_channels_are_shown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
