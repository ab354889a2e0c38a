// SPDX-License-Identifier: ISC
// Whole calls, over and over, in which the k-th allocation of the signalling fails, k = 1, 2, 3,
// ... until none fails any more; and so for the questions about TURN. Whatever fails: no crash, no
// leak, no port and no session that stays, no error but resource-constraint and what follows from
// it.
#include "codec/jingle.h"
#include "fault/lib_alloc.h"
#include "lib/board.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define ICE       "urn:xmpp:jingle:transports:ice-udp:1"
#define RAW       "urn:xmpp:jingle:transports:raw-udp:1"
#define CANDIDATE "<candidate ip='192.0.2.1' port='5'/>"
#define CONTENT(name, creator, ufrag)                                                              \
    "<content creator='" creator "' name='" name "'><description "                                 \
    "xmlns='urn:xmpp:jingle:apps:rtp:1' media='audio'><rtcp-mux/></description><transport "        \
    "xmlns='" ICE "' ufrag='" ufrag "' pwd='p'>" CANDIDATE "</transport></content>"
#define RAW_CONTENT                                                                                \
    "<content creator='initiator' name='0'><transport xmlns='" RAW                                 \
    "'><candidate component='1' ip='192.0.2.1' port='5000'/></transport></content>"
#define BUNDLE                                                                                     \
    "<group xmlns='urn:xmpp:jingle:apps:grouping:0' semantics='BUNDLE'><content name='0'/>"        \
    "<content name='1'/></group>"

// ---- only what the signalling itself allocates may fail

static unsigned until; // allocations until one fails; 0: no more
static bool failed;

static void enter(void)
{
    alloc_fail_at(until);
}

static void leave(void)
{
    unsigned count = alloc_count();

    failed |= until > 0 && alloc_failed();
    until = until > count ? until - count : 0;
    alloc_fail_at(0);
}

static void fail_at(unsigned k)
{
    until = k;
    failed = false;
}

// ---- what may be answered

// The clients here make no mistake, so every error is ours and about memory, or says that what was
// refused before is not there, or that an answer was lost.
static void check_errors(struct board *b)
{
    static const char *const documented[] = {"resource-constraint", "item-not-found",
                                             "unexpected-request", "remote-server-timeout"};

    for (unsigned i = b->taken; i < b->sents; i++) {
        const struct xml *error = xml_child(b->sent[i], "error", NULL);
        bool known = false;

        for (int c = 0; error && c < 4; c++)
            known |= xml_child(error, documented[c], NS_STANZAS) != NULL;
        if (error && !known)
            fail_msg("an error that nobody expects: %s", text_of(b->sent[i]));
    }
}

static void answers(struct board *b)
{
    check_errors(b);
    board_answer_all(b);
}

// ---- the calls

static void proposal(struct board *b)
{
    board_put(b, "<message from='" ALICE "' to='bob\\40example.org@relay.example.org'>"
                 "<propose xmlns='urn:xmpp:jingle-message:0' id='s1'/></message>");
    answers(b);
    board_put(b,
              "<message from='" BOB "' to='" ALICE_AS
              "'><proceed xmlns='urn:xmpp:jingle-message:0' id='s1'><device/></proceed></message>");
    answers(b);
    board_put(b, "<presence from='" BOB "' to='" ALICE_AS "'/>");
    board_put(b, "<presence from='" ALICE "' to='eve\\40example.org@relay.example.org' "
                 "type='subscribe'/>");
    board_put(b, "<iq type='get' id='d' from='" ALICE "' to='" BOB_AS
                 "'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>");
    answers(b);
}

static void offer_and_answer(struct board *b)
{
    alice(b, "i", "session-initiate", "%s",
          CONTENT("0", "initiator", "a") CONTENT("1", "initiator", "a") BUNDLE);
    alice(b, "t", "transport-info", "%s",
          CONTENT("0", "initiator", "a") CONTENT("1", "initiator", "a"));
    answers(b);
    bob(b, "a", "session-accept", "%s",
        CONTENT("0", "initiator", "b") CONTENT("1", "initiator", "b") BUNDLE);
    answers(b);
}

static void changes(struct board *b)
{
    alice(b, "r", "transport-info", "%s", CONTENT("0", "initiator", "a2"));
    answers(b);
    bob(b, "add", "content-add", "%s", CONTENT("v", "responder", "v"));
    answers(b);
    alice(b, "acc", "content-accept", "%s", CONTENT("v", "responder", "w"));
    answers(b);
    alice(b, "rep", "transport-replace", "%s", RAW_CONTENT);
    answers(b);
    bob(b, "ra", "transport-accept", "%s", RAW_CONTENT);
    answers(b);
    bob(b, "rem", "content-remove", "<content creator='responder' name='v'/>");
    answers(b);
}

static void silence(struct board *b)
{
    for (unsigned i = 0; i < b->paths; i++) {
        if (b->path[i].closed)
            continue;
        board_event(b, i, EVENT_MEDIA);
        board_event(b, i, EVENT_SILENT);
    }
    board_wait(b, 40 * USEC_PER_SEC);
    answers(b);
}

static void ends(struct board *b)
{
    alice(b, "bye", "session-terminate", "<reason><success/></reason>");
    answers(b);
    // If that was lost, the daemon ends it.
    enter();
    signal_end_all(b->signal, "gone", b->now);
    leave();
    board_settle(b);
    answers(b);
    board_wait(b, 600 * USEC_PER_SEC);
    answers(b);
}

static void call_in_full(struct board *b)
{
    proposal(b);
    offer_and_answer(b);
    changes(b);
    silence(b);
    ends(b);
}

static void call_cut_short(struct board *b)
{
    offer_and_answer(b);
    ends(b);
    b->late = true;
    offer_and_answer(b);
    ends(b);
    b->late = false;
    b->fail = -EMFILE;
    offer_and_answer(b);
    ends(b);
}

// ---- questions about TURN, and pushes

#define SERVICES "<services xmlns='urn:xmpp:extdisco:2'/>"
#define DISCO    "http://jabber.org/protocol/disco#info"

static struct signal_config with_turn(void)
{
    static const struct signal_service items[] = {{"stun", "udp", "relay.example.org", 3478},
                                                  {"turn", "udp", "relay.example.org", 3478},
                                                  {"turns", "tcp", "relay.example.org", 5349}};
    struct signal_config config = board_config();

    config.services =
        (struct signal_services){items, 3, "a secret of at least 128 bits", 3600 * USEC_PER_SEC};
    return config;
}

static void ask(struct board *b, const char *payload)
{
    board_put(b, "<iq type='get' id='q' from='" ALICE "' to='relay.example.org'>%s</iq>", payload);
    answers(b);
}

static void hand_on(struct board *b, const char *to, const char *payload)
{
    board_put(b,
              "<iq type='set' id='d' from='example.org' to='relay.example.org'><delegation "
              "xmlns='urn:xmpp:delegation:2'><forwarded xmlns='urn:xmpp:forward:0'><iq type='get' "
              "xmlns='jabber:client' id='q' from='" ALICE
              "'%s>%s</iq></forwarded></delegation></iq>",
              to, payload);
    answers(b);
}

static void questions(struct board *b)
{
    ask(b, "<query xmlns='" DISCO "'/>");
    ask(b, "<query xmlns='" DISCO "' node='urn:xmpp:delegation:2::urn:xmpp:extdisco:2'/>");
    board_put(b, "<presence from='" ALICE "' to='relay.example.org'/>");
    ask(b, SERVICES);
    ask(b, "<services xmlns='urn:xmpp:extdisco:1' type='turn'/>");
    ask(b, "<query xmlns='google:jingleinfo'/>");
    ask(b, "<credentials xmlns='urn:xmpp:extdisco:2'><service host='relay.example.org' "
           "type='turn'/></credentials>");
    ask(b, "<credentials xmlns='urn:xmpp:extdisco:2'><service host='x' type='y'/></credentials>");
    hand_on(b, " to='example.org'", SERVICES);
    hand_on(b, "", "<query xmlns='google:jingleinfo'/>");
    board_wait(b, 2700 * USEC_PER_SEC);
    answers(b);
    board_wait(b, 2700 * USEC_PER_SEC);
    answers(b);
    board_put(b, "<presence from='" ALICE "' to='relay.example.org' type='unavailable'/>");
    assert_int_equal(board_counter(b, COUNTER_PUSH_LISTENERS), 0);
}

// ---- what a server diverts

static void diverted_call(struct board *b)
{
    divert(b, ALICE, BOB, "session-initiate", "%s",
           CONTENT("0", "initiator", "a") CONTENT("1", "initiator", "a") BUNDLE);
    divert(b, ALICE, BOB, "transport-info", "%s", CONTENT("0", "initiator", "a"));
    answers(b);
    divert(b, BOB, ALICE, "session-accept", "%s",
           CONTENT("0", "initiator", "b") CONTENT("1", "initiator", "b") BUNDLE);
    answers(b);
    divert(b, ALICE, BOB, "transport-info", "%s", CONTENT("0", "initiator", "a2"));
    divert(b, ALICE, BOB, "transport-replace", "%s", RAW_CONTENT);
    divert(b, BOB, ALICE, "transport-accept", "%s", RAW_CONTENT);
    divert(b, ALICE, BOB, "transport-info", "%s", RAW_CONTENT);
    answers(b);
    silence(b);
    board_put(b, "<iq type='set' id='g' from='example.org' to='relay.example.org'>"
                 "<gone xmlns='urn:xmpp:jingle-relayd:divert:1' jid='" ALICE "'/></iq>");
    answers(b);
    b->late = true;
    divert(b, BOB, ALICE, "session-initiate", "%s", CONTENT("0", "initiator", "a"));
    divert(b, BOB, ALICE, "transport-info", "%s", CONTENT("0", "initiator", "a"));
    board_wait(b, 2 * USEC_PER_SEC);
    answers(b);
    divert(b, BOB, ALICE, "session-terminate", "%s", "");
    ends(b);
}

// Google's session beside Jingle, and after it.
static void google_call(struct board *b)
{
    static const char session[] =
        "<iq type='set' id='j1' from='%s' to='%s'>%s<session "
        "xmlns='http://www.google.com/session' type='%s' id='s1' initiator='" ALICE
        "'>%s</session></iq>";
    static const char content[] =
        "<content creator='initiator' name='0'><description xmlns='urn:xmpp:jingle:apps:rtp:1'/>"
        "<transport xmlns='http://www.google.com/transport/p2p'/></content>";
    static const char candidate[] = "<candidate name='rtp' address='192.0.2.1' port='5' "
                                    "username='u' protocol='udp'/>";

    board_divert(b, "example.org", session, ALICE, BOB, "", "initiate",
                 "<description xmlns='http://www.google.com/session/phone'/>");
    board_divert(b, "example.org", session, ALICE, BOB, "", "candidates", candidate);
    divert(b, BOB, ALICE, "session-accept", "%s", content);
    board_divert(b, "example.org", session, BOB, ALICE, "", "candidates", candidate);
    answers(b);
    board_divert(b, "example.org", session, BOB, ALICE, "", "terminate", "<call-ended/>");
    answers(b);
    divert(b, ALICE, BOB, "session-terminate", "%s", "");
    ends(b);
}

static unsigned sweep(void (*life)(struct board *b), const struct signal_config *config,
                      const char *client)
{
    unsigned k = 0;

    do {
        struct board *b = board_new(config);

        b->enter = enter;
        b->leave = leave;
        b->client[SIDE_INITIATOR] = b->client[SIDE_RESPONDER] = client;
        fail_at(++k);
        life(b);
        until = 0;
        board_free(b); // asserts that nothing is left
    } while (failed);
    return k;
}

static void allocations_of_a_whole_call(void **state)
{
    print_message("%u allocations\n", sweep(call_in_full, NULL, "Client"));
}

static void allocations_for_clients_with_dialects(void **state)
{
    struct signal_config config = board_config();

    config.policy = POLICY_RELAY_ONLY;
    config.family_v6 = true;
    print_message("%u allocations\n", sweep(call_in_full, &config, "Miranda"));
}

static void allocations_of_calls_that_are_cut_short(void **state)
{
    print_message("%u allocations\n", sweep(call_cut_short, NULL, "Psi"));
}

static void allocations_of_diverted_calls(void **state)
{
    struct signal_config config = board_config();

    print_message("%u allocations\n", sweep(diverted_call, NULL, "Miranda"));
    config.policy = POLICY_RELAY_ONLY;
    print_message("%u allocations\n", sweep(diverted_call, &config, "Client"));
    print_message("%u allocations\n", sweep(google_call, &config, "Client"));
}

static void allocations_of_questions_about_turn(void **state)
{
    struct signal_config config = with_turn();

    print_message("%u allocations\n", sweep(questions, &config, "Client"));
}

// An order that is not taken, or a stanza that does not leave, once in every place.
static void orders_and_stanzas_that_are_lost(void **state)
{
    bool more = true;

    for (unsigned k = 1; more; k++) {
        struct board *orders = board_new(NULL), *stanzas = board_new(NULL);

        orders->fail_order = stanzas->fail_send = k;
        call_in_full(orders);
        call_in_full(stanzas);
        more = orders->orders >= k || stanzas->sends >= k;
        board_free(orders);
        board_free(stanzas);
    }
}

static void zeros(void *ctx, void *buf, size_t len)
{
    memset(buf, 0, len);
}

static void construct(struct signal_config config, unsigned most)
{
    const struct signal_io io = {.random = zeros};
    struct counters counters = {0};
    struct signal *signal;
    unsigned k = 0;
    int r;

    do {
        fail_at(++k);
        signal = NULL;
        enter();
        r = signal_new(&config, &io, &counters, 0, &signal);
        leave();
        assert_int_equal(r, failed ? -ENOMEM : 0);
        assert_true(failed == (signal == NULL));
        signal_free(signal);
    } while (failed);
    assert_in_range(k, 3, most);
}

static void construction(void **state)
{
    construct(board_config(), 20);
    construct(with_turn(), 30);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(construction),
        cmocka_unit_test(allocations_of_a_whole_call),
        cmocka_unit_test(allocations_for_clients_with_dialects),
        cmocka_unit_test(allocations_of_calls_that_are_cut_short),
        cmocka_unit_test(allocations_of_diverted_calls),
        cmocka_unit_test(allocations_of_questions_about_turn),
        cmocka_unit_test(orders_and_stanzas_that_are_lost),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
