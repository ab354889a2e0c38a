// SPDX-License-Identifier: ISC
// What an administrator does to the signalling while calls run: another configuration, the end of a
// call, the end of a user's calls, draining and its end.
#include "lib/board.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define ICE  "urn:xmpp:jingle:transports:ice-udp:1"
#define EXT2 "urn:xmpp:extdisco:2"
#define AUDIO                                                                                      \
    "<content creator='initiator' name='0'><description "                                          \
    "xmlns='urn:xmpp:jingle:apps:rtp:1' media='audio'/><transport xmlns='" ICE                     \
    "' ufrag='ua' pwd='p'/></content>"
#define RELAY  "relay.example.org"
#define SECRET "0123456789abcdef"

static void take_id(void *ctx, const struct call_report *report)
{
    *(uint64_t *)ctx = report->id;
}

static struct board *talking(uint64_t *ret_id)
{
    struct board *b = board_new(NULL);

    board_offer(b);
    board_accept(b);
    signal_each_call(b->signal, take_id, ret_id);
    return b;
}

// Both sides are told, in no order.
static void expect_both_told(struct board *b)
{
    bool told[2] = {false, false};

    for (int i = 0; i < 2; i++) {
        const struct xml *jingle = xml_child(board_take(b), "jingle", NULL);

        assert_non_null(jingle);
        assert_string_equal(xml_attr(jingle, "action"), "session-terminate");
        assert_non_null(xml_child(xml_child(jingle, "reason", NULL), "gone", NULL));
        told[strcmp(xml_attr(b->last, "to"), ALICE) == 0] = true;
    }
    assert_true(told[0] && told[1]);
}

static void a_call_is_ended(void **state)
{
    uint64_t id = 0;
    struct board *b = talking(&id);

    assert_false(signal_kick_call(b->signal, id + 1, "gone", b->now));
    assert_int_equal(signal_calls(b->signal), 1);
    assert_true(signal_kick_call(b->signal, id, "gone", b->now));
    assert_int_equal(signal_calls(b->signal), 0);
    assert_false(signal_kick_call(b->signal, id, "gone", b->now)); // it has ended already
    board_settle(b);
    expect_both_told(b);
    assert_int_equal(board_open_paths(b), 0);
    board_free(b);
}

static void the_calls_of_a_user_are_ended(void **state)
{
    uint64_t id = 0;
    struct board *b = talking(&id);

    assert_int_equal(signal_kick_user(b->signal, "eve@example.org", "gone", b->now), 0);
    assert_int_equal(signal_kick_user(b->signal, "alice@example.org/other", "gone", b->now), 0);
    assert_int_equal(signal_kick_user(b->signal, "alice@example.net", "gone", b->now), 0);
    assert_int_equal(signal_calls(b->signal), 1);
    assert_int_equal(signal_kick_user(b->signal, "Bob@Example.org", "gone", b->now), 1);
    board_settle(b);
    expect_both_told(b);
    board_free(b);
    b = talking(&id);
    assert_int_equal(signal_kick_user(b->signal, ALICE, "gone", b->now), 1); // that client's
    board_settle(b);
    expect_both_told(b);
    board_free(b);
}

static void a_second_call(struct board *b)
{
    board_put(b, "<iq type='set' from='" BOB "' to='" ALICE_AS "' id='x'><jingle "
                 "xmlns='urn:xmpp:jingle:1' action='session-initiate' sid='s2'>" AUDIO
                 "</jingle></iq>");
}

static void new_limits_are_for_new_calls(void **state)
{
    struct signal_config config = board_config();
    uint64_t id = 0;
    struct board *b = talking(&id);

    config.calls.calls = 1;
    assert_int_equal(signal_reconfigure(b->signal, &config, b->now), 0);
    a_second_call(b);
    board_expect_error(b, BOB, "x", "resource-constraint", NULL);
    assert_int_equal(signal_calls(b->signal), 1); // the first is as it was
    config.calls.calls = 2;
    assert_int_equal(signal_reconfigure(b->signal, &config, b->now), 0);
    a_second_call(b);
    assert_int_equal(signal_calls(b->signal), 2);
    signal_end_all(b->signal, "gone", b->now);
    board_settle(b);
    board_clear(b);
    board_free(b);
}

static void other_domains_are_served(void **state)
{
    static const char *const elsewhere[] = {"example.net"};
    struct signal_config config = board_config();
    uint64_t id = 0;
    struct board *b = talking(&id);

    config.served = elsewhere;
    config.served_count = 1;
    assert_int_equal(signal_reconfigure(b->signal, &config, b->now), 0);
    a_second_call(b);
    board_expect_error(b, BOB, "x", "forbidden", NULL);
    board_hang_up(b); // who talks is not asked again
    board_none(b);
    board_free(b);
}

static void draining_can_be_ended(void **state)
{
    struct board *b = board_new(NULL);

    signal_drain(b->signal);
    a_second_call(b);
    board_expect_error(b, BOB, "x", "resource-constraint", NULL);
    signal_undrain(b->signal);
    a_second_call(b);
    assert_int_equal(signal_calls(b->signal), 1);
    signal_end_all(b->signal, "gone", b->now);
    board_settle(b);
    board_clear(b);
    board_free(b);
}

// Who follows the credentials hears of another server at once; of the same one not.
static void clients_are_told_another_server(void **state)
{
    static const struct signal_service here = {"turn", "udp", RELAY, 3478};
    static const struct signal_service there = {"turn", "udp", "relay2.example.org", 3478};
    struct signal_config config = board_config();

    config.services = (struct signal_services){&here, 1, SECRET, 12 * 3600 * USEC_PER_SEC};
    struct board *b = board_new(&config);
    board_put(b, "<presence from='" ALICE "' to='" RELAY "'/>");
    board_put(b, "<iq type='get' from='" ALICE "' to='" RELAY "' id='q'><services xmlns='" EXT2
                 "'/></iq>");
    board_take(b);
    assert_int_equal(signal_reconfigure(b->signal, &config, b->now), 0);
    board_wait(b, USEC_PER_SEC);
    board_none(b);
    config.services.item = &there;
    assert_int_equal(signal_reconfigure(b->signal, &config, b->now), 0);
    board_wait(b, USEC_PER_SEC);
    const struct xml *services = xml_child(board_take(b), "services", EXT2);
    assert_non_null(services);
    assert_string_equal(xml_attr(xml_child(services, "service", NULL), "host"),
                        "relay2.example.org");
    board_result(b);
    config.services.count = 0; // and of none there is nothing to tell
    assert_int_equal(signal_reconfigure(b->signal, &config, b->now), 0);
    board_wait(b, USEC_PER_SEC);
    board_none(b);
    board_free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_call_is_ended),
        cmocka_unit_test(the_calls_of_a_user_are_ended),
        cmocka_unit_test(new_limits_are_for_new_calls),
        cmocka_unit_test(other_domains_are_served),
        cmocka_unit_test(draining_can_be_ended),
        cmocka_unit_test(clients_are_told_another_server),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
