// SPDX-License-Identifier: ISC
// The test partner's signalling: offers of several clients and what is answered, who may call,
// every limit, and what it shows of itself. Its media are scripted here.
#include "codec/jingle.h"
#include "lib/board.h"
#include "signal/echo.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define ECHO  "echo@relay.example.org/relay"
#define BARE  "echo@relay.example.org"
#define CAROL "carol@elsewhere.org/c"

#define AUDIO   "<description xmlns='" NS_RTP "' media='audio'>"
#define PCMU    "<payload-type id='0' name='PCMU' clockrate='8000'/>"
#define ICE     "<transport xmlns='" NS_ICE_UDP "' ufrag='uf' pwd='pwdpwdpwdpwdpwdpwdpwdpw'>"
#define CONTENT "<content creator='initiator' name='v'>"

struct line { // as the media have it
    uint64_t id;
    struct media_terms terms;
    bool open;
};

struct fixture {
    struct board *b;
    struct line line[64];
    unsigned lines;
    int fail;
};

static int on_open(void *ctx, uint64_t id, const struct media_terms *terms)
{
    struct fixture *f = ctx;

    if (f->fail)
        return f->fail;
    assert_true(f->lines < 64);
    f->line[f->lines++] = (struct line){id, *terms, true};
    return 0;
}

static int on_close(void *ctx, uint64_t id)
{
    struct fixture *f = ctx;

    for (unsigned i = 0; i < f->lines; i++)
        if (f->line[i].id == id)
            f->line[i].open = false;
    return 0;
}

static void set_up_for(struct fixture *f, unsigned calls, unsigned calls_per_user)
{
    const struct echo_config config = {"AA:BB", calls, 120 * USEC_PER_SEC};
    const struct echo_io io = {f, on_open, on_close};
    struct signal_config signal = board_config();

    signal.calls.new_calls_per_minute = 12;
    signal.calls.calls_per_user = calls_per_user;
    *f = (struct fixture){.b = board_new(&signal)};
    assert_int_equal(signal_set_echo(f->b->signal, &config, &io), 0);
}

static void set_up_with(struct fixture *f, unsigned calls)
{
    set_up_for(f, calls, 0);
}

static void set_up(struct fixture *f)
{
    set_up_with(f, 10);
}

static unsigned open_lines(const struct fixture *f)
{
    unsigned count = 0;

    for (unsigned i = 0; i < f->lines; i++)
        count += f->line[i].open;
    return count;
}

static void tear_down(struct fixture *f)
{
    assert_int_equal(open_lines(f), 0);
    assert_int_equal(signal_echo_calls(f->b->signal), 0);
    board_free(f->b);
}

static void say(struct fixture *f, const char *from, const char *action, const char *contents)
{
    board_put(f->b,
              "<iq type='set' from='%s' to='" ECHO "' id='i'><jingle xmlns='" NS_JINGLE
              "' action='%s' sid='s' initiator='%s'>%s</jingle></iq>",
              from, action, from, contents);
}

static void tell(struct fixture *f, unsigned line, enum echo_event_kind kind, const char *reason)
{
    struct echo_event event = {.kind = kind, .id = f->line[line].id, .reason = reason};

    for (unsigned i = 0; kind == ECHO_OPENED && i < f->line[line].terms.components; i++)
        addr_parse_ip("198.51.100.1", (uint16_t)(5000 + 10 * line + i), &event.addr[i][0]);
    signal_echo_event(f->b->signal, &event, f->b->now);
}

// Offers, takes the result, and lets all ports open: the jingle element of the session-accept.
static const struct xml *offer(struct fixture *f, const char *contents)
{
    say(f, ALICE, "session-initiate", contents);
    board_expect_result(f->b, ALICE, "i");
    for (unsigned i = 0; i < f->lines; i++)
        tell(f, i, ECHO_OPENED, NULL);
    const struct xml *jingle = xml_child(board_take(f->b), "jingle", NS_JINGLE);
    assert_non_null(jingle);
    return jingle;
}

static const struct xml *accepted(struct fixture *f, const char *contents)
{
    const struct xml *jingle = offer(f, contents);

    assert_string_equal(xml_attr(jingle, "action"), "session-accept");
    assert_string_equal(xml_attr(jingle, "responder"), ECHO);
    return jingle;
}

static void assert_terminated(struct fixture *f, const char *reason)
{
    const struct xml *jingle = xml_child(board_take(f->b), "jingle", NS_JINGLE);

    assert_non_null(jingle);
    assert_string_equal(xml_attr(jingle, "action"), "session-terminate");
    assert_non_null(xml_child(xml_child(jingle, "reason", NULL), reason, NULL));
}

static void hang_up(struct fixture *f)
{
    say(f, ALICE, "session-terminate", "<reason><success/></reason>");
    board_expect_result(f->b, ALICE, "i");
    for (unsigned i = 0; i < f->lines; i++)
        tell(f, i, ECHO_ENDED, NULL);
}

static const struct xml *description(const struct xml *jingle)
{
    return xml_child(xml_child(jingle, "content", NULL), "description", NS_RTP);
}

static struct xml *transport(const struct xml *jingle)
{
    return jingle_transport(xml_child(jingle, "content", NULL));
}

// ---- offers and answers

static void plain_rtp_over_two_components(void **state)
{
    struct fixture f;

    set_up(&f);
    const struct xml *jingle =
        accepted(&f, CONTENT AUDIO PCMU "</description>" ICE "</transport></content>");
    assert_int_equal(f.lines, 1);
    assert_int_equal(f.line[0].terms.components, 2);
    assert_int_equal(f.line[0].terms.protection, MEDIA_PLAIN);
    assert_string_equal(f.line[0].terms.theirs.ufrag, "uf");
    assert_int_equal(f.line[0].terms.kind[0], 1);
    assert_int_equal(jingle_count_candidates(jingle), 2);
    assert_string_equal(xml_attr(transport(jingle), "ufrag"), f.line[0].terms.ours.ufrag);
    assert_int_equal(strlen(f.line[0].terms.ours.pwd), 24);
    assert_int_equal(count_children(description(jingle), "payload-type"), 1);
    hang_up(&f);
    tear_down(&f);
}

static void a_bundle_with_dtls(void **state)
{
    struct fixture f;

    set_up(&f);
    const struct xml *jingle = accepted(
        &f, "<group xmlns='" NS_GROUPING "' semantics='BUNDLE'><content name='a'/><content "
            "name='b'/></group>"
            "<content creator='initiator' name='a' senders='both'>" AUDIO
            "<payload-type id='111' name='opus' clockrate='48000' channels='2'><rtcp-fb "
            "xmlns='urn:xmpp:jingle:apps:rtp:rtcp-fb:0' type='transport-cc'/></payload-type>"
            "<payload-type id='63' name='red' clockrate='48000'/><rtcp-mux/><rtp-hdrext "
            "xmlns='urn:xmpp:jingle:apps:rtp:rtp-hdrext:0' id='1' uri='x'/><source "
            "xmlns='urn:xmpp:jingle:apps:rtp:ssma:0' ssrc='1'/></description>" ICE
            "<fingerprint xmlns='" NS_DTLS
            "' hash='sha-256' setup='actpass'>0A:0B</fingerprint></transport></content>"
            "<content creator='initiator' name='b' senders='both'><description xmlns='" NS_RTP
            "' media='video'><payload-type id='96' name='VP8' clockrate='90000'><rtcp-fb "
            "xmlns='urn:xmpp:jingle:apps:rtp:rtcp-fb:0' type='nack' subtype='pli'/><rtcp-fb "
            "xmlns='urn:xmpp:jingle:apps:rtp:rtcp-fb:0' type='nack'/></payload-type>"
            "<payload-type id='97' name='rtx' clockrate='90000'/><rtcp-mux/></description>" ICE
            "<fingerprint xmlns='" NS_DTLS
            "' hash='sha-256' setup='actpass'>0A:0B</fingerprint></transport></content>");
    const struct media_terms *terms = &f.line[0].terms;
    assert_int_equal(f.lines, 1);
    assert_int_equal(terms->components, 1);
    assert_int_equal(terms->protection, MEDIA_DTLS);
    assert_true(terms->dtls.active);
    assert_int_equal(terms->dtls.fingerprint_len, 2);
    assert_int_equal(terms->kind[111], 1);
    assert_int_equal(terms->kind[96], 2);
    assert_int_equal(terms->kind[63], 0);
    assert_int_equal(terms->kind[97], 0);
    const struct xml *fingerprint = xml_child(transport(jingle), "fingerprint", NS_DTLS);
    assert_string_equal(xml_attr(fingerprint, "setup"), "active");
    assert_string_equal(xml_text(fingerprint), "AA:BB");
    assert_int_equal(count_children(xml_child(jingle, "group", NS_GROUPING), "content"), 2);
    assert_int_equal(count_children(jingle, "content"), 2);
    assert_null(xml_child(description(jingle), "rtp-hdrext", NULL));
    assert_non_null(xml_child(description(jingle), "source", NULL));
    assert_non_null(xml_child(description(jingle), "rtcp-mux", NULL));
    const struct xml *payload = xml_child(description(jingle), "payload-type", NULL);
    assert_null(xml_child(payload, "rtcp-fb", NULL));
    const struct xml *video = xml_next(xml_child(jingle, "content", NULL), "content", NULL);
    payload = xml_child(xml_child(video, "description", NULL), "payload-type", NULL);
    assert_int_equal(count_children(payload, "rtcp-fb"), 1);
    hang_up(&f);
    tear_down(&f);
}

static void without_a_bundle_each_has_ports_of_its_own(void **state)
{
    struct fixture f;

    set_up(&f);
    const struct xml *jingle =
        accepted(&f, CONTENT AUDIO PCMU
                 "</description>" ICE "</transport></content>"
                 "<content creator='initiator' name='b'><description xmlns='" NS_RTP
                 "' media='video'><payload-type id='96' name='VP8'/></description>" ICE
                 "</transport></content>"
                 "<content creator='initiator' name='c'><description "
                 "xmlns='urn:example:other'/>" ICE "</transport></content>");
    assert_int_equal(f.lines, 2);
    assert_int_equal(count_children(jingle, "content"), 2);
    hang_up(&f);
    tear_down(&f);
}

static void keys_in_the_signalling(void **state)
{
    struct fixture f;

    set_up(&f);
    const struct xml *jingle =
        accepted(&f, CONTENT AUDIO PCMU
                 "<encryption required='1'>"
                 "<crypto crypto-suite='AEAD_AES_256_GCM' key-params='inline:x' tag='1'/>"
                 "<crypto crypto-suite='AES_CM_128_HMAC_SHA1_32' tag='2' session-params='' "
                 "key-params='inline:d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj|2^20'/>"
                 "</encryption></description>" ICE "</transport></content>");
    const struct xml *crypto =
        xml_child(xml_child(description(jingle), "encryption", NULL), "crypto", NULL);
    uint8_t key[MEDIA_KEY_LEN];
    assert_int_equal(f.line[0].terms.protection, MEDIA_SDES);
    assert_int_equal(f.line[0].terms.sdes.suite, MEDIA_AES_CM_32);
    assert_memory_equal(f.line[0].terms.sdes.theirs, "wDfvg&T+", 8);
    assert_string_equal(xml_attr(crypto, "tag"), "2");
    assert_int_equal(media_key_parse(xml_attr(crypto, "key-params"), key), 0);
    assert_memory_equal(key, f.line[0].terms.sdes.ours, MEDIA_KEY_LEN);
    hang_up(&f);
    tear_down(&f);
}

static void raw_udp(void **state)
{
    struct fixture f;

    set_up(&f);
    const struct xml *jingle = accepted(
        &f, CONTENT AUDIO PCMU "</description><transport xmlns='" NS_RAW_UDP
                               "'><candidate component='1' ip='8.8.8.8' port='4000' generation='0' "
                               "id='x'/></transport></content>");
    assert_false(f.line[0].terms.ice);
    assert_int_equal(f.line[0].terms.peer[0].port, 4000);
    assert_int_equal(jingle_count_candidates(jingle), 2);
    assert_null(xml_attr(transport(jingle), "ufrag"));
    hang_up(&f);
    tear_down(&f);
}

static void offers_that_cannot_be_taken(void **state)
{
    static const struct {
        const char *contents, *reason;
    } cases[] = {
        {"", "unsupported-applications"},
        {CONTENT "<description xmlns='urn:example:x'/>" ICE "</transport></content>",
         "unsupported-applications"},
        {CONTENT AUDIO PCMU "</description></content>", "unsupported-transports"},
        {"<group xmlns='" NS_GROUPING "' semantics='BUNDLE'><content name='v'/><content "
         "name='w'/></group>" CONTENT AUDIO PCMU "</description>" ICE "</transport></content>"
         "<content creator='initiator' name='w'><description xmlns='" NS_RTP
         "' media='video'><payload-type id='96' name='VP8'/></description></content>",
         "unsupported-transports"},
        {CONTENT AUDIO PCMU "</description><transport xmlns='urn:example:x'/></content>",
         "unsupported-transports"},
        {CONTENT AUDIO PCMU "</description><transport xmlns='" NS_ICE_UDP "'/></content>",
         "failed-transport"},
        {CONTENT AUDIO "</description>" ICE "</transport></content>", "failed-application"},
        {CONTENT AUDIO "<payload-type id='128'/></description>" ICE "</transport></content>",
         "failed-application"},
        {CONTENT AUDIO PCMU "<encryption><crypto crypto-suite='X' key-params='inline:x'/>"
                            "</encryption></description>" ICE "</transport></content>",
         "security-error"},
        {CONTENT AUDIO PCMU "</description>" ICE "<fingerprint xmlns='" NS_DTLS
                            "' hash='sha-256' setup='actpass'>zz</fingerprint></transport>"
                            "</content>",
         "security-error"},
    };
    struct fixture f;

    set_up_with(&f, 1);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        say(&f, ALICE, "session-initiate", cases[i].contents);
        board_expect_result(f.b, ALICE, "i");
        assert_terminated(&f, cases[i].reason);
        board_wait(f.b, 60 * USEC_PER_SEC); // a user may not call too often
    }
    tear_down(&f);
}

// ---- life

#define GOOD CONTENT AUDIO PCMU "</description>" ICE "</transport></content>"
#define TWO                                                                                        \
    GOOD "<content creator='initiator' name='w'><description xmlns='" NS_RTP                       \
         "' media='video'><payload-type id='96' name='VP8'/></description>" ICE                    \
         "</transport></content>"

static void a_call_ends_when_its_time_is_over(void **state)
{
    struct fixture f;

    set_up(&f);
    accepted(&f, GOOD);
    board_wait(f.b, 119 * USEC_PER_SEC);
    board_none(f.b);
    board_wait(f.b, 2 * USEC_PER_SEC);
    assert_terminated(&f, "success");
    tell(&f, 0, ECHO_ENDED, NULL);
    tear_down(&f);
}

static void media_that_fail_end_it(void **state)
{
    struct fixture f;

    set_up(&f);
    accepted(&f, GOOD);
    f.line[0].open = false;
    tell(&f, 0, ECHO_ENDED, "security-error");
    assert_terminated(&f, "security-error");
    tear_down(&f);
}

static void ports_that_do_not_open(void **state)
{
    struct fixture f;

    set_up(&f);
    say(&f, ALICE, "session-initiate", GOOD);
    board_expect_result(f.b, ALICE, "i");
    f.line[0].open = false;
    tell(&f, 0, ECHO_ENDED, "failed-transport");
    assert_terminated(&f, "failed-transport");
    f.fail = -ENOMEM;
    say(&f, ALICE, "session-initiate", GOOD);
    board_expect_result(f.b, ALICE, "i");
    assert_terminated(&f, "failed-transport");
    say(&f, ALICE, "session-initiate", TWO);
    board_expect_result(f.b, ALICE, "i");
    assert_terminated(&f, "failed-transport");
    tear_down(&f);
}

// The worker may have no memory to say that it is over.
static void a_last_word_that_is_lost(void **state)
{
    struct fixture f;

    set_up_with(&f, 1);
    accepted(&f, GOOD);
    say(&f, ALICE, "session-terminate", "");
    board_expect_result(f.b, ALICE, "i");
    assert_int_equal(signal_echo_calls(f.b->signal), 1);
    board_wait(f.b, 10 * USEC_PER_SEC);
    board_none(f.b);
    assert_int_equal(signal_echo_calls(f.b->signal), 0);
    tell(&f, 0, ECHO_ENDED, NULL); // or late
    accepted(&f, GOOD);
    f.line[1].open = false; // one that had ended before, and said so in vain
    board_wait(f.b, 121 * USEC_PER_SEC);
    assert_terminated(&f, "success");
    board_wait(f.b, 10 * USEC_PER_SEC);
    tear_down(&f);
}

static void a_refused_answer_ends_it(void **state)
{
    struct fixture f;

    set_up(&f);
    accepted(&f, GOOD);
    board_error(f.b, "bad-request");
    assert_int_equal(open_lines(&f), 0);
    tell(&f, 0, ECHO_ENDED, NULL);
    tear_down(&f);
}

static void the_end_of_the_daemon_ends_it(void **state)
{
    struct fixture f;

    set_up(&f);
    accepted(&f, GOOD);
    signal_end_all(f.b->signal, "gone", f.b->now);
    assert_terminated(&f, "gone");
    tell(&f, 0, ECHO_ENDED, NULL);
    tear_down(&f);
}

static void an_administrator_ends_those_of_a_user(void **state)
{
    struct fixture f;

    set_up(&f);
    accepted(&f, GOOD);
    assert_int_equal(signal_kick_user(f.b->signal, "eve@example.org", "gone", f.b->now), 0);
    assert_int_equal(signal_kick_user(f.b->signal, ALICE "2", "gone", f.b->now), 0);
    assert_int_equal(signal_kick_user(f.b->signal, ALICE, "gone", f.b->now), 1);
    assert_terminated(&f, "gone");
    assert_int_equal(signal_kick_user(f.b->signal, ALICE, "gone", f.b->now), 0);
    tell(&f, 0, ECHO_ENDED, NULL);
    tear_down(&f);
}

static void a_restart_ends_it(void **state)
{
    struct fixture f;

    set_up(&f);
    accepted(&f, GOOD);
    json_decref(signal_save(f.b->signal, f.b->now));
    assert_terminated(&f, "gone");
    tell(&f, 0, ECHO_ENDED, NULL);
    tear_down(&f);
}

static void nothing_is_changed_in_a_call(void **state)
{
    struct fixture f;

    set_up(&f);
    accepted(&f, GOOD);
    say(&f, ALICE, "session-initiate", GOOD);
    board_expect_error(f.b, ALICE, "i", "unexpected-request", "out-of-order");
    say(&f, ALICE, "content-add", "<content creator='initiator' name='w'/>");
    board_expect_result(f.b, ALICE, "i");
    const struct xml *jingle = xml_child(board_take(f.b), "jingle", NULL);
    assert_string_equal(xml_attr(jingle, "action"), "content-reject");
    assert_string_equal(xml_attr(xml_child(jingle, "content", NULL), "name"), "w");
    say(&f, ALICE, "transport-replace", "<content creator='initiator' name='v'/>");
    board_expect_result(f.b, ALICE, "i");
    assert_string_equal(xml_attr(xml_child(board_take(f.b), "jingle", NULL), "action"),
                        "transport-reject");
    say(&f, ALICE, "transport-info", "");
    board_expect_result(f.b, ALICE, "i");
    say(&f, ALICE, "dance", "");
    board_expect_error(f.b, ALICE, "i", "bad-request", NULL);
    say(&f, BOB, "session-terminate", "");
    board_expect_error(f.b, BOB, "i", "item-not-found", "unknown-session");
    hang_up(&f);
    tear_down(&f);
}

// ---- who may call

static void users_of_served_domains_alone(void **state)
{
    struct fixture f;

    set_up(&f);
    say(&f, CAROL, "session-initiate", GOOD);
    board_expect_error(f.b, CAROL, "i", "forbidden", NULL);
    board_put(f.b, "<presence type='subscribe' from='" CAROL "' to='" BARE "'/>");
    board_none(f.b);
    tear_down(&f);
}

static void there_are_so_many_lines(void **state)
{
    struct fixture f;

    set_up_with(&f, 1);
    accepted(&f, GOOD);
    say(&f, BOB, "session-initiate", GOOD);
    board_expect_error(f.b, BOB, "i", "resource-constraint", NULL);
    assert_int_equal(board_counter(f.b, COUNTER_ECHO_TURNED_AWAY), 1);
    hang_up(&f);
    signal_drain(f.b->signal);
    say(&f, BOB, "session-initiate", GOOD);
    board_expect_error(f.b, BOB, "i", "resource-constraint", NULL);
    tear_down(&f);
}

static void calls_of_one_user_are_counted(void **state)
{
    struct fixture f;
    unsigned taken = 0;

    set_up(&f);
    for (unsigned i = 0; i < 60; i++) {
        say(&f, ALICE, "session-initiate", "");
        const struct xml *answer = board_take(f.b);
        taken += strcmp(xml_attr(answer, "type"), "result") == 0;
        board_clear(f.b);
    }
    assert_in_range(taken, 1, 59);
    tear_down(&f);
}

static void no_user_has_all_lines(void **state)
{
    struct fixture f;

    set_up_for(&f, 10, 2);
    say(&f, "alice@example.org/1", "session-initiate", GOOD);
    board_expect_result(f.b, "alice@example.org/1", "i");
    say(&f, "alice@example.org/2", "session-initiate", GOOD);
    board_expect_result(f.b, "alice@example.org/2", "i");
    say(&f, "alice@example.org/3", "session-initiate", GOOD);
    board_expect_error(f.b, "alice@example.org/3", "i", "resource-constraint", NULL);
    assert_int_equal(board_counter(f.b, COUNTER_CALLS_REFUSED_PER_JID), 1);
    say(&f, BOB, "session-initiate", GOOD);
    board_expect_result(f.b, BOB, "i");
    // One that is over counts no more, whatever the worker has to say yet.
    say(&f, "alice@example.org/1", "session-terminate", "");
    board_expect_result(f.b, "alice@example.org/1", "i");
    say(&f, "alice@example.org/3", "session-initiate", GOOD);
    board_expect_result(f.b, "alice@example.org/3", "i");
    signal_end_all(f.b->signal, "gone", f.b->now);
    board_clear(f.b);
    for (unsigned i = 0; i < f.lines; i++)
        tell(&f, i, ECHO_ENDED, NULL);
    tear_down(&f);
}

static void nobody_is_there_when_it_is_off(void **state)
{
    struct board *b = board_new(NULL);

    board_put(b, "<iq type='get' from='" ALICE "' to='" BARE "' id='d'><query xmlns='" NS_DISCO_INFO
                 "'/></iq>");
    board_expect_error(b, ALICE, "d", "item-not-found", NULL);
    board_free(b);
}

// ---- what it shows

static void it_looks_like_somebody_to_call(void **state)
{
    struct fixture f;

    set_up(&f);
    board_put(f.b, "<presence type='subscribe' from='alice@example.org' to='" BARE "'/>");
    board_expect(f.b, "<presence type='subscribed' from='" BARE "' to='alice@example.org'/>");
    assert_non_null(xml_child(board_take(f.b), "c", NS_CAPS));
    board_put(f.b, "<presence type='probe' from='alice@example.org' to='" BARE "'/>");
    const struct xml *presence = board_take(f.b);
    assert_string_equal(xml_attr(presence, "from"), ECHO);
    board_put(f.b, "<iq type='get' from='" ALICE "' to='" BARE
                   "' id='d'><query xmlns='" NS_DISCO_INFO "'/></iq>");
    const struct xml *query = xml_child(board_take(f.b), "query", NULL);
    assert_string_equal(xml_attr(xml_child(query, "identity", NULL), "category"), "account");
    board_put(f.b, "<iq type='get' from='" ALICE "' to='" ECHO
                   "' id='d'><query xmlns='" NS_DISCO_INFO "'/></iq>");
    query = xml_child(board_take(f.b), "query", NULL);
    assert_string_equal(xml_attr(xml_child(query, "identity", NULL), "category"), "client");
    assert_true(count_children(query, "feature") > 10);
    board_put(f.b, "<iq type='get' from='" ALICE "' to='" ECHO "' id='p'><ping xmlns='" NS_PING
                   "'/></iq>");
    board_expect_result(f.b, ALICE, "p");
    board_put(f.b, "<iq type='get' from='" ALICE "' to='" ECHO "' id='q'><x xmlns='y'/></iq>");
    board_expect_error(f.b, ALICE, "q", "service-unavailable", NULL);
    tear_down(&f);
}

static void it_takes_proposed_calls(void **state)
{
    struct fixture f;

    set_up(&f);
    board_put(f.b, "<message from='" ALICE "' to='" BARE "'><propose xmlns='" NS_JMI
                   "' id='s'/></message>");
    board_expect(f.b, "<message type='chat' from='" ECHO "' to='" ALICE "'><proceed xmlns='" NS_JMI
                      "' id='s'/></message>");
    board_put(f.b, "<message from='" ALICE "' to='" BARE "' id='m'><body>hello</body></message>");
    assert_string_equal(xml_attr(board_take(f.b), "type"), "error");
    accepted(&f, GOOD);
    hang_up(&f);
    tear_down(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_rtp_over_two_components),
        cmocka_unit_test(a_bundle_with_dtls),
        cmocka_unit_test(without_a_bundle_each_has_ports_of_its_own),
        cmocka_unit_test(keys_in_the_signalling),
        cmocka_unit_test(raw_udp),
        cmocka_unit_test(offers_that_cannot_be_taken),
        cmocka_unit_test(a_call_ends_when_its_time_is_over),
        cmocka_unit_test(media_that_fail_end_it),
        cmocka_unit_test(ports_that_do_not_open),
        cmocka_unit_test(a_last_word_that_is_lost),
        cmocka_unit_test(a_refused_answer_ends_it),
        cmocka_unit_test(the_end_of_the_daemon_ends_it),
        cmocka_unit_test(an_administrator_ends_those_of_a_user),
        cmocka_unit_test(a_restart_ends_it),
        cmocka_unit_test(nothing_is_changed_in_a_call),
        cmocka_unit_test(users_of_served_domains_alone),
        cmocka_unit_test(there_are_so_many_lines),
        cmocka_unit_test(calls_of_one_user_are_counted),
        cmocka_unit_test(no_user_has_all_lines),
        cmocka_unit_test(nobody_is_there_when_it_is_off),
        cmocka_unit_test(it_looks_like_somebody_to_call),
        cmocka_unit_test(it_takes_proposed_calls),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
